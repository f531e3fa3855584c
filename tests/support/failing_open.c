#include "failing_open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int open_fails = -1, open_error;
const char *_Atomic unreadable;
atomic_int unreadable_error = EMFILE;

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

static bool is_unreadable(const char *path)
{
	const char *ending = unreadable;
	size_t length = strlen(path), end = ending ? strlen(ending) : 0;

	if (!end || length < end || strcmp(path + length - end, ending) != 0)
		return false;
	errno = unreadable_error;
	return true;
}

int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	return fails() || is_unreadable(path) ? -1 : __real_open(path, flags, mode);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return fails() || is_unreadable(path) ? NULL : __real_fopen(path, mode);
}
