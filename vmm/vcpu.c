/*
 * vCPU threads: the gate at which they park, the run loop, and the dispatch of exits.
 *
 * Before a vCPU parks, it lets KVM complete the I/O that its last exit asked for: KVM does that at
 * the start of the next KVM_RUN, and writes registers. A reset that sets them in between would send
 * the vCPU back into the old guest (Documentation/virt/kvm/api.rst, 5: "operations are complete only
 * after userspace has re-entered the kernel").
 *
 * Parking: a thread that parks vCPUs sets the gate's order under its lock, then sets immediate_exit
 * and sends the kick signal. A vCPU clears immediate_exit under the same lock before it reads the
 * order. So a kick is never lost: either the vCPU has not read the order yet and will see it, or it
 * has, and immediate_exit makes its next KVM_RUN return.
 */
#include "vcpu.h"
#include "broken.h"
#include "bus.h"
#include "deadline.h"
#include "hold.h"
#include "threads.h"
#include "undo.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STARVED_REST_MS 10
#define STARVED_TOLD	1000 /* each so many rests */

/* ---- Exits ----------------------------------------------------------------------------------- */

static void exit_io(struct vmm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
		vmm_bus_access(&vcpu->vmm->pio, run->io.port, data, run->io.size,
			       run->io.direction == KVM_EXIT_IO_OUT);
}

static void end_kvm_error(struct vmm_vcpu *vcpu, const char *what)
{
	struct kvm_regs regs = {0};
	char text[GMIG_ERROR_TEXT], bytes[3 * 16 + 1] = "";
	const uint8_t *code;

	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	/* rip is a virtual address. These are its bytes only if the guest maps them at the same
	 * physical address, as both guests do at first. */
	code = vmm_guest_ptr(vcpu->vmm, regs.rip, 16);
	for (unsigned int i = 0; code && i < 16; i++)
		snprintf(bytes + 3 * i, 4, " %02x", code[i]);
	snprintf(text, sizeof(text), "vcpu=%u %s rip=0x%llx bytes:%s", vcpu->id, what,
		 (unsigned long long)regs.rip, code ? bytes : " not mapped");
	vmm_end(vcpu->vmm, VMM_END_KVM_ERROR, text);
}

static void exit_internal_error(struct vmm_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	char what[64];

	snprintf(what, sizeof(what), "KVM internal error, suberror %u%s", run->internal.suberror,
		 run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ? " (cannot emulate)" : "");
	end_kvm_error(vcpu, what);
}

static void exit_unknown(struct vmm_vcpu *vcpu)
{
	char what[64];

	snprintf(what, sizeof(what), "unexpected exit %u", vcpu->run->exit_reason);
	end_kvm_error(vcpu, what);
}

static void exit_shutdown(struct vmm_vcpu *vcpu)
{
	char text[64];

	snprintf(text, sizeof(text), "vcpu=%u triple fault", vcpu->id);
	vmm_end(vcpu->vmm, VMM_END_TRIPLE_FAULT, text);
}

static void exit_system_event(struct vmm_vcpu *vcpu)
{
	if (vcpu->run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN)
		vmm_end(vcpu->vmm, VMM_END_POWER_OFF, "the guest powered off");
	else if (vcpu->run->system_event.type == KVM_SYSTEM_EVENT_RESET)
		vmm_end(vcpu->vmm, VMM_END_REBOOT, "the guest asked for a reset");
	else
		exit_unknown(vcpu);
}

static void dispatch(struct vmm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		exit_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		vmm_bus_access(&vcpu->vmm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
			       run->mmio.is_write);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SHUTDOWN:
		exit_shutdown(vcpu);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		exit_system_event(vcpu);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		exit_internal_error(vcpu);
		break;
	default:
		exit_unknown(vcpu);
	}
}

/* ---- Broken memory ------------------------------------------------------------------------- */

/* volatile: the compiler assumes that nothing reads it during a system call. */
static _Thread_local struct vmm_vcpu *volatile in_kvm_run;

/*
 * KVM reports broken guest memory by a signal to the thread in KVM_RUN, and would retry for ever.
 * Broken memory that nobody has touched yet (BUS_MCEERR_AO) is no reason to end the guest.
 * Everything else is a bus error of our own.
 */
static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	struct vmm_vcpu *vcpu = in_kvm_run;

	if (info->si_code == BUS_MCEERR_AO) {
		broken_note((uintptr_t)info->si_addr);
		return;
	}
	if (vcpu && info->si_code == BUS_MCEERR_AR) {
		atomic_store(&vcpu->broken_hva, (uintptr_t)info->si_addr);
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		return;
	}
	undo_fatal(signal, info, context);
}

void vmm_vcpus_handle_sigbus(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	sigaction(SIGBUS, &action, NULL);
}

/* false: it is not the guest's. */
static bool find_gpa(const struct vmm *vmm, uintptr_t hva, uint64_t *gpa)
{
	for (size_t i = 0; i < vmm->region_count; i++)
		if (hva - (uintptr_t)vmm->region[i].hva < vmm->region[i].bytes) {
			*gpa = vmm->region[i].gpa + (hva - (uintptr_t)vmm->region[i].hva);
			return true;
		}
	return false;
}

static void let_others_join(struct vmm_vcpu *vcpu)
{
	for (unsigned int i = 0; i < vcpu->vmm->options.cpus; i++)
		if (i != vcpu->id) {
			atomic_store(&vcpu->vmm->vcpu[i].check_joins, true);
			vmm_vcpu_kick(&vcpu->vmm->vcpu[i]);
		}
}

/* The guest's kernel is told, as by hardware, and ends who needs the page. One that cannot be told cannot go on. */
static void memory_broken(struct vmm_vcpu *vcpu)
{
	uintptr_t hva = atomic_exchange(&vcpu->broken_hva, 0);
	uint64_t gpa = 0;
	bool known = find_gpa(vcpu->vmm, hva, &gpa);
	char text[112];

	if (known && vcpu->has_checks && machine_check_raise(vcpu->fd, vcpu->vendor, gpa)) {
		vmm_log_guest(GMIG_LOG_WARNING,
			      "event=machine-check vcpu=%u gpa=0x%llx text=\"the guest has read "
			      "broken memory, and is told\"",
			      vcpu->id, (unsigned long long)gpa);
		broken_note(hva);
		if (vcpu->vendor == MACHINE_CHECK_INTEL)
			let_others_join(vcpu);
		return;
	}
	snprintf(text, sizeof(text), "vcpu=%u guest memory at gpa 0x%llx (hva 0x%llx) is broken",
		 vcpu->id, (unsigned long long)gpa, (unsigned long long)hva);
	vmm_end(vcpu->vmm, VMM_END_MEMORY_LOST, text);
}

/*
 * The host, or the VM's cgroup, has no memory for KVM's own tables. That passes, or its operator ends the VM: the guest
 * waits, and has lost nothing.
 */
static void wait_for_memory(struct vmm_vcpu *vcpu)
{
	if (vcpu->starved++ % STARVED_TOLD == 0)
		vmm_log(GMIG_LOG_WARNING,
			"event=kvm-no-memory vcpu=%u text=\"KVM_RUN: ENOMEM, "
			"which is tried again\"",
			vcpu->id);
	poll(NULL, 0, STARVED_REST_MS);
}

static void run_failed(struct vmm_vcpu *vcpu, int error)
{
	char text[96];

	if (error == EINTR || error == EAGAIN)
		return;
	if (error == ENOMEM) {
		wait_for_memory(vcpu);
		return;
	}
	if (error == EFAULT || error == EHWPOISON) {
		snprintf(text, sizeof(text), "vcpu=%u guest memory cannot be read: %s", vcpu->id,
			 strerror(error));
		vmm_end(vcpu->vmm, VMM_END_MEMORY_LOST, text);
		return;
	}
	snprintf(text, sizeof(text), "KVM_RUN: %s", strerror(error));
	end_kvm_error(vcpu, text);
}

/* KVM_RUN, and what it asked for. */
static void run_once(struct vmm_vcpu *vcpu)
{
	int ret, error;

	/* Who takes none now has not come up yet, or has one of its own. */
	if (atomic_load_explicit(&vcpu->check_joins, memory_order_relaxed) &&
	    atomic_exchange(&vcpu->check_joins, false))
		machine_check_join(vcpu->fd);
	in_kvm_run = vcpu;
	ret = ioctl(vcpu->fd, KVM_RUN, 0);
	error = errno;
	in_kvm_run = NULL;
	atomic_fetch_add_explicit(&vcpu->exits, 1, memory_order_relaxed);
	vcpu->incomplete = !ret;
	if (atomic_load_explicit(&vcpu->broken_hva, memory_order_relaxed))
		memory_broken(vcpu);
	else if (ret < 0)
		run_failed(vcpu, error);
	else
		dispatch(vcpu);
	if (ret >= 0)
		vcpu->starved = 0;
}

/*
 * Let KVM complete the last exit's operation without a further instruction of the guest. One
 * instruction may need several exits: a string, an access that crosses a page.
 */
static void complete(struct vmm_vcpu *vcpu)
{
	while (vcpu->incomplete) {
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		run_once(vcpu);
	}
}

/* gate.lock held. An end that main has not handled yet also parks: a guest that powered off must
 * not run on. */
static bool must_park(const struct vmm *vmm)
{
	return vmm->gate.order == VMM_GATE_PARK ||
	       (vmm->gate.order == VMM_GATE_RUN && atomic_load(&vmm->end) != VMM_END_NONE);
}

/*
 * The guest's clocks have gone on meanwhile. Linux's watchdogs (soft lockup, stalled RCU) stay quiet
 * when kvmclock says that the host stopped the guest. EINVAL: the guest does not use kvmclock.
 */
static void tell_stopped(const struct vmm_vcpu *vcpu)
{
	if (ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0) && errno != EINVAL && errno != ENOTTY)
		vmm_log_guest(GMIG_LOG_WARNING, "vcpu=%u the guest cannot hear of its stop: %s",
			      vcpu->id, strerror(errno));
}

/* Waits while the vCPU is parked. false: leave the run loop. */
static bool gate_pass(struct vmm_vcpu *vcpu)
{
	struct vmm_gate *gate = &vcpu->vmm->gate;
	bool run, was_parked = false;

	pthread_mutex_lock(&gate->lock);
	while (must_park(vcpu->vmm) || (gate->hold && gate->order == VMM_GATE_RUN)) {
		if (!must_park(vcpu->vmm)) {
			/* Nothing changes the guest meanwhile: KVM may complete its I/O later. */
			vcpu->held = true;
			pthread_cond_broadcast(&gate->parked_changed);
			pthread_cond_wait(&gate->order_changed, &gate->lock);
			continue;
		}
		if (vcpu->incomplete) {
			pthread_mutex_unlock(&gate->lock);
			complete(vcpu);
			pthread_mutex_lock(&gate->lock);
			continue;
		}
		vcpu->parked = was_parked = true;
		pthread_cond_broadcast(&gate->parked_changed);
		pthread_cond_wait(&gate->order_changed, &gate->lock);
	}
	vcpu->parked = vcpu->held = false;
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	run = gate->order == VMM_GATE_RUN;
	pthread_mutex_unlock(&gate->lock);
	if (run && was_parked)
		tell_stopped(vcpu);
	return run;
}

static void *vcpu_thread(void *opaque)
{
	struct vmm_vcpu *vcpu = opaque;
	struct vmm_gate *gate = &vcpu->vmm->gate;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
	pthread_setname_np(pthread_self(), name);
	atomic_store(&vcpu->tid, (int)syscall(SYS_gettid));
	gmig_name_vcpu_thread(vcpu->vmm->gmig, vcpu->vnode, atomic_load(&vcpu->tid));
	vmm_vcpu_begins(vcpu);
	while (gate_pass(vcpu))
		run_once(vcpu);
	placement_remove(&vcpu->vmm->placement, atomic_load(&vcpu->tid));
	pthread_mutex_lock(&gate->lock);
	vcpu->ended = true;
	pthread_cond_broadcast(&gate->parked_changed);
	pthread_mutex_unlock(&gate->lock);
	return NULL;
}

/* ---- Gate, from outside ---------------------------------------------------------------------- */

static void gate_order(struct vmm *vmm, enum vmm_gate_order order)
{
	pthread_mutex_lock(&vmm->gate.lock);
	vmm->gate.order = order;
	pthread_cond_broadcast(&vmm->gate.order_changed);
	if (order != VMM_GATE_RUN)
		for (unsigned int i = 0; i < vmm->options.cpus; i++)
			vmm_vcpu_kick(&vmm->vcpu[i]);
	pthread_mutex_unlock(&vmm->gate.lock);
}

/*
 * Wait until every started vCPU is parked (ended: past its last run). NULL, or a vCPU that is not.
 */
static struct vmm_vcpu *gate_wait(struct vmm *vmm, int timeout_ms, bool ended)
{
	struct vmm_vcpu *late = NULL;
	const struct timespec until = deadline_in(timeout_ms);
	int ret = 0;

	pthread_mutex_lock(&vmm->gate.lock);
	do {
		late = NULL;
		for (unsigned int i = 0; i < vmm->options.cpus && !late; i++) {
			struct vmm_vcpu *vcpu = &vmm->vcpu[i];

			if (vcpu->started && !vcpu->ended && (ended || !vcpu->parked))
				late = vcpu;
		}
		if (late && !ret)
			ret = deadline_wait(&vmm->gate.parked_changed, &vmm->gate.lock, &until);
		else
			break;
	} while (true);
	pthread_mutex_unlock(&vmm->gate.lock);
	return late;
}

int vmm_vcpus_park(struct vmm *vmm, int timeout_ms, struct gmig_error *err)
{
	struct vmm_vcpu *late;

	gate_order(vmm, VMM_GATE_PARK);
	late = gate_wait(vmm, timeout_ms, false);
	if (late)
		return gmig_fail(err, -ETIMEDOUT,
				 "vCPU %u does not stop within %d ms: asleep on a page fault?",
				 late->id, timeout_ms);
	return 0;
}

void vmm_vcpus_resume(struct vmm *vmm)
{
	gate_order(vmm, VMM_GATE_RUN);
}

int vmm_vcpus_join(struct vmm *vmm, int timeout_ms, struct gmig_error *err)
{
	struct vmm_vcpu *late;

	gate_order(vmm, VMM_GATE_LEAVE);
	late = gate_wait(vmm, timeout_ms, true);
	if (late)
		return gmig_fail(err, -ETIMEDOUT,
				 "vCPU %u does not end within %d ms: asleep on a page fault?",
				 late->id, timeout_ms);
	for (unsigned int i = 0; i < vmm->options.cpus; i++)
		if (vmm->vcpu[i].started) {
			pthread_join(vmm->vcpu[i].thread, NULL);
			vmm->vcpu[i].started = false;
		}
	return 0;
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void kick_handler(int signal)
{
	(void)signal;
}

static unsigned int vnode_of_cpu(const struct vmm_options *options, unsigned int cpu)
{
	for (unsigned int i = 0; i < options->node_count; i++)
		if (options->node[i].cpus & 1ull << cpu)
			return i;
	return 0;
}

static int place_cpus(struct vmm *vmm, struct gmig_error *err)
{
	uint64_t cpus_of_node[VMM_MAX_VNODES];
	int most = ioctl(vmm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	int ids = ioctl(vmm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);

	for (unsigned int i = 0; i < vmm->options.node_count; i++)
		cpus_of_node[i] = vmm->options.node[i].cpus;
	if (cpu_topology_make(vmm->options.cpus, cpus_of_node, vmm->options.node_count, vmm->place))
		return gmig_fail(err, -ERANGE, "too many APIC ids");
	for (unsigned int i = 0; i < vmm->options.cpus; i++)
		if ((most > 0 && i >= (unsigned int)most) ||
		    (ids > 0 && vmm->place[i].apic_id >= (unsigned int)ids))
			return gmig_fail(
			    err, -EINVAL,
			    "this host's KVM has at most %d vCPUs, with APIC ids below %d; "
			    "vCPU %u would have APIC id %u",
			    most, ids, i, vmm->place[i].apic_id);
	return 0;
}

int vmm_vcpus_create(struct vmm *vmm, struct gmig_error *err)
{
	int run_bytes = ioctl(vmm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0), ret;

	if (run_bytes < (int)sizeof(struct kvm_run))
		return gmig_fail(err, -EIO, "KVM_GET_VCPU_MMAP_SIZE gives %d", run_bytes);
	ret = place_cpus(vmm, err);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < vmm->options.cpus; i++) {
		struct vmm_vcpu *vcpu = &vmm->vcpu[i];

		vcpu->vmm = vmm;
		vcpu->id = i;
		vcpu->vnode = vnode_of_cpu(&vmm->options, i);
		vcpu->fd = ioctl(vmm->vm_fd, KVM_CREATE_VCPU, vmm->place[i].apic_id);
		if (vcpu->fd < 0)
			return gmig_fail(err, -errno, "KVM_CREATE_VCPU %u: %s", i, strerror(errno));
		vcpu->run_bytes = (size_t)run_bytes;
		vcpu->run =
		    mmap(NULL, vcpu->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
		if (vcpu->run == MAP_FAILED) {
			vcpu->run = NULL;
			return gmig_fail(err, -errno, "cannot map vCPU %u: %s", i, strerror(errno));
		}
		ret = vmm_cpuid_set(vcpu, err);
		if (!ret)
			ret = vmm_vcpu_save_power_on(vcpu, err);
		if (ret)
			return ret;
	}
	return 0;
}

void vmm_vcpus_destroy(struct vmm *vmm)
{
	for (unsigned int i = 0; i < VMM_MAX_VCPUS; i++) {
		struct vmm_vcpu *vcpu = &vmm->vcpu[i];

		if (vcpu->run)
			munmap(vcpu->run, vcpu->run_bytes);
		if (vcpu->fd >= 0)
			close(vcpu->fd);
		vmm_vcpu_free_power_on(vcpu);
		vcpu->run = NULL;
		vcpu->fd = -1;
	}
}

int vmm_vcpus_start(struct vmm *vmm, struct gmig_error *err)
{
	struct sigaction action = {.sa_handler = kick_handler};

	sigaction(VMM_KICK_SIGNAL, &action, NULL);
	for (unsigned int i = 0; i < vmm->options.cpus; i++) {
		struct vmm_vcpu *vcpu = &vmm->vcpu[i];
		int ret = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);

		if (ret)
			return gmig_fail(err, -ret, "cannot start vCPU %u: %s", i, strerror(ret));
		vcpu->started = true;
	}
	return 0;
}
