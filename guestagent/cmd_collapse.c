/* collapse: give a process huge pages where it has small ones, by MADV_COLLAPSE. */
#include "agent.h"
#include "maps.h"
#include "move.h"
#include "ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_PAGES (AGENT_HUGE_BYTES / AGENT_PAGE_BYTES)
#define MAX_RANGES  1024

struct collapse {
	pid_t pid;
	int pidfd;
	struct agent_range *ranges;
	size_t count, capacity;
};

/* Whole blocks within a mapping. */
static int add_mapping(struct collapse *collapse, const struct agent_vma *vma)
{
	struct agent_range range = {
	    .start = (vma->start + AGENT_HUGE_BYTES - 1) & ~(AGENT_HUGE_BYTES - 1),
	    .end = vma->end & ~(AGENT_HUGE_BYTES - 1),
	};

	if (!vma->anonymous || vma->page_bytes != AGENT_PAGE_BYTES || !vma->node_count ||
	    range.start >= range.end)
		return 0;
	if (collapse->count == collapse->capacity) {
		size_t capacity = collapse->capacity ? 2 * collapse->capacity : 64;
		struct agent_range *bigger = realloc(collapse->ranges, capacity * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		collapse->ranges = bigger;
		collapse->capacity = capacity;
	}
	collapse->ranges[collapse->count++] = range;
	return 0;
}

static int find_mappings(struct collapse *collapse, struct gmig_error *err)
{
	struct agent_vma *vma;
	AGENT_MAPS maps = NULL;
	int rc = agent_maps_open(collapse->pid, false, &maps, err);

	if (rc)
		return rc;
	vma = malloc(sizeof(*vma));
	while (vma && !rc && agent_maps_next(maps, vma))
		rc = add_mapping(collapse, vma);
	rc = !vma || rc ? gmig_fail(err, -ENOMEM, "out of memory") : agent_maps_end(maps, err);
	free(vma);
	return rc;
}

/* 1: some page of the block is there; 0: none, and nothing to collapse; -errno: that is not known. */
static int block_present(const struct collapse *collapse, uint64_t at)
{
	void *pages[BLOCK_PAGES];
	int where[BLOCK_PAGES], rc;

	for (size_t i = 0; i < BLOCK_PAGES; i++)
		pages[i] = (void *)(uintptr_t)(at + i * AGENT_PAGE_BYTES); // NOLINT
	rc = agent_move_exact(collapse->pid, BLOCK_PAGES, pages, NULL, where, AGENT_MPOL_MF_MOVE);
	if (rc)
		return rc;
	for (size_t i = 0; i < BLOCK_PAGES; i++)
		if (where[i] >= 0)
			return 1;
	return 0;
}

/* *call: what has failed, if it has. */
static long collapse_block(const struct collapse *collapse, uint64_t at, enum agent_call *call)
{
	const struct iovec block = {.iov_base = (void *)(uintptr_t)at, // NOLINT
				    .iov_len = AGENT_HUGE_BYTES};

	int rc = block_present(collapse, at);

	*call = AGENT_CALL_MOVE_PAGES;
	if (rc <= 0)
		return rc;
	*call = AGENT_CALL_MADVISE;
	return agent_sys->process_madvise(collapse->pidfd, &block, 1, AGENT_MADV_COLLAPSE);
}

static int collapse_run(struct agent_job *job, void *context, struct gmig_error *err)
{
	const struct collapse *collapse = context;
	struct agent_job_counts counts = {0};

	for (size_t i = 0; i < collapse->count; i++)
		counts.total_bytes += collapse->ranges[i].end - collapse->ranges[i].start;
	for (size_t i = 0; i < collapse->count; i++)
		for (uint64_t at = collapse->ranges[i].start;
		     at < collapse->ranges[i].end && !agent_job_cancelled(job);
		     at += AGENT_HUGE_BYTES) {
			enum agent_call call;
			long rc = collapse_block(collapse, at, &call);

			if (rc == -ESRCH || rc == -EPERM || rc == -ENOSYS)
				return agent_call_failed_pid(err, call, (int)rc, collapse->pid);
			if (rc > 0)
				counts.moved_bytes += AGENT_HUGE_BYTES;
			else if (rc < 0)
				agent_remaining_add(&counts.remaining, (int)rc, BLOCK_PAGES);
			counts.done_bytes += AGENT_HUGE_BYTES;
			agent_job_publish(job, &counts);
			if (rc > 0)
				agent_job_pace(job, AGENT_HUGE_BYTES);
		}
	return 0;
}

static void collapse_describe(const void *context, json_t *object)
{
	const struct collapse *collapse = context;

	json_object_set_new(object, "pid", json_integer(collapse->pid));
}

static void collapse_end(void *context)
{
	struct collapse *collapse = context;

	if (collapse->pidfd >= 0)
		close(collapse->pidfd);
	collapse->pidfd = -1;
}

static void collapse_free(void *context)
{
	struct collapse *collapse = context;

	collapse_end(collapse);
	free(collapse->ranges);
	free(collapse);
}

static const struct agent_job_ops collapse_ops = {
    .kind = "collapse",
    .run = collapse_run,
    .describe = collapse_describe,
    .end = collapse_end,
    .free = collapse_free,
};

static int parse_collapse(struct agent *agent, const json_t *arguments, struct collapse *collapse,
			  struct gmig_error *err)
{
	const json_t *ranges = json_object_get(arguments, "ranges");
	struct agent_process process;
	int rc = agent_get_process(agent, arguments, &process, err);

	if (rc)
		return rc;
	if (process.entry != process.pid)
		return gmig_fail(err, -EOPNOTSUPP,
				 "the main thread of process %d has ended, and process_madvise(2) "
				 "reaches a process by that alone: EOPNOTSUPP (%d)",
				 (int)process.pid, EOPNOTSUPP);
	collapse->pid = process.pid;
	collapse->pidfd = agent_sys->pidfd_open(process.pid);
	if (collapse->pidfd < 0)
		return agent_call_failed_pid(err, AGENT_CALL_MADVISE, collapse->pidfd, process.pid);
	/* The descriptor holds on to whoever has the pid now: is that still who was checked? */
	rc = agent_process_check(process.pid, process.start_time, err);
	if (rc)
		return rc;
	if (ranges)
		return agent_ranges_from_json(ranges, AGENT_HUGE_BYTES, MAX_RANGES,
					      &collapse->ranges, &collapse->count, err);
	return find_mappings(collapse, err);
}

AGENT_RUN(agent_run_collapse)
{
	struct collapse *collapse = calloc(1, sizeof(*collapse));
	int64_t rate = 0;
	int rc;

	if (!collapse)
		return gmig_fail(err, -ENOMEM, "out of memory");
	collapse->pidfd = -1;
	rc = agent_get_integer(arguments, "rate", 0, INT64_MAX, &rate, err);
	if (!rc)
		rc = parse_collapse(agent, arguments, collapse, err);
	if (rc) {
		collapse_free(collapse);
		return rc;
	}
	return agent_jobs_start(agent->jobs, &collapse_ops, collapse,
				agent_conf_rate(&agent->conf, (uint64_t)rate), result, err);
}
