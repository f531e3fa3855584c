#include "fixed.h"

#include "bindings.h"

int fixed_create(struct bindings **out)
{
	return bindings_create(out);
}

/* ---- Asking -------------------------------------------------------------------------------------- */

static bool run_at(const struct gmig *gmig, uint64_t gfn, uint64_t *end)
{
	struct mempolicy *mark = bindings_get_run(gmig->fixed, gfn, end);

	mempolicy_put(mark);
	return mark;
}

bool fixed_is(const struct gmig *gmig, uint64_t gfn)
{
	uint64_t end;

	return run_at(gmig, gfn, &end);
}

uint64_t fixed_pages(const struct gmig *gmig, uint64_t gfn, uint64_t pages)
{
	uint64_t last = gfn + pages, fixed = 0, end;

	for (; gfn < last; gfn = end) {
		bool is = run_at(gmig, gfn, &end);

		if (end > last)
			end = last;
		fixed += is ? end - gfn : 0;
	}
	return fixed;
}
