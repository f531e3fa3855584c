/*
 * A job from its first look to its last, over a memory and a mover that are arrays: things change under it at
 * exactly the call at which they would hurt. Whatever happens, the four ends of its pages add up.
 */
#include "../../migrate/jobs/job.h"
#include "../../migrate/jobs/job_info.h"
#include "../../migrate/jobs/plan_policy.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>

#define BLOCKS	   4096u
#define PAGES	   (BLOCKS * GMIG_BLOCK_PAGES)
#define NOWHERE	   GMIG_NO_NODE
#define PAGE(b, i) (GMIG_BLOCK_PAGES * (b) + (i))

/* ---- The memory --------------------------------------------------------------------------------- */

static struct {
	uint64_t blocks;       /* of the one range; 0: there is none */
	uint16_t node[PAGES];  /* NOWHERE: no memory */
	bool huge[BLOCKS];     /* all its pages lie on one node, as one entry */
	unsigned int looks;    /* at single blocks, through the job's life */
	unsigned int visits;   /* of entries */
	unsigned int refreshs; /* of all of it */
	void (*at_look)(uint64_t block);
	void (*at_visit)(void);
	void (*at_move)(struct mover_ticket *ticket);
	int (*at_prepare)(const struct mover_ticket *ticket);
} fake;

static struct gmig_job *job;

static int walk_one(uint64_t block, shadow_visit *visit, void *arg)
{
	unsigned int count = fake.huge[block] ? 1 : GMIG_BLOCK_PAGES;
	int ret = 0;

	for (unsigned int i = 0; i < count && !ret; i++) {
		uint16_t node = fake.node[PAGE(block, i)];
		const struct shadow_entry entry = {
		    .state = node == NOWHERE ? SHADOW_NONE : SHADOW_PRESENT,
		    .order = fake.huge[block] ? 9 : 0,
		    .node = node,
		};

		fake.visits++;
		if (fake.at_visit)
			fake.at_visit();
		ret = visit(arg, PAGE(block, i), &entry);
	}
	return ret;
}

static int fake_walk(struct memory *memory, uint64_t gfn, uint64_t pages, shadow_visit *visit,
		     void *arg)
{
	int ret = 0;

	(void)memory;
	if (pages == GMIG_BLOCK_PAGES) {
		fake.looks++;
		if (fake.at_look)
			fake.at_look(gfn / GMIG_BLOCK_PAGES);
	}
	for (uint64_t at = gfn; at < gfn + pages && !ret; at += GMIG_BLOCK_PAGES)
		ret = walk_one(at / GMIG_BLOCK_PAGES, visit, arg);
	return ret;
}

static int fake_ranges(struct memory *memory, const struct gmig_job_spec *spec,
		       struct memory_range **ranges, size_t *count)
{
	(void)memory;
	(void)spec;
	*ranges = calloc(1, sizeof(**ranges));
	(*ranges)->pages = fake.blocks * GMIG_BLOCK_PAGES;
	*count = fake.blocks ? 1 : 0;
	return 0;
}

static void fake_refresh(struct memory *memory, const struct memory_range *range,
			 bool (*stop)(void *arg), void *arg)
{
	(void)memory;
	(void)range;
	(void)stop;
	(void)arg;
	fake.refreshs++;
}

static uint64_t fake_on_node(struct memory *memory, const struct gmig_job_spec *spec,
			     unsigned int node)
{
	uint64_t pages = 0;

	(void)memory;
	(void)spec;
	for (uint64_t i = 0; i < fake.blocks * GMIG_BLOCK_PAGES; i++)
		pages += fake.node[i] == node;
	return pages * GMIG_PAGE_BYTES;
}

static void fake_claim(struct memory *memory, struct claim *claim, struct bits *refused)
{
	(void)memory;
	bits_clear_all(refused);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (bits_get(&claim->pages, i) &&
		    (fake.node[claim->block_gfn + i] != claim->from ||
		     fake.huge[claim->block_gfn / GMIG_BLOCK_PAGES] != claim->huge))
			bits_set(refused, i);
	bits_remove(&claim->pages, refused);
}

static void fake_settle(struct claim *claim, const struct claim_result *result)
{
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (bits_get(&result->moved, i))
			fake.node[claim->block_gfn + i] = (uint16_t)claim->to;
		else if (bits_get(&result->gone, i))
			fake.node[claim->block_gfn + i] = NOWHERE;
}

static int fake_ready(struct memory *memory, const struct gmig_job_spec *spec,
		      struct gmig_error *err)
{
	(void)memory;
	(void)spec;
	(void)err;
	return 0;
}

static const struct memory_ops memory_ops = {
    .name = "fake",
    .ranges = fake_ranges,
    .refresh = fake_refresh,
    .walk = fake_walk,
    .on_node = fake_on_node,
    .claim = fake_claim,
    .settle = fake_settle,
    .ready = fake_ready,
};

/* ---- The mover ---------------------------------------------------------------------------------- */

static int fake_begin(struct mover_job *work, struct gmig_error *err)
{
	(void)work;
	(void)err;
	return 0;
}

static void fake_end(struct mover_job *work)
{
	(void)work;
}

static int fake_worker_begin(struct mover_worker *worker)
{
	(void)worker;
	return 0;
}

static void fake_worker_end(struct mover_worker *worker)
{
	(void)worker;
}

static int fake_prepare(struct mover_worker *worker, struct mover_ticket *ticket)
{
	(void)worker;
	return fake.at_prepare ? fake.at_prepare(ticket) : 0;
}

static void fake_move(struct mover_worker *worker, struct mover_ticket **tickets,
		      unsigned int count)
{
	(void)worker;
	for (unsigned int i = 0; i < count; i++) {
		tickets[i]->moved = tickets[i]->pages;
		if (fake.at_move)
			fake.at_move(tickets[i]);
	}
}

static void fake_finish(struct mover_worker *worker, struct mover_ticket *ticket)
{
	(void)worker;
	(void)ticket;
}

static struct mover mover = {
    .name = "fake",
    .tickets = 1,
    .begin = fake_begin,
    .end = fake_end,
    .worker_begin = fake_worker_begin,
    .worker_end = fake_worker_end,
    .prepare = fake_prepare,
    .move = fake_move,
    .finish = fake_finish,
};

/* ---- The job ------------------------------------------------------------------------------------ */

static struct memory memory = {.ops = &memory_ops, .sys = &gmig_sys_real};

/* map: pairs of nodes, from and to; NOWHERE ends it. */
static void make(uint64_t blocks, const uint16_t *map)
{
	struct plan_map to;

	fake.blocks = blocks;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		to.to[node] = GMIG_NO_NODE;
	for (; *map != NOWHERE; map += 2)
		to.to[map[0]] = map[1];
	job = calloc(1, sizeof(*job));
	job->memory = job->work.memory = &memory;
	job->mover = &mover;
	job->work.spec.threads = 1;
	pthread_mutex_init(&job->lock, NULL);
	gmig_sys_cond_init(&job->changed);
	plan_create(&to, &job->plan);
	ck_assert_int_eq(status_create(&job->status), 0);
	atomic_store(&job->refs, 2);
}

static const uint16_t out_of_0[] = {0, 1, NOWHERE}, chain[] = {0, 1, 1, 2, NOWHERE},
		      swap[] = {0, 1, 1, 0, NOWHERE};

static void put_pages(uint64_t first, uint64_t count, uint16_t node)
{
	for (uint64_t i = first; i < first + count; i++)
		fake.node[i] = node;
}

static void put_huge(uint64_t block, uint16_t node)
{
	put_pages(PAGE(block, 0), GMIG_BLOCK_PAGES, node);
	fake.huge[block] = true;
}

static void run(struct gmig_job_info *info)
{
	job_thread(job);
	gmig_job_info(job, info);
	ck_assert_uint_eq(info->total_bytes, info->moved_bytes + info->remaining_bytes +
						 info->gone_bytes + info->by_others_bytes);
	gmig_job_put(job);
}

#define PAGES_OF(bytes) ((bytes) / GMIG_PAGE_BYTES)

START_TEST(memory_without_ranges_is_moved_at_once)
{
	struct gmig_job_info info;

	make(0, out_of_0);
	run(&info);
	ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
	ck_assert_uint_eq(info.total_bytes, 0);
	ck_assert_uint_eq(info.passes, 0);
}
END_TEST

/* ---- Cancel, at any size ------------------------------------------------------------------------ */

static unsigned int cancel_at, after_cancel;

static void cancel_at_visit(void)
{
	if (fake.visits == cancel_at)
		gmig_job_cancel(job);
	else if (fake.visits > cancel_at)
		after_cancel++;
}

START_TEST(cancel_while_the_set_is_made_is_heard_at_the_next_block)
{
	struct gmig_job_info info;

	make(BLOCKS, out_of_0);
	for (unsigned int b = 0; b < BLOCKS; b++)
		put_huge(b, 0);
	cancel_at = 10;
	fake.at_visit = cancel_at_visit;
	run(&info);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_uint_le(after_cancel, 1);
	ck_assert_uint_eq(PAGES_OF(info.remaining_bytes), PAGES);
	ck_assert_int_eq(info.remaining[0].error, ECANCELED);
}
END_TEST

static int target_is_full(const struct mover_ticket *ticket)
{
	(void)ticket;
	return -ENOMEM;
}

static void cancel_at_tenth_look(uint64_t block)
{
	(void)block;
	if (fake.refreshs < 2)
		return;
	if (++cancel_at == 10)
		gmig_job_cancel(job);
	else if (cancel_at > 10)
		after_cancel++;
}

START_TEST(cancel_in_the_second_look_is_heard_at_the_next_block)
{
	struct gmig_job_info info;

	make(BLOCKS, out_of_0);
	for (unsigned int b = 0; b < BLOCKS; b++)
		put_huge(b, 0);
	fake.at_prepare = target_is_full;
	fake.at_look = cancel_at_tenth_look;
	run(&info);
	ck_assert_uint_ge(cancel_at, 10);
	ck_assert_int_eq(info.state, GMIG_JOB_CANCELLED);
	ck_assert_uint_le(after_cancel, 1);
	ck_assert_uint_eq(PAGES_OF(info.remaining_bytes), PAGES);
	ck_assert_int_eq(info.remaining[0].error, ENOMEM);
}
END_TEST

/* ---- Pages that come, go, or are moved by others ------------------------------------------------ */

static void some_go_and_some_are_moved(uint64_t block)
{
	static bool done;

	if (block != 1 || done)
		return;
	done = true;
	put_pages(PAGE(1, 0), 100, NOWHERE);
	put_pages(PAGE(1, 200), 50, 3);
}

START_TEST(pages_that_went_before_their_turn_are_gone_or_moved_by_others)
{
	struct gmig_job_info info;

	make(3, out_of_0);
	put_pages(0, 3 * GMIG_BLOCK_PAGES, 0);
	fake.at_look = some_go_and_some_are_moved;
	run(&info);
	ck_assert_uint_eq(PAGES_OF(info.total_bytes), 3 * GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(PAGES_OF(info.moved_bytes), 3 * GMIG_BLOCK_PAGES - 150);
	ck_assert_uint_eq(PAGES_OF(info.gone_bytes), 100);
	ck_assert_uint_eq(PAGES_OF(info.by_others_bytes), 50);
	ck_assert_uint_eq(info.bytes_on_source, 0);
}
END_TEST

/* While the job runs, one page comes to its new home, another falls back. */
static void new_memory_comes(struct mover_ticket *ticket)
{
	(void)ticket;
	if (fake.node[PAGE(0, 7)] == NOWHERE) {
		put_pages(PAGE(0, 7), 1, 1);
		put_pages(PAGE(0, 9), 1, 0);
	}
}

START_TEST(page_that_came_to_its_new_home_stays_in_the_second_look)
{
	struct gmig_job_info info;

	/* 0 to 1, 1 to 2: block 0 has holes at first, and none at the second look. */
	make(2, chain);
	put_pages(PAGE(0, 0), GMIG_BLOCK_PAGES, 1);
	put_pages(PAGE(0, 7), 1, NOWHERE);
	put_pages(PAGE(0, 9), 1, NOWHERE);
	put_pages(PAGE(1, 0), GMIG_BLOCK_PAGES, 0);
	fake.at_move = new_memory_comes;
	run(&info);
	ck_assert_uint_eq(fake.node[PAGE(0, 7)], 1);
	ck_assert_uint_eq(fake.node[PAGE(0, 9)], 1);
	ck_assert_uint_eq(fake.node[PAGE(0, 8)], 2);
	ck_assert_uint_eq(fake.node[PAGE(1, 0)], 1);
	ck_assert_uint_eq(PAGES_OF(info.moved_bytes), 2 * GMIG_BLOCK_PAGES - 1);
	ck_assert_uint_eq(info.bytes_on_source, 0);
}
END_TEST

/* ---- Small pages that become a huge one meanwhile ----------------------------------------------- */

/* In the first pass 100 pages move, and the others are busy; then somebody brings them back, as one page. */
static void part_moves_and_block_is_joined(struct mover_ticket *ticket)
{
	static bool done;

	if (done)
		return;
	done = true;
	bits_clear_range(&ticket->moved, 100, GMIG_BLOCK_PAGES - 100);
	for (unsigned int i = 100; i < GMIG_BLOCK_PAGES; i++)
		ticket->error[i] = -EBUSY;
}

static uint16_t joined_on;

static void join_before_second_pass(uint64_t block)
{
	if (job->passes == 2 && !fake.huge[block])
		put_huge(block, joined_on);
}

START_TEST(block_that_is_joined_with_a_part_done_moves_whole)
{
	struct gmig_job_info info;

	make(1, out_of_0);
	put_pages(0, GMIG_BLOCK_PAGES, 0);
	fake.at_move = part_moves_and_block_is_joined;
	fake.at_look = join_before_second_pass;
	joined_on = 0;
	run(&info);
	ck_assert_uint_eq(PAGES_OF(info.total_bytes), GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(PAGES_OF(info.moved_bytes), GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(info.bytes_on_source, 0);
}
END_TEST

START_TEST(block_that_is_joined_where_a_part_belongs_stays_and_is_told)
{
	struct gmig_job_info info;

	/* Nodes swap: of the huge page on node 1 a part came from 0, and is at its goal. */
	make(1, swap);
	put_pages(0, 100, 0);
	put_pages(100, GMIG_BLOCK_PAGES - 100, 1);
	fake.at_prepare = NULL;
	fake.at_move = part_moves_and_block_is_joined;
	fake.at_look = join_before_second_pass;
	joined_on = 1;
	run(&info);
	ck_assert_uint_eq(fake.node[0], 1);
	ck_assert_uint_eq(PAGES_OF(info.total_bytes), GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(PAGES_OF(info.moved_bytes) + PAGES_OF(info.remaining_bytes),
			  GMIG_BLOCK_PAGES);
}
END_TEST

/* Between the look that says what belongs to the work and the one that picks it. */
static void join_between_looks(uint64_t block)
{
	if (job->passes && fake.looks == 2)
		put_huge(block, 0);
}

START_TEST(block_that_is_joined_after_it_was_looked_at_is_counted_in_full)
{
	struct gmig_job_info info;

	make(2, out_of_0); /* the second has no memory: looks at all of it are told apart */
	put_pages(PAGE(1, 0), GMIG_BLOCK_PAGES, NOWHERE);
	put_pages(0, 10, 0);
	put_pages(10, GMIG_BLOCK_PAGES - 10, 5);
	fake.at_look = join_between_looks;
	run(&info);
	ck_assert(fake.huge[0]);
	ck_assert_uint_eq(PAGES_OF(info.total_bytes), GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(PAGES_OF(info.moved_bytes), GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(info.bytes_on_source, 0);
}
END_TEST

/* ---- Several tickets in a round ----------------------------------------------------------------- */

static unsigned int rolls;

/* Of the tickets some have no frame, some lose a page to others before they are claimed. */
static int prepare_any(const struct mover_ticket *ticket)
{
	switch (rolls++ % 5) {
	case 0:
		return -ENOMEM;
	case 1:
		return -EAGAIN;
	case 2:
		if (!ticket->huge)
			put_pages(ticket->block_gfn + bits_next(&ticket->pages, 0, true), 1, 3);
		return 0;
	default:
		return 0;
	}
}

/* Of small pages the first one is broken, busy, or a hole: as the block's number says. */
static void move_any(struct mover_ticket *ticket)
{
	unsigned int i = bits_next(&ticket->pages, 0, true);
	uint64_t kind = ticket->block_gfn / GMIG_BLOCK_PAGES % 7;

	if (ticket->huge || !kind || kind > 3)
		return;
	bits_clear_range(&ticket->moved, i, 1);
	if (kind == 3)
		bits_set(&ticket->gone, i);
	else
		ticket->error[i] = kind == 1 ? -EIO : -EBUSY;
}

START_TEST(rounds_of_many_tickets_end_each_page_once)
{
	uint64_t here = 0, nowhere = 0;
	struct gmig_job_info info;

	/* Blocks of one node, of two, with holes, and huge ones. */
	make(300, chain);
	for (unsigned int b = 0; b < 300; b++) {
		if (b % 4 == 3)
			put_huge(b, b % 8 == 7);
		else
			for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
				fake.node[PAGE(b, i)] = b % 4 == 2 && i % 50 == 1 ? NOWHERE
							: b % 4			  ? i / 100 % 2
										  : 0;
	}
	for (unsigned int i = 0; i < 300 * GMIG_BLOCK_PAGES; i++)
		here += fake.node[i] != NOWHERE;
	fake.at_prepare = prepare_any;
	fake.at_move = move_any;
	mover.tickets = (unsigned int)_i;
	run(&info);
	for (unsigned int i = 0; i < 300 * GMIG_BLOCK_PAGES; i++)
		nowhere += fake.node[i] == NOWHERE;
	ck_assert_uint_eq(PAGES_OF(info.total_bytes), here);
	ck_assert_uint_eq(PAGES_OF(info.gone_bytes), nowhere - (300 * GMIG_BLOCK_PAGES - here));
	ck_assert_uint_gt(info.moved_bytes, 0);
	ck_assert_uint_gt(info.remaining_bytes, 0);
	ck_assert_uint_gt(info.by_others_bytes, 0);
}
END_TEST

/* ---- A policy that is content with several nodes ------------------------------------------------- */

static uint64_t room[4]; /* blocks that each node still takes */
static unsigned int asked[4];

/* Nodes 1 to 3 will do, the first that is not full. */
static unsigned int near_target(void *arg, uint64_t gfn, unsigned int order, unsigned int node,
				const struct gmig_node_set *full)
{
	(void)arg, (void)gfn, (void)order;
	if (node)
		return GMIG_NO_NODE;
	for (node = 1; node < 3 && full && gmig_node_set_has(full, node); node++)
		;
	return full && gmig_node_set_has(full, node) ? 1 : node;
}

static int prepare_where_there_is_room(const struct mover_ticket *ticket)
{
	asked[ticket->to]++;
	if (!room[ticket->to])
		return -ENOMEM;
	room[ticket->to]--;
	return 0;
}

/* By the mover's word in time, or by its pages' results. */
START_TEST(page_goes_to_the_next_node_of_its_policy_when_one_is_full)
{
	const struct plan_policy policy = {.pages = 6 * GMIG_BLOCK_PAGES, .target = near_target};
	uint64_t on[4] = {0};
	struct gmig_job_info info;

	make(6, out_of_0);
	plan_destroy(&job->plan);
	ck_assert_int_eq(plan_policy_create(&policy, &job->plan), 0);
	for (uint64_t block = 0; block < 6; block++) {
		if (_i & 1)
			put_huge(block, 0);
		else
			put_pages(PAGE(block, 0), GMIG_BLOCK_PAGES, 0);
	}
	room[1] = 2;
	room[2] = 1;
	room[3] = _i & 2 ? 2 : 3;
	fake.at_prepare = prepare_where_there_is_room;
	run(&info);
	for (uint64_t page = 0; page < 6 * GMIG_BLOCK_PAGES; page++)
		on[fake.node[page]]++;
	ck_assert_uint_eq(on[1], 2 * GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(on[2], GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(on[3], (_i & 2 ? 2 : 3) * GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(PAGES_OF(info.remaining_bytes), on[0]);
	/* In one pass a node is full once; another pass asks again. */
	ck_assert_uint_eq(asked[2], 1 + info.passes);
	if (_i & 2) {
		ck_assert_int_eq(info.remaining[0].error, ENOMEM);
		ck_assert_uint_eq(info.remaining[0].pages, GMIG_BLOCK_PAGES);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("job_work");
	TCase *tcase = tcase_create("work");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, memory_without_ranges_is_moved_at_once);
	tcase_add_test(tcase, cancel_while_the_set_is_made_is_heard_at_the_next_block);
	tcase_add_test(tcase, cancel_in_the_second_look_is_heard_at_the_next_block);
	tcase_add_test(tcase, pages_that_went_before_their_turn_are_gone_or_moved_by_others);
	tcase_add_test(tcase, page_that_came_to_its_new_home_stays_in_the_second_look);
	tcase_add_test(tcase, block_that_is_joined_with_a_part_done_moves_whole);
	tcase_add_test(tcase, block_that_is_joined_where_a_part_belongs_stays_and_is_told);
	tcase_add_test(tcase, block_that_is_joined_after_it_was_looked_at_is_counted_in_full);
	tcase_add_loop_test(tcase, rounds_of_many_tickets_end_each_page_once, 1, MOVER_TICKETS + 1);
	tcase_add_loop_test(tcase, page_goes_to_the_next_node_of_its_policy_when_one_is_full, 0, 4);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
