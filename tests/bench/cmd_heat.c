/*
 * gmig-bench heat: what it costs a guest that its memory is sampled, each time between two looks without; and what order
 * hot-first is worth to one with 10% hot memory (heat_order.h).
 */
#include "bench.h"
#include "clocks.h"
#include "guest.h"
#include "heat_order.h"
#include "host.h"
#include "report.h"
#include "stats.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_PAIRS 40
#define LOOK_NS	      600000000u
#define SETTLE_NS     300000000u /* a window, after which nothing is out */
#define CONFIDENCE    0.95
#define COST_TARGET   0.02
#define BYTES_TARGET  0.15
#define ORDER_BYTES   (512ull << 20)

struct cost {
	double ratio[BENCH_MAX_REPS]; /* of the guest's speed with sampling to that without */
	unsigned int pairs;
	struct stats_summary summary;
	double low, high, confidence;
};

/* Pages visited per second of time in which there was a CPU to visit them on. */
static int speed(struct guest *guest, bool sampled, double *result, struct gmig_error *err)
{
	uint64_t waited[2];
	double visits, seconds = LOOK_NS * 1e-9;
	int rc = guest_sample(guest, sampled, err);

	if (rc)
		return rc;
	sleep_ns(SETTLE_NS);
	rc = guest_vcpu_waited_ns(guest, &waited[0]);
	if (!rc)
		rc = guest_throughput(guest, LOOK_NS / 1000000, &visits, err);
	if (!rc)
		rc = guest_vcpu_waited_ns(guest, &waited[1]);
	if (rc)
		return gmig_fail(err, rc, "the time of the vCPU threads cannot be read: %s",
				 strerror(-rc));
	*result = visits * seconds / (seconds - (double)(waited[1] - waited[0]) * 1e-9);
	return 0;
}

/* Each look with sampling is compared with the mean of the looks before and after it: a drift cancels out. */
static int measure_pairs(struct guest *guest, struct cost *cost, struct gmig_error *err)
{
	double before, sampled, after;
	int rc = speed(guest, false, &before, err);

	for (unsigned int i = 0; !rc && i < cost->pairs; i++) {
		rc = speed(guest, true, &sampled, err);
		if (!rc)
			rc = speed(guest, false, &after, err);
		if (rc)
			return rc;
		cost->ratio[i] = sampled / ((before + after) / 2);
		before = after;
	}
	return rc;
}

static int measure_cost(const struct bench_options *options, const char *directory,
			struct cost *cost, struct gmig_error *err)
{
	const struct guest_config config = {.mem_bytes = options->mem_bytes,
					    .fake_nodes = options->fake_nodes,
					    .page = "2M",
					    .frames = "recycled",
					    .pin = options->pin,
					    .vcpus = 1};
	struct guest *guest;
	int rc = guest_create(&config, options->vmm_path, directory, &guest, err);

	if (rc)
		return rc;
	cost->pairs = options->reps ? options->reps : DEFAULT_PAIRS;
	rc = measure_pairs(guest, cost, err);
	guest_destroy(guest);
	stats_summarize(cost->ratio, cost->pairs, &cost->summary);
	cost->confidence =
	    stats_median_interval(cost->ratio, cost->pairs, CONFIDENCE, &cost->low, &cost->high);
	return rc;
}

static void print_curve(const char *name, const struct heat_curve *curve)
{
	printf("  %-18s", name);
	for (size_t i = 0; i < HEAT_POINTS; i++)
		printf(" %4.0f%%", curve->local[i] * 100);
	printf("   %5.1f%%\n", curve->for_90 * 100);
}

static void print(const struct bench_options *options, const struct cost *cost,
		  const struct heat_order *order)
{
	json_t *host = host_facts();

	report_host(stdout, host);
	json_decref(host);
	printf("A guest of %llu MiB that writes, sampled at the default rate: %u looks of %.1f s\n"
	       "  it loses %.2f%% at the median, interval %.2f%% .. %.2f%% (%.1f%%); %.0f%% is the "
	       "target\n\n",
	       (unsigned long long)(options->mem_bytes >> 20), cost->pairs, LOOK_NS * 1e-9,
	       (1 - cost->summary.median) * 100, (1 - cost->high) * 100, (1 - cost->low) * 100,
	       cost->confidence * 100, COST_TARGET * 100);
	printf(
	    "A thread with %llu MiB on fake nodes, %.0f%% of whose %.0f accesses a second go to a "
	    "tenth of it;\nsampled for %.0f s (%.0f rounds, by its own count %.2f%% lost). Share "
	    "of "
	    "its accesses that is local\nwhen so much of the job's bytes has moved:\n  %-18s",
	    ORDER_BYTES >> 20, order->hot_share * 100, order->accesses_rate, order->seconds,
	    order->rounds, order->slowdown * 100, "");
	for (size_t i = 0; i < HEAT_POINTS; i++)
		printf(" %4.0f%%", heat_share[i] * 100);
	printf("   90%% at\n");
	print_curve("--order address", &order->by_address);
	print_curve("--order hot-first", &order->hot_first);
}

static json_t *curve_json(const struct heat_curve *curve)
{
	json_t *list = json_array();

	for (size_t i = 0; i < HEAT_POINTS; i++)
		json_array_append_new(list, json_pack("[f, f]", heat_share[i], curve->local[i]));
	return json_pack("{s:o, s:f}", "local", list, "bytes_for_90", curve->for_90);
}

static void print_json(const struct cost *cost, const struct heat_order *order)
{
	json_t *all =
	    json_pack("{s:{s:f, s:f, s:f, s:i}, s:o, s:o, s:f}", "sampling", "kept",
		      cost->summary.median, "low", cost->low, "high", cost->high, "pairs",
		      (int)cost->pairs, "address", curve_json(&order->by_address), "hot_first",
		      curve_json(&order->hot_first), "hot_share", order->hot_share);

	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

static int check(const struct cost *cost, const struct heat_order *order)
{
	int status = BENCH_OK;

	if (1 - cost->summary.median > COST_TARGET) {
		fprintf(stderr, "missed: sampling costs the guest %.2f%%\n",
			(1 - cost->summary.median) * 100);
		status = BENCH_FAILED;
	}
	if (order->hot_first.for_90 > BYTES_TARGET) {
		fprintf(stderr,
			"missed: 90%% of the accesses are local after %.1f%% of the bytes\n",
			order->hot_first.for_90 * 100);
		status = BENCH_FAILED;
	}
	return status;
}

int bench_heat(const struct bench_options *options, const char *directory)
{
	static struct cost cost;
	struct heat_order order = {.seconds = 0};
	struct gmig_error err = {0};

	if (measure_cost(options, directory, &cost, &err) ||
	    heat_order_measure(ORDER_BYTES, &order, &err))
		return bench_failed(&err);
	if (options->json)
		print_json(&cost, &order);
	else
		print(options, &cost, &order);
	return options->check ? check(&cost, &order) : BENCH_OK;
}
