/* The log's sink: who waits for stderr, what is lost, and how much a guest can write. */
#include "suite.h"

#include "../../vmm/log.h"
#include "../../vmm/vmm.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONG_MS 50000 /* the log's thread may have to wait for a processor */

static int reader; /* of what this (forked) test writes to stderr */

static void setup(void)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	close(ends[1]);
	reader = ends[0];
}

static void teardown(void)
{
	close(reader);
}

/* Fill the pipe, so that a write to it would wait for ever. */
static size_t fill_pipe(void)
{
	int flags = fcntl(STDERR_FILENO, F_GETFL);
	size_t bytes = 0;

	fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
	while (write(STDERR_FILENO, "x", 1) == 1)
		bytes++;
	fcntl(STDERR_FILENO, F_SETFL, flags);
	return bytes;
}

static void drain(size_t bytes)
{
	char data[4096];

	while (bytes) {
		ssize_t got = read(reader, data, bytes < sizeof(data) ? bytes : sizeof(data));

		ck_assert_int_gt(got, 0);
		bytes -= (size_t)got;
	}
}

/* Lines from the pipe until the one that starts so, which is returned. *others: how many before. */
static const char *read_until(const char *start, unsigned int *others)
{
	static char line[1024];
	FILE *file = fdopen(dup(reader), "r");

	setvbuf(file, NULL, _IONBF, 0);
	for (*others = 0;; ++*others) {
		ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
		if (!strncmp(line, start, strlen(start)))
			break;
	}
	fclose(file);
	return line;
}

START_TEST(line_without_thread_is_written_at_once)
{
	unsigned int others;

	vmm_log(GMIG_LOG_WARNING, "a=%d", 7);
	ck_assert_str_eq(read_until("gmig-vmm: warning ", &others), "gmig-vmm: warning a=7\n");
	ck_assert(log_flush(0));
}
END_TEST

START_TEST(full_stderr_holds_nobody_and_losses_are_counted)
{
	size_t filler = fill_pipe();
	unsigned int written;
	const char *line;

	ck_assert_int_eq(log_start(), 0);
	for (unsigned int i = 0; i < 10000; i++)
		vmm_log(GMIG_LOG_INFO, "n=%u", i); /* the test's time limit says whether it waits */
	ck_assert(!log_flush(10));
	drain(filler);
	line = read_until("gmig-vmm: warning log lost=", &written);
	ck_assert_uint_ge(written, 100);
	ck_assert_uint_eq(written + strtoul(strchr(line, '=') + 1, NULL, 10), 10000);
	ck_assert(log_flush(LONG_MS));
}
END_TEST

START_TEST(order_is_kept_and_flush_waits_for_the_last)
{
	unsigned int others;
	char last[64];

	ck_assert_int_eq(log_start(), 0);
	for (unsigned int i = 0; i < 100; i++)
		vmm_log(GMIG_LOG_INFO, "n=%u", i);
	ck_assert(log_flush(LONG_MS));
	snprintf(last, sizeof(last), "gmig-vmm: info n=99\n");
	ck_assert_str_eq(read_until(last, &others), last);
	ck_assert_uint_eq(others, 99);
}
END_TEST

START_TEST(closed_stderr_holds_nobody)
{
	close(STDERR_FILENO);
	ck_assert_int_eq(log_start(), 0);
	for (unsigned int i = 0; i < 1000; i++)
		vmm_log(GMIG_LOG_INFO, "n=%u", i);
	ck_assert(log_flush(LONG_MS));
}
END_TEST

START_TEST(text_cannot_forge_a_line)
{
	char huge[2000];
	unsigned int others;
	const char *line;

	memset(huge, 'h', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	vmm_log(GMIG_LOG_INFO, "name=a\ngmig-vmm: error forged\033[2J");
	ck_assert_str_eq(read_until("gmig-vmm: info", &others),
			 "gmig-vmm: info name=a?gmig-vmm: error forged?[2J\n");
	vmm_log_guest(GMIG_LOG_INFO, "%s", huge);
	line = read_until("gmig-vmm: info h", &others);
	ck_assert_uint_lt(strlen(line), 512);
	ck_assert_int_eq(line[strlen(line) - 1], '\n');
}
END_TEST

/* A guest that reboots, or breaks a queue, as often as it can. */
START_TEST(guest_writes_ten_lines_of_a_kind_and_no_more)
{
	unsigned int others;

	for (unsigned int i = 0; i < 10000; i++)
		vmm_log_guest(GMIG_LOG_INFO, "reset reason=\"%u\"", i);
	vmm_log(GMIG_LOG_INFO, "end");
	read_until("gmig-vmm: info end", &others);
	ck_assert_uint_eq(others, LOG_BUDGET_LINES);
}
END_TEST

/* ---- Budgets, with a clock of their own ------------------------------------------------------- */

START_TEST(budget_fills_again_and_tells_what_was_held)
{
	static struct log_budgets budgets;
	const uint64_t start = 1ull << 40;
	unsigned long held;

	for (unsigned int i = 0; i < 1000; i++)
		ck_assert_int_eq(log_budgets_take(&budgets, 5, start, &held), i < LOG_BUDGET_LINES);
	ck_assert(!log_budgets_take(&budgets, 5, start + LOG_BUDGET_LINE_NS - 1, &held));
	ck_assert(log_budgets_take(&budgets, 5, start + LOG_BUDGET_LINE_NS, &held));
	ck_assert_uint_eq(held, 1000 - LOG_BUDGET_LINES + 1);
	ck_assert(!log_budgets_take(&budgets, 5, start + LOG_BUDGET_LINE_NS, &held));
	/* An hour later all is as at first. */
	for (unsigned int i = 0; i <= LOG_BUDGET_LINES; i++)
		ck_assert_int_eq(log_budgets_take(&budgets, 5, start + 3600000000000ull, &held),
				 i < LOG_BUDGET_LINES);
}
END_TEST

START_TEST(kinds_and_devices_have_budgets_of_their_own)
{
	static struct log_budgets budgets;
	unsigned long held;
	uint64_t keys[3] = {log_budget_key("%s broken", "device=net broken"),
			    log_budget_key("%s broken", "device=blk broken"),
			    log_budget_key("%s failed", "device=net failed")};

	ck_assert_uint_eq(keys[0], log_budget_key("%s broken", "device=net broken for long"));
	for (unsigned int i = 0; i < 100; i++)
		log_budgets_take(&budgets, keys[0], 1, &held);
	ck_assert(!log_budgets_take(&budgets, keys[0], 1, &held));
	ck_assert(log_budgets_take(&budgets, keys[1], 1, &held));
	ck_assert(log_budgets_take(&budgets, keys[2], 1, &held));
}
END_TEST

START_TEST(more_kinds_than_budgets_are_bounded_together)
{
	static struct log_budgets budgets;
	unsigned int lines = 0;
	unsigned long held;

	for (uint64_t key = 1; key <= 100000; key++)
		lines += log_budgets_take(&budgets, key, 1, &held);
	ck_assert_uint_le(lines, LOG_BUDGET_MAX - 1 + LOG_BUDGET_LINES);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    line_without_thread_is_written_at_once,
	    full_stderr_holds_nobody_and_losses_are_counted,
	    order_is_kept_and_flush_waits_for_the_last,
	    closed_stderr_holds_nobody,
	    text_cannot_forge_a_line,
	    guest_writes_ten_lines_of_a_kind_and_no_more,
	    budget_fills_again_and_tells_what_was_held,
	    kinds_and_devices_have_budgets_of_their_own,
	    more_kinds_than_budgets_are_bounded_together,
	};

	return run_tests("log", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
