/*
 * Numbers with units, as gmig reads and prints them: sizes are powers of two (2M, 1.5G), rates of
 * finished work are powers of ten (GB/s). Any thread.
 */
#ifndef CLI_UNITS_H
#define CLI_UNITS_H

#include "../migrate/gmig_error.h"

#include <stddef.h>
#include <stdint.h>

#define UNITS_TEXT	32
#define UNITS_SECOND_NS 1000000000ull
#define UNITS_HOUR_NS	(3600 * UNITS_SECOND_NS)

/* Bytes, as control/size.h reads them, a plain number is bytes. -EINVAL not a size, -ERANGE over 64
 * bits. */
int units_parse_size(const char *text, uint64_t *bytes, struct gmig_error *err);
/* An address: hexadecimal behind 0x, else as a size, 1G. -EINVAL not that, -ERANGE over 64 bits. */
int units_parse_address(const char *text, uint64_t *address, struct gmig_error *err);
/* Nanoseconds, as control/size.h reads a time; it needs its unit: 500us, 1.5ms, 2s. -EINVAL not that, -ERANGE over an hour. */
int units_parse_ns(const char *text, uint64_t *ns, struct gmig_error *err);
/* The same where a plain number is seconds: 10, 10s, 1.5s, 10min. -ERANGE over max_seconds. */
int units_parse_seconds(const char *text, uint64_t max_seconds, uint64_t *ns,
			struct gmig_error *err);
/*
 * A share as parts per million: 5%, 0.5%. -EINVAL not a number and %, or none between 0.0001% and 100%.
 */
int units_parse_share(const char *text, uint32_t *ppm, struct gmig_error *err);
/* A plain number, at most max. -EINVAL no number, -ERANGE over max. */
int units_parse_count(const char *text, uint64_t max, uint64_t *value, struct gmig_error *err);

/* Each fills text[UNITS_TEXT] and returns it. */
const char *units_size(uint64_t bytes, char *text);
const char *units_rate(double bytes_per_second, char *text);
const char *units_ns(uint64_t ns, char *text);
/* Exactly, as it would be written on a command line: 500us, 90s, 1h. */
const char *units_time(uint64_t ns, char *text);

#endif
