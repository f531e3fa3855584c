#include "kernel_mover.h"

#include <errno.h>
#include <math.h>
#include <numa.h>
#include <numaif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES  4096ull
#define HUGE_BYTES  (2ull << 20)
#define ENOUGH	    0.9 /* of the memory: the rate of less would be that of something else */
#define BATCH	    1024 /* addresses in a call of move_pages(2) */
/* glibc 2.36 lacks it. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

const char kernel_mover_move_pages[] = "move_pages", kernel_mover_migratepages[] = "migratepages";

bool kernel_mover_is(const char *mover)
{
	return !strcmp(mover, kernel_mover_move_pages) || !strcmp(mover, kernel_mover_migratepages);
}

/* ---- What /proc tells ------------------------------------------------------------------------ */

static double huge_pages(pid_t pid)
{
	unsigned long long kib = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "AnonHugePages: %llu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return (double)kib / 2048;
}

void kernel_make_huge(pid_t pid, const struct kernel_range *range)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	/* Block by block: one that fails stops nothing. kernel_move looks how many there are. */
	for (uint64_t at = (range->start + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
	     pidfd >= 0 && at + HUGE_BYTES <= range->end; at += HUGE_BYTES) {
		struct iovec block = { (void *)(uintptr_t)at, HUGE_BYTES }; /* NOLINT(performance-no-int-to-ptr) */

		syscall(SYS_process_madvise, pidfd, &block, 1, MADV_COLLAPSE, 0);
	}
	if (pidfd >= 0)
		close(pidfd);
}

/* ---- move_pages(2) --------------------------------------------------------------------------- */

/* to < 0: only ask. Adds pages of `step` bytes that lie on node `counted` afterwards; calls are counted. */
static int each_page(pid_t pid, const struct kernel_range *range, uint64_t step, int to, int counted, uint64_t *pages,
		     unsigned int *calls)
{
	static void *address[BATCH];
	static int node[BATCH], status[BATCH];
	uint64_t at = (range->start + step - 1) / step * step;

	while (at + step <= range->end) {
		unsigned long count = 0;

		for (; count < BATCH && at + step <= range->end; at += step) {
			address[count] = (void *)(uintptr_t)at; /* NOLINT(performance-no-int-to-ptr): another process's */
			node[count++] = to;
		}
		/* > 0: so many did not move; the status says which. */
		if (move_pages(pid, count, address, to < 0 ? NULL : node, status, MPOL_MF_MOVE) < 0)
			return -errno;
		(*calls)++;
		for (unsigned long i = 0; i < count; i++)
			*pages += status[i] == counted;
	}
	return 0;
}

static int bytes_on(pid_t pid, const struct kernel_range *range, unsigned int node, double *bytes)
{
	unsigned int calls = 0;
	uint64_t pages = 0;
	int rc = each_page(pid, range, PAGE_BYTES, -1, (int)node, &pages, &calls);

	*bytes = (double)(pages * PAGE_BYTES);
	return rc;
}

/* ---- migrate_pages(2) ------------------------------------------------------------------------ */

static int migrate_process(pid_t pid, unsigned int from, unsigned int to)
{
	struct bitmask *source = numa_allocate_nodemask(), *target = numa_allocate_nodemask();
	int rc;

	numa_bitmask_setbit(source, from);
	numa_bitmask_setbit(target, to);
	rc = numa_migrate_pages(pid, source, target) < 0 ? -errno : 0;
	numa_bitmask_free(source);
	numa_bitmask_free(target);
	return rc;
}

static double clock_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The calls themselves. */
static int move(const struct kernel_order *order, bool all_huge, unsigned int *calls)
{
	uint64_t ignored = 0; /* what is asked afterwards counts */

	if (strcmp(order->mover, kernel_mover_migratepages))
		return each_page(order->pid, &order->range, all_huge ? HUGE_BYTES : PAGE_BYTES, (int)order->to, (int)order->to,
				 &ignored, calls);
	*calls = 1;
	return migrate_process(order->pid, order->from, order->to);
}

int kernel_move(const struct kernel_order *order, struct kernel_move *out, struct gmig_error *err)
{
	double bytes = (double)(order->range.end - order->range.start);
	double before = 0, after = 0, huge_before = huge_pages(order->pid);
	bool all_huge = order->huge && huge_before * (double)HUGE_BYTES >= bytes;
	int rc = bytes_on(order->pid, &order->range, order->to, &before);

	memset(out, 0, sizeof(*out));
	instructions_start(order->instructions);
	out->seconds = clock_of(CLOCK_MONOTONIC);
	out->cpu_seconds = clock_of(CLOCK_THREAD_CPUTIME_ID);
	if (!rc)
		rc = move(order, all_huge, &out->calls);
	out->cpu_seconds = clock_of(CLOCK_THREAD_CPUTIME_ID) - out->cpu_seconds;
	out->seconds = clock_of(CLOCK_MONOTONIC) - out->seconds;
	instructions_stop(order->instructions);
	if (!rc)
		rc = bytes_on(order->pid, &order->range, order->to, &after);
	if (rc)
		return gmig_fail(err, rc, "%s: %s", order->mover, strerror(-rc));
	out->moved_bytes = after - before;
	if (out->moved_bytes < ENOUGH * bytes)
		return gmig_fail(err, -EIO, "%s moved %.0f of %.0f MiB", order->mover, out->moved_bytes / (1 << 20),
				 bytes / (1 << 20));
	out->huge_lost = fmax(huge_before - huge_pages(order->pid), 0); /* khugepaged may have made some */
	return 0;
}
