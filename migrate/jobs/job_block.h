/* The pages of the blocks of one round. */
#ifndef GMIG_JOB_BLOCK_H
#define GMIG_JOB_BLOCK_H

#include "job_round.h"

/*
 * Move what is to be moved of these blocks and note the results. false: the job is being cancelled, or
 * sets no_memory; nothing of these blocks was touched then.
 */
bool job_blocks(struct job_worker *worker, const uint64_t *words, unsigned int count);
/* Does the block have pages to move that no pass has tried? */
bool job_block_is_new(struct gmig_job *job, uint64_t word);
/* Pages that wait for another try, but are at their goal by now, or gone: somebody else's doing. */
void job_block_review(struct gmig_job *job, uint64_t word);

#endif
