/*
 * A token bucket, in bytes. Plain arithmetic with the time passed in; the owner locks.
 */
#ifndef GMIG_RATE_H
#define GMIG_RATE_H

#include <stdint.h>

struct rate {
	uint64_t bytes_per_second; /* 0 = no limit */
	uint64_t at_ns;		   /* up to when tokens were counted */
	uint64_t tokens;	   /* bytes */
};

void rate_init(struct rate *rate, uint64_t bytes_per_second, uint64_t now_ns);
/* A new rate holds from now on; tokens saved at the old one are kept, within the new rate's burst.
 */
void rate_set(struct rate *rate, uint64_t bytes_per_second, uint64_t now_ns);
/* Time that passed in a pause earns nothing. */
void rate_skip(struct rate *rate, uint64_t now_ns);
/* 0: bytes were taken. Else how many ns to wait before asking again. */
uint64_t rate_take(struct rate *rate, uint64_t bytes, uint64_t now_ns);

#endif
