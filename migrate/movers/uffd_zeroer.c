#include "uffd_zeroer.h"

#include "../memory/engine.h"
#include "../memory/frame.h"

#include <stdlib.h>

#define ZEROER_BYTES (FRAME_BATCH * GMIG_BLOCK_BYTES)

struct uffd_zeroer {
	struct mover_job *job;
	unsigned int index;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	/* guarded by lock */
	bool ending;
	unsigned int blocks; /* that the worker has begun */
	unsigned int from, to;
	bool full;
};

struct order {
	unsigned int from, to, blocks;
	bool full, ending;
};

static struct order order_of(struct uffd_zeroer *zeroer)
{
	struct order order;

	pthread_mutex_lock(&zeroer->lock);
	order =
	    (struct order){zeroer->from, zeroer->to, zeroer->blocks, zeroer->full, zeroer->ending};
	pthread_mutex_unlock(&zeroer->lock);
	return order;
}

static unsigned int stock_size(struct mover_job *job)
{
	size_t ahead = atomic_load(&job->ahead);

	/* What waits for a touch is not ahead any more, and its touchers sleep until there is a frame. */
	if (job->spec.mode == GMIG_MODE_LAZY)
		return FRAME_BATCH;
	return ahead < FRAME_BATCH ? (unsigned int)ahead : FRAME_BATCH;
}

/* One step of work; false: nothing to do until the worker begins another block. */
static bool supply(struct uffd_zeroer *zeroer, const struct order *order)
{
	struct mover_job *job = zeroer->job;
	struct gmig *gmig = engine_of(job->memory);
	struct frame_want want = {.node = order->to,
				  .worker = zeroer->index,
				  .huge = !gmig->options.small_pages,
				  .clean = job->spec.frames == GMIG_FRAMES_FRESH};

	if (order->to == GMIG_NO_NODE)
		return false;
	bits_fill(&want.need);
	frame_trim(gmig->frames, order->from);
	if (order->full)
		return false;
	return frame_stock(gmig->frames, &want, stock_size(job)) == 1;
}

static void *zeroer_thread(void *arg)
{
	struct uffd_zeroer *zeroer = arg;
	const struct gmig_thread thread = {.kind = GMIG_THREAD_ZERO, .spec = &zeroer->job->spec};
	struct order order = order_of(zeroer);

	memory_tell_thread(zeroer->job->memory, &thread, true);
	while (!order.ending) {
		unsigned int seen = order.blocks;

		while (!order.ending && supply(zeroer, &order))
			order = order_of(zeroer);
		pthread_mutex_lock(&zeroer->lock);
		while (!zeroer->ending && zeroer->blocks == seen)
			pthread_cond_wait(&zeroer->wanted, &zeroer->lock);
		pthread_mutex_unlock(&zeroer->lock);
		order = order_of(zeroer);
	}
	memory_tell_thread(zeroer->job->memory, &thread, false);
	return NULL;
}

struct uffd_zeroer *uffd_zeroer_start(struct mover_job *job, unsigned int index)
{
	struct uffd_zeroer *zeroer;

	if (job->single || (engine_of(job->memory)->fake && job->spec.frames != GMIG_FRAMES_FRESH))
		return NULL;
	/* Too little for frames made ahead, and for the thread itself. */
	if (policy_extra_max(engine_of(job->memory)->policy) < ZEROER_BYTES)
		return NULL;
	zeroer = calloc(1, sizeof(*zeroer));
	if (!zeroer)
		return NULL;
	zeroer->job = job;
	zeroer->index = index;
	zeroer->from = zeroer->to = GMIG_NO_NODE;
	pthread_mutex_init(&zeroer->lock, NULL);
	pthread_cond_init(&zeroer->wanted, NULL);
	if (!pthread_create(&zeroer->thread, NULL, zeroer_thread, zeroer))
		return zeroer;
	pthread_cond_destroy(&zeroer->wanted);
	pthread_mutex_destroy(&zeroer->lock);
	free(zeroer);
	return NULL;
}

void uffd_zeroer_wake(struct uffd_zeroer *zeroer, unsigned int from, unsigned int to, bool full)
{
	pthread_mutex_lock(&zeroer->lock);
	zeroer->from = from;
	zeroer->to = to;
	zeroer->full = full;
	zeroer->blocks++;
	pthread_cond_signal(&zeroer->wanted);
	pthread_mutex_unlock(&zeroer->lock);
}

void uffd_zeroer_stop(struct uffd_zeroer *zeroer)
{
	if (!zeroer)
		return;
	pthread_mutex_lock(&zeroer->lock);
	zeroer->ending = true;
	pthread_cond_signal(&zeroer->wanted);
	pthread_mutex_unlock(&zeroer->lock);
	pthread_join(zeroer->thread, NULL);
	pthread_cond_destroy(&zeroer->wanted);
	pthread_mutex_destroy(&zeroer->lock);
	free(zeroer);
}
