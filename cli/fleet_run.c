/* Carrying a plan out, move by move. */
#include "fleet_plan.h"

#include "../control/text.h"
#include "units.h"

#include <errno.h>
#include <string.h>

static json_t *memory_arguments(const struct placement_move *move, const struct fleet_run *run)
{
	/* The plan says where vCPUs go. */
	json_t *arguments =
	    json_pack("{s:[i], s:[i], s:I, s:s}", "from", (int)move->from, "to", (int)move->to,
		      "max-bytes", (json_int_t)move->bytes, "vcpus", "keep");

	if (arguments && move->vnode != PLACEMENT_NO_VNODE)
		json_object_set_new(arguments, "vnode", json_integer(move->vnode));
	if (arguments && run->rate_bytes)
		json_object_set_new(arguments, "rate", json_integer((json_int_t)run->rate_bytes));
	return arguments;
}

static int run_memory(struct control_client *client, const struct placement_move *move,
		      struct fleet_run *run, json_t *result, struct gmig_error *err)
{
	const struct cli_watch watch = {.cancels = true};
	CLI_JSON job = NULL;
	int rc = control_call(client, "migrate-pages", memory_arguments(move, run), &job, err);

	if (rc)
		return rc;
	control_client_set_limit(client, cli_limits.watch_ms);
	rc = cli_watch_job(client, &watch, &job, err);
	json_object_set_new(result, "job", cli_job_result(job));
	if (rc)
		return rc;
	if (!run->json)
		cli_job_summary(stdout, job);
	if (strcmp(cli_text(job, "state"), "completed") != 0)
		return gmig_fail(err, -ECANCELED, "job %.20s: %.20s", cli_text(job, "id"),
				 cli_text(job, "state"));
	return 0;
}

static int run_vcpus(struct control_client *client, const struct placement_move *move,
		     struct gmig_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < move->vcpu_count && !rc; i++)
		rc = control_call(
		    client, "pin-vcpu",
		    json_pack("{s:i, s:i}", "vcpu", (int)move->vcpus[i], "node", (int)move->to),
		    NULL, err);
	return rc;
}

static void say_move(const struct fleet *fleet, size_t number, const struct placement_move *move)
{
	char name[80], size[UNITS_TEXT];

	snprintf(name, sizeof(name), "%s", fleet->guests[move->guest].name);
	control_text_safe(name);
	if (move->kind == PLACEMENT_MEMORY)
		printf("%zu: %s: %s from node %u to %u\n", number, name,
		       units_size(move->bytes, size), move->from, move->to);
	else
		printf("%zu: %s: %zu vCPU%s to node %u\n", number, name, move->vcpu_count,
		       move->vcpu_count == 1 ? "" : "s", move->to);
	fflush(stdout);
}

static int run_move(const struct fleet *fleet, const struct placement_move *move,
		    struct fleet_run *run, json_t *result, struct gmig_error *err)
{
	CLI_CLIENT client = NULL;
	int rc = cli_connect(fleet_target(fleet, move->guest), &client, err);

	if (rc)
		return rc;
	return move->kind == PLACEMENT_MEMORY ? run_memory(client, move, run, result, err)
					      : run_vcpus(client, move, err);
}

int fleet_run(const struct fleet *fleet, const struct placement_plan *plan, struct fleet_run *run)
{
	int status = CLI_OK;

	for (size_t i = 0; i < plan->move_count; i++) {
		const struct placement_move *move = &plan->moves[i];
		json_t *result = json_pack("{s:I}", "move", (json_int_t)i + 1);
		struct gmig_error err = {0};
		int rc;

		if (!run->json)
			say_move(fleet, i + 1, move);
		rc = run_move(fleet, move, run, result, &err);
		if (rc)
			json_object_set_new(result, "error", control_text_json(err.text));
		else if (cli_number(json_object_get(result, "job"), "remaining_bytes"))
			status = CLI_REMAINING;
		json_array_append_new(run->results, result);
		if (rc) {
			cli_complain("move %zu: %s; %zu of %zu moves are done", i + 1, err.text, i,
				     plan->move_count);
			return CLI_FAILED;
		}
	}
	return status;
}
