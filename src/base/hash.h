// SPDX-License-Identifier: GPL-2.0-only
// A 64-bit hash of a byte sequence, the same on every machine and in every build. trace_hash and the named random
// streams rest on it, so it must never change. Words are mixed as in MurmurHash3's finaliser, FNV-1a style.
#ifndef USCX_BASE_HASH_H_
#define USCX_BASE_HASH_H_

#include <cstddef>
#include <cstring>

#include "base/types.h"

namespace uscx {

class Hash64 {
 public:
  void add(u64 word) {
    word *= 0xff51afd7ed558ccdull;
    word ^= word >> 32;
    state_ = (state_ ^ word) * 0x9e3779b97f4a7c15ull;
    state_ ^= state_ >> 29;
  }
  void add_bytes(const void *data, size_t size) {
    const char *bytes = static_cast<const char *>(data);
    add(size);
    for (size_t i = 0; i < size; i += 8) {
      u64 word = 0;
      std::memcpy(&word, bytes + i, size - i < 8 ? size - i : 8);
      add(word);
    }
  }
  u64 value() const { return state_; }

 private:
  u64 state_ = 0xcbf29ce484222325ull;
};

}  // namespace uscx

#endif  // USCX_BASE_HASH_H_
