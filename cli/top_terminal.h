/*
 * The terminal that `gmig top` draws on, by ncurses: puts a page onto it, and reads keys. Everything else about the pages is
 * decided elsewhere. One terminal a process; main thread.
 */
#ifndef CLI_TOP_TERMINAL_H
#define CLI_TOP_TERMINAL_H

#include "../migrate/gmig_error.h"
#include "top_page.h"

#include <stdbool.h>

/* -ENOTTY stdin or stdout is no terminal; -EOPNOTSUPP one on which the cursor cannot be moved, or that is not known. */
int top_terminal_open(bool colours, struct gmig_error *err);
/* As it was before. Legal when it was not opened. */
void top_terminal_close(void);
void top_terminal_size(int *width, int *height);
void top_terminal_show(const struct top_page *page);
/* The next key as top_keys.h has it, 0: one that means nothing, as that the size has changed; -1: none waits. */
int top_terminal_key(void);

#endif
