/*
 * The machine as a whole: built and taken down, loaded, and its states.
 */
#include "machine.h"
#include "../migrate/gmig_heat.h"
#include "boot.h"
#include "device.h"
#include "end.h"
#include "kvm.h"
#include "memory.h"
#include "probe.h"
#include "vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

int vmm_create(const struct vmm_options *options, struct vmm **out, struct gmig_error *err)
{
	struct vmm *vmm = calloc(1, sizeof(*vmm));

	if (!vmm)
		return gmig_fail(err, -ENOMEM, "no memory for the machine");
	vmm->options = *options;
	vmm->kvm_fd = vmm->vm_fd = -1;
	vmm->loop.epoll_fd = vmm->loop.stop_fd = -1;
	for (unsigned int i = 0; i < VMM_MAX_VCPUS; i++)
		vmm->vcpu[i].fd = -1;
	pthread_mutex_init(&vmm->state_lock, NULL);
	pthread_mutex_init(&vmm->end_lock, NULL);
	pthread_rwlock_init(&vmm->control_lock, NULL);
	pthread_mutex_init(&vmm->gate.lock, NULL);
	pthread_cond_init(&vmm->gate.order_changed, NULL);
	pthread_cond_init(&vmm->gate.parked_changed, NULL);
	vmm_bus_init(&vmm->pio);
	vmm_bus_init(&vmm->mmio);
	vmm->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vmm->end_fd < 0) {
		vmm_destroy(vmm);
		return gmig_fail(err, -errno, "eventfd: %s", strerror(errno));
	}
	*out = vmm;
	return 0;
}

void vmm_destroy(struct vmm *vmm)
{
	if (!vmm)
		return;
	vmm_loop_destroy(&vmm->loop);
	vmm_devices_destroy(vmm->devices);
	probe_destroy(vmm->probe);
	vmm_vcpus_destroy(vmm);
	vmm_kvm_destroy(vmm);
	vmm_memory_destroy(vmm);
	placement_destroy(&vmm->placement);
	if (vmm->end_fd >= 0)
		close(vmm->end_fd);
	vmm_bus_destroy(&vmm->pio);
	vmm_bus_destroy(&vmm->mmio);
	gmig_topology_put(vmm->topology);
	free(vmm);
}

/* ---- Loading the guest ----------------------------------------------------------------------- */

static int load_linux(struct vmm *vmm, struct gmig_error *err)
{
	struct vmm_boot_entry entry;
	struct vmm_long_mode mode;
	struct kvm_regs regs = {.rflags = 2};
	int ret;

	ret = vmm_boot_load(vmm, &vmm->options, &entry, err);
	if (ret)
		return ret;
	mode = (struct vmm_long_mode){
	    .cr3 = entry.cr3, .gdt_gpa = entry.gdt_gpa, .gdt_limit = entry.gdt_limit};
	ret = vmm_vcpu_set_long_mode(&vmm->vcpu[0], &mode, err);
	if (ret)
		return ret;
	regs.rip = entry.rip;
	regs.rsi = entry.rsi;
	regs.rsp = entry.rsp;
	if (ioctl(vmm->vcpu[0].fd, KVM_SET_REGS, &regs))
		return gmig_fail(err, -errno, "KVM_SET_REGS: %s", strerror(errno));
	return 0;
}

int vmm_guest_load(struct vmm *vmm, struct gmig_error *err)
{
	return vmm->options.kernel ? load_linux(vmm, err) : probe_load(vmm->probe, err);
}

/* ---- States ---------------------------------------------------------------------------------- */

enum vmm_state vmm_state(struct vmm *vmm)
{
	enum vmm_state state;

	pthread_mutex_lock(&vmm->state_lock);
	state = vmm->state;
	pthread_mutex_unlock(&vmm->state_lock);
	return state;
}

static int refuse_unless(struct vmm *vmm, enum vmm_state wanted, const char *event,
			 struct gmig_error *err)
{
	static const char *const names[] = {"starting", "running", "stopped", "shut down"};

	if (vmm->state == wanted)
		return 0;
	return gmig_fail(err, vmm->state == VMM_STATE_SHUTDOWN ? -ESHUTDOWN : -EALREADY,
			 "%s: the guest is %s", event, names[vmm->state]);
}

/*
 * Everything that changes the guest stops: vCPUs are parked and have no I/O that KVM must complete,
 * devices have nothing in flight. state_lock held. -ETIMEDOUT: something takes longer; what stands
 * still stays so, and a further call waits on.
 */
static int quiesce(struct vmm *vmm, int timeout_ms, struct gmig_error *err)
{
	int ret;

	/* What stands still touches nothing, and its memory is not cold for that. */
	if (vmm->gmig)
		gmig_sampling_hold(vmm->gmig, true);
	ret = vmm_vcpus_park(vmm, timeout_ms, err);

	return ret || !vmm->devices ? ret : vmm_devices_pause(vmm->devices, timeout_ms, err);
}

/* The opposite of quiesce, also of one that did not end. */
static void go_on(struct vmm *vmm)
{
	if (vmm->devices)
		vmm_devices_resume(vmm->devices);
	vmm_vcpus_resume(vmm);
	if (vmm->gmig)
		gmig_sampling_hold(vmm->gmig, false);
}

int vmm_stop(struct vmm *vmm, struct gmig_error *err)
{
	int ret;

	pthread_mutex_lock(&vmm->state_lock);
	ret = refuse_unless(vmm, VMM_STATE_RUNNING, "stop", err);
	if (!ret) {
		vmm->state = VMM_STATE_STOPPED;
		ret = quiesce(vmm, VMM_PARK_MS, err);
	}
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}

bool vmm_stop_for(struct vmm *vmm, const char *reason)
{
	struct gmig_error err;
	int ret = 0;
	bool stopped;

	pthread_mutex_lock(&vmm->state_lock);
	if (vmm->state == VMM_STATE_RUNNING) {
		vmm->state = VMM_STATE_STOPPED;
		ret = quiesce(vmm, VMM_PARK_MS, &err);
	}
	stopped = vmm->state == VMM_STATE_STOPPED;
	if (stopped)
		snprintf(vmm->stop_reason, sizeof(vmm->stop_reason), "%s", reason);
	pthread_mutex_unlock(&vmm->state_lock);
	if (ret)
		vmm_log(GMIG_LOG_WARNING, "%s", err.text);
	return stopped;
}

void vmm_stop_reason(struct vmm *vmm, char text[GMIG_ERROR_TEXT])
{
	pthread_mutex_lock(&vmm->state_lock);
	memcpy(text, vmm->stop_reason, GMIG_ERROR_TEXT);
	pthread_mutex_unlock(&vmm->state_lock);
}

int vmm_cont(struct vmm *vmm, struct gmig_error *err)
{
	int ret;

	pthread_mutex_lock(&vmm->state_lock);
	ret = vmm->state == VMM_STATE_STARTING ? 0
					       : refuse_unless(vmm, VMM_STATE_STOPPED, "cont", err);
	if (!ret) {
		vmm->state = VMM_STATE_RUNNING;
		*vmm->stop_reason = '\0';
		go_on(vmm);
	}
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}

int vmm_press_power_button(struct vmm *vmm, struct gmig_error *err)
{
	int ret;

	pthread_mutex_lock(&vmm->state_lock);
	ret = refuse_unless(vmm, VMM_STATE_RUNNING, "powerdown", err);
	if (!ret && (!vmm->devices || !vmm_irq_unmasked(vmm, VMM_POWER_GSI)))
		ret = gmig_fail(err, -EOPNOTSUPP,
				"powerdown: the guest does not listen to its power button");
	if (!ret) {
		vmm_irq_line(vmm, VMM_POWER_GSI, true);
		vmm_irq_line(vmm, VMM_POWER_GSI, false);
	}
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}

void vmm_shut_down(struct vmm *vmm)
{
	pthread_mutex_lock(&vmm->state_lock);
	vmm->state = VMM_STATE_SHUTDOWN;
	pthread_mutex_unlock(&vmm->state_lock);
}

static int power_on(struct vmm *vmm, struct gmig_error *err)
{
	int ret = vmm_kvm_power_on(vmm, err);

	for (unsigned int i = 0; i < vmm->options.cpus && !ret; i++)
		ret = vmm_vcpu_power_on(&vmm->vcpu[i], err);
	if (vmm->devices)
		vmm_devices_reset(vmm->devices);
	return ret;
}

int vmm_reset(struct vmm *vmm, struct gmig_error *err)
{
	int ret;

	pthread_mutex_lock(&vmm->state_lock);
	ret = quiesce(vmm, VMM_RESET_MS, err);
	/* What a device could not do belongs to the old guest. */
	if (!ret)
		vmm_stop_asked(vmm, NULL);
	if (!ret && vmm->probe)
		probe_repair(vmm->probe);
	if (!ret)
		ret = power_on(vmm, err);
	if (!ret)
		ret = vmm_guest_load(vmm, err);
	if (!ret) {
		atomic_store(&vmm->reset_asked, false);
		vmm_end_clear(vmm);
		if (vmm->state == VMM_STATE_RUNNING)
			go_on(vmm);
	}
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}
