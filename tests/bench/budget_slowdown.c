#include "budget_slowdown.h"
#include "clocks.h"
#include "stats.h"

#include <math.h>

#define LIMIT_PPM    50000u
#define RUN_SECONDS  10.0
#define TRY_SECONDS  2.0
#define TRIES	     6
#define FREE_MS	     300 /* without jobs, before and after each of them */
#define KEPT	     0.95
#define KEPT_TARGET  0.94 /* one in a hundred is the measurement's */
#define RATIO_TARGET 0.8
#define RANGE	     4.0 /* the search is within this factor of the rate that the budget has reached */

static const struct {
	const char *name, *order;
} rows[SLOW_ROWS] = {
    {"one vCPU writes, 5%", "address"},
    {"the same, --order random", "random"},
};

/* Over jobs back and forth, each between two looks at the guest without one. */
struct sum {
	double bytes, seconds, wall, kept, counted, worst;
};

static double number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static int one_job(struct guest *guest, const struct guest_migration *migration, struct sum *sum,
		   double *free_before, struct gmig_error *err)
{
	struct guest_outcome outcome = {0};
	const json_t *slowdown;
	double after, wall;
	int rc = guest_migrate(guest, migration, &outcome, err);

	if (rc)
		return rc;
	rc = guest_throughput(guest, FREE_MS, &after, err);
	if (!rc) {
		wall = (double)outcome.wall_ns * 1e-9;
		slowdown = json_object_get(outcome.job[0], "slowdown");
		sum->bytes += number(outcome.job[0], "moved_bytes");
		sum->seconds += number(outcome.job[0], "seconds");
		sum->wall += wall;
		sum->kept += outcome.visits_per_second / ((*free_before + after) / 2) * wall;
		sum->counted += number(slowdown, "share") * wall;
		sum->worst = number(slowdown, "worst_second");
		*free_before = after;
	}
	guest_outcome_clear(&outcome);
	return rc;
}

static int jobs_for(struct guest *guest, const struct guest_migration *migration, double seconds,
		    struct sum *sum, struct gmig_error *err)
{
	double before;
	int rc = guest_throughput(guest, FREE_MS, &before, err);

	*sum = (struct sum){0};
	while (!rc && sum->wall < seconds)
		rc = one_job(guest, migration, sum, &before, err);
	if (rc)
		return rc;
	sum->kept /= sum->wall;
	sum->counted /= sum->wall;
	return 0;
}

/* By halves, as an operator would who has the time. */
static int find_best(struct guest *guest, struct guest_migration migration, struct slow_run *run,
		     struct gmig_error *err)
{
	double low = run->bytes_per_second / RANGE, high = run->bytes_per_second * RANGE;
	int rc = 0;

	migration.max_slowdown_ppm = 0;
	for (unsigned int i = 0; !rc && i < TRIES; i++) {
		double rate = sqrt(low * high);
		struct sum sum;

		migration.rate_bytes_per_second = (uint64_t)rate;
		rc = jobs_for(guest, &migration, TRY_SECONDS, &sum, err);
		if (rc)
			break;
		if (sum.kept >= KEPT) {
			low = rate;
			run->best_rate = sum.bytes / sum.seconds;
		} else {
			high = rate;
		}
	}
	return rc;
}

int slow_measure(struct guest *guest, unsigned int i, struct slow_result *result,
		 struct gmig_error *err)
{
	const struct guest_migration migration = {.mode = "auto",
						  .frames = "recycled",
						  .threads = 1,
						  .jobs = 1,
						  .order = rows[i].order,
						  .max_slowdown_ppm = LIMIT_PPM};
	struct slow_run *run = &result->run[result->runs];
	struct sum sum;
	int rc = guest_run(guest, "write", err);

	if (!rc)
		rc = jobs_for(guest, &migration, RUN_SECONDS, &sum, err);
	if (rc)
		return rc;
	*run = (struct slow_run){.kept = sum.kept,
				 .bytes_per_second = sum.bytes / sum.seconds,
				 .counted = sum.counted,
				 .worst = sum.worst};
	rc = find_best(guest, migration, run, err);
	if (!rc)
		rc = guest_pause(guest, err);
	result->runs += !rc;
	return rc;
}

/* ---- What is told ------------------------------------------------------------------------------ */

static double median_of(const struct slow_result *result, double (*value)(const struct slow_run *))
{
	double values[BENCH_MAX_REPS];
	struct stats_summary summary;

	for (unsigned int i = 0; i < result->runs; i++)
		values[i] = value(&result->run[i]);
	stats_summarize(values, result->runs, &summary);
	return summary.median;
}

static double kept(const struct slow_run *run)
{
	return run->kept;
}

static double counted(const struct slow_run *run)
{
	return run->counted;
}

static double rate(const struct slow_run *run)
{
	return run->bytes_per_second;
}

/* When no rate was low enough to keep as much, the budget has done what no constant rate can. */
static double ratio(const struct slow_run *run)
{
	return run->best_rate > 0 ? run->bytes_per_second / run->best_rate : RANGE;
}

static unsigned int held(const struct slow_result *result)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < result->runs; i++)
		count += result->run[i].kept >= KEPT_TARGET;
	return count;
}

void slow_print(const struct slow_result *results)
{
	printf("\nSlowdown budget of 5%%: of its throughput the guest is to keep 94%%. Runs of "
	       "%.0f s, "
	       "medians.\n\n%-26s %8s %8s %9s %8s %16s\n",
	       RUN_SECONDS, "", "held in", "kept", "counted", "GB/s", "of the best rate");
	for (unsigned int i = 0; i < SLOW_ROWS; i++)
		printf("%-26s %3u of %u %7.1f%% %8.1f%% %8.2f %16.2f\n", rows[i].name,
		       held(&results[i]), results[i].runs, median_of(&results[i], kept) * 100,
		       median_of(&results[i], counted) * 100, median_of(&results[i], rate) * 1e-9,
		       median_of(&results[i], ratio));
}

json_t *slow_json(const struct slow_result *results)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < SLOW_ROWS; i++)
		json_array_append_new(
		    list,
		    json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:f}", "name",
			      rows[i].name, "load", "write", "order", rows[i].order,
			      "max_slowdown_ppm", (int)LIMIT_PPM, "runs", (int)results[i].runs,
			      "held", (int)held(&results[i]), "kept", median_of(&results[i], kept),
			      "counted", median_of(&results[i], counted), "bytes_per_second",
			      median_of(&results[i], rate), "of_best_rate",
			      median_of(&results[i], ratio)));
	return list;
}

bool slow_check(unsigned int i, const struct slow_result *result)
{
	bool is_held = held(result) * 5 >= result->runs * 4;
	double fast = median_of(result, ratio);

	if (!is_held)
		fprintf(stderr, "missed: %s: kept 94%% in %u of %u runs\n", rows[i].name,
			held(result), result->runs);
	if (fast < RATIO_TARGET)
		fprintf(stderr, "missed: %s: %.2f of the best constant rate, 0.8 is the target\n",
			rows[i].name, fast);
	return is_held && fast >= RATIO_TARGET;
}
