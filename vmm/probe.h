/*
 * The probe guest: a few hundred bytes of ring-3 code that write (page, counter) into every page of
 * guest RAM in turn, check it on the next sweep, and keep a histogram of their own gaps. See
 * probe_code.S and probe_abi.h.
 *
 * All of it lies in guest RAM and moves with it, code and page tables too. Every vCPU sweeps a
 * slice of its own: the RAM is cut into as many equal parts as there are vCPUs. Its first sweep
 * fills the slice, whatever the load. Reads of the statistics are of some recent moment; any thread
 * may read.
 */
#ifndef VMM_PROBE_H
#define VMM_PROBE_H

#include "options.h"
#include "vmm.h"

/* A gap is a time between two looks at the clock (16 pages) of at least this. */
#define PROBE_GAP_NS 5000

struct probe;

struct probe_summary {
	enum vmm_load load;
	uint64_t visits, sweeps, errors,
	    interrupts; /* all vCPUs together; an error is a lost or misplaced write */
	bool filled;	/* every vCPU has ended its first sweep */
	struct gmig_percentiles gap;
	char first_error[GMIG_ERROR_TEXT]; /* "" or page, what was seen and what was wanted */
};

/* Is there enough RAM for tables, counters and one page a vCPU? Pure. -EINVAL. */
int probe_check(const struct vmm_options *options, struct gmig_error *err);
/* Registers the sleep port. Before the vCPUs start. */
int probe_create(struct vmm *vmm, struct probe **out, struct gmig_error *err);
void probe_destroy(struct probe *probe);
/* Put code, tables and registers in place; vCPUs are parked or not started. */
int probe_load(struct probe *probe, struct gmig_error *err);
/*
 * Before a reset takes the registers away: a vCPU may have been parked between the two stores of a
 * visit. Complete it, or the page would look like a lost write. vCPUs are parked.
 */
void probe_repair(struct probe *probe);

void probe_summarise(const struct probe *probe, struct probe_summary *summary);
/* Change the load of a running guest; each vCPU starts a new sweep. */
void probe_set_load(struct probe *probe, enum vmm_load load);
/* Start a new gap histogram. */
void probe_reset_gaps(struct probe *probe);

#endif
