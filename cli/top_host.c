#include "top_host.h"

#include "../migrate/core/whole.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES	   "/sys/devices/system/node"
#define FILE_BYTES 16384

/* The file's beginning, as text; false: it cannot be read. */
static bool read_file(const char *path, char *text, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read_whole(fd, text, bytes - 1);

	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = '\0';
	return length >= 0;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* "Node 0 MemTotal:  25 kB": the number behind the name, in bytes. */
static uint64_t meminfo_bytes(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

static uint64_t pool_pages(const char *directory, const char *size, const char *file)
{
	char path[PATH_MAX], text[64];

	snprintf(path, sizeof(path), "%s/%s/%s", directory, size, file);
	return read_file(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

static void read_pools(const char *root, struct top_node *node)
{
	char directory[PATH_MAX / 2];
	struct dirent *entry;
	DIR *sizes;

	snprintf(directory, sizeof(directory), "%s" NODES "/node%u/hugepages", root, node->id);
	sizes = opendir(directory);
	while (sizes && (entry = readdir(sizes))) {
		uint64_t kib;

		if (strncmp(entry->d_name, "hugepages-", strlen("hugepages-")) != 0)
			continue;
		kib = strtoull(entry->d_name + strlen("hugepages-"), NULL, 10);
		node->pool_bytes +=
		    pool_pages(directory, entry->d_name, "nr_hugepages") * kib * 1024;
		node->pool_free_bytes +=
		    pool_pages(directory, entry->d_name, "free_hugepages") * kib * 1024;
	}
	if (sizes)
		closedir(sizes);
}

static bool read_memory(const char *root, struct top_node *node)
{
	char path[PATH_MAX / 2], text[FILE_BYTES];

	snprintf(path, sizeof(path), "%s" NODES "/node%u/meminfo", root, node->id);
	if (!read_file(path, text, sizeof(text)))
		return false;
	node->total_bytes = meminfo_bytes(text, "MemTotal:");
	node->free_bytes = meminfo_bytes(text, "MemFree:");
	node->huge_bytes = meminfo_bytes(text, "AnonHugePages:");
	read_pools(root, node);
	return node->total_bytes > 0;
}

/* "0-3,8": these CPUs are the node's. */
static void read_cpus(const char *root, unsigned int node, struct top_host *host)
{
	char path[PATH_MAX / 2], text[FILE_BYTES];

	snprintf(path, sizeof(path), "%s" NODES "/node%u/cpulist", root, node);
	if (!read_file(path, text, sizeof(text)))
		return;
	for (char *at = text; *at >= '0' && *at <= '9';) {
		unsigned long first = strtoul(at, &at, 10), last = first;

		if (*at == '-')
			last = strtoul(at + 1, &at, 10);
		for (unsigned long cpu = first; cpu <= last && cpu < TOP_MAX_CPUS; cpu++)
			host->node_of_cpu[cpu] = (uint16_t)node;
		at += *at == ',';
	}
}

static int by_id(const void *a, const void *b)
{
	const struct top_node *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int add_node(struct top_host *host, const struct top_node *node)
{
	struct top_node *more = reallocarray(host->nodes, host->count + 1, sizeof(*host->nodes));

	if (!more)
		return -ENOMEM;
	host->nodes = more;
	host->nodes[host->count++] = *node;
	return 0;
}

int top_host_read(const char *root, struct top_host *host)
{
	char path[PATH_MAX / 2];
	struct dirent *entry;
	DIR *directory;
	int rc = 0;

	host->count = 0;
	for (unsigned int cpu = 0; cpu < TOP_MAX_CPUS; cpu++)
		host->node_of_cpu[cpu] = GMIG_NO_NODE;
	snprintf(path, sizeof(path), "%s" NODES, root);
	directory = opendir(path);
	while (directory && !rc && (entry = readdir(directory))) {
		struct top_node node = {0};

		if (strncmp(entry->d_name, "node", 4) != 0 || entry->d_name[4] < '0' ||
		    entry->d_name[4] > '9')
			continue;
		node.id = (unsigned int)strtoul(entry->d_name + 4, NULL, 10);
		read_cpus(root, node.id, host);
		if (node.id < GMIG_MAX_NODES && read_memory(root, &node))
			rc = add_node(host, &node);
	}
	if (directory)
		closedir(directory);
	if (host->count)
		qsort(host->nodes, host->count, sizeof(*host->nodes), by_id);
	return rc;
}

void top_host_free(struct top_host *host)
{
	free(host->nodes);
	host->nodes = NULL;
	host->count = 0;
}

/* ---- Threads --------------------------------------------------------------------------------- */

/* Field `first` of stat and those behind it; the name, field 2, may have anything in it. NULL: too short. */
static const char *stat_field(const char *text, int first)
{
	const char *at = strrchr(text, ')');

	for (int field = 2; at && field < first; field++) {
		at = strchr(at, ' ');
		if (at)
			at++;
	}
	return at;
}

bool top_thread_read(const char *root, pid_t pid, pid_t tid, uint64_t *ticks, unsigned int *cpu)
{
	char path[PATH_MAX / 2], text[1024], *end;
	const char *times, *processor;

	snprintf(path, sizeof(path), "%s/proc/%d/task/%d/stat", root, (int)pid, (int)tid);
	if (!read_file(path, text, sizeof(text)))
		return false;
	times = stat_field(text, 14);
	processor = stat_field(text, 39);
	if (!times || !processor)
		return false;
	*ticks = strtoull(times, &end, 10);
	*ticks += strtoull(end, NULL, 10);
	*cpu = (unsigned int)strtoul(processor, NULL, 10);
	return true;
}

uint64_t top_process_start(const char *root, pid_t pid)
{
	char path[PATH_MAX / 2], text[1024];
	const char *start;

	snprintf(path, sizeof(path), "%s/proc/%d/stat", root, (int)pid);
	if (pid <= 0 || !read_file(path, text, sizeof(text)))
		return 0;
	start = stat_field(text, 22);
	return start ? strtoull(start, NULL, 10) : 0;
}
