#include "fake_proc.h"

#include <limits.h>
#include <sys/mman.h>

void fake_file(const char *name, const char *format, ...)
{
	char path[PATH_MAX], aside[PATH_MAX + 8];
	va_list args;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", tree_root, name);
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

int fake_text(const char *format, ...)
{
	int fd = memfd_create("text", MFD_CLOEXEC);
	va_list args;

	ck_assert_int_ge(fd, 0);
	va_start(args, format);
	vdprintf(fd, format, args);
	va_end(args);
	lseek(fd, 0, SEEK_SET);
	return fd;
}
