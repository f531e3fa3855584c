/*
 * Pages of the guest that cannot be read any more, so that each is counted and told of once, whoever meets it. There are few.
 *
 * Any thread; a lock inside, a leaf.
 */
#ifndef GMIG_BROKEN_PAGES_H
#define GMIG_BROKEN_PAGES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broken_pages {
	pthread_mutex_t lock;
	/* guarded by lock; count is read without it, too */
	uint64_t *gfn;
	size_t room;
	atomic_size_t count;
};

void broken_pages_init(struct broken_pages *broken);
void broken_pages_destroy(struct broken_pages *broken);
/* false: it is known. Without memory it is not kept, and is told of again. */
bool broken_pages_add(struct broken_pages *broken, uint64_t gfn);
/* The guest has given these back: what comes in their place is whole. */
void broken_pages_remove(struct broken_pages *broken, uint64_t gfn, uint64_t pages);

#endif
