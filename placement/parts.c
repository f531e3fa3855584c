#include "parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Where a guest may be -------------------------------------------------------------------- */

static bool allowed(const struct placement_guest *guest, unsigned int id)
{
	return gmig_node_set_empty(&guest->allowed) || gmig_node_set_has(&guest->allowed, id);
}

static bool guest_may(const struct state *state, const struct state_guest *guest, unsigned int node)
{
	const struct placement_node *given = &state->host->nodes[node];

	return given->total_bytes && !state->closed[node] && allowed(guest->given, given->id);
}

static bool even(const struct state_guest *guest)
{
	if (guest->goal != PLACEMENT_SPREAD)
		return false;
	for (size_t i = 0; i < guest->given->ram_count; i++)
		if (guest->given->ram[i].vnode != PLACEMENT_NO_VNODE)
			return false;
	return true;
}

/* ---- Time and locality ----------------------------------------------------------------------- */

static bool serves(const struct placement_guest *guest, unsigned int vcpu, unsigned int vnode)
{
	return vnode == PLACEMENT_NO_VNODE || !guest->vnode_of || guest->vnode_of[vcpu] == vnode;
}

/* A vnode that has no vCPUs is used by those of all. */
static unsigned int served_by(const struct placement_guest *guest, unsigned int vnode)
{
	for (unsigned int v = 0; guest->vnode_of && v < guest->vcpus; v++)
		if (guest->vnode_of[v] == vnode)
			return vnode;
	return PLACEMENT_NO_VNODE;
}

static void add_time(const struct state *state, const struct state_guest *guest, struct part *part)
{
	unsigned int vnode = served_by(guest->given, part->vnode);

	memset(part->time, 0, state->n * sizeof(*part->time));
	for (size_t i = 0; i < guest->given->time_count; i++) {
		const struct placement_time *time = &guest->given->time[i];

		if (serves(guest->given, time->vcpu, vnode))
			part->time[state_vcpu_ran(state, guest, time)] += (int64_t)time->milli + 1;
	}
}

/* The locality of each node, and which of them the vCPUs reach. Most vCPUs run on few nodes. */
static void weigh_by_time(const struct state *state, struct part *part)
{
	int64_t total = 0, *sum = state->sum;

	memset(sum, 0, state->n * sizeof(*sum));
	for (unsigned int c = 0; c < state->n; c++) {
		if (!part->time[c])
			continue;
		total += part->time[c];
		for (unsigned int k = 0; k < state->n; k++) {
			sum[k] += part->time[c] * state->w[(size_t)c * state->n + k];
			if (state_distance(state, c, k) == PLACEMENT_UNREACHED)
				part->may[k] = false;
		}
	}
	part->scored = total > 0;
	for (unsigned int k = 0; k < state->n; k++)
		part->near[k] = total ? (int32_t)(sum[k] / total) : 0;
}

static void weigh(const struct state *state, const struct state_guest *guest, struct part *part)
{
	add_time(state, guest, part);
	for (unsigned int k = 0; k < state->n; k++)
		part->may[k] = guest_may(state, guest, k);
	weigh_by_time(state, part);
	for (unsigned int k = 0; k < state->n; k++) {
		if (part->home != STATE_NO_HOME)
			part->near[k] = k == part->home ? STATE_PPM : 0;
		else if (guest->goal == PLACEMENT_FIXED)
			part->near[k] =
			    allowed(guest->given, state->host->nodes[k].id) ? STATE_PPM : 0;
	}
}

void state_weigh(struct state *state, size_t index)
{
	const struct state_guest *guest = &state->guests[index];

	for (uint32_t p = 0; p < guest->part_count; p++)
		weigh(state, guest, &state->parts[guest->part_first + p]);
}

void state_put_vcpus(struct state *state, size_t index, const uint16_t *nodes)
{
	struct state_guest *guest = &state->guests[index];

	for (size_t i = 0; i < guest->given->time_count; i++) {
		const struct placement_time *time = &guest->given->time[i];
		unsigned int before = state_vcpu_ran(state, guest, time), after = nodes[time->vcpu];

		state->cpu_free[before] += time->milli;
		state->cpu_free[after == STATE_NO_HOME ? state->rank[time->node] : after] -=
		    time->milli;
	}
	for (unsigned int v = 0; v < guest->given->vcpus; v++)
		guest->vcpu_node[v] = nodes[v];
	state_weigh(state, index);
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static int add_part(struct state *state, size_t index, unsigned int vnode, unsigned int home)
{
	struct state_guest *guest = &state->guests[index];
	struct part *part;

	if (state->part_count == state->part_room) {
		size_t room = state->part_room ? 2 * state->part_room : state->count + 16;
		struct part *parts = state_alloc(state, room, sizeof(*parts));

		if (!parts)
			return -ENOMEM;
		if (state->part_count)
			memcpy(parts, state->parts, state->part_count * sizeof(*parts));
		state->parts = parts;
		state->part_room = room;
	}
	part = &state->parts[state->part_count];
	*part = (struct part){
	    .guest = (uint32_t)index, .vnode = (uint16_t)vnode, .home = (uint16_t)home};
	part->time = state_alloc(state, state->n, sizeof(*part->time));
	part->near = state_alloc(state, state->n, sizeof(*part->near));
	part->may = state_alloc(state, state->n, sizeof(*part->may));
	if (!part->time || !part->near || !part->may)
		return -ENOMEM;
	state->part_count++;
	guest->part_count++;
	return 0;
}

static uint32_t find_part(const struct state *state, const struct state_guest *guest,
			  unsigned int vnode)
{
	for (uint32_t p = 0; p < guest->part_count; p++)
		if (state->parts[guest->part_first + p].vnode == vnode)
			return guest->part_first + p;
	return UINT32_MAX;
}

static int add_parts(struct state *state, size_t index)
{
	struct state_guest *guest = &state->guests[index];
	int rc = 0;

	guest->part_first = (uint32_t)state->part_count;
	for (unsigned int k = 0; even(guest) && !rc && k < state->n; k++)
		if (guest_may(state, guest, k))
			rc = add_part(state, index, PLACEMENT_NO_VNODE, k);
	for (size_t i = 0; !rc && i < guest->given->ram_count; i++)
		if (find_part(state, guest, guest->given->ram[i].vnode) == UINT32_MAX)
			rc = add_part(state, index, guest->given->ram[i].vnode, STATE_NO_HOME);
	return rc;
}

/* ---- Lots ------------------------------------------------------------------------------------ */

static int add_lot(struct state_guest *guest, const struct lot *lot)
{
	if (guest->lot_count == guest->lot_room) {
		size_t room = 2 * guest->lot_room + 4;
		struct lot *lots = realloc(guest->lots, room * sizeof(*lots));

		if (!lots)
			return -ENOMEM;
		guest->lots = lots;
		guest->lot_room = room;
	}
	guest->lots[guest->lot_count++] = *lot;
	return 0;
}

static int add_ram(struct state *state, struct state_guest *guest, const struct placement_ram *ram)
{
	struct lot lot = {.part = find_part(state, guest, ram->vnode),
			  .node = state->rank[ram->node],
			  .page = (uint8_t)ram->page,
			  .pages = (int64_t)((ram->bytes - ram->locked_bytes) >> 12)};
	int rc = 0;

	if (lot.pages)
		rc = add_lot(guest, &lot);
	lot.locked = true;
	lot.pages = (int64_t)(ram->locked_bytes >> 12);
	if (!rc && lot.pages)
		rc = add_lot(guest, &lot);
	guest->pages += (int64_t)(ram->bytes >> 12);
	return rc;
}

int parts_build(struct state *state, size_t index)
{
	struct state_guest *guest = &state->guests[index];
	int rc = add_parts(state, index);

	for (size_t i = 0; !rc && i < guest->given->ram_count; i++)
		rc = add_ram(state, guest, &guest->given->ram[i]);
	if (!rc)
		state_weigh(state, index);
	return rc;
}

int state_move(struct state *state, size_t index, size_t place, int64_t pages, unsigned int to)
{
	struct state_guest *guest = &state->guests[index];
	struct lot moved = guest->lots[place];
	int rc;

	moved.node = (uint16_t)to;
	moved.pages = pages;
	rc = add_lot(guest, &moved);
	if (rc)
		return rc;
	guest->lots[place].pages -= pages;
	state->room[moved.page][guest->lots[place].node] += pages;
	state->room[moved.page][to] -= pages;
	return 0;
}

/* ---- Order among the lots -------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
	const struct lot *left = a, *right = b;

	if (left->page != right->page)
		return left->page < right->page ? -1 : 1;
	if (left->node != right->node)
		return left->node < right->node ? -1 : 1;
	if (left->locked != right->locked)
		return left->locked ? -1 : 1;
	return left->part < right->part ? -1 : left->part > right->part;
}

static void join(struct state_guest *guest)
{
	size_t kept = 0;

	if (guest->lot_count)
		qsort(guest->lots, guest->lot_count, sizeof(*guest->lots), by_place);
	for (size_t i = 0; i < guest->lot_count; i++) {
		if (!guest->lots[i].pages)
			continue;
		if (kept && !by_place(&guest->lots[kept - 1], &guest->lots[i]))
			guest->lots[kept - 1].pages += guest->lots[i].pages;
		else
			guest->lots[kept++] = guest->lots[i];
	}
	guest->lot_count = kept;
}

/* What of a spread guest's pages of one size belongs on its i-th part. */
static int64_t quota(int64_t pages, uint32_t parts, uint32_t i, int64_t unit)
{
	int64_t units = pages / unit;

	return (units / parts + (i < units % parts)) * unit;
}

/* Give lot `place` to part p as far as that lacks pages; what is beyond becomes a lot of its own, at the end. */
static int give(struct state_guest *guest, size_t place, uint32_t part, int64_t *lack)
{
	struct lot rest = guest->lots[place];
	int64_t given = rest.pages < *lack ? rest.pages : *lack;

	guest->lots[place].part = part;
	guest->lots[place].pages = given;
	*lack -= given;
	rest.pages -= given;
	return rest.pages ? add_lot(guest, &rest) : 0;
}

static int share_page(struct state *state, struct state_guest *guest, unsigned int page,
		      int64_t *lack)
{
	uint32_t parts = guest->part_count, first = guest->part_first;
	size_t old;
	int64_t pages = 0;

	for (size_t i = 0; i < guest->lot_count; i++)
		pages += guest->lots[i].page == page ? guest->lots[i].pages : 0;
	for (uint32_t p = 0; p < parts; p++)
		lack[p] = quota(pages, parts, p, state_unit(page));
	/* What lies right stays; the rest, marked by part UINT32_MAX, fills what is lacking in order. */
	old = guest->lot_count;
	for (size_t i = 0; i < old; i++) {
		uint32_t p = 0;

		if (guest->lots[i].page != page)
			continue;
		guest->lots[i].part = UINT32_MAX;
		while (p < parts && state->parts[first + p].home != guest->lots[i].node)
			p++;
		if (p < parts && lack[p] && give(guest, i, first + p, &lack[p]))
			return -ENOMEM;
	}
	for (size_t i = 0; i < guest->lot_count; i++)
		for (uint32_t p = 0; guest->lots[i].part == UINT32_MAX && p < parts; p++)
			if (lack[p] && give(guest, i, first + p, &lack[p]))
				return -ENOMEM;
	return 0;
}

static int share(struct state *state, struct state_guest *guest)
{
	int64_t *lack = calloc(guest->part_count, sizeof(*lack));
	int rc = lack ? 0 : -ENOMEM;

	for (unsigned int page = 0; !rc && page < PLACEMENT_PAGES; page++)
		rc = share_page(state, guest, page, lack);
	free(lack);
	return rc;
}

int state_tidy_one(struct state *state, size_t index)
{
	struct state_guest *guest = &state->guests[index];
	int rc = 0;

	if (guest->part_count && state->parts[guest->part_first].home != STATE_NO_HOME) {
		for (size_t l = 0; l < guest->lot_count; l++)
			guest->lots[l].part = guest->part_first;
		join(guest);
		rc = share(state, guest);
	}
	if (!rc)
		join(guest);
	return rc;
}

int state_tidy(struct state *state)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < state->count; i++)
		rc = state_tidy_one(state, i);
	return rc;
}
