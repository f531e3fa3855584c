/* A guest whose driver runs virtio-rng without Bus Master Enable, as a kernel before kexec leaves a
 * device. */
#include "native.h"

#include "../support/suite.h"

#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_GPA 0x2010000
#define USED_GPA   0x2002000
#define BYTES	   64

/*
 * The device is in slot 1 (ECAM at e0008000h), its registers are at BAR 0. Features, queue 0 with 8
 * entries, one buffer to fill; a notification, 'N', and a read of the port at which the test holds
 * the guest. Then Bus Master Enable, and 'U' when the buffer has come back.
 */
asm(".pushsection .rodata\n"
    "dma_guest:\n"
    "	mov	$0xe0008000, %esi\n"
    "	movw	$2, 4(%rsi)\n" /* memory space on, bus master off */
    "	mov	0x10(%rsi), %ebx\n"
    "	and	$0xfffffff0, %ebx\n"
    "	movb	$0, 0x14(%rbx)\n"
    "	movb	$3, 0x14(%rbx)\n"
    "	movl	$1, 8(%rbx)\n"
    "	movl	$1, 0xc(%rbx)\n" /* VIRTIO_F_VERSION_1 */
    "	movb	$0xb, 0x14(%rbx)\n"
    "	movw	$0, 0x16(%rbx)\n"
    "	movw	$8, 0x18(%rbx)\n"
    "	movl	$0x2000000, 0x20(%rbx)\n"
    "	movl	$0x2001000, 0x28(%rbx)\n"
    "	movl	$0x2002000, 0x30(%rbx)\n"
    "	movw	$1, 0x1c(%rbx)\n"
    "	movb	$0xf, 0x14(%rbx)\n"
    "	mov	$0x2000000, %edi\n"
    "	movl	$0x2010000, (%rdi)\n"
    "	movl	$0, 4(%rdi)\n"
    "	movl	$64, 8(%rdi)\n"
    "	movl	$2, 0xc(%rdi)\n"	  /* VRING_DESC_F_WRITE */
    "	movl	$0, 0x1004(%rdi)\n"	  /* entry 0 */
    "	movl	$0x10000, 0x1000(%rdi)\n" /* index 1 */
    "	movw	$0, 0x3000(%rbx)\n"
    "	mov	$0x510, %dx\n"
    "	mov	$'N', %al\n"
    "	out	%al, %dx\n"
    "	in	%dx, %al\n"
    "	movw	$6, 4(%rsi)\n"
    "1:	pause\n"
    "	cmpw	$0, 0x2002(%rdi)\n"
    "	je	1b\n"
    "	mov	$'U', %al\n"
    "	out	%al, %dx\n"
    "2:	hlt\n"
    "	jmp	2b\n"
    "dma_guest_end:\n"
    ".popsection\n");
extern const uint8_t dma_guest[], dma_guest_end[];

START_TEST(buffer_without_bus_master_is_not_filled_until_it_is_set)
{
	static const uint8_t zeros[BYTES];
	const struct vring_used *used;
	const uint8_t *buffer;
	struct vmm *vmm;

	native_hold(NATIVE_HOLD_UNTIL_FREE);
	vmm = native_start(dma_guest, (size_t)(dma_guest_end - dma_guest), NULL);
	used = vmm_guest_ptr(vmm, USED_GPA, sizeof(*used));
	buffer = vmm_guest_ptr(vmm, BUFFER_GPA, BYTES);
	native_await_held();
	usleep(50000); /* too short finds less, never more */
	ck_assert_uint_eq(__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE), 0);
	ck_assert_mem_eq(buffer, zeros, BYTES);
	native_free();
	ck_assert_str_eq(native_record(2), "NU");
	ck_assert_mem_ne(buffer, zeros, BYTES);
	native_end(vmm);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dma");
	TCase *tcase = tcase_create("dma");

	if (UNDER_TSAN) {
		puts("skipped: ThreadSanitizer does not see how the guest orders the device and "
		     "the test");
		return 77;
	}
	if (native_missing())
		return 77;
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, buffer_without_bus_master_is_not_filled_until_it_is_set);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
