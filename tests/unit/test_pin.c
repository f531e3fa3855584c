/* Which CPUs a vCPU keeps to, on hosts with more of them than a cpu_set_t holds. */
#include "../../migrate/core/topology.h"
#include "../../vmm/pin.h"
#include "host_tree.h"

#include <errno.h>
#include <sched.h>

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

START_TEST(thread_is_pinned_to_the_cpus_of_this_host)
{
	struct gmig_topology *host;
	struct gmig_error err = {0};
	struct vmm_cpus now = {{0}};

	ck_assert_int_eq(gmig_topology_create(0, &host, &err), 0);
	ck_assert_msg(!vmm_pin(host, gmig_node_set_next(gmig_topology_nodes(host), 0), &err), "%s",
		      err.text);
	gmig_topology_put(host);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(now), (cpu_set_t *)now.word), 0);
	ck_assert_uint_gt(count(&now), 0);
	/* No CPU of that tree's nodes 1 to 3 is here. */
	tree_nodes("0-3", (const struct tree_node[]){{1, 1024, 1, "8191", "10"}}, 1);
	ck_assert_int_eq(topology_create_at(tree_root, 0, &host, &err), 0);
	ck_assert_int_eq(vmm_pin(host, 1, &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.text, "no node has a CPU"));
	gmig_topology_put(host);
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
	tcase_add_test(tcase, thread_is_pinned_to_the_cpus_of_this_host);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
