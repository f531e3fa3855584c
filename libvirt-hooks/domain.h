/*
 * One running domain: its QEMU process, held; where its memory lies, as it was last looked at; the moves of it, with what they do to
 * its cpusets.
 *
 * Counted: the table of domains (domains.h) has a reference, and whoever uses one. The last put cancels its jobs and waits for them.
 *
 * Locks, in this order: move_lock (moves, the scope, the journal; held while files are written and while the memory is counted, so for
 * up to 50 ms for each GiB), scan_lock (held while it is counted), look_lock (the last look, a leaf). Jobs end on threads of the
 * engine, which take move_lock.
 *
 * A move, and what is on disk meanwhile (move_journal.h):
 *
 *   start      read the scope, plan it; write the journal; widen, parents first; start the job
 *   end        where does guest memory lie now? write the journal: narrowing; narrow, children first; write what libvirt is to be told
 *              (node_journal.h); remove the journal; tell libvirt
 *
 * Of several moves at a time the last one that ends narrows. A group gets what it had before, moved by the moves that were completed; and of what it
 * was widened by, the nodes on which more than DOMAIN_KEEP_BYTES of guest memory lie: the kernel would move them at full speed, against the
 * rate that was asked for, or because a move was cancelled.
 *
 * With GUEST_VCPUS_ALL (control/guest.h) the threads follow when the memory is there: pins are changed behind narrowing, as domain_pins.c
 * says, and before anybody hears of the job's end.
 */
#ifndef DOMAIN_H
#define DOMAIN_H

#include "cpuset_scope.h"
#include "pin_plan.h"
#include "qemu_memory.h"
#include "qemu_process.h"

#include <pthread.h>
#include <stdatomic.h>

/* What of a node's guest memory the kernel may move, unthrottled, when a cpuset loses that node: some 10 ms. */
#define DOMAIN_KEEP_BYTES (32ull << 20)

struct domain;

/* What all domains share; constant while there are any. */
struct domain_host {
	struct qemu_host qemu;
	struct cpuset_host cpusets;
	const char *journals; /* directory */
	struct gmig_topology *topology;
	const struct gmig_sys *sys; /* NULL: the system's */
	uint64_t keep_bytes;	    /* 0: DOMAIN_KEEP_BYTES */
	/* Optional. A job of the domain has changed or gone on; from the job's thread, behind what the end of a move does to the cpusets. */
	void (*job_event)(void *opaque, struct domain *domain, const struct gmig_job_info *info);
	/* Optional. Where its memory is to be from now on, for libvirt: 0 or -errno. May block for a call's limit. */
	int (*set_nodeset)(void *opaque, const char *uuid, const struct gmig_node_set *nodes,
			   struct gmig_error *err);
	/* Optional, together: what libvirt has pinned where, and pinning one anew; as in virt_pin.h. */
	int (*get_pins)(void *opaque, const char *uuid, struct pin_set **set,
			struct gmig_error *err);
	int (*set_pin)(void *opaque, const char *uuid, int domain, const struct pin *pin,
		       const struct pin_cpus *cpus, struct gmig_error *err);
	void (*log)(void *opaque, enum gmig_log_level level, const char *line);
	void *opaque;
};

/* What libvirt says of it. */
struct domain_facts {
	const char *name, *uuid;
	uint64_t memory_bytes;
	unsigned int vcpus;
	bool paused;
	uid_t uids[QEMU_UIDS]; /* as whom it may run */
	unsigned int uid_count;
};

/*
 * Finds and holds the process. A move that a gmigd began and did not finish is gone on with, or its cpusets are put right; one whose journal
 * cannot be read now is by domain_go_on(), and no other one begins before. -ESRCH, -EPERM, -EEXIST as qemu_process_find(); -EPERM the kernel does not let us move its memory.
 */
int domain_open(const struct domain_host *host, const struct domain_facts *facts,
		struct domain **out, struct gmig_error *err);
struct domain *domain_get(struct domain *domain);
void domain_put(struct domain *domain);

/* For job_event: what clients were last told of its jobs (control/guest.h). */
struct guest_job_states;
struct guest_job_states *domain_job_states(struct domain *domain);

const char *domain_name(const struct domain *domain);
const char *domain_uuid(const struct domain *domain);
pid_t domain_pid(const struct domain *domain);
bool domain_has_ended(const struct domain *domain);
bool domain_is_paused(const struct domain *domain);
/* What libvirt has just said of it; what it is still to be told is told now. False: it has let a call hang. */
bool domain_set_facts(struct domain *domain, const struct domain_facts *facts);
/* Whether libvirt answers or not: moves of an earlier gmigd whose journal could not be read yet go on, if it can be read now. */
void domain_go_on(struct domain *domain);
/* The nodeset that its live XML has; empty: none. Where it is what libvirt was to be told, the two agree. */
void domain_hear_nodeset(struct domain *domain, const struct gmig_node_set *nodes);
unsigned int domain_vcpus(const struct domain *domain);
uint64_t domain_memory_bytes(const struct domain *domain);
/* Its memory, for jobs that are there; new ones go through domain_start_job. As long as the domain. */
struct gmig_process *domain_process(struct domain *domain);

/* ---- Where its memory lies (domain_look.c) --------------------------------------------------- */

struct domain_look {
	struct qemu_usage usage;
	uint64_t ram_bytes,
	    domain_bytes; /* mappings that were found to be guest memory; what libvirt says */
	bool fits;	  /* these two agree */
	uint64_t at_ns, took_ns; /* CLOCK_MONOTONIC */
};
/* Looks now, up to 50 ms for each GiB, at most one at a time. -ESRCH it has ended. About 32 KiB. */
int domain_look(struct domain *domain, struct domain_look *look, struct gmig_error *err);
/* The last one, if it is no older than max_age_ns; -EAGAIN. */
int domain_last_look(struct domain *domain, uint64_t max_age_ns, struct domain_look *look);

/* ---- Moves (domain_move.c) ------------------------------------------------------------------- */

/* As gmig_process_job_start(), with its cpusets widened first. -EACCES they cannot be, the text says which; -EBUSY another move is ending, for 3 s. */
int domain_start_job(struct domain *domain, const struct gmig_job_spec *spec, struct gmig_job **job,
		     struct gmig_error *err);
/*
 * One that nobody has asked for, which the journal says: if gmigd is killed, the next one knows it for its own. It is cancelled when one is asked for;
 * -EINPROGRESS: one that was asked for runs.
 */
int domain_start_unasked_job(struct domain *domain, const struct gmig_job_spec *spec,
			     struct gmig_job **job, struct gmig_error *err);
/* Of an earlier gmigd, gone on with: the job's number, 0 if there is none. */
uint64_t domain_resumed_unasked(const struct domain *domain);
/* Was this job, an unasked one, the last that gave way to one that was asked for? Its state is cancelled, or completed with by_others_bytes. */
bool domain_gave_way(const struct domain *domain, uint64_t job);

struct domain_cpusets {
	unsigned int groups;	    /* that restrict it; 0: nothing does */
	struct gmig_node_set nodes; /* which they allow, all together */
	bool widened;		    /* for a move that runs */
	/* What ends of moves could not do, or had to leave, and stands still, divided by "; ". "": nothing */
	char note[6 * GMIG_ERROR_TEXT];
};
int domain_cpusets(struct domain *domain, struct domain_cpusets *cpusets, struct gmig_error *err);
/* Which of these nodes are kept by cpusets that allow those? Where no other one is allowed they are not what makes the sets wide: none. */
struct gmig_node_set domain_kept_by(const struct gmig_node_set *nodes,
				    const struct gmig_node_set *allowed);

/* ---- Pins of its threads (domain_pins.c) ----------------------------------------------------- */

enum domain_pins_state {
	DOMAIN_PINS_PENDING,  /* the memory moves, or its threads are being pinned */
	DOMAIN_PINS_FOLLOWED, /* all of them have */
	DOMAIN_PINS_UNNEEDED, /* none could run on a node that was left */
	DOMAIN_PINS_KEPT, /* as they were, `why` says why; also when some had been changed, and were put back */
	/* Some are changed, and libvirt does not let them be put back now. It is tried again; `why`. */
	DOMAIN_PINS_RESTORING,
	DOMAIN_PINS_MIXED, /* some are changed, and cannot be put back: somebody has to look; `why` */
	DOMAIN_PINS_UNKNOWN, /* so many jobs have ended since that it is forgotten */
};
/* "followed" */
const char *domain_pins_state_name(enum domain_pins_state state);

struct domain_pins {
	uint64_t job; /* whose */
	enum domain_pins_state state;
	unsigned int pinned; /* threads that have other CPUs than before */
	char why[GMIG_ERROR_TEXT];
};
/* Of a job of this domain. False: it was not to touch pins. */
bool domain_pins_of(struct domain *domain, const struct gmig_job_info *info,
		    struct domain_pins *pins);

/* ---- Orders to pin vCPUs (domain_order.c) ----------------------------------------------------- */

/* Can it be done here? */
bool domain_can_pin(const struct domain *domain);
/*
 * Pin these vCPUs to all CPUs of a node, all or none, on a thread of its own; by one thread at a time. *order: its number, for domain_order_state().
 * -ENODEV the node has no CPUs; -EBUSY one is being carried out; -EOPNOTSUPP; -ESRCH it has ended.
 */
int domain_order_pins(struct domain *domain, const uint16_t *vcpus, size_t count, unsigned int node,
		      uint64_t *order, struct gmig_error *err);
/* How the order is: PENDING, or how it ended. -ESRCH: there is no such order, or a later one was given. */
int domain_order_state(struct domain *domain, uint64_t order, struct domain_pins *pins,
		       struct gmig_error *err);

#endif
