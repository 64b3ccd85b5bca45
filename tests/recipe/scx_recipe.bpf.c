// SPDX-License-Identifier: GPL-2.0-only
// A scheduler that is of no use without its user half, as production schedulers are: it runs a queue for each LLC,
// with weights by layer, and learns all of that from globals, maps and syscall programs. It reports what it was told
// through an error when that does not fit the machine, so that a run is the test.
#include "uscx_scx.bpf.h"

#define MAX_CPUS 64
#define MAX_LAYERS 4

enum mode { MODE_NONE, MODE_LLC, MODE_GLOBAL };

struct layer {
  char name[16];
  u32 weight;
  bool exclusive;
};

struct config {
  enum mode mode;
  u64 slice_ns;
  struct layer layers[MAX_LAYERS];
};

const volatile struct config cfg = {.slice_ns = 1};
const volatile u32 nr_llcs;
const volatile u32 llc_of[MAX_CPUS];
const volatile u64 llc_cpus[MAX_CPUS];
const volatile s64 offset_ns;
u64 nr_told, nr_after, nr_llc_runs;
u32 ran_on[MAX_CPUS];

UEI_DEFINE(uei);

struct llc_ctx {
  u32 id;
  u32 node;
  u64 budget;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __type(key, u32);
  __type(value, struct llc_ctx);
  __uint(max_entries, 1);
} llcs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __type(key, u32);
  __type(value, struct llc_ctx);
  __uint(max_entries, 1);
} cpus SEC(".maps");

struct cpu_args {
  u32 cpu;
  u32 llc;
};

// Told about each CPU, on that CPU.
SEC("syscall")
int tell_cpu(struct cpu_args *args) {
  if (args->cpu >= MAX_CPUS || bpf_get_smp_processor_id() != args->cpu) return -1;
  ran_on[args->cpu & (MAX_CPUS - 1)] = args->llc + 1;
  nr_told++;
  return 0;
}

SEC("syscall")
int tell_llc(struct cpu_args *args) {
  nr_llc_runs++;
  return args->llc + 5;
}

SEC("?syscall")
int optional(void *ctx) {
  nr_after++;
  return 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(recipe_init) {
  u32 i, nr = scx_bpf_nr_cpu_ids();

  bpf_for(i, 0, nr_llcs) {
    struct llc_ctx *llc = bpf_map_lookup_elem(&llcs, &i);
    if (!llc || llc->id != i || llc->budget != i * 1000 + 7) {
      scx_bpf_error("llc %d was not told", i);
      return -ENOENT;
    }
    s32 err = scx_bpf_create_dsq(i, -1);
    if (err) return err;
  }
  bpf_for(i, 0, nr) {
    u32 zero = 0;
    struct llc_ctx *cpu = bpf_map_lookup_percpu_elem(&cpus, &zero, i);
    u32 llc;
    if (i >= MAX_CPUS) break;
    llc = llc_of[i & (MAX_CPUS - 1)];
    if (!cpu || cpu->id != llc || ran_on[i & (MAX_CPUS - 1)] != llc + 1 ||
        !(llc_cpus[llc & (MAX_CPUS - 1)] & (1ULL << (i & 63)))) {
      scx_bpf_error("cpu %d was not told", i);
      return -ENOENT;
    }
  }
  if (cfg.mode != MODE_LLC || cfg.layers[2].weight != 300 || !cfg.layers[2].exclusive || cfg.layers[2].name[0] != 'b' ||
      offset_ns != -5) {
    scx_bpf_error("the configuration was not told");
    return -ENOENT;
  }
  return 0;
}

static u32 my_llc(s32 cpu) { return llc_of[cpu & (MAX_CPUS - 1)]; }

void BPF_STRUCT_OPS(recipe_enqueue, struct task_struct *p, u64 enq_flags) {
  scx_bpf_dsq_insert(p, my_llc(scx_bpf_task_cpu(p)), cfg.slice_ns, enq_flags);
}

void BPF_STRUCT_OPS(recipe_dispatch, s32 cpu, struct task_struct *prev) {
  u32 i, mine = my_llc(cpu);

  if (scx_bpf_dsq_move_to_local(mine)) return;
  bpf_for(i, 0, nr_llcs) {
    if (i != mine && scx_bpf_dsq_move_to_local(i)) return;
  }
}

void BPF_STRUCT_OPS(recipe_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(recipe_ops, .enqueue = (void *)recipe_enqueue, .dispatch = (void *)recipe_dispatch,
               .init = (void *)recipe_init, .exit = (void *)recipe_exit, .timeout_ms = 1, .name = "recipe");
