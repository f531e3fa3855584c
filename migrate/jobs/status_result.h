/* The result of a page, in 16 bits. */
#ifndef GMIG_STATUS_RESULT_H
#define GMIG_STATUS_RESULT_H

#include "../gmig.h"

#include <errno.h>
#include <stdbool.h>

/*
 * Results: a node that the job moved the page to; STATUS_BY_OTHERS(node): somebody else had moved it
 * there; -ENOENT: gone, no memory to move any more; any other -errno, down to -4095: it remains, and
 * why. What follows are no results:
 */
#define STATUS_NOT_TRIED       (-0x4000) /* what every page starts with, also one that takes no part */
#define STATUS_WANTED	       (-0x3fff) /* of the work set, and not tried yet */
#define STATUS_NOT_KEPT	       (-0x3ffe) /* ended: the result had to make room, see status_end() */
#define STATUS_OUTSIDE	       (-0x3ffd) /* of no range */
#define STATUS_BY_OTHERS(node) ((int)(GMIG_MAX_NODES + (node)))

/* Does the page remain where it was, for the reason -result? */
static inline bool status_is_reason(int result)
{
	return result < 0 && result >= -4095 && result != -ENOENT;
}

#endif
