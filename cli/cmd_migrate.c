/*
 * gmig migrate: start a job in the VMM and watch it to its end. The job is the VMM's: it goes on
 * when we are killed; Ctrl-C cancels it and waits for the end, a second Ctrl-C ends gmig at once.
 * Of a process, pid:N, the job is ours: process.h.
 */
#include "../control/text.h"
#include "../migrate/gmig.h"
#include "agent.h"
#include "commands.h"
#include "migrate_all.h"
#include "pace_options.h"
#include "picture.h"
#include "process.h"
#include "timeline.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct request {
	const char *vm, *retry;
	const char *vnode, *from, *to, *mode, *mover, *rate, *max, *max_stall, *threads, *batch,
	    *frames, *huge, *swapped, *guest, *lazy, *deadline, *trace;
	struct cli_pace pace;
	bool all, detach, json, with_guest, private_only, with_vcpus, no_vcpus, hold_vcpus,
	    move_all;
};

static void destroy_timeline(struct timeline **timeline)
{
	timeline_destroy(*timeline);
}
#define TIMELINE __attribute__((cleanup(destroy_timeline))) struct timeline *

/* The guest's part, with --with-guest: planned before, carried out after the host's. */
struct guest_part {
	struct cli_agent *agent;
	json_t *plan;
	bool all; /* processes have been looked at */
};

/* ---- From the command line to migrate-pages -------------------------------------------------- */

/* Each add_ function returns -1 or the exit status of a usage error. */
static int add_nodes(json_t *arguments, const char *name, const char *text)
{
	if (!text)
		return cli_usage(
		    "migrate", "--%s is missing: the host nodes, as in --from 0,1 --to 2,3", name);
	return cli_add_nodes("migrate", arguments, name, text);
}

/* 0 would be no limit, which nobody means who writes it. */
static int add_max(json_t *arguments, const char *text)
{
	const struct cli_value max = {"migrate", "max", "max-bytes", text};
	int status = cli_add_size(arguments, &max);

	if (status < 0 && text && cli_number(arguments, "max-bytes") < GMIG_PAGE_BYTES)
		return cli_usage("migrate", "--max: '%s' is less than a page of 4K", text);
	return status;
}

static int add_max_stall(json_t *arguments, const char *text)
{
	struct gmig_error err = {0};
	uint64_t ns = 0;

	if (!text)
		return -1;
	if (units_parse_ns(text, &ns, &err))
		return cli_usage("migrate", "--max-stall: %s", err.text);
	if (!ns)
		return cli_usage("migrate", "--max-stall: no wait is that short");
	json_object_set_new(arguments, "max-stall", json_integer((json_int_t)ns));
	return -1;
}

/* Whoever touches a block may be on any node. */
static int add_target(json_t *arguments, const char *text)
{
	if (!text || strcmp(text, "toucher") != 0)
		return add_nodes(arguments, "to", text);
	cli_add_text(arguments, "lazy-to", text);
	return add_nodes(arguments, "to", "all");
}

static int add_deadline(json_t *arguments, const char *text)
{
	struct gmig_error err;
	uint64_t ns;

	if (!text)
		return -1;
	if (units_parse_ns(text, &ns, &err))
		return cli_usage("migrate", "--deadline: %s", err.text);
	if (!ns)
		return cli_usage("migrate",
				 "--deadline: that is now: another mode than lazy does it");
	json_object_set_new(arguments, "deadline", json_integer((json_int_t)ns));
	return -1;
}

static int build_arguments(const struct request *request, json_t *arguments)
{
	const struct cli_value vnode = {"migrate", "vnode", NULL, request->vnode};
	const struct cli_value rate = {"migrate", "rate", NULL, request->rate};
	const struct cli_value threads = {"migrate", "threads", NULL, request->threads};
	const struct cli_value batch = {"migrate", "batch", NULL, request->batch};
	int status = request->retry ? -1 : add_nodes(arguments, "from", request->from);

	cli_add_text(arguments, "mode", request->mode);
	cli_add_text(arguments, "lazy", request->lazy);
	cli_add_text(arguments, "mover", request->mover);
	cli_add_text(arguments, "frames", request->frames);
	cli_add_text(arguments, "huge", request->huge);
	cli_add_text(arguments, "swapped", request->swapped);
	/* Only when asked for: an older VMM refuses arguments that it does not know. */
	if (request->with_vcpus || request->no_vcpus)
		cli_add_text(arguments, "vcpus", request->with_vcpus ? "all" : "keep");
	cli_add_flag(arguments, "hold-vcpus", request->hold_vcpus);
	cli_add_flag(arguments, "move-all", request->move_all);
	cli_add_flag(arguments, "trace", request->trace != NULL);
	cli_add_text(arguments, "id", request->retry);
	if (status < 0 && !request->retry)
		status = add_target(arguments, request->to);
	if (status < 0)
		status = cli_add_count(arguments, &vnode, GMIG_MAX_VNODES - 1);
	if (status < 0)
		status = cli_add_size(arguments, &rate);
	if (status < 0)
		status = add_max(arguments, request->max);
	if (status < 0)
		status = add_max_stall(arguments, request->max_stall);
	if (status < 0)
		status = add_deadline(arguments, request->deadline);
	if (status < 0)
		status = cli_add_pace("migrate", arguments, &request->pace);
	if (status < 0)
		status = cli_add_count(arguments, &threads, GMIG_MAX_WORKERS);
	if (status < 0)
		status = cli_add_count(arguments, &batch, GMIG_BLOCK_PAGES);
	return status;
}

/* ---- Results ---------------------------------------------------------------------------------- */

/* After the host's part, so that what the guest copies lands where it is to stay; the exit status.
 */
static int finish_guest(const struct request *request, struct guest_part *guest)
{
	struct gmig_error err = {0};
	uint64_t rate = 0;

	if (request->rate)
		units_parse_size(request->rate, &rate, &err);
	if (cli_gather_run(guest->agent, guest->plan, rate, &err)) {
		cli_complain("in the guest: %s", err.text);
		return CLI_FAILED;
	}
	return cli_gather_refused(guest->plan) || !guest->all ? CLI_REMAINING : CLI_OK;
}

static int report(const struct request *request, const json_t *job, struct guest_part *guest)
{
	/* Cancelled or failed on the host, nothing is begun in the guest. */
	bool go_on = guest->plan && !strcmp(cli_text(job, "state"), "completed");
	int status = (int)cli_job_exit(job), guest_status = CLI_OK;

	if (!request->json)
		cli_job_summary(stdout, job);
	if (go_on)
		guest_status = finish_guest(request, guest);
	if (request->json) {
		CLI_JSON result = cli_job_result(job);

		if (go_on)
			json_object_update_new(result, json_pack("{s:O, s:b}", "guest", guest->plan,
								 "guest_complete", guest->all));
		cli_print_json(result);
	} else if (go_on) {
		cli_gather_report(stdout, guest->plan);
	} else if (guest->plan) {
		puts("in the guest: nothing was done");
	}
	return cli_worse(status, guest_status);
}

static int report_detached(const struct request *request, json_t *job)
{
	CLI_JSON safe = control_json_safe(job);

	if (request->json) {
		/* The id under the name that the result of a migration has, too. */
		json_object_set(job, "job", json_object_get(job, "id"));
		return cli_print_json(job);
	}
	printf("%s\n", cli_text(safe, "id"));
	return CLI_OK;
}

static int plan_guest(const struct request *request, struct guest_part *guest)
{
	struct gmig_error err = {0};

	if (cli_agent_connect_vm(request->vm, &guest->agent, &err) ||
	    cli_gather_plan(guest->agent, request->vnode ? atoi(request->vnode) : -1, &guest->plan,
			    &guest->all, &err))
		return cli_fail(request->json, &err);
	if (!request->json)
		cli_gather_print(stdout, guest->plan, guest->all);
	return -1;
}

static int report_nothing(const struct request *request, const struct gmig_error *err)
{
	if (request->json) {
		CLI_JSON result = json_pack("{s:i}", "remaining_bytes", 0);

		return cli_print_json(result);
	}
	printf("%s\n", err->text);
	return CLI_OK;
}

/* What was moved stays so, whatever becomes of the picture. */
static int draw_trace(const struct request *request, struct timeline *timeline,
		      struct control_client *client, const json_t *job)
{
	struct gmig_error err = {0};

	if (!timeline || !timeline_write(timeline, client, job, request->vm, request->trace, &err))
		return CLI_OK;
	cli_complain("no picture of the job: %s", err.text);
	return CLI_FAILED;
}

static int run_job(const struct request *request, json_t *arguments, struct guest_part *guest)
{
	const char *command = request->retry ? "job-retry" : "migrate-pages";
	TIMELINE timeline = request->trace ? timeline_create() : NULL;
	const struct cli_watch watch = {.seen = timeline ? timeline_see : NULL, .opaque = timeline};
	CLI_CLIENT client = NULL;
	CLI_JSON job = NULL;
	struct gmig_error err = {0};
	int status, rc = cli_connect(request->vm, &client, &err);

	if (rc) {
		json_decref(arguments);
		return cli_fail(request->json, &err);
	}
	if (request->detach)
		rc = control_call(client, command, arguments, &job, &err);
	else
		rc = cli_run_watched_job(client, command, arguments, &watch, &job, &err);
	if (request->retry && rc == -ENODATA)
		return report_nothing(request, &err);
	if (!job)
		return cli_job_not_started(request->vm, request->json, &err);
	if (request->detach)
		return report_detached(request, job);
	if (rc)
		return cli_job_lost(request->vm, request->json, job, &err);
	status = draw_trace(request, timeline, client, job);
	return cli_worse(report(request, job, guest), status);
}

static int migrate_process(const struct request *request, json_t *arguments)
{
	const struct cli_process_request process = {.command = "migrate",
						    .target = request->vm,
						    .arguments = arguments,
						    .private_only = request->private_only,
						    .json = request->json};
	int status;

	if (request->with_guest || request->detach)
		status = cli_usage("migrate", "--%s is for guests, not for processes",
				   request->detach ? "detach" : "with-guest");
	else
		status = cli_process_migrate(&process);
	json_decref(arguments);
	return status;
}

static int migrate_all(const struct request *request, json_t *arguments)
{
	const struct cli_migrate_all all = {
	    .arguments = arguments, .names = request->guest, .json = request->json};
	int status = cli_migrate_all(&all);

	json_decref(arguments);
	return status;
}

static int migrate(const struct request *request, json_t *arguments)
{
	struct guest_part guest = {0};
	int status = request->with_guest ? plan_guest(request, &guest) : -1;

	if (status < 0)
		status = run_job(request, arguments, &guest);
	else
		json_decref(arguments);
	json_decref(guest.plan);
	cli_agent_destroy(guest.agent);
	return status;
}

/* It takes up the plan of another job; only how it moves may be said anew. */
static int check_retry(const struct request *r)
{
	if (r->all || (r->vm && cli_is_process(r->vm)))
		return cli_usage("migrate", "--retry is for a job of one guest");
	if (r->from || r->to || r->vnode || r->max || r->with_guest || r->private_only ||
	    r->with_vcpus || r->no_vcpus || r->hold_vcpus || r->move_all)
		return cli_usage("migrate",
				 "--retry takes up what the job was told: anew can be only "
				 "--rate, --max-stall, --max-slowdown, --order, --threads, "
				 "--batch, --mode, --lazy, --deadline, --mover, --frames, --huge "
				 "and --swapped");
	return -1;
}

/* A picture is of one job that is watched to its end. */
static int check_trace(const struct request *r)
{
	struct gmig_error err = {0};

	if (r->all || r->detach || (r->vm && cli_is_process(r->vm)))
		return cli_usage("migrate",
				 "--trace is for one job of a guest that is waited for, not for %s",
				 r->all	     ? "--all"
				 : r->detach ? "--detach"
					     : "processes");
	return picture_check("migrate --trace", r->trace, &err) ? cli_fail(r->json, &err) : -1;
}

/* What goes together: -1, or the exit status of a usage error. */
static int check_request(const struct request *r)
{
	int status = r->retry ? check_retry(r) : -1;

	if (status < 0 && r->trace)
		status = check_trace(r);
	if (status >= 0)
		return status;
	if (r->vm && r->all)
		return cli_usage("migrate", "--all is without a VM; --guest names some");
	if (!r->vm && !r->all)
		return cli_usage("migrate", "missing arguments: gmig migrate %s",
				 cli_find_command("migrate")->usage);
	if (r->guest && !r->all)
		return cli_usage("migrate", "--guest is for --all");
	if (r->all && (r->detach || r->with_guest || r->private_only))
		return cli_usage("migrate",
				 "--%s is not for --all, whose rate is divided anew "
				 "while the jobs run",
				 r->detach	 ? "detach"
				 : r->with_guest ? "with-guest"
						 : "private");
	if (r->detach && r->with_guest)
		return cli_usage("migrate", "--with-guest cannot be detached: the guest's part "
					    "comes after the host's");
	if (r->with_vcpus && r->no_vcpus)
		return cli_usage("migrate", "--with-vcpus and --no-vcpus exclude each other");
	if ((r->with_vcpus || r->no_vcpus) && r->vm && cli_is_process(r->vm))
		return cli_usage("migrate", "--%s-vcpus is for guests, not for processes",
				 r->no_vcpus ? "no" : "with");
	if (r->private_only && !cli_is_process(r->vm))
		return cli_usage("migrate", "--private is for processes, as in pid:1234");
	if (r->private_only && r->move_all)
		return cli_usage("migrate", "--private and --move-all contradict each other");
	return -1;
}

/* What the command line says. Main thread. */
static struct request asked;

static const struct cli_option options[] = {
    {.name = "from",
     .placeholder = "NODES",
     .help = "host nodes to take memory from: 0 or 0,1 or 0-3, all, !2, +0",
     .text = &asked.from},
    {.name = "to",
     .placeholder = "NODES",
     .help = "host nodes to bring it to; the i-th of --from goes to the i-th",
     .text = &asked.to},
    {.name = "retry",
     .placeholder = "JOB",
     .help = "take up what remained of this ended job, in the place of --from and --to",
     .text = &asked.retry},
    {.name = "all",
     .help = "of all guests at once; --rate is what they have together",
     .flag = &asked.all},
    {.name = "guest",
     .placeholder = "NAMES",
     .help = "with --all: of these alone, divided by commas",
     .text = &asked.guest},
    {.name = "vnode",
     .placeholder = "V",
     .help = "only the memory of this vnode",
     .text = &asked.vnode},
    {.name = "rate",
     .placeholder = "SIZE",
     .help = "at most so many bytes a second: 500M; default: no limit",
     .text = &asked.rate},
    {.name = "max",
     .placeholder = "SIZE",
     .help = "move at most so much: 4G; default: all",
     .text = &asked.max},
    {.name = "max-stall",
     .placeholder = "TIME",
     .help = "hold 99 of 100 waits of the guest under this: 500us",
     .text = &asked.max_stall},
    {CLI_MAX_SLOWDOWN, .text = &asked.pace.max_slowdown},
    {CLI_ORDER, .text = &asked.pace.order},
    {CLI_ORDER_SEED, .text = &asked.pace.order_seed},
    {.name = "mode",
     .placeholder = "MODE",
     .help = "readable: readers go on while a block is copied; block: they wait; auto (default); "
	     "lazy: what is touched moves",
     .text = &asked.mode,
     .choices = gmig_mode_names},
    {.name = "lazy",
     .placeholder = "WHAT",
     .help = "of mode lazy: what moves a block: any access (default), or a write",
     .text = &asked.lazy,
     .choices = gmig_lazy_names},
    {.name = "deadline",
     .placeholder = "TIME",
     .help = "of mode lazy: move the rest, too, within this time: 30s; default: wait for touches",
     .text = &asked.deadline},
    {.name = "mover",
     .placeholder = "MOVER",
     .help = "what moves the memory",
     .text = &asked.mover,
     .choices = gmig_mover_names},
    {.name = "move-all",
     .help = "also memory that other processes map, too; by mover kernel",
     .flag = &asked.move_all},
    {.name = "threads",
     .placeholder = "N",
     .help = "copy with N threads; default 1",
     .text = &asked.threads},
    {.name = "batch",
     .placeholder = "N",
     .help = "exchange N small pages at a time, 1 to 512; default 256",
     .text = &asked.batch},
    {.name = "hold-vcpus",
     .help = "hold the guest's CPUs for each batch: faster on Linux before 6.18",
     .flag = &asked.hold_vcpus},
    {.name = "frames",
     .placeholder = "KIND",
     .help = "target frames: what the pool has (auto, default), new ones, or those alone",
     .text = &asked.frames,
     .choices = gmig_frames_names},
    {.name = "huge",
     .placeholder = "POLICY",
     .help = "no huge page on the target: small ones (prefer, default), or stay (keep)",
     .text = &asked.huge,
     .choices = gmig_huge_names},
    {.name = "swapped",
     .placeholder = "POLICY",
     .help = "memory in swap: read it in on the target (move, default), or leave it",
     .text = &asked.swapped,
     .choices = gmig_swapped_names},
    {.name = "with-guest",
     .help = "and bring processes in the guest together with their memory, by its agent",
     .flag = &asked.with_guest},
    {.name = "with-vcpus",
     .help = "all vCPUs follow their vnode's memory; default: those placed by rule",
     .flag = &asked.with_vcpus},
    {.name = "no-vcpus", .help = "vCPUs stay where they run", .flag = &asked.no_vcpus},
    {.name = "detach", .help = "print the job's id and do not wait", .flag = &asked.detach},
    {.name = "trace",
     .placeholder = "PATH",
     .help = "draw blackouts and stalls over the job's time, into a .svg or .png; -: SVG",
     .text = &asked.trace},
    {.name = "private",
     .help = "of a process: leave alone pages that other processes map, too",
     .flag = &asked.private_only},
    {0},
};

int cmd_migrate(int argc, char **argv)
{
	struct cli_args args = {.kinds = {CLI_WORD_DOMAIN},
				.max_words = 1,
				.options = options,
				.json_help = "print the result as one line of JSON"};
	json_t *arguments;
	int status;

	asked = (struct request){0};
	status = cli_parse(argc, argv, &args);
	if (status >= 0)
		return status;
	asked.vm = args.word_count ? args.words[0] : NULL;
	asked.json = args.json;
	status = check_request(&asked);
	if (status >= 0)
		return status;
	arguments = json_object();
	status = build_arguments(&asked, arguments);
	if (status >= 0) {
		json_decref(arguments);
		return status;
	}
	if (asked.all)
		return migrate_all(&asked, arguments);
	return cli_is_process(asked.vm) ? migrate_process(&asked, arguments)
					: migrate(&asked, arguments);
}
