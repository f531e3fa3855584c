/*
 * Private memory of hugetlbfs: pages that are reserved for guests, never split, never swapped, and moved whole.
 *
 * One mapping without a policy of its own, since a policy for a part would cut it in pieces. On which node a page comes is said by
 * the thread that makes it come (core/on_node.h): the fault thread fills a hole by UFFDIO_COPY, so that the first touch costs
 * no mapping either.
 */
#include "bindings.h"
#include "bound_touch.h"
#include "huge_page.h"
#include "ledger.h"
#include "policy.h"

#include "../core/on_node.h"
#include "../core/room.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* ---- The mapping ----------------------------------------------------------------------------------- */

static uint8_t *aligned(void *at, size_t to)
{
	return (uint8_t *)(((uintptr_t)at + to - 1) / to * to);
}

/* Guards on both sides; behind them a block that nobody may write to. */
static int reserve(struct gmig *gmig, struct region *region, size_t bytes)
{
	size_t page = huge_page_bytes(region), all = bytes + page + 3 * GMIG_BLOCK_BYTES;
	uint8_t *base, *zeros;
	void *memory;
	int ret = gmig->sys->map(all, PROT_NONE, NULL, &memory);

	if (ret)
		return ret;
	base = memory;
	region->reserved = memory;
	region->reserved_bytes = all;
	region->hva = aligned(base + GMIG_PAGE_BYTES, page);
	zeros = aligned(region->hva + bytes + GMIG_PAGE_BYTES, GMIG_BLOCK_BYTES);
	region->zeros = zeros;
	return gmig->sys->protect(zeros, GMIG_BLOCK_BYTES, PROT_READ);
}

/*
 * With all its pages reserved. Those that are larger than a block are made outside of the region, where its reservation does not
 * count, and would be promised twice: of them it is only asked whether they can be had.
 */
static int map_pages(struct gmig *gmig, const struct region *region, size_t bytes)
{
	size_t page = huge_page_bytes(region);
	void *at;
	int ret = gmig->sys->map_huge(bytes, page, true, region->hva, &at);

	if (!ret && page > GMIG_BLOCK_BYTES && !gmig->plain)
		ret = gmig->sys->map_huge(bytes, page, false, region->hva, &at);
	return ret;
}

/* Of this guest's other memory in huge pages, what was not touched so far. */
static uint64_t untouched_bytes(const struct gmig *gmig)
{
	uint64_t all = 0, there = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		if (gmig->regions[i].kind->always_whole)
			all += gmig->regions[i].pages * GMIG_PAGE_BYTES;
	for (unsigned int vnode = 0; all && vnode < GMIG_MAX_VNODES; vnode++)
		for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
			long pages = ledger_resident(gmig->ledger, vnode, node);

			there += pages > 0 ? (uint64_t)pages * GMIG_PAGE_BYTES : 0;
		}
	return all > there ? all - there : 0;
}

/* Beyond a cgroup's limit the guest would get no page, and sleep at a touch for good. */
static int check_group(const struct gmig *gmig, const struct region *region, struct gmig_error *err)
{
	uint64_t bytes = region->pages * GMIG_PAGE_BYTES + untouched_bytes(gmig);
	size_t page = huge_page_bytes(region);
	struct room room;

	gmig->sys->huge_room(page, &room);
	if (room.unread && bytes <= room.bytes)
		return gmig_fail(
		    err, -EAGAIN,
		    "the hugetlb limits of this cgroup could not be looked at (%s): try again",
		    strerror(room.unread));
	return bytes <= room.bytes
		   ? 0
		   : gmig_fail(err, -ENOMEM,
			       "the hugetlb limit of cgroup %.200s leaves %llu MiB in pages of %zu "
			       "MiB, and this memory takes %llu MiB",
			       room.limit, (unsigned long long)room.bytes >> 20, page >> 20,
			       (unsigned long long)bytes >> 20);
}

static int hugetlb_map(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	size_t bytes = region->pages * GMIG_PAGE_BYTES, page = huge_page_bytes(region);
	unsigned long long mib = (unsigned long long)(bytes >> 20);
	int ret = check_group(gmig, region, err);

	if (ret)
		return ret;
	ret = reserve(gmig, region, bytes);
	if (ret)
		return gmig_fail(err, ret, "cannot map %llu MiB of guest memory: %s", mib,
				 gmig_errno_name(ret));
	ret = map_pages(gmig, region, bytes);
	if (ret == -ENOMEM)
		return gmig_fail(err, ret,
				 "the host's pool of %zu MiB pages has too few free ones for %llu "
				 "MiB: raise vm.nr_hugepages",
				 page >> 20, mib);
	if (!ret)
		ret = gmig->sys->protect(region->hva, bytes, PROT_READ | PROT_WRITE);
	if (ret)
		return gmig_fail(err, ret, "cannot map %llu MiB of pages of %zu MiB: %s", mib,
				 page >> 20, gmig_errno_name(ret));
	ret = region_advise(gmig, region, err);
	/* Nobody of ours is there when it is touched. */
	if (!ret && gmig->plain)
		ret = region_bind(gmig, region, atomic_load(&region->preferred_node), err);
	return ret;
}

/* First touches ask for the node. Can this process make memory come from it? */
static int hugetlb_prefer(struct gmig *gmig, const struct region *region, unsigned int node,
			  struct gmig_error *err)
{
	struct thread_policy before;
	char what[32];
	int ret;

	(void)region;
	if (gmig->fake)
		return 0;
	ret = on_node_begin(gmig->sys, node, &before);
	if (!ret)
		on_node_end(gmig->sys, node, &before);
	if (ret == -EPERM)
		return gmig_fail(
		    err, ret,
		    "set_mempolicy(2) is refused (EPERM), as seccomp filters of "
		    "containers do: allow get_mempolicy, set_mempolicy and move_pages, "
		    "or add CAP_SYS_NICE");
	if (ret != -EINVAL)
		return ret ? gmig_fail(err, ret, "set_mempolicy(2) to node %u: %s", node,
				       gmig_errno_name(ret))
			   : 0;
	memory_topology_refresh(&gmig->memory, NULL);
	snprintf(what, sizeof(what), "node %u", node);
	ret = memory_check_target(&gmig->memory, node, what, err);
	return ret ? ret
		   : gmig_fail(err, -EACCES,
			       "memory cannot be placed on node %u: this thread's cpuset leaves it "
			       "out (Mems_allowed in /proc/thread-self/status)",
			       node);
}

static int hugetlb_guard(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	int ret = gmig->plain
		      ? 0
		      : hugetlb_prefer(gmig, region, atomic_load(&region->preferred_node), err);

	return ret ? ret : region_guard(gmig, region, err);
}

/* ---- First touches --------------------------------------------------------------------------------- */

/* A hole of one page. */
struct hole {
	struct first_touch *from;
	struct region *region;
	uint64_t gfn; /* of the page */
};

/* Caller holds stripe.lock: of all blocks of the page. */
static void note(const struct hole *hole, unsigned int node)
{
	for (uint64_t gfn = hole->gfn; gfn < hole->gfn + hole->region->unit_pages;
	     gfn += GMIG_BLOCK_PAGES)
		first_touch_note(hole->from,
				 &(struct books_event){.region = hole->region,
						       .change = {.gfn = gfn,
								  .order = 9,
								  .event = SHADOW_TOUCH,
								  .node = (uint16_t)node},
						       .memory = BOOKS_KERNEL});
}

/* It is there, and came from wherever it could be had. */
static void note_where(const struct hole *hole)
{
	struct gmig *gmig = hole->from->gmig;
	unsigned int node = atomic_load(&hole->region->preferred_node);
	int status;

	if (!gmig->fake && !hole->region->kind->query(gmig, hole->region, 1, &hole->gfn, &status) &&
	    status >= 0)
		node = (unsigned int)status;
	note(hole, node);
}

/* Larger than a block: a page of its own, made without the lock. */
static bool is_giant(const struct hole *hole)
{
	return hole->region->unit_pages > GMIG_BLOCK_PAGES;
}

static int take_from(const struct hole *hole, unsigned int node)
{
	struct first_touch *from = hole->from;
	int ret;

	/* Of any node: where it may come from is the kernel's choice then. */
	if (node == GMIG_NO_NODE)
		return -ENOMEM;
	ret = huge_page_take(from->gmig, hole->region, node, &from->page);
	if (ret)
		from->page = NULL;
	from->page_node = node;
	return ret;
}

/* GMIG_NO_NODE: of any. */
static int fill_from(const struct hole *hole, unsigned int node)
{
	struct gmig *gmig = hole->from->gmig;
	unsigned int bound = gmig->fake ? GMIG_NO_NODE : node;
	struct thread_policy before;
	size_t done;
	int ret;

	if (is_giant(hole))
		return take_from(hole, node);
	ret = on_node_begin(gmig->sys, bound, &before);
	if (ret)
		return -ENOMEM;
	ret = uffd_copy(gmig->sys, hole->from->uffd, region_hva(hole->region, hole->gfn),
			hole->region->zeros, GMIG_BLOCK_BYTES, &done);
	on_node_end(gmig->sys, bound, &before);
	if (ret == -EEXIST || (!ret && node == GMIG_NO_NODE))
		note_where(hole);
	else if (!ret)
		note(hole, node);
	return ret == -EEXIST ? 0 : ret;
}

/* Where the kernel makes pages as they are asked for, a refusal may take it long: it is not asked for each touch. */
static int fill_unless_hopeless(const struct hole *hole, unsigned int node)
{
	struct policy *policy = hole->from->gmig->policy;
	int ret;

	if (policy_is_hopeless(policy, node, true))
		return -ENOMEM;
	ret = fill_from(hole, node);
	if (!ret || ret == -ENOMEM)
		policy_note(policy, node, true, !ret);
	return ret;
}

/* Node by node, as the policy has it: by default the preferred one, then by distance. */
static int fill_in_order(const struct hole *hole, const struct mempolicy *policy)
{
	struct gmig *gmig = hole->from->gmig;
	struct gmig_topology *topology = memory_topology(&gmig->memory);
	struct gmig_node_set usable = *gmig_topology_nodes(topology), tried = {{0}};
	const struct mempolicy_place place = {.gfn = hole->gfn,
					      .order = 9,
					      .local = atomic_load(&hole->region->preferred_node),
					      .topology = topology};
	unsigned int node;
	int ret = -ENOMEM;

	gmig_node_set_and(&usable, gmig_topology_allowed(topology));
	while (ret == -ENOMEM &&
	       (node = mempolicy_next(policy, &place, &usable, &tried)) != GMIG_NO_NODE) {
		gmig_node_set_add(&tried, node);
		ret = fill_unless_hopeless(hole, node);
	}
	gmig_topology_put(topology);
	return ret;
}

/* What was reserved is there, on some node. */
static int fill_by(const struct hole *hole, const struct mempolicy *policy)
{
	int ret = fill_in_order(hole, policy);

	if (ret == -ENOMEM && !(policy && policy->mode == GMIG_POLICY_BIND))
		ret = fill_from(hole, GMIG_NO_NODE);
	return ret;
}

static int hugetlb_fill(struct first_touch *from, struct region *region, uint64_t gfn,
			const struct shadow_entry *entry)
{
	const struct hole hole = {from, region, gfn / GMIG_BLOCK_PAGES * GMIG_BLOCK_PAGES};
	struct mempolicy *policy = bindings_get(from->gmig->bindings, hole.gfn);
	int ret = fill_by(&hole, policy);

	(void)entry;
	mempolicy_put(policy);
	return ret;
}

/* Policies are kept as at a first touch; else the preferred node has it or nobody. */
static int hugetlb_populate(struct gmig *gmig, struct region *region, uint64_t block_gfn)
{
	struct first_touch from = {.gmig = gmig, .uffd = gmig->vnodes[region->vnode].uffd};
	const struct hole hole = {&from, region, block_gfn};
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	struct mempolicy *policy = bindings_get(gmig->bindings, block_gfn);
	struct shadow_entry entry;
	int ret;

	pthread_mutex_lock(&stripe->lock);
	ret = shadow_lookup(gmig->shadow, block_gfn, &entry);
	if (!ret && entry.state == SHADOW_NONE)
		ret = policy ? fill_by(&hole, policy)
			     : fill_from(&hole, atomic_load(&region->preferred_node));
	pthread_mutex_unlock(&stripe->lock);
	mempolicy_put(policy);
	return ret;
}

/* ---- Pages of 1 GiB -------------------------------------------------------------------------------- */

/*
 * Zeroing one takes the time of some hundred others: it is done before the lock is taken, in a mapping outside of the region, which
 * then takes the hole's place. There are so few of them that each may have a mapping of its own.
 */
static bool is_hole(const struct hole *hole)
{
	struct shadow_entry entry;

	return !shadow_lookup(hole->from->gmig->shadow, hole->gfn, &entry) &&
	       entry.state == SHADOW_NONE;
}

static void giant_ahead(struct first_touch *from, struct region *region, uint64_t gfn)
{
	const struct hole hole = {from, region, region_unit(region, gfn)};
	struct mempolicy *policy;

	from->page = NULL;
	if (!is_hole(&hole))
		return;
	policy = bindings_get(from->gmig->bindings, hole.gfn);
	fill_in_order(&hole, policy);
	mempolicy_put(policy);
}

static void giant_leave(struct first_touch *from, const struct region *region)
{
	huge_page_put(from->gmig, region, from->page);
	from->page = NULL;
}

/* Without a page: nobody has any, or it was no hole when giant_ahead() looked. It is tried again. */
static int giant_fill(struct first_touch *from, struct region *region, uint64_t gfn,
		      const struct shadow_entry *entry)
{
	const struct hole hole = {from, region, region_unit(region, gfn)};
	int ret;

	(void)entry;
	if (!from->page)
		return -ENOMEM;
	ret = huge_page_place(from->gmig, region, hole.gfn, from->page);
	if (ret)
		return ret;
	from->page = NULL;
	note(&hole, from->page_node);
	return 0;
}

/* By the thread that comes to its first block. */
static int giant_populate(struct gmig *gmig, struct region *region, uint64_t block_gfn)
{
	struct first_touch from = {.gmig = gmig, .uffd = gmig->vnodes[region->vnode].uffd};
	const struct hole hole = {&from, region, block_gfn};
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	struct mempolicy *policy;
	int ret;

	if (block_gfn != region_unit(region, block_gfn) || !is_hole(&hole))
		return 0;
	policy = bindings_get(gmig->bindings, block_gfn);
	ret = policy ? fill_in_order(&hole, policy)
		     : fill_from(&hole, atomic_load(&region->preferred_node));
	mempolicy_put(policy);
	if (ret)
		return ret;
	pthread_mutex_lock(&stripe->lock);
	if (is_hole(&hole))
		ret = giant_fill(&from, region, block_gfn, NULL);
	pthread_mutex_unlock(&stripe->lock);
	giant_leave(&from, region);
	return ret;
}

/* ---- What the kernel shows ------------------------------------------------------------------------- */

/*
 * A page is there as a whole or not at all, and nothing of it is ever in swap. A hole that was write-protected keeps a marker
 * of that in the page table, which looks like swap that is protected; a page that the kernel is migrating looks like swap
 * that is not.
 */
static int hugetlb_scan(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
			struct uffd_scan *scan)
{
	int ret = uffd_scan(gmig->sys, gmig->pagemap, region_hva(region, block_gfn), scan);

	for (unsigned int i = 0; i < BITS_WORDS; i++) {
		uint64_t marker = scan->swapped.word[i] & scan->protected.word[i];

		scan->present.word[i] &= ~marker;
		scan->protected.word[i] &= ~marker;
		scan->swapped.word[i] = 0;
	}
	scan->huge = bits_full(&scan->present);
	return ret;
}

static int hugetlb_discard(struct gmig *gmig, const struct region *region, uint64_t gfn,
			   uint64_t pages)
{
	if (gfn % region->unit_pages || pages % region->unit_pages)
		return -EINVAL;
	return gmig_sys_discard(gmig->sys, region_hva(region, gfn), pages * GMIG_PAGE_BYTES);
}

const struct region_kind region_hugetlb = {
    .name = "hugetlb",
    .always_whole = true,
    .map = hugetlb_map,
    .prefer = hugetlb_prefer,
    .guard = hugetlb_guard,
    .fill = hugetlb_fill,
    .populate = hugetlb_populate,
    .scan = hugetlb_scan,
    .discard = hugetlb_discard,
    .query = region_query,
};

const struct region_kind region_giant = {
    .name = "hugetlb",
    .always_whole = true,
    .map = hugetlb_map,
    .prefer = hugetlb_prefer,
    .guard = hugetlb_guard,
    .ahead = giant_ahead,
    .leave = giant_leave,
    .fill = giant_fill,
    .populate = giant_populate,
    .scan = hugetlb_scan,
    .discard = hugetlb_discard,
    .query = region_query,
};
