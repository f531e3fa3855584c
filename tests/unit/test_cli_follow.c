/* gmig follow against a scripted VMM, which ends after some looks. */
#include "fake_vmm.h"

#include <pthread.h>
#include <time.h>

#define LOOKS 20

/* Commands that came before the VMM ends. */
static unsigned int looks;
static const char *vnodes; /* as of query-residency; NULL: those of fake_guest() */
static const char *numa;   /* as of fake.numa; NULL: the VMM does not tell what its cpuset allows */

static void *end_vmm(void *opaque)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	while (atomic_load(&fake.logged) < looks)
		nanosleep(&pause, NULL);
	control_server_destroy(fake.server);
	return opaque;
}

/* vcpus: as of query-cpus; jobs: as of query-jobs. Memory of vnode 0: 512M on node 0, 256M on node 1. */
static int follow(const char *vcpus, const char *jobs, const char *option, const char *value)
{
	pthread_t thread;
	int status;

	cli_limits.follow_ms = 10;
	looks = LOOKS;
	fake.last = fake_job("completed", 1 << 29, 0);
	fake.more = json_pack("{s:{s:o}, s:o}", "cpus", "vcpus", json_loads(vcpus, 0, NULL), "jobs",
			      json_loads(jobs, 0, NULL));
	ck_assert_ptr_nonnull(fake.more);
	if (vnodes)
		json_object_set_new(fake.more, "vnodes", json_loads(vnodes, 0, NULL));
	if (numa)
		ck_assert_ptr_nonnull(fake.numa = json_loads(numa, 0, NULL));
	ck_assert_int_eq(pthread_create(&thread, NULL, end_vmm, NULL), 0);
	status = gmig("follow", "vm1", option, value, NULL);
	atomic_store(&fake.logged, LOOKS);
	pthread_join(thread, NULL);
	fake.server = NULL;
	return status;
}

/* How often a command came before another one; NULL: at all. */
static unsigned int count(const char *command, const char *before)
{
	const char *end = before ? strstr(fake.log, before) : fake.log + strlen(fake.log);
	unsigned int found = 0;

	for (const char *at = fake.log; end && (at = strstr(at, command)) && at < end; at++)
		found++;
	return found;
}

START_TEST(memory_away_from_its_vcpus_moves_once_when_these_have_settled)
{
	json_t *want = json_loads("{\"from\":[0],\"to\":[1],\"vnode\":0,\"vcpus\":\"keep\","
				  "\"rate\":104857600}",
				  0, NULL);

	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"1\"},{\"vnode\":1,\"nodes\":\"0\"}]",
				"[]", "--rate", "100M"),
			 CLI_OK);
	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	/* One to see them, three more. */
	ck_assert_uint_eq(count("residency ", "migrate-pages"), 4);
	ck_assert_uint_eq(count("migrate-pages ", NULL), 1);
	ck_has(out_text, "vnode 0: its vCPUs run on node 1, 512M of its memory does not lie there");
	ck_has(out_text, "job 1 completed");
	ck_has(err_text, "vm1: ");
	json_decref(want);
}
END_TEST

START_TEST(settling_takes_as_long_as_asked_for)
{
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"1\"}]", "[]", "--settle", "9"), CLI_OK);
	ck_assert_uint_eq(count("residency ", "migrate-pages"), 10);
}
END_TEST

/* A move may take minutes: where the vCPUs of the next vnode ran before it is old. */
START_TEST(each_vnode_is_looked_at_again_before_its_memory_moves)
{
	vnodes = "[{\"id\":0,\"resident\":{\"0\":4096}},{\"id\":1,\"resident\":{\"0\":4096}}]";
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"1\"},{\"vnode\":1,\"nodes\":\"1\"}]",
				"[]", NULL, NULL),
			 CLI_OK);
	ck_assert_uint_eq(count("migrate-pages ", NULL), 2);
	ck_assert_ptr_null(strstr(fake.log, "migrate-pages migrate-pages "));
	vnodes = NULL;
}
END_TEST

static const struct {
	const char *vcpus, *jobs;
} quiet[] = {
    /* They may run on both nodes, one of them or one each. */
    {"[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[]"},
    {"[{\"vnode\":0,\"nodes\":\"0\"},{\"vnode\":0,\"nodes\":\"1\"}]", "[]"},
    /* It is not known of one of them, or it has none. */
    {"[{\"vnode\":0,\"nodes\":\"1\"},{\"vnode\":0,\"nodes\":\"1,3...\"}]", "[]"},
    {"[{\"vnode\":0,\"nodes\":\"1\"},{\"vnode\":0,\"nodes\":\"\"}]", "[]"},
    {"[{\"vnode\":1,\"nodes\":\"1\"}]", "[]"},
    /* Somebody moves it. */
    {"[{\"vnode\":0,\"nodes\":\"1\"}]", "[{\"id\":\"7\",\"state\":\"running\"}]"},
};

START_TEST(memory_stays_where_there_is_no_reason_to_move_it)
{
	ck_assert_int_eq(follow(quiet[_i].vcpus, quiet[_i].jobs, NULL, NULL), CLI_OK);
	ck_assert_uint_eq(count("migrate-pages", NULL), 0);
	ck_assert_uint_ge(count("residency ", NULL), LOOKS);
	ck_assert_str_eq(out_text, "");
}
END_TEST

START_TEST(move_that_is_refused_is_said_and_not_repeated_at_once)
{
	fake.refuse = ENODEV;
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"1\"}]", "[]", NULL, NULL), CLI_OK);
	ck_assert_uint_eq(count("migrate-pages ", NULL), 1);
	ck_has(err_text, "vnode 0 stays: host node 9 is not there; tried again in 60 s");
}
END_TEST

START_TEST(interrupt_in_a_move_cancels_it_and_ends)
{
	fake.interrupt_on_start = true;
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"1\"}]", "[]", NULL, NULL),
			 CLI_INTERRUPTED);
	ck_assert_uint_eq(count("job-cancel ", NULL), 1);
}
END_TEST

/* ---- The VMM's cpuset ------------------------------------------------------------------------ */

#define ALLOWED(list) "{\"allowed\":" list "}"

/* vCPUs may run on both nodes; somebody takes node 0 out of cpuset.mems. */
START_TEST(memory_leaves_a_node_that_the_cpuset_no_longer_allows)
{
	json_t *want =
	    json_loads("{\"from\":[0],\"to\":[1],\"vnode\":0,\"vcpus\":\"keep\"}", 0, NULL);

	numa = "[" ALLOWED("[0,1]") "," ALLOWED("[0,1]") "," ALLOWED("[1]") "]";
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[]", NULL, NULL), CLI_OK);
	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	ck_assert_uint_eq(count("migrate-pages ", NULL), 1);
	ck_has(out_text, "its cpuset allows memory on nodes 1 now, before on 0-1");
	ck_has(out_text,
	       "vnode 0: its cpuset allows memory on nodes 1, 512M lies on nodes 0: it goes "
	       "to node 1, where its vCPUs may run");
	json_decref(want);
}
END_TEST

/* The kernel may have moved it already, and the guest's books say what was: nothing is done by them. */
START_TEST(kernel_is_asked_once_after_the_cpuset_has_changed)
{
	numa = "[" ALLOWED("[0,1]") "," ALLOWED("[1]") "]";
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[]", NULL, NULL), CLI_OK);
	ck_assert_uint_eq(count("fresh ", NULL), 1);
	/* At one look it was seen, and two more: it has not settled. */
	ck_assert_uint_eq(count("residency ", "fresh "), 4);
	ck_assert_uint_eq(count("fresh ", "migrate-pages"), 1);
}
END_TEST

START_TEST(cpuset_that_is_as_it_was_costs_no_question_to_the_kernel)
{
	numa = "[" ALLOWED("[0,1]") "]";
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"1\"}]", "[]", NULL, NULL), CLI_OK);
	ck_assert_uint_eq(count("fresh ", NULL), 0);
	ck_assert_uint_eq(count("migrate-pages ", NULL), 1);
	ck_assert_ptr_null(strstr(out_text, "cpuset"));
}
END_TEST

/* Widened for a while, as somebody does who moves memory: each look may show something else. */
START_TEST(cpuset_that_does_not_settle_moves_nothing)
{
	char list[2048] = "[" ALLOWED("[1]");

	for (unsigned int i = 0; i < 2 * LOOKS; i++)
		strcat(list, i % 2 ? "," ALLOWED("[1]") : "," ALLOWED("[0,1]"));
	strcat(list, "]");
	numa = list;
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"1\"}]", "[]", NULL, NULL), CLI_OK);
	ck_assert_uint_eq(count("migrate-pages ", NULL), 0);
	ck_assert_uint_eq(count("fresh ", NULL), 0);
}
END_TEST

/* vCPUs on node 3, to which node 2 is nearer than node 1. */
#define HOST                                                                                       \
	"\"host_nodes\":[{\"id\":0,\"distance\":[10,20,20,30]},{\"id\":1,\"distance\":[20,10,20,"  \
	"30]},"                                                                                    \
	"{\"id\":2,\"distance\":[20,20,10,15]},{\"id\":3,\"distance\":[30,30,15,10]}]"

static const struct {
	const char *vcpus, *numa;
	int from, to; /* -1: nothing moves */
} cpusets[] = {
    /* Where vCPUs may run and memory may lie. */
    {"[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[" ALLOWED("[1,2]") "]", 0, 1},
    {"[{\"vnode\":0,\"nodes\":\"1\"}]", "[" ALLOWED("[0,1]") "]", 0, 1},
    /* Nowhere both: what must leave goes near, the rest stays. */
    {"[{\"vnode\":0,\"nodes\":\"3\"}]", "[{\"allowed\":[1,2]," HOST "}]", 0, 2},
    {"[{\"vnode\":0,\"nodes\":\"3\"}]", "[{\"allowed\":[0,1]," HOST "}]", -1, -1},
    {"[{\"vnode\":0,\"nodes\":\"3\"}]", "[" ALLOWED("[1]") "]", 0, 1},
    /* Of the vCPUs nothing is known. */
    {"[{\"vnode\":0,\"nodes\":\"\"}]", "[" ALLOWED("[1]") "]", 0, 1},
    {"[{\"vnode\":0,\"nodes\":\"\"}]", "[" ALLOWED("[0,1]") "]", -1, -1},
    /* It is not known what the cpuset allows, or what is said is no set of nodes. */
    {"[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[{}]", -1, -1},
    {"[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[" ALLOWED("[]") "]", -1, -1},
    {"[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[" ALLOWED("[1,-1]") "]", -1, -1},
    {"[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[" ALLOWED("[1,1024]") "]", -1, -1},
    {"[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[" ALLOWED("[1,\"2\"]") "]", -1, -1},
    {"[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[" ALLOWED("\"1\"") "]", -1, -1},
};

START_TEST(memory_goes_to_an_allowed_node_at_its_vcpus_or_near_them)
{
	json_t *arguments;

	numa = cpusets[_i].numa;
	ck_assert_int_eq(follow(cpusets[_i].vcpus, "[]", NULL, NULL), CLI_OK);
	ck_assert_uint_eq(count("migrate-pages ", NULL), cpusets[_i].from >= 0);
	if (cpusets[_i].from < 0)
		return;
	arguments = json_pack("{s:[i], s:[i], s:i, s:s}", "from", cpusets[_i].from, "to",
			      cpusets[_i].to, "vnode", 0, "vcpus", "keep");
	ck_assert_int_eq(json_equal(arguments, fake.arguments), 1);
	json_decref(arguments);
}
END_TEST

START_TEST(vcpus_where_no_memory_may_lie_are_told_of_once)
{
	numa = "[" ALLOWED("[0,1]") "]";
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"3\"}]", "[]", NULL, NULL), CLI_OK);
	ck_has(err_text,
	       "vnode 0: its vCPUs run on nodes 3, and its cpuset allows memory on nodes 0-1: "
	       "what lies there stays");
	ck_assert_ptr_null(strstr(strstr(err_text, "stays") + 1, "stays"));
}
END_TEST

START_TEST(result_says_whether_vcpus_or_the_cpuset_were_the_reason)
{
	numa = "[" ALLOWED("[1]") "]";
	ck_assert_int_eq(follow("[{\"vnode\":0,\"nodes\":\"0-1\"}]", "[]", "--json", NULL), CLI_OK);
	ck_has(out_text, "\"reason\":\"cpuset\"");
	ck_assert_ptr_null(strstr(out_text, "its cpuset"));
}
END_TEST

/* ---- Others ---------------------------------------------------------------------------------- */

START_TEST(domain_is_sent_to_gmigd)
{
	cli_limits.follow_ms = 10;
	fake.more = json_pack("{s:s, s:{s:[{s:s, s:i}]}}", "uri", "qemu:///system/vm1", "cpus",
			      "vcpus", "kind", "vcpu", "vcpu", 0);
	ck_assert_int_eq(gmig("follow", "vm1", NULL), CLI_FAILED);
	ck_has(err_text,
	       "'vm1' is a domain of libvirt: gmigd keeps its memory with its vCPUs when its "
	       "placement is follow-vcpus, see gmigd.conf(5)");
}
END_TEST

START_TEST(guest_without_vnodes_of_vcpus_is_refused)
{
	ck_assert_int_eq(follow("[{\"vcpu\":0,\"cpus\":\"0-3\"}]", "[]", NULL, NULL), CLI_FAILED);
	ck_has(err_text, "it does not say where the vCPUs of each vnode run");
	ck_assert_int_eq(gmig("follow", "vm1", "--settle", "3601", NULL), CLI_USAGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli follow");
	TCase *tcase = fake_case(suite, "follow");

	tcase_add_test(tcase, memory_away_from_its_vcpus_moves_once_when_these_have_settled);
	tcase_add_test(tcase, each_vnode_is_looked_at_again_before_its_memory_moves);
	tcase_add_test(tcase, settling_takes_as_long_as_asked_for);
	tcase_add_loop_test(tcase, memory_stays_where_there_is_no_reason_to_move_it, 0,
			    (int)(sizeof(quiet) / sizeof(quiet[0])));
	tcase_add_test(tcase, move_that_is_refused_is_said_and_not_repeated_at_once);
	tcase_add_test(tcase, interrupt_in_a_move_cancels_it_and_ends);
	tcase_add_test(tcase, memory_leaves_a_node_that_the_cpuset_no_longer_allows);
	tcase_add_test(tcase, kernel_is_asked_once_after_the_cpuset_has_changed);
	tcase_add_test(tcase, cpuset_that_is_as_it_was_costs_no_question_to_the_kernel);
	tcase_add_test(tcase, cpuset_that_does_not_settle_moves_nothing);
	tcase_add_loop_test(tcase, memory_goes_to_an_allowed_node_at_its_vcpus_or_near_them, 0,
			    (int)(sizeof(cpusets) / sizeof(cpusets[0])));
	tcase_add_test(tcase, vcpus_where_no_memory_may_lie_are_told_of_once);
	tcase_add_test(tcase, result_says_whether_vcpus_or_the_cpuset_were_the_reason);
	tcase_add_test(tcase, domain_is_sent_to_gmigd);
	tcase_add_test(tcase, guest_without_vnodes_of_vcpus_is_refused);
	return run_suite(suite);
}
