/* The one sink of gmig-vmm's log lines. */
#include "vmm.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};

__attribute__((format(printf, 2, 0))) static void write_line(enum gmig_log_level level,
							     const char *format, va_list args)
{
	char line[512];

	vsnprintf(line, sizeof(line), format, args);
	fprintf(stderr, "gmig-vmm: %s %s\n", level_names[level], line);
}

void vmm_log(enum gmig_log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}

/* Ten lines per second. The second and the lines left in it share one word, so that no lock is
 * needed. */
static bool may_log_guest(void)
{
	static _Atomic uint64_t second_and_count;
	struct timespec now;
	uint64_t old = atomic_load(&second_and_count), next;

	clock_gettime(CLOCK_MONOTONIC, &now);
	do {
		uint64_t second = old >> 8, count = old & 0xff;

		if (second != (uint64_t)now.tv_sec)
			next = (uint64_t)now.tv_sec << 8 | 1;
		else if (count < 10)
			next = old + 1;
		else
			return false;
	} while (!atomic_compare_exchange_weak(&second_and_count, &old, next));
	return true;
}

void vmm_log_guest(enum gmig_log_level level, const char *format, ...)
{
	va_list args;

	if (!may_log_guest())
		return;
	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}
