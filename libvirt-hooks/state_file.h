/*
 * A small file that is there as a whole or not at all, whenever we are killed: written aside, synced, renamed. For the journals.
 * No state, any thread; each file is one thread's at a time.
 */
#ifndef STATE_FILE_H
#define STATE_FILE_H

#include "../migrate/gmig_error.h"
#include "qemu_process.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

/* directory/UUIDsuffix. False: too long, or the uuid has a slash. */
bool state_file_path(char path[PATH_MAX], const char *directory, const char *uuid,
		     const char *suffix);
/* Mode 0600. 0 or -errno: what was there before stays. */
int state_file_write(const char *directory, const char *path, const char *text);
/*
 * The JSON of directory/UUIDsuffix, to `read`, which says whether it is what it should be. -ENOENT there is none; -EBADMSG it cannot be
 * understood, or is no file, or one of 64 MiB or more; -EIO it cannot be read now. Never waits, not for a FIFO.
 */
int state_file_read(const char *directory, const char *uuid, const char *suffix,
		    bool (*read)(const json_t *json, void *into), void *into,
		    struct gmig_error *err);
/* The process that a file is about, "pid" and "start_time". False: it names none that could be. */
bool state_file_process(const json_t *json, pid_t *pid, uint64_t *start_time);
/*
 * One that cannot be understood: to a name of its own, directory/UUIDsuffix.bad-1 and so on, up to STATE_FILE_ASIDE; if all are there the last one is replaced.
 * 0 and the path, or -errno.
 */
#define STATE_FILE_ASIDE 4
int state_file_set_aside(const char *directory, const char *uuid, const char *suffix,
			 char kept[PATH_MAX]);
/* The first one that was set aside and had been written at written_s (CLOCK_REALTIME) or later. */
bool state_file_find_aside(const char *directory, const char *uuid, const char *suffix,
			   int64_t written_s, char kept[PATH_MAX]);
/* The uuids of all files with that suffix; *uuids is the caller's to free. How many, or -errno. */
int state_file_list(const char *directory, const char *suffix, char (**uuids)[QEMU_UUID_TEXT]);

#endif
