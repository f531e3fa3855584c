/* Cgroups as directories, see cgroup.h. */
#include "cgroup.h"
#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CGROUP_DEPTH 32

static const char *const hierarchy_names[] = {
    [AGENT_HIERARCHY_UNIFIED] = "the unified hierarchy (version 2)",
    [AGENT_HIERARCHY_SYSTEMD] = "systemd's hierarchy",
    [AGENT_HIERARCHY_CPUSET] = "cpuset's hierarchy (version 1)",
};

/* ---- Where the hierarchies are --------------------------------------------------------------- */

static bool root_has(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", agent_sys->cgroup, name);
	return !access(path, F_OK);
}

/* Below agent_sys->cgroup; NULL: it is not mounted. In version 2 alone every other name is a
 * cgroup's. */
static const char *hierarchy_directory(enum agent_hierarchy hierarchy)
{
	bool version2 = root_has("cgroup.procs");

	switch (hierarchy) {
	case AGENT_HIERARCHY_UNIFIED:
		return version2 ? "" : root_has("unified/cgroup.procs") ? "/unified" : NULL;
	case AGENT_HIERARCHY_SYSTEMD:
		return !version2 && root_has("systemd/cgroup.procs") ? "/systemd" : NULL;
	default:
		return !version2 && root_has("cpuset/cgroup.procs") ? "/cpuset" : NULL;
	}
}

/* ---- Names ----------------------------------------------------------------------------------- */

bool agent_has_parent_step(const char *path)
{
	for (const char *at = path; (at = strstr(at, "..")); at += 2)
		if ((at == path || at[-1] == '/') && (!at[2] || at[2] == '/'))
			return true;
	return false;
}

bool agent_cgroup_below(const char *above, const char *cgroup)
{
	size_t length = strlen(above);

	while (length && above[length - 1] == '/')
		length--;
	return !strncmp(above, cgroup, length) && (!cgroup[length] || cgroup[length] == '/');
}

bool agent_process_in_cgroup(const struct agent_process *process, const char *above)
{
	for (int i = 0; i < AGENT_HIERARCHIES; i++)
		if (*process->cgroup[i] && agent_cgroup_below(above, process->cgroup[i]))
			return true;
	return false;
}

static int check_name(const char *cgroup, struct gmig_error *err)
{
	if (cgroup[0] == '/' && !agent_has_parent_step(cgroup))
		return 0;
	return gmig_fail(err, -EINVAL,
			 "'%.80s' is no cgroup: it begins with '/' and has no '..', as in "
			 "/proc/PID/cgroup",
			 cgroup);
}

static int path_in(const char *directory, const char *cgroup, const char *file, char *path,
		   size_t bytes, struct gmig_error *err)
{
	int length = snprintf(path, bytes, "%s%s%s", agent_sys->cgroup, directory, cgroup);

	/* "/a/" is "/a". */
	while (length > 1 && (size_t)length < bytes && path[length - 1] == '/')
		path[--length] = '\0';
	if (length >= 0 && (size_t)length < bytes)
		length +=
		    snprintf(path + length, bytes - (size_t)length, "%s%s", *file ? "/" : "", file);
	if (length < 0 || (size_t)length >= bytes)
		return gmig_fail(err, -ENAMETOOLONG, "the cgroup's name is too long");
	return 0;
}

/* "the unified hierarchy (version 2) at /sys/fs/cgroup, .." */
static int not_found(const char *cgroup, const bool searched[AGENT_HIERARCHIES],
		     struct gmig_error *err)
{
	char where[240] = "";
	size_t used = 0;

	for (int i = 0; i < AGENT_HIERARCHIES; i++)
		if (searched[i] && used < sizeof(where))
			used += (size_t)snprintf(where + used, sizeof(where) - used,
						 "%s%s at %.40s%s", used ? ", " : "",
						 hierarchy_names[i], agent_sys->cgroup,
						 hierarchy_directory((enum agent_hierarchy)i));
	return gmig_fail(err, -ENOENT, "there is no cgroup %.60s in %s: ENOENT (%d)", cgroup,
			 used ? where : "any hierarchy: none is mounted where systemd does it",
			 ENOENT);
}

int agent_cgroup_path(const char *cgroup, const char *file, char *path, size_t bytes,
		      struct gmig_error *err)
{
	bool searched[AGENT_HIERARCHIES] = {false};
	enum agent_hierarchy hierarchy = AGENT_HIERARCHY_CPUSET;
	int rc = check_name(cgroup, err);

	if (rc)
		return rc;
	if (!hierarchy_directory(hierarchy))
		hierarchy = AGENT_HIERARCHY_UNIFIED;
	if (!hierarchy_directory(hierarchy))
		return not_found(cgroup, searched, err);
	searched[hierarchy] = true;
	rc = path_in(hierarchy_directory(hierarchy), cgroup, "", path, bytes, err);
	if (!rc && access(path, F_OK))
		return not_found(cgroup, searched, err);
	return rc ? rc : path_in(hierarchy_directory(hierarchy), cgroup, file, path, bytes, err);
}

/* ---- Members --------------------------------------------------------------------------------- */

static int read_members(const char *dir, struct agent_pids *pids)
{
	char path[PATH_MAX + 16];
	FILE *file;
	long pid;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (!rc && (errno = 0, fscanf(file, "%9ld", &pid) == 1))
		rc = agent_pids_add(pids, (pid_t)pid);
	/* A threaded cgroup gives no processes: EOPNOTSUPP at the first read. */
	if (!rc && ferror(file))
		rc = errno ? -errno : -EIO;
	fclose(file);
	return rc;
}

static int walk_cgroup(char *path, size_t bytes, int depth, struct agent_pids *pids)
{
	size_t length = strlen(path);
	struct dirent *entry;
	DIR *dir;
	int rc = read_members(path, pids);

	if (rc || depth == CGROUP_DEPTH)
		return rc;
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!rc && (errno = 0, entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    length + strlen(entry->d_name) + 2 > bytes)
			continue;
		snprintf(path + length, bytes - length, "/%s", entry->d_name);
		rc = walk_cgroup(path, bytes, depth + 1, pids);
		if (rc == -ENOENT || rc == -ENODEV || rc == -EOPNOTSUPP)
			rc = 0; /* removed meanwhile, or threaded */
		path[length] = '\0';
	}
	if (!rc && errno)
		rc = -errno;
	closedir(dir);
	return rc;
}

int agent_pids_cgroup(const char *cgroup, struct agent_pids *pids, struct gmig_error *err)
{
	bool searched[AGENT_HIERARCHIES] = {false};
	int rc = check_name(cgroup, err);

	for (int i = 0; !rc && i < AGENT_HIERARCHIES; i++) {
		const char *directory = hierarchy_directory((enum agent_hierarchy)i);
		char path[PATH_MAX];

		if (!directory)
			continue;
		searched[i] = true;
		rc = path_in(directory, cgroup, "", path, sizeof(path), err);
		if (rc || access(path, F_OK))
			continue;
		rc = walk_cgroup(path, sizeof(path), 0, pids);
		return rc ? agent_call_failed(err, AGENT_CALL_READ, rc, path) : 0;
	}
	return rc ? rc : not_found(cgroup, searched, err);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* "max" and a file that is not there are no limit. */
static int read_limit(const char *dir, const char *file, uint64_t *limit)
{
	char path[PATH_MAX + 32], text[64], *end;
	unsigned long long value;
	ssize_t got;

	*limit = UINT64_MAX;
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	got = agent_read_text(path, text, sizeof(text));
	if (got < 0)
		return got == -ENOENT || got == -ENODEV ? 0 : (int)got;
	value = strtoull(text, &end, 10);
	if (end != text)
		*limit = value;
	return 0;
}

static int headroom_of(const char *dir, uint64_t *bytes)
{
	uint64_t max, high, used;
	int rc = read_limit(dir, "memory.max", &max);

	if (!rc)
		rc = read_limit(dir, "memory.high", &high);
	if (!rc)
		rc = read_limit(dir, "memory.current", &used);
	if (rc)
		return rc;
	if (high < max)
		max = high;
	*bytes = used < max ? max - used : 0;
	if (max == UINT64_MAX || used == UINT64_MAX)
		*bytes = UINT64_MAX;
	return 0;
}

int agent_cgroup_headroom(const char *cgroup, uint64_t *bytes)
{
	const char *directory = hierarchy_directory(AGENT_HIERARCHY_UNIFIED);
	char path[PATH_MAX];
	size_t root;
	int rc;

	*bytes = UINT64_MAX;
	if (!directory || cgroup[0] != '/')
		return 0;
	rc = path_in(directory, cgroup, "", path, sizeof(path), NULL);
	root = strlen(agent_sys->cgroup) + strlen(directory);
	while (!rc && strlen(path) > root) {
		uint64_t room;

		rc = headroom_of(path, &room);
		if (!rc && room < *bytes)
			*bytes = room;
		*strrchr(path, '/') = '\0';
	}
	return rc;
}
