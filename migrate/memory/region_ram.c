/* Private anonymous memory: what gmig-vmm's guests have. */
#include "bound_touch.h"
#include "fault.h"
#include "region.h"

#include <errno.h>
#include <sys/mman.h>

/*
 * An explicit policy keeps AutoNUMA out; on fake nodes all memory is on the real node that the
 * process prefers. mbind(2) says EINVAL for a node that the cpuset forbids, and for one that is gone.
 */
static int ram_prefer(struct gmig *gmig, const struct region *region, unsigned int node,
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
	if (!gmig->options.dump_memory)
		gmig->sys->advise(hva, bytes, MADV_DONTDUMP);
	ret = gmig->sys->advise(hva, bytes, MADV_DONTFORK);
	if (ret)
		return gmig_fail(err, ret, "cannot keep guest memory out of fork: %s",
				 gmig_errno_name(ret));
	return ram_prefer(gmig, region, atomic_load(&region->preferred_node), err);
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
    .prefer = ram_prefer,
    .guard = ram_guard,
    .fill = bound_touch_fill,
    .scan = ram_scan,
    .discard = ram_discard,
    .query = ram_query,
};
