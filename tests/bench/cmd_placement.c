/* gmig-bench placement: rules of placement beside each other, on hosts over simulated time. No guest runs. */
#include "bench.h"
#include "csv.h"
#include "fleet_file.h"
#include "host.h"
#include "report.h"
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_POLICIES 16

/* Of one policy, over all hosts. */
struct total {
	struct sim_result sum;
	double worst_remote, worst_moved_gib, worst_second_gib;
	uint64_t worst_seed;	   /* of worst_remote */
	unsigned int second_hosts; /* on which a second run moved something */
	double cpu_seconds;
};

struct placement {
	const struct bench_options *options;
	struct fleet_shape shape;
	struct fleet like;
	bool has_like;
	FILE *csv;
	struct total total[MOST_POLICIES];
};

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- Running --------------------------------------------------------------------------------- */

static void add(struct total *total, const struct sim_result *result, uint64_t seed)
{
	total->sum.remote += result->remote;
	total->sum.moved_gib += result->moved_gib;
	total->sum.moves += result->moves;
	total->sum.unpaid += result->unpaid;
	total->sum.second_gib += result->second_gib;
	total->second_hosts += result->second_gib > 0;
	if (result->remote > total->worst_remote || !total->worst_seed) {
		total->worst_remote = result->remote;
		total->worst_seed = seed;
	}
	if (result->moved_gib > total->worst_moved_gib)
		total->worst_moved_gib = result->moved_gib;
	if (result->second_gib > total->worst_second_gib)
		total->worst_second_gib = result->second_gib;
}

static void write_csv(const struct placement *placement, const struct sim_policy *policy,
		      uint64_t seed, const struct sim_result *result)
{
	if (!placement->csv)
		return;
	csv_text(placement->csv, policy->name);
	fprintf(placement->csv, ",%llu,%.6f,%.3f,%.0f,%.0f,%.3f\n", (unsigned long long)seed,
		result->remote, result->moved_gib, result->moves, result->unpaid,
		result->second_gib);
}

static int run_hosts(struct placement *placement, size_t policy, struct gmig_error *err)
{
	const struct bench_options *options = placement->options;
	double before = cpu_seconds();
	int rc = 0;

	for (unsigned int h = 0; !rc && h < options->hosts; h++) {
		struct sim_result result;
		uint64_t seed = (uint64_t)options->seed + h;

		rc = sim_run(&sim_policies[policy], &placement->shape,
			     placement->has_like ? &placement->like : NULL, seed, options->steps,
			     &result, err);
		if (rc)
			break;
		add(&placement->total[policy], &result, seed);
		write_csv(placement, &sim_policies[policy], seed, &result);
	}
	placement->total[policy].cpu_seconds = cpu_seconds() - before;
	return rc;
}

static int open_files(struct placement *placement, struct gmig_error *err)
{
	const struct bench_options *options = placement->options;
	FILE *in;
	int rc;

	if (options->fleet_path) {
		in = fopen(options->fleet_path, "re");
		if (!in)
			return gmig_fail(err, -errno, "%s: %s", options->fleet_path,
					 strerror(errno));
		rc = fleet_read(in, options->fleet_path, &placement->like, err);
		fclose(in);
		if (rc)
			return rc;
		placement->has_like = true;
	}
	if (!options->csv_path)
		return 0;
	placement->csv = fopen(options->csv_path, "we");
	if (!placement->csv)
		return gmig_fail(err, -errno, "%s: %s", options->csv_path, strerror(errno));
	fputs("policy,seed,remote,moved_gib,moves,unpaid,second_gib\n", placement->csv);
	return 0;
}

static int close_files(struct placement *placement, struct gmig_error *err)
{
	bool failed = placement->csv && ferror(placement->csv);

	fleet_destroy(&placement->like);
	if (placement->csv && (fclose(placement->csv) || failed))
		return gmig_fail(err, -EIO, "%s could not be written",
				 placement->options->csv_path);
	return 0;
}

static void set_shape(struct placement *placement)
{
	const struct bench_options *options = placement->options;

	placement->shape = fleet_plain;
	if (options->guests)
		placement->shape.min_guests = placement->shape.max_guests = options->guests;
}

/* ---- For people and for scripts -------------------------------------------------------------- */

static double share(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static void print_table(const struct placement *placement)
{
	const struct bench_options *options = placement->options;
	double hosts = options->hosts;

	printf("%u hosts (seeds %u to %u), %u steps of %d s%s%s\n\n", options->hosts, options->seed,
	       options->seed + options->hosts - 1, options->steps, SIM_STEP_SECONDS,
	       placement->has_like ? ", each begins as " : "",
	       placement->has_like ? options->fleet_path : "");
	printf("%-13s %8s %8s %10s %10s %8s %9s %11s %11s %9s\n", "", "remote", "worst",
	       "GiB moved", "worst", "moves", "did not", "second run", "hosts that", "CPU ms");
	printf("%-13s %8s %8s %10s %10s %8s %9s %11s %11s %9s\n", "policy", "memory", "host",
	       "by a host", "host", "", "pay", "GiB", "moved again", "a step");
	for (size_t p = 0; p < sim_policy_count; p++) {
		const struct total *total = &placement->total[p];

		printf("%-13s %7.2f%% %7.2f%% %10.1f %10.1f %8.1f %8.1f%% %11.2f %11u %9.3f\n",
		       sim_policies[p].name, 100 * total->sum.remote / hosts,
		       100 * total->worst_remote, total->sum.moved_gib / hosts,
		       total->worst_moved_gib, total->sum.moves / hosts,
		       100 * share(total->sum.unpaid, total->sum.moves),
		       total->sum.second_gib / hosts, total->second_hosts,
		       1e3 * total->cpu_seconds / hosts / options->steps);
	}
}

static void print_json(const struct placement *placement)
{
	const struct bench_options *options = placement->options;
	json_t *policies = json_array();

	for (size_t p = 0; p < sim_policy_count; p++) {
		const struct total *total = &placement->total[p];
		double hosts = options->hosts;

		json_array_append_new(
		    policies,
		    json_pack("{s:s, s:s, s:f, s:f, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:f}",
			      "name", sim_policies[p].name, "what", sim_policies[p].what, "remote",
			      total->sum.remote / hosts, "worst_remote", total->worst_remote,
			      "worst_seed", (json_int_t)total->worst_seed, "moved_gib",
			      total->sum.moved_gib / hosts, "worst_moved_gib",
			      total->worst_moved_gib, "moves", total->sum.moves / hosts, "unpaid",
			      share(total->sum.unpaid, total->sum.moves), "second_gib",
			      total->sum.second_gib / hosts, "worst_second_gib",
			      total->worst_second_gib, "second_hosts", (int)total->second_hosts,
			      "cpu_seconds", total->cpu_seconds));
	}
	report_object(json_pack("{s:i, s:i, s:i, s:o}", "hosts", (int)options->hosts, "steps",
				(int)options->steps, "seed", (int)options->seed, "policies",
				policies));
}

/* ---- Targets --------------------------------------------------------------------------------- */

static const struct total *total_of(const struct placement *placement, const char *name)
{
	size_t p = 0;

	while (strcmp(sim_policies[p].name, name) != 0)
		p++;
	return &placement->total[p];
}

static bool judge_one(bool met, const char *text, FILE *out)
{
	fprintf(out, "%-12s  %s\n", met ? "met" : "SHORT", text);
	return met;
}

static bool judge(const struct placement *placement, FILE *out)
{
	const struct total *touch = total_of(placement, "first-touch");
	const struct total *follow = total_of(placement, "follow-vcpus");
	const struct total *pack = total_of(placement, "pack");
	bool met = true;

	met &= judge_one(!follow->second_hosts && !pack->second_hosts,
			 "a second run of gmig's planner moves nothing on any host", out);
	met &= judge_one(follow->sum.remote < touch->sum.remote / 2,
			 "follow-vcpus leaves less than half of first touch's remote memory", out);
	met &= judge_one(pack->sum.moved_gib < follow->sum.moved_gib,
			 "pack moves less memory than follow-vcpus", out);
	return met;
}

int bench_placement(const struct bench_options *options, const char *directory)
{
	static struct placement placement;
	struct gmig_error err = {0};
	int rc;

	(void)directory;
	placement.options = options;
	set_shape(&placement);
	rc = open_files(&placement, &err);
	for (size_t p = 0; !rc && p < sim_policy_count; p++)
		rc = run_hosts(&placement, p, &err);
	if (close_files(&placement, rc ? NULL : &err) || rc)
		return bench_failed(&err);
	if (options->json)
		print_json(&placement);
	else
		print_table(&placement);
	if (!options->check)
		return BENCH_OK;
	return judge(&placement, options->json ? stderr : stdout) ? BENCH_OK : BENCH_FAILED;
}
