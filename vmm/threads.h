/* The threads of a machine, each registered with its placement, and what a migration does to that. */
#ifndef VMM_THREADS_H
#define VMM_THREADS_H

#include "internal.h"

/* Before the first of them begins; the topology is known. */
void vmm_threads_init(struct vmm *vmm);
/* On the vCPU's thread, whose tid is set. */
void vmm_vcpu_begins(const struct vmm_vcpu *vcpu);
/* For struct gmig_options; opaque is the vmm. */
void vmm_engine_thread(void *opaque, const struct gmig_thread *thread, bool begins);

/* On the control server's thread; opaque is the vmm. */
void vmm_control_begins(void *opaque);

/* A vnode that has a new home: how many of its vCPUs went there, and how many did not. */
struct vmm_followed {
	unsigned int vnode, node, placed, stay;
};
/*
 * A job has completed: let vCPUs follow the memory as the job's spec says (`user`, enum guest_vcpus). Any thread. Returns
 * the number of vnodes in `followed`.
 */
unsigned int vmm_follow_job(struct vmm *vmm, const struct gmig_job_info *info,
			    struct vmm_followed followed[VMM_MAX_VNODES]);

#endif
