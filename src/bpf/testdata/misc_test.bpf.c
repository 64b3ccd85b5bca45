// SPDX-License-Identifier: GPL-2.0-only
// Helpers and kfuncs that need no map of their own: numbers in text, strings, iterators, streams, storage of cgroups,
// performance events.
#include "vmlinux.h"
// libbpf's headers use vmlinux.h's types.
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr, u32 nr_words) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;
extern int bpf_strlen(const char *s) __ksym;
extern int bpf_strcmp(const char *s1, const char *s2) __ksym;
extern int bpf_strcasecmp(const char *s1, const char *s2) __ksym;
extern int bpf_strstr(const char *s1, const char *s2) __ksym;
extern int bpf_strchr(const char *s, char c) __ksym;
extern int bpf_strrchr(const char *s, int c) __ksym;
extern int bpf_strspn(const char *s, const char *accept) __ksym;
extern int bpf_strcspn(const char *s, const char *reject) __ksym;
extern int bpf_strnlen(const char *s, size_t count) __ksym;
extern int bpf_strnstr(const char *s1, const char *s2, size_t len) __ksym;
extern int bpf_stream_vprintk(int stream_id, const char *fmt, const void *args, u32 size) __ksym;

extern struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) __ksym;
extern bool bpf_cpumask_and(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2) __ksym;
extern u32 bpf_cpumask_weight(const struct cpumask *cpumask) __ksym;

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(max_entries, 4);
  __type(key, u32);
  __type(value, u32);
} events SEC(".maps");

u64 bits[3] = {0x8000000000000001ull, 0, 0x10};
u64 sum_of_bits, nr_bits, counter, running;
s64 read_err, output_err, bits_err;
char text[32] = "one two Three";

SEC("syscall")
int numbers(void *ctx) {
  s64 value = 0;
  u64 plain = 0;

  if (bpf_strtol("  -42x", 7, 0, (long *)&value) != 5 || value != -42) return 1;
  if (bpf_strtol("0x1F", 5, 0, (long *)&value) != 4 || value != 31) return 2;
  if (bpf_strtol("017", 4, 0, (long *)&value) != 3 || value != 15) return 3;
  if (bpf_strtol("z", 2, 0, (long *)&value) != -22) return 4;
  if (bpf_strtol("12", 3, 7, (long *)&value) != -22) return 5;
  if (bpf_strtol("9223372036854775808", 20, 10, (long *)&value) != -34) return 6;
  if (bpf_strtoul("18446744073709551615", 21, 10, (unsigned long *)&plain) != 20 || plain != ~0ull) return 7;
  if (bpf_strtoul("18446744073709551616", 21, 10, (unsigned long *)&plain) != -34) return 8;
  if (bpf_strtoul("-1", 3, 10, (unsigned long *)&plain) != -22) return 9;
  return 0;
}

SEC("syscall")
int strings(void *ctx) {
  if (bpf_strlen(text) != 13 || bpf_strnlen(text, 5) != 5) return 1;
  if (bpf_strcmp(text, "one") != 1 || bpf_strcmp("a", "b") != -1 || bpf_strcmp("a", "a")) return 2;
  if (bpf_strcasecmp("THREE", "three")) return 3;
  if (bpf_strstr(text, "two") != 4 || bpf_strstr(text, "three") != -2 || bpf_strstr(text, "") != 0) return 4;
  if (bpf_strchr(text, 'e') != 2 || bpf_strrchr(text, 'e') != 12 || bpf_strchr(text, 'x') != -2) return 5;
  if (bpf_strspn(text, "neo ") != 4 || bpf_strcspn(text, "tT") != 4) return 6;
  if (bpf_strnstr(text, "two", 6) != -2 || bpf_strnstr(text, "two", 7) != 4) return 7;
  if (bpf_strlen((const char *)8) != -14) return 8;
  return 0;
}

SEC("syscall")
int iterate_bits(void *ctx) {
  struct bpf_iter_bits it;
  int *bit;

  bits_err = bpf_iter_bits_new(&it, bits, 3);
  while ((bit = bpf_iter_bits_next(&it))) {
    sum_of_bits += *bit;
    nr_bits++;
  }
  bpf_iter_bits_destroy(&it);
  bpf_iter_bits_new(&it, bits, 0);
  if (bpf_iter_bits_next(&it)) return 1;
  bpf_iter_bits_destroy(&it);
  return 0;
}

SEC("syscall")
int print(void *ctx) {
  static const char format[] = "%d and %s";
  u64 args[2] = {5};
  char *at = text;

  // As a constant it would be an address in .rodata, which nothing relocates.
  asm volatile("" : "+r"(at));
  args[1] = (u64)at;

  if (bpf_stream_vprintk(1, format, args, sizeof(args)) != 19) return 1;
  if (bpf_stream_vprintk(3, format, args, sizeof(args)) != -2) return 2;
  return 0;
}

SEC("syscall")
int perf(u64 *ctx) {
  struct bpf_perf_event_value value = {};
  u64 sample[2] = {*ctx, 77};

  read_err = bpf_perf_event_read_value(&events, BPF_F_CURRENT_CPU, &value, sizeof(value));
  counter = value.counter;
  running = value.running;
  output_err = bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, sample, sizeof(sample));
  return 0;
}

// CPU masks in memory of the program's: any that is large enough.
struct words {
  u64 bits[128];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, u32);
  __type(value, struct words);
} masks_by_index SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 2);
  __type(key, u32);
  __type(value, struct words);
} masks_by_hash SEC(".maps");

struct bpf_cpumask masks[4] SEC(".bss.masks");
const struct words fixed = {{3}};

SEC("syscall")
int own_masks(void *ctx) {
  static struct words zeros;
  u32 key = 1;
  struct words *words = bpf_map_lookup_elem(&masks_by_index, &key);

  bpf_cpumask_set_cpu(1, &masks[2]);
  bpf_cpumask_set_cpu(3, &masks[2]);
  if (!bpf_cpumask_test_cpu(3, (struct cpumask *)&masks[2]) || masks[2].cpumask.bits[0] != 10) return 1;
  if (!words) return 2;
  words->bits[0] = 9;
  if (bpf_cpumask_weight((struct cpumask *)words) != 2) return 3;
  if (!bpf_cpumask_and(&masks[3], (struct cpumask *)words, (struct cpumask *)&masks[2])) return 4;
  if (masks[3].cpumask.bits[0] != 8 || masks[3].usage.refs.counter != 0) return 5;
  bpf_map_update_elem(&masks_by_hash, &key, &zeros, 0);
  words = bpf_map_lookup_elem(&masks_by_hash, &key);
  if (!words) return 6;
  words->bits[0] = 7;
  if (bpf_cpumask_weight((struct cpumask *)words) != 3) return 7;
  return 0;
}

// What is none: by the case in the context.
SEC("syscall")
int no_masks(u32 *ctx) {
  u32 key = 0;
  struct words *words = bpf_map_lookup_elem(&masks_by_index, &key);

  if (!words) return 1;
  switch (*ctx) {
    case 0:
      bpf_cpumask_weight((struct cpumask *)&words->bits[1]);  // ends behind its value
      break;
    case 1:
      bpf_cpumask_set_cpu(0, (struct bpf_cpumask *)words);  // a cpumask has no count behind its bits
      break;
    case 2:
      bpf_cpumask_weight((struct cpumask *)((char *)&masks[1] + 4));
      break;
    case 3:
      bpf_cpumask_weight((struct cpumask *)&fixed);  // not of the program's to write
      break;
    case 4:
      bpf_cpumask_weight((struct cpumask *)&masks_by_index);
      break;
    case 5:
      bpf_cpumask_release(&masks[0]);
      break;
    case 6:
      bpf_cpumask_acquire(&masks[0]);
      break;
    case 7:
      bpf_cpumask_weight((struct cpumask *)4096);
      break;
    default: return 2;
  }
  return 0;
}
