/*
 * All of what a call was asked for: read(2), pread(2) and write(2) may do less than that, or be interrupted before they do anything. For small files,
 * and what is nobody's but ours: no deadline. Any thread.
 */
#ifndef GMIG_WHOLE_H
#define GMIG_WHOLE_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* Up to the end or as far as there is room: how many bytes, or -1 and errno. */
static inline ssize_t read_whole(int fd, char *into, size_t bytes)
{
	size_t done = 0;
	ssize_t got;

	do {
		got = read(fd, into + done, bytes - done);
		if (got > 0)
			done += (size_t)got;
	} while (done < bytes && (got > 0 || (got < 0 && errno == EINTR)));
	return got < 0 ? -1 : (ssize_t)done;
}

/* The same from `offset`; where the descriptor stands stays as it is. */
static inline ssize_t pread_whole(int fd, char *into, size_t bytes, off_t offset)
{
	size_t done = 0;
	ssize_t got;

	do {
		got = pread(fd, into + done, bytes - done, offset + (off_t)done);
		if (got > 0)
			done += (size_t)got;
	} while (done < bytes && (got > 0 || (got < 0 && errno == EINTR)));
	return got < 0 ? -1 : (ssize_t)done;
}

/* False and errno: not all of it. */
static inline bool write_whole(int fd, const char *from, size_t bytes)
{
	size_t done = 0;
	ssize_t wrote;

	do {
		wrote = write(fd, from + done, bytes - done);
		if (wrote > 0)
			done += (size_t)wrote;
		else if (!wrote && bytes)
			errno = ENOSPC;
	} while (done < bytes && (wrote > 0 || (wrote < 0 && errno == EINTR)));
	return done == bytes;
}

/* A value to a file of the kernel, which takes a write(2) as a whole or not at all: one call, and again if it was interrupted. 0 or -errno. */
static inline int write_value(int fd, const char *text)
{
	size_t bytes = strlen(text);
	ssize_t wrote;

	do
		wrote = write(fd, text, bytes);
	while (wrote < 0 && errno == EINTR);
	return wrote < 0 ? -errno : (size_t)wrote < bytes ? -EIO : 0;
}

#endif
