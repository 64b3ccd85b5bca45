// SPDX-License-Identifier: GPL-2.0-only
// Threads that wait for each other by looking at memory alone: `spin N` for a while, `spin N for-ever` until a signal.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int go, begun;

static void *spin(void *argument) {
  (void)argument;
  __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
  while (!__atomic_load_n(&go, __ATOMIC_RELAXED)) {
  }
  return NULL;
}

int main(int argc, char **argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 1;
  pthread_t *threads = calloc((size_t)count, sizeof *threads);
  for (int i = 0; i < count; i++) pthread_create(&threads[i], NULL, spin, NULL);
  printf("created\n");
  fflush(stdout);
  const struct timespec second = {1, 0};
  do nanosleep(&second, NULL);
  while (argc > 2);
  __atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  printf("begun %d\n", begun);
  free(threads);
  return 0;
}
