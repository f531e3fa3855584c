#include "room.h"

#include "shortage.h"
#include "whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESERVE_PART 256
#define RESERVE_MIN  (4ull << 20)
#define RESERVE_MAX  (64ull << 20)
#define NO_LIMIT     (1ull << 62)   /* v1 writes "none" as the largest multiple of a page */
#define NEAR_BYTES   (256ull << 20) /* nearer than this to a limit, droppable page cache matters */

uint64_t room_reserve(uint64_t total_bytes)
{
	uint64_t part = total_bytes / RESERVE_PART;

	return part < RESERVE_MIN ? RESERVE_MIN : part > RESERVE_MAX ? RESERVE_MAX : part;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* kills: who goes beyond it, and is not only made to wait. */
static void tighten(struct room *room, uint64_t available, uint64_t total, bool kills,
		    const char *limit)
{
	uint64_t bytes = minus(available, room_reserve(total));
	bool nearer = kills && available < room->left_bytes;

	if (nearer)
		room->left_bytes = available;
	if (bytes > room->bytes || (bytes == room->bytes && !nearer))
		return;
	room->bytes = bytes;
	room->total_bytes = total;
	snprintf(room->limit, sizeof(room->limit), "%s", limit);
}

/*
 * Up to bytes - 1 of a file, as a string. No stdio: this is done a hundred times a second. false: no such file, or it could not be looked at,
 * which room->unread says from then on.
 */
static bool file_read(const char *directory, const char *name, char *text, size_t bytes,
		      struct room *room)
{
	char path[PATH_MAX + 64];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read_whole(fd, text, bytes - 1);
	if (got < 0 && is_shortage(errno))
		room->unread = errno;
	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

/* ---- The host ---------------------------------------------------------------------------------- */

static uint64_t kib_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

static void host_read(const char *root, struct room *room)
{
	char text[256]; /* the first lines: MemTotal, MemFree, MemAvailable */
	uint64_t total;

	if (!file_read(root, "proc/meminfo", text, sizeof(text), room))
		return;
	total = kib_after(text, "MemTotal:");
	if (total)
		tighten(room, kib_after(text, "MemAvailable:"), total, true, "host");
}

/* ---- One cgroup -------------------------------------------------------------------------------- */

/* false: there is no such file, or it says that there is no limit. */
static bool number_read(const char *directory, const char *name, uint64_t *number,
			struct room *room)
{
	char text[32], *end;
	uint64_t value;

	if (!file_read(directory, name, text, sizeof(text), room))
		return false;
	value = strtoull(text, &end, 10);
	if (end == text || value >= NO_LIMIT)
		return false;
	*number = value;
	return true;
}

struct cache {
	uint64_t file, busy;
};

static void cache_add(struct cache *cache, const char *name, uint64_t bytes)
{
	if (!strncmp(name, "total_", 6)) /* v1: with those below it */
		name += 6;
	if (!strncmp(name, "file_", 5)) /* v2 */
		name += 5;
	if (!strcmp(name, "inactive_file") || !strcmp(name, "active_file"))
		cache->file += bytes;
	if (!strcmp(name, "dirty") || !strcmp(name, "writeback"))
		cache->busy += bytes;
}

/* Page cache that the kernel would drop before it kills: half of what is clean. */
static uint64_t droppable(const char *directory, bool v1, struct room *room)
{
	char text[8192], name[64], *line = text, *rest;
	struct cache cache = {0, 0};
	unsigned long long bytes;

	if (!file_read(directory, "memory.stat", text, sizeof(text), room))
		return 0;
	for (; (line = strtok_r(line, "\n", &rest)); line = NULL)
		if (sscanf(line, "%63s %llu", name, &bytes) == 2 &&
		    (!v1 || !strncmp(name, "total_", 6)))
			cache_add(&cache, name, bytes);
	return minus(cache.file, cache.busy) / 2;
}

static void limit_read(const char *directory, bool v1, const char *limit, const char *usage,
		       bool kills, struct room *room)
{
	uint64_t most, used = 0, left;

	if (!number_read(directory, limit, &most, room))
		return;
	number_read(directory, usage, &used, room);
	left = minus(most, used);
	if (left < NEAR_BYTES)
		left = minus(most + droppable(directory, v1, room), used);
	tighten(room, left, most, kills, directory);
}

static void cgroup_read(const char *directory, bool v1, struct room *room)
{
	if (v1) {
		limit_read(directory, v1, "memory.limit_in_bytes", "memory.usage_in_bytes", true,
			   room);
		limit_read(directory, v1, "memory.memsw.limit_in_bytes",
			   "memory.memsw.usage_in_bytes", true, room);
	} else {
		limit_read(directory, v1, "memory.max", "memory.current", true, room);
		limit_read(directory, v1, "memory.high", "memory.current", false, room);
	}
}

/* ---- Which cgroups ----------------------------------------------------------------------------- */

static bool has_option(const char *options, const char *option)
{
	size_t length = strlen(option);

	for (const char *at = options; (at = strstr(at, option)); at += length)
		if ((at == options || at[-1] == ',') && (!at[length] || at[length] == ','))
			return true;
	return false;
}

struct mount {
	char root[PATH_MAX], point[PATH_MAX];
	bool v1;
};

/*
 * A line of mountinfo: "36 35 98:0 ROOT POINT options [fields] - TYPE source OPTIONS". true: it mounts a
 * hierarchy that has this controller, or, of v2, may have it.
 */
static bool mount_parse(const char *line, const char *controller, struct mount *mount)
{
	const char *rest = strstr(line, " - ");
	char type[32], options[256];

	if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", mount->root, mount->point) != 2 ||
	    sscanf(rest, " - %31s %*s %255s", type, options) != 2)
		return false;
	mount->v1 = !strcmp(type, "cgroup");
	return !strcmp(type, "cgroup2") || (mount->v1 && has_option(options, controller));
}

/* Lines of /proc/self/cgroup: "0::PATH" (v2), "N:CONTROLLERS:PATH" (v1). */
static bool cgroup_path(const char *text, const char *controller, bool v1, char *path, size_t bytes)
{
	while (text && *text) {
		const char *controllers = strchr(text, ':'), *end = strchr(text, '\n');
		const char *start = controllers ? strchr(controllers + 1, ':') : NULL;
		char names[256];

		if (!start)
			return false;
		snprintf(names, sizeof(names), "%.*s", (int)(start - controllers - 1),
			 controllers + 1);
		if (v1 ? has_option(names, controller) : !names[0]) {
			start++;
			snprintf(path, bytes, "%.*s", end ? (int)(end - start) : (int)strlen(start),
				 start);
			return true;
		}
		text = end ? end + 1 : NULL;
	}
	return false;
}

/* The process's directory of that mount and those above it, as far as the mount shows them. */
static void dirs_add(struct room_source *source, const struct mount *mount, const char *path)
{
	size_t root = strlen(mount->root), top;
	char directory[PATH_MAX];

	if (!strncmp(path, mount->root, root) && (!path[root] || path[root] == '/'))
		path += root;
	if (strstr(path, "..")) /* outside of this cgroup namespace: only the mount can be seen */
		path = "";
	top = (size_t)snprintf(directory, sizeof(directory), "%s%s", source->root, mount->point);
	if (top + strlen(path) >= sizeof(directory))
		return;
	memcpy(directory + top, path, strlen(path) + 1);
	while (source->dirs < ROOM_DIRS) {
		char *slash = strrchr(directory, '/');

		snprintf(source->dir[source->dirs], PATH_MAX, "%s", directory);
		source->v1[source->dirs++] = mount->v1;
		if (!slash || (size_t)(slash - directory) < top)
			break;
		*slash = '\0';
	}
}

/* 0, or errno: the mounts could not be read. */
static int dirs_find(struct room_source *source)
{
	char file_name[PATH_MAX + 64];
	const char *controller = source->controller ? source->controller : "memory";
	FILE *file;
	char line[2 * PATH_MAX + 512], path[PATH_MAX];
	struct mount mount;
	int error;

	snprintf(file_name, sizeof(file_name), "%s/proc/self/mountinfo", source->root);
	file = fopen(file_name, "re");
	if (!file && is_shortage(errno))
		return errno;
	source->dirs = 0;
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (mount_parse(line, controller, &mount) &&
		    cgroup_path(source->cgroup, controller, mount.v1, path, sizeof(path)))
			dirs_add(source, &mount, path);
	error = ferror(file) ? EIO : 0;
	fclose(file);
	return error;
}

/* A process may be put into another cgroup at any time. What cannot be looked at is as it was, and is looked at again the next time. */
static void dirs_update(struct room_source *source, struct room *room)
{
	char now[sizeof(source->cgroup)] = "", name[32] = "proc/self/cgroup";
	int unread = room->unread;

	if (source->pid)
		snprintf(name, sizeof(name), "proc/%u/cgroup", source->pid);
	room->unread = 0;
	if (!file_read(source->root, name, now, sizeof(now), room) && !room->unread)
		now[0] = '\0';
	if (!room->unread && strcmp(now, source->cgroup) != 0) {
		memcpy(source->cgroup, now, sizeof(now));
		room->unread = dirs_find(source);
		if (room->unread)
			source->cgroup[0] = '\0';
	}
	if (!room->unread)
		room->unread = unread;
}

/*
 * What could not be looked at limits no less than it did the last time it could: to ask for memory as if there were no limit may end in the
 * OOM killer. For the same reason there is none where nothing is known at all: until the next look, which is soon.
 */
static void keep_limit(struct room_source *source, struct room *room)
{
	if (!room->unread) {
		source->last = *room;
		source->has_last = true;
		return;
	}
	if (!source->has_last) {
		room->bytes = room->left_bytes = room->total_bytes = 0;
		room->limit[0] = '\0';
		return;
	}
	if (source->last.left_bytes < room->left_bytes)
		room->left_bytes = source->last.left_bytes;
	if (source->last.bytes >= room->bytes)
		return;
	room->bytes = source->last.bytes;
	room->total_bytes = source->last.total_bytes;
	memcpy(room->limit, source->last.limit, sizeof(room->limit));
}

void room_read(struct room_source *source, struct room *room)
{
	room->bytes = UINT64_MAX;
	room->left_bytes = UINT64_MAX;
	room->total_bytes = UINT64_MAX;
	room->limit[0] = '\0';
	room->unread = 0;
	host_read(source->root, room);
	dirs_update(source, room);
	for (unsigned int i = 0; i < source->dirs; i++)
		cgroup_read(source->dir[i], source->v1[i], room);
	keep_limit(source, room);
}

int room_check(const struct room *room, const char *who, uint64_t bytes, struct gmig_error *err)
{
	if (room->left_bytes >= bytes)
		return 0;
	if (room_is_unknown(room))
		return gmig_fail(
		    err, -EAGAIN,
		    "how much memory is left could not be looked at (%s), and %s needs "
		    "%llu KiB: try again",
		    strerror(room->unread), who, (unsigned long long)bytes / 1024);
	return gmig_fail(err, -ENOMEM,
			 "%llu KiB of memory are left by %s, %s needs %llu KiB itself: more would "
			 "end in the kernel's OOM killer",
			 (unsigned long long)room->left_bytes / 1024, room->limit, who,
			 (unsigned long long)bytes / 1024);
}

/* ---- Huge pages of hugetlbfs --------------------------------------------------------------------- */

/* what: "" for those that are there, ".rsvd" for those that are promised, too. */
static void huge_read(const char *directory, bool v1, const char *size, const char *what,
		      struct room *room)
{
	char limit[64], usage[64];
	uint64_t most, used = 0;

	snprintf(limit, sizeof(limit), "hugetlb.%s%s.%s", size, what,
		 v1 ? "limit_in_bytes" : "max");
	snprintf(usage, sizeof(usage), "hugetlb.%s%s.%s", size, what,
		 v1 ? "usage_in_bytes" : "current");
	if (!number_read(directory, limit, &most, room))
		return;
	number_read(directory, usage, &used, room);
	if (minus(most, used) >= room->bytes)
		return;
	room->bytes = minus(most, used);
	room->total_bytes = most;
	snprintf(room->limit, sizeof(room->limit), "%s", directory);
}

/* As the kernel names the files: hugetlb_cgroup_file_init(). */
static const char *size_name(uint64_t page_bytes, char *name, size_t bytes)
{
	bool giant = page_bytes >= 1ull << 30;

	snprintf(name, bytes, "%llu%s", (unsigned long long)page_bytes >> (giant ? 30 : 20),
		 giant ? "GB" : "MB");
	return name;
}

void room_huge_read(struct room_source *source, uint64_t page_bytes, struct room *room)
{
	char size[24];

	size_name(page_bytes, size, sizeof(size));
	*room = (struct room){.bytes = UINT64_MAX, .total_bytes = UINT64_MAX};
	dirs_update(source, room);
	for (unsigned int i = 0; i < source->dirs; i++) {
		huge_read(source->dir[i], source->v1[i], size, "", room);
		huge_read(source->dir[i], source->v1[i], size, ".rsvd", room);
	}
}

/* ---- Swap ---------------------------------------------------------------------------------------- */

static void swap_tighten(struct room *room, uint64_t left, uint64_t total, const char *limit)
{
	if (left >= room->bytes)
		return;
	room->bytes = left;
	room->total_bytes = total;
	snprintf(room->limit, sizeof(room->limit), "%s", limit);
}

static void swap_limit_read(const char *directory, const char *name, struct room *room)
{
	uint64_t most, used = 0;

	if (!number_read(directory, name, &most, room))
		return;
	number_read(directory, "memory.swap.current", &used, room);
	swap_tighten(room, minus(most, used), most, directory);
}

void room_swap_read(struct room_source *source, struct room *room)
{
	char text[1024]; /* its swap is in the first twenty lines */

	*room = (struct room){.bytes = UINT64_MAX, .total_bytes = UINT64_MAX};
	if (file_read(source->root, "proc/meminfo", text, sizeof(text), room))
		swap_tighten(room, kib_after(text, "SwapFree:"), kib_after(text, "SwapTotal:"),
			     "host");
	dirs_update(source, room);
	for (unsigned int i = 0; i < source->dirs; i++) {
		if (source->v1[i])
			continue;
		swap_limit_read(source->dir[i], "memory.swap.max", room);
		swap_limit_read(source->dir[i], "memory.swap.high", room);
	}
	keep_limit(source, room);
}
