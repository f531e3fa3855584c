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
/*
 * A job has completed: let vCPUs follow the memory as the job's spec says (`user`, enum guest_vcpus), and tell the log and
 * clients (event VCPUS_FOLLOWED). On the job's thread.
 */
void vmm_follow_job(struct vmm *vmm, const struct gmig_job_info *info);

#endif
