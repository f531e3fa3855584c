#include "timeline.h"
#include "cli.h"
#include "picture.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BINS	 250 /* over all of the job's time */
#define SEEN_MAX 20000
#define LEAST	 1e-7 /* seconds, the lowest end of the scale */

/* What the job has said of stalls, at one time. */
struct seen {
	double seconds;
	uint64_t count, longest_ns;
};

struct timeline {
	int64_t begun_ms;
	struct seen *seen;
	size_t seen_count;
	json_t *records;
	uint64_t dropped;
	double seconds, longest; /* of the job; of anything that is drawn */
};

enum series { WRITERS, READERS, STALLS, STAYED, SERIES };

static const unsigned int colours[SERIES] = {
    [WRITERS] = 0xd55e00, [READERS] = 0x0072b2, [STALLS] = 0x009e73, [STAYED] = 0xcf222e};

struct timeline *timeline_create(void)
{
	struct timeline *timeline = calloc(1, sizeof(*timeline));

	if (!timeline)
		return NULL;
	timeline->begun_ms = cli_now_ms();
	timeline->records = json_array();
	return timeline;
}

void timeline_destroy(struct timeline *timeline)
{
	if (!timeline)
		return;
	json_decref(timeline->records);
	free(timeline->seen);
	free(timeline);
}

static void see_at(struct timeline *timeline, const json_t *job, double seconds)
{
	const json_t *stall = json_object_get(job, "stall_ns");
	struct seen *more;

	if (!stall || timeline->seen_count == SEEN_MAX)
		return;
	more = reallocarray(timeline->seen, timeline->seen_count + 1, sizeof(*more));
	if (!more)
		return;
	timeline->seen = more;
	more[timeline->seen_count++] = (struct seen){.seconds = seconds,
						     .count = cli_number(stall, "count"),
						     .longest_ns = cli_number(stall, "max")};
}

void timeline_see(void *opaque, const json_t *job)
{
	struct timeline *timeline = opaque;

	see_at(timeline, job, (double)(cli_now_ms() - timeline->begun_ms) / 1000);
}

/* All records, answer by answer. */
static int ask(struct timeline *timeline, struct control_client *client, const json_t *job,
	       struct gmig_error *err)
{
	uint64_t total = 1;

	while (json_array_size(timeline->records) < total) {
		size_t first = json_array_size(timeline->records);
		CLI_JSON answer = NULL;
		int rc = control_call(client, "query-job-trace",
				      json_pack("{s:O, s:I}", "id", json_object_get(job, "id"),
						"first", (json_int_t)first),
				      &answer, err);

		if (rc)
			return rc;
		json_array_extend(timeline->records, json_object_get(answer, "records"));
		timeline->dropped = cli_number(answer, "dropped");
		total = cli_number(answer, "total");
		if (json_array_size(timeline->records) == first && first < total)
			return gmig_fail(err, -EPROTO, "the trace ends at record %zu", first);
	}
	return 0;
}

/* ---- Boxes ----------------------------------------------------------------------------------- */

static double seconds_of(const json_t *record, const char *key)
{
	return (double)cli_number(record, key) / 1e9;
}

static void find_ends(struct timeline *timeline, const json_t *job)
{
	json_t *record;
	size_t i;

	timeline->seconds = 1e-3;
	json_array_foreach (timeline->records, i, record) {
		if (seconds_of(record, "end_ns") > timeline->seconds)
			timeline->seconds = seconds_of(record, "end_ns");
		if (seconds_of(record, "blackout_write_ns") > timeline->longest)
			timeline->longest = seconds_of(record, "blackout_write_ns");
		if (seconds_of(record, "blackout_read_ns") > timeline->longest)
			timeline->longest = seconds_of(record, "blackout_read_ns");
	}
	see_at(timeline, job, timeline->seconds);
	for (i = 0; i < timeline->seen_count; i++)
		if ((double)timeline->seen[i].longest_ns / 1e9 > timeline->longest)
			timeline->longest = (double)timeline->seen[i].longest_ns / 1e9;
}

/* The longest of those that moved within each bin. Returns the longest of all, in ns. */
static uint64_t put_blackouts(const struct timeline *timeline, struct picture_series *series,
			      const char *key)
{
	uint64_t longest[BINS] = {0}, all = 0;
	double bin = timeline->seconds / BINS;
	json_t *record;
	size_t i;

	json_array_foreach (timeline->records, i, record) {
		uint64_t ns = cli_number(record, key);
		size_t from = (size_t)(seconds_of(record, "begin_ns") / bin);
		size_t to = (size_t)(seconds_of(record, "end_ns") / bin);

		for (size_t at = from; at <= to && at < BINS; at++)
			longest[at] = ns > longest[at] ? ns : longest[at];
		all = ns > all ? ns : all;
	}
	for (i = 0; i < BINS; i++)
		if (longest[i])
			picture_box(series, (double)i * bin, (double)(i + 1) * bin, LEAST,
				    (double)longest[i] / 1e9);
	return all;
}

/* A line as of boxes: the longest stall until then. */
static void put_stalls(const struct timeline *timeline, struct picture_series *series)
{
	double from = 0;

	for (size_t i = 0; i < timeline->seen_count; i++) {
		const struct seen *seen = &timeline->seen[i];
		double to = seen->seconds < timeline->seconds ? seen->seconds : timeline->seconds;
		double longest = (double)seen->longest_ns / 1e9;

		if (seen->count && to > from)
			picture_box(series, from, to, longest * 0.93, longest * 1.07);
		from = to > from ? to : from;
	}
}

/* Along the lower end: when pages were tried that stayed. Returns how many. */
static uint64_t put_stayed(const struct timeline *timeline, struct picture_series *series)
{
	double bin = timeline->seconds / BINS;
	bool stayed[BINS] = {false};
	uint64_t pages = 0;
	json_t *record;
	size_t i;

	json_array_foreach (timeline->records, i, record) {
		uint64_t all = cli_number(record, "pages"),
			 moved = cli_number(record, "moved_pages");
		size_t at = (size_t)(seconds_of(record, "end_ns") / bin);

		if (all <= moved)
			continue;
		pages += all - moved;
		stayed[at < BINS ? at : BINS - 1] = true;
	}
	for (i = 0; i < BINS; i++)
		if (stayed[i])
			picture_box(series, (double)i * bin, (double)(i + 1) * bin, LEAST,
				    LEAST * 1.8);
	return pages;
}

static void put_boxes(const struct timeline *timeline, const json_t *job, struct picture *picture)
{
	const json_t *stall = json_object_get(job, "stall_ns");
	struct picture_series *series = picture->series;
	uint64_t writers = put_blackouts(timeline, &series[WRITERS], "blackout_write_ns");
	uint64_t readers = put_blackouts(timeline, &series[READERS], "blackout_read_ns");
	uint64_t stayed = put_stayed(timeline, &series[STAYED]);
	char text[UNITS_TEXT];

	put_stalls(timeline, &series[STALLS]);
	for (size_t i = 0; i < SERIES; i++)
		series[i].colour = colours[i];
	snprintf(series[WRITERS].name, PICTURE_NAME, "longest blackout of writers: %s",
		 units_ns(writers, text));
	snprintf(series[READERS].name, PICTURE_NAME, "of readers: %s", units_ns(readers, text));
	snprintf(series[STALLS].name, PICTURE_NAME, "longest stall so far: %s (%llu stalls)",
		 units_ns(cli_number(stall, "max"), text),
		 (unsigned long long)cli_number(stall, "count"));
	snprintf(series[STAYED].name, PICTURE_NAME, "pages tried that stayed: %llu",
		 (unsigned long long)stayed);
}

/* ---- Words ----------------------------------------------------------------------------------- */

static void describe(const struct timeline *timeline, const json_t *job, const char *vm,
		     struct picture *picture)
{
	char moved[UNITS_TEXT], time[UNITS_TEXT];
	int length;

	snprintf(picture->title, sizeof(picture->title), "Job %s of %.80s: %s moved in %s",
		 cli_text(job, "id"), vm, units_size(cli_number(job, "moved_bytes"), moved),
		 units_ns((uint64_t)(cli_real(job, "seconds") * 1e9), time));
	length =
	    snprintf(picture->description, sizeof(picture->description),
		     "%zu moves of a block's pages over %s", json_array_size(timeline->records),
		     units_ns((uint64_t)(timeline->seconds * 1e9), time));
	if (timeline->dropped)
		length += snprintf(
		    picture->description + length, sizeof(picture->description) - (size_t)length,
		    "; %llu later ones were not kept", (unsigned long long)timeline->dropped);
	for (size_t i = 0; i < SERIES && length < (int)sizeof(picture->description); i++)
		length += snprintf(picture->description + length,
				   sizeof(picture->description) - (size_t)length, "; %s",
				   picture->series[i].name);
}

static char *make_settings(const struct timeline *timeline, struct picture *picture)
{
	char *settings = NULL;
	size_t bytes;
	FILE *out = open_memstream(&settings, &bytes);

	if (!out)
		return NULL;
	picture->width = 1000;
	picture->height = 460;
	fprintf(out,
		"set border 3\nset xtics nomirror\nset ytics nomirror\nset grid ytics lt 1 lc rgb "
		"'#8c959f' lw 0.3\n"
		"set logscale y\nset format y '%%.0s%%cs'\nset xlabel 'seconds since the job "
		"began'\n"
		"set tmargin at screen 0.88\nset bmargin at screen 0.24\n"
		"set xrange [0:%.9g]\nset yrange [%g:%g]\n"
		"set key at screen 0.5, screen 0.1 center top horizontal maxcols 2 samplen 1.5 "
		"Left reverse\n",
		timeline->seconds, LEAST,
		timeline->longest > 10 * LEAST ? timeline->longest * 2 : 20 * LEAST);
	if (timeline->dropped)
		fprintf(
		    out,
		    "set label '%llu later moves were not kept' at screen 0.98,screen 0.9 right\n",
		    (unsigned long long)timeline->dropped);
	fclose(out);
	return settings;
}

int timeline_write(struct timeline *timeline, struct control_client *client, const json_t *job,
		   const char *vm, const char *path, struct gmig_error *err)
{
	struct picture picture;
	char *settings = NULL;
	int rc = ask(timeline, client, job, err);

	if (rc)
		return rc;
	if (!json_array_size(timeline->records))
		return gmig_fail(err, -ENODATA, "the job has left no trace: it has moved nothing");
	rc = picture_create(&picture, SERIES);
	if (!rc) {
		find_ends(timeline, job);
		put_boxes(timeline, job, &picture);
		describe(timeline, job, vm, &picture);
		settings = make_settings(timeline, &picture);
	}
	rc = settings ? picture_write(&picture, settings, path, err)
		      : gmig_fail(err, -ENOMEM, "no memory for a picture");
	free(settings);
	picture_free(&picture);
	return rc;
}
