/*
 * One look at the host. Sources: Documentation/ABI/stable/sysfs-devices-node, proc_pid_status(5).
 */
#include "nodeset.h"
#include "shortage.h"
#include "topology.h"
#include "whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES	   "/sys/devices/system/node/"
#define TEXT_BYTES (64u << 10) /* every other one of 8192 CPUs, as a list, takes 20 KiB */
#define READ_TRIES 3
#define TORN	   1 /* nodes came or went during the look */
#define UNSAID	   2 /* there is no such file, or it is nobody's to read */

/* A look: its topology, and room for one file. */
struct look {
	struct gmig_topology *topology;
	struct gmig_error *err;
	char *text;
	char path[PATH_MAX + 64];
};

/* ---- Files ----------------------------------------------------------------------------------- */

static int read_path(const char *path, char *text, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;
	ssize_t length;

	text[0] = '\0';
	if (fd < 0)
		return -errno;
	length = read_whole(fd, text, bytes - 1);
	if (length < 0)
		ret = -errno;
	else
		text[length] = '\0';
	close(fd);
	return ret;
}

/*
 * The file's text into look->text. UNSAID: it is not to be had, the host does not say. Negative: it could not be looked at, which is told
 * as an error: a host without descriptors is not one without nodes.
 */
__attribute__((format(printf, 2, 3))) static int read_file(struct look *look, const char *format,
							   ...)
{
	size_t root = strlen(look->topology->root);
	va_list args;
	int ret;

	memcpy(look->path, look->topology->root, root);
	va_start(args, format);
	vsnprintf(look->path + root, sizeof(look->path) - root, format, args);
	va_end(args);
	ret = read_path(look->path, look->text, TEXT_BYTES);
	if (is_shortage(ret))
		return gmig_fail(look->err, ret, "cannot read %.200s: %s", look->path,
				 gmig_errno_name(ret));
	return ret ? UNSAID : 0;
}

static int nonsense(struct look *look)
{
	return gmig_fail(look->err, -EIO, "%.200s does not say what a kernel says: '%.60s'",
			 look->path, look->text);
}

/* ---- Sets ------------------------------------------------------------------------------------ */

/* Or UNSAID. */
static int read_set(struct look *look, const char *file, struct gmig_node_set *set)
{
	int ret = read_file(look, NODES "%s", file);

	if (ret)
		return ret;
	return gmig_node_set_parse(look->text, set, NULL) ? nonsense(look) : 0;
}

/* Of the first thread: where this process may have memory. Without cpusets everywhere. */
static int read_allowed(struct look *look)
{
	static const char key[] = "\nMems_allowed_list:";
	int ret = read_file(look, "/proc/self/status");
	char *line;

	memset(&look->topology->allowed, 0xff, sizeof(look->topology->allowed));
	if (ret)
		return ret < 0 ? ret : 0;
	line = strstr(look->text, key);
	if (!line)
		return 0;
	line += sizeof(key) - 1;
	line += strspn(line, " \t");
	line[strcspn(line, "\n")] = '\0';
	return gmig_node_set_parse(line, &look->topology->allowed, NULL) ? nonsense(look) : 0;
}

/* ---- A node ---------------------------------------------------------------------------------- */

/* "Node 0 MemTotal:  123 kB" of a node's meminfo, in bytes; 0: not there. */
static uint64_t meminfo_bytes(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

static void host_memory(struct node_memory *memory)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	memory->total = (uint64_t)sysconf(_SC_PHYS_PAGES) * page;
	memory->free = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * page;
}

int topology_node_memory(const struct gmig_topology *topology, unsigned int node,
			 struct node_memory *memory)
{
	bool whole_host = topology->flat || topology->fake_nodes;
	char path[PATH_MAX + 64], text[4096];
	uint64_t inactive, busy;
	int ret;

	*memory = (struct node_memory){0};
	if (whole_host) {
		host_memory(memory);
		snprintf(path, sizeof(path), "%s/proc/meminfo", topology->root);
	} else {
		snprintf(path, sizeof(path), "%s" NODES "node%u/meminfo", topology->root, node);
	}
	ret = read_path(path, text, sizeof(text));
	if (ret)
		return is_shortage(ret) ? ret : 0;
	if (!whole_host) {
		memory->total = meminfo_bytes(text, "MemTotal:");
		memory->free = meminfo_bytes(text, "MemFree:");
	}
	inactive = meminfo_bytes(text, "Inactive(file):");
	busy = meminfo_bytes(text, "Dirty:") + meminfo_bytes(text, "Writeback:");
	memory->cache = inactive > busy ? inactive - busy : 0;
	return 0;
}

/* One number for each online node, ascending. What the kernel does not say is 10 or 20. */
static int read_distances(struct look *look, unsigned int node)
{
	struct gmig_topology *topology = look->topology;
	unsigned int from = topology->rank[node];
	uint8_t *distance = &topology->distance[(size_t)from * topology->count];
	char *at = look->text, *end;
	int ret = read_file(look, NODES "node%u/distance", node);

	for (unsigned int to = 0; to < topology->count; to++)
		distance[to] = to == from ? TOPOLOGY_LOCAL : TOPOLOGY_REMOTE;
	if (ret)
		return ret < 0 ? ret : 0;
	for (unsigned int to = 0; to < topology->count; to++) {
		unsigned long value = strtoul(at, &end, 10);

		/* Fewer or more than there are nodes: one came or went just now. */
		if (end == at)
			return TORN;
		if (value && value <= UINT8_MAX)
			distance[to] = (uint8_t)value;
		at = end;
	}
	return at[strspn(at, " \n")] ? TORN : 0;
}

static int read_node(struct look *look, unsigned int node)
{
	struct gmig_topology *topology = look->topology;
	unsigned int rank = topology->rank[node];
	struct node_memory memory;
	int ret = topology_node_memory(topology, node, &memory);

	topology->total_bytes[rank] = memory.total;
	if (ret)
		return gmig_fail(look->err, ret, "cannot read how much memory node %u has: %s",
				 node, gmig_errno_name(ret));
	if (!topology->total_bytes[rank])
		gmig_node_set_remove(&topology->memory, node);
	ret = read_file(look, NODES "node%u/cpulist", node);
	if (ret < 0)
		return ret;
	if (!ret && nodeset_parse_bits(look->text, GMIG_MAX_CPUS, topology->cpus[rank].word, NULL))
		return nonsense(look);
	return read_distances(look, node);
}

/* ---- All ------------------------------------------------------------------------------------- */

int topology_add_nodes(struct gmig_topology *topology)
{
	topology->count = 0;
	gmig_node_set_each (node, &topology->online)
		topology->rank[node] = (uint16_t)topology->count++;
	topology->total_bytes = calloc(topology->count + 1, sizeof(*topology->total_bytes));
	topology->distance = calloc((size_t)topology->count + 1, topology->count + 1);
	topology->cpus = calloc(topology->count + 1, sizeof(*topology->cpus));
	if (topology->total_bytes && topology->distance && topology->cpus)
		return 0;
	topology_drop_nodes(topology);
	return -ENOMEM;
}

void topology_drop_nodes(struct gmig_topology *topology)
{
	free(topology->total_bytes);
	free(topology->distance);
	free(topology->cpus);
	topology->total_bytes = NULL;
	topology->distance = NULL;
	topology->cpus = NULL;
}

/* Without NUMA in the kernel: one node with everything. */
static int read_flat(struct look *look)
{
	struct gmig_topology *topology = look->topology;
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	struct node_memory memory = {0};

	topology->flat = true;
	gmig_node_set_add(&topology->online, 0);
	topology->possible = topology->online;
	topology->memory = topology->online;
	topology->allowed = topology->online;
	if (topology_add_nodes(topology))
		return gmig_fail(look->err, -ENOMEM, "no memory for the list of nodes");
	host_memory(&memory);
	topology->total_bytes[0] = memory.total;
	topology->distance[0] = TOPOLOGY_LOCAL;
	for (long cpu = 0; cpu < cpus && cpu < GMIG_MAX_CPUS; cpu++)
		topology->cpus[0].word[cpu / 64] |= 1ull << (cpu % 64);
	return 0;
}

/* What is not said follows from `online`: kernels before 3.8 have no has_memory. */
static int read_sets(struct look *look)
{
	struct gmig_topology *topology = look->topology;
	int ret = read_set(look, "possible", &topology->possible);

	if (ret > 0)
		topology->possible = topology->online;
	if (ret >= 0)
		ret = read_set(look, "has_memory", &topology->memory);
	if (ret > 0)
		topology->memory = topology->online;
	if (ret < 0)
		return ret;
	gmig_node_set_or(&topology->possible, &topology->online);
	gmig_node_set_and(&topology->memory, &topology->online);
	return read_allowed(look);
}

static int read_once(struct look *look)
{
	struct gmig_topology *topology = look->topology;
	struct gmig_node_set after;
	int ret = read_set(look, "online", &topology->online), again;

	if (ret > 0)
		return read_flat(look);
	if (!ret)
		ret = read_sets(look);
	if (ret)
		return ret;
	if (topology_add_nodes(topology))
		return gmig_fail(look->err, -ENOMEM, "no memory for the list of nodes");
	gmig_node_set_each (node, &topology->online) {
		int node_ret = read_node(look, node);

		if (node_ret < 0)
			return node_ret;
		ret |= node_ret;
	}
	if (gmig_node_set_empty(&topology->memory))
		return gmig_fail(look->err, -ENODEV, "this host shows no node with memory");
	again = read_set(look, "online", &after);
	if (again < 0)
		return again;
	if (again || memcmp(&topology->online, &after, sizeof(after)) != 0)
		ret = TORN;
	return ret;
}

int topology_read(struct gmig_topology *topology, struct gmig_error *err)
{
	struct look look = {.topology = topology, .err = err, .text = malloc(TEXT_BYTES)};
	int ret = TORN;

	if (!look.text)
		return gmig_fail(err, -ENOMEM, "no memory for the list of nodes");
	/* A look that stays torn is still good for all but some distances. */
	for (unsigned int i = 0; i < READ_TRIES && ret == TORN; i++) {
		topology_drop_nodes(topology);
		ret = read_once(&look);
	}
	free(look.text);
	return ret == TORN ? 0 : ret;
}
