/* bind-memory, fix-memory and query-maps, for the table of guest_commands.c; and what they say of policies. Threads as in guest.h. */
#ifndef GUEST_POLICY_H
#define GUEST_POLICY_H

#include "../migrate/gmig_policy.h"
#include "guest.h"

extern const struct control_argument guest_bind_arguments[], guest_fix_arguments[],
    guest_maps_arguments[];

int guest_bind_memory(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err);
int guest_fix_memory(void *opaque, const json_t *arguments, json_t **result,
		     struct gmig_error *err);
int guest_query_maps(void *opaque, const json_t *arguments, json_t **result,
		     struct gmig_error *err);

/* The policy, range and flags of bind-memory. -EINVAL and a text that begins with the argument's name. */
int guest_read_bind(const struct guest *guest, const json_t *arguments, struct gmig_bind_spec *spec,
		    struct gmig_error *err);
/* A new reference; NULL: no memory. */
json_t *guest_report_map(const struct gmig_map *map);

#endif
