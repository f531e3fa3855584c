/*
 * Repair goes over all blocks once, then over those that were held, then over the books. How it keeps its promise about locks:
 *
 * - One stripe.lock at a time, for one part of one block: PART_PAGES pages at first, and by what that took as many as a quarter
 *   of a millisecond is enough for. A huge page is one entry, and costs what one small page costs.
 * - Whatever may sleep is done before the lock: what only a peer has mapped (region_memfd.c) is brought into our page tables.
 * - Sleepers are woken after it.
 */
#include "repair.h"

#include "audit.h"
#include "audit_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PART_PAGES	16 /* at first, and at least */
#define PART_PAGES_MAX	128
#define HOLD_NS		250000	      /* a part is to take */
#define RETURN_NS	2000000000ull /* so long what is held is come back to */
#define RETURN_PAUSE_NS 1000000
#define IDLE_NS		60000000000ull /* nobody goes on with it */
#define HELD_BLOCKS	256	       /* that are remembered */

/* A block of which something was held. */
struct returning {
	struct region *region;
	uint64_t gfn;
	struct bits pages;
};

struct repair {
	uint64_t id;	  /* guarded by repairs_lock, like the next two */
	bool running;	  /* a thread is in it: the rest is that thread's */
	uint64_t used_ns; /* when it was left */

	struct gmig *gmig;
	struct ledger_count *count;
	unsigned int region; /* goes on in this one, */
	uint64_t page;	     /* with this one of its pages */
	uint64_t began_ns;   /* with the region */
	unsigned int step;   /* pages */
	struct returning held[HELD_BLOCKS];
	unsigned int held_count;
	uint64_t return_until_ns; /* 0: it has not come to that */
	uint64_t given_up;	  /* pages that were held too long */
	struct gmig_repair result;
	struct audit_block block;
	struct hist hold;
};

const char *gmig_difference_name(enum gmig_difference difference)
{
	static const char *const names[AUDIT_DIFFERENCES] = {
	    [GMIG_DIFFERS_NODE] = "node",	[GMIG_DIFFERS_ABSENT] = "absent",
	    [GMIG_DIFFERS_PRESENT] = "present", [GMIG_DIFFERS_SWAP] = "swap",
	    [GMIG_DIFFERS_SIZE] = "size",	[GMIG_DIFFERS_PROTECTED] = "protected",
	    [GMIG_DIFFERS_HELD] = "held",
	};

	return difference < AUDIT_DIFFERENCES ? names[difference] : NULL;
}

/* ---- One block ------------------------------------------------------------------------------------ */

/* The next part takes as long as a hold may, by what this one took; and it grows slowly. */
static void note_hold(struct repair *repair, unsigned int pages, uint64_t ns)
{
	uint64_t next = ns ? HOLD_NS * pages / ns : PART_PAGES_MAX;

	hist_record(&repair->hold, ns);
	if (next > 2 * repair->step)
		next = 2 * repair->step;
	repair->step = next < PART_PAGES       ? PART_PAGES
		       : next > PART_PAGES_MAX ? PART_PAGES_MAX
					       : (unsigned int)next;
}

/* The first `step` pages of *rest, which loses them. Returns how many. */
static unsigned int take_part(struct bits *rest, unsigned int step, struct bits *part)
{
	unsigned int count = 0;

	bits_clear_all(part);
	for (unsigned int i = bits_next(rest, 0, true); i < GMIG_BLOCK_PAGES && count < step;
	     i = bits_next(rest, i + 1, true)) {
		bits_set(part, i);
		count++;
	}
	bits_remove(rest, part);
	return count;
}

static void hold_part(struct repair *repair, bool count)
{
	struct audit_block *block = &repair->block;
	const struct gmig *gmig = repair->gmig;
	unsigned int pages = take_part(&block->rest, repair->step, &block->part);
	uint64_t since_ns, held_ns, ran_ns;

	pthread_mutex_lock(&block->stripe->lock);
	since_ns = gmig->sys->now_ns();
	ran_ns = gmig->sys->ran_ns();
	audit_block(block);
	if (count && (block->whole || bits_empty(&block->rest)))
		audit_block_count(block, repair->count);
	ran_ns = gmig->sys->ran_ns() - ran_ns;
	held_ns = gmig->sys->now_ns() - since_ns;
	pthread_mutex_unlock(&block->stripe->lock);
	if (ran_ns > repair->result.longest_hold_cpu_ns)
		repair->result.longest_hold_cpu_ns = ran_ns;
	note_hold(repair, pages, held_ns);
	if (block->wake)
		engine_wake(gmig, block->region, block->gfn);
}

/* These pages of a block; *held: those that somebody held. count: the whole of it is counted, too. */
static void compare(struct repair *repair, const struct returning *at, bool count,
		    struct bits *held)
{
	struct audit_block *block = &repair->block;

	block->region = at->region;
	block->gfn = at->gfn;
	block->rest = at->pages;
	block->stripe = engine_stripe(repair->gmig, at->gfn);
	bits_clear_all(held);
	if (at->region->kind->kernel_fills)
		at->region->kind->scan(repair->gmig, at->region, at->gfn, &block->scan);
	do {
		hold_part(repair, count);
		bits_add(held, &block->busy);
	} while (!block->whole && !bits_empty(&block->rest));
}

/* ---- What was held ---------------------------------------------------------------------------------- */

/* Once over all of them. */
static void return_to_held(struct repair *repair)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < repair->held_count; i++) {
		struct returning at = repair->held[i];
		struct bits held;

		compare(repair, &at, false, &held);
		at.pages = held;
		if (!bits_empty(&held))
			repair->held[kept++] = at;
	}
	repair->held_count = kept;
}

static void give_up(struct repair *repair, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		repair->given_up += bits_count(&repair->held[i].pages);
	repair->held_count -= count;
	memmove(repair->held, repair->held + count, repair->held_count * sizeof(repair->held[0]));
}

static void remember(struct repair *repair, const struct returning *at, const struct bits *held)
{
	if (repair->held_count == HELD_BLOCKS)
		return_to_held(repair);
	if (repair->held_count == HELD_BLOCKS)
		give_up(repair, 1);
	repair->held[repair->held_count] = *at;
	repair->held[repair->held_count++].pages = *held;
}

static void wait_for_held(struct repair *repair)
{
	const struct gmig_sys *sys = repair->gmig->sys;

	if (!repair->return_until_ns)
		repair->return_until_ns = sys->now_ns() + RETURN_NS;
	return_to_held(repair);
	if (!repair->held_count)
		return;
	if (sys->now_ns() >= repair->return_until_ns)
		give_up(repair, repair->held_count);
	else
		sys->sleep_ns(RETURN_PAUSE_NS);
}

/* ---- Steps ------------------------------------------------------------------------------------------ */

static void walk_on(struct repair *repair)
{
	struct region *region = &repair->gmig->regions[repair->region];
	struct returning at = {.region = region, .gfn = region->gfn + repair->page};
	struct bits held;

	if (!repair->page)
		repair->began_ns = repair->gmig->sys->now_ns();
	bits_fill(&at.pages);
	compare(repair, &at, true, &held);
	if (!bits_empty(&held))
		remember(repair, &at, &held);
	repair->result.visited_pages += GMIG_BLOCK_PAGES;
	repair->page += GMIG_BLOCK_PAGES;
	if (repair->page < region->pages)
		return;
	if (repair->began_ns > atomic_load(&region->audited_ns))
		atomic_store(&region->audited_ns, repair->began_ns);
	repair->region++;
	repair->page = 0;
}

static void longest(struct gmig_repair *result, uint64_t ns)
{
	if (ns > result->longest_hold_ns)
		result->longest_hold_ns = ns;
}

static void take_accounts(struct gmig_repair *result, const struct audit_accounts *found)
{
	const struct frame_audit *frames = &found->frames;

	longest(result, found->compare_ns);
	longest(result, frames->longest_hold_ns);
	result->book_pages = found->entries.pages + frames->differing_pages + frames->flying_all;
	result->slot_pages = frames->filled_pages;
	result->slots_corrected =
	    (uint64_t)frames->wrong_slots + frames->written_slots + frames->moved_slots;
	result->slots_left = frames->unmended_slots;
}

static bool is_ok(const struct repair *repair)
{
	const struct gmig_repair *result = &repair->result;

	for (unsigned int i = 0; i < AUDIT_DIFFERENCES; i++)
		if (result->differed[i] != result->corrected[i])
			return false;
	return !repair->given_up && !result->unknown_pages && !result->slots_left &&
	       !result->device_blocks;
}

static void step(struct repair *repair)
{
	struct gmig *gmig = repair->gmig;
	struct audit_accounts found;

	if (repair->region < atomic_load(&gmig->region_count)) {
		walk_on(repair);
		return;
	}
	if (repair->held_count) {
		wait_for_held(repair);
		return;
	}
	if (!audit_count_reached_all(gmig, repair->count, repair->region))
		return;
	audit_accounts(gmig, repair->count, true, &repair->result.check, &found);
	take_accounts(&repair->result, &found);
	repair->result.done = true;
	repair->result.ok = is_ok(repair);
}

/* ---- Repairs that are under way ----------------------------------------------------------------------- */

/* Caller holds repairs_lock, unless the engine ends. */
static void forget(struct repair **place)
{
	if (!*place)
		return;
	ledger_count_end((*place)->count);
	free(*place);
	*place = NULL;
}

void repair_forget_all(struct gmig *gmig)
{
	for (unsigned int i = 0; i < GMIG_REPAIRS; i++)
		forget(&gmig->repairs[i]);
}

/* Callers of these hold repairs_lock. A place for a new one; NULL: all go on just now. */
static struct repair **free_place(struct gmig *gmig)
{
	struct repair **best = NULL;

	for (unsigned int i = 0; i < GMIG_REPAIRS; i++) {
		struct repair **place = &gmig->repairs[i];

		if (!*place)
			return place;
		if (!(*place)->running && (!best || (*place)->used_ns < (*best)->used_ns))
			best = place;
	}
	if (best)
		forget(best);
	return best;
}

static void drop_idle(struct gmig *gmig)
{
	uint64_t now = gmig->sys->now_ns();

	for (unsigned int i = 0; i < GMIG_REPAIRS; i++) {
		struct repair **place = &gmig->repairs[i];

		if (*place && !(*place)->running && now - (*place)->used_ns > IDLE_NS)
			forget(place);
	}
}

static int begin(struct gmig *gmig, struct repair **out, struct gmig_error *err)
{
	struct repair **place = free_place(gmig), *repair;

	if (!place)
		return gmig_fail(err, -EBUSY, "%u repairs go on already", GMIG_REPAIRS);
	repair = calloc(1, sizeof(*repair));
	if (!repair || ledger_count_begin(gmig->ledger, &repair->count)) {
		free(repair);
		return gmig_fail(err, -ENOMEM, "no memory for a repair");
	}
	repair->id = ++gmig->last_repair;
	repair->gmig = gmig;
	repair->step = PART_PAGES;
	repair->block.gmig = gmig;
	repair->block.repair = &repair->result;
	repair->block.check = &repair->result.check;
	*place = *out = repair;
	return 0;
}

static int find(struct gmig *gmig, uint64_t id, struct repair **out, struct gmig_error *err)
{
	for (unsigned int i = 0; i < GMIG_REPAIRS; i++) {
		struct repair *repair = gmig->repairs[i];

		if (!repair || repair->id != id)
			continue;
		if (repair->running)
			return gmig_fail(err, -EBUSY, "repair %llu goes on just now",
					 (unsigned long long)id);
		*out = repair;
		return 0;
	}
	return gmig_fail(err, -ESRCH,
			 "there is no repair %llu: it is done, was left alone for a minute, or "
			 "newer ones took its place",
			 (unsigned long long)id);
}

static int take(struct gmig *gmig, uint64_t id, struct repair **out, struct gmig_error *err)
{
	int ret;

	pthread_mutex_lock(&gmig->repairs_lock);
	drop_idle(gmig);
	ret = id ? find(gmig, id, out, err) : begin(gmig, out, err);
	if (!ret)
		(*out)->running = true;
	pthread_mutex_unlock(&gmig->repairs_lock);
	return ret;
}

static void leave(struct gmig *gmig, struct repair *repair)
{
	pthread_mutex_lock(&gmig->repairs_lock);
	repair->running = false;
	repair->used_ns = gmig->sys->now_ns();
	for (unsigned int i = 0; i < GMIG_REPAIRS; i++)
		if (gmig->repairs[i] == repair && repair->result.done)
			forget(&gmig->repairs[i]);
	pthread_mutex_unlock(&gmig->repairs_lock);
}

static void report(const struct repair *repair, struct gmig_repair *result)
{
	const struct gmig *gmig = repair->gmig;

	*result = repair->result;
	hist_summary(&repair->hold, &result->hold);
	longest(result, result->hold.max_ns);
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		result->total_pages += gmig->regions[i].pages;
	result->busy_pages = repair->given_up;
	for (unsigned int i = 0; i < repair->held_count; i++)
		result->busy_pages += bits_count(&repair->held[i].pages);
}

int gmig_repair(struct gmig *gmig, uint64_t *id, uint64_t ns, struct gmig_repair *result,
		struct gmig_error *err)
{
	struct repair *repair = NULL;
	uint64_t begin_ns;
	int ret;

	memset(result, 0, sizeof(*result));
	if (gmig->plain)
		return gmig_fail(err, -EOPNOTSUPP, "%s", gmig->why_off);
	ret = take(gmig, *id, &repair, err);
	if (ret)
		return ret;
	*id = repair->id;
	begin_ns = gmig->sys->now_ns();
	do {
		step(repair);
	} while (!repair->result.done && gmig->sys->now_ns() - begin_ns < ns);
	report(repair, result);
	leave(gmig, repair);
	return 0;
}
