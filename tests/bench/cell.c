#include "cell.h"
#include "kernel_mover.h"

#include <errno.h>
#include <math.h>
#include <string.h>

const char cell_mover_virsh[] = "virsh", cell_mover_swap[] = "swap";
const char *const cell_percentiles[CELL_PERCENTILES] = {"p50", "p99", "p999", "max"};

/* clang-format off */
#define PERCENTILES_OF(first, name) \
	[first] = name "_p50_ns", [first + 1] = name "_p99_ns", [first + 2] = name "_p999_ns", [first + 3] = name "_max_ns"

static const char *const metric_names[METRIC_COUNT] = {
	[METRIC_BYTES_PER_SECOND] = "bytes_per_second",
	[METRIC_WALL_BYTES_PER_SECOND] = "wall_bytes_per_second",
	[METRIC_MEMCPY_BYTES_PER_SECOND] = "memcpy_bytes_per_second",
	[METRIC_MEMCPY_RATIO] = "memcpy_ratio",
	[METRIC_MOVED_RATIO] = "moved_ratio",
	[METRIC_COLD_COPY_NS] = "cold_copy_ns",
	[METRIC_TLB_FLUSH_NS] = "tlb_flush_ns",
	[METRIC_CPU_SECONDS_PER_GB] = "cpu_seconds_per_gb",
	[METRIC_USER_SECONDS_PER_GB] = "user_seconds_per_gb",
	[METRIC_SYSTEM_SECONDS_PER_GB] = "system_seconds_per_gb",
	[METRIC_MEMCPY_CPU_SECONDS_PER_GB] = "memcpy_cpu_seconds_per_gb",
	[METRIC_THP_SPLIT] = "thp_split",
	[METRIC_PASSES] = "passes",
	[METRIC_GUEST_BEFORE] = "guest_pages_per_second_before",
	[METRIC_GUEST_DURING] = "guest_pages_per_second_during",
	[METRIC_GUEST_AFTER] = "guest_pages_per_second_after",
	[METRIC_EXTRA_BYTES] = "extra_bytes",
	PERCENTILES_OF(METRIC_BLACKOUT_READ_NS, "blackout_read"),
	PERCENTILES_OF(METRIC_BLACKOUT_WRITE_NS, "blackout_write"),
	PERCENTILES_OF(METRIC_STALL_NS, "stall"),
	PERCENTILES_OF(METRIC_GAP_NS, "gap"),
};
/* clang-format on */

const char *metric_name(enum metric metric)
{
	return metric_names[metric];
}

static const struct axis {
	const char *name;
	const char *values[8];
} axes_allowed[] = {
    {"page", {"2M", "4K"}},
    {"frames", {"fresh", "recycled"}},
    {"load", {"idle", "write", "random", "read", "half"}},
    {"mode", {"auto", "readable", "block"}},
    {"mover", {"uffd", "move_pages", "migratepages", cell_mover_virsh}},
};

const char *cell_axis_name(const char *axis, const char *text)
{
	for (size_t i = 0; i < sizeof(axes_allowed) / sizeof(axes_allowed[0]); i++) {
		if (strcmp(axes_allowed[i].name, axis))
			continue;
		for (const char *const *value = axes_allowed[i].values; *value; value++)
			if (!strcmp(*value, text))
				return *value;
	}
	return NULL;
}

bool cell_same_kind(const struct cell *a, const struct cell *b)
{
	return !strcmp(a->mover, b->mover) && !strcmp(a->page, b->page) &&
	       !strcmp(a->frames, b->frames) && !strcmp(a->load, b->load) &&
	       !strcmp(a->mode, b->mode) && a->threads == b->threads && a->vcpus == b->vcpus &&
	       a->batch == b->batch;
}

void cell_name(const struct cell *cell, char *text, size_t bytes)
{
	int used = cell->domain ? snprintf(text, bytes, "domain by %s, %s", cell->mover, cell->page)
				: snprintf(text, bytes, "%s %s %s %s", cell->page, cell->frames,
					   cell->mode, cell->load);

	if (!cell->domain && used > 0 && (size_t)used < bytes &&
	    (cell->threads > 1 || cell->vcpus > 1 || cell->jobs > 1))
		used += snprintf(text + used, bytes - (size_t)used, " %ut %uv %uj", cell->threads,
				 cell->vcpus, cell->jobs);
	if (used > 0 && (size_t)used < bytes && cell->batch)
		used += snprintf(text + used, bytes - (size_t)used, " batch %u", cell->batch);
	if (used > 0 && (size_t)used < bytes && cell->mem_bytes != 1ull << 30)
		snprintf(text + used, bytes - (size_t)used, " %lluM",
			 (unsigned long long)(cell->mem_bytes >> 20));
}

void sample_clear(struct sample *sample)
{
	for (unsigned int i = 0; i < METRIC_COUNT; i++)
		sample->value[i] = NAN;
}

void sample_set_rate(struct sample *sample, double moved_bytes, double seconds, double wall_seconds)
{
	double rate = moved_bytes > 0 ? moved_bytes / seconds : 0;

	sample->value[METRIC_BYTES_PER_SECOND] = rate;
	sample->value[METRIC_WALL_BYTES_PER_SECOND] =
	    moved_bytes > 0 ? moved_bytes / wall_seconds : 0;
	sample->value[METRIC_MEMCPY_RATIO] = rate / sample->value[METRIC_MEMCPY_BYTES_PER_SECOND];
}

static void keep_larger(double *value, double other)
{
	if (isnan(*value) || other > *value)
		*value = other;
}

void sample_add_percentiles(struct sample *sample, enum metric first, const json_t *percentiles)
{
	const json_t *count = json_object_get(percentiles, "count");

	if (!json_is_object(percentiles) || (json_is_integer(count) && !json_integer_value(count)))
		return;
	for (unsigned int i = 0; i < CELL_PERCENTILES; i++) {
		const json_t *value = json_object_get(percentiles, cell_percentiles[i]);

		if (json_is_number(value))
			keep_larger(&sample->value[first + i], json_number_value(value));
	}
}

static void add_number(double *value, const json_t *number)
{
	if (json_is_number(number))
		*value = (isnan(*value) ? 0 : *value) + json_number_value(number);
}

int sample_add_job(struct sample *sample, const json_t *job, struct gmig_error *err)
{
	const json_t *closed = json_object_get(job, "blackout_ns");
	const char *state = json_string_value(json_object_get(job, "state"));
	json_int_t left = json_integer_value(json_object_get(job, "remaining_bytes"));

	if (!state || strcmp(state, "completed"))
		return gmig_fail(err, -EIO, "a migration ended as '%s'", state ? state : "nothing");
	if (left)
		return gmig_fail(err, -EIO, "a migration left %lld bytes where they were",
				 (long long)left);
	sample_add_percentiles(sample, METRIC_BLACKOUT_READ_NS, json_object_get(closed, "read"));
	sample_add_percentiles(sample, METRIC_BLACKOUT_WRITE_NS, json_object_get(closed, "write"));
	sample_add_percentiles(sample, METRIC_STALL_NS, json_object_get(job, "stall_ns"));
	add_number(&sample->value[METRIC_THP_SPLIT], json_object_get(job, "thp_split"));
	if (json_is_number(json_object_get(job, "passes")))
		keep_larger(&sample->value[METRIC_PASSES],
			    json_number_value(json_object_get(job, "passes")));
	return 0;
}

void cell_summary(const struct cell_result *result, enum metric metric, struct stats_summary *out)
{
	double values[BENCH_MAX_REPS];

	for (unsigned int i = 0; i < result->count; i++)
		values[i] = result->sample[i].value[metric];
	stats_summarize(values, result->count, out);
}

double cell_median(const struct cell_result *result, enum metric metric)
{
	struct stats_summary summary;

	cell_summary(result, metric, &summary);
	return summary.median;
}

double cell_system_share(const struct cell_result *result)
{
	double user = 0, system = 0;

	for (unsigned int i = 0; i < result->count; i++) {
		const double *value = result->sample[i].value;

		user += isnan(value[METRIC_USER_SECONDS_PER_GB])
			    ? 0
			    : value[METRIC_USER_SECONDS_PER_GB];
		system += isnan(value[METRIC_SYSTEM_SECONDS_PER_GB])
			      ? 0
			      : value[METRIC_SYSTEM_SECONDS_PER_GB];
	}
	return user + system > 0 ? fmin(fmax(system / (user + system), 0), 1) : NAN;
}

/* Names and numbers of an axis, with its default when none was asked for. */
#define AXIS(list, count, fallback, i) ((count) ? (list)[i] : (fallback))
#define AXIS_LENGTH(count)	       ((count) ? (count) : 1)

size_t cell_product(const struct cell_axes *axes, uint64_t mem_bytes, struct cell *cells,
		    size_t max)
{
	const unsigned int length[] = {
	    AXIS_LENGTH(axes->pages),	      AXIS_LENGTH(axes->frame_kinds),
	    AXIS_LENGTH(axes->loads),	      AXIS_LENGTH(axes->modes),
	    AXIS_LENGTH(axes->thread_counts), AXIS_LENGTH(axes->vcpu_counts),
	    AXIS_LENGTH(axes->job_counts),    AXIS_LENGTH(axes->batches),
	    AXIS_LENGTH(axes->mems)};
	size_t total = 1;

	for (size_t a = 0; a < sizeof(length) / sizeof(length[0]); a++)
		total *= length[a];
	for (size_t n = 0; n < total && n < max; n++) {
		unsigned int at[9];
		size_t rest = n;

		for (int a = 8; a >= 0; a--) {
			at[a] = (unsigned int)(rest % length[a]);
			rest /= length[a];
		}
		cells[n] = (struct cell){
		    .mover = "uffd",
		    .page = AXIS(axes->page, axes->pages, "2M", at[0]),
		    .frames = AXIS(axes->frames, axes->frame_kinds, "recycled", at[1]),
		    .load = AXIS(axes->load, axes->loads, "write", at[2]),
		    .mode = AXIS(axes->mode, axes->modes, "readable", at[3]),
		    .threads = AXIS(axes->threads, axes->thread_counts, 1, at[4]),
		    .vcpus = AXIS(axes->vcpus, axes->vcpu_counts, 1, at[5]),
		    .jobs = AXIS(axes->jobs, axes->job_counts, 1, at[6]),
		    .batch = AXIS(axes->batch, axes->batches, 0, at[7]),
		    .mem_bytes = AXIS(axes->mem_bytes, axes->mems, mem_bytes, at[8]),
		};
	}
	return total;
}

bool cell_needs_nodes(const struct cell *cells, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (kernel_mover_is(cells[i].mover))
			return true;
	return false;
}

/* Modes, frames, workers and jobs are gmig's own; migratepages is one call. */
static struct cell peer_of(const struct cell *cell, const char *mover)
{
	return (struct cell){.mover = mover,
			     .mode = mover,
			     .page = cell->page,
			     .load = cell->load,
			     .frames = "kernel",
			     .threads = 1,
			     .vcpus = cell->vcpus,
			     .jobs = 1,
			     .mem_bytes = cell->mem_bytes,
			     .batch = strcmp(mover, kernel_mover_move_pages) ? 0 : cell->batch};
}

size_t cell_add_peers(struct cell *cells, size_t count, const char *mover, size_t max)
{
	size_t total = count;

	for (size_t i = 0; i < count && total < max; i++) {
		struct cell peer = peer_of(&cells[i], mover);
		bool there = kernel_mover_is(cells[i].mover);

		for (size_t j = count; j < total; j++)
			there |= cell_same_kind(&cells[j], &peer) &&
				 cells[j].mem_bytes == peer.mem_bytes;
		if (!there)
			cells[total++] = peer;
	}
	return total;
}

size_t cell_choose_movers(const struct cell_axes *axes, struct cell *cells, size_t count,
			  size_t max)
{
	size_t own = count, total = count;
	bool keep = !axes->movers;

	for (unsigned int m = 0; m < axes->movers; m++) {
		if (kernel_mover_is(axes->mover[m]))
			total = cell_add_peers(cells, total, axes->mover[m], max);
		else
			keep |= strcmp(axes->mover[m], cell_mover_virsh) != 0;
	}
	if (keep)
		return total;
	memmove(cells, cells + own, (total - own) * sizeof(*cells));
	return total - own;
}

/* What a row leaves out is one thread, one vCPU, one job. */
static size_t fill(const struct cell *preset, size_t count, uint64_t mem_bytes, struct cell *cells,
		   size_t max)
{
	for (size_t i = 0; i < count && i < max; i++) {
		cells[i] = preset[i];
		cells[i].mover = preset[i].mover ? preset[i].mover : "uffd";
		cells[i].threads = preset[i].threads ? preset[i].threads : 1;
		cells[i].vcpus = preset[i].vcpus ? preset[i].vcpus : 1;
		cells[i].jobs = preset[i].jobs ? preset[i].jobs : 1;
		cells[i].mem_bytes = mem_bytes;
	}
	return count;
}

#define CELL(p, f, l, m) .page = p, .frames = f, .load = l, .mode = m

size_t cell_target_preset(uint64_t mem_bytes, struct cell *cells, size_t max)
{
	static const struct cell preset[] = {
	    {CELL("2M", "recycled", "write", "readable")},
	    {CELL("2M", "fresh", "write", "readable")},
	    {CELL("2M", "recycled", "write", "block")},
	    {CELL("2M", "recycled", "read", "readable")},
	    {CELL("2M", "recycled", "idle", "readable")},
	    {CELL("4K", "recycled", "idle", "readable")},
	    {CELL("4K", "recycled", "idle", "readable"), .threads = 2, .batch = 512},
	    {CELL("4K", "recycled", "write", "readable")},
	    {CELL("4K", "fresh", "write", "readable")},
	    {CELL("2M", "fresh", "write", "readable"), .threads = 2},
	    {CELL("2M", "recycled", "idle", "readable"), .threads = 2},
	    {CELL("2M", "recycled", "write", "readable"), .jobs = 4},
	};

	return fill(preset, sizeof(preset) / sizeof(preset[0]), mem_bytes, cells, max);
}

size_t cell_quick_preset(uint64_t mem_bytes, struct cell *cells, size_t max)
{
	static const struct cell preset[] = {
	    {CELL("2M", "fresh", "write", "readable"), .name = "one-way move"},
	    {CELL("2M", "fresh", "write", "readable"), .threads = 2,
	     .name = "one-way, two workers"},
	    {CELL("2M", "recycled", "write", "readable"), .name = "back and forth"},
	    {CELL("2M", "recycled", "write", "block"), .name = "readers shut out too"},
	    {CELL("2M", "recycled", "write", "readable"), .jobs = 4, .name = "four jobs at once"},
	    {CELL("2M", "recycled", "read", "readable"), .name = "reading guest"},
	    {CELL("2M", "recycled", "idle", "readable"), .name = "idle guest"},
	    {CELL("2M", "recycled", "idle", "readable"), .threads = 2, .name = "idle, two workers"},
	    {CELL("4K", "recycled", "write", "readable"), .name = "small pages"},
	    {CELL("4K", "fresh", "write", "readable"), .name = "small pages, one-way"},
	};

	return fill(preset, sizeof(preset) / sizeof(preset[0]), mem_bytes, cells, max);
}

size_t cell_paper_preset(uint64_t mem_bytes, bool swap, struct cell *cells, size_t max)
{
	static const struct cell preset[] = {
	    {CELL("4K", "fresh", "write", "readable")},
	    {CELL("4K", "fresh", "write", "readable"), .jobs = 4},
	    {CELL("4K", "fresh", "idle", "block")},
	    {CELL("4K", "fresh", "idle", "block"), .jobs = 4},
	    {CELL("2M", "fresh", "write", "readable")},
	    {CELL("2M", "fresh", "write", "readable"), .jobs = 4},
	    {CELL("2M", "recycled", "write", "readable")},
	    {CELL("2M", "recycled", "write", "readable"), .jobs = 4},
	    /* The guest of the second pair, and pages that the kernel takes anew: the last, to be left out. */
	    {CELL("4K", "fresh", "idle", "swap"), .mover = cell_mover_swap},
	    {CELL("4K", "fresh", "idle", "swap"), .mover = cell_mover_swap, .jobs = 4},
	};
	size_t count = sizeof(preset) / sizeof(preset[0]);

	return fill(preset, swap ? count : count - 2, mem_bytes, cells, max);
}
