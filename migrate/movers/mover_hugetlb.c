/*
 * The mover `hugetlb`: pages of hugetlbfs go whole.
 *
 *   prepare    a page of the target node's pool, or -ENOMEM: nothing has been closed yet
 *   move       protect - scan - copy region -> page - put it in the block's place (huge_page.h), which wakes whoever sleeps
 *
 * Writers wait from the protection to the end, for the copy. Readers go on reading the old page, and wait for the exchange only.
 *
 * (a) Once protected, no write through the region reaches the old page, so that the copy is equal to it. (b) The exchange is one
 * step for everybody who touches the block: there is no hole, and so nothing to put back. What fails before it takes the protection
 * away again.
 *
 * A page of 1 GiB is 512 blocks. It moves with the first one that comes to its turn: the others are claimed, and settled, in here,
 * and count as moved along (mover.h). One worker does that, so that none waits for another's blocks. With a stall budget that the copy
 * would break it stays, with -ETIME.
 *
 * Each block that was moved has a mapping of its own. Before these get too many for the process the kernel moves the rest, by
 * move_pages(2): it needs none, and keeps readers waiting for the copy, too. So it does where a hugetlb cgroup allows the guest
 * as many pages as it has, and none beside them, as those of containers do: what the kernel moves takes its charge along
 * (hugetlb_cgroup_migrate()).
 */
#include "../core/copy.h"
#include "../core/movepages.h"
#include "../core/room.h"
#include "../core/uffd.h"
#include "../memory/huge_page.h"
#include "mover.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdlib.h>

#define FULL_ENOUGH	4 /* refusals in a row after which a node is not asked again in this pass */
#define UNPROTECT_TRIES 200
#define UNPROTECT_NS	1000000
#define CLAIM_TRIES	10
#define CLAIM_NS	1000000
#define MAP_LIMIT	65530 /* the kernel's own, where it cannot be read */

struct hugetlb_job {
	uint64_t map_limit;
	atomic_uint full[GMIG_MAX_NODES]; /* times in a row that a node had no page */
	atomic_bool group_is_full;	  /* a hugetlb cgroup allows no page more: in this pass */
	atomic_bool told_maps, told_group;
	/* Of pages that are larger than a block, of which there is one worker: why this one has just failed. */
	uint64_t failed_gfn;
	int failed;
};

/* Where there are pages that are larger than a block. */
struct hugetlb_worker {
	void *probe; /* a block, to see how long a copy takes */
	void *probe_reserved;
	struct claim claim[]; /* of the page's other blocks */
};

/* All regions of a guest are alike in that: region.c. */
static bool is_giant(const struct gmig *gmig)
{
	return gmig->stripe_pages > GMIG_BLOCK_PAGES;
}

static struct gmig *gmig_of(const struct mover_worker *worker)
{
	return engine_of(worker->job->memory);
}

/* ---- A job ----------------------------------------------------------------------------------------- */

static int hugetlb_check(const struct memory *memory, const struct gmig_job_spec *spec,
			 struct gmig_error *err)
{
	(void)memory;
	if (spec->frames == GMIG_FRAMES_RECYCLED || spec->frames > GMIG_FRAMES_RECYCLED)
		return gmig_fail(err, -EINVAL,
				 "mover hugetlb takes fresh pages from the host's pools only");
	if (spec->huge == GMIG_HUGE_SPLIT)
		return gmig_fail(err, -EINVAL, "a page of hugetlbfs cannot be split");
	if (spec->batch_pages)
		return gmig_fail(err, -EINVAL, "mover hugetlb moves whole huge pages: no batches");
	if (spec->hold_vcpus)
		return gmig_fail(err, -EINVAL, "mover hugetlb holds no vCPUs");
	return 0;
}

static int hugetlb_begin(struct mover_job *job, struct gmig_error *err)
{
	struct hugetlb_job *shared = calloc(1, sizeof(*shared));

	if (!shared)
		return gmig_fail(err, -ENOMEM, "no memory for a job");
	shared->map_limit = MAP_LIMIT;
	job->memory->sys->map_limit(&shared->map_limit);
	job->extra_bytes_max = (is_giant(engine_of(job->memory)) ? 1 : job->spec.threads) *
			       engine_of(job->memory)->stripe_pages * GMIG_PAGE_BYTES;
	job->state = shared;
	return 0;
}

static void hugetlb_end(struct mover_job *job)
{
	free(job->state);
	job->state = NULL;
}

static unsigned int hugetlb_workers(struct mover_job *job)
{
	return is_giant(engine_of(job->memory)) ? 1 : job->spec.threads;
}

static int hugetlb_worker_begin(struct mover_worker *worker)
{
	struct hugetlb_job *shared = worker->job->state;
	struct gmig *gmig = gmig_of(worker);
	size_t blocks = gmig->stripe_pages / GMIG_BLOCK_PAGES;
	struct hugetlb_worker *own;
	int ret;

	for (unsigned int node = 0; worker->number == 0 && node < GMIG_MAX_NODES; node++)
		atomic_store(&shared->full[node], 0);
	if (worker->number == 0)
		atomic_store(&shared->group_is_full, false);
	if (!is_giant(gmig))
		return 0;
	shared->failed = 0;
	own = calloc(1, sizeof(*own) + blocks * sizeof(own->claim[0]));
	if (!own)
		return -ENOMEM;
	ret = gmig_sys_map_aligned(gmig->sys, GMIG_BLOCK_BYTES, &own->probe_reserved, &own->probe);
	if (ret)
		free(own);
	else
		worker->state = own;
	return ret;
}

static void hugetlb_worker_end(struct mover_worker *worker)
{
	struct hugetlb_worker *own = worker->state;

	if (own)
		gmig_of(worker)->sys->unmap(own->probe_reserved,
					    GMIG_BLOCK_BYTES + GMIG_SYS_GUARD_BYTES);
	free(own);
	worker->state = NULL;
}

/* ---- Before the claim ------------------------------------------------------------------------------ */

/* Of pages of 1 GiB the kernel would move one and nobody note the other blocks; of fake nodes it knows nothing. */
static bool kernel_helps(const struct gmig *gmig)
{
	return !gmig->fake && !is_giant(gmig);
}

/* 0: without a page of ours, the kernel moves it. */
static int leave_to_kernel(struct mover_worker *worker, atomic_bool *told, const char *why)
{
	struct gmig *gmig = gmig_of(worker);

	if (!atomic_exchange(told, true))
		engine_log(gmig, GMIG_LOG_WARNING, "event=hugetlb job=%llu text=\"%s: %s\"",
			   (unsigned long long)worker->job->id, why,
			   kernel_helps(gmig) ? "move_pages(2) moves the rest" : "the rest stays");
	return kernel_helps(gmig) ? 0 : -ENOMEM;
}

static int maps_are_many(struct mover_worker *worker)
{
	struct hugetlb_job *shared = worker->job->state;
	char why[128];

	snprintf(why, sizeof(why),
		 "each block that moves has a mapping of its own, and vm.max_map_count is %llu",
		 (unsigned long long)shared->map_limit);
	return leave_to_kernel(worker, &shared->told_maps, why);
}

/* The node had no page. Or is it that this process may have none more? Then it is not asked again in this pass. 0, 1, or -EAGAIN: not known. */
static int group_is_full(struct mover_worker *worker, const struct region *region)
{
	struct hugetlb_job *shared = worker->job->state;
	struct gmig *gmig = gmig_of(worker);
	struct room room;

	if (atomic_load(&shared->group_is_full))
		return 1;
	gmig->sys->huge_room(huge_page_bytes(region), &room);
	if (room.bytes >= huge_page_bytes(region))
		return room.unread ? -EAGAIN : 0;
	atomic_store(&shared->group_is_full, true);
	return 1;
}

static int group_allows_none(struct mover_worker *worker, const struct region *region)
{
	struct hugetlb_job *shared = worker->job->state;
	struct room room;
	char why[256] = "";

	if (!atomic_load(&shared->told_group)) {
		gmig_of(worker)->sys->huge_room(huge_page_bytes(region), &room);
		snprintf(why, sizeof(why),
			 "a move takes a page beside the guest's, and the hugetlb limit of cgroup "
			 "%.120s is reached",
			 room.unread && !room.limit[0] ? "of this process" : room.limit);
	}
	return leave_to_kernel(worker, &shared->told_group, why);
}

static int take_page(struct mover_worker *worker, struct mover_ticket *ticket,
		     const struct region *region)
{
	struct hugetlb_job *shared = worker->job->state;
	struct gmig *gmig = gmig_of(worker);
	int ret, full;

	if (!huge_page_has_room(gmig, shared->map_limit))
		return maps_are_many(worker);
	if (atomic_load(&shared->group_is_full))
		return group_allows_none(worker, region);
	if (atomic_load(&shared->full[ticket->to]) >= FULL_ENOUGH)
		return -ENOMEM;
	ret = huge_page_take(gmig, region, ticket->to, &ticket->staging);
	if (ret)
		ticket->staging = NULL;
	full = ret == -ENOMEM ? group_is_full(worker, region) : 0;
	if (full > 0)
		return group_allows_none(worker, region);
	if (full < 0)
		return full;
	if (ret == -ENOMEM)
		atomic_fetch_add(&shared->full[ticket->to], 1);
	else if (!ret)
		atomic_store(&shared->full[ticket->to], 0);
	return ret == 0 || ret == -ENOMEM ? ret : -EAGAIN;
}

/* Of a page, by one of its blocks that is copied; the first copy fills the target with memory. */
static uint64_t expected_ns(const struct mover_worker *worker, const struct region *region,
			    uint64_t block_gfn)
{
	const struct hugetlb_worker *own = worker->state;
	const struct gmig_sys *sys = worker->job->memory->sys;
	uint64_t begin_ns = 0;

	for (unsigned int i = 0; i < 2; i++) {
		begin_ns = sys->now_ns();
		copy_pages(own->probe, region_hva(region, block_gfn), GMIG_BLOCK_BYTES);
	}
	return (sys->now_ns() - begin_ns) * (region->unit_pages / GMIG_BLOCK_PAGES);
}

/* -ETIME: writers would wait for longer than the budget allows. */
static int check_stall(const struct mover_worker *worker, const struct region *region,
		       uint64_t block_gfn)
{
	struct mover_job *job = worker->job;
	uint64_t limit_ns = job->spec.max_stall_ns, ns;

	if (!limit_ns)
		return 0;
	ns = atomic_load(&job->stall_needs_ns);
	if (!ns)
		ns = expected_ns(worker, region, block_gfn);
	if (ns <= limit_ns)
		return 0;
	atomic_store(&job->stall_needs_ns, ns);
	return -ETIME;
}

static int fail_unit(const struct mover_worker *worker, uint64_t unit_gfn, int error)
{
	struct hugetlb_job *shared = worker->job->state;

	shared->failed_gfn = unit_gfn;
	shared->failed = error;
	return error;
}

/* What has just failed for one of its blocks is not tried for the next 511: each try zeroes 1 GiB. */
static int prepare_giant(struct mover_worker *worker, struct mover_ticket *ticket,
			 const struct region *region)
{
	struct hugetlb_job *shared = worker->job->state;
	uint64_t unit_gfn = region_unit(region, ticket->block_gfn);
	int ret;

	if (shared->failed && shared->failed_gfn == unit_gfn)
		return shared->failed;
	ret = check_stall(worker, region, ticket->block_gfn);
	if (!ret)
		ret = take_page(worker, ticket, region);
	return ret ? fail_unit(worker, unit_gfn, ret) : 0;
}

static int hugetlb_prepare(struct mover_worker *worker, struct mover_ticket *ticket)
{
	const struct region *region = engine_region_of_gfn(gmig_of(worker), ticket->block_gfn);

	return region->unit_pages > GMIG_BLOCK_PAGES ? prepare_giant(worker, ticket, region)
						     : take_page(worker, ticket, region);
}

/* ---- The other blocks of a page -------------------------------------------------------------------- */

struct move {
	struct mover_worker *worker;
	struct mover_ticket *ticket;
	struct gmig *gmig;
	const struct region *region;
	uint64_t gfn; /* of the page */
	uint8_t *page;
	int uffd;
	unsigned int others;		/* claims of its other blocks */
	uint64_t write_from, read_from; /* when the right was taken; 0: it was not */
};

static struct claim *other(const struct move *move, unsigned int i)
{
	return &((struct hugetlb_worker *)move->worker->state)->claim[i];
}

/* All that waited for the page counts for the block whose turn it is. */
static void settle_others(struct move *move, const struct claim_result *result)
{
	struct slept *slept = &move->ticket->claim.slept;

	for (unsigned int i = 0; i < move->others; i++) {
		struct claim *claim = other(move, i);

		claim_settle(claim, result);
		slept->ns += claim->slept.ns;
		slept->threads += claim->slept.threads;
		slept->writers += claim->slept.writers;
		if (claim->slept.longest_ns > slept->longest_ns)
			slept->longest_ns = claim->slept.longest_ns;
	}
	move->others = 0;
}

/* -EBUSY: somebody else holds one of them, or a device is at it. */
static int try_to_claim(struct move *move)
{
	const struct claim *mine = &move->ticket->claim;
	uint64_t end = move->gfn + move->region->unit_pages;
	const struct claim_result none = {.stall = NULL};

	for (uint64_t gfn = move->gfn; gfn < end; gfn += GMIG_BLOCK_PAGES) {
		struct claim *claim = other(move, move->others);
		struct bits refused;

		if (gfn == mine->block_gfn)
			continue;
		*claim = (struct claim){.gmig = mine->gmig,
					.region = mine->region,
					.block_gfn = gfn,
					.huge = true,
					.from = mine->from,
					.to = mine->to,
					.owner = mine->owner,
					.memory = mine->memory};
		bits_fill(&claim->pages);
		claim_take(claim, &refused);
		if (!bits_empty(&refused)) {
			settle_others(move, &none);
			return -EBUSY;
		}
		move->others++;
	}
	return 0;
}

/* Of two jobs that begin with different blocks of the page, the one that has its first block goes on: the other gives way. */
static int claim_others(struct move *move)
{
	unsigned int tries = move->ticket->block_gfn == move->gfn ? CLAIM_TRIES : 1;
	int ret;

	while ((ret = try_to_claim(move)) && --tries)
		move->gmig->sys->sleep_ns(CLAIM_NS);
	return ret ? fail_unit(move->worker, move->gfn, ret) : 0;
}

static void others_moved(struct move *move)
{
	unsigned long long pages = move->others * GMIG_BLOCK_PAGES;
	struct claim_result moved = {.stall = &move->worker->job->stall};

	bits_fill(&moved.moved);
	settle_others(move, &moved);
	atomic_fetch_add(&move->worker->job->along, pages);
	atomic_fetch_add(&move->worker->job->debt, pages);
}

/* gone: there is nothing; else they stay. */
static void others_stayed(struct move *move, bool gone)
{
	struct claim_result result = {.stall = &move->worker->job->stall};

	if (gone)
		bits_fill(&result.gone);
	settle_others(move, &result);
}

static void others_lost(struct move *move)
{
	for (unsigned int i = 0; i < move->others; i++)
		claim_abandon(other(move, i));
	move->others = 0;
}

/* While the page is read for all of them. */
static void others_read(const struct move *move, bool begins)
{
	for (unsigned int i = 0; i < move->others; i++)
		(begins ? claim_read_begin : claim_read_end)(other(move, i));
}

/* ---- The move -------------------------------------------------------------------------------------- */

static void stay(const struct move *move, int error)
{
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		move->ticket->error[i] = (int16_t)error;
}

/* Who may not write sleeps until then. */
static void unprotect(const struct move *move)
{
	struct gmig *gmig = move->gmig;
	int ret = -EAGAIN;

	for (unsigned int i = 0; ret && i < UNPROTECT_TRIES; i++) {
		if (i)
			gmig->sys->sleep_ns(UNPROTECT_NS);
		ret = uffd_protect(gmig->sys, move->uffd, move->page, huge_page_bytes(move->region),
				   false);
	}
	if (!ret)
		return;
	move->ticket->lost = true;
	stay(move, ret);
	engine_fatal(gmig, ret,
		     "gfn 0x%llx: giving the right to write back failed with %s; the block stays "
		     "closed",
		     (unsigned long long)move->ticket->block_gfn, gmig_errno_name(ret));
}

/* -ENOENT: there is nothing. Without an answer the copy tells. */
static int look(const struct move *move)
{
	struct uffd_scan scan;
	int ret =
	    move->region->kind->scan(move->gmig, move->region, move->ticket->block_gfn, &scan);

	return ret || scan.huge ? 0 : -ENOENT;
}

/*
 * A page of the guest that is broken stays as it is. A target that is broken is not used for anything else: the kernel has taken
 * it out of its pool.
 */
static int copy(const struct move *move)
{
	const struct gmig_sys *sys = move->gmig->sys;
	uint64_t begin_ns = sys->ran_ns();
	size_t done;

	others_read(move, true);
	claim_read_begin(&move->ticket->claim);
	done = copy_pages(move->ticket->staging, move->page, huge_page_bytes(move->region));
	claim_read_end(&move->ticket->claim);
	others_read(move, false);
	move->ticket->copy_ns += sys->ran_ns() - begin_ns;
	return done == huge_page_bytes(move->region) ? 0 : -EIO;
}

static int exchange(struct move *move)
{
	struct mover_ticket *ticket = move->ticket;
	int ret;

	move->read_from = move->gmig->sys->now_ns();
	ret = huge_page_place(move->gmig, move->region, move->gfn, ticket->staging);
	if (!ret)
		ticket->staging = NULL;
	if (ret != -ENOTRECOVERABLE)
		return ret;
	ticket->lost = true;
	engine_fatal(move->gmig, ret, "gfn 0x%llx: the kernel has no memory for its mapping",
		     (unsigned long long)ticket->block_gfn);
	return ret;
}

static void record(const struct move *move, uint64_t from, struct hist *engine, struct hist *job,
		   uint64_t *longest_ns)
{
	uint64_t ns = move->gmig->sys->now_ns() - from;

	if (!from)
		return;
	*longest_ns = ns;
	hist_record(engine, ns);
	hist_record(job, ns);
}

/* 0: it has moved; -ENOENT: there is nothing. */
static int try_to_move(struct move *move)
{
	int ret = uffd_protect(move->gmig->sys, move->uffd, move->page,
			       huge_page_bytes(move->region), true);

	if (!ret)
		ret = look(move);
	if (!ret)
		ret = copy(move);
	return ret ? ret : exchange(move);
}

static void move_page(struct move *move)
{
	struct mover_ticket *ticket = move->ticket;
	struct gmig *gmig = move->gmig;
	int ret = move->region->unit_pages > GMIG_BLOCK_PAGES ? claim_others(move) : 0;

	if (ret) {
		stay(move, ret);
		return;
	}
	move->write_from = gmig->sys->now_ns();
	ret = try_to_move(move);
	if (!ret) {
		bits_fill(&ticket->moved);
	} else {
		stay(move, ret);
		if (!ticket->lost)
			unprotect(move);
		if (ret == -ENOENT && !ticket->lost)
			bits_fill(&ticket->gone);
	}
	record(move, move->read_from, &gmig->blackout_read, &move->worker->job->blackout_read,
	       &ticket->blackout_read_ns);
	record(move, move->write_from, &gmig->blackout_write, &move->worker->job->blackout_write,
	       &ticket->blackout_write_ns);
	if (ticket->lost)
		others_lost(move);
	else if (!ret)
		others_moved(move);
	else
		others_stayed(move, ret == -ENOENT);
}

/* The kernel's own target page may be one that it makes for this. */
static void move_by_kernel(const struct move *move)
{
	const struct movepages by = {.call = move->gmig->sys->move_pages, .flags = MPOL_MF_MOVE};
	uint64_t begin_ns = move->gmig->sys->now_ns();
	void *page = move->page;
	int node = (int)move->ticket->to, status = MOVEPAGES_UNSET;
	int ret = movepages_exact(&by, 1, &page, &node, &status);

	move->ticket->call_ns = move->gmig->sys->now_ns() - begin_ns;
	hist_record(&move->worker->job->call, move->ticket->call_ns);
	if (!ret && status == node)
		bits_fill(&move->ticket->moved);
	else if (!ret && (status == -ENOENT || status == -EFAULT) && look(move) == -ENOENT)
		bits_fill(&move->ticket->gone);
	else
		stay(move, ret ? ret : status < 0 && status != MOVEPAGES_UNSET ? status : -EBUSY);
}

static void move_ticket(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct gmig *gmig = gmig_of(worker);
	const struct region *region = ticket->claim.region;
	struct move move = {.worker = worker,
			    .ticket = ticket,
			    .gmig = gmig,
			    .region = region,
			    .gfn = region_unit(region, ticket->block_gfn),
			    .page = region_hva(region, region_unit(region, ticket->block_gfn)),
			    .uffd = gmig->vnodes[region->vnode].uffd};
	uint64_t begin_ns = gmig->sys->ran_ns();

	ticket->mode = GMIG_MODE_READABLE; /* the one way there is */
	if (ticket->staging)
		move_page(&move);
	else
		move_by_kernel(&move);
	ticket->held_ns =
	    ticket->call_ns ? ticket->call_ns : gmig->sys->ran_ns() - begin_ns - ticket->copy_ns;
}

static void hugetlb_move(struct mover_worker *worker, struct mover_ticket **tickets,
			 unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		move_ticket(worker, tickets[i]);
}

static void hugetlb_finish(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct gmig *gmig = gmig_of(worker);

	/* After a remap that was lost, it may be the only copy. */
	if (!ticket->lost)
		huge_page_put(gmig, engine_region_of_gfn(gmig, ticket->block_gfn), ticket->staging);
	ticket->staging = NULL;
}

const struct mover mover_hugetlb = {
    .name = "hugetlb",
    .tickets = 1,
    .whole = true,
    .memory = BOOKS_KERNEL,
    .check = hugetlb_check,
    .begin = hugetlb_begin,
    .end = hugetlb_end,
    .workers = hugetlb_workers,
    .worker_begin = hugetlb_worker_begin,
    .worker_end = hugetlb_worker_end,
    .prepare = hugetlb_prepare,
    .move = hugetlb_move,
    .finish = hugetlb_finish,
};
