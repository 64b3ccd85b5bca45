// SPDX-License-Identifier: GPL-2.0-only
#include "schedulers/common/btf_value.h"

#include <bpf/btf.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <limits>
#include <vector>

#include "base/check.h"
#include "base/units.h"

namespace uscx::schedulers {
namespace {

// The type behind typedefs and qualifiers.
u32 resolve(const btf *types, u32 type_id) {
  const int resolved = btf__resolve_type(types, type_id);
  return resolved < 0 ? type_id : static_cast<u32>(resolved);
}

const btf_type *resolved_type(const BtfPlace &place) {
  return btf__type_by_id(place.types, resolve(place.types, place.type_id));
}

std::string type_and_name(const BtfPlace &place) {
  return fmt::format("{} ({})", place.name, type_name(place.types, place.type_id));
}

bool is_char_array(const btf *types, const btf_type *type) {
  if (!btf_is_array(type)) return false;
  const btf_type *element = btf__type_by_id(types, resolve(types, btf_array(type)->type));
  return btf_is_int(element) && element->size == 1;
}

std::string member_names(const btf *types, const btf_type *type) {
  std::vector<std::string> names;
  const btf_member *members = btf_members(type);
  for (u32 i = 0; i < btf_vlen(type); i++)
    if (members[i].name_off != 0) names.emplace_back(btf__name_by_offset(types, members[i].name_off));
  return fmt::format("{}", fmt::join(names, ", "));
}

// The enumerator at that place in its enum.
const char *enumerator_name(const btf *types, const btf_type *type, u32 i) {
  return btf__name_by_offset(types, btf_is_enum64(type) ? btf_enum64(type)[i].name_off : btf_enum(type)[i].name_off);
}
s64 enumerator_value(const btf_type *type, u32 i) {
  if (btf_is_enum64(type)) return static_cast<s64>(btf_enum64_value(&btf_enum64(type)[i]));
  return btf_kflag(type) ? s64{btf_enum(type)[i].val} : s64{static_cast<u32>(btf_enum(type)[i].val)};
}

std::string enumerator_names(const btf *types, const btf_type *type) {
  std::vector<std::string> names;
  for (u32 i = 0; i < btf_vlen(type); i++) names.emplace_back(enumerator_name(types, type, i));
  return fmt::format("{}", fmt::join(names, ", "));
}

void store(const BtfPlace &place, u32 size, u64 value) {
  // Little-endian hosts alone: the low bytes come first. BPF objects for another byte order do not open here.
  std::memcpy(place.data, &value, size);
}

// The number that text is, if an integer of this size and signedness can hold it.
Result<u64> parse_integer(std::string_view text, u32 size, bool is_signed) {
  if (is_signed) {
    const s64 high = std::numeric_limits<s64>::max() >> (64 - 8 * size);
    Result<s64> value = parse_signed(text, -high - 1, high);
    if (!value.ok()) return value.status();
    return static_cast<u64>(*value);
  }
  return parse_number(text, 0, ~0ULL >> (64 - 8 * size));
}

Status write_bool(const BtfPlace &place, std::string_view text) {
  for (const char *yes : {"1", "true", "on", "yes"})
    if (text == yes) return store(place, 1, 1), Status();
  for (const char *no : {"0", "false", "off", "no"})
    if (text == no) return store(place, 1, 0), Status();
  return Status::error("'{}' is neither true nor false", text);
}

Status write_int(const BtfPlace &place, const btf_type *type, std::string_view text) {
  const u8 encoding = btf_int_encoding(type);
  if (encoding & BTF_INT_BOOL) return write_bool(place, text);
  if (type->size > sizeof(u64) || btf_int_bits(type) != type->size * 8)
    return Status::error("integers of {} bits cannot be set", btf_int_bits(type));
  const bool is_word = !text.empty() && (std::isalpha(static_cast<unsigned char>(text[0])) || text[0] == '_');
  const std::optional<Integer> known = is_word ? find_enumerator(place.types, text) : std::nullopt;
  if (is_word && !known) return Status::error("'{}' is neither a number nor an enumerator of the object", text);
  Result<u64> value = parse_integer(known ? known->text() : text, type->size, encoding & BTF_INT_SIGNED);
  if (!value.ok()) return value.status();
  store(place, type->size, *value);
  return {};
}

Status write_enum(const BtfPlace &place, const btf_type *type, std::string_view text) {
  for (u32 i = 0; i < btf_vlen(type); i++) {
    if (text != enumerator_name(place.types, type, i)) continue;
    store(place, type->size, static_cast<u64>(enumerator_value(type, i)));
    return {};
  }
  Result<u64> value = parse_integer(text, type->size, btf_kflag(type));
  if (!value.ok()) return Status::error("'{}' is none of {}", text, enumerator_names(place.types, type));
  store(place, type->size, *value);
  return {};
}

Status write_array(const BtfPlace &place, const btf_type *type, std::string_view text) {
  const u32 length = btf_array(type)->nelems;
  if (!is_char_array(place.types, type))
    return Status::error("an array is set element by element, {}[0] to [{}]", place.name, length - 1);
  if (text.size() >= length) return Status::error("a string of {} characters, at most {}", text.size(), length - 1);
  std::memset(place.data, 0, length);
  std::memcpy(place.data, text.data(), text.size());
  return {};
}

Status write_resolved(const BtfPlace &place, std::string_view text) {
  const btf_type *type = resolved_type(place);
  if (btf_is_int(type)) return write_int(place, type, text);
  if (btf_is_any_enum(type)) return write_enum(place, type, text);
  if (btf_is_array(type)) return write_array(place, type, text);
  if (btf_is_composite(type)) return Status::error("it is set member by member: {}", member_names(place.types, type));
  return Status::error("values of this type cannot be set");
}

Result<BtfPlace> walk_index(const BtfPlace &from, std::string_view index) {
  const btf_type *type = resolved_type(from);
  if (!btf_is_array(type)) return Status::error("{} is not an array", type_and_name(from));
  const struct btf_array *array = btf_array(type);
  if (array->nelems == 0) return Status::error("{} has no elements", type_and_name(from));
  Result<u64> number = parse_number(index, 0, array->nelems - 1);
  if (!number.ok()) return number.status().at(fmt::format("index of {}", type_and_name(from)));
  const s64 size = btf__resolve_size(from.types, array->type);
  if (size < 0) return Status::error("{} has elements of unknown size", type_and_name(from));
  return BtfPlace{from.types, array->type, from.data + *number * static_cast<u64>(size),
                  fmt::format("{}[{}]", from.name, *number)};
}

// Into unnamed structs and unions too, whose members C lets one name directly.
bool search_member(const BtfPlace &from, std::string_view member, BtfPlace &found, bool &is_bitfield) {
  const btf_type *type = resolved_type(from);
  for (u32 i = 0; i < btf_vlen(type); i++) {
    const btf_member &candidate = btf_members(type)[i];
    const std::string_view name = btf__name_by_offset(from.types, candidate.name_off);
    BtfPlace place{from.types, candidate.type, from.data + btf_member_bit_offset(type, i) / 8, from.name};
    if (name == member) {
      place.name = from.name.empty() ? std::string(member) : fmt::format("{}.{}", from.name, member);
      found = place;
      is_bitfield = btf_member_bitfield_size(type, i) != 0;
      return true;
    }
    if (name.empty() && btf_is_composite(resolved_type(place)) && search_member(place, member, found, is_bitfield))
      return true;
  }
  return false;
}

}  // namespace

std::string type_name(const btf *types, u32 type_id) {
  const btf_type *type = btf__type_by_id(types, type_id);
  const char *name = btf__name_by_offset(types, type->name_off);
  switch (btf_kind(type)) {
    case BTF_KIND_CONST:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_TYPE_TAG: return type_name(types, type->type);
    case BTF_KIND_STRUCT: return fmt::format("struct {}", name);
    case BTF_KIND_UNION: return fmt::format("union {}", name);
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64: return fmt::format("enum {}", name);
    case BTF_KIND_ARRAY: return fmt::format("{}[{}]", type_name(types, btf_array(type)->type), btf_array(type)->nelems);
    case BTF_KIND_PTR: return "pointer";
    default: return name;
  }
}

Result<BtfPlace> find_member(const BtfPlace &root, std::string_view member) {
  const btf_type *type = resolved_type(root);
  if (!btf_is_composite(type)) return Status::error("{} has no members", type_and_name(root));
  BtfPlace found;
  bool is_bitfield = false;
  if (!search_member(root, member, found, is_bitfield))
    return Status::error("{} has no member '{}'; it has {}", type_and_name(root), member,
                         member_names(root.types, type));
  if (is_bitfield) return Status::error("{} is a bit field, which cannot be set", found.name);
  return found;
}

Result<BtfPlace> walk_path(const BtfPlace &root, std::string_view path) {
  BtfPlace place = root;
  while (!path.empty()) {
    const bool is_member = path[0] == '.';
    if (!is_member && path[0] != '[')
      return Status::error("{}: expected .MEMBER or [INDEX], not '{}'", place.name, path);
    const size_t end = is_member ? std::min(path.find_first_of(".[", 1), path.size()) : path.find(']');
    if (end == std::string_view::npos) return Status::error("{}: '{}' lacks its ]", place.name, path);
    const std::string_view step = path.substr(1, end - 1);
    Result<BtfPlace> next = is_member ? find_member(place, step) : walk_index(place, step);
    if (!next.ok()) return next;
    place = next.take();
    path.remove_prefix(is_member ? end : end + 1);
  }
  return place;
}

std::string Integer::text() const {
  return is_unsigned ? fmt::format("{}", static_cast<u64>(value)) : fmt::format("{}", value);
}

std::optional<Integer> find_enumerator(const btf *types, std::string_view name) {
  for (u32 id = 1; id < btf__type_cnt(types); id++) {
    const btf_type *type = btf__type_by_id(types, id);
    if (!btf_is_any_enum(type)) continue;
    for (u32 i = 0; i < btf_vlen(type); i++) {
      const s64 value = enumerator_value(type, i);
      if (name == enumerator_name(types, type, i)) return Integer{value, value < 0 && !btf_kflag(type)};
    }
  }
  return std::nullopt;
}

Result<u64> size_of_type(const btf *types, std::string_view name) {
  if (name.ends_with('*')) return u64{sizeof(void *)};
  u32 kinds = 1u << BTF_KIND_STRUCT | 1u << BTF_KIND_UNION | 1u << BTF_KIND_ENUM | 1u << BTF_KIND_ENUM64 |
              1u << BTF_KIND_TYPEDEF | 1u << BTF_KIND_INT;
  std::string_view plain = name;
  for (const auto &[word, of_word] : {std::pair{"struct ", 1u << BTF_KIND_STRUCT},
                                      {"union ", 1u << BTF_KIND_UNION},
                                      {"enum ", 1u << BTF_KIND_ENUM | 1u << BTF_KIND_ENUM64}}) {
    if (!name.starts_with(word)) continue;
    plain.remove_prefix(std::string_view(word).size());
    kinds = of_word;
  }
  for (u32 id = 1; id < btf__type_cnt(types); id++) {
    const btf_type *type = btf__type_by_id(types, id);
    if (!(kinds >> btf_kind(type) & 1) || plain != btf__name_by_offset(types, type->name_off)) continue;
    const s64 size = btf__resolve_size(types, id);
    if (size >= 0) return static_cast<u64>(size);
  }
  return Status::error("the object has no type '{}'", name);
}

Status write_value(const BtfPlace &place, std::string_view text) {
  return write_resolved(place, text).at(type_and_name(place));
}

Status write_number(const BtfPlace &place, Integer number) {
  if (!btf_is_ptr(resolved_type(place))) return write_value(place, number.text());
  store(place, sizeof(u64), static_cast<u64>(number.value));
  return {};
}

Result<Integer> read_number(const BtfPlace &place) {
  const btf_type *type = resolved_type(place);
  Integer number;
  if (btf_is_ptr(type)) {
    std::memcpy(&number.value, place.data, sizeof(u64));
    number.is_unsigned = number.value < 0;
  } else if ((btf_is_int(type) || btf_is_any_enum(type)) && type->size <= sizeof(u64)) {
    number.value = read_integer(place);
    const bool is_signed = btf_is_int(type) ? btf_int_encoding(type) & BTF_INT_SIGNED : btf_kflag(type);
    number.is_unsigned = number.value < 0 && !is_signed;
  } else {
    return Status::error("{} is no number", type_and_name(place));
  }
  return number;
}

s64 read_integer(const BtfPlace &place) {
  const btf_type *type = resolved_type(place);
  CHECK(btf_is_int(type) || btf_is_any_enum(type), "{}", place.name);
  CHECK(type->size <= sizeof(u64), "{}", place.name);
  const bool is_signed = btf_is_int(type) ? btf_int_encoding(type) & BTF_INT_SIGNED : btf_kflag(type);
  u64 value = 0;
  std::memcpy(&value, place.data, type->size);
  const u32 unused_bits = 64 - 8 * type->size;
  if (is_signed) return static_cast<s64>(value << unused_bits) >> unused_bits;
  return static_cast<s64>(value);
}

std::string read_string(const BtfPlace &place) {
  const btf_type *type = resolved_type(place);
  CHECK(is_char_array(place.types, type), "{}", place.name);
  const char *text = reinterpret_cast<const char *>(place.data);
  return std::string(text, strnlen(text, btf_array(type)->nelems));
}

namespace {

std::string format_array(const BtfPlace &place, const btf_type *type, size_t limit) {
  const struct btf_array *array = btf_array(type);
  const s64 size = btf__resolve_size(place.types, array->type);
  if (size <= 0) return "{}";
  u8 *const end = place.data + static_cast<u64>(size) * array->nelems;
  if (std::all_of(place.data, end, [](u8 byte) { return byte == 0; })) return "{0}";
  std::string out = "{";
  for (u32 i = 0; i < array->nelems; i++) {
    if (out.size() > limit) return out + ", ...}";
    const BtfPlace element{place.types, array->type, place.data + static_cast<u64>(size) * i, ""};
    out += (i == 0 ? "" : ", ") + format_value(element, limit - std::min(limit, out.size()));
  }
  return out + "}";
}

std::string format_struct(const BtfPlace &place, const btf_type *type, size_t limit) {
  if (std::all_of(place.data, place.data + type->size, [](u8 byte) { return byte == 0; })) return "{0}";
  std::string out = "{";
  for (u32 i = 0; i < btf_vlen(type); i++) {
    if (out.size() > limit) return out + ", ...}";
    if (btf_member_bitfield_size(type, i) != 0) continue;
    const btf_member &member = btf_members(type)[i];
    const BtfPlace part{place.types, member.type, place.data + btf_member_bit_offset(type, i) / 8, ""};
    const char *name = btf__name_by_offset(place.types, member.name_off);
    out += (out.size() == 1 ? "" : ", ") + (*name == '\0' ? "" : fmt::format(".{} = ", name)) +
           format_value(part, limit - std::min(limit, out.size()));
  }
  return out + "}";
}

std::string format_string(const BtfPlace &place, size_t limit) {
  std::string out;
  for (const char c : read_string(place)) out += c >= ' ' && c < 0x7f ? c : '?';
  return out.size() > limit ? "\"" + out.substr(0, limit) + "...\"" : "\"" + out + "\"";
}

}  // namespace

std::string format_value(const BtfPlace &place, size_t limit) {
  const btf_type *type = resolved_type(place);
  if (btf_is_array(type))
    return is_char_array(place.types, type) ? format_string(place, limit) : format_array(place, type, limit);
  if (btf_is_composite(type)) return format_struct(place, type, limit);
  if (btf_is_any_enum(type) && type->size <= sizeof(u64)) {
    const s64 value = read_integer(place);
    for (u32 i = 0; i < btf_vlen(type); i++)
      if (enumerator_value(type, i) == value) return enumerator_name(place.types, type, i);
    return fmt::format("{}", value);
  }
  if (!btf_is_int(type) || type->size > sizeof(u64)) return btf_is_ptr(type) ? "a pointer" : "?";
  const s64 value = read_integer(place);
  if (btf_int_encoding(type) & BTF_INT_BOOL) return value != 0 ? "true" : "false";
  return btf_int_encoding(type) & BTF_INT_SIGNED ? fmt::format("{}", value)
                                                 : fmt::format("{}", static_cast<u64>(value));
}

}  // namespace uscx::schedulers
