/*
 * A guest of one region, mostly a file in memory, whose peer is a child. The memory is real; the nodes of its pages, and
 * move_pages(2), are a host's of two nodes that a table makes. Static, for one test program.
 */
#ifndef TEST_MEMFD_RIG_H
#define TEST_MEMFD_RIG_H

#include "../../migrate/core/topology.h"
#include "../../migrate/memory/region.h"
#include "host_tree.h"
#include "open_files.h"
#include "suite.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define BYTES (8ull << 20)
#define PAGES (BYTES / GMIG_PAGE_BYTES)

static struct gmig_topology *topology;
static struct gmig *gmig;
static volatile uint8_t *ram;
static struct gmig_region_file file;
static struct gmig_error err;
static struct gmig_sys sys;

/* What the host of two nodes knows of each page. */
static atomic_int page_node[PAGES];
static bool page_shared[PAGES]; /* mapped by others, too */
static bool may_move_shared;
static void (*before_move)(void);
static void (*before_region)(void);

/* ---- The host ---------------------------------------------------------------------------------- */

static int prefer_any(void *memory, size_t bytes, int node)
{
	(void)node;
	return gmig_sys_real.prefer_node(memory, bytes, 0);
}

static size_t page_of(const void *address)
{
	return (size_t)((const uint8_t *)address - (const uint8_t *)ram) / GMIG_PAGE_BYTES;
}

static int query_table(size_t count, void **pages, int *status)
{
	int ret = gmig_sys_real.query_nodes(count, pages, status);

	for (size_t i = 0; i < count && !ret; i++)
		if (status[i] >= 0 && page_of(pages[i]) < PAGES)
			status[i] = atomic_load(&page_node[page_of(pages[i])]);
	return ret;
}

static long move_table(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		       int flags)
{
	(void)pid;
	if (flags & MPOL_MF_MOVE_ALL && !may_move_shared)
		return -EPERM;
	if (!count)
		return 0;
	if (nodes && before_move)
		before_move();
	if (query_table(count, pages, status) || !nodes)
		return 0;
	for (unsigned long i = 0; i < count; i++) {
		bool stays = page_shared[page_of(pages[i])] && !(flags & MPOL_MF_MOVE_ALL);

		if (status[i] < 0)
			continue;
		if (stays) {
			status[i] = -EACCES;
			continue;
		}
		atomic_store(&page_node[page_of(pages[i])], nodes[i]);
		status[i] = nodes[i];
	}
	return 0;
}

static void two_nodes(void)
{
	sys = gmig_sys_real;
	sys.prefer_node = prefer_any;
	sys.query_nodes = query_table;
	sys.move_pages = move_table;
}

static inline void start_with(const struct gmig_options *how, enum gmig_region_kind kind)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0-1", "10 20"},
						 {1, 4096, 2048, "2-3", "20 10"}};
	const struct gmig_region_spec spec = {.bytes = BYTES, .kind = kind};
	struct gmig_options options = *how;
	void *hva;

	tree_create();
	tree_nodes("0-1", nodes, 2);
	tree_cpuset("0-1");
	options.unsafe_kernel = true;
	options.small_pages = kind == GMIG_REGION_MEMFD;
	if (!options.sys) {
		two_nodes();
		options.sys = &sys;
	}
	if (options.topology)
		topology = options.topology;
	else
		ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	options.topology = topology;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	if (before_region)
		before_region();
	ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
	ram = hva;
	if (kind == GMIG_REGION_MEMFD || kind == GMIG_REGION_MEMFD_HUGETLB)
		ck_assert_int_eq(gmig_region_file(gmig, 0, &file), 0);
}

static inline void end(void)
{
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	tree_remove();
}

/* ---- The peer ---------------------------------------------------------------------------------- */

/* A child with the file mapped does something, and ends. */
static inline void peer(void (*does)(uint8_t *shared))
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		void *shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);

		if (shared == MAP_FAILED)
			_exit(2);
		does(shared);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "the peer: status 0x%x", status);
}

/* ---- What the books say ------------------------------------------------------------------------ */

/* Has somebody looked at all of it since then? Of plain memory each answer does. */
static bool is_new(uint64_t since_ns)
{
	for (unsigned int i = 0; !gmig->plain && i < atomic_load(&gmig->region_count); i++)
		if (gmig->regions[i].fd >= 0 &&
		    atomic_load(&gmig->regions[i].audited_ns) < since_ns)
			return false;
	return true;
}

/* By as many answers as it takes: each looks for some time only, and rests afterwards. */
static inline uint64_t on_node(unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES], begin_ns = gmig->sys->now_ns();

	gmig->catch_up.region = 0;
	gmig->catch_up.pages = 0;
	do {
		gmig->catch_up.rest_ns = 0;
		ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
	} while (!is_new(begin_ns));
	return bytes[node];
}

static inline void assert_clean(void)
{
	struct gmig_check check;

	ck_assert_msg(!gmig_check(gmig, &check, &err), "%s", err.text);
	for (unsigned int i = 0; i < GMIG_INVARIANTS; i++)
		ck_assert_msg(!check.breach[i], "I%u: %s", i + 1, check.detail[i]);
}

#endif
