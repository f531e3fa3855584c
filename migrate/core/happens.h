/*
 * ThreadSanitizer does not see what liburcu orders, since liburcu is not compiled with it. Tell it just that: what came before the end
 * of a section of readers happens before what they read is freed, and what came before call_rcu happens before the callback. What is
 * used after the section's end is reported all the same.
 *
 * It is told by a struct happens, of which nothing else is made: a store to an atomic, or an unlock of a mutex, at the same address
 * would put in the place of what all readers have said there what the writer knows itself.
 */
#ifndef GMIG_HAPPENS_H
#define GMIG_HAPPENS_H

#include <stdint.h>

struct happens {
	char unused;
};

#if defined(__SANITIZE_THREAD__)
#define HAPPENS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAPPENS_TSAN 1
#endif
#endif
#ifdef HAPPENS_TSAN
#include <sanitizer/tsan_interface.h>
static inline void happens_before(const struct happens *what)
{
	__tsan_release((void *)(uintptr_t)what);
}

static inline void happens_after(const struct happens *what)
{
	__tsan_acquire((void *)(uintptr_t)what);
}
#else
static inline void happens_before(const struct happens *what)
{
	(void)what;
}

static inline void happens_after(const struct happens *what)
{
	(void)what;
}
#endif

#endif
