/* Repairs that are under way: see gmig_repair.h for what they are. */
#ifndef GMIG_MEMORY_REPAIR_H
#define GMIG_MEMORY_REPAIR_H

#include "engine.h"

/* The engine ends: nobody goes on with any of them. */
void repair_forget_all(struct gmig *gmig);

#endif
