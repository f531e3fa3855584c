#include "qemu_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_BYTES 4096

void qemu_free(void *pointer)
{
	free(*(void **)pointer);
}

/* All of fd, in as many steps as it takes: files of /proc do not know their size. */
static char *read_all(int fd, size_t max, size_t *bytes)
{
	char *text = NULL;
	size_t room = 0;

	*bytes = 0;
	while (*bytes < max) {
		ssize_t got;

		if (*bytes + 1 >= room) {
			char *bigger = realloc(text, room ? room * 2 : STEP_BYTES);

			if (!bigger) {
				free(text);
				errno = ENOMEM;
				return NULL;
			}
			text = bigger;
			room = room ? room * 2 : STEP_BYTES;
		}
		got = read(fd, text + *bytes, room - 1 - *bytes);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(text);
			return NULL;
		}
		if (!got)
			break;
		*bytes += (size_t)got;
	}
	if (text)
		text[*bytes] = '\0';
	else
		errno = ENOMEM;
	return text;
}

char *qemu_file_read(const char *root, size_t max, size_t *bytes, const char *format, ...)
{
	char path[PATH_MAX];
	int length = snprintf(path, sizeof(path), "%s", root), fd, saved;
	va_list args;
	char *text;

	va_start(args, format);
	if (length >= 0 && (size_t)length < sizeof(path))
		length += vsnprintf(path + length, sizeof(path) - (size_t)length, format, args);
	va_end(args);
	if (length < 0 || (size_t)length >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	text = read_all(fd, max, bytes);
	saved = errno;
	close(fd);
	errno = saved;
	return text;
}

bool qemu_number_parse(const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	text += strspn(text, " \t\n");
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && *value <= max && !end[strspn(end, " \t\n")];
}
