/* Another program's memory: who it is, its cpuset, its mappings, what lies where. */
#include "fake_process.h"
#include "suite.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define HUGE_PAGES MOVEPAGES_HUGE_PAGES
#define MIB	   (1ull << 20)

static struct process *process;
static struct process_maps maps;
static struct process_usage usage;
static struct gmig_error err;

static void open_fake(void)
{
	ck_assert_msg(!process_open(&fake_sys, FAKE_PID, &process, &err), "%s", err.text);
	ck_assert_msg(!process_maps_read(process, &maps, &err), "%s", err.text);
}

static void setup(void)
{
	fake_process_setup();
	process = NULL;
	memset(&maps, 0, sizeof(maps));
	memset(&err, 0, sizeof(err));
}

static void teardown(void)
{
	process_maps_free(&maps);
	process_close(process);
	fake_process_teardown();
}

/* ---- Who it is ------------------------------------------------------------------------------- */

START_TEST(open_tells_name_and_rights)
{
	open_fake();
	ck_assert_str_eq(process->name, "worker (x) y");
	ck_assert_uint_eq(process->start_time, 500);
	ck_assert(process->can_scan);
	ck_assert(process->can_shared);
}
END_TEST

START_TEST(open_of_nobody_is_esrch)
{
	ck_assert_int_eq(process_open(&fake_sys, 78, &process, &err), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "78"));
	ck_assert_int_eq(process_open(&fake_sys, 0, &process, &err), -EINVAL);
	ck_assert_int_eq(process_open(&fake_sys, -5, &process, &err), -EINVAL);
}
END_TEST

static int refuse_threads(pid_t pid)
{
	(void)pid;
	return -EINVAL;
}

START_TEST(open_of_a_thread_names_its_process)
{
	fake_file("79/status", "Name:\tworker\nTgid:\t77\n");
	fake_sys.pidfd_open = refuse_threads;
	ck_assert_int_eq(process_open(&fake_sys, 79, &process, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "process 77"));
}
END_TEST

/* What move_pages(2) says; of our own memory `own` says it. */
static long answer, own;

static long refused(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		    int flags)
{
	(void)count, (void)pages, (void)nodes, (void)status, (void)flags;
	return pid ? answer : own;
}

START_TEST(open_without_rights_says_whose_it_is_or_that_a_filter_forbids)
{
	fake_sys.move_pages = refused;
	answer = -EPERM;
	own = 0;
	ck_assert_int_eq(process_open(&fake_sys, FAKE_PID, &process, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "user 1000"));
	own = -EPERM;
	ck_assert_int_eq(process_open(&fake_sys, FAKE_PID, &process, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "seccomp"));
	answer = -EINVAL;
	ck_assert_int_eq(process_open(&fake_sys, FAKE_PID, &process, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "kernel thread"));
}
END_TEST

START_TEST(check_process_that_ended_is_esrch)
{
	open_fake();
	ck_assert_int_eq(process_check(process, &err), 0);
	fake_process_ends();
	ck_assert_int_eq(process_check(process, &err), -ESRCH);
	process_maps_free(&maps);
	ck_assert_int_eq(process_maps_read(process, &maps, &err), -ESRCH);
}
END_TEST

START_TEST(check_without_pidfd_a_recycled_pid_is_noticed)
{
	fake_no_pidfd = true;
	open_fake();
	ck_assert_int_eq(process_check(process, &err), 0);
	fake_stat(501);
	ck_assert_int_eq(process_check(process, &err), -ESRCH);
}
END_TEST

/* ---- Its cpuset ------------------------------------------------------------------------------ */

static struct gmig_node_set set_of(unsigned int a, unsigned int b)
{
	struct gmig_node_set set = {{0}};

	gmig_node_set_add(&set, a);
	gmig_node_set_add(&set, b);
	return set;
}

START_TEST(cpuset_that_lacks_the_node_is_eacces_with_the_set)
{
	const struct gmig_node_set one = set_of(1, 1), three = set_of(3, 3);
	pid_t tid = 0;

	open_fake();
	ck_assert_int_eq(process_thread_for(process, &one, &tid, &err), 0);
	ck_assert_int_eq(tid, FAKE_PID);
	ck_assert_int_eq(process_thread_for(process, &three, &tid, &err), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, "nodes 0-1, not on 3"));
	ck_assert_ptr_nonnull(strstr(err.text, "'/machine.slice/a'"));
}
END_TEST

START_TEST(cpuset_of_another_thread_serves)
{
	const struct gmig_node_set both = set_of(1, 3);
	pid_t tid = 0;

	fake_thread(80, "1");
	fake_thread(81, "1,3");
	open_fake();
	ck_assert_int_eq(process_thread_for(process, &both, &tid, &err), 0);
	ck_assert_int_eq(tid, 81);
}
END_TEST

START_TEST(cpuset_of_version_1_names_its_own_cgroup)
{
	const struct gmig_node_set three = set_of(3, 3);
	pid_t tid = 0;

	fake_file("77/cgroup", "5:memory:/m\n4:cpuset:/sets/one\n0::/unified\n");
	open_fake();
	ck_assert_int_eq(process_thread_for(process, &three, &tid, &err), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, "'/sets/one'"));
}
END_TEST

/* ---- Mappings -------------------------------------------------------------------------------- */

static void parse(const char *text)
{
	FILE *file = fmemopen((char *)text, strlen(text), "r");

	process_maps_free(&maps);
	ck_assert_int_eq(process_maps_parse(file, &maps), 0);
	fclose(file);
}

#define REST "Size: 2048 kB\nRss: 2048 kB\nVmFlags: rd wr mr mw me ac sd\n"

START_TEST(maps_kinds_are_told_apart)
{
	static const struct {
		const char *head, *rest;
		enum process_kind kind;
	} lines[] = {
	    {"1000000-1200000 rw-p 00000000 00:00 0 ", REST, PROCESS_ANON},
	    {"1000000-1200000 rw-p 00000000 00:00 0                  [heap]", REST, PROCESS_ANON},
	    {"1000000-1200000 rw-p 00000000 00:00 0  [anon:guest ram]", REST, PROCESS_ANON},
	    {"1000000-1200000 rw-s 00000000 00:01 5  /memfd:ram (deleted)", REST, PROCESS_SHMEM},
	    {"1000000-1200000 rw-s 00000000 00:01 9  /dev/zero (deleted)", REST, PROCESS_SHMEM},
	    {"1000000-1200000 rw-s 00000000 00:01 9  /SYSV00000000 (deleted)", REST, PROCESS_SHMEM},
	    {"1000000-1200000 rw-s 00000000 00:1a 9  /dev/shm/x", REST, PROCESS_SHMEM},
	    {"1000000-1200000 r-xp 00000000 fe:00 77 /usr/lib/libc.so.6", REST, PROCESS_FILE},
	    {"1000000-1200000 r-xp 00000000 fe:00 77 /tmp/a b\\012c-d (deleted)", REST,
	     PROCESS_FILE},
	    {"1000000-1200000 rw-p 00000000 00:0f 8  /anon_hugepage (deleted)",
	     "KernelPageSize: 2048 kB\nVmFlags: rd wr mr ht\n", PROCESS_HUGETLB},
	    {"1000000-1200000 rw-s 00000000 00:05 8  /dev/vfio/12", "VmFlags: rd wr io pf de dd\n",
	     PROCESS_DEVICE},
	    {"1000000-1001000 r-xp 00000000 00:00 0  [vdso]", REST, PROCESS_DEVICE},
	    {"1000000-1003000 rw-s 00000000 00:0e 1060  anon_inode:kvm-vcpu:0", REST,
	     PROCESS_DEVICE},
	    {"1000000-1003000 rw-s 00000000 00:06 99  /dev/ptp0", REST, PROCESS_DEVICE},
	    {"1000000-1200000 rw-s 00000000 00:2f 99  /dev/hugepages/ram",
	     "KernelPageSize: 2048 kB\nVmFlags: rd wr sh ht\n", PROCESS_HUGETLB},
	    {"1000000-1001000 r--p 00000000 00:00 0  [vvar]", "VmFlags: rd mr pf io de dd\n",
	     PROCESS_DEVICE},
	    {"1000000-1001000 rw-p", REST, PROCESS_ANON},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), "%s\n%s", lines[i].head, lines[i].rest);
		parse(text);
		ck_assert_uint_eq(maps.count, 1);
		ck_assert_msg(maps.mapping[0].kind == lines[i].kind, "%s: %s", lines[i].head,
			      process_kind_name(maps.mapping[0].kind));
		ck_assert_int_eq(process_mapping_fixed(&maps.mapping[0]) != NULL,
				 lines[i].kind == PROCESS_DEVICE);
	}
}
END_TEST

START_TEST(maps_name_that_is_long_is_cut_and_ends)
{
	parse("1000000-1200000 r-xp 00000000 fe:00 77 "
	      "/a/path/of/more/than/forty/seven/bytes/which/is/all/that/is/kept/of/it\n" REST);
	ck_assert_uint_eq(maps.count, 1);
	ck_assert_uint_eq(strnlen(maps.mapping[0].name, sizeof(maps.mapping[0].name)),
			  sizeof(maps.mapping[0].name) - 1);
}
END_TEST

START_TEST(maps_figures_are_taken_and_unbelievable_ones_are_not)
{
	parse("7f0000000000-7f0000800000 rw-s 00000000 00:0f 9   /dev/hugepages/a (deleted)\n"
	      "Size:               8192 kB\nKernelPageSize:     2048 kB\nMMUPageSize:        2048 "
	      "kB\n"
	      "Rss:                   0 kB\nShared_Hugetlb:     2048 kB\nPrivate_Hugetlb:    4096 "
	      "kB\n"
	      "VmFlags: rd wr sh mr mw me ms de ht lo\n"
	      "7f0001000000-7f0002000000 rw-p 00000000 00:00 0 \n"
	      "Rss: 9000 kB\nShared_Clean: 8 kB\nShared_Dirty: 4 kB\nAnonHugePages: 4096 kB\n"
	      "Swap: 100 kB\nSwapPss: 7 kB\nKernelPageSize: 5 kB\n"
	      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\nRss: 4 kB\n");
	ck_assert_uint_eq(maps.count, 2);
	ck_assert_int_eq(maps.mapping[0].kind, PROCESS_HUGETLB);
	ck_assert_uint_eq(maps.mapping[0].page_bytes, 2 * MIB);
	ck_assert_uint_eq(maps.mapping[0].resident_bytes, 6 * MIB);
	ck_assert_uint_eq(maps.mapping[0].shared_bytes, 2 * MIB);
	ck_assert(maps.mapping[0].locked);
	ck_assert_str_eq(maps.mapping[0].name, "/dev/hugepages/a (deleted)");
	ck_assert_uint_eq(maps.mapping[1].resident_bytes, 9000 * 1024);
	ck_assert_uint_eq(maps.mapping[1].shared_bytes, 12 * 1024);
	ck_assert_uint_eq(maps.mapping[1].huge_bytes, 4 * MIB);
	ck_assert_uint_eq(maps.mapping[1].swapped_bytes, 100 * 1024);
	ck_assert_uint_eq(maps.mapping[1].page_bytes, 4096);
	parse("1000-2000 rw-p 00000000 00:00 0\nRss: 99999999999999999999999 kB\n");
	ck_assert_uint_eq(maps.mapping[0].resident_bytes, 4096);
}
END_TEST

START_TEST(maps_odd_lines_are_no_mappings)
{
	parse("");
	ck_assert_uint_eq(maps.count, 0);
	parse(
	    "Rss: 4 kB\nVmFlags: ht\n2000-1000 rw-p 0 0:0 0\nzz-1000 x\n1000-2000\n-\n1000 2000 r\n"
	    "10000000000000000000-20000000000000000000 rw-p 0 0:0 0\n");
	ck_assert_uint_eq(maps.count, 0);
	/* A name that is longer than any of ours, that looks like something else. */
	parse("1000-2000 r--p 00000000 fe:00 7 "
	      "/a/\x1b[2J/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	      "bbbbbbbb 3000-4000 rw-p 0 0:0 0\nRss: 4 kB\n");
	ck_assert_uint_eq(maps.count, 1);
	ck_assert_ptr_null(strchr(maps.mapping[0].name, 27));
	ck_assert_uint_eq(maps.mapping[0].resident_bytes, 4096);
}
END_TEST

START_TEST(maps_a_hundred_thousand_are_read)
{
	const size_t count = 100000;
	char *text = malloc(count * 64), *at = text;

	for (size_t i = 0; i < count; i++)
		at += sprintf(at, "%zx-%zx rw-p 00000000 00:00 0 \nRss: 4 kB\n", 0x10000 + i * 8192,
			      0x10000 + i * 8192 + 4096);
	parse(text);
	ck_assert_uint_eq(maps.count, count);
	ck_assert_uint_eq(maps.mapping[count - 1].start, 0x10000 + (count - 1) * 8192);
	ck_assert_uint_eq(maps.mapping[count - 1].resident_bytes, 4096);
	free(text);
}
END_TEST

/* ---- What lies where ------------------------------------------------------------------------- */

/* Three mappings and a hole; what numa_maps says of them by `text`. */
static int locate(const char *text, struct process_maps *out)
{
	static struct process_mapping mapping[3] = {{.start = 0x1000, .end = 0x3000},
						    {.start = 0x3000, .end = 0x5000},
						    {.start = 0x8000, .end = 0x9000}};
	FILE *file = fmemopen((char *)text, strlen(text), "r");
	int ret;

	*out = (struct process_maps){mapping, 3, NULL};
	ret = process_maps_locate_parse(file, out);
	fclose(file);
	return ret;
}

START_TEST(nodes_of_mappings_that_lie_on_one)
{
	struct process_maps located;

	ck_assert_int_eq(
	    locate("00001000 default file=/a\\040N2=b anon=2 dirty=2 N3=2 kernelpagesize_kB=4\n"
		   "00003000 bind:0-1 anon=2 N0=1 N1=1 kernelpagesize_kB=4\n"
		   "00008000 default\n",
		   &located),
	    0);
	ck_assert_int_eq(located.node[0], 3);
	ck_assert_int_lt(located.node[1], 0);
	ck_assert_int_lt(located.node[2], 0);
	process_maps_forget(&located);
	ck_assert_ptr_null(located.node);
}
END_TEST

/* Mappings are split and joined after they were read: all of one, or nothing is known of it. */
START_TEST(nodes_of_mappings_that_change_are_not_known)
{
	struct process_maps located;

	ck_assert_int_eq(locate("00001000 default N1=1\n00002000 default N0=1\n"
				"00006000 default N1=3\n00007000 default N2=9\n",
				&located),
			 0);
	ck_assert_int_lt(located.node[0], 0);
	ck_assert_int_lt(located.node[1], 0);
	ck_assert_int_lt(located.node[2], 0);
	process_maps_forget(&located);
	ck_assert_int_eq(locate("00001000 default N1=1\n00002000 default N1=1\n", &located), 0);
	ck_assert_int_eq(located.node[0], 1);
	process_maps_forget(&located);
}
END_TEST

START_TEST(nodes_by_odd_lines_are_not_known)
{
	static const char *const odd[] = {"x default N0=1\n", "00001000\n",
					  "99999999999999999 default N0=1\n", "\n"};
	struct process_maps located;

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		ck_assert_int_eq(locate(odd[i], &located), -EIO);
		ck_assert_ptr_null(located.node);
	}
	ck_assert_int_eq(locate("00001000 default N=1 N1 N4096=1 Nx=2 n0=1 N0x=3 N2=0\n", &located),
			 0);
	ck_assert_int_lt(located.node[0], 0);
	process_maps_forget(&located);
}
END_TEST

START_TEST(usage_counts_by_node_and_size)
{
	for (size_t i = HUGE_PAGES; i < 3 * HUGE_PAGES; i++)
		fake_page[i].huge = true;
	for (size_t i = 2 * HUGE_PAGES; i < 3 * HUGE_PAGES; i++)
		fake_page[i].node = 1;
	for (size_t i = 0; i < 100; i++)
		fake_page[i].node = FAKE_HOLE;
	for (size_t i = 100; i < 110; i++)
		fake_page[i].node = FAKE_ZERO;
	fake_page[200].node = 3;
	open_fake();
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), 0);
	ck_assert(usage.huge_known);
	ck_assert_uint_eq(usage.huge_bytes[0], 2 * MIB);
	ck_assert_uint_eq(usage.huge_bytes[1], 2 * MIB);
	ck_assert_uint_eq(usage.small_bytes[3], 4096);
	ck_assert_uint_eq(usage.small_bytes[0], (FAKE_PAGES - 2 * HUGE_PAGES - 111) * 4096);
	ck_assert_uint_eq(usage.zero_bytes, 10 * 4096);
	ck_assert_uint_eq(process_usage_on(&usage, 1), 2 * MIB);
}
END_TEST

START_TEST(usage_without_scan_counts_the_same_bytes)
{
	for (size_t i = HUGE_PAGES; i < 2 * HUGE_PAGES; i++)
		fake_page[i].huge = true;
	fake_page[0].node = FAKE_HOLE;
	fake_holes_are_bad = fake_no_scan = true;
	open_fake();
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), 0);
	ck_assert(!usage.huge_known);
	ck_assert_uint_eq(process_usage_on(&usage, 0), (FAKE_PAGES - 1) * 4096);
}
END_TEST

START_TEST(usage_of_many_runs_goes_on_where_the_kernel_stopped)
{
	for (size_t i = 0; i < FAKE_PAGES; i += 2)
		fake_page[i].node = FAKE_HOLE;
	open_fake();
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), 0);
	ck_assert_uint_eq(process_usage_on(&usage, 0), FAKE_PAGES / 2 * 4096);
}
END_TEST

/* More of them than one scan goes over. */
START_TEST(usage_goes_on_behind_what_has_no_page)
{
	for (size_t i = 0; i < FAKE_PAGES - 7; i++)
		fake_page[i].node = FAKE_HOLE;
	open_fake();
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), 0);
	ck_assert_uint_eq(process_usage_on(&usage, 0), 7 * 4096);
}
END_TEST

START_TEST(usage_leaves_a_device_alone)
{
	fake_smaps("VmFlags: rd wr io pf\n");
	open_fake();
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), 0);
	ck_assert_uint_eq(process_usage_on(&usage, 0), 0);
	ck_assert_uint_eq(usage.fixed_bytes, FAKE_PAGES * 4096);
}
END_TEST

START_TEST(usage_of_a_process_that_ends_is_esrch)
{
	open_fake();
	fake_process_ends();
	ck_assert_int_eq(process_usage_read(process, &maps, &usage, &err), -ESRCH);
}
END_TEST

/* ---- The kernel of this machine -------------------------------------------------------------- */

/* "N0=17" of all lines of numa_maps, in bytes. */
static uint64_t numa_maps_on(unsigned int node)
{
	char line[4096], key[16];
	uint64_t bytes = 0;
	FILE *file = fopen("/proc/self/numa_maps", "r");

	ck_assert_ptr_nonnull(file);
	snprintf(key, sizeof(key), " N%u=", node);
	while (fgets(line, sizeof(line), file)) {
		const char *at = strstr(line, key), *size = strstr(line, "kernelpagesize_kB=");

		if (at && size && !strstr(line, "[vdso]"))
			bytes += strtoull(at + strlen(key), NULL, 10) *
				 strtoull(size + strlen("kernelpagesize_kB="), NULL, 10) * 1024;
	}
	fclose(file);
	return bytes;
}

static uint64_t all_nodes(const uint64_t bytes[GMIG_MAX_NODES])
{
	uint64_t sum = 0;

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		sum += bytes[node];
	return sum;
}

/* The stack and the heap of this program change while it counts. */
#define SLACK (2 * MIB)

START_TEST(real_own_memory_agrees_with_numa_maps)
{
	const size_t bytes = 32 * MIB;
	char *small = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct process *self = NULL;

	madvise(small, bytes, MADV_NOHUGEPAGE);
	memset(small, 1, bytes / 2);
	memset(shared, 1, bytes / 4);
	ck_assert_msg(!process_open(NULL, getpid(), &self, &err), "%s", err.text);
	ck_assert_msg(!process_maps_read(self, &maps, &err), "%s", err.text);
	ck_assert_msg(!process_usage_read(self, &maps, &usage, &err), "%s", err.text);
	ck_assert_uint_ge(all_nodes(usage.small_bytes), bytes / 4 * 3);
	for (unsigned int node = 0; node < 4; node++) {
		uint64_t mine = process_usage_on(&usage, node), says = numa_maps_on(node);

		ck_assert_msg(mine < says + SLACK && says < mine + SLACK,
			      "node %u: %llu, numa_maps %llu", node, (unsigned long long)mine,
			      (unsigned long long)says);
	}
	ck_assert_uint_ge(usage.untouched_bytes, bytes / 4 * 5);
	process_close(self);
	munmap(small, bytes);
	munmap(shared, bytes);
}
END_TEST

START_TEST(real_own_huge_pages_and_zero_pages_are_seen)
{
	const size_t bytes = 8 * MIB;
	char *base =
	    mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = (char *)(((uintptr_t)base + 2 * MIB) & ~(2 * MIB - 1));
	struct process *self = NULL;

	madvise(at, bytes, MADV_HUGEPAGE);
	memset(at, 1, bytes);
	madvise(at + bytes, 2 * MIB, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < 2 * MIB; i += 4096)
		(void)*(volatile char *)&at[bytes + i];
	ck_assert_int_eq(process_open(NULL, getpid(), &self, &err), 0);
	ck_assert_int_eq(process_maps_read(self, &maps, &err), 0);
	ck_assert_int_eq(process_usage_read(self, &maps, &usage, &err), 0);
	if (self->can_scan) {
		uint64_t huge = 0;

		for (size_t i = 0; i < maps.count; i++)
			huge += maps.mapping[i].huge_bytes;
		ck_assert_uint_eq(all_nodes(usage.huge_bytes), huge);
		if (zero_page_or_skip())
			ck_assert_uint_ge(usage.zero_bytes, 2 * MIB);
	}
	process_close(self);
	munmap(base, 2 * bytes);
}
END_TEST

/* A child that drops to uid 65534 asks for us; it says what it got by its exit status. */
static int ask_as_nobody(pid_t pid)
{
	int status;
	pid_t child = fork();

	if (!child) {
		struct process *other = NULL;

		if (setgid(65534) || setuid(65534))
			_exit(99);
		status = process_open(NULL, pid, &other, &err);
		_exit(-status);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -99;
}

START_TEST(real_process_of_another_user_is_eperm)
{
	if (geteuid()) {
		skip_case("only root can become somebody else");
		return;
	}
	ck_assert_int_eq(ask_as_nobody(getpid()), -EPERM);
}
END_TEST

START_TEST(real_process_that_ended_is_noticed)
{
	struct process *other = NULL;
	pid_t child = fork();

	if (!child) {
		pause();
		_exit(0);
	}
	ck_assert_msg(!process_open(NULL, child, &other, &err), "%s", err.text);
	ck_assert_int_eq(process_check(other, &err), 0);
	kill(child, SIGKILL);
	/* Waits for its end, and leaves it a zombie. */
	ck_assert_int_eq(waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(process_check(other, &err), -ESRCH);
	ck_assert_int_eq(process_maps_read(other, &maps, &err), -ESRCH);
	process_close(other);
	ck_assert_int_eq(process_open(NULL, child, &other, &err), -ESRCH);
	waitpid(child, NULL, 0);
	ck_assert_int_eq(process_open(NULL, child, &other, &err), -ESRCH);
}
END_TEST

static void *touch_and_wait(void *opaque)
{
	char *memory =
	    mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(memory, 1, 4 * MIB);
	if (write(*(const int *)opaque, &memory, sizeof(memory)) != sizeof(memory))
		_exit(1);
	for (;;)
		pause();
	return NULL;
}

static bool is_zombie(pid_t pid)
{
	char path[64], text[512] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
	fclose(file);
	return strrchr(text, ')')[2] == 'Z';
}

/* Neither /proc/PID nor move_pages(2) finds its memory by its pid. */
START_TEST(real_process_whose_main_thread_has_ended_is_reached_by_another)
{
	const struct gmig_node_set node0 = {{1}};
	struct process *other = NULL;
	char *memory;
	int ends[2], status = -EIO;
	pthread_t thread;
	pid_t child, tid;

	ck_assert_int_eq(pipe(ends), 0);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pthread_create(&thread, NULL, touch_and_wait, &ends[1]);
		pthread_exit(NULL);
	}
	ck_assert_int_eq(read(ends[0], &memory, sizeof(memory)), sizeof(memory));
	while (!is_zombie(child))
		sched_yield();
	ck_assert_msg(!process_open(NULL, child, &other, &err), "%s", err.text);
	ck_assert_int_ne(other->entry, child);
	ck_assert_msg(!process_maps_read(other, &maps, &err), "%s", err.text);
	ck_assert_uint_gt(maps.count, 0);
	ck_assert_msg(!process_thread_for(other, &node0, &tid, &err), "%s", err.text);
	ck_assert_int_eq(tid, other->entry);
	ck_assert_int_eq(gmig_sys_real.move_pages(tid, 1, (void **)&memory, NULL, &status, 0), 0);
	ck_assert_int_ge(status, 0);
	process_close(other);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(real_kernel_thread_has_no_memory)
{
	FILE *file = fopen("/proc/2/comm", "r");
	char name[32] = "";

	if (file && fgets(name, sizeof(name), file) && !strcmp(name, "kthreadd\n"))
		ck_assert_int_eq(process_open(NULL, 2, &process, &err),
				 geteuid() ? -EPERM : -EINVAL);
	if (file)
		fclose(file);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("process");
	TCase *fake = tcase_create("fake"), *real = tcase_create("real");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(fake, setup, teardown);
	tcase_add_test(fake, open_tells_name_and_rights);
	tcase_add_test(fake, open_of_nobody_is_esrch);
	tcase_add_test(fake, open_of_a_thread_names_its_process);
	tcase_add_test(fake, open_without_rights_says_whose_it_is_or_that_a_filter_forbids);
	tcase_add_test(fake, check_process_that_ended_is_esrch);
	tcase_add_test(fake, check_without_pidfd_a_recycled_pid_is_noticed);
	tcase_add_test(fake, cpuset_that_lacks_the_node_is_eacces_with_the_set);
	tcase_add_test(fake, cpuset_of_another_thread_serves);
	tcase_add_test(fake, cpuset_of_version_1_names_its_own_cgroup);
	tcase_add_test(fake, maps_kinds_are_told_apart);
	tcase_add_test(fake, maps_name_that_is_long_is_cut_and_ends);
	tcase_add_test(fake, maps_figures_are_taken_and_unbelievable_ones_are_not);
	tcase_add_test(fake, maps_odd_lines_are_no_mappings);
	tcase_add_test(fake, maps_a_hundred_thousand_are_read);
	tcase_add_test(fake, nodes_of_mappings_that_lie_on_one);
	tcase_add_test(fake, nodes_of_mappings_that_change_are_not_known);
	tcase_add_test(fake, nodes_by_odd_lines_are_not_known);
	tcase_add_test(fake, usage_counts_by_node_and_size);
	tcase_add_test(fake, usage_without_scan_counts_the_same_bytes);
	tcase_add_test(fake, usage_of_many_runs_goes_on_where_the_kernel_stopped);
	tcase_add_test(fake, usage_goes_on_behind_what_has_no_page);
	tcase_add_test(fake, usage_leaves_a_device_alone);
	tcase_add_test(fake, usage_of_a_process_that_ends_is_esrch);
	suite_add_tcase(suite, fake);
	tcase_add_checked_fixture(real, setup, teardown);
	tcase_add_test(real, real_own_memory_agrees_with_numa_maps);
	tcase_add_test(real, real_own_huge_pages_and_zero_pages_are_seen);
	tcase_add_test(real, real_process_of_another_user_is_eperm);
	tcase_add_test(real, real_process_that_ended_is_noticed);
	tcase_add_test(real, real_process_whose_main_thread_has_ended_is_reached_by_another);
	tcase_add_test(real, real_kernel_thread_has_no_memory);
	suite_add_tcase(suite, real);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
