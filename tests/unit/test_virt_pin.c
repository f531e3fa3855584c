/* Pins of a domain's threads, with libvirt's test driver within this process. */
#include "../../libvirt-hooks/virt_pin.h"
#include "suite.h"

#include <errno.h>
#include <libvirt/libvirt.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

static struct virt *virt;
static struct gmig_error err;
static sem_t changes, hanging, release;
static atomic_bool hang;
static char uuid[QEMU_UUID_TEXT];
static struct pin_set *set;

static void changed(void *opaque)
{
	(void)opaque;
	sem_post(&changes);
}

static void before_call(void *opaque, const char *what)
{
	(void)opaque;
	if (!atomic_load(&hang) || strncmp(what, "pin ", 4) != 0)
		return;
	sem_post(&hanging);
	sem_wait(&release);
}

static void start(int call_ms)
{
	const struct virt_options options = {.uri = "test:///default",
					     .call_ms = call_ms,
					     .changed = changed,
					     .before_call = before_call};
	struct virt_domain *list;
	struct timespec until;
	int count;

	ck_assert_msg(!virt_create(&options, &virt, &err), "%s", err.text);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 100;
	ck_assert_int_eq(sem_timedwait(&changes, &until), 0);
	do
		count = virt_list(virt, &list, &err);
	while (count == -ETIMEDOUT);
	ck_assert_int_eq(count, 1);
	memcpy(uuid, list[0].uuid, sizeof(uuid));
	virt_list_free(list, 1);
}

static void setup(void)
{
	sem_init(&changes, 0, 0);
	sem_init(&hanging, 0, 0);
	sem_init(&release, 0, 0);
	set = NULL;
	start(20000);
}

static void teardown(void)
{
	pin_set_free(set);
	virt_destroy(virt);
}

/* Where a call has little time, a busy machine may use it up. */
static void ask(void)
{
	int ret;

	pin_set_free(set);
	set = NULL;
	do
		ret = virt_get_pins(virt, uuid, &set, &err);
	while (ret == -ETIMEDOUT);
	ck_assert_msg(!ret, "%s", err.text);
}

static const char *cpus_of(enum pin_kind kind, unsigned int id)
{
	static char text[PIN_CPU_TEXT];
	const struct pin *pin = pin_set_find(set, kind, id);

	ck_assert_ptr_nonnull(pin);
	return pin_cpus_print(&pin->before, text);
}

static int pin(enum pin_kind kind, unsigned int id, uint64_t cpus)
{
	const struct pin one = {.kind = kind, .id = id};
	const struct pin_cpus to = {{cpus}};

	return virt_set_pin(virt, uuid, set->domain, &one, &to, &err);
}

START_TEST(threads_without_pins_have_all_cpus)
{
	ask();
	ck_assert_int_eq(set->domain, 1);
	ck_assert_uint_eq(set->count, 3);
	ck_assert_str_eq(cpus_of(PIN_VCPU, 0), "0-7");
	ck_assert_str_eq(cpus_of(PIN_VCPU, 1), "0-7");
	ck_assert_str_eq(cpus_of(PIN_EMULATOR, 0), "0-7");
}
END_TEST

START_TEST(pins_are_what_libvirt_says_afterwards)
{
	ask();
	ck_assert_msg(!pin(PIN_VCPU, 1, 0x18), "%s", err.text);
	ck_assert_msg(!pin(PIN_EMULATOR, 0, 0x81), "%s", err.text);
	ask();
	ck_assert_str_eq(cpus_of(PIN_VCPU, 0), "0-7");
	ck_assert_str_eq(cpus_of(PIN_VCPU, 1), "3-4");
	ck_assert_str_eq(cpus_of(PIN_EMULATOR, 0), "0,7");
}
END_TEST

START_TEST(domain_that_was_started_anew_is_another_one)
{
	virConnectPtr connection = virConnectOpen("test:///default");
	virDomainPtr domain = virDomainLookupByName(connection, "test");

	ask();
	ck_assert_int_eq(virDomainDestroy(domain), 0);
	ck_assert_int_eq(pin(PIN_VCPU, 0, 1), -ESRCH);
	ck_assert_int_eq(virt_get_pins(virt, uuid, &set, &err), -ESRCH);
	ck_assert_int_eq(virDomainCreate(domain), 0);
	ck_assert_int_eq(pin(PIN_VCPU, 0, 1), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.text, "the domain has ended"));
	ask();
	ck_assert_str_eq(cpus_of(PIN_VCPU, 0), "0-7");
	virDomainFree(domain);
	virConnectClose(connection);
}
END_TEST

START_TEST(thread_or_cpus_that_are_not_there_are_refused)
{
	ask();
	ck_assert_int_lt(pin(PIN_VCPU, 99, 1), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "pin a vCPU"));
	ck_assert_int_eq(pin(PIN_VCPU, 0, 0), -EINVAL);
	ck_assert_int_lt(pin(PIN_IOTHREAD, 7, 1), 0);
	memset(uuid, 'a', 8);
	ck_assert_int_eq(pin(PIN_VCPU, 0, 1), -ESRCH);
	ck_assert_int_eq(virt_get_pins(virt, uuid, &(struct pin_set *){NULL}, &err), -ESRCH);
}
END_TEST

START_TEST(pinning_that_hangs_is_given_up)
{
	virt_destroy(virt);
	start(1000);
	ask();
	atomic_store(&hang, true);
	ck_assert_int_eq(pin(PIN_VCPU, 0, 1), -ETIMEDOUT);
	ck_assert_int_eq(sem_wait(&hanging), 0);
	atomic_store(&hang, false);
	ask();
	ck_assert_str_eq(cpus_of(PIN_VCPU, 0), "0-7");
	sem_post(&release);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
	    threads_without_pins_have_all_cpus,
	    pins_are_what_libvirt_says_afterwards,
	    domain_that_was_started_anew_is_another_one,
	    thread_or_cpus_that_are_not_there_are_refused,
	    pinning_that_hangs_is_given_up,
	};

	if (UNDER_TSAN) {
		puts("skipped: ThreadSanitizer does not see the locks of glib, on which libvirt's "
		     "event loop runs");
		return 77;
	}
	return run_tests("virt_pin", setup, teardown, tests, sizeof(tests) / sizeof(tests[0]));
}
