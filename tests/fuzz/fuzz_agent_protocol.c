/*
 * What a host may send to the guest agent: bytes through the line framing and the dispatch, against
 * a kernel that does nothing real. The first byte chooses how the bytes are cut.
 */
#include "../../control/line.h"
#include "../../guestagent/agent.h"
#include "../../guestagent/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long no_move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes,
			  int *status, int flags)
{
	(void)pid;
	(void)pages;
	(void)flags;
	for (unsigned long i = 0; i < count; i++)
		status[i] = nodes ? (i % 7 ? nodes[i] : -EBUSY) : (int)(i % 3) - 1;
	return count > 5 && nodes ? 3 : 0;
}

static long no_migrate_pages(pid_t pid, const struct agent_set *from, const struct agent_set *to)
{
	(void)pid;
	(void)from;
	(void)to;
	return 1;
}

static long no_setaffinity(pid_t tid, const struct agent_set *cpus)
{
	(void)tid;
	(void)cpus;
	return -EINVAL;
}

static int no_pidfd(pid_t pid)
{
	(void)pid;
	return -ESRCH;
}

static long no_madvise(int pidfd, const struct iovec *ranges, size_t count, int advice)
{
	(void)pidfd;
	(void)ranges;
	(void)count;
	(void)advice;
	return -EINVAL;
}

static uint64_t no_clock(void)
{
	static uint64_t now_ns;

	return __atomic_add_fetch(&now_ns, 100000000, __ATOMIC_RELAXED);
}

static void no_sleep(uint64_t ns)
{
	(void)ns;
}

static struct agent agent;
static struct agent_sys calls;

static void setup(void)
{
	char conf[] =
	    "commands = numa-topology numa-maps processes migrate-pages move-pages "
	    "set-affinity collapse hot-pages hot-blocks compact-hot query-jobs job-status "
	    "job-cancel job-set-rate\ncompact-hot = yes";

	calls = agent_sys_real;
	calls.proc = "tests/fuzz/agent-root/proc";
	calls.sys = "tests/fuzz/agent-root/sys";
	calls.cgroup = "tests/fuzz/agent-root/cgroup";
	calls.move_pages = no_move_pages;
	calls.migrate_pages = no_migrate_pages;
	calls.setaffinity = no_setaffinity;
	calls.pidfd_open = no_pidfd;
	calls.process_madvise = no_madvise;
	calls.now_ns = no_clock;
	calls.sleep_ns = no_sleep;
	agent_sys = &calls;
	/* Its jobs would spin and touch memory for the seconds that were asked for. */
	if (agent_conf_parse(conf, agent_knows_command, &agent.conf, NULL))
		abort();
}

static void answer(const struct line_reader *reader)
{
	size_t length, bytes = 0;
	const char *line = line_reader_line(reader, &length);
	char *text = agent_answer(&agent, line, length, &bytes);

	if (!text || !bytes || text[bytes - 1] != '\n' || memchr(text, '\n', bytes - 1))
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece = size ? data[0] + 1u : 1;
	struct line_reader *reader;

	if (!agent.conf.commands)
		setup();
	if (agent_jobs_create(&agent.jobs, NULL))
		abort();
	reader = line_reader_create(2048);
	for (size_t at = 1; at < size;) {
		size_t count = size - at < piece ? size - at : piece;
		enum line_result result;

		at += line_reader_feed(reader, (const char *)data + at, count, &result);
		if (result == LINE_READY)
			answer(reader);
	}
	line_reader_destroy(reader);
	/* A job that ran into the next input would look like a leak. */
	while (!agent_jobs_destroy(agent.jobs, 1000))
		usleep(100);
	return 0;
}
