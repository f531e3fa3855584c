/*
 * One plan at a time is carried out: two that were made of the same free memory would both fill it. plan.lock beside the control sockets, locked with flock(2)
 * for as long as the command runs; a command that was killed leaves a file that is not locked. Root's plans and those of a user do not exclude each other.
 */
#ifndef CLI_FLEET_LOCK_H
#define CLI_FLEET_LOCK_H

#include "../migrate/gmig.h"

/*
 * A descriptor that holds the lock as long as it is open. -EBUSY: another rebalance or drain runs, the text says which process;
 * -EACCES and the like: there can be no such file; -ENOENT: this user has no place for one.
 */
int fleet_lock(struct gmig_error *err);

#endif
