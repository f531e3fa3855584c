/*
 * virtio-blk on a raw file or a block device. One worker thread per disk serves requests in order,
 * so that a FLUSH covers all writes before it. The file is accessed through the page cache, and
 * FLUSH is fdatasync(2).
 *
 * The worker drops the device lock while it works on a request; `busy` makes a reset wait for it.
 */
#include "device_ops.h"
#include "virtio_pci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUEUE_SIZE   256
#define SECTOR_BYTES 512u
#define SEG_MAX	     (QUEUE_SIZE - 2) /* header and status use one each */

struct blk {
	struct virtio_device device;
	const char *path;
	int fd;
	bool readonly;
	char id[VIRTIO_BLK_ID_BYTES];
	struct virtio_blk_config config;
	pthread_t worker;
	bool worker_started;
	pthread_cond_t work, idle; /* with device.lock */
	bool busy, ending;	   /* guarded by device.lock */
	struct virtio_chain chain; /* the worker's */
};

/* What a chain requests. */
struct blk_request {
	uint32_t type;
	uint64_t sector;
	struct iovec *data;
	unsigned int pieces;
	uint64_t bytes;
	uint8_t *status; /* in guest RAM */
};

/* ---- Requests: worker thread, no lock -------------------------------------------------------- */

/*
 * preadv or pwritev until everything is transferred. 0 or -errno; the end of the file is an error.
 */
static int transfer(const struct blk *blk, const struct blk_request *request, bool write)
{
	struct iovec *iov = request->data;
	unsigned int pieces = request->pieces;
	uint64_t left = request->bytes;
	off_t offset = (off_t)(request->sector * SECTOR_BYTES);

	while (left) {
		ssize_t done = write ? pwritev(blk->fd, iov, (int)pieces, offset)
				     : preadv(blk->fd, iov, (int)pieces, offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -EIO;
		left -= (uint64_t)done;
		offset += done;
		pieces = virtio_cut_pieces(iov, pieces, (size_t)done, left, &iov);
	}
	return 0;
}

static uint8_t read_write(const struct blk *blk, const struct blk_request *request, bool write)
{
	uint64_t sectors = request->bytes / SECTOR_BYTES;
	int ret;

	if (request->bytes % SECTOR_BYTES || request->sector > blk->config.capacity ||
	    sectors > blk->config.capacity - request->sector) {
		vmm_log_guest(
		    GMIG_LOG_WARNING,
		    "device=blk file=%s sector=%llu bytes=%llu reason=\"beyond the disk\"",
		    blk->path, (unsigned long long)request->sector,
		    (unsigned long long)request->bytes);
		return VIRTIO_BLK_S_IOERR;
	}
	if (write && blk->readonly)
		return VIRTIO_BLK_S_IOERR;
	ret = transfer(blk, request, write);
	if (!ret)
		return VIRTIO_BLK_S_OK;
	vmm_log_guest(GMIG_LOG_ERROR, "device=blk file=%s sector=%llu %s failed: %s", blk->path,
		      (unsigned long long)request->sector, write ? "write" : "read",
		      strerror(-ret));
	return VIRTIO_BLK_S_IOERR;
}

static uint8_t flush(const struct blk *blk)
{
	if (blk->readonly || !fdatasync(blk->fd))
		return VIRTIO_BLK_S_OK;
	vmm_log_guest(GMIG_LOG_ERROR, "device=blk file=%s fdatasync failed: %s", blk->path,
		      strerror(errno));
	return VIRTIO_BLK_S_IOERR;
}

/* *written: bytes put into the data pieces. */
static uint8_t execute(const struct blk *blk, const struct blk_request *request, uint64_t *written)
{
	uint8_t status;

	*written = 0;
	switch (request->type) {
	case VIRTIO_BLK_T_IN:
		status = read_write(blk, request, false);
		*written = status == VIRTIO_BLK_S_OK ? request->bytes : 0;
		return status;
	case VIRTIO_BLK_T_OUT:
		return read_write(blk, request, true);
	case VIRTIO_BLK_T_FLUSH:
		return flush(blk);
	case VIRTIO_BLK_T_GET_ID:
		*written = virtio_write_pieces(request->data, request->pieces, 0, blk->id,
					       sizeof(blk->id));
		return VIRTIO_BLK_S_OK;
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* The header is first, the status byte last, data between them, in any division into pieces. */
static const char *parse(struct virtio_chain *chain, struct blk_request *request)
{
	struct iovec *in = virtio_chain_in(chain);
	struct virtio_blk_outhdr header;

	if (chain->out_bytes < sizeof(header))
		return "request without header";
	if (!chain->in_bytes)
		return "request without room for the status";
	virtio_read_pieces(chain->iov, chain->out_count, 0, &header, sizeof(header));
	request->type = header.type;
	request->sector = header.sector;
	request->status =
	    (uint8_t *)in[chain->in_count - 1].iov_base + in[chain->in_count - 1].iov_len - 1;
	if (header.type == VIRTIO_BLK_T_OUT) {
		request->bytes = chain->out_bytes - sizeof(header);
		request->pieces = virtio_cut_pieces(chain->iov, chain->out_count, sizeof(header),
						    request->bytes, &request->data);
	} else {
		request->bytes = chain->in_bytes - 1;
		request->pieces =
		    virtio_cut_pieces(in, chain->in_count, 0, request->bytes, &request->data);
	}
	return NULL;
}

/* ---- Worker ---------------------------------------------------------------------------------- */

/* Lock held; dropped while the request is worked on. */
static void serve_chain(struct blk *blk)
{
	struct blk_request request;
	uint64_t written;
	const char *wrong = parse(&blk->chain, &request);

	if (wrong) {
		virtio_device_fail(&blk->device, 0, wrong);
		return;
	}
	blk->busy = true;
	pthread_mutex_unlock(&blk->device.lock);
	*request.status = execute(blk, &request, &written);
	pthread_mutex_lock(&blk->device.lock);
	blk->busy = false;
	virtio_device_push(&blk->device, 0, blk->chain.head, (uint32_t)written + 1);
	pthread_cond_broadcast(&blk->idle);
}

static void *worker(void *opaque)
{
	struct blk *blk = opaque;

	pthread_setname_np(pthread_self(), "blk");
	pthread_mutex_lock(&blk->device.lock);
	while (!blk->ending) {
		if (virtio_device_pop(&blk->device, 0, &blk->chain) > 0)
			serve_chain(blk);
		else
			pthread_cond_wait(&blk->work, &blk->device.lock);
	}
	pthread_mutex_unlock(&blk->device.lock);
	return NULL;
}

static void blk_start(void *opaque)
{
	struct blk *blk = opaque;

	pthread_cond_signal(&blk->work);
}

static void blk_stop(void *opaque)
{
	struct blk *blk = opaque;

	while (blk->busy)
		pthread_cond_wait(&blk->idle, &blk->device.lock);
}

static int blk_drain(void *opaque, int timeout_ms)
{
	struct blk *blk = opaque;
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += timeout_ms % 1000 * 1000000l;
	until.tv_sec += timeout_ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (blk->busy && !ret)
		ret = pthread_cond_timedwait(&blk->idle, &blk->device.lock, &until);
	return blk->busy ? -ret : 0;
}

static void blk_notify(void *opaque, unsigned int queue)
{
	struct blk *blk = opaque;

	(void)queue;
	/* With the lock: a worker that has just found the queue empty must not miss the request. */
	pthread_mutex_lock(&blk->device.lock);
	pthread_cond_signal(&blk->work);
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

/* Two guests on one disk destroy it. The lock belongs to the open file, so it is released even if
 * we are killed. */
static int lock_file(const struct blk *blk, struct gmig_error *err)
{
	struct flock lock = {.l_type = blk->readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (!fcntl(blk->fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return gmig_fail(err, -EBUSY, "disk %s is in use by another process", blk->path);
	vmm_log(GMIG_LOG_DEBUG, "device=blk file=%s lock=none reason=\"%s\"", blk->path,
		strerror(errno));
	return 0;
}

static int open_file(struct blk *blk, struct gmig_error *err)
{
	struct stat stat;
	off_t bytes;

	blk->fd = open(blk->path, (blk->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (blk->fd < 0)
		return gmig_fail(err, -errno, "disk %s: %s", blk->path, strerror(errno));
	if (fstat(blk->fd, &stat))
		return gmig_fail(err, -errno, "disk %s: %s", blk->path, strerror(errno));
	if (!S_ISREG(stat.st_mode) && !S_ISBLK(stat.st_mode))
		return gmig_fail(err, -EINVAL, "disk %s is neither a file nor a block device",
				 blk->path);
	bytes = lseek(blk->fd, 0, SEEK_END);
	if (bytes < 0)
		return gmig_fail(err, -errno, "disk %s: %s", blk->path, strerror(errno));
	if (bytes < (off_t)SECTOR_BYTES)
		return gmig_fail(err, -EINVAL, "disk %s is smaller than a sector", blk->path);
	if (bytes % SECTOR_BYTES)
		vmm_log(GMIG_LOG_WARNING,
			"disk %s: the last %u bytes are no whole sector and left out", blk->path,
			(unsigned int)(bytes % SECTOR_BYTES));
	blk->config.capacity = (uint64_t)bytes / SECTOR_BYTES;
	blk->config.seg_max = SEG_MAX;
	blk->config.blk_size = SECTOR_BYTES;
	return lock_file(blk, err);
}

static void blk_destroy(void *state)
{
	struct blk *blk = state;

	if (blk->worker_started) {
		pthread_mutex_lock(&blk->device.lock);
		blk->ending = true;
		pthread_cond_signal(&blk->work);
		pthread_mutex_unlock(&blk->device.lock);
		pthread_join(blk->worker, NULL);
	}
	if (blk->fd >= 0) {
		flush(blk);
		close(blk->fd);
	}
	pthread_cond_destroy(&blk->work);
	pthread_cond_destroy(&blk->idle);
	virtio_device_destroy(&blk->device);
	free(blk);
}

static int start_worker(struct blk *blk, struct gmig_error *err)
{
	int ret = pthread_create(&blk->worker, NULL, worker, blk);

	if (ret)
		return gmig_fail(err, -ret, "disk %s: no thread: %s", blk->path, strerror(ret));
	blk->worker_started = true;
	return 0;
}

static int blk_create(struct device_context *context, unsigned int index, void **state,
		      struct gmig_error *err)
{
	static const uint16_t queue_sizes[] = {QUEUE_SIZE};
	struct blk *blk = calloc(1, sizeof(*blk));
	struct virtio_spec spec = {.ops = &blk_ops,
				   .opaque = blk,
				   .queue_sizes = queue_sizes,
				   .queue_count = 1,
				   .config_bytes = sizeof(blk->config)};
	int ret;

	if (!blk)
		return gmig_fail(err, -ENOMEM, "blk: out of memory");
	blk->path = context->options->disk[index];
	blk->readonly = context->options->disk_readonly[index];
	snprintf(blk->id, sizeof(blk->id), "gmig-disk%u", index);
	pthread_cond_init(&blk->work, NULL);
	pthread_cond_init(&blk->idle, NULL);
	spec.config = &blk->config;
	spec.features = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
			1ull << VIRTIO_BLK_F_FLUSH | (uint64_t)blk->readonly << VIRTIO_BLK_F_RO;
	ret = virtio_device_create(&blk->device, context->vmm, context->pci, &spec, err);
	if (!ret)
		ret = open_file(blk, err);
	else
		blk->fd = -1;
	if (!ret)
		ret = start_worker(blk, err);
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

const struct device_ops blk_device = {
    .name = "blk",
    .count = blk_count,
    .create = blk_create,
    .reset = blk_reset,
    .pause = blk_pause,
    .resume = blk_resume,
    .destroy = blk_destroy,
};
