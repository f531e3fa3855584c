/*
 * Runs a command and meanwhile stops threads of it and of its children at random, one each of STOPPERS at a time, for up to
 * MAX_MS milliseconds: what a busy machine does to a program once in ten thousand runs, all the time. A test that fails under
 * it asserts something that it has not waited for, or the product does.
 *
 * A stopped thread is seized with ptrace(2) for that time only, so that signals, exits and children need no care. As with
 * SIGSTOP, a system call that it slept in may return EINTR. LeakSanitizer traces by itself: ASAN_OPTIONS=detect_leaks=0.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIDS_MAX     256
#define STOPPERS_MAX 16
#define BETWEEN_MS   20.0
#define SHORTEST_MS  0.05

struct tids {
	pid_t tid[TIDS_MAX];
	unsigned int count;
};

/* From SHORTEST_MS to `max_ms`, each order of magnitude as often as another one. */
static void sleep_up_to(double max_ms, unsigned short seed[3])
{
	double ms = SHORTEST_MS * pow(max_ms / SHORTEST_MS, erand48(seed));
	struct timespec time = {.tv_sec = (time_t)(ms / 1000),
				.tv_nsec = (long)(fmod(ms, 1000) * 1e6)};

	nanosleep(&time, NULL);
}

static void list_threads(pid_t pid, struct tids *tids);

static void list_children(pid_t pid, pid_t tid, struct tids *tids)
{
	char path[64], text[4096], *next = text, *end;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got > 0 ? got : 0] = '\0';
	for (long child; (child = strtol(next, &end, 10)) > 0; next = end)
		list_threads((pid_t)child, tids);
}

static void list_threads(pid_t pid, struct tids *tids)
{
	const struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid <= 0 || tids->count == TIDS_MAX)
			continue;
		tids->tid[tids->count++] = tid;
		list_children(pid, tid, tids);
	}
	if (dir)
		closedir(dir);
}

/* What made it stop first may be a signal of its own, which it then gets. */
static void stop_thread(pid_t tid, double max_ms, unsigned short seed[3])
{
	int status, signal = 0;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return;
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
		return;
	sleep_up_to(max_ms, seed);
	if (status >> 16 != PTRACE_EVENT_STOP)
		signal = WSTOPSIG(status);
	/* A thread that was killed in the meantime is a zombie, which nobody else may reap. */
	if (ptrace(PTRACE_DETACH, tid, NULL, (void *)(long)signal))
		waitpid(tid, &status, __WALL);
}

static void run_stopper(pid_t pid, unsigned int seed, double max_ms)
{
	unsigned short state[3] = {(unsigned short)seed, (unsigned short)(seed >> 16), 0x330e};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		struct tids tids = {.count = 0};

		list_threads(pid, &tids);
		if (tids.count)
			stop_thread(tids.tid[(size_t)(erand48(state) * tids.count)], max_ms, state);
		sleep_up_to(BETWEEN_MS, state);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: stall [-s SEED] [-j STOPPERS] [-m MAX_MS] COMMAND [ARG..]\n");
	return 2;
}

int main(int argc, char **argv)
{
	unsigned int seed = (unsigned int)getpid(), stoppers = 2;
	pid_t command, stopper[STOPPERS_MAX];
	double max_ms = 300;
	int option, status;

	while ((option = getopt(argc, argv, "+s:j:m:")) != -1) {
		if (option == 's')
			seed = (unsigned int)strtoul(optarg, NULL, 10);
		else if (option == 'j')
			stoppers = (unsigned int)strtoul(optarg, NULL, 10);
		else if (option == 'm')
			max_ms = strtod(optarg, NULL);
		else
			return usage();
	}
	if (optind == argc || stoppers < 1 || stoppers > STOPPERS_MAX || !(max_ms > SHORTEST_MS))
		return usage();
	command = fork();
	if (!command) {
		setenv("GMIG_STALLED", "1", 1); /* for a test whose counts a stop may raise */
		execvp(argv[optind], argv + optind);
		perror(argv[optind]);
		_exit(127);
	}
	for (unsigned int i = 0; i < stoppers; i++) {
		stopper[i] = fork();
		if (!stopper[i])
			run_stopper(command, seed + i, max_ms);
	}
	while (waitpid(command, &status, 0) < 0 && errno == EINTR)
		;
	for (unsigned int i = 0; i < stoppers; i++) {
		kill(stopper[i], SIGKILL);
		waitpid(stopper[i], NULL, 0);
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
