/*
 * The shadow table under threads. Every page has a plain counter that only whoever holds the page's
 * claim may raise: two owners at once, or a change that got lost, show as a wrong sum here and as a
 * data race under ThreadSanitizer.
 */
#include "../../migrate/memory/shadow.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 3, BLOCK_PAGES = 512, PAGES = BLOCKS * BLOCK_PAGES, NODES = 4 };

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SLOW 4
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SLOW 4
#endif
#endif
#ifndef SLOW
#define SLOW 1
#endif

static struct shadow *shadow;
static unsigned int held[PAGES];  /* whoever holds the page's claim */
static unsigned int owner[PAGES]; /* likewise: who that is */
static bool done;		  /* atomic: the writers have finished */

static void *table_alloc(size_t bytes)
{
	void *memory = aligned_alloc(4096, bytes);

	return memory ? memset(memory, 0, bytes) : NULL;
}

/* Rubbish, so that a reader who is late sees states that do not exist. */
static void table_release(void *memory, size_t bytes)
{
	memset(memory, 0xff, bytes);
	free(memory);
}

static const struct shadow_alloc table_memory = {table_alloc, table_release};

static void setup(void)
{
	ck_assert_int_eq(shadow_create(&table_memory, &shadow), 0);
	ck_assert_int_eq(shadow_reserve(shadow, 0, PAGES), 0);
	memset(held, 0, sizeof(held));
	memset(owner, 0, sizeof(owner));
	done = false;
}

static void teardown(void)
{
	shadow_destroy(shadow);
}

struct writer {
	pthread_t thread;
	uint64_t seed;
	unsigned int me, rounds;
	uint64_t claimed_pages;
	uint64_t touched, splits, collapses;
};

static uint64_t pick(struct writer *writer, uint64_t below)
{
	writer->seed ^= writer->seed << 13;
	writer->seed ^= writer->seed >> 7;
	writer->seed ^= writer->seed << 17;
	return writer->seed % below;
}

static int change(struct writer *writer, uint64_t gfn, unsigned int order, enum shadow_event event)
{
	struct shadow_change what = {gfn, order, event, (uint8_t)pick(writer, NODES),
				     (uint8_t)writer->me};

	return shadow_change(shadow, &what, NULL, NULL);
}

/* Nobody else may change what is claimed: these must not fail. */
static void own(struct writer *writer, uint64_t gfn, unsigned int order, enum shadow_event event)
{
	ck_assert_int_eq(change(writer, gfn, order, event), 0);
}

static bool claim(struct writer *writer, uint64_t gfn, unsigned int order)
{
	if (change(writer, gfn, order, SHADOW_CLAIM))
		return false;
	for (uint64_t page = gfn; page < gfn + (1u << order); page++) {
		ck_assert_uint_eq(owner[page], 0);
		owner[page] = writer->me;
		held[page]++;
	}
	writer->claimed_pages += 1u << order;
	return true;
}

/* From CLAIMED, by a way that chance takes, to PRESENT or NONE. */
static void let_go(struct writer *writer, uint64_t gfn, unsigned int order)
{
	for (uint64_t page = gfn; page < gfn + (1u << order); page++) {
		ck_assert_uint_eq(owner[page], writer->me);
		owner[page] = 0;
	}
	switch (pick(writer, 4)) {
	case 0:
		own(writer, gfn, order, SHADOW_DISCARD);
		break;
	case 1:
		own(writer, gfn, order, SHADOW_PUTBACK);
		break;
	case 2:
		own(writer, gfn, order, SHADOW_CLOSE);
		own(writer, gfn, order, SHADOW_PUTBACK);
		break;
	default:
		own(writer, gfn, order, SHADOW_CLOSE);
		own(writer, gfn, order, SHADOW_SETTLE);
		break;
	}
}

/* A 2M claim, let go of whole, or split and page by page, or split and joined again. */
static void work_on_block(struct writer *writer, uint64_t gfn)
{
	uint64_t way = pick(writer, 3);

	if (!claim(writer, gfn, 9))
		return;
	if (way) {
		ck_assert_int_eq(shadow_split(shadow, gfn), 0);
		writer->splits++;
	}
	if (way == 2) {
		ck_assert_int_eq(shadow_collapse(shadow, gfn), 0);
		writer->collapses++;
	}
	if (way != 1) {
		let_go(writer, gfn, 9);
		return;
	}
	for (uint64_t page = gfn; page < gfn + BLOCK_PAGES; page++)
		let_go(writer, page, 0);
}

/* Make all pages of a split block NONE or PRESENT ones ours, join them if we have all, let go. */
static void gather_block(struct writer *writer, uint64_t gfn)
{
	bool ours[BLOCK_PAGES];
	unsigned int count = 0;
	uint16_t target = (uint16_t)pick(writer, NODES);
	struct shadow_change what = {gfn, 0, SHADOW_CLAIM, target, (uint8_t)writer->me};

	for (unsigned int i = 0; i < BLOCK_PAGES; i++) {
		struct shadow_change put = {gfn + i, 0, SHADOW_CORRECT, 1, 0};

		change(writer, gfn + i, 0, SHADOW_TOUCH);
		shadow_change(shadow, &put, NULL, NULL);
		what.gfn = gfn + i;
		ours[i] = !shadow_change(shadow, &what, NULL, NULL);
		count += ours[i];
		if (ours[i]) {
			ck_assert_uint_eq(owner[gfn + i], 0);
			owner[gfn + i] = writer->me;
			held[gfn + i]++;
			writer->claimed_pages++;
		}
	}
	/* -EBUSY when another writer corrected a node in between. */
	if (count == BLOCK_PAGES && !shadow_collapse(shadow, gfn)) {
		writer->collapses++;
		let_go(writer, gfn, 9);
		return;
	}
	for (unsigned int i = 0; i < BLOCK_PAGES; i++) {
		if (ours[i])
			let_go(writer, gfn + i, 0);
	}
}

static void act(struct writer *writer)
{
	uint64_t gfn = pick(writer, PAGES), block = gfn - gfn % BLOCK_PAGES;
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(shadow, gfn, &entry), 0);
	if (entry.order)
		gfn = block;
	if (entry.state == SHADOW_NONE) {
		if (pick(writer, 8) == 0)
			writer->collapses += !shadow_collapse(shadow, gfn);
		writer->touched += !change(writer, gfn, entry.order, SHADOW_TOUCH);
	} else if (entry.state == SHADOW_PRESENT && entry.order) {
		work_on_block(writer, block);
	} else if (entry.state == SHADOW_PRESENT) {
		if (pick(writer, 64) == 0)
			gather_block(writer, block);
		else if (claim(writer, gfn, 0))
			let_go(writer, gfn, 0);
	}
}

static void *write_all(void *arg)
{
	struct writer *writer = arg;

	for (unsigned int i = 0; i < writer->rounds; i++)
		act(writer);
	return NULL;
}

static void check_entry(uint64_t gfn, const struct shadow_entry *entry)
{
	bool taken = entry->state == SHADOW_CLAIMED || entry->state == SHADOW_COPYING;

	ck_assert_uint_lt(entry->state, SHADOW_STATES);
	ck_assert(entry->order == 0 || (entry->order == 9 && gfn % BLOCK_PAGES == 0));
	if (entry->state == SHADOW_NONE)
		ck_assert_uint_eq(entry->node, GMIG_NO_NODE);
	else
		ck_assert_uint_lt(entry->node, NODES);
	if (taken)
		ck_assert_uint_lt(entry->target, NODES);
	else
		ck_assert_uint_eq(entry->target, GMIG_NO_NODE);
	ck_assert(taken == (entry->owner != 0));
}

static int count_pages(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	uint64_t *next = arg;

	ck_assert_uint_eq(gfn, *next);
	check_entry(gfn, entry);
	*next += 1u << entry->order;
	return 0;
}

/* Not registered with anybody: the table must see to that itself. */
static void *read_all(void *arg)
{
	struct shadow_entry entry;
	uint64_t next;

	(void)arg;
	while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
		next = 0;
		ck_assert_int_eq(shadow_walk(shadow, 0, PAGES, count_pages, &next), 0);
		ck_assert_uint_eq(next, PAGES);
		for (uint64_t gfn = 0; gfn < PAGES; gfn += 7) {
			ck_assert_int_eq(shadow_lookup(shadow, gfn, &entry), 0);
			check_entry(entry.order ? gfn - gfn % BLOCK_PAGES : gfn, &entry);
		}
		sched_yield();
	}
	return NULL;
}

START_TEST(writers_and_readers_together_lose_no_change)
{
	enum { WRITERS = 3, READERS = 2 };
	struct writer writer[WRITERS];
	pthread_t reader[READERS];
	uint64_t sum = 0, claimed = 0, next = 0, splits = 0, collapses = 0, touched = 0;

	memset(writer, 0, sizeof(writer));
	for (unsigned int i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&reader[i], NULL, read_all, NULL), 0);
	for (unsigned int i = 0; i < WRITERS; i++) {
		writer[i].seed = 88172645463325252ull + i;
		writer[i].me = i + 1;
		writer[i].rounds = 20000 / SLOW;
		ck_assert_int_eq(pthread_create(&writer[i].thread, NULL, write_all, &writer[i]), 0);
	}
	for (unsigned int i = 0; i < WRITERS; i++) {
		pthread_join(writer[i].thread, NULL);
		claimed += writer[i].claimed_pages;
		splits += writer[i].splits;
		collapses += writer[i].collapses;
		touched += writer[i].touched;
	}
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < READERS; i++)
		pthread_join(reader[i], NULL);

	for (unsigned int i = 0; i < PAGES; i++)
		sum += held[i];
	ck_assert_uint_eq(sum, claimed);
	ck_assert_int_eq(shadow_walk(shadow, 0, PAGES, count_pages, &next), 0);
	/* Did it try what it is meant to try? */
	ck_assert_uint_gt(claimed, 1000);
	ck_assert_uint_gt(touched, 100);
	ck_assert_uint_gt(splits, 10);
	ck_assert_uint_gt(collapses, 10);
}
END_TEST

/* ---- First touches against splits and collapses of their block --------------------------------
 */

struct toucher {
	pthread_t thread;
	uint64_t kept[2], sent_back[2]; /* by 4K and 2M; atomic */
};

static void count_up(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* Both outcomes of a page's touch, and a block's that was kept. */
static bool met_all(const struct toucher *toucher)
{
	return __atomic_load_n(&toucher->kept[0], __ATOMIC_RELAXED) &&
	       __atomic_load_n(&toucher->kept[1], __ATOMIC_RELAXED) &&
	       __atomic_load_n(&toucher->sent_back[0], __ATOMIC_RELAXED);
}

static int change_first(uint64_t gfn, unsigned int order, enum shadow_event event)
{
	struct shadow_change what = {gfn, order, event, 1, 0};

	return shadow_change(shadow, &what, NULL, NULL);
}

static void touch_page(struct toucher *toucher, uint64_t gfn)
{
	struct shadow_entry entry;
	int ret = change_first(gfn, 0, SHADOW_TOUCH);

	if (ret) {
		ck_assert_int_eq(ret, -EAGAIN);
		count_up(&toucher->sent_back[0]);
		return;
	}
	/* A PRESENT page keeps its block from being joined. */
	ck_assert_int_eq(shadow_lookup(shadow, gfn, &entry), 0);
	ck_assert_int_eq(entry.state, SHADOW_PRESENT);
	ck_assert_uint_eq(entry.order, 0);
	ck_assert_int_eq(change_first(gfn, 0, SHADOW_DISCARD), 0);
	count_up(&toucher->kept[0]);
}

static void touch_block(struct toucher *toucher)
{
	struct shadow_entry entry;
	int ret = change_first(0, 9, SHADOW_TOUCH);

	if (ret) {
		ck_assert_int_eq(ret, -EAGAIN);
		count_up(&toucher->sent_back[1]);
		return;
	}
	for (uint64_t gfn = 0; gfn < BLOCK_PAGES; gfn++) {
		ck_assert_int_eq(shadow_lookup(shadow, gfn, &entry), 0);
		ck_assert_int_eq(entry.state, SHADOW_PRESENT);
	}
	count_up(&toucher->kept[1]);
	ret = change_first(0, 9, SHADOW_DISCARD);
	if (!ret)
		return;
	ck_assert_int_eq(ret, -EAGAIN); /* split since: page by page */
	for (uint64_t gfn = 0; gfn < BLOCK_PAGES; gfn++)
		ck_assert_int_eq(change_first(gfn, 0, SHADOW_DISCARD), 0);
}

static void *touch_all(void *arg)
{
	struct toucher *toucher = arg;

	for (uint64_t i = 0; !__atomic_load_n(&done, __ATOMIC_RELAXED); i++) {
		touch_page(toucher, i * 37 % BLOCK_PAGES);
		if (i % 8 == 0)
			touch_block(toucher);
	}
	return NULL;
}

START_TEST(first_touch_during_split_or_collapse_is_kept_or_sent_back)
{
	struct toucher toucher = {.kept = {0}};
	uint64_t rounds = 0, joined = 0;
	int ret;

	ck_assert_int_eq(pthread_create(&toucher.thread, NULL, touch_all, &toucher), 0);
	/* On a busy machine it may take long to meet them all; the time limit is the end of it. */
	while (rounds++ < 6000 / SLOW || joined < 100 || !met_all(&toucher)) {
		ret = shadow_split(shadow, 0);
		ck_assert(ret == 0 || ret == -EEXIST);
		ret = shadow_collapse(shadow, 0);
		ck_assert(ret == 0 || ret == -EBUSY);
		joined += !ret;
	}
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	pthread_join(toucher.thread, NULL);
}
END_TEST

/* ---- Two who split and join the same block ----------------------------------------------------
 */

static void *split_and_join(void *arg)
{
	uint64_t *count = arg;

	for (unsigned int i = 0; i < 3000 / SLOW; i++) {
		count[0] += !shadow_split(shadow, 0);
		count[1] += !shadow_collapse(shadow, 0);
	}
	return NULL;
}

START_TEST(splits_and_collapses_of_two_threads_pair_up)
{
	pthread_t thread[2];
	uint64_t count[2][2] = {{0}};
	struct shadow_entry entry;

	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, split_and_join, count[i]), 0);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	ck_assert_int_eq(shadow_lookup(shadow, 0, &entry), 0);
	ck_assert_uint_eq(count[0][0] + count[1][0],
			  count[0][1] + count[1][1] + (entry.order == 0));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shadow_race");
	TCase *tcase = tcase_create("shadow_race");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 100);
	tcase_add_test(tcase, writers_and_readers_together_lose_no_change);
	tcase_add_test(tcase, first_touch_during_split_or_collapse_is_kept_or_sent_back);
	tcase_add_test(tcase, splits_and_collapses_of_two_threads_pair_up);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
