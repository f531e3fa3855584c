/* gmig agent: asks the agent in a guest. One table of verbs; each makes arguments of its options.
 */
#include "../control/size.h"
#include "../control/text.h"
#include "../migrate/gmig.h"
#include "agent.h"
#include "commands.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_STALL_SECONDS "10"

/* All that can be given; a verb takes what it knows. */
struct options {
	const char *socket, *pid, *cgroup, *from, *to, *rate, *method, *addresses, *range, *nodes;
	const char *cpus, *mems, *seconds, *bytes, *vnode, *threshold, *count, *max_cpu, *word;
	const char *heat, *least, *max_bytes, *max_growth;
	bool all, private, shared, mappings, detach, json;
};

struct verb {
	const char *name, *command;
	/* Fill arguments: -1, or the exit status of a usage error. NULL: it has none. */
	int (*build)(const struct options *options, json_t *arguments);
	void (*print)(const json_t *result);
	bool is_job;
	bool takes_word; /* a job's id behind the verb */
	/* Once the job has completed; vm NULL: it is known by its socket alone. NULL: nothing. */
	int (*finish)(struct cli_agent *agent, const char *vm, json_t *job, struct gmig_error *err);
};

/* ---- Arguments: each returns -1 or the exit status ------------------------------------------- */

static int add_number(json_t *arguments, const char *key, const char *option, const char *text)
{
	return cli_add_count(arguments, &(struct cli_value){"agent", option, key, text}, INT64_MAX);
}

static int add_size(json_t *arguments, const char *option, const char *text)
{
	return cli_add_size(arguments, &(struct cli_value){"agent", option, NULL, text});
}

/* A time; what it is in `unit_ns`, which is also what a plain number means. */
static int add_time(json_t *arguments, const char *key, const char *option, const char *text,
		    uint64_t unit_ns)
{
	uint64_t ns = 0;
	int rc = text ? control_time_parse(text, unit_ns, INT64_MAX, &ns) : 0;

	if (rc == -ERANGE)
		return cli_usage("agent", "--%s: the time '%.40s' is too long", option, text);
	if (rc || ns % unit_ns)
		return cli_usage("agent", "--%s: '%.40s' is no time in whole %s, as in %s", option,
				 text, unit_ns > 1 ? "seconds" : "nanoseconds",
				 unit_ns > 1 ? "10s" : "20us");
	if (text)
		json_object_set_new(arguments, key, json_integer((json_int_t)(ns / unit_ns)));
	return -1;
}

/* --pid, --cgroup or --all; which goes with which is the agent's to say. */
static int add_target(const struct options *options, json_t *arguments)
{
	if (!options->pid && !options->cgroup && !options->all)
		return cli_usage("agent", "say whose memory: --pid N, --cgroup PATH or --all");
	cli_add_text(arguments, "cgroup", options->cgroup);
	cli_add_flag(arguments, "all", options->all);
	return add_number(arguments, "pid", "pid", options->pid);
}

static int need_pid(const struct options *options, json_t *arguments)
{
	if (!options->pid)
		return cli_usage("agent", "--pid is missing");
	return add_number(arguments, "pid", "pid", options->pid);
}

static int build_maps(const struct options *options, json_t *arguments)
{
	cli_add_flag(arguments, "mappings", options->mappings);
	return need_pid(options, arguments);
}

static int build_processes(const struct options *options, json_t *arguments)
{
	return add_number(arguments, "count", "count", options->count);
}

static int build_migrate(const struct options *options, json_t *arguments)
{
	int status = add_target(options, arguments);

	if (status >= 0)
		return status;
	if (!options->from || !options->to)
		return cli_usage("agent", "--%s-vnode is missing", options->from ? "to" : "from");
	cli_add_text(arguments, "from", options->from);
	cli_add_text(arguments, "to", options->to);
	cli_add_text(arguments, "method", options->method);
	if (options->private)
		json_object_set_new(arguments, "shared", json_false());
	return add_size(arguments, "rate", options->rate);
}

/* A,B as an array of `parse`d words. */
static json_t *split(const char *text, json_t *(*parse)(const char *word))
{
	json_t *list = json_array();
	char *copy = strdup(text), *save = NULL;

	for (char *word = copy ? strtok_r(copy, ",", &save) : NULL; word;
	     word = strtok_r(NULL, ",", &save))
		json_array_append_new(list, parse(word));
	free(copy);
	return list;
}

static json_t *plain_text(const char *word)
{
	return json_string(word);
}

static json_t *node_number(const char *word)
{
	char *end;
	long node = strtol(word, &end, 10);

	/* What is no number stays a string, and the agent says so. */
	return end == word || *end ? json_string(word) : json_integer(node);
}

/* START+SIZE */
static json_t *one_range(const char *word)
{
	const char *plus = strchr(word, '+');
	uint64_t bytes = 0;
	char start[40];

	if (plus && units_parse_size(plus + 1, &bytes, NULL))
		bytes = 0;
	snprintf(start, sizeof(start), "%.*s", plus ? (int)(plus - word) : 39, word);
	return json_pack("{s:s, s:I}", "start", start, "bytes", (json_int_t)bytes);
}

static int build_move(const struct options *options, json_t *arguments)
{
	json_t *nodes = options->nodes ? split(options->nodes, node_number) : NULL;

	if (!options->addresses == !options->range) {
		json_decref(nodes);
		return cli_usage("agent", "give one of --addresses A,B and --range START+SIZE,..");
	}
	if (options->addresses)
		json_object_set_new(arguments, "addresses", split(options->addresses, plain_text));
	else
		json_object_set_new(arguments, "ranges", split(options->range, one_range));
	if (json_array_size(nodes) == 1)
		json_object_set(arguments, "nodes", json_array_get(nodes, 0));
	else if (nodes)
		json_object_set(arguments, "nodes", nodes);
	json_decref(nodes);
	cli_add_flag(arguments, "shared", options->shared);
	return need_pid(options, arguments);
}

static int build_affinity(const struct options *options, json_t *arguments)
{
	cli_add_text(arguments, "cgroup", options->cgroup);
	cli_add_text(arguments, "cpus", options->cpus);
	cli_add_text(arguments, "mems", options->mems);
	return add_number(arguments, "pid", "pid", options->pid);
}

static int build_collapse(const struct options *options, json_t *arguments)
{
	int status = need_pid(options, arguments);

	if (status < 0 && options->range)
		json_object_set_new(arguments, "ranges", split(options->range, one_range));
	return status < 0 ? add_size(arguments, "rate", options->rate) : status;
}

static int build_stall(const struct options *options, json_t *arguments)
{
	int status =
	    add_time(arguments, "seconds", "seconds",
		     options->seconds ? options->seconds : DEFAULT_STALL_SECONDS, UNITS_SECOND_NS);

	if (status < 0)
		status = add_size(arguments, "bytes", options->bytes);
	if (status < 0)
		status = add_number(arguments, "node", "vnode", options->vnode);
	if (status < 0)
		status = add_time(arguments, "threshold_ns", "threshold-ns", options->threshold, 1);
	return status;
}

/* A share, as 5%, in millionths. */
static int add_share(json_t *arguments, const char *key, const char *option, const char *text)
{
	struct gmig_error err = {0};
	uint32_t ppm = 0;

	if (!text)
		return -1;
	if (units_parse_share(text, &ppm, &err))
		return cli_usage("agent", "--%s: %s", option, err.text);
	json_object_set_new(arguments, key, json_integer(ppm));
	return -1;
}

static int build_hot(const struct options *options, json_t *arguments)
{
	int status = add_time(arguments, "seconds", "seconds", options->seconds, UNITS_SECOND_NS);

	return status < 0 ? add_share(arguments, "max_cpu_ppm", "max-cpu", options->max_cpu)
			  : status;
}

static int build_compact(const struct options *options, json_t *arguments)
{
	int status = build_collapse(options, arguments);

	cli_add_text(arguments, "heat", options->heat);
	if (status < 0)
		status = add_number(arguments, "least", "least", options->least);
	if (status < 0)
		status =
		    cli_add_size(arguments, &(struct cli_value){"agent", "max-bytes", "max_bytes",
								options->max_bytes});
	if (status < 0)
		status = add_share(arguments, "max_growth_ppm", "max-growth", options->max_growth);
	return status < 0 ? build_hot(options, arguments) : status;
}

static int build_job(const struct options *options, json_t *arguments)
{
	cli_add_text(arguments, "id", options->word);
	return -1;
}

static int build_set_rate(const struct options *options, json_t *arguments)
{
	if (!options->rate)
		return cli_usage("agent", "--rate is missing: bytes a second, 0 for no limit");
	cli_add_text(arguments, "id", options->word);
	return add_size(arguments, "rate", options->rate);
}

static void print_alive(const json_t *result)
{
	(void)result;
	puts("the agent answers");
}

static void print_affinity(const json_t *result)
{
	if (json_object_get(result, "cpus"))
		printf("process %llu may run on CPUs %s\n",
		       (unsigned long long)cli_number(result, "pid"), cli_text(result, "cpus"));
	else
		puts("the cgroup is set");
}

static const struct verb verbs[] = {
    {"ping", "guest-ping", NULL, print_alive, false, false, NULL},
    {"info", "guest-info", NULL, cli_agent_print_info, false, false, NULL},
    {"topology", "numa-topology", NULL, cli_agent_print_topology, false, false, NULL},
    {"ps", "processes", build_processes, cli_agent_print_processes, false, false, NULL},
    {"maps", "numa-maps", build_maps, cli_agent_print_maps, false, false, NULL},
    {"migrate", "migrate-pages", build_migrate, cli_agent_print_job, true, false, NULL},
    {"move", "move-pages", build_move, cli_agent_print_moves, false, false, NULL},
    {"affinity", "set-affinity", build_affinity, print_affinity, false, false, NULL},
    {"collapse", "collapse", build_collapse, cli_agent_print_job, true, false, NULL},
    {"stall-probe", "stall-probe", build_stall, cli_agent_print_job, true, false, NULL},
    {"hot-pages", "hot-pages", build_hot, cli_agent_print_job, true, false, cli_agent_take_heat},
    {"compact-hot", "compact-hot", build_compact, cli_agent_print_job, true, false, NULL},
    {"jobs", "query-jobs", NULL, cli_agent_print_jobs, false, false, NULL},
    {"job", "job-status", build_job, cli_agent_print_job, false, true, NULL},
    {"cancel", "job-cancel", build_job, cli_agent_print_job, false, true, NULL},
    {"set-rate", "job-set-rate", build_set_rate, cli_agent_print_job, false, true, NULL},
    {0},
};

/* ---- Running --------------------------------------------------------------------------------- */

/* The agent was asked to start a job, or has one under way: result, NULL if it never answered. */
static int report_silent(const struct options *options, const char *vm, const json_t *result,
			 const struct gmig_error *err)
{
	struct gmig_error longer;

	gmig_error_set(&longer, err->code,
		       "%s%.20s%s%.180s; the job may go on: gmig agent %.60s jobs",
		       result ? "job " : "", result ? cli_text(result, "id") : "",
		       result ? ": " : "", err->text, vm ? vm : "--socket ..");
	return cli_fail(options->json, &longer);
}

static int run_verb(struct cli_agent *agent, const struct verb *verb, const struct options *options,
		    const char *vm, json_t *arguments)
{
	bool watched = verb->is_job && !options->detach;
	struct gmig_error err = {0};
	CLI_JSON result = NULL;
	CLI_JSON safe = NULL;
	int rc;

	if (watched)
		rc = cli_agent_run_job(agent, verb->command, arguments, &result, &err);
	else
		rc = cli_agent_call(agent, verb->command, arguments, &result, &err);
	if (rc == -ETIMEDOUT && verb->is_job)
		return report_silent(options, vm, result, &err);
	if (!rc && watched && verb->finish && !strcmp(cli_text(result, "state"), "completed"))
		rc = verb->finish(agent, vm, result, &err);
	if (rc)
		return cli_fail(options->json, &err);
	safe = control_json_safe(result);
	if (options->json)
		cli_print_json(result);
	else if (verb->is_job && options->detach)
		printf("%s\n", cli_text(safe, "id"));
	else
		verb->print(safe);
	return watched ? cli_agent_job_exit(result) : CLI_OK;
}

static int run(const char *vm, const struct verb *verb, const struct options *options)
{
	json_t *arguments = json_object();
	struct gmig_error err = {0};
	CLI_AGENT agent = NULL;
	int status = verb->build ? verb->build(options, arguments) : -1;
	int rc;

	if (status >= 0) {
		json_decref(arguments);
		return status;
	}
	if (options->socket)
		rc = cli_agent_connect(options->socket, &agent, &err);
	else
		rc = cli_agent_connect_vm(vm, &agent, &err);
	if (rc) {
		json_decref(arguments);
		return cli_fail(options->json, &err);
	}
	return run_verb(agent, verb, options, options->socket ? NULL : vm, arguments);
}

/* All verbs; the table ends with a NULL name, as this list does. */
static const char *const *verb_names(void)
{
	static const char *names[sizeof(verbs) / sizeof(verbs[0])];

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		names[i] = verbs[i].name;
	return names;
}

static const struct verb *find_verb(const char *name)
{
	for (const struct verb *verb = verbs; verb->name; verb++)
		if (!strcmp(verb->name, name))
			return verb;
	return NULL;
}

/* [VM] VERB [JOB]: with --socket the VM may be left out. */
static int dispatch(const struct cli_args *args, struct options *options)
{
	int at = options->socket && find_verb(args->words[0]) ? 0 : 1;
	const struct verb *verb = at < args->word_count ? find_verb(args->words[at]) : NULL;
	int behind = args->word_count - at - 1;
	struct gmig_error err = {0};

	if (at >= args->word_count)
		return cli_usage("agent", "say which guest, and what: gmig agent VM ping");
	if (!verb) {
		gmig_name_index("VERB", verb_names(), args->words[at], &err);
		return cli_usage("agent", "%s", err.text);
	}
	if (behind != verb->takes_word)
		return cli_usage("agent",
				 verb->takes_word ? "'%s' takes a job's id"
						  : "'%s' takes no word behind it",
				 verb->name);
	options->word = verb->takes_word ? args->words[at + 1] : NULL;
	return run(args->words[0], verb, options);
}

#define FLAG(option, text_of_help, variable)                                                       \
	.name = (option), .help = (text_of_help), .flag = (variable)
#define VALUE(option, value, text_of_help, variable)                                               \
	.name = (option), .placeholder = (value), .help = (text_of_help), .text = (variable)

int cmd_agent(int argc, char **argv)
{
	struct options o = {0};
	const struct cli_option options[] = {
	    {VALUE("socket", "PATH",
		   "the host's end of the agent's port, for guests of QEMU and libvirt",
		   &o.socket)},
	    {VALUE("pid", "N", "a process of the guest", &o.pid)},
	    {VALUE("cgroup", "PATH", "a cgroup of the guest, with those below it", &o.cgroup)},
	    {FLAG("all", "all processes that the guest's allow-list has", &o.all)},
	    {VALUE("from-vnode", "LIST", "migrate: vnodes to take memory from", &o.from)},
	    {VALUE("to-vnode", "LIST", "migrate: vnodes to bring it to", &o.to)},
	    {VALUE("rate", "SIZE", "at most so many bytes a second", &o.rate)},
	    {VALUE("method", "NAME", "migrate: move_pages (default) or migrate_pages", &o.method)},
	    {FLAG("private", "migrate: leave pages alone that others map, too", &o.private)},
	    {VALUE("addresses", "LIST", "move: addresses of pages, 0x7f..,0x7f..", &o.addresses)},
	    {VALUE("range", "LIST", "move, collapse, compact-hot: START+SIZE,..", &o.range)},
	    {VALUE("nodes", "LIST", "move: where to, one for all or one each; without: only ask",
		   &o.nodes)},
	    {FLAG("shared", "move: also pages that others map", &o.shared)},
	    {VALUE("cpus", "LIST", "affinity: CPUs of the guest", &o.cpus)},
	    {VALUE("mems", "LIST", "affinity: vnodes, for a cgroup", &o.mems)},
	    {VALUE("seconds", "TIME",
		   "how long: stall-probe (" DEFAULT_STALL_SECONDS "), hot-pages, compact-hot (4)",
		   &o.seconds)},
	    {VALUE("max-cpu", "SHARE",
		   "hot-pages, compact-hot: of one of the guest's CPUs, at most (5%)", &o.max_cpu)},
	    {VALUE("heat", "BY", "compact-hot: damon (default), or present: all pages are hot",
		   &o.heat)},
	    {VALUE("least", "N", "compact-hot: blocks with so many hot small pages (64)",
		   &o.least)},
	    {VALUE("max-bytes", "SIZE", "compact-hot: so much becomes huge, at most (64M)",
		   &o.max_bytes)},
	    {VALUE("max-growth", "SHARE",
		   "compact-hot: the process's memory grows by so much, at most (10%)",
		   &o.max_growth)},
	    {VALUE("bytes", "SIZE", "stall-probe: memory to write to (16M)", &o.bytes)},
	    {VALUE("vnode", "V", "stall-probe: where", &o.vnode)},
	    {VALUE("threshold-ns", "TIME", "stall-probe: what is longer is a gap (20us)",
		   &o.threshold)},
	    {VALUE("count", "N", "ps: so many (20)", &o.count)},
	    {FLAG("mappings", "maps: each mapping", &o.mappings)},
	    {FLAG("detach", "print the job's id and do not wait", &o.detach)},
	    {0},
	};
	struct cli_args args = {.options = options,
				.json_help = "print the answer as one line of JSON",
				.kinds = {CLI_WORD_VM, CLI_WORD_VERB, CLI_WORD_TEXT},
				.verbs = verb_names,
				.min_words = 1,
				.max_words = 3};
	int status = cli_parse(argc, argv, &args);

	o.json = args.json;
	return status >= 0 ? status : dispatch(&args, &o);
}
