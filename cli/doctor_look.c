#include "doctor_look.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void doctor_say(struct doctor_finding *finding, const char *state, const char *format, ...)
{
	va_list args;

	finding->state = state;
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args); /* NOLINT */
	va_end(args);
}

void doctor_advise(struct doctor_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->todo, sizeof(finding->todo), format, args); /* NOLINT */
	va_end(args);
}

void doctor_path(const struct doctor_host *host, const char *path, char *full)
{
	snprintf(full, PATH_MAX, "%s%s", host->root, path);
}

/* It could not be looked at: neither good nor bad is said of it. False: it is just not there. */
bool doctor_unknown(struct doctor_finding *finding, int error, const char *what)
{
	if (!error || error == ENOENT || error == ESRCH)
		return false;
	doctor_say(finding, "note", "it is not known %s: %s", what, strerror(error));
	doctor_advise(finding,
		      "run gmig doctor again: as root, or with more open files (ulimit -n)");
	return true;
}

/* The first line of a file, without its end. False when it cannot be read: errno, or 0 if it is empty. */
bool doctor_line(const struct doctor_host *host, const char *path, char *line, size_t bytes)
{
	char full[PATH_MAX];
	FILE *file;
	bool got;
	int error;

	doctor_path(host, path, full);
	line[0] = '\0';
	file = fopen(full, "re");
	if (!file)
		return false;
	errno = 0;
	got = fgets(line, (int)bytes, file) != NULL;
	error = got ? 0 : errno;
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	errno = error;
	return got;
}

/* -1: cannot be read; *error is why. */
long doctor_number(const struct doctor_host *host, const char *path, int *error)
{
	char line[64];
	bool got = doctor_line(host, path, line, sizeof(line));

	*error = got ? 0 : errno;
	return got ? strtol(line, NULL, 10) : -1;
}

/* "always [madvise] never": what is in the brackets. 0, or errno. */
int doctor_chosen(const struct doctor_host *host, const char *path, char *word, size_t bytes)
{
	char line[128];
	int error = doctor_line(host, path, line, sizeof(line)) ? 0 : errno;
	const char *open = strchr(line, '[');

	snprintf(word, bytes, "%.*s", open ? (int)strcspn(open + 1, "]") : 0, open ? open + 1 : "");
	return error;
}

/* 0 or errno of opening a device for reading and writing. */
int doctor_device(const struct doctor_host *host, const char *path)
{
	char full[PATH_MAX];
	int fd;

	doctor_path(host, path, full);
	fd = open(full, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* The line of /proc/WHO/status that begins with key; its value. False: errno, or 0 if there is no such line. */
bool doctor_status(const struct doctor_host *host, const char *who, const char *key, char *value,
		   size_t bytes)
{
	char full[PATH_MAX], path[64], line[512];
	bool found = false;
	FILE *file;
	int error;

	snprintf(path, sizeof(path), "/proc/%.20s/status", who);
	doctor_path(host, path, full);
	file = fopen(full, "re");
	if (!file)
		return false;
	while (!found && (errno = 0, fgets(line, sizeof(line), file))) {
		found = !strncmp(line, key, strlen(key));
		if (found)
			snprintf(value, bytes, "%.*s", (int)strcspn(line + strlen(key), "\n"),
				 line + strlen(key));
	}
	error = found ? 0 : errno;
	fclose(file);
	errno = error;
	return found;
}

/* Whoever started us may have taken system calls away, and so from gmig-vmm when it is started here. */
bool doctor_filtered(const struct doctor_host *host)
{
	char mode[16];

	return doctor_status(host, "self", "Seccomp:\t", mode, sizeof(mode)) && *mode == '2';
}

/*
 * The next process in the directory /proc whose name is as this pattern of fnmatch(3); NULL: no more. *error is set when one of
 * them could not be looked at.
 */
const char *doctor_process(const struct doctor_host *host, DIR *proc, const char *pattern,
			   int *error)
{
	const struct dirent *entry;
	char path[64], name[64];

	while (proc && (errno = 0, entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/comm", entry->d_name);
		if (!doctor_line(host, path, name, sizeof(name)))
			*error = errno && errno != ENOENT && errno != ESRCH ? errno : *error;
		else if (!fnmatch(pattern, name, FNM_EXTMATCH))
			return entry->d_name;
	}
	if (proc && errno)
		*error = errno;
	return NULL;
}

/* With hidepid=2 a user sees his own processes alone; one of number 1 there is always. */
DIR *doctor_proc(const struct doctor_host *host, int *error)
{
	char path[PATH_MAX];
	DIR *proc;

	doctor_path(host, "/proc", path);
	proc = opendir(path);
	*error = proc ? 0 : errno;
	doctor_path(host, "/proc/1", path);
	if (proc && access(path, F_OK))
		*error = errno == ENOENT ? EPERM : errno;
	return proc;
}
