// SPDX-License-Identifier: GPL-2.0-only
// Mutexes, condition variables, barriers, semaphores, time limits and joins, all of which wait in futex(2).
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kThreads = 4, kRounds = 50 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t sem;
static int counter, turn;
static char order[kThreads * kRounds + 1];

static void *worker(void *arg) {
  const int me = (int)(long)arg;
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kRounds; i++) {
    pthread_mutex_lock(&lock);
    while (turn % kThreads != me) pthread_cond_wait(&cond, &lock);
    order[counter++] = (char)('a' + me);
    turn++;
    usleep(10);
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&lock);
  }
  sem_post(&sem);
  return (void *)(long)(me * 10);
}

int main(void) {
  pthread_t threads[kThreads];
  pthread_barrier_init(&barrier, NULL, kThreads + 1);
  sem_init(&sem, 0, 0);
  for (long i = 0; i < kThreads; i++) pthread_create(&threads[i], NULL, worker, (void *)i);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kThreads; i++) sem_wait(&sem);
  long sum = 0;
  for (int i = 0; i < kThreads; i++) {
    void *result;
    pthread_join(threads[i], &result);
    sum += (long)result;
  }
  int in_turn = 1;
  for (int i = 0; i < kThreads * kRounds; i++) in_turn &= order[i] == 'a' + i % kThreads;
  printf("counter %d in turn %d sum %ld\n", counter, in_turn, sum);

  struct timespec limit, before, after;
  clock_gettime(CLOCK_REALTIME, &limit);
  clock_gettime(CLOCK_MONOTONIC, &before);
  limit.tv_sec += 3;
  pthread_mutex_lock(&lock);
  const int error = pthread_cond_timedwait(&cond, &lock, &limit);
  clock_gettime(CLOCK_MONOTONIC, &after);
  printf("timedwait %s after %ld s\n", error == ETIMEDOUT ? "timed out" : strerror(error),
         (long)(after.tv_sec - before.tv_sec));
  printf("main is its own leader %d\n", getpid() == (int)syscall(SYS_gettid));
  return 0;
}
