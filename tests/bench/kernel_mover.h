/*
 * The kernel's own ways to move a running process's memory between nodes, to compare with: move_pages(2), and
 * migrate_pages(2) as migratepages(8) uses it. For a guest on plain memory, and for QEMU (domain.h). One thread.
 */
#ifndef BENCH_KERNEL_MOVER_H
#define BENCH_KERNEL_MOVER_H

#include "../../migrate/memory/process.h"
#include "instructions.h"

/* What cells call them. */
extern const char kernel_mover_move_pages[], kernel_mover_migratepages[];
/* mover: a cell's; false: gmig's own, or virsh. */
bool kernel_mover_is(const char *mover);

struct kernel_range {
	uint64_t start, end; /* in the process */
};

#define KERNEL_MAX_RANGES 16
struct kernel_memory {
	pid_t pid;
	struct kernel_range range[KERNEL_MAX_RANGES];
	unsigned int ranges;
};

/* Where it lies. Pages that the guest has not touched yet lie nowhere. */
struct kernel_place {
	double on_bytes, elsewhere_bytes; /* on the node that was asked about, on all others */
	double huge_bytes;
};
/* Asks move_pages(2), which says for other users' processes -EPERM, for one that has ended -ESRCH. */
int kernel_place(const struct kernel_memory *memory, unsigned int node, struct kernel_place *out);
/* Keep of the mappings what a range has of them, the first that touches it; huge_bytes and the other
 * sums stay the mapping's. */
void kernel_clip(struct process_maps *maps, const struct kernel_memory *memory);

struct kernel_move {
	double seconds, cpu_seconds; /* of the calls; CPU time of this thread in them */
	double moved_bytes;	     /* fewer on nodes that are not the target */
	double moved_ratio;	     /* of what lay there; NAN: nothing did */
	double thp_split;	     /* huge pages fewer than before */
	unsigned int calls;
};

/* From where all lay before the move and lies after it, both asked with the target: moved_* and thp_split. */
void kernel_move_judge(const struct kernel_place *before, const struct kernel_place *after,
		       struct kernel_move *out);
/*
 * As many huge pages as the kernel makes of it. Of memory that is read before it is written kernels before 6.13 make small ones:
 * they split the huge zero page.
 */
void kernel_make_huge(pid_t pid, const struct kernel_range *range);

struct kernel_order {
	const char *mover;
	const struct kernel_memory *memory;
	unsigned int from, to;
	unsigned int batch; /* addresses in a call of move_pages; 0: 1024, which is the most */
	struct instructions *instructions; /* NULL, or started and stopped around the calls */
};

/*
 * migratepages moves all of the process, but only the ranges are counted. move_pages names one address for each 2 MiB where
 * there are huge pages, and each 4 KiB page unless all are huge. What stays is a result, no failure. What the system
 * call says: -EPERM, -EACCES, -ENODEV, -ESRCH.
 */
int kernel_move(const struct kernel_order *order, struct kernel_move *out, struct gmig_error *err);

#endif
