#include "qemu_process.h"
#include "qemu_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CMDLINE_BYTES	 (1u << 20)
#define SMALL_BYTES	 (64u << 10)
#define ASK_AGAIN	 4
#define FIRST_THREADS	 64u /* a power of two */
#define START_TIME_FIELD 20  /* behind the name's bracket: the state is 1 */

/* ---- Command line ---------------------------------------------------------------------------- */

/* Is it NAME at the start of an option's value, up to a comma that is not doubled, or the end? */
static bool value_is_name(const char *value, const char *name)
{
	for (; *name; name++) {
		if (*value++ != *name)
			return false;
		if (*name == ',' && *value++ != ',')
			return false;
	}
	return !*value || (value[0] == ',' && value[1] != ',');
}

static bool name_option_is(const char *value, const char *name)
{
	return value_is_name(strncmp(value, "guest=", 6) ? value : value + 6, name);
}

bool qemu_cmdline_is(const char *text, size_t bytes, const char *name, const char *uuid)
{
	const char *end = text + bytes, *option = "";
	bool has_uuid = false;

	/* The last argument is ended by a NUL as all are; what is cut is not believed. */
	for (const char *at = text, *next; at < end; option = at, at = next) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));

		if (!nul)
			break;
		next = nul + 1;
		if (!strcmp(option, "-uuid"))
			has_uuid |= !strcasecmp(at, uuid);
		else if (!strcmp(option, "-name") && !name_option_is(at, name))
			return false;
	}
	return has_uuid;
}

/* ---- One process ----------------------------------------------------------------------------- */

/* Of a file of a process: out of descriptors or memory says nothing of the process. */
static bool says_ended(int error)
{
	return error == ENOENT || error == ESRCH;
}

int qemu_process_start_time(const struct qemu_host *host, pid_t pid, uint64_t *ticks)
{
	size_t bytes;
	char *text QEMU_FREED =
	    qemu_file_read(host->root, SMALL_BYTES, &bytes, "/proc/%d/stat", (int)pid);
	const char *at = text ? strrchr(text, ')') : NULL;
	int error = text ? 0 : errno;

	*ticks = 0;
	if (error && !says_ended(error))
		return -error;
	for (int field = 0; field < START_TIME_FIELD && at; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -ESRCH;
	*ticks = strtoull(at + 1, NULL, 10);
	return 0;
}

/* The effective uid: whoever may trace it is asked by the kernel for that one, too. -ESRCH: it has ended. */
static int read_uid(const struct qemu_host *host, pid_t pid, uid_t *uid)
{
	size_t bytes;
	char *text QEMU_FREED =
	    qemu_file_read(host->root, SMALL_BYTES, &bytes, "/proc/%d/status", (int)pid);
	const char *line = text ? strstr(text, "\nUid:") : NULL;
	unsigned int real, effective;

	if (!text && !says_ended(errno))
		return -errno;
	if (!line || sscanf(line, "\nUid: %u %u", &real, &effective) != 2)
		return -ESRCH;
	*uid = effective;
	return 0;
}

/* 1, 0, or why that cannot be known. */
static int is_of_domain(const struct qemu_host *host, const struct qemu_wanted *wanted, pid_t pid)
{
	size_t bytes = 0;
	char *text QEMU_FREED =
	    qemu_file_read(host->root, CMDLINE_BYTES, &bytes, "/proc/%d/cmdline", (int)pid);

	if (!text)
		return says_ended(errno) ? 0 : -errno;
	return qemu_cmdline_is(text, bytes, wanted->name, wanted->uuid);
}

/* Is it the domain's, and whose is it? -ESRCH: it is not, or has ended. */
static int identify(const struct qemu_host *host, const struct qemu_wanted *wanted, pid_t pid,
		    uid_t *uid)
{
	int is = is_of_domain(host, wanted, pid);

	return is > 0 ? read_uid(host, pid, uid) : is ? is : -ESRCH;
}

static bool may_belong_to(const struct qemu_wanted *wanted, uid_t uid)
{
	for (unsigned int i = 0; i < wanted->uid_count; i++)
		if (wanted->uids[i] == uid)
			return true;
	return false;
}

static int open_pidfd(const struct qemu_host *host, pid_t pid)
{
	int fd;

	if (host->pidfd_open)
		return host->pidfd_open(pid);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : fd;
}

void qemu_process_drop(struct qemu_process *process)
{
	if (process->pid > 0 && process->pidfd >= 0)
		close(process->pidfd);
	memset(process, 0, sizeof(*process));
}

int qemu_process_check(const struct qemu_process *process, struct gmig_error *err)
{
	struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};
	int ready = process->pid > 0 ? -1 : 1;

	for (int i = 0; i < ASK_AGAIN && ready < 0; i++)
		ready = poll(&ended, 1, 0);
	if (!ready)
		return 0;
	/* No memory for poll: that says nothing of the process. */
	if (ready < 0)
		return gmig_fail(err, -EAGAIN, "it cannot be known whether process %d lives: %s",
				 (int)process->pid, strerror(errno));
	return gmig_fail(err, -ESRCH, "process %d has ended", (int)process->pid);
}

/* What identify() says of a process that is held: the one that began at `before`, which is still there. */
static int identify_held(const struct qemu_host *host, const struct qemu_wanted *wanted,
			 uint64_t before, struct qemu_process *process)
{
	int ret = qemu_process_start_time(host, process->pid, &process->start_time);

	if (!ret && process->start_time != before)
		ret = -ESRCH;
	if (!ret)
		ret = identify(host, wanted, process->pid, &process->uid);
	return ret ? ret : qemu_process_check(process, NULL);
}

static int not_held(pid_t pid, int ret, const char *since, struct gmig_error *err)
{
	if (ret == -ESRCH)
		return gmig_fail(err, ret, "process %d is not the domain's%s", (int)pid, since);
	return gmig_fail(err, ret, "it cannot be known whether process %d is the domain's: %s",
			 (int)pid, strerror(-ret));
}

/*
 * Take hold of a process that seems to be the domain's. All is asked for again when the pidfd is there: before that
 * the pid could go to somebody else between two looks. -ESRCH: it is not the domain's; others: that cannot be known.
 */
static int hold(const struct qemu_host *host, const struct qemu_wanted *wanted, pid_t pid,
		struct qemu_process *out, struct gmig_error *err)
{
	struct qemu_process process = {.pid = pid};
	uint64_t before;
	int ret = qemu_process_start_time(host, pid, &before);

	if (!ret)
		ret = identify(host, wanted, pid, &process.uid);
	if (ret)
		return not_held(pid, ret, "", err);
	process.pidfd = open_pidfd(host, pid);
	if (process.pidfd < 0)
		return gmig_fail(err, process.pidfd, "process %d cannot be held: %s", (int)pid,
				 strerror(-process.pidfd));
	ret = identify_held(host, wanted, before, &process);
	if (ret) {
		qemu_process_drop(&process);
		return not_held(pid, ret, " any more", err);
	}
	if (!may_belong_to(wanted, process.uid)) {
		uid_t uid = process.uid;

		qemu_process_drop(&process);
		return gmig_fail(
		    err, -EPERM,
		    "process %d says that it is domain %.60s, but belongs to uid %u, as "
		    "which libvirt does not run that domain: it is left alone",
		    (int)pid, wanted->name, uid);
	}
	*out = process;
	return 0;
}

/* ---- Where to look --------------------------------------------------------------------------- */

static pid_t parse_pid(const char *text)
{
	uint64_t pid;

	return text && qemu_number_parse(text, INT_MAX, &pid) ? (pid_t)pid : 0;
}

static pid_t pid_of_file(const struct qemu_host *host, const struct qemu_wanted *wanted)
{
	size_t bytes;
	char *text QEMU_FREED = NULL;

	if (strchr(wanted->name, '/'))
		return 0;
	text = qemu_file_read(host->root, 64, &bytes, "%s/%s.pid", host->run_dir, wanted->name);
	return parse_pid(text);
}

static DIR *open_directory(const struct qemu_host *host, const char *path)
{
	char whole[PATH_MAX];

	if (snprintf(whole, sizeof(whole), "%s%s", host->root, path) >= (int)sizeof(whole)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return opendir(whole);
}

/* machined's record of a machine: LEADER=PID, on a line of its own. */
static pid_t leader_of(const struct qemu_host *host, const char *machine)
{
	size_t bytes;
	char *text QEMU_FREED =
	    qemu_file_read(host->root, SMALL_BYTES, &bytes, "/run/systemd/machines/%s", machine);
	char *line = text ? strstr(text, "\nLEADER=") : NULL;

	if (!line)
		return 0;
	line += strlen("\nLEADER=");
	line[strcspn(line, "\n")] = '\0';
	return parse_pid(line);
}

/*
 * The domain's one among machines or processes. Anybody may start a process with the domain's uuid in its command line: it
 * hides none of a user that the domain may belong to, and is found only to be named. -EEXIST: there are two that could be it;
 * others: not all could be looked at. One that we may never read (hidepid, SELinux) is no domain's of which another is found.
 */
static int find_in(const struct qemu_host *host, const struct qemu_wanted *wanted, const char *path,
		   pid_t (*pid_of)(const struct qemu_host *host, const char *entry), pid_t *found)
{
	DIR *directory = open_directory(host, path);
	struct dirent *entry;
	pid_t stranger = 0;
	int ret = 0, denied = 0;

	*found = 0;
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while (!ret && (errno = 0, entry = readdir(directory))) {
		pid_t pid = entry->d_name[0] == '.' ? 0 : pid_of(host, entry->d_name);
		uid_t uid = 0;
		int one = pid <= 0 || pid == *found ? -ESRCH : identify(host, wanted, pid, &uid);

		if (one == -EACCES || one == -EPERM)
			denied = one;
		else if (one && one != -ESRCH)
			ret = one;
		else if (!one && !may_belong_to(wanted, uid))
			stranger = pid;
		else if (!one && *found)
			ret = -EEXIST;
		else if (!one)
			*found = pid;
	}
	if (!ret)
		ret = -errno;
	closedir(directory);
	if (!*found)
		*found = stranger;
	return ret || *found ? ret : denied;
}

static pid_t pid_of_machine(const struct qemu_host *host, const char *entry)
{
	return strncmp(entry, "qemu-", 5) ? 0 : leader_of(host, entry);
}

static pid_t pid_of_entry(const struct qemu_host *host, const char *entry)
{
	(void)host;
	return isdigit((unsigned char)*entry) ? parse_pid(entry) : 0;
}

static bool uuid_is_valid(const char *uuid)
{
	if (strlen(uuid) != QEMU_UUID_TEXT - 1)
		return false;
	for (int i = 0; i < QEMU_UUID_TEXT - 1; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? uuid[i] != '-'
							    : !isxdigit((unsigned char)uuid[i]))
			return false;
	return true;
}

int qemu_process_find(const struct qemu_host *host, const struct qemu_wanted *wanted,
		      struct qemu_process *out, struct gmig_error *err)
{
	pid_t pid = pid_of_file(host, wanted);
	int ret = 0;

	memset(out, 0, sizeof(*out));
	if (!uuid_is_valid(wanted->uuid))
		return gmig_fail(err, -EINVAL, "'%.40s' is no uuid", wanted->uuid);
	/* A look that fails here does not end the search: the last place has all. */
	if (pid <= 0 || is_of_domain(host, wanted, pid) <= 0)
		ret = find_in(host, wanted, "/run/systemd/machines", pid_of_machine, &pid);
	if (!ret && pid <= 0)
		ret = find_in(host, wanted, "/proc", pid_of_entry, &pid);
	if (ret && ret != -EEXIST)
		return gmig_fail(err, ret, "the process of domain %.60s cannot be looked for: %s",
				 wanted->name, strerror(-ret));
	if (ret)
		return gmig_fail(err, ret,
				 "two processes say that they are domain %.60s (-uuid %s): none is "
				 "touched",
				 wanted->name, wanted->uuid);
	if (pid <= 0)
		return gmig_fail(err, -ESRCH,
				 "no process has -uuid %s of domain %.60s: looked in %.80s, at "
				 "machined's leaders, at all processes",
				 wanted->uuid, wanted->name, host->run_dir);
	return hold(host, wanted, pid, out, err);
}

/* ---- Threads --------------------------------------------------------------------------------- */

/* One that has ended meanwhile is told as the emulator's; -errno: what it is cannot be known. */
static int thread_of(const struct qemu_host *host, pid_t pid, pid_t tid, struct qemu_thread *thread)
{
	size_t bytes;
	char *comm QEMU_FREED =
	    qemu_file_read(host->root, 64, &bytes, "/proc/%d/task/%d/comm", (int)pid, (int)tid);
	char *end;

	*thread = (struct qemu_thread){.tid = tid};
	if (!comm)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	if (!strncmp(comm, "CPU ", 4) && isdigit((unsigned char)comm[4])) {
		unsigned long vcpu = strtoul(comm + 4, &end, 10);

		if (*end == '/' && vcpu <= UINT_MAX) {
			thread->kind = QEMU_THREAD_VCPU;
			thread->vcpu = (unsigned int)vcpu;
		}
	} else if (!strncmp(comm, "IO ", 3) && strncmp(comm, "IO mon_iothread", 15) != 0) {
		thread->kind = QEMU_THREAD_IO;
	}
	return 0;
}

static int by_kind(const void *a, const void *b)
{
	const struct qemu_thread *one = a, *other = b;

	if (one->kind != other->kind)
		return one->kind < other->kind ? -1 : 1;
	if (one->vcpu != other->vcpu)
		return one->vcpu < other->vcpu ? -1 : 1;
	return one->tid < other->tid ? -1 : one->tid > other->tid;
}

static int add_thread(const struct qemu_host *host, pid_t pid, pid_t tid,
		      struct qemu_thread **threads, size_t *count)
{
	/* Its room doubles when it is full. */
	if (!*count || (*count >= FIRST_THREADS && !(*count & (*count - 1)))) {
		size_t room = *count ? 2 * *count : FIRST_THREADS;
		void *bigger = realloc(*threads, room * sizeof(**threads));

		if (!bigger)
			return -ENOMEM;
		*threads = bigger;
	}
	return thread_of(host, pid, tid, &(*threads)[(*count)++]);
}

int qemu_threads_read(const struct qemu_host *host, pid_t pid, struct qemu_thread **threads)
{
	struct dirent *entry;
	size_t count = 0;
	DIR *directory;
	char path[64];
	int ret = 0;

	*threads = NULL;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	directory = open_directory(host, path);
	if (!directory)
		return errno == ENOENT ? -ESRCH : -errno;
	while (!ret && (errno = 0, entry = readdir(directory))) {
		pid_t tid = pid_of_entry(host, entry->d_name);

		if (tid > 0)
			ret = add_thread(host, pid, tid, threads, &count);
	}
	if (!ret && errno && errno != ENOENT)
		ret = -errno;
	closedir(directory);
	if (ret || !count) {
		qemu_free(threads);
		*threads = NULL;
		return ret ? ret : -ESRCH;
	}
	qsort(*threads, count, sizeof(**threads), by_kind);
	return (int)count;
}
