/* Results of a few blocks, and an allocator that counts and fails on request. Static, for one test program. */
#ifndef TEST_STATUS_RIG_H
#define TEST_STATUS_RIG_H

#include "../../migrate/jobs/status.h"

#include <check.h>
#include <stdlib.h>

enum { BLOCKS = 8, PAGES = BLOCKS * GMIG_BLOCK_PAGES };

static const uint64_t base = 0x40000;
static struct status *status;
static size_t allocated, allocations; /* so far */
static size_t allocations_allowed;

/* The allocator of all statuses here: counts, and fails on request. */
static inline void *alloc(size_t bytes)
{
	if (allocations == allocations_allowed)
		return NULL;
	allocations++;
	allocated += bytes;
	return calloc(1, bytes);
}

static inline void setup(void)
{
	allocated = allocations = 0;
	allocations_allowed = SIZE_MAX;
	ck_assert_int_eq(status_create_with(alloc, &status), 0);
	ck_assert_int_eq(status_add_range(status, base, PAGES), 0);
}

static inline void teardown(void)
{
	status_destroy(status);
}

static inline int get(uint64_t gfn)
{
	int result;

	status_get(status, gfn, 1, &result);
	return result;
}

static inline struct status_sum sum(void)
{
	struct status_sum all;

	status_sum(status, &all);
	return all;
}

#endif
