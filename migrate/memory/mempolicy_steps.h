/*
 * What the migrations that run over one another make of the nodes of a policy, reckoned as region_prefer() does it for a region: a
 * policy that names the region's node goes where new memory of the region goes. Pure; a list is constant once made, and counted.
 *
 * A step is a migration: where it takes the pages of each node. Of those that take from the node where a place is, the newest
 * counts, and those that are newer still take it further. One that stands (its migration has completed) becomes a part of the
 * place once no older one is left; one that was withdrawn is taken out.
 */
#ifndef GMIG_MEMPOLICY_STEPS_H
#define GMIG_MEMPOLICY_STEPS_H

#include "../gmig_nodes.h"

/* By age, the oldest first. NULL is a list of none, everywhere here. */
struct mempolicy_steps;

/* Where a node's pages go; GMIG_NO_NODE: they stay. */
typedef unsigned int mempolicy_target(void *arg, unsigned int node);

/* The same for all nodes, of one migration: constant, and shared by the policies that it concerns. */
struct mempolicy_map;
/* -ENOMEM. */
int mempolicy_map_create(mempolicy_target *to, void *arg, struct mempolicy_map **out);
/* NULL is legal. */
void mempolicy_map_put(struct mempolicy_map *map);

/* A place of the policy without the steps that are not settled. */
struct mempolicy_base {
	uint16_t node;
	uint16_t settled; /* so many of the steps, the oldest ones, are in it already */
};

struct mempolicy_steps *mempolicy_steps_get(struct mempolicy_steps *steps);
void mempolicy_steps_put(struct mempolicy_steps *steps);
bool mempolicy_steps_equal(const struct mempolicy_steps *a, const struct mempolicy_steps *b);
bool mempolicy_steps_has(const struct mempolicy_steps *steps, uint64_t owner);

/* A newer migration begins; owner is its number. Another reference to the map is taken. -ENOMEM. */
int mempolicy_steps_add(const struct mempolicy_steps *steps, uint64_t owner,
			struct mempolicy_map *map, struct mempolicy_steps **out);
/*
 * The owner's, which is in the list, has ended: it stands, or it is taken out. Each of the bases is settled as far as that goes
 * then; steps that are settled in all of them are in the list no more. -ENOMEM: the bases are as they were.
 */
int mempolicy_steps_end(const struct mempolicy_steps *steps, uint64_t owner, bool stands,
			struct mempolicy_base *bases, unsigned int count,
			struct mempolicy_steps **out);
/* Where all steps take it. */
unsigned int mempolicy_steps_node(const struct mempolicy_steps *steps,
				  const struct mempolicy_base *base);
/* The same steps where other nodes can be used now: as(arg, node) is what becomes of each node. -ENOMEM. */
int mempolicy_steps_rebind(const struct mempolicy_steps *steps, mempolicy_target *as, void *arg,
			   struct mempolicy_steps **out);

#endif
