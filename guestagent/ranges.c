/* Address ranges, see ranges.h. */
#include "ranges.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define USER_END (1ull << 56) /* of user addresses with five levels of page tables */

int agent_address_from_json(const json_t *json, uint64_t *address, struct gmig_error *err)
{
	const char *text = json_string_value(json);
	char *end;

	if (json_is_integer(json) && json_integer_value(json) >= 0) {
		*address = (uint64_t)json_integer_value(json);
	} else if (text && isxdigit((unsigned char)text[0])) {
		errno = 0;
		*address = strtoull(text, &end, 16);
		if (*end || errno)
			return gmig_fail(err, -EINVAL, "'%.40s' is no address", text);
	} else {
		return gmig_fail(err, -EINVAL,
				 "an address is a number, or a string like \"0x7f0000000000\"");
	}
	if (*address >= USER_END)
		return gmig_fail(err, -ERANGE, "0x%llx is no address of a process",
				 (unsigned long long)*address);
	return 0;
}

static int range_from_json(const json_t *json, uint64_t unit, struct agent_range *range,
			   struct gmig_error *err)
{
	const json_t *bytes = json_object_get(json, "bytes");
	int rc;

	if (!json_is_object(json) || !json_is_integer(bytes) || json_object_size(json) != 2)
		return gmig_fail(err, -EINVAL,
				 "a range is {\"start\": ADDRESS, \"bytes\": NUMBER}");
	rc = agent_address_from_json(json_object_get(json, "start"), &range->start, err);
	if (rc)
		return rc;
	if (json_integer_value(bytes) <= 0 ||
	    (uint64_t)json_integer_value(bytes) > USER_END - range->start)
		return gmig_fail(err, -ERANGE, "a range of %lld bytes cannot be",
				 (long long)json_integer_value(bytes));
	range->end = range->start + (uint64_t)json_integer_value(bytes);
	range->start -= range->start % unit;
	range->end += (unit - range->end % unit) % unit;
	return 0;
}

int agent_ranges_from_json(const json_t *json, uint64_t unit, size_t max,
			   struct agent_range **ranges, size_t *count, struct gmig_error *err)
{
	int rc = 0;

	*count = json_array_size(json);
	if (!*count || *count > max)
		return gmig_fail(err, *count ? -E2BIG : -EINVAL, "%zu ranges; 1 to %zu can be",
				 *count, max);
	*ranges = calloc(*count, sizeof(**ranges));
	if (!*ranges)
		return gmig_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; !rc && i < *count; i++)
		rc = range_from_json(json_array_get(json, i), unit, &(*ranges)[i], err);
	if (rc) {
		free(*ranges);
		*ranges = NULL;
	}
	return rc;
}
