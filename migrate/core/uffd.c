#include "uffd.h"

#include <errno.h>
#include <sched.h>

#define AGAIN_TRIES 64
#define AGAIN_SPIN  16
#define AGAIN_NS    20000

/* Between two tries after -EAGAIN: first give the other thread the processor, then wait. false:
 * enough. */
static bool again(const struct gmig_sys *sys, unsigned int *tries)
{
	if (++*tries > AGAIN_TRIES)
		return false;
	if (*tries <= AGAIN_SPIN)
		sched_yield();
	else
		sys->sleep_ns(AGAIN_NS);
	return true;
}

int uffd_open(const struct gmig_sys *sys, uint64_t features, int *out, uint64_t *have)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = sys->userfaultfd();
	int ret;

	if (fd < 0)
		return fd;
	ret = sys->ioctl(fd, UFFDIO_API, &api);
	if (ret) {
		sys->close(fd);
		return ret;
	}
	if (have)
		*have = api.features;
	*out = fd;
	return 0;
}

int uffd_register(const struct gmig_sys *sys, int fd, void *memory, size_t bytes, uint64_t mode)
{
	struct uffdio_register reg = {.range = {(uintptr_t)memory, bytes}, .mode = mode};

	return sys->ioctl(fd, UFFDIO_REGISTER, &reg);
}

/* Whoever is not woken sleeps for ever: no error is final. */
int uffd_wake(const struct gmig_sys *sys, int fd, const void *memory, size_t bytes)
{
	struct uffdio_range range = {(uintptr_t)memory, bytes};
	unsigned int tries = 0;
	int ret;

	do {
		ret = sys->ioctl(fd, UFFDIO_WAKE, &range);
	} while (ret && again(sys, &tries));
	return ret;
}

int uffd_protect(const struct gmig_sys *sys, int fd, const void *memory, size_t bytes, bool on)
{
	struct uffdio_writeprotect arg = {.range = {(uintptr_t)memory, bytes},
					  .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
	unsigned int tries = 0;
	int ret;

	do {
		ret = sys->ioctl(fd, UFFDIO_WRITEPROTECT, &arg);
	} while (ret == -EAGAIN && again(sys, &tries));
	return ret;
}

int uffd_copy(const struct gmig_sys *sys, int fd, void *to, const void *from, size_t bytes,
	      size_t *done)
{
	unsigned int tries = 0;
	int ret = 0;

	*done = 0;
	while (*done < bytes) {
		struct uffdio_copy arg = {.dst = (uintptr_t)to + *done,
					  .src = (uintptr_t)from + *done,
					  .len = bytes - *done,
					  .mode = UFFDIO_COPY_MODE_DONTWAKE};

		ret = sys->ioctl(fd, UFFDIO_COPY, &arg);
		if (!ret)
			arg.copy = (__s64)arg.len;
		if (arg.copy > 0) {
			*done += (size_t)arg.copy;
			tries = 0;
		} else if (ret != -EAGAIN || !again(sys, &tries)) {
			return ret;
		}
	}
	return 0;
}

int uffd_copy_protected(const struct gmig_sys *sys, int fd, void *to, const void *from)
{
	struct uffdio_copy arg = {.dst = (uintptr_t)to,
				  .src = (uintptr_t)from,
				  .len = GMIG_PAGE_BYTES,
				  .mode = UFFDIO_COPY_MODE_DONTWAKE | UFFDIO_COPY_MODE_WP};
	unsigned int tries = 0;
	int ret;

	do {
		ret = sys->ioctl(fd, UFFDIO_COPY, &arg);
	} while (ret == -EAGAIN && again(sys, &tries));
	return ret;
}

int uffd_poison(const struct gmig_sys *sys, int fd, const void *page)
{
	struct uffdio_poison arg = {.range = {(uintptr_t)page, GMIG_PAGE_BYTES}};
	unsigned int tries = 0;
	int ret;

	do {
		ret = sys->ioctl(fd, UFFDIO_POISON, &arg);
	} while (ret == -EAGAIN && again(sys, &tries));
	return ret;
}

int uffd_continue(const struct gmig_sys *sys, int fd, const void *memory, size_t bytes)
{
	unsigned int tries = 0;
	size_t done = 0;
	int ret;

	do {
		struct uffdio_continue arg = {.range = {(uintptr_t)memory + done, bytes - done},
					      .mode = UFFDIO_CONTINUE_MODE_DONTWAKE};

		ret = sys->ioctl(fd, UFFDIO_CONTINUE, &arg);
		if (ret == -EAGAIN && arg.mapped > 0) {
			done += (size_t)arg.mapped;
			tries = 0;
		}
	} while (ret == -EAGAIN && again(sys, &tries));
	return ret;
}

int uffd_move(const struct gmig_sys *sys, const struct uffd_move *move, size_t *done)
{
	unsigned int tries = 0;
	int ret = 0;

	*done = 0;
	while (*done < move->bytes) {
		struct uffdio_move arg = {.dst = (uintptr_t)move->to + *done,
					  .src = (uintptr_t)move->from + *done,
					  .len = move->bytes - *done,
					  .mode = move->wake ? 0 : UFFDIO_MOVE_MODE_DONTWAKE};

		ret = sys->ioctl(move->fd, UFFDIO_MOVE, &arg);
		if (!ret)
			arg.move = (__s64)arg.len;
		if (arg.move > 0) {
			*done += (size_t)arg.move;
			tries = 0;
		} else if (ret != -EAGAIN || !again(sys, &tries)) {
			return ret;
		}
	}
	return 0;
}

/* Room for the worst case, every page a region of its own. */
#define scan_regions 64

static void scan_add(struct uffd_scan *scan, uintptr_t block, const struct page_region *region)
{
	unsigned int first = (unsigned int)((region->start - block) / GMIG_PAGE_BYTES);
	unsigned int count = (unsigned int)((region->end - region->start) / GMIG_PAGE_BYTES);
	bool zero = region->categories & PAGE_IS_PFNZERO;

	bits_set_range(&scan->present, first, count);
	if (region->categories & PAGE_IS_SWAPPED)
		bits_set_range(&scan->swapped, first, count);
	if (zero)
		bits_set_range(&scan->zero, first, count);
	if (!(region->categories & PAGE_IS_WRITTEN))
		bits_set_range(&scan->protected, first, count);
	if (count == GMIG_BLOCK_PAGES && region->categories & PAGE_IS_HUGE && !zero)
		scan->huge = true;
}

int uffd_scan(const struct gmig_sys *sys, int pagemap, const void *block, struct uffd_scan *scan)
{
	struct page_region regions[scan_regions];
	uintptr_t start = (uintptr_t)block;
	struct pm_scan_arg arg = {
	    .size = sizeof(arg),
	    .start = start,
	    .end = start + GMIG_BLOCK_BYTES,
	    .vec = (uintptr_t)regions,
	    .vec_len = scan_regions,
	    .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	    .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO | PAGE_IS_HUGE |
			   PAGE_IS_WRITTEN,
	};

	memset(scan, 0, sizeof(*scan));
	while (arg.start < arg.end) {
		int found = sys->ioctl(pagemap, PAGEMAP_SCAN, &arg);

		if (found < 0)
			return found;
		for (int i = 0; i < found; i++)
			scan_add(scan, start, &regions[i]);
		if (arg.walk_end <= arg.start)
			break;
		arg.start = arg.walk_end;
	}
	return 0;
}

bool uffd_is_empty(const struct gmig_sys *sys, int pagemap, const void *start, size_t bytes)
{
	struct page_region region;
	struct pm_scan_arg arg = {
	    .size = sizeof(arg),
	    .start = (uintptr_t)start,
	    .end = (uintptr_t)start + bytes,
	    .vec = (uintptr_t)&region,
	    .vec_len = 1,
	    .max_pages = 1,
	    .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	    .return_mask = PAGE_IS_PRESENT,
	};

	return sys->ioctl(pagemap, PAGEMAP_SCAN, &arg) == 0 && arg.walk_end == arg.end;
}
