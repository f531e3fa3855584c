/* The connection to libvirt: its test driver within this process, and daemons that do not answer. */
#include "../../libvirt-hooks/virt.h"
#include "suite.h"

#include <errno.h>
#include <libvirt/libvirt.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct virt *virt;
static struct gmig_error err;
static sem_t changes, hanging, release;
static atomic_bool hang, hang_events; /* hang_events: the first who asks for them */
static atomic_int warnings, connects;
static _Atomic char last_uuid[QEMU_UUID_TEXT]; /* that was told to have changed; "": any */

static void changed(void *opaque)
{
	(void)opaque;
	sem_post(&changes);
}

static void domain_changed(void *opaque, const char *uuid)
{
	(void)opaque;
	for (size_t i = 0; i < sizeof(last_uuid); i++)
		atomic_store(&last_uuid[i], uuid ? uuid[i] : '\0');
}

static void before_call(void *opaque, const char *what)
{
	(void)opaque;
	if (!strcmp(what, "connect"))
		atomic_fetch_add(&connects, 1);
	if (!atomic_load(&hang) &&
	    (strcmp(what, "ask for events") != 0 || !atomic_exchange(&hang_events, false)))
		return;
	sem_post(&hanging);
	sem_wait(&release);
}

static void note(void *opaque, enum gmig_log_level level, const char *line)
{
	(void)opaque, (void)line;
	if (level == GMIG_LOG_WARNING)
		atomic_fetch_add(&warnings, 1);
}

static void wait_for(sem_t *what)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 100;
	ck_assert_int_eq(sem_timedwait(what, &until), 0);
}

static void start(const char *uri, int call_ms)
{
	const struct virt_options options = {.uri = uri,
					     .call_ms = call_ms,
					     .changed = changed,
					     .domain_changed = domain_changed,
					     .log = note,
					     .before_call = before_call};

	ck_assert_msg(!virt_create(&options, &virt, &err), "%s", err.text);
}

static void setup(void)
{
	virt = NULL;
	memset(&err, 0, sizeof(err));
	sem_init(&changes, 0, 0);
	sem_init(&hanging, 0, 0);
	sem_init(&release, 0, 0);
}

static void teardown(void)
{
	virt_destroy(virt);
}

START_TEST(list_has_the_running_domains)
{
	struct virt_domain *list;
	int count;

	start("test:///default", 10000);
	wait_for(&changes);
	ck_assert(virt_is_connected(virt));
	count = virt_list(virt, &list, &err);
	ck_assert_msg(count == 1, "%d %s", count, err.text);
	ck_assert_str_eq(list[0].name, "test");
	ck_assert_uint_eq(list[0].memory_bytes, 8ull << 30);
	ck_assert_uint_eq(strlen(list[0].uuid), 36);
	ck_assert_int_eq(list[0].id, 1);
	ck_assert(!list[0].paused);
	virt_list_free(list, count);
}
END_TEST

static atomic_int references = -1; /* to the connection, when it was closed last */

/* The names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier) */
int __real_virConnectClose(virConnectPtr connection);
int __wrap_virConnectClose(virConnectPtr connection);

int __wrap_virConnectClose(virConnectPtr connection)
{
	int left = __real_virConnectClose(connection);

	atomic_store(&references, left);
	return left;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* Each callback for events has a reference: a connection that keeps them is lost at each restart of libvirtd. */
START_TEST(connection_that_is_closed_is_gone)
{
	start("test:///default", 10000);
	wait_for(&changes);
	ck_assert(virt_is_connected(virt));
	virt_destroy(virt);
	virt = NULL;
	ck_assert_int_eq(atomic_load(&references), 0);
}
END_TEST

/* By then there is another connection: the old one goes, and what is known of the new one stays. */
START_TEST(events_that_are_granted_too_late_are_given_back)
{
	atomic_store(&hang_events, true);
	start("test:///default", 1000);
	wait_for(&hanging);
	wait_for(&changes);
	ck_assert(virt_is_connected(virt));
	atomic_store(&references, -1);
	sem_post(&release);
	while (atomic_load(&references) < 0)
		sched_yield();
	ck_assert_int_eq(atomic_load(&references), 0);
	virt_destroy(virt);
	virt = NULL;
	ck_assert_int_eq(atomic_load(&references), 0);
}
END_TEST

START_TEST(change_of_a_domain_is_told)
{
	virConnectPtr connection;
	struct virt_domain *list;
	virDomainPtr domain;
	int count;

	start("test:///default", 10000);
	wait_for(&changes);
	connection = virConnectOpen("test:///default");
	domain = virDomainLookupByName(connection, "test");
	ck_assert_int_eq(virDomainSuspend(domain), 0);
	wait_for(&changes);
	count = virt_list(virt, &list, &err);
	ck_assert_int_eq(count, 1);
	ck_assert(list[0].paused);
	virt_list_free(list, count);
	ck_assert_int_eq(virDomainDestroy(domain), 0);
	wait_for(&changes);
	ck_assert_int_eq(virt_list(virt, &list, &err), 0);
	virt_list_free(list, 0);
	virDomainFree(domain);
	virConnectClose(connection);
}
END_TEST

START_TEST(metadata_that_is_set_is_told_and_read)
{
	static const char placement[] = "<placement placement='fixed' nodes='0'/>";
	virConnectPtr connection;
	virDomainPtr domain;
	char uuid[QEMU_UUID_TEXT], *xml;

	start("test:///default", 10000);
	wait_for(&changes);
	ck_assert_int_eq(atomic_load(&last_uuid[0]), '\0'); /* connected: any may have changed */
	connection = virConnectOpen("test:///default");
	domain = virDomainLookupByName(connection, "test");
	ck_assert_int_eq(virDomainGetUUIDString(domain, uuid), 0);
	ck_assert_int_eq(virt_domain_xml(virt, uuid, &xml, &err), 0);
	ck_assert_ptr_null(strstr(xml, "urn:gmig:placement:1"));
	free(xml);
	ck_assert_int_eq(virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, placement,
					      "gmig", "urn:gmig:placement:1",
					      VIR_DOMAIN_AFFECT_LIVE),
			 0);
	wait_for(&changes);
	for (size_t i = 0; i < sizeof(uuid); i++)
		ck_assert_int_eq(atomic_load(&last_uuid[i]), uuid[i]);
	ck_assert_int_eq(virt_domain_xml(virt, uuid, &xml, &err), 0);
	ck_assert_ptr_nonnull(strstr(xml, "urn:gmig:placement:1"));
	free(xml);
	ck_assert_int_eq(virt_domain_xml(virt, "6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11", &xml, &err),
			 -ESRCH);
	virDomainFree(domain);
	virConnectClose(connection);
}
END_TEST

START_TEST(xml_that_libvirt_does_not_give_is_given_up)
{
	char *xml;

	start("test:///default", 500);
	wait_for(&changes);
	atomic_store(&hang, true);
	ck_assert_int_eq(virt_domain_xml(virt, "6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11", &xml, &err),
			 -ETIMEDOUT);
	wait_for(&hanging);
	atomic_store(&hang, false);
	sem_post(&release);
}
END_TEST

/* As virsh numatune has it. */
static const char *nodeset_of(const char *uuid)
{
	virConnectPtr connection = virConnectOpen("test:///default");
	virDomainPtr domain = virDomainLookupByUUIDString(connection, uuid);
	virTypedParameter parameters[8];
	static char text[64];
	int count = 8;

	ck_assert_int_eq(
	    virDomainGetNumaParameters(domain, parameters, &count, VIR_DOMAIN_AFFECT_LIVE), 0);
	for (int i = 0; i < count; i++)
		if (!strcmp(parameters[i].field, VIR_DOMAIN_NUMA_NODESET))
			snprintf(text, sizeof(text), "%s", parameters[i].value.s);
	virTypedParamsClear(parameters, count);
	virDomainFree(domain);
	virConnectClose(connection);
	return text;
}

START_TEST(nodeset_of_a_domain_is_set_or_the_reason_is_given)
{
	struct gmig_node_set nodes = {{0}};
	struct virt_domain *list;

	start("test:///default", 10000);
	wait_for(&changes);
	ck_assert_int_eq(virt_list(virt, &list, &err), 1);
	gmig_node_set_add(&nodes, 1);
	ck_assert_int_eq(virt_set_nodeset(virt, list[0].uuid, &nodes, &err), 0);
	ck_assert_str_eq(nodeset_of(list[0].uuid), "1");
	virt_list_free(list, 1);
	ck_assert_int_eq(
	    virt_set_nodeset(virt, "6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11", &nodes, &err), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "set the nodeset"));
}
END_TEST

START_TEST(call_that_hangs_is_given_up_and_others_go_on)
{
	struct virt_domain *list;
	int count;

	start("test:///default", 500);
	wait_for(&changes);
	atomic_store(&hang, true);
	ck_assert_int_eq(virt_list(virt, &list, &err), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err.text, "no answer within "));
	wait_for(&hanging);
	atomic_store(&hang, false);
	do /* on a busy machine a call may miss its time, too */
		count = virt_list(virt, &list, &err);
	while (count == -ETIMEDOUT);
	ck_assert_int_eq(count, 1);
	virt_list_free(list, count);
	sem_post(&release);
}
END_TEST

static const char nobody[] = "6f1c5f5e-0f1b-4d1a-9d5c-2f6f3a0b7c11";

START_TEST(round_in_which_a_call_hangs_makes_no_other)
{
	struct virt_domain *list;
	char *xml;
	int count;

	start("test:///default", 500);
	wait_for(&changes);
	virt_begin_round(600000, NULL);
	count = virt_list(virt, &list, &err);
	ck_assert_int_eq(count, 1);
	virt_list_free(list, count);
	atomic_store(&hang, true);
	ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -ETIMEDOUT);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "asked again later"));
	wait_for(&hanging);
	ck_assert_int_eq(sem_trywait(&hanging), -1); /* libvirt was asked once */
	atomic_store(&hang, false);
	do { /* on a busy machine a call may miss its time, too */
		virt_begin_round(600000, NULL);
		count = virt_domain_xml(virt, nobody, &xml, &err);
	} while (count == -ETIMEDOUT);
	ck_assert_int_eq(count, -ESRCH);
	sem_post(&release);
}
END_TEST

START_TEST(round_has_one_limit_for_all_its_calls)
{
	char *xml;

	start("test:///default", 600000);
	wait_for(&changes);
	virt_begin_round(200, NULL);
	atomic_store(&hang, true);
	ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -ETIMEDOUT);
	wait_for(&hanging);
	/* Answered, but no time is left. */
	atomic_store(&hang, false);
	sem_post(&release);
	virt_begin_round(1, NULL);
	usleep(2000);
	ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -EBUSY);
	virt_begin_round(0, NULL);
	ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -ESRCH);
}
END_TEST

static bool over(void)
{
	return true;
}

START_TEST(round_that_is_over_makes_no_call)
{
	char *xml;

	start("test:///default", 600000);
	wait_for(&changes);
	atomic_store(&hang, true);
	virt_begin_round(600000, over);
	ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -EBUSY);
	ck_assert_ptr_nonnull(
	    strstr(err.text, "gmigd is to end")); /* and not that libvirt is slow */
	ck_assert_int_eq(sem_trywait(&hanging), -1);
	virt_begin_round(0, NULL);
	atomic_store(&hang, false);
}
END_TEST

START_TEST(calls_at_the_end_take_as_long_as_one_together)
{
	char *xml;

	start("test:///default", 300);
	wait_for(&changes);
	virt_end_calls(virt);
	atomic_store(&hang, true);
	ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -ETIMEDOUT);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -EBUSY);
	virt_destroy(virt); /* and no time to disconnect */
	virt = NULL;
	wait_for(&hanging);
	ck_assert_int_eq(sem_trywait(&hanging), -1);
	sem_post(&release);
}
END_TEST

static void *ask_for_long(void *opaque)
{
	static int result;
	char *xml;

	(void)opaque;
	result = virt_domain_xml(virt, nobody, &xml, NULL);
	return &result;
}

/* Also those that wait: of a libvirt that did not answer the last one, nothing is expected. */
START_TEST(end_does_not_wait_for_a_libvirt_that_is_silent)
{
	pthread_t waiting;
	void *result;
	char *xml;

	start("test:///default", 600000);
	wait_for(&changes);
	atomic_store(&hang, true);
	pthread_create(&waiting, NULL, ask_for_long, NULL);
	wait_for(&hanging);
	virt_begin_round(200, NULL);
	ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -ETIMEDOUT);
	virt_begin_round(0, NULL);
	virt_end_calls(virt);
	pthread_join(waiting, &result);
	ck_assert_int_eq(*(int *)result, -ETIMEDOUT);
	ck_assert_int_eq(virt_domain_xml(virt, nobody, &xml, &err), -EBUSY);
	sem_post(&release);
	sem_post(&release);
}
END_TEST

START_TEST(too_many_calls_that_hang_refuse_new_ones_at_once)
{
	struct virt_domain *list;

	start("test:///default", 300); /* connecting must fit, too */
	wait_for(&changes);
	atomic_store(&hang, true);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(virt_list(virt, &list, &err), -ETIMEDOUT);
	ck_assert_int_eq(virt_list(virt, &list, &err), -EBUSY);
	for (int i = 0; i < 8; i++)
		wait_for(&hanging);
	/* Ends without them. */
	virt_destroy(virt);
	virt = NULL;
	for (int i = 0; i < 9; i++)
		sem_post(&release);
}
END_TEST

START_TEST(libvirt_that_is_not_there_is_said_once_and_waited_for)
{
	struct virt_domain *list;

	start("qemu+unix:///system?socket=/nonexistent/sock", 2000);
	ck_assert_int_eq(virt_list(virt, &list, &err), -ENOTCONN);
	ck_assert(!virt_is_connected(virt));
	/* The warning comes after the first try, and before the second. */
	while (atomic_load(&connects) < 3)
		sched_yield();
	ck_assert_int_eq(atomic_load(&warnings), 1);
}
END_TEST

START_TEST(libvirt_that_never_answers_does_not_hold_us_up)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char uri[160], directory[] = "/tmp/gmig-test-virt-XXXXXX";
	struct virt_domain *list;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", directory);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, 8), 0);
	snprintf(uri, sizeof(uri), "qemu+unix:///system?socket=%s", address.sun_path);
	start(uri, 100);
	while (!atomic_load(&warnings))
		sched_yield();
	ck_assert_int_eq(virt_list(virt, &list, &err), -ENOTCONN);
	virt_destroy(virt);
	virt = NULL;
	close(listener);
	unlink(address.sun_path);
	rmdir(directory);
}
END_TEST

START_TEST(uid_of_a_label_is_read)
{
	uid_t uid = 7;

	ck_assert(virt_parse_uid("+64055:+64055", &uid));
	ck_assert_uint_eq(uid, 64055);
	ck_assert(virt_parse_uid("root:root", &uid));
	ck_assert_uint_eq(uid, 0);
	ck_assert(!virt_parse_uid("", &uid));
	ck_assert(!virt_parse_uid("+:+0", &uid));
	ck_assert(!virt_parse_uid("nobody-of-that-name", &uid));
	ck_assert(!virt_parse_uid("+99999999999999999999:+0", &uid));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    list_has_the_running_domains,
	    connection_that_is_closed_is_gone,
	    events_that_are_granted_too_late_are_given_back,
	    change_of_a_domain_is_told,
	    metadata_that_is_set_is_told_and_read,
	    xml_that_libvirt_does_not_give_is_given_up,
	    nodeset_of_a_domain_is_set_or_the_reason_is_given,
	    call_that_hangs_is_given_up_and_others_go_on,
	    round_in_which_a_call_hangs_makes_no_other,
	    round_has_one_limit_for_all_its_calls,
	    round_that_is_over_makes_no_call,
	    calls_at_the_end_take_as_long_as_one_together,
	    end_does_not_wait_for_a_libvirt_that_is_silent,
	    too_many_calls_that_hang_refuse_new_ones_at_once,
	    libvirt_that_is_not_there_is_said_once_and_waited_for,
	    libvirt_that_never_answers_does_not_hold_us_up,
	    uid_of_a_label_is_read,
	};

	if (UNDER_TSAN) {
		puts("skipped: ThreadSanitizer does not see the locks of glib, on which libvirt's "
		     "event loop runs");
		return 77;
	}
	return run_tests("virt", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
