/* gmig top has the scores of gmig plan, against a scripted VMM on four nodes that are pretended. */
#include "../../control/closed_nodes.h"
#include "failing_open.h"
#include "fake_vmm.h"

#define MIB (1ll << 20)

/* vm1 has 64 MiB on node 0 and 32 on node 1; its vCPU, which nobody can see run, is held on node 1. */
static void setup(void)
{
	static char system_directory[96];

	fake_setup();
	/* Not this host's. */
	snprintf(system_directory, sizeof(system_directory), "%s/system", fake.directory);
	closed_nodes_system = system_directory;
	fake.more = json_pack("{s:i, s:{s:[{s:i,s:i,s:i,s:s}]}, s:[{s:i, s:I, s:{s:I, s:I}}]}",
			      "fake_nodes", 4, "cpus", "vcpus", "vcpu", 0, "tid", 0, "vnode", 0,
			      "nodes", "1", "vnodes", "id", 0, "bytes", 96 * MIB, "resident", "0",
			      64 * MIB, "1", 32 * MIB);
	ck_assert_ptr_nonnull(fake.more);
}

static double score_in_top(const char *key)
{
	json_t *all, *score;
	double points;

	ck_assert_int_eq(gmig("top", "--once", "--json", NULL), CLI_OK);
	all = out_json();
	score = json_object_get(json_array_get(json_object_get(all, "guests"), 0), "score");
	ck_assert_ptr_nonnull(score);
	points = json_is_null(json_object_get(score, key))
		     ? -1
		     : json_real_value(json_object_get(score, key));
	json_decref(all);
	return points;
}

START_TEST(top_has_the_scores_of_a_plan)
{
	json_t *plan, *score;

	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	plan = out_json();
	score = json_object_get(json_array_get(json_object_get(plan, "guests"), 0), "score");
	ck_assert_double_eq_tol(json_real_value(json_object_get(score, "now")), 33.33, 0.01);
	ck_assert_double_eq_tol(score_in_top("now"), json_real_value(json_object_get(score, "now")),
				0.001);
	ck_assert_double_eq_tol(score_in_top("possible"),
				json_real_value(json_object_get(score, "possible")), 0.001);
	json_decref(plan);
	ck_assert_int_eq(gmig("top", "--once", NULL), CLI_OK);
	ck_has(out_text, " LOC%   SCORE ");
	ck_has(out_text, " 33>100 ");
	ck_assert_ptr_null(strstr(fake.log, "migrate-pages"));
}
END_TEST

static bool invisible; /* the process of a guest, as with hidepid=2 */

/* The name is the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
int __real_kill(pid_t pid, int signal_number);
int __wrap_kill(pid_t pid, int signal_number);

int __wrap_access(const char *path, int mode)
{
	if (!invisible || strncmp(path, "/proc/", 6) != 0)
		return __real_access(path, mode);
	errno = ENOENT;
	return -1;
}

int __wrap_kill(pid_t pid, int signal_number)
{
	if (!invisible || signal_number)
		return __real_kill(pid, signal_number);
	errno = EPERM; /* it is another user's */
	return -1;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static json_t *vcpu_with_a_thread(void)
{
	json_t *vcpu =
	    json_array_get(json_object_get(json_object_get(fake.more, "cpus"), "vcpus"), 0);

	json_object_set_new(vcpu, "tid", json_integer(gettid()));
	return vcpu;
}

/* It is not idle, nor gone: its CPU time cannot be read now. */
START_TEST(vcpu_that_cannot_be_looked_at_is_not_taken_for_idle)
{
	vcpu_with_a_thread();
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	ck_assert_double_ge(score_in_top("now"), 0);
	unreadable = "/stat";
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_FAILED);
	ck_has(err_text,
	       "vCPU 0 of guest vm1: its thread cannot be looked at: Too many open files");
	ck_assert_int_eq(gmig("drain", "--node", "0", "--yes", NULL), CLI_FAILED);
	ck_assert_double_eq(score_in_top("now"), -1);
	unreadable_error = ENOENT; /* it has ended */
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	unreadable = NULL;
	ck_assert_double_ge(score_in_top("now"), 0);
}
END_TEST

static int domain_status(void *opaque, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	(void)opaque, (void)arguments, (void)err;
	*result = json_pack("{s:s, s:i}", "name", "web1", "pid", 1);
	return 0;
}

static int one_domain(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	(void)opaque, (void)arguments, (void)err;
	*result = json_pack("{s:[{s:s, s:i, s:s, s:s}]}", "guests", "name", "web1", "pid", 1,
			    "state", "running", "uri", "qemu:///system/web1");
	return 0;
}

/* 16 MiB on node 2, and a vCPU that has no thread. */
static int domain_residency(void *opaque, const json_t *arguments, json_t **result,
			    struct gmig_error *err)
{
	(void)opaque, (void)arguments, (void)err;
	*result = json_pack("{s:i, s:i, s:{s:[{s:i,s:i,s:s}]}, s:[{s:i, s:{s:I}}]}", "pid", 1,
			    "fake_nodes", 4, "cpus", "vcpus", "vcpu", 0, "tid", 0, "nodes", "2",
			    "vnodes", "id", 0, "resident", "2", 16 * MIB);
	return 0;
}

#define NEXT_STEP                                                                                  \
	"the threads of its vCPUs are hidden from this user (/proc has hidepid=): run gmig as "    \
	"root, or as a member of the group that hidepid's gid= names"

/* Of hidepid=1 and 2, by the process and by the open that fails. That lasts: the other guests' plans do not wait for it. */
static void hide(int hidepid)
{
	unreadable = "/stat";
	unreadable_error = hidepid == 1 ? EPERM : ENOENT;
	invisible = hidepid == 2;
}

START_TEST(guest_whose_vcpus_are_hidden_alone_is_not_in_the_plan)
{
	static const struct control_argument look[] = {{.name = "guest", .type = CONTROL_STRING},
						       {.name = "fresh", .type = CONTROL_BOOL},
						       {0}};
	static const struct control_command commands[] = {
	    {"query-guests", NULL, one_domain},
	    {"query-status", look, domain_status},
	    {"query-residency", look, domain_residency},
	    {0},
	};
	struct control_server_options options = {.name = "gmigd", .commands = commands};
	struct control_server *gmigd;
	struct gmig_error err;
	char path[128];

	vcpu_with_a_thread();
	for (int hidepid = 1; hidepid <= 2; hidepid++) {
		hide(hidepid);
		ck_assert_int_eq(gmig("plan", NULL), CLI_FAILED);
		ck_has(err_text, "there is no guest of which a plan can be made: " NEXT_STEP);
		ck_assert_double_eq(score_in_top("now"), -1);
	}
	snprintf(path, sizeof(path), "%s/gmigd.sock", fake.directory);
	setenv("GMIGD_SOCKET", path, 1);
	options.path = path;
	ck_assert_msg(!control_server_create(&options, &gmigd, &err), "%s", err.text);
	for (int hidepid = 1; hidepid <= 2; hidepid++) {
		hide(hidepid);
		ck_assert_int_eq(gmig("plan", NULL), CLI_REMAINING);
		ck_has(out_text, "vm1 is not in the plan: " NEXT_STEP);
		ck_has(out_text, "\nweb1 ");
		ck_assert_int_eq(gmig("rebalance", "--yes", NULL), CLI_REMAINING);
		ck_assert_ptr_null(strstr(fake.log, "migrate-pages"));
	}
	control_server_destroy(gmigd);
}
END_TEST

/* Where they may run is enough to empty a node. */
START_TEST(drain_does_without_what_hidden_vcpus_do)
{
	json_t *vcpu = vcpu_with_a_thread();

	for (int hidepid = 1; hidepid <= 2; hidepid++) {
		hide(hidepid);
		json_object_set_new(vcpu, "nodes", json_string("1"));
		json_decref(fake.job);
		json_decref(fake.last);
		fake.job = fake_job("running", 0, 0);
		fake.last = fake_job("completed", 64 * MIB, 0);
		fake.tell = true;
		fake.log[0] = '\0';
		ck_assert_int_eq(gmig("drain", "--node", "0", "--yes", NULL), CLI_OK);
		ck_has(fake.log, "migrate-pages");
		ck_assert_ptr_null(strstr(out_text, "not in the plan"));
		/* One that may be on that node is not left there without a word. */
		json_object_del(vcpu, "nodes");
		ck_assert_int_eq(gmig("drain", "--node", "0", "--yes", NULL), CLI_REMAINING);
		ck_has(out_text, "vm1 is not in the plan: " NEXT_STEP);
	}
}
END_TEST

/* More memory than the node has: no plan is made with such a guest. */
START_TEST(top_has_no_score_where_there_is_no_plan)
{
	json_t *vnode = json_array_get(json_object_get(fake.more, "vnodes"), 0);

	json_object_set_new(vnode, "resident", json_pack("{s:I}", "0", (json_int_t)1 << 60));
	ck_assert_double_eq(score_in_top("now"), -1);
	json_object_set_new(vnode, "resident", json_object());
	ck_assert_double_eq(score_in_top("now"), -1);
	ck_assert_int_eq(gmig("top", "--once", NULL), CLI_OK);
	ck_assert_ptr_null(strchr(out_text, '>'));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("top_score");
	TCase *tcase = tcase_create("score");

	tcase_add_checked_fixture(tcase, setup, fake_teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, top_has_the_scores_of_a_plan);
	tcase_add_test(tcase, vcpu_that_cannot_be_looked_at_is_not_taken_for_idle);
	tcase_add_test(tcase, guest_whose_vcpus_are_hidden_alone_is_not_in_the_plan);
	tcase_add_test(tcase, drain_does_without_what_hidden_vcpus_do);
	tcase_add_test(tcase, top_has_no_score_where_there_is_no_plan);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
