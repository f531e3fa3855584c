/*
 * Options of all commands that move memory of a running guest: how much that may cost it, and in which order it goes.
 * Each returns -1 or the exit status of a usage error; NULL texts add nothing.
 */
#ifndef CLI_PACE_OPTIONS_H
#define CLI_PACE_OPTIONS_H

#include "cli.h"

struct cli_pace {
	const char *max_slowdown, *order, *order_seed;
};

/* Members of a struct cli_option each. */
#define CLI_MAX_SLOWDOWN                                                                           \
	.name = "max-slowdown", .placeholder = "SHARE",                                            \
	.help = "what the guest may lose in any second: 5%; the job paces itself"
#define CLI_ORDER                                                                                  \
	.name = "order", .placeholder = "ORDER",                                                   \
	.help =                                                                                    \
	    "in which blocks go: address (default), random, or by heat: hot-first, cold-first",    \
	.choices = gmig_order_names
#define CLI_ORDER_SEED                                                                             \
	.name = "order-seed", .placeholder = "N",                                                  \
	.help = "of --order random: the one that an earlier job has reported"

int cli_add_pace(const char *command, json_t *arguments, const struct cli_pace *pace);

#endif
