/* Sets of the pages of one block. */
#include "../../migrate/core/bits.h"
#include "suite.h"

START_TEST(ranges_set_and_clear_their_pages_and_no_other)
{
	for (unsigned int first = 0; first < GMIG_BLOCK_PAGES; first++) {
		for (unsigned int end = first; end <= GMIG_BLOCK_PAGES;
		     end += end % 64 < 3 ? 1 : 7) {
			struct bits set = {{0}}, clear, expected = {{0}};

			for (unsigned int i = first; i < end; i++)
				bits_set(&expected, i);
			bits_set_range(&set, first, end - first);
			ck_assert_mem_eq(&set, &expected, sizeof(set));
			ck_assert_uint_eq(bits_count(&set), end - first);
			bits_fill(&clear);
			bits_clear_range(&clear, first, end - first);
			bits_add(&clear, &set);
			ck_assert(bits_full(&clear));
			bits_remove(&clear, &set);
			ck_assert_uint_eq(bits_count(&clear), GMIG_BLOCK_PAGES - (end - first));
		}
	}
}
END_TEST

START_TEST(runs_are_found_in_order_up_to_the_last_page)
{
	struct bits set = {{0}};
	unsigned int first = 0;

	bits_set_range(&set, 60, 10);
	bits_set_range(&set, 500, 12);
	ck_assert_uint_eq(bits_run(&set, &first), 10);
	ck_assert_uint_eq(first, 60);
	first += 10;
	ck_assert_uint_eq(bits_run(&set, &first), 12);
	ck_assert_uint_eq(first, 500);
	first += 12;
	ck_assert_uint_eq(bits_run(&set, &first), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bits");
	TCase *tcase = tcase_create("bits");

	tcase_add_test(tcase, ranges_set_and_clear_their_pages_and_no_other);
	tcase_add_test(tcase, runs_are_found_in_order_up_to_the_last_page);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
