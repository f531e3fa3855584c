/* A plan in words and as JSON. */
#include "fleet_plan.h"

#include "../control/text.h"
#include "units.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *score_json(int score)
{
	return score == PLACEMENT_NO_SCORE ? json_null() : json_real((double)score / 100);
}

static json_t *scores_json(const struct placement_scores *score)
{
	return json_pack("{s:o, s:o, s:o}", "now", score_json(score->now), "after",
			 score_json(score->after), "possible", score_json(score->possible));
}

static json_t *move_json(const struct fleet *fleet, const struct placement_move *move)
{
	json_t *object = json_pack("{s:s, s:o, s:i, s:i, s:s}", "kind",
				   move->kind == PLACEMENT_MEMORY ? "memory" : "vcpus", "guest",
				   control_text_json(fleet->guests[move->guest].name), "from",
				   (int)move->from, "to", (int)move->to, "reason", move->reason);

	if (object && move->vnode != PLACEMENT_NO_VNODE)
		json_object_set_new(object, "vnode", json_integer(move->vnode));
	if (object && move->kind == PLACEMENT_MEMORY) {
		json_object_set_new(object, "bytes", json_integer((json_int_t)move->bytes));
		json_object_set_new(object, "page", json_string(placement_page_name(move->page)));
		json_object_set_new(object, "staging", json_boolean(move->staging));
	} else if (object) {
		json_t *vcpus = json_array();

		for (size_t i = 0; i < move->vcpu_count; i++)
			json_array_append_new(
			    vcpus, json_integer(fleet_vcpu(fleet, move->guest, move->vcpus[i])));
		json_object_set_new(object, "vcpus", vcpus);
	}
	return object;
}

static json_t *left_json(const struct fleet *fleet, const struct placement_left *left)
{
	return json_pack("{s:o, s:i, s:I, s:i, s:s}", "guest",
			 control_text_json(fleet->guests[left->guest].name), "node",
			 (int)left->node, "bytes", (json_int_t)left->bytes, "vcpus",
			 (int)left->vcpus, "reason", left->reason);
}

json_t *fleet_plan_json(const struct fleet *fleet, const struct placement_plan *plan)
{
	json_t *guests = json_array(), *moves = json_array(), *left = json_array();

	for (size_t i = 0; i < plan->guest_count; i++)
		json_array_append_new(guests,
				      json_pack("{s:o, s:o, s:s}", "name",
						control_text_json(fleet->guests[i].name), "score",
						scores_json(&plan->guests[i].score), "reason",
						plan->guests[i].reason));
	for (size_t i = 0; i < plan->move_count; i++)
		json_array_append_new(moves, move_json(fleet, &plan->moves[i]));
	for (size_t i = 0; i < plan->left_count; i++)
		json_array_append_new(left, left_json(fleet, &plan->left[i]));
	return json_pack("{s:o, s:i, s:I, s:o, s:o, s:o, s:O}", "score", scores_json(&plan->score),
			 "fake_nodes", (int)fleet->fake_nodes, "moved_bytes",
			 (json_int_t)plan->moved_bytes, "guests", guests, "moves", moves, "left",
			 left, "silent", fleet->silent);
}

/* ---- In words -------------------------------------------------------------------------------- */

#define SCORE_TEXT 16

static const char *score_text(int score, char text[SCORE_TEXT])
{
	if (score == PLACEMENT_NO_SCORE)
		snprintf(text, SCORE_TEXT, "-");
	else
		snprintf(text, SCORE_TEXT, "%d", (score + 50) / 100);
	return text;
}

/* For a cell: safe, and without a tab. */
static char *name_of(const struct fleet *fleet, size_t guest, char text[80])
{
	snprintf(text, 80, "%s", fleet->guests[guest].name);
	return control_text_safe(text);
}

static void guest_rows(FILE *rows, const struct fleet *fleet, const struct placement_plan *plan)
{
	char now[SCORE_TEXT], after[SCORE_TEXT], possible[SCORE_TEXT], name[80];

	fputs("guest\t>score\t>after\t>possible\t\n", rows);
	for (size_t i = 0; i < plan->guest_count; i++)
		fprintf(rows, "%s\t%s\t%s\t%s\t%s\n", name_of(fleet, i, name),
			score_text(plan->guests[i].score.now, now),
			score_text(plan->guests[i].score.after, after),
			score_text(plan->guests[i].score.possible, possible),
			plan->guests[i].reason);
}

static void move_row(FILE *rows, const struct fleet *fleet, size_t number,
		     const struct placement_move *move)
{
	char what[64], size[UNITS_TEXT], name[80];

	if (move->kind == PLACEMENT_MEMORY)
		snprintf(what, sizeof(what), "%s", units_size(move->bytes, size));
	else
		snprintf(what, sizeof(what), "%zu vCPU%s", move->vcpu_count,
			 move->vcpu_count == 1 ? "" : "s");
	fprintf(rows, "%zu\t%s\t", number, name_of(fleet, move->guest, name));
	if (move->vnode == PLACEMENT_NO_VNODE)
		fputs("-", rows);
	else
		fprintf(rows, "%u", move->vnode);
	fprintf(rows, "\t%s\t%u\t%u\t%s\n", what, move->from, move->to, move->reason);
}

static void move_rows(FILE *rows, const struct fleet *fleet, const struct placement_plan *plan)
{
	fputs(">move\tguest\tvnode\t>what\t>from\t>to\twhy\n", rows);
	for (size_t i = 0; i < plan->move_count; i++)
		move_row(rows, fleet, i + 1, &plan->moves[i]);
}

static void left_rows(FILE *rows, const struct fleet *fleet, const struct placement_plan *plan)
{
	char size[UNITS_TEXT], name[80];

	fputs("stays\t>node\t>what\twhy\n", rows);
	for (size_t i = 0; i < plan->left_count; i++) {
		const struct placement_left *left = &plan->left[i];

		fprintf(rows, "%s\t%u\t", name_of(fleet, left->guest, name), left->node);
		if (left->bytes)
			fprintf(rows, "%s", units_size(left->bytes, size));
		else
			fprintf(rows, "%u vCPU%s", left->vcpus, left->vcpus == 1 ? "" : "s");
		fprintf(rows, "\t%s\n", left->reason);
	}
}

static void print_rows(FILE *out, const struct fleet *fleet, const struct placement_plan *plan,
		       void (*fill)(FILE *, const struct fleet *, const struct placement_plan *))
{
	char *text = NULL;
	size_t bytes;
	FILE *rows = open_memstream(&text, &bytes);

	if (!rows)
		return;
	fill(rows, fleet, plan);
	fclose(rows);
	cli_print_table(out, text);
	free(text);
}

void fleet_print_silent(FILE *out, const struct fleet *fleet)
{
	CLI_JSON silent = control_json_safe(fleet->silent);
	size_t i;
	json_t *entry;

	json_array_foreach (silent, i, entry)
		fprintf(out, "%s is not in the plan: %s\n", cli_text(entry, "name"),
			cli_text(entry, "why"));
}

void fleet_plan_print(FILE *out, const struct fleet *fleet, const struct placement_plan *plan)
{
	char now[SCORE_TEXT], after[SCORE_TEXT], possible[SCORE_TEXT], size[UNITS_TEXT];

	fprintf(out, "SCORE %s -> %s (possible: %s)\n", score_text(plan->score.now, now),
		score_text(plan->score.after, after), score_text(plan->score.possible, possible));
	if (fleet->fake_nodes)
		fprintf(out, "%u fake nodes: the placement is pretended\n", fleet->fake_nodes);
	fleet_print_silent(out, fleet);
	fputc('\n', out);
	print_rows(out, fleet, plan, guest_rows);
	fputc('\n', out);
	if (plan->move_count)
		print_rows(out, fleet, plan, move_rows);
	else
		fputs("nothing is to be moved\n", out);
	if (plan->left_count) {
		fputc('\n', out);
		print_rows(out, fleet, plan, left_rows);
	}
	if (plan->move_count)
		fprintf(out, "\n%s to move\n", units_size(plan->moved_bytes, size));
}
