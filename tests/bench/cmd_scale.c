/* gmig-bench scale: what guests of terabytes cost, and what has to wait for them. */
#include "bench.h"
#include "host.h"
#include "report.h"
#include "scale.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#define MILLISECONDS 250

static const struct {
	uint64_t guest_bytes;
	bool small;
} cases[] = {
    {64ull << 30, false}, {1ull << 40, false}, {12ull << 40, false},
    {64ull << 30, true},  {1ull << 40, true},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

struct scale {
	struct scale_result result[CASES];
	size_t count;
};

static int measure_all(struct scale *scale, struct gmig_error *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < CASES; i++) {
		uint64_t need = scale_need_bytes(cases[i].guest_bytes, cases[i].small);

		if (need > host_available_bytes()) {
			fprintf(stderr,
				"gmig-bench: left out for want of memory: %llu GiB in %s leaves\n",
				(unsigned long long)(cases[i].guest_bytes >> 30),
				cases[i].small ? "4K" : "2M");
			continue;
		}
		rc = scale_measure(cases[i].guest_bytes, cases[i].small, MILLISECONDS,
				   &scale->result[scale->count], err);
		scale->count += !rc;
	}
	return rc;
}

/* ---- For people ------------------------------------------------------------------------------ */

static const char *size_text(uint64_t bytes, char *text, size_t room)
{
	if (bytes >> 40)
		snprintf(text, room, "%lluT", (unsigned long long)(bytes >> 40));
	else
		snprintf(text, room, "%lluG", (unsigned long long)(bytes >> 30));
	return text;
}

static void print_tables(const struct scale *scale)
{
	printf("Guests without the memory behind them: CPU time of one thread, and what is "
	       "waited for\n\n%6s %4s %12s %10s %12s %9s %12s %11s %9s %10s %10s\n",
	       "guest", "leaf", "table", "B/GiB", "of the guest", "build", "job starts",
	       "statistics", "cancel", "fault lock", "ended job");
	for (size_t i = 0; i < scale->count; i++) {
		const struct scale_result *result = &scale->result[i];
		const double ns[] = {result->build_seconds * 1e9, result->waits.start_ns,
				     result->waits.statistics_ns, result->waits.cancel_ns,
				     result->waits.lock_ns};
		char size[16], part[24], text[5][32];

		snprintf(part, sizeof(part), "1/%llu",
			 (unsigned long long)(result->guest_bytes / result->table_bytes));
		for (unsigned int t = 0; t < 5; t++)
			report_ns(ns[t], text[t], sizeof(text[t]));
		printf("%6s %4s %8.1f MiB %10.0f %12s %9s %12s %11s %9s %10s %6.1f KiB\n",
		       size_text(result->guest_bytes, size, sizeof(size)),
		       result->small ? "4K" : "2M", (double)result->table_bytes / (1 << 20),
		       (double)result->table_bytes / ((double)result->guest_bytes / (1 << 30)),
		       part, text[0], text[1], text[2], text[3], text[4],
		       result->waits.kept_bytes / 1024);
	}
}

static void print_lookups(const struct scale *scale)
{
	printf("\nLookups: million per CPU second, and the median of runs of 20,000\n\n"
	       "%6s %4s %8s %7s %18s %18s %16s\n"
	       "%6s %4s %8s %7s %9s %8s %9s %8s %16s\n",
	       "guest", "leaf", "readers", "writer", "sequential", "random", "writer's changes", "",
	       "", "", "", "M/s", "ns each", "M/s", "ns each", "M/s");
	for (size_t i = 0; i < scale->count; i++) {
		const struct scale_result *result = &scale->result[i];

		for (unsigned int l = 0; l < SCALE_LOOKUPS; l++) {
			const struct scale_lookups *lookups = &result->lookups[l];
			char size[16], changes[16] = "-";

			if (lookups->writer)
				snprintf(changes, sizeof(changes), "%.1f",
					 lookups->changes_per_second * 1e-6);
			printf("%6s %4s %8u %7s %9.1f %8.1f %9.1f %8.1f %16s\n",
			       size_text(result->guest_bytes, size, sizeof(size)),
			       result->small ? "4K" : "2M", lookups->readers,
			       lookups->writer ? "yes" : "no",
			       lookups->sequential_per_second * 1e-6, lookups->sequential_ns,
			       lookups->random_per_second * 1e-6, lookups->random_ns, changes);
		}
	}
}

/* ---- For scripts ----------------------------------------------------------------------------- */

static json_t *lookups_json(const struct scale_lookups *lookups)
{
	json_t *object = json_pack(
	    "{s:i, s:b, s:f, s:f, s:f, s:f}", "readers", (int)lookups->readers, "writer",
	    (int)lookups->writer, "sequential_per_cpu_second", lookups->sequential_per_second,
	    "random_per_cpu_second", lookups->random_per_second, "sequential_ns",
	    lookups->sequential_ns, "random_ns", lookups->random_ns);

	if (lookups->writer)
		json_object_set_new(object, "changes_per_cpu_second",
				    json_real(lookups->changes_per_second));
	return object;
}

static void print_json(const struct scale *scale)
{
	json_t *tables = json_array();

	for (size_t i = 0; i < scale->count; i++) {
		const struct scale_result *result = &scale->result[i];
		json_t *lookups = json_array();

		for (unsigned int l = 0; l < SCALE_LOOKUPS; l++)
			json_array_append_new(lookups, lookups_json(&result->lookups[l]));
		json_array_append_new(
		    tables,
		    json_pack("{s:I, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "guest_bytes",
			      (json_int_t)result->guest_bytes, "leaf", result->small ? "4K" : "2M",
			      "table_bytes", (json_int_t)result->table_bytes, "build_cpu_seconds",
			      result->build_seconds, "job_start_ns", result->waits.start_ns,
			      "statistics_cpu_ns", result->waits.statistics_ns, "cancel_ns",
			      result->waits.cancel_ns, "fault_lock_ns", result->waits.lock_ns,
			      "ended_job_bytes", result->waits.kept_bytes, "lookups", lookups));
	}
	report_object(json_pack("{s:o}", "tables", tables));
}

/* ---- Targets --------------------------------------------------------------------------------- */

#define MAX_RANDOM_NS 50
#define MAX_PART_2M   (1 / 250e3)
#define MAX_PART_4K   (1 / 400.)

/* guest: its size and leaves. */
static bool judge_figure(const char *name, const char *guest, double value, double bound, FILE *out)
{
	bool met = value <= bound;

	fprintf(out, "%-12s  %s, %s: %.3g, must be at most %.3g\n", met ? "met" : "SHORT", name,
		guest, value, bound);
	return met;
}

static bool judge_case(const struct scale_result *result, FILE *out)
{
	double part = (double)result->table_bytes / (double)result->guest_bytes;
	char size[16], guest[48];
	bool met;

	snprintf(guest, sizeof(guest), "%s in %s leaves",
		 size_text(result->guest_bytes, size, sizeof(size)), result->small ? "4K" : "2M");
	met = judge_figure("table, part of the guest", guest, part,
			   result->small ? MAX_PART_4K : MAX_PART_2M, out);
	if (!result->small)
		met &= judge_figure("ns of a random lookup, one reader", guest,
				    result->lookups[0].random_ns, MAX_RANDOM_NS, out);
	met &= judge_figure("ms until a cancelled job has ended", guest,
			    result->waits.cancel_ns * 1e-6, 50, out);
	met &= judge_figure("ms of statistics", guest, result->waits.statistics_ns * 1e-6, 1, out);
	met &= judge_figure("ms that a fault waits for a lock during a check", guest,
			    result->waits.lock_ns * 1e-6, 1, out);
	return judge_figure("MiB kept by a job that has ended", guest,
			    result->waits.kept_bytes / (1 << 20), 1, out) &&
	       met;
}

/* The largest guest of each kind is the one that counts. */
static bool judge(const struct scale *scale, FILE *out)
{
	static const uint64_t largest[] = {12ull << 40, 1ull << 40};
	bool met = true;

	for (int small = 0; small < 2; small++) {
		const struct scale_result *found = NULL;

		for (size_t i = 0; i < scale->count; i++)
			if (scale->result[i].small == small &&
			    scale->result[i].guest_bytes == largest[small])
				found = &scale->result[i];
		if (!found)
			fprintf(out, "NOT MEASURED  %lluT in %s leaves\n",
				(unsigned long long)(largest[small] >> 40), small ? "4K" : "2M");
		met = found && judge_case(found, out) && met;
	}
	return met;
}

int bench_scale(const struct bench_options *options, const char *directory)
{
	static struct scale scale;
	struct gmig_error err = {0};
	json_t *host;

	(void)directory;
	if (measure_all(&scale, &err))
		return bench_failed(&err);
	if (options->json) {
		print_json(&scale);
	} else {
		host = host_facts();
		report_host(stdout, host);
		json_decref(host);
		print_tables(&scale);
		print_lookups(&scale);
	}
	if (!options->check)
		return BENCH_OK;
	return judge(&scale, options->json ? stderr : stdout) ? BENCH_OK : BENCH_FAILED;
}
