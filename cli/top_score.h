/*
 * The affinity scores of all guests that answer (placement/placement.h), for `gmig top`: what they are now, and what `gmig plan`
 * would reach. A plan is for the whole host, so it is made seldom, and the seldomer the longer it takes; between its two looks at
 * the vCPUs' threads nothing waits. One thread.
 */
#ifndef CLI_TOP_SCORE_H
#define CLI_TOP_SCORE_H

#include "top_model.h"

#define TOP_SCORED_MOST 256 /* of more guests no score is told: the plan would hold up the screen */

struct top_scores;

struct top_scores *top_scores_create(void); /* NULL: no memory */
void top_scores_destroy(struct top_scores *scores);

/* The first look, at guests as they are in the model. */
void top_scores_begin(struct top_scores *scores, struct top_model *model);
/* The second one, and the plan: the guests have their scores, or none. Nothing without a first one. */
void top_scores_end(struct top_scores *scores, struct top_model *model);
/* At the beginning of each round: one of the two, if it is due. now_ms: cli_now_ms(). */
void top_scores_round(struct top_scores *scores, struct top_model *model, int64_t now_ms);

#endif
