#include "busy.h"

/* Longer than the pause between two passes of a job. */
#define WANTED_NS 200000000ull

static struct busy_block *find(struct stripe *stripe, uint64_t block_gfn)
{
	for (unsigned int i = 0; i < stripe->busy_count; i++)
		if (stripe->busy[i].gfn == block_gfn)
			return &stripe->busy[i];
	return NULL;
}

static void drop(struct stripe *stripe, struct busy_block *block)
{
	*block = stripe->busy[--stripe->busy_count];
}

/* Nobody has claimed it in time: the job has ended, or does without. */
static bool is_wanted(const struct gmig *gmig, const struct busy_block *block)
{
	return block->wanted_until_ns && gmig->sys->now_ns() < block->wanted_until_ns;
}

static struct busy_block *add(struct gmig *gmig, struct stripe *stripe, uint64_t block_gfn)
{
	for (unsigned int i = stripe->busy_count; i--;)
		if (!stripe->busy[i].transfers && !is_wanted(gmig, &stripe->busy[i]))
			drop(stripe, &stripe->busy[i]);
	if (stripe->busy_count == ENGINE_BUSY)
		return NULL;
	stripe->busy[stripe->busy_count] = (struct busy_block){.gfn = block_gfn};
	return &stripe->busy[stripe->busy_count++];
}

/* ---- Claims ------------------------------------------------------------------------------------ */

bool busy_is(const struct stripe *stripe, uint64_t block_gfn)
{
	for (unsigned int i = 0; i < stripe->busy_count; i++)
		if (stripe->busy[i].gfn == block_gfn)
			return stripe->busy[i].transfers;
	return false;
}

bool busy_refuses_claim(struct gmig *gmig, struct stripe *stripe, uint64_t block_gfn)
{
	struct busy_block *block = find(stripe, block_gfn);

	if (!block)
		return false;
	if (!block->transfers) {
		drop(stripe, block);
		return false;
	}
	block->wanted_until_ns = gmig->sys->now_ns() + WANTED_NS;
	atomic_fetch_add(&gmig->claims_busy, 1);
	return true;
}

/* ---- Transfers --------------------------------------------------------------------------------- */

bool busy_begin(struct gmig *gmig, struct stripe *stripe, uint64_t block_gfn)
{
	struct busy_block *block = find(stripe, block_gfn);

	if (block && is_wanted(gmig, block))
		return false;
	if (!block)
		block = add(gmig, stripe, block_gfn);
	if (block && !block->transfers++)
		atomic_fetch_add(&gmig->busy_blocks, 1);
	return block;
}

void busy_end(struct gmig *gmig, struct stripe *stripe, uint64_t block_gfn)
{
	struct busy_block *block = find(stripe, block_gfn);

	if (!block || !block->transfers || --block->transfers)
		return;
	atomic_fetch_sub(&gmig->busy_blocks, 1);
	if (!is_wanted(gmig, block))
		drop(stripe, block);
}
