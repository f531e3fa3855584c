/*
 * The pins of a domain while they are changed, on disk: written when its memory has moved, and again before the first call to libvirt; removed
 * when all pins are as they are to be.
 * A gmigd that was killed in between leaves it behind; the next one goes on with it, or puts back what was.
 *
 * One file a domain, UUID.pins, beside the journals of moves (move_journal.h), with the same life. No locks: one thread a domain.
 */
#ifndef PIN_JOURNAL_H
#define PIN_JOURNAL_H

#include "pin_plan.h"
#include "qemu_process.h"

struct pin_journal {
	char uuid[QEMU_UUID_TEXT];
	pid_t pid;
	uint64_t start_time; /* of the process, to tell it from a later one with its pid */
	bool back;	     /* pins go from `after` to `before`: something has failed */
	struct pin_pair
	    *pairs; /* where the memory went; after reading: the journal's own, as is pins */
	size_t pair_count;
	struct pin_set *pins; /* those that change; NULL: no pin has been changed yet */
};

/* -errno and a text that names the directory: then nothing may be pinned. */
int pin_journal_write(const char *directory, const struct pin_journal *journal,
		      struct gmig_error *err);
/* *journal is then to be freed. -ENOENT there is none; -EBADMSG it cannot be understood. */
int pin_journal_read(const char *directory, const char *uuid, struct pin_journal *journal,
		     struct gmig_error *err);
void pin_journal_free(struct pin_journal *journal);
/* Removed, or not there. */
void pin_journal_remove(const char *directory, const char *uuid);

#endif
