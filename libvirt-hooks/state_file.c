#include "state_file.h"
#include "qemu_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES (64u << 20) /* a domain of 4,096 threads, each in a group of its own, is 2 MiB */

const char *const state_file_suffixes[] = {".json", ".pins", ".tell", ".kept", NULL};

/*
 * After a rename. No error of the caller's: the file has its new name for every process from now on, and to say otherwise would be false; a crash of the host, which
 * could take the name back, ends the QEMUs that the file is about.
 */
static void sync_directory(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
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
	if (ret)
		unlink(aside);
	else
		sync_directory(directory);
	return ret;
}

int state_file_save(const char *directory, const char *uuid, const char *suffix, json_t *json,
		    const char *what, struct gmig_error *err)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	char path[PATH_MAX];
	int ret = -ENAMETOOLONG;

	json_decref(json);
	if (!text)
		return gmig_fail(err, -ENOMEM, "no memory for %s", what);
	if (state_file_path(path, directory, uuid, suffix))
		ret = state_file_write(directory, path, text);
	free(text);
	return ret ? gmig_fail(err, ret, "%s cannot be written in '%.150s': %s", what, directory,
			       strerror(-ret))
		   : 0;
}

void state_file_remove(const char *directory, const char *uuid, const char *suffix)
{
	char path[PATH_MAX];

	if (state_file_path(path, directory, uuid, suffix))
		unlink(path);
}

/* One that says it is of another domain would have that one's cpusets narrowed under this one's name. */
static bool is_of(const json_t *json, const char *uuid)
{
	const char *name = json_string_value(json_object_get(json, "uuid"));

	return name && !strcmp(name, uuid);
}

/* What is no file, or not one of ours, stays so: it cannot be understood. Anything else may be read later. */
static int say_unread(const char *path, int error, struct gmig_error *err)
{
	if (error == ENOENT)
		return gmig_fail(err, -ENOENT, "there is no journal '%.200s'", path);
	if (error == EISDIR || error == ELOOP || error == ENXIO || error == EBADMSG)
		return gmig_fail(err, -EBADMSG, "the journal '%.200s' cannot be understood", path);
	return gmig_fail(err, -EIO, "the journal '%.150s' cannot be read: %s", path,
			 strerror(error));
}

int state_file_read(const char *directory, const char *uuid, const char *suffix,
		    bool (*read)(const json_t *json, void *into), void *into,
		    struct gmig_error *err)
{
	char path[PATH_MAX], *text;
	json_error_t why;
	json_t *json = NULL;
	size_t bytes;
	int why_not = 0;
	bool good;

	if (!state_file_path(path, directory, uuid, suffix))
		return gmig_fail(err, -ENAMETOOLONG, "the path of a journal is too long");
	text = qemu_file_read("", MAX_BYTES, &bytes, "%s", path);
	if (!text)
		return say_unread(path, errno, err);
	if (bytes < MAX_BYTES)
		json = json_loadb(text, bytes, 0, &why);
	free(text);
	if (!json && bytes < MAX_BYTES && json_error_code(&why) == json_error_out_of_memory)
		return say_unread(path, ENOMEM, err);
	errno = 0;
	good = json && is_of(json, uuid) && read(json, into);
	if (!good)
		why_not = errno == ENOMEM ? ENOMEM : EBADMSG;
	json_decref(json);
	return good ? 0 : say_unread(path, why_not, err);
}

bool state_file_owner(const json_t *json, char uuid[QEMU_UUID_TEXT], pid_t *pid,
		      uint64_t *start_time)
{
	const char *name = json_string_value(json_object_get(json, "uuid"));
	const json_t *number = json_object_get(json, "pid");
	const json_t *time = json_object_get(json, "start_time");

	if (!name || strlen(name) >= QEMU_UUID_TEXT ||
	    json_integer_value(json_object_get(json, "version")) != STATE_FILE_VERSION ||
	    !json_is_integer(number) || !json_is_integer(time) || json_integer_value(number) <= 0 ||
	    json_integer_value(number) > INT_MAX || json_integer_value(time) < 0)
		return false;
	strcpy(uuid, name);
	*pid = (pid_t)json_integer_value(number);
	*start_time = (uint64_t)json_integer_value(time);
	return true;
}

int state_file_list(const char *directory, const char *suffix, char (**uuids)[QEMU_UUID_TEXT])
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int count = 0, ret = 0;

	*uuids = NULL;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!ret && (errno = 0, entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);
		void *bigger;

		if (length != QEMU_UUID_TEXT - 1 + strlen(suffix) ||
		    strcmp(entry->d_name + QEMU_UUID_TEXT - 1, suffix) != 0)
			continue;
		bigger = realloc(*uuids, ((size_t)count + 1) * sizeof(**uuids));
		if (!bigger) {
			ret = -ENOMEM;
			continue;
		}
		*uuids = bigger;
		snprintf((*uuids)[count++], QEMU_UUID_TEXT, "%.36s", entry->d_name);
	}
	/* Some of them are never told as all. */
	if (!ret)
		ret = -errno;
	closedir(dir);
	if (ret) {
		free(*uuids);
		*uuids = NULL;
	}
	return ret ? ret : count;
}

/* ---- What cannot be understood --------------------------------------------------------------- */

struct aside_name {
	char text[64];
};

static struct aside_name aside_suffix(const char *suffix, unsigned int i)
{
	struct aside_name name;

	snprintf(name.text, sizeof(name.text), "%s.bad-%u", suffix, i);
	return name;
}

static bool aside_path(char path[PATH_MAX], const char *directory, const char *uuid,
		       const char *suffix, unsigned int i)
{
	return state_file_path(path, directory, uuid, aside_suffix(suffix, i).text);
}

int state_file_count_aside(const char *directory)
{
	int count = 0;

	for (const char *const *suffix = state_file_suffixes; *suffix; suffix++)
		for (unsigned int i = 1; i <= STATE_FILE_ASIDE; i++) {
			char(*uuids)[QEMU_UUID_TEXT];
			int found =
			    state_file_list(directory, aside_suffix(*suffix, i).text, &uuids);

			free(uuids);
			if (found < 0)
				return found;
			count += found;
		}
	return count;
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
	if (rename(path, kept))
		return -errno;
	sync_directory(directory);
	return 0;
}

bool state_file_find_aside(const char *directory, const char *uuid, const char *suffix,
			   char kept[PATH_MAX])
{
	for (unsigned int i = 1; i <= STATE_FILE_ASIDE; i++) {
		struct stat st;

		if (aside_path(kept, directory, uuid, suffix, i) && !lstat(kept, &st))
			return true;
	}
	return false;
}
