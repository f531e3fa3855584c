/* gmig-bench memory: how much memory a migration takes beside the guest's own, sampled over time. */
#include "bench.h"
#include "clocks.h"
#include "guest.h"
#include "host.h"
#include "process.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MIGRATIONS 6
#define MAX_POINTS	   20000
#define POOL_BYTES	   (16u << 20) /* gmig-vmm's watermark: what the source's pool keeps */
#define BATCH_BYTES	   (16u << 20) /* frames of the target that are made ahead */
#define LAG_BYTES	   (8u << 20)  /* how far giving back may lag behind */
/*
 * Two frames in flight; the job's results; and what the kernel counts for a process is up to 64 pages a CPU late.
 */
#define SLACK_BYTES (6u << 20)

struct point {
	uint64_t ns; /* since the migration began */
	uint64_t rss_anon_bytes, page_table_bytes;
};

struct trace {
	struct point *points;
	size_t count;
	uint64_t ns, moved_bytes;
	uint64_t peak_bytes, peak_ns, mean_bytes, end_bytes, page_table_bytes, pool_end_bytes;
};

/* One look at the process about every half millisecond until the job has ended. */
static int sample_migration(struct guest *guest, int status_fd,
			    const struct guest_migration *migration, struct trace *trace,
			    struct gmig_error *err)
{
	struct guest_outcome outcome;
	uint64_t begin = now_ns();
	int rc = guest_migrate_start(guest, migration, &outcome, err);

	if (rc)
		return rc;
	do {
		struct process_memory memory;

		rc = guest_migrate_wait(guest, &outcome, 0, err);
		if (rc && rc != -ETIMEDOUT)
			break;
		if (!process_memory_read(status_fd, &memory) && trace->count < MAX_POINTS)
			trace->points[trace->count++] =
			    (struct point){.ns = now_ns() - begin,
					   .rss_anon_bytes = memory.rss_anon_bytes,
					   .page_table_bytes = memory.page_table_bytes};
		if (rc)
			sleep_ns(400000);
	} while (rc == -ETIMEDOUT && now_ns() - begin < 60000000000u);
	trace->ns = now_ns() - begin;
	for (unsigned int i = 0; i < outcome.jobs; i++)
		trace->moved_bytes +=
		    (uint64_t)json_integer_value(json_object_get(outcome.job[i], "moved_bytes"));
	guest_outcome_clear(&outcome);
	return rc;
}

/* Peak, mean over time and end, as bytes above `base`. */
static void summarize(struct trace *trace, const struct process_memory *base)
{
	double area = 0;

	for (size_t i = 0; i < trace->count; i++) {
		const struct point *point = &trace->points[i];
		uint64_t extra = point->rss_anon_bytes > base->rss_anon_bytes
				     ? point->rss_anon_bytes - base->rss_anon_bytes
				     : 0;
		uint64_t tables = point->page_table_bytes > base->page_table_bytes
				      ? point->page_table_bytes - base->page_table_bytes
				      : 0;

		if (extra > trace->peak_bytes) {
			trace->peak_bytes = extra;
			trace->peak_ns = point->ns;
		}
		if (tables > trace->page_table_bytes)
			trace->page_table_bytes = tables;
		if (i)
			area += (double)extra * (double)(point->ns - trace->points[i - 1].ns);
		trace->end_bytes = extra;
	}
	if (trace->count > 1)
		trace->mean_bytes = (uint64_t)(area / (double)(trace->points[trace->count - 1].ns -
							       trace->points[0].ns));
}

static int run_traces(struct guest *guest, const struct guest_migration *migration,
		      struct trace *traces, unsigned int count, struct process_memory *base,
		      struct gmig_error *err)
{
	char path[64];
	int status_fd, rc = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", guest_pid(guest));
	status_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (status_fd < 0)
		return gmig_fail(err, -errno, "%s cannot be read: %s", path, strerror(errno));
	if (process_memory_read(status_fd, base))
		rc = gmig_fail(err, -EIO, "%s does not tell the memory", path);
	for (unsigned int i = 0; !rc && i < count; i++) {
		struct guest_state state;

		traces[i].points = calloc(MAX_POINTS, sizeof(struct point));
		if (!traces[i].points)
			rc = gmig_fail(err, -ENOMEM, "no memory for a trace");
		if (!rc)
			rc = sample_migration(guest, status_fd, migration, &traces[i], err);
		if (rc)
			break;
		summarize(&traces[i], base);
		rc = guest_state(guest, &state, err);
		traces[i].pool_end_bytes = rc ? 0 : state.pool_bytes;
		json_decref(state.gap_ns);
	}
	close(status_fd);
	return rc;
}

/* Extra memory over the migration's time, one character a slice: the largest sample in it, in tenths of the bound. */
static void print_curve(const struct trace *trace, const struct process_memory *base,
			uint64_t bound)
{
	static const char level[] = " .:-=+*#%@";
	char line[61];

	memset(line, ' ', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (size_t i = 0; i < trace->count; i++) {
		size_t at = (size_t)((double)trace->points[i].ns / (double)(trace->ns + 1) *
				     (sizeof(line) - 1));
		uint64_t now = trace->points[i].rss_anon_bytes;
		uint64_t extra = now > base->rss_anon_bytes ? now - base->rss_anon_bytes : 0;
		size_t tenth = (size_t)(extra * 9 / bound);
		char mark = tenth > 9 ? '!' : level[tenth];

		if (line[at] == ' ' || mark == '!' || strchr(level, mark) > strchr(level, line[at]))
			line[at] = mark;
	}
	printf("  |%s|\n", line);
}

static void print_text(const struct trace *traces, unsigned int count,
		       const struct process_memory *base, uint64_t bound)
{
	json_t *host = host_facts();
	char when[32], took[32];

	report_host(stdout, host);
	json_decref(host);
	printf(
	    "Before any migration gmig-vmm has %.1f MiB anonymous and %.1f MiB of page tables.\n",
	    (double)base->rss_anon_bytes / (1 << 20), (double)base->page_table_bytes / (1 << 20));
	printf("Above that, in MiB, sampled about every half millisecond:\n\n");
	printf("  %3s %8s %8s %8s %9s %8s %8s %8s %9s\n", "", "moved", "took", "peak", "peak at",
	       "mean", "at end", "pools", "pg tables");
	for (unsigned int i = 0; i < count; i++) {
		report_ns((double)traces[i].peak_ns, when, sizeof(when));
		report_ns((double)traces[i].ns, took, sizeof(took));
		printf("  %3u %8llu %8s %8.1f %9s %8.1f %8.1f %8.1f %9.1f  (%zu samples)\n", i + 1,
		       (unsigned long long)(traces[i].moved_bytes >> 20), took,
		       (double)traces[i].peak_bytes / (1 << 20), when,
		       (double)traces[i].mean_bytes / (1 << 20),
		       (double)traces[i].end_bytes / (1 << 20),
		       (double)traces[i].pool_end_bytes / (1 << 20),
		       (double)traces[i].page_table_bytes / (1 << 20), traces[i].count);
	}
	printf("\nExtra memory over each migration's time (' ' nothing, '@' the bound, '!' above "
	       "it):\n");
	for (unsigned int i = 0; i < count; i++)
		print_curve(&traces[i], base, bound);
}

static void print_json(const struct trace *traces, unsigned int count,
		       const struct process_memory *base, uint64_t bound)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(
		    list,
		    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "moved_bytes",
			      (json_int_t)traces[i].moved_bytes, "ns", (json_int_t)traces[i].ns,
			      "peak_bytes", (json_int_t)traces[i].peak_bytes, "mean_bytes",
			      (json_int_t)traces[i].mean_bytes, "end_bytes",
			      (json_int_t)traces[i].end_bytes, "pool_bytes",
			      (json_int_t)traces[i].pool_end_bytes, "page_table_bytes",
			      (json_int_t)traces[i].page_table_bytes, "samples",
			      (int)traces[i].count));
	report_object(json_pack("{s:I, s:I, s:o}", "base_bytes", (json_int_t)base->rss_anon_bytes,
				"bound_bytes", (json_int_t)bound, "migrations", list));
}

static int judge(const struct trace *traces, unsigned int count, uint64_t bound, FILE *out)
{
	uint64_t peak = 0;

	for (unsigned int i = 0; i < count; i++)
		if (traces[i].peak_bytes > peak)
			peak = traces[i].peak_bytes;
	fprintf(out,
		"%s: at most %.1f MiB extra; %.0f are allowed (pool %u, batch %u, lag in giving "
		"back %u, slack %u)\n",
		peak <= bound ? "met" : "SHORT", (double)peak / (1 << 20),
		(double)bound / (1 << 20), POOL_BYTES >> 20, BATCH_BYTES >> 20, LAG_BYTES >> 20,
		SLACK_BYTES >> 20);
	return peak <= bound ? BENCH_OK : BENCH_FAILED;
}

int bench_memory(const struct bench_options *options, const char *directory)
{
	const struct cell_axes *axes = &options->axes;
	const struct guest_config config = {.mem_bytes = options->mem_bytes,
					    .fake_nodes = options->fake_nodes,
					    .page = axes->pages ? axes->page[0] : "2M",
					    .frames = "",
					    .vcpus = axes->vcpu_counts ? axes->vcpus[0] : 1,
					    .pin = options->pin};
	/* A one-way move by default: the source's frames go back to the kernel, the target's come from it. */
	const struct guest_migration migration = {
	    .mode = axes->modes ? axes->mode[0] : "readable",
	    .frames = axes->frame_kinds ? axes->frames[0] : "fresh",
	    .threads = axes->thread_counts ? axes->threads[0] : 1,
	    .jobs = axes->job_counts ? axes->jobs[0] : 1};
	const uint64_t bound = POOL_BYTES + BATCH_BYTES + LAG_BYTES + SLACK_BYTES;
	unsigned int count = options->reps ? options->reps : DEFAULT_MIGRATIONS;
	struct trace *traces = calloc(count, sizeof(*traces));
	struct process_memory base = {0};
	struct guest *guest = NULL;
	struct gmig_error err = {0};
	int rc, status = BENCH_FAILED;

	rc = traces ? guest_create(&config, options->vmm_path, directory, &guest, &err)
		    : gmig_fail(&err, -ENOMEM, "no memory for %u traces", count);
	if (!rc)
		rc = guest_run(guest, axes->loads ? axes->load[0] : "write", &err);
	if (!rc)
		rc = run_traces(guest, &migration, traces, count, &base, &err);
	guest_destroy(guest);
	if (rc) {
		status = bench_failed(&err);
	} else {
		if (options->json)
			print_json(traces, count, &base, bound);
		else
			print_text(traces, count, &base, bound);
		status = judge(traces, count, bound, options->json ? stderr : stdout);
	}
	for (unsigned int i = 0; traces && i < count; i++)
		free(traces[i].points);
	free(traces);
	return rc || options->check ? status : BENCH_OK;
}
