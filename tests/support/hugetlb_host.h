/*
 * A host of two nodes with pools of huge pages, as a table: the memory is real, of the machine's own pool or small pages in their
 * place; on which node a page is, and how many a pool has, is what the thread that asked for it had as its policy. Static, for one
 * test program; with memfd_rig.h.
 */
#ifndef TEST_HUGETLB_HOST_H
#define TEST_HUGETLB_HOST_H

#include "../../migrate/core/on_node.h"
#include "../../migrate/core/room.h"
#include "memfd_rig.h"

#include <numaif.h>

#define BLOCKS	 (BYTES / GMIG_BLOCK_BYTES)
#define OUTSIDES 8

enum { STAND_IN, HUGETLB, BOTH };

static bool real_pool;
static atomic_int pool_free[2];	      /* pages */
static atomic_bool pool_is_exhausted; /* of pages that are promised to nobody */
static atomic_bool region_reserved;   /* the last one */
static atomic_bool page_reserved;     /* the last one outside of a region */
static atomic_bool pool_grows;	      /* the kernel makes pages */
static _Thread_local int bound_node = -1;
/* Pages that are in no region yet. */
static _Atomic(void *) outside[OUTSIDES];
static atomic_int outside_node[OUTSIDES];
static atomic_bool has_page[BLOCKS];
static atomic_uint protects, remaps, remap_fails, fills;
static atomic_ullong map_limit_told;
static atomic_ullong group_bytes; /* that a hugetlb cgroup leaves */
static atomic_int group_unread;	  /* so many looks at it fail */

/* ---- Pools ------------------------------------------------------------------------------------- */

/* -1: none has one. */
static inline int take_from_pool(void)
{
	for (int node = bound_node < 0 ? 0 : bound_node; node < 2; node++) {
		if (atomic_fetch_sub(&pool_free[node], 1) > 0)
			return node;
		atomic_fetch_add(&pool_free[node], 1);
		if (bound_node >= 0)
			return -1;
	}
	return -1;
}

static inline bool is_in_region(const void *address)
{
	return ram && (const uint8_t *)address >= (const uint8_t *)ram &&
	       (const uint8_t *)address < (const uint8_t *)ram + BYTES;
}

static inline void set_pages(const void *address, size_t bytes, int node)
{
	for (size_t i = 0; i < bytes / GMIG_PAGE_BYTES; i++) {
		atomic_store(&page_node[page_of(address) + i], node);
		atomic_store(&has_page[(page_of(address) + i) / GMIG_BLOCK_PAGES], true);
	}
}

static inline unsigned int outside_of(const void *page)
{
	unsigned int i = 0;

	while (i < OUTSIDES && atomic_load(&outside[i]) != page)
		i++;
	return i;
}

/* ---- System calls ------------------------------------------------------------------------------ */

static inline int told_policy(struct thread_policy *policy)
{
	memset(policy, 0, sizeof(*policy));
	policy->mode = bound_node < 0 ? MPOL_DEFAULT : MPOL_BIND;
	gmig_node_set_add(&policy->nodes, bound_node < 0 ? GMIG_NO_NODE : (unsigned int)bound_node);
	return 0;
}

static inline int take_policy(const struct thread_policy *policy)
{
	unsigned int node = gmig_node_set_next(&policy->nodes, 0);

	if (policy->mode == MPOL_BIND && node > 1)
		return -EINVAL;
	bound_node = policy->mode == MPOL_BIND ? (int)node : -1;
	return 0;
}

/* A block of small pages, aligned as a huge one. */
static inline int map_small(size_t bytes, void **out)
{
	void *memory;
	uint8_t *base, *start;
	int ret = gmig_sys_real.map(bytes + GMIG_BLOCK_BYTES, PROT_NONE, NULL, &memory);

	if (ret)
		return ret;
	base = memory;
	start = (uint8_t *)(((uintptr_t)base + GMIG_BLOCK_BYTES - 1) & ~(GMIG_BLOCK_BYTES - 1));
	if (start > base)
		gmig_sys_real.unmap(base, (size_t)(start - base));
	gmig_sys_real.unmap(start + bytes, GMIG_BLOCK_BYTES - (size_t)(start - base));
	*out = start;
	return 0;
}

static inline int map_table(size_t bytes, uint64_t page_bytes, bool reserve, void *fixed,
			    void **out)
{
	int ret;

	if (reserve && atomic_load(&pool_is_exhausted))
		return -ENOMEM;
	atomic_store(fixed ? &region_reserved : &page_reserved, reserve);
	if (real_pool)
		ret = gmig_sys_real.map_huge(bytes, page_bytes, reserve, fixed, out);
	else if (fixed)
		ret = gmig_sys_real.map(bytes, PROT_NONE, fixed, out);
	else
		ret = map_small(bytes, out);
	if (!ret && !fixed)
		for (unsigned int i = 0; i < OUTSIDES; i++) {
			void *none = NULL;

			if (!atomic_compare_exchange_strong(&outside[i], &none, *out))
				continue;
			atomic_store(&outside_node[i], -1);
			return 0;
		}
	return ret;
}

static inline int advise_table(void *memory, size_t bytes, int advice)
{
	unsigned int i = outside_of(memory);
	int node;

	if (advice == MADV_POPULATE_WRITE && i < OUTSIDES) {
		node = atomic_load(&group_bytes) < bytes ? -1 : take_from_pool();
		if (node < 0)
			return -EFAULT;
		atomic_store(&outside_node[i], node);
	}
	return gmig_sys_real.advise(memory, bytes, advice);
}

static inline int unmap_table(void *memory, size_t bytes)
{
	unsigned int i = outside_of(memory);

	if (i < OUTSIDES) {
		if (atomic_load(&outside_node[i]) >= 0)
			atomic_fetch_add(&pool_free[atomic_load(&outside_node[i])], 1);
		atomic_store(&outside[i], NULL);
	}
	return gmig_sys_real.unmap(memory, bytes);
}

static inline int remap_table(void *from, size_t bytes, void *to)
{
	unsigned int i = outside_of(from);
	int ret;

	atomic_fetch_add(&remaps, 1);
	if (atomic_load(&remap_fails)) {
		atomic_fetch_sub(&remap_fails, 1);
		return -ENOMEM;
	}
	ret = gmig_sys_real.remap(from, bytes, to);
	if (ret)
		return ret;
	if (atomic_load(&has_page[page_of(to) / GMIG_BLOCK_PAGES]))
		atomic_fetch_add(&pool_free[atomic_load(&page_node[page_of(to)])], 1);
	set_pages(to, bytes, atomic_load(&outside_node[i]));
	atomic_store(&outside[i], NULL);
	return 0;
}

static inline int fill_from_table(int fd, struct uffdio_copy *copy)
{
	void *at = (void *)(uintptr_t)copy->dst;
	int node = take_from_pool(), ret;

	atomic_fetch_add(&fills, 1);
	if (node < 0) {
		copy->copy = -ENOMEM;
		return -ENOMEM;
	}
	set_pages(at, GMIG_BLOCK_BYTES, node);
	ret = gmig_sys_real.ioctl(fd, UFFDIO_COPY, copy);
	if (ret)
		atomic_fetch_add(&pool_free[node], 1);
	return ret;
}

static inline int ioctl_table(int fd, unsigned long request, void *arg)
{
	const struct uffdio_writeprotect *protect = arg;

	if (request == UFFDIO_WRITEPROTECT && protect->mode == UFFDIO_WRITEPROTECT_MODE_WP)
		atomic_fetch_add(&protects, 1);
	if (request == UFFDIO_COPY &&
	    is_in_region((void *)(uintptr_t)((struct uffdio_copy *)arg)->dst))
		return fill_from_table(fd, arg);
	return gmig_sys_real.ioctl(fd, request, arg);
}

static inline int query_host(size_t count, void **pages, int *status)
{
	unsigned int i = count ? outside_of(pages[0]) : OUTSIDES;

	if (i == OUTSIDES)
		return query_table(count, pages, status);
	status[0] = atomic_load(&outside_node[i]);
	return 0;
}

/* As the kernel's migration: a huge page goes whole, and the target's pool must have one. */
static inline long move_host(pid_t pid, unsigned long count, void **pages, const int *nodes,
			     int *status, int flags)
{
	(void)pid, (void)flags;
	for (unsigned long i = 0; i < count; i++) {
		int from;

		if (query_table(1, &pages[i], &status[i]))
			return -EFAULT;
		from = status[i];
		if (!nodes || from < 0 || from == nodes[i])
			continue;
		if (atomic_load(&pool_free[nodes[i]]) <= 0) {
			status[i] = -ENOMEM;
			continue;
		}
		atomic_fetch_sub(&pool_free[nodes[i]], 1);
		atomic_fetch_add(&pool_free[from], 1);
		set_pages(pages[i], GMIG_BLOCK_BYTES, nodes[i]);
		status[i] = nodes[i];
	}
	return 0;
}

static inline int tell_map_limit(uint64_t *count)
{
	*count = atomic_load(&map_limit_told);
	return 0;
}

static inline void tell_group(uint64_t page_bytes, struct room *room)
{
	(void)page_bytes;
	if (atomic_fetch_sub(&group_unread, 1) > 0)
		*room = (struct room){.bytes = UINT64_MAX, .unread = EMFILE};
	else
		*room =
		    (struct room){.bytes = atomic_load(&group_bytes), .limit = "/sys/fs/cgroup/vm"};
}

static inline int tell_grows(uint64_t page_bytes)
{
	(void)page_bytes;
	return atomic_load(&pool_grows);
}

/* What a host with that many free pages on each node says and does. */
static inline void pools_of(int what, int first, int second)
{
	two_nodes();
	real_pool = what == HUGETLB;
	sys.map_huge = map_table;
	sys.remap = remap_table;
	sys.unmap = unmap_table;
	sys.advise = advise_table;
	sys.ioctl = ioctl_table;
	sys.query_nodes = query_host;
	sys.move_pages = move_host;
	sys.thread_policy = told_policy;
	sys.set_thread_policy = take_policy;
	sys.map_limit = tell_map_limit;
	sys.huge_room = tell_group;
	sys.huge_grows = tell_grows;
	atomic_store(&pool_grows, false);
	atomic_store(&map_limit_told, 65530);
	atomic_store(&group_bytes, UINT64_MAX);
	atomic_store(&group_unread, 0);
	atomic_store(&pool_free[0], first);
	atomic_store(&pool_free[1], second);
}

/* ---- The guest ---------------------------------------------------------------------------------- */

/* What a test has changed is seen by the fault threads from here on: a message of the kernel tells ThreadSanitizer nothing. */
static inline void publish(void)
{
	for (unsigned int i = 0; i < ENGINE_STRIPES; i++) {
		pthread_mutex_lock(&gmig->stripes[i].lock);
		pthread_mutex_unlock(&gmig->stripes[i].lock);
	}
}

static inline void touch(unsigned int block)
{
	ram[block * GMIG_BLOCK_BYTES] = (uint8_t)(block + 1);
	engine_settle_faults(gmig, 0);
}

static inline void touch_all(void)
{
	for (unsigned int i = 0; i < BLOCKS; i++)
		touch(i);
}

static inline void assert_content(void)
{
	for (unsigned int i = 0; i < BLOCKS; i++)
		ck_assert_int_eq(ram[i * GMIG_BLOCK_BYTES], (int)i + 1);
}

static inline uint64_t resident(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];

	ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
	return bytes[node];
}

static inline struct gmig_job_spec spec_of(unsigned int from, unsigned int to)
{
	return (struct gmig_job_spec){
	    .from = {(uint16_t)from}, .from_count = 1, .to = {(uint16_t)to}, .to_count = 1};
}

static inline struct gmig_job_info run(const struct gmig_job_spec *spec)
{
	struct gmig_job_info info;
	struct gmig_job *job;

	ck_assert_msg(!gmig_job_start(gmig, spec, &job, &err), "%s", err.text);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	gmig_job_put(job);
	return info;
}

static inline struct gmig_job_info migrate(unsigned int from, unsigned int to)
{
	const struct gmig_job_spec spec = spec_of(from, to);

	return run(&spec);
}

#endif
