/* virtio-rng: random bytes from the host's getrandom(2). Served on the I/O thread. */
#include "device_ops.h"
#include "kick.h"
#include "virtio_pci.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define QUEUE_SIZE  8
#define CHUNK_BYTES 256u /* getrandom(2) is never short up to this size */
#define ANSWER_BYTES                                                                               \
	65536u /* a longer request is answered in part, so that it cannot occupy the I/O thread */
#define BATCH 16

struct rng {
	struct virtio_device device;
	struct kick kick;
	struct virtio_chain chain;
};

static uint32_t fill(struct virtio_chain *chain)
{
	uint8_t chunk[CHUNK_BYTES];
	size_t wanted = chain->in_bytes < ANSWER_BYTES ? chain->in_bytes : ANSWER_BYTES, done = 0;

	while (done < wanted) {
		size_t part = wanted - done < sizeof(chunk) ? wanted - done : sizeof(chunk);

		if (getrandom(chunk, part, 0) != (ssize_t)part)
			break;
		virtio_write_pieces(virtio_chain_in(chain), chain->in_count, done, chunk, part);
		done += part;
	}
	return (uint32_t)done;
}

static void serve(void *opaque)
{
	struct rng *rng = opaque;
	int left = BATCH;

	pthread_mutex_lock(&rng->device.lock);
	while (left && virtio_device_pop(&rng->device, 0, &rng->chain) > 0) {
		virtio_device_push(&rng->device, 0, rng->chain.head, fill(&rng->chain));
		left--;
	}
	pthread_mutex_unlock(&rng->device.lock);
	/* Other handlers of this thread must run, too. */
	if (!left)
		kick_ring(&rng->kick);
}

static void rng_start(void *opaque)
{
	struct rng *rng = opaque;

	kick_ring(&rng->kick);
}

static void rng_stop(void *opaque)
{
	(void)opaque; /* nothing is kept between two calls of serve() */
}

static void rng_notify(void *opaque, unsigned int queue)
{
	(void)queue;
	rng_start(opaque);
}

static const struct virtio_ops rng_ops = {
    .name = "rng",
    .id = VIRTIO_ID_RNG,
    .class_code = 0x00ff00,
    .start = rng_start,
    .stop = rng_stop,
    .notify = rng_notify,
};

static void rng_destroy(void *state)
{
	struct rng *rng = state;

	kick_destroy(&rng->kick);
	virtio_device_destroy(&rng->device);
	free(rng);
}

static int rng_create(struct device_context *context, unsigned int index, void **state,
		      struct gmig_error *err)
{
	static const uint16_t queue_sizes[] = {QUEUE_SIZE};
	struct rng *rng = calloc(1, sizeof(*rng));
	const struct virtio_spec spec = {
	    .ops = &rng_ops, .opaque = rng, .queue_sizes = queue_sizes, .queue_count = 1};
	int ret;

	(void)index;
	if (!rng)
		return gmig_fail(err, -ENOMEM, "rng: out of memory");
	rng->kick.fd = -1;
	ret = virtio_device_create(&rng->device, context->vmm, context->pci, &spec, err);
	if (!ret) {
		ret = kick_create(&rng->kick, context->vmm, serve, rng);
		if (ret)
			gmig_fail(err, ret, "rng: %s", strerror(-ret));
	}
	if (ret) {
		rng_destroy(rng);
		return ret;
	}
	*state = rng;
	return 0;
}

static void rng_reset(void *state)
{
	struct rng *rng = state;

	virtio_device_reset(&rng->device);
}

static int rng_pause(void *state, int timeout_ms, struct gmig_error *err)
{
	struct rng *rng = state;

	return virtio_device_pause(&rng->device, timeout_ms, err);
}

static void rng_resume(void *state)
{
	struct rng *rng = state;

	virtio_device_resume(&rng->device);
}

const struct device_ops rng_device = {
    .name = "rng",
    .create = rng_create,
    .reset = rng_reset,
    .pause = rng_pause,
    .resume = rng_resume,
    .destroy = rng_destroy,
};
