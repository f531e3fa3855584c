/*
 * Guest memory that the hardware has given up and that nobody has touched yet: the kernel tells the main thread by SIGBUS
 * (BUS_MCEERR_AO). The handler only notes it, and wakes whoever asks.
 *
 * Source: PR_MCE_KILL_EARLY of prctl(2), as QEMU's kvm_on_sigbus() uses it.
 */
#ifndef VMM_BROKEN_H
#define VMM_BROKEN_H

#include <stdbool.h>
#include <stdint.h>

/* Main thread, before there are others: it is the one that the kernel tells. wake_fd: an eventfd. */
void broken_listen(int wake_fd);
/* In a signal's handler, of any thread. What finds no room is found when it is read. */
void broken_note(uintptr_t hva);
/* The next that was noted. false: no more. */
bool broken_take(uintptr_t *hva);

#endif
