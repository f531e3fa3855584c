/*
 * A host's /sys and /proc as files in a temporary directory, with whatever nodes a test wants. One tree a process; Check
 * runs each case in its own.
 */
#ifndef TEST_HOST_TREE_H
#define TEST_HOST_TREE_H

#include <check.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_NODES "/sys/devices/system/node"

struct tree_node {
	unsigned int id;
	unsigned int mib, free_mib;
	const char *cpus;     /* "0-2,9", "": none */
	const char *distance; /* to each online node, "10 15 20" */
};

extern const char *tree_parent; /* where it is made; "/tmp" */
extern char tree_root[64];

/* The directory, and its end with all that is in it. */
void tree_create(void);
void tree_remove(void);

/* Write the file at the path that format gives, and make the directories above it. */
__attribute__((format(printf, 2, 3))) void tree_write(const char *text, const char *format, ...);

/* The files of one node. */
void tree_node(const struct tree_node *node);

/* The files of the whole host: these nodes are online, in this order ascending. */
void tree_nodes(const char *possible, const struct tree_node *nodes, size_t count);

/* mems: of the process, as in a cpuset. */
void tree_cpuset(const char *mems);

#endif
