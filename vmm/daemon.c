/* --daemonize, see daemon.h. */
#include "daemon.h"
#include "../migrate/core/shortage.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_fd = -1;
static int null_fd = -1;

/* A byte: it is ready. The end: it has ended without, and its status is ours. */
static int await_child(int fd, pid_t pid)
{
	char byte;
	ssize_t got;
	int status;

	do {
		got = read(fd, &byte, 1);
	} while (got < 0 && errno == EINTR);
	if (got == 1)
		return 0;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

int vmm_daemonize(void)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC)) {
		fprintf(stderr, "gmig-vmm: --daemonize: %s\n", strerror(errno));
		return 1;
	}
	pid = fork();
	if (pid) {
		int rc = 1;

		if (pid < 0)
			fprintf(stderr, "gmig-vmm: --daemonize: %s\n", strerror(errno));
		close(ends[1]);
		if (pid > 0)
			rc = await_child(ends[0], pid);
		close(ends[0]);
		return rc;
	}
	close(ends[0]);
	ready_fd = ends[1];
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* later a sandbox may be in the way */
	/* Whoever reads the command's output would wait for the guest's end. */
	if (null_fd < 0 && is_shortage(errno)) {
		fprintf(stderr, "gmig-vmm: --daemonize: /dev/null: %s\n", strerror(errno));
		return 1;
	}
	setsid();
	return -1;
}

void vmm_daemon_ready(void)
{
	struct stat st;

	if (ready_fd < 0)
		return;
	fflush(NULL);
	log_flush(1000); /* stderr becomes another */
	if (null_fd >= 0) {
		dup2(null_fd, STDIN_FILENO);
		dup2(null_fd, STDOUT_FILENO);
		if (fstat(STDERR_FILENO, &st) || !S_ISREG(st.st_mode))
			dup2(null_fd, STDERR_FILENO);
		close(null_fd);
	}
	if (write(ready_fd, "", 1) != 1)
		fprintf(stderr, "gmig-vmm: --daemonize: nobody waits for it\n");
	close(ready_fd);
	ready_fd = -1;
}
