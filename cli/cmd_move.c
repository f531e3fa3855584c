/*
 * gmig move: single pages of a guest, or of a process, to the nodes that are named for them; with --query only where they are. The
 * list is kept, so that each page's result can be asked for when the job has ended.
 */
#include "../control/text.h"
#include "cli.h"
#include "commands.h"
#include "pace_options.h"
#include "page_list.h"
#include "process.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_A_LINE 16384 /* of move-pages: below the server's 1 MiB */

struct request {
	const char *vm, *gpa, *file, *to, *rate, *threads, *mover, *huge;
	struct cli_pace pace;
	bool query, all, detach, json;
};

/* ---- From the command line to the list ---------------------------------------------------------- */

static int read_file(const struct request *r, int node, struct page_ranges *ranges,
		     struct gmig_error *err)
{
	bool is_stdin = !strcmp(r->file, "-");
	FILE *file = is_stdin ? stdin : fopen(r->file, "re");
	struct gmig_error why = {0};
	int ret;

	if (!file)
		return gmig_fail(err, -errno, "%.100s: %s", r->file, strerror(errno));
	ret = page_ranges_read(ranges, file, node, &why);
	if (!is_stdin)
		fclose(file);
	return ret ? gmig_fail(err, ret, "%.100s: %.150s", r->file, why.text) : 0;
}

/* -1: go on; else the exit status. */
static int read_list(const struct request *r, struct page_ranges *ranges)
{
	struct gmig_error err = {0};
	uint64_t node = 0;
	int to = r->query ? 0 : -1, ret = 0;

	if (!r->gpa && !r->file)
		return cli_usage("move", "which pages? --gpa 1G+64M,0x7000 or --file LIST");
	if (r->query && (r->to || r->all || r->detach))
		return cli_usage("move", "--query moves nothing: no --%s with it",
				 r->to	  ? "to"
				 : r->all ? "move-all"
					  : "detach");
	if (r->to && units_parse_count(r->to, GMIG_MAX_NODES - 1, &node, &err))
		return cli_usage("move", "--to: %s", err.text);
	if (r->to)
		to = (int)node;
	if (r->gpa && page_ranges_add(ranges, r->gpa, to, &err))
		return cli_usage("move", "--gpa: %s", err.text);
	if (!r->query && r->gpa && !r->to)
		return cli_usage("move", "--to is missing: the host node for the pages of --gpa");
	if (r->file)
		ret = read_file(r, to, ranges, &err);
	/* What is written wrong is wrong in a file as it is behind --gpa. */
	if (ret == -EINVAL || ret == -ERANGE)
		return cli_usage("move", "--file: %s", err.text);
	if (ret)
		return cli_fail(r->json, &err);
	return ranges->count ? -1 : cli_usage("move", "the list has no page");
}

static int add_limits(const struct request *r, json_t *arguments)
{
	const struct cli_value rate = {"move", "rate", NULL, r->rate};
	const struct cli_value threads = {"move", "threads", NULL, r->threads};
	int status = cli_add_count(arguments, &threads, GMIG_MAX_WORKERS);

	cli_add_text(arguments, "mover", r->mover);
	cli_add_text(arguments, "huge", r->huge);
	cli_add_flag(arguments, "move-all", r->all);
	if (status < 0)
		status = cli_add_size(arguments, &rate);
	return status < 0 ? cli_add_pace("move", arguments, &r->pace) : status;
}

/* ---- A guest ------------------------------------------------------------------------------------- */

static json_t *triples(const struct page_ranges *ranges, size_t first, size_t count)
{
	json_t *pages = json_array();

	for (size_t i = first; i < first + count; i++) {
		json_array_append_new(pages, json_integer((json_int_t)ranges->range[i].gpa));
		json_array_append_new(pages, json_integer((json_int_t)ranges->range[i].bytes));
		json_array_append_new(pages, json_integer(ranges->range[i].node));
	}
	return pages;
}

/* All but the last part; *arguments gets that, and where the others are kept. */
static int send_list(struct control_client *client, const struct page_ranges *ranges,
		     json_t *arguments, struct gmig_error *err)
{
	size_t first = 0, count;
	CLI_JSON list = NULL;

	while (ranges->count - first > ENTRIES_A_LINE) {
		json_t *part = json_pack("{s:o, s:b}", "pages",
					 triples(ranges, first, ENTRIES_A_LINE), "more", 1);
		CLI_JSON answer = NULL;
		int ret;

		if (list)
			json_object_set(part, "list", list);
		ret = control_call(client, "move-pages", part, &answer, err);
		if (ret)
			return ret;
		json_decref(list);
		list = json_incref(json_object_get(answer, "list"));
		first += ENTRIES_A_LINE;
	}
	count = ranges->count - first;
	json_object_set_new(arguments, "pages", triples(ranges, first, count));
	if (list)
		json_object_set(arguments, "list", list);
	return 0;
}

struct asking {
	struct control_client *client;
	const char *job; /* NULL: none */
};

static int ask_guest(void *arg, const struct gmig_pages *pages, struct gmig_error *err)
{
	const struct asking *asking = arg;
	json_t *list = json_array(), *arguments;
	CLI_JSON answer = NULL;
	const json_t *status;
	int ret;

	for (size_t i = 0; i < pages->count; i++)
		json_array_append_new(list, json_integer((json_int_t)pages->gpas[i]));
	arguments = json_pack("{s:o}", "pages", list);
	if (asking->job)
		json_object_set_new(arguments, "id", json_string(asking->job));
	ret = control_call(asking->client, "query-pages", arguments, &answer, err);
	if (ret)
		return ret;
	status = json_object_get(answer, "status");
	if (json_array_size(status) != pages->count)
		return gmig_fail(err, -EPROTO,
				 "the guest's answer has not one status for each page");
	for (size_t i = 0; i < pages->count; i++)
		pages->status[i] = (int)json_integer_value(json_array_get(status, i));
	return 0;
}

static int report(const struct request *r, const struct page_ranges *ranges,
		  struct control_client *client, const json_t *job)
{
	struct asking asking = {client, cli_text(job, "id")};
	struct gmig_error err = {0};

	if (!r->json) {
		cli_job_summary(stdout, job);
		return (int)cli_job_exit(job);
	}
	CLI_JSON result = cli_job_result(job);

	if (page_ranges_report(ranges, result, ask_guest, &asking, &err)) {
		cli_complain("job %s: %s", asking.job, err.text);
		return CLI_FAILED;
	}
	return (int)cli_job_exit(job);
}

static int move_guest(const struct request *r, const struct page_ranges *ranges, json_t *arguments)
{
	struct gmig_error err = {0};
	CLI_CLIENT client = NULL;
	CLI_JSON job = NULL;
	int rc = cli_connect(r->vm, &client, &err);

	if (!rc)
		rc = send_list(client, ranges, arguments, &err);
	if (rc)
		return cli_fail(r->json, &err);
	json_incref(arguments);
	rc = r->detach ? control_call(client, "move-pages", arguments, &job, &err)
		       : cli_run_list_job(client, arguments, &job, &err);
	if (rc && job)
		return cli_job_lost(r->vm, r->json, job, &err);
	if (rc)
		return cli_job_not_started(r->vm, r->json, &err);
	if (!r->detach)
		return report(r, ranges, client, job);
	if (r->json)
		return cli_print_json(job);
	CLI_JSON safe = control_json_safe(job);

	printf("%s\n", cli_text(safe, "id"));
	return CLI_OK;
}

static int query_guest(const struct request *r, const struct page_ranges *ranges)
{
	struct gmig_error err = {0};
	CLI_CLIENT client = NULL;
	CLI_JSON result = r->json ? json_object() : NULL;
	struct asking asking = {0};
	int rc = cli_connect(r->vm, &client, &err);

	if (rc)
		return cli_fail(r->json, &err);
	asking.client = client;
	rc = page_ranges_report(ranges, result, ask_guest, &asking, &err);
	return rc ? cli_fail(false, &err) : CLI_OK;
}

static int run(const struct request *r, const struct page_ranges *ranges, json_t *arguments)
{
	const struct cli_process_request process = {.command = "move",
						    .target = r->vm,
						    .arguments = arguments,
						    .pages = ranges,
						    .query = r->query,
						    .private_only = !r->all,
						    .json = r->json};

	if (!cli_is_process(r->vm))
		return r->query ? query_guest(r, ranges) : move_guest(r, ranges, arguments);
	if (r->detach)
		return cli_usage("move", "--detach is for guests, not for processes");
	return cli_process_migrate(&process);
}

int cmd_move(int argc, char **argv)
{
	struct request r = {0};
	const struct cli_option options[] = {
	    {.name = "gpa",
	     .placeholder = "LIST",
	     .help = "pages by their addresses in the guest: 1G+64M,0x7000; of a process its own",
	     .text = &r.gpa},
	    {.name = "file",
	     .placeholder = "PATH",
	     .help = "a list of pages, address and node a line, or JSON; - is standard input",
	     .text = &r.file},
	    {.name = "to",
	     .placeholder = "NODE",
	     .help = "the host node for all pages that have none in the list",
	     .text = &r.to},
	    {.name = "query",
	     .help = "move nothing: only say where the pages are",
	     .flag = &r.query},
	    {.name = "move-all",
	     .help = "also pages that other processes map: needs CAP_SYS_NICE",
	     .flag = &r.all},
	    {.name = "rate",
	     .placeholder = "SIZE",
	     .help = "at most so many bytes a second: 500M; default: no limit",
	     .text = &r.rate},
	    {CLI_MAX_SLOWDOWN, .text = &r.pace.max_slowdown},
	    {CLI_ORDER, .text = &r.pace.order},
	    {CLI_ORDER_SEED, .text = &r.pace.order_seed},
	    {.name = "threads",
	     .placeholder = "N",
	     .help = "copy with N threads; default 1",
	     .text = &r.threads},
	    {.name = "mover",
	     .placeholder = "MOVER",
	     .help = "what moves the memory",
	     .text = &r.mover,
	     .choices = gmig_mover_names},
	    {.name = "huge",
	     .placeholder = "POLICY",
	     .help = "no huge page on the target: small ones (prefer, default), or stay (keep)",
	     .text = &r.huge,
	     .choices = gmig_huge_names},
	    {.name = "detach", .help = "print the job's id and do not wait", .flag = &r.detach},
	    {0},
	};
	struct cli_args args = {CLI_VM, .options = options,
				.json_help = "print each page's result, as one line of JSON"};
	int status = cli_parse(argc, argv, &args);
	struct page_ranges ranges = {0};
	CLI_JSON arguments = NULL;

	if (status >= 0)
		return status;
	r.vm = args.words[0];
	r.json = args.json;
	arguments = json_object();
	status = read_list(&r, &ranges);
	if (status < 0)
		status = add_limits(&r, arguments);
	if (status < 0)
		status = run(&r, &ranges, arguments);
	page_ranges_free(&ranges);
	return status;
}
