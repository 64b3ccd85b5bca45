// SPDX-License-Identifier: GPL-2.0-only
// PROG_ARRAY: programs that bpf_tail_call() goes on in. User space gives a program's descriptor and reads its id. All
// of a map's programs, and those that use it, are of one kind, which the first of them sets.
//
// Threading: lock_ protects the slots. A program that is taken out stays until no invocation can be in it any more.
#ifndef USCX_BPF_MAPS_PROG_ARRAY_H_
#define USCX_BPF_MAPS_PROG_ARRAY_H_

#include <memory>
#include <optional>
#include <vector>

#include "bpf/object/map.h"
#include "machine/sync.h"

namespace uscx::bpf {

class Prog;

class ProgArray final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out);
  ProgArray(BpfSystem &system, const MapAttr &attr);

  // The program of a slot, for as long as the invocation lasts; null if there is none.
  Prog *at(u32 index);
  // Whether programs of this kind may be in it and use it; the first that is asked about says which kind that is.
  bool fits(const Prog &prog);

  void *lookup(const void *) override { return nullptr; }
  int update(const void *, const void *, u64) override { return -kENotSupp; }
  int erase(const void *key) override;
  int next_key(const void *key, void *next) override;
  int user_lookup(const void *key, void *value, u64 flags) override;
  int user_update(const void *key, const void *value, u64 flags) override;
  // Programs that are in each other's maps would hold each other for ever.
  void user_released() override;

 private:
  struct Kind {
    u32 type, attach_type, prototype;
    bool sleepable;
    bool operator==(const Kind &) const = default;
  };
  static u32 index_of(const void *key) { return *static_cast<const u32 *>(key); }
  int put(u32 index, std::shared_ptr<Prog> prog);

  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "bpf prog array"};
  std::vector<std::shared_ptr<Prog>> slots_;  // guarded by lock_
  std::optional<Kind> kind_;                  // commands alone use it
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_MAPS_PROG_ARRAY_H_
