/*
 * What a crash leaves on stderr for whoever looks for its cause, beside a core dump: which thread, where, with which registers, how each
 * vCPU left KVM last, and in which states clients knew the last jobs. In a signal's handler: it takes no lock and asks nobody, so that
 * what it says of other threads may just be changing.
 */
#ifndef VMM_CRASH_H
#define VMM_CRASH_H

struct vmm;

/* Of this machine; NULL: of none any more. Main thread, while no other runs. */
void crash_watch(struct vmm *vmm);
/* context: the handler's third argument; NULL: there is none. */
void crash_report(const void *context);

#endif
