// SPDX-License-Identifier: GPL-2.0-only
#include "sched/ext/kick_syncs.h"

#include <sys/mman.h>

#include <cstdlib>
#include <vector>

#include "base/alloc_faults.h"
#include "sched/kernel.h"
#include "sched/mutation.h"

namespace uscx::sched {

namespace {

// From here on arrays are mappings of their own, which cost nothing until they are written; smaller ones would only use
// up mappings.
constexpr size_t kMapBytes = 4096;

}  // namespace

KickSyncs::KickSyncs(Kernel &kernel, AllocFaults &faults)
    : kernel_(kernel),
      faults_(faults),
      published_(std::make_unique<machine::Shared<u64 *>[]>(kernel.machine().nr_cpus())) {}

KickSyncs::~KickSyncs() {
  for (u32 cpu = 0; cpu < kernel_.machine().nr_cpus(); cpu++)
    if (u64 *array = of(cpu)) delete_array(array);
}

size_t KickSyncs::array_bytes() const { return size_t{kernel_.machine().nr_cpus()} * sizeof(u64); }

u64 *KickSyncs::new_array() {
  if (faults_.strikes(machine::AllocSite::kick_syncs)) return nullptr;
  void *memory;
  if (array_bytes() < kMapBytes) {
    memory = std::calloc(1, array_bytes());
  } else {
    memory = mmap(nullptr, array_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) memory = nullptr;
  }
  if (memory) live_bytes_.add(array_bytes());
  return static_cast<u64 *>(memory);
}

void KickSyncs::delete_array(u64 *array) {
  live_bytes_.add(~array_bytes() + 1);
  // Explore mode looks for uses of it, so that it must not be anything else.
  if (machine::exploring()) return machine::note_freed(array, array_bytes(), "a sequence array");
  if (array_bytes() < kMapBytes)
    std::free(array);
  else
    CHECK(munmap(array, array_bytes()) == 0);
}

void KickSyncs::trace_live() { kernel_.machine().trace(trace::EventType::scx_kick_syncs, live_bytes_); }

bool KickSyncs::alloc() {
  constexpr size_t kFixedAreaBytes = 32 * 1024;
  if (mutated(Mutation::ksyncs_fixed_area) && array_bytes() > kFixedAreaBytes) return false;
  trace_live();
  for (u32 cpu = 0; cpu < kernel_.nr_cpus(); cpu++) {
    CHECK(!of(cpu), "CPU {} has an array already", cpu);
    u64 *array = new_array();
    if (!array) {
      free();
      return false;
    }
    published_[cpu].store_release(array);
  }
  trace_live();
  return true;
}

// One callback frees all of them: their grace period is the same.
void KickSyncs::free() {
  std::vector<u64 *> arrays;
  for (u32 cpu = 0; cpu < kernel_.nr_cpus(); cpu++)
    if (u64 *array = published_[cpu].exchange(nullptr)) arrays.push_back(array);
  if (arrays.empty()) return;
  if (mutated(Mutation::ksyncs_no_grace)) {
    for (u64 *array : arrays) delete_array(array);
    return;
  }
  kernel_.rcu().call([this, arrays = std::move(arrays)] {
    for (u64 *array : arrays) delete_array(array);
    trace_live();
  });
}

}  // namespace uscx::sched
