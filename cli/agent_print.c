/* What the guest's agent tells, for people. */
#include "agent.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

static void print_numbers(FILE *rows, const json_t *list, const char *between)
{
	size_t i;
	json_t *number;

	json_array_foreach (list, i, number)
		fprintf(rows, "%s%lld", i ? between : "", (long long)json_integer_value(number));
	if (!json_array_size(list))
		fputc('-', rows);
}

/* ---- topology, ps, maps, info ---------------------------------------------------------------- */

/* What the agent does not know it leaves out. */
static const char *size_or_dash(const json_t *node, const char *key, char text[UNITS_TEXT])
{
	return json_object_get(node, key) ? units_size(cli_number(node, key), text) : "-";
}

static void topology_rows(FILE *rows, const json_t *result)
{
	size_t i;
	json_t *node;

	fputs(">vnode\tCPUs\t>size\t>free\tdistances\n", rows);
	json_array_foreach (json_object_get(result, "nodes"), i, node) {
		char size[UNITS_TEXT], spare[UNITS_TEXT];

		fprintf(rows, "%llu\t", (unsigned long long)cli_number(node, "id"));
		print_numbers(rows, json_object_get(node, "cpus"), ",");
		fprintf(rows, "\t%s\t%s\t", size_or_dash(node, "total_bytes", size),
			size_or_dash(node, "free_bytes", spare));
		print_numbers(rows, json_object_get(node, "distance"), " ");
		fputc('\n', rows);
	}
}

void cli_agent_print_topology(const json_t *result)
{
	cli_print_rows(topology_rows, result);
}

static void nodes_cell(FILE *rows, const json_t *nodes)
{
	const char *key, *between = "";
	json_t *value;

	json_object_foreach ((json_t *)nodes, key, value) {
		char size[UNITS_TEXT];

		fprintf(rows, "%svnode %s: %s", between, key,
			units_size(
			    json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0,
			    size));
		between = ", ";
	}
}

static void process_rows(FILE *rows, const json_t *result)
{
	size_t i;
	json_t *process;

	fputs(">pid\tname\t>memory\t>remote\truns on\twhere\n", rows);
	json_array_foreach (json_object_get(result, "processes"), i, process) {
		char total[UNITS_TEXT], remote[UNITS_TEXT];

		fprintf(rows, "%llu\t%s\t%s\t%s\tvnode ",
			(unsigned long long)cli_number(process, "pid"), cli_text(process, "comm"),
			units_size(cli_number(process, "bytes"), total),
			units_size(cli_number(process, "remote_bytes"), remote));
		print_numbers(rows, json_object_get(process, "cpu_nodes"), ",");
		fputc('\t', rows);
		nodes_cell(rows, json_object_get(process, "nodes"));
		fputc('\n', rows);
	}
}

void cli_agent_print_processes(const json_t *result)
{
	cli_print_rows(process_rows, result);
	if (json_is_false(json_object_get(result, "complete")))
		puts("not all of them could be looked at, for want of time, descriptors or memory");
}

static void maps_rows(FILE *rows, const json_t *result)
{
	const char *key;
	json_t *sizes;

	fputs(">vnode\t>4K pages\t>2M pages\t>1G pages\n", rows);
	json_object_foreach (json_object_get(result, "nodes"), key, sizes)
		fprintf(rows, "%s\t%llu\t%llu\t%llu\n", key,
			(unsigned long long)cli_number(sizes, "4K"),
			(unsigned long long)cli_number(sizes, "2M"),
			(unsigned long long)cli_number(sizes, "1G"));
}

static void mapping_rows(FILE *rows, const json_t *result)
{
	size_t i;
	json_t *mapping, *pages;
	const char *key;

	fputs("start\tend\tpolicy\tpages by vnode\twhat\n", rows);
	json_array_foreach (json_object_get(result, "mappings"), i, mapping) {
		const char *between = "";

		fprintf(rows, "%s\t%s\t%s\t", cli_text(mapping, "start"), cli_text(mapping, "end"),
			cli_text(mapping, "policy"));
		json_object_foreach (json_object_get(mapping, "pages"), key, pages) {
			fprintf(rows, "%s%s: %lld", between, key,
				(long long)json_integer_value(pages));
			between = ", ";
		}
		fprintf(rows, "\t%s\n", cli_text(mapping, "what"));
	}
}

void cli_agent_print_maps(const json_t *result)
{
	char size[UNITS_TEXT];

	printf("process %llu (%s), %s\n\n", (unsigned long long)cli_number(result, "pid"),
	       cli_text(result, "comm"), units_size(cli_number(result, "bytes"), size));
	cli_print_rows(maps_rows, result);
	if (json_is_true(json_object_get(result, "huge_estimated")))
		puts("which of them are huge is estimated: mappings have both on several vnodes");
	if (!json_object_get(result, "mappings"))
		return;
	putchar('\n');
	cli_print_rows(mapping_rows, result);
}

static void command_rows(FILE *rows, const json_t *result)
{
	size_t i;
	json_t *command;

	fputs("command\tallowed by the guest\n", rows);
	json_array_foreach (json_object_get(result, "supported_commands"), i, command)
		fprintf(rows, "%s\t%s\n", cli_text(command, "name"),
			json_is_true(json_object_get(command, "enabled")) ? "yes" : "no");
}

void cli_agent_print_info(const json_t *result)
{
	char rate[UNITS_TEXT];

	printf("%s %s, Linux %s\n", cli_text(result, "agent"), cli_text(result, "version"),
	       cli_text(result, "kernel"));
	if (cli_number(result, "max_rate"))
		printf("its jobs move at most %s a second\n",
		       units_size(cli_number(result, "max_rate"), rate));
	putchar('\n');
	cli_print_rows(command_rows, result);
}

/* ---- Jobs and moves -------------------------------------------------------------------------- */

void cli_agent_print_remaining(FILE *out, const json_t *job)
{
	const char *key;
	json_t *pages;

	json_object_foreach (json_object_get(job, "remaining"), key, pages)
		fprintf(out, "%lld pages stay: %s, %s\n", (long long)json_integer_value(pages), key,
			cli_reason(key));
	json_object_foreach (json_object_get(job, "unread_processes"), key, pages)
		fprintf(out, "%lld processes could not be looked at: %s\n",
			(long long)json_integer_value(pages), key);
}

static void stall_rows(FILE *rows, const json_t *job)
{
	fputs("times\t>count\t>p50\t>p99\t>p99.9\t>longest\n", rows);
	cli_percentiles_row(rows, "gap", json_object_get(job, "gap_ns"));
	cli_percentiles_row(rows, "each touch", json_object_get(job, "touch_ns"));
}

static void print_stall(const json_t *job)
{
	char threshold[UNITS_TEXT];

	printf("%s: %.1f s, %llu sweeps, %llu times off the CPU; gaps are over %s\n",
	       cli_text(job, "state"), cli_real(job, "seconds"),
	       (unsigned long long)cli_number(job, "sweeps"),
	       (unsigned long long)cli_number(job, "preempted"),
	       units_ns(cli_number(job, "threshold_ns"), threshold));
	cli_print_rows(stall_rows, job);
}

static void print_hot(const json_t *job)
{
	const json_t *reported = json_object_get(job, "reported");
	char size[UNITS_TEXT], cost[UNITS_TEXT];

	printf("%s by %s in %.1f s, with %s of CPU time: ", cli_text(job, "state"),
	       cli_text(job, "source"), cli_real(job, "seconds"),
	       units_ns(cli_number(job, "cpu_ns"), cost));
	printf("%s hot", units_size(cli_number(job, "hot_bytes"), size));
	printf(", %s warm", units_size(cli_number(job, "warm_bytes"), size));
	printf(", %s cold\n", units_size(cli_number(job, "cold_bytes"), size));
	if (!reported)
		return;
	printf("for show --heat and --order: %s", units_size(cli_number(reported, "noted"), size));
	printf("; not the guest's memory: %s", units_size(cli_number(reported, "outside"), size));
	printf("; just moved: %s\n", units_size(cli_number(reported, "moved"), size));
}

/* "3", or "2 to 60" when it is not known. */
static const char *span_text(const json_t *span, char text[48])
{
	unsigned long long least = cli_number(span, "at_least"), most = cli_number(span, "at_most");

	if (least == most)
		snprintf(text, 48, "%llu", least);
	else
		snprintf(text, 48, "%llu to %llu", least, most);
	return text;
}

/* What MADV_COLLAPSE means by it: madvise(2), mm/khugepaged.c; and the agent itself. */
static const char *compact_reason(const char *name)
{
	static const struct {
		const char *name, *text;
	} reasons[] = {
	    {"EDQUOT", "the process's memory would grow beyond --max-growth"},
	    {"ENOSPC", "the process's cgroup has no room for a huge page below its limits"},
	    {"EEXIST", "the block has changed since it was chosen"},
	    {"EAGAIN", "pages are busy, pinned or shared; try again"},
	    {"EBUSY", "the process's cgroup could not be charged for a huge page"},
	    {"ENOMEM", "no free huge page in the guest"},
	    {"EINVAL",
	     "the memory may not have huge pages, or some of its pages do not fit in one"},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (!strcmp(name, reasons[i].name))
			return reasons[i].text;
	return cli_reason(name);
}

static void print_compact_remaining(const json_t *job)
{
	const char *key;
	json_t *pages;

	json_object_foreach (json_object_get(job, "remaining"), key, pages)
		printf("%lld small pages stay: %s, %s\n", (long long)json_integer_value(pages), key,
		       compact_reason(key));
}

static void print_compact(const json_t *job)
{
	const json_t *before = json_object_get(job, "blocks_before");
	const json_t *after = json_object_get(job, "blocks_after");
	bool frames = !strcmp(cli_text(job, "blocks_by"), "frames");
	unsigned long long collapsed = cli_number(job, "collapsed");
	unsigned long long shared = cli_number(job, "shared_pages");
	char size[UNITS_TEXT], cost[UNITS_TEXT], text[48];

	printf("job %s %s in %.1f s, with %s of CPU time: ", cli_text(job, "id"),
	       cli_text(job, "state"), cli_real(job, "seconds"),
	       units_ns(cli_number(job, "cpu_ns"), cost));
	printf("%llu of %llu hot blocks made huge, by heat '%s'\n", collapsed,
	       (unsigned long long)cli_number(job, "candidates"), cli_text(job, "heat"));
	if (collapsed) {
		printf("%llu small pages lay in %s blocks of the guest's memory",
		       (unsigned long long)cli_number(job, "small_pages"), span_text(before, text));
		printf(", and lie in %s now; %s%s of new memory\n", span_text(after, text),
		       shared ? "at most " : "", units_size(cli_number(job, "growth_bytes"), size));
	}
	if (shared)
		printf("up to %llu of these pages were shared, and have been copied\n", shared);
	if (collapsed && !frames)
		puts("where they lay is not seen, only the bounds are known");
	if (collapsed && frames && cli_number(after, "at_least") >= cli_number(before, "at_least"))
		puts("that is no better: they lay in as few blocks before");
	if (cli_number(job, "unverified"))
		printf("%llu of these blocks are not there in full any more\n",
		       (unsigned long long)cli_number(job, "unverified"));
	if (cli_number(job, "unreached"))
		printf("%llu hot blocks were not come to\n",
		       (unsigned long long)cli_number(job, "unreached"));
	if (cli_number(job, "unclear"))
		printf("%llu full blocks were left alone: they may be huge already\n",
		       (unsigned long long)cli_number(job, "unclear"));
	if (json_is_false(json_object_get(job, "complete")))
		puts("not all of the process's memory was looked at: see --range");
	print_compact_remaining(job);
}

void cli_agent_print_job(const json_t *job)
{
	double seconds = cli_real(job, "seconds");
	char moved[UNITS_TEXT], rate[UNITS_TEXT];

	if (json_object_get(job, "error"))
		printf("it failed: %s\n", cli_text(json_object_get(job, "error"), "desc"));
	if (!strcmp(cli_text(job, "kind"), "stall-probe")) {
		print_stall(job);
		return;
	}
	if (!strcmp(cli_text(job, "kind"), "hot-pages")) {
		print_hot(job);
		return;
	}
	if (!strcmp(cli_text(job, "kind"), "compact-hot")) {
		print_compact(job);
		return;
	}
	printf(
	    "job %s %s: %s %s in %.3f s, %s\n", cli_text(job, "id"), cli_text(job, "state"),
	    units_size(cli_number(job, "moved_bytes"), moved),
	    strcmp(cli_text(job, "kind"), "collapse") ? "moved" : "in huge pages", seconds,
	    units_rate(seconds > 0 ? (double)cli_number(job, "moved_bytes") / seconds : 0, rate));
	cli_agent_print_remaining(stdout, job);
}

static void job_rows(FILE *rows, const json_t *jobs)
{
	size_t i;
	json_t *job;

	fputs(">job\tkind\tstate\t>moved\t>of\t>limit\t>seconds\n", rows);
	json_array_foreach (jobs, i, job) {
		char moved[UNITS_TEXT], total[UNITS_TEXT], limit[UNITS_TEXT];

		fprintf(rows, "%s\t%s\t%s\t%s\t%s\t%s\t%.1f\n", cli_text(job, "id"),
			cli_text(job, "kind"), cli_text(job, "state"),
			units_size(cli_number(job, "moved_bytes"), moved),
			units_size(cli_number(job, "total_bytes"), total),
			cli_number(job, "rate") ? units_size(cli_number(job, "rate"), limit) : "-",
			cli_real(job, "seconds"));
	}
}

void cli_agent_print_jobs(const json_t *jobs)
{
	cli_print_rows(job_rows, jobs);
}

void cli_agent_print_moves(const json_t *result)
{
	const char *key;
	json_t *pages, *status;
	size_t i;

	json_array_foreach (json_object_get(result, "status"), i, status)
		printf("%s%lld", i ? " " : "", (long long)json_integer_value(status));
	putchar('\n');
	json_object_foreach (json_object_get(result, "errors"), key, pages)
		printf("%lld pages: %s, %s\n", (long long)json_integer_value(pages), key,
		       cli_reason(key));
}
