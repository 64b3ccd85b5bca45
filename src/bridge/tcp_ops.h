// SPDX-License-Identifier: GPL-2.0-only
// tcp_congestion_ops: a struct_ops that is no scheduler's. Its tables and programs load, under the rules of such
// programs; there is no network to attach a table to. Threading: as BpfSystem.
#ifndef USCX_BRIDGE_TCP_OPS_H_
#define USCX_BRIDGE_TCP_OPS_H_

#include <errno.h>

#include <cstring>

#include "bpf/object/bpf_system.h"
#include "bpf/object/struct_ops.h"

namespace uscx::bridge {

class TcpCongestionType final : public bpf::StructOpsType {
 public:
  const char *name() const override { return "tcp_congestion_ops"; }
  int check_member(const bpf::StructOpsMember &, const bpf::Prog &, std::string *) override { return 0; }
  bool may_sleep(const bpf::StructOpsMember &) const override { return false; }
  bpf::VerifyRules rules(const bpf::StructOpsMember &member) const override {
    return {.caller = "tcp_congestion_ops." + member.name, .groups = 0};
  }
  int init_member(const bpf::StructOpsMember &member, const void *user_table, void *table) override {
    if (member.is_callback || member.name == "key") return 0;
    std::memcpy(static_cast<char *>(table) + member.offset, static_cast<const char *>(user_table) + member.offset,
                member.size);
    return 1;
  }
  int validate(bpf::StructOpsMap &) override { return 0; }
  // FIDELITY: no-network.
  int reg(bpf::StructOpsMap &map) override {
    map.system().log("bpf: tcp_congestion_ops " + map.name() + " cannot be attached: there is no network");
    return -EOPNOTSUPP;
  }
  void unreg(bpf::StructOpsMap &) override {}
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_TCP_OPS_H_
