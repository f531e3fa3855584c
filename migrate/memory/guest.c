#include "guest.h"

#include "audit.h"
#include "bound_pages.h"
#include "claim.h"
#include "fixed.h"
#include "ledger.h"
#include "toucher.h"

#include <errno.h>
#include <stdlib.h>

static bool takes_part(const struct gmig_job_spec *spec, const struct region *region)
{
	return !spec->vnodes || spec->vnodes >> region->vnode & 1;
}

static int by_gfn(const void *a, const void *b)
{
	const struct memory_range *left = a, *right = b;

	return left->gfn < right->gfn ? -1 : left->gfn > right->gfn;
}

static int guest_ranges(struct memory *memory, const struct gmig_job_spec *spec,
			struct memory_range **ranges, size_t *count)
{
	struct gmig *gmig = engine_of(memory);
	unsigned int regions = atomic_load(&gmig->region_count);

	*count = 0;
	*ranges = calloc(regions + 1, sizeof(**ranges));
	if (!*ranges)
		return -ENOMEM;
	for (unsigned int i = 0; i < regions; i++)
		if (takes_part(spec, &gmig->regions[i]))
			(*ranges)[(*count)++] =
			    (struct memory_range){gmig->regions[i].gfn, gmig->regions[i].pages};
	qsort(*ranges, *count, sizeof(**ranges), by_gfn);
	return 0;
}

static void guest_refresh(struct memory *memory, const struct memory_range *range,
			  bool (*stop)(void *arg), void *arg)
{
	const struct audit audit = {.stop = stop, .arg = arg};
	struct gmig *gmig = engine_of(memory);
	struct region *region = engine_region_of_gfn(gmig, range->gfn);

	if (region)
		audit_run(gmig, region, range->gfn, range->pages, &audit);
}

static int guest_walk(struct memory *memory, uint64_t gfn, uint64_t pages, shadow_visit *visit,
		      void *arg)
{
	return shadow_walk(engine_of(memory)->shadow, gfn, pages, visit, arg);
}

static int guest_walk_present(struct memory *memory, uint64_t gfn, uint64_t pages,
			      shadow_visit *visit, void *arg)
{
	return shadow_walk_present(engine_of(memory)->shadow, gfn, pages, visit, arg);
}

/* ---- Single pages ------------------------------------------------------------------------------ */

/* What a mover holds is out of the kernel's sight for moments, and fake nodes are nowhere but in the table. */
static int believed(struct gmig *gmig, uint64_t gfn, bool *ask)
{
	struct shadow_entry entry;

	*ask = gmig->plain;
	if (gmig->plain || shadow_lookup(gmig->shadow, gfn, &entry))
		return -EFAULT;
	if (entry.state == SHADOW_NONE || entry.state == SHADOW_SWAPPED)
		return -ENOENT;
	*ask = !gmig->fake && entry.state == SHADOW_PRESENT;
	return entry.node;
}

/* Nobody has told the table, or our page tables, of what others have touched in a file. */
static void learn(struct gmig *gmig, struct region *region, size_t count, const uint64_t *gfns)
{
	const struct audit audit = {.check = NULL};
	uint64_t block, last = UINT64_MAX;
	struct uffd_scan scan;
	bool ask;

	for (size_t i = 0; i < count; i++) {
		block = gfns[i] & ~(uint64_t)(GMIG_BLOCK_PAGES - 1);
		if (block == last || (!gmig->plain && believed(gmig, gfns[i], &ask) >= 0))
			continue;
		if (gmig->plain)
			region->kind->scan(gmig, region, block, &scan);
		else
			audit_run(gmig, region, block, GMIG_BLOCK_PAGES, &audit);
		last = block;
	}
}

/* Pages of one region, or of none. */
static int query_region(struct gmig *gmig, struct region *region, size_t count,
			const uint64_t *gfns, int *status)
{
	uint64_t asked[GMIG_BLOCK_PAGES];
	uint16_t index[GMIG_BLOCK_PAGES];
	int found[GMIG_BLOCK_PAGES], ret;
	size_t n = 0;
	bool ask;

	if (region && region->kind->kernel_fills)
		learn(gmig, region, count, gfns);
	for (size_t i = 0; i < count; i++) {
		status[i] = region ? believed(gmig, gfns[i], &ask) : -EFAULT;
		if (!region || !ask)
			continue;
		index[n] = (uint16_t)i;
		asked[n++] = gfns[i];
	}
	if (!n)
		return 0;
	ret = region->kind->query(gmig, region, n, asked, found);
	/* Of what was claimed since, the table still knows it. */
	for (size_t k = 0; k < n && !ret; k++) {
		status[index[k]] = believed(gmig, asked[k], &ask);
		if (ask)
			status[index[k]] = found[k];
	}
	return ret;
}

static int guest_query(struct memory *memory, size_t count, const uint64_t *gfns, int *status)
{
	struct gmig *gmig = engine_of(memory);
	int ret = 0;

	for (size_t i = 0, end; i < count && !ret; i = end) {
		struct region *region = engine_region_of_gfn(gmig, gfns[i]);

		end = i + 1;
		while (end < count && engine_region_of_gfn(gmig, gfns[end]) == region)
			end++;
		ret = query_region(gmig, region, end - i, gfns + i, status + i);
	}
	return ret;
}

static int guest_split(struct memory *memory, uint64_t block_gfn)
{
	struct gmig *gmig = engine_of(memory);
	const struct region *region = engine_region_of_gfn(gmig, block_gfn);
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	struct shadow_entry entry;
	int ret;

	if (region->kind->always_whole)
		return -EINVAL;
	pthread_mutex_lock(&stripe->lock);
	ret = shadow_lookup(gmig->shadow, block_gfn, &entry);
	if (!ret && entry.order && entry.state == SHADOW_PRESENT)
		ret = books_split(gmig, region, block_gfn);
	else if (!ret)
		ret = -EBUSY;
	pthread_mutex_unlock(&stripe->lock);
	return ret;
}

static bool guest_unsplit(struct memory *memory, uint64_t block_gfn)
{
	struct gmig *gmig = engine_of(memory);
	const struct region *region = engine_region_of_gfn(gmig, block_gfn);
	struct stripe *stripe = engine_stripe(gmig, block_gfn);
	struct shadow_entry entry;
	struct uffd_scan scan;
	bool whole;

	pthread_mutex_lock(&stripe->lock);
	whole = !shadow_lookup(gmig->shadow, block_gfn, &entry) && entry.order;
	if (!whole && !region->kind->scan(gmig, region, block_gfn, &scan) && scan.huge)
		whole = !books_join(gmig, region, block_gfn);
	pthread_mutex_unlock(&stripe->lock);
	return whole;
}

/* ---- Memory that is not there yet ---------------------------------------------------------------- */

static void guest_follow_end(struct memory *memory, const struct memory_follow *follow, bool keep)
{
	struct gmig *gmig = engine_of(memory);

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		if (takes_part(follow->spec, &gmig->regions[i])) {
			region_prefer_end(gmig, &gmig->regions[i], follow, keep);
			bound_pages_follow_end(gmig, &gmig->regions[i], follow, keep);
		}
}

static int guest_follow(struct memory *memory, const struct memory_follow *follow,
			struct gmig_error *err)
{
	struct gmig *gmig = engine_of(memory);
	int ret = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count) && !ret; i++)
		if (takes_part(follow->spec, &gmig->regions[i])) {
			ret = region_prefer(gmig, &gmig->regions[i], follow, err);
			if (!ret && bound_pages_follow(gmig, &gmig->regions[i], follow))
				ret = gmig_fail(err, -ENOMEM, "no memory for the ranges' policies");
		}
	if (ret)
		guest_follow_end(memory, follow, false);
	else
		engine_settle_faults(gmig, follow->spec->vnodes);
	return ret;
}

/* ---- Claims and counts --------------------------------------------------------------------------- */

static const char *guest_kind(struct memory *memory, const struct gmig_job_spec *spec,
			      unsigned int i)
{
	struct gmig *gmig = engine_of(memory);
	unsigned int count = atomic_load(&gmig->region_count);

	for (unsigned int at = 0; at < count; at++)
		if (takes_part(spec, &gmig->regions[at]) && i-- == 0)
			return gmig->regions[at].kind->name;
	return NULL;
}

static uint8_t *guest_address(struct memory *memory, uint64_t gfn)
{
	return region_hva(engine_region_of_gfn(engine_of(memory), gfn), gfn);
}

static void guest_claim(struct memory *memory, struct claim *claim, struct bits *refused)
{
	claim->gmig = engine_of(memory);
	claim->region = engine_region_of_gfn(claim->gmig, claim->block_gfn);
	claim_take(claim, refused);
}

static unsigned int guest_toucher(struct memory *memory, uint64_t gfn, int tid)
{
	struct gmig *gmig = engine_of(memory);

	return toucher_node(gmig, engine_region_of_gfn(gmig, gfn), tid);
}

static void guest_want(struct memory *memory, uint64_t block_gfn, const struct bits *pages)
{
	claim_want(engine_of(memory), block_gfn, pages);
}

static bool guest_is_own(struct memory *memory, uint64_t block_gfn)
{
	return engine_region_of_gfn(engine_of(memory), block_gfn)->kind->own;
}

static bool guest_is_fixed(struct memory *memory, uint64_t block_gfn)
{
	return fixed_is(engine_of(memory), block_gfn);
}

static uint64_t guest_on_node(struct memory *memory, const struct gmig_job_spec *spec,
			      unsigned int node)
{
	struct gmig *gmig = engine_of(memory);
	uint64_t bytes = 0;

	for (unsigned int vnode = 0; vnode < GMIG_MAX_VNODES; vnode++) {
		long pages = !spec->vnodes || spec->vnodes >> vnode & 1
				 ? ledger_resident(gmig->ledger, vnode, node)
				 : 0;

		bytes += pages > 0 ? (uint64_t)pages * GMIG_PAGE_BYTES : 0;
	}
	return bytes;
}

static unsigned int guest_vcpus(struct memory *memory)
{
	struct gmig *gmig = engine_of(memory);
	unsigned int vcpus = 0;

	for (unsigned int i = 0; i < GMIG_MAX_VNODES; i++) {
		const struct thread_list *list = atomic_load(&gmig->vnodes[i].threads);

		vcpus += list ? atomic_load(&list->count) : 0;
	}
	return vcpus;
}

static int guest_ready(struct memory *memory, const struct gmig_job_spec *spec,
		       struct gmig_error *err)
{
	struct gmig *gmig = engine_of(memory);

	(void)spec;
	if (gmig->plain)
		return gmig_fail(err, -EOPNOTSUPP, "%s", gmig->why_off);
	return 0;
}

const struct memory_ops guest_ops = {
    .name = "guest",
    .ranges = guest_ranges,
    .refresh = guest_refresh,
    .walk = guest_walk,
    .walk_present = guest_walk_present,
    .query = guest_query,
    .split = guest_split,
    .unsplit = guest_unsplit,
    .follow = guest_follow,
    .follow_end = guest_follow_end,
    .on_node = guest_on_node,
    .kind = guest_kind,
    .address = guest_address,
    .claim = guest_claim,
    .settle = claim_settle,
    .abandon = claim_abandon,
    .wait = claim_wait,
    .pick = claim_pick,
    .toucher = guest_toucher,
    .want = guest_want,
    .is_own = guest_is_own,
    .is_fixed = guest_is_fixed,
    .vcpus = guest_vcpus,
    .ready = guest_ready,
};
