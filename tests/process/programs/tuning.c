// SPDX-License-Identifier: GPL-2.0-only
// Writes to the machine's files: a CPU goes and comes, and the reservations of the deadline servers change.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SERVER "/sys/kernel/debug/sched/fair_server/cpu1/"

static const char *text(const char *path) {
  static char line[256];
  FILE *file = fopen(path, "r");
  if (!file) return strerror(errno);
  if (!fgets(line, sizeof line, file)) line[0] = 0;
  line[strcspn(line, "\n")] = 0;
  fclose(file);
  return line;
}

static const char *write_text(const char *path, const char *value) {
  const int fd = open(path, O_WRONLY | O_APPEND);
  if (fd < 0) return strerror(errno);
  const ssize_t written = write(fd, value, strlen(value));
  const char *result = written == (ssize_t)strlen(value) ? "ok" : strerror(errno);
  close(fd);
  return result;
}

static void total_bw(void) {
  char line[256];
  FILE *file = fopen("/sys/kernel/debug/sched/debug", "r");
  long total = -1, lines = 0;
  while (file && fgets(line, sizeof line, file)) {
    const char *found = strstr(line, "total_bw");
    if (!found) continue;
    total = atol(strchr(found, ':') + 1);
    lines++;
  }
  if (file) fclose(file);
  printf("total_bw %ld on %ld CPUs\n", total, lines);
}

// Who waits for the clock without sleeping is not looked at each microsecond.
static void spin(void) {
  const time_t end = time(NULL) + 3;
  long rounds = 0;
  while (time(NULL) < end) rounds++;
  printf("spins %d, late %d\n", rounds < 1000, time(NULL) != end);
}

int main(void) {
  printf("nohz_full %s\n", text("/sys/devices/system/cpu/nohz_full"));
  printf("CPU 0 %s\n", write_text("/sys/devices/system/cpu/cpu0/online", "0"));
  printf("nonsense: %s\n", write_text("/sys/devices/system/cpu/cpu1/online", "x"));
  printf("off %s", write_text("/sys/devices/system/cpu/cpu1/online", "0"));
  printf(", online %s", text("/sys/devices/system/cpu/online"));
  printf(", count %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
  total_bw();
  printf("on %s", write_text("/sys/devices/system/cpu/cpu1/online", "1"));
  printf(", online %s\n", text("/sys/devices/system/cpu/online"));
  total_bw();
  printf("runtime %s", text(SERVER "runtime"));
  printf(", doubled %s\n", write_text(SERVER "runtime", "100000000"));
  total_bw();
  printf("beyond its period: %s", write_text(SERVER "runtime", "1000000001"));
  printf(", period: %s", write_text(SERVER "period", "2000000000"));
  printf(", %s\n", text(SERVER "period"));
  total_bw();
  spin();
  return 0;
}
