// SPDX-License-Identifier: GPL-2.0-only
// A test that costs nothing while its answer is no. The question is whether code of several CPUs may be under way at
// the same time, because explore mode or a machine of threads is in use. Each place of the test is a jump in the
// program's text to the code behind it. As long as only simulated machines in run mode exist, instructions that do
// nothing replace these jumps. Where the text may not be changed (a hardened host, sanitizers, other processors), the
// test stays a jump. Correctness does not depend on it: the code behind the test asks for the mode anyway (machine.h).
//
// Threading: the two functions change the program's text, so that no other thread may be in code of the core. They are
// called when a machine or an explorer is made; the first that needs the tests keeps them for the life of the process.
#ifndef USCX_MACHINE_STATIC_BRANCH_H_
#define USCX_MACHINE_STATIC_BRANCH_H_

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define USCX_STATIC_BRANCHES 1
#else
#define USCX_STATIC_BRANCHES 0
#endif

namespace uscx::machine {

void need_concurrency();     // An explorer or a machine of threads comes to be.
void expect_run_mode();      // A simulated machine does: the tests go, unless they are needed.
bool run_mode_is_patched();  // For tests.

inline bool may_be_concurrent() {
#if USCX_STATIC_BRANCHES
  // The jump is written as bytes so that it always has five of them, as the instruction that replaces it. "inline" says
  // that it is small, whatever its text looks like.
  asm inline goto(
      "1: .byte 0xe9\n"
      ".long %l[yes] - 2f\n"
      "2:\n"
      ".pushsection uscx_branches, \"a?\"\n"
      ".balign 4\n"
      ".long 1b - ., %l[yes] - .\n"
      ".popsection"
      :
      :
      :
      : yes);
  return false;
yes:
  __attribute__((cold));
  return true;
#else
  return true;
#endif
}

}  // namespace uscx::machine

#endif  // USCX_MACHINE_STATIC_BRANCH_H_
