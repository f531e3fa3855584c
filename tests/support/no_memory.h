/*
 * Allocations that fail: for one test program, which is linked with --wrap=malloc, --wrap=calloc and --wrap=realloc, so that those
 * of the code under test come here. Only the thread that asks for it is refused.
 */
#ifndef TEST_NO_MEMORY_H
#define TEST_NO_MEMORY_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static _Thread_local long no_memory_in =
    -1; /* the allocation that fails, counted down; negative: none */

/* The names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static inline bool no_memory_now(void)
{
	if (no_memory_in < 0 || no_memory_in-- > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t bytes)
{
	return no_memory_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return no_memory_now() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	return no_memory_now() ? NULL : __real_realloc(old, bytes);
}
/* NOLINTEND(bugprone-reserved-identifier) */

#endif
