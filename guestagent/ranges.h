/* Address ranges that come as JSON. No state, any thread. */
#ifndef AGENT_RANGES_H
#define AGENT_RANGES_H

#include "../migrate/gmig_error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct agent_range {
	uint64_t start, end;
};

/* An integer, or a string "0x7f00..". -EINVAL, -ERANGE. */
int agent_address_from_json(const json_t *json, uint64_t *address, struct gmig_error *err);
/* [{"start": ADDRESS, "bytes": N}]: whole units of `unit` bytes, start rounded down and end up.
 * free(*ranges). -E2BIG: more than max of them. */
int agent_ranges_from_json(const json_t *json, uint64_t unit, size_t max,
			   struct agent_range **ranges, size_t *count, struct gmig_error *err);

#endif
