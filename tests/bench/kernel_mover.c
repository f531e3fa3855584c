#include "kernel_mover.h"

#include <errno.h>
#include <math.h>
#include <numa.h>
#include <numaif.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_BYTES  4096ull
#define HUGE_BYTES  (2ull << 20)
#define BATCH	    1024 /* addresses in a call of move_pages(2) */

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

/* ---- move_pages(2) --------------------------------------------------------------------------- */

/* What a walk over the memory does and finds. */
struct walk {
	uint64_t step;
	int to;	     /* < 0: only ask */
	int counted; /* the node that is asked about */
	uint64_t on, elsewhere; /* steps */
	unsigned int calls;
};

static int walk_range(pid_t pid, const struct kernel_range *range, struct walk *walk)
{
	static void *address[BATCH];
	static int node[BATCH], status[BATCH];
	uint64_t at = (range->start + walk->step - 1) / walk->step * walk->step;

	while (at + walk->step <= range->end) {
		unsigned long count = 0;

		for (; count < BATCH && at + walk->step <= range->end; at += walk->step) {
			address[count] = (void *)(uintptr_t)at; /* NOLINT(performance-no-int-to-ptr): another process's */
			node[count++] = walk->to;
		}
		/* > 0: so many did not move; the status says which. */
		if (move_pages(pid, count, address, walk->to < 0 ? NULL : node, status, MPOL_MF_MOVE) < 0)
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
	struct walk walk = { .step = PAGE_BYTES, .to = -1, .counted = (int)node };
	int rc = walk_memory(memory, &walk);

	out->on_bytes = (double)(walk.on * PAGE_BYTES);
	out->elsewhere_bytes = (double)(walk.elsewhere * PAGE_BYTES);
	out->huge_bytes = huge_bytes(memory);
	return rc;
}

/* Huge pages first: named by each of their small ones they would be split into batches of one. */
static int move_each(const struct kernel_memory *memory, const struct kernel_place *before, unsigned int to,
		     unsigned int *calls)
{
	struct walk huge = { .step = HUGE_BYTES, .to = (int)to, .counted = (int)to };
	struct walk small = { .step = PAGE_BYTES, .to = (int)to, .counted = (int)to };
	int rc = before->huge_bytes > 0 ? walk_memory(memory, &huge) : 0;

	if (!rc && before->huge_bytes < before->on_bytes + before->elsewhere_bytes)
		rc = walk_memory(memory, &small);
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

void kernel_move_judge(const struct kernel_place *before, const struct kernel_place *after, struct kernel_move *out)
{
	out->moved_bytes = fmax(before->elsewhere_bytes - after->elsewhere_bytes, 0);
	out->moved_ratio = before->elsewhere_bytes > 0 ? out->moved_bytes / before->elsewhere_bytes : NAN;
	/* khugepaged may have made some */
	out->huge_lost = fmax((before->huge_bytes - after->huge_bytes) / (double)HUGE_BYTES, 0);
}

int kernel_move(const char *mover, const struct kernel_memory *memory, unsigned int from, unsigned int to,
		struct kernel_move *out, struct gmig_error *err)
{
	struct kernel_place before, after;
	int rc = kernel_place(memory, to, &before);

	memset(out, 0, sizeof(*out));
	out->seconds = clock_of(CLOCK_MONOTONIC);
	out->cpu_seconds = clock_of(CLOCK_THREAD_CPUTIME_ID);
	if (!rc && !strcmp(mover, kernel_mover_migratepages)) {
		out->calls = 1;
		rc = migrate_process(memory->pid, from, to);
	} else if (!rc) {
		rc = move_each(memory, &before, to, &out->calls);
	}
	out->cpu_seconds = clock_of(CLOCK_THREAD_CPUTIME_ID) - out->cpu_seconds;
	out->seconds = clock_of(CLOCK_MONOTONIC) - out->seconds;
	if (!rc)
		rc = kernel_place(memory, to, &after);
	if (rc)
		return gmig_fail(err, rc, "%s: %s", mover, strerror(-rc));
	kernel_move_judge(&before, &after, out);
	return 0;
}
