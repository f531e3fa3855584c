/* See machine_check.h. */
#include "machine_check.h"
#include "../migrate/core/shortage.h"
#include "msr.h"

#include <poll.h>
#include <sys/ioctl.h>

#define MSR_MCG_STATUS 0x17a
#define MSR_BANK_CTL   0x400 /* of bank 0; four MSRs for each */

#define CR4_MCE (1ull << 6)

#define MCG_SER_P (1ull << 24) /* capability: software error recovery */
#define MCG_BANKS 0xff

#define MCG_RIPV (1ull << 0) /* the program can go on where it was */
#define MCG_EIPV (1ull << 1) /* and that is where it happened */
#define MCG_MCIP (1ull << 2)

#define STATUS_VAL    (1ull << 63)
#define STATUS_UC     (1ull << 61)
#define STATUS_EN     (1ull << 60)
#define STATUS_MISCV  (1ull << 59)
#define STATUS_ADDRV  (1ull << 58)
#define STATUS_S      (1ull << 56) /* Intel */
#define STATUS_AR     (1ull << 55) /* Intel */
#define STATUS_POISON (1ull << 43) /* AMD */
#define CODE_LOAD     0x134	   /* Intel: a load of data */

#define MISC_PHYSICAL (2ull << 6) /* what the address is; below it, which of its bits count */
#define PAGE_BITS     12

#define BANK_OF_MEMORY 9
#define BANK_OF_OTHERS 1

#define TRIES	200 /* 2 s */
#define REST_MS 10

bool machine_check_enable(int kvm_fd, int vcpu_fd)
{
	int banks = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MCE);
	uint64_t supported = 0, wanted;

	if (banks <= BANK_OF_MEMORY || ioctl(kvm_fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported) ||
	    !(supported & MCG_SER_P))
		return false;
	wanted = ((uint64_t)banks & MCG_BANKS) | MCG_SER_P;
	return !ioctl(vcpu_fd, KVM_X86_SETUP_MCE, &wanted);
}

/* KVM would end the guest by a triple fault, or tell nobody, and the vCPU would read the page for ever. 0, -EPERM no, or -errno. */
static int check_takes(int vcpu_fd, unsigned int bank)
{
	struct kvm_sregs sregs;
	uint64_t status = 0, control = 0;
	int ret = ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) ? -errno : 0;

	if (!ret)
		ret = msr_look(vcpu_fd, MSR_MCG_STATUS, &status);
	if (!ret)
		ret = msr_look(vcpu_fd, MSR_BANK_CTL + 4 * bank, &control);
	if (ret)
		return ret;
	return sregs.cr4 & CR4_MCE && !(status & MCG_MCIP) && control == ~0ull ? 0 : -EPERM;
}

/* Where KVM has no memory to tell what the guest takes, the vCPU waits: that passes, and a guest that is ended does not come back. */
static bool inject(int vcpu_fd, struct kvm_x86_mce *mce)
{
	int ret;

	for (unsigned int tries = 0;; tries++) {
		ret = check_takes(vcpu_fd, mce->bank);
		if (!ret && ioctl(vcpu_fd, KVM_X86_SET_MCE, mce))
			ret = -errno;
		if (!is_shortage(ret) || tries == TRIES)
			return !ret;
		poll(NULL, 0, REST_MS);
	}
}

bool machine_check_raise(int vcpu_fd, enum machine_check_vendor vendor, uint64_t gpa)
{
	struct kvm_x86_mce mce = {
	    .status = STATUS_VAL | STATUS_UC | STATUS_EN | STATUS_MISCV | STATUS_ADDRV,
	    .addr = gpa,
	    .misc = MISC_PHYSICAL | PAGE_BITS,
	    .mcg_status = MCG_MCIP | MCG_RIPV | MCG_EIPV,
	    .bank = BANK_OF_MEMORY,
	};

	mce.status |=
	    vendor == MACHINE_CHECK_AMD ? STATUS_POISON : STATUS_S | STATUS_AR | CODE_LOAD;
	return inject(vcpu_fd, &mce);
}

bool machine_check_join(int vcpu_fd)
{
	struct kvm_x86_mce mce = {
	    .status = STATUS_VAL | STATUS_UC,
	    .mcg_status = MCG_MCIP | MCG_RIPV,
	    .bank = BANK_OF_OTHERS,
	};

	return inject(vcpu_fd, &mce);
}
