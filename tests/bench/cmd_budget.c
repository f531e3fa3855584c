/*
 * gmig-bench budget: are the budgets of a job held, and what do they cost? Runs of ten seconds of jobs back and forth, each
 * beside two seconds without the budget.
 */
#include "bench.h"
#include "budget_slowdown.h"
#include "clocks.h"
#include "guest.h"
#include "stats.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_RUNS   5
#define RUN_SECONDS    10.0
#define BESIDE_SECONDS 2.0
#define LOOK_MS	       1000
#define LATE_SHARE     0.01

struct budget {
	const char *name, *load;
	uint64_t max_stall_ns;
};

static const struct budget budgets[] = {
    {"one vCPU writes, 500 us", "write", 500000},
    {"one vCPU writes, 5 ms", "write", 5000000},
    {"one vCPU reads, 150 us", "read", 150000},
};
#define BUDGETS (sizeof(budgets) / sizeof(budgets[0]))

/* Of all jobs of a run. */
struct sum {
	double moved_bytes, seconds, waits, late, visits_share;
	double p50_ns; /* of the last job's waits */
};

struct result {
	struct sum with[BENCH_MAX_REPS], without[BENCH_MAX_REPS];
	unsigned int runs, held;
};

static double number(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static int run_one(struct guest *guest, const struct guest_migration *migration, struct sum *sum,
		   struct gmig_error *err)
{
	struct guest_outcome outcome = {0};
	int rc = guest_migrate(guest, migration, &outcome, err);
	const json_t *stall;

	if (rc)
		return rc;
	stall = json_object_get(outcome.job[0], "stall_ns");
	sum->moved_bytes += number(outcome.job[0], "moved_bytes");
	sum->seconds += number(outcome.job[0], "seconds");
	sum->waits += number(stall, "count");
	sum->late += number(outcome.job[0], "max_stall_late");
	sum->p50_ns = number(stall, "p50");
	guest_outcome_clear(&outcome);
	return 0;
}

static int run_for(struct guest *guest, const struct guest_migration *migration, double seconds,
		   struct sum *sum, struct gmig_error *err)
{
	double end = now_seconds() + seconds;
	int rc = 0;

	memset(sum, 0, sizeof(*sum));
	while (!rc && now_seconds() < end)
		rc = run_one(guest, migration, sum, err);
	return rc;
}

static double rate(const struct sum *sum)
{
	return sum->seconds > 0 ? sum->moved_bytes / sum->seconds : 0;
}

/* Of fewer than 100 waits one may be late. A guest that reads hardly ever comes in the moment in which a block is out of reach. */
static bool is_held(const struct sum *sum)
{
	return sum->late <= ceil(sum->waits * LATE_SHARE);
}

static int run_budget(struct guest *guest, const struct budget *budget, struct result *result,
		      struct gmig_error *err)
{
	struct guest_migration with = {.mode = "auto",
				       .frames = "recycled",
				       .threads = 1,
				       .jobs = 1,
				       .max_stall_ns = budget->max_stall_ns},
			       without = with;
	unsigned int run = result->runs;
	int rc = guest_run(guest, budget->load, err);

	without.max_stall_ns = 0;
	if (!rc)
		rc = run_for(guest, &without, BESIDE_SECONDS, &result->without[run], err);
	if (!rc)
		rc = run_for(guest, &with, RUN_SECONDS, &result->with[run], err);
	if (!rc)
		rc = guest_pause(guest, err);
	if (rc)
		return rc;
	result->held += is_held(&result->with[run]);
	result->runs++;
	return 0;
}

/* ---- What is told ------------------------------------------------------------------------------ */

static double median_of(const struct result *result,
			double (*value)(const struct result *, unsigned int))
{
	double values[BENCH_MAX_REPS];
	struct stats_summary summary;

	for (unsigned int i = 0; i < result->runs; i++)
		values[i] = value(result, i);
	stats_summarize(values, result->runs, &summary);
	return summary.median;
}

static double rate_with(const struct result *result, unsigned int run)
{
	return rate(&result->with[run]);
}

static double rate_kept(const struct result *result, unsigned int run)
{
	return rate(&result->with[run]) / rate(&result->without[run]);
}

static double waits(const struct result *result, unsigned int run)
{
	return result->with[run].waits;
}

static double late_share(const struct result *result, unsigned int run)
{
	const struct sum *sum = &result->with[run];

	return sum->waits > 0 ? sum->late / sum->waits : 0;
}

static bool is_met(const struct result *result)
{
	return result->held * 5 >= result->runs * 4;
}

static void print(const struct result *results)
{
	printf("Stall budgets: of 100 waits 99 are to be within it. Runs of %.0f s, medians.\n\n"
	       "%-26s %8s %8s %7s %8s %10s\n",
	       RUN_SECONDS, "", "held in", "waits", "late", "GB/s", "of full");
	for (size_t i = 0; i < BUDGETS; i++)
		printf("%-26s %3u of %u %8.0f %6.2f%% %8.2f %9.0f%%\n", budgets[i].name,
		       results[i].held, results[i].runs, median_of(&results[i], waits),
		       median_of(&results[i], late_share) * 100,
		       median_of(&results[i], rate_with) * 1e-9,
		       median_of(&results[i], rate_kept) * 100);
}

static void print_json(const struct result *results, const struct slow_result *slow)
{
	json_t *list = json_array(), *slowdowns;

	for (size_t i = 0; i < BUDGETS; i++)
		json_array_append_new(
		    list,
		    json_pack("{s:s, s:s, s:I, s:i, s:i, s:f, s:f, s:f, s:f}", "name",
			      budgets[i].name, "load", budgets[i].load, "max_stall_ns",
			      (json_int_t)budgets[i].max_stall_ns, "runs", (int)results[i].runs,
			      "held", (int)results[i].held, "waits", median_of(&results[i], waits),
			      "late_share", median_of(&results[i], late_share), "bytes_per_second",
			      median_of(&results[i], rate_with), "rate_kept",
			      median_of(&results[i], rate_kept)));
	slowdowns = slow_json(slow);
	json_array_extend(list, slowdowns);
	json_decref(slowdowns);
	json_dumpf(list, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(list);
}

static int run_all(const struct bench_options *options, const char *directory,
		   struct result *results, struct slow_result *slow, struct gmig_error *err)
{
	const struct guest_config config = {.mem_bytes = options->mem_bytes,
					    .fake_nodes = options->fake_nodes,
					    .page = "2M",
					    .frames = "recycled",
					    .pin = options->pin,
					    .vcpus = 1};
	unsigned int runs = options->reps ? options->reps : DEFAULT_RUNS;
	struct guest *guest;
	int rc = guest_create(&config, options->vmm_path, directory, &guest, err);

	if (rc)
		return rc;
	for (unsigned int run = 0; !rc && run < runs && run < BENCH_MAX_REPS; run++) {
		for (size_t i = 0; !rc && i < BUDGETS; i++)
			rc = run_budget(guest, &budgets[i], &results[i], err);
		for (unsigned int i = 0; !rc && i < SLOW_ROWS; i++)
			rc = slow_measure(guest, i, &slow[i], err);
	}
	guest_destroy(guest);
	return rc;
}

int bench_budget(const struct bench_options *options, const char *directory)
{
	static struct result results[BUDGETS];
	static struct slow_result slow[SLOW_ROWS];
	struct gmig_error err = {0};
	int status = BENCH_OK;

	if (run_all(options, directory, results, slow, &err))
		return bench_failed(&err);
	if (options->json)
		print_json(results, slow);
	else
		print(results), slow_print(slow);
	for (size_t i = 0; i < BUDGETS; i++) {
		if (!options->check || is_met(&results[i]))
			continue;
		fprintf(stderr, "missed: %s: held in %u of %u runs\n", budgets[i].name,
			results[i].held, results[i].runs);
		status = BENCH_FAILED;
	}
	for (unsigned int i = 0; options->check && i < SLOW_ROWS; i++)
		if (!slow_check(i, &slow[i]))
			status = BENCH_FAILED;
	return status;
}
