/* Options against this host: nodes, files, sockets. Nothing is opened for writing or created. */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_nodes(const struct vmm_options *options, const struct gmig_topology *topology,
		       struct gmig_error *err)
{
	const struct gmig_node_set *online = gmig_topology_nodes(topology);

	for (unsigned int i = 0; i < options->node_count; i++)
		if (!gmig_node_set_has(online, options->node[i].host))
			return gmig_fail(
			    err, -EINVAL, "--node: vnode %u wants host node %u, which %s", i,
			    options->node[i].host,
			    gmig_topology_is_fake(topology) ? "--fake-nodes does not make"
							    : "this host does not have");
	return 0;
}

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

int vmm_options_check_host(const struct vmm_options *options, const struct gmig_topology *topology,
			   struct gmig_error *err)
{
	int ret = check_nodes(options, topology, err);

	for (unsigned int i = 0; i < options->disk_count && !ret; i++)
		ret = check_disk(options->disk[i], options->disk_readonly[i], err);
	for (unsigned int i = 0; i < options->port_count && !ret; i++)
		ret = check_port(options->port[i].path, err);
	if (!ret && options->net_count && access("/dev/net/tun", R_OK | W_OK))
		ret = gmig_fail(err, -errno, "--net: /dev/net/tun: %s", strerror(errno));
	if (!ret && options->console && !strncmp(options->console, "file:", 5))
		ret = check_directory("--console", options->console + 5, err);
	return ret;
}
