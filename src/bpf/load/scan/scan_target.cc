// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/btf.h>

#include "bpf/load/scan/scan.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/fields.h"
#include "bpf/object/helper.h"
#include "bpf/object/hooks.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/map.h"

namespace uscx::bpf {

ScanTarget ScanTarget::of_system(BpfSystem &system) {
  ScanTarget target;
  target.kernel_btf = system.kernel_btf().parsed();
  for (const KfuncEntry *entry : list_kfuncs()) target.kfuncs.insert(entry->name);
  for (const HelperEntry *entry : list_helpers()) target.helpers.insert(entry->id);
  for (const MapTypeEntry *entry : list_map_types()) target.map_types.insert(entry->type);
  target.value_fields = special_field_names();
  target.struct_ops.clear();
  target.ops_members.emplace();
  for (const auto &type : system.options().struct_ops) {
    target.struct_ops.insert(type->name());
    const btf_type *table = btf__type_by_id(target.kernel_btf, system.kernel_btf().find(type->name(), BTF_KIND_STRUCT));
    for (u32 i = 0; table != nullptr && i < btf_vlen(table); i++) {
      const char *member = btf__name_by_offset(target.kernel_btf, btf_members(table)[i].name_off);
      if (type->is_implemented(member)) target.ops_members->insert(member);
    }
  }
  for (const char *section : {"tp_btf", "fentry", "fentry.s", "fexit", "fexit.s", "raw_tp", "raw_tracepoint", "kprobe",
                              "kretprobe", "tracepoint", "tp", "perf_event", "iter", "iter.s"})
    target.programs.insert(section);
  target.note_of = section_note;
  target.has_variable = [&system](std::string_view name) { return system.env().ksym_address(name) != nullptr; };
  target.kernel_config = kernel_config_text(system.options().hz);
  target.release = system.options().release;
  return target;
}

}  // namespace uscx::bpf
