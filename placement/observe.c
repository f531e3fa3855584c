/* A scan, as a history sees it; and scores without a plan. */
#include "history.h"
#include "state.h"

#include <errno.h>

int placement_score(const struct placement_host *host, const struct placement_guest *guests,
		    size_t count, int *scores, int *host_score, struct gmig_error *err)
{
	struct placement_options options;
	struct state *state;
	int rc;

	placement_options_init(&options);
	rc = state_create(host, guests, count, &options, &state, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++)
		scores[i] = state_score(state, i);
	*host_score = state_host_score(state);
	state_destroy(state);
	return 0;
}

int placement_history_observe(struct placement_history *history, const struct placement_host *host,
			      const struct placement_guest *guests, size_t count,
			      const struct placement_options *options, struct gmig_error *err)
{
	struct placement_options mine = *options;
	struct state *state = NULL;
	int rc;

	mine.history = history;
	rc = state_create(host, guests, count, &mine, &state, err);
	for (size_t i = 0; !rc && i < count; i++) {
		struct history_guest *guest = history_add(history, guests[i].name);
		int score = state_score(state, i);
		bool low = score != PLACEMENT_NO_SCORE && score <= (int)options->threshold * 100;

		if (!guest) {
			rc = gmig_fail(err, -ENOMEM, "no memory to note a score");
			break;
		}
		if (low && !guest->low)
			guest->low_since_seconds = options->now_seconds;
		guest->low = low;
		guest->seen = true;
	}
	if (!rc)
		history_forget(history);
	state_destroy(state);
	return rc;
}
