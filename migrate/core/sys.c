#include "sys.h"
#include "kernels.h"
#include "on_node.h"
#include "room.h"
#include "shortage.h"

#include <errno.h>
#include <fcntl.h>
#include <numaif.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int real_map(size_t bytes, int protection, void *fixed, void **out)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (fixed ? MAP_FIXED : 0);
	void *memory = mmap(fixed, bytes, protection, flags, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	*out = memory;
	return 0;
}

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

/* mlockall(MCL_FUTURE) has the kernel fill new mappings at once, but for those that nobody may read. */
static int real_map_huge(size_t bytes, uint64_t page_bytes, bool reserve, void *fixed, void **out)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		    (63 - __builtin_clzll(page_bytes)) << MAP_HUGE_SHIFT |
		    (reserve ? 0 : MAP_NORESERVE) | (fixed ? MAP_FIXED : 0);
	void *memory = mmap(fixed, bytes, PROT_NONE, flags, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	*out = memory;
	return 0;
}

static int real_remap(void *from, size_t bytes, void *to)
{
	void *memory = mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	return memory == MAP_FAILED ? -errno : 0;
}

static int real_unmap(void *memory, size_t bytes)
{
	return munmap(memory, bytes) ? -errno : 0;
}

static int real_protect(void *memory, size_t bytes, int protection)
{
	return mprotect(memory, bytes, protection) ? -errno : 0;
}

static int real_lock(void *memory, size_t bytes, bool on)
{
	long ret = on ? syscall(SYS_mlock2, memory, bytes, MLOCK_ONFAULT)
		      : syscall(SYS_munlock, memory, bytes);

	return ret ? -errno : 0;
}

static int real_advise(void *memory, size_t bytes, int advice)
{
	return madvise(memory, bytes, advice) ? -errno : 0;
}

static int real_prefer_node(void *memory, size_t bytes, int node)
{
	struct gmig_node_set set = {{0}};
	int mode = node < 0 ? MPOL_DEFAULT : MPOL_PREFERRED;
	long ret;

	if (node >= (int)GMIG_MAX_NODES)
		return -EINVAL;
	if (node < 0) {
		ret = mbind(memory, bytes, mode, NULL, 0, 0);
	} else {
		gmig_node_set_add(&set, (unsigned int)node);
		/* The kernel takes one bit less than it is told. */
		ret = mbind(memory, bytes, mode, (unsigned long *)set.word, GMIG_MAX_NODES + 1, 0);
	}
	return ret ? -errno : 0;
}

static int real_set_policy(int mode)
{
	return syscall(SYS_set_mempolicy, mode, NULL, 0) ? -errno : 0;
}

static int real_thread_policy(struct thread_policy *policy)
{
	memset(policy, 0, sizeof(*policy));
	return get_mempolicy(&policy->mode, (unsigned long *)policy->nodes.word, GMIG_MAX_NODES + 1,
			     NULL, 0)
		   ? -errno
		   : 0;
}

static int real_set_thread_policy(const struct thread_policy *policy)
{
	return set_mempolicy(policy->mode, (const unsigned long *)policy->nodes.word,
			     GMIG_MAX_NODES + 1)
		   ? -errno
		   : 0;
}

static int real_map_limit(uint64_t *count)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned long long limit;
	bool found;

	if (!file)
		return -errno;
	found = fscanf(file, "%llu", &limit) == 1;
	fclose(file);
	if (found)
		*count = limit;
	return found ? 0 : -EINVAL;
}

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

/* vm.memfd_noexec=2 refuses files that could be executed; before Linux 6.3 there is no such flag. */
static int create_memfd(const char *name, unsigned int flags)
{
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

	return fd < 0 && errno == EINVAL ? memfd_create(name, flags) : fd;
}

/* Whoever maps it would get SIGBUS from a file that shrinks. */
static int real_memfd(const char *name, uint64_t bytes, uint64_t huge_bytes)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, error;

	if (huge_bytes)
		flags |= MFD_HUGETLB | (unsigned int)(63 - __builtin_clzll(huge_bytes))
					   << MFD_HUGE_SHIFT;
	fd = create_memfd(name, flags);
	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)bytes) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static int real_map_file(int fd, size_t bytes, void *fixed)
{
	void *memory = mmap(fixed, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);

	return memory == MAP_FAILED ? -errno : 0;
}

/* mlockall(MCL_FUTURE) has the kernel fill new mappings at once, but for those that nobody may read. */
static int real_map_window(int fd, size_t bytes, void **out)
{
	void *memory = mmap(NULL, bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	*out = memory;
	return 0;
}

static int real_punch_hole(int fd, uint64_t offset, uint64_t bytes)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, ret;

	do
		ret = fallocate(fd, mode, (off_t)offset, (off_t)bytes);
	while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static int64_t real_seek(int fd, uint64_t offset, int whence)
{
	off_t found = lseek(fd, (off_t)offset, whence);

	return found < 0 ? -errno : found;
}

static int real_in_core(void *memory, size_t bytes, unsigned char *pages)
{
	return mincore(memory, bytes, pages) ? -errno : 0;
}

static int real_query_nodes(size_t count, void **pages, int *status)
{
	return move_pages(0, count, pages, NULL, status, 0) < 0 ? -errno : 0;
}

static long real_move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes,
			    int *status, int flags)
{
	long ret = syscall(SYS_move_pages, pid, count, pages, nodes, status, flags);

	return ret < 0 ? -errno : ret;
}

static int real_pidfd_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

static int real_open_proc(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	if (snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* One source for the process: its cgroups are found once, and again when they change. */
static void real_room(struct room *room)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct room_source source = {.root = ""};

	pthread_mutex_lock(&lock);
	room_read(&source, room);
	pthread_mutex_unlock(&lock);
}

static void real_huge_room(uint64_t page_bytes, struct room *room)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct room_source source = {.root = "", .controller = "hugetlb"};

	pthread_mutex_lock(&lock);
	room_huge_read(&source, page_bytes, room);
	pthread_mutex_unlock(&lock);
}

static int real_huge_grows(uint64_t page_bytes)
{
	unsigned long long pages = 1;
	char path[96];
	FILE *file;
	int ret;

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%llukB/nr_overcommit_hugepages",
		 (unsigned long long)page_bytes >> 10);
	file = fopen(path, "re");
	if (!file)
		return is_shortage(errno) ? -errno : 1;
	if (fscanf(file, "%llu", &pages) != 1)
		ret = ferror(file) && is_shortage(errno) ? -errno : 1;
	else
		ret = pages > 0;
	fclose(file);
	return ret;
}

static void real_swap_room(struct room *room)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct room_source source = {.root = ""};

	pthread_mutex_lock(&lock);
	room_swap_read(&source, room);
	pthread_mutex_unlock(&lock);
}

/*
 * The device first: its file mode is how an administrator grants the right without root. Who has it there and no descriptor left would be
 * told by the call that he has no right.
 */
static int real_userfaultfd(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd, error = errno;

	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		error = errno;
		close(device);
		if (fd >= 0)
			return fd;
	}
	if (is_shortage(error))
		return -error;
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int real_pagemap(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void real_kernel_name(struct kernel_name *name)
{
	FILE *file = fopen("/proc/version_signature", "re");
	struct utsname uts;

	memset(name, 0, sizeof(*name));
	if (!uname(&uts)) {
		snprintf(name->release, sizeof(name->release), "%s", uts.release);
		snprintf(name->version, sizeof(name->version), "%s", uts.version);
	}
	if (!file)
		return;
	if (!fgets(name->signature, sizeof(name->signature), file))
		name->signature[0] = '\0';
	fclose(file);
}

static int real_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static ssize_t real_read(int fd, void *buffer, size_t bytes)
{
	ssize_t ret = read(fd, buffer, bytes);

	return ret < 0 ? -errno : ret;
}

static ssize_t real_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
	ssize_t ret = pread(fd, buffer, bytes, offset);

	return ret < 0 ? -errno : ret;
}

static int real_poll(struct pollfd *fds, unsigned int count, int timeout_ms)
{
	int ret = poll(fds, count, timeout_ms);

	return ret < 0 ? -errno : ret;
}

static int real_close(int fd)
{
	return close(fd) ? -errno : 0;
}

static uint64_t real_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static uint64_t real_ran_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000ull),
				 .tv_nsec = (long)(ns % 1000000000ull)};
}

static void real_sleep_ns(uint64_t ns)
{
	struct timespec pause = timespec_of(ns);

	nanosleep(&pause, NULL);
}

static int real_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	struct timespec deadline = timespec_of(deadline_ns);

	return -pthread_cond_timedwait(cond, mutex, &deadline);
}

const struct gmig_sys gmig_sys_real = {
    .map = real_map,
    .map_huge = real_map_huge,
    .remap = real_remap,
    .unmap = real_unmap,
    .protect = real_protect,
    .lock = real_lock,
    .advise = real_advise,
    .prefer_node = real_prefer_node,
    .set_policy = real_set_policy,
    .thread_policy = real_thread_policy,
    .set_thread_policy = real_set_thread_policy,
    .map_limit = real_map_limit,
    .memfd = real_memfd,
    .map_file = real_map_file,
    .map_window = real_map_window,
    .punch_hole = real_punch_hole,
    .seek = real_seek,
    .in_core = real_in_core,
    .query_nodes = real_query_nodes,
    .move_pages = real_move_pages,
    .pidfd_open = real_pidfd_open,
    .open_proc = real_open_proc,
    .room = real_room,
    .huge_room = real_huge_room,
    .huge_grows = real_huge_grows,
    .swap_room = real_swap_room,
    .userfaultfd = real_userfaultfd,
    .pagemap = real_pagemap,
    .kernel_name = real_kernel_name,
    .ioctl = real_ioctl,
    .read = real_read,
    .pread = real_pread,
    .poll = real_poll,
    .close = real_close,
    .now_ns = real_now_ns,
    .ran_ns = real_ran_ns,
    .sleep_ns = real_sleep_ns,
    .wait_until = real_wait_until,
};

int gmig_sys_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	int ret;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	ret = -pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
	return ret;
}

ssize_t gmig_sys_read_whole(const struct gmig_sys *sys, int fd, char *into, size_t bytes)
{
	size_t done = 0;
	ssize_t got;

	do {
		got = sys->read(fd, into + done, bytes - done);
		if (got > 0)
			done += (size_t)got;
	} while ((got > 0 && done < bytes) || got == -EINTR);
	return got < 0 ? got : (ssize_t)done;
}

int gmig_sys_discard(const struct gmig_sys *sys, void *memory, size_t bytes)
{
	int ret = sys->advise(memory, bytes, MADV_DONTNEED);

	return ret == -EINVAL ? sys->advise(memory, bytes, MADV_DONTNEED_LOCKED) : ret;
}

/* The advice is refused for locked memory (mm/madvise.c: can_madv_lru_vma()), and does nothing to empty memory. */
static bool is_locked(const struct gmig_sys *sys, void *empty)
{
	return sys->advise(empty, GMIG_PAGE_BYTES, MADV_COLD) == -EINVAL;
}

/* Empty memory without access: give it access, and leave it empty. */
static int open_empty(const struct gmig_sys *sys, void *memory, size_t bytes)
{
	bool locked = is_locked(sys, memory);
	int ret = locked ? sys->lock(memory, bytes, false) : 0;

	if (!ret)
		ret = sys->protect(memory, bytes, PROT_READ | PROT_WRITE);
	if (!ret && locked)
		ret = sys->lock(memory, bytes, true);
	return ret;
}

int gmig_sys_map_empty(const struct gmig_sys *sys, size_t bytes, void *fixed)
{
	void *memory;
	int ret = sys->map(bytes, PROT_NONE, fixed, &memory);

	return ret ? ret : open_empty(sys, memory, bytes);
}

int gmig_sys_map_aligned(const struct gmig_sys *sys, size_t bytes, void **reserved, void **aligned)
{
	void *base, *start;
	int ret = sys->map(bytes + GMIG_SYS_GUARD_BYTES, PROT_NONE, NULL, &base);

	if (ret)
		return ret;
	start = (void *)(((uintptr_t)base + GMIG_BLOCK_BYTES) & ~(GMIG_BLOCK_BYTES - 1));
	ret = open_empty(sys, start, bytes);
	if (ret) {
		sys->unmap(base, bytes + GMIG_SYS_GUARD_BYTES);
		return ret;
	}
	*reserved = base;
	*aligned = start;
	return 0;
}
