/* gmig wait against a scripted VMM: whom it waits for, how it ends, and that it changes nothing. */
#include "fake_vmm.h"

/* A job that runs, and at the next question has ended so. */
static void ends_as(const char *state, json_int_t moved, json_int_t remaining)
{
	json_decref(fake.job);
	fake.job = fake_job("running", 1 << 20, 0);
	fake.last = fake_job(state, moved, remaining);
	fake.tell = false;
	fake.queries_until_end = 2;
}

static void runs_on(void)
{
	json_decref(fake.job);
	fake.job = fake_job("running", 1 << 20, 0);
}

static void listed_as(const char *state, json_int_t moved, json_int_t remaining)
{
	json_decref(fake.job);
	fake.job = fake_job(state, moved, remaining);
}

START_TEST(wait_for_a_job_ends_with_it_as_migrate_does)
{
	json_t *result;

	ends_as("completed", 1 << 30, 0);
	ck_assert_int_eq(gmig("wait", "vm1", "1", "--json", NULL), CLI_OK);
	ck_assert_str_eq(fake.log, "query-jobs query-jobs ");
	result = out_json();
	ck_assert_str_eq(cli_text(result, "job"), "1");
	ck_assert_str_eq(cli_text(result, "state"), "completed");
	json_decref(result);
}
END_TEST

START_TEST(wait_tells_what_remains_and_what_failed)
{
	listed_as("completed", 1 << 29, 8192);
	ck_assert_int_eq(gmig("wait", "vm1", "1", NULL), CLI_REMAINING);
	ck_has(out_text, "job 1 completed: 512M moved");
	ck_has(out_text, "2 pages of 4K: EBUSY");
	listed_as("cancelled", 1 << 29, 0);
	ck_assert_int_eq(gmig("wait", "vm1", "1", NULL), CLI_FAILED);
	ck_has(out_text, "job 1 cancelled");
}
END_TEST

START_TEST(wait_without_a_job_waits_for_those_that_run)
{
	json_t *results;

	listed_as("failed", 0, 4096);
	ck_assert_int_eq(gmig("wait", "vm1", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "no migration runs\n");
	ck_assert_int_eq(gmig("wait", "vm1", "--json", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "[]\n");
	listed_as("paused", 0, 4096);
	fake.last = fake_job("completed", 1 << 30, 0);
	fake.tell = false;
	fake.queries_until_end = 2;
	ck_assert_int_eq(gmig("wait", "vm1", "--json", NULL), CLI_OK);
	results = out_json();
	ck_assert_uint_eq(json_array_size(results), 1);
	ck_assert_str_eq(cli_text(json_array_get(results, 0), "state"), "completed");
	json_decref(results);
}
END_TEST

START_TEST(wait_asks_when_no_event_comes)
{
	runs_on();
	fake.forget_at = 3;
	ck_assert_int_eq(gmig("wait", "vm1", "1", NULL), CLI_FAILED);
	ck_assert_str_eq(fake.log, "query-jobs query-jobs query-jobs ");
	ck_assert_str_eq(err_text, "gmig: job 1: the guest does not list it any more\n");
}
END_TEST

START_TEST(wait_goes_on_when_the_guest_has_no_room_for_an_answer)
{
	ends_as("completed", 1 << 30, 0);
	fake.refused_queries = 2;
	ck_assert_int_eq(gmig("wait", "vm1", "1", NULL), CLI_OK);
	ck_assert_str_eq(fake.log, "query-jobs query-jobs query-jobs query-jobs ");
	ck_has(out_text, "job 1 completed: 1G moved");
}
END_TEST

START_TEST(wait_that_is_too_long_leaves_the_job_alone)
{
	json_t *answer;

	runs_on();
	ck_assert_int_eq(gmig("wait", "vm1", "1", "--timeout", "1000ms", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: job 1: it has not ended yet, and goes on (after 1s)\n");
	ck_assert_ptr_null(strstr(fake.log, "job-cancel"));
	ck_assert_int_eq(gmig("wait", "vm1", "1", "--timeout=0", "--json", NULL), CLI_FAILED);
	answer = out_json();
	ck_assert_str_eq(cli_text(json_object_get(answer, "error"), "errno"), "ETIME");
	json_decref(answer);
}
END_TEST

/* The test is to end by the signal: a handler would have cancelled the job and gone on. */
START_TEST(wait_interrupted_ends_at_once)
{
	signal(SIGINT, SIG_DFL); /* Check has one of its own */
	runs_on();
	fake.interrupt_on_query = true;
	gmig("wait", "vm1", "1", NULL);
}
END_TEST

START_TEST(wait_for_what_is_not_there_is_1)
{
	runs_on();
	ck_assert_int_eq(gmig("wait", "vm1", "7", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: there is no job 7 in vm1; gmig jobs vm1 lists them\n");
	ck_assert_int_eq(gmig("wait", "vm2", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: there is no socket '");
	fake.end_on_query = true;
	ck_assert_int_eq(gmig("wait", "vm1", "1", NULL), CLI_FAILED);
	ck_has(err_text, "the VMM has ended");
}
END_TEST

START_TEST(wait_with_bad_words_is_usage)
{
	ck_assert_int_eq(gmig("wait", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("wait", "vm1", "1", "2", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("wait", "vm1", "--timeout", "soon", NULL), CLI_USAGE);
	ck_has(err_text, "or 10min: 'soon'");
	ck_assert_int_eq(gmig("wait", "vm1", "--timeout", "31536001", NULL), CLI_USAGE);
	ck_assert_str_eq(fake.log, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_wait");
	TCase *tcase = fake_case(suite, "wait");

	tcase_add_test(tcase, wait_for_a_job_ends_with_it_as_migrate_does);
	tcase_add_test(tcase, wait_tells_what_remains_and_what_failed);
	tcase_add_test(tcase, wait_without_a_job_waits_for_those_that_run);
	tcase_add_test(tcase, wait_asks_when_no_event_comes);
	tcase_add_test(tcase, wait_goes_on_when_the_guest_has_no_room_for_an_answer);
	tcase_add_test(tcase, wait_that_is_too_long_leaves_the_job_alone);
	tcase_add_test_raise_signal(tcase, wait_interrupted_ends_at_once, SIGINT);
	tcase_add_test(tcase, wait_for_what_is_not_there_is_1);
	tcase_add_test(tcase, wait_with_bad_words_is_usage);
	return run_suite(suite);
}
