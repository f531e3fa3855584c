#include "plan_policy.h"

#include <errno.h>
#include <stdlib.h>

static unsigned int policy_target(const struct plan *plan, uint64_t gfn, unsigned int order,
				  unsigned int node)
{
	const struct plan_policy *policy = plan->policy;
	uint64_t end = policy->gfn + policy->pages, pages = order ? GMIG_BLOCK_PAGES : 1;
	unsigned int target;

	if (gfn + pages <= policy->gfn || gfn >= end)
		return GMIG_NO_NODE;
	if (gfn >= policy->gfn && gfn + pages <= end)
		return policy->target(policy->arg, gfn, order, node);
	/* The range has a part of a huge page. */
	for (uint64_t at = gfn; at < gfn + pages; at++) {
		target = at < policy->gfn || at >= end ? GMIG_NO_NODE
						       : policy->target(policy->arg, at, 0, node);
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
	free(plan->policy);
	plan->policy = NULL;
}

static const struct plan_ops plan_by_policy = {
    .name = "policy",
    .target = policy_target,
    .narrow = policy_narrow,
    .verify = policy_verify,
    .destroy = policy_destroy,
};

int plan_policy_create(const struct plan_policy *policy, struct plan *plan)
{
	struct plan_policy *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	*copy = *policy;
	*plan = (struct plan){.ops = &plan_by_policy, .policy = copy};
	return 0;
}
