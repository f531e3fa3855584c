#include "process.h"

#include "clocks.h"
#include "host.h"

#include "../../migrate/gmig.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int process_cpu_ns(pid_t pid, uint64_t *ns)
{
	clockid_t clock;
	int rc = clock_getcpuclockid(pid, &clock);

	if (!rc)
		*ns = clock_ns(clock);
	return -rc;
}

static int read_task_file(pid_t pid, pid_t tid, const char *name, char *text, size_t bytes)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	return host_read_line(path, text, bytes);
}

/* Fields 14 and 15; the name in field 2 may hold blanks and parentheses. */
static int parse_split(const char *stat, struct process_split *out)
{
	const char *at = strrchr(stat, ')');
	unsigned long long user, system;
	double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);

	if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			  &system) != 2)
		return -EIO;
	out->user_seconds = (double)user * tick;
	out->system_seconds = (double)system * tick;
	return 0;
}

static int subtract_split(pid_t pid, pid_t tid, void *opaque)
{
	struct process_split *sum = opaque, own;
	char text[1024];

	if (!read_task_file(pid, tid, "stat", text, sizeof(text)) && !parse_split(text, &own)) {
		sum->user_seconds -= own.user_seconds;
		sum->system_seconds -= own.system_seconds;
	}
	return 0;
}

int process_split_read(pid_t pid, const char *prefix, struct process_split *out)
{
	char path[64], text[1024];
	int rc;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	rc = host_read_line(path, text, sizeof(text));
	if (!rc)
		rc = parse_split(text, out);
	return rc ? rc : process_each_thread(pid, prefix, subtract_split, out);
}

int process_each_thread(pid_t pid, const char *prefix,
			int (*visit)(pid_t pid, pid_t tid, void *opaque), void *opaque)
{
	struct dirent *entry;
	char path[64], name[64];
	int rc = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!rc && (entry = readdir(dir)) != NULL) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    read_task_file(pid, tid, "comm", name, sizeof(name)))
			continue; /* a thread that has just ended */
		if (!strncmp(name, prefix, strlen(prefix)))
			rc = visit(pid, tid, opaque);
	}
	closedir(dir);
	return rc;
}

int process_thread_name(pid_t pid, pid_t tid, char *name, size_t bytes)
{
	int rc = read_task_file(pid, tid, "comm", name, bytes);

	if (!rc)
		name[strcspn(name, "\n")] = '\0';
	return rc;
}

struct thread_time {
	uint64_t cpu_ns, waited_ns;
};

static int add_thread_ns(pid_t pid, pid_t tid, void *opaque)
{
	struct thread_time *time = opaque;
	char text[128], *end;

	/* "nanoseconds on a CPU, nanoseconds waiting for one, timeslices" */
	if (!read_task_file(pid, tid, "schedstat", text, sizeof(text))) {
		time->cpu_ns += strtoull(text, &end, 10);
		time->waited_ns += strtoull(end, NULL, 10);
	}
	return 0;
}

int process_threads_cpu_ns(pid_t pid, const char *prefix, uint64_t *ns, uint64_t *waited_ns)
{
	struct thread_time time = {0};
	int rc = process_each_thread(pid, prefix, add_thread_ns, &time);

	*ns = time.cpu_ns;
	if (waited_ns)
		*waited_ns = time.waited_ns;
	return rc;
}

struct pinning {
	unsigned int cpus, done;
};

static int pin_thread(pid_t pid, pid_t tid, void *opaque)
{
	struct pinning *pinning = opaque;
	unsigned int cpu = pinning->cpus - 1 - pinning->done % pinning->cpus;
	uint64_t set[GMIG_MAX_CPUS / 64] = {0}; /* a cpu_set_t ends at CPU 1023 */

	(void)pid;
	if (cpu >= GMIG_MAX_CPUS)
		return -EINVAL;
	set[cpu / 64] = 1ull << (cpu % 64);
	pinning->done++;
	return sched_setaffinity(tid, sizeof(set), (const cpu_set_t *)set) ? -errno : 0;
}

int process_pin_threads(pid_t pid, const char *prefix, unsigned int cpus)
{
	struct pinning pinning = {.cpus = cpus};
	int rc = process_each_thread(pid, prefix, pin_thread, &pinning);

	return rc ? rc : pinning.done ? 0 : -ESRCH;
}

static uint64_t status_kib(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) << 10 : 0;
}

int process_memory_read(int status_fd, struct process_memory *out)
{
	char text[4096];
	ssize_t got = pread(status_fd, text, sizeof(text) - 1, 0);

	if (got <= 0)
		return got ? -errno : -ESRCH;
	text[got] = '\0';
	out->rss_bytes = status_kib(text, "VmRSS:");
	out->rss_anon_bytes = status_kib(text, "RssAnon:");
	out->page_table_bytes = status_kib(text, "VmPTE:");
	out->peak_bytes = status_kib(text, "VmHWM:");
	return 0;
}

int process_memory_forget_peak(pid_t pid)
{
	char path[64];
	FILE *file;
	int rc;

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	rc = fputs("5", file) < 0 ? -EIO : 0;
	if (fclose(file))
		rc = -errno;
	return rc;
}
