// SPDX-License-Identifier: GPL-2.0-only
// Fuzz entry for the options of `uscx run` and `uscx session start`: lines of a letter that names the option and its
// value. Whatever they are, they give a run that could begin, or one line of text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "machine/machine.h"
#include "run/run_arguments.h"

namespace {

using uscx::cli::RunArguments;

// Files are not opened: the value of a workload is one of those that are built in.
bool is_built_in(const std::string &value) { return value.find_first_of("/.") == std::string::npos; }

void add_option(RunArguments &arguments, char option, const std::string &value) {
  switch (option) {
    case 'c': arguments.cpus = value; break;
    case 't': arguments.topology = value; break;
    case 'h': arguments.hz = value; break;
    case 'd': arguments.duration = value; break;
    case 's': arguments.seed = value; break;
    case 'n': arguments.nohz_full = value; break;
    case 'i': arguments.isolcpus = value; break;
    case 'k': arguments.kill = value; break;
    case 'm': arguments.machine = value; break;
    case 'r': arguments.report = value; break;
    case 'S': arguments.sets.push_back(value); break;
    case 'o': arguments.ops.push_back(value); break;
    case 'q': arguments.sysrqs.push_back(value); break;
    case 'p': arguments.hotplugs.push_back(value); break;
    case 'a': arguments.alloc_failures.push_back(value); break;
    case 'g': arguments.cgroups.push_back(value); break;
    case 'w':
      if (is_built_in(value)) arguments.workloads.push_back(value);
      break;
    default: break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using namespace uscx;
  RunArguments arguments;
  std::string_view text(reinterpret_cast<const char *>(data), size);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.empty()) add_option(arguments, line[0], std::string(line.substr(1)));
  }
  Result<cli::RunOptions> options = cli::parse_run_options(arguments, {"fair"});
  if (!options.ok()) return 0;
  const u32 nr_cpus = options->topology.nr_cpus();
  CHECK(nr_cpus >= 1 && nr_cpus <= machine::kMaxCpus);
  CHECK(options->duration_ns > 0 && options->duration_ns <= workload::kMaxDurationNs);
  for (const auto *list : {&options->nohz_full, &options->isolated})
    for (u32 cpu : *list) CHECK(cpu > 0 && cpu < nr_cpus);
  for (const cli::HotplugAction &action : options->hotplugs) CHECK(action.what.cpu < nr_cpus);
  for (const auto &workload : options->workloads) (void)workload->plan({.nr_cpus = nr_cpus}).ok();
  return 0;
}
