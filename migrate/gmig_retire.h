/*
 * Bad pages: memory whose errors the hardware still corrects, but so often that it is not to be trusted any more. The content of
 * one page of 4 KiB goes to a good frame of the same node while the guest runs, and the frame in which it lay is not used again:
 *
 * - the kernel takes it out of use for everybody until the host boots again, if this process has CAP_SYS_ADMIN and the kernel
 *   CONFIG_MEMORY_FAILURE (MADV_SOFT_OFFLINE of madvise(2)); HardwareCorrupted in /proc/meminfo tells how much that is. Or it
 * - stays in quarantine until this process ends (gmig_stats.quarantine_bytes). Then it is the kernel's again, which knows nothing.
 *   It is locked there, as far as RLIMIT_MEMLOCK has room, so that it is not swapped out; but the kernel may still move what lies in
 *   it (compaction, hot-remove), and use the frame for others.
 *
 * Of a block that is one huge page all goes, to another huge page, since copying 2 MiB costs less than what is lost without huge
 * pages; without a free one on the node only the page goes, and the block is small pages from then on. What the kernel calls
 * bad is 4 KiB in either case.
 *
 * Memory that mover uffd does not move (hugetlbfs, files, a guest without migration) stays where it is in the guest: the kernel
 * does all of it, or nothing. Pages of hugetlbfs it takes whole; those of 1 GiB are not retired.
 *
 * Threads and errors as in gmig.h. Source: soft_offline_page() in Linux's mm/memory-failure.c, mcelog(8)'s page-error triggers.
 */
#ifndef GMIG_RETIRE_H
#define GMIG_RETIRE_H

#include "gmig.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct gmig_retire_spec {
	uint64_t gpa; /* anywhere in the page */
	bool keep;    /* the kernel is not asked to take the frame */
	uint64_t reserved[4];
};

struct gmig_retired {
	uint64_t gpa;	   /* of the page */
	unsigned int node; /* on which it is and was; of what the kernel moved: is */
	bool huge;	   /* its block is one huge page, and all of it has another one now */
	bool thp_split;	   /* its block was a huge page, and is small pages now */
	/*
	 * 0: the kernel has taken the frame out of use. Else it is in quarantine, and why: -EPERM no CAP_SYS_ADMIN; -EINVAL a kernel
	 * without CONFIG_MEMORY_FAILURE; -EOPNOTSUPP vm.enable_soft_offline is 0 (or a filter of hwpoison's); -EBUSY, -EIO it could
	 * not move its content; -ECANCELED it was not asked.
	 */
	int offline;
	uint64_t reserved[6];
};

/*
 * Blocks for milliseconds: up to 50 while others hold the page, and as long as the kernel takes to move its content. On an error
 * nothing has changed but that a huge page may have been split.
 *
 * -EFAULT not guest RAM; -ENOENT it lies in no frame of its own: never touched, given back, the zero page, or in swap, which is
 * also how the kernel shows what is broken already; -EBUSY a job or a device holds it, or the kernel has pinned it: try again;
 * -ENOMEM no memory on its node, or no more beside the guest's own; -EIO it cannot be read: its content is lost, and only who
 * reads it is hurt; -EFBIG it is part of a page of 1 GiB; -EPERM it must not move (gmig_fix_memory()). Of memory that mover uffd does not move: what the kernel said, as `offline`, and -EOPNOTSUPP with `keep`.
 */
int gmig_retire(struct gmig *gmig, const struct gmig_retire_spec *spec,
		struct gmig_retired *retired, struct gmig_error *err);

/*
 * The kernel says of memory of the guest that it is broken (SIGBUS with BUS_MCEERR_AO: nobody has touched it yet): not from the
 * handler. The table learns of it, and jobs leave that page (-EIO) and move those around it. *gpa: of the page. -EFAULT it is no
 * memory of the guest (frames of ours are found when they are used); -ENOENT the kernel shows it as whole; -EALREADY it is known.
 */
int gmig_memory_broke(struct gmig *gmig, const void *address, uint64_t *gpa);
/* The guest's pages of which it was noticed that they cannot be read any more, since the start. */
uint64_t gmig_broken_bytes(struct gmig *gmig);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
