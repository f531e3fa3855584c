#include "../../migrate/memory/shadow.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_PAGES 512u

static struct shadow *shadow;

/* ---- An allocator that counts, can fail, and leaves rubbish in what it takes back ------------ */

static int outstanding, allocations, fail_at; /* outstanding: atomic (call_rcu's thread) */

static void *counting_alloc(size_t bytes)
{
	void *memory;

	if (++allocations == fail_at)
		return NULL;
	memory = aligned_alloc(4096, bytes);
	if (memory) {
		memset(memory, 0, bytes);
		__atomic_fetch_add(&outstanding, 1, __ATOMIC_RELAXED);
	}
	return memory;
}

static void counting_release(void *memory, size_t bytes)
{
	memset(memory, 0xff, bytes);
	free(memory);
	__atomic_fetch_sub(&outstanding, 1, __ATOMIC_RELAXED);
}

static const struct shadow_alloc counting = {counting_alloc, counting_release};

/* ---- Helpers -------------------------------------------------------------------------------- */

static void setup(void)
{
	allocations = fail_at = outstanding = 0;
	ck_assert_int_eq(shadow_create(&counting, &shadow), 0);
	ck_assert_int_eq(shadow_reserve(shadow, 0, 8 * BLOCK_PAGES), 0);
}

static void teardown(void)
{
	shadow_destroy(shadow);
	ck_assert_int_eq(__atomic_load_n(&outstanding, __ATOMIC_RELAXED), 0);
}

static struct shadow_entry at(uint64_t gfn)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(shadow, gfn, &entry), 0);
	return entry;
}

static int change(uint64_t gfn, unsigned int order, enum shadow_event event, uint16_t node)
{
	struct shadow_change what = {gfn, order, event, node, 77};

	return shadow_change(shadow, &what, NULL, NULL);
}

static void must(uint64_t gfn, unsigned int order, enum shadow_event event, uint16_t node)
{
	ck_assert_int_eq(change(gfn, order, event, node), 0);
}

/* Bring a NONE entry into a state, on node 1, bound for node 2. */
static void bring_to(uint64_t gfn, unsigned int order, enum shadow_state state)
{
	if (state != SHADOW_NONE)
		must(gfn, order, SHADOW_TOUCH, 1);
	if (state == SHADOW_CLAIMED || state == SHADOW_COPYING || state == SHADOW_HINT)
		must(gfn, order, SHADOW_CLAIM, 2);
	if (state == SHADOW_COPYING || state == SHADOW_HINT)
		must(gfn, order, SHADOW_CLOSE, 0);
	if (state == SHADOW_HINT)
		must(gfn, order, SHADOW_WAIT, 0);
	if (state == SHADOW_SWAPPED)
		must(gfn, order, SHADOW_SWAP_OUT, 0);
	ck_assert_int_eq(at(gfn).state, state);
}

/* ---- Node ids as wide as Linux has them ------------------------------------------------------ */

START_TEST(entry_keeps_the_largest_node_ids_apart_from_its_neighbours)
{
	for (unsigned int order = 0; order <= 9; order += 9) {
		struct shadow_entry entry;

		if (!order)
			ck_assert_int_eq(shadow_split(shadow, 512), 0);
		must(order ? 0 : 512, order, SHADOW_TOUCH, 1023);
		must(order ? 0 : 512, order, SHADOW_CLAIM, 1022);
		entry = at(order ? 0 : 512);
		ck_assert_int_eq(entry.state, SHADOW_CLAIMED);
		ck_assert_uint_eq(entry.node, 1023);
		ck_assert_uint_eq(entry.target, 1022);
		ck_assert_uint_eq(entry.generation, 2);
		ck_assert_uint_eq(entry.owner, 77);
	}
}
END_TEST

/* ---- States --------------------------------------------------------------------------------- */

struct step {
	bool allowed;
	enum shadow_state state;
	uint16_t node, target;
	uint8_t owner;
};

#define NO_NODE GMIG_NO_NODE

/* What DESIGN says, told without the table: [state][event], from node 1, bound for 2, with
 * argument 3. */
static const struct step model[SHADOW_STATES][SHADOW_EVENTS] = {
    [SHADOW_NONE] = {[SHADOW_TOUCH] = {true, SHADOW_PRESENT, 3, NO_NODE, 0}},
    [SHADOW_PRESENT] = {[SHADOW_CLAIM] = {true, SHADOW_CLAIMED, 1, 3, 77},
			[SHADOW_DISCARD] = {true, SHADOW_NONE, NO_NODE, NO_NODE, 0},
			[SHADOW_CORRECT] = {true, SHADOW_PRESENT, 3, NO_NODE, 0},
			[SHADOW_SWAP_OUT] = {true, SHADOW_SWAPPED, 1, NO_NODE, 0}},
    [SHADOW_SWAPPED] = {[SHADOW_DISCARD] = {true, SHADOW_NONE, NO_NODE, NO_NODE, 0},
			[SHADOW_CORRECT] = {true, SHADOW_PRESENT, 3, NO_NODE, 0}},
    [SHADOW_CLAIMED] = {[SHADOW_CLOSE] = {true, SHADOW_COPYING, 1, 2, 77},
			[SHADOW_PUTBACK] = {true, SHADOW_PRESENT, 1, NO_NODE, 0},
			[SHADOW_DISCARD] = {true, SHADOW_NONE, NO_NODE, NO_NODE, 0}},
    [SHADOW_HINT] = {[SHADOW_PICK] = {true, SHADOW_COPYING, 1, 3, 77}},
    [SHADOW_COPYING] = {[SHADOW_SETTLE] = {true, SHADOW_PRESENT, 2, NO_NODE, 0},
			[SHADOW_WAIT] = {true, SHADOW_HINT, 1, 2, 77},
			[SHADOW_PUTBACK] = {true, SHADOW_PRESENT, 1, NO_NODE, 0}},
};

/* Field by field: the struct has padding. */
static void ck_same_entry(const struct shadow_entry *a, const struct shadow_entry *b)
{
	ck_assert_int_eq(a->state, b->state);
	ck_assert_uint_eq(a->order, b->order);
	ck_assert_uint_eq(a->node, b->node);
	ck_assert_uint_eq(a->target, b->target);
	ck_assert_uint_eq(a->generation, b->generation);
	ck_assert_uint_eq(a->owner, b->owner);
}

static void check_step(unsigned int order, enum shadow_state state, enum shadow_event event)
{
	uint64_t gfn = (uint64_t)order * 4 * BLOCK_PAGES / 9;
	struct shadow_change what = {gfn, order, event, 3, 77};
	const struct step *step = &model[state][event];
	struct shadow_entry before, after = {0}, now;
	struct gmig_error err = {0};
	int ret;

	bring_to(gfn, order, state);
	before = at(gfn);
	ret = shadow_change(shadow, &what, &after, &err);
	now = at(gfn);
	if (!step->allowed) {
		ck_assert_int_eq(ret, -EPERM);
		ck_assert_int_eq(err.code, -EPERM);
		ck_assert_ptr_nonnull(strstr(err.text, shadow_state_name(state)));
		ck_assert_ptr_nonnull(strstr(err.text, shadow_event_name(event)));
		ck_assert_ptr_nonnull(strstr(err.text, order ? "0x800" : "0x0"));
		ck_same_entry(&now, &before);
		return;
	}
	ck_assert_int_eq(ret, 0);
	ck_same_entry(&now, &after);
	ck_assert_int_eq(now.state, step->state);
	ck_assert_uint_eq(now.order, order);
	ck_assert_uint_eq(now.node, step->node);
	ck_assert_uint_eq(now.target, step->target);
	ck_assert_uint_eq(now.owner, step->owner);
	ck_assert_uint_eq(now.generation, (uint8_t)(before.generation + 1));
}

/* _i: order, state and event. */
START_TEST(event_in_a_state_leads_where_the_model_says)
{
	unsigned int order = _i / (SHADOW_STATES * SHADOW_EVENTS) ? 9 : 0;

	if (!order)
		ck_assert_int_eq(shadow_split(shadow, 0), 0);
	check_step(order, (enum shadow_state)(_i / SHADOW_EVENTS % SHADOW_STATES),
		   (enum shadow_event)(_i % SHADOW_EVENTS));
}
END_TEST

START_TEST(change_of_what_does_not_exist_is_einval)
{
	ck_assert_int_eq(change(0, 9, SHADOW_EVENTS, 0), -EINVAL);
	ck_assert_int_eq(change(0, 9, (enum shadow_event) - 1, 0), -EINVAL);
	ck_assert_int_eq(change(0, 3, SHADOW_TOUCH, 0), -EINVAL);
	ck_assert_int_eq(change(1, 9, SHADOW_TOUCH, 0), -EINVAL);
	ck_assert_int_eq(change(0, 9, SHADOW_TOUCH, GMIG_MAX_NODES), -EINVAL);
	ck_assert_int_eq(change(0, 9, SHADOW_TOUCH, NO_NODE), -EINVAL);
	ck_assert_int_eq(at(0).state, SHADOW_NONE);
}
END_TEST

START_TEST(change_outside_guest_ram_is_efault)
{
	struct gmig_error err = {0};
	struct shadow_change what = {8 * BLOCK_PAGES, 9, SHADOW_TOUCH, 0, 0};

	ck_assert_int_eq(shadow_change(shadow, &what, NULL, &err), -EFAULT);
	ck_assert_ptr_nonnull(strstr(err.text, "0x1000"));
	ck_assert_int_eq(change(1ull << 36, 9, SHADOW_TOUCH, 0), -EFAULT);
	ck_assert_int_eq(change(~511ull, 9, SHADOW_TOUCH, 0), -EFAULT);
}
END_TEST

START_TEST(names_of_states_and_events_are_all_different)
{
	for (int i = 0; i < SHADOW_STATES; i++) {
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(shadow_state_name((enum shadow_state)i),
					 shadow_state_name((enum shadow_state)j));
	}
	for (int i = 0; i < SHADOW_EVENTS; i++) {
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(shadow_event_name((enum shadow_event)i),
					 shadow_event_name((enum shadow_event)j));
	}
	ck_assert_str_eq(shadow_state_name(SHADOW_STATES), "unknown");
	ck_assert_str_eq(shadow_event_name(SHADOW_EVENTS), "unknown");
}
END_TEST

/* ---- Reserve and look up -------------------------------------------------------------------- */

START_TEST(reserved_range_is_none_in_2m_entries)
{
	struct shadow_entry entry = at(8 * BLOCK_PAGES - 1);

	ck_assert_int_eq(entry.state, SHADOW_NONE);
	ck_assert_uint_eq(entry.order, 9);
	ck_assert_uint_eq(entry.node, NO_NODE);
	ck_assert_uint_eq(entry.target, NO_NODE);
}
END_TEST

START_TEST(lookup_outside_guest_ram_is_efault)
{
	static const uint64_t outside[] = {8 * BLOCK_PAGES, 1 << 18,	1 << 27,   1ull << 35,
					   1ull << 36,	    1ull << 40, UINT64_MAX};
	struct shadow_entry entry;

	for (unsigned int i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		ck_assert_int_eq(shadow_lookup(shadow, outside[i], &entry), -EFAULT);
}
END_TEST

START_TEST(reserve_of_a_bad_range_is_einval)
{
	ck_assert_int_eq(shadow_reserve(shadow, 1, 512), -EINVAL);
	ck_assert_int_eq(shadow_reserve(shadow, 1 << 20, 511), -EINVAL);
	ck_assert_int_eq(shadow_reserve(shadow, 1 << 20, 0), -EINVAL);
	ck_assert_int_eq(shadow_reserve(shadow, 1ull << 36, 512), -EINVAL);
	ck_assert_int_eq(shadow_reserve(shadow, (1ull << 36) - 512, 1024), -EINVAL);
	ck_assert_int_eq(shadow_reserve(shadow, ~511ull, 1024), -EINVAL);
	ck_assert_int_eq(shadow_reserve(shadow, (1ull << 36) - 512, 512), 0);
	ck_assert_int_eq(at((1ull << 36) - 1).state, SHADOW_NONE);
}
END_TEST

START_TEST(reserve_that_overlaps_changes_nothing)
{
	struct shadow_entry entry;

	must(7 * BLOCK_PAGES, 9, SHADOW_TOUCH, 5);
	ck_assert_int_eq(shadow_split(shadow, 7 * BLOCK_PAGES), 0);
	ck_assert_int_eq(shadow_reserve(shadow, 7 * BLOCK_PAGES, 4 * BLOCK_PAGES), -EEXIST);
	ck_assert_int_eq(shadow_reserve(shadow, 0, 1 << 20), -EEXIST);
	ck_assert_uint_eq(at(7 * BLOCK_PAGES).node, 5);
	ck_assert_int_eq(shadow_lookup(shadow, 8 * BLOCK_PAGES, &entry), -EFAULT);
	ck_assert_int_eq(shadow_reserve(shadow, 8 * BLOCK_PAGES, BLOCK_PAGES), 0);
}
END_TEST

START_TEST(entries_far_apart_do_not_touch_each_other)
{
	static const uint64_t gfn[] = {1 << 18, 1 << 27, 1ull << 35, (1ull << 36) - 512};

	for (unsigned int i = 0; i < 4; i++)
		ck_assert_int_eq(shadow_reserve(shadow, gfn[i], 512), 0);
	for (unsigned int i = 0; i < 4; i++)
		must(gfn[i], 9, SHADOW_TOUCH, (uint8_t)(10 + i));
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(at(gfn[i] + 511).node, 10 + i);
	ck_assert_int_eq(at(0).state, SHADOW_NONE);
}
END_TEST

/* ---- Split and collapse --------------------------------------------------------------------- */

START_TEST(split_keeps_the_content_in_every_state)
{
	enum shadow_state state = (enum shadow_state)_i;
	struct shadow_entry whole, part;

	bring_to(512, 9, state);
	whole = at(512);
	ck_assert_int_eq(shadow_split(shadow, 600), 0);
	whole.order = 0;
	for (uint64_t gfn = 512; gfn < 1024; gfn++) {
		part = at(gfn);
		ck_same_entry(&part, &whole);
	}
	ck_assert_uint_eq(at(511).order, 9);
	ck_assert_uint_eq(at(1024).order, 9);
}
END_TEST

START_TEST(split_of_what_is_split_is_eexist)
{
	ck_assert_int_eq(shadow_split(shadow, 0), 0);
	ck_assert_int_eq(shadow_split(shadow, 0), -EEXIST);
	ck_assert_int_eq(shadow_split(shadow, 511), -EEXIST);
	ck_assert_int_eq(shadow_split(shadow, 8 * BLOCK_PAGES), -EFAULT);
	ck_assert_int_eq(shadow_split(shadow, UINT64_MAX), -EFAULT);
}
END_TEST

START_TEST(change_by_the_wrong_order_is_eagain)
{
	ck_assert_int_eq(change(0, 0, SHADOW_TOUCH, 1), -EAGAIN);
	ck_assert_int_eq(shadow_split(shadow, 0), 0);
	ck_assert_int_eq(change(0, 9, SHADOW_TOUCH, 1), -EAGAIN);
	ck_assert_int_eq(at(0).state, SHADOW_NONE);
	must(0, 0, SHADOW_TOUCH, 1);
	ck_assert_int_eq(at(1).state, SHADOW_NONE);
}
END_TEST

START_TEST(change_of_a_block_takes_the_pages_that_may)
{
	struct shadow_change what = {0, 0, SHADOW_CLAIM, 3, 7};
	struct bits pages = {{0}}, refused;

	ck_assert_int_eq(shadow_split(shadow, 0), 0);
	for (uint64_t gfn = 0; gfn < 5; gfn++)
		must(gfn, 0, SHADOW_TOUCH, gfn == 2 ? 1 : 0); /* the others were never touched */
	bits_set_range(&pages, 1, 6);
	shadow_change_block(shadow, &what, 0, &pages, &refused);
	/* 2 lies elsewhere, 5 and 6 are nowhere, 0 was not asked for */
	ck_assert_uint_eq(bits_count(&refused), 3);
	ck_assert(bits_get(&refused, 2) && bits_get(&refused, 5) && bits_get(&refused, 6));
	ck_assert_int_eq(at(0).state, SHADOW_PRESENT);
	ck_assert_int_eq(at(1).state, SHADOW_CLAIMED);
	ck_assert_uint_eq(at(1).owner, 7);
	ck_assert_int_eq(at(2).state, SHADOW_PRESENT);
	ck_assert_int_eq(at(4).state, SHADOW_CLAIMED);
	/* By another order, of another place, at another start: nothing changes. */
	what.event = SHADOW_PUTBACK;
	what.order = 9;
	shadow_change_block(shadow, &what, NO_NODE, &pages, &refused);
	ck_assert_mem_eq(&refused, &pages, sizeof(pages));
	what.order = 0;
	what.gfn = 8 * BLOCK_PAGES;
	shadow_change_block(shadow, &what, NO_NODE, &pages, &refused);
	ck_assert_mem_eq(&refused, &pages, sizeof(pages));
	what.gfn = 1;
	shadow_change_block(shadow, &what, NO_NODE, &pages, &refused);
	ck_assert_mem_eq(&refused, &pages, sizeof(pages));
	ck_assert_int_eq(at(4).state, SHADOW_CLAIMED);
}
END_TEST

START_TEST(change_of_a_huge_block_is_one_change)
{
	struct shadow_change what = {BLOCK_PAGES, 9, SHADOW_CLAIM, 3, 7};
	struct bits pages, refused;

	bits_fill(&pages);
	must(BLOCK_PAGES, 9, SHADOW_TOUCH, 1);
	shadow_change_block(shadow, &what, 0, &pages, &refused);
	ck_assert_mem_eq(&refused, &pages, sizeof(pages)); /* it lies on node 1 */
	ck_assert_int_eq(at(BLOCK_PAGES).state, SHADOW_PRESENT);
	shadow_change_block(shadow, &what, 1, &pages, &refused);
	ck_assert(bits_empty(&refused));
	ck_assert_int_eq(at(BLOCK_PAGES + 9).state, SHADOW_CLAIMED);
	ck_assert_uint_eq(at(BLOCK_PAGES).generation, 2);
	what.order = 0; /* of 4K entries, which it has none of */
	what.event = SHADOW_CLOSE;
	shadow_change_block(shadow, &what, NO_NODE, &pages, &refused);
	ck_assert_mem_eq(&refused, &pages, sizeof(pages));
	ck_assert_int_eq(at(BLOCK_PAGES).state, SHADOW_CLAIMED);
}
END_TEST

START_TEST(collapse_joins_entries_that_are_alike)
{
	enum shadow_state state = (enum shadow_state)_i;
	struct shadow_entry whole;

	ck_assert_int_eq(shadow_split(shadow, 0), 0);
	for (uint64_t gfn = 0; gfn < 512; gfn++)
		bring_to(gfn, 0, state);
	if (state == SHADOW_PRESENT || state == SHADOW_SWAPPED) {
		/* Nobody owns them: the frames need not be one huge page. */
		ck_assert_int_eq(shadow_collapse(shadow, 5), -EBUSY);
		return;
	}
	ck_assert_int_eq(shadow_collapse(shadow, 5), 0);
	whole = at(511);
	ck_assert_uint_eq(whole.order, 9);
	ck_assert_int_eq(whole.state, state);
	ck_assert_uint_eq(whole.node, state == SHADOW_NONE ? NO_NODE : 1);
	ck_assert_uint_eq(whole.target, state == SHADOW_NONE ? NO_NODE : 2);
	ck_assert_uint_eq(whole.owner, state == SHADOW_NONE ? 0 : 77);
	ck_assert_int_eq(shadow_collapse(shadow, 5), -EEXIST);
	ck_assert_int_eq(shadow_collapse(shadow, 8 * BLOCK_PAGES), -EFAULT);
}
END_TEST

/* The odd one out differs in state, node, target or owner; first, last or in the middle. */
START_TEST(collapse_of_entries_that_differ_leaves_all_as_they_were)
{
	static const uint64_t odd_ones[] = {0, 255, 511};
	uint64_t odd = odd_ones[_i / 4];
	struct shadow_change claim = {odd, 0, SHADOW_CLAIM, _i % 4 == 2 ? 9 : 2,
				      _i % 4 == 3 ? 78 : 77};

	ck_assert_int_eq(shadow_split(shadow, 0), 0);
	for (uint64_t gfn = 0; gfn < 512; gfn++) {
		if (gfn != odd)
			bring_to(gfn, 0, SHADOW_CLAIMED);
	}
	must(odd, 0, SHADOW_TOUCH, _i % 4 == 1 ? 9 : 1);
	if (_i % 4)
		ck_assert_int_eq(shadow_change(shadow, &claim, NULL, NULL), 0);
	ck_assert_int_eq(shadow_collapse(shadow, 0), -EBUSY);
	/* Thawed: every entry can still be changed. */
	if (!(_i % 4))
		must(odd, 0, SHADOW_CLAIM, 2);
	for (uint64_t gfn = 0; gfn < 512; gfn++)
		must(gfn, 0, SHADOW_PUTBACK, 0);
}
END_TEST

START_TEST(split_and_collapse_again_and_again_give_the_tables_back)
{
	uint64_t before = shadow_table_bytes(shadow);

	for (unsigned int i = 0; i < 200; i++) {
		ck_assert_int_eq(shadow_split(shadow, 0), 0);
		ck_assert_uint_ge(shadow_table_bytes(shadow), before + 4096);
		ck_assert_int_eq(shadow_collapse(shadow, 0), 0);
	}
	shadow_destroy(shadow);
	shadow = NULL;
	ck_assert_int_eq(__atomic_load_n(&outstanding, __ATOMIC_RELAXED), 0);
}
END_TEST

/* ---- Walk ----------------------------------------------------------------------------------- */

struct seen {
	uint64_t gfn[2048];
	unsigned int order[2048];
	unsigned int count, stop_at;
};

static struct seen seen;

static int see(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	(void)arg;
	seen.gfn[seen.count] = gfn;
	seen.order[seen.count++] = entry->order;
	return seen.count == seen.stop_at ? 42 : 0;
}

static void walk(uint64_t gfn, uint64_t pages)
{
	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(shadow_walk(shadow, gfn, pages, see, NULL), 0);
}

START_TEST(walk_visits_each_entry_once_in_order)
{
	ck_assert_int_eq(shadow_split(shadow, 512), 0);
	walk(0, 8 * BLOCK_PAGES);
	ck_assert_uint_eq(seen.count, 7 + 512);
	ck_assert_uint_eq(seen.gfn[0], 0);
	ck_assert_uint_eq(seen.order[0], 9);
	for (unsigned int i = 0; i < 512; i++) {
		ck_assert_uint_eq(seen.gfn[1 + i], 512 + i);
		ck_assert_uint_eq(seen.order[1 + i], 0);
	}
	ck_assert_uint_eq(seen.gfn[513], 1024);
	ck_assert_uint_eq(seen.gfn[518], 7 * 512);
}
END_TEST

START_TEST(walk_over_part_of_a_block_visits_what_covers_it)
{
	ck_assert_int_eq(shadow_split(shadow, 512), 0);
	walk(510, 5);
	ck_assert_uint_eq(seen.count, 4);
	ck_assert_uint_eq(seen.gfn[0], 0);
	ck_assert_uint_eq(seen.gfn[1], 512);
	ck_assert_uint_eq(seen.gfn[3], 514);
	walk(700, 2);
	ck_assert_uint_eq(seen.count, 2);
	ck_assert_uint_eq(seen.gfn[0], 700);
	walk(700, 0);
	ck_assert_uint_eq(seen.count, 0);
}
END_TEST

START_TEST(walk_skips_holes_of_every_size)
{
	static const uint64_t gfn[] = {0x2000, 1 << 18, 1 << 27, (1ull << 36) - 512};

	for (unsigned int i = 0; i < 4; i++)
		ck_assert_int_eq(shadow_reserve(shadow, gfn[i], 512), 0);
	walk(8 * BLOCK_PAGES, UINT64_MAX);
	ck_assert_uint_eq(seen.count, 4);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(seen.gfn[i], gfn[i]);
	walk(1ull << 36, UINT64_MAX);
	ck_assert_uint_eq(seen.count, 0);
}
END_TEST

/* All eight blocks are holes; one gets memory, and one small pages, which are visited whatever they are. */
START_TEST(walk_of_what_is_present_leaves_out_blocks_that_are_holes)
{
	struct shadow_change touch = {.gfn = 5 * BLOCK_PAGES, .order = 9, .event = SHADOW_TOUCH};

	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(shadow_walk_present(shadow, 0, 8 * BLOCK_PAGES, see, NULL), 0);
	ck_assert_uint_eq(seen.count, 0);
	ck_assert_int_eq(shadow_change(shadow, &touch, NULL, NULL), 0);
	ck_assert_int_eq(shadow_split(shadow, 2 * BLOCK_PAGES), 0);
	ck_assert_int_eq(shadow_walk_present(shadow, 0, 8 * BLOCK_PAGES, see, NULL), 0);
	ck_assert_uint_eq(seen.count, 512 + 1);
	ck_assert_uint_eq(seen.gfn[0], 2 * BLOCK_PAGES);
	ck_assert_uint_eq(seen.gfn[512], 5 * BLOCK_PAGES);
	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(shadow_walk_present(shadow, 5 * BLOCK_PAGES + 7, BLOCK_PAGES, see, NULL),
			 0);
	ck_assert_uint_eq(seen.count, 1);
	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(shadow_walk_present(shadow, 6 * BLOCK_PAGES, UINT64_MAX, see, NULL), 0);
	ck_assert_uint_eq(seen.count, 0);
}
END_TEST

/* Whole tables are passed over until something in them is touched or split, each in its way. */
START_TEST(walk_of_what_is_present_sees_the_first_memory_of_each_gib)
{
	const uint64_t gib = 1 << 18;
	struct shadow_change touch = {.gfn = gib, .order = 9, .event = SHADOW_TOUCH};
	struct bits all, refused;

	bits_fill(&all);
	for (uint64_t i = 1; i < 5; i++) {
		ck_assert_int_eq(shadow_reserve(shadow, i * gib, gib), 0);
		ck_assert(shadow_is_hole(shadow, i * gib));
	}
	memset(&seen, 0, sizeof(seen));
	ck_assert_int_eq(shadow_walk_present(shadow, gib, UINT64_MAX, see, NULL), 0);
	ck_assert_uint_eq(seen.count, 0);
	ck_assert_int_eq(shadow_change(shadow, &touch, NULL, NULL), 0);
	touch.gfn = 4 * gib - 512;
	shadow_change_block(shadow, &touch, GMIG_NO_NODE, &all, &refused);
	ck_assert(bits_empty(&refused));
	ck_assert_int_eq(shadow_split(shadow, 4 * gib + 512), 0);
	ck_assert_int_eq(shadow_walk_present(shadow, gib, UINT64_MAX, see, NULL), 0);
	ck_assert_uint_eq(seen.count, 2 + 512);
	ck_assert_uint_eq(seen.gfn[0], gib);
	ck_assert_uint_eq(seen.gfn[1], 4 * gib - 512);
	ck_assert_uint_eq(seen.gfn[2], 4 * gib + 512);
	for (uint64_t i = 1; i < 5; i++)
		ck_assert_int_eq(shadow_is_hole(shadow, i * gib), i == 2);
	ck_assert(!shadow_is_hole(shadow, 5 * gib)); /* no guest RAM */
}
END_TEST

START_TEST(walk_stops_at_the_first_result_that_is_not_zero)
{
	memset(&seen, 0, sizeof(seen));
	seen.stop_at = 3;
	ck_assert_int_eq(shadow_walk(shadow, 0, 8 * BLOCK_PAGES, see, NULL), 42);
	ck_assert_uint_eq(seen.count, 3);
}
END_TEST

/* ---- Memory --------------------------------------------------------------------------------- */

static int use_all_tables(void)
{
	int ret = shadow_create(&counting, &shadow);

	if (ret) {
		shadow = NULL;
		return ret;
	}
	ret = shadow_reserve(shadow, (1ull << 27) - 1024, 2048);
	if (!ret)
		ret = shadow_split(shadow, 1ull << 27);
	if (!ret)
		ret = shadow_split(shadow, (1ull << 27) - 1);
	return ret;
}

START_TEST(failure_of_the_nth_table_loses_nothing)
{
	struct shadow_entry entry;
	int needed, ret;

	teardown();
	allocations = 0;
	ck_assert_int_eq(use_all_tables(), 0);
	needed = allocations;
	ck_assert_int_eq(needed, 7); /* root, 2 of level 3, 2 of level 2, 2 of level 1 */
	teardown();
	for (int n = 1; n <= needed; n++) {
		allocations = 0;
		fail_at = n;
		ret = use_all_tables();
		ck_assert_int_eq(ret, -ENOMEM);
		if (n == 1) {
			ck_assert_ptr_null(shadow);
			continue;
		}
		/* Reserve: all or nothing. Split: as before. And a second attempt works. */
		ret = shadow_lookup(shadow, (1ull << 27) - 1024, &entry);
		ck_assert_int_eq(ret, n <= 5 ? -EFAULT : 0);
		if (n <= 5)
			ck_assert_int_eq(shadow_reserve(shadow, (1ull << 27) - 1024, 2048), 0);
		ck_assert_int_eq(at((1ull << 27) - 1).order, 9);
		ck_assert_int_eq(shadow_split(shadow, (1ull << 27) - 1), 0);
		ck_assert_int_eq(at((1ull << 27) - 1).order, 0);
		teardown();
	}
	setup();
}
END_TEST

START_TEST(tables_of_a_12_tib_guest_take_a_250000th)
{
	uint64_t pages = 12ull << 28, bytes;

	teardown();
	ck_assert_int_eq(shadow_create(NULL, &shadow), 0);
	ck_assert_int_eq(shadow_reserve(shadow, 0, pages), 0);
	bytes = shadow_table_bytes(shadow);
	ck_assert_uint_le(bytes, pages * 4096 / 250000);
	ck_assert_uint_eq(at(pages - 1).order, 9);
}
END_TEST

START_TEST(tables_of_a_guest_in_4k_pages_take_a_400th)
{
	uint64_t pages = 1ull << 20; /* 4 GiB */

	teardown();
	ck_assert_int_eq(shadow_create(NULL, &shadow), 0);
	ck_assert_int_eq(shadow_reserve(shadow, 0, pages), 0);
	for (uint64_t gfn = 0; gfn < pages; gfn += 512)
		ck_assert_int_eq(shadow_split(shadow, gfn), 0);
	ck_assert_uint_le(shadow_table_bytes(shadow), pages * 4096 / 400);
}
END_TEST

START_TEST(destroy_of_nothing_is_legal)
{
	shadow_destroy(NULL);
}
END_TEST

static void add_tests(TCase *tcase)
{
	tcase_add_loop_test(tcase, event_in_a_state_leads_where_the_model_says, 0,
			    2 * SHADOW_STATES * SHADOW_EVENTS);
	tcase_add_test(tcase, entry_keeps_the_largest_node_ids_apart_from_its_neighbours);
	tcase_add_test(tcase, change_of_what_does_not_exist_is_einval);
	tcase_add_test(tcase, change_outside_guest_ram_is_efault);
	tcase_add_test(tcase, names_of_states_and_events_are_all_different);
	tcase_add_test(tcase, reserved_range_is_none_in_2m_entries);
	tcase_add_test(tcase, lookup_outside_guest_ram_is_efault);
	tcase_add_test(tcase, reserve_of_a_bad_range_is_einval);
	tcase_add_test(tcase, reserve_that_overlaps_changes_nothing);
	tcase_add_test(tcase, entries_far_apart_do_not_touch_each_other);
	tcase_add_loop_test(tcase, split_keeps_the_content_in_every_state, 0, SHADOW_STATES);
	tcase_add_test(tcase, split_of_what_is_split_is_eexist);
	tcase_add_test(tcase, change_by_the_wrong_order_is_eagain);
	tcase_add_test(tcase, change_of_a_block_takes_the_pages_that_may);
	tcase_add_test(tcase, change_of_a_huge_block_is_one_change);
	tcase_add_loop_test(tcase, collapse_joins_entries_that_are_alike, 0, SHADOW_STATES);
	tcase_add_loop_test(tcase, collapse_of_entries_that_differ_leaves_all_as_they_were, 0, 12);
	tcase_add_test(tcase, split_and_collapse_again_and_again_give_the_tables_back);
	tcase_add_test(tcase, walk_visits_each_entry_once_in_order);
	tcase_add_test(tcase, walk_over_part_of_a_block_visits_what_covers_it);
	tcase_add_test(tcase, walk_skips_holes_of_every_size);
	tcase_add_test(tcase, walk_stops_at_the_first_result_that_is_not_zero);
	tcase_add_test(tcase, walk_of_what_is_present_leaves_out_blocks_that_are_holes);
	tcase_add_test(tcase, walk_of_what_is_present_sees_the_first_memory_of_each_gib);
	tcase_add_test(tcase, failure_of_the_nth_table_loses_nothing);
	tcase_add_test(tcase, tables_of_a_12_tib_guest_take_a_250000th);
	tcase_add_test(tcase, tables_of_a_guest_in_4k_pages_take_a_400th);
	tcase_add_test(tcase, destroy_of_nothing_is_legal);
}

int main(void)
{
	Suite *suite = suite_create("shadow");
	TCase *tcase = tcase_create("shadow");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	add_tests(tcase);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
