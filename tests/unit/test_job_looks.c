/* What a job looks at, when, and what it makes of what it finds, or cannot find out: from its plan to its last look. */
#include "job_rig.h"

#include "../../migrate/jobs/job_block.h"
#include "../../migrate/jobs/plan_pages.h"
#include "../../migrate/jobs/plan_policy.h"

static const uint16_t to_1[] = {1, NOWHERE};
static unsigned int calls;

/* ---- The plan ------------------------------------------------------------------------------------ */

static int no_ranges(struct memory *of, const struct gmig_job_spec *spec,
		     struct memory_range **ranges, size_t *count)
{
	(void)of, (void)spec, (void)ranges, (void)count;
	return -ESRCH;
}

START_TEST(memory_whose_ranges_nobody_tells_fails_before_the_mover_begins)
{
	make(to_1);
	put_huge(0, 0);
	memory_ops.ranges = no_ranges;
	run(GMIG_JOB_FAILED);
	assert_said("");
	ck_assert_int_eq(fake.info.error.code, -ESRCH);
	ck_assert_str_eq(fake.info.error.text, "cannot list the memory to move: ESRCH");
	ck_assert_uint_eq(fake.info.passes, 0);
	ck_assert_uint_eq(fake.info.bytes_on_source, GMIG_BLOCK_BYTES);
}
END_TEST

static int overlapping_ranges(struct memory *of, const struct gmig_job_spec *spec,
			      struct memory_range **ranges, size_t *count)
{
	(void)of, (void)spec;
	*ranges = calloc(2, sizeof(**ranges));
	(*ranges)[0] = (struct memory_range){0, 2 * B};
	(*ranges)[1] = (struct memory_range){B, 2 * B};
	*count = 2;
	return 0;
}

START_TEST(plan_that_cannot_be_made_fails_with_its_reason)
{
	make(to_1);
	memory_ops.ranges = overlapping_ranges;
	run(GMIG_JOB_FAILED);
	assert_said("");
	ck_assert_int_eq(fake.info.error.code, -EEXIST);
	ck_assert_str_eq(fake.info.error.text, "no memory for the plan");
}
END_TEST

static int refuse_to_begin(struct mover_job *work, struct gmig_error *err)
{
	(void)work;
	return gmig_fail(err, -ENOSPC, "no frames");
}

START_TEST(mover_that_does_not_begin_is_not_ended)
{
	make(to_1);
	put_huge(0, 0);
	mover.begin = refuse_to_begin;
	run(GMIG_JOB_FAILED);
	assert_said("refresh 0+16\n");
	ck_assert_int_eq(fake.info.error.code, -ENOSPC);
	assert_pages(0, 512, 0, 0);
	assert_remaining(0, ENOSPC, 512);
}
END_TEST

/* ---- Two ranges ---------------------------------------------------------------------------------- */

static int two_ranges(struct memory *of, const struct gmig_job_spec *spec,
		      struct memory_range **ranges, size_t *count)
{
	(void)of, (void)spec;
	*ranges = calloc(2, sizeof(**ranges));
	(*ranges)[0] = (struct memory_range){B, 2 * B};
	(*ranges)[1] = (struct memory_range){5 * B, 4 * B};
	*count = 2;
	return 0;
}

START_TEST(each_range_is_refreshed_and_moved_and_nothing_between_them)
{
	make(to_1);
	memory_ops.ranges = two_ranges;
	for (unsigned int block = 0; block < 10; block++)
		put_huge(block, 0);
	fake.huge[8] = false;
	run(GMIG_JOB_COMPLETED);
	for (unsigned int block = 0; block < 10; block++)
		ck_assert_uint_eq(count_on(block, 1),
				  block == 1 || block == 2 || (block >= 5 && block < 9) ? B : 0);
	assert_pages(6 * B, 0, 0, 0);
	ck_assert_ptr_nonnull(strstr(fake.said, "refresh 1+2\nrefresh 5+4\nbegin\n1: "));
	ck_assert_ptr_nonnull(strstr(fake.said, "finish 8\nrefresh 1+2\nrefresh 5+4\nend\n"));
}
END_TEST

/* ---- What cannot be asked ------------------------------------------------------------------------ */

static unsigned int fails_at; /* the walk from which on none succeeds */

static void fail_from(uint64_t gfn)
{
	(void)gfn;
	if (fake.walks >= fails_at)
		fake.walk_fails = -EIO;
}

/* While the set is made; when a block is looked at, and its pages picked; and those of the next one. */
START_TEST(memory_that_cannot_be_asked_fails_the_job)
{
	make(to_1);
	put_huge(0, 0);
	put_huge(1, 0);
	fails_at = (unsigned int)_i + 1;
	fake.at_walk = fail_from;
	run(GMIG_JOB_FAILED);
	ck_assert_int_eq(fake.info.error.code, -EIO);
	ck_assert_str_eq(fake.info.error.text, "cannot tell where the memory lies: EIO");
	if (_i == 0)
		assert_said("refresh 0+16\n");
	if (_i == 1)
		assert_said("refresh 0+16\nbegin\nrefresh 0+16\nend\n");
	/* Whoever looks whether to pick a page does not know why it cannot: it is to be tried again. */
	if (_i == 2 || _i == 4)
		assert_remaining(0, EAGAIN, 512);
	assert_pages(_i < 3 ? 0 : 512, _i < 3 ? 1024 : 512, 0, 0);
	if (_i != 4)
		assert_remaining(_i == 2, EIO, _i < 2 ? 1024 : 512);
	ck_assert_uint_eq(fake.info.remaining_count, _i == 2 ? 2 : 1);
}
END_TEST

/* A process that has ended. */
static void end_at(uint64_t gfn)
{
	(void)gfn;
	if (fake.walks < fails_at)
		return;
	fake.walk_fails = -ESRCH;
	fake.ready = -ESRCH;
}

START_TEST(pages_of_a_memory_that_has_ended_are_gone)
{
	make(to_1);
	put_huge(0, 0);
	put_pages(1, 5, 10, 0);
	fails_at = 2;
	fake.at_walk = end_at;
	run(GMIG_JOB_FAILED);
	ck_assert_int_eq(fake.info.error.code, -ESRCH);
	ck_assert_str_eq(fake.info.error.text, "cannot tell where the memory lies: ESRCH");
	assert_said("refresh 0+16\nbegin\nrefresh 0+16\nend\n");
	assert_pages(0, 0, 512 + 10, 0);
}
END_TEST

/* The same for those who do not look again: over a part, and by a list. */
static void make_short(bool list)
{
	struct page_list *pages;

	make(to_1);
	put_huge(0, 0);
	put_huge(1, 0);
	if (!list) {
		job->work.spec.max_bytes = 100 * GMIG_BLOCK_BYTES;
		return;
	}
	pages = page_list_create(1);
	pages->run[0] = (struct page_run){0, 1, 2 * B};
	plan_destroy(&job->plan);
	plan_pages_create(pages, &job->plan);
}

START_TEST(memory_that_cannot_be_asked_fails_a_job_that_does_not_look_again)
{
	make_short(_i);
	fails_at = _i ? 2 : 3;
	fake.at_walk = fail_from;
	run(GMIG_JOB_FAILED);
	ck_assert_int_eq(fake.info.error.code, -EIO);
	ck_assert_str_eq(fake.info.error.text, "cannot tell where the memory lies: EIO");
	assert_pages(0, 2 * B, 0, 0);
}
END_TEST

START_TEST(memory_that_has_ended_fails_a_job_that_does_not_look_again)
{
	make_short(_i);
	fails_at = _i ? 2 : 3;
	fake.at_walk = end_at;
	run(GMIG_JOB_FAILED);
	ck_assert_int_eq(fake.info.error.code, -ESRCH);
	ck_assert_str_eq(fake.info.error.text, "not ready");
	assert_pages(0, 0, 2 * B, 0);
}
END_TEST

/* ---- What lies on the nodes to be left -------------------------------------------------------------- */

static int stays(struct mover_ticket *ticket)
{
	return ticket->block_gfn < 2 * B ? -EPERM : 0;
}

START_TEST(bytes_on_the_source_are_counted_by_a_walk_where_there_are_no_counters)
{
	make(to_1);
	memory_ops.on_node = NULL;
	put_huge(0, 0);
	put_pages(1, 5, 10, 0);
	put_huge(2, 0);
	put_huge(3, 1);
	fake.at_prepare = stays;
	run(GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(fake.info.bytes_on_source, GMIG_BLOCK_BYTES + 10 * GMIG_PAGE_BYTES);
	assert_pages(512, 522, 0, 0);
	/* The set, three blocks twice, one that stays, the second look: which is believed. */
	ck_assert_uint_eq(fake.walks, 1 + 3 * 2 + 1 + 2);
}
END_TEST

/* It has more memory than when the job began: what the second look has seen is not all. */
static int ranges_that_grow(struct memory *of, const struct gmig_job_spec *spec,
			    struct memory_range **ranges, size_t *count)
{
	(void)of, (void)spec;
	*ranges = calloc(2, sizeof(**ranges));
	(*ranges)[0] = (struct memory_range){0, 2 * B};
	(*ranges)[1] = (struct memory_range){5 * B, (calls++ ? 3 : 2) * B};
	*count = 2;
	return 0;
}

START_TEST(memory_that_has_grown_is_counted_as_it_is)
{
	make(to_1);
	memory_ops.on_node = NULL;
	memory_ops.ranges = ranges_that_grow;
	put_pages(0, 5, 10, 0);
	put_huge(1, 1);
	put_pages(6, 7, 3, 0);
	put_huge(7, 0);
	fake.at_prepare = stays;
	run(GMIG_JOB_COMPLETED);
	assert_pages(3, 10, 0, 0);
	ck_assert_uint_eq(fake.info.bytes_on_source, (10 + B) * GMIG_PAGE_BYTES);
}
END_TEST

/* All is done, but what has come meanwhile cannot be seen. */
START_TEST(job_that_cannot_tell_what_it_leaves_behind_fails)
{
	make(to_1);
	memory_ops.on_node = NULL;
	memory_ops.ranges = ranges_that_grow;
	put_pages(0, 5, 10, 0);
	fake.at_prepare = stays;
	fake.at_walk = fail_from;
	fails_at = 2 + 2 + 2 + 1 +
		   1; /* two ranges, a block twice, the second look and its block; and now */
	run(GMIG_JOB_FAILED);
	ck_assert_int_eq(fake.info.error.code, -EIO);
	ck_assert_str_eq(fake.info.error.text, "cannot tell where the memory lies: EIO");
	assert_pages(0, 10, 0, 0);
	assert_remaining(0, EPERM, 10);
	ck_assert_uint_eq(fake.info.bytes_on_source, 10 * GMIG_PAGE_BYTES);
}
END_TEST

static void fail_once_ended(uint64_t gfn)
{
	(void)gfn;
	if (job->set.word == NULL && job->is_planned)
		fake.walk_fails = -EIO;
}

/* A list leaves no node. */
START_TEST(job_of_a_list_leaves_no_node)
{
	struct page_list *list = page_list_create(1);

	make(to_1);
	memory_ops.on_node = NULL;
	put_huge(0, 0);
	put_huge(1, 0);
	plan_destroy(&job->plan);
	list->run[0] = (struct page_run){B, 3, B};
	plan_pages_create(list, &job->plan);
	fake.at_walk = fail_once_ended;
	run(GMIG_JOB_COMPLETED);
	assert_said(
	    "refresh 1+1\nbegin\n1: 0>3 huge all\nclaim all\nmove 1\nsettle all\nfinish 1\nend\n");
	ck_assert_uint_eq(fake.info.bytes_on_source, 0);
	assert_pages(512, 0, 0, 0);
}
END_TEST

/* ---- The second look ------------------------------------------------------------------------------ */

/* Each pass leaves something behind on the node. */
static void one_more(struct mover_ticket *ticket)
{
	(void)ticket;
	put_pages(8 + calls, calls, 3, 0);
	calls++;
}

START_TEST(what_came_meanwhile_is_moved_in_two_more_looks)
{
	make(to_1);
	put_huge(0, 0);
	fake.at_move = one_more;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 0\n"
		    "refresh 0+16\n8: 0>1 0-2\nclaim 0-2\nmove 1\nsettle 0-2\nfinish 8\n"
		    "refresh 0+16\n9: 0>1 1-3\nclaim 1-3\nmove 1\nsettle 1-3\nfinish 9\nend\n");
	assert_pages(512 + 6, 0, 0, 0);
	ck_assert_uint_eq(fake.info.passes, 3);
	ck_assert_uint_eq(fake.info.bytes_on_source, 3 * GMIG_PAGE_BYTES);
}
END_TEST

static void stays_after_the_first(struct mover_ticket *ticket)
{
	one_more(ticket);
	if (ticket->block_gfn) {
		bits_clear_all(&ticket->moved);
		ticket->error[bits_next(&ticket->pages, 0, true)] = -EPERM;
	}
}

START_TEST(look_after_which_nothing_moved_is_the_last)
{
	make(to_1);
	put_huge(0, 0);
	fake.at_move = stays_after_the_first;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 0\n"
		    "refresh 0+16\n8: 0>1 0-2\nclaim 0-2\nmove 1\nsettle\nfinish 8\nend\n");
	assert_pages(512, 3, 0, 0);
	assert_remaining(0, EIO, 2);
	assert_remaining(1, EPERM, 1);
	ck_assert_uint_eq(fake.info.passes, 2);
}
END_TEST

/* A job over a part does not look whether more has come. */
START_TEST(job_over_a_part_does_not_look_again)
{
	make(to_1);
	for (unsigned int block = 0; block < 4; block++)
		put_huge(block, 0);
	job->work.spec.max_bytes = 2 * GMIG_BLOCK_BYTES;
	fake.at_move = one_more;
	run(GMIG_JOB_COMPLETED);
	/* The part alone is refreshed, and is what it was. */
	assert_said("refresh 0+1\nrefresh 1+1\nbegin\n"
		    "0: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 0\n"
		    "1: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 1\nend\n");
	assert_pages(2 * B, 0, 0, 0);
	ck_assert_uint_eq(fake.info.total_bytes, 2 * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(fake.info.bytes_on_source, 2 * GMIG_BLOCK_BYTES + 6 * GMIG_PAGE_BYTES);
}
END_TEST

/* Others move the first block away, as often as it is asked about. */
static void others_take_the_first(void)
{
	for (unsigned int block = 0; block < BLOCKS; block++)
		if (count_on(block, 0)) {
			put_small(block, 5);
			break;
		}
}

/* Also when pages lie where others are to come to. */
START_TEST(part_of_a_chain_has_what_lies_between_its_ends)
{
	make((const uint16_t[]){1, 2, NOWHERE});
	put_huge(0, 0);
	put_huge(1, 1);
	put_huge(2, 1);
	put_huge(3, 1);
	job->work.spec.max_bytes = 2 * GMIG_BLOCK_BYTES;
	fake.at_refresh = _i ? others_take_the_first : NULL;
	run(GMIG_JOB_COMPLETED);
	if (_i)
		assert_said("refresh 1+1\nrefresh 2+1\nbegin\n"
			    "1: 1>2 huge all\nclaim all\nmove 1\nsettle all\nfinish 1\n"
			    "2: 1>2 huge all\nclaim all\nmove 1\nsettle all\nfinish 2\nend\n");
	else
		assert_said("refresh 1+1\nrefresh 2+1\nbegin\n"
			    "1: 1>2 huge all\nclaim all\nmove 1\nsettle all\nfinish 1\n"
			    "2: 1>2 huge all\nclaim all\nmove 1\nsettle all\nfinish 2\nend\n");
	assert_pages(2 * B, 0, 0, 0);
}
END_TEST

START_TEST(part_that_others_move_is_looked_for_four_times_and_then_everywhere)
{
	make(to_1);
	for (unsigned int block = 0; block < 12; block++)
		put_huge(block, 0);
	job->work.spec.max_bytes = GMIG_BLOCK_BYTES;
	fake.at_refresh = others_take_the_first;
	run(GMIG_JOB_COMPLETED);
	assert_said("refresh 0+1\nrefresh 1+1\nrefresh 2+1\nrefresh 3+1\nrefresh 0+16\nbegin\n"
		    "5: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 5\nend\n");
	assert_pages(B, 0, 0, 0);
}
END_TEST

/* There is no end of the part: all of the memory is asked about, once. */
START_TEST(part_that_is_not_full_is_looked_for_everywhere)
{
	make(to_1);
	put_huge(3, 0);
	put_pages(9, 7, 1, 0);
	job->work.spec.max_bytes = 2 * GMIG_BLOCK_BYTES + (_i ? GMIG_PAGE_BYTES : 0);
	if (!_i)
		put_pages(10, 0, 1, 0);
	if (!_i)
		job->work.spec.max_bytes = GMIG_BLOCK_BYTES + 2 * GMIG_PAGE_BYTES;
	run(GMIG_JOB_COMPLETED);
	if (_i)
		assert_said("refresh 0+16\nbegin\n"
			    "3: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 3\n"
			    "9: 0>1 7\nclaim 7\nmove 1\nsettle 7\nfinish 9\nend\n");
	else
		assert_said("refresh 3+1\nrefresh 9+1\nrefresh 10+1\nbegin\n"
			    "3: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 3\n"
			    "9: 0>1 7\nclaim 7\nmove 1\nsettle 7\nfinish 9\n"
			    "10: 0>1 0\nclaim 0\nmove 1\nsettle 0\nfinish 10\nend\n");
}
END_TEST

START_TEST(pages_of_a_process_are_asked_about_as_a_whole)
{
	make(to_1);
	memory.pid = 1;
	for (unsigned int block = 0; block < 3; block++)
		put_huge(block, 0);
	job->work.spec.max_bytes = GMIG_BLOCK_BYTES;
	run(GMIG_JOB_COMPLETED);
	assert_said("begin\n0: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 0\nend\n");
	ck_assert_uint_eq(fake.walks, 3);
}
END_TEST

/* ---- A memory whose pages nobody claims ------------------------------------------------------------ */

static void settle_but_20(struct claim *claim, const struct claim_result *result)
{
	struct claim_result all_but = *result;

	if (!calls++)
		bits_clear_range(&all_but.moved, 20, 5);
	fake_settle(claim, &all_but);
}

/* What is known of a block is as old as the look at it. */
static int known_since_begin(struct mover_ticket *ticket)
{
	ck_assert_uint_eq(ticket->known_ns, memory_ops.unclaimed ? fake_now() - MOVE_NS : 0);
	return 0;
}

START_TEST(mover_is_told_since_when_it_is_known_where_a_block_lies)
{
	make(to_1);
	memory_ops.unclaimed = _i;
	put_pages(0, 0, 100, 0);
	put_huge(1, 0);
	fake.at_prepare = known_since_begin;
	run(GMIG_JOB_COMPLETED);
	assert_pages(612, 0, 0, 0);
}
END_TEST

START_TEST(page_that_was_said_to_have_moved_and_lies_there_is_taken_back)
{
	make(to_1);
	memory_ops.unclaimed = true;
	memory_ops.on_node = NULL;
	memory_ops.settle = settle_but_20;
	put_pages(0, 0, 100, 0);
	put_huge(1, 0);
	run(GMIG_JOB_COMPLETED);
	/* Once more than else. */
	assert_said("refresh 0+16\nbegin\n"
		    "0: 0>1 0-99\nclaim 0-99\nmove 1\nsettle 0-19,25-99\nfinish 0\n"
		    "1: 0>1 huge all\nclaim all\nmove 1\nsettle all\nfinish 1\n"
		    "refresh 0+16\n0: 0>1 20-24\nclaim 20-24\nmove 1\nsettle 20-24\nfinish 0\n"
		    "refresh 0+16\nend\n");
	assert_pages(612, 0, 0, 0);
	ck_assert_uint_eq(count_on(0, 1), 100);
	ck_assert_uint_eq(fake.info.bytes_on_source, 0);
}
END_TEST

/* Also when it was to come to node 0. */
START_TEST(page_that_was_said_to_be_on_node_0_and_is_not_is_taken_back)
{
	make((const uint16_t[]){0, 0, NOWHERE});
	memory_ops.unclaimed = true;
	memory_ops.on_node = NULL;
	memory_ops.settle = settle_but_20;
	put_pages(0, 0, 100, 1);
	run(GMIG_JOB_COMPLETED);
	assert_pages(100, 0, 0, 0);
	ck_assert_uint_eq(count_on(0, 0), 100);
	ck_assert_uint_eq(fake.info.passes, 2);
}
END_TEST

/* It never stays there: what is told in the end is where it is. */
static void settle_never_20(struct claim *claim, const struct claim_result *result)
{
	calls = 0;
	settle_but_20(claim, result);
	ck_assert_uint_eq(calls, 1);
}

START_TEST(page_that_comes_back_each_time_remains)
{
	make(to_1);
	memory_ops.unclaimed = true;
	memory_ops.on_node = NULL;
	memory_ops.settle = settle_never_20;
	put_pages(0, 0, 100, 0);
	run(GMIG_JOB_COMPLETED);
	assert_pages(95, 5, 0, 0);
	assert_remaining(0, EAGAIN, 5);
	ck_assert_uint_eq(fake.info.bytes_on_source, 5 * GMIG_PAGE_BYTES);
}
END_TEST

/* ---- A policy that has to hold ---------------------------------------------------------------------- */

static uint64_t misplaced;

static uint64_t count_misplaced(void *arg, uint64_t gfn, uint64_t pages)
{
	(void)arg;
	ck_assert_uint_eq(gfn, B);
	ck_assert_uint_eq(pages, 2 * B);
	return misplaced;
}

static unsigned int to_node_2(void *arg, uint64_t gfn, unsigned int order, unsigned int node,
			      const struct gmig_node_set *full)
{
	(void)arg, (void)gfn, (void)order, (void)full;
	return node == 2 ? GMIG_NO_NODE : 2;
}

START_TEST(strict_policy_that_does_not_hold_in_the_end_fails_the_job)
{
	const struct plan_policy policy = {.gfn = B,
					   .pages = 2 * B,
					   .target = to_node_2,
					   .strict = _i > 0,
					   .misplaced = count_misplaced};

	make(to_1);
	plan_destroy(&job->plan);
	ck_assert_int_eq(plan_policy_create(&policy, &job->plan), 0);
	for (unsigned int block = 0; block < 4; block++)
		put_huge(block, 0);
	misplaced = _i == 2 ? 5 : 0;
	if (_i == 0)
		misplaced = 3;
	run(_i == 2 ? GMIG_JOB_FAILED : GMIG_JOB_COMPLETED);
	assert_said("refresh 1+2\nbegin\n"
		    "1: 0>2 huge all\nclaim all\nmove 1\nsettle all\nfinish 1\n"
		    "2: 0>2 huge all\nclaim all\nmove 1\nsettle all\nfinish 2\nend\n");
	assert_pages(2 * B, 0, 0, 0);
	if (_i < 2)
		return;
	ck_assert_int_eq(fake.info.error.code, -EIO);
	ck_assert_str_eq(fake.info.error.text, "5 pages do not follow the policy");
}
END_TEST

int main(void)
{
	const TTest *const looks[] = {
	    memory_whose_ranges_nobody_tells_fails_before_the_mover_begins,
	    plan_that_cannot_be_made_fails_with_its_reason,
	    mover_that_does_not_begin_is_not_ended,
	    each_range_is_refreshed_and_moved_and_nothing_between_them,
	    pages_of_a_memory_that_has_ended_are_gone,
	    bytes_on_the_source_are_counted_by_a_walk_where_there_are_no_counters,
	    memory_that_has_grown_is_counted_as_it_is,
	    job_that_cannot_tell_what_it_leaves_behind_fails,
	    job_of_a_list_leaves_no_node,
	    what_came_meanwhile_is_moved_in_two_more_looks,
	    look_after_which_nothing_moved_is_the_last,
	    job_over_a_part_does_not_look_again,
	    part_that_others_move_is_looked_for_four_times_and_then_everywhere,
	    pages_of_a_process_are_asked_about_as_a_whole,
	    page_that_was_said_to_have_moved_and_lies_there_is_taken_back,
	    page_that_was_said_to_be_on_node_0_and_is_not_is_taken_back,
	    page_that_comes_back_each_time_remains,
	};
	Suite *suite = suite_create("job_looks");
	TCase *tcase = tcase_create("looks");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		tcase_add_test(tcase, looks[i]);
	tcase_add_loop_test(tcase, memory_that_cannot_be_asked_fails_the_job, 0, 5);
	tcase_add_loop_test(tcase, part_that_is_not_full_is_looked_for_everywhere, 0, 2);
	tcase_add_loop_test(tcase, strict_policy_that_does_not_hold_in_the_end_fails_the_job, 0, 3);
	tcase_add_loop_test(tcase, mover_is_told_since_when_it_is_known_where_a_block_lies, 0, 2);
	tcase_add_loop_test(tcase, memory_that_cannot_be_asked_fails_a_job_that_does_not_look_again,
			    0, 2);
	tcase_add_loop_test(tcase, memory_that_has_ended_fails_a_job_that_does_not_look_again, 0,
			    2);
	tcase_add_loop_test(tcase, part_of_a_chain_has_what_lies_between_its_ends, 0, 2);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
