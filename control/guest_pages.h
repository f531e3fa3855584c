/*
 * Lists of single pages over the control socket: move-pages and query-pages (guest_commands.c). A line holds some ten thousand
 * pages, so that a long list comes in several of them and is kept here until the last one has come.
 *
 * On the control server's thread.
 */
#ifndef CONTROL_GUEST_PAGES_H
#define CONTROL_GUEST_PAGES_H

#include "../migrate/gmig_move.h"
#include "guest.h"

#define GUEST_PAGES_LISTS                                                                          \
	4 /* that are kept at a time; a fifth one takes the place of the one that waits longest */
#define GUEST_PAGES_MAX	     (2u << 20) /* entries of a list */
#define GUEST_PAGES_IDLE_S   60		/* a list that nobody goes on with is dropped */
#define GUEST_PAGES_ONE_LINE 65536	/* pages of one query-pages */

/*
 * `pages` of move-pages, [gpa, bytes, node, ..], with what came before it under the id `list`. 0: *move is the whole list, whose
 * ranges are the caller's to free. 1: `more` was true, and *answer is {"list", "entries"}. -EINVAL; -ESRCH there is no
 * such list for this guest; -E2BIG; -ENOMEM.
 */
int guest_pages_gather(const char *guest, const json_t *arguments, struct gmig_move *move,
		       json_t **answer, struct gmig_error *err);
/* query-pages: {"status": [..]} of `pages`, [gpa, ..]; what became of them, if there is a job. */
int guest_pages_query(const struct guest *guest, struct gmig_job *job, const json_t *arguments,
		      json_t **answer, struct gmig_error *err);

#endif
