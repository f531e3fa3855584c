/*
 * gmig-bench's child handling against a stand-in for gmig-vmm: this program itself, when it is called with --name. It speaks
 * the control protocol and moves nothing. The name of the page size chooses how it misbehaves.
 */
#include "../../control/control.h"
#include "../bench/guest.h"
#include "../bench/process.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEM_BYTES (64ull << 20)

/* ---- The stand-in -------------------------------------------------------------------------------------------- */

static struct {
	_Atomic(struct control_server *) server; /* set after its thread has started */
	int node, jobs, resets;
	bool running;
	char load[16];
	bool slow; /* ends no job */
} fake = {.running = true};

static atomic_bool fake_quit;

static json_t *percentiles(int value)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i}", "count", 1, "p50", value, "p99", value,
			 "p999", value, "max", value);
}

static int run_residency(void *opaque, const json_t *arguments, json_t **result,
			 struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)err;
	*result = json_pack("{s:[{s:i, s:I, s:{s:I, s:I}}], s:{s:i, s:i}, s:{s:i, s:i, s:o}}",
			    "vnodes", "id", 0, "bytes", (json_int_t)MEM_BYTES, "resident", "0",
			    (json_int_t)(fake.node ? 0 : MEM_BYTES), "1",
			    (json_int_t)(fake.node ? MEM_BYTES : 0), "pool", "0", 4096, "1", 8192,
			    "probe", "sweeps", fake.running ? 7 : 3, "errors", 0, "gap_ns",
			    percentiles(fake.resets));
	return 0;
}

static json_t *job_object(int id, const char *state, int moved)
{
	return json_pack("{s:s#, s:s, s:I, s:i, s:f}", "id", id == 1 ? "1" : "2", 1, "state", state,
			 "moved_bytes", (json_int_t)moved, "remaining_bytes", 0, "seconds", 0.25);
}

static int run_migrate(void *opaque, const json_t *arguments, json_t **result,
		       struct gmig_error *err)
{
	int to = (int)json_integer_value(json_array_get(json_object_get(arguments, "to"), 0));

	(void)opaque;
	while (!fake.server)
		usleep(100);
	if (to == fake.node)
		return gmig_fail(err, -EINVAL, "already there");
	fake.jobs++;
	/* Events of others, of progress, and the end before the answer: all of it happens. */
	control_server_event(fake.server, "JOB_STATUS_CHANGE",
			     json_pack("{s:o}", "job", job_object(fake.jobs, "running", 1)));
	control_server_event(fake.server, "OTHER", json_object());
	if (!fake.slow)
		control_server_event(
		    fake.server, "JOB_STATUS_CHANGE",
		    json_pack("{s:o}", "job", job_object(fake.jobs, "completed", 1 << 20)));
	*result = job_object(fake.jobs, "created", 0);
	if (fake.jobs == 2 || json_integer_value(json_object_get(arguments, "threads")) == 1) {
		fake.node = to;
		fake.jobs = 0;
	}
	return 0;
}

static int run_load(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)result;
	(void)err;
	snprintf(fake.load, sizeof(fake.load), "%s",
		 json_string_value(json_object_get(arguments, "load")));
	return 0;
}

static int run_stop(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)result;
	(void)err;
	fake.running = false;
	return 0;
}

static int run_cont(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)result;
	(void)err;
	fake.running = true;
	return 0;
}

static int run_reset(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)result;
	(void)err;
	fake.resets++;
	return 0;
}

/* Five records, at most two an answer. */
static int run_trace(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	json_int_t first = json_integer_value(json_object_get(arguments, "first"));
	json_t *records = json_array();

	(void)opaque;
	(void)err;
	for (json_int_t i = first; i < first + 2 && i < 5; i++)
		json_array_append_new(records, json_pack("{s:I}", "gpa", i << 21));
	*result = json_pack("{s:i, s:I, s:o}", "total", 5, "first", first, "records", records);
	return 0;
}

static int run_histograms(void *opaque, const json_t *arguments, json_t **result,
			  struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)err;
	*result = json_pack("{s:{s:[[i,i]], s:[[i,i],[i,i]]}, s:[]}", "blackout_ns", "read", 1, 3,
			    "write", 4096, 5, 65536, 7, "stall_ns");
	return 0;
}

static int run_quit(void *opaque, const json_t *arguments, json_t **result, struct gmig_error *err)
{
	(void)opaque;
	(void)arguments;
	(void)result;
	(void)err;
	atomic_store(&fake_quit, true);
	return 0;
}

static void *idle_vcpu(void *opaque)
{
	volatile unsigned int *spin = opaque;

	while (!atomic_load(&fake_quit))
		if (++*spin % 1000 == 0)
			usleep(100);
	return NULL;
}

static int be_gmig_vmm(int argc, char **argv)
{
	static const struct control_argument migrate_arguments[] = {
	    {"from", CONTROL_ARRAY, true},
	    {"to", CONTROL_ARRAY, true},
	    {"mode", CONTROL_STRING, false},
	    {"frames", CONTROL_STRING, false},
	    {"threads", CONTROL_INTEGER, false},
	    {"trace", CONTROL_BOOL, false},
	    {NULL, 0, false},
	};
	static const struct control_argument trace_arguments[] = {
	    {"id", CONTROL_STRING, true},
	    {"first", CONTROL_INTEGER, false},
	    {NULL, 0, false},
	};
	static const struct control_argument load_arguments[] = {{"load", CONTROL_STRING, true},
								 {NULL, 0, false}};
	static const struct control_command commands[] = {
	    {"query-residency", NULL, run_residency},
	    {"migrate-pages", migrate_arguments, run_migrate},
	    {"probe-set-load", load_arguments, run_load},
	    {"probe-reset-gaps", NULL, run_reset},
	    {"query-job-trace", trace_arguments, run_trace},
	    {"query-histograms", NULL, run_histograms},
	    {"stop", NULL, run_stop},
	    {"cont", NULL, run_cont},
	    {"quit", NULL, run_quit},
	    {NULL, NULL, NULL},
	};
	struct control_server_options options = {.commands = commands, .name = "fake"};
	const char *page = "";
	char path[256];
	static volatile unsigned int spin;
	struct control_server *server;
	pthread_t thread;

	for (int i = 1; i + 1 < argc; i++) {
		if (!strcmp(argv[i], "--name") &&
		    !control_socket_path(argv[i + 1], path, sizeof(path), NULL))
			options.path = path;
		if (!strcmp(argv[i], "--page"))
			page = argv[i + 1];
	}
	if (!strcmp(page, "refuse")) {
		fprintf(stderr, "first line\nerror what=\"no such page\"\n");
		return 2;
	}
	fake.slow = !strcmp(page, "slow");
	if (strcmp(page, "nameless")) {
		pthread_create(&thread, NULL, idle_vcpu, (void *)&spin);
		pthread_setname_np(thread, "vcpu0");
	}
	if (control_server_create(&options, &server, NULL))
		return 3;
	fake.server = server;
	while (!atomic_load(&fake_quit) || !strcmp(page, "stubborn"))
		usleep(1000);
	control_server_destroy(server);
	return 0;
}

/* ---- Tests --------------------------------------------------------------------------------------------------- */

static char directory[64];

static void make_directory(void)
{
	snprintf(directory, sizeof(directory), "/tmp/test-bench.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	setenv("XDG_RUNTIME_DIR", directory, 1);
}

static void remove_directory(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/gmig", directory);
	rmdir(path);
	ck_assert_int_eq(rmdir(directory), 0); /* nothing was left in it */
}

static int create(const char *page, struct guest **guest, struct gmig_error *err)
{
	const struct guest_config config = {.mem_bytes = MEM_BYTES,
					    .vcpus = 1,
					    .fake_nodes = 2,
					    .page = page,
					    .frames = "fresh",
					    .pin = true};

	return guest_create(&config, own_program(), directory, guest, err);
}

START_TEST(guest_goes_back_and_forth_and_quits)
{
	const struct guest_migration one = {
	    .mode = "readable", .frames = "fresh", .threads = 1, .jobs = 1};
	struct guest_outcome outcome;
	struct guest_state state;
	struct gmig_error err = {0};
	struct guest *guest;

	ck_assert_msg(!create("2M", &guest, &err), "%s", err.text);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_uint_eq(guest_node(guest), i % 2);
		ck_assert_msg(!guest_migrate(guest, &one, &outcome, &err), "%s", err.text);
		ck_assert_uint_eq(outcome.jobs, 1);
		ck_assert_int_eq(json_integer_value(json_object_get(outcome.job[0], "moved_bytes")),
				 1 << 20);
		ck_assert_uint_gt(outcome.wall_ns, 0);
		guest_outcome_clear(&outcome);
	}
	ck_assert_int_eq(guest_state(guest, &state, &err), 0);
	ck_assert_uint_eq(state.resident_bytes[1], MEM_BYTES);
	ck_assert_uint_eq(state.resident_bytes[0], 0);
	ck_assert_uint_eq(state.pool_bytes, 12288);
	json_decref(state.gap_ns);
	guest_destroy(guest);
}
END_TEST

START_TEST(guest_trace_is_read_to_its_end)
{
	const struct guest_migration one = {
	    .mode = "readable", .frames = "fresh", .threads = 1, .jobs = 1, .trace = true};
	struct guest_outcome outcome;
	struct gmig_error err = {0};
	json_t *records = json_array();
	struct guest *guest;

	ck_assert_msg(!create("2M", &guest, &err), "%s", err.text);
	ck_assert_msg(!guest_migrate(guest, &one, &outcome, &err), "%s", err.text);
	ck_assert_uint_gt(outcome.begin_ns, 0);
	ck_assert_msg(!guest_trace(guest, outcome.job[0], records, &err), "%s", err.text);
	ck_assert_uint_eq(json_array_size(records), 5);
	for (size_t i = 0; i < 5; i++) {
		const json_t *record = json_array_get(records, i);

		ck_assert_int_eq(json_integer_value(json_object_get(record, "gpa")),
				 (json_int_t)i << 21);
		ck_assert_str_eq(json_string_value(json_object_get(record, "job")), "1");
	}
	json_decref(records);
	guest_outcome_clear(&outcome);
	guest_destroy(guest);
}
END_TEST

START_TEST(guest_times_land_in_their_buckets)
{
	struct gmig_error err = {0};
	struct guest_times times;
	struct guest *guest;

	ck_assert_msg(!create("2M", &guest, &err), "%s", err.text);
	ck_assert_int_eq(guest_times(guest, &times, &err), 0);
	ck_assert_uint_eq(times.blackout_read[0], 3);
	ck_assert_uint_eq(times.blackout_write[12], 5);
	ck_assert_uint_eq(times.blackout_write[16], 7);
	for (unsigned int i = 0; i < GUEST_BUCKETS; i++)
		ck_assert_uint_eq(times.stall[i], 0);
	guest_destroy(guest);
}
END_TEST

START_TEST(guest_several_jobs_are_all_waited_for)
{
	const struct guest_migration two = {
	    .mode = "block", .frames = "fresh", .threads = 2, .jobs = 2};
	struct guest_outcome outcome;
	struct gmig_error err = {0};
	struct guest *guest;

	ck_assert_int_eq(create("2M", &guest, &err), 0);
	ck_assert_msg(!guest_migrate(guest, &two, &outcome, &err), "%s", err.text);
	ck_assert_uint_eq(outcome.jobs, 2);
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(json_string_value(json_object_get(outcome.job[i], "state")),
				 "completed");
	guest_outcome_clear(&outcome);
	guest_destroy(guest);
}
END_TEST

START_TEST(guest_migration_that_does_not_end_times_out)
{
	const struct guest_migration one = {
	    .mode = "readable", .frames = "fresh", .threads = 1, .jobs = 1};
	struct guest_outcome outcome;
	struct gmig_error err = {0};
	struct guest *guest;

	ck_assert_int_eq(create("slow", &guest, &err), 0);
	ck_assert_int_eq(guest_migrate_start(guest, &one, &outcome, &err), 0);
	ck_assert_int_eq(guest_migrate_wait(guest, &outcome, 50, &err), -ETIMEDOUT);
	guest_outcome_clear(&outcome);
	guest_destroy(guest);
}
END_TEST

START_TEST(guest_run_and_pause_reach_the_child_once)
{
	struct guest_state state;
	struct gmig_error err = {0};
	struct guest *guest;

	ck_assert_int_eq(create("2M", &guest, &err), 0);
	ck_assert_int_eq(guest_pause(guest, &err), 0);
	ck_assert_int_eq(guest_state(guest, &state, &err), 0);
	ck_assert_uint_eq(state.sweeps, 3);
	json_decref(state.gap_ns);
	ck_assert_int_eq(guest_run(guest, "idle", &err), 0);
	ck_assert_int_eq(guest_reset_gaps(guest, &err), 0);
	ck_assert_int_eq(guest_state(guest, &state, &err), 0);
	ck_assert_uint_eq(state.sweeps, 7);
	ck_assert_int_eq(json_integer_value(json_object_get(state.gap_ns, "p50")), 1);
	json_decref(state.gap_ns);
	guest_destroy(guest);
}
END_TEST

START_TEST(guest_that_refuses_is_quoted)
{
	struct gmig_error err = {0};
	struct guest *guest;

	ck_assert_int_eq(create("refuse", &guest, &err), -ECHILD);
	ck_assert_msg(strstr(err.text, "status 2: error what=\"no such page\"") != NULL, "%s",
		      err.text);
}
END_TEST

START_TEST(guest_without_vcpu_threads_is_refused)
{
	struct gmig_error err = {0};
	struct guest *guest;

	ck_assert_int_eq(create("nameless", &guest, &err), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "vcpu"));
}
END_TEST

START_TEST(guest_that_does_not_quit_is_ended)
{
	struct gmig_error err = {0};
	struct guest *guest;
	pid_t pid;

	ck_assert_int_eq(create("stubborn", &guest, &err), 0);
	pid = guest_pid(guest);
	guest_destroy(guest);
	ck_assert_int_eq(kill(pid, 0), -1);
	ck_assert_int_eq(errno, ESRCH);
}
END_TEST

static void *burn(void *opaque)
{
	uint64_t ns = 0;

	pthread_setname_np(pthread_self(), "vcpu7");
	while (ns < 30000000) {
		struct timespec now;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
		ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	}
	atomic_store((atomic_bool *)opaque, true);
	while (atomic_load((atomic_bool *)opaque))
		usleep(100);
	return NULL;
}

START_TEST(process_time_of_named_threads_is_told_apart)
{
	uint64_t all_before, all, vcpu;
	atomic_bool burnt = false;
	pthread_t thread;

	ck_assert_int_eq(process_cpu_ns(getpid(), &all_before), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, burn, &burnt), 0);
	while (!atomic_load(&burnt))
		usleep(1000);
	ck_assert_int_eq(process_threads_cpu_ns(getpid(), "vcpu", &vcpu, NULL), 0);
	ck_assert_int_eq(process_cpu_ns(getpid(), &all), 0);
	ck_assert_uint_ge(vcpu, 29000000);
	ck_assert_uint_ge(all - all_before, vcpu - 1000000);
	atomic_store(&burnt, false);
	pthread_join(thread, NULL);
	ck_assert_int_eq(process_pin_threads(getpid(), "vcpu", 1), -ESRCH);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tcase;
	SRunner *runner;
	int failed;

	if (argc > 1 && !strcmp(argv[1], "--name"))
		return be_gmig_vmm(argc, argv);
	suite = suite_create("bench_guest");
	tcase = tcase_create("guest");
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, make_directory, remove_directory);
	tcase_add_test(tcase, guest_goes_back_and_forth_and_quits);
	tcase_add_test(tcase, guest_trace_is_read_to_its_end);
	tcase_add_test(tcase, guest_times_land_in_their_buckets);
	tcase_add_test(tcase, guest_several_jobs_are_all_waited_for);
	tcase_add_test(tcase, guest_migration_that_does_not_end_times_out);
	tcase_add_test(tcase, guest_run_and_pause_reach_the_child_once);
	tcase_add_test(tcase, guest_that_refuses_is_quoted);
	tcase_add_test(tcase, guest_without_vcpu_threads_is_refused);
	tcase_add_test(tcase, guest_that_does_not_quit_is_ended);
	tcase_add_test(tcase, process_time_of_named_threads_is_told_apart);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
