#include "cpuset_mount.h"
#include "qemu_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES (4u << 20)

/* ---- Mounts ---------------------------------------------------------------------------------- */

/* Blank, tab, newline and backslash stand as \040 and so on. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		if (at[0] == '\\' && at[1] && at[2] && at[3]) {
			*to++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
			at += 3;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
}

/* Is word among those of the comma-separated list? */
static bool list_has(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += length)
		if ((at == list || at[-1] == ',') && (at[length] == ',' || !at[length]))
			return true;
	return false;
}

/* "ID PARENT DEVICE ROOT POINT OPTIONS [OPTIONAL..] - TYPE SOURCE SUPER". 2: version 2, 1: version 1 with cpusets, 0. */
static int mount_version(char *line, char **point)
{
	char *type = strstr(line, " - "), *save = NULL, *super = NULL;
	int field = 0;

	if (!type)
		return 0;
	*type = '\0';
	type += 3;
	for (char *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save))
		if (field++ == 4)
			*point = word;
	if (field < 5)
		return 0;
	type = strtok_r(type, " ", &save);
	strtok_r(NULL, " ", &save);
	super = strtok_r(NULL, " ", &save);
	if (type && !strcmp(type, "cgroup2"))
		return 2;
	return type && super && !strcmp(type, "cgroup") && list_has(super, "cpuset") ? 1 : 0;
}

int cpuset_mount_find(const char *root, char *mount, size_t bytes, bool *version1)
{
	size_t length;
	char *text QEMU_FREED = qemu_file_read(root, MAX_BYTES, &length, "/proc/self/mountinfo");
	char *save = NULL, *point = NULL;
	int found = 0;

	if (!text)
		return -errno;
	for (char *line = strtok_r(text, "\n", &save); line && found != 1;
	     line = strtok_r(NULL, "\n", &save)) {
		int version = mount_version(line, &point);

		/* The first one of a version: later ones are bind mounts. */
		if (!version || version == found)
			continue;
		unescape(point);
		if (snprintf(mount, bytes, "%s", point) >= (int)bytes)
			return -ENAMETOOLONG;
		found = version;
	}
	*version1 = found == 1;
	return found ? 0 : -ENOENT;
}

/* ---- Groups of threads ----------------------------------------------------------------------- */

/* "0::/path" of version 2, "N:controllers:/path" of version 1. */
static const char *path_of(char *text, bool version1)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		if (version1 ? list_has(controllers + 1, "cpuset") : !controllers[1])
			return path;
	}
	return NULL;
}

static int add_thread(const char *root, pid_t pid, const char *tid, bool version1,
		      int (*add)(void *opaque, const char *path), void *opaque)
{
	size_t bytes;
	char *text QEMU_FREED =
	    qemu_file_read(root, MAX_BYTES, &bytes, "/proc/%d/task/%s/cgroup", (int)pid, tid);
	const char *path;

	/* A thread that has ended is in none. One whose group is not known is not left out: its set would stay as it is when memory has left those nodes. */
	if (!text)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	path = path_of(text, version1);
	/* A group that is none of ours to see; a name that leads elsewhere. */
	if (!path || *path != '/' || strstr(path, "/../") || strlen(path) >= PATH_MAX / 2)
		return 0;
	return add(opaque, path[1] ? path : "");
}

int cpuset_paths_each(const char *root, pid_t pid, bool version1,
		      int (*add)(void *opaque, const char *path), void *opaque)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *directory;
	int ret = 0;

	if (snprintf(path, sizeof(path), "%s/proc/%d/task", root, (int)pid) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	directory = opendir(path);
	if (!directory)
		return errno == ENOENT ? -ESRCH : -errno;
	/* Its end is not its error: there may be more. */
	while (!ret && (errno = 0, entry = readdir(directory)))
		if (isdigit((unsigned char)entry->d_name[0]))
			ret = add_thread(root, pid, entry->d_name, version1, add, opaque);
	if (!ret && errno)
		ret = errno == ENOENT ? -ESRCH : -errno;
	closedir(directory);
	return ret;
}
