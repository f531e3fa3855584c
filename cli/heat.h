/* gmig show --heat and gmig sample: how much a guest's memory is used. Main thread. */
#ifndef CLI_HEAT_H
#define CLI_HEAT_H

#include "cli.h"

/* Ask and print; the exit status. */
int cli_show_heat(const char *vm, bool json);
/* One line about how memory is sampled, of an answer that was made safe. */
void cli_print_sampling(const json_t *sampling);

#endif
