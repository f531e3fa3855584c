#include "top_ask.h"
#include "top_peer.h"

#include "../control/control.h"
#include "../control/text.h"
#include "cli.h"
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEAT_EVERY    4	 /* rounds, while memory is sampled */
#define HEAT_SELDOM   15 /* rounds, while it is not */
#define DOMAINS_EVERY 2	 /* rounds between two questions for gmigd's domains */
#define BUNCH_MS      10
#define MAPS_MOST     1024 /* runs of one guest that are kept */
#define READS_MOST    8192 /* of lines and buffers, before a connection is given up */

/* What a guest is to be asked next, and what is gathered over several answers. */
struct subject {
	struct top_guest *guest;
	char uuid[64]; /* of a domain */
	bool ask_residency, ask_heat, ask_maps, seen;
	unsigned int rounds;
	uint64_t heat_next, maps_next;
	json_t *heat_so_far, *maps_so_far;
};

enum question { NOTHING, GUESTS, RESIDENCY, HEAT, MAPS, COMMAND };

struct target {
	char path[PATH_MAX + NAME_MAX + 2];
	bool is_daemon, seen;
	struct top_peer *peer; /* NULL: not connected */
	struct subject *subjects;
	size_t count, turn; /* of a guest of gmig-vmm there is one */
	enum question asked;
	uint64_t about; /* serial of the guest that was asked about */
	int64_t asked_ms;
	bool ask_guests;
};

struct top_ask {
	struct top_model *model;
	char directory[PATH_MAX];
	struct target **targets;
	size_t count;
	unsigned int rounds;
	bool spare;
	uint64_t maps_of;
	/* The command that waits, or that was given. */
	uint64_t command_to;
	char command[32], outcome[GMIG_ERROR_TEXT + 64];
	json_t *arguments;
	bool has_command, is_sent, has_outcome;
	int64_t command_ms;
};

static void set_outcome(struct top_ask *ask, const char *text)
{
	snprintf(ask->outcome, sizeof(ask->outcome), "%s", text);
	ask->has_outcome = true;
	ask->has_command = false;
	json_decref(ask->arguments);
	ask->arguments = NULL;
}

/* ---- Subjects -------------------------------------------------------------------------------- */

static struct subject *add_subject(struct top_ask *ask, struct target *target, const char *key,
				   const char *name)
{
	struct subject *more =
	    reallocarray(target->subjects, target->count + 1, sizeof(*target->subjects));
	struct subject subject = {0};

	if (more)
		target->subjects = more;
	subject.guest = more ? top_model_add(ask->model, key, name) : NULL;
	if (!subject.guest)
		return NULL;
	subject.guest->is_domain = target->is_daemon;
	target->subjects[target->count] = subject;
	return &target->subjects[target->count++];
}

static void forget_parts(struct subject *subject)
{
	json_decref(subject->heat_so_far);
	json_decref(subject->maps_so_far);
	subject->heat_so_far = subject->maps_so_far = NULL;
	subject->heat_next = subject->maps_next = 0;
	subject->ask_residency = subject->ask_heat = subject->ask_maps = false;
	subject->rounds = 0;
}

static void drop_subject(struct top_ask *ask, struct target *target, size_t i)
{
	forget_parts(&target->subjects[i]);
	top_model_remove(ask->model, target->subjects[i].guest);
	target->subjects[i] = target->subjects[--target->count];
	target->turn = 0;
}

static struct subject *find_subject(const struct target *target, uint64_t serial)
{
	for (size_t i = 0; i < target->count; i++)
		if (target->subjects[i].guest->serial == serial)
			return &target->subjects[i];
	return NULL;
}

/* ---- Connections ----------------------------------------------------------------------------- */

/* The connection has ended, or could not be made: whoever was behind it may be somebody else when it is made again. */
static void disconnect(struct top_ask *ask, struct target *target, int rc)
{
	const char *state = cli_state_of(rc);

	top_peer_destroy(target->peer);
	target->peer = NULL;
	target->asked = NOTHING;
	if (ask->has_command && find_subject(target, ask->command_to))
		set_outcome(ask, "the guest has ended");
	while (target->is_daemon && target->count)
		drop_subject(ask, target, target->count - 1);
	for (size_t i = 0; i < target->count; i++) {
		forget_parts(&target->subjects[i]);
		top_guest_renew(ask->model, target->subjects[i].guest, 0);
		top_guest_silent(target->subjects[i].guest, state);
	}
}

static void connect_target(struct top_ask *ask, struct target *target)
{
	int rc = top_peer_create(target->path, &target->peer);

	if (rc) {
		disconnect(ask, target, rc);
		return;
	}
	target->asked_ms = cli_now_ms(); /* the greeting is awaited */
	if (!target->is_daemon && target->count)
		top_guest_renew(ask->model, target->subjects[0].guest, top_peer_pid(target->peer));
}

static struct target *find_target(const struct top_ask *ask, const char *path)
{
	for (size_t i = 0; i < ask->count; i++)
		if (!strcmp(ask->targets[i]->path, path))
			return ask->targets[i];
	return NULL;
}

static void add_target(struct top_ask *ask, const char *path, const char *name, bool is_daemon)
{
	struct target **more = reallocarray(ask->targets, ask->count + 1, sizeof(struct target *));
	struct target *target = more ? calloc(1, sizeof(*target)) : NULL;

	if (more)
		ask->targets = more;
	if (!target)
		return;
	snprintf(target->path, sizeof(target->path), "%s", path);
	target->is_daemon = is_daemon;
	target->seen = true;
	if (!is_daemon && !add_subject(ask, target, path, name)) {
		free(target);
		return;
	}
	ask->targets[ask->count++] = target;
}

static void drop_target(struct top_ask *ask, size_t i)
{
	struct target *target = ask->targets[i];

	disconnect(ask, target, -ENOENT);
	while (target->count)
		drop_subject(ask, target, target->count - 1);
	free(target->subjects);
	free(target);
	ask->targets[i] = ask->targets[--ask->count];
}

/* A socket whose file is gone is let go when nobody is connected to it: a guest that ends takes its file away first. */
static void scan(struct top_ask *ask)
{
	DIR *directory = opendir(ask->directory);
	struct dirent *entry;
	struct stat status;

	for (size_t i = 0; i < ask->count; i++)
		ask->targets[i]->seen = ask->targets[i]->peer != NULL;
	while (directory && (errno = 0, entry = readdir(directory))) {
		char path[PATH_MAX + NAME_MAX + 2], name[NAME_MAX + 1];
		size_t length = strlen(entry->d_name);
		struct target *target;

		if (!cli_is_guest_socket(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", ask->directory, entry->d_name);
		snprintf(name, sizeof(name), "%.*s", (int)(length - strlen(".sock")),
			 entry->d_name);
		target = find_target(ask, path);
		if (target)
			target->seen = true;
		else
			add_target(ask, path, name, false);
	}
	/* What could not be listed is not gone. */
	if (errno && errno != ENOENT)
		for (size_t i = 0; i < ask->count; i++)
			ask->targets[i]->seen = true;
	if (directory)
		closedir(directory);
	if (!stat(cli_daemon_socket(), &status)) {
		struct target *target = find_target(ask, cli_daemon_socket());

		if (target)
			target->seen = true;
		else
			add_target(ask, cli_daemon_socket(), "gmigd", true);
	}
	for (size_t i = ask->count; i-- > 0;)
		if (!ask->targets[i]->seen)
			drop_target(ask, i);
}

/* ---- Questions ------------------------------------------------------------------------------- */

static bool send_question(struct top_ask *ask, struct target *target, enum question question,
			  const struct subject *subject, const char *command, json_t *arguments)
{
	int rc;

	if (target->is_daemon && subject) {
		arguments = arguments ? arguments : json_object();
		json_object_set_new(arguments, "guest", json_string(subject->uuid));
	}
	rc = top_peer_send(target->peer, command, arguments);
	if (rc) {
		disconnect(ask, target, rc);
		return false;
	}
	target->asked = question;
	target->about = subject ? subject->guest->serial : 0;
	target->asked_ms = cli_now_ms();
	return true;
}

static json_t *from_gpa(uint64_t gpa)
{
	return gpa ? json_pack("{s:I}", "gpa", (json_int_t)gpa) : NULL;
}

/* A process that took the place of the domain's since it was asked for is not the one that is meant. */
static void send_command(struct top_ask *ask, struct target *target, struct subject *subject)
{
	const struct top_guest *guest = subject->guest;
	uint64_t ticks;
	int rc;

	if (target->is_daemon) {
		rc = top_process_start(ask->model->root, guest->pid, &ticks);
		if (rc == -ESRCH || (!rc && guest->start_ticks && ticks != guest->start_ticks)) {
			set_outcome(ask, "the guest has ended");
			return;
		}
		if (rc || !guest->start_ticks) {
			set_outcome(ask, "nothing was done: it cannot be seen whether the guest "
					 "still runs");
			return;
		}
	}
	ask->is_sent = true;
	send_question(ask, target, COMMAND, subject, ask->command, json_incref(ask->arguments));
}

/* The subject's next question; false: it has none. */
static bool ask_next(struct top_ask *ask, struct target *target, struct subject *subject)
{
	if (ask->has_command && ask->command_to == subject->guest->serial) {
		send_command(ask, target, subject);
	} else if (subject->ask_residency) {
		subject->ask_residency = false;
		send_question(ask, target, RESIDENCY, subject, "query-residency", NULL);
	} else if (subject->ask_maps) {
		subject->ask_maps = false;
		send_question(ask, target, MAPS, subject, "query-maps",
			      from_gpa(subject->maps_next));
	} else if (subject->ask_heat) {
		subject->ask_heat = false;
		send_question(ask, target, HEAT, subject, "query-heat",
			      json_pack("{s:I, s:I}", "gpa", (json_int_t)subject->heat_next, "step",
					(json_int_t)top_guest_heat_step(subject->guest)));
	} else {
		return false;
	}
	return true;
}

/* Nobody is asked two things at a time. */
static void pump(struct top_ask *ask, struct target *target)
{
	if (!target->peer || !top_peer_is_ready(target->peer) || target->asked != NOTHING)
		return;
	if (target->ask_guests) {
		target->ask_guests = false;
		send_question(ask, target, GUESTS, NULL, "query-guests", NULL);
		return;
	}
	for (size_t i = 0; i < target->count; i++) {
		struct subject *subject = &target->subjects[target->turn++ % target->count];

		if (ask_next(ask, target, subject))
			return;
	}
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void take_domain(struct top_ask *ask, struct target *target, const json_t *domain)
{
	const char *uuid = cli_text(domain, "uuid");
	pid_t pid = (pid_t)cli_number(domain, "pid");
	struct subject *subject = NULL;
	uint64_t ticks;
	char key[512];
	int rc;

	if (!json_object_get(domain, "uuid"))
		return;
	for (size_t i = 0; i < target->count; i++)
		if (!strcmp(target->subjects[i].uuid, uuid))
			subject = &target->subjects[i];
	snprintf(key, sizeof(key), "%.300s %s", target->path, uuid);
	if (!subject) {
		subject = add_subject(ask, target, key, cli_text(domain, "name"));
		if (!subject)
			return;
		snprintf(subject->uuid, sizeof(subject->uuid), "%s", uuid);
		top_guest_renew(ask->model, subject->guest, pid);
		subject->ask_residency = true;
	}
	subject->seen = true;
	rc = top_process_start(ask->model->root, pid, &ticks);
	/* One that cannot be looked at now is taken for the same. */
	if (subject->guest->pid != pid ||
	    ((!rc || rc == -ESRCH) && ticks != subject->guest->start_ticks)) {
		forget_parts(subject);
		top_guest_renew(ask->model, subject->guest, pid);
		subject->ask_residency = true;
	}
	if (!pid)
		top_guest_silent(subject->guest, cli_text(domain, "state"));
}

static void take_domains(struct top_ask *ask, struct target *target, const json_t *answer)
{
	json_t *domain;
	size_t i;

	for (i = 0; i < target->count; i++)
		target->subjects[i].seen = false;
	json_array_foreach (json_object_get(answer, "guests"), i, domain)
		take_domain(ask, target, domain);
	for (i = target->count; i-- > 0;)
		if (!target->subjects[i].seen)
			drop_subject(ask, target, i);
}

static bool is_sampled(const struct top_guest *guest)
{
	return json_is_true(json_object_get(guest->sampling, "on"));
}

/* One answer has a TiB: the rest is asked for in the next rounds, so that no round takes long. */
static void take_heat(struct subject *subject, const json_t *answer)
{
	uint64_t next = cli_number(answer, "next");

	if (!subject->heat_so_far)
		subject->heat_so_far = json_array();
	json_array_extend(subject->heat_so_far, json_object_get(answer, "heat"));
	if (next > subject->heat_next) {
		subject->heat_next = next;
		return;
	}
	top_guest_take_heat(subject->guest, subject->heat_so_far,
			    json_object_get(answer, "sampling"));
	json_decref(subject->heat_so_far);
	subject->heat_so_far = NULL;
	subject->heat_next = 0;
}

static void take_maps(struct subject *subject, const json_t *answer)
{
	uint64_t next = cli_number(answer, "next");

	if (!subject->maps_so_far)
		subject->maps_so_far = json_array();
	json_array_extend(subject->maps_so_far, json_object_get(answer, "maps"));
	if (next > subject->maps_next && json_array_size(subject->maps_so_far) < MAPS_MOST) {
		subject->maps_next = next;
		subject->ask_maps = true;
		return;
	}
	json_decref(subject->guest->maps);
	subject->guest->maps = subject->maps_so_far;
	subject->maps_so_far = NULL;
	subject->maps_next = 0;
}

/* An error in words for the last line of the screen, or that it has been done. */
static void take_outcome(struct top_ask *ask, const json_t *message)
{
	const json_t *error = json_object_get(message, "error");
	const json_t *job = json_object_get(message, "return");
	char text[GMIG_ERROR_TEXT];

	if (error)
		snprintf(text, sizeof(text), "%s", cli_text(error, "desc"));
	else if (json_object_get(job, "id"))
		snprintf(text, sizeof(text), "%s: job %s is %s", ask->command, cli_text(job, "id"),
			 cli_text(job, "state"));
	else
		snprintf(text, sizeof(text), "%s: done", ask->command);
	set_outcome(ask, text);
}

/* What a guest that refuses to say more is shown as. */
static void take_refusal(struct subject *subject, const json_t *error)
{
	top_guest_silent(subject->guest, "no answer");
	snprintf(subject->guest->why, sizeof(subject->guest->why), "%s", cli_text(error, "desc"));
}

/* Without its memory an answer would look like one of a guest that has none. */
static bool is_residency(const json_t *answer)
{
	return json_object_get(answer, "unknown") ||
	       json_is_array(json_object_get(answer, "vnodes"));
}

static void take_answer(struct top_ask *ask, struct target *target, const json_t *message)
{
	struct subject *subject = find_subject(target, target->about);
	const json_t *error = json_object_get(message, "error");
	json_t *answer = json_object_get(message, "return");
	enum question question = target->asked;

	target->asked = NOTHING;
	if (question == GUESTS && !error)
		take_domains(ask, target, answer);
	/* The answer to a command that was given up is no answer to the next one, which waits. */
	if (question == COMMAND && ask->has_command && ask->is_sent &&
	    ask->command_to == target->about)
		take_outcome(ask, message);
	if (!subject)
		return;
	if (question == RESIDENCY && error)
		take_refusal(subject, error);
	else if (question == RESIDENCY && !is_residency(answer))
		top_guest_silent(subject->guest, "not understood");
	else if (question == RESIDENCY)
		top_guest_take(ask->model, subject->guest, answer, cli_now_ms() * 1000000);
	else if (question == HEAT && !error)
		take_heat(subject, answer);
	else if (question == MAPS && !error)
		take_maps(subject, answer);
}

static void read_target(struct top_ask *ask, struct target *target)
{
	int rc = 0;

	/* One who always has something to say must not keep us from the others. */
	for (int reads = 0; !rc; reads++) {
		json_t *message = NULL;

		rc = reads < READS_MOST ? top_peer_read(target->peer, &message) : -EPROTO;
		if (!rc && message && target->asked != NOTHING)
			take_answer(ask, target, message);
		json_decref(message);
	}
	if (rc != -EAGAIN)
		disconnect(ask, target, rc);
	pump(ask, target);
}

/* ---- Rounds ---------------------------------------------------------------------------------- */

static bool is_late(const struct target *target)
{
	return cli_now_ms() - target->asked_ms >= cli_limits.list_ms;
}

static bool owes(const struct target *target)
{
	return target->peer && (target->asked != NOTHING || !top_peer_is_ready(target->peer));
}

/* A gmigd that is late with one answer does not answer for its other domains, either. */
static void mark_late(struct target *target)
{
	for (size_t i = 0; i < target->count; i++)
		top_guest_silent(target->subjects[i].guest, "no answer");
}

/* Whoever is sampled is asked for heat more often; one that has no more than a part of it, in each round. */
static void plan_subject(const struct top_ask *ask, struct subject *subject)
{
	unsigned int every = is_sampled(subject->guest) ? HEAT_EVERY : HEAT_SELDOM;

	subject->ask_residency = subject->guest->pid != 0 &&
				 (!ask->spare || subject->rounds < 2 || subject->guest->job.id[0] ||
				  subject->guest->serial == ask->maps_of ||
				  (subject->rounds + subject->guest->serial) % 2 == 0);
	subject->ask_maps |= subject->guest->serial == ask->maps_of;
	subject->ask_heat |=
	    !subject->guest->is_domain && (subject->heat_next || subject->rounds % every == 0);
	subject->rounds++;
}

/* What was wanted now is not to happen much later, when a guest that hangs goes on. */
static void give_up_command(struct top_ask *ask)
{
	if (!ask->has_command || cli_now_ms() - ask->command_ms < cli_limits.list_ms)
		return;
	set_outcome(ask, ask->is_sent ? "the guest has not answered yet: it may still be done"
				      : "the guest does not answer: nothing was done");
}

void top_ask_round(struct top_ask *ask)
{
	give_up_command(ask);
	scan(ask);
	for (size_t i = 0; i < ask->count; i++) {
		struct target *target = ask->targets[i];

		if (!target->peer)
			connect_target(ask, target);
		if (owes(target) && is_late(target))
			continue;
		target->ask_guests |= target->is_daemon && ask->rounds % DOMAINS_EVERY == 0;
		for (size_t j = 0; j < target->count; j++)
			plan_subject(ask, &target->subjects[j]);
		pump(ask, target);
	}
	ask->rounds++;
}

bool top_ask_is_open(const struct top_ask *ask)
{
	for (size_t i = 0; i < ask->count; i++)
		if (owes(ask->targets[i]) && !is_late(ask->targets[i]))
			return true;
	return false;
}

bool top_ask_wait(struct top_ask *ask, int also, int ms)
{
	struct pollfd *pollers = calloc(ask->count + 1, sizeof(*pollers));
	bool readable;

	if (!pollers)
		return false;
	/* Most answers come at once: they are worth one awakening, not one each. */
	pollers[0] = (struct pollfd){.fd = also, .events = POLLIN};
	if (poll(pollers, 1, ms < BUNCH_MS ? ms : BUNCH_MS))
		ms = 0; /* a key, or a signal, as that the terminal's size has changed */
	else
		ms -= ms < BUNCH_MS ? ms : BUNCH_MS;
	for (size_t i = 0; i < ask->count; i++)
		pollers[i] = (struct pollfd){
		    .fd = ask->targets[i]->peer ? top_peer_fd(ask->targets[i]->peer) : -1,
		    .events = POLLIN};
	pollers[ask->count] = (struct pollfd){.fd = also, .events = POLLIN};
	if (poll(pollers, ask->count + 1, ms) < 0)
		memset(pollers, 0, (ask->count + 1) * sizeof(*pollers)); /* a signal came */
	for (size_t i = 0; i < ask->count; i++) {
		struct target *target = ask->targets[i];

		if (pollers[i].revents && target->peer)
			read_target(ask, target);
		if (owes(target) && is_late(target))
			mark_late(target);
	}
	readable = pollers[ask->count].revents;
	free(pollers);
	return readable;
}

/* ---- Commands -------------------------------------------------------------------------------- */

void top_ask_spare(struct top_ask *ask, bool spare)
{
	ask->spare = spare;
}

void top_ask_maps(struct top_ask *ask, uint64_t serial)
{
	ask->maps_of = serial;
}

int top_ask_command(struct top_ask *ask, uint64_t serial, const char *command, json_t *arguments,
		    struct gmig_error *err)
{
	if (ask->has_command) {
		json_decref(arguments);
		return gmig_fail(err, -EBUSY, "the last command has not been answered yet");
	}
	for (size_t i = 0; i < ask->count; i++) {
		struct target *target = ask->targets[i];

		if (!target->peer || !find_subject(target, serial))
			continue;
		snprintf(ask->command, sizeof(ask->command), "%s", command);
		ask->command_to = serial;
		ask->arguments = arguments;
		ask->has_command = true;
		ask->is_sent = false;
		ask->command_ms = cli_now_ms();
		pump(ask, target);
		return 0;
	}
	json_decref(arguments);
	return gmig_fail(err, -ESRCH, "the guest has ended");
}

const char *top_ask_outcome(struct top_ask *ask)
{
	if (!ask->has_outcome)
		return NULL;
	ask->has_outcome = false;
	return ask->outcome;
}

int top_ask_create(struct top_model *model, struct top_ask **out, struct gmig_error *err)
{
	struct top_ask *ask = calloc(1, sizeof(*ask));
	int rc;

	if (!ask)
		return gmig_fail(err, -ENOMEM, "out of memory");
	ask->model = model;
	rc = control_socket_dir(ask->directory, sizeof(ask->directory), err);
	if (rc == -ENOENT) /* there may be domains of libvirt's */
		rc = 0;
	if (rc) {
		free(ask);
		return rc;
	}
	*out = ask;
	return 0;
}

void top_ask_destroy(struct top_ask *ask)
{
	if (!ask)
		return;
	while (ask->count)
		drop_target(ask, ask->count - 1);
	free(ask->targets);
	json_decref(ask->arguments);
	free(ask);
}
