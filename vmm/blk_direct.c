#include "blk_direct.h"

#include "virtio_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOUNCE_BYTES (1u << 20)
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
	if (!st.stx_dio_offset_align || st.stx_dio_offset_align > BOUNCE_BYTES ||
	    st.stx_dio_mem_align > BOUNCE_BYTES)
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
	direct->bounce =
	    mmap(NULL, BOUNCE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (direct->bounce == MAP_FAILED) {
		direct->bounce = NULL;
		return strerror(errno);
	}
	return find_alignment(direct);
}

void blk_direct_open(struct blk_direct *direct, struct vmm *vmm, const char *path, int fd,
		     bool readonly)
{
	const char *why;

	*direct = (struct blk_direct){.vmm = vmm, .path = path, .fd = -1};
	why = open_again(direct, fd, readonly);
	atomic_store(&direct->on, !why);
	if (!why)
		return;
	blk_direct_close(direct);
	vmm_log(
	    GMIG_LOG_WARNING,
	    "device=blk file=%s cache=none is not possible (%s): it goes through the host's cache",
	    path, why);
}

void blk_direct_close(struct blk_direct *direct)
{
	if (direct->fd >= 0)
		close(direct->fd);
	direct->fd = -1;
	if (direct->bounce)
		munmap(direct->bounce, BOUNCE_BYTES);
	direct->bounce = NULL;
}

bool blk_direct_can(const struct blk_direct *direct, uint64_t offset, uint64_t bytes)
{
	return atomic_load(&direct->on) && offset % direct->offset_align == 0 &&
	       bytes % direct->offset_align == 0;
}

/* ---- Transfers --------------------------------------------------------------------------------- */

static bool is_aligned(const struct blk_direct *direct, const struct iovec *iov,
		       unsigned int pieces)
{
	for (unsigned int i = 0; i < pieces; i++)
		if ((uintptr_t)iov[i].iov_base % direct->memory_align ||
		    iov[i].iov_len % direct->offset_align)
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

static ssize_t call(const struct blk_direct *direct, off_t offset, const struct iovec *iov,
		    unsigned int pieces, bool write, int flags)
{
	ssize_t done;

	do
		done = write ? pwritev2(direct->fd, iov, (int)pieces, offset, flags)
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
	return -EAGAIN;
}

static ssize_t bounce(struct blk_direct *direct, off_t offset, const struct iovec *iov,
		      unsigned int pieces, uint64_t bytes, bool write, int flags)
{
	struct iovec own = {direct->bounce, bytes < BOUNCE_BYTES ? bytes : BOUNCE_BYTES};
	ssize_t done;

	if (write)
		virtio_read_pieces(iov, pieces, 0, own.iov_base, own.iov_len);
	done = call(direct, offset, &own, 1, write, flags);
	if (!write && done > 0)
		virtio_write_pieces(iov, pieces, 0, own.iov_base, (size_t)done);
	atomic_fetch_add(&direct->bounced, 1);
	return done == -EINVAL ? give_up(direct) : done;
}

ssize_t blk_direct_some(struct blk_direct *direct, off_t offset, const struct iovec *iov,
			unsigned int pieces, uint64_t bytes, bool write, int flags)
{
	ssize_t done;

	if (!is_aligned(direct, iov, pieces) || !begin_pieces(direct, iov, pieces))
		return bounce(direct, offset, iov, pieces, bytes, write, flags);
	done = call(direct, offset, iov, pieces, write, flags);
	end_pieces(direct, iov, pieces);
	atomic_fetch_add(&direct->straight, 1);
	return done == -EINVAL ? give_up(direct) : done;
}
