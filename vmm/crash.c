/* See crash.h. */
#include "crash.h"
#include "internal.h"
#include "signal_text.h"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define JOBS 8

static _Atomic(struct vmm *) watched;

void crash_watch(struct vmm *vmm)
{
	atomic_store(&watched, vmm);
}

/* ---- The thread -------------------------------------------------------------------------------- */

extern const char __executable_start[], etext[]; /* the linker's */

static void begin(struct signal_text *text, const char *what)
{
	text->used = 0;
	signal_text_add(text, "gmig-vmm: crash ");
	signal_text_add(text, what);
}

static void say_thread(const struct vmm *vmm, const ucontext_t *context)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);
	uintptr_t start = (uintptr_t)__executable_start;
	struct signal_text text;

	begin(&text, "thread=");
	signal_text_number(&text, (uint64_t)tid);
	if (tid == getpid())
		signal_text_add(&text, " (main)");
	for (unsigned int i = 0; vmm && i < vmm->options.cpus; i++)
		if (atomic_load(&vmm->vcpu[i].tid) == tid) {
			signal_text_add(&text, " (vcpu");
			signal_text_number(&text, i);
			signal_text_add(&text, ")");
		}
	if (context) {
		uintptr_t rip = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];

		/* As addr2line takes it. */
		signal_text_add(&text, rip >= start && rip < (uintptr_t)etext ? " at=gmig-vmm+0x"
									      : " at=0x");
		signal_text_hex(&text, rip >= start && rip < (uintptr_t)etext ? rip - start : rip);
	}
	signal_text_add(&text, " version=" GMIG_VERSION);
	signal_text_say(&text);
}

static void say_registers(const ucontext_t *context)
{
	static const struct {
		const char *name;
		int number;
	} registers[] = {
	    {"rip=", REG_RIP},	{" rsp=", REG_RSP}, {" rbp=", REG_RBP}, {" rax=", REG_RAX},
	    {" rbx=", REG_RBX}, {" rcx=", REG_RCX}, {" rdx=", REG_RDX}, {" rsi=", REG_RSI},
	    {" rdi=", REG_RDI}, {"r8=", REG_R8},    {" r9=", REG_R9},	{" r10=", REG_R10},
	    {" r11=", REG_R11}, {" r12=", REG_R12}, {" r13=", REG_R13}, {" r14=", REG_R14},
	    {" r15=", REG_R15}, {" cr2=", REG_CR2},
	};
	struct signal_text text;

	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		if (i % 9 == 0)
			begin(&text, "");
		signal_text_add(&text, registers[i].name);
		signal_text_hex(&text, (uint64_t)context->uc_mcontext.gregs[registers[i].number]);
		if (i % 9 == 8)
			signal_text_say(&text);
	}
}

/* ---- The machine ------------------------------------------------------------------------------- */

/* KVM's number where there is no name. */
static const char *exit_name(uint32_t reason)
{
	switch (reason) {
	case KVM_EXIT_UNKNOWN:
		return "none";
	case KVM_EXIT_IO:
		return "io";
	case KVM_EXIT_MMIO:
		return "mmio";
	case KVM_EXIT_INTR:
		return "signal";
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return "interrupt-window";
	case KVM_EXIT_SHUTDOWN:
		return "shutdown";
	case KVM_EXIT_SYSTEM_EVENT:
		return "system-event";
	case KVM_EXIT_INTERNAL_ERROR:
		return "internal-error";
	default:
		return NULL;
	}
}

static void say_vcpus(const struct vmm *vmm)
{
	struct signal_text text;

	for (unsigned int i = 0; i < vmm->options.cpus; i++) {
		const struct vmm_vcpu *vcpu = &vmm->vcpu[i];
		const char *name = vcpu->run ? exit_name(vcpu->run->exit_reason) : "none";

		begin(&text, "vcpu=");
		signal_text_number(&text, i);
		signal_text_add(&text, " exits=");
		signal_text_number(&text, atomic_load(&vcpu->exits));
		signal_text_add(&text, " last=");
		if (name)
			signal_text_add(&text, name);
		else
			signal_text_number(&text, vcpu->run->exit_reason);
		if (vcpu->parked || vcpu->held)
			signal_text_add(&text, vcpu->parked ? " parked" : " held");
		signal_text_say(&text);
	}
}

/* The newest before `below`; 0: there is none. */
static uint64_t job_below(const struct vmm *vmm, uint64_t below)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < GUEST_JOB_STATES; i++) {
		uint64_t job = atomic_load(&vmm->job_states.last[i]);

		if (job < below && job > newest)
			newest = job;
	}
	return newest;
}

static void say_jobs(const struct vmm *vmm)
{
	const char *const *names = gmig_job_state_names();
	uint64_t job = UINT64_MAX;
	struct signal_text text;

	for (unsigned int i = 0; i < JOBS && (job = job_below(vmm, job)); i++) {
		begin(&text, "job=");
		signal_text_number(&text, job >> 8);
		signal_text_add(&text, " state=");
		signal_text_add(&text, names[job & 0xff]);
		signal_text_say(&text);
	}
}

void crash_report(const void *context)
{
	const struct vmm *vmm = atomic_load(&watched);

	say_thread(vmm, context);
	if (context)
		say_registers(context);
	if (!vmm)
		return;
	say_vcpus(vmm);
	say_jobs(vmm);
}
