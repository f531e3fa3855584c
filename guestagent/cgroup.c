/* Cgroups as directories, see cgroup.h. */
#include "cgroup.h"
#include "../migrate/core/shortage.h"
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

/* 1, 0, or -errno: there is nothing to look with. */
static int exists(const char *path)
{
	if (!access(path, F_OK))
		return 1;
	return is_shortage(errno) ? -errno : 0;
}

static int root_has(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", agent_sys->cgroup, name);
	return exists(path);
}

/* *directory: below agent_sys->cgroup; NULL: it is not mounted. In version 2 alone every other name is a
 * cgroup's. */
static int find_hierarchy(enum agent_hierarchy hierarchy, const char **directory)
{
	static const struct {
		const char *directory, *file;
	} others[] = {
	    [AGENT_HIERARCHY_UNIFIED] = {"/unified", "unified/cgroup.procs"},
	    [AGENT_HIERARCHY_SYSTEMD] = {"/systemd", "systemd/cgroup.procs"},
	    [AGENT_HIERARCHY_CPUSET] = {"/cpuset", "cpuset/cgroup.procs"},
	};
	int has = root_has("cgroup.procs");

	*directory = NULL;
	if (has > 0 && hierarchy == AGENT_HIERARCHY_UNIFIED)
		*directory = "";
	if (has)
		return has < 0 ? has : 0;
	has = root_has(others[hierarchy].file);
	if (has > 0)
		*directory = others[hierarchy].directory;
	return has < 0 ? has : 0;
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

/* "the unified hierarchy (version 2) at /sys/fs/cgroup, .."; searched: their directories, NULL: not searched. */
static int not_found(const char *cgroup, const char *const searched[AGENT_HIERARCHIES],
		     struct gmig_error *err)
{
	char where[240] = "";
	size_t used = 0;

	for (int i = 0; i < AGENT_HIERARCHIES; i++)
		if (searched[i] && used < sizeof(where))
			used += (size_t)snprintf(
			    where + used, sizeof(where) - used, "%s%s at %.40s%s", used ? ", " : "",
			    hierarchy_names[i], agent_sys->cgroup, searched[i]);
	return gmig_fail(err, -ENOENT, "there is no cgroup %.60s in %s: ENOENT (%d)", cgroup,
			 used ? where : "any hierarchy: none is mounted where systemd does it",
			 ENOENT);
}

/* *path: of the cgroup there; *there: is there one? */
static int look_in(const char *directory, const char *cgroup, char *path, size_t bytes, bool *there,
		   struct gmig_error *err)
{
	int rc = path_in(directory, cgroup, "", path, bytes, err);

	if (rc)
		return rc;
	rc = exists(path);
	*there = rc > 0;
	return rc < 0 ? agent_call_failed(err, AGENT_CALL_READ, rc, path) : 0;
}

int agent_cgroup_path(const char *cgroup, const char *file, char *path, size_t bytes,
		      struct gmig_error *err)
{
	const char *searched[AGENT_HIERARCHIES] = {NULL}, *directory = NULL;
	enum agent_hierarchy hierarchy = AGENT_HIERARCHY_CPUSET;
	bool there;
	int rc = check_name(cgroup, err);

	if (rc)
		return rc;
	rc = find_hierarchy(hierarchy, &directory);
	if (!rc && !directory) {
		hierarchy = AGENT_HIERARCHY_UNIFIED;
		rc = find_hierarchy(hierarchy, &directory);
	}
	if (rc)
		return agent_call_failed(err, AGENT_CALL_READ, rc, agent_sys->cgroup);
	if (!directory)
		return not_found(cgroup, searched, err);
	searched[hierarchy] = directory;
	rc = look_in(directory, cgroup, path, bytes, &there, err);
	if (!rc && !there)
		return not_found(cgroup, searched, err);
	return rc ? rc : path_in(directory, cgroup, file, path, bytes, err);
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
	const char *searched[AGENT_HIERARCHIES] = {NULL};
	int rc = check_name(cgroup, err);

	for (int i = 0; !rc && i < AGENT_HIERARCHIES; i++) {
		char path[PATH_MAX];
		bool there;

		rc = find_hierarchy((enum agent_hierarchy)i, &searched[i]);
		if (rc)
			return agent_call_failed(err, AGENT_CALL_READ, rc, agent_sys->cgroup);
		if (!searched[i])
			continue;
		rc = look_in(searched[i], cgroup, path, sizeof(path), &there, err);
		if (rc || !there)
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
	const char *directory;
	char path[PATH_MAX];
	size_t root;
	int rc = find_hierarchy(AGENT_HIERARCHY_UNIFIED, &directory);

	*bytes = UINT64_MAX;
	if (rc || !directory || cgroup[0] != '/')
		return rc;
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
