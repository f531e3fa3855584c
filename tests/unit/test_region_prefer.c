/*
 * Where new memory of a region goes while migrations run over one another, end in any order, and stand or are withdrawn; and how an
 * engine is made that may not place memory. No memory is mapped.
 */
#include "../../migrate/core/kernels.h"
#include "../../migrate/core/topology.h"
#include "../../migrate/memory/region.h"
#include "host_tree.h"
#include "suite.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES (4ull << 20)

static struct gmig_topology *topology;
static struct gmig *gmig;
static struct region *region;
static struct gmig_error err;
static struct gmig_sys sys;
static unsigned int binds;
static int bound, bind_error;

static int map(size_t bytes, int protection, void *fixed, void **out)
{
	(void)bytes, (void)protection, (void)fixed;
	*out = (void *)0x7f0000000000;
	return 0;
}

static int nothing(void *memory, size_t bytes, int how)
{
	(void)memory, (void)bytes, (void)how;
	return 0;
}

static int unmap(void *memory, size_t bytes)
{
	(void)memory, (void)bytes;
	return 0;
}

static int prefer(void *memory, size_t bytes, int node)
{
	(void)memory, (void)bytes;
	binds++;
	bound = node;
	return bind_error;
}

static void setup(void)
{
	static const struct tree_node nodes[] = {{0, 4096, 2048, "0", "10 20 20 20"},
						 {1, 4096, 2048, "1", "20 10 20 20"},
						 {2, 4096, 2048, "2", "20 20 10 20"},
						 {3, 4096, 2048, "3", "20 20 20 10"}};
	const struct gmig_region_spec spec = {.bytes = BYTES};
	struct gmig_options options = {.plain = true, .sys = &sys};
	void *hva;

	tree_create();
	tree_nodes("0-3", nodes, 4);
	tree_cpuset("0-3");
	ck_assert_int_eq(topology_create_at(tree_root, 0, &topology, &err), 0);
	sys = gmig_sys_real;
	sys.map = map;
	sys.unmap = unmap;
	sys.protect = nothing;
	sys.advise = nothing;
	sys.prefer_node = prefer;
	options.topology = topology;
	ck_assert_msg(!gmig_create(&options, &gmig, &err), "%s", err.text);
	ck_assert_msg(!gmig_region_add(gmig, &spec, &hva, &err), "%s", err.text);
	region = &gmig->regions[0];
	binds = 0;
}

static void teardown(void)
{
	gmig_destroy(gmig);
	gmig_topology_put(topology);
	tree_remove();
}

/* "01 12": from node 0 to 1, and from 1 to 2. */
static unsigned int goal(void *arg, unsigned int node)
{
	for (const char *pair = arg; *pair; pair += pair[2] ? 3 : 2)
		if ((unsigned int)(pair[0] - '0') == node)
			return (unsigned int)(pair[1] - '0');
	return GMIG_NO_NODE;
}

static int begin(uint64_t owner, const char *map_text)
{
	const struct memory_follow follow = {
	    .owner = owner, .target = goal, .arg = (void *)map_text};

	return region_prefer(gmig, region, &follow, &err);
}

static void end(uint64_t owner, bool keep)
{
	const struct memory_follow follow = {.owner = owner};

	region_prefer_end(gmig, region, &follow, keep);
}

static void assert_prefers(unsigned int node, unsigned int times)
{
	ck_assert_uint_eq(atomic_load(&region->preferred_node), node);
	ck_assert_uint_eq(binds, times);
	if (times)
		ck_assert_int_eq(bound, (int)node);
}

/* ---- One, and one after the other ------------------------------------------------------------------ */

START_TEST(migration_takes_new_memory_along_and_gives_it_back_when_it_is_withdrawn)
{
	ck_assert_int_eq(begin(1, "01"), 0);
	assert_prefers(1, 1);
	end(1, _i);
	assert_prefers(_i ? 1 : 0, _i ? 1 : 2);
	ck_assert_uint_eq(region->base_node, _i ? 1 : 0);
	ck_assert_ptr_null(region->preferences);
	/* One that takes from elsewhere changes nothing, and the kernel is not asked. */
	ck_assert_int_eq(begin(2, "23 30"), 0);
	assert_prefers(_i ? 1 : 0, _i ? 1 : 2);
	end(2, true);
	assert_prefers(_i ? 1 : 0, _i ? 1 : 2);
	ck_assert_ptr_null(region->preferences);
	end(7, true); /* nobody knows it */
	assert_prefers(_i ? 1 : 0, _i ? 1 : 2);
}
END_TEST

/* Of 0 to 1, then 1 to 2, then 0 to 3: each further one counts as far as it takes. */
START_TEST(newest_that_takes_from_the_node_decides_and_those_after_it_take_further)
{
	ck_assert_int_eq(begin(1, "01"), 0);
	ck_assert_int_eq(begin(2, "12"), 0);
	assert_prefers(2, 2);
	ck_assert_int_eq(begin(3, "03"), 0);
	assert_prefers(3, 3);
	end(3, false);
	assert_prefers(2, 4);
	end(2, true);
	assert_prefers(2, 4);
	ck_assert_ptr_nonnull(region->preferences);
	ck_assert_uint_eq(region->base_node, 0);
	end(1, _i);
	/* Without the first one there is nothing on node 1 that the second could have taken. */
	assert_prefers(_i ? 2 : 0, _i ? 4 : 5);
	ck_assert_uint_eq(region->base_node, _i ? 2 : 0);
	ck_assert_ptr_null(region->preferences);
}
END_TEST

/* Both take from node 0: the newer one is what was meant. */
START_TEST(migration_that_was_overruled_is_nothing_once_the_newer_one_stands)
{
	ck_assert_int_eq(begin(1, "01"), 0);
	ck_assert_int_eq(begin(2, "02"), 0);
	assert_prefers(2, 2);
	end(1, true);
	assert_prefers(2, 2);
	ck_assert_uint_eq(region->base_node, 0); /* the newer one may be withdrawn */
	ck_assert_ptr_nonnull(region->preferences);
	end(2, _i);
	assert_prefers(_i ? 2 : 1, _i ? 2 : 3);
	ck_assert_uint_eq(region->base_node, _i ? 2 : 1);
	ck_assert_ptr_null(region->preferences);
}
END_TEST

START_TEST(migration_counts_by_when_it_was_accepted_and_not_by_when_it_begins)
{
	ck_assert_int_eq(begin(5, "12"), 0);
	assert_prefers(0, 0);
	ck_assert_int_eq(begin(4, "01"), 0);
	assert_prefers(2, 1);
	ck_assert_int_eq(begin(3, "03"), 0); /* older than what took from node 0 */
	assert_prefers(2, 1);
	ck_assert_int_eq(begin(6, "23"), 0);
	assert_prefers(3, 2);
	end(4, false);
	/* 0 to 3 by the third; of 5 and 6 none takes from there. */
	assert_prefers(3, 2);
	end(5, true);
	end(6, true);
	assert_prefers(3, 2);
	ck_assert_ptr_nonnull(region->preferences);
	end(3, false);
	assert_prefers(0, 3);
	ck_assert_ptr_null(region->preferences);
}
END_TEST

START_TEST(node_that_is_refused_changes_nothing)
{
	ck_assert_int_eq(begin(1, "01"), 0);
	bind_error = -ENOMEM;
	ck_assert_int_eq(begin(2, "12"), -ENOMEM);
	ck_assert_str_eq(err.text, "mbind(2) to node 2: ENOMEM");
	ck_assert_uint_eq(atomic_load(&region->preferred_node), 1);
	bind_error = 0;
	end(2, true); /* it is not there */
	ck_assert_uint_eq(atomic_load(&region->preferred_node), 1);
	ck_assert_uint_eq(binds, 2);
	end(1, true);
	ck_assert_uint_eq(region->base_node, 1);
	ck_assert_ptr_null(region->preferences);
	/* On the way back what serves goes on to. */
	ck_assert_int_eq(begin(3, "12"), 0);
	bind_error = -EINVAL;
	end(3, false);
	ck_assert_uint_eq(atomic_load(&region->preferred_node), 2);
	ck_assert_uint_eq(region->base_node, 1);
	bind_error = 0;
	ck_assert_int_eq(begin(4, "12"), 0);
	ck_assert_uint_eq(atomic_load(&region->preferred_node), 2);
	end(4, false);
	ck_assert_uint_eq(atomic_load(&region->preferred_node), 1);
}
END_TEST

/* ---- The newest look at the host ------------------------------------------------------------------- */

START_TEST(newest_look_at_the_host_is_the_one_that_counts)
{
	struct gmig_topology *first = memory_topology(&gmig->memory), *second, *third;
	uint64_t generation = gmig_topology_generation(first);

	ck_assert_ptr_eq(first, topology);
	ck_assert_int_eq(memory_check_target(&gmig->memory, 3, "node 3", &err), 0);
	tree_cpuset("0-2");
	/* Until somebody looks. */
	ck_assert_int_eq(memory_check_target(&gmig->memory, 3, "node 3", &err), 0);
	ck_assert_int_eq(memory_topology_refresh(&gmig->memory, &err), 0);
	second = memory_topology(&gmig->memory);
	ck_assert_ptr_ne(second, first);
	ck_assert_uint_gt(gmig_topology_generation(second), generation);
	ck_assert_int_eq(memory_check_target(&gmig->memory, 3, "node 3", &err), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, "node 3"));
	/* Nothing is new. */
	ck_assert_int_eq(memory_topology_refresh(&gmig->memory, &err), 0);
	third = memory_topology(&gmig->memory);
	ck_assert_uint_eq(gmig_topology_generation(third), gmig_topology_generation(second));
	ck_assert(gmig_node_set_has(gmig_topology_allowed(third), 2));
	ck_assert(!gmig_node_set_has(gmig_topology_allowed(third), 3));
	gmig_topology_put(first);
	gmig_topology_put(second);
	gmig_topology_put(third);
}
END_TEST

/* ---- An engine ----------------------------------------------------------------------------------- */

static int move_error;

static int query(size_t count, void **pages, int *status)
{
	return move_error ? move_error : gmig_sys_real.query_nodes(count, pages, status);
}

static void unsafe_name(struct kernel_name *name)
{
	memset(name, 0, sizeof(*name));
	snprintf(name->release, sizeof(name->release), "%s", "6.8.0");
}

static int create(struct gmig_options options)
{
	struct gmig *other = NULL;
	int ret = gmig_create(&options, &other, &err);

	ck_assert(!ret == (other != NULL));
	if (other && options.off_if_unavailable)
		snprintf(err.text, sizeof(err.text), "%s",
			 gmig_why_off(other) ? gmig_why_off(other) : "on");
	gmig_destroy(other);
	return ret;
}

START_TEST(engine_that_may_not_place_memory_is_off_or_refused)
{
	static const char refused[] =
	    " is refused (EPERM), as seccomp filters of containers do: allow mbind, move_pages and "
	    "set_mempolicy, or add CAP_SYS_NICE";
	struct gmig_options options = {.topology = topology, .unsafe_kernel = true, .sys = &sys};
	char text[300];

	sys = gmig_sys_real;
	sys.prefer_node = prefer;
	sys.query_nodes = query;
	if (_i)
		move_error = -EPERM;
	else
		bind_error = -EPERM;
	ck_assert_int_eq(create(options), -EPERM);
	snprintf(text, sizeof(text), "%s%s", _i ? "move_pages(2)" : "mbind(2)", refused);
	ck_assert_str_eq(err.text, text);
	options.off_if_unavailable = true;
	ck_assert_int_eq(create(options), 0);
	snprintf(text, sizeof(text), "migration is off: %s%s", _i ? "move_pages(2)" : "mbind(2)",
		 refused);
	ck_assert_str_eq(err.text, text);
	options.plain = true;
	ck_assert_int_eq(create(options), 0);
	ck_assert_str_eq(err.text, "migration is off: plain memory was asked for");
	options.plain = false;
	bind_error = move_error = 0;
	ck_assert_int_eq(create(options), 0);
	ck_assert_str_eq(err.text, "on");
}
END_TEST

START_TEST(engine_on_a_kernel_that_loses_memory_is_refused_unless_it_is_wanted)
{
	struct gmig_options options = {.topology = topology, .sys = &sys};

	sys = gmig_sys_real;
	sys.prefer_node = prefer;
	sys.kernel_name = unsafe_name;
	ck_assert_int_eq(create(options), -EOPNOTSUPP);
	ck_assert_int_eq(err.code, -EOPNOTSUPP);
	ck_assert_uint_gt(strlen(err.text), 20);
	options.off_if_unavailable = true;
	ck_assert_int_eq(create(options), 0);
	ck_assert_int_eq(strncmp(err.text, "migration is off: ", 18), 0);
	options.unsafe_kernel = true;
	ck_assert_int_eq(create(options), 0);
	ck_assert_str_eq(err.text, "on");
}
END_TEST

START_TEST(engine_uses_huge_pages_where_there_are_some_and_small_ones_where_it_is_told_to)
{
	struct gmig_options options = {
	    .topology = topology, .unsafe_kernel = true, .small_pages = _i, .sys = &sys};
	struct gmig_features features;
	struct gmig *other;

	sys = gmig_sys_real;
	sys.prefer_node = prefer;
	ck_assert_int_eq(gmig_probe_features(&features), 0);
	ck_assert_int_eq(gmig_create(&options, &other, &err), 0);
	ck_assert_int_eq(other->thp, !_i && features.thp == GMIG_FEATURE_OK);
	ck_assert_ptr_null(gmig_why_off(other));
	ck_assert_int_ge(other->pagemap, 0);
	gmig_destroy(other);
}
END_TEST

START_TEST(engine_needs_a_topology_and_has_its_own_sizes)
{
	struct gmig_options options = {.topology = topology, .plain = true};
	struct gmig *other;

	ck_assert_int_eq(create((struct gmig_options){.plain = true}), -EINVAL);
	ck_assert_str_eq(err.text, "no topology given");
	options.reserved[0] = 1;
	ck_assert_int_eq(create(options), -E2BIG);
	options.reserved[0] = 0;
	ck_assert_int_eq(gmig_create(&options, &other, &err), 0);
	ck_assert_uint_eq(other->options.pool_bytes_per_node, 16ull << 20);
	ck_assert_uint_eq(other->options.extra_bytes_max, 64ull << 20);
	ck_assert_uint_eq(other->stripe_pages, 512);
	ck_assert_uint_eq(other->giant_pages, 512 * 512);
	ck_assert_ptr_eq(other->sys, &gmig_sys_real);
	ck_assert_int_lt(other->pagemap, 0);
	ck_assert_int_lt(other->vnodes[0].uffd, 0);
	ck_assert_int_lt(other->vnodes[GMIG_MAX_VNODES - 1].uffd, 0);
	ck_assert_uint_eq(other->memory.next_job_id, 1);
	ck_assert(!other->fake && other->plain);
	gmig_destroy(other);
	options.pool_bytes_per_node = 1ull << 20;
	ck_assert_int_eq(gmig_create(&options, &other, &err), 0);
	ck_assert_uint_eq(other->options.pool_bytes_per_node, 1ull << 20);
	ck_assert_uint_eq(other->options.extra_bytes_max, 34ull << 20);
	gmig_destroy(other);
	options.extra_bytes_max = 5ull << 20;
	ck_assert_int_eq(gmig_create(&options, &other, &err), 0);
	ck_assert_uint_eq(other->options.extra_bytes_max, 5ull << 20);
	gmig_destroy(other);
	gmig_destroy(NULL);
}
END_TEST

int main(void)
{
	struct gmig_features features;
	Suite *suite = suite_create("region_prefer");
	TCase *tcase = tcase_create("region_prefer");

	if (gmig_probe_features(&features)) {
		printf("skipped: %s\n", features.why);
		return 77;
	}
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(
	    tcase, migration_takes_new_memory_along_and_gives_it_back_when_it_is_withdrawn, 0, 2);
	tcase_add_loop_test(
	    tcase, newest_that_takes_from_the_node_decides_and_those_after_it_take_further, 0, 2);
	tcase_add_loop_test(
	    tcase, migration_that_was_overruled_is_nothing_once_the_newer_one_stands, 0, 2);
	tcase_add_test(tcase, migration_counts_by_when_it_was_accepted_and_not_by_when_it_begins);
	tcase_add_test(tcase, node_that_is_refused_changes_nothing);
	tcase_add_test(tcase, newest_look_at_the_host_is_the_one_that_counts);
	tcase_add_loop_test(tcase, engine_that_may_not_place_memory_is_off_or_refused, 0, 2);
	tcase_add_test(tcase, engine_on_a_kernel_that_loses_memory_is_refused_unless_it_is_wanted);
	tcase_add_loop_test(
	    tcase, engine_uses_huge_pages_where_there_are_some_and_small_ones_where_it_is_told_to,
	    0, 2);
	tcase_add_test(tcase, engine_needs_a_topology_and_has_its_own_sizes);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
