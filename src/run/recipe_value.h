// SPDX-License-Identifier: GPL-2.0-only
// Values of recipes: which value a place gets, and JSON to typed memory.
//
// Threading: pure.
#ifndef USCX_RUN_RECIPE_VALUE_H_
#define USCX_RUN_RECIPE_VALUE_H_

#include <functional>
#include <initializer_list>
#include <vector>

#include "run/recipe_place.h"
#include "workload/json_tree.h"

namespace uscx::cli {

// Errors of shape.
Status expect_kind(const workload::JsonNode &node, const workload::JsonPath &path, workload::JsonNode::Kind kind);
Status check_keys(const workload::JsonNode &node, const workload::JsonPath &path,
                  std::initializer_list<const char *> keys);

// Calls use with the node, or with what it chooses: {"$if", "$then", "$else"} by a condition, {"$from", "$at"} an item
// of a list. Without a $else that would be needed there is no call.
using ValueFn = std::function<Status(const workload::JsonNode &, const workload::JsonPath &)>;
Status with_value(const workload::JsonNode &node, const workload::JsonPath &path, const RecipePlace &place,
                  const ValueFn &use);

// A number or a formula.
Result<s64> number_of(const workload::JsonNode &node, const workload::JsonPath &path, const RecipePlace &place);
// true, false, or a number: true unless it is 0.
Result<bool> truth_of(const workload::JsonNode &node, const workload::JsonPath &path, const RecipePlace &place);

// Calls fn for each step of what `each` says, with the numbers that its lists are at: a kind of place ("cpu"), {"each":
// KIND, "as": NAME}, {"count": N, "as": NAME}, or a list of these, the later inside of the earlier.
using PlaceFn = std::function<Status(const RecipePlace &, const std::vector<u32> &at)>;
Status for_each_place(const workload::JsonNode &each, const workload::JsonPath &path, const RecipePlace &place,
                      const PlaceFn &fn);

// Calls fn once for an entry of a list, or for each step of its `each`; not where its `if` does not hold.
Status for_each_entry(const workload::JsonNode &entry, const workload::JsonPath &path, const RecipePlace &place,
                      const std::function<Status(const RecipePlace &)> &fn);

// Writes a JSON value into memory that BTF describes.
Status write_recipe_value(const schedulers::BtfPlace &target, const workload::JsonNode &node,
                          const workload::JsonPath &path, const RecipePlace &place);

// Memory of a type of the object, all zero.
struct TypedBytes {
  std::vector<u8> bytes;
  schedulers::BtfPlace place;
};
Status make_bytes(const btf *types, u32 type_id, u32 size, const std::string &name, TypedBytes *out);

}  // namespace uscx::cli

#endif  // USCX_RUN_RECIPE_VALUE_H_
