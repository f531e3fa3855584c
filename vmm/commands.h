/*
 * The commands of the control socket. They run on the control server's thread; none waits for a
 * guest longer than VMM_PARK_MS.
 */
#ifndef VMM_COMMANDS_H
#define VMM_COMMANDS_H

#include "machine.h"

#include <jansson.h>

/* Listen on the VM's socket. The machine is complete; its vCPUs may still be parked. */
int commands_start(struct vmm *vmm, struct gmig_error *err);
/* -EADDRINUSE: a VM of that name is alive. For an early word; commands_start decides. */
int commands_check_name(const char *name, struct gmig_error *err);
/* Send an event to all clients; steals data. Before commands_start and after commands_stop it goes
 * nowhere. */
void commands_event(struct vmm *vmm, const char *name, json_t *data);
/* Close the socket; no command runs afterwards. Not from a command. */
void commands_stop(struct vmm *vmm);

/* ---- report.c: what a VM tells of itself ----------------------------------------------------- */

json_t *report_status(struct vmm *vmm);
json_t *report_numa(struct vmm *vmm);
/* NULL when there is no memory. */
json_t *report_residency(struct vmm *vmm);
json_t *report_jobs(struct vmm *vmm);
json_t *report_histograms(struct vmm *vmm);
json_t *report_job(const struct gmig_job_info *info);
/* records[0] is record number `first`; there are `total`, at most `max` of them in records. */
json_t *report_trace(const struct gmig_trace_record *records, uint64_t first, uint64_t total,
		     size_t max);
json_t *report_check(const struct gmig_check *check);

#endif
