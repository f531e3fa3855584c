/* What KVM cannot tell for want of memory is not taken for "it has none". A KVM that is pretended. */
#include "suite.h"

#include "../../vmm/device.h"
#include "../../vmm/internal.h"
#include "../../vmm/machine_check.h"
#include "../../vmm/msr.h"
#include "../../vmm/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#define CR4_MCE	   (1ull << 6)
#define MCG_STATUS 0x17a
#define FD	   1000

static struct vmm vmm = {.kvm_fd = FD, .vm_fd = FD};
static struct vmm_vcpu one = {.vmm = &vmm, .fd = FD}, *const vcpu = &one;

/* This request fails: after that many that do not, that often. */
static unsigned long failing;
static int fail_after, fail_times;
static unsigned int injected;

int __wrap_ioctl(int fd, unsigned long request, ...);

static int pretend(unsigned long request, void *argument)
{
	struct kvm_msrs *msrs = argument;

	switch (request) {
	case KVM_GET_MSRS:
		msrs->entries[0].data = msrs->entries[0].index == MCG_STATUS ? 0 : ~0ull;
		return 1;
	case KVM_SET_MSRS:
		return 1;
	case KVM_GET_MSR_INDEX_LIST:
		((struct kvm_msr_list *)argument)->nmsrs = 0;
		return 0;
	case KVM_GET_SREGS:
		((struct kvm_sregs *)argument)->cr4 = CR4_MCE;
		return 0;
	case KVM_GET_IRQCHIP:
		memset(((struct kvm_irqchip *)argument)->chip.dummy, 0xff,
		       sizeof(((struct kvm_irqchip *)argument)->chip.dummy));
		return 0;
	case KVM_X86_SET_MCE:
		injected++;
		return 0;
	default:
		return 0;
	}
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	ck_assert_int_eq(fd, FD);
	if (request == failing && fail_times && !fail_after) {
		fail_times--;
		errno = ENOMEM;
		return -1;
	}
	fail_after -= request == failing && fail_after;
	return pretend(request, argument);
}

static void fail_request(unsigned long request, int after, int times)
{
	failing = request;
	fail_after = after;
	fail_times = times;
}

static void teardown(void)
{
	vmm_vcpu_free_power_on(vcpu);
}

static const unsigned long optional[] = {KVM_GET_XSAVE, KVM_GET_XCRS, KVM_GET_DEBUGREGS};

START_TEST(registers_that_cannot_be_kept_for_a_reset_fail_the_start)
{
	struct gmig_error err;

	fail_request(optional[_i], 0, 1);
	ck_assert_int_eq(vmm_vcpu_save_power_on(vcpu, &err), -ENOMEM);
	vmm_vcpu_free_power_on(vcpu);
	ck_assert_int_eq(vmm_vcpu_save_power_on(vcpu, &err), 0);
}
END_TEST

static const struct {
	unsigned long request;
	int after;
} msr_calls[] = {{KVM_GET_MSRS, 0}, {KVM_GET_MSRS, 1}, {KVM_GET_MSRS, 40}, {KVM_SET_MSRS, 0}};

START_TEST(msr_that_cannot_be_kept_for_a_reset_fails_the_start)
{
	struct gmig_error err;

	fail_request(msr_calls[_i].request, msr_calls[_i].after, 1);
	ck_assert_int_eq(vmm_vcpu_save_power_on(vcpu, &err), -ENOMEM);
}
END_TEST

static const unsigned long restored[] = {KVM_SET_MP_STATE, KVM_SET_REGS,       KVM_SET_XSAVE,
					 KVM_SET_XCRS,	   KVM_SET_DEBUGREGS,  KVM_SET_MSRS,
					 KVM_SET_LAPIC,	   KVM_SET_VCPU_EVENTS};

/* Nor does a guest keep its own registers through a reset, or end, since there was no memory for a moment. */
START_TEST(reset_without_memory_waits_for_it)
{
	struct gmig_error err;

	ck_assert_int_eq(vmm_vcpu_save_power_on(vcpu, &err), 0);
	fail_request(restored[_i], 0, 3);
	ck_assert_int_eq(vmm_vcpu_power_on(vcpu, &err), 0);
	ck_assert_int_eq(fail_times, 0);
	fail_request(restored[_i], 0, 100000);
	ck_assert_int_eq(vmm_vcpu_power_on(vcpu, &err), -ENOMEM);
}
END_TEST

START_TEST(guest_is_not_said_to_ignore_its_button_if_nobody_can_tell)
{
	ck_assert(!vmm_irq_unmasked(&vmm, VMM_POWER_GSI));
	fail_request(KVM_GET_IRQCHIP, 0, 1);
	ck_assert(vmm_irq_unmasked(&vmm, VMM_POWER_GSI));
}
END_TEST

static const unsigned long check_calls[] = {KVM_GET_SREGS, KVM_GET_MSRS};

START_TEST(machine_check_waits_for_memory)
{
	fail_request(check_calls[_i], 0, 3);
	ck_assert(machine_check_raise(vcpu->fd, MACHINE_CHECK_AMD, 0x1000));
	ck_assert_uint_eq(injected, 1);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

int main(void)
{
	Suite *suite = suite_create("kvm_looks");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_loop_test(tcase, registers_that_cannot_be_kept_for_a_reset_fail_the_start, 0,
			    COUNT(optional));
	tcase_add_loop_test(tcase, msr_that_cannot_be_kept_for_a_reset_fails_the_start, 0,
			    COUNT(msr_calls));
	tcase_add_loop_test(tcase, reset_without_memory_waits_for_it, 0, COUNT(restored));
	tcase_add_test(tcase, guest_is_not_said_to_ignore_its_button_if_nobody_can_tell);
	tcase_add_loop_test(tcase, machine_check_waits_for_memory, 0, COUNT(check_calls));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
