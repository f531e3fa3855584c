#include "region.h"

#include "../core/reserved.h"
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>

/* ---- Where new memory goes: callers hold engine.lock ------------------------------------------ */

/*
 * A migration's say. Of several, those that were accepted later decide, as of the pages that are there (jobs/later.h): the last
 * one that takes memory from the region's node, and then those after it that take it on. One that has completed stays until
 * all before it have ended, too: they may still be cancelled.
 */
struct preference {
	struct preference *next; /* accepted before this one */
	uint64_t owner;
	bool stands; /* it has completed */
	uint16_t to[GMIG_MAX_NODES];
};

/* From `node` on by all that are newer than `oldest`. */
static unsigned int go_on(const struct preference *newest, const struct preference *oldest,
			  unsigned int node)
{
	unsigned int on;

	if (newest == oldest)
		return node;
	node = go_on(newest->next, oldest, node);
	on = newest->to[node];
	return on == GMIG_NO_NODE ? node : on;
}

static unsigned int preferred(const struct region *region)
{
	const struct preference *last = region->preferences;

	while (last && last->to[region->base_node] == GMIG_NO_NODE)
		last = last->next;
	return last ? go_on(region->preferences, last, last->to[region->base_node])
		    : region->base_node;
}

static int preference_apply(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	unsigned int node = preferred(region);
	int ret = 0;

	if (node != atomic_load(&region->preferred_node))
		ret = region->kind->prefer(gmig, region, node, err);
	if (!ret)
		atomic_store(&region->preferred_node, node);
	return ret;
}

static struct preference **preference_of(struct region *region, uint64_t owner)
{
	struct preference **link = &region->preferences;

	while (*link && (*link)->owner > owner)
		link = &(*link)->next;
	return link;
}

static void preference_remove(struct preference **link)
{
	struct preference *own = *link;

	*link = own->next;
	free(own);
}

/* The last of those that were accepted after `oldest` and that take memory from the region's node, too. */
static const struct preference *overruled_by(const struct region *region,
					     const struct preference *oldest)
{
	const struct preference *newer = region->preferences;

	while (newer != oldest && newer->to[region->base_node] == GMIG_NO_NODE)
		newer = newer->next;
	return newer == oldest ? NULL : newer;
}

/*
 * Those that stand and that no older one is left of are what the region is now; but one that a newer one overrules is nothing,
 * once that has completed, too.
 */
static void preference_settle(struct region *region)
{
	struct preference **last;

	while (region->preferences) {
		const struct preference *newer;
		unsigned int node;

		for (last = &region->preferences; (*last)->next; last = &(*last)->next)
			;
		node = (*last)->to[region->base_node];
		newer = node == GMIG_NO_NODE ? NULL : overruled_by(region, *last);
		if (!(*last)->stands || (newer && !newer->stands))
			return;
		if (node != GMIG_NO_NODE && !newer)
			region->base_node = node;
		preference_remove(last);
	}
}

int region_prefer(struct gmig *gmig, struct region *region, const struct memory_follow *follow,
		  struct gmig_error *err)
{
	struct preference *own = malloc(sizeof(*own)), **link;
	int ret;

	if (!own)
		return gmig_fail(err, -ENOMEM, "no memory for a job");
	own->owner = follow->owner;
	own->stands = false;
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		own->to[node] = (uint16_t)follow->target(follow->arg, node);
	pthread_mutex_lock(&gmig->lock);
	link = preference_of(region, own->owner);
	own->next = *link;
	*link = own;
	ret = preference_apply(gmig, region, err);
	if (ret)
		preference_remove(link);
	pthread_mutex_unlock(&gmig->lock);
	return ret;
}

void region_prefer_end(struct gmig *gmig, struct region *region, const struct memory_follow *follow,
		       bool keep)
{
	struct preference **link;

	pthread_mutex_lock(&gmig->lock);
	link = preference_of(region, follow->owner);
	if (*link && (*link)->owner == follow->owner) {
		if (keep)
			(*link)->stands = true;
		else
			preference_remove(link);
	}
	preference_settle(region);
	/* A node that is not to be had any more: what serves now goes on to. */
	preference_apply(gmig, region, NULL);
	pthread_mutex_unlock(&gmig->lock);
}

/* ---- Regions ----------------------------------------------------------------------------------- */

static unsigned int unit_pages(const struct gmig *gmig, enum gmig_region_kind kind)
{
	return kind == GMIG_REGION_HUGETLB_1G ? gmig->giant_pages : GMIG_BLOCK_PAGES;
}

/* Pages that are larger than a block: locks are for all of one. */
static int check_giant(const struct gmig *gmig, const struct gmig_region_spec *spec,
		       struct gmig_error *err)
{
	unsigned int pages = unit_pages(gmig, spec->kind);
	uint64_t bytes = pages * GMIG_PAGE_BYTES;

	if (atomic_load(&gmig->region_count) && pages != gmig->stripe_pages)
		return gmig_fail(err, -EINVAL,
				 "all of a guest's regions are of pages of 1 GiB, or none is");
	if (spec->gpa % bytes || spec->bytes % bytes)
		return gmig_fail(err, -EINVAL,
				 "region at 0x%llx: address and size must be multiples of its "
				 "pages, which are %llu MiB",
				 (unsigned long long)spec->gpa, (unsigned long long)bytes >> 20);
	return 0;
}

/* Of two regions that are mapped at one place nobody could say whose an address is. */
static bool is_mapped(const struct gmig *gmig, const struct gmig_region_spec *spec)
{
	uintptr_t start = (uintptr_t)spec->own->memory;

	if (spec->bytes > UINTPTR_MAX - start)
		return true;
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *other = &gmig->regions[i];
		uintptr_t at = (uintptr_t)other->hva;

		if (start < at + other->pages * GMIG_PAGE_BYTES && at < start + spec->bytes)
			return true;
	}
	return false;
}

static int check_own(const struct gmig *gmig, const struct gmig_region_spec *spec,
		     struct gmig_error *err)
{
	const struct gmig_region_own *own = spec->own;
	int ret;

	if (!own != (spec->kind != GMIG_REGION_OWN))
		return gmig_fail(err, -EINVAL, "%s",
				 own ? "only a region of kind own has operations of its own"
				     : "a region of kind own needs its operations");
	if (!own)
		return 0;
	if (!own->ops || !own->memory || (uintptr_t)own->memory % GMIG_BLOCK_BYTES)
		return gmig_fail(
		    err, -EINVAL,
		    "the memory of a region of kind own must be mapped at a multiple of "
		    "2 MiB, and have operations");
	ret = RESERVED_UNUSED(own, err);
	if (!ret)
		ret = RESERVED_UNUSED(own->ops, err);
	if (ret)
		return ret;
	if (is_mapped(gmig, spec))
		return gmig_fail(err, -EINVAL,
				 "the memory of a region of kind own is that of another region, or "
				 "ends behind all addresses");
	return 0;
}

static int region_check(struct gmig *gmig, const struct gmig_region_spec *spec,
			struct gmig_error *err)
{
	uint64_t gfn = spec->gpa / GMIG_PAGE_BYTES, pages = spec->bytes / GMIG_PAGE_BYTES;
	unsigned int count = atomic_load(&gmig->region_count);
	char what[48];
	int ret;

	if (spec->gpa % GMIG_BLOCK_BYTES || spec->bytes % GMIG_BLOCK_BYTES || !spec->bytes)
		return gmig_fail(err, -EINVAL,
				 "region at 0x%llx: address and size must be multiples of 2 MiB",
				 (unsigned long long)spec->gpa);
	if ((unsigned int)spec->kind > GMIG_REGION_OWN)
		return gmig_fail(err, -EINVAL, "region kind %d is not known", (int)spec->kind);
	ret = check_own(gmig, spec, err);
	if (ret)
		return ret;
	if (spec->vnode >= GMIG_MAX_VNODES)
		return gmig_fail(err, -EINVAL, "vnode %u: at most %u vnodes", spec->vnode,
				 GMIG_MAX_VNODES);
	memory_topology_refresh(&gmig->memory, NULL); /* else the last look has to do */
	ret = check_giant(gmig, spec, err);
	if (ret)
		return ret;
	snprintf(what, sizeof(what), "host node %u of vnode %u", spec->host_node, spec->vnode);
	ret = memory_check_target(&gmig->memory, spec->host_node, what, err);
	if (ret)
		return ret;
	if (count == ENGINE_REGIONS)
		return gmig_fail(err, -EINVAL, "more than %u regions", ENGINE_REGIONS);
	for (unsigned int i = 0; i < count; i++) {
		const struct region *other = &gmig->regions[i];

		if (gfn < other->gfn + other->pages && other->gfn < gfn + pages)
			return gmig_fail(err, -EINVAL,
					 "region at 0x%llx overlaps the one at 0x%llx",
					 (unsigned long long)spec->gpa,
					 (unsigned long long)(other->gfn * GMIG_PAGE_BYTES));
	}
	return 0;
}

/* ---- Adding one ------------------------------------------------------------------------------ */

/* The table comes last, since it cannot be taken back: a region that could not be added may be tried again. */
static int region_build(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	int ret = region->kind->map(gmig, region, err);

	if (!ret)
		ret = region->kind->guard(gmig, region, err);
	if (!ret && gmig->options.lock_memory)
		ret = region_lock(gmig, region, err);
	if (ret)
		return ret;
	ret = ledger_add_vnode(gmig->ledger, region->vnode);
	if (!ret)
		ret = shadow_reserve(gmig->shadow, region->gfn, region->pages);
	if (ret)
		return gmig_fail(err, ret, "no memory for the region's shadow table: %s",
				 gmig_errno_name(ret));
	return 0;
}

void region_unmap(struct gmig *gmig, struct region *region)
{
	if (region->reserved)
		gmig->sys->unmap(region->reserved, region->reserved_bytes);
	file_window_close(gmig->sys, &region->window);
	if (region->fd >= 0)
		gmig->sys->close(region->fd);
}

static const struct region_kind *const kinds[] = {
    [GMIG_REGION_RAM] = &region_ram,
    [GMIG_REGION_MEMFD] = &region_memfd,
    [GMIG_REGION_MEMFD_HUGETLB] = &region_memfd,
    [GMIG_REGION_HUGETLB] = &region_hugetlb,
    [GMIG_REGION_HUGETLB_1G] = &region_giant,
    [GMIG_REGION_OWN] = &region_own,
};

static int region_add(struct gmig *gmig, const struct gmig_region_spec *spec, void **hva,
		      struct gmig_error *err)
{
	unsigned int count = atomic_load(&gmig->region_count);
	struct region *region = &gmig->regions[count];
	int ret = region_check(gmig, spec, err);

	if (ret)
		return ret;
	region->kind = kinds[spec->kind];
	region->hugetlb = spec->kind == GMIG_REGION_MEMFD_HUGETLB;
	region->fd = -1;
	region->window.start = NULL;
	region->unit_pages = unit_pages(gmig, spec->kind);
	if (!count)
		gmig->stripe_pages = region->unit_pages;
	region->vnode = spec->vnode;
	region->gfn = spec->gpa / GMIG_PAGE_BYTES;
	region->pages = spec->bytes / GMIG_PAGE_BYTES;
	region->reserved = NULL;
	region->own.opaque = NULL;
	if (spec->own) {
		region->hva = spec->own->memory;
		region->own.ops = *spec->own->ops;
		region->own.opaque = spec->own->opaque;
	}
	region->reserved_bytes = spec->bytes + GMIG_SYS_GUARD_BYTES;
	region->zeros = NULL;
	region->base_node = spec->host_node;
	atomic_store(&region->audited_ns, gmig->sys->now_ns()); /* nothing is believed yet */
	atomic_store(&region->preferred_node, spec->host_node);
	ret = region_build(gmig, region, err);
	if (ret) {
		region_unmap(gmig, region);
		return ret;
	}
	atomic_store(&gmig->region_count, count + 1);
	*hva = region->hva;
	return 0;
}

int gmig_region_add(struct gmig *gmig, const struct gmig_region_spec *spec, void **hva,
		    struct gmig_error *err)
{
	int ret = RESERVED_UNUSED(spec, err);

	if (ret)
		return ret;
	pthread_mutex_lock(&gmig->lock);
	ret = region_add(gmig, spec, hva, err);
	pthread_mutex_unlock(&gmig->lock);
	return ret;
}

int gmig_region_file(struct gmig *gmig, unsigned int i, struct gmig_region_file *file)
{
	unsigned int count = atomic_load(&gmig->region_count);

	for (unsigned int at = 0; at < count; at++) {
		const struct region *region = &gmig->regions[at];

		if (region->fd < 0 || i--)
			continue;
		*file = (struct gmig_region_file){
		    .fd = region->fd,
		    .hugetlb = region->hugetlb,
		    .unseen = region->window_error,
		    .gpa = region->gfn * GMIG_PAGE_BYTES,
		    .bytes = region->pages * GMIG_PAGE_BYTES,
		};
		return 0;
	}
	return -ENOENT;
}
