/* In which order a job's blocks go, as its trace has them. */
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

/* A part of the memory is any part of it. */
START_TEST(part_of_the_memory_in_random_order_lies_anywhere)
{
	struct rig_options options = {.bytes = BYTES};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;
	struct trip trip;
	struct rig rig;

	rig_create(&rig, &options);
	spec.trace = true;
	spec.order = GMIG_ORDER_RANDOM;
	spec.order_seed = 5;
	spec.max_bytes = 8 * GMIG_BLOCK_BYTES;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), 0);
	finish(job, &trip);
	ck_assert_uint_eq(trip.count, 8);
	ck_assert_uint_eq(trip.info.moved_bytes, spec.max_bytes);
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

START_TEST(order_by_use_is_refused_since_nobody_knows_it)
{
	struct rig_options options = {.bytes = BYTES, .untouched = true};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err;
	struct gmig_job *job;
	struct rig rig;

	rig_create(&rig, &options);
	spec.order = GMIG_ORDER_HOT_FIRST;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &spec, &job, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "order hot-first: there is no access history yet"));
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
	tcase_add_test(tcase, order_by_use_is_refused_since_nobody_knows_it);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
