/*
 * What others do, by the rules that their sources and manuals give; docs/placement.md names these, and says what was left out.
 */
#include "sim.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIB 1048576.
#define GIB (1024 * MIB)

static unsigned int nodes_of(const struct sim *sim)
{
	return (unsigned int)sim->fleet.host.node_count;
}

static unsigned int distance(const struct sim *sim, unsigned int from, unsigned int to)
{
	return sim->fleet.distance[(size_t)from * nodes_of(sim) + to];
}

static double memory_free(const struct sim *sim, unsigned int rank)
{
	return (double)sim_free(sim, rank, PLACEMENT_4K) +
	       (double)sim_free(sim, rank, PLACEMENT_2M) +
	       (double)sim_free(sim, rank, PLACEMENT_1G);
}

/* ---- numad ----------------------------------------------------------------------------------- */

#define NUMAD_UTILIZATION 0.85
#define NUMAD_LOCALITY	  90 /* percent */
#define NUMAD_LEAST_MIB	  300
#define NUMAD_DELAY	  300 /* seconds until a process that was bound is looked at again */
#define NUMAD_MARGIN_MIB  100
#define NUMAD_SCANS	  20 /* of 15 seconds, in a step; each moves one process at most */

struct numad_node {
	unsigned int rank;
	double mib, cpus; /* free, with what the process has */
	double magnitude;
};

static double magnitude(double want_mib, double want_cpus, const struct numad_node *node)
{
	double mib = fmin(node->mib, want_mib), cpus = fmin(node->cpus, want_cpus);

	return (10 * mib + 4 * (node->mib - mib)) * (6 * cpus + (node->cpus - cpus));
}

/* Nodes as the process sees them: with what it uses itself added back, and a bias for where it is. */
static void numad_look(const struct sim *sim, size_t guest, double want_mib, double want_cpus,
		       struct numad_node *nodes)
{
	const struct sim_guest *of = &sim->of[guest];
	unsigned int n = nodes_of(sim), bound = gmig_node_set_count(&of->bound);
	double used = sim_guest_load(sim, guest), all = (double)sim_bytes(sim, guest, n),
	       mean = used;

	gmig_node_set_each (k, &of->bound)
		mean += fmax(sim_cpus(sim, k) - sim_load(sim, k), 0);
	for (unsigned int k = 0; k < n; k++) {
		double own = (double)sim_bytes(sim, guest, k);
		struct numad_node *node = &nodes[k];

		*node = (struct numad_node){.rank = k,
					    .mib = memory_free(sim, k) / MIB,
					    .cpus = fmax(sim_cpus(sim, k) - sim_load(sim, k), 0)};
		if (!bound || bound >= n) {
			node->mib += own / MIB * 17 / 16;
			node->cpus += used * own / all;
		} else {
			node->mib += own / MIB * 5 / 4;
			if (gmig_node_set_has(&of->bound, k))
				node->cpus = mean / bound;
		}
		node->mib = fmin(node->mib, (double)sim->fleet.nodes[k].total_bytes / MIB);
		node->cpus = fmax(fmin(node->cpus, sim_cpus(sim, k)), 0.01);
		node->magnitude = magnitude(want_mib, want_cpus, node);
	}
}

/* Nearest to `centre` first; of those as near, the one with more to offer. */
static void numad_sort(const struct sim *sim, struct numad_node *nodes, unsigned int centre)
{
	for (unsigned int i = 0; i < nodes_of(sim); i++)
		for (unsigned int j = i + 1; j < nodes_of(sim); j++) {
			unsigned int first = distance(sim, nodes[i].rank, centre);
			unsigned int second = distance(sim, nodes[j].rank, centre);
			struct numad_node other = nodes[i];

			if (second > first ||
			    (second == first && nodes[j].magnitude <= nodes[i].magnitude))
				continue;
			nodes[i] = nodes[j];
			nodes[j] = other;
		}
}

static unsigned int numad_centre(const struct sim *sim, struct numad_node *nodes,
				 unsigned int least)
{
	unsigned int best = 0;
	double most = -1;

	for (unsigned int k = 0; k < nodes_of(sim); k++) {
		double sum = 0;

		numad_sort(sim, nodes, k);
		for (unsigned int i = 0; i < least; i++)
			sum += nodes[i].magnitude / pow(distance(sim, nodes[i].rank, k), 2);
		if (sum <= most)
			continue;
		most = sum;
		best = k;
	}
	return best;
}

/* The nodes for a process; their number. */
static size_t numad_pick(const struct sim *sim, size_t guest, uint16_t *targets)
{
	unsigned int n = nodes_of(sim), least;
	double mib = (double)sim_bytes(sim, guest, n) / MIB / NUMAD_UTILIZATION;
	double cpus =
	    fmin(sim_guest_load(sim, guest) / NUMAD_UTILIZATION, sim->fleet.guests[guest].vcpus);
	double flex = (1 - NUMAD_UTILIZATION) / 2 * sim_cpus(sim, 0);
	struct numad_node nodes[GMIG_MAX_NODES];
	size_t count = 0;

	numad_look(sim, guest, mib, cpus, nodes);
	least = (unsigned int)fmax(ceil(mib * MIB / (double)sim->fleet.nodes[0].total_bytes),
				   ceil((cpus - flex) / sim_cpus(sim, 0)));
	least = least < 1 ? 1 : least > n ? n : least;
	numad_sort(sim, nodes, numad_centre(sim, nodes, least));
	while (count < n && (count < least || mib > 0 || cpus > flex)) {
		mib -= fmin(mib, fmax(nodes[count].mib - NUMAD_MARGIN_MIB, 0));
		cpus -= fmin(cpus, nodes[count].cpus);
		targets[count] = (uint16_t)nodes[count].rank;
		count++;
	}
	return count;
}

static bool numad_is_there(const struct sim *sim, size_t guest, const struct gmig_node_set *targets)
{
	double outside = 0;

	for (unsigned int k = 0; k < nodes_of(sim); k++)
		if (!gmig_node_set_has(targets, k))
			outside += (double)sim_bytes(sim, guest, k);
	return outside * 100 <=
		   (100 - NUMAD_LOCALITY) * (double)sim_bytes(sim, guest, nodes_of(sim)) &&
	       !memcmp(targets, &sim->of[guest].bound, sizeof(*targets));
}

/* Not bound yet: the largest product of CPUs and memory first. Bound: the one that was longest not looked at. */
static size_t numad_next(const struct sim *sim, const bool *looked)
{
	uint64_t now = sim->step * SIM_STEP_SECONDS;
	size_t best = SIZE_MAX;
	double best_rank = -INFINITY;

	for (size_t g = 0; g < sim->fleet.count; g++) {
		bool bound = !gmig_node_set_empty(&sim->of[g].bound);
		double mib = (double)sim_bytes(sim, g, nodes_of(sim)) / MIB, rank;

		if (looked[g] || mib < NUMAD_LEAST_MIB ||
		    (bound && !sim->again && now - sim->of[g].bound_at_seconds < NUMAD_DELAY))
			continue;
		rank =
		    bound ? -(double)sim->of[g].bound_at_seconds - 1 : mib * sim_guest_load(sim, g);
		if (rank <= best_rank)
			continue;
		best_rank = rank;
		best = g;
	}
	return best;
}

static int numad_scan(struct sim *sim, bool *looked, bool *moved)
{
	uint16_t targets[GMIG_MAX_NODES];
	size_t guest;

	*moved = false;
	while ((guest = numad_next(sim, looked)) != SIZE_MAX) {
		struct gmig_node_set set = {{0}};
		size_t count = numad_pick(sim, guest, targets);

		looked[guest] = true;
		for (size_t i = 0; i < count; i++)
			gmig_node_set_add(&set, targets[i]);
		sim->of[guest].bound_at_seconds = sim->step * SIM_STEP_SECONDS;
		if (numad_is_there(sim, guest, &set))
			continue;
		sim->of[guest].bound = set;
		sim_pin(sim, guest, targets, count);
		*moved = true;
		return sim_gather(sim, guest, targets, count);
	}
	return 0;
}

int sim_numad(struct sim *sim)
{
	bool *looked = calloc(sim->fleet.count + 1, sizeof(*looked)), moved = true;
	int rc = looked ? 0 : -ENOMEM;

	for (unsigned int scan = 0; !rc && moved && scan < NUMAD_SCANS; scan++)
		rc = numad_scan(sim, looked, &moved);
	free(looked);
	return rc;
}

/* ---- ESXi ------------------------------------------------------------------------------------ */

#define ESXI_IMBALANCE 0.1 /* Numa.MigImbalanceThreshold: 10 percent */
#define ESXI_PERIODS   150 /* of 2 seconds (Numa.RebalancePeriod), in a step */

static double busy(const struct sim *sim, unsigned int rank)
{
	double cpus = sim_cpus(sim, rank);

	return cpus > 0 ? sim_load(sim, rank) / cpus : INFINITY;
}

/* The guest of the busiest node that makes it more even on the idlest one, and has most memory there. */
static size_t esxi_choose(const struct sim *sim, unsigned int from, unsigned int to)
{
	double gap = busy(sim, from) - busy(sim, to), best_bytes = -1;
	size_t best = SIZE_MAX;

	for (size_t g = 0; g < sim->fleet.count; g++) {
		double load = sim_guest_load(sim, g) / sim_cpus(sim, to);
		double bytes = (double)sim_bytes(sim, g, to);

		if (sim_home(sim, g) != from || load <= 0 || load >= gap || bytes <= best_bytes ||
		    sim->fleet.guests[g].vcpus > sim_cpus(sim, to))
			continue;
		best = g;
		best_bytes = bytes;
	}
	return best;
}

static bool esxi_balance(struct sim *sim)
{
	unsigned int from = 0, to = 0;
	uint16_t target;
	size_t guest;

	for (unsigned int k = 0; k < nodes_of(sim); k++) {
		if (sim_cpus(sim, k) <= 0)
			continue;
		from = busy(sim, k) > busy(sim, from) ? k : from;
		to = busy(sim, k) < busy(sim, to) ? k : to;
	}
	if (busy(sim, from) - busy(sim, to) < ESXI_IMBALANCE)
		return false;
	guest = esxi_choose(sim, from, to);
	if (guest == SIZE_MAX)
		return false;
	target = (uint16_t)to;
	sim_pin(sim, guest, &target, 1);
	return true;
}

/* Memory always follows to the home node, at a rate that five minutes suffice for. */
int sim_esxi(struct sim *sim)
{
	int rc = 0;

	for (unsigned int period = 0; period < ESXI_PERIODS && esxi_balance(sim); period++)
		;
	for (size_t g = 0; !rc && g < sim->fleet.count; g++) {
		uint16_t home = (uint16_t)sim_home(sim, g);

		rc = sim_gather(sim, g, &home, 1);
	}
	return rc;
}

/* ---- DPO ------------------------------------------------------------------------------------- */

#define DPO_SCORE  90 /* both are the administrator's choice; IBM gives no defaults */
#define DPO_DELTA  5
#define DPO_PASSES 4 /* what found no room is tried again when others have left */

struct dpo {
	double bytes;
	size_t guest;
	uint16_t targets[64];
	size_t count;
};

static int by_size(const void *a, const void *b)
{
	const struct dpo *left = a, *right = b;

	return left->bytes > right->bytes ? -1 : left->bytes < right->bytes;
}

/* The node with the most room; among those on which the whole guest fits, the one that has most of it already. */
static unsigned int dpo_node(const struct sim *sim, const struct dpo *dpo, double left,
			     const double *room, const double *cpus)
{
	unsigned int best = nodes_of(sim);
	double best_rank = -INFINITY, need = sim_guest_load(sim, dpo->guest);

	for (unsigned int k = 0; k < nodes_of(sim); k++) {
		bool fits = room[k] >= left && cpus[k] >= need;
		double rank = fits ? 1e18 + (double)sim_bytes(sim, dpo->guest, k) : room[k];

		for (size_t i = 0; i < dpo->count; i++)
			if (dpo->targets[i] == k)
				rank = -INFINITY;
		if (sim_cpus(sim, k) <= 0 || room[k] <= 0 || rank <= best_rank)
			continue;
		best = k;
		best_rank = rank;
	}
	return best;
}

/* A new layout of the whole server, the largest partitions first. Returns the share that will be local. */
static double dpo_lay_out(const struct sim *sim, struct dpo *dpo)
{
	double room[GMIG_MAX_NODES], cpus[GMIG_MAX_NODES], local = 0, all = 0;

	for (unsigned int k = 0; k < nodes_of(sim); k++) {
		room[k] = memory_free(sim, k);
		cpus[k] = sim_cpus(sim, k);
		for (size_t g = 0; g < sim->fleet.count; g++)
			room[k] += (double)sim_bytes(sim, g, k);
	}
	for (size_t g = 0; g < sim->fleet.count; g++)
		dpo[g] = (struct dpo){(double)sim_bytes(sim, g, nodes_of(sim)), g, {0}, 0};
	qsort(dpo, sim->fleet.count, sizeof(*dpo), by_size);
	for (size_t g = 0; g < sim->fleet.count; g++) {
		/* Never more vCPUs on a node than CPUs: a wide partition has a part of its memory on each of several. */
		double parts = ceil(sim->fleet.guests[dpo[g].guest].vcpus / sim_cpus(sim, 0));
		double left = dpo[g].bytes, most = left / fmax(parts, 1);

		while (left > 0 && dpo[g].count < 64) {
			unsigned int k = dpo_node(sim, &dpo[g], fmin(left, most), room, cpus);
			double taken;

			if (k == nodes_of(sim))
				break;
			taken = fmin(fmin(left, most), room[k]);
			room[k] -= taken;
			cpus[k] -= dpo[g].count ? 0 : sim_guest_load(sim, dpo[g].guest);
			left -= taken;
			dpo[g].targets[dpo[g].count++] = (uint16_t)k;
		}
		/* vCPUs run on all nodes of a partition alike. */
		local += dpo[g].bytes / (double)(dpo[g].count ? dpo[g].count : 1);
		all += dpo[g].bytes;
	}
	return all > 0 ? local / all : 1;
}

int sim_dpo(struct sim *sim)
{
	struct dpo *dpo = calloc(sim->fleet.count + 1, sizeof(*dpo));
	double now = 100 * (1 - sim_remote(sim, SIZE_MAX));
	int rc = dpo ? 0 : -ENOMEM;

	if (rc || now > DPO_SCORE || 100 * dpo_lay_out(sim, dpo) - now < DPO_DELTA) {
		free(dpo);
		return rc;
	}
	for (unsigned int pass = 0; !rc && pass < DPO_PASSES; pass++)
		for (size_t i = 0; !rc && i < sim->fleet.count; i++) {
			if (!dpo[i].count)
				continue;
			sim_pin(sim, dpo[i].guest, dpo[i].targets, dpo[i].count);
			rc = sim_gather(sim, dpo[i].guest, dpo[i].targets, dpo[i].count);
		}
	free(dpo);
	return rc;
}
