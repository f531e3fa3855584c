/* Which locks this thread has: see held_locks.c. */
#ifndef TEST_HELD_LOCKS_H
#define TEST_HELD_LOCKS_H

/* How many; 0 also under sanitizers, where nobody counts. */
unsigned int held_locks(void);

#endif
