/*
 * Memory for the shadow table's tables: 4096 bytes each, page-aligned. By default out of chunks
 * that grow with the number of tables (64 KiB to 2 MiB), so that a table costs its 4096 bytes and
 * no memory mapping of its own.
 *
 * Any thread may call; guarded by a lock inside.
 */
#ifndef GMIG_SHADOW_TABLES_H
#define GMIG_SHADOW_TABLES_H

#include "shadow.h"

#include <pthread.h>

#define SHADOW_TABLE_BYTES 4096u

struct shadow_chunk;

struct shadow_tables {
	struct shadow_alloc alloc; /* const; alloc.alloc set: no chunks, one call a table */
	pthread_mutex_t lock;	   /* innermost; guards the fields below */
	struct shadow_chunk *chunks;
	void *unused; /* given back, linked through their first word */
	char *fresh;  /* the newest chunk's part that was never given out */
	size_t fresh_bytes;
	size_t chunk_bytes;
	size_t expected_bytes; /* announced and not yet taken */
	uint64_t used_bytes;   /* of tables given out; atomic */
};

void shadow_tables_init(struct shadow_tables *tables, const struct shadow_alloc *alloc);
/* Unmaps the chunks. With an allocator of the caller's, all tables must have been given back. */
void shadow_tables_fini(struct shadow_tables *tables);
/*
 * So many tables will be asked for at once: they get huge pages, where they fill them, since a walk
 * down a big guest's tables otherwise misses the TLB at each level.
 */
void shadow_tables_expect(struct shadow_tables *tables, uint64_t count);
/* A zeroed table or NULL. */
void *shadow_tables_get(struct shadow_tables *tables);
void shadow_tables_put(struct shadow_tables *tables, void *table);

#endif
