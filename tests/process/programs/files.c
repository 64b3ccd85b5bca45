// SPDX-License-Identifier: GPL-2.0-only
// What the files and calls say of the machine.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

static void show(const char *path) {
  char text[256] = "";
  FILE *file = fopen(path, "r");
  if (!file) {
    printf("%s: %s\n", path, strerror(errno));
    return;
  }
  if (!fgets(text, sizeof text, file)) strcpy(text, "empty\n");
  printf("%s: %s", path, text);
  fclose(file);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
  char *names[64];
  int count = 0;
  DIR *dir = opendir(path);
  if (!dir) {
    printf("%s: %s\n", path, strerror(errno));
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(dir)) && count < 64)
    if (entry->d_name[0] != '.') names[count++] = strdup(entry->d_name);
  qsort(names, (size_t)count, sizeof names[0], by_name);
  printf("%s:", path);
  for (int i = 0; i < count; i++) printf(" %s", names[i]);
  printf("\n");
  const int fd = openat(dirfd(dir), "cpu1/topology/core_id", O_RDONLY);
  char text[16] = "";
  if (fd >= 0 && read(fd, text, sizeof text - 1) > 0) printf("relative: %s", text);
  closedir(dir);
}

int main(void) {
  show("/sys/kernel/sched_ext/state");
  show("/sys/kernel/sched_ext/root/ops");
  show("/sys/devices/system/cpu/online");
  show("/sys/devices/system/cpu/possible");
  show("/sys/devices/system/cpu/cpu3/topology/thread_siblings_list");
  show("/sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list");
  show("/sys/devices/system/cpu/cpu99/online");
  show("/sys/devices/system/node/node1/cpulist");
  show("/sys/devices/system/node/node1/distance");
  list("/sys/devices/system/cpu");
  struct stat st;
  printf("btf %d\n", stat("/sys/kernel/btf/vmlinux", &st) == 0 && S_ISREG(st.st_mode));
  printf("may not write %d\n", open("/sys/kernel/sched_ext/state", O_WRONLY) == -1 && errno == EACCES);
  printf("access %d %d\n", access("/sys/kernel/sched_ext/state", R_OK), access("/sys/kernel/nothing", R_OK));
  printf("processors %d of %d\n", get_nprocs(), get_nprocs_conf());
  printf("sysconf %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
  struct utsname name;
  uname(&name);
  printf("release %.4s\n", name.release);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(5, &set);
  printf("setaffinity %d\n", sched_setaffinity(0, sizeof set, &set));
  printf("on CPU %d\n", sched_getcpu());
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  printf("CPUs %d\n", CPU_COUNT(&set));
  struct sched_param param = {0};
  printf("SCHED_EXT %d", sched_setscheduler(0, 7, &param));
  printf(", policy %d\n", sched_getscheduler(0));
  printf("nice %d\n", nice(5));
  return 0;
}
