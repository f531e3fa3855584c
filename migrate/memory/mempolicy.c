#include "mempolicy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS (GMIG_POLICY_STATIC_NODES | GMIG_POLICY_RELATIVE_NODES)

const char *const *gmig_policy_mode_names(void)
{
	static const char *const names[] = {"default",
					    "local",
					    "bind",
					    "preferred",
					    "preferred-many",
					    "interleave",
					    "weighted-interleave",
					    NULL};

	return names;
}

/* ---- Which nodes ------------------------------------------------------------------------------- */

/* The nodes of a set in ascending order. */
static unsigned int list_of(const struct gmig_node_set *set, uint16_t list[GMIG_MAX_NODES])
{
	unsigned int count = 0;

	gmig_node_set_each (node, set)
		list[count++] = (uint16_t)node;
	return count;
}

static unsigned int position_in(const struct gmig_node_set *set, unsigned int node)
{
	unsigned int position = 0;

	for (unsigned int at = gmig_node_set_next(set, 0); at < node;
	     at = gmig_node_set_next(set, at + 1))
		position++;
	return position;
}

/* mpol_relative_nodemask(): folded to as many as there are, and these counted off. */
static struct gmig_node_set fold(const struct gmig_node_set *nodes,
				 const struct gmig_node_set *mems)
{
	struct gmig_node_set folded = {{0}};
	uint16_t list[GMIG_MAX_NODES];
	unsigned int count = list_of(mems, list);

	gmig_node_set_each (node, nodes)
		if (count)
			gmig_node_set_add(&folded, list[node % count]);
	return folded;
}

static struct gmig_node_set nodes_of(const struct gmig_policy *asked,
				     const struct gmig_node_set *mems)
{
	struct gmig_node_set nodes = asked->nodes;

	if (asked->flags & GMIG_POLICY_RELATIVE_NODES)
		return fold(&asked->nodes, mems);
	gmig_node_set_and(&nodes, mems);
	return nodes;
}

/* ---- Is it one? -------------------------------------------------------------------------------- */

static const char *name_of(enum gmig_policy_mode mode)
{
	return gmig_policy_mode_names()[mode];
}

static int check_home(const struct gmig_policy *asked, struct gmig_error *err)
{
	if (!asked->has_home_node)
		return 0;
	if (asked->mode != GMIG_POLICY_BIND && asked->mode != GMIG_POLICY_PREFERRED_MANY)
		return gmig_fail(err, -EOPNOTSUPP,
				 "a home node is for bind and preferred-many, not for %s",
				 name_of(asked->mode));
	if (asked->home_node >= GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "home node %u is not within 0 to %u",
				 asked->home_node, GMIG_MAX_NODES - 1);
	return 0;
}

int mempolicy_check_words(const struct gmig_policy *asked, struct gmig_error *err)
{
	if ((unsigned int)asked->mode > GMIG_POLICY_WEIGHTED_INTERLEAVE)
		return gmig_fail(err, -EINVAL, "policy %u is not known", (unsigned int)asked->mode);
	if (asked->flags & ~FLAGS)
		return gmig_fail(err, -EINVAL, "policy flags 0x%x are not known", asked->flags);
	if (asked->flags == FLAGS)
		return gmig_fail(err, -EINVAL, "nodes cannot be static and relative at once");
	return 0;
}

/* mpol_new(): flags say nothing where there is no policy, but LOCAL has none of them. */
int mempolicy_check(const struct gmig_policy *asked, const struct gmig_node_set *mems,
		    struct gmig_error *err)
{
	struct gmig_node_set nodes;
	bool empty = gmig_node_set_empty(&asked->nodes);
	char text[64];
	int ret = mempolicy_check_words(asked, err);

	if (ret)
		return ret;
	if (asked->mode == GMIG_POLICY_LOCAL && asked->flags)
		return gmig_fail(err, -EINVAL, "policy local takes no flags");
	if (asked->mode == GMIG_POLICY_DEFAULT || asked->mode == GMIG_POLICY_LOCAL) {
		if (!empty)
			return gmig_fail(err, -EINVAL, "policy %s takes no nodes",
					 name_of(asked->mode));
		return check_home(asked, err);
	}
	if (empty && asked->mode == GMIG_POLICY_PREFERRED && !asked->flags)
		return check_home(asked, err);
	if (empty)
		return gmig_fail(err, -EINVAL, "policy %s needs nodes", name_of(asked->mode));
	nodes = nodes_of(asked, mems);
	if (gmig_node_set_empty(&nodes))
		return gmig_fail(err, -EINVAL,
				 "none of nodes %s has memory and is allowed by the cpuset, which "
				 "leaves %s",
				 gmig_node_set_print(&asked->nodes, text, sizeof(text)),
				 gmig_node_set_print(mems, (char[64]){0}, 64));
	return check_home(asked, err);
}

/* ---- Making one -------------------------------------------------------------------------------- */

static unsigned int weight_of(const struct gmig_policy *asked, unsigned int node)
{
	bool weighted = asked->mode == GMIG_POLICY_WEIGHTED_INTERLEAVE && asked->weight[node];

	return weighted ? asked->weight[node] : 1;
}

static struct mempolicy *make(const struct gmig_policy *asked, const struct gmig_node_set *mems,
			      unsigned int count)
{
	struct mempolicy *policy = calloc(1, sizeof(*policy) + count * sizeof(policy->list[0]));

	if (!policy)
		return NULL;
	atomic_store(&policy->refs, 1);
	policy->asked = *asked;
	policy->mems = *mems;
	policy->mode =
	    asked->mode == GMIG_POLICY_PREFERRED && !count ? GMIG_POLICY_LOCAL : asked->mode;
	return policy;
}

static void append(struct mempolicy *policy, unsigned int node, unsigned int weight)
{
	uint32_t sum = policy->count ? policy->list[policy->count - 1].until : 0;

	policy->list[policy->count++] = (struct mempolicy_node){
	    .node = (uint16_t)node, .base = {(uint16_t)node, 0}, .until = sum + weight};
	gmig_node_set_add(&policy->members, node);
}

static int make_of_set(const struct gmig_policy *asked, const struct gmig_node_set *nodes,
		       const struct gmig_node_set *mems, struct mempolicy **out)
{
	struct mempolicy *policy = make(asked, mems, gmig_node_set_count(nodes));

	if (!policy)
		return -ENOMEM;
	gmig_node_set_each (node, nodes)
		append(policy, node, weight_of(asked, node));
	*out = policy;
	return 0;
}

int mempolicy_create(const struct gmig_policy *asked, const struct gmig_node_set *mems,
		     struct mempolicy **out)
{
	struct gmig_node_set nodes = nodes_of(asked, mems);

	return make_of_set(asked, &nodes, mems, out);
}

int mempolicy_copy(const struct mempolicy *policy, struct mempolicy **out)
{
	struct mempolicy *copy = make(&policy->asked, &policy->mems, policy->count);

	if (!copy)
		return -ENOMEM;
	copy->members = policy->members;
	copy->steps = mempolicy_steps_get(policy->steps);
	copy->count = policy->count;
	memcpy(copy->list, policy->list, policy->count * sizeof(policy->list[0]));
	*out = copy;
	return 0;
}

struct mempolicy *mempolicy_get(struct mempolicy *policy)
{
	if (policy)
		atomic_fetch_add(&policy->refs, 1);
	return policy;
}

void mempolicy_put(struct mempolicy *policy)
{
	if (!policy || atomic_fetch_sub(&policy->refs, 1) != 1)
		return;
	mempolicy_steps_put(policy->steps);
	free(policy);
}

static bool asked_equal(const struct gmig_policy *a, const struct gmig_policy *b)
{
	return a->mode == b->mode && a->flags == b->flags && a->has_home_node == b->has_home_node &&
	       a->home_node == b->home_node && !memcmp(&a->nodes, &b->nodes, sizeof(a->nodes)) &&
	       !memcmp(a->weight, b->weight, sizeof(a->weight));
}

static bool list_equal(const struct mempolicy *a, const struct mempolicy *b)
{
	for (unsigned int i = 0; i < a->count; i++) {
		const struct mempolicy_node *one = &a->list[i], *other = &b->list[i];

		if (one->node != other->node || one->base.node != other->base.node ||
		    one->base.settled != other->base.settled || one->until != other->until)
			return false;
	}
	return true;
}

bool mempolicy_equal(const struct mempolicy *a, const struct mempolicy *b)
{
	if (a == b)
		return true;
	return a && b && a->count == b->count && asked_equal(&a->asked, &b->asked) &&
	       !memcmp(&a->mems, &b->mems, sizeof(a->mems)) && list_equal(a, b) &&
	       mempolicy_steps_equal(a->steps, b->steps);
}

/* ---- Along with migrations ---------------------------------------------------------------------- */

/* Its places are where the steps take them. */
static void place_again(struct mempolicy *policy)
{
	policy->members = (struct gmig_node_set){{0}};
	for (unsigned int i = 0; i < policy->count; i++) {
		struct mempolicy_node *place = &policy->list[i];

		place->node = (uint16_t)mempolicy_steps_node(policy->steps, &place->base);
		gmig_node_set_add(&policy->members, place->node);
	}
}

int mempolicy_begin(struct mempolicy *policy, uint64_t owner, struct mempolicy_map *map,
		    struct mempolicy **out)
{
	struct mempolicy_steps *steps;
	int ret;

	/* Also one that takes from none of its nodes: those that are newer may not become a part of them before it has ended. */
	if (!policy->count || policy->asked.flags & GMIG_POLICY_STATIC_NODES) {
		*out = mempolicy_get(policy);
		return 0;
	}
	ret = mempolicy_steps_add(policy->steps, owner, map, &steps);
	if (!ret) {
		ret = mempolicy_copy(policy, out);
		if (ret)
			mempolicy_steps_put(steps);
	}
	if (ret)
		return ret;
	mempolicy_steps_put((*out)->steps);
	(*out)->steps = steps;
	place_again(*out);
	return 0;
}

static int end_steps(struct mempolicy *policy, uint64_t owner, bool keep)
{
	struct mempolicy_base *bases = calloc(policy->count, sizeof(*bases));
	struct mempolicy_steps *rest;
	int ret = bases ? 0 : -ENOMEM;

	for (unsigned int i = 0; !ret && i < policy->count; i++)
		bases[i] = policy->list[i].base;
	if (!ret)
		ret = mempolicy_steps_end(policy->steps, owner, keep, bases, policy->count, &rest);
	if (!ret) {
		for (unsigned int i = 0; i < policy->count; i++)
			policy->list[i].base = bases[i];
		mempolicy_steps_put(policy->steps);
		policy->steps = rest;
		place_again(policy);
	}
	free(bases);
	return ret;
}

int mempolicy_end(struct mempolicy *policy, uint64_t owner, bool keep, struct mempolicy **out)
{
	int ret;

	if (!mempolicy_steps_has(policy->steps, owner)) {
		*out = mempolicy_get(policy);
		return 0;
	}
	ret = mempolicy_copy(policy, out);
	if (!ret) {
		ret = end_steps(*out, owner, keep);
		if (ret)
			mempolicy_put(*out);
	}
	return ret;
}

/* ---- Other nodes ------------------------------------------------------------------------------- */

/* The i-th node that could be used becomes the i-th that can be. */
struct rebind {
	const struct gmig_node_set *before;
	uint16_t list[GMIG_MAX_NODES]; /* that can be used */
	unsigned int count;
};

static unsigned int rebound(void *arg, unsigned int node)
{
	const struct rebind *rebind = arg;

	if (!rebind->count || !gmig_node_set_has(rebind->before, node))
		return node;
	return rebind->list[position_in(rebind->before, node) % rebind->count];
}

/* In place. */
static int rebind_list(const struct mempolicy *policy, struct rebind *rebind,
		       const struct gmig_node_set *mems, struct mempolicy **out)
{
	struct mempolicy *copy = make(&policy->asked, mems, policy->count);

	if (!copy)
		return -ENOMEM;
	for (unsigned int i = 0; i < policy->count; i++) {
		const struct mempolicy_node *place = &policy->list[i];
		uint32_t before = i ? policy->list[i - 1].until : 0;

		append(copy, rebound(rebind, place->base.node), place->until - before);
		copy->list[i].base.settled = place->base.settled;
	}
	*out = copy;
	return 0;
}

static int rebind_nodes(const struct mempolicy *policy, struct rebind *rebind,
			const struct gmig_node_set *mems, struct mempolicy **out)
{
	struct gmig_node_set nodes;

	if (!(policy->asked.flags & FLAGS))
		return rebind_list(policy, rebind, mems, out);
	nodes = nodes_of(&policy->asked, mems);
	return make_of_set(&policy->asked, gmig_node_set_empty(&nodes) ? mems : &nodes, mems, out);
}

int mempolicy_rebind(const struct mempolicy *policy, const struct gmig_node_set *mems,
		     struct mempolicy **out)
{
	struct rebind rebind = {.before = &policy->mems};
	int ret;

	if (policy->mode == GMIG_POLICY_LOCAL)
		return make_of_set(&policy->asked, &(struct gmig_node_set){{0}}, mems, out);
	rebind.count = list_of(mems, rebind.list);
	ret = rebind_nodes(policy, &rebind, mems, out);
	if (ret || !policy->steps)
		return ret;
	ret = mempolicy_steps_rebind(policy->steps, rebound, &rebind, &(*out)->steps);
	if (ret)
		mempolicy_put(*out);
	else
		place_again(*out);
	return ret;
}

/* ---- Which of them ----------------------------------------------------------------------------- */

bool mempolicy_interleaves(const struct mempolicy *policy)
{
	return policy && (policy->mode == GMIG_POLICY_INTERLEAVE ||
			  policy->mode == GMIG_POLICY_WEIGHTED_INTERLEAVE);
}

/* The node that has place n: the first whose sum is beyond it. */
static unsigned int interleave(const struct mempolicy *policy, uint64_t n)
{
	uint32_t place = (uint32_t)(n % policy->list[policy->count - 1].until);
	unsigned int low = 0, high = policy->count - 1;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (policy->list[middle].until > place)
			high = middle;
		else
			low = middle + 1;
	}
	return policy->list[low].node;
}

static unsigned int near_to(const struct mempolicy *policy, const struct mempolicy_place *place)
{
	return policy->asked.has_home_node ? policy->asked.home_node : place->local;
}

unsigned int mempolicy_node_of(const struct mempolicy *policy, const struct mempolicy_place *place)
{
	if (!policy)
		return place->local;
	switch (policy->mode) {
	case GMIG_POLICY_BIND:
	case GMIG_POLICY_PREFERRED_MANY:
		return gmig_topology_nearest(place->topology, near_to(policy, place),
					     &policy->members);
	case GMIG_POLICY_PREFERRED:
		return policy->list[0].node;
	case GMIG_POLICY_INTERLEAVE:
	case GMIG_POLICY_WEIGHTED_INTERLEAVE:
		return interleave(policy, place->gfn >> place->order);
	default:
		return place->local;
	}
}

unsigned int mempolicy_node_but(const struct mempolicy *policy, const struct mempolicy_place *place,
				const struct gmig_node_set *full)
{
	unsigned int node = mempolicy_node_of(policy, place);
	struct gmig_node_set left;

	if (!policy || !gmig_node_set_has(full, node) ||
	    (policy->mode != GMIG_POLICY_BIND && policy->mode != GMIG_POLICY_PREFERRED_MANY))
		return node;
	left = policy->members;
	gmig_node_set_minus(&left, full);
	return gmig_node_set_empty(&left)
		   ? node
		   : gmig_topology_nearest(place->topology, near_to(policy, place), &left);
}

bool mempolicy_follows(const struct mempolicy *policy, const struct mempolicy_place *place,
		       unsigned int node)
{
	if (policy && (policy->mode == GMIG_POLICY_BIND || policy->mode == GMIG_POLICY_PREFERRED ||
		       policy->mode == GMIG_POLICY_PREFERRED_MANY))
		return gmig_node_set_has(&policy->members, node);
	return node == mempolicy_node_of(policy, place);
}

unsigned int mempolicy_next(const struct mempolicy *policy, const struct mempolicy_place *place,
			    const struct gmig_node_set *usable, const struct gmig_node_set *tried)
{
	bool many = policy && (policy->mode == GMIG_POLICY_BIND ||
			       policy->mode == GMIG_POLICY_PREFERRED_MANY);
	unsigned int first = many ? near_to(policy, place) : mempolicy_node_of(policy, place);
	struct gmig_node_set left = *usable, own;

	gmig_node_set_minus(&left, tried);
	if (!many)
		return gmig_topology_nearest(place->topology, first, &left);
	own = left;
	gmig_node_set_and(&own, &policy->members);
	if (gmig_node_set_empty(&own) && policy->mode == GMIG_POLICY_PREFERRED_MANY)
		own = left;
	return gmig_topology_nearest(place->topology, first, &own);
}
