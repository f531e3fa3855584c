/* sample-memory, report-heat and query-heat over the control socket (guest_commands.c): gmig_heat.h. On the control server's thread. */
#ifndef CONTROL_GUEST_HEAT_H
#define CONTROL_GUEST_HEAT_H

#include "control.h"

extern const struct control_argument guest_sample_arguments[], guest_report_arguments[],
    guest_heat_arguments[];
/* As control_command.run. */
int guest_sample_memory(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err);
int guest_report_heat(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err);
int guest_query_heat(void *opaque, const json_t *arguments, json_t **result,
		     struct gmig_error *err);

#endif
