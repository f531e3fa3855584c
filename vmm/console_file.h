/* The file, FIFO or character device that `--console file:PATH` writes to. */
#ifndef VMM_CONSOLE_FILE_H
#define VMM_CONSOLE_FILE_H

#include "../migrate/gmig.h"

#include <stdbool.h>

/*
 * Opens it for appending and never waits. A file is emptied first unless `append` is set, or made
 * with mode 0600. Returns the descriptor. -ELOOP: PATH is a symbolic link, which is not followed;
 * -ENXIO: a FIFO without a reader; -EINVAL: neither file, FIFO nor character device; -EBUSY: a
 * file that somebody has locked, as VMMs lock the disks of their guests; errors of open(2)
 * and fcntl(2): whether it is locked cannot be told.
 */
int console_file_open(const char *path, bool append, struct gmig_error *err);

#endif
