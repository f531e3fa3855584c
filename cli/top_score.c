#include "top_score.h"
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

#define EVERY_MS 15000
#define SHARE	 1000 /* of the time that a plan takes, until the next one: a thousandth of a CPU */

struct top_scores {
	struct fleet fleet;
	bool begun;
	int64_t due_ms;
};

struct top_scores *top_scores_create(void)
{
	return calloc(1, sizeof(struct top_scores));
}

static void forget(struct top_scores *scores)
{
	if (scores->begun)
		fleet_free(&scores->fleet);
	scores->begun = false;
}

void top_scores_destroy(struct top_scores *scores)
{
	if (!scores)
		return;
	forget(scores);
	free(scores);
}

static void no_scores(struct top_model *model)
{
	for (size_t i = 0; i < model->count; i++)
		model->guests[i]->score_now = model->guests[i]->score_possible = TOP_UNKNOWN;
}

/* To the planner a guest's name is its serial: two guests may have one name. */
static void list_guests(const struct top_model *model, json_t *entries, json_t *answers)
{
	for (size_t i = 0; i < model->count; i++) {
		const struct top_guest *guest = model->guests[i];
		char serial[24];

		if (!guest->answered)
			continue;
		snprintf(serial, sizeof(serial), "%llu", (unsigned long long)guest->serial);
		json_array_append_new(entries,
				      json_pack("{s:s, s:O*, s:O*}", "name", serial, "uri",
						json_object_get(guest->residency, "uri"), "pins",
						json_object_get(guest->residency, "pins")));
		json_array_append(answers, guest->residency);
	}
}

void top_scores_begin(struct top_scores *scores, struct top_model *model)
{
	const struct fleet_request request = {.fresh = false};
	CLI_JSON entries = json_array();
	CLI_JSON answers = json_array();
	struct gmig_error err;

	forget(scores);
	list_guests(model, entries, answers);
	if (!json_array_size(entries) || json_array_size(entries) > TOP_SCORED_MOST) {
		no_scores(model);
		return;
	}
	scores->begun = true;
	if (fleet_begin(&request, entries, answers, &scores->fleet, &err)) {
		forget(scores);
		no_scores(model);
	}
}

static void take(struct top_model *model, const struct fleet *fleet,
		 const struct placement_plan *plan)
{
	no_scores(model);
	for (size_t i = 0; i < plan->guest_count; i++) {
		const struct placement_scores *score = &plan->guests[i].score;
		struct top_guest *guest =
		    top_model_find(model, strtoull(fleet->guests[i].name, NULL, 10));

		if (!guest || !guest->answered || score->now == PLACEMENT_NO_SCORE)
			continue;
		guest->score_now = (double)score->now / 100;
		if (score->possible != PLACEMENT_NO_SCORE)
			guest->score_possible = (double)score->possible / 100;
	}
}

void top_scores_end(struct top_scores *scores, struct top_model *model)
{
	struct placement_plan *plan = NULL;
	struct placement_options options;
	struct gmig_error err;

	if (!scores->begun)
		return;
	placement_options_init(&options);
	options.told = true; /* as gmig plan */
	if (fleet_end(&scores->fleet, &err) ||
	    placement_plan(&scores->fleet.host, scores->fleet.guests, scores->fleet.count, &options,
			   &plan, &err))
		no_scores(model);
	else
		take(model, &scores->fleet, plan);
	placement_plan_destroy(plan);
	forget(scores);
}

void top_scores_round(struct top_scores *scores, struct top_model *model, int64_t now_ms)
{
	int64_t took_ms;

	if (scores->begun) {
		top_scores_end(scores, model);
		took_ms = cli_now_ms() - now_ms;
		scores->due_ms = now_ms + (took_ms * SHARE > EVERY_MS ? took_ms * SHARE : EVERY_MS);
	} else if (now_ms >= scores->due_ms && model->count) {
		top_scores_begin(scores, model);
	}
}
