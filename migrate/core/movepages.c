#include "movepages.h"

#include <errno.h>

#define FULL_AFTER 8 /* calls that found a node full, with some pages moved in between */

/* ---- Asking ---------------------------------------------------------------------------------- */

int movepages_ask(const struct movepages *by, size_t count, void **pages, int *status)
{
	long rc;

	for (size_t i = 0; i < count; i++)
		status[i] = MOVEPAGES_UNSET;
	rc = count ? by->call(by->pid, count, pages, NULL, status, by->flags) : 0;
	if (rc < 0)
		return (int)rc;
	for (size_t i = 0; i < count; i++)
		if (status[i] == MOVEPAGES_UNSET)
			return -EIO;
	return 0;
}

/* ---- Moving ---------------------------------------------------------------------------------- */

struct exact {
	const struct movepages *by;
	size_t count, done;
	void **pages;
	const int *nodes;
	int *status;
	unsigned int full; /* calls that found no memory */
};

/*
 * Where the batch ends that failed: the kernel stores the status of the page that closes a batch
 * before it moves the batch, and a batch has one node.
 */
static size_t batch_end(const struct exact *exact)
{
	size_t i = exact->done + 1;

	while (i < exact->count && exact->status[i] == MOVEPAGES_UNSET &&
	       exact->nodes[i] == exact->nodes[exact->done])
		i++;
	return i;
}

/* Pages of the failed batch that arrived get their node. How many, or -errno. */
static long take_arrived(struct exact *exact, size_t end)
{
	int where[256];
	long arrived = 0;

	for (size_t first = exact->done; first < end;) {
		size_t n = end - first < 256 ? end - first : 256;
		int rc = movepages_ask(exact->by, n, exact->pages + first, where);

		if (rc)
			return rc;
		for (size_t i = 0; i < n; i++, first++) {
			if (where[i] != exact->nodes[first])
				continue;
			exact->status[first] = where[i];
			arrived++;
		}
	}
	return arrived;
}

static void skip_known(struct exact *exact)
{
	while (exact->done < exact->count && exact->status[exact->done] != MOVEPAGES_UNSET)
		exact->done++;
}

/*
 * The batch at `done` failed with rc. A positive result: all of it was tried. -ENOMEM: what lies
 * behind the page that found no memory was not, so it is tried again as long as some arrive.
 */
static int settle_batch(struct exact *exact, long rc)
{
	size_t end = batch_end(exact);
	long arrived = take_arrived(exact, end);

	if (arrived < 0)
		return (int)arrived;
	if (rc == -ENOMEM && arrived && ++exact->full < FULL_AFTER)
		return 0;
	for (size_t i = exact->done; i < end; i++)
		if (exact->status[i] == MOVEPAGES_UNSET)
			exact->status[i] = rc == -ENOMEM ? -ENOMEM : -EBUSY;
	return 0;
}

int movepages_exact(const struct movepages *by, size_t count, void **pages, const int *nodes,
		    int *status)
{
	struct exact exact = {
	    .by = by, .count = count, .pages = pages, .nodes = nodes, .status = status};

	for (size_t i = 0; i < count; i++)
		status[i] = MOVEPAGES_UNSET;
	while (exact.done < count) {
		size_t first = exact.done;
		long rc = by->call(by->pid, count - first, pages + first, nodes + first,
				   status + first, by->flags);
		int ret = 0;

		if (rc < 0 && rc != -ENOMEM && rc != -EAGAIN)
			return (int)rc;
		skip_known(&exact);
		if (exact.done < count)
			ret = settle_batch(&exact, rc);
		if (ret)
			return ret;
		skip_known(&exact);
	}
	return 0;
}

/* ---- Chunks ---------------------------------------------------------------------------------- */

/* All pages of a huge page's room on one node: moving its head moves it whole, if it is one. */
static bool may_be_huge(const struct movepages_chunk *chunk, size_t i)
{
	uintptr_t address = (uintptr_t)chunk->address[i];

	if (address % (MOVEPAGES_HUGE_PAGES * MOVEPAGES_PAGE_BYTES) || chunk->pages[i] != 1 ||
	    i + MOVEPAGES_HUGE_PAGES > chunk->count)
		return false;
	for (size_t j = 1; j < MOVEPAGES_HUGE_PAGES; j++)
		if (chunk->after[i + j] != chunk->after[i] ||
		    (uintptr_t)chunk->address[i + j] != address + j * MOVEPAGES_PAGE_BYTES)
			return false;
	return true;
}

static int target_of(const struct movepages_want *want, size_t i, int node)
{
	int target = node < 0 ? -1 : want->target(want->opaque, i, node);

	return target == node ? -1 : target;
}

/* What is still to move, by what is known of it. heads: of possible huge pages alone. */
static void choose(struct movepages_chunk *chunk, const struct movepages_want *want, bool heads)
{
	chunk->chosen = 0;
	for (size_t i = 0; i < chunk->count; i++) {
		int target = -1;

		/* One that came to where it was wanted is not sent on: A to B, B to A is a swap. */
		if (chunk->after[i] == chunk->before[i])
			target = target_of(want, i, chunk->before[i]);
		if (target < 0 || (heads && !may_be_huge(chunk, i)))
			continue;
		chunk->todo[chunk->chosen] = chunk->address[i];
		chunk->nodes[chunk->chosen] = target;
		chunk->index[chunk->chosen++] = (uint16_t)i;
	}
}

/* Of what was chosen: what came is where the kernel says, the rest is asked for. */
static int believe(const struct movepages *by, struct movepages_chunk *chunk)
{
	size_t left = 0;
	int rc;

	for (size_t i = 0; i < chunk->chosen; i++) {
		uint16_t unit = chunk->index[i];

		chunk->after[unit] = chunk->status[i];
		if (chunk->status[i] == chunk->nodes[i])
			continue;
		chunk->todo[left] = chunk->address[unit];
		chunk->index[left++] = unit;
	}
	rc = movepages_ask(by, left, chunk->todo, chunk->status);
	for (size_t i = 0; i < left; i++)
		chunk->after[chunk->index[i]] = chunk->status[i];
	return rc;
}

/* Move what was chosen, and find out where all lies now. */
static int move_chosen(const struct movepages *by, struct movepages_chunk *chunk, bool believed)
{
	int rc;

	if (!chunk->chosen)
		return 0;
	rc = movepages_exact(by, chunk->chosen, chunk->todo, chunk->nodes, chunk->status);
	if (rc)
		return rc;
	for (size_t i = 0; i < chunk->chosen; i++)
		chunk->why[chunk->index[i]] = chunk->status[i];
	return believed ? believe(by, chunk)
			: movepages_ask(by, chunk->count, chunk->address, chunk->after);
}

/* What has become of unit i, that was to move to `target`. */
static enum movepages_result judge(struct movepages_chunk *chunk, const struct movepages_want *want,
				   size_t i, int target)
{
	int after = chunk->after[i];

	if (after < 0)
		return MOVEPAGES_GONE;
	if (after == target)
		return MOVEPAGES_MOVED;
	if (after != chunk->before[i] && target_of(want, i, after) < 0)
		return MOVEPAGES_BY_OTHERS;
	/* The kernel said that it went, and it lies elsewhere: moved back or on meanwhile. */
	if (chunk->why[i] >= 0)
		chunk->why[i] = -EBUSY;
	return MOVEPAGES_REMAINS;
}

static void account(struct movepages_chunk *chunk, const struct movepages_want *want)
{
	chunk->moved_pages = chunk->remaining_pages = 0;
	chunk->retry = false;
	for (size_t i = 0; i < chunk->count; i++) {
		int target = target_of(want, i, chunk->before[i]);

		chunk->result[i] = MOVEPAGES_NOT_WANTED;
		if (target < 0)
			continue;
		chunk->result[i] = (uint8_t)judge(chunk, want, i, target);
		if (chunk->result[i] == MOVEPAGES_MOVED)
			chunk->moved_pages += chunk->pages[i];
		if (chunk->result[i] != MOVEPAGES_REMAINS)
			continue;
		chunk->remaining_pages += chunk->pages[i];
		chunk->retry |= chunk->why[i] == -EBUSY || chunk->why[i] == -EAGAIN;
	}
}

int movepages_chunk_move(const struct movepages *by, struct movepages_chunk *chunk,
			 const struct movepages_want *want)
{
	int rc = want->known ? 0 : movepages_ask(by, chunk->count, chunk->address, chunk->before);

	if (rc)
		return rc;
	for (size_t i = 0; i < chunk->count; i++) {
		chunk->after[i] = chunk->before[i];
		chunk->why[i] = 0;
	}
	if (want->guess_huge) {
		/* Of the pages that went with a head the kernel says nothing. */
		choose(chunk, want, true);
		rc = move_chosen(by, chunk, false);
	}
	if (!rc) {
		choose(chunk, want, false);
		rc = move_chosen(by, chunk, want->believe);
	}
	if (!rc)
		account(chunk, want);
	return rc;
}
