/*
 * The probe guest: a few hundred bytes of ring-3 code that write (page, counter) into every page of
 * guest RAM in turn, check it on the next sweep, and keep a histogram of their own gaps. See
 * probe_code.S and probe_abi.h.
 *
 * Code, stacks, page tables and counters are in guest RAM and move with it; only the statistics are not. The RAM is divided
 * into equal slices, one per vCPU, and each vCPU sweeps its own. The first sweep fills the slice
 * under any load. Any thread may read the statistics; they show some recent moment.
 */
#ifndef VMM_PROBE_H
#define VMM_PROBE_H

#include "options.h"
#include "vmm.h"

/* A gap is a time of at least this between two readings of the clock (16 pages). */
#define PROBE_GAP_NS 5000

struct probe;

struct probe_summary {
	enum vmm_load load;
	uint64_t visits, sweeps, errors,
	    interrupts; /* all vCPUs together; an error is a lost or misplaced write */
	bool filled;	/* every vCPU has completed its first sweep */
	struct gmig_percentiles gap;
	char first_error[GMIG_ERROR_TEXT]; /* "" or page, what was seen and what was wanted */
};

/* Is there enough RAM for tables, counters and one page per vCPU? -EINVAL. Pure. */
int probe_check(const struct vmm_options *options, struct gmig_error *err);
/* Registers the sleep port. Before the vCPUs start. */
int probe_create(struct vmm *vmm, struct probe **out, struct gmig_error *err);
void probe_destroy(struct probe *probe);
/* Put code, tables and registers in place; vCPUs are parked or not started. */
int probe_load(struct probe *probe, struct gmig_error *err);
/*
 * Call before a reset changes registers. A vCPU may have been parked between the two stores of a
 * visit; this completes the visit, which would otherwise look like a lost write. vCPUs are parked.
 */
void probe_repair(struct probe *probe);

void probe_summarise(const struct probe *probe, struct probe_summary *summary);
/* Change the load of a running guest; each vCPU starts a new sweep. */
void probe_set_load(struct probe *probe, enum vmm_load load);
/* Start a new gap histogram. */
void probe_reset_gaps(struct probe *probe);

#endif
