/* gmig show --maps: a guest's memory, run by run, as numa_maps in proc(5) shows a process's. Main thread. */
#ifndef CLI_MAPS_H
#define CLI_MAPS_H

#include "cli.h"

/*
 * Ask and print; the exit status. gpa: only the run that it lies in, from there on, unless it is NULL.
 */
int cli_show_maps(const char *vm, const char *gpa, bool json);

#endif
