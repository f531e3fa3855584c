/* Plans while memory runs out: linked with --wrap, so that the planner's allocations come here. */
#include "../bench/fleet.h"
#include "no_memory.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>

#define HOSTS 12

/* Every one of the first 200 allocations fails once, then one in 29. Returns how many plans failed. */
static unsigned int plan_without_memory(const struct fleet *fleet,
					const struct placement_options *options)
{
	struct gmig_error err = {0};
	unsigned int failed = 0;

	for (long n = 0;; n += n < 200 ? 1 : 29) {
		struct placement_plan *plan = NULL;
		bool reached;
		int rc;

		no_memory_in = n;
		rc =
		    placement_plan(&fleet->host, fleet->guests, fleet->count, options, &plan, &err);
		reached = no_memory_in < 0;
		no_memory_in = -1;
		placement_plan_destroy(plan);
		if (!reached) {
			ck_assert_int_eq(rc, 0);
			return failed;
		}
		ck_assert_msg(rc == -ENOMEM, "allocation %ld: %d", n, rc);
		failed++;
	}
}

START_TEST(plan_without_memory_says_so_and_loses_nothing)
{
	unsigned int failed = 0;

	for (uint64_t seed = 1; seed <= HOSTS; seed++) {
		struct placement_options options;
		struct fleet fleet;

		no_memory_in = -1;
		ck_assert(!fleet_create(&fleet, &fleet_odd, seed));
		fleet.nodes[0].closed = seed % 3 == 0;
		placement_options_init(&options);
		options.min_gain = seed % 2;
		failed += plan_without_memory(&fleet, &options);
		fleet_destroy(&fleet);
	}
	ck_assert_uint_gt(failed, 200 * HOSTS / 2);
}
END_TEST

START_TEST(history_without_memory_forgets_nobody)
{
	struct placement_options options;
	struct placement_history *history;
	struct gmig_error err = {0};
	struct fleet fleet;
	bool reached = true;

	no_memory_in = -1;
	ck_assert(!fleet_create(&fleet, &fleet_odd, 5));
	placement_options_init(&options);
	ck_assert(!placement_history_create(&history, &err));
	for (long n = 0; reached; n++) {
		int rc;

		no_memory_in = n;
		rc = placement_history_observe(history, &fleet.host, fleet.guests, fleet.count,
					       &options, &err);
		reached = no_memory_in < 0;
		no_memory_in = -1;
		ck_assert_int_eq(rc, reached ? -ENOMEM : 0);
	}
	placement_history_destroy(history);
	fleet_destroy(&fleet);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    plan_without_memory_says_so_and_loses_nothing,
	    history_without_memory_forgets_nobody,
	};

	return run_tests("planner_memory", NULL, NULL, tests, sizeof(tests) / sizeof(tests[0]));
}
