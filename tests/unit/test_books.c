/* The one door: an entry, the accounts and a running count change together. */
#include "../../migrate/memory/books.h"
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/ledger.h"
#include "../../migrate/memory/region.h"
#include "rig.h"

#include <errno.h>

#define BYTES (8ull << 20)

static struct rig rig;

static void start(bool small_pages)
{
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .small_pages = small_pages});
}

static long mapped(unsigned int node)
{
	return ledger_pages(rig.gmig->ledger, node, LEDGER_MAPPED);
}

static int change(uint64_t gfn, unsigned int order, enum shadow_event event, unsigned int node)
{
	struct books_event books = {
	    .region = &rig.gmig->regions[0],
	    .change = {.gfn = gfn, .order = order, .event = event, .node = (uint16_t)node},
	    .memory = BOOKS_KERNEL,
	};

	return books_change(rig.gmig, &books, NULL);
}

START_TEST(entry_corrected_moves_its_pages_between_accounts)
{
	long pages = (long)(BYTES / GMIG_PAGE_BYTES);

	if (!_i && !thp_or_skip())
		return;
	start(_i);
	ck_assert_int_eq(mapped(0), pages);
	ck_assert_int_eq(change(512, _i ? 0 : 9, SHADOW_CORRECT, 1), 0);
	ck_assert_int_eq(mapped(1), _i ? 1 : 512);
	ck_assert_int_eq(mapped(0) + mapped(1), pages);
	ck_assert_int_eq(ledger_resident(rig.gmig->ledger, 0, 1), mapped(1));
	/* Refused by the entry's state: nothing is posted. */
	ck_assert_int_eq(change(512, _i ? 0 : 9, SHADOW_TOUCH, 0), -EPERM);
	ck_assert_int_eq(mapped(0) + mapped(1), pages);
	ck_assert_int_eq(change(512, _i ? 0 : 9, SHADOW_CORRECT, 0), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

static void assert_only_breach(const struct gmig_check *check, unsigned int which)
{
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		ck_assert_msg(check->breach[i] == (i == which), "I%u: %s", i + 1, check->detail[i]);
}

START_TEST(accounts_wrong_by_a_page_are_a_breach)
{
	struct ledger_map map = {
	    .from = GMIG_NO_NODE, .to = 1, .to_from = LEDGER_OUTSIDE, .pages = 1};
	struct gmig_check check;

	start(false);
	ledger_map(rig.gmig->ledger, &map);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	assert_only_breach(&check, 3);
	ck_assert_str_eq(check.detail[3],
			 "node 1: 0 pages by the shadow table, but 1 in the books");
	ck_assert_uint_eq(check.mapped_bytes, BYTES + GMIG_PAGE_BYTES);
	/* A check tells of the first difference, and mends none. */
	ledger_post(rig.gmig->ledger, 0, LEDGER_OUTSIDE, LEDGER_POOL, 1);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	assert_only_breach(&check, 3);
	ck_assert_str_eq(check.detail[3],
			 "node 1: 0 pages by the shadow table, but 1 in the books");
	rig_destroy(&rig);
}
END_TEST

START_TEST(free_slots_of_another_number_than_in_the_books_are_a_breach)
{
	unsigned long long pages;
	struct gmig_check check;
	char detail[128];

	start(false);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	pages = check.pool_bytes / GMIG_PAGE_BYTES;
	ledger_post(rig.gmig->ledger, 0, LEDGER_OUTSIDE, LEDGER_POOL, 3);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	assert_only_breach(&check, 3);
	snprintf(detail, sizeof(detail), "node 0: %llu pages in free slots, but %llu in the books",
		 pages, pages + 3);
	ck_assert_str_eq(check.detail[3], detail);
	ck_assert_uint_eq(check.pool_bytes, (pages + 3) * GMIG_PAGE_BYTES);
	ck_assert_uint_eq(check.mapped_bytes, BYTES);
	ck_assert_uint_eq(check.in_flight_bytes, 0);
	ck_assert_uint_eq(check.quarantine_bytes, 0);
	rig_destroy(&rig);
}
END_TEST

START_TEST(pages_in_flight_without_a_taken_slot_are_a_breach)
{
	struct gmig_check check;

	start(false);
	ledger_post(rig.gmig->ledger, 0, LEDGER_OUTSIDE, LEDGER_FLIGHT, 1);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	assert_only_breach(&check, 3);
	ck_assert_str_eq(check.detail[3], "node 0: 1 pages in flight, but no slot is taken");
	ck_assert_uint_eq(check.in_flight_bytes, GMIG_PAGE_BYTES);
	rig_destroy(&rig);
}
END_TEST

START_TEST(page_held_by_nobody_is_a_breach_and_by_a_claim_none)
{
	struct claim claim = {.gmig = NULL, .from = 0, .to = 1, .owner = 7};
	struct claim_result nothing = {.stall = NULL};
	struct gmig_check check;
	struct bits refused;
	unsigned int order;

	start(false);
	order = rig.gmig->thp ? 9 : 0;
	claim.huge = order > 0;
	claim.gmig = rig.gmig;
	claim.region = &rig.gmig->regions[0];
	claim.block_gfn = 512;
	bits_fill(&claim.pages);
	claim_take(&claim, &refused);
	ck_assert(bits_empty(&refused));
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	ck_assert(!check.breach[4]);
	claim_settle(&claim, &nothing);
	rig_assert_clean(&rig);
	/* The same entry, closed behind the claims' back. */
	ck_assert_int_eq(change(512, order, SHADOW_CLAIM, 1), 0);
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	assert_only_breach(&check, 4);
	ck_assert_str_eq(check.detail[4], "gfn 0x200 is claimed and nobody holds it");
	ck_assert_int_eq(change(512, order, SHADOW_PUTBACK, 0), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(abandoned_claim_holds_its_pages_and_is_no_breach)
{
	struct gmig_check check;
	struct bits refused;

	start(false);
	{
		struct claim claim = {.gmig = rig.gmig,
				      .region = &rig.gmig->regions[0],
				      .to = 1,
				      .huge = rig.gmig->thp};

		bits_fill(&claim.pages);
		claim_take(&claim, &refused);
		ck_assert(bits_empty(&refused));
		claim_abandon(&claim);
	}
	ck_assert_int_eq(gmig_check(rig.gmig, &check, NULL), 0);
	ck_assert(!check.breach[4]);
	rig_destroy(&rig);
}
END_TEST

START_TEST(second_claim_of_a_page_is_refused)
{
	struct claim first = {.to = 1, .owner = 1}, second = {.to = 1, .owner = 2};
	struct claim_result nothing = {.stall = NULL};
	struct bits refused;

	start(true);
	first.gmig = second.gmig = rig.gmig;
	first.region = second.region = &rig.gmig->regions[0];
	bits_set_range(&first.pages, 0, 100);
	bits_set_range(&second.pages, 50, 100);
	claim_take(&first, &refused);
	ck_assert(bits_empty(&refused));
	claim_take(&second, &refused);
	ck_assert_uint_eq(bits_count(&refused), 50);
	ck_assert_uint_eq(bits_count(&second.pages), 50);
	claim_settle(&first, &nothing);
	claim_settle(&second, &nothing);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(split_and_join_change_sizes_and_no_place)
{
	const struct region *region;
	struct gmig_stats stats;

	if (!thp_or_skip())
		return;
	start(false);
	region = &rig.gmig->regions[0];
	ck_assert_int_eq(books_split(rig.gmig, region, 512), 0);
	ck_assert_int_eq(books_split(rig.gmig, region, 512), -EEXIST);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_4k, GMIG_BLOCK_BYTES);
	ck_assert_int_eq(change(600, 0, SHADOW_CORRECT, 1), 0);
	ck_assert_int_eq(books_join(rig.gmig, region, 512), -EBUSY);
	ck_assert_int_eq(change(600, 0, SHADOW_CORRECT, 0), 0);
	/* The kernel shows one huge page: the audit joins what it finds split. */
	rig_assert_clean(&rig);
	gmig_stats(rig.gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_4k, 0);
	ck_assert_uint_eq(stats.page_bytes_2m, BYTES);
	rig_destroy(&rig);
}
END_TEST

/* ---- Counting while entries change ------------------------------------------------------------- */

static atomic_bool enough;

static void *corrector(void *arg)
{
	unsigned int node = 0;

	(void)arg;
	while (!atomic_load(&enough)) {
		node = !node;
		for (uint64_t gfn = 0; gfn < BYTES / GMIG_PAGE_BYTES; gfn += 61) {
			struct stripe *stripe = engine_stripe(rig.gmig, gfn);

			pthread_mutex_lock(&stripe->lock);
			change(gfn, 0, SHADOW_CORRECT, node);
			pthread_mutex_unlock(&stripe->lock);
		}
	}
	return NULL;
}

START_TEST(count_beside_changes_finds_no_difference)
{
	pthread_t thread;

	start(true);
	atomic_store(&enough, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, corrector, NULL), 0);
	for (unsigned int i = 0; i < 50; i++)
		rig_assert_clean(&rig);
	atomic_store(&enough, true);
	pthread_join(thread, NULL);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* ---- The end of the address space ---------------------------------------------------------------- */

static atomic_uintptr_t last_region;

/* When the last region's turn comes, a page of the one before it changes its node. */
static int ioctl_changing(int fd, unsigned long request, void *arg)
{
	const struct pm_scan_arg *scan = arg;

	if (request == PAGEMAP_SCAN && scan->start == atomic_load(&last_region)) {
		struct books_event books = {
		    .region = &rig.gmig->regions[1],
		    .change = {.gfn = rig.gmig->regions[1].gfn,
			       .order = rig.gmig->thp ? 9 : 0,
			       .event = SHADOW_CORRECT,
			       .node = 1},
		    .memory = BOOKS_KERNEL,
		};

		atomic_store(&last_region, 0);
		ck_assert_int_eq(books_change(rig.gmig, &books, NULL), 0);
	}
	return gmig_sys_real.ioctl(fd, request, arg);
}

START_TEST(count_knows_regions_apart_at_the_end_of_the_address_space)
{
	const struct gmig_region_spec specs[] = {{.gpa = (1ull << 48) - BYTES, .bytes = BYTES},
						 {.gpa = BYTES + GMIG_BLOCK_BYTES, .bytes = BYTES}};
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_error err = {0};
	uint8_t *ram[2];

	sys.ioctl = ioctl_changing;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .sys = &sys});
	for (unsigned int i = 0; i < 2; i++) {
		void *hva;

		ck_assert_msg(!gmig_region_add(rig.gmig, &specs[i], &hva, &err), "%s", err.text);
		ram[i] = hva;
		memset(ram[i], 1, BYTES);
	}
	atomic_store(&last_region, (uintptr_t)ram[1]);
	rig_assert_clean(&rig);
	ck_assert_uint_eq(atomic_load(&last_region), 0);
	ck_assert_int_eq(ledger_resident(rig.gmig->ledger, 0, 1),
			 rig.gmig->thp ? GMIG_BLOCK_PAGES : 1);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("books");
	TCase *tcase = tcase_create("books");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, entry_corrected_moves_its_pages_between_accounts, 0, 2);
	tcase_add_test(tcase, accounts_wrong_by_a_page_are_a_breach);
	tcase_add_test(tcase, free_slots_of_another_number_than_in_the_books_are_a_breach);
	tcase_add_test(tcase, pages_in_flight_without_a_taken_slot_are_a_breach);
	tcase_add_test(tcase, page_held_by_nobody_is_a_breach_and_by_a_claim_none);
	tcase_add_test(tcase, abandoned_claim_holds_its_pages_and_is_no_breach);
	tcase_add_test(tcase, second_claim_of_a_page_is_refused);
	tcase_add_test(tcase, split_and_join_change_sizes_and_no_place);
	tcase_add_test(tcase, count_beside_changes_finds_no_difference);
	tcase_add_test(tcase, count_knows_regions_apart_at_the_end_of_the_address_space);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
