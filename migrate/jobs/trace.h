/*
 * What a job did, block by block, for those who ask (gmig_job_spec.trace). Workers add records;
 * anybody may copy them out meanwhile. A job that is not traced has none of this: its pointer is
 * NULL.
 *
 * Bounded: the first records are kept, up to a limit; later ones, and those that there was no memory
 * for, are counted and not kept. So the number of a record never changes, and a reader can go on
 * where it stopped.
 */
#ifndef GMIG_TRACE_H
#define GMIG_TRACE_H

#include "../gmig.h"

struct trace;

/* Keeps `limit` records at most. Takes memory as records come. -ENOMEM. */
int trace_create(size_t limit, struct trace **out);
/* For tests: alloc returns zeroed memory for free(), or NULL. */
int trace_create_with(void *(*alloc)(size_t bytes), size_t limit, struct trace **out);
void trace_destroy(struct trace *trace);
/* Any thread. A record that cannot be kept is counted as dropped. */
void trace_add(struct trace *trace, const struct gmig_trace_record *record);
/* Copy records first..first+max, as far as there are any; returns how many are kept in all. */
size_t trace_copy(struct trace *trace, size_t first, struct gmig_trace_record *records, size_t max);
/* Records that were not kept. */
uint64_t trace_dropped(struct trace *trace);

#endif
