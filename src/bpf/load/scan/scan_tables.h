// SPDX-License-Identifier: GPL-2.0-only
// What an object declares, whether code reaches it or not: struct_ops tables, programs, maps. And the list of
// complaints that the whole scan writes to.
//
// Threading: pure.
#ifndef USCX_BPF_LOAD_SCAN_SCAN_TABLES_H_
#define USCX_BPF_LOAD_SCAN_SCAN_TABLES_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "bpf/load/scan/scan.h"
#include "bpf/load/scan/scan_elf.h"
#include "bpf/load/scan/scan_flow.h"

namespace uscx::bpf {

// Complaints without duplicates, by subject and then by name.
class Complaints {
 public:
  enum Subject {
    kStructOps,
    kMember,
    kProgram,
    kMap,
    kMapField,
    kKfunc,
    kVariable,
    kConfig,
    kHelper,
    kField,
    kEnumerator,
    kInsn
  };
  void add(Subject subject, std::string line) { lines_[subject].insert(std::move(line)); }
  std::vector<std::string> list() const;

 private:
  std::map<Subject, std::set<std::string>> lines_;
};

class ObjectTables {
 public:
  struct Program {
    std::string name;
    std::string section;  // without the '?'
    CodePoint start;
    bool loaded = true;  // by libbpf, unless told otherwise
  };

  // Reads the declarations and complains of what the target lacks. Errors: no table of sched_ext in the object.
  static Result<ObjectTables> read(const ObjectFile &object, const ScanTarget &target, Complaints *complaints);

  const std::vector<ScanResult::Table> &tables() const { return tables_; }
  const std::vector<Program> &programs() const { return programs_; }
  const std::vector<ScanResult::MapInfo> &maps() const { return maps_; }

 private:
  ObjectTables(const ObjectFile &object, const ScanTarget &target, Complaints *complaints)
      : object_(object), target_(target), complaints_(complaints) {}

  // A variable of a DATASEC.
  struct Variable {
    std::string name;
    u32 type = 0;
  };
  std::vector<Variable> variables_of(const std::string &datasec) const;

  Status read_programs();
  void complain_of_programs();
  Status read_struct_ops();
  Status read_table(u32 section, const Variable &variable, bool optional);
  void read_member(ScanResult::Table *table, u32 section, u64 table_at, const btf_type *type, u32 index, bool wanted);
  bool is_taken_out(CodePoint start) const;
  Status check_tables() const;
  void read_maps();
  void read_map(const std::string &name, u32 type, int depth);
  void check_value(const std::string &map, u32 type, std::set<u32> *seen);
  // The number in a map definition's member, which is the size of an array pointed to.
  u32 definition_number(u32 type) const;

  const ObjectFile &object_;
  const ScanTarget &target_;
  Complaints *const complaints_;
  std::vector<ScanResult::Table> tables_;
  std::vector<Program> programs_;
  std::vector<ScanResult::MapInfo> maps_;
  // Programs that tables refer to: is one of the references used?
  std::map<CodePoint, bool> referenced_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_SCAN_SCAN_TABLES_H_
