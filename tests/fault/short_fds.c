/* Which descriptors there are, and what they are of: each way to get one is watched. For short.c. */
#include "short.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define FDS 4096

static _Atomic unsigned char forms[FDS];
static atomic_bool eager[FDS]; /* O_NONBLOCK: it never sleeps */

int note(int fd, enum form form, bool nonblock)
{
	if (fd >= 0 && fd < FDS) {
		atomic_store(&forms[fd], (unsigned char)form);
		atomic_store(&eager[fd], nonblock);
	}
	return fd;
}

enum form form_of(int fd)
{
	return fd >= 0 && fd < FDS ? (enum form)atomic_load(&forms[fd]) : STREAM;
}

bool is_eager(int fd)
{
	return fd >= 0 && fd < FDS && atomic_load(&eager[fd]);
}

static int note_same(int fd, int of)
{
	return note(fd, form_of(of), is_eager(of));
}

uint64_t unit_of(int fd, bool write)
{
	switch (form_of(fd)) {
	case STREAM:
		return 1;
	case KERNEL:
		/* A node's cpulist has one byte less than was asked for (include/linux/cpumask.h): of one byte none, as at its end. */
		return write ? 0 : 2;
	case WORDS:
		return 8;
	case FAULTS:
		return sizeof(struct uffd_msg);
	case SIGNALS:
		return sizeof(struct signalfd_siginfo);
	case DIRECT:
		return PAGE;
	default:
		return 0;
	}
}

static enum form form_of_path(int dirfd, const char *path, int flags)
{
	size_t length = strlen(path);

	if (length >= 8 && !strcmp(path + length - 8, "/pagemap"))
		return WORDS;
	if (!strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5) ||
	    (path[0] != '/' && form_of(dirfd) == KERNEL))
		return KERNEL;
	if (!strcmp(path, "/dev/net/tun"))
		return WHOLE;
	return flags & O_DIRECT ? DIRECT : STREAM;
}

/* ---- Ways to get a descriptor -------------------------------------------------------------- */

#define MODE_OF(flags)                                                                             \
	mode_t mode = 0;                                                                           \
                                                                                                   \
	if ((flags) & (O_CREAT | O_TMPFILE)) {                                                     \
		va_list list;                                                                      \
                                                                                                   \
		va_start(list, flags);                                                             \
		mode = va_arg(list, mode_t);                                                       \
		va_end(list);                                                                      \
	}

int open(const char *path, int flags, ...)
{
	__typeof__(real.open) call = REAL(open);
	MODE_OF(flags)

	return note(call(path, flags, mode), form_of_path(AT_FDCWD, path, flags),
		    flags & O_NONBLOCK);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	__typeof__(real.openat) call = REAL(openat);
	MODE_OF(flags)

	return note(call(dirfd, path, flags, mode), form_of_path(dirfd, path, flags),
		    flags & O_NONBLOCK);
}

int close(int fd)
{
	__typeof__(real.close) call = REAL(close);

	note(fd, STREAM, false);
	return call(fd);
}

int dup(int fd)
{
	__typeof__(real.dup) call = REAL(dup);

	return note_same(call(fd), fd);
}

int dup2(int fd, int to)
{
	__typeof__(real.dup2) call = REAL(dup2);

	return note_same(call(fd, to), fd);
}

int fcntl(int fd, int command, ...)
{
	__typeof__(real.fcntl) call = REAL(fcntl);
	va_list list;
	void *argument;
	int ret;

	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	ret = call(fd, command, argument);
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return note_same(ret, fd);
	if (command == F_SETFL && !ret)
		note(fd, form_of(fd), (uintptr_t)argument & O_NONBLOCK);
	return ret;
}

int socket(int domain, int type, int protocol)
{
	__typeof__(real.socket) call = REAL(socket);

	return note(call(domain, type, protocol), (type & 0xf) == SOCK_STREAM ? STREAM : WHOLE,
		    type & SOCK_NONBLOCK);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
	__typeof__(real.socketpair) call = REAL(socketpair);
	int ret = call(domain, type, protocol, fds);

	for (int i = 0; !ret && i < 2; i++)
		note(fds[i], (type & 0xf) == SOCK_STREAM ? STREAM : WHOLE, type & SOCK_NONBLOCK);
	return ret;
}

int eventfd(unsigned int value, int flags)
{
	__typeof__(real.eventfd) call = REAL(eventfd);

	return note(call(value, flags), WHOLE, flags & EFD_NONBLOCK);
}

int timerfd_create(int clock, int flags)
{
	__typeof__(real.timerfd_create) call = REAL(timerfd_create);

	return note(call(clock, flags), WHOLE, flags & TFD_NONBLOCK);
}

int signalfd(int fd, const sigset_t *mask, int flags)
{
	__typeof__(real.signalfd) call = REAL(signalfd);

	return note(call(fd, mask, flags), SIGNALS, flags & SFD_NONBLOCK);
}
