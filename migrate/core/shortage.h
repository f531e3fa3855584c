/*
 * Errors that say nothing of what was asked for: the next try may have another answer. Not to be taken for "there is none". Any thread.
 */
#ifndef GMIG_SHORTAGE_H
#define GMIG_SHORTAGE_H

#include <errno.h>
#include <stdbool.h>

/* error: an errno, or its negative. Descriptors, memory, an interruption, a broken read. */
static inline bool is_shortage(int error)
{
	switch (error < 0 ? -error : error) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EINTR:
	case EAGAIN:
	case EIO:
		return true;
	default:
		return false;
	}
}

#endif
