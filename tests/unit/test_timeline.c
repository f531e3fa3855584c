/* gmig migrate --trace: a job's blackouts and stalls over its time, as they were recorded. */
#include "fake_vmm.h"
#include "suite.h"
#include "svg_areas.h"

#include "../../cli/plot.h"

static char path[256];

static void setup(void)
{
	fake_setup();
	fake.maps = json_array();
	json_decref(fake.job);
	json_decref(fake.last);
	fake.job = fake_job("running", 0, 1 << 30);
	fake.last = fake_job("completed", 1 << 30, 0);
	fake.tell = true;
	snprintf(path, sizeof(path), "%s/job.svg", fake.directory);
}

/* From begin to end, in ms. */
static json_t *record_of(int begin, int end, int write_us, int read_us, int moved)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "begin_ns", begin * 1000000, "end_ns",
			 end * 1000000, "blackout_write_ns", write_us * 1000, "blackout_read_ns",
			 read_us * 1000, "pages", 512, "moved_pages", moved);
}

/* In two answers: writers are out all the time, readers in the second half, and in the last tenth pages stay. */
static void script_trace(int dropped)
{
	json_array_append_new(fake.maps,
			      json_pack("{s:i, s:i, s:[o]}", "total", 3, "dropped", dropped,
					"records", record_of(0, 50, 1000, 0, 512)));
	json_array_append_new(fake.maps,
			      json_pack("{s:i, s:i, s:[o, o]}", "total", 3, "dropped", dropped,
					"records", record_of(50, 100, 4000, 20, 512),
					record_of(90, 100, 500, 0, 500)));
}

static double width_of(const json_t *svg, const char *name)
{
	const json_t *one = json_object_get(json_object_get(svg, "series"), name);

	ck_assert_msg(one != NULL, "no series '%s'", name);
	return json_real_value(json_object_get(one, "width"));
}

#define can_draw() can_draw_of(__func__)

static bool can_draw_of(const char *function)
{
	struct gmig_error err;

	if (!plot_check("the test", &err) && !system("python3 -c pass"))
		return true;
	return skip_case_of(function, "gnuplot or python3 is not installed");
}

START_TEST(timeline_has_each_blackout_at_its_time)
{
	double all;
	json_t *svg;

	if (!can_draw())
		return;
	script_trace(0);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--trace", path, NULL),
			 CLI_OK);
	ck_assert(json_object_get(fake.arguments, "first") != NULL); /* of the second answer */
	ck_assert_uint_eq(cli_number(fake.arguments, "first"), 1);
	svg = svg_areas(TEST_SUPPORT, path);
	all = width_of(svg, "longest blackout of writers: 4.00 ms");
	ck_assert_double_gt(all, 500);
	ck_assert_double_eq_tol(width_of(svg, "of readers: 20.0 us") / all, 0.5, 0.01);
	ck_assert_double_lt(width_of(svg, "pages tried that stayed: 12") / all, 0.02);
	ck_assert_str_eq(cli_text(svg, "title"), "Job 1 of vm1: 1G moved in 500 ms");
	ck_has(cli_text(svg, "desc"), "3 moves of a block's pages over 100 ms; longest blackout");
	ck_has(cli_text(svg, "desc"), "longest stall so far: ");
	ck_assert(json_is_true(json_object_get(svg, "dark")));
	json_decref(svg);
	ck_has(out_text, "1G moved"); /* what it says without a picture, too */
}
END_TEST

START_TEST(timeline_says_what_it_does_not_have)
{
	json_t *svg, *text;
	bool said = false;
	size_t i;

	if (!can_draw())
		return;
	script_trace(7);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--trace", path, NULL),
			 CLI_OK);
	svg = svg_areas(TEST_SUPPORT, path);
	ck_has(cli_text(svg, "desc"), "; 7 later ones were not kept");
	json_array_foreach (json_object_get(svg, "text"), i, text)
		said |= !strcmp(json_string_value(text), "7 later moves were not kept");
	ck_assert(said);
	json_decref(svg);
}
END_TEST

/* The job is reported all the same; and nothing is begun for a picture that cannot be. */
START_TEST(job_is_reported_without_its_picture)
{
	if (!can_draw())
		return;
	json_array_append_new(fake.maps,
			      json_pack("{s:i, s:i, s:[]}", "total", 0, "dropped", 0, "records"));
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--trace", path, NULL),
			 CLI_FAILED);
	ck_has(err_text, "no picture of the job: the job has left no trace");
	ck_has(out_text, "1G moved");
	fake.log[0] = '\0';
	ck_assert_int_eq(
	    gmig("migrate", "vm1", "--from", "0", "--to", "1", "--trace", "/dev/null", NULL),
	    CLI_FAILED);
	ck_assert_int_eq(
	    gmig("migrate", "vm1", "--from", "0", "--to", "1", "--trace", path, "--detach", NULL),
	    CLI_USAGE);
	ck_assert_ptr_null(strstr(fake.log, "migrate-pages"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("timeline");
	TCase *tcase = tcase_create("trace");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, fake_teardown);
	tcase_add_test(tcase, timeline_has_each_blackout_at_its_time);
	tcase_add_test(tcase, timeline_says_what_it_does_not_have);
	tcase_add_test(tcase, job_is_reported_without_its_picture);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
