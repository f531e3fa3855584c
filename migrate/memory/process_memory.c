#include "process_memory.h"

#include "claim.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdlib.h>

#define WINDOW_UNITS 4096u
/* Ranges that lie no further apart become one: two bytes of results a block are cheaper than a range. */
#define JOIN_PAGES (64ull << 18) /* 64 GiB */

struct gmig_node_set process_targets(const struct gmig_job_spec *spec)
{
	struct gmig_node_set set = {{0}};

	for (unsigned int i = 0; i < spec->to_count; i++)
		gmig_node_set_add(&set, spec->to[i]);
	return set;
}

/* ---- Ranges ------------------------------------------------------------------------------------ */

static int add_range(struct memory_range *ranges, size_t count,
		     const struct process_mapping *mapping)
{
	uint64_t block = GMIG_BLOCK_BYTES;
	uint64_t first = mapping->start / block * GMIG_BLOCK_PAGES;
	uint64_t end = (mapping->end + block - 1) / block * GMIG_BLOCK_PAGES;
	struct memory_range *last = count ? &ranges[count - 1] : NULL;

	if (last && first <= last->gfn + last->pages + JOIN_PAGES) {
		if (end > last->gfn + last->pages)
			last->pages = end - last->gfn;
		return 0;
	}
	ranges[count] = (struct memory_range){first, end - first};
	return 1;
}

/* Of a job over a part: what is another mapping's, beside it or between, must not count. */
static int add_part(struct memory_range *ranges, size_t count,
		    const struct process_mapping *mapping)
{
	uint64_t block = GMIG_BLOCK_BYTES;
	uint64_t first = (mapping->start + block - 1) / block, end = mapping->end / block;

	if (first >= end)
		return 0;
	ranges[count] =
	    (struct memory_range){first * GMIG_BLOCK_PAGES, (end - first) * GMIG_BLOCK_PAGES};
	return 1;
}

/* All that can be moved; part: what counts as memory of a job that is limited. */
static size_t choose_ranges(struct gmig_process *process, const struct process_maps *maps,
			    bool part, struct memory_range *ranges)
{
	size_t count = 0;

	for (size_t i = 0; i < maps->count; i++) {
		const struct process_mapping *mapping = &maps->mapping[i];

		if (process_mapping_fixed(mapping))
			continue;
		if (!part)
			count += (size_t)add_range(ranges, count, mapping);
		else if (process->counts(process->memory.opaque, mapping->start, mapping->end))
			count += (size_t)add_part(ranges, count, mapping);
	}
	return count;
}

/* The maps as they are now; workers of this job and of others scan meanwhile, so that they are kept out. */
static int read_maps(struct gmig_process *process, struct process_maps *maps)
{
	int ret;

	pthread_rwlock_wrlock(&process->lock);
	ret = process_maps_read(process->process, maps, NULL);
	pthread_rwlock_unlock(&process->lock);
	return ret;
}

/* Of a job that leaves nodes, which nodes its mappings lie on as a whole, too: walk_present() need not ask for these page by page. */
static int process_ranges(struct memory *memory, const struct gmig_job_spec *spec,
			  struct memory_range **ranges, size_t *count)
{
	struct gmig_process *process = process_of(memory);
	struct process_maps maps, old;
	int ret = read_maps(process, &maps);

	*count = 0;
	*ranges = NULL;
	if (ret)
		return ret;
	*ranges = calloc(maps.count + 1, sizeof(**ranges));
	if (!*ranges) {
		process_maps_free(&maps);
		return -ENOMEM;
	}
	*count = choose_ranges(process, &maps, process->counts && spec->max_bytes, *ranges);
	if (spec->from_count && process_scans(process))
		(void)process_maps_locate(process->process,
					  &maps); /* else each page is asked for */
	pthread_rwlock_wrlock(&process->lock);
	old = process->maps;
	process->maps = maps;
	pthread_rwlock_unlock(&process->lock);
	process_maps_free(&old);
	return 0;
}

static void process_refresh(struct memory *memory, const struct memory_range *range,
			    bool (*stop)(void *arg), void *arg)
{
	(void)memory, (void)range, (void)stop, (void)arg;
}

/* ---- The walk ---------------------------------------------------------------------------------- */

/* What is there and where, by address, of as much as has room, or as is known in the same way. */
struct window {
	struct gmig_process *process;
	bool believe;	     /* what was said of mappings as a whole */
	bool known;	     /* it was: nobody is asked for the pages of this window */
	uint64_t start, end; /* addresses; end moves to where the room ended */
	size_t count;
	void *address[WINDOW_UNITS];
	int node[WINDOW_UNITS];
	bool huge[WINDOW_UNITS]; /* a block */
};

/* node: of all of the mapping; < 0: to be asked for. */
static void add_run(struct window *window, const struct process_mapping *mapping, int node,
		    const struct process_run *run)
{
	/* Of a page that is larger than a block, each block is asked for. */
	bool huge = process_unit_pages(mapping, run) >= GMIG_BLOCK_PAGES;
	uint64_t step = huge ? GMIG_BLOCK_BYTES : GMIG_PAGE_BYTES;

	if (run->zero || run->swapped)
		return;
	for (uint64_t at = run->start; at < run->end && at < window->end; at += step) {
		if (window->count == WINDOW_UNITS) {
			window->end = at;
			return;
		}
		window->huge[window->count] = huge;
		window->node[window->count] = node;
		window->address[window->count++] = (void *)(uintptr_t)at; // NOLINT
	}
}

static int scan_mapping(struct window *window, const struct process_mapping *mapping, int node)
{
	const struct process *process = window->process->process;
	uint64_t at = mapping->start > window->start ? mapping->start : window->start;
	struct process_run runs[PROCESS_RUNS];

	/* Without a scan it would be asked for page by page. */
	if (!process->can_scan && !mapping->resident_bytes)
		return 0;
	while (at < mapping->end && at < window->end) {
		uint64_t end = mapping->end < window->end ? mapping->end : window->end;
		int found = process_scan(process, mapping, &at, end, runs);

		if (found < 0)
			return found;
		for (int i = 0; i < found; i++)
			add_run(window, mapping, node, &runs[i]);
		if (window->count == WINDOW_UNITS && at < window->end)
			window->end = at;
	}
	return 0;
}

uint64_t process_page_size(struct gmig_process *process, uint64_t gfn)
{
	const struct process_maps *maps = &process->maps;
	uint64_t pages = 1;
	size_t i;

	pthread_rwlock_rdlock(&process->lock);
	i = process_mapping_at(maps, gfn * GMIG_PAGE_BYTES);
	if (i < maps->count && maps->mapping[i].start <= gfn * GMIG_PAGE_BYTES)
		pages = maps->mapping[i].page_bytes / GMIG_PAGE_BYTES;
	pthread_rwlock_unlock(&process->lock);
	return pages;
}

bool process_scans(struct gmig_process *process)
{
	bool scans;

	pthread_rwlock_rdlock(&process->lock);
	scans = process->process->can_scan;
	pthread_rwlock_unlock(&process->lock);
	return scans;
}

/* One mapping more; false: it is known in another way than those before, and begins the next window. */
static bool joins(struct window *window, const struct process_mapping *mapping, int node)
{
	bool known = node >= 0;

	if (window->count && known != window->known) {
		window->end = mapping->start;
		return false;
	}
	window->known = known;
	return true;
}

/* Under the lock. */
static int scan_mappings(struct window *window)
{
	const struct process_maps *maps = &window->process->maps;
	int ret = 0;

	for (size_t i = process_mapping_at(maps, window->start);
	     !ret && i < maps->count && maps->mapping[i].start < window->end; i++) {
		int node = window->believe && maps->node ? maps->node[i] : -1;

		if (process_mapping_fixed(&maps->mapping[i]))
			continue;
		if (!joins(window, &maps->mapping[i], node))
			break;
		ret = scan_mapping(window, &maps->mapping[i], node);
	}
	return ret;
}

static int scan_window(struct window *window)
{
	struct gmig_process *process = window->process;
	const struct movepages by = {.call = process->memory.sys->move_pages,
				     .pid = process->process->entry,
				     .flags = MPOL_MF_MOVE};
	int ret;

	window->count = 0;
	window->known = false;
	pthread_rwlock_rdlock(&process->lock);
	ret = scan_mappings(window);
	pthread_rwlock_unlock(&process->lock);
	if (ret || window->known)
		return ret;
	return movepages_ask(&by, window->count, window->address, window->node);
}

static int visit_none(uint64_t gfn, uint64_t end, shadow_visit *visit, void *arg)
{
	const struct shadow_entry none = {.state = SHADOW_NONE, .node = GMIG_NO_NODE};
	const struct shadow_entry none_block = {
	    .state = SHADOW_NONE, .order = 9, .node = GMIG_NO_NODE};
	int ret = 0;

	while (!ret && gfn < end) {
		bool block = gfn % GMIG_BLOCK_PAGES == 0 && end - gfn >= GMIG_BLOCK_PAGES;

		ret = visit(arg, gfn, block ? &none_block : &none);
		gfn += block ? GMIG_BLOCK_PAGES : 1;
	}
	return ret;
}

/* holes: visit what has no memory, too. */
static int visit_window(const struct window *window, bool holes, shadow_visit *visit, void *arg)
{
	uint64_t gfn = window->start / GMIG_PAGE_BYTES;
	int ret = 0;

	for (size_t i = 0; !ret && i < window->count; i++) {
		uint64_t at = (uint64_t)(uintptr_t)window->address[i] / GMIG_PAGE_BYTES;
		struct shadow_entry entry = {.state = SHADOW_PRESENT,
					     .order = window->huge[i] ? 9 : 0,
					     .node = (uint16_t)window->node[i]};

		if (window->node[i] < 0)
			continue;
		if (holes)
			ret = visit_none(gfn, at, visit, arg);
		if (!ret)
			ret = visit(arg, at, &entry);
		gfn = at + (window->huge[i] ? GMIG_BLOCK_PAGES : 1);
	}
	return ret || !holes ? ret : visit_none(gfn, window->end / GMIG_PAGE_BYTES, visit, arg);
}

static int walk(struct memory *memory, const struct memory_range *range, bool believe,
		shadow_visit *visit, void *arg)
{
	struct window *window = malloc(sizeof(*window));
	uint64_t end = (range->gfn + range->pages) * GMIG_PAGE_BYTES;
	int ret = 0;

	if (!window)
		return -ENOMEM;
	window->process = process_of(memory);
	window->believe = believe;
	for (uint64_t at = range->gfn * GMIG_PAGE_BYTES; !ret && at < end; at = window->end) {
		window->start = at;
		window->end = end;
		ret = scan_window(window);
		if (!ret)
			ret = visit_window(window, range->pages <= GMIG_BLOCK_PAGES, visit, arg);
	}
	free(window);
	return ret;
}

/* Where nothing is mapped is passed over, but within one block. */
static int process_walk(struct memory *memory, uint64_t gfn, uint64_t pages, shadow_visit *visit,
			void *arg)
{
	const struct memory_range range = {gfn, pages};

	return walk(memory, &range, false, visit, arg);
}

static int process_walk_present(struct memory *memory, uint64_t gfn, uint64_t pages,
				shadow_visit *visit, void *arg)
{
	const struct memory_range range = {gfn, pages};

	return walk(memory, &range, true, visit, arg);
}

/* Pages may have come while the walk went on, and on another node than those that were there. Of such mappings each page is asked for. */
static bool process_held(struct memory *memory)
{
	struct gmig_process *process = process_of(memory);
	struct process_maps now;
	bool held = true;

	pthread_rwlock_wrlock(&process->lock);
	now = (struct process_maps){process->maps.mapping, process->maps.count, NULL};
	if (process->maps.node && process_maps_locate(process->process, &now)) {
		process_maps_forget(&process->maps);
		held = false;
	}
	for (size_t i = 0; now.node && i < now.count; i++)
		if (process->maps.node[i] >= 0 && now.node[i] != process->maps.node[i]) {
			process->maps.node[i] = -1;
			held = false;
		}
	process_maps_forget(&now);
	pthread_rwlock_unlock(&process->lock);
	return held;
}

/* ---- The rest ---------------------------------------------------------------------------------- */

static void process_claim(struct memory *memory, struct claim *claim, struct bits *refused)
{
	(void)memory, (void)claim;
	*refused = (struct bits){{0}};
}

static void process_settle(struct claim *claim, const struct claim_result *result)
{
	(void)claim, (void)result;
}

static void process_abandon(struct claim *claim)
{
	(void)claim;
}

/* Also asked in mid-job: it may have ended, or its cpuset may have changed. */
static int process_ready(struct memory *memory, const struct gmig_job_spec *spec,
			 struct gmig_error *err)
{
	const struct gmig_node_set targets = process_targets(spec);
	struct gmig_process *process = process_of(memory);
	pid_t tid;
	int ret = process_check(process->process, err);

	return ret ? ret : process_thread_for(process->process, &targets, &tid, err);
}

static uint8_t *process_address(struct memory *memory, uint64_t gfn)
{
	(void)memory;
	return (uint8_t *)(uintptr_t)(gfn * GMIG_PAGE_BYTES); // NOLINT(performance-no-int-to-ptr)
}

static int process_query(struct memory *memory, size_t count, const uint64_t *gfns, int *status)
{
	const struct movepages by = {.call = memory->sys->move_pages,
				     .pid = process_of(memory)->process->entry,
				     .flags = MPOL_MF_MOVE};
	void *pages[GMIG_BLOCK_PAGES];

	for (size_t i = 0; i < count; i++)
		pages[i] = process_address(memory, gfns[i]);
	return movepages_ask(&by, count, pages, status);
}

static const char *process_kind(struct memory *memory, const struct gmig_job_spec *spec,
				unsigned int i)
{
	(void)memory, (void)spec;
	return i ? NULL : "process";
}

const struct memory_ops process_ops = {
    .name = "process",
    .unclaimed = true,
    .ranges = process_ranges,
    .refresh = process_refresh,
    .walk = process_walk,
    .walk_present = process_walk_present,
    .held = process_held,
    .query = process_query,
    .kind = process_kind,
    .address = process_address,
    .claim = process_claim,
    .settle = process_settle,
    .abandon = process_abandon,
    .ready = process_ready,
};
