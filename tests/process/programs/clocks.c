// SPDX-License-Identifier: GPL-2.0-only
// Sleeps take virtual time, and only that; all clocks agree.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void took(const char *what, long long start, long long end) {
  printf("%s %lld us\n", what, (end - start) / 1000);
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  long long start = now(CLOCK_MONOTONIC);
  sleep(1);
  took("sleep", start, now(CLOCK_MONOTONIC));
  start = now(CLOCK_MONOTONIC);
  usleep(1500);
  took("usleep", start, now(CLOCK_MONOTONIC));
  start = now(CLOCK_REALTIME);
  struct timespec until = {start / 1000000000LL + 2, start % 1000000000LL};
  clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);
  took("absolute", start, now(CLOCK_REALTIME));
  struct timeval tv;
  gettimeofday(&tv, NULL);
  printf("time %ld gettimeofday %ld\n", (long)time(NULL), (long)tv.tv_sec);
  start = now(CLOCK_MONOTONIC);
  printf("difference of clocks %lld s\n", (now(CLOCK_REALTIME) - start) / 1000000000LL);
  printf("cpu time below 1 ms: %d\n", now(CLOCK_PROCESS_CPUTIME_ID) < 1000000);
  return 0;
}
