/*
 * One block: pick the pages that go from one node to one other, get the frames, claim, move,
 * settle, note. A split block whose pages lie on several nodes takes several rounds.
 */
#include "../core/uffd.h"
#include "../memory/claim.h"
#include "job.h"

#include <errno.h>

#define FULL_ENOUGH	 4 /* refusals in a row after which a node is not asked again in this pass */
#define FRAGMENTED_BYTES (64ull << 20)

/* What one round moves. */
struct pick {
	const struct gmig_job *job;
	const struct bits *skip; /* pages that had their turn */
	uint64_t block_gfn;
	struct bits pages;
	struct bits busy; /* claimed by another job */
	uint16_t source, target;
	bool huge;
};

static int pick_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct pick *pick = arg;
	unsigned int first = (unsigned int)(gfn - pick->block_gfn);
	unsigned int count = entry->order ? GMIG_BLOCK_PAGES : 1;
	uint16_t target = GMIG_NO_NODE;

	if (bits_get(pick->skip, first) || entry->state == SHADOW_NONE)
		return 0;
	if (entry->node < GMIG_MAX_NODES)
		target = pick->job->map.to[entry->node];
	if (target == GMIG_NO_NODE)
		return 0;
	if (entry->state != SHADOW_PRESENT) {
		bits_set_range(&pick->busy, first, count);
		return 0;
	}
	if (bits_empty(&pick->pages)) {
		pick->source = entry->node;
		pick->target = target;
		pick->huge = entry->order;
	}
	if (entry->node == pick->source && target == pick->target)
		bits_set_range(&pick->pages, first, count);
	return 0;
}

static bool pick_next(struct job_worker *worker, uint64_t block_gfn, const struct bits *skip,
		      struct pick *pick)
{
	*pick = (struct pick){.job = worker->job, .skip = skip, .block_gfn = block_gfn};
	shadow_walk(worker->job->gmig->shadow, block_gfn, GMIG_BLOCK_PAGES, pick_visit, pick);
	return !bits_empty(&pick->pages) || !bits_empty(&pick->busy);
}

static int wanted_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct pick *pick = arg;

	return bits_get(&pick->pages, (unsigned int)(gfn - pick->block_gfn)) &&
	       entry->state != SHADOW_NONE && entry->node == pick->source;
}

/* Does any page of the pick still lie where it was? */
static bool pick_wanted(void *arg)
{
	struct pick *pick = arg;

	return shadow_walk(pick->job->gmig->shadow, pick->block_gfn, GMIG_BLOCK_PAGES, wanted_visit,
			   pick);
}

/* ---- Results ------------------------------------------------------------------------------- */

static void note(struct gmig_job *job, uint64_t block_gfn, const struct bits *pages, int result)
{
	unsigned int first = 0, count;

	while ((count = bits_run(pages, &first))) {
		status_set(job->status, block_gfn + first, count, result);
		first += count;
	}
}

static void note_errors(struct gmig_job *job, const struct pick *pick, const struct bits *pages,
			const int16_t *error)
{
	unsigned int first = 0, count;

	while ((count = bits_run(pages, &first))) {
		unsigned int same = 1;

		while (same < count && error[first + same] == error[first])
			same++;
		status_set(job->status, pick->block_gfn + first, same,
			   error[first] ? error[first] : -EIO);
		first += same;
	}
}

static bool is_retried(int result)
{
	return result == STATUS_NOT_TRIED || result == -EAGAIN || result == -EBUSY ||
	       result == -ENOMEM;
}

/* A later pass must not take up what an earlier one moved: its node may be one to leave, too. */
static void skip_settled(struct gmig_job *job, uint64_t block_gfn, struct bits *skip)
{
	int result[GMIG_BLOCK_PAGES];

	status_get(job->status, block_gfn, GMIG_BLOCK_PAGES, result);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (!is_retried(result[i]))
			bits_set(skip, i);
}

/* The block is no longer one huge page: so says the table now. */
static void split(struct gmig_job *job, uint64_t block_gfn)
{
	struct stripe *stripe = engine_stripe(job->gmig, block_gfn);
	struct shadow_entry entry;

	pthread_mutex_lock(&stripe->lock);
	if (!shadow_lookup(job->gmig->shadow, block_gfn, &entry) && entry.order &&
	    entry.state == SHADOW_PRESENT &&
	    !books_split(job->gmig, engine_region_of_gfn(job->gmig, block_gfn), block_gfn))
		atomic_fetch_add(&job->thp_split, 1);
	pthread_mutex_unlock(&stripe->lock);
}

/* ---- Frames -------------------------------------------------------------------------------- */

/* Small memory is there, a huge page is not: 4K pages are better than staying. */
static bool is_fragmented(const struct gmig *gmig, unsigned int node)
{
	return gmig_topology_free_bytes(gmig->options.topology, node) > FRAGMENTED_BYTES;
}

static int take_target(struct job_worker *worker, struct pick *pick, struct slot **target)
{
	struct gmig_job *job = worker->job;
	struct frame_want want = {.node = pick->target,
				  .worker = worker->index,
				  .huge = pick->huge,
				  .clean = job->spec.frames == GMIG_FRAMES_FRESH,
				  .need = pick->pages};
	int ret;

	if (atomic_load(&job->full[pick->target]) >= FULL_ENOUGH)
		return -ENOMEM;
	ret = frame_take(job->gmig->frames, &want, target);
	if (pick->huge &&
	    (ret == -ENOSPC || (ret == -ENOMEM && is_fragmented(job->gmig, pick->target)))) {
		want.huge = false;
		ret = frame_take(job->gmig->frames, &want, target);
		if (!ret) {
			split(job, pick->block_gfn);
			pick->huge = false;
		}
	}
	if (ret == -ENOMEM)
		atomic_fetch_add(&job->full[pick->target], 1);
	else if (!ret)
		atomic_store(&job->full[pick->target], 0);
	return ret;
}

static int take_frames(struct job_worker *worker, struct pick *pick, struct slot **target,
		       struct slot **source)
{
	struct frame_want hole = {
	    .node = pick->source, .worker = worker->index, .huge = pick->huge};
	int ret = take_target(worker, pick, target);

	if (ret)
		return ret;
	ret = frame_hole(worker->job->gmig->frames, &hole, source);
	if (ret)
		frame_give(worker->job->gmig->frames, *target);
	return ret;
}

static void give_frames(struct gmig_job *job, const struct pick *pick, struct slot *target,
			struct slot *source)
{
	struct gmig *gmig = job->gmig;

	frame_give(gmig->frames, target);
	/* Placement is pretended: the frame that became free may serve as the next target. */
	if (gmig->fake && job->spec.frames != GMIG_FRAMES_FRESH)
		frame_relabel(gmig->frames, source, pick->target);
	/* Pages of a huge page that was broken up may still be parts of it, or the zero page: no
	 * good as frames. */
	if (!pick->huge && !gmig->options.small_pages)
		frame_drop(gmig->frames, source);
	else
		frame_give(gmig->frames, source);
}

/* ---- One round ----------------------------------------------------------------------------- */

static void check_huge(struct gmig_job *job, const struct pick *pick,
		       const struct mover_request *request, const struct mover_result *result)
{
	struct uffd_scan scan;

	if (!pick->huge)
		return;
	if (result->split) {
		split(job, pick->block_gfn);
		return;
	}
	if (!uffd_scan(job->gmig->sys, job->gmig->pagemap,
		       region_hva(request->region, pick->block_gfn), &scan) &&
	    !scan.huge && !bits_empty(&scan.present))
		split(job, pick->block_gfn);
}

/* Both slots are ours. Returns how many pages moved. */
static unsigned int round_move(struct job_worker *worker, struct pick *pick, struct slot *target,
			       struct slot *source, struct mover_result *result)
{
	struct gmig_job *job = worker->job;
	struct mover_request request = {
	    .gmig = job->gmig,
	    .region = engine_region_of_gfn(job->gmig, pick->block_gfn),
	    .block_gfn = pick->block_gfn,
	    .mode = job->spec.mode,
	    .batch_pages = job->spec.batch_pages,
	    .huge = pick->huge,
	    .target = target,
	    .source = source,
	    .blackout_read = &job->blackout_read,
	    .blackout_write = &job->blackout_write,
	};
	struct claim claim = {
	    .gmig = job->gmig,
	    .region = request.region,
	    .block_gfn = pick->block_gfn,
	    .huge = pick->huge,
	    .from = pick->source,
	    .to = pick->target,
	    .owner = job->id,
	    .memory = BOOKS_SLOT,
	    .pages = pick->pages,
	};
	struct bits refused, stayed;

	claim_take(&claim, &refused);
	note(job, pick->block_gfn, &refused, -EBUSY);
	request.pages = stayed = pick->pages = claim.pages;
	if (bits_empty(&claim.pages))
		return 0;
	job->mover->move(&request, result);
	bits_remove(&stayed, &result->moved);
	bits_remove(&stayed, &result->gone);
	if (result->lost)
		claim_abandon(&claim);
	else
		claim_settle(&claim,
			     &(struct claim_result){result->moved, result->gone, &job->stall});
	note(job, pick->block_gfn, &result->moved, pick->target);
	note(job, pick->block_gfn, &result->gone, -ENOENT);
	note_errors(job, pick, &stayed, result->error);
	if (!result->lost)
		check_huge(job, pick, &request, result);
	return bits_count(&result->moved);
}

/* What stayed of the pages that were picked says why in `result`, unless nothing was tried. */
static int first_error(const struct bits *pages, const struct mover_result *result)
{
	unsigned int i = bits_next(pages, 0, true);

	if (bits_empty(pages))
		return -EBUSY; /* another job was faster */
	while (i < GMIG_BLOCK_PAGES && (bits_get(&result->moved, i) || bits_get(&result->gone, i)))
		i = bits_next(pages, i + 1, true);
	if (i >= GMIG_BLOCK_PAGES)
		return 0;
	return result->error[i] ? result->error[i] : -EIO;
}

/* ret: why no frames were had. */
static void round_trace(const struct job_worker *worker, const struct pick *pick,
			const struct mover_result *result, uint64_t begin_ns, int ret)
{
	struct gmig_job *job = worker->job;
	const struct gmig_trace_record record = {
	    .gpa = pick->block_gfn * GMIG_PAGE_BYTES,
	    .begin_ns = begin_ns - job->start_ns,
	    .end_ns = job->gmig->sys->now_ns() - job->start_ns,
	    .blackout_read_ns = result->blackout_read_ns,
	    .blackout_write_ns = result->blackout_write_ns,
	    .pages = bits_count(&pick->pages),
	    .moved_pages = bits_count(&result->moved),
	    .from = pick->source,
	    .to = pick->target,
	    .worker = (uint8_t)worker->number,
	    .huge = pick->huge,
	    .error = ret ? ret : first_error(&pick->pages, result),
	};

	trace_add(job->trace, &record);
}

/* Returns how many pages were tried: pages that another job was faster with, or that no frame was
 * had for, were not. */
static unsigned int round_run(struct job_worker *worker, struct pick *pick)
{
	struct gmig_job *job = worker->job;
	uint64_t begin_ns = job->trace ? job->gmig->sys->now_ns() : 0;
	struct mover_result result;
	struct slot *target, *source;
	int ret;

	memset(&result, 0, sizeof(result));
	atomic_store(&worker->target, pick->target);
	atomic_store(&worker->source, pick->source);
	ret = take_frames(worker, pick, &target, &source);
	if (ret) {
		note(job, pick->block_gfn, &pick->pages, ret == -ENOMEM ? ret : -EAGAIN);
	} else {
		unsigned int moved;

		moved = round_move(worker, pick, target, source, &result);
		if (result.lost) /* a slot holds the guest's content: it is nobody's frame */
			return bits_count(&pick->pages);
		give_frames(job, pick, target, source);
		atomic_fetch_add(&job->moved_bytes, moved * GMIG_PAGE_BYTES);
		atomic_fetch_sub(&job->total_bytes, bits_count(&result.gone) * GMIG_PAGE_BYTES);
	}
	if (job->trace)
		round_trace(worker, pick, &result, begin_ns, ret);
	return ret ? 0 : bits_count(&pick->pages);
}

bool job_block(struct job_worker *worker, uint64_t block_gfn)
{
	struct bits skip = {{0}};
	unsigned int pages;
	struct pick pick;

	if (worker->again)
		skip_settled(worker->job, block_gfn, &skip);
	while (pick_next(worker, block_gfn, &skip, &pick)) {
		note(worker->job, block_gfn, &pick.busy, -EBUSY);
		bits_add(&skip, &pick.busy);
		bits_add(&skip, &pick.pages);
		if (bits_empty(&pick.pages))
			continue;
		pages = bits_count(&pick.pages);
		switch (job_admit(worker->job, pages * GMIG_PAGE_BYTES, pick_wanted, &pick)) {
		case JOB_REFUSED:
			return false;
		case JOB_UNWANTED:
			note(worker->job, block_gfn, &pick.pages, -EBUSY);
			continue;
		case JOB_ADMITTED:
			break;
		}
		pages -= round_run(worker, &pick);
		job_unspent(worker->job, pages * GMIG_PAGE_BYTES);
	}
	return true;
}

void job_block_unreached(struct gmig_job *job, uint64_t block_gfn)
{
	struct job_worker worker = {.job = job};
	struct bits skip = {{0}};
	int result[GMIG_BLOCK_PAGES];
	struct pick pick;

	status_get(job->status, block_gfn, GMIG_BLOCK_PAGES, result);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (result[i] != STATUS_NOT_TRIED)
			bits_set(&skip, i);
	while (pick_next(&worker, block_gfn, &skip, &pick)) {
		bits_add(&pick.pages, &pick.busy);
		note(job, block_gfn, &pick.pages, -ECANCELED);
		bits_add(&skip, &pick.pages);
	}
}
