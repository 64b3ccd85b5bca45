// SPDX-License-Identifier: GPL-2.0-only
// poll, select and epoll: readiness, time limits, an event descriptor.
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

static int fds[2], event;

static long ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void *writer(void *arg) {
  (void)arg;
  for (int i = 0; i < 3; i++) {
    usleep(250000);
    if (write(fds[1], "x", 1) != 1) return NULL;
  }
  usleep(100000);
  const uint64_t one = 1;
  if (write(event, &one, sizeof one) != sizeof one) return NULL;
  return NULL;
}

int main(void) {
  if (pipe(fds)) return 1;
  event = eventfd(0, 0);
  pthread_t thread;
  pthread_create(&thread, NULL, writer, NULL);
  char byte;
  long start = ms();
  struct pollfd p = {fds[0], POLLIN, 0};
  int ready = poll(&p, 1, 100);
  printf("poll %d after %ld ms\n", ready, ms() - start);
  start = ms();
  ready = poll(&p, 1, -1);
  printf("poll %d after %ld ms\n", ready, ms() - start);
  if (read(fds[0], &byte, 1) != 1) return 1;

  fd_set set;
  FD_ZERO(&set);
  FD_SET(fds[0], &set);
  struct timeval limit = {10, 0};
  start = ms();
  ready = select(fds[0] + 1, &set, NULL, NULL, &limit);
  printf("select %d set %d after %ld ms\n", ready, FD_ISSET(fds[0], &set) != 0, ms() - start);
  if (read(fds[0], &byte, 1) != 1) return 1;

  const int epoll = epoll_create1(0);
  struct epoll_event add = {EPOLLIN, {.u32 = 11}}, add_event = {EPOLLIN, {.u32 = 22}}, got;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &add);
  epoll_ctl(epoll, EPOLL_CTL_ADD, event, &add_event);
  start = ms();
  ready = epoll_wait(epoll, &got, 1, -1);
  printf("epoll %d of %u after %ld ms\n", ready, got.data.u32, ms() - start);
  if (read(fds[0], &byte, 1) != 1) return 1;
  start = ms();
  ready = epoll_wait(epoll, &got, 1, -1);
  printf("epoll %d of %u after %ld ms\n", ready, got.data.u32, ms() - start);
  uint64_t count;
  if (read(event, &count, sizeof count) != sizeof count) return 1;
  start = ms();
  ready = epoll_wait(epoll, &got, 1, 40);
  printf("epoll %d after %ld ms\n", ready, ms() - start);
  pthread_join(thread, NULL);
  return 0;
}
