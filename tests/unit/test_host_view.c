/* The host's nodes as the planner takes them, of hosts that no machine at hand is. */
#include "../../control/host_view.h"
#include "../../migrate/core/topology.h"
#include "../support/no_memory.h"
#include "failing_open.h"
#include "host_tree.h"
#include "open_files.h"

#include <errno.h>

#define MIB (1ull << 20)

static struct gmig_topology *topology;
static struct gmig_node_set closed;
static struct host_view view;

static void teardown(void)
{
	host_view_free(&view);
	gmig_topology_put(topology);
	topology = NULL;
	tree_remove();
}

static void look(void)
{
	struct gmig_error err = {0};

	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	ck_assert_msg(!host_view_read(topology, tree_root, &closed, &view, &err), "%s", err.text);
}

static void huge(unsigned int node, unsigned int kib, const char *free)
{
	tree_write(free, TREE_NODES "/node%u/hugepages/hugepages-%ukB/free_hugepages", node, kib);
}

static const struct tree_node nodes[] = {{0, 4096, 100, "0-1", "10 11 12"},
					 {4, 6400, 2000, "", "21 10 23"},
					 {9, 0, 0, "64,130", "31 32 10"}};

START_TEST(nodes_have_their_numbers_memory_cpus_and_distances)
{
	tree_nodes("0-9", nodes, 3);
	huge(0, 2048, "3\n");
	huge(4, 2048, "5\n");
	huge(4, 1048576, "2\n");
	gmig_node_set_add(&closed, 4);
	look();
	ck_assert_uint_eq(view.host.node_count, 3);
	for (unsigned int i = 0; i < 3; i++) {
		const struct placement_node *node = &view.host.nodes[i];

		ck_assert_uint_eq(node->id, nodes[i].id);
		ck_assert_uint_eq(node->total_bytes, nodes[i].mib * MIB);
		ck_assert_uint_eq(node->reserved_bytes, nodes[i].mib * MIB / 64);
		ck_assert_uint_eq(node->free_bytes[PLACEMENT_4K], nodes[i].free_mib * MIB);
		ck_assert_int_eq(node->closed, i == 1);
		ck_assert_uint_eq(node->busy_milli, 0);
		ck_assert_ptr_null(node->promised);
		for (unsigned int k = 0; k < 3; k++)
			ck_assert_uint_eq(view.host.distance[3 * i + k],
					  i == k ? 10 : 10 * (i + 1) + k + (i > 0));
	}
	ck_assert_uint_eq(view.host.nodes[0].free_bytes[PLACEMENT_2M], 6 * MIB);
	ck_assert_uint_eq(view.host.nodes[0].free_bytes[PLACEMENT_1G], 0);
	ck_assert_uint_eq(view.host.nodes[1].free_bytes[PLACEMENT_2M], 10 * MIB);
	ck_assert_uint_eq(view.host.nodes[1].free_bytes[PLACEMENT_1G], 2048 * MIB);
	ck_assert_uint_eq(view.host.nodes[0].cpus->word[0], 3);
	ck_assert_ptr_null(view.host.nodes[1].cpus);
	ck_assert_uint_eq(view.host.nodes[2].cpus->word[0], 0);
	ck_assert_uint_eq(view.host.nodes[2].cpus->word[1], 1);
	ck_assert_uint_eq(view.host.nodes[2].cpus->word[2], 4);
}
END_TEST

START_TEST(page_cache_that_the_kernel_gives_up_is_room)
{
	tree_nodes("0-9", nodes, 3);
	tree_write("Node 0 MemTotal: 4194304 kB\nNode 0 MemFree: 102400 kB\n"
		   "Node 0 Inactive(file): 51200 kB\nNode 0 Dirty: 1024 kB\n",
		   TREE_NODES "/node0/meminfo");
	look();
	ck_assert_uint_gt(gmig_topology_cache_bytes(topology, 0), 40 * MIB);
	ck_assert_uint_eq(view.host.nodes[0].free_bytes[PLACEMENT_4K],
			  100 * MIB + gmig_topology_cache_bytes(topology, 0));
	ck_assert_uint_eq(view.host.nodes[1].free_bytes[PLACEMENT_4K], 2000 * MIB);
}
END_TEST

/* Its files are read one after the other, while pages go from one to the other. */
START_TEST(more_is_never_free_than_there_is)
{
	static const struct tree_node small = {0, 64, 64, "0", "10"};

	tree_nodes("0", &small, 1);
	tree_write(
	    "Node 0 MemTotal: 65536 kB\nNode 0 MemFree: 65536 kB\nNode 0 Inactive(file): 4096 kB\n",
	    TREE_NODES "/node0/meminfo");
	huge(0, 2048, "33\n");
	huge(0, 1048576, "1\n");
	look();
	for (unsigned int page = 0; page < PLACEMENT_PAGES; page++)
		ck_assert_uint_eq(view.host.nodes[0].free_bytes[page], 64 * MIB);
}
END_TEST

static const struct {
	const char *text;
	uint64_t bytes;
} counts[] = {{"", 0},
	      {"\n", 0},
	      {"none\n", 0},
	      {"0\n", 0},
	      {"1\n", 2 * MIB},
	      {"7", 14 * MIB},
	      {"9999999999\n", 4096 * MIB}};

START_TEST(count_of_huge_pages_that_is_none_is_0)
{
	tree_nodes("0-9", nodes, 3);
	huge(0, 2048, counts[_i].text);
	look();
	ck_assert_uint_eq(view.host.nodes[0].free_bytes[PLACEMENT_2M], counts[_i].bytes);
}
END_TEST

/* A node that has some would be taken for full. */
START_TEST(count_of_huge_pages_that_cannot_be_read_is_told)
{
	static const unsigned int kib[] = {2048, 1048576};
	struct gmig_error err = {0};
	char name[64];
	int before;

	tree_nodes("0-9", nodes, 3);
	snprintf(name, sizeof(name), "hugepages-%ukB", kib[_i]);
	/* A directory in the file's place. */
	tree_write("", TREE_NODES "/node0/hugepages/%s/free_hugepages/is-no-file", name);
	ck_assert(!topology_create_at(tree_root, 0, &topology, &err));
	before = open_files();
	ck_assert_int_eq(host_view_read(topology, tree_root, &closed, &view, &err), -EISDIR);
	ck_assert_str_eq(err.text, "the huge pages of node 0 cannot be counted: Is a directory");
	ck_assert_ptr_null(view.nodes);
	ck_assert_ptr_null(view.cpus);
	ck_assert_ptr_null(view.distance);
	ck_assert_int_eq(open_files(), before);
}
END_TEST

START_TEST(free_memory_that_cannot_be_looked_at_is_told)
{
	struct gmig_error err = {0};

	tree_nodes("0-9", nodes, 3);
	ck_assert(!topology_create_at(tree_root, 0, &topology, &err));
	open_error = EMFILE;
	open_fails = 0;
	ck_assert_int_eq(host_view_read(topology, tree_root, &closed, &view, &err), -EMFILE);
	ck_assert_str_eq(err.text, "the free memory of node 0 cannot be read: Too many open files");
	ck_assert_ptr_null(view.nodes);
}
END_TEST

START_TEST(look_leaves_no_descriptor_and_its_end_may_come_twice)
{
	int before;

	tree_nodes("0-9", nodes, 3);
	huge(0, 2048, "3\n");
	before = open_files();
	look();
	ck_assert_int_eq(open_files(), before);
	host_view_free(&view);
	ck_assert_uint_eq(view.host.node_count, 0);
	ck_assert_ptr_null(view.host.nodes);
}
END_TEST

START_TEST(each_allocation_that_fails_leaves_it_empty)
{
	struct gmig_error err = {0};
	int rc, refused = 0;

	tree_nodes("0-9", nodes, 3);
	ck_assert(!topology_create_at(tree_root, 0, &topology, &err));
	for (;; refused++) {
		no_memory_in = refused;
		rc = host_view_read(topology, "/nowhere", &closed, &view, &err);
		if (!rc)
			break;
		no_memory_in = -1;
		ck_assert_int_eq(rc, -ENOMEM);
		ck_assert_str_eq(err.text, "no memory to look at 3 nodes");
		ck_assert_ptr_null(view.nodes);
		ck_assert_ptr_null(view.cpus);
		ck_assert_ptr_null(view.distance);
	}
	no_memory_in = -1;
	ck_assert_int_ge(refused, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host_view");
	SRunner *runner = srunner_create(suite);
	TCase *tcase = tcase_create("host_view");
	int failed;

	tcase_add_checked_fixture(tcase, tree_create, teardown);
	tcase_add_test(tcase, nodes_have_their_numbers_memory_cpus_and_distances);
	tcase_add_test(tcase, page_cache_that_the_kernel_gives_up_is_room);
	tcase_add_test(tcase, more_is_never_free_than_there_is);
	tcase_add_loop_test(tcase, count_of_huge_pages_that_is_none_is_0, 0,
			    sizeof(counts) / sizeof(counts[0]));
	tcase_add_loop_test(tcase, count_of_huge_pages_that_cannot_be_read_is_told, 0, 2);
	tcase_add_test(tcase, free_memory_that_cannot_be_looked_at_is_told);
	tcase_add_test(tcase, look_leaves_no_descriptor_and_its_end_may_come_twice);
	tcase_add_test(tcase, each_allocation_that_fails_leaves_it_empty);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
