/* Guest RAM: laid out, mapped by libgmig, made known to KVM. vmm.h has the way from a guest address
 * to a pointer. */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

#include "options.h"
#include "vmm.h"

/*
 * Lay out the vnodes around the hole: regions without hva, sorted by gpa. Returns how many. Pure.
 */
size_t vmm_memory_layout(const struct vmm_options *options, struct vmm_region *region);
/* Called by the engine, with the vmm as `opaque`: gmig_options.job_event, .memory_broke. */
struct vmm_memory_events {
	void (*job)(void *opaque, const struct gmig_job_info *info);
	void (*broke)(void *opaque, uint64_t gpa);
};
/* Create the engine and map the regions. Before vmm_kvm_create, which says why. events NULL: nobody is told. */
int vmm_memory_create(struct vmm *vmm, const struct vmm_memory_events *events,
		      struct gmig_error *err);
/* Tell KVM about the regions: one slot each, or several if a region is larger than a slot can be.
 * -EINVAL: the memory ends above the host's guest-physical addresses. */
int vmm_memory_plug(struct vmm *vmm, struct gmig_error *err);
/*
 * All of RAM now, if --prealloc asks for it. stop: asked between blocks, by several threads. -ENOMEM: the text names the
 * node; -EINTR.
 */
int vmm_memory_prealloc(struct vmm *vmm, bool (*stop)(void *opaque), struct gmig_error *err);
/* No vCPU runs, the VM's descriptors are closed. */
void vmm_memory_destroy(struct vmm *vmm);

#endif
