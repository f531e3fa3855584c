/*
 * Which range of a guest's memory has which policy: runs of pages, sorted, apart from each other, and joined where they
 * touch and are alike. What is in no run has the policy DEFAULT.
 *
 * Readers never wait: they search a snapshot (RCU), 17 steps at most. Writers make a new snapshot under a lock inside, a leaf,
 * and wait for a grace period without it. Runs that are alike share one policy: 24 bytes a run.
 */
#ifndef GMIG_BINDINGS_H
#define GMIG_BINDINGS_H

#include "mempolicy.h"

/* Runs that callers may ask for: about as many as a process may have mappings (vm.max_map_count). */
#define BINDINGS_MAX 65536u

struct bindings;

/* -ENOMEM. */
int bindings_create(struct bindings **out);
/* For tests: at most `max` runs instead of BINDINGS_MAX. */
int bindings_create_with(unsigned int max, struct bindings **out);
/* After the last reader. NULL is legal. */
void bindings_destroy(struct bindings *bindings);

/*
 * gfn..gfn+pages has this policy from now on, of which a reference is taken; NULL: DEFAULT. -ENOMEM: no memory, or more than
 * BINDINGS_MAX runs would be needed and it is one more than there are; nothing has changed then.
 */
int bindings_set(struct bindings *bindings, uint64_t gfn, uint64_t pages, struct mempolicy *policy,
		 struct gmig_error *err);
/* The policy of a page, a reference; NULL: DEFAULT. */
struct mempolicy *bindings_get(struct bindings *bindings, uint64_t gfn);
/* The same, and where it ends: the first page that another run, or none, has. */
struct mempolicy *bindings_get_run(struct bindings *bindings, uint64_t gfn, uint64_t *end);

/*
 * Each run in gfn..gfn+pages gets the policy that change(arg, its own, &new) gives: 0 and a reference, or -errno. All or
 * nothing. A policy may be asked about once for many runs that have it. The ends of the range may make two runs more than
 * there were: no limit refuses that. -ENOMEM.
 */
typedef int bindings_changer(void *arg, struct mempolicy *policy, struct mempolicy **out);
int bindings_change(struct bindings *bindings, uint64_t gfn, uint64_t pages,
		    bindings_changer *change, void *arg);

/* Other nodes can be used now: all policies are told of it, if it is so (mempolicy_rebind()). */
int bindings_rebind(struct bindings *bindings, const struct gmig_node_set *mems);

#endif
