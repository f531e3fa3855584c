/*
 * The process of fake_pages.h as libgmig's struct process sees it: a system whose /proc is a
 * directory, whose pidfd ends when a test says so, and whose clock is a number.
 */
#ifndef FAKE_PROCESS_H
#define FAKE_PROCESS_H

#include "../../migrate/memory/process.h"
#include "fake_pages.h"
#include "fake_proc.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#define FAKE_END (FAKE_START + FAKE_PAGES * FAKE_PAGE_BYTES)

extern struct gmig_sys fake_sys;
extern bool fake_no_pidfd;		 /* as on Linux before 5.3 */
extern bool fake_no_scan;		 /* as on Linux before 6.7 */
extern bool fake_no_numa_maps;		 /* as without CONFIG_NUMA */
extern uint64_t fake_ns, fake_ns_a_page; /* the clock; what moving a page costs */
extern size_t fake_heap_pages;		 /* to numa_maps the first pages are another mapping */
extern uint64_t fake_scanned;		 /* pages that PAGEMAP_SCAN has walked over */

int fake_open_proc(pid_t pid, const char *name);

/* What fake_sys does: the clock, and move_pages(2) that takes fake_ns_a_page. */
uint64_t fake_clock(void);
long fake_timed_move(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		     int flags);

/* One mapping over all pages; more: what else smaps says of it. */
void fake_smaps(const char *more);

/* Its /proc/PID/stat: the start time tells one process from the next with its pid. */
void fake_stat(unsigned long long start_time);

/* The cpuset of a thread. */
void fake_thread(int tid, const char *nodes);

void fake_process_setup(void);
/* The same on a host of four nodes, 0 to 3, each as far from each other one. */
void fake_process_setup_on_four_nodes(void);
void fake_process_ends(void); /* its pidfd becomes readable */
void fake_process_teardown(void);

#endif
