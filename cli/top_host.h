/*
 * What `gmig top` reads of the host itself: the memory of its nodes (/sys/devices/system/node), and the time and place of
 * threads (/proc, see proc(5)). Every path is looked up below a root, which is "" outside of tests. No state, any thread.
 */
#ifndef CLI_TOP_HOST_H
#define CLI_TOP_HOST_H

#include "../migrate/gmig_nodes.h"

#include <sys/types.h>

#define TOP_MAX_CPUS 8192u /* Linux's limit on x86 */

struct top_node {
	unsigned int id;
	uint64_t total_bytes, free_bytes;
	uint64_t huge_bytes;		      /* anonymous memory in transparent huge pages */
	uint64_t pool_bytes, pool_free_bytes; /* hugetlb pools, all page sizes */
};

struct top_host {
	struct top_node *nodes; /* with memory, ascending */
	size_t count;
	uint16_t node_of_cpu[TOP_MAX_CPUS]; /* GMIG_NO_NODE: of none */
};

/* Read all of it anew. A host without these files has no nodes. -errno: not all could be read, and *host is as it was. */
int top_host_read(const char *root, struct top_host *host);
void top_host_free(struct top_host *host);

/* User and system time in clock ticks, and the CPU that it last ran on. False: there is no such thread. */
bool top_thread_read(const char *root, pid_t pid, pid_t tid, uint64_t *ticks, unsigned int *cpu);
/*
 * When the process began, in clock ticks since boot: with its number it is that process and no later one. -ESRCH: there is none;
 * others: that cannot be known. *ticks is 0 then.
 */
int top_process_start(const char *root, pid_t pid, uint64_t *ticks);

#endif
