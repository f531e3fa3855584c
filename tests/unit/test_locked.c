/*
 * Guests whose memory is mlock()ed, by their VMM or by mlockall(2): frames follow. By system calls, since the sanitizers
 * have functions of these names that do nothing.
 */
#include "rig.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BYTES (16ull << 20)

#ifdef GMIG_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

static struct rig rig;

static void create(bool small, bool untouched)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = small, .untouched = untouched};

	rig_create(&rig, &options);
}

static void move_all(unsigned int from, unsigned int to)
{
	struct gmig_job_spec spec = rig_spec(from, to);
	struct gmig_job_info info;

	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_msg(info.moved_bytes == BYTES && !info.remaining_bytes, "%llu moved, errno %d",
		      (unsigned long long)info.moved_bytes, info.remaining[0].error);
}

static void finish(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static long locked_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[128];
	long kib = -1;

	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmLck: %ld kB", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

static unsigned int pages_in_core(void)
{
	static unsigned char in_core[BYTES / GMIG_PAGE_BYTES];
	unsigned int pages = 0;

	ck_assert_int_eq(mincore((void *)rig.ram, BYTES, in_core), 0);
	for (size_t i = 0; i < sizeof(in_core); i++)
		pages += in_core[i] & 1;
	return pages;
}

static long resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	ck_assert_int_eq(fscanf(file, "%*s %ld", &pages), 1);
	fclose(file);
	return pages * 4096;
}

START_TEST(region_that_is_locked_moves_and_stays_locked)
{
	create(_i & 1, false);
	if (_i & 2) /* frames from before it was locked */
		move_all(0, 1), move_all(1, 0);
	ck_assert_int_eq(syscall(SYS_mlock, rig.ram, BYTES), 0);
	move_all(0, 1);
	move_all(1, 0);
	ck_assert_int_ge(locked_kib(), (long)(BYTES >> 10));
	ck_assert_int_eq(syscall(SYS_munlock, rig.ram, BYTES), 0);
	move_all(0, 1);
	finish();
}
END_TEST

START_TEST(memory_locked_from_the_start_is_not_filled_at_once)
{
	long before;

	ck_assert_int_eq(syscall(SYS_mlockall, MCL_FUTURE), 0);
	before = resident_bytes();
	create(_i, true);
	ck_assert_uint_eq(pages_in_core(), 0);
	for (uint64_t page = 0; page < rig.pages; page++)
		rig_write_page(&rig, page);
	ck_assert_int_ge(locked_kib(), (long)(BYTES >> 10));
	move_all(0, 1);
	move_all(1, 0);
	/* Nor are the pools: what there is more are stacks. A sanitizer's memory is locked, too. */
	if (!SANITIZED)
		ck_assert_int_lt(resident_bytes(), before + (long)(4 * BYTES));
	finish();
}
END_TEST

START_TEST(memory_locked_all_at_once_later_moves)
{
	create(_i, false);
	move_all(0, 1);
	ck_assert_int_eq(syscall(SYS_mlockall, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT), 0);
	move_all(1, 0);
	ck_assert_int_eq(syscall(SYS_munlockall), 0);
	move_all(0, 1);
	finish();
}
END_TEST

/* By the engine, as --mlock has it: first touches, and what goes to and fro, never leave the locked pages. */
START_TEST(engine_locks_its_regions_on_every_node)
{
	struct rig_options options = {
	    .bytes = BYTES, .small_pages = _i, .untouched = true, .lock_memory = true};
	long before = locked_kib();

	rig_create(&rig, &options);
	ck_assert_int_eq(locked_kib() - before, (long)(BYTES >> 10));
	ck_assert_uint_eq(pages_in_core(), 0);
	for (uint64_t page = 0; page < rig.pages; page++)
		rig_write_page(&rig, page);
	for (unsigned int from = 0; from < 2; from++) {
		move_all(from, 1 - from);
		/* The kernel refuses to page out what is locked. */
		ck_assert_int_eq(madvise((void *)rig.ram, BYTES, MADV_PAGEOUT), -1);
		ck_assert_int_eq(errno, EINVAL);
	}
	finish();
}
END_TEST

/* A limit would be reached in the middle of a migration: it is told at the start. */
START_TEST(locking_within_a_limit_is_refused)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct rlimit limit;
	struct __user_cap_data_struct data[2];
	struct gmig_options options = {.lock_memory = true};
	struct gmig_region_spec spec = {.bytes = BYTES};
	struct gmig_error err = {0};
	struct gmig *gmig;
	char now[64];
	void *hva;

	ck_assert_int_eq(syscall(SYS_capget, &head, data), 0);
	data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	ck_assert_int_eq(syscall(SYS_capset, &head, data), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	limit.rlim_cur = limit.rlim_max < 2 * BYTES ? limit.rlim_max : 2 * BYTES;
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	snprintf(now, sizeof(now), "now it is %llu KiB", (unsigned long long)limit.rlim_cur >> 10);
	ck_assert_int_eq(gmig_topology_create(2, &options.topology, NULL), 0);
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "CAP_IPC_LOCK"));
	ck_assert_ptr_nonnull(strstr(err.text, now));
	ck_assert_int_eq(locked_kib(), 0);
	gmig_destroy(gmig);
	gmig_topology_put(options.topology);
}
END_TEST

static bool may_lock(void)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	size_t bytes = 64 * BYTES;
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	bool may;

	setrlimit(RLIMIT_MEMLOCK, &none);
	may = memory != MAP_FAILED && !mlock2(memory, bytes, MLOCK_ONFAULT);
	if (memory != MAP_FAILED)
		munmap(memory, bytes);
	return may;
}

int main(void)
{
	Suite *suite;
	TCase *tcase;

	if (!may_lock()) {
		printf("skipped: RLIMIT_MEMLOCK is too low, and this is not root\n");
		return 77;
	}
	suite = suite_create("locked");
	tcase = tcase_create("mlock");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, region_that_is_locked_moves_and_stays_locked, 0, 4);
	tcase_add_loop_test(tcase, memory_locked_from_the_start_is_not_filled_at_once, 0, 2);
	tcase_add_loop_test(tcase, memory_locked_all_at_once_later_moves, 0, 2);
	tcase_add_loop_test(tcase, engine_locks_its_regions_on_every_node, 0, 2);
	tcase_add_test(tcase, locking_within_a_limit_is_refused);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
