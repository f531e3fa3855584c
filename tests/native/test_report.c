/* What a VM tells of itself. */
#include "native.h"

#include "../../vmm/commands.h"

#include "../support/suite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t spin[] = {0xeb, 0xfe};

START_TEST(port_in_a_directory_that_is_not_utf8_is_told)
{
	static const char *const options[] = {"--port", "name=a,path=socket", NULL};
	char directory[] = "/tmp/gmig-test-report-XXXXXX";
	struct guest guest = {0};
	json_t *status = json_object();
	const json_t *port;
	struct vmm *vmm;

	ck_assert_ptr_nonnull(mkdtemp(directory));
	ck_assert_int_eq(chdir(directory), 0);
	ck_assert_int_eq(mkdir("\xff", 0700), 0);
	ck_assert_int_eq(chdir("\xff"), 0);
	native_hold(NATIVE_HOLD_NOT);
	vmm = native_start(spin, sizeof(spin), options);
	guest.opaque = vmm;
	report_describe(&guest, GUEST_STATUS, status);
	port = json_array_get(json_object_get(status, "ports"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(port, "name")), "a");
	ck_assert_str_eq(json_string_value(json_object_get(port, "path")), "socket");
	json_decref(status);
	native_end(vmm);
	ck_assert_int_eq(chdir(".."), 0);
	ck_assert_int_eq(rmdir("\xff"), 0); /* the socket is gone */
	ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(guest_that_cannot_go_on_says_why_in_both_views)
{
	static const enum guest_view views[] = {GUEST_STATUS, GUEST_RESIDENCY};
	struct guest guest = {0};
	struct vmm *vmm;

	native_hold(NATIVE_HOLD_NOT);
	vmm = native_start(spin, sizeof(spin), NULL);
	guest.opaque = vmm;
	ck_assert(vmm_stop_for(vmm, "disk a: full"));
	for (unsigned int i = 0; i < 2; i++) {
		json_t *object = json_object();

		report_describe(&guest, views[i], object);
		ck_assert_str_eq(json_string_value(json_object_get(object, "state")), "stopped");
		ck_assert_str_eq(json_string_value(json_object_get(object, "stop_reason")),
				 "disk a: full");
		json_decref(object);
	}
	native_end(vmm);
}
END_TEST

START_TEST(disk_is_told_with_how_it_is_served)
{
	char path[] = "disk-XXXXXX", option[64];
	const char *const options[] = {"--disk", option, NULL};
	int fd = mkstemp(path);
	struct guest guest = {0};
	json_t *object = json_object();
	const json_t *disk;
	struct vmm *vmm;

	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	close(fd);
	snprintf(option, sizeof(option), "%s,readonly", path);
	native_hold(NATIVE_HOLD_NOT);
	vmm = native_start(spin, sizeof(spin), options);
	unlink(path);
	guest.opaque = vmm;
	report_describe(&guest, GUEST_RESIDENCY, object);
	disk = json_array_get(json_object_get(object, "disks"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(disk, "path")), path);
	ck_assert_str_eq(json_string_value(json_object_get(disk, "cache")), "writeback");
	ck_assert(json_is_true(json_object_get(disk, "readonly")));
	ck_assert_ptr_null(json_object_get(disk, "aio"));
	json_decref(object);
	native_end(vmm);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("report");
	TCase *tcase = tcase_create("report");

	if (native_missing())
		return 77;
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, port_in_a_directory_that_is_not_utf8_is_told);
	tcase_add_test(tcase, guest_that_cannot_go_on_says_why_in_both_views);
	tcase_add_test(tcase, disk_is_told_with_how_it_is_served);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
