/* gmig-bench's CSV: what it writes is read back, field by field, by a reader of RFC 4180. */
#include "../bench/csv.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIELDS 128

/* Fields of one line, unquoted; returns how many. `line` is taken apart. */
static size_t read_line(char **at, char *field[MAX_FIELDS])
{
	size_t count = 0;
	char *in = *at;

	for (;;) {
		char *out = in;
		bool quoted = *in == '"';

		ck_assert_uint_lt(count, MAX_FIELDS);
		field[count++] = in;
		for (in += quoted; *in && (quoted || (*in != ',' && *in != '\n')); in++) {
			if (quoted && *in == '"') {
				quoted = in[1] == '"';
				if (!quoted)
					continue;
				in++;
			}
			*out++ = *in;
		}
		char end = *in++;

		*out = '\0';
		if (end != ',') {
			*at = in;
			return count;
		}
	}
}

static char *text_of(const char *field)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	csv_text(out, field);
	fclose(out);
	return text;
}

START_TEST(text_is_quoted_only_when_it_must)
{
	const struct {
		const char *field, *text;
	} cases[] = {
	    {"", ""},
	    {"2M recycled", "2M recycled"},
	    {"a,b", "\"a,b\""},
	    {"say \"hi\"", "\"say \"\"hi\"\"\""},
	    {"two\nlines", "\"two\nlines\""},
	    {"\"", "\"\"\"\""},
	    {"\r", "\"\r\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = text_of(cases[i].field);

		ck_assert_str_eq(text, cases[i].text);
		free(text);
	}
}
END_TEST

START_TEST(samples_come_back_as_they_went_out)
{
	static struct cell_result results[2];
	struct cell_result *pointers[] = {&results[0], &results[1]};
	const struct runner_report report = {.results = pointers, .count = 2};
	char *text = NULL, *at, *name[MAX_FIELDS], *field[MAX_FIELDS];
	size_t bytes, columns;
	FILE *out = open_memstream(&text, &bytes);

	for (unsigned int i = 0; i < 2; i++) {
		results[i].cell = (struct cell){.mover = "uffd",
						.mode = "readable",
						.page = i ? "4K" : "2M",
						.frames = "a,\"b\"",
						.load = "write",
						.threads = 1,
						.vcpus = 2,
						.jobs = 4,
						.batch = 64,
						.mem_bytes = 1ull << 30};
		results[i].count = 3;
		for (unsigned int rep = 0; rep < 3; rep++) {
			sample_clear(&results[i].sample[rep]);
			results[i].sample[rep].value[METRIC_MEMCPY_RATIO] = 0.1 + rep / 3.0;
			results[i].sample[rep].value[METRIC_BYTES_PER_SECOND] = 12345678901.25;
		}
	}
	csv_samples(out, &report);
	fclose(out);
	at = text;
	columns = read_line(&at, name);
	ck_assert_uint_eq(columns, 11 + METRIC_COUNT);
	for (unsigned int line = 0; line < 6; line++) {
		ck_assert_uint_eq(read_line(&at, field), columns);
		ck_assert_str_eq(field[1], line < 3 ? "2M" : "4K");
		ck_assert_str_eq(field[2], "a,\"b\"");
		ck_assert_str_eq(field[7], "4");
		ck_assert_str_eq(field[8], "64");
		ck_assert_int_eq(atoi(field[10]), (int)(line % 3 + 1));
		for (size_t c = 11; c < columns; c++) {
			if (!strcmp(name[c], "memcpy_ratio"))
				ck_assert(strtod(field[c], NULL) == 0.1 + line % 3 / 3.0);
			else if (!strcmp(name[c], "bytes_per_second"))
				ck_assert(strtod(field[c], NULL) == 12345678901.25);
			else
				ck_assert_str_eq(field[c], ""); /* not measured: not 0 */
		}
	}
	ck_assert_str_eq(at, "");
	free(text);
}
END_TEST

START_TEST(trace_has_a_line_for_each_record)
{
	json_t *records = json_pack("[{s:s, s:I, s:i, s:i, s:b}, {s:s, s:i, s:s}]", "job", "1",
				    "gpa", (json_int_t)1 << 40, "begin_ns", 5, "end_ns", 9, "huge",
				    1, "job", "2", "gpa", 0, "error", "EBUSY");
	char *text = NULL, *at, *field[MAX_FIELDS];
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	csv_trace(out, records);
	fclose(out);
	at = text;
	ck_assert_uint_eq(read_line(&at, field), 13);
	ck_assert_str_eq(field[12], "error");
	ck_assert_uint_eq(read_line(&at, field), 13);
	ck_assert_str_eq(field[1], "1099511627776");
	ck_assert_str_eq(field[3], "9");
	ck_assert_str_eq(field[11], "1");
	ck_assert_str_eq(field[12], "");
	ck_assert_uint_eq(read_line(&at, field), 13);
	ck_assert_str_eq(field[0], "2");
	ck_assert_str_eq(field[12], "EBUSY");
	ck_assert_str_eq(at, "");
	json_decref(records);
	free(text);
}
END_TEST

START_TEST(columns_each_have_a_name_of_their_own)
{
	for (unsigned int a = 0; a < METRIC_COUNT; a++) {
		ck_assert_ptr_nonnull(metric_name((enum metric)a));
		for (unsigned int b = 0; b < a; b++)
			ck_assert_str_ne(metric_name((enum metric)a), metric_name((enum metric)b));
	}
	ck_assert_str_eq(metric_name(METRIC_BLACKOUT_WRITE_NS + 1), "blackout_write_p99_ns");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_csv");
	TCase *tcase = tcase_create("csv");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, text_is_quoted_only_when_it_must);
	tcase_add_test(tcase, samples_come_back_as_they_went_out);
	tcase_add_test(tcase, trace_has_a_line_for_each_record);
	tcase_add_test(tcase, columns_each_have_a_name_of_their_own);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
