/* Stop, cont and reset of a guest that runs on KVM, with I/O in flight. */
#include "../../vmm/run.h"
#include "../support/suite.h"
#include "native.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Each guest says 'B' at boot, does its access, says 'O', and starts the access again. */
#define BOOT "\x66\xba\x10\x05\xb0\x42\xee" /* mov $0x510, %dx; mov $'B', %al; out %al, %dx */
#define OLD  "\x66\xba\x10\x05\xb0\x4f\xee" /* the same with 'O' */

static const struct access {
	const char *name;
	const char *code;
	size_t bytes;
} guests[] = {
#define CODE(code) code, sizeof(code) - 1
    /* in %dx, %al; jmp to itself */
    {"port read", CODE(BOOT "\xec" OLD "\xeb\xf6")},
    /* mov $0xd0000000, %esi; mov (%rsi), %eax */
    {"memory read", CODE(BOOT "\xbe\x00\x00\x00\xd0\x8b\x06" OLD "\xeb\xf0")},
    /* mov $0xd0000ffc, %esi; mov (%rsi), %rax: it crosses a page, so it takes two exits */
    {"memory read over two pages", CODE(BOOT "\xbe\xfc\x0f\x00\xd0\x48\x8b\x06" OLD "\xeb\xef")},
    /* mov $0xd0000000, %esi; mov %eax, (%rsi) */
    {"memory write", CODE(BOOT "\xbe\x00\x00\x00\xd0\x89\x06" OLD "\xeb\xf0")},
#undef CODE
};

START_TEST(reset_with_io_in_flight_starts_at_the_entry)
{
	const struct access *guest = &guests[_i];
	struct gmig_error err = {0};
	struct vmm *vmm;

	native_hold(NATIVE_HOLD_UNTIL_PARK);
	vmm = native_start((const uint8_t *)guest->code, guest->bytes, NULL);
	native_await_held();
	ck_assert_msg(!vmm_reset(vmm, &err), "%s", err.text);
	ck_assert_msg(!strncmp(native_record(2), "BB", 2), "%s: %s", guest->name, native_record(2));
	native_end(vmm);
}
END_TEST

START_TEST(stop_with_io_in_flight_loses_nothing)
{
	const struct access *guest = &guests[_i];
	struct vmm *vmm;

	native_hold(NATIVE_HOLD_UNTIL_PARK);
	vmm = native_start((const uint8_t *)guest->code, guest->bytes, NULL);
	native_await_held();
	ck_assert_int_eq(vmm_stop(vmm, NULL), 0);
	ck_assert_str_eq(native_record(1), "B");
	ck_assert(!vmm->vcpu[0].incomplete);
	ck_assert_int_eq(vmm_cont(vmm, NULL), 0);
	ck_assert_str_eq(native_record(2), "BO");
	native_end(vmm);
}
END_TEST

START_TEST(reset_of_a_stopped_guest_leaves_it_stopped)
{
	const struct access *guest = &guests[1];
	struct vmm *vmm;

	native_hold(NATIVE_HOLD_UNTIL_PARK);
	vmm = native_start((const uint8_t *)guest->code, guest->bytes, NULL);
	native_await_held();
	ck_assert_int_eq(vmm_stop(vmm, NULL), 0);
	ck_assert_int_eq(vmm_stop(vmm, NULL), -EALREADY);
	ck_assert_int_eq(vmm_reset(vmm, NULL), 0);
	ck_assert_int_eq(vmm_state(vmm), VMM_STATE_STOPPED);
	ck_assert_str_eq(native_record(1), "B");
	ck_assert_int_eq(vmm_cont(vmm, NULL), 0);
	ck_assert_str_eq(native_record(2), "BB");
	native_end(vmm);
}
END_TEST

/* Switches kvmclock on with its page at 32 MiB, says 'C', then 'P' whenever KVM says that the guest
 * was stopped (flags, byte 29, bit 1: PVCLOCK_GUEST_STOPPED). */
static const char clock_guest[] =
    BOOT "\xb9\x01\x4d\x56\x4b"			 /* mov $MSR_KVM_SYSTEM_TIME_NEW, %ecx */
	 "\xb8\x01\x00\x00\x02\x31\xd2\x0f\x30"	 /* mov $0x2000001, %eax; xor %edx, %edx; wrmsr */
	 "\x66\xba\x10\x05\xb0\x43\xee"		 /* 'C' */
	 "\xbe\x1d\x00\x00\x02"			 /* mov $0x200001d, %esi */
	 "\xf6\x06\x02\x74\xfb"			 /* 1: testb $2, (%rsi); jz 1b */
	 "\x80\x26\xfd"				 /* andb $~2, (%rsi) */
	 "\x66\xba\x10\x05\xb0\x50\xee\xeb\xef"; /* 'P'; jmp 1b */

/* Linux's watchdogs ask for this flag before they report a soft lockup or a stalled RCU. */
START_TEST(guest_with_kvmclock_hears_that_it_was_stopped)
{
	struct vmm *vmm;

	native_hold(NATIVE_HOLD_NOT);
	vmm = native_start((const uint8_t *)clock_guest, sizeof(clock_guest) - 1, NULL);
	if (ioctl(vmm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_KVMCLOCK_CTRL) <= 0) {
		puts("skip guest_with_kvmclock_hears_that_it_was_stopped - this KVM cannot say it");
		native_end(vmm);
		return;
	}
	ck_assert_str_eq(native_record(2), "BC");
	for (size_t i = 1; i <= 3; i++) {
		ck_assert_int_eq(vmm_stop(vmm, NULL), 0);
		ck_assert_uint_eq(strlen(native_record(0)), 1 + i);
		ck_assert_int_eq(vmm_cont(vmm, NULL), 0);
		ck_assert_uint_eq(strlen(native_record(2 + i)), 2 + i);
	}
	ck_assert_str_eq(native_record(5), "BCPPP");
	native_end(vmm);
}
END_TEST

struct run {
	struct vmm *vmm;
	enum vmm_end why;
};

static void *run(void *opaque)
{
	struct run *run = opaque;
	char text[GMIG_ERROR_TEXT];

	run->why = run_until_end(run->vmm, -1, text, sizeof(text));
	return NULL;
}

/* A guest that asks for a reset while its vCPU cannot park, and main that waits for its end. */
static void start_stuck_reset(struct run *state, pthread_t *thread)
{
	const struct access *guest = &guests[0];

	native_hold(NATIVE_HOLD_UNTIL_FREE);
	state->vmm = native_start((const uint8_t *)guest->code, guest->bytes, NULL);
	native_await_held();
	ck_assert_int_eq(pthread_create(thread, NULL, run, state), 0);
	vmm_end(state->vmm, VMM_END_REBOOT, "test");
	usleep(VMM_RESET_MS * 1500); /* one try has failed */
}

START_TEST(reset_waits_for_a_slow_vcpu)
{
	struct run state;
	pthread_t thread;

	start_stuck_reset(&state, &thread);
	native_free();
	ck_assert(!strncmp(native_record(3), "BBO", 3));
	vmm_end(state.vmm, VMM_END_QUIT, "test");
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(state.why, VMM_END_QUIT);
	native_end(state.vmm);
}
END_TEST

START_TEST(quit_during_a_slow_reset_is_heard)
{
	struct run state;
	pthread_t thread;

	start_stuck_reset(&state, &thread);
	vmm_end(state.vmm, VMM_END_QUIT, "test");
	ck_assert_int_eq(pthread_join(thread, NULL), 0); /* the vCPU is still stuck */
	ck_assert_int_eq(state.why, VMM_END_QUIT);
	native_free();
	native_end(state.vmm);
}
END_TEST

START_TEST(a_thousand_resets_all_start_at_the_entry)
{
	const struct access *guest = &guests[2];
	struct gmig_error err = {0};
	struct vmm *vmm;

	native_hold(NATIVE_HOLD_UNTIL_PARK);
	vmm = native_start((const uint8_t *)guest->code, guest->bytes, NULL);
	for (size_t i = 1; i <= 1000; i++) {
		native_await_held();
		ck_assert_uint_eq(strlen(native_record(i)), i);
		ck_assert_msg(!vmm_reset(vmm, &err), "%s", err.text);
	}
	ck_assert_ptr_null(strchr(native_record(1001), 'O'));
	native_end(vmm);
}
END_TEST

int main(void)
{
	const int count = sizeof(guests) / sizeof(guests[0]);
	Suite *suite = suite_create("states");
	TCase *tcase = tcase_create("states");

	if (native_missing())
		return 77;
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, reset_with_io_in_flight_starts_at_the_entry, 0, count);
	tcase_add_loop_test(tcase, stop_with_io_in_flight_loses_nothing, 0, count);
	tcase_add_test(tcase, reset_of_a_stopped_guest_leaves_it_stopped);
	tcase_add_test(tcase, guest_with_kvmclock_hears_that_it_was_stopped);
	tcase_add_test(tcase, reset_waits_for_a_slow_vcpu);
	tcase_add_test(tcase, quit_during_a_slow_reset_is_heard);
	tcase_add_test(tcase, a_thousand_resets_all_start_at_the_entry);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
