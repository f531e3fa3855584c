#include "ledger.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Written under lock; atomic, because single numbers are read without it. */
struct ledger {
	pthread_mutex_t lock;
	atomic_long pages[GMIG_MAX_NODES][LEDGER_ACCOUNTS];
	atomic_long total[LEDGER_ACCOUNTS];		  /* of all nodes */
	atomic_long sizes[2];				  /* MAPPED pages of 4K and of 2M entries */
	_Atomic(atomic_long *) resident[GMIG_MAX_VNODES]; /* by node */
	atomic_long swapped[GMIG_MAX_VNODES];
	struct ledger_count *counts; /* guarded by lock, like what is in them */
	unsigned int pool_count;     /* guarded by lock, like the next: number of the count */
	long pool_tally[GMIG_MAX_NODES];
};

struct ledger_count {
	struct ledger *ledger;
	struct ledger_count *next;
	uint64_t reached; /* 0: nothing yet */
	long sizes[2];
	long mapped[GMIG_MAX_NODES], swapped[GMIG_MAX_NODES];
	long swapped_of[GMIG_MAX_VNODES];
	/* Most vnodes do not exist, and memory that nobody touches costs nothing. */
	long resident[GMIG_MAX_VNODES][GMIG_MAX_NODES];
};

int ledger_create(struct ledger **out)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return -ENOMEM;
	pthread_mutex_init(&ledger->lock, NULL);
	*out = ledger;
	return 0;
}

void ledger_destroy(struct ledger *ledger)
{
	if (!ledger)
		return;
	for (unsigned int vnode = 0; vnode < GMIG_MAX_VNODES; vnode++)
		free(ledger->resident[vnode]);
	pthread_mutex_destroy(&ledger->lock);
	free(ledger);
}

/* Callers hold the lock: no other writer, so that a plain load and store do. */
static void add(atomic_long *number, long pages)
{
	atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + pages,
			      memory_order_relaxed);
}

static void transfer(struct ledger *ledger, unsigned int node, enum ledger_account from,
		     enum ledger_account to, long pages)
{
	add(&ledger->pages[node][from], -pages);
	add(&ledger->pages[node][to], pages);
	add(&ledger->total[from], -pages);
	add(&ledger->total[to], pages);
}

void ledger_post(struct ledger *ledger, unsigned int node, enum ledger_account from,
		 enum ledger_account to, long pages)
{
	if (!pages)
		return;
	pthread_mutex_lock(&ledger->lock);
	transfer(ledger, node, from, to, pages);
	pthread_mutex_unlock(&ledger->lock);
}

void ledger_post_pool(struct ledger *ledger, unsigned int node, enum ledger_account from,
		      enum ledger_account to, long pages, unsigned int counted)
{
	if (!pages)
		return;
	pthread_mutex_lock(&ledger->lock);
	transfer(ledger, node, from, to, pages);
	if (counted == ledger->pool_count)
		ledger->pool_tally[node] += to == LEDGER_POOL ? pages : -pages;
	pthread_mutex_unlock(&ledger->lock);
}

void ledger_relabel(struct ledger *ledger, unsigned int from, unsigned int to, long pages)
{
	pthread_mutex_lock(&ledger->lock);
	transfer(ledger, from, LEDGER_FLIGHT, LEDGER_OUTSIDE, pages);
	transfer(ledger, to, LEDGER_OUTSIDE, LEDGER_FLIGHT, pages);
	pthread_mutex_unlock(&ledger->lock);
}

int ledger_add_vnode(struct ledger *ledger, unsigned int vnode)
{
	atomic_long *resident;

	if (atomic_load(&ledger->resident[vnode]))
		return 0;
	resident = calloc(GMIG_MAX_NODES, sizeof(*resident));
	if (!resident)
		return -ENOMEM;
	atomic_store(&ledger->resident[vnode], resident);
	return 0;
}

/* Callers hold the lock. */
static void tally(struct ledger_count *count, const struct ledger_run *run)
{
	if (run->swapped) {
		count->swapped[run->node] += run->pages;
		count->swapped_of[run->vnode] += run->pages;
		return;
	}
	count->mapped[run->node] += run->pages;
	count->resident[run->vnode][run->node] += run->pages;
	count->sizes[run->huge] += run->pages;
}

/* All counts that have been there. Callers hold the lock. */
static void tally_all(struct ledger *ledger, uint64_t position, const struct ledger_run *run)
{
	for (struct ledger_count *count = ledger->counts; count; count = count->next)
		if (position < count->reached)
			tally(count, run);
}

static void map_out(struct ledger *ledger, const struct ledger_map *map, atomic_long *resident)
{
	struct ledger_run run = {.vnode = map->vnode,
				 .node = map->from,
				 .pages = -map->pages,
				 .huge = map->huge,
				 .swapped = map->from_of == LEDGER_SWAPPED};

	transfer(ledger, map->from, map->from_of, map->from_to, map->pages);
	if (run.swapped) {
		add(&ledger->swapped[map->vnode], -map->pages);
	} else {
		add(&resident[map->from], -map->pages);
		add(&ledger->sizes[map->huge], -map->pages);
	}
	tally_all(ledger, map->position, &run);
	if (map->from_to != LEDGER_SWAPPED)
		return;
	add(&ledger->swapped[map->vnode], map->pages);
	run.pages = map->pages;
	run.swapped = true;
	tally_all(ledger, map->position, &run);
}

void ledger_map(struct ledger *ledger, const struct ledger_map *map)
{
	atomic_long *resident = atomic_load(&ledger->resident[map->vnode]);
	const struct ledger_run in = {
	    .vnode = map->vnode, .node = map->to, .pages = map->pages, .huge = map->huge};

	pthread_mutex_lock(&ledger->lock);
	if (map->from != GMIG_NO_NODE)
		map_out(ledger, map, resident);
	if (map->to != GMIG_NO_NODE) {
		transfer(ledger, map->to, map->to_from, LEDGER_MAPPED, map->pages);
		add(&resident[map->to], map->pages);
		add(&ledger->sizes[map->huge], map->pages);
		tally_all(ledger, map->position, &in);
	}
	pthread_mutex_unlock(&ledger->lock);
}

void ledger_split(struct ledger *ledger, uint64_t position, long pages)
{
	pthread_mutex_lock(&ledger->lock);
	add(&ledger->sizes[1], -pages);
	add(&ledger->sizes[0], pages);
	for (struct ledger_count *count = ledger->counts; count; count = count->next) {
		if (position >= count->reached)
			continue;
		count->sizes[1] -= pages;
		count->sizes[0] += pages;
	}
	pthread_mutex_unlock(&ledger->lock);
}

long ledger_pages(const struct ledger *ledger, unsigned int node, enum ledger_account account)
{
	return atomic_load_explicit(&ledger->pages[node][account], memory_order_relaxed);
}

long ledger_total(const struct ledger *ledger, enum ledger_account account)
{
	return atomic_load_explicit(&ledger->total[account], memory_order_relaxed);
}

long ledger_sum(struct ledger *ledger, enum ledger_account a, enum ledger_account b)
{
	long pages;

	pthread_mutex_lock(&ledger->lock);
	pages = ledger_total(ledger, a) + (a == b ? 0 : ledger_total(ledger, b));
	pthread_mutex_unlock(&ledger->lock);
	return pages;
}

long ledger_resident(const struct ledger *ledger, unsigned int vnode, unsigned int node)
{
	atomic_long *resident = atomic_load(&ledger->resident[vnode]);

	return resident ? atomic_load_explicit(&resident[node], memory_order_relaxed) : 0;
}

long ledger_swapped(const struct ledger *ledger, unsigned int vnode)
{
	return atomic_load_explicit(&ledger->swapped[vnode], memory_order_relaxed);
}

static uint64_t size_pages(const struct ledger *ledger, bool huge)
{
	long pages = atomic_load_explicit(&ledger->sizes[huge], memory_order_relaxed);

	return pages > 0 ? (uint64_t)pages : 0;
}

void ledger_sizes(const struct ledger *ledger, uint64_t *pages_2m, uint64_t *pages_4k)
{
	*pages_2m = size_pages(ledger, true);
	*pages_4k = size_pages(ledger, false);
}

/* ---- Counting ----------------------------------------------------------------------------------- */

int ledger_count_begin(struct ledger *ledger, struct ledger_count **out)
{
	struct ledger_count *count = calloc(1, sizeof(*count));

	if (!count)
		return -ENOMEM;
	count->ledger = ledger;
	pthread_mutex_lock(&ledger->lock);
	count->next = ledger->counts;
	ledger->counts = count;
	pthread_mutex_unlock(&ledger->lock);
	*out = count;
	return 0;
}

void ledger_count_end(struct ledger_count *count)
{
	struct ledger_count **link;

	if (!count)
		return;
	pthread_mutex_lock(&count->ledger->lock);
	link = &count->ledger->counts;
	while (*link != count)
		link = &(*link)->next;
	*link = count->next;
	pthread_mutex_unlock(&count->ledger->lock);
	free(count);
}

void ledger_count_add(struct ledger_count *count, const struct ledger_run *run)
{
	pthread_mutex_lock(&count->ledger->lock);
	tally(count, run);
	pthread_mutex_unlock(&count->ledger->lock);
}

void ledger_count_reached(struct ledger_count *count, uint64_t position)
{
	pthread_mutex_lock(&count->ledger->lock);
	count->reached = position;
	pthread_mutex_unlock(&count->ledger->lock);
}

static uint64_t size_of(long difference)
{
	return (uint64_t)(difference < 0 ? -difference : difference);
}

/* Callers of these hold the lock; they return by how much there is more than in the books. */
static uint64_t settle_account(struct ledger *ledger, unsigned int node,
			       enum ledger_account account, long counted, bool correct)
{
	long more = counted - ledger_pages(ledger, node, account);

	if (more && correct)
		transfer(ledger, node, LEDGER_OUTSIDE, account, more);
	return size_of(more);
}

static uint64_t settle_number(atomic_long *number, long counted, bool correct)
{
	long more = counted - atomic_load_explicit(number, memory_order_relaxed);

	if (more && correct)
		add(number, more);
	return size_of(more);
}

static uint64_t settle_vnode(struct ledger_count *count, unsigned int vnode, bool correct)
{
	atomic_long *resident = atomic_load(&count->ledger->resident[vnode]);
	uint64_t pages =
	    settle_number(&count->ledger->swapped[vnode], count->swapped_of[vnode], correct);

	for (unsigned int node = 0; resident && node < GMIG_MAX_NODES; node++)
		pages += settle_number(&resident[node], count->resident[vnode][node], correct);
	return pages;
}

void ledger_count_compare(struct ledger_count *count, bool correct,
			  struct ledger_difference *difference)
{
	struct ledger *ledger = count->ledger;

	*difference = (struct ledger_difference){.node = GMIG_NO_NODE};
	pthread_mutex_lock(&ledger->lock);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		long counted = count->mapped[node];
		long booked = ledger_pages(ledger, node, LEDGER_MAPPED);

		if (counted != booked && difference->node == GMIG_NO_NODE) {
			difference->node = node;
			difference->counted = counted;
			difference->booked = booked;
		}
		difference->pages += settle_account(ledger, node, LEDGER_MAPPED, counted, correct);
		difference->pages +=
		    settle_account(ledger, node, LEDGER_SWAPPED, count->swapped[node], correct);
	}
	for (unsigned int vnode = 0; vnode < GMIG_MAX_VNODES; vnode++)
		difference->pages += settle_vnode(count, vnode, correct);
	for (unsigned int huge = 0; huge < 2; huge++)
		difference->pages +=
		    settle_number(&ledger->sizes[huge], count->sizes[huge], correct);
	pthread_mutex_unlock(&ledger->lock);
}

unsigned int ledger_pool_start(struct ledger *ledger)
{
	unsigned int number;

	pthread_mutex_lock(&ledger->lock);
	memset(ledger->pool_tally, 0, sizeof(ledger->pool_tally));
	number = ++ledger->pool_count;
	pthread_mutex_unlock(&ledger->lock);
	return number;
}

void ledger_pool_add(struct ledger *ledger, unsigned int node, long pages)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->pool_tally[node] += pages;
	pthread_mutex_unlock(&ledger->lock);
}

unsigned int ledger_pool_end(struct ledger *ledger, bool correct, long *counted, long *booked,
			     uint64_t *pages)
{
	unsigned int first = GMIG_NO_NODE;

	*pages = 0;
	pthread_mutex_lock(&ledger->lock);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		long pool = ledger_pages(ledger, node, LEDGER_POOL);

		if (ledger->pool_tally[node] != pool && first == GMIG_NO_NODE) {
			first = node;
			*counted = ledger->pool_tally[node];
			*booked = pool;
		}
		*pages +=
		    settle_account(ledger, node, LEDGER_POOL, ledger->pool_tally[node], correct);
	}
	pthread_mutex_unlock(&ledger->lock);
	return first;
}
