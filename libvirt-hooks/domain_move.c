/* Moves of a domain's memory, and its cpusets meanwhile; see domain.h. */
#include "../migrate/core/shortage.h"
#include "domain_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOCK_MS	      3000
#define LOCK_PAUSE_MS 5

/* ---- Those that run -------------------------------------------------------------------------- */

/* Before it is started, so that it is in the journal; its number follows. */
static struct move_journal_job *add_job(struct domain *domain, const struct gmig_job_spec *spec,
					bool unasked)
{
	struct move_journal_job *bigger =
	    reallocarray(domain->job, domain->jobs + 1, sizeof(*bigger));

	if (!bigger)
		return NULL;
	domain->job = bigger;
	bigger[domain->jobs] = (struct move_journal_job){.unasked = unasked, .spec = *spec};
	return &bigger[domain->jobs++];
}

/* id 0: it was not started. */
static void drop_job(struct domain *domain, uint64_t id)
{
	for (unsigned int i = 0; i < domain->jobs; i++)
		if (domain->job[i].id == id) {
			domain->job[i] = domain->job[--domain->jobs];
			return;
		}
}

static bool has_job(const struct domain *domain, bool unasked)
{
	for (unsigned int i = 0; i < domain->jobs; i++)
		if (domain->job[i].unasked == unasked)
			return true;
	return false;
}

/*
 * A job that was asked for is about to start: the one that was not gives way. It is marked before the start, because the engine leaves
 * pages to a later job that wants them, and the earlier one may end at once.
 */
static void mark_unasked(struct domain *domain)
{
	for (unsigned int i = 0; i < domain->jobs; i++)
		if (domain->job[i].unasked)
			atomic_store(&domain->gave_way, domain->job[i].id);
}

static bool left_to_others(struct gmig_job *job)
{
	struct gmig_job_info info;

	gmig_job_info(job, &info);
	return info.state == GMIG_JOB_COMPLETED && info.by_others_bytes;
}

/* Whoever began it. */
static void give_way(struct domain *domain)
{
	for (unsigned int i = 0; i < domain->jobs; i++) {
		uint64_t id = domain->job[i].id;
		struct gmig_job *job =
		    domain->job[i].unasked ? gmig_process_job_find(domain->process, id) : NULL;

		if (!job)
			continue;
		if (!gmig_job_cancel(job) || left_to_others(job))
			domain_log(domain, GMIG_LOG_INFO,
				   "job=%llu gives way reason=a job was asked for",
				   (unsigned long long)id);
		gmig_job_put(job);
	}
}

bool domain_gave_way(const struct domain *domain, uint64_t job)
{
	return job && atomic_load(&domain->gave_way) == job;
}

/* ---- The end of the last move ---------------------------------------------------------------- */

static uint64_t keep_bytes(const struct domain *domain)
{
	return domain->host->keep_bytes ? domain->host->keep_bytes : DOMAIN_KEEP_BYTES;
}

/* Nodes that hold too much guest memory to lose them. Not known: all that it was widened by. */
static struct gmig_node_set nodes_to_keep(const struct domain *domain,
					  const struct domain_look *look)
{
	uint64_t most = keep_bytes(domain);
	struct gmig_node_set keep = {{0}};

	if (!look)
		memset(&keep, 0xff, sizeof(keep));
	for (unsigned int node = 0; look && node < GMIG_MAX_NODES; node++)
		if (look->usage.ram_bytes[node] > most)
			gmig_node_set_add(&keep, node);
	return keep;
}

/* To be freed. NULL: it cannot be known. */
static struct domain_look *look_now(struct domain *domain)
{
	struct domain_look *look = malloc(sizeof(*look));

	if (look && !domain_look(domain, look, NULL))
		return look;
	free(look);
	return NULL;
}

/*
 * Does something stay on nodes that it was to leave? It is said to whoever asks, until a move that is completed has narrowed the sets to nodes without them, or
 * has made one of them its target: one that is refused or cancelled has changed nothing of it.
 */
static bool note_kept(struct domain *domain, const struct gmig_node_set *keep)
{
	struct gmig_node_set kept = {{0}}, wanted = cpuset_scope_nodes(domain->scope), all;

	for (size_t i = 0; i < domain->scope->count; i++)
		gmig_node_set_or(&kept, &domain->scope->group[i].wide);
	gmig_node_set_and(&kept, keep);
	gmig_node_set_minus(&kept, &wanted);
	domain_kept_recall(domain);
	all = domain->kept;
	gmig_node_set_and(&all, &wanted);
	gmig_node_set_or(&all, &kept);
	domain_kept_note(domain, &all);
	return !gmig_node_set_empty(&kept);
}

/*
 * Under move_lock, when no job is left: the sets go to what their groups had before, as far as moves were completed, and `keep`. Where one was completed libvirt
 * is told, however the last one has ended; and where it has not heard of an earlier one. The journal goes when the sets are narrow, and not before what libvirt
 * is to be told is on disk; where narrowing fails it stays, and the next gmigd tries again.
 */
static void narrow(struct domain *domain, const struct gmig_node_set *keep)
{
	struct gmig_error err = {0};
	bool told = false, kept = note_kept(domain, keep);
	unsigned int others = 0;
	int ret = 0;

	domain->completed |= !gmig_node_set_empty(&domain->untold);
	/*
	 * Where nothing had to be widened there is none yet. Without it a kill from here on would be taken for one in mid-move, which ends in the same place, or
	 * leave some groups wide, and nobody would know why.
	 */
	if (domain->journaled || cpuset_scope_narrows(domain->scope, keep))
		domain_journal_write(domain, keep, NULL);
	domain_kept_save(domain);
	if (domain->scope->count)
		ret = cpuset_scope_narrow(domain->scope, keep, &others, &err);
	if (!ret && !others && !kept && domain->completed)
		told = domain_tell_intend(domain, domain->scope);
	if (!told && domain->completed)
		domain_tell_skip(domain, domain->scope);
	if (ret)
		snprintf(domain->note, sizeof(domain->note), "its cpusets are %s: %.260s",
			 cpuset_scope_is_narrow(domain->scope, keep)
			     ? "narrow, but not all is put back"
			     : "still wider",
			 err.text);
	else
		domain_journal_remove(domain);
	domain->completed &= ret != 0;
	if (others)
		domain_log(
		    domain, GMIG_LOG_WARNING,
		    "cpusets others=%u written by somebody else during the move: left as they are",
		    others);
	if (told)
		domain_tell(domain);
	if (domain->note[0])
		domain_log(domain, GMIG_LOG_WARNING, "%s", domain->note);
	if (domain->tell_note[0])
		domain_log(domain, GMIG_LOG_WARNING, "%s", domain->tell_note);
	cpuset_scope_free(domain->scope);
	domain->scope = NULL;
	memset(&domain->wide, 0, sizeof(domain->wide));
}

/*
 * A move that is completed has asked where all memory of the process lies: is so little left on the nodes which it was to leave that nothing is to be kept,
 * and are these all that the sets were widened by? Then memory need not be looked at once more, which takes a fifth of the time of the move.
 */
static bool nothing_to_keep(const struct domain *domain, const struct gmig_job_info *info)
{
	struct gmig_node_set rest = {{0}}, wanted = cpuset_scope_nodes(domain->scope);

	if (info->state != GMIG_JOB_COMPLETED || info->spec.max_bytes ||
	    info->bytes_on_source > keep_bytes(domain))
		return false;
	for (size_t i = 0; i < domain->scope->count; i++)
		gmig_node_set_or(&rest, &domain->scope->group[i].wide);
	gmig_node_set_minus(&rest, &wanted);
	for (unsigned int i = 0; i < info->spec.from_count; i++)
		gmig_node_set_remove(&rest, info->spec.from[i]);
	return gmig_node_set_empty(&rest);
}

/* look: where memory lies now; NULL: not known yet. ended: the last job; NULL: there was none. */
static void end_moves(struct domain *domain, const struct domain_look *look,
		      const struct gmig_job_info *ended)
{
	struct domain_look *own = NULL;
	struct gmig_node_set keep = {{0}};

	if (look || !ended || !nothing_to_keep(domain, ended)) {
		own = look ? NULL : look_now(domain);
		keep = nodes_to_keep(domain, look ? look : own);
	}
	narrow(domain, &keep);
	free(own);
}

static bool leaves_a_node_of(const struct move_journal_job *job, const struct gmig_job_spec *spec)
{
	for (unsigned int i = 0; i < job->spec.from_count; i++)
		for (unsigned int j = 0; j < spec->from_count; j++)
			if (job->spec.from[i] == spec->from[j])
				return true;
	return false;
}

/* Completed, since one that was accepted later has taken all pages from it: where they went is that one's to say. */
static bool taken_over(const struct domain *domain, const struct gmig_job_info *info)
{
	for (unsigned int i = 0; i < domain->jobs; i++)
		if (domain->job[i].id > info->id && info->moved_bytes <= keep_bytes(domain) &&
		    leaves_a_node_of(&domain->job[i], &info->spec))
			return true;
	return false;
}

static void job_ended(struct domain *domain, const struct gmig_job_info *info)
{
	const struct cpuset_map map = {.from = info->spec.from,
				       .to = info->spec.to,
				       .from_count = info->spec.from_count,
				       .to_count = info->spec.to_count};
	bool completed = info->state == GMIG_JOB_COMPLETED;
	struct domain_look *look = NULL;
	struct pin_moves moves;

	domain_log(domain, info->state == GMIG_JOB_FAILED ? GMIG_LOG_ERROR : GMIG_LOG_INFO,
		   "job=%llu %s moved_bytes=%llu remaining_bytes=%llu%s%.200s",
		   (unsigned long long)info->id, gmig_job_state_name(info->state),
		   (unsigned long long)info->moved_bytes, (unsigned long long)info->remaining_bytes,
		   info->error.text[0] ? " error=" : "", info->error.text);
	pthread_mutex_lock(&domain->move_lock);
	if (info->spec.user == GUEST_VCPUS_ALL)
		look = look_now(domain);
	domain_pins_intend(domain, info, look, &moves);
	if (completed && !taken_over(domain, info)) {
		cpuset_scope_moved(domain->scope, &map);
		domain->completed = true;
		domain_kept_moved(domain, &map);
	}
	drop_job(domain, info->id);
	if (!domain->jobs)
		end_moves(domain, look, info);
	else if (domain->journaled)
		domain_journal_write(domain, NULL, NULL); /* a kill must not repeat it */
	/* Last: the cpusets are wide for no longer than they need. */
	domain_pins_follow(domain, info->id, &moves);
	free(look);
	pthread_mutex_unlock(&domain->move_lock);
}

void domain_on_job(void *opaque, const struct gmig_job_info *info)
{
	struct domain *domain = opaque;

	/* The end is told once. Clients hear of it when the cpusets are as they are to be. */
	if (info->state >= GMIG_JOB_COMPLETED)
		job_ended(domain, info);
	if (domain->host->job_event)
		domain->host->job_event(domain->host->opaque, domain, info);
}

/* ---- Their beginning ------------------------------------------------------------------------- */

/*
 * Where the last narrowing has failed, the sets are still wider, and what they are to be is in the journal alone. Nodes that they have
 * stay in them until the end: memory may lie there.
 */
static int read_scope(struct domain *domain, struct gmig_node_set *wide, struct gmig_error *err)
{
	struct move_journal journal;
	int ret = cpuset_scope_read(&domain->host->cpusets, domain->qemu.pid, &domain->scope, err);

	if (ret || !domain->journaled)
		return ret;
	ret = domain_journal_read(domain, &journal, err);
	if (ret) {
		cpuset_scope_free(domain->scope);
		domain->scope = NULL;
		return ret;
	}
	domain->completed |= journal.completed;
	move_journal_apply(&journal, domain->scope);
	move_journal_free(&journal);
	for (size_t i = 0; i < domain->scope->count; i++)
		gmig_node_set_or(wide, &domain->scope->group[i].now);
	return 0;
}

/* Under move_lock. The scope, with room for the targets of this one, too. */
static int widen(struct domain *domain, struct gmig_node_set *wide, struct gmig_error *err)
{
	int ret = domain->scope ? 0 : read_scope(domain, wide, err);

	if (!ret)
		ret = cpuset_scope_plan(domain->scope, wide, err);
	if (ret || (!cpuset_scope_is_wide(domain->scope) && !domain->journaled))
		return ret;
	ret = domain_journal_write(domain, NULL, err);
	return ret ? ret : cpuset_scope_widen(domain->scope, err);
}

/* One did not start beside others: it is dropped, and after a kill from here on only these go on. */
static void forget_refused(struct domain *domain)
{
	if (domain->journaled)
		domain_journal_write(domain, NULL, NULL);
}

/* It could not be widened, and is as it was: for the jobs that run, or for none. left: an earlier one is still to be narrowed. */
static void give_up(struct domain *domain, bool left)
{
	if (domain->jobs) {
		cpuset_scope_plan(domain->scope, &domain->wide, NULL);
		forget_refused(domain);
		return;
	}
	if (left) {
		for (size_t i = 0; domain->scope && i < domain->scope->count; i++)
			domain->scope->group[i].wide = domain->scope->group[i].now;
		if (domain->scope)
			end_moves(domain, NULL, NULL);
		return;
	}
	cpuset_scope_free(domain->scope);
	domain->scope = NULL;
	domain_journal_remove(domain);
}

static int run_job(struct domain *domain, struct move_journal_job *own, struct gmig_job **job,
		   struct gmig_error *err)
{
	struct gmig_job_info info;
	int ret = gmig_process_job_start(domain->process, &own->spec, job, err);

	if (ret) {
		drop_job(domain, 0);
		return ret;
	}
	gmig_job_info(*job, &info);
	own->id = info.id; /* its end waits for our lock */
	return 0;
}

static int start_job(struct domain *domain, const struct gmig_job_spec *spec, bool unasked,
		     struct gmig_job **job, struct gmig_error *err)
{
	struct gmig_node_set wide = domain->wide;
	bool left = domain->journaled && !domain->scope;
	struct move_journal_job *own = add_job(domain, spec, unasked);
	int ret;

	if (!own)
		return gmig_fail(err, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < spec->to_count; i++)
		gmig_node_set_add(&wide, spec->to[i]);
	ret = widen(domain, &wide, err);
	if (ret) {
		drop_job(domain, 0);
		give_up(domain, left);
		return ret;
	}
	domain->wide = wide;
	ret = run_job(domain, own, job, err);
	if (ret && domain->jobs)
		forget_refused(domain);
	else if (ret)
		end_moves(domain, NULL, NULL);
	return ret;
}

/*
 * The end of a move waits for libvirt, and whoever starts one is the thread that serves all clients. Not by pthread_mutex_clocklock(3),
 * which ThreadSanitizer does not know.
 */
static bool lock_soon(pthread_mutex_t *lock)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000};

	for (int waited_ms = 0; waited_ms < LOCK_MS; waited_ms += LOCK_PAUSE_MS) {
		if (!pthread_mutex_trylock(lock))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static int recover_moves(struct domain *domain);

/* Under move_lock: 0, or why it may not. Moves of an earlier gmigd that could not be gone on with come first. */
static int may_start(struct domain *domain, const struct gmig_job_spec *spec, bool unasked,
		     struct gmig_error *err)
{
	bool late = domain->unread[0];
	int ret;

	if (late)
		recover_moves(domain);
	if (domain->unread[0])
		return gmig_fail(err, -EIO, "%s", domain->unread);
	ret = domain_aside_check(domain, unasked, err);
	if (!ret && unasked && has_job(domain, false))
		ret = gmig_fail(err, -EINPROGRESS, "a move that was asked for runs");
	if (!ret && unasked && late && domain->jobs)
		ret = gmig_fail(err, -EINPROGRESS, "an interrupted move goes on");
	return ret ? ret : domain_pins_check(domain, spec, err);
}

static int start_soon(struct domain *domain, const struct gmig_job_spec *spec, bool unasked,
		      struct gmig_job **job, struct gmig_error *err)
{
	int ret = qemu_process_check(&domain->qemu, err);
	uint64_t marked;

	if (ret)
		return ret;
	if (!lock_soon(&domain->move_lock))
		return gmig_fail(
		    err, -EBUSY,
		    "a move of domain %.60s is just ending, and libvirt is told of it: try again",
		    domain->name);
	ret = may_start(domain, spec, unasked, err);
	marked = atomic_load(&domain->gave_way);
	if (!ret && !unasked)
		mark_unasked(domain);
	if (!ret)
		ret = start_job(domain, spec, unasked, job, err);
	if (ret)
		atomic_store(&domain->gave_way, marked);
	else if (!unasked)
		give_way(domain);
	pthread_mutex_unlock(&domain->move_lock);
	return ret;
}

int domain_start_job(struct domain *domain, const struct gmig_job_spec *spec, struct gmig_job **job,
		     struct gmig_error *err)
{
	return start_soon(domain, spec, false, job, err);
}

int domain_start_unasked_job(struct domain *domain, const struct gmig_job_spec *spec,
			     struct gmig_job **job, struct gmig_error *err)
{
	return start_soon(domain, spec, true, job, err);
}

uint64_t domain_resumed_unasked(const struct domain *domain)
{
	return atomic_load(&domain->resumed_unasked);
}

/* ---- After a gmigd that was killed ----------------------------------------------------------- */

/* One move goes on where it was, by the rate and between the nodes that it was told. False: it does not. */
static bool resume_one(struct domain *domain, const struct move_journal_job *from, bool asked)
{
	struct move_journal_job *own;
	struct gmig_error err = {0};
	struct gmig_job *job;

	if (from->spec.max_bytes) {
		/* How much of it was done is not known: it would move more than it was told to. */
		domain_log(domain, GMIG_LOG_WARNING,
			   "interrupted move of at most %llu bytes does not go on",
			   (unsigned long long)from->spec.max_bytes);
		return false;
	}
	if (from->unasked && asked) {
		domain_log(domain, GMIG_LOG_INFO,
			   "interrupted move gives way reason=a job was asked for");
		return false;
	}
	own = add_job(domain, &from->spec, from->unasked);
	if (!own || run_job(domain, own, &job, &err)) {
		domain_log(domain, GMIG_LOG_WARNING, "interrupted move cannot go on: %s", err.text);
		return false;
	}
	domain->resumed = true;
	if (from->unasked)
		atomic_store(&domain->resumed_unasked, own->id);
	domain_log(domain, GMIG_LOG_WARNING, "interrupted move goes on");
	gmig_job_put(job);
	return true;
}

static void resume(struct domain *domain, const struct move_journal *journal)
{
	struct gmig_error err = {0};
	size_t resumed = 0;
	bool asked = false;

	for (size_t i = 0; i < journal->job_count; i++) {
		asked |= !journal->job[i].unasked;
		for (unsigned int j = 0; j < journal->job[i].spec.to_count; j++)
			gmig_node_set_add(&domain->wide, journal->job[i].spec.to[j]);
	}
	if (cpuset_scope_widen(domain->scope, &err))
		domain_log(domain, GMIG_LOG_WARNING, "interrupted move cannot go on: %s", err.text);
	else
		for (size_t i = 0; i < journal->job_count; i++)
			resumed += resume_one(domain, &journal->job[i], asked);
	if (!resumed)
		end_moves(domain, NULL, NULL);
	else if (resumed < journal->job_count)
		domain_journal_write(domain, NULL, NULL);
}

/* -errno: what its cpusets are cannot be told. */
static int recover_from(struct domain *domain, const struct move_journal *journal,
			struct gmig_error *err)
{
	int ret = cpuset_scope_read(&domain->host->cpusets, domain->qemu.pid, &domain->scope, err);

	domain->journaled = true;
	if (ret)
		return ret;
	domain->completed = journal->completed;
	move_journal_apply(journal, domain->scope);
	if (journal->narrowing)
		narrow(domain, &journal->keep);
	else
		resume(domain, journal);
	return 0;
}

/* What an earlier gmigd's journal says is done. -errno: what its cpusets are cannot be told. */
static int recover_all(struct domain *domain, const struct move_journal *journal,
		       struct gmig_error *err)
{
	bool ours =
	    journal->pid == domain->qemu.pid && journal->start_time == domain->qemu.start_time;

	domain_kept_recover(domain, ours && journal->has_kept ? &journal->kept : NULL);
	if (ours)
		return recover_from(domain, journal, err);
	/* Of a process that has gone, and its cgroups with it. */
	move_journal_remove(domain->host->journals, domain->uuid);
	return 0;
}

/*
 * Under move_lock, as long as it is not known what an earlier gmigd has left: -ENOENT nothing. What cannot be read now, for want of descriptors, say, is in
 * domain->unread afterwards.
 */
static int recover_moves(struct domain *domain)
{
	struct gmig_error err = {0};
	struct move_journal journal;
	bool again = domain->unread[0], unread;
	int ret = domain_journal_read(domain, &journal, &err);

	unread = ret && ret != -ENOENT && ret != -EBADMSG;
	domain->journaled = unread;
	if (!ret) {
		ret = recover_all(domain, &journal, &err);
		unread = is_shortage(ret);
		if (ret && !again)
			domain_log(domain, GMIG_LOG_ERROR, "interrupted move: %s", err.text);
		move_journal_free(&journal);
	} else if (!unread || !again) {
		domain_kept_recover(domain, NULL);
	}
	domain->unread[0] = '\0';
	if (unread)
		snprintf(domain->unread, sizeof(domain->unread),
			 "%.220s: whether a move of before is to go on is not known, and it is "
			 "tried again; no other one begins",
			 err.text);
	return ret;
}

void domain_recover(struct domain *domain)
{
	int ret;

	domain_pins_recover(domain);
	domain_tell_recover(domain);
	pthread_mutex_lock(&domain->move_lock);
	ret = recover_moves(domain);
	pthread_mutex_unlock(&domain->move_lock);
	if (ret == -ENOENT)
		domain_tell_again(domain);
}

void domain_go_on(struct domain *domain)
{
	/* A move begins or ends: it knows. */
	if (pthread_mutex_trylock(&domain->move_lock))
		return;
	if (domain->unread[0])
		recover_moves(domain);
	pthread_mutex_unlock(&domain->move_lock);
}

/* ---- For people ------------------------------------------------------------------------------ */

static void add_note(struct domain_cpusets *cpusets, const char *note)
{
	size_t used = strlen(cpusets->note);

	if (*note)
		snprintf(cpusets->note + used, sizeof(cpusets->note) - used, "%s%s",
			 used ? "; " : "", note);
}

int domain_cpusets(struct domain *domain, struct domain_cpusets *cpusets, struct gmig_error *err)
{
	struct cpuset_scope *scope = NULL;
	char aside[GMIG_ERROR_TEXT];
	int ret = cpuset_scope_read(&domain->host->cpusets, domain->qemu.pid, &scope, err);

	memset(cpusets, 0, sizeof(*cpusets));
	if (ret)
		return ret;
	cpusets->groups = (unsigned int)scope->count;
	cpusets->nodes = cpuset_scope_nodes(scope);
	cpuset_scope_free(scope);
	/* A move that begins or ends holds it for as long as it takes to look at all memory. */
	cpusets->widened = true;
	if (pthread_mutex_trylock(&domain->move_lock))
		return 0;
	cpusets->widened = domain->journaled;
	if (!domain->journaled && !domain->scope)
		domain_kept_hear(domain, &cpusets->nodes);
	add_note(cpusets, domain->note);
	add_note(cpusets, domain->unread);
	add_note(cpusets, domain->tell_note);
	add_note(cpusets, domain->pins_note);
	add_note(cpusets, domain->pins_unread);
	if (domain_aside_note(domain, aside, sizeof(aside)))
		add_note(cpusets, aside);
	pthread_mutex_unlock(&domain->move_lock);
	return 0;
}
