/* gmig-bench move: how fast each way of moving is, next to memcpy. */
#include "bench.h"
#include "csv.h"
#include "host.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_REPS   9
#define MIN_REPS       7
#define BUDGET_SECONDS 110

static void show_progress(void *opaque, const struct cell *cell, unsigned int rep, unsigned int reps)
{
	char name[96];

	(void)opaque;
	cell_name(cell, name, sizeof(name));
	fprintf(stderr, "\r\033[K%u/%u %s", rep + 1, reps, name);
}

static void end_progress(const struct runner_options *options)
{
	if (options->progress)
		fprintf(stderr, "\r\033[K");
}

/* Fewer repetitions than a median needs, or a guest that the cache could hold. */
static void warn_about(const struct bench_options *options, unsigned int reps)
{
	uint64_t cache = host_last_level_cache_bytes();

	if (reps < MIN_REPS)
		fprintf(stderr, "gmig-bench: %u repetitions: a median worth the name takes %d\n", reps, MIN_REPS);
	if (options->mem_bytes < 4 * cache)
		fprintf(stderr, "gmig-bench: the guest is smaller than 4 times the last-level cache (%llu MiB)\n",
			(unsigned long long)(cache >> 20));
}

static unsigned int print(const struct runner_report *report, const struct bench_options *options)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count = options->check ? target_judge((const struct cell_result *const *)report->results,
						     report->count, targets)
				      : 0;
	json_t *host = host_facts();
	unsigned int missed;

	if (options->json) {
		json_t *object = report_json(report, host, targets, count);

		json_dumpf(object, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
		printf("\n");
		json_decref(object);
		missed = report_targets(stderr, targets, count);
		report_noise(stderr, &report->noise);
	} else {
		report_host(stdout, host);
		report_table(stdout, report);
		if (count)
			printf("\n");
		missed = report_targets(stdout, targets, count);
		report_noise(stdout, &report->noise);
	}
	json_decref(host);
	return missed;
}

/* Files are opened before anything is measured: nobody wants to hear of a wrong path two minutes later. */
static int open_output(const char *path, FILE **out, struct gmig_error *err)
{
	*out = path ? fopen(path, "we") : NULL;
	return path && !*out ? gmig_fail(err, -errno, "%s cannot be written: %s", path, strerror(errno)) : 0;
}

static int close_output(const char *path, FILE *out, struct gmig_error *err)
{
	bool failed = out && ferror(out);

	if (out && (fclose(out) || failed))
		return gmig_fail(err, -EIO, "%s could not be written", path);
	return 0;
}

int bench_move(const struct bench_options *options, const char *directory)
{
	struct runner_options run = { .vmm_path = options->vmm_path, .directory = directory,
				      .fake_nodes = options->fake_nodes, .pin = options->pin,
				      .reps = options->reps ? options->reps : DEFAULT_REPS };
	static struct cell cells[BENCH_MAX_CELLS];
	struct runner_report report;
	struct gmig_error err = { 0 };
	FILE *csv = NULL;
	unsigned int missed;
	size_t count;

	/* The targets are judged within two minutes, also on a slow day. */
	if (!options->axes_given && !options->reps) {
		run.budget_seconds = BUDGET_SECONDS;
		run.min_reps = MIN_REPS;
	}
	count = options->axes_given ? cell_product(&options->axes, options->mem_bytes, cells, BENCH_MAX_CELLS)
				    : cell_target_preset(options->mem_bytes, cells, BENCH_MAX_CELLS);
	if (count > BENCH_MAX_CELLS) {
		fprintf(stderr, "gmig-bench: %zu cells are more than %d\n", count, BENCH_MAX_CELLS);
		return BENCH_USAGE;
	}
	warn_about(options, run.reps);
	if (open_output(options->csv_path, &csv, &err))
		return bench_failed(&err);
	if (isatty(STDERR_FILENO))
		run.progress = show_progress;
	if (runner_run(&run, cells, count, &report, &err)) {
		end_progress(&run);
		if (csv)
			fclose(csv);
		return bench_failed(&err);
	}
	end_progress(&run);
	missed = print(&report, options);
	if (csv)
		csv_samples(csv, &report);
	if (close_output(options->csv_path, csv, &err))
		missed += (unsigned int)bench_failed(&err);
	runner_report_clear(&report);
	return missed ? BENCH_FAILED : BENCH_OK;
}
