#include "broken_pages.h"

#include <stdlib.h>

void broken_pages_init(struct broken_pages *broken)
{
	pthread_mutex_init(&broken->lock, NULL);
}

void broken_pages_destroy(struct broken_pages *broken)
{
	free(broken->gfn);
	pthread_mutex_destroy(&broken->lock);
}

/* Caller holds the lock. false: no memory. */
static bool make_room(struct broken_pages *broken)
{
	size_t room = broken->room ? 2 * broken->room : 16;
	uint64_t *gfn;

	if (atomic_load(&broken->count) < broken->room)
		return true;
	gfn = realloc(broken->gfn, room * sizeof(*gfn));
	if (!gfn)
		return false;
	broken->gfn = gfn;
	broken->room = room;
	return true;
}

bool broken_pages_add(struct broken_pages *broken, uint64_t gfn)
{
	bool known = false;
	size_t count;

	pthread_mutex_lock(&broken->lock);
	count = atomic_load(&broken->count);
	for (size_t i = 0; i < count && !known; i++)
		known = broken->gfn[i] == gfn;
	if (!known && make_room(broken)) {
		broken->gfn[count] = gfn;
		atomic_store(&broken->count, count + 1);
	}
	pthread_mutex_unlock(&broken->lock);
	return !known;
}

void broken_pages_remove(struct broken_pages *broken, uint64_t gfn, uint64_t pages)
{
	size_t count;

	if (!atomic_load(&broken->count))
		return;
	pthread_mutex_lock(&broken->lock);
	count = atomic_load(&broken->count);
	for (size_t i = count; i--;)
		if (broken->gfn[i] >= gfn && broken->gfn[i] - gfn < pages)
			broken->gfn[i] = broken->gfn[--count];
	atomic_store(&broken->count, count);
	pthread_mutex_unlock(&broken->lock);
}
