/* The simulator of gmig-bench placement, and the model of a host that the planner's moves are judged by. */
#include "../bench/fleet_file.h"
#include "../bench/options.h"
#include "../bench/sim.h"
#include "planner_rig.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

/* ---- The model refuses what may not be ------------------------------------------------------- */

static bool move(size_t index, unsigned int from, unsigned int to, uint64_t gib)
{
	const struct placement_move moved = {.kind = PLACEMENT_MEMORY,
					     .guest = index,
					     .vnode = PLACEMENT_NO_VNODE,
					     .from = (uint16_t)from,
					     .to = (uint16_t)to,
					     .bytes = gib * GIB};
	char why[128];

	return fleet_move(&fleet, &moved, why);
}

START_TEST(model_refuses_moves_that_break_a_guarantee)
{
	host(3, 16);
	guest("web1", 0, 1, 4);
	guest("full", 0, 0, 14);
	guest("foreign", 0, 1, 1)->managed = false;
	gmig_node_set_add(&guest("bound", 0, 1, 1)->allowed, 1);
	fleet.nodes[2].closed = true;
	ck_assert(!move(0, 1, 0, 3)); /* full */
	ck_assert(!move(0, 1, 2, 1)); /* closed */
	ck_assert(!move(0, 1, 0, 5)); /* more than there is */
	ck_assert(!move(0, 1, 1, 1));
	ck_assert(!move(2, 1, 0, 1)); /* not managed */
	ck_assert(!move(3, 1, 0, 1)); /* not allowed */
	fleet.nodes[0].reserved_bytes = GIB;
	ck_assert(!move(0, 1, 0, 2));
	ck_assert(move(0, 1, 0, 1));
	ck_assert_uint_eq(fleet.nodes[0].free_bytes[PLACEMENT_4K], GIB);
	fleet.distance[3] = PLACEMENT_UNREACHED;
	ck_assert(!move(0, 1, 0, 0));
}
END_TEST

START_TEST(model_refuses_vcpus_for_which_there_are_no_cpus)
{
	uint16_t both[] = {0, 1};
	struct placement_move pins = {
	    .kind = PLACEMENT_VCPUS, .from = 0, .to = 1, .vcpus = both, .vcpu_count = 2};
	char why[128];

	host(2, 16);
	guest("web1", 0, 0, 1);
	fleet.promised[1].word[0] = 0x7full << 8;
	ck_assert(!fleet_move(&fleet, &pins, why));
	ck_assert_str_eq(why, "more vCPUs of the guest than CPUs");
	stop();
	host(2, 16);
	guest("web1", 0, 0, 1);
	fleet.nodes[1].busy_milli = 7001;
	ck_assert(!fleet_move(&fleet, &pins, why));
	ck_assert_str_eq(why, "the target's CPUs have not so much time");
}
END_TEST

/* ---- Fleets as text -------------------------------------------------------------------------- */

static int read_text(const char *text)
{
	FILE *in = fmemopen((void *)text, strlen(text), "r");
	int rc;

	ck_assert(in);
	fleet_destroy(&fleet);
	rc = fleet_read(in, "f", &fleet, &err);
	fclose(in);
	return rc;
}

START_TEST(fleet_file_is_read_as_it_is_written)
{
	ck_assert_msg(!read_text("# a host\n"
				 "node 0 memory 16G cpus 0-3 2M 2G reserved 1G\n"
				 "node 5 memory 16G cpus -   # without CPUs\n"
				 "distances 10 21\n"
				 "distances 30 10\n"
				 "\n"
				 "guest web1 vcpus 2 on 0 load 250 memory 5:4G 0:1G\n"
				 "guest db vcpus 2 on 0,5 load 0 page 2M memory 0:1G\n"),
		      "%s", err.text);
	ck_assert_uint_eq(fleet.host.node_count, 2);
	ck_assert_uint_eq(fleet.nodes[1].id, 5);
	ck_assert_uint_eq(fleet.distance[2], 30);
	ck_assert_uint_eq(fleet.nodes[0].free_bytes[PLACEMENT_4K], 13 * GIB);
	ck_assert_uint_eq(fleet.nodes[0].free_bytes[PLACEMENT_2M], GIB);
	ck_assert_uint_eq(fleet.nodes[1].free_bytes[PLACEMENT_4K], 12 * GIB);
	ck_assert_uint_eq(fleet.count, 2);
	ck_assert_str_eq(fleet.guests[0].name, "web1");
	ck_assert_uint_eq(fleet.guests[0].time[1].milli, 250);
	ck_assert_uint_eq(fleet.guests[1].time[1].node, 5);
}
END_TEST

static const struct {
	const char *text, *complaint;
} wrong_files[] = {
    {"", "f:0: 0 nodes and 0 lines of distances"},
    {"nodes\n", "f:1: 'nodes' is no node, distances or guest"},
    {"node 1024 memory 1G cpus 0\n", "f:1: '1024' is no number up to 1023"},
    {"node 0 memory 1X cpus 0\n", "f:1: '1X' is no size"},
    {"node 0 memory 1G cpus 0-x\n", "f:1: '0-x' is no list of CPUs"},
    {"node 0 memory 1G cpus 0 2M 2G\n", "f:1: the pools are larger than the node's memory"},
    {"node 0 memory 1G cpus 0\ndistances 10 20\n", "f:2: more distances than nodes"},
    {"node 0 memory 1G cpus 0\nguest a vcpus 1 on 1 load 0 memory 0:1G\n",
     "f:2: there is no node 1"},
    {"node 0 memory 1G cpus 0\nguest a vcpus 1 on 0 load 0 memory 0:2G\n",
     "f:2: node 0 has not so much 4K memory"},
    {"node 0 memory 1G cpus 0\nguest a vcpus 1 on 0 load 0 memory 0\n",
     "f:2: '0' is not a node and a size"},
    {"node 0 memory 1G cpus 0\nguest a vcpus 1 on 0 load 0 page 3M memory 0:1G\n",
     "f:2: '3M' is no size of pages"},
    {"node 0 memory 1G cpus 0\nguest a vcpus 1 on 0\n", "f:2: '' where load should be"},
    {"node 0 memory 1G cpus 0\nguest a vcpus 1 on 0 load 0 memory 0:1K\n",
     "f:2: 0:1K is not in whole pages"},
};

START_TEST(fleet_file_that_is_wrong_is_refused_with_its_line)
{
	ck_assert_int_eq(read_text(wrong_files[_i].text), -EINVAL);
	ck_assert_str_eq(err.text, wrong_files[_i].complaint);
}
END_TEST

/* ---- Time ------------------------------------------------------------------------------------ */

static struct sim_result simulate(const char *name, uint64_t seed)
{
	struct sim_result result;
	size_t p = 0;

	while (strcmp(sim_policies[p].name, name) != 0)
		p++;
	ck_assert_msg(!sim_run(&sim_policies[p], &fleet_plain, NULL, seed, 24, &result, &err), "%s",
		      err.text);
	return result;
}

START_TEST(simulation_of_a_seed_is_the_same_each_time)
{
	struct sim_result first = simulate("pack", 3), again = simulate("pack", 3);

	ck_assert_double_eq(first.remote, again.remote);
	ck_assert_double_eq(first.moved_gib, again.moved_gib);
	ck_assert_double_ne(first.remote, simulate("pack", 4).remote);
}
END_TEST

START_TEST(simulation_without_moves_moves_nothing)
{
	struct sim_result touch = simulate("first-touch", 5);

	ck_assert_double_eq(touch.moved_gib, 0);
	ck_assert_double_eq(touch.moves, 0);
	ck_assert_double_gt(touch.remote, 0);
	ck_assert_double_lt(touch.remote, 1);
}
END_TEST

START_TEST(simulation_shows_that_the_planner_moves_once)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct sim_result follow = simulate("follow-vcpus", seed);

		ck_assert_double_eq(follow.second_gib, 0);
		ck_assert_double_eq(simulate("pack", seed).second_gib, 0);
		ck_assert_double_le(follow.remote, simulate("first-touch", seed).remote);
		ck_assert_double_le(follow.unpaid, follow.moves);
	}
}
END_TEST

START_TEST(simulation_of_others_rules_ends_with_less_remote_memory)
{
	static const char *const names[] = {"numad", "esxi", "dpo"};

	for (size_t i = 0; i < 3; i++) {
		struct sim_result result = simulate(names[i], 7);

		ck_assert_double_gt(result.moved_gib, 0);
		ck_assert_double_lt(result.remote, simulate("first-touch", 7).remote);
	}
}
END_TEST

START_TEST(options_of_placement_are_read)
{
	static const char *const good[] = {"placement", "--hosts", "7",	 "--guests", "9", "--steps",
					   "11",	"--seed",  "13", "--fleet",  "x"};
	static const char *const bad[] = {"placement", "--hosts", "0"};
	struct bench_options parsed;

	ck_assert(!bench_options_parse(11, (char **)good, &parsed, &err));
	ck_assert(parsed.placement_given);
	ck_assert_uint_eq(parsed.hosts, 7);
	ck_assert_uint_eq(parsed.guests, 9);
	ck_assert_uint_eq(parsed.steps, 11);
	ck_assert_uint_eq(parsed.seed, 13);
	ck_assert_str_eq(parsed.fleet_path, "x");
	ck_assert_int_eq(bench_options_parse(3, (char **)bad, &parsed, &err), -EINVAL);
	ck_assert(!bench_options_parse(1, (char **)good, &parsed, &err));
	ck_assert(!parsed.placement_given);
	ck_assert_uint_eq(parsed.hosts, 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_placement");
	TCase *tcase = tcase_create("bench_placement");

	tcase_add_checked_fixture(tcase, NULL, stop);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, model_refuses_moves_that_break_a_guarantee);
	tcase_add_test(tcase, model_refuses_vcpus_for_which_there_are_no_cpus);
	tcase_add_test(tcase, fleet_file_is_read_as_it_is_written);
	tcase_add_loop_test(tcase, fleet_file_that_is_wrong_is_refused_with_its_line, 0,
			    sizeof(wrong_files) / sizeof(wrong_files[0]));
	tcase_add_test(tcase, simulation_of_a_seed_is_the_same_each_time);
	tcase_add_test(tcase, simulation_without_moves_moves_nothing);
	tcase_add_test(tcase, simulation_shows_that_the_planner_moves_once);
	tcase_add_test(tcase, simulation_of_others_rules_ends_with_less_remote_memory);
	tcase_add_test(tcase, options_of_placement_are_read);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
