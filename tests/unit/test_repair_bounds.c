/* Repairs at their bounds: more held blocks than are remembered, more repairs than there may be, and how long one is kept. */
#include "repair_rig.h"

#include <string.h>

/* Some more than are remembered; a page or two of each are held. */
#define HELD	   256u
#define BLOCKS	   (HELD + 20)
#define FIRST_GPA  (1ull << 30)
#define OWN_BLOCKS (BYTES / GMIG_BLOCK_BYTES) /* of the first region, of which nothing is held */

static struct claim claims[BLOCKS];
static struct gmig_error err;

static unsigned int pages_held(unsigned int first, unsigned int end)
{
	unsigned int pages = 0;

	for (unsigned int i = first; i < end; i++)
		pages += 1 + i % 2;
	return pages;
}

static void hold_blocks(unsigned int blocks)
{
	const struct gmig_region_spec spec = {
	    .vnode = 1, .gpa = FIRST_GPA, .bytes = blocks * GMIG_BLOCK_BYTES};
	struct bits refused;
	void *hva;

	ck_assert_msg(!gmig_region_add(rig.gmig, &spec, &hva, &err), "%s", err.text);
	for (unsigned int i = 0; i < blocks; i++) {
		volatile uint8_t *block = (uint8_t *)hva + i * GMIG_BLOCK_BYTES;

		block[0] = block[GMIG_PAGE_BYTES] = 1;
	}
	rig_settle(&rig);
	for (unsigned int i = 0; i < blocks; i++) {
		claims[i] = (struct claim){.gmig = rig.gmig,
					   .region = &rig.gmig->regions[1],
					   .block_gfn = FIRST_GPA / GMIG_PAGE_BYTES + i * 512ull,
					   .to = 1,
					   .owner = 7};
		bits_set_range(&claims[i].pages, 0, 1 + i % 2);
		claim_take(&claims[i], &refused);
		ck_assert(bits_empty(&refused));
	}
}

static void let_go(unsigned int first, unsigned int end)
{
	struct claim_result nothing = {.stall = NULL};

	for (unsigned int i = first; i < end; i++)
		claim_settle(&claims[i], &nothing);
}

/* One block. */
static struct gmig_repair step(uint64_t *id)
{
	struct gmig_repair result;

	ck_assert_msg(!gmig_repair(rig.gmig, id, 0, &result, &err), "%s", err.text);
	return result;
}

/* Up to and with the block number `end` of the second region. */
static void walk_to(uint64_t *id, unsigned int end)
{
	for (unsigned int i = 0; i < end; i++)
		step(id);
}

START_TEST(held_blocks_are_remembered_and_the_oldest_given_up)
{
	struct gmig_repair result;
	uint64_t id = 0;

	start(true, false);
	hold_blocks(BLOCKS);
	walk_to(&id, OWN_BLOCKS + HELD - 1);
	result = step(&id);
	ck_assert_uint_eq(result.visited_pages, (OWN_BLOCKS + HELD) * 512);
	ck_assert_uint_eq(result.total_pages, (OWN_BLOCKS + BLOCKS) * 512);
	ck_assert_uint_eq(result.busy_pages, pages_held(0, HELD));
	ck_assert(!result.done);
	/* One more: nothing has come free, so that the first is given up, and counts. */
	result = step(&id);
	ck_assert_uint_eq(result.busy_pages, pages_held(0, HELD + 1));
	/* What comes free makes room. */
	let_go(5, 8);
	result = step(&id);
	ck_assert_uint_eq(result.busy_pages, pages_held(0, HELD + 2) - pages_held(5, 8));
	result = step(&id);
	ck_assert_uint_eq(result.busy_pages, pages_held(0, HELD + 3) - pages_held(5, 8));
	/* Those that were given up are not come back to. */
	let_go(0, 5);
	let_go(8, BLOCKS);
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, FAR, &result, &err), 0);
	ck_assert(result.done && !result.ok);
	ck_assert_uint_eq(result.busy_pages, pages_held(0, 1));
	ck_assert_uint_eq(result.visited_pages, (OWN_BLOCKS + BLOCKS) * 512);
	/* Another one finds all of it. */
	id = 0;
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, FAR, &result, &err), 0);
	ck_assert(result.done && result.ok);
	ck_assert_uint_eq(result.busy_pages, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* Two seconds from when all else is done; every millisecond. */
START_TEST(held_blocks_are_come_back_to_for_two_seconds)
{
	struct gmig_repair result;
	uint64_t id = 0, began;

	start(true, false);
	hold_blocks(1);
	atomic_store(&by_hand, true);
	walk_to(&id, OWN_BLOCKS + 1);
	began = atomic_load(&extra_ns);
	result = step(&id);
	ck_assert_uint_eq(result.busy_pages, 1);
	ck_assert_uint_eq(atomic_load(&extra_ns) - began, 1000000);
	atomic_store(&extra_ns, began + 2000000000 - !_i);
	result = step(&id);
	ck_assert_uint_eq(result.busy_pages, 1);
	ck_assert_uint_eq(atomic_load(&extra_ns) - began, _i ? 2000000000 : 2001000000 - 1);
	if (!_i)
		step(&id); /* given up by now */
	result = step(&id);
	ck_assert(result.done && !result.ok);
	ck_assert_uint_eq(result.busy_pages, 1);
	atomic_store(&by_hand, false);
	let_go(0, 1);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(repair_is_kept_for_a_minute)
{
	struct gmig_repair result;
	uint64_t id = 0, first;
	char text[128];

	start(false, false);
	atomic_store(&by_hand, true);
	step(&id);
	first = id;
	atomic_fetch_add(&extra_ns, 60000000000ull);
	step(&id);
	ck_assert_uint_eq(id, first);
	atomic_fetch_add(&extra_ns, 60000000001ull);
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), -ESRCH);
	snprintf(text, sizeof(text),
		 "there is no repair %llu: it is done, was left alone for a minute, or newer ones "
		 "took its place",
		 (unsigned long long)first);
	ck_assert_str_eq(err.text, text);
	ck_assert_uint_eq(result.visited_pages, 0);
	id = 0;
	step(&id);
	ck_assert_uint_eq(id, first + 1);
	atomic_store(&by_hand, false);
	rig_destroy(&rig);
}
END_TEST

static unsigned int depth, refused_at;
static uint64_t outermost;

/* Within a repair that waits: another one, which waits, too. */
static void one_more(void)
{
	struct gmig_repair result;
	uint64_t id = 0;
	char text[64];

	if (!depth++) {
		ck_assert_int_eq(gmig_repair(rig.gmig, &outermost, 0, &result, &err), -EBUSY);
		snprintf(text, sizeof(text), "repair %llu goes on just now",
			 (unsigned long long)outermost);
		ck_assert_str_eq(err.text, text);
	}
	if (gmig_repair(rig.gmig, &id, FAR, &result, &err) == -EBUSY && !refused_at) {
		refused_at = depth;
		snprintf(text, sizeof(text), "%u repairs go on already", GMIG_REPAIRS);
		ck_assert_str_eq(err.text, text);
		atomic_store(&when_sleeping, NULL);
		let_go(0, 1);
	}
}

START_TEST(more_repairs_than_may_go_on_are_refused)
{
	struct gmig_repair result;

	start(true, false);
	hold_blocks(1);
	step(&outermost);
	atomic_store(&when_sleeping, one_more);
	ck_assert_int_eq(gmig_repair(rig.gmig, &outermost, FAR, &result, &err), 0);
	ck_assert(result.done && result.ok);
	ck_assert_uint_eq(refused_at, GMIG_REPAIRS);
	for (unsigned int i = 0; i < GMIG_REPAIRS; i++)
		ck_assert_ptr_null(rig.gmig->repairs[i]);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(difference_has_its_own_name)
{
	static const char *const names[] = {"node", "absent",	 "present", "swap",
					    "size", "protected", "held"};

	ck_assert_uint_eq(sizeof(names) / sizeof(names[0]), AUDIT_DIFFERENCES);
	for (unsigned int i = 0; i < AUDIT_DIFFERENCES; i++)
		ck_assert_str_eq(gmig_difference_name((enum gmig_difference)i), names[i]);
	ck_assert_ptr_null(gmig_difference_name(AUDIT_DIFFERENCES));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repair_bounds");
	TCase *tcase = tcase_create("repair_bounds");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, held_blocks_are_remembered_and_the_oldest_given_up);
	tcase_add_loop_test(tcase, held_blocks_are_come_back_to_for_two_seconds, 0, 2);
	tcase_add_test(tcase, repair_is_kept_for_a_minute);
	tcase_add_test(tcase, more_repairs_than_may_go_on_are_refused);
	tcase_add_test(tcase, difference_has_its_own_name);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
