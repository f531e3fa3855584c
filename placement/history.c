#include "history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Sorted by name. */
struct placement_history {
	struct history_guest *guests;
	size_t count, room;
};

int placement_history_create(struct placement_history **out, struct gmig_error *err)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : gmig_fail(err, -ENOMEM, "no memory for a history");
}

void placement_history_destroy(struct placement_history *history)
{
	if (!history)
		return;
	for (size_t i = 0; i < history->count; i++)
		free(history->guests[i].name);
	free(history->guests);
	free(history);
}

/* The first that does not come before the name. */
static size_t place_of(const struct placement_history *history, const char *name)
{
	size_t low = 0, high = history->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(history->guests[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct history_guest *history_find(const struct placement_history *history, const char *name)
{
	size_t place = place_of(history, name);

	if (place == history->count || strcmp(history->guests[place].name, name) != 0)
		return NULL;
	return &history->guests[place];
}

struct history_guest *history_add(struct placement_history *history, const char *name)
{
	size_t place = place_of(history, name);
	struct history_guest *guest;
	char *copy;

	if (place < history->count && !strcmp(history->guests[place].name, name))
		return &history->guests[place];
	if (history->count == history->room) {
		size_t room = 2 * history->room + 16;
		struct history_guest *guests = realloc(history->guests, room * sizeof(*guests));

		if (!guests)
			return NULL;
		history->guests = guests;
		history->room = room;
	}
	copy = strdup(name);
	if (!copy)
		return NULL;
	guest = &history->guests[place];
	memmove(guest + 1, guest, (history->count - place) * sizeof(*guest));
	*guest = (struct history_guest){.name = copy};
	history->count++;
	return guest;
}

void history_forget(struct placement_history *history)
{
	size_t kept = 0;

	for (size_t i = 0; i < history->count; i++) {
		struct history_guest *guest = &history->guests[i];

		if (!guest->seen) {
			free(guest->name);
			continue;
		}
		guest->seen = false;
		history->guests[kept++] = *guest;
	}
	history->count = kept;
}

/* ---- Reversals ------------------------------------------------------------------------------- */

static bool takes_back(const struct history_guest *guest, const struct placement_move *move,
		       const struct placement_options *options)
{
	unsigned int known = guest->move_count < HISTORY_MOVES ? guest->move_count : HISTORY_MOVES;

	for (unsigned int i = 0; i < known; i++) {
		const struct history_move *before = &guest->moves[i];

		if (before->vnode == move->vnode && before->page == move->page &&
		    before->from == move->to && before->to == move->from &&
		    options->now_seconds - before->at_seconds <= options->window_seconds)
			return true;
	}
	return false;
}

static void freeze(struct history_guest *guest, const struct placement_options *options)
{
	uint64_t now = options->now_seconds;
	unsigned int doublings;

	/* Who was left in peace for long starts from the beginning. */
	if (now > guest->frozen_until_seconds + 4ull * options->freeze_seconds)
		guest->reversals = 0;
	/* The moves of one plan are one reversal. */
	if (guest->reversals && now < guest->frozen_until_seconds)
		return;
	doublings = guest->reversals < 10 ? guest->reversals : 10;
	guest->reversals++;
	guest->frozen_until_seconds = now + ((uint64_t)options->freeze_seconds << doublings);
}

int placement_history_record(struct placement_history *history,
			     const struct placement_guest *guests,
			     const struct placement_move *move,
			     const struct placement_options *options, struct gmig_error *err)
{
	struct history_guest *guest;

	if (move->kind != PLACEMENT_MEMORY || move->staging)
		return 0;
	guest = history_add(history, guests[move->guest].name);
	if (!guest)
		return gmig_fail(err, -ENOMEM, "no memory to note a move");
	if (takes_back(guest, move, options))
		freeze(guest, options);
	guest->moves[guest->move_count++ % HISTORY_MOVES] = (struct history_move){
	    options->now_seconds, move->vnode, move->from, move->to, (uint8_t)move->page};
	return 0;
}
