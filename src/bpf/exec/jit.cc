// SPDX-License-Identifier: GPL-2.0-only
// Memory, entry and faults of translated code (see jit.h).
#include "bpf/exec/jit.h"
#include "base/need.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>

#include "bpf/exec/exec.h"
#include "bpf/exec/program.h"
#include "bpf/memory/arena_window.h"
#include "bpf/memory/fault.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_handle_no_return();
#endif

namespace uscx::bpf {
namespace {

constexpr size_t kArenaBytes = 128u << 20;
constexpr size_t kCodePage = 4096;

// All code memory. Pages are given out first fit; each page knows whose code it holds, for the fault handler.
class CodeArena {
 public:
  static CodeArena &get() {
    static CodeArena *arena = new CodeArena;
    return *arena;
  }

  u64 base() const { return exec_; }
  const JitStubs &stubs() const { return stubs_; }

  // 0 when there is no room.
  u64 place(const Translation &code, const JitCode *owner, size_t *reserved) {
    std::lock_guard hold(lock_);
    const size_t bytes = (code.code.size() + kCodePage - 1) / kCodePage * kCodePage;
    const size_t offset = find_room(bytes);
    if (offset == kArenaBytes) return 0;
    used_[offset] = bytes;
    *reserved = bytes;
    write(offset, code);
    for (size_t at = offset; at < offset + bytes; at += kCodePage)
      owners_[at / kCodePage].store(owner, std::memory_order_release);  // pairs with owner()
    return exec_ + offset;
  }

  void release(u64 address, size_t bytes) {
    std::lock_guard hold(lock_);
    const size_t offset = address - exec_;
    for (size_t at = offset; at < offset + bytes; at += kCodePage)
      owners_[at / kCodePage].store(nullptr, std::memory_order_release);
    std::memset(write_ + offset, 0xcc, bytes);
    used_.erase(offset);
  }

  // Safe in a signal handler.
  const JitCode *owner(u64 pc) const {
    if (pc - exec_ >= kArenaBytes) return nullptr;
    return owners_[(pc - exec_) / kCodePage].load(std::memory_order_acquire);
  }

 private:
  CodeArena() {
    const int fd = ::memfd_create("uscx-code", MFD_CLOEXEC);
    NEED(fd >= 0 && ::ftruncate(fd, kArenaBytes) == 0, "no memory for translated code (memfd_create): {}",
         host_error(errno));
    exec_ = map_near_text(fd);
    void *writable = ::mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(writable != MAP_FAILED, "no addresses for translated code: {}", host_error(errno));
    write_ = static_cast<char *>(writable);
    ::close(fd);
    Translation code;
    build_stubs(&code, &stubs_);
    used_[0] = (code.code.size() + kCodePage - 1) / kCodePage * kCodePage;
    write(0, code);
    for (u64 *stub : {&stubs_.enter, &stubs_.unwind, &stubs_.slow_store, &stubs_.deopt, &stubs_.access,
                      &stubs_.store_fault, &stubs_.abort_budget, &stubs_.abort_depth, &stubs_.abort_trap})
      *stub += exec_;
  }

  // Tries places at growing distance from our text on both sides, so that 32-bit displacements reach; then anywhere.
  static u64 map_near_text(int fd) {
    const u64 text = reinterpret_cast<u64>(&install_fault_handler) & ~0xffffffull;
    for (u64 distance = 256u << 20; distance < (1900ull << 20); distance += 128u << 20) {
      for (u64 hint : {text + distance, text - distance}) {
        void *got = ::mmap(reinterpret_cast<void *>(hint), kArenaBytes, PROT_READ | PROT_EXEC,
                           MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
        if (got == reinterpret_cast<void *>(hint)) return hint;
        if (got != MAP_FAILED) ::munmap(got, kArenaBytes);
      }
    }
    void *got = ::mmap(nullptr, kArenaBytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    CHECK(got != MAP_FAILED, "the host allows no executable memory (errno {})", errno);
    return reinterpret_cast<u64>(got);
  }

  size_t find_room(size_t bytes) const {
    size_t at = 0;
    for (const auto &[offset, size] : used_) {
      if (offset - at >= bytes) return at;
      at = offset + size;
    }
    return kArenaBytes - at >= bytes ? at : kArenaBytes;
  }

  void write(size_t offset, const Translation &code) {
    std::memcpy(write_ + offset, code.code.data(), code.code.size());
    for (const auto &external : code.externals) {
      const s64 relative = s64(external.target) - s64(exec_ + offset + external.at + 4);
      CHECK(relative == s32(relative), "a call out of translated code does not reach");
      const s32 displacement = s32(relative);
      std::memcpy(write_ + offset + external.at, &displacement, 4);
    }
  }

  std::mutex lock_;  // a leaf
  u64 exec_ = 0;
  char *write_ = nullptr;
  std::map<size_t, size_t> used_;  // offset to bytes; guarded by lock_
  std::atomic<const JitCode *> owners_[kArenaBytes / kCodePage] = {};
  JitStubs stubs_;
};

}  // namespace

bool reachable_from_code(u64 address) {
  const u64 base = CodeArena::get().base();
  const s64 from_start = s64(address - base);
  const s64 from_end = s64(address - (base + kArenaBytes));
  return from_start == s32(from_start) && from_end == s32(from_end);
}

const JitStubs &JitCode::stubs() { return CodeArena::get().stubs(); }

Result<std::unique_ptr<JitCode>> JitCode::translate(const Program &program) {
  install_fault_handler();
  set_code_fault_decoder(&handle_fault);
  Translation code;
  if (Status status = translate_functions(program, &code); !status.ok()) return status;
  std::unique_ptr<JitCode> jit(new JitCode);
  jit->program_ = &program;
  jit->bytes_ = code.code.size();
  jit->entries_ = std::move(code.entries);
  jit->faults_ = std::move(code.faults);
  jit->base_ = CodeArena::get().place(code, jit.get(), &jit->reserved_);
  if (jit->base_ == 0) return Status::error("translated code of all programs exceeds {} MiB", kArenaBytes >> 20);
  return jit;
}

JitCode::~JitCode() {
  if (base_ != 0) CodeArena::get().release(base_, reserved_);
}

void JitCode::unwind(u64 entry_rsp) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_handle_no_return();
#endif
  reinterpret_cast<void (*)(u64)>(CodeArena::get().stubs().unwind)(entry_rsp);
  __builtin_unreachable();
}

bool JitCode::handle_fault(void *machine_context) {
  auto *machine = static_cast<mcontext_t *>(machine_context);
  const u64 pc = u64(machine->gregs[REG_RIP]);
  const JitCode *jit = CodeArena::get().owner(pc);
  if (jit == nullptr) return false;
  const u32 offset = u32(pc - jit->base_);
  auto it = std::lower_bound(jit->faults_.begin(), jit->faults_.end(), offset,
                             [](const FaultEntry &entry, u32 value) { return entry.pc < value; });
  if (it == jit->faults_.end() || it->pc != offset) return false;
  // Machine numbers of registers, in the order of the instruction encoding.
  static constexpr int kContextReg[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                          REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  switch (it->kind) {
    case FaultKind::kLoad:
      jit->program_->count_wild_load(it->insn);
      machine->gregs[kContextReg[it->reg]] = 0;
      machine->gregs[REG_RIP] = greg_t(jit->base_ + it->resume);
      return true;
    case FaultKind::kResume: machine->gregs[REG_RIP] = greg_t(jit->base_ + it->resume); return true;
    case FaultKind::kStore: break;
  }
  const u64 stored_at = u64(machine->gregs[kContextReg[it->reg]]) + u64(s64{it->disp});
  if (ArenaWindow::is_access(jit->program_->arena_base(), stored_at)) {
    reinterpret_cast<ExecState *>(machine->gregs[REG_R12])->skip_arena_store(jit->program_, it->insn, stored_at);
    machine->gregs[REG_RIP] = greg_t(jit->base_ + it->resume);
    return true;
  }
  if (it->saves_budget) reinterpret_cast<ExecState *>(machine->gregs[REG_R12])->budget = machine->gregs[REG_R9];
  // The kernel reports the first byte that faulted; what counts is where the store began.
  machine->gregs[REG_R11] = greg_t(stored_at);
  machine->gregs[REG_R10] = it->insn;
  machine->gregs[REG_RIP] = greg_t(CodeArena::get().stubs().store_fault);
  return true;
}

}  // namespace uscx::bpf
