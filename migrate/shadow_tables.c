#include "shadow_tables.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_BYTES_MIN (64u << 10)
#define CHUNK_BYTES_MAX (2u << 20)

struct shadow_chunk {
	struct shadow_chunk *next;
	void *memory;
	size_t bytes;
};

void shadow_tables_init(struct shadow_tables *tables, const struct shadow_alloc *alloc)
{
	memset(tables, 0, sizeof(*tables));
	if (alloc)
		tables->alloc = *alloc;
	tables->chunk_bytes = CHUNK_BYTES_MIN;
	pthread_mutex_init(&tables->lock, NULL);
}

void shadow_tables_fini(struct shadow_tables *tables)
{
	struct shadow_chunk *next;

	for (struct shadow_chunk *chunk = tables->chunks; chunk; chunk = next) {
		next = chunk->next;
		munmap(chunk->memory, chunk->bytes);
		free(chunk);
	}
	pthread_mutex_destroy(&tables->lock);
}

static bool add_chunk(struct shadow_tables *tables)
{
	struct shadow_chunk *chunk = malloc(sizeof(*chunk));

	if (!chunk)
		return false;
	chunk->bytes = tables->chunk_bytes;
	chunk->memory =
	    mmap(NULL, chunk->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (chunk->memory == MAP_FAILED) {
		free(chunk);
		return false;
	}
	chunk->next = tables->chunks;
	tables->chunks = chunk;
	tables->fresh = chunk->memory;
	tables->fresh_bytes = chunk->bytes;
	if (tables->chunk_bytes < CHUNK_BYTES_MAX)
		tables->chunk_bytes *= 2;
	return true;
}

/* Caller holds the lock. */
static void *take(struct shadow_tables *tables, bool *zeroed)
{
	void *table = tables->unused;

	*zeroed = !table;
	if (table) {
		memcpy(&tables->unused, table, sizeof(tables->unused));
		return table;
	}
	if (!tables->fresh_bytes && !add_chunk(tables))
		return NULL;
	table = tables->fresh;
	tables->fresh += SHADOW_TABLE_BYTES;
	tables->fresh_bytes -= SHADOW_TABLE_BYTES;
	return table;
}

void *shadow_tables_get(struct shadow_tables *tables)
{
	bool zeroed = true;
	void *table;

	if (tables->alloc.alloc) {
		table = tables->alloc.alloc(SHADOW_TABLE_BYTES);
	} else {
		pthread_mutex_lock(&tables->lock);
		table = take(tables, &zeroed);
		pthread_mutex_unlock(&tables->lock);
	}
	if (!table)
		return NULL;
	if (!zeroed)
		memset(table, 0, SHADOW_TABLE_BYTES);
	__atomic_fetch_add(&tables->used_bytes, SHADOW_TABLE_BYTES, __ATOMIC_RELAXED);
	return table;
}

void shadow_tables_put(struct shadow_tables *tables, void *table)
{
	__atomic_fetch_sub(&tables->used_bytes, SHADOW_TABLE_BYTES, __ATOMIC_RELAXED);
	if (tables->alloc.alloc) {
		tables->alloc.release(table, SHADOW_TABLE_BYTES);
		return;
	}
	pthread_mutex_lock(&tables->lock);
	memcpy(table, &tables->unused, sizeof(tables->unused));
	tables->unused = table;
	pthread_mutex_unlock(&tables->lock);
}
