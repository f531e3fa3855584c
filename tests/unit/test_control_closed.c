/* Policies over the control socket where an operator has closed a node: no page of a guest comes to it. */
#include "../../control/closed_nodes.h"
#include "../../control/guest.h"
#include "../../control/internal.h"
#include "../../migrate/gmig_move.h"
#include "../../migrate/gmig_policy.h"
#include "../../migrate/memory/engine.h"
#include "rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rig rig;
static char directory[64];
static json_t *answer;

static int get_guest(void *opaque, const json_t *arguments, struct guest *guest,
		     struct gmig_error *err)
{
	(void)opaque, (void)arguments, (void)err;
	*guest = (struct guest){
	    .name = "ada", .gmig = rig.gmig, .topology = rig.topology, .vnode_count = 1};
	return 0;
}

static void put_guest(struct guest *guest)
{
	(void)guest;
}

static void describe(const struct guest *guest, enum guest_view view, json_t *object)
{
	(void)guest, (void)view, (void)object;
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
	(void)guest;
	return gmig_job_retry(old, spec, job, err);
}

static const struct guest_ops ops = {.get = get_guest,
				     .put = put_guest,
				     .describe = describe,
				     .bind = bind_memory,
				     .retry = retry_job};
static struct guest_server server = {&ops, NULL};

static uid_t somebody(void)
{
	return 1000;
}

static void setup(void)
{
	strcpy(directory, "/tmp/gmig-closed.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	closed_nodes_system = directory;
	closed_nodes_user = somebody;
	setenv("XDG_RUNTIME_DIR", directory, 1);
	rig_create(&rig, &(struct rig_options){.bytes = 2 * GMIG_BLOCK_BYTES, .nodes = 3});
	answer = NULL;
}

static void close_node(const char *node)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "%s/closed-nodes", directory);
	file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fprintf(file, "%s\n", node);
	fclose(file);
}

static void teardown(void)
{
	char path[96];

	json_decref(answer);
	rig_destroy(&rig);
	snprintf(path, sizeof(path), "%s/closed-nodes", directory);
	unlink(path);
	rmdir(directory);
}

/* The name of the error, or NULL. */
static const char *ask(const char *request)
{
	const struct control_dispatch dispatch = {
	    .tables = {{NULL, NULL}, {guest_commands, &server}}};

	json_decref(answer);
	answer = control_dispatch(&dispatch, request, strlen(request));
	ck_assert_ptr_nonnull(answer);
	return json_string_value(json_object_get(json_object_get(answer, "error"), "errno"));
}

#define BIND(rest)                                                                                 \
	"{\"execute\":\"bind-memory\",\"arguments\":{\"gpa\":0,\"bytes\":4194304," rest "}}"

static const struct {
	const char *closed, *request;
	bool refused;
} cases[] = {
    {"1", BIND("\"policy\":\"bind\",\"nodes\":[1]"), true},
    {"1", BIND("\"policy\":\"bind\",\"nodes\":[2]"), false},
    /* Places: 1 is the second node that can be used, 4 the second once more. */
    {"1", BIND("\"policy\":\"bind\",\"nodes\":[1],\"relative\":true"), true},
    {"1", BIND("\"policy\":\"interleave\",\"nodes\":[0,4],\"relative\":true"), true},
    {"1", BIND("\"policy\":\"interleave\",\"nodes\":[0,5],\"relative\":true"), false},
    /* Without nodes: the vnode's, which is 0. What is new goes there anyway. */
    {"0", BIND("\"policy\":\"local\""), false},
    {"0", BIND("\"policy\":\"local\",\"move\":true"), true},
    {"0", BIND("\"policy\":\"default\",\"move\":true"), true},
    {"0", BIND("\"policy\":\"preferred\",\"move\":true"), true},
    {"2", BIND("\"policy\":\"default\",\"move\":true"), false},
};

START_TEST(policy_that_would_bring_pages_to_a_closed_node_is_refused)
{
	const char *error;

	close_node(cases[_i].closed);
	error = ask(cases[_i].request);
	ck_assert_msg(!error == !cases[_i].refused, "%s: %s", cases[_i].request, error);
	if (error)
		ck_assert_str_eq(error, "EACCES");
	/* What is no policy is told as such, whatever is closed. */
	ck_assert_str_eq(ask(BIND("\"policy\":\"bind\"")), "EINVAL");
}
END_TEST

#define RETRY(id) "{\"execute\":\"job-retry\",\"arguments\":{\"id\":\"" id "\"}}"

START_TEST(job_by_policy_is_not_taken_up_to_a_closed_node)
{
	struct gmig_job *job;

	ck_assert_ptr_null(ask(BIND("\"policy\":\"bind\",\"nodes\":[1],\"move\":true,\"rate\":1")));
	job = gmig_job_find(rig.gmig, 1);
	gmig_job_cancel(job);
	gmig_job_wait(job);
	gmig_job_put(job);
	close_node("1");
	ck_assert_str_eq(ask(RETRY("1")), "EACCES");
	/* Its range has another policy by now: that is what counts. */
	ck_assert_ptr_null(ask(BIND("\"policy\":\"bind\",\"nodes\":[2]")));
	ck_assert_ptr_null(ask(RETRY("1")));
	close_node("2");
	ck_assert_str_eq(ask(RETRY("1")), "EACCES");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control_closed");
	TCase *tcase = tcase_create("control_closed");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, policy_that_would_bring_pages_to_a_closed_node_is_refused, 0,
			    sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, job_by_policy_is_not_taken_up_to_a_closed_node);
	suite_add_tcase(suite, tcase);
	return rig_main(suite);
}
