#include "uffd_frames.h"

#include "../core/shortage.h"
#include "../core/uffd.h"
#include "../memory/frame.h"
#include "../memory/region.h"
#include "../memory/rejoin.h"
#include "swap_in.h"
#include "uffd_lost.h"
#include "uffd_zeroer.h"

#include <errno.h>
#include <stdlib.h>

#define FULL_ENOUGH	 4 /* refusals in a row after which a node is not asked again in this pass */
#define FRAGMENTED_BYTES (64ull << 20)
#define JOIN_FAILURES	 4 /* in a row, after which a job joins no more */

/*
 * Mode LAZY: slots that hold what waits for a touch, of several workers' pools: others need slots of these, too. The job lets no
 * more blocks wait than all of these hold.
 */
#define LAZY_POOLS 4
#define LAZY_SLOTS 16 /* of each */

/* A job's. */
struct uffd_job {
	atomic_uint waiting[LAZY_POOLS];
	atomic_uint full[GMIG_MAX_NODES]; /* times in a row that a node had no frame */
	atomic_uint join_failures;
};

/* A worker's. */
struct uffd_worker {
	unsigned int index; /* of its pools */
	struct uffd_zeroer *zeroer;
	unsigned int blocks;
};

static struct frames *frames_of(const struct mover_job *job)
{
	return engine_of(job->memory)->frames;
}

/* ---- A job --------------------------------------------------------------------------------------- */

/* Frames of another job are no use to one that wants fresh ones: they would only be memory on top. */
int uffd_frames_begin(struct mover_job *job, struct gmig_error *err)
{
	job->state = calloc(1, sizeof(struct uffd_job));
	if (!job->state)
		return gmig_fail(err, -ENOMEM, "no memory for a job");
	policy_look(engine_of(job->memory)->policy);
	job->extra_bytes_max = engine_of(job->memory)->options.extra_bytes_max;
	if (job->spec.frames == GMIG_FRAMES_FRESH)
		for (unsigned int i = 0; i < job->spec.to_count; i++)
			frame_drain(frames_of(job), job->spec.to[i]);
	return 0;
}

void uffd_frames_end(struct mover_job *job)
{
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		frame_trim(frames_of(job), node);
	free(job->state);
	job->state = NULL;
}

/* ---- A worker ------------------------------------------------------------------------------------ */

/* A thread costs memory, too, and starting one is nothing that a full cgroup could refuse. */
unsigned int uffd_frames_workers(struct mover_job *job)
{
	return policy_workers(engine_of(job->memory)->policy, job->spec.threads);
}

int uffd_frames_worker_begin(struct mover_worker *worker)
{
	struct mover_job *job = worker->job;
	struct uffd_job *shared = job->state;
	struct uffd_worker *own = calloc(1, sizeof(*own));
	int ret;

	if (!own)
		return -ENOMEM;
	ret = job->samples
		  ? 0
		  : policy_worker_enter(engine_of(job->memory)->policy, worker->number == 0);
	if (ret) {
		free(own);
		return ret;
	}
	/* Jobs start at different pools, so that they share none as long as there are enough. */
	own->index = (unsigned int)((job->id * 5 + worker->number) % GMIG_MAX_WORKERS);
	for (unsigned int node = 0; worker->number == 0 && node < GMIG_MAX_NODES; node++)
		atomic_store(&shared->full[node], 0);
	if (!job->samples)
		own->zeroer = uffd_zeroer_start(job, own->index);
	worker->state = own;
	return 0;
}

void uffd_frames_worker_end(struct mover_worker *worker)
{
	struct uffd_worker *own = worker->state;

	uffd_zeroer_stop(own->zeroer);
	if (!worker->job->samples)
		policy_worker_leave(engine_of(worker->job->memory)->policy);
	free(own);
	worker->state = NULL;
}

/* ---- Frames for a ticket --------------------------------------------------------------------------- */

/*
 * Small memory is there, a huge page is not: 4K pages are better than staying. A node that cannot be looked at is asked for them: it
 * refuses if it is full.
 */
static bool is_fragmented(const struct mover_job *job, unsigned int node)
{
	uint64_t free_bytes, cache_bytes;
	int ret = gmig_topology_room(job->topology, node, &free_bytes, &cache_bytes);

	return ret ? is_shortage(ret) : free_bytes > FRAGMENTED_BYTES;
}

/* The block is no longer one huge page: so says the table now. Caller holds no claim of it. */
static int split(struct mover_job *job, uint64_t block_gfn)
{
	struct gmig *gmig = engine_of(job->memory);
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	struct shadow_entry entry;
	int ret;

	pthread_mutex_lock(&stripe->lock);
	ret = shadow_lookup(gmig->shadow, block_gfn, &entry);
	if (!ret && entry.order && entry.state == SHADOW_PRESENT)
		ret = books_split(gmig, engine_region_of_gfn(gmig, block_gfn), block_gfn);
	else if (!ret && entry.order)
		ret = -EBUSY;
	pthread_mutex_unlock(&stripe->lock);
	if (!ret)
		atomic_fetch_add(&job->thp_split, 1);
	return ret;
}

static int take_target(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct mover_job *job = worker->job;
	struct uffd_job *shared = job->state;
	struct uffd_worker *own = worker->state;
	struct frame_want want = {.node = ticket->to,
				  .worker = own->index,
				  .huge = ticket->huge,
				  .clean = job->spec.frames == GMIG_FRAMES_FRESH,
				  .hurry = ticket->mode == GMIG_MODE_LAZY,
				  .need = ticket->pages};
	int ret;

	if (atomic_load(&shared->full[ticket->to]) >= FULL_ENOUGH)
		return -ENOMEM;
	if (want.huge && job->spec.huge == GMIG_HUGE_SPLIT)
		want.huge = false;
	ret = frame_take(frames_of(job), &want, &ticket->target);
	if (want.huge && job->spec.huge == GMIG_HUGE_PREFER &&
	    (ret == -ENOSPC || (ret == -ENOMEM && is_fragmented(job, ticket->to)))) {
		want.huge = false;
		ret = frame_take(frames_of(job), &want, &ticket->target);
	}
	if (ret == -ENOSPC)
		ret = -ENOMEM; /* of the kind that was asked for */
	ticket->demote = !ret && ticket->huge && !want.huge;
	if (ret == -ENOMEM)
		atomic_fetch_add(&shared->full[ticket->to], 1);
	else if (!ret)
		atomic_store(&shared->full[ticket->to], 0);
	return ret;
}

/*
 * The entry of a huge block that moves as small pages is split when it is claimed (uffd_frames_demote):
 * a lost race or a missing slot must not cost the guest a huge page.
 */
static int take_frames(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct uffd_worker *own = worker->state;
	struct frame_want hole = {.node = ticket->from, .worker = own->index};
	int ret = take_target(worker, ticket);

	if (ret)
		return ret;
	hole.huge = ticket->huge && !ticket->demote;
	ret = frame_hole(frames_of(worker->job), &hole, &ticket->source);
	if (ret) {
		frame_give(frames_of(worker->job), ticket->target);
		ticket->target = ticket->source = NULL;
	}
	return ret;
}

/* ---- Mode LAZY --------------------------------------------------------------------------------------- */

static bool is_in_place(const struct mover_worker *worker)
{
	return worker->job->spec.lazy == GMIG_LAZY_WRITE;
}

/* A slot to wait in. Not of this worker's pool, whose slots its moves need. */
static int take_hole(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct uffd_job *shared = worker->job->state;
	struct uffd_worker *own = worker->state;
	struct frame_want hole = {.node = ticket->from, .huge = ticket->huge};

	if (is_in_place(worker))
		return 0;
	for (unsigned int i = 0; i < LAZY_POOLS; i++) {
		hole.worker = (own->index + 1 + i) % GMIG_MAX_WORKERS;
		ticket->waits = i + 1;
		if (atomic_fetch_add(&shared->waiting[i], 1) < LAZY_SLOTS &&
		    !frame_hole(frames_of(worker->job), &hole, &ticket->source))
			return 0;
		atomic_fetch_sub(&shared->waiting[i], 1);
	}
	ticket->waits = 0;
	return -EAGAIN;
}

int uffd_frames_bring(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct uffd_worker *own = worker->state;
	int ret = is_in_place(worker) ? take_frames(worker, ticket) : take_target(worker, ticket);

	if (own->zeroer)
		uffd_zeroer_wake(own->zeroer, ticket->from, ticket->to, ret == -ENOMEM);
	return ret == 0 || ret == -ENOMEM ? ret : -EAGAIN;
}

/* ---- A huge page as small ones ------------------------------------------------------------------------- */

int uffd_frames_demote(struct mover_worker *worker, struct mover_ticket *ticket)
{
	int ret = claim_split(&ticket->claim);

	if (ret)
		return ret;
	ticket->huge = false;
	atomic_fetch_add(&worker->job->thp_split, 1);
	return 0;
}

/* ---- Before the move ------------------------------------------------------------------------------- */

int uffd_frames_prepare(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct uffd_worker *own = worker->state;
	int ret;

	if (!ticket->huge)
		swap_in(worker, ticket);
	if (bits_empty(&ticket->pages))
		return 0;
	ret = ticket->mode == GMIG_MODE_LAZY ? take_hole(worker, ticket)
					     : take_frames(worker, ticket);
	if (own->zeroer)
		uffd_zeroer_wake(own->zeroer, ticket->from, ticket->to, ret == -ENOMEM);
	return ret == 0 || ret == -ENOMEM ? ret : -EAGAIN;
}

/* ---- Where a page is ------------------------------------------------------------------------------- */

/*
 * The kernel said that a page is there already. Ours are those that have left the slot: a call moved them, and then failed or did
 * not say so (frame_move.c). How many from `page` on. Who sleeps on them is woken when the claim is settled.
 *
 * The slot need not be empty any more: a debugger that has read it since has left the zero page there (frame_filled.c). What we
 * have put there was none: a frame of the target has been written, and zero pages of the region are not moved out. The region's
 * hole is another matter, whoever reads it: before the kernel would map the zero page it asks the userfaultfd
 * (do_anonymous_page(), do_huge_pmd_anonymous_page()), so that the reader sleeps, or is refused if he may not
 * (/proc/PID/mem). A page there that is none of ours is a fault of this engine.
 */
unsigned int uffd_frames_moved(const struct mover_ticket *ticket, const struct slot *slot,
			       unsigned int page, unsigned int count)
{
	const struct claim *claim = &ticket->claim;
	struct gmig *gmig = claim->gmig;
	struct uffd_scan region, place;
	unsigned int ours = 0;

	if (claim->region->kind->scan(gmig, claim->region, claim->block_gfn, &region) ||
	    uffd_scan(gmig->sys, gmig->pagemap, slot->hva, &place))
		return 0;
	bits_remove(&place.present, &place.zero);
	while (ours < count && bits_get(&region.present, page + ours) &&
	       !bits_get(&place.present, page + ours))
		ours++;
	return ours;
}

/* ---- After the move ---------------------------------------------------------------------------------- */

/* Is the block still one huge page? Not by what was done, but by what the kernel shows. */
static void check_huge(struct mover_job *job, const struct mover_ticket *ticket)
{
	struct gmig *gmig = engine_of(job->memory);
	const struct region *region = ticket->claim.region;
	struct uffd_scan scan;

	if (!ticket->huge || bits_empty(&ticket->pages))
		return;
	if (!ticket->split && (region->kind->scan(gmig, region, ticket->block_gfn, &scan) ||
			       scan.huge || bits_empty(&scan.present)))
		return;
	if (ticket->source)
		ticket->source->split = true; /* so may be what was moved out of it */
	split(job, ticket->block_gfn);
}

/* A huge slot is whole or empty; what a move that failed halfway left in it serves nobody. */
static void give(struct frames *frames, struct slot *slot, bool whole)
{
	if (whole || bits_empty(&slot->have))
		frame_give(frames, slot);
	else
		frame_drop(frames, slot);
}

static bool is_whole(const struct slot *slot)
{
	return !slot->huge || bits_count(&slot->have) == GMIG_BLOCK_PAGES;
}

static void give_frames(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct mover_job *job = worker->job;
	struct gmig *gmig = engine_of(job->memory);
	struct frames *frames = gmig->frames;
	bool small_block = !ticket->huge && !gmig->options.small_pages;

	if (ticket->target)
		give(frames, ticket->target, is_whole(ticket->target));
	if (!ticket->source)
		return;
	/* Placement is pretended: the frame that became free may serve as the next target. */
	if (gmig->fake && ticket->target && !ticket->source->suspect &&
	    job->spec.frames != GMIG_FRAMES_FRESH)
		frame_relabel(frames, ticket->source, ticket->to);
	/* Pages of a huge page that was broken up may still be parts of it, or the zero page: no
	 * good as frames. */
	give(frames, ticket->source, is_whole(ticket->source) && !small_block);
}

static void trim(struct mover_worker *worker, const struct mover_ticket *ticket)
{
	struct uffd_worker *own = worker->state;

	if (worker->job->samples)
		return;
	if (own->zeroer)
		frame_trim_late(frames_of(worker->job), ticket->from);
	else if (own->blocks++ % FRAME_BATCH == 0)
		frame_trim(frames_of(worker->job), ticket->from);
}

/* A block that is whole on the target becomes one huge page again; not for ever where that does not work. */
static void rejoin(struct mover_worker *worker, const struct mover_ticket *ticket)
{
	struct mover_job *job = worker->job;
	struct gmig *gmig = engine_of(job->memory);
	struct uffd_job *shared = job->state;
	int ret;

	if (ticket->huge || bits_empty(&ticket->moved) || !gmig->thp ||
	    job->spec.huge == GMIG_HUGE_SPLIT ||
	    atomic_load(&shared->join_failures) >= JOIN_FAILURES)
		return;
	ret = rejoin_block(gmig, ticket->claim.region, ticket->block_gfn, job->id);
	if (!ret)
		atomic_fetch_add(&job->thp_joined, 1);
	if (!ret)
		atomic_store(&shared->join_failures, 0);
	else if (ret != -EBUSY)
		atomic_fetch_add(&shared->join_failures, 1);
}

void uffd_frames_finish(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct uffd_job *shared = worker->job->state;

	/* A slot that holds what could not be put back holds the guest's content: it is nobody's frame. */
	if (ticket->lost)
		return;
	if (ticket->waits)
		atomic_fetch_sub(&shared->waiting[ticket->waits - 1], 1);
	if (!ticket->target && !ticket->source && bits_empty(&ticket->out))
		return;
	check_huge(worker->job, ticket);
	uffd_tell_broken(engine_of(worker->job->memory), ticket);
	give_frames(worker, ticket);
	trim(worker, ticket);
	rejoin(worker, ticket);
}
