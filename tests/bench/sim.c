/* Events, and what comes of them. */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB (1ull << 30)

#define PAID_STEPS 2 /* a move that is of no use for so long did not pay */

/* ---- Events ---------------------------------------------------------------------------------- */

/* Memory of a guest from a node on, then from the nearest ones. */
static int touch(struct sim *sim, size_t index, unsigned int rank, enum placement_page page,
		 uint64_t bytes)
{
	unsigned int n = (unsigned int)sim->fleet.host.node_count;
	uint64_t unit = placement_page_bytes(page);
	int rc = 0;

	for (unsigned int d = 0; !rc && bytes && d < PLACEMENT_UNREACHED; d++)
		for (unsigned int k = 0; !rc && bytes && k < n; k++) {
			uint64_t room = sim_free(sim, k, page) / unit * unit;
			uint64_t taken = room < bytes ? room : bytes;

			if (!taken || sim->fleet.distance[(size_t)rank * n + k] != d)
				continue;
			bytes -= taken;
			rc = fleet_add_ram(&sim->fleet, index, k, PLACEMENT_NO_VNODE, page, taken,
					   0);
		}
	return rc;
}

/* May a guest take so many bytes more? The same under each policy: it does not ask where they are. A tenth of the host stays free. */
static bool is_room(const struct sim *sim, uint64_t bytes)
{
	uint64_t total = 0, there = 0;

	for (unsigned int k = 0; k < sim->fleet.host.node_count; k++) {
		total += sim->fleet.nodes[k].total_bytes;
		there += sim->fleet.nodes[k].free_bytes[PLACEMENT_4K];
	}
	return there >= bytes + total / 10;
}

static int grow_of(struct sim *sim)
{
	struct sim_guest *of;
	size_t room = sim->fleet.count + 64;

	if (sim->fleet.count < sim->of_room)
		return 0;
	of = realloc(sim->of, room * sizeof(*of));
	if (!of)
		return -ENOMEM;
	memset(of + sim->of_room, 0, (room - sim->of_room) * sizeof(*of));
	sim->of = of;
	sim->of_room = room;
	return 0;
}

/* The numbers are drawn whatever becomes of them: so the next event is the same under each policy. */
static int start(struct sim *sim, struct fleet_random *random, uint64_t id, bool anywhere)
{
	unsigned int vcpus = 1u << fleet_between(random, 0, 4);
	unsigned int n = (unsigned int)sim->fleet.host.node_count;
	unsigned int cpus = (unsigned int)fleet_between(random, 0, n - 1);
	unsigned int memory = (unsigned int)fleet_between(random, 0, n - 1);
	unsigned int load = (unsigned int)fleet_between(random, 0, 400);
	uint64_t bytes = fleet_between(random, 1, 32) * GIB;
	size_t index = sim->fleet.count;
	char name[32];
	int rc = 0;

	if (!is_room(sim, bytes))
		return 0;
	snprintf(name, sizeof(name), "started%llu", (unsigned long long)id);
	if (grow_of(sim) || !fleet_add(&sim->fleet, name, vcpus))
		return -ENOMEM;
	sim->of[index] = (struct sim_guest){.id = id};
	for (unsigned int v = 0; !rc && v < vcpus; v++)
		rc = fleet_add_time(&sim->fleet, index, v, cpus, load);
	return rc ? rc : touch(sim, index, anywhere ? memory : cpus, PLACEMENT_4K, bytes);
}

static void stop(struct sim *sim, size_t index, struct sim_result *result)
{
	result->unpaid += sim->of[index].pending;
	fleet_remove(&sim->fleet, index);
	memmove(&sim->of[index], &sim->of[index + 1],
		(sim->fleet.count - index) * sizeof(*sim->of));
}

static void change_load(struct placement_guest *guest, unsigned int milli)
{
	struct placement_time *time = (struct placement_time *)guest->time;

	for (size_t i = 0; i < guest->time_count; i++)
		time[i].milli = milli;
}

static int happen(struct sim *sim, struct fleet_random *random, uint64_t id, bool anywhere,
		  struct sim_result *result)
{
	unsigned int kind = (unsigned int)fleet_between(random, 0, 9);
	size_t index = sim->fleet.count ? fleet_between(random, 0, 9999) % sim->fleet.count : 0;
	uint16_t rank = (uint16_t)fleet_between(random, 0, sim->fleet.host.node_count - 1);
	uint64_t bytes = fleet_between(random, 1, 8) * GIB;
	unsigned int milli = (unsigned int)fleet_between(random, 0, 400);
	struct fleet_random own = {fleet_next(random)};

	if (kind < 2)
		return start(sim, &own, id, anywhere);
	if (!sim->fleet.count)
		return 0;
	if (kind < 4)
		stop(sim, index, result);
	else if (kind < 6)
		sim_pin(sim, index, &rank, 1);
	else if (kind < 9)
		change_load(&sim->fleet.guests[index], milli);
	else if (is_room(sim, bytes))
		return touch(sim, index, sim_home(sim, index), PLACEMENT_4K, bytes);
	return 0;
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void settle(struct sim *sim, struct sim_result *result)
{
	for (size_t g = 0; g < sim->fleet.count; g++) {
		struct sim_guest *of = &sim->of[g];

		if (!of->pending || sim->step < of->moved_step + PAID_STEPS)
			continue;
		of->pending = false;
		result->unpaid += sim_remote(sim, g) > of->remote_before - 0.01;
	}
}

static void count_moves(const struct sim *sim, struct sim_result *result)
{
	for (size_t g = 0; g < sim->fleet.count; g++)
		result->moves += sim->of[g].pending && sim->of[g].moved_step == sim->step;
}

static int step(struct sim *sim, const struct sim_policy *policy, struct fleet_random *random,
		uint64_t *id, struct sim_result *result)
{
	/* About one event for 20 guests. */
	uint64_t events = 1 + sim->fleet.count / 20;
	int rc = 0;

	for (uint64_t i = 0; !rc && i < events; i++)
		rc = happen(sim, random, (*id)++, policy->anywhere, result);
	sim->moved_gib = 0;
	if (!rc)
		rc = policy->run(sim);
	count_moves(sim, result);
	settle(sim, result);
	result->moved_gib += sim->moved_gib;
	result->remote += sim_remote(sim, SIZE_MAX);
	sim->step++;
	return rc;
}

static int copy_fleet(struct fleet *to, const struct fleet *from)
{
	size_t n = from->host.node_count;
	int rc = fleet_init(to, n);

	if (rc)
		return rc;
	memcpy(to->cpus, from->cpus, n * sizeof(*to->cpus));
	memcpy(to->promised, from->promised, n * sizeof(*to->promised));
	memcpy(to->distance, from->distance, n * n);
	for (size_t k = 0; k < n; k++) {
		to->nodes[k] = from->nodes[k];
		to->nodes[k].cpus = &to->cpus[k];
		to->nodes[k].promised = &to->promised[k];
	}
	for (size_t g = 0; !rc && g < from->count; g++) {
		const struct placement_guest *guest = &from->guests[g];

		if (!fleet_add(to, guest->name, guest->vcpus))
			return -ENOMEM;
		for (size_t i = 0; !rc && i < guest->ram_count; i++) {
			const struct placement_ram *ram = &guest->ram[i];
			unsigned int rank = fleet_rank(to, ram->node);

			to->nodes[rank].free_bytes[ram->page] += ram->bytes;
			rc = fleet_add_ram(to, g, rank, ram->vnode, ram->page, ram->bytes, 0);
		}
		for (size_t i = 0; !rc && i < guest->time_count; i++)
			rc = fleet_add_time(to, g, guest->time[i].vcpu,
					    fleet_rank(to, guest->time[i].node),
					    guest->time[i].milli);
	}
	return rc;
}

static int run_steps(struct sim *sim, const struct sim_policy *policy, uint64_t seed,
		     unsigned int steps, struct sim_result *result)
{
	struct fleet_random random = {seed ^ 0x5eed};
	uint64_t id = 0;
	int rc = grow_of(sim);

	for (unsigned int i = 0; !rc && i < steps; i++)
		rc = step(sim, policy, &random, &id, result);
	result->remote /= steps;
	/* Without hold times and delays: a first run, and a second one that should find nothing to do. */
	sim->again = true;
	if (!rc)
		rc = policy->run(sim);
	sim->moved_gib = 0;
	if (!rc)
		rc = policy->run(sim);
	result->second_gib = sim->moved_gib;
	return rc;
}

int sim_run(const struct sim_policy *policy, const struct fleet_shape *shape,
	    const struct fleet *like, uint64_t seed, unsigned int steps, struct sim_result *result,
	    struct gmig_error *err)
{
	struct sim sim = {.step = 1};
	int rc;

	*result = (struct sim_result){0};
	rc = like ? copy_fleet(&sim.fleet, like) : fleet_create(&sim.fleet, shape, seed);
	if (!rc)
		rc = placement_history_create(&sim.history, err);
	if (!rc)
		rc = run_steps(&sim, policy, seed, steps, result);
	placement_history_destroy(sim.history);
	fleet_destroy(&sim.fleet);
	free(sim.of);
	return rc ? gmig_fail(err, rc, "policy %s: %s", policy->name, strerror(-rc)) : 0;
}
