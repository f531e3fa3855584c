#include "plan_touch.h"

/* Any other node stands for the one that is not known yet. */
static unsigned int touch_target(const struct plan *plan, uint64_t gfn, unsigned int order,
				 unsigned int node)
{
	(void)gfn, (void)order;
	if (!gmig_node_set_has(&plan->sources, node))
		return GMIG_NO_NODE;
	gmig_node_set_each (target, &plan->targets)
		if (target != node)
			return target;
	return GMIG_NO_NODE;
}

static const struct plan_ops plan_touch = {
    .name = "touch",
    .target = touch_target,
};

void plan_touch_create(const struct gmig_job_spec *spec, struct plan *plan)
{
	*plan = (struct plan){.ops = &plan_touch, .by_touch = true};
	for (unsigned int i = 0; i < spec->from_count; i++)
		gmig_node_set_add(&plan->sources, spec->from[i]);
	for (unsigned int i = 0; i < spec->to_count; i++)
		gmig_node_set_add(&plan->targets, spec->to[i]);
}
