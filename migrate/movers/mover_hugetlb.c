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
 * Each block that was moved has a mapping of its own. Before these get too many for the process the kernel moves the rest, by
 * move_pages(2): it needs none, and keeps readers waiting for the copy, too.
 */
#include "../core/copy.h"
#include "../core/movepages.h"
#include "../core/uffd.h"
#include "../memory/huge_page.h"
#include "mover.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdlib.h>

#define FULL_ENOUGH	4 /* refusals in a row after which a node is not asked again in this pass */
#define UNPROTECT_TRIES 200
#define UNPROTECT_NS	1000000
#define MAP_LIMIT	65530 /* the kernel's own, where it cannot be read */

struct hugetlb_job {
	uint64_t map_limit;
	atomic_uint full[GMIG_MAX_NODES]; /* times in a row that a node had no page */
	atomic_bool told;		  /* that mappings get too many */
};

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
	job->extra_bytes_max = job->spec.threads * GMIG_BLOCK_BYTES;
	job->state = shared;
	return 0;
}

static void hugetlb_end(struct mover_job *job)
{
	free(job->state);
	job->state = NULL;
}

static int hugetlb_worker_begin(struct mover_worker *worker)
{
	struct hugetlb_job *shared = worker->job->state;

	for (unsigned int node = 0; worker->number == 0 && node < GMIG_MAX_NODES; node++)
		atomic_store(&shared->full[node], 0);
	return 0;
}

static void hugetlb_worker_end(struct mover_worker *worker)
{
	(void)worker;
}

/* ---- Before the claim ------------------------------------------------------------------------------ */

/* 0: without a page of ours, the kernel moves it. */
static int leave_to_kernel(struct mover_worker *worker)
{
	struct hugetlb_job *shared = worker->job->state;
	struct gmig *gmig = gmig_of(worker);

	if (!atomic_exchange(&shared->told, true))
		engine_log(
		    gmig, GMIG_LOG_WARNING,
		    "event=hugetlb job=%llu text=\"each block that moves has a mapping of its own, "
		    "and vm.max_map_count is %llu: %s\"",
		    (unsigned long long)worker->job->id, (unsigned long long)shared->map_limit,
		    gmig->fake ? "the rest stays" : "move_pages(2) moves the rest");
	return gmig->fake ? -ENOMEM : 0;
}

static int hugetlb_prepare(struct mover_worker *worker, struct mover_ticket *ticket)
{
	struct hugetlb_job *shared = worker->job->state;
	struct gmig *gmig = gmig_of(worker);
	const struct region *region = engine_region_of_gfn(gmig, ticket->block_gfn);
	int ret;

	if (!huge_page_has_room(gmig, shared->map_limit))
		return leave_to_kernel(worker);
	if (atomic_load(&shared->full[ticket->to]) >= FULL_ENOUGH)
		return -ENOMEM;
	ret = huge_page_take(gmig, region, ticket->to, &ticket->staging);
	if (ret)
		ticket->staging = NULL;
	if (ret == -ENOMEM)
		atomic_fetch_add(&shared->full[ticket->to], 1);
	else if (!ret)
		atomic_store(&shared->full[ticket->to], 0);
	return ret == 0 || ret == -ENOMEM ? ret : -EAGAIN;
}

/* ---- The move -------------------------------------------------------------------------------------- */

struct move {
	struct mover_worker *worker;
	struct mover_ticket *ticket;
	struct gmig *gmig;
	const struct region *region;
	uint8_t *block;
	int uffd;
	uint64_t write_from, read_from; /* when the right was taken; 0: it was not */
};

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
		ret = uffd_protect(gmig->sys, move->uffd, move->block,
				   huge_page_bytes(move->region), false);
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

	claim_read_begin(&move->ticket->claim);
	done = copy_pages(move->ticket->staging, move->block, huge_page_bytes(move->region));
	claim_read_end(&move->ticket->claim);
	move->ticket->copy_ns += sys->ran_ns() - begin_ns;
	return done == huge_page_bytes(move->region) ? 0 : -EIO;
}

static int exchange(struct move *move)
{
	struct mover_ticket *ticket = move->ticket;
	int ret;

	move->read_from = move->gmig->sys->now_ns();
	ret = huge_page_place(move->gmig, move->region, ticket->block_gfn, ticket->staging);
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

static void move_page(struct move *move)
{
	struct mover_ticket *ticket = move->ticket;
	struct gmig *gmig = move->gmig;
	int ret;

	move->write_from = gmig->sys->now_ns();
	ret = uffd_protect(gmig->sys, move->uffd, move->block, huge_page_bytes(move->region), true);
	if (!ret)
		ret = look(move);
	if (!ret)
		ret = copy(move);
	if (!ret)
		ret = exchange(move);
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
}

/* The kernel's own target page may be one that it makes for this. */
static void move_by_kernel(const struct move *move)
{
	const struct movepages by = {.call = move->gmig->sys->move_pages, .flags = MPOL_MF_MOVE};
	uint64_t begin_ns = move->gmig->sys->now_ns();
	void *page = move->block;
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
			    .block = region_hva(region, ticket->block_gfn),
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
    .worker_begin = hugetlb_worker_begin,
    .worker_end = hugetlb_worker_end,
    .prepare = hugetlb_prepare,
    .move = hugetlb_move,
    .finish = hugetlb_finish,
};
