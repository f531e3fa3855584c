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
	fprintf(out, "%u,%u,%u,%llu", cell->threads, cell->vcpus, cell->jobs,
		(unsigned long long)cell->mem_bytes);
}

void csv_samples(FILE *out, const struct runner_report *report)
{
	fputs("mover,page,frames,mode,load,threads,vcpus,jobs,mem_bytes,repetition", out);
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
