/* Which CPUs a vCPU keeps to, on hosts with more of them than a cpu_set_t holds. */
#include "../../migrate/core/topology.h"
#include "../../vmm/pin.h"
#include "host_tree.h"

#include <errno.h>

static struct gmig_topology *topology;
static struct vmm_cpus all, wanted;

static const struct tree_node nodes[] = {{0, 1024, 1, "0-63", "10 20 30 40"},
					 {1, 1024, 1, "1000-1030", "20 10 30 40"},
					 {2, 1024, 1, "8190-8191", "30 30 10 40"},
					 {3, 1024, 1, "", "40 40 15 10"}};

static void setup(void)
{
	tree_create();
	tree_nodes("0-3", nodes, 4);
	ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, NULL), 0);
	memset(&all, 0xff, sizeof(all));
}

static void teardown(void)
{
	gmig_topology_put(topology);
	tree_remove();
}

static unsigned int count(const struct vmm_cpus *cpus)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < GMIG_MAX_CPUS / 64; i++)
		sum += (unsigned int)__builtin_popcountll(cpus->word[i]);
	return sum;
}

static bool has(const struct vmm_cpus *cpus, unsigned int cpu)
{
	return cpus->word[cpu / 64] >> (cpu % 64) & 1;
}

START_TEST(cpus_of_the_node_are_chosen_whatever_their_numbers)
{
	ck_assert(vmm_pin_choose(topology, 0, &all, &wanted));
	ck_assert_uint_eq(count(&wanted), 64);
	ck_assert(vmm_pin_choose(topology, 1, &all, &wanted));
	ck_assert_uint_eq(count(&wanted), 31);
	ck_assert(has(&wanted, 1024));
	ck_assert(vmm_pin_choose(topology, 2, &all, &wanted));
	ck_assert_uint_eq(count(&wanted), 2);
	ck_assert(has(&wanted, 8191));
}
END_TEST

START_TEST(only_cpus_that_the_process_may_use_are_chosen)
{
	struct vmm_cpus mine = {{0}};

	mine.word[1024 / 64] = 3;
	mine.word[0] = 1;
	ck_assert(vmm_pin_choose(topology, 1, &mine, &wanted));
	ck_assert_uint_eq(count(&wanted), 2);
	ck_assert(has(&wanted, 1024));
	ck_assert(has(&wanted, 1025));
}
END_TEST

START_TEST(node_without_cpus_to_use_gives_the_nearest_ones)
{
	struct vmm_cpus mine = {{0}};

	ck_assert(vmm_pin_choose(topology, 3, &all, &wanted));
	ck_assert(has(&wanted, 8190));
	mine.word[1000 / 64] = ~0ull;
	ck_assert(vmm_pin_choose(topology, 3, &mine, &wanted));
	ck_assert(has(&wanted, 1000));
	memset(&mine, 0, sizeof(mine));
	mine.word[70 / 64] = ~0ull;
	ck_assert(!vmm_pin_choose(topology, 3, &mine, &wanted));
}
END_TEST

static const struct {
	const char *text, *again; /* NULL: the same */
	unsigned int count;
} lists[] = {
    {"0", NULL, 1},	    {"0,2-3", NULL, 3}, {"3,2,2-3", "2-3", 2},
    {"0-8191", NULL, 8192}, {"8191", NULL, 1},	{"63-64", NULL, 2},
};

START_TEST(list_of_cpus_is_read_and_printed)
{
	struct vmm_cpus cpus;
	char text[64];

	ck_assert_int_eq(vmm_cpus_parse(lists[_i].text, &cpus, NULL), 0);
	ck_assert_uint_eq(vmm_cpus_count(&cpus), lists[_i].count);
	ck_assert_str_eq(vmm_cpus_print(&cpus, text, sizeof(text)),
			 lists[_i].again ? lists[_i].again : lists[_i].text);
}
END_TEST

static const struct {
	const char *text;
	int error;
} bad_lists[] = {{"", -EINVAL},	      {",", -EINVAL},
		 {"1,", -EINVAL},     {"1,,2", -EINVAL},
		 {"-1", -EINVAL},     {"1-", -EINVAL},
		 {"3-1", -EINVAL},    {"0x1", -EINVAL},
		 {"1 2", -EINVAL},    {"8192", -ERANGE},
		 {"0-8192", -ERANGE}, {"a", -EINVAL},
		 {"1-2-3", -EINVAL},  {"99999999999999999999", -ERANGE}};

START_TEST(text_that_is_no_list_of_cpus_is_refused)
{
	struct gmig_error err = {0};
	struct vmm_cpus cpus;

	ck_assert_int_eq(vmm_cpus_parse(bad_lists[_i].text, &cpus, &err), bad_lists[_i].error);
	ck_assert_ptr_nonnull(strstr(err.text, "CPUs are"));
}
END_TEST

START_TEST(list_of_cpus_that_is_too_long_is_cut_at_a_comma)
{
	struct vmm_cpus cpus;
	char text[12];

	ck_assert_int_eq(vmm_cpus_parse("100,102,104,106,108", &cpus, NULL), 0);
	ck_assert_str_eq(vmm_cpus_print(&cpus, text, sizeof(text)), "100,102,...");
}
END_TEST

START_TEST(nodes_of_cpus_are_those_that_have_any)
{
	struct gmig_node_set found;
	struct vmm_cpus cpus;
	char text[32];

	ck_assert_int_eq(vmm_cpus_parse("63-64,8191", &cpus, NULL), 0);
	found = vmm_cpus_nodes(topology, &cpus);
	ck_assert_str_eq(gmig_node_set_print(&found, text, sizeof(text)), "0,2");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pin");
	TCase *tcase = tcase_create("pin");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, cpus_of_the_node_are_chosen_whatever_their_numbers);
	tcase_add_test(tcase, only_cpus_that_the_process_may_use_are_chosen);
	tcase_add_test(tcase, node_without_cpus_to_use_gives_the_nearest_ones);
	tcase_add_loop_test(tcase, list_of_cpus_is_read_and_printed, 0,
			    sizeof(lists) / sizeof(lists[0]));
	tcase_add_loop_test(tcase, text_that_is_no_list_of_cpus_is_refused, 0,
			    sizeof(bad_lists) / sizeof(bad_lists[0]));
	tcase_add_test(tcase, list_of_cpus_that_is_too_long_is_cut_at_a_comma);
	tcase_add_test(tcase, nodes_of_cpus_are_those_that_have_any);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
