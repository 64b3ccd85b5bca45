// SPDX-License-Identifier: GPL-2.0-only
// What one run of a BPF program costs here, against the same bytecode under the host kernel's own JIT
// (BPF_PROG_TEST_RUN), where the host allows that. An empty program's cost is taken off both, because the kernel's test
// loop and our entry are not what is compared; it is printed beside.
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "bench/timing.h"
#include "bpf/exec/exec.h"
#include "bpf/exec/jit.h"
#include "bpf/exec/program.h"
#include "bpf/memory/region.h"

namespace uscx::bench {
namespace {

using Code = std::vector<bpf_insn>;
constexpr u32 kRuns = 200000;
constexpr u32 kInterpreterRuns = 2000;
constexpr int kRepeats = 7;
constexpr int kTranslations = 200;

bpf_insn insn(u8 code, u8 dst, u8 src, s16 off, s32 imm) {
  return bpf_insn{.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}
bpf_insn mov(u8 dst, s32 imm) { return insn(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm); }
bpf_insn exit_insn() { return insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

Code empty() { return {mov(0, 0), exit_insn()}; }

// 1000 dependent operations.
Code arithmetic() {
  Code code = {mov(0, 1), mov(1, 3)};
  constexpr u8 kOps[] = {BPF_ADD, BPF_XOR, BPF_SUB, BPF_OR, BPF_MUL};
  for (u32 i = 0; i < 1000; i++)
    code.push_back(insn(BPF_ALU64 | kOps[i % 5] | (i % 2 ? BPF_X : BPF_K), 0, i % 2 ? 1 : 0, 0,
                        i % 2 ? 0 : static_cast<s32>(i + 1)));
  code.push_back(exit_insn());
  return code;
}

// 16 rounds of five calls for the CPU number, each with a branch on the result.
Code calls() {
  Code code = {mov(6, 0)};
  for (u32 i = 0; i < 80; i++) {
    code.push_back(insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_smp_processor_id));
    code.push_back(insn(BPF_JMP | BPF_JGT | BPF_K, 0, 0, 1, 4096));
    code.push_back(insn(BPF_ALU64 | BPF_ADD | BPF_X, 6, 0, 0, 0));
  }
  code.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_X, 0, 6, 0, 0));
  code.push_back(exit_insn());
  return code;
}

// Writes 64 words to the stack, then adds them up in a loop.
Code walk() {
  Code code;
  for (s32 i = 0; i < 64; i++) code.push_back(insn(BPF_ST | BPF_MEM | BPF_DW, 10, 0, static_cast<s16>(-8 - 8 * i), i));
  code.push_back(mov(0, 0));
  code.push_back(mov(1, 64));
  code.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0));
  code.push_back(insn(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -512));
  code.push_back(insn(BPF_LDX | BPF_MEM | BPF_DW, 3, 2, 0, 0));
  code.push_back(insn(BPF_ALU64 | BPF_ADD | BPF_X, 0, 3, 0, 0));
  code.push_back(insn(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, 8));
  code.push_back(insn(BPF_ALU64 | BPF_SUB | BPF_K, 1, 0, 0, 1));
  code.push_back(insn(BPF_JMP | BPF_JNE | BPF_K, 1, 0, -5, 0));
  code.push_back(exit_insn());
  return code;
}

u64 processor_id() { return bpf::Invocation::current()->env().cpu; }
constexpr bpf::CallDesc kProcessorId = {.name = "bpf_get_smp_processor_id", .nr_args = 0};

std::unique_ptr<bpf::Program> prepare(const Code &code) {
  bpf::ProgramOptions options;
  for (u32 i = 0; i < code.size(); i++) {
    if (code[i].code != (BPF_JMP | BPF_CALL)) continue;
    bpf::CallTarget target{.fn = reinterpret_cast<void *>(processor_id), .desc = &kProcessorId};
    target.inline_op.kind = bpf::InlineOp::Kind::kEnvLoad;
    target.inline_op.env = {.env_offset = offsetof(bpf::ExecEnv, cpu), .size = 4};
    options.calls[i] = target;
  }
  Result<std::unique_ptr<bpf::Program>> program = bpf::Program::prepare(code, options);
  CHECK(program.ok(), "{}", program.message());
  return program.take();
}

// Nanoseconds a run, each in an invocation of its own, as callbacks are.
double time_ours(const bpf::Program &program, bpf::ExecMode mode) {
  bpf::ExecEnv env;
  const u32 runs = mode == bpf::ExecMode::kJit ? kRuns : kInterpreterRuns;
  u64 sum = 0;
  const double took = seconds([&] {
    for (u32 i = 0; i < runs; i++) {
      bpf::Invocation invocation(&env);
      sum += bpf::run(program, 0, invocation, mode).r0;
    }
  });
  asm volatile("" ::"r"(sum));
  return took / runs * 1e9;
}

// Nanoseconds an instruction, of translating alone.
double time_translation(const Code &code) {
  const std::unique_ptr<bpf::Program> program = prepare(code);
  Least least;
  for (int i = 0; i < kTranslations; i++) {
    Result<std::unique_ptr<bpf::JitCode>> jit = Status::error("not translated");
    least.add(seconds([&] { jit = bpf::JitCode::translate(*program); }));
    CHECK(jit.ok(), "{}", jit.message());
  }
  return least.value() / static_cast<double>(code.size()) * 1e9;
}

// The host's kernel.
class HostProgram {
 public:
  explicit HostProgram(const Code &code) {
    union bpf_attr attr = {};
    attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    attr.insn_cnt = static_cast<u32>(code.size());
    attr.insns = reinterpret_cast<u64>(code.data());
    attr.license = reinterpret_cast<u64>("GPL");
    fd_ = static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr));
    error_ = fd_ < 0 ? errno : 0;
  }
  ~HostProgram() {
    if (fd_ >= 0) close(fd_);
  }
  HostProgram(const HostProgram &) = delete;
  HostProgram &operator=(const HostProgram &) = delete;
  int error() const { return error_; }
  // The kernel's own measurement; negative if it refuses.
  double run_ns() {
    static constexpr u8 kPacket[64] = {};
    union bpf_attr attr = {};
    attr.test.prog_fd = static_cast<u32>(fd_);
    attr.test.data_in = reinterpret_cast<u64>(kPacket);
    attr.test.data_size_in = sizeof kPacket;
    attr.test.repeat = kRuns;
    if (fd_ < 0) return -1;
    if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr) == 0) return attr.test.duration;
    error_ = errno;
    return -1;
  }

 private:
  int fd_;
  int error_;
};

struct Figures {
  Least ours, interpreter, host;
  int host_error = 0;
  bool has_host() const { return host_error == 0; }
};

Figures measure(const Code &code) {
  Figures figures;
  const std::unique_ptr<bpf::Program> program = prepare(code);
  HostProgram host(code);
  for (int i = 0; i < kRepeats; i++) {
    const double host_ns = host.run_ns();
    if (host_ns >= 0) figures.host.add(host_ns);
    figures.ours.add(time_ours(*program, bpf::ExecMode::kJit));
    figures.interpreter.add(time_ours(*program, bpf::ExecMode::kInterp));
  }
  figures.host_error = host.error();
  return figures;
}

void run() {
  const struct {
    const char *name;
    Code code;
  } kPrograms[] = {{"1000 operations", arithmetic()}, {"80 calls", calls()}, {"walk of 64 words", walk()}};
  const Figures base = measure(empty());
  std::printf("BPF: nanoseconds a run, less those of an empty program (ours %.1f", base.ours.value());
  if (base.has_host()) std::printf(", the host's %.0f", base.host.value());
  std::printf(")\n%-18s %10s %10s %8s %14s\n", "program", "our JIT", "host JIT", "ratio", "interpreter");
  double product = 1;
  int nr_ratios = 0;
  for (const auto &program : kPrograms) {
    const Figures figures = measure(program.code);
    const double ours = figures.ours.value() - base.ours.value();
    const double interpreter = figures.interpreter.value() - base.interpreter.value();
    if (!figures.has_host() || !base.has_host()) {
      std::printf("%-18s %10.1f %10s %8s %14.1f   (host: %s)\n", program.name, ours, "-", "-", interpreter,
                  std::strerror(figures.host_error));
      continue;
    }
    const double host = figures.host.value() - base.host.value();
    std::printf("%-18s %10.1f %10.1f %8.2f %14.1f\n", program.name, ours, host, ours / host, interpreter);
    product *= ours / host;
    nr_ratios++;
  }
  if (nr_ratios > 0)
    std::printf("%-18s %10s %10s %8.2f\n", "geometric mean", "", "", std::pow(product, 1.0 / nr_ratios));
  std::printf("Translation, nanoseconds an instruction:");
  for (const auto &program : kPrograms) std::printf(" %.1f (%s)", time_translation(program.code), program.name);
  std::printf("\n");
}

}  // namespace
}  // namespace uscx::bench

int main() { uscx::bench::run(); }
