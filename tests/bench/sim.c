/* Events, and what comes of them. */
#include "sim.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

#define PAID_STEPS 2 /* a move that is of no use for so long did not pay */

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

static void note_move(struct sim *sim, size_t guest, double remote, uint64_t bytes)
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
	note_move(sim, index, remote, bytes);
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

/* ---- The planner as a policy ----------------------------------------------------------------- */

static int carry_out(struct sim *sim, const struct placement_plan *plan,
		     const struct placement_options *options, struct gmig_error *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < plan->move_count; i++) {
		const struct placement_move *move = &plan->moves[i];
		double remote = sim_remote(sim, move->guest);
		char why[128];

		if (!fleet_move(&sim->fleet, move, why))
			return gmig_fail(err, -EIO, "the plan is wrong: %s", why);
		if (move->kind == PLACEMENT_MEMORY)
			note_move(sim, move->guest, remote, move->bytes);
		rc = placement_history_record(sim->history, sim->fleet.guests, move, options, err);
	}
	return rc;
}

static int run_planner(struct sim *sim, enum placement_goal goal, unsigned int hold_seconds)
{
	struct placement_options options;
	struct placement_plan *plan;
	struct gmig_error err = {0};
	int rc;

	placement_options_init(&options);
	options.now_seconds = sim->step * SIM_STEP_SECONDS;
	options.hold_seconds = sim->again ? 0 : hold_seconds;
	for (size_t g = 0; g < sim->fleet.count; g++)
		sim->fleet.guests[g].goal = goal;
	rc = placement_history_observe(sim->history, &sim->fleet.host, sim->fleet.guests,
				       sim->fleet.count, &options, &err);
	if (rc)
		return rc;
	options.history = sim->again ? NULL : sim->history;
	rc = placement_plan(&sim->fleet.host, sim->fleet.guests, sim->fleet.count, &options, &plan,
			    &err);
	if (rc)
		return rc;
	rc = carry_out(sim, plan, &options, &err);
	placement_plan_destroy(plan);
	return rc;
}

static int follow(struct sim *sim)
{
	return run_planner(sim, PLACEMENT_FOLLOW, SIM_STEP_SECONDS);
}

static int pack(struct sim *sim)
{
	return run_planner(sim, PLACEMENT_PACK, SIM_STEP_SECONDS);
}

static int pack_at_once(struct sim *sim)
{
	return run_planner(sim, PLACEMENT_PACK, 0);
}

static int nothing(struct sim *sim)
{
	(void)sim;
	return 0;
}

const struct sim_policy sim_policies[] = {
    {"nothing", "memory comes to be on any node, and stays", true, nothing},
    {"first-touch", "memory comes to be where it is touched, and stays", false, nothing},
    {"numad", "numad's rules", false, sim_numad},
    {"esxi", "ESXi's rules", false, sim_esxi},
    {"dpo", "the rules of PowerVM's Dynamic Platform Optimizer", false, sim_dpo},
    {"follow-vcpus", "gmig, goal follow-vcpus, hold time 300 s", false, follow},
    {"pack", "gmig, goal pack, hold time 300 s", false, pack},
    {"pack-at-once", "gmig, goal pack, without a hold time", false, pack_at_once},
};

const size_t sim_policy_count = sizeof(sim_policies) / sizeof(sim_policies[0]);

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
