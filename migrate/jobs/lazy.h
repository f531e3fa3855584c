/*
 * Mode lazy: the blocks of a job that wait for a touch, and what is to become of them. At most LAZY_BLOCKS wait or are on
 * their way at a time, whatever the size of the guest. Which memory that is, and how it moves, is job_lazy.c's affair.
 *
 *            lazy_add          touched, deadline, hold, or others want its place
 *   (taken) ---------> waiting -----------------------------------------------> lazy_next -> moved or given back -> lazy_done
 *
 * A touched block goes first, in the order of touches. lazy_touch() is called by fault threads, under stripe.lock; all else
 * by the job's workers. Guarded by a lock inside, a leaf.
 */
#ifndef GMIG_LAZY_H
#define GMIG_LAZY_H

#include "../memory/claim.h"

#define LAZY_BLOCKS 64

struct gmig_sys;
struct lazy;

/* Why a block does not wait any more. */
enum lazy_why {
	LAZY_WAITS,
	LAZY_TOUCHED, /* by a thread */
	LAZY_WANTED,  /* by another job, or a device */
	LAZY_SWEPT,   /* the deadline comes near */
	LAZY_TURN,    /* it has waited for long, and others wait for their turn */
	LAZY_HELD,    /* the job is paused, or ends */
};

/* The first member of what the user keeps of a block. */
struct lazy_block {
	struct lazy *lazy;
	uint64_t block_gfn;
	uint64_t bytes;
	uint64_t
	    in_place_bytes; /* by lazy_done(): of these, touched from the node that they lie on */
	/* guarded by the lock */
	struct lazy_block *next;
	enum lazy_why why;
	uint64_t since_ns;
	int tid; /* of the vCPU that has touched it first; 0: nobody, or it is not known */
	unsigned int page; /* that was touched first */
	bool listed;	   /* else it is being taken out, or somebody has it */
};

/* start_ns: the deadline counts from there; deadline_ns 0: there is none. -ENOMEM. */
int lazy_create(const struct gmig_sys *sys, uint64_t start_ns, uint64_t deadline_ns,
		struct lazy **out);
/* No block may be there any more. NULL is legal. */
void lazy_destroy(struct lazy *lazy);

/*
 * A pass begins, with that many workers that will call lazy_next(); each says whether it can (lazy_server). Whoever takes blocks
 * out waits for that (lazy_await). false: none can, so that nothing may wait.
 */
void lazy_begin(struct lazy *lazy, unsigned int servers);
void lazy_server(struct lazy *lazy, bool serves);
bool lazy_await(struct lazy *lazy);
/* Nothing more is taken out in this pass. */
void lazy_end(struct lazy *lazy);

/* Is the job held up (paused) or ended (cancelled)? Then everything that waits is given back. Any thread. */
void lazy_hold(struct lazy *lazy, bool held);
/*
 * May a block be taken out to wait? Waits until there is room. false: the deadline comes near, or nobody serves: blocks move at
 * once. Also true while the job is held: whoever asks finds out.
 */
bool lazy_room(struct lazy *lazy);
/* It is out. Between claim_wait() and this it may have been touched. */
void lazy_add(struct lazy_block *block);
/* claim.touched: arg is the block. */
void lazy_touch(void *arg, const struct claim_touch *touch);
/*
 * The next block that waits no more, and why; waits for one. NULL: none waits, and none will in this pass; or (leaves) blocks
 * are moved at once by now. One server stays, for the last one that waits.
 */
struct lazy_block *lazy_next(struct lazy *lazy, bool leaves);
/* It is done with. moved_bytes: of it; took_ns: for that; again: it is to have another turn. The user frees it. */
void lazy_done(struct lazy_block *block, uint64_t moved_bytes, uint64_t took_ns, bool again);

/* So many bytes have moved without having waited. */
void lazy_swept(struct lazy *lazy, uint64_t bytes);

/* So many bytes are left to the job, of which none waits; by this rate (0: no limit) and so many workers. */
void lazy_expect(struct lazy *lazy, uint64_t left_bytes, uint64_t rate, unsigned int workers);
/* Did this pass give back anything that is to have another turn? */
bool lazy_put_off(struct lazy *lazy);
void lazy_info(struct lazy *lazy, struct gmig_lazy_info *info);

/*
 * Who needs a block's results: whoever took it up, and each part of it that waits. lazy_keep: one more, beside the taker;
 * lazy_release: one less; true: it was the last.
 */
void lazy_keep(struct lazy *lazy, uint64_t block_gfn);
bool lazy_release(struct lazy *lazy, uint64_t block_gfn);

#endif
