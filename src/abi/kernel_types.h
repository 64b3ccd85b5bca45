// SPDX-License-Identifier: GPL-2.0-only
// Small types of the kernel that everything else in this folder is built from: counters, list and tree links, masks.
// C for `clang -target bpf` and C++20, global namespace, layouts of Linux 7.2 on x86-64 with NR_CPUS=8192.
#ifndef USCX_ABI_KERNEL_TYPES_H_
#define USCX_ABI_KERNEL_TYPES_H_

#include "base/types.h"

#ifdef __bpf__
// A BPF build has no libc, so the few POSIX names are spelled out the way the kernel's BTF has them.
typedef _Bool bool;
typedef int __kernel_pid_t;
typedef __kernel_pid_t pid_t;
typedef unsigned int __kernel_uid32_t;
typedef unsigned int __kernel_gid32_t;
typedef __kernel_uid32_t uid_t;
typedef __kernel_gid32_t gid_t;
#else
#include <sys/types.h>
#endif

// All types that are pointed to before they are defined, so that C does not scope them to a prototype.
struct cgroup;
struct cpumask;
struct css_set;
struct rq;
struct scx_dispatch_q;
struct scx_sched;
struct sched_class;
struct task_struct;

typedef struct {
  int counter;
} atomic_t;

typedef struct {
  s64 counter;
} atomic64_t;

typedef atomic64_t atomic_long_t;

struct refcount_struct {
  atomic_t refs;
};
typedef struct refcount_struct refcount_t;

struct list_head {
  struct list_head *next;
  struct list_head *prev;
};

struct rb_node {
  unsigned long __rb_parent_color;
  struct rb_node *rb_right;
  struct rb_node *rb_left;
} __attribute__((aligned(sizeof(long))));

struct rhash_head {
  struct rhash_head *next;
};

// A mask of CPUs always has room for 8192, whatever the machine's size, as in a distribution's kernel: programs index
// and copy it by its static size.
struct cpumask {
  unsigned long bits[128];
};
typedef struct cpumask cpumask_t;

struct bpf_cpumask {
  cpumask_t cpumask;
  refcount_t usage;
};

typedef struct {
  unsigned long bits[16];
} nodemask_t;

typedef struct {
  uid_t val;
} kuid_t;

typedef struct {
  gid_t val;
} kgid_t;

#endif  // USCX_ABI_KERNEL_TYPES_H_
