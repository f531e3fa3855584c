#include "kernel_mover.h"

#include <errno.h>
#include <math.h>
#include <numa.h>
#include <numaif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_BYTES  4096ull
#define HUGE_BYTES  (2ull << 20)
#define ENOUGH	    0.9 /* of the memory: the rate of less would be that of something else */
#define BATCH	    1024 /* addresses in a call of move_pages(2) */

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

int kernel_move(const char *mover, pid_t pid, const struct kernel_range *range, bool huge, unsigned int from,
		unsigned int to, struct kernel_move *out, struct gmig_error *err)
{
	double before = 0, after = 0, huge_before = huge_pages(pid);
	bool all_huge = huge && huge_before * (double)HUGE_BYTES >= (double)(range->end - range->start);
	uint64_t ignored = 0; /* what is asked afterwards counts */
	int rc = bytes_on(pid, range, to, &before);

	memset(out, 0, sizeof(*out));
	out->seconds = clock_of(CLOCK_MONOTONIC);
	out->cpu_seconds = clock_of(CLOCK_THREAD_CPUTIME_ID);
	if (!rc && !strcmp(mover, kernel_mover_migratepages)) {
		out->calls = 1;
		rc = migrate_process(pid, from, to);
	} else if (!rc) {
		rc = each_page(pid, range, all_huge ? HUGE_BYTES : PAGE_BYTES, (int)to, (int)to, &ignored, &out->calls);
	}
	out->cpu_seconds = clock_of(CLOCK_THREAD_CPUTIME_ID) - out->cpu_seconds;
	out->seconds = clock_of(CLOCK_MONOTONIC) - out->seconds;
	if (!rc)
		rc = bytes_on(pid, range, to, &after);
	if (rc)
		return gmig_fail(err, rc, "%s: %s", mover, strerror(-rc));
	out->moved_bytes = after - before;
	if (out->moved_bytes < ENOUGH * (double)(range->end - range->start))
		return gmig_fail(err, -EIO, "%s moved %.0f of %.0f MiB", mover, out->moved_bytes / (1 << 20),
				 (double)(range->end - range->start) / (1 << 20));
	out->huge_lost = fmax(huge_before - huge_pages(pid), 0); /* khugepaged may have made some */
	return 0;
}
