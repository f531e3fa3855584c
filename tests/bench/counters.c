#include "counters.h"
#include "process.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_THREADS 64

struct counters {
	struct perf_event_attr attr;
	const char *without;
	int fd[MAX_THREADS];
	unsigned int count;
};

static int add_thread(pid_t pid, pid_t tid, void *opaque)
{
	struct counters *counters = opaque;
	char name[32] = "";
	int fd;

	if (counters->without && !process_thread_name(pid, tid, name, sizeof(name)) &&
	    !strncmp(name, counters->without, strlen(counters->without)))
		return 0;
	if (counters->count == MAX_THREADS)
		return -E2BIG;
	fd = (int)syscall(SYS_perf_event_open, &counters->attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return errno == ESRCH ? 0 : -errno; /* it has just ended */
	counters->fd[counters->count++] = fd;
	return 0;
}

static int create(uint32_t type, uint64_t config, pid_t pid, const char *without,
		  struct counters **out)
{
	struct counters *counters = calloc(1, sizeof(*counters));
	int rc;

	if (!counters)
		return -ENOMEM;
	counters->attr = (struct perf_event_attr){
	    .type = type,
	    .size = sizeof(counters->attr),
	    .config = config,
	    .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	    .inherit = 1,
	};
	counters->without = without;
	rc = process_each_thread(pid, "", add_thread, counters);
	if (!rc && !counters->count)
		rc = -ESRCH;
	if (rc) {
		counters_destroy(counters);
		return rc;
	}
	*out = counters;
	return 0;
}

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

int counters_of_syscalls(pid_t pid, const char *without, struct counters **out)
{
	unsigned long long tracepoint;
	int rc = read_tracepoint(&tracepoint);

	return rc ? rc : create(PERF_TYPE_TRACEPOINT, tracepoint, pid, without, out);
}

int counters_of_instructions(pid_t pid, const char *without, struct counters **out)
{
	return create(PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, pid, without, out);
}

void counters_destroy(struct counters *counters)
{
	if (!counters)
		return;
	for (unsigned int i = 0; i < counters->count; i++)
		close(counters->fd[i]);
	free(counters);
}

/* A processor that has fewer counters than are wanted of it lets them take turns. */
static uint64_t scaled(uint64_t count, uint64_t enabled_ns, uint64_t running_ns)
{
	if (!running_ns || running_ns >= enabled_ns)
		return count;
	return (uint64_t)((double)count * (double)enabled_ns / (double)running_ns);
}

uint64_t counters_sum(const struct counters *counters)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < counters->count; i++) {
		uint64_t one[3]; /* count, nanoseconds it was enabled, nanoseconds it ran */

		if (read(counters->fd[i], one, sizeof(one)) == sizeof(one))
			sum += scaled(one[0], one[1], one[2]);
	}
	return sum;
}
