// SPDX-License-Identifier: GPL-2.0-only
// Fuzz entry for the messages of `uscx session`: whatever the bytes on the socket are, what is received are messages
// made of them, or the connection counts as closed. What can be received can be sent, and arrives as it was.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "session/socket.h"

namespace {

using uscx::cli::Fd;
using uscx::cli::SessionChannel;
using uscx::cli::SessionMessage;

std::pair<Fd, Fd> socket_pair() {
  int fds[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

void expect_same_back(const SessionMessage &message) {
  auto [here, there] = socket_pair();
  SessionChannel sender(std::move(here)), receiver(std::move(there));
  CHECK(sender.send(message.kind, message.strings));
  const std::optional<SessionMessage> back = receiver.receive();
  CHECK(back && back->kind == message.kind && back->strings == message.strings && back->fds.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto [here, there] = socket_pair();
  SessionChannel channel(std::move(there));
  size_t nr_bytes = 0;
  // In pieces, as they arrive, and no more than a socket takes at once.
  for (size_t at = 0; at < std::min<size_t>(size, 65536) && !channel.closed();) {
    const size_t piece = std::min<size_t>(size - at, 1 + data[at] * 16u);
    CHECK(::write(here.get(), data + at, piece) == static_cast<ssize_t>(piece));
    at += piece;
    while (const std::optional<SessionMessage> message = channel.receive()) {
      for (const std::string &text : message->strings) nr_bytes += text.size();
      expect_same_back(*message);
    }
  }
  CHECK(nr_bytes <= size);
  return 0;
}
