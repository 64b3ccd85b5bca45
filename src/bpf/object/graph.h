// SPDX-License-Identifier: GPL-2.0-only
// Lists and trees of objects that programs allocated. Their links are kept here, not in the program's bytes: a head, a
// root and a node are known by their addresses.
//
// FIDELITY: tree-shape. The tree is a treap, balanced by a fixed pseudo-random sequence; the kernel's is red-black.
// Both keep the order that the program's function gives; which nodes it is asked about differs.
//
// Threading: a container's own lock in its map value, which the program holds, orders its users; lock_ is a leaf for
// the tables, not held while the program's function runs.
// Invariant: a node is in one container at most, and then its object has one reference that the container owns.
#ifndef USCX_BPF_OBJECT_GRAPH_H_
#define USCX_BPF_OBJECT_GRAPH_H_

#include <functional>
#include <list>
#include <mutex>
#include <unordered_map>

#include "bpf/object/fields.h"

namespace uscx::bpf {

class BpfSystem;

class GraphTable {
 public:
  explicit GraphTable(BpfSystem &system) : system_(system) {}

  // Whether a node is in a container.
  bool contains(const void *node) const;

  // --- Lists --- (nodes, not objects)
  void push(void *head, void *node, bool front);
  void *pop(void *head, bool front);
  void *peek(void *head, bool front) const;

  // --- Trees ---
  // Asks less(node, other) until it is false or true everywhere down the tree; false if `less` gave up (*stop).
  bool add(void *root, void *node, const std::function<bool(void *other, bool *stop)> &less);
  // False if the node is not in this tree.
  bool remove(void *root, void *node);
  void *first(void *root) const;
  void *top(void *root) const;
  // Children; null also where the node is not in this tree.
  void *child(void *root, void *node, bool left) const;

  // The container goes away, and so does its hold of its objects.
  void drop_list(void *head);
  void drop_tree(void *root);

 private:
  struct TreeNode {
    void *parent = nullptr;
    void *child[2] = {nullptr, nullptr};
    u64 priority = 0;
  };
  struct Tree {
    void *top = nullptr;
    std::unordered_map<void *, TreeNode> nodes;  // never iterated
  };
  // Exchanges a node with its parent.
  static void rotate_up(Tree &tree, void *node);
  static void replace_child(Tree &tree, void *parent, void *from, void *to);
  void *leftmost(const Tree &tree) const;

  BpfSystem &system_;
  mutable std::mutex lock_;
  u64 next_priority_ = 1;                                // guarded by lock_
  std::unordered_map<void *, std::list<void *>> lists_;  // guarded by lock_; never iterated
  std::unordered_map<void *, Tree> trees_;               // guarded by lock_; never iterated
  std::unordered_map<const void *, void *> owners_;      // of nodes; guarded by lock_
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_GRAPH_H_
