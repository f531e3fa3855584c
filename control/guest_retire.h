/* retire-page over the control socket (guest_commands.c): gmig_retire.h. On the control server's thread. */
#ifndef CONTROL_GUEST_RETIRE_H
#define CONTROL_GUEST_RETIRE_H

#include "control.h"

extern const struct control_argument guest_retire_arguments[];
/* As control_command.run. */
int guest_retire_page(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err);

#endif
