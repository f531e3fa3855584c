/*
 * Which mappings of a QEMU process are the guest's memory, and on which nodes they lie.
 *
 * The mappings are guessed by what QEMU does to all guest memory (MADV_DONTFORK) and by their size, largest first, until they are as
 * much as libvirt says that the domain has: QEMU gives anonymous memory no name. A guess that does not fit is kept and said (`fits`), never hidden.
 *
 * No locks: the functions work on their arguments alone, any thread may call them.
 *
 * Sources: proc_pid_smaps(5), proc_pid_numa_maps(5).
 */
#ifndef QEMU_MEMORY_H
#define QEMU_MEMORY_H

#include "../migrate/memory/process.h"

struct qemu_ram {
	struct process_mapping *mapping; /* by address */
	size_t count;
	uint64_t bytes;	       /* of all of them */
	uint64_t domain_bytes; /* what libvirt says */
	bool
	    fits; /* bytes is domain_bytes, or a little more: rounding to huge pages, video memory */
};

/* To be freed with qemu_ram_free. -ENOMEM. */
int qemu_ram_choose(const struct process_maps *maps, uint64_t domain_bytes, struct qemu_ram *ram);
void qemu_ram_free(struct qemu_ram *ram);

struct qemu_usage {
	uint64_t ram_bytes[GMIG_MAX_NODES];	    /* of guest memory */
	uint64_t hugetlb_ram_bytes[GMIG_MAX_NODES]; /* of these, in pages of hugetlbfs */
	uint64_t
	    other_bytes[GMIG_MAX_NODES]; /* QEMU's own, and what it has in common with others */
	/* Of guest memory, by page size; not in small pages nor transparent huge ones: hugetlb_bytes of hugetlb_page_bytes each */
	uint64_t small_bytes, huge_bytes, hugetlb_bytes, hugetlb_page_bytes;
	uint64_t swapped_bytes, untouched_bytes;
	uint64_t shared_bytes; /* other processes map it, too */
	uint64_t locked_bytes; /* by mlock(2) */
};

/*
 * The text of a numa_maps file, beside the mappings of the same process: about 32 KiB. The kernel counts each page of
 * the page tables for it, 25 ms for each GiB of small pages. -EIO the text makes no sense.
 */
int qemu_usage_parse(FILE *numa_maps, const struct qemu_ram *ram, struct qemu_usage *usage);
/* The bytes on a node, guest memory and QEMU's own. */
uint64_t qemu_usage_on(const struct qemu_usage *usage, unsigned int node);

/* Choose and count, of a process that is alive. *ram and *usage are then the caller's; on an error *usage stays as it was. -ESRCH, -EACCES, -ENOMEM, -EIO. */
int qemu_memory_read(struct process *process, uint64_t domain_bytes, struct qemu_ram *ram,
		     struct qemu_usage *usage, struct gmig_error *err);

#endif
