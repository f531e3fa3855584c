#include "input.h"
#include "parts.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- The end of it ---------------------------------------------------------------------------- */

void state_destroy(struct state *state)
{
	if (!state)
		return;
	for (size_t i = 0; state->guests && i < state->count; i++)
		free(state->guests[i].lots);
	state_free_blocks(state);
	free(state);
}

/* ---- The host -------------------------------------------------------------------------------- */

static bool has_memory(const struct state *state, unsigned int node)
{
	return state->host->nodes[node].total_bytes;
}

/* The table of w(c, k). */
static void fill_nearness(struct state *state)
{
	for (unsigned int c = 0; c < state->n; c++) {
		unsigned int near = PLACEMENT_UNREACHED, far = 0;

		for (unsigned int k = 0; k < state->n; k++) {
			unsigned int d = state_distance(state, c, k);

			if (d == PLACEMENT_UNREACHED || !has_memory(state, k))
				continue;
			near = d < near ? d : near;
			far = d > far ? d : far;
		}
		for (unsigned int k = 0; k < state->n; k++) {
			unsigned int d = state_distance(state, c, k);
			int32_t *w = &state->w[(size_t)c * state->n + k];

			if (d == PLACEMENT_UNREACHED || d > far)
				*w = 0;
			else if (far == near || d <= near)
				*w = STATE_PPM;
			else
				*w = (int32_t)((far - d) * STATE_PPM / (far - near));
		}
	}
}

/* By counting: there are few distances. */
static void fill_nearest(struct state *state)
{
	for (unsigned int c = 0; c < state->n; c++) {
		unsigned int place[PLACEMENT_UNREACHED + 2] = {0};

		for (unsigned int k = 0; k < state->n; k++)
			place[state_distance(state, c, k) + 1]++;
		for (unsigned int d = 1; d <= PLACEMENT_UNREACHED; d++)
			place[d] += place[d - 1];
		for (unsigned int k = 0; k < state->n; k++)
			state
			    ->nearest[(size_t)c * state->n + place[state_distance(state, c, k)]++] =
			    (uint16_t)k;
	}
}

static void fill_rooms(struct state *state)
{
	for (unsigned int k = 0; k < state->n; k++) {
		const struct placement_node *node = &state->host->nodes[k];

		for (unsigned int p = 0; p < PLACEMENT_PAGES; p++)
			state->room[p][k] =
			    (int64_t)(node->free_bytes[p] / placement_page_bytes(p)) *
			    state_unit(p);
		state->room[PLACEMENT_4K][k] -= (int64_t)((node->reserved_bytes + 4095) >> 12);
		state->closed[k] =
		    node->closed || gmig_node_set_has(&state->options.drain, node->id);
	}
}

static void fill_cpus(struct state *state)
{
	for (unsigned int k = 0; k < state->n; k++) {
		const struct placement_node *node = &state->host->nodes[k];
		struct placement_cpus open;

		placement_open_cpus(node, &open);
		for (unsigned int i = 0; i < PLACEMENT_CPU_WORDS; i++)
			state->cpus[k] += (uint32_t)__builtin_popcountll(open.word[i]);
		state->cpu_free[k] = (int64_t)state->cpus[k] * 1000 - (int64_t)node->busy_milli;
	}
}

static int add_host(struct state *state)
{
	size_t n = state->n;

	for (unsigned int i = 0; i < GMIG_MAX_NODES; i++)
		state->rank[i] = STATE_NO_HOME;
	for (size_t k = 0; k < n; k++)
		state->rank[state->host->nodes[k].id] = (uint16_t)k;
	for (unsigned int p = 0; p < PLACEMENT_PAGES; p++) {
		state->room[p] = state_alloc(state, n, sizeof(int64_t));
		if (!state->room[p])
			return -ENOMEM;
	}
	state->w = state_alloc(state, n * n, sizeof(int32_t));
	state->nearest = state_alloc(state, n * n, sizeof(uint16_t));
	state->closed = state_alloc(state, n, sizeof(bool));
	state->cpu_free = state_alloc(state, n, sizeof(int64_t));
	state->cpus = state_alloc(state, n, sizeof(uint32_t));
	state->sum = state_alloc(state, n, sizeof(int64_t));
	if (!state->w || !state->nearest || !state->closed || !state->cpu_free || !state->cpus ||
	    !state->sum)
		return -ENOMEM;
	fill_nearness(state);
	fill_nearest(state);
	fill_rooms(state);
	fill_cpus(state);
	return 0;
}

/* ---- The guests ------------------------------------------------------------------------------ */

static int add_guest(struct state *state, size_t index, const struct placement_guest *given)
{
	struct state_guest *guest = &state->guests[index];

	guest->given = given;
	guest->goal =
	    state->options.told && given->goal == PLACEMENT_NONE ? PLACEMENT_FOLLOW : given->goal;
	guest->vcpu_node = state_alloc(state, given->vcpus, sizeof(uint16_t));
	if (!guest->vcpu_node)
		return -ENOMEM;
	for (unsigned int v = 0; v < given->vcpus; v++)
		guest->vcpu_node[v] = STATE_NO_HOME;
	for (size_t i = 0; i < given->time_count; i++)
		state->cpu_free[state->rank[given->time[i].node]] -= given->time[i].milli;
	return parts_build(state, index);
}

int state_create(const struct placement_host *host, const struct placement_guest *guests,
		 size_t count, const struct placement_options *options, struct state **out,
		 struct gmig_error *err)
{
	struct state *state;
	int rc = input_check(host, guests, count, options, err);

	if (rc)
		return rc;
	state = calloc(1, sizeof(*state));
	if (!state)
		return gmig_fail(err, -ENOMEM, "no memory for a plan");
	state->host = host;
	state->options = *options;
	state->n = (unsigned int)host->node_count;
	state->count = count;
	state->guests = state_alloc(state, count, sizeof(*state->guests));
	rc = state->guests ? add_host(state) : -ENOMEM;
	for (size_t i = 0; !rc && i < count; i++)
		rc = add_guest(state, i, &guests[i]);
	if (!rc)
		rc = state_tidy(state);
	if (rc) {
		state_destroy(state);
		return gmig_fail(err, rc, "no memory for a plan");
	}
	*out = state;
	return 0;
}

/* ---- Scores ---------------------------------------------------------------------------------- */

int64_t state_locality(const struct state *state, size_t index, int64_t *pages)
{
	const struct state_guest *guest = &state->guests[index];
	int64_t sum = 0;

	*pages = 0;
	for (size_t i = 0; i < guest->lot_count; i++) {
		const struct lot *lot = &guest->lots[i];

		if (!state->parts[lot->part].scored)
			continue;
		*pages += lot->pages;
		sum += lot->pages * state->parts[lot->part].near[lot->node];
	}
	return sum;
}

static int hundredths(int64_t locality, int64_t pages)
{
	return pages ? (int)(locality / pages / (STATE_PPM / 10000)) : PLACEMENT_NO_SCORE;
}

int state_score(const struct state *state, size_t guest)
{
	int64_t pages, locality = state_locality(state, guest, &pages);

	return hundredths(locality, pages);
}

int state_host_score(const struct state *state)
{
	int64_t locality = 0, pages = 0;

	for (size_t i = 0; i < state->count; i++) {
		int64_t part;

		locality += state_locality(state, i, &part);
		pages += part;
	}
	return hundredths(locality, pages);
}
