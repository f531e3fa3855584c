/* gmig show --map: the picture has as much of everything as the guest says, and is a whole file or none. */
#include "fake_vmm.h"
#include "suite.h"
#include "svg_areas.h"

#include "../../cli/plot.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define CELL_PX 8.0
#define MIB	(1ull << 20)
#define GIB	(1ull << 30)

static char path[256];

static void setup_path(void)
{
	fake_setup();
	fake.maps = json_array();
	snprintf(path, sizeof(path), "%s/map.svg", fake.directory);
}

/* Pages of 4 KiB of a run. */
static json_t *run_of(uint64_t gpa, uint64_t bytes, int vnode, const char *counts)
{
	json_t *run = json_loads(counts, 0, NULL);

	ck_assert_ptr_nonnull(run);
	json_object_set_new(run, "gpa", json_integer((json_int_t)gpa));
	json_object_set_new(run, "bytes", json_integer((json_int_t)bytes));
	json_object_set_new(run, "vnode", json_integer(vnode));
	return run;
}

/* Two vnodes with a hole between them: 8 MiB at 0, in blocks, and 5 MiB at 64 MiB. */
static void script_two_vnodes(void)
{
	json_t *maps = json_array(), *heat = json_array();

	json_array_append_new(maps, run_of(0, 2 * MIB, 0, "{\"pages\":{\"0\":512},\"huge\":512}"));
	json_array_append_new(maps, run_of(2 * MIB, 2 * MIB, 0,
					   "{\"pages\":{\"0\":512},\"huge\":512,\"fixed\":512}"));
	json_array_append_new(maps, run_of(4 * MIB, 2 * MIB, 0,
					   "{\"pages\":{\"0\":128,\"3\":128},\"small\":256,"
					   "\"untouched\":128,\"swapped\":128}"));
	json_array_append_new(fake.maps,
			      json_pack("{s:o, s:I}", "maps", maps, "next", (json_int_t)(6 * MIB)));
	maps = json_array();
	json_array_append_new(maps, run_of(6 * MIB, 2 * MIB, 0, "{\"untouched\":512}"));
	json_array_append_new(maps, run_of(64 * MIB, 2 * MIB, 1,
					   "{\"pages\":{\"3\":512},\"huge\":512,\"moving\":256}"));
	json_array_append_new(maps,
			      run_of(66 * MIB, 2 * MIB, 1, "{\"pages\":{\"3\":512},\"huge\":512}"));
	json_array_append_new(maps,
			      run_of(68 * MIB, MIB, 1, "{\"pages\":{\"3\":256},\"huge\":256}"));
	json_array_append_new(fake.maps, json_pack("{s:o}", "maps", maps));
	for (int i = 0; i < 4; i++)
		json_array_append_new(heat, json_pack("{s:i, s:i, s:i}", "gpa", i * (int)(2 * MIB),
						      "bytes", (int)(2 * MIB), i ? "cold" : "hot",
						      (int)(2 * MIB)));
	json_array_append_new(heat,
			      json_pack("{s:i, s:i, s:i, s:i}", "gpa", (int)(64 * MIB), "bytes",
					(int)(2 * MIB), "warm", (int)MIB, "unknown", (int)MIB));
	json_array_append_new(fake.maps, json_pack("{s:o}", "heat", heat));
}

static void expect_cells(const json_t *svg, const char *series, double cells)
{
	const json_t *one = json_object_get(json_object_get(svg, "series"), series);

	ck_assert_msg(one != NULL, "no series '%s'", series);
	ck_assert_double_eq_tol(json_real_value(json_object_get(one, "width")) / CELL_PX, cells,
				0.02 + cells * 0.002); /* gnuplot rounds to 0.01 pixels */
}

/* What has a colour has a line in the legend. */
static void expect_whole_legend(const json_t *svg)
{
	const char *name;
	json_t *series, *text;
	size_t i;

	json_object_foreach (json_object_get(svg, "series"), name, series) {
		bool said = false;

		json_array_foreach (json_object_get(svg, "text"), i, text)
			said |= !strcmp(json_string_value(text), name);
		ck_assert_msg(said, "the legend has no '%s'", name);
	}
}

#define can_draw() can_draw_of(__func__)

static bool can_draw_of(const char *function)
{
	struct gmig_error err;

	if (!plot_check("the test", &err) && !system("python3 -c pass"))
		return true;
	return skip_case_of(function, "gnuplot or python3 is not installed");
}

START_TEST(picture_has_as_many_cells_as_the_guest_says)
{
	json_t *svg;

	if (!can_draw())
		return;
	script_two_vnodes();
	ck_assert_int_eq(gmig("show", "vm1", "--map", path, NULL), CLI_OK);
	ck_assert_int_eq(cli_number(fake.arguments, "step"), 2 * MIB);
	svg = svg_areas(TEST_SUPPORT, path);
	expect_cells(svg, "node 0: 4.5M", 2.25);
	expect_cells(svg, "node 3: 5.5M", 2.75);
	expect_cells(svg, "untouched: 2.5M", 1.25);
	expect_cells(svg, "swapped out: 512K", 0.25);
	expect_cells(svg, "4K pages (mark below): 1M", 0.5);
	expect_cells(svg, "must not move (mark above): 2M", 1);
	expect_cells(svg, "in a move or a sample (mark in the middle): 1M", 0.5);
	expect_cells(svg, "hot: 2M", 1);
	expect_cells(svg, "cold: 6M", 3);
	expect_whole_legend(svg);
	ck_assert_str_eq(cli_text(svg, "role"), "img");
	ck_assert_str_eq(cli_text(svg, "title"),
			 "Memory of vm1, pid 4711, on fake nodes (pretended)");
	ck_has(cli_text(svg, "desc"), "A cell is 2M (1 of 2M), a row 128M");
	ck_has(cli_text(svg, "desc"), " node 3: 5.5M.");
	ck_assert(json_is_true(json_object_get(svg, "dark")));
	json_decref(svg);
}
END_TEST

START_TEST(picture_of_12_tib_is_small_and_says_its_scale)
{
	json_t *maps = json_array(), *svg;
	struct stat status;

	if (!can_draw())
		return;
	fake.more =
	    json_pack("{s:[{s:i, s:I}]}", "vnodes", "id", 0, "bytes", (json_int_t)(12288 * GIB));
	for (uint64_t i = 0; i < 3072; i++) {
		json_t *run = run_of(i * 4 * GIB, 4 * GIB, 0, "{}");

		json_object_set_new(run, "pages", json_pack("{s:i}", i % 2 ? "1" : "0", 1 << 20));
		json_array_append_new(maps, run);
	}
	json_array_append_new(fake.maps, json_pack("{s:o}", "maps", maps));
	json_array_append_new(fake.maps, json_pack("{s:[]}", "heat"));
	ck_assert_int_eq(gmig("show", "vm1", "--map", path, NULL), CLI_OK);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_lt(status.st_size, 1 << 20);
	svg = svg_areas(TEST_SUPPORT, path);
	expect_cells(svg, "node 0: 6T", 1536);
	ck_has(cli_text(svg, "desc"), "A cell is 4G (2048 of 2M), a row 256G");
	ck_assert_double_lt(json_real_value(json_object_get(svg, "height")), 1000);
	json_decref(svg);
}
END_TEST

/* Nothing of it is a command of gnuplot's or the shell's, a tag, or an escape sequence. */
START_TEST(name_of_a_guest_is_text_in_a_picture)
{
	char made[300];
	json_t *svg;

	if (!can_draw())
		return;
	snprintf(made, sizeof(made), "a`touch %s/no`'\n</title><b>&\x1b[2J", fake.directory);
	fake.more = json_pack("{s:s}", "name", made);
	script_two_vnodes();
	ck_assert_int_eq(gmig("show", "vm1", "--map", path, NULL), CLI_OK);
	svg = svg_areas(TEST_SUPPORT, path);
	ck_has(cli_text(svg, "title"), "Memory of a`touch ");
	snprintf(made, sizeof(made), "%s/no", fake.directory);
	ck_assert_int_ne(access(made, F_OK), 0);
	json_decref(svg);
}
END_TEST

static size_t files_of_the_picture(void)
{
	DIR *directory = opendir(fake.directory);
	struct dirent *entry;
	size_t count = 0;

	while ((entry = readdir(directory)))
		count += !strncmp(entry->d_name, "map.", 4);
	closedir(directory);
	return count;
}

START_TEST(picture_that_fails_leaves_the_old_one)
{
	char text[8] = "";
	FILE *file = fopen(path, "w");

	fputs("old", file);
	fclose(file);
	if (!can_draw())
		return;
	ck_assert_int_eq(gmig("show", "vm1", "--map", path, NULL), CLI_FAILED);
	ck_has(err_text, "nothing is left to tell");
	setenv("PATH", "/nonexistent", 1);
	ck_assert_int_eq(gmig("show", "vm1", "--map", path, NULL), CLI_FAILED);
	ck_has(err_text, "show --map draws with gnuplot, which cannot be run here: install the "
			 "package gnuplot-nox");
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
	fclose(file);
	ck_assert_str_eq(text, "old");
	ck_assert_uint_eq(files_of_the_picture(), 1);
}
END_TEST

START_TEST(picture_replaces_the_old_one_and_no_device)
{
	char link[300], png[300];
	unsigned char magic[4];
	struct stat status;
	FILE *file;

	if (!can_draw())
		return;
	ck_assert_int_eq(gmig("show", "vm1", "--map", "/dev/null", NULL), CLI_FAILED);
	ck_has(err_text, "ends neither in .svg nor in .png");
	snprintf(link, sizeof(link), "%s/null.svg", fake.directory);
	ck_assert_int_eq(symlink("/dev/null", link), 0);
	ck_assert_int_eq(gmig("show", "vm1", "--map", link, NULL), CLI_FAILED);
	ck_has(err_text, "is no regular file");
	ck_assert_int_eq(stat("/dev/null", &status), 0);
	ck_assert(S_ISCHR(status.st_mode));
	/* A link to a picture stays one. */
	snprintf(link, sizeof(link), "%s/link.svg", fake.directory);
	ck_assert_int_eq(close(creat(path, 0600)), 0);
	ck_assert_int_eq(symlink(path, link), 0);
	script_two_vnodes();
	ck_assert_int_eq(gmig("show", "vm1", "--map", link, NULL), CLI_OK);
	ck_assert_int_eq(lstat(link, &status), 0);
	ck_assert(S_ISLNK(status.st_mode));
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_gt(status.st_size, 1000);
	snprintf(png, sizeof(png), "%s/map.png", fake.directory);
	script_two_vnodes();
	ck_assert_int_eq(gmig("show", "vm1", "--map", png, NULL), CLI_OK);
	file = fopen(png, "r");
	ck_assert_uint_eq(fread(magic, 1, 4, file), 4);
	fclose(file);
	ck_assert_int_eq(memcmp(magic, "\x89PNG", 4), 0);
}
END_TEST

/* It would be drawn where it does not lie. */
START_TEST(part_larger_than_a_cell_is_refused)
{
	json_t *maps = json_array();

	if (!can_draw())
		return;
	json_array_append_new(maps, run_of(MIB, 2 * MIB, 0, "{\"pages\":{\"0\":512}}"));
	json_array_append_new(fake.maps, json_pack("{s:o}", "maps", maps));
	ck_assert_int_eq(gmig("show", "vm1", "--map", path, NULL), CLI_FAILED);
	ck_has(err_text, "parts are larger than asked for");
}
END_TEST

START_TEST(picture_goes_to_standard_output)
{
	if (!can_draw())
		return;
	script_two_vnodes();
	ck_assert_int_eq(gmig("show", "vm1", "--map", "-", NULL), CLI_OK);
	ck_assert_int_eq(strncmp(out_text, "<?xml ", 6), 0);
	ck_has(out_text, "<svg role=\"img\"");
	ck_assert_int_eq(gmig("show", "vm1", "--map", "-", "--heat", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("show", "vm1", "--map", "-", "--json", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("show", "pid:1", "--map", "-", NULL), CLI_FAILED);
	ck_has(err_text, "numa_maps");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memory_map");
	TCase *tcase = tcase_create("map");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup_path, fake_teardown);
	tcase_add_test(tcase, picture_has_as_many_cells_as_the_guest_says);
	tcase_add_test(tcase, picture_of_12_tib_is_small_and_says_its_scale);
	tcase_add_test(tcase, name_of_a_guest_is_text_in_a_picture);
	tcase_add_test(tcase, picture_that_fails_leaves_the_old_one);
	tcase_add_test(tcase, picture_replaces_the_old_one_and_no_device);
	tcase_add_test(tcase, part_larger_than_a_cell_is_refused);
	tcase_add_test(tcase, picture_goes_to_standard_output);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
