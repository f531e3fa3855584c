/*
 * Target policy: who may ask the kernel for how much memory, and where there is none to be had just now.
 * All that the engine holds beside the guest's own memory comes out of one budget, whatever the number of
 * jobs and threads:
 *
 *   extra memory   frames in pools, or taken out of one: never more than extra_bytes_max
 *   room           what host and cgroups have left (core/room.h), less a reserve; bounds extra memory and
 *                  the guest's first touches alike
 *
 * Who asks for memory reserves it first and releases the reservation once the ledger has the pages, or
 * they were not had. Whoever gives memory back says so, since others may wait for it.
 *
 * Any thread. guarded by a lock inside, a leaf but for the ledger's single numbers.
 */
#ifndef GMIG_POLICY_H
#define GMIG_POLICY_H

#include "../gmig.h"

struct gmig_sys;
struct ledger;
struct policy;

/* What the memory is for. */
enum policy_use {
	POLICY_MOVE, /* a frame that a copy worker needs now */
	POLICY_AHEAD, /* one made ahead of need: takes half of the budget at most, so that the above finds room */
	POLICY_TOUCH, /* the guest's own at once: bounded by the room only */
};

struct policy_config {
	const struct gmig_sys *sys;
	struct ledger *ledger; /* not owned */
	uint64_t extra_bytes_max;
};

/* -ENOMEM. */
int policy_create(const struct policy_config *config, struct policy **out);
/* NULL is legal. */
void policy_destroy(struct policy *policy);

/* May `pages` be asked for? 0: yes, and they are reserved; -EDQUOT: not now. */
int policy_reserve(struct policy *policy, enum policy_use use, unsigned int pages);
void policy_release(struct policy *policy, unsigned int pages);

/* Look at the room now: before a job begins. */
void policy_look(struct policy *policy);

/* Pages that the pools of a node may keep: the watermark, less when memory is short. */
long policy_keep(struct policy *policy, long watermark_pages);

/* Bytes of extra memory: the most that there may be now, what there is, and the most there was. */
uint64_t policy_extra_max(struct policy *policy);
uint64_t policy_extra(struct policy *policy);
uint64_t policy_extra_peak(struct policy *policy);

/* ---- Waiting for memory that others hold ------------------------------------------------------- */

/* Counts what was given back; taken before an attempt, it lets policy_wait() miss nothing. */
unsigned int policy_serial(struct policy *policy);
void policy_freed(struct policy *policy);
/* Wait until something was given back since `serial`. false: nobody holds anything, or until_ns has come. */
bool policy_wait(struct policy *policy, unsigned int serial, uint64_t until_ns);

/* ---- Copy workers ------------------------------------------------------------------------------ */

/* Of `asked` threads, how many could have a frame each now: at least one. */
unsigned int policy_workers(struct policy *policy, unsigned int asked);
/* One frame a worker must fit. first: of its job, always admitted. -EAGAIN. */
int policy_worker_enter(struct policy *policy, bool first);
void policy_worker_leave(struct policy *policy);

/* ---- Nodes that have none ---------------------------------------------------------------------- */

/*
 * What a node refused lately it is not asked for again for a while: 10 ms, doubled with each refusal up to 1 s. Where
 * huge pages are switched off, or a node is full, this is the difference between one try a second and one a fault.
 */
bool policy_is_hopeless(struct policy *policy, unsigned int node, bool huge);
void policy_note(struct policy *policy, unsigned int node, bool huge, bool had);

#endif
