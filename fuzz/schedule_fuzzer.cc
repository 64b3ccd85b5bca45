// SPDX-License-Identifier: GPL-2.0-only
// Fuzz entry for saved schedules of explore mode: whatever the bytes are, reading them gives a schedule or one line of
// text.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "run/saved_schedule.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using namespace uscx;
  Result<cli::SavedSchedule> saved = cli::parse_schedule({reinterpret_cast<const char *>(data), size});
  if (!saved.ok()) {
    for (const char c : saved.message()) CHECK(c != '\n', "a message of several lines");
    return 0;
  }
  CHECK(saved->scenario || !saved->scheduler.command.empty());
  CHECK(saved->mutation < sched::Mutation::count);
  return 0;
}
