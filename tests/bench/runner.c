#include "runner.h"
#include "clocks.h"
#include "copier.h"
#include "counters.h"
#include "domain.h"
#include "flush.h"
#include "guest.h"
#include "host.h"
#include "kernel_mover.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_MIN_BYTES	   (256ull << 20)
#define COPY_MAX_BYTES	   (1ull << 30)
#define SPARE_BYTES	   (128ull << 20)
#define MAX_GUESTS	   16
#define PAGE_BYTES	   4096
#define INSTRUCTION_COUNTS 2
#define LOOK_MS		   20
#define SETTLE_NS	   20000000 /* a guest that was let go has refilled its TLB and caches long before */

struct runner {
	const struct runner_options *options;
	struct copier *copier;
	struct guest *guests[MAX_GUESTS];
	size_t guest_count;
	/* memcpy of the whole run, by thread count; beside a writing guest when any cell has one */
	bool only_writing;
	double one[STATS_MAX], many[STATS_MAX];
	size_t one_count, many_count;
	double begin;
	double cpu_seconds; /* of us and our children, not counting guests that ended */
};

/*
 * What a cell needs while it is measured, besides its guest: fresh frames are made of memory that is warmed first; recycled
 * ones on real nodes are all kept, on fake ones they go round.
 */
static uint64_t extra_bytes(const struct cell *cell, bool fake)
{
	if (!strcmp(cell->frames, "fresh"))
		return cell->mem_bytes * 3 / 2;
	return fake ? SPARE_BYTES : cell->mem_bytes + SPARE_BYTES;
}

/* memcpy's buffers are as large as the largest guest, within bounds: memory that is new to the machine is dear to touch. */
static uint64_t copy_bytes(const struct cell *cells, size_t count)
{
	uint64_t bytes = COPY_MIN_BYTES;

	for (size_t i = 0; i < count; i++)
		if (!cells[i].domain && cells[i].mem_bytes > bytes)
			bytes = cells[i].mem_bytes;
	return bytes < COPY_MAX_BYTES ? bytes : COPY_MAX_BYTES;
}

uint64_t runner_need_bytes(const struct cell *cells, size_t count, bool fake)
{
	uint64_t need = 2 * copy_bytes(cells, count), extra = 0;

	for (size_t i = 0; i < count; i++) {
		bool again = cells[i].domain != NULL; /* has its memory */

		for (size_t j = 0; j < i; j++)
			again |= cells[j].page == cells[i].page &&
				 cells[j].frames == cells[i].frames &&
				 cells[j].vcpus == cells[i].vcpus &&
				 cells[j].mem_bytes == cells[i].mem_bytes &&
				 kernel_mover_is(cells[j].mover) == kernel_mover_is(cells[i].mover);
		if (!again)
			need += cells[i].mem_bytes;
		if (!cells[i].domain && extra_bytes(&cells[i], fake) > extra)
			extra = extra_bytes(&cells[i], fake);
	}
	return need + extra;
}

static int check_memory(const struct cell *cells, size_t count, bool fake, struct gmig_error *err)
{
	uint64_t need = runner_need_bytes(cells, count, fake), have = host_available_bytes();

	if (need > have)
		return gmig_fail(
		    err, -ENOMEM, "these cells need %llu MiB of free memory, there are %llu",
		    (unsigned long long)(need >> 20), (unsigned long long)(have >> 20));
	return 0;
}

static int warm_up(struct guest *guest, struct gmig_error *err)
{
	const struct guest_migration migration = {
	    .mover = guest_config(guest)->plain ? kernel_mover_move_pages : NULL,
	    .mode = "readable",
	    .frames = guest_config(guest)->frames,
	    .threads = 1,
	    .jobs = 1};
	int rc = guest_warm_up(guest, &migration, err);

	return rc ? rc : guest_pause(guest, err);
}

static int find_guest(struct runner *runner, const struct cell *cell, struct guest **out,
		      struct gmig_error *err)
{
	const struct guest_config config = {.mem_bytes = cell->mem_bytes,
					    .vcpus = cell->vcpus,
					    .page = cell->page,
					    .frames = cell->frames,
					    .fake_nodes = runner->options->fake_nodes,
					    .plain = kernel_mover_is(cell->mover),
					    .pin = runner->options->pin};
	int rc;

	for (size_t i = 0; i < runner->guest_count; i++) {
		const struct guest_config *have = guest_config(runner->guests[i]);

		if (have->mem_bytes == config.mem_bytes && have->vcpus == config.vcpus &&
		    have->plain == config.plain && !strcmp(have->page, config.page) &&
		    !strcmp(have->frames, config.frames)) {
			*out = runner->guests[i];
			return 0;
		}
	}
	if (runner->guest_count == MAX_GUESTS)
		return gmig_fail(err, -E2BIG, "these cells need more than %d guests at once",
				 MAX_GUESTS);
	rc = guest_create(&config, runner->options->vmm_path, runner->options->directory, out, err);
	if (rc)
		return rc;
	runner->guests[runner->guest_count++] = *out;
	return warm_up(*out, err);
}

/* memcpy beside the guest; with all CPUs only where the figure is kept, because it costs time. */
static int measure_memcpy(struct runner *runner, const struct cell *cell, struct sample *sample,
			  struct gmig_error *err)
{
	struct copier_result one, many;
	unsigned int cpus = host_cpus() < 16 ? host_cpus() : 16;
	int rc = copier_measure(runner->copier, 1, &one, err);

	if (rc)
		return rc;
	sample->value[METRIC_MEMCPY_BYTES_PER_SECOND] = one.bytes_per_second;
	sample->value[METRIC_COLD_COPY_NS] = one.block_ns;
	sample->value[METRIC_MEMCPY_CPU_SECONDS_PER_GB] = one.cpu_seconds_per_gb;
	if ((runner->only_writing && strcmp(cell->load, "write")) || runner->one_count == STATS_MAX)
		return 0;
	runner->one[runner->one_count++] = one.bytes_per_second;
	if (cpus == 1 || runner->many_count >= BENCH_MAX_REPS)
		return 0;
	rc = copier_measure(runner->copier, cpus, &many, err);
	if (!rc)
		runner->many[runner->many_count++] = many.bytes_per_second;
	return rc;
}

/* The guest's own word: no error, it runs on, and all of it lies where it was sent. */
static int judge_guest(struct guest *guest, const struct guest_state *before,
		       const struct guest_state *after, struct gmig_error *err)
{
	uint64_t there = guest_config(guest)->plain ? guest_config(guest)->mem_bytes
						    : after->resident_bytes[guest_node(guest)];

	if (after->errors)
		return gmig_fail(err, -EIO, "the guest found %llu lost or misplaced writes",
				 (unsigned long long)after->errors);
	if (after->sweeps < before->sweeps)
		return gmig_fail(err, -EIO, "the guest's sweeps went backwards");
	if (there != guest_config(guest)->mem_bytes)
		return gmig_fail(err, -EIO, "%llu of %llu MiB lie on the target node",
				 (unsigned long long)(there >> 20),
				 (unsigned long long)(guest_config(guest)->mem_bytes >> 20));
	return 0;
}

static double moved_bytes(const struct guest_outcome *outcome)
{
	double moved = outcome->moved_bytes;

	for (unsigned int i = 0; i < outcome->jobs; i++)
		moved += json_number_value(json_object_get(outcome->job[i], "moved_bytes"));
	return moved;
}

static int fill_sample(struct sample *sample, const struct guest_outcome *outcome,
		       const struct guest_state *after, struct gmig_error *err)
{
	double moved = moved_bytes(outcome), seconds = 0;

	for (unsigned int i = 0; i < outcome->jobs; i++) {
		double took = json_number_value(json_object_get(outcome->job[i], "seconds"));
		int rc = sample_add_job(sample, outcome->job[i], err);

		if (rc)
			return rc;
		if (took > seconds)
			seconds = took;
	}
	if (!outcome->jobs) {
		seconds = outcome->seconds;
		sample->value[METRIC_THP_SPLIT] = outcome->thp_split;
		sample->value[METRIC_MOVED_RATIO] = outcome->moved_ratio;
	}
	if ((outcome->jobs && moved <= 0) || seconds <= 0)
		return gmig_fail(err, -EIO, "a migration moved %.0f bytes in %g s", moved, seconds);
	sample_set_rate(sample, moved, seconds, (double)outcome->wall_ns * 1e-9);
	if (moved > 0) {
		sample->value[METRIC_CPU_SECONDS_PER_GB] = (double)outcome->cpu_ns / moved;
		sample->value[METRIC_USER_SECONDS_PER_GB] = outcome->user_seconds * 1e9 / moved;
		sample->value[METRIC_SYSTEM_SECONDS_PER_GB] = outcome->system_seconds * 1e9 / moved;
	}
	sample->value[METRIC_GUEST_DURING] = outcome->visits_per_second;
	sample->value[METRIC_EXTRA_BYTES] = outcome->extra_bytes;
	sample_add_percentiles(sample, METRIC_GAP_NS, after->gap_ns);
	return 0;
}

static void add_buckets(uint64_t *sum, const uint64_t *from, const uint64_t *to)
{
	for (unsigned int i = 0; i < CELL_BUCKETS; i++)
		sum[i] += to[i] - from[i];
}

static void add_times(struct cell_times *sum, const struct guest_times *from,
		      const struct guest_times *to)
{
	add_buckets(sum->blackout_read, from->blackout_read, to->blackout_read);
	add_buckets(sum->blackout_write, from->blackout_write, to->blackout_write);
	add_buckets(sum->stall, from->stall, to->stall);
}

static struct guest_migration migration_of(const struct cell *cell)
{
	return (struct guest_migration){.mover = cell->mover,
					.mode = cell->mode,
					.frames = cell->frames,
					.threads = cell->threads,
					.jobs = cell->jobs,
					.batch = cell->batch};
}

static int measure_migration(struct guest *guest, const struct cell *cell, struct sample *sample,
			     struct gmig_error *err)
{
	const struct guest_migration migration = migration_of(cell);
	struct guest_state before = {0}, after = {0};
	struct guest_outcome outcome = {0};
	int rc = guest_reset_gaps(guest, err);

	if (!rc)
		rc = guest_state(guest, &before, err);
	if (!rc)
		rc = guest_migrate(guest, &migration, &outcome, err);
	if (!rc)
		rc = guest_state(guest, &after, err);
	if (!rc)
		rc = judge_guest(guest, &before, &after, err);
	if (!rc && outcome.jobs) /* by the audit at the end, not by the job's own count */
		sample->value[METRIC_MOVED_RATIO] =
		    (double)after.resident_bytes[guest_node(guest)] /
		    (double)guest_config(guest)->mem_bytes;
	if (!rc)
		rc = fill_sample(sample, &outcome, &after, err);
	json_decref(before.gap_ns);
	json_decref(after.gap_ns);
	guest_outcome_clear(&outcome);
	return rc;
}

/* measure_migration with what is looked at before and after it. */
static int measure_around(struct guest *guest, struct cell_result *result, struct sample *sample,
			  struct gmig_error *err)
{
	struct guest_times from, to;
	int rc = guest_throughput(guest, LOOK_MS, &sample->value[METRIC_GUEST_BEFORE], err);

	if (!rc)
		rc = guest_times(guest, &from, err);
	if (!rc)
		rc = measure_migration(guest, &result->cell, sample, err);
	if (!rc)
		rc = guest_times(guest, &to, err);
	if (!rc)
		rc = guest_throughput(guest, LOOK_MS, &sample->value[METRIC_GUEST_AFTER], err);
	if (!rc)
		add_times(&result->times, &from, &to);
	return rc;
}

/* The domain does what it does meanwhile; guests of ours are stopped. */
static int measure_domain(struct runner *runner, struct cell_result *result, struct gmig_error *err)
{
	struct sample *sample = &result->sample[result->count];
	struct domain *domain = runner->options->domain;
	struct kernel_move move;
	int rc = domain_prepare(domain, result->cell.mover, err);

	sample_clear(sample);
	if (!rc)
		rc = measure_memcpy(runner, &result->cell, sample, err);
	if (!rc)
		rc = domain_move(domain, result->cell.mover, &move, err);
	if (rc)
		return rc;
	domain_fill_sample(&move, sample);
	if (move.calls && move.moved_bytes > 0)
		result->syscalls_per_mib = move.calls * (double)(1 << 20) / move.moved_bytes;
	result->count++;
	return 0;
}

/*
 * A host below may have taken all memory that was free for some seconds: its first touch would be measured. fresh: all that frames
 * are made of is touched first. recycled: the guest moves once more, so that what pools gave up since is in use again.
 */
static int warm_frames(struct guest *guest, const struct cell *cell, struct gmig_error *err)
{
	const struct guest_migration migration = migration_of(cell);
	struct guest_outcome outcome = {0};
	int rc;

	if (!strcmp(cell->frames, "fresh"))
		return copier_warm_free_memory(cell->mem_bytes * 3 / 2, err);
	if (kernel_mover_is(cell->mover))
		return 0;
	rc = guest_migrate(guest, &migration, &outcome, err);
	guest_outcome_clear(&outcome);
	return rc;
}

static int measure(struct runner *runner, struct cell_result *result, struct gmig_error *err)
{
	struct sample *sample = &result->sample[result->count];
	struct guest *guest;
	int rc;

	if (result->cell.domain)
		return measure_domain(runner, result, err);
	rc = find_guest(runner, &result->cell, &guest, err);
	sample_clear(sample);
	sample->value[METRIC_TLB_FLUSH_NS] = flush_measure();
	if (!rc)
		rc = guest_run(guest, result->cell.load, err);
	if (rc)
		return rc;
	sleep_ns(SETTLE_NS);
	rc = measure_memcpy(runner, &result->cell, sample, err);
	if (!rc)
		rc = warm_frames(guest, &result->cell, err);
	if (!rc)
		rc = measure_around(guest, result, sample, err);
	if (!rc)
		rc = guest_pause(guest, err);
	result->count += !rc;
	return rc;
}

/* Would another repetition, as long as those so far, exceed the budget? */
static bool out_of_time(const struct runner *runner, double begin, unsigned int done)
{
	double now = now_seconds();

	return runner->options->budget_seconds > 0 && done >= runner->options->min_reps &&
	       now - runner->begin + (now - begin) / done > runner->options->budget_seconds;
}

/* All of them first, so that the time of a repetition is that of the next one, too. */
static int start_guests(struct runner *runner, const struct runner_report *report,
			struct gmig_error *err)
{
	struct guest *guest;
	int rc = runner->options->domain ? domain_gather(runner->options->domain, err) : 0;

	for (size_t i = 0; !rc && i < report->count; i++)
		if (!report->results[i]->cell.domain)
			rc = find_guest(runner, &report->results[i]->cell, &guest, err);
	return rc;
}

/* Starts at another cell each time: none always follows the same one. */
static int run_repetitions(struct runner *runner, struct runner_report *report,
			   struct gmig_error *err)
{
	double begin = now_seconds();
	unsigned int reps = runner->options->reps;

	for (unsigned int rep = 0; rep < reps && !(rep && out_of_time(runner, begin, rep)); rep++) {
		for (size_t i = 0; i < report->count; i++) {
			struct cell_result *result = report->results[(i + rep) % report->count];
			char name[96];
			int rc;

			if (runner->options->progress)
				runner->options->progress(runner->options->opaque, &result->cell,
							  rep, reps);
			rc = measure(runner, result, err);
			if (!rc)
				continue;
			cell_name(&result->cell, name, sizeof(name));
			if (err) {
				char text[GMIG_ERROR_TEXT];

				snprintf(text, sizeof(text), "%s", err->text);
				gmig_fail(err, rc, "%s, repetition %u: %.200s", name, rep + 1,
					  text);
			}
			return rc;
		}
	}
	return 0;
}

/* A migration of its own for a cell, for what cannot be counted while time is taken. */
static int count(struct runner *runner, struct cell_result *result, bool instructions,
		 struct gmig_error *err)
{
	struct guest_migration migration = migration_of(&result->cell);
	struct guest_outcome outcome = {0};
	struct guest *guest;
	double moved;
	int rc = find_guest(runner, &result->cell, &guest, err);

	migration.count_syscalls = !instructions;
	migration.count_instructions = instructions;
	/* The lab counts all that it executes, and a guest would be most of it. */
	if (!rc)
		rc = instructions ? guest_pause(guest, err)
				  : guest_run(guest, result->cell.load, err);
	if (!rc)
		rc = guest_migrate(guest, &migration, &outcome, err);
	if (rc)
		return rc;
	moved = moved_bytes(&outcome) > 0 ? moved_bytes(&outcome) : NAN;
	if (instructions) {
		/* What the lab executes beside only adds: the least is the nearest. NAN: none so far. */
		result->instructions_per_page =
		    fmin(result->instructions_per_page, outcome.instructions * PAGE_BYTES / moved);
		result->instructions_by =
		    isnan(outcome.instructions) ? NULL : outcome.instructions_by;
	} else {
		result->syscalls_per_mib = outcome.syscalls * (1 << 20) / moved;
	}
	guest_outcome_clear(&outcome);
	return guest_pause(guest, err);
}

/* Of all guests of ours: where it is not to be had, one migration shows it, and no more time is lost. */
static int count_each(struct runner *runner, struct runner_report *report, bool instructions,
		      struct gmig_error *err)
{
	int times = instructions ? INSTRUCTION_COUNTS : 1, rc = 0;
	bool possible = true;

	for (size_t i = 0; !rc && i < report->count && possible; i++) {
		struct cell_result *result = report->results[i];

		if (result->cell.domain)
			continue;
		for (int time = 0; !rc && time < times; time++)
			rc = count(runner, result, instructions, err);
		possible =
		    !isnan(instructions ? result->instructions_per_page : result->syscalls_per_mib);
	}
	return rc;
}

static int count_all(struct runner *runner, struct runner_report *report, struct gmig_error *err)
{
	struct counters *ours = NULL;
	int rc;

	/* The first to count and the last one have the kernel patch itself: once in all, not for each cell. */
	if (counters_of_syscalls(getpid(), NULL, &ours))
		ours = NULL;
	rc = count_each(runner, report, false, err);
	counters_destroy(ours);
	return rc ? rc : count_each(runner, report, true, err);
}

static double own_cpu_seconds(const struct runner *runner)
{
	double sum = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);

	for (size_t i = 0; i < runner->guest_count; i++) {
		uint64_t all_ns, vcpu_ns;

		if (!guest_cpu_ns(runner->guests[i], &all_ns, &vcpu_ns))
			sum += (double)all_ns * 1e-9;
	}
	return sum;
}

static void judge_noise(const struct runner *runner, const struct host_cpu *from,
			struct runner_report *report)
{
	struct noise_input input = {0};
	struct host_cpu to;
	char name[96] = "";

	for (size_t i = 0; i < report->count; i++) {
		struct stats_summary summary;

		cell_summary(report->results[i], METRIC_MEMCPY_RATIO, &summary);
		if (stats_spread(&summary) <= input.worst_spread)
			continue;
		input.worst_spread = stats_spread(&summary);
		cell_name(&report->results[i]->cell, name, sizeof(name));
	}
	input.worst_name = name;
	input.lab = host_is_lab();
	if (!host_cpu_read(&to) && to.total > from->total) {
		double total = to.total - from->total;
		double foreign =
		    to.busy - from->busy - (own_cpu_seconds(runner) - runner->cpu_seconds);

		input.foreign_cpu_share = foreign > 0 ? foreign / total : 0;
		input.steal_share = (to.steal - from->steal) / total;
	}
	noise_judge(&input, &report->noise);
}

static void summarize_memcpy(const struct runner *runner, struct runner_report *report)
{
	struct stats_summary one, many;

	stats_summarize(runner->one, runner->one_count, &one);
	stats_summarize(runner->many, runner->many_count, &many);
	report->memcpy.one_thread = one.median;
	report->memcpy.best = one.median;
	report->memcpy.best_threads = 1;
	if (many.count && many.median > one.median) {
		report->memcpy.best = many.median;
		report->memcpy.best_threads = host_cpus();
	}
}

static int prepare_report(const struct cell *cells, size_t count, struct runner_report *report,
			  struct gmig_error *err)
{
	report->results = calloc(count, sizeof(struct cell_result *));
	if (!report->results)
		return gmig_fail(err, -ENOMEM, "no memory for %zu results", count);
	for (report->count = 0; report->count < count; report->count++) {
		struct cell_result *result = calloc(1, sizeof(*result));

		if (!result)
			return gmig_fail(err, -ENOMEM, "no memory for %zu results", count);
		result->cell = cells[report->count];
		result->syscalls_per_mib = NAN;
		result->instructions_per_page = NAN;
		report->results[report->count] = result;
	}
	return 0;
}

int runner_run(const struct runner_options *options, const struct cell *cells, size_t count,
	       struct runner_report *report, struct gmig_error *err)
{
	double begin = now_seconds();
	struct runner *runner = calloc(1, sizeof(*runner));
	struct host_cpu cpu = {0};
	int rc;

	memset(report, 0, sizeof(*report));
	if (!runner)
		return gmig_fail(err, -ENOMEM, "no memory");
	runner->options = options;
	runner->begin = begin;
	for (size_t i = 0; i < count; i++)
		runner->only_writing |= !strcmp(cells[i].load, "write");
	report->fake = options->fake_nodes != 0;
	runner->cpu_seconds = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
	host_cpu_read(&cpu);
	rc = check_memory(cells, count, report->fake, err);
	if (!rc)
		rc = prepare_report(cells, count, report, err);
	if (!rc)
		rc = copier_create(copy_bytes(cells, count), &runner->copier, err);
	if (!rc)
		rc = start_guests(runner, report, err);
	if (!rc)
		rc = run_repetitions(runner, report, err);
	if (!rc)
		rc = count_all(runner, report, err);
	if (!rc) {
		judge_noise(runner, &cpu, report);
		summarize_memcpy(runner, report);
	}
	for (size_t i = 0; i < runner->guest_count; i++)
		guest_destroy(runner->guests[i]);
	copier_destroy(runner->copier);
	free(runner);
	report->seconds = now_seconds() - begin;
	if (rc)
		runner_report_clear(report);
	return rc;
}

void runner_report_clear(struct runner_report *report)
{
	for (size_t i = 0; report->results && i < report->count; i++)
		free(report->results[i]);
	free(report->results);
	memset(report, 0, sizeof(*report));
}
