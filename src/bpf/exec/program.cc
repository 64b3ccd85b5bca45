// SPDX-License-Identifier: GPL-2.0-only
// Structure of programs: subprograms, call targets, source lines (see program.h).
#include "bpf/exec/program.h"

#include <algorithm>

#include "bpf/exec/exec.h"
#include "bpf/exec/jit.h"

namespace uscx::bpf {

Program::~Program() = default;

Result<std::unique_ptr<Program>> Program::prepare(std::span<const bpf_insn> insns, Options options) {
  auto decoded = decode(insns);
  if (!decoded.ok()) return decoded.status();
  std::unique_ptr<Program> program(new Program);
  program->options_ = std::move(options);
  program->insns_ = decoded.take();
  const size_t count = program->insns_.size();
  program->trap_.assign(count, false);
  for (u32 insn : program->options_.traps) {
    if (insn >= count) return Status::error("insn {}: trap is out of the program", insn);
    program->trap_[insn] = true;
  }
  program->wild_loads_ = std::make_unique<std::atomic<u64>[]>(count);
  if (Status status = program->find_subprogs(); !status.ok()) return status;
  for (u32 i = 0; i < program->subprogs_.size(); i++)
    if (Status status = program->check_subprog(i); !status.ok()) return status;
  if (Status status = program->resolve_calls(); !status.ok()) return status;
  program->find_traits();
  program->analyse_liveness();
  program->analyse_pointers();
  if (program->options_.jit)
    if (Status status = program->translate(); !status.ok()) return status;
  return program;
}

Status Program::translate() {
  auto code = JitCode::translate(*this);
  if (!code.ok()) return code.status();
  jit_ = code.take();
  return Status::ok_status();
}

Status Program::find_subprogs() {
  std::map<u32, std::string> starts;
  starts[0] = options_.name;
  for (const auto &[start, name] : options_.subprogs) {
    if (start >= insns_.size() || insns_[start].info == nullptr)
      return Status::error("insn {}: function {} cannot start there", start, name);
    starts[start] = name;
  }
  for (const Insn &insn : insns_) {
    if (insn.info == nullptr) continue;
    const bool call = insn.info->kind == OpKind::kCall && insn.info->sub == kCallSubprog;
    const bool pointer = insn.info->kind == OpKind::kLoadImm64 && insn.src == kImm64Func;
    if (call || pointer) starts.try_emplace(insn.target, fmt::format("sub_{}", insn.target));
  }
  for (const auto &[start, name] : starts) {
    if (!subprogs_.empty()) subprogs_.back().end = start;
    subprogs_.push_back({.start = start, .end = u32(insns_.size()), .name = name});
  }
  subprog_of_.resize(insns_.size());
  for (u32 i = 0; i < subprogs_.size(); i++)
    for (u32 insn = subprogs_[i].start; insn < subprogs_[i].end; insn++) subprog_of_[insn] = i;
  return {};
}

Status Program::check_subprog(u32 index) {
  const Subprog &sub = subprogs_[index];
  u32 last = sub.start;
  for (u32 i = sub.start; i < sub.end; i++) {
    if (insns_[i].info == nullptr) continue;
    last = i;
    const OpKind kind = insns_[i].info->kind;
    const bool jump = kind == OpKind::kJump || kind == OpKind::kBranch || kind == OpKind::kMayGoto;
    if (jump && subprog_of_[insns_[i].target] != index)
      return Status::error("insn {}: jumps out of its function {}", i, sub.name);
    const bool pseudo = kind == OpKind::kLoadImm64 && insns_[i].src != kImm64Plain && insns_[i].src != kImm64Func;
    if (pseudo && !trap_[i])
      return Status::error("insn {}: ld_imm64 of kind {} was not resolved by the loader", i, insns_[i].src);
  }
  const OpKind kind = insns_[last].info->kind;
  // A call at the end is how compilers mark what does not return; it is a trap when it does.
  if (kind != OpKind::kExit && kind != OpKind::kJump && kind != OpKind::kCall && !trap_[last])
    return Status::error("insn {}: runs past the end of its function {}", last, sub.name);
  return {};
}

Status Program::resolve_calls() {
  for (u32 i = 0; i < insns_.size(); i++) {
    if (insns_[i].info == nullptr || insns_[i].info->kind != OpKind::kCall || trap_[i]) continue;
    if (insns_[i].info->sub == kCallSubprog) continue;
    auto it = options_.calls.find(i);
    if (it == options_.calls.end() || it->second.fn == nullptr || it->second.desc == nullptr)
      return Status::error("insn {}: {} {} is not resolved", i, insns_[i].info->sub == kCallKfunc ? "kfunc" : "helper",
                           insns_[i].imm);
    if (it->second.desc->nr_args > 5)
      return Status::error("insn {}: {} takes more than five arguments", i, it->second.desc->name);
  }
  return {};
}

void Program::find_traits() {
  for (u32 i = 0; i < insns_.size(); i++) {
    if (insns_[i].info == nullptr) continue;
    Subprog &sub = subprogs_[subprog_of_[i]];
    switch (insns_[i].info->kind) {
      case OpKind::kMayGoto: sub.has_may_goto = true; [[fallthrough]];
      case OpKind::kJump:
      case OpKind::kBranch: sub.has_backward_jump |= insns_[i].target <= i; break;
      case OpKind::kCall:
        if (insns_[i].info->sub != kCallSubprog) break;
        sub.calls_subprog = true;
        subprogs_[subprog_of_[insns_[i].target]].is_called = true;
        break;
      default: break;
    }
  }
}

const Subprog &Program::subprog_of(u32 insn) const { return subprogs_[subprog_of_[insn]]; }
u32 Program::subprog_index_of(u32 insn) const { return subprog_of_[insn]; }

const CallTarget &Program::call_target(u32 insn) const {
  auto it = options_.calls.find(insn);
  CHECK(it != options_.calls.end(), "insn {} of {} calls nothing", insn, name());
  return it->second;
}

bool Program::hooks_access(u32 insn) const {
  constexpr u8 kFramePointer = 10;
  const Insn &access = insns_[insn];
  return options_.explore && (access.info->writes_memory() ? access.dst : access.src) != kFramePointer;
}

bool Program::hooks_call(u32 insn) const {
  return options_.explore && call_target(insn).inline_op.kind == InlineOp::Kind::kNone;
}

std::optional<u32> Program::callback_subprog(u64 value) const {
  const u64 offset = value - kCallbackBase;
  if (value < kCallbackBase || offset % 16 != 0 || offset / 16 >= subprogs_.size()) return std::nullopt;
  return u32(offset / 16);
}

const SourceLine *Program::source_line(u32 insn) const {
  auto after = std::upper_bound(options_.lines.begin(), options_.lines.end(), insn,
                                [](u32 value, const SourceLine &line) { return value < line.insn; });
  if (after == options_.lines.begin()) return nullptr;
  const SourceLine *line = &*(after - 1);
  // A line of an earlier function says nothing about this one.
  return line->insn >= subprog_of(insn).start ? line : nullptr;
}

std::string Program::place(u32 insn) const {
  std::string text = fmt::format("insn {} ({}", insn, subprog_of(insn).name);
  if (const SourceLine *line = source_line(insn)) {
    text += fmt::format(", {}:{}", line->file, line->line);
    const size_t start = line->text.find_first_not_of(" \t");
    if (start != std::string::npos) text += fmt::format(": {}", line->text.substr(start));
  }
  return text + ")";
}

std::string Program::disassembly() const {
  std::string text;
  for (u32 i = 0; i < insns_.size(); i++) {
    if (insns_[i].info == nullptr) continue;
    if (subprogs_[subprog_of_[i]].start == i) text += fmt::format("{}:\n", subprogs_[subprog_of_[i]].name);
    text += fmt::format("{:5}: {}\n", i, trap_[i] ? "trap" : bpf::disassemble(insns_[i], i));
  }
  return text;
}

std::vector<WildLoad> Program::wild_loads() const {
  std::vector<WildLoad> found;
  for (u32 i = 0; i < insns_.size(); i++)
    if (const u64 count = wild_load_count(i)) found.push_back({i, count});
  return found;
}

void Program::clear_wild_loads() {
  for (u32 i = 0; i < insns_.size(); i++) wild_loads_[i].store(0, std::memory_order_relaxed);
}

}  // namespace uscx::bpf
