#include "file_window.h"

#include "../core/uffd.h"

#include <errno.h>
#include <sys/mman.h>

static int prepare(const struct gmig_sys *sys, struct file_window *window)
{
	int ret;

	sys->advise(window->start, window->bytes, MADV_DONTDUMP);
	ret = sys->advise(window->start, window->bytes, MADV_DONTFORK);
	/* Refused for hugetlb pages before Linux 5.18: what is found could not be unmapped. */
	if (!ret)
		ret = sys->advise(window->start, window->bytes, MADV_DONTNEED);
	if (!ret)
		ret = uffd_open(sys, UFFD_FEATURE_MINOR_HUGETLBFS | UFFD_FEATURE_SIGBUS,
				&window->uffd, NULL);
	if (!ret)
		ret = uffd_register(sys, window->uffd, window->start, window->bytes,
				    UFFDIO_REGISTER_MODE_MINOR);
	return ret;
}

int file_window_open(const struct gmig_sys *sys, int fd, size_t bytes, struct file_window *window)
{
	void *start;
	int ret = sys->map_window(fd, bytes, &start);

	if (ret)
		return ret;
	*window = (struct file_window){.start = start, .bytes = bytes, .uffd = -1};
	ret = prepare(sys, window);
	if (ret)
		file_window_close(sys, window);
	return ret;
}

void file_window_close(const struct gmig_sys *sys, struct file_window *window)
{
	if (!window->start)
		return;
	sys->unmap(window->start, window->bytes);
	if (window->uffd >= 0)
		sys->close(window->uffd);
	window->start = NULL;
}

/* Two threads may ask about a page at a time: what one has mapped is there for the other one, too. */
int file_window_has(const struct gmig_sys *sys, const struct file_window *window, uint64_t offset)
{
	int ret;

	if (!window->start)
		return 0;
	ret = uffd_continue(sys, window->uffd, window->start + offset, GMIG_BLOCK_BYTES);
	if (ret == -EFAULT)
		return 0;
	sys->advise(window->start + offset, GMIG_BLOCK_BYTES, MADV_DONTNEED);
	return !ret || ret == -EEXIST ? 1 : ret;
}
