// SPDX-License-Identifier: GPL-2.0-only
// An assembler for tests: the notation of the disassembler (insn.h), one instruction a line or between semicolons, with
// labels ("again:") as jump targets and names for called functions. It CHECKs on what it cannot read.
//
//   r0 = 5 ; w1 += w2 ; r2 = (s8)r3 ; r1 = be16 r1 ; r0 = *(u32 *)(r1 + 8) ; *(u8 *)(r10 - 1) = 7
//   if r1 s> 5 goto out ; lock add *(u64 *)(r1 + 0), r2 ; r2 = fetch_add *(u32 *)(r1 + 0) ; call name ; callsub label
#ifndef USCX_BPF_EXEC_CONFORMANCE_ASM_H_
#define USCX_BPF_EXEC_CONFORMANCE_ASM_H_

#include <cstdlib>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "base/check.h"
#include "bpf/isa/insn.h"

namespace uscx::bpf {

struct Assembled {
  std::vector<bpf_insn> insns;
  std::map<u32, std::string> calls;  // slot to name
  std::map<std::string, u32> labels;
};

class Assembler {
 public:
  static Assembled assemble(const std::string &text) {
    Assembler a;
    std::string line;
    for (char c : text + "\n") {
      if (c != '\n' && c != ';') {
        line += c;
        continue;
      }
      a.line(line);
      line.clear();
    }
    a.resolve();
    return std::move(a.out_);
  }

 private:
  using Match = std::smatch;

  static bool match(const std::string &s, const char *pattern, Match &m) {
    static std::map<std::string, std::regex> cache;
    auto it = cache.find(pattern);
    if (it == cache.end()) it = cache.emplace(pattern, std::regex(pattern)).first;
    return std::regex_match(s, m, it->second);
  }
  static u8 reg(const std::string &s) { return u8(std::atoi(s.c_str())); }
  static s64 number(const std::string &s) { return s64(std::strtoull(s.c_str(), nullptr, 0)); }
  static s16 offset(const std::string &sign, const std::string &n) { return s16(number(n) * (sign == "-" ? -1 : 1)); }
  static u8 size_bits(const std::string &bits) {
    return bits == "32" ? 0 : bits == "16" ? 8 : bits == "8" ? 0x10 : 0x18;
  }

  void emit(u8 code, u8 dst, u8 src, s16 off, s32 imm) {
    bpf_insn insn = {};
    insn.code = code;
    insn.dst_reg = dst & 15;
    insn.src_reg = src & 15;
    insn.off = off;
    insn.imm = imm;
    out_.insns.push_back(insn);
  }

  void line(std::string s) {
    const size_t first = s.find_first_not_of(" \t");
    if (first == std::string::npos) return;
    s = s.substr(first, s.find_last_not_of(" \t") - first + 1);
    Match m;
    if (match(s, R"((\w+):)", m)) {
      out_.labels[m[1]] = u32(out_.insns.size());
    } else if (!flow(s) && !memory(s) && !arithmetic(s)) {
      CHECK(false, "cannot assemble '{}'", s);
    }
  }

  bool flow(const std::string &s) {
    Match m;
    if (s == "exit") return emit(0x95, 0, 0, 0, 0), true;
    if (match(s, R"((goto|gotol|may_goto) (\w+))", m)) {
      jumps_.push_back({u32(out_.insns.size()), m[2], m[1] == "gotol"});
      return emit(m[1] == "goto" ? 0x05 : m[1] == "gotol" ? 0x06 : 0xe5, 0, 0, 0, 0), true;
    }
    if (match(s, R"(callsub (\w+))", m)) {
      jumps_.push_back({u32(out_.insns.size()), m[1], true});
      return emit(0x85, 0, kCallSubprog, 0, 0), true;
    }
    if (match(s, R"(call (\w+))", m)) {
      out_.calls[u32(out_.insns.size())] = m[1];
      return emit(0x85, 0, kCallHelper, 0, 1), true;
    }
    if (match(s, R"(r(\d+) = func (\w+))", m)) {
      jumps_.push_back({u32(out_.insns.size()), m[2], true});
      emit(0x18, reg(m[1]), kImm64Func, 0, 0);
      return emit(0, 0, 0, 0, 0), true;
    }
    if (!match(s, R"(if ([rw])(\d+) (\S+) (?:([rw])(\d+)|(-?\w+)) goto (\w+))", m)) return false;
    static const std::map<std::string, u8> conds = {{"==", 0x10}, {">", 0x20},  {">=", 0x30},  {"&", 0x40},
                                                    {"!=", 0x50}, {"s>", 0x60}, {"s>=", 0x70}, {"<", 0xa0},
                                                    {"<=", 0xb0}, {"s<", 0xc0}, {"s<=", 0xd0}};
    const u8 cls = m[1] == "r" ? 5 : 6;
    jumps_.push_back({u32(out_.insns.size()), m[7], false});
    const bool by_reg = m[5].matched;
    emit(u8(conds.at(m[3]) | cls | (by_reg ? 8 : 0)), reg(m[2]), by_reg ? reg(m[5]) : 0, 0,
         by_reg ? 0 : s32(number(m[6])));
    return true;
  }

  bool memory(const std::string &s) {
    static const std::map<std::string, s32> ops = {{"add", 0},    {"or", 0x40},   {"and", 0x50},
                                                   {"xor", 0xa0}, {"xchg", 0xe0}, {"cmpxchg", 0xf0}};
    Match m;
    if (match(s, R"(r(\d+) = \*\(([us])(\d+) \*\)\(r(\d+) ([+-]) (\d+)\))", m))
      return emit(u8((m[2] == "s" ? 0x80 : 0x60) | 1 | size_bits(m[3])), reg(m[1]), reg(m[4]), offset(m[5], m[6]), 0),
             true;
    if (match(s, R"(\*\(u(\d+) \*\)\(r(\d+) ([+-]) (\d+)\) = r(\d+))", m))
      return emit(u8(0x63 | size_bits(m[1])), reg(m[2]), reg(m[5]), offset(m[3], m[4]), 0), true;
    if (match(s, R"(\*\(u(\d+) \*\)\(r(\d+) ([+-]) (\d+)\) = (-?\w+))", m))
      return emit(u8(0x62 | size_bits(m[1])), reg(m[2]), 0, offset(m[3], m[4]), s32(number(m[5]))), true;
    if (match(s, R"(lock (\w+) \*\(u(\d+) \*\)\(r(\d+) ([+-]) (\d+)\), [rw](\d+))", m))
      return emit(u8(0xc3 | size_bits(m[2])), reg(m[3]), reg(m[6]), offset(m[4], m[5]), ops.at(m[1])), true;
    if (match(s, R"([rw](\d+) = fetch_(\w+) \*\(u(\d+) \*\)\(r(\d+) ([+-]) (\d+)\))", m))
      return emit(u8(0xc3 | size_bits(m[3])), reg(m[4]), reg(m[1]), offset(m[5], m[6]), ops.at(m[2]) | 1), true;
    if (match(s, R"(r(\d+) = load_acquire\(\*\(u(\d+) \*\)\(r(\d+) ([+-]) (\d+)\)\))", m))
      return emit(u8(0xc3 | size_bits(m[2])), reg(m[1]), reg(m[3]), offset(m[4], m[5]), 0x100), true;
    if (match(s, R"(store_release\(\*\(u(\d+) \*\)\(r(\d+) ([+-]) (\d+)\), r(\d+)\))", m))
      return emit(u8(0xc3 | size_bits(m[1])), reg(m[2]), reg(m[5]), offset(m[3], m[4]), 0x110), true;
    return false;
  }

  bool arithmetic(const std::string &s) {
    static const std::map<std::string, std::pair<u8, s16>> ops = {
        {"+=", {0x00, 0}},  {"-=", {0x10, 0}}, {"*=", {0x20, 0}},  {"/=", {0x30, 0}},  {"s/=", {0x30, 1}},
        {"|=", {0x40, 0}},  {"&=", {0x50, 0}}, {"<<=", {0x60, 0}}, {">>=", {0x70, 0}}, {"%=", {0x90, 0}},
        {"s%=", {0x90, 1}}, {"^=", {0xa0, 0}}, {"=", {0xb0, 0}},   {"s>>=", {0xc0, 0}}};
    Match m;
    if (match(s, R"(r(\d+) = (-?\w+) ll)", m)) {
      const u64 value = u64(number(m[2]));
      emit(0x18, reg(m[1]), 0, 0, s32(u32(value)));
      return emit(0, 0, 0, 0, s32(u32(value >> 32))), true;
    }
    if (match(s, R"(r(\d+) = addr_space_cast\(r(\d+), (\d), (\d)\))", m))
      return emit(0xbf, reg(m[1]), reg(m[2]), 1, m[3] == "0" ? 1 : 1 << 16), true;
    if (match(s, R"(([rw])(\d+) = -[rw]\2)", m)) return emit(m[1] == "r" ? 0x87 : 0x84, reg(m[2]), 0, 0, 0), true;
    if (match(s, R"(([rw])(\d+) = \(s(\d+)\)[rw](\d+))", m))
      return emit(m[1] == "r" ? 0xbf : 0xbc, reg(m[2]), reg(m[4]), s16(number(m[3])), 0), true;
    if (match(s, R"(r(\d+) = (le|be|bswap)(\d+) r\1)", m))
      return emit(m[2] == "le" ? 0xd4 : m[2] == "be" ? 0xdc : 0xd7, reg(m[1]), 0, 0, s32(number(m[3]))), true;
    if (!match(s, R"(([rw])(\d+) *(\S*?=) *(?:([rw])(\d+)|(-?\w+)))", m) || !ops.count(m[3])) return false;
    const auto [code, off] = ops.at(m[3]);
    const bool by_reg = m[5].matched;
    emit(u8(code | (m[1] == "r" ? 7 : 4) | (by_reg ? 8 : 0)), reg(m[2]), by_reg ? reg(m[5]) : 0, off,
         by_reg ? 0 : s32(number(m[6])));
    return true;
  }

  void resolve() {
    for (const Jump &jump : jumps_) {
      CHECK(out_.labels.count(jump.label), "no label {}", jump.label);
      const s64 distance = s64{out_.labels[jump.label]} - jump.at - 1;
      if (jump.in_imm)
        out_.insns[jump.at].imm = s32(distance);
      else
        out_.insns[jump.at].off = s16(distance);
    }
  }

  struct Jump {
    u32 at;
    std::string label;
    bool in_imm;
  };
  Assembled out_;
  std::vector<Jump> jumps_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_EXEC_CONFORMANCE_ASM_H_
