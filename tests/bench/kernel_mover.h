/*
 * The kernel's own ways to move a running process's memory between nodes, to compare with: move_pages(2), and
 * migrate_pages(2) as migratepages(8) uses it. For a guest on plain memory. One thread.
 */
#ifndef BENCH_KERNEL_MOVER_H
#define BENCH_KERNEL_MOVER_H

#include "../../migrate/gmig_error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What cells call them. */
extern const char kernel_mover_move_pages[], kernel_mover_migratepages[];
/* mover: a cell's; false: gmig's own. */
bool kernel_mover_is(const char *mover);

struct kernel_move {
	double seconds, cpu_seconds; /* of the calls; CPU time of this thread in them */
	double moved_bytes;	     /* on node `to` now, and not before */
	double huge_lost;	     /* huge pages fewer than before */
	unsigned int calls;
};

struct kernel_range {
	uint64_t start, end; /* in the process */
};

/*
 * migratepages moves all of the process, but only the range is counted. huge: one address for each 2 MiB if all of the range is
 * huge pages; else every 4 KiB page. What the system call says: -EPERM, -ENODEV; -EIO a tenth of the range or more did not move.
 */
int kernel_move(const char *mover, pid_t pid, const struct kernel_range *range, bool huge, unsigned int from,
		unsigned int to, struct kernel_move *out, struct gmig_error *err);

#endif
