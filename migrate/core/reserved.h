/*
 * The room that structs of the public header keep for later versions (docs/library.md), as clone3(2) and openat2(2) treat
 * what they do not know: 0, or the caller asks for something that this library cannot do.
 */
#ifndef GMIG_RESERVED_H
#define GMIG_RESERVED_H

#include "../gmig_error.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

static inline int reserved_check(const uint64_t *reserved, size_t count, struct gmig_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (reserved[i])
			return gmig_fail(
			    err, -E2BIG,
			    "the program asks for what this version of libgmig does not know");
	return 0;
}

/* -E2BIG unless spec->reserved is 0 */
#define RESERVED_UNUSED(spec, err)                                                                 \
	reserved_check((spec)->reserved, sizeof((spec)->reserved) / sizeof((spec)->reserved[0]),   \
		       err)

#endif
