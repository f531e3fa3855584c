/* Carrying a plan out, move by move. */
#include "fleet_plan.h"

#include "../control/text.h"
#include "daemon.h"
#include "progress.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of one vnode; of all of the guest where it has none. */
static bool is_of(const struct placement_move *move, uint16_t vnode)
{
	return move->vnode == PLACEMENT_NO_VNODE || move->vnode == vnode;
}

bool fleet_takes_all(const struct fleet *fleet, const struct placement_plan *plan,
		     const struct placement_move *move)
{
	const struct placement_guest *guest = &fleet->guests[move->guest];
	uint64_t there = 0, meant = 0;

	for (size_t i = 0; i < guest->ram_count; i++)
		if (guest->ram[i].node == move->from && is_of(move, guest->ram[i].vnode))
			there += guest->ram[i].bytes;
	for (size_t i = 0; i < plan->move_count; i++) {
		const struct placement_move *other = &plan->moves[i];

		if (other->kind != PLACEMENT_MEMORY || other->guest != move->guest ||
		    !is_of(move, other->vnode))
			continue;
		if (other > move && (other->to == move->from || other->from == move->from))
			return false;
		/* What only passes through comes and goes. */
		if (other->to == move->from)
			there += other->bytes;
		if (other->from == move->from)
			meant += other->bytes;
	}
	return meant >= there;
}

static json_t *memory_arguments(const struct fleet *fleet, const struct placement_plan *plan,
				const struct placement_move *move, const struct fleet_run *run)
{
	/* The plan says where vCPUs go. */
	json_t *arguments = json_pack("{s:[i], s:[i], s:s}", "from", (int)move->from, "to",
				      (int)move->to, "vcpus", "keep");

	if (arguments && !fleet_takes_all(fleet, plan, move))
		json_object_set_new(arguments, "max-bytes", json_integer((json_int_t)move->bytes));
	if (arguments && move->vnode != PLACEMENT_NO_VNODE)
		json_object_set_new(arguments, "vnode", json_integer(move->vnode));
	if (arguments && run->rate_bytes)
		json_object_set_new(arguments, "rate", json_integer((json_int_t)run->rate_bytes));
	return arguments;
}

static int run_memory(const struct fleet *fleet, const struct placement_plan *plan,
		      const struct placement_move *move, struct control_client *client,
		      struct fleet_run *run, json_t *result, struct gmig_error *err)
{
	CLI_JSON job = NULL;
	int rc = cli_run_job(client, memory_arguments(fleet, plan, move, run), &job, err);

	if (!job)
		return rc;
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

#define PINS_POLL_NS 20000000

/* How an order to gmigd ended. -ETIMEDOUT: it may yet be carried out. */
static int await_pins(struct control_client *client, uint64_t order, json_t *result,
		      struct gmig_error *err)
{
	const struct timespec pause = {.tv_nsec = PINS_POLL_NS};
	int64_t until_ms = cli_now_ms() + cli_limits.watch_ms;

	for (;;) {
		CLI_JSON pins = NULL;
		int rc = control_call(client, "query-pins",
				      json_pack("{s:I}", "order", (json_int_t)order), &pins, err);
		const char *state = cli_text(pins, "state");

		if (rc)
			return rc;
		if (strcmp(state, "pending") != 0) {
			json_object_set(result, "vcpus", pins);
			if (!strcmp(state, "followed") || !strcmp(state, "unneeded"))
				return 0;
			return gmig_fail(err, -EIO, "the pins are %.20s: %.200s", state,
					 cli_text(pins, "why"));
		}
		if (cli_now_ms() > until_ms)
			return gmig_fail(err, -ETIMEDOUT,
					 "the vCPUs are still being pinned, which goes on");
		nanosleep(&pause, NULL);
	}
}

/* Of a domain of libvirt: all or none of them. */
static int run_domain_vcpus(const struct fleet *fleet, const struct placement_move *move,
			    struct control_client *client, json_t *result, struct gmig_error *err)
{
	json_t *vcpus = json_array();
	CLI_JSON order = NULL;
	int rc;

	for (size_t i = 0; i < move->vcpu_count; i++)
		json_array_append_new(vcpus,
				      json_integer(fleet_vcpu(fleet, move->guest, move->vcpus[i])));
	rc = control_call(client, "pin-vcpus",
			  json_pack("{s:o, s:i}", "vcpus", vcpus, "node", (int)move->to), &order,
			  err);
	return rc ? rc : await_pins(client, cli_number(order, "order"), result, err);
}

static int run_vcpus(const struct fleet *fleet, const struct placement_move *move,
		     struct control_client *client, struct gmig_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < move->vcpu_count && !rc; i++)
		rc = control_call(client, "pin-vcpu",
				  json_pack("{s:i, s:i}", "vcpu",
					    (int)fleet_vcpu(fleet, move->guest, move->vcpus[i]),
					    "node", (int)move->to),
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

/* By its name another guest may have been started since the plan was made, whose memory lies elsewhere. */
static int check_same(const struct fleet *fleet, size_t guest, struct control_client *client,
		      struct gmig_error *err)
{
	CLI_JSON status = NULL;
	pid_t pid = fleet_pid(fleet, guest);
	int rc = control_call(client, "query-status", NULL, &status, err);

	if (rc || !pid || !json_object_get(status, "pid") ||
	    (pid_t)cli_number(status, "pid") == pid)
		return rc;
	return gmig_fail(err, -ESTALE,
			 "the guest was started anew since the plan was made (process %d then, "
			 "%llu now): plan again",
			 (int)pid, (unsigned long long)cli_number(status, "pid"));
}

static int run_move(const struct fleet *fleet, const struct placement_plan *plan,
		    const struct placement_move *move, struct fleet_run *run, json_t *result,
		    struct gmig_error *err)
{
	CLI_CLIENT client = NULL;
	int rc = cli_connect(fleet_target(fleet, move->guest), &client, err);

	if (!rc)
		rc = check_same(fleet, move->guest, client, err);
	if (rc)
		return rc;
	if (move->kind == PLACEMENT_MEMORY)
		return run_memory(fleet, plan, move, client, run, result, err);
	return cli_is_domain(fleet_target(fleet, move->guest))
		   ? run_domain_vcpus(fleet, move, client, result, err)
		   : run_vcpus(fleet, move, client, err);
}

/* What has come of a plan so far. */
struct progress {
	size_t done;
	int status;
	bool *stays; /* a guest each: its vCPUs could not be moved */
};

/* Memory is not to go where its vCPUs could not; what is to leave a closed node leaves it all the same. */
static bool is_left_out(const struct progress *progress, const struct placement_move *move)
{
	return progress->stays[move->guest] && !move->drain;
}

/* False: this is the end. vCPUs that stay make nobody's memory homeless: others go on. */
static bool goes_on(const struct placement_plan *plan, size_t i, const struct gmig_error *err,
		    struct progress *progress)
{
	const struct placement_move *move = &plan->moves[i];

	progress->status = CLI_FAILED;
	if (move->kind == PLACEMENT_VCPUS && !cli_was_interrupted()) {
		cli_complain("move %zu: %s", i + 1, err->text);
		progress->stays[move->guest] = true;
		return true;
	}
	cli_complain("move %zu: %s; %zu of %zu moves are done", i + 1, err->text, progress->done,
		     plan->move_count);
	return false;
}

/* Of the moves that come after this one, of those that are to be made. */
static uint64_t bytes_after(const struct placement_plan *plan, size_t i,
			    const struct progress *progress)
{
	uint64_t bytes = 0;

	while (++i < plan->move_count)
		if (plan->moves[i].kind == PLACEMENT_MEMORY &&
		    !is_left_out(progress, &plan->moves[i]))
			bytes += plan->moves[i].bytes;
	return bytes;
}

static bool run_one(const struct fleet *fleet, const struct placement_plan *plan, size_t i,
		    struct fleet_run *run, struct progress *progress)
{
	const struct placement_move *move = &plan->moves[i];
	json_t *result = json_pack("{s:I}", "move", (json_int_t)i + 1);
	struct gmig_error err = {0};
	char which[32];
	int rc = 0;

	if (is_left_out(progress, move)) {
		gmig_fail(&err, -ECANCELED, "left out: the guest's vCPUs stay where they are");
		cli_complain("move %zu is %s", i + 1, err.text);
	} else {
		if (!run->json)
			say_move(fleet, i + 1, move);
		snprintf(which, sizeof(which), "%zu/%zu ", i + 1, plan->move_count);
		cli_progress_prefix(which);
		cli_progress_later(bytes_after(plan, i, progress));
		rc = run_move(fleet, plan, move, run, result, &err);
		cli_progress_prefix("");
		cli_progress_later(0);
		progress->done += !rc;
	}
	if (err.text[0])
		json_object_set_new(result, "error", control_text_json(err.text));
	else if (cli_number(json_object_get(result, "job"), "remaining_bytes") &&
		 progress->status == CLI_OK)
		progress->status = CLI_REMAINING;
	json_array_append_new(run->results, result);
	return !rc || goes_on(plan, i, &err, progress);
}

int fleet_run(const struct fleet *fleet, const struct placement_plan *plan, struct fleet_run *run)
{
	struct progress progress = {.status = CLI_OK,
				    .stays = calloc(fleet->count + 1, sizeof(bool))};
	bool goes = progress.stays != NULL;

	if (!goes) {
		cli_complain("out of memory");
		return CLI_FAILED;
	}
	for (size_t i = 0; i < plan->move_count && goes; i++) {
		goes = run_one(fleet, plan, i, run, &progress);
		/* The move may have ended before it could be cancelled. */
		if (goes && cli_was_interrupted() && i + 1 < plan->move_count) {
			cli_complain("Ctrl-C: %zu of %zu moves are done", progress.done,
				     plan->move_count);
			progress.status = CLI_FAILED;
			goes = false;
		}
	}
	free(progress.stays);
	return progress.status;
}
