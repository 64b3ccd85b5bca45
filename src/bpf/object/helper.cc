// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/helper.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace uscx::bpf {

namespace {
constinit HelperEntry *helper_head = nullptr;
}

HelperRegistrar::HelperRegistrar(HelperEntry &entry) {
  entry.next = helper_head;
  helper_head = &entry;
}

const std::vector<const HelperEntry *> &list_helpers() {
  static const std::vector<const HelperEntry *> &all = *[] {
    auto *list = new std::vector<const HelperEntry *>();
    for (HelperEntry *entry = helper_head; entry != nullptr; entry = entry->next) list->push_back(entry);
    std::sort(list->begin(), list->end(), [](const HelperEntry *a, const HelperEntry *b) { return a->id < b->id; });
    for (size_t i = 1; i < list->size(); i++)
      CHECK((*list)[i - 1]->id != (*list)[i]->id, "helper {} is defined twice", (*list)[i]->name);
    return list;
  }();
  return all;
}

const HelperEntry *find_helper(u32 id) {
  const auto &all = list_helpers();
  auto it = std::lower_bound(all.begin(), all.end(), id,
                             [](const HelperEntry *entry, u32 wanted) { return entry->id < wanted; });
  return it != all.end() && (*it)->id == id ? *it : nullptr;
}

const char *helper_name(u32 id) {
#define USCX_HELPER_NAME(name, number, ...) "bpf_" #name,
  static constexpr const char *kNames[] = {___BPF_FUNC_MAPPER(USCX_HELPER_NAME, )};
#undef USCX_HELPER_NAME
  return id < std::size(kNames) ? kNames[id] : nullptr;
}

}  // namespace uscx::bpf
