// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/object.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/need.h"
#include "bpf/object/bpf_system.h"

namespace uscx::bpf {

Object::Object(BpfSystem &system, ObjectKind kind, std::string name)
    : system_(system), kind_(kind), name_(std::move(name)) {
  static constexpr const char *kKindNames[] = {"bpf-map", "bpf-prog", "btf", "bpf_link", "[perf_event]", "bpf_iter"};
  memfd_ = memfd_create(kKindNames[static_cast<int>(kind)], MFD_CLOEXEC);
  NEED(memfd_ >= 0, "no descriptor for a BPF object (memfd_create): {}", host_error(errno));
  struct stat st;
  CHECK(fstat(memfd_, &st) == 0);
  identity_ = {st.st_dev, st.st_ino};
  id_ = system_.register_object(this);
}

Object::~Object() {
  system_.forget_object(this);
  ::close(memfd_);
}

int Object::resize_memfd(u64 size) { return ftruncate(memfd_, static_cast<off_t>(size)) == 0 ? 0 : -errno; }

}  // namespace uscx::bpf
