/*
 * The commands of the control socket. They run on the control server's thread; none waits for a
 * guest longer than twice VMM_PARK_MS (vCPUs, then devices).
 */
#ifndef VMM_COMMANDS_H
#define VMM_COMMANDS_H

#include "../control/guest.h"
#include "machine.h"

/* For vmm_memory_create: tell all clients of jobs, and of memory that cannot be read any more. */
extern const struct vmm_memory_events commands_memory_events;
/* Listen on the VM's socket. The machine is complete; its vCPUs may still be parked. */
int commands_start(struct vmm *vmm, struct gmig_error *err);
/* The name is ours until commands_stop, and clients wait for our socket. -EADDRINUSE: a VM of that
 * name runs or starts. */
int commands_take_name(const char *name, struct gmig_error *err);
/* Without commands_stop; legal when it is not ours. */
void commands_give_name_back(const char *name);
/* Send an event to all clients; steals data. Before commands_start and after commands_stop it goes
 * nowhere. */
void commands_event(struct vmm *vmm, const char *name, json_t *data);
/* Close the socket; no command runs afterwards. Not from a command. */
void commands_stop(struct vmm *vmm);

/* ---- commands_cpus.c: where threads run ------------------------------------------------------- */

int commands_query_cpus(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err);
extern const struct control_argument commands_pin_arguments[];
int commands_pin_vcpu(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err);
/* The answer of query-cpus: each vCPU and helper thread, and what the process may use. NULL: no memory. */
json_t *report_cpus(struct vmm *vmm);

/* ---- commands_balloon.c ------------------------------------------------------------------------ */

int commands_query_balloon(void *opaque, const json_t *arguments, json_t **result,
			   struct gmig_error *err);
extern const struct control_argument commands_balloon_arguments[];
int commands_balloon(void *opaque, const json_t *arguments, json_t **result,
		     struct gmig_error *err);
/* The answer of query-balloon. NULL: there is no balloon, or no memory. */
json_t *report_balloon(struct vmm *vmm, struct gmig_error *err);

/* ---- report.c: what a VM tells of itself ----------------------------------------------------- */

/* For struct guest_ops; guest->opaque is the vmm. */
void report_describe(const struct guest *guest, enum guest_view view, json_t *object);

#endif
