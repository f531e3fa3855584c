/*
 * Copying pages. Any thread; no lock. The fastest way is chosen once, by what the processor has
 * (docs/performance.md has the figures). Source and target are multiples of 4 KiB and do not
 * overlap.
 *
 * Memory may be broken (an uncorrectable error, or userfaultfd's poison): to read it raises SIGBUS.
 * After copy_guard() such a read ends the copy and not the process.
 *
 * The guest may write to the source of a copy that is thrown away afterwards; so these functions
 * are hidden from the thread sanitizer, which would call it a race.
 */
#ifndef GMIG_COPY_H
#define GMIG_COPY_H

#include <stddef.h>

/* The bytes copied: all, or those of the whole pages before the first that cannot be read. */
size_t copy_pages(void *restrict to, const void *restrict from, size_t bytes);

/*
 * Have SIGBUS handled, once for the process. A SIGBUS that no copy raised goes to the handler that
 * was there before.
 */
void copy_guard(void);

struct copy_way {
	const char *name;
	void (*copy)(void *restrict to, const void *restrict from, size_t bytes);
	int (*works)(void);
};
/* All ways, for the benchmark; ends with a name of NULL. */
extern const struct copy_way copy_ways[];
const char *copy_way_name(void);

#endif
