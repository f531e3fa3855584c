#include "plot.h"
#include "clocks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS 30000
#define NOT_FOUND  127

enum { SCRIPT, RESULT, MESSAGES, FILES };

static void close_files(const int *fd)
{
	for (int i = 0; i < FILES; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

static int open_files(int *fd)
{
	static const char *const names[FILES] = {"plot", "svg", "messages"};

	for (int i = 0; i < FILES; i++)
		fd[i] = memfd_create(names[i], MFD_CLOEXEC);
	for (int i = 0; i < FILES; i++) {
		if (fd[i] < 0) {
			close_files(fd);
			return -errno;
		}
	}
	return 0;
}

__attribute__((noreturn)) static void become_gnuplot(const int *fd, const char *argument)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(fd[SCRIPT], 0) < 0 || dup2(fd[RESULT], 1) < 0 || dup2(fd[MESSAGES], 2) < 0)
		_exit(NOT_FOUND);
	execlp("gnuplot", "gnuplot", argument, (char *)NULL);
	_exit(NOT_FOUND);
}

/* Its exit status, 128 and more for a signal; -errno. */
static int run(const int *fd, const char *argument)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid)
		become_gnuplot(fd, argument);
	for (int waited = 0; waitpid(pid, &status, WNOHANG) == 0; waited += 2) {
		if (waited > TIMEOUT_MS) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -ETIMEDOUT;
		}
		sleep_ns(2000000);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The whole file as a string (owned); NULL: no memory. */
static char *read_all(int fd)
{
	struct stat stat;
	char *text;
	ssize_t got;

	if (fstat(fd, &stat))
		return NULL;
	text = malloc((size_t)stat.st_size + 1);
	if (!text)
		return NULL;
	got = pread(fd, text, (size_t)stat.st_size, 0);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static int write_script(int fd, const char *name, unsigned int width, unsigned int height,
			const char *script)
{
	int length = dprintf(fd,
			     "set terminal svg noenhanced size %u,%u font \"sans-serif,13\" "
			     "name \"%s\" background \"#ffffff\"\n%s\n",
			     width, height, name, script);

	return length < 0 || lseek(fd, 0, SEEK_SET) < 0 ? -EIO : 0;
}

/* What came, without the prolog of a document of its own. */
static int take_svg(const int *fd, int status, char **svg, struct gmig_error *err)
{
	char *text = read_all(fd[RESULT]), *messages = read_all(fd[MESSAGES]);
	char *begin = text ? strstr(text, "<svg") : NULL;
	int rc = 0;

	if (status || !begin || !strstr(begin, "</svg>"))
		rc = gmig_fail(err, -EIO, "gnuplot ended with %d and said: %.150s", status,
			       messages ? messages : "");
	else
		memmove(text, begin, strlen(begin) + 1);
	free(messages);
	if (rc)
		free(text);
	else
		*svg = text;
	return rc;
}

int plot_svg(const char *name, unsigned int width, unsigned int height, const char *script,
	     char **svg, struct gmig_error *err)
{
	int fd[FILES], rc = open_files(fd);

	if (rc)
		return gmig_fail(err, rc, "no memory for a plot");
	rc = write_script(fd[SCRIPT], name, width, height, script);
	if (!rc)
		rc = run(fd, "-");
	if (rc < 0)
		gmig_fail(err, rc, "gnuplot: %s", strerror(-rc));
	else
		rc = take_svg(fd, rc, svg, err);
	close_files(fd);
	return rc;
}

int plot_check(struct gmig_error *err)
{
	int fd[FILES], rc = open_files(fd);

	if (!rc) {
		rc = run(fd, "--version");
		close_files(fd);
	}
	if (rc)
		return gmig_fail(err, -ENOENT,
				 "--html draws with gnuplot, which cannot be run here: install the "
				 "package gnuplot-nox");
	return 0;
}

void plot_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
	}
	fputc('"', out);
}
