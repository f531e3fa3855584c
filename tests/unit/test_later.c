/*
 * Several commands over the same pages: each page ends where the command that was accepted last says, whatever is under way, is
 * cancelled or taken up again meanwhile.
 */
#include "../../migrate/core/sys.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/jobs/later.h"
#include "../../migrate/memory/region.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>

#define STAY GMIG_NO_NODE
#define B    GMIG_BLOCK_PAGES

/* ---- What is said, and what comes of it ------------------------------------------------------------ */

static struct later *later;

static void setup(void)
{
	ck_assert_int_eq(later_create(false, &later), 0);
}

static void teardown(void)
{
	later_destroy(later);
}

static void say_pages(uint64_t id, uint64_t gfn, uint64_t pages)
{
	struct page_list *list = page_list_create(1);
	const struct later_word word = {.id = id, .pages = list};

	list->run[0] = (struct page_run){gfn, 3, pages};
	ck_assert_int_eq(later_add(later, &word), 0);
	page_list_put(list);
}

static const struct memory_range all = {0, 8 * B};

static void say_nodes(uint64_t id, unsigned int from, unsigned int to)
{
	struct plan_map map;
	const struct later_word word = {.id = id, .map = &map, .ranges = &all, .range_count = 1};

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		map.to[node] = STAY;
	map.to[from] = (uint16_t)to;
	ck_assert_int_eq(later_add(later, &word), 0);
}

/* Of a page on node 0 that the job takes to node 1. */
static unsigned int target(uint64_t gfn)
{
	return later_target(later, gfn, 0, 0, 1);
}

START_TEST(page_that_a_later_list_names_is_left_alone)
{
	ck_assert_uint_eq(target(5), 1);
	say_pages(7, 5, 1);
	ck_assert_uint_eq(target(4), 1);
	ck_assert_uint_eq(target(5), STAY);
	ck_assert_uint_eq(target(6), 1);
	/* Its job has ended: what it said stays said. */
	later_end(later, 7, false);
	ck_assert_uint_eq(target(5), STAY);
	ck_assert_uint_eq(target(6), 1);
}
END_TEST

START_TEST(command_that_is_cancelled_says_nothing_any_more)
{
	unsigned int before;

	say_pages(7, 5, 1);
	say_nodes(8, 1, 2);
	before = later_generation(later);
	later_end(later, 7, true);
	ck_assert_uint_ne(later_generation(later), before);
	ck_assert_uint_eq(target(5), 2);
	later_end(later, 8, true);
	ck_assert_uint_eq(target(5), 1);
	later_end(later, 9, true); /* nobody's */
}
END_TEST

START_TEST(huge_page_that_is_named_in_part_falls_apart)
{
	say_pages(7, B, 2 * B);
	say_pages(8, 3 * B + 1, 1);
	ck_assert_uint_eq(later_target(later, 0, 9, 0, 1), 1);
	ck_assert_uint_eq(later_target(later, B, 9, 0, 1), STAY);
	ck_assert_uint_eq(later_target(later, 2 * B, 9, 0, PLAN_SPLIT), STAY);
	ck_assert_uint_eq(later_target(later, 3 * B, 9, 0, 1), PLAN_SPLIT);
	later_destroy(later);
	ck_assert_int_eq(later_create(true, &later), 0);
	say_pages(8, 3 * B + 1, 1);
	ck_assert_uint_eq(later_target(later, 3 * B, 9, 0, 1), STAY);
}
END_TEST

START_TEST(page_is_left_to_a_later_map_or_goes_on_by_it)
{
	say_nodes(7, 0, 1); /* the same: they share the work */
	ck_assert_uint_eq(target(0), 1);
	ck_assert_uint_eq(target(8 * B), 1);
	say_nodes(8, 1, 2);
	ck_assert_uint_eq(target(0), 2); /* on to where it would be taken from node 1 */
	ck_assert_uint_eq(target(8 * B), 1);
	say_nodes(9, 2, 0);
	ck_assert_uint_eq(target(0), STAY); /* and back */
	say_nodes(10, 0, 3);
	ck_assert_uint_eq(target(0), STAY); /* from here another job takes it */
}
END_TEST

START_TEST(job_that_ends_takes_its_own_word_with_it)
{
	for (uint64_t id = 6; id < 9; id++)
		say_pages(id, id, 1);
	later_end(later, 5, true); /* nobody's, like the next */
	later_end(later, 9, true);
	ck_assert_uint_eq(later_generation(later), 3);
	later_end(later, 7, true);
	ck_assert_uint_eq(later_generation(later), 4);
	for (uint64_t page = 6; page < 9; page++)
		ck_assert_uint_eq(target(page), page == 7 ? 1 : STAY);
}
END_TEST

/* In whatever order the jobs begin. */
START_TEST(words_count_in_the_order_of_their_commands)
{
	say_nodes(9, 2, 3);
	say_nodes(8, 1, 2);
	ck_assert_uint_eq(target(0), 3);
}
END_TEST

START_TEST(lists_of_ended_jobs_are_joined)
{
	bool named[1000] = {false};

	srand(3);
	for (uint64_t id = 1; id < 60; id++) {
		unsigned int first = (unsigned int)rand() % 1000;
		unsigned int count = 1 + (unsigned int)rand() % 20;

		count = first + count > 1000 ? 1000 - first : count;
		say_pages(id, first, count);
		for (unsigned int i = first; i < first + count; i++)
			named[i] = true;
		if (id % 3)
			later_end(later, id, false);
	}
	for (unsigned int i = 0; i < 1000; i++)
		ck_assert_uint_eq(target(i), named[i] ? STAY : 1);
	later_forget(later);
	ck_assert_uint_eq(target(500), 1);
}
END_TEST

/* ---- Jobs ------------------------------------------------------------------------------------------- */

#define BLOCKS 8
#define RAM    (BLOCKS * GMIG_BLOCK_BYTES)
#define NODES  4
#define BLOCK_S                                                                                    \
	(64 * GMIG_BLOCK_BYTES) /* a rate: a block in 16 ms, and the first at once or after that */

static struct rig rig;
static struct gmig_error err;

static void create(bool small)
{
	struct rig_options options = {.bytes = RAM, .nodes = NODES, .small_pages = small};

	rig_create(&rig, &options);
}

static void finish(void)
{
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static unsigned int node_of(uint64_t page)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, page, &entry), 0);
	return entry.node;
}

static struct gmig_job *migrate(unsigned int from, unsigned int to, uint64_t rate)
{
	struct gmig_job_spec spec = rig_spec(from, to);
	struct gmig_job *job;

	spec.rate_bytes_per_second = rate;
	ck_assert_msg(!gmig_job_start(rig.gmig, &spec, &job, &err), "%s", err.text);
	return job;
}

static struct gmig_job *bind_to(unsigned int node, uint64_t rate)
{
	struct gmig_bind_spec spec = {.bytes = RAM,
				      .policy = {.mode = GMIG_POLICY_BIND},
				      .flags = GMIG_BIND_MOVE,
				      .job = {.rate_bytes_per_second = rate}};
	struct gmig_job *job;

	gmig_node_set_add(&spec.policy.nodes, node);
	ck_assert_msg(!gmig_bind(rig.gmig, &spec, &job, &err), "%s", err.text);
	return job;
}

static struct gmig_job *list_to(uint64_t page, uint64_t pages, int node, uint64_t rate)
{
	const struct gmig_move_range range = {page * GMIG_PAGE_BYTES, pages * GMIG_PAGE_BYTES,
					      node};
	const struct gmig_move move = {.ranges = &range, .count = 1};
	struct gmig_job_spec limits = {.rate_bytes_per_second = rate};
	struct gmig_job *job;

	ck_assert_msg(!gmig_move_start(rig.gmig, &move, &limits, &job, &err), "%s", err.text);
	return job;
}

static struct gmig_job_info end(struct gmig_job *job)
{
	struct gmig_job_info info;

	gmig_job_wait(job);
	gmig_job_info(job, &info);
	ck_assert_uint_eq(info.total_bytes, info.moved_bytes + info.remaining_bytes +
						info.gone_bytes + info.by_others_bytes);
	gmig_job_put(job);
	return info;
}

static struct gmig_job_info cancel(struct gmig_job *job)
{
	gmig_job_cancel(job);
	return end(job);
}

static void go_on(struct gmig_job *job)
{
	int ret = gmig_job_set_rate(job, 0);

	/* When nothing is left to it, it does not wait for its rate. */
	ck_assert(!ret || ret == -ESRCH);
}

/* Older jobs of every kind, which come to a page when another command has named it and has ended. */
static struct gmig_job *start_older(int kind, unsigned int to)
{
	return kind == 0   ? migrate(0, to, 1)
	       : kind == 1 ? bind_to(to, 1)
			   : list_to(0, BLOCKS * B, (int)to, 1);
}

START_TEST(older_job_takes_no_page_back_that_a_list_has_named)
{
	struct gmig_job_info info;
	struct gmig_job *older;

	create(_i >= 3);
	older = start_older(_i % 3, 1);
	/* The first stays where it is by this command, the second goes away, the third is moved by it. */
	end(list_to(5, 1, 0, 0));
	end(list_to(B + 7, 2, 2, 0));
	end(list_to(4 * B, B, 3, 0));
	go_on(older);
	info = end(older);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.remaining_bytes, 0);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), page == 5			  ? 0
						 : page == B + 7 || page == B + 8 ? 2
						 : page / B == 4		  ? 3
										  : 1);
	finish();
}
END_TEST

START_TEST(older_job_leaves_a_range_to_the_policy_that_was_bound_after_it)
{
	struct gmig_job *older;

	create(_i >= 2);
	older = start_older(_i % 2 ? 2 : 0, 1);
	end(bind_to(2, 0));
	go_on(older);
	end(older);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), 2);
	finish();
}
END_TEST

/* Two policies: what the first has not moved yet goes where the second one says, and stays there when the first is cancelled. */
START_TEST(policy_is_the_one_that_was_bound_last)
{
	struct gmig_job *older, *newer;
	struct gmig_map map;

	create(_i);
	older = bind_to(1, 1);
	newer = bind_to(2, 0);
	end(newer);
	cancel(older);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.node[0], 2);
	ck_assert_uint_eq(map.pages[2], rig.pages);
	ck_assert_uint_eq(map.misplaced_pages, 0);
	finish();
}
END_TEST

START_TEST(contradictory_migrations_end_as_if_one_followed_the_other)
{
	static const struct {
		unsigned int from, to, ends;
	} second[] = {{1, 0, 0}, {1, 2, 2}, {0, 3, 3}, {2, 3, 1}};
	struct gmig_job *older, *newer;

	create(_i >= 4);
	older = migrate(0, 1, 1);
	newer = migrate(second[_i % 4].from, second[_i % 4].to, 0);
	end(newer);
	go_on(older);
	ck_assert_uint_eq(end(older).remaining_bytes, 0);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), second[_i % 4].ends);
	finish();
}
END_TEST

/* The third command has the older one's goal, and is told of to it all the same: the second one has made it another. */
START_TEST(third_migration_decides_where_the_second_sent_what_the_first_takes)
{
	struct gmig_job *first, *second;

	create(_i);
	first = migrate(0, 3, 1);
	second = migrate(3, 1, 0);
	end(second);
	end(migrate(1, 3, 0));
	go_on(first);
	ck_assert_uint_eq(end(first).remaining_bytes, 0);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), 3);
	finish();
}
END_TEST

/* The newer one fills the node that the older one leaves. */
START_TEST(older_job_leaves_what_a_later_one_brings_to_its_source)
{
	struct gmig_job *older, *newer;

	create(_i);
	end(list_to(4 * B, 4 * B, 2, 0));
	older = migrate(0, 1, 1);
	newer = migrate(2, 0, 0);
	end(newer);
	go_on(older);
	ck_assert_uint_eq(end(older).remaining_bytes, 0);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), page < 4 * B ? 1 : 0);
	finish();
}
END_TEST

/* A command that is withdrawn has never been: the older one has the say again. */
START_TEST(cancelled_command_gives_its_pages_back_to_the_older_job)
{
	struct gmig_job *older, *newer;
	struct gmig_job_info info;

	create(true);
	older = migrate(0, 1, 1);
	do /* it has begun, with all pages in its plan */
		gmig_job_info(older, &info);
	while (!info.passes);
	/* So that it does not look meanwhile what is left to it. */
	ck_assert_int_eq(gmig_job_pause(older), 0);
	gmig_sys_real.sleep_ns(50000000); /* what it looks at just now it finishes */
	newer = _i == 0 ? list_to(0, 3 * B, 2, 1) : _i == 1 ? migrate(0, 2, 1) : bind_to(2, 1);
	ck_assert_int_eq(cancel(newer).state, GMIG_JOB_CANCELLED);
	go_on(older);
	ck_assert_int_eq(gmig_job_resume(older), 0);
	end(older);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), 1);
	finish();
}
END_TEST

/* ---- A round that is not over ------------------------------------------------------------------------ */

static struct gmig_sys slow_sys;
static atomic_bool armed, is_moving;
static atomic_int waits;

/* The first move of pages takes until somebody waits for it: three times, so that no single sleep of another kind counts. */
static int move_slowly(int fd, unsigned long request, void *arg)
{
	const uint64_t until_ns = gmig_sys_real.now_ns() + 5000000000ull;

	if (request == UFFDIO_MOVE && atomic_load(&armed) && !atomic_exchange(&is_moving, true))
		while (atomic_load(&waits) < 3 && gmig_sys_real.now_ns() < until_ns)
			sched_yield();
	return gmig_sys_real.ioctl(fd, request, arg);
}

static void sleep_counted(uint64_t ns)
{
	if (ns == 200000 && atomic_load(&is_moving))
		atomic_fetch_add(&waits, 1);
	gmig_sys_real.sleep_ns(ns);
}

/* It names none of the pages that the older one has just picked: all the same, these could have been its own. */
START_TEST(command_waits_for_the_round_that_began_before_it)
{
	struct rig_options options = {
	    .bytes = RAM, .nodes = NODES, .small_pages = _i, .sys = &slow_sys};
	struct gmig_job *older, *newer;

	slow_sys = gmig_sys_real;
	slow_sys.ioctl = move_slowly;
	slow_sys.sleep_ns = sleep_counted;
	rig_create(&rig, &options);
	atomic_store(&armed, true);
	rig_publish(&rig);
	older = migrate(0, 1, 0);
	while (!atomic_load(&is_moving))
		sched_yield();
	newer = list_to(7 * B, 5, 2, 0);
	end(newer);
	end(older);
	ck_assert_int_ge(atomic_load(&waits), 3);
	for (uint64_t page = 7 * B; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), page < 7 * B + 5 ? 2 : 1);
	finish();
}
END_TEST

/* Taken up again, the first command is the last one. */
START_TEST(retry_is_a_later_command_than_what_was_accepted_before_it)
{
	struct gmig_job *first, *other, *again;
	struct gmig_job_spec rest;

	create(_i);
	first = list_to(0, 2 * B, 1, 1);
	gmig_job_cancel(first);
	gmig_job_wait(first);
	other = list_to(0, 2 * B, 2, 1);
	ck_assert_int_eq(gmig_job_rest(first, &rest, &err), 0);
	rest.rate_bytes_per_second = 0;
	ck_assert_int_eq(gmig_job_retry(first, &rest, &again, &err), 0);
	gmig_job_put(first);
	end(again);
	go_on(other);
	end(other);
	for (uint64_t page = 0; page < 2 * B; page++)
		ck_assert_uint_eq(node_of(page), 1);
	finish();
}
END_TEST

/* A part is what it takes, and no more. */
START_TEST(job_over_a_part_speaks_for_that_part)
{
	struct gmig_job_spec part = rig_spec(0, 2);
	struct gmig_job *older, *newer;

	create(_i);
	older = migrate(0, 1, 1);
	part.max_bytes = 2 * GMIG_BLOCK_BYTES;
	ck_assert_int_eq(gmig_job_start(rig.gmig, &part, &newer, &err), 0);
	end(newer);
	go_on(older);
	end(older);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), page / B < 2 ? 2 : 1);
	finish();
}
END_TEST

/* Where new memory goes: what a later migration says of it outlives the older one's end, whichever that is. */
START_TEST(new_memory_goes_where_the_last_migration_takes_it)
{
	const struct gmig_bind_spec spec = {
	    .bytes = GMIG_PAGE_BYTES, .policy = {.mode = GMIG_POLICY_PREFERRED, .nodes = {{1}}}};
	struct gmig_job *older, *newer, *none;
	const struct region *region;
	struct gmig_job_info info;
	unsigned int expected;
	struct gmig_map map;

	create(true);
	ck_assert_int_eq(gmig_bind(rig.gmig, &spec, &none, &err), 0);
	region = engine_region_of_gfn(rig.gmig, 0);
	older = migrate(0, 1, 1);
	do /* it has begun, with pages in its plan */
		gmig_job_info(older, &info);
	while (!info.passes);
	newer = _i & 1 ? migrate(1, 3, 0) : migrate(0, 2, 0);
	end(newer);
	if (_i & 2)
		cancel(older);
	else {
		go_on(older);
		end(older);
	}
	expected = !(_i & 1) ? 2 : _i & 2 ? 0 : 3;
	ck_assert_uint_eq(atomic_load(&region->preferred_node), expected);
	ck_assert_uint_eq(region->base_node, expected);
	ck_assert_ptr_null(region->preferences);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.node[0], expected);
	finish();
}
END_TEST

static atomic_bool newer_accepted, newer_ended;

/* The older job's thread sleeps before it does anything, as long as the newer one may take to be done with all. */
static void hold_the_older(void *opaque, const struct gmig_job_info *info)
{
	uint64_t until_ns;

	(void)opaque;
	if (info->id == 2 && info->state >= GMIG_JOB_COMPLETED)
		atomic_store(&newer_ended, true);
	while (info->id == 1 && info->state == GMIG_JOB_RUNNING && !info->passes &&
	       !atomic_load(&newer_accepted))
		sched_yield();
	until_ns = gmig_sys_real.now_ns() + 50000000;
	while (info->id == 1 && info->state == GMIG_JOB_RUNNING && !info->passes &&
	       !atomic_load(&newer_ended) && gmig_sys_real.now_ns() < until_ns)
		sched_yield();
}

static void assert_new_memory_goes_to(unsigned int node)
{
	const struct region *region = engine_region_of_gfn(rig.gmig, 0);
	struct gmig_map map;

	ck_assert_uint_eq(atomic_load(&region->preferred_node), node);
	ck_assert_uint_eq(region->base_node, node);
	ck_assert_ptr_null(region->preferences);
	ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
	ck_assert_uint_eq(map.node[0], node);
}

static void create_bound(void (*event)(void *opaque, const struct gmig_job_info *info))
{
	struct rig_options options = {
	    .bytes = RAM, .nodes = NODES, .small_pages = true, .job_event = event};
	const struct gmig_bind_spec spec = {
	    .bytes = GMIG_PAGE_BYTES, .policy = {.mode = GMIG_POLICY_PREFERRED, .nodes = {{1}}}};
	struct gmig_job *none;

	atomic_store(&newer_ended, false);
	atomic_store(&newer_accepted, false);
	rig_create(&rig, &options);
	ck_assert_int_eq(gmig_bind(rig.gmig, &spec, &none, &err), 0);
}

START_TEST(migration_whose_thread_comes_late_is_the_older_one_all_the_same)
{
	struct gmig_job *older, *newer;

	create_bound(hold_the_older);
	older = migrate(0, 1, 0);
	newer = _i ? migrate(1, 3, 0) : migrate(0, 2, 0);
	atomic_store(&newer_accepted, true);
	end(newer);
	end(older);
	assert_new_memory_goes_to(_i ? 3 : 2);
	for (uint64_t page = 0; _i && page < rig.pages; page++)
		ck_assert_uint_eq(node_of(page), 3);
	finish();
}
END_TEST

static atomic_bool older_ended;

/* The newer job's thread sleeps before it does anything, as long as the older one may take to be done with all. */
static void hold_the_newer(void *opaque, const struct gmig_job_info *info)
{
	uint64_t until_ns = gmig_sys_real.now_ns() + 100000000;

	(void)opaque;
	if (info->id == 1 && info->state >= GMIG_JOB_COMPLETED)
		atomic_store(&older_ended, true);
	while (info->id == 1 && info->state == GMIG_JOB_RUNNING && !info->passes &&
	       !atomic_load(&newer_accepted))
		sched_yield();
	while (info->id == 2 && info->state == GMIG_JOB_RUNNING && !info->passes &&
	       !atomic_load(&older_ended) && gmig_sys_real.now_ns() < until_ns)
		sched_yield();
}

START_TEST(migration_whose_thread_comes_late_is_the_newer_one_all_the_same)
{
	struct gmig_job *older, *newer;

	atomic_store(&older_ended, false);
	create_bound(hold_the_newer);
	older = migrate(0, 1, 0);
	newer = _i ? migrate(1, 3, 0) : migrate(0, 2, 0);
	atomic_store(&newer_accepted, true);
	end(newer);
	end(older);
	assert_new_memory_goes_to(_i ? 3 : 2);
	finish();
}
END_TEST

static unsigned int follow_to(void *arg, unsigned int node)
{
	const unsigned int *to = arg;

	return node == to[0] ? to[1] : STAY;
}

/* Two migrations have followed, and end in either order; each is withdrawn or stands. By hand: a job in between may be late. */
START_TEST(ends_in_any_order_leave_new_memory_to_the_newer_one)
{
	static const struct gmig_job_spec spec;
	unsigned int older_to[] = {0, 1}, newer_to[] = {_i & 1, _i & 1 ? 3 : 2};
	const struct memory_follow older = {1, &spec, follow_to, older_to};
	const struct memory_follow newer = {2, &spec, follow_to, newer_to};
	bool older_stands = _i & 2, newer_stands = _i & 4, older_first = _i & 8;
	unsigned int node = older_stands ? 1 : 0;
	struct memory *memory;

	create_bound(hold_the_older);
	memory = &rig.gmig->memory;
	ck_assert_int_eq(memory->ops->follow(memory, &older, &err), 0);
	ck_assert_int_eq(memory->ops->follow(memory, &newer, &err), 0);
	if (older_first)
		memory->ops->follow_end(memory, &older, older_stands);
	memory->ops->follow_end(memory, &newer, newer_stands);
	if (!older_first)
		memory->ops->follow_end(memory, &older, older_stands);
	if (newer_stands)
		node = !(_i & 1) ? 2 : older_stands ? 3 : 0;
	assert_new_memory_goes_to(node);
	finish();
}
END_TEST

#define OVERLAPPING 5

static unsigned int follow_pairs(void *arg, unsigned int node)
{
	const unsigned int(*pair)[2] = arg;

	return node == pair[0][0] ? pair[0][1] : node == pair[1][0] ? pair[1][1] : STAY;
}

/*
 * Up to five migrations over one another, begun in their order and ended in any, each withdrawn or not: the range's policy, which
 * names the region's node, is where new memory of the region goes, whatever came to nothing.
 */
START_TEST(policy_goes_with_the_region_through_migrations_that_overlap)
{
	static const struct gmig_job_spec spec;
	const struct region *region;
	unsigned int pairs[OVERLAPPING][2][2], begun, ended;
	struct memory_follow follow[OVERLAPPING];
	struct memory *memory;
	struct gmig_map map;
	bool over[OVERLAPPING];

	create_bound(hold_the_older);
	memory = &rig.gmig->memory;
	region = engine_region_of_gfn(rig.gmig, 0);
	srand((unsigned int)_i + 1);
	for (unsigned int round = 0; round < 100; round++) {
		begun = ended = 0;
		while (ended < OVERLAPPING) {
			unsigned int one = (unsigned int)rand() % OVERLAPPING;

			if (one >= begun && begun < OVERLAPPING) {
				for (unsigned int i = 0; i < 2; i++) {
					pairs[begun][i][0] = (unsigned int)rand() % NODES;
					pairs[begun][i][1] = (pairs[begun][i][0] + 1 +
							      (unsigned int)rand() % (NODES - 1)) %
							     NODES;
				}
				follow[begun] =
				    (struct memory_follow){1 + round * OVERLAPPING + begun, &spec,
							   follow_pairs, pairs[begun]};
				over[begun] = false;
				ck_assert_int_eq(
				    memory->ops->follow(memory, &follow[begun++], &err), 0);
			} else if (one < begun && !over[one]) {
				over[one] = true;
				memory->ops->follow_end(memory, &follow[one], rand() % 2);
				ended++;
			}
			ck_assert_int_eq(gmig_map_at(rig.gmig, 0, &map), 0);
			ck_assert_msg(
			    map.node[0] == atomic_load(&region->preferred_node),
			    "round %u: %u begun, %u ended: the policy says %u, the region %u",
			    round, begun, ended, map.node[0], atomic_load(&region->preferred_node));
		}
	}
	finish();
}
END_TEST

/* Commands of all kinds from two clients over ranges that overlap, while writers run: each page ends by the last that named it. */
START_TEST(random_commands_of_two_clients_end_each_page_once)
{
	struct gmig_job *jobs[24];
	int expected[BLOCKS * B];

	create(_i % 2);
	rig_start(&rig, 2);
	srand((unsigned int)_i);
	for (unsigned int i = 0; i < BLOCKS * B; i++)
		expected[i] = 0;
	for (unsigned int i = 0; i < 24; i++) {
		uint64_t first = (uint64_t)rand() % (BLOCKS * B);
		uint64_t pages = 1 + (uint64_t)rand() % (BLOCKS * B - first);
		int node = rand() % NODES;

		jobs[i] = list_to(first, pages, node, rand() % 3 ? 0 : BLOCK_S);
		for (uint64_t page = first; page < first + pages; page++)
			expected[page] = node;
	}
	for (unsigned int i = 0; i < 24; i++)
		go_on(jobs[i]);
	for (unsigned int i = 0; i < 24; i++)
		ck_assert_int_eq(end(jobs[i]).state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(rig_stop(&rig), 0);
	for (uint64_t page = 0; page < rig.pages; page++)
		ck_assert_int_eq((int)node_of(page), expected[page]);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("later");
	TCase *words = tcase_create("words"), *jobs = tcase_create("jobs");

	tcase_add_checked_fixture(words, setup, teardown);
	tcase_add_test(words, page_that_a_later_list_names_is_left_alone);
	tcase_add_test(words, command_that_is_cancelled_says_nothing_any_more);
	tcase_add_test(words, job_that_ends_takes_its_own_word_with_it);
	tcase_add_test(words, huge_page_that_is_named_in_part_falls_apart);
	tcase_add_test(words, page_is_left_to_a_later_map_or_goes_on_by_it);
	tcase_add_test(words, words_count_in_the_order_of_their_commands);
	tcase_add_test(words, lists_of_ended_jobs_are_joined);
	suite_add_tcase(suite, words);
	tcase_add_loop_test(jobs, older_job_takes_no_page_back_that_a_list_has_named, 0, 6);
	tcase_add_loop_test(jobs, older_job_leaves_a_range_to_the_policy_that_was_bound_after_it, 0,
			    4);
	tcase_add_loop_test(jobs, policy_is_the_one_that_was_bound_last, 0, 2);
	tcase_add_loop_test(jobs, contradictory_migrations_end_as_if_one_followed_the_other, 0, 8);
	tcase_add_loop_test(
	    jobs, third_migration_decides_where_the_second_sent_what_the_first_takes, 0, 2);
	tcase_add_loop_test(jobs, older_job_leaves_what_a_later_one_brings_to_its_source, 0, 2);
	tcase_add_loop_test(jobs, cancelled_command_gives_its_pages_back_to_the_older_job, 0, 3);
	tcase_add_loop_test(jobs, command_waits_for_the_round_that_began_before_it, 0, 2);
	tcase_add_loop_test(jobs, retry_is_a_later_command_than_what_was_accepted_before_it, 0, 2);
	tcase_add_loop_test(jobs, job_over_a_part_speaks_for_that_part, 0, 2);
	tcase_add_loop_test(jobs, new_memory_goes_where_the_last_migration_takes_it, 0, 4);
	tcase_add_loop_test(jobs, migration_whose_thread_comes_late_is_the_older_one_all_the_same,
			    0, 2);
	tcase_add_loop_test(jobs, migration_whose_thread_comes_late_is_the_newer_one_all_the_same,
			    0, 2);
	tcase_add_loop_test(jobs, policy_goes_with_the_region_through_migrations_that_overlap, 0,
			    4);
	tcase_add_loop_test(jobs, ends_in_any_order_leave_new_memory_to_the_newer_one, 0, 16);
	tcase_add_loop_test(jobs, random_commands_of_two_clients_end_each_page_once, 0, 4);
	suite_add_tcase(suite, jobs);
	return rig_main(suite);
}
