#include "kernel_mover.h"

#include <errno.h>
#include <math.h>
#include <numa.h>
#include <numaif.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096ull
#define HUGE_BYTES (2ull << 20)
#define BATCH	   1024 /* addresses in a call of move_pages(2) */
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

static bool touches(const struct kernel_memory *memory, uint64_t start, uint64_t end)
{
	for (unsigned int i = 0; i < memory->ranges; i++)
		if (start < memory->range[i].end && end > memory->range[i].start)
			return true;
	return false;
}

double kernel_huge_bytes(FILE *smaps, const struct kernel_memory *memory)
{
	unsigned long long start, end, kib;
	bool counts = false;
	double bytes = 0;
	char line[512];

	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			counts = touches(memory, start, end);
		else if (counts && sscanf(line, "AnonHugePages: %llu", &kib) == 1)
			bytes += (double)kib * 1024;
	}
	return bytes;
}

static double huge_bytes(const struct kernel_memory *memory)
{
	double bytes = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", memory->pid);
	file = fopen(path, "re");
	if (file) {
		bytes = kernel_huge_bytes(file, memory);
		fclose(file);
	}
	return bytes;
}

void kernel_make_huge(pid_t pid, const struct kernel_range *range)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	/* Block by block: one that fails stops nothing. kernel_move looks how many there are. */
	for (uint64_t at = (range->start + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
	     pidfd >= 0 && at + HUGE_BYTES <= range->end; at += HUGE_BYTES) {
		struct iovec block = {(void *)(uintptr_t)at,
				      HUGE_BYTES}; /* NOLINT(performance-no-int-to-ptr) */

		syscall(SYS_process_madvise, pidfd, &block, 1, MADV_COLLAPSE, 0);
	}
	if (pidfd >= 0)
		close(pidfd);
}

/* ---- move_pages(2) --------------------------------------------------------------------------- */

/* What a walk over the memory does and finds. */
struct walk {
	uint64_t step;
	int to;			/* < 0: only ask */
	int counted;		/* the node that is asked about */
	unsigned int batch;	/* addresses in a call; 0, or too many: BATCH */
	uint64_t on, elsewhere; /* steps */
	unsigned int calls;
};

static int walk_range(pid_t pid, const struct kernel_range *range, struct walk *walk)
{
	static void *address[BATCH];
	static int node[BATCH], status[BATCH];
	unsigned int batch = walk->batch && walk->batch < BATCH ? walk->batch : BATCH;
	uint64_t at = (range->start + walk->step - 1) / walk->step * walk->step;

	while (at + walk->step <= range->end) {
		unsigned long count = 0;

		for (; count < batch && at + walk->step <= range->end; at += walk->step) {
			address[count] = (void *)(uintptr_t)
			    at; /* NOLINT(performance-no-int-to-ptr): another process's */
			node[count++] = walk->to;
		}
		/* > 0: so many did not move; the status says which. */
		if (move_pages(pid, count, address, walk->to < 0 ? NULL : node, status,
			       MPOL_MF_MOVE) < 0)
			return -errno;
		walk->calls++;
		for (unsigned long i = 0; i < count; i++) {
			walk->on += status[i] == walk->counted;
			walk->elsewhere += status[i] >= 0 && status[i] != walk->counted;
		}
	}
	return 0;
}

static int walk_memory(const struct kernel_memory *memory, struct walk *walk)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < memory->ranges; i++)
		rc = walk_range(memory->pid, &memory->range[i], walk);
	return rc;
}

int kernel_place(const struct kernel_memory *memory, unsigned int node, struct kernel_place *out)
{
	struct walk walk = {.step = PAGE_BYTES, .to = -1, .counted = (int)node};
	int rc = walk_memory(memory, &walk);

	out->on_bytes = (double)(walk.on * PAGE_BYTES);
	out->elsewhere_bytes = (double)(walk.elsewhere * PAGE_BYTES);
	out->huge_bytes = huge_bytes(memory);
	return rc;
}

/* Huge pages first: named by each of their small ones they would be split into batches of one. */
static int move_each(const struct kernel_order *order, const struct kernel_place *before,
		     unsigned int *calls)
{
	int to = (int)order->to;
	struct walk huge = {.step = HUGE_BYTES, .to = to, .counted = to, .batch = order->batch};
	struct walk small = {.step = PAGE_BYTES, .to = to, .counted = to, .batch = order->batch};
	int rc = before->huge_bytes > 0 ? walk_memory(order->memory, &huge) : 0;

	if (!rc && before->huge_bytes < before->on_bytes + before->elsewhere_bytes)
		rc = walk_memory(order->memory, &small);
	*calls = huge.calls + small.calls;
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
static int move(const struct kernel_order *order, const struct kernel_place *before,
		unsigned int *calls)
{
	if (strcmp(order->mover, kernel_mover_migratepages))
		return move_each(order, before, calls);
	*calls = 1;
	return migrate_process(order->memory->pid, order->from, order->to);
}

void kernel_move_judge(const struct kernel_place *before, const struct kernel_place *after,
		       struct kernel_move *out)
{
	out->moved_bytes = fmax(before->elsewhere_bytes - after->elsewhere_bytes, 0);
	out->moved_ratio =
	    before->elsewhere_bytes > 0 ? out->moved_bytes / before->elsewhere_bytes : NAN;
	/* khugepaged may have made some */
	out->thp_split = fmax((before->huge_bytes - after->huge_bytes) / (double)HUGE_BYTES, 0);
}

int kernel_move(const struct kernel_order *order, struct kernel_move *out, struct gmig_error *err)
{
	struct kernel_place before, after;
	int rc = kernel_place(order->memory, order->to, &before);

	memset(out, 0, sizeof(*out));
	instructions_start(order->instructions);
	out->seconds = clock_of(CLOCK_MONOTONIC);
	out->cpu_seconds = clock_of(CLOCK_THREAD_CPUTIME_ID);
	if (!rc)
		rc = move(order, &before, &out->calls);
	out->cpu_seconds = clock_of(CLOCK_THREAD_CPUTIME_ID) - out->cpu_seconds;
	out->seconds = clock_of(CLOCK_MONOTONIC) - out->seconds;
	instructions_stop(order->instructions);
	if (!rc)
		rc = kernel_place(order->memory, order->to, &after);
	if (rc)
		return gmig_fail(err, rc, "%s: %s", order->mover, strerror(-rc));
	kernel_move_judge(&before, &after, out);
	return 0;
}
