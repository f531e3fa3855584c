/*
 * Slowdown budget: what a guest may lose to its jobs, as a share of its vCPUs' time. Plain arithmetic with the time passed
 * in; the owner locks. A meter counts what the jobs of one guest cost it, all together; a budget is one job's.
 *
 *     while ((wait = slowdown_turn(meter, budget, expected, now)))     before a block is claimed
 *             sleep for `wait` ns
 *     slowdown_charge(meter, expected, lost, now)                      once it is settled
 *
 * Lost time is that of an average vCPU: 2 ms of one of four vCPUs are 0.5 ms.
 *
 * - A block has its turn when what it is expected to cost is saved up. A budget earns fifteen sixteenths of its limit, and
 *   saves up one 32nd of what it is in a second, or one block's cost if that is more. So what blocks cost that are as dear as
 *   expected is within the limit in any second, and a 32nd is left for those that are not: a block that turns out dearer is a
 *   debt, which the next one waits for.
 * - Each budget is charged for what all jobs of the guest cost. Two jobs with the same limit share it.
 * - The last second is counted in slots of 10 ms, and one more: what is called the worst second may be 10 ms longer.
 */
#ifndef GMIG_SLOWDOWN_H
#define GMIG_SLOWDOWN_H

#include <stdbool.h>
#include <stdint.h>

#define SLOWDOWN_SECOND_NS 1000000000ull
#define SLOWDOWN_SLOTS	   101
#define SLOWDOWN_WAIT_MAX  SLOWDOWN_SECOND_NS /* the longest that slowdown_turn() tells anybody */
#define SLOWDOWN_PPM	   1000000u	      /* all of its time */

struct slowdown_budget {
	struct slowdown_budget *next; /* of the meter's */
	uint32_t limit_ppm;	      /* 0: none, it only counts */
	int64_t saved_ns;	      /* what may be lost now; < 0: a debt */
	uint64_t at_ns;		      /* up to when it has earned */
	uint32_t rest;		      /* and parts of a ns */
	uint64_t seen_ns;	      /* of the meter's lost_ns, what it was charged for */
	uint64_t begin_lost_ns;	      /* lost before it began */
	uint64_t lost_ns, worst_ns;   /* since its beginning, and in the worst second */
	uint64_t waits_since_ns;      /* 0: nobody waits for it */
};

struct slowdown {
	uint64_t lost_ns;			     /* ever */
	uint64_t reserved_ns;			     /* expected of blocks that are on their way */
	uint64_t slot_ns[SLOWDOWN_SLOTS], second_ns; /* lost in each, and their sum */
	uint64_t slot; /* the newest: its number since the clock's 0 */
	struct slowdown_budget *budgets;
};

/* From now on what is lost counts for it; from leave on no more. The budget must stay where it is in between. */
void slowdown_join(struct slowdown *meter, struct slowdown_budget *budget, uint32_t limit_ppm,
		   uint64_t now_ns);
void slowdown_leave(struct slowdown *meter, struct slowdown_budget *budget);

/* 0: the block's turn, and expected_ns are reserved until slowdown_charge(). Else how many ns to wait before asking again. */
uint64_t slowdown_turn(struct slowdown *meter, struct slowdown_budget *budget, uint64_t expected_ns,
		       uint64_t now_ns);
/* The block is settled, or was given up. */
void slowdown_charge(struct slowdown *meter, uint64_t reserved_ns, uint64_t lost_ns,
		     uint64_t now_ns);

/* What was lost of these ns of its time. */
uint32_t slowdown_share_ppm(const struct slowdown_budget *budget, uint64_t of_ns);
/* In the worst second; up to 1000000. */
uint32_t slowdown_worst_ppm(const struct slowdown_budget *budget);
/* Has the limit held in each second so far? true without a limit. */
bool slowdown_is_met(const struct slowdown_budget *budget);
/* For so long a block has been waiting for its turn. */
uint64_t slowdown_waits_ns(const struct slowdown_budget *budget, uint64_t now_ns);

#endif
