#include "syscall_filter.h"

#include <linux/audit.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DATA(field) ((unsigned int)offsetof(struct seccomp_data, field))
/* The low half of an argument. */
#define ARGUMENT(n) (DATA(args) + 8 * (n))

/* The accumulator holds the call's number wherever a rule begins. */
static void emit(struct syscall_filter *filter, struct sock_filter instruction)
{
	if (filter->length < SYSCALL_FILTER_MAX)
		filter->code[filter->length] = instruction;
	if (filter->length <= SYSCALL_FILTER_MAX)
		filter->length++; /* one past the end: it did not fit */
}

static void emit_load(struct syscall_filter *filter, unsigned int offset)
{
	emit(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void emit_jump(struct syscall_filter *filter, unsigned short test, unsigned int value,
		      size_t if_true, size_t if_false)
{
	emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, value,
						  (unsigned char)if_true, (unsigned char)if_false));
}

static void emit_return(struct syscall_filter *filter, unsigned int what)
{
	emit(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

void syscall_filter_begin(struct syscall_filter *filter)
{
	filter->length = 0;
	emit_load(filter, DATA(arch));
	emit_jump(filter, BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
	emit_return(filter, SECCOMP_RET_KILL_PROCESS);
	emit_load(filter, DATA(nr));
}

void syscall_filter_number(struct syscall_filter *filter, unsigned int number, unsigned int verdict)
{
	emit_jump(filter, BPF_JEQ, number, 0, 1);
	emit_return(filter, verdict);
}

void syscall_filter_from(struct syscall_filter *filter, unsigned int number, unsigned int verdict)
{
	emit_jump(filter, BPF_JGE, number, 0, 1);
	emit_return(filter, verdict);
}

void syscall_filter_allow(struct syscall_filter *filter, const unsigned short *numbers,
			  size_t count)
{
	for (size_t i = 0; i < count; i++)
		syscall_filter_number(filter, numbers[i], SYSCALL_ALLOW);
}

void syscall_filter_bits(struct syscall_filter *filter, unsigned int number, unsigned int argument,
			 unsigned int mask, const unsigned int verdict[2])
{
	emit_jump(filter, BPF_JEQ, number, 0, 4);
	emit_load(filter, ARGUMENT(argument));
	emit_jump(filter, BPF_JSET, mask, 0, 1);
	emit_return(filter, verdict[0]);
	emit_return(filter, verdict[1]);
}

void syscall_filter_values(struct syscall_filter *filter, unsigned int number,
			   unsigned int argument, unsigned int mask, const unsigned int *values,
			   size_t count)
{
	emit_jump(filter, BPF_JEQ, number, 0, 2 * count + 3);
	emit_load(filter, ARGUMENT(argument));
	emit(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
	for (size_t i = 0; i < count; i++) {
		emit_jump(filter, BPF_JEQ, values[i], 0, 1);
		emit_return(filter, SYSCALL_ALLOW);
	}
	emit_load(filter, DATA(nr));
}

void syscall_filter_end(struct syscall_filter *filter, unsigned int verdict)
{
	emit_return(filter, verdict);
}

int syscall_filter_install(const struct syscall_filter *filter, bool log)
{
	struct sock_fprog program = {.len = filter->length,
				     .filter = (struct sock_filter *)filter->code};

	if (filter->length > SYSCALL_FILTER_MAX)
		return -E2BIG;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, log ? SECCOMP_FILTER_FLAG_LOG : 0,
		    &program))
		return -errno;
	return 0;
}
