/* Waits that end at a time, by a clock that nobody sets: a host that corrects its time makes none of them too short or long. */
#ifndef VMM_DEADLINE_H
#define VMM_DEADLINE_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t deadline_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Now and that many milliseconds. */
static inline struct timespec deadline_in(int ms)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_nsec += ms % 1000 * 1000000l;
	deadline.tv_sec += ms / 1000 + deadline.tv_nsec / 1000000000;
	deadline.tv_nsec %= 1000000000;
	return deadline;
}

/* For any condition variable. 0: woken, perhaps for nothing; ETIMEDOUT. */
static inline int deadline_wait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				const struct timespec *deadline)
{
	return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, deadline);
}

#endif
