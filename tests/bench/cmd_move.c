/*
 * The studies: which cells, how often, and what the figures say beyond themselves.
 *
 * paper: what Christoph Lameter wrote to linux-mm in 2006 ("The current state and the future of
 * page migration"): with swap entries 600-900 MB/s for one migration and around 250 MB/s for 4
 * concurrent ones; with migration entries 800 MB/s to 1 GB/s, which "only slightly degrades for 4
 * concurrent processes". The figures with swap entries are of a migration that no longer wrote the pages out. The first one, of
 * 2005, did: gmig's mover swap is like it, and is measured where there is swap.
 */
#include "domain.h"
#include "host.h"
#include "study.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int no_lists(const struct bench_options *options, const char *command)
{
	if (!options->axes_given)
		return 0;
	fprintf(stderr, "gmig-bench: %s has cells of its own; lists are for move\n", command);
	return BENCH_USAGE;
}

/* On real nodes the kernel can move a process, too: the same guest on plain memory. */
static size_t add_peers(const struct bench_options *options, struct cell *cells, size_t count)
{
	if (options->fake_nodes || options->axes_given)
		return count;
	count = cell_add_peers(cells, count, kernel_mover_move_pages, BENCH_MAX_CELLS);
	return cell_add_peers(cells, count, kernel_mover_migratepages, BENCH_MAX_CELLS);
}

static size_t add_domain(const struct bench_options *options, struct cell *cells, size_t count)
{
	if (!options->domain)
		return count;
	return domain_add_cells(domain_facts(options->domain), &options->axes, cells, count,
				BENCH_MAX_CELLS);
}

/* Movers that were asked for, and have nothing to move here; NULL: none. */
static const char *mover_misused(const struct bench_options *options, size_t own, size_t all)
{
	bool virsh = false, peers_only = options->axes.movers > 0;

	for (unsigned int m = 0; m < options->axes.movers; m++) {
		virsh |= !strcmp(options->axes.mover[m], cell_mover_virsh);
		peers_only &= strcmp(options->axes.mover[m], "uffd") != 0;
	}
	if (peers_only && options->trace_path)
		return "--trace follows gmig's own, uffd";
	if (virsh && !options->domain)
		return "virsh moves a domain of libvirt: --domain NAME";
	if (options->domain && own == all)
		return "none of these movers moves a domain";
	return NULL;
}

/* ---- move, quick ----------------------------------------------------------------------------- */

int bench_move(const struct bench_options *options, const char *directory)
{
	static struct cell cells[BENCH_MAX_CELLS];
	struct study study = {.title = "Moving a guest's memory",
			      .groups = 1,
			      .reps = 9,
			      .min_reps = 7,
			      .judge = true};
	const char *misused;
	size_t own,
	    count = options->axes_given
			? cell_product(&options->axes, options->mem_bytes, cells, BENCH_MAX_CELLS)
			: cell_target_preset(options->mem_bytes, cells, BENCH_MAX_CELLS);

	if (count > BENCH_MAX_CELLS) {
		fprintf(stderr, "gmig-bench: %zu cells are more than %d\n", count, BENCH_MAX_CELLS);
		return BENCH_USAGE;
	}
	if (options->axes.movers)
		count = cell_choose_movers(&options->axes, cells, count, BENCH_MAX_CELLS);
	else
		count = add_peers(options, cells, count);
	if (options->fake_nodes && cell_needs_nodes(cells, count)) {
		fprintf(stderr, "gmig-bench: move_pages and migratepages move between real nodes: "
				"--fake-nodes 0\n");
		return BENCH_USAGE;
	}
	/* The targets are judged within two minutes, also on a slow day. */
	if (!options->axes_given)
		study.budget_seconds = 100;
	own = count;
	count = add_domain(options, cells, count);
	misused = mover_misused(options, own, count);
	if (misused) {
		fprintf(stderr, "gmig-bench: --mover: %s\n", misused);
		return BENCH_USAGE;
	}
	study.group[0].cells = cells;
	study.group[0].count = count;
	return study_run(&study, options, directory);
}

int bench_quick(const struct bench_options *options, const char *directory)
{
	uint64_t mem_bytes = options->mem_given ? options->mem_bytes : 256ull << 20;
	static struct cell cells[BENCH_MAX_CELLS];
	struct study study = {.title = "Ten ways to move a guest's memory",
			      .groups = 1,
			      .reps = 5,
			      .min_reps = 1,
			      .budget_seconds = 38};
	int usage = no_lists(options, "quick");
	size_t count;

	if (usage)
		return usage;
	count = add_peers(options, cells, cell_quick_preset(mem_bytes, cells, BENCH_MAX_CELLS));
	study.group[0].cells = cells;
	study.group[0].count = add_domain(options, cells, count);
	return study_run(&study, options, directory);
}

/* ---- paper ----------------------------------------------------------------------------------- */

#define SLIGHTLY 0.75 /* each of four has at least this share of the rate of one alone */

/* One pair of the preset: alone, and four at once. */
struct pair {
	const struct cell_result *one, *four;
	double one_rate, each_rate; /* bytes per second of one job */
};

static bool take_pair(const struct runner_report *report, size_t i, struct pair *pair)
{
	if (i + 1 >= report->count || report->results[i]->cell.jobs != 1 ||
	    report->results[i + 1]->cell.jobs != 4)
		return false;
	pair->one = report->results[i];
	pair->four = report->results[i + 1];
	pair->one_rate = cell_median(pair->one, METRIC_BYTES_PER_SECOND);
	pair->each_rate = cell_median(pair->four, METRIC_BYTES_PER_SECOND) / 4;
	return true;
}

#define SWAP_BYTES (256ull << 20) /* free, for four jobs */

/* One job over an idle guest of small pages by this mover; NULL: not measured. */
static const struct cell_result *idle_by(const struct runner_report *report, const char *mover)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct cell *cell = &report->results[i]->cell;

		if (!strcmp(cell->mover, mover) && !strcmp(cell->page, "4K") &&
		    !strcmp(cell->load, "idle") && cell->jobs == 1)
			return report->results[i];
	}
	return NULL;
}

static void conclude_swap(FILE *out, const struct runner_report *report)
{
	const struct cell_result *direct = idle_by(report, "uffd"),
				 *swap = idle_by(report, cell_mover_swap);
	char limit[256];
	uint64_t bytes = host_swap_bytes(limit, sizeof(limit));
	double direct_rate, swap_rate;

	if (!direct || !swap) {
		fprintf(out,
			"Direct against swap-based migration (2005): not measured; %s leaves %llu "
			"MiB of free swap, and %llu are needed.\n",
			!strcmp(limit, "host") ? "this host" : limit,
			(unsigned long long)bytes >> 20, SWAP_BYTES >> 20);
		return;
	}
	direct_rate = cell_median(direct, METRIC_BYTES_PER_SECOND);
	swap_rate = cell_median(swap, METRIC_BYTES_PER_SECOND);
	fprintf(out,
		"Direct against swap-based migration (2005), 4K, idle guest, one job: %.2f against "
		"%.2f GB/s, %.1f times; CPU %.2f against %.2f s/GB.\n",
		direct_rate * 1e-9, swap_rate * 1e-9, direct_rate / swap_rate,
		cell_median(direct, METRIC_CPU_SECONDS_PER_GB),
		cell_median(swap, METRIC_CPU_SECONDS_PER_GB));
}

static void conclude_paper(FILE *out, const struct runner_report *report)
{
	unsigned int cpus = host_cpus();
	struct pair pair;
	char name[96];

	fprintf(out,
		"\nOne migration against four at once, GB/s\n"
		"  %-34s %7s %9s %9s %9s %9s\n",
		"", "one", "each of 4", "4 in all", "each/one", "all/one");
	fprintf(out, "  %-34s %7s around 0.25\n", "2006, swap entries (Linux)", "0.6-0.9");
	fprintf(out, "  %-34s %7s \"only slightly degrades\"\n", "2006, migration entries (Linux)",
		"0.8-1.0");
	for (size_t i = 0; i < report->count; i += 2) {
		if (!take_pair(report, i, &pair))
			continue;
		cell_name(&pair.one->cell, name, sizeof(name));
		fprintf(out, "  %-34s %7.2f %9.2f %9.2f %9.2f %9.2f  %s\n", name,
			pair.one_rate * 1e-9, pair.each_rate * 1e-9, pair.each_rate * 4e-9,
			pair.each_rate / pair.one_rate, pair.each_rate * 4 / pair.one_rate,
			pair.each_rate >= SLIGHTLY * pair.one_rate
			    ? "the claim of 2006 holds: each slows only slightly"
			: pair.each_rate * 4 >= 0.95 * pair.one_rate
			    ? "each slows, all together do not: they share what one had"
			    : "four together are slower than one");
	}
	fprintf(out,
		"2006: four processes on a machine with CPUs for all; here: four jobs on one "
		"guest, %u CPU%s "
		"for four workers and the guest.\n",
		cpus, cpus == 1 ? "" : "s");
	conclude_swap(out, report);
}

static json_t *conclude_paper_json(const struct runner_report *report)
{
	const struct cell_result *direct = idle_by(report, "uffd"),
				 *swap = idle_by(report, cell_mover_swap);
	json_t *pairs = json_array(), *object;
	struct pair pair;
	char name[96];

	for (size_t i = 0; i < report->count; i += 2) {
		if (!take_pair(report, i, &pair))
			continue;
		cell_name(&pair.one->cell, name, sizeof(name));
		json_array_append_new(
		    pairs,
		    json_pack("{s:s, s:f, s:f, s:f, s:f}", "cell", name, "one_bytes_per_second",
			      pair.one_rate, "each_of_four_bytes_per_second", pair.each_rate,
			      "each_ratio", pair.each_rate / pair.one_rate, "aggregate_ratio",
			      pair.each_rate * 4 / pair.one_rate));
	}
	object = json_pack("{s:o}", "one_against_four", pairs);
	if (direct && swap)
		json_object_set_new(object, "direct_against_swap",
				    json_real(cell_median(direct, METRIC_BYTES_PER_SECOND) /
					      cell_median(swap, METRIC_BYTES_PER_SECOND)));
	else
		json_object_set_new(object, "movers_missing", json_pack("[s]", "swap"));
	return object;
}

int bench_paper(const struct bench_options *options, const char *directory)
{
	static struct cell cells[BENCH_MAX_CELLS];
	struct study study = {.title = "What was said of page migration in 2006, and now",
			      .groups = 1,
			      .reps = 7,
			      .conclude = conclude_paper,
			      .conclude_json = conclude_paper_json};
	int usage = no_lists(options, "paper");
	char limit[256];
	bool swap;

	if (usage)
		return usage;
	swap = host_swap_bytes(limit, sizeof(limit)) >= SWAP_BYTES;
	study.group[0].cells = cells;
	study.group[0].count = cell_paper_preset(options->mem_bytes, swap, cells, BENCH_MAX_CELLS);
	return study_run(&study, options, directory);
}

/* ---- full ------------------------------------------------------------------------------------ */

/* Each group varies what belongs together; their guests come and go with the group. */
#define EACH(field, count, number, ...) .field = {__VA_ARGS__}, .count = number
#define FRAMES				EACH(frames, frame_kinds, 2, "recycled", "fresh")
#define MODES				EACH(mode, modes, 2, "readable", "block")
#define LOADS				EACH(load, loads, 5, "idle", "write", "random", "read", "half")
#define PAGES				EACH(page, pages, 2, "2M", "4K")
static const struct cell_axes full_groups[] = {
    {EACH(page, pages, 1, "2M"), FRAMES, LOADS, MODES},
    {EACH(page, pages, 1, "4K"), FRAMES, LOADS, MODES},
    {PAGES, FRAMES, EACH(threads, thread_counts, 3, 1, 2, 4), EACH(jobs, job_counts, 3, 1, 2, 4)},
    {PAGES, EACH(vcpus, vcpu_counts, 3, 1, 2, 4)},
    {EACH(page, pages, 1, "4K"), EACH(load, loads, 2, "idle", "write"), MODES,
     EACH(batch, batches, 6, 1, 16, 64, 128, 256, 512)},
    {EACH(mem_bytes, mems, 5, 256ull << 20, 512ull << 20, 1ull << 30, 2ull << 30, 4ull << 30)},
    {EACH(mem_bytes, mems, 1, 8ull << 30)},
};

int bench_full(const struct bench_options *options, const char *directory)
{
	static struct cell cells[BENCH_MAX_CELLS];
	struct study study = {
	    .title = "Every way to move a guest's memory", .reps = 7, .judge = true};
	int usage = no_lists(options, "full");
	size_t used = 0;

	if (usage)
		return usage;
	for (size_t g = 0; g < sizeof(full_groups) / sizeof(full_groups[0]); g++) {
		size_t count = cell_product(&full_groups[g], options->mem_bytes, cells + used,
					    BENCH_MAX_CELLS - used);

		study.group[g].cells = cells + used;
		study.group[g].count = count;
		used += count;
	}
	study.groups = sizeof(full_groups) / sizeof(full_groups[0]);
	return study_run(&study, options, directory);
}
