/*
 * A memory cgroup of one's own, v1 or v2, below the one that this process is in: a child enters it and is
 * limited. Needs the right to make one (root, or a delegated cgroup).
 */
#ifndef TEST_MEMORY_GROUP_H
#define TEST_MEMORY_GROUP_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct memory_group {
	char dir[PATH_MAX];
	bool v1;
};

static inline bool group_write(const struct memory_group *group, const char *name,
			       const char *value)
{
	char path[PATH_MAX + 64];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", group->dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	if (fd >= 0)
		close(fd);
	return ok;
}

static inline unsigned long long group_read(const struct memory_group *group, const char *name)
{
	unsigned long long value = 0;
	char path[PATH_MAX + 64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", group->dir, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

/* A directory of this name below `parent`, in which memory can be limited. */
static inline bool group_make_in(struct memory_group *group, const char *parent)
{
	struct stat st;
	char path[PATH_MAX + 64];

	snprintf(group->dir, sizeof(group->dir), "%s", parent);
	if (!group->v1)
		group_write(group, "cgroup.subtree_control", "+memory");
	if (snprintf(group->dir, sizeof(group->dir), "%s/gmig-test-%d", parent, (int)getpid()) >=
	    (int)sizeof(group->dir))
		return false;
	if (mkdir(group->dir, 0755))
		return false;
	snprintf(path, sizeof(path), "%s/%s", group->dir,
		 group->v1 ? "memory.limit_in_bytes" : "memory.max");
	if (!stat(path, &st))
		return true;
	rmdir(group->dir);
	return false;
}

/* Where the process's own cgroup is mounted: v2 first. */
static inline bool group_make(struct memory_group *group)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified",
					     "/sys/fs/cgroup/memory"};

	for (unsigned int i = 0; i < 3; i++) {
		group->v1 = i == 2;
		if (group_make_in(group, mounts[i]))
			return true;
	}
	return false;
}

static inline bool group_enter(const struct memory_group *group)
{
	return group_write(group, "cgroup.procs", "0");
}

/* From now on no more than `more_bytes` above what is in use. */
static inline bool group_limit(const struct memory_group *group, unsigned long long more_bytes)
{
	unsigned long long used =
	    group_read(group, group->v1 ? "memory.usage_in_bytes" : "memory.current");
	char text[32];

	snprintf(text, sizeof(text), "%llu", (used + more_bytes) & ~4095ull);
	return group_write(group, group->v1 ? "memory.limit_in_bytes" : "memory.max", text);
}

static inline void group_remove(const struct memory_group *group)
{
	for (int i = 0; i < 100 && rmdir(group->dir) && errno == EBUSY; i++)
		usleep(10000);
}

#endif
