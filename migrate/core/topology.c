#include "topology.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Fake nodes ------------------------------------------------------------------------------ */

static bool has_cpu(const struct topology_cpus *cpus, unsigned int cpu)
{
	return cpus->word[cpu / 64] >> (cpu % 64) & 1;
}

/* Spread the host's CPUs over the fake nodes; with fewer CPUs than nodes, nodes share one. */
static void spread_cpus(struct gmig_topology *topology, const struct topology_cpus *host)
{
	unsigned int cpus = 0, nth = 0;

	for (unsigned int i = 0; i < TOPOLOGY_CPU_WORDS; i++)
		cpus += (unsigned int)__builtin_popcountll(host->word[i]);
	for (unsigned int cpu = 0; cpu < GMIG_MAX_CPUS && cpus; cpu++) {
		if (!has_cpu(host, cpu))
			continue;
		for (unsigned int node = nth % topology->count; node < topology->count;
		     node += cpus)
			topology->cpus[node].word[cpu / 64] |= 1ull << (cpu % 64);
		nth++;
	}
}

static int pretend(struct gmig_topology *topology, unsigned int count)
{
	struct topology_cpus host = {{0}};
	struct node_memory memory;
	unsigned int nodes;

	for (unsigned int i = 0; i < topology->count; i++)
		for (unsigned int word = 0; word < TOPOLOGY_CPU_WORDS; word++)
			host.word[word] |= topology->cpus[i].word[word];
	topology_drop_nodes(topology);
	topology->fake_nodes = count;
	topology->online = (struct gmig_node_set){{0}};
	for (unsigned int node = 0; node < count; node++)
		gmig_node_set_add(&topology->online, node);
	topology->possible = topology->online;
	topology->memory = topology->online;
	topology->allowed = topology->online;
	if (topology_add_nodes(topology))
		return -ENOMEM;
	nodes = topology->count;
	for (unsigned int a = 0; a < nodes; a++) {
		topology_node_memory(topology, a, &memory);
		topology->total_bytes[a] = memory.total;
		for (unsigned int b = 0; b < nodes; b++)
			topology->distance[(size_t)a * nodes + b] =
			    a == b ? TOPOLOGY_LOCAL : TOPOLOGY_REMOTE;
	}
	spread_cpus(topology, &host);
	return 0;
}

/* ---- Creating, holding, refreshing ----------------------------------------------------------- */

int topology_create_at(const char *root, unsigned int fake_nodes, struct gmig_topology **out,
		       struct gmig_error *err)
{
	struct gmig_topology *topology;
	int ret;

	if (fake_nodes > GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "%u fake nodes are more than %u", fake_nodes,
				 GMIG_MAX_NODES);
	if (strlen(root) >= sizeof(topology->root))
		return gmig_fail(err, -ENAMETOOLONG, "the path of the host's files is too long");
	topology = calloc(1, sizeof(*topology));
	if (!topology)
		return gmig_fail(err, -ENOMEM, "no memory for the list of nodes");
	atomic_store(&topology->refs, 1);
	topology->generation = 1;
	strcpy(topology->root, root);
	ret = topology_read(topology, err);
	if (!ret && fake_nodes && pretend(topology, fake_nodes))
		ret = gmig_fail(err, -ENOMEM, "no memory for the list of nodes");
	if (ret) {
		gmig_topology_put(topology);
		return ret;
	}
	*out = topology;
	return 0;
}

int gmig_topology_create(unsigned int fake_nodes, struct gmig_topology **out,
			 struct gmig_error *err)
{
	return topology_create_at("", fake_nodes, out, err);
}

struct gmig_topology *gmig_topology_get(struct gmig_topology *topology)
{
	/* Relaxed: the caller has a reference, so that nobody frees it meanwhile. */
	if (topology)
		atomic_fetch_add_explicit(&topology->refs, 1, memory_order_relaxed);
	return topology;
}

void gmig_topology_put(struct gmig_topology *topology)
{
	/* Acquire and release: what others read of it came before it is freed. */
	if (!topology || atomic_fetch_sub_explicit(&topology->refs, 1, memory_order_acq_rel) != 1)
		return;
	topology_drop_nodes(topology);
	free(topology);
}

static bool same_set(const struct gmig_node_set *a, const struct gmig_node_set *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static bool same_host(const struct gmig_topology *a, const struct gmig_topology *b)
{
	size_t count = a->count;

	return same_set(&a->online, &b->online) && same_set(&a->possible, &b->possible) &&
	       same_set(&a->memory, &b->memory) && same_set(&a->allowed, &b->allowed) &&
	       !memcmp(a->total_bytes, b->total_bytes, count * sizeof(*a->total_bytes)) &&
	       !memcmp(a->distance, b->distance, count * count * sizeof(*a->distance)) &&
	       !memcmp(a->cpus, b->cpus, count * sizeof(*a->cpus));
}

int gmig_topology_refresh(struct gmig_topology *topology, struct gmig_topology **out,
			  struct gmig_error *err)
{
	struct gmig_topology *fresh;
	int ret = topology_create_at(topology->root, topology->fake_nodes, &fresh, err);

	if (ret)
		return ret;
	/* Files that are not there, or nobody's to read, are a kernel without NUMA; one that had nodes has them still. */
	if (fresh->flat && !topology->flat && !topology->fake_nodes && topology->count > 1) {
		gmig_topology_put(fresh);
		return gmig_fail(
		    err, -EIO,
		    "this host has %u nodes, and %.200s/sys/devices/system/node does not "
		    "show them any more",
		    topology->count, topology->root);
	}
	if (same_host(topology, fresh)) {
		gmig_topology_put(fresh);
		fresh = gmig_topology_get(topology);
	} else {
		fresh->generation = topology->generation + 1;
	}
	*out = fresh;
	return 0;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

uint64_t gmig_topology_generation(const struct gmig_topology *topology)
{
	return topology->generation;
}

bool gmig_topology_is_fake(const struct gmig_topology *topology)
{
	return topology->fake_nodes;
}

const struct gmig_node_set *gmig_topology_nodes(const struct gmig_topology *topology)
{
	return &topology->memory;
}

const struct gmig_node_set *gmig_topology_online(const struct gmig_topology *topology)
{
	return &topology->online;
}

const struct gmig_node_set *gmig_topology_possible(const struct gmig_topology *topology)
{
	return &topology->possible;
}

const struct gmig_node_set *gmig_topology_allowed(const struct gmig_topology *topology)
{
	return &topology->allowed;
}

static bool is_online(const struct gmig_topology *topology, unsigned int node)
{
	return gmig_node_set_has(&topology->online, node);
}

unsigned int gmig_topology_distance(const struct gmig_topology *topology, unsigned int a,
				    unsigned int b)
{
	if (!is_online(topology, a) || !is_online(topology, b))
		return 0;
	return topology->distance[(size_t)topology->rank[a] * topology->count + topology->rank[b]];
}

unsigned int gmig_topology_nearest(const struct gmig_topology *topology, unsigned int node,
				   const struct gmig_node_set *among)
{
	unsigned int best = GMIG_NO_NODE, best_distance = UINT_MAX;

	if (gmig_node_set_has(among, node))
		return node;
	gmig_node_set_each (other, among) {
		unsigned int distance = gmig_topology_distance(topology, node, other);

		/* Of a node that is not there nothing is known: all are equally far. */
		if (!distance)
			distance = UINT8_MAX;
		if (distance < best_distance) {
			best = other;
			best_distance = distance;
		}
	}
	return best;
}

uint64_t gmig_topology_total_bytes(const struct gmig_topology *topology, unsigned int node)
{
	return is_online(topology, node) ? topology->total_bytes[topology->rank[node]] : 0;
}

int gmig_topology_room(const struct gmig_topology *topology, unsigned int node,
		       uint64_t *free_bytes, uint64_t *cache_bytes)
{
	struct node_memory memory = {0};
	int ret =
	    is_online(topology, node) ? topology_node_memory(topology, node, &memory) : -ENODEV;

	*free_bytes = memory.free;
	*cache_bytes = memory.cache;
	return ret;
}

uint64_t gmig_topology_free_bytes(const struct gmig_topology *topology, unsigned int node)
{
	uint64_t free_bytes, cache_bytes;

	gmig_topology_room(topology, node, &free_bytes, &cache_bytes);
	return free_bytes;
}

uint64_t gmig_topology_cache_bytes(const struct gmig_topology *topology, unsigned int node)
{
	uint64_t free_bytes, cache_bytes;

	gmig_topology_room(topology, node, &free_bytes, &cache_bytes);
	return cache_bytes;
}

void gmig_topology_cpus(const struct gmig_topology *topology, unsigned int node, uint64_t *mask,
			size_t words)
{
	memset(mask, 0, words * sizeof(*mask));
	if (is_online(topology, node))
		memcpy(mask, topology->cpus[topology->rank[node]].word,
		       (words < TOPOLOGY_CPU_WORDS ? words : TOPOLOGY_CPU_WORDS) * sizeof(*mask));
}

/* ---- May memory be put there? ---------------------------------------------------------------- */

#define SET_TEXT 64 /* of a set in an error's text */

int topology_check_possible(const struct gmig_topology *topology, unsigned int node,
			    const char *what, struct gmig_error *err)
{
	char text[SET_TEXT];

	if (gmig_node_set_has(&topology->possible, node))
		return 0;
	return gmig_fail(err, -ENODEV, "%s cannot exist on this host, which has room for %s", what,
			 gmig_node_set_print(&topology->possible, text, sizeof(text)));
}

int topology_check_target(const struct gmig_topology *topology, const struct gmig_node_set *allowed,
			  unsigned int node, const char *what, struct gmig_error *err)
{
	char text[SET_TEXT];
	int ret = topology_check_possible(topology, node, what, err);

	if (ret)
		return ret;
	if (!is_online(topology, node))
		return gmig_fail(err, -ENODEV, "%s is offline", what);
	if (!gmig_node_set_has(&topology->memory, node))
		return gmig_fail(err, -ENODEV, "%s has no memory", what);
	if (!allowed)
		allowed = &topology->allowed;
	if (!gmig_node_set_has(allowed, node))
		return gmig_fail(err, -EACCES,
				 "%s is outside the cpuset, which allows memory on %s only", what,
				 gmig_node_set_print(allowed, text, sizeof(text)));
	return 0;
}
