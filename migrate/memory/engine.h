/*
 * Inside of libgmig: the engine's own struct, shared by memory, movers and jobs. Not installed.
 *
 * Locks, outermost first; a thread takes them only downwards:
 *   engine.sampling_lock   the sampler is switched on or off
 *   engine.lock    regions being added, and where their new memory goes
 *   job.lock       a job's state, rate and results (never held while a block is worked on)
 *   engine.check_lock   one audit that counts the pools at a time
 *   catch_up.lock  one thread at a time asks the kernel before an answer
 *   stripe.lock    the shadow entries of a block, its sleepers, its claims, and whether a device is at it
 *   pool.lock      slots of one pool
 *   ledger's lock
 *   lazy.lock      below job.lock and stripe.lock: the queue of a job in mode lazy; a leaf; sampler.lock is like it
 *   heat's lock    a leaf, like that of broken_pages
 * A thread that holds stripe.lock never touches a region: the fault thread may need the lock to serve
 * that touch. Nothing is held for longer than one block takes.
 */
#ifndef GMIG_ENGINE_H
#define GMIG_ENGINE_H

#include "../core/hist.h"
#include "../core/sys.h"
#include "../gmig_region.h"
#include "../gmig_repair.h"
#include "broken_pages.h"
#include "file_window.h"
#include "memory.h"
#include "shadow.h"

#include <stdatomic.h>

#define ENGINE_REGIONS	    (2 * GMIG_MAX_VNODES) /* a vnode may lie around the PCI hole */
#define ENGINE_STRIPES	    256
#define ENGINE_BUSY	    32 /* blocks of a stripe that devices transfer to at a time */
#define ENGINE_POOL_BYTES   (16ull << 20)
#define ENGINE_FLIGHT_BYTES (32ull << 20) /* in flight, and made ahead: of extra_bytes_max */

struct bindings;
struct claim;
struct fault;
struct frames;
struct ledger;
struct policy;
struct preference;
struct region_kind;
struct repair;
struct sampler;

/* A thread asleep on a block that is being moved. guarded by stripe.lock */
struct sleeper {
	struct sleeper *next;
	uint64_t gfn;
	uint64_t since_ns;
	int tid;
	bool writer;
	bool vcpu; /* that was named */
};

/* What sleepers lost. */
struct slept {
	uint64_t ns, longest_ns;
	unsigned int threads, writers; /* of the threads, those that were about to write */
};

/* A block that devices transfer to or from: see busy.h. guarded by stripe.lock */
struct busy_block {
	uint64_t gfn;
	uint64_t wanted_until_ns; /* by a job that was refused it; 0: by none */
	unsigned int transfers;	  /* under way; 0: it is only wanted */
};

struct stripe {
	pthread_mutex_t lock;
	struct sleeper *sleepers;
	struct claim *claims;
	struct busy_block busy[ENGINE_BUSY];
	unsigned int busy_count;
};

/* Constant after gmig_region_add() but for preferred_node. */
struct region {
	const struct region_kind *kind;
	unsigned int vnode;
	uint64_t gfn, pages;
	unsigned int unit_pages; /* what the kernel moves at once when it is whole */
	uint8_t *hva;
	void *reserved;
	size_t reserved_bytes;
	const uint8_t *zeros; /* a block that reads as zeros; NULL: the kind needs none */
	int fd;		      /* its file; -1: it has none */
	bool hugetlb;
	struct {
		struct gmig_region_ops ops;
		void *opaque;
	} own;			   /* of kind own */
	struct file_window window; /* of its file, if that is of hugetlb pages */
	int window_error;	   /* 0, or why there is none */
	atomic_ullong audited_ns;  /* when an audit of all of it began that went to its end */
	/* Host node that first touches are served from; written under engine.lock, like the next two. */
	atomic_uint preferred_node;
	struct preference *preferences; /* of migrations, the one that was accepted last first */
	unsigned int base_node;		/* decides when no job that runs has one */
};

/* vCPU threads that the VMM named. One that is full is replaced by a larger one, and lives on for those who read it. */
struct thread_list {
	struct thread_list *older;
	unsigned int room;
	atomic_uint count; /* published last */
	int tid[];
};

/* How far catch_up() came; guarded by its lock, a leaf but for stripe.lock. */
struct catch_up {
	pthread_mutex_t lock;
	unsigned int region; /* goes on in this one, */
	uint64_t pages;	     /* after so many of its pages */
	uint64_t begin_ns;   /* when it began with the region */
	uint64_t rest_ns;    /* not again before */
};

struct vnode {
	int uffd; /* -1: no region yet, or plain */
	struct fault *fault;
	atomic_uint
	    serving; /* odd: its fault thread serves a message; see engine_settle_faults() */
	_Atomic(struct thread_list *) threads; /* guarded by engine.lock to write */
};

struct gmig {
	struct memory memory; /* what jobs see */
	struct gmig_options options;
	const struct gmig_sys *sys;
	bool fake;
	bool plain;
	bool thp; /* huge pages are wanted, and the host has them */
	char why_off[GMIG_ERROR_TEXT];

	pthread_mutex_t lock;
	struct region regions[ENGINE_REGIONS]; /* published by region_count */
	atomic_uint region_count;
	struct vnode vnodes[GMIG_MAX_VNODES];

	struct shadow *shadow;
	struct frames *frames;
	struct policy *policy;
	struct bindings *bindings; /* policies of ranges */
	struct bindings *fixed;	   /* what must not move: fixed.h */
	int pagemap;
	struct ledger *ledger;
	struct stripe stripes[ENGINE_STRIPES];
	/* Those of a page that is larger than a block share a stripe: they change together. Constant once there is a region. */
	unsigned int stripe_pages;
	unsigned int giant_pages; /* of GMIG_REGION_HUGETLB_1G; less in tests */
	pthread_mutex_t check_lock;
	pthread_mutex_t repairs_lock;	      /* a leaf */
	struct repair *repairs[GMIG_REPAIRS]; /* guarded by repairs_lock, like the next */
	uint64_t last_repair;		      /* its number */

	atomic_ullong sleepers, faults, faults_known_thread;
	atomic_ullong starved;				   /* pages, now: fault.c */
	atomic_ullong dma_begun, dma_refused, claims_busy; /* ever: see struct gmig_stats */
	atomic_ullong busy_blocks;			   /* now; its stripes add and take */
	struct catch_up catch_up;
	atomic_ullong own_maps;		 /* pages that were placed, ever: huge_page.h */
	atomic_ullong broken_ever;	 /* pages that were noticed to be broken */
	struct broken_pages broken;	 /* those that are */
	atomic_ullong offlined_in_place; /* bytes, ever: retire.c */
	atomic_ullong sampled;		 /* blocks, ever: where gmig_sample() goes on */
	pthread_mutex_t sampling_lock;	 /* outermost: switching the sampler on and off */
	struct sampler *sampler;	 /* guarded by sampling_lock, like the next; NULL: off */
	bool sampling_held;
	struct hist blackout_read, blackout_write, stall;
};

static inline struct gmig *engine_of(struct memory *memory)
{
	return (struct gmig *)memory;
}

__attribute__((format(printf, 3, 4))) void engine_log(struct gmig *gmig, enum gmig_log_level level,
						      const char *format, ...);
/* Report the failure after which a block stays closed; once. Any thread. */
__attribute__((format(printf, 3, 4))) void engine_fatal(struct gmig *gmig, int code,
							const char *format, ...);

/* A page of the guest cannot be read any more: it is counted, and told of. Any thread, without a lock. false: it is known. */
bool engine_memory_broke(struct gmig *gmig, uint64_t gfn);

/* NULL: not guest RAM. */
struct region *engine_region_of_gfn(struct gmig *gmig, uint64_t gfn);
/* The one that has gfn, or the first one behind it. NULL: none is. */
const struct region *engine_region_from(struct gmig *gmig, uint64_t gfn);
struct region *engine_region_of_hva(struct gmig *gmig, uintptr_t hva);
static inline uint8_t *region_hva(const struct region *region, uint64_t gfn)
{
	return region->hva + (gfn - region->gfn) * GMIG_PAGE_BYTES;
}
/* The first page of what goes whole with it. */
static inline uint64_t region_unit(const struct region *region, uint64_t gfn)
{
	return gfn - (gfn - region->gfn) % region->unit_pages;
}

struct stripe *engine_stripe(struct gmig *gmig, uint64_t gfn);
/*
 * Take the sleepers on these pages of the block off the list, because they are woken now, and record
 * their waits in the engine's histogram and in `also` (may be NULL). Returns what they lost. Caller holds
 * stripe->lock.
 */
struct slept engine_sleepers_woken(struct gmig *gmig, struct stripe *stripe, uint64_t block_gfn,
				   const struct bits *pages, struct hist *also);

/* Whoever sleeps on the block goes on. Nobody does where the kernel serves faults by itself. */
void engine_wake(const struct gmig *gmig, const struct region *region, uint64_t block_gfn);

/* Where a page comes in the audit's order: regions as they were added, then by gfn. */
static inline uint64_t engine_position(const struct gmig *gmig, const struct region *region,
				       uint64_t gfn)
{
	return ((uint64_t)(region - gmig->regions) << 36) + gfn;
}

/*
 * Returns when every fault of these vnodes (bit v: vnode v; 0: all) that is being served now has been
 * served. Not from a fault thread.
 */
void engine_settle_faults(struct gmig *gmig, uint64_t vnodes);

#endif
