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
	uint64_t reached;	    /* guarded by lock, like the tally; 0: no count runs */
	long tally[GMIG_MAX_NODES]; /* guarded by lock */
	unsigned int pool_count;    /* guarded by lock, like the next: number of the count */
	long pool_tally[GMIG_MAX_NODES];
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

void ledger_map(struct ledger *ledger, const struct ledger_map *map)
{
	atomic_long *resident = atomic_load(&ledger->resident[map->vnode]);
	bool counted;

	pthread_mutex_lock(&ledger->lock);
	counted = map->position < ledger->reached;
	if (map->from != GMIG_NO_NODE) {
		transfer(ledger, map->from, map->from_of, map->from_to, map->pages);
		if (map->from_of == LEDGER_SWAPPED) {
			add(&ledger->swapped[map->vnode], -map->pages);
		} else {
			add(&resident[map->from], -map->pages);
			add(&ledger->sizes[map->huge], -map->pages);
			if (counted)
				ledger->tally[map->from] -= map->pages;
		}
		if (map->from_to == LEDGER_SWAPPED)
			add(&ledger->swapped[map->vnode], map->pages);
	}
	if (map->to != GMIG_NO_NODE) {
		transfer(ledger, map->to, map->to_from, LEDGER_MAPPED, map->pages);
		add(&resident[map->to], map->pages);
		add(&ledger->sizes[map->huge], map->pages);
		if (counted)
			ledger->tally[map->to] += map->pages;
	}
	pthread_mutex_unlock(&ledger->lock);
}

void ledger_split(struct ledger *ledger, long pages)
{
	pthread_mutex_lock(&ledger->lock);
	add(&ledger->sizes[1], -pages);
	add(&ledger->sizes[0], pages);
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

void ledger_tally_start(struct ledger *ledger)
{
	pthread_mutex_lock(&ledger->lock);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		ledger->tally[node] = 0;
	ledger->reached = 0;
	pthread_mutex_unlock(&ledger->lock);
}

void ledger_tally_add(struct ledger *ledger, unsigned int node, long pages)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->tally[node] += pages;
	pthread_mutex_unlock(&ledger->lock);
}

void ledger_tally_reached(struct ledger *ledger, uint64_t position)
{
	pthread_mutex_lock(&ledger->lock);
	ledger->reached = position;
	pthread_mutex_unlock(&ledger->lock);
}

/* Caller holds the lock. */
static unsigned int differs(const struct ledger *ledger, const long *counted,
			    enum ledger_account account, long *tally, long *booked)
{
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		*tally = counted[node];
		*booked = ledger_pages(ledger, node, account);
		if (*tally != *booked)
			return node;
	}
	return GMIG_NO_NODE;
}

unsigned int ledger_tally_end(struct ledger *ledger, long *tally, long *mapped)
{
	unsigned int node;

	pthread_mutex_lock(&ledger->lock);
	node = differs(ledger, ledger->tally, LEDGER_MAPPED, tally, mapped);
	ledger->reached = 0;
	pthread_mutex_unlock(&ledger->lock);
	return node;
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

unsigned int ledger_pool_end(struct ledger *ledger, long *tally, long *pool)
{
	unsigned int node;

	pthread_mutex_lock(&ledger->lock);
	node = differs(ledger, ledger->pool_tally, LEDGER_POOL, tally, pool);
	pthread_mutex_unlock(&ledger->lock);
	return node;
}
