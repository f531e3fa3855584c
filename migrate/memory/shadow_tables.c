#include "shadow_tables.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_BYTES_MIN (64u << 10)
#define CHUNK_BYTES_MAX (2u << 20)
#define HUGE_BYTES	((size_t)2 << 20)

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

void shadow_tables_expect(struct shadow_tables *tables, uint64_t count)
{
	pthread_mutex_lock(&tables->lock);
	tables->expected_bytes = (size_t)count * SHADOW_TABLE_BYTES;
	pthread_mutex_unlock(&tables->lock);
}

static void *map(size_t bytes)
{
	void *memory =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* bytes: a multiple of HUGE_BYTES; at such an address, so that huge pages fit. */
static void *map_huge(size_t bytes)
{
	char *memory = map(bytes + HUGE_BYTES), *aligned;
	size_t before;

	if (!memory)
		return NULL;
	before = -(uintptr_t)memory % HUGE_BYTES;
	aligned = memory + before;
	if (before)
		munmap(memory, before);
	munmap(aligned + bytes, HUGE_BYTES - before);
	/* Without huge pages it is as good as any other memory. */
	madvise(aligned, bytes, MADV_HUGEPAGE);
	return aligned;
}

static bool add_chunk(struct shadow_tables *tables)
{
	struct shadow_chunk *chunk = malloc(sizeof(*chunk));

	if (!chunk)
		return false;
	chunk->bytes = tables->expected_bytes - tables->expected_bytes % HUGE_BYTES;
	if (chunk->bytes) {
		chunk->memory = map_huge(chunk->bytes);
	} else {
		chunk->bytes = tables->chunk_bytes;
		chunk->memory = map(chunk->bytes);
		if (tables->chunk_bytes < CHUNK_BYTES_MAX)
			tables->chunk_bytes *= 2;
	}
	if (!chunk->memory) {
		free(chunk);
		return false;
	}
	chunk->next = tables->chunks;
	tables->chunks = chunk;
	tables->fresh = chunk->memory;
	tables->fresh_bytes = chunk->bytes;
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
	if (tables->expected_bytes)
		tables->expected_bytes -= SHADOW_TABLE_BYTES;
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
