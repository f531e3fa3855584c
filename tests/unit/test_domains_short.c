/* The table of domains and what gmigd says of their threads while descriptors or memory are short, and before moves of an earlier gmigd go on. */
#include "../../cli/cli.h"
#include "../../libvirt-hooks/domains.h"
#include "../../libvirt-hooks/move_journal.h"
#include "../../libvirt-hooks/node_journal.h"
#include "../../libvirt-hooks/serve.h"
#include "failing_open.h"
#include "fake_proc.h"
#include "fake_qemu.h"
#include "find_domain.h"
#include "suite.h"

#include <errno.h>
#include <unistd.h>

#define MIB	  (1ull << 20)
#define UUID1	  fake_qemu_uuid(1)
#define UUID2	  fake_qemu_uuid(2)
#define SECOND_MS 1000

static struct domain_host host;
static struct domains *domains;
static struct gmig_error err;
static pid_t web1, web2;
static char kept_note[160]; /* a file */
static bool was_there;	    /* when the move of the other domain was said not to go on */
static int said;

/* ---- Names for which there is no memory ------------------------------------------------------- */

static _Thread_local long no_name_in =
    -1; /* the strdup(3) that fails, counted down; negative: none */

/* The names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

char *__wrap_strdup(const char *text)
{
	if (no_name_in < 0 || no_name_in-- > 0)
		return __real_strdup(text);
	errno = ENOMEM;
	return NULL;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* ---- Two domains ------------------------------------------------------------------------------ */

static void note(void *opaque, enum gmig_log_level level, const char *line)
{
	(void)opaque, (void)level;
	if (!strstr(line, "domain=web1 ") || !strstr(line, "does not go on"))
		return;
	said++;
	was_there = !access(kept_note, F_OK);
}

static void setup(void)
{
	const struct fake_qemu one = {.name = "web1", .uuid = UUID1, .anon_mib = 16, .vcpus = 2};
	const struct fake_qemu two = {.name = "web2", .uuid = UUID2, .anon_mib = 8, .vcpus = 1};
	const uid_t users[] = {geteuid()};

	tree_create();
	tree_write("1 1 0:1 / / rw - ext4 /dev/x rw\n", "/proc/self/mountinfo");
	host = (struct domain_host){.qemu = {.root = "", .run_dir = "/nonexistent"},
				    .cpusets = {.root = tree_root},
				    .journals = tree_root,
				    .log = note};
	ck_assert_msg(!gmig_topology_create(0, &host.topology, &err), "%s", err.text);
	ck_assert_int_eq(domains_create(&host, "qemu:///system", users, 1, &domains, &err), 0);
	web1 = fake_qemu_start(&one);
	web2 = fake_qemu_start(&two);
	snprintf(kept_note, sizeof(kept_note), "%s/%s.kept", tree_root, UUID2);
}

static void teardown(void)
{
	unreadable = NULL;
	domains_destroy(domains);
	gmig_topology_put(host.topology);
	fake_qemu_end(web1);
	fake_qemu_end(web2);
	tree_remove();
}

static long short_of =
    -1; /* the name for which update() has no memory; Check's own ones do not count */

static int update(int count)
{
	struct virt_domain list[] = {
	    {.name = (char *)"web1", .id = 1, .memory_bytes = 16 * MIB, .vcpus = 2},
	    {.name = (char *)"web2", .id = 2, .memory_bytes = 8 * MIB, .vcpus = 1}};
	int ret;

	strcpy(list[0].uuid, UUID1);
	strcpy(list[1].uuid, UUID2);
	no_name_in = short_of;
	ret = domains_update(domains, count ? list : NULL, count);
	ck_assert(short_of < 0 || no_name_in < 0);
	no_name_in = short_of = -1;
	return ret;
}

static int find(const char *name)
{
	return find_domain(domains, name, &err);
}

/* With this many names until one fails; it is asked for again soon. */
static void update_fails(int count, long names)
{
	short_of = names;
	ck_assert_int_eq(update(count), SECOND_MS);
}

/* ---- The table -------------------------------------------------------------------------------- */

START_TEST(table_without_memory_for_a_name_stays_as_it_was)
{
	update(1);
	for (long names = 0; names < 2; names++) {
		update_fails(2, names);
		ck_assert_int_eq(find("web1"), web1);
		ck_assert_int_eq(find("web2"), -ESRCH);
	}
	update(2);
	ck_assert_int_eq(find("web2"), web2);
	/* One that lives, and that libvirt does not list. */
	update_fails(1, 1);
	ck_assert_int_eq(find("web2"), web2);
	update_fails(0, 0);
	ck_assert_int_eq(find("web1"), web1);
	ck_assert_int_eq(find("web2"), web2);
}
END_TEST

/* Whose move goes on writes notes, too, by another thread: what is read before that must have been written before it. */
START_TEST(old_notes_are_put_right_before_moves_go_on)
{
	struct cpuset_scope none = {0};
	struct move_journal_job job = {
	    .spec = {.from = {0}, .to = {0}, .from_count = 1, .to_count = 1, .max_bytes = MIB}};
	struct move_journal journal = {.name = (char *)"web1",
				       .memory_bytes = 16 * MIB,
				       .uid = geteuid(),
				       .pid = web1,
				       .scope = &none,
				       .job = &job,
				       .job_count = 1};
	struct node_journal kept = {.pid = web2, .start_time = 1}; /* of another one of its pid */

	strcpy(journal.uuid, UUID1);
	strcpy(kept.uuid, UUID2);
	ck_assert_int_eq(qemu_process_start_time(&host.qemu, web1, &journal.start_time), 0);
	ck_assert_int_eq(move_journal_write(tree_root, &journal, &err), 0);
	gmig_node_set_add(&kept.nodes, 0);
	ck_assert_int_eq(node_journal_write(tree_root, NODE_JOURNAL_KEPT, &kept, &err), 0);
	ck_assert_int_eq(access(kept_note, F_OK), 0);
	domains_recover(domains);
	ck_assert_int_eq(said, 1);
	ck_assert(!was_there);
	ck_assert_int_eq(find("web1"), web1);
}
END_TEST

/* ---- Threads ---------------------------------------------------------------------------------- */

static struct control_client *client;
static struct serve *serve;

static json_t *ask(void)
{
	json_t *answer = NULL;

	do {
		json_decref(answer);
		ck_assert_msg(
		    !control_call(client, "query-residency", json_object(), &answer, &err), "%s",
		    err.text);
	} while (strstr(cli_text(answer, "unknown"), "is being looked at"));
	return answer;
}

static const json_t *threads_of(const json_t *answer, const char *kind)
{
	return json_object_get(json_object_get(answer, "cpus"), kind);
}

/* No answer that a plan could be made of. */
static void expect_unknown(const char *path)
{
	json_t *answer;

	unreadable = path;
	answer = ask();
	unreadable = NULL;
	ck_assert_str_eq(cli_text(answer, "unknown"),
			 "its threads cannot be looked at: Too many open files");
	ck_assert_ptr_null(json_object_get(answer, "vnodes"));
	ck_assert_ptr_null(json_object_get(answer, "cpus"));
	json_decref(answer);
}

static void dial(void)
{
	struct serve_options options = {.domains = domains};
	char path[128];

	snprintf(path, sizeof(path), "%s/run/gmigd.sock", tree_root);
	options.path = path;
	ck_assert_msg(!serve_create(&options, &serve, &err), "%s", err.text);
	update(2);
	ck_assert_msg(!control_connect(path, 10000, &client, &err), "%s", err.text);
	ck_assert_int_eq(control_client_set_guest(client, "web1"), 0);
}

static void hang_up(void)
{
	control_client_destroy(client);
	serve_destroy(serve);
}

/* gmig drain would leave a vCPU that is missing where it is, and say that the node is empty. */
START_TEST(residency_without_a_thread_that_cannot_be_looked_at_is_not_known)
{
	static const char *const kinds[] = {"vcpus", "threads"};
	json_t *whole, *answer, *thread;
	char status[64];
	size_t i;

	dial();
	whole = ask();
	ck_assert_uint_eq(json_array_size(threads_of(whole, "vcpus")), 2);
	for (size_t kind = 0; kind < 2; kind++)
		json_array_foreach (threads_of(whole, kinds[kind]), i, thread) {
			snprintf(status, sizeof(status), "/task/%d/status",
				 (int)cli_number(thread, "tid"));
			expect_unknown(status);
		}
	expect_unknown("/comm"); /* which of them are vCPUs */
	/* One that has ended is none. */
	thread = json_array_get(threads_of(whole, "vcpus"), 1);
	snprintf(status, sizeof(status), "/task/%d/status", (int)cli_number(thread, "tid"));
	unreadable_error = ENOENT;
	unreadable = status;
	answer = ask();
	unreadable = NULL;
	ck_assert_ptr_nonnull(json_object_get(answer, "vnodes"));
	ck_assert_uint_eq(json_array_size(threads_of(answer, "vcpus")), 1);
	json_decref(answer);
	json_decref(whole);
	hang_up();
}
END_TEST

START_TEST(cpusets_that_cannot_be_looked_at_are_not_said_to_be_right)
{
	json_t *answer;

	dial();
	answer = ask();
	ck_assert_ptr_null(json_object_get(answer, "note"));
	json_decref(answer);
	unreadable = "/mountinfo";
	answer = ask();
	ck_assert_ptr_nonnull(strstr(cli_text(answer, "note"), "the cpusets of process "));
	json_decref(answer);
	ck_assert_int_eq(control_call(client, "check-invariants", json_object(), &answer, &err),
			 -EMFILE);
	ck_assert_ptr_nonnull(strstr(err.text, "the cpusets of process "));
	unreadable = NULL;
	answer = NULL;
	ck_assert_int_eq(control_call(client, "check-invariants", json_object(), &answer, &err), 0);
	ck_assert(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	hang_up();
}
END_TEST

int main(int argc, char **argv)
{
	const TTest *const tests[] = {
	    table_without_memory_for_a_name_stays_as_it_was,
	    old_notes_are_put_right_before_moves_go_on,
	    residency_without_a_thread_that_cannot_be_looked_at_is_not_known,
	    cpusets_that_cannot_be_looked_at_are_not_said_to_be_right,
	};

	if (fake_qemu_is(argc, argv))
		return fake_qemu_main(argc, argv);
	return run_tests("domains_short", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
