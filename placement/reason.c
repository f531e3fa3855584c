#include "reason.h"
#include "history.h"
#include "rules.h"

#include <stdio.h>

#define NAME_BYTES 64

/* Names come from anywhere: what is not printable ASCII does not reach a terminal. */
static const char *printable(const char *name, char text[NAME_BYTES])
{
	size_t i = 0;

	for (; i < NAME_BYTES - 4 && name[i]; i++)
		text[i] = name[i];
	for (size_t j = 0; j < i; j++)
		if (text[j] < ' ' || text[j] > '~')
			text[j] = '?';
	for (unsigned int dots = 0; name[i] && dots < 3; dots++)
		text[i + dots] = '.';
	text[name[i] ? i + 3 : i] = '\0';
	return text;
}

static unsigned int id_of(const struct state *state, unsigned int node)
{
	return state->host->nodes[node].id;
}

static const struct part *find_part(const struct state *state, const struct round_step *step)
{
	const struct state_guest *guest = &state->guests[step->guest];

	for (uint32_t p = 0; p < guest->part_count; p++)
		if (state->parts[guest->part_first + p].vnode == step->vnode)
			return &state->parts[guest->part_first + p];
	return &state->parts[guest->part_first];
}

/* ---- Moves ----------------------------------------------------------------------------------- */

/* The node on which its vCPUs spend most of their time, and the share of it in percent. */
static unsigned int busiest(const struct state *state, const struct part *part,
			    unsigned int *percent)
{
	unsigned int best = 0;
	int64_t total = 0;

	for (unsigned int c = 0; c < state->n; c++) {
		total += part->time[c];
		if (part->time[c] > part->time[best])
			best = c;
	}
	*percent = total ? (unsigned int)(part->time[best] * 100 / total) : 0;
	return best;
}

static void reason_of_nearness(const struct state *state, const struct part *part,
			       const struct round_step *step, char text[PLACEMENT_REASON])
{
	char whose[48] = "its vCPUs spend";
	unsigned int percent, cpu = busiest(state, part, &percent);

	if (part->vnode != PLACEMENT_NO_VNODE)
		snprintf(whose, sizeof(whose), "the vCPUs of its vnode %u spend", part->vnode);
	snprintf(text, PLACEMENT_REASON,
		 "%s %u%% of their time on node %u: distance %u to node %u, %u to node %u", whose,
		 percent, id_of(state, cpu), state_distance(state, cpu, step->to),
		 id_of(state, step->to), state_distance(state, cpu, step->from),
		 id_of(state, step->from));
}

bool reason_names_other(const struct state *state, const struct round_step *step)
{
	const struct part *part = find_part(state, step);

	return !step->staging && !state->closed[step->from] && part->home == STATE_NO_HOME &&
	       state->guests[step->guest].goal != PLACEMENT_FIXED &&
	       part->near[step->to] <= part->near[step->from];
}

void reason_of_step(const struct state *state, const struct round_step *step, size_t other,
		    char text[PLACEMENT_REASON])
{
	const struct state_guest *guest = &state->guests[step->guest];
	const struct part *part = find_part(state, step);
	char name[NAME_BYTES];

	if (step->staging)
		snprintf(text, PLACEMENT_REASON,
			 "steps aside: the nodes that exchange memory have no room left, a later "
			 "move takes it on");
	else if (state->closed[step->from])
		snprintf(text, PLACEMENT_REASON, "node %u is closed", id_of(state, step->from));
	else if (part->home != STATE_NO_HOME)
		snprintf(text, PLACEMENT_REASON,
			 "node %u has more than its even share of this memory",
			 id_of(state, step->from));
	else if (guest->goal == PLACEMENT_FIXED)
		snprintf(text, PLACEMENT_REASON, "node %u is not among its nodes",
			 id_of(state, step->from));
	else if (!reason_names_other(state, step) || other == SIZE_MAX)
		reason_of_nearness(state, part, step, text);
	else
		snprintf(text, PLACEMENT_REASON, "makes room on node %u for %s",
			 id_of(state, step->from),
			 printable(state->guests[other].given->name, name));
}

void reason_of_pin(const struct state *state, const struct round_pin *pin,
		   char text[PLACEMENT_REASON])
{
	const struct state_guest *guest = &state->guests[pin->guest];
	int64_t there = 0;

	if (pin->drain) {
		snprintf(text, PLACEMENT_REASON, "node %u is closed", id_of(state, pin->from));
		return;
	}
	for (size_t l = 0; l < guest->lot_count; l++)
		there += guest->lots[l].node == pin->to ? guest->lots[l].pages : 0;
	snprintf(text, PLACEMENT_REASON,
		 "goes together with its memory: node %u has CPUs for them, and will have %u%% of "
		 "its memory",
		 id_of(state, pin->to),
		 guest->pages ? (unsigned int)(there * 100 / guest->pages) : 0);
}

/* ---- What stays ------------------------------------------------------------------------------ */

void reason_of_left(const struct state *state, size_t index, const struct lot *lot,
		    char text[PLACEMENT_REASON])
{
	const struct state_guest *guest = &state->guests[index];
	const struct part *part = &state->parts[lot->part];
	bool somewhere = false;

	for (unsigned int k = 0; k < state->n; k++)
		somewhere |=
		    part->may[k] && state_distance(state, lot->node, k) != PLACEMENT_UNREACHED;
	if (!guest->given->managed)
		snprintf(text, PLACEMENT_REASON, "the guest is not managed");
	else if (guest->given->protect)
		snprintf(text, PLACEMENT_REASON, "the guest is protected");
	else if (!rules_may_drain(guest))
		snprintf(text, PLACEMENT_REASON, "the guest's placement is fixed");
	else if (lot->locked)
		snprintf(text, PLACEMENT_REASON, "the memory is locked for a device");
	else if (!somewhere)
		snprintf(
		    text, PLACEMENT_REASON,
		    "no open node with memory is allowed to the guest and in reach of its vCPUs");
	else
		snprintf(text, PLACEMENT_REASON,
			 "the open nodes that are allowed to the guest have no more free %s memory",
			 placement_page_name(lot->page));
}

void reason_of_left_vcpus(const struct state *state, size_t index, char text[PLACEMENT_REASON])
{
	const struct state_guest *guest = &state->guests[index];

	if (!guest->given->managed)
		snprintf(text, PLACEMENT_REASON, "the guest is not managed");
	else if (guest->given->protect)
		snprintf(text, PLACEMENT_REASON, "the guest is protected");
	else if (!rules_may_drain(guest))
		snprintf(text, PLACEMENT_REASON, "the guest's placement is fixed");
	else if (guest->given->keep_vcpus)
		snprintf(text, PLACEMENT_REASON, "its vCPUs are not to be re-pinned");
	else
		snprintf(text, PLACEMENT_REASON,
			 "no open node that is allowed to the guest has enough CPUs without "
			 "promises and load");
}

static void reason_of_stay(const struct state *state, const struct state_guest *guest,
			   char text[PLACEMENT_REASON])
{
	const struct placement_options *options = &state->options;
	const struct history_guest *past =
	    options->history ? history_find(options->history, guest->given->name) : NULL;

	switch (guest->verdict) {
	case STAY_UNMANAGED:
		snprintf(text, PLACEMENT_REASON, "the guest is not managed");
		break;
	case STAY_GOAL:
		snprintf(text, PLACEMENT_REASON, "its placement is %s",
			 placement_goal_name(guest->goal));
		break;
	case STAY_THRESHOLD:
		snprintf(text, PLACEMENT_REASON, "its score is above %u", options->threshold);
		break;
	case STAY_HOLD:
		snprintf(text, PLACEMENT_REASON, "its score has not been low for %u s yet",
			 options->hold_seconds);
		break;
	case STAY_FREEZE:
		snprintf(
		    text, PLACEMENT_REASON, "it moved back and forth, and stays for another %llu s",
		    past ? (unsigned long long)(past->frozen_until_seconds - options->now_seconds)
			 : 0ull);
		break;
	case STAY_MARGIN:
		snprintf(text, PLACEMENT_REASON, "it would gain less than %u points",
			 options->margin);
		break;
	case STAY_LOSS:
	case STAY_PROTECTED:
		snprintf(text, PLACEMENT_REASON, "others would gain at its cost");
		break;
	case STAY_ORDER:
		snprintf(text, PLACEMENT_REASON,
			 "the nodes that would exchange memory are full, and no other has room for "
			 "a detour");
		break;
	default:
		snprintf(text, PLACEMENT_REASON, "better nodes have no more room for it");
	}
}

void reason_of_verdict(const struct state *state, size_t index, bool dropped,
		       char text[PLACEMENT_REASON])
{
	const struct state_guest *guest = &state->guests[index];

	if (state->options.drain_only)
		snprintf(text, PLACEMENT_REASON, "only closed nodes are emptied");
	else if (dropped && guest->stay == STAY_NOT)
		snprintf(text, PLACEMENT_REASON, "the host would gain less than %u points",
			 state->options.min_gain);
	else
		reason_of_stay(state, guest, text);
}
