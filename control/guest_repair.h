/* repair-table over the control socket (guest_commands.c): gmig_repair.h, a slice an answer. On the control server's thread. */
#ifndef CONTROL_GUEST_REPAIR_H
#define CONTROL_GUEST_REPAIR_H

#include "control.h"

extern const struct control_argument guest_repair_arguments[];
/* As control_command.run. */
int guest_repair_table(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err);

#endif
