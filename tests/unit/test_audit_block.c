/* One block against a kernel that says what the test wants it to: which pages are asked about, changed, counted and told of. */
#include "../../migrate/core/uffd.h"
#include "../../migrate/memory/audit_block.h"
#include "../../migrate/memory/books.h"
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/ledger.h"
#include "../../migrate/memory/region.h"
#include "no_tables.h"
#include "rig.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>

#define BYTES (8ull << 20)
#define BLOCK GMIG_BLOCK_PAGES

static struct rig rig;
static struct gmig_sys sys;
static struct region_kind kind; /* ours */
static const struct region_kind *real_kind;

/* ---- The kernel ---------------------------------------------------------------------------------- */

static struct uffd_scan shown;
static int node_shown[BLOCK];
static int scan_error, query_error, protect_error;
static unsigned int scans, queries;
static struct bits asked; /* in the last question */
static struct uffdio_range opened[4];
static unsigned int openings;

static int scan_shown(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
		      struct uffd_scan *scan)
{
	(void)gmig, (void)region;
	ck_assert_uint_eq(block_gfn, BLOCK);
	scans++;
	*scan = shown;
	return scan_error;
}

static int query_shown(struct gmig *gmig, const struct region *region, size_t count,
		       const uint64_t *gfns, int *status)
{
	(void)gmig, (void)region;
	queries++;
	bits_clear_all(&asked);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_lt(gfns[i] - BLOCK, BLOCK);
		bits_set(&asked, (unsigned int)(gfns[i] - BLOCK));
		status[i] = node_shown[gfns[i] - BLOCK];
	}
	return query_error;
}

static int ioctl_noted(int fd, unsigned long request, void *arg)
{
	const struct uffdio_writeprotect *protect = arg;

	if (request != UFFDIO_WRITEPROTECT)
		return gmig_sys_real.ioctl(fd, request, arg);
	ck_assert_uint_eq(protect->mode, 0);
	ck_assert_uint_lt(openings, 4);
	opened[openings] = protect->range;
	opened[openings++].start -= (uintptr_t)rig_page(&rig, BLOCK);
	return protect_error;
}

/* A guest whose block 1 has all of its pages, on node 0, and a kernel that shows the same. */
static void start(bool small)
{
	sys = gmig_sys_real;
	sys.ioctl = ioctl_noted;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = small, .sys = &sys});
	real_kind = rig.gmig->regions[0].kind;
	kind = *real_kind;
	kind.scan = scan_shown;
	kind.query = query_shown;
	kind.own = true; /* is asked although the nodes are none of the host's */
	rig.gmig->regions[0].kind = &kind;
	memset(&shown, 0, sizeof(shown));
	memset(node_shown, 0, sizeof(node_shown));
	bits_fill(&shown.present);
	shown.huge = !small;
	scan_error = query_error = protect_error = 0;
	scans = queries = openings = 0;
}

static void end(void)
{
	rig.gmig->regions[0].kind = real_kind;
	rig_destroy(&rig);
}

/* ---- The audit ----------------------------------------------------------------------------------- */

static struct gmig_check check;
static struct gmig_repair repair;
static struct audit_block block;

static void audit_part(unsigned int first, unsigned int count, bool repairs)
{
	memset(&check, 0, sizeof(check));
	memset(&repair, 0, sizeof(repair));
	memset(&block, 0xa5, sizeof(block)); /* nothing is expected to be cleared */
	block.gmig = rig.gmig;
	block.region = &rig.gmig->regions[0];
	block.stripe = engine_stripe(rig.gmig, BLOCK);
	block.gfn = BLOCK;
	block.check = &check;
	block.repair = repairs ? &repair : NULL;
	bits_clear_all(&block.part);
	bits_set_range(&block.part, first, count);
	bits_fill(&block.rest);
	bits_remove(&block.rest, &block.part);
	pthread_mutex_lock(&block.stripe->lock);
	audit_block(&block);
	pthread_mutex_unlock(&block.stripe->lock);
}

static void audit(void)
{
	audit_part(0, BLOCK, true);
}

static void change(unsigned int page, unsigned int order, enum shadow_event event)
{
	const struct books_event event_of = {
	    .region = &rig.gmig->regions[0],
	    .change = {.gfn = BLOCK + page, .order = order, .event = event, .node = 1},
	    .memory = BOOKS_KERNEL};
	struct stripe *stripe = engine_stripe(rig.gmig, BLOCK);

	pthread_mutex_lock(&stripe->lock);
	ck_assert_int_eq(books_change(rig.gmig, &event_of, NULL), 0);
	pthread_mutex_unlock(&stripe->lock);
}

static void expect(unsigned int first, unsigned int count, enum shadow_state state,
		   unsigned int node)
{
	struct shadow_entry entry;

	for (unsigned int i = first; i < first + count; i++) {
		ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, BLOCK + i, &entry), 0);
		ck_assert_msg(entry.state == state && entry.node == node, "page %u is %s on %u", i,
			      shadow_state_name(entry.state), entry.node);
	}
}

/* Of this kind alone, so many differed and so many were corrected. */
static void only(enum gmig_difference which, uint64_t differed, uint64_t corrected)
{
	for (unsigned int i = 0; i < GMIG_DIFFERENCES_MAX; i++) {
		ck_assert_uint_eq(repair.differed[i], i == which ? differed : 0);
		ck_assert_uint_eq(repair.corrected[i], i == which ? corrected : 0);
	}
}

/* This invariant is broken, with these words; NULL: none is. */
static void breach(enum audit_invariant invariant, const char *text)
{
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		ck_assert_msg(check.breach[i] == (text && i == invariant), "I%u: %s", i + 1,
			      check.detail[i]);
	if (text)
		ck_assert_str_eq(check.detail[invariant], text);
}

START_TEST(block_that_agrees_is_asked_about_once_and_counted)
{
	start(_i);
	if (!_i && !huge_or_skip(rig.gmig)) {
		end();
		return;
	}
	audit();
	ck_assert_uint_eq(scans, 1);
	ck_assert_uint_eq(queries, 1);
	ck_assert_uint_eq(bits_count(&asked), _i ? BLOCK : 1);
	ck_assert_uint_eq(check.checked_pages, BLOCK);
	ck_assert_uint_eq(check.corrected_pages, 0);
	ck_assert_uint_eq(repair.compared_pages, BLOCK);
	ck_assert_uint_eq(repair.unknown_pages, 0);
	ck_assert(bits_empty(&block.busy) && !block.wake);
	only(GMIG_DIFFERS_NODE, 0, 0);
	breach(AUDIT_I1, NULL);
	expect(0, BLOCK, SHADOW_PRESENT, 0);
	end();
}
END_TEST

START_TEST(part_of_a_block_is_compared_alone)
{
	start(true);
	for (unsigned int i = 0; i < BLOCK; i++)
		node_shown[i] = 1;
	audit_part(100, 20, true);
	ck_assert_uint_eq(bits_count(&asked), 20);
	ck_assert(bits_get(&asked, 100) && bits_get(&asked, 119));
	ck_assert_uint_eq(check.checked_pages, 20);
	ck_assert_uint_eq(repair.compared_pages, 20);
	ck_assert_uint_eq(check.corrected_pages, 20);
	only(GMIG_DIFFERS_NODE, 20, 20);
	expect(0, 100, SHADOW_PRESENT, 0);
	expect(100, 20, SHADOW_PRESENT, 1);
	expect(120, BLOCK - 120, SHADOW_PRESENT, 0);
	end();
}
END_TEST

START_TEST(huge_page_is_compared_as_a_whole_whichever_part_it_is)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		node_shown[0] = 1;
		audit_part(100, 20, true);
		ck_assert_uint_eq(bits_count(&asked), 1);
		ck_assert_uint_eq(check.checked_pages, BLOCK);
		ck_assert_uint_eq(check.corrected_pages, BLOCK);
		only(GMIG_DIFFERS_NODE, BLOCK, BLOCK);
		expect(0, BLOCK, SHADOW_PRESENT, 1);
	}
	end();
}
END_TEST

START_TEST(answers_that_are_no_node_change_nothing)
{
	start(true);
	node_shown[7] = 1;
	node_shown[8] = -ENOENT;
	node_shown[9] = GMIG_MAX_NODES;
	audit();
	ck_assert_uint_eq(check.corrected_pages, 1);
	only(GMIG_DIFFERS_NODE, 1, 1);
	expect(7, 1, SHADOW_PRESENT, 1);
	expect(8, 2, SHADOW_PRESENT, 0);
	end();
}
END_TEST

START_TEST(block_that_the_kernel_cannot_be_asked_about_is_unknown)
{
	start(true);
	change(7, 0, SHADOW_DISCARD);
	bits_clear_range(&shown.present, 7, 1);
	query_error = -EPERM;
	node_shown[8] = 1;
	audit();
	ck_assert_uint_eq(repair.unknown_pages, BLOCK - 1);
	only(GMIG_DIFFERS_NODE, 0, 0);
	expect(8, 1, SHADOW_PRESENT, 0);
	change(9, 0, SHADOW_CLAIM);
	scan_error = -EPERM;
	audit_part(0, 100, true);
	ck_assert_uint_eq(repair.unknown_pages, 99); /* what is held is no question */
	ck_assert_uint_eq(repair.compared_pages, 0);
	ck_assert_uint_eq(check.checked_pages, 0);
	ck_assert_uint_eq(queries, 1);
	end();
}
END_TEST

/* ---- What is there ------------------------------------------------------------------------------- */

START_TEST(page_that_is_gone_is_a_hole)
{
	start(true);
	bits_clear_range(&shown.present, 7, 1);
	audit();
	only(GMIG_DIFFERS_ABSENT, 1, 1);
	breach(AUDIT_I1, NULL);
	ck_assert_uint_eq(check.corrected_pages, 1);
	ck_assert_uint_eq(check.checked_pages, BLOCK - 1);
	ck_assert_uint_eq(repair.compared_pages, BLOCK);
	ck_assert_uint_eq(bits_count(&asked), BLOCK - 1);
	expect(6, 1, SHADOW_PRESENT, 0);
	expect(7, 1, SHADOW_NONE, GMIG_NO_NODE);
	expect(8, 1, SHADOW_PRESENT, 0);
	audit(); /* and that is that */
	only(GMIG_DIFFERS_ABSENT, 0, 0);
	ck_assert_uint_eq(repair.compared_pages, BLOCK - 1);
	end();
}
END_TEST

START_TEST(huge_page_that_is_gone_stays_one_entry)
{
	struct shadow_entry entry;

	start(false);
	if (huge_or_skip(rig.gmig)) {
		bits_clear_all(&shown.present);
		shown.huge = false;
		audit();
		only(GMIG_DIFFERS_ABSENT, BLOCK, BLOCK);
		ck_assert_uint_eq(check.corrected_pages, BLOCK);
		ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, BLOCK, &entry), 0);
		ck_assert_uint_eq(entry.order, 9);
		expect(0, BLOCK, SHADOW_NONE, GMIG_NO_NODE);
	}
	end();
}
END_TEST

START_TEST(huge_page_that_is_none_any_more_is_split_before_it_is_compared)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		shown.huge = false;
		bits_clear_range(&shown.present, 7, 1);
		audit();
		for (unsigned int i = 0; i < GMIG_DIFFERENCES_MAX; i++)
			ck_assert_uint_eq(repair.differed[i], i == GMIG_DIFFERS_SIZE	 ? BLOCK
							      : i == GMIG_DIFFERS_ABSENT ? 1
											 : 0);
		ck_assert_uint_eq(check.corrected_pages, BLOCK + 1);
		expect(6, 1, SHADOW_PRESENT, 0);
		expect(7, 1, SHADOW_NONE, GMIG_NO_NODE);
	}
	end();
}
END_TEST

START_TEST(small_pages_become_one_entry_when_all_are_compared)
{
	struct shadow_entry entry;

	start(true);
	shown.huge = true;
	audit_part(0, BLOCK - 1, true);
	only(GMIG_DIFFERS_SIZE, 0, 0);
	audit();
	only(GMIG_DIFFERS_SIZE, BLOCK, BLOCK);
	ck_assert_uint_eq(check.corrected_pages, BLOCK);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, BLOCK, &entry), 0);
	ck_assert_uint_eq(entry.order, 9);
	ck_assert(block.whole);
	end();
}
END_TEST

START_TEST(page_that_nobody_told_of_is_taken_into_the_table)
{
	start(true);
	change(7, 0, SHADOW_DISCARD);
	change(9, 0, SHADOW_DISCARD);
	bits_set(&shown.swapped, 9);
	audit();
	breach(AUDIT_I1, "gfn 0x207 has memory that the table does not know of");
	only(GMIG_DIFFERS_PRESENT, 2, 2);
	ck_assert_uint_eq(check.corrected_pages, 0); /* it is no belief that was wrong */
	ck_assert_uint_eq(repair.touched_pages, 0);
	expect(7, 1, SHADOW_PRESENT, 0);
	expect(9, 1, SHADOW_SWAPPED, 0);
	end();
}
END_TEST

/* Where the kernel serves first touches they are news, and so is the node that they went to. */
START_TEST(first_touch_that_the_kernel_served_is_no_breach)
{
	start(true);
	kind.kernel_fills = true;
	change(7, 0, SHADOW_DISCARD);
	change(8, 0, SHADOW_DISCARD);
	bits_clear_range(&shown.present, 8, 1);
	node_shown[7] = 1;
	node_shown[9] = 1;
	audit();
	breach(AUDIT_I1, NULL);
	ck_assert_uint_eq(repair.touched_pages, 1);
	only(GMIG_DIFFERS_NODE, 1, 1); /* of page 9 */
	ck_assert_uint_eq(check.corrected_pages, 1);
	expect(7, 1, SHADOW_PRESENT, 1);
	expect(8, 1, SHADOW_NONE, GMIG_NO_NODE);
	expect(9, 1, SHADOW_PRESENT, 1);
	end();
}
END_TEST

START_TEST(page_goes_to_swap_and_comes_back)
{
	start(true);
	bits_set(&shown.swapped, 7);
	node_shown[7] = -ENOENT;
	audit();
	only(GMIG_DIFFERS_SWAP, 1, 1);
	ck_assert_uint_eq(check.corrected_pages, 1);
	ck_assert_uint_eq(check.checked_pages, BLOCK - 1);
	expect(7, 1, SHADOW_SWAPPED, 0);
	expect(8, 1, SHADOW_PRESENT, 0);
	audit(); /* it is where it is */
	only(GMIG_DIFFERS_SWAP, 0, 0);
	ck_assert_uint_eq(repair.compared_pages, BLOCK);
	bits_clear_range(&shown.swapped, 7, 1);
	node_shown[7] = 1;
	audit();
	ck_assert_uint_eq(repair.differed[GMIG_DIFFERS_SWAP], 1);
	ck_assert_uint_eq(repair.corrected[GMIG_DIFFERS_NODE], 1);
	expect(7, 1, SHADOW_PRESENT, 1);
	/* What is in swap may go, too. */
	bits_set(&shown.swapped, 7);
	audit();
	bits_clear_range(&shown.swapped, 7, 1);
	bits_clear_range(&shown.present, 7, 1);
	audit();
	only(GMIG_DIFFERS_ABSENT, 1, 1);
	expect(7, 1, SHADOW_NONE, GMIG_NO_NODE);
	end();
}
END_TEST

static void expect_opened(unsigned int i, unsigned int first, unsigned int pages)
{
	ck_assert_uint_lt(i, openings);
	ck_assert_uint_eq(opened[i].start, first * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(opened[i].len, pages * GMIG_PAGE_BYTES);
}

START_TEST(pages_that_were_left_protected_are_opened_run_by_run)
{
	start(true);
	protect_error = _i ? -EPERM : 0;
	bits_set_range(&shown.protected, 3, 3);
	bits_set(&shown.protected, 9);
	bits_set(&shown.protected, BLOCK - 1);
	bits_set(&shown.protected, 200);
	change(200, 0, SHADOW_DISCARD); /* a hole is not protected from anybody */
	bits_clear_range(&shown.present, 200, 1);
	audit();
	breach(AUDIT_I3, "gfn 0x203 was left write-protected");
	ck_assert_uint_eq(openings, 3);
	expect_opened(0, 3, 3);
	expect_opened(1, 9, 1);
	expect_opened(2, BLOCK - 1, 1);
	only(GMIG_DIFFERS_PROTECTED, 5, _i ? 0 : 5);
	ck_assert_uint_eq(check.corrected_pages, 0);
	end();
}
END_TEST

START_TEST(huge_page_that_was_left_protected_is_opened_at_once)
{
	start(false);
	if (huge_or_skip(rig.gmig)) {
		bits_fill(&shown.protected);
		audit();
		ck_assert_uint_eq(openings, 1);
		expect_opened(0, 0, BLOCK);
		only(GMIG_DIFFERS_PROTECTED, BLOCK, BLOCK);
	}
	end();
}
END_TEST

/* ---- Who holds it -------------------------------------------------------------------------------- */

static struct claim claim;

static void hold(unsigned int first, unsigned int count)
{
	struct bits refused;

	claim = (struct claim){.gmig = rig.gmig,
			       .region = &rig.gmig->regions[0],
			       .block_gfn = BLOCK,
			       .to = 1,
			       .owner = 7,
			       .memory = BOOKS_KERNEL};
	bits_set_range(&claim.pages, first, count);
	claim_take(&claim, &refused);
	ck_assert(bits_empty(&refused));
}

static void let_go(void)
{
	const struct claim_result nothing = {.stall = NULL};

	claim_settle(&claim, &nothing);
}

START_TEST(pages_of_a_claim_are_busy_and_not_compared)
{
	start(true);
	hold(100, 50);
	for (unsigned int i = 0; i < BLOCK; i++)
		node_shown[i] = 1;
	bits_clear_range(&shown.present, 120, 1);
	audit();
	for (unsigned int i = 0; i < BLOCK; i++) {
		ck_assert(bits_get(&block.busy, i) == (i >= 100 && i < 150));
		ck_assert(bits_get(&asked, i) == (i < 100 || i >= 150));
	}
	only(GMIG_DIFFERS_NODE, BLOCK - 50, BLOCK - 50);
	breach(AUDIT_I1, NULL);
	ck_assert_uint_eq(repair.compared_pages, BLOCK - 50);
	expect(100, 50, SHADOW_COPYING, 0);
	/* Nothing of it is left to ask about. */
	scans = 0;
	audit_part(100, 50, true);
	ck_assert_uint_eq(scans, 0);
	ck_assert_uint_eq(bits_count(&block.busy), 50);
	audit_part(99, 51, true);
	ck_assert_uint_eq(scans, 1);
	let_go();
	end();
}
END_TEST

static void touched(void *arg, const struct claim_touch *touch)
{
	(void)arg, (void)touch;
}

START_TEST(page_that_waits_in_a_slot_may_not_be_in_its_place)
{
	const struct bits none = {{0}};
	struct bits pages;

	start(true);
	hold(100, 2);
	pages = claim.pages;
	claim.touched = touched;
	claim_wait(&claim, &pages, &none);
	bits_clear_range(&shown.present, 100, 2);
	audit();
	breach(AUDIT_I1, NULL);
	ck_assert(bits_empty(&block.busy)); /* nobody waits for it: it may stay so for long */
	bits_set(&shown.present, 101);
	audit_part(100, 2, true);
	breach(AUDIT_I1, "gfn 0x265 has memory though its content is in a slot");
	claim.in_place = true;
	bits_set(&shown.present, 100);
	audit();
	breach(AUDIT_I1, NULL);
	ck_assert(bits_empty(&block.busy));
	claim_pick(&claim, &pages, 1);
	let_go();
	end();
}
END_TEST

START_TEST(page_that_nobody_holds_is_put_back_by_a_repair_alone)
{
	start(true);
	change(7, 0, SHADOW_CLAIM);
	change(9, 0, SHADOW_CLAIM);
	change(9, 0, SHADOW_CLOSE);
	bits_clear_range(&shown.present, 9, 1); /* it may be in a slot */
	audit_part(0, BLOCK, false);
	breach(AUDIT_I5, "gfn 0x207 is claimed and nobody holds it");
	ck_assert_uint_eq(check.corrected_pages, 0);
	ck_assert(!block.wake);
	expect(7, 1, SHADOW_CLAIMED, 0);
	audit();
	breach(AUDIT_I5, "gfn 0x207 is claimed and nobody holds it");
	only(GMIG_DIFFERS_HELD, 2, 1);
	ck_assert_uint_eq(check.corrected_pages, 1);
	ck_assert(block.wake);
	expect(7, 1, SHADOW_PRESENT, 0);
	expect(9, 1, SHADOW_COPYING, 0);
	audit_part(9, 1, true); /* it alone: is asked about all the same */
	only(GMIG_DIFFERS_HELD, 1, 0);
	ck_assert(!block.wake);
	end();
}
END_TEST

static void sleep_on(uint64_t gfn)
{
	struct stripe *stripe = engine_stripe(rig.gmig, BLOCK);
	struct sleeper *sleeper = calloc(1, sizeof(*sleeper));

	sleeper->next = stripe->sleepers;
	sleeper->gfn = gfn;
	sleeper->since_ns = gmig_sys_real.now_ns();
	stripe->sleepers = sleeper;
	atomic_fetch_add(&rig.gmig->sleepers, 1);
}

START_TEST(sleeper_on_an_open_page_is_woken_by_a_repair_alone)
{
	start(true);
	hold(7, 1);
	sleep_on(BLOCK + 7); /* for a reason */
	sleep_on(2 * BLOCK);
	sleep_on(BLOCK - 1);
	audit();
	breach(AUDIT_I3, NULL);
	ck_assert(!block.wake);
	sleep_on(BLOCK + 8);
	sleep_on(2 * BLOCK - 1);
	audit_part(0, BLOCK, false);
	breach(AUDIT_I3, "a thread sleeps on gfn 0x3ff, which is open");
	ck_assert(!block.wake);
	ck_assert_uint_eq(atomic_load(&rig.gmig->sleepers), 5);
	audit();
	breach(AUDIT_I3, "a thread sleeps on gfn 0x3ff, which is open");
	ck_assert(block.wake);
	ck_assert_uint_eq(repair.woken_threads, 2);
	ck_assert_uint_eq(atomic_load(&rig.gmig->sleepers), 3);
	let_go();
	ck_assert_uint_eq(atomic_load(&rig.gmig->sleepers), 2);
	end();
}
END_TEST

START_TEST(huge_page_that_nobody_holds_is_put_back_if_it_is_there)
{
	struct shadow_entry entry;

	start(false);
	if (huge_or_skip(rig.gmig)) {
		change(0, 9, SHADOW_CLAIM);
		sleep_on(BLOCK + 5);
		if (_i) {
			bits_clear_all(&shown.present);
			shown.huge = false;
		}
		audit();
		breach(AUDIT_I5, "gfn 0x200 is claimed and nobody holds it");
		only(GMIG_DIFFERS_HELD, BLOCK, _i ? 0 : BLOCK);
		ck_assert_uint_eq(check.corrected_pages, _i ? 0 : BLOCK);
		ck_assert_uint_eq(check.checked_pages, _i ? 0 : BLOCK);
		ck_assert_uint_eq(repair.compared_pages, _i ? 0 : BLOCK);
		ck_assert_uint_eq(queries, _i ? 0 : 1);
		ck_assert_uint_eq(repair.woken_threads, _i ? 0 : 1);
		ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, BLOCK, &entry), 0);
		ck_assert_uint_eq(entry.order, 9);
		ck_assert_int_eq(entry.state, _i ? SHADOW_CLAIMED : SHADOW_PRESENT);
	}
	end();
}
END_TEST

/* Its pages cannot be told apart: what differs is told, and nothing of them is compared. */
START_TEST(huge_page_that_cannot_be_split_is_left)
{
	const struct shadow_alloc alloc = {table_alloc, table_release};
	struct shadow_entry entry;

	start(false);
	if (huge_or_skip(rig.gmig)) {
		atomic_store(&no_tables, false);
		shadow_destroy(rig.gmig->shadow);
		ck_assert_int_eq(shadow_create(&alloc, &rig.gmig->shadow), 0);
		ck_assert_int_eq(shadow_reserve(rig.gmig->shadow, 0, rig.pages), 0);
		change(0, 9, SHADOW_TOUCH);
		shown.huge = false;
		bits_clear_range(&shown.present, 7, 1);
		atomic_store(&no_tables, true);
		audit();
		atomic_store(&no_tables, false);
		only(GMIG_DIFFERS_SIZE, BLOCK, 0);
		ck_assert_uint_eq(check.corrected_pages, 0);
		ck_assert_uint_eq(check.checked_pages, 0);
		ck_assert_uint_eq(queries, 0);
		ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, BLOCK + 7, &entry), 0);
		ck_assert_uint_eq(entry.order, 9);
		ck_assert_int_eq(entry.state, SHADOW_PRESENT);
		audit(); /* there is memory again */
		ck_assert_uint_eq(repair.corrected[GMIG_DIFFERS_SIZE], BLOCK);
		ck_assert_uint_eq(repair.corrected[GMIG_DIFFERS_ABSENT], 1);
	}
	end();
}
END_TEST

START_TEST(only_the_first_breach_of_an_invariant_is_told)
{
	start(true);
	memset(&check, 0, sizeof(check));
	audit_breach(&check, AUDIT_I2, "page %d", 1);
	audit_breach(&check, AUDIT_I2, "page %d", 2);
	breach(AUDIT_I2, "page 1");
	audit_breach(NULL, AUDIT_I2, "nobody asks");
	end();
}
END_TEST

/* ---- Counts -------------------------------------------------------------------------------------- */

/* All blocks, counted as they are: the books say the same. */
static void expect_count(void)
{
	struct ledger_difference difference;
	struct ledger_count *count;

	ck_assert_int_eq(ledger_count_begin(rig.gmig->ledger, &count), 0);
	rig.gmig->regions[0].kind = real_kind;
	for (uint64_t gfn = 0; gfn < rig.pages; gfn += BLOCK) {
		memset(&block, 0xa5, sizeof(block));
		block.gmig = rig.gmig;
		block.region = &rig.gmig->regions[0];
		block.stripe = engine_stripe(rig.gmig, gfn);
		block.gfn = gfn;
		block.check = NULL;
		block.repair = NULL;
		bits_fill(&block.part);
		bits_clear_all(&block.rest);
		pthread_mutex_lock(&block.stripe->lock);
		if (gfn == BLOCK)
			rig.gmig->regions[0].kind = &kind;
		audit_block(&block);
		audit_block_count(&block, count);
		rig.gmig->regions[0].kind = real_kind;
		pthread_mutex_unlock(&block.stripe->lock);
	}
	ledger_count_compare(count, false, &difference);
	ck_assert_uint_eq(difference.pages, 0);
	ck_assert_uint_eq(difference.node, GMIG_NO_NODE);
	ledger_count_end(count);
	rig.gmig->regions[0].kind = &kind;
}

START_TEST(entries_are_counted_by_node_by_size_and_by_swap)
{
	start(_i);
	expect_count();
	for (unsigned int i = 0; i < BLOCK; i++)
		node_shown[i] = _i && (i == 0 || (i > 100 && i < 104) || i == BLOCK - 1);
	if (!_i)
		node_shown[0] = 1;
	expect_count();
	if (_i) {
		/* Of one node, and yet no run: some are in swap, and some are gone. */
		bits_set_range(&shown.swapped, 102, 10);
		bits_set_range(&shown.swapped, 200, 2);
		bits_clear_range(&shown.present, 201, 5);
		bits_clear_range(&shown.swapped, 201, 5);
		bits_clear_range(&shown.present, BLOCK - 1, 1);
		expect_count();
		expect(103, 1, SHADOW_SWAPPED, 1);
		expect(201, 1, SHADOW_NONE, GMIG_NO_NODE);
	}
	bits_clear_all(&shown.present);
	bits_clear_all(&shown.swapped);
	shown.huge = false;
	expect_count();
	expect(0, BLOCK, SHADOW_NONE, GMIG_NO_NODE);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit_block");
	TCase *tcase = tcase_create("audit_block");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, block_that_agrees_is_asked_about_once_and_counted, 0, 2);
	tcase_add_test(tcase, part_of_a_block_is_compared_alone);
	tcase_add_test(tcase, huge_page_is_compared_as_a_whole_whichever_part_it_is);
	tcase_add_test(tcase, answers_that_are_no_node_change_nothing);
	tcase_add_test(tcase, block_that_the_kernel_cannot_be_asked_about_is_unknown);
	tcase_add_test(tcase, page_that_is_gone_is_a_hole);
	tcase_add_test(tcase, huge_page_that_is_gone_stays_one_entry);
	tcase_add_test(tcase, huge_page_that_is_none_any_more_is_split_before_it_is_compared);
	tcase_add_test(tcase, small_pages_become_one_entry_when_all_are_compared);
	tcase_add_test(tcase, page_that_nobody_told_of_is_taken_into_the_table);
	tcase_add_test(tcase, first_touch_that_the_kernel_served_is_no_breach);
	tcase_add_test(tcase, page_goes_to_swap_and_comes_back);
	tcase_add_loop_test(tcase, pages_that_were_left_protected_are_opened_run_by_run, 0, 2);
	tcase_add_test(tcase, huge_page_that_was_left_protected_is_opened_at_once);
	tcase_add_test(tcase, pages_of_a_claim_are_busy_and_not_compared);
	tcase_add_test(tcase, page_that_waits_in_a_slot_may_not_be_in_its_place);
	tcase_add_test(tcase, page_that_nobody_holds_is_put_back_by_a_repair_alone);
	tcase_add_test(tcase, sleeper_on_an_open_page_is_woken_by_a_repair_alone);
	tcase_add_loop_test(tcase, huge_page_that_nobody_holds_is_put_back_if_it_is_there, 0, 2);
	tcase_add_test(tcase, huge_page_that_cannot_be_split_is_left);
	tcase_add_test(tcase, only_the_first_breach_of_an_invariant_is_told);
	tcase_add_loop_test(tcase, entries_are_counted_by_node_by_size_and_by_swap, 0, 2);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
