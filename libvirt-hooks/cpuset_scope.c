#include "cpuset_scope.h"
#include "../migrate/core/whole.h"
#include "cpuset_mount.h"
#include "qemu_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMS	  "cpuset.mems"
#define MIGRATE	  "cpuset.memory_migrate"
#define MAX_BYTES (64u << 10)

/* ---- Files of a group ------------------------------------------------------------------------ */

static int read_set(const struct cpuset_scope *scope, const char *group, const char *file,
		    struct gmig_node_set *set)
{
	size_t bytes;
	char *text QEMU_FREED = qemu_file_read(scope->host->root, MAX_BYTES, &bytes, "%s%s/%s",
					       scope->mount, group, file);

	return text ? gmig_node_set_parse(text, set, NULL) : -errno;
}

/* One that is not there is not set. */
static int read_flag(const struct cpuset_scope *scope, const char *group, const char *file,
		     bool *flag)
{
	size_t bytes;
	char *text QEMU_FREED = qemu_file_read(scope->host->root, MAX_BYTES, &bytes, "%s%s/%s",
					       scope->mount, group, file);

	*flag = text && *text == '1';
	return text || errno == ENOENT || errno == ENODEV ? 0 : -errno;
}

/* One write(2): the kernel takes a set as a whole or not at all. */
static int write_file(const struct cpuset_scope *scope, const char *group, const char *file,
		      const char *text)
{
	char path[2 * PATH_MAX];
	int fd, ret;

	snprintf(path, sizeof(path), "%s%s%s/%s", scope->host->root, scope->mount, group, file);
	if (scope->host->before_write)
		scope->host->before_write(scope->host->opaque, path, text);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_TRUNC);
	if (fd < 0)
		return -errno;
	ret = write_value(fd, text);
	close(fd);
	return ret;
}

static int write_set(const struct cpuset_scope *scope, const struct cpuset_group *group,
		     const struct gmig_node_set *set, struct gmig_error *err)
{
	char text[4096];
	int ret;

	gmig_node_set_print(set, text, sizeof(text));
	ret = write_file(scope, group->path, MEMS, text);
	if (!ret || ret == -ENOENT || ret == -ENODEV)
		return 0; /* gone, with its threads */
	return gmig_fail(err, ret, "%s of '%.120s' does not take %.40s: %s", MEMS, group->path,
			 text, strerror(-ret));
}

static bool same(const struct gmig_node_set *a, const struct gmig_node_set *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static bool has_all(const struct gmig_node_set *set, const struct gmig_node_set *nodes)
{
	struct gmig_node_set lacks = *nodes;

	gmig_node_set_minus(&lacks, set);
	return gmig_node_set_empty(&lacks);
}

/* ---- Finding --------------------------------------------------------------------------------- */

static unsigned int depth_of(const char *path)
{
	unsigned int depth = 0;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

static int by_depth(const void *a, const void *b)
{
	const struct cpuset_group *one = a, *other = b;

	if (one->depth != other->depth)
		return one->depth < other->depth ? -1 : 1;
	return strcmp(one->path, other->path);
}

/* A group with a set of its own, once. */
static int add_group(struct cpuset_scope *scope, const char *path, size_t length)
{
	struct cpuset_group group = {0};
	void *bigger;
	int ret;

	for (size_t i = 0; i < scope->count; i++)
		if (strlen(scope->group[i].path) == length &&
		    !strncmp(scope->group[i].path, path, length))
			return 0;
	group.path = strndup(path, length);
	if (!group.path)
		return -ENOMEM;
	ret = read_set(scope, group.path, MEMS, &group.before);
	if (ret == -ENOENT || ret == -ENODEV || (!ret && gmig_node_set_empty(&group.before))) {
		free(group.path);
		return 0; /* no cpuset, or it inherits */
	}
	if (!ret && scope->version1)
		ret = read_flag(scope, group.path, MIGRATE, &group.migrates);
	bigger = ret ? NULL : realloc(scope->group, (scope->count + 1) * sizeof(*scope->group));
	if (!bigger) {
		free(group.path);
		return ret ? ret : -ENOMEM;
	}
	group.wide = group.now = group.before;
	group.depth = depth_of(group.path);
	scope->group = bigger;
	scope->group[scope->count++] = group;
	return 0;
}

static bool ends_with(const char *path, size_t length, const char *end)
{
	size_t bytes = strlen(end);

	return length > bytes && !strncmp(path + length - bytes, end, bytes);
}

/* How much of the path is the domain's own group: systemd's scope, or what libvirt makes without systemd. 0: none. */
static size_t domain_length(const char *path)
{
	size_t found = 0;

	for (const char *at = path; *at;) {
		size_t length;

		at++;
		at += strcspn(at, "/");
		length = (size_t)(at - path);
		if (ends_with(path, length, ".scope") || ends_with(path, length, ".libvirt-qemu"))
			found = length;
	}
	return found;
}

/* The groups of one thread, from the domain's down. */
static int add_thread(struct cpuset_scope *scope, const char *path)
{
	size_t domain = domain_length(path);
	int ret = 0;

	if (!domain)
		return 0; /* a group that the domain shares with others, for all we know */
	if (!scope->domain) {
		scope->domain = strndup(path, domain);
		if (!scope->domain)
			return -ENOMEM;
	}
	for (size_t length = domain; !ret; length += strcspn(path + length, "/")) {
		ret = add_group(scope, path, length);
		if (!path[length])
			break;
		length++;
	}
	return ret;
}

static int add_path(void *opaque, const char *path)
{
	return add_thread(opaque, path);
}

int cpuset_scope_read(const struct cpuset_host *host, pid_t pid, struct cpuset_scope **out,
		      struct gmig_error *err)
{
	struct cpuset_scope *scope = calloc(1, sizeof(*scope));
	int ret;

	if (!scope)
		return gmig_fail(err, -ENOMEM, "out of memory");
	scope->host = host;
	ret = cpuset_mount_find(host->root, scope->mount, sizeof(scope->mount), &scope->version1);
	if (!ret)
		ret = cpuset_paths_each(host->root, pid, scope->version1, add_path, scope);
	else if (ret == -ENOENT)
		ret = 0; /* no cpusets here */
	if (ret) {
		cpuset_scope_free(scope);
		return gmig_fail(err, ret, "the cpusets of process %d: %s", (int)pid,
				 strerror(-ret));
	}
	if (scope->count)
		qsort(scope->group, scope->count, sizeof(*scope->group), by_depth);
	*out = scope;
	return 0;
}

void cpuset_scope_free(struct cpuset_scope *scope)
{
	if (!scope)
		return;
	for (size_t i = 0; i < scope->count; i++)
		free(scope->group[i].path);
	free(scope->group);
	free(scope->domain);
	free(scope);
}

/* ---- Widening -------------------------------------------------------------------------------- */

/* What the group above the domain's allows: it is not ours. */
static int check_above(const struct cpuset_scope *scope, const struct gmig_node_set *nodes,
		       struct gmig_error *err)
{
	size_t length = (size_t)(strrchr(scope->domain, '/') - scope->domain);
	char may[80], lacks_text[40], above[PATH_MAX];
	const char *file = scope->version1 ? MEMS : MEMS ".effective";
	struct gmig_node_set allowed = {{0}}, lacks = *nodes;
	int ret;

	snprintf(above, sizeof(above), "%.*s", (int)length, scope->domain);
	ret = read_set(scope, above, file, &allowed);
	if (ret == -ENOENT || ret == -ENODEV)
		return 0; /* no cpusets there */
	if (ret)
		return gmig_fail(err, ret,
				 "%s of the cgroup '%.100s', which holds other domains, too, "
				 "cannot be read: %s",
				 file, *above ? above : "/", strerror(-ret));
	if (gmig_node_set_empty(&allowed) || has_all(&allowed, nodes))
		return 0;
	gmig_node_set_minus(&lacks, &allowed);
	gmig_node_set_print(&allowed, may, sizeof(may));
	gmig_node_set_print(&lacks, lacks_text, sizeof(lacks_text));
	return gmig_fail(err, -EACCES,
			 "the cgroup '%.100s', which holds other domains, too, allows memory on "
			 "nodes %s, not on %s",
			 *above ? above : "/", may, lacks_text);
}

int cpuset_scope_plan(struct cpuset_scope *scope, const struct gmig_node_set *nodes,
		      struct gmig_error *err)
{
	for (size_t i = 0; i < scope->count; i++) {
		scope->group[i].wide = scope->group[i].before;
		gmig_node_set_or(&scope->group[i].wide, nodes);
	}
	return scope->domain ? check_above(scope, nodes, err) : 0;
}

bool cpuset_scope_is_wide(const struct cpuset_scope *scope)
{
	for (size_t i = 0; i < scope->count; i++)
		if (!same(&scope->group[i].wide, &scope->group[i].now))
			return true;
	return false;
}

int cpuset_scope_widen(struct cpuset_scope *scope, struct gmig_error *err)
{
	int ret = 0;
	size_t i;

	for (i = 0; i < scope->count && !ret; i++)
		if (!same(&scope->group[i].wide, &scope->group[i].now))
			ret = write_set(scope, &scope->group[i], &scope->group[i].wide, err);
	/* No page lies on the new nodes yet: taking them away moves nothing. */
	while (ret && i-- > 0)
		if (!same(&scope->group[i].wide, &scope->group[i].now))
			write_set(scope, &scope->group[i], &scope->group[i].now, NULL);
	for (i = 0; i < scope->count && !ret; i++)
		scope->group[i].now = scope->group[i].wide;
	return ret;
}

/* ---- Narrowing ------------------------------------------------------------------------------- */

unsigned int cpuset_map_target(const struct cpuset_map *map, unsigned int node)
{
	/* As a job has it. */
	if (map->from_count != map->to_count)
		for (unsigned int i = 0; i < map->to_count; i++)
			if (map->to[i] == node)
				return node;
	for (unsigned int i = 0; i < map->from_count && map->to_count; i++)
		if (map->from[i] == node)
			return map->to[i % map->to_count];
	return node;
}

bool cpuset_scope_is_above(const struct cpuset_scope *scope, size_t group)
{
	const char *path = scope->group[group].path;
	size_t length = strlen(path);

	for (size_t i = 0; i < scope->count; i++)
		if (!strncmp(scope->group[i].path, path, length) &&
		    scope->group[i].path[length] == '/')
			return true;
	return false;
}

void cpuset_scope_moved(struct cpuset_scope *scope, const struct cpuset_map *map)
{
	for (size_t i = 0; i < scope->count; i++) {
		struct gmig_node_set after = {{0}};

		gmig_node_set_each (node, &scope->group[i].before)
			gmig_node_set_add(&after, cpuset_map_target(map, node));
		/* It does not say where memory is, and is wide enough: libvirt gives the domain's group all nodes when it is restarted. */
		if (!cpuset_scope_is_above(scope, i) || !has_all(&scope->group[i].before, &after))
			scope->group[i].before = after;
	}
}

struct gmig_node_set cpuset_scope_nodes(const struct cpuset_scope *scope)
{
	struct gmig_node_set nodes = {{0}};

	for (size_t i = 0; i < scope->count; i++)
		if (!cpuset_scope_is_above(scope, i))
			gmig_node_set_or(&nodes, &scope->group[i].before);
	return nodes;
}

/* What a group is to have in the end. */
static struct gmig_node_set narrow_set(const struct cpuset_group *group,
				       const struct gmig_node_set *keep)
{
	struct gmig_node_set wanted = *keep;

	gmig_node_set_and(&wanted, &group->wide);
	gmig_node_set_or(&wanted, &group->before);
	return wanted;
}

bool cpuset_scope_narrows(const struct cpuset_scope *scope, const struct gmig_node_set *keep)
{
	for (size_t i = 0; i < scope->count; i++) {
		const struct gmig_node_set wanted = narrow_set(&scope->group[i], keep);

		if (!same(&wanted, &scope->group[i].wide))
			return true;
	}
	return false;
}

/* With version 1 the kernel moves memory behind a write to cpuset.mems, at full speed, where this flag is set. A group that has gone needs none. */
static int write_flag(const struct cpuset_scope *scope, const struct cpuset_group *group,
		      const char *text, struct gmig_error *err)
{
	int ret = write_file(scope, group->path, MIGRATE, text);

	if (!ret || ret == -ENOENT || ret == -ENODEV)
		return 0;
	return gmig_fail(err, ret, "%s to %s of '%.120s' cannot be written: %s", text, MIGRATE,
			 group->path, strerror(-ret));
}

static int narrow_group(const struct cpuset_scope *scope, struct cpuset_group *group,
			const struct gmig_node_set *keep, unsigned int *others,
			struct gmig_error *err)
{
	struct gmig_node_set wanted = narrow_set(group, keep), now = {{0}};
	int ret = read_set(scope, group->path, MEMS, &now);
	bool done, migrates;

	if (ret == -ENOENT || ret == -ENODEV) {
		group->now = wanted;
		return 0;
	}
	if (ret)
		return gmig_fail(err, ret, "%s of '%.120s' cannot be read: %s", MEMS, group->path,
				 strerror(-ret));
	group->now = now;
	if (!same(&now, &group->wide) && !same(&now, &group->before) && !same(&now, &wanted)) {
		(*others)++;
		return 0;
	}
	done = same(&now, &wanted);
	if (!done && group->migrates)
		ret = write_flag(scope, group, "0", err);
	if (!done && !ret)
		ret = write_set(scope, group, &wanted, err);
	if (!ret)
		group->now = wanted;
	/* Also where nothing else was left to write: whoever did that may have been killed before this. */
	if (group->migrates && (read_flag(scope, group->path, MIGRATE, &migrates) || !migrates)) {
		int back = write_flag(scope, group, "1", ret ? NULL : err);

		ret = ret ? ret : back;
	}
	return ret;
}

bool cpuset_scope_is_narrow(const struct cpuset_scope *scope, const struct gmig_node_set *keep)
{
	for (size_t i = 0; i < scope->count; i++) {
		const struct cpuset_group *group = &scope->group[i];
		const struct gmig_node_set wanted = narrow_set(group, keep);

		if (same(&group->now, &group->wide) && !same(&group->wide, &wanted))
			return false;
	}
	return true;
}

int cpuset_scope_narrow(struct cpuset_scope *scope, const struct gmig_node_set *keep,
			unsigned int *others, struct gmig_error *err)
{
	int first = 0;

	*others = 0;
	for (size_t i = scope->count; i-- > 0;) {
		int ret = narrow_group(scope, &scope->group[i], keep, others, first ? NULL : err);

		if (!first)
			first = ret;
	}
	return first;
}
