// SPDX-License-Identifier: GPL-2.0-only
// The part of the kernel's verifier that schedulers are judged by here, because what it refuses cannot be left to run
// time: which kernel functions a program may call where, and pointers that may be NULL and are used unchecked. Nothing
// else of the verifier is there (docs/FIDELITY.md, no-verifier).
//
// How: all paths of the program are followed, as the kernel does it, subprograms in the state of their callers and
// callbacks on their own. Registers and stack slots hold a number, of which bits and range are known, a pointer that
// may be NULL, or one of the few pointers that are followed. A path ends where all that makes a difference was known
// before (verify_paths.h). Code that no path reaches is not judged.
//
// The check errs on the side of what loads: what it does not track may be anything, and anything may be used. A program
// with more paths than kMaxSteps is loaded as it is, and the log says so. Nothing is refused for what follows from a
// number that was given up so that a loop comes to an end: the log has it as a doubt.
//
// Threading: pure.
#ifndef USCX_BPF_LOAD_VERIFY_VERIFY_H_
#define USCX_BPF_LOAD_VERIFY_VERIFY_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bpf/exec/program.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/verify_rules.h"

namespace uscx::bpf {

class Map;

struct VerifyInput {
  const Program *program = nullptr;
  std::map<u32, const KfuncEntry *> kfuncs;  // by slot of the call
  std::map<u32, u32> helpers;                // ids, by slot of the call
  std::vector<std::shared_ptr<Map>> maps;    // those it refers to
  bool every_path = false;                   // for tests: paths end nowhere but at their ends
};

struct Verdict {
  int err = 0;        // 0 or the kernel's -errno
  std::string log;    // the reason, as lines
  std::string doubt;  // what would have been a reason, but for a number that was given up
  bool whole = true;  // all paths were followed
  u64 steps = 0;      // instructions that were looked at
};

Verdict verify_program(const VerifyInput &input, const VerifyRules &rules);

// Whether a program with these groups may call the kfunc at all.
bool kfunc_allowed(const KfuncEntry &kfunc, u32 groups);
// The line that says so otherwise.
std::string kfunc_refusal(const KfuncEntry &kfunc, const VerifyRules &rules);

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_VERIFY_VERIFY_H_
