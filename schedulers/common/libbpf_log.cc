// SPDX-License-Identifier: GPL-2.0-only
// libbpf's messages, kept so that errors can quote them.
#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "schedulers/common/scx_user.h"

namespace uscx::schedulers {
namespace {

std::string log_text;
bool log_verbose = false;

// The verifier's log comes as one message of many lines.
__attribute__((format(printf, 2, 0))) int keep_message(libbpf_print_level level, const char *format, va_list args) {
  if (log_verbose) {
    va_list copy;
    va_copy(copy, args);
    vfprintf(stderr, format, copy);
    va_end(copy);
  }
  if (level != LIBBPF_WARN) return 0;
  char *message = nullptr;
  if (vasprintf(&message, format, args) < 0) return 0;
  log_text += message;
  free(message);
  return 0;
}

}  // namespace

const std::string &libbpf_log() { return log_text; }

void clear_libbpf_log() {
  libbpf_set_print(keep_message);
  log_text.clear();
}

void set_libbpf_verbose(bool verbose) {
  libbpf_set_print(keep_message);
  log_verbose = verbose;
}

}  // namespace uscx::schedulers
