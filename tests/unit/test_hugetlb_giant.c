/*
 * Guests on pages of hugetlbfs that are larger than a block: 1 GiB, of which tests make 4 MiB, in small pages. What is asked of a
 * block concerns its neighbour, too.
 */
#include "../../migrate/gmig_dma.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/gmig_repair.h"
#include "../../migrate/gmig_retire.h"
#include "../support/hugetlb_host.h"

#define UNIT  (2 * GMIG_BLOCK_BYTES)
#define UNITS (BYTES / UNIT)

/* ---- The guest --------------------------------------------------------------------------------- */

static void smaller_pages(void)
{
	gmig->giant_pages = UNIT / GMIG_PAGE_BYTES;
}

static void note(void *opaque, enum gmig_log_level level, const char *text)
{
	(void)opaque, (void)level, (void)text;
}

static void start(int first, int second)
{
	pools_of(STAND_IN, first, second);
	before_region = smaller_pages;
	start_with(&(struct gmig_options){.sys = &sys, .log = note}, GMIG_REGION_HUGETLB_1G);
	publish();
}

/* ---- First touches ----------------------------------------------------------------------------- */

START_TEST(first_touch_takes_all_of_the_page)
{
	struct gmig_stats stats;

	start(2, 2);
	touch(1);
	ck_assert_uint_eq(resident(0), UNIT);
	gmig_stats(gmig, &stats);
	ck_assert_uint_eq(stats.page_bytes_hugetlb_1g, UNIT);
	ck_assert_uint_eq(stats.page_bytes_hugetlb_2m, 0);
	touch(0);
	ck_assert_int_eq(atomic_load(&pool_free[0]), 1);
	ck_assert_uint_eq(atomic_load(&fills), 0);
	assert_clean();
	end();
}
END_TEST

/* The kernel's pool has as many pages as the guest, and no more: what is promised to the region could not be taken for it. */
START_TEST(region_keeps_no_reservation_that_its_own_pages_would_miss)
{
	start(2, 0);
	ck_assert(!atomic_load(&region_reserved));
	touch_all();
	ck_assert_uint_eq(resident(0), BYTES);
	end();
}
END_TEST

START_TEST(first_touch_without_a_page_on_its_node_takes_one_of_the_next)
{
	start(1, 1);
	touch_all();
	ck_assert_uint_eq(resident(0), UNIT);
	ck_assert_uint_eq(resident(1), UNIT);
	assert_content();
	assert_clean();
	end();
}
END_TEST

static void *touch_first(void *arg)
{
	(void)arg;
	ram[0] = 1;
	return NULL;
}

START_TEST(first_touch_without_any_page_sleeps_until_there_is_one)
{
	pthread_t toucher;

	start(0, 0);
	ck_assert_int_eq(pthread_create(&toucher, NULL, touch_first, NULL), 0);
	while (!atomic_load(&gmig->faults))
		sched_yield();
	ck_assert_uint_eq(resident(0) + resident(1), 0);
	atomic_store(&pool_free[1], 1);
	ck_assert_int_eq(pthread_join(toucher, NULL), 0);
	engine_settle_faults(gmig, 0);
	ck_assert_uint_eq(resident(1), UNIT);
	assert_clean();
	end();
}
END_TEST

START_TEST(populate_fills_from_the_region_s_node_or_says_which_has_too_few)
{
	const struct gmig_populate how = {.threads = 2};

	start(2, 2);
	ck_assert_msg(!gmig_populate(gmig, &how, &err), "%s", err.text);
	ck_assert_uint_eq(resident(0), BYTES);
	ck_assert_int_eq(atomic_load(&pool_free[0]), 0);
	/* Once more: what is there needs no page, of which there is none any more. */
	ck_assert_msg(!gmig_populate(gmig, &how, &err), "%s", err.text);
	ck_assert_uint_eq(resident(0), BYTES);
	assert_clean();
	end();
}
END_TEST

START_TEST(populate_with_too_few_pages_says_which_node_has_them_not)
{
	const struct gmig_populate how = {.threads = 2};

	start(1, 2);
	ck_assert_int_eq(gmig_populate(gmig, &how, &err), -ENOMEM);
	ck_assert_msg(strstr(err.text, "host node 0"), "%s", err.text);
	ck_assert_uint_eq(resident(1), 0);
	assert_clean();
	end();
}
END_TEST

START_TEST(policy_is_kept_unless_it_interleaves)
{
	struct gmig_bind_spec bind = {.bytes = UNIT, .policy = {.mode = GMIG_POLICY_INTERLEAVE}};
	struct gmig_job *job;

	gmig_node_set_add(&bind.policy.nodes, 1);
	start(2, 2);
	ck_assert_int_eq(gmig_bind(gmig, &bind, &job, &err), -EOPNOTSUPP);
	ck_assert_msg(strstr(err.text, "interleave"), "%s", err.text);
	bind.policy.mode = GMIG_POLICY_BIND;
	ck_assert_msg(!gmig_bind(gmig, &bind, &job, &err), "%s", err.text);
	bind.bytes = GMIG_BLOCK_BYTES;
	ck_assert_int_eq(gmig_bind(gmig, &bind, &job, &err), -EINVAL);
	touch_all();
	ck_assert_uint_eq(resident(1), UNIT);
	ck_assert_int_eq(atomic_load(&page_node[0]), 1);
	end();
}
END_TEST

/* ---- Moves ------------------------------------------------------------------------------------- */

START_TEST(page_moves_whole_to_the_node_and_back)
{
	struct gmig_job_info info;

	start(2, 2);
	touch_all();
	info = migrate(0, 1);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.remaining_bytes + info.by_others_bytes + info.bytes_on_source, 0);
	ck_assert_uint_eq(info.blackout_read.count, UNITS);
	ck_assert_uint_eq(resident(1), BYTES);
	ck_assert_int_eq(atomic_load(&pool_free[0]), 2);
	ck_assert_int_eq(atomic_load(&pool_free[1]), 0);
	assert_content();
	assert_clean();
	info = migrate(1, 0);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(resident(0), BYTES);
	assert_content();
	assert_clean();
	end();
}
END_TEST

START_TEST(small_page_takes_all_of_its_page_along)
{
	const uint64_t gpas[] = {GMIG_BLOCK_BYTES + 5 * GMIG_PAGE_BYTES};
	const int nodes[] = {1};
	int status[] = {-1};
	const struct gmig_pages pages = {
	    .count = 1, .gpas = gpas, .nodes = nodes, .status = status};

	start(2, 2);
	touch_all();
	ck_assert_int_eq(gmig_move_pages(gmig, &pages, &err), 0);
	ck_assert_int_eq(status[0], 1);
	ck_assert_uint_eq(resident(1), UNIT);
	assert_clean();
	end();
}
END_TEST

START_TEST(device_at_one_block_keeps_all_of_the_page)
{
	struct gmig_job_info info;

	start(2, 2);
	touch_all();
	ck_assert_int_eq(gmig_dma_begin(gmig, (void *)(ram + GMIG_BLOCK_BYTES), 512), 0);
	info = migrate(0, 1);
	gmig_dma_end(gmig, (void *)(ram + GMIG_BLOCK_BYTES), 512);
	ck_assert_uint_eq(info.moved_bytes, UNIT);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, EBUSY);
	ck_assert_uint_eq(info.remaining[0].pages, UNIT / GMIG_PAGE_BYTES);
	ck_assert_int_eq(atomic_load(&pool_free[1]), 1);
	assert_content();
	assert_clean();
	end();
}
END_TEST

START_TEST(target_without_a_free_page_gets_nothing_and_nothing_is_closed)
{
	struct gmig_job_info info;

	start(2, 1);
	touch_all();
	info = migrate(0, 1);
	ck_assert_uint_eq(info.moved_bytes, UNIT);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	ck_assert_uint_eq(info.remaining[0].pages, UNIT / GMIG_PAGE_BYTES);
	ck_assert_uint_eq(atomic_load(&protects), 1);
	assert_clean();
	end();
}
END_TEST

START_TEST(cgroup_that_allows_no_page_more_keeps_them)
{
	struct gmig_job_info info;

	start(4, 4);
	touch_all();
	atomic_store(&group_bytes, GMIG_BLOCK_BYTES);
	info = migrate(0, 1);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	ck_assert_uint_eq(info.call.count, 0);
	assert_content();
	assert_clean();
	end();
}
END_TEST

START_TEST(stall_budget_that_a_copy_breaks_leaves_pages_and_says_what_it_takes)
{
	struct gmig_job_spec spec = spec_of(0, 1);
	struct gmig_job_info info;

	start(2, 2);
	touch_all();
	spec.max_stall_ns = 1;
	info = run(&spec);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_uint_eq(info.remaining_count, 1);
	ck_assert_int_eq(info.remaining[0].error, ETIME);
	ck_assert_uint_eq(info.remaining_bytes, BYTES);
	ck_assert_uint_gt(info.max_stall_needs_ns, 1);
	ck_assert_uint_eq(atomic_load(&protects), 0);
	spec.max_stall_ns = 60000000000ull;
	info = run(&spec);
	ck_assert_uint_eq(info.moved_bytes, BYTES);
	ck_assert_uint_eq(info.max_stall_needs_ns, 0);
	assert_content();
	assert_clean();
	end();
}
END_TEST

START_TEST(page_whose_exchange_fails_stays_and_can_be_written)
{
	struct gmig_job_info info;

	start(2, 2);
	touch_all();
	atomic_store(&remap_fails, 1000);
	info = migrate(0, 1);
	ck_assert_uint_eq(info.moved_bytes, 0);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
	touch_all();
	assert_content();
	ck_assert_int_eq(atomic_load(&pool_free[1]), 2);
	assert_clean();
	end();
}
END_TEST

START_TEST(page_that_was_thrown_away_is_gone_and_comes_again_whole)
{
	struct gmig_job_info info;

	start(4, 4);
	touch_all();
	ck_assert_int_eq(madvise((void *)ram, UNIT, MADV_DONTNEED), 0);
	info = migrate(0, 1);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	ck_assert_uint_eq(resident(1), BYTES - UNIT);
	ck_assert_int_eq(ram[GMIG_BLOCK_BYTES], 0);
	engine_settle_faults(gmig, 0);
	ck_assert_uint_eq(resident(1), BYTES);
	/* Nobody has told the table of it. */
	ck_assert_int_eq(madvise((void *)ram, UNIT, MADV_DONTNEED), 0);
	ck_assert_int_eq(ram[0], 0);
	engine_settle_faults(gmig, 0);
	ck_assert_uint_eq(resident(1), BYTES);
	assert_clean();
	end();
}
END_TEST

/* ---- Under load --------------------------------------------------------------------------------- */

static atomic_bool stop;
static atomic_uint wrong;

/* Counts up one word of each block, and looks whether it still has what it wrote. */
static void *write_on(void *arg)
{
	volatile uint32_t *const word = (volatile uint32_t *)(ram + *(unsigned int *)arg);
	const size_t step = GMIG_BLOCK_BYTES / sizeof(uint32_t);

	for (uint32_t count = 1; !atomic_load(&stop); count++)
		for (size_t i = 0; i < BLOCKS; i++) {
			if (count > 1 && word[i * step] != count - 1)
				atomic_fetch_add(&wrong, 1);
			word[i * step] = count;
		}
	return NULL;
}

/* The kernel would take a GiB from its pool for one bad page, and the guest would wait for the copy. */
START_TEST(bad_page_of_it_is_not_retired)
{
	struct gmig_retire_spec spec = {.gpa = UNIT};
	struct gmig_retired retired;

	start(2, 2);
	touch_all();
	for (unsigned int i = 0; i < 2; i++) {
		spec.keep = i;
		ck_assert_int_eq(gmig_retire(gmig, &spec, &retired, &err), -EFBIG);
		ck_assert_ptr_nonnull(strstr(err.text, "1 GiB"));
	}
	assert_content();
	assert_clean();
	end();
}
END_TEST

START_TEST(guest_that_writes_finds_what_it_wrote_while_it_moves)
{
	unsigned int at[] = {GMIG_PAGE_BYTES, 3 * GMIG_PAGE_BYTES};
	pthread_t writer[2];

	start(4, 4);
	touch_all();
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&writer[i], NULL, write_on, &at[i]), 0);
	for (unsigned int i = 0; i < 10; i++) {
		struct gmig_job_info info = migrate(i % 2, 1 - i % 2);

		ck_assert_uint_eq(info.moved_bytes, BYTES);
		ck_assert_uint_eq(info.remaining_bytes, 0);
	}
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(writer[i], NULL);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	assert_content();
	assert_clean();
	end();
}
END_TEST

START_TEST(two_jobs_over_the_same_pages_lose_none)
{
	const struct gmig_job_spec spec = spec_of(0, 1);
	struct gmig_job *job[2];
	struct gmig_job_info info;

	start(4, 4);
	touch_all();
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_msg(!gmig_job_start(gmig, &spec, &job[i], &err), "%s", err.text);
	for (unsigned int i = 0; i < 2; i++) {
		gmig_job_wait(job[i]);
		gmig_job_info(job[i], &info);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		gmig_job_put(job[i]);
	}
	ck_assert_uint_eq(resident(1), BYTES);
	assert_content();
	assert_clean();
	end();
}
END_TEST

/* ---- What is wrong ----------------------------------------------------------------------------- */

START_TEST(region_that_does_not_fit_is_refused_in_words)
{
	struct gmig_region_spec spec = {
	    .gpa = BYTES, .bytes = GMIG_BLOCK_BYTES, .kind = GMIG_REGION_HUGETLB_1G};
	void *hva;

	start(2, 2);
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, "multiples of its pages"), "%s", err.text);
	spec.kind = GMIG_REGION_RAM;
	ck_assert_int_eq(gmig_region_add(gmig, &spec, &hva, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, "or none is"), "%s", err.text);
	end();
}
END_TEST

START_TEST(page_that_was_left_protected_is_opened_as_a_whole)
{
	struct uffdio_writeprotect protect = {.mode = UFFDIO_WRITEPROTECT_MODE_WP};
	struct gmig_repair repair;
	uint64_t id = 0;

	start(2, 2);
	touch_all();
	protect.range.start = (uintptr_t)ram;
	protect.range.len = UNIT;
	ck_assert_int_eq(ioctl(gmig->vnodes[0].uffd, UFFDIO_WRITEPROTECT, &protect), 0);
	do {
		ck_assert_msg(!gmig_repair(gmig, &id, 1000000000, &repair, &err), "%s", err.text);
	} while (!repair.done);
	ck_assert(repair.ok && repair.check.breach[2]);
	touch_all();
	assert_clean();
	end();
}
END_TEST

int main(void)
{
	struct gmig_features features;
	const TTest *const tests[] = {
	    first_touch_takes_all_of_the_page,
	    region_keeps_no_reservation_that_its_own_pages_would_miss,
	    first_touch_without_a_page_on_its_node_takes_one_of_the_next,
	    first_touch_without_any_page_sleeps_until_there_is_one,
	    populate_fills_from_the_region_s_node_or_says_which_has_too_few,
	    populate_with_too_few_pages_says_which_node_has_them_not,
	    policy_is_kept_unless_it_interleaves,
	    page_moves_whole_to_the_node_and_back,
	    small_page_takes_all_of_its_page_along,
	    device_at_one_block_keeps_all_of_the_page,
	    target_without_a_free_page_gets_nothing_and_nothing_is_closed,
	    cgroup_that_allows_no_page_more_keeps_them,
	    stall_budget_that_a_copy_breaks_leaves_pages_and_says_what_it_takes,
	    page_whose_exchange_fails_stays_and_can_be_written,
	    page_that_was_thrown_away_is_gone_and_comes_again_whole,
	    bad_page_of_it_is_not_retired,
	    guest_that_writes_finds_what_it_wrote_while_it_moves,
	    two_jobs_over_the_same_pages_lose_none,
	    region_that_does_not_fit_is_refused_in_words,
	    page_that_was_left_protected_is_opened_as_a_whole,
	};

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	return run_tests("hugetlb_giant", NULL, NULL, tests, sizeof(tests) / sizeof(tests[0]));
}
