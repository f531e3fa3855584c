/*
 * On which node does a thread run? For blocks that go to whoever touches them. By the CPU that the thread ran on last, as
 * proc_pid_stat(5) has it: a thread that sleeps in a fault has just run there.
 */
#ifndef GMIG_TOUCHER_H
#define GMIG_TOUCHER_H

#include "engine.h"

/*
 * tid: of a thread that was named as a vCPU; 0, or one that has ended: the first vCPU of the vnode speaks for it, as KVM's own
 * threads may fault in the place of any; without vCPUs it is the node that new memory goes to. May block: reads a file.
 */
unsigned int toucher_node(struct gmig *gmig, const struct region *region, int tid);

#endif
