/* Ranges that have a policy, to the page: what a first touch fills, where it goes when a node has nothing, and what is counted. */
#include "../../migrate/core/topology.h"
#include "../../migrate/memory/bindings.h"
#include "../../migrate/memory/bound_pages.h"
#include "../../migrate/memory/bound_touch.h"
#include "../../migrate/memory/policy.h"
#include "rig.h"

#include <errno.h>

#define BLOCKS 4
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)
#define BLOCK  GMIG_BLOCK_PAGES
#define NODES  4
#define NONE   GMIG_NO_NODE

static struct rig rig;
static struct gmig_sys sys;

static atomic_ullong clock_ns; /* 0: the real one */

static uint64_t now_told(void)
{
	uint64_t told = atomic_load(&clock_ns);

	return told ? told : gmig_sys_real.now_ns();
}

static void create(bool small)
{
	sys = gmig_sys_real;
	sys.now_ns = now_told;
	atomic_store(&clock_ns, 0);
	rig_create(&rig, &(struct rig_options){.bytes = BYTES,
					       .nodes = NODES,
					       .untouched = true,
					       .small_pages = small,
					       .sys = &sys});
}

static void finish(void)
{
	atomic_store(&clock_ns, 0);
	rig_settle(&rig);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static struct mempolicy *made(enum gmig_policy_mode mode, const char *nodes)
{
	struct gmig_policy asked = {.mode = mode};
	struct mempolicy *policy;

	ck_assert_int_eq(gmig_node_set_parse(nodes, &asked.nodes, NULL), 0);
	ck_assert_int_eq(mempolicy_create(&asked, gmig_topology_nodes(rig.topology), &policy), 0);
	return policy;
}

static void bind(uint64_t first, uint64_t pages, enum gmig_policy_mode mode, const char *nodes)
{
	struct mempolicy *policy = made(mode, nodes);

	ck_assert_int_eq(bindings_set(rig.gmig->bindings, first, pages, policy, NULL), 0);
	mempolicy_put(policy);
}

static void touch(uint64_t page)
{
	rig_write_page(&rig, page);
	rig_settle(&rig);
	ck_assert_uint_eq(rig_check_page(&rig, page), 0);
}

static struct shadow_entry entry_of(uint64_t page)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, page, &entry), 0);
	return entry;
}

/* Pages first..end lie on that node; NONE: nowhere. */
static void expect(uint64_t first, uint64_t end, unsigned int node)
{
	for (uint64_t page = first; page < end; page++) {
		struct shadow_entry entry = entry_of(page);

		ck_assert_msg(entry.node == node, "page %llu is on node %u",
			      (unsigned long long)page, entry.node);
	}
}

/* As if it had refused a page just now; time stands still from then on. */
static void has_nothing(unsigned int node, bool huge)
{
	atomic_store(&clock_ns, gmig_sys_real.now_ns());
	policy_note(rig.gmig->policy, node, huge, false);
	rig_publish(&rig);
}

/* ---- First touches ------------------------------------------------------------------------------- */

START_TEST(touch_fills_64_pages_of_its_range_and_no_others)
{
	create(true);
	bind(BLOCK + 10, 200, GMIG_POLICY_PREFERRED, "3");
	touch(BLOCK + 100);
	expect(BLOCK, BLOCK + 64, NONE);
	expect(BLOCK + 64, BLOCK + 128, 3);
	expect(BLOCK + 128, 2 * BLOCK, NONE);
	touch(BLOCK + 12); /* the range begins within these 64 */
	expect(BLOCK, BLOCK + 10, NONE);
	expect(BLOCK + 10, BLOCK + 128, 3);
	touch(BLOCK + 205); /* it ends within these */
	expect(BLOCK + 128, BLOCK + 192, NONE);
	expect(BLOCK + 192, BLOCK + 210, 3);
	expect(BLOCK + 210, 2 * BLOCK, NONE);
	expect(0, BLOCK, NONE);
	finish();
}
END_TEST

START_TEST(touch_of_an_interleaved_range_fills_16_pages)
{
	create(true);
	bind(BLOCK, 200, GMIG_POLICY_INTERLEAVE, "1,2");
	touch(BLOCK + 47);
	expect(BLOCK, BLOCK + 32, NONE);
	for (uint64_t page = BLOCK + 32; page < BLOCK + 48; page++)
		expect(page, page + 1, page % 2 ? 2 : 1);
	expect(BLOCK + 48, 2 * BLOCK, NONE);
	touch(BLOCK + 199);
	expect(BLOCK + 191, BLOCK + 192, NONE);
	expect(BLOCK + 192, BLOCK + 193, 1);
	expect(BLOCK + 199, BLOCK + 200, 2);
	expect(BLOCK + 200, 2 * BLOCK, NONE);
	finish();
}
END_TEST

START_TEST(pages_around_the_one_that_was_touched_stay_where_they_are)
{
	create(true);
	bind(0, 2 * BLOCK, GMIG_POLICY_PREFERRED, "3");
	touch(BLOCK + 20);
	bind(0, 2 * BLOCK, GMIG_POLICY_PREFERRED, "1");
	touch(BLOCK + 70);
	expect(BLOCK, BLOCK + 64, 3);
	expect(BLOCK + 64, BLOCK + 128, 1);
	bind(BLOCK + 90, 100, GMIG_POLICY_PREFERRED, "2");
	touch(BLOCK + 130);
	expect(BLOCK + 64, BLOCK + 128, 1);
	expect(BLOCK + 128, BLOCK + 190, 2);
	expect(BLOCK + 190, 2 * BLOCK, NONE);
	finish();
}
END_TEST

START_TEST(bind_goes_to_its_next_node_where_one_has_nothing)
{
	create(true);
	bind(0, BLOCK, GMIG_POLICY_BIND, "1,3");
	has_nothing(1, false);
	touch(100);
	/* That page alone: what is around it may find something on its own node when it is touched. */
	expect(0, 100, NONE);
	expect(100, 101, 3);
	expect(101, BLOCK, NONE);
	finish();
}
END_TEST

START_TEST(interleaved_pages_of_a_node_without_memory_wait_but_for_the_touched_one)
{
	create(true);
	bind(0, BLOCK, GMIG_POLICY_INTERLEAVE, "1,2");
	has_nothing(1, false);
	touch(40);
	for (uint64_t page = 32; page < 48; page++)
		if (page != 40)
			expect(page, page + 1, page % 2 ? 2 : NONE);
	ck_assert_uint_ne(entry_of(40).node, NONE);
	ck_assert_uint_ne(entry_of(40).node, 1);
	expect(0, 32, NONE);
	expect(48, BLOCK, NONE);
	finish();
}
END_TEST

/* It is the page's number that counts, and not its pair's: those of 42 and 21 belong on different nodes. */
START_TEST(interleaved_page_goes_near_the_node_it_belongs_on)
{
	static const uint8_t from_1[] = {30, 10, 15, 30};

	create(true);
	memcpy(rig.topology->distance + NODES, from_1, sizeof(from_1));
	rig_publish(&rig);
	bind(0, BLOCK, GMIG_POLICY_INTERLEAVE, "1,3");
	has_nothing(1, false);
	touch(42);
	expect(42, 43, 2);
	expect(40, 41, NONE);
	expect(41, 42, 3);
	finish();
}
END_TEST

START_TEST(node_that_is_not_allowed_gets_no_page_by_a_policy_that_names_it)
{
	create(_i);
	bind(0, BLOCK, GMIG_POLICY_BIND, "1,2");
	bind(BLOCK, BLOCK, GMIG_POLICY_INTERLEAVE, "1");
	bind(2 * BLOCK, BLOCK, GMIG_POLICY_PREFERRED, "1");
	gmig_node_set_remove(&rig.topology->allowed, 1);
	rig_publish(&rig);
	touch(5);
	touch(BLOCK + 5);
	touch(2 * BLOCK + 5);
	expect(5, 6, 2);
	for (uint64_t page = 0; page < 3 * BLOCK; page++)
		ck_assert_uint_ne(entry_of(page).node, 1);
	finish();
}
END_TEST

START_TEST(preferred_node_without_memory_is_left_for_another_one)
{
	create(true);
	bind(0, BLOCK, GMIG_POLICY_PREFERRED, "3");
	for (unsigned int node = 1; node < NODES; node++)
		has_nothing(node, false);
	touch(5);
	expect(5, 6, 0);
	expect(0, 5, NONE);
	expect(6, BLOCK, NONE);
	finish();
}
END_TEST

START_TEST(huge_page_goes_to_the_next_node_of_its_policy_that_has_memory)
{
	create(false);
	if (huge_or_skip(rig.gmig)) {
		bind(0, BLOCK, GMIG_POLICY_BIND, "1,3");
		bind(BLOCK, BLOCK, GMIG_POLICY_PREFERRED, "2");
		has_nothing(1, false);
		touch(7);
		expect(0, BLOCK, 3);
		ck_assert_uint_eq(entry_of(0).order, 9);
		touch(BLOCK);
		expect(BLOCK, 2 * BLOCK, 2);
		ck_assert_uint_eq(entry_of(BLOCK).order, 9);
		expect(2 * BLOCK, 4 * BLOCK, NONE);
	}
	finish();
}
END_TEST

/* Small pages on the right node before huge ones on another. */
START_TEST(block_without_a_huge_page_on_its_node_has_small_ones_there)
{
	create(false);
	bind(0, BLOCK, GMIG_POLICY_BIND, "1,3");
	has_nothing(1, true);
	touch(70);
	expect(0, 64, NONE);
	expect(64, 128, 1);
	expect(128, BLOCK, NONE);
	ck_assert_uint_eq(entry_of(70).order, 0);
	finish();
}
END_TEST

/* One page less than a block is no huge page. */
START_TEST(block_of_two_ranges_has_small_pages)
{
	create(false);
	bind(0, BLOCK - 1, GMIG_POLICY_PREFERRED, "2");
	bind(BLOCK + 1, BLOCK - 1, GMIG_POLICY_PREFERRED, "2");
	touch(0);
	expect(0, 64, 2);
	expect(64, BLOCK, NONE);
	touch(BLOCK - 1); /* of no range: by the vnode's node */
	expect(BLOCK - 1, BLOCK, 0);
	expect(64, BLOCK - 1, NONE);
	touch(BLOCK);
	expect(BLOCK, BLOCK + 1, 0);
	expect(BLOCK + 1, 2 * BLOCK, NONE);
	touch(2 * BLOCK - 1);
	expect(2 * BLOCK - 64, 2 * BLOCK, 2);
	expect(BLOCK + 1, 2 * BLOCK - 64, NONE);
	finish();
}
END_TEST

START_TEST(block_is_bound_when_one_of_its_pages_is)
{
	static const struct {
		uint64_t first, pages;
		bool bound;
	} cases[] = {
	    {BLOCK - 1, 1, false},
	    {BLOCK, 1, true},
	    {2 * BLOCK - 1, 1, true},
	    {2 * BLOCK, 1, false},
	    {BLOCK + 7, 3, true},
	    {0, 4 * BLOCK, true},
	    {0, BLOCK, false},
	    {2 * BLOCK, 2 * BLOCK, false},
	    {BLOCK - 1, BLOCK + 2, true},
	};

	create(true);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert(!bound_touch_is_bound(rig.gmig, BLOCK));
		bind(cases[i].first, cases[i].pages, GMIG_POLICY_BIND, "1");
		ck_assert_msg(bound_touch_is_bound(rig.gmig, BLOCK) == cases[i].bound, "case %u",
			      i);
		ck_assert_int_eq(bindings_set(rig.gmig->bindings, 0, 4 * BLOCK, NULL, NULL), 0);
	}
	finish();
}
END_TEST

/* ---- Where what is there belongs ----------------------------------------------------------------- */

static unsigned int target(uint64_t gfn, unsigned int order, unsigned int node)
{
	return bound_pages_target(rig.gmig, gfn, order, node, NULL);
}

START_TEST(page_has_a_target_where_it_does_not_follow)
{
	struct gmig_node_set full = {{1 << 1}};

	create(true);
	bind(10, 5, GMIG_POLICY_BIND, "1,3");
	ck_assert_uint_eq(target(9, 0, 0), NONE);
	ck_assert_uint_eq(target(9, 0, 2), 0); /* without a policy: to the vnode's */
	ck_assert_uint_eq(target(10, 0, 0), 1);
	ck_assert_uint_eq(target(14, 0, 2), 1);
	ck_assert_uint_eq(target(14, 0, 3), NONE);
	ck_assert_uint_eq(target(15, 0, 0), NONE);
	ck_assert_uint_eq(bound_pages_target(rig.gmig, 10, 0, 0, &full), 3);
	ck_assert_uint_eq(bound_pages_target(rig.gmig, 10, 0, 1, &full), NONE);
	/* No memory of the guest. */
	ck_assert_uint_eq(target(4 * BLOCK - 1, 0, 2), 0);
	ck_assert_uint_eq(target(4 * BLOCK, 0, 2), NONE);
	finish();
}
END_TEST

START_TEST(huge_page_has_one_target_where_its_range_goes_to_its_end)
{
	create(false);
	bind(BLOCK, BLOCK, GMIG_POLICY_BIND, "1");
	ck_assert_uint_eq(target(BLOCK, 9, 0), 1);
	ck_assert_uint_eq(target(BLOCK, 9, 1), NONE);
	bind(2 * BLOCK, BLOCK - 1, GMIG_POLICY_BIND, "1");
	ck_assert_uint_eq(target(2 * BLOCK, 9, 0), BOUND_SPLIT);
	ck_assert_uint_eq(target(2 * BLOCK, 9, 1), BOUND_SPLIT);
	bind(3 * BLOCK - 1, 1, GMIG_POLICY_PREFERRED, "1");
	ck_assert_uint_eq(target(2 * BLOCK, 9, 1), NONE);
	/* Of a small page only its own policy counts. */
	ck_assert_uint_eq(target(2 * BLOCK, 0, 0), 1);
	finish();
}
END_TEST

static uint64_t misplaced(uint64_t gfn, uint64_t pages)
{
	return bound_pages_misplaced(rig.gmig, gfn, pages);
}

START_TEST(small_pages_that_are_misplaced_are_counted_to_the_ends_of_a_range)
{
	create(true);
	for (uint64_t page = BLOCK; page < BLOCK + 20; page++)
		touch(page); /* and what comes with them, on node 0 */
	bind(BLOCK + 5, 10, GMIG_POLICY_BIND, "1");
	ck_assert_uint_eq(misplaced(0, 4 * BLOCK), 10);
	ck_assert_uint_eq(misplaced(BLOCK, 5), 0);
	ck_assert_uint_eq(misplaced(BLOCK, 6), 1);
	ck_assert_uint_eq(misplaced(BLOCK + 14, 1), 1);
	ck_assert_uint_eq(misplaced(BLOCK + 15, BLOCK), 0);
	ck_assert_uint_eq(misplaced(BLOCK + 7, 3), 3);
	bind(3 * BLOCK, BLOCK, GMIG_POLICY_BIND, "1"); /* nothing is there */
	ck_assert_uint_eq(misplaced(0, 4 * BLOCK), 10);
	finish();
}
END_TEST

START_TEST(huge_pages_that_are_misplaced_are_counted_as_far_as_they_are_in_the_range)
{
	create(false);
	if (huge_or_skip(rig.gmig)) {
		touch(BLOCK);
		ck_assert_uint_eq(entry_of(BLOCK).order, 9);
		ck_assert_uint_eq(misplaced(0, 4 * BLOCK), 0);
		bind(BLOCK, BLOCK, GMIG_POLICY_BIND, "1");
		ck_assert_uint_eq(misplaced(0, 4 * BLOCK), BLOCK);
		ck_assert_uint_eq(misplaced(BLOCK, BLOCK), BLOCK);
		ck_assert_uint_eq(misplaced(BLOCK, BLOCK - 1), BLOCK - 1);
		ck_assert_uint_eq(misplaced(BLOCK + 1, BLOCK), BLOCK - 1);
		ck_assert_uint_eq(misplaced(BLOCK + 100, 1), 1);
		ck_assert_uint_eq(misplaced(2 * BLOCK, BLOCK), 0);
		/* A part of it follows. */
		bind(BLOCK + 8, 100, GMIG_POLICY_BIND, "0");
		ck_assert_uint_eq(misplaced(0, 4 * BLOCK), BLOCK - 100);
		ck_assert_uint_eq(misplaced(BLOCK, 10), 8);
		/* All of it does: its place in a pattern is that of its block. */
		bind(BLOCK, BLOCK, GMIG_POLICY_BIND, "0,1");
		ck_assert_uint_eq(misplaced(0, 4 * BLOCK), 0);
	}
	finish();
}
END_TEST

static uint64_t against(uint64_t gfn, uint64_t pages, const struct mempolicy *policy)
{
	return bound_pages_against(rig.gmig, gfn, pages, policy);
}

START_TEST(policy_that_a_range_does_not_have_yet_is_counted_against)
{
	struct mempolicy *one, *both;

	create(_i);
	one = made(GMIG_POLICY_BIND, "1");
	both = made(GMIG_POLICY_INTERLEAVE, "0,1");
	bind(BLOCK, BLOCK, GMIG_POLICY_PREFERRED, "2");
	for (uint64_t page = BLOCK; page < 3 * BLOCK; page += 16)
		touch(page);
	expect(BLOCK, 2 * BLOCK, 2);
	expect(2 * BLOCK, 3 * BLOCK, 0);
	ck_assert_uint_eq(against(0, 4 * BLOCK, one), 2 * BLOCK);
	ck_assert_uint_eq(against(BLOCK, BLOCK, one), BLOCK);
	ck_assert_uint_eq(against(BLOCK + 5, 7, one), 7);
	ck_assert_uint_eq(against(0, 4 * BLOCK, NULL), BLOCK); /* DEFAULT: what is on node 2 */
	ck_assert_uint_eq(against(2 * BLOCK, BLOCK, NULL), 0);
	/* Of huge pages it is the block's number that counts: 2, for node 0. */
	ck_assert_uint_eq(against(2 * BLOCK, BLOCK, both),
			  _i || !huge_or_skip(rig.gmig) ? BLOCK / 2 : 0);
	ck_assert_uint_eq(misplaced(0, 4 * BLOCK), 0); /* its own count still */
	mempolicy_put(one);
	mempolicy_put(both);
	finish();
}
END_TEST

/* ---- Which nodes, which memory ------------------------------------------------------------------- */

/* A second region, of vnode 1 and node 3, behind a hole of as many pages as the first one has. */
static void add_region(void)
{
	const struct gmig_region_spec spec = {
	    .vnode = 1, .gpa = 2 * BYTES, .bytes = GMIG_BLOCK_BYTES, .host_node = 3};
	struct gmig_error err = {0};
	void *hva;

	ck_assert_msg(!gmig_region_add(rig.gmig, &spec, &hva, &err), "%s", err.text);
}

static uint64_t nodes(uint64_t gfn, uint64_t pages)
{
	struct gmig_node_set set = {{0}};

	bound_pages_nodes(rig.gmig, gfn, pages, &set);
	return set.word[0];
}

START_TEST(nodes_of_a_range_are_those_of_its_policies_and_of_its_vnodes)
{
	create(true);
	add_region();
	ck_assert_uint_eq(nodes(0, 16 * BLOCK), 1 | 8);
	ck_assert_uint_eq(nodes(4 * BLOCK, 4 * BLOCK), 0); /* the hole */
	ck_assert_uint_eq(nodes(4 * BLOCK - 1, 4 * BLOCK + 1), 1);
	ck_assert_uint_eq(nodes(4 * BLOCK, 4 * BLOCK + 1), 8);
	ck_assert_uint_eq(nodes(9 * BLOCK - 1, 1), 8);
	ck_assert_uint_eq(nodes(9 * BLOCK, 1), 0);
	bind(10, 5, GMIG_POLICY_INTERLEAVE, "1,2");
	ck_assert_uint_eq(nodes(0, 10), 1);
	ck_assert_uint_eq(nodes(0, 11), 1 | 2 | 4);
	ck_assert_uint_eq(nodes(10, 5), 2 | 4);
	ck_assert_uint_eq(nodes(14, 1), 2 | 4);
	ck_assert_uint_eq(nodes(15, 1), 1);
	ck_assert_uint_eq(nodes(12, 0), 0);
	bind(8 * BLOCK, BLOCK, GMIG_POLICY_LOCAL, ""); /* has no nodes of its own */
	ck_assert_uint_eq(nodes(8 * BLOCK, BLOCK), 8);
	bind(8 * BLOCK, BLOCK, GMIG_POLICY_BIND, "0");
	ck_assert_uint_eq(nodes(8 * BLOCK, BLOCK), 1);
	finish();
}
END_TEST

START_TEST(range_is_memory_in_whole_in_part_or_not_at_all)
{
	create(true);
	add_region();
	ck_assert(bound_pages_exist(rig.gmig, 0, 4 * BLOCK));
	ck_assert(bound_pages_exist(rig.gmig, 4 * BLOCK - 1, 1));
	ck_assert(!bound_pages_exist(rig.gmig, 4 * BLOCK - 1, 2));
	ck_assert(!bound_pages_exist(rig.gmig, 4 * BLOCK, 1));
	ck_assert(!bound_pages_exist(rig.gmig, 0, 9 * BLOCK));
	ck_assert(!bound_pages_exist(rig.gmig, 8 * BLOCK - 1, 2));
	ck_assert(bound_pages_exist(rig.gmig, 8 * BLOCK, BLOCK));
	ck_assert(!bound_pages_exist(rig.gmig, 8 * BLOCK, BLOCK + 1));
	ck_assert(bound_pages_any(rig.gmig, 0, 1));
	ck_assert(bound_pages_any(rig.gmig, 4 * BLOCK - 1, 1));
	ck_assert(!bound_pages_any(rig.gmig, 4 * BLOCK, 4 * BLOCK));
	ck_assert(bound_pages_any(rig.gmig, 4 * BLOCK, 4 * BLOCK + 1));
	ck_assert(bound_pages_any(rig.gmig, 9 * BLOCK - 1, 1));
	ck_assert(!bound_pages_any(rig.gmig, 9 * BLOCK, 100));
	finish();
}
END_TEST

START_TEST(regions_that_touch_are_one_range_of_memory)
{
	const struct gmig_region_spec spec = {
	    .vnode = 1, .gpa = BYTES, .bytes = GMIG_BLOCK_BYTES, .host_node = 3};
	void *hva;

	create(true);
	ck_assert_int_eq(gmig_region_add(rig.gmig, &spec, &hva, NULL), 0);
	ck_assert(bound_pages_exist(rig.gmig, 0, 5 * BLOCK));
	ck_assert(bound_pages_exist(rig.gmig, 4 * BLOCK - 1, 2));
	ck_assert(!bound_pages_exist(rig.gmig, 4 * BLOCK - 1, BLOCK + 2));
	/* Each page's vnode is its own region's. */
	ck_assert_uint_eq(target(4 * BLOCK - 1, 0, 3), 0);
	ck_assert_uint_eq(target(4 * BLOCK, 0, 3), NONE);
	finish();
}
END_TEST

/* ---- Along with a migration ---------------------------------------------------------------------- */

static unsigned int by_two(void *arg, unsigned int node)
{
	(void)arg;
	return node < 2 ? node + 2 : node;
}

static unsigned int node_of(uint64_t page)
{
	struct mempolicy *policy = bindings_get(rig.gmig->bindings, page);
	unsigned int node = policy->list[0].node;

	mempolicy_put(policy);
	return node;
}

START_TEST(policies_of_one_region_follow_and_those_of_another_do_not)
{
	const struct memory_follow follow = {.owner = 7, .target = by_two};
	const struct memory_follow other = {.owner = 8, .target = by_two};
	const struct region *region;

	create(true);
	add_region();
	region = &rig.gmig->regions[0];
	bind(0, 1, GMIG_POLICY_BIND, "0");
	bind(4 * BLOCK - 1, 1, GMIG_POLICY_BIND, "1");
	bind(8 * BLOCK, 1, GMIG_POLICY_BIND, "1");
	ck_assert_int_eq(bound_pages_follow(rig.gmig, region, &follow), 0);
	ck_assert_uint_eq(node_of(0), 2);
	ck_assert_uint_eq(node_of(4 * BLOCK - 1), 3);
	ck_assert_uint_eq(node_of(8 * BLOCK), 1);
	bound_pages_follow_end(rig.gmig, region, &other, false); /* not that one's */
	ck_assert_uint_eq(node_of(0), 2);
	bound_pages_follow_end(rig.gmig, region, &follow, _i);
	ck_assert_uint_eq(node_of(0), _i ? 2 : 0);
	ck_assert_uint_eq(node_of(4 * BLOCK - 1), _i ? 3 : 1);
	ck_assert_uint_eq(node_of(8 * BLOCK), 1);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bound");
	TCase *tcase = tcase_create("bound");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, touch_fills_64_pages_of_its_range_and_no_others);
	tcase_add_test(tcase, touch_of_an_interleaved_range_fills_16_pages);
	tcase_add_test(tcase, pages_around_the_one_that_was_touched_stay_where_they_are);
	tcase_add_test(tcase, bind_goes_to_its_next_node_where_one_has_nothing);
	tcase_add_test(tcase,
		       interleaved_pages_of_a_node_without_memory_wait_but_for_the_touched_one);
	tcase_add_test(tcase, interleaved_page_goes_near_the_node_it_belongs_on);
	tcase_add_loop_test(tcase, node_that_is_not_allowed_gets_no_page_by_a_policy_that_names_it,
			    0, 2);
	tcase_add_test(tcase, preferred_node_without_memory_is_left_for_another_one);
	tcase_add_test(tcase, huge_page_goes_to_the_next_node_of_its_policy_that_has_memory);
	tcase_add_test(tcase, block_without_a_huge_page_on_its_node_has_small_ones_there);
	tcase_add_test(tcase, block_of_two_ranges_has_small_pages);
	tcase_add_test(tcase, block_is_bound_when_one_of_its_pages_is);
	tcase_add_test(tcase, page_has_a_target_where_it_does_not_follow);
	tcase_add_test(tcase, huge_page_has_one_target_where_its_range_goes_to_its_end);
	tcase_add_test(tcase, small_pages_that_are_misplaced_are_counted_to_the_ends_of_a_range);
	tcase_add_test(tcase,
		       huge_pages_that_are_misplaced_are_counted_as_far_as_they_are_in_the_range);
	tcase_add_loop_test(tcase, policy_that_a_range_does_not_have_yet_is_counted_against, 0, 2);
	tcase_add_test(tcase, nodes_of_a_range_are_those_of_its_policies_and_of_its_vnodes);
	tcase_add_test(tcase, range_is_memory_in_whole_in_part_or_not_at_all);
	tcase_add_test(tcase, regions_that_touch_are_one_range_of_memory);
	tcase_add_loop_test(tcase, policies_of_one_region_follow_and_those_of_another_do_not, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
