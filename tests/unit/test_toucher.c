/* On which node is whoever has touched a page? By the processor that a thread ran on last, as its stat file says. */
#include "../../migrate/core/topology.h"
#include "../../migrate/memory/toucher.h"
#include "fake_proc.h"
#include "open_files.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>

static struct gmig *gmig;
static struct gmig_topology *topology;
static struct gmig_error err;
static struct gmig_sys sys;

/* Threads of this process; the tree has them under "self". */
static int open_proc(pid_t pid, const char *name)
{
	char path[200];
	int fd;

	ck_assert_int_eq(pid, getpid());
	snprintf(path, sizeof(path), "%s/self/%s", tree_root, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Fields 3 to 38 are no processor. */
static void ran_on(int tid, const char *name, int cpu)
{
	char path[64], fields[200] = "S", *at = fields + 1;

	for (int field = 4; field < 39; field++)
		at += sprintf(at, " %d", field % 2 ? 1 : 3);
	snprintf(path, sizeof(path), "self/task/%d/stat", tid);
	fake_file(path, "%d (%s) %s %d 0 0\n", tid, name, fields, cpu);
}

static void setup(void)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0-1", "10 20 20"},
						 {1, 4096, 2048, "2,64", "20 10 20"},
						 {2, 4096, 2048, "3,65", "20 20 10"}};
	struct gmig_options options = {.plain = true, .sys = &sys};

	tree_create();
	tree_nodes("0-2", nodes, 3);
	tree_cpuset("0-2");
	ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, &err), 0);
	sys = gmig_sys_real;
	sys.open_proc = open_proc;
	options.topology = topology;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
}

static void teardown(void)
{
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	tree_remove();
}

/* Of a region of vnode 1 whose memory comes from node 2. */
static unsigned int node_of(int tid)
{
	struct region region = {.vnode = 1, .preferred_node = 2};
	unsigned int files = open_files(), node = toucher_node(gmig, &region, tid);

	ck_assert_uint_eq(open_files(), files);
	return node;
}

START_TEST(thread_is_where_it_ran_last)
{
	ran_on(10, "vcpu", 0);
	ran_on(11, "a) b (c", 2);
	ran_on(12, "", 64);
	ran_on(13, "vcpu", 1);
	ran_on(14, "vcpu", 65);
	ck_assert_uint_eq(node_of(10), 0);
	ck_assert_uint_eq(node_of(11), 1);
	ck_assert_uint_eq(node_of(12), 1);
	ck_assert_uint_eq(node_of(13), 0);
	ck_assert_uint_eq(node_of(14), 2);
}
END_TEST

START_TEST(thread_that_nobody_knows_is_where_the_memory_comes_from)
{
	ran_on(10, "vcpu", 66); /* of no node */
	ran_on(11, "vcpu", GMIG_MAX_CPUS);
	ran_on(12, "vcpu", -1);
	fake_file("self/task/13/stat", "13 (vcpu) S 1 2 3\n");
	fake_file("self/task/14/stat", "14 vcpu\n");
	fake_file("self/task/15/stat", "%s", "");
	ck_assert_uint_eq(node_of(0), 2);
	for (int tid = 9; tid <= 15; tid++)
		ck_assert_uint_eq(node_of(tid), 2);
}
END_TEST

/* A touch of which only the vnode is known: its vCPUs, in the order of their names. */
START_TEST(thread_without_a_name_is_one_of_the_vnode_s)
{
	ck_assert_int_eq(gmig_name_vcpu_thread(gmig, 0, 20), 0);
	ran_on(20, "vcpu 0", 0);
	ck_assert_uint_eq(node_of(0), 2); /* of another vnode */
	ck_assert_int_eq(gmig_name_vcpu_thread(gmig, 1, 21), 0);
	ck_assert_int_eq(gmig_name_vcpu_thread(gmig, 1, 22), 0);
	ck_assert_int_eq(gmig_name_vcpu_thread(gmig, 1, 23), 0);
	ck_assert_uint_eq(node_of(0), 2); /* which have all ended */
	ran_on(23, "vcpu 3", 0);
	ck_assert_uint_eq(node_of(0), 0);
	ran_on(22, "vcpu 2", 2);
	ck_assert_uint_eq(node_of(0), 1);
	ck_assert_uint_eq(node_of(9), 1);
	ran_on(9, "named", 3);
	ck_assert_uint_eq(node_of(9), 2);
	ran_on(9, "named", 0);
	ck_assert_uint_eq(node_of(9), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    thread_is_where_it_ran_last,
	    thread_that_nobody_knows_is_where_the_memory_comes_from,
	    thread_without_a_name_is_one_of_the_vnode_s,
	};

	return run_tests("toucher", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
