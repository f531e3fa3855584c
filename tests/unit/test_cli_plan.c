/* gmig plan, rebalance and drain against a scripted VMM on four nodes that are pretended: what they see, ask for and say. */
#include "../../cli/fleet_lock.h"
#include "../../control/closed_nodes.h"
#include "fake_vmm.h"

#define MIB (1ll << 20)

/* vm1 has 64 MiB on node 0 and 32 on node 1; its two vCPUs, which nobody can see run, are held on these nodes. */
static void guest_on(const char *nodes)
{
	json_decref(fake.more);
	fake.more = json_pack(
	    "{s:i, s:{s:[{s:i,s:i,s:i,s:s}, {s:i,s:i,s:i,s:s}]}, s:[{s:i, s:I, s:{s:I, s:I}}]}",
	    "fake_nodes", 4, "cpus", "vcpus", "vcpu", 0, "tid", 0, "vnode", 0, "nodes", nodes,
	    "vcpu", 1, "tid", 0, "vnode", 0, "nodes", nodes, "vnodes", "id", 0, "bytes", 96 * MIB,
	    "resident", "0", 64 * MIB, "1", 32 * MIB);
	ck_assert_ptr_nonnull(fake.more);
}

static void job_ends_as(const char *state, json_int_t remaining)
{
	json_decref(fake.job);
	json_decref(fake.last);
	fake.job = fake_job("running", 0, 0);
	fake.last = fake_job(state, 64 * MIB, remaining);
	fake.tell = true;
}

static void setup(void)
{
	static char system_directory[96];

	fake_setup();
	/* Not this host's. */
	snprintf(system_directory, sizeof(system_directory), "%s/system", fake.directory);
	closed_nodes_system = system_directory;
	guest_on("1");
	job_ends_as("completed", 0);
}

static json_t *expect_arguments(const char *text)
{
	json_t *want = json_loads(text, 0, NULL);

	ck_assert_msg(json_equal(want, fake.arguments), "not %s", text);
	return want;
}

START_TEST(plan_tells_scores_moves_and_reasons)
{
	ck_assert_int_eq(gmig("plan", NULL), CLI_OK);
	ck_has(out_text,
	       "SCORE 33 -> 100 (possible: 100)\n4 fake nodes: the placement is pretended\n");
	ck_has(out_text, "guest  score  after  possible");
	ck_has(out_text, "vm1       33    100       100");
	ck_has(out_text,
	       "move  guest  vnode  what  from  to  why\n   1  vm1    0       64M     0   1  ");
	ck_has(out_text, "\n64M to move\n");
	ck_assert_ptr_null(strstr(fake.log, "migrate-pages"));
}
END_TEST

START_TEST(plan_as_json_has_all_of_it)
{
	json_t *plan, *move;

	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	plan = out_json();
	ck_assert_uint_eq(json_array_size(json_object_get(plan, "moves")), 1);
	move = json_array_get(json_object_get(plan, "moves"), 0);
	ck_assert_str_eq(cli_text(move, "kind"), "memory");
	ck_assert_str_eq(cli_text(move, "guest"), "vm1");
	ck_assert_uint_eq(cli_number(move, "bytes"), 64 * MIB);
	ck_assert_uint_eq(cli_number(move, "to"), 1);
	ck_assert_uint_eq(cli_number(plan, "moved_bytes"), 64 * MIB);
	json_decref(plan);
}
END_TEST

/* Memory that followed a vCPU which may run anywhere would come too late. */
START_TEST(plan_does_not_run_after_vcpus_that_wander)
{
	guest_on("0-3");
	ck_assert_int_eq(gmig("plan", NULL), CLI_OK);
	ck_has(out_text, "SCORE 25 -> 25 (possible: 25)");
	ck_has(out_text, "nothing is to be moved\n");
}
END_TEST

START_TEST(plan_names_guests_that_do_not_answer)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/gmig/dead.sock", fake.directory);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	ck_assert_int_eq(gmig("plan", NULL), CLI_OK);
	ck_has(out_text, "dead is not in the plan: stale\n");
	fake.refuse_numa = ENOMEM; /* and query-residency answers still */
	ck_assert_int_eq(gmig("plan", NULL), CLI_OK);
	ck_has(out_text, "dead is not in the plan: stale\n");
	unlink(path);
}
END_TEST

START_TEST(plan_says_why_a_guest_has_no_part_in_it)
{
	char path[128];
	int fd;

	fake.refuse_residency = ENOMEM;
	ck_assert_int_eq(gmig("plan", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: no guest here answers: vm1: 0 KiB of memory are left\n");
	snprintf(path, sizeof(path), "%s/gmig/dead.sock", fake.directory);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	ck_assert_int_eq(gmig("plan", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text,
			 "gmig: no guest here answers: dead: stale; 1 more do not, either\n");
	unlink(path);
}
END_TEST

START_TEST(plan_for_a_guest_that_is_not_there_fails)
{
	ck_assert_int_eq(gmig("plan", "--guest", "vm1,vm2", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text,
			 "gmig: there is no guest 'vm2' that answers; gmig list tells why\n");
	ck_assert_int_eq(gmig("plan", "--protect", "vm3", NULL), CLI_FAILED);
	ck_has(err_text, "'vm3'");
	unlink(fake.socket);
	ck_assert_int_eq(gmig("plan", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: no guests run here\n");
}
END_TEST

START_TEST(plan_with_bad_options_is_usage_and_asks_nobody)
{
	ck_assert_int_eq(gmig("plan", "--min-gain", "101", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("plan", "--guest", "a,,b", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("plan", "--goal", "fast", NULL), CLI_USAGE);
	ck_has(err_text, "--goal: 'fast' is none of follow-vcpus, pack, spread");
	ck_assert_int_eq(gmig("rebalance", "--rate", "fast", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("drain", NULL), CLI_USAGE);
	ck_has(err_text, "--node is missing");
	ck_assert_int_eq(gmig("drain", "--node", "x", NULL), CLI_USAGE);
	ck_assert_str_eq(fake.log, "");
}
END_TEST

START_TEST(rebalance_carries_the_plan_out)
{
	ck_assert_int_eq(gmig("rebalance", "--yes", "--rate", "500M", NULL), CLI_OK);
	/* All that the vnode has there: without a limit, since such a job takes new memory along. */
	json_decref(expect_arguments("{\"from\":[0],\"to\":[1],\"vnode\":0,"
				     "\"vcpus\":\"keep\",\"rate\":524288000}"));
	ck_has(out_text, "1: vm1: 64M from node 0 to 1\njob 1 completed: 64M moved");
	/* What the guest says, not what was planned. */
	ck_has(out_text, "\nSCORE 33\n");
}
END_TEST

START_TEST(rebalance_as_json_is_one_line)
{
	json_t *result, *one;

	job_ends_as("completed", 4096);
	ck_assert_int_eq(gmig("rebalance", "--yes", "--json", NULL), CLI_REMAINING);
	ck_assert_ptr_eq(strchr(out_text, '\n'), out_text + strlen(out_text) - 1);
	result = out_json();
	one = json_array_get(json_object_get(result, "results"), 0);
	ck_assert_uint_eq(cli_number(one, "move"), 1);
	ck_assert_str_eq(cli_text(json_object_get(one, "job"), "state"), "completed");
	ck_assert(json_is_real(json_object_get(result, "reached")));
	json_decref(result);
}
END_TEST

START_TEST(rebalance_that_nobody_agreed_to_moves_nothing)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	dup2(null, STDIN_FILENO);
	close(null);
	ck_assert_int_eq(gmig("rebalance", NULL), CLI_USAGE);
	ck_has(err_text, "--yes goes on, --dry-run only shows");
	ck_has(out_text, "64M to move");
	ck_assert_int_eq(gmig("rebalance", "--dry-run", NULL), CLI_OK);
	ck_has(out_text, "64M to move");
	ck_assert_ptr_null(strstr(fake.log, "migrate-pages"));
}
END_TEST

START_TEST(rebalance_ends_at_the_first_move_that_fails)
{
	json_t *result;

	fake.refuse = EBUSY;
	ck_assert_int_eq(gmig("rebalance", "--yes", "--json", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: move 1: host node 9 is not there; 0 of 1 moves are done\n");
	result = out_json();
	ck_has(cli_text(json_array_get(json_object_get(result, "results"), 0), "error"),
	       "host node 9");
	json_decref(result);
	fake.refuse = 0;
	job_ends_as("cancelled", 4096);
	ck_assert_int_eq(gmig("rebalance", "--yes", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: move 1: job 1: cancelled; 0 of 1 moves are done\n");
}
END_TEST

/* Of one vCPU: where two processors are all there is, a node that is pretended has one. */
START_TEST(rebalance_interrupted_begins_no_other_move)
{
	/* Two moves, to different nodes; the first one has ended before it can be cancelled. */
	guest_on("2");
	job_ends_as("completed", 0);
	fake.interrupt_on_start = true;
	ck_assert_int_eq(gmig("rebalance", "--yes", NULL), CLI_INTERRUPTED);
	ck_has(err_text, "Ctrl-C: 1 of 2 moves are done");
	ck_assert_ptr_null(strstr(strstr(fake.log, "migrate-pages") + 1, "migrate-pages"));
}
END_TEST

START_TEST(rebalance_with_goal_pack_puts_vcpus_on_one_node)
{
	guest_on("0-3");
	json_array_remove(json_object_get(json_object_get(fake.more, "cpus"), "vcpus"), 1);
	fake.cpus = json_object();
	ck_assert_int_eq(gmig("rebalance", "--yes", "--goal", "pack", NULL), CLI_OK);
	ck_has(fake.log, "pin-vcpu ");
	ck_has(out_text, "vm1: 1 vCPU to node 0\n");
}
END_TEST

START_TEST(plan_tells_a_vcpu_by_its_own_number)
{
	json_t *first;

	/* After vCPU 0 was unplugged. */
	guest_on("0-3");
	json_array_remove(json_object_get(json_object_get(fake.more, "cpus"), "vcpus"), 1);
	first = json_array_get(json_object_get(json_object_get(fake.more, "cpus"), "vcpus"), 0);
	json_object_set_new(first, "vcpu", json_integer(3));
	ck_assert_int_eq(gmig("plan", "--json", "--goal", "pack", NULL), CLI_OK);
	ck_has(out_text, "\"vcpus\":[3]");
}
END_TEST

START_TEST(second_rebalance_at_a_time_is_refused)
{
	struct gmig_error err;
	struct fleet_lock lock;

	ck_assert_msg(!fleet_lock(&lock, &err), "%s", err.text);
	ck_assert_int_eq(gmig("rebalance", "--yes", NULL), CLI_FAILED);
	ck_has(err_text, "another gmig rebalance or drain runs here (process ");
	ck_assert_int_eq(gmig("drain", "--node", "0", "--yes", NULL), CLI_FAILED);
	ck_assert_ptr_null(strstr(fake.log, "migrate-pages"));
	/* Looking is free. */
	ck_assert_int_eq(gmig("rebalance", "--dry-run", NULL), CLI_OK);
	ck_assert_int_eq(gmig("plan", NULL), CLI_OK);
	fleet_unlock(&lock);
	ck_assert_int_eq(gmig("rebalance", "--yes", NULL), CLI_OK);
}
END_TEST

/* Each has a lock of his own; both may ask gmigd. */
START_TEST(plans_of_two_users_whom_gmigd_serves_exclude_each_other)
{
	struct fleet_lock lock, other;
	struct gmig_error err;
	char path[160];
	int file;

	snprintf(path, sizeof(path), "%s/gmigd.sock", fake.directory);
	setenv("GMIGD_SOCKET", path, 1);
	snprintf(path, sizeof(path), "%s/gmigd-plans.lock", fake.directory);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
	ck_assert_int_ge(file, 0);
	ck_assert_msg(!fleet_lock(&lock, &err), "%s", err.text);
	/* Another user, and so another file of his own. */
	snprintf(path, sizeof(path), "%s/other", fake.directory);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	closed_nodes_system = path;
	setenv("XDG_RUNTIME_DIR", path, 1);
	ck_assert_int_eq(fleet_lock(&other, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "another gmig rebalance or drain runs"));
	fleet_unlock(&lock);
	ck_assert_msg(!fleet_lock(&other, &err), "%s", err.text);
	fleet_unlock(&other);
	/* One whom it does not serve has guests of his own alone. */
	setenv("GMIGD_SOCKET", "/nonexistent/gmigd.sock", 1);
	ck_assert_msg(!fleet_lock(&other, &err), "%s", err.text);
	fleet_unlock(&other);
	close(file);
}
END_TEST

/* A member of the group may have written there what a terminal obeys. */
START_TEST(text_of_a_lock_that_is_no_process_is_not_shown)
{
	static const char *const texts[] = {"\033]0;root\007\n", "-1\n", "77 \033[2J\n",
					    "1234567890123\n", "77"};
	struct fleet_lock lock, other;
	struct gmig_error err;
	char path[160];
	int file;

	snprintf(path, sizeof(path), "%s/gmigd.sock", fake.directory);
	setenv("GMIGD_SOCKET", path, 1);
	snprintf(path, sizeof(path), "%s/gmigd-plans.lock", fake.directory);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
	ck_assert_msg(!fleet_lock(&lock, &err), "%s", err.text);
	close(lock.own); /* as of another user */
	lock.own = -1;
	ck_assert_int_eq(fleet_lock(&other, &err), -EBUSY);
	ck_assert_msg(strstr(err.text, "runs here (process ") != NULL, "%s", err.text);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(ftruncate(file, 0), 0);
		ck_assert_int_eq(pwrite(file, texts[i], strlen(texts[i]), 0), strlen(texts[i]));
		ck_assert_int_eq(fleet_lock(&other, &err), -EBUSY);
		ck_assert_msg(strstr(err.text, "runs here: two plans") != NULL, "%s", err.text);
	}
	fleet_unlock(&lock);
	close(file);
}
END_TEST

/* ---- Domains --------------------------------------------------------------------------------- */

/* Of its last migrate-pages and pin-vcpus; the fake's thread writes them before it answers. */
static json_t *domain_arguments, *domain_pins;
static const char *domain_nodes; /* where its vCPU may run; NULL: see below */
static const char *domain_cpus = "0-1023";
static bool domain_can_pin;	   /* as a gmigd that knows pin-vcpus says */
static int domain_pid_now = 1;	   /* 1 when it was planned */
static const char *domain_pin_end; /* how the order ends, at the second question */
static int domain_pin_asked;

static int domain_guests(void *opaque, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	(void)opaque, (void)arguments, (void)err;
	*result =
	    json_pack("{s:[{s:s, s:i, s:s, s:s, s:b}]}", "guests", "name", "vm1", "pid", 1, "state",
		      "running", "uri", "qemu:///system/vm1", "pins", (int)domain_can_pin);
	return 0;
}

static int domain_status(void *opaque, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	(void)opaque, (void)err;
	ck_assert_ptr_nonnull(json_object_get(arguments, "guest"));
	*result = json_pack("{s:s, s:i}", "name", "vm1", "pid", domain_pid_now);
	return 0;
}

static json_int_t domain_bytes = 64 * MIB;
static int domain_looks; /* so many questions come before its memory is known; -1: it never is */

static bool looked_fresh;      /* the last time */
static json_int_t domain_more; /* bytes on node 3 */

/* 64 MiB on node 2, and a vCPU that is pinned to all CPUs: it counts where they are. */
static int domain_residency(void *opaque, const json_t *arguments, json_t **result,
			    struct gmig_error *err)
{
	(void)opaque, (void)err;
	looked_fresh = json_is_true(json_object_get(arguments, "fresh"));
	if (domain_looks && domain_looks-- != 0) {
		domain_looks = domain_looks < 0 ? -1 : domain_looks;
		*result = json_pack("{s:i, s:i, s:s}", "pid", 1, "fake_nodes", 4, "unknown",
				    "it is being looked at");
		return 0;
	}
	*result = json_pack("{s:i, s:i, s:{s:[{s:i,s:i,s:s}]}, s:[{s:i, s:{s:I}}], s:{s:I}}", "pid",
			    1, "fake_nodes", 4, "cpus", "vcpus", "vcpu", 0, "tid", 0, "cpus",
			    domain_cpus, "vnodes", "id", 0, "resident", "2", domain_bytes,
			    "page_bytes", "4K", 64 * MIB);
	if (domain_more)
		json_object_set_new(
		    json_object_get(json_array_get(json_object_get(*result, "vnodes"), 0),
				    "resident"),
		    "3", json_integer(domain_more));
	if (domain_nodes)
		json_object_set_new(
		    json_array_get(json_object_get(json_object_get(*result, "cpus"), "vcpus"), 0),
		    "nodes", json_string(domain_nodes));
	return 0;
}

static int domain_pin(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	(void)opaque, (void)err;
	json_decref(domain_pins);
	domain_pins = json_deep_copy(arguments);
	domain_pin_asked = 0;
	*result = json_pack("{s:i, s:s}", "order", 7, "state", "pending");
	return 0;
}

static int domain_query_pins(void *opaque, const json_t *arguments, json_t **result,
			     struct gmig_error *err)
{
	(void)opaque, (void)err;
	ck_assert_uint_eq(cli_number(arguments, "order"), 7);
	*result =
	    json_pack("{s:s, s:i, s:s}", "state", domain_pin_asked++ ? domain_pin_end : "pending",
		      "threads", 1, "why", "libvirt says no");
	return 0;
}

static int domain_migrate(void *opaque, const json_t *arguments, json_t **result,
			  struct gmig_error *err)
{
	(void)opaque, (void)err;
	json_decref(domain_arguments);
	domain_arguments = json_deep_copy(arguments);
	*result = fake_job("completed", 64 * MIB, 0);
	return 0;
}

static json_t *nodes_asked; /* of its last close-nodes */
static int nodes_answer;

/* As gmigd does it: in root's list. */
static int domain_close_nodes(void *opaque, const json_t *arguments, json_t **result,
			      struct gmig_error *err)
{
	(void)opaque, (void)result;
	json_decref(nodes_asked);
	nodes_asked = json_deep_copy(arguments);
	return nodes_answer ? gmig_fail(err, nodes_answer, "the disk is full") : 0;
}

static const struct control_argument domain_closing[] = {
    {.name = "close", .type = CONTROL_ARRAY}, {.name = "open", .type = CONTROL_ARRAY}, {0}};
static const struct control_argument domain_guest[] = {{.name = "guest", .type = CONTROL_STRING},
						       {0}};
static const struct control_argument domain_look[] = {
    {.name = "guest", .type = CONTROL_STRING}, {.name = "fresh", .type = CONTROL_BOOL}, {0}};
static const struct control_argument domain_move[] = {
    {.name = "guest", .type = CONTROL_STRING}, {.name = "from", .type = CONTROL_ARRAY},
    {.name = "to", .type = CONTROL_ARRAY},     {.name = "max-bytes", .type = CONTROL_INTEGER},
    {.name = "vcpus", .type = CONTROL_STRING}, {0}};
static const struct control_argument domain_order[] = {{.name = "guest", .type = CONTROL_STRING},
						       {.name = "vcpus", .type = CONTROL_ARRAY},
						       {.name = "node", .type = CONTROL_INTEGER},
						       {0}};
static const struct control_argument domain_asked[] = {
    {.name = "guest", .type = CONTROL_STRING}, {.name = "order", .type = CONTROL_INTEGER}, {0}};
static const struct control_command domain_commands[] = {
    {"query-guests", NULL, domain_guests},
    {"query-status", domain_guest, domain_status},
    {"query-residency", domain_look, domain_residency},
    {"migrate-pages", domain_move, domain_migrate},
    {"pin-vcpus", domain_order, domain_pin},
    {"query-pins", domain_asked, domain_query_pins},
    {"close-nodes", domain_closing, domain_close_nodes},
    {0},
};

static struct control_server *start_gmigd(void)
{
	struct control_server_options options = {.name = "gmigd", .commands = domain_commands};
	struct control_server *server;
	struct gmig_error err;
	char path[128];

	snprintf(path, sizeof(path), "%s/gmigd.sock", fake.directory);
	setenv("GMIGD_SOCKET", path, 1);
	options.path = path;
	ck_assert_msg(!control_server_create(&options, &server, &err), "%s", err.text);
	guest_on("0-3");
	return server;
}

/* It has the name of a guest of gmig-vmm: each is asked and moved for itself. */
START_TEST(domain_of_libvirt_is_in_the_plan_and_keeps_its_vcpus)
{
	struct control_server *server = start_gmigd();

	ck_assert_int_eq(gmig("plan", NULL), CLI_OK);
	ck_has(out_text, "nothing is to be moved\n");
	ck_assert_int_eq(gmig("drain", "--node", "2", "--yes", NULL), CLI_OK);
	ck_assert_ptr_nonnull(domain_arguments);
	ck_assert_str_eq(cli_text(domain_arguments, "guest"), "vm1");
	ck_assert_uint_eq(
	    json_integer_value(json_array_get(json_object_get(domain_arguments, "from"), 0)), 2);
	/* All that it has there: QEMU's own memory, which no plan counts, does not use a limit up. */
	ck_assert_ptr_null(json_object_get(domain_arguments, "max-bytes"));
	/* The score afterwards is the kernel's word, not what was known before. */
	ck_assert(looked_fresh);
	ck_has(out_text, "SCORE ");
	ck_assert_ptr_null(json_object_get(domain_arguments, "vnode"));
	ck_assert_ptr_null(fake.arguments);
	json_decref(domain_arguments);
	control_server_destroy(server);
}
END_TEST

START_TEST(memory_that_is_not_known_yet_is_asked_for_again)
{
	struct control_server *server = start_gmigd();

	domain_looks = 2;
	ck_assert_int_eq(gmig("drain", "--node", "2", "--dry-run", NULL), CLI_OK);
	ck_has(out_text, "64M     2");
	ck_assert_ptr_null(strstr(out_text, "not in the plan"));
	control_server_destroy(server);
}
END_TEST

START_TEST(drain_past_a_guest_whose_memory_is_not_known_is_3)
{
	struct control_server *server = start_gmigd();

	domain_looks = -1;
	ck_assert_int_eq(gmig("drain", "--node", "2", "--yes", NULL), CLI_REMAINING);
	ck_has(out_text, "vm1 is not in the plan: it is being looked at\n");
	/* Also when nobody else is there. */
	unlink(fake.socket);
	ck_assert_int_eq(gmig("drain", "--node", "0", "--yes", NULL), CLI_REMAINING);
	ck_has(out_text, "vm1 is not in the plan: it is being looked at\n");
	control_server_destroy(server);
}
END_TEST

START_TEST(guest_that_says_what_cannot_be_takes_no_plan_from_others)
{
	struct control_server *server = start_gmigd();

	guest_on("1");
	domain_bytes = 1ll << 62;
	ck_assert_int_eq(gmig("plan", NULL), CLI_OK);
	ck_has(out_text, "vm1 is not in the plan: it says that it has more memory on a node");
	ck_has(out_text, "SCORE 33 -> 100");
	control_server_destroy(server);
}
END_TEST

START_TEST(list_of_cpus_over_1023_is_read)
{
	struct control_server *server = start_gmigd();
	json_t *plan;

	unlink(fake.socket);
	domain_cpus = "0-8191";
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	plan = out_json();
	ck_assert(json_is_real(json_object_get(json_object_get(plan, "score"), "now")));
	json_decref(plan);
	/* Half a list would be another one. */
	domain_cpus = "0-3,";
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	plan = out_json();
	ck_assert(json_is_null(json_object_get(json_object_get(plan, "score"), "now")));
	json_decref(plan);
	control_server_destroy(server);
}
END_TEST

START_TEST(drain_pins_a_domains_vcpus_elsewhere_if_gmigd_can)
{
	struct control_server *server = start_gmigd();

	domain_nodes = "2";
	ck_assert_int_eq(gmig("drain", "--node", "2", "--dry-run", NULL), CLI_REMAINING);
	ck_has(out_text, "its vCPUs are not to be re-pinned");
	domain_can_pin = true;
	domain_pin_end = "followed";
	gmig("drain", "--node", "2", "--yes", NULL);
	ck_assert_ptr_nonnull(domain_pins);
	ck_assert_str_eq(cli_text(domain_pins, "guest"), "vm1");
	ck_assert_uint_ne(cli_number(domain_pins, "node"), 2);
	ck_assert_uint_eq(json_array_size(json_object_get(domain_pins, "vcpus")), 1);
	ck_assert_int_eq(domain_pin_asked, 2);
	ck_assert_ptr_nonnull(domain_arguments);
	control_server_destroy(server);
}
END_TEST

START_TEST(drain_whose_pins_are_refused_says_why_and_empties_the_node)
{
	struct control_server *server = start_gmigd();

	domain_nodes = "2";
	domain_can_pin = true;
	domain_pin_end = "kept";
	ck_assert_int_eq(gmig("drain", "--node", "2", "--yes", NULL), CLI_FAILED);
	ck_has(err_text, "the pins are kept: libvirt says no");
	ck_assert_ptr_nonnull(domain_arguments);
	control_server_destroy(server);
}
END_TEST

/* Both together on one node is what is asked for: memory does not go there alone. */
START_TEST(rebalance_whose_pins_are_refused_leaves_that_guests_memory)
{
	struct control_server *server = start_gmigd();

	domain_nodes = "1";
	domain_more = 32 * MIB;
	domain_can_pin = true;
	domain_pin_end = "kept";
	gmig("rebalance", "--yes", "--goal", "pack", NULL);
	ck_has(err_text, "the pins are kept: libvirt says no");
	ck_has(err_text, "is left out: the guest's vCPUs stay where they are");
	ck_assert_ptr_null(domain_arguments);
	control_server_destroy(server);
}
END_TEST

START_TEST(domain_started_anew_since_the_plan_is_not_moved)
{
	struct control_server *server = start_gmigd();

	domain_pid_now = 2;
	ck_assert_int_eq(gmig("drain", "--node", "2", "--yes", NULL), CLI_FAILED);
	ck_has(err_text, "started anew since the plan was made (process 1 then, 2 now)");
	ck_assert_ptr_null(domain_arguments);
	control_server_destroy(server);
}
END_TEST

/* ---- drain ----------------------------------------------------------------------------------- */

static void expect_closed(const char *want)
{
	struct gmig_node_set closed;
	char list[64];

	ck_assert_int_eq(closed_nodes_read(&closed, NULL), 0);
	ck_assert_str_eq(gmig_node_set_print(&closed, list, sizeof(list)), want);
}

START_TEST(drain_closes_the_node_and_moves_what_is_there)
{
	ck_assert_int_eq(gmig("drain", "--node", "0", "--yes", NULL), CLI_OK);
	ck_assert_uint_eq(
	    json_integer_value(json_array_get(json_object_get(fake.arguments, "from"), 0)), 0);
	/* The node is left for good: new memory does not come from it any more, either. */
	ck_assert_ptr_null(json_object_get(fake.arguments, "max-bytes"));
	ck_has(out_text, "closed: node 0\n1: vm1: 64M from node 0 to ");
	expect_closed("0");
	/* It stays closed, and other plans know. */
	job_ends_as("completed", 0);
	guest_on("0");
	ck_assert_int_eq(gmig("plan", "--json", NULL), CLI_OK);
	ck_assert_ptr_null(strstr(out_text, "\"to\":0"));
	ck_assert_int_eq(gmig("drain", "--node", "0", "--undo", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "no node is closed\n");
	expect_closed("");
}
END_TEST

static uid_t somebody(void)
{
	return 1000;
}

uid_t __real_geteuid(void), __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
	return closed_nodes_user == somebody ? 1000 : __real_geteuid();
}

static void expect_asked(const char *want)
{
	char *text = json_dumps(nodes_asked, JSON_COMPACT | JSON_SORT_KEYS);

	ck_assert_str_eq(text, want);
	free(text);
}

/* What he closes in a list of his own, gmigd would not see. */
START_TEST(drain_by_one_whom_gmigd_serves_closes_the_node_in_its_list)
{
	struct control_server *server = start_gmigd();

	setenv("XDG_RUNTIME_DIR", fake.directory, 1);
	closed_nodes_user = somebody;
	nodes_answer = 0;
	gmig("drain", "--node", "2", "--yes", NULL);
	expect_asked("{\"close\":[2],\"open\":[]}");
	expect_closed("");
	gmig("drain", "--node", "2-3", "--undo", NULL);
	expect_asked("{\"close\":[],\"open\":[2,3]}");
	/* Where it cannot, nothing is closed and nothing moves. */
	nodes_answer = -ENOSPC;
	json_decref(domain_arguments);
	domain_arguments = NULL;
	ck_assert_int_eq(gmig("drain", "--node", "2", "--yes", NULL), CLI_FAILED);
	ck_has(err_text, "the disk is full");
	expect_closed("");
	ck_assert_ptr_null(domain_arguments);
	/* It serves him, and cannot: another list would be no help. */
	nodes_answer = -EACCES;
	ck_assert_int_eq(gmig("drain", "--node", "2", "--yes", NULL), CLI_FAILED);
	ck_assert_ptr_null(strstr(err_text, "cannot be asked"));
	expect_closed("");
	ck_assert_ptr_null(domain_arguments);
	control_server_destroy(server);
	json_decref(nodes_asked);
	nodes_asked = NULL;
	closed_nodes_user = geteuid;
}
END_TEST

START_TEST(drain_without_a_directory_of_sockets_moves_domains)
{
	struct control_server *server = start_gmigd();

	unsetenv("XDG_RUNTIME_DIR");
	closed_nodes_user = somebody; /* root has one without that */
	ck_assert_int_eq(gmig("drain", "--node", "2", "--yes", NULL), CLI_OK);
	ck_assert_ptr_nonnull(domain_arguments);
	control_server_destroy(server);
	ck_assert_int_eq(gmig("drain", "--node", "2", "--dry-run", NULL), CLI_FAILED);
	ck_has(err_text, "no guest can be asked: XDG_RUNTIME_DIR is not set, and no gmigd runs");
	closed_nodes_user = geteuid;
}
END_TEST

START_TEST(drain_that_only_shows_closes_nothing)
{
	ck_assert_int_eq(gmig("drain", "--node", "0", "--dry-run", NULL), CLI_OK);
	ck_has(out_text, "64M     0");
	expect_closed("");
	ck_assert_ptr_null(strstr(fake.log, "migrate-pages"));
}
END_TEST

START_TEST(drain_of_a_node_that_is_not_there_closes_nothing)
{
	ck_assert_int_eq(gmig("drain", "--node", "7", "--yes", NULL), CLI_FAILED);
	ck_has(err_text, "node 7 is to be emptied, and the host has none");
	expect_closed("");
	unlink(fake.socket);
	ck_assert_int_eq(gmig("drain", "--node", "1023", "--yes", NULL), CLI_FAILED);
	ck_has(err_text, "this host cannot have a node 1023");
	expect_closed("");
}
END_TEST

START_TEST(drain_without_guests_closes_the_node)
{
	unlink(fake.socket);
	ck_assert_int_eq(gmig("drain", "--node", "0", "--yes", NULL), CLI_OK);
	ck_has(out_text, "closed: node 0\n");
	expect_closed("0");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_plan");
	TCase *tcase = tcase_create("plan");

	tcase_add_checked_fixture(tcase, setup, fake_teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, plan_tells_scores_moves_and_reasons);
	tcase_add_test(tcase, plan_as_json_has_all_of_it);
	tcase_add_test(tcase, plan_does_not_run_after_vcpus_that_wander);
	tcase_add_test(tcase, plan_names_guests_that_do_not_answer);
	tcase_add_test(tcase, plan_says_why_a_guest_has_no_part_in_it);
	tcase_add_test(tcase, plan_for_a_guest_that_is_not_there_fails);
	tcase_add_test(tcase, plan_with_bad_options_is_usage_and_asks_nobody);
	tcase_add_test(tcase, rebalance_carries_the_plan_out);
	tcase_add_test(tcase, rebalance_as_json_is_one_line);
	tcase_add_test(tcase, rebalance_that_nobody_agreed_to_moves_nothing);
	tcase_add_test(tcase, rebalance_ends_at_the_first_move_that_fails);
	tcase_add_test(tcase, rebalance_interrupted_begins_no_other_move);
	tcase_add_test(tcase, rebalance_with_goal_pack_puts_vcpus_on_one_node);
	tcase_add_test(tcase, plan_tells_a_vcpu_by_its_own_number);
	tcase_add_test(tcase, second_rebalance_at_a_time_is_refused);
	tcase_add_test(tcase, plans_of_two_users_whom_gmigd_serves_exclude_each_other);
	tcase_add_test(tcase, text_of_a_lock_that_is_no_process_is_not_shown);
	tcase_add_test(tcase, domain_of_libvirt_is_in_the_plan_and_keeps_its_vcpus);
	tcase_add_test(tcase, memory_that_is_not_known_yet_is_asked_for_again);
	tcase_add_test(tcase, drain_past_a_guest_whose_memory_is_not_known_is_3);
	tcase_add_test(tcase, guest_that_says_what_cannot_be_takes_no_plan_from_others);
	tcase_add_test(tcase, list_of_cpus_over_1023_is_read);
	tcase_add_test(tcase, drain_pins_a_domains_vcpus_elsewhere_if_gmigd_can);
	tcase_add_test(tcase, drain_whose_pins_are_refused_says_why_and_empties_the_node);
	tcase_add_test(tcase, rebalance_whose_pins_are_refused_leaves_that_guests_memory);
	tcase_add_test(tcase, domain_started_anew_since_the_plan_is_not_moved);
	tcase_add_test(tcase, drain_closes_the_node_and_moves_what_is_there);
	tcase_add_test(tcase, drain_by_one_whom_gmigd_serves_closes_the_node_in_its_list);
	tcase_add_test(tcase, drain_without_a_directory_of_sockets_moves_domains);
	tcase_add_test(tcase, drain_that_only_shows_closes_nothing);
	tcase_add_test(tcase, drain_of_a_node_that_is_not_there_closes_nothing);
	tcase_add_test(tcase, drain_without_guests_closes_the_node);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
