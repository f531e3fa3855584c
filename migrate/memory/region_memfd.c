/*
 * Guest memory that others may map, too: a sealed file in memory, of tmpfs or of hugetlbfs (memfd_create(2)).
 *
 * No userfaultfd serves its first touches. One that is registered for our mapping sees nothing of a peer's touches, and would
 * cost the huge pages, since UFFDIO_COPY fills tmpfs by 4 KiB. So the kernel fills, by the policy that mbind(2) gives to the
 * file itself (shmem_set_policy() in mm/shmem.c), and the table learns of it when the kernel is asked. hugetlbfs has no policy
 * of files: a peer's first touch there follows the peer's own.
 *
 * What a peer has touched and we have not is in the file, but not in our page tables, and move_pages(2) neither finds nor moves
 * it. mincore(2) tells of such pages of tmpfs, and file_window.h of those of hugetlbfs; they are mapped before anything else is
 * asked. A peer that punches a hole between the two gets a new page there, of zeros: what it reads is right, and the memory is
 * given back when it punches again. To take it away again could take away what the peer has written since. Pages of tmpfs that
 * are swapped out leave no trace in page tables: they are data of the file (SEEK_DATA) that is not in core.
 */
#include "../core/shortage.h"
#include "region.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* Without it, what only a peer has touched is not seen: the guest can do without. */
static void open_window(struct gmig *gmig, struct region *region)
{
	int ret = file_window_open(gmig->sys, region->fd, region->pages * GMIG_PAGE_BYTES,
				   &region->window);

	region->window_error = ret;
	if (ret)
		engine_log(gmig, GMIG_LOG_WARNING,
			   "event=region gpa=0x%llx errno=%s text=\"no userfaultfd for minor "
			   "faults: huge pages that only another process has touched are not "
			   "seen\"",
			   (unsigned long long)(region->gfn * GMIG_PAGE_BYTES),
			   gmig_errno_name(ret));
}

static int memfd_map(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	size_t bytes = region->pages * GMIG_PAGE_BYTES;
	unsigned long long mib = (unsigned long long)(bytes >> 20);
	void *hva;
	int ret = gmig_sys_map_aligned(gmig->sys, bytes, &region->reserved, &hva);

	if (ret)
		return gmig_fail(err, ret, "cannot map %llu MiB of guest memory: %s", mib,
				 gmig_errno_name(ret));
	region->hva = hva;
	ret = gmig->sys->memfd("gmig-guest", bytes, region->hugetlb ? GMIG_BLOCK_BYTES : 0);
	if (ret < 0)
		return gmig_fail(err, ret, "cannot make a file in memory of %llu MiB%s: %s", mib,
				 region->hugetlb ? " of huge pages" : "", gmig_errno_name(ret));
	region->fd = ret;
	ret = gmig->sys->map_file(region->fd, bytes, hva);
	if (ret == -ENOMEM && region->hugetlb)
		return gmig_fail(err, ret,
				 "the host's pool of 2 MiB pages has too few free ones for "
				 "%llu MiB: raise vm.nr_hugepages",
				 mib);
	if (ret)
		return gmig_fail(err, ret, "cannot map %llu MiB of shared guest memory: %s", mib,
				 gmig_errno_name(ret));
	if (region->hugetlb)
		open_window(gmig, region);
	ret = region_advise(gmig, region, err);
	if (ret)
		return ret;
	return region_bind(gmig, region, atomic_load(&region->preferred_node), err);
}

static int memfd_guard(struct gmig *gmig, struct region *region, struct gmig_error *err)
{
	(void)gmig, (void)region, (void)err;
	return 0;
}

/* Into our page tables: 0, also where the kernel knows no way, or -errno, which says nothing of what is there. */
static int populate(struct gmig *gmig, uint8_t *at, size_t bytes)
{
	int ret = gmig->sys->advise(at, bytes, MADV_POPULATE_READ);

	return is_shortage(ret) ? ret : 0;
}

/* Into our page tables with what is in core and not there. 1: there was something; 0: nothing; -errno: that cannot be said. */
static int map_in_core(struct gmig *gmig, uint8_t *block, const struct bits *mapped)
{
	unsigned char in_core[GMIG_BLOCK_PAGES];
	unsigned int first = 0, count;
	struct bits missing = {{0}};
	int ret = gmig->sys->in_core(block, GMIG_BLOCK_BYTES, in_core);

	if (ret)
		return is_shortage(ret) ? ret : 0;
	for (unsigned int i = 0; i < GMIG_BLOCK_PAGES; i++)
		if (in_core[i] & 1 && !bits_get(mapped, i))
			bits_set(&missing, i);
	if (bits_empty(&missing))
		return 0;
	while (!ret && (count = bits_run(&missing, &first))) {
		ret = populate(gmig, block + first * GMIG_PAGE_BYTES, count * GMIG_PAGE_BYTES);
		first += count;
	}
	return ret ? ret : 1;
}

/* A block of one page, not mapped by all that is known. As map_in_core(); -errno: whether there is one cannot be said. */
static int map_from_file(struct gmig *gmig, const struct region *region, uint64_t block_gfn)
{
	int has = file_window_has(gmig->sys, &region->window,
				  (block_gfn - region->gfn) * GMIG_PAGE_BYTES);

	int ret = has > 0 ? populate(gmig, region_hva(region, block_gfn), GMIG_BLOCK_BYTES) : 0;

	return ret ? ret : has;
}

static int hugetlb_scan(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
			struct uffd_scan *scan)
{
	uint8_t *block = region_hva(region, block_gfn);
	int ret = uffd_scan(gmig->sys, gmig->pagemap, block, scan), found;

	if (bits_full(&scan->present))
		return ret;
	found = map_from_file(gmig, region, block_gfn);
	if (found > 0)
		return uffd_scan(gmig->sys, gmig->pagemap, block, scan);
	return found < 0 ? found : ret;
}

/*
 * Data that is in no page table by now. It is never asked where data ends: the kernel would go through all of it page by page,
 * beyond the block, as far as the guest is full. 0, or -errno: not all of it was found.
 */
static int find_swapped(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
			struct uffd_scan *scan)
{
	uint64_t start = (block_gfn - region->gfn) * GMIG_PAGE_BYTES;
	unsigned int page = 0;

	while ((page = bits_next(&scan->present, page, false)) < GMIG_BLOCK_PAGES) {
		int64_t data =
		    gmig->sys->seek(region->fd, start + page * GMIG_PAGE_BYTES, SEEK_DATA);

		if (data < 0 && data != -ENXIO)
			return (int)data;
		if (data < 0 || (uint64_t)data >= start + GMIG_BLOCK_BYTES)
			return 0;
		page = (unsigned int)(((uint64_t)data - start) / GMIG_PAGE_BYTES);
		if (bits_get(&scan->present, page))
			continue;
		bits_set(&scan->swapped, page);
		bits_set(&scan->present, page);
	}
	return 0;
}

static int memfd_scan(struct gmig *gmig, const struct region *region, uint64_t block_gfn,
		      struct uffd_scan *scan)
{
	uint8_t *block = region_hva(region, block_gfn);
	int ret, found;

	if (region->hugetlb)
		return hugetlb_scan(gmig, region, block_gfn, scan);
	ret = uffd_scan(gmig->sys, gmig->pagemap, block, scan);
	/* Without a scan, on plain memory, nothing is known to be mapped. */
	if (bits_full(&scan->present))
		return ret;
	found = map_in_core(gmig, block, &scan->present);
	if (found < 0)
		return found;
	if (found)
		ret = uffd_scan(gmig->sys, gmig->pagemap, block, scan);
	return ret ? ret : find_swapped(gmig, region, block_gfn, scan);
}

static int memfd_discard(struct gmig *gmig, const struct region *region, uint64_t gfn,
			 uint64_t pages)
{
	return gmig->sys->punch_hole(region->fd, (gfn - region->gfn) * GMIG_PAGE_BYTES,
				     pages * GMIG_PAGE_BYTES);
}

const struct region_kind region_memfd = {
    .name = "memfd",
    .kernel_fills = true,
    .map = memfd_map,
    .prefer = region_bind,
    .guard = memfd_guard,
    .scan = memfd_scan,
    .discard = memfd_discard,
    .query = region_query,
};
