/* Guests with many vCPUs on KVM: all of them start, by x2APIC, under the APIC ids that CPUID and the
 * ACPI tables name. */
#include "native.h"

#include "../../vmm/cpuid.h"
#include "../../vmm/kvm.h"
#include "../../vmm/vcpu.h"

#include "../support/suite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define SEEN_GPA 0x70200 /* a byte by APIC id */

/*
 * The vCPU that boots says 'B', copies the real-mode code to 0x70000, switches its APIC to x2APIC
 * (1bh, bits 10 and 11), and sends INIT and SIPI to all others (830h: all but self). Each of them
 * asks CPUID 0bh for its id, marks it at SEEN_GPA, counts itself at 0x70100 and halts. When the
 * number at 0x70102 is reached, the first one says 'A'.
 */
asm(".pushsection .rodata\n"
    "cpus_guest:\n"
    "	.code64\n"
    "	mov	$0x510, %dx\n"
    "	mov	$'B', %al\n"
    "	out	%al, %dx\n"
    "	lea	cpus_real(%rip), %rsi\n"
    "	mov	$0x70000, %edi\n"
    "	mov	$cpus_guest_end - cpus_real, %ecx\n"
    "1:	mov	(%rsi), %al\n"
    "	mov	%al, (%rdi)\n"
    "	inc	%rsi\n"
    "	inc	%rdi\n"
    "	dec	%ecx\n"
    "	jnz	1b\n"
    "	mov	$0x1b, %ecx\n"
    "	rdmsr\n"
    "	or	$0xc00, %eax\n"
    "	wrmsr\n"
    "	mov	$0x80f, %ecx\n" /* spurious vector: APIC on */
    "	mov	$0x1ff, %eax\n"
    "	xor	%edx, %edx\n"
    "	wrmsr\n"
    "	mov	$0x830, %ecx\n"
    "	mov	$0xc4500, %eax\n"
    "	wrmsr\n"
    "	mov	$0xc4670, %eax\n"
    "	wrmsr\n"
    "	mov	$0x70100, %esi\n"
    "2:	pause\n"
    "	mov	(%rsi), %ax\n"
    "	test	%ax, %ax\n" /* the test may not have written the number yet */
    "	jz	2b\n"
    "	cmp	2(%rsi), %ax\n"
    "	jne	2b\n"
    "	mov	$0x510, %dx\n"
    "	mov	$'A', %al\n"
    "	out	%al, %dx\n"
    "3:	hlt\n"
    "	jmp	3b\n"
    "cpus_real:\n"
    "	.code16\n"
    "	cli\n"
    "	mov	$0x7000, %ax\n"
    "	mov	%ax, %ds\n"
    "	mov	$0xb, %eax\n"
    "	xor	%ecx, %ecx\n"
    "	cpuid\n"
    "	mov	%dx, %bx\n"
    "	incb	0x200(%bx)\n"
    "	lock incw 0x100\n"
    "4:	hlt\n"
    "	jmp	4b\n"
    "	.code64\n"
    "cpus_guest_end:\n"
    ".popsection\n");
extern const uint8_t cpus_guest[], cpus_guest_end[];

static const struct machine {
	const char *const options[14];
	unsigned int cpus;
} machines[] = {
    {{"--cpus", "2"}, 2},
    {{"--cpus", "64"}, 64},
    {{"--node", "id=0,mem=32M,cpus=0-31", "--node", "id=1,mem=32M,cpus=32-63"}, 64},
    {{"--node", "id=0,mem=16M,cpus=0-2,cpus=9", "--node", "id=1,mem=16M,cpus=3-4,cpus=6-8",
      "--node", "id=2,mem=32M,cpus=5,cpus=10-11", "--dist", "0,1,15", "--dist", "2,1,30"},
     12},
    {{"--node", "id=0,mem=0,cpus=0-1", "--node", "id=1,mem=32M,cpus=2", "--node", "id=2,mem=32M",
      "--dist", "0,2,255"},
     3},
};

START_TEST(every_vcpu_starts_under_its_apic_id)
{
	const struct machine *machine = &machines[_i];
	struct vmm *vmm;
	const uint8_t *seen;
	uint16_t *counts;

	native_hold(NATIVE_HOLD_NOT);
	vmm = native_start(cpus_guest, (size_t)(cpus_guest_end - cpus_guest), machine->options);
	ck_assert_uint_eq(vmm->options.cpus, machine->cpus);
	counts = vmm_guest_ptr(vmm, 0x70100, 4);
	__atomic_store_n(&counts[1], (uint16_t)(machine->cpus - 1), __ATOMIC_RELEASE);
	ck_assert_str_eq(native_record(2), "BA");
	seen = vmm_guest_ptr(vmm, SEEN_GPA, 256);
	for (unsigned int cpu = 1; cpu < machine->cpus; cpu++)
		ck_assert_uint_eq(seen[vmm->place[cpu].apic_id], 1);
	/* Again after a reset, which finds the APICs in x2APIC mode. */
	memset(vmm_guest_ptr(vmm, SEEN_GPA, 256), 0, 256);
	__atomic_store_n(&counts[0], 0, __ATOMIC_RELEASE);
	ck_assert_int_eq(vmm_reset(vmm, NULL), 0);
	ck_assert_str_eq(native_record(4), "BABA");
	for (unsigned int cpu = 1; cpu < machine->cpus; cpu++)
		ck_assert_uint_eq(seen[vmm->place[cpu].apic_id], 1);
	native_end(vmm);
}
END_TEST

/* 12 vCPUs in three vnodes that have never run. */
static struct vmm *create_uneven(void)
{
	static const struct vmm_options options = {
	    .name = "t",
	    .cpus = 12,
	    .node_count = 3,
	    .node = {{.cpus = 0x207}, {.cpus = 0x1d8}, {.cpus = 0xc20}},
	};
	struct gmig_error err = {0};
	struct vmm *vmm;

	ck_assert_msg(!vmm_create(&options, &vmm, &err), "%s", err.text);
	ck_assert_msg(!vmm_kvm_create(vmm, &err), "%s", err.text);
	ck_assert_msg(!vmm_vcpus_create(vmm, &err), "%s", err.text);
	return vmm;
}

START_TEST(local_apics_have_the_ids_of_their_places)
{
	static const uint8_t want[] = {0, 1, 2, 8, 9, 16, 10, 11, 12, 3, 17, 18};
	struct vmm *vmm = create_uneven();

	for (unsigned int cpu = 0; cpu < 12; cpu++) {
		struct kvm_lapic_state lapic;

		ck_assert_int_eq(ioctl(vmm->vcpu[cpu].fd, KVM_GET_LAPIC, &lapic), 0);
		ck_assert_uint_eq((uint8_t)lapic.regs[0x23], want[cpu]); /* id: bits 24 to 31 */
	}
	vmm_destroy(vmm);
}
END_TEST

/* What Linux compares at boot, on this host's CPU. */
START_TEST(state_that_cpuid_names_can_be_enabled)
{
	struct vmm *vmm = create_uneven();
	struct kvm_cpuid2 *cpuid =
	    calloc(1, sizeof(*cpuid) + CPUID_MAX_ENTRIES * sizeof(cpuid->entries[0]));
	const struct kvm_cpuid_entry2 *state, *features;

	cpuid->nent = CPUID_MAX_ENTRIES;
	ck_assert_int_eq(ioctl(vmm->vcpu[0].fd, KVM_GET_CPUID2, cpuid), 0);
	features = cpuid_find(cpuid, 1, 0);
	state = cpuid_find(cpuid, 0xd, 0);
	ck_assert_ptr_nonnull(features);
	ck_assert_int_eq(state != NULL, features->ecx >> 26 & 1); /* XSAVE */
	if (state) {
		struct kvm_xcrs xcrs = {.nr_xcrs = 1};

		xcrs.xcrs[0].value = state->eax | (uint64_t)state->edx << 32;
		ck_assert_int_eq(state->eax >> 2 & 1, features->ecx >> 28 & 1); /* AVX */
		ck_assert_int_eq(ioctl(vmm->vcpu[0].fd, KVM_SET_XCRS, &xcrs), 0);
		ck_assert_int_eq(ioctl(vmm->vcpu[0].fd, KVM_GET_CPUID2, cpuid), 0);
		state = cpuid_find(cpuid, 0xd, 0);
		ck_assert_uint_eq(state->ebx, state->ecx); /* all of it enabled */
	}
	free(cpuid);
	vmm_destroy(vmm);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cpus");
	TCase *tcase = tcase_create("cpus");

	if (native_missing())
		return 77;
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, every_vcpu_starts_under_its_apic_id, 0,
			    sizeof(machines) / sizeof(machines[0]));
	tcase_add_test(tcase, local_apics_have_the_ids_of_their_places);
	tcase_add_test(tcase, state_that_cpuid_names_can_be_enabled);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
