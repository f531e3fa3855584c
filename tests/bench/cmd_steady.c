/* gmig-bench steady: what gmig costs a guest that nobody moves, against one on plain anonymous memory. */
#include "bench.h"
#include "clocks.h"
#include "guest.h"
#include "host.h"
#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_PAIRS 20
#define SLICES	      20
#define SLICE_NS      100000000u /* 20 of them: two seconds */
#define SETTLE_NS     15000000u
#define TARGET	      0.01
#define CONFIDENCE    0.95

enum { ENGINE, PLAIN, KINDS };

struct steady {
	unsigned int pairs;
	double rate[KINDS][BENCH_MAX_REPS]; /* pages visited per second */
	double seconds, waited;		    /* of both guests, all pairs */
	double ratio[BENCH_MAX_REPS];
	struct stats_summary summary;
	double low, high, confidence;
	struct noise_verdict noise;
};

/* One look: pages visited, and the time that there was a CPU to visit them on. */
struct look {
	uint64_t visits;
	double seconds, waited;
};

static int look_at(struct guest *guest, struct look *look, struct gmig_error *err)
{
	struct guest_state state;
	uint64_t waited_ns;
	int rc = guest_state(guest, &state, err);

	if (rc)
		return rc;
	look->seconds = now_seconds();
	json_decref(state.gap_ns);
	if (state.errors)
		return gmig_fail(err, -EIO, "the guest found %llu lost or misplaced writes",
				 (unsigned long long)state.errors);
	rc = guest_vcpu_waited_ns(guest, &waited_ns);
	if (rc)
		return gmig_fail(err, rc, "the time of the vCPU threads cannot be read: %s",
				 strerror(-rc));
	look->visits = state.visits;
	look->waited = (double)waited_ns * 1e-9 / guest_config(guest)->vcpus;
	return 0;
}

/* One slice of this guest alone; adds to sum[KIND]. */
static int measure_slice(struct guest *guest, const char *load, struct look *sum,
			 struct gmig_error *err)
{
	struct look from, to;
	int rc = guest_run(guest, load, err);

	if (rc)
		return rc;
	sleep_ns(SETTLE_NS);
	rc = look_at(guest, &from, err);
	if (rc)
		return rc;
	sleep_ns(SLICE_NS);
	rc = look_at(guest, &to, err);
	if (rc)
		return rc;
	sum->visits += to.visits - from.visits;
	sum->seconds += to.seconds - from.seconds;
	sum->waited += to.waited - from.waited;
	return guest_pause(guest, err);
}

/*
 * A pair: two seconds of each, in slices that take turns, so that what else happens on the machine hits both. Who goes first
 * changes from slice to slice: a drift cancels out. Time in which the vCPU stood in line behind others does not count.
 */
static int run_pair(struct guest *const *guests, const char *load, struct steady *steady,
		    unsigned int pair, struct gmig_error *err)
{
	struct look sum[KINDS] = {0};
	int rc = 0;

	for (unsigned int slice = 0; !rc && slice < SLICES; slice++) {
		int first = slice % 2;

		rc = measure_slice(guests[first], load, &sum[first], err);
		if (!rc)
			rc = measure_slice(guests[!first], load, &sum[!first], err);
	}
	if (rc)
		return rc;
	for (int kind = 0; kind < KINDS; kind++) {
		double seconds = sum[kind].seconds - sum[kind].waited;

		if (!sum[kind].visits || seconds <= 0)
			return gmig_fail(err, -ERANGE,
					 "the guest with load %s does not visit pages", load);
		steady->rate[kind][pair] = (double)sum[kind].visits / seconds;
		steady->waited += sum[kind].waited;
		steady->seconds += sum[kind].seconds;
	}
	steady->ratio[pair] = steady->rate[ENGINE][pair] / steady->rate[PLAIN][pair];
	return 0;
}

/*
 * Each pair has guests of its own: where the frames of one happen to lie in the caches makes a per cent or two between two
 * guests of the same kind. Who is started first changes from pair to pair.
 */
static int run_new_pair(const struct bench_options *options, const char *directory,
			struct steady *steady, unsigned int pair, struct gmig_error *err)
{
	struct guest_config config = {.mem_bytes = options->mem_bytes,
				      .fake_nodes = options->fake_nodes,
				      .page = options->axes.pages ? options->axes.page[0] : "2M",
				      .frames = "fresh",
				      .pin = options->pin,
				      .vcpus =
					  options->axes.vcpu_counts ? options->axes.vcpus[0] : 1};
	const char *load = options->axes.loads ? options->axes.load[0] : "write";
	struct guest *guests[KINDS] = {NULL};
	int rc = 0;

	for (unsigned int i = 0; !rc && i < KINDS; i++) {
		unsigned int kind = (i + pair) % KINDS;

		config.plain = kind == PLAIN;
		rc = guest_create(&config, options->vmm_path, directory, &guests[kind], err);
		if (!rc)
			rc = guest_pause(guests[kind], err);
	}
	if (!rc)
		rc = run_pair(guests, load, steady, pair, err);
	for (int kind = 0; kind < KINDS; kind++)
		guest_destroy(guests[kind]);
	return rc;
}

static int run_pairs(const struct bench_options *options, const char *directory,
		     struct steady *steady, struct gmig_error *err)
{
	struct noise_input input = {.worst_name = "ratio"};
	struct host_cpu from, to;
	int rc = host_cpu_read(&from);

	for (unsigned int i = 0; !rc && i < steady->pairs; i++)
		rc = run_new_pair(options, directory, steady, i, err);
	if (rc)
		return rc;
	stats_summarize(steady->ratio, steady->pairs, &steady->summary);
	steady->confidence = stats_median_interval(steady->ratio, steady->pairs, CONFIDENCE,
						   &steady->low, &steady->high);
	input.worst_spread = stats_spread(&steady->summary);
	/* Whoever else ran has either kept the vCPU waiting, or used a CPU that it does not need. */
	input.foreign_cpu_share = steady->waited / steady->seconds;
	if (!host_cpu_read(&to) && to.total > from.total)
		input.steal_share = (to.steal - from.steal) / (to.total - from.total);
	noise_judge(&input, &steady->noise);
	return 0;
}

static bool within_target(const struct steady *steady)
{
	return fabs(steady->summary.median - 1) <= TARGET;
}

static void print_text(const struct steady *steady, const struct bench_options *options)
{
	json_t *host = host_facts();
	struct stats_summary rate[KINDS];

	for (int kind = 0; kind < KINDS; kind++)
		stats_summarize(steady->rate[kind], steady->pairs, &rate[kind]);
	report_host(stdout, host);
	json_decref(host);
	printf("A guest of %llu MiB that nobody moves, million pages visited per second,\n%u pairs "
	       "of guests, 2 s of each by turns, in slices of 0.1 s\n",
	       (unsigned long long)(options->mem_bytes >> 20), steady->pairs);
	printf("  gmig's memory   %9.3f  (quartiles %.3f .. %.3f)\n", rate[ENGINE].median * 1e-6,
	       rate[ENGINE].q1 * 1e-6, rate[ENGINE].q3 * 1e-6);
	printf("  plain memory    %9.3f  (quartiles %.3f .. %.3f)\n", rate[PLAIN].median * 1e-6,
	       rate[PLAIN].q1 * 1e-6, rate[PLAIN].q3 * 1e-6);
	printf("  ratio           %9.4f  interval %.4f .. %.4f (%.1f%%)\n", steady->summary.median,
	       steady->low, steady->high, steady->confidence * 100);
	printf("%s: the median is %.2f%% off, %.0f%% is allowed; the interval lies %s\n",
	       within_target(steady) ? "met" : "SHORT", (steady->summary.median - 1) * 100,
	       TARGET * 100,
	       steady->low >= 1 - TARGET && steady->high <= 1 + TARGET ? "within that, too"
								       : "partly outside");
	report_noise(stdout, &steady->noise);
}

static void print_json(const struct steady *steady, const struct bench_options *options)
{
	json_t *ratios = json_array();

	for (unsigned int i = 0; i < steady->pairs; i++)
		json_array_append_new(ratios, json_real(steady->ratio[i]));
	report_object(json_pack("{s:I, s:i, s:o, s:f, s:[f, f], s:f, s:b, s:b}", "mem_bytes",
				(json_int_t)options->mem_bytes, "pairs", (int)steady->pairs,
				"ratios", ratios, "ratio", steady->summary.median, "interval",
				steady->low, steady->high, "confidence", steady->confidence, "met",
				within_target(steady), "noisy", steady->noise.noisy));
}

int bench_steady(const struct bench_options *options, const char *directory)
{
	static struct steady steady;
	struct gmig_error err = {0};

	steady.pairs = options->reps ? options->reps : DEFAULT_PAIRS;
	if (run_pairs(options, directory, &steady, &err))
		return bench_failed(&err);
	if (options->json)
		print_json(&steady, options);
	else
		print_text(&steady, options);
	return options->check && !within_target(&steady) ? BENCH_FAILED : BENCH_OK;
}
