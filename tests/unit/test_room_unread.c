/* What may still be asked for where it cannot be looked at: it is not known, which is neither none nor no limit. */
#include "../../migrate/core/room.h"
#include "failing_open.h"
#include "host_tree.h"
#include "suite.h"

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

static void expect_unknown(void)
{
	struct gmig_error err = {0};

	ck_assert(room_is_unknown(&room));
	ck_assert_uint_eq(room.bytes, 0);
	ck_assert_int_eq(room_check(&room, "a job", 1024, &err), -EAGAIN);
	ck_assert_str_eq(err.text,
			 "how much memory is left could not be looked at (Too many open files), "
			 "and a job needs 1 KiB: try again");
}

/* Whichever file it is: the next look asks again, and from then on something is known. */
START_TEST(first_look_that_fails_is_no_room_and_not_no_limit)
{
	bool failed = true;
	int n = 0;

	start();
	v2("/a", "/");
	limits("/a", "1073741824", "max", "1065353216");
	open_error = EMFILE;
	for (; failed; n++) {
		memset(&source, 0, sizeof(source));
		source.root = tree_root;
		open_fails = n;
		room_read(&source, &room);
		failed = open_fails < 0;
		if (failed)
			expect_unknown();
	}
	ck_assert_int_ge(n, 7);
	open_fails = -1;
	room_read(&source, &room);
	ck_assert_uint_eq(room.bytes, 4 * MIB);
	ck_assert(!room_is_unknown(&room));
	memset(&source, 0, sizeof(source));
	source.root = tree_root;
	open_fails = 0;
	room_swap_read(&source, &room);
	expect_unknown();
	open_fails = -1;
	tree_remove();
}
END_TEST

START_TEST(limit_of_huge_pages_that_cannot_be_looked_at_is_told)
{
	start();
	source.controller = "hugetlb";
	v2("/a", "/");
	tree_write("4194304", "/sys/fs/cgroup/a/hugetlb.2MB.max");
	tree_write("2097152", "/sys/fs/cgroup/a/hugetlb.2MB.current");
	room_huge_read(&source, 2 * MIB, &room);
	ck_assert_uint_eq(room.bytes, 2 * MIB);
	ck_assert_int_eq(room.unread, 0);
	open_error = ENFILE;
	for (int i = 0; i < 3; i++) { /* which cgroup, its limit, its usage */
		open_fails = i;
		room_huge_read(&source, 2 * MIB, &room);
		ck_assert_int_eq(room.unread, ENFILE);
	}
	open_fails = -1;
	tree_remove();
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    first_look_that_fails_is_no_room_and_not_no_limit,
	    limit_of_huge_pages_that_cannot_be_looked_at_is_told,
	};

	return run_tests("room_unread", NULL, NULL, tests, sizeof(tests) / sizeof(tests[0]));
}
