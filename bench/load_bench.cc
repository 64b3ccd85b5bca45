// SPDX-License-Identifier: GPL-2.0-only
// What loading and unloading a scheduler costs on machines of several sizes: real time, the payload of the arrays
// behind SCX_KICK_WAIT, and the memory that this process has resident. And what it costs to judge large programs: their
// preparation without the JIT, and the check of all paths.
#include <unistd.h>

#include <cstdio>

#include <vector>

#include "base/units.h"
#include "bench/timing.h"
#include "bpf/load/verify/verify.h"
#include "sched/native/scheduler.h"

namespace uscx::bench {
namespace {

constexpr double kMs = 1e3;

double resident_mib() {
  unsigned long long size = 0, resident = 0;
  std::FILE *file = std::fopen("/proc/self/statm", "r");
  CHECK(file && std::fscanf(file, "%llu %llu", &size, &resident) == 2, "/proc/self/statm cannot be read");
  std::fclose(file);
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

void measure(u32 nr_cpus) {
  sched::ExtMachine m(nr_cpus);
  sched::TestScheduler scheduler("loaded");
  scheduler.on_dispatch = [](s32, sched::Task *) {};
  scheduler.ready(false);
  m.run_for(kNsPerMs);
  const double before = resident_mib();
  const double load_s = seconds([&] { CHECK(m.attach(scheduler) == 0); });
  m.run_for(kNsPerMs);
  const u64 syncs = m.ext().kick_syncs_bytes();
  const double loaded = resident_mib();
  const double unload_s = seconds([&] { m.detach(scheduler); });
  m.ext().settle();
  m.run_for(100 * kNsPerMs);
  CHECK(m.ext().kick_syncs_bytes() == 0);
  std::printf("%6u %10.2f %10.2f %18llu %10.1f %10.1f %10.1f\n", nr_cpus, load_s * kMs, unload_s * kMs,
              static_cast<unsigned long long>(syncs), before, loaded, resident_mib());
}

bpf_insn insn(u8 code, u8 dst, u8 src, s16 off, s32 imm) {
  return bpf_insn{.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}

// A branch of each kind in ten instructions: flags that are set and asked about soon, that stay on the stack, numbers
// that count which way was taken, ranges that narrow.
std::vector<bpf_insn> branchy_program(u32 nr_insns) {
  std::vector<bpf_insn> code = {insn(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0),
                                insn(BPF_ALU64 | BPF_MOV | BPF_K, 7, 0, 0, 0)};
  for (u32 i = 0; code.size() + 12 < nr_insns; i++) {
    const s16 slot = static_cast<s16>(-8 * static_cast<s32>(1 + i % 32));
    code.push_back(insn(BPF_LDX | BPF_MEM | BPF_DW, 2, 6, static_cast<s16>(8 * (i % 8)), 0));
    code.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 0));
    code.push_back(insn(BPF_JMP | BPF_JGT | BPF_K, 2, 0, 2, static_cast<s32>(i % 100)));
    code.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 1));
    code.push_back(insn(BPF_ALU64 | BPF_ADD | BPF_K, 7, 0, 0, 1));
    code.push_back(insn(BPF_STX | BPF_MEM | BPF_DW, 10, 3, slot, 0));
    code.push_back(insn(BPF_JMP | BPF_JSET | BPF_K, 2, 0, 1, 1 << i % 16));
    code.push_back(insn(BPF_STX | BPF_MEM | BPF_DW, 10, 2, slot, 0));
    code.push_back(insn(BPF_JMP | BPF_JEQ | BPF_K, 3, 0, 1, 0));
    code.push_back(insn(BPF_ALU64 | BPF_XOR | BPF_K, 7, 0, 0, 8));
  }
  code.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0));
  code.push_back(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return code;
}

void judge(u32 nr_insns) {
  const std::vector<bpf_insn> code = branchy_program(nr_insns);
  bpf::ProgramOptions options;
  options.jit = false;
  std::unique_ptr<bpf::Program> program;
  const double prepare_s = seconds([&] {
    Result<std::unique_ptr<bpf::Program>> prepared = bpf::Program::prepare(code, std::move(options));
    CHECK(prepared.ok(), "{}", prepared.message());
    program = prepared.take();
  });
  const bpf::VerifyInput input{.program = program.get()};
  bpf::Verdict verdict;
  const double verify_s = seconds([&] { verdict = bpf::verify_program(input, {}); });
  CHECK(verdict.err == 0, "{}", verdict.log);
  std::printf("%12zu %12.2f %12.2f %12llu %10s\n", code.size(), prepare_s * kMs, verify_s * kMs,
              static_cast<unsigned long long>(verdict.steps), verdict.whole ? "yes" : "no");
}

}  // namespace
}  // namespace uscx::bench

int main() {
  std::printf("Loading a scheduler: real milliseconds, bytes of the arrays behind SCX_KICK_WAIT, resident MiB\n");
  std::printf("%6s %10s %10s %18s %10s %10s %10s\n", "CPUs", "load ms", "unload ms", "kick_syncs bytes", "before",
              "loaded", "after");
  for (const unsigned nr_cpus : {64u, 1024u, 8192u}) uscx::bench::measure(nr_cpus);
  std::printf("\nJudging a program of many branches: real milliseconds, steps followed, whether all paths were\n");
  std::printf("%12s %12s %12s %12s %10s\n", "instructions", "prepare ms", "verify ms", "steps", "whole");
  for (const unsigned nr_insns : {1000u, 10000u, 100000u}) uscx::bench::judge(nr_insns);
}
