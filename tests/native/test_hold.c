/* Holding vCPUs for moments, of a guest that runs on KVM. */
#include "native.h"

#include "../../vmm/end.h"
#include "../../vmm/hold.h"

#include "../support/suite.h"

#include <unistd.h>

/* mov $0x510, %dx; 1: out %al, %dx; jmp 1b: every round is an exit */
static const uint8_t writes[] = {0x66, 0xba, 0x10, 0x05, 0xee, 0xeb, 0xfd};
static const uint8_t spin[] = {0xeb, 0xfe}; /* leaves KVM only when it is kicked */
/* mov $0x510, %dx; in %dx, %al; jmp to itself */
static const uint8_t reads[] = {0x66, 0xba, 0x10, 0x05, 0xec, 0xeb, 0xfe};

static uint64_t exits(struct vmm *vmm)
{
	return atomic_load(&vmm->vcpu[0].exits);
}

static bool is_held(struct vmm *vmm)
{
	bool held;

	pthread_mutex_lock(&vmm->gate.lock);
	held = vmm->vcpu[0].held;
	pthread_mutex_unlock(&vmm->gate.lock);
	return held;
}

static void await_progress(struct vmm *vmm)
{
	uint64_t before = exits(vmm);

	for (unsigned int tries = 0; exits(vmm) < before + 10; tries++) {
		ck_assert_uint_lt(tries, 10000);
		usleep(1000);
	}
}

/* A busy host may be late with the vCPU, for which a hold does not wait. */
static void hold(struct vmm *vmm)
{
	vmm_vcpus_hold(vmm);
	for (unsigned int tries = 0; !is_held(vmm); tries++) {
		ck_assert_uint_lt(tries, 10000);
		usleep(1000);
	}
}

static struct vmm *start(const uint8_t *code, size_t bytes, enum native_hold access)
{
	native_hold(access);
	return native_start(code, bytes, NULL);
}

START_TEST(held_guest_stands_still_until_it_is_released)
{
	struct vmm *vmm = start(writes, sizeof(writes), NATIVE_HOLD_NOT);

	for (int i = 0; i < 20; i++) {
		uint64_t before;

		await_progress(vmm);
		hold(vmm);
		before = exits(vmm);
		usleep(2000);
		ck_assert_uint_eq(exits(vmm), before);
		vmm_vcpus_release(vmm);
	}
	await_progress(vmm);
	native_end(vmm);
}
END_TEST

START_TEST(guest_without_exits_comes_too)
{
	struct vmm *vmm = start(spin, sizeof(spin), NATIVE_HOLD_NOT);

	for (int i = 0; i < 20; i++) {
		hold(vmm);
		vmm_vcpus_release(vmm);
	}
	native_end(vmm);
}
END_TEST

START_TEST(stop_during_a_hold_stops_and_cont_after_it_goes_on)
{
	struct vmm *vmm = start(writes, sizeof(writes), NATIVE_HOLD_NOT);
	uint64_t before;

	hold(vmm);
	ck_assert_int_eq(vmm_stop(vmm, NULL), 0);
	vmm_vcpus_release(vmm);
	before = exits(vmm);
	usleep(2000);
	ck_assert_uint_eq(exits(vmm), before);
	ck_assert_int_eq(vmm_state(vmm), VMM_STATE_STOPPED);
	/* Of a stopped guest a hold is nothing, until it goes on. */
	vmm_vcpus_hold(vmm);
	ck_assert_int_eq(vmm_cont(vmm, NULL), 0);
	usleep(2000);
	ck_assert_uint_eq(exits(vmm), before);
	vmm_vcpus_release(vmm);
	await_progress(vmm);
	native_end(vmm);
}
END_TEST

START_TEST(guest_ends_while_it_is_held)
{
	struct vmm *vmm = start(writes, sizeof(writes), NATIVE_HOLD_NOT);

	hold(vmm);
	native_end(vmm);
}
END_TEST

START_TEST(vcpu_that_is_busy_in_the_host_is_not_waited_for)
{
	struct vmm *vmm = start(reads, sizeof(reads), NATIVE_HOLD_UNTIL_FREE);

	native_await_held();
	vmm_vcpus_hold(vmm);
	ck_assert(!is_held(vmm));
	vmm_vcpus_release(vmm);
	native_free();
	native_end(vmm);
}
END_TEST

static void *hold_too(void *vmm)
{
	vmm_vcpus_hold(vmm);
	return NULL;
}

/* Of the hold that lasts, when it began; of the last one that ended, when the next one may. */
static uint64_t gate_ns(struct vmm *vmm, const uint64_t *field)
{
	uint64_t ns;

	pthread_mutex_lock(&vmm->gate.lock);
	ns = *field;
	pthread_mutex_unlock(&vmm->gate.lock);
	return ns;
}

/* A busy host may not run the vCPU in its turn: it has had one all the same. */
START_TEST(guest_runs_between_two_holds)
{
	struct vmm *vmm = start(writes, sizeof(writes), NATIVE_HOLD_NOT);
	unsigned int ran = 0;
	pthread_t thread;

	for (int i = 0; i < 20 || !ran; i++) {
		uint64_t before, began_ns;

		hold(vmm);
		began_ns = gate_ns(vmm, &vmm->gate.hold_began_ns);
		before = exits(vmm);
		ck_assert_int_eq(pthread_create(&thread, NULL, hold_too, vmm), 0);
		usleep(10000);
		ck_assert_uint_eq(exits(vmm), before);
		vmm_vcpus_release(vmm);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		ran += exits(vmm) > before;
		ck_assert_uint_ge(gate_ns(vmm, &vmm->gate.hold_began_ns),
				  gate_ns(vmm, &vmm->gate.hold_next_ns));
		ck_assert_uint_ge(gate_ns(vmm, &vmm->gate.hold_next_ns) - began_ns, 20000000);
		vmm_vcpus_release(vmm);
	}
	native_end(vmm);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hold");
	TCase *tcase = tcase_create("hold");

	if (native_missing())
		return 77;
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, held_guest_stands_still_until_it_is_released);
	tcase_add_test(tcase, guest_without_exits_comes_too);
	tcase_add_test(tcase, stop_during_a_hold_stops_and_cont_after_it_goes_on);
	tcase_add_test(tcase, guest_ends_while_it_is_held);
	tcase_add_test(tcase, vcpu_that_is_busy_in_the_host_is_not_waited_for);
	tcase_add_test(tcase, guest_runs_between_two_holds);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
