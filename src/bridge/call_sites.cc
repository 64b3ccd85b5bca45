// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/call_sites.h"

#include "bpf/exec/exec.h"
#include "bpf/exec/program.h"

namespace uscx::bridge {
namespace {

bool is_jump_target(const bpf::Program &program, const bpf::Subprog &function, u32 insn) {
  for (u32 at = function.start; at < function.end; at++)
    if (program.insns()[at].target == insn) return true;
  return false;
}

bool is_in_header(const bpf::SourceLine &line) { return line.file.ends_with(".h"); }

// Kfuncs are called through wrappers in headers, which are inlined, and what people want to see is who called them: the
// last line before it that is in no header. Null where several ways lead to the call, because the compiler has made one
// of several: which of them was taken is not known.
const bpf::SourceLine *caller_of_wrapper(const bpf::Program &program, const bpf::Subprog &function, u32 insn) {
  for (u32 at = insn; at > function.start && !is_jump_target(program, function, at); at--)
    if (const bpf::SourceLine *const before = program.source_line(at - 1); before && !is_in_header(*before))
      return before;
  return nullptr;
}

std::string line_text(const bpf::SourceLine &line) {
  const size_t start = line.text.find_first_not_of(" \t");
  return fmt::format("{}:{}{}", line.file, line.line, start == std::string::npos ? "" : ": " + line.text.substr(start));
}

}  // namespace

sched::CallSite BpfCallSites::here() const {
  const bpf::Invocation *const running = bpf::Invocation::current();
  if (!running || !running->program()) return {};
  return {.code = running->program(), .insn = running->insn(), .op = {}};
}

std::string BpfCallSites::text(const sched::CallSite &site) const {
  const bpf::Program &program = *static_cast<const bpf::Program *>(site.code);
  const bpf::Subprog &function = program.subprog_of(site.insn);
  const bpf::SourceLine *const line = program.source_line(site.insn);
  if (!line) return fmt::format("{}, insn {} (compile with -g for its line)", function.name, site.insn);
  const bpf::SourceLine *const caller = is_in_header(*line) ? caller_of_wrapper(program, function, site.insn) : nullptr;
  return fmt::format("{}, {}{}", function.name, caller ? "at or after " : "", line_text(caller ? *caller : *line));
}

}  // namespace uscx::bridge
