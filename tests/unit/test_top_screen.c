/*
 * gmig top as it is used: what keys do, that nothing happens unasked, and the program itself on a pseudo-terminal, whose screen is
 * looked at as a person would.
 */
#include "fake_vmm.h"
#include "suite.h"

#include "../../cli/top_keys.h"
#include "../../cli/top_pages.h"

#include <poll.h>
#include <pty.h>
#include <sys/wait.h>

/* ---- Keys, without a terminal ---------------------------------------------------------------- */

static struct top_model model;
static struct top_screen screen;

#define GUEST                                                                                      \
	"{\"state\":\"running\",\"migration\":\"on\",\"fake_nodes\":0,\"page_bytes\":{\"2M\":"     \
	"4194304,"                                                                                 \
	"\"4K\":4096},\"vnodes\":[{\"id\":0,\"bytes\":8388608,\"resident\":{\"0\":4194304,"        \
	"\"1\":4096},\"swapped_bytes\":0},{\"id\":5,\"bytes\":4096,\"resident\":{}}],\"jobs\":[%"  \
	"s]}"

static struct top_guest *add(const char *name, const char *job)
{
	struct top_guest *guest = top_model_add(&model, name, name);
	char text[1024];
	json_t *json;

	snprintf(text, sizeof(text), GUEST, job);
	json = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(json);
	top_guest_renew(&model, guest, 4711);
	top_guest_take(&model, guest, json, 1);
	ck_assert_int_eq(top_model_refresh(&model), 0);
	top_guest_take(&model, guest, json, 2);
	json_decref(json);
	return guest;
}

static void setup(void)
{
	ck_assert_int_eq(top_model_init(&model, "/nonexistent"), 0);
	top_screen_init(&screen, TOP_BY_NAME);
}

static void teardown(void)
{
	top_screen_free(&screen);
	top_model_free(&model);
}

static void keys(const char *text)
{
	for (; *text; text++)
		top_screen_key(&screen, &model, *text == '\n' ? TOP_ENTER : *text);
}

START_TEST(key_of_a_job_asks_first)
{
	add("vm1", "{\"id\":\"7\",\"state\":\"running\"}");
	keys("c");
	ck_assert_str_eq(screen.line, "cancel job 7 of vm1, pid 4711? y/n");
	ck_assert(!screen.go);
	keys("n");
	ck_assert_str_eq(screen.line, "nothing was done");
	keys("y"); /* to nothing */
	ck_assert(!screen.go);
	keys("cy");
	ck_assert(screen.go);
	ck_assert_str_eq(screen.command, "job-cancel");
	ck_assert_str_eq(cli_text(screen.arguments, "id"), "7");
	ck_assert_uint_eq(screen.about, model.guests[0]->serial);
}
END_TEST

START_TEST(key_pauses_what_runs_and_resumes_what_is_paused)
{
	add("vm1", "{\"id\":\"7\",\"state\":\"paused\"}");
	keys("p");
	ck_assert_str_eq(screen.line, "resume job 7 of vm1, pid 4711? y/n");
	keys("y");
	ck_assert_str_eq(screen.command, "job-resume");
	top_screen_free(&screen);
	top_model_remove(&model, model.guests[0]);
	add("vm1", "{\"id\":\"8\",\"state\":\"completed\"}");
	top_screen_init(&screen, TOP_BY_NAME);
	keys("p");
	ck_assert_str_eq(screen.line, "no job is under way there");
	keys("y");
	ck_assert(!screen.go);
}
END_TEST

START_TEST(key_of_a_move_asks_where_to_and_then_again)
{
	add("vm1", "");
	keys("mx1\n"); /* only numbers are taken */
	ck_assert_str_eq(screen.line, "move memory of vm1, pid 4711: 0 to 1? y/n");
	ck_assert(!screen.go);
	keys("y");
	ck_assert(screen.go);
	ck_assert_str_eq(screen.command, "migrate-pages");
	ck_assert_int_eq(
	    json_integer_value(json_array_get(json_object_get(screen.arguments, "to"), 0)), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(screen.arguments, "from")), 1);
	screen.go = false;
	top_screen_free(&screen);
	keys("m0-1\n");
	ck_assert_str_eq(screen.line, "all of its memory is there");
	keys("m1-\n");
	ck_assert_int_eq(screen.asks, TOP_ASKS_NOTHING);
	keys("m12");
	top_screen_key(&screen, &model, TOP_BACK);
	ck_assert_str_eq(screen.typed, "1");
	keys("\x1b");
	ck_assert_str_eq(screen.line, "nothing was done");
	ck_assert(!screen.go);
}
END_TEST

/* While the question is open the guest ends, and another one has its name: the answer is to nobody. */
START_TEST(question_ends_with_its_guest)
{
	struct top_guest *guest = add("vm1", "{\"id\":\"7\",\"state\":\"running\"}");

	keys("c");
	top_guest_renew(&model, guest, 4712);
	add("vm2", "{\"id\":\"7\",\"state\":\"running\"}");
	keys("y");
	ck_assert(!screen.go);
	ck_assert_ptr_null(screen.arguments);
	keys("jm");
	top_model_remove(&model, top_model_find(&model, screen.about));
	top_screen_refresh(&screen, &model);
	ck_assert_str_eq(screen.line, "the guest has ended: nothing was done");
	keys("1\n");
	ck_assert_int_eq(screen.asks, TOP_ASKS_NOTHING);
}
END_TEST

START_TEST(keys_go_down_to_ranges_and_back)
{
	struct top_guest *a = add("a", "");

	add("b", "");
	top_screen_refresh(&screen, &model);
	ck_assert_uint_eq(screen.view.chosen, a->serial);
	keys("j\n");
	ck_assert_int_eq(screen.place, TOP_ONE);
	ck_assert_uint_eq(screen.view.chosen, model.guests[1]->serial);
	keys("jjj\n");
	ck_assert_int_eq(screen.place, TOP_RANGES);
	ck_assert_uint_eq(screen.vnode, 5);
	keys("\x1b");
	ck_assert_int_eq(screen.place, TOP_ONE);
	top_model_remove(&model, model.guests[1]);
	top_screen_refresh(&screen, &model);
	ck_assert_int_eq(screen.place, TOP_ALL);
	ck_assert_uint_eq(screen.view.chosen, a->serial);
	keys("ss");
	ck_assert_int_eq(screen.view.sort, TOP_BY_MEMORY);
	keys("?q");
	ck_assert(screen.quit);
}
END_TEST

static char drawn[65536];

static const char *draw(int width, int height)
{
	struct top_page page;
	FILE *out;

	memset(drawn, 0, sizeof(drawn));
	ck_assert_int_eq(top_page_init(&page, width, height), 0);
	top_screen_draw(&screen, &model, &page);
	out = fmemopen(drawn, sizeof(drawn) - 1, "w");
	top_page_write(&page, height, out);
	fclose(out);
	top_page_free(&page);
	return drawn;
}

START_TEST(pages_of_a_guest_show_every_kind_of_memory)
{
	struct top_guest *guest =
	    add("vm1", "{\"id\":\"7\",\"state\":\"failed\",\"error\":\"no room\"}");
	json_t *heat = json_loads("[{\"gpa\":0,\"bytes\":8388608,\"hot\":8388608}]", 0, NULL);

	guest->maps = json_loads(
	    "[{\"gpa\":0,\"bytes\":8388608,\"vnode\":0,\"pages\":{\"0\":1024,\"1\":1},\"huge\":"
	    "1024,"
	    "\"small\":1,\"swapped\":262144,\"untouched\":1023,\"fixed\":524288,\"moving\":0,"
	    "\"misplaced\":0},{\"gpa\":8388608,\"bytes\":4096,\"vnode\":5}]",
	    0, NULL);
	ck_assert_ptr_nonnull(guest->maps);
	top_guest_take_heat(guest, heat, NULL);
	json_decref(heat);
	keys("\n");
	draw(100, 24);
	ck_has(drawn, "vm1, pid 4711, running: no room\n");
	ck_has(drawn, "GiB: memory 0.01, huge pages 0.00, 4K pages 0.00, hugetlb 0\n"
		      "swapped 0, untouched 0.00\n"
		      "must not move 2.00, on its way 0, not where its policy wants it 0\n");
	ck_has(drawn, "heat 9999999999999999");
	ck_has(drawn, "job 7 failed: 0 moved, 0 remain; no room\n");
	keys("\n");
	draw(100, 24);
	ck_has(drawn, "vm1, vnode 0: 1 range\n");
	ck_has(
	    drawn,
	    "\n000000000    0.01    0.00    0.00    1.00    0.00    2.00    0.00    0.00 9999\n");
	for (int width = 1; width < 120; width += 7)
		for (int height = 1; height < 9; height++)
			draw(width, height);
}
END_TEST

/* The cursor is always seen, and so are the newest jobs; nodes are scrolled to. */
START_TEST(page_of_a_guest_scrolls_over_vnodes_and_nodes)
{
	json_t *vnodes = json_array(), *all;
	struct top_guest *guest = add("vm1", "");

	for (int i = 0; i < 64; i++) {
		char node[16];

		snprintf(node, sizeof(node), "%d", i);
		json_array_append_new(vnodes, json_pack("{s:i, s:I, s:{s:I}}", "id", i, "bytes",
							(json_int_t)1 << 32, "resident", node,
							(json_int_t)1 << 31));
	}
	all = json_pack("{s:s, s:o, s:[{s:s, s:s}]}", "state", "running", "vnodes", vnodes, "jobs",
			"id", "7", "state", "running");
	top_guest_take(&model, guest, all, 3);
	json_decref(all);
	ck_assert_int_eq(top_model_refresh(&model), 0);
	keys("\n");
	draw(80, 24);
	ck_has(drawn, "SWAPPED      N0 ");
	ck_has(drawn, "\njob 7 running");
	for (int i = 0; i < 70; i++) {
		keys("j");
		top_screen_key(&screen, &model, TOP_RIGHT);
	}
	draw(80, 24);
	ck_has(drawn,
	       "\n63         4.00       0       0       0       0       0       0       0    "
	       "2.00\n");
	ck_has(drawn, "     N63\n");
	ck_has(drawn, "\njob 7 running");
}
END_TEST

/* ---- On a pseudo-terminal -------------------------------------------------------------------- */

#define WIDTH  100
#define HEIGHT 24

static struct terminal {
	int fd;
	pid_t child;
	char text[HEIGHT][WIDTH + 1]; /* what is on the screen */
	int x, y;
	bool colours;
	char escape[64];
	size_t escape_length;
} terminal;

static void clear_to(int from_y, int from_x, int to_y, int to_x)
{
	for (int y = from_y; y <= to_y; y++)
		for (int x = y == from_y ? from_x : 0; x < (y == to_y ? to_x : WIDTH); x++)
			terminal.text[y][x] = ' ';
}

static void move_to(int y, int x)
{
	terminal.y = y < 0 ? 0 : y >= HEIGHT ? HEIGHT - 1 : y;
	terminal.x = x < 0 ? 0 : x >= WIDTH ? WIDTH - 1 : x;
}

static void shift(int by)
{
	char *at = &terminal.text[terminal.y][terminal.x];
	size_t rest = (size_t)(WIDTH - terminal.x), count = (size_t)abs(by);

	count = count < rest ? count : rest;
	if (by > 0) {
		memmove(at + count, at, rest - count);
		memset(at, ' ', count);
	} else {
		memmove(at, at + count, rest - count);
		memset(at + rest - count, ' ', count);
	}
}

/* "ESC [ a ; b FINAL": what ncurses uses of xterm. */
static void control(char final)
{
	const char *text = terminal.escape + 2;
	int a = atoi(text), b = strchr(text, ';') ? atoi(strchr(text, ';') + 1) : 0;
	int count = a ? a : 1, y = terminal.y, x = terminal.x;

	if (*text == '?' || *text == '>' || *text == '!')
		return;
	if (final == 'H')
		move_to(a - 1, b - 1);
	else if (final == 'J')
		clear_to(a == 2 ? 0 : y, a == 2 ? 0 : x, HEIGHT - 1, WIDTH);
	else if (final == 'K')
		clear_to(y, a ? 0 : x, y, a == 1 ? x + 1 : WIDTH);
	else if (final == 'A' || final == 'B')
		move_to(y + (final == 'A' ? -count : count), x);
	else if (final == 'C' || final == 'D')
		move_to(y, x + (final == 'D' ? -count : count));
	else if (final == 'd')
		move_to(a - 1, x);
	else if (final == 'G')
		move_to(y, a - 1);
	else if (final == 'X')
		clear_to(y, x, y, x + count);
	else if (final == '@' || final == 'P')
		shift(final == '@' ? count : -count);
	else if (final == 'm' && strstr(text, "3") && !strchr(text, ';') && a != 39)
		terminal.colours |= a >= 30 && a <= 37;
	else if (final == 'm' && strstr(text, ";3"))
		terminal.colours = true;
	else if (final == 'b') /* the last character again */
		for (int i = 0; i < count && terminal.x < WIDTH && terminal.x; i++, terminal.x++)
			terminal.text[y][terminal.x] = terminal.text[y][terminal.x - 1];
}

static void put(char byte)
{
	if (terminal.escape_length) {
		bool is_control = terminal.escape[1] == '[' || byte == '[';

		if (terminal.escape_length < sizeof(terminal.escape) - 1)
			terminal.escape[terminal.escape_length++] = byte;
		terminal.escape[terminal.escape_length] = '\0';
		if (terminal.escape_length == 2 && (is_control || byte == '(' || byte == ')'))
			return;
		if (is_control && byte < '@')
			return;
		if (is_control)
			control(byte);
		terminal.escape_length = 0;
		terminal.escape[1] = '\0';
	} else if (byte == 27) {
		terminal.escape[terminal.escape_length++] = byte;
	} else if (byte == '\r') {
		terminal.x = 0;
	} else if (byte == '\t') {
		move_to(terminal.y, terminal.x / 8 * 8 + 8);
	} else if (byte == '\n') {
		move_to(terminal.y + 1, terminal.x);
	} else if (byte == '\b') {
		move_to(terminal.y, terminal.x - 1);
	} else if ((unsigned char)byte >= ' ' && terminal.x < WIDTH) {
		terminal.text[terminal.y][terminal.x++] = byte;
	}
}

static bool on_screen(const char *text)
{
	for (int y = 0; y < HEIGHT; y++)
		if (strstr(terminal.text[y], text))
			return true;
	return false;
}

/* Take output until the text is on the screen, or NULL: until the program has ended. */
static void expect(const char *text)
{
	for (int i = 0; i < 3000 && !(text && on_screen(text)); i++) {
		struct pollfd poller = {.fd = terminal.fd, .events = POLLIN};
		char bytes[4096];
		ssize_t count;

		if (poll(&poller, 1, 10) <= 0)
			continue;
		count = read(terminal.fd, bytes, sizeof(bytes));
		if (count <= 0) {
			ck_assert_msg(!text, "it has ended before '%s'", text);
			return;
		}
		for (ssize_t j = 0; j < count; j++)
			put(bytes[j]);
	}
	ck_assert_msg(text && on_screen(text), "no '%s' on the screen; its first row: %s", text,
		      terminal.text[0]);
}

static void press(const char *text)
{
	ck_assert_int_eq(write(terminal.fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int exit_status(void)
{
	int status = -1;

	expect(NULL);
	ck_assert_int_eq(waitpid(terminal.child, &status, 0), terminal.child);
	close(terminal.fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Run gmig top there. False: there are no pseudo-terminals here. */
#define start(term, option, width) start_of(__func__, term, option, width)

static bool start_of(const char *function, const char *term, const char *option, int width)
{
	struct winsize size = {.ws_row = HEIGHT, .ws_col = (unsigned short)width};
	char program[] = "gmig", command[] = "top";
	char *arguments[] = {program, command, (char *)option, NULL};

	memset(&terminal, 0, sizeof(terminal));
	clear_to(0, 0, HEIGHT - 1, WIDTH);
	await_rest();
	terminal.child = forkpty(&terminal.fd, NULL, NULL, &size);
	if (terminal.child < 0)
		return skip_case_of(function, "there are no pseudo-terminals here");
	if (!terminal.child) {
		setenv("TERM", term, 1);
		unsetenv("NO_COLOR");
		unsetenv("LINES");
		unsetenv("COLUMNS");
		_exit(cli_main(option ? 3 : 2, arguments));
	}
	return true;
}

/* What this thread has written the fake's thread sees from here on, and the other way round: gmig runs in another process. */
static void meet_fake(void)
{
	ck_assert_int_eq(gmig("list", NULL), CLI_OK);
}

START_TEST(terminal_shows_guests_and_keys_lead_on)
{
	fake.more = json_pack("{s:[o]}", "jobs", fake_job("running", 1 << 29, 1 << 29));
	meet_fake();
	if (!start("xterm", NULL, WIDTH))
		return;
	expect("gmig top: 1 guest");
	expect("vm1  ");
	expect("q quit");
	ck_assert(terminal.colours);
	press("\r");
	expect("vm1, pid ");
	expect("VNODE");
	press("\r");
	expect("vnode 0:");
	press("\x7f");
	expect("VNODE");
	press("\x7f");
	expect("gmig top:");
	press("c");
	expect("cancel job 1 of vm1, pid");
	press("n");
	expect("nothing was done");
	press("p");
	expect("pause job 1 of vm1, pid");
	press("y");
	expect("job-pause: job 1 is");
	press("q");
	ck_assert_int_eq(exit_status(), CLI_OK);
	meet_fake();
	ck_has(fake.log, "job-pause");
	ck_assert_ptr_null(strstr(fake.log, "job-cancel"));
}
END_TEST

START_TEST(terminal_that_is_resized_is_drawn_anew)
{
	struct winsize size = {.ws_row = 12, .ws_col = 50};

	if (!start("xterm", "--no-color", WIDTH))
		return;
	expect(" WHY");
	clear_to(0, 0, HEIGHT - 1, WIDTH);
	ck_assert_int_eq(ioctl(terminal.fd, TIOCSWINSZ, &size), 0);
	expect("gmig top:");
	expect("NAME");
	for (int y = 0; y < HEIGHT; y++)
		for (int x = 50; x < WIDTH; x++)
			ck_assert_msg(terminal.text[y][x] == ' ' &&
					  (y < 12 || terminal.text[y][0] == ' '),
				      "outside: %s", terminal.text[y]);
	ck_assert(!terminal.colours);
	press("\x03"); /* Ctrl-C */
	ck_assert_int_eq(exit_status(), CLI_OK);
}
END_TEST

START_TEST(terminal_without_colours_has_all_of_it)
{
	if (!start("vt100", NULL, 80))
		return;
	expect("gmig top: 1 guest");
	expect("vm1  ");
	ck_assert(!terminal.colours);
	press("q");
	ck_assert_int_eq(exit_status(), CLI_OK);
}
END_TEST

START_TEST(terminal_that_cannot_do_it_is_refused)
{
	if (!start("dumb", NULL, 80))
		return;
	expect("has no cursor to be moved");
	ck_assert_int_eq(exit_status(), CLI_FAILED);
	ck_assert_int_eq(gmig("top", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: this is no terminal: use --once or --json\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("top_screen");
	TCase *tcase = tcase_create("keys"), *pty = fake_case(suite, "terminal");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, key_of_a_job_asks_first);
	tcase_add_test(tcase, key_pauses_what_runs_and_resumes_what_is_paused);
	tcase_add_test(tcase, key_of_a_move_asks_where_to_and_then_again);
	tcase_add_test(tcase, question_ends_with_its_guest);
	tcase_add_test(tcase, keys_go_down_to_ranges_and_back);
	tcase_add_test(tcase, pages_of_a_guest_show_every_kind_of_memory);
	tcase_add_test(tcase, page_of_a_guest_scrolls_over_vnodes_and_nodes);
	suite_add_tcase(suite, tcase);
	tcase_add_test(pty, terminal_shows_guests_and_keys_lead_on);
	tcase_add_test(pty, terminal_that_is_resized_is_drawn_anew);
	tcase_add_test(pty, terminal_without_colours_has_all_of_it);
	tcase_add_test(pty, terminal_that_cannot_do_it_is_refused);
	return run_suite(suite);
}
