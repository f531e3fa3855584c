#include "scale.h"
#include "../../migrate/memory/engine.h"
#include "clocks.h"
#include "stats.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define BATCH 20000 /* lookups between two looks at the clock */

struct field {
	struct shadow *shadow;
	uint64_t pages;
	unsigned int order; /* of a leaf: 0 is 4K, 9 is 2M */
	atomic_bool stop;
	atomic_ullong wrong; /* lookups that found what nobody wrote */
};

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t random_leaf(const struct field *field, uint64_t *seed)
{
	uint64_t leaves = field->pages >> field->order;

	return (uint64_t)((unsigned __int128)next_random(seed) * leaves >> 64) << field->order;
}

/* ---- Readers and the writer ------------------------------------------------------------------ */

struct reader {
	struct field *field;
	bool random;
	uint64_t seed;
	pthread_t thread;
	double seconds;
	uint64_t lookups;
	double batch_ns[STATS_MAX]; /* the first ones */
	size_t batches;
};

/* Returns how many of the lookups found something wrong. */
static unsigned int look_up_batch(struct reader *reader, uint64_t *gfn)
{
	const struct field *field = reader->field;
	const uint64_t step = 1ull << field->order;
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < BATCH; i++) {
		struct shadow_entry entry;

		if (reader->random)
			*gfn = random_leaf(field, &reader->seed);
		else
			*gfn = *gfn + step < field->pages ? *gfn + step : 0;
		wrong += shadow_lookup(field->shadow, *gfn, &entry) || entry.node > 1 ||
			 entry.state == SHADOW_NONE || entry.order != field->order;
	}
	return wrong;
}

static void *reader_thread(void *arg)
{
	struct reader *reader = arg;
	uint64_t gfn = random_leaf(reader->field, &reader->seed);
	double begin = clock_seconds(CLOCK_THREAD_CPUTIME_ID), last = begin;

	/* Once at least, also when the CPU comes late. */
	do {
		unsigned int wrong = look_up_batch(reader, &gfn);
		double now = clock_seconds(CLOCK_THREAD_CPUTIME_ID);

		if (wrong)
			atomic_fetch_add(&reader->field->wrong, wrong);
		if (reader->batches < STATS_MAX)
			reader->batch_ns[reader->batches++] = (now - last) * 1e9 / BATCH;
		reader->lookups += BATCH;
		last = now;
	} while (!atomic_load_explicit(&reader->field->stop, memory_order_relaxed));
	reader->seconds = last - begin;
	return NULL;
}

struct writer {
	struct field *field;
	pthread_t thread;
	double seconds;
	uint64_t changes;
};

/* What a job does to a block: claim it, close it, settle it on the other node. */
static void move_leaf(const struct field *field, uint64_t gfn)
{
	struct shadow_change change = {.gfn = gfn, .order = field->order, .owner = 1};
	struct shadow_entry entry;

	if (shadow_lookup(field->shadow, gfn, &entry))
		return;
	change.event = SHADOW_CLAIM;
	change.node = !entry.node;
	shadow_change(field->shadow, &change, NULL, NULL);
	change.event = SHADOW_CLOSE;
	shadow_change(field->shadow, &change, NULL, NULL);
	change.event = SHADOW_SETTLE;
	shadow_change(field->shadow, &change, NULL, NULL);
}

static void *writer_thread(void *arg)
{
	struct writer *writer = arg;
	uint64_t seed = 0x9e3779b97f4a7c15;
	double begin = clock_seconds(CLOCK_THREAD_CPUTIME_ID);

	do {
		move_leaf(writer->field, random_leaf(writer->field, &seed));
		writer->changes += 3;
	} while (!atomic_load_explicit(&writer->field->stop, memory_order_relaxed));
	writer->seconds = clock_seconds(CLOCK_THREAD_CPUTIME_ID) - begin;
	return NULL;
}

/* ---- One figure ------------------------------------------------------------------------------ */

static double median_of(struct reader *readers, unsigned int count)
{
	static double all[STATS_MAX];
	struct stats_summary summary;
	size_t kept = 0;

	/* As many of each, so that all of them have a say. */
	for (unsigned int r = 0; r < count; r++)
		for (size_t i = 0; i < readers[r].batches && i < STATS_MAX / count; i++)
			all[kept++] = readers[r].batch_ns[i];
	stats_summarize(all, kept, &summary);
	return summary.median;
}

static int start(pthread_t *thread, void *(*run)(void *), void *arg, struct gmig_error *err)
{
	int rc = pthread_create(thread, NULL, run, arg);

	return rc ? gmig_fail(err, -rc, "a thread cannot be started: %s", strerror(rc)) : 0;
}

static int look_up(struct field *field, struct scale_lookups *lookups, bool random,
		   unsigned int milliseconds, struct gmig_error *err)
{
	static struct reader readers[SCALE_MAX_READERS];
	struct writer writer = {.field = field};
	double seconds = 0, done = 0;
	unsigned int started = 0;
	bool writes = false;
	int rc = 0;

	atomic_store(&field->stop, false);
	if (lookups->writer) {
		rc = start(&writer.thread, writer_thread, &writer, err);
		writes = !rc;
	}
	while (!rc && started < lookups->readers) {
		readers[started] = (struct reader){.field = field,
						   .random = random,
						   .seed = 0x2545f4914f6cdd1dull * (started + 1)};
		rc = start(&readers[started].thread, reader_thread, &readers[started], err);
		started += !rc;
	}
	if (!rc)
		sleep_ns(milliseconds * 1000000ull);
	atomic_store(&field->stop, true);
	for (unsigned int i = 0; i < started; i++) {
		pthread_join(readers[i].thread, NULL);
		seconds += readers[i].seconds;
		done += (double)readers[i].lookups;
	}
	if (writes)
		pthread_join(writer.thread, NULL);
	lookups->changes_per_second = writes ? (double)writer.changes / writer.seconds : NAN;
	*(random ? &lookups->random_per_second : &lookups->sequential_per_second) = done / seconds;
	*(random ? &lookups->random_ns : &lookups->sequential_ns) = median_of(readers, started);
	return rc;
}

static int look_up_all(struct field *field, unsigned int milliseconds, struct scale_result *result,
		       struct gmig_error *err)
{
	static const struct scale_lookups wanted[SCALE_LOOKUPS] = {
	    {.readers = 1},
	    {.readers = 1, .writer = true},
	    {.readers = 2, .writer = true},
	    {.readers = 4, .writer = true},
	    {.readers = 8, .writer = true},
	};
	int rc = 0;

	for (unsigned int i = 0; !rc && i < SCALE_LOOKUPS; i++) {
		result->lookups[i] = wanted[i];
		rc = look_up(field, &result->lookups[i], false, milliseconds, err);
		if (!rc)
			rc = look_up(field, &result->lookups[i], true, milliseconds, err);
	}
	if (!rc && atomic_load(&field->wrong))
		rc = gmig_fail(err, -EIO, "%llu lookups found what nobody wrote",
			       (unsigned long long)atomic_load(&field->wrong));
	return rc;
}

uint64_t scale_need_bytes(uint64_t guest_bytes, bool small)
{
	/* A word a leaf; and of the plan 18 bytes a block, when it is made. */
	return guest_bytes / (small ? GMIG_PAGE_BYTES : GMIG_BLOCK_BYTES) * 8 +
	       guest_bytes / GMIG_BLOCK_BYTES * 26 + (64ull << 20);
}

int scale_measure(uint64_t guest_bytes, bool small, unsigned int milliseconds,
		  struct scale_result *result, struct gmig_error *err)
{
	struct field field = {.pages = guest_bytes / GMIG_PAGE_BYTES, .order = small ? 0 : 9};
	double begin = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
	struct gmig *gmig;
	int rc = ghost_create(guest_bytes, small, &gmig, err);

	if (rc)
		return rc;
	memset(result, 0, sizeof(*result));
	result->guest_bytes = guest_bytes;
	result->small = small;
	result->build_seconds = clock_seconds(CLOCK_THREAD_CPUTIME_ID) - begin;
	field.shadow = gmig->shadow;
	result->table_bytes = shadow_table_bytes(field.shadow);
	rc = ghost_measure(gmig, &result->waits, err);
	/* Last: the writer goes past the books. */
	if (!rc)
		rc = look_up_all(&field, milliseconds, result, err);
	gmig_destroy(gmig);
	return rc;
}
