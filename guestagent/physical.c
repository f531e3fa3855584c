/* Zones, see physical.h. */
#include "physical.h"
#include "proc.h"
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ZONES_BYTES (4u << 20)
#define END_PFN	    (1ull << 40) /* of 52 bits of physical addresses */

struct zone {
	uint64_t start_pfn, spanned, managed;
};

/* "  name   17", with a colon behind the name or not. */
static bool value_of(const char *line, const char *name, uint64_t *value)
{
	size_t length = strlen(name);

	line += strspn(line, " ");
	if (strncmp(line, name, length) != 0 || !strchr(" :", line[length]))
		return false;
	line += length + (line[length] == ':');
	*value = strtoull(line, NULL, 10);
	return true;
}

/* Into its place; ranges that touch or overlap become one. */
static size_t add_range(struct agent_damon_range *ranges, size_t count, size_t max,
			struct agent_damon_range range)
{
	size_t at = 0, end;

	while (at < count && ranges[at].end < range.start)
		at++;
	for (end = at; end < count && ranges[end].start <= range.end; end++) {
		if (ranges[end].start < range.start)
			range.start = ranges[end].start;
		if (ranges[end].end > range.end)
			range.end = ranges[end].end;
	}
	/* No room for one more: it takes its neighbour in. */
	if (end == at && count == max) {
		at = at ? at - 1 : 0;
		end = at + 1;
		if (ranges[at].start < range.start)
			range.start = ranges[at].start;
		if (ranges[at].end > range.end)
			range.end = ranges[at].end;
	}
	memmove(&ranges[at + 1], &ranges[end], (count - end) * sizeof(*ranges));
	ranges[at] = range;
	return count + 1 - (end - at);
}

static size_t add_zone(struct agent_damon_range *ranges, size_t count, size_t max,
		       const struct zone *zone)
{
	struct agent_damon_range range;

	if (!zone->managed || zone->start_pfn >= END_PFN || zone->spanned > END_PFN ||
	    !zone->spanned)
		return count;
	range.start = zone->start_pfn * AGENT_PAGE_BYTES;
	range.end = range.start + zone->spanned * AGENT_PAGE_BYTES;
	range.start -= range.start % AGENT_HUGE_BYTES;
	range.end += AGENT_HUGE_BYTES - 1;
	range.end -= range.end % AGENT_HUGE_BYTES;
	return add_range(ranges, count, max, range);
}

size_t agent_parse_zones(const char *text, struct agent_damon_range *ranges, size_t max)
{
	struct zone zone = {0};
	size_t count = 0;

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (!strncmp(line, "Node ", 5))
			zone = (struct zone){0};
		else if (value_of(line, "spanned", &zone.spanned) ||
			 value_of(line, "managed", &zone.managed))
			continue;
		else if (value_of(line, "start_pfn", &zone.start_pfn))
			count = add_zone(ranges, count, max, &zone);
	}
	return count;
}

int agent_physical_ranges(struct agent_damon_range *ranges, size_t max, size_t *count,
			  struct gmig_error *err)
{
	char path[PATH_MAX], *text = malloc(ZONES_BYTES);
	ssize_t got;

	if (!text)
		return gmig_fail(err, -ENOMEM, "out of memory");
	snprintf(path, sizeof(path), "%s/zoneinfo", agent_sys->proc);
	got = agent_read_text(path, text, ZONES_BYTES);
	*count = got > 0 ? agent_parse_zones(text, ranges, max) : 0;
	free(text);
	if (got < 0)
		return agent_call_failed(err, AGENT_CALL_READ, (int)got, path);
	return *count ? 0 : gmig_fail(err, -EIO, "%s has no zone with memory", path);
}
