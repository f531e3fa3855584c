/* --prealloc as the machine carries it out: all of RAM before anything runs. */
#include "../../vmm/machine.h"
#include "../../vmm/memory.h"
#include "suite.h"

#include <check.h>
#include <errno.h>

#define MIB (1ull << 20)

static struct vmm *vmm;

static void create(bool plain, bool prealloc, unsigned int threads)
{
	struct vmm_options options = {
	    .name = "t",
	    .cpus = 1,
	    .node_count = 2,
	    .mem_bytes = 48 * MIB,
	    .node = {{.mem_bytes = 32 * MIB, .cpus = 1}, {.mem_bytes = 16 * MIB, .host = 1}},
	    .fake_nodes = 2,
	    .plain = plain,
	    .unsafe_kernel = true,
	    .prealloc = prealloc,
	    .prealloc_threads = threads,
	};
	struct gmig_error err = {0};

	ck_assert_msg(!vmm_create(&options, &vmm, &err), "%s", err.text);
	ck_assert_msg(!gmig_topology_create(2, &vmm->topology, &err), "%s", err.text);
	ck_assert_msg(!vmm_memory_create(vmm, NULL, &err), "%s", err.text);
}

static uint64_t resident(unsigned int vnode, unsigned int node)
{
	uint64_t bytes[GMIG_MAX_NODES];

	ck_assert_int_eq(gmig_residency(vmm->gmig, vnode, bytes), 0);
	return bytes[node];
}

static bool go_on(void *opaque)
{
	return opaque != vmm;
}

START_TEST(prealloc_gives_each_vnode_all_of_its_memory)
{
	struct gmig_error err = {0};

	create(_i & 1, true, _i & 2 ? 3 : 0);
	ck_assert_uint_eq(resident(0, 0), 0);
	ck_assert_msg(!vmm_memory_prealloc(vmm, go_on, &err), "%s", err.text);
	ck_assert_uint_eq(resident(0, 0), 32 * MIB);
	ck_assert_uint_eq(resident(1, 1), 16 * MIB);
	vmm_destroy(vmm);
}
END_TEST

START_TEST(memory_comes_as_it_is_touched_without_prealloc)
{
	struct gmig_error err = {0};

	create(_i, false, 3);
	ck_assert_msg(!vmm_memory_prealloc(vmm, go_on, &err), "%s", err.text);
	ck_assert_uint_eq(resident(0, 0), 0);
	vmm_destroy(vmm);
}
END_TEST

static bool stop_now(void *opaque)
{
	return opaque == vmm;
}

START_TEST(prealloc_that_is_told_to_stop_says_so)
{
	struct gmig_error err = {0};

	create(_i, true, 2);
	ck_assert_int_eq(vmm_memory_prealloc(vmm, stop_now, &err), -EINTR);
	ck_assert_str_eq(err.text, "--prealloc: it was told to stop");
	vmm_destroy(vmm);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("prealloc");
	TCase *tcase = tcase_create("prealloc");

	tcase_add_loop_test(tcase, prealloc_gives_each_vnode_all_of_its_memory, 0, 4);
	tcase_add_loop_test(tcase, memory_comes_as_it_is_touched_without_prealloc, 0, 2);
	tcase_add_loop_test(tcase, prealloc_that_is_told_to_stop_says_so, 0, 2);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
