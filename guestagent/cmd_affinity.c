/* set-affinity: the CPUs of a process, the CPUs and nodes of a cgroup. */
#include "agent.h"
#include "cgroup.h"
#include "nodes.h"
#include "opener.h"
#include "sys.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 8 /* threads that are started meanwhile */

/* ---- A process ------------------------------------------------------------------------------- */

/* One look at the threads: *changed counts those that were not yet so. */
static int set_threads(pid_t pid, const struct agent_set *cpus, size_t *changed,
		       struct gmig_error *err)
{
	AGENT_PIDS threads = {0};
	int rc = agent_pids_threads(pid, &threads, err);

	*changed = 0;
	for (size_t i = 0; !rc && i < threads.count; i++) {
		struct agent_process thread;
		long set;

		if (!agent_process_read(threads.pid[i], &thread, NULL) &&
		    !memcmp(&thread.cpus, cpus, sizeof(*cpus)))
			continue;
		set = agent_sys->setaffinity(threads.pid[i], cpus);
		if (!set)
			(*changed)++;
		else if (set != -ESRCH)
			rc = agent_call_failed_pid(err, AGENT_CALL_SETAFFINITY, (int)set, pid);
	}
	return rc;
}

/* The kernel takes CPUs that are not online or not allowed out of the set: then the threads never
 * have quite what was asked for, and a last round ends it. */
static int set_process(struct agent *agent, const json_t *arguments, const struct agent_set *cpus,
		       json_t **result, struct gmig_error *err)
{
	struct agent_process process;
	char text[256];
	int rc = agent_get_process(agent, arguments, &process, err);

	for (int round = 0; !rc && round < ROUNDS; round++) {
		size_t changed;

		rc = set_threads(process.pid, cpus, &changed, err);
		if (!changed)
			break;
	}
	if (!rc)
		rc = agent_process_read(process.pid, &process, err);
	if (rc)
		return rc;
	agent_set_print(&process.cpus, text, sizeof(text));
	*result = json_pack("{s:i, s:s}", "pid", (int)process.pid, "cpus", text);
	return 0;
}

/* ---- A cgroup -------------------------------------------------------------------------------- */

/* The agent must go on answering whatever it does: a cgroup that may be its own is not touched, either. */
static int check_not_ours(const char *cgroup, struct gmig_error *err)
{
	struct agent_process self;
	int rc = agent_process_read(getpid(), &self, err);

	if (rc)
		return rc;
	if (!agent_process_in_cgroup(&self, cgroup))
		return 0;
	return gmig_fail(err, -EPERM,
			 "the agent itself is in cgroup %.80s, which it does not touch: EPERM (%d)",
			 cgroup, EPERM);
}

static int set_cgroup(struct agent *agent, const char *cgroup, const struct agent_set *cpus,
		      const struct agent_set *mems, struct gmig_error *err)
{
	int rc = agent_conf_check_cgroup(&agent->conf, cgroup, err);

	if (!rc)
		rc = check_not_ours(cgroup, err);
	if (!rc && cpus)
		rc = agent_opener_write(agent->opener, &agent->conf, cgroup, "cpuset.cpus", cpus,
					err);
	if (!rc && mems)
		rc = agent_opener_write(agent->opener, &agent->conf, cgroup, "cpuset.mems", mems,
					err);
	return rc;
}

AGENT_RUN(agent_run_set_affinity)
{
	const json_t *cpu_list = json_object_get(arguments, "cpus");
	const json_t *mem_list = json_object_get(arguments, "mems");
	const char *cgroup = agent_get_string(arguments, "cgroup");
	bool pid = json_object_get(arguments, "pid");
	struct agent_set cpus, mems;
	int rc = 0;

	if (!cgroup == !pid)
		return gmig_fail(err, -EINVAL, "give one of 'pid' and 'cgroup'");
	if (!cpu_list && !mem_list)
		return gmig_fail(err, -EINVAL, "give 'cpus', 'mems' or both");
	if (pid && mem_list)
		return gmig_fail(err, -EINVAL,
				 "the nodes of another process cannot be set, only a cgroup's: "
				 "give 'cgroup', or move the memory with migrate-pages");
	if (cpu_list)
		rc = agent_set_from_json(cpu_list, "cpus", AGENT_SET_MAX, &cpus, err);
	if (!rc && mem_list)
		rc = agent_set_from_json(mem_list, "mems", AGENT_MAX_NODES, &mems, err);
	if (rc)
		return rc;
	if (pid)
		return set_process(agent, arguments, &cpus, result, err);
	return set_cgroup(agent, cgroup, cpu_list ? &cpus : NULL, mem_list ? &mems : NULL, err);
}
