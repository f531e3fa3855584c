/* Watching a job of a guest until it has ended. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define WATCH_POLL_MS 500 /* without events for so long, ask */

static atomic_bool interrupted; /* threads of several jobs ask for it */

static void on_interrupt(int number)
{
	(void)number;
	atomic_store(&interrupted, true);
}

/* Take the newer picture of the job, if `candidate` is ours. */
static void update(const struct cli_watch *watch, json_t **job, json_t *candidate)
{
	if (!json_is_object(candidate) ||
	    strcmp(cli_text(candidate, "id"), cli_text(*job, "id")) != 0)
		return;
	json_incref(candidate);
	json_decref(*job);
	*job = candidate;
	if (watch->seen)
		watch->seen(watch->opaque, *job);
	if (!watch->look)
		cli_progress_show(*job);
}

/* Events of a job that ended before we listened are gone: ask for its state. -ESRCH: the guest has forgotten it. */
static int poll_job(struct control_client *client, const struct cli_watch *watch, json_t **job,
		    struct gmig_error *err)
{
	CLI_JSON jobs = NULL;
	size_t i;
	json_t *candidate;
	int rc = control_call(client, "query-jobs", NULL, &jobs, err);

	/* Its memory cgroup has no room for an answer just now: the job goes on, and its end comes as an event. */
	if (rc == -ENOMEM)
		return 0;
	if (rc)
		return rc;
	json_array_foreach (jobs, i, candidate) {
		if (!strcmp(cli_text(candidate, "id"), cli_text(*job, "id"))) {
			update(watch, job, candidate);
			return 0;
		}
	}
	return gmig_fail(err, -ESRCH, "the guest does not list it any more");
}

/* ESRCH, EALREADY: the job ended or was cancelled by somebody else first. */
static int cancel_job(struct control_client *client, const json_t *job, struct gmig_error *err)
{
	int rc = control_call(client, "job-cancel", json_pack("{s:s}", "id", cli_text(job, "id")),
			      NULL, err);

	if (rc == -ESRCH || rc == -EALREADY)
		return 0;
	return rc;
}

/* One step of the wait: a cancel, an event, or a question. */
static int watch_once(struct control_client *client, const struct cli_watch *watch, json_t **job,
		      bool *cancelled, struct gmig_error *err)
{
	CLI_JSON event = NULL;
	int64_t left_ms = watch->deadline_ms ? watch->deadline_ms - cli_now_ms() : WATCH_POLL_MS;
	int rc;

	if (watch->look) {
		rc = watch->look(watch->opaque, client, *job, err);
		if (rc)
			return rc;
	}
	if (left_ms <= 0)
		return gmig_fail(err, -ETIME, "it has not ended yet, and goes on");
	if (atomic_load(&interrupted) && !*cancelled) {
		*cancelled = true;
		rc = cancel_job(client, *job, err);
		if (rc)
			return rc;
	}
	rc = control_next_event(client, left_ms < WATCH_POLL_MS ? (int)left_ms : WATCH_POLL_MS,
				&event, err);
	if (!rc)
		update(watch, job, json_object_get(json_object_get(event, "data"), "job"));
	else if (rc == -ETIMEDOUT)
		return poll_job(client, watch, job, err);
	else if (rc != -EINTR)
		return rc;
	return 0;
}

void cli_catch_interrupt(struct sigaction *before)
{
	/* Once: the second Ctrl-C has its usual effect. */
	const struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};

	atomic_store(&interrupted, false);
	sigaction(SIGINT, NULL, before);
	/* A shell starts background jobs of a script with SIGINT ignored; it stays so. */
	if (before->sa_handler != SIG_IGN)
		sigaction(SIGINT, &action, NULL);
}

int cli_watch_quietly(struct control_client *client, const struct cli_watch *watch, json_t **job,
		      struct gmig_error *err)
{
	bool cancelled = false;
	int rc = 0;

	while (!rc && !cli_job_ended(*job))
		rc = watch_once(client, watch, job, &cancelled, err);
	return rc;
}

static int watch_job(struct control_client *client, const struct cli_watch *watch, json_t **job,
		     struct gmig_error *err)
{
	int rc;

	cli_progress_show(*job);
	rc = cli_watch_quietly(client, watch, job, err);
	cli_progress_clear();
	return rc;
}

int cli_watch_job(struct control_client *client, const struct cli_watch *watch, json_t **job,
		  struct gmig_error *err)
{
	atomic_store(&interrupted, false);
	return watch_job(client, watch, job, err);
}

bool cli_was_interrupted(void)
{
	return atomic_load(&interrupted);
}

void cli_note_interrupt(bool is)
{
	atomic_store(&interrupted, is);
}

int cli_run_watched_job(struct control_client *client, const char *command, json_t *arguments,
			const struct cli_watch *watch, json_t **job, struct gmig_error *err)
{
	struct sigaction before;
	int rc;

	*job = NULL;
	/* Before it is started: a job that nobody has heard of yet would go on behind Ctrl-C. */
	cli_catch_interrupt(&before);
	rc = control_call(client, command, arguments, job, err);
	if (!rc && json_object_get(*job, "id")) {
		control_client_set_limit(client, cli_limits.watch_ms);
		rc = watch_job(client, watch, job, err);
	}
	sigaction(SIGINT, &before, NULL);
	return rc;
}

static int run_job(struct control_client *client, const char *command, json_t *arguments,
		   json_t **job, struct gmig_error *err)
{
	const struct cli_watch watch = {0};

	return cli_run_watched_job(client, command, arguments, &watch, job, err);
}

int cli_run_job(struct control_client *client, json_t *arguments, json_t **job,
		struct gmig_error *err)
{
	return run_job(client, "migrate-pages", arguments, job, err);
}

int cli_run_list_job(struct control_client *client, json_t *arguments, json_t **job,
		     struct gmig_error *err)
{
	return run_job(client, "move-pages", arguments, job, err);
}

int cli_run_bind_job(struct control_client *client, json_t *arguments, json_t **job,
		     struct gmig_error *err)
{
	return run_job(client, "bind-memory", arguments, job, err);
}
