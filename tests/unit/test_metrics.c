/* Prometheus text: a strict reader of the format judges it. */
#include "suite.h"

#include "../../libvirt-hooks/metrics.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct metrics_memory memory[] = {
    {0, 4096, 123456789012}, {3, 2 << 20, 12ull << 40}, {1023, 1 << 30, 0}};
static struct metrics_domain domains[3];
static struct metrics_snapshot snapshot;
static char *text;
static struct gmig_error err;

static struct metrics_domain unknown_domain(const char *name)
{
	return (struct metrics_domain){.name = name,
				       .local_ratio = NAN,
				       .score = NAN,
				       .score_possible = NAN,
				       .scan_timestamp = NAN};
}

static void setup(void)
{
	domains[0] = (struct metrics_domain){
	    .name = "web1",
	    .memory = memory,
	    .memory_count = 3,
	    .local_ratio = 0.1,
	    .score = 71,
	    .score_possible = 94.25,
	    .scan_timestamp = 1700000000.125,
	    .job = {METRICS_JOB_RUNNING, 1.5, NAN, 4096, 1024, 3072, 0},
	};
	domains[1] = unknown_domain("we\\ird \"name\"\nof two lines");
	domains[1].policy_wrong = true;
	domains[2] = unknown_domain("gr\xc3\xbc\xc3\x9f");
	domains[2].job = (struct metrics_job){METRICS_JOB_FAILED, 2, 0, 10, 4, 6, 1 << 20};
	snapshot = (struct metrics_snapshot){.version = "0.2.0",
					     .domains = domains,
					     .domain_count = 3,
					     .host_score = 80,
					     .host_score_possible = NAN,
					     .scan_duration_seconds = 0.0123,
					     .scan_cpu_seconds = 12.5};
	text = NULL;
}

static void teardown(void)
{
	free(text);
}

static void print_well(void)
{
	ck_assert_msg(!metrics_print(&snapshot, &text, &err), "%s", err.text);
}

/*
 * The format's rules (Prometheus documentation, "Exposition formats"), without mercy: HELP, then TYPE, then the samples of that
 * family; each family once; each series once; names, labels, escapes and numbers in full.
 */
struct reader {
	const char *at;
	char family[128];
	char seen[64][128]; /* families */
	size_t seen_count;
	char series[64][160];
	size_t series_count;
};

static size_t name_length(const char *at)
{
	size_t length = 0;

	while (isalnum((unsigned char)at[length]) || at[length] == '_')
		length++;
	return isdigit((unsigned char)at[0]) ? 0 : length;
}

static void read_label(struct reader *reader)
{
	size_t length = name_length(reader->at);

	ck_assert_uint_gt(length, 0);
	reader->at += length;
	ck_assert_msg(!strncmp(reader->at, "=\"", 2), "at '%.20s'", reader->at);
	for (reader->at += 2; *reader->at != '"'; reader->at++) {
		ck_assert(*reader->at && *reader->at != '\n');
		if (*reader->at == '\\')
			ck_assert_ptr_nonnull(strchr("\\\"n", *++reader->at));
	}
	reader->at++;
}

static void read_series(struct reader *reader)
{
	const char *begin = reader->at;
	size_t length = name_length(begin);

	ck_assert_uint_eq(length, strlen(reader->family));
	ck_assert_int_eq(strncmp(begin, reader->family, length), 0);
	reader->at += length;
	if (*reader->at == '{') {
		do {
			reader->at++;
			read_label(reader);
		} while (*reader->at == ',');
		ck_assert_int_eq(*reader->at++, '}');
	}
	ck_assert_uint_lt(reader->series_count, 64);
	ck_assert_int_lt(reader->at - begin, 160);
	snprintf(reader->series[reader->series_count], 160, "%.*s", (int)(reader->at - begin),
		 begin);
	for (size_t i = 0; i < reader->series_count; i++)
		ck_assert_str_ne(reader->series[i], reader->series[reader->series_count]);
	reader->series_count++;
}

static void read_sample(struct reader *reader)
{
	char *end;

	read_series(reader);
	ck_assert_int_eq(*reader->at++, ' ');
	ck_assert(!isspace((unsigned char)*reader->at));
	(void)strtod(reader->at, &end);
	ck_assert_ptr_ne(end, reader->at);
	ck_assert_int_eq(*end, '\n');
	reader->at = end + 1;
}

static void read_family(struct reader *reader)
{
	char name[128], type[128];

	ck_assert_int_eq(sscanf(reader->at, "# HELP %127s", name), 1);
	reader->at = strchr(reader->at, '\n') + 1;
	ck_assert_int_eq(sscanf(reader->at, "# TYPE %127s %127s", reader->family, type), 2);
	ck_assert_str_eq(reader->family, name);
	ck_assert(!strcmp(type, "gauge") || !strcmp(type, "counter"));
	ck_assert_int_eq(!strcmp(type, "counter"),
			 strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total"));
	reader->at = strchr(reader->at, '\n') + 1;
	for (size_t i = 0; i < reader->seen_count; i++)
		ck_assert_str_ne(reader->seen[i], name);
	strcpy(reader->seen[reader->seen_count++], name);
	while (*reader->at && *reader->at != '#')
		read_sample(reader);
}

static size_t read_strictly(void)
{
	struct reader reader = {.at = text};

	while (*reader.at)
		read_family(&reader);
	for (size_t i = 0; i < reader.seen_count; i++)
		ck_assert_str_eq(reader.seen[i], metrics_name(i));
	ck_assert_ptr_null(metrics_name(reader.seen_count));
	return reader.series_count;
}

static void expect_line(const char *line)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	ck_assert_msg(strstr(text, whole) != NULL, "no line '%s' in\n%s", line, text);
}

START_TEST(text_is_read_by_a_strict_reader)
{
	print_well();
	/* host 5, memory 3, web1 11, the wrong one 2, the last one 8 */
	ck_assert_uint_eq(read_strictly(), 29);
}
END_TEST

START_TEST(values_are_exact_and_labels_escaped)
{
	print_well();
	expect_line("gmig_build_info{version=\"0.2.0\"} 1");
	expect_line(
	    "gmig_domain_memory_bytes{domain=\"web1\",node=\"0\",pagesize=\"4K\"} 123456789012");
	expect_line(
	    "gmig_domain_memory_bytes{domain=\"web1\",node=\"3\",pagesize=\"2M\"} 13194139533312");
	expect_line("gmig_domain_memory_bytes{domain=\"web1\",node=\"1023\",pagesize=\"1G\"} 0");
	expect_line("gmig_domain_local_ratio{domain=\"web1\"} 0.1");
	expect_line("gmig_domain_score_possible{domain=\"web1\"} 94.25");
	expect_line("gmig_domain_scan_timestamp_seconds{domain=\"web1\"} 1700000000.125");
	expect_line("gmig_domain_policy_wrong{domain=\"we\\\\ird \\\"name\\\"\\nof two lines\"} 1");
	expect_line("gmig_domain_job_info_type{domain=\"gr\xc3\xbc\xc3\x9f\"} 4");
	expect_line("gmig_domain_job_rate_limit_bytes_per_second{domain=\"web1\"} +Inf");
	expect_line("gmig_host_affinity_score 80");
	expect_line("gmig_scan_cpu_seconds_total 12.5");
}
END_TEST

START_TEST(what_is_not_known_is_not_written)
{
	print_well();
	ck_assert_ptr_null(strstr(text, "nan"));
	ck_assert_ptr_null(strstr(text, "\ngmig_host_score_possible "));
	ck_assert_ptr_null(strstr(text, "time_remaining_seconds{domain=\"web1\"}"));
	ck_assert_ptr_null(strstr(text, "gmig_domain_affinity_score{domain=\"we\\\\ird"));
	expect_line("gmig_domain_job_info_time_remaining_seconds{domain=\"gr\xc3\xbc\xc3\x9f\"} 0");
}
END_TEST

START_TEST(host_without_domains_is_well)
{
	snapshot.domain_count = 0;
	print_well();
	ck_assert_uint_eq(read_strictly(), 5);
	expect_line("gmig_domains 0");
}
END_TEST

START_TEST(name_that_is_not_utf8_becomes_some_that_is)
{
	domains[0].name = "a\xff\xc3";
	print_well();
	(void)read_strictly();
	expect_line("gmig_domain_affinity_score{domain=\"a?\?\"} 71");
}
END_TEST

START_TEST(two_domains_of_one_name_are_refused)
{
	domains[2].name = "web1";
	ck_assert_int_eq(metrics_print(&snapshot, &text, &err), -EINVAL);
	ck_assert_str_eq(err.text, "two domains have the name 'web1'");
}
END_TEST

START_TEST(decimal_comma_of_a_locale_does_not_come_in)
{
	if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
		skip_case("no locale with a decimal comma is installed");
		return;
	}
	print_well();
	expect_line("gmig_domain_local_ratio{domain=\"web1\"} 0.1");
}
END_TEST

static char folder[] = "/tmp/gmig-metrics-XXXXXX";
static char path[64], aside[80];

static void make_folder(void)
{
	setup();
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/gmig.prom", folder);
	snprintf(aside, sizeof(aside), "%s.new", path);
}

static void remove_folder(void)
{
	(void)unlink(path);
	ck_assert_int_eq(rmdir(folder), 0); /* nothing else is left there */
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	teardown();
}

static void expect_file(const char *name, const char *want)
{
	static char got[65536];
	FILE *file = fopen(name, "r");
	size_t bytes;

	ck_assert_ptr_nonnull(file);
	bytes = fread(got, 1, sizeof(got) - 1, file);
	fclose(file);
	got[bytes] = '\0';
	ck_assert_str_eq(got, want);
}

static void put_file(const char *name, const char *content)
{
	FILE *file = fopen(name, "w");

	ck_assert_ptr_nonnull(file);
	fputs(content, file);
	ck_assert_int_eq(fclose(file), 0);
}

START_TEST(file_is_replaced_as_a_whole_and_readable_by_all)
{
	struct stat state;
	int old;

	umask(077);
	put_file(path, "old\n");
	old = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_msg(!metrics_write(path, &snapshot, &err), "%s", err.text);
	print_well();
	expect_file(path, text);
	ck_assert_int_eq(stat(path, &state), 0);
	ck_assert_uint_eq(state.st_mode, S_IFREG | 0644);
	/* Who had it open still reads the old one. */
	ck_assert_int_eq(fstat(old, &state), 0);
	ck_assert_int_eq(state.st_size, 4);
	close(old);
}
END_TEST

START_TEST(links_are_replaced_and_never_followed)
{
	char victim[80];
	struct stat state;

	snprintf(victim, sizeof(victim), "%s/victim", folder);
	put_file(victim, "precious\n");
	ck_assert_int_eq(symlink(victim, path), 0);
	ck_assert_int_eq(symlink(victim, aside), 0);
	ck_assert_msg(!metrics_write(path, &snapshot, &err), "%s", err.text);
	expect_file(victim, "precious\n");
	ck_assert_int_eq(lstat(path, &state), 0);
	ck_assert(S_ISREG(state.st_mode));
	ck_assert_int_eq(unlink(victim), 0);
}
END_TEST

START_TEST(full_disk_leaves_the_old_file)
{
	struct rlimit small = {100, RLIM_INFINITY};

	put_file(path, "old\n");
	/* What a full disk does to write(2), done by a limit: a short count, then an error. */
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_eq(metrics_write(path, &snapshot, &err), -EFBIG);
	small.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "gmig.prom: File too large"));
	expect_file(path, "old\n");
}
END_TEST

START_TEST(folder_that_is_missing_is_an_error_with_the_path)
{
	ck_assert_int_eq(metrics_write("/nonexistent/gmig.prom", &snapshot, &err), -ENOENT);
	ck_assert_str_eq(err.text, "/nonexistent/gmig.prom: No such file or directory");
}
END_TEST

/* Each metric that the board asks for is one of ours, and each of ours but the build's is on it. */
START_TEST(board_names_the_metrics_that_are_written)
{
	static char board[200000];
	FILE *file = fopen(TEST_SOURCE_DIR "/examples/grafana-gmig.json", "r");
	size_t bytes, length;

	ck_assert_ptr_nonnull(file);
	bytes = fread(board, 1, sizeof(board) - 1, file);
	fclose(file);
	board[bytes] = '\0';
	for (const char *at = board; (at = strstr(at, "gmig_")) != NULL; at += length) {
		size_t i = 0;

		length = name_length(at);
		while (metrics_name(i) && (strlen(metrics_name(i)) != length ||
					   strncmp(metrics_name(i), at, length) != 0))
			i++;
		ck_assert_msg(metrics_name(i) != NULL, "no metric %.*s", (int)length, at);
	}
	for (size_t i = 1; metrics_name(i); i++)
		ck_assert_msg(strstr(board, metrics_name(i)) != NULL, "%s is not on the board",
			      metrics_name(i));
}
END_TEST

static bool has_field(const json_t *object, const char *key)
{
	return json_object_get(object, key) != NULL;
}

/* What Grafana needs of each panel: a place, a source, and a query with a name. */
START_TEST(board_is_json_with_panels_that_ask)
{
	json_error_t error;
	json_t *board = json_load_file(TEST_SOURCE_DIR "/examples/grafana-gmig.json",
				       JSON_REJECT_DUPLICATES, &error);
	json_t *panel, *target;
	size_t i, k;

	ck_assert_msg(board != NULL, "line %d: %s", error.line, error.text);
	ck_assert_uint_gt(json_array_size(json_object_get(board, "panels")), 0);
	json_array_foreach (json_object_get(board, "panels"), i, panel) {
		ck_assert_int_eq(json_integer_value(json_object_get(panel, "id")), (int)i + 1);
		ck_assert(has_field(panel, "gridPos") && has_field(panel, "datasource"));
		ck_assert_uint_gt(json_array_size(json_object_get(panel, "targets")), 0);
		json_array_foreach (json_object_get(panel, "targets"), k, target)
			ck_assert(has_field(target, "expr") && has_field(target, "refId"));
	}
	json_decref(board);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("metrics");
	TCase *print = tcase_create("print"), *files = tcase_create("files");

	tcase_add_checked_fixture(print, setup, teardown);
	tcase_add_test(print, text_is_read_by_a_strict_reader);
	tcase_add_test(print, values_are_exact_and_labels_escaped);
	tcase_add_test(print, what_is_not_known_is_not_written);
	tcase_add_test(print, host_without_domains_is_well);
	tcase_add_test(print, name_that_is_not_utf8_becomes_some_that_is);
	tcase_add_test(print, two_domains_of_one_name_are_refused);
	tcase_add_test(print, decimal_comma_of_a_locale_does_not_come_in);
	tcase_add_test(print, board_names_the_metrics_that_are_written);
	tcase_add_test(print, board_is_json_with_panels_that_ask);
	tcase_add_checked_fixture(files, make_folder, remove_folder);
	tcase_add_test(files, file_is_replaced_as_a_whole_and_readable_by_all);
	tcase_add_test(files, links_are_replaced_and_never_followed);
	tcase_add_test(files, full_disk_leaves_the_old_file);
	tcase_add_test(files, folder_that_is_missing_is_an_error_with_the_path);
	suite_add_tcase(suite, print);
	suite_add_tcase(suite, files);
	return run_suite(suite);
}
