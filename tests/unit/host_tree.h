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

static char tree_root[64];

static inline void tree_create(void)
{
	strcpy(tree_root, "/tmp/gmig-test-host-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(tree_root));
}

static inline int tree_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void tree_remove(void)
{
	if (*tree_root)
		nftw(tree_root, tree_unlink, 16, FTW_DEPTH | FTW_PHYS);
	*tree_root = '\0';
}

/* The file at the path that format gives, and the directories above it. */
__attribute__((format(printf, 2, 3))) static inline void tree_write(const char *text,
								    const char *format, ...)
{
	char path[512];
	size_t root = strlen(tree_root);
	va_list args;
	FILE *file;

	memcpy(path, tree_root, root);
	va_start(args, format);
	vsnprintf(path + root, sizeof(path) - root, format, args);
	va_end(args);
	for (char *at = path + root + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(path, 0777);
		*at = '/';
	}
	file = fopen(path, "w");
	ck_assert_msg(file != NULL, "%s", path);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
}

static inline void tree_node(const struct tree_node *node)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "Node %u MemTotal:       %u kB\nNode %u MemFree:        %u kB\n"
		 "Node %u MemUsed:        1 kB\n",
		 node->id, node->mib << 10, node->id, node->free_mib << 10, node->id);
	tree_write(text, TREE_NODES "/node%u/meminfo", node->id);
	snprintf(text, sizeof(text), "%s\n", node->cpus);
	tree_write(text, TREE_NODES "/node%u/cpulist", node->id);
	snprintf(text, sizeof(text), "%s\n", node->distance);
	tree_write(text, TREE_NODES "/node%u/distance", node->id);
}

/* The files of the whole host: these nodes are online, in this order ascending. */
static inline void tree_nodes(const char *possible, const struct tree_node *nodes, size_t count)
{
	char online[256] = "", memory[256] = "";

	for (size_t i = 0; i < count; i++) {
		tree_node(&nodes[i]);
		snprintf(online + strlen(online), sizeof(online) - strlen(online), "%s%u",
			 *online ? "," : "", nodes[i].id);
		if (nodes[i].mib)
			snprintf(memory + strlen(memory), sizeof(memory) - strlen(memory), "%s%u",
				 *memory ? "," : "", nodes[i].id);
	}
	tree_write(possible, TREE_NODES "/possible");
	tree_write(online, TREE_NODES "/online");
	tree_write(memory, TREE_NODES "/has_memory");
}

/* mems: of the process, as in a cpuset. */
static inline void tree_cpuset(const char *mems)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "Name:\ttest\nMems_allowed:\tff\nMems_allowed_list:\t%s\n"
		 "voluntary_ctxt_switches:\t1\n",
		 mems);
	tree_write(text, "/proc/self/status");
}

#endif
