/* The progress bar: one line on stderr, drawn over itself, and only on a terminal. */
#include "../control/text.h"
#include "cli.h"
#include "units.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_DEFAULT_COLUMNS 80
#define BAR_CELLS	    24
#define BAR_LONGEST_ETA_S   359999 /* 99:59:59 */

/* "0:07", "1:02:03"; "-" when nothing is known. */
static void print_eta(const json_t *job, char *text, size_t bytes)
{
	uint64_t total = cli_number(job, "total_bytes"), moved = cli_number(job, "moved_bytes");
	double rate = cli_real(job, "bytes_per_second");
	double left = rate > 0 && total > moved ? (double)(total - moved) / rate : 0;
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

static void print_bar(const json_t *job, char *bar)
{
	uint64_t total = cli_number(job, "total_bytes"), moved = cli_number(job, "moved_bytes");
	size_t full = total ? (size_t)((double)moved / (double)total * BAR_CELLS) : 0;

	if (full > BAR_CELLS)
		full = BAR_CELLS;
	memset(bar, '#', full);
	memset(bar + full, '.', BAR_CELLS - full);
	bar[BAR_CELLS] = '\0';
}

void cli_progress_line(const json_t *job, int columns, char *line, size_t bytes)
{
	char bar[BAR_CELLS + 1], eta[16];
	char moved[UNITS_TEXT], total[UNITS_TEXT], rate[UNITS_TEXT], ns[UNITS_TEXT];
	char stall[UNITS_TEXT + 16] = "";
	const char *state = json_is_true(json_object_get(job, "max_slowdown_stuck"))
				? "its slowdown budget leaves no progress"
				: cli_text(job, "state");
	bool says_state = strcmp(state, "running") != 0 && strcmp(state, "created") != 0;

	print_bar(job, bar);
	print_eta(job, eta, sizeof(eta));
	if (cli_job_has_times(job))
		snprintf(stall, sizeof(stall), "  stall %s",
			 units_ns(cli_number(json_object_get(job, "stall_ns"), "max"), ns));
	snprintf(line, bytes, "[%s] %s of %s  %s  ETA %s%s%s%s", bar,
		 units_size(cli_number(job, "moved_bytes"), moved),
		 units_size(cli_number(job, "total_bytes"), total),
		 units_rate(cli_real(job, "bytes_per_second"), rate), eta, stall,
		 says_state ? "  " : "", says_state ? state : "");
	control_text_safe(line);
	/* A line that wraps cannot be drawn over. */
	if (columns > 0 && (size_t)columns < bytes)
		line[columns - 1] = '\0';
}

void cli_progress_show(const json_t *job)
{
	struct winsize size = {0};
	char line[256];

	if (!isatty(STDERR_FILENO))
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		size.ws_col = BAR_DEFAULT_COLUMNS;
	cli_progress_line(job, size.ws_col, line, sizeof(line));
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
}

void cli_progress_clear(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}
