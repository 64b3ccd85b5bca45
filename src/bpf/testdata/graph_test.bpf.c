// SPDX-License-Identifier: GPL-2.0-only
// Objects that programs allocate, kptr fields, lists, trees, resilient locks and work queues.
#include "vmlinux.h"
// libbpf's headers use vmlinux.h's types.
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#ifndef __kptr
#define __kptr __attribute__((btf_type_tag("kptr")))
#endif

char _license[] SEC("license") = "GPL";

extern void *bpf_obj_new_impl(u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *kptr, void *meta) __ksym;
extern void *bpf_percpu_obj_new_impl(u64 local_type_id, void *meta) __ksym;
extern void bpf_percpu_obj_drop_impl(void *kptr, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *kptr, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) __ksym;
extern int bpf_list_push_back(struct bpf_list_head *head, struct bpf_list_node *node) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
                               bool(less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta,
                               u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags) __ksym;
extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
extern int bpf_wq_set_callback(struct bpf_wq *wq, int(callback_fn)(void *map, int *key, void *value),
                               unsigned int flags) __ksym;
extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;

#define NEW(type) ((type *)bpf_obj_new_impl(bpf_core_type_id_local(type), 0))

struct item {
  struct bpf_rb_node rb;
  struct bpf_list_node list;
  struct bpf_refcount refs;
  u64 key;
  struct bpf_cpumask __kptr *mask;
};

private(TREE) struct bpf_spin_lock tree_lock;
private(TREE) struct bpf_rb_root tree __contains(item, rb);
private(LIST) struct bpf_spin_lock list_lock;
private(LIST) struct bpf_list_head list __contains(item, list);
private(RES) struct bpf_res_spin_lock res_a;
private(RES) struct bpf_res_spin_lock res_b;

struct holder {
  struct item __kptr *item;
  struct bpf_wq wq;
  u64 ran;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4);
  __type(key, u32);
  __type(value, struct holder);
} holders SEC(".maps");

u64 keys[64], nr_keys, errs[8], nr_visited, ordered;

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
  return container_of(a, struct item, rb)->key < container_of(b, struct item, rb)->key;
}

SEC("syscall")
int add_key(u64 *ctx) {
  struct item *item = NEW(struct item);

  if (!item) return 1;
  item->key = *ctx;
  bpf_spin_lock(&tree_lock);
  bpf_rbtree_add_impl(&tree, &item->rb, less, 0, 0);
  bpf_spin_unlock(&tree_lock);
  return 0;
}

// Takes the smallest key out; 1 if there is none.
SEC("syscall")
int take_first(u64 *ctx) {
  struct bpf_rb_node *node;
  struct item *item;

  bpf_spin_lock(&tree_lock);
  node = bpf_rbtree_first(&tree);
  if (node) node = bpf_rbtree_remove(&tree, node);
  bpf_spin_unlock(&tree_lock);
  if (!node) return 1;
  item = container_of(node, struct item, rb);
  *ctx = item->key;
  bpf_obj_drop_impl(item, 0);
  return 0;
}

// Down the tree to a key; its depth, or 1000.
SEC("syscall")
int look_up(u64 *ctx) {
  struct bpf_rb_node *node;
  u32 depth = 0, found = 1000;

  bpf_spin_lock(&tree_lock);
  node = bpf_rbtree_root(&tree);
  while (node && depth < 64) {
    u64 key = container_of(node, struct item, rb)->key;

    if (key == *ctx) {
      found = depth;
      break;
    }
    node = *ctx < key ? bpf_rbtree_left(&tree, node) : bpf_rbtree_right(&tree, node);
    depth++;
  }
  bpf_spin_unlock(&tree_lock);
  return found;
}

SEC("syscall")
int lists(void *ctx) {
  struct item *item, *kept;
  struct bpf_list_node *node;
  int i;

  for (i = 0; i < 4; i++) {
    item = NEW(struct item);
    if (!item) return 1;
    item->key = i;
    bpf_spin_lock(&list_lock);
    if (i % 2)
      bpf_list_push_front_impl(&list, &item->list, 0, 0);
    else
      bpf_list_push_back(&list, &item->list);
    bpf_spin_unlock(&list_lock);
  }
  // 3 1 0 2
  bpf_spin_lock(&list_lock);
  node = bpf_list_front(&list);
  bpf_spin_unlock(&list_lock);
  if (!node || container_of(node, struct item, list)->key != 3) return 2;
  for (i = 0; i < 4; i++) {
    bpf_spin_lock(&list_lock);
    node = i % 2 ? bpf_list_pop_back(&list) : bpf_list_pop_front(&list);
    bpf_spin_unlock(&list_lock);
    if (!node) return 3;
    item = container_of(node, struct item, list);
    keys[i] = item->key;
    bpf_obj_drop_impl(item, 0);
  }
  bpf_spin_lock(&list_lock);
  node = bpf_list_pop_front(&list);
  bpf_spin_unlock(&list_lock);
  if (node) return 4;

  // A second reference, so that the object outlives the list's.
  item = NEW(struct item);
  if (!item) return 5;
  item->key = 55;
  kept = bpf_refcount_acquire_impl(item, 0);
  if (!kept) return 7;
  bpf_spin_lock(&list_lock);
  errs[0] = bpf_list_push_back(&list, &item->list);
  bpf_spin_unlock(&list_lock);
  bpf_spin_lock(&list_lock);
  // It is in the list: the reference is given up.
  errs[1] = bpf_list_push_back(&list, &kept->list);
  node = bpf_list_pop_front(&list);
  bpf_spin_unlock(&list_lock);
  if (!node || container_of(node, struct item, list)->key != 55) return 6;
  bpf_obj_drop_impl(container_of(node, struct item, list), 0);
  return 0;
}

// Objects in a map's kptr field, the tree and the list, each with a mask of its own.
SEC("syscall")
int fill(u32 *ctx) {
  struct holder *holder, zero = {};
  struct item *item, *old;
  struct bpf_cpumask *mask;
  u32 key = *ctx;

  bpf_map_update_elem(&holders, &key, &zero, 0);
  holder = bpf_map_lookup_elem(&holders, &key);
  item = NEW(struct item);
  if (!holder || !item) return 1;
  mask = bpf_kptr_xchg(&item->mask, bpf_cpumask_create());
  if (mask) return 2;
  old = bpf_kptr_xchg(&holder->item, item);
  if (old) bpf_obj_drop_impl(old, 0);
  return 0;
}

SEC("syscall")
int percpu(void *ctx) {
  u64 *value = bpf_percpu_obj_new_impl(bpf_core_type_id_local(struct holder), 0);
  u64 *mine, *other;

  if (!value) return 1;
  mine = bpf_this_cpu_ptr(value);
  other = bpf_per_cpu_ptr(value, 3);
  if (!mine || !other || mine == other) return 2;
  *mine = 1;
  if (*other) return 3;
  if (bpf_per_cpu_ptr(value, 4)) return 4;
  bpf_percpu_obj_drop_impl(value, 0);
  return 0;
}

SEC("syscall")
int add_unlocked(void *ctx) {
  struct item *item = NEW(struct item);

  if (!item) return 1;
  bpf_rbtree_add_impl(&tree, &item->rb, less, 0, 0);
  return 0;
}

SEC("syscall")
int drop_twice(void *ctx) {
  struct item *item = NEW(struct item);

  if (!item) return 1;
  bpf_obj_drop_impl(item, 0);
  bpf_obj_drop_impl(item, 0);
  return 0;
}

SEC("syscall")
int res_locks(void *ctx) {
  unsigned long flags;

  errs[0] = bpf_res_spin_lock(&res_a);
  errs[1] = bpf_res_spin_lock(&res_a);
  errs[2] = bpf_res_spin_lock_irqsave(&res_b, &flags);
  bpf_res_spin_unlock_irqrestore(&res_b, &flags);
  bpf_res_spin_unlock(&res_a);
  errs[3] = bpf_res_spin_lock(&res_a);
  bpf_res_spin_unlock(&res_a);
  return 0;
}

static int on_work(void *map, int *key, void *value) {
  struct holder *holder = value;

  holder->ran += *key;
  return 0;
}

SEC("syscall")
int start_work(u32 *ctx) {
  struct holder *holder, zero = {};
  u32 key = *ctx;

  bpf_map_update_elem(&holders, &key, &zero, 0);
  holder = bpf_map_lookup_elem(&holders, &key);
  if (!holder) return 1;
  errs[0] = bpf_wq_start(&holder->wq, 0);
  if (bpf_wq_init(&holder->wq, &holders, 0)) return 2;
  errs[1] = bpf_wq_init(&holder->wq, &holders, 0);
  errs[2] = bpf_wq_start(&holder->wq, 0);
  if (bpf_wq_set_callback(&holder->wq, on_work, 0)) return 3;
  return bpf_wq_start(&holder->wq, 0);
}
