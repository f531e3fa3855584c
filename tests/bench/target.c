#include "target.h"

#include <math.h>
#include <string.h>

/*
 * bound = fixed + share * (median cold 2 MiB copy of the same cell), in the metric's own unit. Cells are matched by page,
 * frames, load ("" = any) and mode `readable` with one thread, one vCPU, one job: what the targets speak of.
 */
static const struct target {
	const char *name;
	const char *page, *frames, *load;
	enum metric metric;
	bool at_least;
	bool worst; /* judge the worst repetition, not the median */
	double fixed, share;
	double scale; /* from the metric's unit to the printed one */
	const char *unit;
} targets[] = {
	{ "2M recycled, writing guest", "2M", "recycled", "write", METRIC_MEMCPY_RATIO, true, false, 0.8, 0, 1, "x memcpy" },
	{ "2M fresh, writing guest", "2M", "fresh", "write", METRIC_MEMCPY_RATIO, true, false, 0.5, 0, 1, "x memcpy" },
	{ "4K recycled, idle guest", "4K", "recycled", "idle", METRIC_MEMCPY_RATIO, true, false, 0.4, 0, 1, "x memcpy" },
	{ "4K recycled, writing guest", "4K", "recycled", "write", METRIC_MEMCPY_RATIO, true, false, 0.2, 0, 1, "x memcpy" },
	{ "2M closed for writers, p50", "2M", "recycled", "write", METRIC_CLOSED_WRITE_NS, false, false, 100e3, 1.5, 1e-3, "us" },
	{ "2M closed for readers, p50", "2M", "recycled", "write", METRIC_CLOSED_READ_NS, false, false, 60e3, 0, 1e-3, "us" },
	{ "2M recycled, huge pages lost", "2M", "recycled", "", METRIC_HUGE_LOST, false, true, 0, 0, 1, "blocks" },
	{ "2M fresh, huge pages lost", "2M", "fresh", "", METRIC_HUGE_LOST, false, true, 0, 0, 1, "blocks" },
};

static bool matches(const struct target *target, const struct cell *cell)
{
	return !strcmp(cell->page, target->page) && !strcmp(cell->frames, target->frames) &&
	       (!*target->load || !strcmp(cell->load, target->load)) && !strcmp(cell->mode, "readable") &&
	       cell->threads == 1 && cell->vcpus == 1 && cell->jobs == 1;
}

/* Of several matching cells the one that does worst counts. */
static void judge_cell(const struct target *target, const struct cell_result *result, struct target_judgement *out)
{
	struct stats_summary summary;
	double value, bound;
	bool met, first = out->outcome == TARGET_NOT_MEASURED;

	cell_summary(result, target->metric, &summary);
	if (!summary.count)
		return;
	value = target->worst ? (target->at_least ? summary.min : summary.max) : summary.median;
	bound = target->fixed + (target->share ? target->share * cell_median(result, METRIC_COLD_COPY_NS) : 0);
	met = target->at_least ? value >= bound : value <= bound;
	value *= target->scale;
	bound *= target->scale;
	if (!first && (target->at_least ? value - bound >= out->value - out->bound
					: value - bound <= out->value - out->bound))
		return;
	out->value = value;
	out->bound = bound;
	out->outcome = met ? TARGET_MET : TARGET_MISSED;
}

size_t target_judge(const struct cell_result *const *results, size_t count, struct target_judgement *out)
{
	size_t total = sizeof(targets) / sizeof(targets[0]);

	_Static_assert(sizeof(targets) / sizeof(targets[0]) <= TARGET_MAX, "TARGET_MAX holds all targets");
	for (size_t t = 0; t < total; t++) {
		out[t] = (struct target_judgement){ .name = targets[t].name,
						    .unit = targets[t].unit,
						    .at_least = targets[t].at_least,
						    .outcome = TARGET_NOT_MEASURED };
		for (size_t i = 0; i < count; i++)
			if (matches(&targets[t], &results[i]->cell))
				judge_cell(&targets[t], results[i], &out[t]);
	}
	return total;
}
