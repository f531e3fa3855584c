/* Text made safe for a terminal, see text.h. */
#include "text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- Characters ------------------------------------------------------------------------------ */

/* The length of the character at `at`, 1 to 4, and its number; 0: not UTF-8 (RFC 3629). */
static size_t decode(const unsigned char *at, unsigned int *character)
{
	static const unsigned int least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = *at < 0x80 ? 1 : *at < 0xc2 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;

	if (!length || *at > 0xf4)
		return 0;
	*character = length == 1 ? *at : *at & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		/* A NUL is no continuation, so that this never reads behind the end. */
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*character = *character << 6 | (at[i] & 0x3fu);
	}
	if (*character < least[length] || *character > 0x10ffff ||
	    (*character >= 0xd800 && *character < 0xe000))
		return 0;
	return length;
}

/* Bidirectional controls: Unicode's property Bidi_Control. */
static bool is_bidi(unsigned int character)
{
	return character == 0x061c || character == 0x200e || character == 0x200f ||
	       (character >= 0x202a && character <= 0x202e) ||
	       (character >= 0x2066 && character <= 0x2069);
}

static bool is_safe(unsigned int character)
{
	if (character < 0x20 || (character >= 0x7f && character < 0xa0))
		return false;
	return character != 0x2028 && character != 0x2029 && !is_bidi(character);
}

char *control_text_safe(char *text)
{
	char *to = text;

	for (const char *from = text; *from;) {
		unsigned int character;
		size_t length = decode((const unsigned char *)from, &character);

		if (length && is_safe(character)) {
			memmove(to, from, length);
			to += length;
		} else {
			*to++ = '?';
		}
		from += length ? length : 1;
	}
	*to = '\0';
	return text;
}

/* ---- JSON --------------------------------------------------------------------------------------- */

json_t *control_text_json(const char *text)
{
	json_t *json = json_string(text);
	char *copy;

	if (json)
		return json;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (char *byte = copy; *byte; byte++)
		if (*byte & 0x80)
			*byte = '?';
	json = json_string(copy);
	free(copy);
	return json;
}

static json_t *safe_string(const json_t *json)
{
	char *copy = strdup(json_string_value(json));
	json_t *safe = copy ? json_string(control_text_safe(copy)) : NULL;

	free(copy);
	return safe;
}

static json_t *safe_object(const json_t *json)
{
	json_t *safe = json_object(), *value;
	const char *key;

	json_object_foreach ((json_t *)json, key, value) {
		char *copy = strdup(key);

		if (copy)
			json_object_set_new(safe, control_text_safe(copy),
					    control_json_safe(value));
		free(copy);
	}
	return safe;
}

json_t *control_json_safe(const json_t *json)
{
	json_t *safe, *value;
	size_t i;

	if (json_is_string(json))
		return safe_string(json);
	if (json_is_object(json))
		return safe_object(json);
	if (!json_is_array(json))
		return json_deep_copy(json);
	safe = json_array();
	json_array_foreach (json, i, value)
		json_array_append_new(safe, control_json_safe(value));
	return safe;
}
