// SPDX-License-Identifier: GPL-2.0-only
#include "process/watches.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>

namespace uscx::process {

Watches::Watches(machine::Machine &machine, List list, IsThere is_there, std::function<void()> on_change)
    : machine_(machine),
      list_(std::move(list)),
      is_there_(std::move(is_there)),
      on_change_(std::move(on_change)),
      event_(announce, this, 0) {}

Watches::~Watches() { machine_.cancel_timer(event_); }

namespace {
void make_file(const std::string &place) {
  const int fd = ::open(place.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  if (fd >= 0) ::close(fd);
}
}  // namespace

// Of a directory all names are there before anybody listens.
void Watches::make_place(const std::string &path) {
  std::error_code error;
  std::filesystem::create_directories(place_of(path), error);
  for (const FileName &name : list_(path)) {
    const std::string place = place_of(path) + "/" + name.name;
    if (name.kind == FileKind::kDirectory)
      std::filesystem::create_directory(place, error);
    else
      make_file(place);
  }
}

int Watches::add(const std::string &root, int inotify, const std::string &path, FileKind kind, u32 mask) {
  root_ = root;
  const std::string directory = kind == FileKind::kDirectory ? path : path.substr(0, path.rfind('/'));
  if (watched_.insert(directory).second) make_place(directory);
  const int watch = ::inotify_add_watch(inotify, place_of(path).c_str(), mask);
  return watch < 0 ? -errno : watch;
}

// Of all that could be done to a file, this is heard as a write alone.
void Watches::modified(const std::string &path) const {
  if (!root_.empty()) (void)!::truncate(place_of(path).c_str(), 0);
}

void Watches::names_changed(const std::string &below) {
  std::error_code error;
  for (auto it = watched_.lower_bound(below); it != watched_.end() && it->starts_with(below);) {
    if (!is_there_(*it)) {
      std::filesystem::remove_all(place_of(*it), error);
      it = watched_.erase(it);
      continue;
    }
    std::set<std::string> there;
    for (const FileName &name : list_(*it)) {
      const std::string place = place_of(*it) + "/" + name.name;
      there.insert(place);
      if (std::filesystem::exists(place, error)) continue;
      name.kind == FileKind::kDirectory ? void(std::filesystem::create_directory(place, error)) : make_file(place);
    }
    std::set<std::string> gone;
    for (const auto &entry : std::filesystem::directory_iterator(place_of(*it), error))
      if (!there.contains(entry.path())) gone.insert(entry.path());
    for (const std::string &place : gone) std::filesystem::remove_all(place, error);
    ++it;
  }
}

void Watches::modified_later(std::string path) {
  if (due_.empty()) {
    event_.cpu = machine::exec().on_cpu ? machine::this_cpu() : 0;
    machine_.arm_timer(event_, machine::now_ns());
  }
  due_.insert(std::move(path));
}

void Watches::announce(machine::SimEvent &event) {
  Watches &self = *static_cast<Watches *>(event.owner);
  machine::charge(machine::Cost::timer_irq);
  for (const std::string &path : self.due_) self.modified(path);
  self.due_.clear();
  self.on_change_();
}

}  // namespace uscx::process
