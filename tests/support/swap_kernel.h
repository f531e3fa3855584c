/*
 * A kernel that has swap and two nodes, for tests of mover swap: over the memory of one guest, which is real and never leaves. What
 * the calls say of it is made up: where a page is, what is in swap and in the swap cache, and where a page comes back to.
 */
#ifndef SWAP_KERNEL_H
#define SWAP_KERNEL_H

#include "../../migrate/core/room.h"
#include "../../migrate/core/sys.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define SWAP_BLOCKS 2
#define SWAP_PAGES  (SWAP_BLOCKS * GMIG_BLOCK_PAGES)

enum swap_place {
	SWAP_MAPPED,
	SWAP_CACHED,
	SWAP_OUT,
	SWAP_GONE,
	SWAP_ZERO /* the shared zero page */
};

struct swap_page {
	enum swap_place place;
	int node;
	bool copied; /* what is in swap is its content still */
	bool pinned;
	bool rewritten; /* the guest writes to it all the time */
	bool broken;	/* cannot be read from swap */
};

/* guarded by its lock */
static struct swap_kernel {
	pthread_mutex_t lock;
	uint8_t *ram;
	struct swap_page page[SWAP_PAGES];
	bool huge[SWAP_BLOCKS];
	int policy[SWAP_BLOCKS];
	uint64_t free_pages; /* of swap */
	uint64_t node_pages; /* that still fit on node 1 */
	bool slow;	     /* what is written out keeps its frame for a while */
	unsigned int locked_from, locked_pages; /* mlock(2): where MADV_PAGEOUT ends */
	int prefer_error;			/* of mbind(2) that does not name node 1 */
	unsigned int evictions;			/* calls */
	unsigned int block_binds;		/* of single blocks */
	void (*evicted)(void);			/* after each call, without the lock */
	unsigned int calls_before;		/* evicted is called after so many of them */
} swap_kernel = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct gmig_sys swap_sys;

/* Of this kernel's memory? *first: its first page. */
static inline bool swap_is_ram(const void *memory, unsigned int *first)
{
	const struct swap_kernel *kernel = &swap_kernel;
	uintptr_t at = (uintptr_t)memory - (uintptr_t)kernel->ram;

	*first = (unsigned int)(at / GMIG_PAGE_BYTES);
	return kernel->ram && at < SWAP_PAGES * GMIG_PAGE_BYTES;
}

static inline void swap_out_page(struct swap_page *page)
{
	struct swap_kernel *kernel = &swap_kernel;

	if (page->place != SWAP_MAPPED || page->pinned || (!page->copied && !kernel->free_pages))
		return;
	if (!page->copied)
		kernel->free_pages--;
	page->place = kernel->slow && !page->copied ? SWAP_CACHED : SWAP_OUT;
	page->copied = true;
	if (page->place == SWAP_OUT && page->node == 1)
		kernel->node_pages++;
}

/* As whoever touches it has it. */
static inline void swap_touch_page(unsigned int i)
{
	struct swap_kernel *kernel = &swap_kernel;
	struct swap_page *page = &kernel->page[i];

	if (page->place == SWAP_OUT) {
		page->node = kernel->policy[i / GMIG_BLOCK_PAGES];
		if (page->node == 1 && !kernel->node_pages)
			page->node = 0;
		else if (page->node == 1)
			kernel->node_pages--;
	}
	page->place = SWAP_MAPPED;
	if (page->rewritten) {
		page->copied = false;
		kernel->free_pages++;
	}
}

static inline int swap_read_pages(unsigned int first, unsigned int count)
{
	for (unsigned int i = first; i < first + count; i++) {
		if (swap_kernel.page[i].place == SWAP_OUT && swap_kernel.page[i].broken)
			return -EFAULT;
		swap_touch_page(i);
	}
	return 0;
}

static inline int swap_advise_ram(unsigned int first, unsigned int count, int advice)
{
	struct swap_kernel *kernel = &swap_kernel;

	switch (advice) {
	case MADV_PAGEOUT:
		kernel->evictions++;
		for (unsigned int i = first; i < first + count; i++) {
			if (i - kernel->locked_from < kernel->locked_pages)
				return -EINVAL;
			if (kernel->free_pages && !kernel->page[i].pinned)
				kernel->huge[i / GMIG_BLOCK_PAGES] = false;
			swap_out_page(&kernel->page[i]);
		}
		return 0;
	case MADV_POPULATE_READ:
		return swap_read_pages(first, count);
	case MADV_POPULATE_WRITE:
		for (unsigned int i = first; i < first + count; i++)
			if (kernel->page[i].place == SWAP_ZERO)
				kernel->page[i] = (struct swap_page){
				    .node = kernel->policy[i / GMIG_BLOCK_PAGES]};
		return 0;
	case MADV_COLLAPSE:
		kernel->huge[first / GMIG_BLOCK_PAGES] = true;
		return 0;
	default:
		return 1;
	}
}

static int swap_advise(void *memory, size_t bytes, int advice)
{
	struct swap_kernel *kernel = &swap_kernel;
	void (*then)(void) = NULL;
	unsigned int first;
	int ret = 1;

	pthread_mutex_lock(&kernel->lock);
	if (swap_is_ram(memory, &first))
		ret = swap_advise_ram(first, (unsigned int)(bytes / GMIG_PAGE_BYTES), advice);
	if (!ret && advice == MADV_PAGEOUT && kernel->evictions > kernel->calls_before)
		then = kernel->evicted;
	pthread_mutex_unlock(&kernel->lock);
	if (then)
		then();
	return ret > 0 ? gmig_sys_real.advise(memory, bytes, advice) : ret;
}

static int swap_in_core(void *memory, size_t bytes, unsigned char *pages)
{
	unsigned int first;

	if (!swap_is_ram(memory, &first))
		return gmig_sys_real.in_core(memory, bytes, pages);
	pthread_mutex_lock(&swap_kernel.lock);
	for (unsigned int i = 0; i < bytes / GMIG_PAGE_BYTES; i++)
		pages[i] = swap_kernel.page[first + i].place < SWAP_OUT ||
			   swap_kernel.page[first + i].place == SWAP_ZERO;
	pthread_mutex_unlock(&swap_kernel.lock);
	return 0;
}

static int swap_prefer(void *memory, size_t bytes, int node)
{
	struct swap_kernel *kernel = &swap_kernel;
	unsigned int first;
	int ret = 0;

	pthread_mutex_lock(&kernel->lock);
	if (swap_is_ram(memory, &first)) {
		ret = node == 1 ? 0 : kernel->prefer_error;
		for (unsigned int i = 0; !ret && i < bytes / GMIG_BLOCK_BYTES; i++)
			kernel->policy[first / GMIG_BLOCK_PAGES + i] = node;
		kernel->block_binds += bytes == GMIG_BLOCK_BYTES;
	}
	pthread_mutex_unlock(&kernel->lock);
	return ret;
}

static int swap_query(size_t count, void **pages, int *status)
{
	int ret = gmig_sys_real.query_nodes(count, pages, status);
	unsigned int page;

	pthread_mutex_lock(&swap_kernel.lock);
	for (size_t i = 0; i < count && !ret; i++)
		if (swap_is_ram(pages[i], &page) && status[i] >= 0)
			status[i] = swap_kernel.page[page].place == SWAP_MAPPED
					? swap_kernel.page[page].node
					: -ENOENT;
	pthread_mutex_unlock(&swap_kernel.lock);
	return ret;
}

static inline uint64_t swap_categories(unsigned int page)
{
	const struct swap_kernel *kernel = &swap_kernel;

	if (kernel->page[page].place == SWAP_GONE)
		return 0;
	if (kernel->page[page].place == SWAP_ZERO)
		return PAGE_IS_PRESENT | PAGE_IS_PFNZERO | PAGE_IS_WRITTEN;
	if (kernel->page[page].place != SWAP_MAPPED)
		return PAGE_IS_SWAPPED | PAGE_IS_WRITTEN;
	return PAGE_IS_PRESENT | PAGE_IS_WRITTEN |
	       (kernel->huge[page / GMIG_BLOCK_PAGES] ? PAGE_IS_HUGE : 0);
}

/* PAGEMAP_SCAN, from arg->start on. */
static inline int swap_scan(struct pm_scan_arg *arg, unsigned int page)
{
	struct page_region *regions = (struct page_region *)(uintptr_t)arg->vec; // NOLINT
	unsigned int found = 0;

	for (arg->walk_end = arg->start; arg->walk_end < arg->end;
	     arg->walk_end += GMIG_PAGE_BYTES) {
		uint64_t is = swap_categories(page++);

		if (!is)
			continue;
		if (found && regions[found - 1].end == arg->walk_end &&
		    regions[found - 1].categories == is) {
			regions[found - 1].end += GMIG_PAGE_BYTES;
			continue;
		}
		if (found == arg->vec_len)
			break;
		regions[found++] =
		    (struct page_region){arg->walk_end, arg->walk_end + GMIG_PAGE_BYTES, is};
	}
	return (int)found;
}

static int swap_ioctl(int fd, unsigned long request, void *arg)
{
	struct pm_scan_arg *scan = arg;
	unsigned int first;
	int ret;

	if (request != PAGEMAP_SCAN || scan->end - scan->start > GMIG_BLOCK_BYTES ||
	    !swap_is_ram((void *)(uintptr_t)scan->start, &first)) // NOLINT
		return gmig_sys_real.ioctl(fd, request, arg);
	pthread_mutex_lock(&swap_kernel.lock);
	ret = swap_scan(scan, first);
	pthread_mutex_unlock(&swap_kernel.lock);
	return ret;
}

static void swap_room(struct room *room)
{
	*room = (struct room){.limit = "host"};
	pthread_mutex_lock(&swap_kernel.lock);
	room->bytes = swap_kernel.free_pages * GMIG_PAGE_BYTES;
	pthread_mutex_unlock(&swap_kernel.lock);
}

static void swap_sleep(uint64_t ns)
{
	(void)ns;
}

static inline void swap_kernel_start(bool huge)
{
	struct swap_kernel *kernel = &swap_kernel;

	kernel->ram = NULL;
	kernel->free_pages = kernel->node_pages = 1 << 20;
	kernel->calls_before = 0;
	for (unsigned int i = 0; i < SWAP_BLOCKS; i++)
		kernel->huge[i] = huge;
	memset(kernel->page, 0, sizeof(kernel->page));
	swap_sys = gmig_sys_real;
	swap_sys.advise = swap_advise;
	swap_sys.in_core = swap_in_core;
	swap_sys.prefer_node = swap_prefer;
	swap_sys.query_nodes = swap_query;
	swap_sys.ioctl = swap_ioctl;
	swap_sys.swap_room = swap_room;
	swap_sys.sleep_ns = swap_sleep;
}

#endif
