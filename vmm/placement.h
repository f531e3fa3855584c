/*
 * On which CPUs of the host the threads of a VM run. Every thread is registered with what it does; from that and the homes of
 * the vnodes follows where it runs:
 *
 *   vCPU          the CPUs of its vnode's home
 *   fault         those of the home of the vnode whose faults it answers
 *   io, blk, sample   those of the homes of all vnodes that have vCPUs
 *   copy, zero    those of the nodes that the job brings memory to
 *
 * as far as this process may use them: its main thread is never placed, so that its CPUs are what taskset(1), a cpuset and the
 * host's state (CPUs that are offline) leave to the process. A home without such CPUs gives those of the nearest node that has
 * some. Helpers (all but vCPUs) run anywhere where this would leave them no CPU beside the vCPUs. The home of a vnode is its
 * host node at first, and follows its memory (placement_follow).
 *
 * Two things come before the rule. What an operator asked for (placement_pin) stays until he asks for something else. And a
 * thread whose CPUs somebody else has set (sched_setaffinity(2) from outside) is left alone: such a thread has other CPUs than
 * it was given here, and CPUs that went offline or left the cpuset are not the reason. When a thread's last CPU goes, the kernel
 * lets it run anywhere, and before Linux 6.2 also when the cpuset changes; such a thread is placed anew by the next call that
 * places, like one that somebody let run anywhere from outside.
 *
 * Any thread; the lock is a leaf, and the system calls under it do not block.
 */
#ifndef VMM_PLACEMENT_H
#define VMM_PLACEMENT_H

#include "pin.h"

#include <pthread.h>

#define PLACEMENT_MAX_VNODES  8
#define PLACEMENT_MAX_THREADS 192
#define PLACEMENT_NO_VNODE    UINT32_MAX

/* The scheduler's calls. A tid; 0 or -errno. */
struct placement_sys {
	int (*get)(int tid, struct vmm_cpus *cpus);
	int (*set)(int tid, const struct vmm_cpus *cpus);
};
extern const struct placement_sys placement_sys_real;

enum placement_kind {
	PLACEMENT_VCPU,
	PLACEMENT_IO,
	PLACEMENT_BLK,
	PLACEMENT_BALLOON,
	PLACEMENT_FAULT,
	PLACEMENT_COPY,
	PLACEMENT_ZERO,
	PLACEMENT_SAMPLE,
};
const char *placement_kind_name(enum placement_kind kind);

enum placement_by {
	PLACEMENT_BY_RULE,
	PLACEMENT_BY_OPERATOR, /* placement_pin */
};

/* What a thread is to be placed on. */
enum placement_wish { PLACEMENT_RULE, PLACEMENT_NODE, PLACEMENT_CPUS, PLACEMENT_ANY };
struct placement_order {
	enum placement_wish wish;
	unsigned int node;    /* PLACEMENT_NODE */
	struct vmm_cpus cpus; /* PLACEMENT_CPUS */
};

struct placement_thread {
	enum placement_kind kind;
	unsigned int id;	    /* of the vCPU; 0 for others */
	unsigned int vnode;	    /* of a vCPU or fault thread, else PLACEMENT_NO_VNODE */
	struct gmig_node_set nodes; /* of a copy or zero thread: its job's targets */
	int tid;

	/* The placement's own. */
	struct placement_order order;
	bool set;	      /* it has been given CPUs here */
	struct vmm_cpus last; /* what it then had */
};

struct placement {
	const struct placement_sys *sys;
	int main_tid;
	bool off; /* nothing is placed by the rule; constant */
	unsigned int vnode_count;

	pthread_mutex_t lock; /* guards all below */
	struct gmig_topology *topology;
	unsigned int home[PLACEMENT_MAX_VNODES];
	struct placement_thread thread[PLACEMENT_MAX_THREADS];
	unsigned int thread_count;
};

struct placement_options {
	const struct placement_sys *sys; /* NULL: the system's */
	int main_tid;			 /* whose CPUs are the process's */
	bool off;			 /* --no-pin */
	unsigned int vnode_count;
	unsigned int home[PLACEMENT_MAX_VNODES]; /* a host node each */
};

/* The topology gets a reference. With a fake one, or one of a single node, nothing is placed by the rule. */
void placement_init(struct placement *placement, const struct placement_options *options,
		    struct gmig_topology *topology);
void placement_destroy(struct placement *placement);
/* A newer look at the host, from the next placing on. */
void placement_look(struct placement *placement, struct gmig_topology *topology);

/*
 * A thread begins: place it. *thread needs kind, id, vnode, nodes, tid. -ENOSPC: too many threads, it runs where it is; -ENODEV
 * no node has a CPU that the process may use; -errno of sched_setaffinity(2). A thread that could not be placed is registered
 * all the same.
 */
int placement_add(struct placement *placement, const struct placement_thread *thread,
		  struct gmig_error *err);
void placement_remove(struct placement *placement, int tid);

/*
 * An operator's order for a vCPU, which lasts until the next one. It is not bound to the main thread's CPUs, but to the cpuset.
 * *refused: those of the CPUs asked for that the thread did not get, as they are offline or outside the cpuset.
 * -ESRCH no such vCPU; -ENODEV no such node, or it has no CPUs; -EINVAL none of the CPUs can be used; nothing has changed then.
 */
int placement_pin(struct placement *placement, unsigned int vcpu,
		  const struct placement_order *order, struct vmm_cpus *refused,
		  struct gmig_error *err);

/* What a migration does with vCPUs: those placed by the rule follow (DEFAULT), all (ALL), none. */
enum placement_follow { PLACEMENT_FOLLOW_DEFAULT, PLACEMENT_FOLLOW_ALL, PLACEMENT_FOLLOW_NONE };

/*
 * The node to which the vCPUs of a vnode go after a job: the one that now has more than half of its memory, if the job brought
 * memory there and their home was one that it took memory from (with `all`, whatever their home). A vnode without memory, or
 * whose memory was never touched, goes from its home to that node's counterpart. GMIG_NO_NODE: they stay.
 */
unsigned int placement_target(const struct gmig_job_spec *spec, unsigned int vnode,
			      unsigned int home, bool all, const uint64_t bytes[GMIG_MAX_NODES]);
/* Of vnode, now. */
unsigned int placement_home(struct placement *placement, unsigned int vnode);

/*
 * The vnode's home is `node` from now on: place its vCPUs there, and all helpers anew. `all`: also vCPUs that an operator or
 * somebody outside has placed, and where nothing is placed by the rule; they follow the rule then (or stay on the node).
 * Returns how many vCPUs were placed; *left: how many were not, by an order or from outside or since it failed.
 */
unsigned int placement_follow(struct placement *placement, unsigned int vnode, unsigned int node,
			      bool all, unsigned int *left);

/* How a thread is placed now. */
struct placement_view {
	struct placement_thread thread;
	struct vmm_cpus cpus;	    /* sched_getaffinity(2) */
	struct gmig_node_set nodes; /* of these */
	enum placement_by by;
	bool outside;  /* somebody else has set its CPUs */
	bool anywhere; /* it may use all CPUs that the process may */
};
/* In the order in which they began; at most max. Returns how many. A thread that has just ended is left out. */
unsigned int placement_list(struct placement *placement, struct placement_view *views,
			    unsigned int max);

#endif
