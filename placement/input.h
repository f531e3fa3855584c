/* Does what a caller gave fit together? Pure. */
#ifndef PLACEMENT_INPUT_H
#define PLACEMENT_INPUT_H

#include "placement.h"

/* -EINVAL, and what is wrong in words. */
int input_check(const struct placement_host *host, const struct placement_guest *guests,
		size_t count, const struct placement_options *options, struct gmig_error *err);

#endif
