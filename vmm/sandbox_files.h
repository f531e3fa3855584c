/* Landlock: the files that a thread may still open (landlock(7), Documentation/userspace-api/landlock.rst). */
#ifndef VMM_SANDBOX_FILES_H
#define VMM_SANDBOX_FILES_H

#include "../migrate/gmig.h"

/* A set of rules that allows nothing. *abi: Landlock's version, *rules a descriptor; 0 and -1: this kernel has none. -errno. */
int sandbox_files_create(int *rules, int *abi, struct gmig_error *err);
enum sandbox_files_right {
	SANDBOX_FILES_READ,   /* the file, or what is below the directory */
	SANDBOX_FILES_REMOVE, /* files below the directory, which may be listed */
	SANDBOX_FILES_DUMP, /* make new files below the directory and write them, as the kernel does for a core dump */
};
/*
 * A path that does not exist, or that this user cannot reach, is nothing to open. One that cannot be looked at for want of
 * descriptors or memory is an error, since it would stay closed for the guest's life. Keeps a descriptor of its own, since in procfs a name that nobody uses gets a new inode, for which the rule
 * would not count.
 */
int sandbox_files_allow(int rules, const char *path, enum sandbox_files_right right,
			struct gmig_error *err);
/* The calling thread. */
int sandbox_files_restrict(int rules, struct gmig_error *err);

#endif
