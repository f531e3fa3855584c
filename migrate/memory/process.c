#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAT_START_TIME 20 /* field behind the name's bracket: the state is 1 */

/* ---- /proc ----------------------------------------------------------------------------------- */

static ssize_t read_text(const struct gmig_sys *sys, pid_t pid, const char *file, char *text,
			 size_t bytes)
{
	int fd = sys->open_proc(pid, file);
	ssize_t got;

	if (fd < 0)
		return fd;
	got = gmig_sys_read_whole(sys, fd, text, bytes - 1);
	text[got < 0 ? 0 : got] = '\0';
	sys->close(fd);
	return got;
}

ssize_t process_read_text(const struct process *process, const char *file, char *text, size_t bytes)
{
	return read_text(process->sys, process->pid, file, text, bytes);
}

/* A line "Key:\tvalue" of /proc/PID/status as a number; -1: there is none. 0, or why it cannot be read. */
static int status_number(const struct gmig_sys *sys, pid_t pid, const char *key, long *number)
{
	char text[8192];
	const char *line = text;
	ssize_t got = read_text(sys, pid, "status", text, sizeof(text));

	*number = -1;
	if (got < 0)
		return got == -ENOENT || got == -ESRCH ? 0 : (int)got;
	for (; (line = strstr(line, key)); line++)
		if (line == text || line[-1] == '\n') {
			*number = strtol(line + strlen(key), NULL, 10);
			break;
		}
	return 0;
}

/* Name and start time. The name stands between the first '(' and the last ')', and may hold any
 * character. -ESRCH: there is no process; others: that cannot be known. */
static int read_stat(const struct gmig_sys *sys, pid_t pid, char name[PROCESS_NAME_BYTES],
		     uint64_t *start_time)
{
	char text[4096];
	ssize_t got = read_text(sys, pid, "stat", text, sizeof(text));
	const char *open, *at;
	size_t length;

	if (got < 0)
		return got == -ENOENT ? -ESRCH : (int)got;
	open = strchr(text, '(');
	at = strrchr(text, ')');
	if (!open || !at || at < open)
		return -ESRCH;
	length = (size_t)(at - open - 1);
	if (length >= PROCESS_NAME_BYTES)
		length = PROCESS_NAME_BYTES - 1;
	for (size_t i = 0; i < length; i++)
		name[i] = open[1 + i] >= ' ' && open[1 + i] != 127 ? open[1 + i] : '?';
	name[length] = '\0';
	for (int field = 0; field < STAT_START_TIME && at; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -ESRCH;
	*start_time = strtoull(at + 1, NULL, 10);
	return 0;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int no_process(pid_t pid, struct gmig_error *err)
{
	return gmig_fail(err, -ESRCH, "there is no process %d", (int)pid);
}

/* Out of descriptors or memory: that says nothing of the process. */
static int not_known(pid_t pid, int error, struct gmig_error *err)
{
	return gmig_fail(err, error, "process %d cannot be looked at: %s", (int)pid,
			 strerror(-error));
}

static int open_pidfd(struct process *process, struct gmig_error *err)
{
	long group;
	int ret;

	process->pidfd = process->sys->pidfd_open(process->pid);
	if (process->pidfd >= 0 || process->pidfd == -ENOSYS || process->pidfd == -EPERM)
		return 0;
	if (process->pidfd == -ESRCH)
		return no_process(process->pid, err);
	if (process->pidfd != -EINVAL && process->pidfd != -ENOENT)
		return not_known(process->pid, process->pidfd, err);
	/* Of a thread that leads no process: -EINVAL, from Linux 6.9 on -ENOENT. */
	ret = status_number(process->sys, process->pid, "Tgid:", &group);
	if (ret)
		return not_known(process->pid, ret, err);
	if (group > 0 && group != process->pid)
		return gmig_fail(err, -EINVAL, "%d is a thread of the process %ld: give that one",
				 (int)process->pid, group);
	return no_process(process->pid, err);
}

static long ask_nothing(const struct process *process, pid_t pid, int flags)
{
	return process->sys->move_pages(pid, 0, NULL, NULL, NULL, flags);
}

/* A thread with memory that is not the main one; 0: none; -errno: not all could be looked at. */
static pid_t living_thread(const struct process *process)
{
	int fd = process->sys->open_proc(process->pid, "task");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	pid_t found = 0;

	if (!dir) {
		int error = fd < 0 ? fd : -errno;

		if (fd >= 0)
			process->sys->close(fd);
		return error == -ENOENT || error == -ESRCH ? 0 : error;
	}
	while (!found && (errno = 0, entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid > 0 && !ask_nothing(process, tid, MPOL_MF_MOVE))
			found = tid;
	}
	/* ENOENT: it has ended meanwhile. */
	if (!found && errno != ENOENT)
		found = -errno;
	closedir(dir);
	return found;
}

int process_find_entry(struct process *process, struct gmig_error *err)
{
	pid_t other = 0;

	if (ask_nothing(process, process->pid, MPOL_MF_MOVE) == -EINVAL)
		other = living_thread(process);
	if (other < 0)
		return gmig_fail(err, other, "the threads of process %d (%s) cannot be listed: %s",
				 (int)process->pid, process->name, strerror(-other));
	process->entry = other ? other : process->pid;
	return 0;
}

/* A call without addresses is refused as one with some would be. */
static int check_rights(struct process *process, struct gmig_error *err)
{
	long ret = ask_nothing(process, process->entry, MPOL_MF_MOVE), user;

	if (!ret) {
		process->can_shared = !ask_nothing(process, process->entry, MPOL_MF_MOVE_ALL);
		return 0;
	}
	if (ret == -ESRCH)
		return no_process(process->pid, err);
	if (ret == -EINVAL)
		return gmig_fail(err, -EINVAL,
				 "process %d (%s) has no memory: it is a kernel thread, or ending",
				 (int)process->pid, process->name);
	if (ret == -EPERM && ask_nothing(process, 0, MPOL_MF_MOVE) == -EPERM)
		return gmig_fail(
		    err, -EPERM,
		    "move_pages(2) is forbidden here, even for our own memory: allow it in the "
		    "container's seccomp profile, or give CAP_SYS_NICE");
	if (ret == -EPERM) {
		status_number(process->sys, process->pid, "Uid:", &user);
		return gmig_fail(err, -EPERM,
				 "process %d (%s) belongs to user %ld: moving its memory needs "
				 "CAP_SYS_PTRACE, or to be that user",
				 (int)process->pid, process->name, user);
	}
	return gmig_fail(err, (int)ret, "move_pages(2) on process %d: %s", (int)process->pid,
			 strerror((int)-ret));
}

int process_open(const struct gmig_sys *sys, pid_t pid, struct process **out,
		 struct gmig_error *err)
{
	struct process *process;
	int ret;

	if (pid <= 0)
		return gmig_fail(err, -EINVAL, "%d is no process id", (int)pid);
	process = calloc(1, sizeof(*process));
	if (!process)
		return gmig_fail(err, -ENOMEM, "out of memory");
	process->sys = sys ? sys : &gmig_sys_real;
	process->pid = pid;
	process->entry = pid;
	process->pagemap = process->pidfd = -1;
	ret = open_pidfd(process, err);
	if (!ret) {
		ret = read_stat(process->sys, pid, process->name, &process->start_time);
		if (ret == -ESRCH)
			no_process(pid, err);
		else if (ret)
			not_known(pid, ret, err);
	}
	if (!ret)
		ret = process_check(process, err);
	if (!ret)
		ret = process_find_entry(process, err);
	if (!ret)
		ret = check_rights(process, err);
	if (ret)
		process_close(process);
	else
		*out = process;
	return ret;
}

void process_close(struct process *process)
{
	if (!process)
		return;
	if (process->pagemap >= 0)
		process->sys->close(process->pagemap);
	if (process->pidfd >= 0)
		process->sys->close(process->pidfd);
	free(process);
}

int process_check(const struct process *process, struct gmig_error *err)
{
	struct pollfd poll_fd = {.fd = process->pidfd, .events = POLLIN};
	char name[PROCESS_NAME_BYTES];
	uint64_t start_time = 0;
	bool ended;
	int ret;

	if (process->pidfd >= 0) {
		ended = process->sys->poll(&poll_fd, 1, 0) == 1;
	} else {
		ret = read_stat(process->sys, process->pid, name, &start_time);
		if (ret && ret != -ESRCH)
			return not_known(process->pid, ret, err);
		ended = ret || start_time != process->start_time;
	}
	if (ended)
		return gmig_fail(err, -ESRCH, "process %d (%s) has ended", (int)process->pid,
				 process->name);
	return 0;
}
