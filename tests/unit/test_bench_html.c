/* gmig-bench's HTML report from known samples: what stands in it, that it needs nothing else, and
 * what is escaped. */
#include "../../cli/plot.h"
#include "../bench/plots.h"
#include "../bench/report_html.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct cell_result results[4];
static struct cell_result *pointers[] = {&results[0], &results[1], &results[2], &results[3]};
static struct runner_report report;

/* Four cells; the rates in GB/s, each three times. */
static void set_report(const double *gb_per_second)
{
	memset(results, 0, sizeof(results));
	report =
	    (struct runner_report){.results = pointers,
				   .count = 4,
				   .memcpy = {.one_thread = 10e9, .best = 10e9, .best_threads = 1}};
	for (unsigned int i = 0; i < 4; i++) {
		results[i].cell = (struct cell){.mover = "uffd",
						.mode = "readable",
						.page = "2M",
						.frames = "recycled",
						.load = "write",
						.threads = 1,
						.vcpus = 1,
						.jobs = 1,
						.mem_bytes = 256ull << (20 + i)};
		results[i].instructions_per_page = i ? 4321 + i : NAN;
		results[i].count = 3;
		results[i].times.stall[17] = 9; /* 131 us and more */
		results[i].times.stall[20] = 1;
		results[i].times.blackout_write[16] = 100;
		for (unsigned int rep = 0; rep < 3; rep++) {
			sample_clear(&results[i].sample[rep]);
			results[i].sample[rep].value[METRIC_BYTES_PER_SECOND] =
			    gb_per_second[i] * 1e9;
			results[i].sample[rep].value[METRIC_MEMCPY_RATIO] = gb_per_second[i] / 10;
		}
	}
}

static size_t count_of(const char *text, const char *what)
{
	size_t count = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		count++;
	return count;
}

START_TEST(text_cannot_become_a_tag)
{
	const struct {
		const char *text, *html;
	} cases[] = {
	    {"", ""},
	    {"2M fresh", "2M fresh"},
	    {"<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"},
	    {"a & b", "a &amp; b"},
	    {"\" onload='x'", "&quot; onload=&#39;x&#39;"},
	    {"&lt;", "&amp;lt;"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = NULL;
		size_t bytes;
		FILE *out = open_memstream(&text, &bytes);

		html_text(out, cases[i].text);
		fclose(out);
		ck_assert_str_eq(text, cases[i].html);
		free(text);
	}
}
END_TEST

START_TEST(plot_text_cannot_end_its_string)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	plot_text(out, "a'; system \"b\\\n`c`");
	fclose(out);
	ck_assert_str_eq(text, "'a''; system \"b\\?`c`'");
	free(text);
	out = open_memstream(&text, &bytes);
	plot_word(out, "a\"; b\\\nc");
	fclose(out);
	ck_assert_str_eq(text, "\"a\\\"; b\\\\ c\"");
	free(text);
}
END_TEST

START_TEST(order_is_fastest_first)
{
	const double rates[] = {3, 9, 1, 5};
	size_t order[4];

	set_report(rates);
	plots_order(&report, order);
	ck_assert_uint_eq(order[0], 1);
	ck_assert_uint_eq(order[1], 3);
	ck_assert_uint_eq(order[2], 0);
	ck_assert_uint_eq(order[3], 2);
}
END_TEST

START_TEST(growth_is_judged_by_sizes_alone)
{
	const double rates[] = {9, 10, 11, 10};

	set_report(rates);
	ck_assert_double_eq_tol(plots_growth_spread(&report), 0.2, 1e-9);
	/* Two sizes are no curve. */
	results[2].cell.page = results[3].cell.page = "4K";
	ck_assert(isnan(plots_growth_spread(&report)));
}
END_TEST

static char *html_of(const struct html_input *input, int *rc, struct gmig_error *err)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	*rc = report_html(out, input, err);
	fclose(out);
	return text;
}

START_TEST(report_needs_nothing_else)
{
	const double rates[] = {9, 10, 11, 10};
	json_t *host = json_pack("{s:s, s:s}", "cpu", "<b>CPU</b>", "kernel", "6.18");
	static struct watch watch = {
	    .count = 3,
	    .seconds = 0.1,
	    .point = {{-0.01, 1e8}, {0.05, 2e7}, {0.11, 1e8}},
	    .cell = {.page = "2M", .frames = "fresh", .mode = "readable", .load = "write"}};
	struct html_input input = {.title = "A & B",
				   .command = "gmig-bench quick --html <x>",
				   .report = &report,
				   .host = host,
				   .watch = &watch,
				   .conclusions = "4 < 5"};
	struct gmig_error err = {0};
	char *text;
	int rc;

	set_report(rates);
	report.noise = (struct noise_verdict){.noisy = true, .why = {"a busy <day>"}, .count = 1};
	watch.records = json_pack("[{s:i, s:i, s:i}, {s:i, s:i, s:i}]", "begin_ns", 1,
				  "blackout_read_ns", 10, "blackout_write_ns", 100, "begin_ns", 2,
				  "blackout_read_ns", 20, "blackout_write_ns", 200);
	json_object_update_new(json_array_get(watch.records, 0),
			       json_pack("{s:i, s:i, s:i, s:i}", "end_ns", 2000000, "from", 0, "to",
					 1, "moved_pages", 512));
	text = html_of(&input, &rc, &err);
	if (plot_check("the test", NULL)) {
		ck_assert_int_lt(rc,
				 0); /* without gnuplot: no half of a report that says nothing */
	} else {
		ck_assert_msg(!rc, "%s", err.text);
		/* throughput, stalls, closed, growth, timeline, residency, blocks */
		ck_assert_uint_eq(count_of(text, "<svg"), 7);
		ck_assert_uint_eq(count_of(text, "</svg>"), 7);
		ck_assert_uint_eq(count_of(text, "<?xml"), 0);
		/* Names of XML's own are the only addresses. */
		ck_assert_uint_eq(count_of(text, "://"), count_of(text, "http://www.w3.org/"));
		ck_assert_uint_eq(count_of(text, "<script"), 0);
		ck_assert_uint_eq(count_of(text, "src="), 0);
		ck_assert_ptr_nonnull(strstr(text, "<title>A &amp; B</title>"));
		ck_assert_ptr_nonnull(strstr(text, "gmig-bench quick --html &lt;x&gt;"));
		ck_assert_ptr_nonnull(strstr(text, "a busy &lt;day&gt;"));
		ck_assert_ptr_nonnull(strstr(text, "&lt;b&gt;CPU&lt;/b&gt;"));
		ck_assert_ptr_nonnull(strstr(text, "<pre>4 &lt; 5</pre>"));
		ck_assert_ptr_nonnull(strstr(
		    text, "Fastest: 2M recycled readable write, 11.00 GB/s, 1.10 times memcpy."));
		ck_assert_ptr_nonnull(
		    strstr(text, "The fastest is 1.2 times as fast as the slowest."));
		ck_assert_ptr_nonnull(strstr(text, "lie 20% apart"));
		ck_assert_uint_eq(count_of(text, "<td>4323</td>"), 1); /* instructions per page */
		ck_assert_uint_eq(count_of(text, "<td>nan"), 0);
		ck_assert_ptr_nonnull(strstr(text, "</html>"));
	}
	watch_clear(&watch);
	json_decref(host);
	free(text);
}
END_TEST

/* The height at which the n-th curve begins, or ends. */
static double height_of(const char *svg, int curve, bool end)
{
	double x = 0, y = -1, before = 0;
	char name[40];
	const char *at;
	int length;

	snprintf(name, sizeof(name), "<title>residency_plot_%d</title>", curve);
	at = strstr(svg, name);
	ck_assert_ptr_nonnull(at);
	/* Behind the line of the legend, in the same path. */
	at = strstr(at, " d='M");
	ck_assert_ptr_nonnull(at);
	at = strchr(at + strlen(" d='M"), 'M');
	ck_assert_ptr_nonnull(at);
	at++;
	while (sscanf(at, "%lf,%lf%n", &x, &y, &length) == 2 && end) {
		ck_assert_double_ge(x, before); /* time goes on */
		before = x;
		at += length;
		at += strspn(at, " L\n\t");
	}
	return y;
}

/* Of two jobs, whose records come one job behind the other: what one node has at first the other one has in the end. */
START_TEST(residency_goes_from_node_to_node)
{
	static struct watch watch;
	struct gmig_error err = {0};
	char *svg = NULL;

	if (plot_check("the test", NULL)) {
		skip_case("gnuplot is not installed");
		return;
	}
	watch.records = json_loads("[{\"end_ns\":1000000,\"from\":2,\"to\":5,\"moved_pages\":512},"
				   "{\"end_ns\":3000000,\"from\":2,\"to\":5,\"moved_pages\":512},"
				   "{\"end_ns\":2000000,\"from\":2,\"to\":5,\"moved_pages\":100},"
				   "{\"end_ns\":2500000,\"from\":2,\"to\":5,\"moved_pages\":0}]",
				   0, NULL);
	ck_assert_int_eq(plots_residency(&watch, &svg, &err), 0);
	ck_assert_ptr_nonnull(strstr(svg, "node 2"));
	ck_assert_ptr_nonnull(strstr(svg, "node 5"));
	ck_assert_double_eq(height_of(svg, 1, false), height_of(svg, 2, true));
	ck_assert_double_eq(height_of(svg, 2, false), height_of(svg, 1, true));
	ck_assert_double_lt(height_of(svg, 1, false), height_of(svg, 1, true)); /* y goes down */
	free(svg);
	watch_clear(&watch);
	watch.records = json_array();
	ck_assert_int_eq(plots_residency(&watch, &svg, &err), 0);
	ck_assert_ptr_null(svg);
	watch_clear(&watch);
}
END_TEST

START_TEST(report_without_samples_of_a_kind_leaves_its_plot_out)
{
	const double rates[] = {9, 10, 11, 10};
	json_t *host = json_object();
	struct html_input input = {.title = "x", .command = "x", .report = &report, .host = host};
	struct gmig_error err = {0};
	char *text;
	int rc;

	set_report(rates);
	report.count = 2;
	for (unsigned int i = 0; i < 2; i++)
		memset(&results[i].times, 0, sizeof(results[i].times));
	text = html_of(&input, &rc, &err);
	if (!plot_check("the test", NULL)) {
		ck_assert_msg(!rc, "%s", err.text);
		ck_assert_uint_eq(count_of(text, "<svg"), 1);
	}
	json_decref(host);
	free(text);
}
END_TEST

START_TEST(plot_that_fails_says_what_gnuplot_said)
{
	struct gmig_error err = {0};
	char *svg = NULL;

	if (plot_check("the test", NULL)) {
		skip_case("gnuplot is not installed");
		return;
	}
	ck_assert_int_eq(plot_svg("x", 100, 100, "plot nonsense(", &svg, &err), -EIO);
	ck_assert_ptr_nonnull(strstr(err.text, "gnuplot"));
	ck_assert_ptr_null(svg);
}
END_TEST

START_TEST(plot_without_gnuplot_says_what_to_install)
{
	struct gmig_error err = {0};

	setenv("PATH", "/nonexistent", 1);
	ck_assert_int_eq(plot_check("--html", &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "gnuplot-nox"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_html");
	TCase *tcase = tcase_create("html");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, text_cannot_become_a_tag);
	tcase_add_test(tcase, plot_text_cannot_end_its_string);
	tcase_add_test(tcase, order_is_fastest_first);
	tcase_add_test(tcase, growth_is_judged_by_sizes_alone);
	tcase_add_test(tcase, report_needs_nothing_else);
	tcase_add_test(tcase, residency_goes_from_node_to_node);
	tcase_add_test(tcase, report_without_samples_of_a_kind_leaves_its_plot_out);
	tcase_add_test(tcase, plot_that_fails_says_what_gnuplot_said);
	tcase_add_test(tcase, plot_without_gnuplot_says_what_to_install);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
