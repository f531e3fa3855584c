/* Memory policies, bound by bound: what a refusal says, where the last place of a node is, and what makes two of them alike. */
#include "../../migrate/memory/mempolicy.h"
#include "mempolicy_host.h"

#include <errno.h>
#include <string.h>

#define STATIC	 GMIG_POLICY_STATIC_NODES
#define RELATIVE GMIG_POLICY_RELATIVE_NODES

static const char *refusal(enum gmig_policy_mode mode, const char *nodes, unsigned int flags)
{
	struct gmig_policy policy = asked(mode, nodes, flags);
	static struct gmig_error err;

	ck_assert_int_eq(mempolicy_check(&policy, &mems, &err), -EINVAL);
	ck_assert_int_eq(err.code, -EINVAL);
	return err.text;
}

START_TEST(refusal_says_what_is_wrong)
{
	ck_assert_str_eq(refusal((enum gmig_policy_mode)7, "", 0), "policy 7 is not known");
	ck_assert_str_eq(refusal(GMIG_POLICY_BIND, "1", 4 | STATIC),
			 "policy flags 0x5 are not known");
	ck_assert_str_eq(refusal(GMIG_POLICY_BIND, "1", STATIC | RELATIVE),
			 "nodes cannot be static and relative at once");
	ck_assert_str_eq(refusal(GMIG_POLICY_LOCAL, "1", STATIC), "policy local takes no flags");
	ck_assert_str_eq(refusal(GMIG_POLICY_DEFAULT, "1", 0), "policy default takes no nodes");
	ck_assert_str_eq(refusal(GMIG_POLICY_PREFERRED, "", STATIC),
			 "policy preferred needs nodes");
	ck_assert_str_eq(refusal(GMIG_POLICY_INTERLEAVE, "", 0), "policy interleave needs nodes");
	gmig_node_set_parse("1,4", &mems, NULL);
	ck_assert_str_eq(refusal(GMIG_POLICY_BIND, "2-3", 0),
			 "none of nodes 2-3 has memory and is allowed by the cpuset, which leaves "
			 "1,4");
	mems = (struct gmig_node_set){{0}};
	ck_assert_ptr_nonnull(strstr(refusal(GMIG_POLICY_BIND, "2", RELATIVE), "none of nodes 2 "));
}
END_TEST

START_TEST(home_node_is_for_no_policy_without_nodes)
{
	struct gmig_policy policy = asked(GMIG_POLICY_PREFERRED, "", 0);
	struct gmig_error err = {0};

	policy.home_node = 7;
	ck_assert_int_eq(mempolicy_check(&policy, &mems, &err), 0); /* it has none */
	policy.has_home_node = true;
	ck_assert_int_eq(mempolicy_check(&policy, &mems, &err), -EOPNOTSUPP);
	ck_assert_str_eq(err.text, "a home node is for bind and preferred-many, not for preferred");
}
END_TEST

START_TEST(weights_are_for_weighted_interleave_only)
{
	struct gmig_policy policy = asked(GMIG_POLICY_INTERLEAVE, "0,2", 0);
	struct mempolicy *out;

	policy.weight[0] = 3;
	ck_assert_int_eq(mempolicy_create(&policy, &mems, &out), 0);
	ck_assert_str_eq(layout(out, 5), "02020");
	mempolicy_put(out);
}
END_TEST

/* With more places than a search finds at once. */
START_TEST(last_and_first_place_of_each_node_are_its_own)
{
	struct gmig_policy policy = asked(GMIG_POLICY_WEIGHTED_INTERLEAVE, "0-7", 0);
	unsigned int place = 0;
	struct mempolicy *out;

	for (unsigned int node = 0; node < 8; node++)
		policy.weight[node] = (uint8_t)(1 + node * 31);
	ck_assert_int_eq(mempolicy_create(&policy, &mems, &out), 0);
	for (unsigned int round = 0; round < 2; round++)
		for (unsigned int node = 0; node < 8; node++) {
			ck_assert_uint_eq(node_of(out, place, 0), node);
			place += 1 + node * 31;
			ck_assert_uint_eq(node_of(out, place - 1, 0), node);
		}
	mempolicy_put(out);
}
END_TEST

/* As mempolicy_next(), with a home node and with nodes that cannot be used. */
START_TEST(next_node_is_usable_and_the_nearest_to_the_home)
{
	const struct mempolicy_place place = {.gfn = 1, .local = 6, .topology = host};
	struct gmig_policy policy = asked(GMIG_POLICY_PREFERRED_MANY, "2,6", 0);
	struct mempolicy *interleave = made(GMIG_POLICY_INTERLEAVE, "2,6", 0), *many;
	struct gmig_node_set usable, tried = {{0}};

	policy.has_home_node = true;
	policy.home_node = 2;
	ck_assert_int_eq(mempolicy_create(&policy, &mems, &many), 0);
	ck_assert_uint_eq(mempolicy_next(many, &place, &mems, &tried), 2);
	gmig_node_set_parse("3,6", &usable, NULL);
	ck_assert_uint_eq(mempolicy_next(many, &place, &usable, &tried), 6);
	gmig_node_set_add(&tried, 6);
	ck_assert_uint_eq(mempolicy_next(many, &place, &usable, &tried), 3);
	gmig_node_set_add(&tried, 3);
	ck_assert_uint_eq(mempolicy_next(many, &place, &usable, &tried), GMIG_NO_NODE);
	tried = (struct gmig_node_set){{0}};
	ck_assert_uint_eq(mempolicy_next(interleave, &place, &usable, &tried), 6);
	gmig_node_set_parse("3,5", &usable, NULL);
	ck_assert_uint_eq(mempolicy_next(interleave, &place, &usable, &tried), 3);
	ck_assert_uint_eq(mempolicy_next(NULL, &place, &usable, &tried), 3);
	mempolicy_put(many);
	mempolicy_put(interleave);
}
END_TEST

static unsigned int node_but(enum gmig_policy_mode mode, const char *nodes, const char *full)
{
	const struct mempolicy_place place = {.gfn = 1, .local = 5, .topology = host};
	struct mempolicy *policy = mode == GMIG_POLICY_DEFAULT ? NULL : made(mode, nodes, 0);
	struct gmig_node_set set;
	unsigned int node;

	gmig_node_set_parse(full, &set, NULL);
	node = mempolicy_node_but(policy, &place, &set);
	mempolicy_put(policy);
	return node;
}

START_TEST(pages_that_are_there_go_to_another_node_of_the_policy_or_to_none)
{
	ck_assert_uint_eq(node_but(GMIG_POLICY_BIND, "2,4,6", ""), 2);
	ck_assert_uint_eq(node_but(GMIG_POLICY_BIND, "2,4,6", "4"), 2);
	ck_assert_uint_eq(node_but(GMIG_POLICY_BIND, "2,4,6", "2"), 4);
	ck_assert_uint_eq(node_but(GMIG_POLICY_BIND, "2,4,6", "2,4"), 6);
	ck_assert_uint_eq(node_but(GMIG_POLICY_BIND, "2,4,6", "2,4,6"), 2);
	ck_assert_uint_eq(node_but(GMIG_POLICY_PREFERRED_MANY, "2,5", "5"), 2);
	ck_assert_uint_eq(node_but(GMIG_POLICY_PREFERRED, "2", "2"), 2);
	ck_assert_uint_eq(node_but(GMIG_POLICY_INTERLEAVE, "2,6", "6"), 6);
	ck_assert_uint_eq(node_but(GMIG_POLICY_LOCAL, "", "5"), 5);
	ck_assert_uint_eq(node_but(GMIG_POLICY_DEFAULT, "", "5"), 5);
}
END_TEST

START_TEST(neighbours_are_apart_in_both_modes_that_interleave)
{
	for (unsigned int mode = GMIG_POLICY_LOCAL; mode <= GMIG_POLICY_WEIGHTED_INTERLEAVE;
	     mode++) {
		struct mempolicy *policy =
		    made((enum gmig_policy_mode)mode, mode == GMIG_POLICY_LOCAL ? "" : "1,2", 0);

		ck_assert(mempolicy_interleaves(policy) == (mode >= GMIG_POLICY_INTERLEAVE));
		mempolicy_put(policy);
	}
	ck_assert(!mempolicy_interleaves(NULL));
}
END_TEST

/* Whatever makes a difference to a caller, and nothing else. */
START_TEST(policies_are_alike_when_all_that_was_asked_for_is)
{
	struct gmig_policy one = asked(GMIG_POLICY_BIND, "1,2", 0), other;
	struct mempolicy *first, *second;

	one.has_home_node = true;
	one.home_node = 2;
	ck_assert_int_eq(mempolicy_create(&one, &mems, &first), 0);
	for (int i = 0; i < 7; i++) {
		other = one;
		other.mode = i == 1 ? GMIG_POLICY_PREFERRED_MANY : one.mode;
		other.flags = i == 2 ? STATIC : 0;
		other.has_home_node = i != 3;
		other.home_node = i == 4 ? 1 : 2;
		other.weight[2] = i == 5;
		if (i == 6) /* of which this host has two */
			gmig_node_set_add(&other.nodes, 9);
		ck_assert_int_eq(mempolicy_create(&other, &mems, &second), 0);
		ck_assert_msg(mempolicy_equal(first, second) == !i, "%d", i);
		mempolicy_put(second);
	}
	ck_assert(mempolicy_equal(NULL, NULL) && !mempolicy_equal(first, NULL) &&
		  !mempolicy_equal(NULL, first));
	gmig_node_set_parse("0-6", &mems, NULL);
	ck_assert_int_eq(mempolicy_create(&one, &mems, &second), 0);
	ck_assert(!mempolicy_equal(first, second));
	mempolicy_put(second);
	mempolicy_put(first);
}
END_TEST

START_TEST(copy_is_alike_and_goes_its_own_way)
{
	const struct mempolicy_place place = {.gfn = 1, .local = 5, .topology = host};
	struct mempolicy *policy = made(GMIG_POLICY_BIND, "2,6", 0), *copy;
	struct mempolicy *local = made(GMIG_POLICY_PREFERRED, "", 0), *other;

	ck_assert_int_eq(mempolicy_copy(policy, &copy), 0);
	ck_assert(mempolicy_equal(policy, copy));
	ck_assert_mem_eq(&copy->members, &policy->members, sizeof(copy->members));
	ck_assert_int_eq(copy->mode, policy->mode);
	copy->asked.has_home_node = true;
	ck_assert(!mempolicy_equal(policy, copy));
	mempolicy_put(policy);
	ck_assert(mempolicy_follows(copy, &place, 6) && !mempolicy_follows(copy, &place, 5));
	mempolicy_put(copy);
	ck_assert_int_eq(mempolicy_copy(local, &other), 0);
	ck_assert_int_eq(other->mode, GMIG_POLICY_LOCAL);
	mempolicy_put(local);
	mempolicy_put(other);
}
END_TEST

START_TEST(each_mode_is_content_with_its_own_nodes)
{
	const struct mempolicy_place place = {.gfn = 1, .local = 5, .topology = host};
	static const enum gmig_policy_mode any[] = {GMIG_POLICY_BIND, GMIG_POLICY_PREFERRED,
						    GMIG_POLICY_PREFERRED_MANY};
	struct mempolicy *policy;

	for (unsigned int i = 0; i < 3; i++) {
		policy = made(any[i], "2,6", 0);
		ck_assert(mempolicy_follows(policy, &place, 2) &&
			  mempolicy_follows(policy, &place, 6) &&
			  !mempolicy_follows(policy, &place, 5));
		mempolicy_put(policy);
	}
	policy = made(GMIG_POLICY_WEIGHTED_INTERLEAVE, "2,6", 0);
	ck_assert(mempolicy_follows(policy, &place, 6) && !mempolicy_follows(policy, &place, 2));
	mempolicy_put(policy);
	policy = made(GMIG_POLICY_LOCAL, "", 0);
	ck_assert(mempolicy_follows(policy, &place, 5) && !mempolicy_follows(policy, &place, 2));
	mempolicy_put(policy);
}
END_TEST

/* Only the nodes are others: the places are as they were. */
START_TEST(rebound_node_keeps_its_weight_and_its_page)
{
	struct gmig_policy weighted = asked(GMIG_POLICY_WEIGHTED_INTERLEAVE, "0,1,3", 0);
	struct mempolicy *policy, *out;
	struct gmig_node_set now;

	weighted.weight[0] = 2;
	weighted.weight[3] = 3;
	gmig_node_set_parse("4-7", &now, NULL);
	ck_assert_int_eq(mempolicy_create(&weighted, &mems, &policy), 0);
	ck_assert_int_eq(mempolicy_rebind(policy, &now, &out), 0);
	ck_assert_str_eq(layout(policy, 7), "0013330");
	ck_assert_str_eq(layout(out, 7), "4457774");
	ck_assert(gmig_node_set_has(&out->members, 5) && !gmig_node_set_has(&out->members, 1));
	ck_assert(gmig_node_set_has(&out->mems, 6) && !gmig_node_set_has(&out->mems, 3));
	mempolicy_put(policy);
	mempolicy_put(out);
}
END_TEST

START_TEST(policy_without_nodes_is_rebound_to_none)
{
	struct mempolicy *policy = made(GMIG_POLICY_PREFERRED, "", 0), *out, *begun;
	struct mempolicy_map *map = NULL;
	struct gmig_node_set now;

	gmig_node_set_parse("4,7", &now, NULL);
	ck_assert_int_eq(mempolicy_rebind(policy, &now, &out), 0);
	ck_assert_uint_eq(out->count, 0);
	ck_assert_int_eq(out->mode, GMIG_POLICY_LOCAL);
	ck_assert_str_eq(layout(out, 2), "55");
	ck_assert_int_eq(mempolicy_begin(out, 1, map, &begun), 0);
	ck_assert_ptr_eq(begun, out);
	mempolicy_put(begun);
	mempolicy_put(policy);
	mempolicy_put(out);
}
END_TEST

/* ---- Along with migrations ---------------------------------------------------------------------- */

/* "34 12": from node 3 to 4, and from 1 to 2. */
static unsigned int pairs(void *arg, unsigned int node)
{
	for (const char *pair = arg; *pair; pair += pair[2] ? 3 : 2)
		if ((unsigned int)(pair[0] - '0') == node)
			return (unsigned int)(pair[1] - '0');
	return GMIG_NO_NODE;
}

static void begin(struct mempolicy **policy, uint64_t owner, const char *map_text)
{
	struct mempolicy *out;
	struct mempolicy_map *map;

	ck_assert_int_eq(mempolicy_map_create(pairs, (void *)map_text, &map), 0);
	ck_assert_int_eq(mempolicy_begin(*policy, owner, map, &out), 0);
	mempolicy_map_put(map);
	mempolicy_put(*policy);
	*policy = out;
}

static void over(struct mempolicy **policy, uint64_t owner, bool keep)
{
	struct mempolicy *out;

	ck_assert_int_eq(mempolicy_end(*policy, owner, keep, &out), 0);
	mempolicy_put(*policy);
	*policy = out;
}

static void assert_nodes(const struct mempolicy *policy, const char *digits)
{
	struct gmig_node_set members = {{0}};
	char text[16];

	for (unsigned int i = 0; i < policy->count; i++) {
		text[i] = (char)('0' + policy->list[i].node);
		gmig_node_set_add(&members, policy->list[i].node);
	}
	text[policy->count] = '\0';
	ck_assert_str_eq(text, digits);
	ck_assert_mem_eq(&members, &policy->members, sizeof(members));
}

/* The older one has ended, and stands; whether it counts is seen when the newer one ends. */
START_TEST(older_migration_that_stands_counts_when_the_newer_one_is_withdrawn)
{
	struct mempolicy *policy = made(GMIG_POLICY_INTERLEAVE, "0,3", 0);

	begin(&policy, 1, "34");
	assert_nodes(policy, "04");
	begin(&policy, 2, "35");
	assert_nodes(policy, "05");
	over(&policy, 1, true);
	assert_nodes(policy, "05");
	ck_assert_ptr_nonnull(policy->steps);
	over(&policy, 2, _i);
	assert_nodes(policy, _i ? "05" : "04");
	ck_assert_ptr_null(policy->steps);
	mempolicy_put(policy);
}
END_TEST

/* A step for each; those that are settled for all places are kept no longer. */
START_TEST(migrations_that_follow_one_another_take_a_place_from_each_to_the_next)
{
	struct mempolicy *policy = made(GMIG_POLICY_INTERLEAVE, "3,6", 0);

	begin(&policy, 1, "34");
	begin(&policy, 2, "45");
	begin(&policy, 3, "57 61");
	assert_nodes(policy, "71");
	over(&policy, 2, true);
	assert_nodes(policy, "71");
	over(&policy, 1, true);
	assert_nodes(policy, "71");
	ck_assert_uint_eq(policy->list[0].base.node, 5);
	ck_assert_uint_eq(policy->list[1].base.node, 6);
	ck_assert_uint_eq(policy->list[0].base.settled, 0);
	over(&policy, 3, _i);
	assert_nodes(policy, _i ? "71" : "56");
	ck_assert_ptr_null(policy->steps);
	mempolicy_put(policy);
}
END_TEST

/* One of two places is settled further than the other one: both go on from where they are. */
START_TEST(places_settle_one_by_one_and_are_rebound_so)
{
	struct mempolicy *policy = made(GMIG_POLICY_INTERLEAVE, "0,1", 0), *out;
	struct gmig_node_set now;

	gmig_node_set_parse("0-3", &mems, NULL);
	ck_assert_int_eq(mempolicy_rebind(policy, &mems, &out), 0);
	mempolicy_put(policy);
	policy = out;
	begin(&policy, 1, "03");
	begin(&policy, 2, "02");
	over(&policy, 1, true);
	assert_nodes(policy, "21");
	ck_assert_uint_eq(policy->list[0].base.settled, 0);
	ck_assert_uint_eq(policy->list[1].base.settled, 1);
	gmig_node_set_parse("4-7", &now, NULL);
	ck_assert_int_eq(mempolicy_rebind(policy, &now, &out), 0);
	assert_nodes(out, "65");
	ck_assert_uint_eq(out->list[0].base.settled, 0);
	ck_assert_uint_eq(out->list[1].base.settled, 1);
	over(&out, 2, _i);
	assert_nodes(out, _i ? "65" : "75");
	over(&policy, 2, _i);
	assert_nodes(policy, _i ? "21" : "31");
	mempolicy_put(policy);
	mempolicy_put(out);
}
END_TEST

/* Of two nodes that become one the lower one's goal counts; a way that leads nowhere else is none. */
static const struct {
	const char *map, *before, *after;
} folded[] = {
    {"03", "31", "55"},	   {"02 21", "21", "55"}, {"02", "21", "45"},
    {"03 30", "31", "54"}, {"10", "00", "44"},	  {"31", "01", "45"},
};

START_TEST(migration_is_rebound_to_fewer_nodes)
{
	struct mempolicy *policy, *out;
	struct gmig_node_set now;

	gmig_node_set_parse("0-3", &mems, NULL);
	policy = made(GMIG_POLICY_INTERLEAVE, "0,1", 0);
	begin(&policy, 1, folded[_i].map);
	assert_nodes(policy, folded[_i].before);
	gmig_node_set_parse("4,5", &now, NULL);
	ck_assert_int_eq(mempolicy_rebind(policy, &now, &out), 0);
	assert_nodes(out, folded[_i].after);
	over(&out, 1, false);
	assert_nodes(out, "45");
	mempolicy_put(policy);
	mempolicy_put(out);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    refusal_says_what_is_wrong,
	    home_node_is_for_no_policy_without_nodes,
	    weights_are_for_weighted_interleave_only,
	    last_and_first_place_of_each_node_are_its_own,
	    next_node_is_usable_and_the_nearest_to_the_home,
	    pages_that_are_there_go_to_another_node_of_the_policy_or_to_none,
	    neighbours_are_apart_in_both_modes_that_interleave,
	    policies_are_alike_when_all_that_was_asked_for_is,
	    copy_is_alike_and_goes_its_own_way,
	    each_mode_is_content_with_its_own_nodes,
	    rebound_node_keeps_its_weight_and_its_page,
	    policy_without_nodes_is_rebound_to_none,
	};
	Suite *suite = suite_create("mempolicy_bounds");
	TCase *tcase = tcase_create("mempolicy_bounds");

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(
	    tcase, older_migration_that_stands_counts_when_the_newer_one_is_withdrawn, 0, 2);
	tcase_add_loop_test(
	    tcase, migrations_that_follow_one_another_take_a_place_from_each_to_the_next, 0, 2);
	tcase_add_loop_test(tcase, places_settle_one_by_one_and_are_rebound_so, 0, 2);
	tcase_add_loop_test(tcase, migration_is_rebound_to_fewer_nodes, 0,
			    sizeof(folded) / sizeof(folded[0]));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
