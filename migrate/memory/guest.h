/*
 * A guest as a memory (memory.h): its regions, by gfn. Any thread.
 */
#ifndef GMIG_GUEST_H
#define GMIG_GUEST_H

#include "engine.h"

extern const struct memory_ops guest_ops;

#endif
