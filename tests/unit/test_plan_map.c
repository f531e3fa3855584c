/* The node map: which node's pages go to which node, and what is refused. */
#include "../../migrate/core/topology.h"
#include "../../migrate/jobs/plan.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STAY GMIG_NO_NODE

/*
 * Nodes 0 to 7 have memory. 8 is online and has CPUs only, 9 is offline and may come, 64 and above can never exist. The
 * cpuset leaves out node 7.
 */
static struct gmig_topology host;

static void setup(void)
{
	memset(&host, 0, sizeof(host));
	gmig_node_set_parse("0-9", &host.possible, NULL);
	gmig_node_set_parse("0-8", &host.online, NULL);
	gmig_node_set_parse("0-7", &host.memory, NULL);
	gmig_node_set_parse("0-6,8-63", &host.allowed, NULL);
}

static struct gmig_job_spec spec_of(const char *from, const char *to)
{
	struct gmig_job_spec spec = {.from_count = 0};

	for (; *from; from++)
		spec.from[spec.from_count++] = (uint16_t)(*from - '0');
	for (; *to; to++)
		spec.to[spec.to_count++] = (uint16_t)(*to - '0');
	return spec;
}

/* ---- Pairs ----------------------------------------------------------------------------------- */

/* to: for nodes 0 to 9, '-' = stays. As do_migrate_pages() would pair them. */
static const struct {
	const char *from, *to, *expected;
} maps[] = {
    {"0", "1", "1---------"},
    {"0", "0", "----------"},
    {"01", "23", "23--------"},
    /* An order, as migrate_pages(2) has not */
    {"01", "32", "32--------"},
    {"10", "23", "32--------"},
    {"01", "10", "10--------"},
    {"012", "120", "120-------"},
    /* Same size: everything shifts */
    {"234", "345", "--345-----"},
    /* Other size: what is in `to` stays */
    {"01234567", "345", "345---34--"},
    {"0123", "45", "4545------"},
    {"0123", "32", "32--------"},
    {"3210", "23", "32--------"},
    {"01", "456", "45--------"},
    {"012", "1", "1-1-------"},
    {"7", "0123", "-------0--"},
    /* A node that has no memory now takes its place in the order all the same */
    {"809", "123", "2-------13"},
    {"9", "1", "---------1"},
};

START_TEST(map_pairs_nodes_in_the_order_given)
{
	struct gmig_job_spec spec = spec_of(maps[_i].from, maps[_i].to);
	struct gmig_error err = {0};
	struct plan_map map;

	ck_assert_msg(!plan_map_build(&spec, &host, NULL, &map, &err), "%s", err.text);
	for (unsigned int node = 0; node < GMIG_MAX_NODES; node++) {
		char sign = node < 10 ? maps[_i].expected[node] : '-';
		unsigned int expected = sign == '-' ? STAY : (unsigned int)(sign - '0');

		ck_assert_uint_eq(map.to[node], expected);
	}
}
END_TEST

START_TEST(map_of_all_nodes_that_can_be_shifts_round)
{
	struct gmig_job_spec spec = {.from_count = GMIG_MAX_NODES, .to_count = GMIG_MAX_NODES};
	struct plan_map map;

	memset(&host.possible, 0xff, sizeof(host.possible));
	memset(&host.online, 0xff, sizeof(host.online));
	memset(&host.memory, 0xff, sizeof(host.memory));
	memset(&host.allowed, 0xff, sizeof(host.allowed));
	for (unsigned int i = 0; i < GMIG_MAX_NODES; i++) {
		spec.from[i] = (uint16_t)i;
		spec.to[i] = (uint16_t)((i + 1) % GMIG_MAX_NODES);
	}
	ck_assert_int_eq(plan_map_build(&spec, &host, NULL, &map, NULL), 0);
	for (unsigned int i = 0; i < GMIG_MAX_NODES; i++)
		ck_assert_uint_eq(map.to[i], (i + 1) % GMIG_MAX_NODES);
}
END_TEST

/* ---- Refusals -------------------------------------------------------------------------------- */

static const struct {
	const char *from, *to;
	int code;
	const char *text;
} refused[] = {
    {"", "1", -EINVAL, "no node is named in 'from'"},
    {"0", "", -EINVAL, "no node is named in 'to'"},
    {"010", "123", -EINVAL, "node 0 is twice in 'from'"},
    {"01", "11", -EINVAL, "node 1 is twice in 'to'"},
    {"0", "121", -EINVAL, "node 1 is twice in 'to'"},
    /* ':' is 10, 'p' is 64 */
    {"0:", "1", -ENODEV, "node 10 in 'from' cannot exist on this host, which has room for 0-9"},
    {"p", "1", -ENODEV, "node 64 in 'from' cannot exist on this host, which has room for 0-9"},
    {"0", "1:", -ENODEV, "node 10 in 'to' cannot exist on this host, which has room for 0-9"},
    {"0", "19", -ENODEV, "node 9 in 'to' is offline"},
    {"0", "8", -ENODEV, "node 8 in 'to' has no memory"},
    {"0", "17", -EACCES,
     "node 7 in 'to' is outside the cpuset, which allows memory on 0-6,8-63 only"},
};

START_TEST(map_of_bad_sets_is_refused_and_names_the_node)
{
	struct gmig_job_spec spec = spec_of(refused[_i].from, refused[_i].to);
	struct gmig_error err = {0};
	struct plan_map map;

	ck_assert_int_eq(plan_map_build(&spec, &host, NULL, &map, &err), refused[_i].code);
	ck_assert_int_eq(err.code, refused[_i].code);
	ck_assert_str_eq(err.text, refused[_i].text);
	ck_assert_int_eq(plan_map_build(&spec, &host, NULL, &map, NULL), refused[_i].code);
}
END_TEST

START_TEST(map_of_another_programs_memory_obeys_its_cpuset)
{
	struct gmig_job_spec to_7 = spec_of("0", "7"), to_1 = spec_of("0", "1");
	struct gmig_node_set allowed = {{0x81}};
	struct gmig_error err = {0};
	struct plan_map map;

	ck_assert_int_eq(plan_map_build(&to_7, &host, &allowed, &map, &err), 0);
	ck_assert_int_eq(plan_map_build(&to_1, &host, &allowed, &map, &err), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.text, "memory on 0,7 only"));
}
END_TEST

START_TEST(map_of_more_nodes_than_there_can_be_is_refused)
{
	struct gmig_job_spec spec = spec_of("0", "1");
	struct plan_map map;

	spec.to_count = GMIG_MAX_NODES + 1;
	ck_assert_int_eq(plan_map_build(&spec, &host, NULL, &map, NULL), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plan_map");
	TCase *tcase = tcase_create("plan_map");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_loop_test(tcase, map_pairs_nodes_in_the_order_given, 0,
			    sizeof(maps) / sizeof(maps[0]));
	tcase_add_test(tcase, map_of_all_nodes_that_can_be_shifts_round);
	tcase_add_loop_test(tcase, map_of_bad_sets_is_refused_and_names_the_node, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, map_of_another_programs_memory_obeys_its_cpuset);
	tcase_add_test(tcase, map_of_more_nodes_than_there_can_be_is_refused);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
