// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/graph.h"

#include "base/check.h"
#include "bpf/object/alloc.h"
#include "bpf/object/bpf_system.h"

namespace uscx::bpf {

namespace {
// A fixed permutation of numbers, to make priorities of consecutive ones.
u64 scramble(u64 value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
  return value ^ (value >> 31);
}
}  // namespace

bool GraphTable::contains(const void *node) const {
  std::lock_guard hold(lock_);
  return owners_.contains(node);
}

// --- Lists ---

void GraphTable::push(void *head, void *node, bool front) {
  std::lock_guard hold(lock_);
  CHECK(owners_.emplace(node, head).second);
  std::list<void *> &list = lists_[head];
  front ? list.push_front(node) : list.push_back(node);
}

void *GraphTable::pop(void *head, bool front) {
  std::lock_guard hold(lock_);
  auto it = lists_.find(head);
  if (it == lists_.end()) return nullptr;
  std::list<void *> &list = it->second;
  void *node = front ? list.front() : list.back();
  front ? list.pop_front() : list.pop_back();
  if (list.empty()) lists_.erase(it);
  owners_.erase(node);
  return node;
}

void *GraphTable::peek(void *head, bool front) const {
  std::lock_guard hold(lock_);
  auto it = lists_.find(head);
  return it == lists_.end() ? nullptr : front ? it->second.front() : it->second.back();
}

void GraphTable::drop_list(void *head) {
  while (void *node = pop(head, true)) {
    void *object = system_.allocs().owner_of(node, FieldKind::kListNode);
    if (object != nullptr) system_.allocs().drop(object);
  }
}

// --- Trees ---

void GraphTable::replace_child(Tree &tree, void *parent, void *from, void *to) {
  if (parent == nullptr) {
    tree.top = to;
  } else {
    TreeNode &above = tree.nodes[parent];
    above.child[above.child[0] == from ? 0 : 1] = to;
  }
  if (to != nullptr) tree.nodes[to].parent = parent;
}

void GraphTable::rotate_up(Tree &tree, void *node) {
  TreeNode &mine = tree.nodes[node];
  void *parent = mine.parent;
  TreeNode &above = tree.nodes[parent];
  const int side = above.child[0] == node ? 0 : 1;
  replace_child(tree, above.parent, parent, node);
  above.child[side] = mine.child[1 - side];
  if (above.child[side] != nullptr) tree.nodes[above.child[side]].parent = parent;
  mine.child[1 - side] = parent;
  above.parent = node;
}

bool GraphTable::add(void *root, void *node, const std::function<bool(void *other, bool *stop)> &less) {
  void *parent = nullptr;
  int side = 0;
  for (void *at = top(root); at != nullptr; at = child(root, at, side == 0)) {
    bool stop = false;
    parent = at;
    side = less(at, &stop) ? 0 : 1;
    if (stop) return false;
  }
  std::lock_guard hold(lock_);
  CHECK(owners_.emplace(node, root).second);
  Tree &tree = trees_[root];
  TreeNode &mine = tree.nodes[node];
  mine.parent = parent;
  mine.priority = scramble(next_priority_++);
  if (parent == nullptr)
    tree.top = node;
  else
    tree.nodes[parent].child[side] = node;
  while (tree.nodes[node].parent != nullptr && tree.nodes[tree.nodes[node].parent].priority < tree.nodes[node].priority)
    rotate_up(tree, node);
  return true;
}

bool GraphTable::remove(void *root, void *node) {
  std::lock_guard hold(lock_);
  auto owner = owners_.find(node);
  if (owner == owners_.end() || owner->second != root) return false;
  owners_.erase(owner);
  auto it = trees_.find(root);
  Tree &tree = it->second;
  // Down to where it has one child at most.
  for (;;) {
    const TreeNode &mine = tree.nodes[node];
    void *left = mine.child[0], *right = mine.child[1];
    if (left == nullptr || right == nullptr) break;
    rotate_up(tree, tree.nodes[left].priority > tree.nodes[right].priority ? left : right);
  }
  const TreeNode mine = tree.nodes[node];
  replace_child(tree, mine.parent, node, mine.child[0] != nullptr ? mine.child[0] : mine.child[1]);
  tree.nodes.erase(node);
  if (tree.nodes.empty()) trees_.erase(it);
  return true;
}

void *GraphTable::leftmost(const Tree &tree) const {
  void *at = tree.top;
  while (at != nullptr && tree.nodes.at(at).child[0] != nullptr) at = tree.nodes.at(at).child[0];
  return at;
}

void *GraphTable::first(void *root) const {
  std::lock_guard hold(lock_);
  auto it = trees_.find(root);
  return it == trees_.end() ? nullptr : leftmost(it->second);
}

void *GraphTable::top(void *root) const {
  std::lock_guard hold(lock_);
  auto it = trees_.find(root);
  return it == trees_.end() ? nullptr : it->second.top;
}

void *GraphTable::child(void *root, void *node, bool left) const {
  std::lock_guard hold(lock_);
  auto it = trees_.find(root);
  if (it == trees_.end()) return nullptr;
  auto found = it->second.nodes.find(node);
  return found == it->second.nodes.end() ? nullptr : found->second.child[left ? 0 : 1];
}

void GraphTable::drop_tree(void *root) {
  while (void *node = first(root)) {
    remove(root, node);
    void *object = system_.allocs().owner_of(node, FieldKind::kRbNode);
    if (object != nullptr) system_.allocs().drop(object);
  }
}

}  // namespace uscx::bpf
