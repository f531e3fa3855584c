/*
 * A line for which there is no memory: for one test program, which is linked with --wrap=getline and --wrap=__getdelim, as glibc's
 * header makes the second of the first where it optimises. It then says -1 and ENOMEM, and neither ferror(3) nor feof(3) is true.
 */
#ifndef TEST_NO_LINE_H
#define TEST_NO_LINE_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

static int no_line_in = -1; /* the line that fails, counted down; negative: none */

/* The names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
ssize_t __real_getline(char **line, size_t *bytes, FILE *file);
ssize_t __wrap_getline(char **line, size_t *bytes, FILE *file);
ssize_t __real___getdelim(char **line, size_t *bytes, int end, FILE *file);
ssize_t __wrap___getdelim(char **line, size_t *bytes, int end, FILE *file);

static inline bool no_line_now(void)
{
	if (no_line_in < 0 || no_line_in-- > 0)
		return false;
	errno = ENOMEM;
	return true;
}

ssize_t __wrap_getline(char **line, size_t *bytes, FILE *file)
{
	return no_line_now() ? -1 : __real_getline(line, bytes, file);
}

ssize_t __wrap___getdelim(char **line, size_t *bytes, int end, FILE *file)
{
	return no_line_now() ? -1 : __real___getdelim(line, bytes, end, file);
}
/* NOLINTEND(bugprone-reserved-identifier) */

#endif
