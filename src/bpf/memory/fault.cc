// SPDX-License-Identifier: GPL-2.0-only
// The fault handler and the probing functions (see fault.h).
#include "bpf/memory/fault.h"

#include <signal.h>
#include <ucontext.h>

#include "base/check.h"
#include "bpf/memory/arena_window.h"

// The probing functions are written out, so that each one's memory access has a known address, and a fault there
// resumes at one known place, where false is returned. None of them touches the stack before its access.
asm(R"(
  .text
  .p2align 4
  .globl uscx_probe_begin
  .hidden uscx_probe_begin
uscx_probe_begin:
  .globl uscx_probe_load1
  .hidden uscx_probe_load1
uscx_probe_load1:  movzbl (%rdi), %eax
  jmp 1f
  .globl uscx_probe_load2
  .hidden uscx_probe_load2
uscx_probe_load2:  movzwl (%rdi), %eax
  jmp 1f
  .globl uscx_probe_load4
  .hidden uscx_probe_load4
uscx_probe_load4:  movl (%rdi), %eax
  jmp 1f
  .globl uscx_probe_load8
  .hidden uscx_probe_load8
uscx_probe_load8:  movq (%rdi), %rax
1:
  movq %rax, (%rsi)
  jmp 2f
  .globl uscx_probe_store1
  .hidden uscx_probe_store1
uscx_probe_store1: movb %sil, (%rdi)
  jmp 2f
  .globl uscx_probe_store2
  .hidden uscx_probe_store2
uscx_probe_store2: movw %si, (%rdi)
  jmp 2f
  .globl uscx_probe_store4
  .hidden uscx_probe_store4
uscx_probe_store4: movl %esi, (%rdi)
  jmp 2f
  .globl uscx_probe_store8
  .hidden uscx_probe_store8
uscx_probe_store8: movq %rsi, (%rdi)
  jmp 2f
  .globl uscx_probe_rw4
  .hidden uscx_probe_rw4
uscx_probe_rw4:    lock orl $0, (%rdi)
  jmp 2f
  .globl uscx_probe_rw8
  .hidden uscx_probe_rw8
uscx_probe_rw8:    lock orq $0, (%rdi)
  jmp 2f
  .globl uscx_probe_copy
  .hidden uscx_probe_copy
uscx_probe_copy:   movq %rdx, %rcx
  rep movsb
2:
  movl $1, %eax
  ret
  .globl uscx_probe_end
  .hidden uscx_probe_end
uscx_probe_end:
  xorl %eax, %eax
  ret
)");

extern "C" {
extern const char uscx_probe_begin[];
extern const char uscx_probe_end[];
bool uscx_probe_load1(u64 address, u64 *value);
bool uscx_probe_load2(u64 address, u64 *value);
bool uscx_probe_load4(u64 address, u64 *value);
bool uscx_probe_load8(u64 address, u64 *value);
bool uscx_probe_store1(u64 address, u64 value);
bool uscx_probe_store2(u64 address, u64 value);
bool uscx_probe_store4(u64 address, u64 value);
bool uscx_probe_store8(u64 address, u64 value);
bool uscx_probe_rw4(u64 address);
bool uscx_probe_rw8(u64 address);
bool uscx_probe_copy(void *to, const void *from, size_t bytes);
}

namespace uscx::bpf {
namespace {

struct sigaction g_previous_segv;
struct sigaction g_previous_bus;
CodeFaultDecoder g_decode_code_fault = nullptr;

void chain(int number, siginfo_t *info, void *context) {
  const struct sigaction &previous = number == SIGBUS ? g_previous_bus : g_previous_segv;
  if ((previous.sa_flags & SA_SIGINFO) && previous.sa_sigaction != nullptr)
    return previous.sa_sigaction(number, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(number);
  // The default action: reinstall it and let the instruction fault again.
  ::signal(number, SIG_DFL);
}

void on_fault(int number, siginfo_t *info, void *context) {
  auto *machine = &static_cast<ucontext_t *>(context)->uc_mcontext;
  const u64 pc = u64(machine->gregs[REG_RIP]);
  // A page of an arena that user space has touched: the access is simply repeated.
  if (ArenaWindow::fault_in(reinterpret_cast<u64>(info->si_addr))) return;
  if (pc >= reinterpret_cast<u64>(uscx_probe_begin) && pc < reinterpret_cast<u64>(uscx_probe_end)) {
    machine->gregs[REG_RIP] = reinterpret_cast<greg_t>(uscx_probe_end);
    return;
  }
  if (g_decode_code_fault != nullptr && g_decode_code_fault(machine)) return;
  chain(number, info, context);
}

}  // namespace

void set_code_fault_decoder(CodeFaultDecoder decoder) { g_decode_code_fault = decoder; }

void install_fault_handler() {
  // Once a process; threads that come in between wait.
  [[maybe_unused]] static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    // On the alternate stack where there is one; without one, on the stack of the program that faulted.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    CHECK(::sigaction(SIGSEGV, &action, &g_previous_segv) == 0);
    CHECK(::sigaction(SIGBUS, &action, &g_previous_bus) == 0);
    return true;
  }();
}

bool probe_load(u64 address, unsigned size, u64 *value) {
  switch (size) {
    case 1: return uscx_probe_load1(address, value);
    case 2: return uscx_probe_load2(address, value);
    case 4: return uscx_probe_load4(address, value);
    default: return uscx_probe_load8(address, value);
  }
}

bool probe_store(u64 address, unsigned size, u64 value) {
  switch (size) {
    case 1: return uscx_probe_store1(address, value);
    case 2: return uscx_probe_store2(address, value);
    case 4: return uscx_probe_store4(address, value);
    default: return uscx_probe_store8(address, value);
  }
}

bool probe_writable(u64 address, unsigned size) {
  return size == 4 ? uscx_probe_rw4(address) : uscx_probe_rw8(address);
}

bool probe_copy(void *to, const void *from, size_t bytes) { return uscx_probe_copy(to, from, bytes); }

}  // namespace uscx::bpf
