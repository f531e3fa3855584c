#include "state_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int sync_directory(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	/* A file system that cannot do that has nothing to sync. */
	ret = fsync(fd) && errno != EINVAL ? -errno : 0;
	close(fd);
	return ret;
}

static int write_synced(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t length = strlen(text), done = 0;
	int ret = 0;

	if (fd < 0)
		return -errno;
	while (!ret && done < length) {
		ssize_t got = write(fd, text + done, length - done);

		if (got > 0)
			done += (size_t)got;
		else if (got < 0 && errno != EINTR)
			ret = -errno;
	}
	if (!ret && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	return ret;
}

bool state_file_path(char path[PATH_MAX], const char *directory, const char *uuid,
		     const char *suffix)
{
	return !strchr(uuid, '/') &&
	       snprintf(path, PATH_MAX, "%s/%s%s", directory, uuid, suffix) < PATH_MAX;
}

int state_file_write(const char *directory, const char *path, const char *text)
{
	char aside[PATH_MAX];
	int ret;

	if (snprintf(aside, sizeof(aside), "%s.new", path) >= (int)sizeof(aside))
		return -ENAMETOOLONG;
	ret = write_synced(aside, text);
	if (!ret && rename(aside, path))
		ret = -errno;
	if (!ret)
		ret = sync_directory(directory);
	if (ret)
		unlink(aside);
	return ret;
}

int state_file_read(const char *directory, const char *uuid, const char *suffix,
		    bool (*read)(const json_t *json, void *into), void *into,
		    struct gmig_error *err)
{
	char path[PATH_MAX];
	json_t *json;
	bool good;

	if (!state_file_path(path, directory, uuid, suffix))
		return gmig_fail(err, -ENAMETOOLONG, "the path of a journal is too long");
	if (access(path, F_OK))
		return gmig_fail(err, -errno, "there is no journal '%.200s'", path);
	json = json_load_file(path, 0, NULL);
	good = json && read(json, into);
	json_decref(json);
	return good ? 0
		    : gmig_fail(err, -EBADMSG, "the journal '%.200s' cannot be understood", path);
}

int state_file_list(const char *directory, const char *suffix, char (**uuids)[QEMU_UUID_TEXT])
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int count = 0;

	*uuids = NULL;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);
		void *bigger;

		if (length != QEMU_UUID_TEXT - 1 + strlen(suffix) ||
		    strcmp(entry->d_name + QEMU_UUID_TEXT - 1, suffix) != 0)
			continue;
		bigger = realloc(*uuids, ((size_t)count + 1) * sizeof(**uuids));
		if (!bigger)
			break;
		*uuids = bigger;
		snprintf((*uuids)[count++], QEMU_UUID_TEXT, "%.36s", entry->d_name);
	}
	closedir(dir);
	return count;
}
