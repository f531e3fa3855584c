/*
 * Where gmigd's lines go: the journal, with fields, if that is what stderr is connected to; else stderr. Any thread.
 *
 * A line is "key=value .. text"; PRIORITY is its level, GMIG_DOMAIN, GMIG_JOB and GMIG_STATE what stands behind "domain=", at the
 * line's begin, " job=" and " state=", GMIG_REASON all behind " reason=". Sources: sd_journal_sendv(3).
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include "../migrate/gmig.h"

void daemon_log_start(bool verbose); /* verbose: debug lines, too */
void daemon_log(enum gmig_log_level level, const char *line);

#endif
