/* Repair in steps: beside jobs, with others, and how long it holds a lock. */
#include "repair_rig.h"

/* ---- Beside jobs ----------------------------------------------------------------------------------------- */

static struct claim held;

static void hold(bool small)
{
	struct bits refused;

	held = (struct claim){.gmig = rig.gmig,
			      .region = &rig.gmig->regions[0],
			      .block_gfn = 512,
			      .huge = !small && rig.gmig->thp,
			      .to = 1,
			      .owner = 7};
	if (small)
		bits_set_range(&held.pages, 100, 300);
	else
		bits_fill(&held.pages);
	claim_take(&held, &refused);
	ck_assert(bits_empty(&refused));
}

static void settle(void)
{
	struct claim_result nothing = {.stall = NULL};

	atomic_store(&when_sleeping, NULL);
	claim_settle(&held, &nothing);
}

START_TEST(pages_that_a_job_holds_are_come_back_to)
{
	struct gmig_repair result;

	start(_i, true);
	hold(_i);
	atomic_store(&real_node, 3);
	atomic_store(&when_sleeping, settle);
	repair_all(&result);
	ck_assert(result.ok);
	ck_assert_uint_eq(result.busy_pages, 0);
	only(&result, GMIG_DIFFERS_NODE, PAGES);
	ck_assert_uint_eq(result.compared_pages, PAGES);
	end(true);
}
END_TEST

START_TEST(pages_that_a_job_holds_too_long_are_told_and_left)
{
	struct gmig_repair result;
	struct shadow_entry entry;
	uint64_t pages = _i ? 300 : GMIG_BLOCK_PAGES;

	start(_i, true);
	hold(_i);
	atomic_store(&real_node, 3);
	repair_all(&result);
	ck_assert(!result.ok);
	ck_assert_uint_eq(result.busy_pages, pages);
	only(&result, GMIG_DIFFERS_NODE, PAGES - pages);
	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, 512 + 200, &entry), 0);
	ck_assert_int_eq(entry.state, SHADOW_COPYING);
	ck_assert_int_eq(entry.node, 0);
	settle();
	repair_all(&result);
	ck_assert(result.ok);
	only(&result, GMIG_DIFFERS_NODE, pages);
	end(true);
}
END_TEST

/* Nothing may be corrected in a block that is out of its place for a moment. */
START_TEST(jobs_and_repairs_at_once_lose_nothing)
{
	struct gmig_repair result;

	start(_i, false);
	rig_start(&rig, 2);
	for (unsigned int i = 0; i < 12; i++) {
		struct gmig_job_spec spec = rig_spec(i % 2, 1 - i % 2);
		struct gmig_error err = {0};
		struct gmig_job *job;

		spec.mode = i % 3 ? GMIG_MODE_READABLE : GMIG_MODE_BLOCK;
		ck_assert_msg(!gmig_job_start(rig.gmig, &spec, &job, &err), "%s", err.text);
		if (i % 4 == 3)
			gmig_job_cancel(job);
		repair_all(&result);
		for (unsigned int k = 0; k < AUDIT_DIFFERENCES; k++)
			ck_assert_msg(k == GMIG_DIFFERS_SIZE || !result.differed[k], "%s: %llu",
				      gmig_difference_name((enum gmig_difference)k),
				      (unsigned long long)result.differed[k]);
		ck_assert_uint_eq(result.book_pages, 0);
		gmig_job_wait(job);
		gmig_job_put(job);
	}
	ck_assert_uint_eq(rig_stop(&rig), 0);
	repair_all(&result);
	end(true);
}
END_TEST

START_TEST(block_that_a_device_writes_to_while_it_is_moved_is_not_called_mended)
{
	struct gmig_repair result;

	start(false, false);
	ck_assert_int_eq(gmig_dma_begin(rig.gmig, (void *)rig_page(&rig, 512), 4096), 0);
	change(512, rig.gmig->thp, SHADOW_CLAIM);
	repair_all(&result);
	ck_assert(!result.ok);
	ck_assert(result.check.breach[1]);
	ck_assert_uint_eq(result.device_blocks, 1);
	gmig_dma_end(rig.gmig, (void *)rig_page(&rig, 512), 4096);
	end(true);
}
END_TEST

/* ---- How long locks are held ---------------------------------------------------------------------------- */

static void slow_kernel(uint64_t ns)
{
	atomic_store(&extra_ns, gmig_sys_real.now_ns());
	atomic_store(&by_hand, true);
	atomic_store(&ns_per_page, ns);
	atomic_store(&most_asked, 0);
}

static void quick_kernel(void)
{
	atomic_store(&by_hand, false);
	atomic_store(&ns_per_page, 0);
}

/* A kernel that needs 40 us for each page: 512 of them would take 20 ms. */
START_TEST(parts_are_small_where_the_kernel_is_slow)
{
	struct gmig_repair result;

	start(true, true);
	slow_kernel(40000);
	atomic_store(&real_node, 3);
	repair_all(&result);
	ck_assert(result.ok);
	only(&result, GMIG_DIFFERS_NODE, PAGES);
	ck_assert_uint_eq(atomic_load(&most_asked), 16);
	ck_assert_uint_eq(result.hold.count, PAGES / 16);
	ck_assert_uint_eq(result.longest_hold_ns, 16 * 40000);
	quick_kernel();
	end(true);
}
END_TEST

/* Where it was quick, and is slow all at once. */
START_TEST(parts_become_small_again_when_it_becomes_slow)
{
	struct gmig_repair result;
	struct gmig_error err;
	uint64_t id = 0;

	start(true, true);
	slow_kernel(0);
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	ck_assert_uint_eq(atomic_load(&most_asked), 128);
	ck_assert_uint_eq(result.hold.count, 7 + 4); /* of 16, 32, 64, 128.. and of 128 */
	slow_kernel(7000);
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	ck_assert_uint_eq(result.longest_hold_ns, 128 * 7000);
	atomic_store(&most_asked, 0);
	while (!result.done)
		ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	ck_assert_uint_eq(atomic_load(&most_asked), 250000 / 7000);
	ck_assert_uint_lt(result.longest_hold_ns, 1000000);
	quick_kernel();
	end(true);
}
END_TEST

/* ---- Several repairs, and none ------------------------------------------------------------------------------ */

static void *repairer(void *arg)
{
	struct gmig_repair *result = arg;

	repair_all(result);
	return NULL;
}

START_TEST(repairs_at_once_correct_each_thing_once)
{
	struct gmig_repair results[3];
	pthread_t threads[2];
	uint64_t pages = 0;

	start(true, true);
	atomic_store(&real_node, 3);
	spoil_books(0);
	for (unsigned int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, repairer, &results[i]), 0);
	repair_all(&results[2]);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert(results[i].ok);
		pages += results[i].corrected[GMIG_DIFFERS_NODE];
	}
	ck_assert_uint_eq(pages, PAGES);
	ck_assert_uint_eq(results[0].book_pages + results[1].book_pages + results[2].book_pages,
			  15);
	end(true);
}
END_TEST

START_TEST(repair_that_is_done_or_left_alone_is_forgotten)
{
	struct gmig_repair result;
	struct gmig_error err = {0};
	uint64_t id = 0, old = 0, none = 4711;

	start(false, false);
	ck_assert_int_eq(gmig_repair(rig.gmig, &none, 0, &result, &err), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "no repair 4711"));
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, FAR, &result, &err), 0);
	ck_assert(result.done);
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), -ESRCH);
	ck_assert_int_eq(gmig_repair(rig.gmig, &old, 0, &result, &err), 0);
	atomic_fetch_add(&extra_ns, 61000000000ull);
	ck_assert_int_eq(gmig_repair(rig.gmig, &old, 0, &result, &err), -ESRCH);
	/* The one that nobody has gone on with for longest makes room. */
	old = 0;
	ck_assert_int_eq(gmig_repair(rig.gmig, &old, 0, &result, &err), 0);
	for (unsigned int i = 0; i < GMIG_REPAIRS; i++) {
		id = 0;
		ck_assert_int_eq(gmig_repair(rig.gmig, &id, 0, &result, &err), 0);
	}
	ck_assert_int_eq(gmig_repair(rig.gmig, &old, 0, &result, &err), -ESRCH);
	ck_assert_int_eq(gmig_repair(rig.gmig, &id, FAR, &result, &err), 0);
	ck_assert(result.ok);
	rig_assert_clean(&rig);
	rig_destroy(&rig); /* with what is under way */
}
END_TEST

static uint64_t running;

static void go_on_within(void)
{
	struct gmig_repair result;
	struct gmig_error err = {0};

	atomic_store(&when_sleeping, NULL);
	ck_assert_int_eq(gmig_repair(rig.gmig, &running, 0, &result, &err), -EBUSY);
	settle();
}

START_TEST(repair_that_another_thread_goes_on_with_is_busy)
{
	struct gmig_repair result;
	struct gmig_error err = {0};

	start(false, false);
	running = 0;
	ck_assert_int_eq(gmig_repair(rig.gmig, &running, 0, &result, &err), 0);
	hold(false);
	atomic_store(&when_sleeping, go_on_within);
	ck_assert_int_eq(gmig_repair(rig.gmig, &running, FAR, &result, &err), 0);
	ck_assert(result.ok);
	end(true);
}
END_TEST

static int no_userfaultfd(void)
{
	return -EPERM;
}

START_TEST(plain_memory_has_nothing_to_repair)
{
	struct gmig_options options = {.off_if_unavailable = true, .sys = &sys};
	struct gmig_topology *topology;
	struct gmig_repair result;
	struct gmig_error err = {0};
	struct gmig *gmig;
	uint64_t id = 0;

	sys = gmig_sys_real;
	sys.userfaultfd = no_userfaultfd;
	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	options.topology = topology;
	ck_assert_int_eq(gmig_create(&options, &gmig, &err), 0);
	ck_assert_int_eq(gmig_repair(gmig, &id, 0, &result, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "migration is off"));
	gmig_destroy(gmig);
	gmig_topology_put(topology);
}
END_TEST

START_TEST(differences_have_names)
{
	for (unsigned int i = 0; i < AUDIT_DIFFERENCES; i++)
		ck_assert_ptr_nonnull(gmig_difference_name((enum gmig_difference)i));
	ck_assert_ptr_null(gmig_difference_name(AUDIT_DIFFERENCES));
	ck_assert_uint_le(AUDIT_DIFFERENCES, GMIG_DIFFERENCES_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("repair_steps");
	TCase *tcase = tcase_create("repair_steps");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, pages_that_a_job_holds_are_come_back_to, 0, 2);
	tcase_add_loop_test(tcase, pages_that_a_job_holds_too_long_are_told_and_left, 0, 2);
	tcase_add_loop_test(tcase, jobs_and_repairs_at_once_lose_nothing, 0, 2);
	tcase_add_test(tcase, block_that_a_device_writes_to_while_it_is_moved_is_not_called_mended);
	tcase_add_test(tcase, parts_are_small_where_the_kernel_is_slow);
	tcase_add_test(tcase, parts_become_small_again_when_it_becomes_slow);
	tcase_add_test(tcase, repairs_at_once_correct_each_thing_once);
	tcase_add_test(tcase, repair_that_is_done_or_left_alone_is_forgotten);
	tcase_add_test(tcase, repair_that_another_thread_goes_on_with_is_busy);
	tcase_add_test(tcase, plain_memory_has_nothing_to_repair);
	tcase_add_test(tcase, differences_have_names);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
