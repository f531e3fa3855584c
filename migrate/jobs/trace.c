#include "trace.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 256u /* records: 16 KiB; what was written once never moves */

struct trace {
	void *(*alloc)(size_t bytes);
	size_t limit;
	pthread_mutex_t lock; /* innermost; guards everything below */
	size_t count;
	uint64_t dropped;
	struct gmig_trace_record *chunk[]; /* NULL: not begun */
};

static size_t chunk_count(size_t limit)
{
	return limit / CHUNK + (limit % CHUNK != 0);
}

static void *alloc_zeroed(size_t bytes)
{
	return calloc(1, bytes);
}

int trace_create_with(void *(*alloc)(size_t bytes), size_t limit, struct trace **out)
{
	struct trace *trace =
	    alloc(sizeof(*trace) + chunk_count(limit) * sizeof(struct gmig_trace_record *));

	if (!trace)
		return -ENOMEM;
	trace->alloc = alloc;
	trace->limit = limit;
	pthread_mutex_init(&trace->lock, NULL);
	*out = trace;
	return 0;
}

int trace_create(size_t limit, struct trace **out)
{
	return trace_create_with(alloc_zeroed, limit, out);
}

void trace_destroy(struct trace *trace)
{
	if (!trace)
		return;
	for (size_t i = 0; i < chunk_count(trace->limit); i++)
		free(trace->chunk[i]);
	pthread_mutex_destroy(&trace->lock);
	free(trace);
}

/* Where the next record goes; NULL: nowhere. Caller holds lock. */
static struct gmig_trace_record *next_record(struct trace *trace)
{
	struct gmig_trace_record **chunk = &trace->chunk[trace->count / CHUNK];

	if (trace->count == trace->limit)
		return NULL;
	if (!*chunk)
		*chunk = trace->alloc(CHUNK * sizeof(**chunk));
	return *chunk ? *chunk + trace->count % CHUNK : NULL;
}

void trace_add(struct trace *trace, const struct gmig_trace_record *record)
{
	struct gmig_trace_record *place;

	pthread_mutex_lock(&trace->lock);
	place = next_record(trace);
	if (place) {
		*place = *record;
		trace->count++;
	} else {
		trace->dropped++;
	}
	pthread_mutex_unlock(&trace->lock);
}

size_t trace_copy(struct trace *trace, size_t first, struct gmig_trace_record *records, size_t max)
{
	size_t total, done = 0;

	pthread_mutex_lock(&trace->lock);
	total = trace->count;
	while (first < total && done < max) {
		size_t count = CHUNK - first % CHUNK;

		if (count > total - first)
			count = total - first;
		if (count > max - done)
			count = max - done;
		memcpy(records + done, trace->chunk[first / CHUNK] + first % CHUNK,
		       count * sizeof(*records));
		first += count;
		done += count;
	}
	pthread_mutex_unlock(&trace->lock);
	return total;
}

uint64_t trace_dropped(struct trace *trace)
{
	uint64_t dropped;

	pthread_mutex_lock(&trace->lock);
	dropped = trace->dropped;
	pthread_mutex_unlock(&trace->lock);
	return dropped;
}
