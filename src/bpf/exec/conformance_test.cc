// SPDX-License-Identifier: GPL-2.0-only
// The conformance corpus of values: what each instruction computes, on interpreter and JIT. What goes wrong in programs
// is in exec_test.cc.
#include "bpf/exec/conformance_run.h"

namespace uscx::bpf {
namespace {

struct Case {
  const char *name;
  const char *text;
  u64 r0;
};

// In the cases with memory: r6 is the read-write buffer, byte i of which is i * 7 + 0x81.
#define RW "r6 = *(u64 *)(r1 + 0);"

constexpr Case kAlu64[] = {
    {"mov_imm", "r0 = 7; exit", 7},
    {"mov_imm_sign_extends", "r0 = -1; exit", ~0ull},
    {"mov_imm_min", "r0 = -2147483648; exit", 0xffffffff80000000},
    {"mov_imm_zero", "r0 = 5; r0 = 0; exit", 0},
    {"mov_reg", "r3 = 9; r0 = r3; exit", 9},
    {"mov_self", "r0 = 9; r0 = r0; exit", 9},
    {"ld_imm64", "r0 = 0x123456789abcdef0 ll; exit", 0x123456789abcdef0},
    {"ld_imm64_low", "r0 = 0xdeadbeef ll; exit", 0xdeadbeef},
    {"ld_imm64_minus", "r9 = 0xffffffffffffff00 ll; r0 = r9; exit", 0xffffffffffffff00},
    {"add_imm", "r0 = 7; r0 += 5; exit", 12},
    {"add_imm_big", "r0 = 1; r0 += 0x12345678; exit", 0x12345679},
    {"add_imm_minus", "r0 = 1; r0 += -2; exit", ~0ull},
    {"add_reg", "r0 = 7; r8 = 0x100000000 ll; r0 += r8; exit", 0x100000007},
    {"add_wraps", "r0 = -1; r0 += 1; exit", 0},
    {"sub_imm", "r0 = 7; r0 -= 8; exit", ~0ull},
    {"sub_reg", "r0 = 7; r2 = 3; r0 -= r2; exit", 4},
    {"mul_imm", "r0 = 7; r0 *= -3; exit", u64(-21)},
    {"mul_reg", "r0 = 0x100000001 ll; r4 = 0x10; r0 *= r4; exit", 0x1000000010},
    {"mul_r9", "r9 = 3; r9 *= 5; r0 = r9; exit", 15},
    {"div_imm", "r0 = 100; r0 /= 7; exit", 14},
    {"div_imm_power", "r0 = 100; r0 /= 8; exit", 12},
    {"div_imm_one", "r0 = 100; r0 /= 1; exit", 100},
    {"div_imm_minus_is_huge", "r0 = 100; r0 /= -1; exit", 0},
    {"div_reg", "r0 = 0xffffffffffffffff ll; r3 = 16; r0 /= r3; exit", 0x0fffffffffffffff},
    {"div_by_zero", "r0 = 100; r3 = 0; r0 /= r3; exit", 0},
    {"div_into_rdx", "r3 = 100; r1 = 7; r3 /= r1; r0 = r3; exit", 14},
    {"div_keeps_others", "r0 = 1; r3 = 50; r5 = 100; r2 = 9; r5 /= r2; r0 += r3; r0 += r5; exit", 62},
    {"div_by_self", "r4 = 77; r4 /= r4; r0 = r4; exit", 1},
    {"div_src_rax", "r0 = 7; r6 = 100; r6 /= r0; r0 += r6; exit", 21},
    {"div_src_rdx", "r3 = 7; r0 = 100; r0 /= r3; r0 += r3; exit", 21},
    {"mod_imm", "r0 = 100; r0 %= 7; exit", 2},
    {"mod_imm_power", "r0 = 100; r0 %= 8; exit", 4},
    {"mod_reg", "r0 = -1; r3 = 10; r0 %= r3; exit", 5},
    {"mod_by_zero", "r0 = 100; r3 = 0; r0 %= r3; exit", 100},
    {"mod_into_rdx", "r3 = 100; r1 = 7; r3 %= r1; r0 = r3; exit", 2},
    {"mod_other", "r0 = 1; r9 = 100; r1 = 7; r9 %= r1; r0 += r9; exit", 3},
    {"sdiv_imm", "r0 = -100; r0 s/= 7; exit", u64(-14)},
    {"sdiv_reg", "r0 = -100; r2 = -7; r0 s/= r2; exit", 14},
    {"sdiv_by_zero", "r0 = -100; r2 = 0; r0 s/= r2; exit", 0},
    {"sdiv_overflow", "r0 = 0x8000000000000000 ll; r2 = -1; r0 s/= r2; exit", 0x8000000000000000},
    {"sdiv_imm_minus_one", "r0 = 5; r0 s/= -1; exit", u64(-5)},
    {"smod_imm", "r0 = -100; r0 s%= 7; exit", u64(-2)},
    {"smod_reg", "r0 = 100; r2 = -7; r0 s%= r2; exit", 2},
    {"smod_by_zero", "r0 = -100; r2 = 0; r0 s%= r2; exit", u64(-100)},
    {"smod_overflow", "r0 = 0x8000000000000000 ll; r2 = -1; r0 s%= r2; exit", 0},
    {"or_imm_sign_extends", "r0 = 1; r0 |= -16; exit", 0xfffffffffffffff1},
    {"or_reg", "r0 = 1; r7 = 6; r0 |= r7; exit", 7},
    {"and_imm_sign_extends", "r0 = 0x123456789abcdef0 ll; r0 &= -16; exit", 0x123456789abcdef0},
    {"and_reg", "r0 = 0xff; r7 = 0x3c; r0 &= r7; exit", 0x3c},
    {"xor_imm", "r0 = 0xff; r0 ^= 0x0f; exit", 0xf0},
    {"xor_reg", "r0 = -1; r5 = 1; r0 ^= r5; exit", 0xfffffffffffffffe},
    {"lsh_imm", "r0 = 1; r0 <<= 63; exit", 1ull << 63},
    {"lsh_reg", "r0 = 1; r4 = 40; r0 <<= r4; exit", 1ull << 40},
    {"lsh_reg_masks", "r0 = 3; r2 = 65; r0 <<= r2; exit", 6},
    {"lsh_of_rcx", "r4 = 3; r2 = 4; r4 <<= r2; r0 = r4; exit", 48},
    {"lsh_rcx_by_itself", "r4 = 3; r4 <<= r4; r0 = r4; exit", 24},
    {"rsh_imm", "r0 = -1; r0 >>= 60; exit", 15},
    {"rsh_reg", "r0 = -1; r9 = 8; r0 >>= r9; exit", 0x00ffffffffffffff},
    {"rsh_reg_masks", "r0 = 8; r9 = 66; r0 >>= r9; exit", 2},
    {"arsh_imm", "r0 = -16; r0 s>>= 2; exit", u64(-4)},
    {"arsh_reg", "r0 = -16; r1 = 3; r0 s>>= r1; exit", u64(-2)},
    {"arsh_reg_masks", "r0 = -16; r1 = 67; r0 s>>= r1; exit", u64(-2)},
    {"neg", "r0 = 5; r0 = -r0; exit", u64(-5)},
    {"neg_min", "r0 = 0x8000000000000000 ll; r0 = -r0; exit", 1ull << 63},
    {"movsx8", "r1 = 0x1ff; r0 = (s8)r1; exit", ~0ull},
    {"movsx8_rdi", "r2 = 0x7f; r0 = (s8)r2; exit", 0x7f},
    {"movsx16", "r1 = 0x18000; r0 = (s16)r1; exit", 0xffffffffffff8000},
    {"movsx32", "r1 = 0x180000000 ll; r0 = (s32)r1; exit", 0xffffffff80000000},
    {"every_register",
     "r0=1;r1=2;r2=3;r3=4;r4=5;r5=6;r6=7;r7=8;r8=9;r9=10;r0+=r1;r0+=r2;r0+=r3;r0+=r4;r0+=r5;r0+=r6;"
     "r0+=r7;r0+=r8;r0+=r9;exit",
     55},
};

constexpr Case kAlu32[] = {
    {"mov_imm_zero_extends", "r0 = -1; w0 = -1; exit", 0xffffffff},
    {"mov_reg_zero_extends", "r1 = -1; w0 = w1; exit", 0xffffffff},
    {"mov_self_zero_extends", "r0 = -1; w0 = w0; exit", 0xffffffff},
    {"add_imm_wraps", "w0 = -1; w0 += 1; exit", 0},
    {"add_reg", "r0 = 0x100000001 ll; r9 = 0x100000002 ll; w0 += w9; exit", 3},
    {"sub_imm", "w0 = 0; w0 -= 1; exit", 0xffffffff},
    {"sub_reg", "w0 = 5; w5 = 6; w0 -= w5; exit", 0xffffffff},
    {"mul_imm", "r0 = 0x100000003 ll; w0 *= 5; exit", 15},
    {"mul_reg", "w0 = 0x10000; w1 = 0x10000; w0 *= w1; exit", 0},
    {"div_imm", "r0 = 0xff00000064 ll; w0 /= 7; exit", 14},
    {"div_imm_power", "r0 = 0xff00000064 ll; w0 /= 8; exit", 12},
    {"div_imm_one", "r0 = 0xff00000064 ll; w0 /= 1; exit", 100},
    {"div_imm_minus", "w0 = -1; w0 /= -1; exit", 1},
    {"div_reg", "w0 = -1; w2 = 16; w0 /= w2; exit", 0x0fffffff},
    {"div_by_zero_looks_at_low_half", "r0 = 100; r2 = 0x100000000 ll; w0 /= w2; exit", 0},
    {"mod_imm", "r0 = 0xff00000064 ll; w0 %= 7; exit", 2},
    {"mod_imm_power", "r0 = 0xff00000064 ll; w0 %= 64; exit", 36},
    {"mod_reg", "w0 = -1; w3 = 10; w0 %= w3; exit", 5},
    {"mod_by_zero_zero_extends", "r0 = 0xff00000064 ll; r2 = 0x100000000 ll; w0 %= w2; exit", 100},
    {"sdiv_imm", "w0 = -100; w0 s/= 7; exit", 0xfffffff2},
    {"sdiv_reg", "w0 = -100; w3 = -7; w0 s/= w3; exit", 14},
    {"sdiv_by_zero", "w0 = -100; w3 = 0; w0 s/= w3; exit", 0},
    {"sdiv_overflow", "w0 = -2147483648; w3 = -1; w0 s/= w3; exit", 0x80000000},
    {"smod_imm", "w0 = -100; w0 s%= 7; exit", 0xfffffffe},
    {"smod_by_zero", "r0 = -100; w3 = 0; w0 s%= w3; exit", 0xffffff9c},
    {"smod_overflow", "w0 = -2147483648; w3 = -1; w0 s%= w3; exit", 0},
    {"or_imm", "r0 = -1; w0 |= 1; exit", 0xffffffff},
    {"or_reg", "r0 = 0x100000001 ll; w3 = 2; w0 |= w3; exit", 3},
    {"and_imm", "r0 = -1; w0 &= -2; exit", 0xfffffffe},
    {"and_reg", "r0 = -1; w8 = 0xf0; w0 &= w8; exit", 0xf0},
    {"xor_imm", "r0 = 0; w0 ^= -1; exit", 0xffffffff},
    {"xor_reg", "r0 = -1; w7 = 1; w0 ^= w7; exit", 0xfffffffe},
    {"lsh_imm", "w0 = 3; w0 <<= 31; exit", 0x80000000},
    {"lsh_imm_zero_zero_extends", "r0 = -1; w0 <<= 0; exit", 0xffffffff},
    {"lsh_reg_masks", "w0 = 3; w4 = 33; w0 <<= w4; exit", 6},
    {"lsh_reg_zero_zero_extends", "r0 = -1; w3 = 32; w0 <<= w3; exit", 0xffffffff},
    {"rsh_imm", "r0 = -1; w0 >>= 28; exit", 15},
    {"rsh_reg", "r0 = -1; w1 = 4; w0 >>= w1; exit", 0x0fffffff},
    {"arsh_imm", "w0 = -16; w0 s>>= 2; exit", 0xfffffffc},
    {"arsh_reg", "w0 = -16; w2 = 34; w0 s>>= w2; exit", 0xfffffffc},
    {"neg", "r0 = 5; w0 = -w0; exit", 0xfffffffb},
    {"movsx8", "r1 = 0x80; w0 = (s8)w1; exit", 0xffffff80},
    {"movsx16", "r1 = 0x8000; w0 = (s16)w1; exit", 0xffff8000},
    {"le16", "r0 = 0x1122334455667788 ll; r0 = le16 r0; exit", 0x7788},
    {"le32", "r0 = 0x1122334455667788 ll; r0 = le32 r0; exit", 0x55667788},
    {"le64", "r0 = 0x1122334455667788 ll; r0 = le64 r0; exit", 0x1122334455667788},
    {"be16", "r0 = 0x1122334455667788 ll; r0 = be16 r0; exit", 0x8877},
    {"be32", "r0 = 0x1122334455667788 ll; r0 = be32 r0; exit", 0x88776655},
    {"be64", "r0 = 0x1122334455667788 ll; r0 = be64 r0; exit", 0x8877665544332211},
    {"bswap16", "r9 = 0x1122334455667788 ll; r9 = bswap16 r9; r0 = r9; exit", 0x8877},
    {"bswap32", "r2 = 0x1122334455667788 ll; r2 = bswap32 r2; r0 = r2; exit", 0x88776655},
    {"bswap64", "r8 = 0x1122334455667788 ll; r8 = bswap64 r8; r0 = r8; exit", 0x8877665544332211},
};

constexpr Case kMemory[] = {
    {"load8", RW "r0 = *(u8 *)(r6 + 1); exit", 0x88},
    {"load16", RW "r0 = *(u16 *)(r6 + 0); exit", 0x8881},
    {"load32", RW "r0 = *(u32 *)(r6 + 0); exit", 0x968f8881},
    {"load64", RW "r0 = *(u64 *)(r6 + 0); exit", 0xb2aba49d968f8881},
    {"load64_unaligned", RW "r0 = *(u64 *)(r6 + 1); exit", 0xb9b2aba49d968f88},
    {"load_last_byte", RW "r0 = *(u8 *)(r6 + 255); exit", u8(255 * 7 + 0x81)},
    {"load_minus_offset", RW "r6 += 100; r0 = *(u8 *)(r6 - 99); exit", 0x88},
    {"loadsx8", RW "r0 = *(s8 *)(r6 + 1); exit", 0xffffffffffffff88},
    {"loadsx16", RW "r0 = *(s16 *)(r6 + 0); exit", 0xffffffffffff8881},
    {"loadsx32", RW "r0 = *(s32 *)(r6 + 0); exit", 0xffffffff968f8881},
    {"load_over_base", RW "r6 = *(u64 *)(r6 + 0); r0 = r6; exit", 0xb2aba49d968f8881},
    {"load_every_base",
     RW
     "r0 = r6; r0 = *(u8 *)(r0 + 0); r2 = r6; r2 = *(u8 *)(r2 + 0); r0 += r2; r3 = r6;"
     "r3 = *(u8 *)(r3 + 0); r0 += r3; r4 = r6; r4 = *(u8 *)(r4 + 0); r0 += r4; r5 = r6; r5 = *(u8 *)(r5 + 0); r0 += r5;"
     "r7 = r6; r7 = *(u8 *)(r7 + 0); r0 += r7; r8 = r6; r8 = *(u8 *)(r8 + 0); r0 += r8; r9 = r6; r9 = *(u8 *)(r9 + 0);"
     "r0 += r9; exit",
     8 * 0x81},
    {"store8", RW "r2 = 0x1234; *(u8 *)(r6 + 3) = r2; r0 = *(u32 *)(r6 + 0); exit", 0x348f8881},
    {"store16", RW "r2 = 0x12345; *(u16 *)(r6 + 2) = r2; r0 = *(u32 *)(r6 + 0); exit", 0x23458881},
    {"store32", RW "r2 = -1; *(u32 *)(r6 + 4) = r2; r0 = *(u64 *)(r6 + 0); exit", 0xffffffff968f8881},
    {"store64", RW "r2 = -2; *(u64 *)(r6 + 8) = r2; r0 = *(u64 *)(r6 + 8); exit", u64(-2)},
    {"store_from_every_register",
     RW
     "r0 = 1; *(u8 *)(r6 + 0) = r0; r1 = 2; *(u8 *)(r6 + 1) = r1; r2 = 3;"
     "*(u8 *)(r6 + 2) = r2; r3 = 4; *(u8 *)(r6 + 3) = r3; r4 = 5; *(u8 *)(r6 + 4) = r4; r5 = 6; *(u8 *)(r6 + 5) = r5;"
     "r7 = 8; *(u8 *)(r6 + 6) = r7; r8 = 9; *(u8 *)(r6 + 7) = r8; r0 = *(u64 *)(r6 + 0); exit",
     0x0908060504030201},
    {"store_imm8", RW "*(u8 *)(r6 + 0) = -1; r0 = *(u16 *)(r6 + 0); exit", 0x88ff},
    {"store_imm16", RW "*(u16 *)(r6 + 0) = -2; r0 = *(u32 *)(r6 + 0); exit", 0x968ffffe},
    {"store_imm32", RW "*(u32 *)(r6 + 0) = 5; r0 = *(u64 *)(r6 + 0); exit", 0xb2aba49d00000005},
    {"store_imm64_sign_extends", RW "*(u64 *)(r6 + 0) = -5; r0 = *(u64 *)(r6 + 0); exit", u64(-5)},
    {"stack",
     "r1 = 5; *(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 512) = 6; r0 = *(u64 *)(r10 - 8); r2 = *(u64 *)(r10 - 512);"
     "r0 += r2; exit",
     11},
    {"stack_by_copy", "r2 = r10; r2 += -16; *(u32 *)(r2 + 4) = 7; r0 = *(u32 *)(r10 - 12); exit", 7},
    {"stack_variable", "r2 = r10; r3 = 24; r2 -= r3; *(u32 *)(r2 + 4) = 7; r0 = *(u32 *)(r10 - 20); exit", 7},
    {"read_only_is_readable", "r6 = *(u64 *)(r1 + 8); r0 = *(u8 *)(r6 + 1); exit", 0x93},
    {"load_acquire64", RW "r0 = load_acquire(*(u64 *)(r6 + 0)); exit", 0xb2aba49d968f8881},
    {"load_acquire8", RW "r0 = load_acquire(*(u8 *)(r6 + 1)); exit", 0x88},
    {"store_release32", RW "r2 = 9; store_release(*(u32 *)(r6 + 0), r2); r0 = *(u64 *)(r6 + 0); exit",
     0xb2aba49d00000009},
    {"store_release16", RW "r2 = 9; store_release(*(u16 *)(r6 + 0), r2); r0 = *(u32 *)(r6 + 0); exit", 0x968f0009},
    {"arena_cast", "r6 = *(u64 *)(r1 + 48); r6 = addr_space_cast(r6, 0, 1); r0 = *(u8 *)(r6 + 1); exit", 65},
    {"arena_cast_ignores_high_half", "r6 = 0x7700000040 ll; r6 = addr_space_cast(r6, 0, 1); r0 = *(u8 *)(r6 + 1); exit",
     65},
    {"arena_cast_keeps_null", "r6 = 0; r0 = addr_space_cast(r6, 0, 1); exit", 0},
    {"arena_cast_user",
     "r6 = 64; r7 = addr_space_cast(r6, 1, 0); r6 = addr_space_cast(r6, 0, 1); r7 -= r6; r0 = r7; exit", 0},
    {"arena_store", "r6 = 64; r6 = addr_space_cast(r6, 0, 1); *(u8 *)(r6 + 2) = 9; r0 = *(u8 *)(r6 + 2); exit", 9},
};

#define BUF64 RW "r2 = 0x1111111122222222 ll; *(u64 *)(r6 + 8) = r2;"

constexpr Case kAtomics[] = {
    {"add64", BUF64 "r2 = 3; lock add *(u64 *)(r6 + 8), r2; r0 = *(u64 *)(r6 + 8); exit", 0x1111111122222225},
    {"add32", BUF64 "r2 = -1; lock add *(u32 *)(r6 + 8), r2; r0 = *(u64 *)(r6 + 8); exit", 0x1111111122222221},
    {"or64", BUF64 "r2 = 1; lock or *(u64 *)(r6 + 8), r2; r0 = *(u64 *)(r6 + 8); exit", 0x1111111122222223},
    {"or32", BUF64 "r2 = -1; lock or *(u32 *)(r6 + 8), r2; r0 = *(u64 *)(r6 + 8); exit", 0x11111111ffffffff},
    {"and64", BUF64 "r2 = 0xff; lock and *(u64 *)(r6 + 8), r2; r0 = *(u64 *)(r6 + 8); exit", 0x22},
    {"and32", BUF64 "r2 = 0xff; lock and *(u32 *)(r6 + 8), r2; r0 = *(u64 *)(r6 + 8); exit", 0x1111111100000022},
    {"xor64", BUF64 "r2 = -1; lock xor *(u64 *)(r6 + 8), r2; r0 = *(u64 *)(r6 + 8); exit", 0xeeeeeeeedddddddd},
    {"xor32", BUF64 "r2 = -1; lock xor *(u32 *)(r6 + 8), r2; r0 = *(u64 *)(r6 + 8); exit", 0x11111111dddddddd},
    {"fetch_add64", BUF64 "r2 = 3; r2 = fetch_add *(u64 *)(r6 + 8); r0 = *(u64 *)(r6 + 8); r0 -= r2; exit", 3},
    {"fetch_add64_old", BUF64 "r2 = 3; r2 = fetch_add *(u64 *)(r6 + 8); r0 = r2; exit", 0x1111111122222222},
    {"fetch_add32_zero_extends", BUF64 "r2 = -1; w2 = fetch_add *(u32 *)(r6 + 8); r0 = r2; exit", 0x22222222},
    {"fetch_add_r0", BUF64 "r0 = 3; r0 = fetch_add *(u64 *)(r6 + 8); exit", 0x1111111122222222},
    {"fetch_or64", BUF64 "r2 = 1; r2 = fetch_or *(u64 *)(r6 + 8); r0 = *(u64 *)(r6 + 8); r0 ^= r2; exit", 1},
    {"fetch_or64_r0", BUF64 "r0 = 1; r0 = fetch_or *(u64 *)(r6 + 8); r2 = *(u64 *)(r6 + 8); r0 ^= r2; exit", 1},
    {"fetch_or_base_r0", BUF64 "r0 = r6; r2 = 1; r2 = fetch_or *(u64 *)(r0 + 8); r0 -= r6; r0 += r2; exit",
     0x1111111122222222},
    {"fetch_or32", BUF64 "r3 = -1; w3 = fetch_or *(u32 *)(r6 + 8); r0 = r3; exit", 0x22222222},
    {"fetch_and64", BUF64 "r2 = 0xff; r2 = fetch_and *(u64 *)(r6 + 8); r0 = *(u64 *)(r6 + 8); r0 += r2; exit",
     0x1111111122222244},
    {"fetch_and32", BUF64 "r0 = 0xff; w0 = fetch_and *(u32 *)(r6 + 8); r2 = *(u64 *)(r6 + 8); r0 += r2; exit",
     0x1111111122222244},
    {"fetch_xor64", BUF64 "r9 = -1; r9 = fetch_xor *(u64 *)(r6 + 8); r0 = *(u64 *)(r6 + 8); r0 += r9; exit", ~0ull},
    {"fetch_xor32", BUF64 "r9 = -1; w9 = fetch_xor *(u32 *)(r6 + 8); r0 = *(u32 *)(r6 + 8); r0 += r9; exit",
     0xffffffff},
    {"xchg64", BUF64 "r2 = 5; r2 = fetch_xchg *(u64 *)(r6 + 8); r0 = *(u64 *)(r6 + 8); r0 += r2; exit",
     0x1111111122222227},
    {"xchg32", BUF64 "r2 = -1; w2 = fetch_xchg *(u32 *)(r6 + 8); r0 = r2; exit", 0x22222222},
    {"cmpxchg64_hits",
     BUF64 "r0 = r2; r3 = 7; r3 = fetch_cmpxchg *(u64 *)(r6 + 8); r1 = *(u64 *)(r6 + 8); r0 -= r1; exit",
     0x111111112222221b},
    {"cmpxchg64_misses",
     BUF64 "r0 = 1; r3 = 7; r3 = fetch_cmpxchg *(u64 *)(r6 + 8); r1 = *(u64 *)(r6 + 8); r0 -= r1; exit", 0},
    {"cmpxchg64_keeps_source", BUF64 "r0 = 1; r3 = 7; r3 = fetch_cmpxchg *(u64 *)(r6 + 8); r0 = r3; exit", 7},
    {"cmpxchg32_hits", BUF64 "r0 = 0x7722222222 ll; r3 = 7; w3 = fetch_cmpxchg *(u32 *)(r6 + 8); exit", 0x22222222},
    {"cmpxchg32_misses", BUF64 "r0 = -1; r3 = 7; w3 = fetch_cmpxchg *(u32 *)(r6 + 8); exit", 0x22222222},
    {"on_stack", "*(u64 *)(r10 - 8) = 5; r1 = 6; r1 = fetch_add *(u64 *)(r10 - 8); r0 = *(u64 *)(r10 - 8); exit", 11},
};

constexpr Case kFlow[] = {
    {"goto", "r0 = 1; goto out; r0 = 2; out: ; exit", 1},
    {"goto_next", "r0 = 1; goto out; out: ; exit", 1},
    {"gotol", "r0 = 1; gotol out; r0 = 2; out: ; exit", 1},
    {"loop", "r0 = 0; r1 = 10; again: ; r0 += r1; r1 -= 1; if r1 != 0 goto again; exit", 55},
    {"loop_gotol", "r0 = 0; r1 = 3; again: ; if r1 == 0 goto out; r0 += 2; r1 -= 1; gotol again; out: ; exit", 6},
    {"loop32", "r0 = 0; w1 = 4; again: ; r0 += 1; w1 += -1; if w1 s> 0 goto again; exit", 4},
    {"jump_over_ld_imm64", "r0 = 1; if r0 == 1 goto out; r0 = 0x1111111111 ll; out: ; exit", 1},
    {"call_one_argument", "r1 = 20; callsub f; exit; f: ; r0 = r1; r0 += 1; exit", 21},
    {"call_five_arguments", "r1=1;r2=2;r3=3;r4=4;r5=5;callsub f;exit;f: ;r0=r1;r0+=r2;r0+=r3;r0+=r4;r0+=r5;exit", 15},
    {"call_keeps_r6_to_r9",
     "r6=1;r7=2;r8=3;r9=4;callsub f;r0=r6;r0+=r7;r0+=r8;r0+=r9;exit;"
     "f: ;r6=0;r7=0;r8=0;r9=0;r0=0;exit",
     10},
    {"call_separates_stacks",
     "*(u64 *)(r10 - 8) = 1; callsub f; r0 = *(u64 *)(r10 - 8); exit;"
     "f: ; *(u64 *)(r10 - 8) = 2; r0 = 0; exit",
     1},
    {"call_gives_stack_pointer",
     "r1 = r10; r1 += -8; callsub f; r0 = *(u64 *)(r10 - 8); exit;"
     "f: ; *(u64 *)(r1 + 0) = 2; r0 = 0; exit",
     2},
    {"call_in_loop",
     "r6 = 3; r7 = 0; again: ; r1 = r6; callsub f; r7 += r0; r6 -= 1; if r6 != 0 goto again; r0 = r7; exit;"
     "f: ; r0 = r1; r0 *= r0; exit",
     14},
    {"call_nested",
     "r1 = 1; callsub f; exit; f: ; r6 = r1; r1 += 1; callsub g; r0 += r6; exit; g: ; r6 = 100; r0 = r1; r0 += r6; "
     "exit",
     103},
    {"call_eight_deep",
     "r1 = 7; callsub f; exit; f: ; r0 = 1; r1 -= 1; if r1 == 0 goto out; callsub f; r0 += 1; out: ; exit", 7},
    {"call_back_in_loops",
     "r0 = 0; r6 = 2; again: ; r1 = 5; callsub f; r6 -= 1; if r6 != 0 goto again; exit;"
     "f: ; r0 = 0; more: ; r0 += r1; r1 -= 1; if r1 != 0 goto more; exit",
     15},
    {"unset_registers_are_zero", "r0 += r6; r0 += r9; r0 += r3; exit", 0},
    {"unset_after_call_are_zero",
     "r1=1;r2=2;r3=3;r4=4;r5=5;callsub f;r0=r1;r0+=r2;r0+=r3;r0+=r4;r0+=r5;exit;f: ;r0=1;exit", 0},
    {"unset_in_callee_are_zero", "r6=1;r7=2;r0=9;callsub f;r0+=r6;exit;f: ;r0+=r6;r0+=r7;exit", 1},
    {"may_goto_goes_on", "r0 = 0; r1 = 3; again: ; may_goto out; r0 += 1; r1 -= 1; if r1 != 0 goto again; out: ; exit",
     3},
};

Functions no_functions() { return {}; }

void run_cases(std::span<const Case> cases) {
  for (const Case &c : cases) {
    SCOPED_TRACE(c.name);
    auto program = build(Assembler::assemble(c.text), no_functions());
    const Outcome out = run_both(*program);
    EXPECT_EQ(out.r0, c.r0) << program->disassembly();
    EXPECT_EQ(out.reason, AbortReason::kNone) << out.message;
    EXPECT_EQ(out.wild, "");
  }
}

TEST(Conformance, Alu64) { run_cases(kAlu64); }
TEST(Conformance, Alu32) { run_cases(kAlu32); }
TEST(Conformance, Memory) { run_cases(kMemory); }
TEST(Conformance, Atomics) { run_cases(kAtomics); }
TEST(Conformance, Flow) { run_cases(kFlow); }

// Each condition, in both widths and with both operands, against a table of what holds for pairs of values.
TEST(Conformance, Branches) {
  struct Pair {
    s64 a, b;
  };
  constexpr Pair kPairs[] = {{0, 0},
                             {1, 0},
                             {0, 1},
                             {-1, 1},
                             {1, -1},
                             {-1, -1},
                             {-2, -1},
                             {6, 2},
                             {5, 2},
                             {0x80000000ll, 1},
                             {0x100000000ll, 1},
                             {0x7fffffff, -1},
                             {s64(1ull << 63), 1}};
  const std::map<std::string, bool (*)(s64, s64, bool)> conds = {
      {"==", [](s64 a, s64 b, bool) { return a == b; }},
      {"!=", [](s64 a, s64 b, bool) { return a != b; }},
      {">", [](s64 a, s64 b, bool w) { return w ? u64(a) > u64(b) : u32(a) > u32(b); }},
      {">=", [](s64 a, s64 b, bool w) { return w ? u64(a) >= u64(b) : u32(a) >= u32(b); }},
      {"<", [](s64 a, s64 b, bool w) { return w ? u64(a) < u64(b) : u32(a) < u32(b); }},
      {"<=", [](s64 a, s64 b, bool w) { return w ? u64(a) <= u64(b) : u32(a) <= u32(b); }},
      {"s>", [](s64 a, s64 b, bool) { return a > b; }},
      {"s>=", [](s64 a, s64 b, bool) { return a >= b; }},
      {"s<", [](s64 a, s64 b, bool) { return a < b; }},
      {"s<=", [](s64 a, s64 b, bool) { return a <= b; }},
      {"&", [](s64 a, s64 b, bool) { return (a & b) != 0; }},
  };
  for (const auto &[name, holds] : conds) {
    for (const Pair &pair : kPairs) {
      for (bool wide : {false, true}) {
        for (bool by_reg : {false, true}) {
          const char prefix = wide ? 'r' : 'w';
          const std::string b = by_reg ? fmt::format("{}2", prefix) : fmt::format("{}", pair.b);
          const std::string text =
              fmt::format("r1 = {:#x} ll; r2 = {:#x} ll; r0 = 1; if {}1 {} {} goto out; r0 = 0; out: ; exit",
                          u64(pair.a), u64(pair.b), prefix, name, b);
          SCOPED_TRACE(text);
          auto program = build(Assembler::assemble(text), no_functions());
          const s64 left = wide ? pair.a : s32(pair.a), right = wide ? pair.b : s32(pair.b);
          EXPECT_EQ(run_both(*program).r0, u64(holds(left, right, wide)));
        }
      }
    }
  }
}

// Every operation on values at the edges, in every pair of registers that the translation treats specially.
TEST(Conformance, ArithmeticAtTheEdges) {
  const char *const ops[] = {"+=", "-=", "*=", "/=", "s/=", "%=", "s%=", "|=", "&=", "^=", "<<=", ">>=", "s>>=", "="};
  const u64 values[] = {0, 1, 2, 31, 63, 0x7fffffff, 0x80000000, 0xffffffff, 1ull << 63, ~0ull, 0x123456789abcdef0};
  const std::pair<int, int> regs[] = {{0, 3}, {3, 0}, {4, 2}, {2, 4}, {4, 4}, {3, 3}, {0, 0}, {6, 9}, {9, 4}, {5, 3}};
  for (const char *op : ops) {
    for (const auto &[dst, src] : regs) {
      for (const char *prefix : {"r", "w"}) {
        std::string text = "r6 = *(u64 *)(r1 + 0); *(u64 *)(r10 - 8) = r6;";
        // Results of all pairs go to memory, so the comparison of memory covers them.
        int slot = 0;
        for (u64 a : values) {
          for (u64 b : {values[slot % 11], values[(slot + 4) % 11], values[(slot + 7) % 11]}) {
            text += fmt::format(
                "r0=11;r2=12;r3=13;r4=14;r5=15;r6=16;r9=19;r{} = {:#x} ll; r{} = {:#x} ll; {}{} {} {}{};"
                "r1 = *(u64 *)(r10 - 8); *(u64 *)(r1 + {}) = r{}; r7 += r0; r7 += r2; r7 += r3;"
                "r7 += r4; r7 += r5; r7 += r6; r7 += r9;",
                dst, a, src, b, prefix, dst, op, prefix, src, slot % 32 * 8, dst);
            slot++;
          }
        }
        auto program = build(Assembler::assemble(text + "r0 = r7; exit"), no_functions());
        SCOPED_TRACE(fmt::format("{} {}{} {}{}", op, prefix, dst, prefix, src));
        run_both(*program);
        if (HasFailure()) return;
      }
    }
  }
}

// The disassembler and the assembler agree on every row of the table that the assembler can express.
TEST(Conformance, EveryRowDecodesAndPrints) {
  size_t rows = 0;
  for (const OpInfo &row : op_table()) {
    bpf_insn insn = {};
    insn.code = row.code;
    if (row.selector == Selector::kOff) insn.off = s16(row.selected);
    if (row.selector == Selector::kImm) insn.imm = row.selected;
    if (row.selector == Selector::kSrc) insn.src_reg = u8(row.selected);
    if (row.kind == OpKind::kAddrSpaceCast) insn.imm = row.sub ? 1 << 16 : 1;
    EXPECT_EQ(find_op(insn), &row) << rows;
    EXPECT_NE(disassemble({.info = &row}, 0), "?");
    rows++;
  }
  EXPECT_GT(rows, 150u);
}

}  // namespace
}  // namespace uscx::bpf
