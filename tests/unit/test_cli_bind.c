/* gmig bind and gmig show --maps against a scripted VMM. */
#include "fake_vmm.h"

static void expect_arguments(const char *text)
{
	json_t *want = json_loads(text, 0, NULL);

	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	json_decref(want);
}

START_TEST(bind_passes_on_what_was_given)
{
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+2G", "--policy", "interleave", "--nodes",
			      "0,1", NULL),
			 CLI_OK);
	expect_arguments(
	    "{\"gpa\":0,\"bytes\":2147483648,\"policy\":\"interleave\",\"nodes\":[0,1]}");
	ck_assert_str_eq(out_text, "");
	ck_assert_int_eq(gmig("bind", "vm1", "--range=0x40000000+0x1000", "--policy",
			      "weighted-interleave", "--nodes", "0-1", "--weights", "3,1",
			      "--static", "--strict", NULL),
			 CLI_OK);
	expect_arguments("{\"gpa\":1073741824,\"bytes\":4096,\"policy\":\"weighted-interleave\","
			 "\"nodes\":[0,1],\"weights\":[3,1],\"static\":true,\"strict\":true}");
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "1M+4K", "--policy", "bind", "--nodes", "2",
			      "--home-node", "1", "--relative", "--json", NULL),
			 CLI_OK);
	expect_arguments("{\"gpa\":1048576,\"bytes\":4096,\"policy\":\"bind\",\"nodes\":[2],"
			 "\"home-node\":1,\"relative\":true}");
	ck_assert_str_eq(out_text, "{}\n");
}
END_TEST

START_TEST(bind_with_move_waits_for_its_job)
{
	fake.last = fake_job("completed", 8 << 20, 0);
	fake.tell = true;
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+8M", "--policy", "bind", "--nodes", "1",
			      "--move", "--rate", "500M", "--mode", "block", "--threads", "2",
			      "--max-slowdown", "5%", "--order", "random", NULL),
			 CLI_OK);
	expect_arguments(
	    "{\"gpa\":0,\"bytes\":8388608,\"policy\":\"bind\",\"nodes\":[1],\"move\":true,"
	    "\"rate\":524288000,\"mode\":\"block\",\"threads\":2,\"max-slowdown\":50000,"
	    "\"order\":\"random\"}");
	ck_has(out_text, "8M");
}
END_TEST

START_TEST(bind_that_leaves_pages_behind_says_so_by_its_status)
{
	fake.last = fake_job("completed", 4 << 20, 4 << 20);
	fake.tell = true;
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+8M", "--policy", "bind", "--nodes", "1",
			      "--move", NULL),
			 CLI_REMAINING);
	fake.refuse = EIO;
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+8M", "--policy", "bind", "--nodes", "1",
			      "--strict", NULL),
			 CLI_FAILED);
	ck_has(err_text, "do not follow");
}
END_TEST

static const char *const wrong[] = {
    "0",    "+4K", "0+", "0x+4K", "0xg+4K", "1M+4Q", "0+0xffffffffffffffff", "0+99999999999T",
    "-1+4K"};

START_TEST(range_that_is_none_is_a_usage_error)
{
	char option[64];

	snprintf(option, sizeof(option), "--range=%s", wrong[_i]);
	ck_assert_int_eq(gmig("bind", "vm1", option, "--policy", "local", NULL), CLI_USAGE);
	ck_has(err_text, "--range");
	ck_assert_str_eq(fake.log, "");
}
END_TEST

START_TEST(bind_without_its_options_is_a_usage_error)
{
	ck_assert_int_eq(gmig("bind", "vm1", "--policy", "local", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+4K", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+4K", "--policy", "best", NULL),
			 CLI_USAGE);
	ck_has(err_text, "weighted-interleave");
	ck_assert_int_eq(
	    gmig("bind", "vm1", "--range", "0+4K", "--policy", "bind", "--nodes", "x", NULL),
	    CLI_USAGE);
}
END_TEST

START_TEST(range_is_fixed_and_movable_again)
{
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "1G+2M", "--fixed", NULL), CLI_OK);
	expect_arguments("{\"gpa\":1073741824,\"bytes\":2097152,\"fixed\":true}");
	ck_assert_str_eq(out_text, "");
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+4K", "--movable", "--json", NULL),
			 CLI_OK);
	expect_arguments("{\"gpa\":0,\"bytes\":4096,\"fixed\":false}");
	ck_assert_str_eq(out_text, "{}\n");
	ck_assert_str_eq(fake.log, "fix-memory fix-memory ");
	fake.refuse = EAGAIN;
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+4K", "--fixed", NULL), CLI_FAILED);
	ck_has(err_text, "on its way");
}
END_TEST

START_TEST(fixed_goes_with_nothing_of_a_policy)
{
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+4K", "--fixed", "--movable", NULL),
			 CLI_USAGE);
	ck_has(err_text, "only one of them");
	ck_assert_int_eq(
	    gmig("bind", "vm1", "--range", "0+4K", "--fixed", "--policy", "local", NULL),
	    CLI_USAGE);
	ck_has(err_text, "--policy is of a policy");
	ck_assert_int_eq(gmig("bind", "vm1", "--range", "0+4K", "--movable", "--move", NULL),
			 CLI_USAGE);
	ck_has(err_text, "--move is");
	ck_assert_int_eq(gmig("bind", "vm1", "--fixed", NULL), CLI_USAGE);
	ck_has(err_text, "--range is missing");
	ck_assert_int_eq(gmig("bind", "pid:4711", "--range", "0+4K", "--fixed", NULL), CLI_FAILED);
	ck_has(err_text, "gmig bind is for guests of gmig-vmm");
	ck_assert_str_eq(fake.log, "");
}
END_TEST

START_TEST(process_has_policies_of_its_own)
{
	ck_assert_int_eq(gmig("bind", "pid:4711", "--range", "0+4K", "--policy", "local", NULL),
			 CLI_FAILED);
	ck_has(err_text, "gmig bind is for guests of gmig-vmm");
	ck_has(err_text, "policies of pid:4711; gmig migrate and gmig move");
	ck_assert_int_eq(gmig("show", "pid:4711", "--maps", NULL), CLI_FAILED);
	ck_has(err_text, "/proc/4711/numa_maps; gmig move pid:4711 --query");
	ck_assert_int_eq(gmig("show", "pid:4711", "--maps", "--json", NULL), CLI_FAILED);
	ck_has(out_text, "EOPNOTSUPP");
	ck_assert_str_eq(fake.log, "");
}
END_TEST

#define RUN(gpa, bytes, pages)                                                                     \
	"{\"gpa\":" gpa ",\"bytes\":" bytes                                                        \
	",\"vnode\":0,\"policy\":\"interleave\",\"nodes\":[0,2],"                                  \
	"\"local\":0,\"pages\":" pages                                                             \
	",\"huge\":512,\"small\":0,\"swapped\":0,\"untouched\":3,\"moving\":0,\"misplaced\":1}"

static void answer(const char *text)
{
	json_error_t error;

	json_decref(fake.maps);
	fake.maps = json_loads(text, 0, &error);
	ck_assert_msg(fake.maps != NULL, "%s", error.text);
}

/* An answer may end within a run. */
START_TEST(maps_join_what_came_in_parts)
{
	answer("[{\"maps\":[" RUN("0", "4096", "{\"0\":1}") "],\"next\":4096},{\"maps\":[" RUN(
	    "4096", "8192", "{\"0\":2,\"2\":5}") "]}]");
	ck_assert_int_eq(gmig("show", "vm1", "--maps", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "000000000+3000 vnode=0 interleave:0,2 N0=3 N2=5 huge=1024 "
				   "untouched=6 misplaced=2\n");
	ck_assert_str_eq(fake.log, "query-maps query-maps ");
}
END_TEST

START_TEST(maps_at_an_address_are_one_run)
{
	answer("[{\"maps\":[" RUN("8192", "4096", "{\"0\":1}") "," RUN("16384", "4096",
								       "{\"0\":1}") "]}]");
	ck_assert_int_eq(gmig("show", "vm1", "--maps", "--gpa", "0x2000", NULL), CLI_OK);
	expect_arguments("{\"gpa\":8192}");
	ck_assert_str_eq(out_text,
			 "000002000+1000 vnode=0 interleave:0,2 N0=1 huge=512 untouched=3 "
			 "misplaced=1\n");
	/* What begins behind the address is not it. */
	answer("[{\"maps\":[" RUN("8192", "4096", "{\"0\":1}") "]}]");
	ck_assert_int_eq(gmig("show", "vm1", "--maps", "--gpa", "4096", NULL), CLI_FAILED);
	ck_has(err_text, "no memory at 4096");
	ck_assert_int_eq(gmig("show", "vm1", "--gpa", "4096", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("show", "vm1", "--maps", "--fresh", NULL), CLI_USAGE);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("cli_bind");
	Suite *suite = suite_create("cli_bind");

	tcase_add_checked_fixture(tcase, fake_setup, fake_teardown);
	tcase_add_test(tcase, bind_passes_on_what_was_given);
	tcase_add_test(tcase, bind_with_move_waits_for_its_job);
	tcase_add_test(tcase, bind_that_leaves_pages_behind_says_so_by_its_status);
	tcase_add_loop_test(tcase, range_that_is_none_is_a_usage_error, 0,
			    sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(tcase, bind_without_its_options_is_a_usage_error);
	tcase_add_test(tcase, range_is_fixed_and_movable_again);
	tcase_add_test(tcase, fixed_goes_with_nothing_of_a_policy);
	tcase_add_test(tcase, process_has_policies_of_its_own);
	tcase_add_test(tcase, maps_join_what_came_in_parts);
	tcase_add_test(tcase, maps_at_an_address_are_one_run);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
