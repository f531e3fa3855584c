/* Text of others made safe for a terminal. */
#include "suite.h"

#include "../../control/text.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *text, *safe;
} texts[] = {
    {"", ""},
    {"plain 7-bit text ~", "plain 7-bit text ~"},
    {"\x1b[2J\x1b]0;title\x07", "?[2J?]0;title?"},
    {"a\nb\tc\rd\x7f", "a?b?c?d?"},
    {"\xc2\x80\xc2\x9b"
     "31m\xc2\x9f\xc2\xa0",
     "??31m?\xc2\xa0"},
    {"gr\xc3\xbc\xc3\x9f\x65 \xe2\x82\xac \xf0\x9f\x90\xa7",
     "gr\xc3\xbc\xc3\x9f\x65 \xe2\x82\xac \xf0\x9f\x90\xa7"},
    /* every Bidi_Control, and the separators of lines and paragraphs */
    {"\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad\xe2\x80\xae",
     "????????"},
    {"\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9\xe2\x80\xa8\xe2\x80\xa9", "??????"},
    /* not UTF-8: alone, cut, overlong, a surrogate, over U+10FFFF */
    {"\x9b\xff\xfe", "???"},
    {"a\xc3", "a?"},
    {"a\xe2\x82", "a??"},
    {"\xc0\x9b\xc1\xbf", "????"},
    {"\xe0\x82\x9b", "???"},
    {"\xed\xa0\x80", "???"},
    {"\xf4\x90\x80\x80", "????"},
    {"\xf5\x80\x80\x80", "????"},
};
#define TEXTS (int)(sizeof(texts) / sizeof(texts[0]))

START_TEST(text_loses_what_a_terminal_would_obey)
{
	char *copy = strdup(texts[_i].text);

	ck_assert_ptr_eq(control_text_safe(copy), copy);
	ck_assert_str_eq(copy, texts[_i].safe);
	free(copy);
}
END_TEST

START_TEST(json_is_copied_with_safe_strings_and_keys)
{
	json_t *json = json_loads("{\"k\\u001b\":[\"a\\nb\",1,2.5,true,null,{\"\\u009b\":\"x\"}]}",
				  JSON_ALLOW_NUL, NULL);
	json_t *before = json_deep_copy(json), *safe = control_json_safe(json);
	json_t *want = json_loads("{\"k?\":[\"a?b\",1,2.5,true,null,{\"?\":\"x\"}]}", 0, NULL);

	ck_assert(json_equal(safe, want));
	ck_assert(json_equal(json, before));
	ck_assert_ptr_null(control_json_safe(NULL));
	json_decref(json);
	json_decref(before);
	json_decref(safe);
	json_decref(want);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("text");
	TCase *tcase = tcase_create("text");

	tcase_add_loop_test(tcase, text_loses_what_a_terminal_would_obey, 0, TEXTS);
	tcase_add_test(tcase, json_is_copied_with_safe_strings_and_keys);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
