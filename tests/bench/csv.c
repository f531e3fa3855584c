#include "csv.h"

#include <math.h>
#include <string.h>

void csv_text(FILE *out, const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

/* Enough digits to get the same double back. */
static void print_number(FILE *out, double value)
{
	fputc(',', out);
	if (isfinite(value))
		fprintf(out, "%.17g", value);
}

static void print_cell(FILE *out, const struct cell *cell)
{
	const char *const names[] = {cell->mover, cell->page, cell->frames, cell->mode, cell->load};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		csv_text(out, names[i]);
		fputc(',', out);
	}
	fprintf(out, "%u,%u,%u,%u,%llu", cell->threads, cell->vcpus, cell->jobs, cell->batch,
		(unsigned long long)cell->mem_bytes);
}

void csv_samples(FILE *out, const struct runner_report *report)
{
	fputs("mover,page,frames,mode,load,threads,vcpus,jobs,batch,mem_bytes,repetition", out);
	for (unsigned int m = 0; m < METRIC_COUNT; m++)
		fprintf(out, ",%s", metric_name((enum metric)m));
	fputc('\n', out);
	for (size_t i = 0; i < report->count; i++) {
		const struct cell_result *result = report->results[i];

		for (unsigned int rep = 0; rep < result->count; rep++) {
			print_cell(out, &result->cell);
			fprintf(out, ",%u", rep + 1);
			for (unsigned int m = 0; m < METRIC_COUNT; m++)
				print_number(out, result->sample[rep].value[m]);
			fputc('\n', out);
		}
	}
}

/* What a record lacks (its error, when it has none) is an empty field. */
static void print_member(FILE *out, const json_t *value)
{
	if (json_is_string(value))
		csv_text(out, json_string_value(value));
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "1" : "0", out);
	else if (json_is_integer(value))
		fprintf(out, "%lld", json_integer_value(value));
}

void csv_trace(FILE *out, const json_t *records)
{
	static const char *const columns[] = {
	    "job",   "gpa",	    "begin_ns", "end_ns", "blackout_read_ns", "blackout_write_ns",
	    "pages", "moved_pages", "from",	"to",	  "worker",	      "huge",
	    "error"};
	const size_t count = sizeof(columns) / sizeof(columns[0]);
	const json_t *record;
	size_t index;

	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s%s", columns[i], i + 1 < count ? "," : "\n");
	json_array_foreach ((json_t *)records, index, record) {
		for (size_t i = 0; i < count; i++) {
			print_member(out, json_object_get(record, columns[i]));
			fputc(i + 1 < count ? ',' : '\n', out);
		}
	}
}
