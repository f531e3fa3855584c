#include "plan_policy.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A plan's own: what was asked for, and the nodes that have had no memory in this pass. */
struct policy_plan {
	struct plan_policy policy; /* first: it is what plan.policy points to */
	atomic_bool any_full;
	atomic_uchar full[GMIG_MAX_NODES];
};

static struct policy_plan *own_of(const struct plan *plan)
{
	return (struct policy_plan *)plan->policy;
}

static unsigned int ask(const struct plan *plan, uint64_t gfn, unsigned int order,
			unsigned int node)
{
	const struct plan_policy *policy = plan->policy;
	struct policy_plan *own = own_of(plan);
	struct gmig_node_set full = {{0}};

	if (!atomic_load(&own->any_full))
		return policy->target(policy->arg, gfn, order, node, NULL);
	for (unsigned int i = 0; i < GMIG_MAX_NODES; i++)
		if (atomic_load_explicit(&own->full[i], memory_order_relaxed))
			gmig_node_set_add(&full, i);
	return policy->target(policy->arg, gfn, order, node, &full);
}

static void policy_full(const struct plan *plan, unsigned int node)
{
	struct policy_plan *own = own_of(plan);

	atomic_store(&own->full[node], true);
	atomic_store(&own->any_full, true);
}

static void policy_pass(const struct plan *plan)
{
	struct policy_plan *own = own_of(plan);

	atomic_store(&own->any_full, false);
	for (unsigned int i = 0; i < GMIG_MAX_NODES; i++)
		atomic_store(&own->full[i], false);
}

static unsigned int policy_target(const struct plan *plan, uint64_t gfn, unsigned int order,
				  unsigned int node)
{
	const struct plan_policy *policy = plan->policy;
	uint64_t end = policy->gfn + policy->pages, pages = order ? GMIG_BLOCK_PAGES : 1;
	unsigned int target;

	if (gfn + pages <= policy->gfn || gfn >= end)
		return GMIG_NO_NODE;
	if (gfn >= policy->gfn && gfn + pages <= end)
		return ask(plan, gfn, order, node);
	/* The range has a part of a huge page. */
	for (uint64_t at = gfn; at < gfn + pages; at++) {
		target = at < policy->gfn || at >= end ? GMIG_NO_NODE : ask(plan, at, 0, node);
		if (target != GMIG_NO_NODE)
			return PLAN_SPLIT;
	}
	return GMIG_NO_NODE;
}

/* The blocks that the range touches, in regions and never beyond them. */
static int policy_narrow(const struct plan *plan, struct memory_range **ranges, size_t *count)
{
	const struct plan_policy *policy = plan->policy;
	const uint64_t block = GMIG_BLOCK_PAGES;
	uint64_t first = policy->gfn / block * block;
	uint64_t end = (policy->gfn + policy->pages + block - 1) / block * block;
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++) {
		struct memory_range *range = &(*ranges)[i];
		uint64_t from = range->gfn > first ? range->gfn : first;
		uint64_t to = range->gfn + range->pages < end ? range->gfn + range->pages : end;

		if (from < to)
			(*ranges)[kept++] = (struct memory_range){from, to - from};
	}
	*count = kept;
	return 0;
}

static int policy_verify(const struct plan *plan, struct gmig_error *err)
{
	const struct plan_policy *policy = plan->policy;
	uint64_t misplaced =
	    policy->strict ? policy->misplaced(policy->arg, policy->gfn, policy->pages) : 0;

	return misplaced ? gmig_fail(err, -EIO, "%llu pages do not follow the policy",
				     (unsigned long long)misplaced)
			 : 0;
}

static void policy_destroy(struct plan *plan)
{
	free(own_of(plan));
	plan->policy = NULL;
}

static const struct plan_ops plan_by_policy = {
    .name = "policy",
    .target = policy_target,
    .narrow = policy_narrow,
    .verify = policy_verify,
    .full = policy_full,
    .pass = policy_pass,
    .destroy = policy_destroy,
};

int plan_policy_create(const struct plan_policy *policy, struct plan *plan)
{
	struct policy_plan *own = calloc(1, sizeof(*own));

	if (!own)
		return -ENOMEM;
	own->policy = *policy;
	*plan = (struct plan){.ops = &plan_by_policy, .policy = &own->policy};
	return 0;
}
