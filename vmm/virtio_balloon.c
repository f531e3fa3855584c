/*
 * virtio-balloon: the guest gives memory back to the host, and takes it again. One thread serves all queues, since to give
 * memory back is a system call for each run of pages, and has to wait for jobs that move the block.
 *
 * Inflate: pages are collected before they go back (balloon_give.h). Deflate: what has not yet gone back stays; what has comes
 * back by the guest's touch. A driver that does not tell us before it uses a page again (no MUST_TELL_HOST) has its pages given
 * back before it hears of it.
 *
 * Reporting: free pages that the driver holds back until we are through with them. They go back at once or not at all: in between
 * they would be the guest's again.
 *
 * The worker drops the device lock while it works on a chain; a reset or a pause waits for its end. What a chain can ask for is
 * bounded: CHAIN_BYTES, or the 4 GiB of any chain.
 *
 * Source: Virtual I/O Device 1.2, 5.5; which queue is which: see role_of().
 */
#include "balloon.h"
#include "balloon_give.h"
#include "deadline.h"
#include "device_ops.h"
#include "virtio_pci.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#define QUEUES	      5
#define QUEUE_SIZE    128
#define CHAIN_BYTES   16384u /* of page numbers: 16 MiB of memory; Linux sends 1 KiB, Windows 4 */
#define SLICE	      64u    /* page numbers that are read at a time */
#define GIVE_BATCH    16     /* blocks between two looks at the queues */
#define WAIT_MS	      200    /* for jobs to be done with blocks, in one chain */
#define STATS_ENTRIES 32u    /* that are read of a driver's buffer */
#define STATS_AGE_NS  1000000000u
#define TELL_NS	      250000000u /* between two events */
#define FEATURE(bit)  (1ull << (bit))
#define LAST_GPA      (1ull << 44) /* pages are named by 32 bits */

enum role { ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORT, ROLE_NONE };

struct balloon {
	struct virtio_device device;
	uint64_t mem_bytes;
	pthread_t worker;
	bool worker_started;
	pthread_cond_t work, idle; /* with device.lock */
	/* guarded by device.lock */
	struct virtio_balloon_config config;
	bool busy, ending;
	vmm_balloon_changed *changed; /* NULL: nobody listens */
	bool stats_held, stats_wanted;
	uint16_t stats_head;
	uint32_t stats_known;
	uint64_t stats[VIRTIO_BALLOON_S_NR], stats_ns;
	/* the worker's; a reset forgets them while it is not busy */
	struct virtio_chain chain;
	struct balloon_giver giver;
	uint64_t told_bytes, tell_ns; /* the last event, and when the next one may be */
};

/* ---- Chains: without the lock ------------------------------------------------------------------ */

static void each_page(struct balloon *balloon,
		      void (*page)(struct balloon_giver *giver, uint64_t gfn))
{
	const struct virtio_chain *chain = &balloon->chain;
	uint32_t gfns[SLICE];
	size_t offset = 0, got;

	while ((got = virtio_read_pieces(chain->iov, chain->out_count, offset, gfns, sizeof(gfns)) /
		      sizeof(gfns[0]))) {
		for (size_t i = 0; i < got; i++)
			page(&balloon->giver, le32toh(gfns[i]));
		offset += got * sizeof(gfns[0]);
	}
}

static void inflate(struct balloon *balloon)
{
	each_page(balloon, balloon_give_page);
	if (!virtio_device_has(&balloon->device, VIRTIO_BALLOON_F_MUST_TELL_HOST))
		balloon_give_all(&balloon->giver);
}

static void report(struct balloon *balloon)
{
	struct virtio_chain *chain = &balloon->chain;
	const struct iovec *in = virtio_chain_in(chain);

	for (unsigned int i = 0; i < chain->in_count; i++)
		balloon_give_run(&balloon->giver, in[i].iov_base, in[i].iov_len);
}

/* ---- Worker: lock held, unless they say otherwise ---------------------------------------------- */

/*
 * The specification gives each queue a number. Drivers and devices have numbered those that both know without a gap, instead:
 * Linux finds the queue of reports at 4, or at 3 since we have no free page hints, or at 2 if it takes no statistics either. So
 * each number has one meaning here that fits them all.
 */
static enum role role_of(const struct balloon *balloon, unsigned int queue)
{
	static const enum role roles[QUEUES] = {ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORT,
						ROLE_REPORT};
	enum role role = roles[queue];

	if (role == ROLE_STATS && !virtio_device_has(&balloon->device, VIRTIO_BALLOON_F_STATS_VQ))
		role = ROLE_REPORT;
	if (role == ROLE_REPORT && !virtio_device_has(&balloon->device, VIRTIO_BALLOON_F_REPORTING))
		role = ROLE_NONE;
	return role;
}

static void begin_work(struct balloon *balloon)
{
	balloon->busy = true;
	balloon->giver.wait_left_ms = WAIT_MS;
	pthread_mutex_unlock(&balloon->device.lock);
}

static void end_work(struct balloon *balloon)
{
	pthread_mutex_lock(&balloon->device.lock);
	balloon->busy = false;
	pthread_cond_broadcast(&balloon->idle);
}

static void read_stats(struct balloon *balloon)
{
	const struct virtio_chain *chain = &balloon->chain;
	struct virtio_balloon_stat stats[STATS_ENTRIES];
	size_t count = virtio_read_pieces(chain->iov, chain->out_count, 0, stats, sizeof(stats)) /
		       sizeof(stats[0]);

	balloon->stats_known = 0;
	for (size_t i = 0; i < count; i++) {
		unsigned int tag = le16toh(stats[i].tag);

		if (tag >= VIRTIO_BALLOON_S_NR)
			continue;
		balloon->stats[tag] = le64toh(stats[i].val);
		balloon->stats_known |= 1u << tag;
	}
	balloon->stats_ns = deadline_now_ns();
	balloon->stats_wanted = false;
}

/* The driver's buffer stays here until new ones are wanted: returning it asks for them. */
static void take_stats(struct balloon *balloon, unsigned int queue)
{
	read_stats(balloon);
	if (balloon->stats_held)
		virtio_device_push(&balloon->device, queue, balloon->stats_head, 0);
	balloon->stats_held = true;
	balloon->stats_head = balloon->chain.head;
}

static void serve_chain(struct balloon *balloon, unsigned int queue)
{
	enum role role = role_of(balloon, queue);
	bool poison = virtio_device_has(&balloon->device, VIRTIO_BALLOON_F_PAGE_POISON) &&
		      balloon->config.poison_val;

	if (role == ROLE_STATS) {
		take_stats(balloon, queue);
		return;
	}
	if (balloon->chain.out_bytes > CHAIN_BYTES) {
		virtio_device_fail(&balloon->device, queue, "too many page numbers in a request");
		return;
	}
	begin_work(balloon);
	if (role == ROLE_INFLATE)
		inflate(balloon);
	else if (role == ROLE_DEFLATE)
		each_page(balloon, balloon_take_page);
	else if (role == ROLE_REPORT && !poison) /* else it must not come back as zeros */
		report(balloon);
	end_work(balloon);
	virtio_device_push(&balloon->device, queue, balloon->chain.head, 0);
}

static bool take_chain(struct balloon *balloon)
{
	/* What the guest wants back goes first. */
	static const unsigned int order[QUEUES] = {1, 0, 2, 3, 4};

	for (unsigned int i = 0; i < QUEUES; i++) {
		if (virtio_device_pop(&balloon->device, order[i], &balloon->chain) <= 0)
			continue;
		serve_chain(balloon, order[i]);
		return true;
	}
	return false;
}

static bool ask_for_stats(struct balloon *balloon)
{
	if (!balloon->stats_wanted || !balloon->stats_held)
		return false;
	balloon->stats_wanted = balloon->stats_held = false;
	virtio_device_push(&balloon->device, 2, balloon->stats_head, 0);
	return true;
}

static bool give_settled(struct balloon *balloon)
{
	if (balloon_settled_ns(&balloon->giver) > deadline_now_ns())
		return false;
	begin_work(balloon);
	balloon_give_settled(&balloon->giver, GIVE_BATCH);
	end_work(balloon);
	return true;
}

static uint64_t guest_bytes(const struct balloon *balloon, uint32_t pages)
{
	uint64_t bytes = le32toh(pages) * GMIG_PAGE_BYTES;

	return bytes < balloon->mem_bytes ? balloon->mem_bytes - bytes : 0;
}

/* A guest may write its size as often as it likes, and clients need not hear of each. */
static bool has_news(const struct balloon *balloon)
{
	return balloon->changed &&
	       balloon->told_bytes != guest_bytes(balloon, balloon->config.actual);
}

static bool tell(struct balloon *balloon)
{
	uint64_t bytes = guest_bytes(balloon, balloon->config.actual), now_ns = deadline_now_ns();

	if (!has_news(balloon) || now_ns < balloon->tell_ns)
		return false;
	balloon->told_bytes = bytes;
	balloon->tell_ns = now_ns + TELL_NS;
	pthread_mutex_unlock(&balloon->device.lock);
	balloon->changed(balloon->device.vmm, bytes);
	pthread_mutex_lock(&balloon->device.lock);
	return true;
}

/* False: there is nothing that could be done now. */
static bool step(struct balloon *balloon)
{
	if (balloon->ending)
		return false;
	if (tell(balloon))
		return true;
	if (!virtio_device_is_live(&balloon->device))
		return false;
	return take_chain(balloon) || ask_for_stats(balloon) || give_settled(balloon);
}

static void wait_for_work(struct balloon *balloon)
{
	bool live = virtio_device_is_live(&balloon->device);
	uint64_t until_ns = live ? balloon_settled_ns(&balloon->giver) : UINT64_MAX;
	struct timespec until;

	if (has_news(balloon) && balloon->tell_ns < until_ns)
		until_ns = balloon->tell_ns;
	if (until_ns == UINT64_MAX) {
		pthread_cond_wait(&balloon->work, &balloon->device.lock);
		return;
	}
	until.tv_sec = (time_t)(until_ns / 1000000000u);
	until.tv_nsec = (long)(until_ns % 1000000000u);
	deadline_wait(&balloon->work, &balloon->device.lock, &until);
}

static void *worker(void *opaque)
{
	struct balloon *balloon = opaque;

	pthread_setname_np(pthread_self(), "balloon");
	vmm_helper_begins(balloon->device.vmm, VMM_HELPER_BALLOON);
	pthread_mutex_lock(&balloon->device.lock);
	while (!balloon->ending)
		if (!step(balloon))
			wait_for_work(balloon);
	pthread_mutex_unlock(&balloon->device.lock);
	vmm_helper_ends(balloon->device.vmm);
	return NULL;
}

/* ---- The device -------------------------------------------------------------------------------- */

static void wake(void *opaque)
{
	struct balloon *balloon = opaque;

	pthread_cond_signal(&balloon->work);
}

/* The driver has let go of the balloon: what it had given is the guest's again. */
static void balloon_stop(void *opaque)
{
	struct balloon *balloon = opaque;

	while (balloon->busy)
		pthread_cond_wait(&balloon->idle, &balloon->device.lock);
	balloon_pages_clear(&balloon->giver.pages);
	balloon->stats_held = false;
	balloon->stats_known = 0;
	balloon->config.actual = balloon->config.poison_val = 0;
	wake(balloon);
}

static int balloon_drain(void *opaque, int timeout_ms)
{
	struct balloon *balloon = opaque;
	const struct timespec until = deadline_in(timeout_ms);
	int ret = 0;

	while (balloon->busy && !ret)
		ret = deadline_wait(&balloon->idle, &balloon->device.lock, &until);
	return balloon->busy ? -ret : 0;
}

static void balloon_notify(void *opaque, unsigned int queue)
{
	struct balloon *balloon = opaque;

	(void)queue;
	/* With the lock: a worker that has just found the queue empty must not miss the request. */
	pthread_mutex_lock(&balloon->device.lock);
	wake(balloon);
	pthread_mutex_unlock(&balloon->device.lock);
}

static const struct virtio_ops virtio_ops = {
    .name = "balloon",
    .id = VIRTIO_ID_BALLOON,
    .class_code = 0x050000,
    .start = wake,
    .stop = balloon_stop,
    .drain = balloon_drain,
    .notify = balloon_notify,
    .config_written = wake,
};

/* ---- For operators ----------------------------------------------------------------------------- */

void balloon_listen(void *state, vmm_balloon_changed *changed)
{
	struct balloon *balloon = state;

	pthread_mutex_lock(&balloon->device.lock);
	balloon->changed = changed;
	wake(balloon);
	pthread_mutex_unlock(&balloon->device.lock);
}

int balloon_set(void *state, uint64_t bytes, struct gmig_error *err)
{
	struct balloon *balloon = state;
	uint64_t most = balloon->mem_bytes, pages = (most - bytes) / GMIG_PAGE_BYTES;

	if (bytes > most || !bytes)
		return gmig_fail(err, -EINVAL,
				 "a balloon leaves this guest some memory, and %llu MiB at most, "
				 "which is all of it",
				 (unsigned long long)most >> 20);
	pthread_mutex_lock(&balloon->device.lock);
	balloon->config.num_pages = htole32((uint32_t)pages);
	virtio_device_config_changed(&balloon->device);
	pthread_mutex_unlock(&balloon->device.lock);
	return 0;
}

void balloon_get(void *state, struct vmm_balloon *answer)
{
	struct balloon *balloon = state;
	const struct virtio_device *device = &balloon->device;
	uint64_t now_ns = deadline_now_ns();

	pthread_mutex_lock(&balloon->device.lock);
	*answer = (struct vmm_balloon){
	    .maximum_bytes = balloon->mem_bytes,
	    .target_bytes = guest_bytes(balloon, balloon->config.num_pages),
	    .actual_bytes = guest_bytes(balloon, balloon->config.actual),
	    .driver = device->status & VIRTIO_CONFIG_S_DRIVER_OK &&
		      !(device->status & VIRTIO_CONFIG_S_NEEDS_RESET),
	    .deflate_on_oom = virtio_device_has(device, VIRTIO_BALLOON_F_DEFLATE_ON_OOM),
	    .reporting = virtio_device_has(device, VIRTIO_BALLOON_F_REPORTING),
	    .given_bytes = atomic_load(&balloon->giver.given) * GMIG_PAGE_BYTES,
	    .reported_bytes = atomic_load(&balloon->giver.reported) * GMIG_PAGE_BYTES,
	    .kept_bytes = atomic_load(&balloon->giver.kept) * GMIG_PAGE_BYTES,
	    .strange_pages = atomic_load(&balloon->giver.strange),
	    .stats_known = balloon->stats_known,
	    .stats_age_ns = balloon->stats_known ? now_ns - balloon->stats_ns : 0,
	};
	memcpy(answer->stats, balloon->stats, sizeof(answer->stats));
	if (now_ns - balloon->stats_ns > STATS_AGE_NS) {
		balloon->stats_wanted = true;
		wake(balloon);
	}
	pthread_mutex_unlock(&balloon->device.lock);
}

/* ---- Start and end ----------------------------------------------------------------------------- */

static void balloon_destroy(void *state)
{
	struct balloon *balloon = state;

	if (balloon->worker_started) {
		pthread_mutex_lock(&balloon->device.lock);
		balloon->ending = true;
		wake(balloon);
		pthread_mutex_unlock(&balloon->device.lock);
		pthread_join(balloon->worker, NULL);
	}
	pthread_cond_destroy(&balloon->work);
	pthread_cond_destroy(&balloon->idle);
	virtio_device_destroy(&balloon->device);
	free(balloon);
}

static int start_worker(struct balloon *balloon, struct gmig_error *err)
{
	int ret = pthread_create(&balloon->worker, NULL, worker, balloon);

	if (ret)
		return gmig_fail(err, -ret, "balloon: no thread: %s", strerror(ret));
	balloon->worker_started = true;
	return 0;
}

/* All of RAM; 0: a page of it cannot be named. */
static uint64_t count_ram(const struct vmm *vmm)
{
	const struct vmm_region *region;
	size_t count = vmm_regions(vmm, &region);
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		if (region[i].gpa + region[i].bytes > LAST_GPA)
			return 0;
		bytes += region[i].bytes;
	}
	return bytes;
}

static uint64_t offered(const struct vmm_options *options)
{
	return FEATURE(VIRTIO_BALLOON_F_MUST_TELL_HOST) | FEATURE(VIRTIO_BALLOON_F_STATS_VQ) |
	       FEATURE(VIRTIO_BALLOON_F_PAGE_POISON) |
	       (options->balloon_on_oom ? FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) : 0) |
	       (options->balloon_reporting ? FEATURE(VIRTIO_BALLOON_F_REPORTING) : 0);
}

static int balloon_create(struct device_context *context, unsigned int index, void **state,
			  struct gmig_error *err)
{
	static const uint16_t queue_sizes[QUEUES] = {QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE,
						     QUEUE_SIZE};
	static const struct virtio_config_mask writable[] = {
	    {offsetof(struct virtio_balloon_config, actual), sizeof(uint32_t)},
	    {offsetof(struct virtio_balloon_config, poison_val), sizeof(uint32_t)},
	    {0}};
	struct balloon *balloon = calloc(1, sizeof(*balloon));
	struct virtio_spec spec = {.ops = &virtio_ops,
				   .opaque = balloon,
				   .features = offered(context->options),
				   .config_bytes = sizeof(balloon->config),
				   .writable = writable,
				   .queue_sizes = queue_sizes,
				   .queue_count = QUEUES};
	int ret;

	(void)index;
	if (!balloon)
		return gmig_fail(err, -ENOMEM, "balloon: out of memory");
	pthread_cond_init(&balloon->work, NULL);
	pthread_cond_init(&balloon->idle, NULL);
	balloon_pages_clear(&balloon->giver.pages);
	balloon->giver.vmm = context->vmm;
	balloon->mem_bytes = balloon->told_bytes = count_ram(context->vmm);
	spec.config = &balloon->config;
	ret = virtio_device_create(&balloon->device, context->vmm, context->pci, &spec, err);
	if (!ret && !balloon->mem_bytes)
		ret = gmig_fail(err, -EINVAL,
				"--balloon: it names pages by 32 bits, so that the guest's memory "
				"has to end below 16 TiB");
	if (!ret)
		ret = start_worker(balloon, err);
	if (ret) {
		balloon_destroy(balloon);
		return ret;
	}
	*state = balloon;
	return 0;
}

static unsigned int balloon_count(const struct vmm_options *options)
{
	return options->balloon;
}

static void balloon_reset(void *state)
{
	struct balloon *balloon = state;

	virtio_device_reset(&balloon->device);
}

static int balloon_pause(void *state, int timeout_ms, struct gmig_error *err)
{
	struct balloon *balloon = state;

	return virtio_device_pause(&balloon->device, timeout_ms, err);
}

static void balloon_resume(void *state)
{
	struct balloon *balloon = state;

	virtio_device_resume(&balloon->device);
}

const struct device_ops balloon_device = {
    .name = "balloon",
    .count = balloon_count,
    .create = balloon_create,
    .reset = balloon_reset,
    .pause = balloon_pause,
    .resume = balloon_resume,
    .destroy = balloon_destroy,
};
