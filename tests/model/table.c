/*
 * Prints the transitions of the shadow table's entries, one a line: STATE EVENT STATE, then all states and events. They are
 * found by sending each event to an entry in each state that can be reached: what the code does, not what its text looks
 * like. For tests/model/compare, which compiles it with shadow*.c.
 */
#include "migrate/memory/shadow.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH 16

/* Events that bring a fresh entry into a state. */
struct path {
	bool known;
	unsigned int length;
	enum shadow_event event[PATH];
};

static void fail(const char *what)
{
	fprintf(stderr, "table: %s\n", what);
	exit(2);
}

static int send(struct shadow *shadow, enum shadow_event event, struct shadow_entry *after)
{
	const struct shadow_change change = {.order = 9, .event = event, .node = 1, .owner = 1};

	return shadow_change(shadow, &change, after, NULL);
}

/* An entry of its own, brought along `path`, and then this event. false: it was refused. */
static bool try_event(const struct path *path, enum shadow_event event, struct shadow_entry *after)
{
	struct shadow *shadow;
	int ret;

	if (shadow_create(NULL, &shadow) || shadow_reserve(shadow, 0, GMIG_BLOCK_PAGES))
		fail("no memory");
	for (unsigned int i = 0; i < path->length; i++)
		if (send(shadow, path->event[i], after))
			fail("an event is refused now that was not refused before");
	ret = send(shadow, event, after);
	shadow_destroy(shadow);
	return !ret;
}

static void try_state(struct path *paths, enum shadow_state state)
{
	for (unsigned int event = 0; event < SHADOW_EVENTS; event++) {
		struct shadow_entry after;
		struct path *to;

		if (!try_event(&paths[state], (enum shadow_event)event, &after))
			continue;
		printf("%s %s %s\n", shadow_state_name(state),
		       shadow_event_name((enum shadow_event)event), shadow_state_name(after.state));
		to = &paths[after.state];
		if (to->known)
			continue;
		*to = paths[state];
		if (to->length == PATH)
			fail("a longer path than there is room for");
		to->event[to->length++] = (enum shadow_event)event;
	}
}

int main(void)
{
	struct path paths[SHADOW_STATES] = {[SHADOW_NONE] = {.known = true}};
	bool tried[SHADOW_STATES] = {false};
	bool more = true;

	while (more) {
		more = false;
		for (unsigned int state = 0; state < SHADOW_STATES; state++) {
			if (!paths[state].known || tried[state])
				continue;
			tried[state] = more = true;
			try_state(paths, (enum shadow_state)state);
		}
	}
	for (unsigned int state = 0; state < SHADOW_STATES; state++)
		printf("state %s\n", shadow_state_name((enum shadow_state)state));
	for (unsigned int event = 0; event < SHADOW_EVENTS; event++)
		printf("event %s\n", shadow_event_name((enum shadow_event)event));
	return 0;
}
