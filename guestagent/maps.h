/*
 * Where a process's memory lies: /proc/PID/numa_maps joined with /proc/PID/smaps, one mapping at a
 * time, so that a process with many mappings costs no memory. The line parsers are fuzzed. No state
 * but the walk's own; any thread, one at a time.
 */
#ifndef AGENT_MAPS_H
#define AGENT_MAPS_H

#include "set.h"
#include "sys.h"

#include <sys/types.h>

struct agent_vma {
	uint64_t start, end;
	uint64_t page_bytes; /* the kernel's for the mapping: 4K, or a hugetlb size */
	uint64_t huge_bytes; /* in transparent huge pages, all nodes together; 0 without smaps */
	uint64_t
	    shared_bytes; /* that others map as well, or that are mapped more than once (KSM); 0 without smaps */
	char policy[40]; /* "default", "bind:0" */
	char what[80];	 /* "heap", "stack", a file's path, or empty */
	bool anonymous;	 /* holds no file */
	size_t node_count;
	struct {
		int node;
		uint64_t pages; /* of page_bytes; a huge page counts as 512 of 4K */
	} node[AGENT_MAX_NODES];
};

/* A line of numa_maps: all but end and huge_bytes. -EINVAL: not such a line. */
int agent_parse_numa_line(const char *line, struct agent_vma *vma);
/* A line of maps or smaps: 1, the head of a mapping, with start and end; 0 with *huge_bytes added
 * to if it tells of transparent huge pages. */
int agent_parse_smaps_line(const char *line, uint64_t *start, uint64_t *end, uint64_t *huge_bytes);

/* Of a line of smaps: how many bytes are shared, 0 if it does not tell of that. */
uint64_t agent_parse_smaps_shared(const char *line);

struct agent_maps;

/* with_huge: read smaps, which costs a second walk of the page tables. -ESRCH, -EACCES, -ENOMEM;
 * -ENOSYS: the kernel has no numa_maps. */
int agent_maps_open(pid_t pid, bool with_huge, struct agent_maps **out, struct gmig_error *err);
/* 1: *vma is the next mapping; 0: there is no more, or it cannot be read. */
int agent_maps_next(struct agent_maps *maps, struct agent_vma *vma);
/* After the last one: 0, or why some have not been read. These are never told as all. */
int agent_maps_end(const struct agent_maps *maps, struct gmig_error *err);
void agent_maps_close(struct agent_maps *maps);

/* Pages of a process by node and size, in bytes. */
struct agent_usage {
	struct agent_set nodes;
	uint64_t small_bytes[AGENT_MAX_NODES]; /* 4K pages */
	uint64_t huge_bytes[AGENT_MAX_NODES];  /* transparent huge pages, hugetlb pages of 2M */
	uint64_t giant_bytes[AGENT_MAX_NODES]; /* hugetlb pages of 1G */
	uint64_t total_bytes;
	bool huge_estimated; /* a mapping had both sizes on several nodes: dealt in proportion */
};
void agent_usage_add(struct agent_usage *usage, const struct agent_vma *vma);
int agent_usage_read(pid_t pid, bool with_huge, struct agent_usage *usage, struct gmig_error *err);
uint64_t agent_usage_on(const struct agent_usage *usage, int node);

static inline void agent_maps_put(struct agent_maps **maps)
{
	agent_maps_close(*maps);
}
#define AGENT_MAPS __attribute__((cleanup(agent_maps_put))) struct agent_maps *

#endif
