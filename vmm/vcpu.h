/* vCPU threads, their registers at power-on, and what CPUID tells them. */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include "internal.h"

/* Call before the engine is created: its own handler chains to this one. */
void vmm_vcpus_handle_sigbus(void);
int vmm_vcpus_create(struct vmm *vmm, struct gmig_error *err);
void vmm_vcpus_destroy(struct vmm *vmm);
/* Start the threads; they park until the gate opens. */
int vmm_vcpus_start(struct vmm *vmm, struct gmig_error *err);
/* Order all vCPUs to park, and wait for them at most timeout_ms. -ETIMEDOUT. */
int vmm_vcpus_park(struct vmm *vmm, int timeout_ms, struct gmig_error *err);
void vmm_vcpus_resume(struct vmm *vmm);
/* End the threads. -ETIMEDOUT: one of them does not end; then nothing that it uses may be
 * destroyed. */
int vmm_vcpus_join(struct vmm *vmm, int timeout_ms, struct gmig_error *err);

/* ---- vcpu_state.c ---------------------------------------------------------------------------- */

int vmm_vcpu_save_power_on(struct vmm_vcpu *vcpu, struct gmig_error *err);
void vmm_vcpu_free_power_on(struct vmm_vcpu *vcpu);
/* Restore the power-on registers. vCPUs are parked. */
int vmm_vcpu_power_on(struct vmm_vcpu *vcpu, struct gmig_error *err);
/* Segments and control registers of long mode at privilege level `cpl` (0 or 3). */
struct vmm_long_mode {
	uint64_t cr3, gdt_gpa, idt_gpa;
	uint16_t gdt_limit, idt_limit;
	unsigned int cpl;
};
int vmm_vcpu_set_long_mode(struct vmm_vcpu *vcpu, const struct vmm_long_mode *mode,
			   struct gmig_error *err);

/* ---- cpuid_kvm.c --------------------------------------------------------------------------------- */

int vmm_cpuid_set(struct vmm_vcpu *vcpu, struct gmig_error *err);
/* Of a guest-physical address, as far as KVM says; 64: it does not. */
unsigned int vmm_cpuid_address_bits(int kvm_fd);

#endif
