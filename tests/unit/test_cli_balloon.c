/* gmig balloon against a scripted VMM. */
#include "fake_vmm.h"

#define MIB 1048576

/* As query-balloon answers. */
static json_t *has(json_int_t actual_mib, json_int_t target_mib, bool driver)
{
	return json_pack("{s:I, s:I, s:I, s:b, s:I, s:I, s:I}", "actual", actual_mib * MIB,
			 "target", target_mib * MIB, "maximum", (json_int_t)1024 * MIB, "driver",
			 driver, "given_back_bytes", (json_int_t)0, "reported_bytes", (json_int_t)0,
			 "kept_bytes", (json_int_t)0);
}

static json_int_t told(void)
{
	return json_integer_value(json_object_get(fake.arguments, "value"));
}

START_TEST(balloon_is_told_and_waited_for)
{
	fake.balloon =
	    json_pack("[o, o, o]", has(1024, 512, true), has(700, 512, true), has(512, 512, true));
	ck_assert_int_eq(gmig("balloon", "vm1", "512M", NULL), CLI_OK);
	ck_assert_int_eq(told(), 512 * MIB);
	ck_assert_str_eq(out_text, "vm1: has 512M of 1G\n");
	ck_assert_str_eq(err_text, "");
}
END_TEST

START_TEST(balloon_without_a_size_only_asks)
{
	json_t *answer = has(512, 256, true);

	json_object_set_new(answer, "given_back_bytes", json_integer(300 * MIB));
	json_object_set_new(answer, "reported_bytes", json_integer(100 * MIB));
	json_object_set_new(answer, "kept_bytes", json_integer(2 * MIB));
	json_object_set_new(answer, "stats",
			    json_pack("{s:I, s:I}", "available_bytes", (json_int_t)200 * MIB,
				      "total_bytes", (json_int_t)480 * MIB));
	json_object_set_new(answer, "stats_age_ns", json_integer(1500000000));
	fake.balloon = json_pack("[o]", answer);
	ck_assert_int_eq(gmig("balloon", "vm1", NULL), CLI_OK);
	ck_assert_str_eq(fake.log, "");
	ck_has(out_text, "vm1: has 512M of 1G, and is to have 256M\n");
	ck_has(out_text, "given back to the host since the start: 300M, of that 100M");
	ck_has(out_text, "2M of what it gave stayed");
	ck_has(out_text, "in the guest 200M of 480M are available (said 1.50 s ago)");
	ck_assert_int_eq(gmig("balloon", "vm1", "--json", NULL), CLI_OK);
	ck_has(out_text, "\"actual\":536870912");
}
END_TEST

START_TEST(balloon_that_is_not_waited_for_is_told_all_the_same)
{
	fake.balloon = json_pack("[o]", has(1024, 512, false));
	ck_assert_int_eq(gmig("balloon", "vm1", "512M", "--no-wait", NULL), CLI_OK);
	ck_assert_int_eq(told(), 512 * MIB);
	ck_has(out_text, "is to have 512M; no driver in the guest answers");
}
END_TEST

START_TEST(balloon_of_the_most_is_what_the_vmm_says)
{
	fake.balloon = json_pack("[o, o]", has(512, 512, true), has(1024, 1024, true));
	ck_assert_int_eq(gmig("balloon", "vm1", "max", NULL), CLI_OK);
	ck_assert_int_eq(told(), 1024 * MIB);
}
END_TEST

START_TEST(balloon_without_progress_fails_with_what_it_has)
{
	fake.balloon = json_pack("[o]", has(700, 512, true));
	ck_assert_int_eq(gmig("balloon", "vm1", "512M", "--timeout", "0", NULL), CLI_FAILED);
	ck_has(err_text, "the guest has 700M and is to have 512M");
	json_array_set_new(fake.balloon, 0, has(1024, 512, false));
	ck_assert_int_eq(gmig("balloon", "vm1", "512M", "--timeout=0", "--json", NULL), CLI_FAILED);
	ck_has(out_text, "no driver in the guest answers");
	ck_has(out_text, "ETIMEDOUT");
}
END_TEST

START_TEST(balloon_with_progress_is_waited_for_however_long_it_takes)
{
	fake.balloon = json_array();
	for (json_int_t mib = 1000; mib >= 996; mib--)
		json_array_append_new(fake.balloon, has(mib, 996, true));
	cli_limits.balloon_ms = 400; /* less than all of it takes */
	ck_assert_int_eq(gmig("balloon", "vm1", "996M", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "vm1: has 996M of 1G\n");
}
END_TEST

START_TEST(balloon_that_another_one_has_told_is_given_up)
{
	fake.balloon = json_pack("[o, o]", has(1024, 512, true), has(1024, 900, true));
	ck_assert_int_eq(gmig("balloon", "vm1", "512M", NULL), CLI_FAILED);
	ck_has(err_text, "somebody else has told the guest another size");
}
END_TEST

START_TEST(balloon_that_is_not_there_fails)
{
	fake.refuse = ENODEV;
	ck_assert_int_eq(gmig("balloon", "vm1", "512M", NULL), CLI_FAILED);
	ck_has(err_text, "the guest has no balloon");
	ck_assert_int_eq(gmig("balloon", "vm1", NULL), CLI_FAILED);
	ck_has(err_text, "the guest has no balloon");
	ck_assert_int_eq(gmig("balloon", "vm1", "max", NULL), CLI_FAILED);
}
END_TEST

START_TEST(balloon_takes_a_size_that_makes_sense)
{
	ck_assert_int_eq(gmig("balloon", "vm1", "much", NULL), CLI_USAGE);
	ck_has(err_text, "'much' is neither a size nor max");
	ck_assert_int_eq(gmig("balloon", "vm1", "10000000T", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("balloon", "vm1", "1G", "--timeout", "soon", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("balloon", NULL), CLI_USAGE);
	ck_assert_str_eq(fake.log, "");
}
END_TEST

START_TEST(show_tells_of_a_balloon_that_holds_memory)
{
	fake.more = json_pack("{s:o}", "balloon", has(512, 512, true));
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "its balloon leaves it 512M of 1G\n");
	json_object_set_new(fake.more, "balloon", has(512, 256, false));
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text,
	       "its balloon leaves it 512M of 1G, and is to leave it 256M, but no driver answers");
	json_object_set_new(fake.more, "balloon", has(1024, 1024, true));
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_assert_ptr_null(strstr(out_text, "balloon"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_balloon");
	TCase *tcase = fake_case(suite, "cli_balloon");

	tcase_add_test(tcase, balloon_is_told_and_waited_for);
	tcase_add_test(tcase, balloon_without_a_size_only_asks);
	tcase_add_test(tcase, balloon_that_is_not_waited_for_is_told_all_the_same);
	tcase_add_test(tcase, balloon_of_the_most_is_what_the_vmm_says);
	tcase_add_test(tcase, balloon_without_progress_fails_with_what_it_has);
	tcase_add_test(tcase, balloon_with_progress_is_waited_for_however_long_it_takes);
	tcase_add_test(tcase, balloon_that_another_one_has_told_is_given_up);
	tcase_add_test(tcase, balloon_that_is_not_there_fails);
	tcase_add_test(tcase, balloon_takes_a_size_that_makes_sense);
	tcase_add_test(tcase, show_tells_of_a_balloon_that_holds_memory);
	return run_suite(suite);
}
