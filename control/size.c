/* Sizes, shares and times as people write them, see size.h. libc only: the guest agent links this file statically. */
#include "size.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS	      "0123456789"
#define MAX_FRACTION  18 /* digits that count: 10^18 fits into 64 bits */
#define BYTES_OF_UNIT 1024

/* "5G" behind the dot: numerator / denominator. False: no digits. *text moves to what follows. */
static int read_fraction(const char **text, uint64_t *numerator, uint64_t *denominator)
{
	size_t digits = strspn(*text, DIGITS);

	for (size_t i = 0; i < digits && i < MAX_FRACTION; i++) {
		*numerator = *numerator * 10 + (uint64_t)((*text)[i] - '0');
		*denominator *= 10;
	}
	*text += digits;
	return digits ? 0 : -EINVAL;
}

/* The bytes of K, M, G or T; 0: another character, or more than one. */
static uint64_t unit_bytes(const char *text)
{
	static const char units[] = "KMGT";
	const char *unit = *text ? strchr(units, toupper((unsigned char)*text)) : NULL;
	uint64_t bytes = 1;

	if (!unit || text[1])
		return 0;
	for (const char *at = units; at <= unit; at++)
		bytes *= BYTES_OF_UNIT;
	return bytes;
}

/* The nanoseconds of a unit of time; 0: another word. */
static uint64_t unit_ns(const char *text)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {{"ns", 1},		{"us", 1000},	      {"ms", 1000000},
		     {"s", 1000000000}, {"min", 60000000000}, {"h", 3600000000000}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(text, units[i].name))
			return units[i].ns;
	return 0;
}

/* A number and its unit. plain: the unit of a number without one; 0: it needs one. */
static int read_quantity(const char *text, uint64_t plain, uint64_t (*unit_of)(const char *name),
			 uint64_t *value)
{
	size_t digits = strspn(text, DIGITS);
	const char *rest = text + digits;
	uint64_t numerator = 0, denominator = 1, unit = plain, sum;
	unsigned long long whole;

	if (!digits)
		return -EINVAL;
	if (*rest == '.') {
		rest++;
		if (read_fraction(&rest, &numerator, &denominator) || !*rest)
			return -EINVAL;
	}
	if (*rest)
		unit = unit_of(rest);
	if (!unit)
		return -EINVAL;
	errno = 0;
	whole = strtoull(text, NULL, 10);
	if (errno || __builtin_mul_overflow((uint64_t)whole, unit, &sum))
		return -ERANGE;
	/* Less than one unit, so that only the sum can overflow. */
	if (__builtin_add_overflow(
		sum, (uint64_t)((unsigned __int128)numerator * unit / denominator), &sum))
		return -ERANGE;
	*value = sum;
	return 0;
}

int control_size_parse(const char *text, uint64_t plain_bytes, uint64_t *bytes)
{
	return read_quantity(text, plain_bytes, unit_bytes, bytes);
}

int control_time_parse(const char *text, uint64_t plain_ns, uint64_t max_ns, uint64_t *ns)
{
	uint64_t value = 0;
	int rc = read_quantity(text, plain_ns, unit_ns, &value);

	if (rc)
		return rc;
	if (value > max_ns)
		return -ERANGE;
	*ns = value;
	return 0;
}

int control_share_parse(const char *text, uint32_t *ppm)
{
	uint64_t parts = 0, unit = 10000; /* of a per cent */

	if (!strspn(text, DIGITS))
		return -EINVAL;
	/* The last digit keeps it over the limit, however many follow. */
	for (; *text && strchr(DIGITS, *text); text++)
		parts = parts > 1000 ? parts : parts * 10 + (uint64_t)(*text - '0');
	parts *= unit;
	if (*text == '.') {
		if (!strspn(++text, DIGITS))
			return -EINVAL;
		for (; *text && strchr(DIGITS, *text); text++)
			parts += (unit /= 10) * (uint64_t)(*text - '0');
	}
	if (strcmp(text, "%") != 0)
		return -EINVAL;
	if (!parts || parts > 1000000)
		return -ERANGE;
	*ppm = (uint32_t)parts;
	return 0;
}
