/*
 * Has a file of hugetlb pages memory at an offset? Asked without giving it any, and for what is in none of our page tables. Most
 * calls cannot tell: hugetlbfs has no SEEK_DATA and no cachestat(2), mincore(2) looks into page tables alone, and a touch would
 * allocate.
 *
 * The window is a second mapping of the file that nobody may access, registered with a userfaultfd of its own for minor faults.
 * UFFDIO_CONTINUE maps there what the file has, and says EFAULT where it has nothing (hugetlb_mfill_atomic_pte() in
 * mm/hugetlb.c, hugetlb_mcopy_atomic_pte() before Linux 6.4). What was found is unmapped at once: a second mapping would count
 * as another process's when it is moved.
 *
 * - Nobody can sleep on it: an access by this process is a SIGSEGV, and one that a debugger forces through /proc/PID/mem fails
 *   with EIO (UFFD_FEATURE_SIGBUS).
 * - It takes no huge pages: it claims none (MAP_NORESERVE), not even by mlockall(2), which fills only what may be accessed.
 * - It costs address space as large as the file, and page tables of 4 KiB for each GiB that was asked about.
 *
 * Constant after file_window_open(); any thread, no locks of ours.
 *
 * The idea of minor faults is Axel Rasmussen's, for live migration: Documentation/admin-guide/mm/userfaultfd.rst.
 */
#ifndef GMIG_FILE_WINDOW_H
#define GMIG_FILE_WINDOW_H

#include "../core/sys.h"

struct file_window {
	uint8_t *start; /* NULL: there is none */
	size_t bytes;
	int uffd;
};

/*
 * For the file of that size. Else there is none: -EPERM no right to a userfaultfd; -EINVAL before Linux 5.18, or on a processor
 * whose kernel has no minor faults; -ENOMEM; -EMFILE.
 */
int file_window_open(const struct gmig_sys *sys, int fd, size_t bytes, struct file_window *window);
/* Legal without one. */
void file_window_close(const struct gmig_sys *sys, struct file_window *window);

/*
 * 1: the file has a 2 MiB page at the offset; 0: it has none, or there is no window; -errno: it cannot be said (-ENOMEM, no page
 * table; -EIO, the page is broken). Waits for as long as the kernel takes to move the page, if it just does.
 */
int file_window_has(const struct gmig_sys *sys, const struct file_window *window, uint64_t offset);

#endif
