/*
 * Nodes of the host that an operator has closed (gmig drain): no guest starts there, and no memory moves there. One file says so
 * to all programs, as cordoned hosts do for a scheduler of machines: `closed-nodes`, a list of nodes as "1,3-4". Root's, /run/gmig/closed-nodes, holds for
 * everybody's guests and for gmigd, whatever XDG_RUNTIME_DIR a login of root has; a user's, beside his control sockets, for his own.
 *
 * The file is replaced as a whole, so that a reader sees the old list or the new one. Any thread.
 */
#ifndef CONTROL_CLOSED_NODES_H
#define CONTROL_CLOSED_NODES_H

#include "../migrate/gmig_nodes.h"

#include <sys/types.h>

/* Both files' nodes; a file that is missing, or lies where this user may not look, closes none. -EIO it cannot be read or says nonsense, also
 * of a sandboxed guest whose directory was made after the sandbox; -EPERM it is somebody else's. */
int closed_nodes_read(struct gmig_node_set *closed, struct gmig_error *err);
/*
 * Close or open these nodes in the caller's own file; *closed: what it says then. -EINVAL a node to be opened is closed by root's
 * file, which only root may change; -EBUSY another process has had the directory's lock for closed_nodes_wait_ms; errors of
 * closed_nodes_read(), -EACCES, -ENOSPC and the like, and then nothing has changed.
 */
int closed_nodes_change(const struct gmig_node_set *close, const struct gmig_node_set *open,
			struct gmig_node_set *closed, struct gmig_error *err);
/* -EACCES and what to do, if one of the nodes is closed. what ("to") begins the text; errors of closed_nodes_read(). */
int closed_nodes_check(const uint16_t *nodes, unsigned int count, const char *what,
		       struct gmig_error *err);

/* The directories with the two files, for whoever confines a program: own, root's. NULL: there is none. Static storage. */
const char *closed_nodes_directory(unsigned int i);
#define CLOSED_NODES_DIRECTORIES 2
/* Root's directory, and who asks; tests have others. A whole test as root has the directory in GMIG_SYSTEM_DIR. */
extern const char *closed_nodes_system;
extern uid_t (*closed_nodes_user)(void);
extern unsigned int closed_nodes_wait_ms;

#endif
