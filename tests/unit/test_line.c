/* Line framing: how bytes become lines, however they are cut. */
#include "../../control/line.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct line_reader *reader;
static char seen[65536]; /* "line|line|!|" : each line and a bar, "!" a line that was too long, "^"
			    a resynced one */

static void setup(void)
{
	reader = line_reader_create(16);
	ck_assert_ptr_nonnull(reader);
	seen[0] = '\0';
}

static void teardown(void)
{
	line_reader_destroy(reader);
	reader = NULL;
}

static void feed_bytes(const char *bytes, size_t count)
{
	while (count) {
		enum line_result result;
		size_t length, taken = line_reader_feed(reader, bytes, count, &result);
		const char *line;

		ck_assert_uint_gt(taken, 0);
		ck_assert_uint_le(taken, count);
		bytes += taken;
		count -= taken;
		if (result == LINE_TOO_LONG)
			strcat(seen, "!|");
		if (result != LINE_READY)
			continue;
		line = line_reader_line(reader, &length);
		ck_assert_int_eq(line[length], '\0');
		if (line_reader_resynced(reader))
			strcat(seen, "^");
		strncat(seen, line, length);
		strcat(seen, "|");
	}
}

static void feed(const char *text)
{
	feed_bytes(text, strlen(text));
}

START_TEST(line_lf_and_crlf_both_end)
{
	feed("one\ntwo\r\n\nthree\r\n");
	ck_assert_str_eq(seen, "one|two||three|");
}
END_TEST

START_TEST(line_cr_inside_is_kept)
{
	feed("a\rb\n");
	ck_assert_str_eq(seen, "a\rb|");
}
END_TEST

START_TEST(line_halves_make_one)
{
	feed("hel");
	ck_assert_str_eq(seen, "");
	feed("lo\r");
	ck_assert_str_eq(seen, "");
	feed("\nnext\n");
	ck_assert_str_eq(seen, "hello|next|");
}
END_TEST

START_TEST(line_every_cut_gives_the_same_lines)
{
	const char *text = "one\r\n\xfftwo\n0123456789abcdefX\nfour\r\n0123456789abcdef\r\n";
	size_t count = strlen(text);

	for (size_t cut = 0; cut <= count; cut++) {
		teardown();
		setup();
		feed_bytes(text, cut);
		feed_bytes(text + cut, count - cut);
		ck_assert_str_eq(seen, "one|^two|!|four|0123456789abcdef|");
	}
}
END_TEST

START_TEST(line_byte_by_byte_gives_the_same_lines)
{
	const char *text = "one\r\n\xfftwo\n0123456789abcdefX\nfour\r\n0123456789abcdef\r\n";

	for (const char *byte = text; *byte; byte++)
		feed_bytes(byte, 1);
	ck_assert_str_eq(seen, "one|^two|!|four|0123456789abcdef|");
}
END_TEST

START_TEST(line_at_the_limit_is_ready_one_over_is_too_long)
{
	feed("0123456789abcdef\n0123456789abcdef\r\n0123456789abcdefg\n0123456789abcdef\rg\nok\n");
	ck_assert_str_eq(seen, "0123456789abcdef|0123456789abcdef|!|!|ok|");
}
END_TEST

START_TEST(line_too_long_is_reported_once)
{
	for (int i = 0; i < 1000; i++)
		feed("0123456789abcdef");
	feed("\nok\n");
	ck_assert_str_eq(seen, "!|ok|");
}
END_TEST

START_TEST(line_resync_discards_what_was_gathered)
{
	feed("{{{{\xff"
	     "good\nplain\n");
	ck_assert_str_eq(seen, "^good|plain|");
}
END_TEST

START_TEST(line_resync_ends_the_skipping_of_a_long_line)
{
	feed("0123456789abcdef0123456789\xffgood\n");
	ck_assert_str_eq(seen, "!|^good|");
}
END_TEST

START_TEST(line_nul_bytes_are_kept)
{
	static const char bytes[] = "a\0b\n";
	enum line_result result;
	const char *line;
	size_t length;

	ck_assert_uint_eq(line_reader_feed(reader, bytes, 4, &result), 4);
	ck_assert_int_eq(result, LINE_READY);
	line = line_reader_line(reader, &length);
	ck_assert_uint_eq(length, 3);
	ck_assert_mem_eq(line, "a\0b", 3);
}
END_TEST

START_TEST(line_long_then_short_keeps_working)
{
	static char big[300000];

	teardown();
	reader = line_reader_create(1 << 20);
	memset(big, 'x', sizeof(big) - 1);
	for (int i = 0; i < 3; i++) {
		enum line_result result;
		size_t length;

		ck_assert_uint_eq(line_reader_feed(reader, big, sizeof(big) - 1, &result),
				  sizeof(big) - 1);
		ck_assert_int_eq(result, LINE_NONE);
		ck_assert_uint_eq(line_reader_feed(reader, "\n", 1, &result), 1);
		ck_assert_int_eq(result, LINE_READY);
		line_reader_line(reader, &length);
		ck_assert_uint_eq(length, sizeof(big) - 1);
		seen[0] = '\0';
		feed("short\n");
		ck_assert_str_eq(seen, "short|");
	}
}
END_TEST

START_TEST(line_destroy_null_is_legal)
{
	line_reader_destroy(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("line");
	TCase *tcase = tcase_create("line");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, line_lf_and_crlf_both_end);
	tcase_add_test(tcase, line_cr_inside_is_kept);
	tcase_add_test(tcase, line_halves_make_one);
	tcase_add_test(tcase, line_every_cut_gives_the_same_lines);
	tcase_add_test(tcase, line_byte_by_byte_gives_the_same_lines);
	tcase_add_test(tcase, line_at_the_limit_is_ready_one_over_is_too_long);
	tcase_add_test(tcase, line_too_long_is_reported_once);
	tcase_add_test(tcase, line_resync_discards_what_was_gathered);
	tcase_add_test(tcase, line_resync_ends_the_skipping_of_a_long_line);
	tcase_add_test(tcase, line_nul_bytes_are_kept);
	tcase_add_test(tcase, line_long_then_short_keeps_working);
	tcase_add_test(tcase, line_destroy_null_is_legal);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
