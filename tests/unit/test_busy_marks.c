/* Marks of blocks that devices transfer to: how many there may be, how long a block is wanted, and what a refusal takes back. */
#include "../../migrate/gmig_dma.h"
#include "../../migrate/memory/busy.h"
#include "../../migrate/memory/claim.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

#define BLOCK  GMIG_BLOCK_PAGES
#define WANTED 200000000ull /* ns that a block is wanted for */

static struct gmig gmig;
static struct gmig_sys sys;
static struct stripe *stripe; /* of block 1 */
static uint64_t clock_ns;

static uint64_t now_told(void)
{
	return clock_ns;
}

static void setup(void)
{
	memset(&gmig, 0, sizeof(gmig));
	sys = gmig_sys_real;
	sys.now_ns = now_told;
	clock_ns = 5000000000;
	gmig.sys = &sys;
	gmig.stripe_pages = BLOCK;
	for (unsigned int i = 0; i < ENGINE_STRIPES; i++)
		pthread_mutex_init(&gmig.stripes[i].lock, NULL);
	stripe = &gmig.stripes[1];
}

static bool begins(uint64_t gfn)
{
	return busy_begin(&gmig, stripe, gfn);
}

static void ends(uint64_t gfn)
{
	busy_end(&gmig, stripe, gfn);
}

static bool refuses(uint64_t gfn)
{
	return busy_refuses_claim(&gmig, stripe, gfn);
}

/* So many are listed, so many have a transfer, and so many claims were refused. */
static void expect(unsigned int listed, unsigned int busy, unsigned int claims)
{
	ck_assert_uint_eq(stripe->busy_count, listed);
	ck_assert_uint_eq(atomic_load(&gmig.busy_blocks), busy);
	ck_assert_uint_eq(atomic_load(&gmig.claims_busy), claims);
}

START_TEST(block_is_busy_from_its_first_transfer_to_its_last)
{
	ck_assert(!busy_is(stripe, 7));
	ck_assert(begins(7) && begins(9) && begins(7));
	expect(2, 2, 0);
	ck_assert(busy_is(stripe, 7) && busy_is(stripe, 9) && !busy_is(stripe, 8));
	ends(7);
	expect(2, 2, 0);
	ck_assert(busy_is(stripe, 7));
	ends(7);
	expect(1, 1, 0);
	ck_assert(!busy_is(stripe, 7) && busy_is(stripe, 9));
	ends(7); /* once too often, and of a block that has none */
	ends(11);
	expect(1, 1, 0);
	ends(9);
	expect(0, 0, 0);
}
END_TEST

START_TEST(claim_is_refused_where_a_device_is_and_nowhere_else)
{
	ck_assert(!refuses(7));
	ck_assert(begins(7));
	ck_assert(refuses(7) && !refuses(9));
	expect(1, 1, 1);
	ck_assert(refuses(7));
	expect(1, 1, 2);
	ends(7);
	expect(1, 0, 2); /* it is wanted still */
	ck_assert(!busy_is(stripe, 7));
	ck_assert(!refuses(7)); /* it is claimed, and so not wanted any more */
	expect(0, 0, 2);
	ck_assert(begins(7));
	expect(1, 1, 2);
}
END_TEST

START_TEST(block_is_wanted_for_200_ms)
{
	ck_assert(begins(7));
	ck_assert(refuses(7));
	ck_assert(!begins(7));
	clock_ns += WANTED - 1;
	ck_assert(!begins(7));
	clock_ns++;
	ck_assert(begins(7));
	ck_assert_uint_eq(stripe->busy[0].transfers, 2);
	expect(1, 1, 1);
	/* Nobody has come for it in time: with its last transfer it is forgotten. */
	ends(7);
	ends(7);
	expect(0, 0, 1);
}
END_TEST

START_TEST(wanted_block_is_counted_busy_again_when_a_transfer_begins_after_all)
{
	ck_assert(begins(7));
	ck_assert(refuses(7));
	ends(7);
	expect(1, 0, 1);
	clock_ns += WANTED;
	ck_assert(begins(7));
	expect(1, 1, 1);
	ends(7);
	expect(0, 0, 1);
}
END_TEST

START_TEST(full_stripe_makes_room_for_what_nobody_wants_any_more)
{
	for (uint64_t i = 0; i < ENGINE_BUSY; i++)
		ck_assert(begins(i));
	expect(ENGINE_BUSY, ENGINE_BUSY, 0);
	ck_assert(!begins(100));
	ck_assert(begins(3)); /* one that is there */
	ends(3);
	/* The first, the last and one between are only wanted. */
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t gfn = i * (ENGINE_BUSY - 1) / 2;

		ck_assert(refuses(gfn));
		ends(gfn);
	}
	expect(ENGINE_BUSY, ENGINE_BUSY - 3, 3);
	clock_ns += WANTED - 1;
	ck_assert(!begins(100));
	expect(ENGINE_BUSY, ENGINE_BUSY - 3, 3);
	clock_ns++;
	ck_assert(begins(100));
	expect(ENGINE_BUSY - 2, ENGINE_BUSY - 2, 3);
	ck_assert(busy_is(stripe, 100) && busy_is(stripe, 1) && busy_is(stripe, ENGINE_BUSY - 2));
	ck_assert(!busy_is(stripe, 0) && !busy_is(stripe, ENGINE_BUSY - 1));
	ck_assert(begins(101) && begins(102) && !begins(103));
	expect(ENGINE_BUSY, ENGINE_BUSY, 3);
}
END_TEST

/* A device that still is at it is not forgotten, wanted or not. */
START_TEST(block_that_was_wanted_in_vain_stays_busy)
{
	ck_assert(begins(7));
	ck_assert(refuses(7));
	clock_ns += 2 * WANTED;
	ck_assert(begins(8)); /* which looks for what may go */
	expect(2, 2, 1);
	ck_assert(busy_is(stripe, 7));
}
END_TEST

/* ---- Transfers ----------------------------------------------------------------------------------- */

#define SECOND (1ull << 20) /* the gfn of the second region */

static uint8_t *ram; /* never touched */

/* Four blocks from gfn 0, and two from SECOND, right behind them. */
static void add_regions(void)
{
	ram = (uint8_t *)(uintptr_t)(1ull << 40);
	gmig.regions[0] = (struct region){.gfn = 0, .pages = 4 * BLOCK, .hva = ram};
	gmig.regions[1] =
	    (struct region){.gfn = SECOND, .pages = 2 * BLOCK, .hva = ram + 4 * GMIG_BLOCK_BYTES};
	atomic_store(&gmig.region_count, 2);
}

static bool is_busy(uint64_t gfn)
{
	return busy_is(engine_stripe(&gmig, gfn), gfn);
}

static int begin(uint64_t offset, size_t bytes)
{
	return gmig_dma_begin(&gmig, (const void *)((uintptr_t)ram + offset), bytes);
}

static void finish(uint64_t offset, size_t bytes)
{
	gmig_dma_end(&gmig, (const void *)((uintptr_t)ram + offset), bytes);
}

static void expect_blocks(unsigned int mask)
{
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_msg(is_busy(i * BLOCK) == (mask >> i & 1), "block %u", i);
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_msg(is_busy(SECOND + i * BLOCK) == (mask >> (4 + i) & 1), "block %u",
			      4 + i);
	ck_assert_uint_eq(atomic_load(&gmig.busy_blocks), (unsigned int)__builtin_popcount(mask));
}

START_TEST(blocks_of_a_transfer_are_those_of_its_first_byte_to_its_last)
{
	static const struct {
		uint64_t offset, bytes;
		unsigned int blocks;
	} cases[] = {
	    {0, 1, 1},
	    {GMIG_BLOCK_BYTES - 1, 1, 1},
	    {GMIG_BLOCK_BYTES, 1, 2},
	    {0, GMIG_BLOCK_BYTES, 1},
	    {0, GMIG_BLOCK_BYTES + 1, 3},
	    {GMIG_BLOCK_BYTES - 1, 2, 3},
	    {GMIG_BLOCK_BYTES - 1, GMIG_BLOCK_BYTES + 2, 7},
	    {GMIG_BLOCK_BYTES - 1, GMIG_BLOCK_BYTES + 1, 3},
	    {0, 4 * GMIG_BLOCK_BYTES, 15},
	    {4 * GMIG_BLOCK_BYTES, 2 * GMIG_BLOCK_BYTES, 48},
	    {6 * GMIG_BLOCK_BYTES - 1, 1, 32},
	};
	unsigned int count = sizeof(cases) / sizeof(cases[0]);

	add_regions();
	for (unsigned int i = 0; i < count; i++) {
		ck_assert_int_eq(begin(cases[i].offset, cases[i].bytes), 0);
		expect_blocks(cases[i].blocks);
		finish(cases[i].offset, cases[i].bytes);
		expect_blocks(0);
	}
	ck_assert_uint_eq(atomic_load(&gmig.dma_begun), count);
	ck_assert_uint_eq(atomic_load(&gmig.dma_refused), 0);
}
END_TEST

START_TEST(transfer_that_is_not_within_one_region_is_none)
{
	add_regions();
	ck_assert_int_eq(begin(0, 0), -EINVAL);
	ck_assert_int_eq(begin(0, 4 * GMIG_BLOCK_BYTES + 1), -EFAULT);
	ck_assert_int_eq(begin(4 * GMIG_BLOCK_BYTES - 1, 2), -EFAULT);
	ck_assert_int_eq(begin(6 * GMIG_BLOCK_BYTES - 1, 2), -EFAULT);
	ck_assert_int_eq(begin(6 * GMIG_BLOCK_BYTES, 1), -EFAULT);
	ck_assert_int_eq(begin(-1ull, 1), -EFAULT);
	ck_assert_int_eq(begin(1, SIZE_MAX), -EFAULT);
	expect_blocks(0);
	/* Nor does it end one. */
	ck_assert_int_eq(begin(0, 4 * GMIG_BLOCK_BYTES), 0);
	finish(0, 0);
	finish(0, 4 * GMIG_BLOCK_BYTES + 1);
	finish(6 * GMIG_BLOCK_BYTES, 1);
	expect_blocks(15);
	ck_assert_uint_eq(atomic_load(&gmig.dma_begun), 1);
	ck_assert_uint_eq(atomic_load(&gmig.dma_refused), 0);
}
END_TEST

/* Whichever block of it is claimed: those before it are given back, and no other transfer ends with that. */
START_TEST(transfer_that_is_refused_leaves_all_as_it_was)
{
	struct claim claim = {.block_gfn = (uint64_t)_i * BLOCK};

	add_regions();
	ck_assert_int_eq(begin(0, 1), 0);
	engine_stripe(&gmig, claim.block_gfn)->claims = &claim;
	ck_assert_int_eq(begin(0, 4 * GMIG_BLOCK_BYTES), -EBUSY);
	expect_blocks(1);
	ck_assert_uint_eq(gmig.stripes[0].busy[0].transfers, 1);
	ck_assert_uint_eq(atomic_load(&gmig.dma_begun), 1);
	ck_assert_uint_eq(atomic_load(&gmig.dma_refused), 1);
	engine_stripe(&gmig, claim.block_gfn)->claims = NULL;
	ck_assert_int_eq(begin(0, 4 * GMIG_BLOCK_BYTES), 0);
	expect_blocks(15);
	ck_assert_uint_eq(atomic_load(&gmig.dma_begun), 2);
	finish(0, 1);
	expect_blocks(15);
	finish(0, 4 * GMIG_BLOCK_BYTES);
	expect_blocks(0);
}
END_TEST

/* Nothing moves there, so that nobody need know; what is wrong is wrong all the same. */
START_TEST(plain_memory_needs_no_marks)
{
	add_regions();
	gmig.plain = true;
	ck_assert_int_eq(begin(0, 4096), 0);
	expect_blocks(0);
	ck_assert_uint_eq(atomic_load(&gmig.dma_begun), 0);
	ck_assert_int_eq(begin(0, 0), -EINVAL);
	ck_assert_int_eq(begin(6 * GMIG_BLOCK_BYTES, 1), -EFAULT);
	gmig.plain = false;
	ck_assert_int_eq(begin(0, 4096), 0);
	gmig.plain = true;
	finish(0, 4096);
	expect_blocks(1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("busy_marks");
	TCase *tcase = tcase_create("busy_marks");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, block_is_busy_from_its_first_transfer_to_its_last);
	tcase_add_test(tcase, claim_is_refused_where_a_device_is_and_nowhere_else);
	tcase_add_test(tcase, block_is_wanted_for_200_ms);
	tcase_add_test(tcase, wanted_block_is_counted_busy_again_when_a_transfer_begins_after_all);
	tcase_add_test(tcase, full_stripe_makes_room_for_what_nobody_wants_any_more);
	tcase_add_test(tcase, block_that_was_wanted_in_vain_stays_busy);
	tcase_add_test(tcase, blocks_of_a_transfer_are_those_of_its_first_byte_to_its_last);
	tcase_add_test(tcase, transfer_that_is_not_within_one_region_is_none);
	tcase_add_loop_test(tcase, transfer_that_is_refused_leaves_all_as_it_was, 0, 4);
	tcase_add_test(tcase, plain_memory_needs_no_marks);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
