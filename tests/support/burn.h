/* CPU time of the calling thread. */
#ifndef TEST_BURN_H
#define TEST_BURN_H

#include <stdint.h>
#include <time.h>

/* So much of it was used. */
static inline uint64_t burnt_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Use it up. */
static inline void burn(unsigned int ms)
{
	uint64_t until_us = burnt_us() + ms * 1000ull;

	while (burnt_us() < until_us)
		;
}

#endif
