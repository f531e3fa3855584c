/* MSRs of a real vCPU that never runs. Skipped where there is no KVM. */
#include "lone_vcpu.h"
#include "suite.h"

#include "../../vmm/msr.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define PAT 0x277

START_TEST(fast_strings_are_on_at_power_on)
{
	uint64_t value;

	if (!msr_get(vcpu->fd, MSR_MISC_ENABLE, &value)) {
		skip_case("the host does not have IA32_MISC_ENABLE");
		return;
	}
	ck_assert_uint_eq(value & MSR_MISC_FAST_STRING, MSR_MISC_FAST_STRING);
}
END_TEST

START_TEST(mtrrs_are_on_and_write_back_at_power_on)
{
	uint64_t value;

	if (!msr_put(vcpu->fd, MSR_MTRR_DEF_TYPE, MSR_MTRR_ENABLE | MSR_MTRR_WRITE_BACK)) {
		skip_case("the host refuses MTRRs");
		return;
	}
	/* A new one, untouched by the line above. */
	vmm_destroy(vmm);
	setup();
	ck_assert(msr_get(vcpu->fd, MSR_MTRR_DEF_TYPE, &value));
	ck_assert_uint_eq(value, MSR_MTRR_ENABLE | MSR_MTRR_WRITE_BACK);
}
END_TEST

/* Whatever this host lets a guest change. */
START_TEST(msrs_that_a_guest_changed_are_back_after_a_reset)
{
	static const struct {
		uint32_t index;
		uint64_t change;
	} msrs[] = {
	    {0x200, 0xc0000000},	 /* MTRR base 0, uncacheable */
	    {0x201, 0xffc0000800},	 /* and its mask */
	    {0x20f, 0xffc0000800},	 /* the last one that KVM has */
	    {0x250, 0x0505050505050505}, /* fixed MTRRs */
	    {0x259, 0x0505050505050505},
	    {0x268, 0x0505050505050505},
	    {0x26f, 0x0505050505050505},
	    {MSR_MTRR_DEF_TYPE, 0xc00},
	    {PAT, 0x0606060606060606},
	    {MSR_MISC_ENABLE, 0},
	    {0x174, 0x10},	      /* SYSENTER_CS */
	    {0xc0000081, 1ull << 32}, /* STAR */
	    {0xc0000082, 0x1000},     /* LSTAR */
	    {0xc0000102, 0x1000},     /* KERNEL_GS_BASE */
	    {0x400, 0},		      /* MC0_CTL */
	};
	unsigned int changed = 0;
	struct gmig_error err;

	for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		uint64_t before, now;

		if (!msr_get(vcpu->fd, msrs[i].index, &before) ||
		    !msr_put(vcpu->fd, msrs[i].index, msrs[i].change) ||
		    !msr_get(vcpu->fd, msrs[i].index, &now) || now == before)
			continue;
		changed++;
		ck_assert_int_eq(vmm_vcpu_power_on(vcpu, &err), 0);
		ck_assert(msr_get(vcpu->fd, msrs[i].index, &now));
		ck_assert_msg(now == before, "MSR %#x: %#llx, not %#llx", msrs[i].index,
			      (unsigned long long)now, (unsigned long long)before);
	}
	printf("%u MSRs changed and checked\n", changed);
	ck_assert_uint_gt(changed, 3);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    fast_strings_are_on_at_power_on,
	    mtrrs_are_on_and_write_back_at_power_on,
	    msrs_that_a_guest_changed_are_back_after_a_reset,
	};
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		puts("msr: skipped: /dev/kvm cannot be opened");
		return 77;
	}
	close(fd);
	return run_tests("msr", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
