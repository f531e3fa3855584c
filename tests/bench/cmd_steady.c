/* gmig-bench steady: what gmig costs a guest that nobody moves, against one on plain anonymous memory. */
#include "bench.h"
#include "guest.h"
#include "host.h"
#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEFAULT_PAIRS 20
#define MEASURE_NS    2000000000u
#define SETTLE_NS     100000000u
#define TARGET	      0.01
#define CONFIDENCE    0.95

enum { ENGINE, PLAIN, KINDS };

struct steady {
	unsigned int pairs;
	double rate[KINDS][BENCH_MAX_REPS]; /* sweeps per second */
	double ratio[BENCH_MAX_REPS];
	struct stats_summary summary;
	double low, high, confidence;
	struct noise_verdict noise;
};

static void sleep_ns(uint64_t ns)
{
	struct timespec time = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };

	nanosleep(&time, NULL);
}

static int read_sweeps(struct guest *guest, uint64_t *sweeps, double *seconds, struct gmig_error *err)
{
	struct guest_state state;
	struct timespec now;
	int rc = guest_state(guest, &state, err);

	if (rc)
		return rc;
	clock_gettime(CLOCK_MONOTONIC, &now);
	json_decref(state.gap_ns);
	*sweeps = state.sweeps;
	*seconds = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
	return state.errors ? gmig_fail(err, -EIO, "the guest found %llu lost or misplaced writes",
					(unsigned long long)state.errors)
			    : 0;
}

/* Two seconds of this guest alone. */
static int measure(struct guest *guest, const char *load, double *rate, struct gmig_error *err)
{
	uint64_t from = 0, to = 0;
	double begin = 0, end = 0;
	int rc = guest_run(guest, load, err);

	if (rc)
		return rc;
	sleep_ns(SETTLE_NS);
	rc = read_sweeps(guest, &from, &begin, err);
	if (rc)
		return rc;
	sleep_ns(MEASURE_NS);
	rc = read_sweeps(guest, &to, &end, err);
	if (rc)
		return rc;
	*rate = (double)(to - from) / (end - begin);
	if (to - from < 100)
		return gmig_fail(err, -ERANGE, "only %llu sweeps in two seconds: take a smaller --mem",
				 (unsigned long long)(to - from));
	return guest_pause(guest, err);
}

/* Who goes first changes from pair to pair, so that a drift of the machine cancels out. */
static int run_pairs(struct guest *const *guests, const char *load, struct steady *steady, struct gmig_error *err)
{
	struct host_cpu from, to;
	double idle;
	int rc = host_cpu_read(&from);

	for (unsigned int i = 0; !rc && i < steady->pairs; i++) {
		int first = i % 2 ? PLAIN : ENGINE;

		rc = measure(guests[first], load, &steady->rate[first][i], err);
		if (!rc)
			rc = measure(guests[!first], load, &steady->rate[!first][i], err);
		steady->ratio[i] = steady->rate[ENGINE][i] / steady->rate[PLAIN][i];
	}
	if (rc)
		return rc;
	stats_summarize(steady->ratio, steady->pairs, &steady->summary);
	steady->confidence = stats_median_interval(steady->ratio, steady->pairs, CONFIDENCE, &steady->low,
						   &steady->high);
	if (!host_cpu_read(&to)) {
		/* One vCPU thread a guest is all the work there is. */
		struct noise_input input = { .worst_name = "steady", .worst_spread = stats_spread(&steady->summary) };

		idle = (to.total - from.total) / host_cpus() * guest_config(guests[ENGINE])->vcpus;
		input.foreign_cpu_share = fmax(0, (to.busy - from.busy - idle) / (to.total - from.total));
		input.steal_share = (to.steal - from.steal) / (to.total - from.total);
		noise_judge(&input, &steady->noise);
	}
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
	printf("A guest of %llu MiB that nobody moves, sweeps per second, %u alternating pairs of 2 s\n",
	       (unsigned long long)(options->mem_bytes >> 20), steady->pairs);
	printf("  gmig's memory   %9.2f  (quartiles %.2f .. %.2f)\n", rate[ENGINE].median, rate[ENGINE].q1,
	       rate[ENGINE].q3);
	printf("  plain memory    %9.2f  (quartiles %.2f .. %.2f)\n", rate[PLAIN].median, rate[PLAIN].q1,
	       rate[PLAIN].q3);
	printf("  ratio           %9.4f  interval %.4f .. %.4f (%.1f%%)\n", steady->summary.median, steady->low,
	       steady->high, steady->confidence * 100);
	printf("%s: the median is %.2f%% off, %.0f%% is allowed; the interval lies %s\n",
	       within_target(steady) ? "met" : "SHORT", (steady->summary.median - 1) * 100, TARGET * 100,
	       steady->low >= 1 - TARGET && steady->high <= 1 + TARGET ? "within that, too" : "partly outside");
	report_noise(stdout, &steady->noise);
}

static void print_json(const struct steady *steady, const struct bench_options *options)
{
	json_t *host = host_facts(), *ratios = json_array(), *object;

	for (unsigned int i = 0; i < steady->pairs; i++)
		json_array_append_new(ratios, json_real(steady->ratio[i]));
	object = json_pack("{s:o, s:I, s:i, s:o, s:f, s:[f, f], s:f, s:b, s:b}", "host", host, "mem_bytes",
			   (json_int_t)options->mem_bytes, "pairs", (int)steady->pairs, "ratios", ratios, "ratio",
			   steady->summary.median, "interval", steady->low, steady->high, "confidence",
			   steady->confidence, "met", within_target(steady), "noisy", steady->noise.noisy);
	json_dumpf(object, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(7));
	printf("\n");
	json_decref(object);
}

int bench_steady(const struct bench_options *options, const char *directory)
{
	struct guest_config config = { .mem_bytes = options->mem_bytes, .fake_nodes = options->fake_nodes,
				       .page = options->axes.pages ? options->axes.page[0] : "2M",
				       .frames = "fresh", .pin = options->pin,
				       .vcpus = options->axes.vcpu_counts ? options->axes.vcpus[0] : 1 };
	const char *load = options->axes.loads ? options->axes.load[0] : "write";
	static struct steady steady;
	struct guest *guests[KINDS] = { NULL };
	struct gmig_error err = { 0 };
	int rc = 0;

	steady.pairs = options->reps ? options->reps : DEFAULT_PAIRS;
	for (int kind = 0; !rc && kind < KINDS; kind++) {
		config.plain = kind == PLAIN;
		rc = guest_create(&config, options->vmm_path, directory, &guests[kind], &err);
		if (!rc)
			rc = guest_pause(guests[kind], &err);
	}
	if (!rc)
		rc = run_pairs(guests, load, &steady, &err);
	for (int kind = 0; kind < KINDS; kind++)
		guest_destroy(guests[kind]);
	if (rc)
		return bench_failed(&err);
	if (options->json)
		print_json(&steady, options);
	else
		print_text(&steady, options);
	return options->check && !within_target(&steady) ? BENCH_FAILED : BENCH_OK;
}
