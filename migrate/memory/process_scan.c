/* What lies where in a process, see process.h. */
#include "process.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>

#define HUGE_BYTES (MOVEPAGES_HUGE_PAGES * MOVEPAGES_PAGE_BYTES)
#define ASK_PAGES  4096
/* One scan: what is found behind what the caller has room for would be scanned again. */
#define SCAN_BYTES (16ull << 20)

/* ---- Runs ------------------------------------------------------------------------------------ */

static struct process_run run_of(const struct process_mapping *mapping,
				 const struct page_region *region)
{
	bool present = region->categories & PAGE_IS_PRESENT;
	bool whole = region->start % HUGE_BYTES == 0 && region->end % HUGE_BYTES == 0;

	return (struct process_run){
	    .start = region->start,
	    .end = region->end,
	    .huge = present && whole && region->categories & PAGE_IS_HUGE &&
		    mapping->kind != PROCESS_HUGETLB,
	    .zero = present && region->categories & PAGE_IS_PFNZERO,
	    .swapped = !present,
	};
}

/* Whole pages, however large. */
static uint64_t scan_end(const struct process_mapping *mapping, uint64_t at, uint64_t end)
{
	uint64_t step = mapping->page_bytes > SCAN_BYTES ? mapping->page_bytes : SCAN_BYTES;

	return end - at > step ? at - at % step + step : end;
}

int process_scan(const struct process *process, const struct process_mapping *mapping, uint64_t *at,
		 uint64_t end, struct process_run runs[PROCESS_RUNS])
{
	struct page_region regions[PROCESS_RUNS];
	struct pm_scan_arg arg = {
	    .size = sizeof(arg),
	    .start = *at,
	    .end = scan_end(mapping, *at, end),
	    .vec = (uintptr_t)regions,
	    .vec_len = PROCESS_RUNS,
	    .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	    .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO | PAGE_IS_HUGE,
	};
	int found;

	if (!process->can_scan) {
		runs[0] = (struct process_run){.start = *at, .end = end, .guess = true};
		*at = end;
		return 1;
	}
	found = process->sys->ioctl(process->pagemap, PAGEMAP_SCAN, &arg);
	if (found < 0)
		return found;
	for (int i = 0; i < found; i++)
		runs[i] = run_of(mapping, &regions[i]);
	/* Nothing found, or a kernel that does not say how far it came. */
	if (arg.walk_end > *at && arg.walk_end < arg.end)
		*at = arg.walk_end;
	else
		*at = arg.end;
	return found;
}

uint32_t process_unit_pages(const struct process_mapping *mapping, const struct process_run *run)
{
	if (mapping->kind == PROCESS_HUGETLB)
		return (uint32_t)(mapping->page_bytes / MOVEPAGES_PAGE_BYTES);
	return run->huge ? MOVEPAGES_HUGE_PAGES : 1;
}

/* ---- Sums ------------------------------------------------------------------------------------ */

struct count {
	const struct process *process;
	struct process_usage *usage;
	void *page[ASK_PAGES];
	int status[ASK_PAGES];
};

static int ask(struct count *count, size_t pages, uint64_t unit_bytes, uint64_t *on)
{
	const struct movepages by = {.call = count->process->sys->move_pages,
				     .pid = count->process->entry,
				     .flags = MPOL_MF_MOVE};
	int ret = movepages_ask(&by, pages, count->page, count->status);

	for (size_t i = 0; !ret && i < pages; i++)
		if (count->status[i] >= 0 && count->status[i] < (int)GMIG_MAX_NODES)
			on[count->status[i]] += unit_bytes;
	return ret;
}

static int count_run(struct count *count, const struct process_mapping *mapping,
		     const struct process_run *run)
{
	struct process_usage *usage = count->usage;
	uint64_t unit_bytes = process_unit_pages(mapping, run) * MOVEPAGES_PAGE_BYTES;
	uint64_t *on = mapping->kind == PROCESS_HUGETLB ? usage->hugetlb_bytes
		       : run->huge			? usage->huge_bytes
							: usage->small_bytes;
	uint64_t at = run->start;
	int ret = 0;

	if (run->zero)
		usage->zero_bytes += run->end - run->start;
	if (run->zero || run->swapped)
		return 0;
	while (!ret && at < run->end) {
		size_t pages = 0;

		for (; pages < ASK_PAGES && at < run->end; at += unit_bytes)
			count->page[pages++] = (void *)(uintptr_t)at; // NOLINT
		ret = ask(count, pages, unit_bytes, on);
	}
	return ret;
}

static int count_mapping(struct count *count, const struct process_mapping *mapping)
{
	struct process_run runs[PROCESS_RUNS];
	uint64_t at = mapping->start;
	int ret = 0;

	while (!ret && at < mapping->end) {
		int found = process_scan(count->process, mapping, &at, mapping->end, runs);

		if (found < 0)
			return found;
		for (int i = 0; !ret && i < found; i++)
			ret = count_run(count, mapping, &runs[i]);
	}
	return ret;
}

/* What smaps says. */
static void count_smaps(struct process_usage *usage, const struct process_mapping *mapping)
{
	uint64_t there = mapping->resident_bytes + mapping->swapped_bytes;
	uint64_t size = mapping->end - mapping->start;

	usage->swapped_bytes += mapping->swapped_bytes;
	if (process_mapping_fixed(mapping)) {
		usage->fixed_bytes += mapping->resident_bytes;
		return;
	}
	usage->shared_bytes += mapping->shared_bytes;
	usage->untouched_bytes += size > there ? size - there : 0;
}

static int count_all(struct count *count, const struct process_maps *maps)
{
	struct process_usage *usage = count->usage;
	int ret = 0;

	for (size_t i = 0; !ret && i < maps->count; i++) {
		const struct process_mapping *mapping = &maps->mapping[i];

		count_smaps(usage, mapping);
		/* A scan of what was never touched costs next to nothing, and finds zero pages. */
		if (!process_mapping_fixed(mapping) &&
		    (mapping->resident_bytes || count->process->can_scan))
			ret = count_mapping(count, mapping);
	}
	/* The zero page is not resident to smaps. */
	usage->untouched_bytes -=
	    usage->zero_bytes < usage->untouched_bytes ? usage->zero_bytes : usage->untouched_bytes;
	return ret;
}

int process_usage_read(const struct process *process, const struct process_maps *maps,
		       struct process_usage *usage, struct gmig_error *err)
{
	struct count *count = malloc(sizeof(*count));
	int ret, ended;

	memset(usage, 0, sizeof(*usage));
	usage->huge_known = process->can_scan;
	if (!count)
		return gmig_fail(err, -ENOMEM, "out of memory");
	count->process = process;
	count->usage = usage;
	ret = count_all(count, maps);
	free(count);
	ended = process_check(process, err);
	if (ended)
		return ended;
	if (ret)
		return gmig_fail(err, ret, "where the memory of process %d (%s) lies: %s",
				 (int)process->pid, process->name, strerror(-ret));
	return 0;
}

uint64_t process_usage_on(const struct process_usage *usage, unsigned int node)
{
	return usage->small_bytes[node] + usage->huge_bytes[node] + usage->hugetlb_bytes[node];
}
