/*
 * gmig migrate --all: the same migration in several guests at once, and one rate that they share.
 *
 * Each guest has a thread of its own, so that one that is slow or silent holds no other up. What fails for one does not stop the others.
 * So many run at once; the others begin as these end: gmigd has 64 connections for everybody, and each of its jobs tells all of them.
 */
#ifndef CLI_MIGRATE_ALL_H
#define CLI_MIGRATE_ALL_H

#include <jansson.h>
#include <stdbool.h>

#define CLI_MIGRATE_AT_ONCE 32

struct cli_migrate_all {
	const json_t *arguments; /* of migrate-pages; "rate" is what all have together */
	const char *names;	 /* "a,b": these alone; NULL: all that `gmig list` shows */
	bool json;
};

/*
 * Start, watch, report; the exit status, of several the worst. Ctrl-C cancels all of the jobs and waits for their ends, a
 * second one ends gmig at once: the jobs go on then, each with the share that it has.
 */
int cli_migrate_all(const struct cli_migrate_all *request);

#endif
