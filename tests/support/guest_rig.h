/*
 * The commands over libgmig, by a server of two guests on two fake nodes, as a daemon has them: plain memory is enough to
 * ask about, jobs need userfaultfd. Static, for one test program.
 */
#ifndef TEST_GUEST_RIG_H
#define TEST_GUEST_RIG_H

#include "../../control/guest.h"
#include "../../control/internal.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/engine.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

#define GUESTS 2
#define BYTES  (4 * GMIG_BLOCK_BYTES)

static struct gmig_topology *topology;
static struct gmig *engines[GUESTS];
static int held;     /* gets without their puts */
static bool closing; /* start_job refuses */
static json_t *answer;

static unsigned int asked; /* the guest that the next command is about */

static int get_guest(void *opaque, const json_t *arguments, struct guest *guest,
		     struct gmig_error *err)
{
	static const char *const names[GUESTS] = {"ada", "bob"};

	ck_assert_ptr_eq(opaque, engines);
	if (asked >= GUESTS)
		return gmig_fail(err, -ESRCH, "there is no guest %u", asked);
	if (guest_check_name(arguments, names[asked], err))
		return -ESRCH;
	*guest = (struct guest){.name = names[asked],
				.gmig = engines[asked],
				.topology = topology,
				.vnode_count = 1,
				.vnode_bytes = {BYTES}};
	held++;
	return 0;
}

static void put_guest(struct guest *guest)
{
	ck_assert_ptr_eq(guest->gmig, engines[asked]);
	held--;
}

static void describe(const struct guest *guest, enum guest_view view, json_t *object)
{
	ck_assert_ptr_eq(guest->gmig, engines[asked]);
	json_object_set_new(object, "view", json_integer(view));
}

static int start_job(const struct guest *guest, const struct gmig_job_spec *spec,
		     struct gmig_job **job, struct gmig_error *err)
{
	if (closing)
		return gmig_fail(err, -ESHUTDOWN, "the guest ends");
	return gmig_job_start(guest->gmig, spec, job, err);
}

static int start_move(const struct guest *guest, const struct gmig_move *move,
		      const struct gmig_job_spec *limits, struct gmig_job **job,
		      struct gmig_error *err)
{
	return gmig_move_start(guest->gmig, move, limits, job, err);
}

static int bind_memory(const struct guest *guest, const struct gmig_bind_spec *spec,
		       struct gmig_job **job, struct gmig_error *err)
{
	return gmig_bind(guest->gmig, spec, job, err);
}

static int retry_job(const struct guest *guest, struct gmig_job *old,
		     const struct gmig_job_spec *spec, struct gmig_job **job,
		     struct gmig_error *err)
{
	ck_assert_ptr_eq(guest->gmig, engines[asked]);
	return gmig_job_retry(old, spec, job, err);
}

static struct guest_ops ops = {.get = get_guest,
			       .put = put_guest,
			       .describe = describe,
			       .start_job = start_job,
			       .start_move = start_move,
			       .bind = bind_memory,
			       .retry = retry_job};
static struct guest_server server = {&ops, engines};

/* What was touched is in the books. */
static void settle(struct gmig *gmig)
{
	if (!gmig_why_off(gmig))
		engine_settle_faults(gmig, 0);
}

static inline void setup(void)
{
	struct gmig_options options = {.unsafe_kernel = true, .off_if_unavailable = true};
	struct gmig_region_spec region = {.bytes = BYTES};
	void *ram;

	ck_assert_int_eq(gmig_topology_create(2, &topology, NULL), 0);
	options.topology = topology;
	for (unsigned int i = 0; i < GUESTS; i++) {
		ck_assert_int_eq(gmig_create(&options, &engines[i], NULL), 0);
		ck_assert_int_eq(gmig_region_add(engines[i], &region, &ram, NULL), 0);
		memset(ram, 1, BYTES);
		settle(engines[i]);
	}
	asked = 0;
	closing = false;
	answer = NULL;
}

static inline void teardown(void)
{
	ck_assert_int_eq(held, 0);
	json_decref(answer);
	for (unsigned int i = 0; i < GUESTS; i++)
		gmig_destroy(engines[i]);
	gmig_topology_put(topology);
}

#define BIND(rest)                                                                                 \
	"{\"execute\":\"bind-memory\",\"arguments\":{\"gpa\":0,\"bytes\":8388608," rest "}}"

static inline const json_t *ask(const char *request)
{
	const struct control_dispatch dispatch = {
	    .tables = {{NULL, NULL}, {guest_commands, &server}}};

	json_decref(answer);
	answer = control_dispatch(&dispatch, request, strlen(request));
	ck_assert_ptr_nonnull(answer);
	return json_object_get(answer, "return");
}

static inline void expect_error(const char *request, const char *name, const char *text)
{
	const json_t *error;

	ask(request);
	error = json_object_get(answer, "error");
	ck_assert_msg(error != NULL, "%s: no error", request);
	ck_assert_str_eq(json_string_value(json_object_get(error, "errno")), name);
	ck_assert_msg(strstr(json_string_value(json_object_get(error, "desc")), text) != NULL,
		      "no '%s' in '%s'", text, json_string_value(json_object_get(error, "desc")));
}

static inline json_int_t number(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	ck_assert_msg(json_is_integer(value), "no integer '%s'", name);
	return json_integer_value(value);
}

/* The last job's state, and what it moved; waits for it. */
static inline json_int_t last_job_moved(uint64_t id, const char *state)
{
	struct gmig_job *job = gmig_job_find(engines[0], id);
	const json_t *info;

	ck_assert_ptr_nonnull(job);
	gmig_job_wait(job);
	gmig_job_put(job);
	info = json_array_get(ask("{\"execute\":\"query-jobs\"}"), (size_t)id - 1);
	ck_assert_str_eq(json_string_value(json_object_get(info, "state")), state);
	return number(info, "moved_bytes");
}

#endif
