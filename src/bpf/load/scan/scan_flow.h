// SPDX-License-Identifier: GPL-2.0-only
// Which instructions of an object can be reached. An abstract run of all programs at once: registers and stack slots
// hold a number of which some is known (known.h), or the address of constant data; a branch whose outcome is known is
// followed one way. What is not tracked is taken as reachable, so the answer errs on that side alone.
//
// Threading: pure.
#ifndef USCX_BPF_LOAD_SCAN_SCAN_FLOW_H_
#define USCX_BPF_LOAD_SCAN_SCAN_FLOW_H_

#include <array>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "bpf/isa/insn.h"
#include "bpf/isa/known.h"
#include "bpf/load/scan/scan_elf.h"

namespace uscx::bpf {

struct CodePoint {
  u32 section = 0;
  u32 insn = 0;
  auto operator<=>(const CodePoint &) const = default;
};

// What linking makes of one instruction.
struct LinkNote {
  enum class Kind : u8 {
    kConst,    // the immediate becomes `value`
    kUnknown,  // the immediate becomes something
    kNonZero,  // ld_imm64 of an address or id that is not zero
    kData,     // ld_imm64 of byte `value` of constants[index]
    kCode,     // call or ld_imm64 of the function at `code`
    kKfunc,    // a call out of the object
  };
  Kind kind = Kind::kUnknown;
  u64 value = 0;
  u32 index = 0;
  CodePoint code;
};

class ScanFlow {
 public:
  using Notes = std::map<CodePoint, LinkNote>;

  // `constants` are bytes that no one changes while programs run.
  ScanFlow(const ObjectFile &object, const Notes &notes, const std::vector<std::vector<u8>> &constants);

  // A program that the kernel may call.
  void add_entry(CodePoint entry);
  // Errors: code that leaves its section, or that would take absurdly long to follow.
  Status run();

  bool reached(CodePoint point) const { return reached_[point.section][point.insn]; }

 private:
  enum class Kind : u8 { kNumber, kData, kFrame, kSomeFrame };
  struct Value {
    Kind kind = Kind::kNumber;
    u32 index = 0;  // of kData
    Known known;    // the number; the constant offset of kData and (from r10) of kFrame
    bool operator==(const Value &) const = default;
    bool is_number() const { return kind == Kind::kNumber; }
    bool is_frame() const { return kind == Kind::kFrame || kind == Kind::kSomeFrame; }
    u64 offset() const { return known.number(); }
    Known as_number() const { return is_number() ? known : Known::non_zero(); }
  };
  struct Slot {
    u32 size = 0;
    Value value;
    bool operator==(const Slot &) const = default;
  };
  struct State {
    std::array<Value, kNumRegs> regs;
    std::map<s64, Slot> stack;  // by offset from r10
    bool escaped = false;       // an address of the frame is where we do not see it
    bool operator==(const State &) const = default;
  };
  static Value number(const Known &known) { return {Kind::kNumber, 0, known}; }
  static Value constant(u64 number) { return {Kind::kNumber, 0, Known::constant(number)}; }
  static Value non_zero() { return {Kind::kNumber, 0, Known::non_zero()}; }

  Value join(const Value &a, const Value &b, bool *escaped) const;
  void merge(CodePoint point, const State &state);
  void find_leaders(u32 section);
  void run_from(CodePoint point);

  // The effect of an instruction on `state`; jumps are merged where they go. Returns whether control falls through.
  bool step(CodePoint point, const OpInfo &op, const bpf_insn &insn, State *state);
  bool branch(CodePoint point, const OpInfo &op, const bpf_insn &insn, State *state);
  void jump(CodePoint point, s64 displacement, const State &state);
  void arithmetic(CodePoint point, const OpInfo &op, const bpf_insn &insn, State *state);
  void access_memory(const OpInfo &op, const bpf_insn &insn, State *state);
  void load_imm64(CodePoint point, const bpf_insn &insn, State *state);
  void call(CodePoint point, const OpInfo &op, const bpf_insn &insn, State *state);
  void enter(CodePoint function, const State &caller, bool with_args);
  static bool learn(const OpInfo &op, const bpf_insn &insn, bool outcome, Value a, Value b, State *state);
  Value alu(const OpInfo &op, const Value &a, const Value &b) const;
  Value load(const State &state, const Value &base, const OpInfo &op, s16 off) const;
  void store(State *state, const Value &base, s64 off, u32 size, const Value &value) const;
  Value immediate(CodePoint point, const OpInfo &op, const bpf_insn &insn) const;
  const LinkNote *note_at(CodePoint point) const;

  const ObjectFile &object_;
  const Notes &notes_;
  const std::vector<std::vector<u8>> &constants_;
  std::vector<std::vector<bool>> reached_;
  std::vector<std::vector<bool>> leaders_;
  std::map<CodePoint, State> states_;  // at leaders
  std::set<CodePoint> work_;
  u64 steps_ = 0;
  Status error_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_SCAN_SCAN_FLOW_H_
