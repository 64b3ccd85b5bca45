// SPDX-License-Identifier: GPL-2.0-only
#include "base/files.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/need.h"

namespace uscx {
namespace {

// Most errors of files say all themselves.
std::string open_error(int error) {
  return error == EMFILE || error == ENFILE ? host_error(error) : std::string(std::strerror(error));
}

}  // namespace

Status write_file(const std::string &path, std::string_view bytes) {
  // What is there under the name of a device or a pipe would be replaced too.
  struct stat existing;
  if (::stat(path.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode))
    return Status::error("{}: it exists and is not a regular file", path);
  const std::string temporary = path + ".tmp";
  std::FILE *file = std::fopen(temporary.c_str(), "we");
  if (!file) return Status::error("{}: {}", path, open_error(errno));
  int error = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size() ? 0 : errno;
  if (std::fclose(file) != 0 && error == 0) error = errno;
  if (error == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return Status::ok_status();
  std::remove(temporary.c_str());
  return Status::error("{}: {}", path, std::strerror(error));
}

Result<std::vector<u8>> read_file(const std::string &path) {
  constexpr size_t kMaxBytes = 256 << 20;  // A device that gives bytes without end is no file of ours.
  std::FILE *file = std::fopen(path.c_str(), "re");
  if (!file) return Status::error("{}: {}", path, open_error(errno));
  std::vector<u8> bytes;
  u8 block[65536];
  size_t got = 0;
  while (bytes.size() <= kMaxBytes && (got = std::fread(block, 1, sizeof block, file)) > 0)
    bytes.insert(bytes.end(), block, block + got);
  const int error = std::ferror(file) ? errno : 0;
  std::fclose(file);
  if (error != 0) return Status::error("{}: {}", path, std::strerror(error));
  if (bytes.size() > kMaxBytes) return Status::error("{}: longer than {} MiB", path, kMaxBytes >> 20);
  return bytes;
}

}  // namespace uscx
