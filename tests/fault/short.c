/*
 * A library for LD_PRELOAD: calls of a program are done in part, or come back with EINTR or EAGAIN before anything is done,
 * as the kernel may have it at any time. strace(1) cannot do that: a call that it makes fail is not made.
 *
 *   GMIG_SHORT=SEED:RATE    of 1000 calls that can be cut, RATE are; which ones is drawn for each thread from the seed
 *   GMIG_SHORT_ONLY=A,B     only these kinds (names[] below)
 *   GMIG_SHORT_COUNTS=FILE  how many calls of each kind came, and how many of them were cut: struct tally[KINDS]
 *
 * What a call may be cut to depends on its descriptor: a stream anywhere, a datagram or an eventfd nowhere, a file of /proc when
 * it is read only, O_DIRECT at 4 KiB. So each way to get a descriptor is watched. EINTR comes only from what may sleep.
 * No system call is made but those of the program itself once it runs: it may be in a sandbox. Calls that libc and other
 * libraries make are left alone.
 */
#include "short.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <link.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <numaif.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* For UFFDIO_MOVE and PAGEMAP_SCAN. */
#include "../../migrate/core/sys.h"

#define HUGE (2ull << 20)

enum kind {
	READ,
	WRITE,
	READV,
	WRITEV,
	PREAD,
	PWRITE,
	RECV,
	SEND,
	POLL,
	EPOLL,
	ACCEPT,
	CONNECT,
	SLEEP,
	SIGNAL,
	WAIT,
	ALLOCATE,
	LOCK,
	RANDOM,
	RING,
	KVM,
	COPY,
	MOVE,
	ZERO,
	CONTINUE,
	PROTECT,
	POISON,
	SCAN,
	MOVE_PAGES,
	ADVISE,
	KINDS
};

static const char *const names[KINDS] = {"read",
					 "write",
					 "readv",
					 "writev",
					 "pread",
					 "pwrite",
					 "recv",
					 "send",
					 "poll",
					 "epoll",
					 "accept",
					 "connect",
					 "nanosleep",
					 "sigtimedwait",
					 "waitpid",
					 "fallocate",
					 "flock",
					 "getrandom",
					 "io_uring",
					 "KVM_RUN",
					 "UFFDIO_COPY",
					 "UFFDIO_MOVE",
					 "UFFDIO_ZEROPAGE",
					 "UFFDIO_CONTINUE",
					 "UFFDIO_WRITEPROTECT",
					 "UFFDIO_POISON",
					 "PAGEMAP_SCAN",
					 "move_pages",
					 "process_madvise"};

struct tally {
	char name[40];
	_Atomic uint64_t calls, part, none;
};

/* ---- What is drawn ------------------------------------------------------------------------- */

static struct tally *tally, own_tally[KINDS];
static bool is_on[KINDS];
static uint64_t seed, rate;
static uintptr_t text_start, text_end; /* of the program itself */
static atomic_uint threads;
static _Thread_local uint64_t state __attribute__((tls_model("initial-exec")));

/* splitmix64 */
static uint64_t draw(void)
{
	uint64_t z;

	if (!state)
		state = (seed + 1) * 0x9e3779b97f4a7c15ull ^
			(uint64_t)(atomic_fetch_add(&threads, 1) + 1) << 32;
	z = state += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static bool of_program(const void *caller)
{
	return (uintptr_t)caller - text_start < text_end - text_start;
}

static bool is_hit(enum kind kind, const void *caller)
{
	if (!rate || !is_on[kind] || !of_program(caller))
		return false;
	atomic_fetch_add(&tally[kind].calls, 1);
	return draw() % 1000 < rate;
}

/* It is done in part. */
static void note_part(enum kind kind)
{
	atomic_fetch_add(&tally[kind].part, 1);
}

/* It is not done. */
static int none(enum kind kind, int error)
{
	atomic_fetch_add(&tally[kind].none, 1);
	errno = error;
	return -1;
}

/* Less than `all`, in whole units; 0: it cannot be less. */
static uint64_t less(uint64_t all, uint64_t unit)
{
	uint64_t units = all ? (all - 1) / unit : 0;

	if (!units)
		return 0;
	switch (draw() % 3) {
	case 0:
		return unit;
	case 1:
		return unit * units;
	default:
		return unit * (1 + draw() % units);
	}
}

/* ---- The real ones ------------------------------------------------------------------------- */

struct real real;

static int visit_object(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)size;
	(void)unused;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
			continue;
		text_start = info->dlpi_addr + part->p_vaddr;
		text_end = text_start + part->p_memsz;
	}
	return 1; /* the first one is the program */
}

static void map_counts(void)
{
	const char *path = getenv("GMIG_SHORT_COUNTS");
	void *memory = MAP_FAILED;
	int fd = path ? real.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd >= 0 && !ftruncate(fd, sizeof(own_tally)))
		memory = mmap(NULL, sizeof(own_tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		real.close(fd);
	tally = memory == MAP_FAILED ? own_tally : memory;
	for (int i = 0; i < KINDS; i++)
		snprintf(tally[i].name, sizeof(tally[i].name), "%s", names[i]);
}

static bool is_listed(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at += length)
		if ((at == list || at[-1] == ',') && (!at[length] || at[length] == ','))
			return true;
	return false;
}

__attribute__((constructor(101))) void short_begin(void)
{
	const char *what = getenv("GMIG_SHORT"), *only = getenv("GMIG_SHORT_ONLY");
	unsigned long long from = 0, part = 0;

#define FIND(name) real.name = (__typeof__(real.name))dlsym(RTLD_NEXT, #name)
	FIND(read), FIND(write), FIND(readv), FIND(writev), FIND(pread), FIND(pwrite),
	    FIND(preadv2), FIND(pwritev2);
	FIND(recv), FIND(send), FIND(recvmsg), FIND(sendmsg), FIND(getrandom), FIND(poll),
	    FIND(epoll_wait), FIND(accept4);
	FIND(connect), FIND(nanosleep), FIND(sigtimedwait), FIND(waitpid), FIND(fallocate),
	    FIND(flock), FIND(ioctl);
	FIND(syscall), FIND(move_pages), FIND(open), FIND(openat), FIND(close), FIND(dup),
	    FIND(dup2), FIND(fcntl);
	FIND(socket), FIND(socketpair), FIND(eventfd), FIND(timerfd_create), FIND(signalfd);
	real.submit_and_wait =
	    (__typeof__(real.submit_and_wait))dlsym(RTLD_NEXT, "io_uring_submit_and_wait");
#undef FIND
	dl_iterate_phdr(visit_object, NULL);
	map_counts();
	for (int i = 0; i < KINDS; i++)
		is_on[i] = !only || is_listed(only, names[i]);
	if (what && sscanf(what, "%llu:%llu", &from, &part) == 2) {
		seed = from;
		rate = part;
	}
}

#define CALLER __builtin_return_address(0)

/* ---- Bytes --------------------------------------------------------------------------------- */

/* EINTR instead of the call: half of those that may sleep. */
static bool is_interrupted(int fd, bool may_sleep)
{
	return may_sleep && !is_eager(fd) && form_of(fd) != KERNEL && form_of(fd) != WORDS &&
	       form_of(fd) != DIRECT && draw() % 2;
}

/* Of a hit: *bytes becomes less, or -1 with EINTR. */
static int cut(enum kind kind, int fd, bool may_sleep, uint64_t *bytes)
{
	uint64_t unit =
		     unit_of(fd, kind == WRITE || kind == WRITEV || kind == PWRITE || kind == SEND),
		 part;

	if (is_interrupted(fd, may_sleep))
		return none(kind, EINTR);
	part = unit ? less(*bytes, unit) : 0;
	if (part) {
		*bytes = part;
		note_part(kind);
	}
	return 0;
}

#define CUT(kind, fd, may_sleep, bytes)                                                            \
	do {                                                                                       \
		uint64_t part = (bytes);                                                           \
                                                                                                   \
		if (is_hit(kind, CALLER) && cut(kind, fd, may_sleep, &part))                       \
			return -1;                                                                 \
		(bytes) = part;                                                                    \
	} while (0)

ssize_t read(int fd, void *buffer, size_t bytes)
{
	__typeof__(real.read) call = REAL(read);

	CUT(READ, fd, true, bytes);
	return call(fd, buffer, bytes);
}

ssize_t write(int fd, const void *buffer, size_t bytes)
{
	__typeof__(real.write) call = REAL(write);

	CUT(WRITE, fd, true, bytes);
	return call(fd, buffer, bytes);
}

ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
{
	__typeof__(real.pread) call = REAL(pread);

	CUT(PREAD, fd, false, bytes);
	return call(fd, buffer, bytes, offset);
}

ssize_t pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
	__typeof__(real.pwrite) call = REAL(pwrite);

	CUT(PWRITE, fd, false, bytes);
	return call(fd, buffer, bytes, offset);
}

ssize_t recv(int fd, void *buffer, size_t bytes, int flags)
{
	__typeof__(real.recv) call = REAL(recv);

	CUT(RECV, fd, !(flags & MSG_DONTWAIT), bytes);
	return call(fd, buffer, bytes, flags);
}

ssize_t send(int fd, const void *buffer, size_t bytes, int flags)
{
	__typeof__(real.send) call = REAL(send);

	CUT(SEND, fd, !(flags & MSG_DONTWAIT), bytes);
	return call(fd, buffer, bytes, flags);
}

ssize_t getrandom(void *buffer, size_t bytes, unsigned int flags)
{
	__typeof__(real.getrandom) call = REAL(getrandom);

	if (is_hit(RANDOM, CALLER)) {
		uint64_t part;

		if (draw() % 2)
			return none(RANDOM, EINTR);
		part = bytes > 256 ? less(bytes, 1) : 0; /* up to 256 bytes are never cut */
		if (part)
			note_part(RANDOM);
		bytes = part ? part : bytes;
	}
	return call(buffer, bytes, flags);
}

/* ---- Vectors ------------------------------------------------------------------------------- */

static uint64_t sum(const struct iovec *iov, size_t count)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* The first so many bytes of them: how many pieces that is. */
static int head_of(struct iovec *to, const struct iovec *from, size_t count, uint64_t bytes)
{
	size_t i = 0;

	for (; i < count && bytes; i++) {
		to[i] = from[i];
		if (to[i].iov_len > bytes)
			to[i].iov_len = bytes;
		bytes -= to[i].iov_len;
	}
	return (int)i;
}

#define PIECES 256 /* longer vectors are left alone */

/* A hit may leave less of `iov`, in `head`. */
#define CUT_VECTOR(kind, fd, may_sleep)                                                            \
	struct iovec head[PIECES];                                                                 \
	uint64_t all = count > 0 && count <= PIECES ? sum(iov, (size_t)count) : 0, bytes = all;    \
                                                                                                   \
	CUT(kind, fd, may_sleep, bytes);                                                           \
	if (bytes < all) {                                                                         \
		count = head_of(head, iov, (size_t)count, bytes);                                  \
		iov = head;                                                                        \
	}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
	__typeof__(real.readv) call = REAL(readv);

	CUT_VECTOR(READV, fd, true);
	return call(fd, iov, count);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	__typeof__(real.writev) call = REAL(writev);

	CUT_VECTOR(WRITEV, fd, true);
	return call(fd, iov, count);
}

ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	__typeof__(real.preadv2) call = REAL(preadv2);

	CUT_VECTOR(PREAD, fd, false);
	return call(fd, iov, count, offset, flags);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	__typeof__(real.pwritev2) call = REAL(pwritev2);

	CUT_VECTOR(PWRITE, fd, false);
	return call(fd, iov, count, offset, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	__typeof__(real.recvmsg) call = REAL(recvmsg);
	struct iovec *whole = message->msg_iov;
	const struct iovec *iov = whole;
	int count = (int)message->msg_iovlen;
	ssize_t ret;

	CUT_VECTOR(RECV, fd, !(flags & MSG_DONTWAIT));
	message->msg_iov = (struct iovec *)iov;
	message->msg_iovlen = (size_t)count;
	ret = call(fd, message, flags);
	message->msg_iov = whole;
	return ret;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	__typeof__(real.sendmsg) call = REAL(sendmsg);
	const struct iovec *iov = message->msg_iov;
	int count = (int)message->msg_iovlen;
	struct msghdr mine = *message;

	CUT_VECTOR(SEND, fd, !(flags & MSG_DONTWAIT));
	mine.msg_iov = (struct iovec *)iov;
	mine.msg_iovlen = (size_t)count;
	return call(fd, &mine, flags);
}

/* ---- What waits ---------------------------------------------------------------------------- */

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	__typeof__(real.poll) call = REAL(poll);

	if (timeout && is_hit(POLL, CALLER))
		return none(POLL, EINTR);
	return call(fds, count, timeout);
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
	__typeof__(real.epoll_wait) call = REAL(epoll_wait);

	if (is_hit(EPOLL, CALLER)) {
		if (timeout && draw() % 2)
			return none(EPOLL, EINTR);
		if (most > 1) {
			most = (int)less((uint64_t)most, 1);
			note_part(EPOLL);
		}
	}
	return call(fd, events, most, timeout);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	__typeof__(real.accept4) call = REAL(accept4);

	if (!is_eager(fd) && is_hit(ACCEPT, CALLER))
		return none(ACCEPT, EINTR);
	return note(call(fd, address, length, flags), form_of(fd), flags & SOCK_NONBLOCK);
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	__typeof__(real.connect) call = REAL(connect);

	if (!is_eager(fd) && is_hit(CONNECT, CALLER))
		return none(CONNECT, EINTR);
	return call(fd, address, length);
}

/* Half of it, and the rest is told. */
int nanosleep(const struct timespec *pause, struct timespec *rest)
{
	__typeof__(real.nanosleep) call = REAL(nanosleep);
	struct timespec half = {pause->tv_sec / 2, pause->tv_nsec / 2};

	if (!is_hit(SLEEP, CALLER))
		return call(pause, rest);
	call(&half, NULL);
	if (rest) {
		rest->tv_sec = pause->tv_sec - half.tv_sec;
		rest->tv_nsec = pause->tv_nsec - half.tv_nsec;
	}
	return none(SLEEP, EINTR);
}

int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	__typeof__(real.sigtimedwait) call = REAL(sigtimedwait);

	if (is_hit(SIGNAL, CALLER) && (!timeout || timeout->tv_sec || timeout->tv_nsec))
		return none(SIGNAL, EINTR);
	return call(set, info, timeout);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	__typeof__(real.waitpid) call = REAL(waitpid);

	if (!(options & WNOHANG) && is_hit(WAIT, CALLER))
		return none(WAIT, EINTR);
	return call(pid, status, options);
}

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
	__typeof__(real.fallocate) call = REAL(fallocate);

	if (is_hit(ALLOCATE, CALLER))
		return none(ALLOCATE, EINTR);
	return call(fd, mode, offset, bytes);
}

int flock(int fd, int operation)
{
	__typeof__(real.flock) call = REAL(flock);

	if (!(operation & (LOCK_NB | LOCK_UN)) && is_hit(LOCK, CALLER))
		return none(LOCK, EINTR);
	return call(fd, operation);
}

/* ---- io_uring ------------------------------------------------------------------------------ */

/* What is to be submitted becomes less; the kernel copies vectors when it takes them (IORING_FEAT_SUBMIT_STABLE). */
int io_uring_submit_and_wait(struct io_uring *ring, unsigned int wait)
{
	struct io_uring_sq *sq = &ring->sq;
	struct iovec heads[PIECES];
	unsigned int used = 0;

	if (is_hit(RING, CALLER) && draw() % 2)
		return none(RING, EINTR), -EINTR;
	for (unsigned int at = sq->sqe_head; at != sq->sqe_tail; at++) {
		struct io_uring_sqe *sqe = &sq->sqes[at & *sq->kring_mask];
		const struct iovec *iov = (const struct iovec *)(uintptr_t)sqe->addr;
		uint64_t bytes;

		if ((sqe->opcode != IORING_OP_READV && sqe->opcode != IORING_OP_WRITEV) ||
		    used + sqe->len > PIECES || !is_hit(RING, CALLER))
			continue;
		bytes = less(sum(iov, sqe->len), PAGE);
		if (!bytes)
			continue;
		sqe->addr = (uint64_t)(uintptr_t)&heads[used];
		sqe->len = (uint32_t)head_of(&heads[used], iov, sqe->len, bytes);
		used += sqe->len;
		note_part(RING);
	}
	return real.submit_and_wait(ring, wait);
}

/* ---- The kernel's calls on memory ---------------------------------------------------------- */

static uint64_t less_memory(uint64_t bytes)
{
	return less(bytes, bytes > HUGE && draw() % 4 ? HUGE : PAGE);
}

/* ioctl_userfaultfd(2): where the range's length is, and where the kernel says how much is done, or -errno; 0: nowhere. */
static const struct {
	unsigned long request;
	enum kind kind;
	size_t bytes, length, done;
} uffd_calls[] = {
    {UFFDIO_COPY, COPY, sizeof(struct uffdio_copy), offsetof(struct uffdio_copy, len),
     offsetof(struct uffdio_copy, copy)},
    {UFFDIO_MOVE, MOVE, sizeof(struct uffdio_move), offsetof(struct uffdio_move, len),
     offsetof(struct uffdio_move, move)},
    {UFFDIO_ZEROPAGE, ZERO, sizeof(struct uffdio_zeropage),
     offsetof(struct uffdio_zeropage, range.len), offsetof(struct uffdio_zeropage, zeropage)},
    {UFFDIO_CONTINUE, CONTINUE, sizeof(struct uffdio_continue),
     offsetof(struct uffdio_continue, range.len), offsetof(struct uffdio_continue, mapped)},
    {UFFDIO_POISON, POISON, sizeof(struct uffdio_poison), offsetof(struct uffdio_poison, range.len),
     offsetof(struct uffdio_poison, updated)},
    {UFFDIO_WRITEPROTECT, PROTECT, sizeof(struct uffdio_writeprotect),
     offsetof(struct uffdio_writeprotect, range.len), 0},
};

/* Nothing is done (the address space changes): newer kernels say so in the field, older ones leave it alone. */
static int uffd_again(size_t i, char *argument)
{
	int64_t error = -EAGAIN;

	if (uffd_calls[i].done && draw() % 2)
		memcpy(argument + uffd_calls[i].done, &error, sizeof(error));
	return none(uffd_calls[i].kind, EAGAIN);
}

static int uffd(int fd, size_t i, char *argument)
{
	char mine[64];
	uint64_t bytes, part;
	int ret;

	memcpy(&bytes, argument + uffd_calls[i].length, sizeof(bytes));
	part = draw() % 3 ? less_memory(bytes) : 0;
	if (!part)
		return uffd_again(i, argument);
	memcpy(mine, argument, uffd_calls[i].bytes);
	memcpy(mine + uffd_calls[i].length, &part, sizeof(part));
	ret = real.ioctl(fd, uffd_calls[i].request, mine);
	if (ret && errno == EINVAL) /* pages are larger */
		return real.ioctl(fd, uffd_calls[i].request, argument);
	if (uffd_calls[i].done)
		memcpy(argument + uffd_calls[i].done, mine + uffd_calls[i].done, sizeof(uint64_t));
	if (ret)
		return ret;
	note_part(uffd_calls[i].kind);
	errno = EAGAIN;
	return -1;
}

/* As when its vector is full: it says where it stopped. */
static int scan(int fd, struct pm_scan_arg *argument)
{
	struct pm_scan_arg mine = *argument;
	uint64_t part = argument->vec_len ? less(argument->vec_len, 1) : 0;
	int ret;

	if (part)
		mine.vec_len = part;
	ret = real.ioctl(fd, PAGEMAP_SCAN, &mine);
	argument->walk_end = mine.walk_end;
	if (part && (uint64_t)ret == part)
		note_part(SCAN);
	return ret;
}

int ioctl(int fd, unsigned long request, ...)
{
	__typeof__(real.ioctl) call = REAL(ioctl);
	va_list list;
	void *argument;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	for (size_t i = 0; i < sizeof(uffd_calls) / sizeof(uffd_calls[0]); i++)
		if (request == uffd_calls[i].request && is_hit(uffd_calls[i].kind, CALLER))
			return uffd(fd, i, argument);
	if (request == PAGEMAP_SCAN && is_hit(SCAN, CALLER))
		return scan(fd, argument);
	if (request == KVM_RUN && is_hit(KVM, CALLER))
		return none(KVM, EINTR);
	if (request == USERFAULTFD_IOC_NEW)
		return note(call(fd, request, argument), FAULTS, (uintptr_t)argument & O_NONBLOCK);
	return call(fd, request, argument);
}

/* > 0: pages that did not move or were never tried; of the latter `status` says nothing. */
static long cut_move_pages(int pid, unsigned long count, void **pages, const int *nodes,
			   int *status, int flags)
{
	unsigned long part = nodes ? less(count, 1) : 0;
	long ret =
	    real.syscall(SYS_move_pages, pid, part ? part : count, pages, nodes, status, flags);

	if (ret < 0 || !part)
		return ret;
	note_part(MOVE_PAGES);
	return ret + (long)(count - part);
}

long move_pages(int pid, unsigned long count, void **pages, const int *nodes, int *status,
		int flags)
{
	__typeof__(real.move_pages) call = REAL(move_pages);

	return is_hit(MOVE_PAGES, CALLER) ? cut_move_pages(pid, count, pages, nodes, status, flags)
					  : call(pid, count, pages, nodes, status, flags);
}

static long cut_advise(int pidfd, const struct iovec *iov, size_t count, int advice,
		       unsigned int flags)
{
	struct iovec head[PIECES];
	uint64_t part = count && count <= PIECES
			    ? less(sum(iov, count), advice == MADV_COLLAPSE ? HUGE : PAGE)
			    : 0;

	if (!part)
		return real.syscall(SYS_process_madvise, pidfd, iov, count, advice, flags);
	note_part(ADVISE);
	return real.syscall(SYS_process_madvise, pidfd, head,
			    (size_t)head_of(head, iov, count, part), advice, flags);
}

long syscall(long number, ...)
{
	__typeof__(real.syscall) call = REAL(syscall);
	long word[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		word[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_move_pages && is_hit(MOVE_PAGES, CALLER))
		return cut_move_pages((int)word[0], (unsigned long)word[1], (void **)word[2],
				      (const int *)word[3], (int *)word[4], (int)word[5]);
	if (number == SYS_process_madvise && is_hit(ADVISE, CALLER))
		return cut_advise((int)word[0], (const struct iovec *)word[1], (size_t)word[2],
				  (int)word[3], (unsigned int)word[4]);
	if (number == SYS_userfaultfd)
		return note((int)call(number, word[0]), FAULTS, word[0] & O_NONBLOCK);
	return call(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}
