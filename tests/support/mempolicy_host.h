/* Policies as they are made on a host of eight nodes. */
#ifndef MEMPOLICY_HOST_H
#define MEMPOLICY_HOST_H

#include "../../migrate/core/topology.h"
#include "../../migrate/memory/mempolicy.h"
#include "suite.h"

static struct gmig_topology *host; /* nodes 0 to 7, all of them equally far from each other */
static struct gmig_node_set mems;

static inline void setup(void)
{
	ck_assert_int_eq(gmig_topology_create(8, &host, NULL), 0);
	gmig_node_set_parse("0-7", &mems, NULL);
}

static inline void teardown(void)
{
	gmig_topology_put(host);
}

static inline struct gmig_policy asked(enum gmig_policy_mode mode, const char *nodes,
				       unsigned int flags)
{
	struct gmig_policy policy = {.mode = mode, .flags = flags};

	ck_assert_int_eq(gmig_node_set_parse(nodes, &policy.nodes, NULL), 0);
	return policy;
}

static inline struct mempolicy *made(enum gmig_policy_mode mode, const char *nodes,
				     unsigned int flags)
{
	struct gmig_policy policy = asked(mode, nodes, flags);
	struct mempolicy *out = NULL;

	ck_assert_int_eq(mempolicy_check(&policy, &mems, NULL), 0);
	ck_assert_int_eq(mempolicy_create(&policy, &mems, &out), 0);
	return out;
}

static inline unsigned int node_of(const struct mempolicy *policy, uint64_t gfn, unsigned int order)
{
	const struct mempolicy_place place = {
	    .gfn = gfn, .order = order, .local = 5, .topology = host};

	return mempolicy_node_of(policy, &place);
}

/* The nodes of pages 0, 1, .. as digits. */
static inline const char *layout(const struct mempolicy *policy, unsigned int pages)
{
	static char text[64];

	for (unsigned int i = 0; i < pages; i++)
		text[i] = (char)('0' + node_of(policy, i, 0));
	text[pages] = '\0';
	return text;
}

#endif
