/* gmig agent against a scripted agent: what is asked, what is printed, how it ends. */
#include "fake_vmm.h"

#include "fake_agent.h"

#define COMPACT(more)                                                                              \
	"{\"id\":\"1\",\"kind\":\"compact-hot\",\"state\":\"completed\",\"seconds\":5.0,\"cpu_"    \
	"ns\":"                                                                                    \
	"3000000,\"heat\":\"damon\",\"candidates\":6,\"collapsed\":2,\"small_pages\":576,"         \
	"\"growth_bytes\":4194304,\"remaining\":{\"ENOSPC\":9}," more "}"

/* ---- What is asked for ----------------------------------------------------------------------- */

static const struct {
	const char *words[14]; /* behind `gmig agent vm1` */
	const char *command, *arguments;
} requests[] = {
    {{"ping"}, "guest-ping", "{}"},
    {{"info"}, "guest-info", "{}"},
    {{"topology"}, "numa-topology", "{}"},
    {{"ps", "--count", "3"}, "processes", "{\"count\":3}"},
    {{"maps", "--pid", "7"}, "numa-maps", "{\"pid\":7}"},
    {{"maps", "--pid=7", "--mappings"}, "numa-maps", "{\"pid\":7,\"mappings\":true}"},
    {{"migrate", "--pid", "7", "--from-vnode", "0", "--to-vnode", "1", "--detach"},
     "migrate-pages",
     "{\"pid\":7,\"from\":\"0\",\"to\":\"1\"}"},
    {{"migrate", "--cgroup", "/a", "--from-vnode", "0-1", "--to-vnode", "2,3", "--rate", "2M",
      "--method", "migrate_pages", "--private", "--detach"},
     "migrate-pages",
     "{\"cgroup\":\"/a\",\"from\":\"0-1\",\"to\":\"2,3\",\"rate\":2097152,"
     "\"method\":\"migrate_pages\",\"shared\":false}"},
    {{"migrate", "--all", "--from-vnode", "0", "--to-vnode", "1", "--detach"},
     "migrate-pages",
     "{\"all\":true,\"from\":\"0\",\"to\":\"1\"}"},
    {{"move", "--pid", "7", "--addresses", "0x1000,8192", "--nodes", "0,1"},
     "move-pages",
     "{\"pid\":7,\"addresses\":[\"0x1000\",\"8192\"],\"nodes\":[0,1]}"},
    {{"move", "--pid", "7", "--range", "0x1000+8K,0x200000+2M", "--nodes", "1", "--shared"},
     "move-pages",
     "{\"pid\":7,\"ranges\":[{\"start\":\"0x1000\",\"bytes\":8192},{\"start\":\"0x200000\","
     "\"bytes\":2097152}],\"nodes\":1,\"shared\":true}"},
    {{"move", "--pid", "7", "--addresses", "0x1000"},
     "move-pages",
     "{\"pid\":7,\"addresses\":[\"0x1000\"]}"},
    {{"move", "--pid", "7", "--range", "0x1000", "--nodes", "one"},
     "move-pages",
     "{\"pid\":7,\"ranges\":[{\"start\":\"0x1000\",\"bytes\":0}],\"nodes\":\"one\"}"},
    {{"affinity", "--pid", "7", "--cpus", "0-1"}, "set-affinity", "{\"pid\":7,\"cpus\":\"0-1\"}"},
    {{"affinity", "--cgroup", "/a", "--mems", "1"},
     "set-affinity",
     "{\"cgroup\":\"/a\",\"mems\":\"1\"}"},
    {{"collapse", "--pid", "7", "--range", "0x200000+2M", "--rate", "1G", "--detach"},
     "collapse",
     "{\"pid\":7,\"ranges\":[{\"start\":\"0x200000\",\"bytes\":2097152}],\"rate\":1073741824}"},
    {{"stall-probe", "--detach"}, "stall-probe", "{\"seconds\":10}"},
    {{"stall-probe", "--seconds", "2s", "--bytes", "64M", "--vnode", "1", "--threshold-ns", "0.5us",
      "--detach"},
     "stall-probe",
     "{\"seconds\":2,\"bytes\":67108864,\"node\":1,\"threshold_ns\":500}"},
    {{"hot-pages", "--detach"}, "hot-pages", "{}"},
    {{"hot-pages", "--seconds", "9", "--max-cpu", "2.5%", "--detach"},
     "hot-pages",
     "{\"seconds\":9,\"max_cpu_ppm\":25000}"},
    {{"compact-hot", "--pid", "7", "--detach"}, "compact-hot", "{\"pid\":7}"},
    {{"compact-hot", "--pid=7", "--heat=present", "--least=32", "--max-bytes=4M", "--max-growth=3%",
      "--max-cpu=2%", "--seconds=9", "--rate=1M", "--range=0x200000+2M", "--detach"},
     "compact-hot",
     "{\"pid\":7,\"heat\":\"present\",\"least\":32,\"max_bytes\":4194304,"
     "\"max_growth_ppm\":30000,\"max_cpu_ppm\":20000,\"seconds\":9,\"rate\":1048576,"
     "\"ranges\":[{\"start\":\"0x200000\",\"bytes\":2097152}]}"},
    {{"jobs"}, "query-jobs", "{}"},
    {{"job", "3"}, "job-status", "{\"id\":\"3\"}"},
    {{"cancel", "3"}, "job-cancel", "{\"id\":\"3\"}"},
    {{"set-rate", "3", "--rate", "0"}, "job-set-rate", "{\"id\":\"3\",\"rate\":0}"},
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

#define WORDS(w)                                                                                   \
	w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12], w[13]

START_TEST(verb_asks_for_what_the_options_say)
{
	const char *const *words = requests[_i].words;

	fake_agent_answer(requests[_i].command, "{\"return\":{\"id\":\"3\",\"kind\":\"x\"}}");
	ck_assert_int_eq(gmig("agent", "vm1", WORDS(words), NULL), CLI_OK);
	ck_assert_str_eq(err_text, "");
	ck_assert_uint_eq(json_array_size(fake_agent.asked), 1);
	ck_asked(0, requests[_i].command, requests[_i].arguments);
}
END_TEST

START_TEST(verb_with_json_prints_the_answer_on_one_line)
{
	const char *const *words = requests[_i].words;
	json_t *want = json_loads("{\"id\":\"3\",\"kind\":\"x\"}", 0, NULL), *got;

	fake_agent_answer(requests[_i].command, "{\"return\":{\"id\":\"3\",\"kind\":\"x\"}}");
	ck_assert_int_eq(gmig("agent", "--json", "vm1", WORDS(words), NULL), CLI_OK);
	ck_assert_ptr_eq(strchr(out_text, '\n'), out_text + strlen(out_text) - 1);
	got = out_json();
	ck_assert(json_equal(want, got));
	json_decref(want);
	json_decref(got);
}
END_TEST

static const struct {
	const char *words[14];
	const char *text;
} mistakes[] = {
    {{NULL}, "say which guest, and what: gmig agent VM ping"},
    {{"fly"}, "VERB: 'fly' is none of ping, info,"},
    {{"ping", "twice"}, "'ping' takes no word behind it"},
    {{"job"}, "'job' takes a job's id"},
    {{"maps"}, "--pid is missing"},
    {{"maps", "--pid", "x"}, "--pid: 'x' is not a number"},
    {{"ps", "--count", "-1"}, "--count: '-1' is not a number"},
    {{"migrate", "--from-vnode", "0", "--to-vnode", "1"}, "say whose memory: --pid N,"},
    {{"migrate", "--pid", "7", "--to-vnode", "1"}, "--from-vnode is missing"},
    {{"migrate", "--pid", "7", "--from-vnode", "1"}, "--to-vnode is missing"},
    {{"migrate", "--pid", "7", "--from-vnode", "1", "--to-vnode", "1", "--rate", "fast"},
     "--rate: a size is a number"},
    {{"collapse", "--pid", "7", "--rate", "9000000T"}, "--rate: '9000000T' is too big"},
    {{"move", "--pid", "7"}, "give one of --addresses A,B and --range"},
    {{"move", "--pid", "7", "--addresses", "1", "--range", "1+4K"}, "give one of --addresses"},
    {{"move", "--addresses", "1"}, "--pid is missing"},
    {{"collapse"}, "--pid is missing"},
    {{"stall-probe", "--seconds", "1500ms"}, "--seconds: '1500ms' is no time in whole seconds"},
    {{"stall-probe", "--seconds", "9223372037s"}, "'9223372037s' is too long"},
    {{"stall-probe", "--seconds", "long"},
     "--seconds: 'long' is no time in whole seconds, as in 10s"},
    {{"stall-probe", "--bytes", "big"}, "--bytes: a size is a number"},
    {{"hot-pages", "--max-cpu", "2"}, "--max-cpu: "},
    {{"hot-pages", "--max-cpu", "0%"}, "--max-cpu: '0%' is not within"},
    {{"compact-hot"}, "--pid is missing"},
    {{"compact-hot", "--pid", "7", "--least", "x"}, "--least: 'x' is not a number"},
    {{"compact-hot", "--pid", "7", "--max-bytes", "x"}, "--max-bytes: a size is a number"},
    {{"compact-hot", "--pid", "7", "--max-growth", "2"}, "--max-growth: "},
    {{"set-rate", "3"}, "--rate is missing: bytes a second, 0 for no limit"},
};
#define MISTAKES (sizeof(mistakes) / sizeof(mistakes[0]))

START_TEST(mistake_is_usage_and_asks_nothing)
{
	const char *const *words = mistakes[_i].words;

	ck_assert_int_eq(gmig("agent", "vm1", WORDS(words), NULL), CLI_USAGE);
	ck_has(err_text, mistakes[_i].text);
	ck_assert_str_eq(out_text, "");
	ck_assert_uint_eq(json_array_size(fake_agent.asked), 0);
	ck_assert_str_eq(fake.log, "");
}
END_TEST

/* ---- What people read ------------------------------------------------------------------------ */

static const struct {
	const char *words[14];
	const char *command, *answer, *text;
} pictures[] = {
    {{"ping"}, "guest-ping", "{}", "the agent answers\n"},
    {{"info"},
     "guest-info",
     "{\"version\":\"0.1\",\"agent\":\"gmig-agent\",\"kernel\":\"6.12\",\"max_rate\":1048576,"
     "\"supported_commands\":[{\"name\":\"guest-ping\",\"enabled\":true},{\"name\":\"collapse\","
     "\"enabled\":false}]}",
     "gmig-agent 0.1, Linux 6.12\n"
     "its jobs move at most 1M a second\n\n"
     "command     allowed by the guest\n"
     "guest-ping  yes\n"
     "collapse    no\n"},
    {{"topology"},
     "numa-topology",
     "{\"nodes\":[{\"id\":0,\"cpus\":[0,1],\"total_bytes\":1073741824,\"free_bytes\":1048576,"
     "\"distance\":[10,20]},{\"id\":1,\"cpus\":[],\"total_bytes\":0,\"free_bytes\":0,"
     "\"distance\":[20,10]},{\"id\":2,\"cpus\":[],\"distance\":[]}]}",
     "vnode  CPUs  size  free  distances\n"
     "    0  0,1     1G    1M  10 20\n"
     "    1  -        0     0  20 10\n"
     "    2  -        -     -  -\n"},
    {{"ps"},
     "processes",
     "{\"processes\":[{\"pid\":7,\"comm\":\"a\\tb\",\"bytes\":3145728,\"remote_bytes\":1048576,"
     "\"cpu_nodes\":[0],\"nodes\":{\"0\":2097152,\"1\":1048576}}],\"complete\":false}",
     "not all of them could be looked at, for want of time, descriptors or memory\n"},
    {{"maps", "--pid", "7"},
     "numa-maps",
     "{\"pid\":7,\"comm\":\"x\",\"bytes\":2101248,\"nodes\":{\"1\":{\"4K\":1,\"2M\":1}},"
     "\"huge_estimated\":true,\"mappings\":[{\"start\":\"0x1\",\"end\":\"0x2\",\"policy\":"
     "\"default\",\"what\":\"heap\",\"pages\":{\"0\":3,\"1\":4}}]}",
     "0x1    0x2  default  0: 3, 1: 4      heap\n"},
    {{"move", "--pid", "7", "--addresses", "1,2"},
     "move-pages",
     "{\"status\":[1,-16],\"errors\":{\"EBUSY\":1}}",
     "1 -16\n1 pages: EBUSY, "},
    {{"move", "--pid", "7", "--addresses", "1"},
     "move-pages",
     "{\"status\":[-14],\"errors\":{\"EFAULT\":1}}",
     "-14\n1 pages: EFAULT, the zero page (read, but never written), or no memory there\n"},
    {{"affinity", "--pid", "7", "--cpus", "1"},
     "set-affinity",
     "{\"pid\":7,\"cpus\":\"1\"}",
     "process 7 may run on CPUs 1\n"},
    {{"affinity", "--cgroup", "/a", "--cpus", "1"}, "set-affinity", "{}", "the cgroup is set\n"},
    {{"jobs"},
     "query-jobs",
     "[{\"id\":\"1\",\"kind\":\"collapse\",\"state\":\"running\",\"moved_bytes\":2097152,"
     "\"total_bytes\":4194304,\"rate\":0,\"seconds\":1.5}]",
     "  1  collapse  running     2M  4M      -      1.5\n"},
    {{"job", "1"},
     "job-status",
     "{\"id\":\"1\",\"kind\":\"collapse\",\"state\":\"completed\",\"moved_bytes\":2097152,"
     "\"seconds\":1.0,\"remaining\":{\"EINVAL\":512}}",
     "512 pages stay: EINVAL, "},
    {{"job", "1"},
     "job-status",
     "{\"id\":\"1\",\"kind\":\"stall-probe\",\"state\":\"completed\",\"seconds\":2.0,\"sweeps\":9,"
     "\"preempted\":4,\"threshold_ns\":20000,\"gap_ns\":{\"count\":2,\"p50\":30000,\"p99\":40000,"
     "\"p999\":40000,\"max\":40000},\"touch_ns\":{\"count\":9000,\"p50\":100,\"p99\":200,"
     "\"p999\":300,\"max\":40000}}",
     "completed: 2.0 s, 9 sweeps, 4 times off the CPU; gaps are over 20.0 us\n"},
    {{"job", "1"},
     "job-status",
     COMPACT("\"blocks_by\":\"bounds\",\"unreached\":4,\"complete\":false,"
	     "\"blocks_before\":{\"at_least\":2,\"at_most\":576},"
	     "\"blocks_after\":{\"at_least\":2,\"at_most\":2}"),
     "job 1 completed in 5.0 s, with 3.00 ms of CPU time: 2 of 6 hot blocks made huge, by heat "
     "'damon'\n"
     "576 small pages lay in 2 to 576 blocks of the guest's memory, and lie in 2 now; 4M of new "
     "memory\n"
     "where they lay is not seen, only the bounds are known\n"
     "4 hot blocks were not come to\n"
     "not all of the process's memory was looked at: see --range\n"},
    {{"job", "1"},
     "job-status",
     COMPACT("\"blocks_by\":\"frames\",\"unverified\":1,\"unclear\":3,"
	     "\"blocks_before\":{\"at_least\":2,\"at_most\":2},"
	     "\"blocks_after\":{\"at_least\":2,\"at_most\":2},\"shared_pages\":70"),
     "576 small pages lay in 2 blocks of the guest's memory, and lie in 2 now; at most 4M of new "
     "memory\n"
     "up to 70 of these pages were shared, and have been copied\n"
     "that is no better: they lay in as few blocks before\n"
     "1 of these blocks are not there in full any more\n"
     "3 full blocks were left alone: they may be huge already\n"
     "9 small pages stay: ENOSPC, the process's cgroup has no room "},
};
#define PICTURES (sizeof(pictures) / sizeof(pictures[0]))

START_TEST(answer_is_shown_for_people)
{
	const char *const *words = pictures[_i].words;
	char answer[2048];

	snprintf(answer, sizeof(answer), "{\"return\":%s}", pictures[_i].answer);
	fake_agent_answer(pictures[_i].command, answer);
	ck_assert_int_eq(gmig("agent", "vm1", WORDS(words), NULL), CLI_OK);
	ck_has(out_text, pictures[_i].text);
}
END_TEST

START_TEST(answer_of_other_types_ends_in_dashes_not_in_a_crash)
{
	static const char *const odd[] = {"null",
					  "7",
					  "[]",
					  "[1,\"x\",null]",
					  "{\"nodes\":7}",
					  "{\"nodes\":[1],\"processes\":{\"a\":1}}"};
	const char *const *words = pictures[_i].words;

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		char answer[128];

		snprintf(answer, sizeof(answer), "{\"return\":%s}", odd[i]);
		fake_agent_answer(pictures[_i].command, answer);
		ck_assert_int_eq(gmig("agent", "vm1", WORDS(words), NULL), CLI_OK);
	}
}
END_TEST

/* ---- The connection -------------------------------------------------------------------------- */

START_TEST(socket_needs_no_vm)
{
	fake_agent_answer("guest-ping", "{\"return\":{}}");
	ck_assert_int_eq(gmig("agent", "--socket", fake_agent.path, "ping", NULL), CLI_OK);
	ck_assert_int_eq(gmig("agent", "nobody", "ping", "--socket", fake_agent.path, NULL),
			 CLI_OK);
	ck_assert_str_eq(fake.log, "");
}
END_TEST

START_TEST(guest_without_the_port_is_told_how_to_get_one)
{
	json_decref(fake.ports);
	fake.ports = json_pack("[{s:s, s:s}]", "name", "org.example.0", "path", "/nowhere");
	ck_assert_int_eq(gmig("agent", "vm1", "ping", NULL), CLI_FAILED);
	ck_has(err_text, "guest 'vm1' has no port for an agent: start it with --port "
			 "name=org.gmig.agent.0,path=SOCKET");
}
END_TEST

START_TEST(socket_that_is_not_there_fails_by_name)
{
	char path[160], text[400];

	snprintf(path, sizeof(path), "%s/none.sock", fake.directory);
	ck_assert_int_eq(gmig("agent", "--socket", path, "ping", NULL), CLI_FAILED);
	snprintf(text, sizeof(text),
		 "cannot connect to the agent's port at '%s': No such file or directory", path);
	ck_has(err_text, text);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(gmig("agent", "--socket", path, "ping", NULL), CLI_FAILED);
	ck_has(err_text, "is too long for a socket");
}
END_TEST

START_TEST(agent_that_is_silent_is_given_up)
{
	cli_limits.connect_ms = 50;
	fake_agent.silent = true;
	/* Not by way of the VM, which may need longer than that. */
	ck_assert_int_eq(gmig("agent", "--socket", fake_agent.path, "ping", "--json", NULL),
			 CLI_FAILED);
	ck_has(err_text, "the guest's agent does not answer: it does not run (in the guest: "
			 "systemctl status gmig-agent), or another client");
	ck_has(out_text, "ETIMEDOUT");
}
END_TEST

START_TEST(agent_that_goes_away_fails_the_call)
{
	fake_agent.end_at = "guest-ping";
	ck_assert_int_eq(gmig("agent", "vm1", "ping", NULL), CLI_FAILED);
	ck_has(err_text, "the connection to the guest's agent has ended");
}
END_TEST

START_TEST(answers_to_others_are_skipped)
{
	fake_agent.stale = "half a li\n{\"return\":{},\"id\":1}\n\xff{\"return\":1}\n[1]\n";
	fake_agent.before = "{\"return\":{\"x\":1},\"id\":77}\nnoise\n{\"return\":{}}\n";
	fake_agent_answer("guest-info", "{\"return\":{\"right\":true}}");
	ck_assert_int_eq(gmig("agent", "vm1", "info", "--json", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "{\"right\":true}\n");
}
END_TEST

START_TEST(error_of_the_agent_keeps_name_number_and_text)
{
	json_t *result, *error;

	fake_agent_answer("numa-maps",
			  "{\"error\":{\"class\":\"GenericError\",\"desc\":\"there is "
			  "no process 7: ESRCH (3)\",\"errno\":\"ESRCH\",\"number\":3}}");
	ck_assert_int_eq(gmig("agent", "vm1", "maps", "--pid", "7", "--json", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: there is no process 7: ESRCH (3)\n");
	result = out_json();
	error = json_object_get(result, "error");
	ck_assert_str_eq(cli_text(error, "errno"), "ESRCH");
	ck_has(cli_text(error, "desc"), "there is no process 7");
	json_decref(result);
}
END_TEST

START_TEST(error_without_text_or_number_is_an_error)
{
	fake_agent_answer("guest-ping", "{\"error\":{}}");
	ck_assert_int_eq(gmig("agent", "vm1", "ping", NULL), CLI_FAILED);
	ck_has(err_text, "the agent gave an error without a text");
	fake_agent_answer("guest-info", "{\"error\":{\"desc\":\"no\",\"number\":-99999999}}");
	ck_assert_int_eq(gmig("agent", "vm1", "info", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: no\n");
}
END_TEST

/* ---- Jobs ------------------------------------------------------------------------------------ */

static const struct {
	const char *last;
	int status;
	const char *text;
} ends[] = {
    {JOB("completed", "8388608", "\"remaining\":{}"), CLI_OK,
     "job 3 completed: 8M moved in 2.000 s, 4.19 MB/s\n"},
    {JOB("completed", "4194304", "\"remaining\":{\"EBUSY\":1024}"), CLI_REMAINING,
     "1024 pages stay: EBUSY, "},
    {JOB("completed", "4194304", "\"remaining\":{},\"unread_processes\":{\"EMFILE\":2}"),
     CLI_REMAINING, "2 processes could not be looked at: EMFILE\n"},
    {JOB("cancelled", "4194304", "\"remaining\":{}"), CLI_FAILED, "job 3 cancelled: 4M moved"},
    {JOB("failed", "0", "\"remaining\":{},\"error\":{\"desc\":\"it has ended: ESRCH (3)\"}"),
     CLI_FAILED, "it failed: it has ended: ESRCH (3)\njob 3 failed: 0 moved"},
};
#define ENDS (sizeof(ends) / sizeof(ends[0]))

START_TEST(job_is_watched_to_its_end)
{
	fake_agent_answer("migrate-pages", JOB("running", "0", "\"remaining\":{}"));
	fake_agent_answer("job-status", JOB("running", "2097152", "\"remaining\":{}"));
	fake_agent_answer("job-status", ends[_i].last);
	ck_assert_int_eq(gmig("agent", "vm1", "migrate", "--pid", "7", "--from-vnode", "0",
			      "--to-vnode", "1", NULL),
			 ends[_i].status);
	ck_has(out_text, ends[_i].text);
	ck_assert_uint_eq(json_array_size(fake_agent.asked), 3);
	ck_asked(2, "job-status", "{\"id\":\"3\"}");
}
END_TEST

#define HOT(state)                                                                                 \
	"{\"return\":{\"id\":\"3\",\"kind\":\"hot-pages\",\"state\":\"" state                      \
	"\",\"source\":\"damon\",\"seconds\":4.5,\"cpu_ns\":30000000,\"hot_bytes\":2097152,"       \
	"\"warm_bytes\":0,\"cold_bytes\":4194304,\"remaining\":{}}}"
#define BLOCKS(list, more) "{\"return\":{\"source\":\"damon\",\"blocks\":" list more "}}"

/* From the agent to the VMM, piece by piece. */
START_TEST(hot_pages_are_taken_to_the_vmm)
{
	json_t *got;

	fake_agent_answer("hot-pages", HOT("running"));
	fake_agent_answer("job-status", HOT("completed"));
	fake_agent_answer("hot-blocks", BLOCKS("[[0,2097152,1000000]]", ",\"next\":1"));
	fake_agent_answer("hot-blocks", BLOCKS("[[4194304,4194304,0]]", ""));
	ck_assert_int_eq(gmig("agent", "vm1", "hot-pages", NULL), CLI_OK);
	ck_has(out_text, "completed by damon in 4.5 s, with 30.0 ms of CPU time: 2M hot, 0 warm, "
			 "4M cold\n");
	ck_has(out_text, "for show --heat and --order: 8M; not the guest's memory: 4M; just "
			 "moved: 0\n");
	ck_asked(2, "hot-blocks", "{\"id\":\"3\",\"first\":0}");
	ck_asked(3, "hot-blocks", "{\"id\":\"3\",\"first\":1}");
	got = json_pack("[[i,i,i]]", 4194304, 4194304, 0);
	ck_assert(json_equal(json_object_get(fake.arguments, "blocks"), got));
	json_decref(got);
}
END_TEST

START_TEST(hot_pages_by_the_socket_alone_go_nowhere)
{
	json_t *got;

	fake_agent_answer("hot-pages", HOT("completed"));
	fake_agent_answer("hot-blocks", BLOCKS("[[0,2097152,1000000]]", ""));
	ck_assert_int_eq(gmig("agent", "hot-pages", "--socket", fake_agent.path, "--json", NULL),
			 CLI_OK);
	ck_assert_ptr_null(strstr(fake.log, "report-heat"));
	got = out_json();
	ck_assert_uint_eq(json_array_size(json_object_get(got, "blocks")), 1);
	ck_assert_ptr_null(json_object_get(got, "reported"));
	json_decref(got);
}
END_TEST

/* What a guest says that lies, or is broken. */
static const char *const no_heat[] = {
    "{\"return\":{}}",
    "{\"return\":[]}",
    BLOCKS("7", ""),
    BLOCKS("[7]", ""),
    BLOCKS("[[0,2097152]]", ""),
    BLOCKS("[[0,2097152,1,1]]", ""),
    BLOCKS("[[0,2097152,\"\\u001b[31m\"]]", ""),
    BLOCKS("[[-2097152,2097152,1]]", ""),
    BLOCKS("[[4096,2097152,1]]", ""),
    BLOCKS("[[0,0,1]]", ""),
    BLOCKS("[[0,2097152,1000001]]", ""),
    BLOCKS("[[2097152,2097152,1],[0,2097152,1]]", ""),
    BLOCKS("[[0,4194304,1],[2097152,2097152,1]]", ""),
    BLOCKS("[[281474976710656,2097152,1]]", ""),
    BLOCKS("[[0,9223372036852678656,1]]", ""),
    BLOCKS("[[0,2097152,1]]", ",\"next\":0"),
    BLOCKS("[[0,2097152,1]]", ",\"next\":-1"),
    BLOCKS("[[0,2097152,1]]", ",\"next\":\"1\""),
};

START_TEST(hot_pages_that_cannot_be_are_not_passed_on)
{
	fake_agent_answer("hot-pages", HOT("completed"));
	fake_agent_answer("hot-blocks", no_heat[_i]);
	ck_assert_int_eq(gmig("agent", "vm1", "hot-pages", NULL), CLI_FAILED);
	ck_has(err_text, "the agent's ");
	ck_assert_ptr_null(strchr(err_text, '\x1b'));
	ck_assert_ptr_null(strstr(fake.log, "report-heat"));
}
END_TEST

/* The same again, and again: what comes must go on. */
START_TEST(hot_pages_without_end_are_cut_off)
{
	fake_agent_answer("hot-pages", HOT("completed"));
	fake_agent_answer("hot-blocks", BLOCKS("[[0,2097152,1]]", ",\"next\":1"));
	fake_agent_answer("hot-blocks", BLOCKS("[[0,2097152,1]]", ",\"next\":2"));
	ck_assert_int_eq(gmig("agent", "vm1", "hot-pages", NULL), CLI_FAILED);
	ck_assert_uint_eq(json_array_size(fake_agent.asked), 3);
}
END_TEST

/* A guest that lies makes neither the host's client run for ever nor what it has of it look like all. */
START_TEST(hot_pages_that_go_on_for_ever_are_an_error)
{
	char line[128];

	fake_agent_answer("hot-pages", HOT("completed"));
	for (unsigned int i = 1; i <= 70; i++) {
		snprintf(line, sizeof(line), BLOCKS("[]", ",\"next\":%u"), i);
		fake_agent_answer("hot-blocks", line);
	}
	ck_assert_int_eq(gmig("agent", "vm1", "hot-pages", NULL), CLI_FAILED);
	ck_has(err_text, "has no end");
	ck_assert_uint_eq(json_array_size(fake_agent.asked), 65);
}
END_TEST

START_TEST(job_detached_prints_its_id_and_is_not_watched)
{
	fake_agent_answer("collapse", JOB("running", "0", "\"remaining\":{}"));
	ck_assert_int_eq(gmig("agent", "vm1", "collapse", "--pid", "7", "--detach", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "3\n");
	ck_assert_uint_eq(json_array_size(fake_agent.asked), 1);
}
END_TEST

START_TEST(job_interrupted_is_cancelled_and_waited_for)
{
	fake_agent_answer("migrate-pages", JOB("running", "0", "\"remaining\":{}"));
	fake_agent_answer("job-status", JOB("running", "0", "\"remaining\":{}"));
	fake_agent_answer("job-status", JOB("cancelled", "4096", "\"remaining\":{}"));
	fake_agent_answer("job-cancel", JOB("running", "0", "\"remaining\":{}"));
	fake_agent.signal_at = "job-status";
	ck_assert_int_eq(gmig("agent", "vm1", "migrate", "--pid", "7", "--from-vnode", "0",
			      "--to-vnode", "1", NULL),
			 CLI_INTERRUPTED);
	ck_has(out_text, "job 3 cancelled: 4K moved");
	ck_asked(2, "job-cancel", "{\"id\":\"3\"}");
}
END_TEST

START_TEST(job_interrupted_as_it_starts_is_cancelled)
{
	fake_agent_answer("migrate-pages", JOB("running", "0", "\"remaining\":{}"));
	fake_agent_answer("job-status", JOB("cancelled", "0", "\"remaining\":{}"));
	fake_agent_answer("job-cancel", JOB("running", "0", "\"remaining\":{}"));
	fake_agent.signal_at = "migrate-pages";
	ck_assert_int_eq(gmig("agent", "vm1", "migrate", "--pid", "7", "--from-vnode", "0",
			      "--to-vnode", "1", NULL),
			 CLI_INTERRUPTED);
	ck_asked(1, "job-cancel", "{\"id\":\"3\"}");
}
END_TEST

START_TEST(job_whose_agent_goes_away_is_a_failure)
{
	fake_agent_answer("migrate-pages", JOB("running", "0", "\"remaining\":{}"));
	fake_agent.end_at = "job-status";
	ck_assert_int_eq(gmig("agent", "vm1", "migrate", "--pid", "7", "--from-vnode", "0",
			      "--to-vnode", "1", NULL),
			 CLI_FAILED);
	ck_has(err_text, "the connection to the guest's agent has ended");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli-agent");
	TCase *tcase = fake_agent_case(suite, "verbs");

	tcase_add_loop_test(tcase, verb_asks_for_what_the_options_say, 0, REQUESTS);
	tcase_add_loop_test(tcase, verb_with_json_prints_the_answer_on_one_line, 0, REQUESTS);
	tcase_add_loop_test(tcase, mistake_is_usage_and_asks_nothing, 0, MISTAKES);
	tcase_add_loop_test(tcase, answer_is_shown_for_people, 0, PICTURES);
	tcase_add_loop_test(tcase, answer_of_other_types_ends_in_dashes_not_in_a_crash, 0,
			    PICTURES);
	tcase = fake_agent_case(suite, "connection");
	tcase_add_test(tcase, socket_needs_no_vm);
	tcase_add_test(tcase, guest_without_the_port_is_told_how_to_get_one);
	tcase_add_test(tcase, socket_that_is_not_there_fails_by_name);
	tcase_add_test(tcase, agent_that_is_silent_is_given_up);
	tcase_add_test(tcase, agent_that_goes_away_fails_the_call);
	tcase_add_test(tcase, answers_to_others_are_skipped);
	tcase_add_test(tcase, error_of_the_agent_keeps_name_number_and_text);
	tcase_add_test(tcase, error_without_text_or_number_is_an_error);
	tcase = fake_agent_case(suite, "jobs");
	tcase_add_loop_test(tcase, job_is_watched_to_its_end, 0, ENDS);
	tcase_add_test(tcase, hot_pages_are_taken_to_the_vmm);
	tcase_add_test(tcase, hot_pages_by_the_socket_alone_go_nowhere);
	tcase_add_loop_test(tcase, hot_pages_that_cannot_be_are_not_passed_on, 0,
			    sizeof(no_heat) / sizeof(no_heat[0]));
	tcase_add_test(tcase, hot_pages_without_end_are_cut_off);
	tcase_add_test(tcase, hot_pages_that_go_on_for_ever_are_an_error);
	tcase_add_test(tcase, job_detached_prints_its_id_and_is_not_watched);
	tcase_add_test(tcase, job_interrupted_is_cancelled_and_waited_for);
	tcase_add_test(tcase, job_interrupted_as_it_starts_is_cancelled);
	tcase_add_test(tcase, job_whose_agent_goes_away_is_a_failure);
	return run_suite(suite);
}
