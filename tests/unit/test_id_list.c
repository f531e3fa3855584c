/* Lists of CPUs and nodes in libvirt's syntax. */
#include "suite.h"

#include "../../libvirt-hooks/id_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *text, *nodes;
} lists[] = {
    {"0", "0"},
    {"0-3,^2,8", "0-1,3,8"},
    {" 1 , 3 - 5 ,^4", "1,3,5"},
    {"0-1023", "0-1023"},
    {"5,5,5-6", "5-6"},
    {"^7,3", "3"},
    {"^3,3", "3"}, /* in order: taken out of nothing, then put in */
    {"0-3,^0,^1,^3,0", "0,2"},
    {"007", "7"},
};
#define LISTS (int)(sizeof(lists) / sizeof(lists[0]))

START_TEST(list_in_libvirts_syntax_is_read)
{
	struct gmig_node_set set = {{0}};
	struct gmig_error err;
	char text[64];

	ck_assert_int_eq(id_list_nodes(lists[_i].text, &set, &err), 0);
	ck_assert_str_eq(gmig_node_set_print(&set, text, sizeof(text)), lists[_i].nodes);
}
END_TEST

static const struct {
	const char *text;
	int error;
	const char *says;
} wrong[] = {
    {"", -EINVAL, "numbers"},
    {" ", -EINVAL, "numbers"},
    {"0,", -EINVAL, "numbers"},
    {",0", -EINVAL, "numbers"},
    {"0;1", -EINVAL, "commas"},
    {"0 1", -EINVAL, "commas"},
    {"3-1", -EINVAL, "upwards"},
    {"1-", -EINVAL, "numbers"},
    {"-1", -EINVAL, "numbers"},
    {"+1", -EINVAL, "numbers"},
    {"0x1", -EINVAL, "commas"},
    {"0-3,^1-2", -EINVAL, "one number"},
    {"^", -EINVAL, "numbers"},
    {"0,^0", -EINVAL, "no nodes remain"},
    {"^0", -EINVAL, "no nodes remain"},
    {"1024", -ERANGE, "0 to 1023"},
    {"0-1024", -ERANGE, "0 to 1023"},
    {"4294967296", -ERANGE, "0 to 1023"},
    {"99999999999999999999999", -ERANGE, "0 to 1023"},
};
#define WRONG (int)(sizeof(wrong) / sizeof(wrong[0]))

START_TEST(list_that_is_none_is_refused_and_changes_nothing)
{
	struct gmig_node_set set = {{42}};
	struct gmig_error err = {0, ""};

	ck_assert_int_eq(id_list_nodes(wrong[_i].text, &set, &err), wrong[_i].error);
	ck_assert_msg(strstr(err.text, wrong[_i].says) != NULL, "%s", err.text);
	ck_assert_uint_eq(set.word[0], 42);
}
END_TEST

START_TEST(cpus_are_as_many_as_libvirt_has)
{
	struct cpu_mask mask = {0, NULL};
	struct gmig_error err;

	ck_assert_int_eq(id_list_cpus("0-1,16383", &mask, &err), 0);
	ck_assert_uint_eq(mask.words, 256);
	ck_assert(cpu_mask_has(&mask, 0) && cpu_mask_has(&mask, 16383));
	ck_assert(!cpu_mask_has(&mask, 2) && !cpu_mask_has(&mask, 16384));
	free(mask.word);
	ck_assert_int_eq(id_list_cpus("16384", &mask, &err), -ERANGE);
}
END_TEST

START_TEST(cpus_take_no_more_memory_than_the_highest_needs)
{
	struct cpu_mask mask = {0, NULL};
	struct gmig_error err;

	ck_assert_int_eq(id_list_cpus("3,64,^64", &mask, &err), 0);
	ck_assert_uint_eq(mask.words, 1);
	ck_assert_uint_eq(mask.word[0], 8);
	free(mask.word);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("id_list");
	TCase *tcase = tcase_create("lists");

	tcase_add_loop_test(tcase, list_in_libvirts_syntax_is_read, 0, LISTS);
	tcase_add_loop_test(tcase, list_that_is_none_is_refused_and_changes_nothing, 0, WRONG);
	tcase_add_test(tcase, cpus_are_as_many_as_libvirt_has);
	tcase_add_test(tcase, cpus_take_no_more_memory_than_the_highest_needs);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
