/*
 * gmig-libvirt-hook: what libvirt runs as /etc/libvirt/hooks/qemu.d/50-gmig whenever something happens to a QEMU domain. It tells
 * gmigd in one datagram, and does nothing else.
 *
 * libvirt waits for it, takes a failure for a veto (in `reconnect` it kills the running guest), and in `migrate` and `restore` takes
 * what it prints for the domain's new XML. Therefore: no output ever, exit status 0 whatever happens, 20 ms at most for reading, and
 * never a wait for anybody else. A datagram that is lost costs nothing, because gmigd listens to libvirt's events, too. It calls no
 * libvirt function: libvirtd holds the domain's lock meanwhile, and would never answer.
 */
#include "hook_message.h"

#include "../control/standard_fds.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#define READ_MS	   20
#define LEAVE_MS   45 /* whatever still runs then ends */
#define READ_BYTES (16u << 20)
/* For tests: libvirt gives its hooks no such variable. */
#define SOCKET_VARIABLE "GMIG_HOOK_SOCKET"

static char xml[HOOK_XML_BYTES];
static char datagram[HOOK_MESSAGE_BYTES];
static struct hook_message message;

static void leave(int number)
{
	(void)number;
	_exit(0);
}

/* A fault of ours must not become a veto, and a read that hangs must not become a delay. */
static void leave_on_trouble(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS,	SIGILL,	 SIGFPE, SIGABRT, SIGSYS,
				      SIGALRM, SIGPIPE, SIGTERM, SIGHUP, SIGINT,  SIGXCPU};
	const struct itimerval latest = {.it_value = {.tv_usec = LEAVE_MS * 1000}};
	struct sigaction action = {.sa_handler = leave};
	sigset_t none;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &action, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setitimer(ITIMER_REAL, &latest, NULL);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Only root's or our own socket is spoken to: XML may hold passwords of displays. */
static int connect_daemon(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat state;
	int fd;

	if (strlen(path) >= sizeof(address.sun_path) || lstat(path, &state) ||
	    !S_ISSOCK(state.st_mode) || (state.st_uid != 0 && state.st_uid != geteuid()))
		return -1;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * One read of standard input. 1: there may be more; 0: its end; -1: it cannot be read, or not in time. On a machine so busy that the
 * time is over before anything was done, what is there already is still read, as far as it is kept.
 */
static int read_some(int64_t end_ms)
{
	static char rest[4096];
	uint64_t kept = message.xml_bytes;
	bool keep = kept < sizeof(xml);
	char *into = keep ? xml + kept : rest;
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	int64_t left_ms = end_ms - now_ms();
	ssize_t count;

	int ready;

	if (left_ms <= 0 && !keep)
		return -1;
	ready = poll(&input, 1, left_ms > 0 ? (int)left_ms : 0);
	if (ready <= 0)
		return ready && errno == EINTR ? 1 : -1;
	count = read(STDIN_FILENO, into, keep ? sizeof(xml) - kept : sizeof(rest));
	if (count <= 0)
		return !count ? 0 : errno == EINTR ? 1 : -1;
	message.xml_bytes += (uint64_t)count;
	message.xml_digest = hook_digest(message.xml_digest, into, (size_t)count);
	return 1;
}

static void read_xml(void)
{
	int64_t end_ms = now_ms() + READ_MS;
	int more = 1;

	message.xml_digest = HOOK_DIGEST_START;
	while (more > 0 && message.xml_bytes < READ_BYTES)
		more = read_some(end_ms);
	if (more)
		message.which = HOOK_XML_CUT;
	else if (message.xml_bytes > sizeof(xml))
		message.which = HOOK_XML_DIGEST;
	else
		message.which = message.xml_bytes ? HOOK_XML_WHOLE : HOOK_XML_NONE;
	message.xml = xml;
	hook_uuid(xml, message.xml_bytes < sizeof(xml) ? message.xml_bytes : sizeof(xml),
		  message.uuid);
}

static bool send_message(int fd)
{
	size_t bytes = hook_message_write(&message, datagram, sizeof(datagram));

	return bytes && send(fd, datagram, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)bytes;
}

int main(int argc, char **argv)
{
	const char *path = secure_getenv(SOCKET_VARIABLE);
	int fd;

	leave_on_trouble();
	if (standard_fds_fill())
		return 0;
	fd = connect_daemon(path ? path : HOOK_SOCKET_PATH);
	if (fd < 0)
		return 0;
	hook_field(message.name, sizeof(message.name), argc > 1 ? argv[1] : NULL);
	hook_field(message.operation, sizeof(message.operation), argc > 2 ? argv[2] : NULL);
	hook_field(message.sub_operation, sizeof(message.sub_operation), argc > 3 ? argv[3] : NULL);
	hook_field(message.extra, sizeof(message.extra), argc > 4 ? argv[4] : NULL);
	read_xml();
	if (!send_message(fd) && errno == EMSGSIZE && message.which == HOOK_XML_WHOLE) {
		message.which = HOOK_XML_DIGEST;
		(void)send_message(fd);
	}
	return 0;
}
