// SPDX-License-Identifier: GPL-2.0-only
// Children by fork(), by posix_spawn() and by system(); their ends, and their memory.
#define _GNU_SOURCE
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  int private = 1;
  sem_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  sem_init(shared, 1, 0);
  const pid_t child = fork();
  if (child == 0) {
    private = 2;
    usleep(1000);
    sem_post(shared);
    usleep(1000);
    _exit(7);
  }
  sem_wait(shared);
  printf("posted, private %d\n", private);
  int status;
  const pid_t ended = wait(&status);
  printf("child is the one that was forked %d, status %d\n", ended == child, WEXITSTATUS(status));
  printf("no other child %d\n", wait(&status) == -1 && errno == ECHILD);

  const pid_t victim = fork();
  if (victim == 0)
    for (;;) pause();
  usleep(1000);
  kill(victim, SIGKILL);
  waitpid(victim, &status, 0);
  printf("killed by %d\n", WTERMSIG(status));

  char *argv[] = {"sh", "-c", "sleep 2; exit 5", NULL};
  pid_t spawned;
  printf("spawned %d\n", posix_spawn(&spawned, "/bin/sh", NULL, NULL, argv, environ));
  printf("not yet %d\n", waitpid(spawned, &status, WNOHANG));
  waitpid(spawned, &status, 0);
  printf("status %d\n", WEXITSTATUS(status));
  printf("system %d\n", WEXITSTATUS(system("exit 3")));
  FILE *pipe = popen("echo from a pipe", "r");
  char line[64] = "";
  if (fgets(line, sizeof line, pipe)) printf("popen: %s", line);
  pclose(pipe);
  return 0;
}
