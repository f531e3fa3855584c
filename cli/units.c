/* Numbers with units, see units.h. */
#include "units.h"

#include "../control/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
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

int units_parse_ns(const char *text, uint64_t *ns, struct gmig_error *err)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	char *end = NULL;
	double value = isdigit((unsigned char)*text) ? strtod(text, &end) : -1;

	for (size_t i = 0; end && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (value * units[i].ns > 3600e9)
			return gmig_fail(err, -ERANGE, "the time '%.40s' is over an hour", text);
		*ns = (uint64_t)(value * units[i].ns);
		return 0;
	}
	return gmig_fail(err, -EINVAL,
			 "a time is a number and ns, us, ms or s, as in 500us: '%.40s'", text);
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
