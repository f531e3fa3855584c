/* A policy's values as text, see policy.h. */
#include "policy.h"

#include <string.h>

#define ALL_DAYS 0x7f

static void print_rate(uint64_t bytes, char *text)
{
	static const char units[] = "KMGT";
	char unit[2] = "";

	if (!bytes) {
		strcpy(text, "none");
		return;
	}
	for (const char *at = units; *at && bytes % 1024 == 0; at++) {
		bytes /= 1024;
		unit[0] = *at;
	}
	snprintf(text, POLICY_VALUE, "%llu%s", (unsigned long long)bytes, unit);
}

static void print_stall_budget(uint64_t ns, char *text)
{
	static const char *const units[] = {"us", "ms", "s"};
	uint64_t number = ns / 1000;
	size_t unit = 0;

	while (unit < 2 && number % 1000 == 0) {
		number /= 1000;
		unit++;
	}
	if (ns)
		snprintf(text, POLICY_VALUE, "%llu%s", (unsigned long long)number, units[unit]);
	else
		strcpy(text, "none");
}

/* "5%", "0.5%": no zeroes at the end. */
static void print_slowdown(uint32_t ppm, char *text)
{
	uint32_t whole = ppm / 10000, part = ppm % 10000;
	int digits = 4;

	for (; part && part % 10 == 0; digits--)
		part /= 10;
	if (!ppm)
		strcpy(text, "none");
	else if (part)
		snprintf(text, POLICY_VALUE, "%u.%0*u%%", whole, digits, part);
	else
		snprintf(text, POLICY_VALUE, "%u%%", whole);
}

/* "Mon-Fri ", "Sat ", or nothing for all: the days of a range follow each other, over the end of the week, too. */
static void print_days(unsigned int days, char text[9])
{
	static const char *const names[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	unsigned int first = 0, last;

	text[0] = '\0';
	if (days == ALL_DAYS || !days)
		return;
	while (!(days >> first & 1) || days >> (first + 6) % 7 & 1)
		first++;
	last = first;
	while (days >> (last + 1) % 7 & 1)
		last = (last + 1) % 7;
	if (first == last)
		snprintf(text, 9, "%s ", names[first]);
	else
		snprintf(text, 9, "%s-%s ", names[first], names[last]);
}

static void print_quiet_hours(const struct placement_policy *policy, char *text)
{
	char days[9];
	size_t used = 0;

	strcpy(text, "none");
	for (unsigned int i = 0; i < policy->quiet_count; i++) {
		const struct policy_quiet *quiet = &policy->quiet[i];

		print_days(quiet->days, days);
		used += (size_t)snprintf(text + used, POLICY_VALUE - used,
					 "%s%s%02u:%02u-%02u:%02u", i ? ", " : "", days,
					 quiet->from_minute / 60u, quiet->from_minute % 60u,
					 quiet->to_minute / 60u, quiet->to_minute % 60u);
	}
}

const char *policy_value(const struct placement_policy *policy, enum policy_key key,
			 char text[POLICY_VALUE])
{
	text[0] = '\0';
	switch (key) {
	case POLICY_KEY_PLACEMENT:
		strcpy(text, policy_placement_name(policy->placement));
		break;
	case POLICY_KEY_NODES:
		if (gmig_node_set_empty(&policy->nodes))
			strcpy(text, "all");
		else
			(void)gmig_node_set_print(&policy->nodes, text, POLICY_VALUE);
		break;
	case POLICY_KEY_RATE:
		print_rate(policy->rate_bytes, text);
		break;
	case POLICY_KEY_STALL_BUDGET:
		print_stall_budget(policy->stall_budget_ns, text);
		break;
	case POLICY_KEY_SLOWDOWN:
		print_slowdown(policy->slowdown_ppm, text);
		break;
	case POLICY_KEY_PROTECT:
		strcpy(text, policy->protect ? "yes" : "no");
		break;
	case POLICY_KEY_QUIET_HOURS:
		print_quiet_hours(policy, text);
		break;
	case POLICY_KEYS:
		break;
	}
	return text;
}
