/*
 * The planner: which memory of which guest should go to which node of the host, in which order, and why. Pure: it reads the
 * structs below, and returns a plan; it knows neither libvirt nor sockets, asks nobody for the time, and moves nothing. Any
 * thread; a call uses only what it was given. docs/placement.md explains the rules; here stands what a caller must know.
 *
 * The affinity score, after the idea of PowerVM's Dynamic Platform Optimizer (lsmemopt: 0 is the worst affinity, 100 perfect):
 *
 *   w(c, k)  how near memory node k is to the CPUs of node c: (far(c) - d(c, k)) / (far(c) - near(c)), where d is the distance as
 *            ACPI's SLIT has it, near(c) and far(c) the smallest and largest distance from c to any node that has memory. 1: no
 *            memory is nearer; 0: none is farther. Distance 255 is "cannot reach": w = 0, and it does not count in far(c).
 *            Where near(c) = far(c), w = 1.
 *   t(c)     the share of the guest's vCPU time that was spent on node c; each time entry counts one thousandth more than it
 *            says, so that an idle vCPU counts where it sleeps
 *   L(k)     sum over c of t(c) w(c, k): how well memory on node k serves the guest
 *   score    100 * sum over k of bytes(k) L(k) / sum over k of bytes(k)
 *
 * A guest with vnodes: each vnode's memory against the time of that vnode's vCPUs (of all, where the vnode has none), all bytes
 * weighing alike. A guest whose goal is `spread`: the share of its memory that lies as evenly over the allowed open nodes with
 * memory as it should. `fixed`: the share on allowed nodes. A guest without memory, or without vCPU time: PLACEMENT_NO_SCORE.
 * The host: the mean over all guests that have a score, weighed by their bytes, also those that nobody manages.
 *
 * What a plan guarantees, if the host is as it was described:
 *  (G1) at no step does a node hold more than its free and reserved memory allows, in any page size: moves are in an order in which
 *       each finds its room, given that those before it are complete
 *  (G2) vCPUs are put only on nodes with CPUs nobody was promised, never more vCPUs of one guest than there are such CPUs, and
 *       never so many that their time and that of others there exceeds those CPUs
 *  (G3) only managed guests move, and no locked byte; nothing goes to a closed node, to one that the guest may not use, or to one
 *       that its vCPUs cannot reach
 *  (G4) but for a drain: the host's score rises, by `min_gain` points at least; no guest's score falls, or, where `max_loss` allows
 *       it, by so many points in each round of the plan (most have one); a protected guest's never falls
 *  (G5) planned again with the same options where the plan has been carried out, nothing moves
 *  (G6) the work is bounded by a polynomial in nodes and guests: at most 64 rounds, each of a bounded number of steps
 */
#ifndef GMIG_PLACEMENT_H
#define GMIG_PLACEMENT_H

#include "../migrate/gmig_nodes.h"

#define PLACEMENT_MAX_CPUS  8192u /* Linux's limit on x86 */
#define PLACEMENT_CPU_WORDS (PLACEMENT_MAX_CPUS / 64)
#define PLACEMENT_NO_VNODE  0xffffu
#define PLACEMENT_NO_SCORE  (-1)
#define PLACEMENT_REASON    192
#define PLACEMENT_UNREACHED 255 /* a distance: there is no way */

struct placement_cpus {
	uint64_t word[PLACEMENT_CPU_WORDS]; /* bit n % 64 of word n / 64: CPU n */
};

enum placement_page {
	PLACEMENT_4K, /* ordinary memory, transparent huge pages among it */
	PLACEMENT_2M, /* pages of a hugetlb pool */
	PLACEMENT_1G,
	PLACEMENT_PAGES,
};

/* ---- The host -------------------------------------------------------------------------------- */

struct placement_node {
	unsigned int id;		      /* 0..GMIG_MAX_NODES - 1, each once */
	uint64_t total_bytes;		      /* all its memory; 0: a node without */
	uint64_t free_bytes[PLACEMENT_PAGES]; /* now; of 2M and 1G: in the pool */
	uint64_t reserved_bytes;	      /* of free_bytes[PLACEMENT_4K]: leave this much */
	const struct placement_cpus *cpus;    /* NULL: a node without CPUs */
	const struct placement_cpus
	    *promised;	     /* of these CPUs, those that somebody has for himself; NULL: none */
	uint64_t busy_milli; /* CPU time of all but the guests below, in thousandths of a CPU */
	bool closed;	     /* by a drain: nothing goes there, what is there leaves */
};

struct placement_host {
	const struct placement_node *nodes; /* in any order; ids may have holes */
	size_t node_count;
	/* [from * node_count + to], both by their place in nodes: of CPUs of `from` to memory of `to`. 10 is local. */
	const uint8_t *distance;
};

/* ---- The guests ------------------------------------------------------------------------------ */

enum placement_goal {
	PLACEMENT_NONE, /* only a drain moves it */
	PLACEMENT_FIXED, /* memory belongs on the allowed nodes, wherever vCPUs run; without such nodes: where it is */
	PLACEMENT_FOLLOW, /* memory goes to where the vCPUs run */
	PLACEMENT_PACK,	  /* memory and vCPUs together, on as few nodes as can be */
	PLACEMENT_SPREAD, /* memory evenly over all allowed nodes; with vnodes: as PLACEMENT_FOLLOW, each vnode for itself */
};

struct placement_ram {
	uint16_t node;	/* the id of the host's node */
	uint16_t vnode; /* PLACEMENT_NO_VNODE: the guest has none */
	enum placement_page page;
	uint64_t bytes;	       /* a multiple of the page's size */
	uint64_t locked_bytes; /* of them, those that cannot move (VFIO); a multiple, too */
};

/* One vCPU on one node: where it ran lately, or, while it sleeps, where it is pinned. */
struct placement_time {
	uint16_t vcpu;
	uint16_t node;	/* the id of the host's node */
	uint32_t milli; /* thousandths of a CPU; 0: it slept there */
};

struct placement_guest {
	/* Unique, since a history goes by it. Any bytes: reasons print those that are no printable ASCII as '?'. */
	const char *name;
	bool managed;	 /* false: known, counted, never moved */
	bool protect;	 /* moved only where its own score rises by it; no drain moves it */
	bool keep_vcpus; /* its vCPUs are not re-pinned, whatever its goal is */
	enum placement_goal goal;
	struct gmig_node_set allowed; /* empty: all nodes */
	const struct placement_ram *ram;
	size_t ram_count;
	unsigned int vcpus;
	const uint16_t *vnode_of; /* of each vCPU; NULL: the guest has no vnodes */
	const struct placement_time *time;
	size_t time_count;
	uint64_t rate_bytes; /* at which its memory is moved, in bytes a second; 0: unlimited */
};

/* ---- What has been --------------------------------------------------------------------------- */

/*
 * What hysteresis and the freeze after a reversal need to know of the past, by the names of guests. Not thread-safe; its owner
 * calls _observe() at each scan and _record() for each move that was carried out; a plan only reads it.
 */
struct placement_history;

int placement_history_create(struct placement_history **out, struct gmig_error *err); /* -ENOMEM */
void placement_history_destroy(struct placement_history *history);

/* ---- Options --------------------------------------------------------------------------------- */

/* placement_options_init() gives the defaults in parentheses. Points are those of a score, 0-100. */
struct placement_options {
	uint64_t now_seconds;	   /* on any clock that only goes forward, history's (0) */
	unsigned int threshold;	   /* only guests with a score up to this one are improved (95) */
	unsigned int hold_seconds; /* .. and whose score has been so low for so long (0) */
	unsigned int margin;	   /* .. and gains at least so many points (5) */
	unsigned int min_gain; /* fewer points for the host: no move but of a drain (0: any gain) */
	unsigned int max_loss; /* of another guest that makes room (0) */
	/* Points that a byte must gain to be worth its move over distance 20; in proportion over other distances. (5) */
	unsigned int move_cost;
	unsigned int
	    window_seconds; /* memory that came and goes back within that: a reversal (600) */
	unsigned int
	    freeze_seconds; /* and then it stays so long; twice as long after each further one (1800) */
	bool told;	 /* an operator asked: PLACEMENT_NONE counts as PLACEMENT_FOLLOW (false) */
	bool drain_only; /* only empty the closed nodes (false) */
	struct gmig_node_set drain; /* closed for this plan, besides those that are (empty) */
	const struct placement_history *history; /* NULL: none; hold_seconds then must be 0 */
};

void placement_options_init(struct placement_options *options);

/*
 * Note each guest's score now, at options->now_seconds, and since when it has been at most options->threshold. Guests not in the
 * list are forgotten. Errors as placement_plan().
 */
int placement_history_observe(struct placement_history *history, const struct placement_host *host,
			      const struct placement_guest *guests, size_t count,
			      const struct placement_options *options, struct gmig_error *err);

/* ---- The plan -------------------------------------------------------------------------------- */

enum placement_kind {
	PLACEMENT_MEMORY, /* bytes of this vnode and page size, from -> to */
	PLACEMENT_VCPUS,  /* these vCPUs to the CPUs of `to`: placement_open_cpus() */
};

struct placement_move {
	enum placement_kind kind;
	size_t guest; /* place in the list of guests */
	uint16_t vnode, from,
	    to; /* by id; of vCPUs: most of their time was on `from`, which may be `to` */
	enum placement_page page;
	uint64_t bytes;
	double seconds;	 /* at the guest's rate; 0: no rate */
	uint16_t *vcpus; /* ascending */
	size_t vcpu_count;
	bool drain;   /* because its node is closed */
	bool staging; /* not where it is to stay: a later move of the plan takes it on */
	char reason[PLACEMENT_REASON];
};

/* Scores in hundredths of a point, 0..10000, or PLACEMENT_NO_SCORE. */
struct placement_scores {
	int now, after, possible;
};

/* What stays on a closed node. */
struct placement_left {
	size_t guest;
	uint16_t node, vnode;
	enum placement_page page;
	uint64_t bytes;	    /* 0: vCPUs */
	unsigned int vcpus; /* 0: memory */
	char reason[PLACEMENT_REASON];
};

struct placement_verdict {
	struct placement_scores score;
	char reason
	    [PLACEMENT_REASON]; /* why its score stays below what is possible, or could be; "": it does not */
};

struct placement_plan {
	struct placement_move *moves; /* in this order */
	size_t move_count;
	struct placement_left *left;
	size_t left_count;
	/*
	 * `possible`: what this planner reaches with no threshold, hold, margin, freeze and cost. For the host; of each guest it may
	 * be more than all guests can have at once.
	 */
	struct placement_scores score;
	struct placement_verdict *guests; /* one each, in the order of the list */
	size_t guest_count;
	uint64_t moved_bytes; /* staging counts twice */
};

/*
 * Returns 0 and a plan, perhaps an empty one, to be given to placement_plan_destroy(); it does not point into what it was made
 * from. options NULL: the defaults. Does not block. -EINVAL: something in the input contradicts something else, and err says
 * what; -ENOMEM.
 */
int placement_plan(const struct placement_host *host, const struct placement_guest *guests,
		   size_t count, const struct placement_options *options,
		   struct placement_plan **out, struct gmig_error *err);
void placement_plan_destroy(struct placement_plan *plan); /* NULL is legal */

/* The scores now, without a plan: of each guest into scores[count], and of the host. Errors as above. */
int placement_score(const struct placement_host *host, const struct placement_guest *guests,
		    size_t count, int *scores, int *host_score, struct gmig_error *err);

/* The CPUs of a node that nobody was promised. */
void placement_open_cpus(const struct placement_node *node, struct placement_cpus *cpus);

/* Note a move of a plan for these guests that has been carried out, at now_seconds. -ENOMEM: it is not noted. */
int placement_history_record(struct placement_history *history,
			     const struct placement_guest *guests,
			     const struct placement_move *move,
			     const struct placement_options *options, struct gmig_error *err);

/* "none", "follow-vcpus"; "4K", "2M". */
const char *placement_goal_name(enum placement_goal goal);
const char *placement_page_name(enum placement_page page);
uint64_t placement_page_bytes(enum placement_page page);

#endif
