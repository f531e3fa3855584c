/*
 * The shadow table's changes when another thread is faster: between the look at a word and the compare-and-swap. Races
 * (test_shadow_race) hit that gap seldom; here the table is read-only, so that the swap raises a signal, whose handler does what
 * the other thread would have done.
 */
#include "../../migrate/memory/shadow.h"
#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TABLE_BYTES 4096

static struct shadow *shadow;
static void *newest; /* table */

static void *table_alloc(size_t bytes)
{
	newest = aligned_alloc(TABLE_BYTES, bytes);
	return newest ? memset(newest, 0, bytes) : NULL;
}

static void table_release(void *memory, size_t bytes)
{
	(void)bytes;
	free(memory);
}

static const struct shadow_alloc table_memory = {table_alloc, table_release};

static void *closed; /* the table of 2M entries */
static void (*beat)(void);

static void open_and_beat(int number)
{
	void (*now)(void) = beat;

	(void)number;
	mprotect(closed, TABLE_BYTES, PROT_READ | PROT_WRITE);
	beat = NULL;
	now();
}

/* One block, present on node 0 as a 2M entry, whose next change is beaten by another one. */
static void present_until(void (*other)(void))
{
	static const struct shadow_change touch = {0, 9, SHADOW_TOUCH, 0, 0};
	const struct sigaction action = {.sa_handler = open_and_beat};

	ck_assert_int_eq(shadow_create(&table_memory, &shadow), 0);
	ck_assert_int_eq(shadow_reserve(shadow, 0, GMIG_BLOCK_PAGES), 0);
	ck_assert_int_eq(shadow_change(shadow, &touch, NULL, NULL), 0);
	beat = other;
	closed = newest;
	ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
	ck_assert_int_eq(mprotect(closed, TABLE_BYTES, PROT_READ), 0);
}

static struct shadow_entry at(uint64_t gfn)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(shadow, gfn, &entry), 0);
	return entry;
}

static void split(void)
{
	shadow_split(shadow, 0);
}

static void correct(void)
{
	static const struct shadow_change to_1 = {0, 9, SHADOW_CORRECT, 1, 0};

	shadow_change(shadow, &to_1, NULL, NULL);
}

START_TEST(change_that_a_split_beats_has_to_look_again)
{
	static const struct shadow_change claim = {0, 9, SHADOW_CLAIM, 1, 0};

	present_until(split);
	ck_assert_int_eq(shadow_change(shadow, &claim, NULL, NULL), -EAGAIN);
	ck_assert_ptr_null(beat);
	for (uint64_t gfn = 0; gfn < GMIG_BLOCK_PAGES; gfn++) {
		ck_assert_uint_eq(at(gfn).order, 0);
		ck_assert_int_eq(at(gfn).state, SHADOW_PRESENT);
	}
	shadow_destroy(shadow);
}
END_TEST

START_TEST(claim_that_a_correction_beats_leaves_what_lies_elsewhere_now)
{
	static const struct shadow_change claim = {0, 9, SHADOW_CLAIM, 2, 0};
	struct bits pages, refused;

	bits_fill(&pages);
	present_until(correct);
	shadow_change_block(shadow, &claim, 0, &pages, &refused);
	ck_assert_ptr_null(beat);
	ck_assert(bits_full(&refused));
	ck_assert_int_eq(at(0).state, SHADOW_PRESENT);
	ck_assert_uint_eq(at(0).node, 1);
	shadow_destroy(shadow);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    change_that_a_split_beats_has_to_look_again,
	    claim_that_a_correction_beats_leaves_what_lies_elsewhere_now,
	};

	if (UNDER_TSAN) {
		printf("skipped: ThreadSanitizer makes these changes in code of its own, which no "
		       "signal may interrupt\n");
		return 77;
	}
	return run_tests("shadow_beaten", NULL, NULL, tests, sizeof(tests) / sizeof(tests[0]));
}
