// SPDX-License-Identifier: GPL-2.0-only
// Ring buffers in both directions, and dynptrs.
#include "vmlinux.h"
// libbpf's headers use vmlinux.h's types.
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u64 offset, void *buffer, u64 size) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u64 offset, void *buffer, u64 size) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, u64 start, u64 end) __ksym;
extern u64 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
extern bool bpf_dynptr_is_null(const struct bpf_dynptr *p) __ksym;
extern bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone) __ksym;
extern int bpf_dynptr_copy(struct bpf_dynptr *dst, u64 dst_off, struct bpf_dynptr *src, u64 src_off, u64 size) __ksym;
extern int bpf_dynptr_memset(struct bpf_dynptr *p, u64 offset, u64 size, u8 val) __ksym;

struct event {
  u64 number;
  u64 square;
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_USER_RINGBUF);
  __uint(max_entries, 4096);
} commands SEC(".maps");

u64 next_number, refused, available, drained, command_sum, null_data, results[8];

SEC("syscall")
int produce(void *ctx) {
  struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);

  if (!event) {
    refused++;
    return 1;
  }
  event->number = next_number++;
  event->square = event->number * event->number;
  // Each fourth is thrown away.
  if (event->number % 4 == 3)
    bpf_ringbuf_discard(event, 0);
  else
    bpf_ringbuf_submit(event, 0);
  available = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
  return 0;
}

SEC("syscall")
int produce_other(void *ctx) {
  struct event event = {.number = 1000, .square = 1};
  struct bpf_dynptr ptr;
  long err;

  err = bpf_ringbuf_output(&ring, &event, sizeof(event), 0);
  results[0] = err;
  err = bpf_ringbuf_reserve_dynptr(&ring, sizeof(event), 0, &ptr);
  event.number = 1001;
  results[1] = bpf_dynptr_write(&ptr, 0, &event, sizeof(event), 0);
  results[2] = bpf_dynptr_write(&ptr, 1, &event, sizeof(event), 0);
  bpf_ringbuf_submit_dynptr(&ptr, 0);
  results[3] = bpf_ringbuf_reserve_dynptr(&ring, 8192, 0, &ptr);
  bpf_ringbuf_discard_dynptr(&ptr, 0);
  return err;
}

// A verifier would not let this record go unsubmitted.
SEC("syscall")
int leak(void *ctx) {
  void *record = bpf_ringbuf_reserve(&ring, 8, 0);

  return record != 0;
}

SEC("syscall")
int submit_twice(void *ctx) {
  void *record = bpf_ringbuf_reserve(&ring, 8, 0);

  if (!record) return 1;
  bpf_ringbuf_submit(record, 0);
  asm volatile("" ::: "memory");
  bpf_ringbuf_submit(record, 0);
  return 0;
}

static long on_command(struct bpf_dynptr *ptr, void *ctx) {
  u64 value = 0;

  bpf_dynptr_read(&value, sizeof(value), ptr, 0, 0);
  command_sum += value;
  if (!bpf_dynptr_data(ptr, 0, 8)) null_data++;
  return value == 99;
}

SEC("syscall")
int drain(void *ctx) {
  drained = bpf_user_ringbuf_drain(&commands, on_command, 0, 0);
  return 0;
}

char memory[64];

SEC("syscall")
int dynptrs(void *ctx) {
  struct bpf_dynptr ptr, copy, small;
  u64 word = 0x1122334455667788ull, back = 0;
  u8 *part;

  if (bpf_dynptr_from_mem(memory, sizeof(memory), 0, &ptr)) return 1;
  if (bpf_dynptr_write(&ptr, 8, &word, sizeof(word), 0)) return 2;
  if (bpf_dynptr_clone(&ptr, &copy)) return 3;
  if (bpf_dynptr_adjust(&copy, 8, 24)) return 4;
  if (bpf_dynptr_size(&copy) != 16 || bpf_dynptr_size(&ptr) != 64) return 5;
  if (bpf_dynptr_read(&back, sizeof(back), &copy, 0, 0) || back != word) return 6;
  if (bpf_dynptr_read(&back, sizeof(back), &copy, 9, 0) != -7) return 7;
  part = bpf_dynptr_slice(&copy, 1, 0, 2);
  if (!part || part[0] != 0x77) return 8;
  if (bpf_dynptr_is_null(&ptr) || bpf_dynptr_is_rdonly(&ptr)) return 9;
  if (bpf_dynptr_copy(&ptr, 32, &copy, 0, 8) || memory[32] != (char)0x88) return 10;
  if (bpf_dynptr_copy(&ptr, 60, &copy, 0, 8) != -7) return 11;
  if (bpf_dynptr_memset(&copy, 0, 16, 5) || memory[8] != 5 || memory[23] != 5 || memory[24]) return 12;
  if (bpf_dynptr_adjust(&copy, 3, 2) != -22 || bpf_dynptr_adjust(&copy, 0, 17) != -34) return 13;
  if (bpf_dynptr_from_mem(memory, sizeof(memory), 1, &small) != -22) return 14;
  if (!bpf_dynptr_is_null(&small) || (s64)bpf_dynptr_size(&small) != -22) return 15;
  return 0;
}

// What may be done with a dynptr of 16 bytes, by its kind. Rows and columns are those of the table in ringbuf_test.cc.
s64 rights[8][14];
u64 nr_rights;
char spare[16];

static __noinline void try_all(struct bpf_dynptr *ptr) {
  struct bpf_dynptr other, clone;
  u64 word = 1, row = nr_rights++;
  s64 *right = rights[row & 7];

  bpf_dynptr_from_mem(spare, sizeof(spare), 0, &other);
  right[0] = bpf_dynptr_is_null(ptr);
  right[1] = bpf_dynptr_is_rdonly(ptr);
  right[2] = bpf_dynptr_size(ptr);
  right[3] = bpf_dynptr_data(ptr, 8, 8) != 0;
  right[4] = bpf_dynptr_slice(ptr, 8, 0, 8) != 0;
  right[5] = bpf_dynptr_slice_rdwr(ptr, 8, 0, 8) != 0;
  right[6] = bpf_dynptr_read(&word, sizeof(word), ptr, 8, 0);
  right[7] = bpf_dynptr_write(ptr, 8, &word, sizeof(word), 0);
  right[8] = bpf_dynptr_clone(ptr, &clone);
  right[9] = bpf_dynptr_is_rdonly(&clone) || bpf_dynptr_is_null(&clone);
  right[10] = bpf_dynptr_copy(&other, 0, ptr, 8, 8);
  right[11] = bpf_dynptr_copy(ptr, 8, &other, 0, 8);
  right[12] = bpf_dynptr_memset(ptr, 8, 8, 1);
  right[13] = bpf_dynptr_adjust(ptr, 8, 16) ?: bpf_dynptr_size(ptr) != 8;
}

static __noinline void try_clone(struct bpf_dynptr *ptr) {
  struct bpf_dynptr clone;

  bpf_dynptr_clone(ptr, &clone);
  try_all(&clone);
}

static long try_sample(struct bpf_dynptr *ptr, void *ctx) {
  try_clone(ptr);
  try_all(ptr);
  return 1;
}

SEC("syscall")
int try_kinds(void *ctx) {
  struct bpf_dynptr ptr;

  bpf_dynptr_from_mem(memory, 16, 0, &ptr);
  try_clone(&ptr);
  try_all(&ptr);
  bpf_ringbuf_reserve_dynptr(&ring, 16, 0, &ptr);
  try_clone(&ptr);
  try_all(&ptr);
  bpf_ringbuf_submit_dynptr(&ptr, 0);
  try_all(&ptr);
  bpf_user_ringbuf_drain(&commands, try_sample, 0, 0);
  bpf_ringbuf_reserve_dynptr(&ring, 16, 1, &ptr);
  try_all(&ptr);
  bpf_ringbuf_discard_dynptr(&ptr, 0);
  return 0;
}
