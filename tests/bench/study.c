#include "study.h"
#include "../../cli/plot.h"
#include "csv.h"
#include "host.h"
#include "kernel_mover.h"
#include "report_html.h"
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORTHY_REPS 7 /* repetitions that a median needs to be worth the name */

/* ---- Files: opened before anything is measured, since a wrong path is better known early ----- */

enum output { OUTPUT_CSV, OUTPUT_TRACE, OUTPUT_HTML, OUTPUTS };

struct outputs {
	const char *path[OUTPUTS];
	FILE *file[OUTPUTS];
};

static int open_outputs(struct outputs *outputs, const struct bench_options *options,
			struct gmig_error *err)
{
	outputs->path[OUTPUT_CSV] = options->csv_path;
	outputs->path[OUTPUT_TRACE] = options->trace_path;
	outputs->path[OUTPUT_HTML] = options->html_path;
	if (options->html_path && plot_check("--html", err))
		return err->code;
	for (unsigned int i = 0; i < OUTPUTS; i++) {
		if (!outputs->path[i])
			continue;
		outputs->file[i] = fopen(outputs->path[i], "we");
		if (!outputs->file[i])
			return gmig_fail(err, -errno, "%s cannot be written: %s", outputs->path[i],
					 strerror(errno));
	}
	return 0;
}

static int close_outputs(struct outputs *outputs, struct gmig_error *err)
{
	int rc = 0;

	for (unsigned int i = 0; i < OUTPUTS; i++) {
		bool failed = outputs->file[i] && ferror(outputs->file[i]);

		if (outputs->file[i] && (fclose(outputs->file[i]) || failed))
			rc = gmig_fail(err, -EIO, "%s could not be written", outputs->path[i]);
		outputs->file[i] = NULL;
	}
	return rc;
}

/* ---- Running --------------------------------------------------------------------------------- */

static void show_progress(void *opaque, const struct cell *cell, unsigned int rep,
			  unsigned int reps)
{
	char name[96];

	(void)opaque;
	cell_name(cell, name, sizeof(name));
	fprintf(stderr, "\r\033[K%u/%u %s", rep + 1, reps, name);
}

/* Fewer repetitions than a median needs, or a guest that the cache could hold. */
static void warn_about(const struct runner_report *report)
{
	uint64_t cache = host_last_level_cache_bytes();
	unsigned int reps = UINT_MAX;
	bool small = false;

	for (size_t i = 0; i < report->count; i++) {
		small |= report->results[i]->cell.mem_bytes < 4 * cache;
		if (report->results[i]->count < reps)
			reps = report->results[i]->count;
	}
	if (reps < WORTHY_REPS)
		fprintf(stderr, "gmig-bench: %u repetition%s: a median worth the name takes %d\n",
			reps, reps == 1 ? "" : "s", WORTHY_REPS);
	if (small)
		fprintf(
		    stderr,
		    "gmig-bench: a guest is smaller than 4 times the last-level cache (%llu MiB)\n",
		    (unsigned long long)(cache >> 20));
}

/* Drop cells whose guests do not fit beside those of the cells before them; returns how many are
 * left. */
static size_t keep_what_fits(struct cell *cells, size_t count, bool fake)
{
	uint64_t have = host_available_bytes();
	size_t kept = 0;
	char name[96];

	for (size_t i = 0; i < count; i++) {
		cells[kept] = cells[i];
		if (runner_need_bytes(cells, kept + 1, fake) <= have) {
			kept++;
			continue;
		}
		cell_name(&cells[kept], name, sizeof(name));
		fprintf(stderr, "gmig-bench: left out for want of memory: %s\n", name);
	}
	return kept;
}

/* Takes over what `more` holds. */
static int merge(struct runner_report *report, struct runner_report *more, struct gmig_error *err)
{
	size_t count = report->count + more->count;
	struct cell_result **results =
	    reallocarray(report->results, count, sizeof(struct cell_result *));

	if (!results)
		return gmig_fail(err, -ENOMEM, "no memory for %zu results", count);
	memcpy(results + report->count, more->results, more->count * sizeof(struct cell_result *));
	if (!report->count) {
		report->memcpy = more->memcpy;
		report->fake = more->fake;
	}
	if (!report->noise.noisy)
		report->noise = more->noise;
	report->results = results;
	report->count = count;
	report->seconds += more->seconds;
	free(more->results);
	more->results = NULL;
	return 0;
}

static int run_groups(const struct study *study, const struct runner_options *run,
		      struct runner_report *report, struct gmig_error *err)
{
	int rc = 0;

	for (size_t g = 0; !rc && g < study->groups; g++) {
		struct cell *cells = study->group[g].cells;
		size_t count = study->group[g].count;
		struct runner_report more;

		/* A study of one group is asked for cell by cell: it fails instead. */
		if (study->groups > 1)
			count = keep_what_fits(cells, count, run->fake_nodes != 0);
		if (!count)
			continue;
		rc = runner_run(run, cells, count, &more, err);
		if (rc)
			break;
		rc = merge(report, &more, err);
		if (rc)
			runner_report_clear(&more);
	}
	return rc;
}

/* As it was called, blanks between the words; cut off where there is no room. */
static void own_command_line(char *text, size_t bytes)
{
	FILE *file = fopen("/proc/self/cmdline", "re");
	size_t got = file ? fread(text, 1, bytes - 1, file) : 0;

	if (file)
		fclose(file);
	for (size_t i = 0; i < got; i++)
		if (!text[i])
			text[i] = ' ';
	text[got] = '\0';
}

/* ---- Putting out ----------------------------------------------------------------------------- */

static unsigned int print(const struct study *study, const struct runner_report *report,
			  const struct bench_options *options, const json_t *host)
{
	struct target_judgement targets[TARGET_MAX];
	size_t count = options->check && study->judge ? target_judge(report, targets) : 0;
	unsigned int missed;

	if (options->json) {
		json_t *object = report_json(report, host, targets, count);

		if (study->conclude_json)
			json_object_set_new(object, "conclusions", study->conclude_json(report));
		json_dumpf(object, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
		printf("\n");
		json_decref(object);
		missed = report_targets(stderr, targets, count);
		report_noise(stderr, &report->noise);
		return missed;
	}
	report_host(stdout, host);
	report_table(stdout, report);
	report_kernel(stdout, report);
	if (study->conclude)
		study->conclude(stdout, report);
	if (count)
		printf("\n");
	missed = report_targets(stdout, targets, count);
	report_noise(stdout, &report->noise);
	return missed;
}

static int put_out_html(const struct study *study, const struct runner_report *report,
			const struct watch *watch, const json_t *host, FILE *out,
			struct gmig_error *err)
{
	struct html_input input = {
	    .title = study->title, .report = report, .watch = watch, .host = host};
	char *conclusions = NULL, command[512];
	size_t bytes;
	FILE *memory = study->conclude ? open_memstream(&conclusions, &bytes) : NULL;
	int rc;

	if (memory) {
		study->conclude(memory, report);
		fclose(memory);
	}
	own_command_line(command, sizeof(command));
	input.command = command;
	input.conclusions = conclusions;
	rc = report_html(out, &input, err);
	free(conclusions);
	return rc;
}

static int put_out(const struct study *study, const struct runner_report *report,
		   const struct watch *watch, const struct bench_options *options,
		   const struct outputs *outputs, struct gmig_error *err)
{
	json_t *host = host_facts();
	unsigned int missed = print(study, report, options, host);
	int rc = 0;

	if (outputs->file[OUTPUT_CSV])
		csv_samples(outputs->file[OUTPUT_CSV], report);
	if (outputs->file[OUTPUT_TRACE])
		csv_trace(outputs->file[OUTPUT_TRACE], watch->records);
	if (outputs->file[OUTPUT_HTML])
		rc = put_out_html(study, report, watch, host, outputs->file[OUTPUT_HTML], err);
	json_decref(host);
	if (rc)
		return bench_failed(err);
	return missed ? BENCH_FAILED : BENCH_OK;
}

/* What a migration of ours can be watched of; NULL: only peers were measured. */
static const struct cell *first_own(const struct runner_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		if (!report->results[i]->cell.domain &&
		    !kernel_mover_is(report->results[i]->cell.mover))
			return &report->results[i]->cell;
	return NULL;
}

static int run_all(const struct study *study, const struct runner_options *run, bool kernel_rate,
		   const struct outputs *outputs, struct runner_report *report, struct watch *watch,
		   struct gmig_error *err)
{
	int rc = run_groups(study, run, report, err);

	if (!rc && !report->count)
		rc = gmig_fail(err, -ENOMEM, "there is no memory for any of the cells");
	for (unsigned int p = 0; !rc && kernel_rate && p < KERNEL_RATE_PAGES; p++)
		rc = kernel_rate_measure((enum kernel_rate_page)p, &report->kernel[p], err);
	if (!rc && (outputs->file[OUTPUT_TRACE] || outputs->file[OUTPUT_HTML]) && first_own(report))
		rc = watch_migration(run, first_own(report), watch, err);
	if (run->progress)
		fprintf(stderr, "\r\033[K");
	return rc;
}

int study_run(const struct study *study, const struct bench_options *options, const char *directory)
{
	struct runner_options run = {.vmm_path = options->vmm_path,
				     .directory = directory,
				     .fake_nodes = options->fake_nodes,
				     .pin = options->pin,
				     .domain = options->domain,
				     .reps = options->reps ? options->reps : study->reps};
	struct runner_report report = {0};
	static struct watch watch;
	struct outputs outputs = {{NULL}, {NULL}};
	struct gmig_error err = {0};
	int rc, status = BENCH_FAILED;

	if (!options->reps) {
		run.budget_seconds = study->budget_seconds;
		run.min_reps = study->min_reps;
	}
	if (isatty(STDERR_FILENO))
		run.progress = show_progress;
	rc = open_outputs(&outputs, options, &err);
	if (!rc)
		rc = run_all(study, &run, options->kernel_rate, &outputs, &report, &watch, &err);
	if (!rc) {
		status = put_out(study, &report, &watch, options, &outputs, &err);
		warn_about(&report);
	}
	if (close_outputs(&outputs, rc ? NULL : &err) && !rc)
		rc = -EIO;
	watch_clear(&watch);
	runner_report_clear(&report);
	return rc ? bench_failed(&err) : status;
}
