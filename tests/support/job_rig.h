/*
 * A job over a memory and a mover that are arrays, by a clock that stands still but for what waits and what is said to take time.
 * Each step is written down: a test compares the words. Static, for one test program.
 */
#ifndef TEST_JOB_RIG_H
#define TEST_JOB_RIG_H

#include "../../migrate/jobs/job.h"
#include "../../migrate/jobs/job_info.h"
#include "suite.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define BLOCKS	   16u
#define B	   GMIG_BLOCK_PAGES
#define PAGES	   (BLOCKS * B)
#define NOWHERE	   GMIG_NO_NODE
#define PAGE(b, i) (B * (b) + (i))
#define US	   1000ull
#define MS	   1000000ull
#define MOVE_NS	   (10 * US) /* what each call of the mover takes */

static struct {
	uint64_t now;
	pthread_t main;
	uint16_t node[PAGES]; /* NOWHERE: no memory */
	enum shadow_state state[PAGES];
	bool huge[BLOCKS];
	char said[16384];
	size_t length;
	pthread_mutex_t lock; /* guards said and length */
	atomic_uint walks;    /* so far */
	int walk_fails; /* -errno of each walk from the first one on that at_walk has it fail */
	void (*at_walk)(uint64_t gfn);
	int (*at_prepare)(struct mover_ticket *ticket);
	void (*at_claim)(struct claim *claim);
	void (*at_move)(struct mover_ticket *ticket);
	void (*at_refresh)(void);
	void (*at_wait)(void); /* of a worker, for its turn; with job.lock */
	void (*at_rest)(void);
	int ready; /* what ready() says */
	struct gmig_trace_record record[64];
	size_t records;
	struct gmig_job_info info;
} fake;

static struct gmig_job *job;
static struct memory memory;
static struct memory_ops memory_ops;
static struct mover mover;
static struct gmig_sys sys;

__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
	va_list list;

	pthread_mutex_lock(&fake.lock);
	va_start(list, format);
	fake.length += (size_t)vsnprintf(fake.said + fake.length, sizeof(fake.said) - fake.length,
					 format, list);
	va_end(list);
	/* An assertion would take memory, which there may be none of. */
	if (fake.length >= sizeof(fake.said))
		abort();
	pthread_mutex_unlock(&fake.lock);
}

/* What was said since the last time. */
static inline void assert_said(const char *words)
{
	ck_assert_str_eq(fake.said, words);
	fake.length = 0;
	fake.said[0] = '\0';
}

static inline void say_pages(const struct bits *pages)
{
	unsigned int first = 0, count;
	const char *sign = " ";

	if (bits_full(pages))
		return say(" all");
	for (; (count = bits_run(pages, &first)); first += count, sign = ",")
		say(count > 1 ? "%s%u-%u" : "%s%u", sign, first, first + count - 1);
}

/* ---- The clock ---------------------------------------------------------------------------------- */

static inline uint64_t fake_now(void)
{
	return __atomic_load_n(&fake.now, __ATOMIC_RELAXED);
}

static inline void pass_time(uint64_t ns)
{
	__atomic_fetch_add(&fake.now, ns, __ATOMIC_RELAXED);
}

/* The job's thread waits for its workers, by whom time passes; whoever else waits has it pass. */
static inline int fake_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	if (pthread_equal(pthread_self(), fake.main) && job->working)
		return -pthread_cond_wait(cond, mutex);
	if (deadline_ns > fake_now())
		pass_time(deadline_ns - fake_now());
	if (fake.at_wait && !pthread_equal(pthread_self(), fake.main))
		fake.at_wait();
	return -ETIMEDOUT;
}

static inline void fake_sleep(uint64_t ns)
{
	say("rest %llu\n", (unsigned long long)(ns / US));
	pass_time(ns);
	if (fake.at_rest)
		fake.at_rest();
}

/* ---- The memory --------------------------------------------------------------------------------- */

/* The entry that has this page. */
static inline int visit_page(uint64_t page, shadow_visit *visit, void *arg)
{
	bool huge = fake.huge[page / B];
	uint64_t first = huge ? page / B * B : page;
	const struct shadow_entry entry = {
	    .state = fake.node[first] == NOWHERE ? SHADOW_NONE : fake.state[first],
	    .order = huge ? 9 : 0,
	    .node = fake.node[first],
	};

	return visit(arg, first, &entry);
}

static inline int fake_walk(struct memory *of, uint64_t gfn, uint64_t pages, shadow_visit *visit,
			    void *arg)
{
	int ret = 0;

	(void)of;
	atomic_fetch_add(&fake.walks, 1);
	if (fake.at_walk)
		fake.at_walk(gfn);
	for (uint64_t at = gfn; at < gfn + pages && !ret && !fake.walk_fails;
	     at += fake.huge[at / B] ? B : 1)
		ret = visit_page(at, visit, arg);
	return fake.walk_fails ? fake.walk_fails : ret;
}

static inline int fake_ranges(struct memory *of, const struct gmig_job_spec *spec,
			      struct memory_range **ranges, size_t *count)
{
	(void)of, (void)spec;
	*ranges = calloc(1, sizeof(**ranges));
	if (!*ranges)
		return -ENOMEM;
	(*ranges)->pages = PAGES;
	*count = 1;
	return 0;
}

static inline void fake_refresh(struct memory *of, const struct memory_range *range,
				bool (*stop)(void *arg), void *arg)
{
	(void)of, (void)stop, (void)arg;
	say("refresh %llu+%llu\n", (unsigned long long)(range->gfn / B),
	    (unsigned long long)(range->pages / B));
	if (fake.at_refresh)
		fake.at_refresh();
}

static inline uint64_t fake_on_node(struct memory *of, const struct gmig_job_spec *spec,
				    unsigned int node)
{
	uint64_t pages = 0;

	(void)of, (void)spec;
	for (uint64_t i = 0; i < PAGES; i++)
		pages += fake.node[i] == node;
	return pages * GMIG_PAGE_BYTES;
}

static inline void fake_claim(struct memory *of, struct claim *claim, struct bits *refused)
{
	(void)of;
	if (fake.at_claim)
		fake.at_claim(claim);
	bits_clear_all(refused);
	for (unsigned int i = 0; i < B; i++)
		if (bits_get(&claim->pages, i) && (fake.node[claim->block_gfn + i] != claim->from ||
						   fake.huge[claim->block_gfn / B] != claim->huge))
			bits_set(refused, i);
	bits_remove(&claim->pages, refused);
	say("claim");
	say_pages(&claim->pages);
	say("\n");
}

static inline void fake_settle(struct claim *claim, const struct claim_result *result)
{
	say("settle");
	say_pages(&result->moved);
	if (!bits_empty(&result->gone))
		say(" gone");
	say_pages(&result->gone);
	say("\n");
	for (unsigned int i = 0; i < B; i++)
		if (bits_get(&result->moved, i))
			fake.node[claim->block_gfn + i] = (uint16_t)claim->to;
		else if (bits_get(&result->gone, i))
			fake.node[claim->block_gfn + i] = NOWHERE;
}

static inline void fake_abandon(struct claim *claim)
{
	say("abandon %llu\n", (unsigned long long)(claim->block_gfn / B));
}

static inline int fake_ready(struct memory *of, const struct gmig_job_spec *spec,
			     struct gmig_error *err)
{
	(void)of, (void)spec;
	return fake.ready ? gmig_fail(err, fake.ready, "not ready") : 0;
}

static inline void fake_thread(void *opaque, const struct gmig_thread *thread, bool begins)
{
	(void)opaque;
	ck_assert_int_eq(thread->kind, GMIG_THREAD_COPY);
	ck_assert_ptr_eq(thread->spec, &job->work.spec);
	say(begins ? "thread\n" : "thread ends\n");
}

/* ---- The mover ---------------------------------------------------------------------------------- */

static inline int fake_begin(struct mover_job *work, struct gmig_error *err)
{
	(void)work, (void)err;
	say("begin\n");
	return 0;
}

static inline void fake_end(struct mover_job *work)
{
	(void)work;
	say("end\n");
}

static inline int fake_worker_begin(struct mover_worker *worker)
{
	(void)worker;
	return 0;
}

static inline void fake_worker_end(struct mover_worker *worker)
{
	(void)worker;
}

static inline int fake_prepare(struct mover_worker *worker, struct mover_ticket *ticket)
{
	int ret;

	(void)worker;
	say("%llu: %u>%u%s", (unsigned long long)(ticket->block_gfn / B), ticket->from, ticket->to,
	    ticket->huge ? " huge" : "");
	say_pages(&ticket->pages);
	pass_time(MOVE_NS);
	ret = fake.at_prepare ? fake.at_prepare(ticket) : 0;
	say(ret ? " %s\n" : "\n", ret ? gmig_errno_name(ret) : "");
	return ret;
}

static inline void fake_move(struct mover_worker *worker, struct mover_ticket **tickets,
			     unsigned int count)
{
	(void)worker;
	if (count)
		say("move %u\n", count);
	pass_time(MOVE_NS);
	for (unsigned int i = 0; i < count; i++) {
		tickets[i]->moved = tickets[i]->pages;
		if (fake.at_move)
			fake.at_move(tickets[i]);
	}
}

static inline void fake_finish(struct mover_worker *worker, struct mover_ticket *ticket)
{
	(void)worker;
	say("finish %llu\n", (unsigned long long)(ticket->block_gfn / B));
	pass_time(MOVE_NS);
}

/* ---- The job ------------------------------------------------------------------------------------ */

static inline void put_pages(uint64_t block, unsigned int first, unsigned int count, uint16_t node)
{
	for (unsigned int i = first; i < first + count; i++)
		fake.node[PAGE(block, i)] = node;
}

static inline void put_small(uint64_t block, uint16_t node)
{
	put_pages(block, 0, B, node);
}

static inline void put_huge(uint64_t block, uint16_t node)
{
	put_small(block, node);
	fake.huge[block] = true;
}

static inline void setup(void)
{
	memset(&fake, 0, sizeof(fake));
	pthread_mutex_init(&fake.lock, NULL);
	fake.main = pthread_self();
	fake.now = 1000000 * MS;
	for (unsigned int i = 0; i < PAGES; i++) {
		fake.node[i] = NOWHERE;
		fake.state[i] = SHADOW_PRESENT;
	}
	sys = gmig_sys_real;
	sys.now_ns = fake_now;
	sys.wait_until = fake_wait;
	sys.sleep_ns = fake_sleep;
	memory_ops = (struct memory_ops){.name = "fake",
					 .ranges = fake_ranges,
					 .refresh = fake_refresh,
					 .walk = fake_walk,
					 .on_node = fake_on_node,
					 .claim = fake_claim,
					 .settle = fake_settle,
					 .abandon = fake_abandon,
					 .ready = fake_ready};
	mover = (struct mover){.name = "fake",
			       .tickets = 1,
			       .begin = fake_begin,
			       .end = fake_end,
			       .worker_begin = fake_worker_begin,
			       .worker_end = fake_worker_end,
			       .prepare = fake_prepare,
			       .move = fake_move,
			       .finish = fake_finish};
	memset(&memory, 0, sizeof(memory));
	memory.ops = &memory_ops;
	memory.sys = &sys;
	memory.next_job_id = 8;
	pthread_mutex_init(&memory.jobs_lock, NULL);
	pthread_mutex_init(&memory.slowdown_lock, NULL);
}

/* A job that takes node i to to[i]; GMIG_NO_NODE ends it. */
static inline void make(const uint16_t *to)
{
	struct plan_map map;

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		map.to[node] = GMIG_NO_NODE;
	for (unsigned int node = 0; to[node] != NOWHERE; node++)
		if (to[node] != node)
			map.to[node] = to[node];
	job = calloc(1, sizeof(*job));
	job->memory = job->work.memory = &memory;
	job->mover = &mover;
	job->work.spec.threads = 1;
	job->work.spec.trace = true;
	job->work.id = 7;
	pthread_mutex_init(&job->lock, NULL);
	gmig_sys_cond_init(&job->changed);
	job->start_ns = fake_now();
	plan_create(&map, &job->plan);
	ck_assert_int_eq(status_create(&job->status), 0);
	ck_assert_int_eq(trace_create(64, &job->trace), 0);
	ck_assert_int_eq(later_create(false, &job->later), 0);
	job->plan.later = later_target;
	job->plan.later_arg = job->later;
	atomic_store(&job->refs, 2);
}

/* ---- A job that was accepted before -------------------------------------------------------------- */

static struct gmig_job *older;

/* It runs, and takes one node to another. */
static inline void make_older(unsigned int from, uint16_t to)
{
	struct plan_map map;

	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++)
		map.to[node] = GMIG_NO_NODE;
	map.to[from] = to;
	older = calloc(1, sizeof(*older));
	older->memory = &memory;
	older->work.id = 3;
	older->state = GMIG_JOB_RUNNING;
	pthread_mutex_init(&older->lock, NULL);
	gmig_sys_cond_init(&older->changed);
	plan_create(&map, &older->plan);
	ck_assert_int_eq(later_create(false, &older->later), 0);
	atomic_store(&older->refs, 1);
	atomic_store(&older->has_looked, true);
	memory.jobs = older;
}

static inline void free_older(void)
{
	ck_assert_uint_eq(atomic_load(&older->refs), 1);
	memory.jobs = NULL;
	gmig_job_put(older);
}

/* ---- It runs ------------------------------------------------------------------------------------ */

/* From its first step to its last; what it says at the end is in fake.info, and its records. The job is the caller's to put. */
static inline void run(enum gmig_job_state state)
{
	job_thread(job);
	gmig_job_info(job, &fake.info);
	fake.records = gmig_job_trace(job, 0, fake.record, 64);
	ck_assert_int_eq(fake.info.state, state);
	ck_assert_int_eq(status_set(job->status, 0, 1, 0),
			 -EINVAL); /* nobody sets results any more */
	ck_assert_ptr_null(job->set.word);
	ck_assert_ptr_null(job->ranges);
	ck_assert(atomic_load(&job->has_looked));
	ck_assert_uint_eq(fake.info.total_bytes, fake.info.moved_bytes + fake.info.remaining_bytes +
						     fake.info.gone_bytes +
						     fake.info.by_others_bytes);
}

/* Pages moved, remaining, gone, and moved by others. */
static inline void assert_pages(uint64_t moved, uint64_t remaining, uint64_t gone,
				uint64_t by_others)
{
	ck_assert_uint_eq(fake.info.moved_bytes / GMIG_PAGE_BYTES, moved);
	ck_assert_uint_eq(fake.info.remaining_bytes / GMIG_PAGE_BYTES, remaining);
	ck_assert_uint_eq(fake.info.gone_bytes / GMIG_PAGE_BYTES, gone);
	ck_assert_uint_eq(fake.info.by_others_bytes / GMIG_PAGE_BYTES, by_others);
}

static inline void assert_remaining(unsigned int i, int error, uint64_t pages)
{
	ck_assert_uint_lt(i, fake.info.remaining_count);
	ck_assert_int_eq(fake.info.remaining[i].error, error);
	ck_assert_uint_eq(fake.info.remaining[i].pages, pages);
}

/* Pages of a block that lie on a node. */
static inline unsigned int count_on(uint64_t block, uint16_t node)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < B; i++)
		count += fake.node[PAGE(block, i)] == node;
	return count;
}

static inline void teardown(void)
{
	if (job)
		gmig_job_put(job);
	pthread_mutex_destroy(&memory.jobs_lock);
	pthread_mutex_destroy(&memory.slowdown_lock);
}

#endif
