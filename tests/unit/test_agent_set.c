/* The agent's sets, mapping of nodes, address ranges, histogram. */
#include "../../guestagent/hist.h"
#include "../../guestagent/nodes.h"
#include "../../guestagent/ranges.h"
#include "../../guestagent/set.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct agent_set set_of(const char *text)
{
	struct agent_set set;

	ck_assert_int_eq(agent_set_parse(text, AGENT_SET_MAX, &set, NULL), 0);
	return set;
}

START_TEST(set_text_becomes_members_and_back)
{
	static const char *const texts[] = {"", "0", "0-3", "0-3,8", "63-64,4095", "1,3,5"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct agent_set set = set_of(texts[i]);
		char text[64];

		agent_set_print(&set, text, sizeof(text));
		ck_assert_str_eq(text, texts[i]);
	}
}
END_TEST

START_TEST(set_with_newline_overlap_and_disorder_is_read)
{
	struct agent_set set = set_of("5,1-3,2-4\n");
	char text[64];

	agent_set_print(&set, text, sizeof(text));
	ck_assert_str_eq(text, "1-5");
	ck_assert_int_eq(agent_set_count(&set), 5);
	ck_assert_int_eq(agent_set_rank(&set, 4), 3);
	ck_assert_int_eq(agent_set_nth(&set, 2), 3);
	ck_assert_int_eq(agent_set_nth(&set, 5), -1);
}
END_TEST

START_TEST(set_print_cut_ends_in_the_buffer)
{
	struct agent_set set = set_of("0,2,4,6,8,10,12,14");
	char text[6];

	agent_set_print(&set, text, sizeof(text));
	ck_assert_uint_eq(strlen(text), 5);
}
END_TEST

START_TEST(set_bad_text_is_refused)
{
	static const char *const texts[] = {"x", "1-", "-1", "3-1", "1,,2", "1 2", "1,", "1-2-3"};
	struct agent_set set;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(agent_set_parse(texts[i], 100, &set, NULL) == -EINVAL, "'%s'",
			      texts[i]);
	ck_assert_int_eq(agent_set_parse("100", 100, &set, NULL), -ERANGE);
	ck_assert_int_eq(agent_set_parse("1-99999999999999999999", 100, &set, NULL), -ERANGE);
}
END_TEST

static int from_json(const char *text, struct agent_set *set)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
	int rc;

	ck_assert_ptr_nonnull(json);
	rc = agent_set_from_json(json, "from", AGENT_MAX_NODES, set, NULL);
	json_decref(json);
	return rc;
}

START_TEST(set_json_is_an_array_or_a_string)
{
	struct agent_set set;

	ck_assert_int_eq(from_json("[0,3]", &set), 0);
	ck_assert(agent_set_has(&set, 3) && !agent_set_has(&set, 1));
	ck_assert_int_eq(from_json("\"0-1\"", &set), 0);
	ck_assert_int_eq(agent_set_count(&set), 2);
	ck_assert_int_eq(from_json("[]", &set), -EINVAL);
	ck_assert_int_eq(from_json("\"\"", &set), -EINVAL);
	ck_assert_int_eq(from_json("[\"a\"]", &set), -EINVAL);
	ck_assert_int_eq(from_json("[-1]", &set), -ERANGE);
	ck_assert_int_eq(from_json("[1024]", &set), -ERANGE);
	ck_assert_int_eq(from_json("7", &set), -EINVAL);
}
END_TEST

static int goes_to(const char *from, const char *to, int node)
{
	struct agent_set f = set_of(from), t = set_of(to);
	struct agent_mapping mapping;

	agent_mapping_set(&mapping, &f, &t);
	return agent_mapping_of(&mapping, node);
}

START_TEST(mapping_keeps_relative_layout_as_migrate_pages_does)
{
	ck_assert_int_eq(goes_to("0,1", "2,3", 0), 2);
	ck_assert_int_eq(goes_to("0,1", "2,3", 1), 3);
	ck_assert_int_eq(goes_to("0,1", "2,3", 2), -1);
	ck_assert_int_eq(goes_to("0-3", "4,5", 3), 5);
	ck_assert_int_eq(goes_to("0,1", "1,2", 1), 2);
	ck_assert_int_eq(goes_to("0,1", "1", 1), -1);
	ck_assert_int_eq(goes_to("0", "0", 0), -1);
	/* Sizes differ: what is on a target node already stays, as in do_migrate_pages(). */
	ck_assert_int_eq(goes_to("0-2", "1,2", 0), 1);
	ck_assert_int_eq(goes_to("0-2", "1,2", 2), -1);
}
END_TEST

static int ranges(const char *text, struct agent_range *first, size_t *count)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
	struct agent_range *list = NULL;
	int rc;

	ck_assert_ptr_nonnull(json);
	rc = agent_ranges_from_json(json, 4096, 2, &list, count, NULL);
	if (!rc)
		*first = list[0];
	free(list);
	json_decref(json);
	return rc;
}

START_TEST(ranges_are_rounded_to_pages_and_checked)
{
	struct agent_range range;
	size_t count;

	ck_assert_int_eq(ranges("[{\"start\":\"0x1fff\",\"bytes\":2}]", &range, &count), 0);
	ck_assert_uint_eq(range.start, 0x1000);
	ck_assert_uint_eq(range.end, 0x3000);
	ck_assert_int_eq(ranges("[{\"start\":4096,\"bytes\":4096}]", &range, &count), 0);
	ck_assert_uint_eq(range.end, 0x2000);
	ck_assert_int_eq(ranges("[]", &range, &count), -EINVAL);
	ck_assert_int_eq(ranges("[1,2,3]", &range, &count), -E2BIG);
	ck_assert_int_eq(ranges("[7]", &range, &count), -EINVAL);
	ck_assert_int_eq(ranges("[{\"start\":0,\"bytes\":0}]", &range, &count), -ERANGE);
	ck_assert_int_eq(ranges("[{\"start\":-1,\"bytes\":1}]", &range, &count), -EINVAL);
	ck_assert_int_eq(
	    ranges("[{\"start\":\"0xfffffffffffff000\",\"bytes\":4096}]", &range, &count), -ERANGE);
	ck_assert_int_eq(ranges("[{\"start\":4096,\"bytes\":9223372036854775807}]", &range, &count),
			 -ERANGE);
	ck_assert_int_eq(ranges("[{\"start\":\"zz\",\"bytes\":1}]", &range, &count), -EINVAL);
	ck_assert_int_eq(ranges("[{\"start\":1,\"bytes\":1,\"x\":1}]", &range, &count), -EINVAL);
}
END_TEST

START_TEST(hist_quantiles_are_within_a_bucket)
{
	struct agent_hist *hist = calloc(1, sizeof(*hist));

	ck_assert_ptr_nonnull(hist);
	ck_assert_uint_eq(agent_hist_quantile(hist, 0.5), 0);
	for (uint64_t ns = 1; ns <= 100000; ns++)
		agent_hist_record(hist, ns);
	for (int percent = 1; percent <= 100; percent++) {
		double exact = percent * 1000.0;
		double got = (double)agent_hist_quantile(hist, percent / 100.0);

		ck_assert_double_ge(got, exact);
		ck_assert_double_le(got, exact * 1.033);
	}
	ck_assert_uint_eq(agent_hist_quantile(hist, 1), 100000);
	agent_hist_record(hist, UINT64_MAX);
	ck_assert_uint_eq(agent_hist_quantile(hist, 1), UINT64_MAX);
	free(hist);
}
END_TEST

START_TEST(hist_octaves_add_up)
{
	struct agent_hist *hist = calloc(1, sizeof(*hist));
	uint64_t sum = 0;

	ck_assert_ptr_nonnull(hist);
	for (uint64_t ns = 0; ns < 100000; ns++)
		agent_hist_record(hist, ns);
	agent_hist_record(hist, UINT64_MAX);
	ck_assert_uint_eq(agent_hist_octave(hist, 0), 2);
	for (unsigned int octave = 1; octave < 16; octave++)
		ck_assert_uint_eq(agent_hist_octave(hist, octave), 1u << octave);
	ck_assert_uint_eq(agent_hist_octave(hist, 16), 100000 - 65536);
	ck_assert_uint_eq(agent_hist_octave(hist, 62), 0);
	ck_assert_uint_eq(agent_hist_octave(hist, 63), 1);
	for (unsigned int octave = 0; octave < 64; octave++)
		sum += agent_hist_octave(hist, octave);
	ck_assert_uint_eq(sum, hist->count);
	free(hist);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_set");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, set_text_becomes_members_and_back);
	tcase_add_test(tcase, set_with_newline_overlap_and_disorder_is_read);
	tcase_add_test(tcase, set_print_cut_ends_in_the_buffer);
	tcase_add_test(tcase, set_bad_text_is_refused);
	tcase_add_test(tcase, set_json_is_an_array_or_a_string);
	tcase_add_test(tcase, mapping_keeps_relative_layout_as_migrate_pages_does);
	tcase_add_test(tcase, ranges_are_rounded_to_pages_and_checked);
	tcase_add_test(tcase, hist_quantiles_are_within_a_bucket);
	tcase_add_test(tcase, hist_octaves_add_up);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
