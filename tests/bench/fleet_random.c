/* Random hosts and guests. */
#include "fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

const struct fleet_shape fleet_plain = {
    .min_nodes = 2,
    .max_nodes = 8,
    .min_guests = 4,
    .max_guests = 40,
    .min_node_bytes = 64 * GIB,
    .max_node_bytes = 512 * GIB,
    .node_cpus = 64,
    .full = 70,
    .keep_free = 2,
    .huge = 25,
    .vnodes = 10,
    .scattered = 30,
};

const struct fleet_shape fleet_odd = {
    .min_nodes = 1,
    .max_nodes = 16,
    .min_guests = 1,
    .max_guests = 24,
    .min_node_bytes = 8 * GIB,
    .max_node_bytes = 128 * GIB,
    .node_cpus = 16,
    .full = 80,
    .odd_nodes = 15,
    .odd_distances = 50,
    .huge = 40,
    .vnodes = 25,
    .scattered = 50,
    .unmanaged = 10,
    .protect = 10,
    .locked = 10,
    .goals = true,
};

/* ---- The host -------------------------------------------------------------------------------- */

static void add_cpus(struct fleet *fleet, struct fleet_random *random, unsigned int rank,
		     unsigned int *next, const struct fleet_shape *shape)
{
	unsigned int count = (unsigned int)fleet_between(random, 1, shape->node_cpus);
	bool promises = fleet_chance(random, shape->odd_nodes);

	/* As sold: all nodes alike. */
	if (!shape->odd_nodes)
		count = shape->node_cpus;
	for (unsigned int i = 0; i < count && *next < PLACEMENT_MAX_CPUS; i++, (*next)++) {
		fleet->cpus[rank].word[*next / 64] |= 1ull << *next % 64;
		if (promises && fleet_chance(random, 50))
			fleet->promised[rank].word[*next / 64] |= 1ull << *next % 64;
	}
}

static void add_memory(struct placement_node *node, struct fleet_random *random, uint64_t bytes,
		       unsigned int huge)
{
	uint64_t pool = bytes * huge / 100 / GIB * GIB;

	node->total_bytes = bytes;
	if (pool && fleet_chance(random, 50)) {
		node->free_bytes[PLACEMENT_1G] = pool / 2 / GIB * GIB;
		pool -= node->free_bytes[PLACEMENT_1G];
	}
	node->free_bytes[PLACEMENT_2M] = pool;
	node->free_bytes[PLACEMENT_4K] = bytes - pool - node->free_bytes[PLACEMENT_1G];
	node->reserved_bytes = fleet_between(random, 0, bytes / 50 / MIB) * MIB;
}

static void add_nodes(struct fleet *fleet, struct fleet_random *random,
		      const struct fleet_shape *shape)
{
	unsigned int id = 0, cpu = 0, n = (unsigned int)fleet->host.node_count;
	uint64_t same =
	    fleet_between(random, shape->min_node_bytes / GIB, shape->max_node_bytes / GIB);

	for (unsigned int k = 0; k < n; k++) {
		bool memoryless = k && fleet_chance(random, shape->odd_nodes);
		bool cpuless = k && !memoryless && fleet_chance(random, shape->odd_nodes);
		uint64_t gib = shape->odd_nodes ? fleet_between(random, shape->min_node_bytes / GIB,
								shape->max_node_bytes / GIB)
						: same;

		fleet->nodes[k].id = id;
		id += 1 + (fleet_chance(random, shape->odd_nodes)
			       ? (unsigned int)fleet_between(random, 1, 60)
			       : 0);
		if (!cpuless)
			add_cpus(fleet, random, k, &cpu, shape);
		if (!memoryless)
			add_memory(&fleet->nodes[k], random, gib * GIB, shape->huge);
		if (fleet_chance(random, shape->odd_nodes))
			fleet->nodes[k].busy_milli = fleet_between(random, 0, 4000);
	}
}

/* Two levels: nodes of a socket are nearer; or whatever firmware may say. */
static void add_distances(struct fleet *fleet, struct fleet_random *random,
			  const struct fleet_shape *shape)
{
	size_t n = fleet->host.node_count;
	bool odd = fleet_chance(random, shape->odd_distances);
	size_t socket = fleet_chance(random, 50) ? 2 : 4;

	for (size_t a = 0; a < n; a++)
		for (size_t b = 0; b < n; b++) {
			uint8_t *d = &fleet->distance[a * n + b];

			if (a == b)
				*d = 10;
			else if (odd)
				*d = fleet_chance(random, 2)
					 ? PLACEMENT_UNREACHED
					 : (uint8_t)fleet_between(random, 11, 60);
			else if (n > 2)
				*d = a / socket == b / socket ? 12 : 32;
			else
				*d = 21;
		}
}

/* ---- Guests ---------------------------------------------------------------------------------- */

static unsigned int any_with_cpus(const struct fleet *fleet, struct fleet_random *random)
{
	unsigned int n = (unsigned int)fleet->host.node_count;
	unsigned int start = (unsigned int)fleet_between(random, 0, n - 1);

	for (unsigned int i = 0; i < n; i++) {
		const struct placement_cpus *cpus = &fleet->cpus[(start + i) % n];

		for (unsigned int w = 0; w < PLACEMENT_CPU_WORDS; w++)
			if (cpus->word[w])
				return (start + i) % n;
	}
	return 0;
}

/* Bytes on a node and those after it, as far as there is room. */
static int take(struct fleet *fleet, const struct fleet_shape *shape, size_t guest,
		unsigned int rank, unsigned int vnode, enum placement_page page, uint64_t bytes,
		bool locked)
{
	unsigned int n = (unsigned int)fleet->host.node_count;
	uint64_t unit = placement_page_bytes(page);
	int rc = 0;

	for (unsigned int i = 0; !rc && bytes && i < n; i++) {
		const struct placement_node *node = &fleet->nodes[(rank + i) % n];
		uint64_t keep = node->total_bytes / 100 * shape->keep_free;
		uint64_t reserve = page == PLACEMENT_4K ? node->reserved_bytes + keep : keep / 4;
		uint64_t there =
		    node->free_bytes[page] > reserve ? node->free_bytes[page] - reserve : 0;
		uint64_t taken = there / unit * unit;

		taken = taken < bytes ? taken : bytes;
		if (taken)
			rc = fleet_add_ram(fleet, guest, (rank + i) % n, vnode, page, taken,
					   locked ? taken : 0);
		bytes -= taken;
	}
	return rc;
}

static enum placement_page any_page(struct fleet_random *random, const struct fleet_shape *shape)
{
	if (!fleet_chance(random, shape->huge))
		return PLACEMENT_4K;
	return fleet_chance(random, 70) ? PLACEMENT_2M : PLACEMENT_1G;
}

static void set_rules(struct fleet *fleet, struct fleet_random *random,
		      const struct fleet_shape *shape, struct placement_guest *guest)
{
	guest->managed = !fleet_chance(random, shape->unmanaged);
	guest->protect = fleet_chance(random, shape->protect);
	if (!shape->goals)
		return;
	guest->goal = (enum placement_goal)fleet_between(random, PLACEMENT_NONE, PLACEMENT_SPREAD);
	guest->keep_vcpus = fleet_chance(random, 20);
	if (fleet_chance(random, 30))
		for (size_t k = 0; k < fleet->host.node_count; k++)
			if (fleet_chance(random, 50))
				gmig_node_set_add(&guest->allowed, fleet->nodes[k].id);
}

/* A vnode's vCPUs run on one node, or on any; its memory lies there, elsewhere, or anywhere. */
static int add_vnode(struct fleet *fleet, struct fleet_random *random,
		     const struct fleet_shape *shape, size_t guest, unsigned int vnode,
		     unsigned int first, unsigned int end, uint64_t bytes)
{
	enum placement_page page = any_page(random, shape);
	unsigned int cpus = any_with_cpus(fleet, random), memory = cpus;
	uint64_t unit = placement_page_bytes(page);
	bool roams = fleet_chance(random, 15), locked = fleet_chance(random, shape->locked);
	int rc = 0;

	bytes = bytes / unit * unit;
	if (fleet_chance(random, shape->scattered))
		memory = (unsigned int)fleet_between(random, 0, fleet->host.node_count - 1);
	if (fleet_chance(random, shape->scattered)) {
		uint64_t part = fleet_between(random, 0, bytes / unit) * unit;

		rc = take(fleet, shape, guest,
			  (unsigned int)fleet_between(random, 0, fleet->host.node_count - 1), vnode,
			  page, part, false);
		bytes -= part;
	}
	if (!rc)
		rc = take(fleet, shape, guest, memory, vnode, page, bytes, locked);
	for (unsigned int v = first; !rc && v < end; v++)
		for (unsigned int i = 0; !rc && i < 1u + roams; i++)
			rc = fleet_add_time(fleet, guest, v,
					    roams ? any_with_cpus(fleet, random) : cpus,
					    (unsigned int)fleet_between(random, 0, 400));
	return rc;
}

static int add_guest(struct fleet *fleet, struct fleet_random *random,
		     const struct fleet_shape *shape, uint64_t bytes)
{
	unsigned int vcpus = 1u << fleet_between(random, 0, 4), vnodes = 1;
	size_t index = fleet->count;
	struct placement_guest *guest;
	char name[32];
	int rc = 0;

	snprintf(name, sizeof(name), "guest%zu", index);
	guest = fleet_add(fleet, name, vcpus);
	if (!guest)
		return -ENOMEM;
	set_rules(fleet, random, shape, guest);
	if (vcpus > 1 && fleet_chance(random, shape->vnodes)) {
		uint16_t *vnode_of = calloc(vcpus, sizeof(*vnode_of));

		if (!vnode_of)
			return -ENOMEM;
		vnodes = 2;
		for (unsigned int v = vcpus / 2; v < vcpus; v++)
			vnode_of[v] = 1;
		guest->vnode_of = vnode_of;
	}
	for (unsigned int v = 0; !rc && v < vnodes; v++)
		rc = add_vnode(fleet, random, shape, index, vnodes == 1 ? PLACEMENT_NO_VNODE : v,
			       v * vcpus / vnodes, (v + 1) * vcpus / vnodes, bytes / vnodes);
	return rc;
}

int fleet_create(struct fleet *fleet, const struct fleet_shape *shape, uint64_t seed)
{
	struct fleet_random random = {seed};
	uint64_t all = 0, mean;
	size_t guests;
	int rc = fleet_init(fleet, fleet_between(&random, shape->min_nodes, shape->max_nodes));

	if (rc)
		return rc;
	add_nodes(fleet, &random, shape);
	add_distances(fleet, &random, shape);
	for (size_t k = 0; k < fleet->host.node_count; k++)
		all += fleet->nodes[k].total_bytes;
	guests = fleet_between(&random, shape->min_guests, shape->max_guests);
	mean = all / 100 * shape->full / guests;
	for (size_t i = 0; !rc && i < guests; i++)
		rc = add_guest(fleet, &random, shape,
			       fleet_between(&random, 256, mean * 2 / MIB + 256) * MIB);
	if (rc)
		fleet_destroy(fleet);
	return rc;
}
