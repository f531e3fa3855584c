#include "rate.h"

#include <stddef.h>

#define SECOND	    1000000000ull
#define BURST_SHARE 50 /* of a second: 20 ms may be saved up, against late wake-ups */

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Bytes in line up to and with `last`; NULL: all. */
static uint64_t line_bytes(const struct rate *rate, const struct rate_ticket *last)
{
	const struct rate_ticket *end = last ? last->next : NULL, *ticket;
	uint64_t bytes = 0;

	for (ticket = rate->line; ticket != end; ticket = ticket->next)
		bytes = add_saturated(bytes, ticket->bytes);
	return bytes;
}

/* What may be in the bucket: the line's bytes, so that nobody who waits loses any, and the burst. */
static uint64_t most_tokens(const struct rate *rate)
{
	uint64_t burst = rate->bytes_per_second / BURST_SHARE;

	if (burst < rate->largest)
		burst = rate->largest;
	return add_saturated(line_bytes(rate, NULL), burst);
}

static void put(struct rate *rate, unsigned __int128 tokens)
{
	uint64_t most = most_tokens(rate);

	tokens += rate->tokens;
	if (tokens > most) {
		tokens = most;
		rate->rest = 0;
	}
	rate->tokens = (uint64_t)tokens;
}

/* Count the time since the last call. */
static void earn(struct rate *rate, uint64_t now_ns)
{
	unsigned __int128 billionths;
	uint64_t passed;

	if (now_ns <= rate->at_ns || rate->paused)
		return;
	passed = now_ns - rate->at_ns;
	rate->at_ns = now_ns;
	/* No overflow: (2^64 - 1)^2 leaves room for 2^65 more. */
	billionths = (unsigned __int128)passed * rate->bytes_per_second + rate->rest;
	rate->rest = (uint32_t)(billionths % SECOND);
	put(rate, billionths / SECOND);
}

void rate_init(struct rate *rate, uint64_t bytes_per_second, uint64_t now_ns)
{
	*rate = (struct rate){.bytes_per_second = bytes_per_second, .at_ns = now_ns};
}

void rate_set(struct rate *rate, uint64_t bytes_per_second, uint64_t now_ns)
{
	earn(rate, now_ns);
	rate->bytes_per_second = bytes_per_second;
	put(rate, 0);
}

void rate_pause(struct rate *rate, uint64_t now_ns)
{
	earn(rate, now_ns);
	rate->paused = true;
}

void rate_resume(struct rate *rate, uint64_t now_ns)
{
	if (!rate->paused)
		return;
	rate->paused = false;
	rate->at_ns = now_ns;
}

void rate_join(struct rate *rate, struct rate_ticket *ticket, uint64_t bytes, uint64_t now_ns)
{
	struct rate_ticket **end = &rate->line;

	/* Before it stands in line: the time until now was nobody's wait. */
	earn(rate, now_ns);
	while (*end)
		end = &(*end)->next;
	*ticket = (struct rate_ticket){.bytes = bytes};
	*end = ticket;
}

static void unlink_ticket(struct rate *rate, struct rate_ticket *ticket)
{
	struct rate_ticket **link = &rate->line;

	while (*link && *link != ticket)
		link = &(*link)->next;
	if (*link)
		*link = ticket->next;
	ticket->next = NULL;
}

/* From 1: a wait of 0 would mean that it is the ticket's turn. */
static uint64_t time_of(const struct rate *rate, uint64_t bytes)
{
	unsigned __int128 billionths = (unsigned __int128)bytes * SECOND - rate->rest;
	unsigned __int128 ns = (billionths + rate->bytes_per_second - 1) / rate->bytes_per_second;

	return ns > RATE_WAIT_MAX_NS ? RATE_WAIT_MAX_NS : (uint64_t)ns;
}

uint64_t rate_turn(struct rate *rate, struct rate_ticket *ticket, uint64_t now_ns)
{
	uint64_t needed;

	if (rate->paused)
		return RATE_WAIT_MAX_NS;
	earn(rate, now_ns);
	if (rate->bytes_per_second) {
		needed = line_bytes(rate, ticket);
		if (needed > rate->tokens)
			return time_of(rate, needed - rate->tokens);
		rate->tokens -= ticket->bytes;
		if (rate->largest < ticket->bytes)
			rate->largest = ticket->bytes;
	}
	unlink_ticket(rate, ticket);
	return 0;
}

void rate_leave(struct rate *rate, struct rate_ticket *ticket, uint64_t now_ns)
{
	earn(rate, now_ns);
	unlink_ticket(rate, ticket);
	put(rate, 0);
}

void rate_give_back(struct rate *rate, uint64_t bytes, uint64_t now_ns)
{
	if (!rate->bytes_per_second)
		return;
	earn(rate, now_ns);
	put(rate, bytes);
}
