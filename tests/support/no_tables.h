/* Memory for the shadow table's leaves that a test can run out of. */
#ifndef NO_TABLES_H
#define NO_TABLES_H

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool no_tables;

static inline void *table_alloc(size_t bytes)
{
	void *table = NULL;

	if (atomic_load(&no_tables) || posix_memalign(&table, bytes, bytes))
		return NULL;
	return memset(table, 0, bytes);
}

static inline void table_release(void *table, size_t bytes)
{
	(void)bytes;
	free(table);
}

#endif
