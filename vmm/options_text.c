#include "options_text.h"

#include "../control/size.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MAX_GUEST_BYTES (16ull << 40) /* KVM's guests have at least 44 bits of address */

static bool all_digits(const char *text, size_t length)
{
	return length && strspn(text, "0123456789") >= length;
}

int vmm_parse_size(const char *text, bool plain_is_mib, uint64_t *bytes)
{
	return control_size_parse(text, plain_is_mib ? 1u << 20 : 1, bytes);
}

/* Decode one character. Its length in bytes, or 0: not UTF-8 (RFC 3629). */
static unsigned int decode(const unsigned char *at, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned int bytes = *at < 0x80		    ? 1
			     : (*at & 0xe0) == 0xc0 ? 2
			     : (*at & 0xf0) == 0xe0 ? 3
			     : (*at & 0xf8) == 0xf0 ? 4
						    : 0;

	*character = bytes > 1 ? *at & (0x7fu >> bytes) : *at;
	for (unsigned int i = 1; i < bytes; i++) {
		if ((at[i] & 0xc0) != 0x80) /* also the end of the text */
			return 0;
		*character = *character << 6 | (at[i] & 0x3f);
	}
	if (bytes && (*character < least[bytes] || *character > 0x10ffff ||
		      (*character >= 0xd800 && *character < 0xe000)))
		return 0;
	return bytes;
}

/* C0, DEL, C1; separators of lines and paragraphs; marks, embeddings and isolates of direction. */
static bool is_control(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0) || character == 0x61c ||
	       character == 0x200e || character == 0x200f ||
	       (character >= 0x2028 && character <= 0x202e) ||
	       (character >= 0x2066 && character <= 0x2069);
}

int options_plain_text(const char *what, const char *text, struct gmig_error *err)
{
	const unsigned char *at = (const unsigned char *)text;
	uint32_t character;

	while (*at) {
		unsigned int bytes = decode(at, &character);
		size_t where = (size_t)(at - (const unsigned char *)text) + 1;

		if (!bytes)
			return gmig_fail(err, -EINVAL, "%s: byte %zu (0x%02x) is not UTF-8", what,
					 where, *at);
		if (is_control(character))
			return gmig_fail(err, -EINVAL,
					 "%s: byte %zu is a control character (U+%04X)", what,
					 where, character);
		at += bytes;
	}
	return 0;
}

int options_number(const char *what, const char *text, const uint64_t range[2], uint64_t *value,
		   struct gmig_error *err)
{
	unsigned long long number;

	if (!all_digits(text, strlen(text)))
		return gmig_fail(err, -EINVAL, "%s: '%s' is not a number", what, text);
	errno = 0;
	number = strtoull(text, NULL, 10);
	if (errno || number < range[0] || number > range[1])
		return gmig_fail(err, -EINVAL, "%s: %s is not within %llu to %llu", what, text,
				 (unsigned long long)range[0], (unsigned long long)range[1]);
	*value = number;
	return 0;
}

int options_memory(const char *what, const char *text, uint64_t *bytes, struct gmig_error *err)
{
	int ret = vmm_parse_size(text, true, bytes);

	if (ret == -ERANGE)
		return gmig_fail(err, -EINVAL, "%s: %s does not fit into 64 bits", what, text);
	if (ret)
		return gmig_fail(err, -EINVAL, "%s: '%s' is not a size (as 512M or 2G)", what,
				 text);
	if (!*bytes)
		return gmig_fail(err, -EINVAL, "%s: a guest needs more than 0 bytes", what);
	if (*bytes % GMIG_BLOCK_BYTES)
		return gmig_fail(err, -EINVAL, "%s: %s is not a multiple of 2 MiB", what, text);
	if (*bytes > MAX_GUEST_BYTES)
		return gmig_fail(err, -EINVAL,
				 "%s: %s is more than the 16 TiB that a guest can have", what,
				 text);
	return 0;
}

int options_cpu_range(const char *what, const char *text, uint64_t *mask, struct gmig_error *err)
{
	size_t first_digits = strspn(text, "0123456789");
	const char *dash = text + first_digits;
	unsigned long first, last;

	if (!first_digits || (*dash && (*dash != '-' || !all_digits(dash + 1, strlen(dash + 1)))))
		return gmig_fail(err, -EINVAL, "%s: '%s' is not a CPU or a range of CPUs (as 0-1)",
				 what, text);
	first = strtoul(text, NULL, 10);
	last = *dash ? strtoul(dash + 1, NULL, 10) : first;
	if (last < first)
		return gmig_fail(err, -EINVAL, "%s: CPU range %s runs backwards", what, text);
	if (last >= VMM_MAX_VCPUS)
		return gmig_fail(err, -EINVAL, "%s: CPU %lu, but a guest has at most %d CPUs", what,
				 last, VMM_MAX_VCPUS);
	for (; first <= last; first++) {
		if (*mask & 1ull << first)
			return gmig_fail(err, -EINVAL, "%s: CPU %lu is given twice", what, first);
		*mask |= 1ull << first;
	}
	return 0;
}

static int find_key(const struct options_key *keys, const char *name)
{
	for (int i = 0; keys[i].name; i++)
		if (!strcmp(keys[i].name, name))
			return i;
	return -1;
}

int options_list(const char *what, char *text, const struct options_key *keys, void *into,
		 struct gmig_error *err)
{
	unsigned int seen = 0;
	char *item;

	if (!*text)
		return gmig_fail(err, -EINVAL, "%s: the list of keys is empty", what);
	while ((item = strsep(&text, ","))) {
		char *value = strchr(item, '=');
		int key, ret;

		if (!value)
			return gmig_fail(err, -EINVAL, "%s: '%s' is not of the form key=value",
					 what, item);
		*value++ = '\0';
		key = find_key(keys, item);
		if (key < 0)
			return gmig_fail(err, -EINVAL, "%s: unknown key '%s'", what, item);
		if (seen & 1u << key && !keys[key].repeatable)
			return gmig_fail(err, -EINVAL, "%s: %s is given twice", what, item);
		if (!*value)
			return gmig_fail(err, -EINVAL, "%s: %s= without a value", what, item);
		seen |= 1u << key;
		ret = keys[key].set(into, value, err);
		if (ret)
			return ret;
	}
	for (int i = 0; keys[i].name; i++)
		if (keys[i].required && !(seen & 1u << i))
			return gmig_fail(err, -EINVAL, "%s: %s= is missing", what, keys[i].name);
	return 0;
}
