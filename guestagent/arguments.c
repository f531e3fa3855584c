/*
 * Arguments of a request, once their types have been checked against the table: values in their
 * limits, and processes that the guest allows.
 */
#include "agent.h"
#include "cgroup.h"
#include "move.h"
#include "sys.h"

#include <errno.h>
#include <stdlib.h>

/* A name from /proc may be anything but UTF-8. */
json_t *agent_text_json(const char *text)
{
	json_t *json = json_string(text);
	char copy[GMIG_ERROR_TEXT];

	if (json)
		return json;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *byte = copy; *byte; byte++)
		if (*byte & 0x80)
			*byte = '?';
	return json_string(copy);
}

int agent_get_integer(const json_t *arguments, const char *name, int64_t low, int64_t high,
		      int64_t *value, struct gmig_error *err)
{
	const json_t *json = json_object_get(arguments, name);

	if (!json)
		return 0;
	*value = json_integer_value(json);
	if (*value < low || *value > high)
		return gmig_fail(err, -ERANGE, "argument '%s' is %lld, not %lld to %lld", name,
				 (long long)*value, (long long)low, (long long)high);
	return 0;
}

const char *agent_get_string(const json_t *arguments, const char *name)
{
	return json_string_value(json_object_get(arguments, name));
}

bool agent_get_bool(const json_t *arguments, const char *name, bool otherwise)
{
	const json_t *json = json_object_get(arguments, name);

	return json ? json_is_true(json) : otherwise;
}

int agent_get_process(struct agent *agent, const json_t *arguments, struct agent_process *process,
		      struct gmig_error *err)
{
	int64_t pid = 0;
	int rc = agent_get_integer(arguments, "pid", 1, INT32_MAX, &pid, err);

	if (!rc)
		rc = agent_process_read((pid_t)pid, process, err);
	if (!rc)
		rc = agent_conf_check_process(&agent->conf, process, err);
	if (!rc && process->tgid != process->pid)
		return gmig_fail(err, -EINVAL, "%d is a thread of process %d: give the process",
				 (int)pid, (int)process->tgid);
	return rc;
}

static void add_victim(struct agent_victims *victims, const struct agent_process *process)
{
	victims->victim[victims->count++] =
	    (struct agent_victim){.pid = process->pid, .start_time = process->start_time};
}

/* One that has ended is not there; of one that cannot be looked at nobody knows whether it was meant. */
static void check_victim(const struct agent *agent, pid_t pid, struct agent_victims *victims)
{
	struct agent_process process;
	int rc = agent_process_read(pid, &process, NULL);

	if (rc == -ESRCH)
		return;
	if (rc) {
		agent_remaining_add(&victims->unread, rc, 1);
		victims->skipped++;
	} else if (agent_conf_check_process(&agent->conf, &process, NULL)) {
		victims->skipped += !process.kernel;
	} else {
		add_victim(victims, &process);
	}
}

int agent_get_victims(struct agent *agent, const json_t *arguments, struct agent_victims *victims,
		      struct gmig_error *err)
{
	const char *cgroup = agent_get_string(arguments, "cgroup");
	bool all = agent_get_bool(arguments, "all", false);
	bool one = json_object_get(arguments, "pid");
	AGENT_PIDS pids = {0};
	struct agent_process process;
	int rc = 0;

	if (one + all + !!cgroup != 1)
		return gmig_fail(err, -EINVAL, "give one of 'pid', 'cgroup' and 'all': true");
	if (one) {
		rc = agent_get_process(agent, arguments, &process, err);
	} else if (cgroup) {
		rc = agent_conf_check_cgroup(&agent->conf, cgroup, err);
		if (!rc)
			rc = agent_pids_cgroup(cgroup, &pids, err);
	} else {
		rc = agent_pids_all(&pids, err);
	}
	if (rc)
		return rc;
	victims->victim = calloc(pids.count + 1, sizeof(*victims->victim));
	if (!victims->victim)
		return gmig_fail(err, -ENOMEM, "out of memory");
	if (one)
		add_victim(victims, &process);
	for (size_t i = 0; i < pids.count; i++)
		check_victim(agent, pids.pid[i], victims);
	return 0;
}
