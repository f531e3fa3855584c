/*
 * A guest that reads a disk without the host's cache (cache=none) all the time, four pages at once, while all of its memory
 * moves back and forth in mode readable. It looks at what each buffer holds before it has the next page read into it.
 */
#include "native.h"

#include "../../vmm/commands.h"
#include "../../vmm/device.h"
#include "../support/direct_io.h"
#include "../support/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_PAGES 64u
#define PAGE	   4096u

/*
 * The disk is in slot 1 (ECAM at e0008000h), its registers are at BAR 0. Rings at 32 MiB, headers 12 KiB after them, status
 * bytes 16 KiB, and what each buffer must hold 20 KiB. Buffers: the fourth page of each of the four blocks from 34 MiB on. Page
 * n of the disk has n in all of its words. 10,000 pages, then 'E'; 'L': a buffer does not hold what was read into it; 'S': an
 * I/O error.
 */
asm(".pushsection .rodata\n"
    "disk_guest:\n"
    "	mov	$0xe0008000, %esi\n"
    "	movw	$6, 4(%rsi)\n" /* memory space and bus master on */
    "	mov	0x10(%rsi), %ebx\n"
    "	and	$0xfffffff0, %ebx\n"
    "	movb	$0, 0x14(%rbx)\n"
    "	movb	$3, 0x14(%rbx)\n"
    "	movl	$0, 8(%rbx)\n"
    "	movl	$0x200, 0xc(%rbx)\n" /* VIRTIO_BLK_F_FLUSH */
    "	movl	$1, 8(%rbx)\n"
    "	movl	$1, 0xc(%rbx)\n" /* VIRTIO_F_VERSION_1 */
    "	movb	$0xb, 0x14(%rbx)\n"
    "	movw	$0, 0x16(%rbx)\n"
    "	movw	$16, 0x18(%rbx)\n"
    "	movl	$0x2000000, 0x20(%rbx)\n"
    "	movl	$0x2001000, 0x28(%rbx)\n"
    "	movl	$0x2002000, 0x30(%rbx)\n"
    "	movw	$1, 0x1c(%rbx)\n"
    "	movb	$0xf, 0x14(%rbx)\n"
    "	mov	$0x2000000, %edi\n"
    /* Three descriptors a request: header, buffer, status. */
    "	xor	%ecx, %ecx\n"
    "1:	imul	$48, %rcx, %r8\n"
    "	add	%rdi, %r8\n"
    "	mov	%rcx, %rax\n"
    "	shl	$4, %rax\n"
    "	add	$0x2003000, %rax\n"
    "	mov	%rax, (%r8)\n"
    "	movl	$16, 8(%r8)\n"
    "	movw	$1, 12(%r8)\n" /* VRING_DESC_F_NEXT */
    "	lea	1(%rcx,%rcx,2), %eax\n"
    "	mov	%ax, 14(%r8)\n"
    "	mov	%rcx, %rax\n"
    "	shl	$21, %rax\n"
    "	add	$0x2203000, %rax\n"
    "	mov	%rax, 16(%r8)\n"
    "	movl	$4096, 24(%r8)\n"
    "	movw	$3, 28(%r8)\n" /* and VRING_DESC_F_WRITE */
    "	lea	2(%rcx,%rcx,2), %eax\n"
    "	mov	%ax, 30(%r8)\n"
    "	lea	0x2004000(%rcx), %rax\n"
    "	mov	%rax, 32(%r8)\n"
    "	movl	$1, 40(%r8)\n"
    "	movw	$2, 44(%r8)\n"
    "	movq	$-1, 0x5000(%rdi,%rcx,8)\n"
    "	inc	%ecx\n"
    "	cmp	$4, %ecx\n"
    "	jne	1b\n"
    "	mov	$2500, %r9d\n"
    "	xor	%r10d, %r10d\n"
    /* Look at the four buffers, and have them read anew. */
    "2:	xor	%ecx, %ecx\n"
    "3:	mov	0x5000(%rdi,%rcx,8), %rax\n"
    "	cmp	$-1, %rax\n"
    "	je	4f\n"
    "	mov	%rcx, %r8\n"
    "	shl	$21, %r8\n"
    "	cmp	%rax, 0x2203088(%r8)\n"
    "	jne	7f\n"
    "4:	lea	1(%rax,%rcx), %rax\n"
    "	and	$63, %rax\n"
    "	mov	%rax, 0x5000(%rdi,%rcx,8)\n"
    "	mov	%rcx, %r8\n"
    "	shl	$4, %r8\n"
    "	add	%rdi, %r8\n"
    "	movq	$0, 0x3000(%r8)\n" /* VIRTIO_BLK_T_IN */
    "	shl	$3, %rax\n"
    "	mov	%rax, 0x3008(%r8)\n"
    "	movb	$0xee, 0x4000(%rdi,%rcx)\n"
    "	mov	%r10d, %eax\n"
    "	and	$15, %eax\n"
    "	lea	(%rcx,%rcx,2), %r11d\n"
    "	mov	%r11w, 0x1004(%rdi,%rax,2)\n"
    "	inc	%r10d\n"
    "	inc	%ecx\n"
    "	cmp	$4, %ecx\n"
    "	jne	3b\n"
    "	mov	%r10w, 0x1002(%rdi)\n"
    "	movw	$0, 0x3000(%rbx)\n"
    "5:	pause\n"
    "	cmp	%r10w, 0x2002(%rdi)\n"
    "	jne	5b\n"
    "	cmpl	$0, 0x4000(%rdi)\n"
    "	jne	8f\n"
    "	dec	%r9d\n"
    "	jnz	2b\n"
    /* The last ones. */
    "	xor	%ecx, %ecx\n"
    "6:	mov	0x5000(%rdi,%rcx,8), %rax\n"
    "	mov	%rcx, %r8\n"
    "	shl	$21, %r8\n"
    "	cmp	%rax, 0x2203088(%r8)\n"
    "	jne	7f\n"
    "	inc	%ecx\n"
    "	cmp	$4, %ecx\n"
    "	jne	6b\n"
    "	mov	$'E', %al\n"
    "	jmp	9f\n"
    "7:	mov	$'L', %al\n"
    "	jmp	9f\n"
    "8:	mov	$'S', %al\n"
    "9:	mov	$0x510, %dx\n"
    "	out	%al, %dx\n"
    "2:	hlt\n"
    "	jmp	2b\n"
    "disk_guest_end:\n"
    ".popsection\n");
extern const uint8_t disk_guest[], disk_guest_end[];

static void make_file(char *path)
{
	int fd = mkstemp(path);
	uint64_t page[PAGE / 8];

	ck_assert_int_ge(fd, 0);
	for (uint64_t n = 0; n < FILE_PAGES; n++) {
		for (unsigned int i = 0; i < PAGE / 8; i++)
			page[i] = n;
		ck_assert_int_eq(write(fd, page, PAGE), PAGE);
	}
	close(fd);
}

/* Returns the bytes moved until the guest has said something. */
static uint64_t move_until_it_ends(struct vmm *vmm)
{
	uint64_t moved = 0, remaining = 0;

	for (unsigned int to = 1; !*native_record(0); to = !to) {
		struct gmig_job_spec spec = {.from = {(uint8_t)!to},
					     .to = {(uint8_t)to},
					     .from_count = 1,
					     .to_count = 1,
					     .mode = GMIG_MODE_READABLE};
		struct gmig_job_info info;
		struct gmig_error err;
		struct gmig_job *job;

		ck_assert_msg(!gmig_job_start(vmm->gmig, &spec, &job, &err), "%s", err.text);
		gmig_job_wait(job);
		gmig_job_info(job, &info);
		gmig_job_put(job);
		ck_assert_int_eq(info.state, GMIG_JOB_COMPLETED);
		moved += info.moved_bytes;
		remaining += info.remaining_bytes;
	}
	/* A disk that never rests does not keep its blocks. */
	ck_assert_uint_le(remaining * 100, moved);
	return moved;
}

static void expect_report(struct vmm *vmm, const struct vmm_disk *disk)
{
	const struct guest guest = {.opaque = vmm};
	json_t *object = json_object();
	const json_t *told;

	report_describe(&guest, GUEST_RESIDENCY, object);
	told = json_array_get(json_object_get(object, "disks"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(told, "cache")), "none");
	ck_assert_str_eq(json_string_value(json_object_get(told, "aio")), disk->aio);
	ck_assert_uint_eq((uint64_t)json_integer_value(json_object_get(told, "straight")),
			  disk->straight);
	ck_assert_uint_eq((uint64_t)json_integer_value(json_object_get(told, "bounced")),
			  disk->bounced);
	json_decref(object);
}

START_TEST(disk_without_cache_loses_nothing_while_the_guest_moves)
{
	char path[] = "disk-XXXXXX", option[64];
	const char *const options[] = {"--memory", "uffd", "--fake-nodes", "2",
				       "--disk",   option, "--no-pin",	   NULL};
	struct vmm_disk disk[VMM_MAX_DISKS];
	struct vmm *vmm;
	uint64_t moved;

	make_file(path);
	snprintf(option, sizeof(option), "%s,cache=none", path);
	vmm = native_start(disk_guest, (size_t)(disk_guest_end - disk_guest), options);
	unlink(path);
	moved = move_until_it_ends(vmm);
	ck_assert_str_eq(native_record(1), "E");
	ck_assert_uint_eq(vmm_disks(vmm->devices, disk), 1);
	printf(
	    "note: %s, %llu transfers straight to guest memory, %llu by a buffer, %llu MiB moved\n",
	    disk[0].aio, (unsigned long long)disk[0].straight, (unsigned long long)disk[0].bounced,
	    (unsigned long long)moved >> 20);
	expect_report(vmm, &disk[0]);
	ck_assert_uint_ge(disk[0].straight + disk[0].bounced, 10000);
	ck_assert_uint_gt(disk[0].straight, 0);
	ck_assert_uint_gt(moved, 0);
	native_end(vmm);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("disk");
	TCase *tcase = tcase_create("disk");

	if (native_missing())
		return 77;
	if (!has_direct()) {
		puts("skipped: this directory's file system has no O_DIRECT");
		return 77;
	}
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, disk_without_cache_loses_nothing_while_the_guest_moves);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
