/*
 * hot-pages: a job that has DAMON look at all of the guest's memory for some seconds. hot-blocks: what a
 * job has found, piece by piece. What it costs is counted, and ends it when it is too much.
 */
#include "agent.h"
#include "hot.h"
#include "opener.h"
#include "physical.h"
#include "sys.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_SECONDS 4
#define MAX_SECONDS	60
#define DEFAULT_CPU	50000	      /* millionths of one CPU */
#define GRACE_NS	1000000000ull /* of the budget: for the beginning, and what was in flight */
#define SLICE_NS	50000000ull
#define RUNS		2048 /* in one answer, some 50 KB */
#define SOURCE		"damon"

struct hot {
	struct agent_opener *opener;
	uint64_t seconds, max_cpu_ppm;
	struct agent_hot_scan scan;
	/* Guarded by the job's lock, and still once the job has ended. */
	struct agent_hot_run *runs;
	size_t count;
	uint64_t cpu_ns;
};

/* ---- The job --------------------------------------------------------------------------------- */

/* DAMON's thread ends with the scan: what it used must be asked for before. */
static void note_cost(struct agent_job *job, struct hot *hot)
{
	uint64_t cpu_ns = agent_damon_cpu_ns() + agent_job_cpu_ns();

	agent_job_lock(job);
	if (cpu_ns > hot->cpu_ns)
		hot->cpu_ns = cpu_ns;
	agent_job_unlock(job);
}

static int check_cost(struct agent_job *job, struct hot *hot, uint64_t since_ns,
		      struct gmig_error *err)
{
	uint64_t may_ns = (agent_sys->now_ns() - since_ns + GRACE_NS) / AGENT_HOT_PPM;

	note_cost(job, hot);
	if (hot->cpu_ns <= may_ns * hot->max_cpu_ppm)
		return 0;
	return gmig_fail(err, -EDQUOT,
			 "the scan was ended: it has used %llu ms of CPU time, more than %llu "
			 "millionths of one CPU: EDQUOT (%d)",
			 (unsigned long long)(hot->cpu_ns / 1000000),
			 (unsigned long long)hot->max_cpu_ppm, EDQUOT);
}

/* Nearly until the end of the last aggregation, for which agent_damon_ask() waits in the kernel, where nobody can cancel it. */
static int wait_until_near(struct agent_job *job, struct hot *hot, struct gmig_error *err)
{
	uint64_t begin_ns = agent_sys->now_ns();
	uint64_t end_ns = begin_ns + hot->scan.wait_us * 1000;
	int rc = 0;

	while (!rc && !agent_job_cancelled(job) && agent_sys->now_ns() < end_ns) {
		agent_sys->sleep_ns(SLICE_NS);
		rc = check_cost(job, hot, begin_ns, err);
	}
	return rc;
}

static int look(struct agent_job *job, struct hot *hot, int state, struct gmig_error *err)
{
	struct agent_damon_seen *seen = NULL;
	struct agent_hot_run *runs;
	size_t count = 0;
	int rc = agent_damon_on(state, err);

	if (!rc)
		rc = wait_until_near(job, hot, err);
	if (rc || agent_job_cancelled(job))
		return rc;
	rc = agent_damon_ask(state, &seen, &count, err);
	note_cost(job, hot);
	if (rc)
		return rc;
	runs = calloc(2 * count + 1, sizeof(*runs));
	if (!runs) {
		free(seen);
		return gmig_fail(err, -ENOMEM, "out of memory");
	}
	count = agent_hot_runs(seen, count, hot->scan.looks, runs);
	free(seen);
	agent_job_lock(job);
	hot->runs = runs;
	hot->count = count;
	agent_job_unlock(job);
	return 0;
}

static int hot_run(struct agent_job *job, void *context, struct gmig_error *err)
{
	struct hot *hot = context;
	int state = agent_opener_damon(hot->opener, &hot->scan.damon, err);
	int rc;

	if (state < 0)
		return state;
	rc = look(job, hot, state, err);
	agent_opener_damon_end(hot->opener, state);
	return rc;
}

static void hot_describe(const void *context, json_t *object)
{
	const struct hot *hot = context;
	uint64_t blocks[3] = {0}; /* cold, warm, hot */

	for (size_t i = 0; i < hot->count; i++) {
		uint32_t ppm = hot->runs[i].share_ppm;

		blocks[(ppm > 0) + (ppm >= AGENT_HOT_PPM / 2)] += hot->runs[i].count;
	}
	json_object_set_new(object, "source", json_string(SOURCE));
	json_object_set_new(object, "looks", json_integer((json_int_t)hot->scan.looks));
	json_object_set_new(object, "exact", json_boolean(hot->scan.exact));
	json_object_set_new(object, "cpu_ns", json_integer((json_int_t)hot->cpu_ns));
	json_object_set_new(object, "max_cpu_ppm", json_integer((json_int_t)hot->max_cpu_ppm));
	json_object_set_new(object, "hot_bytes",
			    json_integer((json_int_t)(blocks[2] * AGENT_HUGE_BYTES)));
	json_object_set_new(object, "warm_bytes",
			    json_integer((json_int_t)(blocks[1] * AGENT_HUGE_BYTES)));
	json_object_set_new(object, "cold_bytes",
			    json_integer((json_int_t)(blocks[0] * AGENT_HUGE_BYTES)));
}

static void hot_free(void *context)
{
	struct hot *hot = context;

	free(hot->runs);
	free(hot);
}

static const struct agent_job_ops hot_ops = {
    .kind = "hot-pages",
    .run = hot_run,
    .describe = hot_describe,
    .free = hot_free,
};

static int prepare(const json_t *arguments, struct hot *hot, struct gmig_error *err)
{
	int64_t seconds = DEFAULT_SECONDS, cpu = DEFAULT_CPU;
	size_t ranges = 0;
	int rc = agent_get_integer(arguments, "seconds", 1, MAX_SECONDS, &seconds, err);

	if (!rc)
		rc = agent_get_integer(arguments, "max_cpu_ppm", 1, AGENT_HOT_PPM, &cpu, err);
	if (!rc)
		rc = agent_damon_check(err);
	if (!rc)
		rc = agent_physical_ranges(hot->scan.damon.range, AGENT_DAMON_RANGES, &ranges, err);
	if (rc)
		return rc;
	hot->seconds = (uint64_t)seconds;
	hot->max_cpu_ppm = (uint64_t)cpu;
	hot->scan.damon.ranges = (uint32_t)ranges;
	agent_hot_plan(&hot->scan, hot->seconds);
	return 0;
}

AGENT_RUN(agent_run_hot_pages)
{
	struct hot *hot = calloc(1, sizeof(*hot));
	int rc;

	if (!hot)
		return gmig_fail(err, -ENOMEM, "out of memory");
	hot->opener = agent->opener;
	rc = prepare(arguments, hot, err);
	if (rc) {
		hot_free(hot);
		return rc;
	}
	return agent_jobs_start(agent->jobs, &hot_ops, hot, 0, result, err);
}

/* ---- What it has found ----------------------------------------------------------------------- */

/* [gpa, bytes, millionths], from a run on. */
static json_t *runs_json(const struct hot *hot, size_t first, size_t end)
{
	json_t *list = json_array();

	for (size_t i = first; i < end; i++)
		json_array_append_new(list,
				      json_pack("[I, I, I]",
						(json_int_t)(hot->runs[i].block * AGENT_HUGE_BYTES),
						(json_int_t)(hot->runs[i].count * AGENT_HUGE_BYTES),
						(json_int_t)hot->runs[i].share_ppm));
	return list;
}

AGENT_RUN(agent_run_hot_blocks)
{
	const struct hot *hot;
	const void *context;
	int64_t first = 0;
	size_t end;
	uint64_t id;
	int rc = agent_get_job_id(arguments, &id, err);

	if (!rc)
		rc = agent_get_integer(arguments, "first", 0, INT32_MAX, &first, err);
	if (!rc)
		rc = agent_jobs_result(agent->jobs, id, &hot_ops, &context, err);
	if (rc)
		return rc;
	hot = context;
	if ((size_t)first > hot->count)
		first = (int64_t)hot->count;
	end = hot->count - (size_t)first > RUNS ? (size_t)first + RUNS : hot->count;
	*result =
	    json_pack("{s:s, s:o}", "source", SOURCE, "blocks", runs_json(hot, (size_t)first, end));
	if (*result && end < hot->count)
		json_object_set_new(*result, "next", json_integer((json_int_t)end));
	return *result ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}
