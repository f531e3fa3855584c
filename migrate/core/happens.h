/*
 * ThreadSanitizer does not see what liburcu orders, since liburcu is not compiled with it. Tell it just that: what came before the end
 * of a section of readers happens before what they read is freed, and what came before call_rcu happens before the callback. What is
 * used after the section's end is reported all the same.
 */
#ifndef GMIG_HAPPENS_H
#define GMIG_HAPPENS_H

#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define HAPPENS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAPPENS_TSAN 1
#endif
#endif
#ifdef HAPPENS_TSAN
#include <sanitizer/tsan_interface.h>
#define HAPPENS_BEFORE(object) __tsan_release((void *)(uintptr_t)(object))
#define HAPPENS_AFTER(object)  __tsan_acquire((void *)(uintptr_t)(object))
#else
#define HAPPENS_BEFORE(object) ((void)(object))
#define HAPPENS_AFTER(object)  ((void)(object))
#endif

#endif
