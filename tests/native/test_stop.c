/* A device that has the guest stopped, as the machine and its clients see it. */
#include "native.h"

#include "../../vmm/end.h"
#include "../../vmm/run.h"

#include "../support/suite.h"

#include <string.h>
#include <unistd.h>

static const uint8_t spin[] = {0xeb, 0xfe};

static void *run(void *opaque)
{
	char text[GMIG_ERROR_TEXT];

	run_until_end(opaque, -1, text, sizeof(text));
	return NULL;
}

static void await_state(struct vmm *vmm, enum vmm_state state)
{
	for (unsigned int tries = 0; vmm_state(vmm) != state; tries++) {
		ck_assert_uint_lt(tries, 10000);
		usleep(1000);
	}
}

START_TEST(guest_that_a_device_stops_says_why_until_it_goes_on)
{
	char reason[GMIG_ERROR_TEXT];
	pthread_t thread;
	struct vmm *vmm;

	native_hold(NATIVE_HOLD_NOT);
	vmm = native_start(spin, sizeof(spin), NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, run, vmm), 0);
	for (int i = 0; i < 2; i++) {
		vmm_stop_because(vmm, "disk a: full");
		await_state(vmm, VMM_STATE_STOPPED);
		vmm_stop_reason(vmm, reason);
		ck_assert_str_eq(reason, "disk a: full");
		ck_assert_int_eq(vmm_cont(vmm, NULL), 0);
		vmm_stop_reason(vmm, reason);
		ck_assert_str_eq(reason, "");
	}
	/* A guest that is stopped already gets the reason, too. */
	ck_assert_int_eq(vmm_stop(vmm, NULL), 0);
	vmm_stop_reason(vmm, reason);
	ck_assert_str_eq(reason, "");
	vmm_stop_because(vmm, "disk b: full");
	for (unsigned int tries = 0; !*reason; tries++) {
		ck_assert_uint_lt(tries, 10000);
		usleep(1000);
		vmm_stop_reason(vmm, reason);
	}
	ck_assert_str_eq(reason, "disk b: full");
	vmm_end(vmm, VMM_END_QUIT, "test");
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	native_end(vmm);
}
END_TEST

START_TEST(reset_forgets_why_the_old_guest_could_not_go_on)
{
	struct gmig_error err = {0};
	struct vmm *vmm;

	native_hold(NATIVE_HOLD_NOT);
	vmm = native_start(spin, sizeof(spin), NULL);
	vmm_stop_because(vmm, "disk a: full"); /* main is busy with the reset */
	ck_assert_msg(!vmm_reset(vmm, &err), "%s", err.text);
	ck_assert(!vmm_stop_asked(vmm, NULL));
	ck_assert_int_eq(vmm_state(vmm), VMM_STATE_RUNNING);
	native_end(vmm);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stop");
	TCase *tcase = tcase_create("stop");

	if (native_missing())
		return 77;
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, guest_that_a_device_stops_says_why_until_it_goes_on);
	tcase_add_test(tcase, reset_forgets_why_the_old_guest_could_not_go_on);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
