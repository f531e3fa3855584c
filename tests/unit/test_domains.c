/* The table of domains, and gmigd's control socket over it: processes that look like QEMU, on this host's one node or more. */
#include "../../cli/cli.h"
#include "../../cli/daemon.h"
#include "../../control/closed_nodes.h"
#include "../../libvirt-hooks/domains.h"
#include "../../libvirt-hooks/move_journal.h"
#include "../../libvirt-hooks/node_journal.h"
#include "../../libvirt-hooks/pin_journal.h"
#include "../../libvirt-hooks/serve.h"
#include "failing_open.h"
#include "fake_proc.h"
#include "fake_qemu.h"
#include "find_domain.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1ull << 20)
#define URI "qemu:///system"

/* In their order in libvirt's list, and by name. */
#define LOST  fake_qemu_uuid(0)
#define UUID1 fake_qemu_uuid(1)
#define UUID2 fake_qemu_uuid(2)

static struct domain_host host;
static struct domains *domains;
static struct serve *serve;
static struct gmig_error err;
static char lines[4096], path[128];
static pid_t web1, web2;

static void note(void *opaque, enum gmig_log_level level, const char *line)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	(void)opaque, (void)level;
	pthread_mutex_lock(&lock);
	snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%s\n", line);
	pthread_mutex_unlock(&lock);
}

/* As gmigd has it: jobs may tell of themselves still when it has gone. */
static pthread_rwlock_t serve_lock = PTHREAD_RWLOCK_INITIALIZER;

static void on_job(void *opaque, struct domain *domain, const struct gmig_job_info *info)
{
	(void)opaque;
	pthread_rwlock_rdlock(&serve_lock);
	serve_job_event(serve, domain, info);
	pthread_rwlock_unlock(&serve_lock);
}

static bool connected(void *opaque)
{
	(void)opaque;
	return true;
}

static void setup(void)
{
	const struct fake_qemu one = {.name = "web1", .uuid = UUID1, .anon_mib = 16, .vcpus = 2};
	const struct fake_qemu two = {.name = "web2", .uuid = UUID2, .memfd_mib = 8, .vcpus = 1};
	const uid_t users[] = {geteuid()};
	struct serve_options options = {.path = path, .is_connected = connected, .log = note};

	tree_create();
	/* The mounts of this host are not those of its cpusets: a tree without any. */
	tree_write("1 1 0:1 / / rw - ext4 /dev/x rw\n", "/proc/self/mountinfo");
	host = (struct domain_host){.qemu = {.root = "", .run_dir = "/nonexistent"},
				    .cpusets = {.root = tree_root},
				    .journals = tree_root,
				    .job_event = on_job,
				    .log = note};
	ck_assert_msg(!gmig_topology_create(0, &host.topology, &err), "%s", err.text);
	ck_assert_int_eq(domains_create(&host, URI, users, 1, &domains, &err), 0);
	*lines = '\0';
	web1 = fake_qemu_start(&one);
	web2 = fake_qemu_start(&two);
	snprintf(path, sizeof(path), "%s/run/gmigd.sock", tree_root);
	options.domains = domains;
	ck_assert_msg(!serve_create(&options, &serve, &err), "%s", err.text);
	setenv("GMIGD_SOCKET", path, 1);
}

static void end(pid_t *pid)
{
	if (*pid)
		fake_qemu_end(*pid);
	*pid = 0;
}

static void teardown(void)
{
	struct serve *ending = serve;

	pthread_rwlock_wrlock(&serve_lock);
	serve = NULL;
	pthread_rwlock_unlock(&serve_lock);
	serve_destroy(ending);
	domains_destroy(domains);
	gmig_topology_put(host.topology);
	end(&web1);
	end(&web2);
	tree_remove();
}

static int update(int count)
{
	struct virt_domain list[] = {
	    {.name = (char *)"web1", .id = 1, .memory_bytes = 16 * MIB, .vcpus = 2},
	    {.name = (char *)"web2", .id = 2, .memory_bytes = 8 * MIB, .vcpus = 1},
	    {.name = (char *)"lost", .id = 3, .memory_bytes = MIB}};

	strcpy(list[0].uuid, UUID1);
	strcpy(list[1].uuid, UUID2);
	strcpy(list[2].uuid, LOST);
	return domains_update(domains, list, count);
}

static int find(const char *name)
{
	return find_domain(domains, name, &err);
}

/* ---- The table ------------------------------------------------------------------------------- */

START_TEST(domain_named_as_anothers_uuid_is_not_taken_for_it)
{
	struct virt_domain list[] = {{.name = (char *)UUID2, .id = 1, .memory_bytes = MIB},
				     {.name = (char *)"web1", .id = 2, .memory_bytes = 16 * MIB},
				     {.name = (char *)"web2", .id = 3, .memory_bytes = 8 * MIB}};

	strcpy(list[0].uuid, LOST);
	strcpy(list[1].uuid, UUID1);
	strcpy(list[2].uuid, UUID2);
	domains_update(domains, list, 3);
	ck_assert_int_eq(find(UUID2), -EEXIST);
	ck_assert_ptr_nonnull(strstr(err.text, "means two domains"));
	ck_assert_int_eq(find("web2"), web2);
	ck_assert_int_eq(find(UUID1), web1);
}
END_TEST

START_TEST(domain_is_found_by_name_uri_and_uuid)
{
	ck_assert_int_eq(find("web1"), -ESRCH);
	update(3);
	ck_assert_int_eq(find("web1"), web1);
	ck_assert_int_eq(find(URI "/web2"), web2);
	ck_assert_int_eq(find(UUID2), web2);
	ck_assert_int_eq(find("qemu:///session/web1"), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "no domain of " URI));
	ck_assert_int_eq(find("web"), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "no domain 'web' runs here"));
	ck_assert_int_eq(find("lost"), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "no process has -uuid"));
}
END_TEST

START_TEST(update_keeps_what_lives_and_drops_what_has_ended)
{
	update(2);
	/* libvirt is away, or forgets one whose process lives. */
	domains_update(domains, NULL, 0);
	ck_assert_int_eq(find("web1"), web1);
	update(0);
	ck_assert_int_eq(find("web1"), web1);
	end(&web1);
	update(2);
	ck_assert_int_eq(find("web1"), -ESRCH);
	ck_assert_int_eq(find("web2"), web2);
	end(&web2);
	domains_update(domains, NULL, 0);
	ck_assert_int_eq(find("web2"), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "runs here"));
}
END_TEST

START_TEST(domain_that_starts_again_is_another_process)
{
	const struct fake_qemu one = {.name = "web1", .uuid = UUID1, .anon_mib = 16};
	pid_t before = web1;

	update(1);
	end(&web1);
	web1 = fake_qemu_start(&one);
	update(1);
	ck_assert_int_eq(find("web1"), web1);
	ck_assert_int_ne(web1, before);
}
END_TEST

/* Until gmigd says that it is not found. */
static void wait_for_word(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	while (!strstr(lines, "domain=lost no process")) {
		nanosleep(&ms, NULL);
		update(3);
	}
}

START_TEST(domain_that_is_not_found_is_said_once_and_tried_again_later)
{
	const struct fake_qemu late = {.name = "lost", .uuid = LOST, .anon_mib = 1};
	pid_t pid;

	ck_assert_int_eq(update(2), -1);
	ck_assert_int_gt(update(3), 0);
	/* Ten tries at once would make it wait for 51 s. */
	for (int i = 0; i < 10; i++)
		ck_assert_int_lt(update(3), 10000);
	/* Not of one that is just starting. */
	ck_assert_ptr_null(strstr(lines, "domain=lost"));
	wait_for_word();
	pid = fake_qemu_start(&late);
	/* When its time has come. */
	while (find("lost") != pid)
		update(3);
	fake_qemu_end(pid);
	ck_assert_ptr_null(strstr(strstr(lines, "domain=lost") + 1, "domain=lost"));
}
END_TEST

START_TEST(domain_of_a_user_that_libvirt_does_not_name_is_left_alone)
{
	struct virt_domain other = {.name = (char *)"web1",
				    .memory_bytes = 16 * MIB,
				    .has_uid = true,
				    .uid = geteuid() + 1};

	strcpy(other.uuid, UUID1);
	domains_update(domains, &other, 1);
	ck_assert_int_eq(find("web1"), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "left alone"));
}
END_TEST

/* Whose it is, is not guessed; who is known stays so. */
START_TEST(domain_whose_user_libvirt_could_not_tell_waits)
{
	struct virt_domain one = {.name = (char *)"web1", .memory_bytes = 16 * MIB};

	strcpy(one.uuid, UUID1);
	for (int tries = 0; tries < 100 && find("web1") < 0; tries++) {
		one.uid_untold = !tries;
		domains_update(domains, &one, 1);
		ck_assert(tries || strstr(find("web1") ? err.text : "", "as whom"));
		usleep(100000);
	}
	one.uid_untold = true;
	domains_update(domains, &one, 1);
	ck_assert_int_gt(find("web1"), 0);
}
END_TEST

static void leave_journal(pid_t pid, const char *uuid, const char *name, uint64_t later)
{
	struct cpuset_scope none = {0};
	struct move_journal_job job = {
	    .spec = {.from = {0}, .to = {0}, .from_count = 1, .to_count = 1}};
	struct move_journal journal = {.name = (char *)name,
				       .memory_bytes = 16 * MIB,
				       .uid = geteuid(),
				       .pid = pid,
				       .scope = &none,
				       .job = &job,
				       .job_count = 1};

	strcpy(journal.uuid, uuid);
	ck_assert_int_eq(qemu_process_start_time(&host.qemu, pid, &journal.start_time), 0);
	journal.start_time += later;
	ck_assert_int_eq(move_journal_write(tree_root, &journal, &err), 0);
}

START_TEST(domain_with_a_journal_is_taken_up_without_libvirt)
{
	char(*uuids)[QEMU_UUID_TEXT];
	int count;

#ifdef GMIG_SANITIZED
	skip_case("the fake QEMU has terabytes of a sanitizer's shadow memory, all of which a job "
		  "walks over");
	return;
#endif
	leave_journal(web1, UUID1, "web1", 0);
	leave_journal(web2, UUID2, "web2", 1); /* of another one that had its pid */
	domains_recover(domains);
	ck_assert_int_eq(find("web1"), web1);
	ck_assert_int_eq(find("web2"), -ESRCH);
	/* Its move goes on, and when it has ended nothing is left to be recovered. */
	do {
		count = move_journal_list(tree_root, &uuids);
		free(uuids);
		ck_assert_int_ge(count, 0);
	} while (count);
}
END_TEST

START_TEST(journal_of_a_process_that_cannot_be_looked_at_stays)
{
	char(*uuids)[QEMU_UUID_TEXT];

	leave_journal(web1, UUID1, "web1", 0);
	/* It can be opened, and not be read: as where there is no memory for it. */
	tree_write("", "/proc/%d/stat/x", (int)web1);
	host.qemu.root = tree_root;
	domains_recover(domains);
	ck_assert_int_eq(move_journal_list(tree_root, &uuids), 1);
	free(uuids);
}
END_TEST

static void leave_note(enum node_journal_kind kind, pid_t pid, const char *uuid, uint64_t later)
{
	struct node_journal journal = {.pid = pid};

	strcpy(journal.uuid, uuid);
	ck_assert_int_eq(qemu_process_start_time(&host.qemu, pid, &journal.start_time), 0);
	journal.start_time += later;
	gmig_node_set_add(&journal.nodes, 0);
	ck_assert_int_eq(node_journal_write(tree_root, kind, &journal, &err), 0);
}

static void leave_pins(pid_t pid, const char *uuid)
{
	struct pin_pair pair = {0, 1};
	struct pin_journal journal = {.pid = pid, .pairs = &pair, .pair_count = 1};

	strcpy(journal.uuid, uuid);
	ck_assert_int_eq(qemu_process_start_time(&host.qemu, pid, &journal.start_time), 0);
	ck_assert_int_eq(pin_journal_write(tree_root, &journal, &err), 0);
}

static const char *hung; /* its calls hang; in the same round no other one is made */
static bool silent;
static unsigned int asked;

static int get_pins(void *opaque, const char *uuid, struct pin_set **set, struct gmig_error *error)
{
	(void)opaque, (void)set;
	if (silent)
		return gmig_fail(error, -EBUSY, "later");
	silent = !strcmp(uuid, hung);
	asked += !silent;
	return silent ? gmig_fail(error, -ETIMEDOUT, "hangs")
		      : gmig_fail(error, -EOPNOTSUPP, "no pins");
}

static int set_pin(void *opaque, const char *uuid, int domain, const struct pin *pin,
		   const struct pin_cpus *cpus, struct gmig_error *error)
{
	(void)opaque, (void)uuid, (void)domain, (void)pin, (void)cpus;
	return gmig_fail(error, -EOPNOTSUPP, "no pins");
}

START_TEST(domain_whose_calls_hang_keeps_no_other_one_from_its_turn)
{
	host.get_pins = get_pins;
	host.set_pin = set_pin;
	leave_pins(web1, UUID1);
	leave_pins(web2, UUID2);
	hung = UUID1;
	silent = true; /* when they are opened */
	update(2);
	for (int i = 0; i < 2; i++) {
		silent = false;
		update(2);
	}
	ck_assert_uint_eq(asked, 1);
}
END_TEST

static void expect_gone_with_its_process(enum node_journal_kind kind)
{
	char(*uuids)[QEMU_UUID_TEXT];

	leave_note(kind, web1, UUID1, 0);
	leave_note(kind, web2, UUID2, 1);
	domains_recover(domains);
	ck_assert_int_eq(node_journal_list(tree_root, kind, &uuids), 1);
	ck_assert_str_eq(uuids[0], UUID1);
	free(uuids);
}

START_TEST(note_for_libvirt_goes_with_its_process)
{
	expect_gone_with_its_process(NODE_JOURNAL_TELL);
}
END_TEST

START_TEST(note_of_nodes_that_are_kept_goes_with_its_process)
{
	unreadable = "/mountinfo"; /* nobody's cpusets can be looked at */
	expect_gone_with_its_process(NODE_JOURNAL_KEPT);
}
END_TEST

/* ---- The socket ------------------------------------------------------------------------------ */

static struct control_client *dial(const char *guest)
{
	struct control_client *client;

	ck_assert_msg(!control_connect(path, 10000, &client, &err), "%s", err.text);
	ck_assert_int_eq(control_client_set_guest(client, guest), 0);
	return client;
}

static json_t *ask(struct control_client *client, const char *command, json_t *arguments)
{
	json_t *answer = NULL;

	ck_assert_msg(!control_call(client, command, arguments, &answer, &err), "%s: %s", command,
		      err.text);
	return answer;
}

START_TEST(guests_are_listed_with_what_is_known_of_each)
{
	struct control_client *client = dial(NULL);
	json_t *answer, *guests;

	update(3);
	answer = ask(client, "query-guests", NULL);
	guests = json_object_get(answer, "guests");
	ck_assert_uint_eq(json_array_size(guests), 3);
	ck_assert_str_eq(cli_text(json_array_get(guests, 0), "name"), "lost");
	ck_assert_str_eq(cli_text(json_array_get(guests, 0), "state"), "not found");
	ck_assert_str_eq(cli_text(json_array_get(guests, 1), "uri"), URI "/web1");
	ck_assert_uint_eq(cli_number(json_array_get(guests, 1), "pid"), (uint64_t)web1);
	ck_assert_uint_eq(cli_number(json_array_get(guests, 2), "bytes"), 8 * MIB);
	ck_assert(json_is_true(json_object_get(answer, "connected")));
	json_decref(answer);
	control_client_destroy(client);
}
END_TEST

static uint64_t resident(const json_t *residency)
{
	const json_t *vnode = json_array_get(json_object_get(residency, "vnodes"), 0);
	const char *node;
	json_t *bytes;
	uint64_t sum = 0;

	json_object_foreach (json_object_get(vnode, "resident"), node, bytes)
		sum += (uint64_t)json_integer_value(bytes);
	return sum;
}

/* A question waits for a look at the memory for so long, and no longer: on a busy machine it is asked again. */
static json_t *ask_residency(struct control_client *client, bool fresh)
{
	json_t *answer = NULL;

	do {
		json_decref(answer);
		answer = ask(client, "query-residency", json_pack("{s:b}", "fresh", (int)fresh));
	} while (strstr(cli_text(answer, "unknown"), "is being looked at"));
	return answer;
}

START_TEST(residency_is_that_of_the_domain_that_is_meant)
{
	struct control_client *client = dial("web1");
	json_t *answer;

	update(2);
	answer = ask_residency(client, true);
	ck_assert_uint_eq(resident(answer), 16 * MIB);
	ck_assert_uint_eq(
	    json_array_size(json_object_get(json_object_get(answer, "cpus"), "vcpus")), 2);
	ck_assert(json_is_true(json_object_get(answer, "fits")));
	json_decref(answer);
	control_client_set_guest(client, URI "/web2");
	answer = ask_residency(client, false);
	ck_assert_uint_eq(resident(answer), 8 * MIB);
	ck_assert_str_eq(cli_text(answer, "name"), "web2");
	json_decref(answer);
	answer = ask(client, "check-invariants", NULL);
	ck_assert(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	control_client_destroy(client);
}
END_TEST

START_TEST(commands_that_make_no_sense_say_why)
{
	static const struct {
		const char *command, *arguments, *text;
		int code;
	} cases[] = {
	    {"query-status", "{}", "which domain", -EINVAL},
	    {"query-status", "{\"guest\":\"nosuch\"}", "no domain 'nosuch'", -ESRCH},
	    {"query-histograms", "{\"guest\":\"web1\"}", "the kernel moves", -EOPNOTSUPP},
	    {"repair-table", "{\"guest\":\"web1\"}", "no table is kept", -EOPNOTSUPP},
	    {"retire-page", "{\"guest\":\"web1\",\"gpa\":0}", "soft_offline_page", -EOPNOTSUPP},
	    {"sample-memory", "{\"guest\":\"web1\",\"on\":true}", "nobody samples", -EOPNOTSUPP},
	    {"query-heat", "{\"guest\":\"web1\"}", "nobody samples", -EOPNOTSUPP},
	    {"report-heat", "{\"guest\":\"web1\",\"blocks\":[]}", "nobody samples", -EOPNOTSUPP},
	    {"migrate-pages",
	     "{\"guest\":\"web1\",\"from\":[0],\"to\":[0],\"order\":\"hot-first\"}",
	     "order hot-first: nobody samples the accesses of a process", -EOPNOTSUPP},
	    {"migrate-pages", "{\"guest\":\"web1\",\"from\":[0],\"to\":[0],\"mode\":\"block\"}",
	     "mode: is for guests of gmig-vmm", -EINVAL},
	    {"migrate-pages", "{\"guest\":\"web1\",\"from\":[0],\"to\":[0],\"vcpus\":\"all\"}",
	     "nobody here can pin", -EOPNOTSUPP},
	    {"migrate-pages", "{\"guest\":\"web1\",\"from\":[],\"to\":[0]}", "", -EINVAL},
	    {"close-nodes", "{\"close\":[-1]}", "close: item 0 is no number of a node", -EINVAL},
	    {"close-nodes", "{\"open\":[0,\"x\"]}", "open: item 1 is no number", -EINVAL},
	    {"close-nodes", "{\"close\":[1023]}", "cannot have a node 1023", -ENODEV},
	    {"job-cancel", "{\"guest\":\"web1\",\"id\":\"7\"}", "no job 7", -ESRCH},
	};
	struct control_client *client = dial(NULL);

	update(2);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *arguments = json_loads(cases[i].arguments, 0, NULL);

		ck_assert_int_eq(control_call(client, cases[i].command, arguments, NULL, &err),
				 cases[i].code);
		ck_assert_msg(strstr(err.text, cases[i].text) != NULL, "%s", err.text);
	}
	control_client_destroy(client);
}
END_TEST

static uid_t root(void)
{
	return 0;
}

START_TEST(nodes_are_closed_and_opened_in_gmigds_list)
{
	struct control_client *client = dial(NULL);
	struct gmig_node_set closed;
	char who[64];
	json_t *answer;

	closed_nodes_system = tree_root;
	closed_nodes_user = root;
	answer = ask(client, "close-nodes", json_pack("{s:[i]}", "close", 0));
	ck_assert_str_eq(cli_text(answer, "closed_nodes"), "0");
	json_decref(answer);
	ck_assert_int_eq(closed_nodes_read(&closed, &err), 0);
	ck_assert(gmig_node_set_has(&closed, 0));
	snprintf(who, sizeof(who), "uid=%u pid=%d not_told=0\n", getuid(), (int)getpid());
	ck_assert_ptr_nonnull(
	    strstr(lines, "nodes are closed or opened: close=0 open=none closed=0 "));
	ck_assert_msg(strstr(lines, who) != NULL, "%s", lines);
	/* One that the host has not any more, too. */
	answer = ask(client, "close-nodes", json_pack("{s:[i, i]}", "open", 0, 1023));
	ck_assert_str_eq(cli_text(answer, "closed_nodes"), "");
	json_decref(answer);
	control_client_destroy(client);
}
END_TEST

/* A thousand changes are a line a second, and it says how many have none. */
START_TEST(peer_that_closes_nodes_without_end_fills_no_log)
{
	struct control_client *client = dial(NULL);
	int64_t begin = cli_now_ms();
	size_t told = 0;
	json_t *many = json_array();

	closed_nodes_system = tree_root;
	closed_nodes_user = root;
	for (int node = 0; node < (int)GMIG_MAX_NODES; node += 2)
		json_array_append_new(many, json_integer(node));
	for (int i = 0; i < 50; i++)
		json_decref(ask(client, "close-nodes",
				json_pack("{s:[i], s:O}", "close", 0, "open", many)));
	json_decref(many);
	for (const char *at = lines; (at = strstr(at, "nodes are closed")) != NULL; at++)
		told++;
	ck_assert_uint_ge(told, 1);
	ck_assert_uint_le(told, (size_t)(cli_now_ms() - begin) / 1000 + 1);
	/* The list is cut behind a node. */
	ck_assert_ptr_nonnull(strstr(lines, "close=0 open=0,2,4,"));
	ck_assert_msg(strstr(lines, "... closed=none") != NULL, "%s", lines);
	control_client_destroy(client);
}
END_TEST

START_TEST(job_of_a_domain_is_started_watched_and_listed)
{
	struct control_client *client, *other;
	json_t *job, *event, *jobs;

#ifdef GMIG_SANITIZED
	skip_case("the fake QEMU has terabytes of a sanitizer's shadow memory, all of which a job "
		  "walks over");
	return;
#endif
	client = dial("web1");
	other = dial("web2");
	update(2);
	job = ask(client, "migrate-pages", json_pack("{s:[i], s:[i]}", "from", 0, "to", 0));
	ck_assert_str_eq(cli_text(job, "mover"), "kernel");
	do {
		ck_assert_msg(!control_next_event(client, 10000, &event, &err), "%s", err.text);
		json_decref(job);
		job = json_incref(json_object_get(json_object_get(event, "data"), "job"));
		ck_assert_str_eq(cli_text(json_object_get(event, "data"), "guest"), "web1");
		json_decref(event);
	} while (!cli_job_ended(job));
	ck_assert_str_eq(cli_text(job, "state"), "completed");
	json_decref(job);
	jobs = ask(client, "query-jobs", NULL);
	ck_assert_uint_eq(json_array_size(jobs), 1);
	json_decref(jobs);
	jobs = ask(other, "query-jobs", NULL);
	ck_assert_uint_eq(json_array_size(jobs), 0);
	json_decref(jobs);
	ck_assert_int_eq(control_next_event(other, 0, &event, &err), -ETIMEDOUT);
	control_client_destroy(client);
	control_client_destroy(other);
}
END_TEST

START_TEST(domain_that_ends_while_it_is_asked_about_is_said)
{
	struct control_client *client = dial("web1");
	json_t *answer;

	update(2);
	end(&web1);
	answer = ask_residency(client, true);
	ck_assert_str_eq(cli_text(answer, "state"), "ended");
	ck_assert_ptr_nonnull(strstr(cli_text(answer, "unknown"), "has ended"));
	json_decref(answer);
	ck_assert_int_eq(control_call(client, "migrate-pages",
				      json_pack("{s:[i], s:[i]}", "from", 0, "to", 0), NULL, &err),
			 -ESRCH);
	control_client_destroy(client);
}
END_TEST

/* ---- As gmig sees it ------------------------------------------------------------------------- */

START_TEST(cli_connects_to_a_domain_by_name_and_uri)
{
	struct control_client *client;
	json_t *answer;

	setenv("XDG_RUNTIME_DIR", tree_root, 1);
	cli_limits.grace_ms = 0;
	update(2);
	ck_assert_msg(!cli_connect(URI "/web2", &client, &err), "%s", err.text);
	answer = ask(client, "query-status", NULL);
	ck_assert_str_eq(cli_text(answer, "name"), "web2");
	json_decref(answer);
	control_client_destroy(client);
	ck_assert_msg(!cli_connect("web1", &client, &err), "%s", err.text);
	control_client_destroy(client);
	ck_assert_int_eq(cli_connect("nosuch", &client, &err), -ESRCH);
	ck_assert_ptr_nonnull(
	    strstr(err.text, "no guest of gmig-vmm, and gmigd says: no domain 'nosuch'"));
	/* A name that no guest of gmig-vmm has, since it would be a hidden file. */
	ck_assert_int_eq(cli_connect(".x", &client, &err), -EINVAL);
	serve_destroy(serve);
	serve = NULL;
	ck_assert_int_eq(cli_connect("web1", &client, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "web1.sock"));
}
END_TEST

START_TEST(cli_takes_no_domain_for_a_guest_that_it_cannot_look_at)
{
	struct control_client *client;
	char own[160];

	setenv("XDG_RUNTIME_DIR", tree_root, 1);
	update(2);
	tree_write("", "/gmig/other");
	snprintf(own, sizeof(own), "%s/gmig/web1.sock", tree_root);
	ck_assert_int_eq(symlink("web1.sock", own), 0);
	ck_assert_int_eq(cli_connect("web1", &client, &err), -ELOOP);
	ck_assert_ptr_nonnull(strstr(err.text, "web1.sock': Too many levels of symbolic links"));
}
END_TEST

START_TEST(cli_takes_its_own_guest_first_and_tells_of_the_other)
{
	struct control_server_options options = {.name = "web1"};
	char own[160], said[512] = "";
	struct control_server *server;
	struct control_client *client;
	int pipe_fds[2], kept = dup(STDERR_FILENO);

	setenv("XDG_RUNTIME_DIR", tree_root, 1);
	snprintf(own, sizeof(own), "%s/gmig/web1.sock", tree_root);
	options.path = own;
	update(2);
	ck_assert_msg(!control_server_create(&options, &server, &err), "%s", err.text);
	ck_assert_int_eq(pipe(pipe_fds), 0);
	dup2(pipe_fds[1], STDERR_FILENO);
	ck_assert_int_eq(cli_connect("web1", &client, &err), 0);
	fflush(stderr);
	dup2(kept, STDERR_FILENO);
	ck_assert_int_gt(read(pipe_fds[0], said, sizeof(said) - 1), 0);
	ck_assert_ptr_nonnull(strstr(said, "qemu:///system/web1"));
	/* It is gmig-vmm's: there is no such command. */
	ck_assert_int_eq(control_call(client, "query-guests", NULL, NULL, &err), -ENOSYS);
	control_client_destroy(client);
	control_server_destroy(server);
}
END_TEST

START_TEST(cli_list_has_domains_and_says_when_it_may_not_ask)
{
	json_t *list = json_array();

	update(3);
	cli_daemon_list(list, 60000); /* it answers, however busy the machine is */
	ck_assert_uint_eq(json_array_size(list), 3);
	ck_assert_str_eq(cli_text(json_array_get(list, 1), "socket"), path);
	json_array_clear(list);
	serve_destroy(serve);
	serve = NULL;
	cli_daemon_list(list, 2000);
	ck_assert_uint_eq(json_array_size(list), 0);
	json_decref(list);
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
	    domain_named_as_anothers_uuid_is_not_taken_for_it,
	    domain_is_found_by_name_uri_and_uuid,
	    update_keeps_what_lives_and_drops_what_has_ended,
	    domain_that_starts_again_is_another_process,
	    domain_that_is_not_found_is_said_once_and_tried_again_later,
	    domain_of_a_user_that_libvirt_does_not_name_is_left_alone,
	    domain_whose_user_libvirt_could_not_tell_waits,
	    domain_with_a_journal_is_taken_up_without_libvirt,
	    journal_of_a_process_that_cannot_be_looked_at_stays,
	    note_for_libvirt_goes_with_its_process,
	    note_of_nodes_that_are_kept_goes_with_its_process,
	    domain_whose_calls_hang_keeps_no_other_one_from_its_turn,
	    guests_are_listed_with_what_is_known_of_each,
	    residency_is_that_of_the_domain_that_is_meant,
	    commands_that_make_no_sense_say_why,
	    nodes_are_closed_and_opened_in_gmigds_list,
	    peer_that_closes_nodes_without_end_fills_no_log,
	    job_of_a_domain_is_started_watched_and_listed,
	    domain_that_ends_while_it_is_asked_about_is_said,
	    cli_connects_to_a_domain_by_name_and_uri,
	    cli_takes_no_domain_for_a_guest_that_it_cannot_look_at,
	    cli_takes_its_own_guest_first_and_tells_of_the_other,
	    cli_list_has_domains_and_says_when_it_may_not_ask,
	};

	if (fake_qemu_is(argc, argv))
		return fake_qemu_main(argc, argv);
	return run_tests("domains", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
