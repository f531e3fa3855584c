/* Options against this host: nodes, files, sockets. Nothing is opened for writing or created. */
#include "../control/closed_nodes.h"
#include "../migrate/core/shortage.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void vmm_options_place(struct vmm_options *options, const struct gmig_topology *topology,
		       struct gmig_error *said)
{
	struct gmig_node_set usable = *gmig_topology_nodes(topology), closed;
	unsigned int host;

	gmig_error_set(said, 0, "%s", "");
	gmig_node_set_and(&usable, gmig_topology_allowed(topology));
	if (!closed_nodes_read(&closed, NULL))
		gmig_node_set_minus(&usable, &closed);
	host = gmig_topology_nearest(topology, 0, &usable);
	/* None at all: the check of the nodes says why. */
	if (host == 0 || host == GMIG_NO_NODE)
		return;
	for (unsigned int i = 0; i < options->node_count; i++) {
		if (options->node[i].host_given || !options->node[i].mem_bytes)
			continue;
		options->node[i].host = host;
		gmig_error_set(
		    said, 0,
		    "host node 0 has no memory that this process may use, or is closed: vnodes "
		    "without host= are on node %u, the nearest that has",
		    host);
	}
}

/* Why memory of this node cannot be had, after "host node N, which"; NULL: it can. */
static const char *why_not(const struct gmig_topology *topology, const struct gmig_node_set *closed,
			   unsigned int node)
{
	if (!gmig_node_set_has(gmig_topology_online(topology), node))
		return gmig_topology_is_fake(topology) ? "--fake-nodes does not make"
						       : "this host does not have";
	if (!gmig_node_set_has(gmig_topology_nodes(topology), node))
		return "has no memory";
	if (!gmig_node_set_has(gmig_topology_allowed(topology), node))
		return "this process's cpuset does not allow";
	if (gmig_node_set_has(closed, node))
		return "is closed (gmig drain --undo opens it)";
	return NULL;
}

static int check_nodes(const struct vmm_options *options, const struct gmig_topology *topology,
		       struct gmig_error *err)
{
	struct gmig_node_set usable = *gmig_topology_nodes(topology), closed;
	char list[96];
	int ret = closed_nodes_read(&closed, err);

	if (ret)
		return ret;
	gmig_node_set_and(&usable, gmig_topology_allowed(topology));
	gmig_node_set_minus(&usable, &closed);
	gmig_node_set_print(&usable, list, sizeof(list));
	for (unsigned int i = 0; i < options->node_count; i++) {
		const struct vmm_node_option *node = &options->node[i];
		const char *why = why_not(topology, &closed, node->host);

		/* CPUs alone run on any node. */
		if (!node->mem_bytes &&
		    gmig_node_set_has(gmig_topology_online(topology), node->host))
			continue;

		if (why)
			return gmig_fail(err, -EINVAL,
					 "--node: vnode %u wants host node %u, which %s; there is "
					 "memory on %s",
					 i, options->node[i].host, why, *list ? list : "none");
	}
	return 0;
}

/* ---- Memory that is to be taken at once -------------------------------------------------------- */

/* What may be answered otherwise at the next try says nothing: a guest that fits nowhere would start. By errno. */
static int refuse_look(const char *what, const char *path, struct gmig_error *err)
{
	return gmig_fail(err, -errno, "%s: %s: %s", what, path, strerror(errno));
}

/* Free, or page cache and the like that the kernel gives up for it: *mib; UINT64_MAX: this host does not say. */
static int available_mib(unsigned int node, uint64_t *mib, struct gmig_error *err)
{
	static const char *const keys[] = {
	    "MemFree:", "Active(file):", "Inactive(file):", "SReclaimable:"};
	char path[64], line[128], key[32];
	unsigned long long kib, sum = 0;
	bool found = false;
	FILE *file;
	int ret = 0;

	*mib = UINT64_MAX;
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", node);
	file = fopen(path, "re");
	if (!file)
		return is_shortage(errno) ? refuse_look("--prealloc", path, err) : 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Node %*u %31s %llu kB", key, &kib) != 2)
			continue;
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			sum += strcmp(key, keys[i]) ? 0 : kib;
		found |= !strcmp(key, keys[0]);
	}
	if (ferror(file))
		ret = refuse_look("--prealloc", path, err);
	fclose(file);
	if (found)
		*mib = sum >> 10;
	return ret;
}

static uint64_t wanted_mib(const struct vmm_options *options, unsigned int host)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < options->node_count; i++)
		if (options->node[i].host == host)
			bytes += options->node[i].mem_bytes;
	return bytes >> 20;
}

/* *count; UINT64_MAX: this host does not say. */
static int read_count(const char *path, uint64_t *count, struct gmig_error *err)
{
	FILE *file = fopen(path, "re");
	int ret = 0;

	*count = UINT64_MAX;
	if (!file)
		return is_shortage(errno) ? refuse_look("--memory", path, err) : 0;
	if (fscanf(file, "%" SCNu64, count) != 1)
		*count = UINT64_MAX;
	if (ferror(file))
		ret = refuse_look("--memory", path, err);
	fclose(file);
	return ret;
}

/* Of the pool of pages of that size; UINT64_MAX: unknown, or the kernel makes more as they are asked for. */
static int pool_pages(unsigned int node, unsigned int mib, uint64_t *pages, struct gmig_error *err)
{
	uint64_t more;
	char path[96];
	int ret;

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%ukB/nr_overcommit_hugepages", mib << 10);
	ret = read_count(path, &more, err);
	if (ret)
		return ret;
	if (more && more != UINT64_MAX) {
		*pages = UINT64_MAX;
		return 0;
	}
	snprintf(path, sizeof(path),
		 "/sys/devices/system/node/node%u/hugepages/hugepages-%ukB/free_hugepages", node,
		 mib << 10);
	return read_count(path, pages, err);
}

static int check_size(const struct vmm_options *options, unsigned int mib, struct gmig_error *err)
{
	for (unsigned int i = 0; i < options->node_count; i++)
		if (options->node[i].mem_bytes % ((uint64_t)mib << 20))
			return gmig_fail(
			    err, -EINVAL,
			    "--page 1G: vnode %u has %llu MiB, which is no multiple of "
			    "a page",
			    i, (unsigned long long)options->node[i].mem_bytes >> 20);
	return 0;
}

/* The kernel promises pages of the host, whichever node they are on: a guest would start, and its memory lie elsewhere. */
static int check_pool(const struct vmm_options *options, const struct gmig_topology *topology,
		      struct gmig_error *err)
{
	unsigned int mib = options->giant_pages ? 1024 : 2;
	int ret;

	if (!options->memfd_huge && !options->hugetlb)
		return 0;
	ret = check_size(options, mib, err);
	if (ret || gmig_topology_is_fake(topology))
		return ret;
	for (unsigned int i = 0; i < options->node_count; i++) {
		unsigned int host = options->node[i].host;
		uint64_t wanted = wanted_mib(options, host) / mib, pool;

		ret = pool_pages(host, mib, &pool, err);
		if (ret)
			return ret;
		if (wanted > pool)
			return gmig_fail(err, -ENOMEM,
					 "--memory: the guest wants %llu huge pages of %s on host "
					 "node %u, whose pool has %llu free: %s",
					 (unsigned long long)wanted, mib == 2 ? "2M" : "1G", host,
					 (unsigned long long)pool,
					 mib == 2 ? "vm.nr_hugepages"
						  : "hugepagesz=1G hugepages=N on the kernel's "
						    "command line");
	}
	return 0;
}

/* At once and for all nodes, rather than after minutes for the one that is filled last. */
static int check_prealloc(const struct vmm_options *options, const struct gmig_topology *topology,
			  struct gmig_error *err)
{
	if (!options->prealloc || options->memfd_huge || options->hugetlb ||
	    gmig_topology_is_fake(topology))
		return 0;
	for (unsigned int i = 0; i < options->node_count; i++) {
		unsigned int host = options->node[i].host;
		uint64_t wanted = wanted_mib(options, host), available;
		int ret = available_mib(host, &available, err);

		if (ret)
			return ret;
		if (wanted > available)
			return gmig_fail(err, -ENOMEM,
					 "--prealloc: the guest wants %llu MiB on host node %u, "
					 "which has %llu MiB",
					 (unsigned long long)wanted, host,
					 (unsigned long long)available);
	}
	return 0;
}

/* ---- Files ------------------------------------------------------------------------------------- */

static int check_disk(const char *path, bool readonly, struct gmig_error *err)
{
	struct stat st;

	if (stat(path, &st))
		return gmig_fail(err, -errno, "--disk: %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return gmig_fail(err, -EINVAL, "--disk: %s is neither a file nor a block device",
				 path);
	if (access(path, readonly ? R_OK : R_OK | W_OK))
		return gmig_fail(err, -errno, "--disk: %s: %s%s", path, strerror(errno),
				 readonly ? "" : " (add ,readonly when it is not to be written)");
	return 0;
}

/* A file or socket is to be made there: its directory must be, and must be writable. */
static int check_directory(const char *what, const char *path, struct gmig_error *err)
{
	char copy[PATH_MAX];
	const char *directory;

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return gmig_fail(err, -ENAMETOOLONG, "%s: the path is too long", what);
	directory = dirname(copy);
	if (access(directory, W_OK | X_OK))
		return gmig_fail(err, -errno, "%s: directory %s: %s", what, directory,
				 strerror(errno));
	return 0;
}

static int check_port(const char *path, struct gmig_error *err)
{
	struct stat st;

	if (!lstat(path, &st) && !S_ISSOCK(st.st_mode))
		return gmig_fail(err, -EEXIST, "--port: %s is there and is not a socket", path);
	return check_directory("--port", path, err);
}

/* 1: it is; 0: it is not; -errno: nobody can tell now. */
static int is_same(const struct stat *file, const char *path)
{
	struct stat st;

	if (!path)
		return 0;
	if (stat(path, &st))
		return is_shortage(errno) ? -errno : 0;
	return st.st_dev == file->st_dev && st.st_ino == file->st_ino;
}

/* The console's file is emptied, and written to. */
static int check_nothing_else(const struct vmm_options *options, const char *path,
			      const struct stat *file, struct gmig_error *err)
{
	const char *what = "a disk";
	int same = 0;

	for (unsigned int i = 0; i < options->disk_count && !same; i++)
		same = is_same(file, options->disk[i]);
	if (!same) {
		what = "the kernel";
		same = is_same(file, options->kernel);
	}
	if (!same) {
		what = "the initial RAM disk";
		same = is_same(file, options->initrd);
	}
	if (same < 0)
		return gmig_fail(err, same, "--console: cannot tell whether %s is %s, too: %s",
				 path, what, strerror(-same));
	return same ? gmig_fail(err, -EINVAL, "--console: %s is %s, too", path, what) : 0;
}

/* What is there already, such as /dev/null, needs no right to its directory. */
static int check_console(const struct vmm_options *options, const char *path,
			 struct gmig_error *err)
{
	struct stat st;
	int ret;

	if (lstat(path, &st))
		return is_shortage(errno) ? refuse_look("--console", path, err)
					  : check_directory("--console", path, err);
	ret = check_nothing_else(options, path, &st, err);
	if (ret)
		return ret;
	if (!S_ISLNK(st.st_mode) && access(path, W_OK))
		return gmig_fail(err, -errno, "--console: %s: %s", path, strerror(errno));
	return 0; /* console_file.c says what is wrong with a symbolic link */
}

int vmm_options_check_host(const struct vmm_options *options, const struct gmig_topology *topology,
			   struct gmig_error *err)
{
	int ret = check_nodes(options, topology, err);

	if (!ret)
		ret = check_prealloc(options, topology, err);
	if (!ret)
		ret = check_pool(options, topology, err);
	for (unsigned int i = 0; i < options->disk_count && !ret; i++)
		ret = check_disk(options->disk[i], options->disk_readonly[i], err);
	for (unsigned int i = 0; i < options->port_count && !ret; i++)
		ret = check_port(options->port[i].path, err);
	if (!ret && options->net_count && access("/dev/net/tun", R_OK | W_OK))
		ret = gmig_fail(err, -errno, "--net: /dev/net/tun: %s", strerror(errno));
	if (!ret && options->console && !strncmp(options->console, "file:", 5))
		ret = check_console(options, options->console + 5, err);
	return ret;
}
