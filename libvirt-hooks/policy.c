/* Reading, merging and judging a placement policy, see policy.h. */
#include "policy.h"

#include "../control/size.h"
#include "../control/text.h"
#include "id_list.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MINUTES_OF_DAY 1440
#define ALL_DAYS       0x7f
#define MIN_STALL_NS   1000ull
#define MAX_STALL_NS   (60 * 1000000000ull)

typedef int set_value(struct placement_policy *policy, const char *value, struct gmig_error *err);

static const char *const placements[] = {"none", "fixed", "follow-vcpus", "pack", "spread"};
#define PLACEMENTS (sizeof(placements) / sizeof(placements[0]))

static int set_placement(struct placement_policy *policy, const char *value, struct gmig_error *err)
{
	for (size_t i = 0; i < PLACEMENTS; i++) {
		if (!strcmp(value, placements[i])) {
			policy->placement = (enum policy_placement)i;
			return 0;
		}
	}
	return gmig_fail(err, -EINVAL, "it is none, fixed, follow-vcpus, pack or spread");
}

static int set_nodes(struct placement_policy *policy, const char *value, struct gmig_error *err)
{
	if (!strcmp(value, "all")) {
		memset(&policy->nodes, 0, sizeof(policy->nodes));
		return 0;
	}
	return id_list_nodes(value, &policy->nodes, err);
}

static int set_rate(struct placement_policy *policy, const char *value, struct gmig_error *err)
{
	uint64_t bytes = 0;
	int ret = strcmp(value, "none") ? control_size_parse(value, 1, &bytes) : 0;

	if (ret == -ERANGE)
		return gmig_fail(err, ret, "it is a size of at most 64 bits");
	if (ret || (!bytes && strcmp(value, "none") != 0))
		return gmig_fail(err, -EINVAL,
				 "it is bytes a second, as 512M or 1.5G (K, M, G, T), or none");
	policy->rate_bytes = bytes;
	return 0;
}

static int set_stall_budget(struct placement_policy *policy, const char *value,
			    struct gmig_error *err)
{
	uint64_t ns = 0;

	if (strcmp(value, "none") != 0 &&
	    (control_time_parse(value, 0, MAX_STALL_NS, &ns) || ns < MIN_STALL_NS))
		return gmig_fail(err, -EINVAL,
				 "it is a time from 1us to 60s, as 500us, 1.5ms or 1s, or none");
	policy->stall_budget_ns = ns - ns % MIN_STALL_NS;
	return 0;
}

static int set_slowdown(struct placement_policy *policy, const char *value, struct gmig_error *err)
{
	uint32_t ppm = 0;

	if (strcmp(value, "none") != 0 && control_share_parse(value, &ppm))
		return gmig_fail(err, -EINVAL,
				 "it is a share from 0.0001%% to 100%%, as 5%% or 0.5%%, or none");
	policy->slowdown_ppm = ppm;
	return 0;
}

static int set_protect(struct placement_policy *policy, const char *value, struct gmig_error *err)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return gmig_fail(err, -EINVAL, "it is yes or no");
	policy->protect = !strcmp(value, "yes");
	return 0;
}

static void skip_spaces(const char **text)
{
	*text += strspn(*text, " \t\r\n");
}

/* "Mon": its tm_wday, or -1 and *text as it was. */
static int parse_day(const char **text)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

	for (int i = 0; i < 7; i++) {
		if (!strncasecmp(*text, days[i], 3) && !isalpha((unsigned char)(*text)[3])) {
			*text += 3;
			return i;
		}
	}
	return -1;
}

/* "Mon-Fri ", "Sat " or nothing, which is every day. A range may go over the end of the week. */
static int parse_days(const char **text, uint8_t *days)
{
	int first, last;

	*days = ALL_DAYS;
	if (!isalpha((unsigned char)**text))
		return 0;
	first = last = parse_day(text);
	if (first >= 0 && **text == '-') {
		++*text;
		last = parse_day(text);
	}
	if (first < 0 || last < 0 || !isspace((unsigned char)**text))
		return -EINVAL;
	*days = (uint8_t)(1 << last);
	for (int day = first; day != last; day = (day + 1) % 7)
		*days |= (uint8_t)(1 << day);
	skip_spaces(text);
	return 0;
}

static int parse_minute(const char **text, uint16_t *minute)
{
	const char *at = *text;
	unsigned int hours, minutes;

	if (strspn(at, "0123456789") != 2 || at[2] != ':' || strspn(at + 3, "0123456789") != 2)
		return -EINVAL;
	hours = (unsigned int)((at[0] - '0') * 10 + at[1] - '0');
	minutes = (unsigned int)((at[3] - '0') * 10 + at[4] - '0');
	*text += 5;
	*minute = (uint16_t)(hours * 60 + minutes);
	return minutes < 60 && *minute <= MINUTES_OF_DAY ? 0 : -EINVAL;
}

static int parse_quiet(const char **text, struct policy_quiet *quiet)
{
	skip_spaces(text);
	if (parse_days(text, &quiet->days) || parse_minute(text, &quiet->from_minute) ||
	    *(*text)++ != '-' || parse_minute(text, &quiet->to_minute))
		return -EINVAL;
	skip_spaces(text);
	return quiet->from_minute == quiet->to_minute || quiet->from_minute == MINUTES_OF_DAY ||
		       !quiet->to_minute
		   ? -EINVAL
		   : 0;
}

static int set_quiet_hours(struct placement_policy *policy, const char *value,
			   struct gmig_error *err)
{
	struct policy_quiet quiet[POLICY_QUIET_RANGES] = {{0, 0, 0}};
	unsigned int count = 0;
	const char *at = value;

	while (strcmp(value, "none") != 0) {
		if (count == POLICY_QUIET_RANGES)
			return gmig_fail(err, -E2BIG, "it has at most %d ranges",
					 POLICY_QUIET_RANGES);
		if (parse_quiet(&at, &quiet[count++]) || (*at && *at != ','))
			return gmig_fail(
			    err, -EINVAL,
			    "it is [DAY[-DAY] ]HH:MM-HH:MM, more of them after "
			    "commas, as in Mon-Fri 08:00-18:00, Sat 22:00-06:00 (a day "
			    "ends at 24:00), or none");
		if (!*at++)
			break;
	}
	memcpy(policy->quiet, quiet, count * sizeof(*quiet));
	policy->quiet_count = count;
	return 0;
}

static const struct {
	const char *name;
	set_value *set;
} keys[POLICY_KEYS] = {
    [POLICY_KEY_PLACEMENT] = {"placement", set_placement},
    [POLICY_KEY_NODES] = {"nodes", set_nodes},
    [POLICY_KEY_RATE] = {"rate", set_rate},
    [POLICY_KEY_STALL_BUDGET] = {"stall-budget", set_stall_budget},
    [POLICY_KEY_SLOWDOWN] = {"slowdown", set_slowdown},
    [POLICY_KEY_PROTECT] = {"protect", set_protect},
    [POLICY_KEY_QUIET_HOURS] = {"quiet-hours", set_quiet_hours},
};

void policy_init(struct placement_policy *policy)
{
	memset(policy, 0, sizeof(*policy));
}

int policy_key_find(const char *name)
{
	for (int i = 0; i < POLICY_KEYS; i++)
		if (!strcmp(name, keys[i].name))
			return i;
	return -1;
}

const char *policy_key_name(enum policy_key key)
{
	return keys[key].name;
}

const char *policy_placement_name(enum policy_placement placement)
{
	return placements[placement];
}

const char *policy_key_names(void)
{
	return "placement, nodes, rate, stall-budget, slowdown, protect, quiet-hours";
}

int policy_set(struct placement_policy *policy, enum policy_key key, const char *value,
	       const char *where, struct gmig_error *err)
{
	struct gmig_error why = {0, ""};
	char origin[POLICY_WHERE], text[41];
	int ret = keys[key].set(policy, value, &why);

	snprintf(origin, sizeof(origin), "%s", where);
	control_text_safe(origin);
	if (ret) {
		snprintf(text, sizeof(text), "%s", value);
		return gmig_fail(err, ret, "%s: %s = '%s': %s", origin, keys[key].name,
				 control_text_safe(text), control_text_safe(why.text));
	}
	memcpy(policy->where[key], origin, sizeof(origin));
	return 0;
}

static void copy_key(struct placement_policy *into, const struct placement_policy *from,
		     enum policy_key key)
{
	switch (key) {
	case POLICY_KEY_PLACEMENT:
		into->placement = from->placement;
		break;
	case POLICY_KEY_NODES:
		into->nodes = from->nodes;
		break;
	case POLICY_KEY_RATE:
		into->rate_bytes = from->rate_bytes;
		break;
	case POLICY_KEY_STALL_BUDGET:
		into->stall_budget_ns = from->stall_budget_ns;
		break;
	case POLICY_KEY_SLOWDOWN:
		into->slowdown_ppm = from->slowdown_ppm;
		break;
	case POLICY_KEY_PROTECT:
		into->protect = from->protect;
		break;
	case POLICY_KEY_QUIET_HOURS:
		memcpy(into->quiet, from->quiet, sizeof(into->quiet));
		into->quiet_count = from->quiet_count;
		break;
	case POLICY_KEYS:
		break;
	}
}

void policy_merge(struct placement_policy *into, const struct placement_policy *over)
{
	for (int key = 0; key < POLICY_KEYS; key++) {
		if (!over->where[key][0])
			continue;
		copy_key(into, over, (enum policy_key)key);
		memcpy(into->where[key], over->where[key], POLICY_WHERE);
	}
}

/* "gmigd.conf:3 [default]", or that nobody gave it. */
static const char *origin(const struct placement_policy *policy, enum policy_key key)
{
	return policy->where[key][0] ? policy->where[key] : "not given";
}

bool policy_is_automatic(const struct placement_policy *policy)
{
	return policy->placement == POLICY_FOLLOW_VCPUS || policy->placement == POLICY_PACK ||
	       policy->placement == POLICY_SPREAD;
}

int policy_validate(const struct placement_policy *policy, struct gmig_error *err)
{
	const char *placement = placements[policy->placement];
	const char *where = origin(policy, POLICY_KEY_PLACEMENT);
	unsigned int nodes = gmig_node_set_count(&policy->nodes);

	if (policy->placement == POLICY_FIXED && !nodes)
		return gmig_fail(err, -EINVAL,
				 "placement = fixed (%s) needs nodes = LIST, which is %s%s", where,
				 policy->where[POLICY_KEY_NODES][0] ? "all in " : "",
				 origin(policy, POLICY_KEY_NODES));
	if (policy->placement == POLICY_SPREAD && nodes == 1)
		return gmig_fail(
		    err, -EINVAL,
		    "placement = spread (%s) contradicts nodes = LIST of one node (%s)", where,
		    origin(policy, POLICY_KEY_NODES));
	if (policy->protect && policy_is_automatic(policy))
		return gmig_fail(err, -EINVAL,
				 "placement = %s (%s) contradicts protect = yes (%s): what is "
				 "protected has placement none or fixed",
				 placement, where, origin(policy, POLICY_KEY_PROTECT));
	return 0;
}

int policy_check_nodes(const struct placement_policy *policy, const struct gmig_node_set *online,
		       struct gmig_error *err)
{
	struct gmig_node_set absent = policy->nodes;
	char text[64], have[64];

	gmig_node_set_minus(&absent, online);
	if (gmig_node_set_empty(&absent))
		return 0;
	return gmig_fail(err, -ENODEV, "nodes (%s): this host has no node %s, only %s",
			 origin(policy, POLICY_KEY_NODES),
			 gmig_node_set_print(&absent, text, sizeof(text)),
			 gmig_node_set_print(online, have, sizeof(have)));
}

bool policy_is_quiet(const struct placement_policy *policy, const struct tm *now)
{
	unsigned int minute = (unsigned int)(now->tm_hour * 60 + now->tm_min);
	unsigned int today = 1u << now->tm_wday, yesterday = 1u << (now->tm_wday + 6) % 7;

	for (unsigned int i = 0; i < policy->quiet_count; i++) {
		const struct policy_quiet *quiet = &policy->quiet[i];
		bool over_midnight = quiet->to_minute < quiet->from_minute;

		if (quiet->days & today && minute >= quiet->from_minute &&
		    (over_midnight || minute < quiet->to_minute))
			return true;
		if (over_midnight && quiet->days & yesterday && minute < quiet->to_minute)
			return true;
	}
	return false;
}
