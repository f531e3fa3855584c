/* What a guest's agent has seen of how much memory is used, taken to the guest's VMM: a guest is not trusted, and only numbers pass. */
#include "agent.h"

#include <errno.h>

#define MAX_ANSWERS 64	 /* of 2048 runs: an agent has 17 at most, of DAMON's 32768 regions */
#define MAX_RUNS    4096 /* in an answer that is believed */

/* [gpa, bytes, millionths], as report-heat takes it: in order, behind *end. What is no such thing ends it. */
static int check_run(const json_t *run, uint64_t *end, struct gmig_error *err)
{
	json_int_t number[3] = {0};

	for (size_t i = 0; i < 3; i++) {
		const json_t *one = json_array_get(run, i);

		number[i] = json_integer_value(one);
		if (json_array_size(run) != 3 || !json_is_integer(one) || number[i] < 0)
			return gmig_fail(err, -EBADMSG, "the agent's heat of a block is no heat");
	}
	if ((number[0] | number[1]) % (json_int_t)(2 << 20) || !number[1] || number[2] > 1000000 ||
	    (uint64_t)number[0] < *end || number[0] >= 1ll << 48 || number[1] > 1ll << 48)
		return gmig_fail(err, -EBADMSG,
				 "the agent's heat of block %#llx+%#llx cannot be: %llu millionths",
				 (unsigned long long)number[0], (unsigned long long)number[1],
				 (unsigned long long)number[2]);
	*end = (uint64_t)(number[0] + number[1]);
	return 0;
}

static int check_answer(const json_t *answer, uint64_t *end, struct gmig_error *err)
{
	const json_t *list = json_object_get(answer, "blocks"), *run;
	int rc = 0;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > MAX_RUNS)
		return gmig_fail(err, -EBADMSG,
				 "the agent's answer has no list of blocks, or too long a one");
	json_array_foreach (list, i, run) {
		rc = check_run(run, end, err);
		if (rc)
			break;
	}
	return rc;
}

/* *more: the agent has told of a next one. One that does not lead on would make a part look like all of it. */
static int check_next(const json_t *answer, uint64_t *first, bool *more, struct gmig_error *err)
{
	const json_t *next = json_object_get(answer, "next");

	*more = next != NULL;
	if (!next)
		return 0;
	if (!json_is_integer(next) || json_integer_value(next) <= (json_int_t)*first)
		return gmig_fail(err, -EBADMSG, "the agent's list of blocks does not go on");
	*first = (uint64_t)json_integer_value(next);
	return 0;
}

/* Into noted, member by member. */
static void add_up(json_t *noted, const json_t *answer)
{
	static const char *const names[] = {"noted", "outside", "moved"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		json_object_set_new(noted, names[i],
				    json_integer((json_int_t)(cli_number(noted, names[i]) +
							      cli_number(answer, names[i]))));
}

static int report(struct control_client *client, json_t *list, json_t *noted,
		  struct gmig_error *err)
{
	CLI_JSON answer = NULL;
	int rc =
	    control_call(client, "report-heat", json_pack("{s:O}", "blocks", list), &answer, err);

	if (!rc)
		add_up(noted, answer);
	return rc;
}

int cli_agent_take_heat(struct cli_agent *agent, const char *vm, json_t *job,
			struct gmig_error *err)
{
	json_t *all = json_array(), *noted = json_object();
	uint64_t first = 0, end = 0;
	CLI_CLIENT client = NULL;
	bool more = true;
	int rc = vm ? cli_connect(vm, &client, err) : 0;

	json_object_set_new(job, "blocks", all);
	if (vm)
		json_object_set_new(job, "reported", noted);
	else
		json_decref(noted);
	for (unsigned int i = 0; !rc && more && i < MAX_ANSWERS; i++) {
		CLI_JSON answer = NULL;

		rc = cli_agent_call(agent, "hot-blocks",
				    json_pack("{s:O, s:I}", "id", json_object_get(job, "id"),
					      "first", (json_int_t)first),
				    &answer, err);
		if (!rc)
			rc = check_answer(answer, &end, err);
		if (!rc)
			rc = check_next(answer, &first, &more, err);
		if (!rc)
			json_array_extend(all, json_object_get(answer, "blocks"));
		if (!rc && vm)
			rc = report(client, json_object_get(answer, "blocks"), noted, err);
	}
	if (!rc && more)
		return gmig_fail(err, -EBADMSG, "the agent's list of blocks has no end");
	return rc;
}
