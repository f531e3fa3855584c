/* Threads that follow a domain's memory: with a libvirt that refuses, hangs, goes away, and a gmigd that is killed. */
#include "../../libvirt-hooks/pin_journal.h"
#include "domain_books.h"
#include "failing_open.h"
#include "fake_libvirt.h"

#include <sys/wait.h>

static struct domain_pins move_with_vcpus(void)
{
	const struct gmig_job_spec spec = with_vcpus();
	int before = atomic_load(&ends);
	struct gmig_job_info info = run(&spec);
	struct domain_pins pins;

	wait_ends(before + 1);
	ck_assert(domain_pins_of(domain, &info, &pins));
	return pins;
}

static struct domain_pins ordered(const uint16_t *vcpus, size_t count, unsigned int node)
{
	struct domain_pins pins;
	uint64_t order;

	ck_assert_msg(!domain_order_pins(domain, vcpus, count, node, &order, &err), "%s", err.text);
	do {
		sched_yield();
		ck_assert_int_eq(domain_order_state(domain, order, &pins, &err), 0);
	} while (pins.state == DOMAIN_PINS_PENDING);
	return pins;
}

static bool has_pin_journal(void)
{
	struct pin_journal journal;
	int ret = pin_journal_read(journals, FAKE_UUID, &journal, NULL);

	if (!ret)
		pin_journal_free(&journal);
	return !ret;
}

#define expect_pins(pins, wanted, text)                                                            \
	do {                                                                                       \
		const struct domain_pins got = (pins);                                             \
		ck_assert_msg(got.state == (wanted), "%s: %s", domain_pins_state_name(got.state),  \
			      got.why);                                                            \
		ck_assert_msg(strstr(got.why, (text)) != NULL, "%s", got.why);                     \
	} while (0)

/* ---- Together -------------------------------------------------------------------------------- */

static char pinned_at_end[256];

static void look_at_end(void *opaque, struct domain *of, const struct gmig_job_info *info)
{
	if (info->state >= GMIG_JOB_COMPLETED)
		strcpy(pinned_at_end, pinned());
	on_job(opaque, of, info);
}

START_TEST(threads_follow_before_anybody_hears_of_the_end)
{
	struct domain_pins pins;

	host.job_event = look_at_end;
	open_domain();
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_FOLLOWED, "");
	ck_assert_uint_eq(pins.pinned, 3);
	ck_assert_str_eq(pinned_at_end, AFTER);
	ck_assert_str_eq(mems_at_end, "1");
	ck_assert(!has_pin_journal());
}
END_TEST

static unsigned int calls_in_move;

static void count_calls(void)
{
	calls_in_move = libvirt->calls;
}

START_TEST(pins_stay_while_memory_moves_and_without_the_option)
{
	struct domain_pins pins;
	struct gmig_job_info info;

	open_domain();
	info = run(&to_1);
	wait_ends(1);
	ck_assert(!domain_pins_of(domain, &info, &pins));
	ck_assert_str_eq(pinned(), BEFORE);
	fake_pages_reset();
	fake_allowed = 0xf;
	fake_after_move = count_calls;
	pins = move_with_vcpus();
	ck_assert_uint_eq(calls_in_move, 0);
	expect_pins(pins, DOMAIN_PINS_FOLLOWED, "");
}
END_TEST

START_TEST(threads_elsewhere_need_nothing)
{
	struct domain_pins pins;

	for (unsigned int i = 0; i < THREADS; i++)
		pin_cpus(&libvirt->pin[i].before, 8, 9);
	open_domain();
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_UNNEEDED, "");
	ck_assert_str_eq(pinned(), "8-9 8-9 8-9 8-9");
	ck_assert(!has_pin_journal());
}
END_TEST

START_TEST(target_without_cpus_is_refused_before_anything_moves)
{
	struct gmig_job_spec spec = with_vcpus();
	struct gmig_job *job;

	spec.to[0] = 3;
	open_domain();
	ck_assert_int_eq(domain_start_job(domain, &spec, &job, &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.text, "node 3 has no CPUs"));
	ck_assert_ptr_nonnull(strstr(err.text, "move the memory alone"));
	ck_assert_int_eq(fake_page[0].node, 0);
	ck_assert_str_eq(mems("/emulator"), "0");
}
END_TEST

START_TEST(move_is_refused_while_it_cannot_be_looked_which_nodes_have_cpus)
{
	const struct gmig_job_spec spec = with_vcpus();
	struct domain_pins pins;
	struct gmig_job *job;

	open_domain();
	unreadable = "/node/online";
	ck_assert_int_eq(domain_start_job(domain, &spec, &job, &err), -EMFILE);
	unreadable = NULL;
	ck_assert_ptr_nonnull(strstr(err.text, "/node/online"));
	ck_assert_int_eq(fake_page[0].node, 0);
	ck_assert_str_eq(mems("/emulator"), "0");
	ck_assert_str_eq(pinned(), BEFORE);
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_FOLLOWED, "");
}
END_TEST

START_TEST(cancelled_move_changes_no_pin)
{
	struct gmig_job_spec slow = with_vcpus();
	struct gmig_job_info info;
	struct domain_pins pins;
	struct gmig_job *job;

	slow.rate_bytes_per_second = 64 << 20;
	open_domain();
	fake_after_move = cancel_now;
	ck_assert_int_eq(domain_start_job(domain, &slow, &job, &err), 0);
	atomic_store(&running, job);
	gmig_job_wait(job);
	gmig_job_info(job, &info);
	wait_ends(1);
	gmig_job_put(job);
	ck_assert(domain_pins_of(domain, &info, &pins));
	expect_pins(pins, DOMAIN_PINS_KEPT, "cancelled");
	ck_assert_uint_eq(libvirt->calls, 0);
	ck_assert(!has_pin_journal());
}
END_TEST

START_TEST(memory_that_stays_keeps_its_threads)
{
	struct domain_pins pins;

	for (unsigned int i = 0; i < FAKE_PAGES * 2 / 3; i++)
		fake_page[i].busy = true;
	open_domain();
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_KEPT, "most of the memory is not on the nodes");
	ck_assert_str_eq(pinned(), BEFORE);
}
END_TEST

/* ---- Refused --------------------------------------------------------------------------------- */

START_TEST(refusal_half_way_puts_all_back)
{
	struct domain_pins pins;

	/* Call 0 asks; 1 pins vCPU 0; 2 is refused. */
	libvirt->fail_at = 2;
	libvirt->fail_until = 3;
	libvirt->failure = -EOPNOTSUPP;
	open_domain();
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_KEPT, "libvirt says no");
	ck_assert_uint_eq(pins.pinned, 0);
	ck_assert_str_eq(pinned(), BEFORE);
	ck_assert(!has_pin_journal());
	/* The memory has moved all the same. */
	ck_assert_str_eq(mems("/vcpu0"), "1");
}
END_TEST

START_TEST(kernel_that_gives_less_puts_all_back)
{
	struct domain_pins pins;

	libvirt->kernel = "4";
	open_domain();
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_KEPT, "the kernel gives it other CPUs");
	ck_assert_str_eq(pinned(), BEFORE);
}
END_TEST

START_TEST(threads_that_cannot_be_looked_at_are_not_said_to_have_followed)
{
	struct domain_pins pins;

	fake_file("77/task/80/comm/is-no-file", "%s", "");
	open_domain();
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_KEPT, "cannot be read: Is a directory");
	ck_assert_str_eq(pinned(), BEFORE);
}
END_TEST

/* The last call before it is looked where they may run. */
static int set_pin_and_lose_sight(void *opaque, const char *uuid, int id, const struct pin *pin,
				  const struct pin_cpus *cpus, struct gmig_error *error)
{
	unreadable = "/task/77/status";
	return set_pin(opaque, uuid, id, pin, cpus, error);
}

START_TEST(thread_whose_cpus_cannot_be_read_is_not_said_to_have_followed)
{
	struct domain_pins pins;

	host.set_pin = set_pin_and_lose_sight;
	open_domain();
	pins = move_with_vcpus();
	unreadable = NULL;
	expect_pins(pins, DOMAIN_PINS_KEPT, "may run cannot be read: Too many open files");
	ck_assert_str_eq(pinned(), BEFORE);
}
END_TEST

START_TEST(libvirt_that_hangs_is_asked_once_and_again_when_it_answers)
{
	struct domain_pins pins;
	struct gmig_job *job;
	const struct gmig_job_spec spec = with_vcpus();
	const struct gmig_job_info info = {.id = 1, .spec = spec};

	libvirt->fail_at = 2;
	libvirt->failure = -ETIMEDOUT;
	libvirt->late = true;
	open_domain();
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_RESTORING, "libvirt is late");
	ck_assert_ptr_nonnull(strstr(pins.why, "not put back"));
	/* It asks, pins two, and puts back one: no more waiting. */
	ck_assert_uint_eq(libvirt->calls, 4);
	ck_assert(has_pin_journal());
	ck_assert_int_eq(domain_start_job(domain, &spec, &job, &err), -EBUSY);
	/* Memory alone may move. */
	libvirt->fail_at = UINT_MAX;
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(pinned(), BEFORE);
	ck_assert(!has_pin_journal());
	ck_assert(domain_pins_of(domain, &info, &pins));
	ck_assert(pins.state == DOMAIN_PINS_KEPT || pins.job != 1);
}
END_TEST

START_TEST(libvirt_that_never_puts_back_is_given_up_and_said)
{
	struct domain_cpusets cpusets;
	struct domain_pins pins;

	libvirt->fail_at = 2;
	libvirt->failure = -EIO;
	open_domain();
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_RESTORING, "");
	for (int i = 0; i < 5; i++) {
		ck_assert(has_pin_journal());
		domain_set_facts(domain, &facts);
	}
	ck_assert(!has_pin_journal());
	ck_assert_int_eq(domain_cpusets(domain, &cpusets, &err), 0);
	ck_assert_ptr_nonnull(strstr(cpusets.note, "virsh vcpupin"));
}
END_TEST

START_TEST(domain_started_anew_in_between_is_not_touched)
{
	struct domain_pins pins;

	open_domain();
	/* The set says 5; by then it is another one. */
	libvirt->get_failure = 0;
	libvirt->fail_at = 1;
	libvirt->fail_until = 2;
	libvirt->failure = -ESRCH;
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_KEPT, "");
	ck_assert_str_eq(pinned(), BEFORE);
	ck_assert(!has_pin_journal());
}
END_TEST

START_TEST(libvirt_that_is_away_changes_nothing)
{
	struct domain_pins pins;

	libvirt->get_failure = -ENOTCONN;
	open_domain();
	pins = move_with_vcpus();
	expect_pins(pins, DOMAIN_PINS_KEPT, "in vain");
	ck_assert(!has_pin_journal());
}
END_TEST

/* ---- Killed ---------------------------------------------------------------------------------- */

/* Written by cpuset_scope: also between the memory and the pins. */
static unsigned int steps, die_at;

static void dies_at_write(void *opaque, const char *path, const char *text)
{
	if (steps++ == die_at)
		_exit(9);
	threads_follow(opaque, path, text);
}

static int dies_at_nodeset(void *opaque, const char *uuid, const struct gmig_node_set *nodes,
			   struct gmig_error *error)
{
	if (steps++ == die_at)
		_exit(9);
	return set_nodeset(opaque, uuid, nodes, error);
}

/* True: it was killed. */
static bool killed_daemon(unsigned int at_call, unsigned int at_step)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		steps = 0;
		die_at = at_step;
		libvirt->calls = 0;
		libvirt->die_at = at_call;
		host.cpusets.before_write = dies_at_write;
		host.set_nodeset = dies_at_nodeset;
		open_domain();
		move_with_vcpus();
		domain_put(domain);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "%d", status);
	libvirt->die_at = UINT_MAX;
	return WEXITSTATUS(status) == 9;
}

/* The next gmigd: its libvirt answers at the second try. */
static void next_daemon(void)
{
	atomic_store(&ends, 0);
	*lines = '\0';
	libvirt->get_failure = -ENOTCONN;
	open_domain();
	libvirt->get_failure = 0;
	if (strstr(lines, "goes on"))
		wait_ends(1);
	domain_set_facts(domain, &facts);
}

START_TEST(next_daemon_without_libvirt_has_threads_follow_when_it_comes)
{
	/* In the first write of a cpuset: the move is gone on with. */
	ck_assert(killed_daemon(UINT_MAX, 1));
	libvirt->get_failure = -ENOTCONN;
	open_domain();
	ck_assert_ptr_nonnull(strstr(lines, "goes on"));
	wait_ends(1);
	ck_assert_str_eq(pinned(), BEFORE);
	ck_assert(has_pin_journal());
	libvirt->get_failure = 0;
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(pinned(), AFTER);
	ck_assert(!has_pin_journal());
}
END_TEST

static void start_over(void)
{
	put_back();
	reset_libvirt();
	tell_kernel(&libvirt->pin[3].before);
}

START_TEST(next_daemon_goes_on_with_the_pins_of_a_killed_one)
{
	unsigned int deaths = 0;

	for (unsigned int at = 0; killed_daemon(at, UINT_MAX); at++, deaths++) {
		for (unsigned int i = 0; i < FAKE_PAGES; i++)
			fake_page[i].node = 1;
		next_daemon();
		ck_assert_msg(!strcmp(pinned(), AFTER), "killed in call %u: %s", at, pinned());
		ck_assert(!has_pin_journal());
		ck_assert_str_eq(mems("/emulator"), "1");
		start_over();
	}
	/* It asks, and pins three. */
	ck_assert_uint_eq(deaths, 4);
}
END_TEST

START_TEST(next_daemon_has_pins_follow_wherever_the_last_one_was_killed)
{
	unsigned int deaths = 0;

	/* Two groups are widened, and the move is not begun; then narrowed; then libvirt is told. */
	for (unsigned int at = 1; killed_daemon(UINT_MAX, at); at++, deaths++) {
		host.get_pins = get_pins;
		next_daemon();
		while (has_pin_journal())
			domain_set_facts(domain, &facts);
		ck_assert_msg(!strcmp(pinned(), AFTER), "killed at %u: %s", at, pinned());
		ck_assert_str_eq(mems("/emulator"), "1");
		start_over();
	}
	ck_assert_uint_ge(deaths, 4);
}
END_TEST

/* To whoever looks, moves it with its vCPUs, or pins some: which file it is, and why. Libvirt is not said to be what does not answer. */
static void expect_unread_pins_are_said(void)
{
	static const char text[] = FAKE_UUID ".pins' cannot be read: Too many open files";
	static const uint16_t vcpus[] = {0};
	const struct gmig_job_spec spec = with_vcpus();
	struct gmig_job *job;

	expect_note(text);
	ck_assert_int_eq(domain_start_job(domain, &spec, &job, &err), -EIO);
	ck_assert_msg(strstr(err.text, text) && !strstr(err.text, "libvirt"), "%s", err.text);
	expect_pins(ordered(vcpus, 1, 2), DOMAIN_PINS_KEPT, text);
}

START_TEST(journal_of_pins_that_cannot_be_read_now_is_read_later)
{
	ck_assert(killed_daemon(2, UINT_MAX));
	unreadable = ".pins";
	next_daemon();
	domain_set_facts(domain, &facts);
	ck_assert_str_ne(pinned(), AFTER);
	ck_assert_ptr_nonnull(strstr(lines, ".pins' cannot be read: "));
	*lines = '\0';
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(lines, "");
	expect_unread_pins_are_said();
	unreadable = NULL;
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(pinned(), AFTER);
	ck_assert(!has_pin_journal());
	expect_note("");
}
END_TEST

/* Whoever sees to it by hand is heard. */
START_TEST(journal_of_pins_that_stays_unreadable_may_be_removed)
{
	char path[PATH_MAX];

	ck_assert(killed_daemon(2, UINT_MAX));
	unreadable = ".pins";
	next_daemon();
	expect_unread_pins_are_said();
	unreadable = NULL;
	snprintf(path, sizeof(path), "%s/" FAKE_UUID ".pins", journals);
	ck_assert_int_eq(unlink(path), 0);
	domain_set_facts(domain, &facts);
	expect_note("");
	expect_pins(move_with_vcpus(), DOMAIN_PINS_FOLLOWED, "");
}
END_TEST

/* No descriptors when pins are planned, or when it is looked what they have come to: no refusal, and nothing is put back or forgotten. */
START_TEST(next_daemon_that_cannot_look_at_threads_or_nodes_tries_again)
{
	static const char *const endings[] = {"/node/online", "/task/77/status"};

	for (unsigned int i = 0; i < 2; i++) {
		ck_assert(killed_daemon(i ? 2 : 0, UINT_MAX));
		unreadable = endings[i];
		next_daemon();
		for (int tries = 0; tries < 6; tries++)
			domain_set_facts(domain, &facts);
		ck_assert(has_pin_journal());
		unreadable = NULL;
		domain_set_facts(domain, &facts);
		ck_assert_str_eq(pinned(), AFTER);
		ck_assert(!has_pin_journal());
		start_over();
	}
}
END_TEST

START_TEST(thread_that_somebody_else_pinned_meanwhile_is_left_alone)
{
	ck_assert(killed_daemon(2, UINT_MAX));
	pin_cpus(&libvirt->pin[1].before, 9, 9);
	next_daemon();
	ck_assert_str_eq(pinned(), "5 9 7 4-7");
	ck_assert(!has_pin_journal());
}
END_TEST

START_TEST(next_daemon_that_is_refused_puts_back)
{
	ck_assert(killed_daemon(2, UINT_MAX));
	libvirt->calls = 0;
	libvirt->fail_at = 2;
	libvirt->fail_until = 3;
	libvirt->failure = -EOPNOTSUPP;
	next_daemon();
	domain_set_facts(domain, &facts);
	ck_assert_str_eq(pinned(), BEFORE);
	ck_assert(!has_pin_journal());
}
END_TEST

START_TEST(journal_of_pins_of_an_earlier_process_is_thrown_away)
{
	struct pin_set set = {.pin = libvirt->pin, .count = THREADS};
	struct pin_journal journal = {
	    .uuid = FAKE_UUID, .pid = FAKE_PID, .start_time = 499, .pins = &set};

	ck_assert_int_eq(pin_journal_write(journals, &journal, &err), 0);
	open_domain();
	ck_assert(!has_pin_journal());
	ck_assert_uint_eq(libvirt->calls, 0);
}
END_TEST

START_TEST(journal_that_is_no_journal_of_pins_changes_none)
{
	static const char *const texts[] = {
	    "",
	    "{\"version\":1}",
	    "{\"version\":1,\"uuid\":\"" FAKE_UUID
	    "\",\"pid\":77,\"start_time\":500,\"begun\":true,"
	    "\"pairs\":[[0,99999]],\"pins\":[]}",
	    "{\"version\":1,\"uuid\":\"" FAKE_UUID
	    "\",\"pid\":77,\"start_time\":500,\"begun\":true,"
	    "\"pairs\":[[0,1]],\"pins\":[{\"kind\":\"vcpu\",\"id\":0,\"before\":\"0-99999\","
	    "\"after\":\"1\"}]}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		fake_file("journals/" FAKE_UUID ".pins", "%s", texts[i]);
		open_domain();
		domain_set_facts(domain, &facts);
		ck_assert_uint_eq(libvirt->calls, 0);
		ck_assert_ptr_nonnull(strstr(lines, "cannot be understood"));
		domain_put(domain);
		domain = NULL;
	}
}
END_TEST

/* ---- Orders ---------------------------------------------------------------------------------- */

START_TEST(order_pins_the_vcpus_that_it_names_to_all_of_a_node)
{
	static const uint16_t vcpus[] = {0, 2};
	struct domain_pins pins;

	open_domain();
	pins = ordered(vcpus, 2, 2);
	expect_pins(pins, DOMAIN_PINS_FOLLOWED, "");
	ck_assert_uint_eq(pins.pinned, 2);
	ck_assert_str_eq(pinned(), "8-9 2 8-9 0-3");
	ck_assert(!has_pin_journal());
	pins = ordered(vcpus, 2, 2);
	expect_pins(pins, DOMAIN_PINS_UNNEEDED, "");
}
END_TEST

START_TEST(order_that_cannot_be_carried_out_changes_nothing)
{
	static const uint16_t vcpus[] = {0, 9};
	struct domain_pins pins;
	uint64_t order;

	open_domain();
	pins = ordered(vcpus, 2, 1);
	expect_pins(pins, DOMAIN_PINS_KEPT, "there is no vCPU 9");
	ck_assert_str_eq(pinned(), BEFORE);
	ck_assert_int_eq(domain_order_pins(domain, vcpus, 1, 3, &order, &err), -ENODEV);
	libvirt->calls = 0;
	libvirt->fail_at = 1;
	libvirt->fail_until = 2;
	libvirt->failure = -EIO;
	pins = ordered(vcpus, 1, 1);
	expect_pins(pins, DOMAIN_PINS_KEPT, "libvirt says no");
	ck_assert_str_eq(pinned(), BEFORE);
	ck_assert_int_eq(domain_order_state(domain, 99, &pins, &err), -ESRCH);
	ck_assert_int_eq(domain_order_state(domain, 0, &pins, &err), -ESRCH);
	host.get_pins = NULL;
	ck_assert_int_eq(domain_order_pins(domain, vcpus, 1, 1, &order, &err), -EOPNOTSUPP);
}
END_TEST

static atomic_bool let_go;

static int get_pins_late(void *opaque, const char *uuid, struct pin_set **set,
			 struct gmig_error *error)
{
	while (!atomic_load(&let_go))
		sched_yield();
	return get_pins(opaque, uuid, set, error);
}

START_TEST(order_while_another_is_carried_out_is_refused_and_the_end_waits)
{
	static const uint16_t vcpus[] = {0};
	struct domain_pins pins;
	uint64_t order, other;

	let_go = false;
	host.get_pins = get_pins_late;
	open_domain();
	ck_assert_int_eq(domain_order_pins(domain, vcpus, 1, 1, &order, &err), 0);
	ck_assert_int_eq(domain_order_pins(domain, vcpus, 1, 2, &other, &err), -EBUSY);
	ck_assert_int_eq(domain_order_state(domain, order, &pins, &err), 0);
	ck_assert_int_eq(pins.state, DOMAIN_PINS_PENDING);
	atomic_store(&let_go, true);
	domain_put(domain);
	domain = NULL;
	ck_assert_str_eq(pinned(), "4-7 2 7 0-3");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    threads_follow_before_anybody_hears_of_the_end,
	    pins_stay_while_memory_moves_and_without_the_option,
	    threads_elsewhere_need_nothing,
	    target_without_cpus_is_refused_before_anything_moves,
	    move_is_refused_while_it_cannot_be_looked_which_nodes_have_cpus,
	    cancelled_move_changes_no_pin,
	    memory_that_stays_keeps_its_threads,
	    refusal_half_way_puts_all_back,
	    kernel_that_gives_less_puts_all_back,
	    threads_that_cannot_be_looked_at_are_not_said_to_have_followed,
	    thread_whose_cpus_cannot_be_read_is_not_said_to_have_followed,
	    libvirt_that_hangs_is_asked_once_and_again_when_it_answers,
	    libvirt_that_never_puts_back_is_given_up_and_said,
	    domain_started_anew_in_between_is_not_touched,
	    libvirt_that_is_away_changes_nothing,
	    next_daemon_goes_on_with_the_pins_of_a_killed_one,
	    next_daemon_without_libvirt_has_threads_follow_when_it_comes,
	    next_daemon_has_pins_follow_wherever_the_last_one_was_killed,
	    journal_of_pins_that_cannot_be_read_now_is_read_later,
	    journal_of_pins_that_stays_unreadable_may_be_removed,
	    next_daemon_that_cannot_look_at_threads_or_nodes_tries_again,
	    thread_that_somebody_else_pinned_meanwhile_is_left_alone,
	    next_daemon_that_is_refused_puts_back,
	    journal_of_pins_of_an_earlier_process_is_thrown_away,
	    journal_that_is_no_journal_of_pins_changes_none,
	    order_pins_the_vcpus_that_it_names_to_all_of_a_node,
	    order_that_cannot_be_carried_out_changes_nothing,
	    order_while_another_is_carried_out_is_refused_and_the_end_waits,
	};

	return run_tests("domain_pins", setup_pins, teardown, tests,
			 sizeof(tests) / sizeof(tests[0]));
}
