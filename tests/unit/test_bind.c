/* Ranges of a guest's memory that have a policy: where first touches go. */
#include "../../migrate/memory/bindings.h"
#include "../../migrate/memory/bound_touch.h"
#include "../../migrate/memory/frame.h"
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>

#define BLOCKS 8
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)
#define NODES  4

static struct rig rig;
static const unsigned int third[] = {0, 2, 3};

static void create(bool small)
{
	struct rig_options options = {
	    .bytes = BYTES, .nodes = NODES, .untouched = true, .small_pages = small};

	rig_create(&rig, &options);
}

static void bind(uint64_t first, uint64_t pages, enum gmig_policy_mode mode, const char *nodes)
{
	struct gmig_policy asked = {.mode = mode};
	struct mempolicy *policy;

	ck_assert_int_eq(gmig_node_set_parse(nodes, &asked.nodes, NULL), 0);
	ck_assert_int_eq(mempolicy_create(&asked, gmig_topology_nodes(rig.topology), &policy), 0);
	ck_assert_int_eq(bindings_set(rig.gmig->bindings, first, pages, policy, NULL), 0);
	mempolicy_put(policy);
}

/* GMIG_NO_NODE: no memory. */
static unsigned int node_of(uint64_t page)
{
	struct shadow_entry entry;

	rig_settle(&rig);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, page, &entry), 0);
	return entry.node;
}

static uint64_t resident(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];

	rig_settle(&rig);
	gmig_residency(rig.gmig, 0, bytes);
	return bytes[node];
}

static void finish(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static void touch_all(void)
{
	for (uint64_t page = 0; page < rig.pages; page++)
		rig_write_page(&rig, page);
}

START_TEST(huge_first_touch_goes_where_its_number_says)
{
	struct gmig_stats stats;

	create(false);
	bind(0, rig.pages, GMIG_POLICY_INTERLEAVE, "0,2,3");
	/* In whatever order: from the end. */
	for (uint64_t block = BLOCKS; block-- > 0;)
		rig_write_page(&rig, block * GMIG_BLOCK_PAGES + 7);
	touch_all();
	for (uint64_t block = 0; block < BLOCKS; block++)
		ck_assert_uint_eq(node_of(block * GMIG_BLOCK_PAGES), third[block % 3]);
	gmig_stats(rig.gmig, &stats);
	if (rig.gmig->thp)
		ck_assert_uint_eq(stats.page_bytes_2m, BYTES);
	finish();
}
END_TEST

START_TEST(small_first_touch_goes_where_its_number_says)
{
	create(true);
	bind(0, rig.pages, GMIG_POLICY_INTERLEAVE, "0,2,3");
	for (uint64_t page = rig.pages; page > 0; page -= 5 < page ? 5 : page)
		rig_write_page(&rig, page - 1);
	touch_all();
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), third[page % 3]);
	finish();
}
END_TEST

/* A part of a block has a policy: the rest of it goes where it would go without. */
START_TEST(range_within_a_block_ends_where_it_ends)
{
	create(_i);
	bind(700, 50, GMIG_POLICY_PREFERRED, "3");
	bind(730, 10, GMIG_POLICY_BIND, "1,2");
	touch_all();
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), page < 700 || page >= 750   ? 0
						 : page >= 730 && page < 740 ? 1
									     : 3);
	ck_assert_uint_eq(resident(1), 10 * GMIG_PAGE_BYTES);
	finish();
}
END_TEST

START_TEST(populate_follows_policies)
{
	const struct gmig_populate how = {.threads = 3};
	struct gmig_error err = {0};

	create(_i);
	bind(0, 3 * GMIG_BLOCK_PAGES, GMIG_POLICY_BIND, "2");
	bind(3 * GMIG_BLOCK_PAGES, 100, GMIG_POLICY_INTERLEAVE, "1,3");
	ck_assert_msg(!gmig_populate(rig.gmig, &how, &err), "%s", err.text);
	ck_assert_uint_eq(resident(2), 3 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(resident(1), 50 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(resident(3), 50 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(resident(0), BYTES - 3 * GMIG_BLOCK_BYTES - 100 * GMIG_PAGE_BYTES);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(*rig_page(&rig, page), 0);
	touch_all();
	finish();
}
END_TEST

/* A page that was given back comes again by its policy, alone. */
START_TEST(discarded_page_is_filled_by_its_policy)
{
	create(_i);
	touch_all();
	ck_assert_uint_eq(resident(0), BYTES);
	bind(0, rig.pages, GMIG_POLICY_INTERLEAVE, "1,2");
	ck_assert_int_eq(madvise((void *)rig_page(&rig, 100), 4 * GMIG_PAGE_BYTES, MADV_DONTNEED),
			 0);
	for (uint64_t page = 100; page < 104; page++)
		rig_write_page(&rig, page);
	ck_assert_uint_eq(resident(1), 2 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(resident(2), 2 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(node_of(101), 2);
	finish();
}
END_TEST

/* No toucher waits for all of a block that falls apart into single pages. */
START_TEST(interleaved_touch_fills_its_neighbours_only)
{
	create(true);
	bind(0, rig.pages, GMIG_POLICY_INTERLEAVE, "1,2");
	rig_write_page(&rig, 40);
	ck_assert_uint_eq(resident(1) + resident(2), 16 * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(node_of(32), 1);
	ck_assert_uint_eq(node_of(47), 2);
	ck_assert_uint_eq(node_of(48), GMIG_NO_NODE);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("bind");
	Suite *suite = suite_create("bind");

	tcase_add_test(tcase, huge_first_touch_goes_where_its_number_says);
	tcase_add_test(tcase, small_first_touch_goes_where_its_number_says);
	tcase_add_loop_test(tcase, range_within_a_block_ends_where_it_ends, 0, 2);
	tcase_add_loop_test(tcase, populate_follows_policies, 0, 2);
	tcase_add_loop_test(tcase, discarded_page_is_filled_by_its_policy, 0, 2);
	tcase_add_test(tcase, interleaved_touch_fills_its_neighbours_only);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
