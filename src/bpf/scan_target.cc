// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/bpf_system.h"
#include "bpf/helper.h"
#include "bpf/kfunc.h"
#include "bpf/map.h"
#include "bpf/scan.h"

namespace uscx::bpf {

ScanTarget ScanTarget::of_system(BpfSystem &system) {
  ScanTarget target;
  target.kernel_btf = system.kernel_btf().parsed();
  for (const KfuncEntry *entry : list_kfuncs())
    target.kfuncs.insert(entry->name);
  for (const HelperEntry *entry : list_helpers())
    target.helpers.insert(entry->id);
  for (const MapTypeEntry *entry : list_map_types())
    target.map_types.insert(entry->type);
  target.struct_ops.clear();
  for (const auto &type : system.options().struct_ops)
    target.struct_ops.insert(type->name());
  target.has_variable = [&system](std::string_view name) { return system.env().ksym_address(name) != nullptr; };
  target.kernel_config = kernel_config_text(system.options().hz);
  target.release = system.options().release;
  return target;
}

}  // namespace uscx::bpf
