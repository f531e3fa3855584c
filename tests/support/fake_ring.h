/*
 * Takes the place of blk_ring.c: what is in flight ends when the test says so, in any order, with any result. A program includes
 * it once. There is no io_uring until fake_ring_missing is 0.
 */
#ifndef FAKE_RING_H
#define FAKE_RING_H

#include "../../vmm/blk_ring.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAKE_RING_DEPTH 64u

/* An errno: why there is none */
static int fake_ring_missing = ENOSYS;

struct blk_ring {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	int fd;
	struct blk_ring_io flying[FAKE_RING_DEPTH]; /* in the order of their begin */
	unsigned int added, count;		    /* not begun yet; in flight */
	struct {
		unsigned int tag;
		int result;
	} ended[FAKE_RING_DEPTH];
	unsigned int ended_count;
	bool poked;
};

static struct blk_ring fake_ring;

int blk_ring_create(int fd, unsigned int depth, struct blk_ring **ring)
{
	ck_assert_uint_eq(depth, FAKE_RING_DEPTH);
	if (fake_ring_missing)
		return -fake_ring_missing;
	pthread_mutex_init(&fake_ring.lock, NULL);
	pthread_cond_init(&fake_ring.changed, NULL);
	fake_ring.fd = fd;
	*ring = &fake_ring;
	return 0;
}

void blk_ring_destroy(struct blk_ring *ring)
{
	if (ring)
		ck_assert_uint_eq(ring->count + ring->added + ring->ended_count, 0);
}

int blk_ring_add(struct blk_ring *ring, const struct blk_ring_io *io)
{
	pthread_mutex_lock(&ring->lock);
	ring->flying[ring->count + ring->added++] = *io;
	pthread_mutex_unlock(&ring->lock);
	return 0;
}

int blk_ring_next(struct blk_ring *ring, unsigned int *tag, int *result)
{
	bool ended;

	pthread_mutex_lock(&ring->lock);
	ring->count += ring->added;
	ring->added = 0;
	while (!ring->ended_count && !ring->poked)
		pthread_cond_wait(&ring->changed, &ring->lock);
	ended = ring->ended_count;
	if (ended) {
		*tag = ring->ended[0].tag;
		*result = ring->ended[0].result;
		ring->ended_count--;
		memmove(ring->ended, ring->ended + 1, ring->ended_count * sizeof(ring->ended[0]));
	} else {
		ring->poked = false;
	}
	pthread_mutex_unlock(&ring->lock);
	return ended;
}

void blk_ring_poke(struct blk_ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->poked = true;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

/* ---- For tests --------------------------------------------------------------------------------- */

static inline unsigned int fake_ring_count(void)
{
	unsigned int count;

	pthread_mutex_lock(&fake_ring.lock);
	count = fake_ring.count;
	pthread_mutex_unlock(&fake_ring.lock);
	return count;
}

static inline void fake_ring_await(unsigned int count)
{
	for (unsigned int tries = 0; fake_ring_count() != count; tries++) {
		ck_assert_uint_lt(tries, 20000);
		poll(NULL, 0, 1);
	}
}

/* The index-th of those in flight ends with this result. Returns what it was. */
static inline struct blk_ring_io fake_ring_end_with(unsigned int index, int result)
{
	struct blk_ring_io io;

	pthread_mutex_lock(&fake_ring.lock);
	ck_assert_uint_lt(index, fake_ring.count);
	io = fake_ring.flying[index];
	fake_ring.count--;
	memmove(fake_ring.flying + index, fake_ring.flying + index + 1,
		(fake_ring.count + fake_ring.added - index) * sizeof(io));
	fake_ring.ended[fake_ring.ended_count].tag = io.tag;
	fake_ring.ended[fake_ring.ended_count++].result = result;
	pthread_cond_signal(&fake_ring.changed);
	pthread_mutex_unlock(&fake_ring.lock);
	return io;
}

/* As the kernel does it; at most `bytes` of its first piece. */
static inline struct blk_ring_io fake_ring_end_part(unsigned int index, size_t bytes)
{
	struct blk_ring_io io;
	ssize_t done;

	pthread_mutex_lock(&fake_ring.lock);
	ck_assert_uint_lt(index, fake_ring.count);
	io = fake_ring.flying[index];
	pthread_mutex_unlock(&fake_ring.lock);
	ck_assert_uint_eq(io.pieces, 1);
	if (bytes > io.iov->iov_len)
		bytes = io.iov->iov_len;
	done = io.write ? pwrite(fake_ring.fd, io.iov->iov_base, bytes, (off_t)io.offset)
			: pread(fake_ring.fd, io.iov->iov_base, bytes, (off_t)io.offset);
	ck_assert_int_eq(done, (ssize_t)bytes);
	return fake_ring_end_with(index, (int)done);
}

static inline struct blk_ring_io fake_ring_end(unsigned int index)
{
	return fake_ring_end_part(index, SIZE_MAX);
}

#endif
