/* The agent's lines: shapes, resynchronisation, garbage, hosts that misbehave, memory. */
#include "../../guestagent/agent.h"
#include "fake_kernel.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/socket.h>

static struct agent agent;
static struct agent_port_options options = {.fd = -1};
static pthread_t server;
static int host;

static void *serve(void *opaque)
{
	struct gmig_error err = {0};

	(void)opaque;
	agent_port_serve(&agent, &options, &err);
	return NULL;
}

static void setup(void)
{
	int pair[2];

	fake_kernel_setup();
	memset(&agent, 0, sizeof(agent));
	ck_assert_int_eq(agent_jobs_create(&agent.jobs, NULL), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	host = pair[0];
	options.fd = pair[1];
	ck_assert_int_eq(pthread_create(&server, NULL, serve, NULL), 0);
}

static void teardown(void)
{
	close(host);
	pthread_join(server, NULL);
	ck_assert(agent_jobs_destroy(agent.jobs, 120000));
	fake_kernel_teardown();
}

static void put_bytes(const char *bytes, size_t count)
{
	while (count) {
		ssize_t wrote = write(host, bytes, count);

		ck_assert_int_gt(wrote, 0);
		bytes += wrote;
		count -= (size_t)wrote;
	}
}

static void put(const char *text)
{
	put_bytes(text, strlen(text));
}

static char input[65536];
static size_t input_head, input_tail;

static char get_byte(void)
{
	struct pollfd poller = {.fd = host, .events = POLLIN};
	ssize_t got;

	if (input_head == input_tail) {
		ck_assert_msg(poll(&poller, 1, 60000) == 1, "no answer within 60 s");
		got = read(host, input, sizeof(input));
		ck_assert_int_gt(got, 0);
		input_head = 0;
		input_tail = (size_t)got;
	}
	return input[input_head++];
}

/* The next line, without its LF, cut to the buffer. */
static char *get(void)
{
	static char line[4096];
	size_t length = 0;

	for (char byte = get_byte(); byte != '\n'; byte = get_byte())
		if (length < sizeof(line) - 1)
			line[length++] = byte;
	line[length] = '\0';
	return line;
}

static void expect(const char *request, const char *answer)
{
	put(request);
	put("\n");
	ck_assert_str_eq(get(), answer);
}

START_TEST(guest_commands_have_the_shapes_of_the_qemu_guest_agent)
{
	expect("{\"execute\":\"guest-ping\"}", "{\"return\":{}}");
	expect("{\"execute\":\"guest-ping\",\"id\":[1]}", "{\"return\":{},\"id\":[1]}");
	expect("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":123456789012}}",
	       "{\"return\":123456789012}");
	expect("\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":7}}\r",
	       "\xff{\"return\":7}");
	put("{\"execute\":\"guest-info\"}\n");
	ck_assert_ptr_nonnull(strstr(get(), "{\"name\":\"migrate-pages\",\"enabled\":true,"
					    "\"success-response\":true}"));
}
END_TEST

START_TEST(bad_lines_are_answered_distinctly_and_the_next_one_works)
{
	static const struct {
		const char *line, *class, *says;
	} bad[] = {
	    {"{\"execute\":\"guest-frobnicate\"}", "CommandNotFound", "guest-frobnicate"},
	    {"{\"execute\":\"guest-ping\"", "GenericError", "not one JSON object"},
	    {"{{{", "GenericError", "not one JSON object"},
	    {"[]", "GenericError", "a request is a JSON object"},
	    {"{}", "GenericError", "no 'execute'"},
	    {"{\"execute\":7}", "GenericError", "no 'execute'"},
	    {"{\"execute\":\"guest-ping\",\"extra\":1}", "GenericError", "no member 'extra'"},
	    {"{\"execute\":\"guest-ping\",\"arguments\":[]}", "GenericError", "is an object"},
	    {"{\"execute\":\"guest-ping\",\"arguments\":{\"a\":1}}", "GenericError",
	     "no argument 'a'"},
	    {"{\"execute\":\"guest-sync\"}", "GenericError", "'id' of 'guest-sync' is missing"},
	    {"{\"execute\":\"guest-sync\",\"arguments\":{\"id\":\"x\"}}", "GenericError",
	     "is an integer"},
	    {"{\"execute\":\"guest-ping\",\"execute\":\"guest-ping\"}", "GenericError",
	     "duplicate"},
	    {"{\"execute\":\"numa-maps\",\"arguments\":{\"pid\":99999999999}}", "GenericError",
	     "not 1 to 2147483647"},
	    {"{\"execute\":\"migrate-pages\",\"arguments\":{\"pid\":77,\"from\":[0],\"to\":[5]}}",
	     "GenericError", "ENODEV (19)"},
	    {"{\"execute\":\"migrate-pages\",\"arguments\":{\"from\":[0],\"to\":[1]}}",
	     "GenericError", "one of 'pid', 'cgroup' and 'all'"},
	    {"{\"execute\":\"migrate-pages\",\"arguments\":{\"pid\":1,\"all\":true,\"from\":[0],"
	     "\"to\":[1]}}",
	     "GenericError", "one of 'pid', 'cgroup' and 'all'"},
	    {"{\"execute\":\"migrate-pages\",\"arguments\":{\"pid\":77,\"from\":[0],\"to\":[1],"
	     "\"method\":\"x\"}}",
	     "GenericError", "method is"},
	    {"{\"execute\":\"set-affinity\",\"arguments\":{\"pid\":77,\"mems\":\"0\"}}",
	     "GenericError", "only a cgroup's"},
	    {"{\"execute\":\"set-affinity\",\"arguments\":{\"pid\":77}}", "GenericError",
	     "'cpus', 'mems'"},
	    {"{\"execute\":\"set-affinity\",\"arguments\":{\"cgroup\":\"/none\",\"cpus\":\"0\"}}",
	     "GenericError", "there is no cgroup /none in the unified hierarchy (version 2) at "},
	    {"{\"execute\":\"set-affinity\",\"arguments\":{\"cgroup\":\"/\",\"cpus\":\"0\"}}",
	     "GenericError", "subtree_control"},
	    {"{\"execute\":\"stall-probe\",\"arguments\":{\"seconds\":0}}", "GenericError",
	     "'seconds' is 0"},
	    {"{\"execute\":\"stall-probe\",\"arguments\":{\"seconds\":1,\"node\":9}}",
	     "GenericError", "no node 9"},
	    {"{\"execute\":\"job-status\",\"arguments\":{\"id\":\"x\"}}", "GenericError",
	     "no job's id"},
	    {"{\"execute\":\"job-cancel\",\"arguments\":{\"id\":\"4\"}}", "GenericError",
	     "no job 4"},
	    {"\x01\x02 binary \x80", "GenericError", "not one JSON object"},
	};

	fake_self(NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *answer, class[64];

		put(bad[i].line);
		put("\n");
		answer = get();
		snprintf(class, sizeof(class), "\"class\":\"%s\"", bad[i].class);
		ck_assert_msg(strstr(answer, class) && strstr(answer, bad[i].says), "%s: %s",
			      bad[i].line, answer);
		expect("{\"execute\":\"guest-ping\"}", "{\"return\":{}}");
	}
}
END_TEST

START_TEST(half_a_line_ends_at_the_next_hosts_resync)
{
	put("{\"execute\":\"guest-pi");
	expect("\xff{\"execute\":\"guest-ping\"}", "{\"return\":{}}");
	put("{\"half\n");
	ck_assert_ptr_nonnull(strstr(get(), "error"));
	expect("\n\n{\"execute\":\"guest-ping\"}", "{\"return\":{}}");
}
END_TEST

START_TEST(a_line_of_10_megabytes_is_refused_once)
{
	char *blob = malloc(10u << 20);

	ck_assert_ptr_nonnull(blob);
	memset(blob, '[', 10u << 20);
	put_bytes(blob, 10u << 20);
	free(blob);
	expect("\n{\"execute\":\"guest-ping\",\"id\":5}",
	       "{\"error\":{\"class\":\"GenericError\",\"desc\":\"a line of more than 1048576 "
	       "bytes\",\"errno\":\"E2BIG\",\"number\":7}}");
	ck_assert_str_eq(get(), "{\"return\":{},\"id\":5}");
}
END_TEST

static size_t resident_bytes(void)
{
	char text[128];
	size_t pages = 0;

	ck_assert_int_gt(agent_read_text("/proc/self/statm", text, sizeof(text)), 0);
	ck_assert_int_eq(sscanf(text, "%*u %zu", &pages), 1);
	return pages * 4096;
}

/* Answers are 100 bytes and more: 200,000 of them must not pile up here. */
START_TEST(a_host_that_never_reads_costs_bounded_memory)
{
	static const char line[] = "{\"execute\":\"guest-info\"}\n";
	size_t before = resident_bytes(), sent = 0;
	int flags = fcntl(host, F_GETFL);

	fcntl(host, F_SETFL, flags | O_NONBLOCK);
	for (int idle = 0; idle < 20 && sent < 200000;) {
		if (write(host, line, sizeof(line) - 1) == (ssize_t)sizeof(line) - 1) {
			sent++;
			continue;
		}
		usleep(10000);
		idle++;
	}
	ck_assert_msg(sent < 200000, "the agent took everything");
#ifndef GMIG_SANITIZED /* a sanitizer keeps what was freed */
	ck_assert_uint_lt(resident_bytes(), before + (16u << 20));
#else
	(void)before;
#endif
}
END_TEST

static void *ask_20000_times(void *opaque)
{
	char line[64];

	for (int i = 0; i < 20000; i++) {
		snprintf(line, sizeof(line), "{\"execute\":\"guest-info\",\"id\":%d}\n", i);
		put(line);
	}
	return opaque;
}

START_TEST(a_host_that_reads_late_gets_every_answer)
{
	pthread_t asker;

	ck_assert_int_eq(pthread_create(&asker, NULL, ask_20000_times, NULL), 0);
	usleep(200000);
	for (int i = 0; i < 20000; i++) {
		char id[32];

		snprintf(id, sizeof(id), "\"id\":%d}", i);
		ck_assert_ptr_nonnull(strstr(get(), id));
	}
	pthread_join(asker, NULL);
}
END_TEST

START_TEST(memory_stays_constant_over_10000_mixed_commands)
{
	static const char *const lines[] = {
	    "{\"execute\":\"guest-ping\",\"id\":1}",
	    "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":9}}",
	    "{\"execute\":\"guest-info\"}",
	    "{\"execute\":\"numa-topology\"}",
	    "{\"execute\":\"numa-maps\",\"arguments\":{\"pid\":77,\"mappings\":true}}",
	    "{\"execute\":\"processes\"}",
	    ("{\"execute\":\"move-pages\",\"arguments\":{\"pid\":77,\"nodes\":1,\"ranges\":[{"
	     "\"start\":\"0x7f0000000000\",\"bytes\":40960}]}}"),
	    "{\"execute\":\"migrate-pages\",\"arguments\":{\"pid\":78,\"from\":[0],\"to\":[1]}}",
	    "{\"execute\":\"query-jobs\"}",
	    "{\"execute\":\"nothing\"}",
	    "{ half",
	    "\xff\xff",
	};
	size_t before = 0;

	for (int round = 0; round < 1000; round++) {
		if (round == 150)
			before = resident_bytes();
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
			put(lines[i]);
			put("\n");
		}
		for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]) - 1; i++)
			get();
	}
#ifndef GMIG_SANITIZED /* a sanitizer has memory of its own; ASan looks for leaks itself */
	ck_assert_uint_le(resident_bytes(), before + (128 << 10));
#endif
	ck_assert_uint_gt(before, 0);
}
END_TEST

START_TEST(allow_list_refuses_commands_by_name)
{
	char conf[] = "commands = numa-topology";

	ck_assert_int_eq(agent_conf_parse(conf, agent_knows_command, &agent.conf, NULL), 0);
	put("{\"execute\":\"processes\"}\n");
	ck_assert_ptr_nonnull(strstr(get(), "'processes' is not on the guest's allow-list"));
	put("{\"execute\":\"numa-topology\"}\n");
	ck_assert_str_eq(get(), "{\"return\":{\"nodes\":[{\"id\":0,\"cpus\":[0],\"total_bytes\":"
				"1024000,\"free_bytes\":204800,\"distance\":[10,20]},{\"id\":1,"
				"\"cpus\":[1],\"total_bytes\":1024000,\"free_bytes\":204800,"
				"\"distance\":[20,10]}],\"numa_balancing\":false,\"page_bytes\":"
				"4096,\"huge_page_bytes\":2097152}}");
	put("{\"execute\":\"guest-info\"}\n");
	ck_assert_ptr_nonnull(strstr(get(), "\"collapse\",\"enabled\":false"));
	agent_conf_free(&agent.conf);
}
END_TEST

START_TEST(processes_and_maps_tell_what_is_where)
{
	for (size_t i = 0; i < 100; i++)
		fake_page[i].node = 1;
	fake_write_maps();
	expect(
	    "{\"execute\":\"processes\"}",
	    "{\"return\":{\"processes\":[{\"pid\":77,\"comm\":\"worker (x) y\",\"uid\":1000,"
	    "\"cpus\":\"0-1\",\"cpu_nodes\":[1],\"nodes\":{\"0\":40550400,\"1\":409600},\"bytes\":"
	    "40960000,\"remote_bytes\":40550400}],\"seen\":1,\"complete\":true}}");
	expect("{\"execute\":\"numa-maps\",\"arguments\":{\"pid\":77}}",
	       "{\"return\":{\"pid\":77,\"comm\":\"worker (x) y\",\"bytes\":40960000,\"nodes\":{"
	       "\"0\":{\"4K\":9900,\"2M\":0},\"1\":{\"4K\":100,\"2M\":0}},\"huge_estimated\":"
	       "false}}");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_protocol");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	/* How many threads happen to run at a time is not to be seen in the memory. */
	mallopt(M_ARENA_MAX, 1);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 100);
	tcase_add_test(tcase, guest_commands_have_the_shapes_of_the_qemu_guest_agent);
	tcase_add_test(tcase, bad_lines_are_answered_distinctly_and_the_next_one_works);
	tcase_add_test(tcase, half_a_line_ends_at_the_next_hosts_resync);
	tcase_add_test(tcase, a_line_of_10_megabytes_is_refused_once);
	tcase_add_test(tcase, a_host_that_never_reads_costs_bounded_memory);
	tcase_add_test(tcase, a_host_that_reads_late_gets_every_answer);
	tcase_add_test(tcase, memory_stays_constant_over_10000_mixed_commands);
	tcase_add_test(tcase, allow_list_refuses_commands_by_name);
	tcase_add_test(tcase, processes_and_maps_tell_what_is_where);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
