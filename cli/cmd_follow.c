/*
 * gmig follow: keep a guest's memory with its vCPUs, wherever somebody pins these or a cpuset drives them. A look a second; what it
 * sees for a while, and only that, is followed. It ends with the guest, or by Ctrl-C.
 */
#include "../control/text.h"
#include "../migrate/gmig.h"
#include "cli.h"
#include "commands.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SETTLE_LOOKS 3	  /* by default */
#define REST_LOOKS   60	  /* after a move that brought memory to no better place, or was refused */
#define MAX_SETTLE   3600 /* seconds */

/* What has been seen of one vnode. */
struct vnode {
	struct gmig_node_set cpus; /* nodes on which its vCPUs may run; empty: not known */
	unsigned int seen;	   /* so many looks in succession */
	unsigned int rest;	   /* so many more looks nothing is tried, unless the vCPUs move */
};

struct follow {
	const char *vm;
	uint64_t settle, rate;
	bool json;
	struct vnode vnodes[GMIG_MAX_VNODES];
};

/* ---- A look ---------------------------------------------------------------------------------- */

/* Where the vnode's vCPUs may run. Empty: it has none, or of one it is not known. */
static struct gmig_node_set nodes_of_vcpus(const json_t *vcpus, uint64_t vnode)
{
	struct gmig_node_set all = {{0}};
	json_t *vcpu;
	size_t i;

	json_array_foreach (vcpus, i, vcpu) {
		struct gmig_node_set nodes = {{0}};

		if (!json_object_get(vcpu, "vnode") || cli_number(vcpu, "vnode") != vnode)
			continue;
		if (gmig_node_set_parse(cli_text(vcpu, "nodes"), &nodes, NULL) ||
		    gmig_node_set_empty(&nodes))
			return (struct gmig_node_set){{0}};
		gmig_node_set_or(&all, &nodes);
	}
	return all;
}

/* Nodes on which the vnode has memory, and where none of its vCPUs may run; *bytes: how much that is. */
static struct gmig_node_set nodes_away(const json_t *vnode, const struct gmig_node_set *cpus,
				       uint64_t *bytes)
{
	struct gmig_node_set away = {{0}};
	const char *key;
	json_t *value;

	*bytes = 0;
	json_object_foreach (json_object_get(vnode, "resident"), key, value) {
		unsigned int node = (unsigned int)strtoul(key, NULL, 10);

		if (json_integer_value(value) <= 0 || gmig_node_set_has(cpus, node))
			continue;
		gmig_node_set_add(&away, node);
		*bytes += (uint64_t)json_integer_value(value);
	}
	return away;
}

/* Somebody moves this guest's memory: it is not known where it will lie. */
static bool has_job(const json_t *guest)
{
	json_t *job;
	size_t i;

	json_array_foreach (json_object_get(guest, "jobs"), i, job)
		if (!cli_job_ended(job))
			return true;
	return false;
}

/* Have the vCPUs been there long enough, and may it be tried? */
static bool has_settled(const struct follow *follow, struct vnode *vnode,
			const struct gmig_node_set *cpus)
{
	if (memcmp(&vnode->cpus, cpus, sizeof(*cpus)) != 0) {
		*vnode = (struct vnode){.cpus = *cpus};
		return false;
	}
	if (vnode->rest) {
		vnode->rest--;
		return false;
	}
	return ++vnode->seen >= follow->settle;
}

/* ---- A move ---------------------------------------------------------------------------------- */

static json_t *list_of(const struct gmig_node_set *nodes)
{
	json_t *list = json_array();

	gmig_node_set_each (node, nodes)
		json_array_append_new(list, json_integer((json_int_t)node));
	return list;
}

static void say(const struct follow *follow, uint64_t id, const struct gmig_node_set *cpus,
		uint64_t bytes)
{
	char text[64], size[UNITS_TEXT];

	if (follow->json)
		return;
	printf("vnode %llu: its vCPUs run on node %s, %s of its memory does not lie there\n",
	       (unsigned long long)id, gmig_node_set_print(cpus, text, sizeof(text)),
	       units_size(bytes, size));
	fflush(stdout);
}

static int move(const struct follow *follow, struct control_client *client, uint64_t id,
		json_t *arguments, struct gmig_error *err)
{
	CLI_JSON job = NULL;
	int rc = cli_run_job(client, arguments, &job, err);

	control_client_set_limit(client, cli_limits.answer_ms);
	if (job && !rc && follow->json) {
		CLI_JSON result = cli_job_result(job);

		json_object_set_new(result, "vnode", json_integer((json_int_t)id));
		cli_print_json(result);
	} else if (job && !rc) {
		cli_job_summary(stdout, job);
	}
	fflush(stdout);
	return rc;
}

/* 1: a move was tried. -EPIPE: the guest is gone. What a move fails with otherwise is said, and it is tried again after a rest. */
static int follow_vnode(struct follow *follow, struct control_client *client, const json_t *guest,
			const json_t *listed, struct gmig_error *err)
{
	uint64_t id = cli_number(listed, "id"), bytes;
	struct vnode *vnode = &follow->vnodes[id < GMIG_MAX_VNODES ? id : 0];
	struct gmig_node_set here =
	    nodes_of_vcpus(json_object_get(json_object_get(guest, "cpus"), "vcpus"), id);
	struct gmig_node_set away = nodes_away(listed, &here, &bytes);
	json_t *arguments;
	int rc;

	if (id >= GMIG_MAX_VNODES || !has_settled(follow, vnode, &here) ||
	    gmig_node_set_empty(&here) || gmig_node_set_empty(&away) || has_job(guest))
		return 0;
	vnode->rest = REST_LOOKS;
	say(follow, id, &here, bytes);
	/* The vCPUs are where they are to be. */
	arguments = json_pack("{s:o, s:o, s:I, s:s}", "from", list_of(&away), "to", list_of(&here),
			      "vnode", (json_int_t)id, "vcpus", "keep");
	if (follow->rate)
		json_object_set_new(arguments, "rate", json_integer((json_int_t)follow->rate));
	rc = move(follow, client, id, arguments, err);
	if (rc && rc != -EPIPE && rc != -ETIMEDOUT) {
		cli_complain("vnode %llu stays: %s; tried again in %d s", (unsigned long long)id,
			     err->text, REST_LOOKS);
		rc = 0;
	}
	return rc ? rc : 1;
}

/* ---- All ------------------------------------------------------------------------------------- */

static int look(struct follow *follow, struct control_client *client, struct gmig_error *err)
{
	CLI_JSON guest = NULL;
	json_t *vnode, *vcpu;
	size_t i;
	int rc = control_call(client, "query-residency", NULL, &guest, err);

	if (rc)
		return rc;
	vcpu = json_array_get(json_object_get(json_object_get(guest, "cpus"), "vcpus"), 0);
	if (!vcpu || !json_object_get(vcpu, "vnode") || !json_object_get(vcpu, "nodes"))
		return gmig_fail(
		    err, -EOPNOTSUPP,
		    "it does not say where the vCPUs of each vnode run; for a domain of "
		    "libvirt see gmigd.conf(5), policy follow-vcpus");
	json_array_foreach (json_object_get(guest, "vnodes"), i, vnode) {
		rc = follow_vnode(follow, client, guest, vnode, err);
		/* A move takes its time: what was seen before it says nothing of the others now. */
		if (rc || cli_was_interrupted())
			return rc < 0 ? rc : 0;
	}
	return 0;
}

static int run(struct follow *follow)
{
	const struct timespec pause = {.tv_sec = cli_limits.follow_ms / 1000,
				       .tv_nsec = cli_limits.follow_ms % 1000 * 1000000L};
	struct gmig_error err = {0};
	CLI_CLIENT client = NULL;
	int rc = cli_connect(follow->vm, &client, &err);

	while (!rc && !cli_was_interrupted()) {
		rc = look(follow, client, &err);
		if (!rc)
			nanosleep(&pause, NULL);
	}
	if (!rc)
		return CLI_FAILED; /* Ctrl-C in a move, which is cancelled */
	if (client && rc == -EPIPE) {
		cli_complain("%s: %s", follow->vm, err.text);
		return CLI_OK;
	}
	return cli_fail(follow->json, &err);
}

int cmd_follow(int argc, char **argv)
{
	struct follow follow = {.settle = SETTLE_LOOKS};
	const char *settle = NULL, *rate = NULL;
	const struct cli_option options[] = {
	    {.name = "rate",
	     .placeholder = "SIZE",
	     .help = "move at most so many bytes a second; default: no limit",
	     .text = &rate},
	    {.name = "settle",
	     .placeholder = "SECONDS",
	     .help = "vCPUs must have been there for so long; default 3",
	     .text = &settle},
	    {0},
	};
	struct cli_args args = {CLI_VM, .options = options,
				.json_help = "print the result of each move as one line of JSON"};
	struct gmig_error err = {0};
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	if (settle && units_parse_count(settle, MAX_SETTLE, &follow.settle, &err))
		return cli_usage("follow", "--settle: %s", err.text);
	if (rate && units_parse_size(rate, &follow.rate, &err))
		return cli_usage("follow", "--rate: %s", err.text);
	if (follow.rate > INT64_MAX)
		return cli_usage("follow", "--rate: '%s' is too big", rate);
	follow.vm = args.words[0];
	follow.json = args.json;
	return run(&follow);
}
