/* The command line of gmig-vmm: what it accepts means what it says, what it refuses has a text of
 * its own. */
#include "../../migrate/core/topology.h"
#include "../../vmm/options.h"
#include "../../vmm/options_text.h"
#include "host_tree.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB	  (1ull << 20)
#define MAX_WORDS 24

/* Words are cut up by the parser: a line is copied first. Words are separated by single spaces; '_'
 * stands for an empty one. */
struct line {
	char text[512];
	char *argv[MAX_WORDS + 1];
	int argc;
};

static void split(const char *words, struct line *line)
{
	char *rest = line->text, *word;

	snprintf(line->text, sizeof(line->text), "gmig-vmm %s", words);
	line->argc = 0;
	while ((word = strsep(&rest, " "))) {
		ck_assert_int_lt(line->argc, MAX_WORDS);
		line->argv[line->argc++] = strcmp(word, "_") ? word : word + 1;
	}
	line->argv[line->argc] = NULL;
}

static struct line last;

static int parse(const char *words, struct vmm_options *options, struct gmig_error *err)
{
	split(words, &last);
	err->text[0] = '\0';
	return vmm_options_parse(last.argc, last.argv, options, err);
}

static void accept(const char *words, struct vmm_options *options)
{
	struct gmig_error err;
	int ret = parse(words, options, &err);

	ck_assert_msg(!ret, "%s: %s", words, err.text);
}

/* ---- What is accepted ------------------------------------------------------------------------ */

START_TEST(name_alone_is_one_vnode_of_256_mib)
{
	struct vmm_options options;

	accept("--name t", &options);
	ck_assert_str_eq(options.name, "t");
	ck_assert_uint_eq(options.mem_bytes, 256 * MIB);
	ck_assert_uint_eq(options.cpus, 1);
	ck_assert_uint_eq(options.node_count, 1);
	ck_assert_uint_eq(options.node[0].mem_bytes, 256 * MIB);
	ck_assert_uint_eq(options.node[0].cpus, 1);
	ck_assert_uint_eq(options.distance[0][0], 10);
	ck_assert_uint_eq(options.probe_touch_percent, 100);
	ck_assert_ptr_null(options.kernel);
}
END_TEST

/* Nothing that JSON cannot carry, and nothing that a terminal obeys; the message is harmless, too. */
START_TEST(text_that_is_not_plain_is_refused)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
	    {"\xff", "byte 1 (0xff) is not UTF-8"},
	    {"ab\xc3", "byte 3 (0xc3) is not UTF-8"},
	    {"\xc0\xaf", "byte 1 (0xc0) is not UTF-8"},		/* an overlong slash */
	    {"\xe0\x80\xaf", "byte 1 (0xe0) is not UTF-8"},	/* the same in three */
	    {"\xed\xa0\x80", "byte 1 (0xed) is not UTF-8"},	/* half a surrogate pair */
	    {"\xf4\x90\x80\x80", "byte 1 (0xf4) is not UTF-8"}, /* beyond U+10FFFF */
	    {"\x80", "byte 1 (0x80) is not UTF-8"},
	    {"a\033[2J", "byte 2 is a control character (U+001B)"},
	    {"a\nb", "byte 2 is a control character (U+000A)"},
	    {"\x7f", "control character (U+007F)"},
	    {"\xc2\x9b", "control character (U+009B)"},
	    {"x\xe2\x80\xae", "byte 2 is a control character (U+202E)"},
	    {"\xe2\x80\xa8", "control character (U+2028)"},
	};
	static const struct {
		const char *before, *after;
	} places[] = {{"--name ", ""},
		      {"--name t --kernel ", ""},
		      {"--name t --kernel k --initrd ", ""},
		      {"--name t --kernel k --disk ", ""},
		      {"--name t --kernel k --net tap=", ""},
		      {"--name t --kernel k --port name=", ",path=p"},
		      {"--name t --kernel k --port name=n,path=", ""},
		      {"--name t --kernel k --console file:", ""}};
	struct vmm_options options;
	struct gmig_error err;
	char line[256];

	for (size_t o = 0; o < sizeof(places) / sizeof(places[0]); o++)
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			char *argv[16] = {(char *)"gmig-vmm"}, *rest = line, *word;
			int argc = 1;

			snprintf(line, sizeof(line), "%s%s%s", places[o].before, bad[i].text,
				 places[o].after);
			while ((word = strsep(&rest, " ")))
				argv[argc++] = word;
			ck_assert_int_eq(vmm_options_parse(argc, argv, &options, &err), -EINVAL);
			/* Keys before the text shift the position. */
			if (places[o].before[strlen(places[o].before) - 1] == ' ')
				ck_assert_ptr_nonnull(strstr(err.text, bad[i].why));
			ck_assert_ptr_nonnull(strstr(err.text, "UTF-8")
						  ? strstr(err.text, "is not UTF-8")
						  : strstr(err.text, "control character"));
			for (const char *c = err.text; *c; c++)
				ck_assert(*c >= ' ' && *c < 0x7f);
		}
}
END_TEST

START_TEST(names_in_any_script_are_accepted)
{
	struct vmm_options options;

	accept("--name \xd0\xb3\xd0\xbe\xd1\x81\xd1\x82\xd1\x8c-\xf0\x9f\x90\xa7", &options);
	accept("--name t --kernel k --disk /\xc3\xa4.raw --append \xff", &options);
}
END_TEST

START_TEST(nodes_add_up_and_keep_their_own)
{
	struct vmm_options options;

	accept("--name t --node id=1,mem=128M,cpus=2-3,host=1 --node id=0,mem=1G,cpus=0-1,host=3 "
	       "--node id=2,mem=64",
	       &options);
	ck_assert_uint_eq(options.node_count, 3);
	ck_assert_uint_eq(options.cpus, 4);
	ck_assert_uint_eq(options.mem_bytes, 1216 * MIB);
	ck_assert_uint_eq(options.node[0].cpus, 0x3);
	ck_assert_uint_eq(options.node[0].host, 3);
	ck_assert_uint_eq(options.node[1].cpus, 0xc);
	ck_assert_uint_eq(options.node[1].mem_bytes, 128 * MIB);
	ck_assert_uint_eq(options.node[2].cpus, 0);
	ck_assert_uint_eq(options.node[2].host, 0);
}
END_TEST

START_TEST(sums_that_agree_are_accepted)
{
	struct vmm_options options;

	accept(
	    "--name t --mem 192M --cpus 2 --node id=0,mem=128M,cpus=0 --node id=1,mem=64M,cpus=1",
	    &options);
	ck_assert_uint_eq(options.mem_bytes, 192 * MIB);
}
END_TEST

START_TEST(cpus_may_be_given_in_pieces)
{
	struct vmm_options options;

	accept("--name t --node id=0,mem=64M,cpus=0,cpus=3 --node id=1,mem=64M,cpus=1-2", &options);
	ck_assert_uint_eq(options.node[0].cpus, 0x9);
}
END_TEST

/* Unequal vnodes, gaps in the lists of CPUs, distances that differ by direction. */
START_TEST(uneven_machine_is_taken_as_it_is)
{
	static const uint8_t distance[3][3] = {{10, 15, 20}, {20, 10, 25}, {25, 30, 10}};
	struct vmm_options options;

	accept("--name t --node id=0,mem=1G,cpus=0-2,cpus=9 --node id=1,mem=2G,cpus=3-4,cpus=6-8 "
	       "--node id=2,mem=3G,cpus=5,cpus=10-11 --dist 0,1,15 --dist 0,2,20 --dist 1,0,20 "
	       "--dist 1,2,25 --dist 2,0,25 --dist 2,1,30",
	       &options);
	ck_assert_uint_eq(options.cpus, 12);
	ck_assert_uint_eq(options.mem_bytes, 6144 * MIB);
	ck_assert_uint_eq(options.node[0].cpus, 0x207);
	ck_assert_uint_eq(options.node[1].cpus, 0x1d8);
	ck_assert_uint_eq(options.node[2].cpus, 0xc20);
	for (unsigned int a = 0; a < 3; a++)
		ck_assert_mem_eq(options.distance[a], distance[a], 3);
}
END_TEST

START_TEST(vnodes_may_have_only_cpus_or_only_memory_and_be_unreachable)
{
	struct vmm_options options;

	accept("--name t --node id=0,mem=0,cpus=0-1 --node id=1,mem=64M,cpus=2 --node id=2,mem=64M "
	       "--dist 0,2,255",
	       &options);
	ck_assert_uint_eq(options.node[0].mem_bytes, 0);
	ck_assert_uint_eq(options.node[0].cpus, 3);
	ck_assert_uint_eq(options.node[2].cpus, 0);
	ck_assert_uint_eq(options.mem_bytes, 128 * MIB);
	ck_assert_uint_eq(options.distance[0][2], 255);
	ck_assert_uint_eq(options.distance[2][0], 255);
}
END_TEST

START_TEST(sixty_four_cpus_are_accepted)
{
	struct vmm_options options;

	accept("--name t --cpus 64", &options);
	ck_assert_uint_eq(options.node[0].cpus, UINT64_MAX);
	accept("--name t --node id=0,mem=64M,cpus=0-31 --node id=1,mem=64M,cpus=32-63", &options);
	ck_assert_uint_eq(options.cpus, 64);
	ck_assert_uint_eq(options.node[1].cpus, 0xffffffff00000000);
}
END_TEST

START_TEST(distance_one_way_counts_for_both)
{
	struct vmm_options options;

	accept("--name t --node id=0,mem=64M,cpus=0 --node id=1,mem=64M --node id=2,mem=64M "
	       "--dist 0,1,15 --dist 2,0,31 --dist 0,2,30 --dist 1,1,10",
	       &options);
	ck_assert_uint_eq(options.distance[0][1], 15);
	ck_assert_uint_eq(options.distance[1][0], 15);
	ck_assert_uint_eq(options.distance[0][2], 30);
	ck_assert_uint_eq(options.distance[2][0], 31);
	ck_assert_uint_eq(options.distance[1][2], 20);
	ck_assert_uint_eq(options.distance[1][1], 10);
}
END_TEST

START_TEST(linux_guest_takes_its_devices)
{
	struct vmm_options options;

	accept("--name t --kernel k --initrd i --append a=b,c --disk d1 --disk d2,readonly --net "
	       "tap=t0 "
	       "--port name=a,path=/x --port path=/y,name=b --console file:/c",
	       &options);
	ck_assert_str_eq(options.kernel, "k");
	ck_assert_str_eq(options.append, "a=b,c");
	ck_assert_uint_eq(options.disk_count, 2);
	ck_assert_str_eq(options.disk[1], "d2");
	ck_assert(!options.disk_readonly[0] && options.disk_readonly[1]);
	ck_assert_int_eq(options.disk_on_full[0], VMM_ON_FULL_PAUSE);
	ck_assert_str_eq(options.tap[0], "t0");
	ck_assert_str_eq(options.port[1].name, "b");
	ck_assert_str_eq(options.port[1].path, "/y");
	ck_assert_str_eq(options.console, "file:/c");
	ck_assert(!options.console_append);
	accept("--name t --kernel k --balloon=reporting --console file:/c,append", &options);
	ck_assert_str_eq(options.console, "file:/c");
	ck_assert(options.console_append && options.balloon_reporting);
}
END_TEST

START_TEST(disk_words_come_after_a_name_with_commas)
{
	struct vmm_options options;

	accept(
	    "--name t --kernel k --disk a,b,on-full=error --disk c,on-full=pause,readonly --disk "
	    "readonly,d",
	    &options);
	ck_assert_str_eq(options.disk[0], "a,b");
	ck_assert_int_eq(options.disk_on_full[0], VMM_ON_FULL_ERROR);
	ck_assert(!options.disk_readonly[0]);
	ck_assert_str_eq(options.disk[1], "c");
	ck_assert_int_eq(options.disk_on_full[1], VMM_ON_FULL_PAUSE);
	ck_assert(options.disk_readonly[1]);
	ck_assert_str_eq(options.disk[2], "readonly,d");
	ck_assert(!options.disk_readonly[2]);
	accept("--name t --kernel k --disk a,cache=none,readonly --disk b,cache=writeback --disk c",
	       &options);
	ck_assert(options.disk_direct[0] && !options.disk_direct[1] && !options.disk_direct[2]);
	ck_assert_str_eq(options.disk[0], "a");
	ck_assert_str_eq(options.disk[1], "b");
}
END_TEST

START_TEST(probe_guest_takes_its_load)
{
	struct vmm_options options;

	accept("--name t --load half --interrupts --touch 50 --memory plain --page 4K --pool 2M "
	       "--extra 8M "
	       "--no-pin --dump-guest-core "
	       "--fake-nodes 64",
	       &options);
	ck_assert_int_eq(options.load, VMM_LOAD_HALF);
	ck_assert(options.probe_interrupts && options.plain && options.small_pages &&
		  options.no_pin && options.dump_guest_core);
	ck_assert_uint_eq(options.probe_touch_percent, 50);
	ck_assert_uint_eq(options.pool_bytes, 2 * MIB);
	ck_assert_uint_eq(options.extra_bytes, 8 * MIB);
	ck_assert_uint_eq(options.fake_nodes, 64);
	accept("--name t --memory memfd,huge=2M", &options);
	ck_assert(options.memfd && options.memfd_huge && !options.plain);
}
END_TEST

START_TEST(sandbox_is_on_unless_told)
{
	struct vmm_options options;

	accept("--name t", &options);
	ck_assert(!options.no_sandbox);
	accept("--name t --sandbox on", &options);
	ck_assert(!options.no_sandbox);
	accept("--name t --sandbox off", &options);
	ck_assert(options.no_sandbox);
}
END_TEST

START_TEST(unsafe_kernel_is_allowed_by_option_or_environment_only)
{
	struct vmm_options options;

	unsetenv("GMIG_UNSAFE_KERNEL");
	accept("--name t", &options);
	ck_assert(!options.unsafe_kernel);
	accept("--name t --unsafe-kernel", &options);
	ck_assert(options.unsafe_kernel);
	setenv("GMIG_UNSAFE_KERNEL", "0", 1);
	accept("--name t", &options);
	ck_assert(!options.unsafe_kernel);
	setenv("GMIG_UNSAFE_KERNEL", "1", 1);
	accept("--name t", &options);
	ck_assert(options.unsafe_kernel);
	unsetenv("GMIG_UNSAFE_KERNEL");
}
END_TEST

START_TEST(help_wins_over_anything_else)
{
	struct vmm_options options;

	accept("--help", &options);
	ck_assert(options.help);
	accept("--mem 64M --version stray", &options);
	ck_assert(options.version);
	ck_assert_ptr_nonnull(strstr(vmm_options_help(), "--fake-nodes"));
	ck_assert_ptr_nonnull(strstr(vmm_options_help(), "--version"));
}
END_TEST

START_TEST(size_units_are_powers_of_1024)
{
	static const struct {
		const char *text;
		bool mib;
		int ret;
		uint64_t bytes;
	} cases[] = {
	    {"512M", true, 0, 512 * MIB},
	    {"2G", false, 0, 2048 * MIB},
	    {"4096", true, 0, 4096 * MIB},
	    {"4096", false, 0, 4096},
	    {"1T", true, 0, MIB * MIB},
	    {"16K", true, 0, 16384},
	    {"0", true, 0, 0},
	    {"", true, -EINVAL, 0},
	    {"M", true, -EINVAL, 0},
	    {"-1M", true, -EINVAL, 0},
	    {"1MB", true, -EINVAL, 0},
	    {"1 M", true, -EINVAL, 0},
	    {"0x10", true, -EINVAL, 0},
	    {"1.5G", true, 0, 1536 * MIB},
	    {"1.5", true, -EINVAL, 0},
	    {"2g", true, 0, 2048 * MIB},
	    {"16777216T", true, -ERANGE, 0},
	    {"18446744073709551616", false, -ERANGE, 0},
	    {"18446744073709551615", false, 0, UINT64_MAX},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 0;
		int ret = vmm_parse_size(cases[i].text, cases[i].mib, &bytes);

		ck_assert_msg(ret == cases[i].ret && bytes == cases[i].bytes, "'%s': %d, %llu",
			      cases[i].text, ret, (unsigned long long)bytes);
	}
}
END_TEST

/* ---- What is refused ------------------------------------------------------------------------- */

/* The second column is a part of the text: it must say what was wrong. */
static const struct {
	const char *words, *text;
} refused[] = {
    {"--mem 64M", "--name is missing"},
    {"--name _", "name is empty"},
    {"--name a/b", "a/b"},
    {"--name .hidden", "starts with a dot"},
    {"--name aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "more than 64"},
    {"--name a --name b", "given twice"},
    {"--name t --daemonize --kernel k", "has no console on stdio"},
    {"--name", "needs an argument"},
    {"--name t --sandbox no", "--sandbox: 'no' is none of on, off"},
    {"--name t --frobnicate", "unknown option --frobnicate"},
    {"--name t -q", "unknown option -q"},
    {"--name t --interrupts=yes", "takes no argument"},
    {"--name t word", "stray word 'word'"},
    {"--name t --mem lots", "'lots' is not a size"},
    {"--name t --mem 0", "more than 0 bytes"},
    {"--name t --mem -5M", "'-5M' is not a size"},
    {"--name t --mem 99999999999999999999G", "64 bits"},
    {"--name t --mem 3M", "multiple of 2 MiB"},
    {"--name t --mem 900T", "16 TiB"},
    {"--name t --mem 1T", "page tables for at most"},

    {"--name t --mem _", "'' is not a size"},
    {"--name t --cpus 0", "0 is not within 1 to 64"},
    {"--name t --cpus 65", "65 is not within 1 to 64"},
    {"--name t --cpus two", "'two' is not a number"},
    {"--name t --cpus +1", "'+1' is not a number"},
    {"--name t --cpus 99999999999999999999", "99999999999999999999 is not within"},
    {"--name t --node _", "--node: the list of keys is empty"},
    {"--name t --node id=0,cpus=0", "mem= is missing"},
    {"--name t --node mem=64M,cpus=0", "id= is missing"},
    {"--name t --node id=0,mem=64M,color=red", "unknown key 'color'"},
    {"--name t --node id=0,mem", "'mem' is not of the form"},
    {"--name t --node id=0,mem=,cpus=0", "mem= without a value"},
    {"--name t --node id=0,id=1,mem=64M", "id is given twice"},
    {"--name t --node id=0,mem=64M,cpus=0,", "'' is not of the form"},
    {"--name t --node id=8,mem=64M,cpus=0",
     "vnode 8, but a guest of gmig-vmm has at most 8 vnodes"},
    {"--name t --node id=64,mem=64M,cpus=0", "id: 64 is not within 0 to 63"},
    {"--name t --node id=0,mem=0,cpus=0", "no vnode has memory"},
    {"--name t --node id=0,mem=64M,cpus=0 --node id=1,mem=0",
     "vnode 1 has neither memory nor CPUs"},
    {"--name t --node id=0,mem=0K,cpus=0", "--node mem: a guest needs more"},
    {"--name t --node id=0,mem=64M,cpus=0 --node id=1,mem=64M,cpus=1 --node id=2,mem=64M,cpus=2 "
     "--node id=3,mem=64M,cpus=3 --node id=4,mem=64M,cpus=4-63",
     "the APIC ids would be over 254"},
    {"--name t --node id=0,mem=1M,cpus=0", "--node mem: 1M is not a multiple"},
    {"--name t --node id=0,mem=64M,cpus=3-1", "3-1 runs backwards"},
    {"--name t --node id=0,mem=64M,cpus=a-b", "'a-b' is not a CPU"},
    {"--name t --node id=0,mem=64M,cpus=0-", "'0-' is not a CPU"},
    {"--name t --node id=0,mem=64M,cpus=0-64", "CPU 64, but"},
    {"--name t --node id=0,mem=64M,cpus=0,cpus=0", "CPU 0 is given twice"},
    {"--name t --node id=0,mem=64M,cpus=0,host=1024", "host: 1024 is not within"},
    {"--name t --node id=0,mem=64M,cpus=0,host=x", "host: 'x' is not a number"},
    {"--name t --node id=0,mem=64M,cpus=0 --node id=0,mem=64M,cpus=1", "vnode 0 is given twice"},
    {"--name t --node id=0,mem=64M,cpus=0 --node id=2,mem=64M,cpus=1", "none has id 1"},
    {"--name t --node id=0,mem=64M,cpus=0-1 --node id=1,mem=64M,cpus=1-2",
     "CPU 1 is in two vnodes"},
    {"--name t --node id=0,mem=64M,cpus=1", "CPU 0 is in no vnode"},
    {"--name t --node id=0,mem=64M", "no vnode has a CPU"},
    {"--name t --mem 256M --node id=0,mem=64M,cpus=0", "64 MiB together"},
    {"--name t --cpus 4 --node id=0,mem=64M,cpus=0", "1 CPUs together"},
    {"--name t --dist 0,1", "fewer than the three"},
    {"--name t --dist 0,1,20,3", "more than the three"},
    {"--name t --dist a,0,20", "--dist vnode: 'a'"},
    {"--name t --dist 0,5,20", "there is no vnode 5"},
    {"--name t --dist 0,8,20", "8 is not within 0 to 7"},
    {"--name t --dist 0,1,9", "9 is not within 10 to 255"},
    {"--name t --dist 0,1,300", "300 is not within 10 to 255"},
    {"--name t --dist 0,1,10", "10 is the distance of a vnode to itself"},
    {"--name t --dist 0,0,20", "distance 10 to itself, not 20"},
    {"--name t --dist 0,1,20 --dist 0,1,30", "0,1 is given twice"},
    {"--name t --fake-nodes 0", "0 is not within 1 to 1024"},
    {"--name t --fake-nodes 1025", "1025 is not within 1 to 1024"},
    {"--name t --memory gold", "'gold' is none of uffd, plain, memfd, hugetlb"},
    {"--name t --memory memfd,huge=1G", "'huge=1G' does not go with memfd"},
    {"--name t --memory uffd,huge=2M", "'huge=2M' does not go with uffd"},
    {"--name t --memory memfd,", "'' does not go with memfd"},
    {"--name t --memory memfd,huge=2M --page 4K", "which one?"},
    {"--name t --memory hugetlb --page 4K", "which one?"},
    {"--name t --page 3K", "'3K' is none of 2M, 4K, 1G"},
    {"--name t --pool 1K", "--pool: 1K is not a multiple"},
    {"--name t --load heavy", "'heavy' is none of write"},
    {"--name t --touch 0", "0 is not within 1 to 100"},
    {"--name t --prealloc=0", "0 is not within 1 to 16"},
    {"--name t --sample=0", "0 is not within 1 to 10000"},
    {"--name t --sample --memory hugetlb", "--sample is for --memory uffd"},
    {"--name t --prealloc 3", "stray word '3'"},
    {"--name t --grace 3601", "'3601' is not a time from 0 to 3600s"},
    {"--name t --touch 101", "101 is not within 1 to 100"},
    {"--name t --kernel _", "--kernel: the file name is empty"},
    {"--name t --initrd i", "--initrd is for a Linux guest"},
    {"--name t --append quiet", "--append is for a Linux guest"},
    {"--name t --disk d", "--disk is for a Linux guest"},
    {"--name t --net tap=a", "--net is for a Linux guest"},
    {"--name t --port name=a,path=b", "--port is for a Linux guest"},
    {"--name t --console none", "--console is for a Linux guest"},
    {"--name t --kernel k --load idle", "--load is for the probe guest"},
    {"--name t --kernel k --interrupts", "--interrupts is for the probe guest"},
    {"--name t --kernel k --touch 5", "--touch is for the probe guest"},
    {"--name t --kernel k --console tty9", "'tty9' is none of"},
    {"--name t --kernel k --console file:", "'file:' is none of"},
    {"--name t --kernel k --console file:/c,trunc", "'file:/c,trunc' is not file:PATH[,append]"},
    {"--name t --kernel k --console file:,append", "'file:,append' is not file:PATH[,append]"},
    {"--name t --kernel k --disk _", "--disk: the file name is empty"},
    {"--name t --kernel k --disk d,on-full=panic", "on-full: 'panic' is none of pause, error"},
    {"--name t --kernel k --disk d,on-full=", "on-full: '' is none of"},
    {"--name t --kernel k --disk d,cache=unsafe", "cache: 'unsafe' is none of writeback, none"},
    {"--name t --kernel k --disk a --disk b --disk c --disk d --disk e", "more than 4 disks"},
    {"--name t --kernel k --net veth=1", "--net: unknown key 'veth'"},
    {"--name t --kernel k --net tap=sixteencharacter", "over 15 characters"},
    {"--name t --kernel k --net tap=a --net tap=b --net tap=c", "more than 2 interfaces"},
    {"--name t --kernel k --port path=/p", "--port: name= is missing"},
    {"--name t --kernel k --port name=a", "--port: path= is missing"},
    {"--name t --kernel k --port name=a,path=/p --port name=a,path=/q", "two ports are named 'a'"},
    {"--name t --kernel k --port name=a,path=/p --port name=b,path=/p", "two ports have the path"},
    {"--name t --kernel k --port name=abcdefghijklmnopqrstuvwxyzabcdefg,path=/p",
     "over 31 characters"},
};

#define REFUSED (sizeof(refused) / sizeof(refused[0]))

START_TEST(bad_line_is_refused_and_says_why)
{
	struct vmm_options options;
	struct gmig_error err;
	int ret = parse(refused[_i].words, &options, &err);

	ck_assert_msg(ret == -EINVAL, "accepted: %s", refused[_i].words);
	ck_assert_int_eq(err.code, -EINVAL);
	ck_assert_msg(strstr(err.text, refused[_i].text), "%s gives \"%s\", not \"%s\"",
		      refused[_i].words, err.text, refused[_i].text);
}
END_TEST

START_TEST(texts_of_refusals_are_distinct)
{
	static char texts[REFUSED][GMIG_ERROR_TEXT];
	struct vmm_options options;
	struct gmig_error err;

	for (size_t i = 0; i < REFUSED; i++) {
		parse(refused[i].words, &options, &err);
		snprintf(texts[i], sizeof(texts[i]), "%s", err.text);
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(strcmp(texts[i], texts[j]) != 0, "'%s' and '%s' both give %s",
				      refused[i].words, refused[j].words, texts[i]);
	}
}
END_TEST

START_TEST(too_many_ports_are_refused)
{
	struct vmm_options options;
	struct gmig_error err;
	char words[512] = "--name t --kernel k";

	for (unsigned int i = 0; i <= VMM_MAX_PORTS; i++) {
		size_t length = strlen(words);

		snprintf(words + length, sizeof(words) - length, " --port name=%u,path=/%u", i, i);
	}
	ck_assert_int_eq(parse(words, &options, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "more than 8 ports"));
}
END_TEST

/* ---- Against the host ------------------------------------------------------------------------ */

/* A host of three nodes: CPUs alone on node 0, the cpuset does not allow node 2, node 3 is far. */
static struct gmig_topology *odd_host(void)
{
	static const struct tree_node nodes[] = {{0, 0, 0, "0-1", "10 31 21 41"},
						 {1, 64, 60, "2", "31 10 21 21"},
						 {2, 64, 60, "3", "21 21 10 21"},
						 {3, 64, 60, "", "41 21 21 10"}};
	struct gmig_topology *topology;
	struct gmig_error err;

	tree_create();
	tree_nodes("0-3", nodes, 4);
	tree_cpuset("0-1,3");
	ck_assert_msg(!topology_create_at(tree_root, 0, &topology, &err), "%s", err.text);
	tree_remove();
	return topology;
}

START_TEST(vnode_without_host_goes_to_the_nearest_node_with_memory)
{
	struct gmig_topology *topology = odd_host();
	struct vmm_options options;
	struct gmig_error said;

	accept("--name t --node id=0,mem=4M,cpus=0 --node id=1,mem=4M,host=3", &options);
	vmm_options_place(&options, topology, &said);
	ck_assert_uint_eq(options.node[0].host, 1);
	ck_assert_uint_eq(options.node[1].host, 3);
	ck_assert_msg(strstr(said.text, "on node 1, the nearest") != NULL, "%s", said.text);
	ck_assert_int_eq(vmm_options_check_host(&options, topology, &said), 0);
	accept("--name t --mem 4M", &options);
	vmm_options_place(&options, topology, &said);
	ck_assert_uint_eq(options.node[0].host, 1);
	gmig_topology_put(topology);
	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	accept("--name t --mem 4M", &options);
	vmm_options_place(&options, topology, &said);
	ck_assert_uint_eq(options.node[0].host, 0);
	ck_assert_str_eq(said.text, "");
	gmig_topology_put(topology);
}
END_TEST

START_TEST(vnode_of_cpus_alone_may_be_on_a_node_without_memory)
{
	struct gmig_topology *topology = odd_host();
	struct vmm_options options;
	struct gmig_error err;

	accept("--name t --node id=0,mem=0,cpus=0 --node id=1,mem=4M,host=1", &options);
	vmm_options_place(&options, topology, &err);
	ck_assert_uint_eq(options.node[0].host, 0);
	ck_assert_str_eq(err.text, "");
	ck_assert_int_eq(vmm_options_check_host(&options, topology, &err), 0);
	accept("--name t --node id=0,mem=0,cpus=0,host=7 --node id=1,mem=4M,host=1", &options);
	ck_assert_int_eq(vmm_options_check_host(&options, topology, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "this host does not have"));
	gmig_topology_put(topology);
}
END_TEST

START_TEST(host_node_that_cannot_be_used_is_refused_with_the_reason)
{
	static const struct {
		const char *words, *says;
	} unusable[] = {
	    {"--name t --node id=0,mem=4M,cpus=0,host=0", "host node 0, which has no memory"},
	    {"--name t --node id=0,mem=4M,cpus=0,host=2",
	     "host node 2, which this process's cpuset does not allow; there is memory on 1,3"},
	    {"--name t --node id=0,mem=4M,cpus=0,host=7",
	     "host node 7, which this host does not have"},
	};
	struct gmig_topology *topology = odd_host();
	struct vmm_options options;
	struct gmig_error err;

	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++) {
		accept(unusable[i].words, &options);
		vmm_options_place(&options, topology, &err);
		ck_assert_int_eq(vmm_options_check_host(&options, topology, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, unusable[i].says) != NULL, "%s", err.text);
	}
	gmig_topology_put(topology);
}
END_TEST

static int check_host(const char *words, struct gmig_error *err)
{
	struct gmig_topology *topology;
	struct vmm_options options;
	int ret;

	accept(words, &options);
	ck_assert_int_eq(gmig_topology_create(options.fake_nodes, &topology, err), 0);
	ret = vmm_options_check_host(&options, topology, err);
	gmig_topology_put(topology);
	return ret;
}

/* It would be emptied. */
START_TEST(console_file_that_is_another_file_of_the_vm_is_refused)
{
	static const struct {
		const char *before, *after, *says;
	} twice[] = {
	    {"--kernel /dev/null --disk ", "", "is a disk, too"},
	    {"--kernel /dev/null --disk ", ",readonly", "is a disk, too"},
	    {"--kernel ", "", "is the kernel, too"},
	    {"--kernel /dev/null --initrd ", "", "is the initial RAM disk, too"},
	};
	char path[] = "/tmp/gmig-test-options-XXXXXX", words[256];
	struct gmig_error err;

	close(mkstemp(path));
	for (size_t i = 0; i < sizeof(twice) / sizeof(twice[0]); i++) {
		/* By another name. */
		snprintf(words, sizeof(words), "--name t %s%s%s --console file:/tmp/..%s",
			 twice[i].before, path, twice[i].after, path);
		ck_assert_int_eq(check_host(words, &err), -EINVAL);
		ck_assert_msg(strstr(err.text, twice[i].says) != NULL, "%s", err.text);
	}
	unlink(path);
}
END_TEST

START_TEST(absent_host_node_is_refused)
{
	struct gmig_error err;

	ck_assert_int_eq(
	    check_host("--name t --fake-nodes 2 --node id=0,mem=64M,cpus=0,host=1", &err), 0);
	ck_assert_int_lt(
	    check_host("--name t --fake-nodes 2 --node id=0,mem=64M,cpus=0,host=2", &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "--fake-nodes does not make"));
	ck_assert_int_lt(check_host("--name t --node id=0,mem=64M,cpus=0,host=63", &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "host node 63, which this host does not have"));
}
END_TEST

START_TEST(guest_larger_than_its_node_is_refused_at_once)
{
	struct gmig_error err;

	ck_assert_int_eq(check_host("--name t --kernel k --mem 8T", &err), 0);
	ck_assert_int_eq(check_host("--name t --mem 4M --prealloc", &err), 0);
	ck_assert_int_eq(check_host("--name t --kernel k --mem 8T --prealloc --fake-nodes 2", &err),
			 0);
	ck_assert_int_eq(check_host("--name t --kernel k --mem 8T --prealloc", &err), -ENOMEM);
	ck_assert_ptr_nonnull(
	    strstr(err.text, "--prealloc: the guest wants 8388608 MiB on host node 0, which has "));
	/* Each vnode alone may fit, and both do not. */
	ck_assert_int_eq(check_host("--name t --kernel k --prealloc --node id=0,mem=4M,cpus=0 "
				    "--node id=1,mem=8T",
				    &err),
			 -ENOMEM);
	ck_assert_ptr_nonnull(strstr(err.text, "wants 8388612 MiB on host node 0"));
}
END_TEST

START_TEST(prealloc_sample_and_grace_take_numbers)
{
	struct vmm_options options;

	accept("--name t", &options);
	ck_assert(!options.prealloc && !options.sample && options.grace_s == 30);
	accept("--name t --prealloc --sample --grace 1500ms", &options);
	ck_assert(options.prealloc && options.sample && options.grace_s == 2);
	accept("--name t --prealloc=3 --sample=500 --kernel k --grace 0", &options);
	ck_assert(options.prealloc_threads == 3 && options.sample_rate == 500 && !options.grace_s);
}
END_TEST

START_TEST(absent_files_are_refused_by_name)
{
	struct gmig_error err;

	ck_assert_int_eq(check_host("--name t --kernel k --disk /none/d", &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/none/d"));
	ck_assert_int_eq(check_host("--name t --kernel k --disk /tmp", &err), -EINVAL);
	ck_assert_int_eq(check_host("--name t --kernel k --port name=a,path=/none/p", &err),
			 -ENOENT);
	ck_assert_int_eq(check_host("--name t --kernel k --port name=a,path=/etc/passwd", &err),
			 -EEXIST);
	ck_assert_int_eq(check_host("--name t --kernel k --console file:/none/c", &err), -ENOENT);
	ck_assert_int_eq(check_host("--name t --kernel k --disk /etc/passwd,readonly", &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *accepts = tcase_create("accepts"), *refuses = tcase_create("refuses");
	SRunner *runner;
	int failed;

	tcase_add_test(accepts, name_alone_is_one_vnode_of_256_mib);
	tcase_add_test(accepts, prealloc_sample_and_grace_take_numbers);
	tcase_add_test(refuses, guest_larger_than_its_node_is_refused_at_once);
	tcase_add_test(accepts, nodes_add_up_and_keep_their_own);
	tcase_add_test(accepts, sums_that_agree_are_accepted);
	tcase_add_test(accepts, cpus_may_be_given_in_pieces);
	tcase_add_test(accepts, text_that_is_not_plain_is_refused);
	tcase_add_test(accepts, names_in_any_script_are_accepted);
	tcase_add_test(accepts, uneven_machine_is_taken_as_it_is);
	tcase_add_test(accepts, vnodes_may_have_only_cpus_or_only_memory_and_be_unreachable);
	tcase_add_test(accepts, sixty_four_cpus_are_accepted);
	tcase_add_test(accepts, distance_one_way_counts_for_both);
	tcase_add_test(accepts, linux_guest_takes_its_devices);
	tcase_add_test(accepts, disk_words_come_after_a_name_with_commas);
	tcase_add_test(accepts, probe_guest_takes_its_load);
	tcase_add_test(accepts, sandbox_is_on_unless_told);
	tcase_add_test(accepts, unsafe_kernel_is_allowed_by_option_or_environment_only);
	tcase_add_test(accepts, help_wins_over_anything_else);
	tcase_add_test(accepts, size_units_are_powers_of_1024);
	tcase_add_loop_test(refuses, bad_line_is_refused_and_says_why, 0, REFUSED);
	tcase_add_test(refuses, texts_of_refusals_are_distinct);
	tcase_add_test(refuses, too_many_ports_are_refused);
	tcase_add_test(refuses, vnode_without_host_goes_to_the_nearest_node_with_memory);
	tcase_add_test(refuses, vnode_of_cpus_alone_may_be_on_a_node_without_memory);
	tcase_add_test(refuses, host_node_that_cannot_be_used_is_refused_with_the_reason);
	tcase_add_test(refuses, console_file_that_is_another_file_of_the_vm_is_refused);
	tcase_add_test(refuses, absent_host_node_is_refused);
	tcase_add_test(refuses, absent_files_are_refused_by_name);
	suite_add_tcase(suite, accepts);
	suite_add_tcase(suite, refuses);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
