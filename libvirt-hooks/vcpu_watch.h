/*
 * Where a domain's vCPUs may run, and how much they do: from the kernel, which knows of every way in which a thread is pinned
 * (virsh vcpupin, taskset, a cgroup). Two small files a vCPU for each reading. No locks; one thread a watch.
 *
 * Sources: Cpus_allowed_list of proc_pid_status(5), utime and stime of proc_pid_stat(5).
 */
#ifndef VCPU_WATCH_H
#define VCPU_WATCH_H

#include "../placement/placement.h"
#include "qemu_process.h"

struct vcpu_ticks;

/* Zeroed at first. */
struct vcpu_watch {
	/* Of the last reading. */
	unsigned int vcpus;	    /* that were found */
	struct gmig_node_set nodes; /* whose CPUs they may use, all together */
	/*
	 * A vCPU that may run on several nodes counts evenly on all of them: where it just was says nothing about the next minute. Time
	 * since the reading before; at the first one all are idle, and count alike.
	 */
	struct placement_time *time;
	size_t time_count;
	/* Inside. */
	struct vcpu_ticks *last;
	size_t last_count;
	uint64_t last_ns;
};

/*
 * Read anew. -ESRCH the process has ended; -ENOENT no thread of it is a vCPU by its name, or none may run on a node of the host. Nothing
 * is then known. -ENOMEM, -EMFILE and their like (is_shortage()): they cannot be looked at now; what was known stays.
 */
int vcpu_watch_read(struct vcpu_watch *watch, const struct qemu_host *host, pid_t pid,
		    const struct placement_host *nodes, uint64_t now_ns);
void vcpu_watch_free(struct vcpu_watch *watch);

#endif
