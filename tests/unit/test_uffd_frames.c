/* The frames of mover uffd, and samples, which are tickets of it: what a ticket gets before it moves, what it is refused, and where all of it goes afterwards. */
#include "../../migrate/core/topology.h"
#include "../../migrate/gmig_discard.h"
#include "../../migrate/memory/frame.h"
#include "../../migrate/memory/region.h"
#include "../../migrate/movers/mover.h"
#include "../../migrate/movers/sample_block.h"
#include "../../migrate/movers/uffd_zeroer.h"
#include "failing_open.h"
#include "host_tree.h"
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#define BYTES  (4ull << 20)
#define JOB_ID 3

static struct rig rig;
static struct gmig_sys sys;
static struct mover_job job;
static struct mover_worker worker;
static struct mover_ticket tickets[80], *const ticket = tickets;

/* A host without memory for frames, or without huge pages. */
static atomic_bool full, fragmented;
static atomic_uint asked;

static int advise_or_not(void *memory, size_t bytes, int advice)
{
	if (advice == MADV_POPULATE_WRITE)
		atomic_fetch_add(&asked, 1);
	if (advice == MADV_POPULATE_WRITE && atomic_load(&full))
		return -ENOMEM;
	if (advice == MADV_HUGEPAGE && atomic_load(&fragmented))
		advice = MADV_NOHUGEPAGE;
	if (advice == MADV_COLLAPSE && atomic_load(&fragmented))
		return -ENOMEM;
	return gmig_sys_real.advise(memory, bytes, advice);
}

/* One mapping for a pool. */
static atomic_bool map_fails;

static int map_or_not(size_t bytes, int protection, void *fixed, void **out)
{
	if (atomic_exchange(&map_fails, false))
		return -ENOMEM;
	return gmig_sys_real.map(bytes, protection, fixed, out);
}

static void begin_job(const struct gmig_job_spec *spec)
{
	struct gmig_error err = {0};

	job = (struct mover_job){.memory = &rig.gmig->memory,
				 .topology = rig.topology,
				 .spec = *spec,
				 .id = JOB_ID,
				 .single = true};
	ck_assert_int_eq(mover_uffd.begin(&job, &err), 0);
	worker = (struct mover_worker){.job = &job};
	ck_assert_int_eq(mover_uffd.worker_begin(&worker), 0);
}

static void renew(struct mover_ticket *it)
{
	*it = (struct mover_ticket){
	    .to = 1, .mode = job.spec.mode, .huge = !rig.gmig->options.small_pages};
	bits_fill(&it->pages);
}

static void start(bool small_pages, const struct gmig_job_spec *changes)
{
	struct gmig_job_spec spec = rig_spec(0, 1);

	sys = gmig_sys_real;
	sys.advise = advise_or_not;
	sys.map = map_or_not;
	rig_create(&rig,
		   &(struct rig_options){.bytes = BYTES, .small_pages = small_pages, .sys = &sys});
	spec.threads = 1;
	spec.mode = GMIG_MODE_READABLE;
	if (changes) {
		spec.huge = changes->huge;
		spec.frames = changes->frames;
		spec.mode = changes->mode ? changes->mode : spec.mode;
		spec.lazy = changes->lazy;
	}
	begin_job(&spec);
	for (unsigned int i = 0; i < sizeof(tickets) / sizeof(tickets[0]); i++)
		renew(&tickets[i]);
	atomic_store(&asked, 0);
}

static void end_job(void)
{
	mover_uffd.worker_end(&worker);
	mover_uffd.end(&job);
}

static void end(void)
{
	end_job();
	ck_assert_uint_eq(rig_check_all(&rig), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

static int prepare(struct mover_ticket *it)
{
	return mover_uffd.prepare(&worker, it);
}

static uint64_t pooled(unsigned int node)
{
	return frame_pool_bytes(rig.gmig->frames, node);
}

static void claim(struct mover_ticket *it)
{
	struct bits refused;

	it->claim = (struct claim){.gmig = rig.gmig,
				   .region = engine_region_of_gfn(rig.gmig, it->block_gfn),
				   .block_gfn = it->block_gfn,
				   .huge = it->huge,
				   .from = it->from,
				   .to = it->to,
				   .owner = job.id,
				   .memory = mover_uffd.memory,
				   .pages = it->pages};
	claim_take(&it->claim, &refused);
	ck_assert(bits_empty(&refused));
}

static void move(struct mover_ticket *it)
{
	struct claim_result result = {.stall = NULL};

	ck_assert_int_eq(prepare(it), 0);
	claim(it);
	mover_uffd.move(&worker, &it, 1);
	result.moved = it->moved;
	result.gone = it->gone;
	claim_settle(&it->claim, &result);
	mover_uffd.finish(&worker, it);
}

/* Nothing of it was claimed. */
static void finish_unclaimed(struct mover_ticket *it)
{
	bits_clear_all(&it->pages);
	mover_uffd.finish(&worker, it);
}

/* ---- What a ticket gets ------------------------------------------------------------------------- */

START_TEST(ticket_gets_a_frame_for_each_page_and_a_place_to_leave_to)
{
	start(true, NULL);
	bits_clear_range(&ticket->pages, 100, 412);
	ck_assert_int_eq(prepare(ticket), 0);
	ck_assert_ptr_nonnull(ticket->target);
	ck_assert_ptr_nonnull(ticket->source);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		ck_assert(i >= 100 || bits_get(&ticket->target->have, i));
	ck_assert(bits_empty(&ticket->source->have));
	ck_assert_uint_eq(ticket->target->node, 1);
	ck_assert_uint_eq(ticket->source->node, 0);
	ck_assert(!ticket->target->huge && !ticket->source->huge);
	ck_assert(!ticket->demote);
	finish_unclaimed(ticket);
	end();
}
END_TEST

START_TEST(ticket_without_pages_gets_nothing)
{
	start(true, NULL);
	bits_clear_all(&ticket->pages);
	ck_assert_int_eq(prepare(ticket), 0);
	ck_assert_ptr_null(ticket->target);
	ck_assert_ptr_null(ticket->source);
	ck_assert_uint_eq(atomic_load(&asked), 0);
	finish_unclaimed(ticket);
	end();
}
END_TEST

START_TEST(job_may_use_as_much_beside_as_the_engine_may)
{
	start(true, NULL);
	ck_assert_uint_eq(atomic_load(&job.extra_bytes_max), rig.gmig->options.extra_bytes_max);
	ck_assert_uint_gt(rig.gmig->options.extra_bytes_max, 0);
	ck_assert_uint_eq(mover_uffd.workers(&job), 1);
	end();
}
END_TEST

/* ---- Huge pages --------------------------------------------------------------------------------- */

#define start_huge(huge) start_huge_of(__func__, huge)

static bool start_huge_of(const char *function, enum gmig_huge huge)
{
	start(false, &(struct gmig_job_spec){.huge = huge});
	if (rig.gmig->thp)
		return true;
	end();
	return skip_case_of(function, NO_HUGE_PAGES);
}

START_TEST(huge_ticket_gets_huge_frames)
{
	if (!start_huge(_i ? GMIG_HUGE_KEEP : GMIG_HUGE_PREFER))
		return;
	ck_assert_int_eq(prepare(ticket), 0);
	ck_assert(ticket->target->huge && ticket->source->huge);
	ck_assert(!ticket->demote && ticket->huge);
	finish_unclaimed(ticket);
	end();
}
END_TEST

START_TEST(huge_ticket_gets_small_frames_where_there_are_no_huge_ones)
{
	if (!start_huge(GMIG_HUGE_PREFER))
		return;
	atomic_store(&fragmented, true);
	ck_assert_int_eq(prepare(ticket), 0);
	ck_assert(!ticket->target->huge && !ticket->source->huge);
	ck_assert(ticket->demote && ticket->huge);
	ck_assert(bits_full(&ticket->target->have));
	finish_unclaimed(ticket);
	end();
}
END_TEST

START_TEST(huge_ticket_that_is_to_stay_huge_gets_nothing_where_there_are_none)
{
	if (!start_huge(GMIG_HUGE_KEEP))
		return;
	atomic_store(&fragmented, true);
	ck_assert_int_eq(prepare(ticket), -ENOMEM);
	ck_assert_ptr_null(ticket->target);
	ck_assert(!ticket->demote);
	end();
}
END_TEST

/* Whether a node that has no huge page has small ones cannot be seen for want of descriptors. */
START_TEST(huge_ticket_gets_small_frames_of_a_node_that_cannot_be_looked_at)
{
	static const struct tree_node nodes[] = {{0, 1024, 100, "0-1", "10 20"},
						 {1, 1024, 100, "2-3", "20 10"}};
	struct gmig_topology *topology;
	struct gmig_error err;

	if (!start_huge(GMIG_HUGE_PREFER))
		return;
	tree_create();
	tree_nodes("0-1", nodes, 2);
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	job.topology = topology;
	atomic_store(&map_fails, true);
	unreadable = "/node1/meminfo";
	ck_assert_int_eq(prepare(ticket), 0);
	unreadable = NULL;
	ck_assert(ticket->demote);
	finish_unclaimed(ticket);
	job.topology = rig.topology;
	gmig_topology_put(topology);
	tree_remove();
	end();
}
END_TEST

START_TEST(huge_ticket_that_is_to_be_split_gets_small_frames)
{
	if (!start_huge(GMIG_HUGE_SPLIT))
		return;
	ck_assert_int_eq(prepare(ticket), 0);
	ck_assert(!ticket->target->huge && !ticket->source->huge);
	ck_assert(ticket->demote);
	finish_unclaimed(ticket);
	end();
}
END_TEST

/* ---- What it is refused ------------------------------------------------------------------------- */

START_TEST(node_that_refuses_four_times_in_a_row_is_not_asked_again_in_this_pass)
{
	unsigned int calls;

	start(true, NULL);
	atomic_store(&full, true);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_int_eq(prepare(&tickets[i]), -ENOMEM);
		ck_assert_ptr_null(tickets[i].target);
	}
	/* One that has memory begins the row anew. */
	atomic_store(&full, false);
	ck_assert_int_eq(prepare(&tickets[3]), 0);
	finish_unclaimed(&tickets[3]);
	frame_drain(rig.gmig->frames, 1);
	atomic_store(&full, true);
	for (unsigned int i = 4; i < 8; i++)
		ck_assert_int_eq(prepare(&tickets[i]), -ENOMEM);
	atomic_store(&full, false);
	calls = atomic_load(&asked);
	ck_assert_int_eq(prepare(&tickets[8]), -ENOMEM);
	ck_assert_uint_eq(atomic_load(&asked), calls);
	/* Another node is. */
	tickets[9].to = 0;
	ck_assert_int_eq(prepare(&tickets[9]), 0);
	finish_unclaimed(&tickets[9]);
	/* And it is in the next pass: the job's first worker begins that. */
	mover_uffd.worker_end(&worker);
	worker.number = 1;
	ck_assert_int_eq(mover_uffd.worker_begin(&worker), 0);
	ck_assert_int_eq(prepare(&tickets[10]), -ENOMEM);
	mover_uffd.worker_end(&worker);
	worker.number = 0;
	ck_assert_int_eq(mover_uffd.worker_begin(&worker), 0);
	ck_assert_int_eq(prepare(&tickets[11]), 0);
	finish_unclaimed(&tickets[11]);
	end();
}
END_TEST

/* All slots of the worker's own pool are taken. */
START_TEST(ticket_without_a_place_to_leave_to_gives_its_frames_back)
{
	const struct frame_want hole = {.worker = JOB_ID * 5 % GMIG_MAX_WORKERS};
	struct slot *slots[4096];
	unsigned int count = 0;

	start(true, NULL);
	while (count < 4096 && !frame_hole(rig.gmig->frames, &hole, &slots[count]))
		count++;
	ck_assert_uint_lt(count, 4096);
	ck_assert_int_eq(prepare(ticket), -EAGAIN);
	ck_assert_uint_eq(pooled(1), 0);
	/* For its frames alone there is a slot. */
	frame_give(rig.gmig->frames, slots[--count]);
	ck_assert_int_eq(prepare(ticket), -EAGAIN);
	ck_assert_ptr_null(ticket->target);
	ck_assert_ptr_null(ticket->source);
	ck_assert_uint_eq(pooled(1), GMIG_BLOCK_BYTES);
	frame_give(rig.gmig->frames, slots[--count]);
	ck_assert_int_eq(prepare(ticket), 0);
	finish_unclaimed(ticket);
	while (count)
		frame_give(rig.gmig->frames, slots[--count]);
	end();
}
END_TEST

/* ---- What waits for a touch --------------------------------------------------------------------- */

START_TEST(no_more_blocks_wait_than_four_pools_have_places_for)
{
	start(true, &(struct gmig_job_spec){.mode = GMIG_MODE_LAZY});
	for (unsigned int i = 0; i < 64; i++) {
		ck_assert_int_eq(prepare(&tickets[i]), 0);
		ck_assert_uint_eq(tickets[i].waits, i / 16 + 1);
		ck_assert_ptr_nonnull(tickets[i].source);
		ck_assert_ptr_null(tickets[i].target);
	}
	/* They need no memory before they are touched. */
	ck_assert_uint_eq(atomic_load(&asked), 0);
	for (unsigned int i = 64; i < 68; i++) {
		ck_assert_int_eq(prepare(&tickets[i]), -EAGAIN);
		ck_assert_uint_eq(tickets[i].waits, 0);
		ck_assert_ptr_null(tickets[i].source);
	}
	/* One that ends makes room for one. */
	finish_unclaimed(&tickets[20]);
	ck_assert_int_eq(prepare(&tickets[68]), 0);
	ck_assert_uint_eq(tickets[68].waits, 2);
	ck_assert_int_eq(prepare(&tickets[69]), -EAGAIN);
	for (unsigned int i = 0; i < 69; i++)
		if (i != 20 && tickets[i].source)
			finish_unclaimed(&tickets[i]);
	end();
}
END_TEST

START_TEST(block_that_waits_where_it_is_needs_no_place)
{
	start(true, &(struct gmig_job_spec){.mode = GMIG_MODE_LAZY, .lazy = GMIG_LAZY_WRITE});
	ck_assert_int_eq(prepare(ticket), 0);
	ck_assert_ptr_null(ticket->source);
	ck_assert_ptr_null(ticket->target);
	ck_assert_uint_eq(ticket->waits, 0);
	finish_unclaimed(ticket);
	end();
}
END_TEST

/* ---- Afterwards --------------------------------------------------------------------------------- */

/* On fake nodes a frame that becomes free serves as the next target; not so where each has to be fresh. */
START_TEST(frames_that_became_free_serve_the_next_block)
{
	start(true, &(struct gmig_job_spec){.frames = _i ? GMIG_FRAMES_FRESH : GMIG_FRAMES_AUTO});
	move(ticket);
	ck_assert_uint_eq(bits_count(&ticket->moved), GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(pooled(_i ? 0 : 1), GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(pooled(_i ? 1 : 0), 0);
	atomic_store(&asked, 0);
	renew(&tickets[1]);
	tickets[1].block_gfn = GMIG_BLOCK_PAGES;
	move(&tickets[1]);
	ck_assert_uint_eq(atomic_load(&asked) > 0, _i);
	end();
}
END_TEST

START_TEST(job_with_fresh_frames_drops_those_that_were_used)
{
	struct gmig_job_spec spec;

	start(true, NULL);
	move(ticket);
	ck_assert_uint_eq(pooled(1), GMIG_BLOCK_BYTES);
	end_job();
	ck_assert_uint_eq(pooled(1), GMIG_BLOCK_BYTES);
	spec = job.spec;
	begin_job(&spec);
	ck_assert_uint_eq(pooled(1), GMIG_BLOCK_BYTES);
	end_job();
	spec.frames = GMIG_FRAMES_FRESH;
	begin_job(&spec);
	ck_assert_uint_eq(pooled(1), 0);
	end();
}
END_TEST

/* What cannot be put back is the guest's content: nobody gets its slot. */
START_TEST(slots_of_a_lost_block_are_kept)
{
	start(true, NULL);
	ck_assert_int_eq(prepare(ticket), 0);
	ck_assert(ticket->source->busy);
	ticket->lost = true;
	mover_uffd.finish(&worker, ticket);
	ck_assert(ticket->source->busy);
	ck_assert(ticket->target->busy);
	ck_assert_uint_eq(pooled(1), 0);
	end();
}
END_TEST

/* It was taken by the books to be one huge page, and the kernel shows it as such. */
START_TEST(huge_block_goes_and_its_frame_stays_whole)
{
	if (!start_huge(GMIG_HUGE_PREFER))
		return;
	move(ticket);
	ck_assert_uint_eq(atomic_load(&job.thp_split), 0);
	ck_assert_uint_eq(atomic_load(&job.thp_joined), 0);
	ck_assert_uint_eq(pooled(1), GMIG_BLOCK_BYTES);
	end();
}
END_TEST

/* In pieces, since there are no huge pages while it is prepared. joins: there are some when it has arrived. */
static void go_in_pieces(bool joins)
{
	atomic_store(&fragmented, true);
	ck_assert_int_eq(prepare(ticket), 0);
	atomic_store(&fragmented, !joins);
	claim(ticket);
	mover_uffd.move(&worker, (struct mover_ticket *[]){ticket}, 1);
	claim_settle(&ticket->claim, &(struct claim_result){.moved = ticket->moved});
	mover_uffd.finish(&worker, ticket);
	ck_assert_uint_eq(bits_count(&ticket->moved), bits_count(&ticket->pages));
}

/* Pages of a huge page that was broken up are no good as frames. */
START_TEST(huge_block_that_went_in_pieces_is_joined_and_its_frames_go_to_the_kernel)
{
	if (!start_huge(GMIG_HUGE_PREFER))
		return;
	go_in_pieces(true);
	ck_assert_uint_eq(bits_count(&ticket->moved), GMIG_BLOCK_PAGES);
	ck_assert_uint_eq(atomic_load(&job.thp_split), 1);
	ck_assert_uint_eq(atomic_load(&job.thp_joined), 1);
	ck_assert_uint_eq(pooled(0) + pooled(1), 0);
	end();
}
END_TEST

/* The first block, or these pages of it, to the other of two nodes; returns how many were joined so far. */
static unsigned int go_on(unsigned int first, unsigned int count, bool joins)
{
	struct shadow_entry entry;

	ck_assert_int_eq(shadow_lookup(rig.gmig->shadow, first, &entry), 0);
	renew(ticket);
	ticket->huge = entry.order;
	ticket->from = entry.node;
	ticket->to = !entry.node;
	bits_clear_all(&ticket->pages);
	bits_set_range(&ticket->pages, first, count);
	go_in_pieces(joins);
	return atomic_load(&job.thp_joined);
}

/* One that works begins the row anew, and a block that is not whole yet does not count. */
START_TEST(job_that_could_not_join_four_blocks_in_a_row_joins_no_more)
{
	unsigned int joined = 0;

	if (!start_huge(GMIG_HUGE_PREFER))
		return;
	for (unsigned int i = 0; i < 5; i++)
		ck_assert_uint_eq(go_on(0, GMIG_BLOCK_PAGES, true), ++joined);
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < 3; i++)
			ck_assert_uint_eq(go_on(0, GMIG_BLOCK_PAGES, false), joined);
		for (unsigned int i = 0; i < 4; i++)
			ck_assert_uint_eq(go_on(100 * i, 100, true), joined);
		ck_assert_uint_eq(go_on(400, 112, true), ++joined);
	}
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(go_on(0, GMIG_BLOCK_PAGES, false), joined);
	ck_assert_uint_eq(go_on(0, GMIG_BLOCK_PAGES, true), joined);
	end();
}
END_TEST

START_TEST(block_that_is_to_be_split_is_not_joined)
{
	if (!start_huge(GMIG_HUGE_SPLIT))
		return;
	move(ticket);
	ck_assert_uint_eq(atomic_load(&job.thp_split), 1);
	ck_assert_uint_eq(atomic_load(&job.thp_joined), 0);
	end();
}
END_TEST

/* ---- Made ahead --------------------------------------------------------------------------------- */

static atomic_int zeroers, zeroers_ever;

static void count_zeroers(void *opaque, const struct gmig_thread *thread, bool begins)
{
	(void)opaque;
	if (thread->kind != GMIG_THREAD_ZERO)
		return;
	atomic_fetch_add(&zeroers, begins ? 1 : -1);
	atomic_fetch_add(&zeroers_ever, begins);
}

static void start_zeroer(const struct gmig_job_spec *changes, uint64_t extra_bytes_max, bool single)
{
	struct gmig_job_spec spec = rig_spec(0, 1);
	struct gmig_error err = {0};

	sys = gmig_sys_real;
	sys.advise = advise_or_not;
	rig_create(&rig, &(struct rig_options){.bytes = BYTES,
					       .small_pages = true,
					       .extra_bytes_max = extra_bytes_max,
					       .thread = count_zeroers,
					       .sys = &sys});
	spec.threads = 1;
	spec.mode = changes->mode;
	spec.frames = changes->frames;
	job = (struct mover_job){.memory = &rig.gmig->memory,
				 .topology = rig.topology,
				 .spec = spec,
				 .id = JOB_ID,
				 .single = single};
	ck_assert_int_eq(mover_uffd.begin(&job, &err), 0);
}

static void end_zeroer(void)
{
	mover_uffd.end(&job);
	ck_assert_int_eq(atomic_load(&zeroers), 0);
	rig_assert_clean(&rig);
	rig_destroy(&rig);
}

/* As many as blocks are left, and no more than a batch; what waits for a touch is not ahead any more. */
START_TEST(frames_are_made_ahead_for_the_blocks_that_are_left)
{
	static const struct {
		enum gmig_mode mode;
		size_t ahead;
		unsigned int blocks;
	} cases[] = {{GMIG_MODE_READABLE, 0, 0},
		     {GMIG_MODE_READABLE, 3, 3},
		     {GMIG_MODE_BLOCK, FRAME_BATCH, FRAME_BATCH},
		     {GMIG_MODE_READABLE, 100, FRAME_BATCH},
		     {GMIG_MODE_LAZY, 0, FRAME_BATCH}};
	const struct gmig_job_spec how = {.mode = cases[_i].mode, .frames = GMIG_FRAMES_FRESH};
	struct uffd_zeroer *zeroer;

	start_zeroer(&how, 0, false);
	atomic_store(&job.ahead, cases[_i].ahead);
	zeroer = uffd_zeroer_start(&job, 5);
	ck_assert_ptr_nonnull(zeroer);
	/* Nobody has said where to. */
	ck_assert_uint_eq(pooled(0) + pooled(1), 0);
	uffd_zeroer_wake(zeroer, 0, 1, false);
	while (pooled(1) < cases[_i].blocks * GMIG_BLOCK_BYTES)
		sched_yield();
	uffd_zeroer_stop(zeroer);
	ck_assert_uint_eq(pooled(1), cases[_i].blocks * GMIG_BLOCK_BYTES);
	ck_assert_uint_eq(pooled(0), 0);
	ck_assert_int_eq(atomic_load(&zeroers_ever), 1);
	end_zeroer();
}
END_TEST

START_TEST(nothing_is_made_ahead_for_a_node_that_is_full)
{
	const struct gmig_job_spec how = {.mode = GMIG_MODE_READABLE, .frames = GMIG_FRAMES_FRESH};
	struct uffd_zeroer *zeroer;

	start_zeroer(&how, 0, false);
	atomic_store(&job.ahead, 8);
	zeroer = uffd_zeroer_start(&job, 5);
	uffd_zeroer_wake(zeroer, 0, 1, true);
	uffd_zeroer_wake(zeroer, 0, 1, true);
	uffd_zeroer_stop(zeroer);
	ck_assert_uint_eq(pooled(1), 0);
	uffd_zeroer_stop(NULL);
	end_zeroer();
}
END_TEST

/* A job for one block, frames that go round on fake nodes, and an engine that may have too little beside. */
START_TEST(job_that_needs_none_ahead_has_no_zeroer)
{
	const struct gmig_job_spec how = {.mode = GMIG_MODE_READABLE,
					  .frames = _i == 1 ? GMIG_FRAMES_AUTO : GMIG_FRAMES_FRESH};

	start_zeroer(&how, _i == 2 ? FRAME_BATCH * GMIG_BLOCK_BYTES - GMIG_BLOCK_BYTES : 0,
		     _i == 0);
	atomic_store(&job.ahead, 8);
	ck_assert_ptr_null(uffd_zeroer_start(&job, 5));
	ck_assert_int_eq(atomic_load(&zeroers_ever), 0);
	end_zeroer();
}
END_TEST

/* ---- Samples ------------------------------------------------------------------------------------ */

static void check_sample(const struct sample *sample, unsigned int first, unsigned int count,
			 unsigned int node)
{
	ck_assert_uint_eq(bits_count(&sample->ticket.pages), count);
	for (unsigned int i = first; i < first + count; i++)
		ck_assert(bits_get(&sample->ticket.pages, i));
	ck_assert_uint_eq(sample->ticket.from, node);
	ck_assert_uint_eq(sample->ticket.to, node);
	ck_assert_uint_eq(sample->ticket.block_gfn, GMIG_BLOCK_PAGES);
	ck_assert_int_eq(sample->ticket.mode, GMIG_MODE_LAZY);
}

/* Pages first..first+count of the second block are on node 1. */
static void put_on_node_1(unsigned int first, unsigned int count)
{
	renew(ticket);
	ticket->block_gfn = GMIG_BLOCK_PAGES;
	bits_clear_all(&ticket->pages);
	bits_set_range(&ticket->pages, first, count);
	move(ticket);
	ck_assert_uint_eq(bits_count(&ticket->moved), count);
}

START_TEST(sample_is_a_part_of_the_block_whose_pages_are_on_one_node)
{
	const unsigned int parts = GMIG_BLOCK_PAGES / SAMPLE_PAGES;
	struct sample sample;
	bool empty = true;

	start(true, NULL);
	for (unsigned int part = 0; part < 2 * parts; part++) {
		ck_assert(sample_choose(rig.gmig, GMIG_BLOCK_PAGES, part, &sample, &empty));
		check_sample(&sample, part % parts * SAMPLE_PAGES, SAMPLE_PAGES, 0);
		ck_assert(!empty);
		ck_assert(!sample.ticket.huge);
	}
	/* The first page of the part says which node: 0, where the rest is elsewhere. */
	put_on_node_1(SAMPLE_PAGES + 10, 20);
	ck_assert(sample_choose(rig.gmig, GMIG_BLOCK_PAGES, 1, &sample, &empty));
	ck_assert_uint_eq(bits_count(&sample.ticket.pages), SAMPLE_PAGES - 20);
	ck_assert(bits_get(&sample.ticket.pages, SAMPLE_PAGES + 9));
	ck_assert(!bits_get(&sample.ticket.pages, SAMPLE_PAGES + 10));
	ck_assert_uint_eq(sample.ticket.from, 0);
	put_on_node_1(SAMPLE_PAGES, 1);
	ck_assert(sample_choose(rig.gmig, GMIG_BLOCK_PAGES, 1, &sample, &empty));
	ck_assert_uint_eq(bits_count(&sample.ticket.pages), 21);
	ck_assert_uint_eq(sample.ticket.from, 1);
	end();
}
END_TEST

START_TEST(sample_of_memory_that_is_not_there_is_none)
{
	struct sample sample;
	bool empty = false;
	size_t done;

	start(true, NULL);
	ck_assert_int_eq(gmig_discard(rig.gmig, (const void *)rig_page(&rig, GMIG_BLOCK_PAGES),
				      GMIG_BLOCK_BYTES, &done),
			 0);
	ck_assert_uint_eq(done, GMIG_BLOCK_BYTES);
	ck_assert(!sample_choose(rig.gmig, GMIG_BLOCK_PAGES, 0, &sample, &empty));
	ck_assert(empty);
	/* One page of another part: nothing to take, and not empty. */
	rig_write_page(&rig, GMIG_BLOCK_PAGES + 100);
	rig_settle(&rig);
	ck_assert(!sample_choose(rig.gmig, GMIG_BLOCK_PAGES, 0, &sample, &empty));
	ck_assert(!empty);
	ck_assert(sample_choose(rig.gmig, GMIG_BLOCK_PAGES, 1, &sample, &empty));
	check_sample(&sample, 100, 1, 0);
	for (uint64_t page = GMIG_BLOCK_PAGES; page < 2 * GMIG_BLOCK_PAGES; page++)
		rig_write_page(&rig, page);
	end();
}
END_TEST

START_TEST(sample_of_a_huge_page_is_all_of_it)
{
	struct sample sample;
	bool empty = true;

	if (!start_huge(GMIG_HUGE_PREFER))
		return;
	ck_assert(sample_choose(rig.gmig, GMIG_BLOCK_PAGES, 3, &sample, &empty));
	check_sample(&sample, 0, GMIG_BLOCK_PAGES, 0);
	ck_assert(sample.ticket.huge && !empty);
	put_on_node_1(0, GMIG_BLOCK_PAGES);
	ck_assert(sample_choose(rig.gmig, GMIG_BLOCK_PAGES, 3, &sample, &empty));
	check_sample(&sample, 0, GMIG_BLOCK_PAGES, 1);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uffd_frames");
	TCase *tcase = tcase_create("uffd_frames");

	tcase_add_test(tcase, ticket_gets_a_frame_for_each_page_and_a_place_to_leave_to);
	tcase_add_test(tcase, ticket_without_pages_gets_nothing);
	tcase_add_test(tcase, job_may_use_as_much_beside_as_the_engine_may);
	tcase_add_loop_test(tcase, huge_ticket_gets_huge_frames, 0, 2);
	tcase_add_test(tcase, huge_ticket_gets_small_frames_where_there_are_no_huge_ones);
	tcase_add_test(tcase, huge_ticket_that_is_to_stay_huge_gets_nothing_where_there_are_none);
	tcase_add_test(tcase, huge_ticket_gets_small_frames_of_a_node_that_cannot_be_looked_at);
	tcase_add_test(tcase, huge_ticket_that_is_to_be_split_gets_small_frames);
	tcase_add_test(tcase,
		       node_that_refuses_four_times_in_a_row_is_not_asked_again_in_this_pass);
	tcase_add_test(tcase, ticket_without_a_place_to_leave_to_gives_its_frames_back);
	tcase_add_test(tcase, no_more_blocks_wait_than_four_pools_have_places_for);
	tcase_add_test(tcase, block_that_waits_where_it_is_needs_no_place);
	tcase_add_loop_test(tcase, frames_that_became_free_serve_the_next_block, 0, 2);
	tcase_add_test(tcase, job_with_fresh_frames_drops_those_that_were_used);
	tcase_add_test(tcase, slots_of_a_lost_block_are_kept);
	tcase_add_test(tcase, huge_block_goes_and_its_frame_stays_whole);
	tcase_add_test(tcase,
		       huge_block_that_went_in_pieces_is_joined_and_its_frames_go_to_the_kernel);
	tcase_add_test(tcase, job_that_could_not_join_four_blocks_in_a_row_joins_no_more);
	tcase_add_test(tcase, block_that_is_to_be_split_is_not_joined);
	tcase_add_loop_test(tcase, frames_are_made_ahead_for_the_blocks_that_are_left, 0, 5);
	tcase_add_test(tcase, nothing_is_made_ahead_for_a_node_that_is_full);
	tcase_add_loop_test(tcase, job_that_needs_none_ahead_has_no_zeroer, 0, 3);
	tcase_add_test(tcase, sample_is_a_part_of_the_block_whose_pages_are_on_one_node);
	tcase_add_test(tcase, sample_of_memory_that_is_not_there_is_none);
	tcase_add_test(tcase, sample_of_a_huge_page_is_all_of_it);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
