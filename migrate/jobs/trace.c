#include "trace.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct trace {
	pthread_mutex_t lock; /* innermost; guards everything below */
	struct gmig_trace_record *records;
	size_t count, room;
};

int trace_create(size_t records, struct trace **out)
{
	struct trace *trace = calloc(1, sizeof(*trace));

	if (!trace)
		return -ENOMEM;
	trace->room = records ? records : 1;
	trace->records = calloc(trace->room, sizeof(*trace->records));
	if (!trace->records) {
		free(trace);
		return -ENOMEM;
	}
	pthread_mutex_init(&trace->lock, NULL);
	*out = trace;
	return 0;
}

void trace_destroy(struct trace *trace)
{
	if (!trace)
		return;
	pthread_mutex_destroy(&trace->lock);
	free(trace->records);
	free(trace);
}

static bool grow(struct trace *trace)
{
	size_t room = 2 * trace->room;
	struct gmig_trace_record *records =
	    reallocarray(trace->records, room, sizeof(*trace->records));

	if (!records)
		return false;
	trace->records = records;
	trace->room = room;
	return true;
}

void trace_add(struct trace *trace, const struct gmig_trace_record *record)
{
	pthread_mutex_lock(&trace->lock);
	if (trace->count < trace->room || grow(trace))
		trace->records[trace->count++] = *record;
	pthread_mutex_unlock(&trace->lock);
}

size_t trace_copy(struct trace *trace, size_t first, struct gmig_trace_record *records, size_t max)
{
	size_t total;

	pthread_mutex_lock(&trace->lock);
	total = trace->count;
	if (first < total) {
		size_t count = total - first < max ? total - first : max;

		memcpy(records, trace->records + first, count * sizeof(*records));
	}
	pthread_mutex_unlock(&trace->lock);
	return total;
}
