/* The power button, and what SIGTERM makes of it: guests that listen to it, that ignore it, that know nothing of it. */
#include "native.h"

#include "../../vmm/deadline.h"
#include "../../vmm/device.h"
#include "../../vmm/end.h"
#include "../../vmm/run.h"

#include "../support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const uint8_t spin[] = {0xeb, 0xfe};

/*
 * Unmasks the IOAPIC's pin 5 as vector 0x31, says 'r', waits until the local APIC has it as a request, says 'p', and writes
 * S5 into the sleep register unless that instruction is cut off.
 */
static const uint8_t listener[] = {
    0xb8, 0xf0, 0x00, 0xe0, 0xfe,	      /* mov eax, 0xfee000f0 */
    0xc7, 0x00, 0xff, 0x01, 0x00, 0x00,	      /* mov dword [rax], 0x1ff: APIC on */
    0xb8, 0x00, 0x00, 0xc0, 0xfe,	      /* mov eax, 0xfec00000 */
    0xc7, 0x00, 0x1b, 0x00, 0x00, 0x00,	      /* mov dword [rax], 0x1b: pin 5, high half */
    0xc7, 0x40, 0x10, 0x00, 0x00, 0x00, 0x00, /* mov dword [rax+0x10], 0: to APIC 0 */
    0xc7, 0x00, 0x1a, 0x00, 0x00, 0x00,	      /* mov dword [rax], 0x1a: low half */
    0xc7, 0x40, 0x10, 0x31, 0x00, 0x00, 0x00, /* mov dword [rax+0x10], 0x31: unmasked, edge */
    0xba, 0x10, 0x05, 0x00, 0x00,	      /* mov edx, NATIVE_PORT */
    0xb0, 0x72,				      /* mov al, 'r' */
    0xee,				      /* out dx, al */
    0xb8, 0x10, 0x02, 0xe0, 0xfe,	      /* mov eax, 0xfee00210: requests 0x20..0x3f */
    0x8b, 0x08,				      /* mov ecx, [rax] */
    0xf7, 0xc1, 0x00, 0x00, 0x02, 0x00,	      /* test ecx, 1 << (0x31 - 0x20) */
    0x74, 0xf1,				      /* jz: read again */
    0xb0, 0x70,				      /* mov al, 'p' */
    0xee,				      /* out dx, al */
#define IGNORE_BYTES 7
    0x66, 0xba, 0x00, 0x06, /* mov dx, VMM_PORT_SLEEP */
    0xb0, 0x34,		    /* mov al, S5 and enable */
    0xee,		    /* out dx, al */
    0xeb, 0xfe,		    /* jmp: here */
};

static struct vmm *vmm;
static int signals[2];
static pthread_t main_thread;
static enum vmm_end why;
static char text[GMIG_ERROR_TEXT];

static void *run(void *opaque)
{
	(void)opaque;
	why = run_until_end(vmm, signals[0], text, sizeof(text));
	return NULL;
}

/* What a signalfd gives, from a pipe; several at once. */
static void send_times(uint32_t number, size_t count)
{
	const struct signalfd_siginfo info[2] = {{.ssi_signo = number}, {.ssi_signo = number}};
	ssize_t bytes = (ssize_t)(count * sizeof(info[0]));

	ck_assert_int_eq(write(signals[1], info, (size_t)bytes), bytes);
}

static void send(uint32_t number)
{
	send_times(number, 1);
}

static void begin(const uint8_t *code, size_t bytes, const char *grace)
{
	const char *const options[] = {"--grace", grace, NULL};

	native_hold(NATIVE_HOLD_NOT);
	vmm = native_start(code, bytes, options);
	ck_assert_int_eq(pipe2(signals, O_NONBLOCK | O_CLOEXEC), 0);
	ck_assert_int_eq(pthread_create(&main_thread, NULL, run, NULL), 0);
}

static void begin_listening(bool obeys, const char *grace)
{
	uint8_t code[sizeof(listener)];

	memcpy(code, listener, sizeof(code));
	if (!obeys)
		memcpy(code + sizeof(code) - IGNORE_BYTES - sizeof(spin), spin, sizeof(spin));
	begin(code, sizeof(code), grace);
	ck_assert_str_eq(native_record(1), "r");
}

static void finish(enum vmm_end wanted, const char *wanted_text)
{
	ck_assert_int_eq(pthread_join(main_thread, NULL), 0);
	ck_assert_msg(why == wanted && !strcmp(text, wanted_text), "%s: %s", vmm_end_name(why),
		      text);
	native_end(vmm);
	close(signals[0]);
	close(signals[1]);
}

START_TEST(guest_that_listens_powers_down_at_its_button)
{
	struct gmig_error err = {0};

	begin_listening(true, "30");
	ck_assert_msg(!vmm_press_power_button(vmm, &err), "%s", err.text);
	finish(VMM_END_POWER_OFF, "ACPI power-off");
}
END_TEST

START_TEST(button_of_a_guest_that_does_not_listen_is_refused)
{
	struct gmig_error err = {0};

	begin(spin, sizeof(spin), "30");
	ck_assert_int_eq(vmm_press_power_button(vmm, &err), -EOPNOTSUPP);
	ck_assert_str_eq(err.text, "powerdown: the guest does not listen to its power button");
	vmm_end(vmm, VMM_END_QUIT, "test");
	finish(VMM_END_QUIT, "test");
}
END_TEST

START_TEST(sigterm_has_a_guest_power_down_by_itself)
{
	begin_listening(true, "30");
	send(SIGTERM);
	finish(VMM_END_POWER_OFF, "ACPI power-off");
}
END_TEST

START_TEST(sigterm_ends_a_guest_that_ignores_it_after_the_grace)
{
	const struct timespec until = deadline_in(20000);
	struct timespec now;

	begin_listening(false, "1");
	send(SIGTERM);
	ck_assert_str_eq(native_record(2), "rp");
	finish(VMM_END_SIGNAL, "signal TERM; not powered down in 1 s");
	clock_gettime(CLOCK_MONOTONIC, &now);
	ck_assert_int_lt(now.tv_sec, until.tv_sec);
}
END_TEST

/* timeout(1) signals a process and its group: a second one at once is the same wish. */
START_TEST(second_signal_pulls_the_plug_unless_it_is_the_same_wish)
{
	begin_listening(false, "3600");
	send_times(SIGTERM, 2);
	ck_assert_str_eq(native_record(2), "rp");
	ck_assert_int_eq(vmm_state(vmm), VMM_STATE_RUNNING);
	send(_i ? SIGHUP : SIGINT);
	finish(VMM_END_SIGNAL, _i ? "signal HUP" : "signal INT");
}
END_TEST

START_TEST(sigterm_twice_a_second_apart_pulls_the_plug)
{
	begin_listening(false, "3600");
	send(SIGTERM);
	ck_assert_str_eq(native_record(2), "rp");
	usleep(RUN_SAME_SIGNAL_MS * 1000 + 100000);
	send(SIGTERM);
	finish(VMM_END_SIGNAL, "signal TERM");
}
END_TEST

/* Nobody is there to answer: no driver, a stopped guest, or it was not to be asked. */
START_TEST(sigterm_without_hope_ends_the_guest_at_once)
{
	struct gmig_error err = {0};

	if (_i == 0) {
		begin(spin, sizeof(spin), "3600");
	} else {
		begin_listening(true, _i == 1 ? "0" : "3600");
	}
	if (_i == 2) {
		ck_assert_int_eq(vmm_stop(vmm, NULL), 0);
		ck_assert_int_eq(vmm_press_power_button(vmm, &err), -EALREADY);
	}
	send(SIGTERM);
	finish(VMM_END_SIGNAL, "signal TERM");
}
END_TEST

START_TEST(button_of_the_old_guest_is_none_of_the_new_ones)
{
	begin_listening(true, "30");
	ck_assert_int_eq(vmm_stop(vmm, NULL), 0);
	native_hold(NATIVE_HOLD_NOT);
	vmm_irq_line(vmm, VMM_POWER_GSI, true);
	vmm_irq_line(vmm, VMM_POWER_GSI, false);
	ck_assert(vmm_irq_unmasked(vmm, VMM_POWER_GSI));
	ck_assert_int_eq(vmm_reset(vmm, NULL), 0);
	ck_assert(!vmm_irq_unmasked(vmm, VMM_POWER_GSI));
	ck_assert_int_eq(vmm_cont(vmm, NULL), 0);
	ck_assert_str_eq(native_record(1), "r");
	send(SIGINT);
	finish(VMM_END_SIGNAL, "signal INT");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("power");
	TCase *tcase = tcase_create("power");

	if (native_missing())
		return 77;
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, guest_that_listens_powers_down_at_its_button);
	tcase_add_test(tcase, button_of_a_guest_that_does_not_listen_is_refused);
	tcase_add_test(tcase, sigterm_has_a_guest_power_down_by_itself);
	tcase_add_test(tcase, sigterm_ends_a_guest_that_ignores_it_after_the_grace);
	tcase_add_loop_test(tcase, second_signal_pulls_the_plug_unless_it_is_the_same_wish, 0, 2);
	tcase_add_test(tcase, sigterm_twice_a_second_apart_pulls_the_plug);
	tcase_add_loop_test(tcase, sigterm_without_hope_ends_the_guest_at_once, 0, 3);
	tcase_add_test(tcase, button_of_the_old_guest_is_none_of_the_new_ones);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
