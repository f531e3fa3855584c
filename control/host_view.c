#include "host_view.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pool that is not there, and what is no number, is none. 0, or why it cannot be read. */
static int free_huge(const char *root, unsigned int node, unsigned int kib, uint64_t *bytes)
{
	char path[PATH_MAX];
	uint64_t pages = 0;
	FILE *file;
	int rc;

	*bytes = 0;
	if (snprintf(path, sizeof(path),
		     "%s/sys/devices/system/node/node%u/hugepages/hugepages-%ukB/free_hugepages",
		     root, node, kib) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	errno = 0;
	if (fscanf(file, "%10" SCNu64, &pages) != 1)
		pages = 0;
	rc = ferror(file) ? -errno : 0;
	fclose(file);
	*bytes = pages * kib * 1024;
	return rc;
}

static int look_at_node(const struct gmig_topology *topology, const char *root, unsigned int id,
			struct placement_node *node, struct placement_cpus *cpus,
			struct gmig_error *err)
{
	uint64_t total = gmig_topology_total_bytes(topology, id), free_bytes, cache_bytes;
	int rc = gmig_topology_room(topology, id, &free_bytes, &cache_bytes);

	if (rc)
		return gmig_fail(err, rc, "the free memory of node %u cannot be read: %s", id,
				 strerror(-rc));
	*node = (struct placement_node){.id = id, .total_bytes = total};
	node->free_bytes[PLACEMENT_4K] = free_bytes + cache_bytes;
	rc = free_huge(root, id, 2048, &node->free_bytes[PLACEMENT_2M]);
	if (!rc)
		rc = free_huge(root, id, 1048576, &node->free_bytes[PLACEMENT_1G]);
	if (rc)
		return gmig_fail(err, rc, "the huge pages of node %u cannot be counted: %s", id,
				 strerror(-rc));
	for (unsigned int page = 0; page < PLACEMENT_PAGES; page++)
		if (node->free_bytes[page] > total)
			node->free_bytes[page] = total;
	/* What the kernel itself keeps back, roughly: see vm.min_free_kbytes. */
	node->reserved_bytes = total / 64;
	gmig_topology_cpus(topology, id, cpus->word, PLACEMENT_CPU_WORDS);
	for (unsigned int i = 0; i < PLACEMENT_CPU_WORDS; i++)
		if (cpus->word[i])
			node->cpus = cpus;
	return 0;
}

int host_view_read(const struct gmig_topology *topology, const char *root,
		   const struct gmig_node_set *closed, struct host_view *view,
		   struct gmig_error *err)
{
	const struct gmig_node_set *online = gmig_topology_online(topology);
	size_t count = gmig_node_set_count(online), at = 0;

	memset(view, 0, sizeof(*view));
	view->nodes = calloc(count + 1, sizeof(*view->nodes));
	view->cpus = calloc(count + 1, sizeof(*view->cpus));
	view->distance = calloc(count + 1, count + 1);
	if (!view->nodes || !view->cpus || !view->distance) {
		host_view_free(view);
		return gmig_fail(err, -ENOMEM, "no memory to look at %zu nodes", count);
	}
	gmig_node_set_each (node, online) {
		int rc = look_at_node(topology, root, node, &view->nodes[at], &view->cpus[at], err);
		size_t other_at = 0;

		if (rc) {
			host_view_free(view);
			return rc;
		}
		view->nodes[at].closed = gmig_node_set_has(closed, node);
		gmig_node_set_each (other, online)
			view->distance[at * count + other_at++] =
			    (uint8_t)gmig_topology_distance(topology, node, other);
		at++;
	}
	view->host = (struct placement_host){view->nodes, count, view->distance};
	return 0;
}

void host_view_free(struct host_view *view)
{
	free(view->nodes);
	free(view->cpus);
	free(view->distance);
	memset(view, 0, sizeof(*view));
}
