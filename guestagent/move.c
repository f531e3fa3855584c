/* Moving pages, see move.h. */
#include "move.h"
#include "maps.h"
#include "proc.h"
#include "sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_PAGES   MOVEPAGES_CHUNK_UNITS
#define PASS_PAUSE_NS 10000000ull

/* ---- move_pages(2) --------------------------------------------------------------------------- */

int agent_move_exact(pid_t pid, size_t count, void **pages, const int *nodes, int *status,
		     int flags)
{
	const struct movepages by = {.call = agent_sys->move_pages, .pid = pid, .flags = flags};

	return nodes ? movepages_exact(&by, count, pages, nodes, status)
		     : movepages_ask(&by, count, pages, status);
}

/* ---- A process, mapping by mapping ----------------------------------------------------------- */

struct range {
	uint64_t start, end, page_bytes;
	bool huge; /* has transparent huge pages */
};

struct walk {
	struct agent_job *job;
	const struct agent_move *move;
	pid_t pid;
	pid_t entry; /* the thread by which its memory is reached, see proc.h */
	uint64_t start_time;
	int flags;
	int target[AGENT_MAX_NODES]; /* by source node; -1: stays */
	struct agent_job_counts counts;
	struct agent_remaining remaining; /* of this pass over this process */
	bool retry;			  /* some of it may move in another pass */
	struct range *ranges;
	size_t range_count, range_capacity;
	struct movepages_chunk chunk;
};

static int target_of(const struct walk *walk, int node)
{
	return node >= 0 && node < AGENT_MAX_NODES ? walk->target[node] : -1;
}

static int want_target(const void *opaque, size_t unit, int node)
{
	(void)unit;
	return target_of(opaque, node);
}

static uint64_t bytes_to_move(const struct walk *walk, const struct agent_vma *vma)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < vma->node_count; i++)
		if (target_of(walk, vma->node[i].node) >= 0)
			bytes += vma->node[i].pages * vma->page_bytes;
	return bytes;
}

static int add_range(struct walk *walk, const struct agent_vma *vma)
{
	if (walk->range_count == walk->range_capacity) {
		size_t capacity = walk->range_capacity ? 2 * walk->range_capacity : 64;
		struct range *bigger = realloc(walk->ranges, capacity * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		walk->ranges = bigger;
		walk->range_capacity = capacity;
	}
	walk->ranges[walk->range_count++] = (struct range){.start = vma->start,
							   .end = vma->end,
							   .page_bytes = vma->page_bytes,
							   .huge = vma->huge_bytes > 0};
	return 0;
}

/* Which mappings have pages that are to move? *bytes: how much. */
static int find_ranges(struct walk *walk, uint64_t *bytes, struct gmig_error *err)
{
	struct agent_vma *vma;
	AGENT_MAPS maps = NULL;
	int rc = agent_maps_open(walk->entry, true, &maps, err);

	*bytes = 0;
	walk->range_count = 0;
	if (rc)
		return rc;
	vma = malloc(sizeof(*vma));
	while (vma && !rc && agent_maps_next(maps, vma)) {
		uint64_t there = bytes_to_move(walk, vma);

		if (there)
			rc = add_range(walk, vma);
		*bytes += there;
	}
	rc = !vma || rc ? gmig_fail(err, -ENOMEM, "out of memory") : agent_maps_end(maps, err);
	free(vma);
	return rc;
}

/* ---- A chunk --------------------------------------------------------------------------------- */

/* -errno: the call as a whole was refused. */
static int move_chunk(struct walk *walk, const struct range *range)
{
	struct movepages_chunk *chunk = &walk->chunk;
	const struct movepages by = {
	    .call = agent_sys->move_pages, .pid = walk->entry, .flags = walk->flags};
	const struct movepages_want want = {.target = want_target,
					    .opaque = walk,
					    .guess_huge = range->huge &&
							  range->page_bytes == AGENT_PAGE_BYTES};
	int rc = movepages_chunk_move(&by, chunk, &want);

	if (rc)
		return rc;
	for (size_t i = 0; i < chunk->count; i++)
		if (chunk->result[i] == MOVEPAGES_REMAINS)
			agent_remaining_add(&walk->remaining, chunk->why[i], chunk->pages[i]);
	walk->retry |= chunk->retry;
	return 0;
}

static void publish(struct walk *walk)
{
	struct agent_job_counts counts = walk->counts;

	for (int i = 0; i < AGENT_MAX_ERRNO; i++)
		counts.remaining.pages[i] += walk->remaining.pages[i];
	counts.done_bytes =
	    counts.moved_bytes + agent_remaining_total(&counts.remaining) * AGENT_PAGE_BYTES;
	/* A process that grows meanwhile must not look more than done. */
	if (counts.total_bytes < counts.done_bytes)
		counts.total_bytes = counts.done_bytes;
	agent_job_publish(walk->job, &counts);
}

/* Where the chunk that begins at `at` ends: whole huge pages where there are some, however slow the
 * job, because half of one cannot move. */
static uint64_t chunk_end(const struct walk *walk, const struct range *range, uint64_t at)
{
	uint64_t step = agent_job_step_bytes(walk->job, CHUNK_PAGES * AGENT_PAGE_BYTES);
	uint64_t end = at + step;

	if (range->huge && step < AGENT_HUGE_BYTES)
		end = at + AGENT_HUGE_BYTES - at % AGENT_HUGE_BYTES;
	else if (range->huge)
		end -= end % AGENT_HUGE_BYTES;
	if (end < at + range->page_bytes)
		end = at + range->page_bytes;
	return end < range->end ? end : range->end;
}

static int move_range(struct walk *walk, const struct range *range)
{
	struct movepages_chunk *chunk = &walk->chunk;
	uint64_t at = range->start;
	int rc = 0;

	while (!rc && at < range->end && !agent_job_cancelled(walk->job)) {
		uint64_t end = chunk_end(walk, range, at), moved = 0;

		if (!agent_process_same(walk->pid, walk->start_time))
			return -ESRCH;
		for (chunk->count = 0; chunk->count < CHUNK_PAGES && at < end;
		     at += range->page_bytes) {
			chunk->pages[chunk->count] =
			    (uint32_t)(range->page_bytes / AGENT_PAGE_BYTES);
			chunk->address[chunk->count++] = (void *)(uintptr_t)at; // NOLINT
		}
		rc = move_chunk(walk, range);
		if (!rc)
			moved = chunk->moved_pages * AGENT_PAGE_BYTES;
		walk->counts.moved_bytes += moved;
		publish(walk);
		if (moved)
			agent_job_pace(walk->job, moved);
	}
	return rc;
}

/* ---- Passes ---------------------------------------------------------------------------------- */

static int pass_by_pages(struct walk *walk, struct gmig_error *err)
{
	uint64_t bytes;
	int rc = find_ranges(walk, &bytes, err);

	for (size_t i = 0; !rc && i < walk->range_count; i++) {
		rc = move_range(walk, &walk->ranges[i]);
		if (rc)
			agent_call_failed_pid(err, AGENT_CALL_MOVE_PAGES, rc, walk->pid);
	}
	return rc;
}

/* One call moves all; what it could not, it counts without a reason. */
static int pass_by_process(struct walk *walk, struct gmig_error *err)
{
	uint64_t before, after;
	long rc = find_ranges(walk, &before, err);

	if (rc || !before)
		return (int)rc;
	rc = agent_sys->migrate_pages(walk->entry, &walk->move->mapping.from,
				      &walk->move->mapping.to);
	if (rc < 0)
		return agent_call_failed_pid(err, AGENT_CALL_MIGRATE_PAGES, (int)rc, walk->pid);
	if (find_ranges(walk, &after, NULL))
		return 0; /* it has ended, and was moved before */
	walk->counts.moved_bytes += before > after ? before - after : 0;
	agent_remaining_add(&walk->remaining, -EBUSY, after / AGENT_PAGE_BYTES);
	walk->retry = rc > 0;
	publish(walk);
	agent_job_pace(walk->job, before > after ? before - after : 0);
	return 0;
}

/* Was the thread by which memory was reached lost in mid-pass, and is there another? */
static bool entry_has_ended(const struct walk *walk)
{
	pid_t entry = agent_process_entry(walk->pid);

	return entry > 0 && entry != walk->entry;
}

static int move_process(struct walk *walk, const struct agent_victim *victim,
			struct gmig_error *err)
{
	int rc = 0;

	walk->pid = victim->pid;
	walk->start_time = victim->start_time;
	for (int pass = 0; pass < AGENT_MOVE_PASSES && !rc; pass++) {
		walk->entry = agent_process_entry(victim->pid);
		if (walk->entry <= 0 || !agent_process_same(victim->pid, victim->start_time))
			return gmig_fail(err, -ESRCH, "process %d has ended: ESRCH (%d)",
					 (int)victim->pid, ESRCH);
		memset(&walk->remaining, 0, sizeof(walk->remaining));
		walk->retry = false;
		rc = walk->move->by_process ? pass_by_process(walk, err) : pass_by_pages(walk, err);
		if (rc && entry_has_ended(walk)) {
			rc = 0;
			walk->retry = true;
		}
		if (!walk->retry || agent_job_cancelled(walk->job))
			break;
		agent_sys->sleep_ns(PASS_PAUSE_NS);
	}
	for (int i = 0; i < AGENT_MAX_ERRNO; i++)
		walk->counts.remaining.pages[i] += walk->remaining.pages[i];
	memset(&walk->remaining, 0, sizeof(walk->remaining));
	publish(walk);
	return rc;
}

/* How much there is to do, before it begins; a process that cannot be read counts nothing. */
static void measure(struct walk *walk, const struct agent_victim *victims, size_t count)
{
	for (size_t i = 0; i < count && !agent_job_cancelled(walk->job); i++) {
		uint64_t bytes;

		walk->pid = victims[i].pid;
		walk->entry = agent_process_entry(walk->pid);
		if (!find_ranges(walk, &bytes, NULL))
			walk->counts.total_bytes += bytes;
	}
	publish(walk);
}

int agent_move_processes(struct agent_job *job, const struct agent_move *move,
			 const struct agent_victim *victims, size_t count, struct gmig_error *err)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	int rc = 0;

	if (!walk)
		return gmig_fail(err, -ENOMEM, "out of memory");
	walk->job = job;
	walk->move = move;
	walk->flags = move->shared ? AGENT_MPOL_MF_MOVE_ALL : AGENT_MPOL_MF_MOVE;
	for (int node = 0; node < AGENT_MAX_NODES; node++)
		walk->target[node] = agent_mapping_of(&move->mapping, node);
	measure(walk, victims, count);
	for (size_t i = 0; i < count && !agent_job_cancelled(job); i++) {
		struct gmig_error reason = {0};

		rc = move_process(walk, &victims[i], &reason);
		/* Of many, one that ends or is not allowed to go there holds up nobody. */
		if (rc && count == 1) {
			gmig_fail(err, rc, "%s", reason.text);
		} else if (rc) {
			uint64_t bytes = 0;

			if (rc != -ESRCH && !find_ranges(walk, &bytes, NULL))
				agent_remaining_add(&walk->counts.remaining, rc,
						    bytes / AGENT_PAGE_BYTES);
			rc = 0;
		}
	}
	publish(walk);
	free(walk->ranges);
	free(walk);
	return rc;
}
