/* A thread's memory from one node, and its own policy afterwards: which calls are made, and what becomes of their errors. */
#include "../../migrate/core/on_node.h"
#include "suite.h"

#include <errno.h>
#include <numaif.h>

static struct thread_policy set[4]; /* the policies that were set, in their order */
static unsigned int sets, asks;
static int ask_error, set_error; /* of the first set */

static int ask(struct thread_policy *policy)
{
	asks++;
	*policy = (struct thread_policy){.mode = MPOL_INTERLEAVE};
	gmig_node_set_add(&policy->nodes, 7);
	return ask_error;
}

static int set_one(const struct thread_policy *policy)
{
	set[sets++] = *policy;
	return sets == 1 ? set_error : 0;
}

static const struct gmig_sys sys = {.thread_policy = ask, .set_thread_policy = set_one};

START_TEST(thread_is_bound_to_the_node_and_what_it_had_is_kept)
{
	struct thread_policy before = {0};

	ck_assert_int_eq(on_node_begin(&sys, GMIG_MAX_NODES - 1, &before), 0);
	ck_assert_uint_eq(asks, 1);
	ck_assert_uint_eq(sets, 1);
	ck_assert_int_eq(set[0].mode, MPOL_BIND);
	ck_assert_uint_eq(gmig_node_set_count(&set[0].nodes), 1);
	ck_assert(gmig_node_set_has(&set[0].nodes, GMIG_MAX_NODES - 1));
	ck_assert_int_eq(before.mode, MPOL_INTERLEAVE);
	ck_assert(gmig_node_set_has(&before.nodes, 7));
	on_node_end(&sys, GMIG_MAX_NODES - 1, &before);
	ck_assert_uint_eq(sets, 2);
	ck_assert_int_eq(set[1].mode, MPOL_INTERLEAVE);
	ck_assert(gmig_node_set_has(&set[1].nodes, 7));
}
END_TEST

START_TEST(no_node_needs_no_call)
{
	struct thread_policy before = {.mode = 77};

	ck_assert_int_eq(on_node_begin(&sys, GMIG_NO_NODE, &before), 0);
	on_node_end(&sys, GMIG_NO_NODE, &before);
	ck_assert_uint_eq(asks + sets, 0);
	ck_assert_int_eq(before.mode, 77);
}
END_TEST

START_TEST(node_that_there_cannot_be_is_refused)
{
	struct thread_policy before;

	ck_assert_int_eq(on_node_begin(&sys, GMIG_MAX_NODES, &before), -EINVAL);
	ck_assert_uint_eq(asks + sets, 0);
}
END_TEST

START_TEST(call_that_fails_is_the_reason)
{
	struct thread_policy before;

	ask_error = -ENOSYS;
	ck_assert_int_eq(on_node_begin(&sys, 1, &before), -ENOSYS);
	ck_assert_uint_eq(sets, 0);
	ask_error = 0;
	set_error = -EINVAL;
	ck_assert_int_eq(on_node_begin(&sys, 1, &before), -EINVAL);
	ck_assert_uint_eq(sets, 1);
}
END_TEST

/* Its nodes have gone meanwhile: it has none then, and not the node's. */
START_TEST(policy_that_is_refused_afterwards_leaves_the_default)
{
	struct thread_policy before = {.mode = MPOL_INTERLEAVE};

	set_error = -EINVAL;
	on_node_end(&sys, 1, &before);
	ck_assert_uint_eq(sets, 2);
	ck_assert_int_eq(set[0].mode, MPOL_INTERLEAVE);
	ck_assert_int_eq(set[1].mode, MPOL_DEFAULT);
	ck_assert(gmig_node_set_empty(&set[1].nodes));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    thread_is_bound_to_the_node_and_what_it_had_is_kept,
	    no_node_needs_no_call,
	    node_that_there_cannot_be_is_refused,
	    call_that_fails_is_the_reason,
	    policy_that_is_refused_afterwards_leaves_the_default,
	};

	return run_tests("on_node", NULL, NULL, tests, sizeof(tests) / sizeof(tests[0]));
}
