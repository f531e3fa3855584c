/* An engine whose host changes under it. The host is a tree of files; its node 0 is the real one. */
#include "../../migrate/core/topology.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/engine.h"
#include "host_tree.h"
#include "suite.h"

#include <errno.h>
#include <pthread.h>

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
	if (gmig_why_off(gmig)) {
		skip_case("migration is off here");
		return;
	}
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

START_TEST(process_is_judged_by_the_host_and_by_its_own_cpuset)
{
	struct gmig_job_spec spec = {.from = {0}, .from_count = 1, .to = {5}, .to_count = 1};
	struct gmig_process_options options = {.pid = (int)getpid()};
	struct gmig_process *process;
	struct gmig_job *job = NULL;
	struct gmig_error err = {0};
	int ret;

	host(1);
	tree_cpuset("0");
	ck_assert_int_eq(topology_create_at(tree_root, 0, &options.topology, &err), 0);
	ck_assert_msg(!gmig_process_open(&options, &process, &err), "%s", err.text);
	gmig_topology_put(options.topology);
	ck_assert_int_eq(gmig_process_job_start(process, &spec, &job, &err), -ENODEV);
	ck_assert_str_eq(err.text,
			 "node 5 in 'to' cannot exist on this host, which has room for 0-1");
	spec.to[0] = 1;
	ck_assert_int_eq(gmig_process_job_start(process, &spec, &job, &err), -ENODEV);
	ck_assert_str_eq(err.text, "node 1 in 'to' is offline");
	/* It comes. The cpuset of the tree is the caller's, which has no say; the process has its own, the real one. */
	host(2);
	ret = gmig_process_job_start(process, &spec, &job, &err);
	ck_assert_msg(!ret || (ret == -EACCES && strstr(err.text, "cpuset") &&
			       !strstr(err.text, "node 1 in 'to'")),
		      "%s", err.text);
	gmig_job_put(job);
	gmig_process_close(process);
}
END_TEST

/* The host is looked at: where the policy has every second page. */
static unsigned int second_node(void)
{
	struct gmig_map map;

	ck_assert_int_eq(gmig_refresh_topology(gmig, NULL), 0);
	ck_assert_int_eq(gmig_map_at(gmig, 0, &map), 0);
	ck_assert_uint_eq(map.node_count, 2);
	ck_assert_uint_eq(map.node[0], 0);
	return map.node[1];
}

START_TEST(policy_means_the_nodes_that_can_be_used_now)
{
	struct gmig_bind_spec spec = {.bytes = GMIG_BLOCK_BYTES,
				      .policy = {.mode = GMIG_POLICY_INTERLEAVE}};
	struct gmig_error err = {0};
	struct gmig_job *job;

	host(2);
	start();
	if (gmig_why_off(gmig)) {
		skip_case("migration is off here");
		return;
	}
	ck_assert_int_eq(add_region(0, 0, &err), 0);
	gmig_node_set_add(&spec.policy.nodes, 0);
	gmig_node_set_add(&spec.policy.nodes, 1);
	ck_assert_msg(!gmig_bind(gmig, &spec, &job, &err), "%s", err.text);
	ck_assert_uint_eq(second_node(), 1);
	/* A node that is there, but not for this process; or one that is gone. */
	if (_i)
		tree_cpuset("0");
	else
		host(1);
	ck_assert_uint_eq(second_node(), 0);
}
END_TEST

/* ---- At the limits --------------------------------------------------------------------------- */

static void ck_all_on(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_check check;
	struct gmig_error err = {0};

	engine_settle_faults(gmig, 0);
	for (unsigned int vnode = 0; vnode < GMIG_MAX_VNODES; vnode++) {
		ck_assert_int_eq(gmig_residency(gmig, vnode, bytes), 0);
		ck_assert_uint_eq(bytes[node], GMIG_BLOCK_BYTES);
	}
	ck_assert_msg(!gmig_check(gmig, &check, &err), "%s", err.text);
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		ck_assert_msg(!check.breach[i], "%s", check.detail[i]);
}

static void move(const struct gmig_job_spec *spec, uint64_t moved_bytes)
{
	struct gmig_job *job;
	struct gmig_job_info info;
	struct gmig_error err = {0};

	ck_assert_msg(!gmig_job_start(gmig, spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_msg(info.state == GMIG_JOB_COMPLETED, "%s", info.error.text);
	ck_assert_uint_eq(info.moved_bytes, moved_bytes);
	ck_assert_uint_eq(info.remaining_bytes, 0);
}

START_TEST(sixty_four_vnodes_move_to_node_1023)
{
	struct gmig_job_spec one = {.from = {0}, .from_count = 1, .to = {1023}, .to_count = 1};
	struct gmig_job_spec all = {
	    .from = {1023, 0}, .from_count = 2, .to = {1022, 1022 - 64}, .to_count = 2};
	struct gmig_options options = {.off_if_unavailable = true};
	struct gmig_error err = {0};

	ck_assert_int_eq(gmig_topology_create(GMIG_MAX_NODES, &options.topology, &err), 0);
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	gmig_topology_put(options.topology);
	if (gmig_why_off(gmig)) {
		skip_case("migration is off here");
		return;
	}
	for (unsigned int vnode = 0; vnode < GMIG_MAX_VNODES; vnode++) {
		const struct gmig_region_spec spec = {
		    .vnode = vnode, .gpa = vnode * GMIG_BLOCK_BYTES, .bytes = GMIG_BLOCK_BYTES};
		void *hva;

		ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
		memset(hva, (int)vnode, GMIG_BLOCK_BYTES);
	}
	ck_all_on(0);
	one.vnodes = 1ull << 63 | 1ull << 32;
	move(&one, 2 * GMIG_BLOCK_BYTES);
	one.vnodes = 0;
	move(&one, 62 * GMIG_BLOCK_BYTES);
	ck_all_on(1023);
	move(&all, 64 * GMIG_BLOCK_BYTES);
	ck_all_on(1022);
}
END_TEST

/* ---- From many threads ----------------------------------------------------------------------- */

static atomic_bool done;

static void *refresh_often(void *arg)
{
	(void)arg;
	while (!atomic_load(&done))
		gmig_refresh_topology(gmig, NULL); /* between two files it may see nonsense */
	return NULL;
}

/* The number of times that a look went back to an older one. */
static void *read_often(void *arg)
{
	unsigned long *backwards = arg;
	uint64_t last = 0;

	while (!atomic_load(&done)) {
		struct gmig_topology *topology = gmig_get_topology(gmig);
		uint64_t now = gmig_topology_generation(topology);

		*backwards += now < last;
		*backwards += !gmig_node_set_has(gmig_topology_nodes(topology), 0);
		last = now;
		gmig_topology_put(topology);
	}
	return NULL;
}

START_TEST(looks_from_many_threads_only_go_forward)
{
	unsigned long backwards[2] = {0};
	pthread_t thread[4];

	host(1);
	start();
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL,
						i < 2 ? refresh_often : read_often,
						i < 2 ? NULL : &backwards[i - 2]),
				 0);
	for (unsigned int i = 0; i < 50; i++)
		host(1 + i % 2);
	atomic_store(&done, true);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(backwards[0] + backwards[1], 0);
	host(2);
	ck_assert_uint_gt(generation(), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("engine_topology");
	TCase *tcase = tcase_create("engine_topology");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, tree_create, teardown);
	tcase_add_test(tcase, engine_sees_a_node_that_came_and_one_that_went);
	tcase_add_test(tcase, engine_keeps_its_last_look_when_the_host_cannot_be_read);
	tcase_add_test(tcase, region_on_a_node_that_cannot_serve_it_is_refused_and_says_why);
	tcase_add_test(tcase, job_is_judged_by_the_host_as_it_is_when_it_starts);
	tcase_add_test(tcase, process_is_judged_by_the_host_and_by_its_own_cpuset);
	tcase_add_loop_test(tcase, policy_means_the_nodes_that_can_be_used_now, 0, 2);
	tcase_add_test(tcase, sixty_four_vnodes_move_to_node_1023);
	tcase_add_test(tcase, looks_from_many_threads_only_go_forward);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
