/* What a crash leaves on stderr: of a machine whose parts are as the test has them. */
#include "suite.h"

#include "../../vmm/crash.h"
#include "../../vmm/internal.h"
#include "../../vmm/signal_text.h"
#include "../../vmm/undo.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[8192];

/* In a process of its own, whose stderr is kept. Returns its status. */
static int run(void (*crash)(void))
{
	int pipe_fd[2], status;
	size_t used = 0;
	ssize_t got;
	pid_t child;

	ck_assert_int_eq(pipe(pipe_fd), 0);
	child = fork();
	if (!child) {
		dup2(pipe_fd[1], STDERR_FILENO);
		close(pipe_fd[0]);
		crash();
		_exit(0);
	}
	close(pipe_fd[1]);
	while ((got = read(pipe_fd[0], said + used, sizeof(said) - 1 - used)) > 0)
		used += (size_t)got;
	close(pipe_fd[0]);
	said[used] = '\0';
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

static void expect(const char *words)
{
	ck_assert_msg(strstr(said, words) != NULL, "no '%s' in:\n%s", words, said);
}

static struct vmm vmm;
static struct kvm_run last_exit[3];

static void make_machine(void)
{
	vmm.options.cpus = 3;
	for (unsigned int i = 0; i < 3; i++)
		vmm.vcpu[i].run = &last_exit[i];
	vmm.vcpu[1].tid = (int)syscall(SYS_gettid);
	vmm.vcpu[0].exits = 7;
	last_exit[0].exit_reason = KVM_EXIT_MMIO;
	last_exit[1].exit_reason = 4711;
	vmm.vcpu[1].exits = UINT64_MAX;
	vmm.vcpu[2].parked = true;
	vmm.vcpu[2].run = NULL;
	for (unsigned int id = 60; id < 73; id++)
		vmm.job_states.last[id % GUEST_JOB_STATES] = id << 8 | GMIG_JOB_COMPLETED;
	vmm.job_states.last[72 % GUEST_JOB_STATES] = 72 << 8 | GMIG_JOB_RUNNING;
	crash_watch(&vmm);
}

static void report(void)
{
	make_machine();
	crash_report(NULL);
}

START_TEST(vcpus_and_the_last_jobs_are_named)
{
	ck_assert_int_eq(run(report), 0);
	expect("gmig-vmm: crash thread=");
	expect(" (main) (vcpu1) version=" GMIG_VERSION "\n");
	expect("gmig-vmm: crash vcpu=0 exits=7 last=mmio\n");
	expect("gmig-vmm: crash vcpu=1 exits=18446744073709551615 last=4711\n");
	expect("gmig-vmm: crash vcpu=2 exits=0 last=none parked\n");
	expect("gmig-vmm: crash job=72 state=running\ngmig-vmm: crash job=71 state=completed\n");
	expect("job=65 ");
	ck_assert(!strstr(said, "job=64 "));
	ck_assert(!strstr(said, "rip="));
}
END_TEST

static void watch_fatal_signals(void)
{
	/* Not a sanitizer's. */
	signal(SIGILL, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	make_machine();
	undo_report_crash_by(crash_report);
	undo_on_fatal_signals();
}

static void crash_here(void)
{
	watch_fatal_signals();
	__builtin_trap();
}

START_TEST(place_is_what_addr2line_takes)
{
	int status = run(crash_here);

	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGILL);
	expect("shutdown reason=crash text=\"SIGILL at 0x");
	expect(" at=gmig-vmm+0x");
	expect("crash rip=");
	expect(" cr2=");
}
END_TEST

static void give_up(void)
{
	watch_fatal_signals();
	abort();
}

START_TEST(abort_is_a_crash)
{
	int status = run(give_up);

	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGABRT);
	expect("shutdown reason=crash text=\"SIGABRT by itself\"\n");
	expect("crash vcpu=0 ");
}
END_TEST

/* Not before fork(2) has returned here: ThreadSanitizer holds locks in it, and its handlers wait for them for ever. */
static void be_told(void)
{
	int go[2];
	char byte = 0;

	watch_fatal_signals();
	if (pipe(go))
		_exit(1);
	if (fork() == 0) {
		if (read(go[0], &byte, 1) == 1)
			kill(getppid(), SIGABRT);
		_exit(0);
	}
	if (write(go[1], &byte, 1) != 1)
		_exit(1);
	for (;;)
		usleep(
		    10000); /* not pause(2): it keeps a signal that comes just before until the next call */
}

START_TEST(signal_of_somebody_is_none)
{
	int status = run(be_told);

	ck_assert(WIFSIGNALED(status));
	expect("shutdown reason=signal text=\"SIGABRT was sent to it\"\n");
	ck_assert(!strstr(said, "crash thread="));
}
END_TEST

/* A machine that is broken itself: the report is begun once. */
static void crash_in_the_report(void)
{
	watch_fatal_signals();
	vmm.vcpu[1].run = (struct kvm_run *)16;
	__builtin_trap();
}

START_TEST(report_that_crashes_ends_the_process_all_the_same)
{
	const char *first;
	int status;

	if (UNDER_TSAN) {
		skip_case("ThreadSanitizer ends a handler's fault by itself");
		return;
	}
	status = run(crash_in_the_report);
	ck_assert(WIFSIGNALED(status));
	expect("SIGILL at 0x");
	expect("SIGSEGV at 0x");
	first = strstr(said, "crash thread=");
	ck_assert_ptr_nonnull(first);
	ck_assert(!strstr(first + 1, "crash thread="));
}
END_TEST

static void long_line(void)
{
	struct signal_text text = {.used = 0};

	for (unsigned int i = 0; i < 100; i++)
		signal_text_add(&text, "12345678");
	signal_text_hex(&text, UINT64_MAX);
	signal_text_say(&text);
	signal_text_name(&text, SIGRTMIN + 12);
	signal_text_say(&text);
}

START_TEST(line_is_cut_off_where_it_has_no_room)
{
	ck_assert_int_eq(run(long_line), 0);
	ck_assert_uint_eq(strcspn(said, "\n"), sizeof(((struct signal_text *)NULL)->line) - 1);
	expect("\nSIGRTMIN+12\n");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    vcpus_and_the_last_jobs_are_named,
	    place_is_what_addr2line_takes,
	    abort_is_a_crash,
	    signal_of_somebody_is_none,
	    report_that_crashes_ends_the_process_all_the_same,
	    line_is_cut_off_where_it_has_no_room,
	};
	return run_tests("crash", NULL, NULL, tests, sizeof(tests) / sizeof(tests[0]));
}
