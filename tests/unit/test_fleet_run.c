/* Which moves of a plan go without a limit, since they leave a node for good. */
#include "../../cli/fleet_plan.h"
#include "suite.h"

#define MIB (1ull << 20)

/* Of two vnodes: 64 MiB and 32 MiB on node 0, 8 MiB of the first one on node 1. */
static const struct placement_ram ram[] = {
    {.node = 0, .vnode = 0, .bytes = 64 * MIB},
    {.node = 0, .vnode = 1, .bytes = 32 * MIB},
    {.node = 1, .vnode = 0, .bytes = 8 * MIB},
};
static struct placement_guest guests[] = {{.name = "other"},
					  {.name = "vm1", .ram = ram, .ram_count = 3}};
static const struct fleet fleet = {.guests = guests, .count = 2};

static struct placement_move memory(uint16_t vnode, uint16_t from, uint16_t to, uint64_t mib)
{
	return (struct placement_move){.kind = PLACEMENT_MEMORY,
				       .guest = 1,
				       .vnode = vnode,
				       .from = from,
				       .to = to,
				       .bytes = mib * MIB};
}

/* wanted: a digit a move. */
static void expect(struct placement_move *moves, size_t count, const char *wanted)
{
	const struct placement_plan plan = {.moves = moves, .move_count = count};

	for (size_t i = 0; i < count; i++)
		ck_assert_msg(fleet_takes_all(&fleet, &plan, &moves[i]) == (wanted[i] == '1'),
			      "move %zu", i + 1);
}

START_TEST(move_of_all_of_a_vnode_takes_all)
{
	struct placement_move moves[] = {memory(0, 0, 2, 64), memory(1, 0, 3, 31)};

	expect(moves, 2, "10");
}
END_TEST

START_TEST(last_one_of_several_takes_what_is_left)
{
	/* To two nodes; of another guest as much again, which does not count. */
	struct placement_move moves[] = {memory(0, 0, 2, 40), memory(0, 0, 3, 24),
					 memory(1, 0, 3, 30), memory(1, 0, 2, 1),
					 memory(1, 0, 2, 32)};

	moves[4].guest = 0;
	expect(moves, 4, "0100");
}
END_TEST

START_TEST(node_to_which_something_comes_is_not_left)
{
	struct placement_move moves[] = {memory(0, 0, 2, 64), memory(0, 1, 0, 8),
					 memory(1, 0, 2, 32)};

	expect(moves, 3, "011");
	/* vCPUs that go there are no memory. */
	moves[1].kind = PLACEMENT_VCPUS;
	expect(moves, 1, "1");
}
END_TEST

/* Node 1 is on the way: new memory is not to stay behind there. */
START_TEST(node_that_memory_only_passes_through_is_left)
{
	struct placement_move moves[] = {memory(0, 0, 1, 64), memory(0, 1, 2, 72)};

	expect(moves, 2, "11");
	moves[1].bytes = 64 * MIB; /* what was there before stays */
	expect(moves, 2, "10");
}
END_TEST

START_TEST(guest_without_vnodes_is_looked_at_as_a_whole)
{
	struct placement_move moves[] = {memory(PLACEMENT_NO_VNODE, 0, 2, 64),
					 memory(PLACEMENT_NO_VNODE, 0, 2, 32)};

	expect(moves, 2, "01");
	expect(moves, 1, "0");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    move_of_all_of_a_vnode_takes_all,
	    last_one_of_several_takes_what_is_left,
	    node_to_which_something_comes_is_not_left,
	    node_that_memory_only_passes_through_is_left,
	    guest_without_vnodes_is_looked_at_as_a_whole,
	};

	return run_tests("fleet_run", NULL, NULL, tests, sizeof(tests) / sizeof(tests[0]));
}
