/*
 * virtio-blk on a raw file or a block device (blk_file.h). One worker thread per disk takes requests in order. Reads and writes
 * of a disk with an io_uring (blk_direct.h) fly: many at once, which end in any order. All others, a FLUSH above all, are served
 * one by one while nothing flies, and nothing begins meanwhile, so that a FLUSH covers all writes before it. So is a transfer
 * that flew and did not arrive as a whole. A driver that does not take FLUSH gets write-through: each write is on stable storage
 * before it is reported.
 *
 * The worker drops the device lock while it works on a request; a reset waits until it does not, and nothing flies.
 *
 * No room on the host (ENOSPC, EDQUOT): the request waits, and the guest is stopped until somebody has made room and continues
 * it; or, with on-full=error, the request fails.
 *
 * Source: Virtual I/O Device 1.2, 5.2.
 */
#include "blk_request.h"
#include "deadline.h"
#include "device_ops.h"
#include "virtio_pci.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE   256
#define SEG_MAX	     (QUEUE_SIZE - 2) /* header and status use one each */
#define FEATURE(bit) (1ull << (bit))

enum blk_slot_state {
	SLOT_FREE,
	SLOT_WAITS, /* to be served when nothing flies */
	SLOT_FLIES,
};

struct blk_slot {
	enum blk_slot_state state; /* guarded by device.lock */
	struct virtio_chain chain; /* the worker's, as the request is */
	struct blk_request request;
};

struct blk {
	struct virtio_device device;
	struct blk_file file;
	enum vmm_on_full on_full;
	char id[VIRTIO_BLK_ID_BYTES];
	struct virtio_blk_config config;
	pthread_t worker;
	bool worker_started;
	pthread_cond_t work, idle; /* with device.lock */
	/* guarded by device.lock */
	bool busy, ending;
	bool listens; /* the worker is in blk_direct_next, not at `work` */
	bool full;    /* a request waits for room */
	unsigned int flying;
	unsigned int slots;
	struct blk_slot *slot; /* kept */
};

/* ---- Worker: lock held, unless they say otherwise -------------------------------------------- */

static bool is_full(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

static bool is_busy(const struct blk *blk)
{
	return blk->busy || blk->flying;
}

/* blk_start takes the request up when the guest goes on; a reset forgets it. */
static void wait_for_room(struct blk *blk, int why)
{
	char text[GMIG_ERROR_TEXT];

	snprintf(text, sizeof(text), "disk %.160s: %s on the host", blk->file.path, strerror(-why));
	vmm_stop_because(blk->device.vmm, text);
}

static void answer(struct blk *blk, struct blk_slot *slot)
{
	slot->state = SLOT_FREE;
	virtio_device_push(&blk->device, 0, slot->chain.head, (uint32_t)slot->request.written + 1);
}

/* Dropped while the request is worked on. */
static void serve(struct blk *blk, struct blk_slot *slot)
{
	struct blk_request *request = &slot->request;
	bool full;
	int ret;

	blk->busy = true;
	pthread_mutex_unlock(&blk->device.lock);
	ret = blk_request_execute(&blk->file, blk->id, request);
	/* A flush that failed has lost data: it cannot be repeated. */
	full = is_full(ret) && blk->on_full == VMM_ON_FULL_PAUSE &&
	       request->type != VIRTIO_BLK_T_FLUSH && !blk->file.sync_failed;
	if (!full)
		*request->status = blk_request_status(&blk->file, request, ret);
	pthread_mutex_lock(&blk->device.lock);
	blk->busy = false;
	blk->full = full;
	if (!full)
		answer(blk, slot);
	pthread_cond_broadcast(&blk->idle);
	if (full)
		wait_for_room(blk, ret);
}

/* It flies, or waits. Dropped meanwhile: to announce or copy it may take a while. */
static void start_to_fly(struct blk *blk, struct blk_slot *slot)
{
	struct blk_request *request = &slot->request;
	unsigned int tag = (unsigned int)(slot - blk->slot);
	bool flies;

	blk->busy = true;
	pthread_mutex_unlock(&blk->device.lock);
	flies = blk_direct_begin(&blk->file.direct, tag, &request->data);
	pthread_mutex_lock(&blk->device.lock);
	blk->busy = false;
	blk->flying += flies;
	slot->state = flies ? SLOT_FLIES : SLOT_WAITS;
	pthread_cond_broadcast(&blk->idle);
}

/* Dropped while it waits for something to land, or to be done. */
static void land(struct blk *blk)
{
	struct blk_slot *slot = NULL;
	unsigned int tag;
	int result, ret = 0;

	blk->listens = true;
	pthread_mutex_unlock(&blk->device.lock);
	if (blk_direct_next(&blk->file.direct, &tag, &result)) {
		slot = &blk->slot[tag];
		ret = blk_direct_end(&blk->file.direct, &slot->request.data, result);
		slot->request.written =
		    ret || slot->request.type == VIRTIO_BLK_T_OUT ? 0 : slot->request.bytes;
		if (ret != -EAGAIN)
			*slot->request.status = blk_request_status(&blk->file, &slot->request, ret);
	}
	pthread_mutex_lock(&blk->device.lock);
	blk->listens = false;
	if (!slot)
		return;
	blk->flying--;
	slot->state = SLOT_WAITS;
	if (ret != -EAGAIN)
		answer(blk, slot);
	pthread_cond_broadcast(&blk->idle);
}

static struct blk_slot *find_slot(struct blk *blk, enum blk_slot_state state)
{
	for (unsigned int i = 0; i < blk->slots; i++)
		if (blk->slot[i].state == state)
			return &blk->slot[i];
	return NULL;
}

/* Take the next request. False: there is none, or no slot for it. */
static bool take(struct blk *blk)
{
	struct blk_slot *slot = find_slot(blk, SLOT_FREE);
	const char *wrong;

	if (!slot || virtio_device_pop(&blk->device, 0, &slot->chain) <= 0)
		return false;
	slot->request = (struct blk_request){.features = blk->device.features};
	wrong = blk_request_parse(&slot->chain, &slot->request);
	if (wrong) {
		virtio_device_fail(&blk->device, 0, wrong);
		return true;
	}
	slot->state = SLOT_WAITS;
	if (blk_request_may_fly(&blk->file, &slot->request))
		start_to_fly(blk, slot);
	return true;
}

/* False: there is nothing that could be done now. */
static bool step(struct blk *blk)
{
	struct blk_slot *waits = find_slot(blk, SLOT_WAITS);

	if (blk->full || blk->ending)
		return false;
	if (!waits)
		return take(blk);
	if (blk->flying || !virtio_device_is_live(&blk->device))
		return false;
	serve(blk, waits);
	return true;
}

static void *worker(void *opaque)
{
	struct blk *blk = opaque;

	pthread_setname_np(pthread_self(), "blk");
	vmm_helper_begins(blk->device.vmm, VMM_HELPER_BLK);
	pthread_mutex_lock(&blk->device.lock);
	while (!blk->ending || blk->flying) {
		if (step(blk))
			continue;
		if (blk->flying)
			land(blk);
		else
			pthread_cond_wait(&blk->work, &blk->device.lock);
	}
	pthread_mutex_unlock(&blk->device.lock);
	vmm_helper_ends(blk->device.vmm);
	return NULL;
}

/* ---- The device ------------------------------------------------------------------------------ */

/* Lock held. */
static void wake_worker(struct blk *blk)
{
	if (blk->listens)
		blk_direct_poke(&blk->file.direct);
	else
		pthread_cond_signal(&blk->work);
}

static void blk_start(void *opaque)
{
	struct blk *blk = opaque;

	blk->full = false;
	wake_worker(blk);
}

static void blk_stop(void *opaque)
{
	struct blk *blk = opaque;

	while (is_busy(blk))
		pthread_cond_wait(&blk->idle, &blk->device.lock);
	blk->full = false;
	for (unsigned int i = 0; i < blk->slots; i++)
		blk->slot[i].state = SLOT_FREE;
}

static int blk_drain(void *opaque, int timeout_ms)
{
	struct blk *blk = opaque;
	const struct timespec until = deadline_in(timeout_ms);
	int ret = 0;

	while (is_busy(blk) && !ret)
		ret = deadline_wait(&blk->idle, &blk->device.lock, &until);
	return is_busy(blk) ? -ret : 0;
}

static void blk_notify(void *opaque, unsigned int queue)
{
	struct blk *blk = opaque;

	(void)queue;
	/* With the lock: a worker that has just found the queue empty must not miss the request. */
	pthread_mutex_lock(&blk->device.lock);
	wake_worker(blk);
	pthread_mutex_unlock(&blk->device.lock);
}

static const struct virtio_ops blk_ops = {
    .name = "blk",
    .id = VIRTIO_ID_BLOCK,
    .class_code = 0x010000,
    .start = blk_start,
    .stop = blk_stop,
    .drain = blk_drain,
    .notify = blk_notify,
};

/* ---- Start and end --------------------------------------------------------------------------- */

static void blk_destroy(void *state)
{
	struct blk *blk = state;

	if (blk->worker_started) {
		pthread_mutex_lock(&blk->device.lock);
		blk->ending = true;
		wake_worker(blk);
		pthread_mutex_unlock(&blk->device.lock);
		pthread_join(blk->worker, NULL);
	}
	blk_file_close(&blk->file);
	pthread_cond_destroy(&blk->work);
	pthread_cond_destroy(&blk->idle);
	virtio_device_destroy(&blk->device);
	free(blk->slot);
	free(blk);
}

static int start_worker(struct blk *blk, struct gmig_error *err)
{
	int ret;

	blk->slots = blk->file.direct.ring ? BLK_DIRECT_DEPTH : 1;
	blk->slot = calloc(blk->slots, sizeof(*blk->slot));
	ret = blk->slot ? pthread_create(&blk->worker, NULL, worker, blk) : ENOMEM;
	if (ret)
		return gmig_fail(err, -ret, "disk %s: no thread: %s", blk->file.path,
				 strerror(ret));
	blk->worker_started = true;
	return 0;
}

static uint64_t features(bool readonly)
{
	uint64_t common = FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
			  FEATURE(VIRTIO_BLK_F_FLUSH);

	return common |
	       (readonly ? FEATURE(VIRTIO_BLK_F_RO)
			 : FEATURE(VIRTIO_BLK_F_DISCARD) | FEATURE(VIRTIO_BLK_F_WRITE_ZEROES));
}

static void fill_config(struct blk *blk)
{
	blk->config = (struct virtio_blk_config){
	    .capacity = blk->file.bytes / BLK_SECTOR_BYTES,
	    .seg_max = SEG_MAX,
	    .blk_size = BLK_SECTOR_BYTES,
	};
	if (blk->file.readonly)
		return;
	blk->config.max_discard_sectors = BLK_MAX_DISCARD_SECTORS;
	blk->config.max_discard_seg = BLK_MAX_RANGES;
	blk->config.discard_sector_alignment = 1;
	blk->config.max_write_zeroes_sectors = BLK_MAX_ZERO_SECTORS;
	blk->config.max_write_zeroes_seg = BLK_MAX_RANGES;
	blk->config.write_zeroes_may_unmap = 1;
}

static int blk_create(struct device_context *context, unsigned int index, void **state,
		      struct gmig_error *err)
{
	static const uint16_t queue_sizes[] = {QUEUE_SIZE};
	bool readonly = context->options->disk_readonly[index];
	struct blk *blk = calloc(1, sizeof(*blk));
	struct virtio_spec spec = {.ops = &blk_ops,
				   .opaque = blk,
				   .queue_sizes = queue_sizes,
				   .queue_count = 1,
				   .config_bytes = sizeof(blk->config)};
	int ret;

	if (!blk)
		return gmig_fail(err, -ENOMEM, "blk: out of memory");
	blk->file.fd = -1;
	blk->on_full = context->options->disk_on_full[index];
	snprintf(blk->id, sizeof(blk->id), "gmig-disk%u", index);
	pthread_cond_init(&blk->work, NULL);
	pthread_cond_init(&blk->idle, NULL);
	spec.config = &blk->config;
	spec.features = features(readonly);
	ret = virtio_device_create(&blk->device, context->vmm, context->pci, &spec, err);
	if (!ret)
		ret = blk_file_open(&blk->file, context->options->disk[index], readonly, err);
	if (!ret && context->options->disk_direct[index])
		blk_direct_open(&blk->file.direct, context->vmm, blk->file.path, blk->file.fd,
				readonly);
	if (!ret) {
		fill_config(blk);
		ret = start_worker(blk, err);
	}
	if (ret) {
		blk_destroy(blk);
		return ret;
	}
	*state = blk;
	return 0;
}

static unsigned int blk_count(const struct vmm_options *options)
{
	return options->disk_count;
}

static void blk_reset(void *state)
{
	struct blk *blk = state;

	virtio_device_reset(&blk->device);
}

static int blk_pause(void *state, int timeout_ms, struct gmig_error *err)
{
	struct blk *blk = state;

	return virtio_device_pause(&blk->device, timeout_ms, err);
}

static void blk_resume(void *state)
{
	struct blk *blk = state;

	virtio_device_resume(&blk->device);
}

static void blk_report(void *state, struct vmm_disk *disk)
{
	struct blk *blk = state;

	*disk = (struct vmm_disk){
	    .path = blk->file.path,
	    .readonly = blk->file.readonly,
	    .direct = atomic_load(&blk->file.direct.on),
	    .aio = blk->file.direct.ring ? "io_uring" : "sync",
	    .straight = atomic_load(&blk->file.direct.straight),
	    .bounced = atomic_load(&blk->file.direct.bounced),
	};
}

const struct device_ops blk_device = {
    .name = "blk",
    .count = blk_count,
    .create = blk_create,
    .reset = blk_reset,
    .pause = blk_pause,
    .resume = blk_resume,
    .report = blk_report,
    .destroy = blk_destroy,
};
