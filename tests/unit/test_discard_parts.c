/* Memory that is given back, part by part: what the kernel is asked for, and what is left as it was when it refuses. */
#include "../../migrate/core/heat.h"
#include "../../migrate/gmig_discard.h"
#include "../../migrate/memory/books.h"
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/region.h"
#include "no_tables.h"
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES (8ull << 20)
#define BLOCK GMIG_BLOCK_PAGES

static struct rig rig;
static struct gmig_sys sys;
static struct region_kind kind; /* the region's own, but for what gives memory back */
static const struct region_kind *real_kind;

static struct {
	uint64_t gfn, pages;
} asked[20];
static unsigned int count, fail_at; /* questions; the one that fails, from 1: 0: none */
static unsigned int colds;	    /* parts of a huge page that the kernel was to split */
static uint64_t cold_at;
static size_t cold_bytes;

static int discard_noted(struct gmig *gmig, const struct region *region, uint64_t gfn,
			 uint64_t pages)
{
	ck_assert_ptr_eq(region, &gmig->regions[0]);
	ck_assert_uint_lt(count, 20);
	asked[count].gfn = gfn;
	asked[count++].pages = pages;
	return count == fail_at ? -EIO : real_kind->discard(gmig, region, gfn, pages);
}

static int advise_noted(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_COLD) {
		ck_assert_uint_eq(count, 0); /* before any of it goes */
		colds++;
		cold_at = ((uintptr_t)memory - (uintptr_t)rig_page(&rig, 0)) / GMIG_PAGE_BYTES;
		cold_bytes = bytes;
	}
	return gmig_sys_real.advise(memory, bytes, advice);
}

static void start(bool small)
{
	sys = gmig_sys_real;
	sys.advise = advise_noted;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = small, .sys = &sys});
	real_kind = rig.gmig->regions[0].kind;
	kind = *real_kind;
	kind.discard = discard_noted;
	rig.gmig->regions[0].kind = &kind;
	fail_at = 0;
}

static void end(void)
{
	rig.gmig->regions[0].kind = real_kind;
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

/* It ends so, with so many pages given back, and the kernel was asked so often. */
static void discard(uint64_t page, uint64_t pages, int wanted, uint64_t done_pages,
		    unsigned int questions)
{
	size_t done;

	count = colds = 0;
	ck_assert_int_eq(gmig_discard(rig.gmig, (const void *)rig_page(&rig, page),
				      pages * GMIG_PAGE_BYTES, &done),
			 wanted);
	ck_assert_uint_eq(done, done_pages * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(count, questions);
}

static void part(unsigned int i, uint64_t gfn, uint64_t pages)
{
	ck_assert_uint_lt(i, count);
	ck_assert_uint_eq(asked[i].gfn, gfn);
	ck_assert_uint_eq(asked[i].pages, pages);
}

static void expect(uint64_t first, uint64_t pages, enum shadow_state state, unsigned int order)
{
	struct shadow_entry entry;

	for (uint64_t page = first; page < first + pages; page++) {
		ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, page, &entry), 0);
		ck_assert_msg(entry.state == state && entry.order == order, "page %llu is %s",
			      (unsigned long long)page, shadow_state_name(entry.state));
	}
}

static void change(uint64_t gfn, enum shadow_event event)
{
	const struct books_event event_of = {.region = &rig.gmig->regions[0],
					     .change = {.gfn = gfn, .event = event, .node = 1},
					     .memory = BOOKS_KERNEL};
	struct stripe *stripe = engine_stripe(rig.gmig, gfn);

	pthread_mutex_lock(&stripe->lock);
	ck_assert_int_eq(books_change(rig.gmig, &event_of, NULL), 0);
	pthread_mutex_unlock(&stripe->lock);
}

/* No thread that touches the block waits for more than 128 pages. */
START_TEST(small_pages_go_in_parts_of_128_within_their_block)
{
	start(true);
	discard(BLOCK + 100, 300, 0, 300, 3);
	part(0, BLOCK + 100, 128);
	part(1, BLOCK + 228, 128);
	part(2, BLOCK + 356, 44);
	expect(BLOCK + 99, 1, SHADOW_PRESENT, 0);
	expect(BLOCK + 100, 300, SHADOW_NONE, 0);
	expect(BLOCK + 400, 1, SHADOW_PRESENT, 0);
	discard(BLOCK + 450, 200, 0, 200, 3);
	part(0, BLOCK + 450, 62);
	part(1, 2 * BLOCK, 128);
	part(2, 2 * BLOCK + 128, 10);
	discard(3 * BLOCK, BLOCK, 0, BLOCK, 4);
	part(3, 4 * BLOCK - 128, 128);
	discard(0, 129, 0, 129, 2);
	part(1, 128, 1);
	ck_assert_uint_eq(colds, 0);
	end();
}
END_TEST

START_TEST(huge_page_goes_at_once_and_is_not_split)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		discard(BLOCK, 2 * BLOCK, 0, 2 * BLOCK, 2);
		part(0, BLOCK, BLOCK);
		part(1, 2 * BLOCK, BLOCK);
		ck_assert_uint_eq(colds, 0);
		expect(0, BLOCK, SHADOW_PRESENT, 9);
		expect(BLOCK, 2 * BLOCK, SHADOW_NONE, 9);
		expect(3 * BLOCK, BLOCK, SHADOW_PRESENT, 9);
		/* What is not there need not go. */
		discard(BLOCK, 2 * BLOCK, 0, 2 * BLOCK, 0);
		discard(BLOCK + 3, 7, 0, 7, 0);
		expect(BLOCK, 2 * BLOCK, SHADOW_NONE, 9);
		/* The kernel may have filled it meanwhile, where it does. */
		kind.kernel_fills = true;
		discard(BLOCK, BLOCK, 0, BLOCK, 1);
		expect(BLOCK, BLOCK, SHADOW_NONE, 9);
		kind.kernel_fills = false;
	}
	end();
}
END_TEST

START_TEST(kernel_splits_the_huge_page_of_which_a_part_goes)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		discard(BLOCK + 100, 30, 0, 30, 1);
		ck_assert_uint_eq(colds, 1);
		ck_assert_uint_eq(cold_at, BLOCK + 100);
		ck_assert_uint_eq(cold_bytes, GMIG_PAGE_BYTES);
		expect(BLOCK + 99, 1, SHADOW_PRESENT, 0);
		expect(BLOCK + 100, 30, SHADOW_NONE, 0);
		expect(BLOCK + 130, 1, SHADOW_PRESENT, 0);
		/* Neither a file's nor where there are none. */
		kind.kernel_fills = true;
		discard(2 * BLOCK, 5, 0, 5, 1);
		ck_assert_uint_eq(colds, 0);
		kind.kernel_fills = false;
		rig.gmig->thp = false;
		discard(3 * BLOCK, 5, 0, 5, 1);
		ck_assert_uint_eq(colds, 0);
		rig.gmig->thp = true;
	}
	end();
}
END_TEST

START_TEST(part_that_the_kernel_refuses_stays_with_all_behind_it)
{
	struct heat *heat;

	start(true);
	ck_assert_int_eq(heat_create(&heat), 0);
	atomic_store(&rig.gmig->memory.heat, heat);
	ck_assert_int_eq(heat_note(heat, 1, 1000, GMIG_NO_NODE, 1), 0);
	broken_pages_add(&rig.gmig->broken, BLOCK + 127);
	broken_pages_add(&rig.gmig->broken, BLOCK + 128);
	fail_at = 2;
	discard(BLOCK, BLOCK, -EIO, 128, 2);
	part(1, BLOCK + 128, 128);
	expect(BLOCK, 128, SHADOW_NONE, 0);
	expect(BLOCK + 128, BLOCK - 128, SHADOW_PRESENT, 0);
	ck_assert_uint_eq(atomic_load(&rig.gmig->broken.count), 1);
	ck_assert_uint_eq(rig.gmig->broken.gfn[0], BLOCK + 128);
	fail_at = 0;
	discard(BLOCK + 128, BLOCK - 129, 0, BLOCK - 129, 3);
	ck_assert_uint_eq(atomic_load(&rig.gmig->broken.count), 0);
	ck_assert_uint_ne(heat_of(heat, 1, 1), HEAT_UNKNOWN); /* of its last page */
	discard(2 * BLOCK - 1, 1, 0, 1, 1);
	ck_assert_uint_eq(heat_of(heat, 1, 1), HEAT_UNKNOWN);
	end();
}
END_TEST

START_TEST(page_in_swap_goes_and_page_of_a_move_does_not)
{
	start(true);
	change(BLOCK + 5, SHADOW_SWAP_OUT);
	discard(BLOCK + 5, 1, 0, 1, 1);
	expect(BLOCK + 5, 1, SHADOW_NONE, 0);
	change(BLOCK + 7, SHADOW_CLAIM);
	discard(BLOCK + 6, 3, -EBUSY, 0, 0);
	discard(BLOCK + 7, 1, -EBUSY, 0, 0);
	ck_assert_uint_eq(colds, 0);
	discard(BLOCK + 8, 1, 0, 1, 1);
	expect(BLOCK + 6, 1, SHADOW_PRESENT, 0);
	change(BLOCK + 7, SHADOW_PUTBACK);
	end();
}
END_TEST

START_TEST(part_of_a_huge_page_stays_without_memory_for_its_entries)
{
	const struct shadow_alloc alloc = {table_alloc, table_release};

	start(false);
	if (huge_or_skip(rig.gmig)) {
		struct books_event event = {
		    .region = &rig.gmig->regions[0],
		    .change = {.gfn = BLOCK, .order = 9, .event = SHADOW_TOUCH},
		    .memory = BOOKS_KERNEL};

		atomic_store(&no_tables, false);
		shadow_destroy(rig.gmig->shadow);
		ck_assert_int_eq(shadow_create(&alloc, &rig.gmig->shadow), 0);
		ck_assert_int_eq(shadow_reserve(rig.gmig->shadow, 0, rig.pages), 0);
		ck_assert_int_eq(books_change(rig.gmig, &event, NULL), 0);
		atomic_store(&no_tables, true);
		discard(BLOCK + 3, 7, -ENOMEM, 0, 0);
		expect(BLOCK, BLOCK, SHADOW_PRESENT, 9);
		atomic_store(&no_tables, false);
		discard(BLOCK + 3, 7, 0, 7, 1);
		expect(BLOCK + 3, 7, SHADOW_NONE, 0);
		expect(BLOCK + 2, 1, SHADOW_PRESENT, 0);
	}
	rig.gmig->regions[0].kind = real_kind;
	rig_destroy(&rig);
}
END_TEST

START_TEST(larger_pages_go_as_a_whole_or_not_at_all)
{
	start(true);
	rig.gmig->regions[0].hugetlb = true;
	discard(BLOCK, BLOCK, 0, BLOCK, 1);
	part(0, BLOCK, BLOCK);
	discard(BLOCK, BLOCK - 1, -EOPNOTSUPP, 0, 0);
	discard(BLOCK + 1, BLOCK - 1, -EOPNOTSUPP, 0, 0);
	rig.gmig->regions[0].hugetlb = false;
	kind.always_whole = true;
	discard(2 * BLOCK, BLOCK, 0, BLOCK, 1);
	discard(2 * BLOCK, 1, -EOPNOTSUPP, 0, 0);
	rig.gmig->regions[0].unit_pages = 2 * BLOCK; /* larger than a block */
	discard(2 * BLOCK, 2 * BLOCK, -EOPNOTSUPP, 0, 0);
	rig.gmig->regions[0].unit_pages = BLOCK;
	kind.always_whole = false;
	end();
}
END_TEST

START_TEST(plain_memory_goes_without_a_look_at_the_table)
{
	start(true);
	change(BLOCK + 7, SHADOW_CLAIM);
	rig.gmig->plain = true;
	discard(BLOCK, BLOCK, 0, BLOCK, 4);
	fail_at = 2;
	discard(BLOCK, BLOCK, -EIO, 128, 2);
	rig.gmig->plain = false;
	expect(BLOCK + 7, 1, SHADOW_CLAIMED, 0);
	expect(BLOCK + 8, 1, SHADOW_PRESENT, 0);
	rig.gmig->regions[0].kind = real_kind;
	rig_destroy(&rig);
}
END_TEST

/* ---- Who has it wait ----------------------------------------------------------------------------- */

static unsigned int told;
static struct claim_touch last_touch;

static void touched(void *arg, const struct claim_touch *touch)
{
	(void)arg;
	told++;
	last_touch = *touch;
}

START_TEST(whoever_has_a_page_wait_for_a_touch_hears_that_its_block_is_wanted)
{
	struct claim claim = {
	    .to = 1, .owner = 7, .memory = BOOKS_KERNEL, .block_gfn = BLOCK, .touched = touched};
	const struct claim_result nothing = {.stall = NULL};
	struct bits refused;

	start(true);
	told = 0;
	claim.gmig = rig.gmig;
	claim.region = &rig.gmig->regions[0];
	bits_set_range(&claim.pages, 200, 10);
	claim_take(&claim, &refused);
	discard(BLOCK + 10, 2, -EBUSY, 0, 0); /* another page of its block */
	ck_assert_uint_eq(told, 1);
	ck_assert_uint_eq(last_touch.gfn, BLOCK + 200);
	ck_assert_int_eq(last_touch.tid, 0);
	discard(2 * BLOCK, 2, 0, 2, 1);
	discard(0, BLOCK, 0, BLOCK, 4);
	ck_assert_uint_eq(told, 1);
	claim_settle(&claim, &nothing);
	discard(BLOCK + 200, 10, 0, 10, 1);
	ck_assert_uint_eq(told, 1);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("discard_parts");
	TCase *tcase = tcase_create("discard_parts");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, small_pages_go_in_parts_of_128_within_their_block);
	tcase_add_test(tcase, huge_page_goes_at_once_and_is_not_split);
	tcase_add_test(tcase, kernel_splits_the_huge_page_of_which_a_part_goes);
	tcase_add_test(tcase, part_that_the_kernel_refuses_stays_with_all_behind_it);
	tcase_add_test(tcase, page_in_swap_goes_and_page_of_a_move_does_not);
	tcase_add_test(tcase, part_of_a_huge_page_stays_without_memory_for_its_entries);
	tcase_add_test(tcase, larger_pages_go_as_a_whole_or_not_at_all);
	tcase_add_test(tcase, plain_memory_goes_without_a_look_at_the_table);
	tcase_add_test(tcase, whoever_has_a_page_wait_for_a_touch_hears_that_its_block_is_wanted);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
