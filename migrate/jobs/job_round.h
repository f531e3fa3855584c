/* One round of a worker: the steps of a ticket, and its results. For job_block.c, and job_lazy.c, which does them one by one. */
#ifndef GMIG_JOB_ROUND_H
#define GMIG_JOB_ROUND_H

#include "job_state.h"

struct job_worker {
	struct gmig_job *job;
	struct mover_worker mover;
	bool again;		      /* a later pass: only pages that are worth another try */
	bool waits;		      /* mode lazy: its blocks are to wait for a touch */
	uint64_t block_ns;	      /* what a block of the last round took, without waits */
	struct mover_ticket *tickets; /* as many as the mover takes in a round */
	uint64_t lost_ns;	      /* what this round has cost the guest */
};

/* The result of these pages. Cannot fail: the block is prepared. */
void round_note(struct gmig_job *job, uint64_t block_gfn, const struct bits *pages, int result);
/* The block's results are complete, unless parts of it still wait for a touch. */
void round_finish_results(struct gmig_job *job, uint64_t block_gfn);

/* Frames and staging. 0, or -errno for all pages of the ticket. */
int round_prepare(struct job_worker *worker, struct mover_ticket *ticket);
/* Claim what the ticket names. false: all of it is somebody else's. */
bool round_claim(struct job_worker *worker, struct mover_ticket *ticket);
/* Claimed tickets of a round: each by the job's mover, or by the owner of its region. And what is left of them. */
void round_move(struct job_worker *worker, struct mover_ticket **tickets, unsigned int count);
void round_finish(struct job_worker *worker, struct mover_ticket *ticket);
/* It has moved, as far as it could: settle the claim, and note the results. */
void round_settle(struct job_worker *worker, struct mover_ticket *ticket);
/* For gmig_job_trace(). ret: that of round_prepare(). */
void round_trace(const struct job_worker *worker, const struct mover_ticket *ticket,
		 uint64_t begin_ns, int ret);

#endif
