/* Hosts that no machine at hand is: with holes, without memory, without CPUs, changing under us. */
#include "../../migrate/core/topology.h"
#include "failing_open.h"
#include "host_tree.h"
#include "open_files.h"

#include <errno.h>

#define MIB (1ull << 20)

static struct gmig_topology *topology;

static void create(unsigned int fake_nodes)
{
	struct gmig_error err = {0};

	ck_assert_msg(!topology_create_at(tree_root, fake_nodes, &topology, &err), "%s", err.text);
}

static void teardown(void)
{
	gmig_topology_put(topology);
	topology = NULL;
	tree_remove();
}

static void ck_set(const struct gmig_node_set *set, const char *expected)
{
	char text[64];

	ck_assert_str_eq(gmig_node_set_print(set, text, sizeof(text)), expected);
}

static bool has_cpu(unsigned int node, unsigned int cpu)
{
	uint64_t mask[TOPOLOGY_CPU_WORDS];

	gmig_topology_cpus(topology, node, mask, TOPOLOGY_CPU_WORDS);
	return mask[cpu / 64] >> (cpu % 64) & 1;
}

static unsigned int cpu_count(unsigned int node)
{
	uint64_t mask[TOPOLOGY_CPU_WORDS];
	unsigned int count = 0;

	gmig_topology_cpus(topology, node, mask, TOPOLOGY_CPU_WORDS);
	for (unsigned int i = 0; i < TOPOLOGY_CPU_WORDS; i++)
		count += (unsigned int)__builtin_popcountll(mask[i]);
	return count;
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static const struct tree_node two[] = {{0, 1024, 100, "0-1", "10 20"},
				       {1, 1024, 200, "2-3", "20 10"}};

START_TEST(sparse_ids_are_kept_and_distances_found_by_rank)
{
	static const struct tree_node nodes[] = {{0, 100, 1, "0-63", "10 11 12 13"},
						 {8, 200, 1, "64-127", "21 10 23 24"},
						 {255, 300, 1, "8000", "31 32 10 34"},
						 {1023, 400, 1, "8191", "41 42 43 10"}};
	static const unsigned int id[] = {0, 8, 255, 1023};

	tree_nodes("0-1023", nodes, 4);
	create(0);
	ck_set(gmig_topology_nodes(topology), "0,8,255,1023");
	ck_set(gmig_topology_online(topology), "0,8,255,1023");
	ck_set(gmig_topology_possible(topology), "0-1023");
	for (unsigned int i = 0; i < 4; i++) {
		ck_assert_uint_eq(gmig_topology_total_bytes(topology, id[i]), nodes[i].mib * MIB);
		for (unsigned int k = 0; k < 4; k++)
			ck_assert_uint_eq(gmig_topology_distance(topology, id[i], id[k]),
					  i == k ? 10 : 10 * (i + 1) + k + (i > 0));
	}
	ck_assert_uint_eq(gmig_topology_distance(topology, 8, 9), 0);
	ck_assert_uint_eq(cpu_count(8), 64);
	ck_assert(has_cpu(255, 8000));
	ck_assert(has_cpu(1023, 8191));
	ck_assert_uint_eq(cpu_count(1023), 1);
	ck_assert_uint_eq(cpu_count(7), 0);
}
END_TEST

/* FACTS of the field: a fixture that catches most bugs. The distances are not symmetric. */
START_TEST(one_two_three_gib_host_reads_as_it_is)
{
	static const struct tree_node nodes[] = {{0, 1024, 10, "0-2,9", "10 15 20"},
						 {1, 2048, 20, "3-4,6-8", "20 10 25"},
						 {2, 3072, 30, "5,10-11", "25 30 10"}};
	static const unsigned int distance[3][3] = {{10, 15, 20}, {20, 10, 25}, {25, 30, 10}};
	static const unsigned int node_of_cpu[] = {0, 0, 0, 1, 1, 2, 1, 1, 1, 0, 2, 2};

	tree_nodes("0-2", nodes, 3);
	create(0);
	for (unsigned int a = 0; a < 3; a++) {
		ck_assert_uint_eq(gmig_topology_total_bytes(topology, a), (a + 1) * 1024 * MIB);
		ck_assert_uint_eq(gmig_topology_free_bytes(topology, a), (a + 1) * 10 * MIB);
		for (unsigned int b = 0; b < 3; b++)
			ck_assert_uint_eq(gmig_topology_distance(topology, a, b), distance[a][b]);
		for (unsigned int cpu = 0; cpu < 12; cpu++)
			ck_assert_int_eq(has_cpu(a, cpu), node_of_cpu[cpu] == a);
	}
	ck_assert_uint_eq(cpu_count(0) + cpu_count(1) + cpu_count(2), 12);
}
END_TEST

START_TEST(node_without_memory_is_online_but_no_place_for_memory)
{
	static const struct tree_node nodes[] = {{0, 0, 0, "0-3", "10 12 30"},
						 {1, 1024, 1, "4-7", "12 10 30"},
						 {2, 2048, 1, "8-9", "30 30 10"}};

	tree_nodes("0-2", nodes, 3);
	create(0);
	ck_set(gmig_topology_nodes(topology), "1-2");
	ck_set(gmig_topology_online(topology), "0-2");
	ck_assert_uint_eq(gmig_topology_total_bytes(topology, 0), 0);
	ck_assert_uint_eq(cpu_count(0), 4);
	ck_assert_uint_eq(gmig_topology_distance(topology, 0, 2), 30);
	ck_assert_uint_eq(gmig_topology_nearest(topology, 0, gmig_topology_nodes(topology)), 1);
}
END_TEST

START_TEST(node_that_says_it_has_memory_but_has_none_is_no_place_for_it)
{
	tree_nodes("0-1", two, 2);
	tree_node(&(struct tree_node){1, 0, 0, "2-3", "20 10"});
	create(0);
	ck_set(gmig_topology_nodes(topology), "0");
}
END_TEST

START_TEST(node_without_cpus_is_a_place_for_memory)
{
	static const struct tree_node nodes[] = {{0, 1024, 1, "0-3", "10 50"},
						 {4, 8192, 1, "", "50 10"}};

	tree_nodes("0-7", nodes, 2);
	create(0);
	ck_set(gmig_topology_nodes(topology), "0,4");
	ck_assert_uint_eq(cpu_count(4), 0);
	ck_assert_uint_eq(gmig_topology_total_bytes(topology, 4), 8192 * MIB);
}
END_TEST

START_TEST(host_without_numa_is_one_node_with_everything)
{
	create(0);
	ck_set(gmig_topology_nodes(topology), "0");
	ck_set(gmig_topology_possible(topology), "0");
	ck_set(gmig_topology_allowed(topology), "0");
	ck_assert_uint_gt(gmig_topology_total_bytes(topology, 0), 0);
	ck_assert_uint_eq(gmig_topology_distance(topology, 0, 0), 10);
	ck_assert_uint_gt(cpu_count(0), 0);
}
END_TEST

START_TEST(fake_nodes_share_the_cpus_of_a_sparse_host)
{
	static const struct tree_node nodes[] = {{3, 100, 1, "0-1", "10 20"},
						 {700, 200, 1, "100-102", "20 10"}};

	tree_nodes("0-1023", nodes, 2);
	tree_cpuset("3");
	create(2);
	ck_set(gmig_topology_nodes(topology), "0-1");
	ck_set(gmig_topology_possible(topology), "0-1");
	ck_set(gmig_topology_allowed(topology), "0-1");
	ck_assert_uint_eq(cpu_count(0), 3);
	ck_assert_uint_eq(cpu_count(1), 2);
	ck_assert(has_cpu(1, 101));
}
END_TEST

/* ---- Nearest --------------------------------------------------------------------------------- */

START_TEST(nearest_node_is_by_distance_then_by_id)
{
	static const struct tree_node nodes[] = {{0, 1, 1, "0", "10 30 20 20"},
						 {1, 1, 1, "1", "30 10 20 20"},
						 {2, 1, 1, "2", "20 20 10 30"},
						 {3, 1, 1, "3", "20 20 30 10"}};
	struct gmig_node_set among;

	tree_nodes("0-3", nodes, 4);
	create(0);
	among = *gmig_topology_nodes(topology);
	ck_assert_uint_eq(gmig_topology_nearest(topology, 2, &among), 2);
	gmig_node_set_remove(&among, 0);
	ck_assert_uint_eq(gmig_topology_nearest(topology, 0, &among), 2);
	gmig_node_set_remove(&among, 2);
	ck_assert_uint_eq(gmig_topology_nearest(topology, 0, &among), 3);
	gmig_node_set_remove(&among, 3);
	ck_assert_uint_eq(gmig_topology_nearest(topology, 0, &among), 1);
	gmig_node_set_remove(&among, 1);
	ck_assert_uint_eq(gmig_topology_nearest(topology, 0, &among), GMIG_NO_NODE);
}
END_TEST

START_TEST(nearest_to_a_node_that_is_not_there_is_the_lowest)
{
	tree_nodes("0-7", two, 2);
	create(0);
	ck_assert_uint_eq(gmig_topology_nearest(topology, 7, gmig_topology_nodes(topology)), 0);
	ck_assert_uint_eq(
	    gmig_topology_nearest(topology, GMIG_NO_NODE, gmig_topology_nodes(topology)), 0);
}
END_TEST

/* ---- The cpuset ------------------------------------------------------------------------------ */

START_TEST(cpuset_of_the_process_is_its_own_set)
{
	tree_nodes("0-7", two, 2);
	tree_cpuset("1,5-6");
	create(0);
	ck_set(gmig_topology_allowed(topology), "1,5-6");
	ck_set(gmig_topology_nodes(topology), "0-1");
}
END_TEST

START_TEST(process_without_cpusets_may_have_memory_everywhere)
{
	tree_nodes("0-7", two, 2);
	tree_write("Name:\ttest\n", "/proc/self/status");
	create(0);
	ck_assert_uint_eq(gmig_node_set_count(gmig_topology_allowed(topology)), GMIG_MAX_NODES);
}
END_TEST

/* ---- Changes --------------------------------------------------------------------------------- */

static struct gmig_topology *refresh(uint64_t generation)
{
	struct gmig_topology *fresh = NULL;
	struct gmig_error err = {0};

	ck_assert_msg(!gmig_topology_refresh(topology, &fresh, &err), "%s", err.text);
	ck_assert_uint_eq(gmig_topology_generation(fresh), generation);
	return fresh;
}

START_TEST(page_cache_that_the_kernel_gives_up_is_told_of_each_node)
{
	tree_nodes("0-3", two, 2);
	create(0);
	/* Not said: none. */
	ck_assert_uint_eq(gmig_topology_cache_bytes(topology, 0), 0);
	tree_write("Node 1 MemTotal:     1048576 kB\nNode 1 MemFree:        5120 kB\n"
		   "Node 1 Inactive:      400000 kB\nNode 1 Active(file):  100000 kB\n"
		   "Node 1 Inactive(file): 30720 kB\nNode 1 Dirty:           2048 kB\n"
		   "Node 1 Writeback:       1024 kB\nNode 1 WritebackTmp:    8192 kB\n",
		   TREE_NODES "/node1/meminfo");
	ck_assert_uint_eq(gmig_topology_cache_bytes(topology, 1), 27 * MIB);
	ck_assert_uint_eq(gmig_topology_free_bytes(topology, 1), 5 * MIB);
	ck_assert_uint_eq(gmig_topology_cache_bytes(topology, 0), 0);
	ck_assert_uint_eq(gmig_topology_cache_bytes(topology, 2), 0);
	tree_write("Node 1 Inactive(file): 3072 kB\nNode 1 Dirty:      2048 kB\n"
		   "Node 1 Writeback:     1025 kB\n",
		   TREE_NODES "/node1/meminfo");
	ck_assert_uint_eq(gmig_topology_cache_bytes(topology, 1), 0);
}
END_TEST

START_TEST(page_cache_of_fake_nodes_is_the_hosts)
{
	tree_nodes("0-3", two, 2);
	tree_write("MemTotal:     4096 kB\nInactive(anon): 1024 kB\nInactive(file): 2048 kB\n"
		   "Dirty:  1024 kB\nWriteback: 0 kB\n",
		   "/proc/meminfo");
	create(2);
	ck_assert_uint_eq(gmig_topology_cache_bytes(topology, 0), MIB);
	ck_assert_uint_eq(gmig_topology_cache_bytes(topology, 1), MIB);
	ck_assert_uint_eq(gmig_topology_cache_bytes(topology, 2), 0);
}
END_TEST

START_TEST(refresh_without_a_change_gives_the_same_topology)
{
	struct gmig_topology *fresh;

	tree_nodes("0-3", two, 2);
	create(0);
	ck_assert_uint_eq(gmig_topology_generation(topology), 1);
	fresh = refresh(1);
	ck_assert_ptr_eq(fresh, topology);
	/* Free memory changes all the time and is not part of it. */
	tree_node(&(struct tree_node){1, 1024, 5, "2-3", "20 10"});
	ck_assert_uint_eq(gmig_topology_free_bytes(topology, 1), 5 * MIB);
	gmig_topology_put(fresh);
	fresh = refresh(1);
	gmig_topology_put(fresh);
}
END_TEST

static const struct tree_node three[] = {{0, 1024, 100, "0-1", "10 20 40"},
					 {1, 1024, 200, "2-3", "20 10 40"},
					 {2, 4096, 300, "", "40 40 10"}};

START_TEST(node_that_comes_and_goes_makes_new_generations_and_spares_the_old)
{
	struct gmig_topology *fresh, *last;

	tree_nodes("0-3", two, 2);
	create(0);
	tree_nodes("0-3", three, 3);
	fresh = refresh(2);
	ck_set(gmig_topology_nodes(fresh), "0-2");
	ck_assert_uint_eq(gmig_topology_distance(fresh, 2, 0), 40);
	/* Who holds the first look still sees what it saw. */
	ck_set(gmig_topology_nodes(topology), "0-1");
	ck_assert_uint_eq(gmig_topology_distance(topology, 2, 0), 0);
	gmig_topology_put(topology);
	topology = fresh;
	tree_nodes("0-3", two, 2);
	last = refresh(3);
	ck_set(gmig_topology_nodes(last), "0-1");
	ck_set(gmig_topology_nodes(topology), "0-2");
	gmig_topology_put(last);
}
END_TEST

static void more_memory(void)
{
	tree_node(&(struct tree_node){1, 2048, 200, "2-3", "20 10"});
}

static void fewer_cpus(void)
{
	tree_node(&(struct tree_node){1, 1024, 200, "2", "20 10"});
}

static void other_distance(void)
{
	tree_node(&(struct tree_node){1, 1024, 200, "2-3", "21 10"});
}

static void narrower_cpuset(void)
{
	tree_cpuset("0");
}

static void more_possible(void)
{
	tree_write("0-4", TREE_NODES "/possible");
}

static void (*const changes[])(void) = {more_memory, fewer_cpus, other_distance, narrower_cpuset,
					more_possible};

START_TEST(change_of_the_host_makes_a_new_generation)
{
	struct gmig_topology *fresh;

	tree_nodes("0-3", two, 2);
	tree_cpuset("0-1");
	create(0);
	changes[_i]();
	fresh = refresh(2);
	ck_assert_ptr_ne(fresh, topology);
	gmig_topology_put(fresh);
}
END_TEST

START_TEST(topology_lives_until_its_last_reference_is_put)
{
	struct gmig_topology *other;

	tree_nodes("0-3", two, 2);
	create(0);
	other = gmig_topology_get(topology);
	ck_assert_ptr_eq(other, topology);
	gmig_topology_put(topology);
	ck_set(gmig_topology_nodes(other), "0-1");
	ck_assert_ptr_null(gmig_topology_get(NULL));
	gmig_topology_put(NULL);
}
END_TEST

/* ---- Files that make no sense ---------------------------------------------------------------- */

static const struct {
	const char *file, *text;
	int code;
	const char *says;
} broken[] = {
    {TREE_NODES "/online", "none", -EIO, "/node/online"},
    {TREE_NODES "/online", "0,2000", -EIO, "/node/online"},
    {TREE_NODES "/possible", "0-", -EIO, "/node/possible"},
    {TREE_NODES "/has_memory", "x", -EIO, "/node/has_memory"},
    {TREE_NODES "/has_memory", "\n", -ENODEV, "no node with memory"},
    {TREE_NODES "/node1/cpulist", "2-9000", -EIO, "/node1/cpulist"},
    {"/proc/self/status", "Name:\tx\nMems_allowed_list:\tall\n", -EIO, "/proc/self/status"},
};

START_TEST(broken_file_is_refused_and_named)
{
	struct gmig_error err = {0};

	tree_nodes("0-3", two, 2);
	tree_write(broken[_i].text, "%s", broken[_i].file);
	ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, &err), broken[_i].code);
	ck_assert_int_eq(err.code, broken[_i].code);
	ck_assert_msg(strstr(err.text, broken[_i].says) != NULL, "%s", err.text);
	ck_assert_ptr_null(topology);
}
END_TEST

/* ---- Files that could not be looked at ------------------------------------------------------- */

static const struct {
	int error;
	bool says_nothing; /* of the host */
} shortages[] = {{EMFILE, true}, {ENFILE, true}, {ENOMEM, true}, {ENOENT, false}, {EACCES, false}};

/* A host without descriptors is not one of a single node, without memory or without a cpuset. */
START_TEST(look_that_fails_is_an_error_and_no_other_host)
{
	struct gmig_topology *fresh;
	unsigned int refused = 0;
	int n = 0, ret;

	tree_nodes("0-3", two, 2);
	create(0);
	open_error = shortages[_i].error;
	do {
		struct gmig_error err = {0};

		open_fails = n++;
		fresh = NULL;
		ret = gmig_topology_refresh(topology, &fresh, &err);
		if (ret && shortages[_i].says_nothing) {
			ck_assert_int_eq(ret, -open_error);
			ck_assert_msg(strstr(err.text, "cannot read ") != NULL, "%s", err.text);
			ck_assert_ptr_null(fresh);
		}
		refused += ret != 0;
		gmig_topology_put(fresh);
	} while (open_fails < 0);
	open_fails = -1;
	/* online twice, possible, has_memory, status; meminfo, cpulist and distance of each node */
	if (shortages[_i].says_nothing)
		ck_assert_uint_eq(refused, 11);
	ck_set(gmig_topology_nodes(topology), "0-1");
}
END_TEST

START_TEST(free_memory_that_cannot_be_looked_at_is_an_error)
{
	uint64_t free_bytes = 1, cache_bytes = 1;

	tree_nodes("0-3", two, 2);
	create(0);
	open_error = EMFILE;
	open_fails = 0;
	ck_assert_int_eq(gmig_topology_room(topology, 1, &free_bytes, &cache_bytes), -EMFILE);
	ck_assert_uint_eq(free_bytes, 0);
	ck_assert_uint_eq(cache_bytes, 0);
	ck_assert_int_eq(gmig_topology_room(topology, 1, &free_bytes, &cache_bytes), 0);
	ck_assert_uint_eq(free_bytes, 200 * MIB);
	ck_assert_int_eq(gmig_topology_room(topology, 7, &free_bytes, &cache_bytes), -ENODEV);
	ck_assert_uint_eq(free_bytes, 0);
}
END_TEST

START_TEST(refresh_that_fails_leaves_the_topology_alone)
{
	struct gmig_topology *fresh = NULL;

	tree_nodes("0-3", two, 2);
	create(0);
	tree_write("nonsense", TREE_NODES "/online");
	ck_assert_int_eq(gmig_topology_refresh(topology, &fresh, NULL), -EIO);
	ck_assert_ptr_null(fresh);
	ck_set(gmig_topology_nodes(topology), "0-1");
}
END_TEST

/* Its files have become nobody's to read, as in a confined process: memory would be told to lie on one node, and moves be refused. */
START_TEST(host_with_nodes_does_not_lose_them_to_files_that_are_gone)
{
	struct gmig_topology *fresh = NULL;
	struct gmig_error err = {0};
	char path[128];

	tree_nodes("0-3", two, 2);
	create(0);
	snprintf(path, sizeof(path), "%s" TREE_NODES "/online", tree_root);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(gmig_topology_refresh(topology, &fresh, &err), -EIO);
	ck_assert_ptr_null(fresh);
	ck_assert_ptr_nonnull(strstr(err.text, "this host has 2 nodes, and "));
	/* Who never saw more than one sees that one again, and fake nodes are none of the host's. */
	gmig_topology_put(topology);
	create(0);
	gmig_topology_put(refresh(1));
	gmig_topology_put(topology);
	tree_nodes("0-3", two, 2);
	create(3);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(gmig_topology_refresh(topology, &fresh, &err), 0);
	gmig_topology_put(fresh);
}
END_TEST

/* As when a node goes between two files; or a kernel that does not say. */
static const char *const distances[] = {"", "20", "20 10 10", "0 10", "300 10"};

START_TEST(distance_that_is_not_said_is_10_or_20)
{
	tree_nodes("0-3", two, 2);
	tree_node(&(struct tree_node){1, 1024, 200, "2-3", distances[_i]});
	create(0);
	ck_assert_uint_eq(gmig_topology_distance(topology, 1, 0), 20);
	ck_assert_uint_eq(gmig_topology_distance(topology, 1, 1), 10);
}
END_TEST

/* ---- What is not said ------------------------------------------------------------------------ */

static void drop_file(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", tree_root, name);
	ck_assert_int_eq(unlink(path), 0);
}

START_TEST(set_that_is_not_said_is_that_of_the_nodes_online)
{
	tree_nodes("0-7", two, 2);
	drop_file(TREE_NODES "/possible");
	drop_file(TREE_NODES "/has_memory");
	create(0);
	ck_set(gmig_topology_possible(topology), "0-1");
	ck_set(gmig_topology_nodes(topology), "0-1");
	ck_set(gmig_topology_online(topology), "0-1");
}
END_TEST

START_TEST(sets_that_contradict_each_other_are_made_to_fit)
{
	tree_nodes("0-7", two, 2);
	tree_write("5", TREE_NODES "/possible");
	tree_write("1,6", TREE_NODES "/has_memory");
	create(0);
	ck_set(gmig_topology_possible(topology), "0-1,5");
	ck_set(gmig_topology_nodes(topology), "1");
}
END_TEST

START_TEST(node_without_files_has_nothing_but_its_number)
{
	tree_nodes("0-1", two, 2);
	drop_file(TREE_NODES "/node1/meminfo");
	drop_file(TREE_NODES "/node1/cpulist");
	drop_file(TREE_NODES "/node1/distance");
	create(0);
	ck_set(gmig_topology_online(topology), "0-1");
	ck_set(gmig_topology_nodes(topology), "0");
	ck_assert_uint_eq(gmig_topology_total_bytes(topology, 1), 0);
	ck_assert_uint_eq(gmig_topology_free_bytes(topology, 1), 0);
	ck_assert_uint_eq(cpu_count(1), 0);
	ck_assert_uint_eq(gmig_topology_distance(topology, 1, 0), 20);
	ck_assert_uint_eq(gmig_topology_distance(topology, 1, 1), 10);
	ck_assert_uint_eq(gmig_topology_distance(topology, 0, 1), 20);
}
END_TEST

START_TEST(distance_is_a_byte_and_each_has_its_place)
{
	tree_nodes("0-3", two, 2);
	tree_node(&(struct tree_node){0, 1024, 100, "0-1", "10 255"});
	tree_node(&(struct tree_node){1, 1024, 200, "2-3", "256 11"});
	create(0);
	ck_assert_uint_eq(gmig_topology_distance(topology, 0, 0), 10);
	ck_assert_uint_eq(gmig_topology_distance(topology, 0, 1), 255);
	ck_assert_uint_eq(gmig_topology_distance(topology, 1, 0), 20);
	ck_assert_uint_eq(gmig_topology_distance(topology, 1, 1), 11);
}
END_TEST

START_TEST(cpuset_is_read_from_its_own_line_alone)
{
	tree_nodes("0-7", two, 2);
	tree_write("Mems_allowed_list:\t5\nMems_allowed:\t7\nMems_allowed_list:  1-2\nx:\t3\n",
		   "/proc/self/status");
	create(0);
	ck_set(gmig_topology_allowed(topology), "1-2");
	teardown();
	tree_create();
	tree_nodes("0-7", two, 2);
	create(0);
	ck_assert_uint_eq(gmig_node_set_count(gmig_topology_allowed(topology)), GMIG_MAX_NODES);
}
END_TEST

START_TEST(host_without_numa_is_its_node_0)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	create(0);
	ck_set(gmig_topology_online(topology), "0");
	ck_set(gmig_topology_possible(topology), "0");
	ck_set(gmig_topology_allowed(topology), "0");
	ck_assert_uint_eq(gmig_topology_total_bytes(topology, 0),
			  (uint64_t)sysconf(_SC_PHYS_PAGES) * page);
	ck_assert_uint_gt(gmig_topology_free_bytes(topology, 0), 0);
	ck_assert_uint_eq(gmig_topology_distance(topology, 0, 0), 10);
	ck_assert_uint_eq(cpu_count(0), (unsigned int)sysconf(_SC_NPROCESSORS_CONF));
	ck_assert(has_cpu(0, 0));
	ck_assert(!gmig_topology_is_fake(topology));
}
END_TEST

START_TEST(look_leaves_no_descriptor_and_may_have_0)
{
	unsigned int files;

	tree_nodes("0-1", two, 2);
	close(0);
	files = open_files();
	create(0);
	gmig_topology_put(refresh(1));
	ck_set(gmig_topology_nodes(topology), "0-1");
	ck_assert_uint_eq(gmig_topology_free_bytes(topology, 1), 200 * MIB);
	ck_assert_uint_eq(open_files(), files);
}
END_TEST

/* ---- Fake nodes, exactly --------------------------------------------------------------------- */

START_TEST(cpus_are_dealt_to_fake_nodes_in_turn)
{
	static const struct tree_node nodes[] = {{3, 100, 1, "0-1", "10 20"},
						 {700, 200, 1, "100-102", "20 10"}};
	static const unsigned int cpus[] = {0, 1, 100, 101, 102};

	tree_nodes("0-1023", nodes, 2);
	create((unsigned int)_i);
	ck_assert(gmig_topology_is_fake(topology));
	for (int node = 0; node < _i; node++) {
		unsigned int expected = 0;

		for (int nth = 0; nth < 5; nth++) {
			/* With more nodes than CPUs, nodes share one. */
			bool has = _i > 5 ? node % 5 == nth : nth % _i == node;

			expected += has;
			ck_assert_msg(has_cpu((unsigned int)node, cpus[nth]) == has, "%d of %d, %u",
				      node, _i, cpus[nth]);
		}
		ck_assert_uint_eq(cpu_count((unsigned int)node), expected);
		ck_assert_uint_eq(gmig_topology_distance(topology, (unsigned int)node, 0),
				  node ? 20 : 10);
		ck_assert_uint_eq(gmig_topology_total_bytes(topology, (unsigned int)node),
				  (uint64_t)sysconf(_SC_PHYS_PAGES) *
				      (uint64_t)sysconf(_SC_PAGESIZE));
	}
	ck_assert_uint_eq(gmig_topology_distance(topology, 0, (unsigned int)_i), 0);
}
END_TEST

START_TEST(fake_host_without_a_change_stays_the_same)
{
	struct gmig_topology *fresh;

	tree_nodes("0-3", two, 2);
	create(3);
	fresh = refresh(1);
	ck_assert_ptr_eq(fresh, topology);
	gmig_topology_put(fresh);
	/* A CPU more, and it is another one. */
	tree_node(&(struct tree_node){1, 1024, 200, "2-4", "20 10"});
	fresh = refresh(2);
	ck_assert_ptr_ne(fresh, topology);
	ck_assert(gmig_topology_is_fake(fresh));
	gmig_topology_put(fresh);
}
END_TEST

/* ---- Targets ---------------------------------------------------------------------------------- */

START_TEST(root_that_is_too_long_is_refused)
{
	char root[PATH_MAX + 1];
	struct gmig_error err = {0};

	memset(root, '/', sizeof(root) - 1);
	root[PATH_MAX] = '\0';
	ck_assert_int_eq(topology_create_at(root, 0, &topology, &err), -ENAMETOOLONG);
	ck_assert_ptr_null(topology);
}
END_TEST

START_TEST(target_is_checked_from_what_can_be_to_what_is_allowed)
{
	static const struct tree_node nodes[] = {{0, 1024, 100, "0-1", "10 20 20"},
						 {1, 1024, 200, "2-3", "20 10 20"},
						 {2, 0, 0, "4", "20 20 10"}};
	static const struct {
		unsigned int node;
		int code;
		const char *says;
	} cases[] = {{0, 0, ""},
		     {1, -EACCES, "it is outside the cpuset, which allows memory on 0 only"},
		     {2, -ENODEV, "it has no memory"},
		     {3, -ENODEV, "it is offline"},
		     {4, -ENODEV, "it cannot exist on this host, which has room for 0-3"}};
	const struct gmig_node_set other = {{6}};

	tree_nodes("0-3", nodes, 3);
	tree_cpuset("0");
	create(0);
	for (unsigned int i = 0; i < 5; i++) {
		struct gmig_error err = {0};

		ck_assert_int_eq(topology_check_target(topology, NULL, cases[i].node, "it", &err),
				 cases[i].code);
		ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%s", err.text);
		ck_assert_int_eq(topology_check_possible(topology, cases[i].node, "it", &err),
				 cases[i].node < 4 ? 0 : -ENODEV);
	}
	ck_assert_int_eq(topology_check_target(topology, &other, 0, "it", NULL), -EACCES);
	ck_assert_int_eq(topology_check_target(topology, &other, 1, "it", NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("topology_read");
	TCase *tcase = tcase_create("topology_read");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, tree_create, teardown);
	tcase_add_test(tcase, sparse_ids_are_kept_and_distances_found_by_rank);
	tcase_add_test(tcase, one_two_three_gib_host_reads_as_it_is);
	tcase_add_test(tcase, node_without_memory_is_online_but_no_place_for_memory);
	tcase_add_test(tcase, node_that_says_it_has_memory_but_has_none_is_no_place_for_it);
	tcase_add_test(tcase, node_without_cpus_is_a_place_for_memory);
	tcase_add_test(tcase, host_without_numa_is_one_node_with_everything);
	tcase_add_test(tcase, fake_nodes_share_the_cpus_of_a_sparse_host);
	tcase_add_test(tcase, nearest_node_is_by_distance_then_by_id);
	tcase_add_test(tcase, nearest_to_a_node_that_is_not_there_is_the_lowest);
	tcase_add_test(tcase, cpuset_of_the_process_is_its_own_set);
	tcase_add_test(tcase, process_without_cpusets_may_have_memory_everywhere);
	tcase_add_test(tcase, page_cache_that_the_kernel_gives_up_is_told_of_each_node);
	tcase_add_test(tcase, page_cache_of_fake_nodes_is_the_hosts);
	tcase_add_test(tcase, refresh_without_a_change_gives_the_same_topology);
	tcase_add_test(tcase, node_that_comes_and_goes_makes_new_generations_and_spares_the_old);
	tcase_add_loop_test(tcase, change_of_the_host_makes_a_new_generation, 0,
			    sizeof(changes) / sizeof(changes[0]));
	tcase_add_test(tcase, topology_lives_until_its_last_reference_is_put);
	tcase_add_loop_test(tcase, broken_file_is_refused_and_named, 0,
			    sizeof(broken) / sizeof(broken[0]));
	tcase_add_loop_test(tcase, look_that_fails_is_an_error_and_no_other_host, 0,
			    sizeof(shortages) / sizeof(shortages[0]));
	tcase_add_test(tcase, free_memory_that_cannot_be_looked_at_is_an_error);
	tcase_add_test(tcase, refresh_that_fails_leaves_the_topology_alone);
	tcase_add_test(tcase, host_with_nodes_does_not_lose_them_to_files_that_are_gone);
	tcase_add_loop_test(tcase, distance_that_is_not_said_is_10_or_20, 0,
			    sizeof(distances) / sizeof(distances[0]));
	tcase_add_test(tcase, set_that_is_not_said_is_that_of_the_nodes_online);
	tcase_add_test(tcase, sets_that_contradict_each_other_are_made_to_fit);
	tcase_add_test(tcase, node_without_files_has_nothing_but_its_number);
	tcase_add_test(tcase, distance_is_a_byte_and_each_has_its_place);
	tcase_add_test(tcase, cpuset_is_read_from_its_own_line_alone);
	tcase_add_test(tcase, host_without_numa_is_its_node_0);
	tcase_add_test(tcase, look_leaves_no_descriptor_and_may_have_0);
	tcase_add_loop_test(tcase, cpus_are_dealt_to_fake_nodes_in_turn, 1, 9);
	tcase_add_test(tcase, fake_host_without_a_change_stays_the_same);
	tcase_add_test(tcase, root_that_is_too_long_is_refused);
	tcase_add_test(tcase, target_is_checked_from_what_can_be_to_what_is_allowed);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
