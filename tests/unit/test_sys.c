/* The table of the real system: what each call returns, and that no descriptor is there for a program that is started. */
#include "../../migrate/core/kernels.h"
#include "../../migrate/core/on_node.h"
#include "../../migrate/core/room.h"
#include "../../migrate/core/sys.h"
#include "failing_open.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <numaif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const struct gmig_sys *const sys = &gmig_sys_real;

static void *map(size_t bytes)
{
	void *memory = NULL;

	ck_assert_int_eq(sys->map(bytes, PROT_READ | PROT_WRITE, NULL, &memory), 0);
	return memory;
}

static void ck_closed_on_exec(int fd)
{
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(sys->close(fd), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}

START_TEST(descriptor_is_closed_for_a_program_that_is_started)
{
	int fd = sys->userfaultfd();

	ck_closed_on_exec(sys->pagemap());
	ck_closed_on_exec(sys->memfd("test", GMIG_PAGE_BYTES, 0));
	ck_closed_on_exec(sys->pidfd_open(getpid()));
	ck_closed_on_exec(sys->open_proc(getpid(), "maps"));
	if (fd == -EPERM || fd == -ENOSYS) {
		skip_case("userfaultfd(2) is refused");
		return;
	}
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_closed_on_exec(fd);
}
END_TEST

/* The right may be the device's alone: the call would say that there is none, and migration be off for good. */
START_TEST(device_that_cannot_be_opened_for_want_of_descriptors_is_not_passed_over)
{
	unreadable = "/dev/userfaultfd";
	ck_assert_int_eq(sys->userfaultfd(), -EMFILE);
	unreadable = NULL;
}
END_TEST

START_TEST(userfaultfd_leaves_no_other_descriptor)
{
	int before = dup(0), fd, after;

	ck_assert_int_ge(before, 0);
	close(before);
	fd = sys->userfaultfd();
	if (fd >= 0)
		sys->close(fd);
	after = dup(0);
	close(after);
	ck_assert_int_eq(after, before);
}
END_TEST

/* With stdin closed the first descriptor is 0, and errno may be what it was. */
START_TEST(file_in_memory_may_be_descriptor_0)
{
	close(0);
	errno = EINVAL;
	ck_assert_int_eq(sys->memfd("test", GMIG_PAGE_BYTES, 0), 0);
}
END_TEST

START_TEST(file_in_memory_keeps_its_size_for_ever)
{
	int fd = sys->memfd("test", 3 * GMIG_PAGE_BYTES, 0);
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct stat what;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &what), 0);
	ck_assert_int_eq(what.st_size, 3 * GMIG_PAGE_BYTES);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & seals, seals);
	ck_assert_int_eq(ftruncate(fd, GMIG_PAGE_BYTES), -1);
	ck_assert_int_eq(ftruncate(fd, 4 * GMIG_PAGE_BYTES), -1);
	sys->close(fd);
}
END_TEST

START_TEST(hole_in_a_file_is_found_and_its_window_has_no_access)
{
	int fd = sys->memfd("test", 4 * GMIG_PAGE_BYTES, 0);
	char *shared = map(4 * GMIG_PAGE_BYTES);
	unsigned char in_core[4];
	void *window = NULL;

	ck_assert_int_eq(sys->map_file(fd, 4 * GMIG_PAGE_BYTES, shared), 0);
	memset(shared, 7, 4 * GMIG_PAGE_BYTES);
	ck_assert_int_eq(sys->map_window(fd, 4 * GMIG_PAGE_BYTES, &window), 0);
	ck_assert_int_eq(sys->punch_hole(fd, GMIG_PAGE_BYTES, 2 * GMIG_PAGE_BYTES), 0);
	ck_assert_int_eq(sys->seek(fd, 0, SEEK_DATA), 0);
	ck_assert_int_eq(sys->seek(fd, GMIG_PAGE_BYTES, SEEK_DATA), 3 * GMIG_PAGE_BYTES);
	ck_assert_int_eq(sys->in_core(shared, 4 * GMIG_PAGE_BYTES, in_core), 0);
	ck_assert_int_eq(in_core[0] & 1, 1);
	ck_assert_int_eq(in_core[1] & 1, 0);
	ck_assert_int_eq(in_core[2] & 1, 0);
	ck_assert_int_eq(in_core[3] & 1, 1);
	ck_assert_int_eq(write(fd, window, 1), -1);
	ck_assert_int_eq(errno, EFAULT);
	ck_assert_int_eq(sys->protect(window, GMIG_PAGE_BYTES, PROT_READ), 0);
	ck_assert_int_eq(*(char *)window, 7);
	ck_assert_int_eq(sys->unmap(window, 4 * GMIG_PAGE_BYTES), 0);
	ck_assert_int_eq(sys->unmap(shared, 4 * GMIG_PAGE_BYTES), 0);
	ck_assert_int_eq(sys->in_core(shared, GMIG_PAGE_BYTES, in_core), -ENOMEM);
	sys->close(fd);
}
END_TEST

START_TEST(mapping_takes_the_place_of_another)
{
	char *from = map(2 * GMIG_PAGE_BYTES), *to = map(2 * GMIG_PAGE_BYTES);
	unsigned char in_core;

	strcpy(from, "from");
	strcpy(to, "to");
	ck_assert_int_eq(sys->remap(from, 2 * GMIG_PAGE_BYTES, to), 0);
	ck_assert_str_eq(to, "from");
	ck_assert_int_eq(sys->in_core(from, GMIG_PAGE_BYTES, &in_core), -ENOMEM);
	ck_assert_int_eq(sys->unmap(to, 2 * GMIG_PAGE_BYTES), 0);
}
END_TEST

START_TEST(failure_is_the_negative_error_and_never_errno)
{
	char *memory = map(GMIG_PAGE_BYTES);
	struct rlimit before, few;
	struct pollfd many[8] = {{.fd = -1}};
	void *out = NULL;
	int status;

	ck_assert_int_eq(sys->map(0, PROT_READ, NULL, &out), -EINVAL);
	ck_assert_int_eq(sys->map_huge(0, GMIG_BLOCK_BYTES, true, NULL, &out), -EINVAL);
	ck_assert_int_eq(sys->map_window(-1, GMIG_PAGE_BYTES, &out), -EBADF);
	ck_assert_ptr_null(out);
	ck_assert_int_eq(sys->map_file(-1, GMIG_PAGE_BYTES, memory), -EBADF);
	ck_assert_int_eq(sys->remap(memory + 1, GMIG_PAGE_BYTES, memory), -EINVAL);
	ck_assert_int_eq(sys->unmap(memory + 1, GMIG_PAGE_BYTES), -EINVAL);
	ck_assert_int_eq(sys->protect(memory + 1, GMIG_PAGE_BYTES, PROT_READ), -EINVAL);
	ck_assert_int_eq(sys->advise(memory, GMIG_PAGE_BYTES, 12345), -EINVAL);
	ck_assert_int_eq(sys->prefer_node(memory, GMIG_PAGE_BYTES, GMIG_MAX_NODES), -EINVAL);
	ck_assert_int_eq(sys->memfd("too large", UINT64_MAX / 2 + 1, 0), -EINVAL);
	ck_assert_int_eq(sys->punch_hole(-1, 0, GMIG_PAGE_BYTES), -EBADF);
	ck_assert_int_eq(sys->seek(-1, 0, SEEK_DATA), -EBADF);
	ck_assert_int_eq(sys->in_core(memory + 1, GMIG_PAGE_BYTES, (unsigned char *)&status),
			 -EINVAL);
	ck_assert_int_eq(sys->query_nodes(1, NULL, &status), -EFAULT);
	ck_assert_int_eq(sys->move_pages(-1, 1, &out, NULL, &status, 0), -ESRCH);
	ck_assert_int_eq(sys->pidfd_open(-1), -EINVAL);
	ck_assert_int_eq(sys->open_proc(getpid(), "nothing"), -ENOENT);
	ck_assert_int_eq(
	    sys->open_proc(getpid(),
			   "0123456789012345678901234567890123456789012345678901234567890"),
	    -ENAMETOOLONG);
	ck_assert_int_eq(sys->ioctl(-1, UFFDIO_API, NULL), -EBADF);
	ck_assert_int_eq(sys->read(-1, memory, 1), -EBADF);
	ck_assert_int_eq(sys->pread(-1, memory, 1, 0), -EBADF);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(sys->poll(many, 8, 0), -EINVAL);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(sys->close(-1), -EBADF);
	ck_assert_int_eq(sys->unmap(memory, GMIG_PAGE_BYTES), 0);
	ck_assert_int_eq(sys->lock(memory, GMIG_PAGE_BYTES, true), -ENOMEM);
}
END_TEST

/* What failed before is not this call's failure. */
START_TEST(nothing_is_no_failure)
{
	int ends[2];
	struct pollfd wait;
	char byte;
	int fd = sys->memfd("test", GMIG_PAGE_BYTES, 0), waiting = -1;

	ck_assert_int_eq(pipe(ends), 0);
	wait = (struct pollfd){.fd = ends[0], .events = POLLIN};
	errno = EIO;
	ck_assert_int_eq(sys->poll(&wait, 1, 0), 0);
	ck_assert_int_eq(sys->ioctl(ends[0], FIONREAD, &waiting), 0);
	ck_assert_int_eq(waiting, 0);
	ck_assert_int_eq(sys->pread(fd, &byte, 1, GMIG_PAGE_BYTES), 0);
	ck_assert_int_eq(write(ends[1], "ab", 2), 2);
	ck_assert_int_eq(sys->poll(&wait, 1, -1), 1);
	ck_assert_int_eq(sys->ioctl(ends[0], FIONREAD, &waiting), 0);
	ck_assert_int_eq(waiting, 2);
	ck_assert_int_eq(sys->read(ends[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 'a');
	ck_assert_int_eq(sys->read(ends[0], &byte, 1), 1);
	close(ends[1]);
	errno = EIO;
	ck_assert_int_eq(sys->read(ends[0], &byte, 1), 0);
	ck_assert_int_eq(pwrite(fd, "xyz", 3, 100), 3);
	ck_assert_int_eq(sys->pread(fd, &byte, 1, 101), 1);
	ck_assert_int_eq(byte, 'y');
	close(ends[0]);
	sys->close(fd);
}
END_TEST

START_TEST(pages_that_are_there_have_a_node_and_others_none)
{
	char *memory = map(2 * GMIG_PAGE_BYTES);
	void *pages[] = {memory, memory + GMIG_PAGE_BYTES};
	int status[2] = {99, 99};

	*memory = 1;
	if (sys->query_nodes(2, pages, status) == -ENOSYS) {
		skip_case("this kernel has no NUMA");
		return;
	}
	ck_assert_int_ge(status[0], 0);
	ck_assert_int_lt(status[0], (int)GMIG_MAX_NODES);
	ck_assert_int_eq(status[1], -ENOENT);
	status[0] = status[1] = 99;
	ck_assert_int_eq(sys->move_pages(0, 2, pages, NULL, status, 0), 0);
	ck_assert_int_ge(status[0], 0);
	ck_assert_int_eq(status[1], -ENOENT);
	sys->unmap(memory, 2 * GMIG_PAGE_BYTES);
}
END_TEST

static int policy_of(void *memory, struct gmig_node_set *nodes)
{
	int mode = -1;

	*nodes = (struct gmig_node_set){{0}};
	ck_assert_int_eq(get_mempolicy(&mode, (unsigned long *)nodes->word, GMIG_MAX_NODES + 1,
				       memory, MPOL_F_ADDR),
			 0);
	return mode;
}

START_TEST(preferred_node_of_memory_is_set_and_taken_back)
{
	char *memory = map(2 * GMIG_PAGE_BYTES);
	struct gmig_node_set nodes;
	int ret = sys->prefer_node(memory, GMIG_PAGE_BYTES, 0);

	if (ret == -ENOSYS || ret == -EPERM) {
		skip_case("mbind(2) is refused");
		return;
	}
	ck_assert_int_eq(ret, 0);
	ck_assert_int_eq(policy_of(memory, &nodes), MPOL_PREFERRED);
	ck_assert(gmig_node_set_has(&nodes, 0));
	ck_assert_uint_eq(gmig_node_set_count(&nodes), 1);
	ck_assert_int_eq(policy_of(memory + GMIG_PAGE_BYTES, &nodes), MPOL_DEFAULT);
	ck_assert_int_eq(sys->prefer_node(memory, GMIG_PAGE_BYTES, -1), 0);
	ck_assert_int_eq(policy_of(memory, &nodes), MPOL_DEFAULT);
	sys->unmap(memory, 2 * GMIG_PAGE_BYTES);
}
END_TEST

START_TEST(policy_of_the_thread_is_read_and_set)
{
	struct thread_policy bind = {.mode = MPOL_BIND}, now, before;
	struct {
		struct thread_policy policy;
		uint64_t behind;
	} guarded;

	if (sys->thread_policy(&before)) {
		skip_case("get_mempolicy(2) is refused");
		return;
	}
	gmig_node_set_add(&bind.nodes, 0);
	ck_assert_int_eq(sys->set_thread_policy(&bind), 0);
	ck_assert_int_eq(sys->thread_policy(&now), 0);
	ck_assert_int_eq(now.mode, MPOL_BIND);
	ck_assert(gmig_node_set_has(&now.nodes, 0));
	ck_assert_uint_eq(gmig_node_set_count(&now.nodes), 1);
	/* What lies behind the nodes stays as it was. */
	memset(&guarded, 0x55, sizeof(guarded));
	ck_assert_int_eq(sys->thread_policy(&guarded.policy), 0);
	ck_assert_uint_eq(guarded.behind, 0x5555555555555555);
	ck_assert_int_eq(sys->set_policy(12345), -EINVAL);
	ck_assert_int_eq(sys->set_thread_policy(&before), 0);
	ck_assert_int_eq(sys->thread_policy(&now), 0);
	ck_assert_int_eq(now.mode, before.mode);
}
END_TEST

START_TEST(lock_and_unlock_are_seen_by_advice)
{
	char *memory = map(GMIG_PAGE_BYTES);

	ck_assert_int_eq(sys->advise(memory, GMIG_PAGE_BYTES, MADV_COLD), 0);
	*memory = 5;
	if (sys->lock(memory, GMIG_PAGE_BYTES, true)) {
		skip_case("mlock(2) is refused");
		return;
	}
	ck_assert_int_eq(sys->advise(memory, GMIG_PAGE_BYTES, MADV_COLD), -EINVAL);
	if (gmig_sys_discard(sys, memory, GMIG_PAGE_BYTES) != -EINVAL)
		ck_assert_int_eq(*memory, 0);
	ck_assert_int_eq(sys->lock(memory, GMIG_PAGE_BYTES, false), 0);
	ck_assert_int_eq(sys->advise(memory, GMIG_PAGE_BYTES, MADV_COLD), 0);
	sys->unmap(memory, GMIG_PAGE_BYTES);
}
END_TEST

/* mlockall() fills a new mapping at once, but for this. */
START_TEST(empty_memory_is_empty_under_mlockall_and_locked_when_touched)
{
	char *memory = map(4 * GMIG_PAGE_BYTES);
	unsigned char in_core[4] = {1, 1, 1, 1};

	memset(memory, 1, 4 * GMIG_PAGE_BYTES);
	if (mlockall(MCL_FUTURE)) {
		skip_case("mlockall(2) is refused");
		return;
	}
	ck_assert_int_eq(gmig_sys_map_empty(sys, 4 * GMIG_PAGE_BYTES, memory), 0);
	munlockall();
	ck_assert_int_eq(sys->in_core(memory, 4 * GMIG_PAGE_BYTES, in_core), 0);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_int_eq(in_core[i] & 1, 0);
	ck_assert_int_eq(memory[3 * GMIG_PAGE_BYTES], 0);
	memory[0] = 2;
	ck_assert_int_eq(memory[0], 2);
	sys->unmap(memory, 4 * GMIG_PAGE_BYTES);
}
END_TEST

START_TEST(aligned_memory_lies_between_two_gaps)
{
	uint8_t *reserved, *aligned;
	void *first = NULL, *second = NULL;
	unsigned char in_core;

	ck_assert_int_eq(gmig_sys_map_aligned(sys, 2 * GMIG_BLOCK_BYTES, &first, &second), 0);
	reserved = first;
	aligned = second;
	ck_assert_uint_eq((uintptr_t)aligned % GMIG_BLOCK_BYTES, 0);
	ck_assert(aligned > reserved);
	ck_assert(aligned < reserved + GMIG_SYS_GUARD_BYTES);
	aligned[0] = aligned[2 * GMIG_BLOCK_BYTES - 1] = 1;
	ck_assert_int_eq(sys->unmap(reserved, 2 * GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES), 0);
	ck_assert_int_eq(sys->in_core(aligned, GMIG_PAGE_BYTES, &in_core), -ENOMEM);
}
END_TEST

static uint64_t number_in(const char *path, uint64_t otherwise)
{
	FILE *file = fopen(path, "re");
	unsigned long long number = otherwise;

	if (file && fscanf(file, "%llu", &number) != 1)
		number = otherwise;
	if (file)
		fclose(file);
	return number;
}

START_TEST(figures_of_the_host_are_those_of_its_files)
{
	struct kernel_name name;
	struct utsname uts;
	uint64_t limit = 0;

	ck_assert_int_eq(sys->map_limit(&limit), 0);
	ck_assert_uint_eq(limit, number_in("/proc/sys/vm/max_map_count", 0));
	ck_assert_int_eq(
	    sys->huge_grows(GMIG_BLOCK_BYTES),
	    number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages", 1) != 0);
	ck_assert(sys->huge_grows(GMIG_PAGE_BYTES));
	ck_assert_int_eq(uname(&uts), 0);
	memset(&name, 1, sizeof(name));
	sys->kernel_name(&name);
	ck_assert_str_eq(name.release, uts.release);
	ck_assert_str_eq(name.version, uts.version);
	ck_assert_uint_lt(strlen(name.signature), sizeof(name.signature));
	if (access("/proc/version_signature", R_OK))
		ck_assert_str_eq(name.signature, "");
}
END_TEST

START_TEST(deadlines_are_those_of_the_monotonic_clock)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	uint64_t begin, ran = sys->ran_ns();
	struct timespec now;
	pthread_cond_t cond;

	clock_gettime(CLOCK_MONOTONIC, &now);
	begin = sys->now_ns();
	ck_assert_uint_ge(begin, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	clock_gettime(CLOCK_MONOTONIC, &now);
	ck_assert_uint_le(begin, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	sys->sleep_ns(2000000);
	ck_assert_uint_ge(sys->now_ns(), begin + 2000000);
	/* Asleep is not running. */
	ck_assert_uint_lt(sys->ran_ns() - ran, sys->now_ns() - begin);
	ck_assert_int_eq(gmig_sys_cond_init(&cond), 0);
	pthread_mutex_lock(&mutex);
	begin = sys->now_ns();
	ck_assert_int_eq(sys->wait_until(&cond, &mutex, begin + 3000000), -ETIMEDOUT);
	ck_assert_uint_ge(sys->now_ns(), begin + 3000000);
	pthread_mutex_unlock(&mutex);
	pthread_cond_destroy(&cond);
}
END_TEST

/* ---- Descriptors ------------------------------------------------------------------------------- */

START_TEST(every_descriptor_may_be_0)
{
	int fd;

	close(0);
	ck_assert_int_eq(sys->pagemap(), 0);
	sys->close(0);
	ck_assert_int_eq(sys->open_proc(getpid(), "maps"), 0);
	sys->close(0);
	ck_assert_int_eq(sys->pidfd_open(getpid()), 0);
	sys->close(0);
	/* The device's own is 0 then, and is closed. */
	fd = sys->userfaultfd();
	if (fd)
		ck_assert_int_eq(sys->open_proc(getpid(), "maps"), 0);
}
END_TEST

START_TEST(no_descriptor_left_is_told_and_figures_that_cannot_be_read_are_not_made_up)
{
	struct rlimit before, none;
	uint64_t limit = 4711;
	struct kernel_name name;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(sys->pagemap(), -EMFILE);
	ck_assert_int_eq(sys->open_proc(getpid(), "maps"), -EMFILE);
	ck_assert_int_eq(sys->pidfd_open(getpid()), -EMFILE);
	ck_assert_int_eq(sys->memfd("test", GMIG_PAGE_BYTES, 0), -EMFILE);
	ck_assert_int_eq(sys->map_limit(&limit), -EMFILE);
	ck_assert_int_eq(sys->userfaultfd(), -EMFILE);
	ck_assert_int_eq(sys->huge_grows(GMIG_BLOCK_BYTES), -EMFILE);
	memset(&name, 1, sizeof(name));
	sys->kernel_name(&name);
	ck_assert_str_eq(name.signature, "");
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_uint_eq(limit, 4711);
}
END_TEST

/* ---- Mappings ---------------------------------------------------------------------------------- */

static bool is_mapped(void *memory, size_t bytes)
{
	unsigned char pages[16];

	ck_assert_uint_le(bytes / GMIG_PAGE_BYTES, sizeof(pages));
	return !sys->in_core(memory, bytes, pages);
}

START_TEST(memory_takes_the_place_of_what_is_at_its_address)
{
	char *memory = map(3 * GMIG_PAGE_BYTES);
	void *out = NULL;

	memset(memory, 1, 3 * GMIG_PAGE_BYTES);
	ck_assert_int_eq(sys->map(GMIG_PAGE_BYTES, PROT_READ, memory + GMIG_PAGE_BYTES, &out), 0);
	ck_assert_ptr_eq(out, memory + GMIG_PAGE_BYTES);
	ck_assert_int_eq(memory[GMIG_PAGE_BYTES - 1], 1);
	ck_assert_int_eq(memory[GMIG_PAGE_BYTES], 0);
	ck_assert_int_eq(memory[2 * GMIG_PAGE_BYTES - 1], 0);
	ck_assert_int_eq(memory[2 * GMIG_PAGE_BYTES], 1);
	ck_assert_int_eq(read(open("/dev/zero", O_RDONLY), out, 1), -1);
	ck_assert_int_eq(errno, EFAULT);
	sys->unmap(memory, 3 * GMIG_PAGE_BYTES);
}
END_TEST

/* Without a reserve nothing is promised; what is promised has to be there. */
START_TEST(huge_pages_are_reserved_only_when_that_was_asked_for)
{
	const size_t bytes = 1ull << 46;
	void *memory = NULL;
	int ret = sys->map_huge(GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, false, NULL, &memory);

	if (ret) {
		skip_case("this kernel has no hugetlbfs");
		return;
	}
	ck_assert_uint_eq((uintptr_t)memory % GMIG_BLOCK_BYTES, 0);
	ck_assert_int_eq(sys->unmap(memory, GMIG_BLOCK_BYTES), 0);
	memory = NULL;
	ck_assert_int_eq(sys->map_huge(bytes, GMIG_BLOCK_BYTES, true, NULL, &memory), -ENOMEM);
	ck_assert_ptr_null(memory);
	/* Others than those of a size that the host has. */
	ck_assert_int_eq(
	    sys->map_huge(GMIG_BLOCK_BYTES, 4 * GMIG_BLOCK_BYTES, false, NULL, &memory), -EINVAL);
	ck_assert_ptr_null(memory);
}
END_TEST

START_TEST(file_of_huge_pages_has_their_size)
{
	int fd = sys->memfd("test", 3 * GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES);
	struct stat what;

	if (fd < 0) {
		skip_case("this kernel has no hugetlbfs");
		return;
	}
	ck_assert_int_eq(fstat(fd, &what), 0);
	ck_assert_int_eq(what.st_size, 3 * GMIG_BLOCK_BYTES);
	ck_assert_int_eq(what.st_blksize, GMIG_BLOCK_BYTES);
	sys->close(fd);
}
END_TEST

/* ---- A call that fails ------------------------------------------------------------------------- */

/* Steps of what is made of several calls; the one with that number, from 1, fails. */
static int step, fails_at, fails_with;
static char steps[64];
static bool locks;

static int next(char what)
{
	steps[step++] = what;
	return step == fails_at ? fails_with : 0;
}

static int step_map(size_t bytes, int protection, void *fixed, void **out)
{
	int ret = next('m');

	ck_assert_int_eq(protection, PROT_NONE);
	return ret ? ret : sys->map(bytes, protection, fixed, out);
}

static int step_unmap(void *memory, size_t bytes)
{
	next('u');
	return sys->unmap(memory, bytes);
}

static int step_protect(void *memory, size_t bytes, int protection)
{
	int ret = next('p');

	return ret ? ret : sys->protect(memory, bytes, protection);
}

static int step_lock(void *memory, size_t bytes, bool on)
{
	(void)memory;
	ck_assert_uint_ge(bytes, GMIG_PAGE_BYTES);
	return next(on ? 'L' : 'l');
}

static int step_advise(void *memory, size_t bytes, int advice)
{
	(void)memory, (void)bytes;
	if (advice == MADV_COLD)
		return locks ? -EINVAL : 0;
	return next(advice == MADV_DONTNEED ? 'd' : advice == MADV_DONTNEED_LOCKED ? 'D' : '?');
}

static const struct gmig_sys stepwise = {.map = step_map,
					 .unmap = step_unmap,
					 .protect = step_protect,
					 .lock = step_lock,
					 .advise = step_advise};

static void begin_steps(bool locked, int at, int error)
{
	memset(steps, 0, sizeof(steps));
	step = 0;
	locks = locked;
	fails_at = at;
	fails_with = error;
}

START_TEST(aligned_memory_that_fails_at_any_step_leaves_nothing)
{
	static const char *const expected[][2] = {
	    {"mp", "mlpL"}, {"m", "m"}, {"mpu", "mlu"}, {"mp", "mlpu"}, {"mp", "mlpLu"}};
	void *reserved = NULL, *aligned = NULL;
	bool locked = _i >= 5;
	int at = _i % 5, ret;

	begin_steps(locked, at, -ENOMEM);
	ret = gmig_sys_map_aligned(&stepwise, 2 * GMIG_BLOCK_BYTES, &reserved, &aligned);
	ck_assert_str_eq(steps, expected[at][locked]);
	ck_assert_int_eq(ret,
			 at && strlen(steps) >= (size_t)at && (locked || at < 3) ? -ENOMEM : 0);
	ck_assert_int_eq(reserved != NULL, !ret);
	ck_assert_int_eq(aligned != NULL, !ret);
	if (!ret)
		sys->unmap(reserved, 2 * GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
}
END_TEST

START_TEST(empty_memory_that_cannot_be_mapped_is_not_opened)
{
	char *memory = map(GMIG_PAGE_BYTES);

	begin_steps(false, 1, -EPERM);
	ck_assert_int_eq(gmig_sys_map_empty(&stepwise, GMIG_PAGE_BYTES, memory), -EPERM);
	ck_assert_str_eq(steps, "m");
	begin_steps(false, 2, -EACCES);
	ck_assert_int_eq(gmig_sys_map_empty(&stepwise, GMIG_PAGE_BYTES, memory), -EACCES);
	ck_assert_str_eq(steps, "mp");
	ck_assert(is_mapped(memory, GMIG_PAGE_BYTES));
	sys->unmap(memory, GMIG_PAGE_BYTES);
}
END_TEST

START_TEST(discard_asks_for_locked_memory_only_where_the_first_was_invalid)
{
	begin_steps(false, 0, 0);
	ck_assert_int_eq(gmig_sys_discard(&stepwise, NULL, GMIG_PAGE_BYTES), 0);
	ck_assert_str_eq(steps, "d");
	begin_steps(false, 1, -EINVAL);
	ck_assert_int_eq(gmig_sys_discard(&stepwise, NULL, GMIG_PAGE_BYTES), 0);
	ck_assert_str_eq(steps, "dD");
	begin_steps(false, 1, -ENOMEM);
	ck_assert_int_eq(gmig_sys_discard(&stepwise, NULL, GMIG_PAGE_BYTES), -ENOMEM);
	ck_assert_str_eq(steps, "d");
}
END_TEST

/* What each read(2) returns. */
static ssize_t reads[8];
static unsigned int read_calls;

static ssize_t read_parts(int fd, void *buffer, size_t bytes)
{
	ssize_t got = reads[read_calls++];

	ck_assert_int_eq(fd, 5);
	ck_assert_int_le(got, (ssize_t)bytes);
	for (ssize_t i = 0; i < got; i++)
		((char *)buffer)[i] = (char)('0' + read_calls);
	return got;
}

static ssize_t read_all(ssize_t first, ssize_t second, ssize_t third, size_t bytes, char *text)
{
	const struct gmig_sys parts = {.read = read_parts};

	memset(reads, 0, sizeof(reads));
	reads[0] = first;
	reads[1] = second;
	reads[2] = third;
	read_calls = 0;
	memset(text, 0, 16);
	return gmig_sys_read_whole(&parts, 5, text, bytes);
}

START_TEST(file_is_read_to_its_end_or_as_far_as_there_is_room)
{
	char text[16];

	ck_assert_int_eq(read_all(3, 2, 0, 8, text), 5);
	ck_assert_str_eq(text, "11122");
	ck_assert_uint_eq(read_calls, 3);
	ck_assert_int_eq(read_all(3, 5, 1, 8, text), 8);
	ck_assert_str_eq(text, "11122222");
	ck_assert_uint_eq(read_calls, 2);
	ck_assert_int_eq(read_all(0, 1, 1, 8, text), 0);
	ck_assert_uint_eq(read_calls, 1);
	ck_assert_int_eq(read_all(-EINTR, 2, 0, 8, text), 2);
	ck_assert_str_eq(text, "22");
	ck_assert_int_eq(read_all(2, -EINTR, 3, 8, text), 5);
	ck_assert_str_eq(text, "11333");
	ck_assert_int_eq(read_all(2, -EIO, 3, 8, text), -EIO);
	ck_assert_uint_eq(read_calls, 2);
}
END_TEST

/* ---- Room -------------------------------------------------------------------------------------- */

START_TEST(rooms_are_those_of_this_process)
{
	static struct room_source memory, huge = {.controller = "hugetlb"}, swap;
	struct room expected, got;

	memory.root = huge.root = swap.root = "";
	room_read(&memory, &expected);
	memset(&got, 1, sizeof(got));
	sys->room(&got);
	ck_assert_str_eq(got.limit, expected.limit);
	ck_assert_uint_eq(got.total_bytes, expected.total_bytes);
	room_huge_read(&huge, GMIG_BLOCK_BYTES, &expected);
	for (unsigned int i = 0; i < 2; i++) {
		memset(&got, 1, sizeof(got));
		sys->huge_room(GMIG_BLOCK_BYTES, &got);
		ck_assert_str_eq(got.limit, expected.limit);
		ck_assert_uint_eq(got.total_bytes, expected.total_bytes);
	}
	room_swap_read(&swap, &expected);
	for (unsigned int i = 0; i < 2; i++) {
		memset(&got, 1, sizeof(got));
		sys->swap_room(&got);
		ck_assert_str_eq(got.limit, expected.limit);
		ck_assert_uint_eq(got.total_bytes, expected.total_bytes);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    descriptor_is_closed_for_a_program_that_is_started,
	    device_that_cannot_be_opened_for_want_of_descriptors_is_not_passed_over,
	    userfaultfd_leaves_no_other_descriptor,
	    file_in_memory_keeps_its_size_for_ever,
	    file_in_memory_may_be_descriptor_0,
	    hole_in_a_file_is_found_and_its_window_has_no_access,
	    mapping_takes_the_place_of_another,
	    failure_is_the_negative_error_and_never_errno,
	    nothing_is_no_failure,
	    pages_that_are_there_have_a_node_and_others_none,
	    preferred_node_of_memory_is_set_and_taken_back,
	    policy_of_the_thread_is_read_and_set,
	    lock_and_unlock_are_seen_by_advice,
	    empty_memory_is_empty_under_mlockall_and_locked_when_touched,
	    aligned_memory_lies_between_two_gaps,
	    figures_of_the_host_are_those_of_its_files,
	    deadlines_are_those_of_the_monotonic_clock,
	    every_descriptor_may_be_0,
	    no_descriptor_left_is_told_and_figures_that_cannot_be_read_are_not_made_up,
	    memory_takes_the_place_of_what_is_at_its_address,
	    huge_pages_are_reserved_only_when_that_was_asked_for,
	    file_of_huge_pages_has_their_size,
	    empty_memory_that_cannot_be_mapped_is_not_opened,
	    discard_asks_for_locked_memory_only_where_the_first_was_invalid,
	    file_is_read_to_its_end_or_as_far_as_there_is_room,
	    rooms_are_those_of_this_process,
	};

	Suite *suite = suite_create("sys");
	TCase *tcase = tcase_create("sys");

	for (unsigned int i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, aligned_memory_that_fails_at_any_step_leaves_nothing, 0, 10);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
