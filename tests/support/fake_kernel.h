/*
 * A kernel for the agent's tests: the process of fake_pages.h, and a /proc and a /sys in a
 * directory. Jobs may move at the same time.
 */
#ifndef FAKE_KERNEL_H
#define FAKE_KERNEL_H

#include "../../guestagent/sys.h"
#include "fake_pages.h"
#include "fake_proc.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The clock of agent_sys, which jobs move on. */
uint64_t fake_now(void);
extern struct agent_sys fake_sys_calls; /* agent_sys, between setup and teardown */

/* The files follow what has been moved. */
void fake_write_maps(void);

/* Time passes, and other threads run. */
void fake_sleep(uint64_t ns);

/* The process, with `start_time`, and two nodes with memory. */
void fake_process(unsigned long long start_time);

/* This program in its /proc, which nobody asks for but the agent itself, in a cgroup of version 2 if it is not NULL. */
void fake_self(const char *cgroup);

void fake_kernel_setup(void);
void fake_kernel_teardown(void);

#endif
