// SPDX-License-Identifier: GPL-2.0-only
// inotify of files that the simulated kernel has: control groups that come, go, and get their first and lose their last
// task, pinned names, and what others write.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"
#define GROUP ROOT "/watched"

static int inotify;

static long now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void sleep_ms(long ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

// What comes within `ms`: which watch, what, and of which name.
static void hear(const char *what, int ms) {
  struct pollfd poll_fd = {inotify, POLLIN, 0};
  const long start = now_ms();
  const int ready = poll(&poll_fd, 1, ms);
  printf("%s after %ld ms:", what, (now_ms() - start) / 100 * 100);
  char events[4096];
  const ssize_t got = ready > 0 ? read(inotify, events, sizeof events) : 0;
  for (ssize_t at = 0; at < got;) {
    const struct inotify_event *event = (const struct inotify_event *)(events + at);
    at += (ssize_t)(sizeof *event + event->len);
    printf(" %d%s%s%s%s%s", event->wd, event->mask & IN_CREATE ? " created" : "",
           event->mask & IN_DELETE ? " deleted" : "", event->mask & IN_MODIFY ? " modified" : "",
           event->mask & IN_DELETE_SELF ? " gone" : "", event->mask & IN_IGNORED ? " ignored" : "");
    if (event->len) printf(" %s", event->name);
    if (event->mask & IN_ISDIR) printf("/");
  }
  printf("\n");
}

static void put(const char *path, const char *text) {
  const int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) printf("%s fails\n", path);
  close(fd);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  inotify = inotify_init1(IN_CLOEXEC);
  printf("root %d\n", inotify_add_watch(inotify, ROOT, IN_CREATE | IN_DELETE | IN_MODIFY));
  hear("nothing", 100);
  if (fork() == 0) {
    sleep_ms(300);
    _exit(mkdir(GROUP, 0755));
  }
  hear("mkdir", -1);
  wait(NULL);
  printf("group %d\n", inotify_add_watch(inotify, GROUP, IN_MODIFY | IN_DELETE_SELF));
  put(GROUP "/cgroup.procs", "0");
  hear("moved", -1);
  put(ROOT "/cgroup.procs", "0");
  hear("back", -1);
  put(ROOT "/cgroup.subtree_control", "+cpu");
  hear("written", -1);
  if (rmdir(GROUP) != 0) printf("rmdir fails\n");
  hear("rmdir", -1);
  printf("again %d, of nothing %d, of the host's %d\n", mkdir(GROUP, 0755),
         inotify_add_watch(inotify, GROUP "/nothing", IN_MODIFY), inotify_add_watch(inotify, "/", IN_CREATE) > 0);
  hear("again", -1);
  printf("one more %d\n", mkdir(GROUP "/below", 0755));
  hear("not watched", 100);
  return 0;
}
