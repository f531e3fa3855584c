/*
 * KVM: its VM, its interrupt controllers, its interrupt lines.
 */
#include "kvm.h"
#include "../migrate/core/shortage.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* PIC master, PIC slave, IOAPIC as they were after creation. */
struct vmm_irqchips {
	struct kvm_irqchip chip[3];
};

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

int vmm_kvm_power_on(struct vmm *vmm, struct gmig_error *err)
{
	for (unsigned int i = 0; i < 3; i++)
		if (ioctl(vmm->vm_fd, KVM_SET_IRQCHIP, &vmm->irqchips->chip[i]))
			return gmig_fail(err, -errno, "KVM_SET_IRQCHIP: %s", strerror(errno));
	return 0;
}

void vmm_kvm_destroy(struct vmm *vmm)
{
	if (vmm->vm_fd >= 0)
		close(vmm->vm_fd);
	if (vmm->kvm_fd >= 0)
		close(vmm->kvm_fd);
	free(vmm->irqchips);
}

/* ---- Interrupts ------------------------------------------------------------------------------ */

void vmm_irq_line(struct vmm *vmm, unsigned int gsi, bool level)
{
	struct kvm_irq_level line = {.irq = gsi, .level = level};

	if (ioctl(vmm->vm_fd, KVM_IRQ_LINE, &line))
		vmm_log_guest(GMIG_LOG_WARNING, "irq line gsi=%u: %s", gsi, strerror(errno));
}

bool vmm_irq_unmasked(const struct vmm *vmm, unsigned int gsi)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	if (gsi >= KVM_IOAPIC_NUM_PINS)
		return false;
	if (ioctl(vmm->vm_fd, KVM_GET_IRQCHIP, &chip))
		return is_shortage(errno);
	return !chip.chip.ioapic.redirtbl[gsi].fields.mask;
}

int vmm_irq_msi(struct vmm *vmm, uint64_t address, uint32_t data)
{
	struct kvm_msi msi = {
	    .address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data};

	return ioctl(vmm->vm_fd, KVM_SIGNAL_MSI, &msi) < 0 ? -errno : 0;
}
