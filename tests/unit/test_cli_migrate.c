/* gmig migrate against a scripted VMM: what it asks for, how it waits, what it prints, how it ends.
 */
#include "../../cli/progress.h"
#include "fake_vmm.h"

/* ---- Arguments ------------------------------------------------------------------------------- */

START_TEST(migrate_passes_every_option_on)
{
	json_t *want;

	fake.last = fake_job("completed", 1 << 30, 0);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0,2-3", "--to=1", "--vnode", "1",
			      "--mode", "block", "--mover", "uffd", "--rate", "500M", "--max",
			      "1.5G", "--max-stall", "1.5ms", "--max-slowdown", "2.5%", "--order",
			      "random", "--order-seed", "7", "--threads", "2", "--batch", "64",
			      "--hold-vcpus", "--frames", "fresh", "--huge", "keep", "--swapped",
			      "skip", NULL),
			 CLI_OK);
	want = json_loads("{\"from\":[0,2,3],\"to\":[1],\"vnode\":1,\"mode\":\"block\",\"mover\":"
			  "\"uffd\",\"rate\":524288000,\"max-bytes\":1610612736,\"max-stall\":"
			  "1500000,\"max-slowdown\":25000,\"order\":\"random\",\"order-seed\":7,"
			  "\"threads\":2,"
			  "\"batch\":64,\"hold-vcpus\":"
			  "true,\"frames\":\"fresh\","
			  "\"huge\":\"keep\",\"swapped\":\"skip\"}",
			  0, NULL);
	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	json_decref(want);
}
END_TEST

START_TEST(migrate_on_fault_tells_what_moved_by_it)
{
	json_t *want = json_loads("{\"from\":[0],\"to\":[1],\"mode\":\"lazy\",\"lazy\":\"write\","
				  "\"deadline\":30000000000}",
				  0, NULL);
	json_t *lazy = json_loads("{\"by\":\"write\",\"touched_bytes\":4194304,\"swept_bytes\":"
				  "2097152,\"given_back\":1,\"touches\":3,\"touches_by_vcpu\":2,"
				  "\"waiting\":0,\"waiting_max\":3}",
				  0, NULL);

	fake.last = fake_job("completed", 6 << 20, 0);
	json_object_set_new(fake.last, "lazy", lazy);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--mode", "lazy",
			      "--lazy", "write", "--deadline", "30s", NULL),
			 CLI_OK);
	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	ck_has(out_text, "4M moved since they were touched by a writer, 2M with the "
			 "sweep; 1 block given back");
	ck_has(out_text, "3 touches, of which 2 by a thread known as a vCPU");
	json_decref(want);
}
END_TEST

START_TEST(migrate_to_the_toucher_may_go_to_any_node)
{
	json_t *want =
	    json_loads("{\"from\":[\"all\"],\"to\":[\"all\"],\"mode\":\"lazy\",\"lazy-to\":"
		       "\"toucher\"}",
		       0, NULL);

	fake.last = fake_job("completed", 2 << 20, 0);
	json_object_set_new(fake.last, "moved_by_others_bytes", json_integer(4 << 20));
	json_object_set_new(fake.last, "lazy",
			    json_loads("{\"by\":\"any\",\"to\":\"toucher\",\"touched_bytes\":"
				       "2097152,\"swept_bytes\":0,\"in_place_bytes\":4194304}",
				       0, NULL));
	ck_assert_int_eq(
	    gmig("migrate", "vm1", "--from", "all", "--to", "toucher", "--mode", "lazy", NULL),
	    CLI_OK);
	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	ck_has(out_text, "4M were touched from the node that they lie on, and stay");
	ck_assert_ptr_null(strstr(out_text, "by others"));
	json_decref(want);
}
END_TEST

START_TEST(migrate_of_shared_memory_asks_for_all_of_it)
{
	json_t *want = json_loads("{\"from\":[0],\"to\":[1],\"move-all\":true}", 0, NULL);

	fake.last = fake_job("completed", 1 << 30, 0);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--move-all", NULL),
			 CLI_OK);
	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	json_decref(want);
	ck_assert_int_eq(
	    gmig("migrate", "pid:1", "--from", "0", "--to", "1", "--move-all", "--private", NULL),
	    CLI_USAGE);
	ck_has(err_text, "contradict");
}
END_TEST

START_TEST(migrate_passes_no_more_than_was_given)
{
	json_t *want = json_loads("{\"from\":[0],\"to\":[1]}", 0, NULL);

	fake.last = fake_job("completed", 1 << 30, 0);
	ck_assert_int_eq(gmig("migrate", "--from", "0", "--to", "1", "vm1", NULL), CLI_OK);
	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	json_decref(want);
}
END_TEST

/* Which nodes they are, the server knows. */
START_TEST(migrate_passes_on_nodes_as_numactl_has_them)
{
	json_t *want = json_loads("{\"from\":[\"all\"],\"to\":[\"!2\"]}", 0, NULL);

	fake.last = fake_job("completed", 1 << 30, 0);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "all", "--to", "!2", NULL), CLI_OK);
	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	json_decref(want);
}
END_TEST

START_TEST(migrate_retry_takes_up_a_job)
{
	json_t *want = json_loads("{\"id\":\"3\",\"rate\":524288000,\"mode\":\"block\"}", 0, NULL);

	fake.last = fake_job("completed", 1 << 30, 0);
	ck_assert_int_eq(
	    gmig("migrate", "vm1", "--retry", "3", "--rate", "500M", "--mode", "block", NULL),
	    CLI_OK);
	ck_assert_int_eq(json_equal(want, fake.arguments), 1);
	json_decref(want);
	fake.refuse = ENODATA;
	ck_assert_int_eq(gmig("migrate", "vm1", "--retry", "3", NULL), CLI_OK);
	ck_has(out_text, "nothing remains of job 3");
	ck_assert_int_eq(gmig("migrate", "vm1", "--retry", "3", "--json", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "{\"remaining_bytes\":0}\n");
	fake.refuse = EBUSY;
	ck_assert_int_eq(gmig("migrate", "vm1", "--retry", "3", NULL), CLI_FAILED);
	ck_assert_int_eq(gmig("migrate", "vm1", "--retry", "3", "--to", "1", NULL), CLI_USAGE);
	ck_has(err_text, "--retry takes up what the job was told");
	ck_assert_int_eq(gmig("migrate", "pid:1", "--retry", "3", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("migrate", "--all", "--retry", "3", NULL), CLI_USAGE);
}
END_TEST

static const struct {
	const char *name, *value, *text;
} bad_options[] = {
    {"--from", "!", "--from: nodes are numbers"},
    {"--from", "+all", "--from: nodes are numbers"},
    {"--from", "!all", "--from: '!all' is no node at all"},
    {"--from", "", "--from: nodes are numbers"},
    {"--from", "a", "--from: nodes are numbers, as in 0,2-3: 'a'"},
    {"--from", "-1", "--from: nodes are numbers"},
    {"--from", "0,", "--from: nodes are numbers"},
    {"--from", "0;1", "--from: nodes are divided by commas"},
    {"--from", "1024", "--from: nodes are numbered 0 to 1023"},
    {"--from", "3-1", "--from: a range of nodes goes upwards"},
    {"--from", "0-1023,0", "--from: more than 1024 nodes"},
    {"--rate", "fast", "--rate: a size is a number and K, M, G or T"},
    {"--rate", "5X", "or 1.5G: '5X'"},
    {"--rate", "5MB", "or 1.5G: '5MB'"},
    {"--rate", "", "--rate: a size is a number and K, M, G or T, here it is empty"},
    {"--rate", "99999999999999999999", "--rate: the size '99999999999999999999' is too big"},
    {"--rate", "99999999T", "--rate: the size '99999999T' is too big"},
    {"--rate", "9000000T", "--rate: '9000000T' is too big"},
    {"--max", "much", "--max: a size is a number and K, M, G or T"},
    {"--max", "0", "--max: '0' is less than a page of 4K"},
    {"--max", "9000000T", "--max: '9000000T' is too big"},
    {"--max-slowdown", "5", "--max-slowdown: a share is a number and %, as in 5%: '5'"},
    {"--max-slowdown", "-5%", "--max-slowdown: a share is a number and %"},
    {"--max-slowdown", "0%", "--max-slowdown: '0%' is not within 0.0001% to 100%"},
    {"--max-slowdown", "101%", "--max-slowdown: '101%' is not within"},
    {"--max-slowdown", "nan%", "--max-slowdown: a share is a number and %"},
    {"--order", "hottest", "--order: "},
    {"--order-seed", "3", "--order-seed is for --order random"},
    {"--max-stall", "fast",
     "--max-stall: a time is a number and ns, us, ms, s, min or h, as in 500us, 1.5s or 10min: "
     "'fast'"},
    {"--max-stall", "500", "--max-stall: a time is a number"},
    {"--max-stall", "-1us", "--max-stall: a time is a number"},
    {"--max-stall", "0us", "--max-stall: no wait is that short"},
    {"--max-stall", "3601s", "--max-stall: the time '3601s' is over 1h"},
    {"--deadline", "30", "--deadline: a time is a number"},
    {"--deadline", "0s", "--deadline: that is now"},
    {"--lazy", "read", "--lazy: "},
    {"--vnode", "64", "--vnode: '64' is over 63"},
    {"--vnode", "x", "--vnode: 'x' is not a number"},
    {"--threads", "17", "--threads: '17' is over 16"},
    {"--threads", "2M", "--threads: '2M' is not a number"},
    {"--batch", "513", "--batch: '513' is over 512"},
    {"--mode", "fast", "--mode: 'fast' is none of auto, readable, block"},
    {"--huge", "tiny", "--huge: 'tiny' is none of prefer, keep, split"},
    {"--swapped", "in", "--swapped: 'in' is none of move, skip"},
    {"--mover", "dma", "--mover: 'dma' is none of uffd"},
    {"--frames", "used", "--frames: 'used' is none of auto, fresh, recycled"},
    {"--quickly", "1", "there is no option '--quickly'"},
    {"--detach=1", "", "--detach takes no value"},
    {"--to", "2", "--to is given twice"},
    {"-f", "0", "there is no option '-f'"},
    {"word", "word", "unexpected argument 'word'"},
};

START_TEST(migrate_with_a_bad_option_is_usage_and_asks_nothing)
{
	const char *from = strcmp(bad_options[_i].name, "--from") ? "--from=0" : "--json";

	ck_assert_int_eq(gmig("migrate", "vm1", "--to", "1", from, bad_options[_i].name,
			      bad_options[_i].value, NULL),
			 CLI_USAGE);
	ck_has(err_text, bad_options[_i].text);
	ck_has(err_text, "\ntry: gmig migrate --help\n");
	ck_assert_str_eq(out_text, "");
	ck_assert_str_eq(fake.log, "");
}
END_TEST

START_TEST(migrate_without_nodes_or_value_is_usage)
{
	ck_assert_int_eq(gmig("migrate", "vm1", "--to", "1", NULL), CLI_USAGE);
	ck_has(err_text, "--from is missing");
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "1", NULL), CLI_USAGE);
	ck_has(err_text, "--to is missing");
	ck_assert_int_eq(gmig("migrate", "vm1", "--to", NULL), CLI_USAGE);
	ck_has(err_text, "--to needs a value: NODES");
	ck_assert_int_eq(gmig("migrate", "--from", "0", "--to", "1", NULL), CLI_USAGE);
	ck_has(err_text, "missing arguments: gmig migrate VM");
}
END_TEST

/* ---- Ends ------------------------------------------------------------------------------------ */

static const char *const result_members[] = {
    "job",	   "state",    "moved_bytes",	   "remaining_bytes",
    "remaining",   "seconds",  "bytes_per_second", "passes",
    "blackout_ns", "stall_ns", "thp_split",	   "rounds"};
#define RESULT_MEMBERS (sizeof(result_members) / sizeof(result_members[0]))

START_TEST(migrate_that_moves_all_is_0_and_prints_the_result)
{
	json_t *result;

	fake.last = fake_job("completed", 1 << 30, 0);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--json", NULL),
			 CLI_OK);
	ck_assert_str_eq(err_text, "");
	result = out_json();
	for (size_t i = 0; i < RESULT_MEMBERS; i++)
		ck_assert_msg(json_object_get(result, result_members[i]) != NULL, "no %s",
			      result_members[i]);
	ck_assert_uint_eq(json_object_size(result), RESULT_MEMBERS);
	ck_assert_str_eq(cli_text(result, "job"), "1");
	ck_assert_str_eq(cli_text(result, "state"), "completed");
	ck_assert_uint_eq(cli_number(result, "moved_bytes"), 1 << 30);
	ck_assert_uint_eq(
	    cli_number(json_object_get(json_object_get(result, "blackout_ns"), "write"), "p999"),
	    300000);
	json_decref(result);
}
END_TEST

START_TEST(migrate_that_leaves_pages_is_3_and_says_why)
{
	json_t *result;

	fake.last = fake_job("completed", 1 << 29, 8192);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--json", NULL),
			 CLI_REMAINING);
	result = out_json();
	ck_assert_uint_eq(cli_number(json_object_get(result, "remaining"), "EBUSY"), 2);
	json_decref(result);
	/* The job is at its end now, as the next answer will say. */
	json_object_set_new(fake.job, "thp_split", json_integer(3));
	json_object_set_new(fake.job, "gone_bytes", json_integer(4096));
	json_object_set_new(fake.job, "extra_bytes_max", json_integer(48 << 20));
	json_object_set_new(fake.job, "moved_by_others_bytes", json_integer(2 << 20));
	json_object_set_new(fake.job, "bytes_on_source", json_integer(12288));
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", NULL), CLI_REMAINING);
	ck_has(out_text, "job 1 completed: 512M moved in 0.500 s, 2.15 GB/s, 1 pass\n");
	ck_has(out_text, "8K remaining:\n  2 pages of 4K: EBUSY, pinned or in use");
	ck_has(out_text,
	       "4K given back by the guest in the meantime\n2M moved by others in the meantime\n"
	       "4K more on the source nodes: it came there while the job ran, as the guest filled "
	       "memory or others moved it; move again\n");
	ck_has(out_text, "48M at most used beside the guest's memory, by all jobs together\n");
	ck_has(out_text, "3 huge pages split into 4K pages");
	ck_has(out_text, "blackout of writers      7   100 us   200 us   300 us   400 us\n");
	ck_has(out_text, "stall of a thread        7  50.0 us   100 us   150 us   200 us\n");
}
END_TEST

/* Pages that remain are the worse news. */
START_TEST(migrate_that_is_over_its_stall_budget_is_4)
{
	const int status[] = {CLI_OVER_BUDGET, CLI_OK, CLI_REMAINING, CLI_FAILED};

	fake.last = fake_job(_i == 3 ? "failed" : "completed", 1 << 29, _i == 2 ? 8192 : 0);
	json_object_set_new(fake.last, "max_stall_ns", json_integer(500000));
	json_object_set_new(fake.last, "max_stall_met", json_boolean(_i == 1));
	json_object_set_new(fake.last, "max_stall_late", json_integer(7));
	ck_assert_int_eq(
	    gmig("migrate", "vm1", "--from", "0", "--to", "1", "--max-stall", "500us", NULL),
	    status[_i]);
	ck_has(out_text, _i == 1 ? "stall budget of 500 us held: 7 waits were longer"
				 : "stall budget of 500 us not held: 7 waits were longer");
}
END_TEST

START_TEST(migrate_that_fails_is_1_with_the_error)
{
	json_t *result;

	fake.last = fake_job("failed", 0, 1 << 30);
	json_object_set_new(fake.last, "error", json_string("no memory for a frame"));
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--json", NULL),
			 CLI_FAILED);
	result = out_json();
	ck_assert_str_eq(cli_text(result, "state"), "failed");
	ck_assert_str_eq(cli_text(result, "error"), "no memory for a frame");
	json_decref(result);
}
END_TEST

START_TEST(migrate_with_nothing_to_do_is_0)
{
	json_decref(fake.job);
	fake.job = fake_job("completed", 0, 0);
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", NULL), CLI_OK);
	ck_has(out_text, "job 1 completed: 0 moved");
	ck_assert_str_eq(fake.log, "migrate-pages ");
}
END_TEST

START_TEST(migrate_that_misses_the_event_asks)
{
	fake.last = fake_job("completed", 1 << 30, 0);
	fake.tell = false;
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", NULL), CLI_OK);
	ck_assert_str_eq(fake.log, "migrate-pages query-jobs ");
}
END_TEST

static json_t *job_with_pins(const char *state, const char *why)
{
	json_t *job = fake_job("completed", 1 << 30, 0);

	json_object_set_new(job, "vcpus",
			    json_pack("{s:s, s:i, s:s}", "state", state, "threads", 3, "why", why));
	return job;
}

START_TEST(migrate_with_vcpus_ends_when_they_have_followed)
{
	json_t *result;

	json_decref(fake.job);
	fake.job = job_with_pins("pending", "");
	fake.last = job_with_pins("followed", "");
	fake.tell = false;
	fake.queries_until_end = 2;
	ck_assert_int_eq(
	    gmig("migrate", "vm1", "--from", "0", "--to", "1", "--with-vcpus", "--json", NULL),
	    CLI_OK);
	ck_assert_str_eq(fake.log, "migrate-pages query-jobs query-jobs ");
	result = out_json();
	ck_assert_str_eq(cli_text(json_object_get(result, "vcpus"), "state"), "followed");
	ck_assert_uint_eq(cli_number(json_object_get(result, "vcpus"), "threads"), 3);
	json_decref(result);
}
END_TEST

START_TEST(migrate_whose_vcpus_stay_is_3_and_says_why)
{
	fake.last = job_with_pins("kept", "libvirt says\033 no");
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--with-vcpus", NULL),
			 CLI_REMAINING);
	ck_has(out_text, "vCPUs did not follow, all pins are as they were: libvirt says");
	ck_assert_ptr_null(strchr(out_text, '\033'));
}
END_TEST

START_TEST(migrate_that_is_refused_is_1_with_the_servers_text)
{
	json_t *answer;

	fake.refuse = ENODEV;
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "9", "--json", NULL),
			 CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: host node 9 is not there\n");
	answer = out_json();
	ck_assert_str_eq(cli_text(json_object_get(answer, "error"), "errno"), "ENODEV");
	json_decref(answer);
}
END_TEST

START_TEST(migrate_interrupted_cancels_the_job_and_waits)
{
	json_t *result;

	fake.last = fake_job("cancelled", 1 << 29, 1 << 29);
	fake.tell = false;
	fake.interrupt_on_query = true;
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--json", NULL),
			 CLI_INTERRUPTED);
	ck_has(fake.log, "query-jobs job-cancel ");
	result = out_json();
	ck_assert_str_eq(cli_text(result, "state"), "cancelled");
	json_decref(result);
}
END_TEST

START_TEST(migrate_interrupted_as_it_starts_cancels_the_job)
{
	fake.last = fake_job("cancelled", 0, 1 << 30);
	fake.tell = false;
	fake.interrupt_on_start = true;
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", NULL), CLI_INTERRUPTED);
	ck_assert_int_eq(strncmp(fake.log, "migrate-pages job-cancel ", 25), 0);
	ck_has(out_text, "job 1 cancelled");
}
END_TEST

START_TEST(migrate_whose_vmm_ends_is_1_and_says_failed)
{
	json_t *result;

	fake.end_on_query = true;
	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--json", NULL),
			 CLI_FAILED);
	ck_has(err_text, "gmig: job 1: the VMM has ended");
	result = out_json();
	ck_assert_str_eq(cli_text(result, "state"), "failed");
	ck_assert_str_eq(cli_text(result, "error"), "the VMM has ended");
	json_decref(result);
}
END_TEST

START_TEST(migrate_detached_prints_the_id_and_does_not_wait)
{
	json_t *job;

	ck_assert_int_eq(gmig("migrate", "vm1", "--from", "0", "--to", "1", "--detach", NULL),
			 CLI_OK);
	ck_assert_str_eq(out_text, "1\n");
	ck_assert_int_eq(
	    gmig("migrate", "vm1", "--from", "0", "--to", "1", "--detach", "--json", NULL), CLI_OK);
	job = out_json();
	ck_assert_str_eq(cli_text(job, "id"), "1");
	ck_assert_str_eq(cli_text(job, "job"), "1");
	json_decref(job);
}
END_TEST

START_TEST(migrate_of_an_absent_guest_is_1)
{
	ck_assert_int_eq(gmig("migrate", "vm2", "--from", "0", "--to", "1", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: there is no socket '");
}
END_TEST

/* ---- The progress bar ------------------------------------------------------------------------ */

START_TEST(progress_line_shows_moved_total_rate_eta_and_stall)
{
	json_t *job = fake_job("running", 1 << 29, 0);
	char line[256];

	cli_progress_line(job, 200, line, sizeof(line));
	ck_assert_str_eq(
	    line, "[############............] 512M of 1G  2.15 GB/s  ETA 0:00  stall 200 us");
	json_object_set_new(job, "bytes_per_second", json_integer(1 << 20));
	json_object_set_new(job, "state", json_string("paused"));
	cli_progress_line(job, 200, line, sizeof(line));
	ck_has(line, "1.05 MB/s  ETA 8:32  stall 200 us  paused");
	/* What a plan moves afterwards. */
	cli_progress_later(1ull << 30);
	cli_progress_line(job, 200, line, sizeof(line));
	ck_has(line, "ETA 8:32, all 25:36  stall");
	cli_progress_reset();
	cli_progress_line(job, 200, line, sizeof(line));
	ck_has(line, "ETA 8:32  stall");
	json_object_set_new(job, "bytes_per_second", json_integer(100000));
	cli_progress_line(job, 200, line, sizeof(line));
	ck_has(line, "ETA 1:29:29");
	json_object_set_new(job, "bytes_per_second", json_integer(0));
	cli_progress_line(job, 200, line, sizeof(line));
	ck_has(line, "ETA -");
	json_decref(job);
}
END_TEST

START_TEST(progress_line_fits_the_terminal)
{
	json_t *job = fake_job("running", 1 << 29, 0);
	char line[256];

	cli_progress_line(job, 40, line, sizeof(line));
	ck_assert_uint_eq(strlen(line), 39);
	cli_progress_line(job, 1, line, sizeof(line));
	ck_assert_str_eq(line, "");
	json_decref(job);
}
END_TEST

START_TEST(progress_line_survives_odd_numbers)
{
	static const char *const odd[] = {
	    "{}",
	    "{\"total_bytes\":0,\"moved_bytes\":5,\"bytes_per_second\":-1}",
	    "{\"total_bytes\":-1,\"moved_bytes\":\"x\",\"bytes_per_second\":1e300}",
	    "{\"total_bytes\":10,\"moved_bytes\":9223372036854775807,\"stall_ns\":[]}",
	};
	char line[256];

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		json_t *job = json_loads(odd[i], 0, NULL);

		ck_assert_ptr_nonnull(job);
		cli_progress_line(job, 80, line, sizeof(line));
		ck_assert_int_eq(line[0], '[');
		json_decref(job);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli_migrate");
	TCase *tcase = fake_case(suite, "migrate");

	tcase_add_test(tcase, migrate_passes_every_option_on);
	tcase_add_test(tcase, migrate_on_fault_tells_what_moved_by_it);
	tcase_add_test(tcase, migrate_to_the_toucher_may_go_to_any_node);
	tcase_add_test(tcase, migrate_of_shared_memory_asks_for_all_of_it);
	tcase_add_test(tcase, migrate_passes_on_nodes_as_numactl_has_them);
	tcase_add_test(tcase, migrate_retry_takes_up_a_job);
	tcase_add_test(tcase, migrate_passes_no_more_than_was_given);
	tcase_add_loop_test(tcase, migrate_with_a_bad_option_is_usage_and_asks_nothing, 0,
			    sizeof(bad_options) / sizeof(bad_options[0]));
	tcase_add_test(tcase, migrate_without_nodes_or_value_is_usage);
	tcase_add_test(tcase, migrate_that_moves_all_is_0_and_prints_the_result);
	tcase_add_test(tcase, migrate_that_leaves_pages_is_3_and_says_why);
	tcase_add_loop_test(tcase, migrate_that_is_over_its_stall_budget_is_4, 0, 4);
	tcase_add_test(tcase, migrate_that_fails_is_1_with_the_error);
	tcase_add_test(tcase, migrate_with_nothing_to_do_is_0);
	tcase_add_test(tcase, migrate_that_misses_the_event_asks);
	tcase_add_test(tcase, migrate_with_vcpus_ends_when_they_have_followed);
	tcase_add_test(tcase, migrate_whose_vcpus_stay_is_3_and_says_why);
	tcase_add_test(tcase, migrate_that_is_refused_is_1_with_the_servers_text);
	tcase_add_test(tcase, migrate_interrupted_cancels_the_job_and_waits);
	tcase_add_test(tcase, migrate_interrupted_as_it_starts_cancels_the_job);
	tcase_add_test(tcase, migrate_whose_vmm_ends_is_1_and_says_failed);
	tcase_add_test(tcase, migrate_detached_prints_the_id_and_does_not_wait);
	tcase_add_test(tcase, migrate_of_an_absent_guest_is_1);
	tcase_add_test(tcase, progress_line_shows_moved_total_rate_eta_and_stall);
	tcase_add_test(tcase, progress_line_fits_the_terminal);
	tcase_add_test(tcase, progress_line_survives_odd_numbers);
	return run_suite(suite);
}
