// SPDX-License-Identifier: GPL-2.0-only
// A child is stopped and goes on, in a sleep and while it computes; its parent waits for that, and reads its times.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static long cpu_ticks(int pid) {
  char path[64], line[512];
  long ticks = -1;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (!file) return -1;
  if (fgets(line, sizeof line, file)) sscanf(line, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld", &ticks);
  fclose(file);
  return ticks;
}

static void *nothing(void *arg) {
  pause();
  return arg;
}

static void fields(void) {
  pthread_t thread;
  char path[64], line[512] = "";
  pthread_create(&thread, NULL, nothing, NULL);
  snprintf(path, sizeof path, "/proc/%d/stat", getpid());
  FILE *file = fopen(path, "r");
  if (!file || !fgets(line, sizeof line, file)) return;
  fclose(file);
  int count = 0, threads = 0, ours = 0;
  char *rest = line;
  for (char *field; (field = strsep(&rest, " ")) != NULL;) {
    count++;
    if (count == 1) ours = atoi(field) == getpid();
    if (count == 20) threads = atoi(field);
  }
  printf("fields %d, ours %d, threads %d\n", count, ours, threads);
}

static void sleeper(void) {
  const pid_t child = fork();
  if (child == 0) {
    sleep(2);
    _exit(7);
  }
  usleep(100000);
  int status = 0;
  const long start = ms();
  printf("stop %d", kill(child, SIGSTOP));
  printf(" wait %d", waitpid(child, &status, WUNTRACED) == child);
  printf(" stopped by %d", WIFSTOPPED(status) ? WSTOPSIG(status) : -1);
  printf(" again %d\n", waitpid(child, &status, WUNTRACED | WNOHANG));
  sleep(3);
  printf("ended meanwhile: %d", waitpid(child, &status, WNOHANG) == child);
  kill(child, SIGCONT);
  printf(" continued %d", waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
  waitpid(child, &status, 0);
  printf(" status %d after %ld ms\n", WEXITSTATUS(status), (ms() - start) / 100 * 100);
}

static void worker(void) {
  const pid_t child = fork();
  if (child == 0)
    for (;;) __asm__ volatile("");
  sleep(1);
  int status = 0;
  kill(child, SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  const long before = cpu_ticks(child);
  sleep(1);
  printf("computes %d, not while stopped %d", before >= 90, cpu_ticks(child) == before);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  printf(", killed by %d, gone %d\n", WTERMSIG(status), cpu_ticks(child) == -1);
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  sleeper();
  worker();
  fields();
  return 0;
}
