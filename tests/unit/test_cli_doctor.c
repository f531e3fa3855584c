/* gmig doctor: each state of a host is told apart, and comes with what to do. */
#include "../../cli/doctor.h"
#include "failing_open.h"
#include "no_listing.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char root[64];
static struct gmig_features features;
static struct gmig_topology *topology;
static struct doctor_host host;
static json_t *report;

/* Make a file below the root, and its directories. */
static void put(const char *path, const char *text)
{
	char full[256];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	file = fopen(full, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

/* A healthy host with two (fake) nodes. */
static void setup(void)
{
	strcpy(root, "/tmp/gmig-test-doctor-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	setenv("XDG_RUNTIME_DIR", root, 1);
	put("/dev/kvm", "");
	put("/dev/userfaultfd", "");
	put("/proc/sys/vm/unprivileged_userfaultfd", "0\n");
	put("/proc/sys/vm/max_map_count", "65530\n");
	put("/proc/sys/kernel/numa_balancing", "1\n");
	put("/proc/1/comm", "init\n");
	put("/proc/self/status", "Name:\tx\nMems_allowed_list:\t0-1\n");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	put("/sys/kernel/mm/transparent_hugepage/defrag", "always defer [madvise] never\n");
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
	    "always within_size [advise] never deny force\n");
	put("/sys/kernel/mm/ksm/run", "0\n");
	memset(&features, 0, sizeof(features));
	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	host = (struct doctor_host){root, "6.12.1-amd64", "alice", &features, topology, 7, false};
	report = NULL;
}

static void teardown(void)
{
	char command[128];

	gmig_topology_put(topology);
	json_decref(report);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

static const json_t *check_of(const char *name)
{
	const json_t *list = json_object_get(report, "checks");
	size_t i;
	json_t *check;

	json_array_foreach (list, i, check)
		if (!strcmp(json_string_value(json_object_get(check, "name")), name))
			return check;
	ck_abort_msg("no check '%s'", name);
	return NULL;
}

/* Examine; the check must have this state, and its text and advice these parts. */
static void expect(const char *name, const char *state, const char *text, const char *todo)
{
	const json_t *check;
	const char *its_text, *its_todo;

	json_decref(report);
	report = doctor_examine(&host);
	check = check_of(name);
	its_text = json_string_value(json_object_get(check, "text"));
	its_todo = json_string_value(json_object_get(check, "todo"));
	ck_assert_str_eq(json_string_value(json_object_get(check, "state")), state);
	ck_assert_msg(strstr(its_text, text) != NULL, "no '%s' in '%s'", text, its_text);
	if (!todo)
		ck_assert_msg(!its_todo, "needless advice '%s'", its_todo);
	/* What is found is never left without what to do. */
	ck_assert_msg(!todo == !strcmp(state, "ok"), "%s: '%s' without advice", name, its_text);
	if (!todo)
		return;
	ck_assert_msg(its_todo && strstr(its_todo, todo), "no '%s' in '%s'", todo, its_todo);
	/* Exactly a failed check makes the host unfit. */
	if (!strcmp(state, "fail"))
		ck_assert_int_eq(json_is_false(json_object_get(report, "ok")), 1);
}

START_TEST(doctor_healthy_host_is_ok_without_advice)
{
	const json_t *list;
	size_t i;
	json_t *check;

	report = doctor_examine(&host);
	ck_assert_int_eq(json_is_true(json_object_get(report, "ok")), 1);
	list = json_object_get(report, "checks");
	ck_assert_uint_ge(json_array_size(list), 16);
	json_array_foreach (list, i, check) {
		ck_assert_str_eq(json_string_value(json_object_get(check, "state")), "ok");
		ck_assert_ptr_null(json_object_get(check, "todo"));
	}
	expect("userfaultfd", "ok", "by /dev/userfaultfd", NULL);
	expect("huge-pages", "ok", "huge pages: madvise, defrag: madvise", NULL);
	expect("shared-huge-pages", "ok", "shared memory: advise", NULL);
	expect("nodes", "ok", "2 NUMA nodes, free: node 0 ", NULL);
	expect("autonuma", "ok", "AutoNUMA is on", NULL);
}
END_TEST

START_TEST(doctor_old_kernel_fails_and_names_6_8)
{
	host.release = "6.1.0-18-amd64";
	features.move = GMIG_FEATURE_MISSING;
	features.pagemap_scan = GMIG_FEATURE_MISSING;
	expect("kernel", "fail", "Linux 6.1.0-18-amd64: guests run", "6.8");
	expect("move", "fail", "does not work here", "6.8");
	expect("pagemap", "fail", "does not work here", "6.7");
}
END_TEST

/* For want of descriptors, say: that is no word about the host. */
START_TEST(doctor_does_not_say_that_there_is_none_of_what_could_not_be_tried)
{
	features.userfaultfd = features.move = features.write_protect = features.pagemap_scan =
	    GMIG_FEATURE_UNKNOWN;
	features.mbind = features.move_pages = features.minor_hugetlb = GMIG_FEATURE_UNKNOWN;
	expect("userfaultfd", "fail", "could not be tried", "ulimit -n");
	expect("move", "fail", "not tried, userfaultfd comes first", "said of userfaultfd");
	expect("pagemap", "fail", "could not be tried", "ulimit -n");
	expect("placement", "fail", "could not be tried", "ulimit -n");
	expect("shared-hugetlb", "note", "could not be tried", "ulimit -n");
	features.userfaultfd = GMIG_FEATURE_OK;
	expect("move", "fail", "could not be tried", "ulimit -n");
	host.release = "6.1.0-18-amd64";
	expect("kernel", "fail", "could not be tried", "ulimit -n");
}
END_TEST

START_TEST(doctor_old_number_with_the_feature_is_ok)
{
	host.release = "5.14.0-503.el9";
	expect("kernel", "ok", "with UFFDIO_MOVE", NULL);
	host.release = "7.0.1";
	expect("kernel", "ok", "Linux 7.0.1", NULL);
}
END_TEST

START_TEST(doctor_kernel_with_a_fault_fails_and_doubtful_one_is_a_note)
{
	features.kernel = GMIG_FEATURE_UNSAFE;
	strcpy(features.kernel_fault, "Linux 6.18.3: its UFFDIO_MOVE damages memory");
	expect("kernel-faults", "fail", "Linux 6.18.3: its UFFDIO_MOVE", "--unsafe-kernel");
	host.unsafe_kernel = true;
	expect("kernel-faults", "note", "migration is on nevertheless", "unset GMIG_UNSAFE");
	features.kernel = GMIG_FEATURE_DOUBTFUL;
	expect("kernel-faults", "note", "its UFFDIO_MOVE", "changelog");
	ck_assert_int_eq(json_is_true(json_object_get(report, "ok")), 1);
}
END_TEST

START_TEST(doctor_names_the_placement_calls_that_are_refused)
{
	features.mbind = features.move_pages = GMIG_FEATURE_NO_RIGHT;
	expect("placement", "fail", "seccomp filter: mbind, move_pages", "--cap-add SYS_NICE");
	features.mbind = features.move_pages = GMIG_FEATURE_OK;
	features.set_mempolicy = GMIG_FEATURE_NO_RIGHT;
	expect("placement", "note", "seccomp filter: set_mempolicy", "@resources");
	ck_assert_int_eq(json_is_true(json_object_get(report, "ok")), 1);
	features.mbind = features.move_pages = features.set_mempolicy = GMIG_FEATURE_MISSING;
	expect("placement", "note", "no NUMA", "CONFIG_NUMA=y");
}
END_TEST

START_TEST(doctor_no_right_to_userfaultfd_names_the_rule_and_the_user)
{
	features.userfaultfd = GMIG_FEATURE_NO_RIGHT;
	features.move = features.write_protect = GMIG_FEATURE_MISSING;
	expect("userfaultfd", "fail", "user alice has no right", "60-gmig-userfaultfd.rules");
	expect("userfaultfd", "fail", "unprivileged_userfaultfd is 0", "usermod -aG kvm alice");
	expect("move", "fail", "not tried, userfaultfd comes first", "said of userfaultfd");
	expect("write-protect", "fail", "not tried, userfaultfd comes first", "of userfaultfd");
}
END_TEST

START_TEST(doctor_tells_when_what_only_a_peer_has_touched_is_not_seen)
{
	expect("shared-hugetlb", "ok", "only another process has touched are seen", NULL);
	features.minor_hugetlb = GMIG_FEATURE_NO_RIGHT;
	expect("shared-hugetlb", "note",
	       "user alice has no right to a userfaultfd: of guests with --memory memfd,huge=2M",
	       "usermod -aG kvm alice");
	features.minor_hugetlb = GMIG_FEATURE_MISSING;
	expect("shared-hugetlb", "note", "no minor faults of hugetlb pages", "Linux 5.18");
}
END_TEST

START_TEST(doctor_kernel_without_userfaultfd_says_so)
{
	features.userfaultfd = GMIG_FEATURE_MISSING;
	expect("userfaultfd", "fail", "has no userfaultfd", "CONFIG_USERFAULTFD");
	put("/proc/self/status", "Mems_allowed_list:\t0-1\nSeccomp:\t2\n");
	expect("userfaultfd", "fail", "a seccomp filter, as a container's", "--device /dev/user");
}
END_TEST

START_TEST(doctor_pagemap_without_right_names_proc)
{
	features.pagemap_scan = GMIG_FEATURE_NO_RIGHT;
	expect("pagemap", "fail", "no right", "/proc/self/pagemap");
}
END_TEST

START_TEST(doctor_kvm_absent_or_not_allowed_fails)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/dev/kvm", root);
	unlink(path);
	expect("kvm", "fail", "No such file", "load kvm_intel or kvm_amd");
	mkdir(path, 0700); /* cannot be opened for writing, not even by root */
	expect("kvm", "fail", "/dev/kvm: ", "usermod -aG kvm alice");
}
END_TEST

START_TEST(doctor_slow_settings_are_notes)
{
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
	expect("huge-pages", "note", "are off", "echo madvise");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
	put("/sys/kernel/mm/transparent_hugepage/defrag", "always madvise [never]\n");
	expect("huge-pages", "note", "huge pages are always, but the kernel makes no room",
	       "defrag");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "");
	expect("huge-pages", "note", "not in this kernel", "echo madvise");
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
	    "always within_size advise [never] deny force\n");
	expect("shared-huge-pages", "note", "shmem_enabled is never", "echo advise > /sys/");
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
	    "always within_size advise never [deny] force\n");
	expect("shared-huge-pages", "note", "shmem_enabled is deny", "memfd,huge=2M");
	put("/sys/kernel/mm/ksm/run", "1\n");
	expect("ksm", "note", "KSM runs", "echo 2");
	put("/proc/sys/vm/max_map_count", "1024\n");
	expect("max-map-count", "note", "is 1024", "65530");
	put("/proc/sys/vm/max_map_count", "65530\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "57338\n");
	expect("max-map-count", "ok", "is 65530", NULL);
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "57339\n");
	expect("max-map-count", "note", "--memory hugetlb 112.0G can move", "=73723");
	host.landlock = -1;
	expect("sandbox", "note", "has no Landlock", "lsm=");
	ck_assert_int_eq(json_is_true(json_object_get(report, "ok")), 1);
}
END_TEST

START_TEST(doctor_cpuset_that_hides_a_node_is_a_note)
{
	put("/proc/self/status", "Mems_allowed_list:\t0\n");
	expect("cpuset", "note", "allows memory of the nodes 0 only", "cpuset.mems");
	put("/proc/self/status", "Name:\tx\n");
	expect("cpuset", "ok", "no cpuset", NULL);
}
END_TEST

START_TEST(doctor_one_node_is_a_note)
{
	gmig_topology_put(topology);
	ck_assert_int_eq(gmig_topology_create(1, &topology, NULL), 0);
	host.topology = topology;
	expect("nodes", "note", "1 NUMA node, free: node 0 ", "--fake-nodes 2");
}
END_TEST

START_TEST(doctor_without_a_runtime_directory_fails_unless_root)
{
	unsetenv("XDG_RUNTIME_DIR");
	if (geteuid() == 0)
		expect("sockets", "ok", "/run/gmig", NULL);
	else
		expect("sockets", "fail", "XDG_RUNTIME_DIR is not set", "export XDG_RUNTIME_DIR");
}
END_TEST

START_TEST(doctor_tells_a_cgroup_without_room_and_how_much_a_move_needs)
{
	put("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n");
	expect("room", "ok", "uses up to 64M beside the guest's memory, there is room", NULL);
	put("/proc/self/cgroup", "0::/vm.slice/a\n");
	put("/proc/self/mountinfo",
	    "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
	put("/sys/fs/cgroup/vm.slice/a/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/vm.slice/a/memory.high", "max\n");
	put("/sys/fs/cgroup/vm.slice/a/memory.current", "1040187392\n"); /* 32M free */
	put("/sys/fs/cgroup/vm.slice/a/memory.stat", "inactive_file 0\nactive_file 0\n");
	expect("room", "note", "/sys/fs/cgroup/vm.slice/a leaves ", "MemoryMax=");
	put("/sys/fs/cgroup/vm.slice/a/memory.current", "1073741824\n");
	expect("room", "fail", "/sys/fs/cgroup/vm.slice/a leaves 0", "raise memory.max");
}
END_TEST

START_TEST(doctor_tells_a_host_without_memory)
{
	put("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 60000 kB\n");
	expect("room", "note", "the host leaves ", "free memory on the host");
}
END_TEST

/* A guest of gmig-vmm in a cgroup of its own, with so much of its 1 GiB in use. */
static void put_guest(unsigned int pid, const char *mems, const char *used)
{
	char path[128], text[128];

	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	put(path, "gmig-vmm\n");
	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	snprintf(text, sizeof(text), "Name:\tgmig-vmm\nMems_allowed_list:\t%s\n", mems);
	put(path, text);
	snprintf(path, sizeof(path), "/proc/%u/cgroup", pid);
	snprintf(text, sizeof(text), "0::/vm.slice/%u\n", pid);
	put(path, text);
	put("/proc/self/mountinfo",
	    "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
	snprintf(path, sizeof(path), "/sys/fs/cgroup/vm.slice/%u/memory.max", pid);
	put(path, "1073741824\n");
	snprintf(path, sizeof(path), "/sys/fs/cgroup/vm.slice/%u/memory.current", pid);
	put(path, used);
	snprintf(path, sizeof(path), "/sys/fs/cgroup/vm.slice/%u/memory.stat", pid);
	put(path, "inactive_file 0\nactive_file 0\n");
}

START_TEST(doctor_tells_what_the_cgroup_of_a_guest_keeps_it_from)
{
	expect("guests", "ok", "no guest of gmig-vmm runs", NULL);
	put_guest(31, "0-1", "536870912\n");
	expect("guests", "ok", "1 guest of gmig-vmm runs, each with all nodes and room", NULL);
	put_guest(32, "0-1", "1040187392\n");
	expect("guests", "note", "the guest of pid 32 has ", "raise memory.max");
	expect("room", "ok", "there is room", NULL);
	put_guest(32, "0", "536870912\n");
	expect("guests", "note", "pid 32 may have memory on the nodes 0 only", "/proc/32/cgroup");
	put_guest(33, "1", "0\n");
	expect("guests", "note", "; and 1 other of 3 are like that", "cpuset.mems");
	ck_assert_int_eq(json_is_true(json_object_get(report, "ok")), 1);
}
END_TEST

START_TEST(doctor_tells_that_autonuma_moves_memory_of_qemu)
{
	put("/proc/43/comm", "qemu-ga\n");
	expect("autonuma", "ok", "AutoNUMA is on", NULL);
	put("/proc/44/comm", "qemu-system-x86\n");
	expect("autonuma", "note", "QEMU runs (pid 44)", "kernel.numa_balancing=0");
	put("/proc/sys/kernel/numa_balancing", "0\n");
	expect("autonuma", "ok", "AutoNUMA is off", NULL);
}
END_TEST

START_TEST(doctor_tells_that_numad_runs)
{
	put("/proc/30/comm", "numademo\n");
	expect("numad", "ok", "numad does not run", NULL);
	put("/proc/31/comm", "numad\n");
	expect("numad", "note", "numad runs (pid 31)", "numad -x");
}
END_TEST

/* A directory in a file's place: it is there, and cannot be read. */
static void make_unreadable(const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", root, path);
	unlink(full);
	snprintf(full, sizeof(full), "%s/is-no-file", path);
	put(full, "");
}

START_TEST(doctor_says_what_could_not_be_looked_at)
{
	static const struct {
		const char *check, *path, *text;
	} cases[] = {
	    {"huge-pages", "/sys/kernel/mm/transparent_hugepage/defrag", "whether guests get huge"},
	    {"huge-pages", "/sys/kernel/mm/transparent_hugepage/enabled",
	     "whether guests get huge"},
	    {"shared-huge-pages", "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
	     "whether shared memory"},
	    {"cpuset", "/proc/self/status", "which nodes this cpuset"},
	    {"autonuma", "/proc/sys/kernel/numa_balancing", "whether AutoNUMA is on: Is a dir"},
	    {"ksm", "/sys/kernel/mm/ksm/run", "whether KSM runs"},
	    {"max-map-count", "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
	     "vm.max_map_count is enough"},
	    {"max-map-count", "/proc/sys/vm/max_map_count", "vm.max_map_count is enough"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_unreadable(cases[i].path);
		expect(cases[i].check, "note", "it is not known ", "run gmig doctor again");
		expect(cases[i].check, "note", cases[i].text, "ulimit -n");
	}
	ck_assert_int_eq(json_is_true(json_object_get(report, "ok")), 1);
}
END_TEST

START_TEST(doctor_takes_no_process_that_cannot_be_read_for_another)
{
	put("/proc/31/stat", ""); /* has just ended: no name */
	expect("numad", "ok", "numad does not run", NULL);
	make_unreadable("/proc/30/comm");
	expect("numad", "note", "it is not known whether numad runs: Is a dir", "ulimit -n");
	expect("autonuma", "note", "it is not known whether QEMU runs", "ulimit -n");
	expect("guests", "note", "not known whether each guest of gmig-vmm has all", "ulimit -n");
	put_guest(32, "0-1", "536870912\n");
	expect("guests", "note", "not known whether each guest of gmig-vmm has all", "ulimit -n");
	put_guest(33, "0", "536870912\n");
	expect("guests", "note", "the nodes 0 only", "cpuset.mems");
	expect("guests", "note", "; not all could be looked at: Is a directory", "cpuset.mems");
	put("/proc/34/comm", "numad\n");
	expect("numad", "note", "numad runs (pid 34)", "numad -x");
}
END_TEST

/* proc(5), hidepid=2: who is not root sees himself alone. */
START_TEST(doctor_does_not_say_none_of_processes_that_are_hidden)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/proc/1/comm", root);
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	expect("numad", "note", "it is not known whether numad runs: Operation not permitted",
	       "as root");
	expect("autonuma", "note", "it is not known whether QEMU runs", "as root");
	expect("guests", "note", "not known whether each guest of gmig-vmm has all", "as root");
	/* What is seen is said. */
	put("/proc/31/comm", "numad\n");
	expect("numad", "note", "numad runs (pid 31)", "numad -x");
}
END_TEST

START_TEST(doctor_says_that_a_guests_status_could_not_be_read)
{
	put_guest(32, "0-1", "536870912\n");
	make_unreadable("/proc/32/status");
	expect("guests", "note", "not known whether each guest of gmig-vmm has all", "ulimit -n");
}
END_TEST

/* Without a limit that could be looked at: not the same as no limit. */
START_TEST(doctor_does_not_say_that_there_is_room_where_it_could_not_look)
{
	static const char *const files[] = {"/proc/meminfo", "/a/memory.max", "/self/cgroup"};

	put("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n");
	put("/proc/self/cgroup", "0::/a\n");
	put("/sys/fs/cgroup/a/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/a/memory.current", "0\n");
	put_guest(32, "0-1", "536870912\n");
	expect("room", "ok", "there is room", NULL);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		unreadable = files[i];
		expect("room", "note",
		       "it is not known how much memory a move may use: Too many open files",
		       "ulimit -n");
	}
	unreadable = "/32/memory.max";
	expect("guests", "note", "whether each guest of gmig-vmm has all nodes and room: Too many",
	       "ulimit -n");
	unreadable = NULL;
}
END_TEST

START_TEST(doctor_names_a_process_that_may_have_no_huge_pages)
{
	put("/proc/self/status", "Mems_allowed_list:\t0-1\nTHP_enabled:\t0\n");
	expect("huge-pages", "note", "this process may have no transparent huge pages",
	       "find who sets it");
	put("/proc/self/status", "Mems_allowed_list:\t0-1\nTHP_enabled:\t1\n");
	expect("huge-pages", "ok", "huge pages: madvise", NULL);
	make_unreadable("/proc/self/status");
	expect("huge-pages", "note", "it is not known whether guests get huge pages", "ulimit -n");
}
END_TEST

static int expect_unknown_processes(void)
{
	expect("numad", "note", "not known whether numad runs: Input/output error", "ulimit -n");
	expect("autonuma", "note", "not known whether QEMU runs", "ulimit -n");
	expect("guests", "note", "not known whether each guest of gmig-vmm", "ulimit -n");
	return 0;
}

START_TEST(doctor_without_a_list_of_processes_does_not_say_none)
{
	int ret = without_listing(expect_unknown_processes);

	ck_assert_msg(!ret || ret == NO_LISTING_SKIP, "%d", ret);
}
END_TEST

START_TEST(doctor_tells_a_filter_that_hides_calls_from_a_kernel_without_numa)
{
	features.mbind = features.move_pages = features.set_mempolicy = GMIG_FEATURE_MISSING;
	expect("placement", "note", "this kernel has no NUMA", "CONFIG_NUMA=y");
	put("/proc/self/numa_maps", "");
	expect("placement", "note", "this kernel has no NUMA", "CONFIG_NUMA=y");
	put("/proc/self/status", "Mems_allowed_list:\t0-1\nSeccomp:\t2\n");
	expect("placement", "fail", "seccomp filter: mbind, move_pages, set_mempolicy",
	       "--cap-add SYS_NICE");
}
END_TEST

/* The calls end in `error`, as a container's filter has it. */
static void refuse_calls(int error)
{
	const unsigned int calls[] = {SYS_mbind, SYS_move_pages};
	const unsigned int verdict = SECCOMP_RET_ERRNO | (unsigned int)error;
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[0], 1, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[1], 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, verdict),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {sizeof(code) / sizeof(code[0]), code};

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0), 0);
}

/* This process under a filter: each test runs in one of its own. */
START_TEST(doctor_tells_a_real_filter_of_either_error)
{
	static const int errors[] = {EPERM, ENOSYS};

	if (access("/proc/self/numa_maps", F_OK)) {
		skip_case("this kernel has no NUMA");
		return;
	}
	refuse_calls(errors[_i]);
	gmig_probe_features(&features);
	host.root = "";
	expect("placement", "fail", "seccomp filter: mbind, move_pages", "--cap-add SYS_NICE");
	host.root = root;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_doctor");
	TCase *tcase = tcase_create("doctor");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, doctor_healthy_host_is_ok_without_advice);
	tcase_add_test(tcase, doctor_tells_a_cgroup_without_room_and_how_much_a_move_needs);
	tcase_add_test(tcase, doctor_tells_a_host_without_memory);
	tcase_add_test(tcase, doctor_tells_that_numad_runs);
	tcase_add_test(tcase, doctor_says_what_could_not_be_looked_at);
	tcase_add_test(tcase, doctor_takes_no_process_that_cannot_be_read_for_another);
	tcase_add_test(tcase, doctor_does_not_say_none_of_processes_that_are_hidden);
	tcase_add_test(tcase, doctor_says_that_a_guests_status_could_not_be_read);
	tcase_add_test(tcase, doctor_does_not_say_that_there_is_room_where_it_could_not_look);
	tcase_add_test(tcase, doctor_without_a_list_of_processes_does_not_say_none);
	tcase_add_test(tcase, doctor_tells_what_the_cgroup_of_a_guest_keeps_it_from);
	tcase_add_test(tcase, doctor_tells_that_autonuma_moves_memory_of_qemu);
	tcase_add_loop_test(tcase, doctor_tells_a_real_filter_of_either_error, 0, 2);
	tcase_add_test(tcase, doctor_tells_a_filter_that_hides_calls_from_a_kernel_without_numa);
	tcase_add_test(tcase, doctor_old_kernel_fails_and_names_6_8);
	tcase_add_test(tcase, doctor_does_not_say_that_there_is_none_of_what_could_not_be_tried);
	tcase_add_test(tcase, doctor_names_a_process_that_may_have_no_huge_pages);
	tcase_add_test(tcase, doctor_old_number_with_the_feature_is_ok);
	tcase_add_test(tcase, doctor_kernel_with_a_fault_fails_and_doubtful_one_is_a_note);
	tcase_add_test(tcase, doctor_names_the_placement_calls_that_are_refused);
	tcase_add_test(tcase, doctor_no_right_to_userfaultfd_names_the_rule_and_the_user);
	tcase_add_test(tcase, doctor_tells_when_what_only_a_peer_has_touched_is_not_seen);
	tcase_add_test(tcase, doctor_kernel_without_userfaultfd_says_so);
	tcase_add_test(tcase, doctor_pagemap_without_right_names_proc);
	tcase_add_test(tcase, doctor_kvm_absent_or_not_allowed_fails);
	tcase_add_test(tcase, doctor_slow_settings_are_notes);
	tcase_add_test(tcase, doctor_cpuset_that_hides_a_node_is_a_note);
	tcase_add_test(tcase, doctor_one_node_is_a_note);
	tcase_add_test(tcase, doctor_without_a_runtime_directory_fails_unless_root);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
