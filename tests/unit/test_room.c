/* What may still be asked for, by files of a host that no machine at hand has; and by this one's. */
#include "../../migrate/core/room.h"
#include "failing_open.h"
#include "host_tree.h"
#include "open_files.h"

#include <errno.h>

#define MIB (1ull << 20)

static struct room_source source; /* large */
static struct room room;

static void start(void)
{
	tree_create();
	memset(&source, 0, sizeof(source));
	source.root = tree_root;
	tree_write("MemTotal:       8388608 kB\nMemFree:        1048576 kB\nMemAvailable:   "
		   "4194304 kB\n",
		   "/proc/meminfo");
}

static void v2(const char *path, const char *mount_root)
{
	char text[PATH_MAX + 256];

	snprintf(text, sizeof(text), "0::%s\n", path);
	tree_write(text, "/proc/self/cgroup");
	snprintf(
	    text, sizeof(text),
	    "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
	    "30 22 0:26 %s /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
	    mount_root);
	tree_write(text, "/proc/self/mountinfo");
}

static void limits(const char *group, const char *max, const char *high, const char *current)
{
	tree_write(max, "/sys/fs/cgroup%s/memory.max", group);
	tree_write(high, "/sys/fs/cgroup%s/memory.high", group);
	tree_write(current, "/sys/fs/cgroup%s/memory.current", group);
}

static void check(uint64_t bytes, const char *limit)
{
	room_read(&source, &room);
	ck_assert_msg(room.bytes == bytes, "%llu MiB by %s", (unsigned long long)room.bytes / MIB,
		      room.limit);
	ck_assert_msg(strstr(room.limit, limit) != NULL, "%s", room.limit);
}

START_TEST(host_alone_limits_by_what_is_available)
{
	start();
	check(4096 * MIB - 32 * MIB, "host"); /* 1/256 of 8 GiB is kept */
	ck_assert_uint_eq(room.left_bytes, 4096 * MIB);
	tree_remove();
}
END_TEST

START_TEST(nothing_to_read_is_no_limit)
{
	tree_create();
	source.root = tree_root;
	memset(&room, 'x', sizeof(room));
	check(UINT64_MAX, "");
	ck_assert_str_eq(room.limit, "");
	tree_remove();
}
END_TEST

START_TEST(cgroup_v2_of_the_process_limits)
{
	start();
	v2("/machine/a.scope", "/");
	limits("/machine/a.scope", "1073741824", "max", "1065353216"); /* 8 MiB are left */
	limits("/machine", "max", "max", "1065353216");
	check(4 * MIB, "machine/a.scope"); /* 1/256 of 1 GiB */
	tree_remove();
}
END_TEST

START_TEST(cgroup_v2_ancestor_that_is_tighter_limits)
{
	start();
	v2("/machine/a.scope", "/");
	limits("/machine/a.scope", "1073741824", "max", "0");
	limits("/machine", "536870912", "max", "530579456"); /* 6 MiB are left */
	check(2 * MIB, "/sys/fs/cgroup/machine");
	tree_remove();
}
END_TEST

START_TEST(cgroup_v2_high_limits_like_max)
{
	start();
	v2("/a", "/");
	limits("/a", "1073741824", "536870912", "534773760"); /* 2 MiB below high */
	check(0, "cgroup/a");
	ck_assert_uint_eq(room.left_bytes, 1073741824 - 534773760); /* it kills nobody */
	limits("/a", "1073741824", "536870912", "600000000");	    /* above it */
	check(0, "cgroup/a");
	limits("/a", "536870912", "536870912", "536600000");
	check(0, "cgroup/a");
	ck_assert_uint_eq(room.left_bytes, 536870912 - 536600000);
	tree_remove();
}
END_TEST

START_TEST(page_cache_of_the_cgroup_counts_by_half_as_far_as_it_is_clean)
{
	start();
	v2("/a", "/");
	limits("/a", "536870912", "max", "536870912");
	tree_write("anon 1000\nfile 209715200\nshmem 104857600\nfile_dirty 2097152\n"
		   "file_writeback 2097152\ninactive_file 62914560\nactive_file 41943040\n",
		   "/sys/fs/cgroup/a/memory.stat");
	check((100 - 4) / 2 * MIB - 4 * MIB, "cgroup/a");
	tree_remove();
}
END_TEST

START_TEST(cgroup_v2_of_a_container_is_found_below_its_mount)
{
	start();
	v2("/docker/1234/init", "/docker/1234");
	limits("/init", "104857600", "max", "94371840"); /* 10 MiB are left */
	check(6 * MIB, "cgroup/init");
	v2("/../sibling", "/"); /* outside of the namespace: what the mount shows */
	limits("", "104857600", "max", "93323264");
	check(7 * MIB, "/sys/fs/cgroup");
	tree_remove();
}
END_TEST

START_TEST(process_that_is_moved_to_another_cgroup_is_followed)
{
	start();
	v2("/a", "/");
	limits("/a", "1073741824", "max", "1065353216");
	limits("/b", "1073741824", "max", "1063256064");
	check(4 * MIB, "cgroup/a");
	v2("/b", "/");
	check(6 * MIB, "cgroup/b");
	tree_remove();
}
END_TEST

static void v1(const char *group, const char *limit, const char *usage, const char *memsw)
{
	tree_write(limit, "/sys/fs/cgroup/memory%s/memory.limit_in_bytes", group);
	tree_write(usage, "/sys/fs/cgroup/memory%s/memory.usage_in_bytes", group);
	tree_write(memsw, "/sys/fs/cgroup/memory%s/memory.memsw.limit_in_bytes", group);
	tree_write(usage, "/sys/fs/cgroup/memory%s/memory.memsw.usage_in_bytes", group);
}

START_TEST(cgroup_v1_limits_memory_and_memory_with_swap)
{
	const char *none = "9223372036854771712";

	start();
	tree_write("9:name=systemd:/x\n4:cpu,memory:/a/b\n3:cpuset:/c\n0::/\n",
		   "/proc/self/cgroup");
	tree_write("30 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,cpu,memory\n"
		   "31 22 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
		   "32 22 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		   "/proc/self/mountinfo");
	v1("/a/b", none, "100000000", none);
	v1("/a", "134217728", "123731968", none); /* 10 MiB are left */
	check(6 * MIB, "memory/a");
	v1("/a/b", none, "100000000", "108388608"); /* 8 MiB */
	check(4 * MIB, "memory/a/b");
	/* What is below counts too, or not at all. */
	v1("/a", "134217728", "134217728", none);
	tree_write("cache 1\ninactive_file 4096\ntotal_inactive_file 16777216\n"
		   "total_active_file 0\ntotal_dirty 0\n",
		   "/sys/fs/cgroup/memory/a/memory.stat");
	check(4 * MIB, "memory/a");
	tree_remove();
}
END_TEST

/* ---- Huge pages ---------------------------------------------------------------------------------- */

static void check_huge(uint64_t page_bytes, uint64_t bytes, const char *limit)
{
	room_huge_read(&source, page_bytes, &room);
	ck_assert_msg(room.bytes == bytes, "%llu MiB by %s", (unsigned long long)room.bytes / MIB,
		      room.limit);
	ck_assert_msg(strstr(room.limit, limit) != NULL, "%s", room.limit);
}

static void huge_limits(const char *group, const char *max, const char *current)
{
	tree_write(max, "/sys/fs/cgroup%s/hugetlb.2MB.max", group);
	tree_write(current, "/sys/fs/cgroup%s/hugetlb.2MB.current", group);
}

START_TEST(huge_pages_are_limited_by_the_tightest_cgroup_of_their_size)
{
	start();
	source.controller = "hugetlb";
	v2("/machine/a.scope", "/");
	limits("/machine/a.scope", "4096", "4096", "4096"); /* of other memory */
	check_huge(2 * MIB, UINT64_MAX, "");
	huge_limits("/machine/a.scope", "max", "8388608");
	huge_limits("/machine", "10485760", "8388608");
	check_huge(2 * MIB, 2 * MIB, "cgroup/machine");
	tree_write("8388608", "/sys/fs/cgroup/machine/a.scope/hugetlb.2MB.rsvd.max");
	tree_write("8388608", "/sys/fs/cgroup/machine/a.scope/hugetlb.2MB.rsvd.current");
	check_huge(2 * MIB, 0, "a.scope");
	ck_assert_uint_eq(room.total_bytes, 8 * MIB);
	check_huge(1024 * MIB, UINT64_MAX, "");
	tree_write("2147483648", "/sys/fs/cgroup/machine/hugetlb.1GB.max");
	tree_write("1073741824", "/sys/fs/cgroup/machine/hugetlb.1GB.current");
	check_huge(1024 * MIB, 1024 * MIB, "machine");
	tree_remove();
}
END_TEST

START_TEST(huge_pages_are_limited_by_cgroups_of_version_1)
{
	start();
	source.controller = "hugetlb";
	tree_write("5:memory:/other\n3:hugetlb:/vm\n0::/\n", "/proc/self/cgroup");
	tree_write("31 22 0:27 / /sys/fs/cgroup/hugetlb rw - cgroup cgroup rw,hugetlb\n",
		   "/proc/self/mountinfo");
	tree_write("4194304", "/sys/fs/cgroup/hugetlb/vm/hugetlb.2MB.limit_in_bytes");
	tree_write("2097152", "/sys/fs/cgroup/hugetlb/vm/hugetlb.2MB.usage_in_bytes");
	tree_write("9223372036850581504", "/sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes");
	check_huge(2 * MIB, 2 * MIB, "hugetlb/vm");
	tree_remove();
}
END_TEST

/* ---- Bounds -------------------------------------------------------------------------------------- */

START_TEST(reserve_is_a_part_within_its_bounds)
{
	ck_assert_uint_eq(room_reserve(0), 4 * MIB);
	ck_assert_uint_eq(room_reserve(1024 * MIB - 1), 4 * MIB);
	ck_assert_uint_eq(room_reserve(1024 * MIB + 256), 4 * MIB + 1);
	ck_assert_uint_eq(room_reserve(16384 * MIB - 256), 64 * MIB - 1);
	ck_assert_uint_eq(room_reserve(16384 * MIB), 64 * MIB);
	ck_assert_uint_eq(room_reserve(16384 * MIB + 256), 64 * MIB);
}
END_TEST

START_TEST(room_has_what_is_left_and_the_size_of_what_limits)
{
	start();
	check(4096 * MIB - 32 * MIB, "host");
	ck_assert_uint_eq(room.left_bytes, 4096 * MIB);
	ck_assert_uint_eq(room.total_bytes, 8192 * MIB);
	v2("/a", "/");
	limits("/a", "1073741824", "max", "536870912");
	check(512 * MIB - 4 * MIB, "cgroup/a");
	ck_assert_uint_eq(room.left_bytes, 512 * MIB);
	ck_assert_uint_eq(room.total_bytes, 1024 * MIB);
	/* Of two that leave the same, the one that is the process's own. */
	limits("/a", "1073741824", "max", "536870912");
	limits("", "1073741824", "max", "536870912");
	check(512 * MIB - 4 * MIB, "cgroup/a");
	/* Nothing is asked for where nothing is left, however little is kept. */
	limits("/a", "1073741824", "max", "1073741825");
	check(0, "cgroup/a");
	ck_assert_uint_eq(room.left_bytes, 0);
	tree_remove();
}
END_TEST

START_TEST(usage_that_cannot_be_read_is_none)
{
	start();
	v2("/a", "/");
	tree_write("1073741824", "/sys/fs/cgroup/a/memory.max");
	check(1020 * MIB, "cgroup/a");
	ck_assert_uint_eq(room.left_bytes, 1024 * MIB);
	tree_write("4096", "/sys/fs/cgroup/a/memory.max");
	check(0, "cgroup/a");
	ck_assert_uint_eq(room.left_bytes, 4096);
	tree_remove();
}
END_TEST

START_TEST(largest_number_is_a_limit_and_the_next_is_none)
{
	tree_create();
	source.root = tree_root;
	v2("/a", "/");
	limits("/a", "4611686018427387903", "max", "0");
	check((1ull << 62) - 1 - 64 * MIB, "cgroup/a");
	limits("/a", "4611686018427387904", "max", "0");
	check(UINT64_MAX, "");
	limits("/a", "", "max", "0");
	check(UINT64_MAX, "");
	tree_remove();
}
END_TEST

/* What was read before is not taken for what is not there any more. */
START_TEST(file_that_is_gone_limits_nothing)
{
	char name[128];

	start();
	v2("/a", "/");
	limits("/a", "1073741824", "max", "0");
	check(1020 * MIB, "cgroup/a");
	snprintf(name, sizeof(name), "%s/sys/fs/cgroup/a/memory.max", tree_root);
	ck_assert_int_eq(unlink(name), 0);
	check(4064 * MIB, "host");
	snprintf(name, sizeof(name), "%s/proc/meminfo", tree_root);
	ck_assert_int_eq(unlink(name), 0);
	check(UINT64_MAX, "");
	ck_assert_uint_eq(room.left_bytes, UINT64_MAX);
	ck_assert_uint_eq(room.total_bytes, UINT64_MAX);
	/* One that does not say how much there is. */
	tree_write("MemFree:        1048576 kB\nMemAvailable:   1048576 kB\n", "/proc/meminfo");
	check(UINT64_MAX, "");
	tree_write("MemTotal:       1048576 kB\n", "/proc/meminfo");
	check(0, "host");
	tree_remove();
}
END_TEST

START_TEST(page_cache_counts_only_near_a_limit)
{
	start();
	v2("/a", "/");
	tree_write("inactive_file 2097152\n", "/sys/fs/cgroup/a/memory.stat");
	limits("/a", "536870912", "max", "268435456"); /* 256 MiB are left */
	check(252 * MIB, "cgroup/a");
	limits("/a", "536870912", "max", "268435457");
	check(253 * MIB - 1, "cgroup/a");
	tree_remove();
}
END_TEST

static void check_droppable(const char *stat, uint64_t bytes)
{
	tree_write(stat, "/sys/fs/cgroup/a/memory.stat");
	room_read(&source, &room);
	ck_assert_uint_eq(room.left_bytes, bytes);
}

START_TEST(page_cache_is_exact_to_the_byte)
{
	start();
	v2("/a", "/");
	limits("/a", "536870912", "max", "536870912");
	check_droppable("inactive_file 2\n", 1);
	check_droppable("inactive_file 3\n", 1);
	check_droppable("active_file 4\n", 2);
	check_droppable("inactive_file 3\nactive_file 3\n", 3);
	check_droppable("active_file 10\nfile_dirty 1\nfile_writeback 3\n", 3);
	check_droppable("active_file 10\nfile_dirty 10\n", 0);
	check_droppable("active_file 10\nfile_dirty 12\n", 0);
	/* What has no number, and names that begin or end alike, are nothing. */
	check_droppable("active_file 10\ninactive_file none\n", 5);
	check_droppable("active_file 10\ninactive_files 8\nworkingset_active_file 8\n", 5);
	check_droppable("slab 100\nfile_mapped 100\nanon 100\n", 0);
	tree_remove();
}
END_TEST

START_TEST(limits_of_version_1_tell_what_is_left_until_the_kernel_kills)
{
	start();
	tree_write("4:memory:/a\n", "/proc/self/cgroup");
	tree_write("30 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
		   "/proc/self/mountinfo");
	tree_write("1073741824", "/sys/fs/cgroup/memory/a/memory.limit_in_bytes");
	tree_write("1048576", "/sys/fs/cgroup/memory/a/memory.usage_in_bytes");
	check(1019 * MIB, "memory/a");
	ck_assert_uint_eq(room.left_bytes, 1023 * MIB);
	ck_assert_uint_eq(room.total_bytes, 1024 * MIB);
	tree_write("1072693248", "/sys/fs/cgroup/memory/a/memory.memsw.limit_in_bytes");
	tree_write("2097152", "/sys/fs/cgroup/memory/a/memory.memsw.usage_in_bytes");
	check(1017 * MIB, "memory/a");
	ck_assert_uint_eq(room.left_bytes, 1021 * MIB);
	ck_assert_uint_eq(room.total_bytes, 1023 * MIB);
	tree_remove();
}
END_TEST

/* ---- Which cgroups -------------------------------------------------------------------------------- */

static void check_dirs(unsigned int count, const char *first)
{
	char expected[PATH_MAX];

	room_read(&source, &room);
	ck_assert_uint_eq(source.dirs, count);
	if (!count)
		return;
	snprintf(expected, sizeof(expected), "%s/sys/fs/cgroup%s", tree_root, first);
	ck_assert_str_eq(source.dir[0], expected);
	snprintf(expected, sizeof(expected), "%s/sys/fs/cgroup", tree_root);
	ck_assert_str_eq(source.dir[count - 1], expected);
}

START_TEST(directories_are_those_from_the_process_up_to_the_mount)
{
	start();
	v2("/a/b/c", "/");
	check_dirs(4, "/a/b/c");
	ck_assert(!source.v1[0] && !source.v1[3]);
	v2("/", "/");
	check_dirs(1, "");
	v2("/d/a", "/d");
	check_dirs(2, "/a");
	v2("/d", "/d");
	check_dirs(1, "");
	/* No part of the name. */
	v2("/da/b", "/d");
	check_dirs(3, "/da/b");
	v2("/../sibling", "/");
	check_dirs(1, "");
	tree_remove();
}
END_TEST

START_TEST(process_that_is_moved_up_leaves_the_limits_below)
{
	start();
	tree_write("MemTotal:       8388608 kB\nMemFree:        1048576 kB\n"
		   "MemAvailable:   4194304 kB\nSwapFree:       2048 kB\n",
		   "/proc/meminfo");
	v2("/a/b", "/");
	limits("/a", "1073741824", "max", "0");
	tree_write("4096", "/sys/fs/cgroup/a/memory.swap.max");
	tree_write("4096", "/sys/fs/cgroup/a/hugetlb.2MB.max");
	check(1020 * MIB, "cgroup/a");
	v2("/b", "/");
	check(4064 * MIB, "host");
	room_swap_read(&source, &room);
	ck_assert_uint_eq(room.bytes, 2 * MIB);
	ck_assert_str_eq(room.limit, "host");
	room_huge_read(&source, 2 * MIB, &room);
	ck_assert_uint_eq(room.bytes, UINT64_MAX);
	tree_remove();
}
END_TEST

START_TEST(path_of_any_depth_and_length_is_no_overflow)
{
	char path[4096] = "", text[8192];
	size_t most;

	start();
	for (unsigned int i = 0; i < ROOM_DIRS + 8; i++)
		strcat(path, "/a");
	v2(path, "/");
	room_read(&source, &room);
	ck_assert_uint_eq(source.dirs, ROOM_DIRS);
	most = PATH_MAX - 1 - strlen(tree_root) - strlen("/sys/fs/cgroup");
	ck_assert_uint_lt(most + 4, sizeof(source.cgroup) - 1);
	for (unsigned int longer = 0; longer < 2; longer++) {
		memset(path, 'x', most + longer);
		path[0] = '/';
		path[most + longer] = '\0';
		snprintf(text, sizeof(text), "0::%s\n", path);
		tree_write(text, "/proc/self/cgroup");
		room_read(&source, &room);
		ck_assert_uint_eq(source.dirs, longer ? 0 : 2);
	}
	tree_remove();
}
END_TEST

/* Nothing of them is a mount of this controller. */
START_TEST(lines_that_say_nothing_of_the_controller_are_passed_over)
{
	start();
	tree_write("9:memoryx:/wrong\nno colon\n", "/proc/self/cgroup");
	tree_write("30 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
		   "/proc/self/mountinfo");
	check_dirs(0, "");
	tree_write("3:cpuset:/c", "/proc/self/cgroup");
	check_dirs(0, "");
	tree_write("9:memoryx,xmemory:/wrong\n4:cpumemory,memory:/a\n3:cpuset:/c\n",
		   "/proc/self/cgroup");
	tree_write("29 22 0:26 / /sys/fs/cgroup/wrong rw - cgroup cgroup rw,xmemory\n"
		   "30 22 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw,xmemory,memory\n"
		   "31 22 0:26 / /sys/fs/cgroup/wrong rw\n"
		   " - cgroup cgroup rw,memory\n"
		   "33 22 0:26 / /sys/fs/cgroup/wrong rw - cgroup cgroup\n"
		   "34 22 0:26 / /sys/fs/cgroup/wrong rw - tmpfs cgroup rw,memory\n"
		   "35 22 0:26 / /sys/fs/cgroup/wrong rw - cgroup2 cgroup rw\n"
		   "36 22 0:26 / /sys/fs/cgroup/wrong rw - cgroup cgroup rw,memoryx\n",
		   "/proc/self/mountinfo");
	check_dirs(2, "/a");
	ck_assert(source.v1[0] && source.v1[1]);
	tree_remove();
}
END_TEST

START_TEST(directories_are_looked_for_again_only_when_the_cgroup_changes)
{
	char name[128];

	start();
	tree_write("0::/a\n", "/proc/self/cgroup");
	check_dirs(0, ""); /* no mounts are known */
	v2("/b", "/");
	check_dirs(2, "/b");
	snprintf(name, sizeof(name), "%s/proc/self/mountinfo", tree_root);
	ck_assert_int_eq(unlink(name), 0);
	check_dirs(2, "/b");
	tree_write("0::/a\n", "/proc/self/cgroup");
	check_dirs(0, "");
	/* Nor is a process that has none in the one where it was. */
	v2("/b", "/");
	check_dirs(2, "/b");
	snprintf(name, sizeof(name), "%s/proc/self/cgroup", tree_root);
	ck_assert_int_eq(unlink(name), 0);
	check_dirs(0, "");
	tree_remove();
}
END_TEST

START_TEST(cgroups_of_another_process_limit_it)
{
	start();
	v2("/a", "/");
	tree_write("0::/b\n", "/proc/77/cgroup");
	limits("/a", "1073741824", "max", "0");
	limits("/b", "536870912", "max", "0");
	source.pid = 77;
	check(508 * MIB, "cgroup/b");
	tree_remove();
}
END_TEST

START_TEST(reading_leaves_no_descriptor_and_needs_no_other_than_0)
{
	unsigned int files;

	start();
	v2("/a", "/");
	limits("/a", "1073741824", "max", "0");
	close(0);
	files = open_files();
	check(1020 * MIB, "cgroup/a");
	v2("/b", "/");
	check(4064 * MIB, "host");
	ck_assert_uint_eq(open_files(), files);
	tree_remove();
}
END_TEST

/* As if there were none it would be asked for, and the guest killed for it. */
START_TEST(limit_that_cannot_be_looked_at_is_as_it_was)
{
	unsigned int unread = 0;
	int n = 0;

	start();
	v2("/a/b", "/");
	limits("/a", "1073741824", "max", "1065353216");
	limits("/a/b", "max", "max", "1048576");
	open_error = EMFILE;
	open_fails = 0;
	check(0, ""); /* of nothing before is known */
	ck_assert_int_eq(room.unread, EMFILE);
	ck_assert_uint_eq(room.left_bytes, 0);
	check(4 * MIB, "cgroup/a");
	do {
		open_fails = n++;
		check(4 * MIB, "cgroup/a");
		ck_assert_uint_eq(room.left_bytes, 8 * MIB);
		unread += room.unread;
	} while (open_fails < 0);
	open_fails = -1;
	ck_assert_uint_ge(unread, 8);
	check(4 * MIB, "cgroup/a");
	ck_assert(!room.unread);
	open_error = ENOENT; /* that is an answer */
	open_fails = 0;
	room_read(&source, &room);
	ck_assert(!room.unread);
	tree_remove();
}
END_TEST

START_TEST(cgroup_that_cannot_be_looked_at_is_looked_at_the_next_time)
{
	start();
	v2("/a", "/");
	limits("/a", "1073741824", "max", "1065353216");
	limits("/b", "1073741824", "max", "1063256064");
	check(4 * MIB, "cgroup/a");
	v2("/b", "/");
	open_error = ENFILE;
	open_fails = 1; /* meminfo was had */
	check(4 * MIB, "cgroup/a");
	open_fails = 2; /* mountinfo */
	check(4 * MIB, "cgroup/a");
	ck_assert(room.unread);
	check(6 * MIB, "cgroup/b");
	ck_assert(!room.unread);
	tree_remove();
}
END_TEST

START_TEST(check_refuses_what_is_more_than_is_left_and_says_how_much)
{
	struct gmig_error err = {0};

	room = (struct room){.left_bytes = 1024 * 1024 * 8, .limit = "/a/b"};
	ck_assert_int_eq(room_check(&room, "gmig", 1024 * 1024 * 8, &err), 0);
	ck_assert_str_eq(err.text, "");
	ck_assert_int_eq(room_check(&room, "gmig", 1024 * 1024 * 16, &err), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(err.text, "8192 KiB of memory are left by /a/b"));
	ck_assert_ptr_nonnull(strstr(err.text, "gmig needs 16384 KiB"));
	ck_assert_int_eq(room_check(&room, "gmig", 1024 * 1024 * 8 + 1, &err), -ENOMEM);
}
END_TEST

START_TEST(huge_pages_without_usage_or_beyond_their_limit_are_exact)
{
	start();
	source.controller = "hugetlb";
	v2("/a", "/");
	tree_write("10485760", "/sys/fs/cgroup/a/hugetlb.2MB.max");
	check_huge(2 * MIB, 10 * MIB, "cgroup/a");
	ck_assert_uint_eq(room.total_bytes, 10 * MIB);
	tree_write("10485760", "/sys/fs/cgroup/hugetlb.2MB.max");
	check_huge(2 * MIB, 10 * MIB, "cgroup/a");
	tree_write("12582912", "/sys/fs/cgroup/hugetlb.2MB.current");
	check_huge(2 * MIB, 0, "/sys/fs/cgroup");
	ck_assert(!strstr(room.limit, "/sys/fs/cgroup/a"));
	tree_write("536870912", "/sys/fs/cgroup/a/hugetlb.512MB.max");
	check_huge(512 * MIB, 512 * MIB, "cgroup/a");
	tree_write("17179869184", "/sys/fs/cgroup/a/hugetlb.16GB.max");
	check_huge(16384 * MIB, 16384 * MIB, "cgroup/a");
	tree_remove();
}
END_TEST

START_TEST(this_machine_has_room)
{
	memset(&source, 0, sizeof(source));
	source.root = "";
	room_read(&source, &room);
	ck_assert_uint_gt(room.bytes, 0);
	ck_assert(*room.limit);
}
END_TEST

static void check_swap(uint64_t bytes, const char *limit)
{
	room_swap_read(&source, &room);
	ck_assert_msg(room.bytes == bytes, "%llu MiB by %s", (unsigned long long)room.bytes / MIB,
		      room.limit);
	ck_assert_msg(strstr(room.limit, limit) != NULL, "%s", room.limit);
}

START_TEST(swap_is_limited_by_what_is_free_and_by_the_cgroups_of_v2)
{
	start();
	check_swap(0, "host"); /* a kernel without swap has no such line */
	tree_write("MemTotal:       8388608 kB\nSwapCached:          44 kB\n"
		   "SwapTotal:       524288 kB\nSwapFree:        262144 kB\n",
		   "/proc/meminfo");
	check_swap(256 * MIB, "host");
	v2("/machine/a.scope", "/");
	tree_write("max", "/sys/fs/cgroup/machine/a.scope/memory.swap.max");
	tree_write("0", "/sys/fs/cgroup/machine/a.scope/memory.swap.current");
	check_swap(256 * MIB, "host");
	tree_write("134217728", "/sys/fs/cgroup/machine/memory.swap.max");
	tree_write("33554432", "/sys/fs/cgroup/machine/memory.swap.current");
	check_swap(96 * MIB, "/sys/fs/cgroup/machine");
	tree_write("1048576", "/sys/fs/cgroup/machine/a.scope/memory.swap.high");
	check_swap(1 * MIB, "a.scope");
	tree_write("0", "/sys/fs/cgroup/machine/a.scope/memory.swap.max");
	check_swap(0, "a.scope");
	tree_remove();
}
END_TEST

START_TEST(swap_without_usage_or_beyond_its_limit_is_exact)
{
	start();
	tree_write("SwapTotal:       524288 kB\nSwapFree:        262144 kB\n", "/proc/meminfo");
	check_swap(256 * MIB, "host");
	ck_assert_uint_eq(room.total_bytes, 512 * MIB);
	v2("/a", "/");
	tree_write("268435456", "/sys/fs/cgroup/a/memory.swap.max");
	check_swap(256 * MIB, "host"); /* the same: what was first */
	ck_assert_uint_eq(room.total_bytes, 512 * MIB);
	tree_write("1048576", "/sys/fs/cgroup/a/memory.swap.max");
	check_swap(1 * MIB, "cgroup/a");
	ck_assert_uint_eq(room.total_bytes, 1 * MIB);
	tree_write("2097152", "/sys/fs/cgroup/a/memory.swap.current");
	check_swap(0, "cgroup/a");
	tree_remove();
	/* Without files nothing is known. */
	tree_create();
	memset(&source, 0, sizeof(source));
	source.root = tree_root;
	check_swap(UINT64_MAX, "");
	ck_assert_uint_eq(room.total_bytes, UINT64_MAX);
	tree_remove();
}
END_TEST

/* Version 1 limits memory and swap together. */
START_TEST(swap_is_not_limited_by_cgroups_of_version_1)
{
	start();
	tree_write("SwapTotal:       524288 kB\nSwapFree:        262144 kB\n", "/proc/meminfo");
	tree_write("4:memory:/a\n0::/b\n", "/proc/self/cgroup");
	tree_write("30 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		   "32 22 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		   "/proc/self/mountinfo");
	tree_write("4096", "/sys/fs/cgroup/memory/a/memory.swap.max");
	tree_write("1048576", "/sys/fs/cgroup/unified/b/memory.swap.max");
	check_swap(1 * MIB, "unified/b");
	tree_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("room");
	TCase *tcase = tcase_create("limits");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, swap_is_limited_by_what_is_free_and_by_the_cgroups_of_v2);
	tcase_add_test(tcase, host_alone_limits_by_what_is_available);
	tcase_add_test(tcase, nothing_to_read_is_no_limit);
	tcase_add_test(tcase, cgroup_v2_of_the_process_limits);
	tcase_add_test(tcase, cgroup_v2_ancestor_that_is_tighter_limits);
	tcase_add_test(tcase, cgroup_v2_high_limits_like_max);
	tcase_add_test(tcase, page_cache_of_the_cgroup_counts_by_half_as_far_as_it_is_clean);
	tcase_add_test(tcase, cgroup_v2_of_a_container_is_found_below_its_mount);
	tcase_add_test(tcase, process_that_is_moved_to_another_cgroup_is_followed);
	tcase_add_test(tcase, cgroup_v1_limits_memory_and_memory_with_swap);
	tcase_add_test(tcase, huge_pages_are_limited_by_the_tightest_cgroup_of_their_size);
	tcase_add_test(tcase, huge_pages_are_limited_by_cgroups_of_version_1);
	tcase_add_test(tcase, this_machine_has_room);
	tcase_add_test(tcase, reserve_is_a_part_within_its_bounds);
	tcase_add_test(tcase, room_has_what_is_left_and_the_size_of_what_limits);
	tcase_add_test(tcase, usage_that_cannot_be_read_is_none);
	tcase_add_test(tcase, largest_number_is_a_limit_and_the_next_is_none);
	tcase_add_test(tcase, file_that_is_gone_limits_nothing);
	tcase_add_test(tcase, page_cache_counts_only_near_a_limit);
	tcase_add_test(tcase, page_cache_is_exact_to_the_byte);
	tcase_add_test(tcase, limits_of_version_1_tell_what_is_left_until_the_kernel_kills);
	tcase_add_test(tcase, directories_are_those_from_the_process_up_to_the_mount);
	tcase_add_test(tcase, process_that_is_moved_up_leaves_the_limits_below);
	tcase_add_test(tcase, path_of_any_depth_and_length_is_no_overflow);
	tcase_add_test(tcase, lines_that_say_nothing_of_the_controller_are_passed_over);
	tcase_add_test(tcase, directories_are_looked_for_again_only_when_the_cgroup_changes);
	tcase_add_test(tcase, cgroups_of_another_process_limit_it);
	tcase_add_test(tcase, reading_leaves_no_descriptor_and_needs_no_other_than_0);
	tcase_add_test(tcase, limit_that_cannot_be_looked_at_is_as_it_was);
	tcase_add_test(tcase, cgroup_that_cannot_be_looked_at_is_looked_at_the_next_time);
	tcase_add_test(tcase, check_refuses_what_is_more_than_is_left_and_says_how_much);
	tcase_add_test(tcase, huge_pages_without_usage_or_beyond_their_limit_are_exact);
	tcase_add_test(tcase, swap_without_usage_or_beyond_its_limit_is_exact);
	tcase_add_test(tcase, swap_is_not_limited_by_cgroups_of_version_1);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
