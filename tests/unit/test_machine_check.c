/* Machine checks of a real vCPU that never runs: what KVM keeps of them is what its guest would find. Skipped where there is no KVM. */
#include "lone_vcpu.h"
#include "suite.h"

#include "../../vmm/machine_check.h"
#include "../../vmm/msr.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MCG_CAP	   0x179
#define MCG_STATUS 0x17a
#define BANK(n)	   (0x400 + 4 * (n))
#define CR4_MCE	   (1ull << 6)
#define GPA	   0x12345000ull

/* Outside a test, where nothing may be asserted. */
static bool kvm_has_checks(void)
{
	struct gmig_error err;
	bool has = !vmm_create(&options, &vmm, &err) && !vmm_kvm_create(vmm, &err) &&
		   !vmm_vcpus_create(vmm, &err) && vmm->vcpu[0].has_checks;

	vmm_destroy(vmm);
	return has;
}

static void set_cr4(uint64_t bits)
{
	struct kvm_sregs sregs;

	ck_assert_int_eq(ioctl(vcpu->fd, KVM_GET_SREGS, &sregs), 0);
	sregs.cr4 = (sregs.cr4 & ~CR4_MCE) | bits;
	ck_assert_int_eq(ioctl(vcpu->fd, KVM_SET_SREGS, &sregs), 0);
}

static uint64_t msr(uint32_t index)
{
	uint64_t value = 0;

	ck_assert_msg(msr_get(vcpu->fd, index, &value), "MSR %#x", index);
	return value;
}

static bool is_pending(void)
{
	struct kvm_vcpu_events events;

	ck_assert_int_eq(ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events), 0);
	return (events.exception.injected || events.exception.pending) && events.exception.nr == 18;
}

static bool is_dead(void)
{
	struct kvm_vcpu_events events;

	ck_assert_int_eq(ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events), 0);
	return events.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT && events.triple_fault.pending;
}

START_TEST(guest_reads_that_it_can_recover)
{
	ck_assert_uint_ne(msr(MCG_CAP) & 1ull << 24, 0);
	ck_assert_uint_gt(msr(MCG_CAP) & 0xff, 9);
}
END_TEST

/* What Linux looks at: arch/x86/kernel/cpu/mce/severity.c, for each vendor. */
static void expect_raised(enum machine_check_vendor vendor, uint64_t set, uint64_t clear)
{
	uint64_t status;

	set_cr4(CR4_MCE);
	ck_assert(machine_check_raise(vcpu->fd, vendor, GPA));
	ck_assert(is_pending());
	ck_assert_uint_eq(msr(MCG_STATUS), 7);
	status = msr(BANK(9) + 1);
	ck_assert_msg((status & set) == set && !(status & clear), "%#llx",
		      (unsigned long long)status);
	ck_assert_uint_eq(msr(BANK(9) + 2), GPA);
	ck_assert_uint_eq(msr(BANK(9) + 3), 2 << 6 | 12);
}

START_TEST(intels_asks_for_an_action_about_a_load)
{
	/* VAL UC EN MISCV ADDRV S AR; not OVER, PCC */
	expect_raised(MACHINE_CHECK_INTEL, 0xbd80000000000134, 0x4200000000000000);
}
END_TEST

START_TEST(amds_says_that_the_data_are_poisoned)
{
	/* VAL UC EN MISCV ADDRV, poison; not OVER, PCC, deferred */
	expect_raised(MACHINE_CHECK_AMD, 0xbc00080000000000, 0x4200100000000000);
}
END_TEST

/* KVM would end the guest for the first two, and drop the third without a word. */
START_TEST(guest_that_takes_none_now_is_left_as_it_was)
{
	set_cr4(0);
	ck_assert(!machine_check_raise(vcpu->fd, MACHINE_CHECK_INTEL, GPA));
	ck_assert(!machine_check_join(vcpu->fd));
	set_cr4(CR4_MCE);
	ck_assert(msr_put(vcpu->fd, MCG_STATUS, 4));
	ck_assert(!machine_check_raise(vcpu->fd, MACHINE_CHECK_INTEL, GPA));
	ck_assert(!machine_check_join(vcpu->fd));
	ck_assert(msr_put(vcpu->fd, MCG_STATUS, 0));
	ck_assert(msr_put(vcpu->fd, BANK(9), 0));
	ck_assert(!machine_check_raise(vcpu->fd, MACHINE_CHECK_INTEL, GPA));
	ck_assert_uint_eq(msr(BANK(9) + 1), 0);
	ck_assert(!is_pending());
	ck_assert(!is_dead());
}
END_TEST

START_TEST(others_take_part_without_an_error_of_their_own)
{
	set_cr4(CR4_MCE);
	ck_assert(machine_check_join(vcpu->fd));
	ck_assert(is_pending());
	ck_assert_uint_eq(msr(MCG_STATUS), 5);
	ck_assert_uint_eq(msr(BANK(9) + 1), 0);
	ck_assert_uint_eq(msr(BANK(1) + 1), 0xa000000000000000);
}
END_TEST

START_TEST(reset_leaves_nothing_of_it)
{
	struct gmig_error err;

	set_cr4(CR4_MCE);
	ck_assert(machine_check_raise(vcpu->fd, MACHINE_CHECK_INTEL, GPA));
	ck_assert_int_eq(vmm_vcpu_power_on(vcpu, &err), 0);
	ck_assert_uint_eq(msr(MCG_STATUS), 0);
	ck_assert_uint_eq(msr(BANK(9) + 1), 0);
	ck_assert(!is_pending());
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    guest_reads_that_it_can_recover,
	    intels_asks_for_an_action_about_a_load,
	    amds_says_that_the_data_are_poisoned,
	    guest_that_takes_none_now_is_left_as_it_was,
	    others_take_part_without_an_error_of_their_own,
	    reset_leaves_nothing_of_it,
	};
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		puts("machine_check: skipped: /dev/kvm cannot be opened");
		return 77;
	}
	close(fd);
	if (!kvm_has_checks()) {
		puts("machine_check: skipped: this KVM has no machine checks to recover from");
		return 77;
	}
	return run_tests("machine_check", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
