/* Which CPUs threads get when memory goes to other nodes. */
#include "../../libvirt-hooks/pin_plan.h"
#include "../../migrate/core/topology.h"
#include "host_tree.h"
#include "suite.h"

#include <errno.h>

static struct gmig_topology *topology;
static struct gmig_error err;
static struct pin_set *set;

/* Nodes with holes in their numbers, CPUs that are not in order, one without any. */
static void setup(void)
{
	static const struct tree_node nodes[] = {{0, 1000, 900, "0-2,9", "10 20 20 20"},
						 {2, 1000, 900, "3-4,6-8", "20 10 20 20"},
						 {5, 1000, 900, "10-11", "20 20 10 20"},
						 {9, 1000, 900, "", "20 20 20 10"}};

	tree_create();
	tree_nodes("0-9", nodes, 4);
	tree_cpuset("0-9");
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	set = NULL;
}

static void teardown(void)
{
	pin_set_free(set);
	gmig_topology_put(topology);
	tree_remove();
}

static void allow(struct pin_cpus *cpus, const char *list)
{
	for (char *end; *list; list = *end ? end + 1 : end) {
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (; first <= last; first++)
			cpus->word[first / 64] |= 1ull << (first % 64);
	}
}

/* One vCPU for each list. */
static void threads(const char *const *lists, size_t count)
{
	set = pin_set_create(count);
	for (size_t i = 0; i < count; i++) {
		set->pin[i].id = (unsigned int)i;
		allow(&set->pin[i].before, lists[i]);
	}
}

#define THREADS(...)                                                                               \
	threads((const char *const[]){__VA_ARGS__},                                                \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static int plan(uint16_t from, uint16_t to)
{
	const struct pin_pair pair = {from, to};

	return pin_plan(set, topology, &pair, 1, &err);
}

static void expect(size_t thread, const char *list)
{
	static char text[PIN_CPU_TEXT];

	ck_assert_str_eq(pin_cpus_print(&set->pin[thread].after, text), list);
}

START_TEST(pin_one_to_one_stays_one_to_one)
{
	THREADS("0", "1", "9");
	ck_assert_int_eq(plan(0, 2), 3);
	expect(0, "3");
	expect(1, "4");
	expect(2, "7");
}
END_TEST

START_TEST(pin_beyond_the_targets_cpus_is_counted_out)
{
	THREADS("2", "9");
	ck_assert_int_eq(plan(0, 5), 2);
	expect(0, "10");
	expect(1, "11");
}
END_TEST

START_TEST(pins_of_more_cpus_than_the_target_has_share_all_of_them)
{
	THREADS("0", "1", "2");
	ck_assert_int_eq(plan(0, 5), 3);
	for (size_t i = 0; i < 3; i++)
		expect(i, "10-11");
}
END_TEST

START_TEST(thread_on_all_of_a_node_gets_all_of_the_other)
{
	THREADS("0-2,9", "0-11", "3");
	ck_assert_int_eq(plan(0, 2), 2);
	expect(0, "3-4,6-8");
	expect(1, "3-4,6-8,10-11"); /* 5 is nobody's */
	expect(2, "3");
}
END_TEST

START_TEST(thread_that_stays_keeps_its_cpu_to_itself)
{
	/* The last one is pinned to node 2 already, where the first of node 0 would go. */
	THREADS("0", "1", "3");
	ck_assert_int_eq(plan(0, 2), 2);
	expect(0, "4");
	expect(1, "6");
	expect(2, "3");
}
END_TEST

START_TEST(nodes_that_change_places_swap_their_threads)
{
	const struct pin_pair pairs[] = {{0, 2}, {2, 0}};

	THREADS("0", "3", "0-2,9", "0,3", "10");
	ck_assert_int_eq(pin_plan(set, topology, pairs, 2, &err), 3);
	expect(0, "3");
	expect(1, "0");
	expect(2, "3-4,6-8");
	expect(3, "0,3");
	expect(4, "10");
}
END_TEST

START_TEST(two_nodes_that_go_to_one_do_not_share_a_cpu)
{
	const struct pin_pair pairs[] = {{0, 2}, {5, 2}};

	THREADS("0", "10", "1", "11");
	ck_assert_int_eq(pin_plan(set, topology, pairs, 2, &err), 4);
	expect(0, "3");
	expect(2, "4");
	expect(1, "6");
	expect(3, "7");
}
END_TEST

START_TEST(cpus_that_are_offline_go_with_the_first_change)
{
	/* 5 and 12 are nobody's. */
	THREADS("0-12", "5,10", "0,5");
	ck_assert_int_eq(plan(0, 2), 2);
	expect(0, "3-4,6-8,10-11");
	expect(1, "5,10");
	expect(2, "3");
}
END_TEST

START_TEST(pin_to_the_one_cpu_of_a_node_is_one_to_one)
{
	static const struct tree_node nodes[] = {{0, 1000, 900, "0", "10 20"},
						 {1, 1000, 900, "1-4", "20 10"}};

	gmig_topology_put(topology);
	tree_remove();
	tree_create();
	tree_nodes("0-1", nodes, 2);
	tree_cpuset("0-1");
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	THREADS("0", "0-4");
	ck_assert_int_eq(plan(0, 1), 2);
	expect(0, "1");
	expect(1, "1-4");
}
END_TEST

START_TEST(target_without_cpus_is_refused_with_the_cure)
{
	THREADS("0");
	ck_assert_int_eq(plan(0, 9), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.text, "node 9 has no CPUs"));
	ck_assert_int_eq(pin_check_node(topology, 2, &err), 0);
	ck_assert_int_eq(pin_check_node(topology, 7, &err), -ENODEV);
}
END_TEST

START_TEST(cpus_over_1024_are_cpus)
{
	static const struct tree_node nodes[] = {{0, 1000, 900, "0-2047", "10 20"},
						 {1, 1000, 900, "2048-4095", "20 10"}};

	gmig_topology_put(topology);
	tree_remove();
	tree_create();
	tree_nodes("0-1", nodes, 2);
	tree_cpuset("0-1");
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	THREADS("1500", "0-4095", "2047");
	ck_assert_int_eq(plan(0, 1), 3);
	expect(0, "3548");
	expect(1, "2048-4095");
	expect(2, "4095");
}
END_TEST

START_TEST(every_other_cpu_is_printed_in_full)
{
	static char text[PIN_CPU_TEXT];
	struct pin_cpus cpus;

	for (unsigned int i = 0; i < PIN_CPU_WORDS; i++)
		cpus.word[i] = 0x5555555555555555ull;
	pin_cpus_print(&cpus, text);
	ck_assert_str_eq(text + strlen(text) - 6, ",16382");
	ck_assert_uint_eq(pin_cpus_count(&cpus), PIN_CPUS / 2);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    pin_one_to_one_stays_one_to_one,
	    pin_beyond_the_targets_cpus_is_counted_out,
	    pins_of_more_cpus_than_the_target_has_share_all_of_them,
	    thread_on_all_of_a_node_gets_all_of_the_other,
	    thread_that_stays_keeps_its_cpu_to_itself,
	    nodes_that_change_places_swap_their_threads,
	    two_nodes_that_go_to_one_do_not_share_a_cpu,
	    cpus_that_are_offline_go_with_the_first_change,
	    pin_to_the_one_cpu_of_a_node_is_one_to_one,
	    target_without_cpus_is_refused_with_the_cure,
	    cpus_over_1024_are_cpus,
	    every_other_cpu_is_printed_in_full,
	};

	return run_tests("pin_plan", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
