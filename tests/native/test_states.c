/* Stop, cont and reset of a guest that runs on KVM, with I/O in flight. */
#include "../support/suite.h"
#include "native.h"

#include <string.h>

/* Each guest says 'B' at boot, does its access, says 'O', and starts the access again. */
#define BOOT "\x66\xba\x10\x05\xb0\x42\xee" /* mov $0x510, %dx; mov $'B', %al; out %al, %dx */
#define OLD  "\x66\xba\x10\x05\xb0\x4f\xee" /* the same with 'O' */

static const struct access {
	const char *name;
	const char *code;
	size_t bytes;
} guests[] = {
#define GUEST(name, code)                                                                          \
	{                                                                                          \
		name, code, sizeof(code) - 1                                                       \
	}
    /* in %dx, %al; jmp to itself */
    GUEST("port read", BOOT "\xec" OLD "\xeb\xf6"),
    /* mov $0xd0000000, %esi; mov (%rsi), %eax */
    GUEST("memory read", BOOT "\xbe\x00\x00\x00\xd0\x8b\x06" OLD "\xeb\xf0"),
    /* mov $0xd0000ffc, %esi; mov (%rsi), %rax: it crosses a page, so it takes two exits */
    GUEST("memory read over two pages", BOOT "\xbe\xfc\x0f\x00\xd0\x48\x8b\x06" OLD "\xeb\xef"),
    /* mov $0xd0000000, %esi; mov %eax, (%rsi) */
    GUEST("memory write", BOOT "\xbe\x00\x00\x00\xd0\x89\x06" OLD "\xeb\xf0"),
#undef GUEST
};

START_TEST(reset_with_io_in_flight_starts_at_the_entry)
{
	const struct access *guest = &guests[_i];
	struct gmig_error err = {0};
	struct vmm *vmm;

	native_hold(true);
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

	native_hold(true);
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

START_TEST(a_thousand_resets_all_start_at_the_entry)
{
	const struct access *guest = &guests[2];
	struct gmig_error err = {0};
	struct vmm *vmm;

	native_hold(true);
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
	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, reset_with_io_in_flight_starts_at_the_entry, 0, count);
	tcase_add_loop_test(tcase, stop_with_io_in_flight_loses_nothing, 0, count);
	tcase_add_test(tcase, a_thousand_resets_all_start_at_the_entry);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
