#include "fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB (1ull << 30)

/* ---- Chance ---------------------------------------------------------------------------------- */

uint64_t fleet_next(struct fleet_random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t fleet_between(struct fleet_random *random, uint64_t from, uint64_t to)
{
	return from + fleet_next(random) % (to - from + 1);
}

bool fleet_chance(struct fleet_random *random, unsigned int percent)
{
	return fleet_next(random) % 100 < percent;
}

/* ---- Hosts and guests ------------------------------------------------------------------------ */

int fleet_init(struct fleet *fleet, size_t nodes)
{
	*fleet = (struct fleet){0};
	fleet->nodes = calloc(nodes, sizeof(*fleet->nodes));
	fleet->cpus = calloc(nodes, sizeof(*fleet->cpus));
	fleet->promised = calloc(nodes, sizeof(*fleet->promised));
	fleet->distance = malloc(nodes * nodes);
	if (!fleet->nodes || !fleet->cpus || !fleet->promised || !fleet->distance) {
		fleet_destroy(fleet);
		return -ENOMEM;
	}
	for (size_t i = 0; i < nodes; i++) {
		fleet->nodes[i].id = (unsigned int)i;
		fleet->nodes[i].cpus = &fleet->cpus[i];
		fleet->nodes[i].promised = &fleet->promised[i];
	}
	for (size_t i = 0; i < nodes * nodes; i++)
		fleet->distance[i] = i / nodes == i % nodes ? 10 : 20;
	fleet->host = (struct placement_host){fleet->nodes, nodes, fleet->distance};
	return 0;
}

static void free_guest(struct placement_guest *guest)
{
	free((void *)guest->name);
	free((void *)guest->ram);
	free((void *)guest->vnode_of);
	free((void *)guest->time);
}

void fleet_destroy(struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->count; i++)
		free_guest(&fleet->guests[i]);
	free(fleet->guests);
	free(fleet->nodes);
	free(fleet->cpus);
	free(fleet->promised);
	free(fleet->distance);
	*fleet = (struct fleet){0};
}

struct placement_guest *fleet_add(struct fleet *fleet, const char *name, unsigned int vcpus)
{
	struct placement_guest *guest;

	if (fleet->count == fleet->room) {
		size_t room = 2 * fleet->room + 8;
		struct placement_guest *guests = realloc(fleet->guests, room * sizeof(*guests));

		if (!guests)
			return NULL;
		fleet->guests = guests;
		fleet->room = room;
	}
	guest = &fleet->guests[fleet->count];
	*guest = (struct placement_guest){
	    .name = strdup(name), .managed = true, .goal = PLACEMENT_FOLLOW, .vcpus = vcpus};
	if (!guest->name)
		return NULL;
	fleet->count++;
	return guest;
}

void fleet_remove(struct fleet *fleet, size_t index)
{
	struct placement_guest *guest = &fleet->guests[index];

	for (size_t i = 0; i < guest->ram_count; i++)
		fleet->nodes[fleet_rank(fleet, guest->ram[i].node)]
		    .free_bytes[guest->ram[i].page] += guest->ram[i].bytes;
	free_guest(guest);
	memmove(guest, guest + 1, (--fleet->count - index) * sizeof(*guest));
}

unsigned int fleet_rank(const struct fleet *fleet, unsigned int id)
{
	for (unsigned int k = 0; k < fleet->host.node_count; k++)
		if (fleet->nodes[k].id == id)
			return k;
	return (unsigned int)fleet->host.node_count;
}

static struct placement_ram *find_ram(struct placement_guest *guest, unsigned int id,
				      unsigned int vnode, enum placement_page page)
{
	for (size_t i = 0; i < guest->ram_count; i++)
		if (guest->ram[i].node == id && guest->ram[i].vnode == vnode &&
		    guest->ram[i].page == page)
			return (struct placement_ram *)&guest->ram[i];
	return NULL;
}

int fleet_add_ram(struct fleet *fleet, size_t index, unsigned int rank, unsigned int vnode,
		  enum placement_page page, uint64_t bytes, uint64_t locked_bytes)
{
	struct placement_guest *guest = &fleet->guests[index];
	struct placement_node *node = &fleet->nodes[rank];
	struct placement_ram *ram = find_ram(guest, node->id, vnode, page);

	if (!ram) {
		ram = realloc((void *)guest->ram, (guest->ram_count + 1) * sizeof(*ram));
		if (!ram)
			return -ENOMEM;
		guest->ram = ram;
		ram += guest->ram_count++;
		*ram = (struct placement_ram){
		    .node = (uint16_t)node->id, .vnode = (uint16_t)vnode, .page = page};
	}
	ram->bytes += bytes;
	ram->locked_bytes += locked_bytes;
	node->free_bytes[page] -= bytes < node->free_bytes[page] ? bytes : node->free_bytes[page];
	return 0;
}

int fleet_add_time(struct fleet *fleet, size_t index, unsigned int vcpu, unsigned int rank,
		   unsigned int milli)
{
	struct placement_guest *guest = &fleet->guests[index];
	struct placement_time *time =
	    realloc((void *)guest->time, (guest->time_count + 1) * sizeof(*time));

	if (!time)
		return -ENOMEM;
	guest->time = time;
	time[guest->time_count++] =
	    (struct placement_time){(uint16_t)vcpu, (uint16_t)fleet->nodes[rank].id, milli};
	return 0;
}

/* ---- Moves ----------------------------------------------------------------------------------- */

static bool allowed(const struct placement_guest *guest, unsigned int id)
{
	return gmig_node_set_empty(&guest->allowed) || gmig_node_set_has(&guest->allowed, id);
}

static bool refuse(char why[128], const char *text)
{
	snprintf(why, 128, "%s", text);
	return false;
}

static bool move_memory(struct fleet *fleet, struct placement_guest *guest,
			const struct placement_move *move, struct placement_node *from,
			struct placement_node *to, char why[128])
{
	struct placement_ram *ram = find_ram(guest, move->from, move->vnode, move->page);
	uint64_t reserve = move->page == PLACEMENT_4K ? to->reserved_bytes : 0;

	if (!ram || ram->bytes - ram->locked_bytes < move->bytes)
		return refuse(why, "the guest has not so much there that can move");
	if (!move->bytes || move->bytes % placement_page_bytes(move->page))
		return refuse(why, "no whole pages");
	if (to->free_bytes[move->page] < reserve ||
	    to->free_bytes[move->page] - reserve < move->bytes)
		return refuse(why, "the target is full");
	ram->bytes -= move->bytes;
	from->free_bytes[move->page] += move->bytes;
	return !fleet_add_ram(fleet, move->guest, (unsigned int)(to - fleet->nodes), move->vnode,
			      move->page, move->bytes, 0) ||
	       refuse(why, "no memory");
}

static uint64_t open_cpus(const struct placement_node *node)
{
	struct placement_cpus open;
	uint64_t count = 0;

	placement_open_cpus(node, &open);
	for (unsigned int i = 0; i < PLACEMENT_CPU_WORDS; i++)
		count += (uint64_t)__builtin_popcountll(open.word[i]);
	return count;
}

static uint64_t load_of(const struct fleet *fleet, const struct placement_node *node)
{
	uint64_t milli = node->busy_milli;

	for (size_t g = 0; g < fleet->count; g++)
		for (size_t i = 0; i < fleet->guests[g].time_count; i++)
			if (fleet->guests[g].time[i].node == node->id)
				milli += fleet->guests[g].time[i].milli;
	return milli;
}

/* vCPUs that ran nowhere but on this node. */
static unsigned int vcpus_on(const struct placement_guest *guest, unsigned int id)
{
	unsigned int count = 0;

	for (unsigned int v = 0; v < guest->vcpus; v++) {
		bool here = false, elsewhere = false;

		for (size_t i = 0; i < guest->time_count; i++) {
			if (guest->time[i].vcpu != v)
				continue;
			here |= guest->time[i].node == id;
			elsewhere |= guest->time[i].node != id;
		}
		count += here && !elsewhere;
	}
	return count;
}

static bool move_vcpus(struct fleet *fleet, struct placement_guest *guest,
		       const struct placement_move *move, const struct placement_node *to,
		       char why[128])
{
	struct placement_time *time = (struct placement_time *)guest->time;

	if (guest->keep_vcpus)
		return refuse(why, "its vCPUs are not to be re-pinned");
	for (size_t i = 0; i < guest->time_count; i++)
		for (size_t v = 0; v < move->vcpu_count; v++)
			if (time[i].vcpu == move->vcpus[v])
				time[i].node = move->to;
	if (load_of(fleet, to) > open_cpus(to) * 1000)
		return refuse(why, "the target's CPUs have not so much time");
	if (vcpus_on(guest, to->id) > open_cpus(to))
		return refuse(why, "more vCPUs of the guest than CPUs");
	return true;
}

bool fleet_move(struct fleet *fleet, const struct placement_move *move, char why[128])
{
	struct placement_guest *guest = &fleet->guests[move->guest];
	unsigned int from = fleet_rank(fleet, move->from), to = fleet_rank(fleet, move->to);
	struct placement_node *nodes = fleet->nodes;

	if (!guest->managed)
		return refuse(why, "the guest is not managed");
	if (from == fleet->host.node_count || to == fleet->host.node_count)
		return refuse(why, "no such nodes");
	if (nodes[to].closed || !allowed(guest, move->to))
		return refuse(why, "the target is closed, or not allowed");
	if (move->kind == PLACEMENT_VCPUS)
		return move_vcpus(fleet, guest, move, &nodes[to], why);
	if (from == to || !nodes[to].total_bytes ||
	    fleet->distance[from * fleet->host.node_count + to] == PLACEMENT_UNREACHED)
		return refuse(why, "the target has no memory, or cannot be reached");
	return move_memory(fleet, guest, move, &nodes[from], &nodes[to], why);
}
