/*
 * Before an answer: regions whose first touches are the kernel's (region_kind.kernel_fills) are compared with it, as an audit
 * does, for a limited time. The next call goes on where this one ended, so that of a large guest a part is new in each answer.
 */
#ifndef GMIG_CATCH_UP_H
#define GMIG_CATCH_UP_H

#include "engine.h"

/* Up to 20 ms, and at most a tenth of the time in all. Any thread that holds no lock; returns at once while another does it. */
void catch_up(struct gmig *gmig);

#endif
