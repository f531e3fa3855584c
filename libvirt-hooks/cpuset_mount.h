/*
 * Where cgroup's cpusets are: which hierarchy is mounted where, and in which of its groups the threads of a process are. No
 * state, any thread.
 *
 * Sources: proc_pid_mountinfo(5), cgroups(7).
 */
#ifndef CPUSET_MOUNT_H
#define CPUSET_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The mount point of the hierarchy with the controller cpuset: version 1's if there is one (hybrid hosts), else version 2's.
 * -ENOENT: neither is mounted.
 */
int cpuset_mount_find(const char *root, char *mount, size_t bytes, bool *version1);

/*
 * Calls add with the path of each thread's group, from the root of the hierarchy, not necessarily once. Groups outside our own cgroup
 * namespace ("/../x") are left out. What add returns that is not 0 ends it. -ESRCH: there is no such process.
 */
int cpuset_paths_each(const char *root, pid_t pid, bool version1,
		      int (*add)(void *opaque, const char *path), void *opaque);

#endif
