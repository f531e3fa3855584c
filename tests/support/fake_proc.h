/* Files of a process in the tree of host_tree.h. */
#ifndef FAKE_PROC_H
#define FAKE_PROC_H

#include "host_tree.h"

/* Write a file below tree_root, and the directories above it. Threads that read it meanwhile see the
 * old one or the new one. */
__attribute__((format(printf, 2, 3))) void fake_file(const char *name, const char *format, ...);

/* A file without a name, to be read from its beginning. */
__attribute__((format(printf, 1, 2))) int fake_text(const char *format, ...);

#endif
