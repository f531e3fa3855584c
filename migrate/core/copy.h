/*
 * Copying pages. Any thread; no lock. The fastest way is chosen once, by what the processor has
 * (docs/performance.md has the figures). Source and target are multiples of 4 KiB and do not
 * overlap.
 *
 * Memory may be broken (an uncorrectable error, or userfaultfd's poison): to touch it raises SIGBUS.
 * After copy_guard() that ends what is done here and not the process.
 *
 * The guest may write to the source of a copy that is thrown away afterwards; so these functions
 * are hidden from the thread sanitizer, which would call it a race.
 */
#ifndef GMIG_COPY_H
#define GMIG_COPY_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes copied: all, or those of the whole pages before the first that cannot be read, or written. */
size_t copy_pages(void *restrict to, const void *restrict from, size_t bytes);
/* The bytes made zero: all, or those of the whole pages before the first that cannot be written. */
size_t copy_zero(void *to, size_t bytes);
/*
 * Call touch(arg), which reads or writes memory that may be broken. false: it was, and touch did not come to
 * its end: it must hold no lock and own nothing.
 */
bool copy_try(void (*touch)(void *arg), void *arg);

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

#endif
