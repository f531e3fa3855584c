/* See blk_ring.h. */
#include "blk_ring.h"
#include "../migrate/core/wake.h"
#include "vmm.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILE_DISK, FILE_POKE, FILES }; /* registered, by number */
#define POKE_TAG UINT64_MAX
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct blk_ring {
	struct io_uring ring;
	int poke_fd;
	bool listens; /* a read of poke_fd is under way */
	bool complained;
	uint64_t pokes; /* read from it */
};

/* ---- Create, destroy --------------------------------------------------------------------------- */

/* Some liburing's libraries have no functions for these, though their headers do: Debian 12's. */
static int call_register(const struct blk_ring *ring, unsigned int what, const void *arg,
			 unsigned int count)
{
	return syscall(SYS_io_uring_register, ring->ring.ring_fd, what, arg, count) < 0 ? -errno
											: 0;
}

static int restrict_and_enable(struct blk_ring *ring, int fd)
{
	const int files[FILES] = {[FILE_DISK] = fd, [FILE_POKE] = ring->poke_fd};
	struct io_uring_restriction only[] = {
	    {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
	    {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV},
	    {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ},
	    {.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
	};
	int ret = io_uring_register_files(&ring->ring, files, FILES);

	if (!ret)
		ret = call_register(ring, IORING_REGISTER_RESTRICTIONS, only, COUNT(only));
	return ret ? ret : call_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

/* Filters may have io_uring_setup(2), and not this. */
static int check_enter(const struct blk_ring *ring)
{
	return syscall(SYS_io_uring_enter, ring->ring.ring_fd, 0, 0, 0, NULL, 0) < 0 ? -errno : 0;
}

int blk_ring_create(int fd, unsigned int depth, struct blk_ring **out)
{
	struct blk_ring *ring = calloc(1, sizeof(*ring));
	int ret;

	if (!ring)
		return -ENOMEM;
	/* One more: the read of pokes. It blocks, for the ring gives up at once on what does not. */
	ring->poke_fd = eventfd(0, EFD_CLOEXEC);
	ret = ring->poke_fd < 0
		  ? -errno
		  : io_uring_queue_init(depth + 1, &ring->ring, IORING_SETUP_R_DISABLED);
	if (ret) {
		if (ring->poke_fd >= 0)
			close(ring->poke_fd);
		free(ring);
		return ret;
	}
	ret = restrict_and_enable(ring, fd);
	if (!ret)
		ret = check_enter(ring);
	if (ret) {
		blk_ring_destroy(ring);
		return ret;
	}
	*out = ring;
	return 0;
}

void blk_ring_destroy(struct blk_ring *ring)
{
	if (!ring)
		return;
	io_uring_queue_exit(&ring->ring);
	close(ring->poke_fd);
	free(ring);
}

/* ---- Transfers --------------------------------------------------------------------------------- */

int blk_ring_add(struct blk_ring *ring, const struct blk_ring_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);

	if (!sqe)
		return -EBUSY;
	if (io->write)
		io_uring_prep_writev2(sqe, FILE_DISK, io->iov, io->pieces, io->offset, io->flags);
	else
		io_uring_prep_readv2(sqe, FILE_DISK, io->iov, io->pieces, io->offset, io->flags);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = io->tag;
	return 0;
}

static void listen_for_pokes(struct blk_ring *ring)
{
	struct io_uring_sqe *sqe = ring->listens ? NULL : io_uring_get_sqe(&ring->ring);

	if (!sqe)
		return;
	io_uring_prep_read(sqe, FILE_POKE, &ring->pokes, sizeof(ring->pokes), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = POKE_TAG;
	ring->listens = true;
}

static int take(struct blk_ring *ring, struct io_uring_cqe *cqe, unsigned int *tag, int *result)
{
	bool poked = cqe->user_data == POKE_TAG;

	if (poked) {
		ring->listens = false;
	} else {
		*tag = (unsigned int)cqe->user_data;
		*result = cqe->res;
	}
	io_uring_cqe_seen(&ring->ring, cqe);
	return !poked;
}

/* What the kernel had no memory for (EAGAIN) stays in the ring. */
static void rest(struct blk_ring *ring, int why)
{
	if (why != -EAGAIN && why != -EBUSY && !ring->complained)
		vmm_log(GMIG_LOG_ERROR, "device=blk io_uring_enter: %s; it is tried on and on",
			strerror(-why));
	ring->complained |= why != -EAGAIN && why != -EBUSY;
	poll(NULL, 0, 1);
}

int blk_ring_next(struct blk_ring *ring, unsigned int *tag, int *result)
{
	struct io_uring_cqe *cqe;

	for (;;) {
		bool ready = !io_uring_peek_cqe(&ring->ring, &cqe);
		int ret = 0;

		listen_for_pokes(ring);
		if (!ready || io_uring_sq_ready(&ring->ring))
			ret = io_uring_submit_and_wait(&ring->ring, 1);
		if (ready || !io_uring_peek_cqe(&ring->ring, &cqe))
			return take(ring, cqe, tag, result);
		if (ret < 0 && ret != -EINTR)
			rest(ring, ret);
	}
}

void blk_ring_poke(struct blk_ring *ring)
{
	wake_by(ring->poke_fd);
}
