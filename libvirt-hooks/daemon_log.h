/*
 * Where gmigd's lines go: the journal, with fields, if that is what stderr is connected to; else stderr. Any thread.
 *
 * A line is "key=value .. text"; PRIORITY is its level, GMIG_DOMAIN, GMIG_JOB and GMIG_STATE what stands behind "domain=", at the
 * line's begin, " job=" and " state=", GMIG_REASON all behind " reason=". A name with blanks is in quotation
 * marks, see log_name.h. Sources: sd_journal_sendv(3).
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include "../migrate/gmig.h"

#include <stdbool.h>
#include <stddef.h>

void daemon_log_start(bool verbose); /* verbose: debug lines, too */
void daemon_log(enum gmig_log_level level, const char *line);

/* The i-th of a line's fields, "GMIG_DOMAIN=web1". False: it has none. */
#define DAEMON_LOG_FIELDS 4
bool daemon_log_field(const char *line, size_t i, char *text, size_t bytes);

#endif
