/* gmig's other commands against a scripted VMM, and how it reads and prints numbers. */
#include "fake_vmm.h"

#include "../../cli/units.h"
#include "../../control/size.h"

#include <pthread.h>

/* ---- Numbers --------------------------------------------------------------------------------- */

START_TEST(size_is_read_with_its_unit)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {
	    {"0", 0},
	    {"1", 1},
	    {"4K", 4096},
	    {"2M", 2 << 20},
	    {"2m", 2 << 20},
	    {"1G", 1 << 30},
	    {"3T", 3ull << 40},
	    {"1.5G", 3ull << 29},
	    {"1.5k", 1536},
	    {"0.25M", 256 << 10},
	    {"1.0009765625M", (1 << 20) + 1024},
	    {"47.7M", 50017075},
	    {"0.0001K", 0},
	    {"2.00000000000000000000000000K", 2048},
	    {"16777215.9999999999999T", UINT64_MAX},
	    {"18446744073709551615", UINT64_MAX},
	    {"16777215T", 16777215ull << 40},
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t bytes = 7;

		ck_assert_int_eq(units_parse_size(sizes[i].text, &bytes, NULL), 0);
		ck_assert_uint_eq(bytes, sizes[i].bytes);
	}
}
END_TEST

START_TEST(size_that_is_none_is_refused)
{
	static const char *const bad[] = {"",	 " 1",	"-1",	  "+1",	  "1.5",
					  "1.G", ".5G", "1.5.5G", "1,5G", "1.5GB",
					  "M",	 "1 M", "1MM",	  "0x10", "1\xc3"};
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(units_parse_size(bad[i], &bytes, NULL), -EINVAL);
	ck_assert_int_eq(units_parse_size("18446744073709551616", &bytes, NULL), -ERANGE);
	ck_assert_int_eq(units_parse_size("16777216T", &bytes, NULL), -ERANGE);
	ck_assert_int_eq(units_parse_size("16777216.5T", &bytes, NULL), -ERANGE);
}
END_TEST

START_TEST(time_is_read_with_its_unit)
{
	static const struct {
		const char *text;
		uint64_t plain_ns, ns;
	} times[] = {
	    {"0s", 0, 0},
	    {"1ns", 0, 1},
	    {"0.9ns", 0, 0},
	    {"500us", 0, 500000},
	    {"1.5ms", 0, 1500000},
	    {"10s", 0, 10000000000},
	    {"0.000000001s", 0, 1},
	    {"10min", 0, 600000000000},
	    {"0.5h", 0, 1800000000000},
	    {"10", 1000000000, 10000000000},
	    {"10ms", 1000000000, 10000000},
	    {"20000", 1, 20000},
	    {"1.00000000000000000000000000s", 0, 1000000000},
	    {"18446744073709551615ns", 0, UINT64_MAX},
	    {"5124095.576030431h", 0, 18446744073709551600u},
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		uint64_t ns = 7;

		ck_assert_msg(
		    !control_time_parse(times[i].text, times[i].plain_ns, UINT64_MAX, &ns), "%s",
		    times[i].text);
		ck_assert_uint_eq(ns, times[i].ns);
	}
}
END_TEST

START_TEST(time_that_is_none_is_refused)
{
	static const char *const bad[] = {"",	  "s",	    " 1s", "-1s", "+1s",  "1.s",   ".5s",
					  "1,5s", "1.5.5s", "1 s", "1S",  "1sec", "0x1s",  "1e3s",
					  "1us ", "inf",    "nan", "1m",  "1.5",  "1s\xc3"};
	uint64_t ns = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(control_time_parse(bad[i], 1000000000, UINT64_MAX, &ns) == -EINVAL,
			      "'%s'", bad[i]);
	ck_assert_int_eq(control_time_parse("10", 0, UINT64_MAX, &ns), -EINVAL);
	ck_assert_int_eq(control_time_parse("18446744073709551616ns", 0, UINT64_MAX, &ns), -ERANGE);
	ck_assert_int_eq(control_time_parse("18446744073709551615us", 0, UINT64_MAX, &ns), -ERANGE);
	ck_assert_int_eq(control_time_parse("5124095.7h", 0, UINT64_MAX, &ns), -ERANGE);
	ck_assert_int_eq(control_time_parse("61s", 0, 60000000000, &ns), -ERANGE);
	ck_assert_int_eq(control_time_parse("60.000000001s", 0, 60000000000, &ns), -ERANGE);
	ck_assert_uint_eq(ns, 7);
}
END_TEST

START_TEST(time_is_printed_as_it_is_written)
{
	char text[UNITS_TEXT];

	ck_assert_str_eq(units_time(0, text), "0ns");
	ck_assert_str_eq(units_time(500000, text), "500us");
	ck_assert_str_eq(units_time(1500000, text), "1500us");
	ck_assert_str_eq(units_time(90000000000, text), "90s");
	ck_assert_str_eq(units_time(600000000000, text), "10min");
	ck_assert_str_eq(units_time(UNITS_HOUR_NS, text), "1h");
}
END_TEST

START_TEST(address_is_hexadecimal_or_a_size)
{
	static const char *const bad[] = {"0x", "0xg", "0x 1", "0x-1", "0x0x1", "x1", "-1", ""};
	uint64_t address = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(units_parse_address(bad[i], &address, NULL), -EINVAL);
	ck_assert_int_eq(units_parse_address("0x10000000000000000", &address, NULL), -ERANGE);
	ck_assert_uint_eq(address, 7);
	ck_assert_int_eq(units_parse_address("0xFfffffffffffffff", &address, NULL), 0);
	ck_assert_uint_eq(address, UINT64_MAX);
	ck_assert_int_eq(units_parse_address("0X7000", &address, NULL), 0);
	ck_assert_uint_eq(address, 0x7000);
	ck_assert_int_eq(units_parse_address("1.5G", &address, NULL), 0);
	ck_assert_uint_eq(address, 3ull << 29);
}
END_TEST

START_TEST(size_is_printed_short)
{
	char text[UNITS_TEXT];

	ck_assert_str_eq(units_size(0, text), "0");
	ck_assert_str_eq(units_size(1023, text), "1023");
	ck_assert_str_eq(units_size(4096, text), "4K");
	ck_assert_str_eq(units_size(2 << 20, text), "2M");
	ck_assert_str_eq(units_size(1536ull << 20, text), "1.5G");
	ck_assert_str_eq(units_size(5ull << 50, text), "5120T");
	ck_assert_str_eq(units_size(UINT64_MAX, text), "16777216.0T");
}
END_TEST

START_TEST(rates_and_times_are_printed_with_three_digits)
{
	char text[UNITS_TEXT];

	ck_assert_str_eq(units_rate(1.654e9, text), "1.65 GB/s");
	ck_assert_str_eq(units_rate(16.54e9, text), "16.5 GB/s");
	ck_assert_str_eq(units_rate(165.4e9, text), "165 GB/s");
	ck_assert_str_eq(units_rate(999.9e6, text), "1.00 GB/s");
	ck_assert_str_eq(units_rate(0, text), "0.00 kB/s");
	ck_assert_str_eq(units_ns(0, text), "0 ns");
	ck_assert_str_eq(units_ns(999, text), "999 ns");
	ck_assert_str_eq(units_ns(12345, text), "12.3 us");
	ck_assert_str_eq(units_ns(999999, text), "1.00 ms");
	ck_assert_str_eq(units_ns(2500000000ull, text), "2.50 s");
}
END_TEST

START_TEST(table_lines_columns_up)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	cli_print_table(out, "name\t>size\tstate\nh\xc3\xa9\t12\trunning\nlonger\t1234567\tx\n");
	fclose(out);
	ck_assert_str_eq(text, "name       size  state\n"
			       "h\xc3\xa9           12  running\n"
			       "longer  1234567  x\n");
	free(text);
}
END_TEST

START_TEST(table_prints_no_control_characters)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	cli_print_table(out, "a\033[2Jb\n");
	fclose(out);
	ck_assert_str_eq(text, "a?[2Jb\n");
	free(text);
}
END_TEST

/* ---- gmig itself ----------------------------------------------------------------------------- */

START_TEST(help_goes_to_stdout)
{
	ck_assert_int_eq(gmig("--help", NULL), CLI_OK);
	ck_has(out_text, "usage: gmig COMMAND");
	ck_assert_str_eq(err_text, "");
	ck_assert_int_eq(gmig("help", NULL), CLI_OK);
	ck_has(out_text, "usage: gmig COMMAND");
	ck_assert_int_eq(gmig("help", "migrate", NULL), CLI_OK);
	ck_has(out_text, "usage: gmig migrate VM");
	ck_has(out_text, "--from NODES");
	ck_assert_int_eq(gmig("--version", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "gmig " GMIG_VERSION "\n");
}
END_TEST

START_TEST(help_of_every_command_names_its_json)
{
	ck_assert_int_eq(gmig("--version", NULL), CLI_OK); /* cli_main hands the table down */
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		ck_assert_int_eq(gmig(command->name, "--help", NULL), CLI_OK);
		ck_has(out_text, command->summary);
		ck_assert_str_eq(err_text, "");
		if (strcmp(command->name, "help") != 0)
			ck_has(out_text, "--json");
	}
}
END_TEST

START_TEST(wrong_usage_goes_to_stderr_with_status_2)
{
	ck_assert_int_eq(gmig(NULL), CLI_USAGE);
	ck_has(err_text, "gmig: no command given\ntry: gmig --help\n");
	ck_assert_int_eq(gmig("frobnicate", NULL), CLI_USAGE);
	ck_has(err_text, "there is no command 'frobnicate'");
	ck_assert_int_eq(gmig("help", "frobnicate", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("show", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("show", "vm1", "vm2", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("list", "vm1", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("list", "--jsonx", NULL), CLI_USAGE);
	ck_has(err_text, "there is no option '--jsonx'");
	ck_assert_int_eq(gmig("list", "--json=1", NULL), CLI_USAGE);
	ck_has(err_text, "--json takes no value");
	ck_assert_int_eq(gmig("cancel", "vm1", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("set-rate", "vm1", "1", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("set-rate", "vm1", "1", "fast", NULL), CLI_USAGE);
	ck_has(err_text, "set-rate: RATE: a size is a number");
	ck_assert_str_eq(out_text, "");
}
END_TEST

/* ---- list ------------------------------------------------------------------------------------ */

static int bind_socket(const char *name, bool listening)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.60s/gmig/%s", fake.directory, name);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (listening)
		ck_assert_int_eq(listen(fd, 4), 0);
	return fd;
}

static void unlink_socket(const char *name, int fd)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/gmig/%s", fake.directory, name);
	unlink(path);
	close(fd);
}

START_TEST(list_shows_living_stale_and_silent_guests)
{
	int silent = bind_socket("silent.sock", true), stale = bind_socket("old.sock", false);
	int other = bind_socket("other", false);
	json_t *list;

	cli_limits.list_ms = 10000; /* one of them never answers */
	ck_assert_int_eq(gmig("list", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "name     pid  state    guest  vnodes  memory\n"
				   "old        -  stale    -           -       -\n"
				   "silent     -  silent   -           -       -\n"
				   "vm1     4711  running  probe       2    1.5G\n");
	close(silent);
	ck_assert_int_eq(gmig("list", "--json", NULL), CLI_OK);
	list = out_json();
	ck_assert_uint_eq(json_array_size(list), 3);
	ck_assert_str_eq(cli_text(json_array_get(list, 0), "state"), "stale");
	ck_assert_uint_eq(cli_number(json_array_get(list, 2), "bytes"), 1536ull << 20);
	ck_assert_str_eq(cli_text(json_array_get(list, 2), "socket"), fake.socket);
	json_decref(list);
	unlink_socket("silent.sock", -1);
	unlink_socket("old.sock", stale);
	unlink_socket("other", other);
}
END_TEST

START_TEST(list_shows_a_guest_whose_name_is_not_utf8)
{
	int odd = bind_socket("a\xff\x1b.sock", false);
	json_t *list;

	ck_assert_int_eq(gmig("list", NULL), CLI_OK);
	ck_has(out_text, "\na??      -  stale ");
	ck_assert_int_eq(gmig("list", "--json", NULL), CLI_OK);
	list = out_json();
	ck_assert_uint_eq(json_array_size(list), 2);
	json_decref(list);
	unlink_socket("a\xff\x1b.sock", odd);
}
END_TEST

START_TEST(list_without_a_directory_says_that_there_are_no_guests)
{
	setenv("XDG_RUNTIME_DIR", "/tmp/gmig-test-not-there", 1);
	ck_assert_int_eq(gmig("list", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "no guests run here\n");
	ck_assert_int_eq(gmig("list", "--json", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "[]\n");
}
END_TEST

/* ---- show ------------------------------------------------------------------------------------ */

START_TEST(show_json_is_what_the_vmm_says)
{
	json_t *want = fake_guest(), *got;

	ck_assert_int_eq(gmig("show", "vm1", "--json", NULL), CLI_OK);
	got = out_json();
	ck_assert_int_eq(json_equal(want, got), 1);
	json_decref(got);
	json_decref(want);
}
END_TEST

START_TEST(show_for_people_has_memory_times_probe_and_jobs)
{
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "vm1, pid 4711, running\n2 fake nodes: the placement is pretended\n");
	ck_has(out_text,
	       "768M in huge pages, 0 in 4K pages, 384 faults served, 0 threads wait now");
	ck_has(out_text, "memory   size  node 0  node 1  node 3  untouched\n"
			 "vnode 0    1G    512M    256M       0       256M\n"
			 "pool              16M       0       0\n");
	ck_has(out_text, "gap in the guest         7  2.00 us  4.00 us  6.00 us  8.00 us\n");
	ck_has(out_text, "probe guest: 12 sweeps, 0 errors\n");
	ck_has(out_text, "job  state      from  to  mode");
	ck_assert_ptr_null(strstr(out_text, "quarantine"));
	ck_assert_ptr_null(strstr(out_text, "migration is off"));
}
END_TEST

START_TEST(show_tells_its_age_and_what_is_swapped)
{
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_assert_ptr_null(strstr(out_text, "compared"));
	ck_assert_ptr_null(strstr(out_text, "swapped"));
	fake.more = json_pack("{s:f, s:[{s:i, s:I, s:{s:I}, s:I}]}", "age_seconds", 12.34, "vnodes",
			      "id", 0, "bytes", (json_int_t)(1 << 30), "resident", "1",
			      (json_int_t)(256 << 20), "swapped_bytes", (json_int_t)(512 << 20));
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "compared with the kernel 12.3 s ago\n");
	ck_has(out_text, "memory   size  node 0  node 1  node 3  swapped  untouched\n"
			 "vnode 0    1G       0    256M       0     512M       256M\n"
			 "pool              16M       0       0\n");
	ck_assert_ptr_null(strstr(out_text, "others move"));
	json_object_set_new(fake.more, "sample",
			    json_pack("{s:i, s:i}", "checked_pages", 8192, "corrected_pages", 512));
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "others move its memory: 512 of 8192 sampled pages had been moved");
	ck_assert_ptr_null(strstr(out_text, "filled slots"));
	json_object_set_new(fake.more, "slots_emptied", json_integer(3));
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "others, as a debugger, filled slots of the pools 3 times; emptied\n");
	ck_assert_ptr_null(strstr(out_text, "waits for memory"));
	json_object_set_new(fake.more, "starved_pages", json_integer(2));
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "the guest waits for memory at 2 pages: the host, its cgroup or");
	ck_assert_ptr_null(strstr(out_text, "devices are at"));
	json_object_set_new(fake.more, "dma",
			    json_pack("{s:i, s:i, s:i, s:i}", "busy_blocks", 2, "postponed", 17,
				      "transfers", 900, "refused", 40));
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text,
	       "devices are at 2 blocks now, for which jobs postponed a block 17 times\n");
}
END_TEST

START_TEST(show_tells_how_disks_are_served)
{
	fake.more =
	    json_pack("{s:[{s:s, s:b, s:s}, {s:s, s:b, s:s, s:s, s:i, s:i}]}", "disks", "path", "a",
		      "readonly", 1, "cache", "writeback", "path", "b", "readonly", 0, "cache",
		      "none", "aio", "io_uring", "straight", 700, "bounced", 3);
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text,
	       "disk a: cache=writeback, readonly\n"
	       "disk b: cache=none, aio=io_uring, 700 transfers straight to guest memory, 3 by "
	       "a buffer\n");
}
END_TEST

static const char *const unseen[][2] = {
    {"EPERM", "no right to a userfaultfd; see `gmig doctor`, and start the guest anew"},
    {"EINVAL", "this kernel has no minor faults of hugetlb pages; use Linux 5.18 or later"},
    {"ENOMEM", "ENOMEM"},
};

START_TEST(show_tells_that_what_only_a_peer_has_touched_is_not_seen_and_why)
{
	fake.more = json_pack("{s:[{s:{s:i, s:b, s:s}}]}", "regions", "file", "fd", 7, "hugetlb", 1,
			      "unseen", unseen[_i][0]);
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text,
	       "huge pages that only another process has touched are neither seen nor moved: ");
	ck_has(out_text, unseen[_i][1]);
	json_object_del(
	    json_object_get(json_array_get(json_object_get(fake.more, "regions"), 0), "file"),
	    "unseen");
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_assert_ptr_null(strstr(out_text, "only another process"));
}
END_TEST

START_TEST(show_of_a_guest_that_cannot_go_on_says_why)
{
	fake.more = json_pack("{s:s, s:s}", "state", "stopped", "stop_reason",
			      "disk a.raw: No space left on device on the host");
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "vm1, pid 4711, stopped\nstopped because of disk a.raw: No space left on "
			 "device on the host; `gmig cont` goes on\n");
}
END_TEST

START_TEST(show_says_what_gmigd_keeps_and_why_it_started_a_job)
{
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_assert_ptr_null(strstr(out_text, "\nplacement "));
	fake.more = json_pack("{s:{s:s, s:s, s:s}, s:[{s:s, s:s, s:s}]}", "placement", "policy",
			      "follow-vcpus", "state", "quiet", "reason", "quiet \033hours", "jobs",
			      "id", "7", "state", "completed", "reason", "vCPUs are on node 2");
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "\nplacement follow-vcpus (quiet): quiet ?hours\n");
	ck_has(out_text, "\njob 7: started by gmigd itself: vCPUs are on node 2\n");
	json_object_set_new(fake.more, "placement",
			    json_pack("{s:s}", "wrong", "metadata of vm1: rate = 'fast'"));
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "note: its placement policy is wrong, it is not moved by itself: metadata "
			 "of vm1: rate = 'fast'\n");
}
END_TEST

START_TEST(show_asks_the_kernel_first_when_told_to)
{
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_assert_int_eq(gmig("show", "vm1", "--fresh", NULL), CLI_OK);
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_assert_str_eq(fake.log, "residency fresh residency ");
}
END_TEST

START_TEST(show_says_once_that_migration_is_off)
{
	static const char *const texts[] = {"migration is off: plain memory was asked for",
					    "plain memory was asked for"};

	fake.more = json_pack("{s:s}", "migration", texts[_i]);
	ck_assert_int_eq(gmig("show", "vm1", NULL), CLI_OK);
	ck_has(out_text, "\nmigration is off: plain memory was asked for\n");
}
END_TEST

START_TEST(show_takes_a_socket_path)
{
	ck_assert_int_eq(gmig("show", fake.socket, NULL), CLI_OK);
	ck_has(out_text, "vm1, pid 4711");
}
END_TEST

START_TEST(show_of_nobody_says_what_is_wrong)
{
	json_t *answer;
	int stale = bind_socket("old.sock", false);

	ck_assert_int_eq(gmig("show", "nobody", "--json", NULL), CLI_FAILED);
	ck_has(err_text, "gmig: there is no socket '");
	answer = out_json();
	ck_assert_str_eq(cli_text(json_object_get(answer, "error"), "errno"), "ENOENT");
	json_decref(answer);
	ck_assert_int_eq(gmig("show", "old", NULL), CLI_FAILED);
	ck_has(err_text, "the server has ended: nobody listens at");
	ck_assert_int_eq(gmig("show", ".x", NULL), CLI_FAILED);
	ck_has(err_text, "a guest's name has no '/'");
	unlink_socket("old.sock", stale);
}
END_TEST

/* ---- Jobs ------------------------------------------------------------------------------------ */

START_TEST(jobs_are_listed)
{
	json_t *jobs;

	ck_assert_int_eq(gmig("jobs", "vm1", NULL), CLI_OK);
	ck_has(
	    out_text,
	    "job  state    from  to  mode      moved  of  remaining       rate  limit  seconds\n"
	    "  1  running  0     1   readable   512M  1G       512M  2.15 GB/s      -      0.5\n");
	ck_assert_int_eq(gmig("jobs", "vm1", "--json", NULL), CLI_OK);
	jobs = out_json();
	ck_assert_int_eq(json_equal(json_array_get(jobs, 0), fake.job), 1);
	json_decref(jobs);
	json_decref(fake.job);
	fake.job = NULL;
	ck_assert_int_eq(gmig("jobs", "vm1", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "");
}
END_TEST

START_TEST(job_verbs_name_the_job)
{
	json_t *job;

	ck_assert_int_eq(gmig("pause-job", "vm1", "1", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "job 1: running\n");
	ck_assert_int_eq(gmig("resume-job", "vm1", "1", NULL), CLI_OK);
	ck_assert_int_eq(gmig("set-rate", "vm1", "1", "500M", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "job 1: at most 500M a second\n");
	ck_assert_uint_eq(cli_number(fake.job, "rate"), 500 << 20);
	ck_assert_int_eq(gmig("set-rate", "vm1", "1", "0", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "job 1: no limit\n");
	fake.last = fake_job("cancelled", 0, 0);
	ck_assert_int_eq(gmig("cancel", "vm1", "1", "--json", NULL), CLI_OK);
	job = out_json();
	ck_assert_str_eq(cli_text(job, "state"), "cancelled");
	json_decref(job);
	ck_assert_str_eq(fake.log, "job-pause job-resume job-set-rate job-set-rate job-cancel ");
}
END_TEST

START_TEST(job_verb_on_an_unknown_job_fails)
{
	ck_assert_int_eq(gmig("cancel", "vm1", "4711", NULL), CLI_FAILED);
	ck_assert_str_eq(err_text, "gmig: there is no job '4711'; gmig jobs vm1 lists them\n");
}
END_TEST

/* ---- The rest -------------------------------------------------------------------------------- */

START_TEST(stop_cont_do_as_they_say)
{
	ck_assert_int_eq(gmig("stop", "vm1", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "vm1: stopped\n");
	ck_assert_int_eq(gmig("cont", "vm1", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "vm1: running\n");
	ck_assert_int_eq(gmig("stop", "vm1", "--json", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "{}\n");
}
END_TEST

/* opaque: after how many commands the server ends. */
static void *end_server(void *opaque)
{
	while (atomic_load(&fake.logged) < *(unsigned int *)opaque)
		usleep(1000);
	control_server_destroy(fake.server);
	fake.server = NULL;
	return NULL;
}

START_TEST(quit_waits_until_the_vmm_has_closed)
{
	unsigned int commands = 1;
	pthread_t thread;

	pthread_create(&thread, NULL, end_server, &commands);
	ck_assert_int_eq(gmig("quit", "vm1", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "vm1: ended\n");
	ck_assert_int_eq(access(fake.socket, F_OK), -1);
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(powerdown_asks_and_waits_only_when_told_to)
{
	unsigned int commands = 3;
	pthread_t thread;

	ck_assert_int_eq(gmig("powerdown", "vm1", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "vm1: told to power down\n");
	ck_assert_int_eq(gmig("powerdown", "vm1", "--wait", "1", NULL), CLI_FAILED);
	ck_has(err_text, "the guest was told to end, and has not done so in 1s");
	pthread_create(&thread, NULL, end_server, &commands);
	ck_assert_int_eq(gmig("powerdown", "vm1", "--wait", "30", NULL), CLI_OK);
	ck_assert_str_eq(out_text, "vm1: ended\n");
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(powerdown_waits_for_a_time_that_makes_sense)
{
	static const struct {
		const char *time, *says;
	} wrong[] = {{"0", "'0' is no time to wait"}, {"-1", "10min: '-1'"},	{"x", "10min: 'x'"},
		     {"1x", "10min: '1x'"},	      {"86401", "is over 24h"}, {"", "10min: ''"}};

	ck_assert_int_eq(gmig("powerdown", "vm1", "--wait", wrong[_i].time, NULL), CLI_USAGE);
	ck_has(err_text, wrong[_i].says);
	ck_assert_ptr_null(strstr(fake.log, "done"));
}
END_TEST

START_TEST(check_is_0_when_all_holds_and_1_on_a_breach)
{
	json_t *check;

	ck_assert_int_eq(gmig("check", "vm1", NULL), CLI_OK);
	ck_has(out_text, "ok, I1 to I5 hold: 1000 pages of 4K compared with the kernel, 3 had");
	ck_has(out_text, "mapped 1G, pool 16M, in flight 0, quarantine 0\n");
	fake.breach = true;
	ck_assert_int_eq(gmig("check", "vm1", NULL), CLI_FAILED);
	ck_has(out_text, "I3 is broken: thread 7 sleeps\nNOT OK: ");
	ck_assert_int_eq(gmig("check", "vm1", "--json", NULL), CLI_FAILED);
	check = out_json();
	ck_assert_int_eq(json_is_false(json_object_get(check, "ok")), 1);
	json_decref(check);
}
END_TEST

static void set_retired(const char *text)
{
	json_decref(fake.retired);
	fake.retired = json_loads(text, 0, NULL);
}

START_TEST(retire_says_where_the_page_is_and_what_became_of_the_frame)
{
	set_retired(
	    "{\"gpa\":28672,\"node\":1,\"huge\":true,\"thp_split\":false,\"offlined\":true}");
	ck_assert_int_eq(gmig("retire", "vm1", "--gpa", "0x7abc", NULL), CLI_OK);
	ck_assert_str_eq(out_text,
			 "page 0x7000 lies in another frame of node 1, with all of its huge "
			 "page\nthe old one is out of use, until the host boots again\n");
	ck_assert_int_eq(json_integer_value(json_object_get(fake.arguments, "gpa")), 0x7abc);
	ck_assert_ptr_null(json_object_get(fake.arguments, "keep"));
	set_retired(
	    "{\"gpa\":28672,\"node\":1,\"huge\":false,\"thp_split\":true,\"offlined\":false,"
	    "\"reason\":\"EPERM\"}");
	ck_assert_int_eq(gmig("retire", "vm1", "--keep", "--gpa", "28K", NULL), CLI_OK);
	ck_assert_int_eq(json_integer_value(json_object_get(fake.arguments, "gpa")), 0x7000);
	ck_assert(json_is_true(json_object_get(fake.arguments, "keep")));
	ck_has(out_text, "node 1; its huge page is small ones now");
	ck_has(out_text,
	       "in quarantine until the guest ends: the kernel takes it for CAP_SYS_ADMIN");
	fake.refuse = ENOENT;
	ck_assert_int_eq(gmig("retire", "vm1", "--gpa", "28K", NULL), CLI_FAILED);
	ck_has(err_text, "it lies in no frame");
}
END_TEST

START_TEST(retire_without_a_page_is_a_usage_error)
{
	ck_assert_int_eq(gmig("retire", "vm1", NULL), CLI_USAGE);
	ck_has(err_text, "which page?");
	ck_assert_int_eq(gmig("retire", "vm1", "--gpa", "x", NULL), CLI_USAGE);
	ck_assert_int_eq(gmig("retire", "vm1", "--gpa", "0xffffffffffffffff", NULL), CLI_USAGE);
}
END_TEST

static json_t *fake_answer(bool done, bool ok, int visited)
{
	return json_pack(
	    "{s:s, s:b, s:b, s:i, s:i, s:i, s:{s:i, s:i}, s:{s:i, s:i}, s:[], s:i, s:i, "
	    "s:{s:i}, s:i, s:i}",
	    "id", "7", "done", done, "ok", ok, "total_pages", 1000, "visited_pages", visited,
	    "compared_pages", 900, "differed", "node", 12, "held", 0, "corrected", "node", 12,
	    "held", 0, "breaches", "book_pages", 5, "busy_pages", ok ? 0 : 512, "hold_ns", "p99",
	    60000, "longest_hold_ns", 400000, "longest_hold_cpu_ns", 90000);
}

START_TEST(check_with_repair_asks_until_it_is_done_and_says_what_it_was)
{
	json_t *repair;

	fake.repairs = json_pack("[o, o, o]", fake_answer(false, false, 500),
				 fake_answer(false, false, 1000), fake_answer(true, true, 1000));
	ck_assert_int_eq(gmig("check", "vm1", "--repair", NULL), CLI_OK);
	ck_assert_str_eq(fake.log, "repair:new repair:7 repair:7 ");
	ck_has(out_text, "12 pages lay on another node: 12 corrected\n"
			 "the books differed by 5 pages: corrected\n"
			 "ok, all that differed is corrected: 900 pages of 4K compared");
	ck_has(
	    out_text,
	    "locks were held for 60.0 us at a time (p99), 400 us at most, of CPU time 90.0 us\n");
	ck_assert_ptr_null(strstr(out_text, "held as if"));
	ck_assert_ptr_null(strstr(out_text, "left: "));
	ck_assert_int_eq(gmig("check", "--repair", "vm1", "--json", NULL), CLI_OK);
	repair = out_json();
	ck_assert_int_eq(json_integer_value(json_object_get(repair, "compared_pages")), 900);
	json_decref(repair);
}
END_TEST

START_TEST(check_with_repair_is_1_when_something_is_left_or_nothing_can_be_repaired)
{
	fake.repairs = json_pack("[o]", fake_answer(true, false, 1000));
	ck_assert_int_eq(gmig("check", "vm1", "--repair", NULL), CLI_FAILED);
	ck_has(out_text, "left: 512 pages that a migration holds\n"
			 "NOT OK, something is left: ");
	json_array_clear(fake.repairs);
	ck_assert_int_eq(gmig("check", "vm1", "--repair", NULL), CLI_FAILED);
	ck_has(err_text, "migration is off");
	ck_assert_int_eq(gmig("check", "vm1", "--repair=yes", NULL), CLI_USAGE);
}
END_TEST

START_TEST(check_with_repair_ends_when_the_server_makes_no_progress)
{
	cli_limits.answer_ms = 100;
	fake.repairs = json_pack("[o]", fake_answer(false, false, 10));
	ck_assert_int_eq(gmig("check", "vm1", "--repair", NULL), CLI_FAILED);
	ck_has(err_text, "makes no progress");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cli");
	TCase *numbers = fake_case(suite, "numbers");
	TCase *tcase = fake_case(suite, "commands");

	tcase_add_test(numbers, size_is_read_with_its_unit);
	tcase_add_test(numbers, size_that_is_none_is_refused);
	tcase_add_test(numbers, time_is_read_with_its_unit);
	tcase_add_test(numbers, time_that_is_none_is_refused);
	tcase_add_test(numbers, time_is_printed_as_it_is_written);
	tcase_add_test(numbers, address_is_hexadecimal_or_a_size);
	tcase_add_test(numbers, size_is_printed_short);
	tcase_add_test(numbers, rates_and_times_are_printed_with_three_digits);
	tcase_add_test(numbers, table_lines_columns_up);
	tcase_add_test(numbers, table_prints_no_control_characters);
	tcase_add_test(tcase, help_goes_to_stdout);
	tcase_add_test(tcase, help_of_every_command_names_its_json);
	tcase_add_test(tcase, wrong_usage_goes_to_stderr_with_status_2);
	tcase_add_test(tcase, list_shows_living_stale_and_silent_guests);
	tcase_add_test(tcase, list_shows_a_guest_whose_name_is_not_utf8);
	tcase_add_test(tcase, list_without_a_directory_says_that_there_are_no_guests);
	tcase_add_test(tcase, show_json_is_what_the_vmm_says);
	tcase_add_test(tcase, show_for_people_has_memory_times_probe_and_jobs);
	tcase_add_test(tcase, show_tells_its_age_and_what_is_swapped);
	tcase_add_test(tcase, show_tells_how_disks_are_served);
	tcase_add_loop_test(tcase, show_tells_that_what_only_a_peer_has_touched_is_not_seen_and_why,
			    0, 3);
	tcase_add_test(tcase, show_of_a_guest_that_cannot_go_on_says_why);
	tcase_add_test(tcase, show_says_what_gmigd_keeps_and_why_it_started_a_job);
	tcase_add_test(tcase, show_asks_the_kernel_first_when_told_to);
	tcase_add_loop_test(tcase, show_says_once_that_migration_is_off, 0, 2);
	tcase_add_test(tcase, show_takes_a_socket_path);
	tcase_add_test(tcase, show_of_nobody_says_what_is_wrong);
	tcase_add_test(tcase, jobs_are_listed);
	tcase_add_test(tcase, job_verbs_name_the_job);
	tcase_add_test(tcase, job_verb_on_an_unknown_job_fails);
	tcase_add_test(tcase, stop_cont_do_as_they_say);
	tcase_add_test(tcase, quit_waits_until_the_vmm_has_closed);
	tcase_add_test(tcase, powerdown_asks_and_waits_only_when_told_to);
	tcase_add_loop_test(tcase, powerdown_waits_for_a_time_that_makes_sense, 0, 6);
	tcase_add_test(tcase, check_is_0_when_all_holds_and_1_on_a_breach);
	tcase_add_test(tcase, retire_says_where_the_page_is_and_what_became_of_the_frame);
	tcase_add_test(tcase, retire_without_a_page_is_a_usage_error);
	tcase_add_test(tcase, check_with_repair_asks_until_it_is_done_and_says_what_it_was);
	tcase_add_test(tcase,
		       check_with_repair_is_1_when_something_is_left_or_nothing_can_be_repaired);
	tcase_add_test(tcase, check_with_repair_ends_when_the_server_makes_no_progress);
	return run_suite(suite);
}
