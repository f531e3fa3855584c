/* What policies ask of a simulated host, and what they do to it. */
#include "sim.h"

#define GIB (1ull << 30)

/* ---- What policies ask ----------------------------------------------------------------------- */

uint64_t sim_bytes(const struct sim *sim, size_t index, unsigned int rank)
{
	const struct placement_guest *guest = &sim->fleet.guests[index];
	uint64_t bytes = 0;

	for (size_t i = 0; i < guest->ram_count; i++)
		if (rank >= sim->fleet.host.node_count ||
		    guest->ram[i].node == sim->fleet.nodes[rank].id)
			bytes += guest->ram[i].bytes;
	return bytes;
}

uint64_t sim_free(const struct sim *sim, unsigned int rank, enum placement_page page)
{
	const struct placement_node *node = &sim->fleet.nodes[rank];
	uint64_t reserve = page == PLACEMENT_4K ? node->reserved_bytes : 0;

	return node->free_bytes[page] > reserve ? node->free_bytes[page] - reserve : 0;
}

double sim_cpus(const struct sim *sim, unsigned int rank)
{
	struct placement_cpus open;
	unsigned int count = 0;

	placement_open_cpus(&sim->fleet.nodes[rank], &open);
	for (unsigned int i = 0; i < PLACEMENT_CPU_WORDS; i++)
		count += (unsigned int)__builtin_popcountll(open.word[i]);
	return count;
}

double sim_guest_load(const struct sim *sim, size_t index)
{
	const struct placement_guest *guest = &sim->fleet.guests[index];
	double milli = 0;

	for (size_t i = 0; i < guest->time_count; i++)
		milli += guest->time[i].milli;
	return milli / 1000;
}

double sim_load(const struct sim *sim, unsigned int rank)
{
	double milli = 0;

	for (size_t g = 0; g < sim->fleet.count; g++)
		for (size_t i = 0; i < sim->fleet.guests[g].time_count; i++)
			if (sim->fleet.guests[g].time[i].node == sim->fleet.nodes[rank].id)
				milli += sim->fleet.guests[g].time[i].milli;
	return milli / 1000;
}

/* The share of vCPU time spent on a node, of those that use this vnode. */
static double time_share(const struct placement_guest *guest, unsigned int vnode, unsigned int id)
{
	double here = 0, all = 0;

	for (size_t i = 0; i < guest->time_count; i++) {
		const struct placement_time *time = &guest->time[i];

		if (vnode != PLACEMENT_NO_VNODE && guest->vnode_of &&
		    guest->vnode_of[time->vcpu] != vnode)
			continue;
		all += time->milli + 1;
		here += time->node == id ? time->milli + 1 : 0;
	}
	return all > 0 ? here / all : 1;
}

double sim_remote(const struct sim *sim, size_t index)
{
	double remote = 0, all = 0;

	for (size_t g = 0; g < sim->fleet.count; g++) {
		const struct placement_guest *guest = &sim->fleet.guests[g];

		for (size_t i = 0; (index == SIZE_MAX || g == index) && i < guest->ram_count; i++) {
			const struct placement_ram *ram = &guest->ram[i];

			all += (double)ram->bytes;
			remote +=
			    (double)ram->bytes * (1 - time_share(guest, ram->vnode, ram->node));
		}
	}
	return all > 0 ? remote / all : 0;
}

unsigned int sim_home(const struct sim *sim, size_t index)
{
	const struct placement_guest *guest = &sim->fleet.guests[index];
	unsigned int best = 0;
	double most = -1;

	for (unsigned int k = 0; k < sim->fleet.host.node_count; k++) {
		double share = time_share(guest, PLACEMENT_NO_VNODE, sim->fleet.nodes[k].id);

		if (share <= most)
			continue;
		most = share;
		best = k;
	}
	return best;
}

/* ---- What policies do ------------------------------------------------------------------------ */

void sim_note_move(struct sim *sim, size_t guest, double remote, uint64_t bytes)
{
	sim->moved_gib += (double)bytes / GIB;
	if (sim->of[guest].pending)
		return;
	sim->of[guest].pending = true;
	sim->of[guest].moved_step = sim->step;
	sim->of[guest].remote_before = remote;
}

/* As much of one kind of memory as there is room for. */
static int shift(struct sim *sim, size_t index, size_t place, unsigned int to)
{
	struct placement_ram *ram = (struct placement_ram *)&sim->fleet.guests[index].ram[place];
	unsigned int from = fleet_rank(&sim->fleet, ram->node);
	uint64_t unit = placement_page_bytes(ram->page), room = sim_free(sim, to, ram->page);
	uint64_t bytes = (ram->bytes < room ? ram->bytes : room) / unit * unit;
	double remote = sim_remote(sim, index);

	if (!bytes)
		return 0;
	ram->bytes -= bytes;
	sim->fleet.nodes[from].free_bytes[ram->page] += bytes;
	sim_note_move(sim, index, remote, bytes);
	return fleet_add_ram(&sim->fleet, index, to, ram->vnode, ram->page, bytes, 0);
}

int sim_gather(struct sim *sim, size_t index, const uint16_t *ranks, size_t count)
{
	struct gmig_node_set targets = {{0}};
	size_t kinds = sim->fleet.guests[index].ram_count;
	int rc = 0;

	for (size_t i = 0; i < count; i++)
		gmig_node_set_add(&targets, sim->fleet.nodes[ranks[i]].id);
	for (size_t i = 0; !rc && i < kinds; i++)
		for (size_t t = 0;
		     !rc && t < count &&
		     !gmig_node_set_has(&targets, sim->fleet.guests[index].ram[i].node);
		     t++)
			rc = shift(sim, index, i, ranks[t]);
	return rc;
}

void sim_pin(struct sim *sim, size_t index, const uint16_t *ranks, size_t count)
{
	struct placement_guest *guest = &sim->fleet.guests[index];
	struct placement_time *time = (struct placement_time *)guest->time;

	for (size_t i = 0; i < guest->time_count; i++)
		time[i].node = (uint16_t)sim->fleet.nodes[ranks[time[i].vcpu % count]].id;
}
