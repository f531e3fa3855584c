/*
 * gmig plan, rebalance, drain: where the memory and the vCPUs of all guests should be, shown, and brought there. All make a plan
 * (placement/) of what the guests' servers say; drain closes a node first, so that nothing comes to it meanwhile.
 */
#include "../control/closed_nodes.h"
#include "../control/text.h"
#include "commands.h"
#include "daemon.h"
#include "fleet_lock.h"
#include "fleet_plan.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLE_MS  500	/* long enough to tell an idle vCPU from a busy one */
#define MAX_GUESTS 64	/* that are named */
#define LIST_BYTES 8192 /* all 1,024 nodes one by one are 5 KiB */

struct request {
	const char *command;
	const char *guest, *protect, *goal, *min_gain, *rate, *node;
	bool dry_run, yes, json, quiet, undo;
	struct fleet_lock lock; /* held to the end */

	char *lists[2]; /* copies of guest and protect, cut at commas */
	const char *names[2][MAX_GUESTS + 1];
	uint64_t rate_bytes;
	struct placement_options options;
	enum placement_goal wanted;
};

/* What an operator can ask for here: the goals of a guest that its policy may have, too. */
static const char *const goals[] = {"follow-vcpus", "pack", "spread", NULL};

static const char *const *goal_names(void)
{
	return goals;
}

/* ---- The command line ------------------------------------------------------------------------ */

/* Each returns -1 or the exit status of a usage error. */
static int cut_names(struct request *r, unsigned int i, const char *option, const char *text)
{
	unsigned int count = 0;
	char *rest;

	if (!text)
		return -1;
	rest = r->lists[i] = strdup(text);
	for (char *name; rest && (name = strsep(&rest, ","));) {
		if (!*name || count == MAX_GUESTS)
			return cli_usage(r->command, "--%s: 1 to %d names, divided by commas",
					 option, MAX_GUESTS);
		r->names[i][count++] = name;
	}
	return -1;
}

static int read_nodes(struct request *r)
{
	uint16_t nodes[GMIG_MAX_NODES];
	struct gmig_error err;
	int count;

	if (!r->node)
		return cli_usage(r->command, "--node is missing: the nodes to be emptied");
	count = gmig_node_list_parse(r->node, nodes, GMIG_MAX_NODES, &err);
	if (count < 0)
		return cli_usage(r->command, "--node: %s", err.text);
	for (int i = 0; i < count; i++)
		gmig_node_set_add(&r->options.drain, nodes[i]);
	return -1;
}

static int read_request(struct request *r)
{
	struct gmig_error err;
	uint64_t points = 0;
	int status;

	placement_options_init(&r->options);
	r->options.told = true;
	r->wanted = PLACEMENT_FOLLOW;
	for (enum placement_goal goal = PLACEMENT_NONE; r->goal && goal <= PLACEMENT_SPREAD; goal++)
		if (!strcmp(r->goal, placement_goal_name(goal)))
			r->wanted = goal;
	if (r->min_gain && units_parse_count(r->min_gain, 100, &points, &err))
		return cli_usage(r->command, "--min-gain: %s", err.text);
	r->options.min_gain = (unsigned int)points;
	if (r->rate && units_parse_size(r->rate, &r->rate_bytes, &err))
		return cli_usage(r->command, "--rate: %s", err.text);
	if (r->rate_bytes > INT64_MAX)
		return cli_usage(r->command, "--rate: '%s' is too big", r->rate);
	status = cut_names(r, 0, "guest", r->guest);
	return status < 0 ? cut_names(r, 1, "protect", r->protect) : status;
}

/* ---- Plan, ask, run -------------------------------------------------------------------------- */

static int make_plan(const struct request *r, bool fresh, struct fleet *fleet,
		     struct placement_plan **plan, struct gmig_error *err)
{
	const struct fleet_request what = {.sample_ms = SAMPLE_MS,
					   .fresh = fresh,
					   .closing = r->options.drain,
					   .drain_only = r->options.drain_only,
					   .only = r->guest ? r->names[0] : NULL,
					   .protect = r->protect ? r->names[1] : NULL};
	int rc = fleet_gather(&what, fleet, err);

	for (size_t i = 0; i < fleet->count && !rc; i++) {
		fleet->guests[i].rate_bytes = r->rate_bytes;
		fleet->guests[i].goal = r->wanted;
	}
	return rc ? rc
		  : placement_plan(&fleet->host, fleet->guests, fleet->count, &r->options, plan,
				   err);
}

/* On a terminal the operator is asked; a script says --yes. */
static int may_go(const struct request *r)
{
	char answer[16];

	if (r->yes)
		return -1;
	if (!isatty(STDIN_FILENO) || r->quiet)
		return cli_usage(r->command,
				 "nobody can be asked %s: --yes goes on, --dry-run only shows",
				 r->quiet ? "with --quiet" : "here");
	fputs("Go on? [y/N] ", stdout);
	fflush(stdout);
	if (fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y'))
		return -1;
	puts("nothing was moved");
	return CLI_FAILED;
}

/* What the guests say afterwards, not what was hoped for. */
static void report_after(const struct request *r, json_t *result)
{
	struct placement_plan *plan = NULL;
	struct gmig_error err = {0};
	struct fleet fleet;

	if (make_plan(r, true, &fleet, &plan, &err))
		cli_complain("the score cannot be told: %s", err.text);
	else if (r->json)
		json_object_set_new(result, "reached", json_real((double)plan->score.now / 100));
	else
		printf("SCORE %d\n", (plan->score.now + 50) / 100);
	placement_plan_destroy(plan);
	fleet_free(&fleet);
}

/* Something stays, or is not in the plan since we may not see it. */
static bool is_incomplete(const struct fleet *fleet, const struct placement_plan *plan)
{
	return plan->left_count || fleet->hidden;
}

static int run_plan(const struct request *r, const struct fleet *fleet,
		    const struct placement_plan *plan)
{
	struct fleet_run run = {
	    .json = r->json, .rate_bytes = r->rate_bytes, .results = json_array()};
	CLI_JSON result = r->json ? fleet_plan_json(fleet, plan) : NULL;
	int status = fleet_run(fleet, plan, &run);

	report_after(r, result);
	if (r->json) {
		json_object_set(result, "results", run.results);
		cli_print_json(result);
	}
	json_decref(run.results);
	return status == CLI_OK && is_incomplete(fleet, plan) ? (int)CLI_REMAINING : status;
}

static void show(const struct request *r, const struct fleet *fleet,
		 const struct placement_plan *plan)
{
	CLI_JSON json = r->json ? fleet_plan_json(fleet, plan) : NULL;

	if (r->json)
		cli_print_json(json);
	else
		fleet_plan_print(stdout, fleet, plan);
}

/* Until this command ends. -1, or the exit status. */
static int exclude_others(struct request *r)
{
	struct gmig_error err = {0};

	return fleet_lock(&r->lock, &err) ? cli_fail(r->json, &err) : -1;
}

static int show_or_run(const struct request *r, bool only_show)
{
	struct placement_plan *plan = NULL;
	struct gmig_error err = {0};
	struct fleet fleet;
	int status;

	if (make_plan(r, false, &fleet, &plan, &err)) {
		status = cli_fail(r->json, &err);
	} else if (only_show || r->dry_run || !plan->move_count) {
		show(r, &fleet, plan);
		status = is_incomplete(&fleet, plan) ? CLI_REMAINING : CLI_OK;
	} else {
		if (!r->json)
			show(r, &fleet, plan);
		status = may_go(r);
		if (status < 0)
			status = run_plan(r, &fleet, plan);
	}
	placement_plan_destroy(plan);
	fleet_free(&fleet);
	return status;
}

/* ---- Commands -------------------------------------------------------------------------------- */

static int finish(struct request *r, int status)
{
	free(r->lists[0]);
	free(r->lists[1]);
	fleet_unlock(&r->lock);
	return status;
}

/* Options that move something come first: a plan has none of them. */
#define MOVING_OPTIONS 3

static int run_command(int argc, char **argv, bool only_show)
{
	struct request r = {.command = argv[0], .lock = {-1, -1}};
	const struct cli_option options[] = {
	    {.name = "dry-run", .help = "show the plan and end", .flag = &r.dry_run},
	    {.name = "yes", .help = "do not ask", .flag = &r.yes},
	    {.name = "rate",
	     .placeholder = "SIZE",
	     .help = "at most so many bytes a second: 500M; default: no limit",
	     .text = &r.rate},
	    {.name = "guest",
	     .placeholder = "NAMES",
	     .help = "move these guests only; the others are counted",
	     .text = &r.guest},
	    {.name = "protect",
	     .placeholder = "NAMES",
	     .help = "guests that move only where they gain by it",
	     .text = &r.protect},
	    {.name = "goal",
	     .placeholder = "GOAL",
	     .help = "memory to the vCPUs (default), both together on few nodes, or memory on all",
	     .text = &r.goal,
	     .choices = goal_names},
	    {.name = "min-gain",
	     .placeholder = "POINTS",
	     .help = "no move that gains the host less, 0 to 100",
	     .text = &r.min_gain},
	    {0},
	};
	struct cli_args args = {.options = options + (only_show ? MOVING_OPTIONS : 0),
				.json_help = "print plan and results as one line of JSON"};
	int status = cli_parse(argc, argv, &args);

	r.json = args.json;
	r.quiet = args.quiet;
	if (status < 0)
		status = read_request(&r);
	if (status < 0 && !only_show && !r.dry_run)
		status = exclude_others(&r);
	return finish(&r, status < 0 ? show_or_run(&r, only_show) : status);
}

int cmd_plan(int argc, char **argv)
{
	return run_command(argc, argv, true);
}

int cmd_rebalance(int argc, char **argv)
{
	return run_command(argc, argv, false);
}

/* What is closed now, in words or as JSON. silent: guests that did not answer, or NULL. */
static int report_closed(const struct request *r, const struct gmig_node_set *closed,
			 json_t *silent)
{
	char list[LIST_BYTES];

	gmig_node_set_print(closed, list, sizeof(list));
	if (r->json) {
		CLI_JSON json = json_pack("{s:s}", "closed_nodes", list);

		if (json_array_size(silent))
			json_object_set(json, "silent", silent);
		return cli_print_json(json);
	}
	if (gmig_node_set_empty(closed))
		puts("no node is closed");
	else
		printf("closed: node %s\n", list);
	return CLI_OK;
}

/* Without guests nobody else has looked whether there are such nodes. */
static int check_nodes(const struct gmig_node_set *nodes, struct gmig_error *err)
{
	struct gmig_topology *topology = NULL;
	int rc = gmig_topology_create(0, &topology, err);

	if (rc)
		return rc;
	gmig_node_set_each (node, nodes)
		if (!rc && !gmig_node_set_has(gmig_topology_possible(topology), node))
			rc = gmig_fail(err, -ENODEV, "this host cannot have a node %u", node);
	gmig_topology_put(topology);
	return rc;
}

/* Nothing is closed before the operator has seen what that means: -1, or the exit status. */
static int show_drain(const struct request *r)
{
	struct placement_plan *plan = NULL;
	struct gmig_error err = {0};
	struct fleet fleet;
	int status = -1, rc = make_plan(r, false, &fleet, &plan, &err);

	if (rc == -ENOENT)
		rc = check_nodes(&r->options.drain, &err);
	if (rc)
		status = cli_fail(r->json, &err);
	else if (plan && (!r->json || r->dry_run))
		show(r, &fleet, plan);
	else if (!r->json)
		puts(control_text_safe(err.text));
	if (status < 0 && r->dry_run)
		status = plan && is_incomplete(&fleet, plan) ? CLI_REMAINING : CLI_OK;
	placement_plan_destroy(plan);
	fleet_free(&fleet);
	return status < 0 ? may_go(r) : status;
}

/* Planned anew: what was shown is older than the node's closing. */
static int run_drain(const struct request *r, const struct gmig_node_set *closed)
{
	struct placement_plan *plan = NULL;
	struct gmig_error err = {0};
	struct fleet fleet;
	int status, rc = make_plan(r, false, &fleet, &plan, &err);

	if (!r->json || rc == -ENOENT)
		report_closed(r, closed, fleet.silent);
	if (!r->json)
		fleet_print_silent(stdout, &fleet);
	if (rc == -ENOENT)
		status = CLI_OK;
	else
		status = rc ? cli_fail(r->json, &err) : run_plan(r, &fleet, plan);
	/* Who did not answer may have memory there. */
	if (status == CLI_OK && fleet_silent(&fleet))
		status = CLI_REMAINING;
	placement_plan_destroy(plan);
	fleet_free(&fleet);
	return status;
}

/* gmigd does it for those whom it serves: it looks at root's list alone, and so does everybody else. True: it was asked, *rc says what came of it. */
static bool ask_gmigd(const struct gmig_node_set *close_these,
		      const struct gmig_node_set *open_these, int *rc, struct gmig_error *err)
{
	bool asked;

	if (!closed_nodes_user())
		return false; /* the list is ours */
	*rc = cli_daemon_close_nodes(close_these, open_these, cli_limits.answer_ms, &asked, err);
	if (asked)
		return true;
	if (*rc == -EACCES || *rc == -EPERM)
		cli_complain(
		    "gmigd cannot be asked by this user: this holds for his own guests; root, "
		    "or a member of the group of gmigd's socket, does it for all");
	return *rc != -ENOENT && *rc != -ECONNREFUSED && *rc != -EACCES && *rc != -EPERM;
}

static int change_closed(const struct gmig_node_set *close_these,
			 const struct gmig_node_set *open_these, struct gmig_node_set *closed,
			 struct gmig_error *err)
{
	int rc = 0;
	bool asked = ask_gmigd(close_these, open_these, &rc, err);

	if (asked && rc)
		return rc;
	/* What is to be opened may be in his own list, too. */
	if (!asked || !gmig_node_set_empty(open_these))
		return closed_nodes_change(close_these, open_these, closed, err);
	return closed_nodes_read(closed, err);
}

static int drain(struct request *r)
{
	const struct gmig_node_set none = {{0}};
	struct gmig_node_set closed;
	struct gmig_error err = {0};
	int status;

	if (r->undo)
		return change_closed(&none, &r->options.drain, &closed, &err)
			   ? cli_fail(r->json, &err)
			   : report_closed(r, &closed, NULL);
	r->options.drain_only = true;
	status = r->dry_run ? -1 : exclude_others(r);
	if (status < 0)
		status = show_drain(r);
	if (status >= 0)
		return status;
	if (change_closed(&r->options.drain, &none, &closed, &err))
		return cli_fail(r->json, &err);
	return run_drain(r, &closed);
}

int cmd_drain(int argc, char **argv)
{
	struct request r = {.command = "drain", .lock = {-1, -1}};
	const struct cli_option options[] = {
	    {.name = "node",
	     .placeholder = "NODES",
	     .help = "the host nodes to close and empty",
	     .text = &r.node},
	    {.name = "undo", .help = "open them again; nothing moves back", .flag = &r.undo},
	    {.name = "dry-run", .help = "show what would move, close nothing", .flag = &r.dry_run},
	    {.name = "yes", .help = "do not ask", .flag = &r.yes},
	    {.name = "rate",
	     .placeholder = "SIZE",
	     .help = "at most so many bytes a second: 500M; default: no limit",
	     .text = &r.rate},
	    {0},
	};
	struct cli_args args = {.options = options,
				.json_help = "print plan and results as one line of JSON"};
	int status = cli_parse(argc, argv, &args);

	r.json = args.json;
	r.quiet = args.quiet;
	if (status < 0)
		status = read_request(&r);
	if (status < 0)
		status = read_nodes(&r);
	return finish(&r, status < 0 ? drain(&r) : status);
}
