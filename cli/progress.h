/*
 * The progress line of what is no job, and how all such lines look. What jobs need is in cli.h. Nothing is drawn when stderr is no
 * terminal or a dumb one, nor after cli_progress_off(). Main thread.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

struct cli_progress {
	uint64_t done_bytes, total_bytes; /* what the bar and the time left go by */
	uint64_t shown_bytes;		  /* "1G of 4G": not all that is done need have moved */
	double bytes_per_second;	  /* 0: not known yet */
	const char *verb;		  /* behind the total, as " compared"; "" */
	const char *more;		  /* at the end; "" */
};

/* The line without its end, cut to `columns`; 0: not cut. */
void cli_progress_format(const struct cli_progress *progress, int columns, char *line,
			 size_t bytes);
/* Redraw it, as wide as the terminal is now. */
void cli_progress_draw(const struct cli_progress *progress);
/* The same with a text instead of a bar. */
void cli_progress_text(const char *text);
/* What stands before each line from now on, as "move 2 of 7  "; "" for nothing. */
void cli_progress_prefix(const char *prefix);
/* What comes after what the next lines tell of, at the same rate as far as is known: "ETA 0:07, all 1:02"; 0: nothing. */
void cli_progress_later(uint64_t bytes);

#endif
