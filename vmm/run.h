/* From the start to the end of a guest: signals and reboots, on the main thread. */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include "machine.h"

/*
 * Signals that end the guest (TERM, INT, HUP) arrive on the descriptor that is returned, -1 and
 * errno. Call it before the first thread, so that all threads inherit the mask.
 */
int run_open_signals(void);
/* Look at the descriptor without waiting: a signal becomes the machine's end. */
void run_read_signal(struct vmm *vmm, int signals);
/*
 * Until something final happens. SIGTERM presses the guest's power button, and ends it when it has
 * not powered down after --grace seconds, or at once if it does not listen; a second SIGTERM, SIGINT
 * and SIGHUP end it at once. Resets the machine in the meantime, when the guest or a client asks for
 * it. A reset that a vCPU or a disk holds up waits, and signals and `quit` still end the guest.
 * `text`: the reason's.
 */
enum vmm_end run_until_end(struct vmm *vmm, int signals, char *text, size_t bytes);

#define RUN_SAME_SIGNAL_MS 1000 /* signals that come together are one */

/*
 * The end has begun: after RUN_SAME_SIGNAL_MS a signal calls `leave` with this status, on a thread of its own.
 * It does not return. What the machine still waits for (a disk, a thread) is left to the kernel.
 */
void run_leave_on_signal(int signals, void (*leave)(int status), int status);

#endif
