/* Faults on a region become messages of its vnode's userfaultfd, which one thread of the vnode serves. */
#include "fault.h"
#include "region.h"

int region_guard(struct gmig *gmig, struct region *region, struct gmig_error *err)
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
