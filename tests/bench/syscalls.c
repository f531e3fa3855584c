#include "syscalls.h"
#include "process.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_THREADS 64

struct syscalls {
	const char *without;
	unsigned long long tracepoint;
	int fd[MAX_THREADS];
	unsigned int count;
};

static int read_tracepoint(unsigned long long *id)
{
	FILE *file = fopen("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "re");
	int got;

	if (!file)
		return -errno;
	got = fscanf(file, "%llu", id);
	fclose(file);
	return got == 1 ? 0 : -EIO;
}

static int add_thread(pid_t pid, pid_t tid, void *opaque)
{
	struct syscalls *syscalls = opaque;
	struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT,
				       .size = sizeof(attr),
				       .config = syscalls->tracepoint,
				       .inherit = 1};
	char name[32] = "";
	int fd;

	if (!process_thread_name(pid, tid, name, sizeof(name)) &&
	    !strncmp(name, syscalls->without, strlen(syscalls->without)))
		return 0;
	if (syscalls->count == MAX_THREADS)
		return -E2BIG;
	fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return errno == ESRCH ? 0 : -errno; /* it has just ended */
	syscalls->fd[syscalls->count++] = fd;
	return 0;
}

int syscalls_create(pid_t pid, const char *without, struct syscalls **out)
{
	struct syscalls *syscalls = calloc(1, sizeof(*syscalls));
	int rc;

	if (!syscalls)
		return -ENOMEM;
	syscalls->without = without;
	rc = read_tracepoint(&syscalls->tracepoint);
	if (!rc)
		rc = process_each_thread(pid, "", add_thread, syscalls);
	if (!rc && !syscalls->count)
		rc = -ESRCH;
	if (rc) {
		syscalls_destroy(syscalls);
		return rc;
	}
	*out = syscalls;
	return 0;
}

void syscalls_destroy(struct syscalls *syscalls)
{
	if (!syscalls)
		return;
	for (unsigned int i = 0; i < syscalls->count; i++)
		close(syscalls->fd[i]);
	free(syscalls);
}

uint64_t syscalls_count(const struct syscalls *syscalls)
{
	uint64_t sum = 0, one;

	for (unsigned int i = 0; i < syscalls->count; i++)
		if (read(syscalls->fd[i], &one, sizeof(one)) == sizeof(one))
			sum += one;
	return sum;
}
