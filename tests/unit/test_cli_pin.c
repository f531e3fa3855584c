/* gmig pin, and the threads that `gmig show` and `gmig migrate` tell of and ask for, against a scripted VMM. */
#include "fake_vmm.h"

/* As query-cpus answers. */
static json_t *threads(void)
{
	return json_loads(
	    "{\"placed\":true,\"homes\":[0],\"vcpus\":["
	    "{\"kind\":\"vcpu\",\"vcpu\":0,\"tid\":101,\"vnode\":0,\"cpus\":\"0-3\",\"nodes\":"
	    "\"0\","
	    "\"by\":\"rule\"},"
	    "{\"kind\":\"vcpu\",\"vcpu\":1,\"tid\":102,\"vnode\":0,\"cpus\":\"5\",\"nodes\":\"1\","
	    "\"by\":\"operator\",\"order\":\"5,9\"}],"
	    "\"threads\":[{\"kind\":\"io\",\"tid\":99,\"cpus\":\"0-3\",\"nodes\":\"0\",\"by\":"
	    "\"rule\"}]}",
	    0, NULL);
}

#define VCPU_ROWS                                                                                  \
	"thread  tid  vnode  nodes  CPUs  placed by\n"                                             \
	"vcpu 0  101      0  0      0-3   rule\n"                                                  \
	"vcpu 1  102      0  1      5     operator (5,9)\n"

static void expect_arguments(const char *text)
{
	json_t *want = json_loads(text, 0, NULL);

	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	json_decref(want);
}

START_TEST(pin_passes_on_what_was_given)
{
	fake.cpus = threads();
	ck_assert_int_eq(gmig("pin", "vm1", "--vcpu", "1", "--node", "2", NULL), CLI_OK);
	expect_arguments("{\"vcpu\":1,\"node\":2}");
	ck_assert_int_eq(gmig("pin", "vm1", "--cpus", "0,2-3", NULL), CLI_OK);
	expect_arguments("{\"cpus\":\"0,2-3\"}");
	ck_assert_int_eq(gmig("pin", "vm1", "--any", "--vcpu=0", NULL), CLI_OK);
	expect_arguments("{\"any\":true,\"vcpu\":0}");
	ck_assert_int_eq(gmig("pin", "vm1", "--auto", NULL), CLI_OK);
	expect_arguments("{\"auto\":true}");
}
END_TEST

START_TEST(pin_prints_where_vcpus_run_and_what_was_not_to_be_had)
{
	fake.cpus = threads();
	ck_assert_int_eq(gmig("pin", "vm1", "--node", "0", NULL), CLI_OK);
	ck_assert_str_eq(out_text, VCPU_ROWS);
	json_object_set_new(fake.cpus, "refused", json_string("9"));
	ck_assert_int_eq(gmig("pin", "vm1", "--cpus", "5,9", NULL), CLI_OK);
	ck_assert_str_eq(out_text,
			 VCPU_ROWS "without CPUs 9: offline, or outside the VM's cpuset\n");
	ck_assert_int_eq(gmig("pin", "vm1", "--cpus", "5,9", "--json", NULL), CLI_OK);
	ck_has(out_text, "\"refused\"");
}
END_TEST

START_TEST(pin_that_the_vmm_refuses_fails)
{
	fake.refuse = ENODEV;
	ck_assert_int_eq(gmig("pin", "vm1", "--node", "9", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: node 9 is not there; online: 0-1\n");
	ck_assert_str_eq(out_text, "");
}
END_TEST

static const struct {
	const char *words[3];
	const char *text;
} bad[] = {
    {{"--vcpu=1"}, "one of --node, --cpus, --any and --auto is needed"},
    {{"--node=1", "--any"}, "one of --node, --cpus, --any and --auto is needed"},
    {{"--cpus=1", "--node=1"}, "one of --node, --cpus, --any and --auto is needed"},
    {{"--auto", "--any"}, "one of --node, --cpus, --any and --auto is needed"},
    {{"--node", "x"}, "--node: 'x' is not a number"},
    {{"--node", "1024"}, "--node: '1024' is over 1023"},
    {{"--any", "--vcpu", "-1"}, "--vcpu: '-1' is not a number"},
    {{"--cpus"}, "--cpus needs a value: LIST"},
    {{"--any", "x"}, "unexpected argument 'x'"},
};

START_TEST(pin_with_a_bad_option_is_usage_and_asks_nothing)
{
	ck_assert_int_eq(
	    gmig("pin", "vm1", bad[_i].words[0], bad[_i].words[1], bad[_i].words[2], NULL),
	    CLI_USAGE);
	ck_has(err_text, bad[_i].text);
	ck_has(err_text, "\ntry: gmig pin --help\n");
	ck_assert_str_eq(fake.log, "");
}
END_TEST

START_TEST(show_has_the_threads_between_memory_and_times)
{
	fake.more = json_pack("{s:o}", "cpus", threads());
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "\n\n" VCPU_ROWS "io       99      -  0      0-3   rule\n\ntimes");
}
END_TEST

START_TEST(show_of_a_vmm_that_does_not_tell_of_threads_leaves_them_out)
{
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_assert_ptr_null(strstr(out_text, "thread  tid"));
}
END_TEST

START_TEST(migrate_says_what_vcpus_are_to_do_only_when_told_to)
{
	fake.last = fake_job("completed", 1 << 30, 0);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from=0", "--to=1", "--with-vcpus", NULL),
			 CLI_OK);
	expect_arguments("{\"from\":[0],\"to\":[1],\"vcpus\":\"all\"}");
	ck_assert_int_eq(gmig("migrate", "vm1", "--from=0", "--to=1", "--no-vcpus", NULL), CLI_OK);
	expect_arguments("{\"from\":[0],\"to\":[1],\"vcpus\":\"keep\"}");
	ck_assert_int_eq(gmig("migrate", "vm1", "--from=0", "--to=1", NULL), CLI_OK);
	expect_arguments("{\"from\":[0],\"to\":[1]}");
}
END_TEST

START_TEST(migrate_with_both_wishes_or_of_a_process_is_usage)
{
	ck_assert_int_eq(
	    gmig("migrate", "vm1", "--from=0", "--to=1", "--no-vcpus", "--with-vcpus", NULL),
	    CLI_USAGE);
	ck_has(err_text, "--with-vcpus and --no-vcpus exclude each other");
	ck_assert_int_eq(gmig("migrate", "pid:1", "--from=0", "--to=1", "--no-vcpus", NULL),
			 CLI_USAGE);
	ck_has(err_text, "--no-vcpus is for guests, not for processes");
	ck_assert_str_eq(fake.log, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_pin");
	TCase *tcase = fake_case(suite, "pin");

	tcase_add_test(tcase, pin_passes_on_what_was_given);
	tcase_add_test(tcase, pin_prints_where_vcpus_run_and_what_was_not_to_be_had);
	tcase_add_test(tcase, pin_that_the_vmm_refuses_fails);
	tcase_add_loop_test(tcase, pin_with_a_bad_option_is_usage_and_asks_nothing, 0,
			    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tcase, show_has_the_threads_between_memory_and_times);
	tcase_add_test(tcase, show_of_a_vmm_that_does_not_tell_of_threads_leaves_them_out);
	tcase_add_test(tcase, migrate_says_what_vcpus_are_to_do_only_when_told_to);
	tcase_add_test(tcase, migrate_with_both_wishes_or_of_a_process_is_usage);
	return run_suite(suite);
}
