#include "kernel_mover.h"
#include "clocks.h"

#include <errno.h>
#include <math.h>
#include <numaif.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

/* ---- Where it lies --------------------------------------------------------------------------- */

/* Of the mappings, what a range has of them. */
void kernel_clip(struct process_maps *maps, const struct kernel_memory *memory)
{
	size_t kept = 0;

	for (size_t i = 0; i < maps->count; i++) {
		struct process_mapping *mapping = &maps->mapping[i];

		for (unsigned int r = 0; r < memory->ranges; r++) {
			const struct kernel_range *range = &memory->range[r];

			if (mapping->start >= range->end || mapping->end <= range->start)
				continue;
			if (mapping->start < range->start)
				mapping->start = range->start;
			if (mapping->end > range->end)
				mapping->end = range->end;
			maps->mapping[kept++] = *mapping;
			break;
		}
	}
	maps->count = kept;
}

static void sum(const struct process_usage *usage, const struct process_maps *maps,
		unsigned int node, struct kernel_place *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned int n = 0; n < GMIG_MAX_NODES; n++)
		*(n == node ? &out->on_bytes : &out->elsewhere_bytes) +=
		    (double)process_usage_on(usage, n);
	for (size_t i = 0; i < maps->count; i++)
		out->huge_bytes += (double)maps->mapping[i].huge_bytes;
}

int kernel_place(const struct kernel_memory *memory, unsigned int node, struct kernel_place *out)
{
	struct process_maps maps = {0};
	struct process_usage usage;
	struct process *process;
	int rc = process_open(NULL, memory->pid, &process, NULL);

	memset(out, 0, sizeof(*out));
	if (rc)
		return rc;
	rc = process_maps_read(process, &maps, NULL);
	if (!rc) {
		kernel_clip(&maps, memory);
		rc = process_usage_read(process, &maps, &usage, NULL);
	}
	if (!rc)
		sum(&usage, &maps, node, out);
	process_maps_free(&maps);
	process_close(process);
	return rc;
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

static unsigned int calls_made;

static long counted_call(pid_t pid, unsigned long count, void **pages, const int *nodes,
			 int *status, int flags)
{
	calls_made += nodes != NULL;
	return gmig_sys_real.move_pages(pid, count, pages, nodes, status, flags);
}

/* All of it to a node, named by the first address of each `step` bytes. */
static int walk_range(const struct kernel_order *order, const struct kernel_range *range,
		      uint64_t step)
{
	static void *address[BATCH];
	static int node[BATCH], status[BATCH];
	const struct movepages by = {
	    .call = counted_call, .pid = order->memory->pid, .flags = MPOL_MF_MOVE};
	unsigned int batch = order->batch && order->batch < BATCH ? order->batch : BATCH;
	uint64_t at = (range->start + step - 1) / step * step;
	int rc = 0;

	while (!rc && at + step <= range->end) {
		size_t count = 0;

		for (; count < batch && at + step <= range->end; at += step) {
			address[count] = (void *)(uintptr_t)
			    at; /* NOLINT(performance-no-int-to-ptr): another process's */
			node[count++] = (int)order->to;
		}
		rc = movepages_exact(&by, count, address, node, status);
	}
	return rc;
}

static int walk_memory(const struct kernel_order *order, uint64_t step)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < order->memory->ranges; i++)
		rc = walk_range(order, &order->memory->range[i], step);
	return rc;
}

/* Huge pages first: named by each of their small ones they would be split into batches of one. */
static int move_each(const struct kernel_order *order, const struct kernel_place *before)
{
	int rc = before->huge_bytes > 0 ? walk_memory(order, HUGE_BYTES) : 0;

	if (!rc && before->huge_bytes < before->on_bytes + before->elsewhere_bytes)
		rc = walk_memory(order, PAGE_BYTES);
	return rc;
}

/* ---- migrate_pages(2) ------------------------------------------------------------------------ */

static int migrate_process(pid_t pid, unsigned int from, unsigned int to)
{
	const unsigned long source = 1ul << from, target = 1ul << to;

	return syscall(SYS_migrate_pages, pid, 64, &source, &target) < 0 ? -errno : 0;
}

/* The calls themselves. */
static int move(const struct kernel_order *order, const struct kernel_place *before)
{
	calls_made = 0;
	if (strcmp(order->mover, kernel_mover_migratepages))
		return move_each(order, before);
	calls_made = 1;
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
	out->seconds = clock_seconds(CLOCK_MONOTONIC);
	out->cpu_seconds = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
	if (!rc)
		rc = move(order, &before);
	out->calls = calls_made;
	out->cpu_seconds = clock_seconds(CLOCK_THREAD_CPUTIME_ID) - out->cpu_seconds;
	out->seconds = clock_seconds(CLOCK_MONOTONIC) - out->seconds;
	instructions_stop(order->instructions);
	if (!rc)
		rc = kernel_place(order->memory, order->to, &after);
	if (rc)
		return gmig_fail(err, rc, "%s: %s", order->mover, strerror(-rc));
	kernel_move_judge(&before, &after, out);
	return 0;
}
