/*
 * The host's nodes as the planner takes them (placement/placement.h), for `gmig plan` and gmigd alike: distances, CPUs, free memory
 * and huge pages now, which nodes are closed. Inactive clean page cache is room, as the kernel gives it up first
 * (gmig_topology_cache_bytes()). A value of its own; no locks.
 */
#ifndef CONTROL_HOST_VIEW_H
#define CONTROL_HOST_VIEW_H

#include "../migrate/gmig.h"
#include "../placement/placement.h"

struct host_view {
	struct placement_host host;
	/* What the above points to. */
	struct placement_node *nodes;
	struct placement_cpus *cpus; /* one a node */
	uint8_t *distance;
};

/* root: of /sys; "": this host. Reads a few small files for each node. -ENOMEM, or why free memory cannot be read or huge pages counted; the view is then empty. */
int host_view_read(const struct gmig_topology *topology, const char *root,
		   const struct gmig_node_set *closed, struct host_view *view,
		   struct gmig_error *err);
void host_view_free(struct host_view *view);

#endif
