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
 * A journal, as directory/UUIDsuffix. json goes with the call; NULL: there was no memory for it. what ("the journal of a move") begins the text of an error,
 * which names the directory.
 */
int state_file_save(const char *directory, const char *uuid, const char *suffix, json_t *json,
		    const char *what, struct gmig_error *err);
/* Removed, or not there. */
void state_file_remove(const char *directory, const char *uuid, const char *suffix);
/*
 * The JSON of directory/UUIDsuffix, to `read`, which says whether it is what it should be, or has ENOMEM in errno where there was no memory. -ENOENT there is none; -EBADMSG it cannot be
 * understood, or is of another uuid, or is no file, or one of 64 MiB or more; -EIO it cannot be read now. Never waits, not for a FIFO.
 */
int state_file_read(const char *directory, const char *uuid, const char *suffix,
		    bool (*read)(const json_t *json, void *into), void *into,
		    struct gmig_error *err);
/* What all journals have: "version", "uuid", and the process that it is about, "pid" and "start_time". False: it is not so, or of another version. */
#define STATE_FILE_VERSION 1
bool state_file_owner(const json_t *json, char uuid[QEMU_UUID_TEXT], pid_t *pid,
		      uint64_t *start_time);
/*
 * One that cannot be understood: to a name of its own, directory/UUIDsuffix.bad-1 and so on, up to STATE_FILE_ASIDE; if all are there the last one is replaced.
 * 0 and the path, or -errno.
 */
#define STATE_FILE_ASIDE 4
int state_file_set_aside(const char *directory, const char *uuid, const char *suffix,
			 char kept[PATH_MAX]);
/* Of all journals, NULL-ended: of a move, of pins, of what libvirt is to be told, of nodes that cpusets keep. */
extern const char *const state_file_suffixes[];
/* How many files have been set aside there and are there still; or -errno. */
int state_file_count_aside(const char *directory);
/* The first one that was set aside and is there still. */
bool state_file_find_aside(const char *directory, const char *uuid, const char *suffix,
			   char kept[PATH_MAX]);
/* The uuids of all files with that suffix; *uuids is the caller's to free. How many, or -errno. */
int state_file_list(const char *directory, const char *suffix, char (**uuids)[QEMU_UUID_TEXT]);

#endif
