/*
 * A nodeset that libvirt is still to be told, on disk: written when the cpusets of a domain have been narrowed and before the journal of the move goes
 * (move_journal.h), removed when libvirt has been told, or has refused it. A gmigd that was killed in between leaves it behind, and the next one tells.
 *
 * One file a domain, UUID.tell, beside the journals of moves, with the same life. No locks: one thread a domain.
 */
#ifndef TELL_JOURNAL_H
#define TELL_JOURNAL_H

#include "../migrate/gmig_nodes.h"
#include "qemu_process.h"

struct tell_journal {
	char uuid[QEMU_UUID_TEXT];
	pid_t pid;
	uint64_t start_time; /* of the process, to tell it from a later one with its pid */
	struct gmig_node_set nodes;
};

/* -errno and a text that names the directory. */
int tell_journal_write(const char *directory, const struct tell_journal *journal,
		       struct gmig_error *err);
/* -ENOENT there is none; -EBADMSG it cannot be understood. */
int tell_journal_read(const char *directory, const char *uuid, struct tell_journal *journal,
		      struct gmig_error *err);
/* Removed, or not there. */
void tell_journal_remove(const char *directory, const char *uuid);
/* The uuids of all files; *uuids is the caller's to free. How many, or -errno. */
int tell_journal_list(const char *directory, char (**uuids)[QEMU_UUID_TEXT]);

#endif
