// SPDX-License-Identifier: GPL-2.0-only
// Interleaver: the interface by which SimMachine calls explore mode (machine/explore/explore.h), which runs segments in
// pieces. Threading: the machine's thread.
#ifndef USCX_MACHINE_SIM_INTERLEAVER_H_
#define USCX_MACHINE_SIM_INTERLEAVER_H_

#include <functional>

#include "base/types.h"

namespace uscx::machine {

class Interleaver {
 public:
  // Runs events up to end_ns while go_on(), and lets all open segments end.
  virtual void drive(const std::function<bool()> &go_on, u64 end_ns) = 0;
  // Is this CPU in the middle of a segment?
  virtual bool in_segment(u32 cpu) const = 0;
  // How much later an irq_work that a CPU raises for itself interrupts it; 0: at once.
  virtual u64 irq_work_delay_ns() const = 0;

 protected:
  ~Interleaver() = default;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_SIM_INTERLEAVER_H_
