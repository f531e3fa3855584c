/* gmig bind, gmig sample, gmig show --maps and --heat against a scripted VMM. */
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

/* ---- Heat ---- */

#define SAMPLING                                                                                   \
	"\"sampling\":{\"on\":true,\"held\":false,\"rate\":128,\"max_slowdown\":0.01,"             \
	"\"on_seconds\":12,\"touched\":30,\"untouched\":70,\"slowdown\":{\"share\":0.003,"         \
	"\"worst_second\":0.006}}"
#define PART(gpa, hot, cold, unknown, more)                                                        \
	"{\"gpa\":" gpa ",\"bytes\":1073741824,\"hot\":" hot ",\"warm\":0,\"cold\":" cold          \
	",\"unknown\":" unknown more "}"
#define UNKNOWN(gpa) PART(gpa, "0", "0", "1073741824", "")

START_TEST(sampling_is_switched_on_and_off)
{
	answer("[{" SAMPLING "}]");
	ck_assert_int_eq(gmig("sample", "vm1", "on", NULL), CLI_OK);
	expect_arguments("{\"on\":true}");
	ck_has(out_text,
	       "sampling for 12.0 s, up to 128 blocks a second: 30 were touched, 70 were");
	ck_has(out_text,
	       "it has cost 0.3% of the vCPUs' time, 0.6% in the worst second; budget 1%");
	ck_assert_int_eq(
	    gmig("sample", "vm1", "on", "--rate", "500", "--max-slowdown", "0.5%", "--json", NULL),
	    CLI_OK);
	expect_arguments("{\"on\":true,\"rate\":500,\"max-slowdown\":5000}");
	ck_has(out_text, "\"untouched\":70");
	answer("[{\"sampling\":{\"on\":false}}]");
	ck_assert_int_eq(gmig("sample", "vm1", "off", NULL), CLI_OK);
	expect_arguments("{\"on\":false}");
	ck_assert_str_eq(out_text, "sampling is off\n");
	answer("[]");
	ck_assert_int_eq(gmig("sample", "vm1", "on", NULL), CLI_FAILED);
	ck_has(err_text, "nothing can be sampled");
}
END_TEST

START_TEST(sampling_that_makes_no_sense_is_a_usage_error)
{
	ck_assert_int_eq(gmig("sample", "vm1", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("sample", "vm1", "maybe", NULL), CLI_USAGE);
	ck_has(err_text, "'maybe' is none of on, off");
	ck_assert_int_eq(gmig("sample", "vm1", "off", "--rate", "5", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("sample", "vm1", "on", "--rate", "0", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("sample", "vm1", "on", "--rate", "10001", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("sample", "vm1", "on", "--max-slowdown", "2", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("show", "vm1", "--heat", "--maps", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("show", "vm1", "--heat", "--fresh", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("show", "vm1", "--heat", "--gpa", "0", NULL), CLI_USAGE);
	ck_assert_str_eq(fake.log, "");
}
END_TEST

#define NODES "\"touched_from\":{\"1\":83886080,\"0\":20971520}"
#define SEEN                                                                                       \
	PART("2147483648", "104857600", "209715200", "759169024",                                  \
	     ",\"newest_age_ns\":2500000," NODES)
#define HALF                                                                                       \
	"{\"gpa\":0,\"bytes\":419430400,\"hot\":209715200,\"warm\":0,\"cold\":0,"                  \
	"\"unknown\":209715200,\"touched_from\":{}"
static const char two_answers[] =
    "[{" SAMPLING
    ",\"heat\":[" UNKNOWN("0") "," UNKNOWN("1073741824") "," SEEN
							 "],\"next\":3221225472},{" SAMPLING
							 ",\"heat\":[" UNKNOWN("4294967296") "]}]";

/* Parts of which nothing is known are one row, and those that do not touch are not. */
START_TEST(heat_is_a_row_for_each_gib_that_is_known)
{
	answer(two_answers);
	ck_assert_int_eq(gmig("show", "vm1", "--heat", NULL), CLI_OK);
	expect_arguments("{\"gpa\":3221225472}");
	ck_has(out_text,
	       "from       size   hot  warm  cold  unknown  seen ago  source     touched from\n");
	ck_has(out_text, "000000000    2G     0     0     0       2G         -  -          -\n");
	ck_has(out_text,
	       "080000000    1G  100M     0  200M     724M   2.50 ms  sampling   N1=80M N0=20M\n");
	ck_has(out_text, "100000000    1G     0     0     0       1G         -  -          -\n");
	answer("[{" SAMPLING ",\"heat\":[" UNKNOWN("0") "]}]");
	ck_assert_int_eq(gmig("show", "vm1", "--heat", "--json", NULL), CLI_OK);
	ck_has(out_text, "\"heat\":[{\"gpa\":0,");
	ck_has(out_text, "{\"sampling\":{\"on\":true");
	answer("[{" SAMPLING ",\"heat\":[" HALF ",\"reported\":1048576}," HALF
	       ",\"reported\":209715200}]}]");
	ck_assert_int_eq(gmig("show", "vm1", "--heat", NULL), CLI_OK);
	ck_has(out_text, "  both     ");
	ck_has(out_text, "  agent    ");
	ck_assert_int_eq(gmig("show", "pid:4711", "--heat", NULL), CLI_FAILED);
	ck_has(err_text, "nobody samples the memory of pid:4711");
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
	tcase_add_test(tcase, sampling_is_switched_on_and_off);
	tcase_add_test(tcase, sampling_that_makes_no_sense_is_a_usage_error);
	tcase_add_test(tcase, heat_is_a_row_for_each_gib_that_is_known);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
