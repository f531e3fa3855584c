/* Which mover moves which kind of memory in which mode: one table, and all else is refused in words. */
#include "../../migrate/movers/legal.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

static const char *const kinds[] = {"ram", "process", "memfd", "hugetlb", "rom"};

static bool is_legal(const char *kind, const char *mover, enum gmig_mode mode)
{
	if (!strcmp(mover, "uffd"))
		return !strcmp(kind, "ram");
	if (!strcmp(mover, "hugetlb"))
		return !strcmp(kind, "hugetlb") && mode < GMIG_MODE_BLOCK;
	if (!strcmp(mover, "swap"))
		return (!strcmp(kind, "ram") || !strcmp(kind, "memfd")) && mode == GMIG_MODE_AUTO;
	return strcmp(kind, "rom") != 0 && mode < GMIG_MODE_BLOCK;
}

START_TEST(combination_is_legal_or_refused_in_words)
{
	for (unsigned int k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (unsigned int m = 0; mover_all[m]; m++)
			for (int mode = 0; mode <= GMIG_MODE_LAZY; mode++) {
				bool legal =
				    is_legal(kinds[k], mover_all[m]->name, (enum gmig_mode)mode);
				struct gmig_error err = {0};
				int ret =
				    legal_check(kinds[k], mover_all[m], (enum gmig_mode)mode, &err);

				ck_assert_int_eq(ret, legal ? 0 : -EINVAL);
				ck_assert(legal || (strstr(err.text, kinds[k]) &&
						    strstr(err.text, mover_all[m]->name)));
			}
}
END_TEST

START_TEST(mode_that_nobody_knows_is_refused)
{
	struct gmig_error err = {0};

	ck_assert_int_eq(legal_check("ram", mover_all[0], (enum gmig_mode)7, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "mode 7"));
}
END_TEST

START_TEST(row_names_a_mover_that_there_is)
{
	for (const struct legal *legal = legal_all; legal->kind; legal++) {
		ck_assert_ptr_nonnull(mover_find(legal->mover));
		ck_assert_uint_ne(legal->modes, 0);
	}
}
END_TEST

START_TEST(refusal_says_what_would_be_legal)
{
	static const struct {
		const char *kind, *mover;
		enum gmig_mode mode;
		const char *text;
	} cases[] = {
	    {"ram", "hugetlb", GMIG_MODE_AUTO,
	     "mover hugetlb does not move memory of kind ram: use uffd or kernel or swap"},
	    {"hugetlb", "uffd", GMIG_MODE_AUTO,
	     "mover uffd does not move memory of kind hugetlb: use hugetlb or kernel"},
	    {"process", "swap", GMIG_MODE_AUTO,
	     "mover swap does not move memory of kind process: use kernel"},
	    {"rom", "uffd", GMIG_MODE_AUTO,
	     "mover uffd does not move memory of kind rom: use none, it stays"},
	    {"memfd", "swap", GMIG_MODE_BLOCK,
	     "mover swap has no mode block for memory of kind memfd"},
	    {"own", "uffd", GMIG_MODE_LAZY, "mover uffd has no mode lazy for memory of kind own"}};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gmig_error err = {0};

		ck_assert_int_eq(
		    legal_check(cases[i].kind, mover_find(cases[i].mover), cases[i].mode, &err),
		    -EINVAL);
		ck_assert_str_eq(err.text, cases[i].text);
	}
	ck_assert_int_eq(legal_check("ram", mover_all[0], GMIG_MODE_LAZY, NULL), 0);
	ck_assert_int_eq(legal_check("ram", mover_all[0], GMIG_MODE_LAZY + 1, NULL), -EINVAL);
}
END_TEST

START_TEST(mover_moves_a_kind_in_any_mode_or_in_none)
{
	ck_assert(legal_moves("ram", &mover_uffd));
	ck_assert(legal_moves("own", &mover_swap));
	ck_assert(legal_moves("own", &mover_uffd));
	ck_assert(!legal_moves("hugetlb", &mover_uffd));
	ck_assert(!legal_moves("process", &mover_swap));
	ck_assert(!legal_moves("rom", &mover_kernel));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("legal");
	TCase *tcase = tcase_create("legal");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, combination_is_legal_or_refused_in_words);
	tcase_add_test(tcase, mode_that_nobody_knows_is_refused);
	tcase_add_test(tcase, row_names_a_mover_that_there_is);
	tcase_add_test(tcase, refusal_says_what_would_be_legal);
	tcase_add_test(tcase, mover_moves_a_kind_in_any_mode_or_in_none);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
