/* A line to an agent in this process, and what it answers. */
#ifndef TESTS_AGENT_LINE_H
#define TESTS_AGENT_LINE_H

#include "../../guestagent/agent.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Its answer's `return`, or `error`: the caller's. */
static inline json_t *agent_line(struct agent *agent, const char *line)
{
	size_t bytes;
	char *text = agent_answer(agent, line, strlen(line), &bytes);
	json_t *json = json_loadb(text, bytes, 0, NULL), *inner;

	inner = json_object_get(json, "return");
	inner = json_incref(inner ? inner : json_object_get(json, "error"));
	free(text);
	json_decref(json);
	return inner;
}

static inline const char *word(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}

static inline json_int_t number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

/* Of an agent's first job: as it has ended. */
static inline json_t *agent_job_line(struct agent *agent, const char *line)
{
	json_t *job = agent_line(agent, line);

	while (!strcmp(word(job, "state"), "running")) {
		json_decref(job);
		usleep(1000);
		job =
		    agent_line(agent, "{\"execute\":\"job-status\",\"arguments\":{\"id\":\"1\"}}");
	}
	return job;
}

#endif
