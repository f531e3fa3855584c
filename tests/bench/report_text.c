#include "report.h"

#include <math.h>
#include <string.h>

const enum metric report_times[REPORT_TIMES] = {
    METRIC_BLACKOUT_WRITE_NS, METRIC_BLACKOUT_WRITE_NS + 1,
    METRIC_BLACKOUT_READ_NS,  METRIC_BLACKOUT_READ_NS + 1,
    METRIC_STALL_NS + 1,      METRIC_GAP_NS + 1,
    METRIC_GAP_NS + 3};

void report_ns(double ns, char *text, size_t bytes)
{
	if (isnan(ns))
		snprintf(text, bytes, "-");
	else if (ns < 1e3)
		snprintf(text, bytes, "%.0f ns", ns);
	else if (ns < 1e6)
		snprintf(text, bytes, ns < 99.95e3 ? "%.1f us" : "%.0f us", ns * 1e-3);
	else if (ns < 1e9)
		snprintf(text, bytes, ns < 99.95e6 ? "%.1f ms" : "%.0f ms", ns * 1e-6);
	else
		snprintf(text, bytes, "%.2f s", ns * 1e-9);
}

void report_share(double ratio, char *text, size_t bytes)
{
	double percent = floor(ratio * 100 + 0.5);

	if (isnan(ratio))
		snprintf(text, bytes, "-");
	else if (ratio > 0 && percent < 1)
		snprintf(text, bytes, "<1%%");
	else if (ratio < 1 && percent >= 100)
		snprintf(text, bytes, ">99%%");
	else
		snprintf(text, bytes, "%.0f%%", percent);
}

double report_moved(const struct cell_result *result)
{
	struct stats_summary moved;

	cell_summary(result, METRIC_MOVED_RATIO, &moved);
	return moved.min;
}

bool report_domain(const struct runner_report *report, char *text, size_t bytes)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct cell *cell = &report->results[i]->cell;

		if (!cell->domain)
			continue;
		snprintf(text, bytes,
			 "Load own: the libvirt domain '%.64s' of %llu MiB with %u vCPU%s, which "
			 "did what it does, also "
			 "while others were measured; what its guest noticed is not measured.",
			 cell->domain, (unsigned long long)(cell->mem_bytes >> 20), cell->vcpus,
			 cell->vcpus == 1 ? "" : "s");
		return true;
	}
	return false;
}

static const char *fact(const json_t *host, const char *key)
{
	const char *text = json_string_value(json_object_get(host, key));

	return text ? text : "?";
}

void report_host(FILE *out, const json_t *host)
{
	const char *key;
	json_t *value;
	bool first = true;

	if (json_is_true(json_object_get(host, "lab")))
		fprintf(out,
			"In the LAB, an emulated machine: seconds and GB/s hold nowhere else\n");
	fprintf(out, "%s, %lld CPUs%s, last-level cache %lld MiB, %.1f GiB, Linux %s\n",
		fact(host, "cpu"), json_integer_value(json_object_get(host, "cpus")),
		json_is_true(json_object_get(host, "virtual")) ? " (a virtual machine itself)" : "",
		json_integer_value(json_object_get(host, "last_level_cache_bytes")) >> 20,
		(double)json_integer_value(json_object_get(host, "memory_bytes")) / (1 << 30),
		fact(host, "kernel"));
	fprintf(out, "nodes with memory: %s; huge pages: %s, defrag %s; AutoNUMA: %s\n",
		fact(host, "nodes"), fact(host, "thp"), fact(host, "thp_defrag"),
		fact(host, "autonuma"));
	fprintf(out, "mitigations: ");
	json_object_foreach (json_object_get((json_t *)host, "mitigations"), key, value) {
		fprintf(out, "%s%s: %.60s", first ? "" : "; ", key, json_string_value(value));
		first = false;
	}
	fprintf(out, "%s\n\n", first ? "none" : "");
}

/* CPU seconds for each GB, in user and in system mode where that is known. */
static void cost_text(const struct cell_result *result, char *text, size_t bytes)
{
	double cpu = cell_median(result, METRIC_CPU_SECONDS_PER_GB),
	       system = cell_system_share(result);

	if (isnan(cpu))
		snprintf(text, bytes, "-");
	else if (isnan(system))
		snprintf(text, bytes, "%.2f", cpu);
	else
		snprintf(text, bytes, "%.2f+%.2f", cpu * (1 - system), cpu * system);
}

/* size: say how big the guest was. */
static void print_cell(FILE *out, const struct cell_result *result, bool size)
{
	const struct cell *cell = &result->cell;
	struct stats_summary rate, ratio, lost;
	double before = cell_median(result, METRIC_GUEST_BEFORE), moved = report_moved(result);
	char text[7][32], page[12], kept[16] = "-", extra[16] = "-", cost[24], calls[16] = "-",
				    instructions[16] = "-";
	char share[16], huge[16] = "-";

	cell_summary(result, METRIC_BYTES_PER_SECOND, &rate);
	cell_summary(result, METRIC_MEMCPY_RATIO, &ratio);
	cell_summary(result, METRIC_THP_SPLIT, &lost);
	cost_text(result, cost, sizeof(cost));
	report_share(moved, share, sizeof(share));
	if (lost.count)
		snprintf(huge, sizeof(huge), "%.0f", lost.max);
	snprintf(page, sizeof(page), "%s", cell->page);
	if (cell->batch)
		snprintf(page, sizeof(page), "%s/%u", cell->page, cell->batch);
	if (before > 0)
		snprintf(kept, sizeof(kept), "%.0f%%",
			 100 * cell_median(result, METRIC_GUEST_DURING) / before);
	if (!isnan(result->syscalls_per_mib))
		snprintf(calls, sizeof(calls), "%.1f", result->syscalls_per_mib);
	if (!isnan(result->instructions_per_page))
		snprintf(instructions, sizeof(instructions), "%.0f", result->instructions_per_page);
	if (!isnan(cell_median(result, METRIC_EXTRA_BYTES)))
		snprintf(extra, sizeof(extra), "%.0fM",
			 cell_median(result, METRIC_EXTRA_BYTES) / (1 << 20));
	for (size_t i = 0; i < REPORT_TIMES; i++)
		report_ns(cell_median(result, report_times[i]), text[i], sizeof(text[i]));
	fprintf(out,
		"%-6s %-8s %-12s %-6s %2u/%u/%u %6.2f %5.2f..%-5.2f %5.2f %8s %8s %8s %8s %8s %8s "
		"%8s %9s %5s %5s %6s %5s %4s %5s",
		page, cell->frames, cell->mode, cell->load, cell->threads, cell->vcpus, cell->jobs,
		rate.median * 1e-9, rate.q1 * 1e-9, rate.q3 * 1e-9, ratio.median, text[0], text[1],
		text[2], text[3], text[4], text[5], text[6], cost, kept, calls, instructions, extra,
		huge, share);
	if (cell->name)
		fprintf(out, "  %s", cell->name);
	if (moved <= 0)
		fprintf(out, "  NOTHING MOVED");
	if (size)
		fprintf(out, "  %lluM", (unsigned long long)(cell->mem_bytes >> 20));
	fputc('\n', out);
}

/* All cells together: the median of their medians. */
static double flush_median(const struct runner_report *report)
{
	double medians[BENCH_MAX_CELLS];
	struct stats_summary summary;
	size_t count = report->count < BENCH_MAX_CELLS ? report->count : BENCH_MAX_CELLS;

	for (size_t i = 0; i < count; i++)
		medians[i] = cell_median(report->results[i], METRIC_TLB_FLUSH_NS);
	stats_summarize(medians, count, &summary);
	return summary.median;
}

void report_table(FILE *out, const struct runner_report *report)
{
	bool sizes = false;
	char domain[256], flush[32];

	for (size_t i = 1; i < report->count; i++)
		sizes |= report->results[i]->cell.mem_bytes != report->results[0]->cell.mem_bytes;
	fprintf(
	    out,
	    "memcpy beside the running guest: %.2f GB/s by one thread, best %.2f GB/s by %u%s\n",
	    report->memcpy.one_thread * 1e-9, report->memcpy.best * 1e-9,
	    report->memcpy.best_threads,
	    report->fake ? "; nodes are fake: all work is real, only the placement is pretended"
			 : "");
	report_ns(flush_median(report), flush, sizeof(flush));
	fprintf(out, "One flush of another CPU's TLB: %s\n\n", flush);
	fprintf(out,
		"%-6s %-8s %-12s %-6s %6s %6s %-12s %5s %17s %17s %8s %17s %9s %5s %5s %6s %5s %4s "
		"%5s\n",
		"page/", "", "", "", "thr/", "", "", "/mem", "blackout, writers",
		"blackout, readers", "stall", "gap in the guest", "CPU s/GB", "guest", "calls",
		"instr", "extra", "huge", "");
	fprintf(out,
		"%-6s %-8s %-12s %-6s %6s %6s %-12s %5s %8s %8s %8s %8s %8s %8s %8s %9s %5s %5s "
		"%6s %5s %4s %5s\n",
		"batch", "frames", "mode", "load", "cpu/job", "GB/s", "quartiles", "cpy", "p50",
		"p99", "p50", "p99", "p99", "p99", "max", "user+sys", "kept", "/MiB", "/page", "",
		"splt", "moved");
	for (size_t i = 0; i < report->count; i++)
		print_cell(out, report->results[i], sizes);
	if (report_domain(report, domain, sizeof(domain)))
		fprintf(out, "\n%s", domain);
	fprintf(out, "\nMedians of %u interleaved repetitions; %.1f s in all.\n",
		report->count ? report->results[0]->count : 0, report->seconds);
}

void report_kernel(FILE *out, const struct runner_report *report)
{
	for (unsigned int p = 0; p < KERNEL_RATE_PAGES; p++) {
		const struct kernel_rate *kernel = &report->kernel[p];
		struct stats_summary rate;

		kernel_rate_summary(kernel, &rate);
		if (!kernel->moved_bytes)
			continue;
		fprintf(out, "%sLinux's own migration, %s: ", p ? "" : "\n",
			kernel_rate_page_names[p]);
		if (rate.count)
			fprintf(out, "%.2f GB/s (%.2f..%.2f), %.2f of memcpy; ", rate.median * 1e-9,
				rate.q1 * 1e-9, rate.q3 * 1e-9,
				rate.median / report->memcpy.one_thread);
		fprintf(out,
			"%u of %d times it moved enough, %llu MiB in all, %llu pages could not be "
			"moved\n",
			kernel->count, KERNEL_RATE_REPS,
			(unsigned long long)(kernel->moved_bytes >> 20),
			(unsigned long long)kernel->failed_pages);
	}
}

unsigned int report_targets(FILE *out, const struct target_judgement *targets, size_t count)
{
	unsigned int short_of = 0;

	for (size_t i = 0; i < count; i++) {
		const struct target_judgement *target = &targets[i];

		if (target->outcome == TARGET_NOT_MEASURED)
			fprintf(out, "NOT MEASURED  %s\n", target->name);
		else
			fprintf(out, "%-12s  %s: %.3g %s, must be %s %.3g\n",
				target->outcome == TARGET_MET ? "met" : "SHORT", target->name,
				target->value, target->unit,
				target->at_least ? "at least" : "at most", target->bound);
		short_of += target->outcome != TARGET_MET;
	}
	return short_of;
}

void report_noise(FILE *out, const struct noise_verdict *noise)
{
	if (!noise->noisy)
		return;
	fprintf(out, "TOO NOISY to be relied on:");
	for (unsigned int i = 0; i < noise->count; i++)
		fprintf(out, "%s %s", i ? ";" : "", noise->why[i]);
	fprintf(out, "\n");
}
