// SPDX-License-Identifier: GPL-2.0-only
// Encodes x86-64 instructions into a buffer. It knows encodings and nothing of BPF; positions are offsets into the
// buffer. Code refers to itself by relative displacements, so the buffer may be copied to its place afterwards; calls
// to absolute addresses are recorded and resolved then.
#ifndef USCX_BPF_EXEC_ARCH_X86_64_EMITTER_H_
#define USCX_BPF_EXEC_ARCH_X86_64_EMITTER_H_

#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/types.h"

namespace uscx::bpf::x86 {

enum Reg : u8 { rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 };
// Condition codes, as in the low nibble of jcc.
enum Cc : u8 {
  kBelow = 2,
  kAboveEq = 3,
  kEqual = 4,
  kNotEqual = 5,
  kBelowEq = 6,
  kAbove = 7,
  kSign = 8,
  kNotSign = 9,
  kLess = 12,
  kGreaterEq = 13,
  kLessEq = 14,
  kGreater = 15
};
// The eight classic two-operand operations, by their opcode number.
enum Alu : u8 { kAdd = 0, kOr = 1, kAnd = 4, kSub = 5, kXor = 6, kCmp = 7 };
enum Shift : u8 { kRor = 1, kShl = 4, kShr = 5, kSar = 7 };

struct Mem {
  Reg base;
  s32 disp;
};

inline Cc inverse(Cc cc) { return Cc(cc ^ 1); }

class Emitter {
 public:
  void reserve(size_t bytes) {
    if (bytes > code_.size()) code_.resize(bytes);
  }
  u32 pos() const { return pos_; }
  // What has been emitted; nothing can be added afterwards.
  std::vector<u8> take_code() {
    code_.resize(pos_);
    return std::move(code_);
  }

  void mov(bool w, Reg dst, Reg src) { rr(w, 0x89, src, dst); }
  void mov_imm32(Reg dst, u32 imm) { opt_rex(false, 0, dst, false), byte(0xb8 | (dst & 7)), word32(imm); }
  void mov_imm(Reg dst, u64 imm) {
    if (imm == 0) return alu(false, kXor, dst, dst);
    if (imm <= 0xffffffffu) return mov_imm32(dst, u32(imm));
    if (s64(imm) == s64(s32(imm))) return r_imm32(0xc7, 0, dst, u32(imm));
    opt_rex(true, 0, dst, false), byte(0xb8 | (dst & 7)), word32(u32(imm)), word32(u32(imm >> 32));
  }
  void alu(bool w, Alu op, Reg dst, Reg src) { rr(w, u8(op << 3 | 1), src, dst); }
  void alu_imm(bool w, Alu op, Reg dst, s32 imm) {
    opt_rex(w, 0, dst, false);
    const bool small = imm == s8(imm);
    byte(small ? 0x83 : 0x81), modrm_reg(op, dst);
    small ? byte(u8(imm)) : word32(u32(imm));
  }
  void alu_mem(bool w, Alu op, Reg dst, Mem m) {
    opt_rex(w, dst, m.base, false), byte(u8(op << 3 | 3)), modrm_mem(dst, m);
  }
  void alu_mem_imm(bool w, Alu op, Mem m, s32 imm) {
    opt_rex(w, 0, m.base, false);
    const bool small = imm == s8(imm);
    byte(small ? 0x83 : 0x81), modrm_mem(op, m);
    small ? byte(u8(imm)) : word32(u32(imm));
  }
  void test(bool w, Reg a, Reg b) { rr(w, 0x85, b, a); }
  void test_imm(bool w, Reg a, u32 imm) { opt_rex(w, 0, a, false), byte(0xf7), modrm_reg(0, a), word32(imm); }
  void neg(bool w, Reg r) { opt_rex(w, 0, r, false), byte(0xf7), modrm_reg(3, r); }
  void imul(bool w, Reg dst, Reg src) { opt_rex(w, dst, src, false), byte(0x0f), byte(0xaf), modrm_reg(dst, src); }
  void imul_imm(bool w, Reg dst, Reg src, s32 imm) {
    opt_rex(w, dst, src, false), byte(0x69), modrm_reg(dst, src), word32(u32(imm));
  }
  void div(bool w, Reg by) { opt_rex(w, 0, by, false), byte(0xf7), modrm_reg(6, by); }
  void idiv(bool w, Reg by) { opt_rex(w, 0, by, false), byte(0xf7), modrm_reg(7, by); }
  void cdq(bool w) {
    if (w) byte(0x48);
    byte(0x99);
  }
  void shift_imm(bool w, Shift op, Reg r, u8 by) { opt_rex(w, 0, r, false), byte(0xc1), modrm_reg(op, r), byte(by); }
  void shift_cl(bool w, Shift op, Reg r) { opt_rex(w, 0, r, false), byte(0xd3), modrm_reg(op, r); }
  void ror16(Reg r, u8 by) { byte(0x66), shift_imm(false, kRor, r, by); }
  // BMI2: dst = src shifted by the low bits of `by`, flags untouched.
  void shift_x(bool w, Shift op, Reg dst, Reg src, Reg by) {
    byte(0xc4);
    byte(u8((dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 2));
    byte(u8((w ? 0x80 : 0) | (~by & 15) << 3 | (op == kShl ? 1 : op == kSar ? 2 : 3)));
    byte(0xf7), modrm_reg(dst, src);
  }
  void bswap(bool w, Reg r) { opt_rex(w, 0, r, false), byte(0x0f), byte(u8(0xc8 | (r & 7))); }
  void movzx(Reg dst, Reg src, u8 size) {
    opt_rex(false, dst, src, size == 1 && src >= 4), byte(0x0f), byte(size == 1 ? 0xb6 : 0xb7), modrm_reg(dst, src);
  }
  void movsx(bool w, Reg dst, Reg src, u8 size) {
    opt_rex(w, dst, src, size == 1 && src >= 4);
    if (size == 4)
      byte(0x63);
    else
      byte(0x0f), byte(size == 1 ? 0xbe : 0xbf);
    modrm_reg(dst, src);
  }
  void lea(Reg dst, Mem m) { opt_rex(true, dst, m.base, false), byte(0x8d), modrm_mem(dst, m); }
  void load(Reg dst, Mem m, u8 size, bool sign = false) {
    opt_rex(sign || size == 8, dst, m.base, false);
    if (sign && size == 4)
      byte(0x63);
    else if (size >= 4)
      byte(0x8b);
    else
      byte(0x0f), byte(u8((sign ? 0xbe : 0xb6) | (size == 2)));
    modrm_mem(dst, m);
  }
  void store(Mem m, Reg src, u8 size) {
    if (size == 2) byte(0x66);
    opt_rex(size == 8, src, m.base, size == 1 && src >= 4);
    byte(size == 1 ? 0x88 : 0x89), modrm_mem(src, m);
  }
  void store_imm(Mem m, s32 imm, u8 size) {
    if (size == 2) byte(0x66);
    opt_rex(size == 8, 0, m.base, false);
    byte(size == 1 ? 0xc6 : 0xc7), modrm_mem(0, m);
    if (size == 1)
      byte(u8(imm));
    else if (size == 2)
      byte(u8(imm)), byte(u8(imm >> 8));
    else
      word32(u32(imm));
  }
  void lock() { byte(0xf0); }
  void alu_to_mem(bool w, Alu op, Mem m, Reg src) {
    opt_rex(w, src, m.base, false), byte(u8(op << 3 | 1)), modrm_mem(src, m);
  }
  void xadd(bool w, Mem m, Reg src) { opt_rex(w, src, m.base, false), byte(0x0f), byte(0xc1), modrm_mem(src, m); }
  void cmpxchg(bool w, Mem m, Reg src) { opt_rex(w, src, m.base, false), byte(0x0f), byte(0xb1), modrm_mem(src, m); }
  void xchg_mem(bool w, Mem m, Reg src) { opt_rex(w, src, m.base, false), byte(0x87), modrm_mem(src, m); }
  void inc_mem64(Mem m) { opt_rex(true, 0, m.base, false), byte(0xff), modrm_mem(0, m); }
  void dec_mem64(Mem m) { opt_rex(true, 0, m.base, false), byte(0xff), modrm_mem(1, m); }
  void push(Reg r) {
    if (r & 8) byte(0x41);
    byte(u8(0x50 | (r & 7)));
  }
  void pop(Reg r) {
    if (r & 8) byte(0x41);
    byte(u8(0x58 | (r & 7)));
  }
  void ret() { byte(0xc3); }
  void call_reg(Reg r) {
    if (r & 8) byte(0x41);
    byte(0xff), modrm_reg(2, r);
  }
  void trap() { byte(0x0f), byte(0x0b); }

  // Jumps return the position of their displacement, for patch(); those to a known place choose the short form.
  u32 jcc(Cc cc) {
    byte(0x0f), byte(u8(0x80 | cc)), word32(0);
    return pos() - 4;
  }
  u32 jmp() {
    byte(0xe9), word32(0);
    return pos() - 4;
  }
  u32 call() {
    byte(0xe8), word32(0);
    return pos() - 4;
  }
  void jcc_to(Cc cc, u32 target) {
    const s32 near = s32(target) - s32(pos()) - 2;
    if (near == s8(near)) {
      byte(u8(0x70 | cc)), byte(u8(near));
      return;
    }
    patch(jcc(cc), target);
  }
  void jmp_to(u32 target) {
    const s32 near = s32(target) - s32(pos()) - 2;
    if (near == s8(near)) {
      byte(0xeb), byte(u8(near));
      return;
    }
    patch(jmp(), target);
  }
  // A forward jump over a few bytes; the result is for patch8().
  u32 jcc8(Cc cc) {
    byte(u8(0x70 | cc)), byte(0);
    return pos() - 1;
  }
  u32 jmp8() {
    byte(0xeb), byte(0);
    return pos() - 1;
  }
  void patch8(u32 at) {
    const u32 distance = pos() - at - 1;
    CHECK(distance < 128);
    code_[at] = u8(distance);
  }
  void patch(u32 at, u32 target) {
    const s32 relative = s32(target) - s32(at) - 4;
    std::memcpy(&code_[at], &relative, 4);
  }
  void patch_here(u32 at) { patch(at, pos()); }

  // Calls and jumps to addresses outside of the buffer.
  struct External {
    u32 at;
    u64 target;
  };
  void call_external(u64 target) { externals_.push_back({call(), target}); }
  void jmp_external(u64 target) { externals_.push_back({jmp(), target}); }
  const std::vector<External> &externals() const { return externals_; }

 private:
  // The buffer is longer than what is in it, so that a byte costs a comparison and a store.
  void byte(u8 b) {
    if (pos_ == code_.size()) [[unlikely]]
      grow();
    code_[pos_++] = b;
  }
  void word32(u32 v) {
    if (pos_ + 4 > code_.size()) [[unlikely]]
      grow();
    std::memcpy(&code_[pos_], &v, 4);
    pos_ += 4;
  }
  [[gnu::noinline]] void grow() { code_.resize(code_.size() * 2 + 64); }
  void opt_rex(bool w, u8 reg, u8 rm, bool force) {
    const u8 rex = u8(0x40 | (w ? 8 : 0) | (reg & 8 ? 4 : 0) | (rm & 8 ? 1 : 0));
    if (rex != 0x40 || force) byte(rex);
  }
  void modrm_reg(u8 reg, u8 rm) { byte(u8(0xc0 | (reg & 7) << 3 | (rm & 7))); }
  // rsp and r12 as a base need a SIB byte; rbp and r13 need a displacement.
  void modrm_mem(u8 reg, Mem m) {
    const u8 low = m.base & 7;
    const u8 mode = m.disp == 0 && low != 5 ? 0 : m.disp == s8(m.disp) ? 1 : 2;
    byte(u8(mode << 6 | (reg & 7) << 3 | low));
    if (low == 4) byte(0x24);
    if (mode == 1) byte(u8(m.disp));
    if (mode == 2) word32(u32(m.disp));
  }
  void rr(bool w, u8 opcode, Reg reg, Reg rm) { opt_rex(w, reg, rm, false), byte(opcode), modrm_reg(reg, rm); }
  void r_imm32(u8 opcode, u8 ext, Reg rm, u32 imm) {
    opt_rex(true, 0, rm, false), byte(opcode), modrm_reg(ext, rm), word32(imm);
  }

  std::vector<u8> code_;
  u32 pos_ = 0;
  std::vector<External> externals_;
};

}  // namespace uscx::bpf::x86

#endif  // USCX_BPF_EXEC_ARCH_X86_64_EMITTER_H_
