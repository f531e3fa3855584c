/* Memory for the shadow table's tables: what is given out, in which order it comes back, and how large chunks are. */
#include "../../migrate/memory/shadow_tables.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KIB 1024ul
#define MIB (1024 * KIB)

static struct shadow_tables tables;

static bool is_zero(const void *table)
{
	static const char zeros[SHADOW_TABLE_BYTES];

	return !memcmp(table, zeros, sizeof(zeros));
}

static bool is_mapped(void *table)
{
	unsigned char in_core;

	return !mincore(table, SHADOW_TABLE_BYTES, &in_core);
}

START_TEST(table_is_zeroed_aligned_and_comes_back_last_first)
{
	char *table[3];

	shadow_tables_init(&tables, NULL);
	ck_assert_uint_eq(tables.used_bytes, 0);
	for (unsigned int i = 0; i < 3; i++) {
		table[i] = shadow_tables_get(&tables);
		ck_assert_uint_eq((uintptr_t)table[i] % SHADOW_TABLE_BYTES, 0);
		ck_assert(is_zero(table[i]));
		ck_assert(!i || table[i] == table[i - 1] + SHADOW_TABLE_BYTES);
		ck_assert_uint_eq(tables.used_bytes, (i + 1) * SHADOW_TABLE_BYTES);
		memset(table[i], 0xa5, SHADOW_TABLE_BYTES);
	}
	for (unsigned int i = 0; i < 3; i++)
		shadow_tables_put(&tables, table[i]);
	ck_assert_uint_eq(tables.used_bytes, 0);
	for (unsigned int i = 3; i-- > 0;) {
		ck_assert_ptr_eq(shadow_tables_get(&tables), table[i]);
		ck_assert(is_zero(table[i]));
	}
	/* Then what was never used. */
	ck_assert_ptr_eq(shadow_tables_get(&tables), table[2] + SHADOW_TABLE_BYTES);
	ck_assert_uint_eq(tables.used_bytes, 4 * SHADOW_TABLE_BYTES);
	shadow_tables_fini(&tables);
	ck_assert(!is_mapped(table[0]));
}
END_TEST

START_TEST(chunks_grow_from_64_kib_to_2_mib)
{
	size_t chunk = 64 * KIB;
	void *first = NULL;

	shadow_tables_init(&tables, NULL);
	for (unsigned int i = 0; i < 7; i++) {
		for (size_t bytes = 0; bytes < chunk; bytes += SHADOW_TABLE_BYTES) {
			void *table = shadow_tables_get(&tables);

			first = first ? first : table;
			ck_assert_uint_eq(tables.fresh_bytes, chunk - bytes - SHADOW_TABLE_BYTES);
		}
		chunk = chunk < 2 * MIB ? 2 * chunk : chunk;
	}
	ck_assert_uint_eq(chunk, 2 * MIB);
	ck_assert(is_mapped(first));
	shadow_tables_fini(&tables);
	ck_assert(!is_mapped(first));
}
END_TEST

/* At an address where huge pages fit; the rest, which fills none, is of small chunks. */
START_TEST(tables_that_are_expected_lie_in_huge_pages)
{
	char *first, *next;

	shadow_tables_init(&tables, NULL);
	shadow_tables_expect(&tables, 1024 + 3);
	ck_assert_uint_eq(tables.expected_bytes, 4 * MIB + 3 * SHADOW_TABLE_BYTES);
	first = shadow_tables_get(&tables);
	ck_assert_uint_eq((uintptr_t)first % (2 * MIB), 0);
	ck_assert_uint_eq(tables.fresh_bytes, 4 * MIB - SHADOW_TABLE_BYTES);
	ck_assert_uint_eq(tables.expected_bytes, 4 * MIB + 2 * SHADOW_TABLE_BYTES);
	for (unsigned int i = 1; i < 1024; i++) {
		next = shadow_tables_get(&tables);
		ck_assert_ptr_eq(next, first + i * SHADOW_TABLE_BYTES);
	}
	ck_assert_uint_eq(tables.fresh_bytes, 0);
	ck_assert_uint_eq(tables.expected_bytes, 3 * SHADOW_TABLE_BYTES);
	shadow_tables_get(&tables);
	ck_assert_uint_eq(tables.fresh_bytes, 64 * KIB - SHADOW_TABLE_BYTES);
	/* What is expected no more costs no huge page. */
	shadow_tables_expect(&tables, 0);
	ck_assert_uint_eq(tables.expected_bytes, 0);
	for (unsigned int i = 1; i < 16; i++)
		shadow_tables_get(&tables);
	ck_assert_uint_eq(tables.fresh_bytes, 0);
	shadow_tables_get(&tables);
	ck_assert_uint_eq(tables.fresh_bytes, 128 * KIB - SHADOW_TABLE_BYTES);
	shadow_tables_fini(&tables);
	ck_assert(!is_mapped(first) && !is_mapped(first + 4 * MIB - SHADOW_TABLE_BYTES));
}
END_TEST

static size_t asked, released;
static bool refuses;

static void *own_alloc(size_t bytes)
{
	asked += bytes;
	return refuses ? NULL : calloc(1, bytes);
}

static void own_release(void *memory, size_t bytes)
{
	released += bytes;
	free(memory);
}

START_TEST(allocator_of_the_caller_s_is_called_for_each_table)
{
	const struct shadow_alloc alloc = {own_alloc, own_release};
	void *table[2];

	shadow_tables_init(&tables, &alloc);
	table[0] = shadow_tables_get(&tables);
	table[1] = shadow_tables_get(&tables);
	ck_assert(table[0] && table[1] && table[0] != table[1]);
	ck_assert_uint_eq(asked, 2 * SHADOW_TABLE_BYTES);
	ck_assert_uint_eq(tables.used_bytes, 2 * SHADOW_TABLE_BYTES);
	shadow_tables_put(&tables, table[0]);
	ck_assert_uint_eq(released, SHADOW_TABLE_BYTES);
	refuses = true;
	ck_assert_ptr_null(shadow_tables_get(&tables));
	ck_assert_uint_eq(tables.used_bytes, SHADOW_TABLE_BYTES);
	shadow_tables_put(&tables, table[1]);
	ck_assert_uint_eq(released, 2 * SHADOW_TABLE_BYTES);
	ck_assert_uint_eq(tables.used_bytes, 0);
	shadow_tables_fini(&tables);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    table_is_zeroed_aligned_and_comes_back_last_first,
	    chunks_grow_from_64_kib_to_2_mib,
	    tables_that_are_expected_lie_in_huge_pages,
	    allocator_of_the_caller_s_is_called_for_each_table,
	};

	return run_tests("shadow_tables", NULL, NULL, tests, sizeof(tests) / sizeof(tests[0]));
}
