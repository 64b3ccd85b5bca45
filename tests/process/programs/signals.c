// SPDX-License-Identifier: GPL-2.0-only
// Handlers, interrupted and restarted calls, alarm, sigsuspend, sigtimedwait, raise, and SIGINT at the end of the run.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t alarms, usr1, interrupts;
static int fds[2];

static long ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void handler(int signal) {
  if (signal == SIGALRM) alarms++;
  if (signal == SIGUSR1) usr1++;
  if (signal == SIGINT) interrupts++;
}

static void handle(int signal, int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(signal, &action, NULL);
}

static void *sender(void *arg) {
  usleep(300000);
  pthread_kill(*(pthread_t *)arg, SIGUSR1);
  usleep(300000);
  if (write(fds[1], "x", 1) != 1) return NULL;
  return NULL;
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  handle(SIGALRM, 0);
  handle(SIGUSR1, SA_RESTART);
  handle(SIGINT, 0);
  long start = ms();
  alarm(1);
  struct timespec time = {5, 0}, left;
  int result = nanosleep(&time, &left);
  printf("nanosleep %d %s after %ld ms, left %ld s, alarms %d\n", result, strerror(errno), ms() - start,
         (long)left.tv_sec + (left.tv_nsec > 500000000), (int)alarms);

  pthread_t self = pthread_self(), thread;
  if (pipe(fds)) return 1;
  pthread_create(&thread, NULL, sender, &self);
  char byte;
  start = ms();
  const long got = read(fds[0], &byte, 1);
  printf("read %ld after %ld ms, usr1 %d\n", got, ms() - start, (int)usr1);
  pthread_join(thread, NULL);

  sigset_t set, none;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigemptyset(&none);
  sigprocmask(SIG_BLOCK, &set, NULL);
  raise(SIGUSR1);
  printf("blocked, usr1 %d\n", (int)usr1);
  sigsuspend(&none);
  printf("sigsuspend, usr1 %d\n", (int)usr1);
  const struct timespec limit = {1, 0};
  start = ms();
  result = sigtimedwait(&set, NULL, &limit);
  printf("sigtimedwait %d after %ld ms\n", result, ms() - start);
  kill(getpid(), SIGUSR1);
  printf("sigtimedwait %d\n", sigtimedwait(&set, NULL, &limit) == SIGUSR1);

  while (!interrupts) pause();
  printf("interrupted, bye\n");
  return 4;
}
