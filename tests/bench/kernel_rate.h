/*
 * How fast this machine's own Linux migrates pages, where there is one node only and move_pages(2) has nothing to move
 * between: memory is filled with warm pages, and contiguous 1 GiB pages are asked for; to make room the kernel migrates
 * what lies in the way (mm/compaction.c, mm/page_alloc.c: alloc_contig_range). Needs root; fills most of the free
 * memory for some seconds and gives everything back. One thread.
 */
#ifndef BENCH_KERNEL_RATE_H
#define BENCH_KERNEL_RATE_H

#include "../../migrate/gmig_error.h"
#include "stats.h"

#include <stdint.h>

#define KERNEL_RATE_REPS 5

struct kernel_rate {
	unsigned int count; /* repetitions in which it moved enough to speak of; 0: not measured */
	double bytes_per_second[KERNEL_RATE_REPS];
	uint64_t moved_bytes, failed_pages; /* all repetitions; a page is 4 KiB */
};

enum kernel_rate_page { KERNEL_RATE_2M, KERNEL_RATE_4K, KERNEL_RATE_PAGES };
extern const char *const kernel_rate_page_names[KERNEL_RATE_PAGES];

/*
 * 0 when it can be measured here. -EPERM not root, -EOPNOTSUPP no 1 GiB pages, -EBUSY some are in use already, -ENOMEM under
 * 6 GiB are free.
 */
int kernel_rate_check(struct gmig_error *err);
/* SIGINT and SIGTERM wait until what was asked for is given back. */
int kernel_rate_measure(enum kernel_rate_page page, struct kernel_rate *out,
			struct gmig_error *err);
void kernel_rate_summary(const struct kernel_rate *rate, struct stats_summary *out);

#endif
