/* What opens files for writing, see opener.h. */
#include "opener.h"
#include "../control/standard_fds.h"
#include "../migrate/core/shortage.h"
#include "../migrate/core/whole.h"
#include "cgroup.h"
#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CLASS_VIRTIO_PORTS "class/virtio-ports"
#define SET_TEXT	   2048

/* `state` of the DAMON that was set up without an opener; -1: there is none. */
static atomic_int own_damon = -1;

struct agent_opener {
	int fd;
	pid_t pid;
	pthread_mutex_t lock; /* one request at a time: jobs ask, too */
	uint64_t asked;	      /* number of the last request; guarded by lock */
};

/* ---- The port -------------------------------------------------------------------------------- */

/* 1, 0, or -errno: its name could not be read this time. */
static int has_name(const char *entry, const char *wanted)
{
	char path[PATH_MAX], name[256];
	ssize_t got;

	snprintf(path, sizeof(path), "%s/" CLASS_VIRTIO_PORTS "/%s/name", agent_sys->sys, entry);
	got = agent_read_text(path, name, sizeof(name));
	if (got < 0)
		return is_shortage((int)got) ? (int)got : 0;
	name[strcspn(name, "\n")] = '\0';
	return !strcmp(name, wanted);
}

/* /dev/vportNpM of the port with that name: udev's links are not there in an initramfs. */
static int find_port(const char *wanted, char *path, size_t bytes, struct gmig_error *err)
{
	char class[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *dir;
	int rc, unread = 0;

	snprintf(class, sizeof(class), "%s/" CLASS_VIRTIO_PORTS, agent_sys->sys);
	dir = opendir(class);
	while (dir && !found && (errno = 0, entry = readdir(dir))) {
		rc = entry->d_name[0] != '.' ? has_name(entry->d_name, wanted) : 0;
		found = rc > 0;
		unread = rc < 0 ? rc : unread;
		if (found)
			snprintf(path, bytes, "/dev/%s", entry->d_name);
	}
	rc = found || errno == ENOENT ? 0 : -errno;
	if (dir)
		closedir(dir);
	/* It may be the one that was not read. */
	if (!rc && !found)
		rc = unread;
	if (rc)
		return gmig_fail(err, rc, "%s: %s", class, strerror(-rc));
	if (!found)
		return gmig_fail(
		    err, -ENOENT,
		    "there is no virtio port '%s': give the machine one (docs/agent.md "
		    "has libvirt's <channel>), and load virtio_console",
		    wanted);
	return 0;
}

static int open_port(const struct agent_port_options *options, struct gmig_error *err)
{
	char path[PATH_MAX];
	int fd, rc;

	if (options->path) {
		snprintf(path, sizeof(path), "%s", options->path);
	} else {
		rc = find_port(options->name, path, sizeof(path), err);
		if (rc)
			return rc;
	}
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return gmig_fail(err, -errno, "%s: %s%s", path, strerror(errno),
				 errno == EBUSY ? ": another agent has it open" : "");
	return fd;
}

/* ---- A cgroup -------------------------------------------------------------------------------- */

static int write_cgroup(const struct agent_conf *conf, const char *cgroup, const char *file,
			const char *text, struct gmig_error *err)
{
	char path[PATH_MAX], whom[160];
	int fd, rc;

	if (strcmp(file, "cpuset.cpus") != 0 && strcmp(file, "cpuset.mems") != 0)
		return gmig_fail(err, -EPERM, "'%.40s' of a cgroup is not the agent's to write",
				 file);
	rc = agent_conf_check_cgroup(conf, cgroup, err);
	if (!rc)
		rc = agent_cgroup_path(cgroup, file, path, sizeof(path), err);
	if (rc)
		return rc;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	rc = fd >= 0 ? write_value(fd, text) : -errno;
	if (fd >= 0)
		close(fd);
	if (!rc)
		return 0;
	snprintf(whom, sizeof(whom), "%s of cgroup %.100s", file, cgroup);
	return agent_call_failed(err, AGENT_CALL_CGROUP_WRITE, rc, whom);
}

/* ---- Between the two processes --------------------------------------------------------------- */

enum request_kind { ASK_PORT, ASK_CGROUP, ASK_DAMON_BEGIN, ASK_DAMON_END };

/* Each a message; the texts end in a NUL, which the receiver sees to. */
struct request {
	enum request_kind kind;
	struct agent_damon damon;
	char cgroup[PATH_MAX], file[16], text[SET_TEXT];
};

/* A reply that could not be read is met by the next request: it must not be taken for that one's. */
struct numbered {
	uint64_t number;
	struct request request;
};

struct reply {
	uint64_t number; /* of its request */
	int code;	 /* -errno */
	char text[GMIG_ERROR_TEXT];
};

#define SEND_TRIES 100
#define SEND_NS	   10000000

/* fd: goes along; -1: none. False: the agent does not hear of it, and would wait for ever. */
static bool send_reply(int sock, const struct reply *reply, int fd)
{
	struct iovec part = {.iov_base = (void *)reply, .iov_len = sizeof(*reply)};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	for (int i = 0; i < SEND_TRIES; i++) {
		if (sendmsg(sock, &message, MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EPIPE || errno == ECONNRESET)
			return false;
		if (errno != EINTR)
			nanosleep(&(struct timespec){.tv_nsec = SEND_NS}, NULL);
	}
	return false;
}

/* 0, or -errno: it was not asked. */
static int send_request(int fd, uint64_t number, const struct request *request)
{
	const struct iovec parts[] = {
	    {.iov_base = &number, .iov_len = sizeof(number)},
	    {.iov_base = (void *)request, .iov_len = sizeof(*request)},
	};

	while (writev(fd, parts, 2) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* The descriptor that came along; 0: none. */
static int taken_fd(struct msghdr *message)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd = 0;

	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* One reply, whose ever: a descriptor, 0, or -errno: there is none. */
static int receive_reply(int sock, struct reply *reply)
{
	struct iovec part = {.iov_base = reply, .iov_len = sizeof(*reply)};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t got;

	do {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		got = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got != sizeof(*reply))
		return got < 0 ? -errno : -EPIPE;
	reply->text[sizeof(reply->text) - 1] = '\0';
	return taken_fd(&message);
}

/* The reply to a request; a descriptor, 0, or -errno. Caller holds the lock. */
static int exchange(struct agent_opener *opener, const struct request *request,
		    struct gmig_error *err)
{
	uint64_t number = ++opener->asked;
	struct reply reply;
	int fd = send_request(opener->fd, number, request);

	if (fd && fd != -EPIPE)
		return gmig_fail(err, fd, "the process that opens files cannot be asked: %s",
				 strerror(-fd));
	if (fd)
		return gmig_fail(err, fd, "the process that opens files has ended");
	do {
		if (fd > 0)
			close(fd);
		fd = receive_reply(opener->fd, &reply);
	} while (fd >= 0 && reply.number != number);
	if (fd == -EPIPE || fd == -ECONNRESET)
		return gmig_fail(err, -EPIPE, "the process that opens files has ended");
	if (fd < 0)
		return gmig_fail(
		    err, fd,
		    "what the process that opens files answers cannot be read (%s): it "
		    "may have done what it was asked",
		    strerror(-fd));
	return reply.code ? gmig_fail(err, reply.code, "%s", reply.text) : fd;
}

static int ask(struct agent_opener *opener, const struct request *request, struct gmig_error *err)
{
	int rc;

	pthread_mutex_lock(&opener->lock);
	rc = exchange(opener, request, err);
	pthread_mutex_unlock(&opener->lock);
	return rc;
}

static void end_damon(int *state)
{
	if (*state >= 0)
		agent_damon_end(*state);
	*state = -1;
}

/* Whoever wants to look meanwhile has to wait, and has nothing to clear away. */
static int busy(int rc, bool ours, struct gmig_error *err)
{
	if (rc != -EBUSY || !ours)
		return rc;
	return gmig_fail(
	    err, -EBUSY,
	    "another job of the agent uses DAMON: wait for it, or cancel it: EBUSY (%d)", EBUSY);
}

/* *state: kept, to end it by; -1: none of ours. */
static int begin_damon(const struct agent_conf *conf, const struct agent_damon *damon, int *state,
		       struct gmig_error *err)
{
	const char *command = damon->pid ? "compact-hot" : "hot-pages";
	struct agent_process process;
	int rc = 0;

	if (!agent_conf_allows_command(conf, command))
		rc = gmig_fail(err, -EPERM, "%s is not on the guest's allow-list", command);
	/* DAMON itself looks at whichever process it is told. */
	if (!rc && damon->pid)
		rc = agent_process_read((pid_t)damon->pid, &process, err);
	if (!rc && damon->pid)
		rc = agent_conf_check_process(conf, &process, err);
	if (!rc)
		rc = busy(agent_damon_begin(damon, err), *state >= 0, err);
	if (rc >= 0) {
		end_damon(state);
		*state = rc;
	}
	return rc;
}

/* A descriptor, 0, or -errno. */
static int obey(struct request *request, const struct agent_conf *conf,
		const struct agent_port_options *options, int *damon, struct gmig_error *err)
{
	switch (request->kind) {
	case ASK_PORT:
		return open_port(options, err);
	case ASK_CGROUP:
		request->cgroup[sizeof(request->cgroup) - 1] = '\0';
		request->file[sizeof(request->file) - 1] = '\0';
		request->text[sizeof(request->text) - 1] = '\0';
		return write_cgroup(conf, request->cgroup, request->file, request->text, err);
	case ASK_DAMON_BEGIN:
		return begin_damon(conf, &request->damon, damon, err);
	case ASK_DAMON_END:
		/* Another one's is not ours to end. */
		end_damon(damon);
		return 0;
	}
	return gmig_fail(err, -EINVAL, "there is no such request");
}

static void serve(int sock, const struct agent_conf *conf, const struct agent_port_options *options)
{
	static struct numbered asked;
	int damon = -1; /* `state` of ours */

	for (;;) {
		struct gmig_error err = {0};
		struct reply reply = {0};
		ssize_t got = read(sock, &asked, sizeof(asked));
		bool sent;
		int rc;

		if (got < 0 && errno == EINTR)
			continue;
		if (got != sizeof(asked))
			break;
		rc = obey(&asked.request, conf, options, &damon, &err);
		reply.number = asked.number;
		reply.code = rc < 0 ? rc : 0;
		snprintf(reply.text, sizeof(reply.text), "%s", err.text);
		sent = send_reply(sock, &reply, rc > 0 ? rc : -1);
		if (rc > 0 && rc != damon)
			close(rc);
		if (!sent)
			break;
	}
	/* The agent has ended in the middle of it. */
	end_damon(&damon);
}

/* ---- The process ----------------------------------------------------------------------------- */

static void be_opener(int sock, const struct agent_conf *conf,
		      const struct agent_port_options *options)
{
	struct gmig_error err = {0};

	sigset_t all;

	prctl(PR_SET_NAME, "gmig-opener", 0, 0, 0);
	/* The agent's end: it takes us along. A terminal's signals reach both of us, and DAMON would run on. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	/* Which may be one of the first three: a file must not come to be there. */
	if (options->fd >= 0)
		close(options->fd);
	if (standard_fds_fill())
		_exit(1);
	if (agent_confine_opener(&err)) {
		fprintf(stderr, "gmig-agent: %s\n", err.text);
		_exit(1);
	}
	serve(sock, conf, options);
	_exit(0);
}

int agent_opener_start(const struct agent_conf *conf, const struct agent_port_options *options,
		       struct agent_opener **out, struct gmig_error *err)
{
	struct agent_opener *opener = calloc(1, sizeof(*opener));
	int ends[2];

	if (!opener)
		return gmig_fail(err, -ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		free(opener);
		return gmig_fail(err, -errno, "socketpair(2): %s", strerror(errno));
	}
	opener->pid = fork();
	if (!opener->pid) {
		close(ends[0]);
		be_opener(ends[1], conf, options);
	}
	close(ends[1]);
	opener->fd = ends[0];
	pthread_mutex_init(&opener->lock, NULL);
	if (opener->pid < 0) {
		int code = -errno;

		agent_opener_stop(opener);
		return gmig_fail(err, code, "fork(2): %s", strerror(-code));
	}
	*out = opener;
	return 0;
}

void agent_opener_stop(struct agent_opener *opener)
{
	if (!opener) {
		int state = atomic_exchange(&own_damon, -1);

		if (state >= 0)
			agent_damon_end(state);
		return;
	}
	close(opener->fd);
	pthread_mutex_destroy(&opener->lock);
	free(opener);
}

int agent_opener_port(struct agent_opener *opener, const struct agent_port_options *options,
		      struct gmig_error *err)
{
	static const struct request request = {.kind = ASK_PORT};

	return opener ? ask(opener, &request, err) : open_port(options, err);
}

int agent_opener_write(struct agent_opener *opener, const struct agent_conf *conf,
		       const char *cgroup, const char *file, const struct agent_set *set,
		       struct gmig_error *err)
{
	struct request *request = calloc(1, sizeof(*request));
	int rc;

	if (!request)
		return gmig_fail(err, -ENOMEM, "out of memory");
	request->kind = ASK_CGROUP;
	agent_set_print(set, request->text, sizeof(request->text));
	snprintf(request->file, sizeof(request->file), "%s", file);
	if (snprintf(request->cgroup, sizeof(request->cgroup), "%s", cgroup) >=
	    (int)sizeof(request->cgroup))
		rc = gmig_fail(err, -ENAMETOOLONG, "the cgroup's name is too long");
	else
		rc = opener ? ask(opener, request, err)
			    : write_cgroup(conf, cgroup, file, request->text, err);
	free(request);
	return rc;
}

/* Without an opener. A second descriptor is kept for agent_opener_stop(): a job may wait in the kernel for as long as it likes. */
static int begin_own(const struct agent_damon *damon, struct gmig_error *err)
{
	/* Of two jobs that find DAMON unused at the same time, one would remove the other's. */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int state, kept;

	pthread_mutex_lock(&lock);
	state = busy(agent_damon_begin(damon, err), atomic_load(&own_damon) >= 0, err);
	pthread_mutex_unlock(&lock);
	if (state < 0)
		return state;
	kept = fcntl(state, F_DUPFD_CLOEXEC, 0);
	if (kept < 0) {
		kept = -errno;
		agent_damon_end(state);
		return gmig_fail(err, kept, "fcntl(2): %s", strerror(-kept));
	}
	kept = atomic_exchange(&own_damon, kept);
	if (kept >= 0)
		close(kept);
	return state;
}

int agent_opener_damon(struct agent_opener *opener, const struct agent_damon *damon,
		       struct gmig_error *err)
{
	struct request *request;
	int rc;

	if (!opener)
		return begin_own(damon, err);
	request = calloc(1, sizeof(*request));
	if (!request)
		return gmig_fail(err, -ENOMEM, "out of memory");
	request->kind = ASK_DAMON_BEGIN;
	request->damon = *damon;
	rc = ask(opener, request, err);
	free(request);
	return rc ? rc : gmig_fail(err, -EPIPE, "the process that opens files gave none");
}

void agent_opener_damon_end(struct agent_opener *opener, int state)
{
	static const struct request request = {.kind = ASK_DAMON_END};

	if (opener) {
		/* The opener may have been killed. */
		agent_damon_off(state);
		ask(opener, &request, NULL);
	} else {
		agent_opener_stop(NULL);
	}
	close(state);
}
