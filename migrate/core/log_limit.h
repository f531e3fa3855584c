/*
 * Lines of a log that a guest, or a lack of memory, can cause without end: one a second for each cause,
 * with the number of those that were held back in between. One struct a cause, zeroed at first. Any
 * thread; no lock.
 */
#ifndef GMIG_LOG_LIMIT_H
#define GMIG_LOG_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOG_LIMIT_NS 1000000000ull

struct log_limit {
	_Atomic uint64_t next_ns; /* before this nothing passes */
	atomic_ulong held;
};

/* true: write the line, and that *held like it were not written. */
static inline bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, unsigned long *held)
{
	uint64_t next = atomic_load(&limit->next_ns);

	if (now_ns < next ||
	    !atomic_compare_exchange_strong(&limit->next_ns, &next, now_ns + LOG_LIMIT_NS)) {
		atomic_fetch_add(&limit->held, 1);
		return false;
	}
	*held = atomic_exchange(&limit->held, 0);
	return true;
}

#endif
