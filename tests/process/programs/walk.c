// SPDX-License-Identifier: GPL-2.0-only
// Looks at each name below the given directories, on their file systems: what readdir(), stat(), open() and read() say
// must agree, no two names may have one inode number, and what may be written takes nonsense without harm.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_NAMES 200000

static struct {
  dev_t device;
  ino_t inode;
} seen[MAX_NAMES];
static unsigned long nr_seen, files, directories, links, bytes, writable, sum;

static void wrong(const char *path, const char *what) { printf("%s: %s\n", path, what); }

static char **roots;
static int is_root(const char *path) {
  for (char **root = roots; *root; root++)
    if (!strcmp(*root, path) || !strcmp(path, "/sys/kernel/debug/tracing")) return 1;
  return 0;
}

static void look(const char *path, const struct stat *st) {
  for (unsigned long i = 0; i < nr_seen; i++)
    if (seen[i].device == st->st_dev && seen[i].inode == st->st_ino) wrong(path, "has an inode number of another name");
  seen[nr_seen].device = st->st_dev;
  seen[nr_seen++].inode = st->st_ino;
}

static int same(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode;
}

static void walk_file(const char *path, const struct stat *st) {
  char block[4096];
  struct stat opened;
  files++;
  const int fd = open(path, O_RDONLY);
  if (fd < 0) {
    if (errno != EIO) wrong(path, strerror(errno));  // A pinned object.
    return;
  }
  if (fstat(fd, &opened) != 0 || !same(st, &opened)) wrong(path, "is another file once it is open");
  if (write(fd, "x", 1) != -1 || errno != EBADF) wrong(path, "is written to without being open for it");
  ssize_t got;
  while ((got = read(fd, block, sizeof block)) > 0) {
    bytes += (unsigned long)got;
    for (ssize_t i = 0; i < got; i++) sum = sum * 31 + (unsigned char)block[i];
  }
  if (got < 0) wrong(path, "cannot be read");
  close(fd);
  if (access(path, R_OK) != 0) wrong(path, "must not be read");
  const int out = open(path, O_WRONLY);
  if ((out >= 0) != ((st->st_mode & 0200) != 0)) wrong(path, "can be opened for writing, or not, against its mode");
  if (out < 0) return;
  writable++;
  if (write(out, "nonsense", 8) != -1 && !strstr(path, "/comm")) wrong(path, "takes nonsense");
  if (pwrite(out, "x", 1, 0) != -1) wrong(path, "is written to behind the kernel's back");
  close(out);
}

static void walk(const char *path, dev_t device) {
  struct stat before, opened, st;
  DIR *dir = opendir(path);
  if (!dir) {
    wrong(path, strerror(errno));
    return;
  }
  directories++;
  if (lstat(path, &before) != 0 || fstat(dirfd(dir), &opened) != 0 || !same(&before, &opened))
    wrong(path, "is another directory once it is open");
  struct dirent *entry;
  while ((entry = readdir(dir))) {
    char name[4096], target[4096];
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    snprintf(name, sizeof name, "%s%s%s", path, path[1] ? "/" : "", entry->d_name);
    if (lstat(name, &st) != 0) {
      wrong(name, "is listed and not there");
      continue;
    }
    if (st.st_dev != device) {
      if (!is_root(name)) printf("the host's: %s\n", name);
      continue;
    }
    if (entry->d_ino != st.st_ino) wrong(name, "is listed with another inode number");
    if (entry->d_type != IFTODT(st.st_mode)) wrong(name, "is listed as something else");
    look(name, &st);
    if (S_ISDIR(st.st_mode)) {
      walk(name, device);
    } else if (S_ISLNK(st.st_mode)) {
      links++;
      if (readlink(name, target, sizeof target) <= 0 || stat(name, &st) != 0) wrong(name, "leads nowhere");
    } else {
      walk_file(name, &st);
    }
  }
  closedir(dir);
}

int main(int argc, char **argv) {
  struct stat st;
  roots = argv + 1;
  for (int i = 1; i < argc; i++) {
    if (stat(argv[i], &st) != 0) {
      wrong(argv[i], strerror(errno));
      continue;
    }
    walk(argv[i], st.st_dev);
    printf("%s: %lu files, %lu to write, %lu directories, %lu links\n", argv[i], files, writable, directories, links);
    files = writable = directories = links = 0;
  }
  printf("%d bytes, sum %lx\n", bytes > 0, sum);
  return 0;
}
