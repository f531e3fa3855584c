#include "target.h"
#include "plots.h"

#include <math.h>
#include <string.h>

/* What is more than one metric over another; NAN: this cell does not have it. */
typedef double figure(const struct runner_report *report, const struct cell_result *result);

/* Against the memcpy of as many threads as are best. */
static double best_memcpy_ratio(const struct runner_report *report,
				const struct cell_result *result)
{
	return cell_median(result, METRIC_BYTES_PER_SECOND) / report->memcpy.best;
}

static double blackout_read_p99_us(const struct runner_report *report,
				   const struct cell_result *result)
{
	(void)report;
	return cell_median(result, METRIC_BLACKOUT_READ_NS + 1) * 1e-3;
}

/* A median would hide a loss: the worst repetition. */
static double thp_split(const struct runner_report *report, const struct cell_result *result)
{
	struct stats_summary lost;

	(void)report;
	cell_summary(result, METRIC_THP_SPLIT, &lost);
	return lost.max;
}

/* Of a cell with several jobs: all together against the same cell with one. */
static double jobs_ratio(const struct runner_report *report, const struct cell_result *result)
{
	for (size_t i = 0; i < report->count; i++)
		if (report->results[i]->cell.jobs == 1 &&
		    report->results[i]->cell.mem_bytes == result->cell.mem_bytes &&
		    cell_same_kind(&report->results[i]->cell, &result->cell))
			return cell_median(result, METRIC_BYTES_PER_SECOND) /
			       cell_median(report->results[i], METRIC_BYTES_PER_SECOND);
	return NAN;
}

static double kernel_ratio(const struct runner_report *report, const struct cell_result *result)
{
	struct stats_summary rate;

	kernel_rate_summary(
	    &report->kernel[strcmp(result->cell.page, "2M") ? KERNEL_RATE_4K : KERNEL_RATE_2M],
	    &rate);
	return rate.count ? cell_median(result, METRIC_BYTES_PER_SECOND) / rate.median : NAN;
}

/*
 * Cells are matched by page, frames, load ("" = any) and jobs, mode `readable`, one vCPU, and one thread and the default
 * batch unless `threads` is ANY. Of several that match, the best one counts with ANY (whatever helps), else the worst.
 */
enum threads { ONE, ANY };
static const struct target {
	const char *name;
	const char *page, *frames, *load;
	enum threads threads;
	unsigned int jobs;
	enum metric of, by; /* by 0: not divided */
	figure *other;	    /* instead, when it is set */
	bool at_least;
	double bound;
	const char *unit;
	bool optional;
} targets[] = {
    {"2M recycled, writing guest", "2M", "recycled", "write", ONE, 1, METRIC_MEMCPY_RATIO, 0, NULL,
     true, 0.9, "x memcpy", false},
    {"2M fresh, writing guest, best thread count", "2M", "fresh", "write", ANY, 1,
     METRIC_MEMCPY_RATIO, 0, NULL, true, 0.65, "x memcpy", false},
    {"2M fresh, writing guest, CPU", "2M", "fresh", "write", ANY, 1, METRIC_CPU_SECONDS_PER_GB,
     METRIC_MEMCPY_CPU_SECONDS_PER_GB, NULL, false, 2.2, "x memcpy's", false},
    {"2M recycled, idle guest, best thread count", "2M", "recycled", "idle", ANY, 1, 0, 0,
     best_memcpy_ratio, true, 0.9, "x best memcpy", false},
    {"4K recycled, idle guest", "4K", "recycled", "idle", ONE, 1, METRIC_MEMCPY_RATIO, 0, NULL,
     true, 0.5, "x memcpy", false},
    {"4K recycled, writing guest", "4K", "recycled", "write", ONE, 1, METRIC_MEMCPY_RATIO, 0, NULL,
     true, 0.25, "x memcpy", false},
    {"2M blackout of writers, p50", "2M", "recycled", "write", ONE, 1, METRIC_BLACKOUT_WRITE_NS,
     METRIC_COLD_COPY_NS, NULL, false, 1.5, "x a cold copy", false},
    {"2M blackout of writers, p99", "2M", "recycled", "write", ONE, 1, METRIC_BLACKOUT_WRITE_NS + 1,
     METRIC_COLD_COPY_NS, NULL, false, 3, "x a cold copy", false},
    {"2M blackout of readers, reading guest, p99", "2M", "recycled", "read", ONE, 1, 0, 0,
     blackout_read_p99_us, false, 40, "us", false},
    {"2M blackout of readers against a TLB flush, p50", "2M", "recycled", "read", ONE, 1,
     METRIC_BLACKOUT_READ_NS, METRIC_TLB_FLUSH_NS, NULL, false, 2.5, "x a flush", true},
    {"2M blackout of readers against a TLB flush, p99", "2M", "recycled", "read", ONE, 1,
     METRIC_BLACKOUT_READ_NS + 1, METRIC_TLB_FLUSH_NS, NULL, false, 6, "x a flush", true},
    {"2M recycled, huge pages split", "2M", "recycled", "", ONE, 1, 0, 0, thp_split, false, 0,
     "blocks", false},
    {"2M fresh, huge pages split", "2M", "fresh", "", ONE, 1, 0, 0, thp_split, false, 0, "blocks",
     false},
    {"2M recycled, four jobs at once", "2M", "recycled", "write", ONE, 4, 0, 0, jobs_ratio, true,
     0.95, "x one job", false},
    {"2M fresh against Linux's own migration", "2M", "fresh", "write", ANY, 1, 0, 0, kernel_ratio,
     true, 1.2, "x Linux", true},
    {"2M recycled against Linux's own migration", "2M", "recycled", "write", ONE, 1, 0, 0,
     kernel_ratio, true, 1.5, "x Linux", true},
    {"4K, writing guest, against Linux's own migration", "4K", "recycled", "write", ONE, 1, 0, 0,
     kernel_ratio, true, 3, "x Linux", true},
    {"4K, idle guest, against Linux's own migration, best thread count", "4K", "recycled", "idle",
     ANY, 1, 0, 0, kernel_ratio, true, 6, "x Linux", true},
};

#define TARGETS (sizeof(targets) / sizeof(targets[0]))

static bool matches(const struct target *target, const struct cell *cell)
{
	return !strcmp(cell->mover, "uffd") && !strcmp(cell->page, target->page) &&
	       !strcmp(cell->frames, target->frames) &&
	       (!*target->load || !strcmp(cell->load, target->load)) &&
	       !strcmp(cell->mode, "readable") &&
	       (target->threads == ANY || (cell->threads == 1 && !cell->batch)) &&
	       cell->vcpus == 1 && cell->jobs == target->jobs;
}

static void judge_cell(const struct target *target, const struct runner_report *report,
		       const struct cell_result *result, struct target_judgement *out)
{
	double value =
	    target->other ? target->other(report, result) : cell_median(result, target->of);
	bool better;

	if (!target->other && target->by)
		value /= cell_median(result, target->by);
	if (isnan(value))
		return;
	better = target->at_least ? value > out->value : value < out->value;
	if (out->outcome != TARGET_NOT_MEASURED && better != (target->threads == ANY))
		return;
	out->value = value;
	out->bound = target->bound;
	out->outcome = (target->at_least ? value >= target->bound : value <= target->bound)
			   ? TARGET_MET
			   : TARGET_MISSED;
}

/* Growth: bytes per second hardly depend on the guest's size. */
#define GROWTH_MAX_SPREAD 0.10

static bool judge_growth(const struct runner_report *report, struct target_judgement *out)
{
	double spread = plots_growth_spread(report);

	if (isnan(spread))
		return false;
	*out = (struct target_judgement){
	    .name = "bytes per second from the smallest guest to the largest",
	    .outcome = spread <= GROWTH_MAX_SPREAD ? TARGET_MET : TARGET_MISSED,
	    .value = spread,
	    .bound = GROWTH_MAX_SPREAD,
	    .unit = "of the median apart"};
	return true;
}

size_t target_judge(const struct runner_report *report, struct target_judgement *out)
{
	size_t count = 0;

	_Static_assert(TARGETS + 1 <= TARGET_MAX, "TARGET_MAX holds all targets");
	for (size_t t = 0; t < TARGETS; t++) {
		out[count] = (struct target_judgement){.name = targets[t].name,
						       .unit = targets[t].unit,
						       .at_least = targets[t].at_least,
						       .outcome = TARGET_NOT_MEASURED};
		for (size_t i = 0; i < report->count; i++)
			if (matches(&targets[t], &report->results[i]->cell))
				judge_cell(&targets[t], report, report->results[i], &out[count]);
		count += out[count].outcome != TARGET_NOT_MEASURED || !targets[t].optional;
	}
	return count + judge_growth(report, &out[count]);
}
