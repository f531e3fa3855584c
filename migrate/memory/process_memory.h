/*
 * A process as a memory (memory.h): pages are numbered by virtual address, and the kernel, asked anew
 * at each walk, says where they are. Nothing is believed, so nothing is refreshed; nothing is claimed:
 * the kernel itself lets no two move one page at a time.
 */
#ifndef GMIG_PROCESS_MEMORY_H
#define GMIG_PROCESS_MEMORY_H

#include "memory.h"
#include "process.h"

struct gmig_process {
	struct memory memory;
	struct process *process;
	bool (*counts)(void *opaque, uint64_t start, uint64_t end); /* as in gmig.h; or NULL */
	bool shared; /* pages that other processes map, too, are moved as well */
	pthread_rwlock_t lock;
	struct process_maps maps; /* guarded by lock */
};

extern const struct memory_ops process_ops;

/* NULL: it is a guest's. */
static inline struct gmig_process *process_of(const struct memory *memory)
{
	return memory->ops == &process_ops ? (struct gmig_process *)memory : NULL;
}

/* The size of the pages of the mapping at gfn, in 4 KiB pages. */
uint64_t process_page_size(struct gmig_process *process, uint64_t gfn);
/* Whether runs of huge pages are told apart: PAGEMAP_SCAN worked when the maps were last read. */
bool process_scans(struct gmig_process *process);
/* The nodes that a job with this spec brings memory to. */
struct gmig_node_set process_targets(const struct gmig_job_spec *spec);

#endif
