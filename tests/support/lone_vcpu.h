/* A machine of one vCPU, of the real KVM, that never runs. The test program that includes this has one. */
#ifndef LONE_VCPU_H
#define LONE_VCPU_H

#include "../../vmm/kvm.h"
#include "../../vmm/machine.h"
#include "../../vmm/vcpu.h"

#include <check.h>

static struct vmm_options options = {
    .name = "t", .cpus = 1, .node_count = 1, .node = {{.cpus = 1}}};
static struct vmm *vmm;
static struct vmm_vcpu *vcpu;

static inline void setup(void)
{
	struct gmig_error err = {0};

	ck_assert_int_eq(vmm_create(&options, &vmm, &err), 0);
	ck_assert_msg(!vmm_kvm_create(vmm, &err), "%s", err.text);
	ck_assert_msg(!vmm_vcpus_create(vmm, &err), "%s", err.text);
	vcpu = &vmm->vcpu[0];
}

static inline void teardown(void)
{
	vmm_destroy(vmm);
}

#endif
