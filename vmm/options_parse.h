/*
 * What was said on the command line before it is put together, and the setters of its longer
 * options. Within options*.c.
 */
#ifndef VMM_OPTIONS_PARSE_H
#define VMM_OPTIONS_PARSE_H

#include "options.h"

struct parse {
	struct vmm_options *options;
	uint64_t cpus, mem_bytes;			  /* 0: not given */
	uint32_t nodes_given;				  /* bit id */
	uint8_t distance[VMM_MAX_VNODES][VMM_MAX_VNODES]; /* 0: not given */
};

/* Each takes the text after its option, which it may cut up. */
int options_disk(struct parse *parse, char *text, struct gmig_error *err);
int options_net(struct parse *parse, char *text, struct gmig_error *err);
int options_port(struct parse *parse, char *text, struct gmig_error *err);
int options_balloon(struct parse *parse, char *text, struct gmig_error *err);
int options_node(struct parse *parse, char *text, struct gmig_error *err);
int options_dist(struct parse *parse, char *text, struct gmig_error *err);

/* After the last option: vnodes without gaps, sums that agree, distances, a guest that fits. */
int options_join(const struct parse *parse, struct gmig_error *err);

#endif
