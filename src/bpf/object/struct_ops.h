// SPDX-License-Identifier: GPL-2.0-only
// struct_ops: a table of callbacks that user space fills with programs and values and then registers. Its StructOpsType
// decides what the table means (the bridge has the type of sched_ext); this file knows maps of the type and their
// links.
//
// Life: the map is created empty (kInit), one update fills it (kReady, or kInUse without BPF_F_LINK), a link registers
// it, the link's end unregisters it.
#ifndef USCX_BPF_OBJECT_STRUCT_OPS_H_
#define USCX_BPF_OBJECT_STRUCT_OPS_H_

#include <string>
#include <string_view>
#include <vector>

#include "bpf/object/map.h"
#include "bpf/object/verify_rules.h"

namespace uscx::bpf {

class Prog;
class StructOpsMap;

// One member of the table's struct, from the BTF.
struct StructOpsMember {
  std::string name;
  u32 index = 0;
  u32 offset = 0;
  u32 size = 0;
  bool is_callback = false;  // a pointer to a function
};

class StructOpsType {
 public:
  virtual ~StructOpsType() = default;
  // The struct's name in the kernel BTF ("sched_ext_ops"); maps hold "bpf_struct_ops_" + name.
  virtual const char *name() const = 0;
  // Is the member acted upon? One that is not is refused, by check_member() and before that by the scan of an object.
  virtual bool is_implemented(std::string_view /*member*/) const { return true; }
  // May `prog` implement the callback? 0 or -errno with the reason in *why.
  virtual int check_member(const StructOpsMember &member, const Prog &prog, std::string *why) = 0;
  // May a sleepable program implement it?
  virtual bool may_sleep(const StructOpsMember &member) const = 0;
  // What a program for the callback is held to, but for whether it sleeps.
  virtual VerifyRules rules(const StructOpsMember &member) const { return {.caller = "ops." + member.name}; }
  // Sets a data member of `table` from what user space wrote: 1 if done, 0 to have it refused unless zero, or -errno.
  virtual int init_member(const StructOpsMember &member, const void *user_table, void *table) = 0;
  // The whole table is set: 0 or -errno.
  virtual int validate(StructOpsMap &map) = 0;
  // Starts and ends the use of the table. reg() returns 0 or the -errno that user space sees from attaching.
  virtual int reg(StructOpsMap &map) = 0;
  virtual void unreg(StructOpsMap &map) = 0;
};

class StructOpsMap final : public Map {
 public:
  enum class State { kInit, kReady, kInUse, kToBeFreed };

  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out);
  StructOpsMap(BpfSystem &system, const MapAttr &attr, StructOpsType &type, u32 struct_btf_id, u32 data_offset,
               std::vector<StructOpsMember> members);
  ~StructOpsMap() override;

  StructOpsType &type() const { return type_; }
  u32 struct_btf_id() const { return struct_btf_id_; }
  State state() const { return state_; }
  const std::vector<StructOpsMember> &members() const { return members_; }
  // The table as init_member() left it: the struct's bytes, callbacks zero.
  void *table() { return table_.data(); }
  // The program of a callback, or null.
  Prog *prog(u32 member_index) const;
  Prog *prog(std::string_view member_name) const;

  // Registers and unregisters for a link; -errno.
  int attach();
  void detach();
  bool attached() const { return attached_; }

  void *lookup(const void *key) override;
  int update(const void *key, const void *value, u64 flags) override;
  int erase(const void *key) override;
  int next_key(const void *key, void *next) override;
  int user_update(const void *key, const void *value, u64 flags) override;
  int user_lookup(const void *key, void *value, u64 flags) override;
  int user_erase(const void *key) override;
  void user_released() override;

 private:
  int fill(const u8 *value);
  int set_callback(const StructOpsMember &member, u64 fd);

  StructOpsType &type_;
  const u32 struct_btf_id_;
  const u32 data_offset_;  // of the struct in the map's value
  const std::vector<StructOpsMember> members_;
  State state_ = State::kInit;
  bool attached_ = false;
  std::vector<u8> table_;
  std::vector<u8> user_value_;
  std::vector<std::shared_ptr<Prog>> progs_;  // by member index
};

// A link of a struct_ops map. Its destruction detaches.
class StructOpsLink final : public Object {
 public:
  StructOpsLink(BpfSystem &system, std::shared_ptr<StructOpsMap> map);
  ~StructOpsLink() override;
  StructOpsMap *map() const { return map_.get(); }  // null once detached
  int detach();
  void user_released() override;

 private:
  std::shared_ptr<StructOpsMap> map_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_STRUCT_OPS_H_
