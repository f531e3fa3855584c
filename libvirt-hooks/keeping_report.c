/* What is kept, for whoever asks, and as metrics. See keeping.h. */
#include "../control/text.h"
#include "keeping_inside.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- For gmig show and gmig jobs ------------------------------------------------------------- */

/* Under the lock. */
static const struct kept *find(const struct keeping *keeping, const char *uuid)
{
	for (size_t i = 0; i < keeping->count; i++)
		if (!strcmp(domain_uuid(keeping->kept[i]->domain), uuid))
			return keeping->kept[i];
	return NULL;
}

static json_t *placement_json(const struct kept_shown *shown)
{
	json_t *placement;

	if (shown->wrong)
		return json_pack("{s:o}", "wrong", control_text_json(shown->text));
	if (!shown->known)
		return json_pack("{s:s, s:o}", "state", "unknown", "reason",
				 control_text_json(shown->text));
	placement = json_pack("{s:s, s:s, s:o}", "policy", shown->placement, "state", shown->state,
			      "reason", control_text_json(shown->text));
	if (placement && *shown->where)
		json_object_set_new(placement, "where", control_text_json(shown->where));
	return placement;
}

void keeping_describe(struct keeping *keeping, const char *uuid, json_t *object)
{
	const struct kept *kept;
	struct kept_shown shown;

	if (!keeping)
		return;
	pthread_mutex_lock(&keeping->lock);
	kept = find(keeping, uuid);
	if (kept)
		shown = kept->shown;
	pthread_mutex_unlock(&keeping->lock);
	if (kept)
		json_object_set_new(object, "placement", placement_json(&shown));
}

void keeping_describe_job(struct keeping *keeping, const char *uuid, uint64_t id, json_t *job)
{
	struct kept_job own = {.id = 0};
	const struct kept *kept;

	if (!keeping)
		return;
	pthread_mutex_lock(&keeping->lock);
	kept = find(keeping, uuid);
	if (kept)
		own = kept->jobs[id % KEPT_JOBS];
	pthread_mutex_unlock(&keeping->lock);
	if (own.id && own.id == id)
		json_object_set_new(job, "reason", control_text_json(own.reason));
}

/* ---- Metrics --------------------------------------------------------------------------------- */

static double score_of(int hundredths)
{
	return hundredths == PLACEMENT_NO_SCORE ? NAN : (double)hundredths / 100;
}

/* NAN: where its vCPUs may run, or any memory, is not known. */
static double local_ratio(const struct kept *kept)
{
	uint64_t local = 0, all = 0;

	for (size_t i = 0; i < kept->ram_count; i++) {
		all += kept->ram[i].bytes;
		if (gmig_node_set_has(&kept->vcpu_nodes, kept->ram[i].node))
			local += kept->ram[i].bytes;
	}
	return all && !gmig_node_set_empty(&kept->vcpu_nodes) ? (double)local / (double)all : NAN;
}

static void fill_domain(const struct kept *kept, struct metrics_memory *memory,
			struct metrics_domain *domain)
{
	*domain =
	    (struct metrics_domain){.name = domain_name(kept->domain),
				    .memory = memory,
				    .local_ratio = local_ratio(kept),
				    .score = score_of(kept->verdict.score.now),
				    .score_possible = score_of(kept->verdict.score.possible),
				    .scan_timestamp = kept->looked ? kept->look_timestamp : NAN,
				    .policy_wrong = kept->error.code,
				    .job = kept->job_metrics};
	for (size_t i = 0; i < kept->ram_count; i++)
		memory[domain->memory_count++] =
		    (struct metrics_memory){.node = kept->ram[i].node,
					    .page_bytes = placement_page_bytes(kept->ram[i].page),
					    .bytes = kept->ram[i].bytes};
}

static int write_all(const struct keeping *keeping, const char *path, struct gmig_error *err)
{
	struct metrics_domain *domains = calloc(keeping->count + 1, sizeof(*domains));
	struct metrics_snapshot snapshot = {.version = GMIG_VERSION,
					    .domains = domains,
					    .domain_count = keeping->count,
					    .host_score = score_of(keeping->score.now),
					    .host_score_possible =
						score_of(keeping->score.possible),
					    .scan_duration_seconds = keeping->scan_seconds,
					    .scan_cpu_seconds = (double)keeping->cpu_ns / 1e9};
	struct metrics_memory *memory;
	size_t rows = 0;
	int ret;

	for (size_t i = 0; i < keeping->count; i++)
		rows += keeping->kept[i]->ram_count;
	memory = calloc(rows + 1, sizeof(*memory));
	if (!domains || !memory) {
		free(domains);
		free(memory);
		return gmig_fail(err, -ENOMEM, "no memory for metrics");
	}
	rows = 0;
	for (size_t i = 0; i < keeping->count; i++) {
		fill_domain(keeping->kept[i], memory + rows, &domains[i]);
		rows += keeping->kept[i]->ram_count;
	}
	ret = metrics_write(path, &snapshot, err);
	free(domains);
	free(memory);
	return ret;
}

void keeping_write_metrics(struct keeping *keeping, const char *path)
{
	struct gmig_error err = {0, ""};

	if (write_all(keeping, path, &err) && strcmp(err.text, keeping->said_metrics) != 0)
		keeping_log(keeping, GMIG_LOG_WARNING, "metrics are not written: %s", err.text);
	memcpy(keeping->said_metrics, err.text, sizeof(err.text));
}
