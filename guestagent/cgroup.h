/*
 * Cgroups as directories. They are found where systemd mounts them: version 2 alone in
 * /sys/fs/cgroup; or each hierarchy of version 1 in its own directory there, perhaps with version 2
 * in `unified`. A cgroup has the same name in the unified hierarchy and in systemd's, and may be in
 * cpuset's alone. No state, any thread.
 */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include "proc.h"

#include <stdbool.h>

/* Is `cgroup` the cgroup `above`, or below it? /a has /a and /a/b, not /ab. */
bool agent_cgroup_below(const char *above, const char *cgroup);
/* Is the process in that cgroup or below it, in whichever hierarchy? In version 1 a service is in
 * systemd's alone, and in the root of cpuset's. */
bool agent_process_in_cgroup(const struct agent_process *process, const char *above);
/* Is one of the steps of a path ".."? */
bool agent_has_parent_step(const char *path);
/*
 * All processes of a cgroup and the cgroups below it, in the first of the hierarchies that has it.
 * -EINVAL: the name has a ".." or does not begin with '/'; -ENOENT: no hierarchy has it, and the
 * text names those that were searched; -ENAMETOOLONG.
 */
int agent_pids_cgroup(const char *cgroup, struct agent_pids *pids, struct gmig_error *err);
/* The path of a cgroup's file in the hierarchy that has the cpuset controller. -EINVAL, -ENOENT,
 * -ENAMETOOLONG as above. */
int agent_cgroup_path(const char *cgroup, const char *file, char *path, size_t bytes,
		      struct gmig_error *err);

/*
 * *bytes: how many may still be charged to a cgroup of version 2, by memory.max and memory.high of it and of those above; UINT64_MAX:
 * there is no limit, or no such cgroup. -errno: a limit that is there cannot be read, and nobody knows.
 */
int agent_cgroup_headroom(const char *cgroup, uint64_t *bytes);

#endif
