/* Repair: each way in which table, books and kernel can differ is made, told, corrected, and gone afterwards. */
#include "repair_rig.h"

/* ---- Kinds of differences -------------------------------------------------------------------------- */

START_TEST(pages_that_others_moved_are_told_and_corrected)
{
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_repair result;

	start(_i, true);
	atomic_store(&real_node, 3);
	repair_all(&result);
	ck_assert(result.ok);
	only(&result, GMIG_DIFFERS_NODE, PAGES);
	ck_assert_uint_eq(result.compared_pages, PAGES);
	ck_assert_uint_eq(result.check.checked_pages, PAGES);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[3], BYTES);
	end(true);
}
END_TEST

START_TEST(pages_that_are_gone_are_told_and_corrected)
{
	struct gmig_repair result;

	start(_i, false);
	ck_assert_int_eq(madvise((void *)rig_page(&rig, 512), GMIG_BLOCK_BYTES, MADV_DONTNEED), 0);
	repair_all(&result);
	ck_assert(result.ok);
	only(&result, GMIG_DIFFERS_ABSENT, GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(result.check.mapped_bytes, BYTES - GMIG_BLOCK_BYTES);
	/* It is a hole as any other: who touches it gets memory. */
	ck_assert_uint_eq(atomic_load(rig_page(&rig, 700)), 0);
	rig_settle(&rig);
	end(false);
}
END_TEST

START_TEST(pages_that_nobody_told_of_are_a_breach_and_corrected)
{
	struct gmig_repair result;

	if (!_i && !thp_or_skip())
		return;
	start(_i, false);
	change(512, !_i, SHADOW_DISCARD);
	repair_all(&result);
	ck_assert(result.ok);
	ck_assert(result.check.breach[0]);
	only(&result, GMIG_DIFFERS_PRESENT, _i ? 1 : GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(result.check.mapped_bytes, BYTES);
	end(true);
}
END_TEST

START_TEST(pages_in_swap_and_back_are_told_and_corrected)
{
	struct gmig_repair result;
	uint64_t bytes;

	start(true, false);
	atomic_store(&all_swapped, true);
	repair_all(&result);
	only(&result, GMIG_DIFFERS_SWAP, GMIG_BLOCK_PAGES);
	gmig_swapped(rig.gmig, 0, &bytes);
	ck_assert_uint_eq(bytes, GMIG_BLOCK_BYTES);
	repair_all(&result);
	only(&result, GMIG_DIFFERS_SWAP, 0);
	ck_assert_uint_eq(result.book_pages, 0);
	atomic_store(&all_swapped, false);
	repair_all(&result);
	ck_assert(result.ok);
	only(&result, GMIG_DIFFERS_SWAP, GMIG_BLOCK_PAGES);
	end(true);
}
END_TEST

START_TEST(blocks_of_another_size_are_told_and_corrected)
{
	struct gmig_stats stats;
	struct gmig_repair result;
	void *page;

	if (!thp_or_skip())
		return;
	start(false, false);
	page = (void *)rig_page(&rig, 600);
	if (_i) { /* the kernel's huge page is one no longer */
		ck_assert_int_eq(mprotect(page, GMIG_PAGE_BYTES, PROT_READ), 0);
		ck_assert_int_eq(mprotect(page, GMIG_PAGE_BYTES, PROT_READ | PROT_WRITE), 0);
	} else {
		ck_assert_int_eq(books_split(rig.gmig, &rig.gmig->regions[0], 512), 0);
	}
	repair_all(&result);
	ck_assert(result.ok);
	only(&result, GMIG_DIFFERS_SIZE, GMIG_BLOCK_PAGES);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_4k, _i ? GMIG_BLOCK_BYTES : 0);
	end(true);
}
END_TEST

START_TEST(pages_left_write_protected_are_told_and_opened)
{
	struct gmig_repair result;
	uint64_t first = _i ? 515 : 512, pages = _i ? 20 : GMIG_BLOCK_PAGES;

	start(_i, false);
	ck_assert_int_eq(uffd_protect(rig.gmig->sys, rig.gmig->vnodes[0].uffd,
				      (void *)rig_page(&rig, first), pages * GMIG_PAGE_BYTES, true),
			 0);
	repair_all(&result);
	ck_assert(result.ok);
	ck_assert(result.check.breach[2]);
	only(&result, GMIG_DIFFERS_PROTECTED, pages);
	end(true);
}
END_TEST

/* ---- Forgotten pages, forgotten threads --------------------------------------------------------------- */

START_TEST(pages_held_by_nobody_are_put_back)
{
	struct gmig_repair result;

	if (!(_i & 1) && !thp_or_skip())
		return;
	start(_i & 1, false);
	change(512, !(_i & 1), SHADOW_CLAIM);
	if (_i & 2)
		change(512, !(_i & 1), SHADOW_CLOSE);
	repair_all(&result);
	ck_assert(result.ok);
	ck_assert(result.check.breach[4]);
	only(&result, GMIG_DIFFERS_HELD, _i & 1 ? 1 : GMIG_BLOCK_PAGES);
	end(true);
}
END_TEST

/* What is at no place may lie in a slot. Called a hole, it would read as zeros. */
START_TEST(page_held_by_nobody_whose_memory_is_away_stays_as_it_is)
{
	struct gmig_repair result;
	struct shadow_entry entry;

	if (!_i && !thp_or_skip())
		return;
	start(_i, false);
	change(512, !_i, SHADOW_CLAIM);
	ck_assert_int_eq(madvise((void *)rig_page(&rig, 512),
				 _i ? GMIG_PAGE_BYTES : GMIG_BLOCK_BYTES, MADV_DONTNEED),
			 0);
	repair_all(&result);
	ck_assert(!result.ok);
	ck_assert_uint_eq(result.differed[GMIG_DIFFERS_HELD], _i ? 1 : GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(result.corrected[GMIG_DIFFERS_HELD], 0);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, 512, &entry), 0);
	ck_assert_int_eq(entry.state, SHADOW_CLAIMED);
	change(512, !_i, SHADOW_DISCARD);
	end(false);
}
END_TEST

static void put_sleeper(uint64_t gfn)
{
	struct stripe *stripe = engine_stripe(rig.gmig, gfn);
	struct sleeper *sleeper = calloc(1, sizeof(*sleeper));

	ck_assert_ptr_nonnull(sleeper);
	pthread_mutex_lock(&stripe->lock);
	*sleeper = (struct sleeper){stripe->sleepers, gfn, clock_ahead(), 77, false, false};
	stripe->sleepers = sleeper;
	atomic_fetch_add(&rig.gmig->sleepers, 1);
	pthread_mutex_unlock(&stripe->lock);
}

START_TEST(threads_that_sleep_on_an_open_page_are_woken)
{
	struct gmig_repair result;
	struct gmig_stats stats;

	if (!(_i & 1) && !thp_or_skip())
		return;
	start(_i & 1, false);
	put_sleeper(600);
	put_sleeper(1023);
	if (_i & 2)
		change(_i & 1 ? 600 : 512, !(_i & 1), SHADOW_CLAIM);
	repair_all(&result);
	ck_assert(result.ok);
	ck_assert_uint_eq(result.woken_threads, 2);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.sleepers, 0);
	end(true);
}
END_TEST

/* ---- Books ------------------------------------------------------------------------------------------- */

START_TEST(books_that_differ_are_told_and_corrected_together)
{
	static const uint64_t expected[] = {15, 5, 5, 5, 10};
	uint64_t bytes[GMIG_MAX_NODES], page_2m, page_4k;
	struct gmig_repair result;

	start(false, false);
	spoil_books((unsigned int)_i);
	repair_all(&result);
	ck_assert(result.ok);
	ck_assert_uint_eq(result.book_pages, expected[_i]);
	ck_assert_int_eq(result.check.breach[3], _i < 3);
	ck_assert_uint_eq(result.check.mapped_bytes, BYTES);
	gmig_residency(rig.gmig, 0, bytes);
	ck_assert_uint_eq(bytes[0] + bytes[1], BYTES);
	ledger_sizes(rig.gmig->ledger, &page_2m, &page_4k);
	ck_assert_uint_eq(page_2m, rig.gmig->thp ? PAGES : 0);
	ck_assert_uint_eq(page_4k, rig.gmig->thp ? 0 : PAGES);
	ck_assert_int_eq(ledger_total(rig.gmig->ledger, LEDGER_FLIGHT), 0);
	ck_assert_int_eq(ledger_total(rig.gmig->ledger, LEDGER_SWAPPED), 0);
	end(true);
}
END_TEST

static atomic_bool enough;

/* Pages change their nodes, by the books. */
static void *corrector(void *arg)
{
	const struct region *region = &rig.gmig->regions[0];
	unsigned int node = 0;

	(void)arg;
	while (!atomic_load(&enough)) {
		node = !node;
		for (uint64_t gfn = 0; gfn < PAGES; gfn += 61) {
			struct books_event books = {
			    .region = region,
			    .change = {.gfn = gfn, .event = SHADOW_CORRECT, .node = (uint16_t)node},
			    .memory = BOOKS_KERNEL};
			struct stripe *stripe = engine_stripe(rig.gmig, gfn);

			pthread_mutex_lock(&stripe->lock);
			books_change(rig.gmig, &books, NULL);
			pthread_mutex_unlock(&stripe->lock);
		}
	}
	return NULL;
}

START_TEST(count_beside_changes_finds_no_difference)
{
	struct gmig_repair result;
	pthread_t thread;

	start(true, false);
	atomic_store(&enough, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, corrector, NULL), 0);
	for (unsigned int i = 0; i < 40; i++) {
		repair_all(&result);
		ck_assert_uint_eq(result.book_pages, 0);
	}
	atomic_store(&enough, true);
	pthread_join(thread, NULL);
	repair_all(&result);
	end(true);
}
END_TEST

START_TEST(changes_behind_the_count_are_in_it)
{
	struct gmig_repair result;
	struct gmig_error err = {0};
	uint64_t id = 0;

	if (!_i && !thp_or_skip())
		return;
	start(_i, false);
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	ck_assert_uint_eq(result.visited_pages, GMIG_BLOCK_PAGES);
	if (_i == 0)
		ck_assert_int_eq(books_split(rig.gmig, &rig.gmig->regions[0], 0), 0);
	if (_i == 1)
		change(100, false, SHADOW_DISCARD);
	if (_i == 2 || _i == 3)
		change(100, false, SHADOW_SWAP_OUT);
	if (_i == 3)
		change(100, false, SHADOW_CORRECT);
	while (!result.done)
		ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	ck_assert(result.ok);
	ck_assert_uint_eq(result.book_pages, 0);
	repair_all(&result);
	ck_assert_uint_eq(result.book_pages, 0);
	end(true);
}
END_TEST

static void add_region(void)
{
	const struct gmig_region_spec spec = {.gpa = BYTES, .bytes = BYTES, .vnode = 1};
	struct gmig_error err = {0};
	void *ram;

	ck_assert_msg(!gmig_region_add(rig.gmig, &spec, &ram, &err), "%s", err.text);
	memset(ram, 1, BYTES);
	rig_settle(&rig);
}

START_TEST(region_that_comes_in_the_middle_is_compared_too)
{
	struct gmig_repair result;
	struct gmig_error err = {0};
	uint64_t id = 0;

	start(false, false);
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	for (int i = 0; i < _i; i++)
		ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	ck_assert(!result.done);
	add_region();
	while (!result.done)
		ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	ck_assert(result.ok);
	ck_assert_uint_eq(result.total_pages, 2 * PAGES);
	ck_assert_uint_eq(result.visited_pages, 2 * PAGES);
	ck_assert_uint_eq(result.book_pages, 0);
	ck_assert_uint_eq(result.check.mapped_bytes, 2 * BYTES);
	end(true);
}
END_TEST

/* When all has been counted, and the books are about to be compared: the third time that the last call asks for the time. */
START_TEST(region_that_comes_at_the_end_is_in_the_count)
{
	struct gmig_repair result;
	struct gmig_error err = {0};
	uint64_t id = 0;

	start(false, false);
	do {
		ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	} while (result.visited_pages < PAGES);
	ck_assert(!result.done);
	when_asked = add_region;
	clock_calls = 3;
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	ck_assert(result.done);
	ck_assert_uint_eq(result.total_pages, 2 * PAGES);
	ck_assert_uint_eq(result.visited_pages, PAGES);
	ck_assert_uint_eq(result.book_pages, 0);
	ck_assert_uint_eq(result.check.mapped_bytes, 2 * BYTES);
	end(true);
}
END_TEST

/* ---- Memory that others map, too ------------------------------------------------------------------------- */

/* A peer touches the first pages, and punches them out again. */
START_TEST(what_peers_touch_is_news_and_what_they_punch_out_is_gone)
{
	struct gmig_region_file file;
	struct gmig_repair result;
	uint8_t *peer;

	start_kind(GMIG_REGION_MEMFD);
	ck_assert_int_eq(gmig_region_file(rig.gmig, 0, &file), 0);
	peer = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
	ck_assert_ptr_ne(peer, MAP_FAILED);
	for (unsigned int i = 0; i < 600; i++)
		peer[i * GMIG_PAGE_BYTES] = 1;
	repair_all(&result);
	ck_assert(result.ok);
	only(&result, GMIG_DIFFERS_ABSENT, 0);
	ck_assert_uint_ge(result.touched_pages, 600); /* more with huge pages */
	ck_assert_uint_eq(result.check.mapped_bytes, result.touched_pages * GMIG_PAGE_BYTES);
	ck_assert_int_eq(madvise(peer, BYTES, MADV_REMOVE), 0);
	repair_all(&result);
	ck_assert(result.ok);
	ck_assert_uint_ge(result.corrected[GMIG_DIFFERS_ABSENT], 600);
	ck_assert_uint_eq(result.check.mapped_bytes, 0);
	ck_assert_int_eq(munmap(peer, BYTES), 0);
	end(false);
}
END_TEST

/* ---- What cannot be asked ----------------------------------------------------------------------------- */

START_TEST(pages_that_the_kernel_cannot_be_asked_about_are_left)
{
	struct gmig_repair result;

	start(_i & 1, true);
	atomic_store(_i & 2 ? &scan_fails : &query_fails, true);
	repair_all(&result);
	ck_assert(!result.ok);
	ck_assert_uint_eq(result.unknown_pages, PAGES);
	atomic_store(&scan_fails, false);
	atomic_store(&query_fails, false);
	end(true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repair");
	TCase *tcase = tcase_create("repair");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, pages_that_others_moved_are_told_and_corrected, 0, 2);
	tcase_add_loop_test(tcase, pages_that_are_gone_are_told_and_corrected, 0, 2);
	tcase_add_loop_test(tcase, pages_that_nobody_told_of_are_a_breach_and_corrected, 0, 2);
	tcase_add_test(tcase, pages_in_swap_and_back_are_told_and_corrected);
	tcase_add_loop_test(tcase, blocks_of_another_size_are_told_and_corrected, 0, 2);
	tcase_add_loop_test(tcase, pages_left_write_protected_are_told_and_opened, 0, 2);
	tcase_add_loop_test(tcase, pages_held_by_nobody_are_put_back, 0, 4);
	tcase_add_loop_test(tcase, page_held_by_nobody_whose_memory_is_away_stays_as_it_is, 0, 2);
	tcase_add_loop_test(tcase, threads_that_sleep_on_an_open_page_are_woken, 0, 4);
	tcase_add_loop_test(tcase, books_that_differ_are_told_and_corrected_together, 0, 5);
	tcase_add_loop_test(tcase, changes_behind_the_count_are_in_it, 0, 4);
	tcase_add_test(tcase, count_beside_changes_finds_no_difference);
	tcase_add_test(tcase, region_that_comes_at_the_end_is_in_the_count);
	tcase_add_loop_test(tcase, region_that_comes_in_the_middle_is_compared_too, 0, 4);
	tcase_add_test(tcase, what_peers_touch_is_news_and_what_they_punch_out_is_gone);
	tcase_add_loop_test(tcase, pages_that_the_kernel_cannot_be_asked_about_are_left, 0, 4);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
