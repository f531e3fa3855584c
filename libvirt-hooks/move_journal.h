/*
 * What a move has changed, on disk: written before a domain's cpuset is widened, removed when it has been narrowed. A gmigd that was
 * killed in between leaves it behind, and the next one finds in it which groups to narrow, and which move to go on with.
 *
 * One file a domain, UUID.json, in a directory that only root reads. After a reboot, which ends the cgroups, it is removed (state_boot.h). A
 * file is written aside, synced, and renamed: it is there as a whole, or not.
 *
 * No locks: one thread a domain.
 */
#ifndef MOVE_JOURNAL_H
#define MOVE_JOURNAL_H

#include "../migrate/gmig.h"
#include "cpuset_scope.h"
#include "qemu_process.h"

struct move_journal_job {
	uint64_t id;		   /* not on disk */
	bool unasked;		   /* gmigd has started it by itself */
	struct gmig_job_spec spec; /* nodes, rate, threads and what else migrate-pages was told */
};

struct move_journal {
	char uuid[QEMU_UUID_TEXT];
	char *name; /* of the domain; after reading: the journal's own */
	uint64_t memory_bytes;
	uid_t uid; /* of its process */
	pid_t pid;
	uint64_t start_time;	      /* of the process, to tell it from a later one with its pid */
	struct move_journal_job *job; /* those that run; after reading: the journal's own */
	size_t job_count;
	/*
	 * All moves have ended, and narrowing has begun: each group goes to its `before`, which is by then what it is to be, and `keep`.
	 * What is left to do is this alone, no move.
	 */
	bool narrowing;
	bool completed; /* a move was: libvirt is to be told when the sets are narrow */
	struct gmig_node_set keep;
	/* Nodes that the cpusets keep since earlier moves (domain_kept.c); an older gmigd's journal says nothing of them. */
	bool has_kept;
	struct gmig_node_set kept;
	const struct cpuset_scope *scope; /* for writing; NULL after reading */
	struct cpuset_group *group;	  /* after reading: path, before, wide, migrates */
	size_t count;
};

/* -errno and a text that names the file: then nothing may be widened. */
int move_journal_write(const char *directory, const struct move_journal *journal,
		       struct gmig_error *err);
/* *journal is then to be freed. -ENOENT there is none; -EBADMSG it cannot be understood. */
int move_journal_read(const char *directory, const char *uuid, struct move_journal *journal,
		      struct gmig_error *err);
void move_journal_free(struct move_journal *journal);
/* Removed, or not there. */
void move_journal_remove(const char *directory, const char *uuid);
/* The uuids of all files; *uuids is the caller's to free. How many, or -errno. */
int move_journal_list(const char *directory, char (**uuids)[QEMU_UUID_TEXT]);

/* Give the scope, as it was found now, the sets that its groups had before the move. */
void move_journal_apply(const struct move_journal *journal, struct cpuset_scope *scope);

#endif
