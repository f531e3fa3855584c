/*
 * The probe guest: position-independent ring-3 code, copied to PROBE_CODE_GPA. Ring 3, because a paravirtual host runs
 * only that natively. No instruction beyond the first x86-64: KVM's emulator must know what faults.
 *
 * Each page carries one word, page number << 32 | counter, in the cache line (page % 64) of the page. expect[page] holds
 * the counter: a word that differs was lost or misplaced. A page never written is all zero and has counter zero.
 *
 *   r15 statistics   r14 expect   r12 page   r13 pages left in this sweep   ebx load   rbp last look at the clock
 *   r8 batches until the next OUT to PROBE_STI_PORT
 */
#include "probe_abi.h"

	.section .rodata
	.globl probe_code, probe_code_bytes, probe_code_interrupt
	.p2align 4

/* rdi = address of the word of page r12, rax = the word it should hold, edx = its counter. */
.macro locate
	mov	%r12, %rdi
	mov	%r12d, %eax
	shl	$12, %rdi
	and	$63, %eax
	shl	$6, %eax
	add	%rax, %rdi
	mov	(%r14,%r12,4), %edx
	mov	%r12, %rax
	shl	$32, %rax
	or	%rdx, %rax
.endm

/* Increment it, in the page and in expect. */
.macro write_word
	inc	%edx
	inc	%rax
	mov	%rax, (%rdi)
	mov	%edx, (%r14,%r12,4)
.endm

.macro clock into
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, \into
.endm

probe_code:
	mov	%rdi, %r15
	mov	STATS_EXPECT(%r15), %r14
	xor	%r8d, %r8d
	call	start_timer
	clock	%rbp

new_sweep:
	mov	STATS_FIRST(%r15), %r12
	mov	STATS_PAGES(%r15), %r13
	mov	STATS_LOAD(%r15), %ebx
	cmpl	$PROBE_HALF, %ebx
	jne	batch
	cmpq	$0, STATS_FILLED(%r15)
	je	batch
	inc	%r13
	shr	$1, %r13

batch:
	rdtsc
	shl	$32, %rdx
	or	%rax, %rdx
	mov	%rdx, %rax
	sub	%rbp, %rdx
	mov	%rax, %rbp
	cmp	STATS_THRESHOLD(%r15), %rdx
	jae	gap
gap_done:
	cmpl	%ebx, STATS_LOAD(%r15)
	jne	new_sweep
	cmpl	$0, STATS_STI(%r15)
	jne	sti
sti_done:
	mov	$PROBE_BATCH, %ecx
	cmp	%r13, %rcx
	cmova	%r13, %rcx
	cmpq	$0, STATS_FILLED(%r15)
	je	write
	cmpl	$PROBE_RANDOM, %ebx
	je	random
	cmpl	$PROBE_READ, %ebx
	je	read
	cmpl	$PROBE_IDLE, %ebx
	je	idle

write:
	add	%rcx, STATS_VISITS(%r15)
	sub	%rcx, %r13
1:	locate
	cmp	%rax, (%rdi)
	jne	3f
2:	write_word
	inc	%r12
	dec	%ecx
	jnz	1b
	jmp	batch_done
3:	call	mismatch
	jmp	2b

read:
	add	%rcx, STATS_VISITS(%r15)
	sub	%rcx, %r13
1:	locate
	cmp	%rax, (%rdi)
	jne	3f
2:	inc	%r12
	dec	%ecx
	jnz	1b
	jmp	batch_done
3:	call	mismatch
	jmp	2b

random:
	add	%rcx, STATS_VISITS(%r15)
	sub	%rcx, %r13
1:	mov	STATS_RANDOM(%r15), %rax	/* xorshift64 (Marsaglia) */
	mov	%rax, %rdx
	shl	$13, %rdx
	xor	%rdx, %rax
	mov	%rax, %rdx
	shr	$7, %rdx
	xor	%rdx, %rax
	mov	%rax, %rdx
	shl	$17, %rdx
	xor	%rdx, %rax
	mov	%rax, STATS_RANDOM(%r15)
	mulq	STATS_PAGES(%r15)
	mov	STATS_FIRST(%r15), %r12
	add	%rdx, %r12
	locate
	cmp	%rax, (%rdi)
	jne	3f
2:	write_word
	dec	%ecx
	jnz	1b
	jmp	batch_done
3:	call	mismatch
	jmp	2b

/* One page, then sleep; the sleep is no gap. */
idle:
	incq	STATS_VISITS(%r15)
	dec	%r13
	locate
	cmp	%rax, (%rdi)
	je	1f
	call	mismatch
1:	write_word
	inc	%r12
	mov	$PROBE_SLEEP_PORT, %edx
	out	%al, %dx
	clock	%rbp

batch_done:
	test	%r13, %r13
	jnz	batch
	incq	STATS_SWEEPS(%r15)
	movq	$1, STATS_FILLED(%r15)
	jmp	new_sweep

/* rdx = ticks since the last look. Gaps of the first sweep are first touches: not counted. */
gap:
	cmpq	$0, STATS_FILLED(%r15)
	je	gap_done
	cmp	STATS_GAP_MAX(%r15), %rdx
	jbe	1f
	mov	%rdx, STATS_GAP_MAX(%r15)
1:	bsr	%rdx, %rcx
	sub	$PROBE_GAP_SUB_BITS, %ecx
	mov	%rdx, %rax
	shr	%cl, %rax
	and	$((1 << PROBE_GAP_SUB_BITS) - 1), %eax
	inc	%ecx
	shl	$PROBE_GAP_SUB_BITS, %ecx
	add	%ecx, %eax
	incq	STATS_GAPS(%r15,%rax,8)
	jmp	gap_done

/* A periodic timer on the local APIC, if the VMM gave its address. */
start_timer:
	mov	STATS_LAPIC(%r15), %rdi
	test	%rdi, %rdi
	jz	1f
	movl	$0x1ff, 0xf0(%rdi)	/* spurious vector; APIC on */
	movl	$0xb, 0x3e0(%rdi)	/* divide by 1 */
	movl	$(1 << 17 | PROBE_VECTOR), 0x320(%rdi)
	movl	$PROBE_TIMER_TICKS, 0x380(%rdi)
1:	ret

sti:
	dec	%r8d
	jns	sti_done
	mov	STATS_STI(%r15), %r8d
	mov	STATS_CPU(%r15), %eax
	mov	$PROBE_STI_PORT, %edx
	out	%al, %dx
	clock	%rbp			/* the exit was asked for: no gap */
	jmp	sti_done

/* Page r12 at rdi does not hold rax. Keeps rax, rcx, rdx, rdi. */
mismatch:
	test	%edx, %edx
	jnz	1f
	cmpq	$0, (%rdi)
	je	3f
1:	cmpq	$0, STATS_ERRORS(%r15)
	jne	2f
	mov	(%rdi), %rsi
	mov	%rsi, STATS_ERR_SEEN(%r15)
	mov	%rax, STATS_ERR_WANTED(%r15)
	mov	%r12, STATS_ERR_PAGE(%r15)
2:	incq	STATS_ERRORS(%r15)
3:	ret

/* The timer's interrupt, taken in ring 3 (the gate names a ring-3 segment): count it, acknowledge it. */
interrupt:
	push	%rax
	incq	STATS_INTERRUPTS(%r15)
	mov	STATS_LAPIC(%r15), %rax
	movl	$0, 0xb0(%rax)
	pop	%rax
	iretq
code_end:

	.p2align 3
probe_code_bytes:
	.quad	code_end - probe_code
probe_code_interrupt:			/* where the handler is, from the start of the code */
	.quad	interrupt - probe_code

	.section .note.GNU-stack, "", @progbits
