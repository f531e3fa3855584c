/* What the kinds of regions have in common: a policy, advice, and the question where pages lie. */
#include "region.h"

#include <errno.h>
#include <sys/mman.h>

/*
 * An explicit policy keeps AutoNUMA out; on fake nodes all memory is on the real node that the
 * process prefers. mbind(2) says EINVAL for a node that the cpuset forbids, and for one that is gone.
 */
int region_bind(struct gmig *gmig, const struct region *region, unsigned int node,
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

int region_advise(struct gmig *gmig, const struct region *region, struct gmig_error *err)
{
	size_t bytes = region->pages * GMIG_PAGE_BYTES;
	int ret;

	/* A kernel without huge pages refuses these two; small pages are then what there is. */
	gmig->sys->advise(region->hva, bytes,
			  gmig->options.small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	gmig->sys->advise(region->hva, bytes, MADV_UNMERGEABLE);
	if (!gmig->options.dump_memory)
		gmig->sys->advise(region->hva, bytes, MADV_DONTDUMP);
	ret = gmig->sys->advise(region->hva, bytes, MADV_DONTFORK);
	if (ret)
		return gmig_fail(err, ret, "cannot keep guest memory out of fork: %s",
				 gmig_errno_name(ret));
	return 0;
}

int region_query(struct gmig *gmig, const struct region *region, size_t count, const uint64_t *gfns,
		 int *status)
{
	void *pages[GMIG_BLOCK_PAGES];

	for (size_t i = 0; i < count; i++)
		pages[i] = region_hva(region, gfns[i]);
	return gmig->sys->query_nodes(count, pages, status);
}
