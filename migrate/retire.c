/*
 * Bad pages: see gmig_retire.h. One round of mover uffd from a node to itself, done by hand: nothing about where memory lies
 * changes, which is all that a job knows of. What is taken off is not given to the pools.
 */
#include "core/reserved.h"
#include "gmig_retire.h"
#include "memory/audit.h"
#include "memory/frame.h"
#include "movers/legal.h"

#include <stdlib.h>
#include <sys/mman.h>

#define RETIRE_NS   50000000ull /* that others may hold the page */
#define RETIRE_STEP 1000000ull

struct retire {
	struct gmig *gmig;
	struct region *region;
	uint64_t gfn, block_gfn;
	unsigned int page; /* in its block */
	bool offline;
	bool no_huge; /* the node has no huge page for the block */
	struct mover_job job;
	struct mover_worker worker;
	struct mover_ticket ticket;
	struct gmig_retired *retired;
};

static bool again(int ret)
{
	return ret == -EBUSY || ret == -EAGAIN;
}

/* The table's beliefs about the block become true: on which node to look for a frame. */
static void look(const struct retire *retire)
{
	const struct audit audit = {.check = NULL};

	audit_run(retire->gmig, retire->region, retire->block_gfn, GMIG_BLOCK_PAGES, &audit);
}

/* ---- By our own mover ---------------------------------------------------------------------------- */

static bool claim(struct retire *retire)
{
	struct mover_ticket *ticket = &retire->ticket;
	struct bits refused;

	ticket->claim = (struct claim){.block_gfn = ticket->block_gfn,
				       .huge = ticket->huge,
				       .from = ticket->from,
				       .to = ticket->to,
				       .memory = mover_uffd.memory,
				       .pages = ticket->pages};
	retire->job.memory->ops->claim(retire->job.memory, &ticket->claim, &refused);
	ticket->pages = ticket->claim.pages;
	return !bits_empty(&ticket->pages);
}

/* Frames are there: move, and keep the old frame of the page. */
static int move(struct retire *retire)
{
	struct mover_ticket *ticket = &retire->ticket, *const tickets[] = {ticket};
	const struct memory_ops *ops = retire->job.memory->ops;
	struct claim_result result = {.stall = &retire->job.stall};
	unsigned int page = retire->page;

	if (!claim(retire))
		return -EBUSY;
	mover_uffd.move(&retire->worker, (struct mover_ticket **)tickets, 1);
	result.moved = ticket->moved;
	result.gone = ticket->gone;
	result.broken = ticket->broken;
	if (ticket->lost)
		ops->abandon(&ticket->claim);
	else
		ops->settle(&ticket->claim, &result);
	if (bits_get(&ticket->gone, page))
		return -ENOENT;
	if (!bits_get(&ticket->moved, page))
		return ticket->error[page] ? ticket->error[page] : -EIO;
	retire->retired->offline =
	    frame_retire(retire->gmig->frames, &ticket->source, page, retire->offline);
	retire->retired->node = ticket->from;
	return 0;
}

/* Where the page is now. -ENOENT: nowhere. */
static int aim(struct retire *retire)
{
	struct mover_ticket *ticket = &retire->ticket;
	struct shadow_entry entry;
	int ret = shadow_lookup(retire->gmig->shadow, retire->gfn, &entry);

	if (ret)
		return ret;
	if (entry.state == SHADOW_NONE || entry.state == SHADOW_SWAPPED)
		return -ENOENT;
	if (entry.state != SHADOW_PRESENT)
		return -EBUSY;
	if (entry.order && retire->no_huge) {
		ret = retire->job.memory->ops->split(retire->job.memory, retire->block_gfn);
		if (ret)
			return ret;
		retire->retired->thp_split = true;
		entry.order = 0;
	}
	*ticket = (struct mover_ticket){.block_gfn = retire->block_gfn,
					.from = entry.node,
					.to = entry.node,
					.huge = entry.order,
					.mode = GMIG_MODE_READABLE};
	if (ticket->huge)
		bits_fill(&ticket->pages);
	else
		bits_set(&ticket->pages, retire->page);
	/* Small pages that were not joined before are not joined for one of them. */
	retire->job.spec.huge = ticket->huge ? GMIG_HUGE_KEEP : GMIG_HUGE_SPLIT;
	return 0;
}

static int attempt(struct retire *retire)
{
	struct mover_ticket *ticket = &retire->ticket;
	int ret = aim(retire);

	if (ret)
		return ret;
	ret = mover_uffd.prepare(&retire->worker, ticket);
	if (ret == -ENOMEM && ticket->huge) {
		retire->no_huge = true;
		return attempt(retire);
	}
	if (ret)
		return ret;
	ret = bits_empty(&ticket->pages) ? -EAGAIN : move(retire);
	mover_uffd.finish(&retire->worker, ticket);
	retire->retired->thp_split |= atomic_load(&retire->job.thp_split) > 0;
	retire->retired->huge = ticket->huge && !retire->retired->thp_split;
	return ret;
}

/* Whoever holds it: a job lets go in milliseconds, and one that waits for a touch when it is asked. */
static int attempts(struct retire *retire)
{
	const struct gmig_sys *sys = retire->gmig->sys;
	uint64_t end_ns = sys->now_ns() + RETIRE_NS;
	struct bits page = {{0}};
	int ret;

	bits_set(&page, retire->page);
	for (;;) {
		look(retire);
		ret = attempt(retire);
		if (!again(ret) || sys->now_ns() >= end_ns)
			return ret;
		if (ret == -EBUSY)
			claim_want(retire->gmig, retire->block_gfn, &page);
		sys->sleep_ns(RETIRE_STEP);
	}
}

static int by_mover(struct retire *retire, struct gmig_error *err)
{
	struct mover_job *job = &retire->job;
	int ret;

	job->memory = &retire->gmig->memory;
	job->topology = memory_topology(job->memory);
	job->single = true;
	job->spec.threads = 1;
	retire->worker.job = job;
	ret = mover_uffd.begin(job, err);
	if (!ret) {
		ret = mover_uffd.worker_begin(&retire->worker);
		if (!ret) {
			ret = attempts(retire);
			mover_uffd.worker_end(&retire->worker);
		}
		mover_uffd.end(job);
	}
	gmig_topology_put(job->topology);
	return ret;
}

/* ---- By the kernel --------------------------------------------------------------------------------- */

/* Nobody waits for more than the kernel's own migration of the page, and a job finds out as from any other. */
static int in_place(struct retire *retire)
{
	struct gmig *gmig = retire->gmig;
	int status, ret;

	if (!retire->offline)
		return -EOPNOTSUPP;
	/* What is not there would be made by asking. */
	ret = gmig->memory.ops->query(&gmig->memory, 1, &retire->gfn, &status);
	if (!ret && status < 0)
		ret = -ENOENT;
	if (!ret)
		ret = gmig->sys->advise(region_hva(retire->region, retire->gfn), GMIG_PAGE_BYTES,
					MADV_SOFT_OFFLINE);
	if (ret)
		return ret;
	atomic_fetch_add(&gmig->offlined_in_place, GMIG_PAGE_BYTES);
	if (!gmig->plain)
		look(retire);
	if (!gmig->memory.ops->query(&gmig->memory, 1, &retire->gfn, &status) && status >= 0)
		retire->retired->node = (unsigned int)status;
	return 0;
}

/* ---- The call -------------------------------------------------------------------------------------- */

static const char *why(int error, bool kernel)
{
	switch (error) {
	case -ENOENT:
		return "it lies in no frame of its own: never touched, given back, in swap, or "
		       "broken already";
	case -EBUSY:
	case -EAGAIN:
		return kernel ? "the kernel could not move its content: try again"
			      : "a job, a device or the kernel holds it: try again";
	case -ENOMEM:
		return "there is no memory for another frame on its node, or none is allowed "
		       "beside the guest's own";
	case -EIO:
		return "it cannot be read: its content is lost, and only who reads it is hurt";
	case -EPERM:
		return "only the kernel can take this kind of memory out of use, which needs "
		       "CAP_SYS_ADMIN";
	case -EINVAL:
		return "only the kernel can take this kind of memory out of use, and this one has "
		       "no CONFIG_MEMORY_FAILURE";
	case -EOPNOTSUPP:
		return "only the kernel can take this kind of memory out of use, and is not to "
		       "(keep, or vm.enable_soft_offline)";
	default:
		return gmig_errno_name(error);
	}
}

static bool is_fixed(const struct retire *retire)
{
	struct memory *memory = &retire->gmig->memory;

	return !retire->gmig->plain && memory->ops->is_fixed(memory, retire->block_gfn);
}

static int run(struct retire *retire, uint64_t gpa, struct gmig_error *err)
{
	bool kernel = retire->gmig->plain || !legal_by_frames(retire->region->kind);
	int ret;

	if (retire->region->unit_pages > GMIG_BLOCK_PAGES)
		return gmig_fail(
		    err, -EFBIG,
		    "page 0x%llx is part of a huge page of 1 GiB, all of which the kernel would "
		    "keep from the guest while it copies it, and then take from its pool: move "
		    "the guest's memory to another node",
		    (unsigned long long)gpa);
	if (is_fixed(retire))
		return gmig_fail(err, -EPERM, "page 0x%llx: it was declared that it must not move",
				 (unsigned long long)gpa);
	ret = kernel ? in_place(retire) : by_mover(retire, err);
	if (ret)
		return gmig_fail(err, ret == -EAGAIN ? -EBUSY : ret, "page 0x%llx: %s",
				 (unsigned long long)gpa, why(ret, kernel));
	engine_log(retire->gmig, GMIG_LOG_INFO, "event=retired gpa=0x%llx node=%u offline=%s",
		   (unsigned long long)gpa, retire->retired->node,
		   retire->retired->offline ? gmig_errno_name(retire->retired->offline) : "yes");
	return 0;
}

int gmig_retire(struct gmig *gmig, const struct gmig_retire_spec *spec,
		struct gmig_retired *retired, struct gmig_error *err)
{
	uint64_t gfn = spec->gpa / GMIG_PAGE_BYTES;
	struct retire *retire;
	int ret = RESERVED_UNUSED(spec, err);

	if (ret)
		return ret;
	memset(retired, 0, sizeof(*retired));
	retired->gpa = gfn * GMIG_PAGE_BYTES;
	if (!engine_region_of_gfn(gmig, gfn))
		return gmig_fail(err, -EFAULT, "the guest has no memory at 0x%llx",
				 (unsigned long long)spec->gpa);
	retire = calloc(1, sizeof(*retire));
	if (!retire)
		return gmig_fail(err, -ENOMEM, "no memory for a page's retirement");
	retire->gmig = gmig;
	retire->region = engine_region_of_gfn(gmig, gfn);
	retire->gfn = gfn;
	retire->block_gfn = gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES;
	retire->page = (unsigned int)(gfn - retire->block_gfn);
	retire->offline = !spec->keep;
	retire->retired = retired;
	ret = run(retire, retired->gpa, err);
	free(retire);
	return ret;
}
