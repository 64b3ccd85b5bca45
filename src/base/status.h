// SPDX-License-Identifier: GPL-2.0-only
// Status and Result<T>: the errors of set-up code (command line, files, loading), which a user can mend. The message
// says what is wrong, where, and what to do. It is always one line: line ends in the names and texts that it quotes
// become blanks. Scheduling paths use neither type: they use errno values as the kernel does.
#ifndef USCX_BASE_STATUS_H_
#define USCX_BASE_STATUS_H_

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "base/check.h"

namespace uscx {

class [[nodiscard]] Status {
 public:
  Status() = default;
  static Status ok_status() { return Status(); }
  template <typename... Args>
  static Status error(fmt::format_string<Args...> format, Args &&...args) {
    Status status;
    status.message_ = fmt::format(format, std::forward<Args>(args)...);
    for (char &c : *status.message_)
      if (c == '\n' || c == '\r' || c == '\x1b') c = ' ';
    return status;
  }
  bool ok() const { return !message_.has_value(); }
  const std::string &message() const {
    CHECK(message_.has_value());
    return *message_;
  }
  // The same error with the place in front of it ("option --cpus: ...").
  Status at(const std::string &place) const { return ok() ? *this : Status::error("{}: {}", place, *message_); }

 private:
  std::optional<std::string> message_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}                                 // NOLINT: implicit on purpose
  Result(Status status) : status_(std::move(status)) { CHECK(!status_.ok()); }  // NOLINT
  bool ok() const { return value_.has_value(); }
  const Status &status() const { return status_; }
  const std::string &message() const { return status_.message(); }
  T &operator*() {
    CHECK(value_.has_value());
    return *value_;
  }
  T *operator->() { return &**this; }
  T take() {
    CHECK(value_.has_value());
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace uscx

#endif  // USCX_BASE_STATUS_H_
