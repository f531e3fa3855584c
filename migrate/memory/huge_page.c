#include "huge_page.h"

#include "../core/on_node.h"

#include <errno.h>
#include <sys/mman.h>

#define MAPS_KEPT      8192 /* for all that is no guest memory */
#define POPULATE_TRIES 10
#define REMAP_TRIES    200
#define REMAP_NS       1000000

/* ---- One page -------------------------------------------------------------------------------------- */

static int populate(struct gmig *gmig, void *page, size_t bytes)
{
	unsigned int tries = 0;
	int ret;

	do {
		ret = gmig->sys->advise(page, bytes, MADV_POPULATE_WRITE);
	} while (ret == -EAGAIN && ++tries < POPULATE_TRIES);
	/* A touch would have been a SIGBUS: there is none. */
	return ret == -EFAULT ? -ENOMEM : ret;
}

/* The flags go where the page goes. */
static int prepare(struct gmig *gmig, void *page, size_t bytes)
{
	int ret = gmig->sys->protect(page, bytes, PROT_READ | PROT_WRITE);

	if (!gmig->options.dump_memory)
		gmig->sys->advise(page, bytes, MADV_DONTDUMP);
	return ret ? ret : gmig->sys->advise(page, bytes, MADV_DONTFORK);
}

static bool is_on(struct gmig *gmig, void *page, unsigned int node)
{
	int status = -ENOENT;

	return gmig->fake || (!gmig->sys->query_nodes(1, &page, &status) && status == (int)node);
}

static int fill(struct gmig *gmig, void *page, size_t bytes, unsigned int node)
{
	unsigned int bound = gmig->fake ? GMIG_NO_NODE : node;
	struct thread_policy before;
	int ret = on_node_begin(gmig->sys, bound, &before);

	if (ret)
		return ret == -EINVAL ? -ENOMEM : ret;
	ret = populate(gmig, page, bytes);
	on_node_end(gmig->sys, bound, &before);
	return ret || is_on(gmig, page, node) ? ret : -ENOMEM;
}

/*
 * A page that takes the place of one that was promised to the region is promised, too, and stays so when the guest gives it back: the
 * promise goes along with the mapping, and since Linux 6.9 comes back with the page (df7a6d1f6405, while the pool has no surplus
 * pages). Where the kernel may make pages it could make one for the promise alone, on any node; and those that are larger than a block
 * are in regions without promises. 0, 1, or -EAGAIN: it could not be looked at whether the kernel makes pages.
 */
static int is_promised(const struct gmig *gmig, size_t bytes)
{
	int grows = bytes == GMIG_BLOCK_BYTES ? gmig->sys->huge_grows(bytes) : 1;

	return grows < 0 ? -EAGAIN : !grows;
}

int huge_page_take(struct gmig *gmig, const struct region *region, unsigned int node, void **out)
{
	size_t bytes = huge_page_bytes(region);
	int promised = is_promised(gmig, bytes), ret;

	if (promised < 0)
		return promised;
	ret = gmig->sys->map_huge(bytes, bytes, promised, NULL, out);
	if (ret)
		return ret;
	ret = prepare(gmig, *out, bytes);
	if (!ret)
		ret = fill(gmig, *out, bytes, node);
	if (ret)
		gmig->sys->unmap(*out, bytes);
	return ret;
}

void huge_page_put(struct gmig *gmig, const struct region *region, void *page)
{
	if (page)
		gmig->sys->unmap(page, huge_page_bytes(region));
}

/* ---- Into the region ------------------------------------------------------------------------------- */

/*
 * Whether it is in a mapping: mincore(2) says ENOMEM of what is in none. -EAGAIN: it had no page for its answer, and nothing is known; that is
 * not to be taken for the old page, which may be gone.
 */
static bool is_mapped(struct gmig *gmig, void *at)
{
	unsigned char in_core;
	int ret = gmig->sys->in_core(at, GMIG_PAGE_BYTES, &in_core);

	return ret != -ENOMEM && ret != -EAGAIN;
}

/*
 * The old page is unmapped first, under the same lock. The kernel looks beforehand whether all that can be foreseen is in
 * order; a process that the OOM killer has chosen may then have no memory for a mapping.
 */
static int remap(struct gmig *gmig, void *page, size_t bytes, void *at)
{
	unsigned int tries = 0;
	int ret;

	do {
		if (tries)
			gmig->sys->sleep_ns(REMAP_NS);
		ret = gmig->sys->remap(page, bytes, at);
		if (!ret || is_mapped(gmig, at))
			return ret;
	} while (++tries < REMAP_TRIES);
	return -ENOTRECOVERABLE;
}

/* Until then what is discarded is filled by the kernel, and nothing of it can be protected. */
static void guard(struct gmig *gmig, const struct region *region, uint64_t gfn, void *at)
{
	int uffd = gmig->vnodes[region->vnode].uffd, ret;
	unsigned int tries = 0;

	do {
		ret = uffd_register(gmig->sys, uffd, at, huge_page_bytes(region),
				    UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	} while (ret && ++tries < POPULATE_TRIES);
	if (ret)
		engine_log(gmig, GMIG_LOG_ERROR,
			   "event=register gfn=0x%llx errno=%s text=\"the block cannot be moved "
			   "again\"",
			   (unsigned long long)gfn, gmig_errno_name(ret));
}

int huge_page_place(struct gmig *gmig, const struct region *region, uint64_t gfn, void *page)
{
	uint8_t *at = region_hva(region, gfn);
	int ret = remap(gmig, page, huge_page_bytes(region), at);

	if (ret)
		return ret;
	atomic_fetch_add(&gmig->own_maps, 1);
	guard(gmig, region, gfn, at);
	uffd_wake(gmig->sys, gmig->vnodes[region->vnode].uffd, at, huge_page_bytes(region));
	return 0;
}

bool huge_page_has_room(struct gmig *gmig, uint64_t limit)
{
	/* One in the middle of another leaves three. */
	uint64_t maps = 2 * (atomic_load(&gmig->own_maps) + 1) + 1, units = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		if (gmig->regions[i].kind->always_whole)
			units += gmig->regions[i].pages / gmig->regions[i].unit_pages;
	return (maps < units ? maps : units) + MAPS_KEPT < limit;
}
