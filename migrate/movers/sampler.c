#include "sampler.h"

#include "../core/permute.h"
#include "../memory/fixed.h"
#include "../memory/region.h"
#include "../memory/toucher.h"
#include "legal.h"
#include "sample_block.h"

#include <errno.h>
#include <stdlib.h>

#define NS	     1000000000ull
#define LOOKS	     256       /* blocks that are looked at for one to take */
#define FRUITLESS_NS 10000000u /* until the next look, when none of them could be taken */
#define COST_NS	     100000u   /* of a block that is missed, before any was */
#define COST_WEIGHT  8	       /* of the last one: one in so many */
#define LATE	     4	       /* turns that are made up for, when something took long */

enum out_state { OUT_FREE, OUT_TAKING, OUT_WAITING };

/* A block that is out, or on its way. */
struct out {
	struct sampler *sampler;
	enum out_state state; /* written by the sampler's thread */
	struct sample sample; /* that thread's */
	/* guarded by sampler.lock */
	bool missed, wanted; /* by a thread; by somebody who is none of the guest's */
	bool vcpu;
	int tid;
	uint64_t missed_ns;
};

struct sampler {
	struct gmig *gmig;
	struct heat *heat;
	struct mover_job job; /* as the mover sees it */
	struct mover_worker worker;
	pthread_t thread;

	/* The sampler's thread: where it is in its round over all blocks. */
	struct permute order;
	uint64_t next, seed;
	uint64_t next_ns;
	uint64_t cost_ns;
	struct out out[SAMPLER_BLOCKS];

	pthread_mutex_t lock; /* a leaf, below stripe.lock */
	pthread_cond_t changed;
	/* guarded by lock */
	bool ending, held, failed;
	struct slowdown meter; /* of the samples alone: what jobs cost is not theirs to pay for */
	struct slowdown_budget budget;
	uint64_t rest_ns; /* others want memory: nothing is taken before */
	uint64_t since_ns;
	struct gmig_sampling_info info;
};

/* ---- Which block is next ------------------------------------------------------------------------- */

static bool is_sampled(const struct region *region)
{
	return legal_by_frames(region->kind);
}

static uint64_t count_blocks(struct gmig *gmig)
{
	uint64_t blocks = 0;

	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++)
		if (is_sampled(&gmig->regions[i]))
			blocks += gmig->regions[i].pages / GMIG_BLOCK_PAGES;
	return blocks;
}

/* The block that is number `at` of those that are sampled. */
static uint64_t nth_block(struct gmig *gmig, uint64_t at)
{
	for (unsigned int i = 0; i < atomic_load(&gmig->region_count); i++) {
		const struct region *region = &gmig->regions[i];
		uint64_t blocks = region->pages / GMIG_BLOCK_PAGES;

		if (is_sampled(region) && at < blocks)
			return region->gfn + at * GMIG_BLOCK_PAGES;
		at -= is_sampled(region) ? blocks : 0;
	}
	return 0;
}

/* All blocks have one turn in each round, in an order that no sweep of the guest runs along with. */
static uint64_t next_block(struct sampler *sampler)
{
	if (sampler->next >= sampler->order.count) {
		pthread_mutex_lock(&sampler->lock);
		sampler->info.rounds += sampler->next != 0;
		pthread_mutex_unlock(&sampler->lock);
		permute_init(&sampler->order, count_blocks(sampler->gmig), ++sampler->seed);
		sampler->next = 0;
	}
	return nth_block(sampler->gmig, permute_at(&sampler->order, sampler->next++));
}

/* Of a block of small pages another part could be taken at the same time. */
static bool is_out(const struct sampler *sampler, uint64_t block_gfn)
{
	for (unsigned int i = 0; i < SAMPLER_BLOCKS; i++)
		if (sampler->out[i].state == OUT_WAITING &&
		    sampler->out[i].sample.ticket.block_gfn == block_gfn)
			return true;
	return false;
}

/* false: nothing that was looked at can be taken. */
static bool find(struct sampler *sampler, struct sample *sample)
{
	uint64_t now = sampler->gmig->sys->now_ns();

	for (unsigned int i = 0; i < LOOKS; i++) {
		uint64_t gfn = next_block(sampler);
		bool empty = false;

		if (is_out(sampler, gfn) || fixed_is(sampler->gmig, gfn) ||
		    heat_was_moved(sampler->heat, gfn / GMIG_BLOCK_PAGES, now))
			continue;
		if (sample_choose(sampler->gmig, gfn, (unsigned int)sampler->seed, sample, &empty))
			return true;
		if (empty)
			heat_forget(sampler->heat, gfn / GMIG_BLOCK_PAGES);
	}
	return false;
}

/* ---- Costs ------------------------------------------------------------------------------------------ */

/* Of a block that is back, or was not taken. */
static void charge(struct sampler *sampler, const struct sample *sample)
{
	struct memory *memory = &sampler->gmig->memory;
	unsigned int vcpus = memory->ops->vcpus(memory);
	uint64_t slept_ns = sample->ticket.claim.slept.ns;
	uint64_t lost_ns = slept_ns / (vcpus ? vcpus : 1) + sample->held_ns;
	uint64_t now = memory->sys->now_ns();

	pthread_mutex_lock(&sampler->lock);
	slowdown_charge(&sampler->meter, 0, lost_ns, now);
	sampler->info.slept_ns += slept_ns;
	sampler->info.held_ns += sample->held_ns;
	pthread_mutex_unlock(&sampler->lock);
	sampler->cost_ns -= sampler->cost_ns / COST_WEIGHT;
	sampler->cost_ns += lost_ns / COST_WEIGHT;
	/* Jobs that have a budget are to know of it. */
	pthread_mutex_lock(&memory->slowdown_lock);
	slowdown_charge(&memory->slowdown, 0, lost_ns, now);
	pthread_mutex_unlock(&memory->slowdown_lock);
}

/* Caller holds the lock. 0: a block may be taken now; else how long to wait before asking again. */
static uint64_t turn(struct sampler *sampler, uint64_t now)
{
	uint64_t wait = slowdown_turn(&sampler->meter, &sampler->budget, sampler->cost_ns, now);

	/* What was reserved is not needed: the next one is not taken before this one was charged for. */
	if (!wait)
		slowdown_charge(&sampler->meter, sampler->cost_ns, 0, now);
	return wait;
}

/* ---- A block -------------------------------------------------------------------------------------------- */

/* claim.touched, under stripe.lock. */
static void touched(void *arg, const struct claim_touch *touch)
{
	struct out *out = arg;
	struct sampler *sampler = out->sampler;

	pthread_mutex_lock(&sampler->lock);
	if (!touch->tid) {
		out->wanted = true;
		sampler->rest_ns = sampler->gmig->sys->now_ns() + HEAT_WINDOW_NS;
	} else if (!out->missed) {
		out->missed = true;
		out->missed_ns = sampler->gmig->sys->now_ns();
		out->vcpu = touch->vcpu;
		out->tid = touch->tid;
	}
	pthread_cond_signal(&sampler->changed);
	pthread_mutex_unlock(&sampler->lock);
}

static void note_failure(struct sampler *sampler, const struct sample *sample)
{
	if (!sample->ticket.lost)
		return;
	pthread_mutex_lock(&sampler->lock);
	sampler->failed = true;
	pthread_mutex_unlock(&sampler->lock);
}

static struct out *free_place(struct sampler *sampler)
{
	for (unsigned int i = 0; i < SAMPLER_BLOCKS; i++)
		if (sampler->out[i].state == OUT_FREE)
			return &sampler->out[i];
	return NULL;
}

static void take(struct sampler *sampler)
{
	struct out *out = free_place(sampler);
	bool taken;

	pthread_mutex_lock(&sampler->lock);
	out->missed = out->wanted = out->vcpu = false;
	out->tid = 0;
	pthread_mutex_unlock(&sampler->lock);
	if (!find(sampler, &out->sample)) {
		sampler->next_ns = sampler->gmig->sys->now_ns() + FRUITLESS_NS;
		return;
	}
	out->state = OUT_TAKING;
	taken = sample_take(&sampler->worker, &out->sample, touched, out);
	out->state = taken ? OUT_WAITING : OUT_FREE;
	pthread_mutex_lock(&sampler->lock);
	sampler->info.waiting += taken;
	sampler->info.given_up += !taken;
	pthread_mutex_unlock(&sampler->lock);
	if (taken)
		return;
	charge(sampler, &out->sample);
	note_failure(sampler, &out->sample);
}

/* What a block that is back tells. interrupted: it did not wait to the end. */
static void learn(struct sampler *sampler, const struct out *out, bool interrupted)
{
	const struct sample *sample = &out->sample;
	struct gmig *gmig = sampler->gmig;
	unsigned int node = GMIG_NO_NODE;
	uint64_t after_ns = HEAT_WINDOW_NS;
	bool tells = !out->wanted && (out->missed || !interrupted) && !sample->ticket.lost;

	if (out->missed)
		after_ns = out->missed_ns > sample->out_ns ? out->missed_ns - sample->out_ns : 0;
	if (tells && out->missed && out->vcpu)
		node = toucher_node(gmig, sample->ticket.claim.region, out->tid);
	if (tells && heat_note(sampler->heat, sample->ticket.block_gfn / GMIG_BLOCK_PAGES, after_ns,
			       node, gmig->sys->now_ns()))
		tells = false;
	pthread_mutex_lock(&sampler->lock);
	sampler->info.waiting--;
	sampler->info.given_up += !tells;
	sampler->info.touched += tells && out->missed;
	sampler->info.untouched += tells && !out->missed;
	sampler->info.touched_by_vcpu += tells && out->missed && out->vcpu;
	pthread_mutex_unlock(&sampler->lock);
}

static void bring_back(struct sampler *sampler, struct out *out, bool interrupted)
{
	sample_return(&sampler->worker, &out->sample);
	charge(sampler, &out->sample);
	/* Nobody tells of touches any more: its claim is settled. */
	learn(sampler, out, interrupted);
	note_failure(sampler, &out->sample);
	out->state = OUT_FREE;
}

/* ---- The thread --------------------------------------------------------------------------------------------- */

/* Whoever waits goes first, the longest first; else the first block that has been out for long enough, or has to come back. */
static bool is_due_before(const struct out *out, const struct out *due, bool all, uint64_t now)
{
	if (out->missed)
		return !due || !due->missed || out->missed_ns < due->missed_ns;
	return !due && (out->wanted || all || now >= out->sample.out_ns + HEAT_WINDOW_NS);
}

/* Caller holds the lock. NULL: none; *until_ns: when the first one will have waited for long enough, if that is earlier. */
static struct out *next_due(struct sampler *sampler, uint64_t now, uint64_t *until_ns)
{
	bool all = sampler->ending || sampler->held || sampler->failed;
	struct out *due = NULL;

	for (unsigned int i = 0; i < SAMPLER_BLOCKS; i++) {
		struct out *out = &sampler->out[i];
		uint64_t end_ns = out->sample.out_ns + HEAT_WINDOW_NS;

		if (out->state != OUT_WAITING)
			continue;
		if (is_due_before(out, due, all, now))
			due = out;
		if (end_ns < *until_ns)
			*until_ns = end_ns;
	}
	return due;
}

/* Caller holds the lock. Is it time for another block? *until_ns: when to ask again, if that is earlier. */
static bool may_take(struct sampler *sampler, uint64_t now, uint64_t *until_ns)
{
	uint64_t interval = NS / sampler->info.how.blocks_per_second, wait;

	if (sampler->ending || sampler->held || sampler->failed || !free_place(sampler))
		return false;
	wait = now < sampler->next_ns	? sampler->next_ns - now
	       : now < sampler->rest_ns ? sampler->rest_ns - now
					: turn(sampler, now);
	if (wait) {
		if (now + wait < *until_ns)
			*until_ns = now + wait;
		return false;
	}
	if (sampler->next_ns + LATE * interval < now)
		sampler->next_ns = now;
	sampler->next_ns += interval;
	return true;
}

/* Caller holds the lock. false: it is to end, and nothing is out. */
static bool step(struct sampler *sampler)
{
	uint64_t until_ns = UINT64_MAX, now = sampler->gmig->sys->now_ns();
	struct out *due = next_due(sampler, now, &until_ns);
	bool interrupted = sampler->ending || sampler->held || sampler->failed;

	if (due || may_take(sampler, now, &until_ns)) {
		pthread_mutex_unlock(&sampler->lock);
		if (due)
			bring_back(sampler, due,
				   interrupted && now < due->sample.out_ns + HEAT_WINDOW_NS);
		else
			take(sampler);
		pthread_mutex_lock(&sampler->lock);
		return true;
	}
	if (sampler->ending)
		return false;
	if (until_ns == UINT64_MAX)
		pthread_cond_wait(&sampler->changed, &sampler->lock);
	else
		sampler->gmig->sys->wait_until(&sampler->changed, &sampler->lock, until_ns);
	return true;
}

static void *sampler_thread(void *arg)
{
	const struct gmig_thread thread = {.kind = GMIG_THREAD_SAMPLE};
	struct sampler *sampler = arg;

	memory_tell_thread(&sampler->gmig->memory, &thread, true);
	pthread_mutex_lock(&sampler->lock);
	while (step(sampler))
		;
	pthread_mutex_unlock(&sampler->lock);
	memory_tell_thread(&sampler->gmig->memory, &thread, false);
	return NULL;
}

/* ---- On and off ------------------------------------------------------------------------------------------------ */

static void release(struct sampler *sampler)
{
	if (sampler->worker.state)
		mover_uffd.worker_end(&sampler->worker);
	if (sampler->job.state)
		mover_uffd.end(&sampler->job);
	gmig_topology_put(sampler->job.topology);
	pthread_cond_destroy(&sampler->changed);
	pthread_mutex_destroy(&sampler->lock);
	free(sampler);
}

static int begin(struct sampler *sampler, struct gmig_error *err)
{
	int ret = mover_uffd.begin(&sampler->job, err);

	if (ret)
		return ret;
	ret = mover_uffd.worker_begin(&sampler->worker);
	if (!ret)
		ret = -pthread_create(&sampler->thread, NULL, sampler_thread, sampler);
	return ret ? gmig_fail(err, ret, "cannot start sampling: %s", gmig_errno_name(ret)) : 0;
}

int sampler_start(struct gmig *gmig, struct heat *heat, const struct gmig_sampling *how,
		  struct sampler **out, struct gmig_error *err)
{
	struct sampler *sampler;
	int ret;

	if (!count_blocks(gmig))
		return gmig_fail(err, -EOPNOTSUPP,
				 "sampling takes blocks out by UFFDIO_MOVE, which is for private "
				 "anonymous memory: this guest has none");
	sampler = calloc(1, sizeof(*sampler));
	if (!sampler)
		return gmig_fail(err, -ENOMEM, "no memory for a sampler");
	sampler->gmig = gmig;
	sampler->heat = heat;
	sampler->job.memory = &gmig->memory;
	sampler->job.topology = memory_topology(&gmig->memory);
	sampler->job.spec.mode = GMIG_MODE_LAZY;
	sampler->job.spec.swapped = GMIG_SWAPPED_SKIP;
	sampler->job.samples = true;
	sampler->worker.job = &sampler->job;
	sampler->cost_ns = COST_NS;
	sampler->since_ns = gmig->sys->now_ns();
	sampler->seed = sampler->since_ns % UINT32_MAX;
	sampler->info.how = *how;
	sampler->held = gmig->sampling_held;
	slowdown_join(&sampler->meter, &sampler->budget, how->max_slowdown_ppm, sampler->since_ns);
	for (unsigned int i = 0; i < SAMPLER_BLOCKS; i++)
		sampler->out[i].sampler = sampler;
	pthread_mutex_init(&sampler->lock, NULL);
	gmig_sys_cond_init(&sampler->changed);
	ret = begin(sampler, err);
	if (ret) {
		release(sampler);
		return ret;
	}
	*out = sampler;
	return 0;
}

void sampler_stop(struct sampler *sampler)
{
	if (!sampler)
		return;
	pthread_mutex_lock(&sampler->lock);
	sampler->ending = true;
	pthread_cond_signal(&sampler->changed);
	pthread_mutex_unlock(&sampler->lock);
	pthread_join(sampler->thread, NULL);
	release(sampler);
}

void sampler_change(struct sampler *sampler, const struct gmig_sampling *how)
{
	pthread_mutex_lock(&sampler->lock);
	sampler->info.how = *how;
	sampler->budget.limit_ppm = how->max_slowdown_ppm;
	pthread_cond_signal(&sampler->changed);
	pthread_mutex_unlock(&sampler->lock);
}

void sampler_hold(struct sampler *sampler, bool held)
{
	pthread_mutex_lock(&sampler->lock);
	sampler->held = held;
	pthread_cond_signal(&sampler->changed);
	pthread_mutex_unlock(&sampler->lock);
}

void sampler_info(struct sampler *sampler, struct gmig_sampling_info *info)
{
	pthread_mutex_lock(&sampler->lock);
	*info = sampler->info;
	info->on = !sampler->failed;
	info->held = sampler->held;
	info->on_ns = sampler->gmig->sys->now_ns() - sampler->since_ns;
	info->slowdown_ppm = slowdown_share_ppm(&sampler->budget, info->on_ns);
	info->slowdown_worst_ppm = slowdown_worst_ppm(&sampler->budget);
	pthread_mutex_unlock(&sampler->lock);
}
