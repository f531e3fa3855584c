#include "homes.h"
#include "rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What re-pinning all vCPUs must gain at least, in millionths for each page of the guest. */
#define PIN_COST (STATE_PPM / 200)

/* One guest's way to another set of nodes. */
struct homes {
	struct state *state;
	size_t guest;
	uint16_t *set; /* [n]: the nodes, nearest to the first one first */
	unsigned int size;
	uint16_t *node_of;  /* [vcpus] */
	uint16_t *best;	    /* [vcpus] */
	uint16_t *before;   /* [vcpus] */
	int64_t *cpu_free;  /* [n] */
	uint32_t *cpus;	    /* [n]: open CPUs without a vCPU of this guest */
	int64_t *avail;	    /* [PAGES * n]: pages that the guest has or can have there */
	int64_t *milli;	    /* [vcpus] */
	int64_t *spare;	    /* [n]: open CPUs less vCPUs of this guest */
	uint32_t *order;    /* [vcpus]: vnode << 16 | vcpu; those of a vnode stay together */
	uint16_t *sequence; /* [vcpus]: in which they are re-pinned */
	unsigned int sequence_count;
};

static void homes_destroy(struct homes *homes)
{
	free(homes->set);
	free(homes->node_of);
	free(homes->best);
	free(homes->before);
	free(homes->cpu_free);
	free(homes->cpus);
	free(homes->avail);
	free(homes->milli);
	free(homes->order);
	free(homes->spare);
	free(homes->sequence);
}

static int homes_create(struct homes *homes, struct state *state, size_t guest)
{
	size_t n = state->n, vcpus = state->guests[guest].given->vcpus + 1u;

	*homes = (struct homes){.state = state, .guest = guest};
	homes->set = calloc(n, sizeof(*homes->set));
	homes->node_of = calloc(vcpus, sizeof(*homes->node_of));
	homes->best = calloc(vcpus, sizeof(*homes->best));
	homes->before = calloc(vcpus, sizeof(*homes->before));
	homes->cpu_free = calloc(n, sizeof(*homes->cpu_free));
	homes->cpus = calloc(n, sizeof(*homes->cpus));
	homes->avail = calloc(n * PLACEMENT_PAGES, sizeof(*homes->avail));
	homes->milli = calloc(vcpus, sizeof(*homes->milli));
	homes->order = calloc(vcpus, sizeof(*homes->order));
	homes->spare = calloc(n, sizeof(*homes->spare));
	homes->sequence = calloc(vcpus, sizeof(*homes->sequence));
	if (homes->set && homes->node_of && homes->best && homes->before && homes->cpu_free &&
	    homes->cpus && homes->avail && homes->milli && homes->order && homes->spare &&
	    homes->sequence)
		return 0;
	homes_destroy(homes);
	return -ENOMEM;
}

static const struct state_guest *guest_of(const struct homes *homes)
{
	return &homes->state->guests[homes->guest];
}

static int64_t *avail_of(const struct homes *homes, unsigned int page, unsigned int node)
{
	return &homes->avail[page * homes->state->n + node];
}

/* A node on which this guest's memory may be. */
static bool open_to(const struct state *state, const struct state_guest *guest, unsigned int node)
{
	const struct placement_node *given = &state->host->nodes[node];

	return !state->closed[node] && (gmig_node_set_empty(&guest->given->allowed) ||
					gmig_node_set_has(&guest->given->allowed, given->id));
}

/* ---- What there is for the guest ------------------------------------------------------------- */

/* CPUs and memory as if the guest were away. */
static void look_at_host(struct homes *homes)
{
	const struct state *state = homes->state;
	const struct state_guest *guest = guest_of(homes);

	memcpy(homes->cpu_free, state->cpu_free, state->n * sizeof(*homes->cpu_free));
	memcpy(homes->cpus, state->cpus, state->n * sizeof(*homes->cpus));
	for (size_t i = 0; i < guest->given->time_count; i++) {
		const struct placement_time *time = &guest->given->time[i];

		homes->cpu_free[state_vcpu_ran(state, guest, time)] += time->milli;
	}
	for (unsigned int page = 0; page < PLACEMENT_PAGES; page++)
		for (unsigned int k = 0; k < state->n; k++) {
			int64_t room = state->room[page][k];

			*avail_of(homes, page, k) = room > 0 && open_to(state, guest, k) ? room : 0;
		}
	for (size_t l = 0; l < guest->lot_count; l++)
		*avail_of(homes, guest->lots[l].page, guest->lots[l].node) += guest->lots[l].pages;
}

static int ascending(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static void look_at_guest(struct homes *homes)
{
	const struct placement_guest *given = guest_of(homes)->given;

	memset(homes->milli, 0, given->vcpus * sizeof(*homes->milli));
	for (size_t i = 0; i < given->time_count; i++)
		homes->milli[given->time[i].vcpu] += given->time[i].milli;
	memcpy(homes->before, guest_of(homes)->vcpu_node, given->vcpus * sizeof(*homes->before));
	for (unsigned int v = 0; v < given->vcpus; v++)
		homes->order[v] = (given->vnode_of ? (uint32_t)given->vnode_of[v] << 16 : 0) | v;
	qsort(homes->order, given->vcpus, sizeof(*homes->order), ascending);
}

static int64_t pages_of(const struct state_guest *guest, unsigned int page)
{
	int64_t pages = 0;

	for (size_t l = 0; l < guest->lot_count; l++)
		pages += guest->lots[l].page == page ? guest->lots[l].pages : 0;
	return pages;
}

/* ---- A set of near nodes --------------------------------------------------------------------- */

/* What the guest still needs beyond the nodes of the set. */
struct need {
	int64_t pages[PLACEMENT_PAGES], milli, cpus;
};

static void add_to_set(struct homes *homes, unsigned int node, struct need *need)
{
	homes->set[homes->size++] = (uint16_t)node;
	need->milli -= homes->cpu_free[node] > 0 ? homes->cpu_free[node] : 0;
	need->cpus -= homes->cpus[node];
	for (unsigned int page = 0; page < PLACEMENT_PAGES; page++)
		need->pages[page] -= *avail_of(homes, page, node);
}

static bool satisfied(const struct need *need)
{
	for (unsigned int page = 0; page < PLACEMENT_PAGES; page++)
		if (need->pages[page] > 0)
			return false;
	return need->milli <= 0 && need->cpus <= 0;
}

/* The nearest nodes to `seed` that together have enough of everything. */
static bool find_set(struct homes *homes, unsigned int seed, struct need need)
{
	const struct state *state = homes->state;

	homes->size = 0;
	add_to_set(homes, seed, &need);
	for (unsigned int i = 0; !satisfied(&need); i++) {
		unsigned int k;

		if (i == state->n)
			return false;
		k = state->nearest[(size_t)seed * state->n + i];
		if (k != seed && open_to(state, guest_of(homes), k) &&
		    state_distance(state, seed, k) != PLACEMENT_UNREACHED)
			add_to_set(homes, k, &need);
	}
	return true;
}

/* ---- vCPUs over the set ---------------------------------------------------------------------- */

static bool put(struct homes *homes, unsigned int vcpu, unsigned int node)
{
	if (!homes->cpus[node] || homes->cpu_free[node] < homes->milli[vcpu])
		return false;
	homes->cpus[node]--;
	homes->cpu_free[node] -= homes->milli[vcpu];
	homes->node_of[vcpu] = (uint16_t)node;
	return true;
}

/* The share of the guest's memory that can be on the i-th node of the set when those before it are full, in vCPUs. */
static unsigned int vcpus_for(const struct homes *homes, unsigned int i, int64_t *left, int64_t all)
{
	unsigned int vcpus = guest_of(homes)->given->vcpus;
	int64_t avail = 0, taken;

	for (unsigned int page = 0; page < PLACEMENT_PAGES; page++)
		avail += *avail_of(homes, page, homes->set[i]);
	taken = avail < *left ? avail : *left;
	*left -= taken;
	return all ? (unsigned int)((taken * vcpus + all - 1) / all) : vcpus;
}

static bool spread_vcpus(struct homes *homes)
{
	const struct state_guest *guest = guest_of(homes);
	unsigned int vcpus = guest->given->vcpus, place = 0;
	int64_t left = guest->pages;

	for (unsigned int i = 0; i < homes->size && place < vcpus; i++) {
		unsigned int some =
		    homes->size == 1 ? vcpus : vcpus_for(homes, i, &left, guest->pages);

		while (some-- && place < vcpus &&
		       put(homes, homes->order[place] & 0xffff, homes->set[i]))
			place++;
	}
	/* Where memory left the share of a node too small for the rest: wherever there are CPUs. */
	for (unsigned int i = 0; i < homes->size; i++)
		while (place < vcpus && put(homes, homes->order[place] & 0xffff, homes->set[i]))
			place++;
	return place == vcpus;
}

/* ---- What it would bring --------------------------------------------------------------------- */

/* The node with room for the guest that serves the part best, and is not worse than its own node. */
static unsigned int best_node(const struct homes *homes, const struct part *part,
			      const struct lot *lot)
{
	const struct state *state = homes->state;
	unsigned int best = state->n;
	int64_t best_value = INT64_MIN;

	for (unsigned int k = 0; k < state->n; k++) {
		int64_t value = part->near[k];

		if (!*avail_of(homes, lot->page, k) || (k != lot->node && !part->may[k]))
			continue;
		if (k != lot->node)
			value -= rules_move_cost(state, lot->node, k);
		if (value <= best_value)
			continue;
		best = k;
		best_value = value;
	}
	return best;
}

/* The sum of locality less the cost of moves, with vCPUs where they are now. Uses up avail. */
static int64_t value_now(struct homes *homes)
{
	const struct state *state = homes->state;
	const struct state_guest *guest = guest_of(homes);
	int64_t value = 0;

	for (size_t l = 0; l < guest->lot_count; l++) {
		const struct lot *lot = &guest->lots[l];
		const struct part *part = &state->parts[lot->part];
		int64_t pages = lot->pages;

		while (pages) {
			unsigned int k = lot->locked ? lot->node : best_node(homes, part, lot);
			int64_t taken = k < state->n ? *avail_of(homes, lot->page, k) : pages;

			k = k < state->n ? k : lot->node;
			taken = taken && taken < pages ? taken : pages;
			*avail_of(homes, lot->page, k) -= taken;
			pages -= taken;
			value += taken * part->near[k];
			if (k != lot->node)
				value -= taken * rules_move_cost(state, lot->node, k);
		}
	}
	return value;
}

/* Leaves the vCPUs where it put them. */
static int64_t value_of_seed(struct homes *homes, unsigned int seed, const struct need *need)
{
	const struct state_guest *guest = guest_of(homes);

	look_at_host(homes);
	if (!homes->cpus[seed] || !find_set(homes, seed, *need) || !spread_vcpus(homes))
		return INT64_MIN;
	state_put_vcpus(homes->state, homes->guest, homes->node_of);
	return value_now(homes) - PIN_COST * guest->pages;
}

static struct need need_of(const struct homes *homes)
{
	const struct state_guest *guest = guest_of(homes);
	struct need need = {.cpus = guest->given->vcpus};

	for (unsigned int page = 0; page < PLACEMENT_PAGES; page++)
		need.pages[page] = pages_of(guest, page);
	for (unsigned int v = 0; v < guest->given->vcpus; v++)
		need.milli += homes->milli[v];
	return need;
}

static bool find_best(struct homes *homes)
{
	const struct state *state = homes->state;
	struct need need;
	int64_t best, value;
	bool found = false;

	look_at_guest(homes);
	look_at_host(homes);
	need = need_of(homes);
	best = value_now(homes);
	for (unsigned int k = 0; k < state->n; k++) {
		if (!open_to(state, guest_of(homes), k))
			continue;
		value = value_of_seed(homes, k, &need);
		if (value <= best)
			continue;
		best = value;
		found = true;
		memcpy(homes->best, homes->node_of,
		       guest_of(homes)->given->vcpus * sizeof(*homes->best));
	}
	state_put_vcpus(homes->state, homes->guest, homes->before);
	return found;
}

/* ---- Doing it -------------------------------------------------------------------------------- */

/* The node on which a vCPU spent most of its time. */
static unsigned int main_node(const struct state *state, const struct state_guest *guest,
			      unsigned int vcpu, const uint16_t *pinned)
{
	unsigned int best = STATE_NO_HOME;
	uint32_t most = 0;

	if (pinned[vcpu] != STATE_NO_HOME)
		return pinned[vcpu];
	for (size_t i = 0; i < guest->given->time_count; i++) {
		const struct placement_time *time = &guest->given->time[i];

		if (time->vcpu != vcpu || (best != STATE_NO_HOME && time->milli <= most))
			continue;
		best = state->rank[time->node];
		most = time->milli;
	}
	return best;
}

/* Has it run nowhere else? Then nothing is to be said to it. */
static bool runs_only_on(const struct state *state, const struct state_guest *guest,
			 unsigned int vcpu, unsigned int node)
{
	for (size_t i = 0; i < guest->given->time_count; i++)
		if (guest->given->time[i].vcpu == vcpu &&
		    state->rank[guest->given->time[i].node] != node)
			return false;
	return true;
}

/* Take a vCPU out of the counts of CPUs and their time (sign 1), or put it back where it was (-1). */
static void lift(struct homes *homes, unsigned int vcpu, int sign)
{
	const struct state *state = homes->state;
	const struct state_guest *guest = guest_of(homes);

	for (size_t i = 0; i < guest->given->time_count; i++) {
		const struct placement_time *time = &guest->given->time[i];
		unsigned int node = homes->before[time->vcpu];

		if (time->vcpu != vcpu)
			continue;
		node = node == STATE_NO_HOME ? state->rank[time->node] : node;
		homes->cpu_free[node] += sign * (int64_t)time->milli;
		homes->spare[node] += sign;
	}
}

static bool needs_pin(const struct homes *homes, unsigned int vcpu)
{
	if (homes->before[vcpu] == homes->best[vcpu])
		return false;
	return homes->before[vcpu] != STATE_NO_HOME ||
	       !runs_only_on(homes->state, guest_of(homes), vcpu, homes->best[vcpu]);
}

/* Before any is re-pinned: an order in which each finds CPUs. false: there is none. */
static bool order_pins(struct homes *homes)
{
	const struct state *state = homes->state;
	unsigned int vcpus = guest_of(homes)->given->vcpus, pending = 0;
	bool moved = true;

	homes->sequence_count = 0;
	memcpy(homes->cpu_free, state->cpu_free, state->n * sizeof(*homes->cpu_free));
	for (unsigned int k = 0; k < state->n; k++)
		homes->spare[k] = state->cpus[k];
	for (unsigned int v = 0; v < vcpus; v++) {
		lift(homes, v, -1);
		pending += needs_pin(homes, v);
	}
	/* The state counts their time already. */
	memcpy(homes->cpu_free, state->cpu_free, state->n * sizeof(*homes->cpu_free));
	for (unsigned int v = 0; v < vcpus; v++)
		homes->node_of[v] = needs_pin(homes, v);
	while (pending && moved) {
		moved = false;
		for (unsigned int v = 0; v < vcpus; v++) {
			unsigned int to = homes->best[v];

			if (!homes->node_of[v])
				continue;
			lift(homes, v, 1);
			if (homes->spare[to] < 1 || homes->cpu_free[to] < homes->milli[v]) {
				lift(homes, v, -1);
				continue;
			}
			homes->spare[to]--;
			homes->cpu_free[to] -= homes->milli[v];
			homes->sequence[homes->sequence_count++] = (uint16_t)v;
			homes->node_of[v] = 0;
			pending--;
			moved = true;
		}
	}
	return !pending;
}

static int log_pins(struct homes *homes, struct round_log *log)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < homes->sequence_count; i++) {
		unsigned int v = homes->sequence[i];
		const struct round_pin pin = {
		    .guest = (uint32_t)homes->guest,
		    .vcpu = (uint16_t)v,
		    .from = (uint16_t)main_node(homes->state, guest_of(homes), v, homes->before),
		    .to = homes->best[v],
		};

		rc = round_log_pin(log, &pin);
	}
	return rc;
}

/* The guest's score with the new homes against what it was: the margin is the same as for memory alone. */
static int move_home(struct homes *homes, struct round_log *log, bool *moved)
{
	struct state *state = homes->state;
	int64_t pages, before = state_locality(state, homes->guest, &pages), after;
	bool memory = false;
	int rc;

	if (!order_pins(homes))
		return 0;
	state_put_vcpus(state, homes->guest, homes->best);
	after = state_locality(state, homes->guest, &pages);
	if (after > before && rules_judge(state, homes->guest, before, after, pages) == STAY_NOT) {
		*moved = true;
		return log_pins(homes, log);
	}
	/* Memory has to follow. */
	rc = round_one(state, homes->guest, after - before, log, &memory);
	if (rc || !memory) {
		state_put_vcpus(state, homes->guest, homes->before);
		return rc;
	}
	*moved = true;
	return log_pins(homes, log);
}

static bool packs(const struct state_guest *guest)
{
	return guest->stay == STAY_NOT && guest->goal == PLACEMENT_PACK &&
	       !guest->given->keep_vcpus && guest->given->vcpus;
}

int homes_pack(struct state *state, struct round_log *log, bool *moved)
{
	int rc = 0;

	*moved = false;
	for (size_t g = 0; !rc && g < state->count; g++) {
		struct homes homes;

		if (!packs(&state->guests[g]))
			continue;
		rc = homes_create(&homes, state, g);
		if (rc)
			return rc;
		if (find_best(&homes))
			rc = move_home(&homes, log, moved);
		homes_destroy(&homes);
	}
	return rc;
}

/* ---- A drain --------------------------------------------------------------------------------- */

static bool ran_on_closed(const struct state *state, const struct state_guest *guest,
			  unsigned int vcpu)
{
	for (size_t i = 0; i < guest->given->time_count; i++)
		if (guest->given->time[i].vcpu == vcpu &&
		    state->closed[state_vcpu_ran(state, guest, &guest->given->time[i])])
			return true;
	return false;
}

/* How near the guest's memory is to the CPUs of a node. */
static int64_t memory_near(const struct state *state, const struct state_guest *guest,
			   unsigned int node, unsigned int vcpu)
{
	const uint16_t *vnode_of = guest->given->vnode_of;
	int64_t near = 0;

	for (size_t l = 0; l < guest->lot_count; l++) {
		const struct lot *lot = &guest->lots[l];
		bool own = !vnode_of || state->parts[lot->part].vnode == vnode_of[vcpu];

		near += lot->pages * state->w[(size_t)node * state->n + lot->node] / (own ? 1 : 16);
	}
	return near;
}

static unsigned int way_out(const struct homes *homes, unsigned int vcpu)
{
	const struct state *state = homes->state;
	unsigned int best = state->n;
	int64_t best_near = -1;

	for (unsigned int k = 0; k < state->n; k++) {
		int64_t near;

		if (!open_to(state, guest_of(homes), k) || !homes->cpus[k] ||
		    homes->cpu_free[k] < homes->milli[vcpu])
			continue;
		near = memory_near(state, guest_of(homes), k, vcpu);
		if (near < best_near ||
		    (near == best_near && homes->cpu_free[k] <= homes->cpu_free[best]))
			continue;
		best = k;
		best_near = near;
	}
	return best;
}

/* Open CPUs of each node less the vCPUs that run there already. */
static void count_own(struct homes *homes)
{
	const struct state *state = homes->state;
	const struct state_guest *guest = guest_of(homes);

	memcpy(homes->cpu_free, state->cpu_free, state->n * sizeof(*homes->cpu_free));
	memcpy(homes->cpus, state->cpus, state->n * sizeof(*homes->cpus));
	for (size_t i = 0; i < guest->given->time_count; i++) {
		unsigned int node = state_vcpu_ran(state, guest, &guest->given->time[i]);

		homes->cpus[node] -= homes->cpus[node] > 0;
	}
}

static int drain_guest(struct homes *homes, struct round_log *log, bool *moved)
{
	struct state *state = homes->state;
	const struct state_guest *guest = guest_of(homes);
	bool any = false;
	int rc = 0;

	look_at_guest(homes);
	count_own(homes);
	memcpy(homes->best, homes->before, guest->given->vcpus * sizeof(*homes->best));
	for (unsigned int v = 0; !rc && v < guest->given->vcpus; v++) {
		struct round_pin pin = {
		    .guest = (uint32_t)homes->guest, .vcpu = (uint16_t)v, .drain = true};
		unsigned int to = ran_on_closed(state, guest, v) ? way_out(homes, v) : state->n;

		if (to == state->n)
			continue;
		pin.from = (uint16_t)main_node(state, guest, v, homes->before);
		pin.to = homes->best[v] = (uint16_t)to;
		homes->cpus[to]--;
		homes->cpu_free[to] -= homes->milli[v];
		rc = round_log_pin(log, &pin);
		any = true;
	}
	if (any)
		state_put_vcpus(state, homes->guest, homes->best);
	*moved |= any;
	return rc;
}

int homes_drain(struct state *state, struct round_log *log, bool *moved)
{
	int rc = 0;

	*moved = false;
	for (size_t g = 0; !rc && g < state->count; g++) {
		const struct state_guest *guest = &state->guests[g];
		struct homes homes;
		bool any = false;

		for (unsigned int v = 0; rules_may_drain(guest) && !guest->given->keep_vcpus &&
					 !any && v < guest->given->vcpus;
		     v++)
			any = ran_on_closed(state, guest, v);
		if (!any)
			continue;
		rc = homes_create(&homes, state, g);
		if (rc)
			return rc;
		rc = drain_guest(&homes, log, moved);
		homes_destroy(&homes);
	}
	return rc;
}
