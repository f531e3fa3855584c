/* gmig migrate --with-guest against a scripted agent: which processes come together with their memory, and what is said of it. */
#include "fake_vmm.h"

#include "fake_agent.h"

#define TOPOLOGY                                                                                   \
	"{\"return\":{\"nodes\":[{\"id\":0,\"cpus\":[0,1]},{\"id\":1,\"cpus\":[2,3]},{\"id\":2,"   \
	"\"cpus\":[]}]}}"
/* 7: most on 0, some on 1, runs anywhere; 8: on vnode 1 alone and runs there; 9: little; 10: most
 * on 2, which has no CPUs. */
#define PROCESSES                                                                                  \
	"{\"return\":{\"processes\":[{\"pid\":7,\"comm\":\"db\",\"cpu_nodes\":[1],\"nodes\":{"     \
	"\"0\":"                                                                                   \
	"90000000,\"1\":50000000}},{\"pid\":8,\"comm\":\"web\",\"cpu_nodes\":[1],\"nodes\":{"      \
	"\"1\":"                                                                                   \
	"90000000}},{\"pid\":9,\"comm\":\"sh\",\"cpu_nodes\":[1],\"nodes\":{\"0\":400000}},{"      \
	"\"pid\":"                                                                                 \
	"10,\"comm\":\"far\",\"cpu_nodes\":[1],\"nodes\":{\"2\":70000000,\"1\":30000000}}]}}"

static int with_guest(const char *vnode, const char *option)
{
	fake.last = fake_job("completed", 1 << 30, 0);
	fake_agent_answer("numa-topology", TOPOLOGY);
	fake_agent_answer("processes", PROCESSES);
	return gmig("migrate", "vm1", "--from", "0", "--to", "1", "--with-guest", "--vnode", vnode,
		    option, NULL);
}

START_TEST(with_guest_brings_cpus_first_and_then_memory)
{
	fake_agent_answer("set-affinity", "{\"return\":{\"pid\":7,\"cpus\":\"0-1\"}}");
	fake_agent_answer("migrate-pages",
			  JOB("completed", "50000000", "\"remaining\":{\"EACCES\":2}"));
	ck_assert_int_eq(with_guest("0", NULL), CLI_OK);
	ck_assert_uint_eq(json_array_size(fake_agent.asked), 4);
	ck_asked(1, "processes", "{\"count\":1000}");
	ck_asked(2, "set-affinity", "{\"pid\":7,\"cpus\":[0,1]}");
	ck_asked(3, "migrate-pages",
		 "{\"pid\":7,\"from\":[1],\"to\":[0],\"shared\":false,\"rate\":0}");
	ck_has(out_text, "in the guest: process 7 (db), 47.7M to its other memory on vnode 0, "
			 "and to that vnode's CPUs\n");
	ck_has(out_text, "in the guest: process 7 (db): 47.7M moved to vnode 0\n");
	ck_has(out_text, "2 pages stay: EACCES, ");
}
END_TEST

static const struct {
	const char *cpus, *home;
	bool tied;
} allowed[] = {{"0-3", "0", true}, /* may run elsewhere, too */
	       {"0-1", "0", false},  {"0,1", "0", false}, {"1", "0", false},
	       {"0-1,3", "0", true}, {"2-3", "1", true},  {"", "0", true},
	       {"x", "0", true},     {"0-", "0", true},	  {"0-9999999", "0", true}};
#define ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

START_TEST(with_guest_ties_what_it_moves_to_the_vnode)
{
	char processes[400];

	snprintf(
	    processes, sizeof(processes),
	    "{\"return\":{\"processes\":[{\"pid\":7,\"comm\":\"db\",\"cpu_nodes\":[%s],\"cpus\":"
	    "\"%s\",\"nodes\":{\"0\":90000000,\"1\":50000000}}]}}",
	    allowed[_i].home, allowed[_i].cpus);
	fake_agent_answer("processes", processes);
	fake_agent_answer("set-affinity", "{\"return\":{}}");
	fake_agent_answer("migrate-pages", JOB("completed", "50000000", "\"remaining\":{}"));
	ck_assert_int_eq(with_guest("0", NULL), CLI_OK);
	ck_assert_uint_eq(json_array_size(fake_agent.asked), allowed[_i].tied ? 4 : 3);
}
END_TEST

START_TEST(with_guest_plans_those_alone_that_have_memory_on_the_vnode)
{
	fake_agent_answer("migrate-pages", JOB("completed", "30000000", "\"remaining\":{}"));
	ck_assert_int_eq(with_guest("2", "--rate=1M"), CLI_OK);
	ck_assert_uint_eq(json_array_size(fake_agent.asked), 3);
	ck_asked(2, "migrate-pages",
		 "{\"pid\":10,\"from\":[1],\"to\":[2],\"shared\":false,\"rate\":1048576}");
}
END_TEST

START_TEST(with_guest_and_nothing_out_of_place_says_so)
{
	fake_agent_answer("processes", "{\"return\":{\"processes\":[]}}");
	ck_assert_int_eq(with_guest("0", NULL), CLI_OK);
	ck_has(out_text, "in the guest: all processes are together with their memory\n");
}
END_TEST

/* What the agent could not look at is not "together with its memory". */
START_TEST(with_guest_that_saw_a_part_of_the_processes_says_so)
{
	json_t *result;

	fake_agent_answer("processes", "{\"return\":{\"processes\":[],\"complete\":false}}");
	ck_assert_int_eq(with_guest("0", _i ? "--json" : NULL), CLI_REMAINING);
	if (!_i) {
		ck_has(out_text, "in the guest: not all processes could be looked at");
		ck_assert_ptr_null(strstr(out_text, "all processes are together"));
		return;
	}
	result = out_json();
	ck_assert(json_is_false(json_object_get(result, "guest_complete")));
	json_decref(result);
}
END_TEST

/* A thousand is as many as the agent lists: is the last one out of place, others may be. */
static const struct {
	uint64_t last_bytes;
	size_t count;
	int status;
} lists[] = {{20000000, 1000, CLI_REMAINING}, {4096, 1000, CLI_OK}, {20000000, 999, CLI_OK}};

START_TEST(with_guest_of_more_processes_than_a_list_has_says_so)
{
	json_t *list = json_array(), *answer;
	char *text;

	for (size_t i = 0; i < lists[_i].count; i++)
		json_array_append_new(list, json_pack("{s:I, s:s, s:[], s:I, s:{}}", "pid",
						      (json_int_t)i + 2, "comm", "x", "cpu_nodes",
						      "remote_bytes",
						      (json_int_t)lists[_i].last_bytes, "nodes"));
	answer = json_pack("{s:{s:o, s:b}}", "return", "processes", list, "complete", 1);
	text = json_dumps(answer, JSON_COMPACT);
	fake_agent_answer("processes", text);
	ck_assert_int_eq(with_guest("0", NULL), lists[_i].status);
	free(text);
	json_decref(answer);
}
END_TEST

START_TEST(with_guest_puts_the_guests_part_into_the_result)
{
	json_t *result, *process;

	fake_agent_answer("set-affinity", "{\"return\":{}}");
	fake_agent_answer("migrate-pages", JOB("completed", "50000000", "\"remaining\":{}"));
	ck_assert_int_eq(with_guest("0", "--json"), CLI_OK);
	result = out_json();
	ck_assert_uint_eq(json_array_size(json_object_get(result, "guest")), 1);
	process = json_array_get(json_object_get(result, "guest"), 0);
	ck_assert_uint_eq(cli_number(process, "pid"), 7);
	ck_assert_uint_eq(cli_number(process, "moved_bytes"), 50000000);
	ck_assert(json_is_true(json_object_get(result, "guest_complete")));
	ck_assert_str_eq(cli_text(result, "state"), "completed");
	json_decref(result);
}
END_TEST

START_TEST(with_guest_without_an_agent_moves_nothing)
{
	json_decref(fake.ports);
	fake.ports = NULL;
	ck_assert_int_eq(with_guest("0", NULL), CLI_FAILED);
	ck_has(err_text, "has no port for an agent");
	ck_assert_str_eq(fake.log, "");
}
END_TEST

START_TEST(with_guest_after_a_host_that_did_not_finish_leaves_the_guest_alone)
{
	static const char *const states[] = {"cancelled", "failed"};

	fake_agent_answer("numa-topology", TOPOLOGY);
	fake_agent_answer("processes", PROCESSES);
	fake.last = fake_job(states[_i], 1 << 29, 1 << 29);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--with-guest",
			      "--vnode", "0", NULL),
			 CLI_FAILED);
	ck_assert_uint_eq(json_array_size(fake_agent.asked), 2);
	ck_has(out_text, "in the guest: nothing was done\n");
}
END_TEST

START_TEST(with_guest_a_process_that_refuses_is_left_and_told)
{
	fake_agent_answer("set-affinity", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"CPU 0 "
					  "is not allowed: EINVAL (22)\",\"number\":22}}");
	ck_assert_int_eq(with_guest("0", NULL), CLI_REMAINING);
	ck_has(out_text, "process 7 (db): 0 moved to vnode 0; CPU 0 is not allowed: EINVAL (22)\n");
}
END_TEST

START_TEST(with_guest_whose_agent_goes_away_is_a_failure_after_the_hosts_part)
{
	fake_agent.end_at = "set-affinity";
	ck_assert_int_eq(with_guest("0", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: in the guest: the connection to the guest's agent has ended");
	ck_has(out_text, "job 1 completed: 1G moved");
	ck_has(out_text, "0 moved to vnode 0; the connection to the guest's agent has ended");
}
END_TEST

START_TEST(with_guest_cannot_be_detached)
{
	ck_assert_int_eq(
	    gmig("migrate", "vm1", "--from", "0", "--to", "1", "--with-guest", "--detach", NULL),
	    CLI_USAGE);
	ck_has(err_text, "--with-guest cannot be detached");
	ck_assert_str_eq(fake.log, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli-gather");
	TCase *tcase = fake_agent_case(suite, "with-guest");

	tcase_add_test(tcase, with_guest_brings_cpus_first_and_then_memory);
	tcase_add_loop_test(tcase, with_guest_ties_what_it_moves_to_the_vnode, 0, ALLOWED);
	tcase_add_test(tcase, with_guest_plans_those_alone_that_have_memory_on_the_vnode);
	tcase_add_test(tcase, with_guest_and_nothing_out_of_place_says_so);
	tcase_add_loop_test(tcase, with_guest_that_saw_a_part_of_the_processes_says_so, 0, 2);
	tcase_add_loop_test(tcase, with_guest_of_more_processes_than_a_list_has_says_so, 0,
			    sizeof(lists) / sizeof(lists[0]));
	tcase_add_test(tcase, with_guest_puts_the_guests_part_into_the_result);
	tcase_add_test(tcase, with_guest_without_an_agent_moves_nothing);
	tcase_add_loop_test(
	    tcase, with_guest_after_a_host_that_did_not_finish_leaves_the_guest_alone, 0, 2);
	tcase_add_test(tcase, with_guest_a_process_that_refuses_is_left_and_told);
	tcase_add_test(tcase, with_guest_whose_agent_goes_away_is_a_failure_after_the_hosts_part);
	tcase_add_test(tcase, with_guest_cannot_be_detached);
	return run_suite(suite);
}
