/* What may still be asked for, by files of a host that no machine at hand has; and by this one's. */
#include "../../migrate/core/room.h"
#include "host_tree.h"

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
	char text[512];

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
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
