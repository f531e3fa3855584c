/* The cpusets of a domain: found, widened, narrowed, and put right after whoever did that was killed in between. */
#include "../../libvirt-hooks/cpuset_scope.h"
#include "../../libvirt-hooks/move_journal.h"
#include "fake_proc.h"
#include "no_listing.h"
#include "suite.h"

#include <errno.h>
#include <sys/wait.h>

#define PID   77
#define UUID  "6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11"
#define SCOPE "/machine.slice/machine-qemu\\x2d1\\x2dweb1.scope"
#define V2    "/sys/fs/cgroup"
#define V1    "/sys/fs/cgroup/cpuset"

static struct cpuset_host host;
static struct cpuset_scope *scope;
static struct gmig_error err;
static const char *mount;
static bool version1;
static unsigned int others;

static void set(const char *group, const char *mems)
{
	tree_write(mems, "%s%s/cpuset.mems", mount, group);
}

static const char *get(const char *group)
{
	static char text[8][64];
	static int next;
	char *into = text[next++ % 8], path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s%s/cpuset.mems", tree_root, mount, group);
	file = fopen(path, "r");
	ck_assert_msg(file != NULL, "%s", path);
	if (!fgets(into, 64, file))
		*into = '\0';
	into[strcspn(into, "\n")] = '\0';
	fclose(file);
	return into;
}

static void thread(int tid, const char *group)
{
	char text[512];

	if (version1)
		snprintf(text, sizeof(text),
			 "5:cpu,cpuacct:/\n3:cpuset:%s\n1:name=systemd:/x\n0::/\n", group);
	else
		snprintf(text, sizeof(text), "0::%s\n", group);
	tree_write(text, "/proc/%d/task/%d/cgroup", PID, tid);
}

/* As libvirt makes them, on a host with nodes 0 to 3. */
static void host_of_version(int version)
{
	version1 = version == 1;
	mount = version1 ? V1 : V2;
	tree_write(
	    version1 ? "24 1 0:5 / / rw - ext4 /dev/sda rw\n"
		       "30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		       "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
		       "32 24 0:28 / /sys/fs/cgroup/cpuset rw shared:9 - cgroup cgroup rw,cpuset\n"
		     : "24 1 0:5 / / rw - ext4 /dev/sda rw\n"
		       "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
	    "/proc/self/mountinfo");
	set("", "0-3\n");
	set("/machine.slice", version1 ? "0-3\n" : "\n");
	tree_write("0-3\n", "%s/machine.slice/cpuset.mems.effective", mount);
	set(SCOPE, version1 ? "0\n" : "\n");
	set(SCOPE "/libvirt", version1 ? "0\n" : "\n");
	set(SCOPE "/libvirt/emulator", "0\n");
	set(SCOPE "/libvirt/vcpu0", "0\n");
	set(SCOPE "/libvirt/vcpu1", "0\n");
	thread(PID, SCOPE "/libvirt/emulator");
	thread(78, SCOPE "/libvirt/vcpu0");
	thread(79, SCOPE "/libvirt/vcpu1");
	thread(80, SCOPE "/libvirt/emulator");
	if (version1)
		for (size_t i = 0; i < 5; i++)
			tree_write(
			    "1\n", "%s%s/cpuset.memory_migrate", mount,
			    ((const char *[]){SCOPE, SCOPE "/libvirt", SCOPE "/libvirt/emulator",
					      SCOPE "/libvirt/vcpu0", SCOPE "/libvirt/vcpu1"})[i]);
}

static void setup(void)
{
	tree_create();
	host = (struct cpuset_host){.root = tree_root};
	scope = NULL;
	memset(&err, 0, sizeof(err));
}

static void teardown(void)
{
	cpuset_scope_free(scope);
	tree_remove();
}

static struct gmig_node_set nodes(const char *text)
{
	struct gmig_node_set parsed;

	ck_assert_int_eq(gmig_node_set_parse(text, &parsed, NULL), 0);
	return parsed;
}

static void read_scope(void)
{
	ck_assert_msg(!cpuset_scope_read(&host, PID, &scope, &err), "%s", err.text);
}

static void plan(const char *text)
{
	const struct gmig_node_set set = nodes(text);

	ck_assert_msg(!cpuset_scope_plan(scope, &set, &err), "%s", err.text);
}

static const uint16_t zero[] = {0}, one[] = {1};
static const struct cpuset_map from_0_to_1 = {
    .from = zero, .to = one, .from_count = 1, .to_count = 1};
static const struct gmig_node_set none;

/* The move has ended: narrow. */
static int narrow_after(const struct cpuset_map *map, const struct gmig_node_set *keep)
{
	cpuset_scope_moved(scope, map);
	return cpuset_scope_narrow(scope, keep, &others, &err);
}

static void check_all(const char *mems)
{
	static const char *const groups[] = {"/libvirt/emulator", "/libvirt/vcpu0",
					     "/libvirt/vcpu1", "", "/libvirt"};

	for (size_t i = 0; i < (version1 ? 5 : 3); i++) {
		char path[256];

		snprintf(path, sizeof(path), SCOPE "%s", groups[i]);
		ck_assert_msg(!strcmp(get(path), mems), "%s has %s, not %s", path, get(path), mems);
	}
	ck_assert_str_eq(get("/machine.slice"), version1 ? "0-3" : "");
}

START_TEST(scope_has_the_groups_with_a_set_of_their_own)
{
	host_of_version(2);
	read_scope();
	ck_assert(!scope->version1);
	ck_assert_uint_eq(scope->count, 3);
	ck_assert_str_eq(scope->group[0].path, SCOPE "/libvirt/emulator");
	ck_assert_str_eq(scope->domain, SCOPE);
}
END_TEST

START_TEST(scope_of_version_1_has_parents_first)
{
	host_of_version(1);
	read_scope();
	ck_assert(scope->version1);
	ck_assert_uint_eq(scope->count, 5);
	ck_assert_str_eq(scope->group[0].path, SCOPE);
	ck_assert_str_eq(scope->group[1].path, SCOPE "/libvirt");
	ck_assert(scope->group[4].migrates);
}
END_TEST

START_TEST(scope_without_systemd_is_found_by_libvirts_name)
{
	host_of_version(2);
	set("/machine/qemu-1-web1.libvirt-qemu", "0");
	set("/machine/qemu-1-web1.libvirt-qemu/emulator", "0");
	for (int tid = PID; tid <= 80; tid++)
		thread(tid, "/machine/qemu-1-web1.libvirt-qemu/emulator");
	read_scope();
	ck_assert_uint_eq(scope->count, 2);
	ck_assert_str_eq(scope->group[0].path, "/machine/qemu-1-web1.libvirt-qemu");
}
END_TEST

START_TEST(scope_of_a_shared_group_is_left_alone)
{
	host_of_version(2);
	set("/user.slice", "0");
	for (int tid = PID; tid <= 80; tid++)
		thread(tid, tid == 80 ? "/../outside.scope" : "/user.slice");
	read_scope();
	ck_assert_uint_eq(scope->count, 0);
	plan("1");
	ck_assert(!cpuset_scope_is_wide(scope));
}
END_TEST

/* As when there is no room for a descriptor: a scope without this thread's group would leave that as it is, and say nothing. */
START_TEST(scope_is_refused_if_one_thread_s_group_cannot_be_read)
{
	host_of_version(2);
	tree_write("", "/proc/%d/task/81/cgroup/is-no-file", PID);
	ck_assert_int_eq(cpuset_scope_read(&host, PID, &scope, &err), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "cpusets of process 77"));
	ck_assert_ptr_null(scope);
}
END_TEST

/* What others share would be taken for all nodes, and a set of version 1 that is wider than that is refused by the kernel in mid-way, or has no effect. */
START_TEST(plan_is_refused_if_it_cannot_be_read_what_others_share)
{
	static const char *const files[] = {"cpuset.mems", "cpuset.mems.effective"};
	const struct gmig_node_set wanted = nodes("1");

	for (int version = 1; version <= 2; version++) {
		char path[512];

		host_of_version(version);
		read_scope();
		snprintf(path, sizeof(path), "%s%s/machine.slice/%s", tree_root, mount,
			 files[version - 1]);
		ck_assert_int_eq(unlink(path), 0);
		plan("1"); /* no cpusets there */
		ck_assert_int_eq(mkdir(path, 0700), 0);
		ck_assert_int_eq(cpuset_scope_plan(scope, &wanted, &err), -EISDIR);
		ck_assert_msg(strstr(err.text, "of the cgroup '/machine.slice'") != NULL, "%s",
			      err.text);
		ck_assert_str_eq(get(SCOPE "/libvirt/vcpu0"), "0");
		ck_assert_int_eq(rmdir(path), 0);
		cpuset_scope_free(scope);
		scope = NULL;
	}
}
END_TEST

static int read_scope_only(void)
{
	return cpuset_scope_read(&host, PID, &scope, &err);
}

START_TEST(scope_is_refused_if_the_threads_cannot_be_listed)
{
	int ret;

	host_of_version(2);
	ret = without_listing(read_scope_only);
	ck_assert_msg(ret == -EIO || ret == NO_LISTING_SKIP, "%d", ret);
}
END_TEST

/* Taken for 0, it would have the kernel move all at once when the set is narrowed. */
START_TEST(scope_of_version_1_is_refused_if_memory_migrate_cannot_be_read)
{
	host_of_version(1);
	set(SCOPE "/libvirt/vcpu2", "0\n");
	tree_write("", "%s" SCOPE "/libvirt/vcpu2/cpuset.memory_migrate/is-no-file", mount);
	thread(81, SCOPE "/libvirt/vcpu2");
	ck_assert_int_eq(cpuset_scope_read(&host, PID, &scope, &err), -EISDIR);
	ck_assert_ptr_null(scope);
}
END_TEST

START_TEST(scope_without_a_thread_that_has_ended_has_the_others_groups)
{
	host_of_version(2);
	tree_write("", "/proc/%d/task/81/comm", PID);
	read_scope();
	ck_assert_uint_eq(scope->count, 3);
}
END_TEST

START_TEST(scope_without_cpusets_is_empty)
{
	tree_write("24 1 0:5 / / rw - ext4 /dev/sda rw\n", "/proc/self/mountinfo");
	version1 = false;
	thread(PID, "/x.scope");
	read_scope();
	ck_assert_uint_eq(scope->count, 0);
	cpuset_scope_free(scope);
	scope = NULL;
	host_of_version(2);
	ck_assert_int_eq(cpuset_scope_read(&host, 99, &scope, &err), -ESRCH);
}
END_TEST

/* What version 1 demands at every moment: a group's set lies within its parent's. */
static unsigned int writes;

static void check_v1(void *opaque, const char *path, const char *text)
{
	static const char *const pairs[][2] = {{"/machine.slice", SCOPE},
					       {SCOPE, SCOPE "/libvirt"},
					       {SCOPE "/libvirt", SCOPE "/libvirt/emulator"},
					       {SCOPE "/libvirt", SCOPE "/libvirt/vcpu0"},
					       {SCOPE "/libvirt", SCOPE "/libvirt/vcpu1"}};

	(void)opaque, (void)path, (void)text;
	writes++;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct gmig_node_set above = nodes(get(pairs[i][0])),
				     lacks = nodes(get(pairs[i][1]));

		gmig_node_set_minus(&lacks, &above);
		ck_assert_msg(gmig_node_set_empty(&lacks), "%s is no subset before write %u",
			      pairs[i][1], writes);
	}
}

START_TEST(widening_and_narrowing_keep_version_1_valid_at_every_step)
{
	host_of_version(1);
	host.before_write = check_v1;
	writes = 0;
	read_scope();
	plan("1");
	ck_assert(cpuset_scope_is_wide(scope));
	check_all("0");
	ck_assert_int_eq(cpuset_scope_widen(scope, &err), 0);
	check_all("0-1");
	ck_assert_uint_eq(writes, 5);
	ck_assert_int_eq(narrow_after(&from_0_to_1, &none), 0);
	check_all("1");
	ck_assert_uint_eq(others, 0);
	/* memory_migrate off, the set, on again, of each */
	ck_assert_uint_eq(writes, 5 + 3 * 5);
	check_v1(NULL, NULL, NULL);
}
END_TEST

/* The kernel would move all of it at once. The others are narrowed, and that one is told. */
START_TEST(set_of_version_1_stays_wide_if_memory_migrate_cannot_be_switched_off)
{
	char path[512];

	host_of_version(1);
	read_scope();
	plan("1");
	ck_assert_int_eq(cpuset_scope_widen(scope, &err), 0);
	snprintf(path, sizeof(path), "%s%s" SCOPE "/libvirt/vcpu1/cpuset.memory_migrate", tree_root,
		 mount);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(narrow_after(&from_0_to_1, &none), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "memory_migrate of '/"));
	ck_assert_str_eq(get(SCOPE "/libvirt/vcpu0"), "1");
	ck_assert_str_eq(get(SCOPE "/libvirt/vcpu1"), "0-1");
	ck_assert(!cpuset_scope_is_narrow(scope, &none));
}
END_TEST

static void breaks_switching_on(void *opaque, const char *path, const char *text)
{
	(void)opaque;
	if (strstr(path, "/vcpu1/cpuset.memory_migrate") && *text == '1') {
		ck_assert_int_eq(unlink(path), 0);
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
}

START_TEST(set_of_version_1_is_narrow_if_memory_migrate_cannot_be_switched_on_again)
{
	host_of_version(1);
	host.before_write = breaks_switching_on;
	read_scope();
	plan("1");
	ck_assert_int_eq(cpuset_scope_widen(scope, &err), 0);
	ck_assert(!cpuset_scope_is_narrow(scope, &none));
	ck_assert_int_eq(narrow_after(&from_0_to_1, &none), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "1 to cpuset.memory_migrate of '/"));
	check_all("1");
	ck_assert(cpuset_scope_is_narrow(scope, &none));
}
END_TEST

START_TEST(widening_on_version_2_leaves_groups_that_inherit)
{
	host_of_version(2);
	read_scope();
	plan("1-2");
	ck_assert_int_eq(cpuset_scope_widen(scope, &err), 0);
	check_all("0-2");
	ck_assert_str_eq(get(SCOPE), "");
	ck_assert_int_eq(narrow_after(&from_0_to_1, &none), 0);
	check_all("1");
}
END_TEST

START_TEST(widening_past_what_other_domains_share_is_refused)
{
	const struct gmig_node_set wanted = nodes("1");

	host_of_version(2);
	tree_write("0,2\n", V2 "/machine.slice/cpuset.mems.effective");
	read_scope();
	ck_assert_int_eq(cpuset_scope_plan(scope, &wanted, &err), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, "/machine.slice"));
	ck_assert_ptr_nonnull(strstr(err.text, "0,2"));
	check_all("0");
}
END_TEST

/* Its 2nd file of the scope cannot be written. */
static void breaks_the_second(void *opaque, const char *path, const char *text)
{
	(void)text, (void)opaque;
	if (++writes == 2) {
		char keep[512];

		snprintf(keep, sizeof(keep), "%s.kept", path);
		ck_assert_int_eq(rename(path, keep), 0);
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
}

START_TEST(widening_that_fails_is_taken_back)
{
	host_of_version(2);
	host.before_write = breaks_the_second;
	writes = 0;
	read_scope();
	plan("1");
	ck_assert_int_eq(cpuset_scope_widen(scope, &err), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "vcpu0"));
	ck_assert_str_eq(get(SCOPE "/libvirt/emulator"), "0");
	ck_assert_str_eq(get(SCOPE "/libvirt/vcpu1"), "0");
}
END_TEST

START_TEST(narrowing_keeps_nodes_that_hold_memory)
{
	struct gmig_node_set keep = nodes("0,3"); /* 3 was never in it */

	host_of_version(2);
	read_scope();
	plan("1");
	ck_assert_int_eq(cpuset_scope_widen(scope, &err), 0);
	ck_assert_int_eq(narrow_after(&from_0_to_1, &keep), 0);
	check_all("0-1");
}
END_TEST

START_TEST(narrowing_leaves_what_somebody_else_has_written)
{
	host_of_version(2);
	read_scope();
	plan("1");
	ck_assert_int_eq(cpuset_scope_widen(scope, &err), 0);
	set(SCOPE "/libvirt/vcpu0", "2-3");
	ck_assert_int_eq(narrow_after(&from_0_to_1, &none), 0);
	ck_assert_uint_eq(others, 1);
	ck_assert_str_eq(get(SCOPE "/libvirt/vcpu0"), "2-3");
	ck_assert_str_eq(get(SCOPE "/libvirt/vcpu1"), "1");
}
END_TEST

START_TEST(narrowing_a_domain_that_has_gone_is_done)
{
	char command[256];

	host_of_version(2);
	read_scope();
	plan("1");
	ck_assert_int_eq(cpuset_scope_widen(scope, &err), 0);
	snprintf(command, sizeof(command), "rm -r %s%s/machine.slice", tree_root, V2);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(narrow_after(&from_0_to_1, &none), 0);
}
END_TEST

/* What a group that allows nodes 0, 1 and 3 is to allow afterwards. */
static const char *after(const struct cpuset_map *map)
{
	struct cpuset_group group = {
	    .path = (char[]){"/g"}, .before = nodes("0-1,3"), .wide = nodes("0-3")};
	struct cpuset_scope fake = {.group = &group, .count = 1};
	static char text[64];

	cpuset_scope_moved(&fake, map);
	group.before = cpuset_scope_nodes(&fake);
	return gmig_node_set_print(&group.before, text, sizeof(text));
}

START_TEST(map_takes_nodes_as_a_job_does)
{
	static const uint16_t from[] = {0, 1}, to[] = {2, 0}, single[] = {1};
	struct cpuset_map map = {.from = from, .to = to, .from_count = 2, .to_count = 2};

	ck_assert_str_eq(after(&map), "0,2-3");
	map = (struct cpuset_map){.from = from, .to = single, .from_count = 2, .to_count = 1};
	ck_assert_str_eq(after(&map), "1,3");
	map = (struct cpuset_map){0};
	ck_assert_str_eq(after(&map), "0-1,3");
}
END_TEST

/* ---- Killed in between ----------------------------------------------------------------------- */

static unsigned int die_at;

static void dies(void *opaque, const char *path, const char *text)
{
	(void)opaque, (void)path, (void)text;
	if (writes++ == die_at)
		_exit(9);
}

/* A whole move, in a child that ends before its write number die_at. True: it came to its end. */
static bool move_in_child(void)
{
	struct move_journal_job job = {
	    .spec = {.from = {0}, .to = {1}, .from_count = 1, .to_count = 1}};
	struct move_journal journal = {.uuid = UUID,
				       .name = (char *)"web1",
				       .pid = PID,
				       .start_time = 500,
				       .job = &job,
				       .job_count = 1};
	int status;
	pid_t pid = fork();

	if (!pid) {
		writes = 0;
		host.before_write = dies;
		read_scope();
		plan("1");
		journal.scope = scope;
		if (move_journal_write(tree_root, &journal, &err) ||
		    cpuset_scope_widen(scope, &err))
			_exit(1);
		journal.narrowing = true;
		cpuset_scope_moved(scope, &from_0_to_1);
		if (move_journal_write(tree_root, &journal, &err) ||
		    cpuset_scope_narrow(scope, &none, &others, &err))
			_exit(1);
		move_journal_remove(tree_root, UUID);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_ne(WEXITSTATUS(status), 1);
	return !WEXITSTATUS(status);
}

/* Whether narrowing had begun: it is then finished, whatever becomes of moves that had not. */
static bool recover(bool move_goes_on)
{
	struct move_journal journal;
	bool narrowing;

	ck_assert_msg(!move_journal_read(tree_root, UUID, &journal, &err), "%s", err.text);
	ck_assert_int_eq(journal.pid, PID);
	ck_assert_uint_eq(journal.job_count, 1);
	ck_assert_uint_eq(journal.job[0].spec.to[0], 1);
	read_scope();
	move_journal_apply(&journal, scope);
	narrowing = journal.narrowing;
	if (!narrowing && move_goes_on) {
		ck_assert_msg(!cpuset_scope_widen(scope, &err), "%s", err.text);
		cpuset_scope_moved(scope, &from_0_to_1);
	}
	ck_assert_msg(!cpuset_scope_narrow(scope, &journal.keep, &others, &err), "%s", err.text);
	ck_assert_uint_eq(others, 0);
	move_journal_free(&journal);
	move_journal_remove(tree_root, UUID);
	cpuset_scope_free(scope);
	scope = NULL;
	return narrowing;
}

static void check_flags(void)
{
	char path[512], text[8] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s%s" SCOPE "/libvirt/vcpu1/cpuset.memory_migrate", tree_root,
		 mount);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
	fclose(file);
	ck_assert_int_eq(text[0], '1');
}

START_TEST(killed_at_any_step_no_set_stays_wide)
{
	unsigned int steps = 0;

	for (int version = 1; version <= 2; version++)
		for (int forth = 0; forth < 2; forth++)
			for (die_at = 0;; die_at++) {
				bool whole;

				host_of_version(version);
				whole = move_in_child();
				if (whole)
					break;
				steps++;
				if (recover(forth) || forth)
					check_all("1");
				else
					check_all("0");
				if (version1)
					check_flags();
			}
	ck_assert_uint_eq(steps, 2 * (20 + 6));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    scope_has_the_groups_with_a_set_of_their_own,
	    scope_of_version_1_has_parents_first,
	    scope_without_systemd_is_found_by_libvirts_name,
	    scope_of_a_shared_group_is_left_alone,
	    scope_is_refused_if_one_thread_s_group_cannot_be_read,
	    plan_is_refused_if_it_cannot_be_read_what_others_share,
	    scope_is_refused_if_the_threads_cannot_be_listed,
	    scope_of_version_1_is_refused_if_memory_migrate_cannot_be_read,
	    scope_without_a_thread_that_has_ended_has_the_others_groups,
	    scope_without_cpusets_is_empty,
	    widening_and_narrowing_keep_version_1_valid_at_every_step,
	    set_of_version_1_stays_wide_if_memory_migrate_cannot_be_switched_off,
	    set_of_version_1_is_narrow_if_memory_migrate_cannot_be_switched_on_again,
	    widening_on_version_2_leaves_groups_that_inherit,
	    widening_past_what_other_domains_share_is_refused,
	    widening_that_fails_is_taken_back,
	    narrowing_keeps_nodes_that_hold_memory,
	    narrowing_leaves_what_somebody_else_has_written,
	    narrowing_a_domain_that_has_gone_is_done,
	    map_takes_nodes_as_a_job_does,
	    killed_at_any_step_no_set_stays_wide,
	};

	return run_tests("cpuset_scope", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
