// SPDX-License-Identifier: GPL-2.0-only
// Polling of bpf(2)'s objects. Their files are memfds, which the host's poll takes for always ready and its epoll does
// not take at all. Each polled object therefore has an eventfd of ours, a proxy, that is ready when the object is;
// epoll sets of programs contain the proxy.
//
// A proxy is brought up to date when a program asks (update()), and when the object tells of a change. As in the
// kernel, who sleeps is woken by the latter alone.
//
// Threading: the simulation's thread.
#ifndef USCX_PROCESS_POLL_PROXIES_H_
#define USCX_PROCESS_POLL_PROXIES_H_

#include <sys/epoll.h>

#include <functional>
#include <memory>
#include <vector>

#include "bridge/host.h"
#include "process/remote.h"

namespace uscx::process {

class PollProxies {
 public:
  struct Proxy {
    std::weak_ptr<bpf::Object> object;
    int fd = -1;  // An eventfd.
    // What epoll sets wait for: data (the eventfd counts), or room, as in ring buffers that user space writes (it is
    // full while there is none).
    bool for_room = false;
    bool ready = false;
    ~Proxy();
  };

  PollProxies(bridge::Host &host, std::function<void()> on_change);
  ~PollProxies();
  PollProxies(const PollProxies &) = delete;
  PollProxies &operator=(const PollProxies &) = delete;

  // The proxy of an object; null if it cannot be polled.
  std::shared_ptr<Proxy> of(const std::shared_ptr<bpf::Object> &object);
  // epoll_ctl(2) of a program on such an object: 0 or -errno.
  int epoll_ctl(const Remote &remote, int epoll_fd, int op, const std::shared_ptr<bpf::Object> &object,
                const epoll_event &event);
  void update();

 private:
  void changed(bpf::Object &object);
  static void announce(machine::SimEvent &event);
  static void set_ready(Proxy &proxy, bool ready);

  bridge::Host &host_;
  const std::function<void()> on_change_;
  std::vector<std::shared_ptr<Proxy>> proxies_;    // In order of their making.
  std::vector<std::shared_ptr<Proxy>> announced_;  // Have changed; event_ is armed.
  machine::SimEvent event_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_POLL_PROXIES_H_
