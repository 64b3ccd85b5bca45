// SPDX-License-Identifier: GPL-2.0-only
#include "cli/command.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cli/run.h"

namespace uscx::cli {

int bad_input(const Status &status) {
  std::string line = status.message();
  std::replace(line.begin(), line.end(), '\n', ' ');
  fmt::print(stderr, "uscx: {}\n", line);
  return kExitBadInput;
}

Status write_file(const std::string &path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  std::FILE *file = std::fopen(temporary.c_str(), "we");
  if (!file) return Status::error("{}: {}", path, std::strerror(errno));
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const bool closed = std::fclose(file) == 0;
  if (written && closed && std::rename(temporary.c_str(), path.c_str()) == 0) return Status::ok_status();
  const int error = errno;
  std::remove(temporary.c_str());
  return Status::error("{}: {}", path, std::strerror(error));
}

Result<std::vector<u8>> read_file(const std::string &path) {
  std::FILE *file = std::fopen(path.c_str(), "re");
  if (!file) return Status::error("{}: {}", path, std::strerror(errno));
  std::vector<u8> bytes;
  u8 block[65536];
  size_t got = 0;
  while ((got = std::fread(block, 1, sizeof block, file)) > 0) bytes.insert(bytes.end(), block, block + got);
  const int error = std::ferror(file) ? errno : 0;
  std::fclose(file);
  if (error != 0) return Status::error("{}: {}", path, std::strerror(error));
  return bytes;
}

}  // namespace uscx::cli
