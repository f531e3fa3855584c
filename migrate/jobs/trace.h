/*
 * What a job did, block by block, for those who ask (gmig_job_spec.trace). Workers add records;
 * anybody may copy them out meanwhile. A job that is not traced has none of this: its pointer is
 * NULL.
 */
#ifndef GMIG_TRACE_H
#define GMIG_TRACE_H

#include "../gmig.h"

struct trace;

/* Room for that many records at first; it grows. -ENOMEM. */
int trace_create(size_t records, struct trace **out);
void trace_destroy(struct trace *trace);
/* Any thread. Without memory to grow the record is lost. */
void trace_add(struct trace *trace, const struct gmig_trace_record *record);
/* Copy records first..first+max, as far as there are any; returns how many there are in all. */
size_t trace_copy(struct trace *trace, size_t first, struct gmig_trace_record *records, size_t max);

#endif
