#include "claim.h"

#include "../core/heat.h"
#include "busy.h"
#include "fixed.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct bits change(const struct claim *claim, const struct bits *pages,
			  enum shadow_event event)
{
	struct books_event books = {
	    .region = claim->region,
	    .change = {.gfn = claim->block_gfn,
		       .order = claim->huge ? 9 : 0,
		       .event = event,
		       .node = (uint16_t)claim->to,
		       .owner = (uint8_t)claim->owner},
	    .memory = event == SHADOW_SETTLE ? claim->memory : BOOKS_KERNEL,
	};
	struct bits refused;

	books_change_block(claim->gmig, &books, claim->from, pages, &refused);
	return refused;
}

void claim_take(struct claim *claim, struct bits *refused)
{
	struct stripe *stripe = engine_stripe(claim->gmig, claim->block_gfn);

	pthread_mutex_lock(&stripe->lock);
	if (busy_refuses_claim(claim->gmig, stripe, claim->block_gfn) ||
	    fixed_is(claim->gmig, claim->block_gfn))
		*refused = claim->pages;
	else
		*refused = change(claim, &claim->pages, SHADOW_CLAIM);
	bits_remove(&claim->pages, refused);
	change(claim, &claim->pages, SHADOW_CLOSE);
	if (!bits_empty(&claim->pages)) {
		claim->next = stripe->claims;
		stripe->claims = claim;
	}
	pthread_mutex_unlock(&stripe->lock);
}

static void unlist(struct stripe *stripe, const struct claim *claim)
{
	struct claim **link = &stripe->claims;

	while (*link && *link != claim)
		link = &(*link)->next;
	if (*link)
		*link = claim->next;
}

/* Of a huge page, only a part moved, or has gone or broken. */
static bool is_halfway(const struct claim *claim, const struct claim_result *result)
{
	bool moved = !bits_empty(&result->moved), gone = !bits_empty(&result->gone);

	return claim->huge && ((moved && !bits_full(&result->moved)) ||
			       (gone && !bits_full(&result->gone)) || !bits_empty(&result->broken));
}

/*
 * Halfway: the block is no longer one entry. Without memory for its split, the whole entry goes where a part
 * of it went, and the rest in the books with it: the audit splits it and says where each page is, and which have gone.
 */
static void settle_halfway(struct claim *claim, const struct bits *moved, struct bits *stayed,
			   struct bits *gone)
{
	claim->huge = books_split(claim->gmig, claim->region, claim->block_gfn) != 0;
	change(claim, moved, SHADOW_SETTLE);
	if (!claim->huge)
		return;
	bits_clear_all(gone);
	if (bits_empty(moved))
		return;
	change(claim, stayed, SHADOW_CORRECT);
	bits_clear_all(stayed);
}

/* Caller holds stripe->lock. */
static void sleepers_woken(struct claim *claim, struct stripe *stripe, const struct bits *pages,
			   struct hist *stall)
{
	struct slept slept =
	    engine_sleepers_woken(claim->gmig, stripe, claim->block_gfn, pages, stall);

	claim->slept.ns += slept.ns;
	claim->slept.threads += slept.threads;
	claim->slept.writers += slept.writers;
	if (slept.longest_ns > claim->slept.longest_ns)
		claim->slept.longest_ns = slept.longest_ns;
}

void claim_part_over(struct claim *claim, unsigned int first, unsigned int count,
		     struct hist *stall)
{
	struct stripe *stripe = engine_stripe(claim->gmig, claim->block_gfn);
	struct bits pages = {{0}};

	bits_set_range(&pages, first, count);
	pthread_mutex_lock(&stripe->lock);
	sleepers_woken(claim, stripe, &pages, stall);
	bits_set_range(&claim->over, first, count);
	pthread_mutex_unlock(&stripe->lock);
}

void claim_settle(struct claim *claim, const struct claim_result *result)
{
	struct gmig *gmig = claim->gmig;
	struct stripe *stripe = engine_stripe(gmig, claim->block_gfn);
	struct bits stayed = claim->pages, gone = result->gone;
	struct heat *heat = atomic_load(&gmig->memory.heat);

	/* What has left the claim is somebody else's by now. */
	bits_keep(&gone, &claim->pages);
	bits_remove(&stayed, &result->moved);
	pthread_mutex_lock(&stripe->lock);
	if (is_halfway(claim, result))
		settle_halfway(claim, &result->moved, &stayed, &gone);
	else
		change(claim, &result->moved, SHADOW_SETTLE);
	change(claim, &stayed, SHADOW_PUTBACK);
	change(claim, &gone, SHADOW_DISCARD);
	if (!claim->huge)
		change(claim, &result->broken, SHADOW_SWAP_OUT);
	sleepers_woken(claim, stripe, &claim->pages, result->stall);
	unlist(stripe, claim);
	pthread_mutex_unlock(&stripe->lock);
	if (!bits_empty(&result->moved) && heat)
		heat_moved(heat, claim->block_gfn / GMIG_BLOCK_PAGES, gmig->sys->now_ns());
	/*
	 * Who slept on a page that moved was woken by its remap. But the guest may have discarded a page before that, or
	 * since: who touched the hole was left to sleep. And of what the kernel moved by itself, nobody else wakes who waits
	 * for it. The list of sleepers is no reason to spare the call: it is for statistics.
	 */
	engine_wake(gmig, claim->region, claim->block_gfn);
}

int claim_split(struct claim *claim)
{
	struct stripe *stripe = engine_stripe(claim->gmig, claim->block_gfn);
	int ret;

	pthread_mutex_lock(&stripe->lock);
	ret = books_split(claim->gmig, claim->region, claim->block_gfn);
	if (!ret)
		claim->huge = false;
	pthread_mutex_unlock(&stripe->lock);
	return ret;
}

void claim_abandon(struct claim *claim)
{
	struct stripe *stripe = engine_stripe(claim->gmig, claim->block_gfn);
	struct claim *kept = malloc(sizeof(*kept));

	pthread_mutex_lock(&stripe->lock);
	unlist(stripe, claim);
	/* Without memory for it the audit will call the pages forgotten, which is not far from true. */
	if (kept) {
		*kept = *claim;
		kept->touched = NULL; /* whoever had it wait is gone */
		kept->abandoned = true;
		kept->next = stripe->claims;
		stripe->claims = kept;
	}
	pthread_mutex_unlock(&stripe->lock);
}

void claim_forget_all(struct stripe *stripe)
{
	while (stripe->claims) {
		struct claim *claim = stripe->claims;

		stripe->claims = claim->next;
		if (claim->abandoned)
			free(claim);
	}
}

static bool has(const struct claim *claim, uint64_t gfn)
{
	return gfn - claim->block_gfn < GMIG_BLOCK_PAGES &&
	       bits_get(&claim->pages, (unsigned int)(gfn - claim->block_gfn));
}

/* ---- Waiting for a touch ----------------------------------------------------------------------- */

bool claim_touched(const struct stripe *stripe, const struct claim_touch *touch)
{
	for (const struct claim *claim = stripe->claims; claim; claim = claim->next)
		if (claim->touched && has(claim, touch->gfn)) {
			claim->touched(claim->touched_arg, touch);
			return true;
		}
	return false;
}

/* Caller holds stripe->lock. false: nothing leaves it. */
static bool leave(struct claim *claim, struct stripe *stripe, const struct bits *pages,
		  const struct bits *gone)
{
	if (bits_empty(pages))
		return false;
	change(claim, pages, SHADOW_PUTBACK);
	change(claim, gone, SHADOW_DISCARD);
	bits_remove(&claim->pages, pages);
	sleepers_woken(claim, stripe, pages, NULL);
	return true;
}

/* Between the claim and the new state nobody was told of touches: the sleepers tell of them. */
void claim_wait(struct claim *claim, const struct bits *pages, const struct bits *gone)
{
	struct stripe *stripe = engine_stripe(claim->gmig, claim->block_gfn);
	struct bits others = claim->pages;
	bool woken;

	bits_remove(&others, pages);
	pthread_mutex_lock(&stripe->lock);
	woken = leave(claim, stripe, &others, gone);
	change(claim, pages, SHADOW_WAIT);
	for (const struct sleeper *sleeper = stripe->sleepers; sleeper; sleeper = sleeper->next) {
		const struct claim_touch touch = {sleeper->gfn, sleeper->tid, sleeper->vcpu,
						  sleeper->writer};
		uint64_t page = sleeper->gfn - claim->block_gfn;

		if (page < GMIG_BLOCK_PAGES && bits_get(pages, (unsigned int)page))
			claim->touched(claim->touched_arg, &touch);
	}
	pthread_mutex_unlock(&stripe->lock);
	if (woken)
		engine_wake(claim->gmig, claim->region, claim->block_gfn);
}

void claim_pick(struct claim *claim, const struct bits *pages, unsigned int to)
{
	struct stripe *stripe = engine_stripe(claim->gmig, claim->block_gfn);

	pthread_mutex_lock(&stripe->lock);
	claim->to = to;
	change(claim, pages, SHADOW_PICK);
	pthread_mutex_unlock(&stripe->lock);
}

void claim_want(struct gmig *gmig, uint64_t block_gfn, const struct bits *pages)
{
	struct stripe *stripe = engine_stripe(gmig, block_gfn);

	pthread_mutex_lock(&stripe->lock);
	for (const struct claim *claim = stripe->claims; claim; claim = claim->next) {
		struct bits wanted = claim->pages;
		struct claim_touch touch = {.tid = 0};

		bits_keep(&wanted, pages);
		if (!claim->touched || claim->block_gfn != block_gfn || bits_empty(&wanted))
			continue;
		touch.gfn = block_gfn + bits_next(&wanted, 0, true);
		claim->touched(claim->touched_arg, &touch);
	}
	pthread_mutex_unlock(&stripe->lock);
}

bool claim_is_out(const struct stripe *stripe, uint64_t gfn)
{
	for (const struct claim *claim = stripe->claims; claim; claim = claim->next)
		if (has(claim, gfn))
			return claim->touched && !claim->in_place;
	return false;
}

/* ---- Who reads, and who holds what --------------------------------------------------------------- */

static void set_reader(struct claim *claim, int tid)
{
	struct stripe *stripe = engine_stripe(claim->gmig, claim->block_gfn);

	pthread_mutex_lock(&stripe->lock);
	claim->reader = tid;
	pthread_mutex_unlock(&stripe->lock);
}

void claim_read_begin(struct claim *claim)
{
	set_reader(claim, (int)syscall(SYS_gettid));
}

void claim_read_end(struct claim *claim)
{
	set_reader(claim, 0);
}

bool claim_is_reader(const struct stripe *stripe, uint64_t gfn, int tid)
{
	for (const struct claim *claim = stripe->claims; claim; claim = claim->next)
		if (tid && claim->reader == tid && has(claim, gfn))
			return true;
	return false;
}

bool claim_is_over(const struct stripe *stripe, uint64_t gfn)
{
	for (const struct claim *claim = stripe->claims; claim; claim = claim->next)
		if (has(claim, gfn))
			return bits_get(&claim->over, (unsigned int)(gfn - claim->block_gfn));
	return false;
}

bool claim_holds(const struct stripe *stripe, uint64_t gfn)
{
	for (const struct claim *claim = stripe->claims; claim; claim = claim->next)
		if (has(claim, gfn))
			return true;
	return false;
}

bool claim_holds_any(const struct stripe *stripe, uint64_t block_gfn)
{
	for (const struct claim *claim = stripe->claims; claim; claim = claim->next)
		if (claim->block_gfn == block_gfn)
			return true;
	return false;
}
