/*
 * gmig-bench first: how long from the command to the first memory that has moved, against how much moves at a time and how large
 * the guest is. The guests are sparse, on an engine of our own: what they have touched is there, all else is a hole.
 */
#include "../../migrate/gmig.h"
#include "bench.h"
#include "clocks.h"
#include "report.h"
#include "stats.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_REPS  21
#define TOUCHED_BYTES (64ull << 20)
#define TARGET_NS     1e6

static const uint64_t guests[] = {1ull << 30, 64ull << 30, 1ull << 40};
static const struct {
	const char *name;
	uint64_t bytes; /* of the job; 0: all */
	unsigned int batch;
	bool small;
} moves[] = {
    {"2M", 2ull << 20, 0, false},
    {"16M", 16ull << 20, 0, false},
    {"all", 0, 0, false},
    {"2M of 4K, batch 1", 2ull << 20, 1, true},
    {"2M of 4K, batch 64", 2ull << 20, 64, true},
    {"2M of 4K, batch 512", 2ull << 20, 512, true},
};
#define GUESTS (sizeof(guests) / sizeof(guests[0]))
#define MOVES  (sizeof(moves) / sizeof(moves[0]))

struct first {
	double ns[BENCH_MAX_REPS];
	struct stats_summary summary;
};

/* What is touched lies at the end, behind all holes. */
static int guest_make(uint64_t bytes, bool small, struct gmig **out, struct gmig_error *err)
{
	struct gmig_options options = {.small_pages = small, .unsafe_kernel = true};
	struct gmig_region_spec spec = {.bytes = bytes};
	struct gmig *gmig;
	void *ram;
	int rc = gmig_topology_create(2, &options.topology, err);

	if (rc)
		return rc;
	rc = gmig_create(&options, &gmig, err);
	gmig_topology_put(options.topology);
	if (rc)
		return rc;
	rc = gmig_region_add(gmig, &spec, &ram, err);
	if (rc) {
		gmig_destroy(gmig);
		return rc;
	}
	for (uint64_t at = bytes - TOUCHED_BYTES; at < bytes; at += GMIG_PAGE_BYTES)
		((volatile char *)ram)[at] = 1;
	*out = gmig;
	return 0;
}

/* From the call that starts the job to the end of its first round. */
static int measure_one(struct gmig *gmig, const struct gmig_job_spec *spec, double *ns,
		       struct gmig_error *err)
{
	struct gmig_trace_record record;
	struct gmig_job_info info;
	struct gmig_job *job;
	uint64_t begin_ns = now_ns();
	int rc = gmig_job_start(gmig, spec, &job, err);

	if (rc)
		return rc;
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	if (info.state != GMIG_JOB_COMPLETED || !gmig_job_trace(job, 0, &record, 1) ||
	    !record.moved_pages)
		rc = gmig_fail(err, -EIO, "a job moved nothing");
	else
		*ns = (double)(info.start_ns + record.end_ns - begin_ns);
	gmig_job_put(job);
	return rc;
}

static int measure(struct gmig *gmig, size_t move, unsigned int reps, struct first *first,
		   struct gmig_error *err)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < reps; i++) {
		struct gmig_job_spec spec = {.from = {i % 2},
					     .to = {!(i % 2)},
					     .from_count = 1,
					     .to_count = 1,
					     .max_bytes = moves[move].bytes,
					     .batch_pages = moves[move].batch,
					     .trace = true};

		rc = measure_one(gmig, &spec, &first->ns[i], err);
	}
	if (!rc)
		stats_summarize(first->ns, reps, &first->summary);
	return rc;
}

static int measure_all(const struct bench_options *options, struct first (*firsts)[MOVES],
		       struct gmig_error *err)
{
	unsigned int reps = options->reps ? options->reps : DEFAULT_REPS;
	int rc = 0;

	for (size_t g = 0; !rc && g < GUESTS; g++)
		for (size_t m = 0; !rc && m < MOVES; m++) {
			struct gmig *gmig = NULL;

			rc = guest_make(guests[g], moves[m].small, &gmig, err);
			if (!rc)
				rc = measure(gmig, m, reps, &firsts[g][m], err);
			gmig_destroy(gmig);
		}
	return rc;
}

static void print(struct first (*firsts)[MOVES])
{
	printf("From the start of a job to the first memory that has moved: median (third "
	       "quartile)\n\n"
	       "%-20s",
	       "");
	for (size_t g = 0; g < GUESTS; g++)
		printf(" %14llu GiB", (unsigned long long)(guests[g] >> 30));
	putchar('\n');
	for (size_t m = 0; m < MOVES; m++) {
		printf("%-20s", moves[m].name);
		for (size_t g = 0; g < GUESTS; g++) {
			char median[32], quartile[32], both[72];

			report_ns(firsts[g][m].summary.median, median, sizeof(median));
			report_ns(firsts[g][m].summary.q3, quartile, sizeof(quartile));
			snprintf(both, sizeof(both), "%s (%s)", median, quartile);
			printf(" %18s", both);
		}
		putchar('\n');
	}
	printf("\nNodes are fake. Only the last %llu MiB of each guest are there.\n",
	       TOUCHED_BYTES >> 20);
}

static void print_json(struct first (*firsts)[MOVES])
{
	json_t *list = json_array();

	for (size_t g = 0; g < GUESTS; g++)
		for (size_t m = 0; m < MOVES; m++)
			json_array_append_new(list, json_pack("{s:I, s:s, s:f}", "guest_bytes",
							      (json_int_t)guests[g], "move",
							      moves[m].name, "first_ns",
							      firsts[g][m].summary.median));
	json_dumpf(list, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(list);
}

int bench_first(const struct bench_options *options, const char *directory)
{
	static struct first firsts[GUESTS][MOVES];
	struct gmig_error err = {0};
	double ns;

	(void)directory;
	if (measure_all(options, firsts, &err))
		return bench_failed(&err);
	if (options->json)
		print_json(firsts);
	else
		print(firsts);
	ns = firsts[GUESTS - 1][0].summary.median;
	if (!options->check || ns <= TARGET_NS)
		return BENCH_OK;
	fprintf(stderr, "missed: 2M of a guest of 1 TiB: the first has moved after %.2f ms\n",
		ns * 1e-6);
	return BENCH_FAILED;
}
