/* Processes by /proc, see proc.h. */
#include "proc.h"
#include "sys.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAT_FLAGS	 7 /* fields behind the name's bracket: the state is 1 */
#define STAT_USER_TIME	 12
#define STAT_KERNEL_TIME 13
#define STAT_START_TIME	 20
#define STAT_CPU	 37
#define PF_KTHREAD	 0x00200000ul

ssize_t agent_read_text(const char *path, char *text, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	do {
		got = read(fd, text + used, bytes - 1 - used);
		if (got > 0)
			used += (size_t)got;
	} while ((got > 0 && used < bytes - 1) || (got < 0 && errno == EINTR));
	got = got < 0 ? -errno : (ssize_t)used;
	text[used] = '\0';
	close(fd);
	return got;
}

/* ---- Parsers --------------------------------------------------------------------------------- */

/* The name stands between the first '(' and the last ')' and may hold anything. */
int agent_parse_stat(const char *text, struct agent_process *process)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	unsigned long long flags = 0;
	int field = 0;
	size_t length;

	if (!open || !close || close < open)
		return -EINVAL;
	length = (size_t)(close - open - 1);
	if (length >= sizeof(process->comm))
		length = sizeof(process->comm) - 1;
	memcpy(process->comm, open + 1, length);
	process->comm[length] = '\0';
	process->cpu_ticks = 0;
	for (const char *at = close + 1; *at;) {
		unsigned long long value;

		at += strspn(at, " \n");
		if (!*at)
			break;
		field++;
		value = strtoull(at, NULL, 10);
		if (field == STAT_FLAGS)
			flags = value;
		else if (field == STAT_USER_TIME || field == STAT_KERNEL_TIME)
			process->cpu_ticks += value;
		else if (field == STAT_START_TIME)
			process->start_time = value;
		else if (field == STAT_CPU)
			process->last_cpu = (int)(value & INT_MAX);
		at += strcspn(at, " \n");
	}
	process->kernel = flags & PF_KTHREAD;
	return field >= STAT_CPU ? 0 : -EINVAL;
}

int agent_parse_status(const char *text, struct agent_process *process)
{
	bool has_memory = false, has_group = false;
	const char *next;

	for (const char *line = text; *line; line = next) {
		const char *value = strchr(line, ':'), *end = strchrnul(line, '\n');
		size_t length;

		next = *end ? end + 1 : end;
		if (!value || value > end)
			continue;
		length = (size_t)(value - line);
		value += 1 + strspn(value + 1, "\t ");
		if (length == 4 && !strncmp(line, "Tgid", 4)) {
			process->tgid = (pid_t)strtol(value, NULL, 10);
			has_group = true;
		} else if (length == 3 && !strncmp(line, "Uid", 3)) {
			process->uid = (uid_t)strtoul(value, NULL, 10);
		} else if (length == 6 && !strncmp(line, "VmSize", 6)) {
			has_memory = true;
		} else if (length == 17 && !strncmp(line, "Cpus_allowed_list", 17)) {
			agent_set_parse(value, AGENT_SET_MAX, &process->cpus, NULL);
		} else if (length == 17 && !strncmp(line, "Mems_allowed_list", 17)) {
			agent_set_parse(value, AGENT_MAX_NODES, &process->mems, NULL);
		}
	}
	process->kernel |= !has_memory;
	return has_group ? 0 : -EINVAL;
}

/* Which hierarchy a line "ID:CONTROLLERS:PATH" is about; -1: another. */
static int hierarchy_of(const char *controllers, size_t length)
{
	const char *end = controllers + length;

	if (!length)
		return AGENT_HIERARCHY_UNIFIED;
	if (length == 12 && !strncmp(controllers, "name=systemd", 12))
		return AGENT_HIERARCHY_SYSTEMD;
	for (const char *at = controllers; at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t name = (size_t)((comma ? comma : end) - at);

		if (name == 6 && !strncmp(at, "cpuset", 6))
			return AGENT_HIERARCHY_CPUSET;
		at += name + 1;
	}
	return -1;
}

void agent_parse_cgroup(const char *text, struct agent_process *process)
{
	const char *next;

	memset(process->cgroup, 0, sizeof(process->cgroup));
	for (const char *line = text; *line; line = next) {
		const char *end = strchrnul(line, '\n'), *path = NULL, *controllers;
		size_t length;
		int hierarchy;

		next = *end ? end + 1 : end;
		controllers = memchr(line, ':', (size_t)(end - line));
		if (!controllers)
			continue;
		controllers++;
		path = memchr(controllers, ':', (size_t)(end - controllers));
		hierarchy = path ? hierarchy_of(controllers, (size_t)(path - controllers)) : -1;
		if (hierarchy < 0)
			continue;
		length = (size_t)(end - ++path);
		if (length >= sizeof(process->cgroup[0]))
			continue;
		memcpy(process->cgroup[hierarchy], path, length);
	}
}

const char *agent_process_cgroup(const struct agent_process *process)
{
	const char *root = NULL;

	for (int i = 0; i < AGENT_HIERARCHIES; i++) {
		const char *path = process->cgroup[i];

		if (*path && strcmp(path, "/") != 0)
			return path;
		root = *path ? path : root;
	}
	return root ? root : "/";
}

/* ---- One process ----------------------------------------------------------------------------- */

/* Its length. -ESRCH: the process or thread is not there; another -errno says nothing of that. */
static int read_proc(pid_t pid, const char *file, char *text, size_t bytes)
{
	char path[PATH_MAX];
	ssize_t got;

	snprintf(path, sizeof(path), "%s/%d/%s", agent_sys->proc, (int)pid, file);
	got = agent_read_text(path, text, bytes);
	return got == -ENOENT ? -ESRCH : (int)got;
}

static int read_stat(pid_t pid, struct agent_process *process)
{
	char text[4096];
	int got = read_proc(pid, "stat", text, sizeof(text));

	if (got < 0)
		return got;
	return agent_parse_stat(text, process) ? -ESRCH : 0;
}

static int read_status(pid_t pid, struct agent_process *process)
{
	char text[16384];
	int got = read_proc(pid, "status", text, sizeof(text));

	if (got < 0)
		return got;
	return agent_parse_status(text, process) ? -ESRCH : 0;
}

/* A kernel without cgroups has no such file. */
static int read_cgroup(pid_t pid, struct agent_process *process)
{
	char text[16384];
	int got = read_proc(pid, "cgroup", text, sizeof(text));

	agent_parse_cgroup(got > 0 ? text : "", process);
	return got == -ESRCH || got > 0 ? 0 : got;
}

/* 1, 0, or -errno: it cannot be told. */
static int has_memory(pid_t tid)
{
	struct agent_process thread = {0};
	int rc = read_status(tid, &thread);

	if (rc)
		return rc == -ESRCH ? 0 : rc;
	return !thread.kernel;
}

pid_t agent_process_entry(pid_t pid)
{
	AGENT_PIDS threads = {0};
	int rc = has_memory(pid);

	if (rc)
		return rc < 0 ? rc : pid;
	rc = agent_pids_threads(pid, &threads, NULL);
	if (rc)
		return rc == -ESRCH ? 0 : rc;
	for (size_t i = 0; i < threads.count; i++) {
		rc = threads.pid[i] != pid ? has_memory(threads.pid[i]) : 0;
		if (rc)
			return rc < 0 ? rc : threads.pid[i];
	}
	return 0;
}

/* Where it runs is what its living threads say; the main thread's picture is of its end. */
static int read_by_entry(struct agent_process *process)
{
	struct agent_process thread = {0};
	pid_t entry = agent_process_entry(process->pid);
	int rc;

	if (entry < 0)
		return entry;
	process->entry = entry;
	rc = entry ? read_status(entry, &thread) : -ESRCH;
	if (rc || thread.tgid != process->pid)
		return rc == -ESRCH ? 0 : rc;
	process->cpus = thread.cpus;
	process->mems = thread.mems;
	process->kernel = thread.kernel;
	rc = read_stat(entry, &thread);
	if (!rc)
		process->last_cpu = thread.last_cpu;
	return rc == -ESRCH ? 0 : rc;
}

/* was_there: it had been seen before. */
static int read_failed(struct gmig_error *err, int code, pid_t pid, bool was_there)
{
	if (code != -ESRCH)
		return agent_call_failed_pid(err, AGENT_CALL_READ, code, pid);
	return gmig_fail(err, code, "%sprocess %d%s: ESRCH (%d)", was_there ? "" : "there is no ",
			 (int)pid, was_there ? " has ended" : "", ESRCH);
}

int agent_process_read(pid_t pid, struct agent_process *process, struct gmig_error *err)
{
	bool kernel_thread;
	int rc;

	memset(process, 0, sizeof(*process));
	process->pid = process->entry = pid;
	rc = read_stat(pid, process);
	if (rc)
		return read_failed(err, rc, pid, false);
	kernel_thread = process->kernel;
	rc = read_status(pid, process);
	if (!rc && process->kernel && !kernel_thread)
		rc = read_by_entry(process);
	if (!rc)
		rc = read_cgroup(process->entry > 0 ? process->entry : pid, process);
	return rc ? read_failed(err, rc, pid, true) : 0;
}

int agent_process_check(pid_t pid, uint64_t start_time, struct gmig_error *err)
{
	struct agent_process process;
	int rc = read_stat(pid, &process);

	if (!rc && process.start_time != start_time)
		rc = -ESRCH;
	return rc ? read_failed(err, rc, pid, true) : 0;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

int agent_pids_add(struct agent_pids *pids, pid_t pid)
{
	if (pids->count == pids->capacity) {
		size_t capacity = pids->capacity ? 2 * pids->capacity : 64;
		pid_t *bigger = realloc(pids->pid, capacity * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		pids->pid = bigger;
		pids->capacity = capacity;
	}
	pids->pid[pids->count++] = pid;
	return 0;
}

/* The directories of `path` whose names are numbers. */
static int list_numbers(const char *path, struct agent_pids *pids)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return -errno;
	/* Some of them are never told as all. */
	while (!rc && (errno = 0, entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			rc = agent_pids_add(pids, (pid_t)strtol(entry->d_name, NULL, 10));
	if (!rc && errno)
		rc = -errno;
	closedir(dir);
	return rc;
}

int agent_pids_all(struct agent_pids *pids, struct gmig_error *err)
{
	int rc = list_numbers(agent_sys->proc, pids);

	if (rc)
		return agent_call_failed(err, AGENT_CALL_READ, rc, agent_sys->proc);
	return 0;
}

int agent_pids_threads(pid_t pid, struct agent_pids *pids, struct gmig_error *err)
{
	char path[PATH_MAX];
	int rc;

	snprintf(path, sizeof(path), "%s/%d/task", agent_sys->proc, (int)pid);
	rc = list_numbers(path, pids);
	if (rc == -ENOENT)
		rc = -ESRCH;
	if (rc)
		return agent_call_failed_pid(err, AGENT_CALL_READ, rc, pid);
	return 0;
}
