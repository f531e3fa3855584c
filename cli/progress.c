/* The progress bar: one line on stderr, drawn over itself, and only on a terminal. */
#include "progress.h"
#include "../control/text.h"
#include "cli.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_DEFAULT_COLUMNS 80
#define BAR_CELLS	    24
#define BAR_LEAST_CELLS	    4
#define BAR_LONGEST_ETA_S   359999 /* 99:59:59 */
#define BAR_REASONS	    2	   /* why pages remain: the most frequent ones */
#define PREFIX_BYTES	    32

/* Of one command; main thread. */
static bool is_off;
static char before[PREFIX_BYTES];
static uint64_t later_bytes;

/* "0:07", "1:02:03"; "-" when nothing is known. */
static void print_eta(uint64_t left_bytes, double rate, char *text, size_t bytes)
{
	double left = rate > 0 ? (double)left_bytes / rate : 0;
	unsigned int seconds;

	if (rate <= 0 || left > BAR_LONGEST_ETA_S) {
		snprintf(text, bytes, "-");
		return;
	}
	seconds = (unsigned int)(left + 0.5);
	if (seconds >= 3600)
		snprintf(text, bytes, "%u:%02u:%02u", seconds / 3600, seconds / 60 % 60,
			 seconds % 60);
	else
		snprintf(text, bytes, "%u:%02u", seconds / 60, seconds % 60);
}

static void print_etas(const struct cli_progress *progress, char *text, size_t bytes)
{
	uint64_t total = progress->total_bytes, done = progress->done_bytes;
	uint64_t left = total > done ? total - done : 0;
	char all[16];

	print_eta(left, progress->bytes_per_second, text, bytes);
	if (!later_bytes)
		return;
	print_eta(left + later_bytes, progress->bytes_per_second, all, sizeof(all));
	snprintf(text + strlen(text), bytes - strlen(text), ", all %s", all);
}

static void print_bar(const struct cli_progress *progress, size_t cells, char *bar)
{
	double share = progress->total_bytes
			   ? (double)progress->done_bytes / (double)progress->total_bytes
			   : 0;
	size_t full = share < 1 ? (size_t)(share * (double)cells) : cells;

	memset(bar, '#', full);
	memset(bar + full, '.', cells - full);
	bar[cells] = '\0';
}

void cli_progress_format(const struct cli_progress *progress, int columns, char *line, size_t bytes)
{
	char bar[BAR_CELLS + 1], eta[40], text[256];
	char moved[UNITS_TEXT], total[UNITS_TEXT], rate[UNITS_TEXT];
	size_t cells = BAR_CELLS, width;

	print_etas(progress, eta, sizeof(eta));
	snprintf(text, sizeof(text), "%s of %s%s  %s  ETA %s%s%s",
		 units_size(progress->shown_bytes, moved), units_size(progress->total_bytes, total),
		 progress->verb, units_rate(progress->bytes_per_second, rate), eta,
		 *progress->more ? "  " : "", progress->more);
	control_text_safe(text);
	/* The bar makes room for what is known; a column is left free, since some terminals wrap there. */
	width = strlen(before) + strlen("[] ") + strlen(text) + 1;
	if (columns > 0 && width + cells > (size_t)columns)
		cells = (size_t)columns > width ? (size_t)columns - width : 0;
	if (cells < BAR_LEAST_CELLS)
		cells = BAR_LEAST_CELLS;
	print_bar(progress, cells, bar);
	snprintf(line, bytes, "%s[%s] %s", before, bar, text);
	/* A line that wraps cannot be drawn over. */
	if (columns > 0 && (size_t)columns <= strlen(line))
		line[columns - 1] = '\0';
}

/* "512 pages remain: EBUSY", or with several reasons "512 EBUSY, 3 EACCES .. remain"; "" if none does so far. */
static void print_remaining(const json_t *job, char *text, size_t bytes)
{
	json_t *reasons = json_object_get(job, "remaining");
	const char *name;
	size_t used = 0, shown = 0;
	json_t *pages;

	text[0] = '\0';
	json_object_foreach (reasons, name, pages) {
		if (json_integer_value(pages) <= 0)
			continue;
		if (shown++ == BAR_REASONS || used >= bytes)
			break;
		used += (size_t)snprintf(text + used, bytes - used, "%s%lld %.12s",
					 shown == 1 ? "  remain " : ", ",
					 (long long)json_integer_value(pages), name);
	}
	if (shown > BAR_REASONS && used < bytes)
		snprintf(text + used, bytes - used, ", ..");
}

void cli_progress_line(const json_t *job, int columns, char *line, size_t bytes)
{
	char ns[UNITS_TEXT], stall[UNITS_TEXT + 16] = "", remaining[64], more[192];
	uint64_t done = cli_number(job, "done_bytes");
	struct cli_progress progress = {
	    .shown_bytes = cli_number(job, "moved_bytes"),
	    .total_bytes = cli_number(job, "total_bytes"),
	    .bytes_per_second = cli_real(job, "bytes_per_second"),
	    .verb = "",
	    .more = more,
	};
	const char *state = json_is_true(json_object_get(job, "max_slowdown_stuck"))
				? "its slowdown budget leaves no progress"
				: cli_text(job, "state");
	bool says_state = strcmp(state, "running") != 0 && strcmp(state, "created") != 0;

	/* What is gone, or others have moved, needs nothing any more. */
	progress.done_bytes = done ? done
				   : progress.shown_bytes + cli_number(job, "gone_bytes") +
					 cli_number(job, "moved_by_others_bytes");
	if (cli_job_has_times(job))
		snprintf(stall, sizeof(stall), "stall %s",
			 units_ns(cli_number(json_object_get(job, "stall_ns"), "max"), ns));
	print_remaining(job, remaining, sizeof(remaining));
	snprintf(more, sizeof(more), "%s%s%s%.60s", stall,
		 *stall ? remaining : remaining + 2 * !!*remaining,
		 says_state && (*stall || *remaining) ? "  " : "", says_state ? state : "");
	cli_progress_format(&progress, columns, line, bytes);
}

static int columns_now(void)
{
	struct winsize size = {0};

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return BAR_DEFAULT_COLUMNS;
	return size.ws_col;
}

bool cli_progress_is_on(void)
{
	const char *term = getenv("TERM");

	/* A dumb terminal would show what erases the line. */
	return !is_off && isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
}

static void draw(const char *line)
{
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
}

void cli_progress_show(const json_t *job)
{
	char line[256];

	if (!cli_progress_is_on())
		return;
	cli_progress_line(job, columns_now(), line, sizeof(line));
	draw(line);
}

void cli_progress_draw(const struct cli_progress *progress)
{
	char line[256];

	if (!cli_progress_is_on())
		return;
	cli_progress_format(progress, columns_now(), line, sizeof(line));
	draw(line);
}

void cli_progress_text(const char *text)
{
	char line[256];
	int columns = columns_now();

	if (!cli_progress_is_on())
		return;
	snprintf(line, sizeof(line), "%s%s", before, text);
	control_text_safe(line);
	if ((size_t)columns <= strlen(line))
		line[columns - 1] = '\0';
	draw(line);
}

void cli_progress_clear(void)
{
	if (cli_progress_is_on())
		fputs("\r\033[K", stderr);
}

void cli_progress_off(void)
{
	is_off = true;
}

void cli_progress_prefix(const char *prefix)
{
	snprintf(before, sizeof(before), "%s", prefix);
}

void cli_progress_later(uint64_t bytes)
{
	later_bytes = bytes;
}

void cli_progress_reset(void)
{
	later_bytes = 0;
	is_off = false;
	before[0] = '\0';
}
