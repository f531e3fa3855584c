/* The ledger: each posting changes what it names by what it says and nothing else, on the first node and on the last one. */
#include "../../migrate/memory/ledger.h"
#include "suite.h"

#include <string.h>

#define LAST_NODE  (GMIG_MAX_NODES - 1)
#define LAST_VNODE (GMIG_MAX_VNODES - 1)

static struct ledger *ledger;

static void setup(void)
{
	ck_assert_int_eq(ledger_create(&ledger), 0);
	ck_assert_int_eq(ledger_add_vnode(ledger, 0), 0);
	ck_assert_int_eq(ledger_add_vnode(ledger, LAST_VNODE), 0);
}

static void teardown(void)
{
	ledger_destroy(ledger);
}

/* The accounts of a node, or of all of them: OUTSIDE, MAPPED, POOL, FLIGHT, QUARANTINE, SWAPPED. */
static void assert_accounts(unsigned int node, const long expected[LEDGER_ACCOUNTS])
{
	for (unsigned int i = 0; i < LEDGER_ACCOUNTS; i++) {
		long pages = node == GMIG_NO_NODE
				 ? ledger_total(ledger, (enum ledger_account)i)
				 : ledger_pages(ledger, node, (enum ledger_account)i);

		ck_assert_msg(pages == expected[i], "node %u account %u: %ld", node, i, pages);
	}
}

#define ASSERT(node, ...) assert_accounts(node, (const long[LEDGER_ACCOUNTS]){__VA_ARGS__})

static void assert_sizes(uint64_t huge, uint64_t small)
{
	uint64_t pages_2m, pages_4k;

	ledger_sizes(ledger, &pages_2m, &pages_4k);
	ck_assert_uint_eq(pages_2m, huge);
	ck_assert_uint_eq(pages_4k, small);
}

START_TEST(posting_takes_from_one_account_and_gives_to_another)
{
	ASSERT(GMIG_NO_NODE, 0);
	ledger_post(ledger, 0, LEDGER_OUTSIDE, LEDGER_POOL, 10);
	ledger_post(ledger, LAST_NODE, LEDGER_OUTSIDE, LEDGER_FLIGHT, 7);
	ledger_post(ledger, 0, LEDGER_POOL, LEDGER_QUARANTINE, 3);
	ledger_post(ledger, 0, LEDGER_POOL, LEDGER_FLIGHT, 0);
	ASSERT(0, -10, 0, 7, 0, 3, 0);
	ASSERT(1, 0);
	ASSERT(LAST_NODE, -7, 0, 0, 7, 0, 0);
	ASSERT(GMIG_NO_NODE, -17, 0, 7, 7, 3, 0);
	ck_assert_int_eq(ledger_sum(ledger, LEDGER_POOL, LEDGER_FLIGHT), 14);
	ck_assert_int_eq(ledger_sum(ledger, LEDGER_QUARANTINE, LEDGER_POOL), 10);
	ck_assert_int_eq(ledger_sum(ledger, LEDGER_POOL, LEDGER_POOL), 7);
	ledger_relabel(ledger, LAST_NODE, 0, 5);
	ASSERT(LAST_NODE, -2, 0, 0, 2, 0, 0);
	ASSERT(0, -15, 0, 7, 5, 3, 0);
	ASSERT(GMIG_NO_NODE, -17, 0, 7, 7, 3, 0);
}
END_TEST

static void map_first(unsigned int vnode, unsigned int to, long pages, bool huge)
{
	const struct ledger_map map = {.vnode = vnode,
				       .from = GMIG_NO_NODE,
				       .to = to,
				       .to_from = LEDGER_OUTSIDE,
				       .pages = pages,
				       .huge = huge};

	ledger_map(ledger, &map);
}

START_TEST(mapped_pages_are_kept_by_node_vnode_and_size)
{
	struct ledger_map map = {.vnode = LAST_VNODE,
				 .from = 0,
				 .to = LAST_NODE,
				 .from_of = LEDGER_MAPPED,
				 .from_to = LEDGER_FLIGHT,
				 .to_from = LEDGER_POOL,
				 .pages = 512,
				 .huge = true};

	map_first(0, 0, 100, false);
	map_first(LAST_VNODE, 0, 1024, true);
	ASSERT(0, -1124, 1124, 0, 0, 0, 0);
	assert_sizes(1024, 100);
	ck_assert_int_eq(ledger_resident(ledger, 0, 0), 100);
	ck_assert_int_eq(ledger_resident(ledger, LAST_VNODE, 0), 1024);
	ck_assert_int_eq(ledger_resident(ledger, 0, 1), 0);
	ck_assert_int_eq(ledger_resident(ledger, 1, 0), 0); /* nobody knows it */
	/* A move: out of one account and node, into others. */
	ledger_map(ledger, &map);
	ASSERT(0, -1124, 612, 0, 512, 0, 0);
	ASSERT(LAST_NODE, 0, 512, -512, 0, 0, 0);
	assert_sizes(1024, 100);
	ck_assert_int_eq(ledger_resident(ledger, LAST_VNODE, 0), 512);
	ck_assert_int_eq(ledger_resident(ledger, LAST_VNODE, LAST_NODE), 512);
	/* One half of it alone: it goes. */
	map.from = LAST_NODE;
	map.to = GMIG_NO_NODE;
	map.from_to = LEDGER_OUTSIDE;
	ledger_map(ledger, &map);
	ASSERT(LAST_NODE, 512, 0, -512, 0, 0, 0);
	ck_assert_int_eq(ledger_resident(ledger, LAST_VNODE, LAST_NODE), 0);
	assert_sizes(512, 100);
	ledger_split(ledger, 0, 512);
	assert_sizes(0, 612);
	ledger_split(ledger, 0, -512);
	assert_sizes(512, 100);
	ledger_split(ledger, 0, 513);
	assert_sizes(0, 613); /* what cannot be is not told */
	/* One that is known is not forgotten. */
	ck_assert_int_eq(ledger_add_vnode(ledger, 0), 0);
	ck_assert_int_eq(ledger_resident(ledger, 0, 0), 100);
}
END_TEST

START_TEST(swapped_pages_are_on_no_node_and_of_no_size)
{
	struct ledger_map map = {.vnode = LAST_VNODE,
				 .from = LAST_NODE,
				 .to = GMIG_NO_NODE,
				 .from_of = LEDGER_MAPPED,
				 .from_to = LEDGER_SWAPPED,
				 .pages = 3};

	map_first(LAST_VNODE, LAST_NODE, 10, false);
	ledger_map(ledger, &map);
	ASSERT(LAST_NODE, -10, 7, 0, 0, 0, 3);
	ck_assert_int_eq(ledger_swapped(ledger, LAST_VNODE), 3);
	ck_assert_int_eq(ledger_swapped(ledger, 0), 0);
	ck_assert_int_eq(ledger_resident(ledger, LAST_VNODE, LAST_NODE), 7);
	assert_sizes(0, 7);
	/* One comes back, on another node. */
	map = (struct ledger_map){.vnode = LAST_VNODE,
				  .from = LAST_NODE,
				  .to = 0,
				  .from_of = LEDGER_SWAPPED,
				  .from_to = LEDGER_OUTSIDE,
				  .to_from = LEDGER_OUTSIDE,
				  .pages = 1};
	ledger_map(ledger, &map);
	ASSERT(LAST_NODE, -9, 7, 0, 0, 0, 2);
	ASSERT(0, -1, 1, 0, 0, 0, 0);
	ck_assert_int_eq(ledger_swapped(ledger, LAST_VNODE), 2);
	assert_sizes(0, 8);
}
END_TEST

/* ---- Counting ----------------------------------------------------------------------------------- */

static struct ledger_difference compare(struct ledger_count *count, bool correct)
{
	struct ledger_difference difference;

	memset(&difference, 0xff, sizeof(difference));
	ledger_count_compare(count, correct, &difference);
	return difference;
}

static void count_run(struct ledger_count *count, unsigned int vnode, unsigned int node, long pages,
		      int huge_or_swapped)
{
	const struct ledger_run run = {.vnode = vnode,
				       .node = node,
				       .pages = pages,
				       .huge = huge_or_swapped == 1,
				       .swapped = huge_or_swapped == 2};

	ledger_count_add(count, &run);
}

START_TEST(count_that_met_all_agrees_and_one_that_did_not_says_by_how_much)
{
	struct ledger_difference difference;
	struct ledger_count *count;

	map_first(0, 0, 100, false);
	map_first(LAST_VNODE, LAST_NODE, 1024, true);
	ck_assert_int_eq(ledger_count_begin(ledger, &count), 0);
	/* Pages on two nodes, of two vnodes, of two sizes: each of them differs. */
	difference = compare(count, false);
	ck_assert_uint_eq(difference.node, 0);
	ck_assert_int_eq(difference.counted, 0);
	ck_assert_int_eq(difference.booked, 100);
	ck_assert_uint_eq(difference.pages, 3 * (100 + 1024));
	count_run(count, 0, 0, 100, 0);
	difference = compare(count, false);
	ck_assert_uint_eq(difference.node, LAST_NODE);
	ck_assert_int_eq(difference.counted, 0);
	ck_assert_int_eq(difference.booked, 1024);
	ck_assert_uint_eq(difference.pages, 3 * 1024);
	count_run(count, LAST_VNODE, LAST_NODE, 512, 1);
	count_run(count, LAST_VNODE, LAST_NODE, 512, 1);
	difference = compare(count, true);
	ck_assert_uint_eq(difference.node, GMIG_NO_NODE);
	ck_assert_uint_eq(difference.pages, 0);
	ASSERT(0, -100, 100, 0, 0, 0, 0);
	/* What is counted too much, too. */
	count_run(count, 0, 0, 1, 0);
	difference = compare(count, false);
	ck_assert_uint_eq(difference.node, 0);
	ck_assert_int_eq(difference.counted, 101);
	ck_assert_int_eq(difference.booked, 100);
	ck_assert_uint_eq(difference.pages, 3);
	ledger_count_end(count);
	ledger_count_end(NULL);
}
END_TEST

START_TEST(books_are_corrected_at_the_cost_of_what_is_outside)
{
	struct ledger_count *count;

	map_first(0, 0, 100, false);
	map_first(LAST_VNODE, LAST_NODE, 512, true);
	ck_assert_int_eq(ledger_count_begin(ledger, &count), 0);
	count_run(count, 0, 0, 90, 0);
	count_run(count, 0, 1, 5, 2);
	count_run(count, LAST_VNODE, LAST_NODE, 1024, 1);
	ck_assert_uint_eq(compare(count, false).pages, 3 * 10 + 3 * 512 + 2 * 5);
	ASSERT(0, -100, 100, 0, 0, 0, 0);
	ck_assert_uint_eq(compare(count, true).pages, 3 * 10 + 3 * 512 + 2 * 5);
	ASSERT(0, -90, 90, 0, 0, 0, 0);
	ASSERT(1, -5, 0, 0, 0, 0, 5);
	ASSERT(LAST_NODE, -1024, 1024, 0, 0, 0, 0);
	ck_assert_int_eq(ledger_resident(ledger, 0, 0), 90);
	ck_assert_int_eq(ledger_swapped(ledger, 0), 5);
	ck_assert_int_eq(ledger_resident(ledger, LAST_VNODE, LAST_NODE), 1024);
	assert_sizes(1024, 90);
	ck_assert_uint_eq(compare(count, false).pages, 0);
	ledger_count_end(count);
}
END_TEST

/* A change before the position is a change of the tally; one at it or behind it will be met. */
START_TEST(count_follows_what_changes_behind_it)
{
	struct ledger_map map = {.vnode = 0,
				 .from = 0,
				 .to = 1,
				 .from_of = LEDGER_MAPPED,
				 .from_to = LEDGER_OUTSIDE,
				 .to_from = LEDGER_OUTSIDE,
				 .pages = 10};
	struct ledger_count *count[3];

	map_first(0, 0, 100, false);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_int_eq(ledger_count_begin(ledger, &count[i]), 0);
		count_run(count[i], 0, 0, 100, 0);
		ledger_count_reached(count[i], 6 + i);
	}
	map.position = 6; /* the first has not been there */
	ledger_map(ledger, &map);
	ck_assert_uint_eq(compare(count[0], false).pages, 4 * 10);
	ck_assert_uint_eq(compare(count[1], false).pages, 0);
	ck_assert_uint_eq(compare(count[2], false).pages, 0);
	/* Into swap, and back. */
	map.position = 7;
	map.to = GMIG_NO_NODE;
	map.from_to = LEDGER_SWAPPED;
	ledger_map(ledger, &map);
	ck_assert_uint_eq(compare(count[2], false).pages, 0);
	ck_assert_uint_eq(compare(count[1], false).pages, 5 * 10);
	map.from_of = LEDGER_SWAPPED;
	map.from_to = LEDGER_OUTSIDE;
	map.to = 1;
	ledger_map(ledger, &map);
	ck_assert_uint_eq(compare(count[2], false).pages, 0);
	/* Of two that are left the one in the middle has ended. */
	ledger_count_end(count[1]);
	map_first(0, 2, 512, true); /* at 0 */
	ck_assert_uint_eq(compare(count[2], false).pages, 0);
	map.position = 8;
	ledger_split(ledger, 8, 512);
	ck_assert_uint_eq(compare(count[2], false).pages, 2 * 512);
	ledger_split(ledger, 8, -512);
	ledger_split(ledger, 7, 512);
	ck_assert_uint_eq(compare(count[2], false).pages, 0);
	ledger_count_end(count[2]);
	ledger_count_end(count[0]);
}
END_TEST

START_TEST(pool_that_was_counted_agrees_or_becomes_what_it_is)
{
	unsigned int number = ledger_pool_start(ledger), next;
	long counted = -1, booked = -1;
	uint64_t pages = 99;

	ck_assert_uint_eq(ledger_pool_end(ledger, false, &counted, &booked, &pages), GMIG_NO_NODE);
	ck_assert_uint_eq(pages, 0);
	ck_assert_int_eq(counted, -1);
	/* In and out of it behind the count, which follows; and before it. */
	ledger_post_pool(ledger, 0, LEDGER_OUTSIDE, LEDGER_POOL, 10, number);
	ledger_post_pool(ledger, 0, LEDGER_POOL, LEDGER_FLIGHT, 4, number);
	ledger_post_pool(ledger, 0, LEDGER_POOL, LEDGER_FLIGHT, 0, number);
	ledger_post_pool(ledger, LAST_NODE, LEDGER_OUTSIDE, LEDGER_POOL, 7, number - 1);
	ASSERT(0, -10, 0, 6, 4, 0, 0);
	ASSERT(LAST_NODE, -7, 0, 7, 0, 0, 0);
	ck_assert_uint_eq(ledger_pool_end(ledger, false, &counted, &booked, &pages), LAST_NODE);
	ck_assert_int_eq(counted, 0);
	ck_assert_int_eq(booked, 7);
	ck_assert_uint_eq(pages, 7);
	ledger_pool_add(ledger, LAST_NODE, 5);
	ledger_pool_add(ledger, 0, -1);
	ck_assert_uint_eq(ledger_pool_end(ledger, true, &counted, &booked, &pages), 0);
	ck_assert_int_eq(counted, 5);
	ck_assert_int_eq(booked, 6);
	ck_assert_uint_eq(pages, 3);
	ASSERT(0, -9, 0, 5, 4, 0, 0);
	ASSERT(LAST_NODE, -5, 0, 5, 0, 0, 0);
	/* Another one begins with nothing. */
	next = ledger_pool_start(ledger);
	ck_assert_uint_ne(next, number);
	ledger_pool_add(ledger, 0, 5);
	ledger_pool_add(ledger, LAST_NODE, 5);
	ck_assert_uint_eq(ledger_pool_end(ledger, false, &counted, &booked, &pages), GMIG_NO_NODE);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    posting_takes_from_one_account_and_gives_to_another,
	    mapped_pages_are_kept_by_node_vnode_and_size,
	    swapped_pages_are_on_no_node_and_of_no_size,
	    count_that_met_all_agrees_and_one_that_did_not_says_by_how_much,
	    books_are_corrected_at_the_cost_of_what_is_outside,
	    count_follows_what_changes_behind_it,
	    pool_that_was_counted_agrees_or_becomes_what_it_is,
	};

	return run_tests("ledger", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
