// SPDX-License-Identifier: GPL-2.0-only
// btf_base OUT.btf OUT.cc IN.o...: makes the base of our kernel BTF from BPF objects that were compiled to describe
// types. The variables and sections that carried the descriptions are dropped, the rest is merged and deduplicated.
// OUT.btf is raw BTF, OUT.cc the same bytes for src/abi/btf.cc.
//
// Build-time tool, one thread. Every failure is reported and ends it with status 1, with nothing half-written that a
// build system would take for done.
#include <bpf/btf.h>
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct BtfFree {
  void operator()(btf *b) const { btf__free(b); }
};
using BtfPtr = std::unique_ptr<btf, BtfFree>;

BtfPtr must(btf *b, const std::string &what) {
  if (b == nullptr) throw std::runtime_error(what);
  return BtfPtr(b);
}

// Kinds that describe the object that carried the types rather than a type.
bool is_carrier(const btf_type *t) { return btf_is_var(t) || btf_is_datasec(t); }

// Rewrites every reference of t to another type through new_ids.
void remap(btf_type *t, const std::vector<__u32> &new_ids) {
  switch (btf_kind(t)) {
    case BTF_KIND_PTR:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_TYPE_TAG: t->type = new_ids[t->type]; return;
    case BTF_KIND_ARRAY:
      btf_array(t)->type = new_ids[btf_array(t)->type];
      btf_array(t)->index_type = new_ids[btf_array(t)->index_type];
      return;
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      for (int i = 0; i < btf_vlen(t); i++) btf_members(t)[i].type = new_ids[btf_members(t)[i].type];
      return;
    case BTF_KIND_FUNC_PROTO:
      t->type = new_ids[t->type];
      for (int i = 0; i < btf_vlen(t); i++) btf_params(t)[i].type = new_ids[btf_params(t)[i].type];
      return;
    case BTF_KIND_INT:
    case BTF_KIND_FLOAT:
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64:
    case BTF_KIND_FWD: return;
    default: throw std::runtime_error(fmt::format("BTF kind {} has no place in the base BTF", btf_kind(t)));
  }
}

// The types of one object, without what carried them.
BtfPtr types_of(const std::string &path) {
  BtfPtr object = must(btf__parse_elf(path.c_str(), nullptr), path + ": no BTF in it");
  BtfPtr types = must(btf__new_empty(), "out of memory");
  std::vector<__u32> new_ids(btf__type_cnt(object.get()), 0);
  for (__u32 id = 1; id < new_ids.size(); id++) {
    const btf_type *t = btf__type_by_id(object.get(), id);
    if (is_carrier(t)) continue;
    const int added = btf__add_type(types.get(), object.get(), t);
    if (added < 0) throw std::runtime_error(fmt::format("{}: type {} was not copied ({})", path, id, added));
    new_ids[id] = static_cast<__u32>(added);
  }
  // libbpf hands out const pointers into its own modifiable copy; rewriting ids in place is how its callers do it.
  for (__u32 id = 1; id < btf__type_cnt(types.get()); id++) {
    remap(const_cast<btf_type *>(btf__type_by_id(types.get(), id)), new_ids);
  }
  return types;
}

void write_source(const std::string &path, const unsigned char *bytes, __u32 size) {
  std::string text = "// Made by btf_base.\nextern const unsigned char uscx_base_btf[];\n";
  text += "extern const unsigned int uscx_base_btf_size;\n";
  text += fmt::format("const unsigned int uscx_base_btf_size = {};\n", size);
  text += "alignas(8) const unsigned char uscx_base_btf[] = {";
  for (__u32 i = 0; i < size; i++) text += fmt::format("{}{},", i % 32 == 0 ? "\n" : "", bytes[i]);
  text += "\n};\n";
  std::ofstream file(path, std::ios::binary);
  if (!(file << text).flush()) throw std::runtime_error(path + ": cannot be written");
}

void run(const std::string &btf_path, const std::string &source_path, const std::vector<std::string> &objects) {
  BtfPtr base = must(btf__new_empty(), "out of memory");
  for (const std::string &object : objects) {
    if (btf__add_btf(base.get(), types_of(object).get()) < 0) throw std::runtime_error(object + ": was not merged");
  }
  if (const int error = btf__dedup(base.get(), nullptr)) {
    throw std::runtime_error(fmt::format("deduplication failed ({})", error));
  }
  __u32 size = 0;
  const auto *bytes = static_cast<const unsigned char *>(btf__raw_data(base.get(), &size));
  if (bytes == nullptr) throw std::runtime_error("out of memory");
  std::ofstream file(btf_path, std::ios::binary);
  if (!file.write(reinterpret_cast<const char *>(bytes), size).flush()) {
    throw std::runtime_error(btf_path + ": cannot be written");
  }
  write_source(source_path, bytes, size);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc < 4) {
    std::fputs("usage: btf_base OUT.btf OUT.cc IN.o...\n", stderr);
    return 2;
  }
  try {
    run(argv[1], argv[2], {argv + 3, argv + argc});
  } catch (const std::exception &e) {
    std::remove(argv[1]);
    std::remove(argv[2]);
    fmt::print(stderr, "btf_base: {}\n", e.what());
    return 1;
  }
  return 0;
}
