/*
 * A rate limit in bytes: a token bucket with a line in front of it. Plain arithmetic with the time
 * passed in, so that tests move time by hand; the owner locks (a job: job.lock).
 *
 *     rate_join(rate, &ticket, bytes)          take a place in the line
 *     while ((wait = rate_turn(rate, &ticket, now)))
 *             sleep for `wait` ns, or leave with rate_leave()
 *     move the bytes                           they are paid for
 *
 * What it promises
 * - Bytes are paid before they are moved: the first piece of a job waits too. At 10 KiB/s a 2 MiB
 *   block has its turn 204.8 s after the start, and one each 204.8 s from then on; a job of n bytes
 *   lasts n / rate at least, however small.
 * - The line is first come, first served, whatever the sizes: a taker of 4 KiB waits for the 2 MiB
 *   before it, and a taker of 2 MiB is not overtaken by those who want less.
 * - While somebody waits, each nanosecond earns: who wakes late loses nothing. While nobody waits,
 *   no more is saved up than the burst: 20 ms of the rate, or the largest piece so far if that is
 *   more (the next piece is paid for while one is moved). So what passes in t seconds is at most
 *   rate * t + burst + what stood in line at their beginning.
 * - A new rate holds at once, for those in line too. A pause earns nothing and forfeits nothing.
 *
 * Rates from 1 byte/s to 2^64 - 1, pieces up to 2^63; fractions of bytes are carried on. The line is
 * walked at each call: it holds one ticket a copy worker.
 */
#ifndef GMIG_RATE_H
#define GMIG_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* A place in the line; memory is the taker's, and must stay where it is until it left the line. */
struct rate_ticket {
	struct rate_ticket *next;
	uint64_t bytes;
};

struct rate {
	uint64_t bytes_per_second; /* 0 = no limit */
	uint64_t at_ns;		   /* up to when tokens were counted */
	uint64_t tokens;	   /* bytes that are paid for and not taken */
	uint32_t rest;		   /* and billionths of a byte */
	bool paused;
	uint64_t largest;	  /* piece taken so far */
	struct rate_ticket *line; /* oldest first */
};

/* The longest that rate_turn() tells anybody to wait: ask again then. */
#define RATE_WAIT_MAX_NS 3600000000000ull

/* An empty bucket that earns from now_ns on. */
void rate_init(struct rate *rate, uint64_t bytes_per_second, uint64_t now_ns);
/* The new rate holds from now on. What was saved up is kept, within the new rate's burst. Tickets may
 * have their turn earlier than they were told: the owner wakes them. */
void rate_set(struct rate *rate, uint64_t bytes_per_second, uint64_t now_ns);
/* No time counts until rate_resume(). Tickets keep their places. */
void rate_pause(struct rate *rate, uint64_t now_ns);
void rate_resume(struct rate *rate, uint64_t now_ns);

/* Take a place at the end of the line. The ticket must not be in line already. */
void rate_join(struct rate *rate, struct rate_ticket *ticket, uint64_t bytes, uint64_t now_ns);
/*
 * 0: it is the ticket's turn; its bytes are taken and it has left the line. Else: how many ns to
 * wait before asking again, RATE_WAIT_MAX_NS at most.
 */
uint64_t rate_turn(struct rate *rate, struct rate_ticket *ticket, uint64_t now_ns);
/* Leave the line without a turn: those behind move up, and the owner wakes them. */
void rate_leave(struct rate *rate, struct rate_ticket *ticket, uint64_t now_ns);
/* Of what a turn took, these bytes were not moved: they pay for those in line, or are saved up as
 * far as the burst allows. */
void rate_give_back(struct rate *rate, uint64_t bytes, uint64_t now_ns);

#endif
