/*
 * How much memory this process may still ask for: what the host has (MemAvailable), and what every
 * memory cgroup leaves that the process is in (v1 and v2, with all ancestors), each less a reserve.
 * To go over a cgroup's limit is not refused but ends in its OOM killer; hence the reserve, and hence
 * the look at every limit before memory is asked for.
 *
 * memory.high counts as a limit: who is above it is made to wait by the kernel, and that would be the
 * guest. Page cache that a cgroup could drop counts as free by half, as MemAvailable has it. Limits on
 * swap do not matter: they refuse nothing that can be had without swap.
 *
 * Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux;
 * si_mem_available() in its mm/page_alloc.c.
 *
 * A source belongs to its caller; one thread at a time.
 */
#ifndef GMIG_ROOM_H
#define GMIG_ROOM_H

#include "../gmig_error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct room {
	uint64_t bytes; /* that may be asked for; UINT64_MAX: no limit is known */
	uint64_t
	    left_bytes; /* room_read() alone: until the kernel kills. No reserve, no memory.high */
	uint64_t total_bytes; /* of what limits it */
	char limit[PATH_MAX]; /* "host", or the directory of the cgroup that is tightest */
	/* An errno: some of it could not be looked at, for want of descriptors or memory, and is as it last was; 0: all of it was. */
	int unread;
};

/* What is kept back of `total_bytes`: 1/256 of it, at least 4 MiB and at most 64 MiB. */
uint64_t room_reserve(uint64_t total_bytes);

#define ROOM_DIRS 32 /* cgroups above a process that are looked at */

/* Where to look. Zeroed, but for `root`, before the first call; for calls of one kind, and of one size. */
struct room_source {
	const char *root;	/* "", or a directory with a /proc and a /sys of its own */
	const char *controller; /* NULL: "memory" */
	unsigned int pid;	/* whose cgroups; 0: this process's */
	char cgroup[4096];	/* its /proc/PID/cgroup as it was when the directories were found */
	char dir[ROOM_DIRS][PATH_MAX];
	bool v1[ROOM_DIRS];
	unsigned int dirs;
	struct room last; /* as it was when all of it could be looked at */
	bool has_last;
};

/*
 * Always succeeds: a file that is not there limits nothing, and what could not be looked at limits as it did before. If it never could be, there
 * is no room until the next look. About 60 us.
 */
void room_read(struct room_source *source, struct room *room);
/* Of room_read() and room_swap_read(): 0 bytes, since nothing could be looked at so far. */
static inline bool room_is_unknown(const struct room *room)
{
	return room->unread && !room->bytes && !room->limit[0];
}
/*
 * -ENOMEM: less than `bytes` are left until the kernel kills; the text has that, the limit, and who needs them. -EAGAIN: it is not known how
 * many are left.
 */
int room_check(const struct room *room, const char *who, uint64_t bytes, struct gmig_error *err);
/*
 * What cgroups leave of pages of hugetlbfs of that size, of a source for the controller "hugetlb". Pools are another matter, and
 * nothing is kept back: beyond the limit the kernel refuses pages, and kills nobody. room->unread: there may be limits beside those that it has;
 * it is not as it last was.
 *
 * Source: Documentation/admin-guide/cgroup-v1/hugetlb.rst, hugetlb_cgroup_charge_cgroup() in mm/hugetlb_cgroup.c.
 */
void room_huge_read(struct room_source *source, uint64_t page_bytes, struct room *room);
/*
 * How much of this process may still go to swap: what is free of the host's swap, and what memory.swap.max and memory.swap.high of
 * its cgroups leave (of v2; the limits of v1 are of memory and swap together, and what goes from one to the other changes nothing
 * there). Nothing is kept back: what has no room in swap stays in memory, and nobody is killed.
 *
 * Source: "Swap" in Documentation/admin-guide/cgroup-v2.rst of Linux; __mem_cgroup_try_charge_swap() in its mm/memcontrol.c.
 */
void room_swap_read(struct room_source *source, struct room *room);

#endif
