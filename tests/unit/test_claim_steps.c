/* Claims, step by step: which pages each step changes, who is told and woken of it, and what is counted. */
#include "../../migrate/core/heat.h"
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/fixed.h"
#include "../../migrate/memory/region.h"
#include "rig.h"

#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BYTES (8ull << 20)
#define BLOCK GMIG_BLOCK_PAGES

static struct rig rig;
static struct gmig_sys sys;

static atomic_ullong clock_ns; /* 0: the real one */
static atomic_uint wakes;
static struct uffdio_range woken; /* the last */

static uint64_t now_told(void)
{
	uint64_t told = atomic_load(&clock_ns);

	return told ? told : gmig_sys_real.now_ns();
}

static int ioctl_noted(int fd, unsigned long request, void *arg)
{
	if (request == UFFDIO_WAKE) {
		atomic_fetch_add(&wakes, 1);
		woken = *(const struct uffdio_range *)arg;
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

static void start(bool small)
{
	sys = gmig_sys_real;
	sys.now_ns = now_told;
	sys.ioctl = ioctl_noted;
	atomic_store(&clock_ns, 0);
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = small, .sys = &sys});
	atomic_store(&wakes, 0);
}

static void end(void)
{
	atomic_store(&clock_ns, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static struct claim claim_of(unsigned int first, unsigned int count)
{
	struct claim claim = {.gmig = rig.gmig,
			      .region = &rig.gmig->regions[0],
			      .block_gfn = BLOCK,
			      .from = 0,
			      .to = 1,
			      .owner = 0x107,
			      .memory = BOOKS_KERNEL};

	bits_set_range(&claim.pages, first, count);
	return claim;
}

static struct claim huge_claim(void)
{
	struct claim claim = claim_of(0, BLOCK);

	claim.huge = true;
	return claim;
}

static void take(struct claim *claim)
{
	struct bits refused;

	claim_take(claim, &refused);
	ck_assert(bits_empty(&refused));
}

static void let_go(struct claim *claim)
{
	const struct claim_result nothing = {.stall = NULL};

	claim_settle(claim, &nothing);
}

static struct bits range(unsigned int first, unsigned int count)
{
	struct bits bits = {{0}};

	bits_set_range(&bits, first, count);
	return bits;
}

/* These pages of the block, each an entry of its own, are in that state, on that node. */
static void expect(unsigned int first, unsigned int count, enum shadow_state state,
		   unsigned int node)
{
	struct shadow_entry entry;

	for (unsigned int i = first; i < first + count; i++) {
		ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, BLOCK + i, &entry), 0);
		ck_assert_msg(entry.state == state && entry.node == node && !entry.order,
			      "page %u is %s on node %u", i, shadow_state_name(entry.state),
			      entry.node);
	}
}

static void expect_huge(enum shadow_state state, unsigned int node)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, BLOCK + 7, &entry), 0);
	ck_assert_uint_eq(entry.order, 9);
	ck_assert_int_eq(entry.state, state);
	ck_assert_uint_eq(entry.node, node);
}

static struct stripe *stripe_of(uint64_t gfn)
{
	return engine_stripe(rig.gmig, gfn);
}

static void sleep_on(uint64_t gfn, int tid, bool writer, uint64_t since_ns)
{
	struct stripe *stripe = stripe_of(gfn);
	struct sleeper *sleeper = malloc(sizeof(*sleeper));

	*sleeper = (struct sleeper){.next = stripe->sleepers,
				    .gfn = gfn,
				    .since_ns = since_ns,
				    .tid = tid,
				    .writer = writer,
				    .vcpu = tid % 2};
	stripe->sleepers = sleeper;
	atomic_fetch_add(&rig.gmig->sleepers, 1);
}

/* ---- Taken --------------------------------------------------------------------------------------- */

START_TEST(claim_takes_what_nobody_has_and_no_more)
{
	struct claim first, second;
	struct shadow_entry entry;
	struct bits refused;

	start(true);
	first = claim_of(100, 50);
	second = claim_of(0, BLOCK);
	take(&first);
	claim_take(&second, &refused);
	for (unsigned int i = 0; i < BLOCK; i++) {
		bool other = i >= 100 && i < 150;

		ck_assert(bits_get(&refused, i) == other);
		ck_assert(bits_get(&second.pages, i) == !other);
	}
	expect(0, BLOCK, SHADOW_COPYING, 0);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, BLOCK, &entry), 0);
	ck_assert_uint_eq(entry.target, 1);
	ck_assert_uint_eq(entry.owner, 7);
	let_go(&first);
	expect(99, 1, SHADOW_COPYING, 0);
	expect(100, 50, SHADOW_PRESENT, 0);
	expect(150, 1, SHADOW_COPYING, 0);
	let_go(&second);
	expect(0, BLOCK, SHADOW_PRESENT, 0);
	ck_assert_ptr_null(stripe_of(BLOCK)->claims);
	end();
}
END_TEST

START_TEST(claim_that_got_nothing_is_not_listed)
{
	struct claim first, second;
	struct bits refused;

	start(true);
	first = claim_of(0, BLOCK);
	second = claim_of(3, 4);
	take(&first);
	claim_take(&second, &refused);
	ck_assert_uint_eq(bits_count(&refused), 4);
	ck_assert(bits_get(&refused, 3) && bits_get(&refused, 6));
	ck_assert(bits_empty(&second.pages));
	ck_assert_ptr_eq(stripe_of(BLOCK)->claims, &first);
	ck_assert_ptr_null(first.next);
	let_go(&first);
	end();
}
END_TEST

START_TEST(block_that_may_not_move_is_refused_and_its_neighbour_is_not)
{
	struct claim claim, next;
	struct bits refused;

	start(true);
	claim = claim_of(3, 4);
	next = claim_of(3, 4);
	next.block_gfn = 2 * BLOCK;
	ck_assert_int_eq(fixed_set(rig.gmig, BLOCK, BLOCK, true, NULL), 0);
	claim_take(&claim, &refused);
	ck_assert_uint_eq(bits_count(&refused), 4);
	ck_assert(bits_empty(&claim.pages));
	expect(0, BLOCK, SHADOW_PRESENT, 0);
	take(&next);
	let_go(&next);
	end();
}
END_TEST

START_TEST(claims_are_settled_in_any_order)
{
	struct claim claim[3];
	struct stripe *stripe;

	start(true);
	stripe = stripe_of(BLOCK);
	for (unsigned int i = 0; i < 3; i++) {
		claim[i] = claim_of(10 * i, 10);
		take(&claim[i]);
	}
	for (unsigned int i = 0; i < 3; i++) {
		unsigned int one = (i + 1 + (unsigned int)_i) % 3;

		let_go(&claim[one]);
		for (unsigned int page = 0; page < 40; page++)
			ck_assert(claim_holds(stripe, BLOCK + page) ==
				  (page < 30 && page / 10 != one &&
				   (i < 1 || page / 10 != (one + 2) % 3) && i < 2));
		ck_assert(claim_holds_any(stripe, BLOCK) == (i < 2));
	}
	expect(0, BLOCK, SHADOW_PRESENT, 0);
	end();
}
END_TEST

/* ---- Settled ------------------------------------------------------------------------------------- */

START_TEST(each_page_of_a_claim_becomes_what_its_result_says)
{
	struct claim_result result = {.stall = NULL};
	uint64_t bytes[GMIG_MAX_NODES];
	struct claim claim;

	start(true);
	claim = claim_of(100, 100);
	take(&claim);
	result.moved = range(100, 30);
	result.gone = range(130, 20);
	bits_set(&result.gone, 5); /* which is not of the claim */
	claim_settle(&claim, &result);
	expect(0, 100, SHADOW_PRESENT, 0);
	expect(100, 30, SHADOW_PRESENT, 1);
	expect(130, 20, SHADOW_NONE, GMIG_NO_NODE);
	expect(150, BLOCK - 150, SHADOW_PRESENT, 0);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[1], 30 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(bytes[0], BYTES - 50 * GMIG_PAGE_BYTES);
	rig_destroy(&rig); /* the pages that are gone are there: no check */
}
END_TEST

START_TEST(page_that_broke_is_out_of_the_books)
{
	struct claim_result result = {.stall = NULL};
	uint64_t bytes[GMIG_MAX_NODES];
	struct claim claim;

	start(true);
	claim = claim_of(100, 100);
	take(&claim);
	result.broken = range(199, 1);
	claim_settle(&claim, &result);
	expect(100, 99, SHADOW_PRESENT, 0);
	expect(199, 1, SHADOW_SWAPPED, 0);
	expect(200, 1, SHADOW_PRESENT, 0);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0], BYTES - GMIG_PAGE_BYTES);
	rig_destroy(&rig);
}
END_TEST

/* What of a huge page moved, is gone or broke: none, one, all but one, all. */
START_TEST(huge_page_stays_one_entry_where_all_of_it_has_one_fate)
{
	static const unsigned int counts[] = {0, 1, BLOCK - 1, BLOCK};
	struct claim_result result = {.stall = NULL};
	unsigned int count = counts[_i % 4], fate = (unsigned int)_i / 4;
	static const enum shadow_state states[] = {SHADOW_PRESENT, SHADOW_NONE, SHADOW_SWAPPED};
	static const unsigned int nodes[] = {1, GMIG_NO_NODE, 0};
	struct claim claim;

	start(false);
	if (!huge_or_skip(rig.gmig)) {
		rig_destroy(&rig);
		return;
	}
	claim = huge_claim();
	take(&claim);
	expect_huge(SHADOW_COPYING, 0);
	*(fate == 0 ? &result.moved : fate == 1 ? &result.gone : &result.broken) = range(0, count);
	claim_settle(&claim, &result);
	if (!count) {
		expect_huge(SHADOW_PRESENT, 0);
	} else if (count == BLOCK && fate < 2) {
		expect_huge(states[fate], nodes[fate]);
	} else {
		expect(0, count, states[fate], nodes[fate]);
		expect(count, BLOCK - count, SHADOW_PRESENT, 0);
	}
	ck_assert(claim.huge == (!count || (count == BLOCK && fate < 2)));
	rig_destroy(&rig);
}
END_TEST

START_TEST(huge_claim_that_is_split_is_one_of_512_pages)
{
	struct claim_result result = {.stall = NULL};
	struct claim claim;

	start(false);
	claim = huge_claim();
	if (huge_or_skip(rig.gmig)) {
		take(&claim);
		ck_assert_int_eq(claim_split(&claim), 0);
		ck_assert(!claim.huge);
		expect(0, BLOCK, SHADOW_COPYING, 0);
		result.moved = range(0, 1);
		claim_settle(&claim, &result);
		expect(0, 1, SHADOW_PRESENT, 1);
		expect(1, BLOCK - 1, SHADOW_PRESENT, 0);
	}
	rig_destroy(&rig);
}
END_TEST

START_TEST(settled_block_is_woken_to_its_ends_and_once)
{
	struct claim claim;

	start(true);
	claim = claim_of(100, 1);
	take(&claim);
	ck_assert_uint_eq(atomic_load(&wakes), 0);
	let_go(&claim);
	ck_assert_uint_eq(atomic_load(&wakes), 1);
	ck_assert_uint_eq(woken.start, (uintptr_t)rig_page(&rig, BLOCK));
	ck_assert_uint_eq(woken.len, GMIG_BLOCK_BYTES);
	end();
}
END_TEST

START_TEST(waits_of_a_claim_are_summed_up)
{
	struct claim_result result = {.stall = NULL};
	static struct hist stall;
	struct gmig_percentiles times;
	struct claim claim;

	start(true);
	hist_reset(&stall);
	atomic_store(&clock_ns, 1000000);
	claim = claim_of(100, 100);
	take(&claim);
	sleep_on(BLOCK + 99, 1001, true, 1); /* of no page of it */
	sleep_on(BLOCK + 200, 1003, true, 1);
	sleep_on(2 * BLOCK + 150, 1005, true, 1);
	sleep_on(BLOCK + 100, 1007, true, 999000);
	sleep_on(BLOCK + 150, 1009, false, 993000);
	sleep_on(BLOCK + 199, 1011, true, 998000);
	claim_part_over(&claim, 100, 20, &stall);
	ck_assert_uint_eq(claim.slept.ns, 1000);
	ck_assert_uint_eq(claim.slept.longest_ns, 1000);
	ck_assert_uint_eq(claim.slept.threads, 1);
	ck_assert_uint_eq(claim.slept.writers, 1);
	atomic_store(&clock_ns, 1001000);
	result.stall = &stall;
	claim_settle(&claim, &result);
	ck_assert_uint_eq(claim.slept.ns, 1000 + 8000 + 3000);
	ck_assert_uint_eq(claim.slept.longest_ns, 8000);
	ck_assert_uint_eq(claim.slept.threads, 3);
	ck_assert_uint_eq(claim.slept.writers, 2);
	hist_summary(&stall, &times);
	ck_assert_uint_eq(times.count, 3);
	hist_summary(&rig.gmig->stall, &times);
	ck_assert_uint_eq(times.count, 3);
	ck_assert_uint_eq(atomic_load(&rig.gmig->sleepers), 3);
	/* A wait that is shorter than one before it is not the longest. */
	claim = claim_of(99, 1);
	claim.slept.longest_ns = 1000999 + 1;
	take(&claim);
	let_go(&claim);
	ck_assert_uint_eq(claim.slept.longest_ns, 1000999 + 1);
	ck_assert_uint_eq(claim.slept.ns, 1000999);
	claim = claim_of(200, 1);
	take(&claim);
	let_go(&claim);
	claim = claim_of(150, 1);
	claim.block_gfn = 2 * BLOCK;
	take(&claim);
	let_go(&claim);
	ck_assert_uint_eq(atomic_load(&rig.gmig->sleepers), 0);
	end();
}
END_TEST

START_TEST(heat_hears_of_a_block_that_moved_and_of_no_other)
{
	struct claim_result result = {.stall = NULL};
	struct heat *heat;
	struct claim claim;

	start(true);
	ck_assert_int_eq(heat_create(&heat), 0);
	atomic_store(&rig.gmig->memory.heat, heat);
	atomic_store(&clock_ns, 10 * HEAT_WINDOW_NS);
	ck_assert_int_eq(heat_note(heat, 0, HEAT_WINDOW_NS, GMIG_NO_NODE, 5 * HEAT_WINDOW_NS), 0);
	claim = claim_of(0, 10);
	take(&claim);
	let_go(&claim);
	ck_assert(!heat_was_moved(heat, 1, 10 * HEAT_WINDOW_NS));
	claim = claim_of(0, 10);
	take(&claim);
	result.moved = range(9, 1);
	claim_settle(&claim, &result);
	ck_assert(heat_was_moved(heat, 1, 10 * HEAT_WINDOW_NS));
	ck_assert(!heat_was_moved(heat, 0, 10 * HEAT_WINDOW_NS));
	ck_assert(!heat_was_moved(heat, 2, 10 * HEAT_WINDOW_NS));
	end();
}
END_TEST

/* ---- Waiting for a touch ------------------------------------------------------------------------- */

static struct {
	unsigned int count;
	struct claim_touch touch[8];
} told;

static void touched(void *arg, const struct claim_touch *touch)
{
	ck_assert_ptr_eq(arg, &told);
	told.touch[told.count++] = *touch;
}

static struct claim waiting_claim(unsigned int first, unsigned int count)
{
	struct claim claim = claim_of(first, count);

	claim.touched = touched;
	claim.touched_arg = &told;
	told.count = 0;
	return claim;
}

static void expect_told(unsigned int i, uint64_t gfn, int tid, bool vcpu, bool writer)
{
	ck_assert_uint_lt(i, told.count);
	ck_assert_uint_eq(told.touch[i].gfn, gfn);
	ck_assert_int_eq(told.touch[i].tid, tid);
	ck_assert(told.touch[i].vcpu == vcpu);
	ck_assert(told.touch[i].writer == writer);
}

START_TEST(pages_wait_and_the_others_leave_the_claim)
{
	struct bits pages, gone;
	struct claim claim;

	start(true);
	claim = waiting_claim(100, 100);
	take(&claim);
	atomic_store(&clock_ns, 5000);
	sleep_on(BLOCK + 99, 1001, false, 4000);
	sleep_on(BLOCK + 100, 1002, true, 4000);
	sleep_on(BLOCK + 149, 1003, false, 4000);
	sleep_on(BLOCK + 150, 1005, true, 4000);
	sleep_on(2 * BLOCK + 120, 1007, false, 4000);
	pages = range(100, 50);
	gone = range(190, 5);
	claim_wait(&claim, &pages, &gone);
	expect(99, 1, SHADOW_PRESENT, 0);
	expect(100, 50, SHADOW_HINT, 0);
	expect(150, 40, SHADOW_PRESENT, 0);
	expect(190, 5, SHADOW_NONE, GMIG_NO_NODE);
	expect(195, 6, SHADOW_PRESENT, 0);
	for (unsigned int i = 0; i < BLOCK; i++)
		ck_assert(bits_get(&claim.pages, i) == (i >= 100 && i < 150));
	/* Those who sleep on what waits are told of, the last one first; the one on what has left goes on. */
	ck_assert_uint_eq(told.count, 2);
	expect_told(0, BLOCK + 149, 1003, true, false);
	expect_told(1, BLOCK + 100, 1002, false, true);
	ck_assert_uint_eq(claim.slept.threads, 1);
	ck_assert_uint_eq(claim.slept.ns, 1000);
	ck_assert_uint_eq(atomic_load(&wakes), 1);
	claim_pick(&claim, &pages, 1);
	expect(100, 50, SHADOW_COPYING, 0);
	let_go(&claim);
	rig_destroy(&rig);
}
END_TEST

START_TEST(claim_that_waits_as_a_whole_wakes_nobody)
{
	const struct bits none = {{0}};
	struct shadow_entry entry;
	struct bits pages;
	struct claim claim;

	start(true);
	claim = waiting_claim(100, 100);
	take(&claim);
	pages = claim.pages;
	claim_wait(&claim, &pages, &none);
	expect(100, 100, SHADOW_HINT, 0);
	ck_assert_uint_eq(atomic_load(&wakes), 0);
	ck_assert_uint_eq(told.count, 0);
	claim.to = 0;
	pages = range(120, 2);
	claim_pick(&claim, &pages, 1);
	ck_assert_uint_eq(claim.to, 1);
	expect(119, 1, SHADOW_HINT, 0);
	expect(120, 2, SHADOW_COPYING, 0);
	expect(122, 1, SHADOW_HINT, 0);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, BLOCK + 121, &entry), 0);
	ck_assert_uint_eq(entry.target, 1);
	bits_set_range(&pages, 100, 20);
	bits_set_range(&pages, 122, 78);
	bits_clear_range(&pages, 120, 2);
	claim_pick(&claim, &pages, 1);
	let_go(&claim);
	expect(0, BLOCK, SHADOW_PRESENT, 0);
	end();
}
END_TEST

START_TEST(somebody_else_who_wants_pages_is_told_to_whoever_has_them_wait)
{
	struct claim claim, silent, elsewhere;
	struct bits pages;

	start(true);
	silent = claim_of(200, 10);
	elsewhere = waiting_claim(0, BLOCK);
	elsewhere.block_gfn = 2 * BLOCK;
	claim = waiting_claim(100, 100);
	take(&claim);
	take(&silent);
	take(&elsewhere);
	/* In one list, as those of blocks 512 MiB apart are. */
	ck_assert_ptr_eq(stripe_of(BLOCK)->claims, &silent);
	elsewhere.next = &silent;
	stripe_of(BLOCK)->claims = &elsewhere;
	pages = range(0, 100);
	claim_want(rig.gmig, BLOCK, &pages);
	ck_assert_uint_eq(told.count, 0);
	pages = range(150, BLOCK - 150);
	claim_want(rig.gmig, BLOCK, &pages);
	ck_assert_uint_eq(told.count, 1);
	expect_told(0, BLOCK + 150, 0, false, false);
	pages = range(0, BLOCK);
	claim_want(rig.gmig, BLOCK, &pages);
	ck_assert_uint_eq(told.count, 2);
	expect_told(1, BLOCK + 100, 0, false, false);
	stripe_of(BLOCK)->claims = &silent;
	elsewhere.next = NULL;
	let_go(&silent);
	let_go(&claim);
	let_go(&elsewhere);
	end();
}
END_TEST

/* ---- Who has a page ------------------------------------------------------------------------------ */

/* Of three blocks of one stripe; that of the middle has a hole in it. */
static struct stripe listed;
static struct claim held[3];

static void list(void)
{
	memset(&listed, 0, sizeof(listed));
	for (unsigned int i = 0; i < 3; i++) {
		held[i] = (struct claim){.block_gfn = (1 + i) * 256ull * BLOCK,
					 .touched = touched,
					 .touched_arg = &told};
		bits_set_range(&held[i].pages, 10, 10);
		held[i].next = listed.claims;
		listed.claims = &held[i];
	}
	bits_clear_range(&held[1].pages, 15, 1);
	told.count = 0;
}

static const uint64_t first_gfn = 2 * 256ull * BLOCK; /* of held[1] */

START_TEST(page_is_held_by_the_claim_that_has_it)
{
	list();
	ck_assert(!claim_holds(&listed, first_gfn + 9));
	ck_assert(claim_holds(&listed, first_gfn + 10));
	ck_assert(claim_holds(&listed, first_gfn + 14));
	ck_assert(!claim_holds(&listed, first_gfn + 15));
	ck_assert(claim_holds(&listed, first_gfn + 19));
	ck_assert(!claim_holds(&listed, first_gfn + 20));
	/* As far from the block's beginning as one of its pages is, but of other blocks. */
	ck_assert(!claim_holds(&listed, first_gfn + BLOCK + 10));
	ck_assert(!claim_holds(&listed, first_gfn - BLOCK + 10));
	ck_assert(!claim_holds(&listed, 10));
	for (unsigned int i = 0; i < 3; i++)
		ck_assert(claim_holds(&listed, held[i].block_gfn + 12));
	bits_fill(&held[1].pages);
	ck_assert(claim_holds(&listed, first_gfn) && claim_holds(&listed, first_gfn + BLOCK - 1));
	ck_assert(!claim_holds(&listed, first_gfn - 1) && !claim_holds(&listed, first_gfn + BLOCK));
}
END_TEST

START_TEST(block_has_a_claim_whatever_its_pages)
{
	list();
	for (unsigned int i = 0; i < 3; i++)
		ck_assert(claim_holds_any(&listed, held[i].block_gfn));
	ck_assert(!claim_holds_any(&listed, first_gfn + BLOCK));
	ck_assert(!claim_holds_any(&listed, 0));
	listed.claims = NULL;
	ck_assert(!claim_holds_any(&listed, first_gfn));
	ck_assert(!claim_holds(&listed, first_gfn + 10));
}
END_TEST

START_TEST(page_is_out_while_it_waits_for_a_touch_in_a_slot)
{
	list();
	held[0].in_place = true;
	held[2].touched = NULL;
	ck_assert(!claim_is_out(&listed, held[0].block_gfn + 10));
	ck_assert(claim_is_out(&listed, held[1].block_gfn + 10));
	ck_assert(!claim_is_out(&listed, held[1].block_gfn + 15));
	ck_assert(!claim_is_out(&listed, held[2].block_gfn + 10));
}
END_TEST

START_TEST(page_is_over_once_its_part_is)
{
	list();
	bits_set_range(&held[1].over, 12, 2);
	ck_assert(!claim_is_over(&listed, first_gfn + 11));
	ck_assert(claim_is_over(&listed, first_gfn + 12));
	ck_assert(claim_is_over(&listed, first_gfn + 13));
	ck_assert(!claim_is_over(&listed, first_gfn + 14));
	bits_set(&held[1].over, 15); /* which the claim has not got */
	ck_assert(!claim_is_over(&listed, first_gfn + 15));
	ck_assert(!claim_is_over(&listed, held[0].block_gfn + 12));
	ck_assert(!claim_is_over(&listed, held[2].block_gfn + 12));
}
END_TEST

START_TEST(touch_is_told_to_the_claim_that_has_the_page)
{
	struct claim_touch touch = {first_gfn + 12, 4711, true, true};

	list();
	ck_assert(claim_touched(&listed, &touch));
	ck_assert_uint_eq(told.count, 1);
	expect_told(0, first_gfn + 12, 4711, true, true);
	touch.gfn = first_gfn + 15;
	ck_assert(!claim_touched(&listed, &touch));
	touch.gfn = held[0].block_gfn + 19;
	ck_assert(claim_touched(&listed, &touch));
	held[0].touched = NULL; /* it does not wait for one */
	ck_assert(!claim_touched(&listed, &touch));
	ck_assert_uint_eq(told.count, 2);
}
END_TEST

START_TEST(reader_is_the_thread_that_reads_and_only_for_its_own_pages)
{
	struct stripe *stripe;
	struct claim claim;
	int tid = (int)syscall(SYS_gettid);

	list();
	held[1].reader = 7;
	ck_assert(claim_is_reader(&listed, first_gfn + 10, 7));
	ck_assert(!claim_is_reader(&listed, first_gfn + 10, 8));
	ck_assert(!claim_is_reader(&listed, first_gfn + 15, 7));
	ck_assert(!claim_is_reader(&listed, held[0].block_gfn + 10, 7));
	ck_assert(!claim_is_reader(&listed, held[0].block_gfn + 10, 0)); /* nobody's */
	start(true);
	stripe = stripe_of(BLOCK);
	claim = claim_of(10, 10);
	take(&claim);
	ck_assert(!claim_is_reader(stripe, BLOCK + 10, tid));
	claim_read_begin(&claim);
	ck_assert(claim_is_reader(stripe, BLOCK + 10, tid));
	ck_assert(!claim_is_reader(stripe, BLOCK + 20, tid));
	ck_assert(!claim_is_reader(stripe, BLOCK + 10, tid + 1));
	claim_read_end(&claim);
	ck_assert(!claim_is_reader(stripe, BLOCK + 10, tid));
	let_go(&claim);
	end();
}
END_TEST

START_TEST(abandoned_claim_is_listed_in_its_place_and_tells_nobody)
{
	struct claim claim, other;
	struct stripe *stripe;

	start(true);
	stripe = stripe_of(BLOCK);
	claim = waiting_claim(10, 10);
	other = claim_of(30, 10);
	take(&claim);
	take(&other);
	claim_abandon(&claim);
	memset(&claim, 0, sizeof(claim));
	ck_assert(stripe->claims->abandoned && !stripe->claims->touched);
	ck_assert_ptr_eq(stripe->claims->next, &other);
	ck_assert_ptr_null(other.next);
	ck_assert(claim_holds(stripe, BLOCK + 10) && !claim_holds(stripe, BLOCK + 20));
	expect(10, 10, SHADOW_COPYING, 0);
	claim_forget_all(stripe);
	ck_assert_ptr_null(stripe->claims);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("claim_steps");
	TCase *tcase = tcase_create("claim_steps");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, claim_takes_what_nobody_has_and_no_more);
	tcase_add_test(tcase, claim_that_got_nothing_is_not_listed);
	tcase_add_test(tcase, block_that_may_not_move_is_refused_and_its_neighbour_is_not);
	tcase_add_loop_test(tcase, claims_are_settled_in_any_order, 0, 3);
	tcase_add_test(tcase, each_page_of_a_claim_becomes_what_its_result_says);
	tcase_add_test(tcase, page_that_broke_is_out_of_the_books);
	tcase_add_loop_test(tcase, huge_page_stays_one_entry_where_all_of_it_has_one_fate, 0, 12);
	tcase_add_test(tcase, huge_claim_that_is_split_is_one_of_512_pages);
	tcase_add_test(tcase, settled_block_is_woken_to_its_ends_and_once);
	tcase_add_test(tcase, waits_of_a_claim_are_summed_up);
	tcase_add_test(tcase, heat_hears_of_a_block_that_moved_and_of_no_other);
	tcase_add_test(tcase, pages_wait_and_the_others_leave_the_claim);
	tcase_add_test(tcase, claim_that_waits_as_a_whole_wakes_nobody);
	tcase_add_test(tcase, somebody_else_who_wants_pages_is_told_to_whoever_has_them_wait);
	tcase_add_test(tcase, page_is_held_by_the_claim_that_has_it);
	tcase_add_test(tcase, block_has_a_claim_whatever_its_pages);
	tcase_add_test(tcase, page_is_out_while_it_waits_for_a_touch_in_a_slot);
	tcase_add_test(tcase, page_is_over_once_its_part_is);
	tcase_add_test(tcase, touch_is_told_to_the_claim_that_has_the_page);
	tcase_add_test(tcase, reader_is_the_thread_that_reads_and_only_for_its_own_pages);
	tcase_add_test(tcase, abandoned_claim_is_listed_in_its_place_and_tells_nobody);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
