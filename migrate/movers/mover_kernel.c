/*
 * The mover `kernel`: move_pages(2). The kernel unmaps, copies and remaps by itself, for any process
 * whose memory the caller may move, and for a guest of our own; nobody needs frames. A guest's pages
 * are claimed like for any mover, and its books follow what the kernel says afterwards.
 *
 * A round is up to 32 blocks, and a call all of them, unless they take more than CALL_NS by the speed so far, or a stall budget
 * leaves it fewer pages: each call turns off the CPUs' caches of pages for the whole host, and waits for all CPUs to do so
 * (lru_cache_disable() in mm/migrate.c), which takes as long as moving some hundred small pages. What a call says is checked by asking where
 * the pages are; of a process, once for all of them when the job ends (job.c), since asking costs a fifth
 * of moving a small page. A block that was huge and moved as small pages counts as split. A page that is larger
 * than a block moves with the first ticket that has a part of it.
 */
#include "../core/movepages.h"
#include "../memory/process_memory.h"
#include "../memory/region.h"
#include "mover.h"
#include "swap_in.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdlib.h>

#define CALL_NS		250000000ull
#define FIRST_NS_A_PAGE 50000u /* of a call before the first: slower than any host that was seen */
/* What a walk said this long ago is not asked for again. It ages while a job waits: for its rate, or paused. */
#define KNOWN_NS 250000000ull

struct kernel_job {
	struct movepages by;
	bool guess_huge; /* no PAGEMAP_SCAN: huge pages look like small ones */
	bool believe;	 /* all of it is looked at once more before the job ends */
};

struct kernel_worker {
	const struct kernel_job *job;
	uint64_t ns_a_page;			    /* of the calls so far */
	struct mover_ticket *ticket[MOVER_TICKETS]; /* of this call */
	unsigned int unit[MOVER_TICKETS];	    /* the first one of a ticket */
	unsigned int tickets;
	uint64_t pages; /* in all of them */
	struct movepages_chunk chunk;
	uint8_t of[MOVEPAGES_CHUNK_UNITS];    /* index of a unit's ticket, the first of several */
	uint16_t page[MOVEPAGES_CHUNK_UNITS]; /* its first page in that ticket's block */
};

static int kernel_check(const struct memory *memory, const struct gmig_job_spec *spec,
			struct gmig_error *err)
{
	if (!process_of(memory) && ((const struct gmig *)memory)->fake)
		return gmig_fail(err, -EOPNOTSUPP,
				 "mover kernel moves between real nodes only: these are fake");
	if (spec->frames != GMIG_FRAMES_AUTO)
		return gmig_fail(err, -EINVAL,
				 "mover kernel takes its frames from the kernel alone");
	if (spec->batch_pages)
		return gmig_fail(err, -EINVAL, "mover kernel chooses its batches itself");
	if (spec->hold_vcpus)
		return gmig_fail(err, -EINVAL, "mover kernel holds no vCPUs");
	if (spec->vnodes && process_of(memory))
		return gmig_fail(err, -EINVAL, "a process has no vnodes");
	/* A call without addresses is refused as one with some would be. */
	if (spec->move_all && memory->sys->move_pages(0, 0, NULL, NULL, NULL, MPOL_MF_MOVE_ALL))
		return gmig_fail(err, -EPERM,
				 "moving pages that other processes map, too, needs CAP_SYS_NICE");
	return 0;
}

static int kernel_begin(struct mover_job *job, struct gmig_error *err)
{
	const struct gmig_node_set targets = process_targets(&job->spec);
	struct gmig_process *process = process_of(job->memory);
	struct kernel_job *kernel = calloc(1, sizeof(*kernel));
	int ret = 0;

	if (!kernel)
		return gmig_fail(err, -ENOMEM, "no memory for a job");
	kernel->by.call = job->memory->sys->move_pages;
	kernel->by.flags =
	    job->spec.move_all || (process && process->shared && !job->spec.private_only)
		? MPOL_MF_MOVE_ALL
		: MPOL_MF_MOVE;
	kernel->guess_huge = process && !process_scans(process);
	kernel->believe = job->memory->ops->unclaimed && job->looks_again;
	if (process)
		ret = process_thread_for(process->process, &targets, &kernel->by.pid, err);
	if (ret)
		free(kernel);
	else
		job->state = kernel;
	return ret;
}

static void kernel_end(struct mover_job *job)
{
	free(job->state);
}

static int kernel_worker_begin(struct mover_worker *worker)
{
	struct kernel_worker *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		return -EAGAIN;
	kernel->job = worker->job->state;
	kernel->ns_a_page = FIRST_NS_A_PAGE;
	worker->state = kernel;
	return 0;
}

static void kernel_worker_end(struct mover_worker *worker)
{
	free(worker->state);
}

static int kernel_prepare(struct mover_worker *worker, struct mover_ticket *ticket)
{
	if (!process_of(worker->job->memory) && !ticket->huge)
		swap_in(worker, ticket);
	return 0;
}

static void kernel_finish(struct mover_worker *worker, struct mover_ticket *ticket)
{
	(void)worker, (void)ticket;
}

/* ---- A call ---------------------------------------------------------------------------------- */

static int target_of_unit(const void *opaque, size_t unit, int node)
{
	const struct kernel_worker *kernel = opaque;
	const struct mover_ticket *ticket = kernel->ticket[kernel->of[unit]];

	return node == (int)ticket->from ? (int)ticket->to : -1;
}

static void add_unit(struct kernel_worker *kernel, uint8_t *block, unsigned int page,
		     uint32_t pages)
{
	struct movepages_chunk *chunk = &kernel->chunk;

	kernel->of[chunk->count] = (uint8_t)kernel->tickets;
	kernel->page[chunk->count] = (uint16_t)page;
	chunk->before[chunk->count] = (int)kernel->ticket[kernel->tickets]->from;
	chunk->pages[chunk->count] = pages;
	chunk->address[chunk->count++] = block + page * GMIG_PAGE_BYTES;
}

/* A page may be larger than a block: of it, one unit for all tickets. */
static void add_huge(struct mover_worker *worker, const struct mover_ticket *ticket, uint8_t *block)
{
	struct gmig_process *process = process_of(worker->job->memory);
	struct kernel_worker *kernel = worker->state;
	struct movepages_chunk *chunk = &kernel->chunk;
	uint64_t pages = process ? process_page_size(process, ticket->block_gfn) : 1;

	if (pages < GMIG_BLOCK_PAGES)
		pages = GMIG_BLOCK_PAGES; /* a transparent one */
	block -= ticket->block_gfn % pages * GMIG_PAGE_BYTES;
	if (chunk->count && chunk->address[chunk->count - 1] == block)
		kernel->unit[kernel->tickets] = (unsigned int)chunk->count - 1;
	else
		add_unit(kernel, block, 0, (uint32_t)pages);
}

/* As a stall budget wants it. */
static bool is_run(const struct kernel_worker *kernel, const struct mover_ticket *ticket)
{
	return ticket->run_pages && kernel->pages >= ticket->run_pages;
}

/* From page `first` on. Returns the first page that has to wait for the next call; GMIG_BLOCK_PAGES: none. */
static unsigned int add_ticket(struct mover_worker *worker, struct mover_ticket *ticket,
			       unsigned int first)
{
	struct kernel_worker *kernel = worker->state;
	uint8_t *block = memory_address(worker->job->memory, ticket->block_gfn);
	unsigned int i = GMIG_BLOCK_PAGES;

	kernel->ticket[kernel->tickets] = ticket;
	kernel->unit[kernel->tickets] = (unsigned int)kernel->chunk.count;
	if (ticket->huge) {
		add_huge(worker, ticket, block);
		kernel->pages += bits_count(&ticket->pages);
	} else {
		for (i = bits_next(&ticket->pages, first, true);
		     i < GMIG_BLOCK_PAGES && !is_run(kernel, ticket);
		     i = bits_next(&ticket->pages, i + 1, true)) {
			add_unit(kernel, block, i, 1);
			kernel->pages++;
		}
	}
	kernel->tickets++;
	return i;
}

/* A page lies where it was to come to, nowhere, or it stayed. A guest's that lies nowhere: see take_nowhere(). */
static void take_page(struct mover_ticket *ticket, unsigned int page, int node, int why)
{
	if (node == (int)ticket->to)
		bits_set(&ticket->moved, page);
	else if (node == (int)ticket->from)
		ticket->error[page] = (int16_t)(why < 0 ? why : -EBUSY);
	else if (node < 0 && !ticket->claim.gmig)
		bits_set(&ticket->gone, page);
	else if (node == -ENOENT || node == -EFAULT)
		ticket->error[page] = -ENOENT;
	else
		ticket->error[page] = -EAGAIN; /* or moved by others: the job looks for it */
}

/*
 * A guest's pages that the kernel finds nowhere are in swap, zero pages, or gone: somebody has punched a hole into the file that
 * they were in. The next pass looks for the others.
 */
static void take_nowhere(struct mover_ticket *ticket)
{
	const struct claim *claim = &ticket->claim;
	struct bits nowhere = {{0}};
	struct uffd_scan scan;
	int ret;

	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (ticket->error[i] == -ENOENT)
			bits_set(&nowhere, i);
	if (bits_empty(&nowhere))
		return;
	ret = claim->region->kind->scan(claim->gmig, claim->region, ticket->block_gfn, &scan);
	for (unsigned int i = bits_next(&nowhere, 0, true); i < GMIG_BLOCK_PAGES;
	     i = bits_next(&nowhere, i + 1, true)) {
		bool gone = !ret && !bits_get(&scan.present, i);

		ticket->error[i] = gone ? 0 : -EAGAIN;
		if (gone)
			bits_set(&ticket->gone, i);
	}
}

struct whole {
	struct mover_ticket *ticket;
	int why;
	bool huge;
	struct bits seen;
};

static int take_entry(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	struct whole *whole = arg;
	unsigned int first = (unsigned int)(gfn - whole->ticket->block_gfn);
	unsigned int count = entry->order ? GMIG_BLOCK_PAGES : 1;
	int node = entry->state == SHADOW_NONE ? -ENOENT : entry->node;

	whole->huge |= entry->order && entry->state != SHADOW_NONE;
	bits_set_range(&whole->seen, first, count);
	for (unsigned int i = first; i < first + count; i++)
		take_page(whole->ticket, i, node, whole->why);
	return 0;
}

/*
 * A block that went as one page: the kernel may have split it, when the target had no huge page to give,
 * and moved some of it.
 */
static void take_block(struct mover_worker *worker, struct mover_ticket *ticket, int why)
{
	struct memory *memory = worker->job->memory;
	struct whole whole = {.ticket = ticket, .why = why};
	int ret =
	    memory->ops->walk(memory, ticket->block_gfn, GMIG_BLOCK_PAGES, take_entry, &whole);

	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (!bits_get(&whole.seen, i))
			ticket->error[i] = (int16_t)(ret < 0 ? ret : -EAGAIN);
	ticket->split = !ret && !whole.huge && bits_count(&ticket->gone) < GMIG_BLOCK_PAGES;
	if (ticket->split)
		atomic_fetch_add(&worker->job->thp_split, 1);
}

/* The same for a guest's block, whose table says nothing while it is claimed. */
static void take_guest_block(struct mover_worker *worker, struct mover_ticket *ticket, int why)
{
	const struct claim *claim = &ticket->claim;
	uint64_t gfns[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];
	struct uffd_scan scan;
	int ret;

	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		gfns[i] = ticket->block_gfn + i;
	ret =
	    claim->region->kind->query(claim->gmig, claim->region, GMIG_BLOCK_PAGES, gfns, status);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (ret)
			ticket->error[i] = (int16_t)ret;
		else
			take_page(ticket, i, status[i], why);
	take_nowhere(ticket);
	ticket->split =
	    !claim->region->kind->scan(claim->gmig, claim->region, ticket->block_gfn, &scan) &&
	    !scan.huge && bits_count(&ticket->gone) < GMIG_BLOCK_PAGES;
	if (ticket->split)
		atomic_fetch_add(&worker->job->thp_split, 1);
}

/* Of a page that is larger than a block: what moved and is in no ticket of this call. */
static void take_along(struct mover_worker *worker, unsigned int unit, uint64_t in_tickets)
{
	const struct movepages_chunk *chunk = &((struct kernel_worker *)worker->state)->chunk;

	if (chunk->result[unit] != MOVEPAGES_MOVED || chunk->pages[unit] <= in_tickets)
		return;
	atomic_fetch_add(&worker->job->along, chunk->pages[unit] - in_tickets);
	atomic_fetch_add(&worker->job->debt, chunk->pages[unit] - in_tickets);
}

static void take_small(struct kernel_worker *kernel, unsigned int t)
{
	const struct movepages_chunk *chunk = &kernel->chunk;

	for (size_t i = kernel->unit[t]; i < chunk->count && kernel->of[i] == t; i++)
		take_page(kernel->ticket[t], kernel->page[i], chunk->after[i], chunk->why[i]);
}

static void take_results(struct mover_worker *worker)
{
	struct kernel_worker *kernel = worker->state;
	uint64_t in_tickets = 0; /* pages of one unit */

	for (unsigned int t = 0; t < kernel->tickets; t++) {
		struct mover_ticket *ticket = kernel->ticket[t];
		unsigned int unit = kernel->unit[t];

		if (!ticket->huge) {
			take_small(kernel, t);
			if (ticket->claim.gmig)
				take_nowhere(ticket);
			continue;
		}
		if (ticket->claim.gmig)
			take_guest_block(worker, ticket, kernel->chunk.why[unit]);
		else
			take_block(worker, ticket, kernel->chunk.why[unit]);
		in_tickets += GMIG_BLOCK_PAGES;
		if (t + 1 < kernel->tickets && kernel->unit[t + 1] == unit)
			continue;
		take_along(worker, unit, in_tickets);
		in_tickets = 0;
	}
}

/* The call as a whole was refused: the process has ended, or may not go there any more. */
static void refuse_all(struct kernel_worker *kernel, int error)
{
	for (unsigned int t = 0; t < kernel->tickets; t++)
		for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
			if (bits_get(&kernel->ticket[t]->pages, i))
				kernel->ticket[t]->error[i] = (int16_t)error;
}

/* The kernel said a short while ago where all of this call's pages lie. */
static bool is_known(const struct kernel_worker *kernel, uint64_t now_ns)
{
	uint64_t known_ns = kernel->ticket[0]->known_ns;

	return known_ns && now_ns - known_ns < KNOWN_NS;
}

static void call(struct mover_worker *worker)
{
	struct kernel_worker *kernel = worker->state;
	const struct gmig_sys *sys = worker->job->memory->sys;
	uint64_t begin_ns = sys->now_ns(), took_ns;
	const struct movepages_want want = {.target = target_of_unit,
					    .opaque = kernel,
					    .guess_huge = kernel->job->guess_huge,
					    .known = is_known(kernel, begin_ns),
					    .believe = kernel->job->believe};
	int ret = movepages_chunk_move(&kernel->job->by, &kernel->chunk, &want);

	if (ret)
		refuse_all(kernel, ret);
	else
		take_results(worker);
	took_ns = sys->now_ns() - begin_ns;
	hist_record(&worker->job->call, took_ns);
	if (kernel->chunk.moved_pages)
		kernel->ns_a_page = took_ns / kernel->chunk.moved_pages;
	kernel->ticket[0]->held_ns += took_ns;
	for (unsigned int t = 0; t < kernel->tickets; t++)
		if (took_ns > kernel->ticket[t]->call_ns)
			kernel->ticket[t]->call_ns = took_ns;
	kernel->tickets = 0;
	kernel->pages = 0;
	kernel->chunk.count = kernel->chunk.moved_pages = 0;
}

static bool is_full(const struct kernel_worker *kernel, const struct mover_ticket *ticket)
{
	return kernel->chunk.count + GMIG_BLOCK_PAGES > MOVEPAGES_CHUNK_UNITS ||
	       kernel->pages * kernel->ns_a_page >= CALL_NS || is_run(kernel, ticket);
}

static void kernel_move(struct mover_worker *worker, struct mover_ticket **tickets,
			unsigned int count)
{
	struct kernel_worker *kernel = worker->state;

	for (unsigned int i = 0; i < count; i++) {
		unsigned int page = 0;

		while (page < GMIG_BLOCK_PAGES) {
			page = add_ticket(worker, tickets[i], page);
			if (page < GMIG_BLOCK_PAGES || i + 1 == count ||
			    is_full(kernel, tickets[i]))
				call(worker);
		}
	}
}

const struct mover mover_kernel = {
    .name = "kernel",
    .tickets = MOVER_TICKETS,
    .whole = true,
    .memory = BOOKS_KERNEL,
    .check = kernel_check,
    .begin = kernel_begin,
    .end = kernel_end,
    .worker_begin = kernel_worker_begin,
    .worker_end = kernel_worker_end,
    .prepare = kernel_prepare,
    .move = kernel_move,
    .finish = kernel_finish,
};
