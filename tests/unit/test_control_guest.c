/* The commands over libgmig about guests, their memory and their jobs. */
#include "../../migrate/core/sys.h"
#include "../../migrate/core/topology.h"
#include "../../migrate/gmig_repair.h"
#include "failing_open.h"
#include "guest_rig.h"
#include "host_tree.h"

#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(query_is_answered_for_the_guest_that_is_meant)
{
	const json_t *status = ask("{\"execute\":\"query-status\"}");

	ck_assert_str_eq(json_string_value(json_object_get(status, "name")), "ada");
	ck_assert_int_eq(number(status, "view"), GUEST_STATUS);
	asked = 1;
	status = ask("{\"execute\":\"query-status\"}");
	ck_assert_str_eq(json_string_value(json_object_get(status, "name")), "bob");
	ck_assert_int_eq(number(ask("{\"execute\":\"query-numa\"}"), "view"), GUEST_NUMA);
	asked = GUESTS;
	expect_error("{\"execute\":\"query-status\"}", "ESRCH", "there is no guest 2");
	expect_error("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"1\"}}", "ESRCH",
		     "there is no guest 2");
}
END_TEST

START_TEST(query_about_another_guest_is_refused)
{
	ck_assert_ptr_nonnull(
	    ask("{\"execute\":\"query-jobs\",\"arguments\":{\"guest\":\"ada\"}}"));
	expect_error("{\"execute\":\"query-jobs\",\"arguments\":{\"guest\":\"bob\"}}", "ESRCH",
		     "no guest 'bob' here, only 'ada'");
	expect_error("{\"execute\":\"job-cancel\",\"arguments\":{\"guest\":\"bob\",\"id\":\"1\"}}",
		     "ESRCH", "no guest 'bob'");
}
END_TEST

START_TEST(residency_has_the_engines_members_and_the_servers)
{
	static const char *const members[] = {
	    "name",	    "migration",      "page_bytes",	     "vnodes",	 "pool",
	    "quarantine",   "offlined_bytes", "slots_emptied",	     "sleepers", "blackout_ns",
	    "stall_ns",	    "faults",	      "faults_known_thread", "jobs",	 "dma",
	    "starved_pages"};
	const json_t *residency = ask("{\"execute\":\"query-residency\"}");
	const json_t *vnode = json_array_get(json_object_get(residency, "vnodes"), 0);

	for (unsigned int i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		ck_assert_msg(json_object_get(residency, members[i]) != NULL, "no '%s'",
			      members[i]);
	ck_assert_int_eq(number(residency, "view"), GUEST_RESIDENCY);
	ck_assert_int_eq(number(json_object_get(residency, "dma"), "busy_blocks"), 0);
	ck_assert_int_eq(number(vnode, "bytes"), BYTES);
	ck_assert_int_eq(number(json_object_get(vnode, "resident"), "0"), BYTES);
	ck_assert_int_eq(number(json_object_get(vnode, "resident"), "1"), 0);
	ck_assert_int_eq(number(vnode, "swapped_bytes"), 0);
	ck_assert_int_ge(number(residency, "extra_bytes_peak"), number(residency, "extra_bytes"));
}
END_TEST

static int told_node; /* where the kernel says that all memory is */

static int query_told(size_t count, void **pages, int *status)
{
	(void)pages;
	for (size_t i = 0; i < count; i++)
		status[i] = told_node;
	return 0;
}

static const char ask_plain[] = "{\"execute\":\"query-residency\"}";

static const json_t *sample_of(const json_t *residency)
{
	return json_object_get(residency, "sample");
}

/* Bytes of vnode 0 on that node, in the last answer. */
static json_int_t resident(unsigned int node)
{
	const json_t *vnodes = json_object_get(json_object_get(answer, "return"), "vnodes");
	char key[16];

	snprintf(key, sizeof(key), "%u", node);
	return json_integer_value(
	    json_object_get(json_object_get(json_array_get(vnodes, 0), "resident"), key));
}

/* More blocks than a sample has. On real nodes: on fake ones the kernel is not asked where pages are. */
START_TEST(residency_is_sampled_and_compared_as_a_whole_when_asked_fresh)
{
	static const char ask_fresh[] =
	    "{\"execute\":\"query-residency\",\"arguments\":{\"fresh\":true}}";
	struct gmig_sys sys = gmig_sys_real;
	struct gmig_options options = {
	    .unsafe_kernel = true, .off_if_unavailable = true, .sys = &sys};
	struct gmig_region_spec region = {.bytes = 40 * GMIG_BLOCK_BYTES};
	struct gmig_topology *fake = topology;
	struct gmig *engine = engines[0];
	json_int_t corrected;
	uint64_t begin_ns;
	void *ram;

	sys.query_nodes = query_told;
	ck_assert_int_eq(gmig_topology_create(0, &topology, NULL), 0);
	told_node = (int)gmig_node_set_next(gmig_topology_nodes(topology), 0);
	options.topology = topology;
	region.host_node = (unsigned int)told_node;
	ck_assert_int_eq(gmig_create(&options, &engines[0], NULL), 0);
	ck_assert_int_eq(gmig_region_add(engines[0], &region, &ram, NULL), 0);
	memset(ram, 1, region.bytes);
	settle(engines[0]);
	if (!gmig_why_off(engines[0])) {
		ck_assert_int_eq(number(sample_of(ask(ask_plain)), "corrected_pages"), 0);
		told_node = 77;
		corrected = number(sample_of(ask(ask_plain)), "corrected_pages");
		ck_assert_int_gt(corrected, 0);
		ck_assert_int_eq(resident(77), corrected * (json_int_t)GMIG_PAGE_BYTES);
		begin_ns = gmig_sys_real.now_ns();
		ask(ask_fresh);
		ck_assert_int_eq(resident(77), (json_int_t)region.bytes);
		ck_assert_double_le(json_real_value(json_object_get(
					json_object_get(answer, "return"), "age_seconds")),
				    (double)(gmig_sys_real.now_ns() - begin_ns) * 1e-9);
	}
	gmig_destroy(engines[0]);
	gmig_topology_put(topology);
	engines[0] = engine;
	topology = fake;
}
END_TEST

START_TEST(host_nodes_have_memory_and_distances)
{
	const json_t *nodes = json_object_get(ask("{\"execute\":\"query-numa\"}"), "host_nodes");

	ck_assert_uint_eq(json_array_size(nodes), 2);
	ck_assert_int_eq(number(json_array_get(nodes, 1), "id"), 1);
	ck_assert_int_gt(number(json_array_get(nodes, 1), "total_bytes"), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(json_array_get(nodes, 0), "distance")),
			  2);
}
END_TEST

START_TEST(node_that_cannot_be_looked_at_is_not_said_to_be_full)
{
	const json_t *node;

	unreadable = "/meminfo";
	node =
	    json_array_get(json_object_get(ask("{\"execute\":\"query-numa\"}"), "host_nodes"), 1);
	ck_assert_int_gt(number(node, "total_bytes"), 0);
	ck_assert_ptr_null(json_object_get(node, "free_bytes"));
	unreadable = NULL;
	node =
	    json_array_get(json_object_get(ask("{\"execute\":\"query-numa\"}"), "host_nodes"), 1);
	ck_assert_int_gt(number(node, "free_bytes"), 0);
}
END_TEST

static void expect_allowed(const char *want)
{
	json_t *list = json_loads(want, 0, NULL);

	ck_assert_int_eq(
	    json_equal(json_object_get(ask("{\"execute\":\"query-numa\"}"), "allowed"), list), 1);
	json_decref(list);
}

/* A look at each question: cpuset.mems is somebody else's. */
START_TEST(nodes_that_the_cpuset_allows_are_read_anew_for_each_answer)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0", "10 20 20"},
						 {1, 4096, 2048, "1", "20 10 20"},
						 {2, 0, 0, "2", "20 20 10"}};
	struct gmig_topology *fake = topology;

	ck_assert_ptr_null(json_object_get(ask("{\"execute\":\"query-numa\"}"), "allowed"));
	tree_create();
	tree_nodes("0-2", nodes, 3);
	tree_cpuset("0-2");
	ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, NULL), 0);
	expect_allowed("[0,1]"); /* node 2 has no memory */
	tree_cpuset("1-2");
	expect_allowed("[1]");
	tree_cpuset("0-63");
	expect_allowed("[0,1]");
	/* What cannot be understood is not believed: the last look stands, here the first one. */
	tree_write("Name:\tx\nMems_allowed_list:\tall\n", "/proc/self/status");
	expect_allowed("[0,1]");
	gmig_topology_put(topology);
	topology = fake;
	tree_remove();
}
END_TEST

static const struct {
	const char *arguments, *text;
} refused[] = {
    {"\"from\":[0],\"to\":[1],\"mode\":\"fast\"", "mode: 'fast' is none of auto, readable, block"},
    {"\"from\":[0],\"to\":[1],\"frames\":\"old\"",
     "frames: 'old' is none of auto, fresh, recycled"},
    {"\"from\":[0],\"to\":[1],\"huge\":\"tiny\"", "huge: 'tiny' is none of prefer, keep, split"},
    {"\"from\":[0],\"to\":[1],\"swapped\":\"in\"", "swapped: 'in' is none of move, skip"},
    {"\"from\":[0],\"to\":[1],\"mover\":\"van\"", "mover: 'van' is none of uffd"},
    {"\"from\":[\"x\"],\"to\":[1]", "from: item 0 is not a number"},
    {"\"from\":[0],\"to\":[-1]", "to: node -1 is not within 0 to"},
    {"\"from\":[0],\"to\":[1],\"vnode\":1", "vnode: there is no vnode 1"},
    {"\"from\":[0],\"to\":[1],\"threads\":-1", "threads: -1 is not within"},
    {"\"from\":[0],\"to\":[1],\"batch\":513", "batch: 513 is not within 0 to 512"},
    {"\"from\":[0],\"to\":[1],\"rate\":-5", "rate: -5 is not within"},
    {"\"from\":[\"0\"],\"to\":[1]", "from: item 0 is not a number"},
    {"\"from\":[\"all\"],\"to\":[\"!0-1\"]", "to: '!0-1' is no node at all here"},
};

START_TEST(argument_that_makes_no_sense_is_refused_by_name)
{
	char request[256];

	snprintf(request, sizeof(request), "{\"execute\":\"migrate-pages\",\"arguments\":{%s}}",
		 refused[_i].arguments);
	expect_error(request, "EINVAL", refused[_i].text);
}
END_TEST

START_TEST(nodes_as_numactl_has_them_are_those_of_the_guests_host)
{
	const json_t *info;

	expect_error(
	    "{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[\"all\"],\"to\":[\"!7\"]}}",
	    "ENODEV", "to: '!7': node 7 is offline");
	expect_error("{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[\"+2\"],\"to\":[1]}}",
		     "ENODEV", "from: '+2': +2 is none of the 2 nodes");
	if (gmig_why_off(engines[0])) {
		skip_case("migration is off here");
		return;
	}
	info = ask(
	    "{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[\"all\"],\"to\":[\"!0\"]}}");
	ck_assert_uint_eq(json_array_size(json_object_get(info, "from")), 2);
	ck_assert_uint_eq(json_array_size(json_object_get(info, "to")), 1);
	ck_assert_int_eq(last_job_moved(1, "completed"), BYTES);
}
END_TEST

START_TEST(job_lives_in_its_guest_alone)
{
	static const char migrate[] = "{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[0],"
				      "\"to\":[1],\"trace\":true,\"order\":\"random\","
				      "\"order-seed\":3,\"max-slowdown\":500000}}";
	struct gmig_job *job;
	const json_t *info;

	closing = true;
	expect_error(migrate, "ESHUTDOWN", "the guest ends");
	closing = false;
	if (gmig_why_off(engines[0])) {
		expect_error(migrate, "EOPNOTSUPP", "off");
		skip_case("migration is off here");
		return;
	}
	info = ask(migrate);
	ck_assert_str_eq(json_string_value(json_object_get(info, "id")), "1");
	ck_assert_str_eq(json_string_value(json_object_get(info, "mode")), "auto");
	ck_assert_str_eq(json_string_value(json_object_get(info, "frames")), "auto");
	ck_assert_str_eq(json_string_value(json_object_get(info, "mover")), "uffd");
	job = gmig_job_find(engines[0], 1);
	gmig_job_wait(job);
	gmig_job_put(job);
	info = json_array_get(ask("{\"execute\":\"query-jobs\"}"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(info, "state")), "completed");
	ck_assert_int_eq(number(info, "moved_bytes"), BYTES);
	ck_assert_int_eq(number(info, "gone_bytes"), 0);
	ck_assert_int_eq(number(info, "moved_by_others_bytes"), 0);
	ck_assert_int_eq(number(info, "bytes_on_source"), 0);
	ck_assert_int_gt(number(info, "extra_bytes_max"), 0);
	ck_assert_int_eq(number(info, "order_seed"), 3);
	ck_assert(json_is_true(json_object_get(info, "max_slowdown_met")));
	info = ask("{\"execute\":\"query-job-trace\",\"arguments\":{\"id\":\"1\",\"first\":1}}");
	ck_assert_int_eq(number(info, "first"), 1);
	ck_assert_int_eq(number(info, "total"), BYTES / GMIG_BLOCK_BYTES);
	ck_assert_int_eq(number(info, "dropped"), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(info, "records")),
			  BYTES / GMIG_BLOCK_BYTES - 1);
	expect_error("{\"execute\":\"job-pause\",\"arguments\":{\"id\":\"1\"}}", "ESRCH",
		     "job 1 is completed");
	asked = 1;
	ck_assert_uint_eq(json_array_size(ask("{\"execute\":\"query-jobs\"}")), 0);
	expect_error("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"1\"}}", "ESRCH",
		     "there is no job 1");
	expect_error("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"1x\"}}", "EINVAL",
		     "'1x' is not the id of a job");
}
END_TEST

/* ---- move-all: the right is the peer's ------------------------------------------------------------- */

static const char *const moves_all[] = {
    "{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[0],\"to\":[1],\"move-all\":true}}",
    "{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[0,4096,1],\"move-all\":true}}",
    BIND("\"policy\":\"bind\",\"nodes\":[1],\"move-all\":true"),
};

static bool drop_capability(unsigned int capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &header, data))
		return false;
	data[0].effective &= ~(1u << capability);
	data[0].permitted &= ~(1u << capability);
	data[0].inheritable &= ~(1u << capability);
	return !syscall(SYS_capset, &header, data);
}

static bool drop_nice(void)
{
	return drop_capability(CAP_SYS_NICE);
}

static bool enter_namespace(void)
{
	return !unshare(CLONE_NEWUSER);
}

static bool stay(void)
{
	return true;
}

/* A child that has become what `become` makes of it connects; 0: it could not. It lives until it is killed. */
static pid_t connect_peer(bool (*become)(void), int *fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t bytes = sizeof(address);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
	pid_t child;

	/* A name of the kernel's choice, without a file */
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	child = fork();
	if (!child) {
		int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool is_it = become();

		if (connect(sock, (struct sockaddr *)&address, bytes) ||
		    send(sock, is_it ? "y" : "n", 1, MSG_NOSIGNAL) != 1 || !is_it)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_gt(child, 0);
	*fd = accept(listener, NULL, NULL);
	ck_assert_int_ge(*fd, 0);
	close(listener);
	char said = 0;

	ck_assert_int_eq(recv(*fd, &said, 1, 0), 1);
	if (said == 'y')
		return child;
	close(*fd);
	waitpid(child, &status, 0);
	return 0;
}

#define ask_as(become, no_right) ask_as_of(__func__, become, no_right)

static void ask_as_of(const char *function, bool (*become)(void), bool no_right)
{
	int fd = -1, status;
	pid_t child = connect_peer(become, &fd);

	if (!child) {
		skip_case_of(function, "this process cannot become such a one");
		return;
	}
	control_peer_asks(fd);
	for (unsigned int i = 0; i < sizeof(moves_all) / sizeof(moves_all[0]); i++) {
		const json_t *text;

		ask(moves_all[i]);
		text = json_object_get(json_object_get(answer, "error"), "desc");
		ck_assert_msg(no_right == (text && strstr(json_string_value(text),
							  "the caller needs CAP_SYS_NICE")),
			      "%s: %s", moves_all[i], text ? json_string_value(text) : "no error");
		if (no_right)
			ck_assert_str_eq(json_string_value(json_object_get(
					     json_object_get(answer, "error"), "errno")),
					 "EPERM");
	}
	control_peer_asks(-1);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	close(fd);
}

START_TEST(move_all_is_refused_to_a_peer_without_cap_sys_nice)
{
	ask_as(drop_nice, true);
	/* Whoever makes a user namespace has all capabilities, there. */
	ask_as(enter_namespace, true);
	ask_as(stay, !control_peer_is_privileged());
}
END_TEST

START_TEST(check_says_ok_and_what_it_compared)
{
	const json_t *check;

	if (gmig_why_off(engines[0])) {
		expect_error("{\"execute\":\"check-invariants\"}", "EOPNOTSUPP", "off");
		return;
	}
	check = ask("{\"execute\":\"check-invariants\"}");
	ck_assert(json_is_true(json_object_get(check, "ok")));
	ck_assert_int_eq(number(check, "mapped_bytes"), BYTES);
}
END_TEST

#define REPAIR(arguments) "{\"execute\":\"repair-table\",\"arguments\":{" arguments "}}"

START_TEST(repair_goes_on_by_its_number_until_it_is_done)
{
	static const char *const bad[] = {
	    REPAIR("\"id\":\"\""),   REPAIR("\"id\":\"0\""),
	    REPAIR("\"id\":\"-1\""), REPAIR("\"id\":\"+1\""),
	    REPAIR("\"id\":\"1x\""), REPAIR("\"id\":\"99999999999999999999\""),
	    REPAIR("\"id\":1")};
	const json_t *repair;
	char again[128];

	if (gmig_why_off(engines[0])) {
		expect_error(REPAIR(""), "EOPNOTSUPP", "off");
		skip_case("migration is off here");
		return;
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_error(bad[i], "EINVAL", "id");
	expect_error(REPAIR("\"id\":\"4711\""), "ESRCH", "there is no repair 4711");
	repair = ask(REPAIR(""));
	for (unsigned int i = 0; i < 1000 && !json_is_true(json_object_get(repair, "done")); i++) {
		snprintf(again, sizeof(again), REPAIR("\"id\":\"%.16s\""),
			 json_string_value(json_object_get(repair, "id")));
		repair = ask(again);
	}
	ck_assert(json_is_true(json_object_get(repair, "done")));
	ck_assert(json_is_true(json_object_get(repair, "ok")));
	ck_assert_int_eq(number(repair, "visited_pages"), BYTES / GMIG_PAGE_BYTES);
	ck_assert_int_eq(number(repair, "compared_pages"), BYTES / GMIG_PAGE_BYTES);
	ck_assert_int_eq(number(repair, "mapped_bytes"), BYTES);
	ck_assert_int_eq(number(json_object_get(repair, "differed"), "node"), 0);
	ck_assert_int_eq(number(json_object_get(repair, "corrected"), "held"), 0);
	ck_assert_int_gt(number(json_object_get(repair, "hold_ns"), "count"), 0);
	ck_assert_int_gt(number(repair, "longest_hold_ns"), 0);
	ck_assert_int_gt(number(repair, "longest_hold_cpu_ns"), 0);
}
END_TEST

/* Of another guest it is another one. */
START_TEST(repair_is_its_guests)
{
	const json_t *repair;
	uint64_t id = 0;
	struct gmig_repair result;

	if (gmig_why_off(engines[0])) {
		skip_case("migration is off here");
		return;
	}
	ck_assert_int_eq(gmig_repair(engines[0], &id, 0, &result, NULL), 0);
	ck_assert(!result.done);
	asked = 1;
	expect_error(REPAIR("\"id\":\"1\""), "ESRCH", "there is no repair 1");
	asked = 0;
	repair = ask(REPAIR("\"id\":\"1\""));
	ck_assert_str_eq(json_string_value(json_object_get(repair, "id")), "1");
}
END_TEST

#define RETIRE(arguments) "{\"execute\":\"retire-page\",\"arguments\":{" arguments "}}"

static bool drop_admin(void)
{
	return drop_capability(CAP_SYS_ADMIN);
}

/* The server, which is this program, may have the right: the frame is lost for all of the host, so that the peer has to. */
START_TEST(retired_frame_stays_in_quarantine_for_a_peer_without_cap_sys_admin)
{
	const json_t *retired;
	int fd = -1, status;
	pid_t child = connect_peer(drop_admin, &fd);

	if (!child) {
		skip_case("capabilities cannot be dropped here");
		return;
	}
	control_peer_asks(fd);
	retired = ask(RETIRE("\"gpa\":8191"));
	control_peer_asks(-1);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	close(fd);
	if (gmig_why_off(engines[0])) {
		ck_assert_ptr_nonnull(json_object_get(answer, "error"));
		skip_case("migration is off here");
		return;
	}
	ck_assert_int_eq(number(retired, "gpa"), 4096);
	ck_assert_int_eq(number(retired, "node"), 0);
	ck_assert(json_is_false(json_object_get(retired, "offlined")));
	ck_assert_str_eq(json_string_value(json_object_get(retired, "reason")), "EPERM");
}
END_TEST

START_TEST(retire_says_why_not_and_what_was_kept)
{
	const json_t *retired;

	if (gmig_why_off(engines[0])) {
		expect_error(RETIRE("\"gpa\":0,\"keep\":true"), "EOPNOTSUPP", "only the kernel");
		skip_case("migration is off here");
		return;
	}
	expect_error(RETIRE("\"gpa\":-1"), "EINVAL", "gpa");
	expect_error(RETIRE("\"gpa\":9223372036854775807"), "EFAULT", "no memory at");
	retired = ask(RETIRE("\"gpa\":4096,\"keep\":true"));
	ck_assert_str_eq(json_string_value(json_object_get(retired, "reason")), "ECANCELED");
	retired = json_object_get(ask("{\"execute\":\"query-residency\"}"), "quarantine");
	ck_assert_int_eq(number(retired, "0"), GMIG_PAGE_BYTES);
}
END_TEST

#define SAMPLE(arguments) "{\"execute\":\"sample-memory\",\"arguments\":{" arguments "}}"
#define HEAT(arguments)	  "{\"execute\":\"query-heat\",\"arguments\":{" arguments "}}"

START_TEST(memory_is_sampled_until_it_is_switched_off)
{
	const json_t *sampling, *heat, *part;

	expect_error(SAMPLE("\"on\":true,\"rate\":10001"), "EINVAL", "rate: 10001 is not within");
	expect_error(SAMPLE("\"on\":true,\"max-slowdown\":1000001"), "EINVAL", "max-slowdown");
	expect_error(SAMPLE("\"on\":false,\"rate\":1"), "EINVAL", "are for sampling");
	expect_error(HEAT("\"gpa\":-1"), "EINVAL", "gpa: -1 is not within");
	/* Nothing is known, and that is said. */
	heat = ask(HEAT(""));
	ck_assert(json_is_false(json_object_get(json_object_get(heat, "sampling"), "on")));
	part = json_array_get(json_object_get(heat, "heat"), 0);
	ck_assert_int_eq(number(part, "gpa"), 0);
	ck_assert_int_eq(number(part, "bytes"), BYTES);
	ck_assert_int_eq(number(part, "unknown"), BYTES);
	ck_assert_ptr_null(json_object_get(part, "newest_age_ns"));
	ck_assert_ptr_null(json_object_get(heat, "next"));
	expect_error(HEAT("\"step\":1"), "EINVAL", "step: 1 is no multiple of 2 MiB");
	heat = ask(HEAT("\"gpa\":2097152,\"step\":2097152"));
	ck_assert_uint_eq(json_array_size(json_object_get(heat, "heat")),
			  BYTES / GMIG_BLOCK_BYTES - 1);
	part = json_array_get(json_object_get(heat, "heat"), 0);
	ck_assert_int_eq(number(part, "gpa"), 2097152);
	ck_assert_int_eq(number(part, "bytes"), 2097152);
	if (gmig_why_off(engines[0])) {
		expect_error(SAMPLE("\"on\":true"), "EOPNOTSUPP", "off");
		skip_case("migration is off here");
		return;
	}
	sampling = ask(SAMPLE("\"on\":true,\"rate\":10000,\"max-slowdown\":500000"));
	ck_assert(json_is_true(json_object_get(sampling, "on")));
	ck_assert(json_is_false(json_object_get(sampling, "held")));
	ck_assert_int_eq(number(sampling, "rate"), 10000);
	ck_assert_double_eq_tol(json_number_value(json_object_get(sampling, "max_slowdown")), 0.5,
				1e-9);
	do {
		heat = ask(HEAT(""));
		sampling = json_object_get(heat, "sampling");
	} while (number(sampling, "untouched") < (json_int_t)(BYTES / GMIG_BLOCK_BYTES));
	ck_assert_int_gt(number(sampling, "held_ns"), 0);
	heat = ask(HEAT(""));
	part = json_array_get(json_object_get(heat, "heat"), 0);
	ck_assert_int_eq(number(part, "cold"), BYTES);
	ck_assert_int_eq(number(part, "unknown") + number(part, "hot") + number(part, "warm"), 0);
	ck_assert_int_gt(number(part, "newest_age_ns"), 0);
	ck_assert_uint_eq(json_object_size(json_object_get(part, "touched_from")), 0);
	/* Behind its memory there is none. */
	heat = ask(HEAT("\"gpa\":8388608"));
	ck_assert_uint_eq(json_array_size(json_object_get(heat, "heat")), 0);
	sampling = ask(SAMPLE("\"on\":false"));
	ck_assert(json_is_false(json_object_get(sampling, "on")));
	heat = ask(HEAT(""));
	part = json_array_get(json_object_get(heat, "heat"), 0);
	ck_assert_int_eq(number(part, "cold"), BYTES);
}
END_TEST

#define REPORT(blocks) "{\"execute\":\"report-heat\",\"arguments\":{\"blocks\":" blocks "}}"

START_TEST(heat_is_reported_and_only_what_can_be)
{
	const json_t *noted, *part;

	expect_error(REPORT("[7]"), "EINVAL", "[gpa, bytes, millionths");
	expect_error(REPORT("[[0,2097152]]"), "EINVAL", "[gpa, bytes, millionths");
	expect_error(REPORT("[[0,2097152,\"hot\"]]"), "EINVAL", "[gpa, bytes, millionths");
	expect_error(REPORT("[[0,2097152,-1]]"), "EINVAL", "[gpa, bytes, millionths");
	expect_error(REPORT("[[0,2097152,4294967297]]"), "EINVAL", "more than all");
	expect_error(REPORT("[[4096,2097152,1]]"), "EINVAL", "not whole blocks");
	noted = ask(REPORT("[[0,2097152,1000000],[2097152,2097152,0],[1099511627776,2097152,9]]"));
	ck_assert_int_eq(number(noted, "noted"), 2 * GMIG_BLOCK_BYTES);
	ck_assert_int_eq(number(noted, "outside"), GMIG_BLOCK_BYTES);
	ck_assert_int_eq(number(noted, "moved"), 0);
	part = json_array_get(json_object_get(ask(HEAT("")), "heat"), 0);
	ck_assert_int_eq(number(part, "hot"), GMIG_BLOCK_BYTES);
	ck_assert_int_eq(number(part, "cold"), GMIG_BLOCK_BYTES);
	ck_assert_int_eq(number(part, "reported"), 2 * GMIG_BLOCK_BYTES);
	ck_assert_int_eq(number(part, "unknown"), BYTES - 2 * GMIG_BLOCK_BYTES);
}
END_TEST

START_TEST(event_tells_a_new_state_from_progress)
{
	struct guest_job_states states = {0};
	struct gmig_job_info info = {.id = 7, .state = GMIG_JOB_RUNNING};
	json_t *data;

	ck_assert_str_eq(guest_job_event(&states, &info, &data), "JOB_STATUS_CHANGE");
	json_decref(data);
	ck_assert_str_eq(guest_job_event(&states, &info, &data), "JOB_PROGRESS");
	json_decref(data);
	info.state = GMIG_JOB_COMPLETED;
	ck_assert_str_eq(guest_job_event(&states, &info, &data), "JOB_STATUS_CHANGE");
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(data, "job"), "state")),
			 "completed");
	json_decref(data);
}
END_TEST

/* Somebody's connection, whose process runs a program of root's by now. Needs root. */
START_TEST(user_who_has_become_root_since_is_not_privileged)
{
	int fds[2];

	if (geteuid() || !control_peer_is_privileged()) {
		skip_case("only root can become somebody else");
		return;
	}
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	control_peer_asks(fds[0]);
	ck_assert(control_peer_is_privileged());
	close(fds[0]);
	close(fds[1]);
	ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(seteuid(0), 0);
	control_peer_asks(fds[0]);
	ck_assert(!control_peer_is_privileged());
	control_peer_asks(-1);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(jobs_are_cancelled_and_waited_for)
{
	struct gmig_job_spec spec = {.from_count = 1,
				     .to = {1},
				     .to_count = 1,
				     .rate_bytes_per_second = GMIG_BLOCK_BYTES / 8};
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;

	ck_assert_int_eq(guest_jobs_end(engines[0], 0, &err), 0);
	if (gmig_why_off(engines[0])) {
		skip_case("migration is off here");
		return;
	}
	ck_assert_int_eq(gmig_job_start(engines[0], &spec, &job, &err), 0);
	ck_assert_int_eq(guest_jobs_end(engines[0], 10000, &err), 0);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	gmig_job_put(job);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_guest");
	TCase *tcase = tcase_create("commands");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, query_is_answered_for_the_guest_that_is_meant);
	tcase_add_test(tcase, query_about_another_guest_is_refused);
	tcase_add_test(tcase, residency_has_the_engines_members_and_the_servers);
	tcase_add_test(tcase, residency_is_sampled_and_compared_as_a_whole_when_asked_fresh);
	tcase_add_test(tcase, host_nodes_have_memory_and_distances);
	tcase_add_test(tcase, node_that_cannot_be_looked_at_is_not_said_to_be_full);
	tcase_add_test(tcase, nodes_that_the_cpuset_allows_are_read_anew_for_each_answer);
	tcase_add_loop_test(tcase, argument_that_makes_no_sense_is_refused_by_name, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, nodes_as_numactl_has_them_are_those_of_the_guests_host);
	tcase_add_test(tcase, job_lives_in_its_guest_alone);
	tcase_add_test(tcase, move_all_is_refused_to_a_peer_without_cap_sys_nice);
	tcase_add_test(tcase, check_says_ok_and_what_it_compared);
	tcase_add_test(tcase, repair_goes_on_by_its_number_until_it_is_done);
	tcase_add_test(tcase, repair_is_its_guests);
	tcase_add_test(tcase, retired_frame_stays_in_quarantine_for_a_peer_without_cap_sys_admin);
	tcase_add_test(tcase, retire_says_why_not_and_what_was_kept);
	tcase_add_test(tcase, memory_is_sampled_until_it_is_switched_off);
	tcase_add_test(tcase, heat_is_reported_and_only_what_can_be);
	tcase_add_test(tcase, event_tells_a_new_state_from_progress);
	tcase_add_test(tcase, user_who_has_become_root_since_is_not_privileged);
	tcase_add_test(tcase, jobs_are_cancelled_and_waited_for);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
