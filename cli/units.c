/* Numbers with units, see units.h. */
#include "units.h"

#include "../control/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char size_units[] = "KMGT";

int units_parse_size(const char *text, uint64_t *bytes, struct gmig_error *err)
{
	int rc = control_size_parse(text, 1, bytes);

	if (!*text)
		return gmig_fail(err, rc, "a size is a number and K, M, G or T, here it is empty");
	if (rc == -ERANGE)
		return gmig_fail(err, rc, "the size '%.40s' is too big", text);
	if (rc)
		return gmig_fail(err, rc,
				 "a size is a number and K, M, G or T, as in 500M or 1.5G: '%.40s'",
				 text);
	return 0;
}

int units_parse_address(const char *text, uint64_t *address, struct gmig_error *err)
{
	const char *digits = text + 2;
	unsigned long long value;

	if (strncmp(text, "0x", 2) != 0 && strncmp(text, "0X", 2) != 0)
		return units_parse_size(text, address, err);
	if (!*digits || strspn(digits, "0123456789abcdefABCDEF") != strlen(digits))
		return gmig_fail(err, -EINVAL,
				 "an address is 0x and hexadecimal digits, or a size: '%.40s'",
				 text);
	errno = 0;
	value = strtoull(digits, NULL, 16);
	if (errno)
		return gmig_fail(err, -ERANGE, "the address '%.40s' is too big", text);
	*address = value;
	return 0;
}

static int parse_time(const char *text, uint64_t plain_ns, uint64_t max_ns, uint64_t *ns,
		      struct gmig_error *err)
{
	int rc = control_time_parse(text, plain_ns, max_ns, ns);
	char most[UNITS_TEXT];

	if (rc == -ERANGE)
		return gmig_fail(err, rc, "the time '%.40s' is over %s", text,
				 units_time(max_ns, most));
	if (rc)
		return gmig_fail(err, rc,
				 "a time is a number and %s, as in 500us, 1.5s or 10min: '%.40s'",
				 plain_ns ? "ns, us, ms, s (without one: seconds), min or h"
					  : "ns, us, ms, s, min or h",
				 text);
	return 0;
}

int units_parse_ns(const char *text, uint64_t *ns, struct gmig_error *err)
{
	return parse_time(text, 0, UNITS_HOUR_NS, ns, err);
}

int units_parse_seconds(const char *text, uint64_t max_seconds, uint64_t *ns,
			struct gmig_error *err)
{
	return parse_time(text, UNITS_SECOND_NS, max_seconds * UNITS_SECOND_NS, ns, err);
}

int units_parse_share(const char *text, uint32_t *ppm, struct gmig_error *err)
{
	int ret = control_share_parse(text, ppm);

	if (ret == -EINVAL)
		return gmig_fail(err, ret, "a share is a number and %%, as in 5%%: '%.40s'", text);
	return ret ? gmig_fail(err, -EINVAL, "'%.40s' is not within 0.0001%% to 100%%", text) : 0;
}

int units_parse_count(const char *text, uint64_t max, uint64_t *value, struct gmig_error *err)
{
	unsigned long long parsed;
	char *end;

	if (!isdigit((unsigned char)*text))
		return gmig_fail(err, -EINVAL, "'%.40s' is not a number", text);
	errno = 0;
	parsed = strtoull(text, &end, 10);
	if (*end)
		return gmig_fail(err, -EINVAL, "'%.40s' is not a number", text);
	if (errno || parsed > max)
		return gmig_fail(err, -ERANGE, "'%.40s' is over %llu", text,
				 (unsigned long long)max);
	*value = parsed;
	return 0;
}

const char *units_size(uint64_t bytes, char *text)
{
	char suffix[2] = "";
	uint64_t unit = 1;

	for (const char *power = size_units; *power && bytes / unit >= 1024; power++) {
		suffix[0] = *power;
		unit *= 1024;
	}
	if (bytes % unit == 0)
		snprintf(text, UNITS_TEXT, "%llu%s", (unsigned long long)(bytes / unit), suffix);
	else
		snprintf(text, UNITS_TEXT, "%.1f%s", (double)bytes / (double)unit, suffix);
	return text;
}

const char *units_time(uint64_t ns, char *text)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {{"h", UNITS_HOUR_NS},   {"min", 60 * UNITS_SECOND_NS},
		     {"s", UNITS_SECOND_NS}, {"ms", 1000000},
		     {"us", 1000},	     {"ns", 1}};
	size_t i = 0;

	while (units[i].ns > 1 && (!ns || ns % units[i].ns))
		i++;
	snprintf(text, UNITS_TEXT, "%llu%s", (unsigned long long)(ns / units[i].ns), units[i].name);
	return text;
}

/* Three digits: 1.65, 16.5, 165. */
static void three_digits(double value, const char *unit, char *text)
{
	snprintf(text, UNITS_TEXT, "%.*f %s",
		 value < 9.995	 ? 2
		 : value < 99.95 ? 1
				 : 0,
		 value, unit);
}

const char *units_rate(double bytes_per_second, char *text)
{
	if (bytes_per_second >= 999.5e6)
		three_digits(bytes_per_second / 1e9, "GB/s", text);
	else if (bytes_per_second >= 999.5e3)
		three_digits(bytes_per_second / 1e6, "MB/s", text);
	else
		three_digits(bytes_per_second / 1e3, "kB/s", text);
	return text;
}

const char *units_ns(uint64_t ns, char *text)
{
	if (ns < 1000)
		snprintf(text, UNITS_TEXT, "%llu ns", (unsigned long long)ns);
	else if ((double)ns < 999.5e3)
		three_digits((double)ns / 1e3, "us", text);
	else if ((double)ns < 999.5e6)
		three_digits((double)ns / 1e6, "ms", text);
	else
		three_digits((double)ns / 1e9, "s", text);
	return text;
}
