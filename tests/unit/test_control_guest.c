/*
 * The commands over libgmig, by a server of two guests, as a daemon has them: plain memory is enough to ask about, jobs
 * need userfaultfd.
 */
#include "../../control/guest.h"
#include "../../control/internal.h"
#include "../../migrate/core/sys.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/engine.h"

#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUESTS 2
#define BYTES  (4 * GMIG_BLOCK_BYTES)

static struct gmig_topology *topology;
static struct gmig *engines[GUESTS];
static int held;     /* gets without their puts */
static bool closing; /* start_job refuses */
static json_t *answer;

static unsigned int asked; /* the guest that the next command is about */

static int get_guest(void *opaque, const json_t *arguments, struct guest *guest,
		     struct gmig_error *err)
{
	static const char *const names[GUESTS] = {"ada", "bob"};

	ck_assert_ptr_eq(opaque, engines);
	if (asked >= GUESTS)
		return gmig_fail(err, -ESRCH, "there is no guest %u", asked);
	if (guest_check_name(arguments, names[asked], err))
		return -ESRCH;
	*guest = (struct guest){.name = names[asked],
				.gmig = engines[asked],
				.topology = topology,
				.vnode_count = 1,
				.vnode_bytes = {BYTES}};
	held++;
	return 0;
}

static void put_guest(struct guest *guest)
{
	ck_assert_ptr_eq(guest->gmig, engines[asked]);
	held--;
}

static void describe(const struct guest *guest, enum guest_view view, json_t *object)
{
	ck_assert_ptr_eq(guest->gmig, engines[asked]);
	json_object_set_new(object, "view", json_integer(view));
}

static int start_job(const struct guest *guest, const struct gmig_job_spec *spec,
		     struct gmig_job **job, struct gmig_error *err)
{
	if (closing)
		return gmig_fail(err, -ESHUTDOWN, "the guest ends");
	return gmig_job_start(guest->gmig, spec, job, err);
}

static int start_move(const struct guest *guest, const struct gmig_move *move,
		      const struct gmig_job_spec *limits, struct gmig_job **job,
		      struct gmig_error *err)
{
	return gmig_move_start(guest->gmig, move, limits, job, err);
}

static int bind_memory(const struct guest *guest, const struct gmig_bind_spec *spec,
		       struct gmig_job **job, struct gmig_error *err)
{
	return gmig_bind(guest->gmig, spec, job, err);
}

static int retry_job(const struct guest *guest, struct gmig_job *old,
		     const struct gmig_job_spec *spec, struct gmig_job **job,
		     struct gmig_error *err)
{
	ck_assert_ptr_eq(guest->gmig, engines[asked]);
	return gmig_job_retry(old, spec, job, err);
}

static struct guest_ops ops = {.get = get_guest,
			       .put = put_guest,
			       .describe = describe,
			       .start_job = start_job,
			       .start_move = start_move,
			       .bind = bind_memory,
			       .retry = retry_job};
static struct guest_server server = {&ops, engines};

/* What was touched is in the books. */
static void settle(struct gmig *gmig)
{
	if (!gmig_why_off(gmig))
		engine_settle_faults(gmig, 0);
}

static void setup(void)
{
	struct gmig_options options = {.unsafe_kernel = true, .off_if_unavailable = true};
	struct gmig_region_spec region = {.bytes = BYTES};
	void *ram;

	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	options.topology = topology;
	for (unsigned int i = 0; i < GUESTS; i++) {
		ck_assert_int_eq(gmig_create(&options, &engines[i], NULL), 0);
		ck_assert_int_eq(gmig_region_add(engines[i], &region, &ram, NULL), 0);
		memset(ram, 1, BYTES);
		settle(engines[i]);
	}
	asked = 0;
	closing = false;
	answer = NULL;
}

static void teardown(void)
{
	ck_assert_int_eq(held, 0);
	json_decref(answer);
	for (unsigned int i = 0; i < GUESTS; i++)
		gmig_destroy(engines[i]);
	gmig_topology_put(topology);
}

static const json_t *ask(const char *request)
{
	const struct control_dispatch dispatch = {
	    .tables = {{NULL, NULL}, {guest_commands, &server}}};

	json_decref(answer);
	answer = control_dispatch(&dispatch, request, strlen(request));
	ck_assert_ptr_nonnull(answer);
	return json_object_get(answer, "return");
}

static void expect_error(const char *request, const char *name, const char *text)
{
	const json_t *error;

	ask(request);
	error = json_object_get(answer, "error");
	ck_assert_msg(error != NULL, "%s: no error", request);
	ck_assert_str_eq(json_string_value(json_object_get(error, "errno")), name);
	ck_assert_msg(strstr(json_string_value(json_object_get(error, "desc")), text) != NULL,
		      "no '%s' in '%s'", text, json_string_value(json_object_get(error, "desc")));
}

static json_int_t number(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	ck_assert_msg(json_is_integer(value), "no integer '%s'", name);
	return json_integer_value(value);
}

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
	    "name",	  "migration",		 "page_bytes", "vnodes",      "pool",
	    "quarantine", "slots_emptied",	 "sleepers",   "blackout_ns", "stall_ns",
	    "faults",	  "faults_known_thread", "jobs"};
	const json_t *residency = ask("{\"execute\":\"query-residency\"}");
	const json_t *vnode = json_array_get(json_object_get(residency, "vnodes"), 0);

	for (unsigned int i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		ck_assert_msg(json_object_get(residency, members[i]) != NULL, "no '%s'",
			      members[i]);
	ck_assert_int_eq(number(residency, "view"), GUEST_RESIDENCY);
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

/* The last job's state, and what it moved; waits for it. */
static json_int_t last_job_moved(uint64_t id, const char *state)
{
	struct gmig_job *job = gmig_job_find(engines[0], id);
	const json_t *info;

	ck_assert_ptr_nonnull(job);
	gmig_job_wait(job);
	gmig_job_put(job);
	info = json_array_get(ask("{\"execute\":\"query-jobs\"}"), (size_t)id - 1);
	ck_assert_str_eq(json_string_value(json_object_get(info, "state")), state);
	return number(info, "moved_bytes");
}

START_TEST(nodes_as_numactl_has_them_are_those_of_the_guests_host)
{
	const json_t *info;

	expect_error(
	    "{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[\"all\"],\"to\":[\"!7\"]}}",
	    "ENODEV", "to: '!7': node 7 is offline");
	expect_error("{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[\"+2\"],\"to\":[1]}}",
		     "ENODEV", "from: '+2': +2 is none of the 2 nodes");
	if (gmig_why_off(engines[0]))
		return;
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
				      "\"to\":[1],\"trace\":true}}";
	struct gmig_job *job;
	const json_t *info;

	closing = true;
	expect_error(migrate, "ESHUTDOWN", "the guest ends");
	closing = false;
	if (gmig_why_off(engines[0])) {
		expect_error(migrate, "EOPNOTSUPP", "off");
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

/* Of the last answer. */
static const char *error_text(void)
{
	const char *text =
	    json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));

	ck_assert_ptr_nonnull(text);
	return text;
}

static json_int_t status_of(const json_t *reply, size_t i)
{
	return json_integer_value(json_array_get(json_object_get(reply, "status"), i));
}

static void wait_for_job(uint64_t id)
{
	struct gmig_job *job = gmig_job_find(engines[0], id);

	ck_assert_ptr_nonnull(job);
	gmig_job_wait(job);
	gmig_job_put(job);
}

START_TEST(pages_move_and_say_where_they_are)
{
	const json_t *reply;

	if (gmig_why_off(engines[0])) {
		puts("skipped: migration is off");
		return;
	}
	reply = ask("{\"execute\":\"query-pages\",\"arguments\":{\"pages\":[4096,16777216]}}");
	ck_assert_int_eq(status_of(reply, 0), 0);
	ck_assert_int_eq(status_of(reply, 1), -EFAULT);
	reply = ask("{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[4096,4096,1],"
		    "\"more\":true}}");
	ck_assert_str_eq(json_string_value(json_object_get(reply, "list")), "1");
	reply = ask("{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[12288,8192,1],"
		    "\"list\":\"1\"}}");
	ck_assert_str_eq(json_string_value(json_object_get(reply, "plan")), "pages");
	wait_for_job(1);
	reply = ask("{\"execute\":\"query-pages\",\"arguments\":{\"pages\":[4096,8192,12288,"
		    "16384,20480],\"id\":\"1\"}}");
	for (size_t i = 0; i < 5; i++)
		ck_assert_int_eq(status_of(reply, i), i == 0 || i == 2 || i == 3);
}
END_TEST

static const struct {
	const char *arguments, *text;
} bad_lists[] = {
    {"\"pages\":[0,4096]", "no entries of three"},
    {"\"pages\":[0,4096,\"1\"]", "item 2 is no number"},
    {"\"pages\":[-1,4096,1]", "item 0 is no number"},
    {"\"pages\":[0,4096,1],\"list\":\"77\"", "there is no list '77'"},
    {"\"pages\":[]", "no page is named"},
    {"\"pages\":[0,4096,2]", "node 2"},
    {"\"pages\":[0,4095,1]", "is not made of pages"},
};

START_TEST(list_of_pages_that_makes_no_sense_is_refused)
{
	char request[256];

	snprintf(request, sizeof(request), "{\"execute\":\"move-pages\",\"arguments\":{%s}}",
		 bad_lists[_i].arguments);
	ask(request);
	ck_assert_ptr_nonnull(strstr(error_text(), bad_lists[_i].text));
}
END_TEST

START_TEST(list_that_came_in_parts_belongs_to_its_guest)
{
	ask("{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[0,4096,1],\"more\":true}}");
	asked = 1;
	ask("{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[],\"list\":\"1\"}}");
	ck_assert_ptr_nonnull(strstr(error_text(), "there is no list"));
	ops.start_move = NULL;
	ask("{\"execute\":\"query-pages\",\"arguments\":{\"pages\":[0]}}");
	ops.start_move = start_move;
	ck_assert_ptr_nonnull(strstr(error_text(), "is not known here"));
}
END_TEST

#define BIND(rest)                                                                                 \
	"{\"execute\":\"bind-memory\",\"arguments\":{\"gpa\":0,\"bytes\":8388608," rest "}}"

static const struct {
	const char *request, *code, *text;
} refused_bindings[] = {
    {BIND("\"policy\":\"best\""), "EINVAL", "policy: 'best' is none of default, local"},
    {BIND("\"policy\":\"bind\",\"nodes\":[\"x\"]"), "EINVAL", "nodes: item 0 is not a number"},
    {BIND("\"policy\":\"bind\",\"nodes\":[\"!0\"],\"relative\":true"), "EINVAL",
     "nodes: with relative"},
    {BIND("\"policy\":\"bind\",\"nodes\":[1],\"weights\":[1]"), "EINVAL",
     "weights: are for policy weighted-interleave"},
    {BIND("\"policy\":\"weighted-interleave\",\"nodes\":[0,1],\"weights\":[1]"), "EINVAL",
     "weights: 1 for 2 nodes"},
    {BIND("\"policy\":\"weighted-interleave\",\"nodes\":[0,1],\"weights\":[1,256]"), "EINVAL",
     "weights: item 1 is not within 1 to 255"},
    {BIND("\"policy\":\"bind\",\"nodes\":[1],\"home-node\":-1"), "EINVAL",
     "home-node: -1 is not within"},
    {BIND("\"policy\":\"bind\",\"nodes\":[1],\"mode\":\"fast\""), "EINVAL",
     "mode: 'fast' is none of"},
    {"{\"execute\":\"query-maps\",\"arguments\":{\"gpa\":-1}}", "EINVAL", "gpa: -1 is not within"},
};

START_TEST(policy_that_makes_no_sense_is_refused_by_name)
{
	expect_error(refused_bindings[_i].request, refused_bindings[_i].code,
		     refused_bindings[_i].text);
}
END_TEST

START_TEST(binding_moves_a_range_and_maps_show_it)
{
	const json_t *info, *run;

	if (gmig_why_off(engines[0])) {
		expect_error(BIND("\"policy\":\"local\""), "EOPNOTSUPP", "off");
		expect_error("{\"execute\":\"query-maps\"}", "EOPNOTSUPP", "off");
		return;
	}
	info = ask(BIND("\"policy\":\"interleave\",\"nodes\":[0,1]"));
	ck_assert_uint_eq(json_object_size(info), 0); /* no job */
	run = json_array_get(json_object_get(ask("{\"execute\":\"query-maps\"}"), "maps"), 0);
	ck_assert_int_eq(number(run, "misplaced"), BYTES / GMIG_PAGE_BYTES / 2);
	info = ask(BIND("\"policy\":\"interleave\",\"nodes\":[0,1],\"move\":true,\"strict\":true"));
	ck_assert_str_eq(json_string_value(json_object_get(info, "id")), "1");
	ck_assert_int_eq(last_job_moved(1, "completed"), BYTES / 2);
	info = ask("{\"execute\":\"query-maps\",\"arguments\":{\"gpa\":4096}}");
	run = json_array_get(json_object_get(info, "maps"), 0);
	ck_assert_int_eq(number(run, "gpa"), 4096);
	ck_assert_int_eq(number(run, "bytes"), BYTES - 4096);
	ck_assert_str_eq(json_string_value(json_object_get(run, "policy")), "interleave");
	ck_assert_uint_eq(json_array_size(json_object_get(run, "nodes")), 2);
	ck_assert_int_eq(number(json_object_get(run, "pages"), "1"), BYTES / GMIG_PAGE_BYTES / 2);
	/* Nothing is behind it. */
	info = ask("{\"execute\":\"query-maps\",\"arguments\":{\"gpa\":8388608}}");
	ck_assert_uint_eq(json_array_size(json_object_get(info, "maps")), 0);
	ck_assert_ptr_null(json_object_get(info, "next"));
}
END_TEST

#define RETRY(id, rest) "{\"execute\":\"job-retry\",\"arguments\":{\"id\":\"" id "\"" rest "}}"

START_TEST(cancelled_jobs_are_taken_up)
{
	if (gmig_why_off(engines[0]))
		return;
	expect_error(RETRY("1", ""), "ESRCH", "there is no job 1");
	ask("{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[0],\"to\":[1],\"rate\":1}}");
	expect_error(RETRY("1", ""), "EBUSY", "has not ended");
	ask("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"1\"}}");
	ck_assert_int_eq(last_job_moved(1, "cancelled"), 0);
	expect_error(RETRY("1", ",\"rate\":-1"), "EINVAL", "rate: -1 is not within");
	ck_assert_int_eq(number(ask(RETRY("1", ",\"rate\":0,\"threads\":2")), "rate"), 0);
	ck_assert_int_eq(last_job_moved(2, "completed"), BYTES);
	expect_error(RETRY("2", ""), "ENODATA", "nothing remains of job 2");
	/* By a policy; the rate is the old one's. */
	ask(BIND("\"policy\":\"interleave\",\"nodes\":[0,1],\"move\":true,\"rate\":1"));
	ask("{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"3\"}}");
	ck_assert_int_eq(last_job_moved(3, "cancelled"), 0);
	ck_assert_int_eq(number(ask(RETRY("3", "")), "rate"), 1);
	ask("{\"execute\":\"job-set-rate\",\"arguments\":{\"id\":\"4\",\"rate\":0}}");
	ck_assert_int_eq(last_job_moved(4, "completed"), BYTES / 2);
}
END_TEST

/* ---- move-all: the right is the peer's ------------------------------------------------------------- */

static const char *const moves_all[] = {
    "{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[0],\"to\":[1],\"move-all\":true}}",
    "{\"execute\":\"move-pages\",\"arguments\":{\"pages\":[0,4096,1],\"move-all\":true}}",
    BIND("\"policy\":\"bind\",\"nodes\":[1],\"move-all\":true"),
};

static bool drop_nice(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &header, data))
		return false;
	data[0].effective &= ~(1u << CAP_SYS_NICE);
	data[0].permitted &= ~(1u << CAP_SYS_NICE);
	data[0].inheritable &= ~(1u << CAP_SYS_NICE);
	return !syscall(SYS_capset, &header, data);
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

static void ask_as(bool (*become)(void), bool no_right)
{
	int fd = -1, status;
	pid_t child = connect_peer(become, &fd);

	if (!child)
		return;
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

	if (geteuid() || !control_peer_is_privileged())
		return;
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
	if (gmig_why_off(engines[0]))
		return;
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
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, query_is_answered_for_the_guest_that_is_meant);
	tcase_add_test(tcase, query_about_another_guest_is_refused);
	tcase_add_test(tcase, residency_has_the_engines_members_and_the_servers);
	tcase_add_test(tcase, residency_is_sampled_and_compared_as_a_whole_when_asked_fresh);
	tcase_add_test(tcase, host_nodes_have_memory_and_distances);
	tcase_add_loop_test(tcase, argument_that_makes_no_sense_is_refused_by_name, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, nodes_as_numactl_has_them_are_those_of_the_guests_host);
	tcase_add_test(tcase, job_lives_in_its_guest_alone);
	tcase_add_test(tcase, pages_move_and_say_where_they_are);
	tcase_add_loop_test(tcase, list_of_pages_that_makes_no_sense_is_refused, 0,
			    sizeof(bad_lists) / sizeof(bad_lists[0]));
	tcase_add_test(tcase, list_that_came_in_parts_belongs_to_its_guest);
	tcase_add_loop_test(tcase, policy_that_makes_no_sense_is_refused_by_name, 0,
			    sizeof(refused_bindings) / sizeof(refused_bindings[0]));
	tcase_add_test(tcase, binding_moves_a_range_and_maps_show_it);
	tcase_add_test(tcase, cancelled_jobs_are_taken_up);
	tcase_add_test(tcase, move_all_is_refused_to_a_peer_without_cap_sys_nice);
	tcase_add_test(tcase, check_says_ok_and_what_it_compared);
	tcase_add_test(tcase, event_tells_a_new_state_from_progress);
	tcase_add_test(tcase, user_who_has_become_root_since_is_not_privileged);
	tcase_add_test(tcase, jobs_are_cancelled_and_waited_for);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
