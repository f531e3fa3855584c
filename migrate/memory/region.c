#include "region.h"

#include "../core/uffd.h"
#include "fault.h"
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/*
 * An explicit policy keeps AutoNUMA out; on fake nodes all memory is on the real node that the
 * process prefers. mbind(2) says EINVAL for a node that the cpuset forbids, and for one that is gone.
 */
static int region_bind(struct gmig *gmig, const struct region *region, unsigned int node,
		       struct gmig_error *err)
{
	int ret = gmig->sys->prefer_node(region->hva, region->pages * GMIG_PAGE_BYTES,
					 gmig->fake ? 0 : (int)node);
	char what[32];

	/* Of fake nodes no memory has to lie anywhere: not on node 0 either, where that has none. */
	if (!ret || ret == -ENOSYS || (gmig->fake && ret == -EINVAL))
		return 0;
	/* Where nothing migrates, or only in pretence, the guest runs wherever the kernel puts it. */
	if (ret == -EPERM && (gmig->plain || gmig->fake))
		return 0;
	if (ret == -EPERM)
		return gmig_fail(
		    err, ret,
		    "mbind(2) is refused (EPERM), as seccomp filters of containers do: "
		    "allow mbind, set_mempolicy and move_pages, or add CAP_SYS_NICE");
	if (ret == -EINVAL) {
		memory_topology_refresh(&gmig->memory, NULL);
		snprintf(what, sizeof(what), "node %u", node);
		ret = memory_check_target(&gmig->memory, node, what, err);
		if (ret)
			return ret;
		return gmig_fail(
		    err, -EACCES,
		    "memory cannot be placed on node %u: this thread's cpuset leaves it "
		    "out (Mems_allowed in /proc/thread-self/status)",
		    node);
	}
	return gmig_fail(err, ret, "mbind(2) to node %u: %s", node, gmig_errno_name(ret));
}

/* ---- Where new memory goes: callers hold engine.lock ------------------------------------------ */

/* A job's say. Kept until the job ends: the one below it counts again then. */
struct preference {
	struct preference *next;
	uint64_t owner;
	unsigned int node;
};

static int preference_apply(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	unsigned int node = region->preferences ? region->preferences->node : region->base_node;
	int ret = 0;

	if (node != atomic_load(&region->preferred_node))
		ret = region_bind(gmig, region, node, err);
	if (!ret)
		atomic_store(&region->preferred_node, node);
	return ret;
}

static int preference_add(struct gmig *gmig, struct region *region, uint64_t owner,
			  unsigned int node, struct gmig_error *err)
{
	struct preference *own = malloc(sizeof(*own));
	int ret;

	if (!own)
		return gmig_fail(err, -ENOMEM, "no memory for a job");
	*own = (struct preference){region->preferences, owner, node};
	region->preferences = own;
	ret = preference_apply(gmig, region, err);
	if (ret) {
		region->preferences = own->next;
		free(own);
	}
	return ret;
}

/* GMIG_NO_NODE: the job had none. */
static unsigned int preference_remove(struct region *region, uint64_t owner)
{
	struct preference **link = &region->preferences, *own;
	unsigned int node = GMIG_NO_NODE;

	while (*link && (*link)->owner != owner)
		link = &(*link)->next;
	own = *link;
	if (own) {
		node = own->node;
		*link = own->next;
		free(own);
	}
	return node;
}

int region_prefer(struct gmig *gmig, struct region *region, const struct memory_follow *follow,
		  struct gmig_error *err)
{
	unsigned int node;
	int ret = 0;

	pthread_mutex_lock(&gmig->lock);
	node = follow->target(follow->arg, region->base_node);
	if (node != GMIG_NO_NODE)
		ret = preference_add(gmig, region, follow->owner, node, err);
	pthread_mutex_unlock(&gmig->lock);
	return ret;
}

void region_prefer_end(struct gmig *gmig, struct region *region, const struct memory_follow *follow,
		       bool keep)
{
	unsigned int node;

	pthread_mutex_lock(&gmig->lock);
	node = preference_remove(region, follow->owner);
	if (node == GMIG_NO_NODE)
		node = follow->target(follow->arg, region->base_node);
	if (keep && node != GMIG_NO_NODE)
		region->base_node = node;
	/* A node that is not to be had any more: what serves now goes on to. */
	preference_apply(gmig, region, NULL);
	pthread_mutex_unlock(&gmig->lock);
}

/* ---- Regions ----------------------------------------------------------------------------------- */

static int region_check(struct gmig *gmig, const struct gmig_region_spec *spec,
			struct gmig_error *err)
{
	uint64_t gfn = spec->gpa / GMIG_PAGE_BYTES, pages = spec->bytes / GMIG_PAGE_BYTES;
	unsigned int count = atomic_load(&gmig->region_count);
	char what[48];
	int ret;

	if (spec->gpa % GMIG_BLOCK_BYTES || spec->bytes % GMIG_BLOCK_BYTES || !spec->bytes)
		return gmig_fail(err, -EINVAL,
				 "region at 0x%llx: address and size must be multiples of 2 MiB",
				 (unsigned long long)spec->gpa);
	if (spec->vnode >= GMIG_MAX_VNODES)
		return gmig_fail(err, -EINVAL, "vnode %u: at most %u vnodes", spec->vnode,
				 GMIG_MAX_VNODES);
	memory_topology_refresh(&gmig->memory, NULL); /* else the last look has to do */
	snprintf(what, sizeof(what), "host node %u of vnode %u", spec->host_node, spec->vnode);
	ret = memory_check_target(&gmig->memory, spec->host_node, what, err);
	if (ret)
		return ret;
	if (count == ENGINE_REGIONS)
		return gmig_fail(err, -EINVAL, "more than %u regions", ENGINE_REGIONS);
	for (unsigned int i = 0; i < count; i++) {
		const struct region *other = &gmig->regions[i];

		if (gfn < other->gfn + other->pages && other->gfn < gfn + pages)
			return gmig_fail(err, -EINVAL,
					 "region at 0x%llx overlaps the one at 0x%llx",
					 (unsigned long long)spec->gpa,
					 (unsigned long long)(other->gfn * GMIG_PAGE_BYTES));
	}
	return 0;
}

static int ram_map(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	size_t bytes = region->pages * GMIG_PAGE_BYTES;
	void *hva;
	int ret = gmig_sys_map_aligned(gmig->sys, bytes, &region->reserved, &hva);

	if (ret)
		return gmig_fail(err, ret, "cannot map %llu MiB of guest memory: %s",
				 (unsigned long long)(bytes >> 20), gmig_errno_name(ret));
	region->hva = hva;
	/* A kernel without huge pages refuses these two; small pages are then what there is. */
	gmig->sys->advise(hva, bytes, gmig->options.small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	gmig->sys->advise(hva, bytes, MADV_UNMERGEABLE);
	ret = gmig->sys->advise(hva, bytes, MADV_DONTFORK);
	if (ret)
		return gmig_fail(err, ret, "cannot keep guest memory out of fork: %s",
				 gmig_errno_name(ret));
	return region_bind(gmig, region, atomic_load(&region->preferred_node), err);
}

static int ram_guard(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	struct vnode *vnode = &gmig->vnodes[region->vnode];
	int ret;

	if (gmig->plain)
		return 0;
	if (vnode->uffd < 0) {
		ret = uffd_open(gmig->sys, UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_PAGEFAULT_FLAG_WP,
				&vnode->uffd, NULL);
		if (ret)
			return gmig_fail(err, ret, "cannot open a userfaultfd: %s",
					 gmig_errno_name(ret));
	}
	ret = uffd_register(gmig->sys, vnode->uffd, region->hva, region->pages * GMIG_PAGE_BYTES,
			    UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	if (ret)
		return gmig_fail(err, ret, "cannot register the region with userfaultfd: %s",
				 gmig_errno_name(ret));
	if (vnode->fault)
		return 0;
	return fault_start(gmig, region->vnode, &vnode->fault, err);
}

static int ram_scan(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
		    struct uffd_scan *scan)
{
	return uffd_scan(gmig->sys, gmig->pagemap, region_hva(region, block_gfn), scan);
}

static int ram_discard(struct gmig *gmig, const struct region *region, uint64_t gfn, uint64_t pages)
{
	return gmig_sys_discard(gmig->sys, region_hva(region, gfn), pages * GMIG_PAGE_BYTES);
}

static int ram_query(struct gmig *gmig, const struct region *region, size_t count,
		     const uint64_t *gfns, int *status)
{
	void *pages[GMIG_BLOCK_PAGES];

	for (size_t i = 0; i < count; i++)
		pages[i] = region_hva(region, gfns[i]);
	return gmig->sys->query_nodes(count, pages, status);
}

const struct region_kind region_ram = {
    .name = "ram",
    .unit_pages = GMIG_BLOCK_PAGES,
    .map = ram_map,
    .guard = ram_guard,
    .scan = ram_scan,
    .discard = ram_discard,
    .query = ram_query,
};

/* ---- Adding one ------------------------------------------------------------------------------ */

/* The table comes last, since it cannot be taken back: a region that could not be added may be tried again. */
static int region_build(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	int ret = region->kind->map(gmig, region, err);

	if (!ret)
		ret = region->kind->guard(gmig, region, err);
	if (ret)
		return ret;
	ret = ledger_add_vnode(gmig->ledger, region->vnode);
	if (!ret)
		ret = shadow_reserve(gmig->shadow, region->gfn, region->pages);
	if (ret)
		return gmig_fail(err, ret, "no memory for the region's shadow table: %s",
				 gmig_errno_name(ret));
	return 0;
}

static int region_add(struct gmig *gmig, const struct gmig_region_spec *spec, void **hva,
		      struct gmig_error *err)
{
	unsigned int count = atomic_load(&gmig->region_count);
	struct region *region = &gmig->regions[count];
	int ret = region_check(gmig, spec, err);

	if (ret)
		return ret;
	region->kind = &region_ram;
	region->vnode = spec->vnode;
	region->gfn = spec->gpa / GMIG_PAGE_BYTES;
	region->pages = spec->bytes / GMIG_PAGE_BYTES;
	region->reserved = NULL;
	region->base_node = spec->host_node;
	atomic_store(&region->audited_ns, gmig->sys->now_ns()); /* nothing is believed yet */
	atomic_store(&region->preferred_node, spec->host_node);
	ret = region_build(gmig, region, err);
	if (ret) {
		if (region->reserved)
			gmig->sys->unmap(region->reserved, spec->bytes + GMIG_SYS_GUARD_BYTES);
		return ret;
	}
	atomic_store(&gmig->region_count, count + 1);
	*hva = region->hva;
	return 0;
}

int gmig_region_add(struct gmig *gmig, const struct gmig_region_spec *spec, void **hva,
		    struct gmig_error *err)
{
	int ret;

	pthread_mutex_lock(&gmig->lock);
	ret = region_add(gmig, spec, hva, err);
	pthread_mutex_unlock(&gmig->lock);
	return ret;
}
