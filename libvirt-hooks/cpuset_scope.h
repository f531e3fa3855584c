/*
 * The cpuset cgroups of a domain: found by what its threads say of themselves (/proc/PID/task/TID/cgroup), widened for as long
 * as a move needs, narrowed afterwards. libvirt makes one group for the domain and, below it, one each for the emulator, every vCPU
 * and every I/O thread; each may have nodes of its own in cpuset.mems, and move_pages(2) reaches only nodes that a thread's
 * set allows.
 *
 * What is ours to change: groups from the domain's own one down ("..scope", "..libvirt-qemu"). What lies above holds other
 * domains, too: where that is too narrow, widening fails and says so. A group without a set of its own inherits, and is left so.
 *
 * The kernel moves memory when cpuset.mems is written: always with version 2, with version 1 where memory_migrate is set, as libvirt
 * does. It then moves, for each thread of the group and at full speed, what lies on nodes that the group loses; the write returns
 * when that is done. So:
 *   - widening loses no node, and moves nothing;
 *   - narrowing is done when the memory has moved. Nodes that still hold more than the caller lets the kernel move at once are kept (`keep`);
 *   - with version 1 memory_migrate is 0 while a group is narrowed, and what it was afterwards: nothing moves at all.
 *
 * Order: version 1 refuses a set that is no subset of the parent's. Wider first at the top, narrower first at the bottom.
 *
 * A scope belongs to one thread at a time.
 *
 * Sources: cgroups(7), cpuset(7), Documentation/admin-guide/cgroup-v2.rst (cpuset.mems), cpuset_update_tasks_nodemask() and
 * do_migrate_pages() of Linux.
 */
#ifndef CPUSET_SCOPE_H
#define CPUSET_SCOPE_H

#include "../migrate/gmig_nodes.h"

#include <limits.h>
#include <sys/types.h>

struct cpuset_host {
	const char *root; /* of /proc and of the mounted hierarchies; "": this host */
	/* Optional: called before each file is written, for tests. */
	void (*before_write)(void *opaque, const char *path, const char *text);
	void *opaque;
};

struct cpuset_group {
	char *path;		     /* below the hierarchy, as /proc/PID/cgroup has it */
	unsigned int depth;	     /* of its path */
	struct gmig_node_set before; /* cpuset.mems when it was found */
	struct gmig_node_set wide;   /* what widening makes of it */
	struct gmig_node_set now;    /* what it has, as it was read or written last */
	bool migrates;		     /* version 1: memory_migrate was 1 */
};

struct cpuset_scope {
	const struct cpuset_host *host;
	bool version1;
	char mount[PATH_MAX];	    /* of the hierarchy with cpusets, below root */
	char *domain;		    /* the domain's own group; "": it is in none of its own */
	struct cpuset_group *group; /* those with a set of their own, parents first */
	size_t count;
};

/*
 * *out is to be freed. A host without cpusets, and a process whose groups restrict nothing, have a scope without groups. -ESRCH the process
 * has ended; -EACCES, -EIO, -ENOMEM.
 */
int cpuset_scope_read(const struct cpuset_host *host, pid_t pid, struct cpuset_scope **out,
		      struct gmig_error *err);
void cpuset_scope_free(struct cpuset_scope *scope);

/*
 * What widening by `nodes` would write, into group[].wide, without writing. -EACCES: a group above the domain's, or one that it
 * shares with others, does not allow `nodes`; -EMFILE, -EIO and the like: what it allows cannot be read. The text names it.
 */
int cpuset_scope_plan(struct cpuset_scope *scope, const struct gmig_node_set *nodes,
		      struct gmig_error *err);
/* Does the plan change anything? */
bool cpuset_scope_is_wide(const struct cpuset_scope *scope);
/* Write the plan. On an error what was written is taken back: groups have what they had before the call. */
int cpuset_scope_widen(struct cpuset_scope *scope, struct gmig_error *err);

/* Where each node's memory went: the i-th of from to the i-th of to (modulo its size), as a job has it; other nodes stay. */
struct cpuset_map {
	const uint16_t *from, *to;
	unsigned int from_count, to_count;
};
/* Where what was on `node` is now. Where the numbers of nodes differ, a node that is a target, too, stays. */
unsigned int cpuset_map_target(const struct cpuset_map *map, unsigned int node);
/*
 * A move has come to its end: each group is to have, in the place of what it had before, what its map makes of it; one above others keeps
 * what it had, if that is wide enough. Writes nothing.
 */
void cpuset_scope_moved(struct cpuset_scope *scope, const struct cpuset_map *map);
/* Would narrowing write anything? */
bool cpuset_scope_narrows(const struct cpuset_scope *scope, const struct gmig_node_set *keep);
/*
 * Each group to what it had before (see above), and the nodes of `keep` that it was widened by. One that has another set than those, or what we
 * wrote, has been written by somebody else: it stays, and *others counts it. Groups that are gone are none. The first error is returned, all
 * others are tried all the same.
 */
int cpuset_scope_narrow(struct cpuset_scope *scope, const struct gmig_node_set *keep,
			unsigned int *others, struct gmig_error *err);
/*
 * After that: has no group the set any more that it was widened to? Where narrowing failed all the same, a set is as it is to be, and memory_migrate of version 1
 * is not.
 */
bool cpuset_scope_is_narrow(const struct cpuset_scope *scope, const struct gmig_node_set *keep);
/* Are others of its groups below this one? */
bool cpuset_scope_is_above(const struct cpuset_scope *scope, size_t group);
/* All nodes that its lowest groups allow by now, as they were read or written. Empty: nothing restricts it. */
struct gmig_node_set cpuset_scope_nodes(const struct cpuset_scope *scope);

#endif
