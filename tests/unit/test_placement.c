/*
 * Where threads run, on hosts of up to three nodes with CPUs and one without, before a scheduler that is ours: it has a cpuset,
 * CPUs that go offline, and others who set what a thread may use.
 */
#include "../../migrate/core/topology.h"
#include "../../vmm/placement.h"
#include "host_tree.h"
#include "suite.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#define MAIN_TID   1
#define FAKE_TIDS  16
#define VCPU_TID   2 /* of vCPU 0; the next of vCPU 1 */
#define HELPER_TID 8

/* ---- A scheduler ----------------------------------------------------------------------------- */

static struct {
	struct vmm_cpus online, cpuset;
	struct vmm_cpus of[FAKE_TIDS]; /* what each thread was given */
	unsigned int sets[FAKE_TIDS];
	bool no_memory; /* to tell */
} host;

/* sched_getaffinity(2): what was given and is online. */
static int fake_get(int tid, struct vmm_cpus *cpus)
{
	if (tid <= 0 || tid >= FAKE_TIDS)
		return -ESRCH;
	if (host.no_memory && tid != MAIN_TID)
		return -ENOMEM;
	*cpus = host.of[tid];
	vmm_cpus_and(cpus, &host.online);
	return 0;
}

/* sched_setaffinity(2): as far as the cpuset allows; EINVAL when nothing of it is to be had. */
static int fake_set(int tid, const struct vmm_cpus *cpus)
{
	struct vmm_cpus now = *cpus, usable;

	vmm_cpus_and(&now, &host.cpuset);
	usable = now;
	if (!vmm_cpus_and(&usable, &host.online))
		return -EINVAL;
	host.of[tid] = now;
	host.sets[tid]++;
	return 0;
}

static const struct placement_sys fake_sys = {fake_get, fake_set};

static struct vmm_cpus list(const char *text)
{
	struct vmm_cpus cpus;

	ck_assert_int_eq(vmm_cpus_parse(text, &cpus, NULL), 0);
	return cpus;
}

/* Somebody else's sched_setaffinity(2). */
static void taskset(int tid, const char *cpus)
{
	struct vmm_cpus wanted = list(cpus);

	ck_assert_int_eq(fake_set(tid, &wanted), 0);
	host.sets[tid]--;
}

static const char *cpus_of(int tid)
{
	static char text[64];
	struct vmm_cpus now;

	ck_assert_int_eq(fake_get(tid, &now), 0);
	return vmm_cpus_print(&now, text, sizeof(text));
}

/* ---- A VM ------------------------------------------------------------------------------------ */

static struct gmig_topology *topology;
static struct placement placement;

static const struct tree_node nodes[] = {{0, 1024, 1, "0-3", "10 20 30 40"},
					 {1, 1024, 1, "4-7", "20 10 30 40"},
					 {2, 1024, 1, "8-11", "30 30 10 15"},
					 {3, 1024, 1, "", "40 40 15 10"}};

/* Two vnodes, on nodes 0 and 1. */
static void init(bool off)
{
	const struct placement_options options = {
	    .sys = &fake_sys, .main_tid = MAIN_TID, .off = off, .vnode_count = 2, .home = {0, 1}};

	placement_init(&placement, &options, topology);
}

static void setup(void)
{
	tree_create();
	tree_nodes("0-3", nodes, 4);
	ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, NULL), 0);
	host.online = host.cpuset = list("0-11");
	for (int i = 0; i < FAKE_TIDS; i++)
		host.of[i] = host.cpuset;
	init(false);
}

static void teardown(void)
{
	placement_destroy(&placement);
	gmig_topology_put(topology);
	tree_remove();
}

static int add_vcpu(unsigned int id, unsigned int vnode)
{
	const struct placement_thread thread = {
	    .kind = PLACEMENT_VCPU, .id = id, .vnode = vnode, .tid = VCPU_TID + (int)id};

	return placement_add(&placement, &thread, NULL);
}

static void add_helper(enum placement_kind kind, int tid, unsigned int vnode, unsigned int target)
{
	struct placement_thread thread = {.kind = kind, .vnode = vnode, .tid = tid};

	if (kind == PLACEMENT_COPY || kind == PLACEMENT_ZERO)
		gmig_node_set_add(&thread.nodes, target);
	ck_assert_int_eq(placement_add(&placement, &thread, NULL), 0);
}

/* As placement_list() has the thread. */
static struct placement_view view_of(int tid)
{
	static struct placement_view views[FAKE_TIDS];
	unsigned int count = placement_list(&placement, views, FAKE_TIDS);

	for (unsigned int i = 0; i < count; i++)
		if (views[i].thread.tid == tid)
			return views[i];
	ck_abort_msg("thread %d is not listed", tid);
}

static int pin(unsigned int vcpu, enum placement_wish wish, unsigned int node, const char *cpus,
	       struct gmig_error *err)
{
	struct placement_order order = {.wish = wish, .node = node};

	if (cpus)
		order.cpus = list(cpus);
	return placement_pin(&placement, vcpu, &order, NULL, err);
}

/* ---- The rule -------------------------------------------------------------------------------- */

START_TEST(vcpus_run_at_the_homes_of_their_vnodes)
{
	struct placement_view view;

	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert_int_eq(add_vcpu(1, 1), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "0-3");
	ck_assert_str_eq(cpus_of(VCPU_TID + 1), "4-7");
	ck_assert(!view_of(VCPU_TID).outside);
	ck_assert_int_eq(view_of(VCPU_TID).by, PLACEMENT_BY_RULE);
	view = view_of(VCPU_TID + 1);
	ck_assert(gmig_node_set_has(&view.nodes, 1));
	ck_assert_uint_eq(gmig_node_set_count(&view.nodes), 1);
}
END_TEST

START_TEST(helpers_run_by_their_kind)
{
	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert_int_eq(add_vcpu(1, 1), 0);
	add_helper(PLACEMENT_FAULT, HELPER_TID, 1, 0);
	add_helper(PLACEMENT_IO, HELPER_TID + 1, PLACEMENT_NO_VNODE, 0);
	add_helper(PLACEMENT_BLK, HELPER_TID + 2, PLACEMENT_NO_VNODE, 0);
	add_helper(PLACEMENT_COPY, HELPER_TID + 3, PLACEMENT_NO_VNODE, 2);
	add_helper(PLACEMENT_ZERO, HELPER_TID + 4, PLACEMENT_NO_VNODE, 3);
	ck_assert_str_eq(cpus_of(HELPER_TID), "4-7");
	ck_assert_str_eq(cpus_of(HELPER_TID + 1), "0-7");
	ck_assert_str_eq(cpus_of(HELPER_TID + 2), "0-7");
	ck_assert_str_eq(cpus_of(HELPER_TID + 3), "8-11");
	ck_assert_str_eq(cpus_of(HELPER_TID + 4), "8-11"); /* node 3 has no CPUs, node 2 is near */
}
END_TEST

START_TEST(helpers_that_began_before_the_vcpus_are_placed_with_them)
{
	add_helper(PLACEMENT_IO, HELPER_TID, PLACEMENT_NO_VNODE, 0);
	ck_assert_str_eq(cpus_of(HELPER_TID), "0-11");
	ck_assert_int_eq(add_vcpu(1, 1), 0);
	ck_assert_str_eq(cpus_of(HELPER_TID), "4-7");
}
END_TEST

START_TEST(helper_without_a_cpu_beside_the_vcpus_runs_anywhere)
{
	taskset(MAIN_TID, "0,4-5");
	add_helper(PLACEMENT_FAULT, HELPER_TID, 0, 0);
	add_helper(PLACEMENT_FAULT, HELPER_TID + 1, 1, 0);
	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert_int_eq(add_vcpu(1, 1), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "0");
	ck_assert_str_eq(cpus_of(HELPER_TID), "0,4-5");
	ck_assert_str_eq(cpus_of(HELPER_TID + 1), "4-5");
}
END_TEST

/* A thread begins with the CPUs of the one that made it. */
START_TEST(thread_that_begins_where_it_belongs_is_placed_by_rule)
{
	taskset(VCPU_TID, "0-3");
	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert(!view_of(VCPU_TID).outside);
	ck_assert_int_eq(view_of(VCPU_TID).by, PLACEMENT_BY_RULE);
}
END_TEST

START_TEST(thread_that_has_ended_is_forgotten)
{
	ck_assert_int_eq(add_vcpu(0, 0), 0);
	add_helper(PLACEMENT_COPY, HELPER_TID, PLACEMENT_NO_VNODE, 2);
	ck_assert_uint_eq(placement.thread_count, 2);
	placement_remove(&placement, HELPER_TID);
	placement_remove(&placement, HELPER_TID);
	ck_assert_uint_eq(placement.thread_count, 1);
	ck_assert_int_eq(placement.thread[0].tid, VCPU_TID);
}
END_TEST

START_TEST(more_threads_than_there_is_room_for_are_left_where_they_are)
{
	struct gmig_error err = {0};
	struct placement_thread thread = {.kind = PLACEMENT_IO, .tid = HELPER_TID};

	for (int i = 0; i < PLACEMENT_MAX_THREADS; i++)
		ck_assert_int_eq(placement_add(&placement, &thread, NULL), 0);
	ck_assert_int_eq(placement_add(&placement, &thread, &err), -ENOSPC);
	ck_assert_uint_eq(placement.thread_count, PLACEMENT_MAX_THREADS);
}
END_TEST

/* ---- What the process may use ---------------------------------------------------------------- */

START_TEST(vcpu_whose_home_the_cpuset_forbids_runs_near_it)
{
	host.cpuset = list("4-7");
	for (int i = 0; i < FAKE_TIDS; i++)
		host.of[i] = host.cpuset;
	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "4-7");
}
END_TEST

START_TEST(vcpus_keep_to_the_cpus_that_the_process_was_started_with)
{
	for (int i = 0; i < FAKE_TIDS; i++)
		host.of[i] = list("2-5");
	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert_int_eq(add_vcpu(1, 1), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "2-3");
	ck_assert_str_eq(cpus_of(VCPU_TID + 1), "4-5");
}
END_TEST

START_TEST(vcpu_without_any_cpu_of_a_node_says_so)
{
	struct gmig_error err = {0};
	const struct placement_thread thread = {.kind = PLACEMENT_VCPU, .tid = VCPU_TID};

	host.cpuset = host.online = list("100");
	for (int i = 0; i < FAKE_TIDS; i++)
		host.of[i] = host.cpuset;
	ck_assert_int_eq(placement_add(&placement, &thread, &err), -ENODEV);
	ck_assert_str_eq(err.text, "no node has a CPU that this process may use");
	ck_assert_uint_eq(placement.thread_count, 1);
}
END_TEST

START_TEST(cpus_that_go_offline_are_nobody_elses_doing)
{
	unsigned int left;

	ck_assert_int_eq(add_vcpu(0, 0), 0);
	host.online = list("0-1,4-11");
	ck_assert_str_eq(cpus_of(VCPU_TID), "0-1");
	ck_assert(!view_of(VCPU_TID).outside);
	/* All of them: the kernel lets the thread run anywhere. */
	host.online = list("4-11");
	host.of[VCPU_TID] = list("0-11");
	ck_assert(!view_of(VCPU_TID).outside);
	ck_assert(view_of(VCPU_TID).anywhere);
	ck_assert_uint_eq(placement_follow(&placement, 0, 1, false, &left), 1);
	ck_assert_str_eq(cpus_of(VCPU_TID), "4-7");
	ck_assert_uint_eq(left, 0);
}
END_TEST

START_TEST(vcpu_follows_to_cpus_that_the_cpuset_has_come_to_allow)
{
	unsigned int left;

	host.cpuset = list("0-3");
	for (int i = 0; i < FAKE_TIDS; i++)
		host.of[i] = host.cpuset;
	ck_assert_int_eq(add_vcpu(0, 0), 0);
	/* Before Linux 6.2 this sets the CPUs of all threads in it. */
	host.cpuset = list("0-7");
	for (int i = 0; i < FAKE_TIDS; i++)
		host.of[i] = host.cpuset;
	ck_assert_uint_eq(placement_follow(&placement, 0, 1, false, &left), 1);
	ck_assert_str_eq(cpus_of(VCPU_TID), "4-7");
}
END_TEST

/* ---- Others ---------------------------------------------------------------------------------- */

START_TEST(vcpu_that_somebody_else_has_placed_is_left_alone)
{
	unsigned int left;

	ck_assert_int_eq(add_vcpu(0, 0), 0);
	add_helper(PLACEMENT_FAULT, HELPER_TID, 0, 0);
	taskset(VCPU_TID, "2");
	taskset(HELPER_TID, "3");
	ck_assert(view_of(VCPU_TID).outside);
	ck_assert_uint_eq(placement_follow(&placement, 0, 1, false, &left), 0);
	ck_assert_uint_eq(left, 1);
	ck_assert_str_eq(cpus_of(VCPU_TID), "2");
	ck_assert_str_eq(cpus_of(HELPER_TID), "3");
	/* Unless an operator wants all to follow. */
	ck_assert_uint_eq(placement_follow(&placement, 0, 1, true, &left), 1);
	ck_assert_str_eq(cpus_of(VCPU_TID), "4-7");
	ck_assert(!view_of(VCPU_TID).outside);
}
END_TEST

START_TEST(vcpu_of_which_nobody_can_tell_who_placed_it_is_left_alone)
{
	unsigned int left;

	ck_assert_int_eq(add_vcpu(0, 0), 0);
	add_helper(PLACEMENT_FAULT, HELPER_TID, 0, 0);
	taskset(VCPU_TID, "2");
	taskset(HELPER_TID, "3");
	host.no_memory = true;
	ck_assert_uint_eq(placement_follow(&placement, 0, 1, false, &left), 0);
	host.no_memory = false;
	ck_assert_uint_eq(left, 1);
	ck_assert_str_eq(cpus_of(VCPU_TID), "2");
	ck_assert_str_eq(cpus_of(HELPER_TID), "3");
}
END_TEST

/* ---- Orders ---------------------------------------------------------------------------------- */

START_TEST(vcpu_runs_where_an_operator_has_it_and_does_not_follow)
{
	unsigned int left;

	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert_int_eq(pin(0, PLACEMENT_NODE, 2, NULL, NULL), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "8-11");
	ck_assert_int_eq(view_of(VCPU_TID).by, PLACEMENT_BY_OPERATOR);
	ck_assert_int_eq(pin(0, PLACEMENT_CPUS, 0, "3,5", NULL), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "3,5");
	ck_assert_int_eq(pin(0, PLACEMENT_ANY, 0, NULL, NULL), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "0-11");
	ck_assert_uint_eq(placement_follow(&placement, 0, 1, false, &left), 0);
	ck_assert_uint_eq(left, 1);
	ck_assert_str_eq(cpus_of(VCPU_TID), "0-11");
	/* Back to the rule: at the memory, wherever that is by now. */
	ck_assert_int_eq(pin(0, PLACEMENT_RULE, 0, NULL, NULL), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "4-7");
	ck_assert_int_eq(view_of(VCPU_TID).by, PLACEMENT_BY_RULE);
	ck_assert_uint_eq(placement_follow(&placement, 0, 0, false, &left), 1);
}
END_TEST

START_TEST(order_goes_beyond_the_process_but_not_beyond_the_cpuset)
{
	struct placement_order order = {.wish = PLACEMENT_CPUS, .cpus = list("1,6,20")};
	struct vmm_cpus refused;
	struct gmig_error err = {0};
	char text[32];

	ck_assert_int_eq(add_vcpu(0, 0), 0);
	taskset(MAIN_TID, "0-3");
	ck_assert_int_eq(placement_pin(&placement, 0, &order, &refused, NULL), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "1,6");
	ck_assert(!view_of(VCPU_TID).outside);
	ck_assert_str_eq(vmm_cpus_print(&refused, text, sizeof(text)), "20");
	host.cpuset = list("0-7");
	ck_assert_int_eq(pin(0, PLACEMENT_NODE, 2, NULL, &err), -EINVAL);
	ck_assert_str_eq(err.text,
			 "CPUs 8-11 are all offline or outside the VM's cpuset; the VM may "
			 "use 0-3");
	ck_assert_str_eq(cpus_of(VCPU_TID), "1,6");
	ck_assert_int_eq(view_of(VCPU_TID).thread.order.wish, PLACEMENT_CPUS);
}
END_TEST

START_TEST(order_that_nothing_fits_changes_nothing)
{
	struct gmig_error err = {0};

	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert_int_eq(pin(0, PLACEMENT_NODE, 3, NULL, &err), -ENODEV);
	ck_assert_str_eq(err.text, "node 3 has no CPUs");
	ck_assert_int_eq(pin(0, PLACEMENT_NODE, 9, NULL, &err), -ENODEV);
	ck_assert_str_eq(err.text, "node 9 is not there; online: 0-3");
	ck_assert_int_eq(pin(1, PLACEMENT_ANY, 0, NULL, &err), -ESRCH);
	ck_assert_str_eq(err.text, "there is no vCPU 1");
	ck_assert_str_eq(cpus_of(VCPU_TID), "0-3");
	ck_assert_int_eq(view_of(VCPU_TID).by, PLACEMENT_BY_RULE);
}
END_TEST

/* ---- No rule --------------------------------------------------------------------------------- */

static void init_without_rule(int why)
{
	static const struct tree_node one = {0, 1024, 1, "0-11", "10"};

	placement_destroy(&placement);
	if (why == 1) {
		gmig_topology_put(topology);
		ck_assert_int_eq(topology_create_at(tree_root, 2, &topology, NULL), 0);
	} else if (why == 2) {
		gmig_topology_put(topology);
		tree_nodes("0", &one, 1);
		ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, NULL), 0);
	}
	init(why == 0);
}

/* --no-pin, fake nodes, a host of one node */
START_TEST(without_a_rule_no_thread_is_placed_unless_somebody_asks)
{
	unsigned int left;

	init_without_rule(_i);
	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert_int_eq(add_vcpu(1, 1), 0);
	add_helper(PLACEMENT_IO, HELPER_TID, PLACEMENT_NO_VNODE, 0);
	add_helper(PLACEMENT_COPY, HELPER_TID + 1, PLACEMENT_NO_VNODE, 0);
	ck_assert_uint_eq(placement_follow(&placement, 1, 0, false, &left), 0);
	for (int tid = 0; tid < FAKE_TIDS; tid++)
		ck_assert_uint_eq(host.sets[tid], 0);
	ck_assert_int_eq(pin(0, PLACEMENT_CPUS, 0, "6", NULL), 0);
	ck_assert_str_eq(cpus_of(VCPU_TID), "6");
	ck_assert_uint_eq(placement_follow(&placement, 1, 0, true, &left), 1);
	ck_assert_uint_eq(host.sets[VCPU_TID + 1], 1);
	ck_assert_int_eq(view_of(VCPU_TID + 1).by, PLACEMENT_BY_OPERATOR);
	ck_assert_uint_eq(host.sets[HELPER_TID], 0);
}
END_TEST

/* ---- After a migration ----------------------------------------------------------------------- */

START_TEST(home_that_moves_takes_vcpus_and_helpers_along)
{
	unsigned int left;

	ck_assert_int_eq(add_vcpu(0, 0), 0);
	ck_assert_int_eq(add_vcpu(1, 1), 0);
	add_helper(PLACEMENT_FAULT, HELPER_TID, 0, 0);
	add_helper(PLACEMENT_BLK, HELPER_TID + 1, PLACEMENT_NO_VNODE, 0);
	ck_assert_uint_eq(placement_follow(&placement, 0, 2, false, &left), 1);
	ck_assert_uint_eq(left, 0);
	ck_assert_uint_eq(placement_home(&placement, 0), 2);
	ck_assert_str_eq(cpus_of(VCPU_TID), "8-11");
	ck_assert_str_eq(cpus_of(VCPU_TID + 1), "4-7");
	ck_assert_str_eq(cpus_of(HELPER_TID), "8-11");
	ck_assert_str_eq(cpus_of(HELPER_TID + 1), "4-11");
	/* Memory beside no CPU: the nearest that there are. */
	ck_assert_uint_eq(placement_follow(&placement, 1, 3, false, &left), 1);
	ck_assert_str_eq(cpus_of(VCPU_TID + 1), "8-11");
}
END_TEST

static const struct {
	const char *what;
	uint16_t from[2], to[2];
	unsigned int from_count, to_count;
	uint64_t vnodes;
	unsigned int home;
	bool all;
	uint64_t bytes[4]; /* of vnode 0, by node, after the job */
	unsigned int target;
} jobs[] = {
    {"all of it", {0}, {1}, 1, 1, 0, 0, false, {0, 100}, 1},
    {"a swap", {0, 1}, {1, 0}, 2, 2, 0, 0, false, {0, 100}, 1},
    {"the other way of a swap", {0, 1}, {1, 0}, 2, 2, 0, 1, false, {100}, 0},
    {"most of it", {0}, {1}, 1, 1, 0, 0, false, {49, 51}, 1},
    {"half of it", {0}, {1}, 1, 1, 0, 0, false, {50, 50}, GMIG_NO_NODE},
    {"half of it, and the lower node", {1}, {0}, 1, 1, 0, 1, false, {50, 50}, GMIG_NO_NODE},
    {"little of it", {0}, {1}, 1, 1, 0, 0, false, {90, 10}, GMIG_NO_NODE},
    {"a part that was elsewhere", {2}, {0}, 1, 1, 0, 0, false, {100}, GMIG_NO_NODE},
    {"another vnode", {0}, {1}, 1, 1, 2, 0, false, {0, 100}, GMIG_NO_NODE},
    {"this vnode", {0}, {1}, 1, 1, 1, 0, false, {0, 100}, 1},
    {"memory that was there before", {0}, {1}, 1, 1, 0, 0, false, {0, 0, 100}, GMIG_NO_NODE},
    {"vCPUs are elsewhere", {1}, {2}, 1, 1, 0, 0, false, {0, 0, 100}, GMIG_NO_NODE},
    {"vCPUs are elsewhere, all", {1}, {2}, 1, 1, 0, 0, true, {0, 0, 100}, 2},
    {"vCPUs are there, all", {1}, {2}, 1, 1, 0, 2, true, {0, 0, 100}, 2},
    {"no memory", {0, 1}, {1, 0}, 2, 2, 0, 0, false, {0}, 1},
    {"no memory, the other way", {0, 1}, {2, 0}, 2, 2, 0, 1, false, {0}, 0},
    {"no memory, elsewhere", {1}, {2}, 1, 1, 0, 0, false, {0}, GMIG_NO_NODE},
    {"no memory, many to one", {0, 1}, {1}, 2, 1, 0, 1, false, {0}, GMIG_NO_NODE},
    {"no memory, one of many to one", {0, 1}, {1}, 2, 1, 0, 0, false, {0}, 1},
};

START_TEST(vcpus_go_where_most_of_the_memory_went)
{
	struct gmig_job_spec spec = {.from_count = jobs[_i].from_count,
				     .to_count = jobs[_i].to_count,
				     .vnodes = jobs[_i].vnodes};
	uint64_t bytes[GMIG_MAX_NODES] = {0};

	memcpy(spec.from, jobs[_i].from, sizeof(jobs[_i].from));
	memcpy(spec.to, jobs[_i].to, sizeof(jobs[_i].to));
	memcpy(bytes, jobs[_i].bytes, sizeof(jobs[_i].bytes));
	ck_assert_msg(placement_target(&spec, 0, jobs[_i].home, jobs[_i].all, bytes) ==
			  jobs[_i].target,
		      "%s: %u", jobs[_i].what,
		      placement_target(&spec, 0, jobs[_i].home, jobs[_i].all, bytes));
}
END_TEST

/* ---- This host ------------------------------------------------------------------------------- */

START_TEST(calls_of_this_host_give_and_tell_cpus)
{
	struct vmm_cpus mine, one = {{0}}, now;
	unsigned int cpu = 0;

	ck_assert_int_eq(placement_sys_real.get(getpid(), &mine), 0);
	while (!vmm_cpus_has(&mine, cpu))
		cpu++;
	one.word[cpu / 64] = 1ull << (cpu % 64);
	ck_assert_int_eq(placement_sys_real.set(getpid(), &one), 0);
	ck_assert_int_eq(placement_sys_real.get(getpid(), &now), 0);
	ck_assert(vmm_cpus_equal(&now, &one));
	memset(&one, 0, sizeof(one));
	ck_assert_int_eq(placement_sys_real.set(getpid(), &one), -EINVAL);
	ck_assert_int_eq(placement_sys_real.set(getpid(), &mine), 0);
	ck_assert_int_eq(placement_sys_real.get(INT32_MAX, &now), -ESRCH);
}
END_TEST

static TCase *rule_case(void)
{
	TCase *tcase = tcase_create("rule");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, vcpus_run_at_the_homes_of_their_vnodes);
	tcase_add_test(tcase, helpers_run_by_their_kind);
	tcase_add_test(tcase, helpers_that_began_before_the_vcpus_are_placed_with_them);
	tcase_add_test(tcase, helper_without_a_cpu_beside_the_vcpus_runs_anywhere);
	tcase_add_test(tcase, thread_that_begins_where_it_belongs_is_placed_by_rule);
	tcase_add_test(tcase, thread_that_has_ended_is_forgotten);
	tcase_add_test(tcase, more_threads_than_there_is_room_for_are_left_where_they_are);
	tcase_add_loop_test(tcase, without_a_rule_no_thread_is_placed_unless_somebody_asks, 0, 3);
	return tcase;
}

static TCase *others_case(void)
{
	TCase *tcase = tcase_create("others");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, vcpu_whose_home_the_cpuset_forbids_runs_near_it);
	tcase_add_test(tcase, vcpus_keep_to_the_cpus_that_the_process_was_started_with);
	tcase_add_test(tcase, vcpu_without_any_cpu_of_a_node_says_so);
	tcase_add_test(tcase, cpus_that_go_offline_are_nobody_elses_doing);
	tcase_add_test(tcase, vcpu_follows_to_cpus_that_the_cpuset_has_come_to_allow);
	tcase_add_test(tcase, vcpu_that_somebody_else_has_placed_is_left_alone);
	tcase_add_test(tcase, vcpu_of_which_nobody_can_tell_who_placed_it_is_left_alone);
	tcase_add_test(tcase, vcpu_runs_where_an_operator_has_it_and_does_not_follow);
	tcase_add_test(tcase, order_goes_beyond_the_process_but_not_beyond_the_cpuset);
	tcase_add_test(tcase, order_that_nothing_fits_changes_nothing);
	tcase_add_test(tcase, home_that_moves_takes_vcpus_and_helpers_along);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("placement");
	TCase *pure = tcase_create("pure");

	tcase_add_loop_test(pure, vcpus_go_where_most_of_the_memory_went, 0,
			    sizeof(jobs) / sizeof(jobs[0]));
	tcase_add_test(pure, calls_of_this_host_give_and_tell_cpus);
	suite_add_tcase(suite, rule_case());
	suite_add_tcase(suite, others_case());
	suite_add_tcase(suite, pure);
	return run_suite(suite);
}
