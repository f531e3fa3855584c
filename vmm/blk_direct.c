#include "blk_direct.h"

#include "virtio_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOUNCE_BYTES (1u << 20)	  /* for one at a time */
#define PART_BYTES   (128u << 10) /* for each of many; after the other */
#define BUFFER_BYTES (BOUNCE_BYTES + BLK_DIRECT_DEPTH * PART_BYTES)
#define USUAL_ALIGN  4096u

/* ---- Open, close ------------------------------------------------------------------------------- */

/* Kernels before 6.1 do not say it: then what serves any disk and file system. NULL, or why there is no O_DIRECT. */
static const char *find_alignment(struct blk_direct *direct)
{
	struct statx st;

	direct->offset_align = direct->memory_align = USUAL_ALIGN;
	if (statx(direct->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) ||
	    !(st.stx_mask & STATX_DIOALIGN))
		return NULL;
	if (!st.stx_dio_offset_align || st.stx_dio_offset_align > USUAL_ALIGN ||
	    st.stx_dio_mem_align > USUAL_ALIGN)
		return "the file system does not do it for this file";
	direct->offset_align = st.stx_dio_offset_align;
	direct->memory_align = st.stx_dio_mem_align;
	return NULL;
}

/* By its descriptor: the name may be another file's by now. */
static const char *open_again(struct blk_direct *direct, int fd, bool readonly)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	direct->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
	if (direct->fd < 0)
		return strerror(errno);
	/* What is never used costs nothing. */
	direct->bounce = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (direct->bounce == MAP_FAILED) {
		direct->bounce = NULL;
		return strerror(errno);
	}
	return find_alignment(direct);
}

static void make_ring(struct blk_direct *direct)
{
	int ret = blk_ring_create(direct->fd, BLK_DIRECT_DEPTH, &direct->ring);

	if (!ret)
		return;
	direct->ring = NULL;
	vmm_log(GMIG_LOG_INFO,
		"device=blk file=%s aio=sync reason=\"no io_uring: %s\": one request at a time",
		direct->path, strerror(-ret));
}

void blk_direct_open(struct blk_direct *direct, struct vmm *vmm, const char *path, int fd,
		     bool readonly)
{
	const char *why;

	*direct = (struct blk_direct){.vmm = vmm, .path = path, .fd = -1};
	why = open_again(direct, fd, readonly);
	atomic_store(&direct->on, !why);
	if (!why) {
		make_ring(direct);
		return;
	}
	blk_direct_close(direct);
	vmm_log(
	    GMIG_LOG_WARNING,
	    "device=blk file=%s cache=none is not possible (%s): it goes through the host's cache",
	    path, why);
}

void blk_direct_close(struct blk_direct *direct)
{
	blk_ring_destroy(direct->ring);
	direct->ring = NULL;
	if (direct->fd >= 0)
		close(direct->fd);
	direct->fd = -1;
	if (direct->bounce)
		munmap(direct->bounce, BUFFER_BYTES);
	direct->bounce = NULL;
}

/* ---- Pieces ------------------------------------------------------------------------------------ */

static bool is_aligned(const struct blk_direct *direct, const struct blk_transfer *transfer)
{
	for (unsigned int i = 0; i < transfer->pieces; i++)
		if ((uintptr_t)transfer->iov[i].iov_base % direct->memory_align ||
		    transfer->iov[i].iov_len % direct->offset_align)
			return false;
	return true;
}

static void end_pieces(const struct blk_direct *direct, const struct iovec *iov,
		       unsigned int pieces)
{
	for (unsigned int i = 0; i < pieces; i++)
		vmm_dma_end(direct->vmm, iov[i].iov_base, iov[i].iov_len);
}

/* All or none. */
static bool begin_pieces(const struct blk_direct *direct, const struct iovec *iov,
			 unsigned int pieces)
{
	for (unsigned int i = 0; i < pieces; i++)
		if (vmm_dma_begin(direct->vmm, iov[i].iov_base, iov[i].iov_len)) {
			end_pieces(direct, iov, i);
			return false;
		}
	return true;
}

static bool begin_straight(const struct blk_direct *direct, const struct blk_transfer *transfer)
{
	return is_aligned(direct, transfer) &&
	       begin_pieces(direct, transfer->iov, transfer->pieces);
}

static int flags_of(const struct blk_transfer *transfer)
{
	return transfer->write && transfer->through ? RWF_DSYNC : 0;
}

/* ---- One at a time ----------------------------------------------------------------------------- */

bool blk_direct_can(const struct blk_direct *direct, const struct blk_transfer *transfer)
{
	return atomic_load(&direct->on) && transfer->offset % direct->offset_align == 0 &&
	       transfer->bytes % direct->offset_align == 0;
}

static ssize_t call(const struct blk_direct *direct, const struct blk_transfer *transfer,
		    const struct iovec *iov, unsigned int pieces)
{
	off_t offset = (off_t)transfer->offset;
	int flags = flags_of(transfer);
	ssize_t done;

	do
		done = transfer->write ? pwritev2(direct->fd, iov, (int)pieces, offset, flags)
				       : preadv2(direct->fd, iov, (int)pieces, offset, flags);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}

/* It is not as it was said to be. */
static ssize_t give_up(struct blk_direct *direct)
{
	vmm_log(GMIG_LOG_WARNING,
		"device=blk file=%s cache=none is refused by now (EINVAL): it goes through the "
		"host's cache",
		direct->path);
	atomic_store(&direct->on, false);
	return -EINVAL;
}

static ssize_t bounce(struct blk_direct *direct, const struct blk_transfer *transfer)
{
	struct iovec own = {direct->bounce,
			    transfer->bytes < BOUNCE_BYTES ? transfer->bytes : BOUNCE_BYTES};
	ssize_t done;

	if (transfer->write)
		virtio_read_pieces(transfer->iov, transfer->pieces, 0, own.iov_base, own.iov_len);
	done = call(direct, transfer, &own, 1);
	if (!transfer->write && done > 0)
		virtio_write_pieces(transfer->iov, transfer->pieces, 0, own.iov_base, (size_t)done);
	atomic_fetch_add(&direct->bounced, 1);
	return done == -EINVAL ? give_up(direct) : done;
}

ssize_t blk_direct_some(struct blk_direct *direct, const struct blk_transfer *transfer)
{
	ssize_t done;

	if (!begin_straight(direct, transfer))
		return bounce(direct, transfer);
	done = call(direct, transfer, transfer->iov, transfer->pieces);
	end_pieces(direct, transfer->iov, transfer->pieces);
	atomic_fetch_add(&direct->straight, 1);
	return done == -EINVAL ? give_up(direct) : done;
}

/* ---- Many -------------------------------------------------------------------------------------- */

/* Into its buffer, if it has to have one. */
static void prepare(struct blk_direct *direct, unsigned int tag, struct blk_transfer *transfer)
{
	transfer->bounced = !begin_straight(direct, transfer);
	if (!transfer->bounced)
		return;
	transfer->buffer =
	    (struct iovec){direct->bounce + BOUNCE_BYTES + tag * PART_BYTES, transfer->bytes};
	if (transfer->write)
		virtio_read_pieces(transfer->iov, transfer->pieces, 0, transfer->buffer.iov_base,
				   transfer->bytes);
}

bool blk_direct_begin(struct blk_direct *direct, unsigned int tag, struct blk_transfer *transfer)
{
	struct blk_ring_io io = {.tag = tag,
				 .offset = transfer->offset,
				 .write = transfer->write,
				 .flags = flags_of(transfer)};

	if (!blk_direct_can(direct, transfer) || !transfer->bytes)
		return false;
	if (transfer->bytes > PART_BYTES) {
		transfer->bounced = false;
		if (!begin_straight(direct, transfer))
			return false;
	} else {
		prepare(direct, tag, transfer);
	}
	io.iov = transfer->bounced ? &transfer->buffer : transfer->iov;
	io.pieces = transfer->bounced ? 1 : transfer->pieces;
	if (!blk_ring_add(direct->ring, &io))
		return true;
	if (!transfer->bounced)
		end_pieces(direct, transfer->iov, transfer->pieces);
	return false;
}

bool blk_direct_next(struct blk_direct *direct, unsigned int *tag, int *result)
{
	return blk_ring_next(direct->ring, tag, result) > 0;
}

/* What the other way may do better, or tells in more detail. */
static bool is_worth_another_try(int result)
{
	return result >= 0 || result == -EAGAIN || result == -EINTR || result == -ECANCELED ||
	       result == -EINVAL || result == -EOPNOTSUPP || result == -ENOSPC || result == -EDQUOT;
}

int blk_direct_end(struct blk_direct *direct, struct blk_transfer *transfer, int result)
{
	if (!transfer->bounced)
		end_pieces(direct, transfer->iov, transfer->pieces);
	else if (!transfer->write && result > 0)
		virtio_write_pieces(transfer->iov, transfer->pieces, 0, transfer->buffer.iov_base,
				    (size_t)result);
	atomic_fetch_add(transfer->bounced ? &direct->bounced : &direct->straight, 1);
	if (result >= 0 && (uint64_t)result == transfer->bytes)
		return 0;
	return is_worth_another_try(result) ? -EAGAIN : result;
}

void blk_direct_poke(struct blk_direct *direct)
{
	blk_ring_poke(direct->ring);
}
