/*
 * gmig inside: one table of commands, a file each. A command gets its own argv (argv[0] is its
 * name) and returns the exit status: 0 done, 1 failed, 2 usage, 3 completed, but pages remain,
 * 4 completed, but a budget was not held; gmig(1) has them all. 130, Ctrl-C has ended it, is cli_main()'s to say.
 *
 * Everything here runs on the main thread, but for the questions of `gmig list` and the jobs of `gmig migrate --all`. Results go to stdout, everything else to stderr.
 */
#ifndef CLI_H
#define CLI_H

#include "../control/control.h"

#include <stdbool.h>
#include <stdint.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_REMAINING = 3,
	CLI_OVER_BUDGET = 4,
	CLI_INTERRUPTED = 130
};

struct cli_command {
	const char *name;
	const char *usage; /* what follows the name */
	const char *summary;
	int (*run)(int argc, char **argv);
};

extern const struct cli_command *cli_commands; /* set by cli_main; a NULL name ends it */
/* NULL: there is no such command. */
const struct cli_command *cli_find_command(const char *name);
/* All of gmig except main(): argv[0] is the program. */
int cli_main(int argc, char **argv);

/* ---- Command lines (args.c) ------------------------------------------------------------------ */

struct cli_option {
	const char *name;	 /* without the dashes; NULL ends the table */
	const char *placeholder; /* of its value; NULL: a flag */
	const char *help;
	bool *flag;	   /* set to true when given */
	const char **text; /* set to the value */
	const char *const *(*choices)(
	    void); /* all that the value may be, NULL-ended; NULL: anything */
};

/* What a word that is not an option stands for. */
enum cli_word {
	CLI_WORD_TEXT,
	CLI_WORD_VM,
	CLI_WORD_DOMAIN, /* a guest of gmig-vmm, or a domain of libvirt */
	CLI_WORD_JOB,
	CLI_WORD_COMMAND,
	CLI_WORD_VERB
};

#define CLI_MAX_WORDS 4

/* What a command takes, and what it was given. All take --help, --no-color and --quiet; those with a json_help --json, too. */
struct cli_args {
	const struct cli_option *options; /* NULL: no others */
	const char *json_help;
	enum cli_word kinds[CLI_MAX_WORDS];
	const char *const *(*verbs)(void); /* for CLI_WORD_VERB, NULL-ended */
	int min_words, max_words;	   /* at most CLI_MAX_WORDS */
	bool draws; /* on a terminal, until somebody ends it: it cannot be quiet */

	const char *words[CLI_MAX_WORDS + 1];
	int word_count;
	bool json;
	bool
	    quiet; /* without json nothing that is printed on stdout goes anywhere from cli_parse() on */
};

/* The options that a command has beside its own; a NULL name ends the list. They hold as long as args. */
#define CLI_COMMON_OPTIONS 4
void cli_common_options(struct cli_args *args, struct cli_option common[CLI_COMMON_OPTIONS + 1]);

/* The words of a command about one guest, about one that may be a domain, and about a job. */
#define CLI_VM	   .kinds = {CLI_WORD_VM}, .min_words = 1, .max_words = 1
#define CLI_DOMAIN .kinds = {CLI_WORD_DOMAIN}, .min_words = 1, .max_words = 1
#define CLI_VM_JOB .kinds = {CLI_WORD_DOMAIN, CLI_WORD_JOB}, .min_words = 2, .max_words = 2

/*
 * -1: continue. Otherwise the command ends with this status: --help or a usage error was printed. A value that is not one
 * of its option's choices is a usage error.
 */
int cli_parse(int argc, char **argv, struct cli_args *args);
/* "gmig: COMMAND: TEXT" and where help is, on stderr. Returns CLI_USAGE. */
__attribute__((format(printf, 2, 3))) int cli_usage(const char *command, const char *format, ...);
/* Usage of all commands, for `gmig --help`. */
void cli_print_commands(FILE *out);

/* ---- Options with a value (values.c) --------------------------------------------------------- */

/* An option's value, for the arguments of a command of the protocol. */
struct cli_value {
	const char *command; /* of gmig, for the usage error */
	const char *option;  /* as the user writes it, without the dashes */
	const char *key;     /* as the protocol does; NULL: alike */
	const char *text;    /* NULL: not given, nothing is added */
};

/* Add it: -1, or the exit status of a usage error, which was printed. A number, at most max, and bytes, as units.h has them. */
int cli_add_count(json_t *arguments, const struct cli_value *value, uint64_t max);
int cli_add_size(json_t *arguments, const struct cli_value *value);
/*
 * arguments[name]: the nodes of option --name, as numbers; or the text itself when only the server can tell what it means
 * (migrate/core/nodeset.h). -1 or the exit status of a usage error.
 */
int cli_add_nodes(const char *command, json_t *arguments, const char *name, const char *text);
/* arguments[key]: the text, unless it is NULL; true, if on. */
void cli_add_text(json_t *arguments, const char *key, const char *text);
void cli_add_flag(json_t *arguments, const char *key, bool on);

/* ---- For the shell's completion (complete.c) ------------------------------------------------- */

/* The one argument that makes cli_parse print what the command takes; not for people. */
#define CLI_COMPLETE "--complete"
void cli_print_completion(FILE *out, const char *command, const struct cli_args *args,
			  const struct cli_option *common);
/* `gmig --complete-tables bash|zsh|fish`: what packaging/gmig.SHELL-completion.in is completed with. NULL: bash. */
int cli_print_completion_tables(const char *shell);

/* ---- Talking to a VM (connect.c) ------------------------------------------------------------- */

/* No command waits for ever for a peer: milliseconds, after which it fails. Tests set less. */
extern struct cli_limits {
	int start_ms;	/* a VMM that has taken its name has no socket yet */
	int grace_ms;	/* a VMM has not even taken its name: it is being started beside us */
	int connect_ms; /* until a VMM has greeted, or an agent has synchronized */
	int answer_ms;	/* an answer of either */
	int watch_ms;	/* an answer while a job is watched: others may have long ones asked for */
	int long_ms;	/* the same to a command that looks at all of a guest's memory */
	int list_ms;	/* all that `gmig list` asks one guest */
	int follow_ms;	/* between two looks of `gmig follow` */
	int quit_ms;	/* from quit's answer to the VMM's end */
	int balloon_ms; /* a balloon that makes no progress */
} cli_limits;

/* vm: the name of a guest of gmig-vmm or else of a domain that gmigd has, a domain's URI, or a socket's path when it has a slash. */
int cli_connect(const char *vm, struct control_client **client, struct gmig_error *err);
/* Connect, call, disconnect. Steals arguments. */
int cli_ask(const char *vm, const char *command, json_t *arguments, json_t **result,
	    struct gmig_error *err);
/*
 * All guests of this host, sorted by name, as `gmig list --json` prints them: one that does not answer has no "pid" (cmd_list.c).
 * No directory of sockets: no guests.
 */
int cli_list_guests(json_t *list, struct gmig_error *err);
/* Is a file of that name, in the directory of sockets, the socket of a guest? */
bool cli_is_guest_socket(const char *name);
/* The clock of the limits. */
int64_t cli_now_ms(void);

/* A command that is one question to a guest, which its first word names. */
struct cli_query {
	const char *command; /* of the control protocol */
	struct cli_args args;
	/* Add the command's arguments: -1, or the exit status of a usage error. NULL: no arguments. */
	int (*ask)(const struct cli_args *args, json_t *arguments);
	/* Print the answer, made safe, for people on stdout. With --json it is printed as received. */
	void (*print)(const struct cli_args *args, const json_t *answer);
	const bool *is_long; /* it may take cli_limits.long_ms; NULL: it may not */
	enum cli_exit (*status)(const json_t *answer); /* NULL: CLI_OK */
};
/* Parse, ask, print; the exit status. */
int cli_run_query(int argc, char **argv, struct cli_query *query);

/* ---- Output (output.c) ----------------------------------------------------------------------- */

/*
 * What came over a socket (answers, errors' texts) is printed for people only after
 * control_json_safe or control_text_safe: a guest or its agent may have written it. These functions
 * do so with what they are given.
 */

/* "gmig: TEXT" on stderr. */
__attribute__((format(printf, 1, 2))) void cli_complain(const char *format, ...);
/* The error on stderr, with json also as {"error": ..} on stdout, exact. Returns CLI_FAILED. */
int cli_fail(bool json, const struct gmig_error *err);
/*
 * A guest's or gmigd's state for people, of the error that its connection has met: only where that has ended, or has no file, is it
 * "gone".
 */
const char *cli_state_of(int rc);
/* On one line. Returns CLI_OK. */
int cli_print_json(const json_t *json);
/*
 * Rows are lines of `text`, cells are ended by tabs; columns are lined up. A cell of the first row
 * that begins with '>' makes its column flush right. Unsafe characters become '?'.
 */
void cli_print_table(FILE *out, const char *text);
/* A table on stdout whose text `fill` writes; the object has been made safe. */
void cli_print_rows(void (*fill)(FILE *rows, const json_t *object), const json_t *object);

static inline void cli_json_put(json_t **json)
{
	json_decref(*json);
}

static inline void cli_client_put(struct control_client **client)
{
	control_client_destroy(*client);
}

#define CLI_JSON   __attribute__((cleanup(cli_json_put))) json_t *
#define CLI_CLIENT __attribute__((cleanup(cli_client_put))) struct control_client *

/* Members of an answer, whatever the server sent: 0 and "-" when they are missing or of another
 * type. */
uint64_t cli_number(const json_t *object, const char *key);
double cli_real(const json_t *object, const char *key);
const char *cli_text(const json_t *object, const char *key);

/* Rows for cli_print_table: a heading, and one for each thread of these lists of query-cpus (threads.c). */
void cli_threads_table(FILE *rows, const json_t *vcpus, const json_t *helpers);

/* ---- Jobs in words (job.c, progress.c) ------------------------------------------------------- */

/* What `gmig migrate --json` prints last, a new reference. */
json_t *cli_job_result(const json_t *job);
/* The summary for people, of a job that need not be safe. */
void cli_job_summary(FILE *out, const json_t *job);
bool cli_job_ended(const json_t *job);
/* Does its mover know of blackouts and stalls? */
bool cli_job_has_times(const json_t *job);
enum cli_exit cli_job_exit(const json_t *job);
/* Of two jobs' exit statuses the worse one: 1, then 3, then 4, then 0. */
int cli_worse(int a, int b);
/* The watch over it has ended in this error: its newest picture gets the truth about its state, as far as that is known. */
void cli_job_mark_lost(json_t *job, const struct gmig_error *err);
/* The same, and said; CLI_FAILED. */
int cli_job_lost(const char *vm, bool json, json_t *job, const struct gmig_error *err);
/* The request for a job has ended in this error: a VMM that is stopped carries it out when it is continued. CLI_FAILED. */
int cli_job_not_started(const char *vm, bool json, const struct gmig_error *err);
/* "EBUSY" in words. */
const char *cli_reason(const char *errno_name);
/* Rows for cli_print_table: a heading, and one for each job. */
void cli_job_table(FILE *rows, const json_t *jobs);
/* Below it: why gmigd has started those that it was not told to start. jobs is safe to print. */
void cli_job_reasons(FILE *out, const json_t *jobs);
/* Rows for blackout_ns and stall_ns of a job or a guest. */
void cli_times_table(FILE *rows, const json_t *object);
void cli_percentiles_row(FILE *rows, const char *name, const json_t *percentiles);

struct cli_watch {
	int64_t deadline_ms; /* of cli_now_ms(); 0: none */
	/* Optional, instead of the progress line: called at least twice a second while the job runs. -errno ends the watch. */
	int (*look)(void *opaque, struct control_client *client, json_t *job,
		    struct gmig_error *err);
	void (*seen)(void *opaque, const json_t *job); /* optional: each newer picture of it */
	void *opaque;
};
/*
 * Draw the progress of *job, a reference, until it has ended; *job is its newest picture (watch.c). -ETIME the deadline has
 * passed, -ESRCH the guest has forgotten the job, -ETIMEDOUT it does not answer, -EPIPE it is gone.
 */
int cli_watch_job(struct control_client *client, const struct cli_watch *watch, json_t **job,
		  struct gmig_error *err);

/*
 * Start a job with these arguments of migrate-pages, which it takes, and watch it: the first Ctrl-C, from before the start on, cancels it; the second
 * one ends gmig. *job NULL: it was not started. Errors as control_call() and cli_watch_job().
 */
int cli_run_job(struct control_client *client, json_t *arguments, json_t **job,
		struct gmig_error *err);
/* The same with this command, migrate-pages or job-retry, and this watch. */
int cli_run_watched_job(struct control_client *client, const char *command, json_t *arguments,
			const struct cli_watch *watch, json_t **job, struct gmig_error *err);
/*
 * For several jobs at once, each in a thread: watch without a progress line, and cancel the job after a Ctrl-C, once somebody
 * has had them caught. The first one is noted, a second one ends gmig; *before is for sigaction(2) at the end.
 */
int cli_watch_quietly(struct control_client *client, const struct cli_watch *watch, json_t **job,
		      struct gmig_error *err);
struct sigaction;
void cli_catch_interrupt(struct sigaction *before);
/* The same with move-pages. */
int cli_run_list_job(struct control_client *client, json_t *arguments, json_t **job,
		     struct gmig_error *err);
/* The same with bind-memory, whose answer has no "id" where no job was needed. */
int cli_run_bind_job(struct control_client *client, json_t *arguments, json_t **job,
		     struct gmig_error *err);
/* Has there been a Ctrl-C during the last cli_run_job()? Then nothing else is to be begun. */
bool cli_was_interrupted(void);
/* Somebody else has caught it; or: nobody has yet. */
void cli_note_interrupt(bool is);

/* The progress line without its end, cut to `columns`. */
void cli_progress_line(const json_t *job, int columns, char *line, size_t bytes);
/*
 * Redraw the line on stderr, as wide as the terminal is now. Nothing is drawn when stderr is no terminal or a dumb one, and after
 * cli_progress_off(), which holds for one command.
 */
void cli_progress_show(const json_t *job);
void cli_progress_clear(void);
bool cli_progress_is_on(void);
void cli_progress_off(void);
/* For a new command. */
void cli_progress_reset(void);

#endif
