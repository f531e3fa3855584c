/* query-jobs, job-status, job-cancel, job-set-rate. */
#include "agent.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

int agent_get_job_id(const json_t *arguments, uint64_t *id, struct gmig_error *err)
{
	const char *text = agent_get_string(arguments, "id");
	char *end;

	errno = 0;
	*id = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno)
		return gmig_fail(err, -EINVAL, "'%.40s' is no job's id", text);
	return 0;
}

AGENT_RUN(agent_run_query_jobs)
{
	(void)arguments;
	*result = agent_jobs_json(agent->jobs);
	return *result ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}

AGENT_RUN(agent_run_job_status)
{
	uint64_t id;
	int rc = agent_get_job_id(arguments, &id, err);

	return rc ? rc : agent_jobs_status(agent->jobs, id, result, err);
}

AGENT_RUN(agent_run_job_cancel)
{
	uint64_t id;
	int rc = agent_get_job_id(arguments, &id, err);

	return rc ? rc : agent_jobs_cancel(agent->jobs, id, result, err);
}

AGENT_RUN(agent_run_job_set_rate)
{
	int64_t rate = 0;
	uint64_t id;
	int rc = agent_get_job_id(arguments, &id, err);

	if (!rc)
		rc = agent_get_integer(arguments, "rate", 0, INT64_MAX, &rate, err);
	if (rc)
		return rc;
	return agent_jobs_set_rate(agent->jobs, id, agent_conf_rate(&agent->conf, (uint64_t)rate),
				   result, err);
}
