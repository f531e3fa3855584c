/*
 * A host and its guests as text, one thing a line, "#" to the end of a line is a comment:
 *
 *   node ID memory SIZE cpus LIST [2M SIZE] [1G SIZE] [reserved SIZE]
 *   distances D ..                      one line for each node, in their order; without any 10 and 20
 *   guest NAME vcpus N on ID,.. load MILLI [page 4K|2M|1G] memory ID:SIZE ..
 *
 * memory is all a node has, pools of huge pages (2M, 1G) among it; what guests take is not free. vCPUs run on the nodes given in
 * turn, each for so many thousandths of a CPU. Sizes as everywhere (control/size.h), CPUs as in the kernel's lists.
 */
#ifndef BENCH_FLEET_FILE_H
#define BENCH_FLEET_FILE_H

#include "fleet.h"

#include <stdio.h>

/* name stands before each complaint. -EINVAL with the line and what is wrong with it; -ENOMEM, -EIO. */
int fleet_read(FILE *in, const char *name, struct fleet *fleet, struct gmig_error *err);

#endif
