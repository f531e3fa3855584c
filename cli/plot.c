#include "plot.h"

#include "../control/text.h"
#include "../migrate/core/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
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

/* -d: whatever the user has in his .gnuplot. */
__attribute__((noreturn)) static void become_gnuplot(const int *fd, const char *argument)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(fd[SCRIPT], 0) < 0 || dup2(fd[RESULT], 1) < 0 || dup2(fd[MESSAGES], 2) < 0)
		_exit(NOT_FOUND);
	execlp("gnuplot", "gnuplot", "-d", argument, (char *)NULL);
	_exit(NOT_FOUND);
}

/* Its exit status, 128 and more for a signal; -errno. */
static int run(const int *fd, const char *argument)
{
	const struct timespec pause = {.tv_nsec = 2000000};
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
		nanosleep(&pause, NULL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The whole file with a NUL behind it (owned); NULL: no memory. */
static char *read_all(int fd, size_t *bytes)
{
	struct stat stat;
	char *text;
	ssize_t got;

	if (fstat(fd, &stat))
		return NULL;
	text = malloc((size_t)stat.st_size + 1);
	if (!text)
		return NULL;
	got = pread_whole(fd, text, (size_t)stat.st_size, 0);
	*bytes = got > 0 ? (size_t)got : 0;
	text[*bytes] = '\0';
	return text;
}

static int say_failed(const int *fd, int status, struct gmig_error *err)
{
	size_t bytes;
	char *messages = read_all(fd[MESSAGES], &bytes);
	int rc = gmig_fail(err, -EIO, "gnuplot ended with %d and said: %.150s", status,
			   messages ? messages : "");

	free(messages);
	return rc;
}

/* What it wrote; *result is owned. */
static int draw(const char *terminal, const char *script, char **result, size_t *bytes,
		struct gmig_error *err)
{
	int fd[FILES], rc = open_files(fd);

	if (rc)
		return gmig_fail(err, rc, "no memory for a plot");
	if (dprintf(fd[SCRIPT], "set terminal %s\n%s\n", terminal, script) < 0 ||
	    lseek(fd[SCRIPT], 0, SEEK_SET) < 0)
		rc = gmig_fail(err, -EIO, "no memory for a plot");
	if (!rc) {
		rc = run(fd, "-");
		if (rc < 0)
			gmig_fail(err, rc, "gnuplot: %s", strerror(-rc));
		else if (rc)
			rc = say_failed(fd, rc, err);
	}
	*result = rc ? NULL : read_all(fd[RESULT], bytes);
	if (!rc && !*result)
		rc = gmig_fail(err, -ENOMEM, "no memory for a plot");
	close_files(fd);
	return rc;
}

int plot_svg(const char *name, unsigned int width, unsigned int height, const char *script,
	     char **svg, struct gmig_error *err)
{
	char terminal[200], *text = NULL, *begin;
	size_t bytes;
	int rc;

	snprintf(terminal, sizeof(terminal),
		 "svg noenhanced size %u,%u font \"sans-serif,13\" name \"%.64s\" background "
		 "\"#ffffff\"",
		 width, height, name);
	rc = draw(terminal, script, &text, &bytes, err);
	if (rc)
		return rc;
	/* Without the prolog of a document of its own. */
	begin = strstr(text, "<svg");
	if (!begin || !strstr(begin, "</svg>")) {
		free(text);
		return gmig_fail(err, -EIO, "gnuplot wrote no picture");
	}
	memmove(text, begin, strlen(begin) + 1);
	*svg = text;
	return 0;
}

int plot_png(unsigned int width, unsigned int height, const char *script, char **png, size_t *bytes,
	     struct gmig_error *err)
{
	char terminal[120];
	int rc;

	snprintf(terminal, sizeof(terminal),
		 "pngcairo noenhanced size %u,%u font \"sans-serif,10\" background \"#ffffff\"",
		 width, height);
	rc = draw(terminal, script, png, bytes, err);
	if (!rc && (*bytes < 8 || memcmp(*png, "\x89PNG", 4) != 0)) {
		free(*png);
		*png = NULL;
		rc = gmig_fail(err, -EIO, "gnuplot wrote no picture");
	}
	return rc;
}

int plot_check(const char *who, struct gmig_error *err)
{
	int fd[FILES], rc = open_files(fd);

	if (!rc) {
		rc = run(fd, "--version");
		close_files(fd);
	}
	if (rc)
		return gmig_fail(err, -ENOENT,
				 "%s draws with gnuplot, which cannot be run here: install the "
				 "package gnuplot-nox",
				 who);
	return 0;
}

void plot_text(FILE *out, const char *text)
{
	char *safe = strdup(text);

	fputc('\'', out);
	for (const char *at = safe ? control_text_safe(safe) : ""; *at; at++) {
		if (*at == '\'')
			fputc('\'', out);
		fputc(*at, out);
	}
	fputc('\'', out);
	free(safe);
}

void plot_word(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
	}
	fputc('"', out);
}
