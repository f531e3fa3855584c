/* An engine whose host changes under it. The host is a tree of files; its node 0 is the real one. */
#include "../../migrate/core/topology.h"
#include "host_tree.h"

#include <errno.h>

static struct gmig *gmig;

static const struct tree_node nodes[] = {{0, 1024, 100, "0-1", "10 20"},
					 {1, 1024, 200, "2-3", "20 10"}};

static void teardown(void)
{
	gmig_destroy(gmig);
	gmig = NULL;
	tree_remove();
}

/* The first `count` nodes; node 1 may always come. */
static void host(size_t count)
{
	struct tree_node alone = nodes[0];

	alone.distance = "10";
	tree_nodes("0-1", count == 1 ? &alone : nodes, count);
}

static void start(void)
{
	struct gmig_topology *topology;
	struct gmig_options options = {.off_if_unavailable = true};
	struct gmig_error err = {0};

	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	options.topology = topology;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	/* The engine has its own reference. */
	gmig_topology_put(topology);
}

static int add_region(unsigned int node, uint64_t gpa, struct gmig_error *err)
{
	const struct gmig_region_spec spec = {
	    .host_node = node, .gpa = gpa, .bytes = GMIG_BLOCK_BYTES};
	void *hva;

	return gmig_region_add(gmig, &spec, &hva, err);
}

static uint64_t generation(void)
{
	struct gmig_topology *topology;
	uint64_t number;

	ck_assert_int_eq(gmig_refresh_topology(gmig, NULL), 0);
	topology = gmig_get_topology(gmig);
	number = gmig_topology_generation(topology);
	gmig_topology_put(topology);
	return number;
}

START_TEST(engine_sees_a_node_that_came_and_one_that_went)
{
	struct gmig_topology *held;

	host(1);
	start();
	ck_assert_uint_eq(generation(), 1);
	host(2);
	ck_assert_int_eq(gmig_refresh_topology(gmig, NULL), 0);
	held = gmig_get_topology(gmig);
	ck_assert_uint_eq(gmig_node_set_count(gmig_topology_nodes(held)), 2);
	host(1);
	ck_assert_uint_eq(generation(), 3);
	ck_assert_uint_eq(generation(), 3);
	/* What somebody holds stays as it was. */
	ck_assert_uint_eq(gmig_topology_generation(held), 2);
	ck_assert_uint_eq(gmig_node_set_count(gmig_topology_nodes(held)), 2);
	gmig_topology_put(held);
}
END_TEST

START_TEST(engine_keeps_its_last_look_when_the_host_cannot_be_read)
{
	struct gmig_error err = {0};

	host(2);
	start();
	tree_write("nonsense", TREE_NODES "/online");
	ck_assert_int_eq(gmig_refresh_topology(gmig, &err), -EIO);
	ck_assert_ptr_nonnull(strstr(err.text, "/online"));
	ck_assert_int_eq(add_region(0, 0, &err), 0);
	host(2);
	ck_assert_uint_eq(generation(), 1);
}
END_TEST

START_TEST(region_on_a_node_that_cannot_serve_it_is_refused_and_says_why)
{
	struct gmig_error err = {0};

	host(1);
	tree_cpuset("0-1");
	start();
	ck_assert_int_eq(add_region(0, 0, &err), 0);
	ck_assert_int_eq(add_region(2, GMIG_BLOCK_BYTES, &err), -ENODEV);
	ck_assert_str_eq(err.text, "host node 2 of vnode 0 cannot exist on this host, which has "
				   "room for 0-1");
	ck_assert_int_eq(add_region(1, GMIG_BLOCK_BYTES, &err), -ENODEV);
	ck_assert_str_eq(err.text, "host node 1 of vnode 0 is offline");
	/* It comes, and the next region is told so without being asked to refresh. */
	host(2);
	tree_cpuset("0");
	ck_assert_int_eq(add_region(1, GMIG_BLOCK_BYTES, &err), -EACCES);
	ck_assert_str_eq(err.text, "host node 1 of vnode 0 is outside the cpuset, which allows "
				   "memory on 0 only");
}
END_TEST

START_TEST(job_is_judged_by_the_host_as_it_is_when_it_starts)
{
	struct gmig_job_spec spec = {.from = {1}, .from_count = 1, .to = {1}, .to_count = 1};
	struct gmig_job *job = NULL;
	struct gmig_job_info info;
	struct gmig_error err = {0};

	host(1);
	start();
	if (gmig_why_off(gmig))
		return; /* no userfaultfd here: jobs are refused for that */
	ck_assert_int_eq(gmig_job_start(gmig, &spec, &job, &err), -ENODEV);
	ck_assert_str_eq(err.text, "node 1 in 'to' is offline");
	/* Nothing can lie on a node that is absent: to leave it is no error, and nothing to do. */
	spec.to[0] = 0;
	ck_assert_msg(!gmig_job_start(gmig, &spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.total_bytes, 0);
	gmig_job_put(job);
	host(2);
	spec.to[0] = 1;
	ck_assert_msg(!gmig_job_start(gmig, &spec, &job, &err), "%s", err.text);
	/* The job's look at the host outlives the engine's. */
	gmig_job_wait(job);
	host(1);
	ck_assert_uint_eq(generation(), 3);
	gmig_destroy(gmig);
	gmig = NULL;
	gmig_job_put(job);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine_topology");
	TCase *tcase = tcase_create("engine_topology");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, tree_create, teardown);
	tcase_add_test(tcase, engine_sees_a_node_that_came_and_one_that_went);
	tcase_add_test(tcase, engine_keeps_its_last_look_when_the_host_cannot_be_read);
	tcase_add_test(tcase, region_on_a_node_that_cannot_serve_it_is_refused_and_says_why);
	tcase_add_test(tcase, job_is_judged_by_the_host_as_it_is_when_it_starts);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
