/*
 * One plan at a time is carried out: two that were made of the same free memory would both fill it. Two files, locked with flock(2) for as long as the command
 * runs; a command that was killed leaves files that are not locked. One is the user's own, plan.lock beside his list of closed nodes (root's: /run/gmig). The
 * other one lies beside gmigd's socket and is for all who may use that: root and the members of its group exclude each other. Plans of users whom gmigd does not
 * serve have guests of their own alone, and do not exclude each other.
 */
#ifndef CLI_FLEET_LOCK_H
#define CLI_FLEET_LOCK_H

#include "../migrate/gmig.h"

struct fleet_lock {
	int own, gmigd; /* descriptors; below 0: there is none */
};

/*
 * 0: both are held that there are for this user, until they are closed. -EBUSY: another rebalance or drain runs, the text says which process; -EPERM, -EMFILE and
 * the like: a file cannot be had.
 */
int fleet_lock(struct fleet_lock *lock, struct gmig_error *err);
void fleet_unlock(struct fleet_lock *lock);

#endif
