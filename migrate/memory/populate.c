/*
 * Memory for all regions now, instead of at first touches. Blocks are taken in turn by a few threads, each with pools of its
 * own. What a block gets comes from its region's preferred node, for which the kernel reclaims, or not at all: who asks for
 * all memory at once wants to hear that it is not there, before the guest runs.
 */
#include "../core/reserved.h"
#include "audit.h"
#include "bound_touch.h"
#include "frame.h"
#include "policy.h"
#include "region.h"

#include <errno.h>
#include <sys/mman.h>

struct populate {
	struct gmig *gmig;
	const struct gmig_populate *how;
	uint64_t blocks;
	_Atomic uint64_t next; /* no thread has begun this block yet */
	atomic_bool ended;     /* early */
	pthread_mutex_t lock;
	int ret;	       /* guarded by lock, like the next one */
	struct gmig_error err; /* the first one */
};

struct populate_worker {
	struct populate *all;
	unsigned int index; /* of its pools */
	pthread_t thread;
};

/* ---- One block --------------------------------------------------------------------------------- */

static int none_visit(void *arg, uint64_t gfn, const struct shadow_entry *entry)
{
	if (entry->state == SHADOW_NONE)
		bits_set_range(arg, (unsigned int)(gfn % GMIG_BLOCK_PAGES), 1u << entry->order);
	return 0;
}

/* Frames for what the block has not; *out NULL: it has all. */
static int take(const struct populate_worker *worker, unsigned int node, uint64_t block_gfn,
		struct slot **out)
{
	struct gmig *gmig = worker->all->gmig;
	struct frame_want want = {.node = node, .worker = worker->index, .clean = true};
	int ret = -ENOSPC;

	*out = NULL;
	shadow_walk(gmig->shadow, block_gfn, GMIG_BLOCK_PAGES, none_visit, &want.need);
	if (bits_empty(&want.need))
		return 0;
	if (!gmig->options.small_pages && bits_count(&want.need) == GMIG_BLOCK_PAGES) {
		want.huge = true;
		ret = frame_take(gmig->frames, &want, out);
	}
	if (ret == -ENOSPC) {
		want.huge = false;
		ret = frame_take(gmig->frames, &want, out);
	}
	return ret;
}

static _Alignas(GMIG_PAGE_BYTES) const uint8_t zeros[GMIG_PAGE_BYTES];

/* Page by page where policies say so, the lock let go in between: parts of the block come with each. */
static int bound_fill(const struct populate_worker *worker, struct region *region,
		      uint64_t block_gfn)
{
	struct gmig *gmig = worker->all->gmig;
	struct first_touch touch = {.gmig = gmig,
				    .uffd = gmig->vnodes[region->vnode].uffd,
				    .worker = worker->index,
				    .zeros = zeros};
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	struct shadow_entry entry;
	int ret = 0;

	for (uint64_t gfn = block_gfn; !ret && gfn < block_gfn + GMIG_BLOCK_PAGES; gfn++) {
		pthread_mutex_lock(&stripe->lock);
		ret = shadow_lookup(gmig->shadow, gfn, &entry);
		if (!ret && entry.state == SHADOW_NONE)
			ret = bound_touch_fill(&touch, region, gfn, &entry);
		pthread_mutex_unlock(&stripe->lock);
	}
	return ret;
}

static int block_fill(const struct populate_worker *worker, struct region *region,
		      uint64_t block_gfn)
{
	struct gmig *gmig = worker->all->gmig;
	struct first_touch touch = {.gmig = gmig, .uffd = gmig->vnodes[region->vnode].uffd};
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	struct slot *slot;
	int ret;

	if (region->kind->populate)
		return region->kind->populate(gmig, region, block_gfn);
	if (bound_touch_is_bound(gmig, block_gfn))
		return bound_fill(worker, region, block_gfn);
	ret = take(worker, atomic_load(&region->preferred_node), block_gfn, &slot);
	if (ret || !slot)
		return ret;
	pthread_mutex_lock(&stripe->lock);
	ret = first_touch_place(&touch, region, block_gfn, slot);
	pthread_mutex_unlock(&stripe->lock);
	frame_give(gmig->frames, slot);
	return ret;
}

/* The kernel kills where a cgroup allows no more, and gives memory of another node where that has none. */
static int kernel_populate(struct gmig *gmig, const struct region *region, uint64_t block_gfn)
{
	int ret;

	if (!gmig->plain && policy_reserve(gmig->policy, POLICY_TOUCH, GMIG_BLOCK_PAGES))
		return -ENOMEM;
	ret =
	    gmig->sys->advise(region_hva(region, block_gfn), GMIG_BLOCK_BYTES, MADV_POPULATE_WRITE);
	if (!gmig->plain)
		policy_release(gmig->policy, GMIG_BLOCK_PAGES);
	/* It would have been a SIGBUS: a file's memory is had, or not. */
	return ret == -EFAULT ? -ENOMEM : ret;
}

/* First touches are the kernel's: it fills, and is asked where. */
static int kernel_fill(struct gmig *gmig, struct region *region, uint64_t block_gfn)
{
	const struct audit audit = {.check = NULL};
	uint64_t gfns[GMIG_BLOCK_PAGES];
	int status[GMIG_BLOCK_PAGES];
	int ret = kernel_populate(gmig, region, block_gfn);

	if (!gmig->plain)
		audit_run(gmig, region, block_gfn, GMIG_BLOCK_PAGES, &audit);
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		gfns[i] = block_gfn + i;
	if (ret || gmig->fake || region->kind->query(gmig, region, GMIG_BLOCK_PAGES, gfns, status))
		return ret;
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (status[i] != (int)atomic_load(&region->preferred_node))
			return -ENOMEM;
	return 0;
}

/* ---- All blocks -------------------------------------------------------------------------------- */

/* The number-th block of all regions; NULL: there are not so many. */
static struct region *find(struct gmig *gmig, uint64_t number, uint64_t *block_gfn)
{
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		struct region *region = &gmig->regions[i];
		uint64_t blocks = region->pages / GMIG_BLOCK_PAGES;

		if (number < blocks) {
			*block_gfn = region->gfn + number * GMIG_BLOCK_PAGES;
			return region;
		}
		number -= blocks;
	}
	return NULL;
}

static void give_up(struct populate *all, int ret, const struct region *region, uint64_t number)
{
	pthread_mutex_lock(&all->lock);
	if (!all->ret && ret == -EINTR)
		gmig_fail(&all->err, ret, "it was told to stop");
	else if (!all->ret)
		gmig_fail(&all->err, ret,
			  "vnode %u: %s on host node %u after %llu of %llu MiB of the guest's "
			  "memory%s",
			  region->vnode, ret == -ENOMEM ? "no memory" : gmig_errno_name(ret),
			  atomic_load(&region->preferred_node), (unsigned long long)number * 2,
			  (unsigned long long)all->blocks * 2,
			  ret == -ENOMEM ? ", or a memory cgroup allows no more" : "");
	if (!all->ret)
		all->ret = ret;
	pthread_mutex_unlock(&all->lock);
	atomic_store(&all->ended, true);
}

static void *populate_thread(void *arg)
{
	struct populate_worker *worker = arg;
	struct populate *all = worker->all;
	const struct gmig_populate *how = all->how;
	struct region *region;
	uint64_t number, block_gfn;

	while (!atomic_load(&all->ended)) {
		int ret = how->stop && how->stop(how->opaque) ? -EINTR : 0;

		number = atomic_fetch_add(&all->next, 1);
		region = find(all->gmig, number, &block_gfn);
		if (!region)
			break;
		if (!ret)
			ret = !region->kind->own && (all->gmig->plain || region->kind->kernel_fills)
				  ? kernel_fill(all->gmig, region, block_gfn)
				  : block_fill(worker, region, block_gfn);
		if (ret)
			give_up(all, ret, region, number);
	}
	return NULL;
}

static uint64_t all_blocks(struct gmig *gmig)
{
	uint64_t blocks = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		blocks += gmig->regions[i].pages / GMIG_BLOCK_PAGES;
	return blocks;
}

int gmig_populate(struct gmig *gmig, const struct gmig_populate *how, struct gmig_error *err)
{
	struct populate_worker workers[GMIG_MAX_WORKERS];
	struct populate all = {.gmig = gmig, .how = how, .blocks = all_blocks(gmig)};
	unsigned int threads = how->threads ? how->threads : 1, started = 0;
	int ret = RESERVED_UNUSED(how, err);

	if (ret)
		return ret;
	if (threads > GMIG_MAX_WORKERS)
		return gmig_fail(err, -EINVAL, "%u threads are more than %d", threads,
				 GMIG_MAX_WORKERS);
	/* Each holds a frame. */
	if (!gmig->plain)
		threads = policy_workers(gmig->policy, threads);
	pthread_mutex_init(&all.lock, NULL);
	while (started + 1 < threads) {
		workers[started] = (struct populate_worker){.all = &all, .index = started};
		if (pthread_create(&workers[started].thread, NULL, populate_thread,
				   &workers[started]))
			break;
		started++;
	}
	/* One more: this one. */
	populate_thread(&(struct populate_worker){.all = &all, .index = started});
	for (unsigned int i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_mutex_destroy(&all.lock);
	if (!gmig->plain)
		frame_drain_all(gmig->frames);
	return all.ret ? gmig_fail(err, all.ret, "%s", all.err.text) : 0;
}
