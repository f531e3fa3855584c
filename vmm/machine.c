/*
 * The machine as a whole: KVM's VM, its interrupt lines, its states, and how it ends.
 */
#include "machine.h"
#include "boot.h"
#include "device.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* PIC master, PIC slave, IOAPIC as they were after creation. */
struct vmm_irqchips {
	struct kvm_irqchip chip[3];
};

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
	if (vmm->vm_fd >= 0)
		close(vmm->vm_fd);
	if (vmm->kvm_fd >= 0)
		close(vmm->kvm_fd);
	vmm_memory_destroy(vmm);
	if (vmm->end_fd >= 0)
		close(vmm->end_fd);
	vmm_bus_destroy(&vmm->pio);
	vmm_bus_destroy(&vmm->mmio);
	gmig_topology_put(vmm->topology);
	free(vmm->irqchips);
	free(vmm);
}

static int open_kvm(struct gmig_error *err)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		if (ioctl(fd, KVM_GET_API_VERSION, 0) == KVM_API_VERSION)
			return fd;
		close(fd);
		return gmig_fail(err, -ENOTSUP, "/dev/kvm speaks another API version");
	}
	if (errno == ENOENT)
		return gmig_fail(
		    err, -ENOENT,
		    "/dev/kvm is not there: no hardware virtualization, or module kvm_amd "
		    "or kvm_intel not loaded");
	if (errno == EACCES)
		return gmig_fail(err, -EACCES,
				 "/dev/kvm: permission denied: add yourself to group kvm");
	return gmig_fail(err, -errno, "/dev/kvm: %s", strerror(errno));
}

static int check_capabilities(int kvm_fd, struct gmig_error *err)
{
	static const struct {
		int number;
		const char *name;
	} needed[] = {
	    {KVM_CAP_IRQCHIP, "irqchip"},
	    {KVM_CAP_USER_MEMORY, "user-memory"},
	    {KVM_CAP_IMMEDIATE_EXIT, "immediate-exit"},
	    {KVM_CAP_SIGNAL_MSI, "signal-msi"},
	    {KVM_CAP_SET_TSS_ADDR, "set-tss-addr"},
	    {KVM_CAP_EXT_CPUID, "ext-cpuid"},
	    {KVM_CAP_VCPU_EVENTS, "vcpu-events"},
	    {KVM_CAP_MP_STATE, "mp-state"},
	};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
			return gmig_fail(err, -ENOTSUP, "this host's KVM lacks %s", needed[i].name);
	return 0;
}

static int irqchips_save(struct vmm *vmm, struct gmig_error *err)
{
	vmm->irqchips = calloc(1, sizeof(*vmm->irqchips));
	if (!vmm->irqchips)
		return gmig_fail(err, -ENOMEM, "no memory for interrupt controllers");
	for (unsigned int i = 0; i < 3; i++) {
		vmm->irqchips->chip[i].chip_id = i;
		if (ioctl(vmm->vm_fd, KVM_GET_IRQCHIP, &vmm->irqchips->chip[i]))
			return gmig_fail(err, -errno, "KVM_GET_IRQCHIP: %s", strerror(errno));
	}
	return 0;
}

int vmm_kvm_create(struct vmm *vmm, struct gmig_error *err)
{
	uint64_t identity_map = VMM_TSS_GPA - GMIG_PAGE_BYTES;
	int ret;

	vmm->kvm_fd = open_kvm(err);
	if (vmm->kvm_fd < 0)
		return vmm->kvm_fd;
	ret = check_capabilities(vmm->kvm_fd, err);
	if (ret)
		return ret;
	do
		vmm->vm_fd = ioctl(vmm->kvm_fd, KVM_CREATE_VM, 0);
	while (vmm->vm_fd < 0 && errno == EINTR);
	if (vmm->vm_fd < 0)
		return gmig_fail(err, -errno, "KVM_CREATE_VM: %s", strerror(errno));
	if (ioctl(vmm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map))
		return gmig_fail(err, -errno, "KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(errno));
	if (ioctl(vmm->vm_fd, KVM_SET_TSS_ADDR, VMM_TSS_GPA))
		return gmig_fail(err, -errno, "KVM_SET_TSS_ADDR: %s", strerror(errno));
	if (ioctl(vmm->vm_fd, KVM_CREATE_IRQCHIP, 0))
		return gmig_fail(err, -errno, "KVM_CREATE_IRQCHIP: %s", strerror(errno));
	return irqchips_save(vmm, err);
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

void vmm_irq_line(struct vmm *vmm, unsigned int gsi, bool level)
{
	struct kvm_irq_level line = {.irq = gsi, .level = level};

	if (ioctl(vmm->vm_fd, KVM_IRQ_LINE, &line))
		vmm_log_guest(GMIG_LOG_WARNING, "irq line gsi=%u: %s", gsi, strerror(errno));
}

int vmm_irq_msi(struct vmm *vmm, uint64_t address, uint32_t data)
{
	struct kvm_msi msi = {
	    .address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data};

	return ioctl(vmm->vm_fd, KVM_SIGNAL_MSI, &msi) < 0 ? -errno : 0;
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

int vmm_stop(struct vmm *vmm, struct gmig_error *err)
{
	int ret;

	pthread_mutex_lock(&vmm->state_lock);
	ret = refuse_unless(vmm, VMM_STATE_RUNNING, "stop", err);
	if (!ret) {
		vmm->state = VMM_STATE_STOPPED;
		ret = vmm_vcpus_park(vmm, VMM_PARK_MS, err);
	}
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}

int vmm_cont(struct vmm *vmm, struct gmig_error *err)
{
	int ret;

	pthread_mutex_lock(&vmm->state_lock);
	ret = vmm->state == VMM_STATE_STARTING ? 0
					       : refuse_unless(vmm, VMM_STATE_STOPPED, "cont", err);
	if (!ret) {
		vmm->state = VMM_STATE_RUNNING;
		vmm_vcpus_resume(vmm);
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
	int ret = 0;

	for (unsigned int i = 0; i < 3; i++)
		if (ioctl(vmm->vm_fd, KVM_SET_IRQCHIP, &vmm->irqchips->chip[i]))
			return gmig_fail(err, -errno, "KVM_SET_IRQCHIP: %s", strerror(errno));
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
	ret = vmm_vcpus_park(vmm, VMM_PARK_MS, err);
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
			vmm_vcpus_resume(vmm);
	}
	pthread_mutex_unlock(&vmm->state_lock);
	return ret;
}

/* ---- The end --------------------------------------------------------------------------------- */

/* First caller wins, but a reboot gives way to anything final: a SIGTERM during a reboot is still a
 * SIGTERM. */
static bool end_claim(struct vmm *vmm, enum vmm_end why)
{
	int old = atomic_load(&vmm->end);

	do {
		if (old != VMM_END_NONE && (old != VMM_END_REBOOT || why == VMM_END_REBOOT))
			return false;
	} while (!atomic_compare_exchange_weak(&vmm->end, &old, why));
	return true;
}

void vmm_end(struct vmm *vmm, enum vmm_end why, const char *text)
{
	pthread_mutex_lock(&vmm->end_lock);
	if (end_claim(vmm, why)) {
		snprintf(vmm->end_text, sizeof(vmm->end_text), "%s", text ? text : "");
		eventfd_write(vmm->end_fd, 1);
	}
	pthread_mutex_unlock(&vmm->end_lock);
}

enum vmm_end vmm_ended(struct vmm *vmm, char *text, size_t bytes)
{
	enum vmm_end why;

	pthread_mutex_lock(&vmm->end_lock);
	why = (enum vmm_end)atomic_load(&vmm->end);
	snprintf(text, bytes, "%s", vmm->end_text);
	pthread_mutex_unlock(&vmm->end_lock);
	return why;
}

void vmm_end_clear(struct vmm *vmm)
{
	int reboot = VMM_END_REBOOT;

	atomic_compare_exchange_strong(&vmm->end, &reboot, VMM_END_NONE);
}

const char *vmm_end_name(enum vmm_end why)
{
	static const char *const names[] = {
	    [VMM_END_NONE] = "none",	       [VMM_END_POWER_OFF] = "power-off",
	    [VMM_END_REBOOT] = "reboot",       [VMM_END_QUIT] = "quit",
	    [VMM_END_SIGNAL] = "signal",       [VMM_END_TRIPLE_FAULT] = "triple-fault",
	    [VMM_END_KVM_ERROR] = "kvm-error", [VMM_END_MEMORY_LOST] = "memory-lost",
	};

	return names[why];
}
