/* The command line of gmig-bench. */
#include "../bench/options.h"
#include "suite.h"

#include <string.h>

/* The arguments up to the first NULL, behind the command's name. */
static int parse(struct bench_options *options, struct gmig_error *err,
		 const char *const *arguments)
{
	char *argv[24] = {(char *)"move"};
	int argc = 1;

	while (*arguments)
		argv[argc++] = (char *)*arguments++;
	argv[argc] = NULL;
	return bench_options_parse(argc, argv, options, err);
}

#define PARSE(options, err, ...) parse(options, err, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(options_lists_and_sizes_are_read)
{
	struct bench_options options;
	struct gmig_error err;

	ck_assert_int_eq(PARSE(&options, &err, "--page", "4K,2M", "--load=idle", "--threads", "1,2",
			       "--mem", "0.5G", "--json", "--check", "--reps", "11", "--gmig-vmm",
			       "/x/y", "--no-pin", "--kernel-rate", "--mover", "uffd,migratepages"),
			 0);
	ck_assert(options.axes_given && options.json && options.check && options.kernel_rate &&
		  !options.pin);
	ck_assert_uint_eq(options.axes.pages, 2);
	ck_assert_uint_eq(options.axes.movers, 2);
	ck_assert_str_eq(options.axes.mover[1], "migratepages");
	ck_assert_str_eq(options.axes.page[0], "4K");
	ck_assert_str_eq(options.axes.load[0], "idle");
	ck_assert_uint_eq(options.axes.threads[1], 2);
	ck_assert_uint_eq(options.mem_bytes, 512u << 20);
	ck_assert_uint_eq(options.reps, 11);
	ck_assert_str_eq(options.vmm_path, "/x/y");
	ck_assert_int_eq(PARSE(&options, &err, "--json"), 0);
	ck_assert(!options.axes_given);
	ck_assert_uint_eq(options.fake_nodes, 2);
	ck_assert_uint_eq(options.mem_bytes, 1u << 30);
	ck_assert(!options.mem_given);
	ck_assert_int_eq(PARSE(&options, &err, "--mem", "512M"), 0);
	ck_assert(options.mem_given && !options.axes_given);
	ck_assert_int_eq(PARSE(&options, &err, "--mem", "256M,1G", "--csv", "a", "--trace", "b"),
			 0);
	ck_assert(options.axes_given);
	ck_assert_uint_eq(options.axes.mems, 2);
	ck_assert_uint_eq(options.axes.mem_bytes[1], 1u << 30);
	ck_assert_str_eq(options.csv_path, "a");
	ck_assert_str_eq(options.trace_path, "b");
}
END_TEST

START_TEST(options_wrong_ones_are_refused_with_their_names)
{
	struct bench_options options;
	struct gmig_error err;

	const struct {
		const char *option, *value, *text;
	} cases[] = {
	    {"--mover", "swap", "'swap'"},
	    {"--page", "8K", "'8K'"},
	    {"--page", "2M,,4K", "commas"},
	    {"--load", "burn", "'burn'"},
	    {"--threads", "0", "'0'"},
	    {"--threads", "17", "'17'"},
	    {"--vcpus", "x", "'x'"},
	    {"--mem", "1P", "'1P'"},
	    {"--mem", "1.5", "'1.5'"},
	    {"--mem", "3", "'3'"},
	    {"--mem", "-2G", "'-2G'"},
	    {"--mem", "1G,", "commas"},
	    {"--mem", "2M,2M,2M,2M,2M,2M,2M,2M,2M", "at most 8"},
	    {"--reps", "1000", "'1000'"},
	    {"--fake-nodes", "1", "2 nodes"},
	    {"--nonsense", NULL, "--nonsense"},
	    {"--mem", NULL, "--mem needs"},
	    {"stray", NULL, "'stray'"},
	    {"--page", "2M,2M,2M,2M,2M", "at most 4"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&err, 0, sizeof(err));
		ck_assert_int_lt(PARSE(&options, &err, cases[i].option, cases[i].value), 0);
		ck_assert_msg(strstr(err.text, cases[i].text) != NULL, "%s %s: %s", cases[i].option,
			      cases[i].value ? cases[i].value : "", err.text);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bench_options");
	TCase *tcase = tcase_create("options");

	tcase_add_test(tcase, options_lists_and_sizes_are_read);
	tcase_add_test(tcase, options_wrong_ones_are_refused_with_their_names);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
