/*
 * gmig bind: the memory policy of a range of a guest's memory, and moving what is there already to where it has it; or that it
 * must not move.
 */
#include "../control/text.h"
#include "../migrate/gmig_policy.h"
#include "commands.h"
#include "maps.h"
#include "pace_options.h"
#include "process.h"
#include "units.h"

#include <errno.h>
#include <string.h>

static struct {
	const char *range, *policy, *nodes, *weights, *home, *mode, *rate, *threads;
	struct cli_pace pace;
	bool is_static, relative, strict, move, move_all, detach, fixed, movable;
} asked;

/* ---- From the command line to bind-memory ---------------------------------------------------------- */

/* Each add_ function returns -1 or the exit status of a usage error. */
static int add_range(json_t *arguments)
{
	const char *plus = asked.range ? strchr(asked.range, '+') : NULL;
	struct gmig_error err = {0};
	uint64_t gpa, bytes;
	char first[64];

	if (!asked.range)
		return cli_usage("bind",
				 "--range is missing: address and size, as in --range 1G+512M");
	if (!plus || (size_t)(plus - asked.range) >= sizeof(first))
		return cli_usage("bind", "--range: '%.64s' is not ADDRESS+SIZE", asked.range);
	snprintf(first, sizeof(first), "%.*s", (int)(plus - asked.range), asked.range);
	if (units_parse_address(first, &gpa, &err) || units_parse_address(plus + 1, &bytes, &err))
		return cli_usage("bind", "--range: %s", err.text);
	if (gpa > INT64_MAX || bytes > INT64_MAX)
		return cli_usage("bind", "--range: '%.64s' is too big", asked.range);
	json_object_set_new(arguments, "gpa", json_integer((json_int_t)gpa));
	json_object_set_new(arguments, "bytes", json_integer((json_int_t)bytes));
	return -1;
}

static int add_weights(json_t *arguments, const char *text)
{
	uint16_t numbers[GMIG_MAX_NODES];
	struct gmig_error err = {0};
	json_t *list;
	int count;

	if (!text)
		return -1;
	count = gmig_node_list_parse(text, numbers, GMIG_MAX_NODES, &err);
	if (count < 0)
		return cli_usage("bind", "--weights: %s", err.text);
	list = json_array();
	for (int i = 0; i < count; i++)
		json_array_append_new(list, json_integer(numbers[i]));
	json_object_set_new(arguments, "weights", list);
	return -1;
}

static int build(json_t *arguments)
{
	const struct cli_value home = {"bind", "home-node", NULL, asked.home};
	const struct cli_value rate = {"bind", "rate", NULL, asked.rate};
	const struct cli_value threads = {"bind", "threads", NULL, asked.threads};
	int status = add_range(arguments);

	if (status < 0 && !asked.policy)
		status = cli_usage("bind", "--policy is missing (or --fixed, --movable)");
	if (status >= 0)
		return status;
	cli_add_text(arguments, "policy", asked.policy);
	cli_add_text(arguments, "mode", asked.mode);
	cli_add_flag(arguments, "static", asked.is_static);
	cli_add_flag(arguments, "relative", asked.relative);
	cli_add_flag(arguments, "strict", asked.strict);
	cli_add_flag(arguments, "move", asked.move);
	cli_add_flag(arguments, "move-all", asked.move_all);
	status = asked.nodes ? cli_add_nodes("bind", arguments, "nodes", asked.nodes) : -1;
	if (status < 0)
		status = add_weights(arguments, asked.weights);
	if (status < 0)
		status = cli_add_count(arguments, &home, GMIG_MAX_NODES - 1);
	if (status < 0)
		status = cli_add_size(arguments, &rate);
	if (status < 0)
		status = cli_add_pace("bind", arguments, &asked.pace);
	if (status < 0)
		status = cli_add_count(arguments, &threads, GMIG_MAX_WORKERS);
	return status;
}

/* As cli_connect(); without a guest the arguments are released. */
static int reach(const struct cli_args *args, json_t *arguments, struct control_client **client,
		 struct gmig_error *err)
{
	int rc = cli_connect(args->words[0], client, err);

	if (rc)
		json_decref(arguments);
	return rc;
}

/* ---- That it must not move, or may again ----------------------------------------------------------- */

static int build_fixed(json_t *arguments)
{
	const struct {
		const char *name;
		bool given;
	} others[] = {
	    {"policy", asked.policy},
	    {"nodes", asked.nodes},
	    {"weights", asked.weights},
	    {"home-node", asked.home},
	    {"static", asked.is_static},
	    {"relative", asked.relative},
	    {"move", asked.move},
	    {"move-all", asked.move_all},
	    {"strict", asked.strict},
	    {"mode", asked.mode},
	    {"rate", asked.rate},
	    {"threads", asked.threads},
	    {"detach", asked.detach},
	    {"order", asked.pace.order},
	    {"order-seed", asked.pace.order_seed},
	    {"max-slowdown", asked.pace.max_slowdown},
	};

	if (asked.fixed && asked.movable)
		return cli_usage("bind", "--fixed and --movable: only one of them");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i].given)
			return cli_usage("bind",
					 "--%s is of a policy: --fixed and --movable are said by "
					 "themselves, before or after it",
					 others[i].name);
	json_object_set_new(arguments, "fixed", json_boolean(asked.fixed));
	return add_range(arguments);
}

static int fix_memory(const struct cli_args *args, json_t *arguments)
{
	CLI_CLIENT client = NULL;
	struct gmig_error err = {0};
	CLI_JSON answer = NULL;
	int rc = reach(args, arguments, &client, &err);

	if (rc)
		return cli_fail(args->json, &err);
	/* It ends when nothing moves there any more. */
	control_client_set_limit(client, cli_limits.long_ms);
	rc = control_call(client, "fix-memory", arguments, &answer, &err);
	if (rc)
		return cli_fail(args->json, &err);
	if (args->json)
		cli_print_json(answer);
	return CLI_OK;
}

/* ---- Carrying it out --------------------------------------------------------------------------------- */

static int report(const struct cli_args *args, const json_t *job)
{
	bool started = json_object_get(job, "id") != NULL;

	if (args->json) {
		CLI_JSON result = started && !asked.detach ? cli_job_result(job) : NULL;

		cli_print_json(result ? result : job);
	} else if (started && asked.detach) {
		CLI_JSON safe = control_json_safe(job);

		printf("%s\n", cli_text(safe, "id"));
	} else if (started) {
		cli_job_summary(stdout, job);
	}
	return started && !asked.detach ? (int)cli_job_exit(job) : CLI_OK;
}

/* mbind(2) is for a program's own memory: there is no call for another one's. */
static int refuse_process(const struct cli_args *args)
{
	struct gmig_error err;

	gmig_error_set(&err, -EOPNOTSUPP,
		       "gmig bind is for guests of gmig-vmm: no other program can set the memory "
		       "policies of %.32s; gmig migrate and gmig move move its memory once",
		       args->words[0]);
	return cli_fail(args->json, &err);
}

static int bind_memory(const struct cli_args *args, json_t *arguments)
{
	CLI_CLIENT client = NULL;
	struct gmig_error err = {0};
	CLI_JSON job = NULL;
	int rc = reach(args, arguments, &client, &err);

	if (rc)
		return cli_fail(args->json, &err);
	/* Without a job the answer may have to wait for a look at all of the range. */
	if (asked.strict && !asked.move && !asked.move_all)
		control_client_set_limit(client, cli_limits.long_ms);
	rc = asked.detach ? control_call(client, "bind-memory", arguments, &job, &err)
			  : cli_run_bind_job(client, arguments, &job, &err);
	if (rc && job)
		return cli_job_lost(args->words[0], args->json, job, &err);
	if (rc)
		return cli_job_not_started(args->words[0], args->json, &err);
	return report(args, job);
}

int cmd_bind(int argc, char **argv)
{
	const struct cli_option options[] = {
	    {.name = "range",
	     .placeholder = "GPA+SIZE",
	     .help = "guest-physical address and size: 0+2G, 0x40000000+64M",
	     .text = &asked.range},
	    {.name = "policy",
	     .placeholder = "POLICY",
	     .help = "where its memory belongs; default: nothing special any more",
	     .text = &asked.policy,
	     .choices = gmig_policy_mode_names},
	    {.name = "nodes",
	     .placeholder = "NODES",
	     .help = "host nodes of the policy: 0 or 0,1 or 0-3",
	     .text = &asked.nodes},
	    {.name = "weights",
	     .placeholder = "LIST",
	     .help = "of weighted-interleave: places in a row of each of --nodes, as 3,1",
	     .text = &asked.weights},
	    {.name = "home-node",
	     .placeholder = "NODE",
	     .help = "of bind and preferred-many: the node that is nearest to this one comes first",
	     .text = &asked.home},
	    {.name = "static",
	     .help = "the nodes stay these, whatever becomes of the cpuset or migrates",
	     .flag = &asked.is_static},
	    {.name = "relative",
	     .help = "the nodes count those that the cpuset allows",
	     .flag = &asked.relative},
	    {.name = "move",
	     .help = "move what is there to where the policy has it, too",
	     .flag = &asked.move},
	    {.name = "move-all",
	     .help = "the same, pages that other processes map included (CAP_SYS_NICE)",
	     .flag = &asked.move_all},
	    {.name = "strict",
	     .help = "fail when a page does not follow the policy: EIO",
	     .flag = &asked.strict},
	    {.name = "fixed",
	     .help = "nothing there may move from now on: EPERM; in the place of --policy",
	     .flag = &asked.fixed},
	    {.name = "movable", .help = "it may move again", .flag = &asked.movable},
	    {.name = "mode",
	     .placeholder = "MODE",
	     .help = "of --move, as in gmig migrate",
	     .text = &asked.mode,
	     .choices = gmig_mode_names},
	    {.name = "rate",
	     .placeholder = "SIZE",
	     .help = "move at most so many bytes a second: 500M; default: no limit",
	     .text = &asked.rate},
	    {CLI_MAX_SLOWDOWN, .text = &asked.pace.max_slowdown},
	    {CLI_ORDER, .text = &asked.pace.order},
	    {CLI_ORDER_SEED, .text = &asked.pace.order_seed},
	    {.name = "threads",
	     .placeholder = "N",
	     .help = "move with N threads; default 1",
	     .text = &asked.threads},
	    {.name = "detach", .help = "print the job's id and do not wait", .flag = &asked.detach},
	    {0},
	};
	struct cli_args args = {CLI_VM, .options = options,
				.json_help = "print the result as one line of JSON"};
	json_t *arguments;
	bool fixed;
	int status;

	memset(&asked, 0, sizeof(asked));
	status = cli_parse(argc, argv, &args);
	if (status >= 0)
		return status;
	arguments = json_object();
	fixed = asked.fixed || asked.movable;
	status = fixed ? build_fixed(arguments) : build(arguments);
	if (status < 0 && cli_is_process(args.words[0]))
		status = refuse_process(&args);
	if (status < 0)
		return (fixed ? fix_memory : bind_memory)(&args, arguments);
	json_decref(arguments);
	return status;
}
