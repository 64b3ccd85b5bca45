// SPDX-License-Identifier: GPL-2.0-only
#include "process/poll_proxies.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "bpf/object/map.h"

namespace uscx::process {
namespace {
constexpr u64 kFull = ~u64{1};  // The highest count of an eventfd: not even 1 can be added without waiting.
}  // namespace

PollProxies::Proxy::~Proxy() { ::close(fd); }

PollProxies::PollProxies(bridge::Host &host, std::function<void()> on_change)
    : host_(host), on_change_(std::move(on_change)), event_(announce, this, 0) {
  host_.set_wakeup_listener([this](bpf::Object &object) { changed(object); });
}

PollProxies::~PollProxies() {
  host_.set_wakeup_listener(nullptr);
  host_.machine().cancel_timer(event_);
}

std::shared_ptr<PollProxies::Proxy> PollProxies::of(const std::shared_ptr<bpf::Object> &object) {
  if (!object || !object->can_poll()) return nullptr;
  std::erase_if(proxies_, [](const auto &proxy) { return proxy->object.expired(); });
  for (const auto &proxy : proxies_)
    if (proxy->object.lock() == object) return proxy;
  auto proxy = std::make_shared<Proxy>();
  proxy->object = object;
  proxy->fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(proxy->fd >= 0, "eventfd: errno {}; raise the limit of open files (ulimit -n)", errno);
  const auto map = std::dynamic_pointer_cast<bpf::Map>(object);
  proxy->for_room = map && map->type() == BPF_MAP_TYPE_USER_RINGBUF;
  if (proxy->for_room) ::eventfd_write(proxy->fd, kFull);
  proxies_.push_back(proxy);
  update();
  return proxy;
}

int PollProxies::epoll_ctl(const Remote &remote, int epoll_fd, int op, const std::shared_ptr<bpf::Object> &object,
                           const epoll_event &event) {
  const std::shared_ptr<Proxy> proxy = of(object);
  if (!proxy) return -EPERM;
  const int epoll = remote.borrow_fd(epoll_fd);
  if (epoll < 0) return epoll;
  epoll_event copy = event;
  const int error = ::epoll_ctl(epoll, op, proxy->fd, &copy) == 0 ? 0 : -errno;
  ::close(epoll);
  return error;
}

void PollProxies::set_ready(Proxy &proxy, bool ready) {
  if (proxy.ready == ready) return;
  proxy.ready = ready;
  eventfd_t count;
  if (proxy.for_room != ready)
    ::eventfd_write(proxy.fd, proxy.for_room ? kFull : 1);
  else
    ::eventfd_read(proxy.fd, &count);
}

void PollProxies::update() {
  for (const auto &proxy : proxies_)
    if (const auto object = proxy->object.lock())
      set_ready(*proxy, (object->poll_events() & (proxy->for_room ? EPOLLOUT : EPOLLIN)) != 0);
}

// Programs change things with locks held; who waits is woken when the CPU is at peace again.
void PollProxies::changed(bpf::Object &object) {
  for (const auto &proxy : proxies_) {
    if (proxy->object.lock().get() != &object) continue;
    if (announced_.empty()) {
      event_.cpu = machine::exec().on_cpu ? machine::this_cpu() : 0;
      host_.machine().arm_timer(event_, machine::now_ns());
    }
    announced_.push_back(proxy);
    return;
  }
}

void PollProxies::announce(machine::SimEvent &event) {
  PollProxies &self = *static_cast<PollProxies *>(event.owner);
  machine::charge(machine::Cost::timer_irq);
  for (const auto &proxy : self.announced_) {
    // Down and up again, for who waits for the edge.
    set_ready(*proxy, false);
    const auto object = proxy->object.lock();
    if (object) set_ready(*proxy, (object->poll_events() & (proxy->for_room ? EPOLLOUT : EPOLLIN)) != 0);
  }
  self.announced_.clear();
  self.on_change_();
}

}  // namespace uscx::process
