#include "failing_open.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

int open_fails = -1, open_error;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

static bool fails(void)
{
	if (open_fails < 0 || open_fails--)
		return false;
	errno = open_error;
	return true;
}

/* Nobody here makes a file by it. */
int __wrap_open(const char *path, int flags, ...)
{
	return fails() ? -1 : __real_open(path, flags);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return fails() ? NULL : __real_fopen(path, mode);
}
