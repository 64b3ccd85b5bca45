// SPDX-License-Identifier: GPL-2.0-only
// Typed access to memory that BTF describes: a BPF object's global variables, its table of operations. Used to set
// values from text ("slice_ns=5000000", "cfg.levels[2]=on") and to read back what programs left there.
//
// Threading: a place is a plain view; whoever makes one sees to it that the BTF and the memory outlive it.
#ifndef USCX_SCHEDULERS_COMMON_BTF_VALUE_H_
#define USCX_SCHEDULERS_COMMON_BTF_VALUE_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/types.h"

struct btf;

namespace uscx::schedulers {

struct BtfPlace {
  const btf *types = nullptr;
  u32 type_id = 0;
  u8 *data = nullptr;
  std::string name;  // as the user would write it: "cfg.levels[2]"
};

// A number of up to 64 bits, as C has them: those above INT64_MAX are unsigned, all others signed.
struct Integer {
  s64 value = 0;
  bool is_unsigned = false;
  std::string text() const;
};

// A C-like spelling of the type: "u64", "enum mode", "char[16]".
std::string type_name(const btf *types, u32 type_id);

// The place that `path` (".member", "[index]", or several of them; empty is root itself) leads to from root.
Result<BtfPlace> walk_path(const BtfPlace &root, std::string_view path);

// The member of a struct that has this name, in root or in one of root's anonymous members.
Result<BtfPlace> find_member(const BtfPlace &root, std::string_view member);

// The enumerator of this name, whichever enum has it.
std::optional<Integer> find_enumerator(const btf *types, std::string_view name);

// The size of a type as C names it: "struct task_ctx", "task_ctx_t", "unsigned int", "void *".
Result<u64> size_of_type(const btf *types, std::string_view name);

// Writes a value given as text: integers (checked against the type's range) as numbers or by the name of an enumerator,
// bool (true/false, on/off, yes/no, 1/0), enums by name or number, char arrays as strings. What cannot be written so
// (pointers, whole structs, other arrays) is an error that says what would do. Nothing is written on error.
Status write_value(const BtfPlace &place, std::string_view text);
// The same of a number, which a pointer takes too.
Status write_number(const BtfPlace &place, Integer number);

// What an integer, an enum or a pointer holds; an error for other types.
Result<Integer> read_number(const BtfPlace &place);
// Integers and enums, extended to 64 bits by their own signedness. CHECKs that place is one.
s64 read_integer(const BtfPlace &place);
// Any value as C would initialise it ("{1, 2}", "\"name\""), cut off after about `limit` characters.
std::string format_value(const BtfPlace &place, size_t limit);

// A char array up to its NUL.
std::string read_string(const BtfPlace &place);

}  // namespace uscx::schedulers

#endif  // USCX_SCHEDULERS_COMMON_BTF_VALUE_H_
