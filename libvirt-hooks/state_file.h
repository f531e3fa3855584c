/*
 * A small file that is there as a whole or not at all, whenever we are killed: written aside, synced, renamed. For the journals.
 * No state, any thread; each file is one thread's at a time.
 */
#ifndef STATE_FILE_H
#define STATE_FILE_H

#include <limits.h>
#include <stdbool.h>

/* directory/UUIDsuffix. False: too long, or the uuid has a slash. */
bool state_file_path(char path[PATH_MAX], const char *directory, const char *uuid,
		     const char *suffix);
/* Mode 0600. 0 or -errno: what was there before stays. */
int state_file_write(const char *directory, const char *path, const char *text);

#endif
