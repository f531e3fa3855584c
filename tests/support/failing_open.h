/* One open(2) or fopen(3) of the program's own objects fails. Linked with --wrap=open,--wrap=fopen. One thread; the paths below are for any. */
#ifndef TEST_FAILING_OPEN_H
#define TEST_FAILING_OPEN_H

#include <stdatomic.h>

/* The one that fails, counted from 0; negative: none. Its errno. */
extern int open_fails, open_error;
/* Each path that ends so cannot be opened, with this errno (EMFILE at first); NULL: none. */
extern const char *_Atomic unreadable;
extern atomic_int unreadable_error;

#endif
