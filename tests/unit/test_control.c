/* The control socket's messages, over real sockets: framing, JSON, arguments, errors. */
#include "control_wire.h"

/* ---- Framing and JSON ------------------------------------------------------------------------ */

START_TEST(greeting_names_version_and_guest)
{
	int fd = dial_quietly();
	const char *line = read_line(fd);

	ck_assert_ptr_nonnull(strstr(line, "{\"QMP\":{\"version\":{\"gmig\":{\"major\":"));
	ck_assert_ptr_nonnull(strstr(line, "\"capabilities\":[]"));
	ck_assert_ptr_nonnull(strstr(line, "\"name\":\"vm1\""));
	close(fd);
}
END_TEST

START_TEST(request_is_answered)
{
	int fd = dial();

	ask(fd, "{\"execute\":\"qmp_capabilities\"}", "{\"return\":{}}");
	ask(fd,
	    "{\"execute\":\"echo\",\"arguments\":{\"text\":\"h\xc3\xa9\",\"number\":-7,\"list\":[1]"
	    "}}",
	    "{\"return\":{\"text\":\"h\xc3\xa9\",\"number\":-7,\"list\":[1]}}");
	close(fd);
}
END_TEST

START_TEST(request_with_crlf_and_blank_lines_is_answered)
{
	int fd = dial();

	write_text(fd, "\n\r\n  \t\r\n{\"execute\":\"echo\"}\r\n");
	ck_assert_str_eq(read_line(fd), "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(request_in_halves_is_answered_once_whole)
{
	int fd = dial(), other = dial();

	write_text(fd, "{\"execute\":");
	ask(other, "{\"execute\":\"echo\",\"id\":1}",
	    "\"id\":1"); /* the half line holds nobody up */
	write_text(fd, "\"echo\",\"id\":2}\n");
	ck_assert_str_eq(read_line(fd), "{\"return\":{},\"id\":2}");
	close(fd);
	close(other);
}
END_TEST

START_TEST(several_requests_in_one_write_are_answered_in_order)
{
	int fd = dial();

	write_text(fd, "{\"execute\":\"echo\",\"id\":1}\n{\"execute\":\"nope\",\"id\":2}\n{"
		       "\"execute\":\"echo\",\"id\":3}\n");
	ck_assert_str_eq(read_line(fd), "{\"return\":{},\"id\":1}");
	ck_assert_ptr_nonnull(strstr(read_line(fd), "\"id\":2"));
	ck_assert_str_eq(read_line(fd), "{\"return\":{},\"id\":3}");
	close(fd);
}
END_TEST

START_TEST(resync_byte_discards_half_a_request)
{
	int fd = dial();

	write_text(fd, "{{{{ garbage\xff{\"execute\":\"echo\"}\n");
	ck_assert_str_eq(read_line(fd), "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(id_of_any_type_is_echoed)
{
	static const char *const ids[] = {
	    "1",    "-1.5",	     "\"x\"",	   "true",
	    "null", "[1,{\"a\":2}]", "{\"a\":[]}", "9223372036854775807"};
	int fd = dial();

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char line[128], part[64];

		snprintf(line, sizeof(line), "{\"id\":%s,\"execute\":\"%s\"}", ids[i],
			 i & 1 ? "echo" : "nope");
		snprintf(part, sizeof(part), ",\"id\":%s}", ids[i]);
		ask(fd, line, part);
	}
	close(fd);
}
END_TEST

static const struct {
	const char *line, *text;
} bad_lines[] = {
    {"garbage", "is not JSON"},
    {"{\"execute\":\"echo\"", "ends too early"},
    {"{\"execute\":\"echo\"} x", "there is more after the request"},
    {"{'execute':'echo'}", "is not JSON"},
    {"[]", "a request is an object, this is an array"},
    {"7", "a request is an object, this is an integer"},
    {"\"echo\"", "a request is an object, this is a string"},
    {"null", "a request is an object, this is null"},
    {"{\"execute\":\"echo\",\"execute\":\"fail\"}", "a member is there twice"},
    {"{\"execute\":\"\xc3(\"}", "is not UTF-8"},
    {"{\"execute\":\"a\\u0000b\"}", "\\u0000 is not allowed"},
    {"{\"execute\":\"echo\",\"arguments\":{\"number\":99999999999999999999}}",
     "a number is out of range"},
    {"{\"execute\":\"echo\",\"arguments\":{\"number\":1e999}}", "a number is out of range"},
    {"{}", "has no member 'execute'"},
    {"{\"execute\":5}", "'execute' is a string, here it is an integer"},
    {"{\"execute\":\"echo\",\"arguments\":[]}", "'arguments' is an object, here it is an array"},
    {"{\"execute\":\"echo\",\"arguments\":null}", "'arguments' is an object, here it is null"},
    {"{\"execute\":\"echo\",\"when\":1}", "a request has no member 'when'"},
    {"{\"execute\":\"\"}", "there is no command ''"},
    {"{\"execute\":\"nope\"}", "there is no command 'nope'"},
    {"{\"execute\":\"shout\",\"arguments\":{\"a\":1}}", "'shout' takes no arguments, here is 'a'"},
    {"{\"execute\":\"echo\",\"arguments\":{\"a\":1}}", "'echo' has no argument 'a'"},
    {"{\"execute\":\"fail\"}", "argument 'code' of 'fail' is missing"},
    {"{\"execute\":\"fail\",\"arguments\":{\"code\":\"1\"}}",
     "argument 'code' of 'fail' is an integer, here it is a string"},
    {"{\"execute\":\"fail\",\"arguments\":{\"code\":1.5}}", "here it is a number with a fraction"},
    {"{\"execute\":\"fail\",\"arguments\":{\"code\":null}}", "here it is null"},
    {"{\"execute\":\"echo\",\"arguments\":{\"text\":[]}}", "is a string, here it is an array"},
    {"{\"execute\":\"echo\",\"arguments\":{\"flag\":1}}",
     "is true or false, here it is an integer"},
    {"{\"execute\":\"echo\",\"arguments\":{\"list\":{}}}", "is an array, here it is an object"},
    {"{\"execute\":\"echo\",\"arguments\":{\"object\":true}}",
     "is an object, here it is true or false"},
    {"{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}",
     "no capability is offered"},
};

START_TEST(bad_line_gets_its_own_text_and_the_connection_lives)
{
	int fd = dial();

	ask(fd, bad_lines[_i].line, bad_lines[_i].text);
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(nul_byte_in_a_line_is_named)
{
	static const char bytes[] = "{\"execute\":\0\"echo\"}\n";
	int fd = dial();

	write_bytes(fd, bytes, sizeof(bytes) - 1);
	ck_assert_ptr_nonnull(strstr(read_line(fd), "the request has a NUL byte, at byte 12"));
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
	int fd = dial();

	for (int i = 0; i < 100000; i++)
		write_text(fd, "[");
	write_text(fd, "\n");
	ck_assert_ptr_nonnull(strstr(read_line(fd), "nested too deeply"));
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(line_of_ten_megabytes_is_refused_once)
{
	static char chunk[1 << 20];
	int fd = dial();

	memset(chunk, 'x', sizeof(chunk));
	for (int i = 0; i < 10; i++)
		write_bytes(fd, chunk, sizeof(chunk));
	write_text(fd, "\n");
	ck_assert_ptr_nonnull(
	    strstr(read_line(fd), "a request is one line of at most 1048576 bytes"));
	ask(fd, "{\"execute\":\"echo\"}", "{\"return\":{}}");
	close(fd);
}
END_TEST

START_TEST(line_of_a_megabyte_is_answered)
{
	static char line[900000];
	int fd = dial();
	size_t length =
	    (size_t)sprintf(line, "{\"execute\":\"echo\",\"arguments\":{\"text\":\"\"}");

	memset(line + length, ' ', sizeof(line) - length);
	line[sizeof(line) - 2] = '}';
	line[sizeof(line) - 1] = '\n';
	write_bytes(fd, line, sizeof(line));
	ck_assert_str_eq(read_line(fd), "{\"return\":{\"text\":\"\"}}");
	close(fd);
}
END_TEST

/* ---- Errors ---------------------------------------------------------------------------------- */

START_TEST(error_has_class_desc_and_errno)
{
	int fd = dial();

	ask(fd, "{\"execute\":\"fail\",\"arguments\":{\"code\":1}}",
	    "{\"error\":{\"class\":\"GenericError\",\"desc\":\"as was "
	    "asked\",\"errno\":\"EPERM\"}}");
	ask(fd, "{\"execute\":\"nope\"}", "{\"error\":{\"class\":\"CommandNotFound\",");
	/* a known command that fails with ENOSYS is not an unknown command */
	ask(fd, "{\"execute\":\"fail\",\"arguments\":{\"code\":38}}",
	    "{\"error\":{\"class\":\"GenericError\",");
	close(fd);
}
END_TEST

START_TEST(error_without_text_gets_one)
{
	int fd = dial();

	ask(fd, "{\"execute\":\"fail-silently\"}", "fail-silently: Device or resource busy");
	close(fd);
}
END_TEST

START_TEST(error_text_cut_within_a_character_is_sent)
{
	int fd = dial();

	ask(fd, "{\"execute\":\"half-character\"}", "half a letter: ?");
	close(fd);
}
END_TEST

START_TEST(query_commands_lists_built_ins_and_arguments)
{
	int fd = dial();
	const char *line;

	write_text(fd, "{\"execute\":\"query-commands\"}\n");
	line = read_line(fd);
	ck_assert_ptr_nonnull(strstr(line, "\"query-commands\""));
	ck_assert_ptr_nonnull(strstr(line, "\"qmp_capabilities\""));
	ck_assert_ptr_nonnull(strstr(
	    line, "{\"name\":\"fail\",\"arguments\":[{\"name\":\"code\",\"type\":\"integer\","
		  "\"required\":true}]}"));
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control");
	TCase *tcase = case_with(suite, "wire", wire_setup_started);

	tcase_add_test(tcase, greeting_names_version_and_guest);
	tcase_add_test(tcase, request_is_answered);
	tcase_add_test(tcase, request_with_crlf_and_blank_lines_is_answered);
	tcase_add_test(tcase, request_in_halves_is_answered_once_whole);
	tcase_add_test(tcase, several_requests_in_one_write_are_answered_in_order);
	tcase_add_test(tcase, resync_byte_discards_half_a_request);
	tcase_add_test(tcase, id_of_any_type_is_echoed);
	tcase_add_loop_test(tcase, bad_line_gets_its_own_text_and_the_connection_lives, 0,
			    sizeof(bad_lines) / sizeof(bad_lines[0]));
	tcase_add_test(tcase, nul_byte_in_a_line_is_named);
	tcase_add_test(tcase, deep_nesting_is_refused);
	tcase_add_test(tcase, line_of_ten_megabytes_is_refused_once);
	tcase_add_test(tcase, line_of_a_megabyte_is_answered);
	tcase_add_test(tcase, error_has_class_desc_and_errno);
	tcase_add_test(tcase, error_without_text_gets_one);
	tcase_add_test(tcase, error_text_cut_within_a_character_is_sent);
	tcase_add_test(tcase, query_commands_lists_built_ins_and_arguments);
	return run_suite(suite);
}
