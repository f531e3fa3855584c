/*
 * What the checks of gmig doctor look at the host with, and what they find. Below doctor_host.root; errors are errno. Main thread.
 */
#ifndef CLI_DOCTOR_LOOK_H
#define CLI_DOCTOR_LOOK_H

#include "doctor.h"

#include <dirent.h>
#include <stdbool.h>

#define DOCTOR_TEXT 512

struct doctor_finding {
	const char *state; /* ok, note, fail */
	char text[DOCTOR_TEXT], todo[DOCTOR_TEXT];
};

__attribute__((format(printf, 3, 4))) void doctor_say(struct doctor_finding *finding,
						      const char *state, const char *format, ...);
__attribute__((format(printf, 2, 3))) void doctor_advise(struct doctor_finding *finding,
							 const char *format, ...);
/* It could not be looked at: neither good nor bad is said of it. False: it is just not there. */
bool doctor_unknown(struct doctor_finding *finding, int error, const char *what);

/* Of PATH_MAX bytes. */
void doctor_path(const struct doctor_host *host, const char *path, char *full);
/* The first line of a file, without its end. False when it cannot be read: errno, or 0 if it is empty. */
bool doctor_line(const struct doctor_host *host, const char *path, char *line, size_t bytes);
/* -1: cannot be read; *error is why. */
long doctor_number(const struct doctor_host *host, const char *path, int *error);
/* "always [madvise] never": what is in the brackets. 0, or errno. */
int doctor_chosen(const struct doctor_host *host, const char *path, char *word, size_t bytes);
/* 0 or errno of opening a device for reading and writing. */
int doctor_device(const struct doctor_host *host, const char *path);
/* The line of /proc/WHO/status that begins with key; its value. False: errno, or 0 if there is no such line. */
bool doctor_status(const struct doctor_host *host, const char *who, const char *key, char *value,
		   size_t bytes);
/* Whoever started us may have taken system calls away, and so from gmig-vmm when it is started here. */
bool doctor_filtered(const struct doctor_host *host);
DIR *doctor_proc(const struct doctor_host *host, int *error);
/*
 * The next process in the directory /proc whose name is as this pattern of fnmatch(3); NULL: no more. *error is set when one of
 * them could not be looked at.
 */
const char *doctor_process(const struct doctor_host *host, DIR *proc, const char *pattern,
			   int *error);

#endif
