/* What the agent reads of a process: numa_maps, smaps, stat, status, cgroup; the allow-list. */
#include "../../guestagent/agent.h"
#include "../../guestagent/cgroup.h"
#include "../../guestagent/conf.h"
#include "../../guestagent/maps.h"
#include "fake_kernel.h"
#include "no_listing.h"

#include <fcntl.h>

static struct agent_vma vma;

START_TEST(numa_line_gives_policy_file_nodes_and_page_size)
{
	ck_assert_int_eq(
	    agent_parse_numa_line("7f00aa000000 bind:0-1 file=/usr/bin/a\\040b mapped=9 "
				  "mapmax=2 N0=4 N12=5 kernelpagesize_kB=4\n",
				  &vma),
	    0);
	ck_assert_uint_eq(vma.start, 0x7f00aa000000);
	ck_assert_str_eq(vma.policy, "bind:0-1");
	ck_assert_str_eq(vma.what, "/usr/bin/a\\040b");
	ck_assert(!vma.anonymous);
	ck_assert_uint_eq(vma.node_count, 2);
	ck_assert_int_eq(vma.node[1].node, 12);
	ck_assert_uint_eq(vma.node[1].pages, 5);
	ck_assert_uint_eq(vma.page_bytes, 4096);
}
END_TEST

START_TEST(numa_line_of_hugetlb_and_heap_is_understood)
{
	ck_assert_int_eq(agent_parse_numa_line("400000 default huge anon=3 dirty=3 N1=3 "
					       "kernelpagesize_kB=2048",
					       &vma),
			 0);
	ck_assert_uint_eq(vma.page_bytes, 2 << 20);
	ck_assert_int_eq(agent_parse_numa_line("55d0 prefer (many):0-1 heap anon=1 N0=1", &vma), 0);
	ck_assert_str_eq(vma.policy, "prefer (many):0-1");
	ck_assert_str_eq(vma.what, "heap");
	ck_assert_int_eq(agent_parse_numa_line("55d0 weighted interleave:0 stack", &vma), 0);
	ck_assert_str_eq(vma.policy, "weighted interleave:0");
	ck_assert_uint_eq(vma.node_count, 0);
}
END_TEST

START_TEST(numa_line_nonsense_is_refused_or_left_out)
{
	ck_assert_int_eq(agent_parse_numa_line("", &vma), -EINVAL);
	ck_assert_int_eq(agent_parse_numa_line("xyz default", &vma), -EINVAL);
	ck_assert_int_eq(agent_parse_numa_line("7f00", &vma), -EINVAL);
	ck_assert_int_eq(agent_parse_numa_line("7f00 ", &vma), -EINVAL);
	ck_assert_int_eq(agent_parse_numa_line("7f00 default N=3 N1= N1=x N1024=1 N1=3x "
					       "N1=99999999999999999999 kernelpagesize_kB=3",
					       &vma),
			 0);
	ck_assert_uint_eq(vma.node_count, 0);
	ck_assert_uint_eq(vma.page_bytes, 4096);
}
END_TEST

START_TEST(smaps_heads_and_huge_pages_are_told_apart)
{
	uint64_t start = 0, end = 0, huge = 0;

	ck_assert_int_eq(
	    agent_parse_smaps_line("7f00-8f00 rw-p 0 00:00 0  [heap]\n", &start, &end, &huge), 1);
	ck_assert_uint_eq(start, 0x7f00);
	ck_assert_uint_eq(end, 0x8f00);
	ck_assert_int_eq(
	    agent_parse_smaps_line("AnonHugePages:      2048 kB\n", &start, &end, &huge), 0);
	ck_assert_int_eq(agent_parse_smaps_line("FilePmdMapped: 2 kB\n", &start, &end, &huge), 0);
	ck_assert_uint_eq(huge, 2050 << 10);
	ck_assert_uint_eq(agent_parse_smaps_shared("Shared_Clean:  4 kB\n"), 4096);
	ck_assert_uint_eq(agent_parse_smaps_shared("Shared_Dirty: 12 kB\n"), 12288);
	ck_assert_uint_eq(agent_parse_smaps_shared("Shared_Hugetlb: 2048 kB\n"), 0);
	ck_assert_uint_eq(agent_parse_smaps_shared("Private_Dirty: 12 kB\n"), 0);
	ck_assert_int_eq(agent_parse_smaps_line("8f00-7f00 rw-p\n", &start, &end, &huge), 0);
	ck_assert_int_eq(agent_parse_smaps_line("Anonymous: 3 kB\n", &start, &end, &huge), 0);
	ck_assert_uint_eq(start, 0x7f00);
}
END_TEST

START_TEST(maps_of_two_moments_are_joined_by_address)
{
	struct agent_usage usage;

	fake_file("proc/77/numa_maps", "1000 default N0=1 kernelpagesize_kB=4\n"
				       "3000 default N1=2 kernelpagesize_kB=4\n"
				       "8000 default N1=4 kernelpagesize_kB=4\n"
				       "400000 default N0=600 kernelpagesize_kB=4\n"
				       "40000000 default huge N1=3 kernelpagesize_kB=2048\n");
	fake_file("proc/77/smaps", "1000-2000 rw-p 0 0 0\nAnonHugePages: 0 kB\n"
				   "2000-3000 rw-p 0 0 0\n"
				   "8000-c000 rw-p 0 0 0\n"
				   "400000-800000 rw-p 0 0 0\nAnonHugePages: 2048 kB\n"
				   "40000000-50000000 rw-p 0 0 0\n");
	ck_assert_int_eq(agent_usage_read(FAKE_PID, true, &usage, NULL), 0);
	/* 3000 is in one file alone. */
	ck_assert_uint_eq(usage.small_bytes[0], (1 + 600 - 512) * 4096);
	ck_assert_uint_eq(usage.huge_bytes[0], 2 << 20);
	ck_assert_uint_eq(usage.small_bytes[1], 4 * 4096);
	ck_assert_uint_eq(usage.huge_bytes[1], 6 << 20);
	ck_assert_uint_eq(usage.total_bytes, 605 * 4096 + (6 << 20));
	ck_assert(!usage.huge_estimated);
}
END_TEST

START_TEST(maps_mixed_over_nodes_are_estimated_and_say_so)
{
	struct agent_usage usage;

	fake_file("proc/77/numa_maps", "400000 default N0=1536 N1=512 kernelpagesize_kB=4\n");
	fake_file("proc/77/smaps", "400000-c00000 rw-p 0 0 0\nAnonHugePages: 4096 kB\n");
	ck_assert_int_eq(agent_usage_read(FAKE_PID, true, &usage, NULL), 0);
	ck_assert(usage.huge_estimated);
	ck_assert_uint_eq(usage.total_bytes, 2048 * 4096);
	ck_assert_uint_eq(agent_usage_on(&usage, 0), 1536 * 4096);
}
END_TEST

START_TEST(maps_of_nobody_and_of_a_kernel_without_numa_are_told_apart)
{
	struct gmig_error err = {0};
	struct agent_usage usage;
	char path[PATH_MAX + 32];

	ck_assert_int_eq(agent_usage_read(78, true, &usage, &err), -ESRCH);
	snprintf(path, sizeof(path), "%s/proc/77/numa_maps", tree_root);
	unlink(path);
	ck_assert_int_eq(agent_usage_read(FAKE_PID, true, &usage, &err), -ENOSYS);
	ck_assert_ptr_nonnull(strstr(err.text, "NUMA"));
}
END_TEST

START_TEST(process_is_read_whatever_its_name)
{
	struct agent_process process;

	ck_assert_int_eq(agent_process_read(FAKE_PID, &process, NULL), 0);
	ck_assert_str_eq(process.comm, "worker (x) y");
	ck_assert_uint_eq(process.start_time, 500);
	ck_assert_int_eq(process.last_cpu, 1);
	ck_assert_uint_eq(process.uid, 1000);
	ck_assert(!process.kernel);
	ck_assert_str_eq(agent_process_cgroup(&process), "/work.slice/a");
	ck_assert_int_eq(agent_set_count(&process.cpus), 2);
	ck_assert_int_eq(agent_process_check(FAKE_PID, 500, NULL), 0);
	ck_assert_int_eq(agent_process_check(FAKE_PID, 501, NULL), -ESRCH);
	ck_assert_int_eq(agent_process_read(78, &process, NULL), -ESRCH);
}
END_TEST

START_TEST(kernel_threads_are_known_by_flag_or_lack_of_memory)
{
	struct agent_process process = {0};

	ck_assert_int_eq(
	    agent_parse_stat("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 "
			     "0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0",
			     &process),
	    0);
	ck_assert(process.kernel);
	memset(&process, 0, sizeof(process));
	ck_assert_int_eq(agent_parse_status("Name:\tx\nTgid:\t2\nUid:\t0\t0\n", &process), 0);
	ck_assert(process.kernel);
	ck_assert_int_eq(agent_parse_stat("2 (short) S 0", &process), -EINVAL);
	ck_assert_int_eq(agent_parse_stat("garbage", &process), -EINVAL);
	ck_assert_int_eq(agent_parse_stat(")(", &process), -EINVAL);
	ck_assert_int_eq(agent_parse_status("no group", &process), -EINVAL);
}
END_TEST

START_TEST(cgroup_is_read_in_each_hierarchy)
{
	struct agent_process process;

	agent_parse_cgroup("5:cpu,cpuset:/c/d\n4:memory:/m\n1:name=systemd:/s\n0::/u\n", &process);
	ck_assert_str_eq(process.cgroup[AGENT_HIERARCHY_CPUSET], "/c/d");
	ck_assert_str_eq(process.cgroup[AGENT_HIERARCHY_SYSTEMD], "/s");
	ck_assert_str_eq(process.cgroup[AGENT_HIERARCHY_UNIFIED], "/u");
	ck_assert_str_eq(agent_process_cgroup(&process), "/u");
	agent_parse_cgroup("3:cpuset:/\n2:mycpuset:/x\n1:name=systemd:/a.service\n", &process);
	ck_assert_str_eq(process.cgroup[AGENT_HIERARCHY_UNIFIED], "");
	ck_assert_str_eq(process.cgroup[AGENT_HIERARCHY_CPUSET], "/");
	ck_assert_str_eq(agent_process_cgroup(&process), "/a.service");
	agent_parse_cgroup("garbage\n::\n", &process);
	ck_assert_str_eq(agent_process_cgroup(&process), "/");
}
END_TEST

START_TEST(cgroup_members_below_are_found)
{
	AGENT_PIDS pids = {0};

	fake_file("cgroup/a/cgroup.procs", "1\n2\n");
	fake_file("cgroup/a/b/cgroup.procs", "3\n");
	fake_file("cgroup/a/b/c/cgroup.procs", "4\n");
	fake_file("cgroup/ab/cgroup.procs", "9\n");
	ck_assert_int_eq(agent_pids_cgroup("/a/", &pids, NULL), 0);
	ck_assert_uint_eq(pids.count, 4);
	ck_assert_int_eq(agent_pids_cgroup("/nix", &pids, NULL), -ENOENT);
	ck_assert_int_eq(agent_pids_cgroup("/a/../b", &pids, NULL), -EINVAL);
	ck_assert_int_eq(agent_pids_cgroup("a", &pids, NULL), -EINVAL);
}
END_TEST

/* Where memory lies would be told of some of it. */
START_TEST(maps_that_cannot_be_read_to_their_end_are_told_as_such)
{
	struct agent_usage usage;
	struct gmig_error err = {0};

	fake_file("proc/81/numa_maps", "7f00aa000000 default anon=2 N0=2 kernelpagesize_kB=4\n");
	fake_file("proc/81/maps/is-no-file", "%s", "");
	ck_assert_int_eq(agent_usage_read(81, false, &usage, &err), -EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "EISDIR"));
	fake_file("proc/82/numa_maps/is-no-file", "%s", "");
	fake_file("proc/82/maps", "7f00aa000000-7f00aa002000 rw-p 00000000 00:00 0\n");
	ck_assert_int_eq(agent_usage_read(82, false, &usage, &err), -EISDIR);
}
END_TEST

static int read_members(void)
{
	AGENT_PIDS pids = {0};

	return agent_pids_cgroup("/a", &pids, NULL);
}

static int read_threads(void)
{
	AGENT_PIDS pids = {0};

	return agent_pids_threads(77, &pids, NULL);
}

/* Some of them would be moved, or bound, and all be told as done. */
START_TEST(processes_and_threads_that_cannot_be_listed_are_told_as_such)
{
	int members, threads;

	fake_file("cgroup/a/cgroup.procs", "1\n");
	fake_file("cgroup/a/b/cgroup.procs", "3\n");
	fake_file("proc/77/task/77/comm", "x\n");
	ck_assert_int_eq(read_members(), 0);
	ck_assert_int_eq(read_threads(), 0);
	members = without_listing(read_members);
	threads = without_listing(read_threads);
	ck_assert_msg(members == -EIO || members == NO_LISTING_SKIP, "%d", members);
	ck_assert_msg(threads == -EIO || threads == NO_LISTING_SKIP, "%d", threads);
}
END_TEST

/* As Debian 10 and many containers are: version 1, with version 2 beside it. */
START_TEST(cgroup_of_a_hybrid_host_is_found_in_each_hierarchy)
{
	struct gmig_error err = {0};
	char path[PATH_MAX], want[PATH_MAX + 40];
	AGENT_PIDS pids = {0};

	snprintf(path, sizeof(path), "%s/cgroup/cgroup.procs", tree_root);
	unlink(path);
	ck_assert_int_eq(agent_pids_cgroup("/a", &pids, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "any hierarchy: none is mounted"));
	fake_file("cgroup/unified/cgroup.procs", "1\n");
	fake_file("cgroup/unified/u.slice/cgroup.procs", "5\n");
	fake_file("cgroup/systemd/cgroup.procs", "1\n");
	fake_file("cgroup/systemd/a.service/cgroup.procs", "6\n");
	fake_file("cgroup/cpuset/cgroup.procs", "1\n");
	fake_file("cgroup/cpuset/set/cgroup.procs", "7\n");
	ck_assert_int_eq(agent_pids_cgroup("/u.slice", &pids, &err), 0);
	ck_assert_int_eq(agent_pids_cgroup("/a.service", &pids, &err), 0);
	ck_assert_int_eq(agent_pids_cgroup("/set", &pids, &err), 0);
	ck_assert_uint_eq(pids.count, 3);
	ck_assert_int_eq(pids.pid[0] * 100 + pids.pid[1] * 10 + pids.pid[2], 567);
	/* CPUs and nodes are cpuset's. */
	ck_assert_int_eq(agent_cgroup_path("/set/", "cpuset.mems", path, sizeof(path), &err), 0);
	snprintf(want, sizeof(want), "%s/cgroup/cpuset/set/cpuset.mems", tree_root);
	ck_assert_str_eq(path, want);
	ck_assert_int_eq(agent_cgroup_path("/a.service", "cpuset.mems", path, sizeof(path), &err),
			 -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "no cgroup /a.service in cpuset's hierarchy "
					       "(version 1) at "));
	ck_assert_int_eq(agent_pids_cgroup("/none", &pids, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/unified, systemd's hierarchy at "));
	ck_assert_ptr_nonnull(strstr(err.text, "/cpuset: ENOENT (2)"));
}
END_TEST

START_TEST(cgroup_named_as_a_controller_is_one_in_version_two)
{
	char path[PATH_MAX], want[PATH_MAX + 40];
	AGENT_PIDS pids = {0};

	fake_file("cgroup/cpuset/cgroup.procs", "3\n");
	fake_file("cgroup/a/cgroup.procs", "4\n");
	ck_assert_int_eq(agent_pids_cgroup("/a", &pids, NULL), 0);
	ck_assert_uint_eq(pids.count, 1);
	ck_assert_int_eq(agent_cgroup_path("/cpuset", "cpuset.cpus", path, sizeof(path), NULL), 0);
	snprintf(want, sizeof(want), "%s/cgroup/cpuset/cpuset.cpus", tree_root);
	ck_assert_str_eq(path, want);
}
END_TEST

/* On the real host, whichever hierarchies it has. */
START_TEST(cgroup_of_this_process_is_found)
{
	struct agent_process self;
	struct gmig_error err = {0};
	AGENT_PIDS pids = {0};
	bool found = false;

	agent_sys = &agent_sys_real;
	ck_assert_int_eq(agent_process_read(getpid(), &self, NULL), 0);
	if (!agent_pids_cgroup(agent_process_cgroup(&self), &pids, &err))
		for (size_t i = 0; i < pids.count; i++)
			found |= pids.pid[i] == getpid();
	/* A container may see its cgroups by names that are not mounted. */
	ck_assert_msg(found || strstr(err.text, "there is no cgroup"), "%s", err.text);
}
END_TEST

/* ---- The allow-list -------------------------------------------------------------------------- */

static int parse(const char *text, struct agent_conf *conf, struct gmig_error *err)
{
	char copy[512];

	snprintf(copy, sizeof(copy), "%s", text);
	return agent_conf_parse(copy, agent_knows_command, conf, err);
}

static int check(const char *text, const char *user_cgroup_comm)
{
	struct agent_process process = {.pid = 5, .tgid = 5};
	struct agent_conf conf;
	struct gmig_error err = {0};
	int rc, uid;

	ck_assert_int_eq(
	    sscanf(user_cgroup_comm, "%d %511s %63s", &uid, process.cgroup[0], process.comm), 3);
	process.uid = (uid_t)uid;
	ck_assert_int_eq(parse(text, &conf, &err), 0);
	rc = agent_conf_check_process(&conf, &process, NULL);
	agent_conf_free(&conf);
	return rc;
}

START_TEST(conf_lets_only_those_on_the_list_be_touched)
{
	ck_assert_int_eq(check("", "0 / init"), 0);
	ck_assert_int_eq(check("users = all\ncgroups=all\n# users = 7\n", "0 / init"), 0);
	ck_assert_int_eq(check("users = 7 8", "8 / x"), 0);
	ck_assert_int_eq(check("users = 7 8", "9 / x"), -EPERM);
	ck_assert_int_eq(check("users = 70", "7 / x"), -EPERM);
	ck_assert_int_eq(check("programs = db web # two", "1 / web"), 0);
	ck_assert_int_eq(check("programs = db web", "1 / we"), -EPERM);
	ck_assert_int_eq(check("programs = a-name-of-15-by", "1 / a-name-of-15-by"), 0);
	ck_assert_int_eq(check("programs = all\t# all", "1 / x"), 0);
	ck_assert_int_eq(check("cgroups = /a/ /b", "1 /a/x y"), 0);
	ck_assert_int_eq(check("cgroups = /a", "1 /a y"), 0);
	ck_assert_int_eq(check("cgroups = /a", "1 /ab y"), -EPERM);
	ck_assert_int_eq(check("cgroups = /a\nusers = 1\n", "2 /a y"), -EPERM);
	ck_assert_int_eq(check("cgroups = /", "1 /a y"), 0);
}
END_TEST

START_TEST(conf_names_with_spaces_stand_in_quotes)
{
	static const char *const names[] = {"Web Content", "a \"b\" #1", "c\\d", "plain"};
	struct agent_process process = {.pid = 5, .tgid = 5, .cgroup = {"/my slice/x"}};
	struct agent_conf conf;
	struct gmig_error err = {0};

	ck_assert_msg(!parse("cgroups = \"/my slice\" /b # two\nprograms = \"Web Content\" "
			     "\"a \\\"b\\\" #1\" plain \"c\\\\d\" # end",
			     &conf, &err),
		      "%s", err.text);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		strcpy(process.comm, names[i]);
		ck_assert_int_eq(agent_conf_check_process(&conf, &process, NULL), 0);
	}
	strcpy(process.comm, "Web");
	ck_assert_int_eq(agent_conf_check_process(&conf, &process, NULL), -EPERM);
	agent_conf_free(&conf);
}
END_TEST

START_TEST(conf_never_lets_kernel_threads_or_ourselves_be_touched)
{
	struct agent_process process = {.pid = 5, .tgid = 5, .kernel = true};
	const struct agent_conf conf = {0};

	ck_assert_int_eq(agent_conf_check_process(&conf, &process, NULL), -EPERM);
	process.kernel = false;
	ck_assert_int_eq(agent_conf_check_process(&conf, &process, NULL), 0);
	process.tgid = getpid();
	ck_assert_int_eq(agent_conf_check_process(&conf, &process, NULL), -EPERM);
}
END_TEST

START_TEST(conf_commands_and_rate_are_limited)
{
	struct agent_conf conf;

	ck_assert_int_eq(parse("commands = numa-maps processes\nmax-rate = 2.5M", &conf, NULL), 0);
	ck_assert(agent_conf_allows_command(&conf, "numa-maps"));
	ck_assert(agent_conf_allows_command(&conf, "guest-ping"));
	ck_assert(!agent_conf_allows_command(&conf, "migrate-pages"));
	ck_assert_uint_eq(agent_conf_rate(&conf, 0), 5 << 19);
	ck_assert_uint_eq(agent_conf_rate(&conf, 5), 5);
	ck_assert_uint_eq(agent_conf_rate(&conf, 9 << 20), 5 << 19);
	agent_conf_free(&conf);
}
END_TEST

START_TEST(conf_mistakes_name_the_line)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
	    {"\nwhat", "line 2"},
	    {"what = 1", "there is no 'what'"},
	    {"users =", "needs a value"},
	    {"users = 1\nusers = all", "twice"},
	    {"users = root", "'root' is not the number of a user"},
	    {"users = 1 all", "'all' stands alone"},
	    {"programs = all db", "'all' stands alone"},
	    {"cgroups = a", "'a' is no cgroup"},
	    {"cgroups = /a/../b", "it has a '..'"},
	    {"commands = numa-map", "'numa-map' is no command of this agent"},
	    {"commands = ping all", "'ping' is no command"},
	    {"programs = a-name-of-16-byt", "longer than the 15 characters"},
	    {"programs = \"Web Content", "in quotes"},
	    {"programs = \"a\"b", "in quotes"},
	    {"programs = a\"b\"", "in quotes"},
	    {"programs = db \"\"", "an empty name"},
	    {"programs = \"# db", "in quotes"},
	    {"max-rate = 1M\nmax-rate = 2M", "twice"},
	    {"max-rate = fast", "no size"},
	    {"max-rate = 1X", "no size"},
	    {"max-rate = 99999999999T", "too big"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct gmig_error err = {0};
		struct agent_conf conf;

		ck_assert_msg(parse(bad[i].text, &conf, &err) < 0, "'%s'", bad[i].text);
		ck_assert_msg(strstr(err.text, bad[i].says) != NULL, "'%s': %s", bad[i].text,
			      err.text);
	}
}
END_TEST

START_TEST(conf_file_missing_is_refused_if_required_and_else_allows_all)
{
	struct agent_conf_file file = {.path = "/nonexistent/agent.conf",
				       .knows_command = agent_knows_command};
	struct agent_conf conf;
	struct gmig_error err = {0};

	ck_assert_int_eq(agent_conf_read(&file, &conf, &err), 0);
	ck_assert(agent_conf_allows_command(&conf, "collapse"));
	file.required = true;
	ck_assert_int_eq(agent_conf_read(&file, &conf, &err), -ENOENT);
	ck_assert_str_eq(err.text, "/nonexistent/agent.conf: No such file or directory");
	file.path = tree_root;
	ck_assert_int_eq(agent_conf_read(&file, &conf, &err), -EISDIR);
}
END_TEST

/* What is behind a NUL would silently not apply. */
START_TEST(conf_file_with_a_nul_is_refused)
{
	static const char text[] = "users = 1\n\0programs = db\n";
	char path[4096];
	struct agent_conf_file file = {.path = path, .knows_command = agent_knows_command};
	struct agent_conf conf;
	struct gmig_error err = {0};
	int fd;

	snprintf(path, sizeof(path), "%s/agent.conf", tree_root);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	ck_assert_int_eq(agent_conf_read(&file, &conf, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "it has a NUL in it"));
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_maps");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, fake_kernel_setup, fake_kernel_teardown);
	tcase_add_test(tcase, numa_line_gives_policy_file_nodes_and_page_size);
	tcase_add_test(tcase, numa_line_of_hugetlb_and_heap_is_understood);
	tcase_add_test(tcase, numa_line_nonsense_is_refused_or_left_out);
	tcase_add_test(tcase, smaps_heads_and_huge_pages_are_told_apart);
	tcase_add_test(tcase, maps_of_two_moments_are_joined_by_address);
	tcase_add_test(tcase, maps_mixed_over_nodes_are_estimated_and_say_so);
	tcase_add_test(tcase, maps_of_nobody_and_of_a_kernel_without_numa_are_told_apart);
	tcase_add_test(tcase, process_is_read_whatever_its_name);
	tcase_add_test(tcase, kernel_threads_are_known_by_flag_or_lack_of_memory);
	tcase_add_test(tcase, cgroup_is_read_in_each_hierarchy);
	tcase_add_test(tcase, cgroup_of_a_hybrid_host_is_found_in_each_hierarchy);
	tcase_add_test(tcase, cgroup_named_as_a_controller_is_one_in_version_two);
	tcase_add_test(tcase, cgroup_of_this_process_is_found);
	tcase_add_test(tcase, cgroup_members_below_are_found);
	tcase_add_test(tcase, maps_that_cannot_be_read_to_their_end_are_told_as_such);
	tcase_add_test(tcase, processes_and_threads_that_cannot_be_listed_are_told_as_such);
	tcase_add_test(tcase, conf_lets_only_those_on_the_list_be_touched);
	tcase_add_test(tcase, conf_never_lets_kernel_threads_or_ourselves_be_touched);
	tcase_add_test(tcase, conf_commands_and_rate_are_limited);
	tcase_add_test(tcase, conf_mistakes_name_the_line);
	tcase_add_test(tcase, conf_file_missing_is_refused_if_required_and_else_allows_all);
	tcase_add_test(tcase, conf_file_with_a_nul_is_refused);
	tcase_add_test(tcase, conf_names_with_spaces_stand_in_quotes);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
