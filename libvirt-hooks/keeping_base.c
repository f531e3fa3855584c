/* The clock and the log of keeping.h. */
#include "keeping_inside.h"

#include <stdarg.h>
#include <time.h>

#define NS 1000000000ull

uint64_t keeping_now(const struct keeping *keeping)
{
	struct timespec ts;

	if (keeping->options.now_ns)
		return keeping->options.now_ns(keeping->options.opaque);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

bool keeping_is_ending(struct keeping *keeping)
{
	bool ending;

	pthread_mutex_lock(&keeping->lock);
	ending = keeping->ending;
	pthread_mutex_unlock(&keeping->lock);
	return ending;
}

void keeping_log(const struct keeping *keeping, enum gmig_log_level level, const char *format, ...)
{
	const struct domain_host *host = keeping->options.host;
	char line[2 * GMIG_ERROR_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (host->log)
		host->log(host->opaque, level, line);
}
