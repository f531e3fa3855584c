/* What jobs see of a guest's memory: which ranges, where pages lie, and blocks that are split and whole again. */
#include "../../migrate/memory/region.h"
#include "rig.h"

#include <errno.h>
#include <stdlib.h>

#define BYTES (4ull << 20)
#define GAP   (64ull << 20) /* behind it: vnode 1; and at half of it: vnode 2 */

static struct rig rig;
static struct memory *memory;
static uint8_t *far, *near;

static uint8_t *add(unsigned int vnode, uint64_t gpa)
{
	const struct gmig_region_spec spec = {
	    .vnode = vnode, .host_node = 1, .gpa = gpa, .bytes = GMIG_BLOCK_BYTES};
	struct gmig_error err = {0};
	void *hva;

	ck_assert_msg(gmig_region_add(rig.gmig, &spec, &hva, &err) == 0, "%s", err.text);
	return hva;
}

static void setup(void)
{
	rig_create(&rig, &(struct rig_options){.bytes = BYTES});
	memory = &rig.gmig->memory;
	far = add(1, GAP);
	near = add(2, GAP / 2);
}

static void teardown(void)
{
	rig_destroy(&rig);
}

static const struct {
	uint64_t vnodes;
	size_t count;
	uint64_t first, last; /* gpa */
} parts[] = {{0, 3, 0, GAP},   {7, 3, 0, GAP},	     {4, 1, GAP / 2, GAP / 2},
	     {2, 1, GAP, GAP}, {6, 2, GAP / 2, GAP}, {8, 0, 0, 0}};

START_TEST(ranges_are_those_of_the_job_s_vnodes_by_address)
{
	const struct gmig_job_spec spec = {.vnodes = parts[_i].vnodes};
	struct memory_range *ranges;
	size_t count;

	ck_assert_int_eq(memory->ops->ranges(memory, &spec, &ranges, &count), 0);
	ck_assert_uint_eq(count, parts[_i].count);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(ranges[i].pages,
				  (ranges[i].gfn ? GMIG_BLOCK_BYTES : BYTES) / GMIG_PAGE_BYTES);
	for (size_t i = 1; i < count; i++)
		ck_assert_uint_lt(ranges[i - 1].gfn, ranges[i].gfn);
	if (count) {
		ck_assert_uint_eq(ranges[0].gfn, parts[_i].first / GMIG_PAGE_BYTES);
		ck_assert_uint_eq(ranges[count - 1].gfn, parts[_i].last / GMIG_PAGE_BYTES);
	}
	free(ranges);
}
END_TEST

/* Two regions and a gap in one question; the fake node is the table's. */
START_TEST(pages_of_several_regions_are_told_in_the_order_they_are_asked_in)
{
	const uint64_t gfns[] = {0,
				 GAP / GMIG_PAGE_BYTES,
				 GAP / 2 / GMIG_PAGE_BYTES,
				 BYTES / GMIG_PAGE_BYTES,
				 BYTES / GMIG_PAGE_BYTES - 1,
				 GAP / GMIG_PAGE_BYTES + GMIG_BLOCK_PAGES - 1};
	const int expected[] = {0, 1, -ENOENT, -EFAULT, 0, 1};
	int status[6];

	*(volatile uint8_t *)far = 1;
	ck_assert_int_eq(memory->ops->query(memory, 6, gfns, status), 0);
	for (unsigned int i = 0; i < 6; i++)
		ck_assert_msg(status[i] == expected[i] ||
				  (i == 5 && status[i] == -ENOENT), /* without a huge page */
			      "%u: %d", i, status[i]);
	*(volatile uint8_t *)near = 1;
	ck_assert_int_eq(memory->ops->query(memory, 1, gfns + 2, status), 0);
	ck_assert_int_eq(status[0], 1);
}
END_TEST

START_TEST(block_is_split_once_and_only_when_it_is_whole)
{
	const uint64_t hole = GAP / GMIG_PAGE_BYTES;
	struct shadow_entry entry;

	ck_assert_int_eq(memory->ops->split(memory, hole), -EBUSY); /* nothing is there */
	for (uint64_t gfn = 0; gfn < 2 * GMIG_BLOCK_PAGES; gfn += GMIG_BLOCK_PAGES)
		if (shadow_lookup(rig.gmig->shadow, gfn, &entry) || !entry.order) {
			skip_case(NO_HUGE_PAGES);
			return;
		}
	ck_assert_int_eq(memory->ops->split(memory, GMIG_BLOCK_PAGES), 0);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, GMIG_BLOCK_PAGES, &entry), 0);
	ck_assert_uint_eq(entry.order, 0);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, 0, &entry), 0);
	ck_assert_uint_eq(entry.order, 9);
	ck_assert_int_eq(memory->ops->split(memory, GMIG_BLOCK_PAGES), -EBUSY);
	/* The kernel has not split it. */
	ck_assert(memory->ops->unsplit(memory, GMIG_BLOCK_PAGES));
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, GMIG_BLOCK_PAGES, &entry), 0);
	ck_assert_uint_eq(entry.order, 9);
	ck_assert(memory->ops->unsplit(memory, GMIG_BLOCK_PAGES));
	rig_assert_clean(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest");
	TCase *tcase = tcase_create("memory");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, ranges_are_those_of_the_job_s_vnodes_by_address, 0, 6);
	tcase_add_test(tcase, pages_of_several_regions_are_told_in_the_order_they_are_asked_in);
	tcase_add_test(tcase, block_is_split_once_and_only_when_it_is_whole);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
