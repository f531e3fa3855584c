/*
 * A memory: what a job moves. A guest's RAM (struct gmig, regions and a shadow table) or another
 * process's mappings (struct gmig_process). A job reaches it through these operations only.
 *
 * Pages are numbered: a guest's by gfn, a process's by virtual address / 4096. A block is 512 of them,
 * aligned.
 */
#ifndef GMIG_MEMORY_H
#define GMIG_MEMORY_H

#include "../core/slowdown.h"
#include "../core/sys.h"
#include "shadow.h"

#include <stdatomic.h>

struct claim;
struct heat;
struct claim_result;
struct memory;

struct memory_range {
	uint64_t gfn, pages; /* multiples of 512 */
};

/* Where each node's pages go, for memory that is not there yet: to[n], GMIG_NO_NODE: nothing changes. */
struct memory_follow {
	uint64_t owner; /* the job's id */
	const struct gmig_job_spec *spec;
	unsigned int (*target)(void *arg, unsigned int node);
	void *arg;
};

struct memory_ops {
	const char *name;
	/*
	 * Nothing is claimed: what a walk has said of a block is all that is to be known of it, until something moves. And
	 * nothing is believed for longer than a job, which looks at all of it again before it ends.
	 */
	bool unclaimed;
	/*
	 * The ranges that spec selects, sorted by gfn and apart from each other; *ranges is the caller's to free. -ENOMEM, -ESRCH.
	 */
	int (*ranges)(struct memory *memory, const struct gmig_job_spec *spec,
		      struct memory_range **ranges, size_t *count);
	/* Make what walk says true, block by block; stop (may be NULL) ends it early. */
	void (*refresh)(struct memory *memory, const struct memory_range *range,
			bool (*stop)(void *arg), void *arg);
	/* As shadow_walk(): where the pages are. */
	int (*walk)(struct memory *memory, uint64_t gfn, uint64_t pages, shadow_visit *visit,
		    void *arg);
	/*
	 * The same, but blocks without memory may be left out, and what was said of the memory when its ranges were asked for is
	 * believed. May be NULL: as walk.
	 */
	int (*walk_present)(struct memory *memory, uint64_t gfn, uint64_t pages,
			    shadow_visit *visit, void *arg);
	/* Was it true all the while? false: another walk_present() believes less. NULL: nothing is believed. */
	bool (*held)(struct memory *memory);
	/*
	 * status[i]: the node of the page gfns[i], by the kernel as far as it can tell, or -errno: -ENOENT nothing is there,
	 * -EFAULT nothing can be, or it is the zero page. -errno: it could not be asked. At most GMIG_BLOCK_PAGES.
	 */
	int (*query)(struct memory *memory, size_t count, const uint64_t *gfns, int *status);
	/*
	 * The block is no longer one huge page, so that its pages go different ways. -EBUSY: somebody holds it, or it is none by
	 * now; -EINVAL: it always goes whole. NULL: huge pages always go whole.
	 */
	int (*split)(struct memory *memory, uint64_t block_gfn);
	/* Nothing of it moved, and the kernel has not split it: one huge page again. false: it is split. */
	bool (*unsplit)(struct memory *memory, uint64_t block_gfn);
	/*
	 * Memory that is touched from now on goes where follow says. Returns when every touch that is under way is through.
	 * On an error nothing has changed. May be NULL: nothing follows.
	 */
	int (*follow)(struct memory *memory, const struct memory_follow *follow,
		      struct gmig_error *err);
	/* The job has ended. keep: its memory lies there now; else it goes back to where it was. */
	void (*follow_end)(struct memory *memory, const struct memory_follow *follow, bool keep);
	/* Bytes on a node of what spec selects, without a walk. NULL: there are no such counters. */
	uint64_t (*on_node)(struct memory *memory, const struct gmig_job_spec *spec,
			    unsigned int node);
	/* The kind of the i-th part that spec selects, for the table of what is legal; NULL: no more. */
	const char *(*kind)(struct memory *memory, const struct gmig_job_spec *spec,
			    unsigned int i);
	/* Where a page is in the address space of memory->pid. */
	uint8_t *(*address)(struct memory *memory, uint64_t gfn);
	/* As claim.h has them; *refused: pages that are somebody else's now. */
	void (*claim)(struct memory *memory, struct claim *claim, struct bits *refused);
	void (*settle)(struct claim *claim, const struct claim_result *result);
	void (*abandon)(struct claim *claim);
	/* Claims that wait for a touch, as claim.h has them; wanted by somebody else. NULL: there are none. */
	void (*wait)(struct claim *claim, const struct bits *pages, const struct bits *gone);
	void (*pick)(struct claim *claim, const struct bits *pages, unsigned int to);
	/* On which node is whoever has touched the page? tid: of a vCPU's thread, or 0. */
	unsigned int (*toucher)(struct memory *memory, uint64_t gfn, int tid);
	void (*want)(struct memory *memory, uint64_t block_gfn, const struct bits *pages);
	/* Is the block moved by its region's owner? NULL: none is. */
	bool (*is_own)(struct memory *memory, uint64_t block_gfn);
	/* Has somebody declared that the block must not move? NULL: nobody can. */
	bool (*is_fixed)(struct memory *memory, uint64_t block_gfn);
	/* How many vCPUs are known; 0: none. May be NULL: 0. */
	unsigned int (*vcpus)(struct memory *memory);
	/* -EAGAIN..: no job can be started, or one that runs cannot go on; why is in *err. */
	int (*ready)(struct memory *memory, const struct gmig_job_spec *spec,
		     struct gmig_error *err);
};

/* The part that all memories have; the first member of each. job_event and thread may be NULL. */
struct memory {
	const struct memory_ops *ops;
	const struct gmig_sys *sys;
	/* The newest look at the host; a reference. guarded by topology_lock, a leaf */
	struct gmig_topology *topology;
	pthread_mutex_t topology_lock;
	pid_t pid; /* whose address space it is in; 0: our own */
	void (*job_event)(void *opaque, const struct gmig_job_info *info);
	void (*thread)(void *opaque, const struct gmig_thread *thread, bool begins);
	void *opaque;
	atomic_bool fatal; /* a block could not be put back */

	/* The jobs room's; see jobs/job_list.c. */
	pthread_mutex_t jobs_lock;
	pthread_cond_t followed; /* a job has followed, with jobs_lock */
	struct gmig_job *jobs;	 /* guarded by jobs_lock, like the next two; oldest first */
	uint64_t next_job_id;
	bool ending;
	/* What its jobs cost it, and their budgets; see jobs/job_slowdown.c. guarded by slowdown_lock, a leaf */
	pthread_mutex_t slowdown_lock;
	struct slowdown slowdown;
	_Atomic(struct heat *)
	    heat; /* how much its blocks are used; NULL: nobody has ever looked */
};

/* Tell the owner of the calling thread. */
static inline void memory_tell_thread(const struct memory *memory, const struct gmig_thread *thread,
				      bool begins)
{
	if (memory->thread)
		memory->thread(memory->opaque, thread, begins);
}

static inline uint8_t *memory_address(struct memory *memory, uint64_t gfn)
{
	return memory->ops->address(memory, gfn);
}

/* A reference to the newest look at the host, for the caller to put. */
struct gmig_topology *memory_topology(struct memory *memory);
/* Look again. On an error the last look stands. Reads some files for each node: 0.1 ms and more. */
int memory_topology_refresh(struct memory *memory, struct gmig_error *err);
/*
 * May memory be put on that node? what ("host node 3 of vnode 1") begins the text. -ENODEV: it cannot exist, is offline or
 * has no memory; -EACCES: this process's cpuset, which the text names, leaves it out.
 */
int memory_check_target(struct memory *memory, unsigned int node, const char *what,
			struct gmig_error *err);

#endif
