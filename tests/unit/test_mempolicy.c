/* Memory policies: which nodes they mean, where the n-th page belongs, and which range has which. */
#include "../../migrate/memory/bindings.h"
#include "mempolicy_host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void assert_nodes(const struct mempolicy *policy, const char *digits)
{
	char text[64];

	for (unsigned int i = 0; i < policy->count; i++)
		text[i] = (char)('0' + policy->list[i].node);
	text[policy->count] = '\0';
	ck_assert_str_eq(text, digits);
}

/* ---- What is a policy --------------------------------------------------------------------------- */

#define STATIC	 GMIG_POLICY_STATIC_NODES
#define RELATIVE GMIG_POLICY_RELATIVE_NODES

static const struct {
	unsigned int mode;
	const char *nodes;
	unsigned int flags;
	int expected;
} checks[] = {
    {GMIG_POLICY_DEFAULT, "", 0, 0},
    {GMIG_POLICY_DEFAULT, "1", 0, -EINVAL},
    {GMIG_POLICY_DEFAULT, "", STATIC, 0},
    {GMIG_POLICY_DEFAULT, "", STATIC | RELATIVE, -EINVAL},
    {GMIG_POLICY_LOCAL, "", 0, 0},
    {GMIG_POLICY_LOCAL, "0", 0, -EINVAL},
    {GMIG_POLICY_LOCAL, "", RELATIVE, -EINVAL},
    {GMIG_POLICY_BIND, "", 0, -EINVAL},
    {GMIG_POLICY_BIND, "3", 0, 0},
    {GMIG_POLICY_BIND, "3", STATIC | RELATIVE, -EINVAL},
    {GMIG_POLICY_BIND, "3", 4, -EINVAL},
    /* One of them is enough, but there must be one */
    {GMIG_POLICY_BIND, "3,9", 0, 0},
    {GMIG_POLICY_BIND, "9", 0, -EINVAL},
    {GMIG_POLICY_BIND, "9", STATIC, -EINVAL},
    {GMIG_POLICY_BIND, "9", RELATIVE, 0},
    {GMIG_POLICY_PREFERRED, "", 0, 0},
    {GMIG_POLICY_PREFERRED, "", STATIC, -EINVAL},
    {GMIG_POLICY_PREFERRED, "", RELATIVE, -EINVAL},
    {GMIG_POLICY_PREFERRED_MANY, "", 0, -EINVAL},
    {GMIG_POLICY_INTERLEAVE, "", 0, -EINVAL},
    {GMIG_POLICY_INTERLEAVE, "0-7", STATIC, 0},
    {GMIG_POLICY_WEIGHTED_INTERLEAVE, "", 0, -EINVAL},
    {GMIG_POLICY_WEIGHTED_INTERLEAVE, "1", RELATIVE, 0},
    {GMIG_POLICY_WEIGHTED_INTERLEAVE + 1, "0", 0, -EINVAL},
};

START_TEST(policy_is_checked_as_the_kernel_checks_it)
{
	struct gmig_policy policy =
	    asked((enum gmig_policy_mode)checks[_i].mode, checks[_i].nodes, checks[_i].flags);
	struct gmig_error err = {0};

	ck_assert_int_eq(mempolicy_check(&policy, &mems, &err), checks[_i].expected);
	ck_assert(!checks[_i].expected == !err.text[0]);
}
END_TEST

START_TEST(home_node_is_for_bind_and_preferred_many_only)
{
	for (unsigned int mode = 0; mode <= GMIG_POLICY_WEIGHTED_INTERLEAVE; mode++) {
		bool takes = mode == GMIG_POLICY_BIND || mode == GMIG_POLICY_PREFERRED_MANY;
		struct gmig_policy policy =
		    asked((enum gmig_policy_mode)mode, mode <= GMIG_POLICY_LOCAL ? "" : "1,2", 0);

		policy.has_home_node = true;
		policy.home_node = 7;
		ck_assert_int_eq(mempolicy_check(&policy, &mems, NULL), takes ? 0 : -EOPNOTSUPP);
	}
}
END_TEST

START_TEST(home_node_that_no_host_has_is_refused)
{
	struct gmig_policy policy = asked(GMIG_POLICY_BIND, "1,2", 0);
	struct gmig_error err = {0};

	policy.has_home_node = true;
	policy.home_node = GMIG_MAX_NODES - 1;
	ck_assert_int_eq(mempolicy_check(&policy, &mems, &err), 0);
	policy.home_node++;
	ck_assert_int_eq(mempolicy_check(&policy, &mems, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, "0 to 1023") != NULL, "%s", err.text);
}
END_TEST

/* ---- Where the n-th page belongs ---------------------------------------------------------------- */

START_TEST(interleaved_page_has_the_node_of_its_number)
{
	struct mempolicy *policy = made(GMIG_POLICY_INTERLEAVE, "1,4,6", 0);

	ck_assert_str_eq(layout(policy, 8), "14614614");
	/* A huge page counts huge pages. */
	ck_assert_uint_eq(node_of(policy, 0, 9), 1);
	ck_assert_uint_eq(node_of(policy, 512, 9), 4);
	ck_assert_uint_eq(node_of(policy, 3 * 512, 9), 1);
	ck_assert_uint_eq(node_of(policy, 512, 0), 6);
	mempolicy_put(policy);
}
END_TEST

START_TEST(weighted_node_has_places_by_its_weight)
{
	struct gmig_policy policy = asked(GMIG_POLICY_WEIGHTED_INTERLEAVE, "0,2,5", 0);
	struct mempolicy *out;

	policy.weight[0] = 3;
	policy.weight[5] = 2; /* and node 2 has none: 1 */
	policy.weight[7] = 9; /* no node of the policy */
	ck_assert_int_eq(mempolicy_create(&policy, &mems, &out), 0);
	ck_assert_str_eq(layout(out, 14), "00025500025500");
	mempolicy_put(out);
}
END_TEST

START_TEST(other_modes_have_one_node)
{
	struct mempolicy *bind = made(GMIG_POLICY_BIND, "5,6", 0);
	struct mempolicy *far = made(GMIG_POLICY_BIND, "2,6", 0);
	struct mempolicy *preferred = made(GMIG_POLICY_PREFERRED, "6,3", 0);
	struct mempolicy *local = made(GMIG_POLICY_PREFERRED, "", 0);

	ck_assert_str_eq(layout(bind, 3), "555"); /* local is 5 */
	ck_assert_str_eq(layout(far, 3), "222");
	ck_assert_str_eq(layout(preferred, 3), "333");
	ck_assert_str_eq(layout(local, 3), "555");
	ck_assert_str_eq(layout(NULL, 3), "555");
	mempolicy_put(bind);
	mempolicy_put(far);
	mempolicy_put(preferred);
	mempolicy_put(local);
}
END_TEST

START_TEST(home_node_says_which_one_is_near)
{
	struct gmig_policy policy = asked(GMIG_POLICY_BIND, "2,6", 0);
	struct mempolicy *out;

	policy.has_home_node = true;
	policy.home_node = 6;
	ck_assert_int_eq(mempolicy_create(&policy, &mems, &out), 0);
	ck_assert_str_eq(layout(out, 2), "66");
	mempolicy_put(out);
}
END_TEST

START_TEST(page_follows_when_its_node_is_one_that_the_mode_is_content_with)
{
	const struct mempolicy_place place = {.gfn = 1, .local = 5, .topology = host};
	struct mempolicy *bind = made(GMIG_POLICY_BIND, "2,6", 0);
	struct mempolicy *interleave = made(GMIG_POLICY_INTERLEAVE, "2,6", 0);

	ck_assert(mempolicy_follows(bind, &place, 6) && mempolicy_follows(bind, &place, 2));
	ck_assert(!mempolicy_follows(bind, &place, 5));
	ck_assert(mempolicy_follows(interleave, &place, 6));
	ck_assert(!mempolicy_follows(interleave, &place, 2));
	ck_assert(mempolicy_follows(NULL, &place, 5) && !mempolicy_follows(NULL, &place, 2));
	mempolicy_put(bind);
	mempolicy_put(interleave);
}
END_TEST

/* The nodes that are tried one after the other, as digits. */
static const char *tries(const struct mempolicy *policy)
{
	const struct mempolicy_place place = {.gfn = 1, .local = 5, .topology = host};
	struct gmig_node_set tried = {{0}};
	static char text[16];
	unsigned int node, count = 0;

	while ((node = mempolicy_next(policy, &place, &mems, &tried)) != GMIG_NO_NODE) {
		ck_assert(!gmig_node_set_has(&tried, node));
		gmig_node_set_add(&tried, node);
		text[count++] = (char)('0' + node);
	}
	text[count] = '\0';
	return text;
}

START_TEST(full_nodes_are_passed_over_as_far_as_the_mode_allows)
{
	static const struct {
		enum gmig_policy_mode mode;
		const char *nodes, *expected;
	} orders[] = {
	    {GMIG_POLICY_LOCAL, "", "50123467"},
	    {GMIG_POLICY_BIND, "2,6", "26"},
	    {GMIG_POLICY_PREFERRED, "6", "60123457"},
	    {GMIG_POLICY_PREFERRED_MANY, "2,6", "26501347"},
	    {GMIG_POLICY_INTERLEAVE, "2,6", "60123457"},
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		struct mempolicy *policy = made(orders[i].mode, orders[i].nodes, 0);

		ck_assert_str_eq(tries(policy), orders[i].expected);
		mempolicy_put(policy);
	}
	ck_assert_str_eq(tries(NULL), "50123467");
}
END_TEST

/* ---- Other nodes --------------------------------------------------------------------------------- */

/* As mpol_rebind_nodemask() and mpol_relative_nodemask() have it. */
static const struct {
	const char *mems, *nodes;
	unsigned int flags;
	const char *before, *new_mems, *after;
} rebinds[] = {
    {"0-3", "1,2", 0, "12", "4-7", "56"},
    {"0-3", "1,2", 0, "12", "4", "44"},
    {"0-3", "1,2", 0, "12", "0-3", "12"},
    {"0-3", "1,9", STATIC, "1", "1-4", "1"},
    {"0-3", "1,5", STATIC, "1", "4-7", "5"},
    {"0-3", "1", STATIC, "1", "4-5", "45"}, /* none is left: all */
    {"4-7", "0,2", RELATIVE, "46", "2-3", "2"},
    {"4-7", "1,6", RELATIVE, "56", "0-7", "16"},
    /* By their position, which is not their number */
    {"1,3,5,6", "3,6", 0, "36", "2,4,7", "42"},
    {"1,3,5,6", "1,5", 0, "15", "0,2,3,4", "03"},
    {"1,3,5,6", "0,5", RELATIVE, "13", "2,4,7", "27"},
    {"0-3", "1,2", 0, "12", "", "12"},
};

START_TEST(policy_is_rebound_as_the_kernel_does_it)
{
	struct mempolicy *policy, *out;
	struct gmig_node_set now;

	gmig_node_set_parse(rebinds[_i].mems, &mems, NULL);
	gmig_node_set_parse(rebinds[_i].new_mems, &now, NULL);
	policy = made(GMIG_POLICY_INTERLEAVE, rebinds[_i].nodes, rebinds[_i].flags);
	assert_nodes(policy, rebinds[_i].before);
	ck_assert_int_eq(mempolicy_rebind(policy, &now, &out), 0);
	assert_nodes(out, rebinds[_i].after);
	mempolicy_put(policy);
	mempolicy_put(out);
}
END_TEST

static unsigned int swap_0_and_3(void *arg, unsigned int node)
{
	(void)arg;
	return node == 0 ? 3 : node == 3 ? 0 : GMIG_NO_NODE;
}

static unsigned int one_to_three(void *arg, unsigned int node)
{
	(void)arg;
	return node == 1 ? 3 : GMIG_NO_NODE;
}

static struct mempolicy *begun(struct mempolicy *policy, uint64_t owner, mempolicy_target *to)
{
	struct mempolicy_map *map;
	struct mempolicy *out;

	ck_assert_int_eq(mempolicy_map_create(to, NULL, &map), 0);
	ck_assert_int_eq(mempolicy_begin(policy, owner, map, &out), 0);
	mempolicy_map_put(map);
	mempolicy_put(policy);
	return out;
}

static struct mempolicy *over(struct mempolicy *policy, uint64_t owner, bool keep)
{
	struct mempolicy *out;

	ck_assert_int_eq(mempolicy_end(policy, owner, keep, &out), 0);
	mempolicy_put(policy);
	return out;
}

/* Page n moved along with its node: the policy has it where it is. */
START_TEST(migrated_policy_keeps_the_place_of_each_page)
{
	struct gmig_policy weighted = asked(GMIG_POLICY_WEIGHTED_INTERLEAVE, "0,1,3", 0);
	struct mempolicy *policy, *out;

	weighted.weight[3] = 2;
	ck_assert_int_eq(mempolicy_create(&weighted, &mems, &policy), 0);
	ck_assert_str_eq(layout(policy, 8), "01330133");
	out = begun(mempolicy_get(policy), 1, swap_0_and_3);
	ck_assert_str_eq(layout(out, 8), "31003100");
	mempolicy_put(policy);
	mempolicy_put(out);
}
END_TEST

START_TEST(static_nodes_stay_where_a_migration_goes)
{
	struct mempolicy *policy = made(GMIG_POLICY_INTERLEAVE, "0,1,3", STATIC), *out;
	struct mempolicy *other = made(GMIG_POLICY_INTERLEAVE, "1,2", 0), *same;

	out = begun(mempolicy_get(policy), 1, swap_0_and_3);
	ck_assert_ptr_eq(out, policy);
	same = begun(mempolicy_get(other), 1, swap_0_and_3);
	assert_nodes(same, "12"); /* none of its nodes moved */
	same = over(same, 1, true);
	ck_assert(mempolicy_equal(same, other));
	mempolicy_put(policy);
	mempolicy_put(out);
	mempolicy_put(other);
	mempolicy_put(same);
}
END_TEST

/* The second one to end of two that overlap: each place by itself. */
START_TEST(policy_is_what_the_migrations_that_stand_have_made_of_it)
{
	struct mempolicy *policy = begun(made(GMIG_POLICY_INTERLEAVE, "0,1,2", 0), 7, one_to_three);
	struct mempolicy *same;

	ck_assert_str_eq(layout(policy, 3), "032");
	policy = begun(policy, 9, swap_0_and_3);
	ck_assert_str_eq(layout(policy, 3), "302");
	if (_i & 4)
		policy = over(policy, 7, _i & 1);
	policy = over(policy, 9, _i & 2);
	if (!(_i & 4))
		policy = over(policy, 7, _i & 1);
	ck_assert_str_eq(layout(policy, 3), (_i & 3) == 3 ? "302"
					    : _i & 2	  ? "312"
					    : _i & 1	  ? "032"
							  : "012");
	ck_assert_ptr_null(policy->steps);
	ck_assert_int_eq(mempolicy_end(policy, 9, true, &same), 0);
	ck_assert_ptr_eq(same, policy); /* nobody knows it any more */
	mempolicy_put(same);
	mempolicy_put(policy);
}
END_TEST

/* Ranges whose policies are alike become one: of policies under way, only if the same migrations have them. */
START_TEST(policies_are_alike_when_the_same_migrations_are_under_way)
{
	struct mempolicy *policy = begun(made(GMIG_POLICY_INTERLEAVE, "0,1,2", 0), 7, one_to_three);
	struct mempolicy *other = begun(made(GMIG_POLICY_INTERLEAVE, "0,1,2", 0), 7, one_to_three);

	ck_assert_ptr_ne(policy, other);
	ck_assert(mempolicy_equal(policy, other));
	policy = begun(policy, 9, swap_0_and_3);
	ck_assert(!mempolicy_equal(policy, other));
	other = begun(other, 9, swap_0_and_3);
	ck_assert(mempolicy_equal(policy, other));
	/* The first has ended, which only one of them knows. */
	policy = over(policy, 7, true);
	ck_assert(!mempolicy_equal(policy, other));
	other = over(other, 7, true);
	ck_assert(mempolicy_equal(policy, other));
	mempolicy_put(policy);
	mempolicy_put(other);
	/* The same places, by another job; and by another map, of nodes that it has not. */
	policy = begun(made(GMIG_POLICY_INTERLEAVE, "0,2", 0), 7, one_to_three);
	other = begun(made(GMIG_POLICY_INTERLEAVE, "0,2", 0), 8, one_to_three);
	ck_assert(!mempolicy_equal(policy, other));
	mempolicy_put(policy);
	mempolicy_put(other);
}
END_TEST

/* Where it goes, and where it goes back to, are rebound alike. */
START_TEST(cpuset_that_changes_during_a_migration_rebinds_both)
{
	struct mempolicy *policy = begun(made(GMIG_POLICY_INTERLEAVE, "1,2", 0), 7, one_to_three),
			 *out;
	struct gmig_node_set now;

	gmig_node_set_parse("4-7", &now, NULL);
	assert_nodes(policy, "32");
	ck_assert_int_eq(mempolicy_rebind(policy, &now, &out), 0);
	assert_nodes(out, "76");
	out = over(out, 7, _i);
	assert_nodes(out, _i ? "76" : "56");
	mempolicy_put(policy);
	mempolicy_put(out);
}
END_TEST

/* ---- Ranges -------------------------------------------------------------------------------------- */

#define PAGES 64

/* The policy of each page: its node as a digit, '-' for none. */
static const char *map_of(struct bindings *bindings)
{
	static char text[PAGES + 1];

	for (unsigned int i = 0; i < PAGES; i++) {
		struct mempolicy *policy = bindings_get(bindings, i);

		text[i] = policy ? (char)('0' + policy->list[0].node) : '-';
		mempolicy_put(policy);
	}
	return text;
}

static unsigned int runs_of(struct bindings *bindings)
{
	unsigned int runs = 0;
	uint64_t end = 0;

	for (uint64_t gfn = 0; gfn < UINT64_MAX; gfn = end) {
		struct mempolicy *policy = bindings_get_run(bindings, gfn, &end);

		runs += policy != NULL;
		mempolicy_put(policy);
	}
	return runs;
}

static void set(struct bindings *bindings, unsigned int first, unsigned int count, const char *node)
{
	struct mempolicy *policy = *node ? made(GMIG_POLICY_BIND, node, 0) : NULL;

	ck_assert_int_eq(bindings_set(bindings, first, count, policy, NULL), 0);
	mempolicy_put(policy);
}

START_TEST(range_replaces_what_it_covers_and_joins_what_is_alike)
{
	struct bindings *bindings;

	ck_assert_int_eq(bindings_create(&bindings), 0);
	ck_assert_ptr_null(bindings_get(bindings, 3));
	set(bindings, 10, 10, "1");
	set(bindings, 30, 10, "1");
	ck_assert_uint_eq(runs_of(bindings), 2);
	set(bindings, 20, 10, "1");
	ck_assert_uint_eq(runs_of(bindings), 1); /* 10 to 40 */
	set(bindings, 15, 5, "2");
	ck_assert_uint_eq(runs_of(bindings), 3);
	set(bindings, 38, 4, "3");
	set(bindings, 12, 1, "");
	ck_assert_str_eq(map_of(bindings), "----------11-1122222111111111111111111"
					   "3333----------------------");
	set(bindings, 0, PAGES, "");
	ck_assert_uint_eq(runs_of(bindings), 0);
	bindings_destroy(bindings);
}
END_TEST

/* Against an array that is told the same. */
START_TEST(random_ranges_are_as_in_an_array)
{
	char expected[PAGES + 1];
	struct bindings *bindings;

	memset(expected, '-', PAGES);
	expected[PAGES] = '\0';
	srand(7);
	ck_assert_int_eq(bindings_create(&bindings), 0);
	for (int i = 0; i < 400; i++) {
		unsigned int first = (unsigned int)rand() % PAGES;
		unsigned int count = 1 + (unsigned int)rand() % (PAGES - first);
		unsigned int node = (unsigned int)rand() % 5;
		const char text[] = {node == 4 ? '\0' : (char)('0' + node), '\0'};

		set(bindings, first, count, text);
		memset(expected + first, node == 4 ? '-' : *text, count);
		ck_assert_str_eq(map_of(bindings), expected);
	}
	bindings_destroy(bindings);
}
END_TEST

#define MAX 300u

START_TEST(more_ranges_than_there_may_be_change_nothing)
{
	struct mempolicy *policy = made(GMIG_POLICY_BIND, "1", 0);
	struct gmig_error err = {0};
	struct bindings *bindings;

	ck_assert_int_eq(bindings_create_with(MAX, &bindings), 0);
	for (unsigned int i = 0; i < MAX; i++)
		ck_assert_int_eq(bindings_set(bindings, 2 * i, 1, policy, &err), 0);
	ck_assert_int_eq(bindings_set(bindings, 2 * MAX, 1, policy, &err), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(err.text, "300 ranges"));
	ck_assert_uint_eq(runs_of(bindings), MAX);
	ck_assert_int_eq(bindings_set(bindings, 1, 1, policy, &err), 0); /* joins three */
	ck_assert_uint_eq(runs_of(bindings), MAX - 1);
	mempolicy_put(policy);
	bindings_destroy(bindings);
}
END_TEST

static int to_node_3(void *arg, struct mempolicy *policy, struct mempolicy **out)
{
	(void)policy;
	++*(unsigned int *)arg;
	*out = made(GMIG_POLICY_BIND, "3", 0);
	return 0;
}

/* As a migration does it, whose memory ends within two runs: these fall apart, whatever the limit. */
START_TEST(limit_refuses_no_change_of_what_is_there)
{
	unsigned int asked = 0;
	struct bindings *bindings;

	ck_assert_int_eq(bindings_create_with(3, &bindings), 0);
	set(bindings, 0, 10, "1");
	set(bindings, 20, 10, "2");
	set(bindings, 40, 10, "1");
	ck_assert_int_eq(bindings_change(bindings, 5, 40, to_node_3, &asked), 0);
	ck_assert_str_eq(map_of(bindings), "1111133333----------3333333333----------33333"
					   "11111--------------");
	ck_assert_uint_eq(asked, 2); /* two of the three had one policy */
	set(bindings, 40, 5, "");    /* what takes away is not refused either */
	ck_assert_uint_eq(runs_of(bindings), 4);
	bindings_destroy(bindings);
}
END_TEST

/* Set by calls of their own, alternating: they share two policies. */
START_TEST(ranges_that_are_alike_share_a_policy)
{
	struct mempolicy *first, *third;
	struct bindings *bindings;

	ck_assert_int_eq(bindings_create(&bindings), 0);
	for (unsigned int i = 0; i < 8; i++)
		set(bindings, i, 1, i % 2 ? "1" : "2");
	first = bindings_get(bindings, 0);
	third = bindings_get(bindings, 6);
	ck_assert_ptr_eq(first, third);
	mempolicy_put(first);
	mempolicy_put(third);
	bindings_destroy(bindings);
}
END_TEST

START_TEST(changed_nodes_reach_every_range_once)
{
	struct gmig_node_set now;
	struct bindings *bindings;

	gmig_node_set_parse("0-3", &mems, NULL);
	ck_assert_int_eq(bindings_create(&bindings), 0);
	set(bindings, 0, 4, "1");
	set(bindings, 8, 4, "2");
	gmig_node_set_parse("4-7", &now, NULL);
	ck_assert_int_eq(bindings_rebind(bindings, &now), 0);
	ck_assert_int_eq(bindings_rebind(bindings, &now), 0);
	ck_assert_int_eq(strncmp(map_of(bindings), "5555----6666----", 16), 0);
	bindings_destroy(bindings);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("mempolicy");
	Suite *suite = suite_create("mempolicy");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, policy_is_checked_as_the_kernel_checks_it, 0,
			    sizeof(checks) / sizeof(checks[0]));
	tcase_add_test(tcase, home_node_is_for_bind_and_preferred_many_only);
	tcase_add_test(tcase, home_node_that_no_host_has_is_refused);
	tcase_add_test(tcase, interleaved_page_has_the_node_of_its_number);
	tcase_add_test(tcase, weighted_node_has_places_by_its_weight);
	tcase_add_test(tcase, other_modes_have_one_node);
	tcase_add_test(tcase, home_node_says_which_one_is_near);
	tcase_add_test(tcase, page_follows_when_its_node_is_one_that_the_mode_is_content_with);
	tcase_add_test(tcase, full_nodes_are_passed_over_as_far_as_the_mode_allows);
	tcase_add_loop_test(tcase, policy_is_rebound_as_the_kernel_does_it, 0,
			    sizeof(rebinds) / sizeof(rebinds[0]));
	tcase_add_test(tcase, migrated_policy_keeps_the_place_of_each_page);
	tcase_add_test(tcase, static_nodes_stay_where_a_migration_goes);
	tcase_add_loop_test(tcase, policy_is_what_the_migrations_that_stand_have_made_of_it, 0, 8);
	tcase_add_test(tcase, policies_are_alike_when_the_same_migrations_are_under_way);
	tcase_add_loop_test(tcase, cpuset_that_changes_during_a_migration_rebinds_both, 0, 2);
	tcase_add_test(tcase, range_replaces_what_it_covers_and_joins_what_is_alike);
	tcase_add_test(tcase, random_ranges_are_as_in_an_array);
	tcase_add_test(tcase, more_ranges_than_there_may_be_change_nothing);
	tcase_add_test(tcase, limit_refuses_no_change_of_what_is_there);
	tcase_add_test(tcase, ranges_that_are_alike_share_a_policy);
	tcase_add_test(tcase, changed_nodes_reach_every_range_once);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
