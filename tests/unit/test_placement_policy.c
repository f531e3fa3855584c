/* The keys of a placement policy, their merging, contradictions and quiet hours. */
#include "suite.h"

#include "../../libvirt-hooks/policy.h"

#include <errno.h>
#include <string.h>

static void give(struct placement_policy *policy, enum policy_key key, const char *value,
		 const char *where)
{
	struct gmig_error err = {0, ""};

	ck_assert_msg(!policy_set(policy, key, value, where, &err), "%s", err.text);
}

START_TEST(policy_with_nothing_given_observes_only)
{
	struct placement_policy policy;
	struct tm now = {.tm_hour = 3};

	policy_init(&policy);
	ck_assert_int_eq(policy.placement, POLICY_NONE);
	ck_assert(!policy_is_automatic(&policy));
	ck_assert(!policy_is_quiet(&policy, &now));
	ck_assert_int_eq(policy_validate(&policy, NULL), 0);
}
END_TEST

START_TEST(keys_are_read_with_their_units)
{
	struct placement_policy policy;

	policy_init(&policy);
	give(&policy, POLICY_KEY_PLACEMENT, "follow-vcpus", "a:1");
	give(&policy, POLICY_KEY_NODES, "0-3,^2", "a:2");
	give(&policy, POLICY_KEY_RATE, "1.5G", "a:3");
	give(&policy, POLICY_KEY_STALL_BUDGET, "500us", "a:4");
	give(&policy, POLICY_KEY_SLOWDOWN, "2.5%", "a:4");
	give(&policy, POLICY_KEY_PROTECT, "yes", "a:5");
	ck_assert_int_eq(policy.placement, POLICY_FOLLOW_VCPUS);
	ck_assert_uint_eq(policy.nodes.word[0], 0xb);
	ck_assert_uint_eq(policy.rate_bytes, 3ull << 29);
	ck_assert_uint_eq(policy.stall_budget_ns, 500000);
	ck_assert_uint_eq(policy.slowdown_ppm, 25000);
	ck_assert(policy.protect);
	give(&policy, POLICY_KEY_STALL_BUDGET, "1.5ms", "a:6");
	ck_assert_uint_eq(policy.stall_budget_ns, 1500000);
	give(&policy, POLICY_KEY_RATE, "none", "b:1");
	give(&policy, POLICY_KEY_STALL_BUDGET, "none", "b:1");
	give(&policy, POLICY_KEY_SLOWDOWN, "none", "b:1");
	give(&policy, POLICY_KEY_NODES, "all", "b:1");
	ck_assert_uint_eq(policy.rate_bytes, 0);
	ck_assert_uint_eq(policy.stall_budget_ns, 0);
	ck_assert_uint_eq(policy.slowdown_ppm, 0);
	ck_assert(gmig_node_set_empty(&policy.nodes));
	ck_assert_str_eq(policy.where[POLICY_KEY_RATE], "b:1");
}
END_TEST

START_TEST(keys_have_names_and_are_found_by_them)
{
	for (int key = 0; key < POLICY_KEYS; key++) {
		ck_assert_int_eq(policy_key_find(policy_key_name((enum policy_key)key)), key);
		ck_assert_ptr_nonnull(
		    strstr(policy_key_names(), policy_key_name((enum policy_key)key)));
	}
	ck_assert_int_eq(policy_key_find("Rate"), -1);
	ck_assert_int_eq(policy_key_find(""), -1);
}
END_TEST

static const struct {
	enum policy_key key;
	const char *value, *says;
} wrong[] = {
    {POLICY_KEY_PLACEMENT, "", "none, fixed, follow-vcpus, pack or spread"},
    {POLICY_KEY_PLACEMENT, "Pack", "none, fixed"},
    {POLICY_KEY_PLACEMENT, "follow_vcpus", "follow-vcpus"},
    {POLICY_KEY_NODES, "", "numbers"},
    {POLICY_KEY_NODES, "0-1024", "0 to 1023"},
    {POLICY_KEY_NODES, "none", "numbers"},
    {POLICY_KEY_RATE, "0", "512M"},
    {POLICY_KEY_RATE, "-1", "512M"},
    {POLICY_KEY_RATE, "1X", "512M"},
    {POLICY_KEY_RATE, "99999999999T", "64 bits"},
    {POLICY_KEY_STALL_BUDGET, "500", "500us"},
    {POLICY_KEY_STALL_BUDGET, "0ms", "500us"},
    {POLICY_KEY_STALL_BUDGET, "61s", "60s"},
    {POLICY_KEY_STALL_BUDGET, "60001ms", "60s"},
    {POLICY_KEY_STALL_BUDGET, "99999999us", "60s"},
    {POLICY_KEY_STALL_BUDGET, "999999999999us", "60s"},
    {POLICY_KEY_STALL_BUDGET, "0.9us", "1us"},
    {POLICY_KEY_STALL_BUDGET, "60.000001s", "60s"},
    {POLICY_KEY_SLOWDOWN, "5", "as 5%"},
    {POLICY_KEY_SLOWDOWN, "%", "as 5%"},
    {POLICY_KEY_SLOWDOWN, "5.%", "as 5%"},
    {POLICY_KEY_SLOWDOWN, "0%", "0.0001%"},
    {POLICY_KEY_SLOWDOWN, "0.00009%", "0.0001%"},
    {POLICY_KEY_SLOWDOWN, "100.0001%", "100%"},
    {POLICY_KEY_SLOWDOWN, "99999999999999999999999%", "100%"},
    {POLICY_KEY_SLOWDOWN, "0x5%", "as 5%"},
    {POLICY_KEY_SLOWDOWN, "-5%", "as 5%"},
    {POLICY_KEY_SLOWDOWN, "5% ", "as 5%"},
    {POLICY_KEY_PROTECT, "true", "yes or no"},
    {POLICY_KEY_QUIET_HOURS, "", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "8:00-18:00", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "08:00-18:60", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "08:00-24:01", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "24:00-08:00", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "08:00-00:00", "24:00"},
    {POLICY_KEY_QUIET_HOURS, "08:00-08:00", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "08:00-18:00,", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "Mon08:00-18:00", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "Monday 08:00-18:00", "Mon-Fri"},
    {POLICY_KEY_QUIET_HOURS, "Mon- 08:00-18:00", "Mon-Fri"},
    {POLICY_KEY_QUIET_HOURS, "Mon", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "08:00-18:00 x", "HH:MM"},
    {POLICY_KEY_QUIET_HOURS, "none, 08:00-18:00", "HH:MM"},
};
#define WRONG (int)(sizeof(wrong) / sizeof(wrong[0]))

START_TEST(value_that_is_wrong_says_where_what_and_what_is_allowed)
{
	struct placement_policy policy, before;
	struct gmig_error err = {0, ""};

	policy_init(&policy);
	give(&policy, POLICY_KEY_QUIET_HOURS, "01:00-02:00", "old");
	before = policy;
	ck_assert_int_lt(
	    policy_set(&policy, wrong[_i].key, wrong[_i].value, "x.conf:7 [default]", &err), 0);
	ck_assert_msg(!strncmp(err.text, "x.conf:7 [default]: ", 20), "%s", err.text);
	ck_assert_ptr_nonnull(strstr(err.text, policy_key_name(wrong[_i].key)));
	ck_assert_msg(strstr(err.text, wrong[_i].says) != NULL, "%s", err.text);
	ck_assert_mem_eq(&policy, &before, sizeof(policy));
}
END_TEST

START_TEST(texts_of_errors_obey_no_terminal_and_end_in_their_buffer)
{
	struct placement_policy policy;
	struct gmig_error err = {0, ""};
	char value[5000];

	policy_init(&policy);
	memset(value, '\x1b', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (int key = 0; key < POLICY_KEYS; key++) {
		ck_assert_int_lt(policy_set(&policy, (enum policy_key)key, value, value, &err), 0);
		ck_assert_ptr_null(strchr(err.text, '\x1b'));
		ck_assert_ptr_nonnull(memchr(err.text, '\0', sizeof(err.text)));
	}
}
END_TEST

static const struct {
	enum policy_key key;
	const char *value, *text;
} values[] = {
    {POLICY_KEY_PLACEMENT, "follow-vcpus", "follow-vcpus"},
    {POLICY_KEY_NODES, "all", "all"},
    {POLICY_KEY_NODES, "3,0-1,2,^2", "0-1,3"},
    {POLICY_KEY_RATE, "none", "none"},
    {POLICY_KEY_RATE, "1.5G", "1536M"},
    {POLICY_KEY_RATE, "4097", "4097"},
    {POLICY_KEY_RATE, "2048T", "2048T"},
    {POLICY_KEY_STALL_BUDGET, "none", "none"},
    {POLICY_KEY_STALL_BUDGET, "1500us", "1500us"},
    {POLICY_KEY_STALL_BUDGET, "2000us", "2ms"},
    {POLICY_KEY_STALL_BUDGET, "60000ms", "60s"},
    {POLICY_KEY_SLOWDOWN, "none", "none"},
    {POLICY_KEY_SLOWDOWN, "100%", "100%"},
    {POLICY_KEY_SLOWDOWN, "05.50%", "5.5%"},
    {POLICY_KEY_SLOWDOWN, "0.0001%", "0.0001%"},
    {POLICY_KEY_SLOWDOWN, "12.0205999%", "12.0205%"},
    {POLICY_KEY_PROTECT, "yes", "yes"},
    {POLICY_KEY_PROTECT, "no", "no"},
    {POLICY_KEY_QUIET_HOURS, "none", "none"},
    {POLICY_KEY_QUIET_HOURS, "mon-FRI  08:05-18:00,sat 22:00-06:00",
     "Mon-Fri 08:05-18:00, Sat 22:00-06:00"},
    {POLICY_KEY_QUIET_HOURS, "Sat-Mon 00:00-24:00, Sun-Sat 01:00-02:00, Sun 03:00-04:00",
     "Sat-Mon 00:00-24:00, 01:00-02:00, Sun 03:00-04:00"},
};
#define VALUES (int)(sizeof(values) / sizeof(values[0]))

START_TEST(value_is_told_in_its_shortest_form)
{
	struct placement_policy policy;
	char text[POLICY_VALUE];

	policy_init(&policy);
	give(&policy, values[_i].key, values[_i].value, "t");
	ck_assert_str_eq(policy_value(&policy, values[_i].key, text), values[_i].text);
}
END_TEST

START_TEST(longest_values_are_told_whole)
{
	struct placement_policy policy, again;
	char text[POLICY_VALUE];

	policy_init(&policy);
	policy_init(&again);
	for (unsigned int node = 1; node < GMIG_MAX_NODES; node += 2)
		gmig_node_set_add(&policy.nodes, node);
	give(&again, POLICY_KEY_NODES, policy_value(&policy, POLICY_KEY_NODES, text), "t");
	ck_assert_mem_eq(&again.nodes, &policy.nodes, sizeof(policy.nodes));
}
END_TEST

START_TEST(merging_replaces_what_is_given_and_nothing_else)
{
	struct placement_policy low, high;

	policy_init(&low);
	policy_init(&high);
	give(&low, POLICY_KEY_RATE, "1G", "low");
	give(&low, POLICY_KEY_PROTECT, "yes", "low");
	give(&low, POLICY_KEY_QUIET_HOURS, "08:00-18:00, 20:00-21:00", "low");
	give(&high, POLICY_KEY_PROTECT, "no", "high");
	give(&high, POLICY_KEY_QUIET_HOURS, "none", "high");
	policy_merge(&low, &high);
	ck_assert_uint_eq(low.rate_bytes, 1 << 30);
	ck_assert_str_eq(low.where[POLICY_KEY_RATE], "low");
	ck_assert(!low.protect);
	ck_assert_str_eq(low.where[POLICY_KEY_PROTECT], "high");
	ck_assert_uint_eq(low.quiet_count, 0);
}
END_TEST

static const struct {
	const char *placement, *nodes, *protect;
	const char *says; /* NULL: no contradiction */
} pairs[] = {
    {"fixed", "0", "yes", NULL},
    {"fixed", NULL, NULL, "placement = fixed (P) needs nodes = LIST, which is not given"},
    {"fixed", "all", NULL, "placement = fixed (P) needs nodes = LIST, which is all in N"},
    {"spread", "0", NULL, "placement = spread (P) contradicts nodes = LIST of one node (N)"},
    {"spread", "0-1", NULL, NULL},
    {"spread", NULL, NULL, NULL},
    {"pack", NULL, "yes", "placement = pack (P) contradicts protect = yes (X)"},
    {"follow-vcpus", NULL, "yes", "placement = follow-vcpus (P) contradicts protect = yes (X)"},
    {"follow-vcpus", "1", "no", NULL},
    {"none", "1", "yes", NULL},
};
#define PAIRS (int)(sizeof(pairs) / sizeof(pairs[0]))

START_TEST(contradiction_is_refused_with_both_places)
{
	struct placement_policy policy;
	struct gmig_error err = {0, ""};

	policy_init(&policy);
	give(&policy, POLICY_KEY_PLACEMENT, pairs[_i].placement, "P");
	if (pairs[_i].nodes)
		give(&policy, POLICY_KEY_NODES, pairs[_i].nodes, "N");
	if (pairs[_i].protect)
		give(&policy, POLICY_KEY_PROTECT, pairs[_i].protect, "X");
	ck_assert_int_eq(policy_validate(&policy, &err), pairs[_i].says ? -EINVAL : 0);
	if (pairs[_i].says)
		ck_assert_msg(strstr(err.text, pairs[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(nodes_that_the_host_lacks_are_named)
{
	struct gmig_node_set online = {{0x17}};
	struct placement_policy policy;
	struct gmig_error err = {0, ""};

	policy_init(&policy);
	ck_assert_int_eq(policy_check_nodes(&policy, &online, &err), 0);
	give(&policy, POLICY_KEY_NODES, "0-5,1023", "here:3");
	ck_assert_int_eq(policy_check_nodes(&policy, &online, &err), -ENODEV);
	ck_assert_str_eq(err.text, "nodes (here:3): this host has no node 3,5,1023, only 0-2,4");
}
END_TEST

/* tm_wday: 0 is Sunday. */
static const struct {
	const char *hours;
	int day, hour, minute;
	bool quiet;
} times[] = {
    {"08:00-18:00", 3, 7, 59, false},
    {"08:00-18:00", 3, 8, 0, true},
    {"08:00-18:00", 3, 17, 59, true},
    {"08:00-18:00", 3, 18, 0, false},
    {"00:00-24:00", 0, 0, 0, true},
    {"00:00-24:00", 6, 23, 59, true},
    {"22:00-06:00", 1, 21, 59, false},
    {"22:00-06:00", 1, 22, 0, true},
    {"22:00-06:00", 1, 0, 0, true},
    {"22:00-06:00", 1, 5, 59, true},
    {"22:00-06:00", 1, 6, 0, false},
    {"Mon-Fri 08:00-18:00", 0, 12, 0, false},
    {"Mon-Fri 08:00-18:00", 1, 12, 0, true},
    {"mon-fri 08:00-18:00", 5, 12, 0, true},
    {"Mon-Fri 08:00-18:00", 6, 12, 0, false},
    /* begins on Saturday, ends on Sunday */
    {"Sat 22:00-06:00", 6, 23, 0, true},
    {"Sat 22:00-06:00", 0, 5, 0, true},
    {"Sat 22:00-06:00", 0, 23, 0, false},
    {"Sat 22:00-06:00", 6, 5, 0, false},
    {"Sun 22:00-06:00", 1, 5, 0, true},
    /* over the end of the week */
    {"Fri-Mon 10:00-11:00", 5, 10, 30, true},
    {"Fri-Mon 10:00-11:00", 0, 10, 30, true},
    {"Fri-Mon 10:00-11:00", 1, 10, 30, true},
    {"Fri-Mon 10:00-11:00", 2, 10, 30, false},
    {"Fri-Mon 10:00-11:00", 4, 10, 30, false},
    {"Sun-Sat 10:00-11:00", 3, 10, 30, true},
    {"Tue-Tue 10:00-11:00", 3, 10, 30, false},
    {"  Tue   10:00-11:00 ,Wed\t12:00-13:00", 3, 12, 30, true},
    {"Tue 10:00-11:00, Wed 12:00-13:00", 3, 10, 30, false},
};
#define TIMES (int)(sizeof(times) / sizeof(times[0]))

START_TEST(hour_is_quiet_when_a_range_of_its_day_or_the_day_before_covers_it)
{
	struct tm now = {.tm_wday = times[_i].day,
			 .tm_hour = times[_i].hour,
			 .tm_min = times[_i].minute,
			 .tm_sec = 60};
	struct placement_policy policy;

	policy_init(&policy);
	give(&policy, POLICY_KEY_QUIET_HOURS, times[_i].hours, "t");
	ck_assert_int_eq(policy_is_quiet(&policy, &now), times[_i].quiet);
}
END_TEST

START_TEST(quiet_hours_take_sixteen_ranges_and_no_more)
{
	char hours[17 * 13 + 1] = "";
	struct placement_policy policy;
	struct gmig_error err;

	policy_init(&policy);
	for (int i = 0; i < 16; i++)
		snprintf(hours + strlen(hours), sizeof(hours) - strlen(hours), "%s%02d:00-%02d:30",
			 i ? "," : "", i, i);
	give(&policy, POLICY_KEY_QUIET_HOURS, hours, "t");
	ck_assert_uint_eq(policy.quiet_count, 16);
	strcat(hours, ",20:00-21:00");
	ck_assert_int_eq(policy_set(&policy, POLICY_KEY_QUIET_HOURS, hours, "t", &err), -E2BIG);
	ck_assert_uint_eq(policy.quiet_count, 16);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("placement_policy");
	TCase *tcase = tcase_create("policy");

	tcase_add_test(tcase, policy_with_nothing_given_observes_only);
	tcase_add_test(tcase, keys_are_read_with_their_units);
	tcase_add_test(tcase, keys_have_names_and_are_found_by_them);
	tcase_add_loop_test(tcase, value_that_is_wrong_says_where_what_and_what_is_allowed, 0,
			    WRONG);
	tcase_add_test(tcase, texts_of_errors_obey_no_terminal_and_end_in_their_buffer);
	tcase_add_loop_test(tcase, value_is_told_in_its_shortest_form, 0, VALUES);
	tcase_add_test(tcase, longest_values_are_told_whole);
	tcase_add_test(tcase, merging_replaces_what_is_given_and_nothing_else);
	tcase_add_loop_test(tcase, contradiction_is_refused_with_both_places, 0, PAIRS);
	tcase_add_test(tcase, nodes_that_the_host_lacks_are_named);
	tcase_add_loop_test(
	    tcase, hour_is_quiet_when_a_range_of_its_day_or_the_day_before_covers_it, 0, TIMES);
	tcase_add_test(tcase, quiet_hours_take_sixteen_ranges_and_no_more);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
