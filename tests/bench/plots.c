#include "plots.h"
#include "../../cli/plot.h"
#include "report.h"

#include "../../migrate/gmig_nodes.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH	   1000
#define MAX_CURVES 10 /* more would not be told apart */
#define COLOURS	   8  /* gnuplot's own, which people who see few colours can tell apart */

struct script {
	FILE *out;
	char *text;
	size_t bytes;
};

/* *svg is NULL until script_draw(). */
static int script_open(struct script *script, char **svg, struct gmig_error *err)
{
	*svg = NULL;
	script->out = open_memstream(&script->text, &script->bytes);
	return script->out ? 0 : gmig_fail(err, -ENOMEM, "no memory for a plot");
}

static int script_draw(struct script *script, const char *name, unsigned int height, char **svg,
		       struct gmig_error *err)
{
	int rc;

	if (fclose(script->out)) {
		free(script->text);
		return gmig_fail(err, -ENOMEM, "no memory for a plot");
	}
	rc = plot_svg(name, WIDTH, height, script->text, svg, err);
	free(script->text);
	return rc;
}

void plots_label(const struct cell *cell, char *text, size_t bytes)
{
	char kind[96];

	cell_name(cell, kind, sizeof(kind));
	if (cell->name)
		snprintf(text, bytes, "%s (%s %s)", cell->name, cell->page, cell->frames);
	else
		snprintf(text, bytes, "%s", kind);
}

/* ---- Throughput ------------------------------------------------------------------------------ */

static double rate_of(const struct runner_report *report, size_t i)
{
	return cell_median(report->results[i], METRIC_BYTES_PER_SECOND);
}

void plots_order(const struct runner_report *report, size_t *order)
{
	for (size_t i = 0; i < report->count; i++) {
		size_t at = i;

		for (; at && rate_of(report, order[at - 1]) < rate_of(report, i); at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

/* What stands behind a bar whose mover left memory behind. */
static void moved_text(const struct cell_result *result, char *text, size_t bytes)
{
	char share[16];

	report_share(report_moved(result), share, sizeof(share));
	*text = '\0';
	if (report_moved(result) < 1)
		snprintf(text, bytes, ", moved %s", share);
}

static void bar(FILE *out, const struct cell_result *result)
{
	struct stats_summary rate;
	char label[128];

	cell_summary(result, METRIC_BYTES_PER_SECOND, &rate);
	plots_label(&result->cell, label, sizeof(label));
	plot_word(out, label);
	fprintf(out, " %g %g %g %g", rate.median * 1e-9, rate.q1 * 1e-9, rate.q3 * 1e-9,
		cell_median(result, METRIC_MEMCPY_RATIO));
	moved_text(result, label, sizeof(label));
	fputc(' ', out);
	plot_word(out, label);
	fputc('\n', out);
}

/* Linux's own migration, where it was measured. */
static size_t kernel_bar(FILE *out, const struct runner_report *report, unsigned int page)
{
	struct stats_summary rate;
	char label[64];

	kernel_rate_summary(&report->kernel[page], &rate);
	if (!rate.count)
		return 0;
	snprintf(label, sizeof(label), "Linux's own migration, %s", kernel_rate_page_names[page]);
	plot_word(out, label);
	fprintf(out, " %g %g %g %g \"\"\n", rate.median * 1e-9, rate.q1 * 1e-9, rate.q3 * 1e-9,
		rate.median / report->memcpy.one_thread);
	return 1;
}

int plots_throughput(const struct runner_report *report, char **svg, struct gmig_error *err)
{
	double memcpy_rate = report->memcpy.one_thread * 1e-9;
	size_t *order = calloc(report->count + 1, sizeof(*order));
	size_t bars = report->count;
	double room = 1.42; /* for what stands behind the bars */
	struct script script;
	int rc;

	*svg = NULL;
	if (!order)
		return gmig_fail(err, -ENOMEM, "no memory for a plot");
	rc = script_open(&script, svg, err);
	if (rc) {
		free(order);
		return rc;
	}
	plots_order(report, order);
	fprintf(script.out, "$d << EOD\n");
	for (size_t i = 0; i < report->count; i++) {
		bar(script.out, report->results[order[i]]);
		if (report_moved(report->results[i]) < 1)
			room = 1.62;
	}
	for (unsigned int p = 0; p < KERNEL_RATE_PAGES; p++)
		bars += kernel_bar(script.out, report, p);
	fprintf(
	    script.out,
	    "EOD\n"
	    "stats $d using 4 nooutput\n"
	    "top = STATS_max > %g ? STATS_max : %g\n"
	    "set xrange [0:top * %g]\nset yrange [%zu - 0.4:-0.6]\n"
	    "set lmargin 44\nset tmargin 2.5\nset xlabel \"GB/s, median and quartiles\"\n"
	    "set border 3\nset xtics nomirror\nset ytics nomirror scale 0\n"
	    "set grid xtics lc rgb \"#dddddd\"\nset style fill solid 0.9 noborder\n"
	    "set arrow from %g, graph 0 to %g, graph 1 nohead dt 2 lw 2 lc rgb \"#aa3300\" back\n"
	    "set style textbox opaque noborder fc rgb \"#ffffff\" margins 0.2,0.2\n"
	    "set label \"memcpy, one thread: %.2f GB/s\" at %g, graph 1.03 center tc rgb "
	    "\"#aa3300\"\n"
	    "plot $d using 2:0:(0):2:($0 - 0.34):($0 + 0.34):ytic(1) with boxxyerror lc rgb "
	    "\"#4c8fb5\" notitle, "
	    "$d using 2:0:3:4 with xerrorbars pt 0 lw 1.5 lc rgb \"#1d3c4d\" notitle, "
	    "$d using 4:0:(sprintf(\"%%.2f   %%.2f x memcpy%%s\", $2, $5, strcol(6))) with labels "
	    "left boxed "
	    "offset "
	    "1,0 notitle\n",
	    memcpy_rate, memcpy_rate, room, bars, memcpy_rate, memcpy_rate, memcpy_rate,
	    memcpy_rate);
	free(order);
	return script_draw(&script, "throughput", (unsigned int)(130 + 27 * bars), svg, err);
}

/* ---- Distributions --------------------------------------------------------------------------- */

/* Times from 2^i ns to under twice that are spread evenly over their part of the axis. */
static bool curve_data(FILE *out, unsigned int curve, const uint64_t *bucket)
{
	double total = 0, sum = 0;

	for (unsigned int i = 0; i < CELL_BUCKETS; i++)
		total += (double)bucket[i];
	if (total == 0)
		return false;
	fprintf(out, "$c%u << EOD\n", curve);
	for (unsigned int i = 0; i < CELL_BUCKETS; i++) {
		if (!bucket[i])
			continue;
		fprintf(out, "%g %g\n", ldexp(1e-9, (int)i), sum / total);
		sum += (double)bucket[i];
		fprintf(out, "%g %g\n", ldexp(1e-9, (int)i + 1), sum / total);
	}
	fprintf(out, "EOD\n");
	return true;
}

static void curves_plot(FILE *out, const struct runner_report *report, const size_t *cells,
			unsigned int curves)
{
	char label[128];

	for (unsigned int c = 0; c < curves; c++) {
		plots_label(&report->results[cells[c]]->cell, label, sizeof(label));
		fprintf(out, "%s$c%u using 1:2 with lines lw 2 lt %u dt %u title ",
			c ? ", " : "plot ", c, c % COLOURS + 1, c / COLOURS + 1);
		plot_text(out, label);
	}
	fprintf(out, "\n");
}

/* offset: of the buckets in struct cell_times. */
static int distribution(const struct runner_report *report, size_t offset, const char *name,
			const char *what, char **svg, struct gmig_error *err)
{
	size_t cells[MAX_CURVES];
	unsigned int curves = 0;
	struct script script;
	int rc = script_open(&script, svg, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < report->count && curves < MAX_CURVES; i++) {
		const char *times = (const char *)&report->results[i]->times;

		if (curve_data(script.out, curves,
			       (const uint64_t *)(const void *)(times + offset)))
			cells[curves++] = i;
	}
	fprintf(script.out,
		"set logscale x\nset format x \"%%.0s %%cs\"\nset yrange [0:1.02]\n"
		"set border 3\nset xtics nomirror\nset ytics nomirror\n"
		"set grid xtics ytics lc rgb \"#dddddd\"\nset key outside right top samplen 2\n"
		"set ylabel \"share of all\"\nset xlabel \"%s, at most\"\n",
		what);
	curves_plot(script.out, report, cells, curves);
	if (!curves) {
		fclose(script.out);
		free(script.text);
		return 0;
	}
	return script_draw(&script, name, 400, svg, err);
}

int plots_stall(const struct runner_report *report, char **svg, struct gmig_error *err)
{
	return distribution(report, offsetof(struct cell_times, stall), "stall",
			    "how long a vCPU waited for a block", svg, err);
}

int plots_blackout(const struct runner_report *report, char **svg, struct gmig_error *err)
{
	return distribution(report, offsetof(struct cell_times, blackout_write), "blackout",
			    "blackout of writers", svg, err);
}

/* ---- One migration --------------------------------------------------------------------------- */

int plots_timeline(const struct watch *watch, char **svg, struct gmig_error *err)
{
	double end = watch->seconds * 1e3;
	struct script script;
	int rc;

	*svg = NULL;
	if (watch->count < 2)
		return 0;
	rc = script_open(&script, svg, err);
	if (rc)
		return rc;
	fprintf(script.out, "$d << EOD\n");
	for (size_t i = 0; i < watch->count; i++)
		fprintf(script.out, "%g %g\n", watch->point[i].seconds * 1e3,
			watch->point[i].visits_per_second * 1e-6);
	fprintf(script.out,
		"EOD\nset xlabel \"ms since the migration began\"\n"
		"set ylabel \"million pages visited per second\"\nset yrange [0:*]\n"
		"set border 3\nset xtics nomirror\nset ytics nomirror\nset grid ytics lc rgb "
		"\"#dddddd\"\n"
		"set tmargin 2.5\nset object 1 rect from 0, graph 0 to %g, graph 1 behind fc rgb "
		"\"#fff0c2\" "
		"fs solid noborder\n"
		"set label \"migration: %.0f ms\" at %g, graph 1.04 center\n"
		"plot $d using 1:2 with fsteps lw 2 lc rgb \"#4c8fb5\" notitle\n",
		end, end, end / 2);
	return script_draw(&script, "timeline", 320, svg, err);
}

#define RESIDENCY_ROWS 1000

struct arrival {
	double ms, gib;
	unsigned int from, to;
};

static int by_time(const void *a, const void *b)
{
	const struct arrival *x = a, *y = b;

	return x->ms < y->ms ? -1 : x->ms > y->ms;
}

static double number_of(const json_t *record, const char *key)
{
	return json_number_value(json_object_get(record, key));
}

/* In the order of time, which records of several jobs are not in. Returns how many; *nodes: which ones have a part in it. */
static size_t list_arrivals(const struct watch *watch, struct arrival *list,
			    struct gmig_node_set *nodes)
{
	const json_t *record;
	size_t count = 0, i;

	json_array_foreach ((json_t *)watch->records, i, record) {
		struct arrival one = {.ms = number_of(record, "end_ns") * 1e-6,
				      .gib = number_of(record, "moved_pages") * 4096 / (1 << 30),
				      .from = (unsigned int)number_of(record, "from"),
				      .to = (unsigned int)number_of(record, "to")};

		if (one.gib <= 0 || one.from >= GMIG_MAX_NODES || one.to >= GMIG_MAX_NODES)
			continue;
		gmig_node_set_add(nodes, one.from);
		gmig_node_set_add(nodes, one.to);
		list[count++] = one;
	}
	qsort(list, count, sizeof(*list), by_time);
	return count;
}

static void residency_row(FILE *out, double ms, const double *gib,
			  const struct gmig_node_set *nodes)
{
	fprintf(out, "%g", ms);
	gmig_node_set_each (node, nodes)
		fprintf(out, " %g", gib[node]);
	fputc('\n', out);
}

/* What moves lies where it leaves from, at first. */
static void residency_rows(FILE *out, const struct arrival *list, size_t count,
			   const struct gmig_node_set *nodes)
{
	double gib[GMIG_MAX_NODES] = {0};
	size_t every = count / RESIDENCY_ROWS + 1;

	for (size_t i = 0; i < count; i++)
		gib[list[i].from] += list[i].gib;
	fprintf(out, "$d << EOD\n");
	residency_row(out, 0, gib, nodes);
	for (size_t i = 0; i < count; i++) {
		gib[list[i].from] -= list[i].gib;
		gib[list[i].to] += list[i].gib;
		if (i % every == 0 || i + 1 == count)
			residency_row(out, list[i].ms, gib, nodes);
	}
	fprintf(out, "EOD\n");
}

int plots_residency(const struct watch *watch, char **svg, struct gmig_error *err)
{
	struct arrival *list = calloc(json_array_size(watch->records) + 1, sizeof(*list));
	struct gmig_node_set nodes = {{0}};
	size_t count = list ? list_arrivals(watch, list, &nodes) : 0;
	unsigned int column = 2;
	struct script script;
	int rc = list ? 0 : gmig_fail(err, -ENOMEM, "no memory for a plot");

	*svg = NULL;
	if (!rc && count)
		rc = script_open(&script, svg, err);
	if (!rc && count) {
		residency_rows(script.out, list, count, &nodes);
		fprintf(script.out,
			"set xlabel \"ms since the job began\"\n"
			"set ylabel \"GiB of what moved\"\nset yrange [0:*]\n"
			"set border 3\nset xtics nomirror\nset ytics nomirror\n"
			"set grid ytics lc rgb \"#dddddd\"\nset key outside right top\n");
		gmig_node_set_each (node, &nodes) {
			fprintf(script.out, "%s$d using 1:%u with steps lw 2 title \"node %u\"",
				column == 2 ? "plot " : ", ", column, node);
			column++;
		}
		fputc('\n', script.out);
		rc = script_draw(&script, "residency", 320, svg, err);
	}
	free(list);
	return rc;
}

int plots_blocks(const struct watch *watch, char **svg, struct gmig_error *err)
{
	struct script script;
	const json_t *record;
	size_t index;
	int rc;

	*svg = NULL;
	if (!json_array_size(watch->records))
		return 0;
	rc = script_open(&script, svg, err);
	if (rc)
		return rc;
	fprintf(script.out, "$d << EOD\n");
	json_array_foreach ((json_t *)watch->records, index, record) {
		double begin = json_number_value(json_object_get(record, "begin_ns"));
		double write = json_number_value(json_object_get(record, "blackout_write_ns"));
		double read = json_number_value(json_object_get(record, "blackout_read_ns"));

		if (write > 0 && read > 0)
			fprintf(script.out, "%g %g %g\n", begin * 1e-6, write * 1e-9, read * 1e-9);
	}
	fprintf(script.out,
		"EOD\nset logscale y\nset format y \"%%.0s %%cs\"\nset xlabel \"ms since the job "
		"began\"\n"
		"set ylabel \"blackout of a block\"\nset key outside right top\n"
		"set border 3\nset xtics nomirror\nset ytics nomirror\nset grid ytics lc rgb "
		"\"#dddddd\"\n"
		"plot $d using 1:2 with points pt 7 ps 0.4 lc rgb \"#aa3300\" title \"writers\", "
		"$d using 1:3 with points pt 7 ps 0.4 lc rgb \"#4c8fb5\" title \"readers\"\n");
	return script_draw(&script, "blocks", 320, svg, err);
}

/* ---- Growth ---------------------------------------------------------------------------------- */

/* Cells that are measured with the most sizes, three at least; returns how many. */
static size_t growth_cells(const struct runner_report *report, size_t *cells)
{
	size_t best = 0;

	for (size_t i = 0; i < report->count; i++) {
		size_t found[MAX_CURVES], count = 0;

		for (size_t j = 0; j < report->count && count < MAX_CURVES; j++) {
			bool again = false;

			if (report->results[i]->cell.jobs != report->results[j]->cell.jobs ||
			    !cell_same_kind(&report->results[i]->cell, &report->results[j]->cell))
				continue;
			for (size_t k = 0; k < count; k++)
				again |= report->results[found[k]]->cell.mem_bytes ==
					 report->results[j]->cell.mem_bytes;
			if (!again)
				found[count++] = j;
		}
		if (count >= 3 && count > best) {
			best = count;
			memcpy(cells, found, count * sizeof(*cells));
		}
	}
	return best;
}

static void growth_rates(const struct runner_report *report, const size_t *cells, size_t count,
			 struct stats_summary *rates)
{
	double rate[MAX_CURVES];

	for (size_t i = 0; i < count; i++)
		rate[i] = rate_of(report, cells[i]);
	stats_summarize(rate, count, rates);
}

double plots_growth_spread(const struct runner_report *report)
{
	size_t cells[MAX_CURVES], count = growth_cells(report, cells);
	struct stats_summary rates;

	growth_rates(report, cells, count, &rates);
	return count ? (rates.max - rates.min) / rates.median : NAN;
}

int plots_growth(const struct runner_report *report, char **svg, struct gmig_error *err)
{
	size_t cells[MAX_CURVES], count = growth_cells(report, cells);
	struct stats_summary rates;
	struct script script;
	int rc;

	*svg = NULL;
	if (!count)
		return 0;
	rc = script_open(&script, svg, err);
	if (rc)
		return rc;
	growth_rates(report, cells, count, &rates);
	fprintf(script.out, "$d << EOD\n");
	for (size_t i = 0; i < count; i++) {
		const struct cell_result *result = report->results[cells[i]];
		double bytes = (double)result->cell.mem_bytes;
		struct stats_summary rate;

		cell_summary(result, METRIC_BYTES_PER_SECOND, &rate);
		fprintf(script.out, "%g %g %g %g\n", bytes / (1 << 30), bytes / rate.median,
			bytes / rate.q3, bytes / rate.q1);
	}
	fprintf(
	    script.out,
	    "EOD\nset xlabel \"GiB of guest\"\nset ylabel \"seconds\"\nset xrange [0:*]\nset "
	    "yrange [0:*]\n"
	    "set border 3\nset xtics nomirror\nset ytics nomirror\nset grid lc rgb \"#dddddd\"\n"
	    "set key left top\n"
	    "plot x * %g lw 2 dt 2 lc rgb \"#888888\" title \"linear, at the median %.2f GB/s\", "
	    "$d using 1:2:3:4 with yerrorbars pt 7 lw 2 lc rgb \"#4c8fb5\" title \"median and "
	    "quartiles\"\n",
	    (1 << 30) / rates.median, rates.median * 1e-9);
	return script_draw(&script, "growth", 360, svg, err);
}
