/*
 * Copying pages. Any thread; no lock. The fastest way is chosen once, by what the processor has
 * (docs/performance.md has the figures). Source and target are multiples of 4 KiB and do not
 * overlap.
 *
 * The guest may write to the source of a copy that is thrown away afterwards; so these functions
 * are hidden from the thread sanitizer, which would call it a race.
 */
#ifndef GMIG_COPY_H
#define GMIG_COPY_H

#include <stddef.h>

void copy_pages(void *restrict to, const void *restrict from, size_t bytes);

struct copy_way {
	const char *name;
	void (*copy)(void *restrict to, const void *restrict from, size_t bytes);
	int (*works)(void);
};
/* All ways, for the benchmark; ends with a name of NULL. */
extern const struct copy_way copy_ways[];
const char *copy_way_name(void);

#endif
