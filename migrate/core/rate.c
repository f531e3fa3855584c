#include "rate.h"

#define SECOND	    1000000000ull
#define BURST_SHARE 50 /* of a second: 20 ms may be saved up, against late wake-ups */

static uint64_t burst(const struct rate *rate, uint64_t bytes)
{
	uint64_t most = rate->bytes_per_second / BURST_SHARE;

	return most > bytes ? most : bytes;
}

/* Whole bytes only; the rest of the time stays uncounted, so that nothing is lost to rounding. */
static void refill(struct rate *rate, uint64_t now_ns)
{
	uint64_t passed = now_ns - rate->at_ns;
	uint64_t earned;

	if (passed > SECOND)
		passed = SECOND;
	earned = (uint64_t)((unsigned __int128)passed * rate->bytes_per_second / SECOND);
	if (!earned)
		return;
	rate->tokens += earned;
	rate->at_ns = passed == SECOND ? now_ns
				       : rate->at_ns + (uint64_t)((unsigned __int128)earned *
								  SECOND / rate->bytes_per_second);
}

void rate_init(struct rate *rate, uint64_t bytes_per_second, uint64_t now_ns)
{
	*rate = (struct rate){.bytes_per_second = bytes_per_second, .at_ns = now_ns};
}

void rate_set(struct rate *rate, uint64_t bytes_per_second, uint64_t now_ns)
{
	if (rate->bytes_per_second)
		refill(rate, now_ns);
	rate->bytes_per_second = bytes_per_second;
	rate->at_ns = now_ns;
}

void rate_skip(struct rate *rate, uint64_t now_ns)
{
	rate->at_ns = now_ns;
}

uint64_t rate_take(struct rate *rate, uint64_t bytes, uint64_t now_ns)
{
	if (!rate->bytes_per_second)
		return 0;
	refill(rate, now_ns);
	if (rate->tokens > burst(rate, bytes))
		rate->tokens = burst(rate, bytes);
	if (rate->tokens >= bytes) {
		rate->tokens -= bytes;
		return 0;
	}
	return (uint64_t)((unsigned __int128)(bytes - rate->tokens) * SECOND /
			  rate->bytes_per_second) +
	       1;
}
