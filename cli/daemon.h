/* gmigd, which serves libvirt's domains over one socket: see docs/protocol.md, "gmigd". */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

#include "../control/control.h"
#include "../migrate/gmig_nodes.h"

#include <stdbool.h>
#include <stdint.h>

/* $GMIGD_SOCKET, or /run/gmig/gmigd.sock. */
const char *cli_daemon_socket(void);
/* Is it written as a domain of libvirt's, as qemu:///system/web1 is? */
bool cli_is_domain(const char *vm);
/*
 * A connection that is about that domain in every call. -ENOENT, -ECONNREFUSED no gmigd runs; -ESRCH it has no such domain; others as
 * control_connect(). For at most limit_ms.
 */
int cli_daemon_connect(const char *domain, int limit_ms, struct control_client **client,
		       struct gmig_error *err);
/*
 * Have it close and open these nodes in its list, which holds for everybody. Not *asked: -ENOENT, -ECONNREFUSED no gmigd runs;
 * -EACCES, -EPERM it does not serve this user. *asked: errors are its own, whatever their number.
 */
int cli_daemon_close_nodes(const struct gmig_node_set *close_these,
			   const struct gmig_node_set *open_these, int limit_ms, bool *asked,
			   struct gmig_error *err);
/*
 * Its domains, as entries of `gmig list`, added to the list; one entry "gmigd" says why it could not be asked. False: none runs, and
 * nothing is added.
 */
bool cli_daemon_list(json_t *list, int limit_ms);

#endif
