/* Every way in which gmig-vmm ends, seen from outside: its terminal, its sockets, its last words. */
#include "../../migrate/core/sys.h"
#include "../../vmm/run.h"
#include "../support/suite.h"
#include "native.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

/* mov $0x3f8, %dx; mov $'B', %al; out %al, %dx; 1: hlt; jmp 1b */
static const uint8_t first_word[] = {0x66, 0xba, 0xf8, 0x03, 0xb0, 0x42, 0xee, 0xf4, 0xeb, 0xfd};

static char directory[] = "/tmp/gmig-test-exit-XXXXXX";
static char port[64], control[64], log_path[64];
static int master, slave; /* of the terminal that gmig-vmm runs on */
static pid_t child;
static int full_pipe = -1; /* the child's stderr; -1: a file */
static char console[96] = "stdio";
static const char *sandbox = "on";
static bool term_is_pending; /* SIGTERM comes before the program starts */
static bool all_are_blocked; /* signals, by whoever starts it */
static int closed_fd = -1;   /* 0 to 2: the child starts without it; 3: without all of them */

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(port, sizeof(port), "%s/port", directory);
	snprintf(control, sizeof(control), "%s/gmig/exit.sock", directory);
	snprintf(log_path, sizeof(log_path), "%s/log", directory);
	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
}

static void teardown(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/gmig", directory);
	rmdir(path);
	unlink(log_path);
	ck_assert_int_eq(rmdir(directory), 0); /* nothing else is left */
	close(master);
	close(slave);
}

static void raise_term(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGTERM);
}

static void block_all(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

static void close_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (closed_fd == fd || closed_fd > STDERR_FILENO)
			close(fd);
}

static void run_child(const char *image)
{
	char spec[96];
	int log = open(log_path, O_WRONLY | O_CREAT, 0600);

	snprintf(spec, sizeof(spec), "name=p,path=%s", port);
	setenv("XDG_RUNTIME_DIR", directory, 1);
	login_tty(dup(slave));
	dup2(full_pipe >= 0 ? full_pipe : log, STDERR_FILENO);
	if (term_is_pending)
		raise_term();
	if (all_are_blocked)
		block_all();
	if (closed_fd >= 0)
		close_standard_fds();
	execl(GMIG_VMM, "gmig-vmm", "--name", "exit", "--mem", "64M", "--memory", "plain",
	      "--kernel", image, "--console", console, "--port", spec, "--sandbox", sandbox,
	      (char *)NULL);
	_exit(127);
}

static bool is_raw(void)
{
	struct termios now;

	ck_assert_int_eq(tcgetattr(slave, &now), 0);
	return !(now.c_lflag & ICANON);
}

static const char *last_words(void)
{
	static char text[3000]; /* as much as Check takes for a message */
	int fd = open(log_path, O_RDONLY);
	ssize_t got = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

/* Start it and wait for the guest's first word on the terminal: all is up then. */
static void start(void)
{
	const char *image = native_image(first_word, sizeof(first_word));
	struct pollfd pfd = {.fd = master, .events = POLLIN};

	child = fork();
	ck_assert_int_ge(child, 0);
	if (!child)
		run_child(image);
	ck_assert_msg(poll(&pfd, 1, 60000) == 1, "%s", last_words());
	ck_assert(is_raw());
	ck_assert_int_eq(access(port, F_OK), 0);
	ck_assert_int_eq(access(control, F_OK), 0);
}

static int wait_for_end(void)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

static void expect_clean(const char *words)
{
	ck_assert(!is_raw());
	ck_assert_int_ne(access(port, F_OK), 0);
	ck_assert_int_ne(access(control, F_OK), 0);
	ck_assert_msg(strstr(last_words(), words) != NULL, "no '%s' in '%s'", words, last_words());
}

/* A line of /proc/PID/status of the VMM. */
static const char *status_line(const char *name)
{
	static char line[256];
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", child);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			break;
	fclose(file);
	return line;
}

START_TEST(vmm_can_get_no_rights_by_starting_programs)
{
	start();
	ck_assert_str_eq(status_line("NoNewPrivs:"), "NoNewPrivs:\t1\n");
	kill(child, SIGTERM);
	wait_for_end();
}
END_TEST

/* How many threads of the VM there are that are under a filter, and that are not. */
static void count_threads(unsigned int *inside, unsigned int *outside)
{
	char path[64], line[256];
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", child);
	tasks = opendir(path);
	ck_assert_ptr_nonnull(tasks);
	*inside = *outside = 0;
	while ((entry = readdir(tasks))) {
		FILE *file;

		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", child, entry->d_name);
		file = fopen(path, "re");
		while (file && fgets(line, sizeof(line), file))
			if (!strncmp(line, "Seccomp:", 8))
				++*(line[9] == '2' ? inside : outside);
		if (file)
			fclose(file);
	}
	closedir(tasks);
}

/* main, log, faults, vcpu0, io, control; a thread enters as it begins. */
START_TEST(every_thread_is_in_the_sandbox_unless_it_is_off)
{
	unsigned int inside, outside;

#ifdef GMIG_INSTRUMENTED
	return;
#endif
	sandbox = _i ? "off" : "on";
	start();
	count_threads(&inside, &outside);
	for (int i = 0; outside && !_i && i < 2500; i++) {
		usleep(10000);
		count_threads(&inside, &outside);
	}
	ck_assert_uint_ge(inside + outside, 5);
	ck_assert_uint_eq(_i ? inside : outside, 0);
	kill(child, SIGTERM);
	wait_for_end();
	expect_clean("signal TERM");
	sandbox = "on";
}
END_TEST

START_TEST(sigterm_ends_in_order)
{
	start();
	kill(child, SIGTERM);
	ck_assert_int_eq(wait_for_end(), 0);
	expect_clean("shutdown reason=signal text=\"signal TERM\"");
}
END_TEST

/* As timeout(1) does: to the process, then to its group. */
START_TEST(signal_that_comes_twice_at_once_ends_in_order)
{
	uint64_t begin_ns, took_ns;
	int status;

	start();
	begin_ns = gmig_sys_real.now_ns();
	for (int i = 0; i < 100 && !kill(child, SIGTERM); i++)
		usleep(100);
	took_ns = gmig_sys_real.now_ns() - begin_ns;
	status = wait_for_end();
	if (status && took_ns > RUN_SAME_SIGNAL_MS * 500000ull) {
		puts("skip signal_that_comes_twice_at_once_ends_in_order - this machine was held "
		     "up between the signals");
		return;
	}
	ck_assert_int_eq(status, 0);
	expect_clean("shutdown reason=signal text=\"signal TERM\"");
}
END_TEST

/* Its log goes into a pipe that nobody reads. */
START_TEST(sigterm_ends_a_vm_whose_stderr_is_full)
{
	int ends[2], flags;

	ck_assert_int_eq(pipe(ends), 0);
	flags = fcntl(ends[1], F_GETFL);
	fcntl(ends[1], F_SETFL, flags | O_NONBLOCK);
	while (write(ends[1], "x", 1) == 1)
		;
	fcntl(ends[1], F_SETFL, flags);
	full_pipe = ends[1];
	start();
	kill(child, SIGTERM);
	ck_assert_int_eq(wait_for_end(), 0);
	expect_clean("");
}
END_TEST

/* A guest that has no console yet has not run either. */
START_TEST(sigterm_during_the_start_is_heard_between_its_steps)
{
	snprintf(console, sizeof(console), "file:%s/console", directory);
	term_is_pending = true;
	child = fork();
	if (!child)
		run_child(native_image(first_word, sizeof(first_word)));
	ck_assert_int_eq(wait_for_end(), 0);
	ck_assert_int_ne(access(console + strlen("file:"), F_OK), 0);
	expect_clean("shutdown reason=signal text=\"signal TERM\"");
}
END_TEST

/* A vCPU that sleeps in the kernel ends only when a signal reaches it. */
START_TEST(vm_whose_parent_blocks_all_signals_ends_in_order)
{
	all_are_blocked = true;
	start();
	kill(child, SIGTERM);
	ck_assert_int_eq(wait_for_end(), 0);
	expect_clean("shutdown reason=signal text=\"signal TERM\"");
	all_are_blocked = false;
}
END_TEST

static void await_file(const char *path)
{
	for (int i = 0; access(path, F_OK); i++) {
		ck_assert_msg(i < 2500, "no %s: '%s'", path, last_words());
		usleep(10000);
	}
}

/* What is printed, logged or said by the guest must not go into a file of the VM's own. */
START_TEST(standard_fd_that_is_closed_is_no_file_of_the_vm)
{
	char path[64], target[64];

	closed_fd = _i;
	child = fork();
	if (!child)
		run_child(native_image(first_word, sizeof(first_word)));
	await_file(control);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		ssize_t length;

		if (closed_fd != fd && closed_fd <= STDERR_FILENO)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", child, fd);
		length = readlink(path, target, sizeof(target) - 1);
		ck_assert_int_gt(length, 0);
		target[length] = '\0';
		ck_assert_str_eq(target, "/dev/null");
	}
	kill(child, SIGTERM);
	ck_assert_int_eq(wait_for_end(), 0);
	expect_clean("");
	closed_fd = -1;
}
END_TEST

static const struct {
	int number;
	const char *words;
} fatal[] = {
    {SIGSEGV, "shutdown reason=signal text=\"SIGSEGV"},
    {SIGBUS, "text=\"SIGBUS"},
    {SIGABRT, "text=\"SIGABRT"},
    {SIGQUIT, "text=\"SIGQUIT"},
    {SIGUSR2, "text=\"SIGUSR2"},
    {34, "text=\"SIGRTMIN+0"}, /* SIGRTMIN of glibc, no constant */
    {64, "text=\"SIGRTMIN+30"},
};

START_TEST(fatal_signal_leaves_nothing_behind)
{
	int status;

	start();
	kill(child, fatal[_i].number);
	status = wait_for_end();
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), fatal[_i].number);
	expect_clean(fatal[_i].words);
}
END_TEST

static pid_t thread_named(const char *name)
{
	char path[64], comm[32];
	struct dirent *entry;
	pid_t found = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", child);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while (!found && (entry = readdir(dir))) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", child, entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(comm, sizeof(comm), file) && !strcmp(comm, name))
			found = atoi(entry->d_name);
		if (file)
			fclose(file);
	}
	closedir(dir);
	return found;
}

static const char *const thread_names[] = {"vcpu0\n", "io\n", "log\n", "gmig-control\n"};

/* A thread names itself when it begins. */
static pid_t await_thread(const char *name)
{
	pid_t thread = 0;

	for (int i = 0; i < 2500 && !(thread = thread_named(name)); i++)
		usleep(10000);
	ck_assert_int_ne(thread, 0);
	return thread;
}

/* Whatever the sandbox leaves it. */
START_TEST(thread_that_crashes_leaves_nothing_behind)
{
	int status;

	start();
	ck_assert_int_eq(tgkill(child, await_thread(thread_names[_i]), SIGSEGV), 0);
	status = wait_for_end();
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
	expect_clean("SIGSEGV");
}
END_TEST

/* A real fault, of the instruction that the thread is at; false: this host lets nobody do that. */
static bool crash_thread(pid_t thread)
{
	struct user_regs_struct registers;
	int status;

	if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) ||
	    ptrace(PTRACE_INTERRUPT, thread, NULL, NULL))
		return false;
	ck_assert_int_eq(waitpid(thread, &status, __WALL), thread);
	ck_assert_int_eq(ptrace(PTRACE_GETREGS, thread, NULL, &registers), 0);
	registers.rip = 0x1230;
	registers.rbx = 0xabcdef987654ull;
	registers.orig_rax = (unsigned long long)-1; /* no system call to go on with */
	ck_assert_int_eq(ptrace(PTRACE_SETREGS, thread, NULL, &registers), 0);
	ck_assert_int_eq(ptrace(PTRACE_DETACH, thread, NULL, NULL), 0);
	return true;
}

START_TEST(crash_says_where_and_with_what)
{
	const char *words;
	int status;

	start();
	if (!crash_thread(await_thread(thread_names[_i]))) {
		puts("skip crash_says_where_and_with_what - ptrace is not allowed");
		kill(child, SIGTERM);
		wait_for_end();
		return;
	}
	status = wait_for_end();
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
	expect_clean("shutdown reason=crash text=\"SIGSEGV at 0x1230\"");
	words = last_words();
	ck_assert_msg(strstr(words, "crash thread=") != NULL, "%s", words);
	ck_assert_msg(strstr(words, " at=0x1230 version=" GMIG_VERSION "\n") != NULL, "%s", words);
	ck_assert_msg(!_i == !!strstr(words, " (vcpu0) "), "%s", words);
	ck_assert_msg(strstr(words, "crash rip=1230 rsp=7") != NULL, "%s", words);
	ck_assert_msg(strstr(words, " rbx=abcdef987654 ") != NULL, "%s", words);
	ck_assert_msg(strstr(words, "crash vcpu=0 exits=") != NULL, "%s", words);
}
END_TEST

static void await_words(const char *words)
{
	for (int i = 0; !strstr(last_words(), words); i++) {
		ck_assert_msg(i < 2500, "no '%s' in '%s'", words, last_words());
		usleep(10000);
	}
}

/* A debugger holds a thread, so that the machine cannot be taken down. */
static const struct {
	const char *thread;
	bool again; /* only a second signal ends it */
	const char *words;
} held[] = {
    {"vcpu0\n", false, "vCPU 0 does not end within"},
    {"io\n", true, "again: the end does not wait"},
};

/* Until the thread that is held has ended, which is ours to be waited for, too; with a signal now and then if it takes one. */
static void await_end_of_held(pid_t thread, bool again)
{
	int status;
	pid_t got;

	while ((got = waitpid(thread, &status, __WALL | (again ? WNOHANG : 0))) >= 0) {
		if (got && (WIFEXITED(status) || WIFSIGNALED(status)))
			return;
		if (got) {
			ptrace(PTRACE_CONT, thread, NULL, NULL);
			continue;
		}
		kill(child, SIGTERM);
		usleep(100000);
	}
}

START_TEST(forced_exit_leaves_nothing_behind)
{
	uint64_t begin_ns;
	bool is_same;
	pid_t thread;
	int status;

	start();
	thread = await_thread(held[_i].thread);
	if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) ||
	    ptrace(PTRACE_INTERRUPT, thread, NULL, NULL)) {
		puts("skip forced_exit_leaves_nothing_behind - ptrace is not allowed");
		kill(child, SIGTERM);
		wait_for_end();
		return;
	}
	ck_assert_int_eq(waitpid(thread, &status, __WALL), thread);
	begin_ns = gmig_sys_real.now_ns();
	kill(child, SIGTERM);
	await_words("shutdown reason=signal");
	if (held[_i].again) {
		kill(child, SIGTERM); /* too soon: the same wish, unless this machine was held up */
		is_same = gmig_sys_real.now_ns() - begin_ns < RUN_SAME_SIGNAL_MS * 500000ull;
		usleep(RUN_SAME_SIGNAL_MS * 1200);
		ck_assert(!is_same || !strstr(last_words(), held[_i].words));
	}
	await_end_of_held(thread, held[_i].again);
	status = wait_for_end();
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 1);
	expect_clean(held[_i].words);
}
END_TEST

/* Somebody removed our socket and put his own there. */
START_TEST(port_that_another_took_over_stays)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	start();
	ck_assert_int_eq(unlink(port), 0);
	strcpy(address.sun_path, port);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	kill(child, _i ? SIGSEGV : SIGTERM);
	wait_for_end();
	ck_assert_int_eq(access(port, F_OK), 0);
	unlink(port);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("exit");
	TCase *tcase = tcase_create("exit");

	if (native_missing())
		return 77;
	/* A VMM with a sanitizer in it shall die of the signal, and not of the report. */
	setenv("ASAN_OPTIONS", "handle_segv=0:handle_sigbus=0:handle_abort=0", 0);
	setenv("TSAN_OPTIONS", "handle_segv=0:handle_sigbus=0:handle_abort=0", 0);
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, vmm_can_get_no_rights_by_starting_programs);
	tcase_add_loop_test(tcase, every_thread_is_in_the_sandbox_unless_it_is_off, 0, 2);
	tcase_add_loop_test(tcase, thread_that_crashes_leaves_nothing_behind, 0, 4);
	tcase_add_loop_test(tcase, crash_says_where_and_with_what, 0, 4);
	tcase_add_test(tcase, sigterm_ends_in_order);
	tcase_add_test(tcase, signal_that_comes_twice_at_once_ends_in_order);
	tcase_add_test(tcase, sigterm_ends_a_vm_whose_stderr_is_full);
	tcase_add_test(tcase, sigterm_during_the_start_is_heard_between_its_steps);
	tcase_add_test(tcase, vm_whose_parent_blocks_all_signals_ends_in_order);
	tcase_add_loop_test(tcase, standard_fd_that_is_closed_is_no_file_of_the_vm, 0, 4);
	tcase_add_loop_test(tcase, fatal_signal_leaves_nothing_behind, 0,
			    sizeof(fatal) / sizeof(fatal[0]));
	tcase_add_loop_test(tcase, forced_exit_leaves_nothing_behind, 0, 2);
	tcase_add_loop_test(tcase, port_that_another_took_over_stays, 0, 2);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
