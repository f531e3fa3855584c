#include "host_tree.h"

char tree_root[64];
const char *tree_parent = "/tmp";

void tree_create(void)
{
	snprintf(tree_root, sizeof(tree_root), "%s/gmig-test-host-XXXXXX", tree_parent);
	ck_assert_ptr_nonnull(mkdtemp(tree_root));
}

static int tree_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void tree_remove(void)
{
	if (*tree_root)
		nftw(tree_root, tree_unlink, 16, FTW_DEPTH | FTW_PHYS);
	*tree_root = '\0';
}

void tree_write(const char *text, const char *format, ...)
{
	char path[512], fresh[520];
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
	/* As the kernel's files are: nobody reads half of one. */
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	file = fopen(fresh, "w");
	ck_assert_msg(file != NULL, "%s", fresh);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(rename(fresh, path), 0);
}

void tree_node(const struct tree_node *node)
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

void tree_nodes(const char *possible, const struct tree_node *nodes, size_t count)
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

void tree_cpuset(const char *mems)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "Name:\ttest\nMems_allowed:\tff\nMems_allowed_list:\t%s\n"
		 "voluntary_ctxt_switches:\t1\n",
		 mems);
	tree_write(text, "/proc/self/status");
}
