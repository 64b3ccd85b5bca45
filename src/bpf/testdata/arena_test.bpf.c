// SPDX-License-Identifier: GPL-2.0-only
// Arenas as programs use them: globals, allocation, lists through user-space pointers, atomics, pages that are missing.
#include "vmlinux.h"
// libbpf's headers use vmlinux.h's types.
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))
#define cast_kern(ptr) (ptr)

char _license[] SEC("license") = "GPL";

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 page_cnt, int node_id,
                                           __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *ptr, __u32 page_cnt) __ksym;
extern int bpf_arena_reserve_pages(void *map, void __arena *ptr, __u32 page_cnt) __ksym;

struct {
  __uint(type, BPF_MAP_TYPE_ARENA);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 64);
  __ulong(map_extra, 1ull << 44);
} arena SEC(".maps");

struct node {
  struct node __arena *next;
  u64 value;
};

u64 __arena in_arena SEC(".addr_space.1") = 77;
struct node __arena *head;
u64 read_back, first_page, sum, old_value, missing;

SEC("syscall")
int use_globals(void *ctx) {
  in_arena += 1;
  read_back = in_arena;
  return 0;
}

SEC("syscall")
int build_list(void *ctx) {
  struct node __arena *page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
  int i;

  if (!page) return -1;
  first_page = (u64)page;
  for (i = 0; i < 10; i++) {
    page[i].next = head;
    page[i].value = i;
    head = &page[i];
  }
  sum = 0;
  for (i = 0; i < 100 && head; i++) {
    sum += head->value;
    head = head->next;
  }
  return 0;
}

SEC("syscall")
int touch_missing(void *ctx) {
  struct node __arena *page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);

  if (!page) return -1;
  page->value = 5;
  bpf_arena_free_pages(&arena, page, 1);
  page->value = 6;
  old_value = __sync_fetch_and_add(&page->value, 3);
  __sync_fetch_and_or(&page->value, 1);
  missing = page->value;
  return 0;
}

SEC("syscall")
int atomics(void *ctx) {
  struct node __arena *page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);

  if (!page) return -1;
  __sync_fetch_and_add(&page->value, 40);
  old_value = __sync_fetch_and_or(&page->value, 2);
  read_back = __sync_val_compare_and_swap(&page->value, 42, 1);
  missing = page->value;
  bpf_arena_free_pages(&arena, page, 1);
  return 0;
}

SEC("syscall")
int read_user_page(void *ctx) {
  u64 __arena *place = (u64 __arena *)((1ull << 44) + 20 * 4096);

  bpf_printk("%p", &arena);
  read_back = *place;
  return 0;
}
