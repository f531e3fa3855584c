#include "../../migrate/gmig.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 128

static struct gmig_topology *topology;

static void create(unsigned int fake_nodes)
{
	struct gmig_error err = {0};

	ck_assert_msg(!gmig_topology_create(fake_nodes, &topology, &err), "%s", err.text);
}

static void teardown(void)
{
	gmig_topology_put(topology);
	topology = NULL;
}

static unsigned int count_cpus(unsigned int node, uint64_t *into)
{
	uint64_t mask[WORDS];
	unsigned int count = 0;

	gmig_topology_cpus(topology, node, mask, WORDS);
	for (unsigned int i = 0; i < WORDS; i++) {
		count += (unsigned int)__builtin_popcountll(mask[i]);
		if (into)
			into[i] |= mask[i];
	}
	return count;
}

/* A sysfs file as a set; the set of node 0 when there is no such file. */
static struct gmig_node_set read_list(const char *path)
{
	struct gmig_node_set set = {{1}};
	FILE *file = fopen(path, "r");
	char line[4096];

	if (!file)
		return set;
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	ck_assert_int_eq(gmig_node_set_parse(line, &set, NULL), 0);
	fclose(file);
	return set;
}

START_TEST(host_nodes_are_those_that_sysfs_says_have_memory)
{
	struct gmig_node_set sysfs = read_list("/sys/devices/system/node/has_memory");

	create(0);
	ck_assert(!gmig_topology_is_fake(topology));
	ck_assert_mem_eq(gmig_topology_nodes(topology), &sysfs, sizeof(sysfs));
}
END_TEST

START_TEST(host_node_has_memory_and_is_near_itself)
{
	const struct gmig_node_set *nodes;
	uint64_t all[WORDS] = {0};

	create(0);
	nodes = gmig_topology_nodes(topology);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		count_cpus(node, all);
	gmig_node_set_each (a, nodes) {
		ck_assert_uint_eq(gmig_topology_distance(topology, a, a), 10);
		ck_assert_uint_gt(gmig_topology_total_bytes(topology, a), 0);
		ck_assert_uint_le(gmig_topology_free_bytes(topology, a),
				  gmig_topology_total_bytes(topology, a));
		gmig_node_set_each (b, nodes) {
			if (b != a)
				ck_assert_uint_gt(gmig_topology_distance(topology, a, b), 10);
		}
	}
	ck_assert_uint_ne(all[0], 0);
}
END_TEST

START_TEST(absent_node_has_nothing)
{
	create(2);
	ck_assert_uint_eq(gmig_topology_total_bytes(topology, 2), 0);
	ck_assert_uint_eq(gmig_topology_free_bytes(topology, 2), 0);
	ck_assert_uint_eq(gmig_topology_total_bytes(topology, UINT_MAX), 0);
	ck_assert_uint_eq(gmig_topology_distance(topology, 0, 2), 0);
	ck_assert_uint_eq(gmig_topology_distance(topology, UINT_MAX, 0), 0);
	ck_assert_uint_eq(count_cpus(2, NULL), 0);
	ck_assert_uint_eq(count_cpus(UINT_MAX, NULL), 0);
}
END_TEST

START_TEST(fake_nodes_share_the_hosts_memory)
{
	uint64_t total;

	create(4);
	ck_assert(gmig_topology_is_fake(topology));
	ck_assert_uint_eq(gmig_node_set_count(gmig_topology_nodes(topology)), 4);
	ck_assert(gmig_node_set_has(gmig_topology_nodes(topology), 3));
	total = gmig_topology_total_bytes(topology, 0);
	ck_assert_uint_gt(total, 0);
	ck_assert_uint_gt(gmig_topology_free_bytes(topology, 3), 0);
	for (unsigned int a = 0; a < 4; a++) {
		ck_assert_uint_eq(gmig_topology_total_bytes(topology, a), total);
		for (unsigned int b = 0; b < 4; b++)
			ck_assert_uint_eq(gmig_topology_distance(topology, a, b), a == b ? 10 : 20);
	}
}
END_TEST

START_TEST(every_fake_node_has_cpus_and_every_cpu_a_node)
{
	uint64_t host[WORDS] = {0}, fake[WORDS] = {0};
	unsigned int cpus = 0, sum = 0;

	create(0);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		cpus += count_cpus(node, host);
	teardown();
	create((unsigned int)_i);
	for (int node = 0; node < _i; node++) {
		ck_assert_uint_gt(count_cpus((unsigned int)node, NULL), 0);
		sum += count_cpus((unsigned int)node, fake);
	}
	ck_assert_mem_eq(host, fake, sizeof(host));
	/* No CPU twice, unless nodes must share. */
	ck_assert_uint_eq(sum, cpus > (unsigned int)_i ? cpus : (unsigned int)_i);
}
END_TEST

START_TEST(fake_nodes_are_as_many_as_linux_can_have)
{
	struct gmig_error err = {0};

	create(GMIG_MAX_NODES);
	ck_assert_uint_eq(gmig_node_set_count(gmig_topology_nodes(topology)), GMIG_MAX_NODES);
	teardown();
	ck_assert_int_eq(gmig_topology_create(GMIG_MAX_NODES + 1, &topology, &err), -EINVAL);
	ck_assert_int_eq(err.code, -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "1025"));
}
END_TEST

START_TEST(cpu_mask_of_few_words_is_not_overrun)
{
	uint64_t mask[3] = {1, 2, 3};

	create(1);
	gmig_topology_cpus(topology, 0, mask + 1, 1);
	ck_assert_uint_eq(mask[0], 1);
	ck_assert_uint_ne(mask[1], 0);
	ck_assert_uint_eq(mask[2], 3);
	gmig_topology_cpus(topology, 0, mask, 0);
	ck_assert_uint_eq(mask[0], 1);
}
END_TEST

START_TEST(job_states_and_modes_have_the_names_scripts_know)
{
	ck_assert_str_eq(gmig_job_state_name(GMIG_JOB_CREATED), "created");
	ck_assert_str_eq(gmig_job_state_name(GMIG_JOB_COMPLETED), "completed");
	ck_assert_str_eq(gmig_job_state_name(GMIG_JOB_FAILED), "failed");
	ck_assert_str_eq(gmig_job_state_name(GMIG_JOB_CANCELLED), "cancelled");
	ck_assert_str_eq(gmig_job_state_name((enum gmig_job_state)99), "unknown");
	ck_assert_str_eq(gmig_mode_name(GMIG_MODE_READABLE), "readable");
	ck_assert_str_eq(gmig_mode_name(GMIG_MODE_BLOCK), "block");
	ck_assert_str_eq(gmig_mode_name((enum gmig_mode)99), "unknown");
}
END_TEST

START_TEST(error_numbers_have_their_names_in_either_sign)
{
	ck_assert_str_eq(gmig_errno_name(EBUSY), "EBUSY");
	ck_assert_str_eq(gmig_errno_name(-EBUSY), "EBUSY");
	ck_assert_str_eq(gmig_errno_name(-ENOMEM), "ENOMEM");
	ck_assert_str_eq(gmig_errno_name(4000), "E4000");
	ck_assert_str_eq(gmig_errno_name(0), "E0");
	ck_assert_str_eq(gmig_errno_name(INT_MIN), "E2147483648");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("topology");
	TCase *tcase = tcase_create("topology");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_test(tcase, host_nodes_are_those_that_sysfs_says_have_memory);
	tcase_add_test(tcase, host_node_has_memory_and_is_near_itself);
	tcase_add_test(tcase, absent_node_has_nothing);
	tcase_add_test(tcase, fake_nodes_share_the_hosts_memory);
	tcase_add_loop_test(tcase, every_fake_node_has_cpus_and_every_cpu_a_node, 1, 8);
	tcase_add_test(tcase, fake_nodes_are_as_many_as_linux_can_have);
	tcase_add_test(tcase, cpu_mask_of_few_words_is_not_overrun);
	tcase_add_test(tcase, job_states_and_modes_have_the_names_scripts_know);
	tcase_add_test(tcase, error_numbers_have_their_names_in_either_sign);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
