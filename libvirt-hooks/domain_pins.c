/*
 * Threads of a domain follow its memory: all or none of those that could run on a node that was left.
 *
 * When: the job has come to its end, as with guests of gmig-vmm, and more of the guest's memory lies on the target than is left on the source. A job that
 * failed or was cancelled changes no pin. Each call goes to libvirt, so that its view and the kernel's stay one.
 *
 *   intend   before the cpusets are narrowed: a journal of where the memory went
 *   plan     ask libvirt for all pins; is it still the process whose memory moved? (pin_plan.h)
 *   journal  what the threads have, and what they are to have
 *   pin      one call each
 *   check    has the kernel given vCPUs and emulator what was asked for? A cgroup above the domain's may allow less
 *   end      remove the journal
 *
 * Where one step fails, those that were pinned are put back, last first. If libvirt does not answer to that, either, the journal stays,
 * and it is tried again whenever libvirt lists the domain, as where we have no descriptors or memory by then. A gmigd that was killed in between leaves the journal, too: the next one
 * goes on, forwards or back. A thread that has neither the CPUs before nor those after has been pinned by somebody else, and is left alone.
 */
#include "../migrate/core/shortage.h"
#include "domain_inside.h"
#include "id_list.h"
#include "pin_journal.h"
#include "qemu_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRIES_MAX 5 /* to put pins back, while libvirt answers and refuses */

const char *domain_pins_state_name(enum domain_pins_state state)
{
	static const char *const names[] = {
	    [DOMAIN_PINS_PENDING] = "pending",	   [DOMAIN_PINS_FOLLOWED] = "followed",
	    [DOMAIN_PINS_UNNEEDED] = "unneeded",   [DOMAIN_PINS_KEPT] = "kept",
	    [DOMAIN_PINS_RESTORING] = "restoring", [DOMAIN_PINS_MIXED] = "mixed",
	    [DOMAIN_PINS_UNKNOWN] = "unknown",
	};

	return names[state];
}

bool domain_is_silent(int error)
{
	return error == -ETIMEDOUT || error == -ENOTCONN || error == -EBUSY || error == -EAGAIN;
}

/* May it be otherwise at the next try? libvirt does not answer, or we cannot look for want of descriptors or memory. -EIO is how libvirt refuses. */
static bool may_be_tried_again(int error)
{
	return domain_is_silent(error) || (is_shortage(error) && error != -EIO);
}

/* ---- What has become of them ----------------------------------------------------------------- */

static void remember(struct domain *domain, const struct domain_pins *pins)
{
	pthread_mutex_lock(&domain->pins_lock);
	domain->pins[pins->job % DOMAIN_PINS_KEPT_JOBS] = *pins;
	pthread_mutex_unlock(&domain->pins_lock);
}

bool domain_pins_of(struct domain *domain, const struct gmig_job_info *info,
		    struct domain_pins *pins)
{
	struct domain_pins *kept = &domain->pins[info->id % DOMAIN_PINS_KEPT_JOBS];

	if (info->spec.user != GUEST_VCPUS_ALL)
		return false;
	*pins = (struct domain_pins){.job = info->id};
	pthread_mutex_lock(&domain->pins_lock);
	if (kept->job == info->id)
		*pins = *kept;
	else if (kept->job > info->id)
		pins->state = DOMAIN_PINS_UNKNOWN;
	pthread_mutex_unlock(&domain->pins_lock);
	return true;
}

/* What the retries of pins that were left have come to. */
static void settle(struct domain *domain, enum domain_pins_state state)
{
	pthread_mutex_lock(&domain->pins_lock);
	for (size_t i = 0; i < DOMAIN_PINS_KEPT_JOBS; i++) {
		struct domain_pins *pins = &domain->pins[i];

		if (pins->state == DOMAIN_PINS_RESTORING ||
		    (pins->state == DOMAIN_PINS_PENDING && pins->job))
			pins->state = state;
	}
	if (domain->order.pins.state == DOMAIN_PINS_RESTORING)
		domain->order.pins.state = state;
	pthread_mutex_unlock(&domain->pins_lock);
}

/* ---- The journal ----------------------------------------------------------------------------- */

static int write_journal(struct domain *domain, const struct pin_moves *moves, struct pin_set *set,
			 bool back, struct gmig_error *err)
{
	struct pin_journal journal = {.pid = domain->qemu.pid,
				      .start_time = domain->qemu.start_time,
				      .back = back,
				      .pairs = moves->pair,
				      .pair_count = moves->count,
				      .pins = set};

	memcpy(journal.uuid, domain->uuid, sizeof(journal.uuid));
	return pin_journal_write(domain->host->journals, &journal, err);
}

static void remove_journal(struct domain *domain)
{
	pin_journal_remove(domain->host->journals, domain->uuid);
	domain->pins_left = false;
	domain->pin_tries = 0;
}

/* ---- Pinning --------------------------------------------------------------------------------- */

static bool changes(const struct pin *pin)
{
	return !pin_cpus_same(&pin->before, &pin->after);
}

static int set_pin(struct domain *domain, int id, const struct pin *pin,
		   const struct pin_cpus *cpus, struct gmig_error *err)
{
	const struct domain_host *host = domain->host;
	int ret = qemu_process_check(&domain->qemu, err);

	return ret ? ret : host->set_pin(host->opaque, domain->uuid, id, pin, cpus, err);
}

/* The first `count`, as they were, last first. All are tried, but none after libvirt has stopped answering. */
static int put_back(struct domain *domain, const struct pin_set *set, size_t count,
		    struct gmig_error *err)
{
	int first = 0;

	while (count-- > 0) {
		const struct pin *pin = &set->pin[count];
		struct gmig_error *text = first ? NULL : err;
		int ret = changes(pin) ? set_pin(domain, set->domain, pin, &pin->before, text) : 0;

		if (!first)
			first = ret;
		if (ret == -ESRCH || domain_is_silent(ret))
			break;
	}
	return first;
}

/* What the kernel gives a thread. False, and *failed 0: it has just ended; or -errno: it cannot be read now. */
static bool read_affinity(const struct domain *domain, pid_t tid, struct pin_cpus *cpus,
			  int *failed)
{
	static const char key[] = "\nCpus_allowed_list:";
	size_t bytes;
	char *status QEMU_FREED =
	    qemu_file_read(domain->host->qemu.root, 1u << 18, &bytes, "/proc/%d/task/%d/status",
			   (int)domain->qemu.pid, (int)tid);
	char *line = status ? strstr(status, key) : NULL;

	*failed = !status && errno != ENOENT && errno != ESRCH ? -errno : 0;
	if (!line)
		return false;
	line += sizeof(key) - 1;
	line += strspn(line, " \t");
	line[strcspn(line, "\n")] = '\0';
	return !id_list_parse(line, "CPUs", PIN_CPUS, cpus->word, NULL);
}

static int check_thread(const struct domain *domain, const struct qemu_thread *thread,
			const struct pin_set *set, struct gmig_error *err)
{
	bool vcpu = thread->kind == QEMU_THREAD_VCPU;
	const struct pin *pin =
	    vcpu ? pin_set_find(set, PIN_VCPU, thread->vcpu) : pin_set_find(set, PIN_EMULATOR, 0);
	struct pin_cpus has = {{0}};
	int failed;

	/* Of the others of the emulator nobody says whose they are. */
	if (!pin || !changes(pin) || (!vcpu && thread->tid != domain->qemu.pid))
		return 0;
	if (!read_affinity(domain, thread->tid, &has, &failed))
		return failed ? gmig_fail(err, failed, "where %s %u may run cannot be read: %s",
					  pin_kind_name(pin->kind), pin->id, strerror(-failed))
			      : 0;
	if (pin_cpus_same(&has, &pin->after))
		return 0;
	return gmig_fail(err, -EACCES,
			 "libvirt has pinned %s %u, but the kernel gives it other CPUs: a cpuset "
			 "of a cgroup above it allows less",
			 pin_kind_name(pin->kind), pin->id);
}

static int check_affinities(const struct domain *domain, const struct pin_set *set,
			    struct gmig_error *err)
{
	struct qemu_thread *threads;
	int ret = 0, count = qemu_threads_read(&domain->host->qemu, domain->qemu.pid, &threads);

	if (count < 0 && count != -ESRCH)
		return gmig_fail(err, count, "where its threads may run cannot be read: %s",
				 strerror(-count));
	for (int i = 0; i < count && !ret; i++)
		ret = check_thread(domain, &threads[i], set, err);
	if (count >= 0)
		free(threads);
	return ret;
}

/* Something has failed with `why`, and some of the first `count` are changed. */
static void undo(struct domain *domain, struct pin_set *set, size_t count, struct domain_pins *pins)
{
	const struct pin_moves none = {0};
	struct gmig_error err = {0};
	int ret;

	if (write_journal(domain, &none, set, true, &err))
		domain_log(domain, GMIG_LOG_WARNING, "%s", err.text);
	ret = put_back(domain, set, count, &err);
	if (!ret || ret == -ESRCH) {
		remove_journal(domain);
		pins->state = DOMAIN_PINS_KEPT;
		return;
	}
	domain->pins_left = true;
	pins->state = DOMAIN_PINS_RESTORING;
	snprintf(pins->why + strlen(pins->why), sizeof(pins->why) - strlen(pins->why),
		 "; and not put back: %.120s", err.text);
}

/* All that change. */
static void pin_all(struct domain *domain, struct pin_set *set, struct domain_pins *pins)
{
	struct gmig_error err = {0};
	size_t done = 0;
	int ret = 0;

	for (; done < set->count && !ret; done++) {
		const struct pin *pin = &set->pin[done];

		if (changes(pin))
			ret = set_pin(domain, set->domain, pin, &pin->after, &err);
	}
	if (!ret)
		ret = check_affinities(domain, set, &err);
	if (!ret) {
		remove_journal(domain);
		domain->pins_note[0] = '\0'; /* somebody wanted them where they are now */
		pins->state = DOMAIN_PINS_FOLLOWED;
		return;
	}
	pins->pinned = 0;
	snprintf(pins->why, sizeof(pins->why), "%.150s", err.text);
	undo(domain, set, done, pins);
}

void domain_pins_apply(struct domain *domain, struct pin_set *set, struct domain_pins *pins)
{
	const struct pin_moves none = {0};
	struct gmig_error err = {0};

	for (size_t i = 0; i < set->count; i++)
		pins->pinned += changes(&set->pin[i]);
	pins->state = pins->pinned ? DOMAIN_PINS_KEPT : DOMAIN_PINS_UNNEEDED;
	if (!pins->pinned)
		return;
	if (!write_journal(domain, &none, set, false, &err)) {
		pin_all(domain, set, pins);
		return;
	}
	pins->pinned = 0;
	snprintf(pins->why, sizeof(pins->why), "%s", err.text);
}

/* ---- After a job ----------------------------------------------------------------------------- */

int domain_pins_are_left(const struct domain *domain, struct gmig_error *err)
{
	if (domain->pins_unread[0])
		return gmig_fail(err, -EIO, "%s", domain->pins_unread);
	if (domain->pins_left)
		return gmig_fail(err, -EBUSY,
				 "the pins of an earlier move are still to be put back, and "
				 "libvirt has not done it yet: try again");
	return 0;
}

int domain_pins_check(struct domain *domain, const struct gmig_job_spec *spec,
		      struct gmig_error *err)
{
	struct gmig_topology *topology = NULL;
	int ret;

	if (spec->user != GUEST_VCPUS_ALL)
		return 0;
	if (!domain->host->get_pins || !domain->host->set_pin)
		return gmig_fail(err, -EOPNOTSUPP, "vcpus: nobody here can pin a domain's vCPUs");
	ret = domain_pins_are_left(domain, err);
	if (ret)
		return ret;
	ret = gmig_topology_refresh(domain->host->topology, &topology, err);
	for (unsigned int i = 0; i < spec->to_count && !ret; i++)
		ret = pin_check_node(topology, spec->to[i], err);
	if (topology)
		gmig_topology_put(topology);
	return ret;
}

/* The nodes whose memory is, for the most part, where it was to go. */
static void find_moves(const struct gmig_job_info *info, const struct domain_look *look,
		       struct pin_moves *moves)
{
	const struct cpuset_map map = {.from = info->spec.from,
				       .to = info->spec.to,
				       .from_count = info->spec.from_count,
				       .to_count = info->spec.to_count};
	struct gmig_node_set seen = {{0}};

	for (unsigned int i = 0; i < map.from_count; i++) {
		unsigned int from = map.from[i], to = cpuset_map_target(&map, from);

		if (to == from || from >= GMIG_MAX_NODES || to >= GMIG_MAX_NODES ||
		    gmig_node_set_has(&seen, from) ||
		    look->usage.ram_bytes[to] <= look->usage.ram_bytes[from])
			continue;
		gmig_node_set_add(&seen, from);
		moves->pair[moves->count++] = (struct pin_pair){(uint16_t)from, (uint16_t)to};
	}
}

/* Why no thread is to follow; NULL: the journal says which are. */
static const char *intend(struct domain *domain, const struct gmig_job_info *info,
			  const struct domain_look *look, struct pin_moves *moves,
			  struct gmig_error *err)
{
	if (info->state == GMIG_JOB_FAILED)
		return "the move of the memory has failed";
	if (info->state != GMIG_JOB_COMPLETED)
		return "the move of the memory was cancelled";
	moves->pair = calloc(info->spec.from_count + 1u, sizeof(*moves->pair));
	if (!look || !moves->pair)
		return "where the memory lies now cannot be told";
	find_moves(info, look, moves);
	if (!moves->count)
		return "most of the memory is not on the nodes of --to";
	return write_journal(domain, moves, NULL, false, err) ? err->text : NULL;
}

static void tell(struct domain *domain, const struct domain_pins *pins)
{
	remember(domain, pins);
	domain_log(domain, pins->state <= DOMAIN_PINS_UNNEEDED ? GMIG_LOG_INFO : GMIG_LOG_WARNING,
		   "job=%llu pins=%s threads=%u%s%.200s", (unsigned long long)pins->job,
		   domain_pins_state_name(pins->state), pins->pinned, pins->why[0] ? " why=" : "",
		   pins->why);
}

void domain_pins_intend(struct domain *domain, const struct gmig_job_info *info,
			const struct domain_look *look, struct pin_moves *moves)
{
	struct domain_pins pins = {.job = info->id, .state = DOMAIN_PINS_KEPT};
	struct gmig_error err = {0};
	const char *why;

	*moves = (struct pin_moves){0};
	if (info->spec.user != GUEST_VCPUS_ALL)
		return;
	why = intend(domain, info, look, moves, &err);
	if (!why)
		return;
	moves->count = 0;
	snprintf(pins.why, sizeof(pins.why), "%s", why);
	tell(domain, &pins);
}

/* What they are to have. NULL: nothing is to be done or can be, *pins says which. */
static struct pin_set *plan_pins(struct domain *domain, const struct pin_moves *moves,
				 struct domain_pins *pins, struct gmig_error *err)
{
	const struct domain_host *host = domain->host;
	struct gmig_topology *topology = NULL;
	struct pin_set *set = NULL;
	int ret = host->get_pins(host->opaque, domain->uuid, &set, err);

	/* Behind the question: the process lives, so the answer was about it. */
	if (!ret)
		ret = qemu_process_check(&domain->qemu, err);
	if (!ret)
		ret = gmig_topology_refresh(host->topology, &topology, err);
	if (!ret)
		ret = pin_plan(set, topology, moves->pair, moves->count, err);
	if (topology)
		gmig_topology_put(topology);
	if (ret > 0) {
		pins->pinned = (unsigned int)ret;
		return set;
	}
	pins->state = ret ? DOMAIN_PINS_KEPT : DOMAIN_PINS_UNNEEDED;
	snprintf(pins->why, sizeof(pins->why), "%s", err->text);
	pin_set_free(set);
	return NULL;
}

static void follow(struct domain *domain, const struct pin_moves *moves, struct domain_pins *pins)
{
	struct gmig_error err = {0};
	struct pin_set *set = plan_pins(domain, moves, pins, &err);

	if (set && write_journal(domain, moves, set, false, &err)) {
		pins->pinned = 0;
		pins->state = DOMAIN_PINS_KEPT;
		snprintf(pins->why, sizeof(pins->why), "%s", err.text);
	} else if (set) {
		pin_all(domain, set, pins);
		pin_set_free(set);
		return;
	}
	pin_set_free(set);
	/* The connection may be made yet. */
	domain->pins_left = domain->resumed && may_be_tried_again(err.code);
	if (domain->pins_left)
		pins->state = DOMAIN_PINS_PENDING;
	else
		remove_journal(domain);
}

void domain_pins_follow(struct domain *domain, uint64_t job, struct pin_moves *moves)
{
	struct domain_pins pins = {.job = job};

	if (moves->count) {
		follow(domain, moves, &pins);
		tell(domain, &pins);
	}
	free(moves->pair);
}

/* ---- What was left, by us or by a gmigd that was killed --------------------------------------- */

/*
 * Those of the journal that are to change yet, with the CPUs that they have now in `before` and those that they are to have in `after`. Back: also those that
 * seem to be as they were, since a call that was given up may come behind the question.
 */
static void take_over(const struct pin_journal *journal, struct pin_set *now)
{
	for (size_t i = 0; i < now->count; i++) {
		struct pin *pin = &now->pin[i];
		const struct pin *old = pin_set_find(journal->pins, pin->kind, pin->id);

		pin->after = pin->before;
		if (!old || (!pin_cpus_same(&pin->before, &old->before) &&
			     !pin_cpus_same(&pin->before, &old->after)))
			continue;
		pin->before = journal->back ? old->after : old->before;
		pin->after = journal->back ? old->before : old->after;
	}
}

static int finish(struct domain *domain, const struct pin_journal *journal, struct gmig_error *err)
{
	const struct domain_host *host = domain->host;
	struct pin_set *set = NULL;
	int ret = host->get_pins(host->opaque, domain->uuid, &set, err);

	if (!ret)
		ret = qemu_process_check(&domain->qemu, err);
	if (!ret)
		take_over(journal, set);
	for (size_t i = 0; !ret && i < set->count; i++)
		if (changes(&set->pin[i]))
			ret = set_pin(domain, set->domain, &set->pin[i], &set->pin[i].after, err);
	if (!ret && !journal->back)
		ret = check_affinities(domain, set, err);
	pin_set_free(set);
	return ret;
}

/* The memory had moved, and no pin was changed: now they are planned. */
static int begin(struct domain *domain, struct pin_journal *journal, struct gmig_error *err)
{
	const struct pin_moves moves = {journal->pairs, journal->pair_count};
	struct domain_pins pins = {0};

	journal->pins = plan_pins(domain, &moves, &pins, err);
	if (journal->pins)
		return write_journal(domain, &moves, journal->pins, false, err);
	if (err->code)
		return err->code;
	journal->pins = pin_set_create(0);
	return journal->pins ? 0 : gmig_fail(err, -ENOMEM, "out of memory");
}

/* A refusal: forwards, they are put back from now on; backwards, it is tried some times. */
static void refused(struct domain *domain, struct pin_journal *journal,
		    const struct gmig_error *err)
{
	domain_log(domain, GMIG_LOG_WARNING, "interrupted pinning: %s", err->text);
	if (!journal->pins) {
		remove_journal(domain); /* nothing was changed */
		return;
	}
	if (!journal->back) {
		journal->back = true;
		pin_journal_write(domain->host->journals, journal, NULL);
		return;
	}
	if (++domain->pin_tries < TRIES_MAX)
		return;
	remove_journal(domain);
	settle(domain, DOMAIN_PINS_MIXED);
	snprintf(domain->pins_note, sizeof(domain->pins_note),
		 "some of its threads are pinned for a move that was undone; virsh vcpupin and "
		 "emulatorpin show them: %.150s",
		 err->text);
}

/* It could not be read, with `why`: said once, and for as long as it is so. One that cannot be understood is set aside. */
static void note_unread(struct domain *domain, const struct gmig_error *why)
{
	bool again = domain->pins_unread[0];

	domain->pins_left = why->code != -ENOENT && why->code != -EBADMSG;
	domain->pins_unread[0] = '\0';
	if (domain->pins_left)
		snprintf(domain->pins_unread, sizeof(domain->pins_unread),
			 "%.180s: how its threads are to be pinned is not known, and it is tried "
			 "again; if it stays so, see virsh vcpupin and emulatorpin, and remove it",
			 why->text);
	if (why->code != -ENOENT && !(again && domain->pins_left))
		domain_set_aside(domain, ".pins", why);
}

static int try_to_finish(struct domain *domain)
{
	struct gmig_error err = {0};
	struct pin_journal journal;
	int ret = pin_journal_read(domain->host->journals, domain->uuid, &journal, &err);

	if (ret) {
		note_unread(domain, &err);
		return 0;
	}
	domain->pins_unread[0] = '\0';
	if (journal.pid != domain->qemu.pid || journal.start_time != domain->qemu.start_time) {
		remove_journal(domain); /* of one that has gone */
		domain->pins_left = false;
		pin_journal_free(&journal);
		return 0;
	}
	ret = journal.pins ? 0 : begin(domain, &journal, &err);
	if (!ret)
		ret = finish(domain, &journal, &err);
	if (!ret) {
		remove_journal(domain);
		settle(domain, journal.back ? DOMAIN_PINS_KEPT : DOMAIN_PINS_FOLLOWED);
		domain_log(domain, GMIG_LOG_WARNING, "interrupted pinning: %s",
			   journal.back ? "pins are put back" : "all threads have followed");
	} else if (ret == -ESRCH) {
		remove_journal(domain);
	} else if (!may_be_tried_again(ret)) {
		refused(domain, &journal, &err);
	}
	pin_journal_free(&journal);
	return ret;
}

void domain_pins_recover(struct domain *domain)
{
	struct gmig_error err = {0};
	struct pin_journal journal;
	int ret = pin_journal_read(domain->host->journals, domain->uuid, &journal, &err);

	if (ret) {
		note_unread(domain, &err);
		return;
	}
	if (journal.pid == domain->qemu.pid && journal.start_time == domain->qemu.start_time)
		domain->pins_left = true;
	else
		pin_journal_remove(domain->host->journals, domain->uuid); /* of one that has gone */
	pin_journal_free(&journal);
	domain_pins_retry(domain);
}

int domain_pins_retry(struct domain *domain)
{
	int ret = 0;

	if (pthread_mutex_trylock(&domain->move_lock))
		return 0;
	if (domain->pins_left && domain->host->get_pins && domain->host->set_pin)
		ret = try_to_finish(domain);
	pthread_mutex_unlock(&domain->move_lock);
	return ret;
}
