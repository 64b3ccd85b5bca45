// SPDX-License-Identifier: GPL-2.0-only
// Our own schedulers: each is a BPF object, compiled into the program, and a user half that knows its options and its
// statistics. The same source serves `uscx run NAME` and the standalone program for a real kernel.
//
// To add one: X.bpf.c, X.cc with its UserHalf and make_X(), a line in registry.cc and one in CMakeLists.txt.
#ifndef USCX_SCHEDULERS_USER_HALF_H_
#define USCX_SCHEDULERS_USER_HALF_H_

#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "schedulers/common/options.h"
#include "schedulers/common/scx_user.h"

namespace uscx::schedulers {

// Order of calls: parse_args() once; then, for each time it is loaded, configure() on a freshly opened object, and
// print_stats() about once a second while it runs.
class UserHalf {
 public:
  virtual ~UserHalf() = default;
  UserHalf();
  UserHalf(const UserHalf &) = delete;
  UserHalf &operator=(const UserHalf &) = delete;

  virtual std::string_view name() const = 0;
  // One sentence for -h.
  virtual std::string_view purpose() const = 0;
  // The bytes of its .bpf.o.
  virtual std::span<const u8> object() const = 0;
  // Puts the options into the object, before it is loaded.
  virtual Status configure(ScxObject &object, const Environment &environment) const = 0;
  virtual void print_stats(const ScxObject &object, FILE *out) const = 0;

  // The scheduler's own arguments, without a program's name in front.
  Status parse_args(const std::vector<std::string> &args);
  std::string usage() const;
  // -h and -v, which all have: show usage() and do nothing else; show libbpf's messages.
  bool help_wanted() const { return help_; }
  bool verbose() const { return verbose_; }

  // Opens the embedded object for this environment and configures it.
  Result<std::unique_ptr<ScxObject>> open(const Environment &environment) const;

 protected:
  // To be called by constructors.
  void add_option(Option option);

 private:
  std::vector<Option> options_;  // -v and -h are the last two
  bool help_ = false;
  bool verbose_ = false;
};

struct Scheduler {
  std::string_view name;
  std::string_view help;  // one line
  std::unique_ptr<UserHalf> (*make)();
};

// All of them, by name.
std::span<const Scheduler> schedulers();
// Null if there is none of this name.
const Scheduler *find_scheduler(std::string_view name);

std::unique_ptr<UserHalf> make_scx_central();
std::unique_ptr<UserHalf> make_scx_simple();
std::unique_ptr<UserHalf> make_scx_qmap();

}  // namespace uscx::schedulers

#endif  // USCX_SCHEDULERS_USER_HALF_H_
