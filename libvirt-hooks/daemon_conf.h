/* What gmigd says in its log of a configuration that it has read. Any thread. */
#ifndef DAEMON_CONF_H
#define DAEMON_CONF_H

#include "conf.h"

/* What of it this version does not do, each place once: keeper_warning(). */
void daemon_conf_warn(const struct gmigd_conf *conf);
/* What has changed and holds after a restart only. */
void daemon_conf_compare(const struct gmigd_conf *before, const struct gmigd_conf *after);

#endif
