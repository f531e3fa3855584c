/*
 * Registers of a vCPU: saved at power-on and restored by a reset, and the switch to long mode.
 *
 * Hosts differ in what they accept: a state that cannot be set is left unchanged.
 */
#include "../migrate/core/shortage.h"
#include "msr.h"
#include "vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A reset without memory is tried again for a second. */
#define TRIES	 100
#define PAUSE_US 10000

struct vcpu_power_on {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	bool has_xsave, has_xcrs, has_debugregs;
	struct msr_set msrs;
	struct kvm_xsave xsave; /* last: a flexible array member */
};

/* What some hosts do not have. One that cannot be read for want of memory would stay the guest's own through a reset. */
static int save_if_there(int fd, unsigned long request, void *to, bool *has)
{
	*has = !ioctl(fd, request, to);
	return !*has && is_shortage(errno) ? -errno : 0;
}

int vmm_vcpu_save_power_on(struct vmm_vcpu *vcpu, struct gmig_error *err)
{
	struct vcpu_power_on *state = calloc(1, sizeof(*state));
	int ret;

	if (!state)
		return gmig_fail(err, -ENOMEM, "no memory for vCPU %u", vcpu->id);
	vcpu->power_on = state;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &state->regs) ||
	    ioctl(vcpu->fd, KVM_GET_SREGS, &state->sregs) ||
	    ioctl(vcpu->fd, KVM_GET_LAPIC, &state->lapic) ||
	    ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &state->events) ||
	    ioctl(vcpu->fd, KVM_GET_MP_STATE, &state->mp_state))
		return gmig_fail(err, -errno, "cannot read the registers of vCPU %u: %s", vcpu->id,
				 strerror(errno));
	ret = save_if_there(vcpu->fd, KVM_GET_XSAVE, &state->xsave, &state->has_xsave);
	if (!ret)
		ret = save_if_there(vcpu->fd, KVM_GET_XCRS, &state->xcrs, &state->has_xcrs);
	if (!ret)
		ret = save_if_there(vcpu->fd, KVM_GET_DEBUGREGS, &state->debugregs,
				    &state->has_debugregs);
	if (ret)
		return gmig_fail(err, ret, "cannot read the registers of vCPU %u: %s", vcpu->id,
				 strerror(-ret));
	ret = msr_set_firmware(vcpu->fd, err);
	return ret ? ret : msr_save(vcpu->vmm->kvm_fd, vcpu->fd, &state->msrs, err);
}

void vmm_vcpu_free_power_on(struct vmm_vcpu *vcpu)
{
	free(vcpu->power_on);
	vcpu->power_on = NULL;
}

static int set_if_there(int fd, unsigned long request, void *from, bool has)
{
	return has && ioctl(fd, request, from) && is_shortage(errno) ? -errno : 0;
}

/* -errno; may be repeated. */
static int restore(struct vmm_vcpu *vcpu)
{
	struct vcpu_power_on *state = vcpu->power_on;
	int ret;

	/* MP state first: KVM accepts the other registers of an AP that waits for SIPI only in that
	 * state. */
	if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &state->mp_state) ||
	    ioctl(vcpu->fd, KVM_SET_SREGS, &state->sregs) ||
	    ioctl(vcpu->fd, KVM_SET_REGS, &state->regs))
		return -errno;
	ret = set_if_there(vcpu->fd, KVM_SET_XCRS, &state->xcrs, state->has_xcrs);
	if (!ret)
		ret = set_if_there(vcpu->fd, KVM_SET_XSAVE, &state->xsave, state->has_xsave);
	if (!ret)
		ret = set_if_there(vcpu->fd, KVM_SET_DEBUGREGS, &state->debugregs,
				   state->has_debugregs);
	if (!ret)
		ret = msr_restore(vcpu->fd, &state->msrs);
	if (!ret && (ioctl(vcpu->fd, KVM_SET_LAPIC, &state->lapic) ||
		     ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &state->events)))
		ret = -errno;
	return ret;
}

/* A guest that resets is not ended because KVM has no memory in this moment, nor does it keep registers of its own. */
int vmm_vcpu_power_on(struct vmm_vcpu *vcpu, struct gmig_error *err)
{
	int ret = restore(vcpu);

	for (int i = 0; is_shortage(ret) && i < TRIES; i++) {
		usleep(PAUSE_US);
		ret = restore(vcpu);
	}
	return ret ? gmig_fail(err, ret, "cannot reset vCPU %u: %s", vcpu->id, strerror(-ret)) : 0;
}

int vmm_vcpu_set_long_mode(struct vmm_vcpu *vcpu, const struct vmm_long_mode *mode,
			   struct gmig_error *err)
{
	bool user = mode->cpl == 3;
	struct kvm_segment code = {.limit = 0xffffffff,
				   .selector = user ? 0x33 : 0x10,
				   .present = 1,
				   .type = 11,
				   .s = 1,
				   .l = 1,
				   .g = 1};
	struct kvm_segment data = {.limit = 0xffffffff,
				   .selector = user ? 0x2b : 0x18,
				   .present = 1,
				   .type = 3,
				   .s = 1,
				   .db = 1,
				   .g = 1};
	struct kvm_sregs sregs;

	code.dpl = data.dpl = user ? 3 : 0;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		return gmig_fail(err, -errno, "KVM_GET_SREGS: %s", strerror(errno));
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt.base = mode->gdt_gpa;
	sregs.gdt.limit = mode->gdt_limit;
	sregs.idt.base = mode->idt_gpa;
	sregs.idt.limit = mode->idt_limit;
	sregs.cr0 = 0x80050033; /* PG, AM, WP, NE, ET, MP, PE */
	sregs.cr3 = mode->cr3;
	sregs.cr4 = 0x620;  /* PAE, OSFXSR, OSXMMEXCPT */
	sregs.efer = 0x500; /* LME, LMA */
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs))
		return gmig_fail(err, -errno, "KVM_SET_SREGS: %s", strerror(errno));
	return 0;
}
