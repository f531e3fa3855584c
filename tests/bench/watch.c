#include "watch.h"
#include "clocks.h"
#include "copier.h"
#include "guest.h"

#include <errno.h>
#include <string.h>

#define STEP_NS	      2000000u
#define MARGIN	      0.06 /* seconds before and after */
#define MARGIN_POINTS 10
#define MAX_SECONDS   60

struct look {
	double at;
	uint64_t visits;
};

/* Add the step since the last look. */
static int look(struct guest *guest, struct watch *watch, struct look *last, struct gmig_error *err)
{
	struct guest_state state;
	int rc = guest_state(guest, &state, err);
	double now = now_seconds();

	if (rc)
		return rc;
	json_decref(state.gap_ns);
	if (last->at > 0 && watch->count < WATCH_POINTS)
		watch->point[watch->count++] = (struct watch_point){
		    .seconds = now,
		    .visits_per_second = (double)(state.visits - last->visits) / (now - last->at)};
	*last = (struct look){.at = now, .visits = state.visits};
	sleep_ns(STEP_NS);
	return 0;
}

static int look_for(struct guest *guest, double seconds, struct watch *watch, struct look *last,
		    struct gmig_error *err)
{
	double end = now_seconds() + seconds;
	size_t enough = watch->count + MARGIN_POINTS;
	int rc = 0;

	/* On a busy machine one look may take all of the time. */
	while (!rc && (now_seconds() < end || watch->count < enough) && watch->count < WATCH_POINTS)
		rc = look(guest, watch, last, err);
	return rc;
}

static int look_until_end(struct guest *guest, struct guest_outcome *outcome, struct watch *watch,
			  struct look *last, struct gmig_error *err)
{
	double give_up = now_seconds() + MAX_SECONDS;
	int rc;

	while ((rc = guest_migrate_wait(guest, outcome, 0, err)) == -ETIMEDOUT &&
	       now_seconds() < give_up) {
		rc = look(guest, watch, last, err);
		if (rc)
			return rc;
	}
	return rc;
}

static int take_records(struct guest *guest, const struct guest_outcome *outcome,
			struct watch *watch, struct gmig_error *err)
{
	int rc = 0;

	watch->records = json_array();
	for (unsigned int i = 0; !rc && i < outcome->jobs; i++)
		rc = guest_trace(guest, outcome->job[i], watch->records, err);
	return rc;
}

static int migrate_watched(struct guest *guest, const struct guest_migration *migration,
			   struct watch *watch, struct gmig_error *err)
{
	struct guest_outcome outcome = {0};
	struct look last = {0};
	int rc = look_for(guest, MARGIN, watch, &last, err);

	if (rc)
		return rc;
	rc = guest_migrate_start(guest, migration, &outcome, err);
	if (rc)
		return rc;
	rc = look_until_end(guest, &outcome, watch, &last, err);
	watch->seconds = (double)outcome.wall_ns * 1e-9;
	if (!rc)
		rc = look_for(guest, MARGIN, watch, &last, err);
	if (!rc)
		rc = take_records(guest, &outcome, watch, err);
	for (size_t i = 0; i < watch->count; i++)
		watch->point[i].seconds -= (double)outcome.begin_ns * 1e-9;
	guest_outcome_clear(&outcome);
	return rc;
}

int watch_migration(const struct runner_options *options, const struct cell *cell,
		    struct watch *watch, struct gmig_error *err)
{
	const struct guest_config config = {.mem_bytes = cell->mem_bytes,
					    .vcpus = cell->vcpus,
					    .page = cell->page,
					    .frames = cell->frames,
					    .fake_nodes = options->fake_nodes,
					    .pin = options->pin};
	struct guest_migration migration = {.mode = cell->mode,
					    .frames = cell->frames,
					    .threads = cell->threads,
					    .jobs = cell->jobs};
	struct guest *guest = NULL;
	int rc;

	memset(watch, 0, sizeof(*watch));
	watch->cell = *cell;
	rc = guest_create(&config, options->vmm_path, options->directory, &guest, err);
	if (!rc)
		rc = guest_warm_up(guest, &migration, err);
	if (!rc)
		rc = guest_run(guest, cell->load, err);
	if (!rc && !strcmp(cell->frames, "fresh"))
		rc = copier_warm_free_memory(cell->mem_bytes * 3 / 2, err);
	migration.trace = true;
	if (!rc)
		rc = migrate_watched(guest, &migration, watch, err);
	guest_destroy(guest);
	if (rc)
		watch_clear(watch);
	return rc;
}

void watch_clear(struct watch *watch)
{
	json_decref(watch->records);
	memset(watch, 0, sizeof(*watch));
}
