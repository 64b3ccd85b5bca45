// SPDX-License-Identifier: GPL-2.0-only
// Waits for the records of events.bpf.o in every way there is.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct seen {
  unsigned pid, tgid, leader, parent, threads;
  char comm[16];
};

static int wakeups, records;
static struct seen last;

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static int on_record(void *context, void *data, size_t size) {
  (void)context;
  if (size == sizeof last) last = *(struct seen *)data;
  records++;
  return 0;
}

static void on_sample(void *context, int cpu, void *data, __u32 size) {
  (void)context;
  (void)cpu;
  last = *(struct seen *)data;
  if (size >= sizeof last) records++;
}

static void on_lost(void *context, int cpu, __u64 count) {
  (void)context;
  printf("lost %llu on CPU %d\n", count, cpu);
}

static void *sleeper(void *unused) {
  prctl(PR_SET_NAME, "events-2");
  for (int i = 0; i < 5; i++) {
    const struct timespec pause = {0, 100000000};
    nanosleep(&pause, NULL);
  }
  return unused;
}

// Counts what comes while another thread wakes up five times, every 100 ms.
static void count(const char *name, int (*wait)(void *), void *source) {
  pthread_t thread;
  records = wakeups = 0;
  pthread_create(&thread, NULL, sleeper, NULL);
  const long long start = now_ms();
  while (records < 5 && now_ms() - start < 3000)
    if (wait(source) > 0) wakeups++;
  const long long took = now_ms() - start;
  pthread_join(thread, NULL);
  printf("%s: %d records, %d wakeups, %lld ms\n", name, records, wakeups, took / 100 * 100);
}

static int wait_ring(void *ring) { return ring_buffer__poll(ring, 2000); }
static int wait_perf(void *perf) { return perf_buffer__poll(perf, 2000); }
static int wait_poll(void *ring) {
  struct pollfd fds[2] = {{ring_buffer__epoll_fd(ring), POLLIN, 0}, {-1, POLLIN, 0}};
  const int ready = poll(fds, 2, 2000);
  ring_buffer__consume(ring);
  return ready;
}
static int map_fd;
static int wait_map(void *ring) {
  struct pollfd fds[2] = {{map_fd, POLLIN | POLLOUT, 0}, {0, 0, 0}};
  fds[1].fd = -1;
  const int ready = poll(fds, 2, 2000);
  if (ready != (fds[0].revents == POLLIN)) printf("revents %#x\n", fds[0].revents);
  ring_buffer__consume(ring);
  return ready;
}

static int wait_select(void *ring) {
  fd_set set, room;
  FD_ZERO(&set);
  FD_ZERO(&room);
  FD_SET(map_fd, &set);
  FD_SET(map_fd, &room);
  struct timeval limit = {2, 0};
  const int ready = select(map_fd + 1, &set, &room, NULL, &limit);
  if (ready != FD_ISSET(map_fd, &set) || FD_ISSET(map_fd, &room)) printf("select %d\n", ready);
  ring_buffer__consume(ring);
  return ready;
}

// Counters are read as their format says, maps not at all.
static void read_counter(void) {
  struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_CPU_CLOCK};
  attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED;
  const int fd = (int)syscall(SYS_perf_event_open, &attr, -1, 1, -1, 0);
  unsigned long long first[2] = {0}, second[2] = {0};
  if (fd < 0 || read(fd, first, sizeof first) != sizeof first) printf("no counter %d\n", fd);
  usleep(1000);
  const ssize_t bytes = read(fd, second, sizeof second);
  const int advanced = second[0] > first[0] + 1000000 - 1 && second[0] == second[1];
  const int too_short = read(fd, first, 8) < 0 ? -errno : 0;
  printf("counter %zd%s, short %d, map %d\n", bytes, advanced ? " advanced" : "", too_short,
         read(map_fd, first, 8) < 0 ? -errno : 0);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct bpf_object *object = bpf_object__open_file(argv[1], NULL);
  if (!object || bpf_object__load(object) != 0) return 1;
  struct bpf_program *program = bpf_object__find_program_by_name(object, "on_switch");
  struct bpf_link *link = bpf_program__attach(program);
  map_fd = bpf_object__find_map_fd_by_name(object, "ring");
  struct ring_buffer *ring = ring_buffer__new(map_fd, on_record, NULL, NULL);
  if (!link || !ring) return 1;
  count("epoll", wait_ring, ring);
  count("poll of epoll", wait_poll, ring);
  count("poll", wait_map, ring);
  count("select", wait_select, ring);
  printf("same process %d, own pid %d, leader %d, parent %d, threads %u, %s\n", last.tgid == (unsigned)getpid(),
         last.pid != last.tgid, last.leader == last.tgid, last.parent == (unsigned)getppid(), last.threads, last.comm);
  const int perf_map = bpf_object__find_map_fd_by_name(object, "perf");
  struct perf_buffer *perf = perf_buffer__new(perf_map, 2, on_sample, on_lost, NULL, NULL);
  if (!perf) return 1;
  count("perf buffer", wait_perf, perf);
  size_t size;
  printf("arena mapped %d\n", bpf_map__initial_value(bpf_object__find_map_by_name(object, "arena"), &size) != NULL);
  read_counter();
  perf_buffer__free(perf);
  ring_buffer__free(ring);
  bpf_link__destroy(link);
  bpf_object__close(object);
  return 0;
}
