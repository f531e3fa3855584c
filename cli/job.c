/* Jobs: as the last line of `gmig migrate --json`, and in words. */
#include "../control/text.h"
#include "cli.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

const char *cli_reason(const char *errno_name)
{
	static const struct {
		const char *name, *words;
	} reasons[] = {
	    {"EBUSY", "pinned or in use by a device or the kernel; try again"},
	    {"EAGAIN", "busy in every pass; try again"},
	    {"EPERM", "pinned for good, or declared not to move (gmig bind --fixed)"},
	    {"EACCES", "shared with another process"},
	    {"ENOMEM", "no free memory on the target node"},
	    {"ENOENT", "not present, it has not been touched"},
	    {"EEXIST", "somebody else filled the address in the meantime"},
	    {"EFAULT", "the zero page (read, but never written), or no memory there"},
	    {"EIO", "could not be read or written"},
	    {"ENODATA", "in swap, and left there as asked"},
	    {"ENOSPC", "no free swap on the host, or for this guest's cgroup"},
	    {"ETIME", "a page of 1G cannot be moved within the stall budget"},
	    {"EMFILE", "there was no file descriptor to look with; try again"},
	    {"ENFILE", "there was no file descriptor to look with; try again"},
	    {"ECANCELED", "the job was cancelled first"},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (!strcmp(reasons[i].name, errno_name))
			return reasons[i].words;
	return "see errno(3)";
}

/* The kernel does not tell how long it kept whom from a page, nor who waited for one that was in swap. */
bool cli_job_has_times(const json_t *job)
{
	const char *mover = cli_text(job, "mover");

	return strcmp(mover, "kernel") != 0 && strcmp(mover, "swap") != 0;
}

/* How the pins of a domain's threads ended: "" if they were not to change. */
static const char *pins_state(const json_t *job)
{
	const json_t *state = json_object_get(json_object_get(job, "vcpus"), "state");

	return json_is_string(state) ? json_string_value(state) : "";
}

/* Its memory may have moved while its threads are still being pinned. */
bool cli_job_ended(const json_t *job)
{
	const char *state = cli_text(job, "state");

	if (!strcmp(pins_state(job), "pending"))
		return false;
	return !strcmp(state, "completed") || !strcmp(state, "failed") ||
	       !strcmp(state, "cancelled");
}

enum cli_exit cli_job_exit(const json_t *job)
{
	if (strcmp(cli_text(job, "state"), "completed") != 0)
		return CLI_FAILED;
	if (*pins_state(job) && strcmp(pins_state(job), "followed") != 0 &&
	    strcmp(pins_state(job), "unneeded") != 0)
		return CLI_REMAINING;
	if (cli_number(job, "remaining_bytes"))
		return CLI_REMAINING;
	return json_is_false(json_object_get(job, "max_stall_met")) ? CLI_OVER_BUDGET : CLI_OK;
}

int cli_worse(int a, int b)
{
	static const int order[] = {CLI_FAILED, CLI_USAGE, CLI_REMAINING, CLI_OVER_BUDGET};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return CLI_OK;
}

json_t *cli_job_result(const json_t *job)
{
	static const char *const members[] = {"state",
					      "moved_bytes",
					      "remaining_bytes",
					      "gone_bytes",
					      "moved_by_others_bytes",
					      "bytes_on_source",
					      "extra_bytes_max",
					      "remaining",
					      "seconds",
					      "bytes_per_second",
					      "passes",
					      "rounds",
					      "blackout_ns",
					      "stall_ns",
					      "call_ns",
					      "lazy",
					      "max_stall_ns",
					      "max_stall_met",
					      "max_stall_late",
					      "max_stall_needs_split",
					      "max_stall_needs_ns",
					      "slowdown",
					      "max_slowdown",
					      "max_slowdown_met",
					      "max_slowdown_stuck",
					      "order",
					      "order_seed",
					      "thp_split",
					      "thp_joined",
					      "vcpus",
					      "error"};
	json_t *result = json_pack("{s:s}", "job", cli_text(job, "id"));

	for (size_t i = 0; result && i < sizeof(members) / sizeof(members[0]); i++) {
		json_t *value = json_object_get(job, members[i]);

		if (value)
			json_object_set(result, members[i], value);
	}
	return result;
}

/* ---- In words -------------------------------------------------------------------------------- */

void cli_percentiles_row(FILE *rows, const char *name, const json_t *percentiles)
{
	char p50[UNITS_TEXT], p99[UNITS_TEXT], p999[UNITS_TEXT], max[UNITS_TEXT];

	fprintf(rows, "%s\t%llu\t%s\t%s\t%s\t%s\n", name,
		(unsigned long long)cli_number(percentiles, "count"),
		units_ns(cli_number(percentiles, "p50"), p50),
		units_ns(cli_number(percentiles, "p99"), p99),
		units_ns(cli_number(percentiles, "p999"), p999),
		units_ns(cli_number(percentiles, "max"), max));
}

void cli_times_table(FILE *rows, const json_t *object)
{
	const json_t *blackout = json_object_get(object, "blackout_ns");

	fputs("times\t>count\t>p50\t>p99\t>p99.9\t>longest\n", rows);
	cli_percentiles_row(rows, "blackout of readers", json_object_get(blackout, "read"));
	cli_percentiles_row(rows, "blackout of writers", json_object_get(blackout, "write"));
	cli_percentiles_row(rows, "stall of a thread", json_object_get(object, "stall_ns"));
	if (json_object_get(object, "call_ns"))
		cli_percentiles_row(rows, "call of the mover", json_object_get(object, "call_ns"));
}

static void print_remaining(FILE *out, const json_t *job)
{
	json_t *reasons = json_object_get(job, "remaining");
	uint64_t remaining_bytes = cli_number(job, "remaining_bytes");
	char size[UNITS_TEXT];
	const char *name;
	json_t *pages;

	if (!remaining_bytes && !json_object_size(reasons))
		return;
	fprintf(out, "%s remaining:\n", units_size(remaining_bytes, size));
	json_object_foreach (reasons, name, pages)
		fprintf(out, "  %lld pages of 4K: %s, %s\n", (long long)json_integer_value(pages),
			name, cli_reason(name));
}

/* As "8M given back by the guest"; nothing for 0 bytes. */
static void print_bytes(FILE *out, uint64_t bytes, const char *what)
{
	char size[UNITS_TEXT];

	if (bytes)
		fprintf(out, "%s %s\n", units_size(bytes, size), what);
}

static void print_elsewhere(FILE *out, const json_t *job)
{
	uint64_t remaining = cli_number(job, "remaining_bytes");
	uint64_t on_source = cli_number(job, "bytes_on_source");
	/* Told of already, by print_lazy(). */
	uint64_t in_place = cli_number(json_object_get(job, "lazy"), "in_place_bytes");

	print_bytes(out, cli_number(job, "gone_bytes"), "given back by the guest in the meantime");
	print_bytes(out, cli_number(job, "moved_by_others_bytes") - in_place,
		    "moved by others in the meantime");
	if (on_source > remaining && cli_number(job, "max_bytes"))
		print_bytes(out, on_source - remaining, "more on the source nodes");
	else if (on_source > remaining)
		print_bytes(
		    out, on_source - remaining,
		    "more on the source nodes: it came there while the job ran, as the guest "
		    "filled memory or others moved it; move again");
}

/* Of a job of gmigd that was to pin threads, too. */
static void print_pins(FILE *out, const json_t *job)
{
	static const struct {
		const char *state, *words;
	} endings[] = {
	    {"unneeded", "no thread could run on the nodes that were left: no pin is changed"},
	    {"kept", "vCPUs did not follow, all pins are as they were"},
	    {"restoring", "vCPUs did not follow; pins are put back as soon as libvirt answers"},
	    {"mixed", "some vCPUs have other pins now, and cannot be put back"},
	    {"unknown", "how the pins ended is forgotten: gmig show tells how they are"},
	    {"pending", "vCPUs are being pinned"},
	};
	const json_t *pins = json_object_get(job, "vcpus");
	uint64_t threads = cli_number(pins, "threads");
	const char *why = json_string_value(json_object_get(pins, "why"));

	if (!strcmp(pins_state(job), "followed"))
		fprintf(out, "%llu thread%s followed: vCPUs, emulator and I/O threads\n",
			(unsigned long long)threads, threads == 1 ? "" : "s");
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (!strcmp(pins_state(job), endings[i].state))
			fprintf(out, "%s%s%s\n", endings[i].words, why ? ": " : "", why ? why : "");
}

static void print_max_stall(FILE *out, const json_t *job)
{
	char limit[UNITS_TEXT];

	if (!json_object_get(job, "max_stall_met"))
		return;
	fprintf(out, "stall budget of %s %s: %llu wait%s longer\n",
		units_ns(cli_number(job, "max_stall_ns"), limit),
		json_is_true(json_object_get(job, "max_stall_met")) ? "held" : "not held",
		(unsigned long long)cli_number(job, "max_stall_late"),
		cli_number(job, "max_stall_late") == 1 ? " was" : "s were");
	if (json_is_true(json_object_get(job, "max_stall_needs_split")))
		fputs("a huge page cannot be moved as fast as that: --huge split\n", out);
	if (json_object_get(job, "max_stall_needs_ns"))
		fprintf(out,
			"a page of hugetlbfs cannot be moved as fast as that: --max-stall %s\n",
			units_ns(cli_number(job, "max_stall_needs_ns"), limit));
}

static void print_max_slowdown(FILE *out, const json_t *job)
{
	const json_t *slowdown = json_object_get(job, "slowdown");

	if (!json_object_get(job, "max_slowdown_met"))
		return;
	fprintf(out,
		"slowdown budget of %g%% %s: the guest lost %.1f%%, in the worst second %.1f%%\n",
		cli_real(job, "max_slowdown") * 100,
		json_is_true(json_object_get(job, "max_slowdown_met")) ? "held" : "not held",
		cli_real(slowdown, "share") * 100, cli_real(slowdown, "worst_second") * 100);
}

static void print_lazy(FILE *out, const json_t *job)
{
	const json_t *lazy = json_object_get(job, "lazy");
	uint64_t touches = cli_number(lazy, "touches"), back = cli_number(lazy, "given_back");
	char touched[UNITS_TEXT], swept[UNITS_TEXT];

	if (!lazy)
		return;
	fprintf(out,
		"%s moved since they were touched%s, %s with the sweep; %llu block%s given back\n",
		units_size(cli_number(lazy, "touched_bytes"), touched),
		!strcmp(cli_text(lazy, "by"), "write") ? " by a writer" : "",
		units_size(cli_number(lazy, "swept_bytes"), swept), (unsigned long long)back,
		back == 1 ? "" : "s");
	if (!strcmp(cli_text(lazy, "to"), "toucher"))
		print_bytes(out, cli_number(lazy, "in_place_bytes"),
			    "were touched from the node that they lie on, and stay");
	fprintf(out, "%llu touch%s, of which %llu by a thread known as a vCPU\n",
		(unsigned long long)touches, touches == 1 ? "" : "es",
		(unsigned long long)cli_number(lazy, "touches_by_vcpu"));
}

void cli_job_summary(FILE *out, const json_t *unsafe)
{
	CLI_JSON job = control_json_safe(unsafe);
	uint64_t split = cli_number(job, "thp_split"), passes = cli_number(job, "passes");
	char size[UNITS_TEXT], rate[UNITS_TEXT], *rows = NULL;
	size_t bytes;
	FILE *memory;

	fprintf(out, "job %s %s: %s moved in %.3f s, %s, %llu pass%s\n", cli_text(job, "id"),
		cli_text(job, "state"), units_size(cli_number(job, "moved_bytes"), size),
		cli_real(job, "seconds"), units_rate(cli_real(job, "bytes_per_second"), rate),
		(unsigned long long)passes, passes == 1 ? "" : "es");
	if (json_object_get(job, "error"))
		fprintf(out, "it failed: %s\n", cli_text(job, "error"));
	print_remaining(out, job);
	print_lazy(out, job);
	print_max_stall(out, job);
	print_max_slowdown(out, job);
	if (json_object_get(job, "order_seed"))
		fprintf(out, "in random order, --order-seed %llu\n",
			(unsigned long long)cli_number(job, "order_seed"));
	print_pins(out, job);
	print_elsewhere(out, job);
	print_bytes(out, cli_number(job, "extra_bytes_max"),
		    "at most used beside the guest's memory, by all jobs together");
	if (split)
		fprintf(out, "%llu huge page%s split into 4K pages\n", (unsigned long long)split,
			split == 1 ? "" : "s");
	if (!cli_number(job, "moved_bytes") || !cli_job_has_times(job))
		return;
	memory = open_memstream(&rows, &bytes);
	if (!memory)
		return;
	cli_times_table(memory, job);
	fclose(memory);
	cli_print_table(out, rows);
	free(rows);
}

/* [0,1] as "0,1" */
static void print_nodes(FILE *rows, const json_t *nodes)
{
	size_t i;
	json_t *node;

	json_array_foreach (nodes, i, node)
		fprintf(rows, "%s%lld", i ? "," : "", (long long)json_integer_value(node));
}

void cli_job_table(FILE *rows, const json_t *jobs)
{
	size_t i;
	json_t *job;

	fputs(">job\tstate\tfrom\tto\tmode\t>moved\t>of\t>remaining\t>rate\t>limit\t>seconds\n",
	      rows);
	json_array_foreach (jobs, i, job) {
		char moved[UNITS_TEXT], total[UNITS_TEXT], remaining[UNITS_TEXT], rate[UNITS_TEXT],
		    limit[UNITS_TEXT];

		fprintf(rows, "%s\t%s\t", cli_text(job, "id"), cli_text(job, "state"));
		print_nodes(rows, json_object_get(job, "from"));
		fputc('\t', rows);
		print_nodes(rows, json_object_get(job, "to"));
		fprintf(rows, "\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\n", cli_text(job, "mode"),
			units_size(cli_number(job, "moved_bytes"), moved),
			units_size(cli_number(job, "total_bytes"), total),
			units_size(cli_number(job, "remaining_bytes"), remaining),
			units_rate(cli_real(job, "bytes_per_second"), rate),
			cli_number(job, "rate") ? units_size(cli_number(job, "rate"), limit) : "-",
			cli_real(job, "seconds"));
	}
}

void cli_job_reasons(FILE *out, const json_t *jobs)
{
	size_t i;
	json_t *job;

	json_array_foreach (jobs, i, job)
		if (json_object_get(job, "reason"))
			fprintf(out, "job %s: started by gmigd itself: %s\n", cli_text(job, "id"),
				cli_text(job, "reason"));
}
