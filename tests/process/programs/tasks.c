// SPDX-License-Identifier: GPL-2.0-only
// What /proc says of the program itself and of other tasks, names that it gives itself, and cgroups as its directory.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// The lines of a file that begin with one of the words; NULs are shown as '|'.
static void show(const char *path, const char *words) {
  char text[4096] = "";
  const int fd = open(path, O_RDONLY);
  const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (size < 0) {
    printf("%s: %s\n", path, strerror(errno));
    return;
  }
  for (ssize_t i = 0; i < size; i++)
    if (text[i] == 0) text[i] = '|';
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    char word[64] = " ";
    sscanf(line, "%61[^ \t:]", word + 1);
    strcat(word, " ");
    if (!words || strstr(words, word)) printf("%s\n", line);
  }
}

static int count(const char *path, const char *wanted) {
  int entries = 0, found = 0;
  DIR *dir = opendir(path);
  if (!dir) return -errno;
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (entry->d_name[0] == '.') continue;
    entries++;
    if (wanted && strcmp(entry->d_name, wanted) == 0) found = 1;
  }
  closedir(dir);
  return wanted ? found : entries;
}

static pthread_barrier_t barrier;
static long other_tid;

static void *other(void *unused) {
  other_tid = syscall(SYS_gettid);
  show("/proc/thread-self/comm", NULL);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  printf("the other is %s\n", name);
  return unused;
}

static void own_files(void) {
  char path[100], pid[20];
  snprintf(pid, sizeof pid, "%d", getpid());
  show("/proc/self/status", " Name Threads Cpus_allowed_list Mems_allowed_list Kthread ");
  show("/proc/self/cmdline", NULL);
  int numbers[3] = {0};
  snprintf(path, sizeof path, "/proc/%s/stat", pid);
  FILE *stat_file = fopen(path, "r");
  if (!stat_file || fscanf(stat_file, "%d (%*[^)]) %*c %d %d", &numbers[0], &numbers[1], &numbers[2]) != 3) exit(1);
  fclose(stat_file);
  printf("stat %d %d %d\n", numbers[0] == getpid(), numbers[1] == getppid(), numbers[2] == getpgrp());
  printf("listed %d, self's threads %d\n", count("/proc", pid), count("/proc/self/task", NULL));
  show("/proc/2/comm", NULL);
  show("/proc/2/cmdline", NULL);
  show("/proc/2/status", " Kthread ");
  show("/proc/99999/stat", NULL);
  const int dir = open("/proc/self", O_RDONLY | O_DIRECTORY);
  const int file = openat(dir, "comm", O_RDONLY);
  char name[16] = "";
  printf("relative %zd", read(file, name, sizeof name - 1));
  printf(" %s", name);
  show("/proc/meminfo", " MemTotal SwapFree ");
  show("/proc/stat", " btime ");
}

static void names(void) {
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 2);
  prctl(PR_SET_NAME, "first of two");
  pthread_create(&thread, NULL, other, NULL);
  pthread_barrier_wait(&barrier);
  printf("threads %d, set %d\n", count("/proc/self/task", NULL), pthread_setname_np(thread, "second"));
  char path[100];
  snprintf(path, sizeof path, "/proc/%d/task/%ld/comm", getpid(), other_tid);
  show(path, NULL);
  show("/proc/self/comm", NULL);
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
}

static void directories(void) {
  char where[100];
  printf("mkdir %d, ", mkdir("/sys/fs/cgroup/here", 0755));
  printf("chdir %d, ", chdir("/sys/fs/cgroup/here"));
  printf("in %s\n", getcwd(where, sizeof where));
  printf("mkdir %d, ", mkdir("below", 0755));
  printf("here %d, above %d\n", count(".", "below"), count("..", "here"));
  show("cpu.weight", NULL);
  const int fd = open("cgroup.procs", O_WRONLY);
  printf("moved %zd\n", write(fd, "0", 1));
  close(fd);
  show("/proc/self/cgroup", NULL);
  printf("chdir %d, ", chdir("../here/below"));
  printf("in %s\n", getcwd(where, sizeof where));
  if (chdir("/sys/fs/cgroup/cgroup.procs")) printf("file %s, ", strerror(errno));
  if (chdir("/sys/fs/cgroup/nothing")) printf("nothing %s\n", strerror(errno));
  printf("back %d, ", chdir("/tmp"));
  printf("in %s\n", getcwd(where, sizeof where));
  show("/sys/devices/system/node/node1/cpu2/topology/physical_package_id", NULL);
  printf("node 1 has CPU 2 %d, CPU 0 %d, %d\n", count("/sys/devices/system/node/node1", "cpu2"),
         count("/sys/devices/system/node/node1", "cpu0"), access("/sys/devices/system/node/node1/cpu0", F_OK));
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  own_files();
  names();
  directories();
  return 0;
}
