/*
 * stall-probe: a thread that writes to one page after the other and looks at the clock each time.
 * When the host takes a page away while it moves it, the write waits, and the gap shows. What the
 * guest's own scheduler does to the thread shows as well: `preempted` counts that.
 */
#include "agent.h"
#include "hist.h"
#include "nodes.h"
#include "sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_BYTES	     (16ll << 20)
#define MAX_BYTES	     (4ll << 30)
#define DEFAULT_THRESHOLD_NS 20000
#define POLICY_BIND	     2 /* MPOL_BIND */

struct stall {
	int64_t seconds, bytes, node, cpu, threshold_ns; /* node, cpu: -1, anywhere */
	struct agent_set cpus;
	/* Guarded by the job's lock. */
	struct agent_hist gaps, touches;
	uint64_t sweeps;
	long preempted;
};

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int place(const struct stall *stall, void *memory, struct gmig_error *err)
{
	struct agent_set nodes = {0};
	long rc = 0;

	if (agent_set_count(&stall->cpus))
		rc = agent_sys->setaffinity(0, &stall->cpus);
	if (rc)
		return agent_call_failed(err, AGENT_CALL_SETAFFINITY, (int)rc, "the probe");
	if (stall->node < 0)
		return 0;
	agent_set_add(&nodes, (int)stall->node);
	if (syscall(SYS_mbind, memory, stall->bytes, POLICY_BIND, nodes.bits, AGENT_MAX_NODES + 1ul,
		    0))
		return gmig_fail(err, -errno, "mbind(2) to node %d: %s (%d): %s", (int)stall->node,
				 agent_errno_name(errno), errno, strerror(errno));
	return 0;
}

/* One write to each page; what is over the threshold is a gap. */
static void sweep(char *memory, const struct stall *stall, struct agent_hist *gaps,
		  struct agent_hist *touches)
{
	uint64_t before_ns = clock_ns();

	for (int64_t at = 0; at < stall->bytes; at += (int64_t)AGENT_PAGE_BYTES) {
		uint64_t now_ns;

		(*(volatile char *)(memory + at))++;
		now_ns = clock_ns();
		agent_hist_record(touches, now_ns - before_ns);
		if (now_ns - before_ns > (uint64_t)stall->threshold_ns)
			agent_hist_record(gaps, now_ns - before_ns);
		before_ns = now_ns;
	}
}

static long preemptions(void)
{
	struct rusage usage = {0};

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

static int probe(struct agent_job *job, struct stall *stall, char *memory, struct gmig_error *err)
{
	struct agent_hist *hists = calloc(2, sizeof(*hists));
	struct agent_job_counts counts = {.total_bytes = 0};
	uint64_t end_ns;
	long preempted;

	if (!hists)
		return gmig_fail(err, -ENOMEM, "out of memory");
	memset(memory, 1, (size_t)stall->bytes);
	preempted = preemptions();
	end_ns = clock_ns() + (uint64_t)stall->seconds * 1000000000;
	while (clock_ns() < end_ns && !agent_job_cancelled(job)) {
		sweep(memory, stall, &hists[0], &hists[1]);
		counts.done_bytes += (uint64_t)stall->bytes;
		agent_job_publish(job, &counts);
		agent_job_lock(job);
		stall->gaps = hists[0];
		stall->touches = hists[1];
		stall->sweeps++;
		stall->preempted = preemptions() - preempted;
		agent_job_unlock(job);
	}
	free(hists);
	return 0;
}

static int stall_run(struct agent_job *job, void *context, struct gmig_error *err)
{
	struct stall *stall = context;
	char *memory = mmap(NULL, (size_t)stall->bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (memory == MAP_FAILED)
		return gmig_fail(err, -errno, "no memory for the probe: %s (%d)",
				 agent_errno_name(errno), errno);
	rc = place(stall, memory, err);
	if (!rc)
		rc = probe(job, stall, memory, err);
	munmap(memory, (size_t)stall->bytes);
	return rc;
}

static json_t *times_json(const struct agent_hist *hist)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)hist->count, "p50",
			 (json_int_t)agent_hist_quantile(hist, 0.5), "p99",
			 (json_int_t)agent_hist_quantile(hist, 0.99), "p999",
			 (json_int_t)agent_hist_quantile(hist, 0.999), "max",
			 (json_int_t)hist->max_ns, "sum", (json_int_t)hist->sum_ns);
}

/* [[from, count]], as the host's query-histograms has it. */
static json_t *octaves_json(const struct agent_hist *hist)
{
	json_t *list = json_array();

	for (unsigned int octave = 0; octave < 64; octave++) {
		uint64_t count = agent_hist_octave(hist, octave);

		if (count)
			json_array_append_new(
			    list,
			    json_pack("[I, I]", (json_int_t)(1ull << octave), (json_int_t)count));
	}
	return list;
}

static void stall_describe(const void *context, json_t *object)
{
	const struct stall *stall = context;

	json_object_set_new(object, "threshold_ns", json_integer(stall->threshold_ns));
	json_object_set_new(object, "probe_bytes", json_integer(stall->bytes));
	json_object_set_new(object, "sweeps", json_integer((json_int_t)stall->sweeps));
	json_object_set_new(object, "preempted", json_integer(stall->preempted));
	json_object_set_new(object, "gap_ns", times_json(&stall->gaps));
	json_object_set_new(object, "touch_ns", times_json(&stall->touches));
	json_object_set_new(object, "gaps", octaves_json(&stall->gaps));
}

static const struct agent_job_ops stall_ops = {
    .kind = "stall-probe",
    .run = stall_run,
    .describe = stall_describe,
    .free = free,
};

static int parse_stall(const json_t *arguments, struct stall *stall, struct gmig_error *err)
{
	int rc = agent_get_integer(arguments, "seconds", 1, 3600, &stall->seconds, err);

	if (!rc)
		rc = agent_get_integer(arguments, "bytes", (int64_t)AGENT_PAGE_BYTES, MAX_BYTES,
				       &stall->bytes, err);
	if (!rc)
		rc =
		    agent_get_integer(arguments, "node", 0, AGENT_MAX_NODES - 1, &stall->node, err);
	if (!rc)
		rc = agent_get_integer(arguments, "cpu", 0, AGENT_SET_MAX - 1, &stall->cpu, err);
	if (!rc)
		rc = agent_get_integer(arguments, "threshold_ns", 100, 1000000000,
				       &stall->threshold_ns, err);
	if (rc)
		return rc;
	stall->bytes -= stall->bytes % (int64_t)AGENT_PAGE_BYTES;
	if (stall->cpu >= 0)
		agent_set_add(&stall->cpus, (int)stall->cpu);
	else if (stall->node >= 0)
		return agent_node_cpus((int)stall->node, &stall->cpus, err);
	return 0;
}

AGENT_RUN(agent_run_stall_probe)
{
	struct stall *stall = calloc(1, sizeof(*stall));
	int rc;

	if (!stall)
		return gmig_fail(err, -ENOMEM, "out of memory");
	stall->bytes = DEFAULT_BYTES;
	stall->node = stall->cpu = -1;
	stall->threshold_ns = DEFAULT_THRESHOLD_NS;
	rc = parse_stall(arguments, stall, err);
	if (rc) {
		free(stall);
		return rc;
	}
	return agent_jobs_start(agent->jobs, &stall_ops, stall, 0, result, err);
}
