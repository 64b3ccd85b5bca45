// SPDX-License-Identifier: GPL-2.0-only
#include "run/compile.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "base/need.h"
#include "process/launch.h"
#include "run/compile_flags.h"

namespace uscx::cli {
namespace {

// Those that our tests know come first.
constexpr const char *kClangs[] = {"clang-22", "clang-19", "clang"};

Result<std::string> find_clang() {
  for (const char *name : kClangs)
    if (Result<std::string> path = process::find_program(name); path.ok()) return path;
  return Status::error("no clang in PATH ({} were looked for); install one, or compile the object elsewhere",
                       fmt::join(kClangs, ", "));
}

// uscx stands in bin/, both where it is built and where it is installed.
Result<std::string> find_headers() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path folder = program.parent_path().parent_path() / "share/uscx/include";
  if (error || !std::filesystem::exists(folder / "vmlinux.h", error))
    return Status::error("{} does not have the headers of BPF schedulers; install uscx anew", folder.string());
  return folder.string();
}

class MemoryFile {
 public:
  MemoryFile() : fd_(::memfd_create("object", MFD_CLOEXEC)) { NEED(fd_ >= 0, "memfd: {}", std::strerror(errno)); }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile &) = delete;
  MemoryFile &operator=(const MemoryFile &) = delete;
  int fd() const { return fd_; }
  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

 private:
  const int fd_;
};

// Waits for the program, which writes to `output`. Its exit status, or -1 if a signal ended it.
Result<int> run_program(const std::vector<std::string> &words, int output) {
  std::vector<char *> argv;
  for (const std::string &word : words) argv.push_back(const_cast<char *>(word.c_str()));  // NOLINT: it only reads
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  pid_t child = 0;
  const int error = ::posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Status::error("{}: {}", words[0], std::strerror(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) CHECK(errno == EINTR, "waitpid: errno {}", errno);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Result<std::vector<u8>> compile(const std::string &source) {
  if (Result<std::vector<u8>> text = read_file(source); !text.ok()) return text;
  Result<std::string> clang = find_clang();
  if (!clang.ok()) return clang.status().at(source);
  Result<std::string> headers = find_headers();
  if (!headers.ok()) return headers.status().at(source);
  std::vector<std::string> words{*clang};
  words.insert(words.end(), std::begin(kCompileFlags), std::end(kCompileFlags));
  words.insert(words.end(), {"-I" + *headers, "-c", source, "-o", "-"});
  const MemoryFile object;
  Result<int> status = run_program(words, object.fd());
  if (!status.ok()) return status.status().at(source);
  if (*status != 0)
    return Status::error("{}: {} does not compile it and says why above", source,
                         std::filesystem::path(*clang).filename().string());
  return read_file(object.path());
}

}  // namespace

bool is_source_file(std::string_view name) { return name.ends_with(".bpf.c"); }

Result<std::vector<u8>> read_object(const std::string &path) {
  return is_source_file(path) ? compile(path) : read_file(path);
}

}  // namespace uscx::cli
