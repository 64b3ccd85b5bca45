// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/seq_file.h"

#include <errno.h>

#include <map>
#include <mutex>

#include "bpf/memory/region.h"

namespace uscx::bpf {

namespace {

// What programs see of it: nothing.
constexpr size_t kHandleBytes = 64;

struct Files {
  std::mutex lock;  // a leaf
  std::map<const void *, SeqFile *> by_address;
  RegionPool handles{Half::kReadOnly, kHandleBytes, 64};
  static Files &get() {
    static Files *files = new Files;
    return *files;
  }
};

}  // namespace

SeqFile::SeqFile(size_t limit) : limit_(limit), handle_(Files::get().handles.alloc()) {
  Files &files = Files::get();
  std::lock_guard hold(files.lock);
  files.by_address[handle_] = this;
}

SeqFile::~SeqFile() {
  Files &files = Files::get();
  {
    std::lock_guard hold(files.lock);
    files.by_address.erase(handle_);
  }
  files.handles.free(handle_);
}

SeqFile *SeqFile::find(const void *address) {
  Files &files = Files::get();
  std::lock_guard hold(files.lock);
  auto it = files.by_address.find(address);
  return it != files.by_address.end() ? it->second : nullptr;
}

int SeqFile::write(std::string_view bytes) {
  if (text_.size() + bytes.size() > limit_) {
    overflowed_ = true;
    return -EOVERFLOW;
  }
  text_ += bytes;
  return 0;
}

std::string SeqFile::take() {
  overflowed_ = false;
  return std::move(text_);
}

}  // namespace uscx::bpf
