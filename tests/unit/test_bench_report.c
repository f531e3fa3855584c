/* gmig-bench fed with known samples: cells, figures, targets, JSON and table. No guest. */
#include "../bench/options.h"
#include "../bench/report.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 1e-9)

static struct cell_result results[3];
static struct cell_result *pointers[3] = {&results[0], &results[1], &results[2]};
static struct runner_report report;

/* A cell whose repetitions have a ratio of ratio - 2%, ratio, ratio + 2% and everything else alike. */
static void set_result(struct cell_result *result, const char *page, const char *frames,
		       const char *load, double ratio)
{
	memset(result, 0, sizeof(*result));
	result->cell = (struct cell){.mover = "uffd",
				     .mode = "readable",
				     .page = page,
				     .frames = frames,
				     .load = load,
				     .threads = 1,
				     .vcpus = 1,
				     .jobs = 1,
				     .mem_bytes = 1u << 30};
	result->count = 3;
	for (int i = 0; i < 3; i++) {
		struct sample *sample = &result->sample[i];

		sample_clear(sample);
		sample->value[METRIC_MEMCPY_RATIO] = ratio + 0.02 * ((i + 1) % 3 - 1);
		sample->value[METRIC_MEMCPY_BYTES_PER_SECOND] = 20e9;
		sample->value[METRIC_BYTES_PER_SECOND] = 20e9 * sample->value[METRIC_MEMCPY_RATIO];
		sample->value[METRIC_COLD_COPY_NS] = 100e3;
		sample->value[METRIC_TLB_FLUSH_NS] = 10e3;
		sample->value[METRIC_THP_SPLIT] = 0;
		sample->value[METRIC_BLACKOUT_WRITE_NS] = 145e3;
		sample->value[METRIC_BLACKOUT_WRITE_NS + 1] = 290e3;
		sample->value[METRIC_BLACKOUT_READ_NS] = 10e3;
		sample->value[METRIC_BLACKOUT_READ_NS + 1] = 39e3;
		sample->value[METRIC_CPU_SECONDS_PER_GB] = 0.2;
		sample->value[METRIC_MEMCPY_CPU_SECONDS_PER_GB] = 0.1;
	}
}

static const struct target_judgement *judgement(const struct target_judgement *targets,
						size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(targets[i].name, name))
			return &targets[i];
	ck_abort_msg("no target '%s'", name);
	return NULL;
}

static size_t judge_all(struct target_judgement *targets)
{
	return target_judge(&report, targets);
}

static void set_good(void)
{
	set_result(&results[0], "2M", "recycled", "write", 0.95);
	set_result(&results[1], "2M", "fresh", "write", 0.7);
	set_result(&results[2], "4K", "recycled", "idle", 0.51);
	report =
	    (struct runner_report){.results = pointers,
				   .count = 3,
				   .memcpy = {.one_thread = 20e9, .best = 20e9, .best_threads = 1}};
}

START_TEST(job_figures_land_in_the_sample)
{
	json_t *job = json_loads(
	    "{\"id\":\"1\",\"state\":\"completed\",\"remaining_bytes\":0,\"thp_split\":2,"
	    "\"passes\":1,"
	    "\"blackout_ns\":{\"read\":{\"count\":3,\"p50\":1,\"p99\":2,\"p999\":3,\"max\":4},"
	    "\"write\":{\"count\":3,\"p50\":10,\"p99\":20,\"p999\":30,\"max\":40}},"
	    "\"stall_ns\":{\"count\":0,\"p50\":0,\"p99\":0,\"p999\":0,\"max\":0}}",
	    0, NULL);
	struct gmig_error err;
	struct sample sample;

	sample_clear(&sample);
	ck_assert_int_eq(sample_add_job(&sample, job, &err), 0);
	NEAR(sample.value[METRIC_BLACKOUT_READ_NS], 1);
	NEAR(sample.value[METRIC_BLACKOUT_READ_NS + 3], 4);
	NEAR(sample.value[METRIC_BLACKOUT_WRITE_NS + 1], 20);
	ck_assert(isnan(sample.value[METRIC_STALL_NS])); /* nobody slept: not a stall of 0 */
	NEAR(sample.value[METRIC_THP_SPLIT], 2);
	/* A second job of the same repetition: losses add up, of times the worse one counts. */
	json_object_set_new(json_object_get(json_object_get(job, "blackout_ns"), "read"), "p50",
			    json_integer(7));
	ck_assert_int_eq(sample_add_job(&sample, job, &err), 0);
	NEAR(sample.value[METRIC_THP_SPLIT], 4);
	NEAR(sample.value[METRIC_BLACKOUT_READ_NS], 7);
	json_decref(job);
}
END_TEST

START_TEST(job_that_failed_or_left_pages_is_refused)
{
	json_t *job = json_pack("{s:s, s:i}", "state", "failed", "remaining_bytes", 0);
	struct gmig_error err;
	struct sample sample;

	sample_clear(&sample);
	ck_assert_int_lt(sample_add_job(&sample, job, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "failed"));
	json_object_set_new(job, "state", json_string("completed"));
	json_object_set_new(job, "remaining_bytes", json_integer(4096));
	ck_assert_int_lt(sample_add_job(&sample, job, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "4096"));
	json_decref(job);
}
END_TEST

START_TEST(target_good_run_meets_what_it_measured)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count;

	set_good();
	count = judge_all(targets);
	for (size_t i = 0; i < count; i++)
		ck_assert_int_ne(targets[i].outcome, TARGET_MISSED);
	NEAR(judgement(targets, count, "2M recycled, writing guest")->value, 0.95);
	NEAR(judgement(targets, count, "2M fresh, writing guest, CPU")->value, 2);
	/* In cold copies of 100 us */
	NEAR(judgement(targets, count, "2M blackout of writers, p50")->value, 1.45);
	ck_assert_int_eq(judgement(targets, count, "4K recycled, writing guest")->outcome,
			 TARGET_NOT_MEASURED);
	ck_assert_int_eq(judgement(targets, count, "2M recycled, four jobs at once")->outcome,
			 TARGET_NOT_MEASURED);
	/* What takes an option is left out, not held against anybody. */
	for (size_t i = 0; i < count; i++)
		ck_assert_ptr_null(strstr(targets[i].name, "Linux"));
}
END_TEST

START_TEST(target_linux_itself_is_judged_when_measured)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count;

	set_good();
	report.kernel[KERNEL_RATE_2M] = (struct kernel_rate){
	    .count = 3, .bytes_per_second = {9e9, 10e9, 14e9}, .moved_bytes = 1};
	count = judge_all(targets);
	NEAR(judgement(targets, count, "2M fresh against Linux's own migration")->value, 1.4);
	ck_assert_int_eq(
	    judgement(targets, count, "2M fresh against Linux's own migration")->outcome,
	    TARGET_MET);
	NEAR(judgement(targets, count, "2M recycled against Linux's own migration")->value, 1.9);
	report.kernel[KERNEL_RATE_4K] =
	    (struct kernel_rate){.count = 1, .bytes_per_second = {2e9}, .moved_bytes = 1};
	count = judge_all(targets);
	NEAR(judgement(targets, count,
		       "4K, idle guest, against Linux's own migration, best thread count")
		 ->value,
	     5.1);
	ck_assert_int_eq(
	    judgement(targets, count,
		      "4K, idle guest, against Linux's own migration, best thread count")
		->outcome,
	    TARGET_MISSED);
}
END_TEST

START_TEST(target_of_the_best_thread_count_takes_the_best)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count;

	set_good();
	set_result(&results[2], "2M", "fresh", "write", 0.8);
	results[2].cell.threads = 2;
	count = judge_all(targets);
	NEAR(judgement(targets, count, "2M fresh, writing guest, best thread count")->value, 0.8);
	set_result(&results[1], "2M", "recycled", "idle", 0.7);
	set_result(&results[2], "2M", "recycled", "idle", 1.1);
	results[2].cell.threads = 2;
	report.memcpy.best = 25e9;
	count = judge_all(targets);
	NEAR(judgement(targets, count, "2M recycled, idle guest, best thread count")->value, 0.88);
	ck_assert_int_eq(
	    judgement(targets, count, "2M recycled, idle guest, best thread count")->outcome,
	    TARGET_MISSED);
}
END_TEST

START_TEST(target_of_one_thread_leaves_other_batches_out)
{
	struct target_judgement targets[TARGET_MAX];

	set_good();
	set_result(&results[1], "4K", "recycled", "idle",
		   0.1); /* of the cells that match, the worst would count */
	results[1].cell.batch = 1;
	NEAR(judgement(targets, judge_all(targets), "4K recycled, idle guest")->value, 0.51);
}
END_TEST

START_TEST(target_jobs_are_compared_with_one_job_of_the_same_kind)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count;

	set_good();
	set_result(&results[1], "2M", "recycled", "write", 0.9);
	results[1].cell.jobs = 4;
	count = judge_all(targets);
	NEAR(judgement(targets, count, "2M recycled, four jobs at once")->value, 0.9 / 0.95);
	ck_assert_int_eq(judgement(targets, count, "2M recycled, four jobs at once")->outcome,
			 TARGET_MISSED);
	results[1].cell.vcpus = 2;
	count = judge_all(targets);
	ck_assert_int_eq(judgement(targets, count, "2M recycled, four jobs at once")->outcome,
			 TARGET_NOT_MEASURED);
}
END_TEST

START_TEST(target_growth_is_judged_with_three_sizes)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count, before;

	set_good();
	before = judge_all(targets);
	for (unsigned int i = 0; i < 3; i++) {
		set_result(&results[i], "2M", "recycled", "write", 0.95 + 0.03 * i);
		results[i].cell.mem_bytes = 256ull << (20 + i);
	}
	count = judge_all(targets);
	ck_assert_uint_eq(count, before + 1);
	NEAR(targets[before].value, 0.06 / 0.98);
	ck_assert_int_eq(targets[before].outcome, TARGET_MET);
	set_result(&results[2], "2M", "recycled", "write", 1.2);
	results[2].cell.mem_bytes = 1ull << 30;
	judge_all(targets);
	ck_assert_int_eq(targets[before].outcome, TARGET_MISSED);
}
END_TEST

START_TEST(target_each_figure_can_fall_short)
{
	struct target_judgement targets[TARGET_MAX];
	const struct {
		const char *name;
		unsigned int result;
		enum metric metric;
		double value;
	} cases[] = {
	    {"2M recycled, writing guest", 0, METRIC_MEMCPY_RATIO, 0.899},
	    {"2M fresh, writing guest, best thread count", 1, METRIC_MEMCPY_RATIO, 0.649},
	    {"2M fresh, writing guest, CPU", 1, METRIC_CPU_SECONDS_PER_GB, 0.221},
	    {"4K recycled, idle guest", 2, METRIC_MEMCPY_RATIO, 0.499},
	    {"2M blackout of writers, p50", 0, METRIC_BLACKOUT_WRITE_NS, 151e3},
	    {"2M blackout of writers, p99", 0, METRIC_BLACKOUT_WRITE_NS + 1, 301e3},
	    {"2M recycled, huge pages split", 0, METRIC_THP_SPLIT, 1},
	    {"2M fresh, huge pages split", 1, METRIC_THP_SPLIT, 1},
	};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		size_t count, missed = 0;

		set_good();
		for (int i = 0; i < 3; i++)
			results[cases[c].result].sample[i].value[cases[c].metric] = cases[c].value;
		count = judge_all(targets);
		for (size_t i = 0; i < count; i++)
			missed += targets[i].outcome == TARGET_MISSED;
		ck_assert_uint_eq(missed, 1);
		ck_assert_int_eq(judgement(targets, count, cases[c].name)->outcome, TARGET_MISSED);
	}
}
END_TEST

START_TEST(target_of_readers_is_counted_in_flushes)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count;

	set_good();
	results[0].cell.load = "read";
	count = judge_all(targets);
	NEAR(judgement(targets, count, "2M blackout of readers against a TLB flush, p50")->value,
	     1);
	NEAR(judgement(targets, count, "2M blackout of readers against a TLB flush, p99")->value,
	     3.9);
	/* On a machine with fast flushes the same times are long. */
	for (int i = 0; i < 3; i++)
		results[0].sample[i].value[METRIC_TLB_FLUSH_NS] = 3e3;
	count = judge_all(targets);
	ck_assert_int_eq(
	    judgement(targets, count, "2M blackout of readers against a TLB flush, p50")->outcome,
	    TARGET_MISSED);
	ck_assert_int_eq(
	    judgement(targets, count, "2M blackout of readers against a TLB flush, p99")->outcome,
	    TARGET_MISSED);
}
END_TEST

START_TEST(target_one_lost_huge_page_in_one_repetition_counts)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count;

	set_good();
	results[0].sample[1].value[METRIC_THP_SPLIT] = 1;
	count = judge_all(targets);
	ck_assert_int_eq(judgement(targets, count, "2M recycled, huge pages split")->outcome,
			 TARGET_MISSED);
}
END_TEST

START_TEST(target_other_modes_and_threads_are_not_judged)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count;

	set_good();
	results[0].cell.threads = 2;
	results[1].cell.mode = "block";
	count = judge_all(targets);
	ck_assert_int_eq(judgement(targets, count, "2M recycled, writing guest")->outcome,
			 TARGET_NOT_MEASURED);
	ck_assert_int_eq(
	    judgement(targets, count, "2M fresh, writing guest, best thread count")->outcome,
	    TARGET_NOT_MEASURED);
}
END_TEST

START_TEST(shortfalls_are_named_and_counted)
{
	struct target_judgement targets[TARGET_MAX];
	char *text = NULL;
	size_t bytes, count;
	FILE *out;

	set_good();
	for (int i = 0; i < 3; i++)
		results[1].sample[i].value[METRIC_MEMCPY_RATIO] = 0.3;
	count = judge_all(targets);
	out = open_memstream(&text, &bytes);
	ck_assert_uint_eq(report_targets(out, targets, count),
			  5); /* fresh, and those not measured */
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "SHORT         2M fresh, writing guest, best thread "
					   "count: 0.3 x memcpy, must be at least 0.65"));
	ck_assert_ptr_nonnull(strstr(text, "NOT MEASURED  4K recycled, writing guest"));
	free(text);
}
END_TEST

START_TEST(json_holds_the_contract)
{
	static const char *const keys[] = {
	    "mover",	    "mode",	   "page",     "threads",   "vcpus",
	    "jobs",	    "load",	   "frames",   "thp_split", "bytes_per_second",
	    "memcpy_ratio", "blackout_ns", "stall_ns", "gap_ns",    "cpu_seconds_per_gb"};
	json_t *host = json_pack("{s:s}", "cpu", "x"), *object, *cell;

	set_good();
	report.memcpy = (struct runner_memcpy){.one_thread = 20e9, .best = 22e9, .best_threads = 2};
	report.kernel[KERNEL_RATE_4K] = (struct kernel_rate){
	    .count = 2, .bytes_per_second = {1e9, 3e9}, .moved_bytes = 4096, .failed_pages = 7};
	results[0].times.stall[17] = 3;
	results[0].instructions_per_page = 1234.5;
	results[0].instructions_by = "lab";
	results[1].instructions_per_page = NAN;
	object = report_json(&report, host, NULL, 0);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(object, "host"), "cpu")),
			 "x");
	ck_assert_int_eq(json_integer_value(json_object_get(
			     json_object_get(object, "memcpy_bytes_per_second"), "1")),
			 20000000000);
	ck_assert_int_eq(json_integer_value(json_object_get(
			     json_object_get(object, "memcpy_bytes_per_second"), "best")),
			 22000000000);
	ck_assert_uint_eq(json_array_size(json_object_get(object, "cells")), 3);
	cell = json_array_get(json_object_get(object, "cells"), 0);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		ck_assert_msg(json_object_get(cell, keys[i]) != NULL, "no key %s", keys[i]);
	ck_assert_int_eq(json_integer_value(json_object_get(cell, "bytes_per_second")),
			 19000000000);
	NEAR(json_number_value(json_object_get(cell, "memcpy_ratio")), 0.95);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(
		json_object_get(json_object_get(cell, "blackout_ns"), "write"), "p50")),
	    145000);
	ck_assert_int_eq(
	    json_integer_value(json_array_get(
		json_array_get(json_object_get(json_object_get(cell, "histograms"), "stall_ns"), 0),
		0)),
	    1 << 17);
	NEAR(json_number_value(json_object_get(cell, "instructions_per_page")), 1234.5);
	ck_assert_str_eq(json_string_value(json_object_get(cell, "instructions_by")), "lab");
	/* Nobody slept, nobody counted: null, not 0. */
	ck_assert(json_is_null(json_object_get(json_array_get(json_object_get(object, "cells"), 1),
					       "instructions_per_page")));
	ck_assert(json_is_null(json_object_get(json_array_get(json_object_get(object, "cells"), 1),
					       "instructions_by")));
	ck_assert(json_is_null(json_object_get(json_object_get(cell, "stall_ns"), "p99")));
	NEAR(json_number_value(json_array_get(
		 json_object_get(json_object_get(cell, "quartiles"), "memcpy_ratio"), 0)),
	     0.94);
	cell = json_object_get(object, "linux_migration");
	ck_assert_uint_eq(json_array_size(cell), 1); /* 2M was not measured */
	cell = json_array_get(cell, 0);
	ck_assert_str_eq(json_string_value(json_object_get(cell, "page")), "4K");
	ck_assert_int_eq(json_integer_value(json_object_get(cell, "bytes_per_second")), 2000000000);
	NEAR(json_number_value(json_object_get(cell, "memcpy_ratio")), 0.1);
	json_decref(object);
	json_decref(host);
}
END_TEST

START_TEST(table_shows_each_cell_once)
{
	char *text = NULL;
	size_t bytes;
	FILE *out;

	set_good();
	results[0].syscalls_per_mib = 7.25;
	results[0].instructions_per_page = 1234.6;
	results[1].syscalls_per_mib = results[1].instructions_per_page = NAN;
	out = open_memstream(&text, &bytes);
	report_table(out, &report);
	report_kernel(out, &report); /* not measured: nothing */
	fclose(out);
	ck_assert_ptr_null(strstr(text, "Linux"));
	ck_assert_ptr_nonnull(strstr(text, "2M     recycled readable     write"));
	ck_assert_ptr_nonnull(strstr(text, "19.00 18.80..19.20  0.95   145 us"));
	ck_assert_ptr_nonnull(
	    strstr(text, "   7.2   1235     - ")); /* calls, instructions, extra */
	ck_assert_ptr_nonnull(strstr(text, "     -      -     - "));
	ck_assert_ptr_nonnull(strstr(text, "Medians of 3"));
	free(text);
}
END_TEST

START_TEST(linux_itself_is_printed_when_measured)
{
	char *text = NULL;
	size_t bytes;
	FILE *out;

	set_good();
	report.kernel[KERNEL_RATE_2M] = (struct kernel_rate){.count = 3,
							     .bytes_per_second = {4e9, 5e9, 6e9},
							     .moved_bytes = 3ull << 30,
							     .failed_pages = 9};
	report.kernel[KERNEL_RATE_4K] =
	    (struct kernel_rate){.moved_bytes = 1 << 20}; /* never enough to speak of */
	out = open_memstream(&text, &bytes);
	report_kernel(out, &report);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(
	    text,
	    "Linux's own migration, 2M: 5.00 GB/s (4.50..5.50), 0.25 of memcpy; 3 of 5 times"));
	ck_assert_ptr_nonnull(strstr(text, "3072 MiB in all, 9 pages could not be moved"));
	ck_assert_ptr_nonnull(
	    strstr(text, "Linux's own migration, 4K: 0 of 5 times it moved enough"));
	free(text);
}
END_TEST

START_TEST(table_says_sizes_that_differ)
{
	char *text = NULL;
	size_t bytes;
	FILE *out;

	set_good();
	results[1].cell.mem_bytes = 256u << 20;
	out = open_memstream(&text, &bytes);
	report_table(out, &report);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "  256M\n"));
	ck_assert_ptr_nonnull(strstr(text, "  1024M\n"));
	free(text);
}
END_TEST

START_TEST(cell_summary_of_known_samples_is_known)
{
	const double values[] = {7, NAN, 1, 3, 5, 9};
	struct stats_summary summary;

	set_good();
	results[0].count = 6;
	for (int i = 0; i < 6; i++)
		results[0].sample[i].value[METRIC_STALL_NS + 1] = values[i];
	cell_summary(&results[0], METRIC_STALL_NS + 1, &summary);
	ck_assert_uint_eq(summary.count, 5);
	NEAR(summary.q1, 3);
	NEAR(summary.median, 5);
	NEAR(summary.q3, 7);
	NEAR(stats_spread(&summary), 0.8);
	NEAR(cell_median(&results[0], METRIC_STALL_NS + 1), 5);
}
END_TEST

START_TEST(times_are_printed_with_a_fitting_unit)
{
	const struct {
		double ns;
		const char *text;
	} cases[] = {{NAN, "-"},	 {999, "999 ns"},   {1000, "1.0 us"},  {99949, "99.9 us"},
		     {123456, "123 us"}, {1.5e6, "1.5 ms"}, {250e6, "250 ms"}, {2.25e9, "2.25 s"}};
	char text[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		report_ns(cases[i].ns, text, sizeof(text));
		ck_assert_str_eq(text, cases[i].text);
	}
}
END_TEST

START_TEST(product_varies_each_axis)
{
	struct cell_axes axes = {
	    .page = {"2M", "4K"}, .pages = 2, .threads = {1, 2, 4}, .thread_counts = 3};
	struct cell cells[6];

	ck_assert_uint_eq(cell_product(&axes, 1u << 30, cells, 6), 6);
	ck_assert_str_eq(cells[0].page, "2M");
	ck_assert_uint_eq(cells[2].threads, 4);
	ck_assert_str_eq(cells[3].page, "4K");
	ck_assert_str_eq(cells[5].load, "write");
	ck_assert_str_eq(cells[5].frames, "recycled");
	ck_assert_uint_eq(cells[5].jobs, 1);
	/* More than there is room for: counted, not written. */
	ck_assert_uint_eq(cell_product(&axes, 1u << 30, cells, 2), 6);
}
END_TEST

START_TEST(product_varies_memory_too)
{
	struct cell_axes axes = {
	    .mem_bytes = {256u << 20, 512u << 20}, .mems = 2, .page = {"2M", "4K"}, .pages = 2};
	struct cell cells[4];
	char name[96];

	ck_assert_uint_eq(cell_product(&axes, 1u << 30, cells, 4), 4);
	ck_assert_uint_eq(cells[0].mem_bytes, 256u << 20);
	ck_assert_uint_eq(cells[3].mem_bytes, 512u << 20);
	cell_name(&cells[3], name, sizeof(name));
	ck_assert_str_eq(name, "4K recycled readable write 512M");
	cells[3].jobs = 4;
	cell_name(&cells[3], name, sizeof(name));
	ck_assert_str_eq(name, "4K recycled readable write 1t 1v 4j 512M");
}
END_TEST

START_TEST(memory_is_asked_for_each_guest_once)
{
	const struct cell_axes axes = {
	    .load = {"idle", "write"}, .loads = 2, .mem_bytes = {1u << 30, 2ull << 30}, .mems = 2};
	struct cell cells[4];
	uint64_t need;

	cell_product(&axes, 1u << 30, cells, 4);
	/* Two guests for four cells; memcpy's buffers; and what goes round. */
	need = runner_need_bytes(cells, 4, true);
	ck_assert_uint_ge(need, 5ull << 30);
	ck_assert_uint_lt(need, 6ull << 30);
	ck_assert_uint_gt(runner_need_bytes(cells, 4, false),
			  need + (1u << 30)); /* both nodes keep frames */
	cells[3].frames = "fresh";
	ck_assert_uint_ge(runner_need_bytes(cells, 4, true),
			  10ull << 30); /* a guest more, and memory to warm */
}
END_TEST

START_TEST(preset_quick_has_ten_named_cells_all_different)
{
	struct cell cells[BENCH_MAX_CELLS];
	size_t count = cell_quick_preset(512u << 20, cells, BENCH_MAX_CELLS);
	char name[96], other[96];

	ck_assert_uint_eq(count, 10);
	for (size_t i = 0; i < count; i++) {
		ck_assert_ptr_nonnull(cells[i].name);
		cell_name(&cells[i], name, sizeof(name));
		for (size_t j = 0; j < i; j++) {
			cell_name(&cells[j], other, sizeof(other));
			ck_assert_str_ne(name, other);
			ck_assert_str_ne(cells[i].name, cells[j].name);
		}
	}
}
END_TEST

START_TEST(preset_paper_pairs_one_job_with_four)
{
	struct cell cells[BENCH_MAX_CELLS];
	size_t count = cell_paper_preset(1u << 30, _i, cells, BENCH_MAX_CELLS);

	ck_assert_uint_eq(count % 2, 0);
	ck_assert_str_eq(cells[count - 1].mover, _i ? "swap" : "uffd");
	ck_assert_str_eq(cells[count - 3].mover, "uffd");
	for (size_t i = 0; i < count; i += 2) {
		ck_assert_uint_eq(cells[i].jobs, 1);
		ck_assert_uint_eq(cells[i + 1].jobs, 4);
		cells[i + 1].jobs = 1;
		ck_assert_mem_eq(&cells[i], &cells[i + 1], sizeof(cells[i]));
	}
}
END_TEST

START_TEST(system_share_is_of_all_repetitions_together)
{
	set_good();
	ck_assert(isnan(cell_system_share(&results[0])));
	/* Ticks are coarse: one repetition may show none, or less than none. */
	results[0].sample[0].value[METRIC_USER_SECONDS_PER_GB] = 0.1;
	results[0].sample[0].value[METRIC_SYSTEM_SECONDS_PER_GB] = -0.01;
	results[0].sample[1].value[METRIC_USER_SECONDS_PER_GB] = 0.05;
	results[0].sample[1].value[METRIC_SYSTEM_SECONDS_PER_GB] = 0.06;
	NEAR(cell_system_share(&results[0]), 0.25);
	results[0].sample[1].value[METRIC_SYSTEM_SECONDS_PER_GB] = -0.01;
	NEAR(cell_system_share(&results[0]), 0);
}
END_TEST

START_TEST(peers_are_added_once_for_what_they_know)
{
	struct cell cells[BENCH_MAX_CELLS];
	const struct cell_axes axes = {.page = {"2M", "4K"},
				       .pages = 2,
				       .mode = {"readable", "block"},
				       .modes = 2,
				       .jobs = {1, 4},
				       .job_counts = 2};
	size_t count = cell_product(&axes, 1u << 30, cells, BENCH_MAX_CELLS);

	ck_assert_uint_eq(count, 8);
	ck_assert(!cell_needs_nodes(cells, count));
	/* Modes and jobs are gmig's own: two are left. */
	count = cell_add_peers(cells, count, "move_pages", BENCH_MAX_CELLS);
	ck_assert_uint_eq(count, 10);
	ck_assert(cell_needs_nodes(cells, count));
	ck_assert_str_eq(cells[8].page, "2M");
	ck_assert_str_eq(cells[9].page, "4K");
	ck_assert_uint_eq(cells[9].jobs, 1);
	/* Of gmig's cells, not of another peer's. */
	ck_assert_uint_eq(cell_add_peers(cells, count, "migratepages", BENCH_MAX_CELLS), 12);
	ck_assert_uint_eq(cell_add_peers(cells, count, "migratepages", 11), 11);
}
END_TEST

START_TEST(movers_are_those_asked_for)
{
	struct cell cells[BENCH_MAX_CELLS];
	struct cell_axes axes = {.mover = {"move_pages", "uffd"}, .movers = 2};
	size_t count = cell_product(&axes, 1u << 30, cells, BENCH_MAX_CELLS);

	ck_assert_uint_eq(cell_choose_movers(&axes, cells, count, BENCH_MAX_CELLS), 2);
	ck_assert_str_eq(cells[0].mover, "uffd");
	ck_assert_str_eq(cells[1].mover, "move_pages");
	axes.movers = 1;
	count = cell_product(&axes, 1u << 30, cells, BENCH_MAX_CELLS);
	ck_assert_uint_eq(cell_choose_movers(&axes, cells, count, BENCH_MAX_CELLS), 1);
	ck_assert_str_eq(cells[0].mover, "move_pages");
	axes.movers = 0;
	count = cell_product(&axes, 1u << 30, cells, BENCH_MAX_CELLS);
	ck_assert_uint_eq(cell_choose_movers(&axes, cells, count, BENCH_MAX_CELLS), 1);
	ck_assert_str_eq(cells[0].mover, "uffd");
}
END_TEST

START_TEST(target_of_gmig_is_not_met_by_the_kernel)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count;

	set_good();
	results[0].cell.mover = "move_pages";
	count = judge_all(targets);
	ck_assert_int_eq(judgement(targets, count, "2M recycled, writing guest")->outcome,
			 TARGET_NOT_MEASURED);
}
END_TEST

START_TEST(preset_measures_every_target)
{
	static struct cell_result preset[BENCH_MAX_CELLS];
	struct cell_result *list[BENCH_MAX_CELLS];
	struct target_judgement targets[TARGET_MAX];
	struct cell cells[BENCH_MAX_CELLS];
	size_t count = cell_target_preset(1u << 30, cells, BENCH_MAX_CELLS), judged;

	for (size_t i = 0; i < count; i++) {
		set_result(&preset[i], cells[i].page, cells[i].frames, cells[i].load, 1);
		preset[i].cell = cells[i];
		list[i] = &preset[i];
	}
	set_good();
	report.results = list;
	report.count = count;
	judged = judge_all(targets);
	for (size_t i = 0; i < judged; i++)
		ck_assert_msg(targets[i].outcome != TARGET_NOT_MEASURED, "%s", targets[i].name);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_report");
	TCase *tcase = tcase_create("report");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, job_figures_land_in_the_sample);
	tcase_add_test(tcase, job_that_failed_or_left_pages_is_refused);
	tcase_add_test(tcase, target_good_run_meets_what_it_measured);
	tcase_add_test(tcase, target_each_figure_can_fall_short);
	tcase_add_test(tcase, target_linux_itself_is_judged_when_measured);
	tcase_add_test(tcase, target_of_the_best_thread_count_takes_the_best);
	tcase_add_test(tcase, target_of_one_thread_leaves_other_batches_out);
	tcase_add_test(tcase, target_jobs_are_compared_with_one_job_of_the_same_kind);
	tcase_add_test(tcase, target_growth_is_judged_with_three_sizes);
	tcase_add_test(tcase, linux_itself_is_printed_when_measured);
	tcase_add_test(tcase, target_of_readers_is_counted_in_flushes);
	tcase_add_test(tcase, target_one_lost_huge_page_in_one_repetition_counts);
	tcase_add_test(tcase, target_other_modes_and_threads_are_not_judged);
	tcase_add_test(tcase, shortfalls_are_named_and_counted);
	tcase_add_test(tcase, json_holds_the_contract);
	tcase_add_test(tcase, table_shows_each_cell_once);
	tcase_add_test(tcase, table_says_sizes_that_differ);
	tcase_add_test(tcase, cell_summary_of_known_samples_is_known);
	tcase_add_test(tcase, times_are_printed_with_a_fitting_unit);
	tcase_add_test(tcase, product_varies_each_axis);
	tcase_add_test(tcase, product_varies_memory_too);
	tcase_add_test(tcase, memory_is_asked_for_each_guest_once);
	tcase_add_test(tcase, preset_quick_has_ten_named_cells_all_different);
	tcase_add_loop_test(tcase, preset_paper_pairs_one_job_with_four, 0, 2);
	tcase_add_test(tcase, system_share_is_of_all_repetitions_together);
	tcase_add_test(tcase, preset_measures_every_target);
	tcase_add_test(tcase, peers_are_added_once_for_what_they_know);
	tcase_add_test(tcase, movers_are_those_asked_for);
	tcase_add_test(tcase, target_of_gmig_is_not_met_by_the_kernel);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
