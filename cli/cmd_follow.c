/*
 * gmig follow: keep a guest's memory with its vCPUs, wherever somebody pins these or a cpuset drives them, and on nodes on which
 * the VMM's cpuset allows memory. A look a second; what it sees for a while, and only that, is followed. It ends with the guest,
 * or by Ctrl-C.
 *
 * The VMM says what its cpuset allows, of itself: its pid, asked about in /proc, might be somebody else's by then, or be a
 * number of another PID namespace.
 */
#include "../control/text.h"
#include "../migrate/gmig.h"
#include "cli.h"
#include "commands.h"
#include "follow_goal.h"
#include "units.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define SETTLE_LOOKS 3	  /* by default */
#define REST_LOOKS   60	  /* after a move that brought memory to no better place, or was refused */
#define MAX_SETTLE   3600 /* seconds */

/* What has been seen of one vnode. */
struct vnode {
	struct gmig_node_set cpus; /* nodes on which its vCPUs may run; empty: not known */
	unsigned int seen;	   /* so many looks in succession */
	bool told;		   /* that no node is good for both */
	unsigned int
	    rest; /* so many more looks nothing is tried, unless vCPUs move or the cpuset changes */
};

struct follow {
	const char *vm;
	uint64_t settle, rate;
	bool json;
	struct vnode vnodes[GMIG_MAX_VNODES];
	struct gmig_node_set allowed; /* nodes on which the VMM may have memory; empty: not known */
	uint64_t looks;		      /* in succession at which it was so */
	bool
	    ask_kernel; /* since the cpuset has changed: the kernel may have moved memory on its own */
};

/* ---- A look ---------------------------------------------------------------------------------- */

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

/* The VMM's cpuset may be another one: all that was seen counts from now on anew. */
static void note_allowed(struct follow *follow, const json_t *numa)
{
	struct gmig_node_set now = follow_allowed(numa), before = follow->allowed;
	char now_text[64], before_text[64];

	if (!memcmp(&now, &before, sizeof(now))) {
		follow->looks++;
		return;
	}
	follow->allowed = now;
	follow->looks = 0;
	/* The first look is no change. */
	if (gmig_node_set_empty(&before) || gmig_node_set_empty(&now))
		return;
	follow->ask_kernel = true;
	memset(follow->vnodes, 0, sizeof(follow->vnodes));
	if (follow->json)
		return;
	printf("its cpuset allows memory on nodes %s now, before on %s\n",
	       gmig_node_set_print(&now, now_text, sizeof(now_text)),
	       gmig_node_set_print(&before, before_text, sizeof(before_text)));
	fflush(stdout);
}

/*
 * The kernel moves memory itself when a cpuset changes (cgroup v2 always, v1 with memory_migrate), which the guest's books do
 * not have: once the new one has settled, the kernel is asked about all of it.
 */
static int ask_guest(struct follow *follow, struct control_client *client, json_t **guest,
		     struct gmig_error *err)
{
	bool fresh = follow->ask_kernel && follow->looks >= follow->settle;
	int rc;

	if (fresh)
		control_client_set_limit(client, cli_limits.long_ms);
	rc = control_call(client, "query-residency", fresh ? json_pack("{s:b}", "fresh", 1) : NULL,
			  guest, err);
	if (fresh)
		control_client_set_limit(client, cli_limits.answer_ms);
	if (!rc && fresh)
		follow->ask_kernel = false;
	return rc;
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

static void say(const struct follow *follow, uint64_t id, const struct follow_goal *goal)
{
	char from[64], to[64], allowed[64], size[UNITS_TEXT];

	if (follow->json)
		return;
	gmig_node_set_print(&goal->to, to, sizeof(to));
	units_size(goal->bytes, size);
	if (goal->by_cpuset)
		printf("vnode %llu: its cpuset allows memory on nodes %s, %s lies on nodes %s: it "
		       "goes to node %s, %s\n",
		       (unsigned long long)id,
		       gmig_node_set_print(&follow->allowed, allowed, sizeof(allowed)), size,
		       gmig_node_set_print(&goal->from, from, sizeof(from)), to,
		       goal->at_cpus ? "where its vCPUs may run" : "the nearest one");
	else
		printf(
		    "vnode %llu: its vCPUs run on node %s, %s of its memory does not lie there\n",
		    (unsigned long long)id, to, size);
	fflush(stdout);
}

static json_t *arguments_of(const struct follow *follow, uint64_t id,
			    const struct follow_goal *goal)
{
	/* The vCPUs are where they are to be. */
	json_t *arguments = json_pack("{s:o, s:o, s:I, s:s}", "from", list_of(&goal->from), "to",
				      list_of(&goal->to), "vnode", (json_int_t)id, "vcpus", "keep");

	if (follow->rate)
		json_object_set_new(arguments, "rate", json_integer((json_int_t)follow->rate));
	return arguments;
}

static int move(const struct follow *follow, struct control_client *client, uint64_t id,
		const struct follow_goal *goal, struct gmig_error *err)
{
	CLI_JSON job = NULL;
	int rc = cli_run_job(client, arguments_of(follow, id, goal), &job, err);

	control_client_set_limit(client, cli_limits.answer_ms);
	if (job && !rc && follow->json) {
		CLI_JSON result = cli_job_result(job);

		json_object_set_new(result, "vnode", json_integer((json_int_t)id));
		json_object_set_new(result, "reason",
				    json_string(goal->by_cpuset ? "cpuset" : "vcpus"));
		cli_print_json(result);
	} else if (job && !rc) {
		cli_job_summary(stdout, job);
	}
	fflush(stdout);
	return rc;
}

/* Once for each place that the vCPUs have: their memory cannot be kept with them. */
static void say_apart(struct vnode *vnode, uint64_t id, const struct follow_sight *sight)
{
	char cpus[64], allowed[64];

	if (vnode->told || gmig_node_set_empty(&sight->cpus) ||
	    gmig_node_set_empty(&sight->allowed))
		return;
	vnode->told = true;
	cli_complain(
	    "vnode %llu: its vCPUs run on nodes %s, and its cpuset allows memory on nodes %s: "
	    "what lies there stays",
	    (unsigned long long)id, gmig_node_set_print(&sight->cpus, cpus, sizeof(cpus)),
	    gmig_node_set_print(&sight->allowed, allowed, sizeof(allowed)));
}

/* 1: a move was tried. -EPIPE: the guest is gone. What a move fails with otherwise is said, and it is tried again after a rest. */
static int follow_vnode(struct follow *follow, struct control_client *client, const json_t *guest,
			struct follow_sight *sight, struct gmig_error *err)
{
	uint64_t id = cli_number(sight->vnode, "id");
	struct vnode *vnode = &follow->vnodes[id < GMIG_MAX_VNODES ? id : 0];
	struct follow_goal goal;
	int rc;

	sight->cpus = follow_cpus(json_object_get(json_object_get(guest, "cpus"), "vcpus"), id);
	follow_find_goal(sight, &goal);
	if (id >= GMIG_MAX_VNODES || !has_settled(follow, vnode, &sight->cpus))
		return 0;
	if (!goal.at_cpus)
		say_apart(vnode, id, sight);
	if (gmig_node_set_empty(&goal.from) || follow->ask_kernel || has_job(guest))
		return 0;
	vnode->rest = REST_LOOKS;
	say(follow, id, &goal);
	rc = move(follow, client, id, &goal, err);
	if (rc && rc != -EPIPE && rc != -ETIMEDOUT) {
		cli_complain("vnode %llu stays: %s; tried again in %d s", (unsigned long long)id,
			     err->text, REST_LOOKS);
		rc = 0;
	}
	return rc ? rc : 1;
}

/* ---- All ------------------------------------------------------------------------------------- */

/* Does the guest say which vCPUs run beside which memory? */
static int check_guest(const struct follow *follow, const json_t *guest, struct gmig_error *err)
{
	const json_t *vcpu =
	    json_array_get(json_object_get(json_object_get(guest, "cpus"), "vcpus"), 0);

	if (vcpu && json_object_get(vcpu, "vnode") && json_object_get(vcpu, "nodes"))
		return 0;
	if (json_object_get(guest, "uri"))
		return gmig_fail(err, -EOPNOTSUPP,
				 "'%.64s' is a domain of libvirt: gmigd keeps its memory with its "
				 "vCPUs when its placement is follow-vcpus, see gmigd.conf(5)",
				 follow->vm);
	return gmig_fail(err, -EOPNOTSUPP, "it does not say where the vCPUs of each vnode run");
}

static int look(struct follow *follow, struct control_client *client, struct gmig_error *err)
{
	struct follow_sight sight = {0};
	CLI_JSON guest = NULL;
	CLI_JSON numa = NULL;
	json_t *vnode;
	size_t i;
	int rc = control_call(client, "query-numa", NULL, &numa, err);

	if (rc)
		return rc;
	note_allowed(follow, numa);
	rc = ask_guest(follow, client, &guest, err);
	if (!rc)
		rc = check_guest(follow, guest, err);
	if (rc)
		return rc;
	json_array_foreach (json_object_get(guest, "vnodes"), i, vnode) {
		sight =
		    (struct follow_sight){.numa = numa, .vnode = vnode, .allowed = follow->allowed};
		rc = follow_vnode(follow, client, guest, &sight, err);
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
	     .placeholder = "TIME",
	     .help = "vCPUs must have been there for so long; default 3s",
	     .text = &settle},
	    {0},
	};
	struct cli_args args = {CLI_VM, .options = options,
				.json_help = "print the result of each move as one line of JSON"};
	struct gmig_error err = {0};
	uint64_t settle_ns = 0;
	int status = cli_parse(argc, argv, &args);

	if (status >= 0)
		return status;
	if (settle && units_parse_seconds(settle, MAX_SETTLE, &settle_ns, &err))
		return cli_usage("follow", "--settle: %s", err.text);
	/* Looks, of which there is one a second: no shorter than what was asked for. */
	if (settle)
		follow.settle = (settle_ns + UNITS_SECOND_NS - 1) / UNITS_SECOND_NS;
	if (rate && units_parse_size(rate, &follow.rate, &err))
		return cli_usage("follow", "--rate: %s", err.text);
	if (follow.rate > INT64_MAX)
		return cli_usage("follow", "--rate: '%s' is too big", rate);
	follow.vm = args.words[0];
	follow.json = args.json;
	return run(&follow);
}
