#include "on_node.h"

#include <errno.h>
#include <numaif.h>

int on_node_begin(const struct gmig_sys *sys, unsigned int node, struct thread_policy *before)
{
	struct thread_policy bound = {.mode = MPOL_BIND};
	int ret;

	if (node == GMIG_NO_NODE)
		return 0;
	if (node >= GMIG_MAX_NODES)
		return -EINVAL;
	ret = sys->thread_policy(before);
	if (ret)
		return ret;
	gmig_node_set_add(&bound.nodes, node);
	return sys->set_thread_policy(&bound);
}

/* If nodes have gone meanwhile the old policy is refused: the thread then has none. */
void on_node_end(const struct gmig_sys *sys, unsigned int node, const struct thread_policy *before)
{
	const struct thread_policy none = {.mode = MPOL_DEFAULT};

	if (node != GMIG_NO_NODE && sys->set_thread_policy(before))
		sys->set_thread_policy(&none);
}
