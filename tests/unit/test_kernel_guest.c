/*
 * A guest's huge page that mover kernel is to move a part of: the kernel moves all of it. The memory is real; a host of two
 * nodes that knows where the one huge page lies is made up.
 */
#include "../../migrate/core/topology.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/region.h"
#include "host_tree.h"
#include "suite.h"

#include <errno.h>

#define BYTES GMIG_BLOCK_BYTES

static struct gmig_sys sys;
static atomic_uintptr_t ram; /* the guest's memory; the engine's threads ask, too */
static atomic_int huge_page_node;

static int prefer_any(void *memory, size_t bytes, int node)
{
	(void)node;
	return gmig_sys_real.prefer_node(memory, bytes, 0);
}

static bool is_ram(const void *address)
{
	uintptr_t first = atomic_load(&ram);

	return first && (uintptr_t)address - first < BYTES;
}

static int query(size_t count, void **pages, int *status)
{
	int ret = gmig_sys_real.query_nodes(count, pages, status);

	for (size_t i = 0; i < count && !ret; i++)
		if (status[i] >= 0 && is_ram(pages[i]))
			status[i] = atomic_load(&huge_page_node);
	return ret;
}

static long move(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		 int flags)
{
	(void)pid, (void)flags;
	for (unsigned long i = 0; nodes && i < count; i++)
		if (is_ram(pages[i]))
			atomic_store(&huge_page_node, nodes[i]);
	return count ? query(count, pages, status) : 0;
}

static struct gmig *start(struct gmig_topology **topology)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0-1", "10 20"},
						 {1, 4096, 2048, "2-3", "20 10"}};
	const struct gmig_region_spec spec = {.bytes = BYTES};
	struct gmig_options options = {.unsafe_kernel = true, .sys = &sys};
	struct gmig_error err;
	struct gmig *gmig;
	void *hva;

	sys = gmig_sys_real;
	sys.prefer_node = prefer_any;
	sys.query_nodes = query;
	sys.move_pages = move;
	tree_create();
	tree_nodes("0-1", nodes, 2);
	tree_cpuset("0-1");
	ck_assert_msg(!topology_create_at(tree_root, 0, topology, &err), "%s", err.text);
	options.topology = *topology;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
	atomic_store(&ram, (uintptr_t)hva);
	*(volatile uint8_t *)hva = 1;
	return gmig;
}

START_TEST(what_moved_along_with_a_part_of_a_huge_page_is_in_the_books)
{
	struct gmig_bind_spec spec = {.gpa = 5 * GMIG_PAGE_BYTES,
				      .bytes = GMIG_PAGE_BYTES,
				      .flags = GMIG_BIND_MOVE,
				      .policy = {.mode = GMIG_POLICY_BIND, .nodes = {{2}}},
				      .job = {.mover = "kernel"}};
	uint64_t bytes[GMIG_MAX_NODES];
	struct gmig_topology *topology;
	struct gmig *gmig = start(&topology);
	struct gmig_job_info info;
	struct gmig_error err;
	struct gmig_job *job;

	if (gmig->thp) {
		ck_assert_msg(!gmig_bind(gmig, &spec, &job, &err), "%s", err.text);
		gmig_job_wait(job);
		gmig_job_info(job, &info);
		gmig_job_put(job);
		ck_assert_uint_eq(info.moved_bytes, GMIG_PAGE_BYTES);
		ck_assert_int_eq(atomic_load(&huge_page_node), 1);
		ck_assert_int_eq(gmig_residency(gmig, 0, bytes), 0);
		ck_assert_uint_eq(bytes[0], 0);
		ck_assert_uint_eq(bytes[1], BYTES);
		ck_assert_uint_eq(info.thp_split, 0);
	}
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	tree_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernel_guest");
	TCase *tcase = tcase_create("kernel_guest");
	struct gmig_features features;

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	tcase_add_test(tcase, what_moved_along_with_a_part_of_a_huge_page_is_in_the_books);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
