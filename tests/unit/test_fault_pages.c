/* The fault thread: what it does with a touch, by what is known of the page. */
#include "../../migrate/memory/claim.h"
#include "fault_rig.h"
#include "no_tables.h"

#include <sys/syscall.h>

/* ---- Somebody has the page ---------------------------------------------------------------------- */

static struct claim claim;

/* Pages 100..200 of the second block, which is there, as small pages. */
static void take_claim(void)
{
	struct bits refused;

	split(BLOCK, 0, BLOCK);
	claim = (struct claim){
	    .gmig = rig.gmig, .region = region, .block_gfn = BLOCK, .to = 1, .owner = 7};
	bits_set_range(&claim.pages, 100, 100);
	claim_take(&claim, &refused);
	ck_assert(bits_empty(&refused));
}

static void let_go(void)
{
	const struct claim_result nothing = {.stall = NULL};

	claim_settle(&claim, &nothing);
	ck_assert_uint_eq(atomic_load(&rig.gmig->sleepers), 0);
}

static void expect_sleepers(unsigned int count)
{
	const struct sleeper *sleeper = engine_stripe(rig.gmig, BLOCK)->sleepers;
	unsigned int listed = 0;

	for (; sleeper; sleeper = sleeper->next)
		listed++;
	ck_assert_uint_eq(listed, count);
	ck_assert_uint_eq(atomic_load(&rig.gmig->sleepers), count);
}

/* The one that was listed last. */
static void expect_sleeper(uint64_t gfn, int tid, bool writer, bool vcpu, uint64_t since_ns)
{
	const struct sleeper *sleeper = engine_stripe(rig.gmig, BLOCK)->sleepers;

	ck_assert_ptr_nonnull(sleeper);
	ck_assert_uint_eq(sleeper->gfn, gfn);
	ck_assert_int_eq(sleeper->tid, tid);
	ck_assert_int_eq(sleeper->writer, writer);
	ck_assert_int_eq(sleeper->vcpu, vcpu);
	ck_assert_uint_eq(sleeper->since_ns, since_ns);
}

START_TEST(toucher_of_a_claimed_page_is_listed_and_not_woken)
{
	start();
	take_claim();
	ck_assert_int_eq(gmig_name_vcpu_thread(rig.gmig, 0, 78), 0);
	touch_by(BLOCK + 100, 77, 0, "");
	expect_sleeper(BLOCK + 100, 77, false, false, clock_ns);
	clock_ns += 5;
	touch_by(BLOCK + 199, 78, WRITE, "");
	expect_sleeper(BLOCK + 199, 78, true, true, clock_ns);
	expect_sleepers(2);
	/* A signal woke it, and it touches another page: one thread sleeps once, and since then. */
	clock_ns += 5;
	touch_by(BLOCK + 150, 78, 0, "");
	expect_sleeper(BLOCK + 150, 78, true, true, clock_ns - 5);
	touch_by(BLOCK + 151, 77, 0, "");
	expect_sleepers(2);
	/* Who has no number is somebody else each time. */
	touch_by(BLOCK + 150, 0, 0, "");
	touch_by(BLOCK + 150, 0, 0, "");
	expect_sleepers(4);
	ck_assert_uint_eq(lines, 0);
	let_go();
	end();
}
END_TEST

START_TEST(toucher_that_cannot_be_listed_touches_again)
{
	start();
	take_claim();
	no_sleepers = true;
	touch_by(BLOCK + 100, 77, 0, "W612");
	expect_sleepers(0);
	no_sleepers = false;
	touch_by(BLOCK + 100, 77, 0, "");
	no_sleepers = true; /* nothing is needed for who is listed */
	touch_by(BLOCK + 101, 77, 0, "");
	expect_sleepers(1);
	no_sleepers = false;
	let_go();
	end();
}
END_TEST

START_TEST(page_that_is_over_wakes_its_toucher_before_the_books_follow)
{
	start();
	take_claim();
	claim_part_over(&claim, 100, 10, NULL);
	touch_by(BLOCK + 109, 77, 0, "W621");
	touch_by(BLOCK + 110, 77, 0, "");
	expect_sleepers(1);
	expect(BLOCK + 109, SHADOW_COPYING, 0);
	let_go();
	end();
}
END_TEST

START_TEST(page_that_is_claimed_and_not_closed_yet_keeps_its_toucher_too)
{
	start();
	split(BLOCK, 0, BLOCK);
	change(BLOCK + 7, 0, SHADOW_CLAIM);
	touch_by(BLOCK + 7, 77, 0, "");
	expect_sleepers(1);
	end();
}
END_TEST

/* It would wait for itself. */
START_TEST(reader_of_a_claim_gets_zeros_that_may_not_be_written)
{
	int tid = (int)syscall(SYS_gettid);

	start();
	take_claim();
	touch_by(BLOCK + 120, tid, 0, ""); /* it does not read yet */
	expect_sleepers(1);
	claim_read_begin(&claim);
	touch_by(BLOCK + 120, tid, 0, "Z632 W632");
	touch_by(BLOCK + 120, tid + 1, 0, "");
	expect_sleepers(2);
	touch_by(BLOCK + 120, tid, PROTECT | WRITE, ""); /* it is there: nothing to fill */
	expect_sleepers(2);
	claim_read_end(&claim);
	let_go();
	end();
}
END_TEST

/* ---- Pages that wait ---------------------------------------------------------------------------- */

static struct claim_touch told;
static unsigned int tellings;

static void note_touch(void *arg, const struct claim_touch *touch_of)
{
	ck_assert_ptr_eq(arg, &tellings);
	told = *touch_of;
	tellings++;
}

static void have_it_wait(void)
{
	const struct bits nothing = {{0}};
	struct bits pages;

	take_claim();
	claim.touched = note_touch;
	claim.touched_arg = &tellings;
	pages = claim.pages;
	claim_wait(&claim, &pages, &nothing);
	expect(BLOCK + 100, SHADOW_HINT, 0);
}

static void expect_told(uint64_t gfn, int tid, bool vcpu, bool writer)
{
	ck_assert_uint_eq(told.gfn, gfn);
	ck_assert_int_eq(told.tid, tid);
	ck_assert_int_eq(told.vcpu, vcpu);
	ck_assert_int_eq(told.writer, writer);
}

START_TEST(touch_of_a_page_that_waits_is_told_to_whoever_has_it_wait)
{
	start();
	have_it_wait();
	ck_assert_int_eq(gmig_name_vcpu_thread(rig.gmig, 0, 78), 0);
	touch_by(BLOCK + 100, 77, WRITE, "");
	expect_told(BLOCK + 100, 77, false, true);
	touch_by(BLOCK + 199, 78, PROTECT, "");
	expect_told(BLOCK + 199, 78, true, false);
	expect_sleepers(2);
	expect_sleeper(BLOCK + 199, 78, false, true, clock_ns);
	/* Only its wait is not measured. */
	no_sleepers = true;
	touch_by(BLOCK + 150, 79, 0, "");
	expect_told(BLOCK + 150, 79, false, false);
	ck_assert_uint_eq(tellings, 3);
	expect_sleepers(2);
	ck_assert_uint_eq(lines, 0);
	claim_pick(&claim, &claim.pages, 1);
	let_go();
	end();
}
END_TEST

START_TEST(page_that_waits_for_nobody_is_told_as_an_error)
{
	start();
	split(BLOCK, 0, BLOCK);
	change(BLOCK + 7, 0, SHADOW_CLAIM);
	change(BLOCK + 7, 0, SHADOW_CLOSE);
	change(BLOCK + 7, 0, SHADOW_WAIT);
	touch_by(BLOCK + 7, 77, 0, "");
	ck_assert_uint_eq(lines, 1);
	ck_assert_int_eq(level, GMIG_LOG_ERROR);
	ck_assert_str_eq(line, "event=hint-of-nobody gfn=0x207");
	expect_sleepers(1);
	end();
}
END_TEST

/* ---- Pages that are there ----------------------------------------------------------------------- */

START_TEST(late_message_about_a_page_that_is_there_wakes)
{
	start();
	change(BLOCK, 9, SHADOW_TOUCH);
	bits_set(&shown.present, 5);
	touch(BLOCK + 5, "W517");
	ck_assert_uint_eq(scanned_gfn, BLOCK);
	scan_says = -ENOMEM; /* it cannot be told: it touches again */
	memset(&shown, 0, sizeof(shown));
	touch(BLOCK + 5, "W517");
	expect(BLOCK + 5, SHADOW_PRESENT, 9);
	scan_says = 0;
	end();
}
END_TEST

START_TEST(page_that_was_left_protected_is_opened_and_told_once_a_second)
{
	start();
	split(BLOCK, 0, BLOCK);
	bits_fill(&shown.present);
	bits_set(&shown.protected, 5);
	touch_by(BLOCK + 5, 1, PROTECT | WRITE, "U517 W517");
	ck_assert_uint_eq(lines, 1);
	ck_assert_int_eq(level, GMIG_LOG_WARNING);
	ck_assert_str_eq(line, "event=left-protected gfn=0x205 held=0");
	touch_by(BLOCK + 4, 1, PROTECT | WRITE, "W516");
	touch_by(BLOCK + 5, 1, PROTECT | WRITE, "U517 W517");
	ck_assert_uint_eq(lines, 0);
	clock_ns += LOG_LIMIT_NS;
	touch_by(BLOCK + 5, 1, PROTECT | WRITE, "U517 W517");
	ck_assert_str_eq(line, "event=left-protected gfn=0x205 held=1");
	/* One that is never in smaller ones is opened whole. */
	kind.always_whole = true;
	region->unit_pages = 2 * BLOCK;
	touch_by(BLOCK + 5, 1, PROTECT | WRITE, "U0+1024 W517");
	end();
}
END_TEST

START_TEST(small_page_that_was_thrown_away_is_filled_again)
{
	start();
	split(BLOCK, 0, BLOCK);
	bits_fill(&shown.present);
	bits_clear_range(&shown.present, 5, 1);
	touch(BLOCK + 5, "F517 W517");
	expect(BLOCK + 5, SHADOW_PRESENT, 0);
	fill_says = -ENOMEM;
	touch(BLOCK + 5, "F517");
	expect(BLOCK + 5, SHADOW_NONE, 0);
	expect(BLOCK + 4, SHADOW_PRESENT, 0);
	expect(BLOCK + 6, SHADOW_PRESENT, 0);
	ck_assert_uint_eq(starved(), 1);
	end();
}
END_TEST

/* The block before, and the one behind, may be as they like. */
START_TEST(huge_page_that_was_thrown_away_is_filled_as_one)
{
	start();
	for (unsigned int i = 0; i < 3; i++)
		change((uint64_t)i * BLOCK, 9, SHADOW_TOUCH);
	fill_says = -EIO;
	touch(BLOCK + 5, "F517h W517");
	expect(0, SHADOW_PRESENT, 9);
	expect(BLOCK, SHADOW_NONE, 9);
	expect(2 * BLOCK, SHADOW_PRESENT, 9);
	end();
}
END_TEST

START_TEST(page_of_several_blocks_that_was_thrown_away_is_gone_in_all_of_them)
{
	start();
	for (unsigned int i = 0; i < 4; i++)
		change((uint64_t)i * BLOCK, 9, SHADOW_TOUCH);
	region->unit_pages = 2 * BLOCK;
	fill_says = -EIO;
	touch(3 * BLOCK + 5, "F1541h W1541");
	expect(0, SHADOW_PRESENT, 9);
	expect(BLOCK, SHADOW_PRESENT, 9);
	expect(2 * BLOCK, SHADOW_NONE, 9);
	expect(3 * BLOCK, SHADOW_NONE, 9);
	end();
}
END_TEST

START_TEST(part_of_a_huge_page_that_was_thrown_away_is_filled_alone)
{
	start();
	change(BLOCK, 9, SHADOW_TOUCH);
	bits_set(&shown.present, 4);
	fill_says = -EIO;
	touch(BLOCK + 5, "F517 W517");
	expect(BLOCK + 4, SHADOW_PRESENT, 0);
	expect(BLOCK + 5, SHADOW_NONE, 0);
	expect(BLOCK + 6, SHADOW_PRESENT, 0); /* it is asked about when it is touched */
	fill_says = 0;
	touch(BLOCK + 6, "F518 W518");
	end();
}
END_TEST

START_TEST(huge_page_that_cannot_be_split_is_left_and_its_toucher_woken)
{
	const struct shadow_alloc alloc = {table_alloc, table_release};

	start();
	shadow_destroy(rig.gmig->shadow);
	ck_assert_int_eq(shadow_create(&alloc, &rig.gmig->shadow), 0);
	ck_assert_int_eq(shadow_reserve(rig.gmig->shadow, 0, rig.pages), 0);
	change(BLOCK, 9, SHADOW_TOUCH);
	bits_set(&shown.present, 4);
	atomic_store(&no_tables, true);
	touch(BLOCK + 5, "W517");
	expect(BLOCK + 5, SHADOW_PRESENT, 9);
	atomic_store(&no_tables, false);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault_pages");
	TCase *tcase = tcase_create("fault_pages");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, toucher_of_a_claimed_page_is_listed_and_not_woken);
	tcase_add_test(tcase, toucher_that_cannot_be_listed_touches_again);
	tcase_add_test(tcase, page_that_is_over_wakes_its_toucher_before_the_books_follow);
	tcase_add_test(tcase, page_that_is_claimed_and_not_closed_yet_keeps_its_toucher_too);
	tcase_add_test(tcase, reader_of_a_claim_gets_zeros_that_may_not_be_written);
	tcase_add_test(tcase, touch_of_a_page_that_waits_is_told_to_whoever_has_it_wait);
	tcase_add_test(tcase, page_that_waits_for_nobody_is_told_as_an_error);
	tcase_add_test(tcase, late_message_about_a_page_that_is_there_wakes);
	tcase_add_test(tcase, page_that_was_left_protected_is_opened_and_told_once_a_second);
	tcase_add_test(tcase, small_page_that_was_thrown_away_is_filled_again);
	tcase_add_test(tcase, huge_page_that_was_thrown_away_is_filled_as_one);
	tcase_add_test(tcase, page_of_several_blocks_that_was_thrown_away_is_gone_in_all_of_them);
	tcase_add_test(tcase, part_of_a_huge_page_that_was_thrown_away_is_filled_alone);
	tcase_add_test(tcase, huge_page_that_cannot_be_split_is_left_and_its_toucher_woken);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
