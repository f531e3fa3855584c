/*
 * Memory policies for ranges of a guest's memory: what mbind(2), get_mempolicy(2) and set_mempolicy_home_node(2) are for the
 * memory of a process. A binding holds for first touches from then on; with MOVE also for what is there already.
 *
 * Where a page is allocated "locally", that is the node that its vnode's memory has: where a first touch without a binding
 * goes, too. A migration of the vnode takes it along.
 *
 * Interleaving associates page n of the guest's address space, n = gpa / page size, with place n modulo the number of nodes
 * (of the weights' sum): whatever happens to its neighbours, page n has that place. The page size is that of the page, as in
 * Linux: of a block with a huge page n is gpa / 2 MiB, of one with small pages n is gpa / 4 KiB.
 *
 * Nodes of a policy are a list. It begins in ascending order, as Linux has it. A migration from node a to node b puts b into
 * a's places, so that the pages that moved still are where the policy has them.
 *
 * Errors and rules: mbind(2), set_mempolicy(2), and Linux's mm/mempolicy.c; where it differs, docs/conformance.md says so.
 * Threads as in gmig.h.
 */
#ifndef GMIG_MEMORY_POLICIES_H
#define GMIG_MEMORY_POLICIES_H

#include "gmig.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exported; all else in the library is hidden (-fvisibility=hidden). */
#pragma GCC visibility push(default)

enum gmig_policy_mode {
	GMIG_POLICY_DEFAULT, /* no binding: the vnode's node, others when that is full. No nodes */
	GMIG_POLICY_LOCAL,   /* the same, as a policy that stays. No nodes */
	GMIG_POLICY_BIND, /* the nearest of the nodes that has memory, and no other: else the toucher waits */
	GMIG_POLICY_PREFERRED, /* the first of the nodes, others when that is full. Without nodes: LOCAL */
	GMIG_POLICY_PREFERRED_MANY, /* the nearest of the nodes, others when all are full */
	GMIG_POLICY_INTERLEAVE, /* place n modulo the number of nodes, others when that is full */
	GMIG_POLICY_WEIGHTED_INTERLEAVE, /* a node has as many places in a row as its weight says */
};

/* Flags of a policy: at most one. Node numbers are the host's, and no change of the cpuset changes them; */
#define GMIG_POLICY_STATIC_NODES 1u
/* they count the nodes of the cpuset that have memory: 0 is the first of these, and numbers that are too large begin anew. */
#define GMIG_POLICY_RELATIVE_NODES 2u

struct gmig_policy {
	enum gmig_policy_mode mode;
	unsigned int flags;
	struct gmig_node_set nodes;
	/* BIND, PREFERRED_MANY: near to this node, which need not be one of nodes; else near to the vnode's. */
	bool has_home_node;
	uint16_t home_node;
	/* WEIGHTED_INTERLEAVE, by node; 0: 1 */
	uint8_t weight[GMIG_MAX_NODES];
	uint64_t reserved[4];
};

/* The words for the modes: "default", "local", "bind", .., "weighted-interleave"; the index is the enum's value. */
const char *const *gmig_policy_mode_names(void);

/* ---- Setting one ----------------------------------------------------------------------------------------------- */

/* Flags, with the values of <linux/mempolicy.h>. */
#define GMIG_BIND_STRICT                                                                           \
	1u /* all pages follow the policy, or the call, with MOVE its job, fails with -EIO */
#define GMIG_BIND_MOVE	   2u /* pages that are there go where the policy has them */
#define GMIG_BIND_MOVE_ALL 4u /* those that other processes map, too: needs CAP_SYS_NICE */

struct gmig_bind_spec {
	uint64_t gpa;	/* a multiple of GMIG_PAGE_BYTES */
	uint64_t bytes; /* rounded up to pages; 0: nothing is done */
	struct gmig_policy policy;
	unsigned int flags;
	/* MOVE: how. Its from, to, vnodes and max_bytes stay 0. */
	struct gmig_job_spec job;
	uint64_t reserved[4];
};

/*
 * The range has this policy from now on; DEFAULT: none. With MOVE a job starts, *job, else that is NULL. Touches that are
 * under way are through when it returns. STRICT alone compares the range with the kernel first, some ten microseconds a
 * block, and fails before anything has changed. A job with STRICT ends as failed, -EIO, when a page stays behind; the policy
 * holds all the same.
 *
 * -EINVAL the address, flags, mode or nodes, as mbind(2) has it; -EFAULT a part of the range is no memory of the guest, for
 * DEFAULT all of it; -EIO STRICT; -ENOMEM also: more than 65536 ranges have a policy; -EPERM MOVE_ALL without CAP_SYS_NICE;
 * -EOPNOTSUPP migration is off, or a home node for another mode. MOVE: as gmig_job_start(); the policy holds then.
 */
int gmig_bind(struct gmig *gmig, const struct gmig_bind_spec *spec, struct gmig_job **job,
	      struct gmig_error *err);
/*
 * The nodes on which gmig_bind() would have the pages of the range: those of the policy, RELATIVE ones counted off by what can be
 * used now; where there are none, those of the vnodes. Empty: gmig_bind() would refuse.
 */
void gmig_bind_nodes(struct gmig *gmig, const struct gmig_bind_spec *spec,
		     struct gmig_node_set *nodes);
/*
 * As set_mempolicy_home_node(2): the ranges within gpa..gpa+bytes that have a policy get this home node. -EINVAL the address, or
 * the node is not online; -ENOENT none has a policy; -EOPNOTSUPP one is neither BIND nor PREFERRED_MANY; -ENOMEM. On an error
 * nothing has changed.
 */
int gmig_set_home_node(struct gmig *gmig, uint64_t gpa, uint64_t bytes, unsigned int node,
		       struct gmig_error *err);

/* ---- What must not move ------------------------------------------------------------------------------------------ */

/*
 * Declare that memory must not move, or (fixed false) that it may again: what VM_DONTMIGRATE was for a mapping, when Linux's page
 * migration was proposed. For memory whose place is known to somebody who cannot be told of another one.
 *
 * All blocks that the range touches, 2 MiB each (1 GiB of GMIG_REGION_HUGETLB_1G), touched by the guest or not. From the return
 * on no page of them changes its node by gmig: each job has -EPERM for them, and moves what is around. Policies stay, and where
 * first touches go. What others do (migratepages(8), the kernel's compaction) is not changed.
 *
 * -EINVAL the address; -EFAULT a part of the range is no memory of the guest, for `false` all of it; -ENOMEM also: more than 65536
 * separate ranges; -EAGAIN it is declared, but a page that was on its way before is so after 10 seconds still (the text names it):
 * ask once more; -EOPNOTSUPP migration is off.
 */
int gmig_fix_memory(struct gmig *gmig, uint64_t gpa, uint64_t bytes, bool fixed,
		    struct gmig_error *err);

/* ---- Asking: get_mempolicy(2), numa_maps ------------------------------------------------------------------------ */

/* Pages that follow each other, in one region and of one policy. Counts are of pages of 4 KiB, by the shadow table. */
struct gmig_map {
	uint64_t gpa, bytes;
	unsigned int vnode;
	struct gmig_policy policy; /* as it was asked for */
	unsigned int local;	   /* the vnode's node: where "local" is */
	/* The nodes that the policy means now, in the order of their places */
	unsigned int node_count;
	uint16_t node[GMIG_MAX_NODES];
	uint64_t pages[GMIG_MAX_NODES];	  /* by the node that they lie on */
	uint64_t huge_pages, small_pages; /* of pages: in huge pages, and single ones */
	uint64_t swapped_pages, untouched_pages;
	uint64_t moving_pages; /* a job has them now */
	uint64_t
	    misplaced_pages; /* that do not follow the policy: what a job with MOVE would move, or has left */
	uint64_t fixed_pages; /* that must not move: gmig_fix_memory() */
	uint64_t reserved[7];
};

/*
 * The run of pages that gpa is in or, when it is in none, the first one above it; it begins at gpa then. At most some 100,000
 * entries of the table are looked at: a run that is longer goes on in the next call, with gpa + bytes. What others may touch
 * (GMIG_REGION_MEMFD) is as old as what gmig_residency() says. -ENOENT: there is no memory from gpa on; -EOPNOTSUPP: migration is off.
 */
int gmig_map_at(struct gmig *gmig, uint64_t gpa, struct gmig_map *map);
/* The same, but it ends at the next multiple of step_bytes (of 4096, not 0): all of a picture's cell, and nothing of the next one. */
int gmig_map_part(struct gmig *gmig, uint64_t gpa, uint64_t step_bytes, struct gmig_map *map);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
