/*
 * Numbers with units, as gmig reads and prints them: sizes are powers of two (2M, 1.5G), rates of
 * finished work are powers of ten (GB/s). Any thread.
 */
#ifndef CLI_UNITS_H
#define CLI_UNITS_H

#include "../migrate/gmig_error.h"

#include <stddef.h>
#include <stdint.h>

#define UNITS_TEXT 32

/* Bytes, as control/size.h reads them, a plain number is bytes. -EINVAL not a size, -ERANGE over 64
 * bits. */
int units_parse_size(const char *text, uint64_t *bytes, struct gmig_error *err);
/* Nanoseconds: a number and its unit, as in 500us, 1.5ms or 2s. -EINVAL not that, -ERANGE over an hour. */
int units_parse_ns(const char *text, uint64_t *ns, struct gmig_error *err);
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

#endif
