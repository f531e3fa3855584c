/* What gmig_heat() tells of what is known of blocks, and what becomes of a report: by a clock that the test moves. */
#include "../../migrate/core/heat.h"
#include "../../migrate/gmig_heat.h"
#include "../../migrate/memory/engine.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

#define MIB (1ull << 20)
#define MS  1000000ull

static struct gmig_topology *topology;
static struct gmig *gmig;
static struct gmig_error err;
static struct gmig_sys sys;
static struct heat *heat;
static uint64_t now = 1000000 * MS;

static uint64_t now_ns(void)
{
	return now;
}

/* Two regions, 8 MiB at 0 and 4 MiB at 16 MiB; something is known of the first block. */
static void setup(void)
{
	const struct gmig_region_spec specs[] = {{.bytes = 8 * MIB},
						 {.gpa = 16 * MIB, .bytes = 4 * MIB}};
	const struct gmig_heat_share none = {0, 0, 0, 0};
	struct gmig_options options = {.plain = true, .sys = &sys};
	void *hva;

	ck_assert_int_eq(gmig_topology_create(4, &topology, NULL), 0);
	sys = gmig_sys_real;
	sys.now_ns = now_ns;
	options.topology = topology;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(gmig_region_add(gmig, &specs[i], &hva, &err), 0);
	/* There is a history once somebody needs it, and then it stays. */
	ck_assert_ptr_null(atomic_load(&gmig->memory.heat));
	ck_assert_int_eq(gmig_heat_report(gmig, &none, 0, NULL, &err), 0);
	heat = atomic_load(&gmig->memory.heat);
	ck_assert_ptr_nonnull(heat);
	ck_assert_int_eq(gmig_heat_report(gmig, &none, 0, NULL, &err), 0);
	ck_assert_ptr_eq(atomic_load(&gmig->memory.heat), heat);
}

static void teardown(void)
{
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}

START_TEST(blocks_are_told_by_how_soon_they_were_missed_and_from_where)
{
	struct gmig_heat part[2];

	ck_assert_int_eq(heat_note(heat, 8, MS, 1, now - 100), 0);
	ck_assert_int_eq(heat_note(heat, 9, MS, 1, now - 100), 0);
	/* Cold, warm, hot. */
	ck_assert_int_eq(heat_note(heat, 2, HEAT_WINDOW_NS, GMIG_NO_NODE, now - 9), 0);
	ck_assert_int_eq(heat_note(heat, 1, 100 * MS, 1, now - 7), 0);
	ck_assert_int_eq(heat_note(heat, 0, MS, 3, now), 0);
	now += 5;
	ck_assert_uint_eq(gmig_heat(gmig, 0, part, 2), 2);
	ck_assert_uint_eq(part[0].hot_bytes, 2 * MIB);
	ck_assert_uint_eq(part[0].warm_bytes, 2 * MIB);
	ck_assert_uint_eq(part[0].cold_bytes, 2 * MIB);
	ck_assert_uint_eq(part[0].unknown_bytes, 2 * MIB);
	ck_assert_uint_eq(part[0].reported_bytes, 0);
	ck_assert_uint_eq(part[0].newest_age_ns, 5);
	ck_assert_uint_eq(part[0].by[0].bytes, 2 * MIB);
	ck_assert_uint_eq(part[0].by[1].bytes, 2 * MIB);
	ck_assert_uint_eq(part[0].by[0].node + part[0].by[1].node, 4);
	ck_assert_uint_eq(part[0].by[2].bytes, 0);
	ck_assert_uint_eq(part[1].hot_bytes, 4 * MIB);
	ck_assert_uint_eq(part[1].unknown_bytes, 0);
	ck_assert_uint_eq(part[1].by[0].node, 1);
	ck_assert_uint_eq(part[1].by[0].bytes, 4 * MIB);
	ck_assert_uint_eq(part[1].by[1].bytes, 0);
	/* A part of them, block by block. */
	ck_assert_uint_eq(gmig_heat_parts(gmig, 2 * MIB, 2 * MIB, part, 2), 2);
	ck_assert_uint_eq(part[0].warm_bytes, 2 * MIB);
	ck_assert_uint_eq(part[0].by[0].node, 1);
	ck_assert_uint_eq(part[1].cold_bytes, 2 * MIB);
	ck_assert_uint_eq(part[1].by[0].bytes, 0);
	/* What ends just now is not unknown, whatever the clock says. */
	now -= 5;
	ck_assert_uint_eq(gmig_heat(gmig, 0, part, 1), 1);
	ck_assert_uint_eq(part[0].newest_age_ns, 1);
}
END_TEST

START_TEST(report_of_a_block_that_has_just_moved_is_ignored)
{
	const struct gmig_heat_share part = {0, 20 * MIB, 600000, 0};
	struct gmig_heat_noted noted;
	struct gmig_heat told[2];

	/* Nothing is kept of what was never seen. */
	ck_assert_int_eq(heat_note(heat, 0, MS, 0, now - 1000 * MS), 0);
	heat_moved(heat, 1, now - HEAT_WINDOW_NS / 2);
	heat_moved(heat, 9, now - HEAT_WINDOW_NS / 2);
	ck_assert_int_eq(gmig_heat_report(gmig, &part, 1, &noted, &err), 0);
	ck_assert_uint_eq(noted.outside_bytes, 8 * MIB);
	ck_assert_uint_eq(noted.moved_bytes, 4 * MIB);
	ck_assert_uint_eq(noted.noted_bytes, 8 * MIB);
	ck_assert_uint_eq(gmig_heat(gmig, 0, told, 2), 2);
	ck_assert_uint_eq(told[0].reported_bytes, 6 * MIB);
	ck_assert_uint_eq(told[0].hot_bytes, 6 * MIB);
	ck_assert_uint_eq(told[0].unknown_bytes, 2 * MIB);
	ck_assert_uint_eq(told[1].reported_bytes, 2 * MIB);
	now += HEAT_WINDOW_NS;
	ck_assert_int_eq(gmig_heat_report(gmig, &part, 1, &noted, &err), 0);
	ck_assert_uint_eq(noted.moved_bytes, 0);
	ck_assert_uint_eq(noted.noted_bytes, 12 * MIB);
}
END_TEST

START_TEST(share_says_whether_a_block_is_hot_warm_or_cold)
{
	const struct gmig_heat_share parts[] = {{0, 2 * MIB, 0, 0},
						{2 * MIB, 2 * MIB, 1, 0},
						{4 * MIB, 2 * MIB, 499999, 0},
						{6 * MIB, 2 * MIB, 500000, 0}};
	struct gmig_heat told;

	ck_assert_int_eq(gmig_heat_report(gmig, parts, 4, NULL, &err), 0);
	ck_assert_uint_eq(gmig_heat(gmig, 0, &told, 1), 1);
	ck_assert_uint_eq(told.cold_bytes, 2 * MIB);
	ck_assert_uint_eq(told.warm_bytes, 4 * MIB);
	ck_assert_uint_eq(told.hot_bytes, 2 * MIB);
	ck_assert_uint_eq(told.reported_bytes, 8 * MIB);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    blocks_are_told_by_how_soon_they_were_missed_and_from_where,
	    report_of_a_block_that_has_just_moved_is_ignored,
	    share_says_whether_a_block_is_hot_warm_or_cold,
	};

	return run_tests("heat_told", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
