#include "state_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
	json_error_t why;
	json_t *json;
	bool good;

	if (!state_file_path(path, directory, uuid, suffix))
		return gmig_fail(err, -ENAMETOOLONG, "the path of a journal is too long");
	if (access(path, F_OK))
		return gmig_fail(err, -errno, "there is no journal '%.200s'", path);
	json = json_load_file(path, 0, &why);
	/* What cannot be read now may be all right. */
	if (!json && (json_error_code(&why) == json_error_out_of_memory ||
		      json_error_code(&why) == json_error_cannot_open_file))
		return gmig_fail(err, -EIO, "the journal '%.150s' cannot be read: %.100s", path,
				 why.text);
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

/* ---- What cannot be understood --------------------------------------------------------------- */

static bool aside_path(char path[PATH_MAX], const char *directory, const char *uuid,
		       const char *suffix, unsigned int i)
{
	char name[64];

	snprintf(name, sizeof(name), "%s.bad-%u", suffix, i);
	return state_file_path(path, directory, uuid, name);
}

int state_file_set_aside(const char *directory, const char *uuid, const char *suffix,
			 char kept[PATH_MAX])
{
	char path[PATH_MAX];
	unsigned int i = 1;

	if (!state_file_path(path, directory, uuid, suffix) ||
	    !aside_path(kept, directory, uuid, suffix, i))
		return -ENAMETOOLONG;
	while (i < STATE_FILE_ASIDE && !access(kept, F_OK))
		aside_path(kept, directory, uuid, suffix, ++i);
	return rename(path, kept) ? -errno : sync_directory(directory);
}

bool state_file_find_aside(const char *directory, const char *uuid, const char *suffix,
			   int64_t written_s, char kept[PATH_MAX])
{
	for (unsigned int i = 1; i <= STATE_FILE_ASIDE; i++) {
		struct stat st;

		if (!aside_path(kept, directory, uuid, suffix, i) || lstat(kept, &st))
			continue;
		if (st.st_mtime >= written_s)
			return true;
	}
	return false;
}
