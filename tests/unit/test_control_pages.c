/* The commands over libgmig about single pages and policies, and what takes up a job that has ended. */
#include "guest_rig.h"

#include <stdio.h>

/* Of the last answer. */
static const char *error_text(void)
{
	const char *text =
	    json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));

	ck_assert_ptr_nonnull(text);
	return text;
}

static json_int_t status_of(const json_t *reply, size_t i)
{
	return json_integer_value(json_array_get(json_object_get(reply, "status"), i));
}

static void wait_for_job(uint64_t id)
{
	struct gmig_job *job = gmig_job_find(engines[0], id);

	ck_assert_ptr_nonnull(job);
	gmig_job_wait(job);
	gmig_job_put(job);
}

START_TEST(pages_move_and_say_where_they_are)
{
	const json_t *reply;

	if (gmig_why_off(engines[0])) {
		skip_case("migration is off here");
		return;
	}
	reply = ask("{\"execute\":\"query-pages\",\"arguments\":{\"pages\":[4096,16777216]}}");
	ck_assert_int_eq(status_of(reply, 0), 0);
	ck_assert_int_eq(status_of(reply, 1), -EFAULT);
	reply = ask("{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[4096,4096,1],"
		    "\"more\":true}}");
	ck_assert_str_eq(json_string_value(json_object_get(reply, "list")), "1");
	reply = ask("{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[12288,8192,1],"
		    "\"list\":\"1\"}}");
	ck_assert_str_eq(json_string_value(json_object_get(reply, "plan")), "pages");
	wait_for_job(1);
	reply = ask("{\"execute\":\"query-pages\",\"arguments\":{\"pages\":[4096,8192,12288,"
		    "16384,20480],\"id\":\"1\"}}");
	for (size_t i = 0; i < 5; i++)
		ck_assert_int_eq(status_of(reply, i), i == 0 || i == 2 || i == 3);
}
END_TEST

static const struct {
	const char *arguments, *text;
} bad_lists[] = {
    {"\"pages\":[0,4096]", "no entries of three"},
    {"\"pages\":[0,4096,\"1\"]", "item 2 is no number"},
    {"\"pages\":[-1,4096,1]", "item 0 is no number"},
    {"\"pages\":[0,4096,1],\"list\":\"77\"", "there is no list '77'"},
    {"\"pages\":[]", "no page is named"},
    {"\"pages\":[0,4096,2]", "node 2"},
    {"\"pages\":[0,4095,1]", "is not made of pages"},
};

START_TEST(list_of_pages_that_makes_no_sense_is_refused)
{
	char request[256];

	snprintf(request, sizeof(request), "{\"execute\":\"move-pages\",\"arguments\":{%s}}",
		 bad_lists[_i].arguments);
	ask(request);
	ck_assert_ptr_nonnull(strstr(error_text(), bad_lists[_i].text));
}
END_TEST

START_TEST(list_that_came_in_parts_belongs_to_its_guest)
{
	ask("{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[0,4096,1],\"more\":true}}");
	asked = 1;
	ask("{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[],\"list\":\"1\"}}");
	ck_assert_ptr_nonnull(strstr(error_text(), "there is no list"));
	ops.start_move = NULL;
	ask("{\"execute\":\"query-pages\",\"arguments\":{\"pages\":[0]}}");
	ops.start_move = start_move;
	ck_assert_ptr_nonnull(strstr(error_text(), "is not known here"));
}
END_TEST

#define FIX(gpa, bytes, fixed)                                                                     \
	"{\"execute\":\"fix-memory\",\"arguments\":{\"gpa\":" gpa ",\"bytes\":" bytes              \
	",\"fixed\":" fixed "}}"

static const struct {
	const char *request, *code, *text;
} refused_bindings[] = {
    {BIND("\"policy\":\"best\""), "EINVAL", "policy: 'best' is none of default, local"},
    {BIND("\"policy\":\"bind\",\"nodes\":[\"x\"]"), "EINVAL", "nodes: item 0 is not a number"},
    {BIND("\"policy\":\"bind\",\"nodes\":[\"!0\"],\"relative\":true"), "EINVAL",
     "nodes: with relative"},
    {BIND("\"policy\":\"bind\",\"nodes\":[1],\"weights\":[1]"), "EINVAL",
     "weights: are for policy weighted-interleave"},
    {BIND("\"policy\":\"weighted-interleave\",\"nodes\":[0,1],\"weights\":[1]"), "EINVAL",
     "weights: 1 for 2 nodes"},
    {BIND("\"policy\":\"weighted-interleave\",\"nodes\":[0,1],\"weights\":[1,256]"), "EINVAL",
     "weights: item 1 is not within 1 to 255"},
    {BIND("\"policy\":\"bind\",\"nodes\":[1],\"home-node\":-1"), "EINVAL",
     "home-node: -1 is not within"},
    {BIND("\"policy\":\"bind\",\"nodes\":[1],\"mode\":\"fast\""), "EINVAL",
     "mode: 'fast' is none of"},
    {"{\"execute\":\"query-maps\",\"arguments\":{\"gpa\":-1}}", "EINVAL", "gpa: -1 is not within"},
    {"{\"execute\":\"query-maps\",\"arguments\":{\"step\":4096}}", "EINVAL",
     "step: 4096 is no multiple of 2 MiB"},
    {"{\"execute\":\"query-maps\",\"arguments\":{\"step\":-2097152}}", "EINVAL", "step: -2097152"},
    {FIX("-1", "4096", "true"), "EINVAL", "gpa: -1 is not within"},
    {FIX("0", "-1", "true"), "EINVAL", "bytes: -1 is not within"},
};

START_TEST(fixed_range_stays_and_maps_show_it)
{
	const json_t *run;

	if (gmig_why_off(engines[0])) {
		expect_error(FIX("0", "4096", "true"), "EOPNOTSUPP", "off");
		skip_case("migration is off here");
		return;
	}
	expect_error(FIX("1", "4096", "true"), "EINVAL", "no multiple of 4 KiB");
	expect_error(FIX("8388608", "4096", "true"), "EFAULT", "is no memory of the guest");
	ck_assert_uint_eq(json_object_size(ask(FIX("4096", "4096", "true"))), 0);
	run = json_array_get(json_object_get(ask("{\"execute\":\"query-maps\"}"), "maps"), 0);
	ck_assert_int_eq(number(run, "fixed"), GMIG_BLOCK_PAGES);
	ask("{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[0],\"to\":[1]}}");
	ck_assert_int_eq(last_job_moved(1, "completed"), BYTES - GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(json_object_size(ask(FIX("0", "8388608", "false"))), 0);
	run = json_array_get(json_object_get(ask("{\"execute\":\"query-maps\"}"), "maps"), 0);
	ck_assert_int_eq(number(run, "fixed"), 0);
}
END_TEST

START_TEST(policy_that_makes_no_sense_is_refused_by_name)
{
	expect_error(refused_bindings[_i].request, refused_bindings[_i].code,
		     refused_bindings[_i].text);
}
END_TEST

START_TEST(binding_moves_a_range_and_maps_show_it)
{
	const json_t *info, *run;

	if (gmig_why_off(engines[0])) {
		expect_error(BIND("\"policy\":\"local\""), "EOPNOTSUPP", "off");
		expect_error("{\"execute\":\"query-maps\"}", "EOPNOTSUPP", "off");
		return;
	}
	info = ask(BIND("\"policy\":\"interleave\",\"nodes\":[0,1]"));
	ck_assert_uint_eq(json_object_size(info), 0); /* no job */
	run = json_array_get(json_object_get(ask("{\"execute\":\"query-maps\"}"), "maps"), 0);
	ck_assert_int_eq(number(run, "misplaced"), BYTES / GMIG_PAGE_BYTES / 2);
	info = ask(BIND("\"policy\":\"interleave\",\"nodes\":[0,1],\"move\":true,\"strict\":true"));
	ck_assert_str_eq(json_string_value(json_object_get(info, "id")), "1");
	ck_assert_int_eq(last_job_moved(1, "completed"), BYTES / 2);
	info = ask("{\"execute\":\"query-maps\",\"arguments\":{\"gpa\":4096}}");
	run = json_array_get(json_object_get(info, "maps"), 0);
	ck_assert_int_eq(number(run, "gpa"), 4096);
	ck_assert_int_eq(number(run, "bytes"), BYTES - 4096);
	ck_assert_str_eq(json_string_value(json_object_get(run, "policy")), "interleave");
	ck_assert_uint_eq(json_array_size(json_object_get(run, "nodes")), 2);
	ck_assert_int_eq(number(json_object_get(run, "pages"), "1"), BYTES / GMIG_PAGE_BYTES / 2);
	/* In steps, of which the first begins within one. */
	info = ask("{\"execute\":\"query-maps\",\"arguments\":{\"gpa\":4096,\"step\":4194304}}");
	ck_assert_uint_eq(json_array_size(json_object_get(info, "maps")), 2);
	run = json_array_get(json_object_get(info, "maps"), 0);
	ck_assert_int_eq(number(run, "bytes"), 4194304 - 4096);
	run = json_array_get(json_object_get(info, "maps"), 1);
	ck_assert_int_eq(number(run, "gpa"), 4194304);
	ck_assert_int_eq(number(run, "bytes"), BYTES - 4194304);
	ck_assert_int_eq(number(json_object_get(run, "pages"), "1"),
			 (BYTES - 4194304) / GMIG_PAGE_BYTES / 2);
	/* Nothing is behind it. */
	info = ask("{\"execute\":\"query-maps\",\"arguments\":{\"gpa\":8388608}}");
	ck_assert_uint_eq(json_array_size(json_object_get(info, "maps")), 0);
	ck_assert_ptr_null(json_object_get(info, "next"));
}
END_TEST

#define RETRY(id, rest) "{\"execute\":\"job-retry\",\"arguments\":{\"id\":\"" id "\"" rest "}}"

START_TEST(cancelled_jobs_are_taken_up)
{
	if (gmig_why_off(engines[0])) {
		skip_case("migration is off here");
		return;
	}
	expect_error(RETRY("1", ""), "ESRCH", "there is no job 1");
	ask("{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[0],\"to\":[1],\"rate\":1}}");
	expect_error(RETRY("1", ""), "EBUSY", "has not ended");
	ask("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"1\"}}");
	ck_assert_int_eq(last_job_moved(1, "cancelled"), 0);
	expect_error(RETRY("1", ",\"rate\":-1"), "EINVAL", "rate: -1 is not within");
	ck_assert_int_eq(number(ask(RETRY("1", ",\"rate\":0,\"threads\":2")), "rate"), 0);
	ck_assert_int_eq(last_job_moved(2, "completed"), BYTES);
	expect_error(RETRY("2", ""), "ENODATA", "nothing remains of job 2");
	/* By a policy; the rate is the old one's. */
	ask(BIND("\"policy\":\"interleave\",\"nodes\":[0,1],\"move\":true,\"rate\":1"));
	ask("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"3\"}}");
	ck_assert_int_eq(last_job_moved(3, "cancelled"), 0);
	ck_assert_int_eq(number(ask(RETRY("3", "")), "rate"), 1);
	ask("{\"execute\":\"job-set-rate\",\"arguments\":{\"id\":\"4\",\"rate\":0}}");
	ck_assert_int_eq(last_job_moved(4, "completed"), BYTES / 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_pages");
	TCase *tcase = tcase_create("commands");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, pages_move_and_say_where_they_are);
	tcase_add_loop_test(tcase, list_of_pages_that_makes_no_sense_is_refused, 0,
			    sizeof(bad_lists) / sizeof(bad_lists[0]));
	tcase_add_test(tcase, list_that_came_in_parts_belongs_to_its_guest);
	tcase_add_loop_test(tcase, policy_that_makes_no_sense_is_refused_by_name, 0,
			    sizeof(refused_bindings) / sizeof(refused_bindings[0]));
	tcase_add_test(tcase, binding_moves_a_range_and_maps_show_it);
	tcase_add_test(tcase, fixed_range_stays_and_maps_show_it);
	tcase_add_test(tcase, cancelled_jobs_are_taken_up);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
