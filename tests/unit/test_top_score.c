/* gmig top has the scores of gmig plan, against a scripted VMM on four nodes that are pretended. */
#include "../../control/closed_nodes.h"
#include "failing_open.h"
#include "fake_vmm.h"

#define MIB (1ll << 20)

/* vm1 has 64 MiB on node 0 and 32 on node 1; its vCPU, which nobody can see run, is held on node 1. */
static void setup(void)
{
	static char system_directory[96];

	fake_setup();
	/* Not this host's. */
	snprintf(system_directory, sizeof(system_directory), "%s/system", fake.directory);
	closed_nodes_system = system_directory;
	fake.more = json_pack("{s:i, s:{s:[{s:i,s:i,s:i,s:s}]}, s:[{s:i, s:I, s:{s:I, s:I}}]}",
			      "fake_nodes", 4, "cpus", "vcpus", "vcpu", 0, "tid", 0, "vnode", 0,
			      "nodes", "1", "vnodes", "id", 0, "bytes", 96 * MIB, "resident", "0",
			      64 * MIB, "1", 32 * MIB);
	ck_assert_ptr_nonnull(fake.more);
}

static double score_in_top(const char *key)
{
	json_t *all, *score;
	double points;

	ck_assert_int_eq(gmig("top", "--once", "--json", NULL), CLI_OK);
	all = out_json();
	score = json_object_get(json_array_get(json_object_get(all, "guests"), 0), "score");
	ck_assert_ptr_nonnull(score);
	points = json_is_null(json_object_get(score, key))
		     ? -1
		     : json_real_value(json_object_get(score, key));
	json_decref(all);
	return points;
}

START_TEST(top_has_the_scores_of_a_plan)
{
	json_t *plan, *score;

	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	plan = out_json();
	score = json_object_get(json_array_get(json_object_get(plan, "guests"), 0), "score");
	ck_assert_double_eq_tol(json_real_value(json_object_get(score, "now")), 33.33, 0.01);
	ck_assert_double_eq_tol(score_in_top("now"), json_real_value(json_object_get(score, "now")),
				0.001);
	ck_assert_double_eq_tol(score_in_top("possible"),
				json_real_value(json_object_get(score, "possible")), 0.001);
	json_decref(plan);
	ck_assert_int_eq(gmig("top", "--once", NULL), CLI_OK);
	ck_has(out_text, " LOC%   SCORE ");
	ck_has(out_text, " 33>100 ");
	ck_assert_ptr_null(strstr(fake.log, "migrate-pages"));
}
END_TEST

/* It is not idle, nor gone: its CPU time cannot be read now. */
START_TEST(vcpu_that_cannot_be_looked_at_is_not_taken_for_idle)
{
	json_t *vcpu =
	    json_array_get(json_object_get(json_object_get(fake.more, "cpus"), "vcpus"), 0);

	json_object_set_new(vcpu, "tid", json_integer(gettid()));
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	ck_assert_double_ge(score_in_top("now"), 0);
	unreadable = "/stat";
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_FAILED);
	ck_has(err_text,
	       "vCPU 0 of guest vm1: its thread cannot be looked at: Too many open files");
	ck_assert_double_eq(score_in_top("now"), -1);
	unreadable_error = EACCES; /* as of another user's with hidepid=1 */
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_FAILED);
	ck_has(err_text, "its thread cannot be looked at: Permission denied");
	unreadable_error = ENOENT; /* it has ended */
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	unreadable = NULL;
	ck_assert_double_ge(score_in_top("now"), 0);
}
END_TEST

/* More memory than the node has: no plan is made with such a guest. */
START_TEST(top_has_no_score_where_there_is_no_plan)
{
	json_t *vnode = json_array_get(json_object_get(fake.more, "vnodes"), 0);

	json_object_set_new(vnode, "resident", json_pack("{s:I}", "0", (json_int_t)1 << 60));
	ck_assert_double_eq(score_in_top("now"), -1);
	json_object_set_new(vnode, "resident", json_object());
	ck_assert_double_eq(score_in_top("now"), -1);
	ck_assert_int_eq(gmig("top", "--once", NULL), CLI_OK);
	ck_assert_ptr_null(strchr(out_text, '>'));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("top_score");
	TCase *tcase = tcase_create("score");

	tcase_add_checked_fixture(tcase, setup, fake_teardown);
	tcase_add_test(tcase, top_has_the_scores_of_a_plan);
	tcase_add_test(tcase, vcpu_that_cannot_be_looked_at_is_not_taken_for_idle);
	tcase_add_test(tcase, top_has_no_score_where_there_is_no_plan);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
