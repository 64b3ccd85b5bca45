// SPDX-License-Identifier: GPL-2.0-only
// A list that is read without a lock and changed under its owner's. A node that was removed still leads to those that
// were behind it, and is freed once no reader can be at it (BpfSystem::defer). Readers see what a node was made of
// before it was put in.
#ifndef USCX_BPF_MAPS_RCU_LIST_H_
#define USCX_BPF_MAPS_RCU_LIST_H_

#include <atomic>

#include "machine/explore_hooks.h"

namespace uscx::bpf {

template <typename Node>  // with a member `std::atomic<Node *> next`
class RcuList {
 public:
  Node *first() const {
    machine::atomic_read(this);
    return first_.load(std::memory_order_acquire);  // pairs with the stores below
  }
  static Node *next(const Node *node) { return node->next.load(std::memory_order_acquire); }

  void push_front(Node *node) {
    node->next.store(first_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    machine::atomic_write(this);
    first_.store(node, std::memory_order_release);
  }
  // `node` must be in the list.
  void remove(Node *node) {
    machine::atomic_write(this);
    std::atomic<Node *> *link = &first_;
    while (link->load(std::memory_order_relaxed) != node) link = &link->load(std::memory_order_relaxed)->next;
    link->store(node->next.load(std::memory_order_relaxed), std::memory_order_release);
  }

 private:
  std::atomic<Node *> first_ = nullptr;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_MAPS_RCU_LIST_H_
