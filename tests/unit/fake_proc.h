/*
 * A directory of our own with what tests put in the place of /proc and /sys. One test program
 * includes it; it is removed with all that is in it.
 */
#ifndef FAKE_PROC_H
#define FAKE_PROC_H

#include <check.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char fake_root[64];

static inline void fake_proc_begin(void)
{
	strcpy(fake_root, "/tmp/gmig-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fake_root));
}

static inline void fake_proc_end(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", fake_root);
	ck_assert_int_eq(system(command), 0);
}

/* Write a file below fake_root, and the directories above it. */
__attribute__((format(printf, 2, 3))) static inline void fake_file(const char *name,
								   const char *format, ...)
{
	char path[PATH_MAX], aside[PATH_MAX + 8];
	va_list args;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", fake_root, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	/* Readers see the old file or the new one. */
	snprintf(aside, sizeof(aside), "%s.new", path);
	file = fopen(aside, "w");
	ck_assert_ptr_nonnull(file);
	va_start(args, format);
	vfprintf(file, format, args);
	va_end(args);
	fclose(file);
	ck_assert_int_eq(rename(aside, path), 0);
}

#endif
