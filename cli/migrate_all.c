#include "migrate_all.h"

#include "../control/text.h"
#include "cli.h"
#include "daemon.h"
#include "units.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHOW_NS	    200000000
#define STACK_BYTES (512 * 1024)

struct one;

struct all {
	const struct cli_migrate_all *request;
	uint64_t rate; /* of all together, bytes a second; 0: no limit */
	struct one *ones;
	size_t count;

	pthread_mutex_t lock;
	pthread_cond_t turn_is_free;
	size_t turns; /* guests that may begin at once; guarded by lock */
	size_t
	    silent; /* turns of those that do not answer, which come back no more; guarded by lock */
	size_t sharing; /* guests whose job runs, may run or may be started yet; guarded by lock */
	size_t busy;	/* threads that have not ended; guarded by lock */
};

struct one {
	struct all *all;
	const json_t *entry; /* of gmig list */
	pthread_t thread;
	bool has_thread;
	bool has_turn;
	bool told;	/* to migrate */
	uint64_t share; /* the job's rate, as it was told */
	json_t
	    *job; /* its newest picture; NULL: not started. Guarded by lock while the thread runs */
	struct gmig_error err;
};

/* ---- The rate -------------------------------------------------------------------------------- */

/*
 * What one job may take. The number of those that share only falls, and each job is told of its greater share after the one whose
 * place it takes has ended: together they never have more than the rate.
 */
static uint64_t share_of(struct all *all)
{
	uint64_t share;
	size_t count;

	if (!all->rate)
		return 0;
	pthread_mutex_lock(&all->lock);
	count = all->sharing < CLI_MIGRATE_AT_ONCE ? all->sharing : CLI_MIGRATE_AT_ONCE;
	pthread_mutex_unlock(&all->lock);
	share = all->rate / (count ? count : 1);
	return share ? share : 1; /* 0 would be no limit */
}

/* Silent: what it was told may be carried out all the same, or goes on. Refused, or never told: nothing runs. */
static bool is_over(const struct one *one, int rc)
{
	return !rc || rc == -EPIPE || !one->told || (!one->job && rc != -ETIMEDOUT);
}

static void leave(struct one *one, int rc)
{
	struct all *all = one->all;
	bool over = is_over(one, rc);

	pthread_mutex_lock(&all->lock);
	if (over)
		all->sharing--;
	if (one->has_turn && over)
		all->turns++;
	else if (one->has_turn)
		all->silent++;
	all->busy--;
	pthread_cond_broadcast(&all->turn_is_free);
	pthread_mutex_unlock(&all->lock);
}

/* Ctrl-C ends those that run, and so the wait for them. */
static int take_turn(struct one *one)
{
	struct all *all = one->all;

	pthread_mutex_lock(&all->lock);
	while (!all->turns && all->silent < CLI_MIGRATE_AT_ONCE)
		pthread_cond_wait(&all->turn_is_free, &all->lock);
	one->has_turn = all->turns > 0;
	if (one->has_turn)
		all->turns--;
	pthread_mutex_unlock(&all->lock);
	return one->has_turn
		   ? 0
		   : gmig_fail(&one->err, -EBUSY, "not started: %d guests before it do not answer",
			       CLI_MIGRATE_AT_ONCE);
}

/* ---- One guest ------------------------------------------------------------------------------- */

static int set_share(struct one *one, struct control_client *client, const json_t *job,
		     struct gmig_error *err)
{
	uint64_t share = share_of(one->all);
	int rc;

	if (share == one->share)
		return 0;
	rc = control_call(
	    client, "job-set-rate",
	    json_pack("{s:s, s:I}", "id", cli_text(job, "id"), "rate", (json_int_t)share), NULL,
	    err);
	/* It has ended in the meantime. */
	if (rc == -ESRCH)
		rc = 0;
	if (!rc)
		one->share = share;
	return rc;
}

/* Between two looks at the job, in the guest's thread. */
static int look(void *opaque, struct control_client *client, json_t *job, struct gmig_error *err)
{
	struct one *one = opaque;

	pthread_mutex_lock(&one->all->lock);
	json_decref(one->job);
	/* A copy of its own: reference counts and hash tables of the watcher's are for one thread. */
	one->job = json_deep_copy(job);
	pthread_mutex_unlock(&one->all->lock);
	return cli_job_ended(job) ? 0 : set_share(one, client, job, err);
}

static const char *target_of(const json_t *entry)
{
	return json_object_get(entry, "uri") ? cli_text(entry, "uri") : cli_text(entry, "name");
}

static int run_one(struct one *one, json_t **job)
{
	const struct cli_watch watch = {.look = look, .opaque = one};
	CLI_CLIENT client = NULL;
	json_t *arguments;
	int rc = take_turn(one);

	if (!rc && !cli_was_interrupted())
		rc = cli_connect(target_of(one->entry), &client, &one->err);
	if (rc)
		return rc;
	if (cli_was_interrupted())
		return gmig_fail(&one->err, -ECANCELED, "not started: Ctrl-C");
	pthread_mutex_lock(&one->all->lock);
	arguments = json_deep_copy(one->all->request->arguments);
	pthread_mutex_unlock(&one->all->lock);
	one->share = share_of(one->all);
	if (one->share)
		json_object_set_new(arguments, "rate", json_integer((json_int_t)one->share));
	one->told = true;
	rc = control_call(client, "migrate-pages", arguments, job, &one->err);
	if (rc)
		return rc;
	control_client_set_limit(client, cli_limits.watch_ms);
	return cli_watch_quietly(client, &watch, job, &one->err);
}

/* A VMM that is stopped carries it out when it is continued. */
static void say_longer(struct gmig_error *err)
{
	struct gmig_error why = *err;

	gmig_error_set(err, why.code, "%.150s; the migration may start or go on all the same",
		       why.text);
}

static void *one_thread(void *opaque)
{
	struct one *one = opaque;
	CLI_JSON job = NULL;
	int rc = run_one(one, &job);

	/* A wait that passed without an event leaves a text there. */
	if (!rc)
		one->err = (struct gmig_error){0};
	else if (job)
		cli_job_mark_lost(job, &one->err);
	else if (rc == -ETIMEDOUT && one->told)
		say_longer(&one->err);
	pthread_mutex_lock(&one->all->lock);
	if (job) {
		json_decref(one->job);
		one->job = json_deep_copy(job);
	}
	pthread_mutex_unlock(&one->all->lock);
	leave(one, rc);
	return NULL;
}

/* ---- All ------------------------------------------------------------------------------------- */

/* A socket that a dead guest has left is none. */
static bool is_there(const json_t *entry)
{
	return json_object_get(entry, "pid") || strcmp(cli_text(entry, "state"), "stale") != 0;
}

static bool is_named(const char *names, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = names; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
		if (!strncmp(at, name, length) && (!at[length] || at[length] == ','))
			return true;
	return false;
}

static int check_names(const char *names, const json_t *list, struct gmig_error *err)
{
	for (const char *at = names; at; at = strchr(at, ','), at = at ? at + 1 : NULL) {
		int length = (int)strcspn(at, ",");
		bool found = false;
		json_t *entry;
		size_t i;

		json_array_foreach (list, i, entry)
			found |= is_there(entry) &&
				 (int)strlen(cli_text(entry, "name")) == length &&
				 !strncmp(cli_text(entry, "name"), at, (size_t)length);
		if (!found)
			return gmig_fail(err, -ESRCH,
					 "there is no guest '%.*s'; gmig list tells what runs here",
					 length < 64 ? length : 64, at);
	}
	return 0;
}

/* Those that do not say who they are cannot be asked: a failure each. */
static int choose(struct all *all, const json_t *list, struct gmig_error *err)
{
	json_t *entry;
	size_t i;
	int rc = check_names(all->request->names, list, err);

	if (rc)
		return rc;
	all->ones = calloc(json_array_size(list) + 1, sizeof(*all->ones));
	if (!all->ones)
		return gmig_fail(err, -ENOMEM, "out of memory");
	json_array_foreach (list, i, entry) {
		struct one *one = &all->ones[all->count];

		if (!is_there(entry) || (all->request->names &&
					 !is_named(all->request->names, cli_text(entry, "name"))))
			continue;
		*one = (struct one){.all = all, .entry = entry};
		if (!json_object_get(entry, "pid"))
			gmig_error_set(&one->err, -EAGAIN, "it cannot be asked: %.64s",
				       cli_text(entry, "state"));
		else
			all->sharing++;
		all->count++;
	}
	return all->count ? 0 : gmig_fail(err, -ENOENT, "no guests run here");
}

static void start(struct all *all)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	all->busy = all->sharing;
	for (size_t i = 0; i < all->count; i++) {
		struct one *one = &all->ones[i];
		int rc;

		if (one->err.code)
			continue;
		rc = pthread_create(&one->thread, &attr, one_thread, one);
		one->has_thread = !rc;
		if (rc) {
			gmig_error_set(&one->err, -rc, "no thread to move it: %s", strerror(rc));
			leave(one, -rc);
		}
	}
	pthread_attr_destroy(&attr);
}

struct sum {
	json_int_t moved, done, total, stall_ns;
	double rate;
	bool has_stalls;
	json_t *remaining;
};

static void add_job(struct sum *sum, const json_t *job)
{
	json_int_t stall_ns = (json_int_t)cli_number(json_object_get(job, "stall_ns"), "max");
	const char *reason;
	json_t *pages;

	sum->moved += (json_int_t)cli_number(job, "moved_bytes");
	sum->done += (json_int_t)(cli_number(job, "moved_bytes") + cli_number(job, "gone_bytes") +
				  cli_number(job, "moved_by_others_bytes"));
	sum->total += (json_int_t)cli_number(job, "total_bytes");
	if (job && !cli_job_ended(job))
		sum->rate += cli_real(job, "bytes_per_second");
	if (job && cli_job_has_times(job))
		sum->has_stalls = true;
	if (stall_ns > sum->stall_ns)
		sum->stall_ns = stall_ns;
	json_object_foreach (json_object_get(job, "remaining"), reason, pages)
		json_object_set_new(
		    sum->remaining, reason,
		    json_integer(json_integer_value(json_object_get(sum->remaining, reason)) +
				 json_integer_value(pages)));
}

/* The sums, and the longest stall, as one job for the progress line; NULL: all have ended. */
static json_t *sum_up(struct all *all)
{
	struct sum sum = {.remaining = json_object()};
	json_t *picture;
	bool busy;

	pthread_mutex_lock(&all->lock);
	busy = all->busy > 0;
	for (size_t i = 0; i < all->count; i++)
		add_job(&sum, all->ones[i].job);
	pthread_mutex_unlock(&all->lock);
	picture = json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:{s:I}, s:o}", "state", "running",
			    "mover", sum.has_stalls ? "uffd" : "kernel", "moved_bytes", sum.moved,
			    "done_bytes", sum.done, "total_bytes", sum.total, "bytes_per_second",
			    sum.rate, "stall_ns", "max", sum.stall_ns, "remaining", sum.remaining);
	if (busy)
		return picture;
	json_decref(picture);
	return NULL;
}

static void watch(struct all *all)
{
	const struct timespec pause = {.tv_nsec = SHOW_NS / 10};
	json_t *sum;

	for (unsigned int i = 0; (sum = sum_up(all)); i++) {
		if (i % 10 == 0)
			cli_progress_show(sum);
		json_decref(sum);
		nanosleep(&pause, NULL);
	}
	cli_progress_clear();
	for (size_t i = 0; i < all->count; i++)
		if (all->ones[i].has_thread)
			pthread_join(all->ones[i].thread, NULL);
}

/* ---- Results --------------------------------------------------------------------------------- */

static int status_of(const struct one *one)
{
	return one->err.code || !one->job ? CLI_FAILED : (int)cli_job_exit(one->job);
}

static json_t *result_of(const struct one *one)
{
	json_t *result = json_pack("{s:s}", "name", cli_text(one->entry, "name"));

	if (one->job)
		json_object_set_new(result, "result", cli_job_result(one->job));
	if (one->err.code)
		json_object_update_new(result,
				       control_error_json(NULL, one->err.code, one->err.text));
	return result;
}

static void print_one(const struct one *one)
{
	char name[80], id[80];

	snprintf(name, sizeof(name), "%s", cli_text(one->entry, "name"));
	snprintf(id, sizeof(id), "%s", cli_text(one->job, "id"));
	control_text_safe(name);
	control_text_safe(id);
	printf("%s: ", name);
	if (one->job && cli_job_ended(one->job))
		cli_job_summary(stdout, one->job);
	else if (one->job)
		printf("job %s may go on: gmig jobs %s\n", id, name);
	else
		puts("not moved");
	fflush(stdout);
	if (one->err.code)
		cli_complain("%s: %s", name, one->err.text);
}

static int report(const struct all *all)
{
	CLI_JSON guests = json_array();
	json_int_t moved = 0, remaining = 0;
	int worst = CLI_OK;

	for (size_t i = 0; i < all->count; i++) {
		const struct one *one = &all->ones[i];

		worst = cli_worse(worst, status_of(one));
		moved += (json_int_t)cli_number(one->job, "moved_bytes");
		remaining += (json_int_t)cli_number(one->job, "remaining_bytes");
		if (all->request->json)
			json_array_append_new(guests, result_of(one));
		else
			print_one(one);
	}
	if (all->request->json) {
		CLI_JSON result = json_pack("{s:O, s:I, s:I}", "guests", guests, "moved_bytes",
					    moved, "remaining_bytes", remaining);

		cli_print_json(result);
	}
	return worst;
}

int cli_migrate_all(const struct cli_migrate_all *request)
{
	struct all all = {.request = request,
			  .rate = cli_number(request->arguments, "rate"),
			  .turns = CLI_MIGRATE_AT_ONCE};
	CLI_JSON list = json_array();
	struct gmig_error err = {0};
	struct sigaction before;
	int status;

	/* Without a directory of sockets there may be domains of libvirt's. */
	if (cli_list_guests(list, &err) && err.code != -ENOENT)
		return cli_fail(request->json, &err);
	cli_daemon_list(list, cli_limits.list_ms);
	if (choose(&all, list, &err)) {
		free(all.ones);
		return cli_fail(request->json, &err);
	}
	pthread_mutex_init(&all.lock, NULL);
	pthread_cond_init(&all.turn_is_free, NULL);
	cli_catch_interrupt(&before);
	start(&all);
	watch(&all);
	sigaction(SIGINT, &before, NULL);
	status = report(&all);
	for (size_t i = 0; i < all.count; i++)
		json_decref(all.ones[i].job);
	free(all.ones);
	pthread_cond_destroy(&all.turn_is_free);
	pthread_mutex_destroy(&all.lock);
	return status;
}
