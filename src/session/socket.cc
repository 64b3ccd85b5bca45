// SPDX-License-Identifier: GPL-2.0-only
#include "session/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace uscx::cli {
namespace {

constexpr size_t kMaxFds = 3, kHeaderBytes = 5;
constexpr u32 kMaxMessageBytes = 16 << 20;  // Arguments and environment have less.

Status system_error(const std::string &what) { return Status::error("{}: {}", what, std::strerror(errno)); }

template <typename T>
void append(std::string *bytes, T value) {
  bytes->append(reinterpret_cast<const char *>(&value), sizeof value);
}

sockaddr_un address_of(const std::string &path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Fd new_socket() { return Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

// The user's own directory, made if it is not there.
Result<std::string> session_directory() {
  const char *runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string path =
      runtime && runtime[0] == '/' ? std::string(runtime) + "/uscx" : fmt::format("/tmp/uscx-{}", ::geteuid());
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return system_error(path);
  struct stat st;
  if (::lstat(path.c_str(), &st) != 0) return system_error(path);
  constexpr mode_t kOthers = 077;
  if (!S_ISDIR(st.st_mode) || st.st_uid != ::geteuid() || (st.st_mode & kOthers) != 0)
    return Status::error("{}: sessions need a directory that is yours alone (chmod 700)", path);
  return path;
}

}  // namespace

Fd &Fd::operator=(Fd &&other) noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = other.release();
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

// --- messages: the size of what follows the header, the kind, and each string after its size ---

bool SessionChannel::send(SessionMessage::Kind kind, const std::vector<std::string> &strings,
                          std::span<const int> fds) {
  std::string body, bytes;
  for (const std::string &text : strings) {
    append(&body, static_cast<u32>(text.size()));
    body += text;
  }
  append(&bytes, static_cast<u32>(body.size()));
  append(&bytes, kind);
  bytes += body;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  for (size_t at = 0; at < bytes.size();) {
    iovec part{bytes.data() + at, bytes.size() - at};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (at == 0 && !fds.empty()) {
      CHECK(fds.size() <= kMaxFds);
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(fds.size_bytes());
      cmsghdr *header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    const ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    at += static_cast<size_t>(sent);
  }
  return true;
}

void SessionChannel::read_more() {
  for (;;) {
    char block[65536];
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
    iovec part{block, sizeof block};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      closed_ = true;
      return;
    }
    input_.append(block, static_cast<size_t>(got));
    for (cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
        input_fds_.emplace_back(fd);
      }
    }
  }
}

std::optional<SessionMessage> SessionChannel::receive() {
  if (!closed_) read_more();
  u32 size = 0;
  if (input_.size() < kHeaderBytes) return std::nullopt;
  std::memcpy(&size, input_.data(), sizeof size);
  closed_ = closed_ || size > kMaxMessageBytes;
  if (size > kMaxMessageBytes || input_.size() < kHeaderBytes + size) return std::nullopt;
  SessionMessage message{static_cast<SessionMessage::Kind>(input_[sizeof size]), {}, {}};
  const std::string body = input_.substr(kHeaderBytes, size);
  input_.erase(0, kHeaderBytes + size);
  for (size_t at = 0; at + sizeof size <= body.size();) {
    std::memcpy(&size, body.data() + at, sizeof size);
    at += sizeof size;
    message.strings.push_back(body.substr(std::min(at, body.size()), size));
    at += size;
  }
  message.fds.swap(input_fds_);
  return message;
}

std::optional<SessionMessage> SessionChannel::wait() {
  for (;;) {
    if (std::optional<SessionMessage> message = receive()) return message;
    if (closed_) return std::nullopt;
    pollfd poll{fd_.get(), POLLIN, 0};
    ::poll(&poll, 1, -1);
  }
}

// --- names ---

Result<SessionPlace> session_place(const std::string &name) {
  constexpr size_t kMaxName = 64;
  const bool good =
      !name.empty() && name.size() <= kMaxName && name[0] != '.' &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == std::string::npos;
  if (!good) return Status::error("--name: '{}' is no name; it takes letters, digits, '_', '-' and '.'", name);
  Result<std::string> directory = session_directory();
  if (!directory.ok()) return directory.status();
  const std::string stem = *directory + "/" + name;
  SessionPlace place{stem + ".sock", stem + ".lock", stem + ".log"};
  if (place.socket.size() >= sizeof(sockaddr_un::sun_path))
    return Status::error("{}: too long for a socket's name", place.socket);
  return place;
}

Result<std::unique_ptr<SessionClaim>> SessionClaim::take(const std::string &name) {
  Result<SessionPlace> place = session_place(name);
  if (!place.ok()) return place.status();
  auto claim = std::make_unique<SessionClaim>();
  claim->place_ = place.take();
  // A session that ends removes its files: what is locked must still be the file of that name.
  for (struct stat locked, named; !claim->removes_;) {
    claim->lock_ = Fd(::open(claim->place_.lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (claim->lock_.get() < 0) return system_error(claim->place_.lock);
    if (::flock(claim->lock_.get(), LOCK_EX | LOCK_NB) != 0)
      return Status::error("a session named '{}' runs already (uscx session stop{})", name,
                           name == "default" ? "" : " --name " + name);
    claim->removes_ = ::fstat(claim->lock_.get(), &locked) == 0 && ::stat(claim->place_.lock.c_str(), &named) == 0 &&
                      locked.st_ino == named.st_ino;
  }
  ::unlink(claim->place_.socket.c_str());
  claim->listener_ = new_socket();
  const sockaddr_un address = address_of(claim->place_.socket);
  constexpr int kWaiting = 64;
  if (claim->listener_.get() < 0 ||
      ::bind(claim->listener_.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
      ::listen(claim->listener_.get(), kWaiting) != 0)
    return system_error(claim->place_.socket);
  return claim;
}

SessionClaim::~SessionClaim() {
  if (!removes_) return;
  for (const std::string &path : {place_.socket, place_.log, place_.lock}) ::unlink(path.c_str());
}

Result<std::unique_ptr<SessionChannel>> connect_session(const std::string &name) {
  Result<SessionPlace> place = session_place(name);
  if (!place.ok()) return place.status();
  Fd fd = new_socket();
  const sockaddr_un address = address_of(place->socket);
  if (fd.get() < 0 || ::connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0)
    return Status::error("no session named '{}' runs (uscx session start{}){}", name,
                         name == "default" ? "" : " --name " + name,
                         ::access(place->log.c_str(), R_OK) == 0 ? "; " + place->log + " says why one has ended" : "");
  return std::make_unique<SessionChannel>(std::move(fd));
}

}  // namespace uscx::cli
