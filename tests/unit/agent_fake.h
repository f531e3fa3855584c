/*
 * A kernel for the agent's tests: one process, pid 77, with FAKE_PAGES pages from FAKE_START on, of
 * which each has a node or is a hole, may be busy, shared or unmovable; a /proc and a /sys in a
 * directory. It moves pages as Linux does: a call stops at the first batch in which a page fails.
 * One test program includes it; jobs may move at the same time.
 */
#ifndef AGENT_FAKE_H
#define AGENT_FAKE_H

#include "../../guestagent/sys.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKE_PID   77
#define FAKE_START 0x7f0000000000ull
#define FAKE_PAGES 10000
#define FAKE_HOLE  (-2) /* -ENOENT */

struct fake_page {
	int node;
	bool busy, shared, huge; /* huge: 512 of them go together, with the first of 2 MiB */
	int busy_times;		 /* busy, but only so often */
};

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_page fake_page[FAKE_PAGES];
static size_t fake_node_free[4]; /* pages that still fit */
static unsigned int fake_calls;	 /* of move_pages that move */
static int fake_refuse;		 /* -errno of the whole call */
static uint64_t fake_now_ns;
static char fake_root[64];
static char fake_proc[PATH_MAX], fake_sys[PATH_MAX], fake_cgroup[PATH_MAX];

__attribute__((format(printf, 2, 3))) static inline void fake_file(const char *name,
								   const char *format, ...)
{
	char path[PATH_MAX], aside[PATH_MAX + 8];
	va_list args;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", fake_root, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	/* Readers see the old file or the new one. */
	snprintf(aside, sizeof(aside), "%s.new", path);
	file = fopen(aside, "w");
	ck_assert_ptr_nonnull(file);
	va_start(args, format);
	vfprintf(file, format, args);
	va_end(args);
	fclose(file);
	ck_assert_int_eq(rename(aside, path), 0);
}

static inline struct fake_page *fake_find(void *address)
{
	uint64_t at = (uint64_t)(uintptr_t)address;

	if (at < FAKE_START || at >= FAKE_START + FAKE_PAGES * AGENT_PAGE_BYTES)
		return NULL;
	return &fake_page[(at - FAKE_START) / AGENT_PAGE_BYTES];
}

/* The files follow what has been moved. */
static inline void fake_write_maps(void)
{
	size_t on[4] = {0}, huge = 0;
	char text[256] = "";

	for (size_t i = 0; i < FAKE_PAGES; i++) {
		if (fake_page[i].node >= 0)
			on[fake_page[i].node]++;
		huge += fake_page[i].node >= 0 && fake_page[i].huge;
	}
	for (int node = 0; node < 4; node++)
		if (on[node])
			snprintf(text + strlen(text), sizeof(text) - strlen(text), " N%d=%zu", node,
				 on[node]);
	fake_file("proc/77/numa_maps", "%llx default anon=1%s kernelpagesize_kB=4\n", FAKE_START,
		  text);
	fake_file("proc/77/smaps",
		  "%llx-%llx rw-p 00000000 00:00 0 \nSize: 4 kB\nAnonHugePages: %zu kB\n",
		  FAKE_START, FAKE_START + FAKE_PAGES * AGENT_PAGE_BYTES, huge * 4);
	fake_file("proc/77/maps", "%llx-%llx rw-p 00000000 00:00 0 \n", FAKE_START,
		  FAKE_START + FAKE_PAGES * AGENT_PAGE_BYTES);
}

/* 0 it went, > 0 it did not, -ENOMEM. */
static inline int fake_move_one(struct fake_page *page, int node)
{
	if (page->busy || page->busy_times > 0) {
		page->busy_times--;
		return 1;
	}
	if (!fake_node_free[node])
		return -ENOMEM;
	for (size_t i = 0; i < (page->huge ? 512u : 1u); i++) {
		page[i].node = node;
		fake_node_free[node]--;
	}
	return 0;
}

/* The page is taken off its list: not the tail of a huge page. 1 yes, 0 it is there already. */
static inline int fake_isolate(const struct fake_page *page, int node, bool all)
{
	if (!page)
		return -EFAULT;
	if (page->node == FAKE_HOLE)
		return -ENOENT;
	if (page->node == node)
		return 0;
	if (page->shared && !all)
		return -EACCES;
	if (page->huge && (page - fake_page) % 512)
		return -EBUSY;
	return 1;
}

static inline long fake_flush(size_t first, size_t end, void **pages, const int *nodes, int *status)
{
	long failed = 0;

	for (size_t i = first; i < end; i++) {
		int rc = fake_move_one(fake_find(pages[i]), nodes[i]);

		if (rc < 0)
			return rc;
		failed += rc;
	}
	for (size_t i = first; !failed && i < end; i++)
		status[i] = nodes[i];
	return failed;
}

static inline long fake_query(unsigned long count, void **pages, int *status)
{
	for (size_t i = 0; i < count; i++) {
		struct fake_page *page = fake_find(pages[i]);

		status[i] = page ? page->node == FAKE_HOLE ? -ENOENT : page->node : -EFAULT;
	}
	return 0;
}

static inline long fake_move_pages_locked(pid_t pid, unsigned long count, void **pages,
					  const int *nodes, int *status, int flags)
{
	size_t first = 0; /* of the batch: one target node, all isolated */
	long rc = 0;

	if (pid != FAKE_PID)
		return -ESRCH;
	if (!nodes)
		return fake_query(count, pages, status);
	fake_calls++;
	if (fake_refuse)
		return fake_refuse;
	for (size_t i = 0; i < count; i++) {
		int isolated;

		if (nodes[i] < 0 || nodes[i] >= 4) {
			rc = fake_flush(first, i, pages, nodes, status);
			return rc ? rc : -ENODEV;
		}
		if (i > first && nodes[i] != nodes[first]) {
			rc = fake_flush(first, i, pages, nodes, status);
			if (rc)
				return rc > 0 ? rc + (long)(count - i) : rc;
			first = i;
		}
		isolated =
		    fake_isolate(fake_find(pages[i]), nodes[i], flags & AGENT_MPOL_MF_MOVE_ALL);
		if (isolated == 1)
			continue;
		status[i] = isolated ? isolated : nodes[i];
		rc = fake_flush(first, i, pages, nodes, status);
		if (rc)
			return rc > 0 ? rc + (long)(count - i - 1) : rc;
		first = i + 1;
	}
	rc = fake_flush(first, count, pages, nodes, status);
	fake_write_maps();
	return rc;
}

static inline long fake_move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes,
				   int *status, int flags)
{
	long rc;

	pthread_mutex_lock(&fake_lock);
	rc = fake_move_pages_locked(pid, count, pages, nodes, status, flags);
	pthread_mutex_unlock(&fake_lock);
	return rc;
}

static inline long fake_migrate_pages(pid_t pid, const struct agent_set *from,
				      const struct agent_set *to)
{
	long failed = 0;

	if (pid != FAKE_PID)
		return -ESRCH;
	for (size_t i = 0; i < FAKE_PAGES; i++)
		if (agent_set_has(from, fake_page[i].node))
			failed += fake_move_one(&fake_page[i], agent_set_next(to, 0)) != 0;
	fake_write_maps();
	return failed;
}

static inline uint64_t fake_clock(void)
{
	return __atomic_add_fetch(&fake_now_ns, 1000, __ATOMIC_RELAXED);
}

static inline void fake_sleep(uint64_t ns)
{
	__atomic_add_fetch(&fake_now_ns, ns, __ATOMIC_RELAXED);
	sched_yield();
}

static struct agent_sys fake_sys_calls;

/* The process, with `start_time`, and two nodes with memory. */
static inline void fake_process(unsigned long long start_time)
{
	fake_file("proc/77/stat",
		  "77 (worker (x) y) S 1 77 77 0 -1 4194304 1 0 0 0 5 5 0 0 20 0 1 0 %llu 1 1 1 1 "
		  "1 1 1 1 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n",
		  start_time);
	fake_file("proc/77/status",
		  "Name:\tworker\nTgid:\t77\nUid:\t1000\t1000\t1000\t1000\nVmSize:\t 4 kB\n"
		  "Cpus_allowed_list:\t0-1\nMems_allowed_list:\t0-1\n");
	fake_file("proc/77/cgroup", "0::/work.slice/a\n");
	fake_file("proc/77/task/77/x", "x");
}

static inline void fake_setup(void)
{
	strcpy(fake_root, "/tmp/gmig-agent-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fake_root));
	snprintf(fake_proc, sizeof(fake_proc), "%s/proc", fake_root);
	snprintf(fake_sys, sizeof(fake_sys), "%s/sys", fake_root);
	snprintf(fake_cgroup, sizeof(fake_cgroup), "%s/cgroup", fake_root);
	fake_process(500);
	fake_file("sys/devices/system/node/online", "0-1\n");
	fake_file("sys/devices/system/node/has_memory", "0-1\n");
	for (int node = 0; node < 2; node++) {
		char name[80];

		snprintf(name, sizeof(name), "sys/devices/system/node/node%d/cpulist", node);
		fake_file(name, "%d\n", node);
		snprintf(name, sizeof(name), "sys/devices/system/node/node%d/distance", node);
		fake_file(name, node ? "20 10\n" : "10 20\n");
		snprintf(name, sizeof(name), "sys/devices/system/node/node%d/meminfo", node);
		fake_file(name, "Node %d MemTotal:  1000 kB\nNode %d MemFree:  200 kB\n", node,
			  node);
	}
	memset(fake_page, 0, sizeof(fake_page));
	for (int node = 0; node < 4; node++)
		fake_node_free[node] = SIZE_MAX / 2;
	fake_calls = 0;
	fake_refuse = 0;
	fake_write_maps();
	fake_sys_calls = agent_sys_real;
	fake_sys_calls.proc = fake_proc;
	fake_sys_calls.sys = fake_sys;
	fake_sys_calls.cgroup = fake_cgroup;
	fake_sys_calls.move_pages = fake_move_pages;
	fake_sys_calls.migrate_pages = fake_migrate_pages;
	fake_sys_calls.now_ns = fake_clock;
	fake_sys_calls.sleep_ns = fake_sleep;
	agent_sys = &fake_sys_calls;
}

static inline void fake_teardown(void)
{
	char command[128];

	agent_sys = &agent_sys_real;
	snprintf(command, sizeof(command), "rm -rf '%s'", fake_root);
	ck_assert_int_eq(system(command), 0);
}

#endif
