/*
 * For some calls, the calling thread's new memory comes from one node or not at all: by the thread's own policy
 * (set_mempolicy(2), MPOL_BIND), which counts where a mapping has none. A mapping's policy would split it in two.
 *
 * What the thread had before holds again afterwards. Any thread, for itself; what it allocates meanwhile comes from that node,
 * too, so there is little between the two calls.
 */
#ifndef GMIG_ON_NODE_H
#define GMIG_ON_NODE_H

#include "sys.h"

/* As get_mempolicy(2) gives it. */
struct thread_policy {
	int mode;
	struct gmig_node_set nodes;
};

/* GMIG_NO_NODE: nothing changes. -EINVAL: the cpuset leaves the node out, or it has no memory; -EPERM: a seccomp filter. */
int on_node_begin(const struct gmig_sys *sys, unsigned int node, struct thread_policy *before);
void on_node_end(const struct gmig_sys *sys, unsigned int node, const struct thread_policy *before);

#endif
