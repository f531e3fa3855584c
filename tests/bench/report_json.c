#include "host.h"
#include "report.h"

#include <math.h>

/* JSON has no NAN: what was not measured is null. */
static json_t *number(double value)
{
	if (!isfinite(value))
		return json_null();
	/* Figures need no more than this; whole numbers stay whole. */
	return value == floor(value) && fabs(value) < 1e15 ? json_integer((json_int_t)value)
							   : json_real(value);
}

static json_t *rounded(double value)
{
	return number(isfinite(value) ? round(value) : value);
}

static json_t *percentiles(const struct cell_result *result, enum metric first)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < CELL_PERCENTILES; i++)
		json_object_set_new(object, cell_percentiles[i],
				    rounded(cell_median(result, first + i)));
	return object;
}

static json_t *quartiles(const struct cell_result *result, enum metric metric)
{
	struct stats_summary summary;

	cell_summary(result, metric, &summary);
	return json_pack("[o, o]", number(summary.q1), number(summary.q3));
}

/* [[from, count], ..] as query-histograms gives them, of all repetitions. */
static json_t *buckets(const uint64_t *count)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < CELL_BUCKETS; i++)
		if (count[i])
			json_array_append_new(list, json_pack("[I, I]", (json_int_t)(1ull << i),
							      (json_int_t)count[i]));
	return list;
}

/* Medians under their names. */
static const struct {
	const char *name;
	enum metric metric;
	json_t *(*json)(double value);
} medians[] = {
    {"bytes_per_second", METRIC_BYTES_PER_SECOND, rounded},
    {"wall_bytes_per_second", METRIC_WALL_BYTES_PER_SECOND, rounded},
    {"memcpy_bytes_per_second", METRIC_MEMCPY_BYTES_PER_SECOND, rounded},
    {"memcpy_ratio", METRIC_MEMCPY_RATIO, number},
    {"cold_copy_ns", METRIC_COLD_COPY_NS, rounded},
    {"cpu_seconds_per_gb", METRIC_CPU_SECONDS_PER_GB, number},
    {"tlb_flush_ns", METRIC_TLB_FLUSH_NS, rounded},
    {"extra_bytes", METRIC_EXTRA_BYTES, rounded},
    {"memcpy_cpu_seconds_per_gb", METRIC_MEMCPY_CPU_SECONDS_PER_GB, number},
    {"passes", METRIC_PASSES, number},
};

json_t *report_cell_json(const struct cell_result *result)
{
	const struct cell *cell = &result->cell;
	double cpu = cell_median(result, METRIC_CPU_SECONDS_PER_GB);
	struct stats_summary lost;
	json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:s, s:s}", "mover", cell->mover,
				   "mode", cell->mode, "page", cell->page, "threads",
				   (int)cell->threads, "vcpus", (int)cell->vcpus, "jobs",
				   (int)cell->jobs, "load", cell->load, "frames", cell->frames);

	if (cell->name)
		json_object_set_new(object, "name", json_string(cell->name));
	if (cell->domain)
		json_object_set_new(object, "domain", json_string(cell->domain));
	cell_summary(result, METRIC_THP_SPLIT, &lost);
	json_object_set_new(object, "batch", cell->batch ? json_integer(cell->batch) : json_null());
	json_object_set_new(object, "mem_bytes", json_integer((json_int_t)cell->mem_bytes));
	json_object_set_new(object, "reps", json_integer(result->count));
	/* A median would hide a lost huge page: the worst repetition. */
	json_object_set_new(object, "thp_split", number(lost.max));
	for (size_t i = 0; i < sizeof(medians) / sizeof(medians[0]); i++)
		json_object_set_new(object, medians[i].name,
				    medians[i].json(cell_median(result, medians[i].metric)));
	json_object_set_new(object, "moved_ratio", number(report_moved(result)));
	json_object_set_new(object, "blackout_ns",
			    json_pack("{s:o, s:o}", "read",
				      percentiles(result, METRIC_BLACKOUT_READ_NS), "write",
				      percentiles(result, METRIC_BLACKOUT_WRITE_NS)));
	json_object_set_new(object, "stall_ns", percentiles(result, METRIC_STALL_NS));
	json_object_set_new(object, "gap_ns", percentiles(result, METRIC_GAP_NS));
	json_object_set_new(object, "user_seconds_per_gb",
			    number(cpu * (1 - cell_system_share(result))));
	json_object_set_new(object, "system_seconds_per_gb",
			    number(cpu * cell_system_share(result)));
	json_object_set_new(object, "guest_pages_per_second",
			    json_pack("{s:o, s:o, s:o}", "before",
				      rounded(cell_median(result, METRIC_GUEST_BEFORE)), "during",
				      rounded(cell_median(result, METRIC_GUEST_DURING)), "after",
				      rounded(cell_median(result, METRIC_GUEST_AFTER))));
	json_object_set_new(object, "syscalls_per_mib", number(result->syscalls_per_mib));
	json_object_set_new(object, "instructions_per_page", number(result->instructions_per_page));
	json_object_set_new(object, "instructions_by",
			    result->instructions_by ? json_string(result->instructions_by)
						    : json_null());
	json_object_set_new(object, "histograms",
			    json_pack("{s:{s:o, s:o}, s:o}", "blackout_ns", "read",
				      buckets(result->times.blackout_read), "write",
				      buckets(result->times.blackout_write), "stall_ns",
				      buckets(result->times.stall)));
	json_object_set_new(object, "quartiles",
			    json_pack("{s:o, s:o}", "bytes_per_second",
				      quartiles(result, METRIC_BYTES_PER_SECOND), "memcpy_ratio",
				      quartiles(result, METRIC_MEMCPY_RATIO)));
	return object;
}

static json_t *noise_json(const struct noise_verdict *noise)
{
	json_t *why = json_array();

	for (unsigned int i = 0; i < noise->count; i++)
		json_array_append_new(why, json_string(noise->why[i]));
	return json_pack("{s:b, s:o}", "noisy", noise->noisy, "why", why);
}

/* null: not measured */
static json_t *kernel_json(const struct runner_report *report)
{
	json_t *list = json_array();

	for (unsigned int p = 0; p < KERNEL_RATE_PAGES; p++) {
		const struct kernel_rate *kernel = &report->kernel[p];
		struct stats_summary rate;

		kernel_rate_summary(kernel, &rate);
		if (kernel->moved_bytes)
			json_array_append_new(
			    list, json_pack("{s:s, s:o, s:[o, o], s:o, s:i, s:I, s:I}", "page",
					    kernel_rate_page_names[p], "bytes_per_second",
					    rounded(rate.median), "quartiles", rounded(rate.q1),
					    rounded(rate.q3), "memcpy_ratio",
					    number(rate.median / report->memcpy.one_thread), "reps",
					    (int)kernel->count, "moved_bytes",
					    (json_int_t)kernel->moved_bytes, "failed_pages",
					    (json_int_t)kernel->failed_pages));
	}
	if (json_array_size(list))
		return list;
	json_decref(list);
	return json_null();
}

static json_t *target_json(const struct target_judgement *target)
{
	static const char *const outcome[] = {"met", "missed", "not measured"};
	json_t *object =
	    json_pack("{s:s, s:s, s:s, s:b}", "name", target->name, "outcome",
		      outcome[target->outcome], "unit", target->unit, "at_least", target->at_least);

	if (target->outcome != TARGET_NOT_MEASURED) {
		json_object_set_new(object, "value", number(target->value));
		json_object_set_new(object, "bound", number(target->bound));
	}
	return object;
}

json_t *report_json(const struct runner_report *report, const json_t *host,
		    const struct target_judgement *targets, size_t target_count)
{
	json_t *object = json_object(), *cells = json_array(), *judged = json_array();

	json_object_set_new(object, "host", json_deep_copy(host));
	json_object_set_new(object, "fake_nodes", json_boolean(report->fake));
	json_object_set_new(object, "seconds", number(report->seconds));
	json_object_set_new(object, "memcpy_bytes_per_second",
			    json_pack("{s:o, s:o, s:i}", "1", rounded(report->memcpy.one_thread),
				      "best", rounded(report->memcpy.best), "best_threads",
				      (int)report->memcpy.best_threads));
	for (size_t i = 0; i < report->count; i++)
		json_array_append_new(cells, report_cell_json(report->results[i]));
	json_object_set_new(object, "cells", cells);
	json_object_set_new(object, "linux_migration", kernel_json(report));
	json_object_set_new(object, "noise", noise_json(&report->noise));
	for (size_t i = 0; i < target_count; i++)
		json_array_append_new(judged, target_json(&targets[i]));
	if (target_count)
		json_object_set(object, "targets", judged);
	json_decref(judged);
	return object;
}

void report_object(json_t *object)
{
	json_object_set_new(object, "host", host_facts());
	json_dumpf(object, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(7));
	printf("\n");
	json_decref(object);
}
