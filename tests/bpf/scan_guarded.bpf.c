// SPDX-License-Identifier: GPL-2.0-only
// Has much that there is not, and asks before it uses any of it.
#include "scan_test.h"

extern void scx_bpf_created(u32 cpu) __ksym;
extern void scx_bpf_dead(void) __ksym;
extern void scx_bpf_weak(void) __ksym __weak;
extern void scx_bpf_weak___older(u32 cpu) __ksym __weak;
extern void scx_bpf_if_weak(void) __ksym;
extern void scx_bpf_if_field(void) __ksym;
extern void scx_bpf_if_enumerator(void) __ksym;
extern void scx_bpf_if_type(void) __ksym;
extern void scx_bpf_if_wide(void) __ksym;
extern void scx_bpf_if_option(void) __ksym;
extern void scx_bpf_if_config(void) __ksym;
extern void scx_bpf_if_version(void) __ksym;
extern void scx_bpf_if_variable(void) __ksym;
extern void scx_bpf_if_choice(void) __ksym;
extern void scx_bpf_if_enumerator_is_set(void) __ksym;
extern void scx_bpf_if_flag(void) __ksym;
extern void scx_bpf_if_range(void) __ksym;
extern const void weak_variable __ksym __weak;
extern bool CONFIG_WEAK __kconfig __weak;
extern u32 CONFIG_HZ __kconfig;
extern u32 LINUX_KERNEL_VERSION __kconfig;

const volatile bool option;
const volatile bool mark;
const volatile u64 level = 5;
const volatile u64 __SCX_SLICE_DFL __weak;

struct task_struct___more {
  int no_such_field;
} __attribute__((preserve_access_index));
struct no_such_struct {
  int field;
} __attribute__((preserve_access_index));
enum scx_enq_flags___more { SCX_ENQ_NO_SUCH___more = 77 };

// In the object because it is global, and called by nothing.
__attribute__((noinline)) int dead(void) {
  scx_bpf_dead();
  return 0;
}

__attribute__((noinline)) int shared(u32 choice) {
  if (choice > 8) scx_bpf_if_choice();
  return choice;
}

SEC("struct_ops/guarded_enqueue")
int guarded_enqueue(u64 *ctx) {
  struct task_struct *p = (void *)ctx[0];
  struct task_struct___more *more = (void *)p;

  if (bpf_ksym_exists(scx_bpf_weak)) {
    scx_bpf_weak();
    scx_bpf_if_weak();
  }
  if (bpf_core_field_exists(more->no_such_field)) {
    USE(more->no_such_field);
    scx_bpf_if_field();
  }
  if (bpf_core_enum_value_exists(enum scx_enq_flags___more, SCX_ENQ_NO_SUCH___more)) {
    USE(bpf_core_enum_value(enum scx_enq_flags___more, SCX_ENQ_NO_SUCH___more));
    scx_bpf_if_enumerator();
  }
  if (bpf_core_type_exists(struct no_such_struct)) {
    USE(((struct no_such_struct *)p)->field);
    scx_bpf_if_type();
  }
  if (bpf_core_field_size(p->pid) != 4) scx_bpf_if_wide();
  return 0;
}

SEC("struct_ops/guarded_dispatch")
int guarded_dispatch(u64 *ctx) {
  if (option || level > 5) {
    USE(bpf_jiffies64());
    scx_bpf_if_option();
  }
  if (CONFIG_WEAK || CONFIG_HZ != 250) scx_bpf_if_config();
  if (LINUX_KERNEL_VERSION < KERNEL_VERSION(7, 2, 0)) scx_bpf_if_version();
  if (&weak_variable) scx_bpf_if_variable();
  if (!__SCX_SLICE_DFL) scx_bpf_if_enumerator_is_set();
  // One bit of a word of which nothing else is known, and a range of it.
  u64 flags = ctx[1];
  flags = mark ? flags | 8 : flags & ~8ull;
  asm volatile("" : "+r"(flags));
  if (flags & 8) scx_bpf_if_flag();
  flags &= 0xff;
  asm volatile("" : "+r"(flags));
  if (flags > 255) scx_bpf_if_range();
  scx_bpf_created(3);
  return shared(3);
}

SEC("?fentry/bpf_scx_reg")
int optional_fentry(u64 *ctx) {
  scx_bpf_dead();
  return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops guarded_ops = {
    .enqueue = (void *)guarded_enqueue,
    .dispatch = (void *)guarded_dispatch,
    .name = "guarded",
};
