// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs on lists and trees of the program's objects. What a verifier would make sure of is checked: a node lies in a
// live object at a field of its kind, a head in memory that the program may write, and a lock is held.
#include "bpf/object/graph.h"

#include <errno.h>

#include <linux/bpf.h>

#include "abi/kernel_types.h"
#include "bpf/exec/exec.h"
#include "bpf/object/alloc.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/helper.h"
#include "bpf/object/kfunc.h"

namespace uscx::bpf {

// The function that orders a tree: what the program passes is the address of one of its own.
using bpf_rbtree_less_fn = u64;

namespace {

GraphTable &graphs() { return BpfSystem::current()->graphs(); }

void check_locked(const char *who) {
  Invocation *invocation = Invocation::current();
  if (!invocation->holdings().any_lock()) invocation->violation("kfunc {}: no lock is held", who);
}

void *object_of(const char *who, const void *node, FieldKind kind) {
  void *object = BpfSystem::current()->allocs().owner_of(node, kind);
  if (object == nullptr)
    Invocation::current()->violation("kfunc {}: argument 2 ({:#x}) is no {} of a live object", who,
                                     reinterpret_cast<u64>(node),
                                     kind == FieldKind::kRbNode ? "bpf_rb_node" : "bpf_list_node");
  return object;
}

// Adding what is in a container already gives up the reference.
bool taken(const void *node, void *object) {
  if (!graphs().contains(node)) return false;
  BpfSystem::current()->allocs().drop(object);
  return true;
}

s32 push(const char *who, bpf_list_head *head, bpf_list_node *node, bool front) {
  check_locked(who);
  void *object = object_of(who, node, FieldKind::kListNode);
  if (taken(node, object)) return -EINVAL;
  graphs().push(head, node, front);
  return 0;
}

bpf_list_node *pop(const char *who, bpf_list_head *head, bool front) {
  check_locked(who);
  return static_cast<bpf_list_node *>(graphs().pop(head, front));
}

bpf_list_node *peek(const char *who, bpf_list_head *head, bool front) {
  check_locked(who);
  return static_cast<bpf_list_node *>(graphs().peek(head, front));
}

s32 add(const char *who, bpf_rb_root *root, bpf_rb_node *node, u64 less) {
  Invocation *invocation = Invocation::current();
  check_locked(who);
  void *object = object_of(who, node, FieldKind::kRbNode);
  const std::optional<u32> subprog = invocation->program()->callback_subprog(less);
  if (!subprog.has_value()) invocation->violation("kfunc {}: argument 3 is not a function", who);
  if (taken(node, object)) return -EINVAL;
  const bool added = graphs().add(root, node, [&](void *other, bool *stop) {
    const RunResult result =
        invocation->call_back(*subprog, {reinterpret_cast<u64>(node), reinterpret_cast<u64>(other)});
    *stop = result.aborted();
    return static_cast<u8>(result.r0) != 0;
  });
  if (!added) invocation->unwind();
  return 0;
}

}  // namespace

USCX_KFUNC(kGeneric, 0, s32, bpf_list_push_front_impl,
           (struct bpf_list_head * head, struct bpf_list_node *node, void *meta__ign, u64 off__ign)) {
  (void)meta__ign, (void)off__ign;
  return push("bpf_list_push_front", head, node, true);
}
USCX_KFUNC(kGeneric, KF_IMPLICIT_ARGS, s32, bpf_list_push_front,
           (struct bpf_list_head * head, struct bpf_list_node *node)) {
  return push("bpf_list_push_front", head, node, true);
}

USCX_KFUNC(kGeneric, 0, s32, bpf_list_push_back_impl,
           (struct bpf_list_head * head, struct bpf_list_node *node, void *meta__ign, u64 off__ign)) {
  (void)meta__ign, (void)off__ign;
  return push("bpf_list_push_back", head, node, false);
}
USCX_KFUNC(kGeneric, KF_IMPLICIT_ARGS, s32, bpf_list_push_back,
           (struct bpf_list_head * head, struct bpf_list_node *node)) {
  return push("bpf_list_push_back", head, node, false);
}

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, struct bpf_list_node *, bpf_list_pop_front,
           (struct bpf_list_head * head)) {
  return pop("bpf_list_pop_front", head, true);
}
USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, struct bpf_list_node *, bpf_list_pop_back,
           (struct bpf_list_head * head)) {
  return pop("bpf_list_pop_back", head, false);
}
USCX_KFUNC(kGeneric, KF_RET_NULL, struct bpf_list_node *, bpf_list_front, (struct bpf_list_head * head)) {
  return peek("bpf_list_front", head, true);
}
USCX_KFUNC(kGeneric, KF_RET_NULL, struct bpf_list_node *, bpf_list_back, (struct bpf_list_head * head)) {
  return peek("bpf_list_back", head, false);
}

USCX_KFUNC(kGeneric, 0, s32, bpf_rbtree_add_impl,
           (struct bpf_rb_root * root, struct bpf_rb_node *node, bpf_rbtree_less_fn less, void *meta__ign,
            u64 off__ign)) {
  (void)meta__ign, (void)off__ign;
  return add("bpf_rbtree_add", root, node, less);
}
USCX_KFUNC(kGeneric, KF_IMPLICIT_ARGS, s32, bpf_rbtree_add,
           (struct bpf_rb_root * root, struct bpf_rb_node *node, bpf_rbtree_less_fn less)) {
  return add("bpf_rbtree_add", root, node, less);
}

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, struct bpf_rb_node *, bpf_rbtree_remove,
           (struct bpf_rb_root * root, struct bpf_rb_node *node)) {
  check_locked("bpf_rbtree_remove");
  return graphs().remove(root, node) ? node : nullptr;
}

USCX_KFUNC(kGeneric, KF_RET_NULL, struct bpf_rb_node *, bpf_rbtree_first, (struct bpf_rb_root * root)) {
  check_locked("bpf_rbtree_first");
  return static_cast<bpf_rb_node *>(graphs().first(root));
}
USCX_KFUNC(kGeneric, KF_RET_NULL, struct bpf_rb_node *, bpf_rbtree_root, (struct bpf_rb_root * root)) {
  check_locked("bpf_rbtree_root");
  return static_cast<bpf_rb_node *>(graphs().top(root));
}
USCX_KFUNC(kGeneric, KF_RET_NULL, struct bpf_rb_node *, bpf_rbtree_left,
           (struct bpf_rb_root * root, struct bpf_rb_node *node)) {
  check_locked("bpf_rbtree_left");
  return static_cast<bpf_rb_node *>(graphs().child(root, node, true));
}
USCX_KFUNC(kGeneric, KF_RET_NULL, struct bpf_rb_node *, bpf_rbtree_right,
           (struct bpf_rb_root * root, struct bpf_rb_node *node)) {
  check_locked("bpf_rbtree_right");
  return static_cast<bpf_rb_node *>(graphs().child(root, node, false));
}

}  // namespace uscx::bpf
