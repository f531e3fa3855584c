/* The hook's datagram, see hook_message.h. */
#include "hook_message.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC	  "gmig-hook 1"
#define FNV_PRIME 0x100000001b3ull

static const char *const kinds[] = {"none", "whole", "digest", "cut"};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

uint64_t hook_digest(uint64_t digest, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		digest = (digest ^ (unsigned char)bytes[i]) * FNV_PRIME;
	return digest;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			return true;
	return false;
}

void hook_field(char *field, size_t room, const char *argument)
{
	size_t length = argument ? strnlen(argument, room) : room;

	if (length == room || has_control(argument))
		length = 0;
	if (length)
		memcpy(field, argument, length);
	field[length] = '\0';
}

/* "4dea22b3-1d52-d8f3-2516-782e98ab3fa0", which is what libvirt writes. */
static bool is_uuid(const char *text)
{
	for (size_t i = 0; i < 36; i++) {
		bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;

		if (hyphen ? text[i] != '-'
			   : !isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i]))
			return false;
	}
	return true;
}

void hook_uuid(const char *xml, size_t bytes, char uuid[37])
{
	static const char begin[] = "<uuid>", end[] = "</uuid>";
	const char *at = bytes ? memmem(xml, bytes, begin, sizeof(begin) - 1) : NULL;

	uuid[0] = '\0';
	if (!at)
		return;
	at += sizeof(begin) - 1;
	if ((size_t)(xml + bytes - at) < 36 + sizeof(end) - 1 || !is_uuid(at) ||
	    memcmp(at + 36, end, sizeof(end) - 1) != 0)
		return;
	memcpy(uuid, at, 36);
	uuid[36] = '\0';
}

/* What is left of a datagram that is being written or read. */
struct part {
	char *into;
	const char *from;
	size_t left;
};

/* With its zero. False: no room. */
static bool put(struct part *part, const char *text)
{
	size_t bytes = strlen(text) + 1;

	if (bytes > part->left)
		return false;
	memcpy(part->into, text, bytes);
	part->into += bytes;
	part->left -= bytes;
	return true;
}

size_t hook_message_write(const struct hook_message *message, char *datagram, size_t room)
{
	struct part part = {.into = datagram, .left = room};
	char size[24], digest[17];
	size_t xml = message->which == HOOK_XML_WHOLE ? (size_t)message->xml_bytes : 0;

	snprintf(size, sizeof(size), "%" PRIu64, message->xml_bytes);
	snprintf(digest, sizeof(digest), "%016" PRIx64, message->xml_digest);
	if (!put(&part, MAGIC) || !put(&part, message->operation) ||
	    !put(&part, message->sub_operation) || !put(&part, message->extra) ||
	    !put(&part, message->name) || !put(&part, message->uuid) ||
	    !put(&part, kinds[message->which]) || !put(&part, size) || !put(&part, digest) ||
	    xml > part.left)
		return 0;
	if (xml)
		memcpy(part.into, message->xml, xml);
	return room - part.left + xml;
}

/* The next field; NULL: it does not end within `room` bytes, or has control characters. */
static const char *take(struct part *part, size_t room)
{
	const char *text = part->from;
	size_t length = strnlen(text, part->left);

	if (length == part->left || length >= room || has_control(text))
		return NULL;
	part->from += length + 1;
	part->left -= length + 1;
	return text;
}

static int take_field(struct part *part, const char *what, char *field, size_t room,
		      struct gmig_error *err)
{
	const char *text = take(part, room);

	if (!text)
		return gmig_fail(err, -EINVAL, "a hook's message without its %s", what);
	memcpy(field, text, strlen(text) + 1);
	return 0;
}

/* A number as it was printed: no sign, no leading zeros or spaces. The digest is hexadecimal, and has its zeros. */
static int take_number(struct part *part, const char *what, bool is_digest, uint64_t *number,
		       struct gmig_error *err)
{
	const char *text = take(part, 24);
	char again[24];

	*number = text ? strtoull(text, NULL, is_digest ? 16 : 10) : 0;
	if (is_digest)
		snprintf(again, sizeof(again), "%016" PRIx64, *number);
	else
		snprintf(again, sizeof(again), "%" PRIu64, *number);
	if (!text || strcmp(text, again) != 0)
		return gmig_fail(err, -EINVAL, "a hook's message without its %s", what);
	return 0;
}

static int take_kind(struct part *part, enum hook_xml *which, struct gmig_error *err)
{
	const char *text = take(part, HOOK_FIELD);

	for (size_t i = 0; text && i < KINDS; i++) {
		if (!strcmp(text, kinds[i])) {
			*which = (enum hook_xml)i;
			return 0;
		}
	}
	return gmig_fail(err, -EINVAL, "a hook's message that does not say which XML it has");
}

static int take_xml(const struct part *part, struct hook_message *message, struct gmig_error *err)
{
	bool whole = message->which == HOOK_XML_WHOLE;

	if (part->left != (whole ? message->xml_bytes : 0) ||
	    (message->which == HOOK_XML_NONE && message->xml_bytes))
		return gmig_fail(err, -EINVAL, "a hook's message with XML of another size");
	if (whole && hook_digest(HOOK_DIGEST_START, part->from, part->left) != message->xml_digest)
		return gmig_fail(err, -EINVAL, "a hook's message with XML of another digest");
	message->xml = whole ? part->from : NULL;
	return 0;
}

int hook_message_read(const char *datagram, size_t bytes, struct hook_message *message,
		      struct gmig_error *err)
{
	struct part part = {.from = datagram, .left = bytes};
	const char *magic = bytes <= HOOK_MESSAGE_BYTES ? take(&part, HOOK_FIELD) : NULL;
	int ret;

	if (!magic || strcmp(magic, MAGIC) != 0)
		return gmig_fail(err, -EINVAL, "not a hook's message of this version");
	ret = take_field(&part, "operation", message->operation, HOOK_FIELD, err);
	if (!ret)
		ret = take_field(&part, "sub-operation", message->sub_operation, HOOK_FIELD, err);
	if (!ret)
		ret = take_field(&part, "extra", message->extra, HOOK_FIELD, err);
	if (!ret)
		ret = take_field(&part, "name", message->name, HOOK_NAME, err);
	if (!ret)
		ret = take_field(&part, "uuid", message->uuid, sizeof(message->uuid), err);
	if (!ret && message->uuid[0] && (strlen(message->uuid) != 36 || !is_uuid(message->uuid)))
		ret = gmig_fail(err, -EINVAL, "a hook's message with an uuid that is none");
	if (!ret)
		ret = take_kind(&part, &message->which, err);
	if (!ret)
		ret = take_number(&part, "size", false, &message->xml_bytes, err);
	if (!ret)
		ret = take_number(&part, "digest", true, &message->xml_digest, err);
	return ret ? ret : take_xml(&part, message, err);
}
