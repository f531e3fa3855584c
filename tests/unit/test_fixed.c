/* What is declared fixed does not move, by no job and in no mode; what is around it does; and no declaration is too late. */
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/bindings.h"
#include "../../migrate/memory/fixed.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCKS 8u
#define BYTES  (BLOCKS * GMIG_BLOCK_BYTES)
#define B      GMIG_BLOCK_PAGES

static struct rig rig;

static void begin(bool small)
{
	const struct rig_options options = {.bytes = BYTES, .small_pages = small, .nodes = 3};

	rig_create(&rig, &options);
}

static void finish(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static void fix(uint64_t page, uint64_t pages, bool fixed)
{
	struct gmig_error err = {0};

	ck_assert_msg(gmig_fix_memory(rig.gmig, page * GMIG_PAGE_BYTES, pages * GMIG_PAGE_BYTES,
				      fixed, &err) == 0,
		      "%s", err.text);
}

static unsigned int node_of(uint64_t page)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, page, &entry), 0);
	ck_assert_int_eq(entry.state, SHADOW_PRESENT);
	return entry.node;
}

static bool is_huge(uint64_t page)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, page, &entry), 0);
	return entry.order;
}

/* The blocks first..end lie on that node, the others on the other one. */
static void assert_blocks(unsigned int first, unsigned int end, unsigned int in, unsigned int out)
{
	for (unsigned int block = 0; block < BLOCKS; block++)
		for (unsigned int page = 0; page < B; page += B - 1)
			ck_assert_uint_eq(node_of(block * B + page),
					  block >= first && block < end ? in : out);
}

/* ---- Jobs ------------------------------------------------------------------------------------------ */

/* Bit 0: small pages; then the mode. */
#define FORMS (2 * 4)

START_TEST(job_leaves_what_is_fixed_and_says_EPERM)
{
	const enum gmig_mode modes[] = {GMIG_MODE_AUTO, GMIG_MODE_READABLE, GMIG_MODE_BLOCK,
					GMIG_MODE_LAZY};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err = {0};
	struct gmig_job_info info;
	struct gmig_job *job;
	uint64_t gpa;
	int status;

	begin(_i & 1);
	/* One page of block 2, and two of which one is in block 4. */
	fix(2 * B + 7, 1, true);
	fix(4 * B - 1, 2, true);
	spec.mode = modes[_i / 2];
	spec.deadline_ns = spec.mode == GMIG_MODE_LAZY ? 1 : 0;
	ck_assert_msg(gmig_job_start(rig.gmig, &spec, &job, &err) == 0, "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.passes, 1); /* no other try makes sense */
	ck_assert_uint_eq(info.moved_bytes, 5 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.remaining_bytes, 3 * GMIG_BLOCK_BYTES);
	assert_blocks(2, 5, 0, 1);
	for (uint64_t page = 0; page < rig.pages; page += 100) {
		bool in = page / B >= 2 && page / B < 5;

		gpa = page * GMIG_PAGE_BYTES;
		ck_assert_int_eq(gmig_job_pages(job, 1, &gpa, &status), 0);
		ck_assert_int_eq(status, in ? -EPERM : 1);
	}
	gmig_job_put(job);
	/* It may again: what stayed goes, too. */
	fix(0, rig.pages, false);
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, 3 * GMIG_BLOCK_BYTES);
	assert_blocks(0, BLOCKS, 1, 1);
	finish();
}
END_TEST

START_TEST(named_page_of_a_fixed_block_stays_and_the_block_whole)
{
	const uint64_t gpas[] = {0, (B + 5) * GMIG_PAGE_BYTES};
	const int nodes[] = {2, 2};
	int status[2];
	const struct gmig_pages pages = {
	    .count = 2, .gpas = gpas, .nodes = nodes, .status = status};
	struct gmig_error err = {0};
	bool huge;

	begin(false);
	huge = is_huge(B);
	fix(B, 1, true);
	ck_assert_int_eq(gmig_move_pages(rig.gmig, &pages, &err), 1);
	ck_assert_int_eq(status[0], 2);
	ck_assert_int_eq(status[1], -EPERM);
	ck_assert_int_eq(is_huge(B), huge);
	ck_assert_uint_eq(node_of(B + 5), 0);
	finish();
}
END_TEST

START_TEST(policy_with_move_and_strict_fails_on_what_is_fixed)
{
	struct gmig_bind_spec spec = {.bytes = BYTES,
				      .policy = {.mode = GMIG_POLICY_BIND},
				      .flags = GMIG_BIND_MOVE | GMIG_BIND_STRICT};
	struct gmig_error err = {0};
	struct gmig_job_info info;
	struct gmig_job *job;

	begin(false);
	fix(7 * B, B, true);
	gmig_node_set_add(&spec.policy.nodes, 2);
	ck_assert_msg(gmig_bind(rig.gmig, &spec, &job, &err) == 0, "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	ck_assert_int_eq(info.state, GMIG_JOB_FAILED);
	ck_assert_int_eq(info.error.code, -EIO);
	assert_blocks(7, 8, 0, 2);
	finish();
}
END_TEST

/* ---- What is under way ------------------------------------------------------------------------------- */

/* A block that waits for its toucher has begun to move: it goes on at once, and no other one begins. */
START_TEST(block_that_waits_to_be_touched_is_through_when_it_is_declared)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err = {0};
	struct gmig_job_info info;
	struct gmig_job *job;

	begin(_i);
	spec.mode = GMIG_MODE_LAZY;
	ck_assert_msg(gmig_job_start(rig.gmig, &spec, &job, &err) == 0, "%s", err.text);
	do {
		ck_assert_int_eq(atomic_load(&rig.fatal), 0);
		gmig_job_info(job, &info);
	} while (info.lazy.waiting != BLOCKS && !sched_yield());
	fix(3 * B, B, true);
	for (uint64_t page = 3 * B; page < 4 * B; page++)
		node_of(page); /* present */
	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_put(job);
	finish();
}
END_TEST

static struct gmig_sys sys;
static atomic_bool armed;

/* A job has looked at its pages, and makes a frame for them. */
static int advise(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE && atomic_exchange(&armed, false))
		fix(0, rig.pages, true);
	return gmig_sys_real.advise(memory, bytes, advice);
}

START_TEST(block_that_a_job_has_picked_and_not_yet_taken_stays)
{
	struct rig_options options = {.bytes = BYTES, .small_pages = _i, .nodes = 3, .sys = &sys};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	sys = gmig_sys_real;
	sys.advise = advise;
	rig_create(&rig, &options);
	spec.frames = GMIG_FRAMES_FRESH;
	atomic_store(&armed, true);
	rig_move(&rig, &spec, &info);
	ck_assert(!atomic_load(&armed));
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.passes, 2);
	assert_blocks(0, BLOCKS, 0, 0);
	finish();
}
END_TEST

struct mover {
	pthread_t thread;
	atomic_bool stop;
};

static void *move_to_and_fro(void *arg)
{
	struct mover *mover = arg;

	for (unsigned int from = 0; !atomic_load(&mover->stop); from ^= 1) {
		struct gmig_job_spec spec = rig_spec(from, 1 - from);
		struct gmig_job_info info;

		rig_move(&rig, &spec, &info);
	}
	return NULL;
}

/* Whenever it is declared: from the return on, the block keeps its node while the others go to and fro. */
START_TEST(declaration_beside_jobs_is_never_too_late)
{
	struct mover mover = {.stop = false};
	uint64_t moved = 0;

	begin(_i);
	ck_assert_int_eq(pthread_create(&mover.thread, NULL, move_to_and_fro, &mover), 0);
	for (unsigned int round = 0; round < 60; round++) {
		uint64_t first = round % BLOCKS * B;
		unsigned int node;

		fix(first + round, 1, true);
		node = node_of(first);
		for (unsigned int page = 0; page < B; page++)
			ck_assert_uint_eq(node_of(first + page), node);
		usleep(3000); /* a job does all of it in less */
		for (unsigned int page = 0; page < B; page++)
			ck_assert_uint_eq(node_of(first + page), node);
		fix(first + round, 1, false);
		moved += node;
	}
	atomic_store(&mover.stop, true);
	pthread_join(mover.thread, NULL);
	ck_assert_uint_gt(moved, 0); /* the jobs did move */
	finish();
}
END_TEST

/* ---- What is said of it ------------------------------------------------------------------------------ */

START_TEST(map_counts_what_is_fixed)
{
	struct gmig_map map;

	begin(false);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.fixed_pages, 0);
	fix(B + 1, 2 * B, true); /* of three blocks */
	fix(7 * B, 1, true);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.fixed_pages, 4 * B);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 3 * GMIG_BLOCK_BYTES + 8192, &map), 0);
	ck_assert_uint_eq(map.fixed_pages, 2 * B - 2);
	fix(2 * B, B, false);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.fixed_pages, 3 * B);
	finish();
}
END_TEST

START_TEST(fixed_pages_of_a_range_are_counted_to_its_ends)
{
	begin(false);
	ck_assert_uint_eq(fixed_pages(rig.gmig, 0, BLOCKS * B), 0);
	fix(2 * B, 2 * B, true);
	fix(6 * B, B, true);
	ck_assert_uint_eq(fixed_pages(rig.gmig, 0, BLOCKS * B), 3 * B);
	ck_assert_uint_eq(fixed_pages(rig.gmig, 0, 2 * B), 0);
	ck_assert_uint_eq(fixed_pages(rig.gmig, 0, 2 * B + 1), 1);
	ck_assert_uint_eq(fixed_pages(rig.gmig, 4 * B - 1, 2), 1);
	ck_assert_uint_eq(fixed_pages(rig.gmig, 4 * B, 2 * B), 0);
	ck_assert_uint_eq(fixed_pages(rig.gmig, 3 * B, 3 * B + 7), B + 7);
	ck_assert_uint_eq(fixed_pages(rig.gmig, 2 * B, 0), 0);
	ck_assert(!fixed_is(rig.gmig, 2 * B - 1) && fixed_is(rig.gmig, 2 * B));
	ck_assert(fixed_is(rig.gmig, 4 * B - 1) && !fixed_is(rig.gmig, 4 * B));
	finish();
}
END_TEST

static int refused(uint64_t gpa, uint64_t bytes, bool fixed)
{
	struct gmig_error err = {0};
	int ret = gmig_fix_memory(rig.gmig, gpa, bytes, fixed, &err);

	ck_assert(!ret == !err.text[0]);
	return ret;
}

START_TEST(range_that_is_no_memory_is_refused)
{
	const uint64_t page = GMIG_PAGE_BYTES;

	begin(false);
	ck_assert_int_eq(refused(1, page, true), -EINVAL);
	ck_assert_int_eq(refused(page, UINT64_MAX - page + 1, true), -EINVAL);
	ck_assert_int_eq(refused(UINT64_MAX - page + 1, page, true), -EINVAL);
	ck_assert_int_eq(refused(BYTES - page, 2 * page, true), -EFAULT);
	ck_assert_int_eq(refused(BYTES, page, true), -EFAULT);
	ck_assert_int_eq(refused(BYTES, page, false), -EFAULT);
	ck_assert_int_eq(refused(BYTES - page, 2 * page, false), 0);
	ck_assert_int_eq(refused(0, 0, true), 0); /* nothing */
	for (uint64_t block = 0; block < BLOCKS; block++)
		ck_assert(!fixed_is(rig.gmig, block * B));
	finish();
}
END_TEST

/* As many as there may be: one more is refused, and nothing has changed; what takes some away never is. */
START_TEST(more_ranges_than_there_may_be_are_refused)
{
	const struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct gmig_error err = {0};

	begin(false);
	bindings_destroy(rig.gmig->fixed);
	ck_assert_int_eq(bindings_create_with(2, &rig.gmig->fixed), 0);
	fix(0, 1, true);
	fix(2 * B, 1, true);
	ck_assert_int_eq(gmig_fix_memory(rig.gmig, 4 * GMIG_BLOCK_BYTES, 1, true, &err), -ENOMEM);
	fix(B, 1, true); /* joins them */
	fix(4 * B, 1, true);
	fix(0, 3 * B, false);
	rig_move(&rig, &spec, &info);
	assert_blocks(4, 5, 0, 1);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fixed");
	TCase *tcase = tcase_create("fixed");

	tcase_add_loop_test(tcase, job_leaves_what_is_fixed_and_says_EPERM, 0, FORMS);
	tcase_add_test(tcase, named_page_of_a_fixed_block_stays_and_the_block_whole);
	tcase_add_test(tcase, policy_with_move_and_strict_fails_on_what_is_fixed);
	tcase_add_loop_test(tcase, block_that_waits_to_be_touched_is_through_when_it_is_declared, 0,
			    2);
	tcase_add_loop_test(tcase, block_that_a_job_has_picked_and_not_yet_taken_stays, 0, 2);
	tcase_add_loop_test(tcase, declaration_beside_jobs_is_never_too_late, 0, 2);
	tcase_add_test(tcase, map_counts_what_is_fixed);
	tcase_add_test(tcase, fixed_pages_of_a_range_are_counted_to_its_ends);
	tcase_add_test(tcase, range_that_is_no_memory_is_refused);
	tcase_add_test(tcase, more_ranges_than_there_may_be_are_refused);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
