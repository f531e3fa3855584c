/* What domain.c and domain_move.c share; see domain.h. */
#ifndef DOMAIN_INSIDE_H
#define DOMAIN_INSIDE_H

#include "../control/guest.h"
#include "domain.h"
#include "move_journal.h"
#include "node_journal.h"

#define DOMAIN_PINS_KEPT_JOBS 16 /* whose pins are remembered */

struct domain {
	const struct domain_host *host;
	atomic_uint refs;
	char *name;
	char uuid[QEMU_UUID_TEXT];
	struct guest_job_states job_states;
	_Atomic uint64_t memory_bytes;
	atomic_uint vcpus;
	atomic_bool paused;
	struct qemu_process qemu;
	struct gmig_process *process; /* for jobs */

	pthread_mutex_t scan_lock;
	struct process *looker; /* guarded by scan_lock; the same process, for looking */
	pthread_mutex_t look_lock;
	struct domain_look look; /* guarded by look_lock; at_ns 0: none yet */
	struct qemu_ram ram;	 /* guarded by look_lock; of that look */

	pthread_mutex_t move_lock;
	struct move_journal_job
	    *job;	   /* guarded by move_lock, as all below; those that have not ended */
	unsigned int jobs; /* of these */
	struct cpuset_scope *scope; /* while jobs run */
	struct gmig_node_set wide;  /* nodes that running jobs need */
	bool journaled;
	/* Why it is not known yet which moves of an earlier gmigd are to go on; "": it is. No other one begins. */
	char unread[GMIG_ERROR_TEXT];
	bool completed; /* a move since they were widened: libvirt is to be told at the end */
	/* What stands until it is not so any more, whatever moves begin and end meanwhile: of its cpusets, libvirt's view (domain_tell.c), and pins. */
	char note[GMIG_ERROR_TEXT], tell_note[GMIG_ERROR_TEXT], pins_note[GMIG_ERROR_TEXT];
	struct gmig_node_set kept; /* nodes that `note` is about; see domain_kept.c */
	bool kept_unsaved;	   /* the file of its own says otherwise */
	bool kept_told;		   /* that it could not be written */
	bool kept_unread; /* there is a file that could not be read yet, of no later than `kept` */
	struct gmig_node_set
	    chosen; /* by the operator while we run: what was written to disk before does not keep these */
	struct gmig_node_set tell_nodes; /* those that tell_note is about */
	struct gmig_node_set
	    libvirts; /* nodeset by its XML, as it was read last; empty: none, or not known */
	struct gmig_node_set
	    untold;	    /* the nodeset that libvirt has not heard of, since it did not answer */
	unsigned int tells; /* in vain */
	bool aside_looked;  /* at its cpusets, since a journal could not be understood */
	bool pins_left;	    /* there is a journal of pins: to be gone on with */
	bool tell_unread;   /* nor could it be read yet what libvirt is to be told */
	char pins_unread[GMIG_ERROR_TEXT]; /* why it could not be read yet; "": it was */
	unsigned int pin_tries;		   /* in vain */
	bool resumed; /* a move of an earlier gmigd was gone on with: nobody waits for it */

	/* Not guarded: numbers of jobs; 0: none */
	_Atomic uint64_t resumed_unasked, gave_way;

	pthread_mutex_t pins_lock; /* a leaf */
	/* An order to pin vCPUs (domain_order.c): the last one. */
	struct {
		pthread_t
		    thread; /* written by whoever gives orders, and at the end of the domain */
		bool started;
		uint16_t *vcpus;
		size_t count;
		unsigned int node;
		struct domain_pins pins; /* guarded by pins_lock; job: its number */
	} order;
	struct domain_pins
	    pins[DOMAIN_PINS_KEPT_JOBS]; /* guarded by pins_lock; of job % their number */
};

__attribute__((format(printf, 3, 4))) void
domain_log(const struct domain *domain, enum gmig_log_level level, const char *format, ...);
/* A job's thread says what has become of it. */
void domain_on_job(void *opaque, const struct gmig_job_info *info);
/* For jobs of a part: is this mapping guest memory? */
bool domain_counts(void *opaque, uint64_t start, uint64_t end);
/* Right after it was opened: finish what another gmigd began; domain_go_on() does what could not be done then. */
void domain_recover(struct domain *domain);

/* ---- domain_journal.c: the journal of moves; all under move_lock -------------------------------- */

/* keep: no move runs any more, and narrowing begins. */
int domain_journal_write(struct domain *domain, const struct gmig_node_set *keep,
			 struct gmig_error *err);
/* One that cannot be understood is set aside, and what it said is lost: its domain is said to have it (domain_aside.c). */
int domain_journal_read(struct domain *domain, struct move_journal *journal,
			struct gmig_error *err);
void domain_journal_remove(struct domain *domain);
/* What the cpusets keep has changed: the journal says so from now on, if there is one. */
void domain_journal_kept(struct domain *domain);

/* ---- domain_pins.c: all under move_lock ------------------------------------------------------ */

/* 0, or why no pin may be changed now: those of an earlier move are still to be put right, or it cannot be read which they are. */
int domain_pins_are_left(const struct domain *domain, struct gmig_error *err);
/* May a job with this spec change pins? Before anything moves. 0 also if it is not to. */
int domain_pins_check(struct domain *domain, const struct gmig_job_spec *spec,
		      struct gmig_error *err);
/* Where memory went, as far as threads are to follow it. */
struct pin_moves {
	struct pin_pair *pair;
	size_t count;
};
/*
 * A job has ended, however, and memory lies as in `look` (NULL: not known). What is to follow, written to disk and into *moves, for domain_pins_follow(),
 * which frees it. Nothing for a job that is not to touch pins.
 */
void domain_pins_intend(struct domain *domain, const struct gmig_job_info *info,
			const struct domain_look *look, struct pin_moves *moves);
void domain_pins_follow(struct domain *domain, uint64_t job, struct pin_moves *moves);
/* Pin those of the set that change, all or none, with a journal. */
void domain_pins_apply(struct domain *domain, struct pin_set *set, struct domain_pins *pins);
/* Right after it was opened: is there a journal of pins of this process? */
void domain_pins_recover(struct domain *domain);
/* Of a call to libvirt: it does not answer now, and may do so later. */
bool domain_is_silent(int error);
/* Libvirt answers: go on with what was left. Takes move_lock itself, if it is free. 0, or what a call returned. */
int domain_pins_retry(struct domain *domain);

/* ---- domain_tell.c: libvirt's own view of where the memory is to be ---------------------------- */

/* Under move_lock: the sets of the scope are narrow, and libvirt is to be told. On disk from now on. False: there is nothing to be told. */
bool domain_tell_intend(struct domain *domain, const struct cpuset_scope *scope);
/* Under move_lock: tell it, once. What it does not answer stays to be told. */
int domain_tell(struct domain *domain);
/* Under move_lock: a move was completed of which it is not told, since its cpusets have no one set now. What was said of its view is about these nodes, too. */
void domain_tell_skip(struct domain *domain, const struct cpuset_scope *scope);
/* Under move_lock: what it has not heard of does not hold any more. */
void domain_tell_forget(struct domain *domain);
/* Right after the domain was opened, not under move_lock: has a killed gmigd left something to be told? */
void domain_tell_recover(struct domain *domain);
/* Libvirt answers: tell it what it has not heard of. Takes move_lock itself, if it is free. 0, or what the call returned. */
int domain_tell_again(struct domain *domain);

/* ---- domain_kept.c: nodes that the cpusets keep; all under move_lock ----------------------------- */

/* These, from now on: in the note at once, on disk with the next journal of the move, or by domain_kept_save(). */
void domain_kept_note(struct domain *domain, const struct gmig_node_set *nodes);
/* In the file of its own: no journal of a move has them, or it is about to go. Nothing for a process that has ended. */
void domain_kept_save(struct domain *domain);
/* What could not be read from disk before is read now, if it can be. */
void domain_kept_recall(struct domain *domain);
/* A move was completed: where it went nothing is kept, that is where the memory is to be. */
void domain_kept_moved(struct domain *domain, const struct cpuset_map *map);
/* Somebody has told libvirt that the domain is to have these. */
void domain_kept_chosen(struct domain *domain, const struct gmig_node_set *nodes);
/*
 * When no move runs. now: nodes that the cpusets had a moment ago; a move may have ended since, so that they are read again before a node is let go. One that
 * somebody else has taken from them is not kept any more, and the kernel has moved what lay there; nor is one that is left alone in them.
 */
void domain_kept_hear(struct domain *domain, const struct gmig_node_set *now);
/* Right after the domain was opened: has an earlier gmigd left any? of_journal: those that the journal of its moves has; NULL: there is none, or it has none. */
void domain_kept_recover(struct domain *domain, const struct gmig_node_set *of_journal);

/* ---- domain_aside.c: journals that cannot be understood ----------------------------------------- */

/* One could not be read, with `why`: it is said, and what cannot be understood is set aside. suffix: of its name. */
void domain_set_aside(struct domain *domain, const char *suffix, const struct gmig_error *why);
/*
 * A note of nodes that an earlier gmigd has left of this process: true, and *nodes. One of another process goes, one that cannot be understood is set aside;
 * one that cannot be read now is to be read later, *unread, and is said to be so once.
 */
bool domain_recall_nodes(struct domain *domain, enum node_journal_kind kind, bool *unread,
			 struct gmig_node_set *nodes);
/* Is there one of this process? For people. */
bool domain_aside_note(const struct domain *domain, char *text, size_t bytes);
/* Under move_lock, before a move: 0, or why it cannot begin. */
int domain_aside_check(struct domain *domain, bool unasked, struct gmig_error *err);

/* Wait for the last order (domain_order.c). Not under move_lock. */
void domain_order_end(struct domain *domain);

#endif
