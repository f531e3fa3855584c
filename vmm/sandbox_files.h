/* Landlock: the files that a thread may still open (landlock(7), Documentation/userspace-api/landlock.rst). */
#ifndef VMM_SANDBOX_FILES_H
#define VMM_SANDBOX_FILES_H

#include "../migrate/gmig.h"

/* A set of rules that allows nothing. *abi: Landlock's version, *rules a descriptor; 0 and -1: this kernel has none. -errno. */
int sandbox_files_create(int *rules, int *abi, struct gmig_error *err);
/*
 * Allow to read the file, or what is below the directory; `remove`: also to remove what is in it. A path that does not exist is
 * nothing to open. Keeps a descriptor of its own, since in procfs a name that nobody uses gets a new inode, for which the rule
 * would not count.
 */
int sandbox_files_allow(int rules, const char *path, bool remove, struct gmig_error *err);
/* The calling thread. */
int sandbox_files_restrict(int rules, struct gmig_error *err);

#endif
