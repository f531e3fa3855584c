/* gmig migrate --all against scripted guests, three or many: how the rate is divided, what one that fails does to the others. */
#include "../../cli/migrate_all.h"
#include "fake_vmm.h"

#include <pthread.h>

#define GUESTS 3
#define MANY   (CLI_MIGRATE_AT_ONCE + 8)
#define RATES  64
#define MIB    (1ll << 20)

enum ending {
	AT_ONCE,	/* the answer to migrate-pages is a job that has ended */
	REFUSED,	/* migrate-pages is */
	WHEN_CANCELLED, /* or never */
	WHEN_ASKED,	/* how it goes */
	BY_RATES, /* a: once all have started; b: once b and c have a half; c: once it has all */
};

static struct guest {
	struct control_server *server;
	char name[8];
	enum ending ending;
	json_int_t left; /* bytes that remain at the end */
	const char *state;
	json_int_t rate[RATES]; /* that it was told, in their order */
	unsigned int rates;
	bool is_domain; /* its server is gmigd */
} guests[MANY];
static struct control_server *gmigd;
static unsigned int guest_count;

static char directory[64];
static bool interrupt;

/* Guards guests, which several servers' threads use, and these. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int started, running, most_running;
static json_int_t most_together; /* the greatest sum of the rates of jobs that run */

static json_t *picture(const struct guest *guest)
{
	return fake_job(guest->state, guest->left ? MIB : 1 << 30, guest->left);
}

static void end(struct guest *guest, const char *state)
{
	guest->state = state;
	running--;
	control_server_event(guest->server, "JOB_STATUS_CHANGE",
			     json_pack("{s:o, s:s}", "job", picture(guest), "guest", guest->name));
}

/* The one whose server this is, or the domain that gmigd is asked about, by its URI or its name. */
static struct guest *meant(void *opaque, const json_t *arguments)
{
	const char *text = json_string_value(json_object_get(arguments, "guest"));
	const char *name = text && strrchr(text, '/') ? strrchr(text, '/') + 1 : text;

	for (unsigned int i = 0; i < guest_count && name; i++)
		if (guests[i].is_domain && !strcmp(guests[i].name, name))
			return &guests[i];
	return opaque;
}

static json_int_t last_rate(const struct guest *guest)
{
	return guest->rates ? guest->rate[guest->rates - 1] : 0;
}

static void told_rate(struct guest *guest, json_int_t rate)
{
	json_int_t together = 0;

	ck_assert_uint_lt(guest->rates, RATES);
	guest->rate[guest->rates++] = rate;
	for (unsigned int i = 0; i < guest_count; i++)
		if (guests[i].state && !strcmp(guests[i].state, "running"))
			together += last_rate(&guests[i]);
	if (together > most_together)
		most_together = together;
}

static void follow_script(void)
{
	if (guests[0].ending != BY_RATES)
		return;
	if (started == GUESTS && !strcmp(guests[0].state, "running"))
		end(&guests[0], "completed");
	if (last_rate(&guests[1]) == 150 * MIB && last_rate(&guests[2]) == 150 * MIB)
		end(&guests[1], "completed");
	if (last_rate(&guests[2]) == 300 * MIB)
		end(&guests[2], "completed");
}

static int run_migrate(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	struct guest *guest = meant(opaque, arguments);
	int rc = 0;

	pthread_mutex_lock(&lock);
	started++;
	if (guest->ending == REFUSED) {
		rc = gmig_fail(err, -ENODEV, "host node 9 is not there");
	} else {
		guest->state = guest->ending == AT_ONCE ? "completed" : "running";
		running += guest->ending != AT_ONCE;
		if (running > most_running)
			most_running = running;
		told_rate(guest, json_integer_value(json_object_get(arguments, "rate")));
		*result = picture(guest);
	}
	if (started == GUESTS && interrupt)
		kill(getpid(), SIGINT);
	follow_script();
	pthread_mutex_unlock(&lock);
	return rc;
}

static int run_set_rate(void *opaque, const json_t *arguments, json_t **result,
			struct gmig_error *err)
{
	struct guest *guest = meant(opaque, arguments);

	(void)err;
	pthread_mutex_lock(&lock);
	told_rate(guest, json_integer_value(json_object_get(arguments, "rate")));
	*result = picture(guest);
	follow_script();
	pthread_mutex_unlock(&lock);
	return 0;
}

static int run_cancel(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	struct guest *guest = meant(opaque, arguments);

	(void)err;
	pthread_mutex_lock(&lock);
	end(guest, "cancelled");
	*result = picture(guest);
	pthread_mutex_unlock(&lock);
	return 0;
}

static int run_jobs(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	struct guest *guest = meant(opaque, arguments);

	(void)err;
	pthread_mutex_lock(&lock);
	if (guest->ending == WHEN_ASKED && !strcmp(guest->state, "running"))
		end(guest, "completed");
	*result = json_pack("[o]", picture(guest));
	pthread_mutex_unlock(&lock);
	return 0;
}

static int run_status(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	const struct guest *guest = meant(opaque, arguments);

	if (!guest)
		return gmig_fail(err, -ESRCH, "there is no such domain");
	*result =
	    json_pack("{s:s, s:i, s:s}", "name", guest->name, "pid", 4711, "state", "running");
	return 0;
}

static int run_numa(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)err;
	*result = json_pack("{s:[]}", "vnodes");
	return 0;
}

/* As gmigd lists its domains. */
static int run_guests(void *opaque, const json_t *arguments, json_t **result,
		      struct gmig_error *err)
{
	json_t *list = json_array();
	char uri[64];

	(void)opaque;
	(void)arguments;
	(void)err;
	for (unsigned int i = 0; i < guest_count; i++) {
		snprintf(uri, sizeof(uri), "qemu:///system/%s", guests[i].name);
		if (guests[i].is_domain)
			json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:s}", "name",
							      guests[i].name, "pid", 4712, "state",
							      "running", "uri", uri));
	}
	*result = json_pack("{s:o}", "guests", list);
	return 0;
}

#define GUEST .name = "guest", .type = CONTROL_STRING

static const struct control_argument guest_arguments[] = {{GUEST}, {0}};
static const struct control_argument migrate_arguments[] = {
    {GUEST},
    {.name = "from", .type = CONTROL_ARRAY, .required = true},
    {.name = "to", .type = CONTROL_ARRAY, .required = true},
    {.name = "rate", .type = CONTROL_INTEGER},
    {0},
};
static const struct control_argument id_arguments[] = {
    {GUEST},
    {.name = "id", .type = CONTROL_STRING, .required = true},
    {0},
};
static const struct control_argument rate_arguments[] = {
    {GUEST},
    {.name = "id", .type = CONTROL_STRING, .required = true},
    {.name = "rate", .type = CONTROL_INTEGER, .required = true},
    {0},
};
static const struct control_command commands[] = {
    {.name = "query-guests", .run = run_guests},
    {.name = "query-status", .arguments = guest_arguments, .run = run_status},
    {.name = "query-numa", .run = run_numa},
    {.name = "query-jobs", .arguments = guest_arguments, .run = run_jobs},
    {.name = "migrate-pages", .arguments = migrate_arguments, .run = run_migrate},
    {.name = "job-set-rate", .arguments = rate_arguments, .run = run_set_rate},
    {.name = "job-cancel", .arguments = id_arguments, .run = run_cancel},
    {0},
};

static void start_guests(unsigned int until)
{
	for (; guest_count < until; guest_count++) {
		struct guest *guest = &guests[guest_count];
		struct gmig_error err = {0};
		char path[128];
		struct control_server_options options = {
		    .path = path, .name = guest->name, .commands = commands, .opaque = guest};

		*guest = (struct guest){0};
		snprintf(guest->name, sizeof(guest->name), guest_count < GUESTS ? "%c" : "%c%u",
			 guest_count < GUESTS ? 'a' + (int)guest_count : 'g', guest_count);
		snprintf(path, sizeof(path), "%s/gmig/%s.sock", directory, guest->name);
		ck_assert_msg(!control_server_create(&options, &guest->server, &err), "%s",
			      err.text);
	}
}

static void setup(void)
{
	cli_limits.grace_ms = 0;
	cli_limits.list_ms = 60000;
	guest_count = started = running = most_running = 0;
	most_together = 0;
	interrupt = false;
	strcpy(directory, "/tmp/gmig-test-all-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	setenv("XDG_RUNTIME_DIR", directory, 1);
	setenv("GMIGD_SOCKET", "/tmp/gmig-test-not-there/gmigd.sock", 1);
	start_guests(GUESTS);
}

/* From here on this one is a domain of libvirt's, which gmigd serves. */
static void make_domain(struct guest *guest)
{
	struct gmig_error err = {0};
	char path[128];
	struct control_server_options options = {
	    .path = path, .name = "gmigd", .commands = commands};

	snprintf(path, sizeof(path), "%s/gmig/gmigd.sock", directory);
	setenv("GMIGD_SOCKET", path, 1);
	if (!gmigd)
		ck_assert_msg(!control_server_create(&options, &gmigd, &err), "%s", err.text);
	control_server_destroy(guest->server);
	guest->server = gmigd;
	guest->is_domain = true;
}

/* One that a dead guest has left. */
static void leave_stale_socket(char *path, size_t bytes)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(path, bytes, "%s/gmig/dead.sock", directory);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/gmig/dead.sock", directory);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void teardown(void)
{
	char path[128];

	for (unsigned int i = 0; i < guest_count; i++)
		if (!guests[i].is_domain)
			control_server_destroy(guests[i].server);
	control_server_destroy(gmigd);
	gmigd = NULL;
	snprintf(path, sizeof(path), "%s/gmig", directory);
	rmdir(path);
	rmdir(directory);
}

static void all_end(enum ending ending)
{
	for (unsigned int i = 0; i < guest_count; i++)
		guests[i].ending = ending;
}

#define MIGRATE_ALL "migrate", "--all", "--from", "0", "--to", "1"

/* One rate over guests of gmig-vmm and domains of gmigd: none of them is a domain, or two are. */
START_TEST(rate_is_divided_and_divided_anew_when_a_job_has_ended)
{
	all_end(BY_RATES);
	for (int i = 0; i < 2 * _i; i++)
		make_domain(&guests[GUESTS - 1 - i]);
	ck_assert_int_eq(gmig(MIGRATE_ALL, "--rate", "300M", NULL), CLI_OK);
	ck_assert_int_eq(guests[0].rate[0], 100 * MIB);
	ck_assert_int_eq(guests[1].rate[0], 100 * MIB);
	ck_assert_int_eq(guests[2].rate[0], 100 * MIB);
	ck_assert_uint_eq(guests[0].rates, 1);
	ck_assert_int_eq(guests[1].rate[1], 150 * MIB);
	ck_assert_int_eq(guests[2].rate[1], 150 * MIB);
	ck_assert_int_eq(guests[2].rate[2], 300 * MIB);
	ck_assert_uint_eq(guests[2].rates, 3);
	ck_assert_int_le(most_together, 300 * MIB);
	ck_has(out_text, "a: job 1 completed: 1G moved");
	ck_has(out_text, "c: job 1 completed: 1G moved");
}
END_TEST

START_TEST(guest_that_refuses_leaves_its_share_to_the_others_and_fails_the_command)
{
	char stale[128];

	all_end(BY_RATES);
	guests[0].ending = BY_RATES;
	guests[1].ending = REFUSED;
	/* a ends when all have been told, so that c gets all of the rate at last. */
	leave_stale_socket(stale, sizeof(stale));
	ck_assert_int_eq(gmig(MIGRATE_ALL, "--rate", "300M", NULL), CLI_FAILED);
	ck_assert_int_eq(last_rate(&guests[2]), 300 * MIB);
	ck_assert_int_le(most_together, 300 * MIB);
	ck_has(err_text, "gmig: b: host node 9 is not there");
	ck_has(out_text, "a: job 1 completed");
	ck_has(out_text, "b: not moved");
	ck_has(out_text, "c: job 1 completed");
	ck_assert_ptr_null(strstr(out_text, "dead"));
	unlink(stale);
}
END_TEST

START_TEST(result_has_all_guests_and_the_worst_status)
{
	json_t *result, *list;

	all_end(AT_ONCE);
	make_domain(&guests[2]);
	guests[2].left = 4096;
	ck_assert_int_eq(gmig(MIGRATE_ALL, "--json", NULL), CLI_REMAINING);
	result = out_json();
	list = json_object_get(result, "guests");
	ck_assert_uint_eq(json_array_size(list), GUESTS);
	for (unsigned int i = 0; i < GUESTS; i++) {
		ck_assert_str_eq(cli_text(json_array_get(list, i), "name"), guests[i].name);
		ck_assert_str_eq(
		    cli_text(json_object_get(json_array_get(list, i), "result"), "state"),
		    "completed");
		/* No limit is passed on as none. */
		ck_assert_int_eq(guests[i].rate[0], 0);
	}
	ck_assert_uint_eq(cli_number(result, "moved_bytes"), 2ull * (1 << 30) + MIB);
	ck_assert_uint_eq(cli_number(result, "remaining_bytes"), 4096);
	json_decref(result);
}
END_TEST

START_TEST(named_guests_alone_move_and_have_the_rate_alone)
{
	all_end(AT_ONCE);
	make_domain(&guests[2]);
	ck_assert_int_eq(gmig(MIGRATE_ALL, "--guest", "c", "--rate", "7", NULL), CLI_OK);
	ck_assert_uint_eq(started, 1);
	ck_assert_int_eq(guests[2].rate[0], 7);
	ck_assert_int_eq(gmig(MIGRATE_ALL, "--guest", "c,nobody", NULL), CLI_FAILED);
	ck_has(err_text, "there is no guest 'nobody'");
	ck_assert_uint_eq(started, 1);
}
END_TEST

/* Less than a byte a second each: never 0, which would be no limit. */
START_TEST(tiny_rate_is_no_lack_of_a_limit)
{
	all_end(AT_ONCE);
	ck_assert_int_eq(gmig(MIGRATE_ALL, "--rate", "1", NULL), CLI_OK);
	for (unsigned int i = 0; i < GUESTS; i++)
		ck_assert_int_eq(guests[i].rate[0], 1);
}
END_TEST

START_TEST(interrupt_cancels_all_jobs)
{
	all_end(WHEN_CANCELLED);
	make_domain(&guests[1]);
	interrupt = true;
	ck_assert_int_eq(gmig(MIGRATE_ALL, NULL), CLI_INTERRUPTED);
	for (unsigned int i = 0; i < GUESTS; i++)
		ck_assert_str_eq(guests[i].state, "cancelled");
	ck_has(out_text, "b: job 1 cancelled");
}
END_TEST

/* gmigd has connections for 64, and others want to be heard, too. */
START_TEST(many_guests_take_turns)
{
	const json_int_t rate = CLI_MIGRATE_AT_ONCE * MIB;

	start_guests(MANY);
	all_end(WHEN_ASKED);
	ck_assert_int_eq(gmig(MIGRATE_ALL, "--rate", "32M", NULL), CLI_OK);
	ck_assert_uint_eq(started, MANY);
	ck_assert_uint_le(most_running, CLI_MIGRATE_AT_ONCE);
	ck_assert_int_le(most_together, rate);
	for (unsigned int i = 0; i < MANY; i++)
		ck_assert_int_ge(guests[i].rate[0], MIB);
}
END_TEST

START_TEST(interrupt_keeps_those_that_wait_for_their_turn_from_starting)
{
	start_guests(MANY);
	all_end(WHEN_CANCELLED);
	interrupt = true;
	ck_assert_int_eq(gmig(MIGRATE_ALL, NULL), CLI_INTERRUPTED);
	ck_assert_uint_le(started, CLI_MIGRATE_AT_ONCE);
	ck_assert_uint_eq(running, 0);
	ck_has(err_text, "not started: Ctrl-C");
}
END_TEST

START_TEST(what_does_not_go_with_all_is_refused)
{
	ck_assert_int_eq(gmig(MIGRATE_ALL, "a", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig(MIGRATE_ALL, "--detach", NULL), CLI_USAGE);
	ck_has(err_text, "--detach is not for --all");
	ck_assert_int_eq(gmig(MIGRATE_ALL, "--with-guest", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("migrate", "a", "--guest", "b", "--from", "0", "--to", "1", NULL),
			 CLI_USAGE);
	ck_has(err_text, "--guest is for --all");
	ck_assert_uint_eq(started, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli migrate --all");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, rate_is_divided_and_divided_anew_when_a_job_has_ended, 0, 2);
	tcase_add_test(tcase,
		       guest_that_refuses_leaves_its_share_to_the_others_and_fails_the_command);
	tcase_add_test(tcase, result_has_all_guests_and_the_worst_status);
	tcase_add_test(tcase, named_guests_alone_move_and_have_the_rate_alone);
	tcase_add_test(tcase, tiny_rate_is_no_lack_of_a_limit);
	tcase_add_test(tcase, interrupt_cancels_all_jobs);
	tcase_add_test(tcase, many_guests_take_turns);
	tcase_add_test(tcase, interrupt_keeps_those_that_wait_for_their_turn_from_starting);
	tcase_add_test(tcase, what_does_not_go_with_all_is_refused);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
