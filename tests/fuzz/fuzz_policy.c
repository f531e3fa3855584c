/* Values of a policy's keys: the first byte chooses the key. What is taken is merged and asked at each minute of a week. */
#include "../../libvirt-hooks/policy.h"

#include <stdlib.h>
#include <string.h>

static void need(bool holds)
{
	if (!holds)
		abort();
}

/* A minute is quiet when any range of its day or the day before covers it: asked in another way than the code does. */
static bool quiet_slowly(const struct placement_policy *policy, int minute_of_week)
{
	for (unsigned int i = 0; i < policy->quiet_count; i++) {
		const struct policy_quiet *quiet = &policy->quiet[i];
		int length = (quiet->to_minute - quiet->from_minute + 1440) % 1440;

		if (quiet->from_minute == 0 && quiet->to_minute == 1440)
			length = 1440;
		for (int day = 0; day < 7; day++) {
			int since = minute_of_week - (day * 1440 + quiet->from_minute);

			if (quiet->days >> day & 1 && (since + 7 * 1440) % (7 * 1440) < length)
				return true;
		}
	}
	return false;
}

static void walk(const struct placement_policy *policy)
{
	struct gmig_node_set online = {{0x5}};

	need(policy->placement <= POLICY_SPREAD);
	need(policy->quiet_count <= POLICY_QUIET_RANGES);
	need(policy->stall_budget_ns <= 60000000000ull);
	need(policy->slowdown_ppm <= 1000000);
	for (int minute = 0; policy->quiet_count && minute < 7 * 1440; minute += 7) {
		struct tm now = {
		    .tm_wday = minute / 1440, .tm_hour = minute / 60 % 24, .tm_min = minute % 60};

		need(policy_is_quiet(policy, &now) == quiet_slowly(policy, minute));
	}
	(void)policy_check_nodes(policy, &online, NULL);
	(void)policy_validate(policy, NULL);
}

/* The value as text is taken again, and is the same. */
static void read_again(const struct placement_policy *policy, enum policy_key key)
{
	struct placement_policy again;
	char text[POLICY_VALUE];

	policy_init(&again);
	need(!policy_set(&again, key, policy_value(policy, key, text), "again", NULL));
	memcpy(again.where, policy->where, sizeof(again.where));
	need(!memcmp(&again, policy, sizeof(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct placement_policy policy, before, merged;
	struct gmig_error err = {0, ""};
	char *value = calloc(1, size + 1);
	enum policy_key key = (enum policy_key)(size ? data[0] % POLICY_KEYS : 0);
	int ret;

	policy_init(&policy);
	policy_init(&merged);
	before = policy;
	if (size)
		memcpy(value, data + 1, size - 1);
	ret = policy_set(&policy, (enum policy_key)(size ? data[0] % POLICY_KEYS : 0), value, value,
			 &err);
	if (ret) {
		need(err.code == ret && !memcmp(&policy, &before, sizeof(policy)));
		for (const char *at = err.text; *at; at++)
			need((unsigned char)*at >= ' ');
	} else {
		walk(&policy);
		read_again(&policy, key);
		policy_merge(&merged, &policy);
		need(!*value || !memcmp(&merged, &policy, sizeof(policy)));
	}
	free(value);
	return 0;
}
