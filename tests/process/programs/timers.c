// SPDX-License-Identifier: GPL-2.0-only
// Timer descriptors: periods, what is missed, what is left, disarming.
#include <stdint.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static long ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(void) {
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  struct itimerspec value = {{0, 100000000}, {0, 50000000}};
  timerfd_settime(fd, 0, &value, NULL);
  const long start = ms();
  uint64_t count = 0;
  long got = read(fd, &count, sizeof count);
  printf("%ld bytes, %lu expirations after %ld ms\n", got, (unsigned long)count, ms() - start);
  usleep(520000);
  got = read(fd, &count, sizeof count);
  printf("%ld bytes, %lu expirations after %ld ms\n", got, (unsigned long)count, ms() - start);
  timerfd_gettime(fd, &value);
  printf("left %ld ms\n", value.it_value.tv_nsec / 1000000);
  const struct itimerspec none = {{0, 0}, {0, 0}};
  timerfd_settime(fd, 0, &none, NULL);
  timerfd_gettime(fd, &value);
  printf("disarmed %d\n", value.it_value.tv_nsec == 0);
  return 0;
}
