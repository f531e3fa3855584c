/* Sets and lists of nodes: the helpers of gmig_nodes.h, and their text. */
#include "../../migrate/core/nodeset.h"
#include "../../migrate/gmig_nodes.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct gmig_node_set set_of(const char *text)
{
	struct gmig_node_set set = {{0}};
	struct gmig_error err = {0};

	ck_assert_msg(!gmig_node_set_parse(text, &set, &err), "%s: %s", text, err.text);
	return set;
}

START_TEST(set_has_what_was_added_at_both_ends_of_every_word)
{
	struct gmig_node_set set = {{0}};
	unsigned int count = 0, last = 0;

	ck_assert(gmig_node_set_empty(&set));
	ck_assert_uint_eq(gmig_node_set_next(&set, 0), GMIG_MAX_NODES);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node += node % 64 ? 1 : 63)
		gmig_node_set_add(&set, node);
	gmig_node_set_each (node, &set) {
		ck_assert(node % 64 == 0 || node % 64 == 63);
		ck_assert(gmig_node_set_has(&set, node));
		ck_assert(!count || node > last);
		last = node;
		count++;
	}
	ck_assert_uint_eq(count, 2 * GMIG_NODE_WORDS);
	ck_assert_uint_eq(gmig_node_set_count(&set), count);
	ck_assert_uint_eq(gmig_node_set_next(&set, 64), 64);
	ck_assert_uint_eq(gmig_node_set_next(&set, 65), 127);
	gmig_node_set_remove(&set, 1023);
	ck_assert_uint_eq(gmig_node_set_next(&set, 961), GMIG_MAX_NODES);
}
END_TEST

START_TEST(set_knows_no_number_that_is_not_a_node)
{
	struct gmig_node_set set = {{0}};

	gmig_node_set_add(&set, GMIG_MAX_NODES);
	gmig_node_set_add(&set, GMIG_NO_NODE);
	ck_assert(gmig_node_set_empty(&set));
	memset(&set, 0xff, sizeof(set));
	gmig_node_set_remove(&set, GMIG_MAX_NODES);
	ck_assert_uint_eq(gmig_node_set_count(&set), GMIG_MAX_NODES);
	ck_assert(!gmig_node_set_has(&set, GMIG_MAX_NODES));
	ck_assert(!gmig_node_set_has(&set, GMIG_NO_NODE));
	ck_assert_uint_eq(gmig_node_set_next(&set, GMIG_NO_NODE), GMIG_MAX_NODES);
}
END_TEST

START_TEST(sets_combine_as_sets_do)
{
	struct gmig_node_set a = set_of("0-2,1000"), b = set_of("2-3,1000-1001"), c;
	char text[64];

	c = a;
	gmig_node_set_and(&c, &b);
	ck_assert_str_eq(gmig_node_set_print(&c, text, sizeof(text)), "2,1000");
	c = a;
	gmig_node_set_or(&c, &b);
	ck_assert_str_eq(gmig_node_set_print(&c, text, sizeof(text)), "0-3,1000-1001");
	c = a;
	gmig_node_set_minus(&c, &b);
	ck_assert_str_eq(gmig_node_set_print(&c, text, sizeof(text)), "0-1");
}
END_TEST

/* ---- Text ------------------------------------------------------------------------------------ */

static const struct {
	const char *text, *printed;
} texts[] = {
    {"", ""},
    {"\n", ""},
    {"0", "0"},
    {"0\n", "0"},
    {"3,1,2", "1-3"},
    {"0,8,255,1023", "0,8,255,1023"},
    {"0-1023", "0-1023"},
    {"62-65,127-128", "62-65,127-128"},
    {"5,5,4-6", "4-6"},
};

START_TEST(set_of_text_prints_as_the_kernel_does)
{
	struct gmig_node_set set = set_of(texts[_i].text);
	char text[64];

	ck_assert_str_eq(gmig_node_set_print(&set, text, sizeof(text)), texts[_i].printed);
}
END_TEST

static const struct {
	const char *text;
	int code;
	const char *says;
} refused[] = {
    {"a", -EINVAL, "nodes are numbers"},    {" 1", -EINVAL, "nodes are numbers"},
    {"-1", -EINVAL, "nodes are numbers"},   {"1,", -EINVAL, "nodes are numbers"},
    {"1,\n", -EINVAL, "nodes are numbers"}, {"1-", -EINVAL, "nodes are numbers"},
    {"1\n2", -EINVAL, "divided by commas"}, {"1;2", -EINVAL, "divided by commas"},
    {"3-1", -EINVAL, "goes upwards"},	    {"1024", -ERANGE, "0 to 1023"},
    {"0-1024", -ERANGE, "0 to 1023"},	    {"99999999999999999999999", -ERANGE, "0 to 1023"},
};

START_TEST(bad_text_is_refused_and_leaves_the_set_alone)
{
	struct gmig_node_set set = set_of("7");
	struct gmig_error err = {0};
	uint16_t list[4];

	ck_assert_int_eq(gmig_node_set_parse(refused[_i].text, &set, &err), refused[_i].code);
	ck_assert_msg(strstr(err.text, refused[_i].says), "%s", err.text);
	ck_assert_uint_eq(gmig_node_set_count(&set), 1);
	ck_assert(gmig_node_set_has(&set, 7));
	ck_assert_int_lt(gmig_node_list_parse(refused[_i].text, list, 4, NULL), 0);
}
END_TEST

START_TEST(list_keeps_order_and_repetition)
{
	struct gmig_error err = {0};
	uint16_t list[4] = {0};

	ck_assert_int_eq(gmig_node_list_parse("1023,0-1,0", list, 4, &err), 4);
	ck_assert_uint_eq(list[0], 1023);
	ck_assert_uint_eq(list[1], 0);
	ck_assert_uint_eq(list[2], 1);
	ck_assert_uint_eq(list[3], 0);
	ck_assert_int_eq(gmig_node_list_parse("0-4", list, 4, &err), -E2BIG);
	ck_assert_int_eq(gmig_node_list_parse("", list, 4, &err), -EINVAL);
}
END_TEST

START_TEST(text_without_room_is_cut_at_a_comma)
{
	const struct gmig_node_set set = set_of("0-1,8,255,1023");
	const char *const by_size[] = {NULL,  "",	".",	  "..",	      "...",	 "...",
				       "...", "0-1...", "0-1...", "0-1,8...", "0-1,8..."};
	char text[16];

	for (size_t bytes = 1; bytes <= 10; bytes++) {
		memset(text, 'x', sizeof(text));
		gmig_node_set_print(&set, text, bytes);
		ck_assert_str_eq(text, by_size[bytes]);
		ck_assert_int_eq(text[bytes], 'x');
	}
	/* Just enough: "0-1,8,255,1023" has 14 characters. */
	ck_assert_str_eq(gmig_node_set_print(&set, text, 15), "0-1,8,255,1023");
	ck_assert_str_eq(gmig_node_set_print(&set, text, 14), "0-1,8,255...");
}
END_TEST

static const struct {
	const char *text, *nodes; /* in their order */
	int code;
	const char *says;
} choices[] = {
    {.text = "4,2", .nodes = "4 2 "},
    {.text = "all", .nodes = "0 2 3 5 "},
    {.text = "!2", .nodes = "0 3 5 "},
    {.text = "!5,0", .nodes = "2 3 "},
    {.text = "+0-1", .nodes = "2 3 "},
    {.text = "+2,0", .nodes = "5 2 "},
    {.text = "!+0-1", .nodes = "0 5 "},
    {.text = "!0-5", .code = -ENODEV, .says = "'!0-5': node 1 is offline"},
    {.text = "!0,2-3,5", .code = -EINVAL, .says = "'!0,2-3,5' is no node at all here"},
    {.text = "+3", .code = -ENODEV, .says = "'+3': +3 is none of the 3 nodes"},
    {.text = "!all", .code = -EINVAL, .says = "'!all' is no node at all"},
    {.text = "!", .code = -EINVAL, .says = "nodes are numbers"},
    {.text = "+all", .code = -EINVAL, .says = "nodes are numbers"},
    {.text = "+!0", .code = -EINVAL, .says = "nodes are numbers"},
    {.text = "all,1", .code = -EINVAL, .says = "nodes are numbers"},
    {.text = "!1024", .code = -ERANGE, .says = "0 to 1023"},
};

/* Nodes 0, 2, 3 and 5 have memory; 0 is not allowed. */
START_TEST(choice_is_a_list_of_the_hosts_nodes)
{
	const struct nodeset_choice host = {set_of("0,2-3,5"), set_of("2-3,5")};
	struct gmig_error err = {0};
	uint16_t nodes[GMIG_MAX_NODES];
	char text[64] = "";
	int count = nodeset_choose(choices[_i].text, &host, nodes, GMIG_MAX_NODES, &err);
	size_t used = 0;

	if (choices[_i].code) {
		ck_assert_int_eq(count, choices[_i].code);
		ck_assert_msg(strstr(err.text, choices[_i].says), "%s", err.text);
		return;
	}
	ck_assert_msg(count > 0, "%s", err.text);
	for (int i = 0; i < count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%u ", nodes[i]);
	ck_assert_str_eq(text, choices[_i].nodes);
	ck_assert_int_gt(nodeset_choose(choices[_i].text, NULL, nodes, GMIG_MAX_NODES, &err), -1);
}
END_TEST

START_TEST(choice_of_more_nodes_than_there_is_room_for_is_e2big)
{
	const struct nodeset_choice host = {set_of("0-3"), set_of("0-3")};
	uint16_t nodes[3];

	ck_assert_int_eq(nodeset_choose("!0", &host, nodes, 3, NULL), 3);
	ck_assert_int_eq(nodeset_choose("all", &host, nodes, 3, NULL), -E2BIG);
}
END_TEST

/* CPUs, for example, of which a host can have more than nodes. */
START_TEST(bits_of_text_are_all_that_is_set_up_to_the_limit)
{
	uint64_t words[3];
	struct gmig_error err = {0};

	memset(words, 0xff, sizeof(words));
	ck_assert_int_eq(nodeset_parse_bits("0,63-64,127\n", 128, words, &err), 0);
	ck_assert_uint_eq(words[0], 1ull << 63 | 1);
	ck_assert_uint_eq(words[1], 1ull << 63 | 1);
	ck_assert_uint_eq(words[2], UINT64_MAX);
	ck_assert_int_eq(nodeset_parse_bits("", 128, words, &err), 0);
	ck_assert_uint_eq(words[0] | words[1], 0);
	ck_assert_uint_eq(words[2], UINT64_MAX);
	ck_assert_int_eq(nodeset_parse_bits("128", 128, words, &err), -ERANGE);
	ck_assert_ptr_nonnull(strstr(err.text, "0 to 127: '128'"));
	ck_assert_int_eq(nodeset_parse_bits("5-3", 128, words, &err), -EINVAL);
	ck_assert_int_eq(nodeset_parse_bits("3-128", 128, words, &err), -ERANGE);
	ck_assert_uint_eq(words[2], UINT64_MAX);
}
END_TEST

START_TEST(list_fills_no_more_than_there_is_room_for)
{
	uint16_t list[4] = {7, 7, 7, 7};
	struct gmig_error err = {0};

	ck_assert_int_eq(gmig_node_list_parse("2-3,1", list, 3, &err), 3);
	ck_assert_uint_eq(list[0], 2);
	ck_assert_uint_eq(list[1], 3);
	ck_assert_uint_eq(list[2], 1);
	ck_assert_uint_eq(list[3], 7);
	ck_assert_int_eq(gmig_node_list_parse("2-3,1", list, 2, &err), -E2BIG);
	ck_assert_str_eq(err.text, "more than 2 nodes: '2-3,1'");
	ck_assert_uint_eq(list[3], 7);
	ck_assert_int_eq(gmig_node_list_parse("4", list, 0, &err), -E2BIG);
	ck_assert_int_eq(gmig_node_list_parse("4\n", list, 1, &err), 1);
}
END_TEST

START_TEST(words_that_need_a_host_are_told_from_lists)
{
	ck_assert(nodeset_is_choice("all"));
	ck_assert(nodeset_is_choice("!1"));
	ck_assert(nodeset_is_choice("+1"));
	ck_assert(!nodeset_is_choice("1"));
	ck_assert(!nodeset_is_choice("allx"));
	ck_assert(!nodeset_is_choice(""));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nodes");
	TCase *tcase = tcase_create("nodes");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, set_has_what_was_added_at_both_ends_of_every_word);
	tcase_add_test(tcase, set_knows_no_number_that_is_not_a_node);
	tcase_add_test(tcase, sets_combine_as_sets_do);
	tcase_add_loop_test(tcase, set_of_text_prints_as_the_kernel_does, 0,
			    sizeof(texts) / sizeof(texts[0]));
	tcase_add_loop_test(tcase, bad_text_is_refused_and_leaves_the_set_alone, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, list_keeps_order_and_repetition);
	tcase_add_test(tcase, text_without_room_is_cut_at_a_comma);
	tcase_add_test(tcase, bits_of_text_are_all_that_is_set_up_to_the_limit);
	tcase_add_test(tcase, list_fills_no_more_than_there_is_room_for);
	tcase_add_test(tcase, words_that_need_a_host_are_told_from_lists);
	tcase_add_loop_test(tcase, choice_is_a_list_of_the_hosts_nodes, 0,
			    sizeof(choices) / sizeof(choices[0]));
	tcase_add_test(tcase, choice_of_more_nodes_than_there_is_room_for_is_e2big);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
