// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs that make and end objects of the program's own types. The names with _impl are those of headers for kernels
// that did not fill in the hidden arguments themselves.
#include "bpf/object/alloc.h"

#include "bpf/exec/exec.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/btf_object.h"
#include "bpf/object/graph.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/prog.h"

namespace uscx::bpf {

namespace {

AllocTable &allocs() { return BpfSystem::current()->allocs(); }

std::shared_ptr<const AllocType> type_of(const char *who, u64 local_type_id) {
  const Prog *prog = running_prog();
  const Btf *btf = prog != nullptr ? prog->attr().btf.get() : nullptr;
  auto type = btf != nullptr ? btf->alloc_type(local_type_id) : nullptr;
  if (type == nullptr)
    Invocation::current()->violation("kfunc {}: type {} is no struct of the program", who, local_type_id);
  return type;
}

void *make(const char *who, u64 local_type_id) { return allocs().make(type_of(who, local_type_id)); }
void *make_percpu(const char *who, u64 local_type_id) { return allocs().make_percpu(type_of(who, local_type_id)); }

void check_live(const char *who, const void *object, bool percpu) {
  if (!allocs().is_live(object) || allocs().is_percpu(object) != percpu)
    Invocation::current()->violation("kfunc {}: argument 1 ({:#x}) is not a live {}object", who,
                                     reinterpret_cast<u64>(object), percpu ? "per-CPU " : "");
}

void drop(const char *who, void *object, bool percpu) {
  check_live(who, object, percpu);
  allocs().drop(object);
}

void *acquire(const char *who, void *object) {
  check_live(who, object, false);
  if (!allocs().acquire(object)) Invocation::current()->violation("kfunc {}: the object has no bpf_refcount", who);
  return object;
}

}  // namespace

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, void *, bpf_obj_new_impl, (u64 local_type_id__k, void *meta__ign)) {
  (void)meta__ign;
  return make("bpf_obj_new", local_type_id__k);
}
USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL | KF_IMPLICIT_ARGS, void *, bpf_obj_new, (u64 local_type_id__k)) {
  return make("bpf_obj_new", local_type_id__k);
}

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, void *, bpf_percpu_obj_new_impl,
           (u64 local_type_id__k, void *meta__ign)) {
  (void)meta__ign;
  return make_percpu("bpf_percpu_obj_new", local_type_id__k);
}
USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL | KF_IMPLICIT_ARGS, void *, bpf_percpu_obj_new, (u64 local_type_id__k)) {
  return make_percpu("bpf_percpu_obj_new", local_type_id__k);
}

USCX_KFUNC(kGeneric, KF_RELEASE, void, bpf_obj_drop_impl, (void *p__alloc, void *meta__ign)) {
  (void)meta__ign;
  drop("bpf_obj_drop", p__alloc, false);
}
USCX_KFUNC(kGeneric, KF_RELEASE | KF_IMPLICIT_ARGS, void, bpf_obj_drop, (void *p__alloc)) {
  drop("bpf_obj_drop", p__alloc, false);
}

USCX_KFUNC(kGeneric, KF_RELEASE, void, bpf_percpu_obj_drop_impl, (void *p__alloc, void *meta__ign)) {
  (void)meta__ign;
  drop("bpf_percpu_obj_drop", p__alloc, true);
}
USCX_KFUNC(kGeneric, KF_RELEASE | KF_IMPLICIT_ARGS, void, bpf_percpu_obj_drop, (void *p__alloc)) {
  drop("bpf_percpu_obj_drop", p__alloc, true);
}

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, void *, bpf_refcount_acquire_impl,
           (void *p__refcounted_kptr, void *meta__ign)) {
  (void)meta__ign;
  return acquire("bpf_refcount_acquire", p__refcounted_kptr);
}
USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL | KF_IMPLICIT_ARGS, void *, bpf_refcount_acquire,
           (void *p__refcounted_kptr)) {
  return acquire("bpf_refcount_acquire", p__refcounted_kptr);
}

}  // namespace uscx::bpf
