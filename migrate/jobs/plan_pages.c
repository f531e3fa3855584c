#include "plan_pages.h"

#include <errno.h>
#include <stdlib.h>

struct page_list *page_list_create(size_t count)
{
	struct page_list *list = malloc(sizeof(*list) + count * sizeof(list->run[0]));

	if (!list)
		return NULL;
	atomic_init(&list->refs, 1);
	list->count = count;
	list->whole = false;
	return list;
}

struct page_list *page_list_get(struct page_list *list)
{
	if (list)
		atomic_fetch_add(&list->refs, 1);
	return list;
}

void page_list_put(struct page_list *list)
{
	if (list && atomic_fetch_sub(&list->refs, 1) == 1)
		free(list);
}

static uint64_t run_end(const struct page_run *run)
{
	return run->gfn + run->pages;
}

/* ---- Making: sorted, apart, as few runs as there can be --------------------------------------- */

static bool is_made(const struct page_list *list)
{
	for (size_t i = 1; i < list->count; i++) {
		const struct page_run *before = &list->run[i - 1], *run = &list->run[i];

		if (run->gfn < run_end(before) ||
		    (run->gfn == run_end(before) && run->node == before->node))
			return false;
	}
	return true;
}

/* Behind all that is there. */
static void append(struct page_list *list, struct page_run run)
{
	struct page_run *last = list->count ? &list->run[list->count - 1] : NULL;

	if (last && run_end(last) == run.gfn && last->node == run.node)
		last->pages += run.pages;
	else
		list->run[list->count++] = run;
}

/* Entries that begin at or before the place, the one that was written last on top. */
struct heap {
	uint32_t *entry;
	size_t count;
};

static void heap_push(struct heap *heap, uint32_t entry)
{
	size_t at = heap->count++;

	for (; at && heap->entry[(at - 1) / 2] < entry; at = (at - 1) / 2)
		heap->entry[at] = heap->entry[(at - 1) / 2];
	heap->entry[at] = entry;
}

static void heap_pop(struct heap *heap)
{
	uint32_t entry = heap->entry[--heap->count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < heap->count) {
		if (child + 1 < heap->count && heap->entry[child + 1] > heap->entry[child])
			child++;
		if (heap->entry[child] < entry)
			break;
		heap->entry[at] = heap->entry[child];
		at = child;
	}
	heap->entry[at] = entry;
}

static int by_gfn(const void *a, const void *b, void *arg)
{
	const struct page_list *list = arg;
	uint64_t left = list->run[*(const uint32_t *)a].gfn,
		 right = list->run[*(const uint32_t *)b].gfn;

	return left < right ? -1 : left > right;
}

/* Along the addresses: up to where the entry on top ends, or another one begins, it decides. */
static void sweep(const struct page_list *list, const uint32_t *order, struct heap *heap,
		  struct page_list *out)
{
	size_t next = 0;
	uint64_t at = 0, end;

	while (next < list->count || heap->count) {
		const struct page_run *top;

		if (heap->count && run_end(&list->run[heap->entry[0]]) <= at) {
			heap_pop(heap);
			continue;
		}
		if (!heap->count)
			at = list->run[order[next]].gfn;
		while (next < list->count && list->run[order[next]].gfn <= at)
			heap_push(heap, order[next++]);
		top = &list->run[heap->entry[0]];
		end = run_end(top);
		if (next < list->count && list->run[order[next]].gfn < end)
			end = list->run[order[next]].gfn;
		if (end > at)
			append(out, (struct page_run){at, top->node, end - at});
		at = end > at ? end : at;
	}
}

/* Each entry begins a run, and may go on in another one behind each that it was cut by. */
static int pages_make(struct plan *plan)
{
	struct page_list *list = plan->list, *fit;
	struct page_list *made = page_list_create(2 * list->count);
	uint32_t *order = malloc((2 * list->count + 1) * sizeof(*order));
	struct heap heap = {.entry = order ? order + list->count : NULL};

	if (!made || !order) {
		page_list_put(made);
		free(order);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < list->count; i++)
		order[i] = i;
	made->count = 0;
	made->whole = list->whole;
	if (!is_made(list)) {
		qsort_r(order, list->count, sizeof(*order), by_gfn, list);
		sweep(list, order, &heap, made);
		fit = realloc(made, sizeof(*made) + made->count * sizeof(made->run[0]));
		plan->list = fit ? fit : made;
		made = list;
	}
	page_list_put(made);
	free(order);
	return 0;
}

/* ---- Asking ------------------------------------------------------------------------------------ */

/* The first run that ends behind gfn. */
static size_t find(const struct page_list *list, uint64_t gfn)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (run_end(&list->run[middle]) <= gfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t page_list_covers(const struct page_list *list, uint64_t gfn, uint64_t pages)
{
	uint64_t end = gfn + pages, covered = 0;

	for (size_t i = find(list, gfn); i < list->count && list->run[i].gfn < end; i++) {
		uint64_t from = list->run[i].gfn > gfn ? list->run[i].gfn : gfn;
		uint64_t to = run_end(&list->run[i]) < end ? run_end(&list->run[i]) : end;

		covered += to - from;
	}
	return covered;
}

/* Behind what is there, or partly in it. */
static void join_run(struct page_list *list, const struct page_run *run)
{
	struct page_run *last = list->count ? &list->run[list->count - 1] : NULL;

	if (!last || run_end(last) < run->gfn)
		list->run[list->count++] = (struct page_run){run->gfn, 0, run->pages};
	else if (run_end(run) > run_end(last))
		last->pages = run_end(run) - last->gfn;
}

struct page_list *page_list_join(const struct page_list *a, const struct page_list *b)
{
	size_t in_a = a ? a->count : 0, in_b = b ? b->count : 0, i = 0, k = 0;
	struct page_list *both = page_list_create(in_a + in_b), *fit;

	if (!both)
		return NULL;
	both->count = 0;
	while (i < in_a || k < in_b) {
		bool is_a = k == in_b || (i < in_a && a->run[i].gfn < b->run[k].gfn);

		join_run(both, is_a ? &a->run[i++] : &b->run[k++]);
	}
	fit = realloc(both, sizeof(*both) + both->count * sizeof(both->run[0]));
	return fit ? fit : both;
}

static int run_by_gfn(const void *a, const void *b)
{
	const struct page_run *left = a, *right = b;

	return left->gfn < right->gfn ? -1 : left->gfn > right->gfn;
}

struct page_list *page_list_sorted(struct page_list *list)
{
	if (list)
		qsort(list->run, list->count, sizeof(list->run[0]), run_by_gfn);
	return list;
}

static unsigned int pages_target(const struct plan *plan, uint64_t gfn, unsigned int order,
				 unsigned int node)
{
	const struct page_list *list = plan->list;
	uint64_t end = gfn + (order ? GMIG_BLOCK_PAGES : 1);
	size_t i = list ? find(list, gfn) : 0;
	const struct page_run *run;

	if (!list || i == list->count || list->run[i].gfn >= end)
		return GMIG_NO_NODE;
	run = &list->run[i];
	if (list->whole || (run->gfn <= gfn && run_end(run) >= end))
		return run->node == node ? GMIG_NO_NODE : run->node;
	for (; i < list->count && list->run[i].gfn < end; i++)
		if (list->run[i].node != node)
			return PLAN_SPLIT;
	return GMIG_NO_NODE;
}

/* ---- Which blocks ------------------------------------------------------------------------------ */

/* The blocks of the list that lie in ranges; out: NULL to count them. */
static size_t cut(const struct page_list *list, const struct memory_range *ranges, size_t count,
		  struct memory_range *out)
{
	uint64_t block = GMIG_BLOCK_PAGES, done = 0; /* where the last part ends */
	size_t parts = 0, r = 0, last = 0;

	for (size_t i = 0; i < list->count; i++) {
		uint64_t first = list->run[i].gfn / block * block;
		uint64_t end = (run_end(&list->run[i]) + block - 1) / block * block;

		while (r < count && ranges[r].gfn + ranges[r].pages <= first)
			r++;
		for (size_t k = r; k < count && ranges[k].gfn < end; k++) {
			uint64_t from = first > ranges[k].gfn ? first : ranges[k].gfn;
			uint64_t to = ranges[k].gfn + ranges[k].pages;

			from = from > done ? from : done;
			to = to < end ? to : end;
			if (from >= to)
				continue;
			if (!parts || from != done || k != last) {
				if (out)
					out[parts] = (struct memory_range){from, 0};
				parts++;
			}
			if (out)
				out[parts - 1].pages += to - from;
			done = to;
			last = k;
		}
	}
	return parts;
}

static int pages_narrow(const struct plan *plan, struct memory_range **ranges, size_t *count)
{
	size_t parts = cut(plan->list, *ranges, *count, NULL);
	struct memory_range *out = malloc((parts + 1) * sizeof(*out));

	if (!out)
		return -ENOMEM;
	*count = cut(plan->list, *ranges, *count, out);
	free(*ranges);
	*ranges = out;
	return 0;
}

static void pages_forget(struct plan *plan)
{
	if (plan->list->count <= PAGE_LIST_ENDED)
		return;
	page_list_put(plan->list);
	plan->list = NULL;
	plan->forgotten = true;
}

static void pages_destroy(struct plan *plan)
{
	page_list_put(plan->list);
	plan->list = NULL;
}

static const struct plan_ops plan_pages = {
    .name = "pages",
    .make = pages_make,
    .target = pages_target,
    .narrow = pages_narrow,
    .forget = pages_forget,
    .destroy = pages_destroy,
};

void plan_pages_create(struct page_list *list, struct plan *plan)
{
	*plan = (struct plan){.ops = &plan_pages, .list = list};
	for (size_t i = 0; i < list->count; i++)
		gmig_node_set_add(&plan->targets, list->run[i].node);
}
