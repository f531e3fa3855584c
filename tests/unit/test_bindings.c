/* Ranges and their policies, to the page: where each ends, who has a reference, and what is left when a change is refused. */
#include "../../migrate/memory/bindings.h"
#include "no_memory.h"
#include "suite.h"

#include <errno.h>

static struct bindings *bindings;
static struct gmig_node_set mems;
static struct mempolicy *a, *b, *c;

/* BIND to the nodes whose bits are set. */
static struct mempolicy *made_of(unsigned int nodes, const struct gmig_node_set *usable)
{
	struct gmig_policy asked = {.mode = GMIG_POLICY_BIND};
	struct mempolicy *policy;

	for (unsigned int node = 0; node < 8; node++)
		if (nodes >> node & 1)
			gmig_node_set_add(&asked.nodes, node);
	ck_assert_int_eq(mempolicy_create(&asked, usable, &policy), 0);
	return policy;
}

static struct mempolicy *made(unsigned int nodes)
{
	return made_of(nodes, &mems);
}

static void setup(void)
{
	ck_assert_int_eq(gmig_node_set_parse("0-7", &mems, NULL), 0);
	ck_assert_int_eq(bindings_create(&bindings), 0);
	a = made(1);
	b = made(2);
	c = made(4);
}

static void teardown(void)
{
	bindings_destroy(bindings);
	ck_assert_uint_eq(atomic_load(&a->refs), 1);
	ck_assert_uint_eq(atomic_load(&b->refs), 1);
	ck_assert_uint_eq(atomic_load(&c->refs), 1);
	mempolicy_put(a);
	mempolicy_put(b);
	mempolicy_put(c);
}

static void limit(unsigned int max)
{
	bindings_destroy(bindings);
	ck_assert_int_eq(bindings_create_with(max, &bindings), 0);
}

static void set(uint64_t gfn, uint64_t pages, struct mempolicy *policy)
{
	ck_assert_int_eq(bindings_set(bindings, gfn, pages, policy, NULL), 0);
}

/* The page has this policy, and the first one that has another is `end`. */
static void expect(uint64_t gfn, const struct mempolicy *policy, uint64_t end)
{
	uint64_t found;
	struct mempolicy *run = bindings_get_run(bindings, gfn, &found);
	struct mempolicy *one = bindings_get(bindings, gfn);

	ck_assert_msg(run == policy && one == policy && found == end,
		      "page %llu has its policy up to %llu", (unsigned long long)gfn,
		      (unsigned long long)found);
	mempolicy_put(run);
	mempolicy_put(one);
}

static void refs(unsigned int of_a, unsigned int of_b, unsigned int of_c)
{
	ck_assert_uint_eq(atomic_load(&a->refs), 1 + of_a);
	ck_assert_uint_eq(atomic_load(&b->refs), 1 + of_b);
	ck_assert_uint_eq(atomic_load(&c->refs), 1 + of_c);
}

/* ---- Which page has which ------------------------------------------------------------------------ */

START_TEST(run_has_its_first_page_and_its_last_and_no_other)
{
	expect(0, NULL, UINT64_MAX);
	expect(15, NULL, UINT64_MAX);
	set(10, 10, a);
	set(30, 1, b);
	expect(0, NULL, 10);
	expect(9, NULL, 10);
	expect(10, a, 20);
	expect(19, a, 20);
	expect(20, NULL, 30);
	expect(29, NULL, 30);
	expect(30, b, 31);
	expect(31, NULL, UINT64_MAX);
}
END_TEST

START_TEST(page_is_found_among_any_number_of_runs)
{
	for (uint64_t runs = 1; runs <= 9; runs++) {
		set(10 * runs, 3, runs % 2 ? a : b);
		for (uint64_t gfn = 0; gfn < 10 * runs + 10; gfn++) {
			uint64_t run = gfn / 10, first = 10 * run;

			if (run && gfn < first + 3)
				expect(gfn, run % 2 ? a : b, first + 3);
			else
				expect(gfn, NULL, run < runs ? first + 10 : UINT64_MAX);
		}
	}
}
END_TEST

START_TEST(run_has_one_reference_and_gives_it_back)
{
	set(10, 10, a);
	refs(1, 0, 0);
	set(40, 10, a);
	refs(2, 0, 0);
	set(15, 1, b); /* within it */
	refs(3, 1, 0);
	set(12, 30, c); /* an end of each, and all between them */
	refs(2, 0, 1);
	set(0, 100, NULL);
	refs(0, 0, 0);
	expect(0, NULL, UINT64_MAX);
	set(0, 100, a); /* into what was emptied */
	expect(0, a, 100);
	refs(1, 0, 0);
}
END_TEST

START_TEST(runs_are_joined_where_they_touch_and_are_alike)
{
	set(10, 10, a);
	set(21, 9, a); /* a page apart */
	expect(10, a, 20);
	refs(2, 0, 0);
	set(30, 10, b); /* not alike */
	expect(21, a, 30);
	refs(2, 1, 0);
	set(20, 1, a);
	expect(10, a, 30);
	refs(1, 1, 0);
	set(30, 10, a);
	expect(10, a, 40);
	refs(1, 0, 0);
	set(5, 5, a); /* in front */
	expect(5, a, 40);
	expect(4, NULL, 5);
	refs(1, 0, 0);
}
END_TEST

START_TEST(no_pages_are_no_run)
{
	set(5, 0, a);
	expect(0, NULL, UINT64_MAX);
	refs(0, 0, 0);
	set(0, 10, b);
	set(5, 0, a);
	expect(0, b, 10);
	refs(0, 1, 0);
}
END_TEST

START_TEST(default_takes_away_a_part_of_each_kind)
{
	set(0, 30, a);
	set(10, 5, NULL); /* the middle */
	expect(9, a, 10);
	expect(10, NULL, 15);
	expect(15, a, 30);
	set(0, 2, NULL); /* the beginning */
	expect(0, NULL, 2);
	expect(2, a, 10);
	set(28, 10, NULL); /* the end, and beyond */
	expect(27, a, 28);
	expect(28, NULL, UINT64_MAX);
	refs(2, 0, 0);
}
END_TEST

/* ---- How many ------------------------------------------------------------------------------------ */

START_TEST(limit_is_for_what_makes_more_runs_than_there_were)
{
	struct gmig_error err = {0};

	limit(3);
	set(0, 10, a);
	set(20, 10, b);
	set(40, 10, a);
	ck_assert_int_eq(bindings_set(bindings, 60, 10, c, &err), -ENOMEM);
	ck_assert_int_eq(err.code, -ENOMEM);
	ck_assert_str_eq(err.text, "3 ranges have a policy, which is as many as there may be: join "
				   "some of them first");
	ck_assert_int_eq(bindings_set(bindings, 5, 1, NULL, &err), -ENOMEM);
	expect(0, a, 10);
	expect(50, NULL, UINT64_MAX);
	refs(2, 1, 0);
	set(20, 10, c); /* as many */
	refs(2, 0, 1);
	set(40, 10, NULL); /* fewer, and room again */
	set(60, 10, b);
	refs(1, 1, 1);
	expect(60, b, 70);
}
END_TEST

START_TEST(set_without_memory_changes_nothing)
{
	struct gmig_error err = {0};

	set(0, 10, a);
	no_memory_in = 0;
	ck_assert_int_eq(bindings_set(bindings, 5, 10, b, &err), -ENOMEM);
	ck_assert_int_lt(no_memory_in, 0);
	ck_assert_int_eq(err.code, -ENOMEM);
	ck_assert_str_eq(err.text, "no memory for the policies of ranges");
	expect(0, a, 10);
	expect(10, NULL, UINT64_MAX);
	refs(1, 0, 0);
	set(5, 10, b); /* nobody has kept the lock */
	expect(0, a, 5);
	expect(5, b, 15);
}
END_TEST

START_TEST(bindings_without_memory_are_none)
{
	struct bindings *none = NULL;

	no_memory_in = 0;
	ck_assert_int_eq(bindings_create(&none), -ENOMEM);
	ck_assert_ptr_null(none);
	bindings_destroy(NULL);
}
END_TEST

/* ---- Policies that are shared -------------------------------------------------------------------- */

/* One like the policy of page `like` is set behind all others: is it that one then? */
static bool is_shared(uint64_t like, uint64_t end)
{
	struct mempolicy *first = bindings_get(bindings, like), *mine, *found;

	mine = made((unsigned int)first->members.word[0]);
	set(end, 1, mine);
	found = bindings_get(bindings, end);
	ck_assert(found == first || found == mine);
	mempolicy_put(first);
	mempolicy_put(mine);
	mempolicy_put(found);
	return found == first;
}

START_TEST(policy_is_shared_with_one_of_the_first_64_that_differ)
{
	for (unsigned int i = 0; i < 70; i++) {
		struct mempolicy *policy = made(i + 1);

		set(2ull * i, 1, policy);
		mempolicy_put(policy);
	}
	ck_assert(is_shared(0, 200));
	ck_assert(is_shared(2 * 63, 202));
	ck_assert(!is_shared(2 * 64, 204));
}
END_TEST

START_TEST(two_policies_that_alternate_are_looked_at_once)
{
	struct mempolicy *rare = made(128);

	for (uint64_t i = 0; i < 100; i++)
		set(i, 1, i % 2 ? a : b);
	set(100, 1, rare);
	mempolicy_put(rare);
	ck_assert(is_shared(100, 200));
	ck_assert(is_shared(99, 202));
	ck_assert(is_shared(98, 204));
}
END_TEST

/* ---- Changes of what is there -------------------------------------------------------------------- */

static struct {
	unsigned int calls, fail_at; /* the call that fails, from 1; 0: none */
	const struct mempolicy *asked[16];
	struct mempolicy *to;
} changer;

static int changed(void *arg, struct mempolicy *policy, struct mempolicy **out)
{
	ck_assert_ptr_eq(arg, &changer);
	changer.asked[changer.calls++] = policy;
	if (changer.calls == changer.fail_at)
		return -EXDEV;
	*out = mempolicy_get(changer.to);
	return 0;
}

static int change(uint64_t gfn, uint64_t pages, struct mempolicy *to, unsigned int fail_at)
{
	changer.calls = 0;
	changer.fail_at = fail_at;
	changer.to = to;
	return bindings_change(bindings, gfn, pages, changed, &changer);
}

START_TEST(change_is_of_the_pages_of_its_range_alone)
{
	set(0, 10, a);
	set(20, 10, b);
	set(40, 10, a);
	/* Runs that end, or begin, where the range does are none of its. */
	ck_assert_int_eq(change(10, 10, c, 0), 0);
	ck_assert_uint_eq(changer.calls, 0);
	refs(2, 1, 0);
	ck_assert_int_eq(change(9, 12, c, 0), 0);
	ck_assert_uint_eq(changer.calls, 2);
	ck_assert_ptr_eq(changer.asked[0], a);
	ck_assert_ptr_eq(changer.asked[1], b);
	expect(0, a, 9);
	expect(9, c, 10);
	expect(10, NULL, 20);
	expect(20, c, 21);
	expect(21, b, 30);
	expect(40, a, 50);
	refs(2, 1, 2);
	/* Both ends within one run. */
	ck_assert_int_eq(change(42, 3, b, 0), 0);
	expect(40, a, 42);
	expect(42, b, 45);
	expect(45, a, 50);
	refs(3, 2, 2);
}
END_TEST

START_TEST(change_joins_what_becomes_alike)
{
	set(0, 10, a);
	set(10, 10, b);
	set(20, 10, c);
	ck_assert_int_eq(change(0, 20, c, 0), 0);
	expect(0, c, 30);
	refs(0, 0, 1);
	ck_assert_int_eq(change(0, 30, NULL, 0), 0); /* DEFAULT */
	expect(0, NULL, UINT64_MAX);
	refs(0, 0, 0);
	ck_assert_int_eq(change(0, 30, a, 0), 0); /* of nothing */
	ck_assert_uint_eq(changer.calls, 0);
}
END_TEST

START_TEST(change_that_is_refused_for_one_policy_changes_none)
{
	set(0, 10, a);
	set(20, 10, b);
	set(40, 10, a);
	ck_assert_int_eq(change(0, 100, c, 2), -EXDEV);
	ck_assert_uint_eq(changer.calls, 2);
	expect(0, a, 10);
	expect(20, b, 30);
	expect(40, a, 50);
	refs(2, 1, 0);
	no_memory_in = 0;
	ck_assert_int_eq(change(0, 100, c, 0), -ENOMEM);
	ck_assert_uint_eq(changer.calls, 0);
	refs(2, 1, 0);
	ck_assert_int_eq(change(0, 100, c, 0), 0);
	refs(0, 0, 3);
}
END_TEST

/* Runs of as many policies, then one more of the policy `again`: how often is the caller asked? */
static unsigned int asked_of(unsigned int policies, unsigned int again)
{
	struct mempolicy *one[10];

	limit(100);
	for (unsigned int i = 0; i < policies; i++) {
		one[i] = made(8 + i);
		set(2ull * i, 1, one[i]);
	}
	set(2ull * policies, 1, one[again]);
	ck_assert_int_eq(change(0, 100, c, 0), 0);
	for (unsigned int i = 0; i <= policies; i++)
		expect(2ull * i, c, 2ull * i + 1);
	refs(0, 0, policies + 1);
	for (unsigned int i = 0; i < policies; i++) {
		ck_assert_uint_eq(atomic_load(&one[i]->refs), 1);
		mempolicy_put(one[i]);
	}
	return changer.calls;
}

START_TEST(caller_is_asked_once_about_each_of_the_last_eight_policies)
{
	ck_assert_uint_eq(asked_of(1, 0), 1);
	ck_assert_uint_eq(asked_of(8, 0), 8);
	ck_assert_uint_eq(asked_of(8, 7), 8);
	ck_assert_uint_eq(asked_of(9, 1), 9);
	ck_assert_uint_eq(asked_of(9, 0), 10); /* which the ninth has replaced */
	ck_assert_uint_eq(asked_of(9, 8), 9);
}
END_TEST

/* ---- Other nodes --------------------------------------------------------------------------------- */

static struct gmig_node_set nodes_of(const char *text)
{
	struct gmig_node_set nodes;

	ck_assert_int_eq(gmig_node_set_parse(text, &nodes, NULL), 0);
	return nodes;
}

static unsigned int node_of(uint64_t gfn)
{
	struct mempolicy *policy = bindings_get(bindings, gfn);
	unsigned int node = policy->list[0].node;

	ck_assert_uint_eq(policy->count, 1);
	mempolicy_put(policy);
	return node;
}

START_TEST(nodes_that_are_the_same_or_none_change_no_policy)
{
	struct gmig_node_set none = {{0}};
	int ret[2];
	long left;

	ck_assert_int_eq(bindings_rebind(bindings, &none), 0);
	ck_assert_int_eq(bindings_rebind(bindings, &mems), 0);
	set(0, 10, a);
	set(20, 10, b);
	no_memory_in = 0; /* none is needed */
	ret[0] = bindings_rebind(bindings, &none);
	ret[1] = bindings_rebind(bindings, &mems);
	left = no_memory_in;
	no_memory_in = -1;
	ck_assert_int_eq(ret[0], 0);
	ck_assert_int_eq(ret[1], 0);
	ck_assert_int_eq(left, 0);
	expect(0, a, 10);
	expect(20, b, 30);
	refs(1, 1, 0);
}
END_TEST

/* Whichever run it is: the others know of the nodes already. */
START_TEST(run_that_knows_of_other_nodes_is_found_among_those_that_know)
{
	const struct gmig_node_set few = nodes_of("0-3");

	for (unsigned int stale = 0; stale < 5; stale++) {
		struct mempolicy *old = made_of(8, &few); /* node 3: the fourth of four */

		limit(10);
		for (unsigned int i = 0; i < 5; i++)
			set(10ull * i, 5, i == stale ? old : i % 2 ? a : b);
		mempolicy_put(old);
		ck_assert_int_eq(bindings_rebind(bindings, &mems), 0);
		for (unsigned int i = 0; i < 5; i++) {
			struct mempolicy *policy = bindings_get(bindings, 10ull * i);

			ck_assert(gmig_node_set_has(&policy->mems, 7));
			ck_assert(i == stale || policy == (i % 2 ? a : b));
			ck_assert_uint_eq(policy->list[0].node, i == stale ? 3 : i % 2 ? 0 : 1);
			mempolicy_put(policy);
		}
	}
}
END_TEST

START_TEST(all_runs_are_rebound_from_the_first_page_to_the_last)
{
	const struct gmig_node_set shifted = nodes_of("8-15");

	set(0, 1, a);
	set(5, 5, b);
	set(UINT64_MAX / GMIG_PAGE_BYTES, 1, c);
	ck_assert_int_eq(bindings_rebind(bindings, &shifted), 0);
	ck_assert_uint_eq(node_of(0), 8);
	ck_assert_uint_eq(node_of(5), 9);
	ck_assert_uint_eq(node_of(9), 9);
	ck_assert_uint_eq(node_of(UINT64_MAX / GMIG_PAGE_BYTES), 10);
	refs(0, 0, 0);
}
END_TEST

START_TEST(rebinding_without_memory_changes_nothing)
{
	const struct gmig_node_set shifted = nodes_of("8-15");

	set(0, 1, a);
	set(5, 5, b);
	for (long call = 0; call < 3; call++) {
		no_memory_in = call;
		ck_assert_int_eq(bindings_rebind(bindings, &shifted), -ENOMEM);
		ck_assert_int_lt(no_memory_in, 0);
		expect(0, a, 1);
		expect(5, b, 10);
		refs(1, 1, 0);
	}
	ck_assert_int_eq(bindings_rebind(bindings, &shifted), 0);
	ck_assert_uint_eq(node_of(5), 9);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    run_has_its_first_page_and_its_last_and_no_other,
	    page_is_found_among_any_number_of_runs,
	    run_has_one_reference_and_gives_it_back,
	    runs_are_joined_where_they_touch_and_are_alike,
	    no_pages_are_no_run,
	    default_takes_away_a_part_of_each_kind,
	    limit_is_for_what_makes_more_runs_than_there_were,
	    set_without_memory_changes_nothing,
	    bindings_without_memory_are_none,
	    policy_is_shared_with_one_of_the_first_64_that_differ,
	    two_policies_that_alternate_are_looked_at_once,
	    change_is_of_the_pages_of_its_range_alone,
	    change_joins_what_becomes_alike,
	    change_that_is_refused_for_one_policy_changes_none,
	    caller_is_asked_once_about_each_of_the_last_eight_policies,
	    nodes_that_are_the_same_or_none_change_no_policy,
	    run_that_knows_of_other_nodes_is_found_among_those_that_know,
	    all_runs_are_rebound_from_the_first_page_to_the_last,
	    rebinding_without_memory_changes_nothing,
	};

	return run_tests("bindings", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
