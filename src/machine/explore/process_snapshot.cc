// SPDX-License-Identifier: GPL-2.0-only
#include "machine/explore/process_snapshot.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace uscx::machine {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

constexpr u64 kPageBytes = 4096;
constexpr u32 kMaxRegions = 4096;
constexpr u32 kMaxPages = 1 << 20;
constexpr size_t kMaxMapsText = 512 * 1024;

// In an entry of /proc/self/pagemap.
constexpr u64 kPresent = u64{1} << 63, kSwapped = u64{1} << 62, kOwn = u64{1} << 56;

// Consecutive pages of private memory that can be written.
struct Region {
  u64 begin, end;
  u32 first_page;  // Of the image.
  bool of_file;    // A page that is not there is not one of zeros.
};

// Opens the file at the place of a descriptor that is reserved for it.
bool open_at(int reserved, const char *path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = dup3(fd, reserved, O_CLOEXEC) >= 0;
  close(fd);
  return done;
}

u64 page_faults() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<u64>(usage.ru_minflt) + static_cast<u64>(usage.ru_majflt);
}

u64 hex(std::string_view &text) {
  u64 value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

}  // namespace

struct ProcessSnapshot::State {
  int pagemap, maps, statm;
  bool taken;
  int lowest_free_fd;
  u64 faults;
  char size_text[128];
  size_t maps_size;
  char maps_text[kMaxMapsText], maps_now[kMaxMapsText];
  u32 nr_regions, nr_pages, nr_written;
  Region regions[kMaxRegions];
  u32 written[kMaxPages];  // Pages of the image that have ever been written since.
  bool is_written[kMaxPages];
  u64 address[kMaxPages];
  alignas(kPageBytes) char image[kMaxPages][kPageBytes];

  // All of the text of /proc/self/maps; 0 if it is too long.
  size_t read_maps(char *text) const {
    size_t size = 0;
    for (;;) {
      const ssize_t got = pread(maps, text + size, kMaxMapsText - size, static_cast<off_t>(size));
      if (got == 0) return size;
      if (got < 0 || size + static_cast<size_t>(got) == kMaxMapsText) return 0;
      size += static_cast<size_t>(got);
    }
  }
  // The first number of /proc/self/statm: how many pages are mapped.
  void read_size(char (&text)[sizeof(size_text)]) const {
    const ssize_t got = pread(statm, text, sizeof(text) - 1, 0);
    text[std::max<ssize_t>(got, 0)] = 0;
    if (char *space = std::strchr(text, ' ')) *space = 0;
  }
  int find_free_fd() const {
    const int fd = dup(pagemap);
    close(fd);
    return fd;
  }
  // Calls fn(page of the image, entry) for all pages; false if the kernel does not tell.
  template <typename Fn>
  bool each_page(Fn fn) const {
    for (u32 r = 0; r < nr_regions; r++) {
      const Region &region = regions[r];
      u64 entries[512];
      for (u64 at = region.begin; at < region.end; at += std::size(entries) * kPageBytes) {
        const u64 count = std::min<u64>((region.end - at) / kPageBytes, std::size(entries));
        const ssize_t bytes = static_cast<ssize_t>(count * 8);
        if (pread(pagemap, entries, static_cast<size_t>(bytes), static_cast<off_t>(at / kPageBytes * 8)) != bytes)
          return false;
        const u32 page = region.first_page + static_cast<u32>((at - region.begin) / kPageBytes);
        for (u32 i = 0; i < count; i++) fn(page + i, region, entries[i]);
      }
    }
    return true;
  }
};

ProcessSnapshot::ProcessSnapshot() {
  // With a page on each side that keeps the kernel from making one mapping of this and a neighbour.
  const size_t bytes = sizeof(State) + 2 * kPageBytes;
  void *mapping = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return;
  char *const begin = static_cast<char *>(mapping) + kPageBytes;
  if (mprotect(begin, (sizeof(State) + kPageBytes - 1) & ~(kPageBytes - 1), PROT_READ | PROT_WRITE)) return;
  state_ = reinterpret_cast<State *>(begin);
  for (int *fd : {&state_->pagemap, &state_->maps, &state_->statm}) {
    *fd = eventfd(0, EFD_CLOEXEC);
    CHECK(*fd >= 0, "no descriptor for a snapshot");
  }
}

ProcessSnapshot::~ProcessSnapshot() {
  if (!state_) return;
  for (int fd : {state_->pagemap, state_->maps, state_->statm}) close(fd);
  munmap(reinterpret_cast<char *>(state_) - kPageBytes, sizeof(State) + 2 * kPageBytes);
}

bool ProcessSnapshot::take(const void *stack, size_t stack_bytes) {
  if (kSanitized || !state_) return false;
  State &s = *state_;
  if (!open_at(s.pagemap, "/proc/self/pagemap") || !open_at(s.maps, "/proc/self/maps") ||
      !open_at(s.statm, "/proc/self/statm"))
    return false;
  s.maps_size = s.read_maps(s.maps_text);
  if (!parse_regions(static_cast<const char *>(stack), stack_bytes) || !copy_out()) return false;
  s.read_size(s.size_text);
  s.lowest_free_fd = s.find_free_fd();
  s.faults = page_faults();
  s.taken = true;
  return true;
}

// Each line: begin-end perms offset device inode name.
bool ProcessSnapshot::parse_regions(const char *stack, size_t stack_bytes) {
  State &s = *state_;
  std::string_view text(s.maps_text, s.maps_size);
  if (text.empty() || text.find("/vgpreload_") != text.npos) return false;
  const u64 own = reinterpret_cast<u64>(state_), hole = reinterpret_cast<u64>(stack);
  s.nr_regions = s.nr_pages = 0;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const u64 begin = hex(line);
    line.remove_prefix(1);
    const u64 end = hex(line);
    const bool restored = line[2] == 'w' && line[4] == 'p' && begin != own;
    if (!restored) continue;
    const bool of_file = line.find(" 00:00 0") == line.npos;
    if (s.nr_regions + 2 > kMaxRegions || s.nr_pages + (end - begin) / kPageBytes > kMaxPages) return false;
    add_region(begin, end, of_file, hole, hole + stack_bytes);
  }
  return true;
}

void ProcessSnapshot::add_region(u64 begin, u64 end, bool of_file, u64 hole_begin, u64 hole_end) {
  State &s = *state_;
  auto add = [&](u64 from, u64 to) {
    if (from >= to) return;
    s.regions[s.nr_regions++] = {from, to, s.nr_pages, of_file};
    for (u64 at = from; at < to; at += kPageBytes) s.address[s.nr_pages++] = at;
  };
  add(begin, std::min(end, std::max(begin, hole_begin)));
  add(std::max(begin, std::min(end, hole_end)), end);
}

bool ProcessSnapshot::copy_out() {
  State &s = *state_;
  return s.each_page([&s](u32 page, const Region &region, u64 entry) {
    if (entry & (kPresent | kSwapped) || region.of_file)
      std::memcpy(s.image[page], reinterpret_cast<const void *>(s.address[page]), kPageBytes);
  });
}

bool ProcessSnapshot::find_written() {
  State &s = *state_;
  return s.each_page([&s](u32 page, const Region &, u64 entry) {
    if (!(entry & kSwapped) && !(entry & kPresent && entry & kOwn)) return;
    if (std::exchange(s.is_written[page], true)) return;
    s.written[s.nr_written++] = page;
  });
}

bool ProcessSnapshot::restore() {
  if (!state_ || !state_->taken) return false;
  State &s = *state_;
  char size_now[sizeof(s.size_text)];
  s.read_size(size_now);
  if (std::strcmp(size_now, s.size_text) != 0 || s.find_free_fd() != s.lowest_free_fd) return false;
  const bool faults = page_faults() != s.faults;
  if (faults) {
    const size_t size = s.read_maps(s.maps_now);
    if (size != s.maps_size || std::memcmp(s.maps_now, s.maps_text, size) != 0 || !find_written()) return false;
  }
  for (u32 i = 0; i < s.nr_written; i++)
    std::memcpy(reinterpret_cast<void *>(s.address[s.written[i]]), s.image[s.written[i]], kPageBytes);
  if (faults) s.faults = page_faults();
  return true;
}

}  // namespace uscx::machine
