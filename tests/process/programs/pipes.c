// SPDX-License-Identifier: GPL-2.0-only
// A pipe that is empty and one that is full, a socket pair, and the end of a file.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fds[2], sockets[2];

static void *reader(void *arg) {
  (void)arg;
  long sum = 0, got;
  static char buffer[3000];
  while ((got = read(fds[0], buffer, sizeof buffer)) > 0) {
    for (long i = 0; i < got; i++) sum += (unsigned char)buffer[i];
    usleep(100);
  }
  char text[32] = "";
  if (read(sockets[1], text, sizeof text) > 0) printf("socket: %s\n", text);
  return (void *)sum;
}

int main(void) {
  if (pipe(fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets)) return 1;
  pthread_t thread;
  pthread_create(&thread, NULL, reader, NULL);
  usleep(1000);
  enum { kBytes = 300000 };
  char *data = malloc(kBytes);
  long sum = 0;
  for (int i = 0; i < kBytes; i++) sum += (unsigned char)(data[i] = (char)(i * 7));
  const long written = write(fds[1], data, kBytes);
  close(fds[1]);
  usleep(1000000);
  if (write(sockets[0], "hello", 6) != 6) return 1;
  void *result;
  pthread_join(thread, &result);
  printf("written %ld, sums agree %d\n", written, (long)result == sum);

  if (pipe2(fds, O_NONBLOCK)) return 1;
  char byte;
  printf("empty and nonblocking %d\n", read(fds[0], &byte, 1) == -1 && errno == EAGAIN);
  return 0;
}
