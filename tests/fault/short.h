/* Between the parts of the library that cuts calls, see short.c. */
#ifndef SHORT_H
#define SHORT_H

#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define PAGE 4096ull

/* The functions that ours stand before. */
struct real {
	ssize_t (*read)(int, void *, size_t);
	ssize_t (*write)(int, const void *, size_t);
	ssize_t (*readv)(int, const struct iovec *, int);
	ssize_t (*writev)(int, const struct iovec *, int);
	ssize_t (*pread)(int, void *, size_t, off_t);
	ssize_t (*pwrite)(int, const void *, size_t, off_t);
	ssize_t (*preadv2)(int, const struct iovec *, int, off_t, int);
	ssize_t (*pwritev2)(int, const struct iovec *, int, off_t, int);
	ssize_t (*recv)(int, void *, size_t, int);
	ssize_t (*send)(int, const void *, size_t, int);
	ssize_t (*recvmsg)(int, struct msghdr *, int);
	ssize_t (*sendmsg)(int, const struct msghdr *, int);
	ssize_t (*getrandom)(void *, size_t, unsigned int);
	int (*poll)(struct pollfd *, nfds_t, int);
	int (*epoll_wait)(int, struct epoll_event *, int, int);
	int (*accept4)(int, struct sockaddr *, socklen_t *, int);
	int (*connect)(int, const struct sockaddr *, socklen_t);
	int (*nanosleep)(const struct timespec *, struct timespec *);
	int (*sigtimedwait)(const sigset_t *, siginfo_t *, const struct timespec *);
	pid_t (*waitpid)(pid_t, int *, int);
	int (*fallocate)(int, int, off_t, off_t);
	int (*flock)(int, int);
	int (*ioctl)(int, unsigned long, ...);
	long (*syscall)(long, ...);
	long (*move_pages)(int, unsigned long, void **, const int *, int *, int);
	int (*submit_and_wait)(struct io_uring *, unsigned int);
	int (*open)(const char *, int, ...);
	int (*openat)(int, const char *, int, ...);
	int (*close)(int);
	int (*dup)(int);
	int (*dup2)(int, int);
	int (*fcntl)(int, int, ...);
	int (*socket)(int, int, int);
	int (*socketpair)(int, int, int, int *);
	int (*eventfd)(unsigned int, int);
	int (*timerfd_create)(int, int);
	int (*signalfd)(int, const sigset_t *, int);
};

extern struct real real;

/* Libraries' constructors may come before ours. */
#define REAL(name) (real.name ? real.name : (short_begin(), real.name))
void short_begin(void);

/* ---- What a descriptor is (short_fds.c) ---------------------------------------------------- */

enum form {
	STREAM,
	WHOLE,	 /* a datagram, an eventfd: all or nothing */
	KERNEL,	 /* of /proc or /sys: what is written is one value */
	WORDS,	 /* pagemap */
	FAULTS,	 /* a userfaultfd's messages */
	SIGNALS, /* a signalfd's */
	DIRECT,	 /* O_DIRECT */
};

int note(int fd, enum form form, bool nonblock); /* fd */
enum form form_of(int fd);
bool is_eager(int fd); /* O_NONBLOCK: it never sleeps */
/* What of it is read or written at least; 0: in one piece only. */
uint64_t unit_of(int fd, bool write);

#endif
