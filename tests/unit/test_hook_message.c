/* The hook's datagram, written and read. */
#include "suite.h"

#include "../../libvirt-hooks/hook_message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UUID "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"

static char datagram[HOOK_MESSAGE_BYTES];
static struct hook_message message, read_back;

static void fill(enum hook_xml which, const char *xml, size_t bytes)
{
	memset(&message, 0, sizeof(message));
	strcpy(message.operation, "started");
	strcpy(message.sub_operation, "begin");
	strcpy(message.extra, "-");
	strcpy(message.name, "web1");
	strcpy(message.uuid, UUID);
	message.which = which;
	message.xml = xml;
	message.xml_bytes = bytes;
	message.xml_digest = hook_digest(HOOK_DIGEST_START, xml, bytes);
}

START_TEST(message_is_read_as_it_was_written)
{
	static const char xml[] = "<domain/>\n";
	size_t bytes;

	fill((enum hook_xml)_i, _i == HOOK_XML_NONE ? "" : xml,
	     _i == HOOK_XML_NONE ? 0 : sizeof(xml) - 1);
	bytes = hook_message_write(&message, datagram, sizeof(datagram));
	ck_assert_uint_gt(bytes, 0);
	ck_assert_int_eq(hook_message_read(datagram, bytes, &read_back, NULL), 0);
	ck_assert_str_eq(read_back.operation, "started");
	ck_assert_str_eq(read_back.sub_operation, "begin");
	ck_assert_str_eq(read_back.extra, "-");
	ck_assert_str_eq(read_back.name, "web1");
	ck_assert_str_eq(read_back.uuid, UUID);
	ck_assert_int_eq(read_back.which, _i);
	ck_assert_uint_eq(read_back.xml_bytes, message.xml_bytes);
	ck_assert_uint_eq(read_back.xml_digest, message.xml_digest);
	if (_i == HOOK_XML_WHOLE)
		ck_assert_mem_eq(read_back.xml, xml, sizeof(xml) - 1);
	else
		ck_assert_ptr_null(read_back.xml);
}
END_TEST

START_TEST(longest_fields_and_xml_fit_a_datagram)
{
	char *xml = malloc(HOOK_XML_BYTES);
	size_t bytes;

	memset(xml, 'x', HOOK_XML_BYTES);
	fill(HOOK_XML_WHOLE, xml, HOOK_XML_BYTES);
	memset(message.operation, 'o', HOOK_FIELD - 1);
	memset(message.sub_operation, 's', HOOK_FIELD - 1);
	memset(message.extra, 'e', HOOK_FIELD - 1);
	memset(message.name, 'n', HOOK_NAME - 1);
	bytes = hook_message_write(&message, datagram, sizeof(datagram));
	ck_assert_uint_gt(bytes, HOOK_XML_BYTES);
	ck_assert_int_eq(hook_message_read(datagram, bytes, &read_back, NULL), 0);
	ck_assert_uint_eq(strlen(read_back.name), HOOK_NAME - 1);
	ck_assert_uint_eq(hook_message_write(&message, datagram, bytes - 1), 0);
	ck_assert_uint_eq(hook_message_write(&message, datagram, 0), 0);
	free(xml);
}
END_TEST

START_TEST(message_that_is_cut_anywhere_is_refused)
{
	static const char xml[] = "<domain/>";
	struct gmig_error err;
	size_t bytes;
	char *exact;

	fill(HOOK_XML_WHOLE, xml, sizeof(xml) - 1);
	bytes = hook_message_write(&message, datagram, sizeof(datagram));
	for (size_t cut = 0; cut < bytes; cut++) {
		exact = malloc(cut + !cut); /* so that a sanitizer sees a read beyond it */
		memcpy(exact, datagram, cut);
		ck_assert_int_eq(hook_message_read(exact, cut, &read_back, &err), -EINVAL);
		free(exact);
	}
	datagram[bytes] = 'x';
	ck_assert_int_eq(hook_message_read(datagram, bytes + 1, &read_back, &err), -EINVAL);
}
END_TEST

START_TEST(message_with_any_bit_of_its_xml_changed_is_refused)
{
	static const char xml[] = "<domain type='kvm'/>";
	size_t bytes;

	fill(HOOK_XML_WHOLE, xml, sizeof(xml) - 1);
	bytes = hook_message_write(&message, datagram, sizeof(datagram));
	for (size_t i = 1; i < sizeof(xml); i++) {
		datagram[bytes - i] ^= 1;
		ck_assert_int_eq(hook_message_read(datagram, bytes, &read_back, NULL), -EINVAL);
		datagram[bytes - i] ^= 1;
	}
}
END_TEST

#define BEGIN "gmig-hook 1\0start\0begin\0-\0web1\0"
static const struct {
	const char *bytes;
	size_t count;
	const char *says;
} wrong[] = {
#define WRONG(text, says) text, sizeof(text), says
    {WRONG("", "not a hook's message")},
    {WRONG("gmig-hook 2\0start", "not a hook's message")},
    {WRONG("gmig-hook 1", "operation")},
    {WRONG("gmig-hook 1\0st\nart\0begin\0-\0a\0\0none\0000\0cbf29ce484222325", "operation")},
    {WRONG("gmig-hook 1\0"
	   "0123456789012345678901234567890123456789012345678901234567890123\0begin\0-\0a\0\0none"
	   "\0000\0cbf29ce484222325",
	   "operation")},
    {WRONG(BEGIN "4DEA22B3-1D52-D8F3-2516-782E98AB3FA0\0none\0000\0cbf29ce484222325", "uuid")},
    {WRONG(BEGIN "4dea22b3\0none\0000\0cbf29ce484222325", "uuid")},
    {WRONG(BEGIN "4dea22b3-1d52-d8f3-2516-782e98ab3fa01\0none\0000\0cbf29ce484222325", "uuid")},
    {WRONG(BEGIN "\0some\0000\0cbf29ce484222325", "which XML")},
    {WRONG(BEGIN "\0none\00000\0cbf29ce484222325", "size")},
    {WRONG(BEGIN "\0none\0+0\0cbf29ce484222325", "size")},
    {WRONG(BEGIN "\0digest\0-1\0cbf29ce484222325", "size")},
    {WRONG(BEGIN "\0digest\00018446744073709551616\0cbf29ce484222325", "size")},
    {WRONG(BEGIN "\0digest\0005\0cbf29ce48422232", "digest")},
    {WRONG(BEGIN "\0digest\0005\0CBF29CE484222325", "digest")},
    {WRONG(BEGIN "\0none\0001\0cbf29ce484222325", "size")},
    {WRONG(BEGIN "\0whole\00018446744073709551615\0cbf29ce484222325\0", "size")},
};
#define WRONGS (int)(sizeof(wrong) / sizeof(wrong[0]))

START_TEST(message_of_a_stranger_is_refused)
{
	struct gmig_error err = {0, ""};

	ck_assert_int_eq(hook_message_read(wrong[_i].bytes, wrong[_i].count, &read_back, &err),
			 -EINVAL);
	ck_assert_msg(strstr(err.text, wrong[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(message_longer_than_any_of_ours_is_refused)
{
	char *xml = calloc(1, HOOK_MESSAGE_BYTES), *bytes = malloc(2 * HOOK_MESSAGE_BYTES);
	size_t count;

	fill(HOOK_XML_WHOLE, xml, HOOK_MESSAGE_BYTES);
	count = hook_message_write(&message, bytes, 2 * HOOK_MESSAGE_BYTES);
	ck_assert_uint_gt(count, HOOK_MESSAGE_BYTES);
	ck_assert_int_eq(hook_message_read(bytes, count, &read_back, NULL), -EINVAL);
	free(bytes);
	free(xml);
}
END_TEST

static const struct {
	const char *argument, *field;
} fields[] = {
    {NULL, ""},
    {"", ""},
    {"start", "start"},
    {"1234567", "1234567"},
    {"12345678", ""},
    {"a\nb", ""},
    {"a\x1b[2J", ""},
    {"a\x7f", ""},
    {"gr\xc3\xbc", "gr\xc3\xbc"},
};
#define FIELDS (int)(sizeof(fields) / sizeof(fields[0]))

START_TEST(field_that_does_not_fit_is_empty)
{
	char field[8] = "xxxxxxx";

	hook_field(field, sizeof(field), fields[_i].argument);
	ck_assert_str_eq(field, fields[_i].field);
}
END_TEST

static const struct {
	const char *xml;
	const char *uuid;
} uuids[] = {
    {"<domain><uuid>" UUID "</uuid>", UUID},
    {"<domain><uuid>" UUID "</uuid><uuid>00000000-0000-0000-0000-000000000000</uuid>", UUID},
    {"", ""},
    {"<domain/>", ""},
    {"<uuid>", ""},
    {"<uuid>" UUID, ""},
    {"<uuid>" UUID "</uuid", ""},
    {"<uuid> " UUID "</uuid>", ""},
    {"<uuid>4DEA22B3-1D52-D8F3-2516-782E98AB3FA0</uuid>", ""},
    {"<uuid>4dea22b31d52d8f32516782e98ab3fa0</uuid>", ""},
};
#define UUIDS (int)(sizeof(uuids) / sizeof(uuids[0]))

START_TEST(uuid_is_found_in_its_usual_form)
{
	size_t bytes = strlen(uuids[_i].xml);
	char *exact = malloc(bytes + !bytes), uuid[37];

	memcpy(exact, uuids[_i].xml, bytes);
	hook_uuid(exact, bytes, uuid);
	ck_assert_str_eq(uuid, uuids[_i].uuid);
	free(exact);
}
END_TEST

/* Published test vectors of FNV-1a, 64 bits. */
START_TEST(digest_is_fnv_1a)
{
	ck_assert_uint_eq(hook_digest(HOOK_DIGEST_START, "", 0), 0xcbf29ce484222325);
	ck_assert_uint_eq(hook_digest(HOOK_DIGEST_START, "a", 1), 0xaf63dc4c8601ec8c);
	ck_assert_uint_eq(hook_digest(HOOK_DIGEST_START, "foobar", 6), 0x85944171f73967e8);
	ck_assert_uint_eq(hook_digest(hook_digest(HOOK_DIGEST_START, "foo", 3), "bar", 3),
			  0x85944171f73967e8);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hook_message");
	TCase *tcase = tcase_create("message");

	tcase_add_loop_test(tcase, message_is_read_as_it_was_written, 0, HOOK_XML_CUT + 1);
	tcase_add_test(tcase, longest_fields_and_xml_fit_a_datagram);
	tcase_add_test(tcase, message_that_is_cut_anywhere_is_refused);
	tcase_add_test(tcase, message_with_any_bit_of_its_xml_changed_is_refused);
	tcase_add_loop_test(tcase, message_of_a_stranger_is_refused, 0, WRONGS);
	tcase_add_test(tcase, message_longer_than_any_of_ours_is_refused);
	tcase_add_loop_test(tcase, field_that_does_not_fit_is_empty, 0, FIELDS);
	tcase_add_loop_test(tcase, uuid_is_found_in_its_usual_form, 0, UUIDS);
	tcase_add_test(tcase, digest_is_fnv_1a);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
