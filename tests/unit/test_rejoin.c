/* Huge pages are kept, or come back. */
#include "../../migrate/memory/claim.h"
#include "../../migrate/memory/region.h"
#include "../../migrate/memory/rejoin.h"
#include "rig.h"

#include <errno.h>
#include <sys/mman.h>

#define BYTES (8ull << 20)

static struct rig rig;
static struct gmig_sys sys;
static atomic_int collapses, refuse; /* refuse: -errno of MADV_COLLAPSE, 0: the kernel's answer */
static atomic_bool no_huge_frames;

static int advise(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_COLLAPSE) {
		atomic_fetch_add(&collapses, 1);
		if (atomic_load(&refuse))
			return atomic_load(&refuse);
	}
	if (advice == MADV_HUGEPAGE && atomic_load(&no_huge_frames))
		advice = MADV_NOHUGEPAGE;
	return gmig_sys_real.advise(memory, bytes, advice);
}

static void start(void)
{
	sys = gmig_sys_real;
	sys.advise = advise;
	atomic_store(&collapses, 0);
	atomic_store(&refuse, 0);
	atomic_store(&no_huge_frames, false);
	rig_create(&rig, &(struct rig_options){.bytes = BYTES, .sys = &sys});
}

static void end(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static uint64_t huge_bytes(void)
{
	struct gmig_stats stats;

	gmig_stats(rig.gmig, &stats);
	return stats.page_bytes_2m;
}

/* Without huge frames on the way, under a guest that writes. */
START_TEST(blocks_moved_as_small_pages_are_huge_again_at_the_target)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	if (!thp_or_skip())
		return;
	start();
	rig_start(&rig, 2);
	atomic_store(&no_huge_frames, true);
	spec.frames = GMIG_FRAMES_FRESH;
	spec.mode = _i ? GMIG_MODE_BLOCK : GMIG_MODE_READABLE;
	rig_move(&rig, &spec, &info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.thp_split, BYTES / GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(info.thp_joined, BYTES / GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(huge_bytes(), BYTES);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	end();
}
END_TEST

START_TEST(kernel_that_refuses_is_asked_a_few_times_only)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	if (!thp_or_skip())
		return;
	start();
	atomic_store(&no_huge_frames, true);
	atomic_store(&refuse, -EINVAL);
	spec.frames = GMIG_FRAMES_FRESH;
	for (unsigned int i = 0; i < 3; i++) {
		spec.from[0] = (uint16_t)(i % 2);
		spec.to[0] = (uint16_t)(1 - i % 2);
		atomic_store(&collapses, 0);
		rig_move(&rig, &spec, &info);
		ck_assert_uint_eq(info.moved_bytes, BYTES);
		ck_assert_uint_eq(info.thp_joined, 0);
		ck_assert_int_le(atomic_load(&collapses), 4);
		ck_assert_int_ge(atomic_load(&collapses), 1);
	}
	end();
}
END_TEST

START_TEST(huge_policy_split_moves_small_pages_and_joins_nothing)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	if (!thp_or_skip())
		return;
	start();
	spec.huge = GMIG_HUGE_SPLIT;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.thp_split, BYTES / GMIG_BLOCK_BYTES);
	ck_assert_int_eq(atomic_load(&collapses), 0);
	ck_assert_uint_eq(huge_bytes(), 0);
	end();
}
END_TEST

START_TEST(huge_policy_keep_splits_nothing_and_says_enomem)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;

	if (!thp_or_skip())
		return;
	start();
	atomic_store(&no_huge_frames, true);
	spec.frames = GMIG_FRAMES_FRESH;
	spec.huge = GMIG_HUGE_KEEP;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.remaining_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	ck_assert_uint_eq(info.thp_split, 0);
	ck_assert_uint_eq(huge_bytes(), BYTES);
	end();
}
END_TEST

/* The block is claimed by somebody else between the frames and the claim: it stays huge. */
static struct claim other;
static atomic_bool is_claimed;

static int advise_claiming(void *memory, size_t bytes, int advice)
{
	struct bits refused;

	if (advice == MADV_POPULATE_WRITE && !atomic_exchange(&is_claimed, true)) {
		other = (struct claim){.gmig = rig.gmig,
				       .region = &rig.gmig->regions[0],
				       .to = 1,
				       .owner = 99,
				       .huge = true};
		bits_fill(&other.pages);
		claim_take(&other, &refused);
	}
	return advise(memory, bytes, advice);
}

START_TEST(lost_claim_splits_nothing)
{
	struct claim_result nothing = {.stall = NULL};
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_job_info info;
	struct shadow_entry entry;

	if (!thp_or_skip())
		return;
	start();
	atomic_store(&no_huge_frames, true);
	atomic_store(&refuse, -ENOMEM);
	atomic_store(&is_claimed, false);
	rig_publish(&rig); /* the engine's threads have used it, and will again */
	sys.advise = advise_claiming;
	rig_publish(&rig);
	spec.frames = GMIG_FRAMES_FRESH;
	rig_move(&rig, &spec, &info);
	ck_assert_uint_eq(info.remaining_bytes, GMIG_BLOCK_BYTES);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, 0, &entry), 0);
	ck_assert_uint_eq(entry.order, 9);
	ck_assert_uint_eq(info.thp_split, BYTES / GMIG_BLOCK_BYTES - 1);
	claim_settle(&other, &nothing);
	end();
}
END_TEST

START_TEST(block_with_a_hole_or_on_two_nodes_is_left_alone)
{
	const struct region *region;
	struct stripe *stripe;
	struct books_event correct = {.change = {.gfn = 700, .event = SHADOW_CORRECT, .node = 1},
				      .memory = BOOKS_KERNEL};

	if (!thp_or_skip())
		return;
	start();
	region = correct.region = &rig.gmig->regions[0];
	ck_assert_int_eq(rejoin_block(rig.gmig, region, 512, 1), -EBUSY); /* huge already */
	stripe = engine_stripe(rig.gmig, 512);
	pthread_mutex_lock(&stripe->lock);
	ck_assert_int_eq(books_split(rig.gmig, region, 512), 0);
	ck_assert_int_eq(books_change(rig.gmig, &correct, NULL), 0);
	pthread_mutex_unlock(&stripe->lock);
	ck_assert_int_eq(rejoin_block(rig.gmig, region, 512, 1), -EBUSY);
	ck_assert_int_eq(atomic_load(&collapses), 0);
	correct.change.node = 0;
	pthread_mutex_lock(&stripe->lock);
	ck_assert_int_eq(books_change(rig.gmig, &correct, NULL), 0);
	pthread_mutex_unlock(&stripe->lock);
	ck_assert_int_eq(rejoin_block(rig.gmig, region, 512, 1), 0);
	ck_assert_uint_eq(huge_bytes(), BYTES);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rejoin");
	TCase *tcase = tcase_create("rejoin");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, blocks_moved_as_small_pages_are_huge_again_at_the_target, 0, 2);
	tcase_add_test(tcase, kernel_that_refuses_is_asked_a_few_times_only);
	tcase_add_test(tcase, huge_policy_split_moves_small_pages_and_joins_nothing);
	tcase_add_test(tcase, huge_policy_keep_splits_nothing_and_says_enomem);
	tcase_add_test(tcase, lost_claim_splits_nothing);
	tcase_add_test(tcase, block_with_a_hole_or_on_two_nodes_is_left_alone);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
