// SPDX-License-Identifier: GPL-2.0-only
// Fuzz entry for recipes: whatever the bytes are, parsing gives a recipe or one line of text; and as a JSON value, they
// are written into memory of a kernel struct, or refused, and never beside it.
#include <bpf/btf.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "abi/btf.h"
#include "base/check.h"
#include "run/recipe.h"
#include "run/recipe_value.h"

namespace {

void check_line(const uscx::Status &status) {
  if (status.ok()) return;
  for (const char c : status.message()) CHECK(c != '\n', "a message of several lines");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using namespace uscx;
  static const btf *const types = btf__new(abi::base_btf().data(), static_cast<u32>(abi::base_btf().size()));
  static const machine::Topology topology = machine::Topology::parse("2n:2l:2c:2t").take();
  CHECK(types != nullptr);
  const std::string_view text(reinterpret_cast<const char *>(data), size);
  static const cli::RecipeSaved saved;
  Result<std::shared_ptr<cli::Recipe>> recipe = cli::Recipe::parse(text);
  if (recipe.ok())
    (void)(*recipe)->next_step(size);
  else
    check_line(recipe.status());
  Result<workload::JsonNode> node = workload::parse_json(text);
  if (!node.ok()) return 0;
  for (const char *name : {"sched_ext_ops", "task_struct", "cpumask"}) {
    const s32 id = btf__find_by_name_kind(types, name, BTF_KIND_STRUCT);
    CHECK(id > 0, "no struct {}", name);
    // On the heap, so that a sanitizer sees the end of it.
    std::vector<u8> bytes(static_cast<size_t>(btf__resolve_size(types, static_cast<u32>(id))));
    const schedulers::BtfPlace place{types, static_cast<u32>(id), bytes.data(), name};
    check_line(
        cli::write_recipe_value(place, *node, {}, {.topology = &topology, .hz = 250, .types = types, .saved = &saved}));
    (void)schedulers::format_value(place, 60);
  }
  return 0;
}
