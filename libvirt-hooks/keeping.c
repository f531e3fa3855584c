#include "keeping.h"
#include "../control/closed_nodes.h"
#include "../control/guest.h"
#include "keeping_inside.h"
#include "log_name.h"

#include <errno.h>
#include <libxml/parser.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS	    1000000000ull
#define COALESCE_MS 200 /* who re-pins one vCPU does so with the next */
/* Rounds that events begin: 1/20 of a CPU at most, unless one costs more than 100 ms of it. */
#define EVENT_CPU_SHARE 20
#define PAUSE_MS_MAX	2000

/* ---- Which domains there are ----------------------------------------------------------------- */

static void drop(struct kept *kept)
{
	if (!kept)
		return;
	gmig_job_put(kept->job);
	vcpu_watch_free(&kept->watch);
	free(kept->look);
	free(kept->ram);
	domain_put(kept->domain); /* may be the last one, and wait for jobs */
	free(kept);
}

static struct kept *adopt(struct domain *domain)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if (kept)
		kept->look = calloc(1, sizeof(*kept->look));
	if (!kept || !kept->look) {
		free(kept);
		return NULL;
	}
	kept->domain = domain_get(domain);
	policy_init(&kept->metadata);
	policy_init(&kept->policy);
	return kept;
}

struct gathering {
	struct domain **domain;
	size_t count, room;
	bool partly; /* there was no memory for all */
};

/* Under the table's lock. By name: of two with one name the second one waits until the first has gone. */
static void gather(void *opaque, const struct domains_entry *entry)
{
	struct gathering *list = opaque;
	struct domain **bigger;

	if (!entry->domain || (list->count && !strcmp(domain_name(list->domain[list->count - 1]),
						      domain_name(entry->domain))))
		return;
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;

		bigger = reallocarray(list->domain, room, sizeof(struct domain *));
		list->partly |= !bigger;
		if (!bigger)
			return; /* it is seen in a later round */
		list->domain = bigger;
		list->room = room;
	}
	list->domain[list->count++] = domain_get(entry->domain);
}

static struct kept *take_old(struct keeping *keeping, const struct domain *domain)
{
	for (size_t i = 0; i < keeping->count; i++) {
		struct kept *kept = keeping->kept[i];

		if (kept->domain == domain && !kept->present) {
			kept->present = true;
			return kept;
		}
	}
	return NULL;
}

/* What is known of a domain goes with its process. */
static void update(struct keeping *keeping)
{
	struct gathering list = {NULL, 0, 0, false};
	struct kept **fresh, **old = keeping->kept;
	size_t old_count = keeping->count, count = 0;

	domains_each(keeping->options.domains, gather, &list);
	/* Of a list in part those that are missing have not gone: what is known stays as it is. */
	fresh = list.partly ? NULL : calloc(list.count + 1, sizeof(struct kept *));
	for (size_t i = 0; i < list.count; i++) {
		struct kept *kept = fresh ? take_old(keeping, list.domain[i]) : NULL;

		if (fresh && !kept)
			kept = adopt(list.domain[i]);
		if (kept)
			fresh[count++] = kept;
		domain_put(list.domain[i]);
	}
	free(list.domain);
	if (!fresh)
		return;
	pthread_mutex_lock(&keeping->lock);
	keeping->kept = fresh;
	keeping->count = count;
	pthread_mutex_unlock(&keeping->lock);
	for (size_t i = 0; i < old_count; i++)
		if (!old[i]->present)
			drop(old[i]);
	free(old);
	for (size_t i = 0; i < count; i++)
		fresh[i]->present = false;
}

/* ---- Moves ----------------------------------------------------------------------------------- */

static bool is_moving(const struct keeping *keeping)
{
	for (size_t i = 0; i < keeping->count; i++)
		if (keeping->kept[i]->job)
			return true;
	return false;
}

static struct gmig_job_spec spec_of(const struct keeper_move *move)
{
	struct gmig_job_spec spec = {.from_count = move->from_count,
				     .to = {move->to},
				     .to_count = 1,
				     .max_bytes = move->max_bytes,
				     .rate_bytes_per_second = move->rate_bytes,
				     .max_stall_ns = move->max_stall_ns,
				     .max_slowdown_ppm = move->max_slowdown_ppm,
				     .user = GUEST_VCPUS_KEEP};

	memcpy(spec.from, move->from, move->from_count * sizeof(*move->from));
	return spec;
}

static const char *nodes_text(const struct keeper_move *move, char *text, size_t bytes)
{
	struct gmig_node_set set = {{0}};

	for (unsigned int i = 0; i < move->from_count; i++)
		gmig_node_set_add(&set, move->from[i]);
	return gmig_node_set_print(&set, text, bytes);
}

static void start_move(struct keeping *keeping, const struct keeper_move *move)
{
	struct kept *kept = keeping->kept[move->domain];
	const struct gmig_job_spec spec = spec_of(move);
	const char *name = domain_name(kept->domain);
	struct gmig_error err = {0, ""};
	struct gmig_job_info info;
	struct gmig_job *job;
	char from[64];
	int ret;

	kept->move = *move;
	nodes_text(move, from, sizeof(from));
	ret = domain_start_unasked_job(kept->domain, &spec, &job, &err);
	if (ret) {
		keeping_log(keeping, GMIG_LOG_WARNING,
			    "domain=%s its memory does not follow its vCPUs from=%s to=%u "
			    "reason=%.250s",
			    log_name(name).text, from, move->to, err.text);
		keeper_ended(keeping->keeper, name, move,
			     ret == -EINPROGRESS ? KEEPER_YIELDED : KEEPER_FAILED, 0, 0, err.text,
			     keeping_now(keeping) / NS);
		return;
	}
	gmig_job_info(job, &info);
	pthread_mutex_lock(&keeping->lock);
	kept->job = job;
	kept->jobs[info.id % KEPT_JOBS].id = info.id;
	snprintf(kept->jobs[info.id % KEPT_JOBS].reason, KEEPER_REASON, "%s", move->reason);
	pthread_mutex_unlock(&keeping->lock);
	keeping_log(keeping, GMIG_LOG_INFO,
		    "domain=%s job=%llu its memory follows its vCPUs from=%s to=%u bytes=%llu "
		    "rate=%llu reason=%s",
		    log_name(name).text, (unsigned long long)info.id, from, move->to,
		    (unsigned long long)move->bytes, (unsigned long long)move->rate_bytes,
		    move->reason);
}

void keeping_job_event(struct keeping *keeping, const struct gmig_job_info *info)
{
	if (info->state >= GMIG_JOB_COMPLETED)
		keeping_wake(keeping);
}

/* ---- A round --------------------------------------------------------------------------------- */

static void picture_domain(const struct kept *kept, struct keeper_domain *domain)
{
	*domain = (struct keeper_domain){.name = domain_name(kept->domain),
					 .policy = kept->merged && !kept->error.code ? &kept->policy
										     : NULL,
					 .vcpu_nodes = kept->vcpu_nodes,
					 .ram = kept->looked ? kept->ram : NULL,
					 .ram_count = kept->looked ? kept->ram_count : 0,
					 .time = kept->watch.time,
					 .time_count = kept->watch.time_count,
					 .vcpus = kept->watch.vcpus,
					 .pinned = kept->pinned,
					 .job_runs = kept->live_count || kept->job,
					 .hand_jobs = kept->hand_jobs};
}

/* A change of state is said once; the seconds in a reason are none. */
static void publish(struct keeping *keeping, struct kept *kept,
		    const struct keeper_verdict *verdict)
{
	bool changed = kept->verdict.state != verdict->state;

	kept->verdict = *verdict;
	if (!kept->merged || kept->error.code)
		return; /* shown by keeping_policy.c */
	pthread_mutex_lock(&keeping->lock);
	snprintf(kept->shown.state, sizeof(kept->shown.state), "%s",
		 keeper_state_name(verdict->state));
	snprintf(kept->shown.text, sizeof(kept->shown.text), "%s", verdict->reason);
	pthread_mutex_unlock(&keeping->lock);
	if (changed && kept->policy.placement != POLICY_NONE && verdict->state != KEEPER_MOVES)
		keeping_log(keeping, GMIG_LOG_INFO, "domain=%s state=%s reason=%s",
			    log_name(domain_name(kept->domain)).text,
			    keeper_state_name(verdict->state), verdict->reason);
}

static void local_now(const struct keeping *keeping, struct tm *now)
{
	time_t seconds = time(NULL);

	if (keeping->options.local_time)
		keeping->options.local_time(keeping->options.opaque, now);
	else
		localtime_r(&seconds, now);
}

static void decide(struct keeping *keeping, const struct host_view *view)
{
	struct keeper_domain *domains = calloc(keeping->count + 1, sizeof(*domains));
	struct keeper_verdict *verdicts = calloc(keeping->count + 1, sizeof(*verdicts));
	struct keeper_answer *answer = calloc(1, sizeof(*answer));
	struct keeper_picture picture = {.host = &view->host,
					 .domains = domains,
					 .count = keeping->count,
					 .now_seconds = keeping_now(keeping) / NS,
					 .moving = is_moving(keeping),
					 .why_not = keeping->why_not};
	struct gmig_error err = {0, ""};

	if (domains && verdicts && answer) {
		local_now(keeping, &picture.local);
		answer->verdicts = verdicts;
		for (size_t i = 0; i < keeping->count; i++)
			picture_domain(keeping->kept[i], &domains[i]);
		if (keeper_decide(keeping->keeper, &picture, answer, &err) &&
		    strcmp(err.text, keeping->said) != 0)
			keeping_log(keeping, GMIG_LOG_WARNING, "no plan: %s", err.text);
		memcpy(keeping->said, err.text, sizeof(err.text));
		keeping->score = answer->score;
		for (size_t i = 0; i < keeping->count; i++)
			publish(keeping, keeping->kept[i], &verdicts[i]);
		if (answer->moves)
			start_move(keeping, &answer->move);
	}
	free(domains);
	free(verdicts);
	free(answer);
}

/* Nodes come and go, are closed and opened. Where that is not known, nothing is moved unasked. */
static int look_at_host(struct keeping *keeping, struct host_view *view)
{
	struct gmig_node_set closed = {{0}};
	struct gmig_topology *fresh;
	struct gmig_error err = {0, ""};
	int ret;

	keeping->why_not = NULL;
	if (!gmig_topology_refresh(keeping->topology, &fresh, NULL)) {
		gmig_topology_put(keeping->topology);
		keeping->topology = fresh;
	}
	if (closed_nodes_read(&closed, &err)) {
		if (strcmp(err.text, keeping->why_not_text) != 0)
			keeping_log(keeping, GMIG_LOG_WARNING, "nothing is moved unasked: %s",
				    err.text);
		keeping->why_not = keeping->why_not_text;
	}
	memcpy(keeping->why_not_text, err.text, sizeof(err.text));
	err.text[0] = '\0';
	ret = host_view_read(keeping->topology, keeping->options.host->qemu.root, &closed, view,
			     &err);
	if (ret && strcmp(err.text, keeping->unseen_text) != 0)
		keeping_log(keeping, GMIG_LOG_WARNING, "nothing is moved unasked: %s", err.text);
	memcpy(keeping->unseen_text, err.text, sizeof(err.text));
	return ret;
}

static void copy_conf(struct keeping *keeping, uint64_t *interval_ns, char **metrics)
{
	pthread_mutex_lock(&keeping->lock);
	*interval_ns = keeping->conf->scan_interval_ns;
	*metrics = keeping->conf->metrics ? strdup(keeping->conf->metrics) : NULL;
	pthread_mutex_unlock(&keeping->lock);
}

/* In ms, when something is to be looked at again. */
static int next_ms(const struct keeping *keeping, uint64_t interval_ns)
{
	uint64_t now = keeping_now(keeping), least_ns = keeping->unread ? NS : interval_ns;

	for (size_t i = 0; i < keeping->count; i++) {
		const struct kept *kept = keeping->kept[i];
		uint64_t wait_ns = kept->verdict.wait_seconds * NS;
		uint64_t soon_ns = kept->look_soon_ns > now ? kept->look_soon_ns - now : 0;

		if (wait_ns && wait_ns < least_ns)
			least_ns = wait_ns;
		if (soon_ns && soon_ns < least_ns)
			least_ns = soon_ns;
		if (kept->look_now && NS < least_ns)
			least_ns = NS;
	}
	return (int)((least_ns + 999999) / 1000000);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

int keeping_round(struct keeping *keeping)
{
	uint64_t began_ns = keeping_now(keeping), began_cpu_ns = cpu_ns();
	uint64_t used_ns, interval_ns;
	struct host_view view;
	char *metrics;

	keeping->counting_cpu_ns = 0;
	copy_conf(keeping, &interval_ns, &metrics);
	update(keeping);
	/* Ends of moves are noticed whatever can be seen of the host. */
	for (size_t i = 0; i < keeping->count && !keeping_is_ending(keeping); i++)
		keeping_poll_jobs(keeping, keeping->kept[i]);
	if (!look_at_host(keeping, &view)) {
		keeping_read_policies(keeping);
		for (size_t i = 0; i < keeping->count && !keeping_is_ending(keeping); i++)
			keeping_watch_one(keeping, keeping->kept[i], &view, interval_ns);
		if (!keeping_is_ending(keeping))
			decide(keeping, &view);
		host_view_free(&view);
	}
	keeping->scan_seconds = (double)(keeping_now(keeping) - began_ns) / 1e9;
	used_ns = cpu_ns() - began_cpu_ns;
	keeping->cpu_ns += used_ns;
	keeping->round_cpu_ns = used_ns - keeping->counting_cpu_ns;
	if (metrics && !keeping_is_ending(keeping))
		keeping_write_metrics(keeping, metrics);
	free(metrics);
	return next_ms(keeping, interval_ns);
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* Until `ms` have passed, or it is woken, or it ends. True: it ends. */
static bool rest(struct keeping *keeping, int ms, bool wakes)
{
	struct timespec until;
	int ret = 0;
	bool ending;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms % 1000 * 1000000l;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000l;
	until.tv_nsec %= 1000000000l;
	pthread_mutex_lock(&keeping->lock);
	while (!keeping->ending && !(wakes && keeping->woken) && ret != ETIMEDOUT)
		ret = pthread_cond_timedwait(&keeping->wake, &keeping->lock, &until);
	ending = keeping->ending;
	if (!wakes)
		keeping->woken = false;
	pthread_mutex_unlock(&keeping->lock);
	return ending;
}

/*
 * What changes each second, at one domain of a thousand, must not cost a CPU: a round that was begun by an event pays for itself. What
 * counting costs has its own limit.
 */
int keeping_pause_ms(const struct keeping *keeping)
{
	uint64_t ms = keeping->round_cpu_ns * EVENT_CPU_SHARE / 1000000;

	if (ms > PAUSE_MS_MAX)
		ms = PAUSE_MS_MAX;
	return ms > COALESCE_MS ? (int)ms : COALESCE_MS;
}

static void *keep(void *opaque)
{
	struct keeping *keeping = opaque;

	pthread_setname_np(pthread_self(), "gmigd-keep");
	while (!rest(keeping, keeping_pause_ms(keeping), false))
		if (rest(keeping, keeping_round(keeping), true))
			break;
	return NULL;
}

int keeping_start(struct keeping *keeping, struct gmig_error *err)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&keeping->thread, NULL, keep, keeping);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	keeping->has_thread = !ret;
	return ret ? gmig_fail(err, -ret, "no thread to keep placements: %s", strerror(ret)) : 0;
}

/* ---- Told by others -------------------------------------------------------------------------- */

static void wake_locked(struct keeping *keeping)
{
	keeping->woken = true;
	pthread_cond_signal(&keeping->wake);
}

void keeping_wake(struct keeping *keeping)
{
	if (!keeping)
		return;
	pthread_mutex_lock(&keeping->lock);
	wake_locked(keeping);
	pthread_mutex_unlock(&keeping->lock);
}

static void make_stale(struct keeping *keeping, const char *uuid)
{
	for (size_t i = 0; i < keeping->count; i++)
		if (!uuid || !strcmp(domain_uuid(keeping->kept[i]->domain), uuid))
			keeping->kept[i]->stale = true;
	wake_locked(keeping);
}

void keeping_domain_changed(struct keeping *keeping, const char *uuid)
{
	if (!keeping)
		return;
	pthread_mutex_lock(&keeping->lock);
	make_stale(keeping, uuid);
	pthread_mutex_unlock(&keeping->lock);
}

void keeping_set_conf(struct keeping *keeping, const struct gmigd_conf *conf)
{
	if (!keeping)
		return;
	pthread_mutex_lock(&keeping->lock);
	keeping->conf = conf;
	keeping->conf_number++;
	make_stale(keeping, NULL);
	pthread_mutex_unlock(&keeping->lock);
}

/* ---- Life ------------------------------------------------------------------------------------ */

int keeping_create(const struct keeping_options *options, const struct gmigd_conf *conf,
		   struct keeping **out, struct gmig_error *err)
{
	struct keeping *keeping = calloc(1, sizeof(*keeping));
	pthread_condattr_t monotonic;
	int ret = keeping ? keeper_create(&keeping->keeper, err)
			  : gmig_fail(err, -ENOMEM, "out of memory");

	if (ret) {
		free(keeping);
		return ret;
	}
	xmlInitParser(); /* ahead of the thread that reads XML */
	keeping->options = *options;
	keeping->conf = conf;
	keeping->topology = gmig_topology_get(options->host->topology);
	keeping->score =
	    (struct placement_scores){PLACEMENT_NO_SCORE, PLACEMENT_NO_SCORE, PLACEMENT_NO_SCORE};
	pthread_mutex_init(&keeping->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&keeping->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = keeping;
	return 0;
}

void keeping_destroy(struct keeping *keeping)
{
	if (!keeping)
		return;
	if (keeping->has_thread) {
		pthread_mutex_lock(&keeping->lock);
		keeping->ending = true;
		pthread_cond_signal(&keeping->wake);
		pthread_mutex_unlock(&keeping->lock);
		pthread_join(keeping->thread, NULL);
	}
	for (size_t i = 0; i < keeping->count; i++)
		drop(keeping->kept[i]);
	free(keeping->kept);
	keeper_destroy(keeping->keeper);
	gmig_topology_put(keeping->topology);
	pthread_cond_destroy(&keeping->wake);
	pthread_mutex_destroy(&keeping->lock);
	free(keeping);
}
