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
#define POOL	   "hugepages-"
#define FILE_BYTES 16384

/* The file's beginning, as text; "" and -errno: it cannot be read. */
static int read_file(const char *path, char *text, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read_whole(fd, text, bytes - 1);
	int rc = length < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = '\0';
	return rc;
}

/* A node, a pool or a file that is not there is none; nothing else is. */
static int unless_absent(int rc)
{
	return rc == -ENOENT ? 0 : rc;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* "Node 0 MemTotal:  25 kB": the number behind the name, in bytes. */
static uint64_t meminfo_bytes(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

static int add_pool(const char *directory, const char *size, const char *file, uint64_t *bytes)
{
	char path[PATH_MAX], text[64];
	int rc;

	snprintf(path, sizeof(path), "%s/%s/%s", directory, size, file);
	rc = read_file(path, text, sizeof(text));
	*bytes += strtoull(text, NULL, 10) * strtoull(size + strlen(POOL), NULL, 10) * 1024;
	return unless_absent(rc);
}

static int read_pools(const char *root, struct top_node *node)
{
	char directory[PATH_MAX / 2];
	struct dirent *entry;
	int rc = 0;
	DIR *sizes;

	snprintf(directory, sizeof(directory), "%s" NODES "/node%u/hugepages", root, node->id);
	sizes = opendir(directory);
	if (!sizes)
		return unless_absent(-errno);
	while (!rc && (errno = 0, entry = readdir(sizes))) {
		if (strncmp(entry->d_name, POOL, strlen(POOL)) != 0)
			continue;
		rc = add_pool(directory, entry->d_name, "nr_hugepages", &node->pool_bytes);
		if (!rc)
			rc = add_pool(directory, entry->d_name, "free_hugepages",
				      &node->pool_free_bytes);
	}
	if (!rc)
		rc = -errno;
	closedir(sizes);
	return rc;
}

static int read_memory(const char *root, struct top_node *node)
{
	char path[PATH_MAX / 2], text[FILE_BYTES];
	int rc;

	snprintf(path, sizeof(path), "%s" NODES "/node%u/meminfo", root, node->id);
	rc = read_file(path, text, sizeof(text));
	if (rc)
		return unless_absent(rc);
	node->total_bytes = meminfo_bytes(text, "MemTotal:");
	node->free_bytes = meminfo_bytes(text, "MemFree:");
	node->huge_bytes = meminfo_bytes(text, "AnonHugePages:");
	return read_pools(root, node);
}

/* "0-3,8": these CPUs are the node's. */
static int read_cpus(const char *root, unsigned int node, struct top_host *host)
{
	char path[PATH_MAX / 2], text[FILE_BYTES];
	int rc;

	snprintf(path, sizeof(path), "%s" NODES "/node%u/cpulist", root, node);
	rc = read_file(path, text, sizeof(text));
	for (char *at = text; *at >= '0' && *at <= '9';) {
		unsigned long first = strtoul(at, &at, 10), last = first;

		if (*at == '-')
			last = strtoul(at + 1, &at, 10);
		for (unsigned long cpu = first; cpu <= last && cpu < TOP_MAX_CPUS; cpu++)
			host->node_of_cpu[cpu] = (uint16_t)node;
		at += *at == ',';
	}
	return unless_absent(rc);
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

static int read_node(const char *root, unsigned int id, struct top_host *host)
{
	struct top_node node = {.id = id};
	int rc = read_cpus(root, id, host);

	if (rc || id >= GMIG_MAX_NODES)
		return rc;
	rc = read_memory(root, &node);
	return rc || !node.total_bytes ? rc : add_node(host, &node);
}

/* Into one that is empty. */
static int read_host(const char *root, struct top_host *host)
{
	char path[PATH_MAX / 2];
	struct dirent *entry;
	DIR *directory;
	int rc = 0;

	for (unsigned int cpu = 0; cpu < TOP_MAX_CPUS; cpu++)
		host->node_of_cpu[cpu] = GMIG_NO_NODE;
	snprintf(path, sizeof(path), "%s" NODES, root);
	directory = opendir(path);
	if (!directory)
		return unless_absent(-errno);
	while (!rc && (errno = 0, entry = readdir(directory))) {
		if (strncmp(entry->d_name, "node", 4) != 0 || entry->d_name[4] < '0' ||
		    entry->d_name[4] > '9')
			continue;
		rc = read_node(root, (unsigned int)strtoul(entry->d_name + 4, NULL, 10), host);
	}
	if (!rc)
		rc = -errno;
	closedir(directory);
	if (host->count)
		qsort(host->nodes, host->count, sizeof(*host->nodes), by_id);
	return rc;
}

int top_host_read(const char *root, struct top_host *host)
{
	struct top_host *fresh = calloc(1, sizeof(*fresh));
	int rc = fresh ? read_host(root, fresh) : -ENOMEM;

	if (!rc) {
		free(host->nodes);
		*host = *fresh;
	} else if (fresh) {
		free(fresh->nodes);
	}
	free(fresh);
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
	if (read_file(path, text, sizeof(text)))
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

int top_process_start(const char *root, pid_t pid, uint64_t *ticks)
{
	char path[PATH_MAX / 2], text[1024];
	const char *start;
	int rc;

	*ticks = 0;
	if (pid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "%s/proc/%d/stat", root, (int)pid);
	rc = read_file(path, text, sizeof(text));
	if (rc)
		return rc == -ENOENT ? -ESRCH : rc;
	start = stat_field(text, 22);
	*ticks = start ? strtoull(start, NULL, 10) : 0;
	return *ticks ? 0 : -ESRCH;
}
