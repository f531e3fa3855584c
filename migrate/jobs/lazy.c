#include "lazy.h"

#include "../core/sys.h"

#include <errno.h>
#include <stdlib.h>

/* A block that nobody touches for so long makes room for others, if there are any. */
#define TURN_NS 1000000000ull
/* What copying a byte takes before any was copied, in 1/1024 ns: 1 GB/s. Then the last ones count, with one half more. */
#define BYTE_COST   1024u
#define COST_WEIGHT 8
#define KEPT	    (LAZY_BLOCKS + 1)

struct list {
	struct lazy_block *first, **end;
};

/* A block whose results are needed. */
struct kept {
	uint64_t block_gfn;
	unsigned int by; /* 0: free */
};

struct lazy {
	const struct gmig_sys *sys;
	uint64_t deadline_ns; /* by the clock; UINT64_MAX: none */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* guarded by lock */
	struct list waiting, due; /* oldest first; touched first, then by their time */
	unsigned int out;	  /* blocks that wait, are due, or are worked on */
	unsigned int starting, servers;
	unsigned int wanted; /* threads that wait for room */
	bool held, ended, put_off, sweeping;
	uint64_t byte_cost, sweep_ns;
	struct kept kept[KEPT];
	struct gmig_lazy_info info;
};

/* ---- Lists: callers hold the lock ------------------------------------------------------------------ */

static void list_init(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_add(struct list *list, struct lazy_block *block)
{
	block->next = NULL;
	block->listed = true;
	*list->end = block;
	list->end = &block->next;
}

static bool list_take(struct list *list, struct lazy_block *block)
{
	struct lazy_block **link = &list->first;

	while (*link && *link != block)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = block->next;
	if (!block->next)
		list->end = link;
	block->listed = false;
	return true;
}

/* ---- A job, a pass --------------------------------------------------------------------------------- */

int lazy_create(const struct gmig_sys *sys, uint64_t start_ns, uint64_t deadline_ns,
		struct lazy **out)
{
	struct lazy *lazy = calloc(1, sizeof(*lazy));

	if (!lazy)
		return -ENOMEM;
	lazy->sys = sys;
	lazy->deadline_ns = UINT64_MAX;
	if (deadline_ns && deadline_ns < UINT64_MAX - start_ns)
		lazy->deadline_ns = start_ns + deadline_ns;
	lazy->sweep_ns = lazy->deadline_ns;
	lazy->byte_cost = BYTE_COST;
	list_init(&lazy->waiting);
	list_init(&lazy->due);
	pthread_mutex_init(&lazy->lock, NULL);
	gmig_sys_cond_init(&lazy->changed);
	*out = lazy;
	return 0;
}

void lazy_destroy(struct lazy *lazy)
{
	if (!lazy)
		return;
	pthread_cond_destroy(&lazy->changed);
	pthread_mutex_destroy(&lazy->lock);
	free(lazy);
}

void lazy_begin(struct lazy *lazy, unsigned int servers)
{
	pthread_mutex_lock(&lazy->lock);
	lazy->starting = servers;
	lazy->servers = 0;
	lazy->ended = lazy->put_off = false;
	pthread_mutex_unlock(&lazy->lock);
}

void lazy_server(struct lazy *lazy, bool serves)
{
	pthread_mutex_lock(&lazy->lock);
	lazy->starting--;
	lazy->servers += serves;
	pthread_cond_broadcast(&lazy->changed);
	pthread_mutex_unlock(&lazy->lock);
}

bool lazy_await(struct lazy *lazy)
{
	bool served;

	pthread_mutex_lock(&lazy->lock);
	while (lazy->starting)
		pthread_cond_wait(&lazy->changed, &lazy->lock);
	served = lazy->servers;
	pthread_mutex_unlock(&lazy->lock);
	return served;
}

void lazy_end(struct lazy *lazy)
{
	pthread_mutex_lock(&lazy->lock);
	lazy->ended = true;
	pthread_cond_broadcast(&lazy->changed);
	pthread_mutex_unlock(&lazy->lock);
}

void lazy_hold(struct lazy *lazy, bool held)
{
	pthread_mutex_lock(&lazy->lock);
	lazy->held = held;
	pthread_cond_broadcast(&lazy->changed);
	pthread_mutex_unlock(&lazy->lock);
}

bool lazy_put_off(struct lazy *lazy)
{
	bool put_off;

	pthread_mutex_lock(&lazy->lock);
	put_off = lazy->put_off;
	pthread_mutex_unlock(&lazy->lock);
	return put_off;
}

/* ---- When the sweep begins ------------------------------------------------------------------------- */

void lazy_expect(struct lazy *lazy, uint64_t left_bytes, uint64_t rate, unsigned int workers)
{
	double copy_ns, need_ns, rate_ns = rate ? (double)left_bytes / (double)rate * 1e9 : 0;
	uint64_t now = lazy->sys->now_ns(), left_ns;

	pthread_mutex_lock(&lazy->lock);
	copy_ns = (double)left_bytes * (double)lazy->byte_cost / 1024 / (workers ? workers : 1);
	need_ns = 1.5 * (copy_ns > rate_ns ? copy_ns : rate_ns);
	left_ns = lazy->deadline_ns > now ? lazy->deadline_ns - now : 0;
	/* A slow rate needs more than 64 bits of nanoseconds have room for. */
	if (lazy->deadline_ns != UINT64_MAX)
		lazy->sweep_ns =
		    need_ns < (double)left_ns ? lazy->deadline_ns - (uint64_t)need_ns : now;
	pthread_mutex_unlock(&lazy->lock);
}

/* Once it sweeps it goes on with that. Caller holds the lock. */
static bool is_sweeping(struct lazy *lazy, uint64_t now)
{
	lazy->sweeping |= lazy->sweep_ns != UINT64_MAX && now >= lazy->sweep_ns;
	return lazy->sweeping;
}

/* ---- Blocks ---------------------------------------------------------------------------------------- */

/* Caller holds the lock. UINT64_MAX: by no clock. */
static uint64_t next_turn_ns(const struct lazy *lazy)
{
	if (!lazy->waiting.first || (!lazy->wanted && !lazy->put_off))
		return UINT64_MAX;
	return lazy->waiting.first->since_ns + TURN_NS;
}

/* Caller holds the lock; until something changes, or until this time. */
static void wait_until(struct lazy *lazy, uint64_t until_ns)
{
	if (until_ns == UINT64_MAX)
		pthread_cond_wait(&lazy->changed, &lazy->lock);
	else
		lazy->sys->wait_until(&lazy->changed, &lazy->lock, until_ns);
}

bool lazy_room(struct lazy *lazy)
{
	bool waits;

	pthread_mutex_lock(&lazy->lock);
	lazy->wanted++;
	pthread_cond_broadcast(&lazy->changed);
	while (lazy->out >= LAZY_BLOCKS && !lazy->held && !lazy->ended &&
	       !is_sweeping(lazy, lazy->sys->now_ns()))
		wait_until(lazy, lazy->sweep_ns);
	lazy->wanted--;
	waits = lazy->servers && !lazy->ended && !is_sweeping(lazy, lazy->sys->now_ns());
	pthread_mutex_unlock(&lazy->lock);
	return waits;
}

/* Caller holds the lock. */
static void make_due(struct lazy_block *block, enum lazy_why why)
{
	struct lazy *lazy = block->lazy;

	block->why = why;
	list_add(&lazy->due, block);
	/* All of them: a taker that waits for room, and is woken alone, serves nobody. */
	pthread_cond_broadcast(&lazy->changed);
}

void lazy_add(struct lazy_block *block)
{
	struct lazy *lazy = block->lazy;

	pthread_mutex_lock(&lazy->lock);
	block->since_ns = lazy->sys->now_ns();
	lazy->out++;
	lazy->info.waiting++;
	if (lazy->info.waiting > lazy->info.waiting_max)
		lazy->info.waiting_max = lazy->info.waiting;
	if (block->why == LAZY_WAITS)
		list_add(&lazy->waiting, block);
	else
		make_due(block, block->why);
	pthread_mutex_unlock(&lazy->lock);
}

void lazy_touch(void *arg, const struct claim_touch *touch)
{
	struct lazy_block *block = arg;
	struct lazy *lazy = block->lazy;

	pthread_mutex_lock(&lazy->lock);
	lazy->info.touches += touch->tid != 0;
	lazy->info.touches_by_vcpu += touch->vcpu;
	if (block->why == LAZY_WAITS && touch->vcpu)
		block->tid = touch->tid;
	if (block->why == LAZY_WAITS)
		block->page = (unsigned int)(touch->gfn - block->block_gfn);
	/* One that is due already, or is worked on, has its reason. */
	if (block->why == LAZY_WAITS && !block->listed)
		block->why = touch->tid ? LAZY_TOUCHED : LAZY_WANTED;
	else if (block->why == LAZY_WAITS && list_take(&lazy->waiting, block))
		make_due(block, touch->tid ? LAZY_TOUCHED : LAZY_WANTED);
	pthread_mutex_unlock(&lazy->lock);
}

/* Caller holds the lock. A block that is to be dealt with now. */
static struct lazy_block *take_due(struct lazy *lazy, uint64_t now)
{
	struct lazy_block *block = lazy->due.first ? lazy->due.first : lazy->waiting.first;
	enum lazy_why why;

	if (!block)
		return NULL;
	why = lazy->held		  ? LAZY_HELD
	      : lazy->due.first		  ? block->why
	      : is_sweeping(lazy, now)	  ? LAZY_SWEPT
	      : now >= next_turn_ns(lazy) ? LAZY_TURN
					  : LAZY_WAITS;
	if (why == LAZY_WAITS)
		return NULL;
	block->why = why;
	list_take(lazy->due.first ? &lazy->due : &lazy->waiting, block);
	lazy->info.waiting--;
	return block;
}

struct lazy_block *lazy_next(struct lazy *lazy, bool leaves)
{
	struct lazy_block *block;

	pthread_mutex_lock(&lazy->lock);
	for (;;) {
		uint64_t now = lazy->sys->now_ns(), turn_ns;

		block = take_due(lazy, now);
		if (block || (lazy->ended && !lazy->waiting.first))
			break;
		if (leaves && !lazy->held && is_sweeping(lazy, now))
			break;
		turn_ns = next_turn_ns(lazy);
		if (!is_sweeping(lazy, now) && lazy->sweep_ns < turn_ns)
			turn_ns = lazy->sweep_ns;
		wait_until(lazy, turn_ns);
	}
	pthread_mutex_unlock(&lazy->lock);
	return block;
}

/* Caller holds the lock. */
static void note_cost(struct lazy *lazy, uint64_t bytes, uint64_t took_ns)
{
	uint64_t cost = took_ns * 1024 / bytes;

	lazy->byte_cost -= lazy->byte_cost / COST_WEIGHT;
	lazy->byte_cost += cost / COST_WEIGHT;
}

void lazy_done(struct lazy_block *block, uint64_t moved_bytes, uint64_t took_ns, bool again)
{
	struct lazy *lazy = block->lazy;

	pthread_mutex_lock(&lazy->lock);
	if (moved_bytes && block->why == LAZY_TOUCHED)
		lazy->info.touched_bytes += moved_bytes;
	else
		lazy->info.swept_bytes += moved_bytes;
	lazy->info.in_place_bytes += block->in_place_bytes;
	lazy->info.given_back += !moved_bytes && !block->in_place_bytes;
	lazy->put_off |= again;
	if (moved_bytes && took_ns)
		note_cost(lazy, moved_bytes, took_ns);
	lazy->out--;
	pthread_cond_broadcast(&lazy->changed);
	pthread_mutex_unlock(&lazy->lock);
}

void lazy_swept(struct lazy *lazy, uint64_t bytes)
{
	pthread_mutex_lock(&lazy->lock);
	lazy->info.swept_bytes += bytes;
	pthread_mutex_unlock(&lazy->lock);
}

void lazy_info(struct lazy *lazy, struct gmig_lazy_info *info)
{
	pthread_mutex_lock(&lazy->lock);
	*info = lazy->info;
	pthread_mutex_unlock(&lazy->lock);
}

/* ---- Whose results are needed ------------------------------------------------------------------------ */

/* Caller holds the lock. NULL: nobody keeps it. */
static struct kept *find_kept(struct lazy *lazy, uint64_t block_gfn)
{
	for (unsigned int i = 0; i < KEPT; i++)
		if (lazy->kept[i].by && lazy->kept[i].block_gfn == block_gfn)
			return &lazy->kept[i];
	return NULL;
}

void lazy_keep(struct lazy *lazy, uint64_t block_gfn)
{
	struct kept *kept;

	pthread_mutex_lock(&lazy->lock);
	kept = find_kept(lazy, block_gfn);
	for (unsigned int i = 0; !kept && i < KEPT; i++)
		if (!lazy->kept[i].by) {
			kept = &lazy->kept[i];
			*kept = (struct kept){block_gfn, 1}; /* the taker */
		}
	if (kept)
		kept->by++;
	pthread_mutex_unlock(&lazy->lock);
}

bool lazy_release(struct lazy *lazy, uint64_t block_gfn)
{
	struct kept *kept;
	bool last;

	pthread_mutex_lock(&lazy->lock);
	kept = find_kept(lazy, block_gfn);
	last = !kept || !--kept->by;
	pthread_mutex_unlock(&lazy->lock);
	return last;
}
