/* What all commands of gmig have alike: exit codes, --quiet, --no-color, the progress line on a terminal. */
#include "fake_vmm.h"

#include "../../cli/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- Each command ---------------------------------------------------------------------------- */

/* What a command needs behind its name to be complete; NULL ends the words. */
static const struct {
	const char *words[6];
	bool of_guest; /* words[1] names one */
} complete[] = {
    {{"list"}, false},
    {{"show", "vm2"}, true},
    {{"migrate", "vm2", "--from=0", "--to=1"}, true},
    {{"follow", "vm2"}, true},
    {{"move", "vm2", "--gpa=0", "--to=1"}, true},
    {{"bind", "vm2", "--range=0+2M", "--policy=local"}, true},
    {{"balloon", "vm2", "max"}, true},
    {{"sample", "vm2", "on"}, true},
    {{"pin", "vm2", "--any"}, true},
    {{"jobs", "vm2"}, true},
    {{"cancel", "vm2", "1"}, true},
    {{"pause-job", "vm2", "1"}, true},
    {{"resume-job", "vm2", "1"}, true},
    {{"set-rate", "vm2", "1", "1G"}, true},
    {{"wait", "vm2"}, true},
    {{"plan"}, false},
    {{"rebalance", "--yes"}, false},
    {{"drain", "--node=0", "--dry-run"}, false},
    {{"stop", "vm2"}, true},
    {{"cont", "vm2"}, true},
    {{"powerdown", "vm2"}, true},
    {{"quit", "vm2"}, true},
    {{"check", "vm2"}, true},
    {{"retire", "vm2", "--gpa=0"}, true},
    {{"histogram", "vm2"}, true},
    {{"doctor"}, false},
    {{"agent", "vm2", "ping"}, true},
    {{"top"}, false},
    {{"help"}, false},
};
#define COMPLETE (int)(sizeof(complete) / sizeof(complete[0]))

#define RUN(...) gmig(complete[_i].words[0], __VA_ARGS__, NULL)

START_TEST(command_says_how_to_use_it_and_refuses_what_it_does_not_know)
{
	ck_assert_int_eq(RUN("--help"), CLI_OK);
	ck_has(out_text, "--no-color");
	ck_assert_str_eq(err_text, "");
	ck_assert_int_eq(RUN("--no-such-option"), CLI_USAGE);
	ck_has(err_text, "there is no option '--no-such-option'\ntry: gmig ");
	ck_assert_str_eq(out_text, "");
	ck_assert_int_eq(RUN("a", "b", "c", "d", "e"), CLI_USAGE);
	ck_assert_ptr_null(strstr(fake.log, " "));
}
END_TEST

START_TEST(command_about_an_absent_guest_is_1)
{
	const char *const *w = complete[_i].words;

	if (!complete[_i].of_guest)
		return;
	ck_assert_int_eq(gmig(w[0], w[1], w[2], w[3], w[4], NULL), CLI_FAILED);
	ck_has(err_text, "gmig: there is no socket '");
	ck_assert_int_eq(gmig(w[0], w[1], "--quiet", w[2], w[3], w[4], NULL), CLI_FAILED);
	ck_has(err_text, "gmig: there is no socket '");
	ck_assert_str_eq(out_text, "");
}
END_TEST

START_TEST(every_command_is_in_the_list)
{
	int count = 0;

	ck_assert_int_eq(gmig("--help", NULL), CLI_OK);
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		bool found = false;

		for (int i = 0; i < COMPLETE; i++)
			found |= !strcmp(complete[i].words[0], command->name);
		ck_assert_msg(found, "%s", command->name);
		count++;
	}
	ck_assert_int_eq(count, COMPLETE);
}
END_TEST

/* ---- Errors name the next step --------------------------------------------------------------- */

START_TEST(guest_that_is_not_there_is_looked_for_with_list)
{
	ck_assert_int_eq(gmig("jobs", "vm2", NULL), CLI_FAILED);
	ck_has(err_text, "'; gmig list tells what runs here\n");
	ck_assert_int_eq(
	    gmig("migrate", "--all", "--guest", "vm2", "--from", "0", "--to", "1", NULL),
	    CLI_FAILED);
	ck_has(err_text, "gmig list tells what runs here\n");
}
END_TEST

START_TEST(process_in_the_place_of_a_guest_is_told_apart)
{
	ck_assert_int_eq(gmig("show", "pid:1", NULL), CLI_FAILED);
	ck_has(err_text, "'pid:1' is a process, and no guest: gmig migrate and gmig move");
	ck_assert_int_eq(gmig("show", "qemu:///system/x", NULL), CLI_FAILED);
	ck_has(err_text, "; gmigd serves domains: systemctl status gmigd\n");
}
END_TEST

START_TEST(list_shows_a_guest_that_refuses_to_say_more_with_what_it_said)
{
	json_t *list;

	fake.refuse_numa = ENOMEM;
	ck_assert_int_eq(gmig("list", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "name   pid  state    guest  vnodes  memory\n"
				   "vm1   4711  running  probe       -       -\n"
				   "vm1: 0 KiB of memory are left\n");
	ck_assert_int_eq(gmig("list", "--json", NULL), CLI_OK);
	list = out_json();
	ck_assert_str_eq(cli_text(json_array_get(list, 0), "state"), "running");
	ck_assert_str_eq(cli_text(json_array_get(list, 0), "refused"), "0 KiB of memory are left");
	ck_assert(!json_object_get(json_array_get(list, 0), "bytes"));
	json_decref(list);
}
END_TEST

START_TEST(only_who_has_ended_is_called_gone)
{
	static const int not_known[] = {-ENOMEM, -EMFILE, -ENFILE, -EAGAIN, -EINTR, -EIO, -EINVAL};

	ck_assert_str_eq(cli_state_of(-EPIPE), "gone");
	ck_assert_str_eq(cli_state_of(-ENOENT), "gone");
	ck_assert_str_eq(cli_state_of(-ECONNREFUSED), "stale");
	ck_assert_str_eq(cli_state_of(-ETIMEDOUT), "silent");
	ck_assert_str_eq(cli_state_of(-EACCES), "no right");
	ck_assert_str_eq(cli_state_of(-EPERM), "no right");
	ck_assert_str_eq(cli_state_of(-EPROTO), "not understood");
	ck_assert_str_eq(cli_state_of(-EMSGSIZE), "not understood");
	for (size_t i = 0; i < sizeof(not_known) / sizeof(not_known[0]); i++)
		ck_assert_str_eq(cli_state_of(not_known[i]), "no answer");
}
END_TEST

START_TEST(socket_that_nobody_listens_at_is_called_stale)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/gmig/old.sock", fake.directory);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	ck_assert_int_eq(gmig("jobs", "old", NULL), CLI_FAILED);
	ck_has(err_text, "gmig list calls it stale; a new guest of that name takes its place\n");
}
END_TEST

START_TEST(job_that_is_not_there_is_looked_for_with_jobs)
{
	ck_assert_int_eq(gmig("wait", "vm1", "9", NULL), CLI_FAILED);
	ck_has(err_text, "there is no job 9 in vm1; gmig jobs vm1 lists them\n");
	ck_assert_int_eq(gmig("cancel", "vm1", "9", NULL), CLI_FAILED);
	ck_has(err_text, "; gmig jobs vm1 lists them\n");
}
END_TEST

/* ---- Quiet ----------------------------------------------------------------------------------- */

START_TEST(quiet_prints_nothing_but_errors)
{
	fake.last = fake_job("completed", 1 << 30, 0);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--quiet", NULL),
			 CLI_OK);
	ck_assert_str_eq(out_text, "");
	ck_assert_str_eq(err_text, "");
	ck_assert_int_eq(gmig("show", "vm1", "--quiet", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "");
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_assert_str_ne(out_text, "");
}
END_TEST

START_TEST(quiet_leaves_json_alone)
{
	json_t *result;

	ck_assert_int_eq(gmig("jobs", "vm1", "--quiet", "--json", NULL), CLI_OK);
	result = out_json();
	ck_assert_uint_eq(json_array_size(result), 1);
	json_decref(result);
}
END_TEST

START_TEST(what_is_drawn_or_asked_cannot_be_quiet)
{
	ck_assert_int_eq(gmig("top", "--quiet", NULL), CLI_USAGE);
	ck_has(err_text, "there is no option '--quiet'");
	ck_assert_int_eq(gmig("drain", "--node", "1", "--quiet", NULL), CLI_USAGE);
	ck_has(err_text, "nobody can be asked with --quiet: --yes goes on");
}
END_TEST

START_TEST(no_color_changes_nothing_where_there_is_none)
{
	char plain[sizeof(out_text)];

	ck_assert_int_eq(gmig("jobs", "vm1", NULL), CLI_OK);
	strcpy(plain, out_text);
	ck_assert_int_eq(gmig("jobs", "vm1", "--no-color", NULL), CLI_OK);
	ck_assert_str_eq(out_text, plain);
	ck_assert_int_eq(gmig("jobs", "vm1", "--no-color=x", NULL), CLI_USAGE);
}
END_TEST

/* ---- The progress line ------------------------------------------------------------------------ */

static int terminal, saved;

/* stderr is a terminal of so many columns. */
static void open_terminal(unsigned short columns)
{
	struct winsize size = {.ws_row = 24, .ws_col = columns};
	int line;

	ck_assert_int_eq(openpty(&terminal, &line, NULL, NULL, &size), 0);
	ck_assert_int_eq(fcntl(terminal, F_SETFL, O_NONBLOCK), 0);
	saved = dup(STDERR_FILENO);
	dup2(line, STDERR_FILENO);
	close(line);
	setenv("TERM", "xterm", 1);
	cli_progress_reset();
}

static void close_terminal(void)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(terminal);
}

/* What has been drawn since the last call; "" for nothing. */
static const char *drawn(void)
{
	static char text[1024];
	ssize_t got = read(terminal, text, sizeof(text) - 1);

	text[got > 0 ? got : 0] = '\0';
	return text;
}

/* Columns that a line takes: without "\r" before and "\33[K" behind it. */
static size_t width_drawn(void)
{
	const char *text = drawn();

	ck_assert_int_eq(text[0], '\r');
	ck_assert_ptr_nonnull(strstr(text, "\033[K"));
	return strlen(text) - 1 - 3;
}

START_TEST(progress_line_follows_the_width_of_the_terminal)
{
	const unsigned short widths[] = {80, 40, 1, 2, 200, 80};
	json_t *job = fake_job("running", 1 << 29, 0);

	open_terminal(80);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct winsize size = {.ws_row = 24, .ws_col = widths[i]};

		ck_assert_int_eq(ioctl(terminal, TIOCSWINSZ, &size), 0);
		cli_progress_show(job);
		ck_assert_uint_lt(width_drawn(), widths[i]);
	}
	close_terminal();
	json_decref(job);
}
END_TEST

START_TEST(progress_line_is_not_drawn_where_nobody_wants_it)
{
	json_t *job = fake_job("running", 1 << 29, 0);

	open_terminal(80);
	cli_progress_show(job);
	ck_assert_str_ne(drawn(), "");
	setenv("TERM", "dumb", 1);
	cli_progress_show(job);
	cli_progress_clear();
	ck_assert_str_eq(drawn(), "");
	setenv("TERM", "xterm", 1);
	cli_progress_off();
	cli_progress_show(job);
	cli_progress_text("x");
	cli_progress_clear();
	ck_assert_str_eq(drawn(), "");
	close_terminal();
	cli_progress_reset();
	cli_progress_show(job); /* no terminal any more */
	json_decref(job);
}
END_TEST

START_TEST(progress_line_tells_what_remains_and_why)
{
	json_t *job = fake_job("running", 1 << 29, 0);
	char line[256];

	json_object_set_new(job, "remaining",
			    json_pack("{s:i, s:i, s:i}", "EBUSY", 512, "EACCES", 3, "EIO", 1));
	cli_progress_line(job, 200, line, sizeof(line));
	ck_has(line, "stall 200 us  remain 512 EBUSY, 3 EACCES, ..");
	json_object_set_new(job, "mover", json_string("kernel"));
	json_object_set_new(job, "state", json_string("paused"));
	cli_progress_line(job, 200, line, sizeof(line));
	ck_has(line, "ETA 0:00  remain 512 EBUSY, 3 EACCES, ..  paused");
	/* The bar gives room to what is known. */
	cli_progress_line(job, 80, line, sizeof(line));
	ck_has(line, "remain 512 EBUSY");
	ck_assert_uint_lt(strlen(line), 80);
	json_decref(job);
}
END_TEST

START_TEST(progress_line_counts_what_needs_nothing_any_more_as_done)
{
	json_t *job = fake_job("running", 1 << 28, 0);
	char line[256];

	json_object_set_new(job, "gone_bytes", json_integer(1 << 28));
	json_object_set_new(job, "moved_by_others_bytes", json_integer(1 << 28));
	cli_progress_line(job, 200, line, sizeof(line));
	ck_has(line, "[##################......] 256M of 1G");
	json_decref(job);
}
END_TEST

START_TEST(progress_line_makes_texts_of_others_safe)
{
	json_t *job = json_pack("{s:s, s:{s:i}}", "state", "\033[2J\n\xc2\x9b", "remaining",
				"\033[2JEVIL_AND_LONG", 7);
	char line[256];

	cli_progress_line(job, 200, line, sizeof(line));
	for (const char *at = line; *at; at++)
		ck_assert_msg((unsigned char)*at >= ' ' && *at != 0x7f, "%s", line);
	json_decref(job);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_habits");
	TCase *tcase = fake_case(suite, "habits");

	tcase_add_loop_test(tcase, command_says_how_to_use_it_and_refuses_what_it_does_not_know, 0,
			    COMPLETE);
	tcase_add_loop_test(tcase, command_about_an_absent_guest_is_1, 0, COMPLETE);
	tcase_add_test(tcase, every_command_is_in_the_list);
	tcase_add_test(tcase, guest_that_is_not_there_is_looked_for_with_list);
	tcase_add_test(tcase, process_in_the_place_of_a_guest_is_told_apart);
	tcase_add_test(tcase, socket_that_nobody_listens_at_is_called_stale);
	tcase_add_test(tcase, list_shows_a_guest_that_refuses_to_say_more_with_what_it_said);
	tcase_add_test(tcase, only_who_has_ended_is_called_gone);
	tcase_add_test(tcase, job_that_is_not_there_is_looked_for_with_jobs);
	tcase_add_test(tcase, quiet_prints_nothing_but_errors);
	tcase_add_test(tcase, quiet_leaves_json_alone);
	tcase_add_test(tcase, what_is_drawn_or_asked_cannot_be_quiet);
	tcase_add_test(tcase, no_color_changes_nothing_where_there_is_none);
	tcase_add_test(tcase, progress_line_follows_the_width_of_the_terminal);
	tcase_add_test(tcase, progress_line_is_not_drawn_where_nobody_wants_it);
	tcase_add_test(tcase, progress_line_tells_what_remains_and_why);
	tcase_add_test(tcase, progress_line_counts_what_needs_nothing_any_more_as_done);
	tcase_add_test(tcase, progress_line_makes_texts_of_others_safe);
	return run_suite(suite);
}
