/* What a caller gave, checked before anything is counted with it. */
#include "input.h"

#include <errno.h>

/* Sums of pages times millionths stay within 63 bits. */
#define MOST_BYTES (1ull << 52)
#define MOST_MILLI 1000000000u
#define MOST_CPUS  65535u

static int check_node(const struct placement_node *node, struct gmig_error *err)
{
	if (node->id >= GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "node %u: ids go to %u", node->id,
				 GMIG_MAX_NODES - 1);
	if (node->total_bytes > MOST_BYTES || node->busy_milli > MOST_MILLI)
		return gmig_fail(err, -EINVAL, "node %u has more memory or CPU time than any host",
				 node->id);
	for (unsigned int p = 0; p < PLACEMENT_PAGES; p++)
		if (node->free_bytes[p] > node->total_bytes)
			return gmig_fail(err, -EINVAL,
					 "node %u has more free %s memory than memory", node->id,
					 placement_page_name(p));
	return 0;
}

static int check_host(const struct placement_host *host, struct gmig_error *err)
{
	struct gmig_node_set seen = {{0}};

	if (!host->node_count || host->node_count > GMIG_MAX_NODES)
		return gmig_fail(err, -EINVAL, "a host has 1 to %u nodes, not %zu", GMIG_MAX_NODES,
				 host->node_count);
	for (size_t i = 0; i < host->node_count; i++) {
		int rc = check_node(&host->nodes[i], err);

		if (rc)
			return rc;
		if (gmig_node_set_has(&seen, host->nodes[i].id))
			return gmig_fail(err, -EINVAL, "node %u is in the list twice",
					 host->nodes[i].id);
		gmig_node_set_add(&seen, host->nodes[i].id);
	}
	for (size_t i = 0; i < host->node_count * host->node_count; i++)
		if (!host->distance[i])
			return gmig_fail(err, -EINVAL, "nodes %u and %u have no distance",
					 host->nodes[i / host->node_count].id,
					 host->nodes[i % host->node_count].id);
	return 0;
}

static bool known(const struct placement_host *host, unsigned int id)
{
	for (size_t i = 0; i < host->node_count; i++)
		if (host->nodes[i].id == id)
			return true;
	return false;
}

static int check_ram(const struct gmig_node_set *nodes, const struct placement_ram *ram,
		     size_t guest, struct gmig_error *err)
{
	uint64_t bytes = placement_page_bytes(ram->page);

	if (!bytes)
		return gmig_fail(err, -EINVAL, "guest %zu: no such page size", guest);
	if (!gmig_node_set_has(nodes, ram->node))
		return gmig_fail(err, -EINVAL,
				 "guest %zu has memory on node %u, which the host has not", guest,
				 ram->node);
	if (ram->bytes % bytes || ram->locked_bytes % bytes)
		return gmig_fail(err, -EINVAL, "guest %zu has a part of a %s page on node %u",
				 guest, placement_page_name(ram->page), ram->node);
	if (ram->locked_bytes > ram->bytes)
		return gmig_fail(err, -EINVAL,
				 "guest %zu has more memory locked than there on node %u", guest,
				 ram->node);
	return 0;
}

static int check_guest(const struct gmig_node_set *nodes, const struct placement_guest *guest,
		       size_t index, uint64_t *total, struct gmig_error *err)
{
	if (!guest->name)
		return gmig_fail(err, -EINVAL, "guest %zu has no name", index);
	if (guest->vcpus > MOST_CPUS)
		return gmig_fail(err, -EINVAL, "guest %zu has more than %u vCPUs", index,
				 MOST_CPUS);
	if (guest->goal > PLACEMENT_SPREAD)
		return gmig_fail(err, -EINVAL, "guest %zu has no such goal", index);
	for (size_t i = 0; i < guest->ram_count; i++) {
		int rc = check_ram(nodes, &guest->ram[i], index, err);

		if (rc)
			return rc;
		if (guest->ram[i].bytes > MOST_BYTES - *total)
			return gmig_fail(err, -EINVAL, "the guests have more memory than any host");
		*total += guest->ram[i].bytes;
	}
	for (size_t i = 0; i < guest->time_count; i++) {
		const struct placement_time *time = &guest->time[i];

		if (time->vcpu >= guest->vcpus)
			return gmig_fail(err, -EINVAL, "guest %zu: vCPU %u ran, of %u", index,
					 time->vcpu, guest->vcpus);
		if (!gmig_node_set_has(nodes, time->node) || time->milli > MOST_MILLI)
			return gmig_fail(err, -EINVAL, "guest %zu: vCPU %u ran %u milli on node %u",
					 index, time->vcpu, time->milli, time->node);
	}
	return 0;
}

int input_check(const struct placement_host *host, const struct placement_guest *guests,
		size_t count, const struct placement_options *options, struct gmig_error *err)
{
	struct gmig_node_set nodes = {{0}};
	uint64_t total = 0;
	int rc = check_host(host, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < host->node_count; i++)
		gmig_node_set_add(&nodes, host->nodes[i].id);
	for (size_t i = 0; !rc && i < count; i++)
		rc = check_guest(&nodes, &guests[i], i, &total, err);
	if (rc)
		return rc;
	gmig_node_set_each (id, &options->drain)
		if (!known(host, id))
			return gmig_fail(err, -EINVAL,
					 "node %u is to be emptied, and the host has none", id);
	if (options->hold_seconds && !options->history)
		return gmig_fail(err, -EINVAL, "a hold time needs a history");
	if (options->threshold > 100 || options->margin > 100 || options->min_gain > 100 ||
	    options->max_loss > 100 || options->move_cost > 1000)
		return gmig_fail(err, -EINVAL, "points go from 0 to 100");
	return 0;
}
