// SPDX-License-Identifier: GPL-2.0-only
// Never makes a system call again: only the end of the run can end it.
#include <stdio.h>

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  printf("spinning\n");
  for (volatile unsigned long i = 0;; i++) {
  }
}
