/*
 * The machine as a whole, for main and the commands: built, loaded, stopped, resumed, reset, taken
 * down. Its parts lie below it and do not include this header.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "internal.h"

#define VMM_JOBS_END_MS 5000 /* how long cancelled jobs may take to put back what they hold */
#define VMM_PARK_MS	5000 /* how long a vCPU may take to park before that is reported */
#define VMM_RESET_MS	1000 /* the same for one try of a reset, after which main looks around */

/* An empty machine: locks, end_fd, a copy of the options. Next come, in this order: memory, kvm,
 * plug, vcpus, loop, guest. */
int vmm_create(const struct vmm_options *options, struct vmm **out, struct gmig_error *err);
void vmm_destroy(struct vmm *vmm);

/* Load the guest into RAM and set the vCPUs to its entry point, at start-up and reset. vCPUs are
 * parked or not started. */
int vmm_guest_load(struct vmm *vmm, struct gmig_error *err);

/* stop, cont: -EALREADY; stop: -ETIMEDOUT a vCPU did not park or a disk's request did not end (text
 * names it; the others stay as they are). */
int vmm_stop(struct vmm *vmm, struct gmig_error *err);
int vmm_cont(struct vmm *vmm, struct gmig_error *err);
/* vmm_stop, unless it is stopped; `reason` is kept until vmm_cont. False: it is not running. */
bool vmm_stop_for(struct vmm *vmm, const char *reason);
/* Why it is stopped; "": because a command said so, or it is not stopped. */
void vmm_stop_reason(struct vmm *vmm, char text[GMIG_ERROR_TEXT]);
/* Back to the power-on state, and start again. RAM keeps its content, as in a warm reset. Main
 * thread. -ETIMEDOUT: a vCPU or a disk is not at rest yet; the others are, and a further call waits
 * on. */
int vmm_reset(struct vmm *vmm, struct gmig_error *err);
/*
 * Press the ACPI power button. What the guest does is its own affair: one in which something acts on it powers down. -EOPNOTSUPP:
 * the guest does not listen, since its ACPI driver has not started, or it has none; -EALREADY, -ESHUTDOWN: it does not run.
 * Any thread.
 */
int vmm_press_power_button(struct vmm *vmm, struct gmig_error *err);
/* From now on no command changes the state, and no job starts. */
void vmm_shut_down(struct vmm *vmm);
enum vmm_state vmm_state(struct vmm *vmm);

#endif
