// SPDX-License-Identifier: GPL-2.0-only
// System calls made by instructions of the program's own, which no library sees.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long raw(long nr, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

int main(void) {
  struct timespec before, after, nap = {2, 0};
  raw(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&before, 0);
  raw(SYS_nanosleep, (long)&nap, 0, 0);
  raw(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&after, 0);
  printf("slept %ld s\n", (long)(after.tv_sec - before.tv_sec));
  printf("pid %d\n", raw(SYS_getpid, 0, 0, 0) == getpid());
  unsigned cpu = 99;
  raw(SYS_getcpu, (long)&cpu, 0, 0);
  printf("cpu below 8: %d\n", cpu < 8);
  printf("refused %ld\n", raw(SYS_io_uring_setup, 1, 0, 0));
  return 0;
}
