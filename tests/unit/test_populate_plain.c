/* Filling memory that the kernel fills, block by block: which are asked for, in which order, and what a refusal says of where. */
#include "../../migrate/core/topology.h"
#include "../../migrate/gmig_region.h"
#include "../../migrate/memory/policy.h"
#include "host_tree.h"
#include "rig.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define MIB 1048576ull

static struct gmig_topology *topology;
static struct gmig *gmig;
static struct gmig_error err;
static struct gmig_sys sys;
static uint8_t *ram[2];
static void *owned;

static unsigned int fills, fails_at; /* from 1; 0: none */
static int fill_error;
static char order[64]; /* blocks: the first region's are a.., the second one's A.. */

static int fill(void *memory, size_t bytes, int advice)
{
	uint8_t *at = memory;
	bool first = at >= ram[0] && at < ram[0] + 6 * MIB;

	if (advice != MADV_POPULATE_WRITE)
		return gmig_sys_real.advise(memory, bytes, advice);
	ck_assert_uint_eq(bytes, GMIG_BLOCK_BYTES);
	order[fills++] =
	    (char)((first ? 'a' : 'A') + (at - ram[first ? 0 : 1]) / (ptrdiff_t)GMIG_BLOCK_BYTES);
	return fills == fails_at ? fill_error : 0;
}

/* All on their region's node, but one. */
static unsigned int asked, elsewhere;

static int query(size_t count, void **pages, int *status)
{
	bool first = (uint8_t *)pages[0] >= ram[0] && (uint8_t *)pages[0] < ram[0] + 6 * MIB;

	ck_assert_uint_eq(count, GMIG_BLOCK_PAGES);
	asked++;
	for (size_t i = 0; i < count; i++)
		status[i] = first ? 0 : 1;
	if (elsewhere)
		status[elsewhere - 1] = 3;
	return 0;
}

static int prefer(void *memory, size_t bytes, int node)
{
	(void)memory, (void)bytes, (void)node;
	return 0;
}

/* Regions of 3 and 2 blocks, of two vnodes; and one that is its owner's. */
static void start(bool fake)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0", "10 20"},
						 {1, 4096, 2048, "1", "20 10"}};
	static const struct gmig_region_ops ops = {.query = NULL};
	const struct gmig_region_own own = {.ops = &ops,
					    .memory = owned = aligned_alloc(2 * MIB, 2 * MIB)};
	const struct gmig_region_spec specs[] = {
	    {.bytes = 6 * MIB},
	    {.gpa = 16 * MIB, .bytes = 2 * MIB, .kind = GMIG_REGION_OWN, .own = &own},
	    {.gpa = 32 * MIB, .bytes = 4 * MIB, .vnode = 1, .host_node = 1}};
	struct gmig_options options = {.plain = true, .sys = &sys};

	tree_create();
	tree_nodes("0-1", nodes, 2);
	tree_cpuset("0-1");
	if (fake)
		ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	else
		ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, NULL), 0);
	sys = gmig_sys_real;
	sys.advise = fill;
	sys.query_nodes = query;
	sys.prefer_node = prefer;
	options.topology = topology;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	for (unsigned int i = 0; i < 3; i++) {
		void *hva;

		ck_assert_msg(!gmig_region_add(gmig, &specs[i], &hva, &err), "%s", err.text);
		if (i != 1)
			ram[i / 2] = hva;
	}
}

static void end(void)
{
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	free(owned);
	tree_remove();
}

static int populate(unsigned int threads)
{
	const struct gmig_populate how = {.threads = threads};

	fills = asked = 0;
	memset(order, 0, sizeof(order));
	return gmig_populate(gmig, &how, &err);
}

START_TEST(blocks_of_all_regions_are_filled_in_their_order)
{
	struct gmig_populate odd = {.reserved = {1}};

	start(true);
	ck_assert_int_eq(populate(_i), 0);
	ck_assert_str_eq(order, "abcAB");
	ck_assert_uint_eq(asked, 0); /* nodes that are not there */
	ck_assert_int_eq(gmig_populate(gmig, &odd, &err), -E2BIG);
	end();
}
END_TEST

static const struct {
	unsigned int fails_at;
	int error, expected;
	const char *order, *text;
} refusals[] = {
    {1, -ENOMEM, -ENOMEM, "a",
     "vnode 0: no memory on host node 0 after 0 of 12 MiB of the guest's memory, or a memory "
     "cgroup allows no more"},
    {3, -EFAULT, -ENOMEM, "abc",
     "vnode 0: no memory on host node 0 after 4 of 12 MiB of the guest's memory, or a memory "
     "cgroup allows no more"},
    /* The owner's block is one, too. */
    {4, -ENOMEM, -ENOMEM, "abcA",
     "vnode 1: no memory on host node 1 after 8 of 12 MiB of the guest's memory, or a memory "
     "cgroup allows no more"},
    {5, -EPERM, -EPERM, "abcAB",
     "vnode 1: EPERM on host node 1 after 10 of 12 MiB of the guest's memory"},
};

START_TEST(block_that_is_not_had_is_told_with_its_place)
{
	start(true);
	fails_at = refusals[_i].fails_at;
	fill_error = refusals[_i].error;
	ck_assert_int_eq(populate(1), refusals[_i].expected);
	ck_assert_int_eq(err.code, refusals[_i].expected);
	ck_assert_str_eq(err.text, refusals[_i].text);
	ck_assert_str_eq(order, refusals[_i].order);
	end();
}
END_TEST

START_TEST(memory_of_another_node_is_none)
{
	static const unsigned int pages[] = {0, 1, 300, 512};

	start(false);
	elsewhere = pages[_i];
	ck_assert_int_eq(populate(1), elsewhere ? -ENOMEM : 0);
	ck_assert_uint_eq(asked, elsewhere ? 1 : 5);
	ck_assert_str_eq(order, elsewhere ? "a" : "abcAB");
	end();
}
END_TEST

static unsigned int stops, stops_at;

static bool stop(void *opaque)
{
	ck_assert_ptr_eq(opaque, &stops_at);
	return ++stops == stops_at;
}

START_TEST(filling_ends_where_it_is_told_to)
{
	const struct gmig_populate how = {.stop = stop, .opaque = &stops_at};

	start(true);
	stops_at = 3;
	ck_assert_int_eq(gmig_populate(gmig, &how, &err), -EINTR);
	ck_assert_str_eq(err.text, "it was told to stop");
	ck_assert_str_eq(order, "ab");
	ck_assert_uint_eq(stops, 3);
	end();
}
END_TEST

/* What is reserved for a block is given back, had or not. */
START_TEST(budget_is_as_it_was_afterwards)
{
	struct rig_options options = {
	    .bytes = 4 * MIB, .kind = GMIG_REGION_MEMFD, .untouched = true, .sys = &sys};
	const struct gmig_populate how = {.threads = 1};
	struct rig rig;

	sys = gmig_sys_real;
	sys.advise = fill;
	rig_create(&rig, &options);
	ram[0] = (uint8_t *)rig.ram;
	for (unsigned int i = 0; i < 2; i++) {
		fills = 0;
		fails_at = i;
		fill_error = -ENOMEM;
		ck_assert_int_eq(gmig_populate(rig.gmig, &how, &err), i ? -ENOMEM : 0);
		/* Nobody has anything reserved, and nothing is in flight: there is nothing to wait for. */
		ck_assert(
		    !policy_wait(rig.gmig->policy, policy_serial(rig.gmig->policy), UINT64_MAX));
	}
	rig_destroy(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("populate_plain");
	TCase *tcase = tcase_create("populate_plain");

	tcase_add_loop_test(tcase, blocks_of_all_regions_are_filled_in_their_order, 0, 2);
	tcase_add_loop_test(tcase, block_that_is_not_had_is_told_with_its_place, 0,
			    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_loop_test(tcase, memory_of_another_node_is_none, 0, 4);
	tcase_add_test(tcase, filling_ends_where_it_is_told_to);
	tcase_add_test(tcase, budget_is_as_it_was_afterwards);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
