#include "catch_up.h"

#include "audit.h"

#define SLICE_NS   20000000ull
#define REST_TIMES 9 /* as long as it took */

/* The region to go on with; NULL: none of its kind from there on. */
static struct region *find(struct gmig *gmig)
{
	struct catch_up *state = &gmig->catch_up;

	for (; state->region < atomic_load(&gmig->region_count); state->region++, state->pages = 0)
		if (gmig->regions[state->region].kind->kernel_fills)
			return &gmig->regions[state->region];
	return NULL;
}

static void one_block(struct gmig *gmig, struct region *region)
{
	struct catch_up *state = &gmig->catch_up;
	const struct audit audit = {.check = NULL};

	if (!state->pages)
		state->begin_ns = gmig->sys->now_ns();
	audit_run(gmig, region, region->gfn + state->pages, GMIG_BLOCK_PAGES, &audit);
	state->pages += GMIG_BLOCK_PAGES;
	if (state->pages < region->pages)
		return;
	atomic_store(&region->audited_ns, state->begin_ns);
	state->region++;
	state->pages = 0;
}

/* From where it ended the last time to there, or until the time is over. */
static void slice(struct gmig *gmig, uint64_t begin_ns)
{
	struct catch_up *state = &gmig->catch_up;
	uint64_t blocks = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		if (gmig->regions[i].kind->kernel_fills)
			blocks += gmig->regions[i].pages / GMIG_BLOCK_PAGES;
	while (blocks && gmig->sys->now_ns() - begin_ns < SLICE_NS) {
		struct region *region = find(gmig);

		if (!region) {
			state->region = 0;
			continue;
		}
		one_block(gmig, region);
		blocks--;
	}
}

void catch_up(struct gmig *gmig)
{
	struct catch_up *state = &gmig->catch_up;
	uint64_t begin_ns = gmig->sys->now_ns(), end_ns;

	if (gmig->plain || pthread_mutex_trylock(&state->lock))
		return;
	if (begin_ns >= state->rest_ns) {
		slice(gmig, begin_ns);
		end_ns = gmig->sys->now_ns();
		state->rest_ns = end_ns + REST_TIMES * (end_ns - begin_ns);
	}
	pthread_mutex_unlock(&state->lock);
}
