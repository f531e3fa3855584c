/*
 * Which domain's memory is moved by itself, where to, when, and why not. Pure: a plain picture of the host and its domains goes in,
 * verdicts and at most one move come out; it moves nothing and asks nobody for the time. Memory of the past is all it has. One thread.
 *
 * Only `follow-vcpus` acts by itself. Its memory belongs on the *target nodes*: those whose CPUs the vCPUs may use, or, where these
 * have no memory, the nearest ones that do; of them, those that the policy allows. Memory elsewhere follows, if
 *  - the CPUs of the vCPUs, and what the policy says of placement and nodes, have been as they are for KEEPER_HOLD_SECONDS: vCPUs are
 *    re-pinned one by one, and whoever does it may think again;
 *  - no job moves the domain now, and none that was asked for by hand has moved it since: that stays until vCPUs are re-pinned;
 *  - it has not been moved back and forth lately (placement_history: the planner's freeze), and its last move did not fail;
 *  - the hour is not quiet, and no domain is being moved by itself: one at a time on a host;
 *  - the planner (placement.h) finds that it is worth it and that there is room. Open nodes only: closed_nodes.h.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include "../placement/placement.h"
#include "policy.h"

#define KEEPER_HOLD_SECONDS  10
#define KEEPER_RETRY_SECONDS 60 /* after a move that failed; twice as long each further time, */
#define KEEPER_RETRY_DOUBLES 6	/* so often at most: 64 minutes */
#define KEEPER_REASON	     320

struct keeper;

struct keeper_domain {
	const char *name;		       /* unique among those of a picture */
	const struct placement_policy *policy; /* NULL: it is wrong, or not known yet */
	struct gmig_node_set vcpu_nodes;       /* whose CPUs its vCPUs may use; empty: not known */
	const struct placement_ram *ram;       /* guest memory; NULL: not known yet */
	size_t ram_count;
	const struct placement_time *time;
	size_t time_count;
	unsigned int vcpus;
	bool pinned;	    /* VFIO and the like: its memory cannot move */
	bool job_runs;	    /* anybody's */
	uint64_t hand_jobs; /* that moved memory and that nobody here started, ever */
};

struct keeper_picture {
	const struct placement_host *host; /* which nodes are closed among it */
	const struct keeper_domain *domains;
	size_t count;
	uint64_t now_seconds; /* on a clock that only goes forward */
	struct tm local;      /* for quiet hours */
	bool moving;	      /* a domain is being moved by itself */
	const char *why_not;  /* nothing may be moved by itself now; NULL: it may */
};

enum keeper_state {
	KEEPER_OFF,	/* its policy does not move it by itself */
	KEEPER_WRONG,	/* its policy is wrong, or not known */
	KEEPER_KEPT,	/* its memory is where it belongs */
	KEEPER_UNKNOWN, /* where its vCPUs may run, or its memory lies, is not known */
	KEEPER_PINNED,
	KEEPER_BUSY,	/* a job runs */
	KEEPER_BY_HAND, /* it lies where it was moved to by hand */
	KEEPER_HOLD,
	KEEPER_FROZEN,
	KEEPER_RETRY,
	KEEPER_QUIET,
	KEEPER_CLOSED, /* the nodes where it belongs are closed, or its policy forbids them */
	KEEPER_WAITS,  /* for another domain's move, or picture->why_not */
	KEEPER_STAYS,  /* the planner says so */
	KEEPER_MOVES,
};

struct keeper_verdict {
	enum keeper_state state;
	uint64_t wait_seconds; /* of HOLD, FROZEN, RETRY */
	char reason[KEEPER_REASON];
	struct placement_scores score; /* in hundredths, see placement.h */
};

/* From these nodes to one. */
struct keeper_move {
	size_t domain; /* place in the picture */
	uint16_t from[GMIG_MAX_NODES];
	unsigned int from_count;
	uint16_t to;
	uint64_t bytes;	    /* that are meant */
	uint64_t max_bytes; /* 0: all that lies there */
	uint64_t rate_bytes;
	uint64_t max_stall_ns; /* 0: none, of this limit and its neighbours */
	uint32_t max_slowdown_ppm;
	char reason[KEEPER_REASON];
};

struct keeper_answer {
	struct keeper_verdict *verdicts; /* in; room for each domain of the picture */
	struct placement_scores score;	 /* of the host */
	bool moves;			 /* `move` is to be started */
	struct keeper_move move;
};

int keeper_create(struct keeper **out, struct gmig_error *err); /* -ENOMEM */
void keeper_destroy(struct keeper *keeper);			/* NULL is legal */

/*
 * Domains that are not in the picture are forgotten. -ENOMEM, -EINVAL: the planner refuses the picture, the text says why; verdicts then say
 * what is known without it, and nothing moves.
 */
int keeper_decide(struct keeper *keeper, const struct keeper_picture *picture,
		  struct keeper_answer *answer, struct gmig_error *err);

enum keeper_end {
	KEEPER_COMPLETED,
	KEEPER_FAILED,	  /* or it could not be started */
	KEEPER_CANCELLED, /* by somebody: he wants it to stay, until vCPUs are re-pinned */
	KEEPER_YIELDED,	  /* for a job that was asked for */
};

/*
 * What has become of a move. why: of KEEPER_FAILED. A completed one that moved nothing, or left something, counts as failed: it is not
 * tried again at once.
 */
void keeper_ended(struct keeper *keeper, const char *name, const struct keeper_move *move,
		  enum keeper_end end, uint64_t moved_bytes, uint64_t remaining_bytes,
		  const char *why, uint64_t now_seconds);

/* "kept", "quiet". */
const char *keeper_state_name(enum keeper_state state);

/*
 * What of a policy gmigd reads and does not do: pack and spread by itself. Cut to `bytes`. False: it does all of it.
 * Only what the policy itself gives, so that each place is named once.
 */
bool keeper_warning(const struct placement_policy *policy, char *text, size_t bytes);

#endif
