#include "report_html.h"
#include "plots.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void html_text(FILE *out, const char *text)
{
	static const char special[] = "&<>\"'";
	static const char *const entity[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};

	for (; *text; text++) {
		const char *at = strchr(special, *text);

		if (at)
			fputs(entity[at - special], out);
		else
			fputc(*text, out);
	}
}

static void element(FILE *out, const char *tag, const char *text)
{
	fprintf(out, "<%s>", tag);
	html_text(out, text);
	fprintf(out, "</%s>\n", tag);
}

static void head(FILE *out, const char *title)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width\">\n",
	      out);
	element(out, "title", title);
	fputs(
	    "<style>\n"
	    "body { font: 15px/1.45 sans-serif; color: #222; max-width: 1020px; margin: 24px auto; "
	    "padding: 0 12px; }\n"
	    "h1 { font-size: 24px; } h2 { font-size: 18px; margin: 32px 0 4px; }\n"
	    ".verdict { font-size: 18px; background: #eaf3f8; border-left: 5px solid #4c8fb5; "
	    "padding: 10px 14px; }\n"
	    ".noise { background: #fff0c2; border-left: 5px solid #aa3300; padding: 10px 14px; }\n"
	    "svg { max-width: 100%; height: auto; } p { margin: 6px 0; }\n"
	    "table { border-collapse: collapse; font-size: 13px; } .wide { overflow-x: auto; }\n"
	    "th, td { padding: 3px 7px; text-align: right; border-bottom: 1px solid #ddd; "
	    "white-space: nowrap; }\n"
	    "th { border-bottom: 2px solid #888; } td:first-child, th:first-child { text-align: "
	    "left; }\n"
	    "pre { background: #f6f6f6; padding: 8px; overflow-x: auto; font-size: 13px; }\n"
	    "</style>\n</head>\n<body>\n",
	    out);
	element(out, "h1", title);
}

/* ---- Who wins -------------------------------------------------------------------------------- */

static void cell_sentence(FILE *out, const char *what, const struct cell_result *result)
{
	char label[128], share[16], moved[64] = "", text[320];

	plots_label(&result->cell, label, sizeof(label));
	report_share(report_moved(result), share, sizeof(share));
	if (report_moved(result) < 1)
		snprintf(moved, sizeof(moved), "; it moved %s of the memory", share);
	snprintf(text, sizeof(text), "%s: %s, %.2f GB/s, %.2f times memcpy%s.", what, label,
		 cell_median(result, METRIC_BYTES_PER_SECOND) * 1e-9,
		 cell_median(result, METRIC_MEMCPY_RATIO), moved);
	element(out, "p", text);
}

static void verdict(FILE *out, const struct runner_report *report, const size_t *order)
{
	const struct cell_result *first = report->results[order[0]];
	const struct cell_result *last = report->results[order[report->count - 1]];
	char text[256];

	fputs("<div class=\"verdict\">\n", out);
	cell_sentence(out, "Fastest", first);
	if (report->count > 1)
		cell_sentence(out, "Slowest", last);
	/* A peer that moved nothing is not slower by a factor. */
	if (report->count > 1 && cell_median(last, METRIC_BYTES_PER_SECOND) > 0) {
		snprintf(text, sizeof(text), "The fastest is %.1f times as fast as the slowest.",
			 cell_median(first, METRIC_BYTES_PER_SECOND) /
			     cell_median(last, METRIC_BYTES_PER_SECOND));
		element(out, "p", text);
	}
	fputs("</div>\n", out);
}

static void noise(FILE *out, const struct noise_verdict *verdict)
{
	if (!verdict->noisy)
		return;
	fputs("<div class=\"noise\">\n<p><b>Too noisy to be relied on:</b></p>\n", out);
	for (unsigned int i = 0; i < verdict->count; i++)
		element(out, "p", verdict->why[i]);
	fputs("</div>\n", out);
}

/* ---- Plots ----------------------------------------------------------------------------------- */

/* Steals svg; NULL: there is nothing to show. */
static void section(FILE *out, const char *title, const char *text, char *svg)
{
	if (!svg)
		return;
	element(out, "h2", title);
	element(out, "p", text);
	fprintf(out, "%s\n", svg);
	free(svg);
}

static int show_cells(FILE *out, const struct runner_report *report, struct gmig_error *err)
{
	char *svg = NULL, text[200];
	int rc = plots_throughput(report, &svg, err);

	if (rc)
		return rc;
	section(out, "How fast",
		"Bytes that the job moved per second, the fastest first; memcpy was measured "
		"beside the same "
		"guest in the same run, and each ratio is of the same repetition.",
		svg);
	rc = plots_stall(report, &svg, err);
	if (rc)
		return rc;
	section(out, "How long the guest waits",
		"Waits of vCPUs on a block that was being moved, of all repetitions. Further left "
		"is better.",
		svg);
	rc = plots_blackout(report, &svg, err);
	if (rc)
		return rc;
	section(out, "Blackout of writers", "Further left is better.", svg);
	rc = plots_growth(report, &svg, err);
	if (rc)
		return rc;
	snprintf(text, sizeof(text),
		 "The slowest and the fastest size lie %.0f%% apart in bytes per second.",
		 100 * plots_growth_spread(report));
	section(out, "Time against size", text, svg);
	return 0;
}

static int show_watched(FILE *out, const struct watch *watch, struct gmig_error *err)
{
	char *svg = NULL, label[128], text[300];
	int rc = plots_timeline(watch, &svg, err);

	if (rc)
		return rc;
	plots_label(&watch->cell, label, sizeof(label));
	snprintf(text, sizeof(text),
		 "What the guest gets done before, during and after one migration: %s. Looked at "
		 "every few "
		 "milliseconds, which takes CPU time; so it is none of the migrations above.",
		 label);
	section(out, "The guest through a migration", text, svg);
	rc = plots_residency(watch, &svg, err);
	if (rc)
		return rc;
	section(out, "Where its memory lies",
		"The same migration: on which nodes those pages lay that it moved, by its trace.",
		svg);
	svg = NULL;
	rc = plots_blocks(watch, &svg, err);
	if (!rc)
		section(out, "Block by block", "The same migration: the blackout of each block.",
			svg);
	return rc;
}

/* ---- Figures --------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void number_column(FILE *out, double value,
								const char *format, ...)
{
	va_list args;
	char text[48];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	element(out, "td", isnan(value) ? "-" : text);
}

static void row(FILE *out, const struct cell_result *result)
{
	double cpu = cell_median(result, METRIC_CPU_SECONDS_PER_GB),
	       share = cell_system_share(result);
	double before = cell_median(result, METRIC_GUEST_BEFORE);
	double kept = before > 0 ? 100 * cell_median(result, METRIC_GUEST_DURING) / before : NAN;
	double extra = cell_median(result, METRIC_EXTRA_BYTES) / (1 << 20);
	struct stats_summary rate, lost;
	char label[128], name[96], moved[32];

	cell_summary(result, METRIC_BYTES_PER_SECOND, &rate);
	cell_summary(result, METRIC_THP_SPLIT, &lost);
	cell_name(&result->cell, name, sizeof(name));
	snprintf(label, sizeof(label), "%s%s%s", result->cell.name ? result->cell.name : "",
		 result->cell.name ? ": " : "", name);
	fputs("<tr>\n", out);
	element(out, "td", label);
	number_column(out, rate.median, "%.2f", rate.median * 1e-9);
	number_column(out, rate.q1, "%.2f to %.2f", rate.q1 * 1e-9, rate.q3 * 1e-9);
	number_column(out, rate.median, "%.2f", cell_median(result, METRIC_MEMCPY_RATIO));
	for (size_t i = 0; i < REPORT_TIMES; i++) {
		report_ns(cell_median(result, report_times[i]), moved, sizeof(moved));
		element(out, "td", moved);
	}
	number_column(out, cpu, "%.3f", cpu);
	number_column(out, share, "%.0f%%", share * 100);
	number_column(out, kept, "%.0f%%", kept);
	number_column(out, result->syscalls_per_mib, "%.1f", result->syscalls_per_mib);
	number_column(out, result->instructions_per_page, "%.0f", result->instructions_per_page);
	number_column(out, extra, "%.0f MiB", extra);
	number_column(out, lost.max, "%.0f", lost.max);
	report_share(report_moved(result), moved, sizeof(moved));
	element(out, "td", moved);
	fputs("</tr>\n", out);
}

static void table(FILE *out, const struct runner_report *report, const size_t *order)
{
	fputs("<h2>Figures</h2>\n<div class=\"wide\"><table>\n"
	      "<tr><th rowspan=\"2\">cell</th><th rowspan=\"2\">GB/s</th><th "
	      "rowspan=\"2\">quartiles</th>"
	      "<th rowspan=\"2\">/ memcpy</th><th colspan=\"2\">blackout of writers</th>"
	      "<th colspan=\"2\">of readers</th><th>stall</th><th colspan=\"2\">gap in the "
	      "guest</th>"
	      "<th rowspan=\"2\">CPU s/GB</th><th rowspan=\"2\">in kernel</th><th "
	      "rowspan=\"2\">guest kept</th>"
	      "<th rowspan=\"2\">calls/MiB</th><th rowspan=\"2\">instructions/page</th><th "
	      "rowspan=\"2\">extra memory</th><th "
	      "rowspan=\"2\">huge split</th><th rowspan=\"2\">moved</th></tr>\n"
	      "<tr><th>p50</th><th>p99</th><th>p50</th><th>p99</th><th>p99</th><th>p99</"
	      "th><th>max</th></tr>\n",
	      out);
	for (size_t i = 0; i < report->count; i++)
		row(out, report->results[order[i]]);
	fputs("</table></div>\n", out);
}

/* What a function prints for a terminal. */
static void preformatted(FILE *out, const json_t *host)
{
	char *text = NULL;
	size_t bytes;
	FILE *memory = open_memstream(&text, &bytes);

	if (!memory)
		return;
	report_host(memory, host);
	if (!fclose(memory))
		element(out, "pre", text);
	free(text);
}

static void machine(FILE *out, const struct html_input *input)
{
	const struct runner_report *report = input->report;
	unsigned int reps = UINT_MAX;
	char text[256];

	for (size_t i = 0; i < report->count; i++)
		if (report->results[i]->count < reps)
			reps = report->results[i]->count;
	element(out, "h2", "Machine and run");
	preformatted(out, input->host);
	element(out, "pre", input->command);
	snprintf(
	    text, sizeof(text), "Medians of %u interleaved repetitions or more; %.0f s in all.%s",
	    reps, report->seconds,
	    report->fake ? " Nodes are fake: all work is real, only the placement is pretended."
			 : "");
	element(out, "p", text);
	if (report_domain(report, text, sizeof(text)))
		element(out, "p", text);
}

int report_html(FILE *out, const struct html_input *input, struct gmig_error *err)
{
	const struct runner_report *report = input->report;
	size_t *order = calloc(report->count + 1, sizeof(*order));
	int rc;

	if (!order)
		return gmig_fail(err, -ENOMEM, "no memory for a report");
	plots_order(report, order);
	head(out, input->title);
	if (report->count)
		verdict(out, report, order);
	noise(out, &report->noise);
	rc = show_cells(out, report, err);
	if (!rc && input->watch)
		rc = show_watched(out, input->watch, err);
	if (!rc && input->conclusions && *input->conclusions) {
		element(out, "h2", "What it says");
		element(out, "pre", input->conclusions);
	}
	table(out, report, order);
	machine(out, input);
	fputs("</body>\n</html>\n", out);
	free(order);
	return rc;
}
