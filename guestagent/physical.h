/*
 * Where the guest's memory lies: guest-physical ranges, as /proc/zoneinfo has its zones. The parser
 * takes text and is fuzzed. No state, any thread.
 */
#ifndef AGENT_PHYSICAL_H
#define AGENT_PHYSICAL_H

#include "damon.h"

/*
 * Whole blocks of AGENT_HUGE_BYTES in the order of addresses, which do not overlap. Returns how many; 0: the text has
 * none. More than `max` are joined, with what lies between them.
 */
size_t agent_parse_zones(const char *text, struct agent_damon_range *ranges, size_t max);
int agent_physical_ranges(struct agent_damon_range *ranges, size_t max, size_t *count,
			  struct gmig_error *err);

#endif
