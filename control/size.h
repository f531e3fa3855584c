/*
 * How all programs read a size: digits, perhaps a fraction, and one of K M G T (powers of two, upper
 * or lower case), as 4096, 2M, 1.5G; and a share, and a time. libc only, so that the guest agent can
 * link it statically. Any thread; the locale does not matter.
 */
#ifndef CONTROL_SIZE_H
#define CONTROL_SIZE_H

#include <stdint.h>

/*
 * plain_bytes is the unit of a number without a letter: 1, or 1 << 20 for sizes in MiB. A fraction
 * needs a letter; what it gives beyond whole bytes is dropped. -EINVAL: not a size; -ERANGE: over
 * 64 bits. *bytes is set only on success.
 */
int control_size_parse(const char *text, uint64_t plain_bytes, uint64_t *bytes);
/*
 * A share in parts per million: 5%, 0.5%; what is beyond four decimals is dropped. -EINVAL: not one; -ERANGE: not within 0.0001%
 * to 100%. *ppm is set only on success.
 */
int control_share_parse(const char *text, uint32_t *ppm);
/*
 * A time in nanoseconds: digits, perhaps a fraction, and one of ns us ms s min h, as 500us, 1.5ms, 10s. plain_ns is the unit of a
 * number without one, and 0 if each needs one. A fraction needs a unit; what it gives beyond whole nanoseconds is dropped.
 * -EINVAL: not a time; -ERANGE: over max_ns. *ns is set only on success.
 */
int control_time_parse(const char *text, uint64_t plain_ns, uint64_t max_ns, uint64_t *ns);

#endif
