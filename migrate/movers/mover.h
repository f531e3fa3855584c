/*
 * Movers: how pages get to another node. A mover is one const struct of operations; jobs know no more
 * of it.
 *
 *   check          may this mover do that to this memory?
 *   begin, end     a job: what its workers share
 *   worker_begin, worker_end   one thread of the job
 *   prepare        a ticket: frames and staging, all that may wait or fail, before anything is claimed
 *   move           claimed pages move, or stay with a reason
 *   finish         the ticket's rest, after the entries were settled; also when nothing was claimed
 *
 * A ticket of mode LAZY is only taken out of its touchers' reach by `move`; after it was touched, bring or give_back, and
 * then finish, perhaps in another thread. Its round has one ticket.
 *
 * Of prepare, move and finish, each gets all tickets of a round: at most `tickets` of them.
 */
#ifndef GMIG_MOVER_H
#define GMIG_MOVER_H

#include "../core/hist.h"
#include "../memory/claim.h"
#include "../memory/memory.h"

#define MOVER_TICKETS 32 /* the most that a mover takes in one round */

struct slot;

/* A job, as its mover sees it. */
struct mover_job {
	struct memory *memory;
	struct gmig_topology
	    *topology; /* the host as it was when the job was started; a reference */
	struct gmig_job_spec spec;
	uint64_t id;
	struct hist blackout_read, blackout_write, stall;
	struct hist call;	  /* movers kernel and swap */
	atomic_ullong thp_split;  /* blocks that were huge before and are not any more */
	atomic_ullong thp_joined; /* blocks that became huge */
	/* Memory that it may use beside what is moved; set by begin, read by any thread. */
	atomic_ullong extra_bytes_max;
	atomic_size_t ahead; /* blocks that no worker has begun */
	bool single;	     /* it is for one block: nothing is made ahead */
	bool looks_again;    /* before it ends it asks for all of the memory once more */
	bool samples;	     /* it only takes blocks away and gives them back: it needs no frames */
	/*
	 * Pages that moved before their blocks' turn, since they are part of a page that is larger than a block. The
	 * job pays for them, and counts them as moved when it comes to their blocks.
	 */
	atomic_ullong along, debt;
	atomic_ullong stall_needs_ns; /* pages stayed, since the stall budget is below this */
	void *state;		      /* the mover's, from begin */
};

struct mover_worker {
	struct mover_job *job;
	unsigned int number; /* in its job, from 0 */
	void *state;	     /* the mover's, from worker_begin */
};

/* One block's pages that go from one node to one other. */
struct mover_ticket {
	/* the job's; prepare may take pages away: those brought to their goal, and those with an error (0: -EAGAIN) */
	uint64_t block_gfn;
	unsigned int from, to;
	bool huge;		/* as one 2M page: then pages are all */
	uint64_t known_ns;	/* when the kernel said that they lie there; 0: it was not asked */
	enum gmig_mode mode;	/* not AUTO, unless the mover has one way only */
	unsigned int run_pages; /* small pages that may be out of reach together; 0: no limit */
	unsigned int
	    first_page; /* mode LAZY: where run_pages pages at a time begin: somebody waits for it */
	struct bits pages;
	struct claim claim; /* memory's */

	struct bits
	    brought; /* by prepare: pages that are on `to` already, as those read in from swap */

	/* results: of each page of `pages` one of moved, gone, or an error */
	struct bits moved;
	struct bits gone; /* a hole or the shared zero page: nothing to move, discarded */
	struct bits
	    broken;	  /* of those with an error: cannot be read any more, and are in no frame */
	struct bits out;  /* mode LAZY, after `move`: out of reach; the others have an error */
	uint64_t call_ns; /* movers kernel and swap: the longest call that it was part of */
	/*
	 * In which threads may have been interrupted or held up, beside those that slept on the claim. Of what several tickets
	 * share, one has it.
	 */
	uint64_t held_ns;
	uint64_t copy_ns; /* mover uffd: in which it has copied */
	bool lost;	  /* could be neither moved nor put back: stays claimed for ever */
	uint64_t blackout_read_ns, blackout_write_ns; /* longest time that a right was away */
	int16_t error[GMIG_BLOCK_PAGES];	      /* -errno of each page that stayed */

	/* the mover's */
	struct slot *target, *source;
	void *staging;	    /* mover hugetlb: a page of the target */
	unsigned int waits; /* mode LAZY: source is one of these pools', from 1; 0: it is not */
	bool demote;	    /* move as small pages what is claimed as one huge page */
	bool split;	    /* the kernel shows the block no longer as one huge page */
};

struct mover {
	const char *name;
	unsigned int tickets; /* in one round */
	bool whole;	      /* it moves no part of a huge page */
	enum books_memory memory;
	/* Beyond legal.h's table, its own options: -EINVAL, -EOPNOTSUPP */
	int (*check)(const struct memory *memory, const struct gmig_job_spec *spec,
		     struct gmig_error *err);
	int (*begin)(struct mover_job *job, struct gmig_error *err);
	void (*end)(struct mover_job *job);
	/* How many workers are of use now: 1 to spec.threads. May be NULL: all that were asked for. */
	unsigned int (*workers)(struct mover_job *job);
	/* -EAGAIN: no room for another worker now. The thread will read the memory until worker_end. */
	int (*worker_begin)(struct mover_worker *worker);
	void (*worker_end)(struct mover_worker *worker);
	/* Each ticket: 0, or -errno for all of its pages in error[0]; such a ticket goes no further. */
	int (*prepare)(struct mover_worker *worker, struct mover_ticket *ticket);
	void (*move)(struct mover_worker *worker, struct mover_ticket **tickets,
		     unsigned int count);
	void (*finish)(struct mover_worker *worker, struct mover_ticket *ticket);
	/*
	 * Mode LAZY; NULL: there is none. What is `out`, and is picked: to ticket->to, whose frames are had only now; what cannot
	 * be brought is given back with its reason. Or (give_back) all of it to where it was, with `error`.
	 */
	void (*bring)(struct mover_worker *worker, struct mover_ticket *ticket);
	void (*give_back)(struct mover_worker *worker, struct mover_ticket *ticket, int error);
};

extern const struct mover mover_uffd, mover_hugetlb, mover_kernel, mover_swap;
/* Of regions that move themselves, in the rounds of another: prepare, move and finish only. No job has it. */
extern const struct mover mover_own;
extern const struct mover *const mover_all[]; /* ends with NULL */
/* NULL or "": the first one. NULL result: no such mover. */
const struct mover *mover_find(const char *name);

#endif
