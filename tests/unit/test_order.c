/* In which order a job's blocks go, as its trace has them. */
#include "../../migrate/core/heat.h"
#include "../../migrate/gmig_heat.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "rig.h"

#include <errno.h>

#define BLOCKS 32u
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)

struct trip {
	uint64_t gpa[BLOCKS];
	size_t count;
	struct gmig_job_info info;
};

static void finish(struct gmig_job *job, struct trip *trip)
{
	struct gmig_trace_record records[BLOCKS];

	gmig_job_wait(job);
	gmig_job_info(job, &trip->info);
	trip->count = gmig_job_trace(job, 0, records, BLOCKS);
	ck_assert_uint_le(trip->count, BLOCKS);
	for (size_t i = 0; i < trip->count; i++)
		trip->gpa[i] = records[i].gpa;
	gmig_job_put(job);
	ck_assert_int_eq(trip->info.state, GMIG_JOB_COMPLETED);
}

static void ck_each_once(const struct trip *trip)
{
	uint64_t seen = 0;

	_Static_assert(BLOCKS < 64, "a bit each");
	for (size_t i = 0; i < trip->count; i++)
		seen |= 1ull << (trip->gpa[i] / GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(seen, (1ull << BLOCKS) - 1);
}

static void move(struct rig *rig, unsigned int from, enum gmig_order order, uint64_t seed,
		 struct trip *trip)
{
	struct gmig_job_spec spec = rig_spec(from, !from);
	struct gmig_error err;
	struct gmig_job *job;

	spec.trace = true;
	spec.order = order;
	spec.order_seed = seed;
	ck_assert_int_eq(gmig_job_start(rig->gmig, &spec, &job, &err), 0);
	finish(job, trip);
	ck_assert_uint_eq(trip->info.moved_bytes, BYTES);
	ck_assert_uint_eq(trip->count, BLOCKS);
	ck_each_once(trip);
}

static bool is_by_address(const struct trip *trip)
{
	for (size_t i = 1; i < trip->count; i++)
		if (trip->gpa[i] < trip->gpa[i - 1])
			return false;
	return true;
}

START_TEST(blocks_go_by_address_unless_told_otherwise)
{
	struct rig_options options = {.bytes = BYTES};
	struct trip trip;
	struct rig rig;

	rig_create(&rig, &options);
	move(&rig, 0, GMIG_ORDER_ADDRESS, 0, &trip);
	ck_assert(is_by_address(&trip));
	ck_assert_uint_eq(trip.info.spec.order_seed, 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(random_order_is_told_by_its_seed_and_can_be_repeated)
{
	struct rig_options options = {.bytes = BYTES};
	struct trip first, again, other;
	struct rig rig;

	rig_create(&rig, &options);
	move(&rig, 0, GMIG_ORDER_RANDOM, 0, &first);
	ck_assert(!is_by_address(&first));
	ck_assert_uint_ne(first.info.spec.order_seed, 0);
	/* The seed of a node is another one: there and back again. */
	move(&rig, 1, GMIG_ORDER_RANDOM, first.info.spec.order_seed, &other);
	move(&rig, 0, GMIG_ORDER_RANDOM, first.info.spec.order_seed, &again);
	ck_assert_mem_eq(again.gpa, first.gpa, sizeof(first.gpa));
	move(&rig, 1, GMIG_ORDER_ADDRESS, 0, &other);
	move(&rig, 0, GMIG_ORDER_RANDOM, first.info.spec.order_seed + 1, &other);
	ck_assert_mem_ne(other.gpa, first.gpa, sizeof(first.gpa));
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* So many blocks of it. */
static void move_part(struct rig *rig, struct gmig_job_spec *spec, unsigned int blocks,
		      struct trip *trip)
{
	struct gmig_error err;
	struct gmig_job *job;

	spec->trace = true;
	spec->max_bytes = blocks * GMIG_BLOCK_BYTES;
	ck_assert_int_eq(gmig_job_start(rig->gmig, spec, &job, &err), 0);
	finish(job, trip);
	ck_assert_uint_eq(trip->count, blocks);
	ck_assert_uint_eq(trip->info.moved_bytes, spec->max_bytes);
}

/* A part of the memory is any part of it. */
START_TEST(part_of_the_memory_in_random_order_lies_anywhere)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct trip trip;
	struct rig rig;

	rig_create(&rig, &options);
	spec.order = GMIG_ORDER_RANDOM;
	spec.order_seed = 5;
	move_part(&rig, &spec, 8, &trip);
	ck_assert(!is_by_address(&trip));
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* A list of pages, and a policy of a range. */
START_TEST(lists_and_policies_go_at_random_too)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_move_range range = {0, BYTES, 1};
	struct gmig_move list = {.ranges = &range, .count = 1};
	struct gmig_bind_spec bind = {.bytes = BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND},
				      .flags = GMIG_BIND_MOVE,
				      .job = {.trace = true, .order = GMIG_ORDER_RANDOM}};
	struct gmig_job_spec limits = {.trace = true, .order = GMIG_ORDER_RANDOM, .order_seed = 9};
	struct gmig_error err;
	struct gmig_job *job;
	struct trip trip;
	struct rig rig;

	rig_create(&rig, &options);
	ck_assert_int_eq(gmig_move_start(rig.gmig, &list, &limits, &job, &err), 0);
	finish(job, &trip);
	ck_assert_uint_eq(trip.count, BLOCKS);
	ck_assert_uint_eq(trip.info.moved_bytes, BYTES);
	ck_assert(!is_by_address(&trip));
	gmig_node_set_add(&bind.policy.nodes, 0);
	ck_assert_int_eq(gmig_bind(rig.gmig, &bind, &job, &err), 0);
	finish(job, &trip);
	ck_assert_uint_eq(trip.info.moved_bytes, BYTES);
	ck_assert(!is_by_address(&trip));
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

/* There has been a sampler, and this is what it has seen: block i was missed after so many us; 0: it was not sampled. */
static void know(struct rig *rig, const uint64_t after_us[BLOCKS])
{
	const struct gmig_sampling how = {0};
	struct gmig_error err;

	gmig_sampling_hold(rig->gmig, true);
	ck_assert_int_eq(gmig_sampling_start(rig->gmig, &how, &err), 0);
	gmig_sampling_stop(rig->gmig);
	for (unsigned int i = 0; i < BLOCKS; i++)
		if (after_us[i])
			ck_assert_int_eq(heat_note(rig->gmig->memory.heat, i, after_us[i] * 1000,
						   GMIG_NO_NODE, rig->gmig->sys->now_ns()),
					 0);
}

static const uint64_t seen_us[BLOCKS] = {
    [3] = 900000, [5] = 40, [6] = 1000, [7] = 900000, [20] = 40, [9] = 9, [31] = 50000};
static const uint64_t hot_first[] = {9, 5, 20, 6, 31, 3, 7, 0, 1, 2, 4, 8};
static const uint64_t cold_first[] = {3, 7, 31, 6, 5, 20, 9, 0, 1, 2, 4, 8};

static void assert_order(const struct trip *trip, const uint64_t *first, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_eq(trip->gpa[i] / GMIG_BLOCK_BYTES, first[i]);
	/* The rest is what nobody knows, by address. */
	for (size_t i = count; i < trip->count; i++)
		ck_assert_uint_gt(trip->gpa[i], trip->gpa[i - 1]);
}
#define ASSERT_ORDER(trip, first) assert_order(trip, first, sizeof(first) / sizeof(first[0]))

/* Move all, and end the rig. */
static void expect_order_by_heat(struct rig *rig, bool cold)
{
	struct trip trip;

	move(rig, 0, cold ? GMIG_ORDER_COLD_FIRST : GMIG_ORDER_HOT_FIRST, 0, &trip);
	if (cold)
		ASSERT_ORDER(&trip, cold_first);
	else
		ASSERT_ORDER(&trip, hot_first);
	ck_assert_uint_eq(rig_check_all(rig), 0);
	rig_assert_clean(rig);
	rig_destroy(rig);
}

/* What has moved counts for nothing for a window: each way has an engine of its own. */
START_TEST(blocks_go_by_their_heat_and_unknown_ones_last)
{
	struct rig_options options = {.bytes = BYTES};
	struct rig rig;

	rig_create(&rig, &options);
	know(&rig, seen_us);
	expect_order_by_heat(&rig, _i);
}
END_TEST

/* No sampler has ever run: somebody else knows. More than the guest has is ignored, and counted. */
START_TEST(blocks_go_by_the_heat_that_was_reported)
{
	static const struct gmig_heat_share parts[] = {
	    {3 * GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 0, 0},
	    {5 * GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 900000, 0},
	    {6 * GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 500000, 0},
	    {7 * GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 0, 0},
	    {9 * GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 1000000, 0},
	    {20 * GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 900000, 0},
	    {31 * GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 10000, 0},
	    {BYTES, 5 * GMIG_BLOCK_BYTES, 70000, 0},
	};
	struct rig_options options = {.bytes = BYTES};
	struct gmig_heat_noted noted;
	struct gmig_heat part;
	struct gmig_error err;
	struct rig rig;

	rig_create(&rig, &options);
	ck_assert_int_eq(gmig_heat_report(rig.gmig, parts, 8, &noted, &err), 0);
	ck_assert_uint_eq(noted.noted_bytes, 7 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(noted.outside_bytes, 5 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(noted.moved_bytes, 0);
	ck_assert_uint_eq(gmig_heat(rig.gmig, 0, &part, 1), 1);
	ck_assert_uint_eq(part.reported_bytes, 7 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(part.hot_bytes, 4 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(part.warm_bytes, GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(part.cold_bytes, 2 * GMIG_BLOCK_BYTES);
	expect_order_by_heat(&rig, _i);
}
END_TEST

START_TEST(report_that_cannot_be_is_refused_and_leaves_nothing)
{
	static const struct gmig_heat_share bad[][2] = {
	    {{0, GMIG_BLOCK_BYTES, 1, 0}, {0, GMIG_BLOCK_BYTES, 1, 0}},
	    {{2 * GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 1, 0}, {0, GMIG_BLOCK_BYTES, 1, 0}},
	    {{0, GMIG_BLOCK_BYTES, 1, 0}, {GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 1000001, 0}},
	    {{0, GMIG_BLOCK_BYTES, 1, 0}, {GMIG_BLOCK_BYTES, GMIG_BLOCK_BYTES, 1, 7}},
	    {{0, GMIG_BLOCK_BYTES, 1, 0}, {GMIG_BLOCK_BYTES + 4096, GMIG_BLOCK_BYTES, 1, 0}},
	    {{0, GMIG_BLOCK_BYTES, 1, 0}, {GMIG_BLOCK_BYTES, 4096, 1, 0}},
	    {{0, GMIG_BLOCK_BYTES, 1, 0}, {1ull << 48, GMIG_BLOCK_BYTES, 1, 0}},
	    {{0, GMIG_BLOCK_BYTES, 1, 0}, {GMIG_BLOCK_BYTES, 1ull << 48, 1, 0}},
	    {{0, GMIG_BLOCK_BYTES, 1, 0}, {GMIG_BLOCK_BYTES, -GMIG_BLOCK_BYTES, 1, 0}},
	};
	struct rig_options options = {.bytes = BYTES, .untouched = true};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(gmig_heat_report(rig.gmig, bad[i], 2, NULL, &err), -EINVAL);
	spec.order = GMIG_ORDER_HOT_FIRST;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EOPNOTSUPP);
	rig_destroy(&rig);
}
END_TEST

START_TEST(part_of_the_memory_is_its_hottest)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct trip trip;
	struct rig rig;

	rig_create(&rig, &options);
	know(&rig, seen_us);
	spec.order = GMIG_ORDER_HOT_FIRST;
	move_part(&rig, &spec, 3, &trip);
	assert_order(&trip, hot_first, 3);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(lists_and_policies_go_by_heat_too)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_move_range range = {0, BYTES, 1};
	struct gmig_move list = {.ranges = &range, .count = 1};
	struct gmig_bind_spec bind = {.bytes = BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND},
				      .flags = GMIG_BIND_MOVE,
				      .job = {.trace = true, .order = GMIG_ORDER_HOT_FIRST}};
	struct gmig_job_spec limits = {.trace = true, .order = GMIG_ORDER_HOT_FIRST};
	struct gmig_error err;
	struct gmig_job *job;
	struct trip trip;
	struct rig rig;

	rig_create(&rig, &options);
	know(&rig, seen_us);
	gmig_node_set_add(&bind.policy.nodes, 1);
	if (_i)
		ck_assert_int_eq(gmig_bind(rig.gmig, &bind, &job, &err), 0);
	else
		ck_assert_int_eq(gmig_move_start(rig.gmig, &list, &limits, &job, &err), 0);
	finish(job, &trip);
	ck_assert_uint_eq(trip.count, BLOCKS);
	ASSERT_ORDER(&trip, hot_first);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}
END_TEST

START_TEST(order_by_use_is_refused_as_long_as_nobody_knows_it)
{
	const uint64_t nothing[BLOCKS] = {0};
	struct rig_options options = {.bytes = BYTES, .untouched = true};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	spec.order = GMIG_ORDER_HOT_FIRST;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "order hot-first: there is no access history yet"));
	/* A sampler that has seen nothing does not help. */
	know(&rig, nothing);
	spec.order = GMIG_ORDER_COLD_FIRST;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EOPNOTSUPP);
	spec.order = (enum gmig_order)4;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	spec.order = GMIG_ORDER_ADDRESS;
	spec.order_seed = 1;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EINVAL);
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("order");
	TCase *tcase = tcase_create("order");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, blocks_go_by_address_unless_told_otherwise);
	tcase_add_test(tcase, random_order_is_told_by_its_seed_and_can_be_repeated);
	tcase_add_test(tcase, part_of_the_memory_in_random_order_lies_anywhere);
	tcase_add_test(tcase, lists_and_policies_go_at_random_too);
	tcase_add_loop_test(tcase, blocks_go_by_their_heat_and_unknown_ones_last, 0, 2);
	tcase_add_loop_test(tcase, blocks_go_by_the_heat_that_was_reported, 0, 2);
	tcase_add_test(tcase, report_that_cannot_be_is_refused_and_leaves_nothing);
	tcase_add_test(tcase, part_of_the_memory_is_its_hottest);
	tcase_add_loop_test(tcase, lists_and_policies_go_by_heat_too, 0, 2);
	tcase_add_test(tcase, order_by_use_is_refused_as_long_as_nobody_knows_it);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
