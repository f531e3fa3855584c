/* What all files of the planner need, and that needs none of them. */
#include "state.h"

#include <stdlib.h>

int64_t state_unit(enum placement_page page)
{
	return (int64_t)(placement_page_bytes(page) >> 12);
}

struct block {
	struct block *next;
	max_align_t data[];
};

void *state_alloc(struct state *state, size_t count, size_t bytes)
{
	struct block *block;

	if (count && bytes > (SIZE_MAX / 2 - sizeof(*block)) / count)
		return NULL;
	block = calloc(1, sizeof(*block) + count * bytes);
	if (!block)
		return NULL;
	block->next = state->blocks;
	state->blocks = block;
	return block->data;
}

void state_free_blocks(struct state *state)
{
	struct block *next;

	for (struct block *block = state->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	state->blocks = NULL;
}
