/* gmigd.conf and its drop-in folder. */
#include "no_line.h"
#include "suite.h"

#include "../../libvirt-hooks/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/gmigd-conf-XXXXXX";
static char path[64];
static struct gmigd_conf *conf;
static struct gmig_error err;
static struct placement_policy policy;

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/gmigd.conf", folder);
	conf = NULL;
	err = (struct gmig_error){0, ""};
	umask(022);
}

static void teardown(void)
{
	char command[80];

	gmigd_conf_destroy(conf);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0); /* NOLINT(concurrency-mt-unsafe,cert-env33-c) */
	strcpy(folder, "/tmp/gmigd-conf-XXXXXX");
}

static void write_bytes(const char *name, const char *text, size_t bytes)
{
	char whole[128];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s/gmigd.conf.d", folder);
	if (strchr(name, '/'))
		(void)mkdir(whole, 0755);
	snprintf(whole, sizeof(whole), "%s/%s", folder, name);
	file = fopen(whole, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
	ck_assert_int_eq(fclose(file), 0);
}

static void write_file(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text));
}

static void read_well(void)
{
	ck_assert_msg(!gmigd_conf_read(path, &conf, &err), "%s", err.text);
}

static void expect_failure(int code, const char *says)
{
	ck_assert_int_eq(gmigd_conf_read(path, &conf, &err), code);
	ck_assert_ptr_null(conf);
	ck_assert_int_eq(err.code, code);
	ck_assert_msg(strstr(err.text, says) != NULL, "%s", err.text);
}

static void policy_of(const char *name)
{
	ck_assert_msg(!gmigd_conf_policy(conf, name, NULL, &policy, &err), "%s", err.text);
}

START_TEST(conf_that_is_missing_gives_the_defaults)
{
	read_well();
	ck_assert_str_eq(conf->uri, "qemu:///system");
	ck_assert_str_eq(conf->socket, "/run/gmig/gmigd.sock");
	ck_assert_uint_eq(conf->scan_interval_ns, 30000000000);
	ck_assert_uint_eq(conf->files, 0);
	policy_of("web1");
	ck_assert_int_eq(policy.placement, POLICY_NONE);
}
END_TEST

START_TEST(conf_is_read_with_comments_indents_and_dos_lines)
{
	write_file("gmigd.conf", "# ours\n"
				 "[gmigd]   ; a comment\r\n"
				 "  uri = qemu+unix:///system  ; another\r\n"
				 "\tmetrics=none\n"
				 "scan-interval: 1min\n"
				 "\n"
				 "[default]\n"
				 "placement = pack\n"
				 "    rate = 512M\n"
				 "[domain web*]\n"
				 "rate = 1G"); /* without a newline */
	read_well();
	ck_assert_str_eq(conf->uri, "qemu+unix:///system");
	ck_assert_ptr_null(conf->metrics);
	ck_assert_uint_eq(conf->scan_interval_ns, 60000000000);
	policy_of("web1");
	ck_assert_int_eq(policy.placement, POLICY_PACK);
	ck_assert_uint_eq(policy.rate_bytes, 1 << 30);
	ck_assert_str_eq(policy.where[POLICY_KEY_RATE], "gmigd.conf:11 [domain web*]");
	policy_of("db");
	ck_assert_uint_eq(policy.rate_bytes, 512 << 20);
	ck_assert_str_eq(policy.where[POLICY_KEY_RATE], "gmigd.conf:9 [default]");
}
END_TEST

START_TEST(drop_ins_are_read_in_the_order_of_their_names_and_the_last_wins)
{
	write_file("gmigd.conf", "[default]\nrate = 1G\nprotect = yes\n[gmigd]\nuri = one:\n");
	write_file("gmigd.conf.d/20-b.conf", "[default]\nrate = 3G\n");
	write_file("gmigd.conf.d/10-a.conf", "[default]\nrate = 2G\n[gmigd]\nuri = two:\n");
	write_file("gmigd.conf.d/B.conf", "[default]\nstall-budget = 1ms\n");
	write_file("gmigd.conf.d/a.conf", "[default]\nstall-budget = 2ms\n");
	write_file("gmigd.conf.d/.hidden.conf", "nonsense\n");
	write_file("gmigd.conf.d/30-c.conf.dpkg-old", "nonsense\n");
	write_file("gmigd.conf.d/.conf", "nonsense\n");
	read_well();
	policy_of("any");
	ck_assert_uint_eq(policy.rate_bytes, 3ull << 30);
	ck_assert_str_eq(policy.where[POLICY_KEY_RATE], "20-b.conf:2 [default]");
	ck_assert_uint_eq(policy.stall_budget_ns, 2000000);
	ck_assert(policy.protect);
	ck_assert_str_eq(conf->uri, "two:");
	ck_assert_uint_eq(conf->files, 5);
}
END_TEST

START_TEST(drop_ins_without_a_main_file_are_read)
{
	write_file("gmigd.conf.d/x.conf", "[domain a]\nnodes = 1\n");
	read_well();
	policy_of("a");
	ck_assert_uint_eq(policy.nodes.word[0], 2);
}
END_TEST

static const struct {
	const char *text, *says;
} wrong[] = {
    {"[gmigd]\nurl = x\n", "gmigd.conf:2 [gmigd]: no key 'url' in this section; there are uri,"},
    {"[default]\nRate = 1G\n", "gmigd.conf:2 [default]: no key 'Rate'"},
    {"[domain a]\nuri = x\n", "no key 'uri' in this section; there are placement, nodes"},
    {"[defaults]\n", "gmigd.conf:1 [defaults]: there are the sections"},
    {"[domain]\nrate = 1G\n", "there are the sections"},
    {"[domain ]\nrate = 1G\n", "name or pattern is missing"},
    {"rate = 1G\n", "gmigd.conf:1: there are the sections"},
    {"[default]\n\nrate = 1X\n", "gmigd.conf:3 [default]: rate = '1X': it is bytes a second"},
    {"[default]\nrate = 1G # fast\n", "rate = '1G # fast'"},
    {"[default]\nrate\n", "gmigd.conf:2: neither [section], nor key = value"},
    {"[default\n", "gmigd.conf:1: neither [section], nor key = value"},
    {"[default]\nrate = 1G\n\n rate = 2G\n",
     "gmigd.conf:4 [default]: rate is given twice in this file"},
    {"[default]\nrate = 1G\n[domain a]\n[default]\nrate = 1G\n", "given twice"},
    {"[gmigd]\nuri = a:\nuri = b:\n", "given twice"},
    {"[gmigd]\nuri = a b\n", "uri = 'a b': it has no spaces"},
    {"[gmigd]\nuri =\n", "uri = '': it is empty"},
    {"[gmigd]\nsocket = run/x\n", "absolute path of at most 107 bytes"},
    {"[gmigd]\nsocket = /0123456789012345678901234567890123456789012345678901234567890123456789"
     "01234567890123456789012345678901234567\n",
     "absolute path of at most 107 bytes"},
    {"[gmigd]\nmetrics = off\n", "absolute path"},
    {"[gmigd]\nmetrics = /a\x1b[2J\n", "metrics = '/a?[2J': it has control characters"},
    {"[gmigd]\nscan-interval = 30\n", "from 1s to 3600s"},
    {"[gmigd]\nscan-interval = 0s\n", "from 1s to 3600s"},
    {"[gmigd]\nscan-interval = 3601s\n", "from 1s to 3600s"},
    {"[gmigd]\nlibvirt-timeout = 99999999999999s\n", "from 1s to 600s"},
    {"[domain web[12]]\nrate = 1G\n", "gmigd.conf:1: a section ends at the first ]"},
    {"[domain 0123456789012345678901234567890123456789012]\n", "at most 49 bytes"},
    {"[default]\nquiet-hours = 08:00-09:00, 08:00-09:00, 08:00-09:00, 08:00-09:00, 08:00-09:00,"
     "08:00-09:00, 08:00-09:00, 08:00-09:00, 08:00-09:00, 08:00-09:00, 08:00-09:00, 08:00-09:00,"
     " 08:00-09:00, 08:00-09:00, 10:00-11:00\n",
     "gmigd.conf:2: more than 197 bytes in a line"},
    {"[default]\nplacement = fixed\n",
     "placement = fixed (gmigd.conf:2 [default]) needs nodes = LIST"},
    {"[default]\nplacement = pack\n[domain a]\nprotect = yes\n",
     "placement = pack (gmigd.conf:2 [default]) contradicts protect = yes (gmigd.conf:4 [domain "
     "a])"},
    {"[default]\n\xff\xfe = \x1b\n", "no key '?\x3f'"},
};
#define WRONG (int)(sizeof(wrong) / sizeof(wrong[0]))

START_TEST(conf_that_is_wrong_is_refused_with_file_and_line)
{
	write_file("gmigd.conf", wrong[_i].text);
	expect_failure(-EINVAL, wrong[_i].says);
	ck_assert_ptr_null(strchr(err.text, '\x1b'));
}
END_TEST

/* What the other half forbids would be allowed. */
START_TEST(line_without_memory_is_not_the_end)
{
	write_file("gmigd.conf", "# one\n# two\n# three\n");
	read_well();
	gmigd_conf_destroy(conf);
	conf = NULL;
	no_line_in = 1;
	expect_failure(-ENOMEM, "cannot be read");
}
END_TEST

START_TEST(drop_in_that_is_wrong_is_refused_with_its_name)
{
	write_file("gmigd.conf", "[default]\nrate = 1G\n");
	write_file("gmigd.conf.d/50-x.conf", "[default]\nrate = slow\n");
	expect_failure(-EINVAL, "50-x.conf:2 [default]: rate = 'slow'");
}
END_TEST

START_TEST(drop_in_of_an_odd_name_is_told_safely)
{
	char name[128];

	write_file("gmigd.conf.d/a\x1b[2J.conf", "[default]\nrate = 1X\n");
	expect_failure(-EINVAL, "a?[2J.conf:2 [default]: rate = '1X'");
	snprintf(name, sizeof(name), "%s.d/\x1b.conf", path);
	ck_assert_int_eq(mkdir(name, 0700), 0);
	expect_failure(-EPERM, ".d/?.conf is not a regular file");
	ck_assert_ptr_null(strchr(err.text, '\x1b'));
}
END_TEST

START_TEST(zero_byte_in_a_line_is_refused)
{
	static const char text[] = "[default]\nrate = 1G\0 ; hidden\n";

	write_bytes("gmigd.conf", text, sizeof(text) - 1);
	expect_failure(-EINVAL, "gmigd.conf:2: a zero byte");
}
END_TEST

START_TEST(longest_section_and_line_are_kept_whole)
{
	char text[400];

	snprintf(text, sizeof(text), "[domain %042d]\nrate=%*s\n", 7, 197 - 5, "1G");
	write_file("gmigd.conf", text);
	read_well();
	snprintf(text, sizeof(text), "%042d", 7);
	policy_of(text);
	ck_assert_uint_eq(policy.rate_bytes, 1 << 30);
}
END_TEST

START_TEST(file_that_is_none_or_is_open_to_all_is_refused)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	expect_failure(-EPERM, "not a regular file");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	expect_failure(-EPERM, "not a regular file");
	ck_assert_int_eq(rmdir(path), 0);
	write_file("gmigd.conf", "[default]\n");
	ck_assert_int_eq(chmod(path, 0666), 0);
	expect_failure(-EPERM, "written by everybody");
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert_int_eq(truncate(path, GMIGD_CONF_FILE_BYTES + 1), 0);
	expect_failure(-E2BIG, "1048576");
}
END_TEST

START_TEST(folder_that_is_a_file_is_refused)
{
	char name[128];

	write_file("gmigd.conf.d", "");
	snprintf(name, sizeof(name), "%s.d: Not a directory", path);
	expect_failure(-ENOTDIR, name);
}
END_TEST

START_TEST(read_that_fails_leaves_the_old_one_as_it_is)
{
	struct gmigd_conf *old;

	write_file("gmigd.conf", "[default]\nrate = 1G\n[gmigd]\nuri = old:\n");
	read_well();
	old = conf;
	write_file("gmigd.conf", "[default]\nrate = 2G\n[gmigd]\nuri = new:\nnonsense\n");
	ck_assert_int_eq(gmigd_conf_read(path, &conf, &err), -EINVAL);
	ck_assert_ptr_eq(conf, old);
	ck_assert_str_eq(conf->uri, "old:");
	policy_of("a");
	ck_assert_uint_eq(policy.rate_bytes, 1 << 30);
}
END_TEST

START_TEST(keys_come_from_metadata_then_name_then_pattern_then_default)
{
	struct placement_policy metadata;

	write_file("gmigd.conf", "[domain w*]\nrate = 2G\nstall-budget = 2ms\nprotect = no\n"
				 "[domain web1]\nstall-budget = 3ms\nprotect = no\n"
				 "[default]\nrate = 1G\nstall-budget = 1ms\nnodes = 0\n");
	read_well();
	policy_init(&metadata);
	ck_assert_int_eq(policy_set(&metadata, POLICY_KEY_PROTECT, "yes", "metadata of web1", NULL),
			 0);
	ck_assert_int_eq(gmigd_conf_policy(conf, "web1", &metadata, &policy, &err), 0);
	ck_assert(policy.protect);
	ck_assert_str_eq(policy.where[POLICY_KEY_STALL_BUDGET], "gmigd.conf:6 [domain web1]");
	ck_assert_str_eq(policy.where[POLICY_KEY_RATE], "gmigd.conf:2 [domain w*]");
	ck_assert_str_eq(policy.where[POLICY_KEY_NODES], "gmigd.conf:11 [default]");
	policy_of("db");
	ck_assert_uint_eq(policy.rate_bytes, 1 << 30);
}
END_TEST

START_TEST(metadata_that_contradicts_the_conf_is_refused_with_both_places)
{
	struct placement_policy metadata, before;

	write_file("gmigd.conf", "[default]\nplacement = pack\n");
	read_well();
	policy_init(&metadata);
	policy_init(&policy);
	before = policy;
	ck_assert_int_eq(policy_set(&metadata, POLICY_KEY_PROTECT, "yes", "metadata of a", NULL),
			 0);
	ck_assert_int_eq(gmigd_conf_policy(conf, "a", &metadata, &policy, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "gmigd.conf:2 [default]"));
	ck_assert_ptr_nonnull(strstr(err.text, "metadata of a"));
	ck_assert_mem_eq(&policy, &before, sizeof(policy));
}
END_TEST

START_TEST(two_patterns_that_give_one_key_are_refused_where_both_match)
{
	write_file("gmigd.conf", "[domain web*]\nrate = 1G\n[domain *1]\nrate = 2G\n"
				 "[domain w?b2]\nprotect = yes\n");
	read_well();
	ck_assert_int_eq(gmigd_conf_policy(conf, "web1", NULL, &policy, &err), -EINVAL);
	ck_assert_str_eq(err.text, "rate is given by two patterns that match: "
				   "gmigd.conf:2 [domain web*] and gmigd.conf:4 [domain *1]");
	policy_of("web2");
	ck_assert_uint_eq(policy.rate_bytes, 1 << 30);
	ck_assert(policy.protect);
	policy_of("db1");
	ck_assert_uint_eq(policy.rate_bytes, 2ull << 30);
}
END_TEST

START_TEST(section_of_a_name_decides_between_two_patterns)
{
	write_file("gmigd.conf", "[domain web*]\nrate = 1G\nprotect = yes\n"
				 "[domain *1]\nrate = 2G\n"
				 "[domain web1]\nrate = 3G\n");
	read_well();
	policy_of("web1");
	ck_assert_uint_eq(policy.rate_bytes, 3ull << 30);
	ck_assert(policy.protect);
}
END_TEST

START_TEST(sections_of_domains_are_at_most_4096)
{
	char *text = calloc(1, 5000 * 20);

	for (int i = 0; i < 4096; i++)
		sprintf(text + strlen(text), "[domain %d]\n", i);
	write_file("gmigd.conf", text);
	read_well();
	ck_assert_uint_eq(conf->domain_count, 4096);
	gmigd_conf_destroy(conf);
	conf = NULL;
	strcat(text, "[domain 0]\n[domain x]\n");
	write_file("gmigd.conf", text);
	expect_failure(-E2BIG, "gmigd.conf:4098 [domain x]: more than 4096 sections");
	free(text);
}
END_TEST

START_TEST(name_that_looks_like_a_pattern_is_found_by_its_section)
{
	write_file("gmigd.conf", "[domain a*]\nrate = 1G\n");
	read_well();
	policy_of("a*");
	ck_assert_uint_eq(policy.rate_bytes, 1 << 30);
}
END_TEST

/* Of the file that is installed, what it offers in comments: `#key = value` and `#[section]`. */
static void uncomment(const char *from)
{
	char text[8192] = "", line[256];
	FILE *file = fopen(from, "r");

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		strcat(text, line + (line[0] == '#' && line[1] != ' ' && line[1] != '\n'));
	fclose(file);
	write_file("gmigd.conf", text);
}

START_TEST(conf_that_is_installed_offers_the_defaults)
{
	struct gmigd_conf *defaults = NULL;

	read_well();
	defaults = conf;
	uncomment(TEST_SOURCE_DIR "/packaging/libvirt/gmigd.conf");
	read_well();
	ck_assert_str_eq(conf->uri, defaults->uri);
	ck_assert_str_eq(conf->socket, defaults->socket);
	ck_assert_str_eq(conf->group, defaults->group);
	ck_assert_str_eq(conf->state, defaults->state);
	ck_assert_str_eq(conf->metrics, defaults->metrics);
	ck_assert_uint_eq(conf->scan_interval_ns, defaults->scan_interval_ns);
	ck_assert_uint_eq(conf->libvirt_timeout_ns, defaults->libvirt_timeout_ns);
	gmigd_conf_destroy(defaults);
	policy_of("db");
	ck_assert_int_eq(policy.placement, POLICY_NONE);
	ck_assert_uint_eq(policy.rate_bytes + policy.stall_budget_ns + policy.quiet_count, 0);
	ck_assert(!policy.protect && gmig_node_set_empty(&policy.nodes));
	for (int key = 0; key < POLICY_KEYS; key++)
		ck_assert_str_ne(policy.where[key], "");
	policy_of("web1");
	ck_assert_int_eq(policy.placement, POLICY_FOLLOW_VCPUS);
}
END_TEST

/* Each key that the installed file offers has its entry in the manual page. */
START_TEST(conf_that_is_installed_is_described)
{
	static char manual[65536];
	char key[64], entry[80];
	FILE *file = fopen(TEST_SOURCE_DIR "/docs/gmigd.conf.5", "r");
	int keys = 0;

	ck_assert_ptr_nonnull(file);
	manual[fread(manual, 1, sizeof(manual) - 1, file)] = '\0';
	fclose(file);
	file = fopen(TEST_SOURCE_DIR "/packaging/libvirt/gmigd.conf", "r");
	ck_assert_ptr_nonnull(file);
	for (char line[256]; fgets(line, sizeof(line), file);) {
		if (sscanf(line, "#%63[a-z-] = ", key) != 1 || !strchr(line, '='))
			continue;
		snprintf(entry, sizeof(entry), "\n.It Cm %s\n", key);
		ck_assert_msg(strstr(manual, entry) != NULL, "no entry for %s", key);
		keys++;
	}
	fclose(file);
	ck_assert_int_ge(keys, 7 + POLICY_KEYS);
}
END_TEST

static int check_prints(const char *want)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	int status = gmigd_conf_check(path, out);

	fclose(out);
	ck_assert_msg(strstr(text, want) != NULL, "%s", text);
	free(text);
	return status;
}

START_TEST(check_says_what_was_read_or_what_is_wrong)
{
	write_file("gmigd.conf", "[default]\nplacement = spread\n[domain a]\n[domain b]\n");
	ck_assert_int_eq(
	    check_prints("1 file read, default placement spread, sections for 2 domains\n"), 0);
	write_file("gmigd.conf.d/a.conf", "[default]\nrate = x\n");
	ck_assert_int_eq(check_prints("error: a.conf:2 [default]: rate = 'x': it is"), 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    conf_that_is_missing_gives_the_defaults,
	    conf_is_read_with_comments_indents_and_dos_lines,
	    drop_ins_are_read_in_the_order_of_their_names_and_the_last_wins,
	    drop_ins_without_a_main_file_are_read,
	    line_without_memory_is_not_the_end,
	    drop_in_that_is_wrong_is_refused_with_its_name,
	    drop_in_of_an_odd_name_is_told_safely,
	    zero_byte_in_a_line_is_refused,
	    longest_section_and_line_are_kept_whole,
	    file_that_is_none_or_is_open_to_all_is_refused,
	    folder_that_is_a_file_is_refused,
	    read_that_fails_leaves_the_old_one_as_it_is,
	    keys_come_from_metadata_then_name_then_pattern_then_default,
	    metadata_that_contradicts_the_conf_is_refused_with_both_places,
	    two_patterns_that_give_one_key_are_refused_where_both_match,
	    section_of_a_name_decides_between_two_patterns,
	    sections_of_domains_are_at_most_4096,
	    name_that_looks_like_a_pattern_is_found_by_its_section,
	    check_says_what_was_read_or_what_is_wrong,
	    conf_that_is_installed_offers_the_defaults,
	    conf_that_is_installed_is_described,
	};
	Suite *suite = suite_create("gmigd_conf");
	TCase *tcase = tcase_create("conf");

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, conf_that_is_wrong_is_refused_with_file_and_line, 0, WRONG);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
