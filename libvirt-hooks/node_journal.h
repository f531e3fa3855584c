/*
 * Nodes of a domain that are to be remembered longer than gmigd runs, on disk beside the journals of moves (move_journal.h), with the same life. One file a
 * domain and kind:
 *
 * - NODE_JOURNAL_TELL, UUID.tell: a nodeset that libvirt is still to be told. Written when the cpusets of a domain have been narrowed and before the journal of
 *   the move goes, removed when libvirt has been told, or has refused it. A gmigd that was killed in between leaves it behind, and the next one tells.
 * - NODE_JOURNAL_KEPT, UUID.kept: nodes that the cpusets keep after a move, since guest memory lay there. Written before the cpusets are narrowed to them,
 *   removed when they do not allow these nodes any more, or are to: nothing else on the host says why they are wide.
 *
 * No locks: one thread a domain.
 */
#ifndef NODE_JOURNAL_H
#define NODE_JOURNAL_H

#include "../migrate/gmig_nodes.h"
#include "qemu_process.h"

enum node_journal_kind { NODE_JOURNAL_TELL, NODE_JOURNAL_KEPT, NODE_JOURNAL_KINDS };

struct node_journal {
	char uuid[QEMU_UUID_TEXT];
	pid_t pid;
	uint64_t start_time; /* of the process, to tell it from a later one with its pid */
	struct gmig_node_set nodes;
};

/* ".tell" */
const char *node_journal_suffix(enum node_journal_kind kind);
/* -errno and a text that names the directory. */
int node_journal_write(const char *directory, enum node_journal_kind kind,
		       const struct node_journal *journal, struct gmig_error *err);
/* -ENOENT there is none; -EBADMSG it cannot be understood; -EIO it cannot be read now. */
int node_journal_read(const char *directory, enum node_journal_kind kind, const char *uuid,
		      struct node_journal *journal, struct gmig_error *err);
/* Removed, or not there. */
void node_journal_remove(const char *directory, enum node_journal_kind kind, const char *uuid);
/* Removed if it is of this process: a later one of the same domain may have left its own by now. */
void node_journal_drop(const char *directory, enum node_journal_kind kind, const char *uuid,
		       pid_t pid, uint64_t start_time);
/* The uuids of all files; *uuids is the caller's to free. How many, or -errno. */
int node_journal_list(const char *directory, enum node_journal_kind kind,
		      char (**uuids)[QEMU_UUID_TEXT]);

#endif
