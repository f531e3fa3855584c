/* Which kernels' UFFDIO_MOVE may be used: by their names, as distributions make them. */
#include "../../migrate/core/kernels.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *release, *version, *signature;
	enum kernel_verdict verdict;
	const char *says; /* NULL: nothing */
} cases[] = {
    /* CVE-2026-31397: from 6.16, fixed in 6.18.20 and 6.19.10. */
    {"6.16.0", "", "", KERNEL_UNSAFE, "fae654083bfa, in 6.18.20, 6.19.10"},
    {"6.16", "", "", KERNEL_UNSAFE, "CVE-2026-31397"},
    {"6.17.13-arch1-1", "", "", KERNEL_UNSAFE, "Linux 6.17.13-arch1-1: its UFFDIO_MOVE damages"},
    {"6.18.19", "", "", KERNEL_UNSAFE, "CVE-2026-31397"},
    {"6.18.20", "", "", KERNEL_SAFE, NULL},
    {"6.18.44-fc-v595", "", "", KERNEL_SAFE, NULL},
    {"6.19.0-rc5+", "", "", KERNEL_UNSAFE, "CVE-2026-31397"},
    {"6.19.9-200.fc44.x86_64", "", "", KERNEL_UNSAFE, "CVE-2026-31397"},
    {"6.19.10-200.fc44.x86_64", "", "", KERNEL_SAFE, NULL},
    {"7.0.0", "", "", KERNEL_SAFE, NULL},
    /* CVE-2024-27007: 6.8 up to 6.8.7. */
    {"6.8.0", "", "", KERNEL_UNSAFE, "c0205eaf3af9, in 6.8.8"},
    {"6.8.7", "", "", KERNEL_UNSAFE, "CVE-2024-27007"},
    /* Crashes in rare cases: 6.12.43, 6.15.11, 6.16.2 have both fixes. */
    {"6.8.8", "", "", KERNEL_RISKY, "aba6faec0103, in 6.12.43, 6.15.11, 6.16.2"},
    {"6.12.42+deb13-amd64", "", "", KERNEL_RISKY, "can crash the host"},
    {"6.12.43+deb13-amd64", "", "", KERNEL_SAFE, NULL},
    {"6.12.48+deb13-amd64", "", "", KERNEL_SAFE, NULL},
    {"6.15.4", "", "", KERNEL_RISKY, "aba6faec0103"},
    {"6.15.11", "", "", KERNEL_SAFE, NULL},
    /* Debian's older names carry the ABI; the version has the release. */
    {"6.12.0-1-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)", "", KERNEL_SAFE,
     NULL},
    {"6.17.0-1-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.17.8-1 (2025-11-14)", "", KERNEL_UNSAFE,
     "CVE-2026-31397"},
    {"6.12.0-1-amd64", "#1 SMP PREEMPT_DYNAMIC Debian", "", KERNEL_UNKNOWN, "perhaps"},
    /* Ubuntu: the signature has the release; other fixes may be in, too. */
    {"6.8.0-45-generic", "#45-Ubuntu SMP", "", KERNEL_UNKNOWN, "perhaps damages a huge page"},
    {"6.8.0-45-generic", "#45-Ubuntu SMP", "Ubuntu 6.8.0-45.45-generic 6.8.12", KERNEL_UNKNOWN,
     "perhaps can crash"},
    {"6.14.0-33-generic", "#33-Ubuntu SMP", "Ubuntu 6.14.0-33.33-generic 6.14.11", KERNEL_UNKNOWN,
     "aba6faec0103"},
    {"6.17.0-5-generic", "", "Ubuntu 6.17.0-5.5-generic 6.17.0", KERNEL_UNKNOWN,
     "perhaps damages memory when it meets the huge zero page"},
    {"7.0.0-12-generic", "", "Ubuntu 7.0.0-12.12-generic 7.0.0", KERNEL_SAFE, NULL},
    /* Red Hat, SUSE: frozen numbers. */
    {"5.14.0-503.el9.x86_64", "", "", KERNEL_UNKNOWN, "a backport"},
    {"6.12.0-55.el10.x86_64", "", "", KERNEL_UNKNOWN, "perhaps"},
    /* Before UFFDIO_MOVE there is nothing to be wrong. */
    {"6.1.158", "", "", KERNEL_SAFE, NULL},
    {"5.10.0", "", "", KERNEL_SAFE, NULL},
    /* Not Linux, or nothing. */
    {"", "", "", KERNEL_UNKNOWN, "not the name"},
    {"6", "", "", KERNEL_UNKNOWN, "not the name"},
    {"next-20251101", "", "", KERNEL_UNKNOWN, "not the name"},
    {"99999999999999999999.1.1", "", "", KERNEL_UNKNOWN, "not the name"},
    {"6.99999.1", "", "", KERNEL_UNKNOWN, "not the name"},
    {"6.4096.1", "", "", KERNEL_UNKNOWN, "not the name"},
    {"6.1.4096", "", "", KERNEL_UNKNOWN, "not the name"},
    {"256.0.0", "", "", KERNEL_UNKNOWN, "not the name"},
    {"255.4095.4095", "", "", KERNEL_SAFE, NULL},
    /* What a distribution's own number begins with. */
    {"5.14.0-0.el9", "", "", KERNEL_UNKNOWN, "a backport"},
    {"5.14.0-9.el9", "", "", KERNEL_UNKNOWN, "a backport"},
    {"5.14.0-rc9", "", "", KERNEL_SAFE, NULL},
    {"5.14.0+9", "", "", KERNEL_SAFE, NULL},
    {"5.14.9-9", "", "", KERNEL_SAFE, NULL},
};

START_TEST(kernel_is_judged_by_its_name)
{
	struct kernel_name name = {0};
	char text[GMIG_ERROR_TEXT];

	snprintf(name.release, sizeof(name.release), "%s", cases[_i].release);
	snprintf(name.version, sizeof(name.version), "%s", cases[_i].version);
	snprintf(name.signature, sizeof(name.signature), "%s", cases[_i].signature);
	ck_assert_msg(kernel_judge(&name, text) == cases[_i].verdict, "%s: verdict %d, text '%s'",
		      name.release, kernel_judge(&name, NULL), text);
	if (cases[_i].says)
		ck_assert_msg(strstr(text, cases[_i].says), "%s: no '%s' in '%s'", name.release,
			      cases[_i].says, text);
	else
		ck_assert_str_eq(text, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernels");
	TCase *tcase = tcase_create("verdicts");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, kernel_is_judged_by_its_name, 0,
			    sizeof(cases) / sizeof(cases[0]));
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
