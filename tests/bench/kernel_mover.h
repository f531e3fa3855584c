/*
 * The kernel's own ways to move a running process's memory between nodes, to compare with: move_pages(2), and
 * migrate_pages(2) as migratepages(8) uses it. For a guest on plain memory. One thread.
 */
#ifndef BENCH_KERNEL_MOVER_H
#define BENCH_KERNEL_MOVER_H

#include "../../migrate/gmig_error.h"
#include "instructions.h"

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
 * As many huge pages as the kernel makes of it. Of memory that is read before it is written kernels before 6.13 make small ones:
 * they split the huge zero page.
 */
void kernel_make_huge(pid_t pid, const struct kernel_range *range);

struct kernel_order {
	const char *mover;
	pid_t pid;
	struct kernel_range range;
	bool huge; /* one address for each 2 MiB if all of the range is huge pages; else every 4 KiB page */
	unsigned int from, to;
	struct instructions *instructions; /* NULL, or started and stopped around the calls */
};

/*
 * migratepages moves all of the process, but only the range is counted. What the system call says: -EPERM, -ENODEV; -EIO a tenth
 * of the range or more did not move.
 */
int kernel_move(const struct kernel_order *order, struct kernel_move *out, struct gmig_error *err);

#endif
