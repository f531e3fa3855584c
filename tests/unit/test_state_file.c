/* Files of gmigd's state directory: whole or not there, and read without waiting for anybody. */
#include "../../libvirt-hooks/move_journal.h"
#include "../../libvirt-hooks/pin_journal.h"
#include "../../libvirt-hooks/state_boot.h"
#include "../../libvirt-hooks/state_file.h"
#include "failing_open.h"
#include "no_listing.h"
#include "no_memory.h"
#include "suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID   "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
#define NOBODY 65534

static char directory[64], path[PATH_MAX];
static struct gmig_error err;

static void setup(void)
{
	strcpy(directory, "/tmp/gmig-state.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert(state_file_path(path, directory, UUID, ".json"));
}

static void teardown(void)
{
	char command[128];

	ck_assert_int_eq(chmod(directory, 0700), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

#define OURS "{\"uuid\":\"" UUID "\",\"number\":7}"

static bool read_number(const json_t *json, void *into)
{
	*(int *)into = (int)json_integer_value(json_object_get(json, "number"));
	return true;
}

static int read_it(int *number)
{
	return state_file_read(directory, UUID, ".json", read_number, number, &err);
}

/* Right now, and it is kept under another name. */
static void expect_aside(void)
{
	char kept[PATH_MAX];
	struct stat st;
	int number;

	ck_assert_msg(read_it(&number) == -EBADMSG, "%s", err.text);
	ck_assert_int_eq(state_file_set_aside(directory, UUID, ".json", kept), 0);
	ck_assert_int_eq(lstat(kept, &st), 0);
	ck_assert_int_eq(read_it(&number), -ENOENT);
}

START_TEST(fifo_is_not_waited_for)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	expect_aside();
}
END_TEST

START_TEST(directory_and_loop_of_links_are_set_aside)
{
	ck_assert_int_eq(mkdir(path, 0700), 0);
	expect_aside();
	ck_assert_int_eq(symlink(path, path), 0);
	expect_aside();
}
END_TEST

static void leave(const char *text)
{
	ck_assert_int_eq(state_file_write(directory, path, text), 0);
}

/* A file that was copied or renamed by hand: its cpusets are another domain's. */
START_TEST(journal_that_is_of_another_uuid_is_not_understood)
{
	int number = 0;

	leave(OURS);
	ck_assert_int_eq(read_it(&number), 0);
	ck_assert_int_eq(number, 7);
	leave("{\"uuid\":\"00000000-0000-0000-0000-000000000000\",\"number\":7}");
	expect_aside();
	leave("{\"number\":7}");
	expect_aside();
}
END_TEST

START_TEST(file_of_64_mib_is_not_read_to_its_end)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	fprintf(file, "%*s{\"uuid\":\"" UUID "\",\"number\":1}", 64 << 20, "");
	ck_assert_int_eq(fclose(file), 0);
	expect_aside();
}
END_TEST

/* The directory can be written and not opened: what was renamed there is there. */
START_TEST(file_whose_directory_cannot_be_synced_is_written)
{
	const bool root = !geteuid();
	int number = 0;

	if (root)
		ck_assert(!chown(directory, NOBODY, NOBODY) && !seteuid(NOBODY));
	ck_assert_int_eq(chmod(directory, 0300), 0);
	ck_assert_int_eq(state_file_write(directory, path, OURS), 0);
	ck_assert_int_eq(read_it(&number), 0);
	ck_assert_int_eq(number, 7);
	/* It may be readable later: it stays where it is. */
	ck_assert_int_eq(chmod(path, 0), 0);
	ck_assert_int_eq(read_it(&number), -EIO);
	/* LeakSanitizer looks into none that has changed its user. */
	if (root)
		ck_assert(!seteuid(0) && !prctl(PR_SET_DUMPABLE, 1));
}
END_TEST

static void write_text(const char *name, const char *text)
{
	char file[PATH_MAX];
	FILE *out;

	snprintf(file, sizeof(file), "%s/%s", directory, name);
	out = fopen(file, "we");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	ck_assert_int_eq(fclose(out), 0);
}

static bool is_there(const char *name)
{
	char file[PATH_MAX];

	snprintf(file, sizeof(file), "%s/%s", directory, name);
	return !access(file, F_OK);
}

/* Readable or not. And not where it is not known, as with what an earlier gmigd has left. */
START_TEST(journals_of_an_earlier_boot_are_removed)
{
	static const char *const names[] = {UUID ".json", UUID ".pins", UUID ".tell"};
	char kept[PATH_MAX];

	for (size_t i = 0; i < 3; i++)
		write_text(names[i], "{");
	ck_assert_int_eq(state_boot_begin(directory, ""), 0);
	ck_assert_int_eq(state_boot_begin(directory, ""), 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert(is_there(names[i]));
	ck_assert_int_eq(state_file_set_aside(directory, UUID, ".pins", kept), 0);
	ck_assert_int_eq(state_file_count_aside(directory), 1);
	write_text("boot", "9e2d3aa1-66a1-4f93-9ca1-d0f4b65de6a1");
	ck_assert_int_eq(state_boot_begin(directory, "/nonexistent"), 0); /* which boot is it? */
	ck_assert(is_there(names[0]));
	write_text("boot", "9e2d3aa1-66a1-4f93-9ca1-d0f4b65de6a1");
	ck_assert_int_eq(state_boot_begin(directory, ""), 2);
	ck_assert(!is_there(names[0]) && !is_there(names[2]) && !access(kept, F_OK));
	write_text(names[0], "{");
	ck_assert_int_eq(state_boot_begin(directory, ""), 0);
	ck_assert(is_there(names[0]));
}
END_TEST

static int list_them(void)
{
	char(*uuids)[QEMU_UUID_TEXT];
	int count = state_file_list(directory, ".json", &uuids);

	if (count < 0)
		ck_assert_ptr_null(uuids);
	else
		free(uuids);
	return count;
}

static int count_aside(void)
{
	return state_file_count_aside(directory);
}

static int begin_boot(void)
{
	return state_boot_begin(directory, "");
}

static void expect_eio(int (*act)(void))
{
	int ret = without_listing(act);

	ck_assert_msg(ret == -EIO || ret == NO_LISTING_SKIP, "%d", ret);
}

/* A part of them would be put right, and the rest never. */
START_TEST(journals_that_cannot_be_listed_are_told_as_such)
{
	write_text(UUID ".json", "{");
	write_text("4dea22b3-1d52-d8f3-2516-782e98ab3fa1.json", "{");
	ck_assert_int_eq(list_them(), 2);
	expect_eio(list_them);
	expect_eio(count_aside);
}
END_TEST

/* The next one that can list them removes them. */
START_TEST(journals_of_an_earlier_boot_that_cannot_be_listed_stay_of_that_boot)
{
	write_text(UUID ".json", "{");
	write_text("boot", "9e2d3aa1-66a1-4f93-9ca1-d0f4b65de6a1");
	expect_eio(begin_boot);
	ck_assert(is_there(UUID ".json"));
	ck_assert_int_eq(state_boot_begin(directory, ""), 1);
	ck_assert(!is_there(UUID ".json"));
}
END_TEST

/* For want of a descriptor: which boot it is, or was. */
START_TEST(journals_of_a_boot_that_cannot_be_told_now_stay_of_that_boot)
{
	static const char *const files[] = {"/random/boot_id", "/boot"};

	write_text(UUID ".json", "{");
	write_text("boot", "9e2d3aa1-66a1-4f93-9ca1-d0f4b65de6a1");
	for (size_t i = 0; i < 2; i++) {
		unreadable = files[i];
		ck_assert_int_eq(state_boot_begin(directory, ""), -EMFILE);
		unreadable = NULL;
		ck_assert(is_there(UUID ".json") && is_there("boot"));
	}
	ck_assert_int_eq(state_boot_begin(directory, ""), 1);
	ck_assert(!is_there(UUID ".json"));
}
END_TEST

#define GROUP(path)                                                                                \
	"{\"version\":1,\"uuid\":\"" UUID "\",\"pid\":4711,\"start_time\":1,\"uid\":7,"            \
	"\"name\":\"web1\",\"memory\":1,\"job\":{\"from\":[0],\"to\":[1]},\"keep\":\"0\","         \
	"\"groups\":[{\"path\":\"" path "\",\"before\":\"0\",\"wide\":\"0-1\"}]}"

/* Empty: by a fuzzer. */
static const struct {
	const char *text;
	int ret;
} groups[] = {{GROUP("/machine.slice/web1"), 0},
	      {GROUP("/a..b/..c"), 0},
	      {GROUP(""), -EBADMSG},
	      {GROUP("machine.slice"), -EBADMSG},
	      {GROUP("/../../etc/x"), -EBADMSG},
	      {GROUP("/machine.slice/../x"), -EBADMSG}};

START_TEST(journal_of_a_group_that_is_none_is_not_understood)
{
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		struct move_journal journal;
		int ret;

		write_text(UUID ".json", groups[i].text);
		ret = move_journal_read(directory, UUID, &journal, &err);
		ck_assert_msg(ret == groups[i].ret, "%s: %d", groups[i].text, ret);
		if (!ret)
			ck_assert_uint_eq(journal.count, 1);
		move_journal_free(&journal);
	}
}
END_TEST

/* A journal that is whole, read with no memory for the first part of it, the second, and so on: it is none that cannot be understood. */
static unsigned int reads_without_memory(const char *suffix, const char *text,
					 int (*read_whole)(void))
{
	unsigned int failed = 0;
	int ret;

	write_text(suffix, text);
	for (long i = 0;; i++, failed++) {
		no_memory_in = i;
		ret = read_whole();
		no_memory_in = -1;
		if (!ret)
			return failed;
		ck_assert_msg(ret == -EIO && strstr(err.text, "Cannot allocate memory"),
			      "%ld: %d, %s", i, ret, err.text);
	}
}

static int read_moves(void)
{
	struct move_journal journal;
	int ret = move_journal_read(directory, UUID, &journal, &err);

	if (!ret)
		move_journal_free(&journal);
	return ret;
}

static int read_pins(void)
{
	struct pin_journal journal;
	int ret = pin_journal_read(directory, UUID, &journal, &err);

	if (!ret)
		pin_journal_free(&journal);
	return ret;
}

START_TEST(journal_for_which_there_is_no_memory_is_not_taken_for_a_damaged_one)
{
	static const char pins[] = "{\"version\":1,\"uuid\":\"" UUID
				   "\",\"pid\":1,\"start_time\":1,\"begun\":true,\"pairs\":[[0,1]],"
				   "\"pins\":[]}";

	/* The text; jobs, groups; pairs, two of the set. */
	ck_assert_uint_ge(reads_without_memory(UUID ".json", groups[0].text, read_moves), 3);
	ck_assert_uint_ge(reads_without_memory(UUID ".pins", pins, read_pins), 4);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    fifo_is_not_waited_for,
	    journal_that_is_of_another_uuid_is_not_understood,
	    directory_and_loop_of_links_are_set_aside,
	    file_of_64_mib_is_not_read_to_its_end,
	    journals_of_an_earlier_boot_are_removed,
	    journals_that_cannot_be_listed_are_told_as_such,
	    journal_of_a_group_that_is_none_is_not_understood,
	    journals_of_an_earlier_boot_that_cannot_be_listed_stay_of_that_boot,
	    journals_of_a_boot_that_cannot_be_told_now_stay_of_that_boot,
	    journal_for_which_there_is_no_memory_is_not_taken_for_a_damaged_one,
	    file_whose_directory_cannot_be_synced_is_written,
	};

	return run_tests("state_file", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
