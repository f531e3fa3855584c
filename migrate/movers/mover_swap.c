/*
 * The mover `swap`: pages are evicted to swap, and come back on another node. So Linux's page migration began: "Swap Migration V4"
 * by Christoph Lameter, 2005.
 *
 *   move       the block's policy prefers the target - evict - look - read in - ask where it lies; again what did not come;
 *              the region's own policy
 *
 * (a) Nobody waits for this mover. To userfaultfd a page in swap is not missing: whoever touches it reads it in by itself, and by the
 * same policy. (b) Nothing is out of the guest's reach, so that there is nothing to put back: what could not be evicted was there all
 * the time, and what is in swap when the mover gives up is read in, wherever that is.
 *
 * A page that was written to a slow device keeps its frame in the swap cache until somebody reclaims it, and who touches it gets that
 * frame. Then it has to be mapped and evicted again: its copy in swap is good by then, so that the frame goes. mincore(2) tells
 * such pages from those that have no frame any more. A guest that writes to the page meanwhile has it written out anew. Hence PASSES.
 *
 * Where the pages are large they are split, and joined again at the end (rejoin.h).
 */
#include "../core/room.h"
#include "../memory/rejoin.h"
#include "mover.h"
#include "swap_in.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BLOCKS	      8 /* of a round: that much of a guest is in swap at a time, for each worker */
#define PASSES	      8
#define BUSY_PASSES   2		 /* for what has never been seen out */
#define PAUSE_NS      4000000ull /* before the second pass, and twice as long each time */
#define RESTORE_TRIES 10
#define RESTORE_NS    1000000ull
#define JOIN_FAILURES 4

#define PAGEMAP_PRESENT	  (1ull << 63)
#define PAGEMAP_EXCLUSIVE (1ull << 56)

struct swap_job {
	atomic_uint join_failures; /* in a row */
};

/* A block that is worked on. */
struct block {
	struct gmig *gmig;
	const struct region *region;
	struct mover_ticket *ticket;
	bool placed;	       /* its policy is not its region's */
	struct bits left;      /* pages that are not done with */
	struct bits swapped;   /* of these, in swap as they were looked at last: read in next */
	struct bits out;       /* of these, without a frame anywhere */
	bool is_slow;	       /* some of these have one still: they are being written out */
	struct bits zero;      /* of those left: the shared zero page */
	struct bits was_out;   /* could be evicted, at least once */
	struct bits elsewhere; /* had no frame, and yet came to another node */
};

struct swap_worker {
	struct block block[BLOCKS];
};

static struct gmig *gmig_of(const struct mover_worker *worker)
{
	return engine_of(worker->job->memory);
}

/* ---- A job ----------------------------------------------------------------------------------------- */

static int check_options(const struct gmig_job_spec *spec, struct gmig_error *err)
{
	if (spec->frames != GMIG_FRAMES_AUTO)
		return gmig_fail(err, -EINVAL, "mover swap takes its frames from the kernel alone");
	if (spec->batch_pages)
		return gmig_fail(err, -EINVAL, "mover swap chooses its batches itself");
	if (spec->hold_vcpus)
		return gmig_fail(err, -EINVAL, "mover swap holds no vCPUs");
	if (spec->huge == GMIG_HUGE_KEEP)
		return gmig_fail(err, -EINVAL, "mover swap breaks huge pages up: it keeps none");
	if (spec->max_stall_ns)
		return gmig_fail(err, -EINVAL,
				 "mover swap keeps no stall budget: who touches a page that is in "
				 "swap waits for the swap device");
	if (spec->move_all)
		return gmig_fail(err, -EINVAL,
				 "the kernel evicts no page that other processes map, too: not "
				 "with mover swap");
	return 0;
}

static int swap_check(const struct memory *memory, const struct gmig_job_spec *spec,
		      struct gmig_error *err)
{
	const struct gmig *gmig = (const struct gmig *)memory;
	int ret = check_options(spec, err);
	struct room room;

	if (ret)
		return ret;
	if (gmig->options.lock_memory)
		return gmig_fail(err, -EPERM,
				 "this guest's memory is locked (mlock): it cannot be evicted");
	gmig->sys->swap_room(&room);
	if (room_is_unknown(&room))
		return gmig_fail(err, -EAGAIN,
				 "mover swap needs swap, and how much there is could not be looked "
				 "at (%s): try again",
				 strerror(room.unread));
	if (room.bytes < GMIG_BLOCK_BYTES)
		return gmig_fail(err, -ENOSPC, "mover swap needs swap: %s leaves %llu KiB of it",
				 !strcmp(room.limit, "host") ? "this host" : room.limit,
				 (unsigned long long)room.bytes >> 10);
	return 0;
}

static int swap_begin(struct mover_job *job, struct gmig_error *err)
{
	job->state = calloc(1, sizeof(struct swap_job));
	return job->state ? 0 : gmig_fail(err, -ENOMEM, "no memory for a job");
}

static void swap_end(struct mover_job *job)
{
	free(job->state);
	job->state = NULL;
}

static int swap_worker_begin(struct mover_worker *worker)
{
	worker->state = calloc(1, sizeof(struct swap_worker));
	return worker->state ? 0 : -EAGAIN;
}

static void swap_worker_end(struct mover_worker *worker)
{
	free(worker->state);
	worker->state = NULL;
}

/* What is in swap already is halfway there. */
static int swap_prepare(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct room room;

	if (!ticket->huge)
		swap_in(worker, ticket);
	gmig_of(worker)->sys->swap_room(&room);
	return room.bytes < bits_count(&ticket->pages) * GMIG_PAGE_BYTES ? -ENOSPC : 0;
}

/* ---- Results --------------------------------------------------------------------------------------- */

static void set_error(struct mover_ticket *ticket, const struct bits *pages, int error)
{
	for (unsigned int i = bits_next(pages, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(pages, i + 1, true))
		ticket->error[i] = (int16_t)error;
}

/* They stay, and are not tried again in this round. */
static void give_up(struct block *block, const struct bits *pages, int error)
{
	set_error(block->ticket, pages, error);
	bits_remove(&block->left, pages);
}

/* ---- Where it comes back to ------------------------------------------------------------------------ */

static uint8_t *block_start(const struct block *block)
{
	return region_hva(block->region, block->ticket->block_gfn);
}

/*
 * All of the block, so that its pages are in one mapping: UFFDIO_MOVE, by which another job may move the others, takes no run that
 * is in two. engine.lock: the region's preference must not change between the two.
 */
static int prefer(const struct block *block, bool target)
{
	struct gmig *gmig = block->gmig;
	unsigned int node;
	int ret;

	pthread_mutex_lock(&gmig->lock);
	node = target ? block->ticket->to : atomic_load(&block->region->preferred_node);
	ret = gmig->sys->prefer_node(block_start(block), GMIG_BLOCK_BYTES, (int)node);
	pthread_mutex_unlock(&gmig->lock);
	return ret;
}

/* Of a job that all memory follows the region prefers the target already; fake nodes have no policy. */
static void place(struct block *block)
{
	int ret;

	if (block->gmig->fake || atomic_load(&block->region->preferred_node) == block->ticket->to)
		return;
	ret = prefer(block, true);
	block->placed = !ret;
	if (ret)
		give_up(block, &block->ticket->pages, ret == -EPERM ? -EPERM : -EAGAIN);
}

static void unplace(struct block *block)
{
	const struct gmig_sys *sys = block->gmig->sys;
	int ret;

	if (!block->placed)
		return;
	for (unsigned int i = 0; (ret = prefer(block, false)) && i < RESTORE_TRIES; i++)
		sys->sleep_ns(RESTORE_NS);
	if (ret)
		engine_log(block->gmig, GMIG_LOG_WARNING,
			   "event=swap gfn=0x%llx errno=%s text=\"memory that the kernel gives to "
			   "this block comes from node %u still\"",
			   (unsigned long long)block->ticket->block_gfn, gmig_errno_name(ret),
			   block->ticket->to);
}

/* ---- The steps of a pass --------------------------------------------------------------------------- */

/*
 * EINVAL: it has been locked. The kernel ends the call at such a page, and does not say which one it was: what is before it may be
 * out by then, and has to be read in again, and what is behind it has not been tried.
 */
static void evict_run(struct block *block, unsigned int first, unsigned int count)
{
	int ret = block->gmig->sys->advise(block_start(block) + first * GMIG_PAGE_BYTES,
					   count * GMIG_PAGE_BYTES, MADV_PAGEOUT);
	struct bits page = {{0}};

	if (!ret)
		return;
	for (unsigned int i = first; count > 1 && i < first + count; i++)
		evict_run(block, i, 1);
	bits_set(&page, first);
	if (count == 1)
		give_up(block, &page, ret == -EINVAL || ret == -EPERM ? -EPERM : -EAGAIN);
}

static void evict(struct block *block)
{
	unsigned int first = 0, count;

	while ((count = bits_run(&block->left, &first))) {
		evict_run(block, first, count);
		first += count;
	}
}

/* Of what is unmapped: what has no frame any more, not even in the swap cache. */
static void find_out(struct block *block, const struct bits *unmapped)
{
	unsigned char in_core[GMIG_BLOCK_PAGES];
	int ret;

	if (bits_empty(unmapped))
		return;
	block->out = block->swapped;
	ret = block->gmig->sys->in_core(block_start(block), GMIG_BLOCK_BYTES, in_core);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (ret || in_core[i] & 1)
			bits_clear_range(&block->out, i, 1);
	block->is_slow = bits_count(&block->out) < bits_count(unmapped);
}

static void look(struct block *block)
{
	struct gmig *gmig = block->gmig;
	struct bits unmapped, gone = block->left;
	struct uffd_scan scan;

	bits_clear_all(&block->swapped);
	bits_clear_all(&block->out);
	bits_clear_all(&block->zero);
	block->is_slow = false;
	if (uffd_scan(gmig->sys, gmig->pagemap, block_start(block), &scan))
		return;
	unmapped = block->left;
	bits_remove(&unmapped, &scan.present);
	bits_add(&unmapped, &scan.swapped);
	bits_keep(&unmapped, &block->left);
	bits_add(&block->was_out, &unmapped);
	/* Of a file, the page tables show nothing of what is in swap. */
	if (block->region->kind->kernel_fills &&
	    block->region->kind->scan(gmig, block->region, block->ticket->block_gfn, &scan))
		return;
	block->swapped = scan.swapped;
	bits_keep(&block->swapped, &block->left);
	block->zero = scan.zero;
	bits_keep(&block->zero, &block->left);
	bits_remove(&gone, &scan.present);
	bits_add(&block->ticket->gone, &gone);
	bits_remove(&block->left, &gone);
	bits_keep(&unmapped, &block->left);
	find_out(block, &unmapped);
}

/* Nothing is read in before all was looked at: who reads swap reads ahead. */
static void evict_and_look(struct block *block)
{
	evict(block);
	look(block);
}

/*
 * Pages of zeros that a huge page had when it was split have no frame any more: they get one of their own, which is on the target.
 * What nobody has told of is a hole by now is filled with zeros at once (claim.h).
 */
static void bring_in(struct block *block)
{
	struct mover_ticket *ticket = block->ticket;
	unsigned int first = 0, count;

	claim_read_begin(&ticket->claim);
	while ((count = bits_run(&block->swapped, &first))) {
		swap_read_in(block->gmig, block->region, ticket, first, count);
		first += count;
	}
	first = 0;
	while ((count = bits_run(&block->zero, &first))) {
		block->gmig->sys->advise(block_start(block) + first * GMIG_PAGE_BYTES,
					 count * GMIG_PAGE_BYTES, MADV_POPULATE_WRITE);
		first += count;
	}
	claim_read_end(&ticket->claim);
	for (unsigned int i = bits_next(&block->swapped, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&block->swapped, i + 1, true))
		if (ticket->error[i] == -EIO)
			bits_clear_range(&block->left, i, 1);
}

/* A page came where the policy says that it does not, as long as the target has memory. */
static void came_elsewhere(struct block *block, unsigned int page)
{
	struct bits one = {{0}};

	if (!bits_get(&block->out, page))
		return;
	bits_set(&one, page);
	/* Once may be somebody else's doing: who reads swap reads ahead. */
	if (bits_get(&block->elsewhere, page))
		give_up(block, &one, -ENOMEM);
	else
		bits_set(&block->elsewhere, page);
}

static void judge_by_node(struct block *block)
{
	uint64_t gfns[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];
	unsigned int count = 0;

	for (unsigned int i = bits_next(&block->left, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&block->left, i + 1, true))
		gfns[count++] = block->ticket->block_gfn + i;
	if (!count || block->region->kind->query(block->gmig, block->region, count, gfns, status))
		return;
	for (unsigned int k = 0; k < count; k++) {
		unsigned int page = (unsigned int)(gfns[k] - block->ticket->block_gfn);

		if (status[k] == (int)block->ticket->to) {
			bits_set(&block->ticket->moved, page);
			bits_clear_range(&block->left, page, 1);
		} else if (status[k] >= 0) {
			came_elsewhere(block, page);
		}
	}
}

/* On fake nodes, what had no frame and has one has moved. */
static void judge_by_frame(struct block *block)
{
	struct bits moved = block->out;
	struct uffd_scan scan;

	if (block->region->kind->scan(block->gmig, block->region, block->ticket->block_gfn, &scan))
		return;
	bits_add(&moved, &block->zero);
	bits_keep(&moved, &scan.present);
	bits_remove(&moved, &scan.swapped);
	bits_add(&block->ticket->moved, &moved);
	bits_remove(&block->left, &moved);
}

static void judge(struct block *block)
{
	if (block->gmig->fake)
		judge_by_frame(block);
	else
		judge_by_node(block);
}

/* ---- What stays, and why --------------------------------------------------------------------------- */

/* Others map it, too: the kernel leaves such pages alone. */
static void find_shared(const struct block *block, struct bits *shared)
{
	uint64_t word[GMIG_BLOCK_PAGES] = {0};
	off_t at = (off_t)((uintptr_t)block_start(block) / GMIG_PAGE_BYTES * sizeof(word[0]));

	bits_clear_all(shared);
	if (!block->region->kind->kernel_fills ||
	    block->gmig->sys->pread(block->gmig->pagemap, word, sizeof(word), at) !=
		(ssize_t)sizeof(word))
		return;
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (word[i] & PAGEMAP_PRESENT && !(word[i] & PAGEMAP_EXCLUSIVE))
			bits_set(shared, i);
}

/* What was never seen out of its frame: pinned, shared, touched before each look, or there is no swap for it any more. */
static void leave_busy(struct block *block)
{
	struct bits busy = block->left, shared;
	struct room room;

	bits_remove(&busy, &block->was_out);
	if (bits_empty(&busy))
		return;
	find_shared(block, &shared);
	bits_keep(&shared, &busy);
	bits_remove(&busy, &shared);
	give_up(block, &shared, -EACCES);
	block->gmig->sys->swap_room(&room);
	give_up(block, &busy, room.bytes < bits_count(&busy) * GMIG_PAGE_BYTES ? -ENOSPC : -EBUSY);
}

/* Split it is 512 entries, as the kernel has it; without memory for them the audit will see to that. */
static void note_split(struct mover_worker *worker, struct block *block, bool huge)
{
	struct mover_ticket *ticket = block->ticket;

	if (!ticket->huge || huge)
		return;
	ticket->split = true;
	atomic_fetch_add(&worker->job->thp_split, 1);
	claim_split(&ticket->claim);
}

/* To the books what is in swap lies on no node, also if it cannot be read in now. */
static void close_block(struct mover_worker *worker, struct block *block)
{
	struct mover_ticket *ticket = block->ticket;
	struct uffd_scan scan;

	unplace(block);
	for (unsigned int i = bits_next(&block->left, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&block->left, i + 1, true))
		if (!ticket->error[i])
			ticket->error[i] = -EAGAIN;
	if (block->region->kind->scan(block->gmig, block->region, ticket->block_gfn, &scan))
		return;
	note_split(worker, block, scan.huge);
	ticket->broken = ticket->pages;
	bits_remove(&ticket->broken, &ticket->moved);
	bits_keep(&ticket->broken, &scan.swapped);
}

/* ---- A round --------------------------------------------------------------------------------------- */

static void each_block(struct swap_worker *own, unsigned int count, void (*step)(struct block *))
{
	for (unsigned int i = 0; i < count; i++)
		if (!bits_empty(&own->block[i].left))
			step(&own->block[i]);
}

/* Whoever touches one of these pages meanwhile waits for less long than this takes. */
static uint64_t pass_run(struct mover_worker *worker, unsigned int count)
{
	const struct gmig_sys *sys = worker->job->memory->sys;
	struct swap_worker *own = worker->state;
	uint64_t begin_ns = sys->now_ns(), took_ns;

	each_block(own, count, evict_and_look);
	each_block(own, count, bring_in);
	took_ns = sys->now_ns() - begin_ns;
	each_block(own, count, judge);
	hist_record(&worker->job->call, took_ns);
	return took_ns;
}

enum wanted { DONE, AGAIN, AFTER_PAUSE };

/* Is there something that another pass could bring? What is written out just now takes its time. */
static enum wanted wants(const struct swap_worker *own, unsigned int count)
{
	enum wanted wanted = DONE;

	for (unsigned int i = 0; i < count; i++) {
		if (bits_empty(&own->block[i].left))
			continue;
		if (own->block[i].is_slow)
			return AFTER_PAUSE;
		wanted = AGAIN;
	}
	return wanted;
}

static void swap_move(struct mover_worker *worker, struct mover_ticket **tickets,
		      unsigned int count)
{
	const struct gmig_sys *sys = worker->job->memory->sys;
	struct swap_worker *own = worker->state;
	enum wanted wanted = AGAIN;

	for (unsigned int i = 0; i < count; i++) {
		own->block[i] = (struct block){.gmig = gmig_of(worker),
					       .region = tickets[i]->claim.region,
					       .ticket = tickets[i],
					       .left = tickets[i]->pages};
		place(&own->block[i]);
	}
	for (unsigned int pass = 0; pass < PASSES && wanted != DONE; pass++) {
		uint64_t took_ns;

		if (wanted == AFTER_PAUSE)
			sys->sleep_ns(PAUSE_NS << (pass - 1));
		took_ns = pass_run(worker, count);
		tickets[0]->held_ns += took_ns;
		for (unsigned int i = 0; i < count; i++)
			if (took_ns > tickets[i]->call_ns)
				tickets[i]->call_ns = took_ns;
		if (pass + 1 >= BUSY_PASSES)
			each_block(own, count, leave_busy);
		wanted = wants(own, count);
	}
	for (unsigned int i = 0; i < count; i++)
		close_block(worker, &own->block[i]);
}

/* A block that is whole on the target becomes one huge page again; not for ever where that does not work. */
static void swap_finish(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct gmig *gmig = gmig_of(worker);
	struct swap_job *shared = worker->job->state;
	int ret;

	if (bits_empty(&ticket->moved) || !gmig->thp || ticket->claim.region->kind->kernel_fills ||
	    worker->job->spec.huge == GMIG_HUGE_SPLIT ||
	    atomic_load(&shared->join_failures) >= JOIN_FAILURES)
		return;
	ret = rejoin_block(gmig, ticket->claim.region, ticket->block_gfn, worker->job->id);
	if (!ret) {
		atomic_fetch_add(&worker->job->thp_joined, 1);
		atomic_store(&shared->join_failures, 0);
	} else if (ret != -EBUSY) {
		atomic_fetch_add(&shared->join_failures, 1);
	}
}

const struct mover mover_swap = {
    .name = "swap",
    .tickets = BLOCKS,
    .memory = BOOKS_KERNEL,
    .check = swap_check,
    .begin = swap_begin,
    .end = swap_end,
    .worker_begin = swap_worker_begin,
    .worker_end = swap_worker_end,
    .prepare = swap_prepare,
    .move = swap_move,
    .finish = swap_finish,
};
