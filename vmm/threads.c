#include "threads.h"
#include "sandbox.h"

#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(PLACEMENT_MAX_VNODES >= VMM_MAX_VNODES, "a home for every vnode");

static int own_tid(void)
{
	return (int)syscall(SYS_gettid);
}

/* A thread that cannot be confined does not go on. */
static void confine(struct vmm *vmm, enum sandbox_kind kind)
{
	struct gmig_error err;

	if (sandbox_enter(kind, &err))
		vmm_end(vmm, VMM_END_KVM_ERROR, err.text);
}

void vmm_threads_init(struct vmm *vmm)
{
	struct placement_options options = {
	    .main_tid = getpid(),
	    .off = vmm->options.no_pin,
	    .vnode_count = vmm->options.node_count,
	};

	for (unsigned int vnode = 0; vnode < vmm->options.node_count; vnode++)
		options.home[vnode] = vmm->options.node[vnode].host;
	placement_init(&vmm->placement, &options, vmm->topology);
}

void vmm_vcpu_begins(const struct vmm_vcpu *vcpu)
{
	const struct placement_thread thread = {.kind = PLACEMENT_VCPU,
						.id = vcpu->id,
						.vnode = vcpu->vnode,
						.tid = atomic_load(&vcpu->tid)};
	struct gmig_error err;

	if (placement_add(&vcpu->vmm->placement, &thread, &err))
		vmm_log(GMIG_LOG_WARNING, "vcpu=%u is not pinned: %s", vcpu->id, err.text);
	confine(vcpu->vmm, SANDBOX_DEVICE);
}

void vmm_helper_begins(struct vmm *vmm, enum vmm_helper helper)
{
	static const enum placement_kind kinds[] = {[VMM_HELPER_IO] = PLACEMENT_IO,
						    [VMM_HELPER_BLK] = PLACEMENT_BLK,
						    [VMM_HELPER_BALLOON] = PLACEMENT_BALLOON};
	const struct placement_thread thread = {
	    .kind = kinds[helper], .vnode = PLACEMENT_NO_VNODE, .tid = own_tid()};

	/* It does its work wherever it runs. */
	placement_add(&vmm->placement, &thread, NULL);
	confine(vmm, SANDBOX_DEVICE);
}

void vmm_helper_ends(struct vmm *vmm)
{
	placement_remove(&vmm->placement, own_tid());
}

void vmm_engine_thread(void *opaque, const struct gmig_thread *thread, bool begins)
{
	struct vmm *vmm = opaque;
	struct placement_thread it = {.vnode = PLACEMENT_NO_VNODE, .tid = own_tid()};

	if (!begins) {
		placement_remove(&vmm->placement, it.tid);
		return;
	}
	if (thread->kind == GMIG_THREAD_FAULT) {
		it.kind = PLACEMENT_FAULT;
		it.vnode = thread->vnode;
	} else if (thread->kind == GMIG_THREAD_SAMPLE) {
		it.kind = PLACEMENT_SAMPLE;
	} else {
		it.kind = thread->kind == GMIG_THREAD_COPY ? PLACEMENT_COPY : PLACEMENT_ZERO;
		for (unsigned int i = 0; i < thread->spec->to_count; i++)
			gmig_node_set_add(&it.nodes, thread->spec->to[i]);
	}
	placement_add(&vmm->placement, &it, NULL);
	/* Others inherit from control, or from main once it is confined. */
	if (thread->kind == GMIG_THREAD_FAULT)
		confine(vmm, SANDBOX_ENGINE);
}

void vmm_control_begins(void *opaque)
{
	confine(opaque, SANDBOX_CONTROL);
}

/* ---- After a job ----------------------------------------------------------------------------- */

unsigned int vmm_follow_job(struct vmm *vmm, const struct gmig_job_info *info,
			    struct vmm_followed followed[VMM_MAX_VNODES])
{
	bool all = info->spec.user == GUEST_VCPUS_ALL;
	unsigned int count = 0;

	if (info->spec.user == GUEST_VCPUS_KEEP)
		return 0;
	for (unsigned int vnode = 0; vnode < vmm->options.node_count; vnode++) {
		struct vmm_followed *one = &followed[count];
		uint64_t bytes[GMIG_MAX_NODES] = {0};
		unsigned int home = placement_home(&vmm->placement, vnode);

		if (vmm->options.node[vnode].mem_bytes && gmig_residency(vmm->gmig, vnode, bytes))
			continue;
		one->vnode = vnode;
		one->node = placement_target(&info->spec, vnode, home, all, bytes);
		if (one->node == GMIG_NO_NODE)
			continue;
		one->placed = placement_follow(&vmm->placement, vnode, one->node, all, &one->stay);
		/* Without a rule only those that are to follow do. */
		count += one->placed || (one->stay && !vmm->placement.off);
	}
	return count;
}
