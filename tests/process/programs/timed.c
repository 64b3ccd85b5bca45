// SPDX-License-Identifier: GPL-2.0-only
// Timers that send signals, descriptors of signals and of processes, and what goes with a signal.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t taken, value, code;

static void take(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)context;
  taken++;
  value = info->si_value.sival_int;
  code = info->si_code;
}

static void called(union sigval with) { __atomic_store_n((int *)with.sival_ptr, 7, __ATOMIC_SEQ_CST); }

static long now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void sleep_ms(long ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&time, &time) != 0 && errno == EINTR) {
  }
}

static void timers(void) {
  struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
  timer_t timer;
  printf("create %d", timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec spec = {{0, 100000000}, {0, 50000000}}, left;
  printf(", set %d\n", timer_settime(timer, 0, &spec, NULL));
  sleep_ms(480);
  timer_gettime(timer, &left);
  printf("taken %d, value %d, by a timer %d, left %ld ms\n", (int)taken, (int)value, code == SI_TIMER,
         left.it_value.tv_nsec / 1000000);
  // Blocked for 450 ms: one signal, and four more expirations.
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  sigprocmask(SIG_BLOCK, &usr1, NULL);
  taken = 0;
  sleep_ms(450);
  printf("blocked %d, overrun %d\n", (int)taken, timer_getoverrun(timer));
  sigprocmask(SIG_UNBLOCK, &usr1, NULL);
  printf("let in %d, delete %d", (int)taken, timer_delete(timer));
  printf(", gone %d\n", timer_settime(timer, 0, &spec, NULL));

  static int flag;
  struct sigevent thread = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = called};
  thread.sigev_value.sival_ptr = &flag;
  timer_create(CLOCK_REALTIME, &thread, &timer);
  spec = (struct itimerspec){{0, 0}, {1, 0}};
  const long start = now_ms();
  timer_settime(timer, 0, &spec, NULL);
  while (!__atomic_load_n(&flag, __ATOMIC_SEQ_CST)) sleep_ms(10);
  printf("thread after %ld s, flag %d\n", (now_ms() - start) / 1000, flag);
  timer_delete(timer);
}

static void signal_fds(void) {
  sigset_t set;
  struct signalfd_siginfo info;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC);
  const int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = 5}, got = {0};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  struct pollfd poll_fd = {fd, POLLIN, 0};
  long start = now_ms();
  printf("poll %d", poll(&poll_fd, 1, 100));
  printf(" after %ld ms\n", now_ms() - start);
  if (fork() == 0) {
    sleep_ms(200);
    sigqueue(getppid(), SIGUSR2, (union sigval){.sival_int = 11});
    sleep_ms(200);
    _exit(3);
  }
  start = now_ms();
  printf("poll %d", poll(&poll_fd, 1, -1));
  printf(" after %ld ms, read %d", (now_ms() - start) / 10 * 10, read(fd, &info, sizeof info) == sizeof info);
  printf(", signal %d, value %d\n", info.ssi_signo == SIGUSR2, info.ssi_int);
  printf("epoll %d", epoll_wait(epoll, &got, 1, -1));
  printf(" of %d, read %d", got.data.u32, read(fd, &info, sizeof info) == sizeof info);
  printf(", child %d\n", info.ssi_signo == SIGCHLD);
  wait(NULL);
}

static void pid_fds(void) {
  const pid_t child = fork();
  if (child == 0) {
    sleep_ms(300);
    _exit(4);
  }
  const int fd = (int)syscall(SYS_pidfd_open, child, 0);
  struct pollfd poll_fd = {fd, POLLIN, 0};
  const long start = now_ms();
  printf("pidfd %d, poll %d", fd >= 0, poll(&poll_fd, 1, 100));
  printf(", poll %d", poll(&poll_fd, 1, -1));
  siginfo_t info = {0};
  printf(" after %ld ms, wait %d", (now_ms() - start) / 10 * 10, waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
  printf(", status %d\n", info.si_status);
  const pid_t other = fork();
  if (other == 0) {
    pause();
    _exit(0);
  }
  const int other_fd = (int)syscall(SYS_pidfd_open, other, 0);
  int status = 0;
  printf("kill %ld", syscall(SYS_pidfd_send_signal, other_fd, SIGTERM, NULL, 0));
  printf(", reaped %d", waitpid(other, &status, 0) == other);
  printf(", by 15 %d, gone %d\n", WTERMSIG(status) == SIGTERM,
         syscall(SYS_pidfd_open, other, 0) == -1 && errno == ESRCH);
}

static void others(void) {
  // The child is told of the death of its parent, and adopted by us.
  int pipes[2];
  char letter = 0;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (pipe(pipes) != 0) return;
  const pid_t child = fork();
  if (child == 0) {
    if (fork() == 0) {
      sigset_t set;
      int got = 0;
      sigemptyset(&set);
      sigaddset(&set, SIGUSR1);
      sigprocmask(SIG_BLOCK, &set, NULL);
      prctl(PR_SET_PDEATHSIG, SIGUSR1);
      sigwait(&set, &got);
      letter = got == SIGUSR1 ? 'd' : '?';
      _exit(write(pipes[1], &letter, 1) == 1 ? 9 : 1);
    }
    sleep_ms(100);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  int status = 0;
  printf("read %zd", read(pipes[0], &letter, 1));
  printf(" '%c', adopted %d", letter, wait(&status) > 0);
  printf(", status %d\n", WEXITSTATUS(status));
  int dumpable = prctl(PR_SET_DUMPABLE, 0) == 0 ? prctl(PR_GET_DUMPABLE) : -1;
  printf("dumpable %d, mlockall %d, nonsense %d\n", dumpable, mlockall(MCL_CURRENT | MCL_FUTURE), mlockall(64));
  struct {
    struct file_handle head;
    unsigned long long id;
  } handle = {.head.handle_bytes = 8};
  int mount = 0;
  struct stat st;
  const int made = name_to_handle_at(AT_FDCWD, "/sys/fs/cgroup", &handle.head, &mount, 0);
  printf("handle %d, is the id %d", made, stat("/sys/fs/cgroup", &st) == 0 && st.st_ino == handle.id);
  printf(", opens %d\n", open_by_handle_at(AT_FDCWD, &handle.head, O_RDONLY | O_DIRECTORY) >= 0);
  struct sched_param param = {.sched_priority = 1};
  const int round_robin = sched_setscheduler(0, SCHED_RR, &param);
  printf("SCHED_RR %d, SCHED_DEADLINE %d", round_robin, sched_setscheduler(0, 6, &param));
  printf(" %s\n", strerror(errno));
  printf("prctl %d %s\n", prctl(12345, 0, 0, 0, 0), strerror(errno));
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  timers();
  signal_fds();
  pid_fds();
  others();
  return 0;
}
