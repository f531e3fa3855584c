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
	struct agent_remaining remaining; /* of the last pass over this process that has begun */
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

static int move_range(struct walk *walk, const struct range *range, struct gmig_error *err)
{
	struct movepages_chunk *chunk = &walk->chunk;
	uint64_t at = range->start;
	int rc = 0;

	while (!rc && at < range->end && !agent_job_cancelled(walk->job)) {
		uint64_t end = chunk_end(walk, range, at), moved = 0;

		rc = agent_process_check(walk->pid, walk->start_time, err);
		if (rc)
			return rc;
		for (chunk->count = 0; chunk->count < CHUNK_PAGES && at < end;
		     at += range->page_bytes) {
			chunk->pages[chunk->count] =
			    (uint32_t)(range->page_bytes / AGENT_PAGE_BYTES);
			chunk->address[chunk->count++] = (void *)(uintptr_t)at; // NOLINT
		}
		rc = move_chunk(walk, range);
		if (rc)
			agent_call_failed_pid(err, AGENT_CALL_MOVE_PAGES, rc, walk->pid);
		else
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

	if (!rc)
		memset(&walk->remaining, 0, sizeof(walk->remaining));
	for (size_t i = 0; !rc && i < walk->range_count; i++)
		rc = move_range(walk, &walk->ranges[i], err);
	return rc;
}

/* One call moves all; what it could not, it counts without a reason. */
static int pass_by_process(struct walk *walk, struct gmig_error *err)
{
	uint64_t before, after;
	bool retry;
	long rc = find_ranges(walk, &before, err);

	if (rc)
		return (int)rc;
	memset(&walk->remaining, 0, sizeof(walk->remaining));
	if (!before)
		return 0;
	rc = agent_sys->migrate_pages(walk->entry, &walk->move->mapping.from,
				      &walk->move->mapping.to);
	if (rc < 0)
		return agent_call_failed_pid(err, AGENT_CALL_MIGRATE_PAGES, (int)rc, walk->pid);
	retry = rc > 0;
	rc = find_ranges(walk, &after, err);
	if (rc == -ESRCH && !agent_process_entry(walk->pid))
		return 0; /* it has ended, and was moved before */
	if (rc)
		return (int)rc;
	walk->counts.moved_bytes += before > after ? before - after : 0;
	agent_remaining_add(&walk->remaining, -EBUSY, after / AGENT_PAGE_BYTES);
	walk->retry = retry;
	publish(walk);
	agent_job_pace(walk->job, before > after ? before - after : 0);
	return 0;
}

/* Was the thread by which memory was reached lost in mid-pass, and is there another? Then the next pass goes by that. */
static int settle_entry(struct walk *walk, int rc, struct gmig_error *err)
{
	pid_t entry = agent_process_entry(walk->pid);

	if (entry > 0 && entry != walk->entry) {
		walk->retry = true;
		return 0;
	}
	if (entry >= 0)
		return rc;
	walk->entry = entry;
	return agent_call_failed_pid(err, AGENT_CALL_READ, entry, walk->pid);
}

static int find_entry(struct walk *walk, struct gmig_error *err)
{
	walk->entry = agent_process_entry(walk->pid);
	if (walk->entry < 0)
		return agent_call_failed_pid(err, AGENT_CALL_READ, walk->entry, walk->pid);
	if (!walk->entry)
		return gmig_fail(err, -ESRCH, "process %d has ended: ESRCH (%d)", (int)walk->pid,
				 ESRCH);
	return agent_process_check(walk->pid, walk->start_time, err);
}

/* What remains of it is in walk->remaining behind it. */
static int move_process(struct walk *walk, const struct agent_victim *victim,
			struct gmig_error *err)
{
	int rc = 0;

	walk->pid = victim->pid;
	walk->start_time = victim->start_time;
	for (int pass = 0; pass < AGENT_MOVE_PASSES && !rc; pass++) {
		rc = find_entry(walk, err);
		if (rc)
			break;
		walk->retry = false;
		rc = walk->move->by_process ? pass_by_process(walk, err) : pass_by_pages(walk, err);
		if (rc)
			rc = settle_entry(walk, rc, err);
		if (!walk->retry || agent_job_cancelled(walk->job))
			break;
		agent_sys->sleep_ns(PASS_PAUSE_NS);
	}
	return rc;
}

/* How much there is to do, before it begins; a process that cannot be read counts nothing. */
static void measure(struct walk *walk, const struct agent_victims *victims)
{
	for (size_t i = 0; i < victims->count && !agent_job_cancelled(walk->job); i++) {
		uint64_t bytes;

		walk->pid = victims->victim[i].pid;
		walk->entry = agent_process_entry(walk->pid);
		if (walk->entry > 0 && !find_ranges(walk, &bytes, NULL))
			walk->counts.total_bytes += bytes;
	}
	publish(walk);
}

static void keep_remaining(struct walk *walk)
{
	for (int i = 0; i < AGENT_MAX_ERRNO; i++)
		walk->counts.remaining.pages[i] += walk->remaining.pages[i];
	memset(&walk->remaining, 0, sizeof(walk->remaining));
	publish(walk);
}

/* Of many, one that ends, is not allowed to go there or cannot be looked at holds up nobody. */
static void note_failed(struct walk *walk, int why, struct agent_victims *victims)
{
	struct agent_remaining here = {0};
	uint64_t bytes = 0;
	int rc = why == -ESRCH || walk->entry < 0 ? why : find_ranges(walk, &bytes, NULL);

	if (rc && rc != -ESRCH) {
		agent_job_lock(walk->job);
		agent_remaining_add(&victims->unread, rc, 1);
		agent_job_unlock(walk->job);
	} else {
		agent_remaining_add(&here, why, bytes / AGENT_PAGE_BYTES);
		walk->remaining = here;
	}
	keep_remaining(walk);
}

int agent_move_processes(struct agent_job *job, const struct agent_move *move,
			 struct agent_victims *victims, struct gmig_error *err)
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
	measure(walk, victims);
	for (size_t i = 0; i < victims->count && !agent_job_cancelled(job); i++) {
		rc = move_process(walk, &victims->victim[i], victims->count == 1 ? err : NULL);
		if (rc && victims->count > 1) {
			note_failed(walk, rc, victims);
			rc = 0;
		} else {
			keep_remaining(walk);
		}
	}
	publish(walk);
	free(walk->ranges);
	free(walk);
	return rc;
}
